/* Channels to many subscribers: who gets what, lagging, closing from either side, cancelling, a
 * stop, and no memory. Every reader here counts: what it gets and what it is told that it missed
 * must be all that was sent, in order. shard_broadcast_random.c mixes all of it. */
#include "cluster_rig.h"
#include "hs_call.h"
#include "hs_channel.h"

static hs_broadcast *bc;
static hs_timer timer;
static seen s1, s2, s3;

/* The number of a message is that of those sent before it. */
static intptr_t sent;

static void *copy_thing(void *message)
{
    return thing_make(((thing *)message)->number);
}

static void make_broadcast(uint32_t capacity)
{
    sent = 0;
    cr_assert(hs_ok(hs_broadcast_create(hs_shard_self(), capacity, copy_thing, thing_drop, &bc)));
}

static uint32_t send_one(void)
{
    return hs_broadcast_send(bc, thing_make(sent++));
}

/* ---- readers ---- */

typedef struct reader {
    hs_subscriber *sub;
    hs_reaction reaction;
    intptr_t first, next; /* the number that comes next */
    uint32_t got, missed, lags;
    bool closed;
} reader;

static reader readers[8];
static uint32_t readers_len, readers_closed;

static void subscribe(reader *r)
{
    *r = (reader){.first = sent, .next = sent};
    cr_assert(hs_ok(hs_broadcast_subscribe(bc, &r->sub)));
}

/* Whether more can come. */
static bool note(reader *r, hs_err err, void *message)
{
    if (hs_ok(err)) {
        cr_assert_eq(thing_take(message), r->next);
        r->next++;
        r->got++;
    } else if (err.code == HS_E_LAGGED) {
        cr_assert_gt((uintptr_t)message, 0);
        r->next += (intptr_t)message;
        r->missed += (uint32_t)(uintptr_t)message;
        r->lags++;
    } else {
        cr_assert_eq(err.code, HS_E_CLOSED);
        r->closed = true;
        readers_closed++;
        hs_subscriber_drop(r->sub);
    }
    return !r->closed;
}

static void read_next(hs_reaction *reaction, hs_outcome o)
{
    reader *r = HS_CONTAINER_OF(reaction, reader, reaction);
    cr_assert_eq(o.drop != NULL, hs_ok(o.err));
    if (note(r, o.err, o.value))
        hs_react(hs_subscriber_recv(r->sub, NULL), &r->reaction, read_next);
    else if (readers_closed == readers_len)
        stop_all();
}

static hs_outcome read_all(void *arg)
{
    reader *r = arg;
    hs_react(hs_subscriber_recv(r->sub, NULL), &r->reaction, read_next);
    return hs_value(NULL);
}

/* ---- everything arrives ---- */

#define COUNT 600

static void send_more(hs_timer *t)
{
    for (uint32_t i = 0; i < 20; i++)
        (void)send_one();
    if (sent == COUNT)
        hs_broadcast_drop(bc);
    else
        cr_assert(hs_ok(hs_timer_after(hs_shard_self(), t, 1, send_more)));
}

static void to_each(void)
{
    timer = (hs_timer){0};
    make_broadcast(COUNT);
    readers_closed = 0;
    readers_len = 6;
    cr_assert_eq(send_one(), 0); /* nobody is there: it is dropped */
    for (uint32_t i = 0; i < readers_len; i++) {
        subscribe(&readers[i]);
        hs_promise_drop(hs_call(peer(i % 3), read_all, &readers[i]));
        cr_assert_eq(send_one(), i + 1);
    }
    while (sent % 20)
        (void)send_one();
    send_more(&timer);
}

Test(shard_broadcast, each_subscriber_gets_all_that_is_sent_after_it_subscribed)
{
    for (uint64_t seed = 0; seed < 10; seed++) {
        things_none();
        run_scene(to_each, 3, seed);
        cr_assert_eq(readers_closed, 6);
        for (uint32_t i = 0; i < 6; i++) {
            cr_assert_eq(readers[i].got, COUNT - readers[i].first);
            cr_assert_eq(readers[i].missed, 0);
        }
        cr_assert(things_out == 0 && things_dropped == 1);
    }
}

