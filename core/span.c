/* Spans: what is too long for the header.
 *
 * Owns: nothing. Must not know: what the bytes mean. Tested by: tests/unit/core_span.c. */
#include "hs_span.h"

#include "hs_assert.h"

#define EACH_BYTE(b) (UINT64_C(0x0101010101010101) * (b))

static uint64_t load8(const uint8_t *p)
{
    uint64_t w;
    memcpy(&w, p, sizeof(w));
    return w;
}

/* Eight bytes at once with A-Z made a-z. A byte's low seven bits plus a constant reach bit 7
 * exactly from 'A' on, and from 'Z' + 1 on: it is upper case where the two differ, and bit 7 is
 * clear. */
static uint64_t lower8(uint64_t w)
{
    uint64_t low7 = w & EACH_BYTE(0x7f);
    uint64_t from_a = low7 + EACH_BYTE(0x80 - 'A');
    uint64_t past_z = low7 + EACH_BYTE(0x7f - 'Z');
    uint64_t upper = (from_a ^ past_z) & ~w & EACH_BYTE(0x80);
    return w | upper >> 2;
}

static uint8_t lower1(uint8_t b)
{
    return b >= 'A' && b <= 'Z' ? (uint8_t)(b | 0x20) : b;
}

bool hs_span_eq_nocase(hs_span a, hs_span b)
{
    HS_ASSERT(a.ptr || a.len == 0);
    HS_ASSERT(b.ptr || b.len == 0);
    if (a.len != b.len)
        return false;
    if (a.len < 8) {
        for (size_t i = 0; i < a.len; i++) {
            if (lower1(a.ptr[i]) != lower1(b.ptr[i]))
                return false;
        }
        return true;
    }
    for (size_t i = 0; i + 8 < a.len; i += 8) {
        if (lower8(load8(a.ptr + i)) != lower8(load8(b.ptr + i)))
            return false;
    }
    /* The last eight may overlap what was compared before: cheaper than a loop over the rest. */
    return lower8(load8(a.ptr + a.len - 8)) == lower8(load8(b.ptr + b.len - 8));
}

static bool is_ows(uint8_t b)
{
    return b == ' ' || b == '\t';
}

hs_span hs_span_trim(hs_span s)
{
    HS_ASSERT(s.ptr || s.len == 0);
    size_t from = 0, to = s.len;
    while (from < to && is_ows(s.ptr[from]))
        from++;
    while (to > from && is_ows(s.ptr[to - 1]))
        to--;
    /* NULL plus 0 is undefined in C, so an empty span stays as it came. */
    return s.len ? hs_span_of(s.ptr + from, to - from) : s;
}

bool hs_span_u64(hs_span s, uint64_t max, uint64_t *out)
{
    HS_ASSERT(s.ptr || s.len == 0);
    HS_ASSERT(out);
    if (s.len == 0)
        return false;
    uint64_t value = 0;
    for (size_t i = 0; i < s.len; i++) {
        uint8_t digit = (uint8_t)(s.ptr[i] - '0');
        if (digit > 9)
            return false;
        if (__builtin_mul_overflow(value, (uint64_t)10, &value) ||
            __builtin_add_overflow(value, (uint64_t)digit, &value) || value > max)
            return false;
    }
    *out = value;
    return true;
}

size_t hs_fmt_u64(char *out, uint64_t value)
{
    HS_ASSERT(out);
    if (value < 100) { /* most lengths and counts are short */
        if (value >= 10)
            *out++ = (char)('0' + value / 10);
        *out = (char)('0' + value % 10);
        return 1 + (value >= 10);
    }
    char digits[20];
    size_t at = sizeof(digits);
    do {
        digits[--at] = (char)('0' + value % 10);
        value /= 10;
    } while (value);
    size_t len = sizeof(digits) - at;
    HS_ASSERT(len >= 1 && len <= sizeof(digits));
    memcpy(out, digits + at, len);
    return len;
}
