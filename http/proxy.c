/* Which proxy a URL goes through: see proxy.h. */
#include "proxy.h"

#include <errno.h>
#include <stdio.h>

#include "hs_assert.h"
#include "hs_base64.h"
#include "hs_guard.h"

/* Of a variable in an error's text. */
#define SHOWN_BYTES_MAX 80
/* Where SOCKS proxies listen (RFC 1928 section 3). */
#define SOCKS_PORT 1080
/* "[", an IPv6 address, "]/128". */
#define NET_BYTES_MAX 64

/* ---- the environment ---- */

/* The value of `name`, empty where it is not there. */
static hs_span value_of(const char *const *env, const char *name)
{
    size_t len = strlen(name);
    for (size_t i = 0; env[i]; i++) {
        if (strncmp(env[i], name, len) == 0 && env[i][len] == '=')
            return hs_span_str(env[i] + len + 1);
    }
    return hs_span_of(NULL, 0);
}

/* The first of two variables that has a value; *name says which. NULL: not to be looked at. */
static hs_span first_of(const char *const *env, const char *small, const char *capital,
                        const char **name)
{
    hs_span value = value_of(env, small);
    *name = small;
    if (value.len > 0 || !capital)
        return value;
    *name = capital;
    return value_of(env, capital);
}

static bool has_scheme(hs_span text)
{
    return text.len > 0 && memmem(text.ptr, text.len, "://", 3) != NULL;
}

static hs_err authorization_of(const hs_url *url, hs_arena *arena, hs_span *out)
{
    hs_span name, password;
    if (url->username.len == 0 && url->password.len == 0)
        return HS_OK;
    HS_TRY(hs_percent_decode(arena, url->username, &name));
    HS_TRY(hs_percent_decode(arena, url->password, &password));
    return hs_basic_auth(arena, name, password, out);
}

/* `before` and `text`, parsed. */
static hs_err parse_with(hs_url *url, hs_arena *arena, hs_span before, hs_span text)
{
    uint8_t *with = hs_arena_take(arena, before.len + text.len + 1);
    HS_ENSURE(with, -ENOMEM);
    memcpy(with, before.ptr, before.len);
    if (text.len > 0)
        memcpy(with + before.len, text.ptr, text.len);
    hs_err err = hs_url_parse(url, arena, hs_span_of(with, before.len + text.len), NULL);
    return err.code == HS_E_LIMIT ? hs_err_of(HS_E_USAGE) : err;
}

/* What follows "socks5://" or "socks5h://"; empty: it is neither. */
static hs_span after_socks(hs_span text)
{
    static const char *const schemes[] = {"socks5://", "socks5h://"};
    for (size_t i = 0; i < HS_ARRAY_LEN(schemes); i++) {
        hs_span scheme = hs_span_str(schemes[i]);
        if (text.len > scheme.len && hs_span_eq_nocase(hs_span_of(text.ptr, scheme.len), scheme))
            return hs_span_from(text, scheme.len);
    }
    return hs_span_of(NULL, 0);
}

/* A host as that of an http: URL, whose own port is told from none by a second look. */
static hs_err parse_socks(proxy *out, hs_arena *arena, hs_span text)
{
    hs_url url;
    HS_TRY(parse_with(&url, arena, HS_SPAN("https://"), text));
    uint32_t port = url.port;
    HS_TRY(parse_with(&url, arena, HS_SPAN("http://"), text));
    if (port == HS_URL_PORT_NONE)
        port = url.port == HS_URL_PORT_NONE ? SOCKS_PORT : url.port;
    HS_ENSURE(port > 0 && url.host.len <= PROXY_HOST_BYTES_MAX, HS_E_USAGE);
    out->socks = true;
    out->port = (uint16_t)port;
    out->host = url.host;
    HS_TRY(hs_percent_decode(arena, url.username, &out->username));
    HS_TRY(hs_percent_decode(arena, url.password, &out->password));
    HS_ENSURE(out->username.len <= UINT8_MAX && out->password.len <= UINT8_MAX, HS_E_USAGE);
    return HS_OK;
}

