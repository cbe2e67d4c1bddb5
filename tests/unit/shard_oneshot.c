/* Channels for one message: it arrives, it never comes, nobody wants it; cancelling, stopping, no
 * memory. */
#include "cluster_rig.h"
#include "core_help.h"
#include "hs_call.h"
#include "hs_channel.h"

static hs_oneshot_sender *tx;
static hs_oneshot_receiver *rx;
static seen s1, s2;

static void make_oneshot(void)
{
    cr_assert(hs_ok(hs_oneshot_create(hs_shard_self(), thing_drop, &tx, &rx)));
}

static void drop_receiver_and_stop(seen *s)
{
    (void)s;
    void *message;
    cr_assert_eq(hs_oneshot_try_recv(rx, &message).code, HS_E_CLOSED);
    hs_oneshot_receiver_drop(rx);
    stop_all();
}

/* ---- it arrives, or never ---- */

static hs_outcome send_it(void *arg)
{
    cr_assert(hs_ok(hs_oneshot_send(arg, thing_make(5))));
    return hs_value(NULL);
}

static uint32_t sender_at;

static void arrives(void)
{
    void *message;
    make_oneshot();
    cr_assert_eq(hs_oneshot_try_recv(rx, &message).code, HS_E_BLOCKED);
    hs_promise_drop(hs_call(peer(sender_at), send_it, tx));
    see(&s1, hs_oneshot_recv(rx, NULL), drop_receiver_and_stop);
}

Test(shard_oneshot, a_message_arrives_once_from_another_shard_or_the_same)
{
    for (uint64_t seed = 0; seed < 20; seed++) {
        things_none();
        sender_at = seed % 2;
        run_scene(arrives, 2, seed);
        cr_assert(s1.calls == 1 && hs_ok(s1.err) && s1.number == 5);
        cr_assert(things_out == 0 && things_dropped == 0);
    }
}

static hs_outcome drop_it(void *arg)
{
    hs_oneshot_sender_drop(arg);
    return hs_value(NULL);
}

static void never_comes(void)
{
    make_oneshot();
    hs_promise_drop(hs_call(peer(1), drop_it, tx));
    see(&s1, hs_oneshot_recv(rx, NULL), drop_receiver_and_stop);
}

/* The call is refused and takes the handle with it: the receiver hears of that, too. */
static void goes_with_a_call(void)
{
    make_oneshot();
    hs_cancel *c = hs_cancel_create(hs_shard_self());
    hs_cancel_fire(c, hs_err_errno(ECANCELED));
    hs_promise_drop(hs_call_with(peer(1), send_it, tx, hs_oneshot_sender_drop, c));
    hs_cancel_unref(c);
    see(&s1, hs_oneshot_recv(rx, NULL), drop_receiver_and_stop);
}

Test(shard_oneshot, a_sender_that_is_dropped_closes_it)
{
    for (uint64_t seed = 0; seed < 20; seed++) {
        run_scene(never_comes, 2, seed);
        cr_assert(s1.calls == 1 && s1.err.code == HS_E_CLOSED);
        run_scene(goes_with_a_call, 2, seed);
        cr_assert(s1.calls == 1 && s1.err.code == HS_E_CLOSED);
    }
}

/* ---- nobody wants it ---- */

static void send_too_late(seen *s)
{
    cr_assert(hs_ok(s->err));
    thing *message = thing_make(1);
    cr_assert_eq(hs_oneshot_send(tx, message).code, HS_E_CLOSED);
    (void)thing_take(message); /* still ours */
    stop_all();
}

static hs_outcome watch_it(void *arg)
{
    see(&s1, hs_oneshot_closed(arg), send_too_late);
    return hs_value(NULL);
}

static hs_timer timer;

static void drop_receiver(hs_timer *t)
{
    (void)t;
    cr_assert_eq(s1.calls, 0);
    hs_oneshot_receiver_drop(rx);
}

static void nobody_wants_it(void)
{
    timer = (hs_timer){0};
    make_oneshot();
    hs_promise_drop(hs_call(peer(1), watch_it, tx));
    cr_assert(hs_ok(hs_timer_after(hs_shard_self(), &timer, 10000, drop_receiver)));
}

static void on_its_way(void)
{
    make_oneshot();
    cr_assert(hs_ok(hs_oneshot_send(tx, thing_make(1))));
    hs_oneshot_receiver_drop(rx);
    stop_all();
}

Test(shard_oneshot, a_sender_learns_that_the_receiver_is_gone)
{
    for (uint64_t seed = 0; seed < 20; seed++) {
        things_none();
        run_scene(nobody_wants_it, 2, seed);
        cr_assert(s1.calls == 1 && hs_ok(s1.err));
        cr_assert(things_out == 0 && things_dropped == 0);
        run_scene(on_its_way, 2, seed);
        cr_assert(things_out == 0 && things_dropped == 1);
    }
}

/* ---- cancelling, stopping ---- */

