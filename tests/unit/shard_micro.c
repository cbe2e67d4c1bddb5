/* Microtasks: they run after the callback under way and before anything else, all of them, under a
 * bound. */
#include "bench.h"

static bench b;
static char order[64];

static void note(char c)
{
    size_t len = strlen(order);
    cr_assert_lt(len + 1, sizeof(order));
    order[len] = c;
}

/* A microtask that writes its letter down, and posts another one first if it has one. */
typedef struct letter {
    hs_microtask micro;
    char c;
    struct letter *then;
} letter;

static void letter_run(hs_microtask *micro)
{
    letter *l = HS_CONTAINER_OF(micro, letter, micro);
    note(l->c);
    if (l->then)
        hs_microtask_post(b.shard, &l->then->micro, letter_run);
}

static letter letters[26];

static void post(char c)
{
    letters[c - 'a'].c = c;
    hs_microtask_post(b.shard, &letters[c - 'a'].micro, letter_run);
}

/* ---- order ---- */

static hs_task tasks[2];

static void task_run(hs_task *task)
{
    note('0' + (char)(task - tasks));
    post(task == tasks ? 'a' : 'c');
    post(task == tasks ? 'b' : 'd');
}

Test(shard_micro, run_between_two_tasks_in_the_order_of_their_posting)
{
    bench_init(&b, NULL);
    hs_task_post(b.shard, &tasks[0], task_run);
    hs_task_post(b.shard, &tasks[1], task_run);
    bench_run(&b, 1);
    cr_assert_str_eq(order, "0ab1cd");
    bench_fini(&b);
}

static hs_timer timers[2];

static void timer_run(hs_timer *timer)
{
    note('0' + (char)(timer - timers));
    post(timer == timers ? 'a' : 'b');
}

Test(shard_micro, run_between_two_timers)
{
    bench_init(&b, NULL);
    for (uint32_t i = 0; i < 2; i++)
        cr_assert(hs_ok(hs_timer_set(b.shard, &timers[i], 1 + i, timer_run)));
    bench_run(&b, 1);
    cr_assert_str_eq(order, "0a1b");
    bench_fini(&b);
}

static hs_call_op calls[2];

static void call_run(hs_call_op *call)
{
    note('0' + (char)(call - calls));
    post(call == calls ? 'a' : 'b');
}

static void call_done(hs_call_op *call)
{
    note('2' + (char)(call - calls));
    post(call == calls ? 'c' : 'd');
}

Test(shard_micro, run_between_two_messages)
{
    bench_init(&b, NULL);
    for (uint32_t i = 0; i < 2; i++) {
        calls[i] = (hs_call_op){.fn = call_run, .done = call_done};
        cr_assert(hs_ok(hs_call_op_start(b.shard, &calls[i])));
    }
    bench_run(&b, 1);
    cr_assert_str_eq(order, "0a1b2c3d");
    bench_fini(&b);
}

static hs_op ops[2];

static void op_done(hs_op *op, const hs_io_event *event)
{
    cr_assert_eq(event->res, -ECANCELED);
    note('0');
    post(op == ops ? 'a' : 'b');
}

Test(shard_micro, run_between_two_completions)
{
    bench_init(&b, NULL);
    hs_io *io = hs_shard_io(b.shard);
    struct sockaddr_in addr = {.sin_family = AF_INET};
    int fd = hs_io_listen(io, (struct sockaddr *)&addr, sizeof(addr), 8, false);
    cr_assert_geq(fd, 0);
    for (uint32_t i = 0; i < 2; i++) {
        hs_io_poll(io, &ops[i], fd, POLLIN, op_done);
        hs_io_cancel(io, &ops[i]);
    }
    /* Each has run when the turn of its completion is over. */
    for (uint32_t turns = 0; strlen(order) < 4; turns++) {
        cr_assert_lt(turns, 100);
        shard_turn(b.shard, true);
        cr_assert(strlen(order) % 2 == 0, "%s", order);
    }
    cr_assert(strcmp(order, "0a0b") == 0 || strcmp(order, "0b0a") == 0, "%s", order);
    hs_io_close(io, fd);
    bench_fini(&b);
}

Test(shard_micro, those_that_they_post_run_before_the_next_task)
{
    bench_init(&b, NULL);
    letters[0].then = &letters[24]; /* a, then y, then z */
    letters[24] = (letter){.c = 'y', .then = &letters[25]};
    letters[25] = (letter){.c = 'z'};
    hs_task_post(b.shard, &tasks[0], task_run);
    hs_task_post(b.shard, &tasks[1], task_run);
    bench_run(&b, 1);
    cr_assert_str_eq(order, "0abyz1cd");
    bench_fini(&b);
}

