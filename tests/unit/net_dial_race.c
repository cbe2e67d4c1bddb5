/* Happy eyeballs (RFC 8305): the order of the attempts, their pace, and what is waited for. */
#include "dial_rig.h"

/* Four addresses that never answer, unless a test says so. */
static const fake_row rows[] = {
    {"six_first", "2001:db8::1 2001:db8::2 2001:db8::3", 0, 5, AF_INET6},
    {"six_first", "192.0.2.1 192.0.2.2", 0, 10, AF_INET},
    {"four_first", "2001:db8::1", 0, 30, AF_INET6},
    {"four_first", "192.0.2.1", 0, 5, AF_INET},
    {"six_late", "2001:db8::1 2001:db8::2", 0, 200, AF_INET6},
    {"six_late", "192.0.2.1 192.0.2.2", 0, 5, AF_INET},
    {"six_none", NULL, HS_E_NAME_NONE, 20, AF_INET6},
    {"six_none", "192.0.2.1", 0, 5, AF_INET},
    {"six_fails", NULL, HS_E_NAME_FAILED, 500, AF_INET6},
    {"six_fails", "192.0.2.1", 0, 5, AF_INET},
    {"six_never", "2001:db8::1", 0, UINT32_MAX, AF_INET6},
    {"six_never", "192.0.2.1", 0, 5, AF_INET},
    {"four_never", "2001:db8::1", 0, 5, AF_INET6},
    {"four_never", "192.0.2.1", 0, UINT32_MAX, AF_INET},
    {"many", "2001:db8::1 2001:db8::2 2001:db8::3 2001:db8::4 2001:db8::5 2001:db8::6 2001:db8::7",
     0, 5, AF_INET6},
    {"many", "192.0.2.1", 0, 5, AF_INET},
    {NULL, NULL, 0, 0, 0},
};

static void silent_all(void)
{
    rig_init(rows, NULL, 0);
    char text[HS_ADDR_TEXT_BYTES];
    for (int i = 1; i <= 7; i++) {
        snprintf(text, sizeof text, "[2001:db8::%d]:0", i);
        reach(text, SIM_REACH_SILENT, 0);
    }
    reach("192.0.2.1:0", SIM_REACH_SILENT, 0);
    reach("192.0.2.2:0", SIM_REACH_SILENT, 0);
}

/* Dial a name of which no address answers, and see what is tried when. */
static void assert_tries(const char *host, const hs_dial_options *options, const char *tries)
{
    dialled d;
    hs_dial_options o = options ? *options : (hs_dial_options){0};
    o.connect_ms = 3000;
    silent_all();
    begin(&d, host, &o);
    bench_run(&r.b, 4000);
    cr_assert_str_eq(r.tried, tries, "%s: %s", host, r.tried);
    cr_assert_eq(d.err.code, -ETIMEDOUT);
    cr_assert_eq(d.phase, HS_DIAL_CONNECT);
    rig_fini();
}

Test(net_dial_race, families_take_turns_a_quarter_of_a_second_apart)
{
    assert_tries("six_first", NULL,
                 "[2001:db8::1]@5 192.0.2.1@255 [2001:db8::2]@505 192.0.2.2@755 "
                 "[2001:db8::3]@1005");
    assert_tries("six_first", &(hs_dial_options){.attempt_ms = 100},
                 "[2001:db8::1]@5 192.0.2.1@105 [2001:db8::2]@205 192.0.2.2@305 "
                 "[2001:db8::3]@405");
    /* Never less than 10 ms. */
    assert_tries("four_first", &(hs_dial_options){.attempt_ms = 1},
                 "[2001:db8::1]@30 192.0.2.1@40");
    assert_tries("six_first", &(hs_dial_options){.ipv4_first = true},
                 "192.0.2.1@10 [2001:db8::1]@260 192.0.2.2@510 [2001:db8::2]@760 "
                 "[2001:db8::3]@1010");
}

Test(net_dial_race, the_preferred_family_is_waited_for_a_little)
{
    assert_tries("four_first", NULL, "[2001:db8::1]@30 192.0.2.1@280");
    assert_tries("six_late", NULL,
                 "192.0.2.1@55 [2001:db8::1]@305 192.0.2.2@555 [2001:db8::2]@805");
    assert_tries("six_late", &(hs_dial_options){.resolution_ms = 10},
                 "192.0.2.1@15 [2001:db8::1]@265 192.0.2.2@515 [2001:db8::2]@765");
    assert_tries("six_none", NULL, "192.0.2.1@20");
    assert_tries("six_fails", NULL, "192.0.2.1@55");
    assert_tries("six_never", NULL, "192.0.2.1@55");
    assert_tries("four_never", NULL, "[2001:db8::1]@5");
    assert_tries("four_never", &(hs_dial_options){.ipv4_first = true}, "[2001:db8::1]@55");
}

