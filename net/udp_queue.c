/* What waits to be sent on a datagram socket: see udp.h.
 *
 * The bytes of all datagrams stand in one chain, one after the other, so that small ones share a
 * chunk, and many of one length lie as the kernel wants them for UDP_SEGMENT. */
#include "udp.h"

/* The longest datagram of each family; IPv4's header counts as part of its length. */
static size_t bytes_max(const hs_udp_sock *s)
{
    switch (s->family) {
    case AF_INET:
        return HS_UDP_BYTES_MAX - 8 - 20;
    case AF_INET6:
        return HS_UDP_BYTES_MAX - 8;
    default:
        return HS_UDP_BYTES_MAX;
    }
}

static bool room(const hs_udp_sock *s, size_t len)
{
    /* What is longer than the whole queue goes alone. */
    bool fits = s->chain.len + len <= s->queue_bytes_max || !s->first;
    return fits && s->waiting < HS_UDP_QUEUE_MAX;
}

static hs_err check(hs_udp_sock *s, const hs_udp_out *out)
{
    HS_ENSURE(s->state == UDP_OPEN, HS_E_CLOSED);
    HS_ENSURE(out->to ? out->to->sa.any.sa_family == s->family : s->connected, HS_E_USAGE);
    HS_ENSURE(!out->from || out->from->sa.any.sa_family == s->family, HS_E_USAGE);
    HS_ENSURE(!out->from || s->family != AF_UNIX, HS_E_USAGE);
    HS_ENSURE(out->ecn <= 3, HS_E_USAGE);
    HS_ENSURE(!out->borrowed || out->data.len > 0, HS_E_USAGE);
    HS_ENSURE(out->data.len <= bytes_max(s), -EMSGSIZE);
    if (room(s, out->data.len))
        return HS_OK;
    s->blocked = true;
    return hs_err_of(HS_E_BLOCKED);
}

static void set_from(udp_out *o, const hs_addr *from)
{
    o->has_from = from != NULL;
    if (!from)
        return;
    if (from->sa.any.sa_family == AF_INET) {
        o->from.v4 = from->sa.v4.sin_addr;
        o->from_ifindex = 0;
    } else {
        o->from.v6 = from->sa.v6.sin6_addr;
        o->from_ifindex = from->sa.v6.sin6_scope_id;
    }
}

hs_err udp_queue_add(hs_udp_sock *s, const hs_udp_out *out)
{
    HS_TRY(check(s, out));
    hs_pool *chunks = hs_shard_chunks(s->udp->shard);
    udp_out *o = hs_pool_take(&s->udp->outs);
    HS_ENSURE(o, s->udp->outs.slots_used == HS_UDP_OUTS_MAX ? HS_E_LIMIT : -ENOMEM);
    hs_err err = out->borrowed ? hs_chain_borrow(&s->chain, chunks, out->data, out->done, out->ctx)
                               : hs_chain_append(&s->chain, chunks, out->data);
    if (!hs_ok(err)) {
        hs_pool_give(&s->udp->outs, o);
        return err;
    }
    o->next = NULL;
    o->len = (uint32_t)out->data.len;
    o->ecn = out->ecn;
    o->to.len = 0;
    if (out->to)
        o->to = *out->to;
    set_from(o, out->from);
    if (s->last)
        s->last->next = o;
    else
        s->first = o;
    s->last = o;
    s->waiting++;
    return HS_OK;
}

size_t udp_queue_drop(hs_udp_sock *s, uint32_t count)
{
    HS_ASSERT(count <= s->waiting);
    size_t bytes = 0;
    s->waiting -= count;
    while (count-- > 0) {
        udp_out *o = s->first;
        bytes += o->len;
        s->first = o->next;
        hs_pool_give(&s->udp->outs, o);
    }
    if (!s->first)
        s->last = NULL;
    HS_ASSERT(bytes <= s->chain.len);
    if (bytes > 0)
        hs_chain_consume(&s->chain, hs_shard_chunks(s->udp->shard), bytes);
    return bytes;
}
