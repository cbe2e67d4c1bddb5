/* What the pipelined requests of one client take from the others: a bounded part of each turn. */
#include "http_rig.h"

#include "hs_promise.h"

#define GET_BURN "GET /burn HTTP/1.1\r\nHost: a\r\n\r\n"
#define PIPELINERS 100
#define LATENCY_MS 40 /* the network's own, and some turns with a spent budget */

/* How many requests ran in the turn under way, and in the fullest one. */
static struct {
    uint64_t turn_ns;
    uint32_t requests, requests_max;
} turn;

static void count_in_turn(void)
{
    uint64_t now = hs_shard_now_ns(r.b.shard);
    turn.requests = turn.turn_ns == now ? turn.requests + 1 : 1;
    turn.turn_ns = now;
    turn.requests_max = HS_MAX(turn.requests_max, turn.requests);
}

/* A request for /burn holds its shard for a millisecond. */
static void handle_burn(hs_req *req, hs_res *res, void *ctx)
{
    (void)ctx;
    count_in_turn();
    if (hs_span_eq(hs_req_path(req), HS_SPAN("/burn")))
        sim_world_spend(r.b.w, HS_MSEC_NS);
    hs_res_text(res, 200, HS_SPAN("hello"));
}

static void start(hs_http_handler *handle)
{
    memset(&turn, 0, sizeof turn);
    rig_start(handle);
}

/* `text`, so many times; the caller frees it. */
static char *times(const char *text, size_t count)
{
    size_t len = strlen(text);
    char *all = malloc(len * count + 1);
    cr_assert_not_null(all);
    for (size_t i = 0; i < count; i++)
        memcpy(all + i * len, text, len);
    all[len * count] = '\0';
    return all;
}

static size_t answers_of(const client *c)
{
    size_t count = 0;
    for (const char *at = c->in; (at = strstr(at, "HTTP/1.1 200 OK\r\n")); at++)
        count++;
    return count;
}

/* How many milliseconds a request of `c` takes. */
static uint64_t latency_ms(client *c)
{
    uint64_t before = bench_ms(&r.b);
    size_t answers = answers_of(c) + 1;
    client_say(c, GET);
    while (answers_of(c) < answers)
        shard_turn(r.b.shard, true);
    return bench_ms(&r.b) - before;
}

Test(http_turn, many_slow_requests_of_one_client_delay_another_by_some_milliseconds)
{
    client many, other;
    char *requests = times(GET_BURN, 1600);
    start(handle_burn);
    connect_client(&many);
    connect_client(&other);
    client_say(&many, requests);
    for (uint32_t i = 0; i < 20; i++)
        cr_assert_lt(latency_ms(&other), LATENCY_MS);
    cr_assert_lt(answers_of(&many), 1600); /* they were answered beside it */
    bench_run(&r.b, 3000);
    cr_assert_eq(answers_of(&many), 1600);
    client_fini(&many);
    client_fini(&other);
    rig_fini();
    free(requests);
}

Test(http_turn, slow_requests_of_many_clients_delay_another_no_longer)
{
    static client many[PIPELINERS];
    client other;
    char *requests = times(GET_BURN, 40);
    start(handle_burn);
    connect_client(&other);
    for (uint32_t i = 0; i < PIPELINERS; i++)
        connect_client(&many[i]);
    for (uint32_t i = 0; i < PIPELINERS; i++)
        client_say(&many[i], requests);
    bench_run(&r.b, 2 * PIPELINERS + 200); /* the first request of each is not a pipelined one */
    for (uint32_t i = 0; i < 40; i++)
        cr_assert_lt(latency_ms(&other), LATENCY_MS);
    bench_run(&r.b, UINT64_C(50) * PIPELINERS);
    for (uint32_t i = 0; i < PIPELINERS; i++) {
        cr_assert_eq(answers_of(&many[i]), 40);
        client_fini(&many[i]);
    }
    client_fini(&other);
    rig_fini();
    free(requests);
}

