/* Texts as documents: what is JSON, what is not and where, limits, and memory that runs out. */
#include <errno.h>
#include <math.h>
#include <yyjson.h>

#include "core_help.h"
#include "hs_json.h"
#include "hs_limits.h"

static yyjson_doc *parsed(const char *text)
{
    yyjson_doc *doc = NULL;
    hs_json_error e = {0};
    hs_err err = hs_json_parse(hs_mem_system(), hs_span_str(text), NULL, &doc, &e);
    cr_assert(hs_ok(err), "%s: %s at %zu: %s", text, hs_err_name(err), e.offset, e.text);
    return doc;
}

/* ---- what is JSON ---- */

Test(app_json, values_are_read)
{
    yyjson_doc *doc =
        parsed(" {\"n\": null, \"t\": true, \"f\": false, \"i\": -12,\r\n\t\"d\": 2.5e3,"
               "\"big\": 18446744073709551615, \"s\": \"a\\u00e9\\ud83d\\ude00\\u0000b\","
               " \"l\": [1, [], {}], \"\": 7, \"i\": 13} \n");
    yyjson_val *root = yyjson_doc_get_root(doc);
    cr_assert(yyjson_is_null(yyjson_obj_get(root, "n")));
    cr_assert(yyjson_get_bool(yyjson_obj_get(root, "t")));
    cr_assert(yyjson_is_false(yyjson_obj_get(root, "f")));
    cr_assert_eq(yyjson_get_sint(yyjson_obj_get(root, "i")), -12); /* the first of two */
    cr_assert_eq(yyjson_obj_size(root), 10);
    cr_assert_float_eq(yyjson_get_real(yyjson_obj_get(root, "d")), 2500, 1e-9);
    cr_assert_eq(yyjson_get_uint(yyjson_obj_get(root, "big")), UINT64_MAX);
    yyjson_val *s = yyjson_obj_get(root, "s");
    cr_assert_eq(yyjson_get_len(s), 9);
    cr_assert_eq(memcmp(yyjson_get_str(s), "a\xc3\xa9\xf0\x9f\x98\x80\0b", 9), 0);
    cr_assert_eq(yyjson_arr_size(yyjson_obj_get(root, "l")), 3);
    cr_assert_eq(yyjson_get_int(yyjson_obj_get(root, "")), 7);
    yyjson_doc_free(doc);
}

Test(app_json, a_text_is_any_value)
{
    static const char *const texts[] = {
        "0",         "-0.0", "\"\"",  "null",           "true",
        " \t\r\n[]", "{} ",  "1e308", "\xef\xbb\xbf{}", "\"\x7f\xef\xbf\xbf\""};
    for (size_t i = 0; i < HS_ARRAY_LEN(texts); i++)
        yyjson_doc_free(parsed(texts[i]));
}

/* The text is neither needed afterwards nor written to. */
Test(app_json, a_document_has_its_own_memory)
{
    char text[] = "[\"a\\nb\", \"c\"]", before[sizeof text];
    yyjson_doc *doc;
    memcpy(before, text, sizeof text);
    hs_err err = hs_json_parse(hs_mem_system(), hs_span_str(text), NULL, &doc, NULL);
    cr_assert(hs_ok(err));
    cr_assert_eq(memcmp(text, before, sizeof text), 0);
    memset(text, 'x', sizeof text);
    yyjson_val *root = yyjson_doc_get_root(doc);
    cr_assert_str_eq(yyjson_get_str(yyjson_arr_get(root, 0)), "a\nb");
    cr_assert_str_eq(yyjson_get_str(yyjson_arr_get(root, 1)), "c");
    yyjson_doc_free(doc);
}

/* ---- what is not ---- */

typedef struct bad {
    const char *text;
    size_t line, column;
    const char *why;
} bad;

