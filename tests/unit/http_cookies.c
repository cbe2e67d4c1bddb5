/* The cookie jar: what is a cookie, whose it is, how long it lives, and who gets it back. */
#include <errno.h>

#include "cookie.h"
#include "core_help.h"

#define NOW INT64_C(1700000000)

static hs_pool pool;
static hs_arena arena;
static hs_cookies *jar;

static void setup(void)
{
    cr_assert(hs_ok(hs_pool_init(&pool, hs_mem_system(), HS_CHUNK_BYTES, 256)));
    hs_arena_init(&arena, &pool, 16 << 20);
    cr_assert(hs_ok(hs_cookies_create(&jar, hs_mem_system())));
}

static void teardown(void)
{
    hs_cookies_destroy(jar);
    hs_arena_reset(&arena);
    hs_pool_fini(&pool);
}

TestSuite(http_cookies, .init = setup, .fini = teardown);

static hs_url url_of(const char *text)
{
    hs_url url;
    cr_assert(hs_ok(hs_url_parse(&url, &arena, hs_span_str(text), NULL)), "%s", text);
    return url;
}

static int set_at(const char *from, const char *text, int64_t now)
{
    hs_url url = url_of(from);
    hs_err err = hs_cookies_set(jar, &url, hs_span_str(text), now);
    hs_cookies_validate(jar);
    return err.code;
}

static int set(const char *from, const char *text)
{
    return set_at(from, text, NOW);
}

static void expect_at(const char *to, const char *want, int64_t now)
{
    hs_url url = url_of(to);
    hs_span out;
    cr_assert(hs_ok(hs_cookies_get(jar, &url, now, 8192, &arena, &out)));
    hs_cookies_validate(jar);
    cr_assert(hs_span_eq(out, hs_span_str(want)), "%s: '%.*s', not '%s'", to, (int)out.len,
              (const char *)out.ptr, want);
}

static void expect(const char *to, const char *want)
{
    expect_at(to, want, NOW);
}

/* ---- syntax ---- */

static const struct {
    const char *text, *sent;
} pairs[] = {
    {"a=b", "a=b"},
    {" \ta = b c\t ;", "a=b c"},
    {"a=b=c", "a=b=c"},
    {"a=\"q\"", "a=\"q\""},
    {"a=", "a="},
    {"=b", "b"},
    {"b", "b"},
    {"a;=x", "a"},
    {"a=b; unknown; x=y;;;", "a=b"},
    {"a=\xc3\xa4", "a=\xc3\xa4"},
    {"a=b\tc", "a=b\tc"},
};

Test(http_cookies, a_pair_is_split_and_trimmed)
{
    for (size_t i = 0; i < HS_ARRAY_LEN(pairs); i++) {
        cr_assert_eq(set("http://h/", pairs[i].text), 0, "%s", pairs[i].text);
        expect("http://h/", pairs[i].sent);
        hs_cookies_clear(jar);
    }
}

Test(http_cookies, what_is_no_cookie_is_refused)
{
    static const char *const bad[] = {"",       "=",       ";",       " = ; Path=/",
                                      "a=b\nc", "a=b\r\n", "a\x7f=b", "a=b; x=\x01"};
    for (size_t i = 0; i < HS_ARRAY_LEN(bad); i++)
        cr_assert_eq(set("http://h/", bad[i]), HS_E_USAGE, "%s", bad[i]);
    hs_url url = url_of("http://h/");
    cr_assert_eq(hs_cookies_set(jar, &url, hs_span_of("a=\0", 3), NOW).code, HS_E_USAGE);
    cr_assert_eq(hs_cookies_len(jar), 0);
}

Test(http_cookies, its_size_is_limited)
{
    static char text[6000];
    memset(text, 'x', sizeof text - 1);
    text[1] = '=';
    text[4098] = '\0';
    cr_assert_eq(set("http://h/", text), HS_E_USAGE);
    text[4097] = '\0';
    cr_assert_eq(set("http://h/", text), 0);
    hs_cookies_clear(jar);
    /* An attribute that is too long is none. */
    memset(text, 'x', 2000);
    memcpy(text, "a=b; Path=/", 11);
    text[10 + HS_COOKIE_ATTRIBUTE_BYTES_MAX] = '\0';
    cr_assert_eq(set("http://h/", text), 0);
    expect("http://h/y", "");
    text[10 + HS_COOKIE_ATTRIBUTE_BYTES_MAX] = 'x';
    text[11 + HS_COOKIE_ATTRIBUTE_BYTES_MAX] = '\0';
    cr_assert_eq(set("http://h/", text), 0);
    expect("http://h/y", "a=b");
}

