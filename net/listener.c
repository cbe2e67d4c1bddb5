/* Listeners: see hs_tcp.h.
 *
 * When accepting fails for want of files or memory, the connection stays in the system's queue and
 * we try again a little later: giving up would end the service, and trying at once would burn a
 * core. */
#include "tcp.h"

#define ACCEPT_AGAIN_MS 100
#define BACKLOG 4096 /* the system lowers it to net.core.somaxconn */

static void on_accept(hs_op *op, const hs_io_event *ev);

static void accept_next(hs_listener *l)
{
    HS_ASSERT(!l->closing);
    hs_io *io = hs_shard_io(l->tcp->shard);
    if (l->shared)
        hs_io_accept_one(io, &l->accept, l->fd, on_accept);
    else
        hs_io_accept(io, &l->accept, l->fd, on_accept);
}

static void accept_again(hs_timer *timer)
{
    accept_next(HS_CONTAINER_OF(timer, hs_listener, again));
}

static void listener_gone(hs_listener *l)
{
    HS_ASSERT(l->closing);
    HS_ASSERT(!hs_op_active(&l->accept) && !l->telling);
    hs_shard *shard = l->tcp->shard;
    hs_timer_cancel(shard, &l->again);
    if (l->shared)
        hs_unix_unref(l->shared);
    else
        hs_io_close(hs_shard_io(shard), l->fd);
    hs_list_remove(&l->link);
    hs_mem_give(hs_shard_mem(shard), l, sizeof *l, HS_CACHE_LINE);
    hs_shard_release_as(shard, "listener");
}

/* Once a second at most: a full table of files would fill the log as well. */
static void warn(hs_tcp *tcp, const char *what, const char *remedy)
{
    uint64_t now = hs_shard_now_ns(tcp->shard);
    if (now < tcp->warn_next_ns)
        return;
    tcp->warn_next_ns = now + HS_SEC_NS;
    hs_log_write(hs_shard_log(tcp->shard), HS_LOG_WARN, "accept: %s%s", what, remedy);
}

static void accepted(hs_listener *l, int fd)
{
    HS_ASSERT(fd >= 0);
    hs_tcp *tcp = l->tcp;
    tcp_conn *c;
    if (!hs_ok(tcp_conn_open(tcp, fd, &c))) {
        hs_count(hs_shard_counters(tcp->shard), tcp->count_refused, 1);
        warn(tcp, "a connection was refused: ", "no slot (limit of connections, or no memory)");
        hs_io_close(hs_shard_io(tcp->shard), fd);
        return;
    }
    hs_count(hs_shard_counters(tcp->shard), tcp->count_accepted, 1);
    l->telling = true;
    tcp->options.accepted(&c->s, l, tcp->options.ctx);
    l->telling = false;
    HS_ASSERT(c->s.events != NULL);
    tcp_conn_start(c);
}

static const char *accept_remedy(int32_t res)
{
    return res == -EMFILE   ? ": raise the limit of open files (ulimit -n); trying again"
           : res == -ENFILE ? ": raise the system's limit of files (fs.file-max); trying again"
                            : ": trying again";
}

static void on_accept(hs_op *op, const hs_io_event *ev)
{
    hs_listener *l = HS_CONTAINER_OF(op, hs_listener, accept);
    HS_ASSERT(op->fd == l->fd);
    if (ev->res >= 0)
        accepted(l, ev->res);
    if (ev->more)
        return;
    if (l->closing) {
        listener_gone(l);
        return;
    }
    if (ev->res >= 0) {
        accept_next(l);
        return;
    }
    warn(l->tcp, hs_err_name(hs_err_of(ev->res)), accept_remedy(ev->res));
    /* A timer that cannot be set leaves nothing better than to try at once. */
    if (!hs_ok(hs_timer_after(l->tcp->shard, &l->again, ACCEPT_AGAIN_MS, accept_again)))
        accept_again(&l->again);
}

/* A listener of `fd`, which stays the caller's on an error. */
static hs_err open_fd(hs_tcp *tcp, int fd, hs_unix *shared, const hs_addr *addr, hs_listener **out)
{
    HS_ASSERT(fd >= 0);
    HS_ASSERT(tcp->options.accepted != NULL);
    hs_listener *l = hs_mem_take_zero(hs_shard_mem(tcp->shard), sizeof *l, HS_CACHE_LINE);
    HS_ENSURE(l, -ENOMEM);
    l->fd = fd;
    l->shared = shared;
    l->addr = *addr;
    l->tcp = tcp;
    hs_list_init(&l->link);
    hs_list_push_back(&tcp->listeners, &l->link);
    hs_shard_hold_as(tcp->shard, "listener");
    accept_next(l);
    *out = l;
    return HS_OK;
}

hs_err hs_listener_open_unix(hs_tcp *tcp, hs_unix *u, hs_listener **out)
{
    HS_ASSERT(out != NULL);
    int fd = hs_unix_fd(u);
    HS_TRY(hs_err_of(hs_io_adopt(hs_shard_io(tcp->shard), fd)));
    HS_TRY(open_fd(tcp, fd, u, hs_unix_addr(u), out));
    (void)hs_unix_ref(u);
    return HS_OK;
}

static hs_err open_own_unix(hs_tcp *tcp, const hs_addr *addr, hs_listener **out)
{
    hs_unix *u;
    HS_TRY(hs_unix_open(hs_shard_mem(tcp->shard), addr, NULL, &u));
    hs_err err = hs_listener_open_unix(tcp, u, out);
    hs_unix_unref(u);
    return err;
}

hs_err hs_listener_open(hs_tcp *tcp, const hs_addr *addr, bool reuse_port, hs_listener **out)
{
    HS_ASSERT(addr != NULL && addr->len > 0);
    HS_ASSERT(out != NULL);
    if (hs_addr_is_unix(addr))
        return open_own_unix(tcp, addr, out);
    hs_io *io = hs_shard_io(tcp->shard);
    hs_addr bound = {.len = sizeof bound.sa};
    int fd = hs_io_listen(io, &addr->sa.any, addr->len, BACKLOG, reuse_port);
    if (fd < 0)
        return hs_err_of(fd);
    hs_err err = hs_err_of(hs_io_sockname(io, fd, &bound.sa.any, &bound.len));
    if (hs_ok(err))
        err = open_fd(tcp, fd, NULL, &bound, out);
    if (!hs_ok(err))
        hs_io_close(io, fd);
    return err;
}

const hs_addr *hs_listener_addr(const hs_listener *l)
{
    return &l->addr;
}

void hs_listener_close(hs_listener *l)
{
    HS_ASSERT(!l->closing);
    l->closing = true;
    if (hs_op_active(&l->accept))
        hs_io_cancel(hs_shard_io(l->tcp->shard), &l->accept);
    else if (!l->telling)
        listener_gone(l);
}
