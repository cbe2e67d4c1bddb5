/* What a socket has received and nobody has read, for tests that count calls or events. The
 * loopback delivers at once as a rule, but on a machine whose processors are busy with the network
 * a kernel thread does, when it gets to it. */
#pragma once

#include <criterion/criterion.h>
#include <linux/sock_diag.h>
#include <sched.h>
#include <stdint.h>
#include <sys/socket.h>

/* Bytes of memory (socket(7), SO_MEMINFO), not of data: the same for each of datagrams that are
 * alike. */
static inline uint32_t queued_bytes(int fd)
{
    uint32_t info[SK_MEMINFO_VARS] = {0};
    socklen_t len = sizeof info;
    cr_assert_eq(getsockopt(fd, SOL_SOCKET, SO_MEMINFO, info, &len), 0);
    return info[SK_MEMINFO_RMEM_ALLOC];
}

/* Until more than `least` are there; how many. */
static inline uint32_t until_queued_over(int fd, uint32_t least)
{
    uint32_t n;
    while ((n = queued_bytes(fd)) <= least)
        (void)sched_yield();
    return n;
}

/* Until `least` are there. */
static inline void until_queued(int fd, uint32_t least)
{
    while (queued_bytes(fd) < least)
        (void)sched_yield();
}
