/* Receiving datagrams: see udp.h.
 *
 * A readable socket gives one batch a turn, however much it has: a flood on one socket stops
 * neither the timers nor the other sockets of its shard. The next batch waits for the next poll,
 * which looks before it waits. */
#include <poll.h>

#include "udp.h"

#define AGAIN_MS 50

static void on_in(hs_op *op, const hs_io_event *ev);

void udp_recv_start(hs_udp_sock *s)
{
    if (s->state != UDP_OPEN || s->paused || s->connecting || hs_op_active(&s->in) ||
        hs_timer_active(&s->again))
        return;
    hs_io_poll(hs_shard_io(s->udp->shard), &s->in, s->fd, POLLIN, on_in);
}

/* ---- memory ---- */

static bool take_rx(hs_udp *udp)
{
    udp->rx_used = true;
    if (udp->rx)
        return true;
    udp_rx *rx = udp->rx = hs_mem_take(hs_shard_mem(udp->shard), sizeof *rx, HS_CACHE_LINE);
    if (!rx)
        return false;
    rx->list_len = 0;
    for (uint32_t i = 0; i < HS_UDP_BATCH; i++) {
        rx->iov[i] = (struct iovec){rx->bufs[i], HS_UDP_BYTES_MAX};
        rx->msgs[i] = (struct mmsghdr){.msg_hdr = {.msg_name = &rx->from[i].sa,
                                                   .msg_iov = &rx->iov[i],
                                                   .msg_iovlen = 1,
                                                   .msg_control = rx->controls[i].bytes}};
    }
    return true;
}

bool udp_recv_trim(hs_udp *udp)
{
    bool used = udp->rx_used;
    udp->rx_used = false;
    if (udp->rx && !used) {
        hs_mem_give(hs_shard_mem(udp->shard), udp->rx, sizeof *udp->rx, HS_CACHE_LINE);
        udp->rx = NULL;
    }
    return udp->rx != NULL;
}

/* ---- what came with a datagram ---- */

static void take_local(hs_datagram *d, hs_addr *to, const hs_udp_sock *s, struct cmsghdr *c)
{
    *to = s->local; /* the port */
    if (c->cmsg_level == IPPROTO_IP) {
        struct in_pktinfo info;
        memcpy(&info, CMSG_DATA(c), sizeof info);
        to->sa.v4.sin_addr = info.ipi_addr;
        d->ifindex = (uint32_t)info.ipi_ifindex;
    } else {
        struct in6_pktinfo info;
        memcpy(&info, CMSG_DATA(c), sizeof info);
        to->sa.v6.sin6_addr = info.ipi6_addr;
        to->sa.v6.sin6_scope_id = IN6_IS_ADDR_LINKLOCAL(&info.ipi6_addr) ? info.ipi6_ifindex : 0;
        d->ifindex = info.ipi6_ifindex;
    }
    d->to = to;
}

static int int_of(struct cmsghdr *c)
{
    int value;
    if (c->cmsg_len < CMSG_LEN(sizeof value))
        return *CMSG_DATA(c); /* IP_TOS is one byte */
    memcpy(&value, CMSG_DATA(c), sizeof value);
    return value;
}

/* Read the control messages. Returns the length of the datagrams that the kernel has put together,
 * or 0. */
static uint32_t take_controls(hs_udp_sock *s, struct msghdr *msg, hs_datagram *d, hs_addr *to)
{
    int segment = 0;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c)) {
        bool v4 = c->cmsg_level == IPPROTO_IP, v6 = c->cmsg_level == IPPROTO_IPV6;
        if (c->cmsg_level == SOL_UDP && c->cmsg_type == UDP_GRO)
            segment = int_of(c);
        else if ((v4 && c->cmsg_type == IP_TOS) || (v6 && c->cmsg_type == IPV6_TCLASS))
            d->tos = (uint8_t)int_of(c);
        else if ((v4 && c->cmsg_type == IP_PKTINFO) || (v6 && c->cmsg_type == IPV6_PKTINFO))
            take_local(d, to, s, c);
    }
    return segment > 0 ? (uint32_t)segment : 0;
}