/* ---- dates ---- */

static const struct {
    const char *text;
    int64_t seconds; /* -1: no date */
} dates[] = {
    {"Thu, 01 Jan 1970 00:00:00 GMT", 0},
    {"Wed, 09 Jun 2021 10:18:14 GMT", 1623233894},
    {"Wednesday, 09-Jun-21 10:18:14 GMT", 1623233894},
    {"Wed Jun  9 10:18:14 2021", 1623233894},
    {"10:18:14 2021 jun 9", 1623233894},
    {"9 JUNE 2021 10:18:14", 1623233894},
    {"Thu, 29 Feb 2024 00:00:00", 1709164800},
    {"29 Feb 2000 1:2:3", 951786123},
    {"31 Dec 1969 23:59:59", -1 /* fine, and before 1970 */},
    {"1 Jan 70 0:0:1", 1},
    {"1 Jan 69 0:0:0", 3124224000},
    {"19 Jan 2038 03:14:08", 2147483648},
    {"31 Dec 9999 23:59:59", 253402300799},
    {"1 Jan 2021 10:18:14pm", 1609496294},
    {"29 Feb 2023 00:00:00", -1},
    {"29 Feb 1900 00:00:00", -1},
    {"31 Apr 2023 00:00:00", -1},
    {"0 Jan 2023 00:00:00", -1},
    {"32 Jan 2023 00:00:00", -1},
    {"1 Jan 1600 00:00:00", -1},
    {"1 Jan 2023 24:00:00", -1},
    {"1 Jan 2023 23:60:00", -1},
    {"1 Jan 2023 23:59:60", -1},
    {"1 Jan 2023 23:59", -1},
    {"1 Jan 2023", -1},
    {"Jan 2023 00:00:00", -1},
    {"1 2023 00:00:00", -1},
    {"1 Jan 00:00:00", -1},
    {"1 Ja 2023 00:00:00", -1},
    {"1 Jan 20230 00:00:00", -1},
    {"", -1},
    {"tomorrow", -1},
};

Test(http_cookies, dates_are_read_as_everyone_writes_them)
{
    for (size_t i = 0; i < HS_ARRAY_LEN(dates); i++) {
        int64_t seconds = -1;
        bool ok = cookie_date(hs_span_str(dates[i].text), &seconds);
        cr_assert_eq(ok, dates[i].seconds >= 0 || strstr(dates[i].text, "1969"), "%s",
                     dates[i].text);
        cr_assert_eq(seconds, dates[i].seconds, "%s: %lld", dates[i].text, (long long)seconds);
    }
}

Test(http_cookies, a_cookie_lives_as_long_as_it_says)
{
    cr_assert_eq(set("http://h/", "session=1"), 0);
    cr_assert_eq(set("http://h/", "age=2; Max-Age=100; Expires=Thu, 01 Jan 1970 00:00:00 GMT"), 0);
    cr_assert_eq(set("http://h/", "date=3; expires=Tue, 14 Nov 2023 22:15:00 GMT"), 0);
    cr_assert_eq(set("http://h/", "odd=4; Max-Age=x1; Expires=never; Max-Age=; Max-Age=1x"), 0);
    cr_assert_eq(set("http://h/", "long=5; Max-Age=99999999999999999999999999"), 0);
    expect_at("http://h/", "session=1; age=2; date=3; odd=4; long=5", NOW + 99);
    expect_at("http://h/", "session=1; odd=4; long=5", NOW + 100);
    expect_at("http://h/", "session=1; odd=4; long=5", NOW + 400 * 86400 - 1);
    expect_at("http://h/", "session=1; odd=4", NOW + 400 * 86400);
}

Test(http_cookies, what_is_over_takes_its_older_self_away)
{
    static const char *const over[] = {"a=; Max-Age=0", "a=x; max-age=-5",
                                       "a=x; Expires=Thu, 01 Jan 1970 00:00:00 GMT"};
    for (size_t i = 0; i < HS_ARRAY_LEN(over); i++) {
        cr_assert_eq(set("http://h/", "a=b"), 0);
        cr_assert_eq(set("http://h/", "b=c"), 0);
        cr_assert_eq(set("http://h/", over[i]), 0);
        expect("http://h/", "b=c");
        hs_cookies_clear(jar);
    }
    cr_assert_eq(set("http://h/", "a=b; Max-Age=0"), 0);
    cr_assert_eq(set("http://h/", "a=b; Expires=Tue, 14 Nov 2023 22:13:20 GMT"), 0); /* now */
    cr_assert_eq(hs_cookies_len(jar), 0);
}

/* ---- whose it is ---- */

