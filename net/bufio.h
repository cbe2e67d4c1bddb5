/* The inside of buffered streams: bufio.c makes and ends them, bufio_buf.c keeps the bytes,
 * bufio_read.c finds what is asked for, bufio_write.c sends. */
#pragma once

#include <errno.h>

#include "hs_assert.h"
#include "hs_bufio.h"

/* Of the shard's chunks where that is enough, so that most readers take nothing from the system. */
typedef struct bufio_mem {
    uint8_t *bytes; /* NULL: none */
    size_t room;
} bufio_mem;

typedef enum bufio_kind { BUFIO_SOME, BUFIO_EXACT, BUFIO_PEEK, BUFIO_UNTIL, BUFIO_LINE } bufio_kind;

/* What a read asks for. */
typedef struct bufio_want {
    bufio_kind kind;
    size_t bytes;  /* how many, or the longest text */
    size_t looked; /* no delimiter begins before this */
    uint8_t delimiter[HS_BUFIO_DELIMITER_MAX];
    size_t delimiter_len;
} bufio_want;

struct hs_bufio {
    hs_stream_events events; /* the stream's: this is how an event finds us */
    hs_stream *s;            /* NULL: gone */
    hs_shard *shard;
    hs_cancel *cancel;
    hs_cancel_hook hook; /* added while something waits */
    bufio_mem mem;
    bufio_mem held;    /* what `result` points into, where that is no longer `mem` */
    size_t start, end; /* of what is not consumed, in `mem` */
    size_t taken;      /* of it: what the last read gave, which the next one consumes */
    size_t bytes_max;
    size_t gathered; /* written since the last flush */
    hs_span result;
    bufio_want want;
    hs_promise *reading, *flushing; /* what waits */
    hs_err why;                     /* the stream has failed, or is gone */
    bool lent : 1;                  /* somebody looks at `result` */
    bool ended : 1;                 /* the peer sends no more */
    bool paused : 1;
    bool closing : 1;
};

/* ---- bufio_buf.c ---- */

/* Add what came. False without memory. */
bool bufio_buf_add(hs_bufio *b, hs_span bytes);

/* The last result is not needed any more: consume it. */
void bufio_buf_consume(hs_bufio *b);

/* Give back memory that holds nothing; at the end all. */
void bufio_buf_idle(hs_bufio *b);
void bufio_buf_fini(hs_bufio *b);

/* ---- bufio_read.c ---- */

/* Bytes came, or the end: settle the read that waits, if that decides it. */
void bufio_read_look(hs_bufio *b);

/* ---- bufio.c ---- */

/* Hold up the peer, or let it send, as what waits to be read says. */
void bufio_regulate(hs_bufio *b);

/* The cancel token's hook is added as long as something waits. Errors: why it has fired. */
HS_NODISCARD hs_err bufio_hook_add(hs_bufio *b);
void bufio_hook_update(hs_bufio *b);

/* Whether nothing can be sent: why, or HS_OK. */
HS_NODISCARD hs_err bufio_gone(const hs_bufio *b);

/* Settle what waits at `at`, and let it be idle. */
void bufio_settle(hs_bufio *b, hs_promise **at, hs_outcome outcome);
