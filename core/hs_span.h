/* Spans: a pointer and a length, borrowed.
 *
 * Owns: nothing; a span never owns its bytes. Tested by: tests/unit/core_span.c. */
#pragma once

#include <string.h>

#include "hs_base.h"

HS_BEGIN_DECLS

typedef struct hs_span {
    const uint8_t *ptr;
    size_t len;
} hs_span;

#ifdef __cplusplus
#define HS_SPAN(literal) (hs_span{(const uint8_t *)("" literal), sizeof(literal) - 1})
#else
#define HS_SPAN(literal) ((hs_span){(const uint8_t *)("" literal), sizeof(literal) - 1})
#endif

/* `len` bytes at `ptr`. `ptr` may be NULL where `len` is 0. */
static inline hs_span hs_span_of(const void *ptr, size_t len)
{
    hs_span s = {(const uint8_t *)ptr, len};
    return s;
}

/* A NUL-terminated string without its NUL. */
static inline hs_span hs_span_str(const char *str)
{
    return hs_span_of(str, strlen(str));
}

/* The bytes from `from` (at most s.len) to the end. */
static inline hs_span hs_span_from(hs_span s, size_t from)
{
    return hs_span_of(s.ptr + from, s.len - from);
}

/* Whether both hold the same bytes. Shard: any. */
static inline bool hs_span_eq(hs_span a, hs_span b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}

/* Equality without regard to ASCII case (field names, RFC 9110 section 5.1). Shard: any. */
HS_API bool hs_span_eq_nocase(hs_span a, hs_span b);

/* Whether `s` begins with `prefix`. Shard: any. */
static inline bool hs_span_starts(hs_span s, hs_span prefix)
{
    return s.len >= prefix.len && (prefix.len == 0 || memcmp(s.ptr, prefix.ptr, prefix.len) == 0);
}

/* `s` without leading and trailing SP and HTAB (OWS of RFC 9110 section 5.6.3). Shard: any. */
HS_API hs_span hs_span_trim(hs_span s);

/* Parse `s` as a decimal number: digits alone, at least one, no sign, no space.
 * Returns false (and leaves *out) where it is not one or is above `max`. Shard: any. */
HS_API bool hs_span_u64(hs_span s, uint64_t max, uint64_t *out);

/* Write `value` in decimal to `out` (room for 20 bytes; no NUL). Returns how many bytes.
 * Shard: any. */
HS_API size_t hs_fmt_u64(char *out, uint64_t value);

HS_END_DECLS
