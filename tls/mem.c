/* wolfSSL's memory and its start.
 *
 * Owns: the hooks by which wolfSSL takes its memory from the shard that is at work, or from where a
 * context is made. Each piece remembers where it came from, so that it goes back there whoever
 * frees it: a context's last reference may be any shard's. Tested by: tests/unit/tls_*.c, where
 * each allocation fails once. */
#include <stdatomic.h>
#include <string.h>

#include "tls.h"

typedef struct piece {
    const hs_mem *mem;
    size_t bytes; /* with this head */
} piece;

HS_STATIC_ASSERT(sizeof(piece) == 16, "what follows a head stays aligned to 16");

static _Thread_local const hs_mem *mem_now;

static const hs_mem *current(void)
{
    if (mem_now)
        return mem_now;
    hs_shard *shard = hs_shard_self();
    return shard ? hs_shard_mem(shard) : hs_mem_system();
}

const hs_mem *tls_mem_set(const hs_mem *mem)
{
    const hs_mem *before = mem_now;
    mem_now = mem;
    return before;
}

static void *take(size_t bytes)
{
    const hs_mem *mem = current();
    if (bytes > SIZE_MAX / 2)
        return NULL;
    piece *p = hs_mem_take(mem, sizeof *p + bytes, 16);
    if (!p)
        return NULL;
    p->mem = mem;
    p->bytes = sizeof *p + bytes;
    return p + 1;
}

static void give(void *ptr)
{
    if (!ptr)
        return;
    piece *p = (piece *)ptr - 1;
    HS_ASSERT(p->mem != NULL && p->bytes >= sizeof *p);
    hs_mem_give(p->mem, p, p->bytes, 16);
}

static void *retake(void *ptr, size_t bytes)
{
    if (!ptr)
        return take(bytes);
    const piece *p = (piece *)ptr - 1;
    void *larger = take(bytes);
    if (!larger)
        return NULL;
    memcpy(larger, ptr, HS_MIN(bytes, p->bytes - sizeof *p));
    give(ptr);
    return larger;
}

enum { LIB_NONE, LIB_STARTING, LIB_READY, LIB_BROKEN };

/* What wolfSSL takes for itself is the system's: it outlives every shard. */
static int start(void)
{
    const hs_mem *before = tls_mem_set(hs_mem_system());
    int result = LIB_BROKEN;
    if (wolfSSL_SetAllocators(take, give, retake) == 0 && wolfSSL_Init() == WOLFSSL_SUCCESS)
        result = LIB_READY;
    tls_mem_set(before);
    return result;
}

hs_err tls_library(void)
{
    static _Atomic(int) state;
    int now = LIB_NONE;
    if (atomic_compare_exchange_strong(&state, &now, LIB_STARTING)) {
        now = start();
        atomic_store(&state, now);
    }
    /* Another thread is at it, for a moment. */
    while (now == LIB_STARTING)
        now = atomic_load(&state);
    HS_ENSURE(now == LIB_READY, HS_E_INTERNAL);
    return HS_OK;
}
