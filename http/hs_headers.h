/* A list of fields, with the rules of fetch's Headers: what a client sends, and what it received.
 *
 * Owns: names without regard to case, values that are trimmed and checked, so that no text that
 * gets in here can end a line of a message and begin another (header injection); which fields
 * belong to the client alone; limits. All of it is in an arena, which is borrowed: what a field was
 * before a change is given back with it. Must not know: messages, any version's wire format.
 * Everything belongs to the owner shard. Tested by: tests/unit/http_headers.c. */
#pragma once

#include "hs_arena.h"
#include "hs_http.h"

HS_BEGIN_DECLS

/* Fields of one list, and their bytes as HTTP/1.1 writes them ("name: value" and CRLF): what a head
 * that we take can have. An application that wants less sets len_max and bytes_max. */
#define HS_HEADERS_MAX 100
#define HS_HEADERS_BYTES_MAX 65535

/* Who fills the list. */
typedef enum hs_headers_guard {
    HS_HEADERS_OWN,    /* the client itself, or a peer: every field is taken */
    HS_HEADERS_REQUEST /* a user of the client: see hs_headers_is_forbidden */
} hs_headers_guard;

typedef struct hs_header {
    struct hs_header *next; /* NULL: the last one */
    hs_span name;           /* in the case in which it came first */
    hs_span value;
    uint32_t hash; /* of the name in lower case */
} hs_header;

typedef struct hs_headers {
    hs_arena *arena;
    hs_header *first; /* in the order in which they came: for (f = h.first; f; f = f->next) */
    hs_header *last;
    uint32_t len, len_max;
    uint32_t bytes, bytes_max;
    uint8_t guard; /* hs_headers_guard */
} hs_headers;

/* Make an empty list in `arena`, which is borrowed for the list's life. Takes nothing yet. Shard:
 * owner only. */
HS_API void hs_headers_init(hs_headers *h, hs_arena *arena, hs_headers_guard guard);

/* Whether the field belongs to the client in a request, so that HS_HEADERS_REQUEST refuses it: what
 * frames a message (Content-Length, Transfer-Encoding, Trailer), what is of one connection
 * (Connection, Keep-Alive, Proxy-Connection, TE, Upgrade, HTTP2-Settings; RFC 9110 section 7.6.1),
 * Expect, Host, and Proxy-Authorization, which is the proxy's to read. Shard: any. */
HS_API bool hs_headers_is_forbidden(hs_span name);

/* Add a field behind all others; others of its name stay, and lend it their spelling. Name and
 * value are copied; spaces, tabs and ends of lines around the value are cut off first.
 * Errors: HS_E_USAGE (the name is no token, or the value has a control byte other than a tab),
 * HS_E_FORBIDDEN (see hs_headers_is_forbidden), HS_E_LIMIT (len_max, bytes_max), -ENOMEM; then the
 * list is as it was. Shard: owner only. */
HS_API HS_NODISCARD hs_err hs_headers_append(hs_headers *h, hs_span name, hs_span value);

/* Make it the only field of its name, in the place of the first one that was there. Errors: as
 * hs_headers_append. Shard: owner only. */
HS_API HS_NODISCARD hs_err hs_headers_set(hs_headers *h, hs_span name, hs_span value);

/* The same where there is no such field yet, and nothing where there is one: for defaults. Errors:
 * as hs_headers_append. Shard: owner only. */
HS_API HS_NODISCARD hs_err hs_headers_default(hs_headers *h, hs_span name, hs_span value);

/* Append all fields of `from` (another list), which are held against the guard of `h` as well.
 * Errors: as hs_headers_append; then those before are in. Shard: owner only. */
HS_API HS_NODISCARD hs_err hs_headers_append_all(hs_headers *h, const hs_headers *from);

/* All values of the field, with ", " between them, as RFC 9110 section 5.3 combines them, in *out:
 * valid as long as the arena, or until the list is changed. Its pointer is NULL where there is no
 * such field. Set-Cookie must not be combined: walk over those by hs_headers_find.
 * Errors: -ENOMEM. Shard: owner only. */
HS_API HS_NODISCARD hs_err hs_headers_get(const hs_headers *h, hs_span name, hs_span *out);

/* The first field of this name behind `after` (NULL: of all), or NULL. Shard: owner only. */
HS_API const hs_header *hs_headers_find(const hs_headers *h, hs_span name, const hs_header *after);

/* Whether there is such a field. Shard: owner only. */
HS_API bool hs_headers_has(const hs_headers *h, hs_span name);

/* Take out all fields of this name, whether the guard would let them in or not. Returns how many
 * there were. Shard: owner only. */
HS_API uint32_t hs_headers_delete(hs_headers *h, hs_span name);

/* Check links, sums, limits and every name and value; asserts on a fault. Shard: owner only. */
HS_API void hs_headers_validate(const hs_headers *h);

HS_END_DECLS
