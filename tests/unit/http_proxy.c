/* Proxies from an environment, whom they are not for, and the way through one; Base64 on the way.
 */
#include <errno.h>

#include "core_help.h"
#include "hs_base64.h"
#include "proxy.h"

static hs_pool pool;
static hs_arena arena;

static void setup(void)
{
    cr_assert(hs_ok(hs_pool_init(&pool, hs_mem_system(), HS_CHUNK_BYTES, 64)));
    hs_arena_init(&arena, &pool, 4 << 20);
}

static void teardown(void)
{
    hs_arena_reset(&arena);
    hs_pool_fini(&pool);
}

TestSuite(http_base64, .init = setup, .fini = teardown);
TestSuite(http_proxy, .init = setup, .fini = teardown);

static void expect_span(hs_span got, const char *want)
{
    cr_assert(hs_span_eq(got, hs_span_str(want)), "%.*s, not %s", (int)got.len,
              (const char *)got.ptr, want);
}

/* ---- Base64 ---- */

Test(http_base64, the_rfcs_own_examples)
{
    static const char *const pairs[][2] = {
        {"", ""},
        {"f", "Zg=="},
        {"fo", "Zm8="},
        {"foo", "Zm9v"},
        {"foob", "Zm9vYg=="},
        {"fooba", "Zm9vYmE="},
        {"foobar", "Zm9vYmFy"},
        {"\xff\xfe\xfb", "//77"},
    };
    for (size_t i = 0; i < HS_ARRAY_LEN(pairs); i++) {
        hs_span out;
        cr_assert(hs_ok(hs_base64_encode(&arena, hs_span_str(pairs[i][0]), &out)));
        expect_span(out, pairs[i][1]);
        cr_assert(hs_ok(hs_base64_decode(&arena, hs_span_str(pairs[i][1]), &out)));
        expect_span(out, pairs[i][0]);
    }
}

Test(http_base64, every_byte_comes_back)
{
    uint8_t bytes[256];
    for (unsigned i = 0; i < 256; i++)
        bytes[i] = (uint8_t)i;
    for (size_t len = 0; len <= 256; len++) {
        hs_span text, back;
        cr_assert(hs_ok(hs_base64_encode(&arena, hs_span_of(bytes, len), &text)));
        cr_assert_eq(text.len, HS_BASE64_BYTES(len));
        cr_assert(hs_ok(hs_base64_decode(&arena, text, &back)));
        cr_assert(hs_span_eq(back, hs_span_of(bytes, len)));
    }
}

Test(http_base64, anything_else_is_refused)
{
    static const char *const bad[] = {"Z",    "Zg",   "Zg=",  "Zg===", "Zh==", "Zm9=", "====",
                                      "Z===", "Zg=v", "Zm 9", "Zm9-",  "Zm9_", "=Zm9", "Zg==Zg=="};
    hs_span out;
    for (size_t i = 0; i < HS_ARRAY_LEN(bad); i++)
        cr_assert_eq(hs_base64_decode(&arena, hs_span_str(bad[i]), &out).code, HS_E_USAGE, "%s",
                     bad[i]);
    cr_assert_eq(hs_base64_decode(&arena, hs_span_of("Zm9\0", 4), &out).code, HS_E_USAGE);
}

Test(http_base64, basic_authentication_is_a_pair)
{
    hs_span out;
    cr_assert(hs_ok(hs_basic_auth(&arena, HS_SPAN("Aladdin"), HS_SPAN("open sesame"), &out)));
    expect_span(out, "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==");
    cr_assert(hs_ok(hs_basic_auth(&arena, HS_SPAN(""), HS_SPAN("a:b"), &out)));
    expect_span(out, "Basic OmE6Yg==");
    cr_assert(hs_ok(hs_basic_auth(&arena, HS_SPAN(""), HS_SPAN(""), &out)));
    expect_span(out, "Basic Og==");
    cr_assert_eq(hs_basic_auth(&arena, HS_SPAN("a:b"), HS_SPAN("c"), &out).code, HS_E_USAGE);
    cr_assert_eq(hs_basic_auth(&arena, HS_SPAN("a\n"), HS_SPAN("c"), &out).code, HS_E_USAGE);
    cr_assert_eq(hs_basic_auth(&arena, HS_SPAN("a"), HS_SPAN("\x7f"), &out).code, HS_E_USAGE);
}

