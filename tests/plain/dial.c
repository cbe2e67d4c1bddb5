/* Dialling on the system's own sockets: by name and address, refused and unanswered, from a local
 * address, to a Unix socket, cancelled and stopped.
 *
 * A plain program, so that it runs under ThreadSanitizer too. One shard serves and dials; the
 * scenarios are one fiber, which reads from top to bottom. */
#include <dirent.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <unistd.h>

#include "check.h"
#include "dns_server.h"
#include "hs_bufio.h"
#include "hs_dial.h"
#include "hs_fiber.h"
#include "hs_group.h"
#include "tcp.h"

#define PATIENCE_MS (300 * 1000)

static struct {
    hs_shard *shard;
    hs_tcp *tcp;
    hs_listener *listener;
    hs_dns_options dns;
    dns_server *names;
    uint16_t port;
    hs_addr peer; /* of the connection that was accepted last */
    uint32_t accepted;
    int full; /* a listener that answers nobody, and what fills it */
    int fill[8];
    hs_addr full_addr;
    hs_cancel *stop;
    int done[2];
} t;

static hs_span here(void)
{
    return HS_SPAN("127.0.0.1");
}

/* ---- the server: an echo ---- */

static void echo_data(hs_stream *s, hs_span bytes)
{
    CHECK(hs_ok(hs_stream_write(s, bytes)));
}

static void echo_end(hs_stream *s)
{
    hs_stream_close(s);
}

static void no_drained(hs_stream *s)
{
    (void)s;
}

static void echo_closed(hs_stream *s, hs_err why)
{
    (void)s, (void)why;
}

static const hs_stream_events echo = {echo_data, echo_end, no_drained, echo_closed};

static void on_accepted(hs_stream *s, hs_listener *listener, void *ctx)
{
    (void)listener, (void)ctx;
    s->events = &echo;
    t.accepted++;
    t.peer.len = sizeof t.peer.sa;
    CHECK(getpeername(tcp_conn_fd(s), &t.peer.sa.any, &t.peer.len) == 0);
}

/* ---- the client ---- */

/* Send a word, hear it again, and close. */
static void talk_to(hs_stream *s)
{
    const hs_span *line;
    hs_bufio *io;
    CHECK(hs_ok(hs_bufio_create(s, NULL, &io)));
    CHECK(hs_ok(hs_bufio_write(io, HS_SPAN("ping\r\nrest"))));
    CHECK(hs_ok(hs_await(hs_bufio_flush(io), NULL)));
    CHECK(hs_ok(hs_await(hs_bufio_line(io, 10), &line)));
    CHECK(hs_span_eq(*line, HS_SPAN("ping")));
    CHECK(hs_ok(hs_await(hs_bufio_exact(io, 4), &line)));
    CHECK(hs_span_eq(*line, HS_SPAN("rest")));
    hs_bufio_close(io);
}

static void expect_talk(hs_promise *dialled)
{
    hs_stream *s;
    hs_err err = hs_await(dialled, &s);
    if (!hs_ok(err))
        fprintf(stderr, "dial: %s\n", hs_err_name(err));
    CHECK(hs_ok(err));
    talk_to(s);
}

static uint32_t open_files(void)
{
    uint32_t n = 0;
    DIR *dir = opendir("/proc/self/fd");
    CHECK(dir);
    while (readdir(dir))
        n++;
    closedir(dir);
    return n;
}

/* No more are open than `n` once were. What is closed is closed a little later, so that `n` may
 * count one that was about to be. */
static void expect_files(uint32_t n)
{
    for (int i = 0; open_files() > n; i++) {
        CHECK(i < 10000);
        CHECK(hs_ok(hs_await(hs_sleep(t.shard, 1, NULL), NULL)));
    }
}

/* ---- scenarios ---- */

static void test_addresses(void)
{
    expect_talk(hs_dial(t.tcp, here(), t.port, NULL));
    expect_talk(hs_dial_addr(t.tcp, hs_listener_addr(t.listener), NULL));
    /* Of localhost IPv6 comes first, where nobody listens. */
    expect_talk(hs_dial(t.tcp, HS_SPAN("localhost"), t.port, NULL));
    CHECK(t.accepted == 3);
    hs_addr local;
    CHECK(hs_ok(hs_addr_parse(&local, HS_SPAN("127.0.0.2:0"))));
    expect_talk(hs_dial(t.tcp, here(), t.port, &(hs_dial_options){.local = &local}));
    CHECK(t.peer.sa.v4.sin_addr.s_addr == htonl(INADDR_LOOPBACK + 1));
    CHECK(hs_await(hs_dial(t.tcp, HS_SPAN("::1"), t.port, NULL), NULL).code < 0);
}

