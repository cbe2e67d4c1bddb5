/* One start at a time on a TCP port. See hs_start_lock.
 *
 * The lock is a Unix socket's abstract name, which belongs to the same network namespace as the
 * port, and goes with the process however that ends. It has the user in it, since the kernel lets
 * the servers of one user alone share a port (SO_REUSEPORT, socket(7)).
 * Owns: the name and the wait for it. Must not know: what is started.
 * Tested by: tests/unit/net_start_lock.c, tests/e2e/life.py. */
#include "hs_tcp.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define TRY_EVERY_MS 5

static int try_lock(int fd, uint16_t port)
{
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    int len = snprintf(name.sun_path + 1, sizeof name.sun_path - 1, "httpshard-start-%lu-%u",
                       (unsigned long)geteuid(), port);
    socklen_t bytes = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)len);
    return bind(fd, (const struct sockaddr *)&name, bytes) == 0 ? 0 : -errno;
}

hs_err hs_start_lock(uint16_t port, uint32_t wait_ms, int *lock)
{
    HS_ASSERT(lock != NULL);
    *lock = -1;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return hs_err_errno(errno);
    int res;
    for (uint32_t waited = 0; (res = try_lock(fd, port)) == -EADDRINUSE && waited < wait_ms;
         waited += TRY_EVERY_MS) {
        struct timespec pause = {.tv_nsec = TRY_EVERY_MS * (long)HS_MSEC_NS};
        (void)nanosleep(&pause, NULL);
    }
    if (res != 0) {
        (void)close(fd);
        return hs_err_of(res);
    }
    *lock = fd;
    return HS_OK;
}

void hs_start_unlock(int lock)
{
    if (lock >= 0)
        (void)close(lock);
}
