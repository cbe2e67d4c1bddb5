/* Buffer chains: bytes to send, in order, in chunks from a pool.
 *
 * Owns: chunks of HS_CHUNK_BYTES (header included) from a chunk pool that one shard's chains share.
 * A chunk either holds its bytes or points to borrowed ones. Must not know: sockets.
 * Nothing here takes memory from the system in steady state: the pool keeps what it has, and gives
 * it back at hs_pool_trim. Single shard. Tested by: tests/unit/core_chain.c. */
#pragma once

#include <sys/uio.h>

#include "hs_pool.h"
#include "hs_span.h"

HS_BEGIN_DECLS

#define HS_CHUNK_BYTES 4096

typedef void hs_chunk_done(void *ctx);

typedef struct hs_chunk {
    struct hs_chunk *next;
    const uint8_t *data; /* first byte not consumed: in `bytes`, or borrowed */
    size_t len;          /* bytes not consumed */
    hs_chunk_done *done; /* borrowed chunks: run when the bytes are not needed; may be NULL */
    void *ctx;
    bool borrowed;
    uint8_t bytes[];
} hs_chunk;

#define HS_CHUNK_ROOM (HS_CHUNK_BYTES - sizeof(hs_chunk))

typedef struct hs_chain {
    hs_chunk *head, *tail;
    size_t len; /* bytes in all chunks */
} hs_chain;

/* Make `c` empty. Zeroed storage is an empty chain as well. */
static inline void hs_chain_init(hs_chain *c)
{
    c->head = c->tail = NULL;
    c->len = 0;
}

/* Make sure that `bytes` (at most HS_CHUNK_ROOM) can be written in one piece at the end, and return
 * where; what was written is added by hs_chain_commit. The place is valid until the chain is
 * changed by anything else. NULL without memory or past the pool's limit.
 * `pool` has slots of HS_CHUNK_BYTES. Shard: owner only. */
HS_API uint8_t *hs_chain_reserve(hs_chain *c, hs_pool *pool, size_t bytes);

/* Add `bytes` that were written where hs_chain_reserve said. Shard: owner only. */
HS_API void hs_chain_commit(hs_chain *c, size_t bytes);

/* Copy `data` to the end, over as many chunks as it needs. All or nothing.
 * Errors: -ENOMEM (no memory, or the pool's limit). Shard: owner only. */
HS_API HS_NODISCARD hs_err hs_chain_append(hs_chain *c, hs_pool *pool, hs_span data);

/* Put `data` (not empty) at the end without a copy. Borrowed: it must stay valid until `done(ctx)`
 * runs, which is once, when the bytes were consumed or the chain was cleared; with `done` NULL it
 * must outlive the chain (constant data). Errors: -ENOMEM; then `done` is never called.
 * Shard: owner only. */
HS_API HS_NODISCARD hs_err hs_chain_borrow(hs_chain *c, hs_pool *pool, hs_span data,
                                           hs_chunk_done *done, void *ctx);

/* Move all of `from` to the end of `to`. No copy, never fails. Shard: owner only. */
HS_API void hs_chain_join(hs_chain *to, hs_chain *from);

/* Drop the first `bytes` (at most the chain's length), giving chunks back: an empty chain holds
 * none. A `done` that runs here may append to the chain. Shard: owner only. */
HS_API void hs_chain_consume(hs_chain *c, hs_pool *pool, size_t bytes);

/* Drop everything. What a `done` that runs here appends stays. Shard: owner only. */
HS_API void hs_chain_clear(hs_chain *c, hs_pool *pool);

/* Describe the first bytes in at most `max` vectors. Returns how many were filled; *bytes is their
 * sum. Valid until the chain is changed. Shard: owner only. */
HS_API size_t hs_chain_iov(const hs_chain *c, struct iovec *iov, size_t max, size_t *bytes);

/* Check links and sums; asserts on a fault. Shard: owner only. */
HS_API void hs_chain_validate(const hs_chain *c);

HS_END_DECLS
