/* Status codes and their reason phrases (RFC 9110 section 15; RFC 4918, 6585, 7725, 8297).
 *
 * Owns: their table. Must not know: connections, or any version's wire format.
 * Tested by: tests/unit/http_words.c. */
#include "hs_assert.h"
#include "hs_http.h"

/* By class, then in order; NULL: not registered. */
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

static const char *const redirection[] = {
    "Multiple Choices",  "Moved Permanently", "Found", "See Other",
    "Not Modified",      "Use Proxy",         NULL,    "Temporary Redirect",
    "Permanent Redirect"};

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

/* NULL: not registered, or far from the others of its class. */
static const char *reason(uint32_t status)
{
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
    case 451:
        text = "Unavailable For Legal Reasons";
        break;
    default:
        text = reason(status);
        break;
    }
    return hs_span_str(text != NULL ? text : reason(status / 100 * 100));
}
