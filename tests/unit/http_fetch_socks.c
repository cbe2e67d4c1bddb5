/* Fetches through SOCKS5 proxies (RFC 1928, RFC 1929), and through hostile ones: each reply cut at
 * each byte, drop by drop, wrong versions, every status. */
#include "fetch_rig.h"

#define OPEN "\5\0\0\1\1\2\3\4\0\120"
#define WITHOUT "socks5://192.0.2.9"
#define NAMED "socks5h://me:sec%40ret@192.0.2.9:1081"
#define S(text) text, sizeof text - 1

/* A proxy that says its replies whatever it is asked, and is the host behind it as well. */
static struct {
    const char *says[3]; /* after the greeting, the password and the request */
    size_t lens[3];
    bool named;    /* it asks for a password */
    size_t cut_at; /* it ends after so many bytes */
    bool resets;
    bool drips; /* a byte at a time */
    char heard[3][600];
    size_t heard_len[3];
    char request[2000];
    sim_peer *peer;
    uint32_t stage; /* of says; 3: the host's */
    uint8_t in[2000];
    size_t in_len, out_at; /* what is unsaid of says[stage] */
    size_t said;
    bool saying;
    uint32_t accepted;
    sim_event drop;
} p;

static size_t message_bytes(void)
{
    if (p.stage == 3) {
        p.in[p.in_len] = '\0';
        const char *end = strstr((const char *)p.in, "\r\n\r\n");
        return end ? (size_t)(end + 4 - (const char *)p.in) : SIZE_MAX;
    }
    if (p.stage == 0)
        return p.in_len < 2 ? SIZE_MAX : 2 + (size_t)p.in[1];
    if (p.stage == 1) {
        size_t name = p.in_len < 2 ? 0 : p.in[1];
        return p.in_len < 3 + name ? SIZE_MAX : 3 + name + p.in[2 + name];
    }
    if (p.in_len < 5)
        return SIZE_MAX;
    return p.in[3] == 1 ? 10 : p.in[3] == 4 ? 22 : 7 + (size_t)p.in[4];
}

static void end_peer(bool reset)
{
    if (p.peer)
        sim_peer_close(p.peer, reset);
    p.peer = NULL;
    p.saying = false;
}

static void listen_on(void);

/* Say what is left of the reply, or a byte of it; then go on to the next message. */
static void say_on(void)
{
    while (p.peer && p.saying) {
        if (p.said == p.cut_at) {
            end_peer(p.resets);
            return;
        }
        if (p.out_at < p.lens[p.stage]) {
            cr_assert_eq(sim_peer_write(p.peer, p.says[p.stage] + p.out_at++, 1), 1);
            p.said++;
            if (p.drips)
                return;
            continue;
        }
        p.saying = false;
        p.stage = p.stage == 0 && !p.named ? 2 : p.stage + 1;
        listen_on();
    }
}

static void on_drop(sim_world *w, sim_event *event)
{
    say_on();
    sim_event_set(w, event, HS_MSEC_NS, on_drop);
}

static void listen_on(void)
{
    size_t len = message_bytes();
    if (p.saying || p.in_len < len)
        return;
    if (p.stage == 3) {
        snprintf(p.request, sizeof p.request, "%.*s", (int)len, (const char *)p.in);
        cr_assert_eq(sim_peer_write(p.peer, S(HELLO)), sizeof HELLO - 1);
    } else {
        cr_assert_eq(p.in_len, len, "it says more than it was asked");
        memcpy(p.heard[p.stage], p.in, HS_MIN(len, sizeof p.heard[0]));
        p.heard_len[p.stage] = len;
        p.saying = true;
        p.out_at = 0;
    }
    p.in_len = 0;
    if (!p.drips)
        say_on();
}

