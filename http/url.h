/* The inside of the URL parser: url_parse.c follows the states of section 4.4 of the URL Standard,
 * url_host.c is its host parser (3.5), url.c what is done with a URL that was parsed. */
#pragma once

#include <string.h>

#include "hs_assert.h"
#include "hs_url.h"

/* The percent-encode sets (section 1.3): a bit each. */
enum {
    URL_SET_C0 = 1,
    URL_SET_FRAGMENT = 2,
    URL_SET_QUERY = 4,
    URL_SET_SPECIAL_QUERY = 8,
    URL_SET_PATH = 16,
    URL_SET_USERINFO = 32
};

/* Write byte `c` to `out` (room for 3), encoded if it is in `set`. Returns what follows it. */
uint8_t *url_encode(uint8_t *out, uint8_t c, uint32_t set);

/* The default port of `scheme`: 0 where it has none; *special tells whether the scheme is. */
uint32_t url_scheme_port(hs_span scheme, bool *special);

/* Parse a host into `url` (host, host_kind, addr). Errors: HS_E_USAGE, -ENOMEM. */
HS_NODISCARD hs_err url_host_parse(hs_url *url, hs_arena *arena, hs_span text);

static inline bool url_is_alpha(uint8_t c)
{
    return (uint8_t)((c | 0x20) - 'a') < 26;
}

static inline bool url_is_digit(uint8_t c)
{
    return (uint8_t)(c - '0') < 10;
}

/* The value of a hexadecimal digit, or 255. */
static inline uint8_t url_hex(uint8_t c)
{
    if (url_is_digit(c))
        return c - '0';
    uint8_t lower = c | 0x20;
    return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : 255;
}
