/* The chunked transfer coding, received (RFC 9112 section 7.1): bytes in, data spans out.
 *
 * Owns: the decoder's few words of state. Chunk extensions are read over, within a limit. Every
 * size is checked to its last byte: no sign, nothing before it, no leading "0x", no overflow, CRLF
 * exactly.
 * Must not know: buffers, sockets. The trailer section is h1_head's: see H1_CHUNK_TRAILERS.
 * Tested by: tests/unit/http_h1_chunk.c in every split; fuzzed by tests/fuzz/fuzz_h1_chunk.c. */
#pragma once

#include "hs_span.h"

typedef enum h1_chunk_result {
    H1_CHUNK_MORE,     /* all input was used, no data in it (any more) */
    H1_CHUNK_DATA,     /* *data is a piece of the body; call again with the rest of the input */
    H1_CHUNK_TRAILERS, /* the last chunk's line is over; the rest is the trailer section */
    H1_CHUNK_BAD       /* the framing is broken: 400 and close */
} h1_chunk_result;

typedef struct h1_chunk {
    uint64_t left;       /* of the chunk: size while it is read, then what is missing of its data */
    uint32_t line_bytes; /* of the chunk's line so far: extensions are bounded */
    uint8_t state;
    const char *fault; /* of H1_CHUNK_BAD: static text for the log */
} h1_chunk;

#define H1_CHUNK_LINE_BYTES_MAX 256

void h1_chunk_init(h1_chunk *c);

/* Decode from `in`. *used is how many bytes of it were eaten; on H1_CHUNK_DATA *data (in `in`) is
 * not empty. After H1_CHUNK_TRAILERS and H1_CHUNK_BAD the decoder must not be fed again. */
h1_chunk_result h1_chunk_feed(h1_chunk *c, hs_span in, size_t *used, hs_span *data);
