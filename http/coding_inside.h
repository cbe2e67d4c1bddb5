/* What is between coding.c and the files that see the libraries: a decoder as a row of functions,
 * and memory for libraries that do not know how much they give back. */
#pragma once

#include "coding.h"

typedef struct coding_stage coding_stage;

typedef struct coding_codec {
    /* Set stage->state. Errors: -ENOMEM. */
    hs_err (*open)(coding_stage *stage);
    /* As coding_read, without the limits. Keeps stage->whole. Not called without input, unless it
     * filled its room the last time. */
    hs_err (*run)(coding_stage *stage, hs_span *in, uint8_t *out, size_t room, size_t *written);
    /* Give back what `open` and `run` took; also after a failed `open`. */
    void (*close)(coding_stage *stage);
} coding_codec;

struct coding_stage {
    const coding_codec *codec;
    const hs_mem *mem;
    void *state;        /* the codec's own */
    uint64_t out_bytes; /* that it gave */
    bool begun;         /* it was given a byte */
    bool more;          /* it filled the room that it had, so it may have more to give */
    bool whole;         /* what it was given ends where a stream may end */
};

extern const coding_codec coding_gzip, coding_deflate, coding_br, coding_zstd;

/* Memory in front of which its size is kept; aligned to 16. NULL: there is none. */
void *coding_take(const hs_mem *mem, size_t bytes);

/* Give it back. NULL: nothing. */
void coding_give(const hs_mem *mem, void *ptr);
