/* Calls whose answers come later, the line before a full queue, and the two rounds of a stop, on
 * the simulated backend. */
#include <criterion/criterion.h>
#include <signal.h>
#include <string.h>

#include "hs_limits.h"
#include "inside.h"
#include "sim/cluster.h"

#define HOUR_NS (3600 * HS_SEC_NS)
#define SHARDS 3

static cluster_options calm_options(uint32_t shards, void *ctx)
{
    static sim_faults calm;
    sim_faults_none(&calm);
    return (cluster_options){.sim = {.seed = 1, .shards = shards, .faults = &calm}, .ctx = ctx};
}

/* Run a cluster whose shards stop by themselves. */
static void run(cluster_options o, uint64_t seed)
{
    o.sim.seed = seed;
    cluster c;
    cr_assert(hs_ok(cluster_init(&c, &o)));
    cr_assert_eq(cluster_run(&c, HOUR_NS), CLUSTER_ENDED, "seed %llu", (unsigned long long)seed);
    cluster_fini(&c);
}

/* ---- answers in any order ---- */

#define LATE_CALLS (3 * HS_CALLS_MAX) /* under way at a time: more than a queue has room for */

typedef struct late_call {
    hs_call_op op;
    hs_timer timer; /* on the target: when the answer comes */
    uint32_t number, done;
} late_call;

typedef struct late_shard {
    hs_timer begin;
    late_call calls[SHARDS][LATE_CALLS];
    uint32_t served[SHARDS]; /* by origin */
    uint32_t pending, pending_max, done, turned_over, last_done;
} late_shard;

static late_shard late[SHARDS];

static void late_due(hs_timer *timer)
{
    late_call *call = HS_CONTAINER_OF(timer, late_call, timer);
    late[hs_shard_id(hs_shard_self())].pending--;
    call->op.result = call->number * UINT64_C(3);
    hs_call_op_answer(&call->op);
}

static void late_serve(hs_call_op *op)
{
    late_call *call = HS_CONTAINER_OF(op, late_call, op);
    hs_shard *s = hs_shard_self();
    late_shard *here = &late[hs_shard_id(s)];
    cr_assert_eq(s, op->target);
    cr_assert_eq(here->served[hs_shard_id(op->origin)]++, call->number); /* they begin in order */
    switch (hs_shard_random(s) % 8) {
    case 0: /* now */
        call->op.result = call->number * UINT64_C(3);
        return;
    case 1: /* now too, but as if it were later */
        hs_call_op_defer(op);
        call->op.result = call->number * UINT64_C(3);
        hs_call_op_answer(op);
        return;
    default:
        hs_call_op_defer(op);
        here->pending++;
        here->pending_max = HS_MAX(here->pending_max, here->pending);
        cr_assert(hs_ok(hs_timer_after(s, &call->timer, hs_shard_random(s) % 2000, late_due)));
    }
}

static void late_done(hs_call_op *op)
{
    late_call *call = HS_CONTAINER_OF(op, late_call, op);
    hs_shard *s = hs_shard_self();
    late_shard *here = &late[hs_shard_id(s)];
    cr_assert_eq(s, op->origin);
    cr_assert_eq(call->done++, 0);
    cr_assert_eq(op->result, call->number * UINT64_C(3));
    here->turned_over += call->number < here->last_done;
    here->last_done = call->number;
    memset(op, 0xee, sizeof *op); /* it is the caller's again */
    if (++here->done == SHARDS * LATE_CALLS)
        shard_stop(s);
}

static void late_begin(hs_timer *timer)
{
    (void)timer;
    hs_shard *s = hs_shard_self();
    for (uint32_t to = 0; to < SHARDS; to++)
        for (uint32_t i = 0; i < LATE_CALLS; i++) {
            late_call *call = &late[hs_shard_id(s)].calls[to][i];
            *call = (late_call){.op = {.fn = late_serve, .done = late_done}, .number = i};
            cr_assert(hs_ok(mail_post(hs_shard_peer(s, to), &call->op)));
            cr_assert_eq(call->op.waits, i >= HS_CALLS_MAX);
        }
}

static hs_err late_start(hs_shard *s, void *ctx)
{
    (void)ctx;
    return hs_timer_after(s, &late[hs_shard_id(s)].begin, 1, late_begin);
}

