/* A connection through a SOCKS5 proxy, as bytes (RFC 1928, RFC 1929): see proxy.h. */
#include <errno.h>

#include "hs_assert.h"
#include "proxy.h"

#define VERSION 5
#define AUTH_VERSION 1

enum { METHOD_NONE = 0, METHOD_PASSWORD = 2, METHOD_REFUSED = 0xff };
enum { ADDRESS_IPV4 = 1, ADDRESS_NAME = 3, ADDRESS_IPV6 = 4 };
enum { STEP_METHOD, STEP_PASSWORD, STEP_REPLY, STEP_OPEN };

static bool has_password(const proxy *via)
{
    return via->username.len + via->password.len > 0;
}

void proxy_socks_begin(proxy_socks *s, const proxy *via, const hs_url *url, hs_span *out)
{
    HS_ASSERT(via->socks && url->host.len > 0 && url->host.len <= PROXY_HOST_BYTES_MAX);
    *s = (proxy_socks){.via = via, .url = url};
    uint8_t *at = s->out;
    *at++ = VERSION;
    *at++ = has_password(via) ? 2 : 1;
    *at++ = METHOD_NONE;
    if (has_password(via))
        *at++ = METHOD_PASSWORD;
    *out = hs_span_of(s->out, (size_t)(at - s->out));
}

static uint8_t *put(uint8_t *at, hs_span s)
{
    if (s.len > 0)
        memcpy(at, s.ptr, s.len);
    return at + s.len;
}

/* RFC 1929 section 2. */
static hs_span password_message(proxy_socks *s)
{
    uint8_t *at = s->out;
    HS_ASSERT(s->via->username.len <= UINT8_MAX && s->via->password.len <= UINT8_MAX);
    *at++ = AUTH_VERSION;
    *at++ = (uint8_t)s->via->username.len;
    at = put(at, s->via->username);
    *at++ = (uint8_t)s->via->password.len;
    at = put(at, s->via->password);
    s->step = STEP_PASSWORD;
    return hs_span_of(s->out, (size_t)(at - s->out));
}

/* CONNECT to the URL's host and port (RFC 1928 section 4). */
static hs_span request_message(proxy_socks *s)
{
    const hs_url *url = s->url;
    uint16_t port = (uint16_t)hs_url_port(url);
    uint8_t *at = put(s->out, HS_SPAN("\x05\x01"));
    *at++ = 0;
    if (url->host_kind == HS_URL_HOST_IPV4) {
        *at++ = ADDRESS_IPV4;
        at = put(at, hs_span_of(url->addr, 4));
    } else if (url->host_kind == HS_URL_HOST_IPV6) {
        *at++ = ADDRESS_IPV6;
        at = put(at, hs_span_of(url->addr, 16));
    } else {
        *at++ = ADDRESS_NAME;
        *at++ = (uint8_t)url->host.len;
        at = put(at, url->host);
    }
    *at++ = (uint8_t)(port >> 8);
    *at++ = (uint8_t)port;
    HS_ASSERT((size_t)(at - s->out) <= sizeof s->out);
    s->step = STEP_REPLY;
    return hs_span_of(s->out, (size_t)(at - s->out));
}

static hs_err fail(proxy_socks *s, int32_t err, const char *text)
{
    s->text = text;
    return hs_err_of(err);
}

static hs_err read_method(proxy_socks *s, hs_span *out)
{
    uint8_t method = s->in[1];
    if (method == METHOD_REFUSED)
        return fail(s, -EACCES,
                    has_password(s->via) ? "it takes no client that has a name and a password alone"
                                         : "it wants a name and a password");
    if (method == METHOD_PASSWORD && has_password(s->via))
        *out = password_message(s);
    else if (method == METHOD_NONE)
        *out = request_message(s);
    else
        return fail(s, HS_E_PROTOCOL, "it chose a method that it was not offered");
    return HS_OK;
}

/* What the second byte of a reply says (RFC 1928 section 6). */
static hs_err read_status(proxy_socks *s, uint8_t status)
{
    static const struct {
        int32_t err;
        const char *text;
    } says[] = {
        [1] = {-ECONNREFUSED, "it makes no connection to the host"},
        [2] = {-EACCES, "it does not let us there"},
        [3] = {-ENETUNREACH, "it does not reach the host's network"},
        [4] = {-EHOSTUNREACH, "it does not reach the host"},
        [5] = {-ECONNREFUSED, "the host refuses its connection"},
        [6] = {-EHOSTUNREACH, "the host is too far away for it"},
        [7] = {-ECONNREFUSED, "it makes no connections"},
        [8] = {-EAFNOSUPPORT, "it does not know this kind of address"},
    };
    if (status == 0)
        return HS_OK;
    if (status >= HS_ARRAY_LEN(says))
        status = 1;
    return fail(s, says[status].err, says[status].text);
}

/* How long the message is that is being read, by what of it is there. Errors: why it is none. */
static hs_err want(proxy_socks *s, size_t *len)
{
    *len = 2;
    /* The version of a password's answer is not looked at, as by curl: there are servers that
     * say 5. */
    if (s->step != STEP_PASSWORD && s->in_len > 0 && s->in[0] != VERSION)
        return fail(s, HS_E_PROTOCOL, "it does not speak SOCKS5");
    if (s->step != STEP_REPLY || s->in_len < 2)
        return HS_OK;
    HS_TRY(read_status(s, s->in[1]));
    *len = 5;
    if (s->in_len < 5)
        return HS_OK;
    if (s->in[3] == ADDRESS_IPV4)
        *len = 4 + 4 + 2;
    else if (s->in[3] == ADDRESS_IPV6)
        *len = 4 + 16 + 2;
    else if (s->in[3] == ADDRESS_NAME)
        *len = 4 + 1 + (size_t)s->in[4] + 2;
    else
        return fail(s, HS_E_PROTOCOL, "its reply has an address of no kind");
    return HS_OK;
}

/* A message is whole: what follows it. */
static hs_err step(proxy_socks *s, hs_span *out)
{
    s->in_len = 0;
    if (s->step == STEP_METHOD)
        return read_method(s, out);
    if (s->step == STEP_REPLY) {
        s->step = STEP_OPEN;
        return HS_OK;
    }
    if (s->in[1] != 0)
        return fail(s, -EACCES, "it does not take our name and password");
    *out = request_message(s);
    return HS_OK;
}

hs_err proxy_socks_read(proxy_socks *s, hs_span in, hs_span *out)
{
    *out = hs_span_of(NULL, 0);
    HS_ASSERT(!s->open && s->step != STEP_OPEN);
    for (size_t i = 0; i < in.len; i++) {
        size_t len;
        /* A peer that says more than was asked, before it was asked or behind its last word. */
        if (out->len > 0 || s->step == STEP_OPEN)
            return fail(s, HS_E_PROTOCOL, "it sent more than its answer");
        HS_ASSERT(s->in_len < sizeof s->in);
        s->in[s->in_len++] = in.ptr[i];
        HS_TRY(want(s, &len));
        if (s->in_len == len)
            HS_TRY(step(s, out));
    }
    s->open = s->step == STEP_OPEN;
    return HS_OK;
}
