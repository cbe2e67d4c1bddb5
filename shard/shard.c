/* Making and ending a shard, and what others may ask of it.
 *
 * Owns: the shard's memory. Must not know: threads, backends. Tested by: tests/unit/shard_loop.c.
 */
#include "inside.h"

static __thread hs_shard *self_shard __attribute__((tls_model("initial-exec")));

hs_shard *hs_shard_self(void)
{
    return self_shard;
}

void shard_enter(hs_shard *shard)
{
    self_shard = shard;
}

static bool trim_own(hs_trim *trim)
{
    return hs_shard_trim_pool(&HS_CONTAINER_OF(trim, hs_shard, trim_own)->chunks);
}

hs_err shard_create(const shard_options *o, hs_shard **out)
{
    HS_ASSERT(o->id < o->mail->shards);
    HS_ASSERT(o->mail->peers[o->id] == NULL);
    hs_shard *s = hs_mem_take_zero(o->mem, sizeof *s, HS_CACHE_PAIR);
    HS_ENSURE(s, -ENOMEM);
    size_t calls_bytes = o->mail->shards * sizeof(uint16_t);
    s->calls_out = hs_mem_take_zero(o->mem, calls_bytes, sizeof(uint16_t));
    hs_err err = hs_err_errno(ENOMEM);
    if (s->calls_out)
        err = hs_pool_init(&s->chunks, o->mem, HS_CHUNK_BYTES, HS_CHUNKS_MAX);
    if (!hs_ok(err)) {
        hs_mem_give(o->mem, s->calls_out, calls_bytes, sizeof(uint16_t));
        hs_mem_give(o->mem, s, sizeof *s, HS_CACHE_PAIR);
        return err;
    }
    s->io = o->io;
    s->id = o->id;
    s->mail = o->mail;
    s->mem = o->mem;
    s->log = o->log;
    s->stop = o->stop;
    s->ctx = o->ctx;
    s->random = o->seed;
    s->now_ns = hs_io_now_ns(s->io);
    hs_heap_init(&s->timers, o->mem, HS_TIMERS_MAX);
    hs_counters_init(&s->counters);
    hs_list_init(&s->microtasks);
    hs_list_init(&s->trims);
    s->trim_own.fn = trim_own;
    hs_shard_trim_add(s, &s->trim_own);
    o->mail->peers[o->id] = s;
    *out = s;
    return HS_OK;
}

void shard_destroy(hs_shard *s)
{
    HS_ASSERT(s->holds == 0);
    HS_ASSERT(s->tasks == NULL);
    s->mail->peers[s->id] = NULL;
    hs_heap_fini(&s->timers);
    hs_pool_fini(&s->chunks);
    hs_mem_give(s->mem, s->calls_out, s->mail->shards * sizeof(uint16_t), sizeof(uint16_t));
    hs_mem_give(s->mem, s, sizeof *s, HS_CACHE_PAIR);
}

uint32_t hs_shard_id(const hs_shard *s)
{
    return s->id;
}

uint32_t hs_shard_count(const hs_shard *s)
{
    return s->mail->shards;
}

hs_shard *hs_shard_peer(const hs_shard *s, uint32_t id)
{
    HS_ASSERT(id < s->mail->shards);
    return s->mail->peers[id];
}

hs_io *hs_shard_io(hs_shard *s)
{
    return s->io;
}

uint64_t hs_shard_now_ns(const hs_shard *s)
{
    return s->now_ns;
}

uint64_t hs_shard_wall_s(hs_shard *s)
{
    /* The two clocks drift apart slowly, but somebody may set one: look again each second. */
    if (s->now_ns >= s->wall_next_ns) {
        s->wall_ns_base = hs_io_wall_ns(s->io) - s->now_ns;
        s->wall_next_ns = s->now_ns + HS_SEC_NS;
    }
    return (s->wall_ns_base + s->now_ns) / HS_SEC_NS;
}

const hs_mem *hs_shard_mem(const hs_shard *s)
{
    return s->mem;
}

hs_pool *hs_shard_chunks(hs_shard *s)
{
    return &s->chunks;
}

hs_counters *hs_shard_counters(hs_shard *s)
{
    return &s->counters;
}

hs_log *hs_shard_log(hs_shard *s)
{
    return s->log;
}

/* SplitMix64 (Steele, Lea, Flood: Fast Splittable Pseudorandom Number Generators, 2014). */
uint64_t hs_shard_random(hs_shard *s)
{
    uint64_t z = s->random += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

bool hs_shard_stopping(const hs_shard *s)
{
    return s->stopping;
}

void hs_shard_hold(hs_shard *s)
{
    HS_ASSERT(s->holds < UINT32_MAX);
    s->holds++;
}

void hs_shard_release(hs_shard *s)
{
    HS_ASSERT(s->holds > 0);
    s->holds--;
}

void hs_shard_trim_add(hs_shard *s, hs_trim *trim)
{
    HS_ASSERT(trim->fn != NULL);
    hs_list_init(&trim->link);
    hs_list_push_back(&s->trims, &trim->link);
}

void hs_shard_trim_remove(hs_trim *trim)
{
    hs_list_remove(&trim->link);
}

bool hs_shard_trim_pool(hs_pool *pool)
{
    bool more;
    (void)hs_pool_trim_period(pool, &more);
    return more;
}
