/* The TCP module of a shard: its making, and its slots. See hs_tcp.h. */
#include "dial.h"

static bool trim_tcp(hs_trim *trim)
{
    hs_tcp *tcp = HS_CONTAINER_OF(trim, hs_tcp, trim);
    bool conns = hs_shard_trim_pool(&tcp->conns);
    bool txs = hs_shard_trim_pool(&tcp->txs);
    return conns || txs;
}

static hs_err register_counters(hs_tcp *tcp)
{
    hs_counters *c = hs_shard_counters(tcp->shard);
    HS_TRY(hs_counters_register(c, "tcp_accepted", &tcp->count_accepted));
    HS_TRY(hs_counters_register(c, "tcp_refused", &tcp->count_refused));
    HS_TRY(hs_counters_register(c, "tcp_dialled", &tcp->count_dialled));
    HS_TRY(hs_counters_register(c, "tcp_closed", &tcp->count_closed));
    HS_TRY(hs_counters_register(c, "tcp_bytes_in", &tcp->count_bytes_in));
    return hs_counters_register(c, "tcp_bytes_out", &tcp->count_bytes_out);
}

static hs_err init_pools(hs_tcp *tcp)
{
    const hs_mem *mem = hs_shard_mem(tcp->shard);
    uint32_t max = tcp->options.conns_max;
    size_t slot = sizeof(tcp_conn) + tcp->options.owner_bytes;
    HS_TRY(hs_pool_init(&tcp->conns, mem, slot, max));
    hs_err err = hs_pool_init(&tcp->txs, mem, sizeof(tcp_tx), max);
    if (!hs_ok(err))
        hs_pool_fini(&tcp->conns);
    return err;
}

hs_err hs_tcp_create(hs_shard *shard, const hs_tcp_options *options, hs_tcp **out)
{
    HS_ASSERT(out != NULL);
    HS_ASSERT(options->conns_max <= HS_CONNS_MAX);
    const hs_mem *mem = hs_shard_mem(shard);
    hs_tcp *tcp = hs_mem_take_zero(mem, sizeof *tcp, HS_CACHE_LINE);
    HS_ENSURE(tcp, -ENOMEM);
    tcp->shard = shard;
    tcp->options = *options;
    if (tcp->options.conns_max == 0)
        tcp->options.conns_max = HS_CONNS_MAX;
    hs_list_init(&tcp->listeners);
    hs_err err = register_counters(tcp);
    if (hs_ok(err))
        err = init_pools(tcp);
    if (!hs_ok(err)) {
        hs_mem_give(mem, tcp, sizeof *tcp, HS_CACHE_LINE);
        return err;
    }
    tcp->trim.fn = trim_tcp;
    hs_shard_trim_add(shard, &tcp->trim);
    *out = tcp;
    return HS_OK;
}

void hs_tcp_destroy(hs_tcp *tcp)
{
    HS_ASSERT(hs_list_empty(&tcp->listeners));
    HS_ASSERT(tcp->conns.slots_used == 0);
    if (tcp->dialler)
        dialler_destroy(tcp->dialler);
    hs_shard_trim_remove(&tcp->trim);
    hs_pool_fini(&tcp->txs);
    hs_pool_fini(&tcp->conns);
    hs_mem_give(hs_shard_mem(tcp->shard), tcp, sizeof *tcp, HS_CACHE_LINE);
}

uint32_t hs_tcp_conns(const hs_tcp *tcp)
{
    return tcp->conns.slots_used;
}