static void on_socks(sim_peer *peer, uint32_t what)
{
    if (what & SIM_PEER_OPEN) {
        p.peer = peer;
        p.accepted++;
        p.stage = 0;
        p.in_len = p.said = 0;
        p.saying = false;
    }
    if (peer != p.peer)
        return;
    if (what & SIM_PEER_RESET) {
        end_peer(false);
        return;
    }
    p.in_len += sim_peer_read(peer, p.in + p.in_len, sizeof p.in - 1 - p.in_len);
    listen_on();
    if (what & SIM_PEER_EOF)
        end_peer(false);
}

static const char *env[2];

static void prepare(const char *variable)
{
    memset(&p, 0, sizeof p);
    p.named = strchr(variable, '@') != NULL;
    p.says[0] = p.named ? "\5\2" : "\5\0";
    p.says[1] = "\1\0";
    p.says[2] = OPEN;
    p.lens[0] = p.lens[1] = 2;
    p.lens[2] = sizeof OPEN - 1;
    p.cut_at = SIZE_MAX;
    static char text[700];
    snprintf(text, sizeof text, "all_proxy=%s", variable);
    env[0] = text;
    rig_prepare(NULL, NULL);
    r.options.proxy_env = env;
    sim_peer_listen(r.b.w, 1080, false, on_socks, NULL);
    sim_peer_listen(r.b.w, 1081, false, on_socks, NULL);
}

static void start(const char *variable)
{
    prepare(variable);
    cr_assert(hs_ok(rig_make()));
}

static void finish(void)
{
    sim_event_cancel(r.b.w, &p.drop);
    end_peer(false);
    rig_fini();
}

static void fetch_one(const char *url)
{
    got g;
    begin(&g, url, NULL);
    bench_run(&r.b, 100);
    expect_hello(&g);
}

static void expect_heard(uint32_t stage, const char *want, size_t len)
{
    cr_assert_eq(p.heard_len[stage], len, "%zu", p.heard_len[stage]);
    cr_assert_eq(memcmp(p.heard[stage], want, len), 0);
}

/* ---- as it should be ---- */

Test(http_fetch_socks, a_name_is_looked_up_by_the_proxy)
{
    start(WITHOUT); /* and no name is known here */
    fetch_one("http://one.test/a");
    expect_heard(0, S("\5\1\0"));
    expect_heard(2, S("\5\1\0\3\10one.test\0\120"));
    cr_assert(strstr(p.request, "GET /a HTTP/1.1\r\nHost: one.test\r\n"), "%s", p.request);
    cr_assert_null(strstr(p.request, "Proxy-"));
    fetch_one("http://one.test/b"); /* by the same connection */
    cr_assert_eq(p.accepted, 1);
    fetch_one("http://two.test:8080/"); /* which leads to one host */
    cr_assert_eq(p.accepted, 2);
    expect_heard(2, S("\5\1\0\3\10two.test\37\220"));
    finish();
}

Test(http_fetch_socks, addresses_are_addresses)
{
    start("SOCKS5H://192.0.2.9:1081/path");
    fetch_one("http://192.0.2.1/");
    expect_heard(2, S("\5\1\0\1\300\0\2\1\0\120"));
    fetch_one("http://[2001:db8::1]/");
    expect_heard(2, S("\5\1\0\4\40\1\15\270\0\0\0\0\0\0\0\0\0\0\0\1\0\120"));
    finish();
}

Test(http_fetch_socks, https_is_verified_inside)
{
    start(NAMED);
    fetch_one("https://one.test/a");
    expect_heard(0, S("\5\2\0\2"));
    expect_heard(1, S("\1\2me\7sec@ret"));
    expect_heard(2, S("\5\1\0\3\10one.test\1\273"));
    cr_assert_str_eq(r.secure_to, "one.test ");
    cr_assert_null(strstr(p.request, "uthorization"));
    finish();
}

Test(http_fetch_socks, a_proxy_that_wants_no_password_gets_none)
{
    start(NAMED);
    p.named = false;
    p.says[0] = "\5\0";
    fetch_one("http://one.test/");
    cr_assert_eq(p.heard_len[1], 0);
    finish();
}

