/* Methods and status codes (RFC 9110 sections 9 and 15; RFC 5789, 6585, 7725, 8297).
 *
 * Owns: their tables. Must not know: connections, or any version's wire format.
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

/* NULL: not registered. One row of cases for each class would be no shorter. */
static const char *reason(uint32_t status)
{
    static const char *const informational[] = {"Continue", "Switching Protocols", "Processing",
                                                "Early Hints"};
    static const char *const success[] = {"OK",
                                          "Created",
                                          "Accepted",
                                          "Non-Authoritative Information",
                                          "No Content",
                                          "Reset Content",
                                          "Partial Content",
                                          "Multi-Status",
                                          "Already Reported"};
    static const char *const redirection[] = {"Multiple Choices",
                                              "Moved Permanently",
                                              "Found",
                                              "See Other",
                                              "Not Modified",
                                              "Use Proxy",
                                              NULL,
                                              NULL,
                                              /* 307 */ NULL,
                                              NULL};
    static const char *const client[] = {"Bad Request",
                                         "Unauthorized",
                                         "Payment Required",
                                         "Forbidden",
                                         "Not Found",
                                         "Method Not Allowed",
                                         "Not Acceptable",
                                         "Proxy Authentication Required",
                                         "Request Timeout",
                                         "Conflict",
                                         "Gone",
                                         "Length Required",
                                         "Precondition Failed",
                                         "Content Too Large",
                                         "URI Too Long",
                                         "Unsupported Media Type",
                                         "Range Not Satisfiable",
                                         "Expectation Failed",
                                         NULL,
                                         NULL,
                                         NULL,
                                         "Misdirected Request",
                                         "Unprocessable Content",
                                         "Locked",
                                         "Failed Dependency",
                                         "Too Early",
                                         "Upgrade Required",
                                         NULL,
                                         "Precondition Required",
                                         "Too Many Requests",
                                         NULL,
                                         "Request Header Fields Too Large"};
    static const char *const server[] = {"Internal Server Error",
                                         "Not Implemented",
                                         "Bad Gateway",
                                         "Service Unavailable",
                                         "Gateway Timeout",
                                         "HTTP Version Not Supported",
                                         "Variant Also Negotiates",
                                         "Insufficient Storage",
                                         "Loop Detected",
                                         NULL,
                                         "Not Extended",
                                         "Network Authentication Required"};
    static const struct {
        const char *const *texts;
        size_t len;
    } classes[] = {{informational, HS_ARRAY_LEN(informational)},
                   {success, HS_ARRAY_LEN(success)},
                   {redirection, HS_ARRAY_LEN(redirection)},
                   {client, HS_ARRAY_LEN(client)},
                   {server, HS_ARRAY_LEN(server)}};
    HS_ASSERT(status >= 100);
    HS_ASSERT(status < 600);
    uint32_t class = status / 100 - 1;
    uint32_t code = status % 100;
    return code < classes[class].len ? classes[class].texts[code] : NULL;
}

hs_span hs_status_reason(uint32_t status)
{
    const char *text = NULL;
    switch (status) {
    case 226:
        text = "IM Used";
        break;
    case 307:
        text = "Temporary Redirect";
        break;
    case 308:
        text = "Permanent Redirect";
        break;
    case 451:
        text = "Unavailable For Legal Reasons";
        break;
    default:
        text = reason(status);
        break;
    }
    return hs_span_str(text != NULL ? text : reason(status / 100 * 100));
}
