/* A response as a client reads it: bytes in, events out.
 *
 * Owns: the order of what comes on a connection after a request: interim heads, the final one, the
 * body in each of its framings, the trailers; and whether the connection may carry another request
 * after it. The parsing of heads and chunks is h1_response's and h1_chunk's. Must not know:
 * sockets, who asked, content codings. Memory is taken from the request's arena: for the final
 * head, and for what came in pieces. Private to http. Tested by: tests/unit/http_client_reply.c in
 * every split; fuzzed by tests/fuzz/fuzz_h1_reply.c.
 */
#pragma once

#include "h1_chunk.h"
#include "h1_response.h"

typedef enum reply_event {
    REPLY_MORE, /* all input was used */
    REPLY_HEAD, /* the final head is whole: reply->head. Call again with the rest */
    REPLY_DATA, /* *data is a piece of the body, not empty. Call again with the rest */
    REPLY_END,  /* the response is whole; what is left of the input does not belong to it */
    REPLY_BAD   /* reply->err and ->fault say why; nothing more may be read */
} reply_event;

typedef struct reply {
    hs_arena *arena;
    h1_limits limits;
    uint8_t *in; /* of a section that comes in pieces: what is there of it */
    uint32_t in_len, in_cap;
    uint8_t state;
    uint8_t interims; /* interim heads so far */
    bool begun;       /* any byte came */
    uint64_t left;    /* of a body with a length */
    h1_chunk chunk;
    hs_err err;            /* of REPLY_BAD: HS_E_PROTOCOL, HS_E_LIMIT, HS_E_TRUNCATED, -ENOMEM */
    const char *fault;     /* static text */
    h1_response *trailers; /* in the arena; NULL: none came */
    h1_response head;
} reply;

/* Make ready for the response to a request by `method`. `arena` is borrowed, for as long as the
 * head is looked at. */
void reply_init(reply *r, hs_arena *arena, hs_method method, const h1_limits *limits);

/* Read from `in`, which may be empty. *used is how many bytes of it were eaten. */
reply_event reply_feed(reply *r, hs_span in, size_t *used, hs_span *data);

/* The peer sends no more, and all that it sent was fed. REPLY_END for a body that ends so, else
 * REPLY_BAD with HS_E_TRUNCATED. Not after an end. */
reply_event reply_close(reply *r);

/* After REPLY_END: whether the connection may carry another request. */
static inline bool reply_keeps(const reply *r)
{
    return r->head.keep_alive;
}
