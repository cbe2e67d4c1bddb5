/* The library's client as perf/client measures it: batches of GETs over kept connections, and the
 * CPU time that this process took for each.
 *
 *     client_load URL CONNECTIONS
 *
 * Each line "N" on standard input is a batch of N requests, answered by "N CPU_NS WALL_NS". As many
 * fibers as connections, each fetches, reads the body whole and frees the response, as a user
 * would. Any failure, or another answer than 200 with 13 bytes, ends it with a message.
 * Tested by: perf/client, which fails where a batch does. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "hs_blocking.h"
#include "hs_fetch.h"
#include "hs_fiber.h"
#include "hs_group.h"

#define LANES_MAX 1024
#define BODY_BYTES 13
#define NS_PER_S 1000000000ll

typedef struct load {
    hs_span url;
    uint32_t lanes;
    hs_client *client;
    uint64_t left;
    int status;
} load;

static int64_t clock_ns(clockid_t clock)
{
    struct timespec ts = {0};
    (void)clock_gettime(clock, &ts);
    return ts.tv_sec * NS_PER_S + ts.tv_nsec;
}

static hs_err lane(void *arg)
{
    load *l = arg;
    while (l->left > 0) {
        hs_fetch_res *res;
        const hs_span *body;
        l->left--;
        HS_TRY(hs_await(hs_get(l->client, l->url), &res));
        HS_TRY(hs_await(hs_fetch_bytes(res, 0), &body));
        HS_ENSURE(res->status == 200 && body->len == BODY_BYTES, HS_E_PROTOCOL);
        hs_fetch_res_free(res);
    }
    return HS_OK;
}

static hs_err batch(load *l, uint64_t requests)
{
    hs_promise *lanes[LANES_MAX];
    hs_shard *shard = hs_shard_self();
    int64_t cpu = clock_ns(CLOCK_PROCESS_CPUTIME_ID), wall = clock_ns(CLOCK_MONOTONIC);
    l->left = requests;
    for (uint32_t i = 0; i < l->lanes; i++)
        lanes[i] = hs_fiber_start(shard, "lane", lane, l, NULL);
    HS_TRY(hs_await(hs_all(shard, lanes, l->lanes), NULL));
    cpu = clock_ns(CLOCK_PROCESS_CPUTIME_ID) - cpu;
    wall = clock_ns(CLOCK_MONOTONIC) - wall;
    printf("%llu %lld %lld\n", (unsigned long long)requests, (long long)cpu, (long long)wall);
    (void)fflush(stdout);
    return HS_OK;
}

/* On a thread that may wait: the next batch's size, 0 at the end. */
static hs_outcome read_size(void *arg)
{
    char line[32];
    uint64_t size = 0;
    (void)arg;
    if (fgets(line, sizeof line, stdin) &&
        !hs_span_u64(hs_span_trim(hs_span_of(line, strcspn(line, "\n"))), 1000000000, &size))
        return hs_error(hs_err_of(HS_E_USAGE));
    return hs_value((void *)(uintptr_t)size);
}

static hs_err batches(void *arg)
{
    load *l = arg;
    void *size;
    for (;;) {
        HS_TRY(hs_await(hs_blocking(hs_shard_self(), read_size, NULL), &size));
        if (!size)
            return HS_OK;
        HS_TRY(batch(l, (uintptr_t)size));
    }
}

static hs_err control(void *arg)
{
    load *l = arg;
    hs_err err = hs_await(hs_fiber_start(hs_shard_self(), "batches", batches, l, NULL), NULL);
    if (!hs_ok(err))
        fprintf(stderr, "client_load: %s\n", hs_err_text(err));
    l->status = hs_ok(err) ? 0 : 1;
    exit(l->status);
}

static hs_err on_start(hs_shard *shard, void *ctx)
{
    load *l = ctx;
    hs_client_options o = {.conns_per_origin = l->lanes};
    HS_TRY(hs_client_create(shard, &o, &l->client));
    hs_promise_drop(hs_fiber_start(shard, "control", control, l, NULL));
    return HS_OK;
}

int main(int argc, char **argv)
{
    static load l;
    uint64_t lanes;
    hs_group *group;
    hs_group_options o;
    if (argc != 3 || !hs_span_u64(hs_span_str(argv[2]), LANES_MAX, &lanes) || lanes == 0) {
        fprintf(stderr, "usage: client_load URL CONNECTIONS\n");
        return 2;
    }
    l.url = hs_span_str(argv[1]);
    l.lanes = (uint32_t)lanes;
    hs_group_options_init(&o);
    o.shards = 1;
    o.pin_off = true;
    o.log_level = HS_LOG_ERROR;
    o.start = on_start;
    o.ctx = &l;
    hs_err err = hs_group_start(&o, &group);
    if (!hs_ok(err)) {
        fprintf(stderr, "client_load: %s\n", hs_err_text(err));
        return 1;
    }
    hs_group_join(group); /* it ends by exit() */
    return 0;
}