static hs_err parse_proxy(proxy *out, hs_arena *arena, hs_span text)
{
    hs_url url;
    hs_span socks = after_socks(text);
    if (socks.len > 0)
        return parse_socks(out, arena, socks);
    HS_TRY(parse_with(&url, arena, has_scheme(text) ? HS_SPAN("") : HS_SPAN("http://"), text));
    out->secure = hs_span_eq(url.scheme, HS_SPAN("https"));
    HS_ENSURE(out->secure || hs_span_eq(url.scheme, HS_SPAN("http")), HS_E_USAGE);
    HS_ENSURE(hs_url_port(&url) > 0 && url.host.len <= PROXY_HOST_BYTES_MAX, HS_E_USAGE);
    out->port = (uint16_t)hs_url_port(&url);
    out->host = url.host;
    return authorization_of(&url, arena, &out->authorization);
}

/* What a variable holds, as it may be shown: without name and password, which end at the last '@',
 * and in one line. */
static hs_span shown(uint8_t room[SHOWN_BYTES_MAX], hs_span value)
{
    const uint8_t *slashes = memmem(value.ptr, value.len, "://", 3);
    const uint8_t *at = memrchr(value.ptr, '@', value.len);
    size_t from = slashes ? (size_t)(slashes - value.ptr) + 3 : 0, len = 0;
    size_t until = at ? (size_t)(at - value.ptr) : from;
    for (size_t i = 0; i < value.len && len < SHOWN_BYTES_MAX; i++) {
        uint8_t c = value.ptr[i];
        if (i == from && until > from)
            c = '*';
        else if (i > from && i < until)
            continue;
        room[len++] = c < 0x20 || c == 0x7f ? '?' : c;
    }
    return hs_span_of(room, len);
}

/* The variable names no proxy that can be used. It is a fault of the fetches that would need it. */
static hs_err set_fault(proxy *out, hs_arena *arena, const char *name, hs_span value,
                        const char *reason)
{
    uint8_t room[SHOWN_BYTES_MAX];
    hs_span text = shown(room, value);
    size_t max = strlen(name) + text.len + strlen(reason) + 4;
    char *fault = hs_arena_take(arena, max);
    HS_ENSURE(fault, -ENOMEM);
    int len =
        snprintf(fault, max, "%s=%.*s: %s", name, (int)text.len, (const char *)text.ptr, reason);
    HS_ASSERT(len > 0 && (size_t)len < max);
    *out = (proxy){.fault = fault};
    return HS_OK;
}

static hs_err read_one(proxy *out, hs_arena *arena, hs_span text, const char *name, bool tls)
{
    *out = (proxy){.port = 0};
    if (text.len == 0)
        return HS_OK;
    hs_err err = parse_proxy(out, arena, text);
    if (err.code == HS_E_USAGE)
        return set_fault(out, arena, name, text,
                         "not a proxy: want http://, https://, socks5:// or socks5h://HOST:PORT");
    HS_TRY(err);
    HS_ASSERT(out->host.len > 0 && out->port > 0);
    if (out->secure && !tls)
        return set_fault(out, arena, name, text, "a proxy over TLS, and the client has none");
    return HS_OK;
}

/* ---- names in other letters than ASCII ---- */

/* Whether `c` stands between two patterns of a list. */
static bool is_between(uint8_t c)
{
    return c == ',' || c == ' ' || c == '\t';
}

/* The first pattern of a list, which may be empty. */
static hs_span first_pattern(hs_span list)
{
    size_t len = 0;
    while (len < list.len && !is_between(list.ptr[len]))
        len++;
    return hs_span_of(list.ptr, len);
}

static bool is_ascii(hs_span s)
{
    for (size_t i = 0; i < s.len; i++)
        if (s.ptr[i] >= 0x80)
            return false;
    return true;
}

/* The host of a pattern as a URL has it, by A-labels (RFC 5890): what is before it, such as "*.",
 * and behind it, such as ":80", stays. A pattern that is no name stays as it is. Errors: -ENOMEM.
 */