Test(shard_mail, deferred_calls_are_answered_once_in_any_order_and_hold_no_place)
{
    uint32_t pending_max = 0, turned_over = 0;
    for (uint64_t seed = 1; seed <= 40; seed++) {
        memset(late, 0, sizeof late);
        run((cluster_options){.sim = {.shards = SHARDS}, .start = late_start}, seed);
        for (uint32_t i = 0; i < SHARDS; i++) {
            cr_assert_eq(late[i].done, SHARDS * LATE_CALLS);
            pending_max = HS_MAX(pending_max, late[i].pending_max);
            turned_over += late[i].turned_over;
        }
    }
    /* From each of the others there were more under way than a queue has places. */
    cr_assert_gt(pending_max, SHARDS * HS_CALLS_MAX);
    cr_assert_gt(turned_over, 0);
}

/* ---- calls within calls ---- */

#define DEPTH 6
#define ROOTS (2 * HS_CALLS_MAX)

/* Each is answered only when the next one down is: 0 calls 1, which calls 0, and so on. */
typedef struct nest {
    hs_call_op ops[DEPTH];
} nest;

static nest nests[ROOTS];
static uint32_t nests_done;

static void nest_serve(hs_call_op *op);

static void nest_done(hs_call_op *op)
{
    uint32_t level = (uint32_t)(uintptr_t)op->arg;
    if (level > 0) {
        hs_call_op_answer(op - 1);
        return;
    }
    if (++nests_done == ROOTS)
        for (uint32_t i = 0; i < 2; i++)
            shard_stop(hs_shard_peer(hs_shard_self(), i));
}

static void nest_call(hs_call_op *op, uint32_t level)
{
    hs_shard *s = hs_shard_self();
    *op = (hs_call_op){.fn = nest_serve, .done = nest_done, .arg = (void *)(uintptr_t)level};
    cr_assert(hs_ok(mail_post(hs_shard_peer(s, 1 - hs_shard_id(s)), op)));
}

static void nest_serve(hs_call_op *op)
{
    uint32_t level = (uint32_t)(uintptr_t)op->arg;
    if (level + 1 == DEPTH)
        return;
    hs_call_op_defer(op);
    nest_call(op + 1, level + 1);
}

static void nest_begin(hs_timer *timer)
{
    (void)timer;
    for (uint32_t i = 0; i < ROOTS; i++)
        nest_call(&nests[i].ops[0], 0);
}

static hs_err nest_start(hs_shard *s, void *ctx)
{
    return hs_shard_id(s) == 0 ? hs_timer_after(s, ctx, 1, nest_begin) : HS_OK;
}

Test(shard_mail, two_shards_that_call_each_other_in_a_circle_do_not_block)
{
    for (uint64_t seed = 1; seed <= 20; seed++) {
        hs_timer begin = {0};
        nests_done = 0;
        run((cluster_options){.sim = {.shards = 2}, .start = nest_start, .ctx = &begin}, seed);
        cr_assert_eq(nests_done, ROOTS);
    }
}

/* ---- the line ---- */

typedef struct line_state {
    hs_timer begin;
    hs_call_op ops[HS_CALLS_MAX + 10];
    uint32_t served, done, errors;
} line_state;

static void line_serve(hs_call_op *op)
{
    line_state *st = op->arg;
    uint32_t number = (uint32_t)(op - st->ops);
    /* Number HS_CALLS_MAX + 4 was taken out of the line. */
    cr_assert_eq(number, st->served + (st->served >= HS_CALLS_MAX + 4));
    st->served++;
}

static void line_done(hs_call_op *op)
{
    line_state *st = op->arg;
    if (++st->done == HS_ARRAY_LEN(st->ops) - 1)
        for (uint32_t i = 0; i < 2; i++)
            shard_stop(hs_shard_peer(hs_shard_self(), i));
}

static void line_begin(hs_timer *timer)
{
    line_state *st = HS_CONTAINER_OF(timer, line_state, begin);
    hs_shard *s = hs_shard_self(), *other = hs_shard_peer(s, 1);
    for (uint32_t i = 0; i < HS_ARRAY_LEN(st->ops); i++) {
        st->ops[i] = (hs_call_op){.fn = line_serve, .done = line_done, .arg = st};
        cr_assert(hs_ok(mail_post(other, &st->ops[i])));
    }
    mail_withdraw(&st->ops[HS_CALLS_MAX + 4]);
    hs_call_op refused = st->ops[0];
    cr_assert_eq(hs_call_op_start(other, &refused).code, HS_E_BLOCKED);
}

