/* Addresses: see hs_addr.h. */
#include "hs_addr.h"

#include <arpa/inet.h>
#include <net/if.h>
#include <stdio.h>

#include "hs_assert.h"

static bool copy_text(char *out, size_t out_bytes, hs_span text)
{
    if (text.len >= out_bytes || (text.len > 0 && memchr(text.ptr, '\0', text.len)))
        return false;
    if (text.len > 0)
        memcpy(out, text.ptr, text.len);
    out[text.len] = '\0';
    return true;
}

static bool parse_v4(hs_addr *out, hs_span host, uint16_t port)
{
    char text[INET_ADDRSTRLEN];
    out->sa.v4 = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(port)};
    out->len = sizeof out->sa.v4;
    if (host.len == 0)
        return true;
    return copy_text(text, sizeof text, host) &&
           inet_pton(AF_INET, text, &out->sa.v4.sin_addr) == 1;
}

/* A zone's number, or the name of an interface of this machine (RFC 4007 section 11.2). */
static bool parse_zone(hs_span text, uint64_t *zone)
{
    char name[IF_NAMESIZE];
    if (hs_span_u64(text, UINT32_MAX, zone))
        return true;
    if (text.len == 0 || !copy_text(name, sizeof name, text))
        return false;
    *zone = if_nametoindex(name);
    return *zone > 0;
}

static bool parse_v6(hs_addr *out, hs_span host, uint16_t port)
{
    char text[INET6_ADDRSTRLEN];
    uint64_t zone = 0;
    const uint8_t *percent = host.len ? memchr(host.ptr, '%', host.len) : NULL;
    if (percent) {
        size_t at = (size_t)(percent - host.ptr);
        if (!parse_zone(hs_span_from(host, at + 1), &zone))
            return false;
        host.len = at;
    }
    out->sa.v6 = (struct sockaddr_in6){
        .sin6_family = AF_INET6, .sin6_port = htons(port), .sin6_scope_id = (uint32_t)zone};
    out->len = sizeof out->sa.v6;
    return copy_text(text, sizeof text, host) &&
           inet_pton(AF_INET6, text, &out->sa.v6.sin6_addr) == 1;
}

/* ---- Unix sockets ---- */

#define UNIX_NAME_AT offsetof(struct sockaddr_un, sun_path)

/* A path ends in a NUL that belongs to the address; an abstract name begins with one and is as long
 * as the address says (unix(7)). */
static hs_err parse_unix(hs_addr *out, hs_span name)
{
    HS_ENSURE(name.len > 0 && !memchr(name.ptr, '\0', name.len), HS_E_USAGE);
    bool abstract = name.ptr[0] == '@';
    if (abstract)
        name = hs_span_from(name, 1);
    HS_ENSURE(name.len > 0, HS_E_USAGE);
    HS_ENSURE(name.len <= HS_UNIX_NAME_MAX, HS_E_LIMIT);
    memset(&out->sa, 0, sizeof out->sa);
    out->sa.un.sun_family = AF_UNIX;
    memcpy(out->sa.un.sun_path + abstract, name.ptr, name.len);
    out->len = (socklen_t)(UNIX_NAME_AT + name.len + 1);
    return HS_OK;
}

/* All bytes after the family, without the NUL at the end of a path. */
static hs_span unix_name(const hs_addr *addr)
{
    const char *name = addr->sa.un.sun_path;
    size_t len = addr->len > UNIX_NAME_AT ? addr->len - UNIX_NAME_AT : 0;
    len = HS_MIN(len, sizeof addr->sa.un.sun_path);
    return hs_span_of(name, len > 0 && name[0] != '\0' ? strnlen(name, len) : len);
}

static void format_unix(const hs_addr *addr, char *out)
{
    hs_span name = unix_name(addr);
    HS_STATIC_ASSERT(HS_ADDR_TEXT_BYTES > sizeof addr->sa.un.sun_path + 5, "the text fits");
    memcpy(out, "unix:", 5);
    for (size_t i = 0; i < name.len; i++)
        out[5 + i] = (char)(name.ptr[i] == '\0' ? '@' : name.ptr[i]);
    out[5 + name.len] = '\0';
}

