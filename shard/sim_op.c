/* What the simulated kernel does for each op, when it looks at it.
 *
 * Owns: accept, connect, receive, send, poll and cancel, and the receive buffers of a backend as
 * the io_uring one uses them: a receive that finds none waits until one comes back, or more are
 * provided. Must not know: when a completion is told. Tested by: tests/unit/shard_io_sim.c. */
#include <errno.h>
#include <poll.h>

#include "sim_inside.h"

/* ---- receive buffers ---- */

static void ring_push(sim_io *io, uint16_t id)
{
    HS_ASSERT(io->ring_len < HS_RBUFS_MAX);
    io->ring[(io->ring_first + io->ring_len++) % HS_RBUFS_MAX] = id;
}

static uint16_t ring_pop(sim_io *io)
{
    HS_ASSERT(io->ring_len > 0);
    uint16_t id = io->ring[io->ring_first];
    io->ring_first = (io->ring_first + 1) % HS_RBUFS_MAX;
    io->ring_len--;
    return id;
}

void sim_provide(sim_io *io)
{
    uint16_t id;
    while (io->rbuf.in_use < io->ring_cap && rbuf_next(&io->rbuf, &id))
        ring_push(io, id);
}

/* The receive that has waited longest goes on. */
static void feed_starved(sim_io *io)
{
    for (sim_op *o = io->ops; o; o = o->next) {
        if (o->state != SIM_OP_STARVED)
            continue;
        o->state = SIM_OP_ARMED;
        sim_op_look(o, sim_late(io->w, io->w->faults.op_late));
        return;
    }
}

void sim_provide_one(sim_io *io, uint16_t buf)
{
    if (rbuf_give(&io->rbuf, buf))
        ring_push(io, buf);
    feed_starved(io);
}

/* A receive ran dry. A buffer that is out will come back and wake it; if none is, or by chance,
 * more are provided and it goes on at once. */
static void run_dry(sim_op *o)
{
    sim_io *io = o->io;
    sim_note(io->w, "enobufs", o->fd, io->rbuf.in_use, 0);
    bool some_out = io->rbuf.in_use > io->ring_len;
    if (some_out && sim_below(io->w, 2)) {
        o->state = SIM_OP_STARVED;
        return;
    }
    if (io->ring_len == 0) {
        io->ring_cap = HS_MIN(io->ring_cap * 2, HS_RBUFS_MAX);
        if (io->rbuf.in_use < io->rbuf.target || rbuf_grow(&io->rbuf))
            sim_provide(io);
    }
    sim_op_look(o, 1000 + sim_below(io->w, 100000));
}

/* ---- receive ---- */

static uint32_t recv_len(sim_world *w, uint64_t unread)
{
    uint32_t len = (uint32_t)HS_MIN(unread, HS_RBUF_BYTES);
    if (!sim_chance(w, w->faults.recv_short))
        return len;
    return sim_below(w, 2) ? 1 : 1 + (uint32_t)sim_below(w, len);
}

static void look_recv(sim_op *o, sim_end *end)
{
    sim_world *w = end->wire->w;
    uint64_t unread = sim_pipe_unread(&end->in);
    if (unread > 0) {
        if (o->io->ring_len == 0 || sim_chance(w, w->faults.enobufs)) {
            run_dry(o);
            return;
        }
        uint16_t buf = ring_pop(o->io);
        uint32_t len = recv_len(w, unread);
        sim_end_read(end, rbuf_at(&o->io->rbuf, buf), len);
        sim_note(w, "received", end->wire->number, len,
                 sim_sum(0, rbuf_at(&o->io->rbuf, buf), len));
        sim_post(o, (int32_t)len, true, true, buf);
        sim_op_look(o, 0);
    } else if (end->reset) {
        sim_post(o, end->reset_told ? 0 : -ECONNRESET, false, false, 0);
        end->reset_told = true;
    } else if (end->in.fin_arrived || end->shut_rd) {
        sim_post(o, 0, false, false, 0);
    }
}

/* ---- send ---- */

uint64_t sim_send_sum(const hs_op_send *send)
{
    uint64_t sum = send->iov_len;
    for (uint32_t i = 0; i < send->iov_len; i++) {
        sum = (sum ^ (uintptr_t)send->iov[i].iov_base) * 31 + send->iov[i].iov_len;
        sum = sim_sum(sum, send->iov[i].iov_base, send->iov[i].iov_len);
    }
    return sum;
}

static size_t send_bytes(const hs_op_send *send)
{
    size_t bytes = 0;
    for (uint32_t i = 0; i < send->iov_len; i++)
        bytes += send->iov[i].iov_len;
    return bytes;
}

static uint32_t send_some(sim_end *end, const hs_op_send *send, uint32_t want)
{
    uint32_t sent = 0;
    for (uint32_t i = 0; i < send->iov_len && sent < want; i++) {
        uint32_t len = (uint32_t)HS_MIN(send->iov[i].iov_len, want - sent);
        uint32_t n = len ? sim_end_write(end, send->iov[i].iov_base, len) : 0;
        HS_ASSERT(n == len);
        sent += n;
    }
    return sent;
}

static void look_send(sim_op *o, sim_end *end)
{
    sim_world *w = end->wire->w;
    const hs_op_send *send = HS_CONTAINER_OF(o->op, hs_op_send, op);
    HS_ASSERT(sim_send_sum(send) == o->sum); /* its memory changed under way */
    if (end->reset) {
        sim_post(o, end->reset_told ? -EPIPE : -ECONNRESET, false, false, 0);
        end->reset_told = true;
        return;
    }
    if (sim_end_finished(end)) {
        sim_post(o, -EPIPE, false, false, 0);
        return;
    }
    size_t want = HS_MIN(send_bytes(send), sim_pipe_room(&end->other->in));
    if (want == 0 && send_bytes(send) > 0)
        return;
    if (sim_chance(w, w->faults.send_again)) {
        sim_op_look(o, 1000 + sim_spread(w, (uint64_t)w->faults.late_us_max * 1000));
        return;
    }
    if (want > 1 && sim_chance(w, w->faults.send_short))
        want = 1 + sim_below(w, want);
    sim_post(o, (int32_t)send_some(end, send, (uint32_t)want), false, false, 0);
}

