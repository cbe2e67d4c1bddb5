/* Calls whose answers come late, all at once and more than go at a time, while their origin cancels
 * them: under ThreadSanitizer, which sees whether one side reads what the other writes. */
#include "check.h"
#include "hs_call.h"
#include "hs_cancel.h"
#include "hs_group.h"
#include "hs_limits.h"

#define CALLS (8 * HS_CALLS_MAX)

static hs_promise *pending[CALLS]; /* the target's */
static uint32_t pending_len;
static hs_cancel *tokens[CALLS]; /* the origin's */
static uint32_t ended;
static hs_timer settle_timer, cancel_timer;
static hs_reaction reactions[CALLS];

/* ---- the target ---- */

static void settle_all(hs_timer *timer)
{
    (void)timer;
    for (uint32_t i = 0; i < CALLS; i++)
        hs_promise_settle(pending[i], hs_value(NULL));
}

static hs_outcome answer_later(void *arg)
{
    (void)arg;
    hs_shard *shard = hs_shard_self();
    hs_promise *p = hs_promise_create(shard);
    CHECK(p != NULL);
    pending[pending_len++] = p;
    if (pending_len == CALLS)
        CHECK(hs_ok(hs_timer_after(shard, &settle_timer, 1, settle_all)));
    return hs_adopt(hs_promise_ref(p));
}

/* ---- the origin ---- */

static void cancel_all(hs_timer *timer);

static void on_end(hs_reaction *reaction, hs_outcome outcome)
{
    (void)reaction, (void)outcome;
    if (++ended == 1) /* the first answer is here: the others are on their way, or in line */
        CHECK(hs_ok(hs_timer_after(hs_shard_self(), &cancel_timer, 0, cancel_all)));
    if (ended == CALLS)
        hs_shard_release(hs_shard_self());
}

static void cancel_all(hs_timer *timer)
{
    (void)timer;
    for (uint32_t i = 0; i < CALLS; i++) {
        hs_cancel_fire(tokens[i], hs_err_errno(ECANCELED));
        hs_cancel_unref(tokens[i]);
    }
}

static hs_err start(hs_shard *shard, void *ctx)
{
    (void)ctx;
    if (hs_shard_id(shard) != 0)
        return HS_OK;
    hs_shard_hold(shard);
    for (uint32_t i = 0; i < CALLS; i++) {
        tokens[i] = hs_cancel_create(shard);
        CHECK(tokens[i] != NULL);
        hs_shard *target = hs_shard_peer(shard, 1);
        hs_promise *p = hs_call_with(target, answer_later, NULL, NULL, tokens[i]);
        hs_react(p, &reactions[i], on_end);
    }
    return HS_OK;
}

int main(void)
{
    hs_group_options o;
    hs_group *group;
    hs_group_options_init(&o);
    o.shards = 2;
    o.start = start;
    CHECK(hs_ok(hs_group_start(&o, &group)));
    hs_group_stop(group);
    CHECK(hs_group_join(group));
    CHECK(ended == CALLS && pending_len == CALLS);
    return 0;
}
