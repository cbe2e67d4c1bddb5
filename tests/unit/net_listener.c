/* Listeners on the simulated backend: accept errors, limits, closing at bad moments; and the whole
 * of TCP with memory that fails. Streams are in net_tcp.c. */
#include "net_rig.h"

Test(net_listener, without_files_accepting_waits_and_goes_on)
{
    sim_faults f;
    sim_faults_none(&f);
    f.fds_max = 3; /* the listener and two connections */
    client c[3];
    rig_init(&f, 0);
    for (int i = 0; i < 3; i++)
        client_open(&c[i], &r.b, 80);
    bench_run(&r.b, 1000);
    cr_assert_eq(r.sides_len, 2);
    for (int i = 0; i < 3; i++)
        cr_assert_eq(c[i].told, SIM_PEER_OPEN); /* in the system's queue, not refused */
    for (int i = 0; i < 3; i++)                 /* they came in any order */
        client_say(&c[i], "patience");
    cut(&r.sides[0]);
    bench_run(&r.b, 250);
    cr_assert_eq(r.sides_len, 3);
    cr_assert_eq(r.sides[2].in_len, 8);
    cr_assert_eq(bench_count(&r.b, "tcp_refused"), 0);
    for (int i = 0; i < 3; i++)
        client_fini(&c[i]);
    rig_fini();
}

Test(net_listener, accept_errors_end_no_service)
{
    sim_faults f;
    sim_faults_none(&f);
    f.accept_error = 700;
    client c[20];
    rig_init(&f, 0);
    for (int i = 0; i < 20; i++)
        client_open(&c[i], &r.b, 80);
    bench_run(&r.b, 30000);
    uint32_t harmed = 0; /* a connection that was gone before it was accepted */
    for (int i = 0; i < 20; i++)
        harmed += sim_peer_harmed(c[i].peer);
    cr_assert_lt(harmed, 20);
    cr_assert_eq(r.sides_len, 20 - harmed);
    for (int i = 0; i < 20; i++)
        client_fini(&c[i]);
    rig_fini();
}

Test(net_listener, the_limit_of_slots_refuses_and_counts)
{
    client c[4];
    rig_init(NULL, 2);
    for (int i = 0; i < 3; i++)
        client_open(&c[i], &r.b, 80);
    bench_run(&r.b, 100);
    cr_assert_eq(r.sides_len, 2);
    cr_assert_eq(hs_tcp_conns(r.tcp), 2);
    cr_assert_eq(bench_count(&r.b, "tcp_refused"), 1);
    cr_assert_eq(sim_world_fds(r.b.w), 3);
    uint32_t ended = 0;
    for (int i = 0; i < 3; i++)
        ended += (c[i].told & (SIM_PEER_EOF | SIM_PEER_RESET)) != 0;
    cr_assert_eq(ended, 1);
    cut(&r.sides[0]);
    bench_run(&r.b, 100);
    client_open(&c[3], &r.b, 80);
    bench_run(&r.b, 100);
    cr_assert_eq(r.sides_len, 3);
    for (int i = 0; i < 4; i++)
        client_fini(&c[i]);
    rig_fini();
}

Test(net_listener, a_listener_closes_with_connections_on_the_way)
{
    sim_faults f;
    sim_faults_none(&f);
    f.cancel_late = 1024;
    f.cancel_natural = 1024; /* the cancelled accept still takes one */
    f.late_us_max = 5000;
    client c[10];
    rig_init(&f, 0);
    for (int i = 0; i < 10; i++)
        client_open(&c[i], &r.b, 80);
    hs_listener_close(r.listener);
    r.listener = NULL;
    bench_run(&r.b, 1000);
    cr_assert_gt(r.sides_len, 0); /* what was accepted until the cancel took effect is served */
    uint32_t open = 0;
    for (int i = 0; i < 10; i++) /* the others were refused or ended */
        open += !(c[i].told & (SIM_PEER_EOF | SIM_PEER_RESET | SIM_PEER_REFUSED));
    cr_assert_eq(open, r.sides_len);
    cr_assert_eq(hs_tcp_conns(r.tcp), r.sides_len);
    cr_assert_eq(sim_world_fds(r.b.w), r.sides_len);
    for (uint32_t i = 0; i < r.sides_len; i++)
        cut(&r.sides[i]);
    bench_run(&r.b, 100);
    for (int i = 0; i < 10; i++)
        client_fini(&c[i]);
    rig_fini();
}

Test(net_listener, a_listener_closes_while_it_waits_to_try_again)
{
    sim_faults f;
    sim_faults_none(&f);
    f.accept_error = 1024;
    client c;
    rig_init(&f, 0);
    client_open(&c, &r.b, 80);
    bench_run(&r.b, 10);
    hs_listener_close(r.listener);
    r.listener = NULL;
    bench_run(&r.b, 1000);
    cr_assert_eq(r.sides_len, 0);
    cr_assert_eq(sim_world_fds(r.b.w), 0);
    client_fini(&c);
    rig_fini();
}

static void close_the_listener(side *sd)
{
    (void)sd;
    if (r.listener)
        hs_listener_close(r.listener);
    r.listener = NULL;
}