static hs_err line_start(hs_shard *s, void *ctx)
{
    line_state *st = ctx;
    return hs_shard_id(s) == 0 ? hs_timer_after(s, &st->begin, 1, line_begin) : HS_OK;
}

Test(shard_mail, a_call_in_line_keeps_its_place_and_can_be_taken_back)
{
    line_state st = {0};
    cluster_options o = calm_options(2, &st);
    o.start = line_start;
    run(o, 1);
    cr_assert_eq(st.done, HS_CALLS_MAX + 9);
}

/* ---- stop ---- */

/* Shard 0 calls 1, which answers only when its own call to 2 is answered, which waits for ever: for
 * somebody on shard 0, say. */
typedef struct wait_state {
    hs_timer begin;
    hs_call_op first, second;
    shard_ending endings[SHARDS];
    uint32_t ended, done;
    uint64_t ended_ns, asked_ns;
} wait_state;

static void wait_second_serve(hs_call_op *op)
{
    hs_call_op_defer(op);
}

static void wait_second_done(hs_call_op *op)
{
    wait_state *st = op->arg;
    cr_assert_eq(st->done++, 0);
    hs_call_op_answer(&st->first);
}

static void wait_first_serve(hs_call_op *op)
{
    wait_state *st = op->arg;
    hs_call_op_defer(op);
    st->second = (hs_call_op){.fn = wait_second_serve, .done = wait_second_done, .arg = st};
    cr_assert(hs_ok(hs_call_op_start(hs_shard_peer(hs_shard_self(), 2), &st->second)));
}

static void wait_first_done(hs_call_op *op)
{
    wait_state *st = op->arg;
    cr_assert_eq(st->done++, 1);
}

static void wait_begin(hs_timer *timer)
{
    wait_state *st = HS_CONTAINER_OF(timer, wait_state, begin);
    st->first = (hs_call_op){.fn = wait_first_serve, .done = wait_first_done, .arg = st};
    cr_assert(hs_ok(hs_call_op_start(hs_shard_peer(hs_shard_self(), 1), &st->first)));
    for (uint32_t i = 0; i < SHARDS; i++)
        shard_stop(hs_shard_peer(hs_shard_self(), i));
}

static wait_state *wait_now;

static void wait_ended(shard_ending *ending)
{
    hs_shard *s = hs_shard_self();
    cr_assert(shard_ending_now(s));
    cr_assert_eq(ending, &wait_now->endings[hs_shard_id(s)]);
    wait_now->ended++;
    wait_now->ended_ns = hs_shard_now_ns(s);
    if (hs_shard_id(s) == 2)
        hs_call_op_answer(&wait_now->second);
}

static hs_err wait_start(hs_shard *s, void *ctx)
{
    wait_state *st = ctx;
    uint32_t id = hs_shard_id(s);
    st->endings[id].fn = wait_ended;
    shard_ending_add(s, &st->endings[id]);
    shard_ending unused = {.fn = wait_ended};
    shard_ending_add(s, &unused);
    shard_ending_remove(&unused);
    return id == 0 ? hs_timer_after(s, &st->begin, 1, wait_begin) : HS_OK;
}

Test(shard_mail, shards_that_wait_for_each_other_at_a_stop_are_told_to_end)
{
    for (uint64_t seed = 1; seed <= 50; seed++) {
        wait_state st = {0};
        wait_now = &st;
        run((cluster_options){.sim = {.shards = SHARDS}, .start = wait_start, .ctx = &st}, seed);
        cr_assert_eq(st.ended, SHARDS);
        cr_assert_eq(st.done, 2);
    }
}

/* The same, but somebody still works: nobody is told to end before he is done. */
static void work_done(hs_timer *timer)
{
    wait_state *st = wait_now;
    (void)timer;
    cr_assert_eq(st->ended, 0);
    hs_call_op_answer(&st->second);
    hs_shard_release(hs_shard_self());
}

static void work_stop(hs_shard *s, void *ctx)
{
    static hs_timer timer;
    (void)ctx;
    if (hs_shard_id(s) != 2)
        return;
    timer = (hs_timer){0};
    cr_assert(hs_ok(hs_timer_after(s, &timer, 5000, work_done)));
}

static hs_err work_start(hs_shard *s, void *ctx)
{
    if (hs_shard_id(s) == 2)
        hs_shard_hold(s);
    return wait_start(s, ctx);
}

static void answer_nothing(shard_ending *ending)
{
    (void)ending;
    wait_now->ended++;
}