/* ---- the environment ---- */

static proxy_set read_env(const char *const *env)
{
    proxy_set set;
    cr_assert(hs_ok(proxy_set_read(&set, &arena, env, true)));
    return set;
}

#define ENV(...) ((const char *const[]){__VA_ARGS__, NULL})

static void expect_proxy(const proxy_set *set, const char *text, const char *host, uint16_t port)
{
    hs_url url;
    cr_assert(hs_ok(hs_url_parse(&url, &arena, hs_span_str(text), NULL)), "%s", text);
    const proxy *p = proxy_for(set, &url);
    cr_assert_eq(p != NULL, host != NULL, "%s", text);
    if (p) {
        expect_span(p->host, host);
        cr_assert_eq(p->port, port);
    }
}

Test(http_proxy, each_scheme_has_its_own)
{
    proxy_set set = read_env(ENV("A=b", "http_proxy=http://p:3128", "HTTPS_PROXY=q:8080",
                                 "xhttp_proxy=http://no:1", "http_proxyx=http://no:1"));
    expect_proxy(&set, "http://h/", "p", 3128);
    expect_proxy(&set, "https://h/", "q", 8080);
    expect_proxy(&set, "ftp://h/", NULL, 0);
    expect_proxy(&set, "ws://h/", NULL, 0);
    set = read_env(ENV("A=b"));
    expect_proxy(&set, "http://h/", NULL, 0);
    expect_proxy(&set, "https://h/", NULL, 0);
}

Test(http_proxy, small_letters_go_first_and_all_goes_last)
{
    proxy_set set = read_env(ENV("HTTP_PROXY=big:1", "http_proxy=small:2", "ALL_PROXY=all:3"));
    expect_proxy(&set, "http://h/", "small", 2);
    expect_proxy(&set, "https://h/", "all", 3);
    set = read_env(ENV("http_proxy=", "HTTP_PROXY=big:1", "all_proxy=", "ALL_PROXY=all:3"));
    expect_proxy(&set, "http://h/", "big", 1);
    expect_proxy(&set, "https://h/", "all", 3);
}

Test(http_proxy, a_cgi_program_is_not_told_by_a_strangers_field)
{
    proxy_set set = read_env(ENV("REQUEST_METHOD=GET", "HTTP_PROXY=evil:1", "HTTPS_PROXY=fine:2"));
    expect_proxy(&set, "http://h/", NULL, 0);
    expect_proxy(&set, "https://h/", "fine", 2);
    set = read_env(ENV("REQUEST_METHOD=GET", "HTTP_PROXY=evil:1", "http_proxy=own:2"));
    expect_proxy(&set, "http://h/", "own", 2);
}

Test(http_proxy, a_proxy_has_a_scheme_a_port_and_a_password)
{
    proxy_set set = read_env(ENV("http_proxy=HTTPS://us%20er:p%3aw@Proxy.Example/",
                                 "https_proxy=http://[2001:db8::1]:81"));
    cr_assert(set.http.secure);
    cr_assert_eq(set.http.port, 443);
    expect_span(set.http.host, "proxy.example");
    expect_span(set.http.authorization, "Basic dXMgZXI6cDp3");
    cr_assert_not(set.https.secure);
    cr_assert_eq(set.https.port, 81);
    expect_span(set.https.host, "[2001:db8::1]");
    cr_assert_eq(set.https.authorization.len, 0);
    set = read_env(ENV("http_proxy=10.0.0.1"));
    expect_proxy(&set, "http://h/", "10.0.0.1", 80);
    set = read_env(ENV("http_proxy=u@p:1"));
    expect_span(set.http.authorization, "Basic dTo=");
}