static hs_err normal_pattern(hs_arena *arena, hs_span pattern, hs_span *out)
{
    size_t from = hs_span_starts(pattern, HS_SPAN("*.")) ? 2 : pattern.ptr[0] == '.';
    const uint8_t *colon = memrchr(pattern.ptr, ':', pattern.len);
    size_t until = colon ? (size_t)(colon - pattern.ptr) : pattern.len;
    hs_url url;
    *out = pattern;
    if (is_ascii(pattern) || until <= from)
        return HS_OK;
    size_t host_len = until - from, behind = pattern.len - until;
    uint8_t *text = hs_arena_take(arena, pattern.len + 7 + PROXY_HOST_BYTES_MAX);
    HS_ENSURE(text, -ENOMEM);
    memcpy(text, "http://", 7);
    memcpy(text + 7, pattern.ptr + from, host_len);
    hs_err err = hs_url_parse(&url, arena, hs_span_of(text, 7 + host_len), NULL);
    HS_ENSURE(err.code != -ENOMEM, -ENOMEM);
    if (!hs_ok(err) || url.host.len > PROXY_HOST_BYTES_MAX)
        return HS_OK;
    memcpy(text, pattern.ptr, from);
    memcpy(text + from, url.host.ptr, url.host.len);
    memcpy(text + from + url.host.len, pattern.ptr + until, behind);
    *out = hs_span_of(text, from + url.host.len + behind);
    return HS_OK;
}

/* All patterns of a list. */
static hs_err read_none(hs_span *out, hs_arena *arena, hs_span list)
{
    if (is_ascii(list))
        return list.len > 0 ? hs_arena_copy(arena, list, out) : HS_OK;
    size_t max = 0;
    for (hs_span left = list; left.len > 0;) {
        hs_span pattern = first_pattern(left);
        max += pattern.len + 1 + (is_ascii(pattern) ? 0 : PROXY_HOST_BYTES_MAX);
        left = hs_span_from(left, HS_MIN(pattern.len + 1, left.len));
    }
    uint8_t *text = hs_arena_take(arena, max), *at = text;
    HS_ENSURE(text, -ENOMEM);
    while (list.len > 0) {
        hs_span pattern = first_pattern(list);
        list = hs_span_from(list, HS_MIN(pattern.len + 1, list.len));
        if (pattern.len == 0)
            continue;
        HS_TRY(normal_pattern(arena, pattern, &pattern));
        HS_ASSERT(pattern.len + 1 <= max - (size_t)(at - text));
        memcpy(at, pattern.ptr, pattern.len);
        at += pattern.len;
        *at++ = ',';
    }
    *out = hs_span_of(text, (size_t)(at - text));
    return HS_OK;
}

hs_err proxy_set_read(proxy_set *out, hs_arena *arena, const char *const *env, bool tls)
{
    HS_ASSERT(env != NULL);
    const char *name, *name_all;
    *out = (proxy_set){.none = {NULL, 0}};
    bool cgi = value_of(env, "REQUEST_METHOD").len > 0;
    hs_span all = first_of(env, "all_proxy", "ALL_PROXY", &name_all);
    hs_span one = first_of(env, "http_proxy", cgi ? NULL : "HTTP_PROXY", &name);
    HS_TRY(read_one(&out->http, arena, one.len ? one : all, one.len ? name : name_all, tls));
    one = first_of(env, "https_proxy", "HTTPS_PROXY", &name);
    HS_TRY(read_one(&out->https, arena, one.len ? one : all, one.len ? name : name_all, tls));
    one = first_of(env, "no_proxy", "NO_PROXY", &name);
    return read_none(&out->none, arena, one);
}

/* ---- whom no proxy is for ---- */

/* Cut ":port" off a pattern; 0: there is none. An IPv6 address has colons of its own: without
 * brackets none of them is a port's. */
