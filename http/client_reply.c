/* Reading a response: see client_reply.h. */
#include "client_reply.h"

#include <errno.h>

#include "hs_assert.h"

/* 100, 102 and 103 are sent once or a few times; a server that goes on with them is at play. */
#define INTERIMS_MAX 16
#define PIECE_BYTES_MIN 512

enum { ST_HEAD, ST_LENGTH, ST_CHUNKED, ST_TRAILERS, ST_CLOSE, ST_ENDED };

void reply_init(reply *r, hs_arena *arena, hs_method method, const h1_limits *limits)
{
    HS_ASSERT(arena != NULL);
    HS_ASSERT(limits->head_bytes_max > 0);
    *r = (reply){.arena = arena, .limits = *limits, .state = ST_HEAD};
    h1_response_init(&r->head, method);
}

static reply_event bad(reply *r, int32_t err, const char *fault)
{
    HS_ASSERT(r->state != ST_ENDED);
    HS_ASSERT(fault != NULL);
    r->state = ST_ENDED;
    r->err = hs_err_of(err);
    r->fault = fault;
    return REPLY_BAD;
}

static reply_event bad_section(reply *r, const h1_response *section)
{
    return bad(r, section->err.code, section->fault);
}

/* Add to what is there of a section of at most `max` bytes. Returns how many bytes were taken: one
 * beyond the limit is enough for the parser to see it. 0 without memory. */
static size_t keep(reply *r, hs_span in, uint32_t max)
{
    size_t n = HS_MIN(in.len, (size_t)(max + 1 - r->in_len));
    uint32_t need = r->in_len + (uint32_t)n;
    HS_ASSERT(n > 0);
    if (need > r->in_cap) {
        uint32_t cap = HS_MAX(HS_MAX(2 * r->in_cap, need), PIECE_BYTES_MIN);
        uint8_t *bytes = hs_arena_take(r->arena, cap);
        if (!bytes)
            return 0;
        if (r->in_len > 0)
            memcpy(bytes, r->in, r->in_len);
        r->in = bytes;
        r->in_cap = cap;
    }
    memcpy(r->in + r->in_len, in.ptr, n);
    r->in_len = need;
    return n;
}

/* ---- the head ---- */

static reply_event begin_body(reply *r)
{
    switch (r->head.body) {
    case H1_BODY_NONE:
        r->left = 0;
        r->state = ST_LENGTH;
        return REPLY_HEAD;
    case H1_BODY_LENGTH:
        r->left = r->head.content_length;
        r->state = ST_LENGTH;
        return REPLY_HEAD;
    case H1_BODY_CHUNKED:
        h1_chunk_init(&r->chunk);
        r->state = ST_CHUNKED;
        return REPLY_HEAD;
    case H1_BODY_CLOSE:
        r->state = ST_CLOSE;
        return REPLY_HEAD;
    default:
        HS_ASSERT(r->head.body == H1_BODY_TUNNEL);
        return bad(r, HS_E_PROTOCOL, "a tunnel that nobody asked for");
    }
}

/* A whole section is at `base`, which is r->in or what was fed. NULL without memory, else where it
 * is in the arena. */
static uint8_t *keep_section(reply *r, const uint8_t *base, uint32_t bytes)
{
    uint8_t *kept = r->in;
    if (base == r->in) {
        r->in = NULL;
        r->in_len = r->in_cap = 0;
        return kept;
    }
    kept = hs_arena_take(r->arena, bytes);
    if (kept)
        memcpy(kept, base, bytes);
    return kept;
}

/* A whole head is at `base`. */
static reply_event head_whole(reply *r, const uint8_t *base)
{
    if (r->head.status == 101)
        return bad(r, HS_E_PROTOCOL, "101 without a request to upgrade");
    if (r->head.status < 200) {
        if (++r->interims > INTERIMS_MAX)
            return bad(r, HS_E_PROTOCOL, "too many interim responses");
        r->in_len = 0;
        h1_response_init(&r->head, (hs_method)r->head.method);
        return REPLY_MORE;
    }
    uint8_t *kept = keep_section(r, base, r->head.bytes);
    if (!kept)
        return bad(r, -ENOMEM, "no memory for the head");
    if (h1_response_read(&r->head, kept, r->arena, &r->limits) == H1_BAD)
        return bad_section(r, &r->head);
    return begin_body(r);
}

