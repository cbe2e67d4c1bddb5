/* Forms and queries: what is written, what is read, and that one is the way back of the other. */
#include <errno.h>

#include "core_help.h"
#include "hs_form.h"

static hs_pool pool;
static hs_arena arena;

static void setup(void)
{
    cr_assert(hs_ok(hs_pool_init(&pool, hs_mem_system(), HS_CHUNK_BYTES, 64)));
    hs_arena_init(&arena, &pool, 1 << 20);
}

static void teardown(void)
{
    hs_arena_reset(&arena);
    hs_pool_fini(&pool);
}

TestSuite(http_form, .init = setup, .fini = teardown);

static void expect_span(hs_span got, const char *want)
{
    cr_assert(got.ptr && hs_span_eq(got, hs_span_str(want)), "'%.*s', not '%s'", (int)got.len,
              (const char *)got.ptr, want);
}

static hs_pair pair_of(const char *name, const char *value)
{
    return (hs_pair){hs_span_str(name), hs_span_str(value)};
}

Test(http_form, pairs_are_written)
{
    const hs_pair pairs[] = {pair_of("a", "1"), pair_of("x y", "&=+%#?/"), pair_of("", ""),
                             pair_of("*-._~!'()", "\xc3\xa4\n")};
    hs_span out;
    cr_assert(hs_ok(hs_form_encode(&arena, pairs, HS_ARRAY_LEN(pairs), &out)));
    expect_span(out, "a=1&x+y=%26%3D%2B%25%23%3F%2F&=&*-._%7E%21%27%28%29=%C3%A4%0A");
    cr_assert(hs_ok(hs_form_encode(&arena, NULL, 0, &out)));
    expect_span(out, "");
}

Test(http_form, pairs_are_added)
{
    hs_span text = HS_SPAN("");
    cr_assert(hs_ok(hs_form_append(&arena, text, pair_of("a", "1"), &text)));
    expect_span(text, "a=1");
    cr_assert(hs_ok(hs_form_append(&arena, text, pair_of("b", "2 3"), &text)));
    expect_span(text, "a=1&b=2+3");
    cr_assert(hs_ok(hs_form_append(&arena, text, pair_of("", ""), &text)));
    expect_span(text, "a=1&b=2+3&=");
}

/* `want` has each pair as "name|value|". */
static void expect_read(const char *text, const char *want)
{
    hs_span rest = hs_span_str(text);
    hs_pair pair;
    char got[200];
    size_t at = 0;
    while (hs_ok(hs_form_next(&arena, &rest, &pair)))
        at += (size_t)snprintf(got + at, sizeof got - at, "%.*s|%.*s|", (int)pair.name.len,
                               (const char *)pair.name.ptr, (int)pair.value.len,
                               (const char *)pair.value.ptr);
    got[at] = '\0';
    cr_assert_str_eq(got, want, "%s: %s", text, got);
    cr_assert_eq(hs_form_next(&arena, &rest, &pair).code, HS_E_END);
}

Test(http_form, pairs_are_read)
{
    expect_read("", "");
    expect_read("&&", "");
    expect_read("a=1&b=2", "a|1|b|2|");
    expect_read("&a=1&&b=2&", "a|1|b|2|");
    expect_read("a", "a||");
    expect_read("a=", "a||");
    expect_read("=b", "|b|");
    expect_read("=", "||");
    expect_read("a=b=c", "a|b=c|");
    expect_read("x+y=%26%3d%2B%25", "x y|&=+%|");
    expect_read("a=%&b=%1&c=%zz&%4=%41%4", "a|%|b|%1|c|%zz|%4|A%4|");
    expect_read("?a=1", "?a|1|");
}

Test(http_form, nothing_behind_the_end_is_read)
{
    hs_pair pair;
    hs_span cut = hs_span_of("a=%41", 4);
    cr_assert(hs_ok(hs_form_next(&arena, &cut, &pair)));
    expect_span(pair.value, "%4");
    cut = hs_span_of("a%41", 2);
    cr_assert(hs_ok(hs_form_next(&arena, &cut, &pair)));
    expect_span(pair.name, "a%");
    expect_span(pair.value, "");
}

Test(http_form, every_byte_comes_back)
{
    uint8_t bytes[256];
    for (unsigned i = 0; i < 256; i++)
        bytes[i] = (uint8_t)i;
    const hs_pair all = {hs_span_of(bytes, 256), hs_span_of(bytes, 256)};
    hs_span text;
    hs_pair back;
    cr_assert(hs_ok(hs_form_encode(&arena, &all, 1, &text)));
    for (size_t i = 0; i < text.len; i++)
        cr_assert(text.ptr[i] > ' ' && text.ptr[i] < 0x7f);
    cr_assert(hs_ok(hs_form_next(&arena, &text, &back)));
    cr_assert(hs_span_eq(back.name, all.name) && hs_span_eq(back.value, all.value));
    cr_assert_eq(text.len, 0);
}

static hs_err scene(hs_arena *in)
{
    hs_span text;
    hs_pair pair;
    HS_TRY(hs_form_append(in, HS_SPAN("a=1"), pair_of("b", "2"), &text));
    return hs_form_next(in, &text, &pair);
}

Test(http_form, each_allocation_may_fail)
{
    hs_arena small;
    for (size_t room = 0; room <= 64; room += 16) {
        hs_arena_init(&small, &pool, room);
        cr_assert_eq(scene(&small).code, room < 64 ? -ENOMEM : 0, "%zu", room);
        hs_arena_reset(&small);
    }
    const hs_pair huge = {hs_span_of("", SIZE_MAX / 16), HS_SPAN("")};
    hs_span out;
    cr_assert_eq(hs_form_encode(&arena, &huge, 1, &out).code, -ENOMEM);
}
