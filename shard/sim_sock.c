/* The files of a simulated world: listeners and streams by number.
 *
 * Owns: the table, with the lowest free number first as the kernel has it, so that a number that
 * was closed soon means something else; listening, closing, shutting down. Must not know: how ops
 * are carried out. Tested by: tests/unit/shard_io_sim.c. */
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <string.h>

#include "sim_inside.h"

sim_fd *sim_fd_at(sim_world *w, int fd)
{
    HS_ASSERT(fd >= SIM_FD_FIRST && fd < SIM_FD_FIRST + SIM_FDS_MAX);
    sim_fd *f = &w->fds[fd - SIM_FD_FIRST];
    HS_ASSERT(f->kind == SIM_FD_LISTENER || f->kind == SIM_FD_STREAM);
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

/* ---- listening ---- */

static const uint16_t *port_of(const struct sockaddr *addr, socklen_t len)
{
    if (addr->sa_family == AF_INET && len >= sizeof(struct sockaddr_in))
        return &((const struct sockaddr_in *)(const void *)addr)->sin_port;
    if (addr->sa_family == AF_INET6 && len >= sizeof(struct sockaddr_in6))
        return &((const struct sockaddr_in6 *)(const void *)addr)->sin6_port;
    return NULL;
}

static bool port_taken(const sim_world *w, uint16_t port, uint16_t family, bool reuse_port)
{
    for (int i = 0; i < SIM_FDS_MAX; i++) {
        const sim_fd *f = &w->fds[i];
        if (f->kind == SIM_FD_LISTENER && f->port == port && f->family == family &&
            !(f->reuse_port && reuse_port))
            return true;
    }
    return false;
}

int sim_listen(hs_io *io, const struct sockaddr *addr, socklen_t addr_len, int backlog,
               bool reuse_port)
{
    sim_world *w = ((sim_io *)io)->w;
    const uint16_t *port_net = port_of(addr, addr_len);
    if (!port_net)
        return -EAFNOSUPPORT;
    uint16_t port = ntohs(*port_net);
    if (port == 0)
        port = w->port_next++;
    if (port_taken(w, port, addr->sa_family, reuse_port))
        return -EADDRINUSE;
    int fd = sim_fd_take(w, SIM_FD_LISTENER);
    if (fd < 0)
        return fd;
    sim_fd *f = sim_fd_at(w, fd);
    f->port = port;
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
    in.sin_port = in6.sin6_port = htons(f->kind == SIM_FD_LISTENER ? f->port : f->peer->port);
    in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    in6.sin6_addr = in6addr_loopback;
    bool v6 = f->family == AF_INET6;
    socklen_t len = v6 ? sizeof(in6) : sizeof(in);
    memcpy(addr, v6 ? (void *)&in6 : (void *)&in, HS_MIN(len, *addr_len));
    *addr_len = len;
    return 0;
}

/* A listener of `port` that takes a connection now: its number, -EAGAIN or -ECONNREFUSED. */
static int listener_find(sim_world *w, uint16_t port)
{
    int found = -ECONNREFUSED;
    uint64_t seen = 0;
    for (int i = 0; i < SIM_FDS_MAX; i++) {
        const sim_fd *f = &w->fds[i];
        if (f->kind == SIM_FD_LISTENER && f->port == port && sim_below(w, ++seen) == 0)
            found = SIM_FD_FIRST + i;
    }
    if (found < 0)
        return found;
    const sim_fd *f = sim_fd_at(w, found);
    return f->backlog_len < f->backlog_max ? found : -EAGAIN;
}

int sim_listener_queue(sim_peer *peer)
{
    int fd = listener_find(peer->w, peer->port);
    if (fd < 0)
        return fd;
    sim_fd *f = sim_fd_at(peer->w, fd);
    f->backlog[f->backlog_len++] = peer;
    return fd;
}

static void close_listener(sim_world *w, sim_fd *f)
{
    (void)w;
    for (uint32_t i = 0; i < f->backlog_len; i++) {
        f->backlog[i]->stage = SIM_CLOSED;
        sim_reset_peer(f->backlog[i]);
    }
    f->backlog_len = 0;
}

/* ---- streams ---- */

void sim_shutdown(hs_io *io, int fd, int how)
{
    sim_world *w = ((sim_io *)io)->w;
    sim_fd *f = sim_fd_at(w, fd);
    HS_ASSERT(how == SHUT_RD || how == SHUT_WR || how == SHUT_RDWR);
    sim_note(w, "shutdown", fd, how, 0);
    if (f->kind != SIM_FD_STREAM || f->peer->server_reset)
        return;
    if (how != SHUT_WR)
        f->peer->shut_rd = true;
    if (how != SHUT_RD && !f->peer->shut_wr) {
        f->peer->shut_wr = true;
        sim_down_finish(f->peer);
    }
    w->kick(w, fd);
}

void sim_reset_on_close(hs_io *io, int fd)
{
    sim_world *w = ((sim_io *)io)->w;
    sim_fd *f = sim_fd_at(w, fd);
    HS_ASSERT(f->kind == SIM_FD_STREAM);
    HS_ASSERT(!f->peer->shut_wr); /* the peer could take the end for a clean one */
    sim_note(w, "reset on close", fd, 0, 0);
    f->peer->reset_on_close = true;
}

static void close_stream(sim_peer *peer)
{
    HS_ASSERT(peer->stage == SIM_OPEN);
    peer->stage = SIM_CLOSED;
    if (peer->server_reset)
        return;
    if (peer->reset_on_close || sim_pipe_unread(&peer->up) > 0)
        sim_reset_peer(peer);
    else if (!peer->shut_wr)
        sim_down_finish(peer);
}

void sim_close(hs_io *base, int fd)
{
    sim_io *io = (sim_io *)base;
    sim_world *w = io->w;
    sim_fd *f = sim_fd_at(w, fd);
    HS_ASSERT(f->ops == NULL); /* an op is under way on it */
    sim_note(w, "close", fd, 0, 0);
    if (f->kind == SIM_FD_LISTENER)
        close_listener(w, f);
    else
        close_stream(f->peer);
    f->kind = SIM_FD_CLOSING;
    w->fds_open--;
    HS_ASSERT(io->closing_len < SIM_FDS_MAX);
    io->closing[io->closing_len++] = fd;
}

uint16_t sim_readiness(sim_world *w, int fd)
{
    const sim_fd *f = sim_fd_at(w, fd);
    if (f->kind == SIM_FD_LISTENER)
        return f->backlog_len > 0 ? POLLIN : 0;
    const sim_peer *p = f->peer;
    if (p->server_reset)
        return POLLIN | POLLOUT | POLLERR | POLLHUP | POLLRDHUP;
    bool end = p->up.fin_arrived || p->shut_rd;
    uint16_t ready = 0;
    if (sim_pipe_unread(&p->up) > 0 || end)
        ready |= POLLIN;
    if (end)
        ready |= POLLRDHUP;
    if (end && p->shut_wr)
        ready |= POLLHUP;
    if (p->shut_wr || sim_pipe_room(&p->down) > 0)
        ready |= POLLOUT;
    return ready;
}
