/* Calls and channels between shards on threads of their own, for real.
 *
 * A plain program, so that it runs under ThreadSanitizer too, which sees whether what is handed
 * from shard to shard is ever touched by two. On each shard a fiber receives from senders on all of
 * them, asks questions whose answers come by channels for one message, sends to subscribers
 * everywhere, and calls all shards; nothing may be lost, come twice, or out of order. Messages are
 * memory that the receiver writes to and frees. With HS_CAPS_DISABLE=msg_ring the same runs on the
 * eventfd wake-up, with HS_IO=epoll on the other backend. */
#include <string.h>

#include "check.h"
#include "hs_call.h"
#include "hs_channel.h"
#include "hs_fiber.h"
#include "hs_group.h"
#include "hs_mem.h"

#define SHARDS 3u
#define MESSAGES 10000u /* of each sender */
#define QUESTIONS 500u
#define NEWS 5000u
#define CALLS 200u

typedef struct message {
    uint32_t from, number;
    uint32_t reads; /* written by who receives it */
} message;

/* What one shard's fiber gives to one on another. */
typedef struct job {
    hs_sender *sender;
    hs_oneshot_sender *answer;
    hs_subscriber *news;
    uint32_t from, number;
    uint32_t got, missed;
} job;

static job send_jobs[SHARDS][SHARDS], question_jobs[SHARDS], news_jobs[SHARDS][SHARDS];
static hs_timer timers[SHARDS];
static bool done[SHARDS];

static uint32_t here(void)
{
    return hs_shard_id(hs_shard_self());
}

static hs_shard *peer(uint32_t id)
{
    return hs_shard_peer(hs_shard_self(), id);
}

static message *message_make(uint32_t from, uint32_t number)
{
    message *m = hs_mem_take(hs_mem_system(), sizeof *m, _Alignof(message));
    CHECK(m != NULL);
    *m = (message){.from = from, .number = number};
    return m;
}

static void *message_copy(void *ptr)
{
    const message *m = ptr;
    return message_make(m->from, m->number);
}

static void message_free(void *ptr)
{
    message *m = ptr;
    CHECK(m->reads++ == 0);
    hs_mem_give(hs_mem_system(), m, sizeof *m, _Alignof(message));
}

static hs_promise *fiber(hs_fiber_fn *fn, void *arg)
{
    return hs_fiber_start(hs_shard_self(), "test", fn, arg, NULL);
}

/* ---- many senders, one receiver ---- */

static hs_err send_all(void *arg)
{
    job *j = arg;
    for (uint32_t i = 0; i < MESSAGES; i++) {
        message *m = message_make(here(), i);
        hs_err err = hs_sender_try_send(j->sender, m);
        if (err.code == HS_E_BLOCKED)
            err = hs_await(hs_sender_send(j->sender, m, NULL), NULL);
        CHECK(hs_ok(err));
    }
    hs_sender_drop(j->sender);
    return HS_OK;
}

static hs_outcome send_there(void *arg)
{
    return hs_adopt(fiber(send_all, arg));
}

static void receive_all(void)
{
    hs_sender *sender;
    hs_receiver *receiver;
    hs_promise *ends[SHARDS];
    uint32_t next[SHARDS] = {0}, got = 0;
    CHECK(hs_ok(hs_channel_create(hs_shard_self(), 40, message_free, &sender, &receiver)));
    for (uint32_t i = 0; i < SHARDS; i++) {
        job *j = &send_jobs[here()][i];
        CHECK(hs_ok(hs_sender_clone(sender, &j->sender)));
        ends[i] = hs_call(peer(i), send_there, j);
    }
    hs_sender_drop(sender);
    message *m = NULL;
    hs_err err;
    while (hs_ok(err = hs_await(hs_receiver_recv(receiver, NULL), &m))) {
        CHECK(m->number == next[m->from]++);
        message_free(m);
        got++;
    }
    CHECK(err.code == HS_E_CLOSED);
    CHECK(got == SHARDS * MESSAGES);
    hs_receiver_drop(receiver);
    CHECK(hs_ok(hs_await(hs_all(hs_shard_self(), ends, SHARDS), NULL)));
}

/* ---- questions ---- */

static hs_outcome answer(void *arg)
{
    job *j = arg;
    hs_oneshot_sender *sender = j->answer;
    uint32_t number = j->number;
    if (number % 5 == 0) {
        hs_oneshot_sender_drop(sender);
        return hs_value(NULL);
    }
    CHECK(hs_ok(hs_oneshot_send(sender, message_make(here(), number))));
    return hs_value(NULL);
}

