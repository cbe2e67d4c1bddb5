/* Sending datagrams: see udp.h.
 *
 * Everything that was queued in a turn goes out together. Datagrams of one length to one address
 * that stand behind each other become one message, which the kernel cuts (UDP_SEGMENT); what a path
 * or a device does not take in this way goes out one by one, now and from then on. */
#include <poll.h>

#include "udp.h"

static void on_flush(hs_task *task);

void udp_send_soon(hs_udp_sock *s)
{
    bool under_way = s->flushing || s->flush.fn != NULL || hs_op_active(&s->out);
    if (!under_way && !s->connecting)
        hs_task_post(s->udp->shard, &s->flush, on_flush);
}

void udp_send_last(hs_udp_sock *s)
{
    HS_ASSERT(s->state == UDP_CLOSING);
    hs_task_post(s->udp->shard, &s->flush, on_flush);
}

/* ---- describing ---- */

/* Where in the chain the next datagram begins. */
typedef struct cursor {
    const hs_chunk *chunk;
    size_t at;
} cursor;

/* The vectors of one message. */
typedef struct vectors {
    struct iovec *iov;
    uint32_t len, max;
} vectors;

/* Describe `len` more bytes, from the cursor on; bytes that follow on the last vector make it
 * longer. False, and nothing is changed, where there are too few vectors. */
static bool describe(cursor *c, size_t len, vectors *v)
{
    cursor at = *c;
    uint32_t n = v->len;
    size_t last_len = n > 0 ? v->iov[n - 1].iov_len : 0;
    while (len > 0) {
        if (at.at == at.chunk->len) {
            at = (cursor){at.chunk->next, 0};
            continue;
        }
        const uint8_t *from = at.chunk->data + at.at;
        size_t some = HS_MIN(len, at.chunk->len - at.at);
        struct iovec *last = n > 0 ? &v->iov[n - 1] : NULL;
        if (last && (const uint8_t *)last->iov_base + last->iov_len == from) {
            last->iov_len += some;
        } else if (n < v->max) {
            v->iov[n++] = (struct iovec){(void *)(uintptr_t)from, some};
        } else {
            if (v->len > 0)
                v->iov[v->len - 1].iov_len = last_len;
            return false;
        }
        at.at += some;
        len -= some;
    }
    *c = at;
    v->len = n;
    return true;
}

static void put(struct msghdr *msg, int level, int type, const void *value, size_t bytes)
{
    struct cmsghdr *c = (struct cmsghdr *)((uint8_t *)msg->msg_control + msg->msg_controllen);
    HS_ASSERT(msg->msg_controllen + CMSG_SPACE(bytes) <= UDP_CONTROL_BYTES);
    c->cmsg_level = level;
    c->cmsg_type = type;
    c->cmsg_len = CMSG_LEN(bytes);
    memcpy(CMSG_DATA(c), value, bytes);
    msg->msg_controllen += CMSG_SPACE(bytes);
}

static void put_from(const hs_udp_sock *s, const udp_out *o, struct msghdr *msg)
{
    if (s->family == AF_INET) {
        struct in_pktinfo info = {.ipi_spec_dst = o->from.v4};
        put(msg, IPPROTO_IP, IP_PKTINFO, &info, sizeof info);
    } else {
        struct in6_pktinfo info = {.ipi6_addr = o->from.v6, .ipi6_ifindex = o->from_ifindex};
        put(msg, IPPROTO_IPV6, IPV6_PKTINFO, &info, sizeof info);
    }
}

static void put_controls(const hs_udp_sock *s, const udp_out *o, uint32_t count, struct msghdr *msg,
                         udp_control *control)
{
    memset(control, 0, sizeof *control);
    msg->msg_control = control->bytes;
    msg->msg_controllen = 0;
    if (count > 1) {
        uint16_t segment = (uint16_t)o->len;
        put(msg, SOL_UDP, UDP_SEGMENT, &segment, sizeof segment);
    }
    if (o->has_from)
        put_from(s, o, msg);
    if (o->ecn && s->family != AF_UNIX) {
        int tos = (s->tos & ~3) | o->ecn;
        bool v6 = s->family == AF_INET6;
        put(msg, v6 ? IPPROTO_IPV6 : IPPROTO_IP, v6 ? IPV6_TCLASS : IP_TOS, &tos, sizeof tos);
    }
    if (msg->msg_controllen == 0)
        msg->msg_control = NULL;
}

