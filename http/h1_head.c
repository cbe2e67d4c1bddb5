/* The head parser's frame: which line loop runs, the limits, and the rarer parts of a request line.
 *
 * Owns: the choice of instruction set. Must not know: buffers, sockets, handlers.
 * Tested by: tests/unit/http_h1_head.c; fuzzed by tests/fuzz/fuzz_h1_head.c. */
#include "h1_head.h"

#include "class.h"
#include "h1_parse.h"
#include "hs_assert.h"

static h1_lines_fn *best_lines(void)
{
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi"))
        return h1_lines_avx2;
    return h1_lines_sse2;
#elif defined(__aarch64__)
    return h1_lines_neon;
#else
    return h1_lines_portable;
#endif
}

/* Set by whichever shard comes first; all would write the same, so no order is needed. */
static h1_lines_fn *chosen_lines;

static h1_lines_fn *lines(void)
{
    h1_lines_fn *fn = __atomic_load_n(&chosen_lines, __ATOMIC_RELAXED);
    if (HS_UNLIKELY(fn == NULL)) {
        fn = best_lines();
        __atomic_store_n(&chosen_lines, fn, __ATOMIC_RELAXED);
    }
    return fn;
}

void h1_head_use_lines(h1_lines_fn *fn)
{
    __atomic_store_n(&chosen_lines, fn, __ATOMIC_RELAXED);
}

bool h1_head_use_simd(bool on)
{
    h1_lines_fn *fn = on ? best_lines() : h1_lines_portable;
    h1_head_use_lines(fn);
    return fn != h1_lines_portable;
}

static void init(h1_head *head, uint8_t state)
{
    memset(head, 0, offsetof(h1_head, fields));
    head->state = state;
}

void h1_head_init(h1_head *head)
{
    init(head, H1_STATE_REQUEST);
}

void h1_head_init_trailers(h1_head *head)
{
    init(head, H1_STATE_TRAILERS);
}

h1_result h1_bad(h1_head *head, uint16_t status, const char *fault)
{
    HS_ASSERT(status >= 400);
    HS_ASSERT(status < 600);
    HS_ASSERT(head->state != H1_STATE_ENDED);
    head->state = H1_STATE_ENDED;
    head->status = status;
    head->fault = fault;
    return H1_BAD;
}

h1_result h1_head_parse(h1_head *head, const uint8_t *base, size_t len, const h1_limits *limits)
{
    HS_ASSERT(head->state != H1_STATE_ENDED);
    HS_ASSERT(limits->head_bytes_max <= H1_HEAD_BYTES_MAX);
    HS_ASSERT(limits->fields_max <= H1_FIELDS_MAX);
    /* What lies behind the limit is not looked at, so it cannot change the verdict. */
    size_t within = HS_MIN(len, (size_t)limits->head_bytes_max);
    h1_result r = lines()(head, base, within, limits);
    if (HS_UNLIKELY(r == H1_MORE && within == limits->head_bytes_max))
        return h1_bad(head, 431, "head too long");
    return r;
}

h1_result h1_empty_line(h1_head *head, const uint8_t *base, const uint8_t *p, const uint8_t *end,
                        const uint8_t **past)
{
    HS_ASSERT(p < end);
    if (*p == '\n')
        return h1_bad(head, 400, "bare LF before the request line");
    /* Empty lines are all that can lie before `p`: two bytes each. */
    if (p - base >= 2 * H1_EMPTY_LINES_MAX)
        return h1_bad(head, 400, "empty lines instead of a request line");
    if (end - p < 2)
        return H1_MORE;
    if (p[1] != '\n')
        return h1_bad(head, 400, "bare CR before the request line");
    *past = p + 2;
    return H1_DONE;
}

h1_result h1_method(h1_head *head, const uint8_t *base, const uint8_t *p, const uint8_t *end,
                    const uint8_t **past)
{
    const uint8_t *q = p;
    while (q < end && class_is(*q, CLASS_TOKEN)) {
        q++;
        if (q - p > H1_METHOD_BYTES_MAX)
            return h1_bad(head, 501, "method too long");
    }
    if (q == end)
        return H1_MORE;
    if (q == p || *q != ' ')
        return h1_bad(head, 400, "method is not a token with a space behind it");
    head->method = (uint8_t)hs_method_parse(hs_span_of(p, (size_t)(q - p)));
    head->method_at = (uint16_t)(p - base);
    head->method_len = (uint16_t)(q - p);
    *past = q + 1;
    return H1_DONE;
}

h1_result h1_version(h1_head *head, const uint8_t *p, const uint8_t *end, const uint8_t **past)
{
    static const char pattern[] = "HTTP/0.0\r\n"; /* '0': any digit */
    size_t most = sizeof(pattern) - 1;
    size_t have = HS_MIN(most, (size_t)(end - p));
    for (size_t i = 0; i < have; i++) {
        bool fits = pattern[i] == '0' ? p[i] >= '0' && p[i] <= '9' : p[i] == (uint8_t)pattern[i];
        if (!fits)
            return h1_bad(head, 400, "request line does not end in HTTP/digit.digit CRLF");
    }
    if (have < most)
        return H1_MORE;
    if (p[5] != '1')
        return h1_bad(head, 505, "major version is not 1");
    head->minor = p[7] == '0' ? 0 : 1; /* a higher minor is read as ours: RFC 9110 section 2.5 */
    *past = p + most;
    return H1_DONE;
}