static void ask(uint32_t number)
{
    hs_oneshot_receiver *receiver;
    job *j = &question_jobs[here()];
    CHECK(hs_ok(hs_oneshot_create(hs_shard_self(), message_free, &j->answer, &receiver)));
    j->number = number;
    hs_promise_drop(hs_call(peer(number % SHARDS), answer, j));
    message *m = NULL;
    hs_err err = hs_await(hs_oneshot_recv(receiver, NULL), &m);
    if (number % 5 == 0) {
        CHECK(err.code == HS_E_CLOSED);
    } else {
        CHECK(hs_ok(err));
        CHECK(m->number == number);
        CHECK(m->from == number % SHARDS);
        message_free(m);
    }
    hs_oneshot_receiver_drop(receiver);
}

/* ---- news ---- */

static hs_err read_news(void *arg)
{
    job *j = arg;
    for (;;) {
        void *received = NULL;
        hs_err err = hs_subscriber_try_recv(j->news, &received);
        if (err.code == HS_E_BLOCKED)
            err = hs_await(hs_subscriber_recv(j->news, NULL), &received);
        if (err.code == HS_E_CLOSED)
            break;
        /* hs_await gives no detail: the next message tells how many were missed. */
        if (err.code == HS_E_LAGGED)
            continue;
        CHECK(hs_ok(err));
        message *m = received;
        CHECK(m->from == j->from);
        CHECK(m->number >= j->got + j->missed);
        j->missed = m->number - j->got;
        j->got++;
        message_free(m);
    }
    hs_subscriber_drop(j->news);
    return HS_OK;
}

static hs_outcome read_there(void *arg)
{
    return hs_adopt(fiber(read_news, arg));
}

static void send_news(void)
{
    hs_broadcast *b;
    hs_promise *ends[SHARDS];
    CHECK(hs_ok(hs_broadcast_create(hs_shard_self(), 64, message_copy, message_free, &b)));
    for (uint32_t i = 0; i < SHARDS; i++) {
        job *j = &news_jobs[here()][i];
        *j = (job){.from = here()};
        CHECK(hs_ok(hs_broadcast_subscribe(b, &j->news)));
        ends[i] = hs_call(peer(i), read_there, j);
    }
    for (uint32_t i = 0; i < NEWS; i++) {
        CHECK(hs_broadcast_send(b, message_make(here(), i)) == SHARDS);
        if (i % 32 == 31)
            CHECK(hs_ok(hs_yield()));
    }
    hs_broadcast_drop(b);
    CHECK(hs_ok(hs_await(hs_all(hs_shard_self(), ends, SHARDS), NULL)));
    for (uint32_t i = 0; i < SHARDS; i++) {
        const job *j = &news_jobs[here()][i];
        /* The last messages are always there. */
        CHECK(j->got + j->missed == NEWS);
        CHECK(j->got >= 64);
    }
}

/* ---- calls to all ---- */

static hs_outcome times(void *arg)
{
    return hs_value((void *)((uintptr_t)arg * SHARDS + here()));
}

static void call_all(uintptr_t number)
{
    hs_outcomes *all = NULL;
    CHECK(hs_ok(hs_await(hs_call_all(times, (void *)number), &all)));
    CHECK(all->len == SHARDS);
    for (uint32_t i = 0; i < SHARDS; i++) {
        CHECK(hs_ok(all->at[i].err));
        CHECK((uintptr_t)all->at[i].value == number * SHARDS + i);
    }
    hs_outcomes_free(all);
}

/* ---- each shard ---- */

static hs_err work(void *arg)
{
    (void)arg;
    receive_all();
    for (uint32_t i = 0; i < QUESTIONS; i++)
        ask(i);
    send_news();
    for (uint32_t i = 0; i < CALLS; i++)
        call_all(i);
    done[here()] = true;
    hs_shard_release(hs_shard_self());
    return HS_OK;
}

static void begin(hs_timer *timer)
{
    (void)timer;
    hs_promise_drop(fiber(work, NULL));
}

static hs_err start(hs_shard *s, void *ctx)
{
    (void)ctx;
    hs_shard_hold(s);
    return hs_timer_after(s, &timers[hs_shard_id(s)], 1, begin);
}

int main(void)
{
    hs_group_options o;
    hs_group_options_init(&o);
    o.shards = SHARDS;
    o.start = start;
    hs_group *group;
    CHECK(hs_ok(hs_group_start(&o, &group)));
    /* The stop comes in the middle of the work: what holds a shard is finished first. */
    hs_group_stop(group);
    hs_group_join(group);
    for (uint32_t i = 0; i < SHARDS; i++)
        CHECK(done[i]);
    printf(
        "channels: %u messages, %u questions, %u news and %u calls to all, on each of %u shards\n",
        SHARDS * MESSAGES, QUESTIONS, SHARDS * NEWS, CALLS, SHARDS);
    return 0;
}
