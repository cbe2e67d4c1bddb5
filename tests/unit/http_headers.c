/* The list of fields: fetch's rules, limits, and what no text may do to a message. */
#include <errno.h>

#include "core_help.h"
#include "hs_headers.h"

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

TestSuite(http_headers, .init = setup, .fini = teardown);

static hs_headers make(hs_headers_guard guard)
{
    hs_headers h;
    hs_headers_init(&h, &arena, guard);
    return h;
}

static int append(hs_headers *h, const char *name, const char *value)
{
    hs_err err = hs_headers_append(h, hs_span_str(name), hs_span_str(value));
    hs_headers_validate(h);
    return err.code;
}

static int set(hs_headers *h, const char *name, const char *value)
{
    hs_err err = hs_headers_set(h, hs_span_str(name), hs_span_str(value));
    hs_headers_validate(h);
    return err.code;
}

static uint32_t drop(hs_headers *h, const char *name)
{
    uint32_t removed = hs_headers_delete(h, hs_span_str(name));
    hs_headers_validate(h);
    return removed;
}

static void expect(const hs_headers *h, const char *name, const char *want)
{
    hs_span got;
    cr_assert(hs_ok(hs_headers_get(h, hs_span_str(name), &got)));
    cr_assert_eq(hs_headers_has(h, hs_span_str(name)), want != NULL, "%s", name);
    if (!want)
        cr_assert_null(got.ptr, "%s", name);
    else
        cr_assert(got.ptr && hs_span_eq(got, hs_span_str(want)), "%s: %.*s", name, (int)got.len,
                  (const char *)got.ptr);
}

/* The whole list as "name=value;". */
static void expect_all(const hs_headers *h, const char *want)
{
    char text[512];
    size_t at = 0;
    for (const hs_header *f = h->first; f; f = f->next) {
        at += (size_t)snprintf(text + at, sizeof text - at, "%.*s=%.*s;", (int)f->name.len,
                               (const char *)f->name.ptr, (int)f->value.len,
                               (const char *)f->value.ptr);
    }
    text[at] = '\0';
    cr_assert_str_eq(text, want);
}

Test(http_headers, fields_keep_their_order_and_take_the_first_ones_spelling)
{
    hs_headers h = make(HS_HEADERS_OWN);
    expect_all(&h, "");
    cr_assert_eq(append(&h, "Accept", "a"), 0);
    cr_assert_eq(append(&h, "X-Y", "1"), 0);
    cr_assert_eq(append(&h, "aCCEPT", "b"), 0);
    expect_all(&h, "Accept=a;X-Y=1;Accept=b;");
    cr_assert_eq(h.len, 3);
    cr_assert_eq(h.bytes, 2 * strlen("Accept: a\r\n") + strlen("X-Y: 1\r\n"));
}

Test(http_headers, values_of_one_name_are_combined)
{
    hs_headers h = make(HS_HEADERS_OWN);
    append(&h, "a", "1");
    expect(&h, "A", "1");
    append(&h, "b", "x");
    append(&h, "A", "");
    append(&h, "a", "3");
    expect(&h, "a", "1, , 3");
    expect(&h, "B", "x");
    expect(&h, "c", NULL);
    expect(&h, "", NULL);
    append(&h, "empty", "");
    expect(&h, "Empty", "");
}

Test(http_headers, fields_of_one_name_can_be_walked_over)
{
    hs_headers h = make(HS_HEADERS_OWN);
    append(&h, "Set-Cookie", "a=1, b");
    append(&h, "x", "y");
    append(&h, "set-cookie", "c=2");
    const hs_header *f = hs_headers_find(&h, HS_SPAN("SET-COOKIE"), NULL);
    cr_assert(f && hs_span_eq(f->value, HS_SPAN("a=1, b")));
    f = hs_headers_find(&h, HS_SPAN("SET-COOKIE"), f);
    cr_assert(f && hs_span_eq(f->value, HS_SPAN("c=2")));
    cr_assert_null(hs_headers_find(&h, HS_SPAN("SET-COOKIE"), f));
}

Test(http_headers, set_replaces_the_first_and_takes_out_the_others)
{
    hs_headers h = make(HS_HEADERS_OWN);
    append(&h, "A", "1");
    append(&h, "b", "2");
    append(&h, "a", "3");
    append(&h, "c", "4");
    append(&h, "a", "5");
    cr_assert_eq(set(&h, "a", "new"), 0);
    expect_all(&h, "A=new;b=2;c=4;");
    cr_assert_eq(set(&h, "d", "6"), 0);
    expect_all(&h, "A=new;b=2;c=4;d=6;");
    cr_assert_eq(append(&h, "e", "7"), 0);
    expect_all(&h, "A=new;b=2;c=4;d=6;e=7;");
}

