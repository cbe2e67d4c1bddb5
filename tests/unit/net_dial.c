/* Dialling on the simulated backend: what a dial comes to, how its stream is handed over, and that
 * nothing is left at any end. The race of the addresses is in net_dial_race.c. */
#include "dial_rig.h"

static const fake_row rows[] = {
    {"both", "2001:db8::1", 0, 20, AF_INET6},
    {"both", "192.0.2.1", 0, 10, AF_INET},
    {"none", NULL, HS_E_NAME_NONE, 5, AF_INET6},
    {"none", NULL, HS_E_NAME_NONE, 5, AF_INET},
    {"fails", NULL, HS_E_NAME_NONE, 5, AF_INET6},
    {"fails", NULL, HS_E_NAME_FAILED, 5, AF_INET},
    {"never", NULL, 0, UINT32_MAX, AF_INET6},
    {"never", NULL, 0, UINT32_MAX, AF_INET},
    {NULL, NULL, 0, 0, 0},
};

/* ---- the stream ---- */

Test(net_dial, a_stream_hears_nothing_until_it_is_resumed)
{
    dialled d;
    rig_init(NULL, NULL, 0);
    begin(&d, "192.0.2.1", NULL);
    cr_assert_eq(d.values, 0);
    bench_run(&r.b, 10);
    cr_assert_eq(d.values, 1);
    cr_assert_eq(r.met, 1);
    cr_assert_eq(hs_tcp_conns(r.tcp), 1);
    cr_assert_eq(bench_count(&r.b, "tcp_dialled"), 1);
    cr_assert_eq(sim_peer_write(r.peer, "hello", 5), 5);
    bench_run(&r.b, 100);
    cr_assert_eq(d.in_len, 0);
    /* It may write before it hears. */
    cr_assert(hs_ok(hs_stream_write(d.s, HS_SPAN("question"))));
    bench_run(&r.b, 10);
    cr_assert_eq(sim_peer_unread(r.peer), 8);
    take(&d);
    bench_run(&r.b, 10);
    cr_assert_eq(d.in_len, 5);
    sim_peer_finish(r.peer);
    bench_run(&r.b, 10);
    cr_assert_eq(d.ends, 1);
    hs_stream_close(d.s);
    bench_run(&r.b, 10);
    cr_assert_eq(d.closes, 1);
    cr_assert(hs_ok(d.why));
    rig_fini();
}

Test(net_dial, a_stream_is_ended_before_it_hears)
{
    dialled d[2];
    rig_init(NULL, NULL, 0);
    for (int i = 0; i < 2; i++) {
        begin(&d[i], "192.0.2.1", NULL);
        bench_run(&r.b, 10);
        if (i)
            hs_stream_abort(d[i].s);
        else
            hs_stream_close(d[i].s);
        bench_run(&r.b, HS_LINGER_MS + 100);
        cr_assert_eq(hs_tcp_conns(r.tcp), 0);
        cr_assert_eq(d[i].closes, 0); /* its events were never set */
        cr_assert_eq((int)r.met_ended, i + 1);
    }
    rig_fini();
}

Test(net_dial, a_stream_that_nobody_receives_is_aborted)
{
    rig_init(NULL, NULL, 0);
    hs_promise_drop(hs_dial(r.tcp, HS_SPAN("192.0.2.1"), PORT, NULL));
    bench_run(&r.b, 100);
    cr_assert_eq(r.met, 1);
    cr_assert_eq(r.met_ended, 1);
    cr_assert_eq(hs_tcp_conns(r.tcp), 0);
    rig_fini();
}

Test(net_dial, a_peer_that_is_gone_is_told_when_it_is_listened_to)
{
    dialled d;
    rig_init(NULL, NULL, 0);
    begin(&d, "192.0.2.1", NULL);
    bench_run(&r.b, 10);
    sim_peer_close(r.peer, true);
    r.peer = NULL;
    bench_run(&r.b, 100);
    cr_assert_eq(d.closes, 0);
    take(&d);
    bench_run(&r.b, 10);
    cr_assert_eq(d.closes, 1);
    cr_assert_eq(d.why.code, -ECONNRESET);
    rig_fini();
}

/* ---- what a dial comes to ---- */