static bool same_way(const hs_udp_sock *s, const udp_out *a, const udp_out *b)
{
    if (a->ecn != b->ecn || a->has_from != b->has_from || a->to.len != b->to.len)
        return false;
    if (a->has_from && (a->from_ifindex != b->from_ifindex ||
                        memcmp(&a->from, &b->from,
                               s->family == AF_INET ? sizeof a->from.v4 : sizeof a->from.v6) != 0))
        return false;
    return a->to.len == 0 || hs_addr_eq(&a->to, &b->to);
}

/* One message: the first datagram, and those behind it that the kernel can cut from the same bytes:
 * all as long as the first, but the last may be shorter. Returns the datagram after them. */
static const udp_out *build_one(hs_udp_sock *s, const udp_out *first, uint32_t i, cursor *c,
                                uint32_t *iov_used)
{
    udp_batch *b = &s->udp->batch;
    struct msghdr *msg = &b->msgs[i].msg_hdr;
    vectors v = {.iov = &b->iov[*iov_used], .max = UDP_IOV_MAX - *iov_used};
    uint32_t count = 0;
    size_t bytes = 0;
    const udp_out *o = first;
    do {
        if (!describe(c, o->len, &v))
            break;
        bytes += o->len;
        count++;
        bool last = o->len < first->len || o->len == 0;
        o = o->next;
        if (last)
            break;
    } while (o && first->len <= s->gso_max && count < HS_UDP_GSO_MAX && o->len > 0 &&
             o->len <= first->len && bytes + o->len <= HS_UDP_GSO_BYTES && same_way(s, first, o));
    b->counts[i] = count;
    *msg = (struct msghdr){.msg_iov = v.iov, .msg_iovlen = v.len};
    if (first->to.len > 0) {
        msg->msg_name = (void *)(uintptr_t)&first->to.sa;
        msg->msg_namelen = first->to.len;
    }
    put_controls(s, first, count, msg, &b->controls[i]);
    *iov_used += v.len;
    return o;
}

/* Returns how many messages the queue's beginning makes. */
static uint32_t build(hs_udp_sock *s)
{
    cursor c = {s->chain.head, 0};
    uint32_t n = 0, iov_used = 0;
    const udp_out *o = s->first;
    while (o && n < HS_UDP_BATCH) {
        const udp_out *next = build_one(s, o, n, &c, &iov_used);
        if (s->udp->batch.counts[n] == 0)
            break; /* no vector is left for it */
        o = next;
        n++;
    }
    HS_ASSERT(n > 0);
    return n;
}

/* ---- what the kernel says ---- */

static void tell_error(hs_udp_sock *s, int res, const hs_addr *to)
{
    hs_count(hs_shard_counters(s->udp->shard), s->udp->count_errors, 1);
    if (s->state == UDP_OPEN)
        s->events->error(s, hs_err_of(res), to);
}

static void drop_first(hs_udp_sock *s, int res)
{
    hs_addr to = s->first->to;
    s->retried = false;
    (void)udp_queue_drop(s, 1);
    tell_error(s, res, to.len > 0 ? &to : NULL);
}

/* What a run of segments met may be the run's fault: try without, and remember. */
static bool learn(hs_udp_sock *s, int res)
{
    if (s->udp->batch.counts[0] == 1)
        return false;
    uint32_t len = s->first->len;
    switch (res) {
    case -EINVAL: /* too long for the path to be cut so */
    case -EMSGSIZE:
        s->gso_max = (uint16_t)HS_MIN(s->gso_max, len - 1);
        return true;
    case -EIO: /* the device cannot do its part */
        s->gso_max = 0;
        return true;
    default:
        return false;
    }
}