static hs_err work_start_quietly(hs_shard *s, void *ctx)
{
    HS_TRY(work_start(s, ctx));
    ((wait_state *)ctx)->endings[hs_shard_id(s)].fn = answer_nothing;
    return HS_OK;
}

Test(shard_mail, a_stop_waits_for_a_deferred_answer_that_will_come)
{
    wait_state st = {0};
    wait_now = &st;
    cluster_options o = calm_options(SHARDS, &st);
    o.start = work_start_quietly;
    o.stop = work_stop;
    run(o, 1);
    cr_assert_eq(st.ended, SHARDS);
    cr_assert_eq(st.done, 2);
}

/* A shard that is ready for the end gets something to do: it says so first. Said after the answer
 * it would be too late: the caller, answered, could be the last that is ready. */
typedef struct ready_state {
    hs_timer later, own;
    hs_call_op op;
    uint32_t served, done, held;
} ready_state;

static void ready_serve(hs_call_op *op)
{
    ready_state *st = op->arg;
    hs_shard *s = hs_shard_self();
    cr_assert_not(s->counted);
    cr_assert_eq(atomic_load(&s->mail->rounds[0]), 0);
    st->served++;
}

static void ready_done(hs_call_op *op)
{
    ((ready_state *)op->arg)->done++;
}

static void ready_later(hs_timer *timer)
{
    ready_state *st = HS_CONTAINER_OF(timer, ready_state, later);
    hs_shard *s = hs_shard_self();
    cr_assert_eq(atomic_load(&s->mail->rounds[0]), 1);
    st->op = (hs_call_op){.fn = ready_serve, .done = ready_done, .arg = st};
    cr_assert(hs_ok(hs_call_op_start(hs_shard_peer(s, 1), &st->op)));
    hs_shard_release(s);
}

static void ready_own(hs_timer *timer)
{
    ready_state *st = HS_CONTAINER_OF(timer, ready_state, own);
    hs_shard *s = hs_shard_self();
    cr_assert(s->counted);
    hs_shard_hold(s);
    cr_assert_not(s->counted);
    hs_shard_release(s);
    st->held++;
}

static void ready_stop(hs_shard *s, void *ctx)
{
    ready_state *st = ctx;
    if (hs_shard_id(s) == 0)
        cr_assert(hs_ok(hs_timer_after(s, &st->later, 5000, ready_later)));
    else
        cr_assert(hs_ok(hs_timer_after(s, &st->own, 2000, ready_own)));
}

static hs_err ready_start(hs_shard *s, void *ctx)
{
    (void)ctx;
    if (hs_shard_id(s) == 0)
        hs_shard_hold(s);
    else
        for (uint32_t i = 0; i < 2; i++)
            shard_stop(hs_shard_peer(s, i));
    return HS_OK;
}

Test(shard_mail, a_ready_shard_that_gets_something_to_do_is_not_ready_before_it_does_it)
{
    ready_state st = {0};
    cluster_options o = calm_options(2, &st);
    o.start = ready_start;
    o.stop = ready_stop;
    run(o, 1);
    cr_assert(st.served == 1 && st.done == 1 && st.held == 1);
}

/* ---- faults of the programmer ---- */

static void answer_at_once(hs_call_op *op)
{
    hs_call_op_answer(op);
}

static hs_err bad_start(hs_shard *s, void *ctx)
{
    static hs_call_op op;
    (void)ctx;
    op = (hs_call_op){.fn = answer_at_once, .done = answer_at_once};
    return hs_call_op_start(s, &op);
}

Test(shard_mail, answering_a_call_that_was_not_deferred_is_an_error, .signal = SIGABRT)
{
    cluster_options o = calm_options(1, NULL);
    o.start = bad_start;
    run(o, 1);
}

static hs_call_op after_end;

static void call_after_end(hs_shard *s, void *ctx)
{
    (void)ctx;
    after_end = (hs_call_op){.fn = answer_at_once, .done = answer_at_once};
    cr_assert_eq(hs_call_op_start(s, &after_end).code, HS_E_CLOSED);
}

static void stop_now(hs_timer *timer)
{
    (void)timer;
    shard_stop(hs_shard_self());
}

static hs_err stop_soon(hs_shard *s, void *ctx)
{
    return hs_timer_after(s, ctx, 1, stop_now);
}

Test(shard_mail, a_call_after_the_end_is_refused)
{
    hs_timer timer = {0};
    cluster_options o = calm_options(1, &timer);
    o.start = stop_soon;
    o.end = call_after_end;
    run(o, 1);
}
