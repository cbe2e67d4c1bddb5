/* A strict reader of answers, of its own making: it shares no code with the server's parsers.
 *
 * Owns: the framing of one answer after another on a connection. Bytes go in one by one; body bytes
 * and the end of each answer come out. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum answer_state {
    ANSWER_LINE, /* status line, fields, trailers: lines */
    ANSWER_FIELD,
    ANSWER_BODY,
    ANSWER_TO_END, /* the body lasts as long as the connection */
    ANSWER_CHUNK_SIZE,
    ANSWER_CHUNK,
    ANSWER_CHUNK_END,
    ANSWER_TRAILER
} answer_state;

/* What a byte did. */
typedef enum answer_step {
    ANSWER_GOES_ON,
    ANSWER_BODY_BYTE, /* it is the next byte of the body */
    ANSWER_INTERIM,   /* a 1xx answer is complete */
    ANSWER_COMPLETE,
    ANSWER_BROKEN /* see `why` */
} answer_step;

typedef struct answer {
    answer_state state;
    char line[512];
    size_t line_len;
    uint32_t status;
    uint64_t left; /* of the body, or of the chunk */
    uint64_t length;
    uint32_t id; /* X-Id; UINT32_MAX: none */
    bool has_length, chunked, close, has_date, trailer_end;
    bool begun; /* some byte of it was seen */
    const char *why;
} answer;

/* Ready for the first byte of the next answer. */
void answer_init(answer *a);

/* The next byte. `to_head`: it answers a HEAD request, so no body follows. */
answer_step answer_byte(answer *a, uint8_t byte, bool to_head);

/* The connection ended in order. Whether that completes an answer that lasts to the end. */
bool answer_end(const answer *a);
