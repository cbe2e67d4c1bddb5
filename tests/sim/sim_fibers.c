/* Many fibers that do what the seed says: yield, await, recurse, sleep, start others, settle for
 * others, and cancel others or themselves; with memory that fails, and a stop in the middle.
 *
 * Held to: each comes to one end, with the error that it returned; one that waited when it was
 * cancelled has ended when the firing returns; what is on its stack is never touched; values reach
 * who awaits them, or are dropped, once. */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "cluster.h"
#include "hs_fiber.h"
#include "hs_limits.h"
#include "seeds.h"

#define ACTORS 48
#define DEBTS 512
#define VALUES 4096
#define TIME_MAX_NS (3600 * HS_SEC_NS)

typedef struct actor {
    char name[8];
    uint32_t id, steps;
    bool begun, waits, returned, settled;
    hs_err result;
    hs_cancel *cancel;
    hs_reaction reaction;
    hs_timer timer; /* what it sleeps by */
    hs_promise *sleep;
} actor;

/* A promise that somebody awaits, or did: to be settled by anybody. */
typedef struct debt {
    hs_promise *promise;
    uint32_t mark;
} debt;

typedef struct value {
    uint32_t mark;
    bool out;
} value;

typedef struct run {
    cluster c;
    uint64_t random, hash;
    FILE *trace;
    actor actors[ACTORS];
    uint32_t actors_len, actors_max, steps_max;
    debt debts[DEBTS];
    uint32_t debts_len, marks;
    value values[VALUES];
    uint32_t values_len, values_out;
    hs_timer tick;
    uint32_t ticks, stop_at;
} run;

static run r;

static struct {
    uint64_t seeds, fibers, awaits, cancelled, closed, no_memory;
} totals;

/* ---- chance, and what is written down ---- */

static uint32_t below(uint32_t n)
{
    uint64_t z = r.random += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return (uint32_t)(((z ^ (z >> 31)) >> 32) * n >> 32);
}

static void tell(const char *what, uint32_t who, int32_t detail)
{
    r.hash = (r.hash ^ (uint64_t)what[0] ^ ((uint64_t)who << 8) ^ ((uint64_t)detail << 32)) *
             UINT64_C(0x100000001b3);
    if (r.trace)
        fprintf(r.trace, "%s %u: %d\n", what, who, detail);
}

static void hold_to(bool kept, const char *fault, uint64_t detail)
{
    if (!kept)
        seeds_fail(fault, detail);
}

/* ---- values ---- */

static void value_end(value *v)
{
    hold_to(v->out, "a value was received or dropped twice", v->mark);
    v->out = false;
    r.values_out--;
}

static void value_drop(void *ptr)
{
    value_end(ptr);
}

static hs_outcome value_of(uint32_t mark)
{
    if (below(8) == 0)
        return hs_error(hs_err_errno(EIO));
    if (r.values_len == VALUES)
        return hs_value(NULL);
    value *v = &r.values[r.values_len++];
    *v = (value){.mark = mark, .out = true};
    r.values_out++;
    return hs_value_owned(v, value_drop);
}

static void settle_one(void)
{
    if (r.debts_len == 0)
        return;
    debt *d = &r.debts[below(r.debts_len)];
    hs_promise *p = d->promise;
    hs_outcome o = value_of(d->mark);
    *d = r.debts[--r.debts_len];
    hs_promise_settle(p, o);
}

/* ---- what an actor does ---- */

static void act_start(hs_shard *s);

static bool closed(hs_err err)
{
    return err.code == HS_E_CLOSED && hs_shard_stopping(hs_shard_self());
}

/* Whether `err` may come from an await of `a`. */
static void check_err(const actor *a, hs_err err)
{
    hold_to(hs_ok(err) || err.code == hs_cancel_why(a->cancel).code || closed(err) ||
                err.code == -EIO || err.code == -ENOMEM,
            "an await came back with an error out of nowhere", (uint64_t)err.code);
}

static hs_err await(actor *a, hs_promise *p, void *out)
{
    hs_err why = hs_cancel_why(a->cancel);
    a->waits = hs_ok(why);
    totals.awaits++;
    hs_err err = hs_await(p, out);
    a->waits = false;
    hold_to(hs_ok(why) || err.code == why.code || closed(err), "an await after the cancel waited",
            a->id);
    check_err(a, err);
    tell("awaited", a->id, err.code);
    return err;
}

