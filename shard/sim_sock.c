/* The files of a simulated world: listeners and streams by number.
 *
 * Owns: the table, with the lowest free number first as the kernel has it, so that a number that
 * was closed soon means something else; listening, making, closing, shutting down. Must not know:
 * how a connection begins, how ops are carried out. Tested by: tests/unit/shard_io_sim.c. */
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <string.h>

#include "sim_inside.h"

sim_fd *sim_fd_at(sim_world *w, int fd)
{
    HS_ASSERT(fd >= SIM_FD_FIRST && fd < SIM_FD_FIRST + SIM_FDS_MAX);
    sim_fd *f = &w->fds[fd - SIM_FD_FIRST];
    HS_ASSERT(f->kind != SIM_FD_FREE && f->kind != SIM_FD_CLOSING);
    return f;
}

int sim_fd_take(sim_world *w, sim_fd_kind kind)
{
    if (w->fds_open >= HS_MIN(w->faults.fds_max, SIM_FDS_MAX))
        return -EMFILE;
    for (int i = 0; i < SIM_FDS_MAX; i++) {
        if (w->fds[i].kind != SIM_FD_FREE)
            continue;
        memset(&w->fds[i], 0, sizeof(w->fds[i]));
        w->fds[i].kind = kind;
        w->fds_open++;
        return SIM_FD_FIRST + i;
    }
    return -EMFILE;
}

void sim_fd_release(sim_world *w, int fd)
{
    sim_fd *f = &w->fds[fd - SIM_FD_FIRST];
    HS_ASSERT(f->kind == SIM_FD_CLOSING);
    f->kind = SIM_FD_FREE;
}

int sim_port_of(const struct sockaddr *addr, socklen_t len)
{
    if (addr->sa_family == AF_INET && len >= sizeof(struct sockaddr_in))
        return ntohs(((const struct sockaddr_in *)(const void *)addr)->sin_port);
    if (addr->sa_family == AF_INET6 && len >= sizeof(struct sockaddr_in6))
        return ntohs(((const struct sockaddr_in6 *)(const void *)addr)->sin6_port);
    return -EAFNOSUPPORT;
}

static bool port_taken(const sim_world *w, int port, uint16_t family, bool reuse_port)
{
    for (int i = 0; i < SIM_FDS_MAX; i++) {
        const sim_fd *f = &w->fds[i];
        if (f->kind == SIM_FD_LISTENER && f->port == port && f->family == family &&
            !(f->reuse_port && reuse_port))
            return true;
    }
    return false;
}

uint16_t sim_port_choose(sim_world *w)
{
    uint16_t port;
    do {
        port = w->port_next;
        w->port_next = port == UINT16_MAX ? SIM_PORT_FIRST : port + 1;
    } while (port_taken(w, port, AF_INET, false) || port_taken(w, port, AF_INET6, false));
    return port;
}

/* ---- listening ---- */

int sim_listen(hs_io *io, const struct sockaddr *addr, socklen_t addr_len, int backlog,
               bool reuse_port)
{
    sim_world *w = ((sim_io *)io)->w;
    int port = sim_port_of(addr, addr_len);
    if (port == 0)
        port = sim_port_choose(w);
    if (port < 0)
        return port;
    if (port_taken(w, port, addr->sa_family, reuse_port))
        return -EADDRINUSE;
    int fd = sim_fd_take(w, SIM_FD_LISTENER);
    if (fd < 0)
        return fd;
    sim_fd *f = sim_fd_at(w, fd);
    f->port = (uint16_t)port;
    f->family = addr->sa_family;
    f->reuse_port = reuse_port;
    f->backlog_max = (uint32_t)HS_MIN(backlog, SIM_BACKLOG_MAX);
    sim_note(w, "listen", fd, port, 0);
    return fd;
}

int sim_sockname(hs_io *io, int fd, struct sockaddr *addr, socklen_t *addr_len)
{
    const sim_fd *f = sim_fd_at(((sim_io *)io)->w, fd);
    struct sockaddr_in in = {.sin_family = AF_INET};
    struct sockaddr_in6 in6 = {.sin6_family = AF_INET6};
    in.sin_port = in6.sin6_port = htons(f->port);
    in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    in6.sin6_addr = in6addr_loopback;
    bool v6 = f->family == AF_INET6;
    socklen_t len = v6 ? sizeof(in6) : sizeof(in);
    memcpy(addr, v6 ? (void *)&in6 : (void *)&in, HS_MIN(len, *addr_len));
    *addr_len = len;
    return 0;
}

/* A listener that takes the connection now: its number, -EAGAIN or -ECONNREFUSED. */
static int listener_find(const sim_wire *wire)
{
    sim_world *w = wire->w;
    int found = -ECONNREFUSED;
    uint64_t seen = 0;
    for (int i = 0; i < SIM_FDS_MAX; i++) {
        const sim_fd *f = &w->fds[i];
        bool fits = wire->family == AF_UNSPEC || f->family == wire->family;
        if (f->kind == SIM_FD_LISTENER && f->port == wire->port && fits &&
            sim_below(w, ++seen) == 0)
            found = SIM_FD_FIRST + i;
    }
    if (found < 0)
        return found;
    const sim_fd *f = sim_fd_at(w, found);
    return f->backlog_len < f->backlog_max ? found : -EAGAIN;
}

