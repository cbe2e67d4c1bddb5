/* The bytes of a buffered stream that were not read: see bufio.h.
 *
 * They stand in one piece, so that a result is one span. While somebody looks at a result its
 * memory stays where it is: where more is needed then, what is behind goes to a new piece, and the
 * old one is held until the next read. Tested by: tests/unit/net_bufio.c. */
#include <string.h>

#include "bufio.h"

static bufio_mem mem_take(hs_shard *shard, size_t bytes)
{
    bufio_mem m = {.room = HS_MAX(bytes, (size_t)HS_CHUNK_BYTES)};
    m.bytes = m.room == HS_CHUNK_BYTES ? hs_pool_take(hs_shard_chunks(shard))
                                       : hs_mem_take(hs_shard_mem(shard), m.room, 16);
    return m;
}

static void mem_give(hs_shard *shard, bufio_mem *m)
{
    if (m->bytes && m->room == HS_CHUNK_BYTES)
        hs_pool_give(hs_shard_chunks(shard), m->bytes);
    else
        hs_mem_give(hs_shard_mem(shard), m->bytes, m->room, 16);
    *m = (bufio_mem){0};
}

/* Have room for `need` bytes from `start` on. */
static bool make_room(hs_bufio *b, size_t need)
{
    size_t have = b->end - b->start;
    HS_ASSERT(need > have);
    /* Moving pays where it wins as much as it moves: else a peer could make us move all for each
     * byte. */
    if (!b->lent && need <= b->mem.room && b->start >= have) {
        memcpy(b->mem.bytes, b->mem.bytes + b->start, have);
    } else {
        bufio_mem m = mem_take(b->shard, have == 0 ? need : 2 * need);
        if (!m.bytes)
            return false;
        if (have > 0)
            memcpy(m.bytes, b->mem.bytes + b->start, have);
        if (b->lent && !b->held.bytes)
            b->held = b->mem;
        else
            mem_give(b->shard, &b->mem);
        b->mem = m;
    }
    b->start = 0;
    b->end = have;
    return true;
}

bool bufio_buf_add(hs_bufio *b, hs_span bytes)
{
    HS_ASSERT(bytes.len > 0);
    if (b->mem.room - b->end < bytes.len && !make_room(b, b->end - b->start + bytes.len))
        return false;
    HS_ASSERT(b->end + bytes.len <= b->mem.room);
    memcpy(b->mem.bytes + b->end, bytes.ptr, bytes.len);
    b->end += bytes.len;
    return true;
}

void bufio_buf_consume(hs_bufio *b)
{
    HS_ASSERT(b->taken <= b->end - b->start);
    b->start += b->taken;
    b->taken = 0;
    b->lent = false;
    mem_give(b->shard, &b->held);
    if (b->start == b->end)
        b->start = b->end = 0;
}

void bufio_buf_idle(hs_bufio *b)
{
    HS_ASSERT(!b->lent);
    if (b->end == 0)
        mem_give(b->shard, &b->mem);
}

void bufio_buf_fini(hs_bufio *b)
{
    mem_give(b->shard, &b->held);
    mem_give(b->shard, &b->mem);
    b->start = b->end = b->taken = 0;
}
