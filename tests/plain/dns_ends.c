/* Lookups under way when what they belong to ends: the resolver, the dials, the client, the shard;
 * with a name server that is silent, silent by TCP, or answers junk. Nothing aborts, everybody is
 * told once, and nothing is left open.
 *
 * A plain program, so that it runs under ThreadSanitizer too. */
#include <dirent.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "check.h"
#include "dns_server.h"
#include "hs_dial.h"
#include "hs_fetch.h"
#include "hs_fiber.h"
#include "hs_group.h"

#define CROWD 50

/* What ends while lookups are under way. */
typedef enum ending {
    END_RESOLVER,
    END_RESOLVER_AFTER_CANCEL,
    END_DIALLER,
    END_CLIENT,
    END_PROXY,
    END_LEN
} ending;

static struct {
    hs_shard *shard;
    hs_dns_options dns;
    hs_dns *last; /* that a stop destroys */
    int done[2];
} t;

static const char *const kinds[] = {"x.silent.test.", "mute.test.", "garbage.test.", "both.test."};

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

/* The name number `i` of a kind; of what is silent each is another one. */
static hs_span name_of(char *out, size_t room, uint32_t kind, uint32_t i)
{
    if (kind == 0)
        snprintf(out, room, "n%u.silent.test.", i);
    else
        snprintf(out, room, "%s", kinds[kind]);
    return hs_span_str(out);
}

static void wait_ms(uint32_t ms)
{
    if (ms > 0)
        CHECK(hs_ok(hs_await(hs_sleep(t.shard, ms, NULL), NULL)));
}

static void expect_end(hs_promise *p)
{
    hs_outcome o = hs_await_outcome(p);
    CHECK(hs_ok(o.err) || o.err.code == -ECANCELED || o.err.code == HS_E_NAME_NONE ||
          o.err.code == HS_E_NAME_FAILED);
    if (o.drop)
        o.drop(o.value);
}

static void end_resolver(uint32_t kind, uint32_t ms, uint32_t len, bool cancel_first)
{
    hs_dns *dns;
    hs_promise *p[CROWD];
    char name[40];
    hs_cancel *cancel = hs_cancel_create(t.shard);
    CHECK(cancel && hs_ok(hs_dns_create(t.shard, &t.dns, &dns)));
    for (uint32_t i = 0; i < len; i++)
        p[i] = hs_dns_lookup(dns, name_of(name, sizeof name, kind, i), AF_UNSPEC, cancel);
    wait_ms(ms);
    if (cancel_first)
        hs_cancel_fire(cancel, hs_err_of(-ECANCELED));
    hs_dns_destroy(dns);
    for (uint32_t i = 0; i < len; i++)
        expect_end(p[i]);
    hs_cancel_unref(cancel);
}

static hs_tcp *make_tcp(void)
{
    hs_tcp *tcp;
    hs_tcp_options o = {.dns = &t.dns};
    CHECK(hs_ok(hs_tcp_create(t.shard, &o, &tcp)));
    return tcp;
}

/* As soon as no dial is left the TCP module goes, and with it its resolver. */
static void end_dialler(uint32_t kind, uint32_t ms, uint32_t len)
{
    hs_tcp *tcp = make_tcp();
    hs_promise *p[CROWD];
    char name[40];
    hs_cancel *cancel = hs_cancel_create(t.shard);
    /* Of an address that was found nothing is tried. */
    hs_dial_options o = {.cancel = cancel, .resolve_ms = 1 + ms, .connect_ms = 1};
    for (uint32_t i = 0; i < len; i++)
        p[i] = hs_dial(tcp, name_of(name, sizeof name, kind, i), 9, &o);
    if (len == 1) {
        wait_ms(ms);
        hs_cancel_fire(cancel, hs_err_of(-ECANCELED));
    }
    for (uint32_t i = 0; i < len; i++)
        CHECK(!hs_ok(hs_await(p[i], NULL)));
    while (hs_tcp_dials(tcp) > 0 || hs_tcp_conns(tcp) > 0)
        wait_ms(1);
    hs_tcp_destroy(tcp);
    hs_cancel_unref(cancel);
}