/* Of a connected socket: what the network answered to datagrams that went before. It is told once,
 * by the next call, whatever that sends. */
static bool anothers(const hs_udp_sock *s, int res)
{
    return s->connected && s->family != AF_UNIX && !s->retried &&
           (res == -ECONNREFUSED || res == -ENOPROTOOPT || res == -EHOSTUNREACH);
}

/* The first message could not be sent. False: wait until it can. */
static bool failed(hs_udp_sock *s, int res)
{
    bool told_by_poll = s->family != AF_UNIX || s->connected;
    if (res == -EAGAIN && told_by_poll)
        return false;
    if (res == -EAGAIN) {
        /* Poll knows nothing of the queues of receivers to which a socket is not connected. */
        drop_first(s, HS_E_BLOCKED);
    } else if (learn(s, res)) {
        HS_ASSERT(s->gso_max < s->first->len);
    } else if (anothers(s, res)) {
        s->retried = true;
        tell_error(s, res, NULL);
    } else {
        drop_first(s, res);
    }
    return true;
}

static void sent(hs_udp_sock *s, uint32_t messages)
{
    const udp_batch *b = &s->udp->batch;
    hs_counters *counters = hs_shard_counters(s->udp->shard);
    uint32_t count = 0;
    for (uint32_t i = 0; i < messages; i++)
        count += b->counts[i];
    hs_count(counters, s->udp->count_out, count);
    s->retried = false;
    hs_count(counters, s->udp->count_bytes_out, udp_queue_drop(s, count));
}

/* ---- the turn's share ---- */

static void on_out(hs_op *op, const hs_io_event *ev);

static void send_share(hs_udp_sock *s)
{
    hs_io *io = hs_shard_io(s->udp->shard);
    bool go_on = true;
    s->flushing = true;
    for (uint32_t done = 0; s->first && go_on && done < HS_UDP_TURN_MAX;) {
        uint32_t len = build(s);
        hs_count(hs_shard_counters(s->udp->shard), s->udp->count_calls_out, 1);
        int res = hs_io_send_msgs(io, s->fd, s->udp->batch.msgs, len);
        /* Of a kernel, or of a sandbox in its place, anything may come. */
        if (res == 0 || res > (int)len)
            res = -EIO;
        done += res > 0 ? (uint32_t)res : 1;
        if (res > 0)
            sent(s, (uint32_t)res);
        else
            go_on = failed(s, res);
    }
    s->flushing = false;
}

static void send_on(hs_udp_sock *s)
{
    send_share(s);
    if (s->state != UDP_OPEN)
        return;
    if (s->first)
        hs_io_poll(hs_shard_io(s->udp->shard), &s->out, s->fd, POLLOUT, on_out);
    if (s->blocked && s->chain.len <= s->queue_bytes_max / 2 &&
        s->waiting <= HS_UDP_QUEUE_MAX / 2) {
        s->blocked = false;
        s->events->drained(s);
    }
}

/* The last chance of what waits. */
static void sweep(hs_udp_sock *s)
{
    uint32_t before = 0;
    while (!s->connecting && s->waiting != before && s->first) {
        before = s->waiting;
        send_share(s);
    }
    (void)udp_queue_drop(s, s->waiting);
    s->state = UDP_SWEPT;
    udp_maybe_finish(s);
}

static void on_flush(hs_task *task)
{
    hs_udp_sock *s = HS_CONTAINER_OF(task, hs_udp_sock, flush);
    if (s->state == UDP_OPEN)
        send_on(s);
    else
        sweep(s);
}

static void on_out(hs_op *op, const hs_io_event *ev)
{
    hs_udp_sock *s = HS_CONTAINER_OF(op, hs_udp_sock, out);
    HS_ASSERT(!ev->more);
    if (s->state == UDP_OPEN)
        send_on(s);
    else
        udp_maybe_finish(s);
}