/* ---- accept ---- */

static sim_end *backlog_pop(sim_fd *f)
{
    sim_end *end = f->backlog[0];
    f->backlog_len--;
    memmove(f->backlog, f->backlog + 1, f->backlog_len * sizeof(f->backlog[0]));
    return end;
}

static int accept_error(sim_world *w, sim_fd *f)
{
    static const int errors[] = {-EMFILE, -ENFILE, -ENOMEM, -ECONNABORTED};
    int error = errors[sim_below(w, HS_ARRAY_LEN(errors))];
    if (error != -ECONNABORTED)
        return error;
    if (f->backlog[0]->wire->spared)
        return -ENOBUFS;
    sim_end *end = backlog_pop(f);
    sim_harm(end->wire, "accept aborted");
    sim_end_close(end, true);
    return error;
}

static void look_accept(sim_op *o)
{
    sim_world *w = o->io->w;
    sim_fd *listener = sim_fd_at(w, o->fd);
    if (listener->backlog_len == 0)
        return;
    if (sim_chance(w, w->faults.accept_error)) {
        sim_post(o, accept_error(w, listener), false, false, 0);
        return;
    }
    int fd = sim_fd_take(w, SIM_FD_STREAM);
    if (fd < 0) {
        sim_post(o, fd, false, false, 0);
        return;
    }
    sim_end *end = backlog_pop(listener);
    HS_ASSERT(end->stage == SIM_QUEUED);
    end->stage = SIM_OPEN;
    end->fd = fd;
    sim_fd *f = sim_fd_at(w, fd);
    f->end = end;
    f->port = listener->port;
    f->family = listener->family;
    bool more = !o->op->events;
    sim_post(o, fd, more, false, 0);
    if (more)
        sim_op_look(o, 0);
}

/* ---- connect ---- */

uint64_t sim_connect_sum(const hs_op_connect *connect)
{
    const uint8_t *bytes = (const uint8_t *)connect->addr;
    return sim_sum((uintptr_t)connect->addr, bytes, connect->addr_len);
}

static void look_connect(sim_op *o)
{
    sim_world *w = o->io->w;
    sim_fd *f = sim_fd_at(w, o->fd);
    const hs_op_connect *connect = HS_CONTAINER_OF(o->op, hs_op_connect, op);
    HS_ASSERT(sim_connect_sum(connect) == o->sum); /* its memory changed under way */
    if (!f->end) {
        int error = sim_connect_begin(w, o->fd, connect->addr, connect->addr_len);
        if (error)
            sim_post(o, error, false, false, 0);
    } else if (f->end->stage == SIM_OPEN) {
        f->kind = SIM_FD_STREAM;
        sim_post(o, 0, false, false, 0);
    } else if (f->end->other->stage == SIM_CLOSED) {
        sim_post(o, f->end->wire->error, false, false, 0);
    }
}

/* ---- the looks ---- */

static void look_poll(sim_op *o)
{
    uint16_t always = POLLERR | POLLHUP;
    uint16_t ready = sim_readiness(o->io->w, o->fd) & (uint16_t)(o->op->events | always);
    if (ready)
        sim_post(o, ready, false, false, 0);
}

static void look(sim_op *o)
{
    HS_ASSERT(o->state == SIM_OP_ARMED);
    sim_world *w = o->io->w;
    switch (o->kind) {
    case HS_OP_ACCEPT:
        look_accept(o);
        break;
    case HS_OP_RECV:
        look_recv(o, sim_fd_at(w, o->fd)->end);
        break;
    case HS_OP_SEND:
        look_send(o, sim_fd_at(w, o->fd)->end);
        break;
    case HS_OP_CONNECT:
        look_connect(o);
        break;
    default:
        HS_ASSERT(o->kind == HS_OP_POLL);
        look_poll(o);
        break;
    }
}

static void attempt(sim_world *w, sim_event *event)
{
    (void)w;
    sim_op *o = HS_CONTAINER_OF(event, sim_op, attempt);
    if (o->io->cq_len > SIM_CQ_MAX / 2)
        sim_op_look(o, 100000); /* the backend is far behind */
    else
        look(o);
}

void sim_op_look(sim_op *o, uint64_t after_ns)
{
    sim_event_set(o->io->w, &o->attempt, after_ns, attempt);
}

void sim_kick(sim_world *w, int fd)
{
    for (sim_op *o = sim_fd_at(w, fd)->ops; o; o = o->next_fd)
        if (o->state == SIM_OP_ARMED && !hs_heap_has(&o->attempt.node))
            sim_op_look(o, sim_late(w, w->faults.op_late));
}

static void cancel_now(sim_world *w, sim_event *event)
{
    sim_op *o = HS_CONTAINER_OF(event, sim_op, cancel);
    if (o->state == SIM_OP_ARMED && sim_chance(w, w->faults.cancel_natural))
        look(o);
    if (o->state != SIM_OP_ENDED)
        sim_post(o, -ECANCELED, false, false, 0);
}

void sim_op_cancel_look(sim_op *o, uint64_t after_ns)
{
    sim_event_set(o->io->w, &o->cancel, after_ns, cancel_now);
}
