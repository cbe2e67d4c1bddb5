/* The text of Set-Cookie (RFC 6265bis sections 5.1 and 5.6): what it says, before anyone asks
 * whether it may.
 *
 * Owns: its parser, and that of its dates. Must not know: the jar. Private to http.
 * Tested by: tests/unit/http_cookies.c. */
#pragma once

#include "hs_cookies.h"

typedef struct cookie_text {
    hs_span name, value;
    hs_span domain;    /* as written, without its dot; empty: none */
    hs_span path;      /* empty: the default */
    int64_t expires_s; /* not yet shortened; INT64_MIN: over */
    bool persistent;   /* expires_s is set */
    bool secure, http_only;
    uint8_t same_site; /* hs_same_site */
} cookie_text;

/* Read the field's value. Spans are of `text`. Errors: HS_E_USAGE (no cookie, or above
 * HS_COOKIE_BYTES_MAX). */
HS_NODISCARD hs_err cookie_parse(cookie_text *out, hs_span text, int64_t now_s);

/* Read a date as section 5.1.1 has it, which takes nearly anything with a time, a day, a month and
 * a year. False: it is none. */
bool cookie_date(hs_span text, int64_t *out);
