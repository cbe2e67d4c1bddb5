/* What is done with a parsed URL; see hs_url.h. */
#include "url.h"

#include <errno.h>

#define ANY                                                                                        \
    (URL_SET_C0 | URL_SET_FRAGMENT | URL_SET_QUERY | URL_SET_SPECIAL_QUERY | URL_SET_PATH |        \
     URL_SET_USERINFO)
#define QUERIES (URL_SET_QUERY | URL_SET_SPECIAL_QUERY)
#define PATHS (URL_SET_PATH | URL_SET_USERINFO)

/* In which sets an ASCII byte from 0x20 on is; those before, and those above 0x7e, are in all. */
static const uint8_t sets[128] = {
    [' '] = URL_SET_FRAGMENT | QUERIES | PATHS,
    ['"'] = URL_SET_FRAGMENT | QUERIES | PATHS,
    ['#'] = QUERIES | PATHS,
    ['\''] = URL_SET_SPECIAL_QUERY,
    ['/'] = URL_SET_USERINFO,
    [':'] = URL_SET_USERINFO,
    [';'] = URL_SET_USERINFO,
    ['<'] = URL_SET_FRAGMENT | QUERIES | PATHS,
    ['='] = URL_SET_USERINFO,
    ['>'] = URL_SET_FRAGMENT | QUERIES | PATHS,
    ['?'] = PATHS,
    ['@'] = URL_SET_USERINFO,
    ['['] = URL_SET_USERINFO,
    ['\\'] = URL_SET_USERINFO,
    [']'] = URL_SET_USERINFO,
    ['^'] = PATHS,
    ['`'] = URL_SET_FRAGMENT | PATHS,
    ['{'] = PATHS,
    ['|'] = URL_SET_USERINFO,
    ['}'] = PATHS,
};

uint8_t *url_encode(uint8_t *out, uint8_t c, uint32_t set)
{
    static const char digits[] = "0123456789ABCDEF";
    if (c >= 0x20 && c <= 0x7e && !(sets[c] & set)) {
        *out = c;
        return out + 1;
    }
    out[0] = '%';
    out[1] = (uint8_t)digits[c >> 4];
    out[2] = (uint8_t)digits[c & 15];
    return out + 3;
}

static const struct {
    hs_span name;
    uint32_t port;
} specials[] = {
    {{(const uint8_t *)"http", 4}, 80}, {{(const uint8_t *)"https", 5}, 443},
    {{(const uint8_t *)"ws", 2}, 80},   {{(const uint8_t *)"wss", 3}, 443},
    {{(const uint8_t *)"ftp", 3}, 21},  {{(const uint8_t *)"file", 4}, 0},
};

uint32_t url_scheme_port(hs_span scheme, bool *special)
{
    *special = false;
    for (size_t i = 0; i < HS_ARRAY_LEN(specials); i++) {
        if (!hs_span_eq(scheme, specials[i].name))
            continue;
        *special = true;
        return specials[i].port;
    }
    return 0;
}

uint32_t hs_url_port(const hs_url *url)
{
    bool special;
    return url->port != HS_URL_PORT_NONE ? url->port : url_scheme_port(url->scheme, &special);
}

bool hs_url_same_origin(const hs_url *a, const hs_url *b)
{
    if (!a->special || !b->special || hs_span_eq(a->scheme, HS_SPAN("file")))
        return false;
    return hs_span_eq(a->scheme, b->scheme) && hs_span_eq(a->host, b->host) &&
           hs_url_port(a) == hs_url_port(b);
}

static uint8_t *put(uint8_t *at, hs_span s)
{
    if (s.len > 0)
        memcpy(at, s.ptr, s.len);
    return at + s.len;
}

static uint8_t *put_authority(const hs_url *u, uint8_t *at)
{
    at = put(at, HS_SPAN("//"));
    if (u->username.len + u->password.len > 0) {
        at = put(at, u->username);
        if (u->password.len > 0) {
            *at++ = ':';
            at = put(at, u->password);
        }
        *at++ = '@';
    }
    at = put(at, u->host);
    if (u->port != HS_URL_PORT_NONE) {
        *at++ = ':';
        at += hs_fmt_u64((char *)at, u->port);
    }
    return at;
}

hs_err hs_url_text(const hs_url *u, hs_arena *arena, bool with_fragment, hs_span *out)
{
    HS_ASSERT(u->scheme.len > 0);
    /* What stands between the parts: "://:@", a port, "/.", '?' and '#'. */
    size_t max = u->scheme.len + u->username.len + u->password.len + u->host.len + u->path.len +
                 u->query.len + u->fragment.len + 32;
    uint8_t *start = hs_arena_take(arena, max), *at = start;
    HS_ENSURE(start, -ENOMEM);
    at = put(at, u->scheme);
    *at++ = ':';
    if (u->host_kind != HS_URL_HOST_NONE)
        at = put_authority(u, at);
    else if (!u->opaque && hs_span_starts(u->path, HS_SPAN("//")))
        at = put(at, HS_SPAN("/.")); /* or its path would be read as an authority */
    at = put(at, u->path);
    if (u->has_query) {
        *at++ = '?';
        at = put(at, u->query);
    }
    if (with_fragment && u->has_fragment) {
        *at++ = '#';
        at = put(at, u->fragment);
    }
    HS_ASSERT((size_t)(at - start) <= max);
    *out = hs_span_of(start, (size_t)(at - start));
    return HS_OK;
}

hs_err hs_percent_decode(hs_arena *arena, hs_span text, hs_span *out)
{
    uint8_t *start = hs_arena_take(arena, text.len + 1), *at = start;
    HS_ENSURE(start, -ENOMEM);
    for (size_t i = 0; i < text.len; i++) {
        bool coded = text.ptr[i] == '%' && text.len - i > 2 && url_hex(text.ptr[i + 1]) < 16 &&
                     url_hex(text.ptr[i + 2]) < 16;
        if (coded) {
            *at++ = (uint8_t)(url_hex(text.ptr[i + 1]) << 4 | url_hex(text.ptr[i + 2]));
            i += 2;
        } else {
            *at++ = text.ptr[i];
        }
    }
    *out = hs_span_of(start, (size_t)(at - start));
    return HS_OK;
}
