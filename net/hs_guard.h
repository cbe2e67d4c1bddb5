/* The guard against server-side request forgery (SSRF): which addresses a program may be sent to by
 * someone else's text.
 *
 * Owns: what a public unicast address is, by IANA's registries of special-purpose addresses (RFC
 * 6890), and a policy of exceptions. It judges addresses, not names: asked by
 * hs_dial_options.allow, it sees the very address that is connected to, so that a name that changes
 * between a check and its use gains nothing. Must not know: sockets, names. What it cannot know: a
 * prefix of the own provider's NAT64 other than 64:ff9b::/96, and services that trust this host's
 * own public addresses. Tested by: tests/unit/net_guard.c. */
#pragma once

#include "hs_addr.h"

HS_BEGIN_DECLS

/* A network: 10.0.0.0/8, or fd00::/8. */
typedef struct hs_net {
    uint8_t addr[16]; /* network order; of IPv4 the first 4 bytes. Behind the prefix: zero */
    uint8_t bits;     /* of the prefix: at most 32, or 128 */
    bool v6;
} hs_net;

/* Parse "10.0.0.0/8", "fd00::/8", or an address alone, which is a network of one; bits behind the
 * prefix are dropped. Shard: any. Errors: HS_E_USAGE (it is none of these). */
HS_API HS_NODISCARD hs_err hs_net_parse(hs_net *out, hs_span text);

/* Whether the address is in the network. An IPv4 address inside of an IPv6 one (mapped, compatible,
 * or of NAT64) is in both kinds of network. Shard: any. */
HS_API bool hs_net_has(const hs_net *net, const hs_addr *addr);

/* HS_OK for a public unicast address of IPv4 or IPv6. An IPv6 address with an IPv4 one inside
 * (mapped ::ffff:0:0/96, compatible ::/96, NAT64 64:ff9b::/96) is judged by that.
 * Errors: HS_E_FORBIDDEN: private, loopback, link-local, shared (100.64.0.0/10), unique-local,
 * multicast, broadcast, documentation, benchmarking, reserved and unspecified addresses, what
 * tunnels to IPv4 (6to4, Teredo), ORCHIDs, the addresses where clouds tell their secrets
 * (169.254.169.254, fd00:ec2::254, 100.100.100.200, 168.63.129.16), and Unix sockets. Shard: any.
 */
HS_API HS_NODISCARD hs_err hs_guard_addr(const hs_addr *addr);

#define HS_GUARD_NETS_MAX 32
#define HS_GUARD_PORTS_MAX 32

/* What hs_guard_addr says, with exceptions. Zeroed: none. */
typedef struct hs_guard {
    hs_net nets[HS_GUARD_NETS_MAX];     /* these are allowed, public or not */
    uint16_t ports[HS_GUARD_PORTS_MAX]; /* no others are allowed, of any address; none: all are */
    uint8_t nets_len, ports_len;
    bool unix_sockets; /* Unix sockets are allowed */
} hs_guard;

/* Add networks as hs_net_parse takes them, with commas or spaces between. Nothing is added where
 * one is wrong. Shard: owner only. Errors: HS_E_USAGE (see hs_net_parse), HS_E_LIMIT. */
HS_API HS_NODISCARD hs_err hs_guard_allow_nets(hs_guard *guard, hs_span list);

/* Add ports (1 to 65535) with commas or spaces between. Nothing is added where one is wrong.
 * Shard: owner only. Errors: HS_E_USAGE (not a port), HS_E_LIMIT. */
HS_API HS_NODISCARD hs_err hs_guard_allow_ports(hs_guard *guard, hs_span list);

/* Judge an address by `guard`, a const hs_guard *; NULL: by hs_guard_addr alone. For
 * hs_dial_options.allow, with the guard as its ctx. Shard: any. Errors: HS_E_FORBIDDEN. */
HS_API HS_NODISCARD hs_err hs_guard_check(const hs_addr *addr, void *guard);

HS_END_DECLS
