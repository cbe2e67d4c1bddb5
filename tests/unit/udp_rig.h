/* What the tests of datagram sockets share: sockets that write down what they hear, and a place
 * between them and the system where calls are counted and fail on purpose. */
#pragma once

#include "real_rig.h"

#include "udp.h"

#define ENDS_MAX 8
#define HEARD_MAX 4096

typedef struct end end;
typedef void end_fn(end *e);

typedef struct heard {
    uint32_t len;
    uint8_t first, last; /* bytes */
    uint8_t tos;
    bool truncated, uniform; /* all bytes are `first` */
    uint32_t ifindex;
    hs_addr from, to;
    bool has_to;
} heard;

struct end {
    hs_udp_sock *s; /* NULL: closed */
    uint32_t events_in, heard_len, errors, drains, closes, list_max;
    uint64_t bytes_in;
    heard heard[HEARD_MAX];
    hs_err error, why;
    hs_addr error_to;
    bool error_has_to;
    end_fn *on_in, *on_error, *on_drained;
};

static end ends[ENDS_MAX];
static hs_udp *udp;

static inline void heard_take(heard *h, const hs_datagram *d)
{
    *h = (heard){.len = (uint32_t)d->data.len,
                 .tos = d->tos,
                 .truncated = d->truncated,
                 .uniform = true,
                 .ifindex = d->ifindex,
                 .from = *d->from,
                 .has_to = d->to != NULL};
    if (d->to)
        h->to = *d->to;
    if (d->data.len == 0)
        return;
    h->first = d->data.ptr[0];
    h->last = d->data.ptr[d->data.len - 1];
    for (size_t i = 0; i < d->data.len && h->uniform; i++)
        h->uniform = d->data.ptr[i] == h->first;
}

/* What is told before a turn waits may be what the test waits for. */
static inline void real_wake(void)
{
    hs_io_wake_any(real_one.io);
}

static inline void end_in(hs_udp_sock *s, const hs_datagram *list, uint32_t len)
{
    end *e = hs_udp_ctx(s);
    cr_assert_eq(e->s, s);
    cr_assert(len > 0 && len <= UDP_LIST_MAX);
    e->events_in++;
    e->list_max = HS_MAX(e->list_max, len);
    for (uint32_t i = 0; i < len; i++) {
        e->bytes_in += list[i].data.len;
        if (e->heard_len < HEARD_MAX)
            heard_take(&e->heard[e->heard_len], &list[i]);
        e->heard_len++;
    }
    if (e->on_in)
        e->on_in(e);
}

static inline void end_error(hs_udp_sock *s, hs_err err, const hs_addr *to)
{
    end *e = hs_udp_ctx(s);
    cr_assert_eq(e->s, s);
    e->errors++;
    real_wake();
    e->error = err;
    e->error_has_to = to != NULL;
    if (to)
        e->error_to = *to;
    if (e->on_error)
        e->on_error(e);
}

static inline void end_drained(hs_udp_sock *s)
{
    end *e = hs_udp_ctx(s);
    cr_assert_eq(e->s, s);
    e->drains++;
    real_wake();
    if (e->on_drained)
        e->on_drained(e);
}

static inline void end_closed(hs_udp_sock *s, hs_err why)
{
    end *e = hs_udp_ctx(s);
    cr_assert_eq(e->s, s);
    e->closes++;
    real_wake();
    e->why = why;
    e->s = NULL;
}

static const hs_udp_events end_events = {end_in, end_error, end_drained, end_closed};

static inline hs_addr at(const char *text)
{
    hs_addr addr;
    cr_assert(hs_ok(hs_addr_parse(&addr, hs_span_str(text))), "%s", text);
    return addr;
}

static inline hs_err end_open_err(end *e, hs_udp_options o)
{
    memset(e, 0, sizeof *e);
    o.events = &end_events;
    o.ctx = e;
    return hs_udp_open(udp, &o, &e->s);
}

