/* Is a UDP address free? See hs_udp_check, and listen_check.c for why that is asked. */
#include <errno.h>
#include <unistd.h>

#include "hs_udp.h"

static int try_bind(int fd, hs_addr *addr)
{
    int on = 1;
    if (addr->sa.any.sa_family == AF_INET6 &&
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on) != 0)
        return -errno;
    if (bind(fd, &addr->sa.any, addr->len) != 0)
        return -errno;
    socklen_t len = sizeof addr->sa;
    return getsockname(fd, &addr->sa.any, &len) == 0 ? 0 : -errno;
}

hs_err hs_udp_check(hs_addr *addr)
{
    HS_ENSURE(!hs_addr_is_unix(addr), HS_E_USAGE);
    int fd = socket(addr->sa.any.sa_family, SOCK_DGRAM | SOCK_CLOEXEC, IPPROTO_UDP);
    if (fd < 0)
        return hs_err_errno(errno);
    int res = try_bind(fd, addr);
    (void)close(fd);
    return hs_err_of(res);
}
