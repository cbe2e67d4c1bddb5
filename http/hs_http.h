/* The words of HTTP: methods, versions, status codes and field names, as RFC 9110 defines them.
 *
 * Owns: the tables. Must not know: connections, or any version's wire format.
 * Tested by: tests/unit/http_words.c. */
#pragma once

#include "hs_err.h"
#include "hs_span.h"

HS_BEGIN_DECLS

/* The methods of RFC 9110 section 9.3 and RFC 5789; any other token is HS_METHOD_OTHER. */
typedef enum hs_method {
    HS_METHOD_OTHER,
    HS_METHOD_GET,
    HS_METHOD_HEAD,
    HS_METHOD_POST,
    HS_METHOD_PUT,
    HS_METHOD_DELETE,
    HS_METHOD_CONNECT,
    HS_METHOD_OPTIONS,
    HS_METHOD_TRACE,
    HS_METHOD_PATCH,
    HS_METHOD_COUNT
} hs_method;

/* Fields that the server itself looks at; their place in a head is known without a search. */
typedef enum hs_field_id {
    HS_FIELD_OTHER,
    HS_FIELD_HOST,
    HS_FIELD_CONNECTION,
    HS_FIELD_CONTENT_LENGTH,
    HS_FIELD_CONTENT_TYPE,
    HS_FIELD_TRANSFER_ENCODING,
    HS_FIELD_EXPECT,
    HS_FIELD_UPGRADE,
    HS_FIELD_TE,
    HS_FIELD_TRAILER,
    HS_FIELD_ACCEPT_ENCODING,
    HS_FIELD_COOKIE,
    HS_FIELD_AUTHORIZATION,
    HS_FIELD_USER_AGENT,
    HS_FIELD_COUNT
} hs_field_id;

/* The method that the token `name` means; HS_METHOD_OTHER for any other. Case matters
 * (RFC 9110 section 9.1). Shard: any. */
HS_API hs_method hs_method_parse(hs_span name);

/* The name of a method; "OTHER" is never returned: HS_METHOD_OTHER gives an empty span.
 * Static storage. Shard: any. */
HS_API hs_span hs_method_name(hs_method method);

/* The field that `name` means, without regard to case. Shard: any. */
HS_API hs_field_id hs_field_parse(hs_span name);

/* The reason phrase of `status` (100 to 599); an unknown code gives that of its class's first.
 * Static storage. Shard: any. */
HS_API hs_span hs_status_reason(uint32_t status);

/* Whether `s` is a token (RFC 9110 section 5.6.2). Shard: any. */
HS_API bool hs_http_is_token(hs_span s);

/* Whether `s` can be sent as a field value: no control byte but HTAB, no leading or trailing
 * space (RFC 9110 section 5.5). Bytes from 0x80 are allowed. Shard: any. */
HS_API bool hs_http_is_field_value(hs_span s);

#define HS_HTTP_DATE_LEN 29

/* Write `wall_s` (seconds since 1970, UTC) as an IMF-fixdate (RFC 9110 section 5.6.7) to `out`:
 * HS_HTTP_DATE_LEN bytes, no NUL. Shard: any. */
HS_API void hs_http_date(char *out, uint64_t wall_s);

/* Read a date in any of the three forms of RFC 9110 section 5.6.7 as seconds since 1970. The two
 * digits of a year in the form of RFC 850 are taken as the year that is nearest to `now_s`, at most
 * 50 years ahead. The name of the day is not held against the date. False: it is none, or there is
 * no such date; *out is left alone. Shard: any. */
HS_API HS_NODISCARD bool hs_http_date_parse(hs_span text, int64_t now_s, int64_t *out);

HS_END_DECLS