Test(http_proxy, socks_has_a_port_of_its_own)
{
    static const struct {
        const char *text, *host;
        uint16_t port;
    } fine[] = {
        {"socks5://p", "p", 1080},
        {"SOCKS5H://P:1081/x", "p", 1081},
        {"socks5h://u:p@p:80", "p", 80},
        {"socks5://p:443", "p", 443},
        {"socks5://[::1]:0443", "[::1]", 443},
        {"socks5://127.1", "127.0.0.1", 1080},
    };
    for (size_t i = 0; i < HS_ARRAY_LEN(fine); i++) {
        char text[64];
        snprintf(text, sizeof text, "all_proxy=%s", fine[i].text);
        proxy_set set = read_env(ENV(text));
        cr_assert(set.http.socks && !set.http.secure && set.https.socks, "%s", fine[i].text);
        expect_proxy(&set, "http://h/", fine[i].host, fine[i].port);
    }
    static const char *const bad[] = {"socks5://",  "socks5h://:80", "socks5://p:0",
                                      "socks4://p", "socks://p",     "socks5://p q"};
    for (size_t i = 0; i < HS_ARRAY_LEN(bad); i++) {
        char text[64];
        snprintf(text, sizeof text, "all_proxy=%s", bad[i]);
        proxy_set set = read_env(ENV(text));
        cr_assert(set.http.fault != NULL, "%s", bad[i]);
    }
}

Test(http_proxy, what_is_behind_its_port_means_nothing)
{
    static const char *const fine[] = {"http://p:1/path", "p:1/", "p:1?x", "p:1#f",
                                       "http://p:1/a/b?c#d"};
    for (size_t i = 0; i < HS_ARRAY_LEN(fine); i++) {
        char text[64];
        snprintf(text, sizeof text, "all_proxy=%s", fine[i]);
        proxy_set set = read_env(ENV(text));
        expect_proxy(&set, "http://h/", "p", 1);
    }
}

static const char *fault_for(const proxy_set *set, const char *text)
{
    hs_url url;
    cr_assert(hs_ok(hs_url_parse(&url, &arena, hs_span_str(text), NULL)), "%s", text);
    const proxy *p = proxy_for(set, &url);
    return p ? p->fault : NULL;
}

Test(http_proxy, what_is_no_proxy_is_told_to_those_who_need_it)
{
    static const char *const bad[] = {"gopher://p:1080",
                                      "http://",
                                      "http://p:99999",
                                      "http://p:0",
                                      "://p",
                                      "http://p q",
                                      "unix:///run/x",
                                      "http://a%3ab@p:1",
                                      "http://%0a:1",
                                      "http://u:%0d%0ax@p:1"};
    for (size_t i = 0; i < HS_ARRAY_LEN(bad); i++) {
        char text[64];
        snprintf(text, sizeof text, "HTTPS_PROXY=%s", bad[i]);
        proxy_set set = read_env(ENV("http_proxy=p:1", text, "no_proxy=fine"));
        expect_proxy(&set, "http://h/", "p", 1);
        cr_assert_null(fault_for(&set, "http://h/"));
        cr_assert_null(fault_for(&set, "https://fine/"));
        const char *fault = fault_for(&set, "https://h/");
        cr_assert(fault && strncmp(fault, "HTTPS_PROXY=", 12) == 0, "%s: %s", text, fault);
        snprintf(text, sizeof text, "all_proxy=%s", bad[i]);
        set = read_env(ENV(text, "http_proxy=p:1"));
        cr_assert_null(fault_for(&set, "http://h/"));
        fault = fault_for(&set, "https://h/");
        cr_assert(fault && strncmp(fault, "all_proxy=", 10) == 0, "%s: %s", text, fault);
        set = read_env(ENV(text, "NO_PROXY=*"));
        cr_assert_null(fault_for(&set, "http://h/"));
        cr_assert_null(fault_for(&set, "https://h/"));
    }
}