Test(net_dial_race, one_family_alone)
{
    assert_tries("four_first", &(hs_dial_options){.family = AF_INET}, "192.0.2.1@5");
    assert_tries("four_first", &(hs_dial_options){.family = AF_INET6}, "[2001:db8::1]@30");
    assert_tries("four_first", &(hs_dial_options){.family = AF_INET, .ipv4_first = true},
                 "192.0.2.1@5");
}

Test(net_dial_race, the_next_begins_at_once_when_one_fails)
{
    dialled d;
    silent_all();
    reach("[2001:db8::1]:0", SIM_REACH_REFUSED, 7);
    reach("192.0.2.1:0", SIM_REACH_UNREACHABLE, 3);
    begin(&d, "six_first", &(hs_dial_options){.connect_ms = 900});
    bench_run(&r.b, 1000);
    /* The pace counts from the latest attempt. */
    cr_assert_str_eq(r.tried, "[2001:db8::1]@5 192.0.2.1@12 [2001:db8::2]@15 192.0.2.2@265 "
                              "[2001:db8::3]@515");
    cr_assert_eq(d.err.code, -ETIMEDOUT);
    rig_fini();
}

Test(net_dial_race, the_first_that_connects_wins)
{
    dialled d;
    silent_all();
    reach("192.0.2.1:0", SIM_REACH_OPEN, 400); /* slower than the next attempt */
    reach("[2001:db8::2]:0", SIM_REACH_OPEN, 50);
    begin(&d, "six_first", NULL);
    bench_run(&r.b, 5 + 500 + 45);
    cr_assert_eq(d.values, 0);
    cr_assert_eq(sim_world_fds(r.b.w), 3);
    bench_run(&r.b, 20);
    cr_assert_eq(d.values, 1);
    cr_assert_eq(r.tries, 3);
    /* The losers are closed, and nothing more is tried. */
    cr_assert_eq(sim_world_fds(r.b.w), 1);
    bench_run(&r.b, 2000);
    cr_assert_eq(r.tries, 3);
    cr_assert_eq(r.met, 1);
    let_go(&d);
    rig_fini();
}

/* The winner's completion and a loser's come in one turn. */
Test(net_dial_race, two_that_connect_at_the_same_time)
{
    dialled d;
    silent_all();
    reach("[2001:db8::1]:0", SIM_REACH_OPEN, 300);
    reach("192.0.2.1:0", SIM_REACH_OPEN, 50);
    begin(&d, "six_first", NULL);
    bench_run(&r.b, 1000);
    cr_assert_eq(d.values, 1);
    cr_assert_eq(sim_world_fds(r.b.w), 1);
    let_go(&d);
    rig_fini();
}

Test(net_dial_race, addresses_that_come_after_all_have_failed)
{
    dialled d;
    silent_all();
    reach("192.0.2.1:0", SIM_REACH_REFUSED, 2);
    reach("192.0.2.2:0", SIM_REACH_REFUSED, 2);
    reach("[2001:db8::1]:0", SIM_REACH_OPEN, 2);
    begin(&d, "six_late", NULL);
    bench_run(&r.b, 300);
    cr_assert_str_eq(r.tried, "192.0.2.1@55 192.0.2.2@57 [2001:db8::1]@200");
    let_go(&d);
    rig_fini();
    silent_all();
    reach("192.0.2.1:0", SIM_REACH_REFUSED, 2);
    begin(&d, "six_fails", NULL);
    bench_run(&r.b, 490);
    cr_assert_eq(d.errors, 0); /* the other family may still have one */
    bench_run(&r.b, 20);
    assert_failed(&d, -ECONNREFUSED, HS_DIAL_CONNECT, "192.0.2.1:80");
    rig_fini();
}

/* One family is refused, and the other's answer never comes: there is no sense in waiting for
 * connect_ms, nor in saying that the time was over. */