Test(http_fetch_socks, each_kind_of_bound_address_and_drop_by_drop)
{
    static const struct {
        const char *says;
        size_t len;
    } opens[] = {
        {S(OPEN)},
        {S("\5\0\0\4\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0")},
        {S("\5\0\0\3\0\0\0")},
        {S("\5\0\0\3\11bound.one\0\1")},
    };
    for (size_t i = 0; i < 2 * HS_ARRAY_LEN(opens); i++) {
        prepare(i & 1 ? NAMED : WITHOUT);
        p.says[1] = "\5\0"; /* as some do */
        p.says[2] = opens[i / 2].says;
        p.lens[2] = opens[i / 2].len;
        p.drips = true;
        sim_event_set(r.b.w, &p.drop, HS_MSEC_NS, on_drop);
        cr_assert(hs_ok(rig_make()));
        fetch_one(i & 2 ? "https://one.test/" : "http://one.test/");
        finish();
    }
}

Test(http_fetch_socks, a_long_name)
{
    char url[300] = "http://", want[300] = "\5\1";
    size_t len = 7;
    for (int i = 0; i < 253; i++)
        url[len++] = i % 50 == 49 ? '.' : 'a';
    memcpy(want + 2, "\0\3\375", 3);
    memcpy(want + 5, url + 7, 253);
    memcpy(want + 5 + 253, "\0\120", 2);
    start(WITHOUT);
    fetch_one(url);
    expect_heard(2, want, 5 + 253 + 2);
    finish();
}

Test(http_fetch_socks, names_and_passwords_have_255_bytes)
{
    char variable[600], byte[256];
    got g;
    memset(byte, 'n', 255);
    byte[255] = '\0';
    snprintf(variable, sizeof variable, "socks5://%s:%s@192.0.2.9", byte, byte);
    start(variable);
    fetch_one("http://one.test/");
    cr_assert_eq(p.heard_len[1], 3 + 2 * 255);
    finish();
    snprintf(variable, sizeof variable, "socks5://%sx:y@192.0.2.9", byte);
    start(variable);
    begin(&g, "http://one.test/", NULL);
    bench_run(&r.b, 20);
    expect_error(&g, HS_E_USAGE, HS_FETCH_QUEUE, "all_proxy=socks5://*@192.0.2.9: not a proxy");
    finish();
}

Test(http_fetch_socks, guarded_fetches_do_not)
{
    got g;
    start(WITHOUT);
    begin(&g, "http://8.8.8.8/", &(hs_fetch_options){.guarded = true});
    bench_run(&r.b, 20);
    expect_error(&g, HS_E_FORBIDDEN, HS_FETCH_QUEUE, "does not go through a proxy");
    finish();
}

/* ---- hostile ---- */

