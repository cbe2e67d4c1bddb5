/* Channels from many senders to one receiver: order, room, closing from either side, cancelling,
 * clones on the move, and no memory. shard_channel_random.c mixes all of it. */
#include "channel_rig.h"

static seen s4, s5;

/* ---- one sender, one receiver ---- */

#define COUNT 1000

static uint32_t sent, received;

static void recv_next(seen *s)
{
    if (s) {
        if (s->err.code == HS_E_CLOSED) {
            hs_receiver_drop(rx);
            stop_all();
            return;
        }
        cr_assert(hs_ok(s->err));
        cr_assert_eq(s->number, received);
        received++;
    }
    see(&s1, hs_receiver_recv(rx, NULL), recv_next);
}

static void send_next(seen *s)
{
    if (s)
        cr_assert(hs_ok(s->err));
    if (sent == COUNT) {
        hs_sender_drop(tx);
        return;
    }
    see(&s2, hs_sender_send(tx, thing_make(sent++), NULL), send_next);
}

static hs_outcome send_all(void *arg)
{
    cr_assert_eq(arg, tx);
    send_next(NULL);
    return hs_value(NULL);
}

static void flow(uint32_t capacity)
{
    sent = received = 0;
    make_channel(capacity);
    hs_promise_drop(hs_call(peer(1), send_all, tx));
    recv_next(NULL);
}

static void flow_of_1(void)
{
    flow(1);
}

static void flow_of_7(void)
{
    flow(7);
}

static void flow_of_many(void)
{
    flow(4 * COUNT);
}

Test(shard_channel, what_is_sent_arrives_in_order_and_then_the_end)
{
    things_none();
    for (uint64_t seed = 0; seed < 10; seed++) {
        run_scene(flow_of_1, 2, seed);
        cr_assert_eq(received, COUNT);
        run_scene(flow_of_7, 2, seed);
        cr_assert_eq(received, COUNT);
        run_scene(flow_of_many, 2, seed);
        cr_assert_eq(received, COUNT);
        cr_assert_eq(things_out, 0);
        cr_assert_eq(things_dropped, 0);
    }
}

/* ---- room ---- */

static hs_timer one, rest;

static void see_room(seen *s)
{
    cr_assert(hs_ok(s->err));
    cr_assert_eq(received, 1); /* not before there was room */
    hs_sender_drop(tx);        /* what waits is sent all the same */
}

static void receive_one(hs_timer *timer)
{
    (void)timer;
    void *message;
    cr_assert(s1.calls == 0 && s2.calls == 0);
    cr_assert(hs_ok(hs_receiver_try_recv(rx, &message)));
    cr_assert_eq(thing_take(message), received++);
}

static void receive_rest(hs_timer *timer)
{
    void *message;
    hs_err err;
    while (hs_ok(err = hs_receiver_try_recv(rx, &message))) {
        cr_assert_eq(s1.calls, 1);
        cr_assert_eq(thing_take(message), received++);
    }
    if (err.code == HS_E_BLOCKED) {
        cr_assert(hs_ok(hs_timer_after(hs_shard_self(), timer, 1, receive_rest)));
        return;
    }
    cr_assert_eq(err.code, HS_E_CLOSED);
    cr_assert_eq(hs_receiver_try_recv(rx, &message).code, HS_E_CLOSED);
    hs_receiver_drop(rx);
    stop_all();
}

static hs_outcome fill(void *arg)
{
    (void)arg;
    for (intptr_t i = 0; i < 4; i++)
        cr_assert(hs_ok(hs_sender_try_send(tx, thing_make(i))));
    thing *more = thing_make(4);
    cr_assert_eq(hs_sender_try_send(tx, more).code, HS_E_BLOCKED);
    see(&s1, hs_sender_send(tx, more, NULL), see_room);
    see(&s2, hs_sender_send(tx, thing_make(5), NULL), NULL);
    return hs_value(NULL);
}

static void full(void)
{
    one = rest = (hs_timer){0};
    received = 0;
    make_channel(4);
    void *message;
    cr_assert_eq(hs_receiver_try_recv(rx, &message).code, HS_E_BLOCKED);
    hs_promise_drop(hs_call(peer(1), fill, NULL));
    cr_assert(hs_ok(hs_timer_after(hs_shard_self(), &one, 10000, receive_one)));
    cr_assert(hs_ok(hs_timer_after(hs_shard_self(), &rest, 20000, receive_rest)));
}