/* ---- lagging ---- */

static void read_some(reader *r, uint32_t most)
{
    void *message;
    while (most-- > 0) {
        hs_err err = hs_subscriber_try_recv(r->sub, &message);
        if (err.code == HS_E_BLOCKED || !note(r, err, message))
            return;
    }
}

static uint32_t step;

/* A slow reader: 4 wait with the sender, and as many with it. */
static void slow_step(hs_timer *t)
{
    reader *r = &readers[0];
    if (++step == 1) {
        for (uint32_t i = 0; i < 10; i++)
            cr_assert_eq(send_one(), 1);
        read_some(r, 1); /* the first use asks */
        cr_assert_eq(r->got + r->lags, 0);
    } else if (step == 2) {
        read_some(r, 2);
        cr_assert(r->lags == 1 && r->missed == 6 && r->got == 1);
        for (uint32_t i = 0; i < 5; i++)
            cr_assert_eq(send_one(), 1);
        read_some(r, 100);
        cr_assert(r->got == 4 && r->missed == 6);
        hs_broadcast_drop(bc);
    } else {
        read_some(r, 100);
        cr_assert(r->closed && r->got == 8 && r->missed == 7 && r->lags == 2);
        stop_all();
        return;
    }
    cr_assert(hs_ok(hs_timer_after(hs_shard_self(), t, 10, slow_step)));
}

static void slow(void)
{
    timer = (hs_timer){0};
    step = 0;
    make_broadcast(4);
    subscribe(&readers[0]);
    slow_step(&timer);
}

Test(shard_broadcast, a_slow_subscriber_is_told_how_many_it_missed)
{
    things_none();
    run_scene(slow, 1, 0);
    cr_assert_eq(step, 3);
    cr_assert(things_out == 0 && things_dropped == 7);
}

static hs_outcome read_once(void *arg)
{
    reader *r = arg;
    see(&s1, hs_subscriber_recv(r->sub, NULL), NULL);
    return hs_value(NULL);
}

static void lag_first(hs_timer *t)
{
    (void)t;
    hs_promise_drop(hs_call(peer(1), read_once, &readers[0]));
    hs_broadcast_drop(bc);
    stop_all();
}

static void lags_by_promise(void)
{
    timer = (hs_timer){0};
    make_broadcast(1);
    subscribe(&readers[0]);
    for (uint32_t i = 0; i < 5; i++)
        (void)send_one();
    cr_assert(hs_ok(hs_timer_after(hs_shard_self(), &timer, 1, lag_first)));
}

Test(shard_broadcast, the_detail_of_a_rejection_is_how_many_were_missed)
{
    things_none();
    run_scene(lags_by_promise, 2, 0);
    cr_assert(s1.calls == 1 && s1.err.code == HS_E_LAGGED && s1.number == 4);
    cr_assert(things_out == 0 && things_dropped == 5);
}

/* ---- numbers ---- */

static void numbers(void)
{
    hs_subscriber *a, *b;
    void *message;
    cr_assert(hs_ok(hs_broadcast_create(hs_shard_self(), 8, NULL, NULL, &bc)));
    cr_assert(hs_ok(hs_broadcast_subscribe(bc, &a)));
    cr_assert(hs_ok(hs_broadcast_subscribe(bc, &b)));
    cr_assert_eq(hs_broadcast_send(bc, NULL), 2);
    cr_assert_eq(hs_broadcast_send(bc, (void *)7), 2);
    cr_assert_eq(hs_subscriber_try_recv(a, &message).code, HS_E_BLOCKED);
    see(&s1, hs_subscriber_recv(a, NULL), NULL);
    see(&s2, hs_subscriber_recv(a, NULL), NULL); /* one at a time */
    see(&s3, hs_subscriber_recv(b, NULL), NULL);
    hs_broadcast_drop(bc);
    stop_all();
}

