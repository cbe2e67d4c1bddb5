/* Buffer chains.
 *
 * Owns: the order of the chunks, and whose turn it is to give each back. Must not know: sockets.
 * A chunk with no bytes may stand in a chain (a place that was reserved and not written); it is
 * skipped when the chain is described and goes back when it comes to the front.
 * Tested by: tests/unit/core_chain.c. */
#include "hs_chain.h"

#include <errno.h>

#include "hs_assert.h"

HS_STATIC_ASSERT(HS_CHUNK_ROOM >= 2048, "a chunk is mostly room");

/* Bytes that can still be written behind those of `k`. */
static size_t chunk_room(const hs_chunk *k)
{
    if (k->borrowed)
        return 0;
    return (size_t)(k->bytes + HS_CHUNK_ROOM - (k->data + k->len));
}

/* Where they are written. */
static uint8_t *chunk_end(hs_chunk *k)
{
    HS_ASSERT(!k->borrowed);
    return k->bytes + (k->data - k->bytes) + k->len;
}

/* An unlinked chunk without bytes, or NULL. */
static hs_chunk *chunk_take(hs_pool *pool)
{
    HS_ASSERT(pool->slot_bytes == HS_CHUNK_BYTES);
    hs_chunk *k = hs_pool_take(pool);
    if (HS_UNLIKELY(!k))
        return NULL;
    k->next = NULL;
    k->data = k->bytes;
    k->len = 0;
    k->done = NULL;
    k->ctx = NULL;
    k->borrowed = false;
    return k;
}

/* Give back `k`, and tell the owner of borrowed bytes; nothing may look at `k` after that. */
static void chunk_give(hs_pool *pool, hs_chunk *k)
{
    hs_chunk_done *done = k->done;
    void *ctx = k->ctx;
    HS_ASSERT(k->borrowed || !done);
    hs_pool_give(pool, k);
    if (done)
        done(ctx);
}

static void link_last(hs_chain *c, hs_chunk *k)
{
    HS_ASSERT(!k->next);
    if (c->tail)
        c->tail->next = k;
    else
        c->head = k;
    c->tail = k;
}

uint8_t *hs_chain_reserve(hs_chain *c, hs_pool *pool, size_t bytes)
{
    HS_ASSERT(bytes <= HS_CHUNK_ROOM);
    hs_chunk *k = c->tail;
    if (!k || k->borrowed || chunk_room(k) < bytes) {
        k = chunk_take(pool);
        if (HS_UNLIKELY(!k))
            return NULL;
        link_last(c, k);
    }
    return chunk_end(k);
}

void hs_chain_commit(hs_chain *c, size_t bytes)
{
    HS_ASSERT(c->tail);
    HS_ASSERT(bytes <= chunk_room(c->tail));
    c->tail->len += bytes;
    c->len += bytes;
}

/* Copy as much of `data` as fits into `k`; returns what does not. */
static hs_span chunk_fill(hs_chunk *k, hs_span data)
{
    size_t n = HS_MIN(data.len, chunk_room(k));
    if (n == 0)
        return data;
    memcpy(chunk_end(k), data.ptr, n);
    k->len += n;
    return hs_span_from(data, n);
}

hs_err hs_chain_append(hs_chain *c, hs_pool *pool, hs_span data)
{
    HS_ASSERT(data.ptr || data.len == 0);
    size_t room = c->tail ? chunk_room(c->tail) : 0;
    if (HS_LIKELY(data.len <= room && data.len > 0)) { /* one copy, and nothing to link */
        memcpy(chunk_end(c->tail), data.ptr, data.len);
        c->tail->len += data.len;
        c->len += data.len;
        return HS_OK;
    }
    hs_chain more;
    hs_chain_init(&more);
    for (; room < data.len; room += HS_CHUNK_ROOM) {
        hs_chunk *k = chunk_take(pool);
        if (HS_UNLIKELY(!k)) {
            hs_chain_clear(&more, pool);
            return hs_err_errno(ENOMEM);
        }
        link_last(&more, k);
    }
    c->len += data.len;
    hs_span rest = c->tail ? chunk_fill(c->tail, data) : data;
    for (hs_chunk *k = more.head; k; k = k->next)
        rest = chunk_fill(k, rest);
    HS_ASSERT(rest.len == 0);
    hs_chain_join(c, &more);
    return HS_OK;
}

hs_err hs_chain_borrow(hs_chain *c, hs_pool *pool, hs_span data, hs_chunk_done *done, void *ctx)
{
    HS_ASSERT(data.ptr && data.len > 0);
    hs_chunk *k = chunk_take(pool);
    if (HS_UNLIKELY(!k))
        return hs_err_errno(ENOMEM);
    k->data = data.ptr;
    k->len = data.len;
    k->done = done;
    k->ctx = ctx;
    k->borrowed = true;
    link_last(c, k);
    c->len += data.len;
    return HS_OK;
}

void hs_chain_join(hs_chain *to, hs_chain *from)
{
    HS_ASSERT(to != from);
    if (!from->head)
        return;
    if (to->tail)
        to->tail->next = from->head;
    else
        to->head = from->head;
    to->tail = from->tail;
    to->len += from->len;
    hs_chain_init(from);
}

void hs_chain_consume(hs_chain *c, hs_pool *pool, size_t bytes)
{
    HS_ASSERT(bytes <= c->len);
    hs_chunk *k = c->head;
    while (k) {
        size_t n = HS_MIN(bytes, k->len);
        k->data += n;
        k->len -= n;
        c->len -= n;
        bytes -= n;
        if (k->len > 0)
            break;
        /* Out of the chain before its `done` runs, which may append. */
        c->head = k->next;
        if (!c->head)
            c->tail = NULL;
        chunk_give(pool, k);
        k = c->head;
    }
    HS_ASSERT(bytes == 0);
}

void hs_chain_clear(hs_chain *c, hs_pool *pool)
{
    hs_chunk *k = c->head;
    /* Empty before a `done` runs: what it appends is not part of what is cleared. */
    hs_chain_init(c);
    while (k) {
        hs_chunk *next = k->next;
        chunk_give(pool, k);
        k = next;
    }
}

size_t hs_chain_iov(const hs_chain *c, struct iovec *iov, size_t max, size_t *bytes)
{
    HS_ASSERT(iov || max == 0);
    HS_ASSERT(bytes);
    size_t filled = 0, sum = 0;
    for (const hs_chunk *k = c->head; k && filled < max; k = k->next) {
        if (k->len == 0)
            continue;
        /* Vectors serve reading and writing alike; these are for sending, so nothing is written. */
        iov[filled].iov_base = (void *)(uintptr_t)k->data;
        iov[filled].iov_len = k->len;
        sum += k->len;
        filled++;
    }
    HS_ASSERT(sum <= c->len);
    *bytes = sum;
    return filled;
}

void hs_chain_validate(const hs_chain *c)
{
    HS_ASSERT(!c->head == !c->tail);
    size_t sum = 0;
    const hs_chunk *last = NULL;
    for (const hs_chunk *k = c->head; k; k = k->next) {
        if (k->borrowed) {
            HS_ASSERT(k->data && k->len > 0);
        } else {
            HS_ASSERT(!k->done);
            HS_ASSERT(k->data >= k->bytes);
            HS_ASSERT(k->data + k->len <= k->bytes + HS_CHUNK_ROOM);
        }
        sum += k->len;
        last = k;
    }
    HS_ASSERT(sum == c->len);
    HS_ASSERT(last == c->tail);
}
