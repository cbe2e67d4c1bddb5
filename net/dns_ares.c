/* The wire: questions to name servers, by c-ares.
 *
 * Owns: one c-ares channel, the watching of its sockets and its timeouts. c-ares makes, reads and
 * closes its sockets by itself, none of which waits; all that it needs to be told is when. Must not
 * know: names' meaning, caches. Tested by: tests/plain/dns.c.
 *
 * c-ares closes a socket while we watch it, and the system gives the number to the next one at
 * once. So what is watched is a duplicate, which is ours: it is closed when its poll has ended.
 *
 * Questions are plain, without EDNS (RFC 6891), as the C library sends them: there are servers and
 * boxes on the way that answer EDNS with FORMERR, NOTIMP or BADVERS, or drop it, and each would
 * cost a round. What addresses do not fit into 512 bytes come by TCP.
 *
 * No answer is passed on from inside c-ares: it is kept until c-ares has returned, so that whoever
 * gets it may ask again or give up. */
#include "dns.h"

#include <ares.h>
#include <fcntl.h>
#include <netdb.h>
#include <poll.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <unistd.h>

#include "hs_assert.h"

typedef struct ares_wire {
    dns_wire wire;
    hs_shard *shard;
    ares_channel channel;
    hs_list watches;
    hs_list questions; /* c-ares has them */
    hs_list answered;  /* to be passed on */
    hs_timer timer;
    hs_microtask work;
    hs_err broken; /* a socket cannot be watched, or the timer not set: give up */
    bool giving_up;
    bool working; /* `work` is posted */
    bool ended;   /* destroyed: it is freed with its last watch */
} ares_wire;

typedef struct watch {
    hs_list link;
    hs_op op;
    ares_wire *w;
    int theirs; /* c-ares' socket; -1: closed */
    int ours;   /* the duplicate */
    uint16_t events;
} watch;

typedef struct question {
    hs_list link;
    ares_wire *w;
    void *asker;
    dns_reply reply;
} question;

static void after_ares(ares_wire *w);
static void free_if_ended(ares_wire *w);

static ares_wire *wire_of(dns_wire *wire)
{
    return HS_CONTAINER_OF(wire, ares_wire, wire);
}

/* ---- sockets ---- */

static void on_poll(hs_op *op, const hs_io_event *ev);

static void watch_start(watch *x)
{
    hs_io_poll(hs_shard_io(x->w->shard), &x->op, x->ours, x->events, on_poll);
}

static void watch_free(watch *x)
{
    ares_wire *w = x->w;
    hs_shard *shard = w->shard;
    HS_ASSERT(x->theirs < 0);
    HS_ASSERT(!hs_op_active(&x->op));
    hs_list_remove(&x->link);
    hs_io_close(hs_shard_io(shard), x->ours);
    hs_mem_give(hs_shard_mem(shard), x, sizeof *x, 16);
    free_if_ended(w);
    hs_shard_release_as(shard, "name lookup");
}

static void on_poll(hs_op *op, const hs_io_event *ev)
{
    watch *x = HS_CONTAINER_OF(op, watch, op);
    ares_wire *w = x->w;
    if (x->theirs < 0) {
        watch_free(x);
        return;
    }
    if (ev->res > 0) {
        /* An error or a hang-up is seen by whoever reads or writes. */
        bool ended = ev->res & (POLLERR | POLLHUP | POLLNVAL);
        bool in = (ev->res & POLLIN) || (ended && (x->events & POLLIN));
        bool out = (ev->res & POLLOUT) || (ended && (x->events & POLLOUT));
        ares_process_fd(w->channel, in ? x->theirs : ARES_SOCKET_BAD,
                        out ? x->theirs : ARES_SOCKET_BAD);
    } else if (ev->res != -ECANCELED) {
        w->broken = hs_err_of(ev->res);
    }
    if (x->theirs < 0)
        watch_free(x);
    else
        watch_start(x);
    after_ares(w);
}

static watch *watch_find(ares_wire *w, int fd)
{
    hs_list_each (node, &w->watches) {
        watch *x = HS_CONTAINER_OF(node, watch, link);
        if (x->theirs == fd)
            return x;
    }
    return NULL;
}

static void watch_make(ares_wire *w, int fd, uint16_t events)
{
    const hs_mem *mem = hs_shard_mem(w->shard);
    watch *x = hs_mem_take_zero(mem, sizeof *x, 16);
    int ours = x ? fcntl(fd, F_DUPFD_CLOEXEC, 0) : -1;
    if (ours < 0) {
        w->broken = x ? hs_err_errno(errno) : hs_err_of(-ENOMEM);
        hs_mem_give(mem, x, sizeof *x, 16);
        return;
    }
    x->w = w;
    x->theirs = fd;
    x->ours = ours;
    x->events = events;
    hs_list_init(&x->link);
    hs_list_push_back(&w->watches, &x->link);
    hs_shard_hold_as(w->shard, "name lookup");
    watch_start(x);
}

