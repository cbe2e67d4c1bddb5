/* A text becomes a document: see hs_json.h.
 *
 * Owns: the checks before yyjson's own, its memory, and where an error lies. yyjson does not limit
 * how deep a text goes, and does not need to, as it keeps no stack; but who walks a document does,
 * yyjson's copying and comparing included. So a text that goes too deep is not parsed at all.
 * Tested by: tests/unit/app_json.c, tests/fuzz/fuzz_json.c. */
#include <yyjson.h>

#include <errno.h>

#include "hs_assert.h"
#include "hs_json.h"
#include "hs_limits.h"

/* ---- memory ---- */

/* In front of each piece, since yyjson does not say how large what it gives back is. */
typedef struct piece {
    size_t bytes; /* with this head */
    size_t unused;
} piece;

HS_STATIC_ASSERT(sizeof(piece) == 16, "what follows a head stays aligned to 16");

static void *take(void *ctx, size_t bytes)
{
    const hs_mem *mem = ctx;
    HS_ASSERT(bytes > 0);
    if (bytes > SIZE_MAX / 2)
        return NULL;
    piece *p = hs_mem_take(mem, sizeof *p + bytes, 16);
    if (!p)
        return NULL;
    p->bytes = sizeof *p + bytes;
    return p + 1;
}

static void give(void *ctx, void *ptr)
{
    const hs_mem *mem = ctx;
    if (!ptr)
        return;
    piece *p = (piece *)ptr - 1;
    HS_ASSERT(p->bytes > sizeof *p);
    hs_mem_give(mem, p, p->bytes, 16);
}

static void *retake(void *ctx, void *ptr, size_t before, size_t bytes)
{
    HS_ASSERT(ptr != NULL);
    HS_ASSERT(((piece *)ptr - 1)->bytes == sizeof(piece) + before);
    void *to = take(ctx, bytes);
    if (!to)
        return NULL;
    memcpy(to, ptr, HS_MIN(before, bytes));
    give(ctx, ptr);
    return to;
}

/* ---- where an error lies ---- */

static hs_err fail(hs_json_error *e, int32_t code, hs_span text, size_t offset, const char *why)
{
    size_t line = 1, begin = 0;
    HS_ASSERT(offset <= text.len);
    if (!e)
        return hs_err_of(code);
    for (;;) {
        const uint8_t *at = offset > begin ? memchr(text.ptr + begin, '\n', offset - begin) : NULL;
        if (!at)
            break;
        begin = (size_t)(at - text.ptr) + 1;
        line++;
    }
    *e = (hs_json_error){offset, line, offset - begin + 1, why};
    return hs_err_of(code);
}

/* ---- depth ---- */

HS_STATIC_ASSERT(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the first byte is the lowest");

#define ONES UINT64_C(0x0101010101010101)

/* The lowest high bit that is set is that of the first byte of `v` that is `c`; 0: there is none.
 */
static inline uint64_t bytes_like(uint64_t v, uint8_t c)
{
    uint64_t x = v ^ ONES * c;
    return (x - ONES) & ~x & ONES << 7;
}

/* The first quote or backslash from `at` on, or the end. */
static size_t find_in_string(hs_span text, size_t at)
{
    for (uint64_t v, found; text.len - at >= sizeof v; at += sizeof v) {
        memcpy(&v, text.ptr + at, sizeof v);
        found = bytes_like(v, '"') | bytes_like(v, '\\');
        if (found)
            return at + (size_t)__builtin_ctzll(found) / 8;
    }
    while (at < text.len && text.ptr[at] != '"' && text.ptr[at] != '\\')
        at++;
    return at;
}

/* The first quote, bracket or brace from `at` on, or the end. */
static size_t find_outside(hs_span text, size_t at)
{
    for (uint64_t v, found; text.len - at >= sizeof v; at += sizeof v) {
        memcpy(&v, text.ptr + at, sizeof v);
        uint64_t low = v | ONES * 0x20; /* makes braces of brackets */
        found = bytes_like(v, '"') | bytes_like(low, '{') | bytes_like(low, '}');
        if (found)
            return at + (size_t)__builtin_ctzll(found) / 8;
    }
    while (at < text.len && text.ptr[at] != '"' && (text.ptr[at] | 0x20) != '{' &&
           (text.ptr[at] | 0x20) != '}')
        at++;
    return at;
}

/* Behind the string that begins behind `at`, or the end. */
static size_t skip_string(hs_span text, size_t at)
{
    for (at = find_in_string(text, at); at < text.len; at = find_in_string(text, at)) {
        if (text.ptr[at] == '"')
            return at + 1;
        at = HS_MIN(at + 2, text.len);
    }
    return at;
}

/* Whether brackets go deeper than `depth_max`; then *at is the first that does. Of a text that is
 * no JSON the answer may be either. */
static bool too_deep(hs_span text, uint32_t depth_max, size_t *at)
{
    uint32_t depth = 0;
    for (size_t i = find_outside(text, 0); i < text.len; i = find_outside(text, i)) {
        uint8_t c = text.ptr[i++];
        if (c == '"') {
            i = skip_string(text, i);
        } else if ((c | 0x20) == '}') {
            depth -= depth > 0;
        } else if (depth++ == depth_max) {
            *at = i - 1;
            return true;
        }
    }
    return false;
}

/* ---- the whole ---- */

static size_t mark_bytes(hs_span text)
{
    return text.len >= 3 && memcmp(text.ptr, "\xef\xbb\xbf", 3) == 0 ? 3 : 0;
}

hs_err hs_json_parse(const hs_mem *mem, hs_span text, const hs_json_limits *limits,
                     yyjson_doc **out, hs_json_error *error)
{
    static const hs_json_limits none;
    const hs_json_limits *l = limits ? limits : &none;
    size_t at, mark = mark_bytes(text);
    HS_ASSERT(mem != NULL && out != NULL);
    if (text.len > (l->bytes_max ? l->bytes_max : HS_JSON_BYTES_MAX))
        return fail(error, HS_E_LIMIT, text, 0, "the text is too long");
    if (too_deep(text, l->depth_max ? l->depth_max : HS_JSON_DEPTH_MAX, &at))
        return fail(error, HS_E_LIMIT, text, at, "too many arrays and objects in each other");
    if (text.len == mark)
        return fail(error, HS_E_JSON, text, mark, "the text is empty");

    yyjson_alc alc = {take, retake, give, (void *)(uintptr_t)mem};
    yyjson_read_err why;
    /* Without YYJSON_READ_INSITU the text is not written to. */
    char *bytes = (char *)(uintptr_t)(text.ptr + mark);
    yyjson_doc *doc = yyjson_read_opts(bytes, text.len - mark, YYJSON_READ_NOFLAG, &alc, &why);
    if (doc) {
        *out = doc;
        return HS_OK;
    }
    if (why.code == YYJSON_READ_ERROR_MEMORY_ALLOCATION)
        return fail(error, -ENOMEM, text, 0, "no memory");
    return fail(error, HS_E_JSON, text, mark + HS_MIN(why.pos, text.len - mark), why.msg);
}