static const struct {
    const char *variable, *says;
    size_t len;
    uint32_t stage;
    int32_t err;
    const char *text;
} refusals[] = {
    {WITHOUT, S("\4\0"), 0, HS_E_PROTOCOL, "does not speak SOCKS5"},
    {WITHOUT, S("HTTP/1.1 400 x\r\n\r\n"), 0, HS_E_PROTOCOL, "does not speak SOCKS5"},
    {WITHOUT, S("\5\377"), 0, -EACCES, "it wants a name and a password"},
    {NAMED, S("\5\377"), 0, -EACCES, "it takes no client"},
    {WITHOUT, S("\5\2"), 0, HS_E_PROTOCOL, "was not offered"},
    {NAMED, S("\5\1"), 0, HS_E_PROTOCOL, "was not offered"},
    {WITHOUT, S("\5\0\5"), 0, HS_E_PROTOCOL, "sent more than its answer"},
    {NAMED, S("\1\1"), 1, -EACCES, "does not take our name and password"},
    {NAMED, S("\1\377"), 1, -EACCES, "does not take our name and password"},
    {NAMED, S("\1\0\5"), 1, HS_E_PROTOCOL, "sent more than its answer"},
    {WITHOUT, S("\0\0\0\1\1\2\3\4\0\120"), 2, HS_E_PROTOCOL, "does not speak SOCKS5"},
    {WITHOUT, S("\4\0\0\1\1\2\3\4\0\120"), 2, HS_E_PROTOCOL, "does not speak SOCKS5"},
    {WITHOUT, S("\5\1"), 2, -ECONNREFUSED, "makes no connection to the host"},
    {WITHOUT, S("\5\2\0\1\0\0\0\0\0\0"), 2, -EACCES, "does not let us there"},
    {WITHOUT, S("\5\3\0\1\0\0\0\0\0\0"), 2, -ENETUNREACH, "the host's network"},
    {WITHOUT, S("\5\4\0\1\0\0\0\0\0\0"), 2, -EHOSTUNREACH, "does not reach the host"},
    {NAMED, S("\5\5\0\1\0\0\0\0\0\0"), 2, -ECONNREFUSED, "the host refuses"},
    {WITHOUT, S("\5\6\0\3\4abcd\0\0"), 2, -EHOSTUNREACH, "too far away"},
    {WITHOUT, S("\5\7\0\1\0\0\0\0\0\0"), 2, -ECONNREFUSED, "makes no connections"},
    {WITHOUT, S("\5\10\0\1\0\0\0\0\0\0"), 2, -EAFNOSUPPORT, "this kind of address"},
    {WITHOUT, S("\5\11\0\1\0\0\0\0\0\0"), 2, -ECONNREFUSED, "makes no connection to the host"},
    {WITHOUT, S("\5\377\0\1\0\0\0\0\0\0"), 2, -ECONNREFUSED, "makes no connection to the host"},
    {WITHOUT, S("\5\0\0\0\1\2\3\4\0\120"), 2, HS_E_PROTOCOL, "an address of no kind"},
    {WITHOUT, S("\5\0\0\2\1\2\3\4\0\120"), 2, HS_E_PROTOCOL, "an address of no kind"},
    {WITHOUT, S(OPEN "x"), 2, HS_E_PROTOCOL, "sent more than its answer"},
};

/* In one piece and drop by drop. */
Test(http_fetch_socks, what_it_may_say_instead)
{
    for (size_t i = 0; i < 2 * HS_ARRAY_LEN(refusals); i++) {
        /* Late, it is the beginning of the next answer. */
        bool late = strstr(refusals[i / 2].text, "sent more");
        got g;
        prepare(refusals[i / 2].variable);
        p.says[refusals[i / 2].stage] = refusals[i / 2].says;
        p.lens[refusals[i / 2].stage] = refusals[i / 2].len;
        p.drips = i & 1;
        sim_event_set(r.b.w, &p.drop, HS_MSEC_NS, on_drop);
        cr_assert(hs_ok(rig_make()));
        begin(&g, "http://one.test/", NULL);
        bench_run(&r.b, 100);
        cr_assert_eq(g.errors, 1, "%zu: %s", i / 2, refusals[i / 2].text);
        if (g.phase == HS_FETCH_TUNNEL && !late) {
            cr_assert_eq(g.err.code, refusals[i / 2].err, "%s: %s", hs_err_name(g.err), g.text);
            cr_assert(strstr(g.text, refusals[i / 2].text), "%s", g.text);
            cr_assert(strstr(g.text, "one.test: the proxy 192.0.2.9:108"), "%s", g.text);
        }
        cr_assert_null(strstr(g.text, "sec@ret"), "%s", g.text);
        cr_assert_eq(hs_client_conns(r.client), 0);
        finish();
    }
}