Test(http_proxy, a_fault_shows_the_value_without_its_password)
{
    static const char *const pairs[][2] = {
        {"gopher://me:secret@p:1", "all_proxy=gopher://*@p:1: not a proxy"},
        {"gopher://me:se/c@ret@p", "all_proxy=gopher://*@p: not a proxy"},
        {"me:secret@p:x", "all_proxy=*@p:x: not a proxy"},
        {"http://p q", "all_proxy=http://p q: not a proxy"},
        {"http://p\r\nq^", "all_proxy=http://p??q^: not a proxy"},
    };
    for (size_t i = 0; i < HS_ARRAY_LEN(pairs); i++) {
        char text[64];
        snprintf(text, sizeof text, "all_proxy=%s", pairs[i][0]);
        proxy_set set = read_env(ENV(text));
        const char *fault = fault_for(&set, "http://h/");
        cr_assert(fault && strncmp(fault, pairs[i][1], strlen(pairs[i][1])) == 0, "%s", fault);
    }
    static char large[100000] = "all_proxy=http://";
    memset(large + 17, 'x', sizeof large - 18);
    proxy_set set = read_env(ENV(large));
    cr_assert_lt(strlen(fault_for(&set, "http://h/")), 200);
}

Test(http_proxy, one_over_tls_wants_tls)
{
    proxy_set set;
    cr_assert(hs_ok(proxy_set_read(&set, &arena, ENV("all_proxy=https://p:1"), false)));
    cr_assert_str_eq(fault_for(&set, "http://h/"),
                     "all_proxy=https://p:1: a proxy over TLS, and the client has none");
}

/* ---- whom no proxy is for ---- */