Test(net_listener, a_listener_closes_while_it_accepts)
{
    client c[3];
    rig_init(NULL, 0);
    r.on_accept = close_the_listener;
    for (int i = 0; i < 3; i++)
        client_open(&c[i], &r.b, 80);
    bench_run(&r.b, 1000);
    cr_assert_geq(r.sides_len, 1);
    cr_assert_eq(sim_world_fds(r.b.w), r.sides_len);
    for (int i = 0; i < 3; i++)
        client_fini(&c[i]);
    rig_fini();
}

Test(net_listener, listening_where_somebody_does)
{
    hs_listener *again = NULL, *any = NULL;
    client c;
    rig_init(NULL, 0);
    cr_assert_eq(open_at("127.0.0.1:80", &again).code, -EADDRINUSE);
    cr_assert(hs_ok(open_at("[::1]:0", &any)));
    uint16_t port = hs_addr_port(hs_listener_addr(any));
    cr_assert_neq(port, 0);
    cr_assert_eq(hs_listener_addr(any)->sa.any.sa_family, AF_INET6);
    client_open(&c, &r.b, port);
    bench_run(&r.b, 10);
    cr_assert_eq(r.sides_len, 1);
    hs_listener_close(any);
    bench_run(&r.b, 10);
    cr_assert_eq(r.sides[0].closes, 0); /* what was accepted goes on */
    say(&r.sides[0], "still here");
    bench_run(&r.b, 10);
    cr_assert_str_eq(c.in, "still here");
    client_fini(&c);
    rig_fini();
}

/* ---- memory ---- */

static void echo(side *sd)
{
    hs_err err = hs_stream_write(sd->s, HS_SPAN("echo"));
    if (hs_ok(err))
        return;
    cr_assert_eq(err.code, -ENOMEM); /* not "closed": nobody would tell the user of an end */
    hs_stream_abort(sd->s);
}

static void say_goodbye(side *sd)
{
    hs_chain *out = hs_stream_out(sd->s);
    if (out && hs_ok(hs_chain_append(out, hs_shard_chunks(r.b.shard), HS_SPAN("bye"))))
        hs_stream_close(sd->s);
    else
        hs_stream_abort(sd->s);
}

static void on_accept_echo(side *sd)
{
    sd->on_data = echo;
    sd->on_end = say_goodbye;
}

/* A scene from the making to the end, in which take `n` fails. Returns whether one did. */
static bool scene(uint64_t n, bool fail_on)
{
    client c[2];
    memset(&r, 0, sizeof r);
    bench_init(&r.b, NULL);
    r.b.fail_at = r.b.takes + n;
    r.b.fail_on = fail_on;
    r.on_accept = on_accept_echo;
    hs_tcp_options o = {.owner_bytes = 100, .accepted = accepted, .ctx = &r};
    hs_err err = hs_tcp_create(r.b.shard, &o, &r.tcp);
    if (!hs_ok(err)) {
        cr_assert_eq(err.code, -ENOMEM);
        bench_fini(&r.b);
        return true;
    }
    err = open_at("127.0.0.1:80", &r.listener);
    if (hs_ok(err)) {
        for (int i = 0; i < 2; i++) {
            client_open(&c[i], &r.b, 80);
            bench_run(&r.b, 200);
            client_say(&c[i], "hello");
            bench_run(&r.b, 10);
            if (i == 0 && c[i].told == SIM_PEER_OPEN)
                sim_peer_finish(c[i].peer);
            bench_run(&r.b, 200);
        }
        for (int i = 0; i < 2; i++) {
            bool served = strncmp(c[i].in, "echo", 4) == 0;
            cr_assert(served || c[i].told & (SIM_PEER_EOF | SIM_PEER_RESET), "client %d hangs", i);
            client_fini(&c[i]);
        }
        cr_assert_eq(r.b.fails > 0 && !fail_on && r.sides_len == 0, false);
    } else {
        cr_assert_eq(err.code, -ENOMEM);
    }
    bool failed = r.b.fails > 0;
    r.b.fail_at = 0;
    rig_fini();
    return failed;
}

Test(net_listener, memory_fails, .timeout = 600)
{
    for (int on = 0; on < 2; on++) {
        uint64_t n = 1;
        while (scene(n, on))
            n++;
        cr_assert_gt(n, 5); /* it did meet faults */
    }
}

static void no_events(hs_stream *s, hs_listener *listener, void *ctx)
{
    (void)s, (void)listener, (void)ctx;
}

Test(net_listener, a_user_sets_its_events, .signal = SIGABRT)
{
    client c;
    rig_init(NULL, 0);
    hs_tcp_options o = {.owner_bytes = 100, .accepted = no_events};
    hs_tcp *tcp;
    hs_listener *l;
    hs_addr addr;
    cr_assert(hs_ok(hs_tcp_create(r.b.shard, &o, &tcp)));
    cr_assert(hs_ok(hs_addr_parse(&addr, HS_SPAN("127.0.0.1:81"))));
    cr_assert(hs_ok(hs_listener_open(tcp, &addr, false, &l)));
    client_open(&c, &r.b, 81);
    bench_run(&r.b, 10);
}

Test(net_listener, nothing_may_be_open_at_the_end, .signal = SIGABRT)
{
    rig_init(NULL, 0);
    hs_tcp_destroy(r.tcp);
}
