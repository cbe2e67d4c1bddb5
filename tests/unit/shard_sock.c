/* Listening sockets made by plain system calls. */
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <unistd.h>

#include "sock.h"

static hs_io io; /* the sockets of a backend that lets them block */

static struct sockaddr_in loopback(uint16_t port)
{
    struct sockaddr_in addr = {.sin_family = AF_INET, .sin_port = htons(port)};
    addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return addr;
}

static int listen_on(const struct sockaddr_in *addr, bool reuse_port)
{
    return sock_listen(&io, (const struct sockaddr *)addr, sizeof(*addr), 16, reuse_port);
}

static uint16_t port_of(int fd)
{
    struct sockaddr_in addr;
    socklen_t len = sizeof(addr);
    cr_assert_eq(sock_name(&io, fd, (struct sockaddr *)&addr, &len), 0);
    cr_assert_eq(len, sizeof(addr));
    return ntohs(addr.sin_port);
}

static int option_of(int fd, int level, int name)
{
    int value = -1;
    socklen_t len = sizeof(value);
    cr_assert_eq(getsockopt(fd, level, name, &value, &len), 0);
    return value;
}

Test(shard_sock, port_zero_is_chosen_and_told)
{
    struct sockaddr_in addr = loopback(0);
    int fd = listen_on(&addr, false);
    cr_assert_geq(fd, 0);
    cr_assert_neq(port_of(fd), 0);
    cr_assert_not(fcntl(fd, F_GETFL) & O_NONBLOCK); /* a ring would not wait for connections */
    cr_assert(fcntl(fd, F_GETFD) & FD_CLOEXEC);
    cr_assert(option_of(fd, IPPROTO_TCP, TCP_NODELAY));
    cr_assert(option_of(fd, SOL_SOCKET, SO_REUSEADDR));
    cr_assert(option_of(fd, SOL_SOCKET, SO_ACCEPTCONN));
    close(fd);
}

Test(shard_sock, accepted_sockets_send_at_once)
{
    struct sockaddr_in addr = loopback(0);
    int fd = listen_on(&addr, false);
    addr = loopback(port_of(fd));
    int client = socket(AF_INET, SOCK_STREAM, 0);
    cr_assert_eq(connect(client, (struct sockaddr *)&addr, sizeof(addr)), 0);
    int served = accept(fd, NULL, NULL);
    cr_assert_geq(served, 0);
    cr_assert(option_of(served, IPPROTO_TCP, TCP_NODELAY));
    close(served);
    close(client);
    close(fd);
}

Test(shard_sock, a_port_is_shared_only_when_asked)
{
    struct sockaddr_in addr = loopback(0);
    int a = listen_on(&addr, true);
    cr_assert_geq(a, 0);
    addr = loopback(port_of(a));
    int b = listen_on(&addr, true);
    cr_assert_geq(b, 0);
    cr_assert_eq(port_of(b), port_of(a));
    cr_assert_eq(listen_on(&addr, false), -EADDRINUSE);
    close(a);
    close(b);
}

Test(shard_sock, ipv6_takes_ipv6_alone)
{
    struct sockaddr_in6 addr = {.sin6_family = AF_INET6, .sin6_addr = in6addr_loopback};
    int fd = sock_listen(&io, (struct sockaddr *)&addr, sizeof(addr), 16, false);
    if (fd == -EADDRNOTAVAIL || fd == -EAFNOSUPPORT)
        cr_skip_test("no IPv6 loopback here");
    cr_assert_geq(fd, 0);
    cr_assert(option_of(fd, IPPROTO_IPV6, IPV6_V6ONLY));
    close(fd);
}

Test(shard_sock, errors_are_told)
{
    struct sockaddr_in other = {.sin_family = AF_INET};
    cr_assert_eq(inet_pton(AF_INET, "192.0.2.1", &other.sin_addr), 1);
    cr_assert_eq(listen_on(&other, false), -EADDRNOTAVAIL);
    struct sockaddr local = {.sa_family = AF_UNIX};
    cr_assert_eq(sock_listen(&io, &local, sizeof(local), 16, false), -EAFNOSUPPORT);
    socklen_t len = sizeof(other);
    cr_assert_eq(sock_name(&io, 1 << 20, (struct sockaddr *)&other, &len), -EBADF);
}

Test(shard_sock, a_socket_from_elsewhere_blocks_as_the_backend_needs_it)
{
    hs_io polling = {.sock_flags = SOCK_NONBLOCK};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    cr_assert_eq(sock_adopt(&io, fd), 0);
    cr_assert_not(fcntl(fd, F_GETFL) & O_NONBLOCK);
    for (int again = 0; again < 2; again++) {
        cr_assert_eq(sock_adopt(&polling, fd), 0);
        cr_assert(fcntl(fd, F_GETFL) & O_NONBLOCK);
    }
    cr_assert_eq(sock_adopt(&io, fd), 0);
    cr_assert_not(fcntl(fd, F_GETFL) & O_NONBLOCK);
    close(fd);
    cr_assert_eq(sock_adopt(&io, fd), -EBADF);
}

Test(shard_sock, options_are_read)
{
    int value = -1, fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    socklen_t len = sizeof value;
    cr_assert_eq(sock_option_get(&io, fd, SOL_SOCKET, SO_DOMAIN, &value, &len), 0);
    cr_assert_eq(value, AF_UNIX);
    cr_assert_eq(len, sizeof value);
    cr_assert_eq(sock_option_get(&io, fd, IPPROTO_TCP, TCP_NODELAY, &value, &len), -EOPNOTSUPP);
    close(fd);
}