static const bad bads[] = {
    {"", 1, 1, "is empty"},
    {"\xef\xbb\xbf", 1, 4, "is empty"},
    {" \n ", 1, 1, "empty"},
    {"x", 1, 1, "unexpected character"},
    {"[1,]", 1, 3, "trailing comma"},
    {"[,1]", 1, 2, "unexpected character"},
    {"[1 2]", 1, 4, "comma or a closing bracket"},
    {"{\"a\":1,}", 1, 7, "trailing comma"},
    {"{\"a\" 1}", 1, 6, "colon"},
    {"{\"a\":}", 1, 6, "unexpected character"},
    {"{a:1}", 1, 2, "string for object key"},
    {"{1:1}", 1, 2, "string for object key"},
    {"{'a':1}", 1, 2, "string for object key"},
    {"{\n  \"a\": 1\n  \"b\": 2}", 3, 3, "comma or a closing brace"},
    {"[1] [2]", 1, 5, "after document"},
    {"[1]x", 1, 4, "after document"},
    {"{}\n\n}", 3, 1, "after document"},
    {"\xef\xbb\xbf[1}", 1, 6, "unexpected character"},
    {"\xef\xbb\xbf\xef\xbb\xbf[]", 1, 4, "byte order mark"},
    {"[// no\n1]", 1, 2, "unexpected character"},
    {"/* no */ 1", 1, 1, "unexpected character"},
    {"nul", 1, 4, "unexpected end"},
    {"[tru]", 1, 2, "true"},
    {"[NaN]", 1, 2, "unexpected character"},
    {"[Infinity]", 1, 2, "unexpected character"},
    {"[-]", 1, 3, "no digit"},
    {"[+1]", 1, 2, "unexpected character"},
    {"[.5]", 1, 2, "unexpected character"},
    {"[5.]", 1, 4, "no digit"},
    {"[1e]", 1, 4, "no digit"},
    {"[01]", 1, 2, "leading zero"},
    {"[0x10]", 1, 3, "unexpected character"},
    {"[1e999]", 1, 2, "infinity"},
    {"[\"a\nb\"]", 1, 4, "control character"},
    {"[\"\\x41\"]", 1, 4, "escape"},
    {"[\"\\u12g4\"]", 1, 3, "escape"},
    {"[\"\\ud800\"]", 1, 9, "surrogate"},
    {"[\"\\udc00\"]", 1, 3, "surrogate"},
    {"[\"\\ud800\\u0041\"]", 1, 9, "surrogate"},
    {"[\"abc", 1, 6, "unexpected end"},
    {"[[[", 1, 4, "unexpected end"},
    {"]", 1, 1, "unexpected character"},
};

static void expect_bad(hs_span text, size_t line, size_t column, const char *why)
{
    yyjson_doc *doc = NULL;
    hs_json_error e = {0};
    hs_err err = hs_json_parse(hs_mem_system(), text, NULL, &doc, &e);
    cr_assert_eq(err.code, HS_E_JSON, "'%s': %s", (const char *)text.ptr, hs_err_name(err));
    cr_assert_null(doc);
    cr_assert(e.offset <= text.len);
    cr_assert(line == 0 || (e.line == line && e.column == column), "'%s': %zu:%zu: %s",
              (const char *)text.ptr, e.line, e.column, e.text);
    cr_assert(strstr(e.text, why), "'%s': %s", (const char *)text.ptr, e.text);
}

Test(app_json, each_bad_text_with_its_error)
{
    for (size_t i = 0; i < HS_ARRAY_LEN(bads); i++)
        expect_bad(hs_span_str(bads[i].text), bads[i].line, bads[i].column, bads[i].why);
    expect_bad(hs_span_of("[1\0]", 4), 1, 3, "unexpected character");
    expect_bad(hs_span_of("[]\0", 3), 1, 3, "after document");
    expect_bad(hs_span_of(NULL, 0), 1, 1, "is empty");
    hs_err err = hs_json_parse(hs_mem_system(), HS_SPAN("[1"), NULL, &(yyjson_doc *){NULL}, NULL);
    cr_assert_eq(err.code, HS_E_JSON);
}

/* Section 3 of RFC 3629, and what it leaves out. */
Test(app_json, bytes_that_are_no_utf8)
{
    static const char *const texts[] = {
        "\x80",
        "\xbf", /* begins nothing */
        "\xc3",
        "\xe2\x82",
        "\xf0\x9f\x98", /* cut */
        "\xc0\xaf",
        "\xe0\x80\xaf",
        "\xf0\x80\x80\xaf", /* too long */
        "\xed\xa0\x80",
        "\xed\xbf\xbf", /* surrogates */
        "\xf4\x90\x80\x80",
        "\xf5\x80\x80\x80",
        "\xff", /* past U+10FFFF */
    };
    for (size_t i = 0; i < HS_ARRAY_LEN(texts); i++) {
        char text[32];
        snprintf(text, sizeof text, "[\"abc%sd\"]", texts[i]);
        expect_bad(hs_span_str(text), 1, 6, "UTF-8");
        snprintf(text, sizeof text, "{\"%s\":1}", texts[i]);
        expect_bad(hs_span_str(text), 1, 3, "UTF-8");
    }
}