static void cancelled_once(void)
{
    make_oneshot();
    hs_cancel *c = hs_cancel_create(hs_shard_self());
    see(&s1, hs_oneshot_recv(rx, c), NULL);
    hs_cancel_fire(c, hs_err_errno(ETIMEDOUT));
    hs_cancel_unref(c);
    hs_promise_drop(hs_call(peer(1), send_it, tx));
    see(&s2, hs_oneshot_recv(rx, NULL), drop_receiver_and_stop);
}

Test(shard_oneshot, a_receive_that_is_cancelled_does_not_lose_the_message)
{
    things_none();
    run_scene(cancelled_once, 2, 0);
    cr_assert(s1.calls == 1 && s1.err.code == -ETIMEDOUT);
    cr_assert(s2.calls == 1 && hs_ok(s2.err) && s2.number == 5);
    cr_assert(things_out == 0 && things_dropped == 0);
}

static hs_outcome keep_it(void *arg)
{
    see(&s2, hs_oneshot_closed(arg), NULL);
    return hs_value(NULL);
}

static void stop_while_waiting(void)
{
    make_oneshot();
    hs_promise_drop(hs_call(peer(1), keep_it, tx));
    see(&s1, hs_oneshot_recv(rx, NULL), NULL);
    stop_all();
}

Test(shard_oneshot, at_a_stop_both_sides_are_told)
{
    for (uint64_t seed = 0; seed < 30; seed++) {
        run_scene(stop_while_waiting, 2, seed);
        cr_assert(s1.calls == 1 && s1.err.code == HS_E_CLOSED);
        cr_assert_eq(s2.calls, 1);
    }
}

/* ---- many at once, drawn from a seed, with and without memory ---- */

#define QUESTIONS 100

typedef struct question {
    hs_oneshot_sender *tx;
    hs_oneshot_receiver *rx;
    hs_reaction reaction;
} question;

static question questions[QUESTIONS];
static uint32_t ended, answers, sent, refused, no_memory;
static rng random_numbers;

static hs_outcome reply(void *arg)
{
    question *q = arg;
    if (rng_one_in(&random_numbers, 4)) {
        hs_oneshot_sender_drop(q->tx);
        return hs_value(NULL);
    }
    thing *t = thing_make(q - questions);
    if (hs_ok(hs_oneshot_send(q->tx, t))) {
        sent++;
    } else {
        (void)thing_take(t);
    }
    return hs_value(NULL);
}

static void not_asked(void *arg)
{
    question *q = arg;
    refused++;
    hs_oneshot_sender_drop(q->tx);
}

static void one_ended(void)
{
    if (++ended == QUESTIONS)
        stop_all();
}

static void replied(hs_reaction *reaction, hs_outcome o)
{
    question *q = HS_CONTAINER_OF(reaction, question, reaction);
    if (hs_ok(o.err)) {
        answers++;
        cr_assert_eq(thing_take(o.value), q - questions);
    } else {
        cr_assert(o.err.code == HS_E_CLOSED || o.err.code == -ENOMEM || o.err.code == -ETIMEDOUT);
        no_memory += o.err.code == -ENOMEM;
    }
    hs_oneshot_receiver_drop(q->rx);
    one_ended();
}

static void ask(question *q)
{
    *q = (question){0};
    hs_err err = hs_oneshot_create(hs_shard_self(), thing_drop, &q->tx, &q->rx);
    if (!hs_ok(err)) {
        cr_assert_eq(err.code, -ENOMEM);
        no_memory++;
        one_ended();
        return;
    }
    uint32_t to = rng_below(&random_numbers, 3);
    hs_promise_ignore(hs_call_with(peer(to), reply, q, not_asked, NULL));
    if (rng_one_in(&random_numbers, 5)) {
        hs_oneshot_receiver_drop(q->rx);
        one_ended();
        return;
    }
    hs_cancel *c = rng_one_in(&random_numbers, 3)
                       ? hs_cancel_after(hs_shard_self(), rng_below(&random_numbers, 5))
                       : NULL;
    hs_react(hs_oneshot_recv(q->rx, c), &q->reaction, replied);
    hs_cancel_unref(c);
}

static void ask_all(void)
{
    for (uint32_t i = 0; i < QUESTIONS; i++)
        ask(&questions[i]);
}

static void run_questions(uint64_t seed, uint32_t fail_chance)
{
    random_numbers = (rng){seed};
    ended = answers = sent = refused = 0;
    things_none();
    run_failing(ask_all, 3, seed | 1, fail_chance);
    cr_assert(ended == QUESTIONS || !hs_ok(rig_now.c.start_err));
    cr_assert_eq(things_out, 0);
    cr_assert_eq(things_dropped, sent - answers);
}

Test(shard_oneshot, every_question_has_one_answer_or_none_and_nothing_leaks)
{
    rng seeds = rng_seeded("shard_oneshot");
    uint32_t runs = getenv("HS_TEST_LONG") ? 1000 : 20;
    for (uint32_t i = 0; i < runs; i++)
        run_questions(rng_next(&seeds), 0);
    cr_assert_eq(no_memory, 0);
    for (uint32_t i = 0; i < runs; i++)
        run_questions(rng_next(&seeds), 1 + rng_below(&seeds, 600));
    cr_assert_gt(no_memory, 0);
}