/* c-ares has closed the socket. One whose poll is not active is in its callback, which looks again.
 */
static void watch_end(watch *x)
{
    x->theirs = -1;
    if (hs_op_active(&x->op))
        hs_io_cancel(hs_shard_io(x->w->shard), &x->op);
}

/* c-ares tells what it waits for on a socket; for nothing, just before it closes it. */
static void on_socket(void *ctx, ares_socket_t fd, int readable, int writable)
{
    ares_wire *w = ctx;
    watch *x = watch_find(w, fd);
    uint16_t events = (uint16_t)((readable ? POLLIN : 0) | (writable ? POLLOUT : 0));
    if (!x) {
        if (events)
            watch_make(w, fd, events);
        return;
    }
    if (events == x->events)
        return;
    x->events = events;
    if (!events)
        watch_end(x);
    else if (hs_op_active(&x->op))
        hs_io_cancel(hs_shard_io(w->shard), &x->op);
}

/* ---- time, and what c-ares has answered ---- */

static void on_timer(hs_timer *timer)
{
    ares_wire *w = HS_CONTAINER_OF(timer, ares_wire, timer);
    ares_process_fd(w->channel, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
    after_ares(w);
}

static void set_timer(ares_wire *w)
{
    struct timeval tv;
    if (!ares_timeout(w->channel, NULL, &tv)) {
        hs_timer_cancel(w->shard, &w->timer);
        return;
    }
    /* Up, and at least one: the shard's time is that of its turn, and c-ares reads its own clock.
     */
    uint64_t ms = (uint64_t)tv.tv_sec * 1000 + (uint64_t)tv.tv_usec / 1000 + 1;
    hs_err err = hs_timer_after(w->shard, &w->timer, ms, on_timer);
    if (!hs_ok(err))
        w->broken = err;
}

/* All that c-ares has ends in its callbacks, here and now. */
static void give_up(ares_wire *w)
{
    w->giving_up = true;
    ares_cancel(w->channel);
    w->giving_up = false;
    w->broken = HS_OK;
}

static void question_free(question *q)
{
    hs_shard *shard = q->w->shard;
    hs_list_remove(&q->link);
    hs_mem_give(hs_shard_mem(shard), q, sizeof *q, 16);
    hs_shard_release_as(shard, "name lookup");
}

static void pass_on(ares_wire *w)
{
    for (hs_list *node; (node = hs_list_pop_front(&w->answered)) != NULL;) {
        question *q = HS_CONTAINER_OF(node, question, link);
        if (q->asker)
            w->wire.replied(w->wire.ctx, q->asker, &q->reply);
        question_free(q);
    }
}

static void on_work(hs_microtask *task)
{
    ares_wire *w = HS_CONTAINER_OF(task, ares_wire, work);
    w->working = false;
    if (!hs_ok(w->broken))
        give_up(w);
    set_timer(w);
    /* Without a timer a silent server would be waited for for ever. */
    if (!hs_ok(w->broken))
        give_up(w);
    pass_on(w);
    hs_shard_release_as(w->shard, "name lookup");
}

/* c-ares was called: see later, from outside of it, what came of that. */
static void after_ares(ares_wire *w)
{
    if (w->working || w->ended)
        return;
    w->working = true;
    hs_shard_hold_as(w->shard, "name lookup");
    hs_microtask_post(w->shard, &w->work, on_work);
}

/* ---- questions ---- */

static hs_err err_of_status(const ares_wire *w, int status)
{
    switch (status) {
    case ARES_SUCCESS:
        return HS_OK;
    case ARES_ENODATA:
    case ARES_ENOTFOUND:
    case ARES_ENONAME:
    case ARES_EBADNAME:
        return hs_err_of(HS_E_NAME_NONE);
    case ARES_ETIMEOUT:
        return hs_err_of(HS_E_NAME_TIMEOUT);
    case ARES_ENOMEM:
        return hs_err_of(-ENOMEM);
    case ARES_ECANCELLED:
    case ARES_EDESTRUCTION:
        return w->giving_up && !hs_ok(w->broken) ? w->broken : hs_err_of(-ECANCELED);
    default:
        return hs_err_of(HS_E_NAME_FAILED);
    }
}

static void take_node(dns_reply *r, const struct ares_addrinfo_node *node)
{
    if (r->len == HS_DNS_ADDRS_MAX)
        return;
    dns_ip *ip = &r->ips[r->len];
    *ip = (dns_ip){{0}};
    if (node->ai_family == AF_INET)
        memcpy(ip->bytes, &((const struct sockaddr_in *)(const void *)node->ai_addr)->sin_addr, 4);
    else if (node->ai_family == AF_INET6)
        memcpy(ip->bytes, &((const struct sockaddr_in6 *)(const void *)node->ai_addr)->sin6_addr,
               16);
    else
        return;
    r->len++;
}

/* An answer holds for as long as the shortest-lived of its parts. */
static void take_ttl(dns_reply *r, int ttl)
{
    uint32_t s = ttl > 0 ? (uint32_t)ttl : 0;
    r->ttl_s = HS_MIN(r->ttl_s, s);
}

static void on_answer(void *arg, int status, int timeouts, struct ares_addrinfo *info)
{
    question *q = arg;
    dns_reply *r = &q->reply;
    (void)timeouts;
    r->err = err_of_status(q->w, status);
    r->len = 0;
    r->ttl_s = UINT32_MAX;
    if (info && hs_ok(r->err)) {
        for (const struct ares_addrinfo_node *n = info->nodes; n; n = n->ai_next) {
            take_node(r, n);
            take_ttl(r, n->ai_ttl);
        }
        for (const struct ares_addrinfo_cname *c = info->cnames; c; c = c->next)
            take_ttl(r, c->ttl);
    }
    if (info)
        ares_freeaddrinfo(info);
    if (hs_ok(r->err) && r->len == 0)
        r->err = hs_err_of(HS_E_NAME_NONE);
    hs_list_remove(&q->link);
    hs_list_push_back(&q->w->answered, &q->link);
    after_ares(q->w);
}

static hs_err ares_wire_ask(dns_wire *wire, const char *name, int family, void *asker)
{
    ares_wire *w = wire_of(wire);
    question *q = hs_mem_take(hs_shard_mem(w->shard), sizeof *q, 16);
    HS_ENSURE(q, -ENOMEM);
    q->w = w;
    q->asker = asker;
    hs_list_init(&q->link);
    hs_list_push_back(&w->questions, &q->link);
    hs_shard_hold_as(w->shard, "name lookup");
    const struct ares_addrinfo_hints hints = {.ai_family = family, .ai_socktype = SOCK_STREAM};
    ares_getaddrinfo(w->channel, name, NULL, &hints, on_answer, q);
    after_ares(w);
    return HS_OK;
}

/* At once, so that what is asked next is not ended with them. We are not inside of c-ares, as
 * nothing is passed on from there. */
static void ares_wire_drop_all(dns_wire *wire)
{
    ares_wire *w = wire_of(wire);
    HS_ASSERT(!w->ended);
    ares_cancel(w->channel);
    hs_list_each (node, &w->answered)
        HS_CONTAINER_OF(node, question, link)->asker = NULL;
    /* All have been answered now; if c-ares kept one, nobody would hear of it. */
    hs_list_each (node, &w->questions)
        HS_CONTAINER_OF(node, question, link)->asker = NULL;
    after_ares(w);
}

/* ---- sockets that tell of a refusal ---- */

#if ARES_VERSION < 0x012200
/* Versions before 1.34 look at one question when a socket of UDP says ECONNREFUSED to a send: what
 * was sent there before waits for its time limit. So the send is repeated: it takes the error of
 * the one before, and the next refusal comes to the reader, who gives up the server for all. */

static ares_socket_t open_socket(int family, int type, int protocol, void *ctx)
{
    (void)ctx;
    return socket(family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, protocol);
}

static int close_socket(ares_socket_t fd, void *ctx)
{
    (void)ctx;
    return close(fd);
}

static int connect_socket(ares_socket_t fd, const struct sockaddr *to, ares_socklen_t len,
                          void *ctx)
{
    (void)ctx;
    return connect(fd, to, len);
}

static ares_ssize_t recv_socket(ares_socket_t fd, void *to, size_t len, int flags,
                                struct sockaddr *from, ares_socklen_t *from_len, void *ctx)
{
    (void)ctx;
    return recvfrom(fd, to, len, flags, from, from_len);
}

static ares_ssize_t send_socket(ares_socket_t fd, const struct iovec *parts, int len, void *ctx)
{
    const struct msghdr m = {.msg_iov = (struct iovec *)(uintptr_t)parts,
                             .msg_iovlen = (size_t)len};
    (void)ctx;
    ssize_t n = sendmsg(fd, &m, MSG_NOSIGNAL);
    return n < 0 && errno == ECONNREFUSED ? sendmsg(fd, &m, MSG_NOSIGNAL) : n;
}

static void set_sockets(ares_channel channel)
{
    static const struct ares_socket_functions functions = {
        open_socket, close_socket, connect_socket, recv_socket, send_socket};
    ares_set_socket_functions(channel, &functions, NULL);
}
#else
static void set_sockets(ares_channel channel)
{
    (void)channel;
}
#endif

/* ---- making ---- */

/* c-ares counts its users without a lock (ares_library_init(3)), and shards start side by side. */
static hs_err library_init(void)
{
    static atomic_flag busy = ATOMIC_FLAG_INIT;
    static atomic_bool ready;
    while (!atomic_load(&ready)) {
        if (atomic_flag_test_and_set(&busy))
            continue;
        int status = atomic_load(&ready) ? ARES_SUCCESS : ares_library_init(ARES_LIB_INIT_ALL);
        if (status == ARES_SUCCESS)
            atomic_store(&ready, true);
        atomic_flag_clear(&busy);
        HS_ENSURE(status == ARES_SUCCESS, status == ARES_ENOMEM ? -ENOMEM : HS_E_INTERNAL);
    }
    return HS_OK;
}

static hs_err channel_make(ares_wire *w, const hs_dns_options *o)
{
    char lookups[] = "b"; /* servers alone: the hosts file and the search domains are ours */
    struct ares_options a = {
        .flags = ARES_FLAG_NOSEARCH | ARES_FLAG_NOALIASES,
        .timeout = (int)o->try_ms,
        .tries = (int)o->tries,
        .lookups = lookups,
        .sock_state_cb = on_socket,
        .sock_state_cb_data = w,
        .resolvconf_path = (char *)(uintptr_t)o->resolv_path, /* it is copied */
    };
    int mask = ARES_OPT_FLAGS | ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_LOOKUPS |
               ARES_OPT_SOCK_STATE_CB | ARES_OPT_RESOLVCONF;
#ifdef ARES_OPT_QUERY_CACHE
    /* Ours knows what is kept for how long, and is bounded. */
    a.qcache_max_ttl = 0;
    mask |= ARES_OPT_QUERY_CACHE;
#endif
    int status = ares_init_options(&w->channel, &a, mask);
    HS_ENSURE(status != ARES_ENOMEM, -ENOMEM);
    HS_ENSURE(status == ARES_SUCCESS, HS_E_INTERNAL);
    set_sockets(w->channel);
    if (!o->servers)
        return HS_OK;
    status = ares_set_servers_ports_csv(w->channel, o->servers);
    if (status == ARES_SUCCESS)
        return HS_OK;
    ares_destroy(w->channel);
    return hs_err_of(status == ARES_ENOMEM ? -ENOMEM : HS_E_USAGE);
}

/* The last poll of a socket may end after the wire. */
static void free_if_ended(ares_wire *w)
{
    if (w->ended && hs_list_empty(&w->watches))
        hs_mem_give(hs_shard_mem(w->shard), w, sizeof *w, 16);
}

static void ares_wire_destroy(dns_wire *wire)
{
    ares_wire *w = wire_of(wire);
    HS_ASSERT(!w->ended);
    w->ended = true;
    hs_timer_cancel(w->shard, &w->timer);
    if (w->working) {
        hs_microtask_cancel(&w->work);
        hs_shard_release_as(w->shard, "name lookup");
    }
    ares_destroy(w->channel);
    hs_list_each_safe (node, &w->questions)
        question_free(HS_CONTAINER_OF(node, question, link));
    hs_list_each_safe (node, &w->answered)
        question_free(HS_CONTAINER_OF(node, question, link));
    hs_list_each (node, &w->watches)
        watch_end(HS_CONTAINER_OF(node, watch, link));
    free_if_ended(w);
}

static const dns_wire_ops ares_wire_ops = {
    .ask = ares_wire_ask,
    .drop_all = ares_wire_drop_all,
    .remake = dns_ares_create,
    .destroy = ares_wire_destroy,
};

hs_err dns_ares_create(hs_shard *shard, const hs_dns_options *options, dns_wire **out)
{
    HS_TRY(library_init());
    const hs_mem *mem = hs_shard_mem(shard);
    ares_wire *w = hs_mem_take_zero(mem, sizeof *w, 16);
    HS_ENSURE(w, -ENOMEM);
    w->wire.ops = &ares_wire_ops;
    w->shard = shard;
    hs_list_init(&w->watches);
    hs_list_init(&w->questions);
    hs_list_init(&w->answered);
    hs_err err = channel_make(w, options);
    if (!hs_ok(err)) {
        hs_mem_give(mem, w, sizeof *w, 16);
        return err;
    }
    *out = &w->wire;
    return HS_OK;
}
