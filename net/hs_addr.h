/* Addresses: IPv4 and IPv6 with a port, and Unix sockets, as text and as the system's struct.
 *
 * Owns: parsing, formatting and comparing. Names are not looked up here. Must not know: sockets.
 * Tested by: tests/unit/net_addr.c, tests/fuzz/fuzz_addr.c. */
#pragma once

#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "hs_err.h"
#include "hs_span.h"

HS_BEGIN_DECLS

typedef struct hs_addr {
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
        struct sockaddr_un un;
    } sa;
    socklen_t len;
} hs_addr;

/* "unix:", the longest path and a NUL. */
#define HS_ADDR_TEXT_BYTES 116
/* The longest name of a Unix socket: sun_path less a NUL (unix(7)). */
#define HS_UNIX_NAME_MAX (sizeof(((struct sockaddr_un *)0)->sun_path) - 1)

/* Parse "1.2.3.4:80", "[::1]:80", "[fe80::1%2]:80" (a zone by its number, or by the name of an
 * interface that this machine has, as "%eth0") or ":80" (any IPv4 address): the port is 0 to 65535
 * and must be there. Or "unix:/run/x.sock", a path, which may be relative;
 * or "unix:@name", a name in Linux's abstract space, which is in no file system. Shard: any.
 * Errors: HS_E_USAGE (not an address), HS_E_LIMIT (more than HS_UNIX_NAME_MAX bytes of path or
 * name). */
HS_API HS_NODISCARD hs_err hs_addr_parse(hs_addr *out, hs_span text);

/* Write the address as hs_addr_parse takes it, with a NUL, to `out` (HS_ADDR_TEXT_BYTES). Returns
 * `out`. A NUL inside an abstract name, which no text gives, is written as '@', as the system does;
 * the address of a Unix socket without a name is "unix:". Shard: any. */
HS_API const char *hs_addr_format(const hs_addr *addr, char *out);

/* The port, in host order; 0 of a Unix socket. Shard: any. */
HS_API uint16_t hs_addr_port(const hs_addr *addr);

/* Set the port of an IPv4 or IPv6 address (asserted). Shard: any. */
HS_API void hs_addr_set_port(hs_addr *addr, uint16_t port);

/* Whether it is the address of a Unix socket. Shard: any. */
static inline bool hs_addr_is_unix(const hs_addr *addr)
{
    return addr->sa.any.sa_family == AF_UNIX;
}

/* The path of a Unix socket, borrowed from `addr`: empty where its name is abstract, where it has
 * none, and of any other address. A NUL follows the path of a parsed address. Shard: any. */
HS_API hs_span hs_addr_path(const hs_addr *addr);

/* Whether both are the same address: family, host, port and zone, or name. Shard: any. */
HS_API bool hs_addr_eq(const hs_addr *a, const hs_addr *b);

HS_END_DECLS