static reply_event feed_head(reply *r, hs_span in, size_t *used)
{
    size_t before = r->in_len, n = in.len;
    const uint8_t *base = in.ptr;
    if (before > 0) {
        n = keep(r, in, r->limits.head_bytes_max);
        base = r->in;
        if (n == 0)
            return bad(r, -ENOMEM, "no memory for the head");
    }
    h1_result result = h1_response_scan(&r->head, base, before + n, &r->limits);
    if (result == H1_BAD)
        return bad_section(r, &r->head);
    if (result == H1_DONE) {
        HS_ASSERT(r->head.bytes > before && r->head.bytes <= before + n);
        *used = r->head.bytes - before;
        return head_whole(r, base);
    }
    if (before == 0)
        n = keep(r, in, r->limits.head_bytes_max);
    if (n == 0)
        return bad(r, -ENOMEM, "no memory for the head");
    *used = n;
    return REPLY_MORE;
}

/* ---- the body ---- */

static reply_event whole(reply *r)
{
    r->state = ST_ENDED;
    return REPLY_END;
}

static reply_event feed_length(reply *r, hs_span in, size_t *used, hs_span *data)
{
    if (r->left == 0)
        return whole(r);
    size_t n = (size_t)HS_MIN((uint64_t)in.len, r->left);
    if (n == 0)
        return REPLY_MORE;
    r->left -= n;
    *used = n;
    *data = hs_span_of(in.ptr, n);
    return REPLY_DATA;
}

static reply_event feed_close(hs_span in, size_t *used, hs_span *data)
{
    *used = in.len;
    *data = in;
    return in.len > 0 ? REPLY_DATA : REPLY_MORE;
}

/* The trailer section. Nearly always it is just the empty line. */
static reply_event feed_trailers(reply *r, hs_span in, size_t *used)
{
    if (in.len == 0)
        return REPLY_MORE;
    if (r->in_len == 0 && hs_span_starts(in, HS_SPAN("\r\n"))) {
        *used = 2;
        return whole(r);
    }
    if (!r->trailers) {
        r->trailers = hs_arena_take(r->arena, sizeof *r->trailers);
        if (!r->trailers)
            return bad(r, -ENOMEM, "no memory for trailers");
        h1_response_init_trailers(r->trailers);
    }
    uint32_t before = r->in_len;
    size_t n = keep(r, in, r->limits.head_bytes_max);
    if (n == 0)
        return bad(r, -ENOMEM, "no memory for trailers");
    *used = n;
    h1_result result = h1_response_scan(r->trailers, r->in, r->in_len, &r->limits);
    if (result == H1_MORE)
        return REPLY_MORE;
    if (result == H1_DONE) {
        HS_ASSERT(r->trailers->bytes > before);
        *used = r->trailers->bytes - before;
        result = h1_response_read(r->trailers, r->in, r->arena, &r->limits);
    }
    return result == H1_DONE ? whole(r) : bad_section(r, r->trailers);
}

static reply_event feed_chunked(reply *r, hs_span in, size_t *used, hs_span *data)
{
    switch (h1_chunk_feed(&r->chunk, in, used, data)) {
    case H1_CHUNK_DATA:
        return REPLY_DATA;
    case H1_CHUNK_TRAILERS: {
        size_t more = 0;
        r->state = ST_TRAILERS;
        reply_event ev = feed_trailers(r, hs_span_from(in, *used), &more);
        *used += more;
        return ev;
    }
    case H1_CHUNK_BAD:
        return bad(r, HS_E_PROTOCOL, r->chunk.fault);
    case H1_CHUNK_MORE:
        break;
    }
    return REPLY_MORE;
}

reply_event reply_feed(reply *r, hs_span in, size_t *used, hs_span *data)
{
    HS_ASSERT(r->state != ST_ENDED);
    *used = 0;
    *data = hs_span_of(NULL, 0);
    r->begun |= in.len > 0;
    /* Interim heads are passed by here; each takes some input. */
    while (r->state == ST_HEAD) {
        size_t n = 0;
        hs_span rest = hs_span_from(in, *used);
        if (rest.len == 0)
            return REPLY_MORE;
        reply_event ev = feed_head(r, rest, &n);
        *used += n;
        if (ev != REPLY_MORE)
            return ev;
        HS_ASSERT(n > 0);
    }
    switch (r->state) {
    case ST_LENGTH:
        return feed_length(r, in, used, data);
    case ST_CHUNKED:
        return feed_chunked(r, in, used, data);
    case ST_TRAILERS:
        return feed_trailers(r, in, used);
    default:
        HS_ASSERT(r->state == ST_CLOSE);
        return feed_close(in, used, data);
    }
}

reply_event reply_close(reply *r)
{
    HS_ASSERT(r->state != ST_ENDED);
    if (r->state == ST_CLOSE || (r->state == ST_LENGTH && r->left == 0))
        return whole(r);
    if (!r->begun)
        return bad(r, HS_E_TRUNCATED, "the connection ended without a response");
    return bad(r, HS_E_TRUNCATED,
               r->state == ST_HEAD ? "the connection ended inside the head"
                                   : "the connection ended inside the body");
}
