/* The guard against server-side request forgery: see hs_guard.h. */
#include "hs_guard.h"

#include <arpa/inet.h>

#include "hs_assert.h"

#define V4(a, b, c, d, n)                                                                          \
    {                                                                                              \
        .addr = {a, b, c, d}, .bits = n                                                            \
    }
#define V6(n, ...)                                                                                 \
    {                                                                                              \
        .addr = {__VA_ARGS__}, .bits = n, .v6 = true                                               \
    }

/* IANA's "IPv4 Special-Purpose Address Registry", without what it says is globally reachable, and
 * two more blocks and one address. */
static const hs_net special_v4[] = {
    V4(0, 0, 0, 0, 8),        /* this network (RFC 791); Linux takes 0.0.0.0 for this host */
    V4(10, 0, 0, 0, 8),       /* private (RFC 1918) */
    V4(100, 64, 0, 0, 10),    /* shared, behind a carrier's NAT (RFC 6598); Alibaba's metadata */
    V4(127, 0, 0, 0, 8),      /* loopback (RFC 1122) */
    V4(168, 63, 129, 16, 32), /* Azure's platform, in what looks like public space */
    V4(169, 254, 0, 0, 16),   /* link-local (RFC 3927); most clouds' metadata */
    V4(172, 16, 0, 0, 12),    /* private */
    V4(192, 0, 0, 0, 24),     /* IETF protocol assignments (RFC 6890) */
    V4(192, 0, 2, 0, 24),     /* documentation (RFC 5737) */
    V4(192, 88, 99, 0, 24),   /* 6to4 relays, deprecated (RFC 7526) */
    V4(192, 168, 0, 0, 16),   /* private */
    V4(198, 18, 0, 0, 15),    /* benchmarking (RFC 2544) */
    V4(198, 51, 100, 0, 24),  /* documentation */
    V4(203, 0, 113, 0, 24),   /* documentation */
    V4(224, 0, 0, 0, 4),      /* multicast (RFC 5771) */
    V4(240, 0, 0, 0, 4),      /* reserved (RFC 1112), and 255.255.255.255 */
};

/* The other way round: all that IANA hands out as global unicast, since every other block is
 * special or not in use, and most of the space is. */
static const hs_net global_v6 = V6(3, 0x20);
/* What is special in it. */
static const hs_net special_v6[] = {
    V6(23, 0x20, 0x01),             /* IETF protocol assignments (RFC 2928): Teredo (2001::/32,
                                       RFC 4380), benchmarking, ORCHIDs (RFC 4843, 7343) */
    V6(32, 0x20, 0x01, 0x0d, 0xb8), /* documentation (RFC 3849) */
    V6(16, 0x20, 0x02),             /* 6to4 (RFC 3056): any IPv4 address is in there */
    V6(20, 0x3f, 0xff, 0x00),       /* documentation (RFC 9637) */
};

/* IPv6 addresses whose last four bytes are an IPv4 one that they lead to. */
static const hs_net around_v4[] = {
    V6(96, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff), /* mapped (RFC 4291 section 2.5.5.2) */
    V6(96, 0),                                        /* compatible (section 2.5.5.1) */
    V6(96, 0x00, 0x64, 0xff, 0x9b),                   /* NAT64 (RFC 6052) */
};

/* ---- networks ---- */

static bool has(const hs_net *net, bool v6, const uint8_t *bytes)
{
    HS_ASSERT(net->bits <= (net->v6 ? 128 : 32));
    if (net->v6 != v6)
        return false;
    size_t whole = net->bits / 8;
    if (memcmp(net->addr, bytes, whole) != 0)
        return false;
    uint8_t rest = (uint8_t)(0xff00 >> net->bits % 8);
    return net->bits % 8 == 0 || (bytes[whole] & rest) == net->addr[whole];
}

static bool any_has(const hs_net *nets, size_t len, bool v6, const uint8_t *bytes)
{
    for (size_t i = 0; i < len; i++) {
        if (has(&nets[i], v6, bytes))
            return true;
    }
    return false;
}

/* The bytes of an address that is IPv4 or IPv6, and of the IPv4 one inside. */
typedef struct parts {
    const uint8_t *v4, *v6; /* NULL: it is not one */
} parts;

static parts parts_of(const hs_addr *addr)
{
    parts p = {NULL, NULL};
    if (addr->sa.any.sa_family == AF_INET) {
        HS_ASSERT(addr->len >= sizeof addr->sa.v4);
        p.v4 = (const uint8_t *)&addr->sa.v4.sin_addr;
    } else if (addr->sa.any.sa_family == AF_INET6) {
        HS_ASSERT(addr->len >= sizeof addr->sa.v6);
        p.v6 = (const uint8_t *)&addr->sa.v6.sin6_addr;
        if (any_has(around_v4, HS_ARRAY_LEN(around_v4), true, p.v6))
            p.v4 = p.v6 + 12;
    }
    return p;
}