static void fix_from(hs_addr *from, socklen_t len)
{
    from->len = HS_MIN(len, (socklen_t)sizeof from->sa);
    if (len > 0)
        return;
    from->len = sizeof(sa_family_t);
    from->sa.any.sa_family = AF_UNIX;
}

/* ---- telling ---- */

static void tell(hs_udp_sock *s, udp_rx *rx)
{
    uint32_t len = rx->list_len;
    rx->list_len = 0;
    if (len > 0 && s->state == UDP_OPEN)
        s->events->datagrams(s, rx->list, len);
}

/* Add message `i` to the list, as the datagrams that it is. */
static void add(hs_udp_sock *s, udp_rx *rx, uint32_t i)
{
    struct msghdr *msg = &rx->msgs[i].msg_hdr;
    hs_datagram d = {.from = &rx->from[i], .truncated = msg->msg_flags & MSG_TRUNC};
    fix_from(&rx->from[i], msg->msg_namelen);
    uint32_t left = rx->msgs[i].msg_len, at = 0;
    uint32_t segment = take_controls(s, msg, &d, &rx->to[i]);
    if (segment == 0 || segment > left)
        segment = left;
    hs_count(hs_shard_counters(s->udp->shard), s->udp->count_bytes_in, left);
    do {
        uint32_t len = HS_MIN(segment, left);
        d.data = hs_span_of(rx->bufs[i] + at, len);
        rx->list[rx->list_len++] = d;
        hs_count(hs_shard_counters(s->udp->shard), s->udp->count_in, 1);
        if (rx->list_len == UDP_LIST_MAX)
            tell(s, rx);
        at += len;
        left -= len;
    } while (left > 0 && s->state == UDP_OPEN);
}

static int receive(hs_udp_sock *s, udp_rx *rx)
{
    /* A Unix socket's peer could send us files: without room for them they are not taken. */
    size_t controllen = s->family == AF_UNIX ? 0 : UDP_CONTROL_BYTES;
    for (uint32_t i = 0; i < HS_UDP_BATCH; i++) {
        rx->msgs[i].msg_hdr.msg_namelen = sizeof rx->from[i].sa;
        rx->msgs[i].msg_hdr.msg_controllen = controllen;
        rx->msgs[i].msg_hdr.msg_flags = 0;
    }
    hs_count(hs_shard_counters(s->udp->shard), s->udp->count_calls_in, 1);
    return hs_io_recv_msgs(hs_shard_io(s->udp->shard), s->fd, rx->msgs, HS_UDP_BATCH);
}

static void receive_batch(hs_udp_sock *s)
{
    udp_rx *rx = s->udp->rx;
    int n = receive(s, rx);
    if (n == -EAGAIN)
        return;
    if (n < 0) {
        hs_count(hs_shard_counters(s->udp->shard), s->udp->count_errors, 1);
        s->events->error(s, hs_err_of(n), NULL);
        return;
    }
    for (int i = 0; i < n && s->state == UDP_OPEN; i++)
        add(s, rx, (uint32_t)i);
    tell(s, rx);
}

static void on_again(hs_timer *timer)
{
    udp_recv_start(HS_CONTAINER_OF(timer, hs_udp_sock, again));
}

static void on_in(hs_op *op, const hs_io_event *ev)
{
    hs_udp_sock *s = HS_CONTAINER_OF(op, hs_udp_sock, in);
    HS_ASSERT(!ev->more);
    if (s->state != UDP_OPEN) {
        udp_maybe_finish(s);
        return;
    }
    if (ev->res >= 0 && !s->paused) {
        if (take_rx(s->udp))
            receive_batch(s);
        else /* a timer that cannot be set leaves nothing better than to try at once */
            (void)hs_ok(hs_timer_after(s->udp->shard, &s->again, AGAIN_MS, on_again));
    }
    udp_recv_start(s);
}
