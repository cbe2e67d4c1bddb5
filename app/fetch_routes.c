/* --resolve and --connect-to of `httpshard fetch`, as curl has them.
 * Tested by: tests/e2e/fetch.py. */
#include <string.h>

#include "fetch.h"
#include "hs_guard.h"

/* Cut "HOST:", of IPv6 in brackets, off *text. */
static bool cut_host(hs_span *text, hs_span *host)
{
    const uint8_t *end =
        text->len > 0 && text->ptr[0] == '[' ? memchr(text->ptr, ']', text->len) : text->ptr;
    size_t from = end ? (size_t)(end - text->ptr) : text->len;
    const uint8_t *colon = memchr(text->ptr + from, ':', text->len - from);
    if (!colon)
        return false;
    *host = hs_span_of(text->ptr, (size_t)(colon - text->ptr));
    *text = hs_span_from(*text, host->len + 1);
    return true;
}

/* A port that may be left out: 0. */
static bool read_port(hs_span text, uint16_t *port)
{
    uint64_t n = 0;
    if (text.len > 0 && (!hs_span_u64(text, UINT16_MAX, &n) || n == 0))
        return false;
    *port = (uint16_t)n;
    return true;
}

static bool cut_port(hs_span *text, uint16_t *port)
{
    const uint8_t *colon = memchr(text->ptr, ':', text->len);
    size_t len = colon ? (size_t)(colon - text->ptr) : text->len;
    if (!colon || !read_port(hs_span_of(text->ptr, len), port))
        return false;
    *text = hs_span_from(*text, len + 1);
    return true;
}

bool fetch_route_resolve(hs_fetch_route *out, const char *value)
{
    hs_span text = hs_span_str(value), bare;
    hs_net net;
    *out = (hs_fetch_route){.port = 0};
    if (text.len > 0 && text.ptr[0] == '+') /* curl: only until the name is looked up anew */
        text = hs_span_from(text, 1);
    if (!cut_host(&text, &out->host) || out->host.len == 0 || !cut_port(&text, &out->port) ||
        out->port == 0)
        return false;
    if (hs_span_eq(out->host, HS_SPAN("*")))
        out->host = hs_span_of(NULL, 0);
    bool bracketed = text.len > 2 && text.ptr[0] == '[' && text.ptr[text.len - 1] == ']';
    bare = bracketed ? hs_span_of(text.ptr + 1, text.len - 2) : text;
    if (bare.len == 0 || memchr(bare.ptr, '/', bare.len) || !hs_ok(hs_net_parse(&net, bare)))
        return false;
    out->to_host = text;
    return bracketed == net.v6;
}

bool fetch_route_connect_to(hs_fetch_route *out, const char *value)
{
    hs_span text = hs_span_str(value);
    *out = (hs_fetch_route){.port = 0};
    return cut_host(&text, &out->host) && cut_port(&text, &out->port) &&
           cut_host(&text, &out->to_host) && read_port(text, &out->to_port);
}