hs_span hs_addr_path(const hs_addr *addr)
{
    if (!hs_addr_is_unix(addr))
        return hs_span_of(NULL, 0);
    hs_span name = unix_name(addr);
    return name.len > 0 && name.ptr[0] != '\0' ? name : hs_span_of(NULL, 0);
}

/* ---- any ---- */

hs_err hs_addr_parse(hs_addr *out, hs_span text)
{
    HS_ASSERT(out != NULL);
    if (hs_span_starts(text, HS_SPAN("unix:")))
        return parse_unix(out, hs_span_from(text, 5));
    const uint8_t *colon = text.len ? memrchr(text.ptr, ':', text.len) : NULL;
    HS_ENSURE(colon, HS_E_USAGE);
    size_t at = (size_t)(colon - text.ptr);
    uint64_t port;
    HS_ENSURE(hs_span_u64(hs_span_from(text, at + 1), UINT16_MAX, &port), HS_E_USAGE);
    hs_span host = hs_span_of(text.ptr, at);
    bool bracketed = at >= 2 && host.ptr[0] == '[' && host.ptr[at - 1] == ']';
    bool ok = bracketed ? parse_v6(out, hs_span_of(host.ptr + 1, at - 2), (uint16_t)port)
                        : parse_v4(out, host, (uint16_t)port);
    return ok ? HS_OK : hs_err_of(HS_E_USAGE);
}

const char *hs_addr_format(const hs_addr *addr, char *out)
{
    HS_ASSERT(out != NULL);
    char host[INET6_ADDRSTRLEN] = "";
    uint32_t zone = 0;
    if (hs_addr_is_unix(addr)) {
        format_unix(addr, out);
        return out;
    }
    bool v6 = addr->sa.any.sa_family == AF_INET6;
    if (v6) {
        zone = addr->sa.v6.sin6_scope_id;
        (void)inet_ntop(AF_INET6, &addr->sa.v6.sin6_addr, host, sizeof host);
    } else {
        HS_ASSERT(addr->sa.any.sa_family == AF_INET);
        (void)inet_ntop(AF_INET, &addr->sa.v4.sin_addr, host, sizeof host);
    }
    if (zone)
        snprintf(out, HS_ADDR_TEXT_BYTES, "[%s%%%u]:%u", host, zone, hs_addr_port(addr));
    else
        snprintf(out, HS_ADDR_TEXT_BYTES, v6 ? "[%s]:%u" : "%s:%u", host, hs_addr_port(addr));
    return out;
}

uint16_t hs_addr_port(const hs_addr *addr)
{
    switch (addr->sa.any.sa_family) {
    case AF_INET:
        return ntohs(addr->sa.v4.sin_port);
    case AF_INET6:
        return ntohs(addr->sa.v6.sin6_port);
    default:
        return 0;
    }
}

void hs_addr_set_port(hs_addr *addr, uint16_t port)
{
    HS_ASSERT(addr->sa.any.sa_family == AF_INET || addr->sa.any.sa_family == AF_INET6);
    if (addr->sa.any.sa_family == AF_INET6)
        addr->sa.v6.sin6_port = htons(port);
    else
        addr->sa.v4.sin_port = htons(port);
}

bool hs_addr_eq(const hs_addr *a, const hs_addr *b)
{
    if (a->sa.any.sa_family != b->sa.any.sa_family)
        return false;
    switch (a->sa.any.sa_family) {
    case AF_INET:
        return a->sa.v4.sin_port == b->sa.v4.sin_port &&
               a->sa.v4.sin_addr.s_addr == b->sa.v4.sin_addr.s_addr;
    case AF_INET6:
        return a->sa.v6.sin6_port == b->sa.v6.sin6_port &&
               a->sa.v6.sin6_scope_id == b->sa.v6.sin6_scope_id &&
               memcmp(&a->sa.v6.sin6_addr, &b->sa.v6.sin6_addr, sizeof a->sa.v6.sin6_addr) == 0;
    default:
        return hs_span_eq(unix_name(a), unix_name(b));
    }
}