Test(http_cookies, without_a_domain_it_is_the_hosts_alone)
{
    cr_assert_eq(set("http://example.com/", "a=b"), 0);
    expect("http://example.com/", "a=b");
    expect("http://example.com:81/", "a=b");
    expect("https://example.com/", "a=b");
    expect("http://www.example.com/", "");
    expect("http://com/", "");
    cr_assert_eq(set("http://example.com/", "a=c; Domain=x.com; Domain="), 0);
    expect("http://example.com/", "a=c");
    expect("http://www.example.com/", "");
}

Test(http_cookies, with_a_domain_it_is_for_all_below)
{
    cr_assert_eq(set("http://www.example.com/", "a=b; Domain=.EXAMPLE.com"), 0);
    expect("http://example.com/", "a=b");
    expect("http://a.b.example.com/", "a=b");
    expect("http://badexample.com/", "");
    expect("http://example.com.evil.org/", "");
    expect("http://example.org/", "");
}

Test(http_cookies, nobody_sets_a_cookie_for_strangers)
{
    static const char *const bad[][2] = {
        {"http://example.com/", "a=b; Domain=www.example.com"},
        {"http://example.com/", "a=b; Domain=example.org"},
        {"http://badexample.com/", "a=b; Domain=example.com"},
        {"http://example.com/", "a=b; Domain=com"},
        {"http://example.com/", "a=b; Domain=.com"},
        {"http://example.co.uk/", "a=b; Domain=co.uk"},
        {"http://user.github.io/", "a=b; Domain=github.io"},
        {"http://foo.co.uk./", "a=b; Domain=co.uk."},
        {"http://foo.co.uk./", "a=b; Domain=.CO.UK."},
        {"http://foo.co.uk./", "a=b; Domain=co.uk"},
        {"http://foo.co.uk/", "a=b; Domain=co.uk."},
        {"http://foo.co.uk./", "a=b; Domain=uk."},
        {"http://user.github.io./", "a=b; Domain=github.io."},
        {"http://foo.xn--p1ai./", "a=b; Domain=xn--p1ai."},
        {"http://foo.xn--55qx5d.cn./", "a=b; Domain=XN--55qx5d.cn."},
        {"http://foo.co.uk../", "a=b; Domain=co.uk.."},
        {"http://foo.co.uk../", "a=b; Domain=foo.co.uk.."},
        {"http://a..co.uk/", "a=b; Domain=..co.uk"},
        {"http://a..com/", "a=b; Domain=a..com"},
        {"http://foo.com./", "a=b; Domain=foo.com"},
        {"http://foo.com/", "a=b; Domain=foo.com."},
        {"http://a.internal/", "a=b; Domain=internal"},
        {"http://example.com/", "a=b; Domain=..example.com"},
        {"http://example.com/", "a=b; Domain=example.com."},
        {"http://1.2.3.4/", "a=b; Domain=2.3.4"},
        {"http://1.2.3.4/", "a=b; Domain=3.4"},
        {"http://[::1]/", "a=b; Domain=1]"},
    };
    for (size_t i = 0; i < HS_ARRAY_LEN(bad); i++)
        cr_assert_eq(set(bad[i][0], bad[i][1]), HS_E_FORBIDDEN, "%s %s", bad[i][0], bad[i][1]);
    cr_assert_eq(hs_cookies_len(jar), 0);
    char text[300] = "a=b; Domain=";
    memset(text + 12, 'x', 280);
    cr_assert_eq(set("http://example.com/", text), HS_E_FORBIDDEN);
}

Test(http_cookies, a_public_suffix_may_have_its_own)
{
    cr_assert_eq(set("http://github.io/", "a=b; Domain=github.io"), 0);
    expect("http://github.io/", "a=b");
    expect("http://user.github.io/", "");
    cr_assert_eq(set("http://github.io./", "g=h; Domain=github.io."), 0);
    expect("http://github.io./", "g=h");
    expect("http://user.github.io./", "");
    cr_assert_eq(set("http://localhost/", "c=d; Domain=localhost"), 0);
    expect("http://localhost/", "c=d");
    cr_assert_eq(set("http://1.2.3.4/", "e=f; Domain=1.2.3.4"), 0);
    expect("http://1.2.3.4/", "e=f");
}

