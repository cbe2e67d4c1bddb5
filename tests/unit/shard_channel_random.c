/* Channels under everything at once, drawn from seeds: senders on all shards that send, wait,
 * cancel, multiply, travel and go; a receiver that reads in bursts, closes or goes; a stop at any
 * moment. Whatever happens: per sender in order, nothing twice, nothing lost that was in the queue
 * of a channel that was read to its end, and every message received or dropped. HS_TEST_LONG in the
 * environment asks for many more seeds. */
#include "cluster_rig.h"
#include "core_help.h"
#include "hs_call.h"
#include "hs_channel.h"

#define SHARDS 3
#define ACTORS_MAX 64
#define TICKS 30

typedef struct actor {
    hs_sender *sender;
    hs_timer timer;
    hs_cancel *cancel;
    uint32_t number, ticks;
    uint32_t made;     /* messages, numbered from 0 */
    uint32_t received; /* the next number that may come */
} actor;

typedef struct sending {
    hs_reaction reaction;
} sending;

static rng random_numbers;
static actor actors[ACTORS_MAX];
static uint32_t actors_len, actors_gone;
static hs_receiver *rx;
static hs_timer reader;
static uint32_t capacity;
static uint32_t accepted, refused, arrived;
static bool closes, stops;

static uint32_t below(uint32_t n)
{
    return rng_below(&random_numbers, n);
}

/* ---- senders ---- */

static void sent(hs_reaction *reaction, hs_outcome o)
{
    sending *s = HS_CONTAINER_OF(reaction, sending, reaction);
    if (hs_ok(o.err))
        accepted++;
    else
        refused++;
    cr_assert(hs_ok(o.err) || o.err.code == HS_E_CLOSED || o.err.code == -ECANCELED);
    free(s);
}

static void say(actor *a)
{
    thing *t = thing_make((intptr_t)a->number << 32 | a->made++);
    if (below(2)) {
        hs_err err = hs_sender_try_send(a->sender, t);
        if (hs_ok(err)) {
            accepted++;
        } else {
            cr_assert(err.code == HS_E_BLOCKED || err.code == HS_E_CLOSED);
            refused++;
            thing_drop(t);
        }
        return;
    }
    sending *s = calloc(1, sizeof *s);
    cr_assert_not_null(s);
    hs_react(hs_sender_send(a->sender, t, below(3) ? NULL : a->cancel), &s->reaction, sent);
}

static void tick(hs_timer *timer);

static hs_outcome begin(void *arg)
{
    actor *a = arg;
    a->cancel = hs_cancel_create(hs_shard_self());
    hs_promise_ignore(hs_sender_closed(a->sender)); /* it is of this shard now */
    cr_assert(hs_ok(hs_timer_after(hs_shard_self(), &a->timer, 1 + below(20), tick)));
    return hs_value(NULL);
}

static void refuse(void *arg)
{
    actor *a = arg;
    hs_sender_drop(a->sender);
    actors_gone++;
}

static void multiply(actor *a)
{
    if (actors_len == ACTORS_MAX)
        return;
    actor *child = &actors[actors_len];
    hs_err err = hs_sender_clone(a->sender, &child->sender);
    if (!hs_ok(err)) {
        cr_assert_eq(err.code, HS_E_CLOSED);
        return;
    }
    child->number = actors_len++;
    hs_promise_ignore(hs_call_with(peer(below(SHARDS)), begin, child, refuse, NULL));
}

static void go(actor *a)
{
    hs_sender_drop(a->sender);
    hs_cancel_unref(a->cancel);
    if (++actors_gone == actors_len && !stops && closes)
        stop_all();
}

static void tick(hs_timer *timer)
{
    actor *a = HS_CONTAINER_OF(timer, actor, timer);
    for (uint32_t n = below(2 * capacity + 2); n > 0; n--)
        say(a);
    if (below(4) == 0)
        multiply(a);
    if (below(6) == 0) {
        hs_cancel_fire(a->cancel, hs_err_errno(ECANCELED));
        hs_cancel_unref(a->cancel);
        a->cancel = hs_cancel_create(hs_shard_self());
    }
    if (below(8) == 0)
        hs_promise_ignore(hs_sender_closed(a->sender));
    if (++a->ticks == TICKS || below(20) == 0) {
        go(a);
        return;
    }
    cr_assert(hs_ok(hs_timer_after(hs_shard_self(), timer, 1 + below(20), tick)));
}