Test(shard_channel, a_full_queue_pushes_back_until_a_message_is_read)
{
    things_none();
    run_scene(full, 2, 0);
    cr_assert_eq(received, 6);
    cr_assert(s2.calls == 1 && hs_ok(s2.err));
    cr_assert_eq(things_out, 0);
}

/* ---- the receiver goes ---- */

static void end_closed(seen *s)
{
    cr_assert(hs_ok(s->err)); /* it learned */
    thing *message = thing_make(9);
    cr_assert_eq(hs_sender_try_send(tx, message).code, HS_E_CLOSED);
    see(&s3, hs_sender_send(tx, message, NULL), NULL);
    see(&s4, hs_sender_closed(tx), NULL); /* once more, and at once */
    hs_sender_drop(tx);
    stop_all();
}

static hs_outcome fill_and_watch(void *arg)
{
    see(&s2, hs_sender_closed(tx), end_closed);
    hs_promise_ignore(hs_sender_closed(tx));
    for (intptr_t i = 0; i < 3; i++)
        cr_assert(hs_ok(hs_sender_try_send(tx, thing_make(i))));
    see(&s1, hs_sender_send(tx, thing_make(3), NULL), NULL);
    return hs_value(arg);
}

static void drop_receiver(hs_timer *timer)
{
    (void)timer;
    cr_assert(s1.calls == 0 && s2.calls == 0);
    hs_receiver_drop(rx);
}

static void receiver_goes(void)
{
    one = (hs_timer){0};
    make_channel(3);
    hs_promise_drop(hs_call(peer(1), fill_and_watch, NULL));
    cr_assert(hs_ok(hs_timer_after(hs_shard_self(), &one, 10000, drop_receiver)));
}

Test(shard_channel, a_sender_learns_that_the_receiver_is_gone)
{
    things_none();
    run_scene(receiver_goes, 2, 0);
    cr_assert(s1.calls == 1 && s1.err.code == HS_E_CLOSED);
    cr_assert(s4.calls == 1 && hs_ok(s4.err));
    cr_assert(s2.calls == 1 && s3.calls == 1 && s3.err.code == HS_E_CLOSED);
    cr_assert_eq(things_out, 0);
    cr_assert_eq(things_dropped_at[0], 3); /* what had arrived */
    cr_assert_eq(things_dropped_at[1], 2); /* what waited, and the late one */
}

static void close_receiver(hs_timer *timer)
{
    (void)timer;
    hs_receiver_close(rx);
    void *message;
    for (intptr_t i = 0; i < 3; i++) {
        cr_assert(hs_ok(hs_receiver_try_recv(rx, &message)));
        cr_assert_eq(thing_take(message), i);
    }
    cr_assert_eq(hs_receiver_try_recv(rx, &message).code, HS_E_CLOSED);
    hs_receiver_drop(rx);
}

static void receiver_closes(void)
{
    one = (hs_timer){0};
    make_channel(3);
    hs_promise_drop(hs_call(peer(1), fill_and_watch, NULL));
    cr_assert(hs_ok(hs_timer_after(hs_shard_self(), &one, 10000, close_receiver)));
}

Test(shard_channel, a_closed_receiver_still_gives_what_has_arrived)
{
    things_none();
    run_scene(receiver_closes, 2, 0);
    cr_assert(s2.calls == 1 && s3.calls == 1 && s3.err.code == HS_E_CLOSED);
    cr_assert_eq(things_out, 0);
    cr_assert_eq(things_dropped_at[1], 2);
}

static void close_under_way(void)
{
    /* The first batch leaves when this returns: it arrives at a closed receiver, after one that is
     * here already. */
    void *message;
    hs_receiver_close(rx);
    cr_assert(hs_ok(hs_sender_try_send(tx, thing_make(1))));
    cr_assert_eq(hs_receiver_try_recv(rx, &message).code, HS_E_CLOSED);
}

static void closes_before(void)
{
    make_channel(8);
    close_under_way();
    hs_sender_drop(tx);
    hs_receiver_drop(rx);
    stop_all();
}

Test(shard_channel, what_is_on_its_way_to_a_closed_receiver_is_dropped_once)
{
    things_none();
    run_scene(closes_before, 1, 0);
    cr_assert_eq(things_out, 0);
    cr_assert_eq(things_dropped, 1);
}

/* ---- cancelling ---- */

