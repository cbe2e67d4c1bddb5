/* The datagram sockets of a shard: their making, and what may be asked of them. See hs_udp.h. */
#include "udp.h"

#include "hs_caps.h"

static bool trim_udp(hs_trim *trim)
{
    hs_udp *udp = HS_CONTAINER_OF(trim, hs_udp, trim);
    bool rx = udp_recv_trim(udp);
    bool socks = hs_shard_trim_pool(&udp->socks);
    bool outs = hs_shard_trim_pool(&udp->outs);
    return rx || socks || outs;
}

static hs_err register_counters(hs_udp *udp)
{
    hs_counters *c = hs_shard_counters(udp->shard);
    HS_TRY(hs_counters_register(c, "udp_in", &udp->count_in));
    HS_TRY(hs_counters_register(c, "udp_out", &udp->count_out));
    HS_TRY(hs_counters_register(c, "udp_bytes_in", &udp->count_bytes_in));
    HS_TRY(hs_counters_register(c, "udp_bytes_out", &udp->count_bytes_out));
    HS_TRY(hs_counters_register(c, "udp_calls_in", &udp->count_calls_in));
    HS_TRY(hs_counters_register(c, "udp_calls_out", &udp->count_calls_out));
    return hs_counters_register(c, "udp_errors", &udp->count_errors);
}

static hs_err init_pools(hs_udp *udp)
{
    const hs_mem *mem = hs_shard_mem(udp->shard);
    HS_TRY(hs_pool_init(&udp->socks, mem, sizeof(hs_udp_sock), HS_UDP_SOCKS_MAX));
    hs_err err = hs_pool_init(&udp->outs, mem, sizeof(udp_out), HS_UDP_OUTS_MAX);
    if (!hs_ok(err))
        hs_pool_fini(&udp->socks);
    return err;
}

hs_err hs_udp_create(hs_shard *shard, hs_udp **out)
{
    HS_ASSERT(out != NULL);
    const hs_mem *mem = hs_shard_mem(shard);
    hs_udp *udp = hs_mem_take_zero(mem, sizeof *udp, HS_CACHE_LINE);
    HS_ENSURE(udp, -ENOMEM);
    udp->shard = shard;
    udp->gso = !hs_caps_off("udp_gso");
    udp->gro = !hs_caps_off("udp_gro");
    hs_err err = register_counters(udp);
    if (hs_ok(err))
        err = init_pools(udp);
    if (!hs_ok(err)) {
        hs_mem_give(mem, udp, sizeof *udp, HS_CACHE_LINE);
        return err;
    }
    udp->trim.fn = trim_udp;
    hs_shard_trim_add(shard, &udp->trim);
    *out = udp;
    return HS_OK;
}

void hs_udp_destroy(hs_udp *udp)
{
    const hs_mem *mem = hs_shard_mem(udp->shard);
    HS_ASSERT(udp->socks.slots_used == 0);
    hs_shard_trim_remove(&udp->trim);
    hs_mem_give(mem, udp->rx, sizeof *udp->rx, HS_CACHE_LINE);
    hs_pool_fini(&udp->outs);
    hs_pool_fini(&udp->socks);
    hs_mem_give(mem, udp, sizeof *udp, HS_CACHE_LINE);
}

/* ---- opening ---- */

static hs_err check_options(const hs_udp_options *o)
{
    HS_ASSERT(o->events != NULL);
    HS_ENSURE(o->bind || o->connect, HS_E_USAGE);
    const hs_addr *addr = o->bind ? o->bind : o->connect;
    HS_ENSURE(!o->connect || o->connect->sa.any.sa_family == addr->sa.any.sa_family, HS_E_USAGE);
    bool groups = o->multicast_ifindex || o->multicast_ttl || o->multicast_loop_off;
    HS_ENSURE(!groups || !hs_addr_is_unix(addr), HS_E_USAGE);
    return HS_OK;
}

/* What the kernel can do with this socket beyond the plain way. */
static void probe(hs_udp_sock *s)
{
    hs_io *io = hs_shard_io(s->udp->shard);
    int value = 0, on = 1;
    socklen_t len = sizeof value;
    if (s->family == AF_UNIX)
        return;
    if (s->udp->gso && hs_io_sockopt_get(io, s->fd, SOL_UDP, UDP_SEGMENT, &value, &len) == 0)
        s->gso_max = UINT16_MAX;
    if (s->udp->gro)
        (void)hs_io_sockopt(io, s->fd, SOL_UDP, UDP_GRO, &on, sizeof on);
}

static int bind_to(hs_udp_sock *s, const hs_udp_options *o)
{
    hs_io *io = hs_shard_io(s->udp->shard);
    int res = udp_options_apply(io, s->fd, s->family, o);
    if (res == 0 && o->bind && !s->name)
        res = hs_io_bind(io, s->fd, &o->bind->sa.any, o->bind->len);
    s->local.len = sizeof s->local.sa;
    return res == 0 ? hs_io_sockname(io, s->fd, &s->local.sa.any, &s->local.len) : res;
}

