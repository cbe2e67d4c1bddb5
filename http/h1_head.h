/* The head of an HTTP/1.1 request, and a chunked request's trailers: bytes in, offsets out.
 *
 * Owns: the strict parser of RFC 9112 sections 2 to 5 and the framing decision of section 6.3. It
 * works a line at a time and remembers the first line that it has not seen whole: each line is
 * parsed once, and a fault is told as soon as its line is there. Results are offsets from the first
 * byte, so the bytes may move between calls. Responses are h1_response's. Must not know: buffers,
 * sockets, handlers. Strict: no bare LF, no obs-fold, no space before the colon, no control byte,
 * one Content-Length (equal repeats are refused too), never both Content-Length and
 * Transfer-Encoding, chunked alone and last, exactly one valid Host in HTTP/1.1. Tested by:
 * tests/unit/http_h1_head.c (SIMD and portable path, in every split), fuzzed by
 * tests/fuzz/fuzz_h1_head.c. */
#pragma once

#include "hs_http.h"

#define H1_FIELDS_MAX 100       /* the most that a head can hold; options may set less */
#define H1_HEAD_BYTES_MAX 65535 /* offsets are 16 bits wide; options set less (16 KiB) */

typedef struct h1_field {
    uint16_t name, name_len; /* offset from the head's first byte */
    uint16_t value, value_len;
} h1_field;

typedef struct h1_limits {
    uint32_t head_bytes_max;   /* request line and fields with their CRLFs; past it: 431 */
    uint32_t target_bytes_max; /* past it: 414 */
    uint32_t fields_max;       /* at most H1_FIELDS_MAX; past it: 431 */
} h1_limits;

typedef enum h1_result {
    H1_MORE, /* all bytes so far are fine; call again with more behind them */
    H1_DONE, /* the section is whole: head->bytes of the input belong to it */
    H1_BAD   /* head->status is the answer, head->fault says why; close afterwards */
} h1_result;

/* How the body of a message is framed (RFC 9112 section 6.3); a request has one of the first three.
 */
typedef enum h1_body {
    H1_BODY_NONE,
    H1_BODY_LENGTH,
    H1_BODY_CHUNKED,
    H1_BODY_CLOSE, /* all that comes until the connection ends */
    H1_BODY_TUNNEL /* no message at all any more: an answer to CONNECT */
} h1_body;

typedef struct h1_head {
    /* progress: private to the parser */
    uint32_t at;   /* offset of the first line that is not parsed */
    uint32_t seen; /* if above `at`: in that line's value, up to here there is no control byte */
    uint8_t state;
    uint8_t flags;
    /* result */
    uint8_t method;       /* hs_method */
    uint8_t minor;        /* HTTP/1.minor: 0 or 1 */
    uint8_t body;         /* h1_body */
    bool keep_alive;      /* what the peer wants: version and Connection considered */
    bool expect_continue; /* Expect: 100-continue, and HTTP/1.1 */
    bool absolute;        /* the target was in absolute form; it overrides Host (section 3.2.2) */
    uint16_t status;      /* of H1_BAD: 400, 405, 414, 417, 431, 501, 505 */
    uint16_t fields_len;
    uint32_t bytes; /* of H1_DONE: length of the section */
    uint64_t content_length;
    uint16_t method_at, method_len;
    uint16_t target_at, target_len;       /* as sent */
    uint16_t path_at, path_len;           /* "*" in asterisk form; empty in authority form */
    uint16_t query_at, query_len;         /* without the '?' */
    uint16_t authority_at, authority_len; /* from the target or from Host; may be empty */
    const char *fault;                    /* of H1_BAD: static text for the log */
    uint8_t known[HS_FIELD_COUNT];        /* place of the first such field + 1; 0: none */
    h1_field fields[H1_FIELDS_MAX];       /* the first fields_len are set; the rest undefined */
} h1_head;

/* Make ready for a request's head. Does not touch the fields array: cheap. */
void h1_head_init(h1_head *head);

/* Make ready for a trailer section (RFC 9112 section 7.1.2): fields alone. Framing, routing and
 * authentication fields in it are a fault. */
void h1_head_init_trailers(h1_head *head);

/* Parse from the head's first byte `base`; `len` is all there is so far. Empty lines (CRLF) before
 * a request line are skipped, at most two of them (section 2.2), and count to head->bytes.
 * After H1_MORE call again with the same bytes, wherever they are now, and at least one more.
 * An HTTP/1.0 request has no chunked body; HTTP/2's preface and any other version give 505. */
h1_result h1_head_parse(h1_head *head, const uint8_t *base, size_t len, const h1_limits *limits);

/* For tests: whether the SIMD path is used (default: where the CPU has it). Returns what is in
 * force. */
bool h1_head_use_simd(bool on);

static inline hs_span h1_span(const uint8_t *base, uint16_t at, uint16_t len)
{
    return hs_span_of(base + at, len);
}