/* By name; the name server may be held up. */
static hs_promise *dial_name(hs_span name)
{
    return hs_dial(t.tcp, name, t.port, &(hs_dial_options){.resolve_ms = PATIENCE_MS});
}

static void test_names(void)
{
    expect_talk(dial_name(HS_SPAN("here.test")));
    /* The IPv6 address does not come: that of IPv4 is enough. */
    expect_talk(dial_name(HS_SPAN("slow.test")));
    dns_server_release(t.names);
    CHECK(hs_await(dial_name(HS_SPAN("none.test")), NULL).code == HS_E_NAME_NONE);
    hs_dial_options o = {.resolve_ms = 100};
    CHECK(hs_await(hs_dial(t.tcp, HS_SPAN("silent.test"), t.port, &o), NULL).code ==
          HS_E_NAME_TIMEOUT);
}

static hs_outcome on_refused(void *ctx, hs_err err, void *detail)
{
    const hs_dial_error *e = detail;
    CHECK(err.code == -ECONNREFUSED);
    CHECK(e->phase == HS_DIAL_CONNECT && e->tried == 1);
    CHECK(hs_addr_eq(&e->addr, ctx));
    hs_dial_error_free(detail);
    return hs_value(NULL);
}

/* A port that is bound and not listened to is nobody else's either. */
static void test_refused(void)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    hs_addr addr = {.len = sizeof a};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK(fd >= 0 && bind(fd, (struct sockaddr *)&a, sizeof a) == 0);
    CHECK(getsockname(fd, &addr.sa.any, &addr.len) == 0);
    hs_promise *p = hs_dial_addr(t.tcp, &addr, NULL);
    CHECK(hs_ok(hs_await(hs_catch(p, on_refused, &addr), NULL)));
    close(fd);
}

static void test_unanswered(void)
{
    uint32_t files = open_files();
    hs_dial_options o = {.connect_ms = 100};
    CHECK(hs_await(hs_dial_addr(t.tcp, &t.full_addr, &o), NULL).code == -ETIMEDOUT);
    expect_files(files);
    hs_cancel *cancel = hs_cancel_after(t.shard, 20);
    CHECK(cancel);
    o = (hs_dial_options){.cancel = cancel};
    CHECK(hs_await(hs_dial_addr(t.tcp, &t.full_addr, &o), NULL).code == -ETIMEDOUT);
    hs_cancel_unref(cancel);
    expect_files(files);
    cancel = hs_cancel_create(t.shard);
    CHECK(cancel);
    o.cancel = cancel;
    hs_promise *p = hs_dial_addr(t.tcp, &t.full_addr, &o);
    hs_cancel_fire(cancel, hs_err_of(HS_E_CLOSED));
    CHECK(hs_await(p, NULL).code == HS_E_CLOSED);
    hs_cancel_unref(cancel);
    expect_files(files);
}

static void test_unix(void)
{
    hs_addr addr;
    char name[64];
    hs_listener *l;
    snprintf(name, sizeof name, "unix:@hs_dial_test_%d", (int)getpid());
    CHECK(hs_ok(hs_addr_parse(&addr, hs_span_str(name))));
    CHECK(hs_ok(hs_listener_open(t.tcp, &addr, false, &l)));
    expect_talk(hs_dial_addr(t.tcp, &addr, NULL));
    hs_listener_close(l);
    CHECK(hs_ok(hs_await(hs_sleep(t.shard, 10, NULL), NULL)));
    CHECK(hs_await(hs_dial_addr(t.tcp, &addr, NULL), NULL).code == -ECONNREFUSED);
}