Test(shard_micro, those_posted_outside_a_callback_run_first_in_the_turn)
{
    bench_init(&b, NULL);
    hs_task_post(b.shard, &tasks[0], task_run);
    post('x');
    bench_run(&b, 1);
    cr_assert_str_eq(order, "x0ab");
    bench_fini(&b);
}

/* ---- one at a time ---- */

Test(shard_micro, one_that_is_taken_back_does_not_run)
{
    bench_init(&b, NULL);
    hs_microtask_cancel(&letters[0].micro); /* was never posted */
    for (char c = 'a'; c <= 'e'; c++)
        post(c);
    hs_microtask_cancel(&letters[0].micro);
    hs_microtask_cancel(&letters[2].micro);
    hs_microtask_cancel(&letters[2].micro);
    hs_microtask_cancel(&letters[4].micro);
    post('c'); /* it is idle again */
    bench_run(&b, 1);
    cr_assert_str_eq(order, "bdc");
    hs_microtask_cancel(&letters[1].micro); /* it has run */
    bench_fini(&b);
}

Test(shard_micro, posting_a_posted_one_is_an_error_of_the_programmer, .signal = SIGABRT)
{
    bench_init(&b, NULL);
    post('a');
    post('a');
}

/* ---- the bound ---- */

static hs_microtask endless;
static uint64_t endless_ran, endless_max;
static hs_timer ticker;
static uint32_t ticks;

static void endless_run(hs_microtask *micro)
{
    if (++endless_ran < endless_max)
        hs_microtask_post(b.shard, micro, endless_run);
}

static void tick(hs_timer *timer)
{
    ticks++;
    if (endless_ran < endless_max)
        cr_assert(hs_ok(hs_timer_after(b.shard, timer, 1, tick)));
}

Test(shard_micro, a_chain_without_end_stops_neither_timers_nor_turns_and_is_logged_once_a_second)
{
    bench_init(&b, NULL);
    uint64_t start_ms = bench_ms(&b);
    endless_max = 200 * (uint64_t)HS_TURN_MICROTASKS_MAX;
    hs_microtask_post(b.shard, &endless, endless_run);
    cr_assert(hs_ok(hs_timer_after(b.shard, &ticker, 1, tick)));
    shard_turn(b.shard, true);
    cr_assert_eq(bench_ms(&b), start_ms); /* it did not wait for the timer */
    cr_assert_eq(endless_ran, HS_TURN_MICROTASKS_MAX);
    cr_assert_eq(bench_logged(&b, "more than 65536 microtasks in one turn"), 1);
    bench_run(&b, 900);
    cr_assert_eq(endless_ran, endless_max);
    cr_assert_gt(ticks, 0);
    cr_assert_lt(bench_ms(&b), start_ms + 1000);
    cr_assert_eq(bench_logged(&b, "microtasks"), 0);
    bench_run(&b, 2000);
    endless_ran = 0;
    hs_microtask_post(b.shard, &endless, endless_run);
    bench_run(&b, 900);
    cr_assert_eq(bench_logged(&b, "microtasks"), 1);
    bench_fini(&b);
}

Test(shard_micro, a_stop_waits_for_them)
{
    bench_init(&b, NULL);
    endless_max = 3 * (uint64_t)HS_TURN_MICROTASKS_MAX;
    hs_microtask_post(b.shard, &endless, endless_run);
    shard_stop(b.shard);
    while (!shard_finished(b.shard))
        shard_turn(b.shard, true);
    cr_assert_eq(endless_ran, endless_max);
    bench_fini(&b);
}

static uint32_t stop_ran;

static void stop_run(hs_microtask *micro)
{
    (void)micro;
    stop_ran++;
    hs_shard_release(b.shard);
}

static hs_microtask stop_micro;

static void stop_heard(hs_timer *timer)
{
    (void)timer;
    hs_shard_hold(b.shard);
    hs_microtask_post(b.shard, &stop_micro, stop_run);
    shard_stop(b.shard);
}

Test(shard_micro, one_of_the_last_callback_runs_before_the_end)
{
    bench_init(&b, NULL);
    cr_assert(hs_ok(hs_timer_after(b.shard, &ticker, 5, stop_heard)));
    while (!shard_finished(b.shard))
        shard_turn(b.shard, true);
    cr_assert_eq(stop_ran, 1);
    bench_fini(&b);
}
