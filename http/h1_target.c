/* Request targets that are not simply a path, and authorities (RFC 9112 section 3.2, RFC 3986
 * section 3.2).
 *
 * Owns: the absolute, authority and asterisk forms; the syntax of host and port. The bytes were
 * checked against CLASS_TARGET before. Must not know: fields.
 * Tested by: tests/unit/http_h1_target.c; fuzzed by tests/fuzz/fuzz_h1_head.c. */
#include "class.h"
#include "h1_parse.h"
#include "hs_assert.h"

#define PORT_MAX 65535

static bool hex(uint8_t byte)
{
    return class_is(byte, CLASS_HEX);
}

static bool digit(uint8_t byte)
{
    return byte >= '0' && byte <= '9';
}

/* One decimal octet without leading zeros at s[*at]. */
static bool ipv4_octet(hs_span s, size_t *at)
{
    size_t from = *at;
    uint32_t value = 0;
    while (*at < s.len && digit(s.ptr[*at]) && *at - from < 3)
        value = value * 10 + (s.ptr[(*at)++] - '0');
    size_t digits = *at - from;
    return digits > 0 && value <= 255 && (digits == 1 || s.ptr[from] != '0');
}

static bool ipv4(hs_span s)
{
    size_t at = 0;
    for (int octet = 0; octet < 4; octet++) {
        if (octet > 0 && (at >= s.len || s.ptr[at++] != '.'))
            return false;
        if (!ipv4_octet(s, &at))
            return false;
    }
    return at == s.len;
}

/* RFC 3986's IPv6address: eight groups, or fewer and one "::" for at least one; the last two may be
 * written as IPv4. No zone, and no IPvFuture, which nothing uses. */
static bool ipv6(hs_span s)
{
    size_t at = 0;
    int groups = 0;
    bool gap = false;
    if (s.len >= 2 && s.ptr[0] == ':' && s.ptr[1] == ':') {
        gap = true;
        at = 2;
    }
    while (at < s.len) {
        size_t from = at;
        while (at < s.len && hex(s.ptr[at]) && at - from < 4)
            at++;
        if (at < s.len && s.ptr[at] == '.') {
            groups += 2;
            return ipv4(hs_span_from(s, from)) && (gap ? groups <= 7 : groups == 8);
        }
        if (at == from || ++groups > 8)
            return false;
        if (at == s.len)
            break;
        if (s.ptr[at++] != ':' || at == s.len)
            return false;
        if (s.ptr[at] == ':') {
            if (gap)
                return false;
            gap = true;
            at++;
        }
    }
    return gap ? groups <= 7 : groups == 8;
}

/* How long the host at the start of `s` is; 0 where there is none or it is broken. */
static size_t host_len(hs_span s)
{
    if (s.len > 0 && s.ptr[0] == '[') {
        const uint8_t *close = memchr(s.ptr, ']', s.len);
        if (close == NULL)
            return 0;
        size_t len = (size_t)(close - s.ptr) + 1;
        HS_ASSERT(len >= 2);
        return ipv6(hs_span_of(s.ptr + 1, len - 2)) ? len : 0;
    }
    size_t at = 0;
    while (at < s.len) {
        if (HS_LIKELY(class_is(s.ptr[at], CLASS_HOST)))
            at++;
        else if (s.ptr[at] == '%' && s.len - at > 2 && hex(s.ptr[at + 1]) && hex(s.ptr[at + 2]))
            at += 3;
        else
            break;
    }
    return at;
}

/* Digits alone; none at all is a port of its own in RFC 3986 ("host:"): the scheme's. */
static bool port_valid(hs_span s)
{
    uint32_t port = 0;
    for (size_t i = 0; i < s.len; i++) {
        if (!digit(s.ptr[i]))
            return false;
        port = port * 10 + (s.ptr[i] - '0');
        if (port > PORT_MAX)
            return false;
    }
    return true;
}

bool h1_authority_valid(hs_span s)
{
    size_t host = host_len(s);
    if (host == 0)
        return false;
    HS_ASSERT(host <= s.len);
    if (host == s.len)
        return true;
    return s.ptr[host] == ':' && port_valid(hs_span_from(s, host + 1));
}

/* CONNECT's host:port (RFC 9110 section 9.3.6); the port must be there. */
static h1_result authority_form(h1_head *head, hs_span target)
{
    if (!h1_authority_valid(target) || !digit(target.ptr[target.len - 1]) ||
        host_len(target) == target.len)
        return h1_bad(head, 400, "CONNECT without host:port");
    head->authority_at = head->target_at;
    head->authority_len = head->target_len;
    head->path_at = 0;
    head->path_len = 0;
    return H1_DONE;
}

static bool scheme_is(hs_span target, hs_span scheme)
{
    return target.len >= scheme.len &&
           hs_span_eq_nocase(hs_span_of(target.ptr, scheme.len), scheme);
}

/* "http://host:port/path?query": a path that is missing is "/" (RFC 9110 section 4.2.3), for which
 * the last byte of "http://" serves. A userinfo is refused (RFC 9110 section 4.2.4): it is there to
 * deceive. */
static h1_result absolute_form(h1_head *head, hs_span target, size_t scheme_len)
{
    size_t stop = scheme_len;
    while (stop < target.len && target.ptr[stop] != '/' && target.ptr[stop] != '?')
        stop++;
    hs_span authority = hs_span_of(target.ptr + scheme_len, stop - scheme_len);
    if (!h1_authority_valid(authority))
        return h1_bad(head, 400, "absolute target without a valid host");
    size_t path_end = (size_t)head->path_at + head->path_len;
    HS_ASSERT(path_end >= head->target_at + stop);
    head->absolute = true;
    head->authority_at = (uint16_t)(head->target_at + scheme_len);
    head->authority_len = (uint16_t)authority.len;
    head->path_at = (uint16_t)(head->target_at + stop);
    head->path_len = (uint16_t)(path_end - head->path_at);
    if (head->path_len == 0) {
        head->path_at = (uint16_t)(head->target_at + scheme_len - 1);
        head->path_len = 1;
    }
    return H1_DONE;
}

h1_result h1_target_form(h1_head *head, const uint8_t *base)
{
    hs_span target = h1_span(base, head->target_at, head->target_len);
    HS_ASSERT(target.len > 0);
    HS_ASSERT(head->path_at == head->target_at);
    if (head->method == HS_METHOD_CONNECT)
        return authority_form(head, target);
    if (hs_span_eq(target, HS_SPAN("*"))) {
        if (head->method != HS_METHOD_OPTIONS)
            return h1_bad(head, 400, "asterisk target without OPTIONS");
        return H1_DONE;
    }
    if (scheme_is(target, HS_SPAN("http://")))
        return absolute_form(head, target, 7);
    if (scheme_is(target, HS_SPAN("https://")))
        return absolute_form(head, target, 8);
    return h1_bad(head, 400, "target is neither a path nor an http URI");
}
