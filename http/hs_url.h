/* URLs, as the WHATWG URL Standard has them: what a browser's fetch would ask for.
 *
 * Owns: parsing against a base, the host parser (domains by IDNA, IPv4, IPv6), serialising. All
 * text of a URL is in the arena that it was parsed into. Must not know: connections.
 * Tested by: tests/unit/http_url.c, tests/unit/url_list.py (the public test list), and a fuzzer. */
#pragma once

#include "hs_arena.h"

HS_BEGIN_DECLS

/* A URL's text may be this long, so that what is made of it (percent-encoding makes nine bytes of
 * one at worst) is bounded too. */
#define HS_URL_BYTES_MAX 65536

typedef enum hs_url_host_kind {
    HS_URL_HOST_NONE,  /* no authority at all: mailto:x */
    HS_URL_HOST_EMPTY, /* an empty one: file:///x */
    HS_URL_HOST_DOMAIN,
    HS_URL_HOST_IPV4,
    HS_URL_HOST_IPV6,
    HS_URL_HOST_OPAQUE /* of a scheme that is not special */
} hs_url_host_kind;

#define HS_URL_PORT_NONE 0xffffffffu

typedef struct hs_url {
    hs_span scheme;   /* lower case, without the colon */
    hs_span username; /* percent-encoded, as all that follows */
    hs_span password;
    hs_span host; /* an IPv6 address is in brackets; a domain is lower-case ASCII */
    hs_span path; /* begins with '/', unless it is opaque or empty */
    hs_span query;
    hs_span fragment;
    uint32_t port; /* HS_URL_PORT_NONE: the scheme's default, or none */
    uint8_t
        addr[16]; /* HS_URL_HOST_IPV4: the first 4 bytes, HS_URL_HOST_IPV6: all, network order */
    uint8_t host_kind; /* hs_url_host_kind */
    bool special : 1;  /* http, https, ws, wss, ftp or file */
    bool opaque : 1;   /* the path is an opaque string: mailto:x */
    bool has_query : 1;
    bool has_fragment : 1;
} hs_url;

/* Parse `text` (UTF-8; bad bytes become U+FFFD), against `base` unless that is NULL. What `url` has
 * is in `arena`, or in base's. Section 4.4 of the URL Standard. Shard: owner only.
 * Errors: HS_E_USAGE (no valid URL), HS_E_LIMIT (above HS_URL_BYTES_MAX), -ENOMEM. */
HS_API HS_NODISCARD hs_err hs_url_parse(hs_url *url, hs_arena *arena, hs_span text,
                                        const hs_url *base);

/* The URL as text, in `arena`; *out is set. Section 4.5. Errors: -ENOMEM. */
HS_API HS_NODISCARD hs_err hs_url_text(const hs_url *url, hs_arena *arena, bool with_fragment,
                                       hs_span *out);

/* Its port: the one that it names, or the scheme's default; 0 where there is none. */
HS_API uint32_t hs_url_port(const hs_url *url);

/* Whether both have one origin: scheme, host and port (RFC 6454 section 5). False for schemes
 * without one. */
HS_API bool hs_url_same_origin(const hs_url *a, const hs_url *b);

/* The bytes that the percent-encoded `text` stands for, in `arena`; *out is set. Errors: -ENOMEM.
 */
HS_API HS_NODISCARD hs_err hs_percent_decode(hs_arena *arena, hs_span text, hs_span *out);

HS_END_DECLS