static hs_err await_debt(actor *a)
{
    hs_promise *p = hs_promise_create(hs_shard_self());
    if (!p)
        return HS_OK;
    uint32_t mark = ++r.marks;
    if (r.debts_len == DEBTS)
        settle_one();
    r.debts[r.debts_len++] = (debt){p, mark};
    value *v = NULL;
    bool wants = below(4) > 0;
    hs_err err = await(a, p, wants ? &v : NULL);
    if (v) {
        hold_to(hs_ok(err), "a value beside an error", a->id);
        hold_to(v->mark == mark, "somebody else's value", a->id);
        value_end(v);
    }
    return err.code == -EIO ? HS_OK : err;
}

static void slept(hs_timer *timer)
{
    actor *a = HS_CONTAINER_OF(timer, actor, timer);
    hs_promise_settle(a->sleep, hs_value(NULL));
}

static hs_err sleep_a_while(actor *a)
{
    hs_shard *s = hs_shard_self();
    if (hs_timer_active(&a->timer)) /* it was cancelled while it slept */
        return HS_OK;
    a->sleep = hs_promise_create(s);
    if (!a->sleep)
        return HS_OK;
    hs_err err = hs_timer_after(s, &a->timer, below(20), slept);
    if (!hs_ok(err))
        hs_promise_settle(a->sleep, hs_error(err));
    return await(a, a->sleep, NULL);
}

static hs_err yield(actor *a)
{
    a->waits = hs_ok(hs_cancel_why(a->cancel));
    hs_err err = hs_yield();
    a->waits = false;
    check_err(a, err);
    return err;
}

static void cancel_one(void)
{
    actor *a = &r.actors[below(r.actors_len)];
    if (!a->begun || a->settled || !a->cancel)
        return;
    bool waits = a->waits && !a->returned;
    tell("cancel", a->id, waits);
    hs_cancel_fire(a->cancel, hs_err_errno(below(2) ? ECANCELED : ETIMEDOUT));
    hold_to(!waits || a->returned, "one that waited has not ended with the firing", a->id);
    totals.cancelled += waits;
}

static hs_err act_once(actor *a);

/* Something at the bottom of a recursion whose frames must be as they were. */
__attribute__((noinline)) static hs_err recurse(actor *a, uint32_t depth)
{
    volatile uint64_t frame[16];
    for (uint32_t i = 0; i < 16; i++)
        frame[i] = a->id * UINT64_C(0x9e3779b97f4a7c15) + depth + i;
    hs_err err = depth > 0 ? recurse(a, depth - 1) : act_once(a);
    for (uint32_t i = 0; i < 16; i++)
        hold_to(frame[i] == a->id * UINT64_C(0x9e3779b97f4a7c15) + depth + i,
                "a frame on the stack was changed", a->id);
    return err;
}

static hs_err act_once(actor *a)
{
    hs_shard *s = hs_shard_self();
    hold_to(hs_on_fiber(), "not on a fiber", a->id);
    hold_to(hs_fiber_cancel() == a->cancel, "somebody else's token", a->id);
    hold_to(hs_shard_label(s) == a->name, "somebody else's label", a->id);
    switch (below(12)) {
    case 0:
    case 1:
        return yield(a);
    case 2:
    case 3:
    case 4:
        return await_debt(a);
    case 5:
        return await(a, hs_promise_settled(s, value_of(0)), NULL);
    case 6:
        return sleep_a_while(a);
    case 7:
        settle_one();
        return HS_OK;
    case 8:
        act_start(s);
        return HS_OK;
    case 9:
        if (below(4) == 0)
            cancel_one();
        return HS_OK;
    case 10:
        if (below(20) == 0 && a->cancel)
            hs_cancel_fire(a->cancel, hs_err_errno(ECANCELED));
        return HS_OK;
    default:
        return recurse(a, below(30));
    }
}

static hs_err act(void *arg)
{
    actor *a = arg;
    a->begun = true;
    totals.fibers++;
    hs_err err = HS_OK;
    for (uint32_t i = 0; i < a->steps && (hs_ok(err) || err.code == -EIO); i++)
        err = recurse(a, below(3));
    /* Some do not give up at the first error. */
    for (uint32_t i = below(3); i > 0 && !hs_ok(err); i--)
        (void)recurse(a, 0);
    a->result = err;
    a->returned = true;
    totals.closed += err.code == HS_E_CLOSED;
    tell("returned", a->id, err.code);
    return err;
}

