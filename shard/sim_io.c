/* The simulated backend: the seam of hs_io.h over a fake kernel.
 *
 * Owns: what was started and not told, and what a turn shows to the kernel. Checks that its caller
 * keeps the rules of the seam. Must not know: what an op does, which completion is told first.
 * Tested by: tests/unit/shard_io_sim.c. */
#include <string.h>

#include "sim_inside.h"

static sim_io *of(hs_io *io)
{
    HS_ASSERT(io->ops == &sim_io_ops);
    return (sim_io *)io;
}

/* ---- starting ---- */

static sim_op *op_find(sim_io *io, const hs_op *op)
{
    for (sim_op *o = io->ops; o; o = o->next)
        if (o->op == op)
            return o;
    return NULL;
}

static void check_start(const sim_io *io, const sim_fd *f, const hs_op *op)
{
    bool accepts = op->kind == HS_OP_ACCEPT;
    HS_ASSERT(op->kind == HS_OP_POLL || (f->kind == SIM_FD_LISTENER) == accepts);
    /* A socket connects once, and is good for nothing before. */
    HS_ASSERT((f->kind == SIM_FD_SOCKET) == (op->kind == HS_OP_CONNECT));
    HS_ASSERT(op->kind != HS_OP_CONNECT || f->end == NULL);
    for (const sim_op *o = f->ops; o; o = o->next_fd) {
        HS_ASSERT(o->io == io);                                   /* one shard owns a file */
        HS_ASSERT(o->kind != op->kind || op->kind == HS_OP_POLL); /* one of a kind at a time */
    }
}

static void start(hs_io *base, hs_op *op)
{
    sim_io *io = of(base);
    HS_ASSERT(io->w->running == io || io->co == NULL); /* from its own thread alone */
    HS_ASSERT(op_find(io, op) == NULL);                /* it is under way already */
    sim_fd *f = sim_fd_at(io->w, op->fd);
    check_start(io, f, op);
    sim_op *o = hs_mem_take_zero(sim_mem(), sizeof(*o), _Alignof(sim_op));
    HS_ASSERT(o != NULL);
    o->io = io;
    o->op = op;
    o->done = op->done;
    o->fd = op->fd;
    o->kind = op->kind;
    if (op->kind == HS_OP_SEND) {
        const hs_op_send *send = HS_CONTAINER_OF(op, hs_op_send, op);
        HS_ASSERT(send->iov_len >= 1 && send->iov_len <= HS_SEND_IOV_MAX);
        o->sum = sim_send_sum(send);
    }
    if (op->kind == HS_OP_CONNECT)
        o->sum = sim_connect_sum(HS_CONTAINER_OF(op, hs_op_connect, op));
    sim_op **last = &io->ops;
    while (*last)
        last = &(*last)->next;
    *last = o;
    o->next_fd = f->ops;
    f->ops = o;
    sim_note(io->w, "start", o->fd, o->kind, 0);
}

static void cancel(hs_io *base, hs_op *op)
{
    sim_op *o = op_find(of(base), op);
    if (!o)
        return; /* its last completion is with the loop already */
    o->cancel_asked = true;
    sim_note(o->io->w, "cancel", o->fd, o->kind, 0);
}

static void op_end(sim_op *o)
{
    sim_world *w = o->io->w;
    sim_event_cancel(w, &o->attempt);
    sim_event_cancel(w, &o->cancel);
    sim_op **at = &o->io->ops;
    while (*at != o)
        at = &(*at)->next;
    *at = o->next;
    at = &sim_fd_at(w, o->fd)->ops;
    while (*at != o)
        at = &(*at)->next_fd;
    *at = o->next_fd;
    hs_mem_give(sim_mem(), o, sizeof(*o), _Alignof(sim_op));
}

/* ---- completions ---- */

static void check_untouched(const sim_op *o)
{
    HS_ASSERT(o->op->done == o->done);
    HS_ASSERT(o->op->fd == o->fd);
    HS_ASSERT(o->op->kind == o->kind);
    if (o->kind == HS_OP_SEND)
        HS_ASSERT(sim_send_sum(HS_CONTAINER_OF(o->op, hs_op_send, op)) == o->sum);
    if (o->kind == HS_OP_CONNECT)
        HS_ASSERT(sim_connect_sum(HS_CONTAINER_OF(o->op, hs_op_connect, op)) == o->sum);
}

static void tell(sim_io *io, uint32_t at, hs_io_event *ev)
{
    sim_cqe c = io->cq[at];
    io->cq_len--;
    memmove(&io->cq[at], &io->cq[at + 1], (io->cq_len - at) * sizeof(c));
    check_untouched(c.op);
    *ev = (hs_io_event){.op = c.op->op, .res = c.res, .buf = c.buf, .more = c.more};
    if (c.has_buf) {
        rbuf_lend(&io->rbuf, c.buf);
        ev->data = rbuf_at(&io->rbuf, c.buf);
    }
    sim_note(io->w, "tell", c.op->fd, c.res, c.more);
    if (!c.more)
        op_end(c.op);
}

