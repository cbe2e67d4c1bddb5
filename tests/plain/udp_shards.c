/* Several shards on one UDP port, for real: each gets its share of the senders, answers in runs,
 * and is stopped in the midst of what still comes.
 *
 * A plain program, so that it runs under ThreadSanitizer too. The main thread is the clients: each
 * question is answered with the number of the shard that took it. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "check.h"
#include "hs_group.h"
#include "hs_udp.h"

#define SHARDS 3
#define CLIENTS 200
#define ANSWERS 20
#define FLOOD 2000

typedef struct state {
    hs_udp *udp;
    hs_udp_sock *sock;
    uint32_t closes;
} state;

static state states[SHARDS];
static hs_addr addr;

static void on_datagrams(hs_udp_sock *s, const hs_datagram *list, uint32_t len)
{
    uint8_t id = (uint8_t)hs_shard_id(hs_udp_shard(s));
    CHECK(hs_udp_ctx(s) == &states[id]);
    for (uint32_t i = 0; i < len; i++)
        for (int n = 0; n < ANSWERS && list[i].data.len == 1; n++)
            CHECK(hs_ok(hs_udp_send(s, list[i].from, hs_span_of(&id, 1))));
}

static void on_error(hs_udp_sock *s, hs_err err, const hs_addr *to)
{
    (void)s, (void)to;
    fprintf(stderr, "udp_shards: %s\n", hs_err_name(err));
}

static void on_drained(hs_udp_sock *s)
{
    (void)s;
}

static void on_closed(hs_udp_sock *s, hs_err why)
{
    state *st = hs_udp_ctx(s);
    CHECK(hs_ok(why));
    st->closes++;
}

static const hs_udp_events events = {on_datagrams, on_error, on_drained, on_closed};

static hs_err start(hs_shard *s, void *ctx)
{
    (void)ctx;
    state *st = &states[hs_shard_id(s)];
    hs_udp_options o = {.events = &events, .ctx = st, .bind = &addr, .reuse_port = true};
    HS_TRY(hs_udp_create(s, &st->udp));
    return hs_udp_open(st->udp, &o, &st->sock);
}

static void stop(hs_shard *s, void *ctx)
{
    (void)ctx;
    hs_udp_close(states[hs_shard_id(s)].sock);
}

static void end(hs_shard *s, void *ctx)
{
    (void)ctx;
    state *st = &states[hs_shard_id(s)];
    CHECK(st->closes == 1);
    hs_udp_destroy(st->udp);
}

static int client(void)
{
    struct timeval patience = {.tv_sec = 300};
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    CHECK(fd >= 0);
    CHECK(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience) == 0);
    CHECK(connect(fd, &addr.sa.any, addr.len) == 0);
    return fd;
}

/* A wait with a timeout is not taken up again (signal(7)) after a debugger, or a frozen machine. */
static uint8_t hear(int fd)
{
    uint8_t id = UINT8_MAX;
    ssize_t n;
    do
        n = recv(fd, &id, 1, 0);
    while (n < 0 && errno == EINTR);
    CHECK(n == 1);
    return id;
}

/* One sender's datagrams all go to one shard. */
static void ask(uint32_t *counts)
{
    int fd = client();
    uint8_t first = UINT8_MAX, id;
    CHECK(send(fd, "x", 1, 0) == 1);
    for (int i = 0; i < ANSWERS; i++) {
        id = hear(fd);
        CHECK(id < SHARDS && (i == 0 || id == first));
        first = id;
    }
    counts[first]++;
    close(fd);
}

int main(void)
{
    uint32_t counts[SHARDS] = {0};
    hs_group *group;
    hs_group_options o;
    hs_group_options_init(&o);
    o.shards = SHARDS;
    o.start = start;
    o.stop = stop;
    o.end = end;
    CHECK(hs_ok(hs_addr_parse(&addr, HS_SPAN("127.0.0.1:0"))));
    CHECK(hs_ok(hs_udp_check(&addr)));
    CHECK(hs_ok(hs_group_start(&o, &group)));
    for (int i = 0; i < CLIENTS; i++)
        ask(counts);
    int fd = client();
    for (int i = 0; i < FLOOD; i++) {
        if (i == FLOOD / 2)
            hs_group_stop(group);
        /* Once the sockets are gone a send may meet the answer to the one before. */
        CHECK(send(fd, "flood", 5, 0) == 5 || errno == ECONNREFUSED);
    }
    hs_group_join(group);
    close(fd);
    for (int i = 0; i < SHARDS; i++) {
        printf("udp_shards: shard %d took %u of %d\n", i, counts[i], CLIENTS);
        CHECK(counts[i] > 0);
    }
    return 0;
}
