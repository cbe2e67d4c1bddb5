/* A tunnel through a proxy, as bytes: see proxy.h. */
#include <errno.h>

#include "hs_assert.h"
#include "proxy.h"

/* An answer to CONNECT is short; a page that tells a person why not is not read. */
#define ANSWER_BYTES_MAX 8192
#define INTERIMS_MAX 8

static uint8_t *put(uint8_t *at, hs_span s)
{
    if (s.len > 0)
        memcpy(at, s.ptr, s.len);
    return at + s.len;
}

static uint8_t *put_target(uint8_t *at, hs_span host, uint16_t port)
{
    at = put(at, host);
    *at++ = ':';
    return at + hs_fmt_u64((char *)at, port);
}

static uint8_t *put_field(uint8_t *at, hs_span name, hs_span value)
{
    if (value.len == 0)
        return at;
    at = put(at, name);
    at = put(at, value);
    return put(at, HS_SPAN("\r\n"));
}

/* The host of a URL that was parsed has none of these; this is for any other caller. */
static bool is_host(hs_span host)
{
    for (size_t i = 0; i < host.len; i++) {
        uint8_t c = host.ptr[i];
        if (c <= 0x20 || c >= 0x7f || memchr("/?#@\\", c, 5))
            return false;
    }
    return host.len > 0;
}

hs_err proxy_connect_head(hs_arena *arena, hs_span host, uint16_t port, const proxy *via,
                          hs_span agent, hs_span *out)
{
    HS_ASSERT(port > 0);
    HS_ENSURE(is_host(host) && hs_http_is_field_value(agent), HS_E_USAGE);
    HS_ASSERT(hs_http_is_field_value(via->authorization));
    HS_ENSURE(host.len <= HS_URL_BYTES_MAX && agent.len <= HS_URL_BYTES_MAX, HS_E_USAGE);
    size_t max = 2 * host.len + via->authorization.len + agent.len + 128;
    uint8_t *start = hs_arena_take(arena, max), *at = start;
    HS_ENSURE(start, -ENOMEM);
    at = put(at, HS_SPAN("CONNECT "));
    at = put_target(at, host, port);
    at = put(at, HS_SPAN(" HTTP/1.1\r\nHost: "));
    at = put_target(at, host, port);
    at = put(at, HS_SPAN("\r\n"));
    at = put_field(at, HS_SPAN("User-Agent: "), agent);
    at = put_field(at, HS_SPAN("Proxy-Authorization: "), via->authorization);
    at = put(at, HS_SPAN("\r\n"));
    HS_ASSERT((size_t)(at - start) <= max);
    *out = hs_span_of(start, (size_t)(at - start));
    return HS_OK;
}

/* ---- the answer ---- */

void proxy_answer_init(proxy_answer *a, hs_arena *arena)
{
    HS_ASSERT(arena != NULL);
    a->arena = arena;
    a->in = NULL;
    a->in_len = a->at = 0;
    a->interims = 0;
    a->open = false;
    a->status = 0;
    h1_response_init(&a->head, HS_METHOD_CONNECT);
}

static hs_err keep(proxy_answer *a, hs_span in)
{
    if (!a->in)
        a->in = hs_arena_take(a->arena, ANSWER_BYTES_MAX);
    HS_ENSURE(a->in, -ENOMEM);
    HS_ASSERT(a->in_len <= ANSWER_BYTES_MAX);
    HS_ENSURE(in.len <= ANSWER_BYTES_MAX - a->in_len, HS_E_LIMIT);
    put(a->in + a->in_len, in);
    a->in_len += (uint32_t)in.len;
    return HS_OK;
}

/* The final head is whole. Its fields mean nothing for a tunnel (RFC 9110 section 9.3.6). */
static hs_err finish(proxy_answer *a)
{
    a->status = a->head.status;
    HS_ENSURE(a->status != 403 && a->status != 407, -EACCES);
    HS_ENSURE(a->status / 100 == 2, -ECONNREFUSED);
    HS_ENSURE(a->at == a->in_len, HS_E_PROTOCOL);
    a->open = true;
    return HS_OK;
}

hs_err proxy_answer_read(proxy_answer *a, hs_span in)
{
    static const h1_limits limits = {.head_bytes_max = ANSWER_BYTES_MAX,
                                     .target_bytes_max = ANSWER_BYTES_MAX,
                                     .fields_max = H1_RESPONSE_FIELDS_MAX};
    HS_ASSERT(!a->open && a->status == 0);
    HS_TRY(keep(a, in));
    while (a->at < a->in_len) {
        h1_result r = h1_response_scan(&a->head, a->in + a->at, a->in_len - a->at, &limits);
        if (r == H1_MORE)
            return HS_OK;
        if (r == H1_BAD)
            return a->head.err;
        HS_ASSERT(a->head.bytes > 0 && a->head.bytes <= a->in_len - a->at);
        a->at += a->head.bytes;
        if (a->head.status >= 200)
            return finish(a);
        HS_ENSURE(a->head.status != 101 && ++a->interims <= INTERIMS_MAX, HS_E_PROTOCOL);
        h1_response_init(&a->head, HS_METHOD_CONNECT);
    }
    return HS_OK;
}