/* ---- the receiver ---- */

static void take(void *message)
{
    intptr_t number = thing_take(message);
    actor *a = &actors[number >> 32];
    cr_assert_geq((uint32_t)number, a->received, "twice, or out of order");
    a->received = (uint32_t)number + 1;
    arrived++;
}

static void read_some(hs_timer *timer);

static bool read_end(hs_err err)
{
    if (err.code != HS_E_CLOSED)
        return false;
    if (rx)
        hs_receiver_drop(rx);
    rx = NULL;
    if (!closes && !stops)
        stop_all();
    return true;
}

static void read_later(void)
{
    cr_assert(hs_ok(hs_timer_after(hs_shard_self(), &reader, below(30), read_some)));
}

static void got(seen *s)
{
    (void)s;
}

static seen reading;

static void read_one(hs_reaction *reaction, hs_outcome o)
{
    (void)reaction;
    if (hs_ok(o.err))
        take(o.value);
    if (!read_end(o.err))
        read_later();
}

static void read_some(hs_timer *timer)
{
    (void)timer;
    if (closes && below(40) == 0) {
        if (below(2)) {
            hs_receiver_drop(rx);
            rx = NULL;
            return;
        }
        hs_receiver_close(rx);
    }
    for (uint32_t n = below(3 * capacity); n > 0; n--) {
        void *message;
        hs_err err = hs_receiver_try_recv(rx, &message);
        if (read_end(err))
            return;
        if (!hs_ok(err))
            break;
        take(message);
    }
    if (below(2)) {
        read_later();
        return;
    }
    hs_cancel *c = below(2) ? hs_cancel_after(hs_shard_self(), below(20)) : NULL;
    reading = (seen){.then = got};
    hs_react(hs_receiver_recv(rx, c), &reading.reaction, read_one);
    hs_cancel_unref(c);
}

/* ---- the scene ---- */

static void stop_soon(hs_timer *timer)
{
    (void)timer;
    stop_all();
}

static void scene(void)
{
    static hs_timer stop;
    stop = reader = (hs_timer){0};
    memset(actors, 0, sizeof actors);
    actors_len = 1;
    actors_gone = accepted = refused = arrived = 0;
    cr_assert(
        hs_ok(hs_channel_create(hs_shard_self(), capacity, thing_drop, &actors[0].sender, &rx)));
    hs_promise_ignore(hs_call(peer(below(SHARDS)), begin, &actors[0]));
    read_later();
    if (stops)
        cr_assert(hs_ok(hs_timer_after(hs_shard_self(), &stop, below(400), stop_soon)));
}

static void drop_left(hs_shard *s, void *ctx)
{
    (void)ctx;
    if (hs_shard_id(s) == 0 && rx && below(2))
        hs_receiver_drop(rx);
}

static void run_seed(uint64_t seed)
{
    random_numbers = (rng){seed};
    capacity = 1 + below(below(2) ? 3 : 40);
    closes = below(3) == 0;
    stops = below(3) == 0;
    things_none();
    run_ending(scene, stops ? drop_left : NULL, SHARDS, seed | 1);
    cr_assert_eq(things_out, 0);
    if (!closes && !stops)
        cr_assert_eq(arrived, accepted);
    cr_assert_leq(arrived, accepted);
    cr_assert_eq(things_dropped, accepted - arrived + refused);
}

Test(shard_channel_random, nothing_lost_nothing_twice_whatever_happens)
{
    const char *again = getenv("HS_TEST_SEED");
    rng seeds = rng_seeded("shard_channel_random");
    if (again) {
        run_seed(seeds.state);
        return;
    }
    uint32_t runs = getenv("HS_TEST_LONG") ? 1000 : 30;
    for (uint32_t i = 0; i < runs; i++) {
        uint64_t seed = rng_next(&seeds);
        fprintf(stderr, "%s0x%016" PRIx64, i ? " " : "seeds: ", seed);
        run_seed(seed);
    }
    fprintf(stderr, "\n");
}