Test(http_cookies, a_path_is_a_folder)
{
    cr_assert_eq(set("http://h/x/y", "default=1"), 0);
    cr_assert_eq(set("http://h/x/y", "bad=2; Path=x"), 0);
    cr_assert_eq(set("http://h/x/y", "deep=3; Path=/x/y"), 0);
    cr_assert_eq(set("http://h/x/y", "slash=4; Path=/x/y/"), 0);
    cr_assert_eq(set("http://h/x", "root=5"), 0);
    expect("http://h/", "root=5");
    expect("http://h/xy", "root=5");
    expect("http://h/x", "default=1; bad=2; root=5");
    expect("http://h/x/y", "deep=3; default=1; bad=2; root=5");
    expect("http://h/x/y/z", "slash=4; deep=3; default=1; bad=2; root=5");
    expect("http://h/x/yz", "default=1; bad=2; root=5");
}

Test(http_cookies, secure_is_for_https_and_by_https)
{
    cr_assert_eq(set("http://h.com/", "a=b; Secure"), HS_E_FORBIDDEN);
    cr_assert_eq(set("https://h.com/", "a=b; SECURE; Domain=h.com"), 0);
    expect("https://h.com/", "a=b");
    expect("http://h.com/", "");
    /* Plain http cannot hide it, neither here nor below. */
    cr_assert_eq(set("http://h.com/", "a=evil"), HS_E_FORBIDDEN);
    cr_assert_eq(set("http://x.h.com/", "a=evil"), HS_E_FORBIDDEN);
    cr_assert_eq(set("http://x.h.com/", "a=evil; Domain=h.com; Path=/x"), HS_E_FORBIDDEN);
    cr_assert_eq(set("http://h.com/", "b=fine"), 0);
    cr_assert_eq(set("http://other.com/", "a=fine"), 0);
    cr_assert_eq(set("https://h.com/", "a=c; Domain=h.com"), 0);
    expect("http://h.com/", "a=c; b=fine");
}

Test(http_cookies, names_keep_their_promise)
{
    cr_assert_eq(set("https://h.com/", "__Secure-a=b"), HS_E_FORBIDDEN);
    cr_assert_eq(set("https://h.com/", "__SECURE-a=b"), HS_E_FORBIDDEN);
    cr_assert_eq(set("https://h.com/", "__Host-a=b; Secure"), HS_E_FORBIDDEN);
    cr_assert_eq(set("https://h.com/", "__Host-a=b; Path=/"), HS_E_FORBIDDEN);
    cr_assert_eq(set("https://h.com/", "__host-a=b; Secure; Path=/x"), HS_E_FORBIDDEN);
    cr_assert_eq(set("https://h.com/", "__Host-a=b; Secure; Path=/; Domain=h.com"), HS_E_FORBIDDEN);
    cr_assert_eq(set("https://h.com/", "=__Host-a=b"), HS_E_FORBIDDEN);
    cr_assert_eq(set("https://h.com/", "__Http-a=b; Secure"), HS_E_FORBIDDEN);
    cr_assert_eq(set("https://h.com/", "__HTTP-a=b; HttpOnly"), HS_E_FORBIDDEN);
    cr_assert_eq(set("https://h.com/", "=__Http-a=b"), HS_E_FORBIDDEN);
    cr_assert_eq(set("https://h.com/", "__Host-Http-a=b; Secure; Path=/"), HS_E_FORBIDDEN);
    cr_assert_eq(set("https://h.com/", "__Host-Http-a=b; HttpOnly; Secure"), HS_E_FORBIDDEN);
    cr_assert_eq(set("https://h.com/", "__Secure-a"), HS_E_FORBIDDEN);
    cr_assert_eq(set("https://h.com/", "a=b; SameSite=None"), HS_E_FORBIDDEN);
    cr_assert_eq(hs_cookies_len(jar), 0);
    cr_assert_eq(set("https://h.com/", "__Secure-a=b; Secure"), 0);
    cr_assert_eq(set("https://h.com/", "__Host-a=b; Secure; Path=/"), 0);
    expect("https://h.com/", "__Secure-a=b; __Host-a=b");
}

static void keep_last(const hs_cookie *c, void *ctx)
{
    *(hs_cookie *)ctx = *c;
}

Test(http_cookies, what_the_caller_may_want_to_know_is_kept)
{
    hs_cookie c = {.path = {NULL, 0}};
    cr_assert_eq(set("https://h.com/", "a=b; HttpOnly; samesite=STRICT; Max-Age=5; Secure"), 0);
    hs_cookies_each(jar, NOW, keep_last, &c);
    cr_assert(c.http_only && c.secure && c.host_only);
    cr_assert_eq(c.same_site, HS_SAME_SITE_STRICT);
    cr_assert_eq(c.expires_s, NOW + 5);
    c.same_site = 99;
    hs_cookies_each(jar, NOW + 5, keep_last, &c);
    cr_assert_eq(c.same_site, 99);
    cr_assert_eq(set("https://h.com/", "a=b; SameSite=Lax; SameSite=odd"), 0);
    hs_cookies_each(jar, NOW, keep_last, &c);
    cr_assert_eq(c.same_site, HS_SAME_SITE_DEFAULT);
    cr_assert_eq(c.expires_s, INT64_MAX);
}