int sim_listener_queue(sim_wire *wire)
{
    int fd = listener_find(wire);
    if (fd < 0)
        return fd;
    sim_fd *f = sim_fd_at(wire->w, fd);
    f->backlog[f->backlog_len++] = &wire->callee;
    return fd;
}

static void close_listener(sim_fd *f)
{
    for (uint32_t i = 0; i < f->backlog_len; i++)
        sim_end_close(f->backlog[i], true);
    f->backlog_len = 0;
}

/* ---- sockets that will connect ---- */

int sim_socket(hs_io *io, int family, int type, int protocol)
{
    sim_world *w = ((sim_io *)io)->w;
    if ((family != AF_INET && family != AF_INET6) || type != SOCK_STREAM)
        return -EAFNOSUPPORT;
    if (protocol != 0 && protocol != IPPROTO_TCP)
        return -EPROTONOSUPPORT;
    int fd = sim_fd_take(w, SIM_FD_SOCKET);
    if (fd >= 0)
        sim_fd_at(w, fd)->family = (uint16_t)family;
    sim_note(w, "socket", fd, family, 0);
    return fd;
}

int sim_bind(hs_io *io, int fd, const struct sockaddr *addr, socklen_t addr_len)
{
    sim_world *w = ((sim_io *)io)->w;
    sim_fd *f = sim_fd_at(w, fd);
    HS_ASSERT(f->kind == SIM_FD_SOCKET);
    int port = sim_port_of(addr, addr_len);
    if (port < 0 || addr->sa_family != f->family)
        return -EAFNOSUPPORT;
    if (f->port != 0 || f->end)
        return -EINVAL;
    if (port_taken(w, port, f->family, false))
        return -EADDRINUSE;
    f->port = port ? (uint16_t)port : sim_port_choose(w);
    sim_note(w, "bind", fd, f->port, 0);
    return 0;
}

int sim_sockopt(hs_io *io, int fd, int level, int name, const void *value, socklen_t bytes)
{
    sim_world *w = ((sim_io *)io)->w;
    HS_ASSERT(sim_fd_at(w, fd) != NULL);
    sim_note(w, "sockopt", fd, level, sim_sum((uint64_t)name, value, bytes));
    return 0;
}

/* ---- streams ---- */

void sim_shutdown(hs_io *io, int fd, int how)
{
    sim_world *w = ((sim_io *)io)->w;
    sim_fd *f = sim_fd_at(w, fd);
    HS_ASSERT(how == SHUT_RD || how == SHUT_WR || how == SHUT_RDWR);
    sim_note(w, "shutdown", fd, how, 0);
    if (f->kind != SIM_FD_STREAM || f->end->reset)
        return;
    if (how != SHUT_WR)
        f->end->shut_rd = true;
    if (how != SHUT_RD && !sim_end_finished(f->end))
        sim_end_finish(f->end);
    w->kick(w, fd);
}

void sim_reset_on_close(hs_io *io, int fd)
{
    sim_world *w = ((sim_io *)io)->w;
    sim_fd *f = sim_fd_at(w, fd);
    HS_ASSERT(f->kind == SIM_FD_STREAM);
    HS_ASSERT(f->end->reset || !sim_end_finished(f->end)); /* it could be taken for a clean end */
    sim_note(w, "reset on close", fd, 0, 0);
    f->end->reset_on_close = true;
}

void sim_close(hs_io *base, int fd)
{
    sim_io *io = (sim_io *)base;
    sim_world *w = io->w;
    sim_fd *f = sim_fd_at(w, fd);
    HS_ASSERT(f->ops == NULL); /* an op is under way on it */
    sim_note(w, "close", fd, 0, 0);
    if (f->kind == SIM_FD_LISTENER)
        close_listener(f);
    else if (f->end)
        sim_end_close(f->end, f->end->reset_on_close);
    f->kind = SIM_FD_CLOSING;
    w->fds_open--;
    HS_ASSERT(io->closing_len < SIM_FDS_MAX);
    io->closing[io->closing_len++] = fd;
}

bool sim_fd_harmed(sim_world *w, int fd)
{
    const sim_fd *f = sim_fd_at(w, fd);
    return f->end && f->end->wire->harmed;
}

uint16_t sim_readiness(sim_world *w, int fd)
{
    const sim_fd *f = sim_fd_at(w, fd);
    if (f->kind == SIM_FD_LISTENER)
        return f->backlog_len > 0 ? POLLIN : 0;
    const sim_end *e = f->end;
    if (e->reset)
        return POLLIN | POLLOUT | POLLERR | POLLHUP | POLLRDHUP;
    bool end = e->in.fin_arrived || e->shut_rd;
    bool finished = sim_end_finished(e);
    uint16_t ready = 0;
    if (sim_pipe_unread(&e->in) > 0 || end)
        ready |= POLLIN;
    if (end)
        ready |= POLLRDHUP;
    if (end && finished)
        ready |= POLLHUP;
    if (finished || sim_pipe_room(&e->other->in) > 0)
        ready |= POLLOUT;
    return ready;
}
