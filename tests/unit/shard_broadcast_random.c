/* Broadcasts under everything at once, drawn from seeds: subscribers that come at any moment,
 * travel while they are fresh, read in bursts or wait, cancel, and go; a sender that floods, whose
 * copies fail now and then, and who goes; a stop at any moment. Each subscriber counts: what it got
 * and what it was told that it missed is, in order, all that was sent since it subscribed; and
 * every message is received or dropped. HS_TEST_LONG in the environment asks for many more seeds.
 */
#include "cluster_rig.h"
#include "core_help.h"
#include "hs_call.h"
#include "hs_channel.h"

#define SHARDS 3
#define READERS_MAX 40
#define TICKS 60

typedef struct reader {
    hs_subscriber *sub;
    hs_timer timer;
    hs_reaction reaction;
    intptr_t next; /* the number that comes next */
    bool gone;
} reader;

static rng random_numbers;
static hs_broadcast *bc;
static hs_timer sender, stopper;
static reader readers[READERS_MAX];
static uint32_t readers_len, readers_gone, ticks, capacity;
static intptr_t sent;
static uint64_t lagged, complete; /* over all seeds */
static bool stops;

static uint32_t below(uint32_t n)
{
    return rng_below(&random_numbers, n);
}

/* ---- subscribers ---- */

static void go(reader *r)
{
    r->gone = true;
    hs_subscriber_drop(r->sub);
    if (++readers_gone == readers_len && !bc && !stops)
        stop_all();
}

/* Whether more can come. */
static bool note(reader *r, hs_err err, void *message)
{
    if (hs_ok(err)) {
        cr_assert_eq(thing_take(message), r->next, "lost, twice, or out of order");
        r->next++;
    } else if (err.code == HS_E_LAGGED) {
        cr_assert_gt((uintptr_t)message, 0);
        r->next += (intptr_t)message;
        lagged++;
    } else if (err.code == HS_E_CLOSED) {
        if (!stops) {
            cr_assert_null(bc);
            cr_assert_eq(r->next, sent, "it missed more than it was told");
            complete++;
        }
        go(r);
    }
    return !r->gone;
}

static void read_some(hs_timer *timer);

static void read_later(reader *r)
{
    cr_assert(hs_ok(hs_timer_after(hs_shard_self(), &r->timer, below(20), read_some)));
}

static void read_one(hs_reaction *reaction, hs_outcome o)
{
    reader *r = HS_CONTAINER_OF(reaction, reader, reaction);
    cr_assert(hs_ok(o.err) || o.err.code == HS_E_LAGGED || o.err.code == HS_E_CLOSED ||
              o.err.code == -ETIMEDOUT);
    if (r->gone) { /* it had come when it went */
        if (hs_ok(o.err))
            (void)thing_take(o.value);
    } else if (note(r, o.err, o.value)) {
        read_later(r);
    }
}

static void read_some(hs_timer *timer)
{
    reader *r = HS_CONTAINER_OF(timer, reader, timer);
    for (uint32_t n = below(3 * capacity); n > 0; n--) {
        void *message;
        hs_err err = hs_subscriber_try_recv(r->sub, &message);
        if (err.code == HS_E_BLOCKED)
            break;
        if (!note(r, err, message))
            return;
    }
    if (below(60) == 0) {
        go(r);
    } else if (below(2)) {
        hs_cancel *c = below(2) ? hs_cancel_after(hs_shard_self(), below(20)) : NULL;
        hs_react(hs_subscriber_recv(r->sub, c), &r->reaction, read_one);
        hs_cancel_unref(c);
        if (below(60) == 0)
            go(r); /* while it waits */
    } else {
        read_later(r);
    }
}

static hs_outcome arrives(void *arg)
{
    reader *r = arg;
    /* It is of this shard from now on. */
    void *message;
    hs_err err = hs_subscriber_try_recv(r->sub, &message);
    if (err.code == HS_E_BLOCKED || note(r, err, message))
        read_later(r);
    return hs_value(NULL);
}

static void turned_away(void *arg)
{
    go(arg);
}

static void subscribe(void)
{
    reader *r = &readers[readers_len];
    if (readers_len == READERS_MAX)
        return;
    *r = (reader){.next = sent};
    hs_err err = hs_broadcast_subscribe(bc, &r->sub);
    if (!hs_ok(err)) {
        cr_assert_eq(err.code, HS_E_CLOSED);
        return;
    }
    readers_len++;
    hs_promise_ignore(hs_call_with(peer(below(SHARDS)), arrives, r, turned_away, NULL));
}

/* ---- the sender ---- */

static void *copy_now_and_then(void *message)
{
    return below(100) ? thing_make(((thing *)message)->number) : NULL;
}

static void send_some(hs_timer *timer)
{
    if (below(3) == 0)
        subscribe();
    for (uint32_t n = below(2 * capacity + 2); n > 0; n--)
        (void)hs_broadcast_send(bc, thing_make(sent++));
    if (++ticks < TICKS && below(100)) {
        cr_assert(hs_ok(hs_timer_after(hs_shard_self(), timer, 1 + below(10), send_some)));
        return;
    }
    hs_broadcast_drop(bc);
    bc = NULL;
    if (readers_gone == readers_len && !stops)
        stop_all();
}

/* ---- the scene ---- */

static void stop_soon(hs_timer *timer)
{
    (void)timer;
    stop_all();
}

static void scene(void)
{
    sender = stopper = (hs_timer){0};
    readers_len = readers_gone = ticks = 0;
    sent = 0;
    cr_assert(
        hs_ok(hs_broadcast_create(hs_shard_self(), capacity, copy_now_and_then, thing_drop, &bc)));
    send_some(&sender);
    if (stops)
        cr_assert(hs_ok(hs_timer_after(hs_shard_self(), &stopper, below(400), stop_soon)));
}

/* Some handles are left to the shards. */
static void drop_left(hs_shard *s, void *ctx)
{
    (void)ctx;
    if (hs_shard_id(s) == 0 && bc && below(2))
        hs_broadcast_drop(bc);
}

static void run_seed(uint64_t seed)
{
    random_numbers = (rng){seed};
    capacity = 1 + below(below(2) ? 3 : 40);
    stops = below(3) == 0;
    things_none();
    run_ending(scene, stops ? drop_left : NULL, SHARDS, seed | 1);
    cr_assert_eq(things_out, 0);
    for (uint32_t i = 0; i < readers_len; i++)
        cr_assert(stops || readers[i].gone);
}

Test(shard_broadcast_random, nothing_lost_nothing_twice_whatever_happens)
{
    const char *again = getenv("HS_TEST_SEED");
    rng seeds = rng_seeded("shard_broadcast_random");
    if (again) {
        run_seed(seeds.state);
        return;
    }
    uint32_t runs = getenv("HS_TEST_LONG") ? 5000 : 150;
    for (uint32_t i = 0; i < runs; i++) {
        uint64_t seed = rng_next(&seeds);
        fprintf(stderr, "%s0x%016" PRIx64, i ? " " : "seeds: ", seed);
        run_seed(seed);
    }
    fprintf(stderr, "\n");
    cr_assert(lagged > 0 && complete > 0);
}