static const struct {
    const char *none, *url;
    bool direct;
} exceptions[] = {
    {"", "http://h/", false},
    {"*", "http://h/", true},
    {"*", "https://[::1]/", true},
    {"x, *", "http://10.0.0.1/", true},
    {"example.com", "http://example.com/", true},
    {"example.com", "http://EXAMPLE.com/", true},
    {"Example.COM", "http://example.com/", true},
    {"example.com", "http://a.b.example.com/", true},
    {".example.com", "http://example.com/", true},
    {".example.com", "http://a.example.com/", true},
    {"*.example.com", "http://a.example.com/", true},
    {"example.com.", "http://example.com/", true},
    {"example.com", "http://example.com./", true},
    {"example.com.", "http://example.com./", true},
    {"EXAMPLE.com.", "http://a.Example.COM./", true},
    {".example.com.", "http://a.example.com/", true},
    {"example.com", "http://a.example.com./", true},
    {"example.com:80", "http://example.com./", true},
    {"example.com.:80", "http://example.com/", true},
    {"b\xc3\xbc"
     "cher.test",
     "http://b\xc3\xbc"
     "cher.test/",
     true},
    {"b\xc3\xbc"
     "cher.test",
     "http://xn--bcher-kva.test/", true},
    {"b\xc3\xbc"
     "cher.test",
     "http://b\xc3\xbc"
     "cher.test./",
     true},
    {"b\xc3\xbc"
     "cher.test.",
     "http://xn--bcher-kva.test/", true},
    {"xn--bcher-kva.test",
     "http://b\xc3\xbc"
     "cher.test/",
     true},
    {"XN--BCHER-KVA.Test",
     "http://b\xc3\x9c"
     "cher.test/",
     true},
    {"B\xc3\x9c"
     "CHER.TEST",
     "http://a.b\xc3\xbc"
     "cher.test/",
     true},
    {"x,*.b\xc3\xbc"
     "cher.test y",
     "http://a.b\xc3\xbc"
     "cher.test/",
     true},
    {".b\xc3\xbc"
     "cher.test:80 y",
     "http://b\xc3\xbc"
     "cher.test/",
     true},
    {".b\xc3\xbc"
     "cher.test:81 y",
     "http://b\xc3\xbc"
     "cher.test/",
     false},
    {"b\xc3\xbc"
     "cher.test, y",
     "http://y/", true},
    {"b\xc3\xbc"
     "cher\xe3\x80\x82test",
     "http://b\xc3\xbc"
     "cher.test/",
     true},
    {"\xff\xfe, b\xc3\xbc, y", "http://y/", true},
    {".\xc3\xbc", "http://xn--tda/", true},
    {"b\xc3\xbc"
     "cher.test",
     "http://bucher.test/", false},
    {"example.com..", "http://example.com/", false},
    {"example.com", "http://example.com../", false},
    {"..", "http://example.com./", false},
    {"example..com", "http://example.com/", false},
    {"*..", "http://example.com./", false},
    {"example.com", "http://notexample.com/", false},
    {"example.com", "http://example.com.evil/", false},
    {"example.com", "http://com/", false},
    {"a.example.com", "http://example.com/", false},
    {".", "http://example.com/", false},
    {"*.", "http://example.com/", false},
    {"exam*.com", "http://example.com/", false},
    {"one,two  three,,\tfour", "http://one/", true},
    {"one,two  three,,\tfour", "http://two/", true},
    {"one,two  three,,\tfour", "http://three/", true},
    {"one,two  three,,\tfour", "http://four/", true},
    {"one,two  three,,\tfour", "http://five/", false},
    {"h:8080", "http://h:8080/", true},
    {"h:8080", "http://h/", false},
    {"h:80", "http://h/", true},
    {"h:443", "https://a.h/", true},
    {"h:443", "http://a.h/", false},
    {"h:x", "http://h/", false},
    {"10.0.0.1", "http://10.0.0.1/", true},
    {"10.0.0.1", "http://0xa000001/", true},
    {"10.0.0.1", "http://10.0.0.2/", false},
    {"10.0.0.1:81", "http://10.0.0.1/", false},
    {"10.0.0.1:81", "http://10.0.0.1:81/", true},
    {"0.0.1", "http://10.0.0.1/", false},
    {"10.0.0.0/8", "http://10.255.0.1/", true},
    {"10.0.0.0/8", "http://11.255.0.1/", false},
    {"10.0.0.0/8", "http://ten.example/", false},
    {"10.0.0.0/33", "http://10.0.0.0/", false},
    {"::1", "http://[::1]/", true},
    {"[::1]", "http://[::1]/", true},
    {"[::1]:80", "http://[::1]/", true},
    {"[::1]:81", "http://[::1]/", false},
    {"[::1]:81", "http://[::1]:81/", true},
    {"::1", "http://[::2]/", false},
    {"[::1]/128", "http://[::1]/", true},
    {"[::1]/128", "http://[::2]/", false},
    {"[::1]/128:80", "http://[::1]/", true},
    {"[::1]/128:81", "http://[::1]/", false},
    {"[fd00::]/8", "http://[fdab::1]/", true},
    {"[fd00::]/8", "http://[fe80::1]/", false},
    {"[::1]x", "http://[::1]/", false},
    {"[::1", "http://[::1]/", false},
    {"[]", "http://[::1]/", false},
    {"[", "http://[::1]/", false},
    {"]:80", "http://[::1]/", false},
    {"10.0.0.1.", "http://10.0.0.1/", true},
    {"10.0.0.1", "http://10.0.0.1./", true},
    {"fd00::/8", "http://[fdab::1]/", true},
    {"fd00::/8", "http://[fe80::1]/", false},
    {"10.0.0.0/8", "http://[::ffff:10.0.0.1]/", true},
    {"localhost", "http://localhost:3000/", true},
    {"example.com", "http://localhost/", false},
};

Test(http_proxy, exceptions_follow_curls_rules)
{
    for (size_t i = 0; i < HS_ARRAY_LEN(exceptions); i++) {
        char text[80];
        hs_url url;
        snprintf(text, sizeof text, "NO_PROXY=%s", exceptions[i].none);
        proxy_set set = read_env(ENV("all_proxy=p:1", text));
        cr_assert(hs_ok(hs_url_parse(&url, &arena, hs_span_str(exceptions[i].url), NULL)));
        cr_assert_eq(proxy_for(&set, &url) == NULL, exceptions[i].direct, "%s for %s", text,
                     exceptions[i].url);
    }
    proxy_set set = read_env(ENV("all_proxy=p:1", "NO_PROXY=big", "no_proxy=small"));
    expect_proxy(&set, "http://small/", NULL, 0);
    expect_proxy(&set, "http://big/", "p", 1);
}

/* ---- the tunnel ---- */