Test(net_dial, names_and_addresses)
{
    static const struct {
        const char *host, *tried;
    } cases[] = {
        {"192.0.2.1", "192.0.2.1@0"},
        {"[2001:db8::1]", "[2001:db8::1]@0"},
        {"2001:db8::1", "[2001:db8::1]@0"},
        {"both", "[2001:db8::1]@20"},
    };
    rig_init(rows, NULL, 0);
    for (size_t i = 0; i < HS_ARRAY_LEN(cases); i++) {
        dialled d;
        begin(&d, cases[i].host, NULL);
        bench_run(&r.b, 100);
        cr_assert_str_eq(r.tried, cases[i].tried);
        let_go(&d);
    }
    cr_assert_eq(r.dns.starts, 1);
    rig_fini();
}

Test(net_dial, errors_of_names)
{
    dialled d;
    rig_init(rows, NULL, 0);
    begin(&d, "none", NULL);
    bench_run(&r.b, 10);
    assert_failed(&d, HS_E_NAME_NONE, HS_DIAL_RESOLVE, "");
    cr_assert_eq(d.tried, 0);
    begin(&d, "fails", NULL);
    bench_run(&r.b, 10);
    assert_failed(&d, HS_E_NAME_FAILED, HS_DIAL_RESOLVE, "");
    begin(&d, "never", &(hs_dial_options){.resolve_ms = 300});
    bench_run(&r.b, 290);
    cr_assert_eq(d.errors, 0);
    bench_run(&r.b, 20);
    assert_failed(&d, HS_E_NAME_TIMEOUT, HS_DIAL_RESOLVE, "");
    cr_assert_eq(r.dns.active, 0);
    r.dns.start_err = hs_err_of(HS_E_LIMIT);
    begin(&d, "both", NULL);
    bench_run(&r.b, 10);
    assert_failed(&d, HS_E_LIMIT, HS_DIAL_RESOLVE, "");
    rig_fini();
}

Test(net_dial, errors_of_connecting)
{
    dialled d;
    rig_init(rows, NULL, 0);
    reach("192.0.2.1:0", SIM_REACH_REFUSED, 5);
    reach("192.0.2.2:0", SIM_REACH_UNREACHABLE, 5);
    reach("192.0.2.3:0", SIM_REACH_SILENT, 0);
    begin(&d, "192.0.2.1", NULL);
    bench_run(&r.b, 10);
    assert_failed(&d, -ECONNREFUSED, HS_DIAL_CONNECT, "192.0.2.1:80");
    cr_assert_eq(d.tried, 1);
    begin(&d, "192.0.2.2", NULL);
    bench_run(&r.b, 10);
    cr_assert_eq(d.errors, 1);
    cr_assert(d.err.code == -ENETUNREACH || d.err.code == -EHOSTUNREACH);
    begin(&d, "192.0.2.3", &(hs_dial_options){.connect_ms = 700});
    bench_run(&r.b, 690);
    cr_assert_eq(d.errors, 0);
    bench_run(&r.b, 20);
    assert_failed(&d, -ETIMEDOUT, HS_DIAL_CONNECT, "192.0.2.3:80");
    cr_assert_eq(sim_world_fds(r.b.w), 0);
    rig_fini();
}

Test(net_dial, errors_of_options)
{
    dialled d;
    hs_addr v4, v6;
    cr_assert(hs_ok(hs_addr_parse(&v4, HS_SPAN("192.0.2.9:0"))));
    cr_assert(hs_ok(hs_addr_parse(&v6, HS_SPAN("[2001:db8::9]:0"))));
    rig_init(rows, NULL, 0);
    begin(&d, "both", &(hs_dial_options){.family = AF_INET, .local = &v6});
    bench_run(&r.b, 10);
    assert_failed(&d, HS_E_USAGE, HS_DIAL_RESOLVE, "");
    begin(&d, "192.0.2.1", &(hs_dial_options){.local = &v6});
    bench_run(&r.b, 10);
    assert_failed(&d, HS_E_USAGE, HS_DIAL_RESOLVE, "");
    begin(&d, "192.0.2.1", &(hs_dial_options){.family = AF_INET6});
    bench_run(&r.b, 10);
    assert_failed(&d, HS_E_NAME_NONE, HS_DIAL_RESOLVE, "");
    /* The local address decides the family. */
    begin(&d, "both", &(hs_dial_options){.local = &v4});
    bench_run(&r.b, 100);
    cr_assert_str_eq(r.tried, "192.0.2.1@10");
    let_go(&d);
    rig_fini();
}

