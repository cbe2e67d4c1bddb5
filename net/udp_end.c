/* The end of a datagram socket: see udp.h. The order is cancel, last completions, close(2). */
#include "udp.h"

static bool ops_active(const hs_udp_sock *s)
{
    return hs_op_active(&s->in) || hs_op_active(&s->out) || hs_op_active(&s->connect.op);
}

void udp_maybe_finish(hs_udp_sock *s)
{
    if (s->state != UDP_SWEPT || ops_active(s))
        return;
    hs_udp *udp = s->udp;
    hs_shard *shard = udp->shard;
    HS_ASSERT(s->flush.fn == NULL);
    HS_ASSERT(!s->first && s->chain.len == 0);
    hs_timer_cancel(shard, &s->again);
    if (s->name)
        hs_unix_unref(s->name);
    else
        hs_io_close(hs_shard_io(shard), s->fd);
    s->events->closed(s, hs_err_of(s->why));
    hs_pool_give(&udp->socks, s);
    hs_shard_release_as(shard, "datagram socket");
}
