/* Streams on Unix sockets, on real ones: the same life as TCP's, shared listeners, who the peer is.
 */
#include "real_rig.h"
#include "unix_rig.h"

#include "tcp.h"

TestSuite(net_unix_stream, .init = folder_make, .fini = folder_end);

#define CONNS_MAX 64

typedef struct conn {
    hs_stream *s; /* NULL: closed */
    const hs_listener *listener;
    size_t in_len;
    char in[64];
    uint32_t ends, drains;
    hs_err why;
} conn;

static conn conns[CONNS_MAX];
static uint32_t conns_len, closed_len;
static hs_listener *close_on_accept;

static void on_data(hs_stream *s, hs_span bytes)
{
    conn *c = *(conn **)s->owner;
    size_t n = HS_MIN(bytes.len, sizeof c->in - 1 - c->in_len);
    memcpy(c->in + c->in_len, bytes.ptr, n);
    c->in_len += n;
}

static void on_end(hs_stream *s)
{
    (*(conn **)s->owner)->ends++;
}

static void on_drained(hs_stream *s)
{
    (*(conn **)s->owner)->drains++;
}

static void on_closed(hs_stream *s, hs_err why)
{
    conn *c = *(conn **)s->owner;
    c->s = NULL;
    c->why = why;
    closed_len++;
}

static const hs_stream_events events = {on_data, on_end, on_drained, on_closed};

static void on_accept(hs_stream *s, hs_listener *listener, void *ctx)
{
    cr_assert_eq(ctx, conns);
    cr_assert_lt(conns_len, CONNS_MAX);
    conn *c = &conns[conns_len++];
    *c = (conn){.s = s, .listener = listener};
    *(conn **)s->owner = c;
    s->events = &events;
    if (close_on_accept)
        hs_listener_close(close_on_accept);
    close_on_accept = NULL;
}

static hs_tcp *make_tcp(real *r)
{
    hs_tcp *tcp;
    hs_tcp_options o = {.owner_bytes = sizeof(conn *), .accepted = on_accept, .ctx = conns};
    cr_assert(hs_ok(hs_tcp_create(r->shard, &o, &tcp)));
    return tcp;
}

static hs_listener *open_own(hs_tcp *tcp, const char *text)
{
    hs_listener *l = NULL;
    hs_addr addr = addr_of(text);
    hs_err err = hs_listener_open(tcp, &addr, true, &l);
    cr_assert(hs_ok(err), "%s", hs_err_name(err));
    cr_assert(!hs_addr_is_unix(&addr) || hs_addr_eq(hs_listener_addr(l), &addr));
    return l;
}

static void end_tcp(real *r, hs_tcp *tcp)
{
    for (uint32_t i = 0; i < conns_len; i++)
        if (conns[i].s)
            hs_stream_abort(conns[i].s);
    REAL_UNTIL(r, closed_len == conns_len);
    real_idle(r, 3);
    hs_tcp_destroy(tcp);
}

static int32_t open_error(hs_tcp *tcp, const char *text)
{
    hs_listener *l;
    hs_addr addr = addr_of(text);
    return hs_listener_open(tcp, &addr, true, &l).code;
}

REAL_TEST(net_unix_stream, bytes_go_both_ways_and_both_ends_end)
{
    char in[16] = "";
    hs_tcp *tcp = make_tcp(r);
    hs_listener *l = open_own(tcp, "unix:s");
    int client = plain_connect("unix:s", SOCK_STREAM);
    REAL_UNTIL(r, conns_len == 1);
    conn *c = &conns[0];
    cr_assert_eq(c->listener, l);
    cr_assert(hs_op_active(&l->accept)); /* the next one does not have to wait */
    cr_assert_eq(send(client, "hello", 5, 0), 5);
    REAL_UNTIL(r, c->in_len == 5);
    cr_assert_str_eq(c->in, "hello");
    cr_assert(hs_ok(hs_stream_write(c->s, HS_SPAN("answer"))));
    REAL_UNTIL(r, c->drains == 1);
    cr_assert_eq(recv(client, in, sizeof in, 0), 6);
    cr_assert_str_eq(in, "answer");
    cr_assert_eq(shutdown(client, SHUT_WR), 0);
    REAL_UNTIL(r, c->ends == 1);
    hs_stream_close(c->s);
    REAL_UNTIL(r, closed_len == 1);
    cr_assert(hs_ok(c->why));
    cr_assert_eq(recv(client, in, sizeof in, 0), 0);
    close(client);
    hs_listener_close(l);
    end_tcp(r, tcp);
}

REAL_TEST(net_unix_stream, much_goes_to_a_slow_reader)
{
    enum { MUCH = 3000000 };
    static char piece[30000];
    hs_tcp *tcp = make_tcp(r);
    hs_listener *l = open_own(tcp, "unix:s");
    int client = plain_connect("unix:s", SOCK_STREAM);
    REAL_UNTIL(r, conns_len == 1);
    for (size_t at = 0; at < MUCH; at += sizeof piece) {
        memset(piece, 'a' + (int)(at / sizeof piece % 26), sizeof piece);
        cr_assert(hs_ok(hs_stream_write(conns[0].s, hs_span_of(piece, sizeof piece))));
    }
    cr_assert(hs_stream_full(conns[0].s));
    hs_stream_close(conns[0].s);
    real_idle(r, 20);
    cr_assert_eq(closed_len, 0);
    size_t got = 0;
    for (ssize_t n = 1; n != 0; real_idle(r, 1)) {
        n = recv(client, piece, 7001, MSG_DONTWAIT);
        cr_assert(n >= 0 || errno == EAGAIN);
        for (ssize_t i = 0; i < n; i++, got++)
            cr_assert_eq(piece[i], 'a' + (int)(got / sizeof piece % 26));
    }
    cr_assert_eq(got, MUCH);
    close(client);
    REAL_UNTIL(r, closed_len == 1);
    hs_listener_close(l);
    end_tcp(r, tcp);
}

