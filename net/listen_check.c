/* Can we listen there? See hs_listen_check.
 *
 * A socket without SO_REUSEPORT is bound and closed again: where another process listens already,
 * this fails, while a socket with it would quietly take half of the other's connections. */
#include "hs_tcp.h"

#include <errno.h>
#include <unistd.h>

static int try_bind(int fd, hs_addr *addr)
{
    int on = 1;
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0)
        return -errno;
    if (addr->sa.any.sa_family == AF_INET6 &&
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on) != 0)
        return -errno;
    if (bind(fd, &addr->sa.any, addr->len) != 0)
        return -errno;
    /* Binding alone does not collide with a listener of SO_REUSEADDR; listening does. */
    if (listen(fd, 1) != 0)
        return -errno;
    socklen_t len = sizeof addr->sa;
    return getsockname(fd, &addr->sa.any, &len) == 0 ? 0 : -errno;
}

hs_err hs_listen_check(hs_addr *addr)
{
    int fd = socket(addr->sa.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, IPPROTO_TCP);
    if (fd < 0)
        return hs_err_errno(errno);
    int res = try_bind(fd, addr);
    (void)close(fd);
    return hs_err_of(res);
}