Test(shard_broadcast, what_is_a_number_goes_to_all_as_it_is)
{
    run_scene(numbers, 1, 0);
    cr_assert(s1.calls == 1 && hs_ok(s1.err) && s1.number == 0);
    cr_assert(s2.calls == 1 && s2.err.code == HS_E_USAGE);
    cr_assert(s3.calls == 1 && hs_ok(s3.err) && s3.number == 0);
}

/* ---- subscribers go ---- */

static hs_outcome drop_sub(void *arg)
{
    hs_subscriber_drop(arg);
    return hs_value(NULL);
}

static hs_outcome wait_and_drop(void *arg)
{
    see(&s1, hs_subscriber_recv(arg, NULL), NULL);
    hs_subscriber_drop(arg);
    return hs_value(NULL);
}

static void nobody_left(hs_timer *t)
{
    (void)t;
    cr_assert_eq(send_one(), 0);
    hs_broadcast_drop(bc);
    stop_all();
}

static void subscribers_go(void)
{
    timer = (hs_timer){0};
    make_broadcast(3);
    subscribe(&readers[0]);
    subscribe(&readers[1]);
    for (uint32_t i = 0; i < 2; i++)
        cr_assert_eq(send_one(), 2);
    hs_promise_drop(hs_call(peer(1), drop_sub, readers[0].sub));
    hs_promise_drop(hs_call(peer(1), wait_and_drop, readers[1].sub));
    cr_assert(hs_ok(hs_timer_after(hs_shard_self(), &timer, 10000, nobody_left)));
}

Test(shard_broadcast, one_that_is_dropped_gets_nothing_more)
{
    for (uint64_t seed = 0; seed < 20; seed++) {
        things_none();
        run_scene(subscribers_go, 2, seed);
        cr_assert(s1.calls == 1 && s1.err.code == HS_E_CLOSED);
        cr_assert(things_out == 0 && things_dropped == 5);
    }
}

/* ---- cancelling ---- */

static void see_second(seen *s)
{
    cr_assert(hs_ok(s->err));
    hs_subscriber_drop(readers[0].sub);
    hs_broadcast_drop(bc);
    stop_all();
}

static void cancels(void)
{
    make_broadcast(3);
    subscribe(&readers[0]);
    hs_cancel *c = hs_cancel_create(hs_shard_self());
    see(&s1, hs_subscriber_recv(readers[0].sub, c), NULL);
    hs_cancel_fire(c, hs_err_errno(ETIMEDOUT));
    see(&s2, hs_subscriber_recv(readers[0].sub, c), NULL); /* it has fired */
    hs_cancel_unref(c);
    (void)send_one();
    see(&s3, hs_subscriber_recv(readers[0].sub, NULL), see_second);
}

Test(shard_broadcast, a_receive_that_is_cancelled_loses_no_message)
{
    things_none();
    run_scene(cancels, 1, 0);
    cr_assert(s1.calls == 1 && s1.err.code == -ETIMEDOUT);
    cr_assert(s2.calls == 1 && s2.err.code == -ETIMEDOUT);
    cr_assert(s3.calls == 1 && s3.number == 0);
    cr_assert(things_out == 0 && things_dropped == 0);
}

/* ---- stop ---- */

static hs_outcome read_one_and_wait(void *arg)
{
    reader *r = arg;
    void *message;
    hs_err err = hs_subscriber_try_recv(r->sub, &message); /* asks, and leaves what comes there */
    cr_assert_eq(err.code, HS_E_BLOCKED);
    return hs_value(NULL);
}

static void stuck(void)
{
    make_broadcast(2);
    for (uint32_t i = 0; i < 3; i++) {
        subscribe(&readers[i]);
        hs_promise_drop(hs_call(peer(1), i == 0 ? read_once : read_one_and_wait, &readers[i]));
    }
    for (uint32_t i = 0; i < 6; i++)
        (void)send_one();
    stop_all();
}

