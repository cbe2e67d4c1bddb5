/* What one connection may hold of a shard's memory, and what the others have of it then. */
#include "http_rig.h"
#include "inside.h"

#define HOLDERS 60
#define CHUNKS 2048

static client holders[HOLDERS];
static uint8_t large[200000];

/* /large: an answer of 200,000 bytes, whole. Other paths: "hello", and a POST is collected. */
static void collected(hs_req *req, hs_span body, void *ctx)
{
    (void)req;
    (void)body;
    hs_res_text(ctx, 200, HS_SPAN("hello"));
}

static void handle(hs_req *req, hs_res *res, void *ctx)
{
    (void)ctx;
    if (hs_req_method(req) == HS_METHOD_POST)
        (void)hs_req_collect(req, 0, collected, res).code;
    else if (hs_span_eq(hs_req_path(req), HS_SPAN("/large")))
        hs_res_send(res, 200, hs_span_of(large, sizeof large));
    else
        hs_res_text(res, 200, HS_SPAN("hello"));
}

static void start(void)
{
    rig_start(handle);
    hs_shard_chunks(r.b.shard)->slots_max = CHUNKS; /* 8 MiB */
}

/* `text`, again and again, from a client that reads nothing; borrowed until the end. */
static void hold(client *c, const char *text)
{
    connect_client(c);
    client_read(c, false);
    client_say(c, text);
}

static void hold_all(const char *text)
{
    for (uint32_t i = 0; i < HOLDERS; i++)
        hold(&holders[i], text);
}

static void fini(void)
{
    for (uint32_t i = 0; i < HOLDERS; i++)
        client_fini(&holders[i]);
    rig_fini();
}

/* A client beside them: each of its requests is answered. */
static void assert_others_are_served(void)
{
    client c;
    connect_client(&c);
    for (uint32_t i = 0; i < 50; i++)
        cr_assert_str_eq(ask(&c, GET), HELLO);
    client_fini(&c);
}

static uint32_t used_chunks(void)
{
    return hs_shard_chunks(r.b.shard)->slots_used;
}

#define GET_LARGE "GET /large HTTP/1.1\r\nHost: a\r\n\r\n"

/* 60 connections would hold 256 KiB each, which is twice as much as there is. */
Test(http_memory, pipelining_clients_that_do_not_read_have_a_share_each)
{
    size_t count = 20000, len = strlen(GET);
    char *requests = malloc(count * len + 1);
    for (size_t i = 0; i < count; i++)
        memcpy(requests + i * len, GET, len + 1);
    start();
    hold_all(requests);
    bench_run(&r.b, 2000);
    cr_assert_gt(used_chunks(), CHUNKS / 4);
    cr_assert_lt(used_chunks(), CHUNKS - CHUNKS / 8);
    assert_others_are_served();
    cr_assert_eq(bench_count(&r.b, "http_evicted"), 0);
    cr_assert_eq(hs_http_server_active(r.server), 0);
    fini();
    free(requests);
}

Test(http_memory, those_that_hold_most_are_ended_where_memory_runs_short)
{
    start();
    hold_all(GET_LARGE);
    bench_run(&r.b, 1000);
    assert_others_are_served();
    uint64_t evicted = bench_count(&r.b, "http_evicted");
    cr_assert_gt(evicted, 0);
    cr_assert_lt(evicted, HOLDERS);
    cr_assert_lt(used_chunks(), CHUNKS - CHUNKS / 8);
    cr_assert_gt(bench_logged(&r.b, "memory is short: ended"), 0);
    fini();
}

/* An answer that finds no room is refused with a status; those that are smaller find the reserve.
 */
Test(http_memory, an_answer_that_finds_no_room_is_a_503)
{
    void *others[CHUNKS];
    client c;
    start();
    hs_shard_holder_remove(&r.server->holder);
    uint32_t count = CHUNKS - CHUNKS / 8 - 10;
    for (uint32_t i = 0; i < count; i++)
        others[i] = hs_pool_take(hs_shard_chunks(r.b.shard));
    connect_client(&c);
    cr_assert_str_eq(ask(&c, GET), HELLO);
    const char *answer = ask(&c, GET_LARGE);
    cr_assert_eq(strncmp(answer, "HTTP/1.1 503 ", 13), 0, "%s", answer);
    client_fini(&c);
    for (uint32_t i = 0; i < count; i++)
        hs_pool_give(hs_shard_chunks(r.b.shard), others[i]);
    rig_fini();
}

/* Bodies that are collected hold the request's memory. */
Test(http_memory, uploads_that_stand_still_do_not_keep_others_from_answers)
{
    static char upload[200000];
    int head = snprintf(upload, sizeof upload,
                        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 300000\r\n\r\n");
    memset(upload + head, 'u', sizeof upload - (size_t)head - 1);
    start();
    r.b.shard->large_max = 4u << 20;
    hold_all(upload);
    bench_run(&r.b, 1000);
    assert_others_are_served();
    cr_assert_gt(bench_count(&r.b, "http_evicted"), 0);
    cr_assert_leq(hs_shard_chunks(r.b.shard)->large_bytes, r.b.shard->large_max);
    fini();
    cr_assert_eq(r.b.bytes_out, 0);
}

/* The share of one, as of many: what is full at 256 KiB on an empty shard is full sooner. */
Test(http_memory, a_share_falls_as_the_chunks_fill)
{
    static void *taken[CHUNKS];
    size_t before = HS_SEND_HIGH_BYTES;
    start();
    for (uint32_t i = 0; i < CHUNKS; i++) {
        size_t share = hs_shard_send_share(r.b.shard);
        cr_assert_leq(share, before);
        cr_assert_geq(share, HS_CHUNK_BYTES);
        if (i <= CHUNKS / 4)
            cr_assert_eq(share, HS_SEND_HIGH_BYTES);
        if (i >= CHUNKS * 3 / 4)
            cr_assert_eq(share, HS_CHUNK_BYTES);
        before = share;
        taken[i] = hs_pool_take(hs_shard_chunks(r.b.shard));
    }
    cr_assert_eq(hs_shard_chunk_room(r.b.shard), 0);
    for (uint32_t i = 0; i < CHUNKS; i++)
        hs_pool_give(hs_shard_chunks(r.b.shard), taken[i]);
    cr_assert_eq(hs_shard_chunk_room(r.b.shard), (CHUNKS - CHUNKS / 8) * HS_CHUNK_ROOM);
    rig_fini();
}

Test(http_memory, the_chunks_are_a_quarter_of_the_memory)
{
    cr_assert_eq(share_chunks_max(UINT64_MAX, 1), HS_CHUNKS_MAX);
    cr_assert_eq(share_chunks_max((uint64_t)8 << 30, 1), HS_CHUNKS_MAX);
    cr_assert_eq(share_chunks_max((uint64_t)64 << 20, 2), 2048);
    cr_assert_eq(share_chunks_max((uint64_t)64 << 20, 64), HS_CHUNKS_MIN);
    cr_assert_eq(share_chunks_max(0, 1), HS_CHUNKS_MIN);
}
