/* The head of a response, and the trailer section of a chunked one, as a client reads them.
 *
 * Owns: the status line and the field lines of RFC 9112 sections 4 and 5, and the framing of a
 * response (section 6.3). Apart from h1_head, which reads requests, because the two ask for
 * opposite things: a server refuses what two readers could read in two ways, and a user agent takes
 * what servers send, as far as the RFCs say how it is to be read. Must not know: sockets, content
 * codings. Private to http.
 *
 * Taken: folded lines (replaced by spaces, section 5.2), a bare LF at a line's end and at most two
 * empty lines before the status line (section 2.2), several spaces and small letters in the status
 * line, any status from 100 to 999, blanks before a colon (section 5.1). Lines that are no field
 * (no colon, a name that is no token) are ignored, as browsers do. Equal lengths are one, an empty
 * or "identity" Transfer-Encoding is none, repeated "chunked" is one; Transfer-Encoding overrides
 * Content-Length, and counts in HTTP/1.0, but then the connection is not used again (section 6.1).
 * Refused: NUL, a bare CR, lengths that differ or are no number, any other transfer coding.
 * tests/unit/http_response_table.h lists each, beside what curl, node and browsers do.
 * Tested by: tests/unit/http_h1_response.c, fuzzed by tests/fuzz/fuzz_h1_reply.c. */
#pragma once

#include "h1_head.h"
#include "hs_arena.h"

#define H1_RESPONSE_BYTES_MAX (1u << 20) /* the most that head_bytes_max may be */
#define H1_RESPONSE_FIELDS_MAX 1000      /* and fields_max */

typedef struct h1_response_field {
    hs_span name, value;
} h1_response_field;

typedef struct h1_response {
    /* progress: private */
    uint32_t start; /* of the status line */
    uint32_t at;    /* of the first line that is not whole */
    uint32_t seen;  /* up to here there is no LF behind `at` */
    uint32_t lines; /* that are whole */
    uint8_t state;
    /* result */
    uint8_t method;  /* hs_method, of the request */
    uint8_t minor;   /* HTTP/1.minor: 0 or 1 */
    uint8_t body;    /* h1_body */
    bool keep_alive; /* the connection may carry another request */
    uint16_t status; /* known once the head is whole, before its fields are read */
    uint16_t fields_len;
    uint32_t bytes; /* of the whole section */
    uint64_t content_length;
    hs_span reason;            /* may be empty */
    h1_response_field *fields; /* in the arena; the names are tokens, the values have no NUL, CR
                                * and LF, but may have other control bytes */
    hs_err err;                /* of H1_BAD: HS_E_PROTOCOL, HS_E_LIMIT, -ENOMEM */
    const char *fault;         /* of H1_BAD: static text */
} h1_response;

/* Make ready for the head of a response to a request by `method`. Several heads may come: one with
 * a status below 200 is followed by another, but for 101. */
void h1_response_init(h1_response *h, hs_method method);

/* Make ready for a trailer section. */
void h1_response_init_trailers(h1_response *h);

/* Look for the section's end. `base` is its first byte, `len` all there is so far; after H1_MORE
 * call again with the same bytes, wherever they are now, and at least one more. Each byte is looked
 * at once. H1_DONE: h->bytes of them belong to it, and a head's h->status is known. H1_BAD: no
 * status line (as soon as that is certain), or HS_E_LIMIT past limits->head_bytes_max. */
h1_result h1_response_scan(h1_response *h, const uint8_t *base, size_t len,
                           const h1_limits *limits);

/* Read the section, whose h->bytes bytes are at `base`: folded lines are replaced there, and the
 * spans of the result are of it. After h1_response_scan was H1_DONE, once. Fields of a trailer
 * section that frame a message or are of one connection are ignored: they came too late (RFC 9110
 * section 6.5.1). H1_DONE or H1_BAD. */
h1_result h1_response_read(h1_response *h, uint8_t *base, hs_arena *arena, const h1_limits *limits);