Test(http_headers, a_default_gives_way_to_what_is_there)
{
    hs_headers h = make(HS_HEADERS_OWN);
    append(&h, "accept", "text/html");
    cr_assert(hs_ok(hs_headers_default(&h, HS_SPAN("Accept"), HS_SPAN("*/*"))));
    cr_assert(hs_ok(hs_headers_default(&h, HS_SPAN("User-Agent"), HS_SPAN("x"))));
    expect_all(&h, "accept=text/html;User-Agent=x;");
}

Test(http_headers, delete_takes_out_all_of_a_name)
{
    hs_headers h = make(HS_HEADERS_OWN);
    append(&h, "a", "1");
    append(&h, "A", "2");
    append(&h, "b", "3");
    append(&h, "a", "4");
    cr_assert_eq(drop(&h, "A"), 3);
    expect_all(&h, "b=3;");
    cr_assert_eq(drop(&h, "a"), 0);
    cr_assert_eq(append(&h, "c", "5"), 0);
    expect_all(&h, "b=3;c=5;");
    cr_assert_eq(drop(&h, "b"), 1);
    cr_assert_eq(drop(&h, "c"), 1);
    expect_all(&h, "");
    cr_assert_eq(append(&h, "d", "6"), 0);
    expect_all(&h, "d=6;");
}

Test(http_headers, values_are_trimmed_and_copied)
{
    hs_headers h = make(HS_HEADERS_OWN);
    char name[] = "a", value[] = "\r\n\t x y\t \r\n";
    cr_assert_eq(append(&h, name, value), 0);
    memset(name, 'z', 1);
    memset(value, 'z', sizeof value - 1);
    expect_all(&h, "a=x y;");
    cr_assert_eq(append(&h, "b", " \t\r\n"), 0);
    expect(&h, "b", "");
    cr_assert_eq(append(&h, "c", "x\ty\x80\xff"), 0);
    expect(&h, "c", "x\ty\x80\xff");
}

Test(http_headers, no_text_can_begin_another_line)
{
    hs_headers h = make(HS_HEADERS_OWN);
    for (unsigned c = 0; c < 256; c++) {
        uint8_t value[] = {'x', (uint8_t)c, 'y'};
        bool control = (c < 0x20 && c != '\t') || c == 0x7f;
        hs_err err = hs_headers_set(&h, HS_SPAN("a"), hs_span_of(value, 3));
        cr_assert_eq(err.code, control ? HS_E_USAGE : 0, "byte %u", c);
        uint8_t name[] = {'x', (uint8_t)c};
        bool token = c > 0x20 && c < 0x7f && !strchr("\"(),/:;<=>?@[\\]{}", (int)c);
        err = hs_headers_set(&h, hs_span_of(name, 2), HS_SPAN("v"));
        cr_assert_eq(err.code, token ? 0 : HS_E_USAGE, "byte %u", c);
        hs_headers_validate(&h);
        h = make(HS_HEADERS_OWN);
    }
    cr_assert_eq(append(&h, "", "x"), HS_E_USAGE);
    cr_assert_eq(append(&h, "a", "x\r\nHost: y"), HS_E_USAGE);
    cr_assert_eq(append(&h, "a: b\r\nc", "x"), HS_E_USAGE);
    expect_all(&h, "");
}

static const char *const forbidden[] = {
    "Connection", "content-length",      "EXPECT",           "Host", "HTTP2-Settings",
    "Keep-Alive", "Proxy-Authorization", "Proxy-Connection", "TE",   "Trailer",
    "Upgrade",    "Transfer-Encoding",
};

Test(http_headers, a_user_cannot_set_what_frames_a_message)
{
    hs_headers user = make(HS_HEADERS_REQUEST), own = make(HS_HEADERS_OWN);
    for (size_t i = 0; i < HS_ARRAY_LEN(forbidden); i++) {
        cr_assert_eq(append(&user, forbidden[i], "x"), HS_E_FORBIDDEN, "%s", forbidden[i]);
        cr_assert_eq(set(&user, forbidden[i], "x"), HS_E_FORBIDDEN, "%s", forbidden[i]);
        cr_assert_eq(append(&own, forbidden[i], "x"), 0, "%s", forbidden[i]);
    }
    cr_assert_eq(append(&user, "Hosts", "x"), 0);
    cr_assert_eq(append(&user, "Authorization", "x"), 0);
    cr_assert_eq(hs_headers_append_all(&user, &own).code, HS_E_FORBIDDEN);
    expect_all(&user, "Hosts=x;Authorization=x;");
    hs_headers copy = make(HS_HEADERS_OWN);
    cr_assert(hs_ok(hs_headers_append_all(&copy, &user)));
    expect_all(&copy, "Hosts=x;Authorization=x;");
}

