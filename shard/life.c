/* Making and ending a shard.
 *
 * Owns: the shard's memory, and the order in which its parts come and go. Must not know: threads,
 * backends. Tested by: tests/unit/shard_loop.c. */
#include "inside.h"

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
    s->io = o->io;
    s->id = o->id;
    s->mail = o->mail;
    s->mem = o->mem;
    hs_err err = hs_err_errno(ENOMEM);
    if (mail_lanes_init(s))
        err = hs_pool_init(&s->chunks, o->mem, HS_CHUNK_BYTES,
                           o->chunks_max ? o->chunks_max : HS_CHUNKS_MAX);
    if (!hs_ok(err)) {
        mail_lanes_fini(s);
        hs_mem_give(o->mem, s, sizeof *s, HS_CACHE_PAIR);
        return err;
    }
    s->log = o->log;
    s->stop = o->stop;
    s->ctx = o->ctx;
    s->random = o->seed;
    s->large_max = o->large_max ? o->large_max : UINT64_MAX;
    s->now_ns = hs_io_now_ns(s->io);
    hs_heap_init(&s->timers, o->mem, HS_TIMERS_MAX);
    hs_counters_init(&s->counters);
    hs_list_init(&s->microtasks);
    hs_list_init(&s->trims);
    hs_list_init(&s->holders);
    hs_list_init(&s->endings);
    s->trim_own.fn = trim_own;
    hs_shard_trim_add(s, &s->trim_own);
    calls_init(s);
    channels_init(s);
    err = blocking_init(s, o->blocking);
    HS_ASSERT(hs_ok(err)); /* the table of counters is empty yet */
    err = promises_init(s);
    HS_ASSERT(hs_ok(err));
    fibers_init(&s->fibers, o->mem, o->fiber_stack_bytes);
    hs_shard_trim_add(s, &s->fibers.trim);
    o->mail->peers[o->id] = s;
    *out = s;
    return HS_OK;
}

void shard_end(hs_shard *s)
{
    HS_ASSERT(s == hs_shard_self());
    promises_end(s);
    cancels_end(s);
    channels_end(s);
    calls_end(s);
    blocking_end(s);
}

void shard_destroy(hs_shard *s)
{
    hs_shard *self = hs_shard_self();
    shard_enter(s);
    shard_end(s);
    shard_enter(self == s ? NULL : self);
    HS_ASSERT(s->holds == 0);
    HS_ASSERT(!s->tasks.first && !s->tasks_next.first);
    s->mail->peers[s->id] = NULL;
    fibers_fini(&s->fibers);
    hs_heap_fini(&s->timers);
    blocks_fini(s);
    hs_pool_fini(&s->chunks);
    mail_lanes_fini(s);
    hs_mem_give(s->mem, s, sizeof *s, HS_CACHE_PAIR);
}
