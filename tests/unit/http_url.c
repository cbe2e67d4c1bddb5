/* URLs: what the public list (url_list.py) does not look at. */
#include <criterion/criterion.h>
#include <errno.h>

#include "hs_url.h"

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

TestSuite(http_url, .init = setup, .fini = teardown);

static hs_url parse(const char *text)
{
    hs_url url;
    cr_assert(hs_ok(hs_url_parse(&url, &arena, hs_span_str(text), NULL)), "%s", text);
    return url;
}

static void expect_text(const hs_url *url, bool fragment, const char *want)
{
    hs_span text;
    cr_assert(hs_ok(hs_url_text(url, &arena, fragment, &text)));
    cr_assert(hs_span_eq(text, hs_span_str(want)), "%.*s", (int)text.len, (const char *)text.ptr);
}

Test(http_url, addresses_are_told_as_bytes)
{
    hs_url v4 = parse("http://0x7f.1/");
    cr_assert_eq(v4.host_kind, HS_URL_HOST_IPV4);
    cr_assert_arr_eq(v4.addr, "\x7f\x00\x00\x01", 4);
    hs_url v6 = parse("http://[::FFFF:10.0.0.1]/");
    cr_assert_eq(v6.host_kind, HS_URL_HOST_IPV6);
    cr_assert_arr_eq(v6.addr, "\0\0\0\0\0\0\0\0\0\0\xff\xff\x0a\0\0\x01", 16);
    expect_text(&v6, true, "http://[::ffff:a00:1]/");
}

Test(http_url, the_text_may_leave_out_the_fragment)
{
    hs_url url = parse("http://h/p?q#f");
    expect_text(&url, true, "http://h/p?q#f");
    expect_text(&url, false, "http://h/p?q");
}

Test(http_url, a_port_is_told_by_its_scheme_or_itself)
{
    hs_url http = parse("http://h"), https = parse("https://h"), own = parse("http://h:0443");
    hs_url other = parse("x://h");
    cr_assert_eq(hs_url_port(&http), 80);
    cr_assert_eq(hs_url_port(&https), 443);
    cr_assert_eq(hs_url_port(&own), 443);
    cr_assert_eq(hs_url_port(&other), 0);
}

Test(http_url, an_origin_is_scheme_host_and_port)
{
    hs_url a = parse("http://h/x"), b = parse("http://H:80/y"), c = parse("http://h:81/");
    hs_url d = parse("https://h:80/"), e = parse("http://g/"), file = parse("file:///x");
    cr_assert(hs_url_same_origin(&a, &b));
    cr_assert_not(hs_url_same_origin(&a, &c));
    cr_assert_not(hs_url_same_origin(&a, &d));
    cr_assert_not(hs_url_same_origin(&a, &e));
    cr_assert_not(hs_url_same_origin(&file, &file));
}

/* Names are compared as the URL Standard makes them: without case, by A-labels; the root's dot
 * makes another origin, as it does in browsers. */
Test(http_url, an_origin_is_of_one_host)
{
    static const struct {
        const char *a, *b;
        bool same;
    } pairs[] = {
        {"http://a.test/", "http://A.TEST:80/x", true},
        {"http://b\xc3\xbc"
         "cher.test",
         "http://XN--BCHER-KVA.Test/", true},
        {"http://b\xc3\xbc"
         "cher.test",
         "http://B\xc3\x9c"
         "CHER.TEST/",
         true},
        {"http://a.test./", "http://A.test./", true},
        {"http://a.test/", "http://a.test./", false},
        {"http://a.test./", "http://a.test../", false},
        {"http://a.test/", "http://a..test/", false},
        {"http://127.0.0.1/", "http://127.1./", true},
        {"http://127.0.0.1/", "http://0x7f000001/", true},
        {"http://[::1]/", "http://[0:0::1]/", true},
    };
    for (size_t i = 0; i < HS_ARRAY_LEN(pairs); i++) {
        hs_url a, b;
        cr_assert(hs_ok(hs_url_parse(&a, &arena, hs_span_str(pairs[i].a), NULL)), "%s", pairs[i].a);
        cr_assert(hs_ok(hs_url_parse(&b, &arena, hs_span_str(pairs[i].b), NULL)), "%s", pairs[i].b);
        cr_assert_eq(hs_url_same_origin(&a, &b), pairs[i].same, "%s %s", pairs[i].a, pairs[i].b);
    }
}

Test(http_url, a_url_above_the_limit_is_refused)
{
    static char text[HS_URL_BYTES_MAX + 2];
    hs_url url;
    memset(text, 'a', sizeof text - 1);
    memcpy(text, "http:", 5);
    cr_assert_eq(hs_url_parse(&url, &arena, hs_span_str(text), NULL).code, HS_E_LIMIT);
    text[HS_URL_BYTES_MAX] = '\0';
    cr_assert(hs_ok(hs_url_parse(&url, &arena, hs_span_str(text), NULL)));
}

Test(http_url, bad_bytes_become_replacement_characters)
{
    hs_url url = parse("http://h/\xf0\x9f\x98|\xff|\xed\xa0\x80");
    expect_text(&url, true, "http://h/%EF%BF%BD|%EF%BF%BD|%EF%BF%BD%EF%BF%BD%EF%BF%BD");
}

Test(http_url, percent_signs_without_digits_stay)
{
    hs_span out;
    cr_assert(hs_ok(hs_percent_decode(&arena, HS_SPAN("%41%4a%4%zz%"), &out)));
    cr_assert(hs_span_eq(out, HS_SPAN("AJ%4%zz%")));
}

/* Each allocation fails once. */
Test(http_url, without_memory_it_says_so)
{
    static const char *const texts[] = {"http://b\xc3\xbc.example/p?q#f", "http://[::1]/",
                                        "http://1.2.3.4/", "x://%41/"};
    for (size_t i = 0; i < HS_ARRAY_LEN(texts); i++) {
        size_t steps = 0;
        for (size_t bytes = 16; steps < 2; bytes += 16) {
            hs_url url;
            hs_span text;
            hs_arena small;
            hs_arena_init(&small, &pool, bytes);
            hs_err err = hs_url_parse(&url, &small, hs_span_str(texts[i]), NULL);
            if (hs_ok(err))
                err = hs_url_text(&url, &small, true, &text);
            cr_assert(hs_ok(err) || err.code == -ENOMEM);
            steps += hs_ok(err);
            hs_arena_reset(&small);
            cr_assert_lt(bytes, 4096);
        }
    }
}
