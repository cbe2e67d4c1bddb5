/* Forms and queries: see hs_form.h. */
#include "hs_form.h"

#include <errno.h>

#include "url.h"

/* A span is no longer than half of the address space, and comes to three times that at worst. */
#define BYTES_MAX (SIZE_MAX / 16)

static bool is_plain(uint8_t c)
{
    return url_is_alpha(c) || url_is_digit(c) || c == '*' || c == '-' || c == '.' || c == '_';
}

static size_t coded_bytes(hs_span s)
{
    size_t bytes = 0;
    for (size_t i = 0; i < s.len; i++)
        bytes += is_plain(s.ptr[i]) || s.ptr[i] == ' ' ? 1 : 3;
    return bytes;
}

static uint8_t *put_coded(uint8_t *at, hs_span s)
{
    static const char digits[] = "0123456789ABCDEF";
    for (size_t i = 0; i < s.len; i++) {
        uint8_t c = s.ptr[i];
        if (is_plain(c)) {
            *at++ = c;
        } else if (c == ' ') {
            *at++ = '+';
        } else {
            *at++ = '%';
            *at++ = (uint8_t)digits[c >> 4];
            *at++ = (uint8_t)digits[c & 15];
        }
    }
    return at;
}

static uint8_t *put_pair(uint8_t *at, const hs_pair *pair)
{
    at = put_coded(at, pair->name);
    *at++ = '=';
    return put_coded(at, pair->value);
}

hs_err hs_form_encode(hs_arena *arena, const hs_pair *pairs, size_t len, hs_span *out)
{
    size_t bytes = 0;
    for (size_t i = 0; i < len; i++) {
        HS_ENSURE(pairs[i].name.len < BYTES_MAX && pairs[i].value.len < BYTES_MAX, -ENOMEM);
        bytes += coded_bytes(pairs[i].name) + coded_bytes(pairs[i].value) + 2;
        HS_ENSURE(bytes < SIZE_MAX / 2, -ENOMEM);
    }
    *out = HS_SPAN("");
    if (len == 0)
        return HS_OK;
    uint8_t *text = hs_arena_take(arena, bytes), *at = text;
    HS_ENSURE(text, -ENOMEM);
    for (size_t i = 0; i < len; i++) {
        if (i > 0)
            *at++ = '&';
        at = put_pair(at, &pairs[i]);
    }
    HS_ASSERT((size_t)(at - text) + 1 == bytes);
    *out = hs_span_of(text, (size_t)(at - text));
    return HS_OK;
}

hs_err hs_form_append(hs_arena *arena, hs_span text, hs_pair pair, hs_span *out)
{
    hs_span added;
    HS_TRY(hs_form_encode(arena, &pair, 1, &added));
    HS_ASSERT(added.len > 0);
    if (text.len == 0) {
        *out = added;
        return HS_OK;
    }
    HS_ENSURE(text.len < BYTES_MAX, -ENOMEM);
    uint8_t *both = hs_arena_take(arena, text.len + 1 + added.len);
    HS_ENSURE(both, -ENOMEM);
    memcpy(both, text.ptr, text.len);
    both[text.len] = '&';
    memcpy(both + text.len + 1, added.ptr, added.len);
    *out = hs_span_of(both, text.len + 1 + added.len);
    return HS_OK;
}

static hs_err decode(hs_arena *arena, hs_span text, hs_span *out)
{
    *out = HS_SPAN("");
    if (text.len == 0)
        return HS_OK;
    uint8_t *plain = hs_arena_take(arena, text.len), *at = plain;
    HS_ENSURE(plain, -ENOMEM);
    for (size_t i = 0; i < text.len; i++) {
        uint8_t c = text.ptr[i];
        bool coded = c == '%' && text.len - i > 2 && url_hex(text.ptr[i + 1]) < 16 &&
                     url_hex(text.ptr[i + 2]) < 16;
        *at++ = coded ? (uint8_t)(url_hex(text.ptr[i + 1]) << 4 | url_hex(text.ptr[i + 2]))
                      : (uint8_t)(c == '+' ? ' ' : c);
        i += coded ? 2 : 0;
    }
    HS_ASSERT((size_t)(at - plain) <= text.len);
    *out = hs_span_of(plain, (size_t)(at - plain));
    return HS_OK;
}

hs_err hs_form_next(hs_arena *arena, hs_span *rest, hs_pair *out)
{
    while (hs_span_starts(*rest, HS_SPAN("&")))
        *rest = hs_span_from(*rest, 1);
    HS_ENSURE(rest->len > 0, HS_E_END);
    const uint8_t *end = memchr(rest->ptr, '&', rest->len);
    hs_span text = hs_span_of(rest->ptr, end ? (size_t)(end - rest->ptr) : rest->len);
    const uint8_t *equals = memchr(text.ptr, '=', text.len);
    size_t len = equals ? (size_t)(equals - text.ptr) : text.len;
    HS_TRY(decode(arena, hs_span_of(text.ptr, len), &out->name));
    HS_TRY(decode(arena, equals ? hs_span_from(text, len + 1) : hs_span_of(NULL, 0), &out->value));
    *rest = hs_span_from(*rest, text.len);
    return HS_OK;
}