Test(http_fetch_socks, it_ends_at_each_byte)
{
    for (size_t at = 0; at < 4 * (2 + 2 + sizeof OPEN - 1); at++) {
        got g;
        prepare(NAMED);
        p.cut_at = at / 4;
        p.resets = at & 1;
        cr_assert(hs_ok(rig_make()));
        begin(&g, at & 2 ? "https://one.test/" : "http://one.test/", NULL);
        bench_run(&r.b, 100);
        cr_assert_eq(g.errors, 1);
        cr_assert_eq(g.phase, HS_FETCH_TUNNEL, "%s", g.text);
        cr_assert(g.err.code == HS_E_TRUNCATED || (p.resets && g.err.code == -ECONNRESET), "%s",
                  hs_err_name(g.err));
        cr_assert(strstr(g.text, "it ended the connection inside of SOCKS"), "%s", g.text);
        cr_assert_eq(hs_client_conns(r.client), 0);
        finish();
    }
}

Test(http_fetch_socks, one_that_says_nothing)
{
    for (uint32_t stage = 0; stage < 3; stage++) {
        got g;
        start(NAMED);
        p.lens[stage] = 0;
        p.says[stage] = "";
        p.drips = true; /* nothing follows by itself */
        if (stage > 0)
            sim_event_set(r.b.w, &p.drop, HS_MSEC_NS, on_drop);
        begin(&g, "http://one.test/", &(hs_fetch_options){.times = {.tunnel_ms = 300}});
        bench_run(&r.b, 290);
        cr_assert_eq(g.errors, 0, "%s", g.text);
        bench_run(&r.b, 20);
        expect_error(&g, -ETIMEDOUT, HS_FETCH_TUNNEL, "timed out waiting for a tunnel");
        finish();
    }
}

/* Given up at each step, by the token or by the client's end. */
Test(http_fetch_socks, given_up_at_each_step)
{
    for (uint64_t ms = 0; ms < 80; ms++) {
        got g;
        prepare(NAMED);
        p.drips = true;
        sim_event_set(r.b.w, &p.drop, HS_MSEC_NS, on_drop);
        cr_assert(hs_ok(rig_make()));
        hs_cancel *cancel = hs_cancel_create(r.b.shard);
        begin(&g, ms & 2 ? "https://one.test/" : "http://one.test/",
              &(hs_fetch_options){.cancel = cancel});
        if (ms > 1)
            bench_run(&r.b, ms / 2);
        bool whole = g.bodies > 0;
        if (ms & 1) {
            hs_client_destroy(r.client);
            r.client = NULL;
        } else {
            hs_cancel_fire(cancel, hs_err_of(HS_E_BLOCKED));
        }
        bench_run(&r.b, 5);
        hs_cancel_unref(cancel);
        if (whole)
            expect_hello(&g);
        else
            cr_assert(g.errors == 1 && g.err.code == (ms & 1 ? HS_E_CLOSED : HS_E_BLOCKED));
        finish();
    }
}

Test(http_fetch_socks, each_piece_of_memory_fails_once)
{
    for (uint64_t at = 1, met = true; met; at++) {
        static got g[2];
        memset(g, 0, sizeof g);
        prepare(NAMED);
        r.b.fail_at = r.b.takes + at;
        hs_err err = rig_make();
        for (int i = 0; i < 2 && hs_ok(err); i++) {
            begin(&g[i], i ? "https://one.test/" : "http://one.test/", NULL);
            bench_run(&r.b, 50);
        }
        met = r.b.fails > 0;
        for (int i = 0; i < 2 && hs_ok(err); i++) {
            cr_assert(met || g[i].bodies == 1, "%s", g[i].text);
            hs_err any = g[i].errors ? g[i].err : g[i].body_err;
            cr_assert(hs_ok(any) || hs_err_class(any) == HS_ERR_LIMIT, "%s", hs_err_name(any));
            if (g[i].res)
                let_go(&g[i]);
        }
        r.b.fail_at = 0;
        finish();
    }
}
