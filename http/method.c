/* Methods (RFC 9110 section 9; RFC 5789).
 *
 * Owns: their table. Must not know: connections, or any version's wire format.
 * Tested by: tests/unit/http_words.c. */
#include "hs_assert.h"
#include "hs_http.h"

static const hs_span methods[HS_METHOD_COUNT] = {
    [HS_METHOD_GET] = {(const uint8_t *)"GET", 3},
    [HS_METHOD_HEAD] = {(const uint8_t *)"HEAD", 4},
    [HS_METHOD_POST] = {(const uint8_t *)"POST", 4},
    [HS_METHOD_PUT] = {(const uint8_t *)"PUT", 3},
    [HS_METHOD_DELETE] = {(const uint8_t *)"DELETE", 6},
    [HS_METHOD_CONNECT] = {(const uint8_t *)"CONNECT", 7},
    [HS_METHOD_OPTIONS] = {(const uint8_t *)"OPTIONS", 7},
    [HS_METHOD_TRACE] = {(const uint8_t *)"TRACE", 5},
    [HS_METHOD_PATCH] = {(const uint8_t *)"PATCH", 5},
};

hs_method hs_method_parse(hs_span name)
{
    hs_method candidate = HS_METHOD_OTHER;
    if (name.len < 3)
        return HS_METHOD_OTHER;
    switch (name.ptr[0]) {
    case 'G':
        candidate = HS_METHOD_GET;
        break;
    case 'H':
        candidate = HS_METHOD_HEAD;
        break;
    case 'P':
        candidate = name.ptr[1] == 'O'   ? HS_METHOD_POST
                    : name.ptr[1] == 'U' ? HS_METHOD_PUT
                                         : HS_METHOD_PATCH;
        break;
    case 'D':
        candidate = HS_METHOD_DELETE;
        break;
    case 'C':
        candidate = HS_METHOD_CONNECT;
        break;
    case 'O':
        candidate = HS_METHOD_OPTIONS;
        break;
    case 'T':
        candidate = HS_METHOD_TRACE;
        break;
    default:
        return HS_METHOD_OTHER;
    }
    return hs_span_eq(name, methods[candidate]) ? candidate : HS_METHOD_OTHER;
}

hs_span hs_method_name(hs_method method)
{
    HS_ASSERT(method >= HS_METHOD_OTHER && method < HS_METHOD_COUNT);
    return methods[method];
}
