/* What others may ask of a shard.
 *
 * Owns: which shard the thread is. Must not know: threads, backends; how a shard is made (life.c).
 * Tested by: tests/unit/shard_loop.c. */
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

const char *hs_shard_label_set(hs_shard *s, const char *label)
{
    /* Twice for each request, so not even an assertion. */
    const char *before = atomic_load_explicit(&s->label, memory_order_relaxed);
    atomic_store_explicit(&s->label, label, memory_order_relaxed);
    return before;
}

const char *hs_shard_label(const hs_shard *s)
{
    return atomic_load_explicit(&s->label, memory_order_relaxed);
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
    hs_shard *s = hs_shard_self();
    bool more = false;
    s->trim_slabs -= s->trim_rest ? hs_pool_trim_rest(pool, s->trim_slabs)
                                  : hs_pool_trim_period(pool, s->trim_slabs, &more);
    s->trim_pending |= hs_pool_trim_pending(pool);
    return more;
}