static inline void end_open(end *e, hs_udp_options o)
{
    hs_err err = end_open_err(e, o);
    cr_assert(hs_ok(err), "%s", hs_err_name(err));
}

/* Bound to `text`, with room in the system for much. */
static inline void end_bind(end *e, const char *text)
{
    hs_addr addr = at(text);
    end_open(e, (hs_udp_options){.bind = &addr, .recv_bytes = 1u << 20});
}

/* Connected to where `to` is bound. */
static inline void end_connect(end *e, const end *to)
{
    end_open(e, (hs_udp_options){.connect = hs_udp_addr(to->s), .recv_bytes = 1u << 20});
}

static inline void say(end *e, const end *to, const char *text)
{
    cr_assert(hs_ok(hs_udp_send(e->s, to ? hs_udp_addr(to->s) : NULL, hs_span_str(text))));
}

/* Send `len` bytes of `byte`. */
static inline hs_err say_bytes(end *e, const hs_addr *to, uint8_t byte, size_t len)
{
    static uint8_t bytes[70000];
    cr_assert_leq(len, sizeof bytes);
    memset(bytes, byte, len);
    return hs_udp_send(e->s, to, hs_span_of(bytes, len));
}

static inline void udp_begin(real *r)
{
    memset(ends, 0, sizeof ends);
    cr_assert(hs_ok(hs_udp_create(r->shard, &udp)));
}

static inline uint32_t ends_open(void)
{
    uint32_t n = 0;
    for (int i = 0; i < ENDS_MAX; i++)
        n += ends[i].s != NULL;
    return n;
}

static inline void udp_finish(real *r)
{
    for (int i = 0; i < ENDS_MAX; i++)
        if (ends[i].s)
            hs_udp_close(ends[i].s);
    REAL_UNTIL(r, ends_open() == 0);
    real_idle(r, 3);
    hs_udp_destroy(udp);
}

static inline uint64_t udp_count(real *r, const char *name)
{
    return hs_counters_find(hs_shard_counters(r->shard), name);
}

/* ---- between the sockets and the system: link with --wrap=sendmmsg ---- */

/* What the next calls answer instead of the system. */
typedef struct wire {
    int send_errno;       /* every send fails with it ... */
    uint32_t send_errors; /* ... so often */
    int send_odd;         /* with an errno of 0: what it returns then */
    int run_errno;        /* of a message that is to be cut into segments longer than: */
    uint32_t run_max;
    uint32_t send_calls, send_msgs, send_runs;
} wire;

static wire wired;

int __real_sendmmsg(int fd, struct mmsghdr *msgs, unsigned len, int flags);
int __wrap_sendmmsg(int fd, struct mmsghdr *msgs, unsigned len, int flags);

/* The length of the segments of a message, or 0. */
static inline uint32_t segment_of(struct msghdr *msg)
{
    for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c))
        if (c->cmsg_level == SOL_UDP && c->cmsg_type == UDP_SEGMENT) {
            uint16_t segment;
            memcpy(&segment, CMSG_DATA(c), sizeof segment);
            return segment;
        }
    return 0;
}

int __wrap_sendmmsg(int fd, struct mmsghdr *msgs, unsigned len, int flags)
{
    cr_assert(len > 0 && len <= HS_UDP_BATCH);
    wired.send_calls++;
    if (wired.send_errors > 0) {
        wired.send_errors--;
        errno = wired.send_errno;
        return wired.send_errno ? -1 : wired.send_odd;
    }
    unsigned good = 0;
    for (; good < len; good++) {
        uint32_t segment = segment_of(&msgs[good].msg_hdr);
        if (wired.run_errno && segment > wired.run_max)
            break;
        wired.send_runs += segment > 0;
    }
    if (good == 0) {
        errno = wired.run_errno;
        return -1;
    }
    int n = __real_sendmmsg(fd, msgs, good, flags);
    wired.send_msgs += n > 0 ? (uint32_t)n : 0;
    return n;
}
