/* Who may hold how much of a shard's chunks.
 *
 * The chunks are one pot, and a connection whose peer does not read holds what is queued for it. So
 * a stream's share falls as the pot fills, the last eighth is for small pieces alone, and once it
 * is touched those that hold chunks are asked to release some.
 * Owns: the share, the room for large pieces, the list of holders. Must not know: what holds
 * chunks, and which of it matters least. Tested by: tests/unit/http_memory.c. */
#include "inside.h"

uint64_t share_large_max(uint64_t memory_bytes, uint32_t shards)
{
    return memory_bytes / 4 / shards;
}

/* A quarter of the memory, shared out: the system's buffers of as many bytes of answers, receive
 * buffers, requests and what the application has come on top. */
uint32_t share_chunks_max(uint64_t memory_bytes, uint32_t shards)
{
    uint64_t chunks = share_large_max(memory_bytes, shards) / HS_CHUNK_BYTES;
    return (uint32_t)HS_MIN(HS_MAX(chunks, HS_CHUNKS_MIN), HS_CHUNKS_MAX);
}

/* Below a quarter of the pot everyone has the whole share; above three quarters a chunk. */
size_t hs_shard_send_share(const hs_shard *s)
{
    uint32_t used = s->chunks.slots_used, max = s->chunks.slots_max;
    if (HS_LIKELY(used <= max / 4))
        return HS_SEND_HIGH_BYTES;
    uint32_t end = max - max / 4;
    if (used >= end)
        return HS_CHUNK_BYTES;
    size_t share = (size_t)((uint64_t)HS_SEND_HIGH_BYTES * (end - used) / (end - max / 4));
    return HS_MAX(share, (size_t)HS_CHUNK_BYTES);
}

static uint32_t reserve_at(const hs_shard *s)
{
    return s->chunks.slots_max - s->chunks.slots_max / 8;
}

size_t hs_shard_chunk_room(const hs_shard *s)
{
    uint32_t used = s->chunks.slots_used, at = reserve_at(s);
    return used < at ? (size_t)(at - used) * HS_CHUNK_ROOM : 0;
}

void hs_shard_chunks_ask(hs_shard *s)
{
    s->release_asked = true;
}

bool share_is_short(const hs_shard *s)
{
    return s->chunks.slots_used > reserve_at(s) || s->chunks.large_bytes > s->large_max ||
           s->release_asked;
}

void hs_shard_holder_add(hs_shard *s, hs_chunk_holder *holder)
{
    HS_ASSERT(holder->release != NULL);
    hs_list_init(&holder->link);
    hs_list_push_back(&s->holders, &holder->link);
}

void hs_shard_holder_remove(hs_chunk_holder *holder)
{
    hs_list_remove(&holder->link);
}

/* What is released comes back some turns later: the system has to let go of it first. */
#define RELEASE_EVERY_NS (5 * HS_MSEC_NS)

void share_release(hs_shard *s)
{
    if (s->now_ns < s->release_next_ns)
        return;
    s->release_next_ns = s->now_ns + RELEASE_EVERY_NS;
    s->release_asked = false;
    uint32_t used = s->chunks.slots_used, keep = s->chunks.slots_max - s->chunks.slots_max / 4;
    size_t bytes = used > keep ? (size_t)(used - keep) * HS_CHUNK_ROOM : 0;
    if (s->chunks.large_bytes > s->large_max)
        bytes += s->chunks.large_bytes - s->large_max / 4 * 3;
    if (bytes == 0)
        return;
    hs_list_each_safe (node, &s->holders) {
        hs_chunk_holder *holder = HS_CONTAINER_OF(node, hs_chunk_holder, link);
        bytes -= HS_MIN(bytes, holder->release(holder, bytes));
    }
}