Test(http_proxy, a_tunnel_is_asked_for)
{
    proxy_set set = read_env(ENV("http_proxy=u:p@proxy:1"));
    proxy plain = {.port = 1};
    hs_span out;
    cr_assert(hs_ok(
        proxy_connect_head(&arena, HS_SPAN("h.example"), 443, &set.http, HS_SPAN("us/1"), &out)));
    expect_span(out, "CONNECT h.example:443 HTTP/1.1\r\nHost: h.example:443\r\n"
                     "User-Agent: us/1\r\nProxy-Authorization: Basic dTpw\r\n\r\n");
    cr_assert(
        hs_ok(proxy_connect_head(&arena, HS_SPAN("[::1]"), 65535, &plain, HS_SPAN(""), &out)));
    expect_span(out, "CONNECT [::1]:65535 HTTP/1.1\r\nHost: [::1]:65535\r\n\r\n");
    static const char *const bad[] = {"", "a b", "a\r\nb", "a/b", "a?b", "a#b", "u@a", "a\x80"};
    for (size_t i = 0; i < HS_ARRAY_LEN(bad); i++)
        cr_assert_eq(
            proxy_connect_head(&arena, hs_span_str(bad[i]), 1, &plain, HS_SPAN(""), &out).code,
            HS_E_USAGE, "%s", bad[i]);
    cr_assert_eq(proxy_connect_head(&arena, HS_SPAN("a"), 1, &plain, HS_SPAN("x\r\ny"), &out).code,
                 HS_E_USAGE);
}

/* Read `text` cut at `at`. */
static int answer(const char *text, size_t at, proxy_answer *a)
{
    hs_span all = hs_span_str(text);
    proxy_answer_init(a, &arena);
    hs_err err = proxy_answer_read(a, hs_span_of(all.ptr, at));
    if (hs_ok(err) && !a->open && at < all.len)
        err = proxy_answer_read(a, hs_span_from(all, at));
    cr_assert(hs_ok(err) || !a->open);
    return err.code;
}

