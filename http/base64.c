/* Base64 and Basic authentication: see hs_base64.h. */
#include "hs_base64.h"

#include <errno.h>

#include "hs_assert.h"

static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

static uint8_t *put(uint8_t *at, hs_span in)
{
    for (; in.len > 0; in = hs_span_from(in, HS_MIN(in.len, 3))) {
        uint32_t three = (uint32_t)in.ptr[0] << 16;
        three |= in.len > 1 ? (uint32_t)in.ptr[1] << 8 : 0;
        three |= in.len > 2 ? in.ptr[2] : 0;
        *at++ = (uint8_t)digits[three >> 18];
        *at++ = (uint8_t)digits[three >> 12 & 63];
        *at++ = (uint8_t)(in.len > 1 ? digits[three >> 6 & 63] : '=');
        *at++ = (uint8_t)(in.len > 2 ? digits[three & 63] : '=');
    }
    return at;
}

hs_err hs_base64_encode(hs_arena *arena, hs_span bytes, hs_span *out)
{
    HS_ENSURE(bytes.len < SIZE_MAX / 2, -ENOMEM);
    size_t len = HS_BASE64_BYTES(bytes.len);
    uint8_t *text = hs_arena_take(arena, len + 1), *end;
    HS_ENSURE(text, -ENOMEM);
    end = put(text, bytes);
    HS_ASSERT((size_t)(end - text) == len);
    *out = hs_span_of(text, len);
    return HS_OK;
}

/* The value of a digit, or 64. */
static uint32_t value_of(uint8_t c)
{
    const char *at = c ? strchr(digits, c) : NULL;
    return at ? (uint32_t)(at - digits) : 64;
}

hs_err hs_base64_decode(hs_arena *arena, hs_span text, hs_span *out)
{
    HS_ENSURE(text.len % 4 == 0, HS_E_USAGE);
    size_t pad = 0;
    while (pad < 2 && pad < text.len && text.ptr[text.len - 1 - pad] == '=')
        pad++;
    uint8_t *bytes = hs_arena_take(arena, text.len / 4 * 3 + 1), *at = bytes;
    HS_ENSURE(bytes, -ENOMEM);
    uint32_t bits = 0;
    for (size_t i = 0; i < text.len; i++) {
        bool padding = i >= text.len - pad;
        uint32_t value = padding ? 0 : value_of(text.ptr[i]);
        HS_ENSURE(value < 64, HS_E_USAGE);
        bits = bits << 6 | value;
        if (i % 4 < 3)
            continue;
        *at++ = (uint8_t)(bits >> 16);
        *at++ = (uint8_t)(bits >> 8);
        *at++ = (uint8_t)bits;
        bits &= 0xffffff;
        bool last = i + 1 == text.len;
        HS_ENSURE(!last || pad == 0 || (bits & (pad == 1 ? 0xff : 0xffff)) == 0, HS_E_USAGE);
    }
    HS_ASSERT((size_t)(at - bytes) >= pad);
    *out = hs_span_of(bytes, (size_t)(at - bytes) - pad);
    return HS_OK;
}

static bool has_control(hs_span s)
{
    for (size_t i = 0; i < s.len; i++) {
        if (s.ptr[i] < 0x20 || s.ptr[i] == 0x7f)
            return true;
    }
    return false;
}

hs_err hs_basic_auth(hs_arena *arena, hs_span name, hs_span password, hs_span *out)
{
    HS_ENSURE(!has_control(name) && !has_control(password), HS_E_USAGE);
    HS_ENSURE(name.len == 0 || !memchr(name.ptr, ':', name.len), HS_E_USAGE);
    HS_ENSURE(name.len < SIZE_MAX / 8 && password.len < SIZE_MAX / 8, -ENOMEM);
    size_t len = name.len + 1 + password.len, text_len = 6 + HS_BASE64_BYTES(len);
    uint8_t *pair = hs_arena_take(arena, len), *text = hs_arena_take(arena, text_len);
    HS_ENSURE(pair && text, -ENOMEM);
    if (name.len > 0)
        memcpy(pair, name.ptr, name.len);
    pair[name.len] = ':';
    if (password.len > 0)
        memcpy(pair + name.len + 1, password.ptr, password.len);
    memcpy(text, "Basic ", 6);
    uint8_t *end = put(text + 6, hs_span_of(pair, len));
    HS_ASSERT((size_t)(end - text) == text_len);
    *out = hs_span_of(text, text_len);
    return HS_OK;
}