static void act_ended(hs_reaction *reaction, hs_outcome outcome)
{
    actor *a = HS_CONTAINER_OF(reaction, actor, reaction);
    hold_to(!a->settled, "one has ended twice", a->id);
    a->settled = true;
    hold_to(a->begun == a->returned, "one has ended that has not returned", a->id);
    if (a->begun)
        hold_to(outcome.err.code == a->result.code, "ended with another's error", a->id);
    else
        hold_to(outcome.err.code == -ENOMEM || outcome.err.code == HS_E_CLOSED,
                "refused for no reason", (uint64_t)outcome.err.code);
    totals.no_memory += outcome.err.code == -ENOMEM;
}

static void act_start(hs_shard *s)
{
    if (r.actors_len == r.actors_max)
        return;
    actor *a = &r.actors[r.actors_len];
    *a = (actor){.id = r.actors_len++, .steps = below(r.steps_max)};
    snprintf(a->name, sizeof a->name, "a%u", a->id);
    a->cancel = below(4) ? hs_cancel_create(s) : NULL;
    tell("start", a->id, a->cancel != NULL);
    hs_react(hs_fiber_start(s, a->name, act, a, a->cancel), &a->reaction, act_ended);
}

/* ---- a run ---- */

static bool all_settled(void)
{
    for (uint32_t i = 0; i < r.actors_len; i++)
        if (!r.actors[i].settled)
            return false;
    return r.actors_len == r.actors_max;
}

/* Sees that things go on: settles, starts and cancels from the loop, too. */
static void tick(hs_timer *timer)
{
    hs_shard *s = hs_shard_self();
    if (++r.ticks == r.stop_at || all_settled())
        shard_stop(s);
    hold_to(!hs_on_fiber(), "the loop is on a fiber", 0);
    hold_to(hs_shard_label(s) == NULL, "a label was left", 0);
    for (uint32_t n = below(8); n > 0; n--)
        settle_one();
    if (below(3) == 0)
        act_start(s);
    if (below(6) == 0 && r.actors_len > 0)
        cancel_one();
    if (!hs_shard_stopping(s) && !hs_ok(hs_timer_after(s, timer, 1 + below(3), tick)))
        shard_stop(s);
}

static hs_err start(hs_shard *s, void *ctx)
{
    (void)ctx;
    HS_TRY(hs_timer_after(s, &r.tick, 1, tick));
    act_start(s);
    return HS_OK;
}

static void end(hs_shard *s, void *ctx)
{
    (void)ctx;
    hold_to(hs_fibers(s) == 0, "fibers are left", hs_fibers(s));
    while (r.debts_len > 0)
        settle_one();
    for (uint32_t i = 0; i < r.actors_len; i++) {
        actor *a = &r.actors[i];
        if (hs_timer_active(&a->timer)) {
            hs_timer_cancel(s, &a->timer);
            hs_promise_settle(a->sleep, hs_value(NULL));
        }
        hs_cancel_unref(a->cancel);
        hold_to(a->settled, "one has not ended", i);
    }
}

static uint64_t run_seed(uint64_t seed, FILE *trace)
{
    memset(&r, 0, sizeof r);
    r.random = seed;
    r.hash = UINT64_C(0xcbf29ce484222325);
    r.trace = trace;
    r.actors_max = 1 + below(ACTORS);
    r.steps_max = 1 + below(60);
    r.stop_at = below(3) == 0 ? below(200) : 0;
    sim_faults calm;
    sim_faults_none(&calm);
    cluster_options o = {
        .sim = {.seed = seed, .shards = 1, .faults = &calm}, .start = start, .end = end};
    totals.seeds++;
    hs_err err = cluster_init(&r.c, &o);
    HS_ASSERT(hs_ok(err));
    r.c.mem.fail_chance = below(4) == 0 ? 1 + below(600) : 0;
    hold_to(cluster_run(&r.c, TIME_MAX_NS) == CLUSTER_ENDED, "it has not ended", 0);
    cluster_fini(&r.c);
    hold_to(r.values_out == 0, "values are left", r.values_out);
    return r.hash;
}

static void print_totals(void)
{
    printf("%" PRIu64 " fibers, %" PRIu64 " awaits, %" PRIu64 " cancelled, %" PRIu64
           " ended by the stop, %" PRIu64 " without memory",
           totals.fibers, totals.awaits, totals.cancelled, totals.closed, totals.no_memory);
}

int main(int argc, char **argv)
{
    static const seeds_program program = {"sim_fibers", run_seed, print_totals};
    return seeds_main(&program, argc, argv);
}
