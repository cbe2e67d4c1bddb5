/* Addresses: see hs_addr.h. */
#include "hs_addr.h"

#include <arpa/inet.h>
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

static bool parse_v6(hs_addr *out, hs_span host, uint16_t port)
{
    char text[INET6_ADDRSTRLEN];
    uint64_t zone = 0;
    const uint8_t *percent = host.len ? memchr(host.ptr, '%', host.len) : NULL;
    if (percent) {
        size_t at = (size_t)(percent - host.ptr);
        if (!hs_span_u64(hs_span_from(host, at + 1), UINT32_MAX, &zone))
            return false;
        host.len = at;
    }
    out->sa.v6 = (struct sockaddr_in6){
        .sin6_family = AF_INET6, .sin6_port = htons(port), .sin6_scope_id = (uint32_t)zone};
    out->len = sizeof out->sa.v6;
    return copy_text(text, sizeof text, host) &&
           inet_pton(AF_INET6, text, &out->sa.v6.sin6_addr) == 1;
}

hs_err hs_addr_parse(hs_addr *out, hs_span text)
{
    HS_ASSERT(out != NULL);
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
    return ntohs(addr->sa.any.sa_family == AF_INET6 ? addr->sa.v6.sin6_port : addr->sa.v4.sin_port);
}

void hs_addr_set_port(hs_addr *addr, uint16_t port)
{
    if (addr->sa.any.sa_family == AF_INET6)
        addr->sa.v6.sin6_port = htons(port);
    else
        addr->sa.v4.sin_port = htons(port);
}
