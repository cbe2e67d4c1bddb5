/* Sockets by plain system calls: see sock.h. */
#include "sock.h"

#include <errno.h>
#include <fcntl.h>
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

int sock_listen(hs_io *io, const struct sockaddr *addr, socklen_t addr_len, int backlog,
                bool reuse_port)
{
    HS_ASSERT(addr != NULL);
    HS_ASSERT(backlog > 0);
    if (addr->sa_family != AF_INET && addr->sa_family != AF_INET6)
        return -EAFNOSUPPORT;
    int fd = socket(addr->sa_family, SOCK_STREAM | SOCK_CLOEXEC | io->sock_flags, IPPROTO_TCP);
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

int sock_name(hs_io *io, int fd, struct sockaddr *addr, socklen_t *addr_len)
{
    (void)io;
    HS_ASSERT(fd >= 0);
    HS_ASSERT(addr != NULL && addr_len != NULL);
    return getsockname(fd, addr, addr_len) == 0 ? 0 : -errno;
}

void sock_shutdown(hs_io *io, int fd, int how)
{
    (void)io;
    (void)shutdown(fd, how);
}

void sock_reset(hs_io *io, int fd)
{
    (void)io;
    HS_ASSERT(fd >= 0);
    struct linger at_once = {.l_onoff = 1, .l_linger = 0};
    /* A socket that refuses is gone already. */
    (void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
}

int sock_make(hs_io *io, int family, int type, int protocol)
{
    int fd = socket(family, type | SOCK_CLOEXEC | io->sock_flags, protocol);
    if (fd < 0)
        return -errno;
    /* What is sent goes out whole, so there is nothing to collect. */
    bool tcp = type == SOCK_STREAM && (family == AF_INET || family == AF_INET6);
    int res = tcp ? option_on(fd, IPPROTO_TCP, TCP_NODELAY) : 0;
    if (res == 0)
        return fd;
    close(fd);
    return res;
}

int sock_bind(hs_io *io, int fd, const struct sockaddr *addr, socklen_t addr_len)
{
    (void)io;
    HS_ASSERT(fd >= 0);
    return bind(fd, addr, addr_len) == 0 ? 0 : -errno;
}

int sock_option(hs_io *io, int fd, int level, int name, const void *value, socklen_t bytes)
{
    (void)io;
    HS_ASSERT(fd >= 0);
    return setsockopt(fd, level, name, value, bytes) == 0 ? 0 : -errno;
}

int sock_option_get(hs_io *io, int fd, int level, int name, void *value, socklen_t *bytes)
{
    (void)io;
    HS_ASSERT(fd >= 0);
    return getsockopt(fd, level, name, value, bytes) == 0 ? 0 : -errno;
}

int sock_adopt(hs_io *io, int fd)
{
    HS_ASSERT(fd >= 0);
    int flags = fcntl(fd, F_GETFL);
    if (flags < 0)
        return -errno;
    int wanted = io->sock_flags & SOCK_NONBLOCK ? flags | O_NONBLOCK : flags & ~O_NONBLOCK;
    return flags == wanted || fcntl(fd, F_SETFL, wanted) == 0 ? 0 : -errno;
}

int sock_send_msgs(hs_io *io, int fd, struct mmsghdr *msgs, uint32_t len)
{
    (void)io;
    HS_ASSERT(fd >= 0);
    HS_ASSERT(len > 0);
    int n;
    do {
        n = sendmmsg(fd, msgs, len, MSG_DONTWAIT | MSG_NOSIGNAL);
    } while (n < 0 && errno == EINTR);
    return n < 0 ? -errno : n;
}

int sock_recv_msgs(hs_io *io, int fd, struct mmsghdr *msgs, uint32_t len)
{
    (void)io;
    HS_ASSERT(fd >= 0);
    HS_ASSERT(len > 0);
    int n;
    do {
        n = recvmmsg(fd, msgs, len, MSG_DONTWAIT | MSG_CMSG_CLOEXEC, NULL);
    } while (n < 0 && errno == EINTR);
    return n < 0 ? -errno : n;
}
