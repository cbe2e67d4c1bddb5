/* Every way to parse one head: with each line loop that this processor has, in one piece and in
 * pieces, each piece in fresh memory of its exact size, so that a sanitizer sees a read too far and
 * a stale pointer. All ways must agree. Used by the unit tests and the fuzz target. */
#pragma once

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "h1_parse.h"

typedef struct ways_loop {
    const char *name;
    h1_lines_fn *fn;
} ways_loop;

#define WAYS_LOOPS_MAX 4

/* The loops of this processor, the portable one first. */
static inline size_t ways_loops(ways_loop out[WAYS_LOOPS_MAX])
{
    size_t n = 0;
    out[n++] = (ways_loop){"portable", h1_lines_portable};
#if defined(__x86_64__)
    out[n++] = (ways_loop){"sse2", h1_lines_sse2};
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi"))
        out[n++] = (ways_loop){"avx2", h1_lines_avx2};
#elif defined(__aarch64__)
    out[n++] = (ways_loop){"neon", h1_lines_neon};
#endif
    return n;
}

/* `len` bytes of `bytes` in memory that ends right behind them. */
static inline uint8_t *ways_copy(const uint8_t *bytes, size_t len)
{
    uint8_t *copy = malloc(len > 0 ? len : 1);
    if (copy == NULL)
        abort();
    if (len > 0)
        memcpy(copy, bytes, len);
    return copy;
}

/* What a head is parsed as. */
typedef enum ways_kind { WAYS_REQUEST, WAYS_TRAILERS } ways_kind;

static inline void ways_init(h1_head *head, uint32_t kind)
{
    memset(head, 0xa5, sizeof(*head));
    if (kind == WAYS_REQUEST)
        h1_head_init(head);
    else
        h1_head_init_trailers(head);
}

/* Hand over the first `len` bytes. */
static inline h1_result ways_step(h1_head *head, const uint8_t *bytes, size_t len,
                                  const h1_limits *limits)
{
    uint8_t *copy = ways_copy(bytes, len);
    h1_result r = h1_head_parse(head, copy, len, limits);
    free(copy);
    return r;
}

/* Whether the two verdicts say the same; after H1_MORE there is nothing to compare. */
static inline bool ways_same(h1_result ra, const h1_head *a, h1_result rb, const h1_head *b)
{
    if (ra != rb)
        return false;
    if (ra == H1_MORE)
        return true;
    if (ra == H1_BAD)
        return a->status == b->status && strcmp(a->fault, b->fault) == 0;
    return a->status == b->status && a->method == b->method && a->minor == b->minor &&
           a->body == b->body && a->keep_alive == b->keep_alive &&
           a->expect_continue == b->expect_continue && a->absolute == b->absolute &&
           a->fields_len == b->fields_len && a->bytes == b->bytes &&
           a->content_length == b->content_length && a->method_at == b->method_at &&
           a->method_len == b->method_len && a->target_at == b->target_at &&
           a->target_len == b->target_len && a->path_at == b->path_at &&
           a->path_len == b->path_len && a->query_at == b->query_at &&
           a->query_len == b->query_len && a->authority_at == b->authority_at &&
           a->authority_len == b->authority_len &&
           memcmp(a->known, b->known, sizeof(a->known)) == 0 &&
           memcmp(a->fields, b->fields, a->fields_len * sizeof(a->fields[0])) == 0;
}

/* Parse in pieces that end at cuts[0..cuts_len) and at `len`. A verdict may fall before the end; if
 * it does, the bytes behind cannot have mattered. */
static inline h1_result ways_split(h1_head *head, const uint8_t *bytes, size_t len, uint32_t kind,
                                   const h1_limits *limits, const size_t *cuts, size_t cuts_len)
{
    ways_init(head, kind);
    size_t last = 0;
    for (size_t i = 0; i < cuts_len; i++) {
        if (cuts[i] <= last || cuts[i] >= len)
            continue;
        last = cuts[i];
        h1_result r = ways_step(head, bytes, last, limits);
        if (r != H1_MORE)
            return r;
    }
    return ways_step(head, bytes, len, limits);
}