/* Waits before anything was sent. */
static void stuck_empty(void)
{
    make_broadcast(2);
    subscribe(&readers[0]);
    hs_promise_drop(hs_call(peer(1), read_once, &readers[0]));
    stop_all();
}

static void drop_handles(hs_shard *s, void *ctx)
{
    (void)ctx;
    if (hs_shard_id(s) == 0) {
        hs_subscriber *sub;
        hs_broadcast *other;
        cr_assert_eq(hs_broadcast_subscribe(bc, &sub).code, HS_E_CLOSED);
        cr_assert_eq(hs_broadcast_create(s, 1, NULL, NULL, &other).code, HS_E_CLOSED);
        cr_assert_eq(send_one(), 0);
        hs_broadcast_drop(bc);
        return;
    }
    for (uint32_t i = 0; i < 3; i++) {
        void *message;
        cr_assert_eq(hs_subscriber_try_recv(readers[i].sub, &message).code, HS_E_CLOSED);
        hs_subscriber_drop(readers[i].sub);
    }
}

Test(shard_broadcast, at_a_stop_what_waits_is_rejected_and_what_lies_there_dropped)
{
    for (uint64_t seed = 0; seed < 30; seed++) {
        things_none();
        run_scene(stuck, 2, seed); /* the handles are left to the shards */
        cr_assert(s1.calls == 1 && things_out == 0);
        run_ending(stuck, drop_handles, 2, seed);
        cr_assert(s1.calls == 1 && things_out == 0);
        run_scene(stuck_empty, 2, seed);
        cr_assert(s1.calls == 1 && s1.err.code == HS_E_CLOSED);
    }
}

/* ---- no memory ---- */

static uint32_t copies;
static uint32_t poor_failed;

static void *poor_copy(void *message)
{
    return copies++ % 7 == 6 ? NULL : copy_thing(message);
}

static void poor_next(hs_reaction *reaction, hs_outcome o)
{
    reader *r = HS_CONTAINER_OF(reaction, reader, reaction);
    if (o.err.code == -ENOMEM) { /* for the promise: nothing is lost */
        poor_failed++;
        hs_react(hs_subscriber_recv(r->sub, NULL), &r->reaction, poor_next);
        return;
    }
    if (note(r, o.err, o.value))
        hs_react(hs_subscriber_recv(r->sub, NULL), &r->reaction, poor_next);
    else if (readers_closed == readers_len)
        stop_all();
}

static void poor(void)
{
    sent = 0;
    copies = readers_closed = readers_len = 0;
    hs_err err = hs_broadcast_create(hs_shard_self(), 20, poor_copy, thing_drop, &bc);
    while (hs_ok(err) && readers_len < 8) {
        reader *r = &readers[readers_len];
        *r = (reader){.first = sent, .next = sent};
        err = hs_broadcast_subscribe(bc, &r->sub);
        if (!hs_ok(err))
            break;
        readers_len++;
        hs_react(hs_subscriber_recv(r->sub, NULL), &r->reaction, poor_next);
        (void)send_one();
    }
    if (!hs_ok(err)) {
        cr_assert_eq(err.code, -ENOMEM);
        poor_failed++;
    }
    if (readers_len == 0)
        stop_all();
    for (uint32_t i = 0; readers_len > 0 && i < 30; i++)
        (void)send_one();
    if (readers_len > 0 || hs_ok(err))
        hs_broadcast_drop(bc);
}

Test(shard_broadcast, without_memory_a_message_is_missed_and_that_is_told)
{
    poor_failed = 0;
    for (uint64_t seed = 1; seed <= 100; seed++) {
        things_none();
        readers_len = 0;
        run_failing(poor, 2, seed, seed == 1 ? 0 : 300);
        for (uint32_t i = 0; i < readers_len; i++)
            cr_assert_eq(readers[i].got + readers[i].missed, sent - readers[i].first);
        cr_assert_eq(things_out, 0);
    }
    cr_assert_gt(poor_failed, 20);
}
