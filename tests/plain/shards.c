/* Shards on threads of their own: start, calls across them, timers, stop and join, for real.
 *
 * A plain program, so that it runs under ThreadSanitizer too. Every shard calls every shard (itself
 * included) many times, keeps as many calls under way as it may, and sees each answered once and in
 * order. With HS_CAPS_DISABLE=msg_ring the same runs on the eventfd wake-up. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "hs_group.h"
#include "hs_limits.h"

#define SHARDS 3
#define CALLS_EACH 20000

/* What one shard knows; the other shards touch it in calls to it alone. */
typedef struct state {
    hs_call_op calls[SHARDS][HS_CALLS_MAX + 1]; /* one is tried while all others are under way */
    uint32_t sent[SHARDS], answered[SHARDS], served[SHARDS];
    uint32_t blocked;
    uint32_t ticks;
    hs_timer timer;
    bool stopped, ended;
} state;

static state states[SHARDS];

static void send_more(uint32_t target);

/* On the target: calls of one origin arrive in the order in which they were made. */
static void serve(hs_call_op *call)
{
    hs_shard *s = hs_shard_self();
    CHECK(call->target == s);
    state *st = &states[hs_shard_id(s)];
    uint32_t number = (uint32_t)(uintptr_t)call->arg;
    CHECK(st->served[hs_shard_id(call->origin)]++ == number);
    call->result = number + UINT64_C(7);
}

/* On the origin: so do the answers. */
static void served(hs_call_op *call)
{
    hs_shard *s = hs_shard_self();
    CHECK(call->origin == s);
    uint32_t target = hs_shard_id(call->target);
    state *st = &states[hs_shard_id(s)];
    CHECK(call->result == st->answered[target] + UINT64_C(7));
    st->answered[target]++;
    send_more(target);
}

static void send_more(uint32_t target)
{
    hs_shard *s = hs_shard_self();
    state *st = &states[hs_shard_id(s)];
    while (st->sent[target] < CALLS_EACH) {
        hs_call_op *call = &st->calls[target][st->sent[target] % (HS_CALLS_MAX + 1)];
        *call =
            (hs_call_op){.fn = serve, .done = served, .arg = (void *)(uintptr_t)st->sent[target]};
        hs_err err = hs_call_op_start(hs_shard_peer(s, target), call);
        if (err.code == HS_E_BLOCKED) {
            st->blocked++;
            return;
        }
        CHECK(hs_ok(err));
        st->sent[target]++;
    }
}

/* The first tick starts the calls: by then every shard is there. */
static void tick(hs_timer *timer)
{
    hs_shard *s = hs_shard_self();
    state *st = &states[hs_shard_id(s)];
    uint32_t done = 0;
    if (st->ticks++ == 0)
        for (uint32_t i = 0; i < SHARDS; i++)
            send_more(i);
    for (uint32_t i = 0; i < SHARDS; i++)
        done += st->answered[i];
    if (done < SHARDS * CALLS_EACH) {
        CHECK(hs_ok(hs_timer_after(s, timer, 1, tick)));
        return;
    }
    hs_shard_release(s);
}

static hs_err start(hs_shard *s, void *ctx)
{
    CHECK(ctx == states);
    CHECK(hs_shard_self() == s);
    CHECK(hs_shard_count(s) == SHARDS);
    hs_shard_hold(s);
    return hs_timer_after(s, &states[hs_shard_id(s)].timer, 1, tick);
}

static void stop(hs_shard *s, void *ctx)
{
    (void)ctx;
    CHECK(!states[hs_shard_id(s)].stopped);
    states[hs_shard_id(s)].stopped = true;
}

static void end(hs_shard *s, void *ctx)
{
    (void)ctx;
    CHECK(states[hs_shard_id(s)].stopped);
    states[hs_shard_id(s)].ended = true;
}

static void test_calls(void)
{
    memset(states, 0, sizeof states);
    hs_group_options o;
    hs_group_options_init(&o);
    o.shards = SHARDS;
    o.start = start;
    o.stop = stop;
    o.end = end;
    o.ctx = states;
    hs_group *group;
    CHECK(hs_ok(hs_group_start(&o, &group)));
    CHECK(hs_group_shards(group) == SHARDS);
    /* The stop comes in the middle of the work: what holds a shard is finished first. */
    hs_group_stop(group);
    hs_group_stop(group);
    hs_group_join(group);
    for (uint32_t i = 0; i < SHARDS; i++) {
        CHECK(states[i].stopped && states[i].ended);
        for (uint32_t k = 0; k < SHARDS; k++) {
            CHECK(states[i].answered[k] == CALLS_EACH);
            CHECK(states[i].served[k] == CALLS_EACH);
        }
        CHECK(states[i].blocked > 0);
    }
}