Test(net_dial, without_a_slot_or_a_file)
{
    dialled d[2];
    rig_init(rows, NULL, 1);
    begin(&d[0], "192.0.2.1", NULL);
    bench_run(&r.b, 10);
    begin(&d[1], "192.0.2.1", NULL);
    bench_run(&r.b, 10);
    assert_failed(&d[1], HS_E_LIMIT, HS_DIAL_CONNECT, "192.0.2.1:80");
    cr_assert_eq(sim_world_fds(r.b.w), 1);
    let_go(&d[0]);
    rig_fini();
    sim_faults few;
    sim_faults_none(&few);
    few.fds_max = 1;
    rig_init(rows, &few, 0);
    begin(&d[0], "192.0.2.1", NULL);
    bench_run(&r.b, 10);
    begin(&d[1], "192.0.2.1", NULL);
    bench_run(&r.b, 10);
    assert_failed(&d[1], -EMFILE, HS_DIAL_CONNECT, "192.0.2.1:80");
    let_go(&d[0]);
    rig_fini();
}

Test(net_dial, one_address_as_it_is)
{
    dialled d = {0};
    hs_addr a;
    rig_init(NULL, NULL, 0);
    cr_assert(hs_ok(hs_addr_parse(&a, HS_SPAN("192.0.2.1:81"))));
    await_dial(&d, hs_dial_addr(r.tcp, &a, NULL));
    bench_run(&r.b, 10);
    assert_failed(&d, -ECONNREFUSED, HS_DIAL_CONNECT, "192.0.2.1:81");
    memset(&d, 0, sizeof d);
    hs_addr_set_port(&a, PORT);
    await_dial(&d, hs_dial_addr(r.tcp, &a, NULL));
    bench_run(&r.b, 10);
    let_go(&d);
    rig_fini();
}

/* ---- which addresses are allowed ---- */

static hs_err only_v4(const hs_addr *addr)
{
    return hs_err_of(addr->sa.any.sa_family == AF_INET ? 0 : HS_E_USAGE);
}

static hs_err none_at_all(const hs_addr *addr)
{
    (void)addr;
    return hs_err_of(-EACCES);
}

Test(net_dial, what_is_not_allowed_is_not_connected_to)
{
    dialled d;
    rig_init(rows, NULL, 0);
    r.allow = only_v4;
    begin(&d, "both", NULL);
    bench_run(&r.b, 100);
    cr_assert_str_eq(r.tried, "[2001:db8::1]@20 192.0.2.1@20");
    let_go(&d);
    r.allow = none_at_all;
    begin(&d, "both", NULL);
    bench_run(&r.b, 100);
    assert_failed(&d, -EACCES, HS_DIAL_ALLOW, "[2001:db8::1]:80");
    cr_assert_eq(d.tried, 2);
    begin(&d, "192.0.2.1", NULL); /* nor is an address in numbers */
    bench_run(&r.b, 100);
    assert_failed(&d, -EACCES, HS_DIAL_ALLOW, "192.0.2.1:80");
    cr_assert_eq(r.met, 1);
    /* What a host said tells more. */
    reach("192.0.2.1:0", SIM_REACH_REFUSED, 5);
    r.allow = only_v4;
    begin(&d, "both", NULL);
    bench_run(&r.b, 100);
    assert_failed(&d, -ECONNREFUSED, HS_DIAL_CONNECT, "192.0.2.1:80");
    rig_fini();
}

static hs_cancel *cancel;

static hs_err cancel_it(const hs_addr *addr)
{
    (void)addr;
    hs_cancel_fire(cancel, hs_err_of(HS_E_CLOSED));
    return HS_OK;
}

Test(net_dial, cancel_from_inside_allow)
{
    static const char *const hosts[] = {"both", "192.0.2.1"};
    for (size_t i = 0; i < HS_ARRAY_LEN(hosts); i++) {
        dialled d;
        rig_init(rows, NULL, 0);
        cancel = hs_cancel_create(r.b.shard);
        r.allow = cancel_it;
        begin(&d, hosts[i], &(hs_dial_options){.cancel = cancel});
        bench_run(&r.b, 100);
        cr_assert_eq(r.tries, 1);
        cr_assert_eq(d.err.code, HS_E_CLOSED);
        cr_assert_eq(r.met, 0);
        hs_cancel_unref(cancel);
        rig_fini();
    }
}

