/* Whole shards in a simulated world: see cluster.h. */
#include "cluster.h"

#include <string.h>

/* ---- memory ---- */

static uint64_t next_random(cluster_mem *m)
{
    m->random = m->random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return m->random >> 33;
}

static void *mem_take(void *ctx, size_t bytes, size_t align)
{
    cluster_mem *m = ctx;
    if (m->fail_chance && next_random(m) % 1024 < m->fail_chance) {
        m->fails++;
        return NULL;
    }
    void *ptr = hs_mem_take(hs_mem_system(), bytes, align);
    HS_ASSERT(ptr != NULL);
    /* What is not set must not be relied on. Large pieces stay untouched: they cost time. */
    if (bytes <= 65536)
        memset(ptr, 0xa5, bytes);
    m->pieces_out++;
    m->bytes_out += bytes;
    return ptr;
}

static void mem_give(void *ctx, void *ptr, size_t bytes, size_t align)
{
    cluster_mem *m = ctx;
    HS_ASSERT(m->pieces_out > 0 && m->bytes_out >= bytes);
    m->pieces_out--;
    m->bytes_out -= bytes;
    hs_mem_give(hs_mem_system(), ptr, bytes, align);
}

/* ---- shards ---- */

static void body(void *ctx)
{
    struct cluster_member *m = ctx;
    cluster *c = m->c;
    hs_err err = c->options.start ? c->options.start(m->shard, c->options.ctx) : HS_OK;
    c->started++;
    if (!hs_ok(err) && hs_ok(c->start_err))
        c->start_err = err;
    if (c->started == c->options.sim.shards && !hs_ok(c->start_err))
        cluster_stop(c);
    while (!shard_finished(m->shard))
        shard_turn(m->shard, true);
    if (c->options.end)
        c->options.end(m->shard, c->options.ctx);
    shard_end(m->shard);
    shard_enter(NULL);
}

static void resumed(void *ctx)
{
    shard_enter(((struct cluster_member *)ctx)->shard);
}

static hs_err make_shards(cluster *c)
{
    for (uint32_t i = 0; i < c->options.sim.shards; i++) {
        shard_options o = {.id = i,
                           .mail = &c->mail,
                           .mem = &c->mem.mem,
                           .io = sim_world_io(c->w, i),
                           .seed = sim_random(c->w),
                           .stop = c->options.stop,
                           .ctx = c->options.ctx};
        HS_TRY(shard_create(&o, &c->shards[i]));
        c->members[i] = (struct cluster_member){.c = c, .shard = c->shards[i]};
    }
    for (uint32_t i = 0; i < c->options.sim.shards; i++)
        sim_world_spawn(c->w, i, body, resumed, &c->members[i]);
    return HS_OK;
}

hs_err cluster_init(cluster *c, const cluster_options *options)
{
    HS_ASSERT(options->sim.shards <= CLUSTER_SHARDS_MAX);
    memset(c, 0, sizeof(*c));
    c->options = *options;
    c->mem.mem = (hs_mem){mem_take, mem_give, &c->mem};
    c->mem.random = options->sim.seed ^ UINT64_C(0x6d656d6f7279);
    c->mem.fail_chance = options->fail_chance;
    c->options.sim.mem = &c->mem.mem;
    hs_err err = sim_world_create(&c->options.sim, &c->w);
    if (hs_ok(err))
        err = shard_mail_init(&c->mail, &c->mem.mem, options->sim.shards);
    if (hs_ok(err))
        err = make_shards(c);
    if (!hs_ok(err))
        cluster_fini(c);
    return err;
}

void cluster_stop(cluster *c)
{
    for (uint32_t i = 0; i < c->options.sim.shards; i++)
        shard_stop(c->shards[i]);
}

cluster_end cluster_run(cluster *c, uint64_t ns)
{
    uint64_t end = sim_world_now_ns(c->w) + ns;
    while (!sim_world_ended(c->w)) {
        if (!sim_world_step(c->w))
            return CLUSTER_STUCK;
        if (sim_world_now_ns(c->w) > end)
            return CLUSTER_SLOW;
    }
    shard_enter(NULL);
    return CLUSTER_ENDED;
}

void cluster_fini(cluster *c)
{
    for (uint32_t i = 0; i < c->options.sim.shards; i++)
        if (c->shards[i])
            shard_destroy(c->shards[i]);
    if (c->mail.queues)
        shard_mail_fini(&c->mail);
    if (c->w)
        sim_world_destroy(c->w);
    HS_ASSERT(c->mem.pieces_out == 0);
    HS_ASSERT(c->mem.bytes_out == 0);
}