/* Wherever a text ends too early it is not taken for whole. */
Test(app_json, cut_at_each_byte)
{
    const char *text =
        "{\"a\": [1, -2.5e-3, true, null], \"b\\u00e9\\\"\": {\"c\": \"\xe2\x82\xac\"}}";
    size_t len = strlen(text);
    for (size_t n = 0; n < len; n++) {
        char *cut = malloc(n + 1); /* what lies behind is seen by ASan */
        memcpy(cut, text, n);
        hs_json_error e;
        yyjson_doc *doc;
        hs_err err = hs_json_parse(hs_mem_system(), hs_span_of(cut, n), NULL, &doc, &e);
        cr_assert_eq(err.code, HS_E_JSON, "%zu", n);
        cr_assert_leq(e.offset, n);
        free(cut);
    }
    yyjson_doc_free(parsed(text));
}

/* ---- limits ---- */

static int32_t code_of(hs_span text, uint64_t bytes_max, uint32_t depth_max, hs_json_error *e)
{
    yyjson_doc *doc = NULL;
    const hs_json_limits limits = {bytes_max, depth_max};
    hs_err err = hs_json_parse(hs_mem_system(), text, &limits, &doc, e);
    cr_assert_eq(hs_ok(err), doc != NULL);
    yyjson_doc_free(doc);
    return err.code;
}

static int32_t code_at(const char *text, uint64_t bytes_max, uint32_t depth_max)
{
    hs_json_error e;
    return code_of(hs_span_str(text), bytes_max, depth_max, &e);
}

Test(app_json, so_long_and_no_longer)
{
    cr_assert_eq(code_at("[1, 2]", 6, 0), 0);
    cr_assert_eq(code_at("[1, 2]", 5, 0), HS_E_LIMIT);
    cr_assert_eq(code_at("[1, 2]", 7, 0), 0);
    size_t len = HS_JSON_BYTES_MAX + 1;
    char *text = malloc(len);
    memset(text, ' ', len);
    text[3] = '1';
    hs_json_error e;
    cr_assert_eq(code_of(hs_span_of(text, len - 1), 0, 0, &e), 0);
    cr_assert_eq(code_of(hs_span_of(text, len), 0, 0, &e), HS_E_LIMIT);
    cr_assert(strstr(e.text, "too long"));
    cr_assert_eq(code_of(hs_span_of(text, len), len, 0, &e), 0);
    free(text);
}

/* `depth` arrays or objects in each other, with strings that look like more. */
static char *nested(uint32_t depth, bool objects)
{
    const char *begin = objects ? "{\"[{\\\"[\":" : "[";
    size_t each = strlen(begin) + 1;
    char *text = malloc(depth * each + 2), *at = text;
    for (uint32_t i = 0; i < depth; i++)
        at += snprintf(at, each, "%s", i + 1 < depth || !objects ? begin : "{");
    memset(at, objects ? '}' : ']', depth);
    at[depth] = '\0';
    return text;
}

Test(app_json, so_deep_and_no_deeper)
{
    for (int objects = 0; objects < 2; objects++)
        for (uint32_t max = 1; max < 300; max = max < 8 ? max + 1 : 2 * max) {
            char *text = nested(max, objects), *more = nested(max + 1, objects);
            cr_assert_eq(code_at(text, 0, max), 0, "%s", text);
            cr_assert_eq(code_at(text, 0, max + 1), 0);
            cr_assert_eq(code_at(more, 0, max), HS_E_LIMIT, "%s", more);
            free(text);
            free(more);
        }
    char *text = nested(HS_JSON_DEPTH_MAX, false), *more = nested(HS_JSON_DEPTH_MAX + 1, false);
    cr_assert_eq(code_at(text, 0, 0), 0);
    cr_assert_eq(code_at(more, 0, 0), HS_E_LIMIT);
    free(text);
    free(more);
    /* One behind the other is not in each other. */
    cr_assert_eq(code_at("[[],[],{},[{}],\"[[[[\",[]]", 0, 3), 0);
    hs_json_error e;
    cr_assert_eq(code_of(HS_SPAN("[\n[1],\n \"[\", [[]]]"), 0, 2, &e), HS_E_LIMIT);
    cr_assert(e.line == 3 && e.column == 8 && e.offset == 14, "%zu:%zu", e.line, e.column);
}