bool hs_net_has(const hs_net *net, const hs_addr *addr)
{
    parts p = parts_of(addr);
    return (p.v4 && has(net, false, p.v4)) || (p.v6 && has(net, true, p.v6));
}

hs_err hs_net_parse(hs_net *out, hs_span text)
{
    char host[INET6_ADDRSTRLEN];
    const uint8_t *slash = text.len > 0 ? memchr(text.ptr, '/', text.len) : NULL;
    size_t len = slash ? (size_t)(slash - text.ptr) : text.len;
    HS_ENSURE(len > 0 && len < sizeof host && !memchr(text.ptr, '\0', len), HS_E_USAGE);
    memcpy(host, text.ptr, len);
    host[len] = '\0';
    *out = (hs_net){.v6 = memchr(host, ':', len) != NULL};
    HS_ENSURE(inet_pton(out->v6 ? AF_INET6 : AF_INET, host, out->addr) == 1, HS_E_USAGE);
    uint64_t most = out->v6 ? 128 : 32, bits = most;
    HS_ENSURE(!slash || hs_span_u64(hs_span_from(text, len + 1), most, &bits), HS_E_USAGE);
    out->bits = (uint8_t)bits;
    for (size_t bit = bits; bit < most; bit++)
        out->addr[bit / 8] &= (uint8_t) ~(0x80 >> bit % 8);
    return HS_OK;
}

/* ---- the guard ---- */

hs_err hs_guard_addr(const hs_addr *addr)
{
    parts p = parts_of(addr);
    bool public;
    if (p.v4)
    public = !any_has(special_v4, HS_ARRAY_LEN(special_v4), false, p.v4);
    else public = p.v6 && has(&global_v6, true, p.v6) &&
                  !any_has(special_v6, HS_ARRAY_LEN(special_v6), true, p.v6);
    return public ? HS_OK : hs_err_of(HS_E_FORBIDDEN);
}

/* Cut the next word off `list`; commas and spaces stand between words. False: there is none. */
static bool next_word(hs_span *list, hs_span *word)
{
    while (list->len > 0 && memchr(", \t", list->ptr[0], 3))
        *list = hs_span_from(*list, 1);
    size_t len = 0;
    while (len < list->len && !memchr(", \t", list->ptr[len], 3))
        len++;
    *word = hs_span_of(list->ptr, len);
    *list = hs_span_from(*list, len);
    return len > 0;
}

hs_err hs_guard_allow_nets(hs_guard *guard, hs_span list)
{
    HS_ASSERT(guard->nets_len <= HS_GUARD_NETS_MAX);
    uint8_t len = guard->nets_len;
    hs_span word;
    while (next_word(&list, &word)) {
        HS_ENSURE(len < HS_GUARD_NETS_MAX, HS_E_LIMIT);
        HS_TRY(hs_net_parse(&guard->nets[len], word));
        len++;
    }
    guard->nets_len = len;
    return HS_OK;
}

hs_err hs_guard_allow_ports(hs_guard *guard, hs_span list)
{
    HS_ASSERT(guard->ports_len <= HS_GUARD_PORTS_MAX);
    uint8_t len = guard->ports_len;
    hs_span word;
    while (next_word(&list, &word)) {
        uint64_t port;
        HS_ENSURE(len < HS_GUARD_PORTS_MAX, HS_E_LIMIT);
        HS_ENSURE(hs_span_u64(word, UINT16_MAX, &port) && port > 0, HS_E_USAGE);
        guard->ports[len++] = (uint16_t)port;
    }
    guard->ports_len = len;
    return HS_OK;
}

static bool port_allowed(const hs_guard *guard, uint16_t port)
{
    for (uint8_t i = 0; i < guard->ports_len; i++) {
        if (guard->ports[i] == port)
            return true;
    }
    return guard->ports_len == 0;
}

hs_err hs_guard_check(const hs_addr *addr, void *ctx)
{
    const hs_guard *guard = ctx;
    HS_ASSERT(addr != NULL);
    if (!guard)
        return hs_guard_addr(addr);
    HS_ASSERT(guard->nets_len <= HS_GUARD_NETS_MAX && guard->ports_len <= HS_GUARD_PORTS_MAX);
    if (hs_addr_is_unix(addr))
        return guard->unix_sockets ? HS_OK : hs_err_of(HS_E_FORBIDDEN);
    HS_ENSURE(port_allowed(guard, hs_addr_port(addr)), HS_E_FORBIDDEN);
    parts p = parts_of(addr);
    bool excepted = (p.v4 && any_has(guard->nets, guard->nets_len, false, p.v4)) ||
                    (p.v6 && any_has(guard->nets, guard->nets_len, true, p.v6));
    return excepted ? HS_OK : hs_guard_addr(addr);
}
