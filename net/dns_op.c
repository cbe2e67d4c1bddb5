/* What every resolver can do, and the making of the one that asks servers.
 *
 * Owns: the checks of what callers give, and the defaults of options. Must not know: how names are
 * found. Tested by: tests/unit/net_dns.c, tests/plain/dns.c. */
#include "dns.h"
#include "hs_assert.h"

static uint32_t or_default(uint32_t value, uint32_t none)
{
    return value ? value : none;
}

hs_dns_options dns_options_set(const hs_dns_options *options)
{
    hs_dns_options o = options ? *options : (hs_dns_options){0};
    o.hosts_path = o.hosts_path ? o.hosts_path : "/etc/hosts";
    o.resolv_path = o.resolv_path ? o.resolv_path : "/etc/resolv.conf";
    o.try_ms = HS_MIN(or_default(o.try_ms, 2000), INT32_MAX);
    o.tries = HS_MIN(or_default(o.tries, 3), INT32_MAX);
    o.lookup_ms = or_default(o.lookup_ms, 15000);
    o.queries_max = HS_MIN(or_default(o.queries_max, HS_DNS_QUERIES_MAX), 1u << 16);
    o.cache_max = HS_MIN(or_default(o.cache_max, HS_DNS_CACHE_MAX), 1u << 20);
    o.ttl_s_max = or_default(o.ttl_s_max, 3600);
    o.none_s = or_default(o.none_s, 5);
    return o;
}

hs_err hs_dns_create(hs_shard *shard, const hs_dns_options *options, hs_dns **out)
{
    HS_ASSERT(out != NULL);
    hs_dns_options o = dns_options_set(options);
    dns_wire *wire;
    HS_TRY(dns_ares_create(shard, &o, &wire));
    hs_err err = dns_create_on(shard, &o, wire, out);
    if (!hs_ok(err))
        wire->ops->destroy(wire);
    return err;
}

/* ---- what every resolver can do ---- */

hs_err hs_dns_start(hs_dns *dns, hs_dns_op *op, hs_span name, int family, hs_dns_fn *fn)
{
    HS_ASSERT(dns->shard == hs_shard_self());
    HS_ASSERT(op->fn == NULL && fn != NULL);
    HS_ASSERT(family == AF_UNSPEC || family == AF_INET || family == AF_INET6);
    op->fn = fn;
    hs_err err = dns->ops->start(dns, op, name, family);
    if (!hs_ok(err))
        op->fn = NULL;
    return err;
}

void hs_dns_cancel(hs_dns *dns, hs_dns_op *op)
{
    /* The resolver of an op that is idle may be gone. */
    if (!op->fn)
        return;
    HS_ASSERT(dns->shard == hs_shard_self());
    op->fn = NULL;
    dns->ops->cancel(dns, op);
}

void hs_dns_destroy(hs_dns *dns)
{
    HS_ASSERT(!dns || dns->shard == hs_shard_self());
    if (dns)
        dns->ops->destroy(dns);
}