/* A budget that is spent by the first in the list must not keep the last from its turn. */
Test(http_turn, each_of_many_clients_has_its_turn)
{
    static client many[PIPELINERS];
    char *requests = times(GET_BURN, 40);
    start(handle_burn);
    for (uint32_t i = 0; i < PIPELINERS; i++)
        connect_client(&many[i]);
    for (uint32_t i = 0; i < PIPELINERS; i++)
        client_say(&many[i], requests);
    bench_run(&r.b, UINT64_C(20) * PIPELINERS);
    for (uint32_t i = 0; i < PIPELINERS; i++) {
        size_t answers = answers_of(&many[i]);
        cr_assert(answers >= 10 && answers <= 30, "%u: %zu", i, answers); /* 20 on average */
        client_fini(&many[i]);
    }
    rig_fini();
    free(requests);
}

/* Several clients, one after the other: how much of it arrives at once differs. */
static void send_thousand(void)
{
    char *requests = times(GET, 1000);
    for (uint32_t i = 0; i < 8; i++) {
        client c;
        connect_client(&c);
        client_say(&c, requests);
        bench_run(&r.b, 500);
        cr_assert_eq(answers_of(&c), 1000);
        client_fini(&c);
    }
    cr_assert_eq(r.handled, 8000);
    cr_assert_leq(turn.requests_max, HS_TURN_PIPELINED_MAX + 1);
    cr_assert_gt(turn.requests_max, HS_TURN_PIPELINED_MAX / 2);
    free(requests);
}

Test(http_turn, one_connection_runs_a_bounded_number_of_requests_in_a_turn)
{
    start(handle_burn);
    send_thousand();
    rig_fini();
}

/* Answered by a microtask: each answer makes room for the next request. */
static void answer_soon(hs_microtask *task)
{
    (void)task;
    hs_res_text(r.res, 200, HS_SPAN("hello"));
}

static void handle_answer_soon(hs_req *req, hs_res *res, void *ctx)
{
    static hs_microtask task;
    (void)res;
    (void)ctx;
    count_in_turn();
    cr_assert(hs_ok(hs_req_defer(req)));
    hs_microtask_post(r.b.shard, &task, answer_soon);
}

Test(http_turn, requests_that_are_answered_later_are_counted_too)
{
    start(handle_answer_soon);
    send_thousand();
    rig_fini();
}

/* The rest of 300 requests waits for the next turn, when `end` happens. */
static void end_while_waiting(void (*end)(client *c))
{
    client c;
    char *requests = times(GET, 300);
    start(handle_burn);
    connect_client(&c);
    client_say(&c, requests);
    while (hs_list_empty(&r.server->resuming)) {
        shard_turn(r.b.shard, true);
        cr_assert_lt(r.handled, 300);
    }
    end(&c);
    bench_run(&r.b, 100);
    cr_assert(hs_list_empty(&r.server->resuming));
    client_fini(&c);
    rig_fini();
    free(requests);
}

static void reset(client *c)
{
    client_close(c, true);
}

static void abort_all(client *c)
{
    hs_http_server_abort(r.server);
    bench_run(&r.b, 50);
    cr_assert(ended(c));
}

/* The request under way is the last; those behind it are not answered. */
static void drain(client *c)
{
    hs_http_server_drain(r.server);
    bench_run(&r.b, 50);
    cr_assert(ended(c));
    cr_assert_not_null(strstr(c->in, "Connection: close\r\n"));
    cr_assert_lt(answers_of(c), 300);
}

static void finish(client *c)
{
    while (c->out_len > 0)
        shard_turn(r.b.shard, true);
    sim_peer_finish(c->peer);
    bench_run(&r.b, 50);
    cr_assert_eq(answers_of(c), 300);
}

Test(http_turn, a_client_resets_while_its_requests_wait)
{
    end_while_waiting(reset);
}

Test(http_turn, the_server_aborts_while_requests_wait)
{
    end_while_waiting(abort_all);
}

Test(http_turn, the_server_drains_while_requests_wait)
{
    end_while_waiting(drain);
}

Test(http_turn, a_client_ends_its_side_while_its_requests_wait)
{
    end_while_waiting(finish);
}