Test(net_dial_race, it_ends_when_nothing_can_connect_any_more)
{
    static const char *const hosts[] = {"four_never", "six_never"};
    static const char *const addrs[] = {"[2001:db8::1]:0", "192.0.2.1:0"};
    static const char *const failed[] = {"[2001:db8::1]:80", "192.0.2.1:80"};
    static const struct {
        uint32_t resolve_ms, connect_ms, ends_ms;
    } cases[] = {{0, 0, 5000}, {300, 0, 300}, {300, 50, 110}};
    for (size_t i = 0; i < 2 * HS_ARRAY_LEN(cases); i++) {
        dialled d;
        hs_dial_options o = {.resolve_ms = cases[i / 2].resolve_ms,
                             .connect_ms = cases[i / 2].connect_ms};
        silent_all();
        reach(addrs[i % 2], SIM_REACH_REFUSED, 2);
        begin(&d, hosts[i % 2], &o);
        bench_run(&r.b, cases[i / 2].ends_ms - 60);
        cr_assert_eq(d.errors, 0);
        bench_run(&r.b, 70);
        assert_failed(&d, -ECONNREFUSED, HS_DIAL_CONNECT, failed[i % 2]);
        cr_assert_eq(r.dns.active, 0);
        rig_fini();
    }
}

/* What is being tried when the names' time is over goes on. */
Test(net_dial_race, the_end_of_the_lookup_ends_no_attempt)
{
    dialled d;
    silent_all();
    reach("[2001:db8::1]:0", SIM_REACH_OPEN, 700);
    begin(&d, "four_never", &(hs_dial_options){.resolve_ms = 300});
    bench_run(&r.b, 800);
    cr_assert_eq(d.errors, 0);
    let_go(&d);
    rig_fini();
}

Test(net_dial_race, in_time_what_was_found_is_tried)
{
    dialled d;
    silent_all();
    begin(&d, "six_never", &(hs_dial_options){.resolve_ms = 20, .connect_ms = 100});
    bench_run(&r.b, 300);
    cr_assert_str_eq(r.tried, "192.0.2.1@20");
    cr_assert_eq(d.err.code, -ETIMEDOUT);
    rig_fini();
}

Test(net_dial_race, of_several_errors_the_one_that_tells_most)
{
    dialled d;
    silent_all();
    reach("[2001:db8::1]:0", SIM_REACH_UNREACHABLE, 0);
    reach("[2001:db8::2]:0", SIM_REACH_UNREACHABLE, 0);
    reach("[2001:db8::3]:0", SIM_REACH_UNREACHABLE, 0);
    reach("192.0.2.1:0", SIM_REACH_REFUSED, 0);
    reach("192.0.2.2:0", SIM_REACH_REFUSED, 0);
    begin(&d, "six_first", NULL);
    bench_run(&r.b, 100);
    assert_failed(&d, -ECONNREFUSED, HS_DIAL_CONNECT, "192.0.2.1:80");
    cr_assert_eq(d.tried, 5);
    rig_fini();
}

Test(net_dial_race, every_address_has_its_attempt)
{
    dialled d;
    silent_all();
    reach("[2001:db8::7]:0", SIM_REACH_OPEN, 5);
    begin(&d, "many", NULL);
    bench_run(&r.b, 3000);
    cr_assert_eq(d.values, 1);
    cr_assert_eq(r.tries, 8);
    let_go(&d);
    rig_fini();
}

Test(net_dial_race, a_listener_of_ours_with_a_full_backlog_is_waited_for)
{
    /* What a shard that is stuck looks like from outside. */
    dialled d;
    struct sockaddr_in any = {.sin_family = AF_INET, .sin_port = htons(81)};
    rig_init(rows, NULL, 0);
    hs_io *io = hs_shard_io(r.b.shard);
    int fd = hs_io_listen(io, (struct sockaddr *)&any, sizeof any, 1, false);
    cr_assert_geq(fd, 0);
    sim_peer *peers[3];
    for (int i = 0; i < 3; i++)
        peers[i] = sim_peer_connect(r.b.w, 81, true, on_peer, NULL);
    bench_run(&r.b, 10);
    hs_addr a;
    cr_assert(hs_ok(hs_addr_parse(&a, HS_SPAN("192.0.2.1:81"))));
    memset(&d, 0, sizeof d);
    await_dial(&d, hs_dial_addr(r.tcp, &a, &(hs_dial_options){.connect_ms = 500}));
    bench_run(&r.b, 600);
    assert_failed(&d, -ETIMEDOUT, HS_DIAL_CONNECT, "192.0.2.1:81");
    hs_io_close(io, fd);
    bench_run(&r.b, 10);
    for (int i = 0; i < 3; i++)
        (void)peers[i];
    r.peer = NULL;
    rig_fini();
}