static uint32_t cut_port(hs_span *pattern)
{
    const uint8_t *colon = memrchr(pattern->ptr, ':', pattern->len);
    uint64_t port;
    if (!colon)
        return 0;
    size_t at = (size_t)(colon - pattern->ptr);
    bool bracketed = pattern->ptr[0] == '[' && memchr(pattern->ptr, ']', at);
    if (!bracketed && memchr(pattern->ptr, ':', at))
        return 0;
    if (!hs_span_u64(hs_span_from(*pattern, at + 1), UINT16_MAX, &port) || port == 0)
        return 0;
    pattern->len = at;
    return (uint32_t)port;
}

static hs_span without_dot_at_end(hs_span name)
{
    if (name.len > 0 && name.ptr[name.len - 1] == '.')
        name.len--;
    return name;
}

static bool name_matches(hs_span pattern, hs_span host)
{
    if (hs_span_starts(pattern, HS_SPAN("*.")))
        pattern = hs_span_from(pattern, 1);
    if (hs_span_starts(pattern, HS_SPAN(".")))
        pattern = hs_span_from(pattern, 1);
    pattern = without_dot_at_end(pattern);
    host = without_dot_at_end(host);
    if (pattern.len == 0 || pattern.len > host.len)
        return false;
    size_t at = host.len - pattern.len;
    return hs_span_eq_nocase(hs_span_from(host, at), pattern) &&
           (at == 0 || host.ptr[at - 1] == '.');
}

/* "[::1]" and "[fd00::]/8" are ::1 and fd00::/8. False: too long to be either. */
static bool cut_brackets(hs_span *pattern, uint8_t room[NET_BYTES_MAX])
{
    const uint8_t *end = memchr(pattern->ptr, ']', pattern->len);
    if (pattern->ptr[0] != '[' || !end)
        return true;
    size_t inside = (size_t)(end - pattern->ptr) - 1, behind = pattern->len - inside - 2;
    if (inside + behind > NET_BYTES_MAX)
        return false;
    memcpy(room, pattern->ptr + 1, inside);
    memcpy(room + inside, end + 1, behind);
    *pattern = hs_span_of(room, inside + behind);
    return behind == 0 || end[1] == '/';
}

static bool address_matches(hs_span pattern, const hs_url *url)
{
    hs_net net;
    hs_addr addr = {.len = sizeof addr.sa.v6};
    uint8_t room[NET_BYTES_MAX];
    pattern = without_dot_at_end(pattern);
    if (pattern.len == 0 || !cut_brackets(&pattern, room) || !hs_ok(hs_net_parse(&net, pattern)))
        return false;
    addr.sa.any.sa_family = url->host_kind == HS_URL_HOST_IPV4 ? AF_INET : AF_INET6;
    if (url->host_kind == HS_URL_HOST_IPV4)
        memcpy(&addr.sa.v4.sin_addr, url->addr, 4);
    else
        memcpy(&addr.sa.v6.sin6_addr, url->addr, 16);
    return hs_net_has(&net, &addr);
}

static bool matches(hs_span pattern, const hs_url *url)
{
    if (hs_span_eq(pattern, HS_SPAN("*")))
        return true;
    uint32_t port = cut_port(&pattern);
    if (port != 0 && port != hs_url_port(url))
        return false;
    return url->host_kind == HS_URL_HOST_DOMAIN ? name_matches(pattern, url->host)
                                                : address_matches(pattern, url);
}

static bool is_excepted(hs_span list, const hs_url *url)
{
    while (list.len > 0) {
        hs_span pattern = first_pattern(list);
        if (pattern.len > 0 && matches(pattern, url))
            return true;
        list = hs_span_from(list, HS_MIN(pattern.len + 1, list.len));
    }
    return false;
}

const proxy *proxy_for(const proxy_set *set, const hs_url *url)
{
    const proxy *p = NULL;
    if (hs_span_eq(url->scheme, HS_SPAN("http")))
        p = &set->http;
    else if (hs_span_eq(url->scheme, HS_SPAN("https")))
        p = &set->https;
    if (!p || (p->host.len == 0 && !p->fault) || is_excepted(set->none, url))
        return NULL;
    HS_ASSERT(p->port > 0 || p->fault);
    return p;
}
