/* See race.h. Tested by: tests/unit/net_dial_race.c. */
#include "race.h"

#include <errno.h>

#include "hs_assert.h"

typedef struct attempt {
    hs_list link;
    race *r;
    hs_op_connect connect;
    hs_addr addr;
} attempt;

static void go_on(race *r);

size_t race_attempt_bytes(void)
{
    return sizeof(attempt);
}

void race_init(race *r, hs_shard *shard, hs_pool *attempts)
{
    *r = (race){.shard = shard, .attempts = attempts, .open = true};
    hs_list_init(&r->running);
}

void race_fini(race *r)
{
    HS_ASSERT(hs_list_empty(&r->running));
    HS_ASSERT(!hs_timer_active(&r->pace));
    for (int i = 0; i < 2; i++) {
        race_queue *q = &r->queues[i];
        hs_mem_give(hs_shard_mem(r->shard), q->addrs, q->len * sizeof *q->addrs, 16);
    }
}

hs_err race_add(race *r, uint32_t queue, const hs_addr *addrs, uint32_t len, uint16_t port)
{
    race_queue *q = &r->queues[queue];
    HS_ASSERT(queue < 2 && len > 0);
    HS_ASSERT(q->addrs == NULL);
    q->addrs = hs_mem_take(hs_shard_mem(r->shard), len * sizeof *addrs, 16);
    HS_ENSURE(q->addrs, -ENOMEM);
    q->len = len;
    for (uint32_t i = 0; i < len; i++) {
        q->addrs[i] = addrs[i];
        if (port)
            hs_addr_set_port(&q->addrs[i], port);
    }
    return HS_OK;
}

uint32_t race_waiting(const race *r, uint32_t queue)
{
    HS_ASSERT(queue < 2);
    return r->queues[queue].len - r->queues[queue].next;
}

/* ---- errors ---- */

/* What a host said tells more than that there is no way to it, and that more than what our own side
 * could not do. */
static int rank_of(hs_err err, bool refused_by_us)
{
    if (refused_by_us)
        return 1;
    switch (err.code) {
    case -ENETUNREACH:
    case -EHOSTUNREACH:
    case -EADDRNOTAVAIL:
    case -EAFNOSUPPORT:
    case -EPROTONOSUPPORT:
        return 2;
    default:
        return 3;
    }
}

static void note_error(race *r, const hs_addr *addr, hs_err err, bool refused_by_us)
{
    int rank = rank_of(err, refused_by_us);
    HS_ASSERT(!hs_ok(err));
    if (rank <= r->rank)
        return;
    r->rank = rank;
    r->err = err;
    r->err_addr = *addr;
}

/* ---- attempts ---- */

/* Of the families in turn; of one alone when the other has none. */
static const hs_addr *next_addr(race *r)
{
    if (race_waiting(r, r->turn) == 0)
        r->turn = !r->turn;
    race_queue *q = &r->queues[r->turn];
    if (q->next == q->len)
        return NULL;
    r->turn = !r->turn;
    return &q->addrs[q->next++];
}

static void attempt_free(attempt *a)
{
    race *r = a->r;
    HS_ASSERT(!hs_op_active(&a->connect.op));
    hs_list_remove(&a->link);
    hs_pool_give(r->attempts, a);
}

/* End it: no attempt starts any more, and those that run are cancelled. */
static void finish(race *r)
{
    HS_ASSERT(!r->over);
    r->over = true;
    hs_timer_cancel(r->shard, &r->pace);
    hs_list_each (node, &r->running) {
        attempt *a = HS_CONTAINER_OF(node, attempt, link);
        hs_io_cancel(hs_shard_io(r->shard), &a->connect.op);
    }
}

static void on_connect(hs_op *op, const hs_io_event *ev)
{
    attempt *a = HS_CONTAINER_OF(HS_CONTAINER_OF(op, hs_op_connect, op), attempt, connect);
    race *r = a->r;
    int fd = op->fd;
    HS_ASSERT(!ev->more && ev->res <= 0);
    if (ev->res < 0 && !r->over)
        note_error(r, &a->addr, hs_err_of(ev->res), false);
    attempt_free(a);
    if (r->over || ev->res < 0)
        hs_io_close(hs_shard_io(r->shard), fd);
    if (r->over) {
        if (hs_list_empty(&r->running))
            r->idle(r);
    } else if (ev->res == 0) {
        finish(r);
        r->won(r, fd);
    } else {
        go_on(r);
    }
}

static hs_err attempt_start(race *r, const hs_addr *addr)
{
    hs_io *io = hs_shard_io(r->shard);
    attempt *a = hs_pool_take(r->attempts);
    HS_ENSURE(a, r->attempts->slots_used == r->attempts->slots_max ? HS_E_LIMIT : -ENOMEM);
    int fd = hs_io_socket(io, addr->sa.any.sa_family, SOCK_STREAM, 0);
    int res = fd < 0 ? fd : 0;
    if (res == 0 && r->local.len > 0)
        res = hs_io_bind(io, fd, &r->local.sa.any, r->local.len);
    if (res < 0) {
        if (fd >= 0)
            hs_io_close(io, fd);
        hs_pool_give(r->attempts, a);
        return hs_err_of(res);
    }
    *a = (attempt){.r = r, .addr = *addr};
    hs_list_init(&a->link);
    hs_list_push_back(&r->running, &a->link);
    hs_io_connect(io, &a->connect, fd, &a->addr.sa.any, a->addr.len, on_connect);
    return HS_OK;
}

static bool allowed(race *r, const hs_addr *addr)
{
    if (!r->allow)
        return true;
    hs_err err = r->allow(addr, r->ctx);
    if (!hs_ok(err))
        note_error(r, addr, err, true);
    return hs_ok(err);
}

static void on_pace(hs_timer *timer)
{
    go_on(HS_CONTAINER_OF(timer, race, pace));
}

/* Start the next attempt now, if there is an address. */
static void go_on(race *r)
{
    const hs_addr *addr;
    r->due = true;
    while (!r->over && (addr = next_addr(r)) != NULL) {
        r->tried++;
        r->last_addr = *addr;
        if (!allowed(r, addr) || r->over)
            continue;
        r->connected_to = true;
        hs_err err = attempt_start(r, addr);
        if (!hs_ok(err)) {
            note_error(r, addr, err, false);
            continue;
        }
        /* Without a timer the next attempt begins when this one has failed. */
        r->due = !hs_ok(hs_timer_after(r->shard, &r->pace, r->attempt_ms, on_pace));
        return;
    }
    if (r->over)
        return;
    hs_timer_cancel(r->shard, &r->pace);
    if (r->open || !hs_list_empty(&r->running))
        return;
    finish(r);
    r->lost(r);
}

void race_go(race *r)
{
    HS_ASSERT(!r->over);
    if (!r->started || r->due) {
        r->started = true;
        go_on(r);
    }
}

bool race_failed(const race *r)
{
    return r->rank > 0 && hs_list_empty(&r->running) && race_waiting(r, 0) == 0 &&
           race_waiting(r, 1) == 0;
}

bool race_stop(race *r)
{
    if (!r->over)
        finish(r);
    return hs_list_empty(&r->running);
}
