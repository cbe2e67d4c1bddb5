/* What the parts of the HTTP/1.1 head parser share.
 *
 * The line loop (h1_lines.h) is compiled once for each instruction set and does what every head
 * needs; what few heads need, or what needs thought, is called here, once for all of them.
 * Every decision depends on the bytes up to a place and on nothing behind it, so a head gives the
 * same result however it is split. Private to http. */
#pragma once

#include "h1_head.h"

enum { H1_STATE_REQUEST, H1_STATE_FIELDS, H1_STATE_TRAILERS, H1_STATE_ENDED };

/* h1_head.flags */
enum {
    H1_FLAG_CLOSE = 1,      /* Connection: close */
    H1_FLAG_KEEP_ALIVE = 2, /* Connection: keep-alive */
    H1_FLAG_CHUNKED = 4,    /* the transfer coding "chunked" was named */
    H1_FLAG_CODING = 8      /* another one was named */
};

#define H1_METHOD_BYTES_MAX 32 /* past it: 501 (RFC 9112 section 3) */
#define H1_EMPTY_LINES_MAX 2

/* The fields for which h1_field_act must be called in a request's head: those that frame and route.
 */
#define H1_FIELDS_ACTED                                                                            \
    ((1u << HS_FIELD_HOST) | (1u << HS_FIELD_CONNECTION) | (1u << HS_FIELD_CONTENT_LENGTH) |       \
     (1u << HS_FIELD_TRANSFER_ENCODING) | (1u << HS_FIELD_EXPECT))
#define H1_FIELDS_ALL 0xffffffffu
HS_STATIC_ASSERT(HS_FIELD_COUNT <= 32, "a set of field ids is 32 bits wide");

/* The answer will be `status`. Always H1_BAD. */
HS_COLD h1_result h1_bad(h1_head *head, uint16_t status, const char *fault);

/* An empty line, or what pretends to be one, at `p` before the request line. H1_DONE: *past is
 * behind it. */
HS_COLD h1_result h1_empty_line(h1_head *head, const uint8_t *base, const uint8_t *p,
                                const uint8_t *end, const uint8_t **past);

/* The method and the space behind it at `p`. H1_DONE: *past is behind the space. */
h1_result h1_method(h1_head *head, const uint8_t *base, const uint8_t *p, const uint8_t *end,
                    const uint8_t **past);

/* The version and CRLF at `p`. H1_DONE: *past is behind them, and head->minor is set. */
h1_result h1_version(h1_head *head, const uint8_t *p, const uint8_t *end, const uint8_t **past);

/* Take head->target apart where it is not simply a path (RFC 9112 section 3.2). */
h1_result h1_target_form(h1_head *head, const uint8_t *base);

/* Whether `s` is uri-host [ ":" port ] (RFC 3986 section 3.2.2), not empty. */
bool h1_authority_valid(hs_span s);

/* The last field of `head`, which is of the kind `id`: what it means for the message. H1_DONE, or
 * H1_BAD. In a trailer section called for every field. `plain_host`: it is Host, and its value is
 * known to be valid and not empty. */
h1_result h1_field_act(h1_head *head, const uint8_t *base, uint8_t id, bool plain_host);

/* The section's last line is there: `bytes` in all. H1_DONE, or H1_BAD. */
h1_result h1_finish(h1_head *head, const uint8_t *base, size_t bytes);

/* The line loops, one for each instruction set. */
typedef h1_result h1_lines_fn(h1_head *head, const uint8_t *base, size_t len,
                              const h1_limits *limits);
h1_lines_fn h1_lines_portable;
#if defined(__x86_64__)
h1_lines_fn h1_lines_sse2;
h1_lines_fn h1_lines_avx2;
#elif defined(__aarch64__)
h1_lines_fn h1_lines_neon;
#endif

/* For tests: parse with this loop from now on, which the processor must know; NULL: the best one.
 */
void h1_head_use_lines(h1_lines_fn *fn);