static const struct {
    const char *text;
    int err;
    uint16_t status;
} answers[] = {
    {"HTTP/1.1 200 OK\r\n\r\n", 0, 200},
    {"HTTP/1.0 200 Connection established\r\nVia: x\r\n\r\n", 0, 200},
    {"HTTP/1.1 200 OK\nContent-Length: x\nA B\n\n", 0, 200},
    {"HTTP/1.1 299 \r\nTransfer-Encoding: chunked\r\n\r\n", 0, 299},
    {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", 0, 200},
    {"HTTP/1.1 103 Wait\r\nLink: x\r\n\r\nHTTP/1.1 100 Go\r\n\r\nHTTP/1.1 200 OK\r\n\r\n", 0, 200},
    {"HTTP/1.1 407 Who\r\nProxy-Authenticate: Basic\r\nContent-Length: 1\r\n\r\nx", -EACCES, 407},
    {"HTTP/1.1 403 No\r\n\r\n", -EACCES, 403},
    {"HTTP/1.1 502 Bad\r\n\r\nabc", -ECONNREFUSED, 502},
    {"HTTP/1.1 302 Go\r\nLocation: http://evil/\r\n\r\n", -ECONNREFUSED, 302},
    {"HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n", HS_E_PROTOCOL, 0},
    {"HTTP/1.1 1000\r\n\r\n", HS_E_PROTOCOL, 0},
    {"SSH-2.0-x\r\n", HS_E_PROTOCOL, 0},
};

Test(http_proxy, its_answer_is_read_in_any_split)
{
    static proxy_answer a;
    for (size_t i = 0; i < HS_ARRAY_LEN(answers); i++) {
        for (size_t at = 1; at <= strlen(answers[i].text); at++) {
            int err = answer(answers[i].text, at, &a);
            cr_assert_eq(err, answers[i].err, "%s at %zu: %d", answers[i].text, at, err);
            cr_assert_eq(a.open, err == 0);
            cr_assert_eq(a.status, answers[i].status, "%s at %zu", answers[i].text, at);
            hs_arena_reset(&arena);
        }
    }
}

Test(http_proxy, nobody_speaks_in_the_tunnel_before_us)
{
    static proxy_answer a;
    cr_assert_eq(answer("HTTP/1.1 200 OK\r\n\r\nx", 20, &a), HS_E_PROTOCOL);
}

Test(http_proxy, its_answer_is_limited)
{
    static proxy_answer a;
    static uint8_t junk[10000];
    memset(junk, 'x', sizeof junk);
    proxy_answer_init(&a, &arena);
    cr_assert(hs_ok(proxy_answer_read(&a, HS_SPAN("HTTP/1.1 200 OK\r\na: "))));
    cr_assert(hs_ok(proxy_answer_read(&a, hs_span_of(junk, 4000))));
    cr_assert(hs_ok(proxy_answer_read(&a, hs_span_of(junk, 4000))));
    cr_assert_eq(proxy_answer_read(&a, hs_span_of(junk, 4000)).code, HS_E_LIMIT);
    proxy_answer_init(&a, &arena);
    cr_assert_eq(proxy_answer_read(&a, hs_span_of(junk, sizeof junk)).code, HS_E_LIMIT);
    proxy_answer_init(&a, &arena);
    int err = 0, heads = 0;
    for (; err == 0 && heads < 20; heads++)
        err = proxy_answer_read(&a, HS_SPAN("HTTP/1.1 100 Go\r\n\r\n")).code;
    cr_assert_eq(err, HS_E_PROTOCOL);
    cr_assert_eq(heads, 9);
}

/* ---- SOCKS ---- */

Test(http_proxy, socks_says_no_more_than_its_answer)
{
    static const struct {
        const char *says[3];
        size_t lens[3];
    } scripts[] = {
        {{"\5\0\5"}, {3}},
        {{"\5\2\1"}, {3}},
        {{"\5\2", "\1\0\5"}, {2, 3}},
        {{"\5\2", "\1\0", "\5\0\0\1\1\2\3\4\0\120x"}, {2, 2, 11}},
        {{"\5\0", "\5\0\0\3\0\0\0\0"}, {2, 8}},
    };
    proxy_set set = read_env(ENV("all_proxy=socks5://u:p@proxy"));
    hs_url url;
    cr_assert(hs_ok(hs_url_parse(&url, &arena, HS_SPAN("http://h/"), NULL)));
    for (size_t i = 0; i < HS_ARRAY_LEN(scripts); i++) {
        static proxy_socks s;
        hs_span out;
        hs_err err = HS_OK;
        proxy_socks_begin(&s, &set.http, &url, &out);
        cr_assert(hs_span_eq(out, hs_span_of("\5\2\0\2", 4)));
        for (size_t k = 0; hs_ok(err); k++) {
            cr_assert(k < 3 && scripts[i].lens[k] > 0 && !s.open, "%zu", i);
            err = proxy_socks_read(&s, hs_span_of(scripts[i].says[k], scripts[i].lens[k]), &out);
        }
        cr_assert_eq(err.code, HS_E_PROTOCOL);
        cr_assert_str_eq(s.text, "it sent more than its answer");
    }
}

/* ---- memory ---- */

static hs_err scene_in(hs_arena *in)
{
    proxy_set set;
    hs_span out;
    static proxy_answer a;
    HS_TRY(proxy_set_read(
        &set, in, ENV("http_proxy=u:p@proxy:1", "https_proxy=ftp://q", "no_proxy=x,\xc3\xbc,y"),
        true));
    HS_TRY(proxy_connect_head(in, HS_SPAN("h"), 1, &set.http, HS_SPAN(""), &out));
    proxy_answer_init(&a, in);
    return proxy_answer_read(&a, HS_SPAN("HTTP/1.1 200 OK\r\n\r\n"));
}

Test(http_proxy, each_allocation_may_fail)
{
    hs_arena small;
    size_t room = 0;
    for (hs_err err = hs_err_of(-ENOMEM); !hs_ok(err); room += 16) {
        hs_arena_init(&small, &pool, room);
        err = scene_in(&small);
        cr_assert(hs_ok(err) || err.code == -ENOMEM, "%zu: %s", room, hs_err_name(err));
        hs_arena_reset(&small);
        cr_assert_lt(room, 100000);
    }
    cr_assert_gt(room, 8192);
}
