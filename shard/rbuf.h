/* The receive buffers of a shard: how many there are, and which.
 *
 * Owns: the memory of HS_RBUFS_MAX buffers as one reservation, of which only `target` are in use:
 * few at first, twice as many each time that the backend runs out, fewer again when a period passes
 * in which they were not needed; what is no longer in use goes back to the system. The backend owns
 * the order in which buffers are filled. Must not know: rings, sockets. Single shard. Tested by:
 * tests/unit/shard_rbuf.c (model-based). */
#pragma once

#include "hs_err.h"
#include "hs_limits.h"
#include "hs_mem.h"

/* Where a buffer is. A dirty one may hold pages of memory. */
enum {
    RBUF_IDLE = 0,
    RBUF_BACKEND = 1,
    RBUF_LENT = 2,
    RBUF_PLACE = 3, /* mask of the above */
    RBUF_DIRTY = 4
};

typedef struct rbuf {
    uint8_t *base; /* HS_RBUFS_MAX * HS_RBUF_BYTES, reserved; touched only where used */
    const hs_mem *mem;
    uint32_t target;    /* how many should be in use now */
    uint32_t in_use;    /* with the backend, or lent to a callback */
    uint32_t lent;      /* handed out with data, not yet given back */
    uint32_t lent_peak; /* in this period */
    uint32_t idle_len;
    uint16_t idle[HS_RBUFS_MAX]; /* not in use: a stack */
    uint8_t state[HS_RBUFS_MAX]; /* of each buffer */
} rbuf;

/* Reserve the memory. Errors: -ENOMEM. */
HS_NODISCARD hs_err rbuf_init(rbuf *r, const hs_mem *mem);
void rbuf_fini(rbuf *r);

static inline uint8_t *rbuf_at(const rbuf *r, uint16_t id)
{
    return r->base + (size_t)id * HS_RBUF_BYTES;
}

/* The next buffer that the backend should have, or false when `target` are in use. */
HS_NODISCARD bool rbuf_next(rbuf *r, uint16_t *id);

/* The backend ran out: raise the target. False at the limit. */
HS_NODISCARD bool rbuf_grow(rbuf *r);

/* A buffer left the backend with data in it. */
void rbuf_lend(rbuf *r, uint16_t id);

/* A lent buffer comes back. True: the backend should have it again; false: it is out of use. */
HS_NODISCARD bool rbuf_give(rbuf *r, uint16_t id);

/* A period passed (about a second): lower the target to what the period needed, and return the
 * memory of buffers to the system: those out of use, and, when the backend holds more than the
 * target or the period used none at all, the contents of all that are not lent (they are faulted in
 * again when used). Only to be called when no completion with data waits. Returns whether there is
 * anything left that a quiet period would lower or return. */
bool rbuf_trim(rbuf *r);

/* Check counts against places; asserts on a fault. O(HS_RBUFS_MAX). */
void rbuf_validate(const rbuf *r);