Test(http_headers, fields_are_limited)
{
    hs_headers h = make(HS_HEADERS_OWN);
    for (uint32_t i = 0; i < HS_HEADERS_MAX; i++)
        cr_assert_eq(append(&h, "a", ""), 0);
    cr_assert_eq(append(&h, "a", ""), HS_E_LIMIT);
    cr_assert_eq(set(&h, "b", ""), HS_E_LIMIT);
    cr_assert_eq(h.len, HS_HEADERS_MAX);
    cr_assert_eq(set(&h, "a", "x"), 0);
    cr_assert_eq(append(&h, "b", ""), 0);
    expect_all(&h, "a=x;b=;");
}

Test(http_headers, bytes_are_limited)
{
    hs_headers h = make(HS_HEADERS_OWN);
    h.bytes_max = 10;
    cr_assert_eq(append(&h, "abc", "1234"), HS_E_LIMIT);
    cr_assert_eq(append(&h, "abcdefg", ""), HS_E_LIMIT);
    cr_assert_eq(append(&h, "abc", "123"), 0);
    cr_assert_eq(append(&h, "d", ""), HS_E_LIMIT);
    cr_assert_eq(set(&h, "abc", "1234"), HS_E_LIMIT);
    expect_all(&h, "abc=123;");
    cr_assert_eq(set(&h, "abc", "321"), 0);
    expect_all(&h, "abc=321;");
    h.bytes_max = 3;
    cr_assert_eq(append(&h, "d", ""), HS_E_LIMIT);
    cr_assert_eq(set(&h, "abc", ""), HS_E_LIMIT);
    static uint8_t large[HS_HEADERS_BYTES_MAX];
    memset(large, 'x', sizeof large);
    h = make(HS_HEADERS_OWN);
    hs_span fits = hs_span_of(large, sizeof large - 5);
    cr_assert_eq(hs_headers_append(&h, HS_SPAN("a"), hs_span_of(large, sizeof large - 4)).code,
                 HS_E_LIMIT);
    cr_assert(hs_ok(hs_headers_append(&h, HS_SPAN("a"), fits)));
    hs_headers_validate(&h);
}

static hs_err scene(const hs_mem *mem)
{
    static uint8_t large[3000];
    memset(large, 'x', sizeof large);
    hs_pool own;
    HS_TRY(hs_pool_init(&own, mem, HS_CHUNK_BYTES, 64));
    hs_arena in;
    hs_arena_init(&in, &own, 1 << 20);
    hs_headers h;
    hs_headers_init(&h, &in, HS_HEADERS_OWN);
    hs_err err = HS_OK;
    hs_span got;
    for (int i = 0; i < 4 && hs_ok(err); i++) {
        err = hs_headers_append(&h, HS_SPAN("a"), hs_span_of(large, sizeof large));
        hs_headers_validate(&h);
    }
    if (hs_ok(err))
        err = hs_headers_get(&h, HS_SPAN("a"), &got);
    uint32_t before = h.len;
    if (hs_ok(err)) {
        err = hs_headers_set(&h, HS_SPAN("a"), hs_span_of(large, 2999));
        cr_assert_eq(h.len, hs_ok(err) ? 1 : before);
    }
    hs_headers_validate(&h);
    hs_arena_reset(&in);
    hs_pool_fini(&own);
    return err;
}

Test(http_headers, each_allocation_may_fail)
{
    cr_assert_gt(fault_each(scene, false), 2);
}

Test(http_headers, an_arenas_limit_is_no_memory)
{
    hs_arena small;
    hs_arena_init(&small, &pool, 96);
    for (size_t room = 16; room <= 160; room += 16) {
        small.bytes_max = room;
        hs_headers h;
        hs_headers_init(&h, &small, HS_HEADERS_OWN);
        int err = append(&h, "a", "b");
        cr_assert_eq(err, room < 80 ? -ENOMEM : 0, "%zu: %d", room, err);
        cr_assert_eq(h.len, room < 80 ? 0 : 1);
        hs_arena_reset(&small);
    }
}