/* Many side by side, each of which is heard. */
static void test_crowd(void)
{
    hs_promise *list[64];
    hs_outcomes *all;
    for (size_t i = 0; i < HS_ARRAY_LEN(list); i++)
        list[i] = dial_name(HS_SPAN("here.test"));
    CHECK(hs_ok(hs_await(hs_all(t.shard, list, HS_ARRAY_LEN(list)), &all)));
    CHECK(all->len == HS_ARRAY_LEN(list));
    for (uint32_t i = 0; i < all->len; i++) {
        all->at[i].drop = NULL;
        talk_to(all->at[i].value);
    }
    hs_outcomes_free(all);
}

static hs_err scenarios(void *arg)
{
    (void)arg;
    test_addresses();
    test_names();
    test_refused();
    test_unanswered();
    test_unix();
    test_crowd();
    /* And some that a stop finds under way. */
    hs_dial_options o = {.cancel = t.stop};
    for (int i = 0; i < 20; i++)
        hs_promise_ignore(i % 2 ? hs_dial_addr(t.tcp, &t.full_addr, &o)
                                : hs_dial(t.tcp, HS_SPAN("silent.test"), t.port, &o));
    CHECK(write(t.done[1], "x", 1) == 1);
    return HS_OK;
}

/* ---- the shard ---- */

/* A listener whose backlog is full: the kernel answers nobody more. */
static void fill_up(void)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    t.full = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK(t.full >= 0 && bind(t.full, (struct sockaddr *)&a, sizeof a) == 0);
    CHECK(listen(t.full, 0) == 0);
    t.full_addr.len = sizeof t.full_addr.sa;
    CHECK(getsockname(t.full, &t.full_addr.sa.any, &t.full_addr.len) == 0);
    for (size_t i = 0; i < HS_ARRAY_LEN(t.fill); i++) {
        t.fill[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        CHECK(t.fill[i] >= 0);
        int res = connect(t.fill[i], &t.full_addr.sa.any, t.full_addr.len);
        CHECK(res == 0 || errno == EINPROGRESS);
    }
}

static hs_err on_start(hs_shard *shard, void *ctx)
{
    (void)ctx;
    hs_addr any;
    hs_tcp_options o = {.accepted = on_accepted, .dns = &t.dns};
    t.shard = shard;
    t.stop = hs_cancel_create(shard);
    CHECK(t.stop);
    CHECK(hs_ok(hs_tcp_create(shard, &o, &t.tcp)));
    CHECK(hs_ok(hs_addr_parse(&any, HS_SPAN("127.0.0.1:0"))));
    CHECK(hs_ok(hs_listener_open(t.tcp, &any, false, &t.listener)));
    t.port = hs_addr_port(hs_listener_addr(t.listener));
    hs_promise_drop(hs_fiber_start(shard, "scenarios", scenarios, NULL, NULL));
    return HS_OK;
}

static void on_stop(hs_shard *shard, void *ctx)
{
    (void)shard, (void)ctx;
    hs_cancel_fire(t.stop, hs_err_of(HS_E_CLOSED));
    hs_listener_close(t.listener);
}

static void on_end(hs_shard *shard, void *ctx)
{
    (void)shard, (void)ctx;
    hs_cancel_unref(t.stop);
    CHECK(hs_tcp_conns(t.tcp) == 0);
    hs_tcp_destroy(t.tcp);
}

int main(void)
{
    hs_group_options o;
    hs_group *group;
    char byte;
    t.names = dns_server_start();
    t.dns = (hs_dns_options){.servers = dns_server_addr(t.names),
                             .hosts_path = "",
                             .try_ms = PATIENCE_MS,
                             .lookup_ms = PATIENCE_MS};
    fill_up();
    CHECK(pipe(t.done) == 0);
    uint32_t files = open_files();
    hs_group_options_init(&o);
    o.shards = 1;
    o.pin_off = true;
    o.log_level = HS_LOG_WARN;
    o.start = on_start;
    o.stop = on_stop;
    o.end = on_end;
    CHECK(hs_ok(hs_group_start(&o, &group)));
    CHECK(read(t.done[0], &byte, 1) == 1);
    hs_group_stop(group);
    hs_group_join(group);
    CHECK(open_files() == files);
    dns_server_stop(t.names);
    close(t.full);
    for (size_t i = 0; i < HS_ARRAY_LEN(t.fill); i++)
        close(t.fill[i]);
    printf("dial: names, addresses, refusals, silence, cancels, a stop are fine\n");
    return 0;
}