/* ---- a stop while work goes from shard to shard ---- */

#define HOPS 30
#define STOPS 20

/* One call at a time is under way: whoever serves it begins the next, so that at each moment all
 * shards but one or two have nothing to do, and the end must still wait for the last. */
static hs_call_op hops[HOPS];

static void hop_done(hs_call_op *op)
{
    (void)op;
}

static void hop(hs_call_op *op)
{
    hs_call_op *next = op + 1;
    if (next == hops + HOPS)
        return;
    hs_shard *s = hs_shard_self();
    *next = (hs_call_op){.fn = hop, .done = hop_done};
    hops[0].result++;
    CHECK(hs_ok(hs_call_op_start(hs_shard_peer(s, (hs_shard_id(s) + 1) % SHARDS), next)));
}

static void hop_begin(hs_timer *timer)
{
    (void)timer;
    hs_shard *s = hs_shard_self();
    hops[0] = (hs_call_op){.fn = hop, .done = hop_done};
    CHECK(hs_ok(hs_call_op_start(hs_shard_peer(s, 1), &hops[0])));
    hs_shard_release(s);
}

static hs_err hop_start(hs_shard *s, void *ctx)
{
    if (hs_shard_id(s) != 0)
        return HS_OK;
    hs_shard_hold(s);
    return hs_timer_after(s, ctx, 1, hop_begin);
}

static void test_stop_in_between(void)
{
    for (uint32_t i = 0; i < STOPS; i++) {
        hs_timer timer = {0};
        hs_group_options o;
        hs_group_options_init(&o);
        o.shards = SHARDS;
        o.log_fd = -1;
        o.start = hop_start;
        o.ctx = &timer;
        hs_group *group;
        CHECK(hs_ok(hs_group_start(&o, &group)));
        hs_group_stop(group);
        hs_group_join(group);
        CHECK(hops[0].result == HOPS - 1);
    }
}

static hs_err start_badly(hs_shard *s, void *ctx)
{
    (void)ctx;
    return hs_shard_id(s) == 1 ? hs_err_of(HS_E_LIMIT) : HS_OK;
}

static void test_failing_start(void)
{
    hs_group_options o;
    hs_group_options_init(&o);
    o.shards = SHARDS;
    o.start = start_badly;
    hs_group *group;
    hs_err err = hs_group_start(&o, &group);
    CHECK(err.code == HS_E_LIMIT);
}

/* ---- no memory ---- */

static atomic_uint takes_left, pieces_out;

static void *take_some(void *ctx, size_t bytes, size_t align)
{
    (void)ctx;
    if (atomic_load(&takes_left) == 0 || atomic_fetch_sub(&takes_left, 1) == 0) {
        atomic_store(&takes_left, 0);
        return NULL;
    }
    void *ptr = hs_mem_take(hs_mem_system(), bytes, align);
    atomic_fetch_add(&pieces_out, ptr != NULL);
    return ptr;
}

static void give_some(void *ctx, void *ptr, size_t bytes, size_t align)
{
    (void)ctx;
    hs_mem_give(hs_mem_system(), ptr, bytes, align);
    atomic_fetch_sub(&pieces_out, 1);
}

/* Whatever is the first that there is no memory for: a start says so, and leaves nothing. */
static void test_start_without_memory(void)
{
    static const hs_mem mem = {.take = take_some, .give = give_some};
    hs_group_options o;
    hs_group_options_init(&o);
    o.shards = 2;
    o.pin_off = true;
    o.log_fd = -1;
    o.mem = &mem;
    hs_group *group;
    hs_err err = hs_err_errno(ENOMEM);
    for (uint32_t takes = 0; !hs_ok(err); takes++) {
        atomic_store(&takes_left, takes);
        err = hs_group_start(&o, &group);
        CHECK(hs_ok(err) || err.code == -ENOMEM);
        CHECK(hs_ok(err) || atomic_load(&pieces_out) == 0);
        CHECK(takes < 1000);
    }
    hs_group_stop(group);
    hs_group_join(group);
    CHECK(atomic_load(&pieces_out) == 0);
}

int main(void)
{
    test_calls();
    test_stop_in_between();
    test_failing_start();
    test_start_without_memory();
    printf("shards: calls, stop and failing start are fine\n");
    return 0;
}