/* ---- cancel at every step ---- */

/* IPv6 never answers; IPv4 is found at 10, tried at 270 (250 after the attempt at 20), and there at
 * 300. */
static void cancel_after(uint64_t ms, const sim_faults *faults)
{
    dialled d;
    rig_init(rows, faults, 0);
    reach("[2001:db8::1]:0", SIM_REACH_SILENT, 0);
    reach("192.0.2.1:0", SIM_REACH_OPEN, 30);
    cancel = hs_cancel_create(r.b.shard);
    begin(&d, "both", &(hs_dial_options){.cancel = cancel});
    if (ms > 0)
        bench_run(&r.b, ms);
    uint32_t values = d.values;
    hs_cancel_fire(cancel, hs_err_of(-ECANCELED));
    bench_run(&r.b, 50);
    cr_assert_eq(d.values, values); /* nothing connects after it */
    cr_assert_eq(d.values + d.errors, 1);
    if (d.values)
        let_go(&d);
    else
        cr_assert_eq(d.err.code, -ECANCELED);
    hs_cancel_unref(cancel);
    rig_fini();
}

Test(net_dial, cancel_at_every_step)
{
    for (uint64_t ms = 0; ms < 320; ms += ms < 40 || ms > 260 ? 3 : 20)
        cancel_after(ms, NULL);
}

Test(net_dial, cancels_that_come_late_and_change_nothing)
{
    sim_faults f;
    sim_faults_none(&f);
    f.cancel_late = 1024;
    f.cancel_natural = 1024;
    f.late_us_max = 20000;
    for (uint64_t ms = 255; ms < 320; ms += 3)
        cancel_after(ms, &f);
}

Test(net_dial, a_token_that_has_fired_starts_nothing)
{
    dialled d;
    rig_init(rows, NULL, 0);
    cancel = hs_cancel_create(r.b.shard);
    hs_cancel_fire(cancel, hs_err_of(-ECANCELED));
    begin(&d, "both", &(hs_dial_options){.cancel = cancel});
    bench_run(&r.b, 10);
    assert_failed(&d, -ECANCELED, HS_DIAL_RESOLVE, "");
    cr_assert_eq(r.dns.starts, 0);
    hs_cancel_unref(cancel);
    rig_fini();
}

/* ---- memory ---- */

Test(net_dial, each_piece_of_memory_fails_once)
{
    uint32_t whole = 0;
    for (uint64_t i = 1; whole < 2; i++) {
        dialled d;
        rig_init(rows, NULL, 0);
        reach("[2001:db8::1]:0", SIM_REACH_REFUSED, 0);
        r.b.fail_at = r.b.takes + i;
        begin(&d, "both", NULL);
        bench_run(&r.b, 500);
        whole += r.b.fails == 0;
        r.b.fail_at = 0;
        cr_assert_leq(d.values + d.errors, 1);
        if (d.errors)
            cr_assert(d.err.code == -ENOMEM || d.err.code == HS_E_LIMIT ||
                      (d.err.code == -ECONNREFUSED));
        if (d.values)
            let_go(&d);
        rig_fini();
        cr_assert_lt(i, 60);
    }
}

/* ---- whatever goes wrong ---- */

Test(net_dial, under_faults_every_dial_ends_and_nothing_is_left)
{
    uint32_t values = 0, errors = 0;
    for (uint64_t seed = 1; seed <= 300; seed++) {
        sim_faults f;
        sim_faults_draw(&f, seed);
        dialled d[4];
        rig_init(rows, &f, 0);
        hs_cancel *tokens[4];
        for (int i = 0; i < 4; i++) {
            tokens[i] = hs_cancel_after(r.b.shard, seed * 7 % 900 + (uint64_t)i * 50);
            begin(&d[i], "both", &(hs_dial_options){.cancel = tokens[i], .connect_ms = 2000});
        }
        bench_run(&r.b, 20000);
        for (int i = 0; i < 4; i++) {
            cr_assert_eq(d[i].values + d[i].errors, 1);
            values += d[i].values;
            errors += d[i].errors;
            if (d[i].values)
                hs_stream_abort(d[i].s);
            hs_cancel_unref(tokens[i]);
        }
        rig_fini();
    }
    cr_assert_gt(values, 100, "%u", values);
    cr_assert_gt(errors, 30, "%u", errors);
}