/* ---- order, number ---- */

Test(http_cookies, a_new_value_keeps_the_old_place)
{
    set("http://h/", "a=1");
    set("http://h/", "b=2");
    set("http://h/", "a=3");
    set("http://h/", "A=4");
    expect("http://h/", "a=3; b=2; A=4");
    set("http://h/", "a=5; Path=/x");
    cr_assert_eq(hs_cookies_len(jar), 4);
    expect("http://h/x", "a=5; a=3; b=2; A=4");
}

Test(http_cookies, what_does_not_fit_is_left_out)
{
    hs_url url = url_of("http://h/");
    hs_span out;
    set("http://h/", "a=1");
    set("http://h/", "long=12345");
    set("http://h/", "b=2");
    static const char *const want[] = {"", "", "", "a=1", "a=1", "a=1", "a=1", "a=1", "a=1; b=2"};
    for (size_t max = 0; max < HS_ARRAY_LEN(want); max++) {
        cr_assert(hs_ok(hs_cookies_get(jar, &url, NOW, max, &arena, &out)));
        cr_assert(hs_span_eq(out, hs_span_str(want[max])), "%zu", max);
    }
}

Test(http_cookies, a_domain_has_so_many)
{
    char text[64];
    set("https://h.com/", "old=0; Secure; Path=/old");
    set("https://h.com/", "secure=1; Secure");
    for (int i = 0; i < HS_COOKIES_DOMAIN_MAX - 2; i++) {
        snprintf(text, sizeof text, "c%d=%d; Path=/p%d", i, i, i);
        cr_assert_eq(set("https://h.com/", text), 0);
    }
    expect("https://h.com/p0", "c0=0; secure=1");
    cr_assert_eq(set("https://h.com/", "new=1; Path=/new"), 0);
    cr_assert_eq(hs_cookies_len(jar), HS_COOKIES_DOMAIN_MAX);
    /* c1 was not used for longest, but for the secure one; c0 was just now. */
    expect("https://h.com/old", "old=0; secure=1");
    expect("https://h.com/p0", "c0=0; secure=1");
    expect("https://h.com/p1", "secure=1");
    expect("https://h.com/p2", "c2=2; secure=1");
    expect("https://h.com/new", "new=1; secure=1");
}

Test(http_cookies, a_jar_has_so_many)
{
    char from[40];
    for (int i = 0; i < HS_COOKIES_MAX; i++) {
        snprintf(from, sizeof from, "http://h%d.com/", i);
        cr_assert_eq(set(from, i == 500 ? "a=b; Max-Age=10" : "a=b"), 0);
    }
    expect("http://h0.com/", "a=b");
    cr_assert_eq(set("http://x.com/", "a=b"), 0);
    cr_assert_eq(hs_cookies_len(jar), HS_COOKIES_MAX);
    expect("http://h0.com/", "a=b");
    expect("http://h1.com/", "");
    expect("http://h2.com/", "a=b");
    /* What is over goes before anything else. */
    cr_assert_eq(set_at("http://y.com/", "a=b", NOW + 10), 0);
    expect("http://h3.com/", "a=b");
    expect("http://h500.com/", "");
}

/* ---- memory ---- */

static hs_err scene(const hs_mem *mem)
{
    hs_cookies *own;
    hs_url url = url_of("http://h/");
    HS_TRY(hs_cookies_create(&own, mem));
    hs_err err = hs_cookies_set(own, &url, HS_SPAN("a=b"), NOW);
    if (hs_ok(err))
        err = hs_cookies_set(own, &url, HS_SPAN("a=c"), NOW);
    hs_cookies_validate(own);
    hs_cookies_destroy(own);
    return err;
}

Test(http_cookies, each_allocation_may_fail)
{
    cr_assert_eq(fault_each(scene, false), 4);
    hs_arena small;
    hs_url url = url_of("http://h/");
    hs_span out;
    set("http://h/", "a=b");
    hs_arena_init(&small, &pool, 8);
    cr_assert_eq(hs_cookies_get(jar, &url, NOW, 100, &small, &out).code, -ENOMEM);
    hs_arena_init(&small, &pool, 16);
    cr_assert_eq(hs_cookies_get(jar, &url, NOW, 100, &small, &out).code, -ENOMEM);
    hs_arena_reset(&small);
    hs_cookies_destroy(NULL);
}