REAL_TEST(net_unix_stream, the_peer_is_told)
{
    hs_tcp *tcp = make_tcp(r);
    hs_listener *local = open_own(tcp, own_name()), *ip = open_own(tcp, "127.0.0.1:0");
    hs_unix_peer peer;
    int clients[2] = {plain_connect(own_name(), SOCK_STREAM)};
    REAL_UNTIL(r, conns_len == 1);
    cr_assert(hs_ok(hs_unix_peer_of(conns[0].s, &peer)));
    cr_assert_eq(peer.pid, getpid());
    cr_assert_eq(peer.uid, geteuid());
    cr_assert_eq(peer.gid, getegid());
    const hs_addr *addr = hs_listener_addr(ip);
    clients[1] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    cr_assert_eq(connect(clients[1], &addr->sa.any, addr->len), 0);
    REAL_UNTIL(r, conns_len == 2);
    cr_assert_eq(hs_unix_peer_of(conns[1].s, &peer).code, HS_E_USAGE);
    hs_stream other = {.ops = &(const hs_stream_ops){0}, .shard = r->shard};
    cr_assert_eq(hs_unix_peer_of(&other, &peer).code, HS_E_USAGE);
    close(clients[0]);
    close(clients[1]);
    hs_listener_close(local);
    hs_listener_close(ip);
    end_tcp(r, tcp);
}

/* Two of one shard, which rings alone can do: with epoll(7) each needs a set of its own, as the
 * shards of tests/plain/unix_shards.c have. */
static void listeners_share_a_socket(real *r)
{
    hs_addr addr = addr_of("unix:s");
    hs_unix *u;
    hs_tcp *tcp = make_tcp(r);
    hs_listener *l[2];
    int clients[12];
    uint32_t each[2] = {0, 0};
    cr_assert(hs_ok(hs_unix_open(&r->mem.mem, &addr, NULL, &u)));
    for (int i = 0; i < 2; i++)
        cr_assert(hs_ok(hs_listener_open_unix(tcp, u, &l[i])));
    hs_unix_unref(u);
    for (int i = 0; i < 8; i++) {
        clients[i] = plain_connect("unix:s", SOCK_STREAM);
        REAL_UNTIL(r, conns_len == (uint32_t)i + 1);
        each[conns[i].listener == l[1]]++;
    }
    cr_assert_eq(each[0] + each[1], 8);
    hs_listener_close(l[0]);
    real_idle(r, 3);
    for (int i = 8; i < 12; i++) {
        clients[i] = plain_connect("unix:s", SOCK_STREAM);
        REAL_UNTIL(r, conns_len == (uint32_t)i + 1);
        cr_assert_eq(conns[i].listener, l[1]);
    }
    cr_assert_eq(access("s", F_OK), 0);
    hs_listener_close(l[1]);
    real_idle(r, 3);
    cr_assert_eq(access("s", F_OK), -1); /* gone with the last */
    for (int i = 0; i < 12; i++)
        close(clients[i]);
    end_tcp(r, tcp);
}

REAL_TEST_ON(net_unix_stream, listeners_share_a_socket, uring)

REAL_TEST(net_unix_stream, a_name_in_use_is_refused)
{
    hs_tcp *tcp = make_tcp(r);
    hs_listener *l = open_own(tcp, "unix:s");
    cr_assert_eq(open_error(tcp, "unix:s"), -EADDRINUSE);
    cr_assert_eq(open_error(tcp, "unix:none/s"), -ENOENT);
    hs_listener_close(l);
    real_idle(r, 3);
    l = open_own(tcp, "unix:s");
    hs_listener_close(l);
    end_tcp(r, tcp);
}

REAL_TEST(net_unix_stream, a_listener_closes_while_it_accepts)
{
    hs_tcp *tcp = make_tcp(r);
    close_on_accept = open_own(tcp, "unix:s");
    int clients[2];
    for (int i = 0; i < 2; i++)
        clients[i] = plain_connect("unix:s", SOCK_STREAM);
    REAL_UNTIL(r, conns_len == 1);
    real_idle(r, 3);
    cr_assert_eq(access("s", F_OK), -1);
    cr_assert_eq(conns_len, 1);
    cr_assert(hs_ok(hs_stream_write(conns[0].s, HS_SPAN("x"))));
    REAL_UNTIL(r, conns[0].drains == 1);
    close(clients[0]);
    close(clients[1]);
    end_tcp(r, tcp);
}

REAL_TEST(net_unix_stream, memory_fails)
{
    for (uint64_t n = 1;; n++) {
        hs_listener *l;
        hs_tcp *tcp = make_tcp(r);
        hs_addr addr = addr_of("unix:s");
        uint64_t fails = r->mem.fails;
        r->mem.fail_at = r->mem.takes + n;
        hs_err err = hs_listener_open(tcp, &addr, true, &l);
        r->mem.fail_at = 0;
        cr_assert_eq(hs_ok(err), r->mem.fails == fails);
        if (hs_ok(err))
            hs_listener_close(l);
        else
            cr_assert_eq(err.code, -ENOMEM);
        end_tcp(r, tcp);
        cr_assert_eq(access("s", F_OK), -1);
        if (hs_ok(err)) {
            cr_assert_gt(n, 2);
            break;
        }
    }
}