/* A fetch that runs into its time, or whose client goes; of an origin, or by a proxy. */
static void end_client(uint32_t kind, uint32_t ms, uint32_t len, bool by_proxy)
{
    hs_tcp *tcp = make_tcp();
    hs_promise *p[CROWD];
    char name[40], url[80];
    hs_client *client;
    snprintf(url, sizeof url, "http_proxy=http://%s:9", kinds[kind]);
    const char *const env[] = {url, NULL};
    hs_client_options co = {.tcp = tcp, .proxy_env = by_proxy ? env : NULL};
    CHECK(hs_ok(hs_client_create(t.shard, &co, &client)));
    hs_fetch_options o = {.times.total_ms = 1 + ms};
    for (uint32_t i = 0; i < len; i++) {
        hs_span host = name_of(name, sizeof name, kind, i);
        snprintf(url, sizeof url, "http://%.*s:9/", (int)host.len, (const char *)host.ptr);
        p[i] = hs_fetch(client, hs_span_str(url), &o);
    }
    if (len == 1)
        wait_ms(ms);
    else
        for (uint32_t i = 0; i < len; i++)
            CHECK(!hs_ok(hs_await(p[i], NULL)));
    hs_client_destroy(client);
    if (len == 1)
        CHECK(!hs_ok(hs_await(p[0], NULL)));
    while (hs_tcp_dials(tcp) > 0 || hs_tcp_conns(tcp) > 0)
        wait_ms(1);
    hs_tcp_destroy(tcp);
}

static void run_ending(ending how, uint32_t kind, uint32_t ms, uint32_t len)
{
    switch (how) {
    case END_RESOLVER:
    case END_RESOLVER_AFTER_CANCEL:
        end_resolver(kind, ms, len, how == END_RESOLVER_AFTER_CANCEL);
        break;
    case END_DIALLER:
        end_dialler(kind, ms, len);
        break;
    default:
        end_client(kind, ms, len, how == END_PROXY);
    }
}

static hs_err scenarios(void *arg)
{
    static const uint32_t delays[] = {0, 1, 3};
    (void)arg;
    for (uint32_t how = 0; how < END_LEN; how++)
        for (uint32_t kind = 0; kind < HS_ARRAY_LEN(kinds); kind++)
            for (uint32_t d = 0; d < HS_ARRAY_LEN(delays); d++)
                for (uint32_t len = 1; len <= CROWD; len += CROWD - 1)
                    run_ending((ending)how, kind, delays[d], len);
    /* And what a stop finds under way. */
    CHECK(hs_ok(hs_dns_create(t.shard, &t.dns, &t.last)));
    hs_promise *p = hs_dns_lookup(t.last, HS_SPAN("x.silent.test."), AF_UNSPEC, NULL);
    wait_ms(2);
    CHECK(write(t.done[1], "x", 1) == 1);
    expect_end(p);
    return HS_OK;
}

static hs_err on_start(hs_shard *shard, void *ctx)
{
    (void)ctx;
    t.shard = shard;
    hs_promise_drop(hs_fiber_start(shard, "scenarios", scenarios, NULL, NULL));
    return HS_OK;
}

static void on_stop(hs_shard *shard, void *ctx)
{
    (void)shard, (void)ctx;
    hs_dns_destroy(t.last);
}

int main(void)
{
    hs_group_options o;
    hs_group *group;
    char byte;
    dns_server *names = dns_server_start();
    t.dns = (hs_dns_options){
        .servers = dns_server_addr(names), .hosts_path = "", .resolv_path = "/dev/null"};
    CHECK(pipe(t.done) == 0);
    uint32_t files = open_files();
    hs_group_options_init(&o);
    o.shards = 1;
    o.pin_off = true;
    o.log_level = HS_LOG_WARN;
    o.start = on_start;
    o.stop = on_stop;
    CHECK(hs_ok(hs_group_start(&o, &group)));
    CHECK(read(t.done[0], &byte, 1) == 1);
    hs_group_stop(group);
    hs_group_join(group);
    CHECK(open_files() == files);
    dns_server_stop(names);
    printf("dns_ends: resolvers, dialers, clients, a stop with lookups under way are fine\n");
    return 0;
}
