/* Listening sockets: see sock.h. */
#include "sock.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <unistd.h>

#include "hs_assert.h"

static int option_on(int fd, int level, int name)
{
    int on = 1;
    return setsockopt(fd, level, name, &on, sizeof(on)) == 0 ? 0 : -errno;
}

static int options_set(int fd, int family, bool reuse_port)
{
    /* A server that starts again takes its port although old connections linger in TIME_WAIT. */
    int res = option_on(fd, SOL_SOCKET, SO_REUSEADDR);
    if (res == 0 && reuse_port)
        res = option_on(fd, SOL_SOCKET, SO_REUSEPORT);
    /* One family a socket: 0.0.0.0 and [::] can both be listened to, in any order. */
    if (res == 0 && family == AF_INET6)
        res = option_on(fd, IPPROTO_IPV6, IPV6_V6ONLY);
    /* Accepted sockets inherit it: answers go out whole, so there is nothing to collect. */
    if (res == 0)
        res = option_on(fd, IPPROTO_TCP, TCP_NODELAY);
    return res;
}

int sock_listen(const struct sockaddr *addr, socklen_t addr_len, int backlog, bool reuse_port)
{
    HS_ASSERT(addr != NULL);
    HS_ASSERT(backlog > 0);
    if (addr->sa_family != AF_INET && addr->sa_family != AF_INET6)
        return -EAFNOSUPPORT;
    /* Not SOCK_NONBLOCK: a ring takes that as "do not wait" and would end each accept with EAGAIN.
     */
    int fd = socket(addr->sa_family, SOCK_STREAM | SOCK_CLOEXEC, IPPROTO_TCP);
    if (fd < 0)
        return -errno;
    int res = options_set(fd, addr->sa_family, reuse_port);
    if (res == 0 && bind(fd, addr, addr_len) != 0)
        res = -errno;
    if (res == 0 && listen(fd, backlog) != 0)
        res = -errno;
    if (res == 0)
        return fd;
    close(fd);
    return res;
}

int sock_name(int fd, struct sockaddr *addr, socklen_t *addr_len)
{
    HS_ASSERT(fd >= 0);
    HS_ASSERT(addr != NULL && addr_len != NULL);
    return getsockname(fd, addr, addr_len) == 0 ? 0 : -errno;
}

void sock_reset(int fd)
{
    HS_ASSERT(fd >= 0);
    struct linger at_once = {.l_onoff = 1, .l_linger = 0};
    /* A socket that refuses is gone already. */
    (void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
}
