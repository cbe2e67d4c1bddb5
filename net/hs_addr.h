/* Addresses: IPv4 and IPv6 with a port, as text and as the system's struct.
 *
 * Owns: parsing and formatting. Names are not looked up here. Must not know: sockets.
 * Tested by: tests/unit/net_addr.c. */
#pragma once

#include <netinet/in.h>
#include <sys/socket.h>

#include "hs_err.h"
#include "hs_span.h"

HS_BEGIN_DECLS

typedef struct hs_addr {
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
    } sa;
    socklen_t len;
} hs_addr;

/* "[ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255%4294967295]:65535" and a NUL. */
#define HS_ADDR_TEXT_BYTES 72

/* Parse "1.2.3.4:80", "[::1]:80", "[fe80::1%2]:80" (a numeric zone) or ":80" (any IPv4 address).
 * The port is 0 to 65535 and must be there. Shard: any. Errors: HS_E_USAGE (not an address). */
HS_API HS_NODISCARD hs_err hs_addr_parse(hs_addr *out, hs_span text);

/* Write the address as hs_addr_parse takes it, with a NUL, to `out` (HS_ADDR_TEXT_BYTES). Returns
 * `out`. Shard: any. */
HS_API const char *hs_addr_format(const hs_addr *addr, char *out);

/* The port, in host order. Shard: any. */
HS_API uint16_t hs_addr_port(const hs_addr *addr);

/* Set the port. Shard: any. */
HS_API void hs_addr_set_port(hs_addr *addr, uint16_t port);

HS_END_DECLS