static void cancel_both(void)
{
    hs_shard *s = hs_shard_self();
    make_channel(1);
    hs_cancel *c = hs_cancel_create(s);
    /* A receive that is cancelled takes no message with it. */
    see(&s1, hs_receiver_recv(rx, c), NULL);
    see(&s2, hs_receiver_recv(rx, NULL), NULL); /* one at a time */
    hs_cancel_fire(c, hs_err_errno(ETIMEDOUT));
    see(&s3, hs_receiver_recv(rx, c), NULL); /* it has fired */
    hs_cancel_unref(c);
    cr_assert(hs_ok(hs_sender_try_send(tx, thing_make(1))));
}

static void receive_others(hs_timer *timer)
{
    void *message;
    hs_err err = hs_receiver_try_recv(rx, &message);
    if (err.code == HS_E_CLOSED) {
        cr_assert_eq(received, 2);
        hs_receiver_drop(rx);
        stop_all();
        return;
    }
    if (hs_ok(err)) /* 2 was cancelled */
        cr_assert_eq(thing_take(message), received++ == 0 ? 1 : 3);
    cr_assert(hs_ok(hs_timer_after(hs_shard_self(), timer, 1, receive_others)));
}

static void cancel_send(hs_timer *timer)
{
    hs_cancel *c = hs_cancel_create(hs_shard_self());
    see(&s4, hs_sender_send(tx, thing_make(2), c), NULL);
    see(&s5, hs_sender_send(tx, thing_make(3), NULL), NULL);
    hs_cancel_fire(c, hs_err_errno(ECANCELED));
    hs_cancel_unref(c);
    hs_sender_drop(tx);
    cr_assert(hs_ok(hs_timer_after(hs_shard_self(), timer, 100, receive_others)));
}

static void cancels(void)
{
    one = (hs_timer){0};
    received = 0;
    cancel_both();
    cr_assert(hs_ok(hs_timer_after(hs_shard_self(), &one, 100, cancel_send)));
}

Test(shard_channel, cancelling_a_send_or_a_receive_loses_no_other_message)
{
    things_none();
    run_scene(cancels, 1, 0);
    cr_assert(s1.calls == 1 && s1.err.code == -ETIMEDOUT);
    cr_assert(s2.calls == 1 && s2.err.code == HS_E_USAGE);
    cr_assert(s3.calls == 1 && s3.err.code == -ETIMEDOUT);
    cr_assert(s4.calls == 1 && s4.err.code == -ECANCELED);
    cr_assert(s5.calls == 1 && hs_ok(s5.err));
    cr_assert_eq(things_out, 0);
    cr_assert_eq(things_dropped, 1);
}

/* ---- clones ---- */

/* A sender goes round: each shard makes a clone, sends it on and drops its own at once, so there
 * is always one left, most of the time in a message, and the channel must not seem at its end. */
#define ROUND 500

static uint32_t rounds;

static hs_outcome pass_on(void *arg)
{
    hs_sender *own = arg;
    cr_assert(hs_ok(hs_sender_try_send(own, thing_make(rounds))));
    if (++rounds < ROUND) {
        hs_sender *next;
        cr_assert(hs_ok(hs_sender_clone(own, &next)));
        hs_promise_drop(hs_call_with(peer((here() + 1) % 3), pass_on, next, hs_sender_drop, NULL));
    }
    hs_sender_drop(own);
    return hs_value(NULL);
}

static uint64_t numbers_seen;

static void recv_any(seen *s)
{
    if (s) {
        if (s->err.code == HS_E_CLOSED) {
            hs_receiver_drop(rx);
            stop_all();
            return;
        }
        cr_assert(hs_ok(s->err));
        numbers_seen += (uint64_t)s->number;
        received++;
    }
    see(&s1, hs_receiver_recv(rx, NULL), recv_any);
}

static void go_round(void)
{
    rounds = received = 0;
    numbers_seen = 0;
    make_channel(2);
    hs_promise_drop(hs_call(peer(1), pass_on, tx));
    recv_any(NULL);
}

Test(shard_channel, clones_that_travel_keep_the_channel_open_until_the_last_is_gone)
{
    things_none();
    for (uint64_t seed = 0; seed < 30; seed++) {
        run_scene(go_round, 3, seed);
        cr_assert_eq(received, ROUND);
        cr_assert_eq(numbers_seen, ROUND * (ROUND - 1) / 2);
    }
    cr_assert_eq(things_out, 0);
}

