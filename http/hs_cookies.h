/* A jar for cookies (RFC 6265bis): what servers asked a client to keep, and what goes back to whom.
 *
 * Owns: Set-Cookie's syntax, which host may set what for whom (public suffixes through libpsl), the
 * life and the number of cookies. Nothing is sent or kept unless somebody makes a jar. The time is
 * passed in. Must not know: messages, connections. Everything belongs to the owner shard.
 * Tested by: tests/unit/http_cookies.c, fuzzed by tests/fuzz/fuzz_cookies.c. */
#pragma once

#include "hs_url.h"

HS_BEGIN_DECLS

/* Of a jar; of one domain (RFC 6265bis section 6.1 asks for 50); of a name and its value together,
 * and of an attribute's value. Past the first two the one goes that was not used for longest. */
#define HS_COOKIES_MAX 1000
#define HS_COOKIES_DOMAIN_MAX 50
#define HS_COOKIE_BYTES_MAX 4096
#define HS_COOKIE_ATTRIBUTE_BYTES_MAX 1024
/* No cookie lives for longer, whatever it says. */
#define HS_COOKIE_DAYS_MAX 400

typedef enum hs_same_site {
    HS_SAME_SITE_DEFAULT,
    HS_SAME_SITE_NONE,
    HS_SAME_SITE_LAX,
    HS_SAME_SITE_STRICT
} hs_same_site;

typedef struct hs_cookie {
    hs_span name; /* may be empty: then the value goes alone */
    hs_span value;
    hs_span domain; /* lower case, without a dot before it */
    hs_span path;
    int64_t expires_s; /* in seconds since 1970; INT64_MAX: when the jar goes */
    bool host_only;    /* for this host, and none below it */
    bool secure;       /* for https alone */
    bool http_only;    /* not for scripts: kept, and of no use here */
    uint8_t same_site; /* hs_same_site: kept; whose request it is only the caller knows */
} hs_cookie;

typedef struct hs_cookies hs_cookies;

/* Make an empty jar. `mem` is borrowed for its life. Shard: the caller's. Errors: -ENOMEM. */
HS_API HS_NODISCARD hs_err hs_cookies_create(hs_cookies **out, const hs_mem *mem);

/* Give it back with all that is in it. NULL: nothing. Shard: owner only. */
HS_API void hs_cookies_destroy(hs_cookies *jar);

/* Take one field Set-Cookie of the response to `url` (http or https). `now_s`: seconds since 1970.
 * A cookie that is over already takes its older self away.
 * Errors: HS_E_USAGE (no cookie: its syntax, or too large), HS_E_FORBIDDEN (not this host's to set,
 * or not over this scheme, or its name's prefix is not kept to), -ENOMEM; then the jar is as it
 * was. Clients go on after any of them. Shard: owner only. */
HS_API HS_NODISCARD hs_err hs_cookies_set(hs_cookies *jar, const hs_url *url, hs_span set_cookie,
                                          int64_t now_s);

/* The value of Cookie for a request to `url`, in `arena`; *out is empty where there is none. At
 * most `bytes_max` bytes: cookies that do not fit are left out. Errors: -ENOMEM. Shard: owner only.
 */
HS_API HS_NODISCARD hs_err hs_cookies_get(hs_cookies *jar, const hs_url *url, int64_t now_s,
                                          size_t bytes_max, hs_arena *arena, hs_span *out);

/* How many there are, those that are over included. Shard: owner only. */
HS_API uint32_t hs_cookies_len(const hs_cookies *jar);

/* Call `fn` for each that is not over, the last used last; what it is given is borrowed until it
 * returns, and it must not change the jar. Shard: owner only. */
HS_API void hs_cookies_each(const hs_cookies *jar, int64_t now_s,
                            void (*fn)(const hs_cookie *cookie, void *ctx), void *ctx);

/* Take all out. Shard: owner only. */
HS_API void hs_cookies_clear(hs_cookies *jar);

/* Check links, sums and limits; asserts on a fault. Shard: owner only. */
HS_API void hs_cookies_validate(const hs_cookies *jar);

HS_END_DECLS
