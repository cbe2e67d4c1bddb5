/* TLS on one shard: pools, counters, and the memory that connections share.
 *
 * Owns: what outlives a connection. Must not know: what happens on one. Tested by:
 * tests/unit/tls_*.c. */
#include "tls.h"

#define HANDSHAKE_MS 10000

static bool on_trim(hs_trim *trim)
{
    hs_tls *tls = HS_CONTAINER_OF(trim, hs_tls, trim);
    bool more = hs_shard_trim_pool(&tls->conns);
    return hs_shard_trim_pool(&tls->handshakes) || more;
}

static hs_err register_counters(hs_tls *tls)
{
    hs_counters *c = hs_shard_counters(tls->shard);
    HS_TRY(hs_counters_register(c, "tls_handshakes", &tls->count_handshakes));
    HS_TRY(hs_counters_register(c, "tls_handshakes_failed", &tls->count_failed));
    return hs_counters_register(c, "tls_handshakes_given_up", &tls->count_given_up);
}

static hs_err take_buffers(hs_tls *tls)
{
    const hs_mem *mem = hs_shard_mem(tls->shard);
    tls->in = hs_mem_take(mem, TLS_RECORD_BYTES, 16);
    tls->out = hs_mem_take(mem, TLS_RECORD_BYTES, 16);
    tls->hello = hs_mem_take(mem, 2 * TLS_HELLO_BYTES_MAX, 16);
    HS_ENSURE(tls->in && tls->out && tls->hello, -ENOMEM);
    return HS_OK;
}

static void fill_options(hs_tls *tls, const hs_tls_shard_options *options)
{
    hs_tls_shard_options *o = &tls->options;
    *o = *options;
    o->conns_max = o->conns_max ? o->conns_max : HS_CONNS_MAX;
    o->handshake_ms = o->handshake_ms ? o->handshake_ms : HANDSHAKE_MS;
    o->handshakes_max = o->handshakes_max ? o->handshakes_max : HS_TLS_HANDSHAKES_MAX;
    HS_ASSERT(o->handshakes_max < UINT32_MAX / 4);
}

static hs_err fill(hs_tls *tls)
{
    const hs_mem *mem = hs_shard_mem(tls->shard);
    HS_TRY(tls_library());
    HS_TRY(register_counters(tls));
    HS_TRY(take_buffers(tls));
    if (tls->box) {
        HS_ENSURE(wc_InitRng(&tls->rng) == 0, -ENOMEM);
        tls->rng_made = true;
    }
    HS_TRY(hs_pool_init(&tls->conns, mem, sizeof(tls_conn) + tls->options.owner_bytes,
                        tls->options.conns_max));
    return hs_pool_init(&tls->handshakes, mem, sizeof(tls_hs), tls->options.conns_max);
}

hs_err tls_init(hs_tls *tls, hs_shard *shard, const hs_tls_shard_options *options)
{
    tls->shard = shard;
    fill_options(tls, options);
    hs_list_init(&tls->waiting);
    hs_list_init(&tls->busy);
    hs_list_init(&tls->turn_list);
    hs_list_init(&tls->sessions);
    tls->trim.fn = on_trim;
    hs_shard_trim_add(shard, &tls->trim);
    hs_err err = fill(tls);
    if (!hs_ok(err))
        tls_fini(tls);
    return err;
}

void tls_fini(hs_tls *tls)
{
    const hs_mem *mem = hs_shard_mem(tls->shard);
    HS_ASSERT(tls->waiting_len == 0 && tls->busy_len == 0);
    hs_shard_trim_remove(&tls->trim);
    hs_task_cancel(tls->shard, &tls->turn_task);
    tls_sessions_clear(tls);
    if (tls->rng_made)
        (void)wc_FreeRng(&tls->rng);
    tls_forget(&tls->keys, sizeof tls->keys);
    hs_pool_fini(&tls->handshakes);
    hs_pool_fini(&tls->conns);
    hs_mem_give(mem, tls->in, TLS_RECORD_BYTES, 16);
    hs_mem_give(mem, tls->out, TLS_RECORD_BYTES, 16);
    hs_mem_give(mem, tls->hello, (size_t)2 * TLS_HELLO_BYTES_MAX, 16);
}

hs_err hs_tls_create(hs_shard *shard, hs_tls_box *box, const hs_tls_shard_options *options,
                     hs_tls **out)
{
    HS_ASSERT(box != NULL);
    HS_ASSERT(options->ready != NULL);
    hs_tls *tls = hs_mem_take_zero(hs_shard_mem(shard), sizeof *tls, 16);
    HS_ENSURE(tls, -ENOMEM);
    tls->box = box;
    hs_err err = tls_init(tls, shard, options);
    if (hs_ok(err))
        *out = tls;
    else
        hs_mem_give(hs_shard_mem(shard), tls, sizeof *tls, 16);
    return err;
}

void hs_tls_destroy(hs_tls *tls)
{
    hs_shard *shard = tls->shard;
    HS_ASSERT(hs_tls_conns(tls) == 0);
    hs_tls_ctx_unref(tls->ctx);
    tls_fini(tls);
    hs_mem_give(hs_shard_mem(shard), tls, sizeof *tls, 16);
}

uint32_t hs_tls_conns(const hs_tls *tls)
{
    return tls->conns.slots_used;
}

uint32_t hs_tls_handshakes(const hs_tls *tls)
{
    return tls->waiting_len + tls->busy_len;
}

tls_hs *tls_hs_take(tls_conn *c, struct tls_ask *ask)
{
    tls_hs *hs = hs_pool_take(&c->tls->handshakes);
    if (!hs)
        return NULL;
    memset(hs, 0, sizeof *hs);
    hs_list_init(&hs->link);
    hs_list_init(&hs->turn_link);
    hs->conn = c;
    hs->ask = ask;
    c->hs = hs;
    return hs;
}

void tls_hs_give(tls_conn *c)
{
    tls_hs *hs = c->hs;
    if (!hs)
        return;
    HS_ASSERT(hs->conn == c);
    HS_ASSERT(hs_list_empty(&hs->link));
    hs_list_remove(&hs->turn_link);
    hs_timer_cancel(c->tls->shard, &hs->timer);
    hs_pool_give(&c->tls->handshakes, hs);
    c->hs = NULL;
}