/* Make the socket: s->fd, and s->name where it has one in the file system. */
static hs_err make(hs_udp_sock *s, const hs_udp_options *o)
{
    hs_io *io = hs_shard_io(s->udp->shard);
    if (s->family == AF_UNIX && o->bind) {
        hs_unix_options named = {.mode = o->unix_mode, .datagram = true};
        HS_TRY(hs_unix_open(hs_shard_mem(s->udp->shard), o->bind, &named, &s->name));
        s->fd = hs_unix_fd(s->name);
        return hs_err_of(hs_io_adopt(io, s->fd));
    }
    s->fd = hs_io_socket(io, s->family, SOCK_DGRAM, 0);
    return s->fd < 0 ? hs_err_of(s->fd) : HS_OK;
}

static void unmake(hs_udp_sock *s)
{
    if (s->name)
        hs_unix_unref(s->name);
    else if (s->fd >= 0)
        hs_io_close(hs_shard_io(s->udp->shard), s->fd);
    hs_pool_give(&s->udp->socks, s);
}

static void begin_close(hs_udp_sock *s, int32_t why)
{
    hs_shard *shard = s->udp->shard;
    hs_io *io = hs_shard_io(shard);
    hs_op *const ops[] = {&s->in, &s->out, &s->connect.op};
    s->state = UDP_CLOSING;
    s->why = why;
    for (size_t i = 0; i < HS_ARRAY_LEN(ops); i++)
        if (hs_op_active(ops[i]))
            hs_io_cancel(io, ops[i]);
    /* The end comes from the loop: the caller may be in an event of this socket. */
    if (s->flush.fn == NULL)
        udp_send_last(s);
}

static void on_connect(hs_op *op, const hs_io_event *ev)
{
    hs_udp_sock *s = HS_CONTAINER_OF(HS_CONTAINER_OF(op, hs_op_connect, op), hs_udp_sock, connect);
    if (s->state != UDP_OPEN) {
        udp_maybe_finish(s);
        return;
    }
    if (ev->res < 0) {
        begin_close(s, ev->res);
        return;
    }
    s->connecting = false;
    /* The system has chosen the address to send from. */
    s->local.len = sizeof s->local.sa;
    (void)hs_io_sockname(hs_shard_io(s->udp->shard), s->fd, &s->local.sa.any, &s->local.len);
    udp_recv_start(s);
    if (s->first)
        udp_send_soon(s);
}

hs_err hs_udp_open(hs_udp *udp, const hs_udp_options *o, hs_udp_sock **out)
{
    HS_ASSERT(out != NULL);
    HS_TRY(check_options(o));
    hs_udp_sock *s = hs_pool_take(&udp->socks);
    HS_ENSURE(s, udp->socks.slots_used == HS_UDP_SOCKS_MAX ? HS_E_LIMIT : -ENOMEM);
    memset(s, 0, sizeof *s);
    s->udp = udp;
    s->fd = -1;
    s->family = (o->bind ? o->bind : o->connect)->sa.any.sa_family;
    hs_err err = make(s, o);
    if (hs_ok(err))
        err = hs_err_of(bind_to(s, o));
    if (!hs_ok(err)) {
        unmake(s);
        return err;
    }
    probe(s);
    s->events = o->events;
    s->ctx = o->ctx;
    s->tos = o->tos;
    s->queue_bytes_max = o->queue_bytes_max ? o->queue_bytes_max : HS_UDP_QUEUE_BYTES;
    hs_shard_hold_as(udp->shard, "datagram socket");
    if (o->connect) {
        s->connected = s->connecting = true;
        s->peer = *o->connect;
        hs_io_connect(hs_shard_io(udp->shard), &s->connect, s->fd, &s->peer.sa.any, s->peer.len,
                      on_connect);
    }
    udp_recv_start(s);
    *out = s;
    return HS_OK;
}

/* ---- what may be asked ---- */

void *hs_udp_ctx(const hs_udp_sock *s)
{
    return s->ctx;
}

const hs_addr *hs_udp_addr(const hs_udp_sock *s)
{
    return &s->local;
}

hs_shard *hs_udp_shard(const hs_udp_sock *s)
{
    return s->udp->shard;
}

hs_err hs_udp_send_out(hs_udp_sock *s, const hs_udp_out *out)
{
    HS_TRY(udp_queue_add(s, out));
    udp_send_soon(s);
    return HS_OK;
}

hs_err hs_udp_send(hs_udp_sock *s, const hs_addr *to, hs_span data)
{
    hs_udp_out out = {.data = data, .to = to};
    return hs_udp_send_out(s, &out);
}

size_t hs_udp_unsent(const hs_udp_sock *s)
{
    return s->chain.len;
}

void hs_udp_pause(hs_udp_sock *s)
{
    HS_ASSERT(s->udp->shard == hs_shard_self());
    s->paused = true;
    if (hs_op_active(&s->in))
        hs_io_cancel(hs_shard_io(s->udp->shard), &s->in);
}

void hs_udp_resume(hs_udp_sock *s)
{
    HS_ASSERT(s->udp->shard == hs_shard_self());
    s->paused = false;
    udp_recv_start(s);
}

void hs_udp_close(hs_udp_sock *s)
{
    HS_ASSERT(s->udp->shard == hs_shard_self());
    if (s->state == UDP_OPEN)
        begin_close(s, 0);
}