static void many_clones(void)
{
    static hs_sender *clones[300];
    make_channel(1);
    for (uint32_t i = 0; i < HS_ARRAY_LEN(clones); i++) {
        cr_assert(hs_ok(hs_sender_clone(tx, &clones[i])));
        cr_assert(hs_ok(hs_sender_try_send(clones[i], thing_make(i))));
    }
    for (uint32_t i = 0; i < HS_ARRAY_LEN(clones); i++)
        hs_sender_drop(clones[i]);
    hs_sender_drop(tx);
    received = 0;
    recv_any(NULL);
}

Test(shard_channel, each_sender_has_room_of_its_own)
{
    things_none();
    run_scene(many_clones, 1, 0);
    cr_assert_eq(received, 300);
    cr_assert_eq(things_out, 0);
}

static void flood(void)
{
    static hs_sender *other;
    make_channel(1000);
    cr_assert(hs_ok(hs_sender_clone(tx, &other)));
    for (intptr_t i = 0; i < 1000; i++)
        cr_assert(hs_ok(hs_sender_try_send(tx, thing_make(i))));
    cr_assert(hs_ok(hs_sender_try_send(other, thing_make(5000))));
    hs_sender_drop(tx);
    hs_sender_drop(other);
    received = 0;
}

static uint32_t other_at;

static void receive_flood(hs_timer *timer)
{
    (void)timer;
    void *message;
    while (hs_ok(hs_receiver_try_recv(rx, &message))) {
        if (thing_take(message) == 5000)
            other_at = received;
        received++;
    }
    hs_receiver_drop(rx);
    stop_all();
}

static void flooded(void)
{
    rest = (hs_timer){0};
    flood();
    cr_assert(hs_ok(hs_timer_after(hs_shard_self(), &rest, 100, receive_flood)));
}

Test(shard_channel, a_sender_that_floods_the_channel_keeps_no_other_waiting)
{
    things_none();
    run_scene(flooded, 1, 0);
    cr_assert_eq(received, 1001);
    cr_assert_lt(other_at, 100);
}

/* ---- no memory ---- */

static uint32_t poor_sent, poor_lost, poor_failed;

static void poor_recv(seen *s)
{
    if (s && hs_ok(s->err))
        received++;
    if (s && s->err.code == HS_E_CLOSED) {
        hs_receiver_drop(rx);
        stop_all();
        return;
    }
    poor_failed += s && !hs_ok(s->err);
    see(&s1, hs_receiver_recv(rx, NULL), poor_recv);
}

static void poor_settled(seen *s)
{
    poor_failed += !hs_ok(s->err);
    poor_lost += !hs_ok(s->err);
    free(s);
}

static hs_outcome poor_there(void *arg)
{
    hs_sender *x = arg;
    for (uint32_t i = 0; i < 20; i++) {
        seen *s = calloc(1, sizeof *s);
        cr_assert_not_null(s);
        see(s, hs_sender_send(x, thing_make(i), NULL), poor_settled);
        poor_sent++;
        hs_sender *clone;
        hs_err err = hs_sender_clone(x, &clone);
        if (hs_ok(err)) {
            hs_sender_drop(x);
            x = clone;
        } else {
            cr_assert_eq(err.code, -ENOMEM);
            poor_failed++;
        }
    }
    hs_sender_drop(x);
    return hs_value(NULL);
}

static void poor(void)
{
    received = 0;
    hs_err err = hs_channel_create(hs_shard_self(), 2, thing_drop, &tx, &rx);
    if (!hs_ok(err)) {
        cr_assert_eq(err.code, -ENOMEM);
        poor_failed++;
        stop_all();
        return;
    }
    hs_promise_ignore(hs_call_with(peer(1), poor_there, tx, hs_sender_drop, NULL));
    poor_recv(NULL);
}

Test(shard_channel, without_memory_a_send_is_rejected_and_nothing_leaks)
{
    poor_failed = 0;
    for (uint64_t seed = 1; seed <= 150; seed++) {
        things_none();
        poor_sent = poor_lost = received = 0;
        run_failing(poor, 2, seed, 200);
        cr_assert_eq(things_out, 0);
        cr_assert_eq(received + poor_lost, poor_sent);
        cr_assert_eq(things_dropped, poor_lost);
    }
    cr_assert_gt(poor_failed, 100);
}