static uint32_t reap(sim_io *io, hs_io_event *events, uint32_t max)
{
    sim_world *w = io->w;
    if (sim_chance(w, w->faults.done_few)) {
        uint32_t few = 1 + (uint32_t)sim_below(w, 4);
        max = HS_MIN(max, few);
    }
    uint32_t n = 0;
    while (n < max) {
        uint32_t at = sim_cq_pick(io);
        if (at == io->cq_len)
            break;
        tell(io, at, &events[n++]);
    }
    if (n > 0)
        sim_cq_set_due(io);
    return n;
}

/* ---- the turn ---- */

/* The kernel sees what was started, cancelled and closed. */
static void submit(sim_io *io)
{
    sim_world *w = io->w;
    for (sim_op *o = io->ops; o; o = o->next) {
        if (o->state == SIM_OP_STARTED) {
            o->state = SIM_OP_ARMED;
            sim_op_look(o, sim_late(w, w->faults.op_late));
        }
        if (o->cancel_asked && !o->cancel_seen && o->state != SIM_OP_ENDED) {
            o->cancel_seen = true;
            sim_op_cancel_look(o, sim_late(w, w->faults.cancel_late));
        }
    }
    while (io->closing_len > 0)
        sim_fd_release(w, io->closing[--io->closing_len]);
}

static uint32_t turn(hs_io *base, uint64_t deadline_ns, hs_io_event *events, uint32_t max)
{
    sim_io *io = of(base);
    HS_ASSERT(max > 0);
    submit(io);
    sim_spend(io->w);
    /* Others get their chance even while this one is busy. */
    sim_wait(io, 0);
    uint32_t n;
    while ((n = reap(io, events, max)) == 0) {
        if (io->woken || deadline_ns <= io->w->now || !sim_wait(io, deadline_ns))
            break;
    }
    io->woken = false;
    return n;
}

static void woken(sim_world *w, sim_event *event)
{
    (void)w;
    HS_CONTAINER_OF(event, sim_io, wake)->woken = true;
}

static void wake_any(hs_io *base)
{
    sim_io *io = of(base);
    sim_world *w = io->w;
    sim_note(w, "wake", io->number, 0, 0);
    if (sim_chance(w, w->faults.wake_late))
        sim_event_set(w, &io->wake, sim_spread(w, (uint64_t)w->faults.late_us_max * 1000), woken);
    else
        io->woken = true;
}

static void wake(hs_io *base, hs_io *target)
{
    HS_ASSERT(of(base)->w == of(target)->w);
    wake_any(target);
}

static void buf_give(hs_io *base, uint16_t buf)
{
    sim_provide_one(of(base), buf);
}

static bool trim(hs_io *base)
{
    sim_io *io = of(base);
    for (uint32_t i = 0; i < io->cq_len; i++)
        if (io->cq[i].has_buf)
            return true;
    return rbuf_trim(&io->rbuf);
}

static uint64_t now_ns(hs_io *base)
{
    return of(base)->w->now;
}

static uint64_t wall_ns(hs_io *base)
{
    return UINT64_C(1800000000) * HS_SEC_NS + of(base)->w->now;
}

/* ---- the whole ---- */

/* The caller is done with the backend; the world frees it. */
static void destroy(hs_io *base)
{
    sim_io *io = of(base);
    HS_ASSERT(base->ops_active == 0);
    HS_ASSERT(io->ops == NULL);
    HS_ASSERT(io->rbuf.lent == 0);
    submit(io);
}

hs_err sim_io_create(sim_world *w, uint32_t number, const hs_mem *mem, sim_io **out)
{
    sim_io *io = hs_mem_take_zero(sim_mem(), sizeof(*io), _Alignof(sim_io));
    HS_ASSERT(io != NULL);
    hs_err err = rbuf_init(&io->rbuf, mem);
    if (!hs_ok(err)) {
        hs_mem_give(sim_mem(), io, sizeof(*io), _Alignof(sim_io));
        return err;
    }
    io->io.ops = &sim_io_ops;
    io->w = w;
    io->number = number;
    io->ring_cap = HS_MAX(1, HS_MIN(w->faults.rbufs, HS_RBUFS_MIN));
    sim_provide(io);
    *out = io;
    return HS_OK;
}

void sim_io_free(sim_io *io)
{
    destroy(&io->io);
    HS_ASSERT(!io->co || sim_co_ended(io->co));
    if (io->co)
        sim_co_destroy(io->co);
    sim_event_cancel(io->w, &io->due);
    sim_event_cancel(io->w, &io->wake);
    rbuf_validate(&io->rbuf);
    rbuf_fini(&io->rbuf);
    hs_mem_give(sim_mem(), io, sizeof(*io), _Alignof(sim_io));
}

const hs_io_ops sim_io_ops = {
    .name = "sim",
    .destroy = destroy,
    .now_ns = now_ns,
    .wall_ns = wall_ns,
    .start = start,
    .cancel = cancel,
    .shutdown = sim_shutdown,
    .reset = sim_reset_on_close,
    .close = sim_close,
    .turn = turn,
    .buf_give = buf_give,
    .wake = wake,
    .wake_any = wake_any,
    .trim = trim,
    .listen = sim_listen,
    .sockname = sim_sockname,
    .socket = sim_socket,
    .bind = sim_bind,
    .sockopt = sim_sockopt,
};
