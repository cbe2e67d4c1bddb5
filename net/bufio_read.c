/* Reading from a buffered stream: see hs_bufio.h and bufio.h.
 *
 * A read is decided when it is asked, or by what comes later. Each byte is looked at once for each
 * read, however small the pieces are that it comes in. Tested by: tests/unit/net_bufio.c. */
#include <string.h>

#include "bufio.h"

/* What a read came to. */
typedef struct decision {
    hs_err err;
    size_t give, take; /* bytes of the result, and bytes that it consumes */
} decision;

static bool give(decision *d, size_t bytes, size_t take)
{
    *d = (decision){.give = bytes, .take = take};
    return true;
}

static bool refuse(decision *d, int32_t code)
{
    *d = (decision){.err = {code}};
    return true;
}

/* ---- delimiters ---- */

/* Where the delimiter begins. False: not in these bytes, and `looked` says up to where. */
static bool find(bufio_want *w, const uint8_t *bytes, size_t len, size_t *at)
{
    if (len < w->delimiter_len)
        return false;
    HS_ASSERT(w->looked <= len);
    const uint8_t *from = bytes + w->looked;
    const uint8_t *hit = memmem(from, len - w->looked, w->delimiter, w->delimiter_len);
    if (hit)
        *at = (size_t)(hit - bytes);
    else
        w->looked = len - (w->delimiter_len - 1);
    return hit != NULL;
}

static bool decide_text(bufio_want *w, const uint8_t *bytes, size_t len, decision *d)
{
    size_t at, text, tail = w->kind == BUFIO_LINE ? 2 : w->delimiter_len;
    if (!find(w, bytes, len, &at))
        /* However it goes on, the text is too long. */
        return len >= w->bytes + tail ? refuse(d, HS_E_LIMIT) : false;
    text = at;
    if (w->kind == BUFIO_LINE && text > 0 && bytes[text - 1] == '\r')
        text--;
    if (text > w->bytes)
        return refuse(d, HS_E_LIMIT);
    return give(d, text, at + w->delimiter_len);
}

/* ---- deciding ---- */

static bool decide_by_bytes(hs_bufio *b, decision *d)
{
    bufio_want *w = &b->want;
    size_t len = b->end - b->start;
    switch (w->kind) {
    case BUFIO_SOME:
        return len > 0 ? give(d, HS_MIN(len, w->bytes), HS_MIN(len, w->bytes)) : false;
    case BUFIO_EXACT:
        return len >= w->bytes ? give(d, w->bytes, w->bytes) : false;
    case BUFIO_PEEK:
        return len >= w->bytes ? give(d, len, 0) : false;
    default:
        return len > 0 ? decide_text(w, b->mem.bytes + b->start, len, d) : false;
    }
}

/* False: it has to wait. */
static bool decide(hs_bufio *b, decision *d)
{
    HS_ASSERT(b->taken == 0);
    if (decide_by_bytes(b, d))
        return true;
    if (b->ended)
        return refuse(d, b->start == b->end ? HS_E_END : HS_E_TRUNCATED);
    return hs_ok(b->why) ? false : refuse(d, b->why.code);
}

static hs_outcome outcome_of(hs_bufio *b, const decision *d)
{
    if (!hs_ok(d->err))
        return hs_error(d->err);
    HS_ASSERT(d->give <= b->end - b->start);
    HS_ASSERT(d->take <= b->end - b->start);
    b->result = hs_span_of(b->mem.bytes ? b->mem.bytes + b->start : NULL, d->give);
    b->taken = d->take;
    b->lent = true;
    return hs_value(&b->result);
}

void bufio_read_look(hs_bufio *b)
{
    decision d;
    if (!b->reading || !decide(b, &d))
        return;
    hs_outcome outcome = outcome_of(b, &d);
    bufio_settle(b, &b->reading, outcome);
}

static hs_promise *read_begin(hs_bufio *b, const bufio_want *want)
{
    decision d;
    HS_ASSERT(b->shard == hs_shard_self());
    HS_ASSERT(!b->closing);
    if (b->reading)
        return hs_promise_settled(b->shard, hs_error(hs_err_of(HS_E_USAGE)));
    bufio_buf_consume(b);
    hs_err err = hs_cancel_why(b->cancel);
    if (hs_ok(err) && want->kind != BUFIO_SOME && want->bytes > b->bytes_max)
        err = hs_err_of(HS_E_LIMIT);
    hs_promise *promise = hs_ok(err) ? hs_promise_create(b->shard) : NULL;
    if (!promise) {
        /* Nothing is taken for somebody who cannot be told. */
        bufio_regulate(b);
        return hs_promise_settled(b->shard, hs_error(hs_ok(err) ? hs_err_of(-ENOMEM) : err));
    }
    b->want = *want;
    if (decide(b, &d)) {
        hs_promise_settle(promise, outcome_of(b, &d));
    } else {
        bufio_buf_idle(b);
        b->reading = promise;
        err = bufio_hook_add(b);
        HS_ASSERT(hs_ok(err)); /* it has not fired: see above */
    }
    bufio_regulate(b);
    return promise;
}

/* ---- the kinds ---- */

hs_promise *hs_bufio_read(hs_bufio *b, size_t max)
{
    return read_begin(b, &(bufio_want){.kind = BUFIO_SOME, .bytes = max ? max : SIZE_MAX});
}

hs_promise *hs_bufio_exact(hs_bufio *b, size_t bytes)
{
    return read_begin(b, &(bufio_want){.kind = BUFIO_EXACT, .bytes = bytes});
}

hs_promise *hs_bufio_peek(hs_bufio *b, size_t bytes)
{
    HS_ASSERT(bytes > 0);
    return read_begin(b, &(bufio_want){.kind = BUFIO_PEEK, .bytes = bytes});
}

/* The longest text of which the end is seen before the peer is held up. */
static hs_promise *read_text(hs_bufio *b, bufio_want *w, size_t max, size_t tail)
{
    size_t longest = b->bytes_max - tail;
    w->bytes = max ? HS_MIN(max, longest) : longest;
    return read_begin(b, w);
}

hs_promise *hs_bufio_until(hs_bufio *b, hs_span delimiter, size_t max)
{
    bufio_want w = {.kind = BUFIO_UNTIL, .delimiter_len = delimiter.len};
    HS_ASSERT(delimiter.len > 0);
    HS_ASSERT(delimiter.len <= HS_BUFIO_DELIMITER_MAX);
    memcpy(w.delimiter, delimiter.ptr, delimiter.len);
    return read_text(b, &w, max, delimiter.len);
}

hs_promise *hs_bufio_line(hs_bufio *b, size_t max)
{
    bufio_want w = {.kind = BUFIO_LINE, .delimiter = "\n", .delimiter_len = 1};
    return read_text(b, &w, max, 2);
}

size_t hs_bufio_unread(const hs_bufio *b)
{
    return b->end - b->start - b->taken;
}