/* What is hostile is refused before memory is taken for it; and what was allowed needs no stack. */
Test(app_json, very_deep)
{
    const size_t len = 1u << 20;
    char *text = malloc(len);
    fault_mem f;
    yyjson_doc *doc;
    fault_init(&f, 0, false);
    for (int objects = 0; objects < 2; objects++) {
        for (size_t i = 0; i < len; i++)
            text[i] = objects ? "{\"\":"[i % 4] : '[';
        hs_err err = hs_json_parse(&f.mem, hs_span_of(text, len), NULL, &doc, NULL);
        cr_assert_eq(err.code, HS_E_LIMIT);
        cr_assert_eq(f.takes, 0);
        const hs_json_limits deep = {.depth_max = UINT32_MAX};
        err = hs_json_parse(&f.mem, hs_span_of(text, len), &deep, &doc, NULL);
        cr_assert_eq(err.code, HS_E_JSON);
        f.takes = 0;
    }
    memset(text, '[', len / 2);
    memset(text + len / 2, ']', len / 2);
    const hs_json_limits deep = {.depth_max = (uint32_t)len / 2};
    cr_assert(hs_ok(hs_json_parse(&f.mem, hs_span_of(text, len), &deep, &doc, NULL)));
    yyjson_doc_free(doc);
    cr_assert_eq(f.pieces_out, 0);
    free(text);
}

/* ---- memory ---- */

static hs_err scene(const hs_mem *mem)
{
    char text[4000];
    size_t len = 0;
    yyjson_doc *doc;
    hs_json_error e = {0};
    text[len++] = '[';
    while (len < sizeof text - 2) {
        text[len++] = '1';
        text[len++] = ',';
    }
    text[len - 1] = ']';
    hs_err err = hs_json_parse(mem, hs_span_of(text, len), NULL, &doc, &e);
    if (hs_ok(err)) {
        cr_assert_eq(yyjson_arr_size(yyjson_doc_get_root(doc)), len / 2);
        yyjson_doc_free(doc);
    } else {
        cr_assert_str_eq(e.text, "no memory");
    }
    return err;
}

Test(app_json, each_piece_of_memory_fails_once)
{
    cr_assert_geq(fault_each(scene, false), 4); /* the text, the values, and more room for them */
}

typedef struct peak_mem {
    hs_mem mem;
    size_t out, peak;
} peak_mem;

static void *peak_take(void *ctx, size_t bytes, size_t align)
{
    peak_mem *p = ctx;
    p->out += bytes;
    p->peak = HS_MAX(p->peak, p->out);
    return hs_mem_take(hs_mem_system(), bytes, align);
}

static void peak_give(void *ctx, void *ptr, size_t bytes, size_t align)
{
    peak_mem *p = ctx;
    p->out -= bytes;
    hs_mem_give(hs_mem_system(), ptr, bytes, align);
}

/* What becomes of [PART PART ... 0], of about so many bytes. */
static void weigh(const char *part, size_t len, double *kept, double *peak)
{
    size_t part_len = strlen(part), at = 1;
    peak_mem p = {{peak_take, peak_give, &p}, 0, 0};
    char *text = malloc(len + 2);
    yyjson_doc *doc;
    text[0] = '[';
    for (; at + part_len < len; at += part_len)
        memcpy(text + at, part, part_len);
    memcpy(text + at, "0]", 2);
    at += 2;
    cr_assert(hs_ok(hs_json_parse(&p.mem, hs_span_of(text, at), NULL, &doc, NULL)));
    *kept = HS_MAX(*kept, (double)p.out / (double)at);
    *peak = HS_MAX(*peak, (double)p.peak / (double)at);
    yyjson_doc_free(doc);
    cr_assert_eq(p.out, 0);
    free(text);
}

/* What a text makes of memory is bounded by its length, whatever is in it. */
Test(app_json, memory_is_bounded_by_the_text)
{
    static const char *const parts[] = {
        "[],", "0,", "{\"\":0},", "\"\",", "[0,0,0,0],\n  ", "1.5,", "[[[[[[[[]]]]]]]],"};
    double kept = 0, peak = 0;
    for (size_t i = 0; i < HS_ARRAY_LEN(parts); i++)
        for (size_t len = 10000; len < 100000; len += 1234)
            weigh(parts[i], len, &kept, &peak);
    fprintf(stderr, "kept %.1f times the text, %.1f while it is parsed\n", kept, peak);
    cr_assert_leq(kept, 14);
    cr_assert_leq(peak, 23);
    cr_assert_geq(kept, 8); /* or this test looks at nothing */
}
