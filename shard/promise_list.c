/* Several promises at once: all, all settled, any, race.
 *
 * Owns: what has come so far, and the reactions to what is still to come, in one block of memory
 * whose first part is the hs_outcomes that the receiver may get. Once the outcome is known the rest
 * is no longer waited for. Must not know: how promises are stored.
 * Tested by: tests/unit/shard_promise_list.c. */
#include <string.h>

#include "inside.h"

typedef enum gather_until {
    UNTIL_ALL,      /* all are settled */
    UNTIL_REJECTED, /* one is rejected, or all are settled */
    UNTIL_FULFILLED,
    UNTIL_ANY /* one is settled */
} gather_until;

typedef struct gather_part {
    hs_microtask job;
    hs_promise *on; /* a reference; NULL: settled and seen */
    struct promise_gather *gather;
} gather_part;

/* Behind the outcomes. */
typedef struct promise_gather {
    hs_outcomes *outcomes;
    hs_promise *promise;
    hs_outcomes *next; /* of those to be freed */
    gather_until until;
    uint32_t left; /* parts that are not settled */
    gather_part parts[];
} promise_gather;

HS_STATIC_ASSERT(sizeof(hs_outcomes) % _Alignof(promise_gather) == 0, "the second part is aligned");

/* ---- memory ---- */

static size_t outcomes_bytes(uint32_t len)
{
    return sizeof(hs_outcomes) + len * sizeof(hs_outcome);
}

static size_t gather_bytes(uint32_t len)
{
    return outcomes_bytes(len) + sizeof(promise_gather) + len * sizeof(gather_part);
}

static promise_gather *gather_of(hs_outcomes *outcomes)
{
    return (promise_gather *)((char *)outcomes + outcomes_bytes(outcomes->len));
}

static promise_gather *gather_make(hs_shard *s, uint32_t len)
{
    hs_outcomes *outcomes = block_take(s, gather_bytes(len));
    if (!outcomes)
        return NULL;
    outcomes->shard = s;
    outcomes->len = len;
    memset(outcomes->at, 0, len * sizeof(outcomes->at[0]));
    promise_gather *g = gather_of(outcomes);
    *g = (promise_gather){.outcomes = outcomes, .left = len};
    return g;
}

/* Outcomes may be values of outcomes: those are freed in turn, not in one another. */
void hs_outcomes_free(void *ptr)
{
    hs_outcomes *outcomes = ptr;
    gather_of(outcomes)->next = NULL;
    while (outcomes) {
        promise_gather *g = gather_of(outcomes);
        hs_outcomes *next = g->next;
        for (uint32_t i = 0; i < outcomes->len; i++) {
            hs_outcome o = outcomes->at[i];
            if (o.drop == hs_outcomes_free) {
                hs_outcomes *inner = o.value;
                gather_of(inner)->next = next;
                next = inner;
            } else {
                promise_drop_value(o);
            }
        }
        block_give(outcomes->shard, outcomes, gather_bytes(outcomes->len));
        outcomes = next;
    }
}

/* ---- as promises settle ---- */

static void stop_waiting(promise_gather *g)
{
    for (uint32_t i = 0; i < g->outcomes->len && g->left > 0; i++) {
        gather_part *part = &g->parts[i];
        hs_promise *on = part->on;
        if (!on)
            continue;
        part->on = NULL;
        g->left--;
        hs_microtask_cancel(&part->job);
        promise_unref(on);
    }
}

/* The slot is an ordinary one from now on. */
static hs_promise *let_go(promise_gather *g)
{
    hs_promise *p = g->promise;
    HS_ASSERT(p->kind == PROMISE_GATHERS);
    p->kind = PROMISE_PLAIN;
    p->on = NULL;
    return p;
}

/* One outcome decides. */
static void decide(promise_gather *g, hs_outcome o)
{
    promise_end(let_go(g), o);
    stop_waiting(g);
    hs_outcomes_free(g->outcomes);
}

/* Nobody decided. */
static void complete(promise_gather *g)
{
    hs_outcome o = hs_value_owned(g->outcomes, hs_outcomes_free);
    if (g->until == UNTIL_FULFILLED)
        o.err = hs_err_of(HS_E_AGGREGATE);
    promise_end(let_go(g), o);
}

static bool decides(gather_until until, hs_err err)
{
    switch (until) {
    case UNTIL_REJECTED:
        return !hs_ok(err);
    case UNTIL_FULFILLED:
        return hs_ok(err);
    case UNTIL_ANY:
        return true;
    case UNTIL_ALL:
        break;
    }
    return false;
}

static void part_run(hs_microtask *job)
{
    gather_part *part = HS_CONTAINER_OF(job, gather_part, job);
    promise_gather *g = part->gather;
    hs_promise *on = part->on;
    part->on = NULL;
    HS_ASSERT(g->left > 0);
    g->left--;
    hs_outcome o = promise_take(on);
    promise_unref(on);
    if (decides(g->until, o.err)) {
        decide(g, o);
        return;
    }
    g->outcomes->at[part - g->parts] = o;
    if (g->left == 0)
        complete(g);
}

/* ---- start ---- */

static hs_promise *no_memory(hs_shard *s, hs_promise *p, hs_promise *const *list, uint32_t len,
                             const char *where)
{
    for (uint32_t i = 0; i < len; i++)
        hs_promise_ignore(list[i]);
    if (p) {
        promise_unref(p);
        promise_unref(p);
    }
    return promise_none(s, where);
}

static hs_promise *gather(hs_shard *s, gather_until until, hs_promise *const *list, uint32_t len,
                          const char *where)
{
    HS_ASSERT(list != NULL || len == 0);
    hs_promise *p = promise_new(s, where);
    promise_gather *g = p ? gather_make(s, len) : NULL;
    if (!g)
        return no_memory(s, p, list, len, where);
    g->until = until;
    g->promise = p;
    p->kind = PROMISE_GATHERS;
    p->gather = g;
    for (uint32_t i = 0; i < len; i++) {
        gather_part *part = &g->parts[i];
        part->gather = g;
        part->on = list[i];
        part->job.fn = NULL;
        promise_wait(list[i], &part->job, part_run);
    }
    if (len == 0)
        complete(g);
    return p;
}

hs_promise *hs_all_at(hs_shard *s, hs_promise *const *list, uint32_t len, const char *where)
{
    return gather(s, UNTIL_REJECTED, list, len, where);
}

hs_promise *hs_all_settled_at(hs_shard *s, hs_promise *const *list, uint32_t len, const char *where)
{
    return gather(s, UNTIL_ALL, list, len, where);
}

hs_promise *hs_any_at(hs_shard *s, hs_promise *const *list, uint32_t len, const char *where)
{
    return gather(s, UNTIL_FULFILLED, list, len, where);
}

hs_promise *hs_race_at(hs_shard *s, hs_promise *const *list, uint32_t len, const char *where)
{
    if (len > 0)
        return gather(s, UNTIL_ANY, list, len, where);
    hs_promise *p = promise_new(s, where);
    if (!p)
        return promise_none(s, where);
    promise_unref(p); /* nobody will settle it, so its last handle frees it */
    return p;
}

void promise_gather_forget(hs_promise *p)
{
    promise_gather *g = p->gather;
    (void)let_go(g);
    stop_waiting(g);
    hs_outcomes_free(g->outcomes);
}
