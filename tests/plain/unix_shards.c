/* Several shards on one Unix socket, for real: each gets its share of the connections, and the name
 * is gone when the last has stopped.
 *
 * A plain program, so that it runs under ThreadSanitizer too. The main thread is the client: each
 * connection is answered with the number of the shard that took it. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "check.h"
#include "hs_group.h"
#include "hs_tcp.h"

#define SHARDS 3
#define CONNS 300
#define PATIENCE_S 300

typedef struct state {
    hs_tcp *tcp;
    hs_listener *listener;
} state;

static state states[SHARDS];
static hs_unix *name;

static void on_data(hs_stream *s, hs_span bytes)
{
    (void)s, (void)bytes;
}

static void on_end(hs_stream *s)
{
    hs_stream_close(s);
}

static void on_closed(hs_stream *s, hs_err why)
{
    (void)s;
    CHECK(hs_ok(why));
}

static const hs_stream_events events = {on_data, on_end, on_end, on_closed};

static void on_accept(hs_stream *s, hs_listener *listener, void *ctx)
{
    state *st = ctx;
    uint8_t id = (uint8_t)hs_shard_id(s->shard);
    CHECK(st == &states[id] && listener == st->listener);
    s->events = &events;
    CHECK(hs_ok(hs_stream_write(s, hs_span_of(&id, 1))));
}

static hs_err start(hs_shard *s, void *ctx)
{
    (void)ctx;
    state *st = &states[hs_shard_id(s)];
    hs_tcp_options o = {.accepted = on_accept, .ctx = st};
    HS_TRY(hs_tcp_create(s, &o, &st->tcp));
    return hs_listener_open_unix(st->tcp, name, &st->listener);
}

static void stop(hs_shard *s, void *ctx)
{
    (void)ctx;
    hs_listener_close(states[hs_shard_id(s)].listener);
}

static void end(hs_shard *s, void *ctx)
{
    (void)ctx;
    hs_tcp_destroy(states[hs_shard_id(s)].tcp);
}

static void ask(const hs_addr *addr, uint32_t *counts)
{
    uint8_t id = UINT8_MAX;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK(fd >= 0);
    CHECK(connect(fd, &addr->sa.any, addr->len) == 0);
    CHECK(recv(fd, &id, 1, 0) == 1);
    CHECK(id < SHARDS);
    counts[id]++;
    CHECK(recv(fd, &id, 1, 0) == 0);
    close(fd);
}

static bool all(const uint32_t *counts)
{
    for (int i = 0; i < SHARDS; i++)
        if (counts[i] == 0)
            return false;
    return true;
}

int main(void)
{
    hs_addr addr;
    char text[64];
    uint32_t counts[SHARDS] = {0}, asked = 0;
    hs_group *group;
    hs_group_options o;
    hs_group_options_init(&o);
    o.shards = SHARDS;
    o.start = start;
    o.stop = stop;
    o.end = end;
    snprintf(text, sizeof text, "unix:/tmp/hs-unix-shards-%d", (int)getpid());
    CHECK(hs_ok(hs_addr_parse(&addr, hs_span_str(text))));
    CHECK(hs_ok(hs_unix_open(hs_mem_system(), &addr, NULL, &name)));
    CHECK(hs_ok(hs_group_start(&o, &group)));
    hs_unix_unref(name); /* the listeners have theirs */
    /* And until each has had its share: one may be held up before it waits with the others. */
    time_t end = time(NULL) + PATIENCE_S;
    for (int i = 0; i < CONNS || (!all(counts) && time(NULL) < end); i++, asked++)
        ask(&addr, counts);
    hs_group_stop(group);
    hs_group_join(group);
    CHECK(access(addr.sa.un.sun_path, F_OK) != 0 && errno == ENOENT);
    for (int i = 0; i < SHARDS; i++) {
        printf("unix_shards: shard %d took %u of %u\n", i, counts[i], asked);
        CHECK(counts[i] > 0);
    }
    return 0;
}
