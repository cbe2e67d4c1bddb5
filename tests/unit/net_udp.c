/* Datagram sockets on the system's: what goes where, options, errors that the network tells, ends.
 * Batches and segments are in net_udp_send.c, receiving much in net_udp_recv.c. */
#include "udp_rig.h"

static void reply(end *e)
{
    const heard *h = &e->heard[e->heard_len - 1];
    cr_assert(hs_ok(hs_udp_send(e->s, &h->from, HS_SPAN("reply"))));
}

static void both_ways(real *r, const char *text)
{
    udp_begin(r);
    end_bind(&ends[0], text);
    end_bind(&ends[1], text);
    cr_assert_neq(hs_addr_port(hs_udp_addr(ends[0].s)), 0);
    cr_assert_eq(hs_udp_shard(ends[0].s), r->shard);
    ends[0].on_in = reply;
    say(&ends[1], &ends[0], "hello");
    REAL_UNTIL(r, ends[1].heard_len == 1);
    cr_assert_eq(ends[0].heard_len, 1);
    const heard *h = &ends[0].heard[0];
    cr_assert(h->len == 5 && h->first == 'h' && h->last == 'o');
    cr_assert(hs_addr_eq(&h->from, hs_udp_addr(ends[1].s)));
    cr_assert(!h->has_to && !h->truncated && h->tos == 0 && h->ifindex == 0);
    cr_assert(hs_addr_eq(&ends[1].heard[0].from, hs_udp_addr(ends[0].s)));
    cr_assert_eq(udp_count(r, "udp_in"), 2);
    cr_assert_eq(udp_count(r, "udp_out"), 2);
    cr_assert_eq(udp_count(r, "udp_bytes_in"), 10);
    cr_assert_eq(udp_count(r, "udp_bytes_out"), 10);
    udp_finish(r);
    cr_assert(hs_ok(ends[0].why) && ends[0].closes == 1);
}

REAL_TEST(net_udp, ipv4_goes_both_ways)
{
    both_ways(r, "127.0.0.1:0");
}

REAL_TEST(net_udp, ipv6_goes_both_ways)
{
    hs_addr addr = at("[::1]:0");
    if (!hs_ok(hs_udp_check(&addr)))
        return; /* none here */
    both_ways(r, "[::1]:0");
}

REAL_TEST(net_udp, a_connected_socket_hears_its_peer_alone)
{
    udp_begin(r);
    end_bind(&ends[0], "127.0.0.1:0");
    end_bind(&ends[1], "127.0.0.1:0");
    end_connect(&ends[2], &ends[0]);
    ends[0].on_in = reply;
    say(&ends[2], NULL, "first"); /* it waits for the connect */
    cr_assert_eq(hs_udp_unsent(ends[2].s), 5);
    REAL_UNTIL(r, ends[2].heard_len == 1);
    cr_assert_eq(hs_udp_unsent(ends[2].s), 0);
    cr_assert(hs_addr_eq(&ends[0].heard[0].from, hs_udp_addr(ends[2].s)));
    say(&ends[1], &ends[2], "a stranger");
    real_idle(r, 5);
    say(&ends[2], NULL, "second");
    REAL_UNTIL(r, ends[2].heard_len == 2);
    cr_assert(hs_addr_eq(&ends[2].heard[1].from, hs_udp_addr(ends[0].s)));
    udp_finish(r);
}

REAL_TEST(net_udp, empty_and_largest)
{
    udp_begin(r);
    end_bind(&ends[0], "127.0.0.1:0");
    end_bind(&ends[1], "127.0.0.1:0");
    const hs_addr *to = hs_udp_addr(ends[0].s);
    say(&ends[1], &ends[0], "");
    cr_assert(hs_ok(say_bytes(&ends[1], to, 'x', 65507)));
    cr_assert_eq(say_bytes(&ends[1], to, 'x', 65508).code, -EMSGSIZE);
    say(&ends[1], &ends[0], "");
    REAL_UNTIL(r, ends[0].heard_len == 3);
    cr_assert_eq(ends[0].heard[0].len, 0);
    cr_assert_eq(ends[0].heard[1].len, 65507);
    cr_assert(ends[0].heard[1].uniform && !ends[0].heard[1].truncated);
    cr_assert_eq(ends[0].heard[2].len, 0);
    udp_finish(r);
}

/* ---- options ---- */

static int option(const end *e, int level, int name)
{
    int value = -1;
    socklen_t len = sizeof value;
    cr_assert_eq(getsockopt(e->s->fd, level, name, &value, &len), 0);
    return value;
}

REAL_TEST(net_udp, options_reach_the_socket)
{
    hs_addr v4 = at("127.0.0.1:0"), v6 = at("[::1]:0");
    hs_udp_options o = {.bind = &v4,
                        .ttl = 9,
                        .multicast_ttl = 7,
                        .multicast_loop_off = true,
                        .tos = 0x28,
                        .broadcast = true,
                        .reuse_port = true,
                        .reuse_addr = true,
                        .dont_fragment = true,
                        .recv_bytes = 20000,
                        .send_bytes = 30000};
    udp_begin(r);
    end_open(&ends[0], o);
    const end *e = &ends[0];
    cr_assert_eq(option(e, IPPROTO_IP, IP_TTL), 9);
    cr_assert_eq(option(e, IPPROTO_IP, IP_MULTICAST_TTL), 7);
    cr_assert_eq(option(e, IPPROTO_IP, IP_MULTICAST_LOOP), 0);
    cr_assert_eq(option(e, IPPROTO_IP, IP_TOS), 0x28);
    cr_assert_eq(option(e, IPPROTO_IP, IP_MTU_DISCOVER), IP_PMTUDISC_DO);
    cr_assert_eq(option(e, SOL_SOCKET, SO_BROADCAST), 1);
    cr_assert_eq(option(e, SOL_SOCKET, SO_REUSEPORT), 1);
    cr_assert_eq(option(e, SOL_SOCKET, SO_REUSEADDR), 1);
    cr_assert_eq(option(e, SOL_SOCKET, SO_RCVBUF), 40000); /* socket(7): the system doubles it */
    cr_assert_eq(option(e, SOL_SOCKET, SO_SNDBUF), 60000);
    end_open(&ends[1], (hs_udp_options){.bind = &v4});
    cr_assert_eq(option(&ends[1], SOL_SOCKET, SO_REUSEPORT), 0);
    cr_assert_eq(option(&ends[1], SOL_SOCKET, SO_REUSEADDR), 0);
    cr_assert_eq(option(&ends[1], IPPROTO_IP, IP_MULTICAST_LOOP), 1);
    if (hs_ok(hs_udp_check(&v6))) {
        o.bind = &v6;
        hs_addr_set_port(&v6, 0);
        end_open(&ends[2], o);
        cr_assert_eq(option(&ends[2], IPPROTO_IPV6, IPV6_UNICAST_HOPS), 9);
        cr_assert_eq(option(&ends[2], IPPROTO_IPV6, IPV6_MULTICAST_HOPS), 7);
        cr_assert_eq(option(&ends[2], IPPROTO_IPV6, IPV6_MULTICAST_LOOP), 0);
        cr_assert_eq(option(&ends[2], IPPROTO_IPV6, IPV6_TCLASS), 0x28);
        cr_assert_eq(option(&ends[2], IPPROTO_IPV6, IPV6_MTU_DISCOVER), IPV6_PMTUDISC_DO);
        cr_assert_eq(option(&ends[2], IPPROTO_IPV6, IPV6_V6ONLY), 1);
    }
    udp_finish(r);
}

REAL_TEST(net_udp, what_makes_no_socket)
{
    hs_addr v4 = at("127.0.0.1:0"), v6 = at("[::1]:1"), other = at("192.0.2.1:0");
    hs_addr path = at("unix:@hs-udp-none");
    udp_begin(r);
    end *e = &ends[0];
    cr_assert_eq(end_open_err(e, (hs_udp_options){0}).code, HS_E_USAGE);
    cr_assert_eq(end_open_err(e, (hs_udp_options){.bind = &v4, .connect = &v6}).code, HS_E_USAGE);
    cr_assert_eq(end_open_err(e, (hs_udp_options){.bind = &other}).code, -EADDRNOTAVAIL);
    cr_assert_eq(end_open_err(e, (hs_udp_options){.bind = &path, .multicast_ttl = 1}).code,
                 HS_E_USAGE);
    end_bind(&ends[1], "127.0.0.1:0");
    cr_assert_eq(end_open_err(e, (hs_udp_options){.bind = hs_udp_addr(ends[1].s)}).code,
                 -EADDRINUSE);
    cr_assert_null(e->s);
    udp_finish(r);
}

REAL_TEST(net_udp, what_cannot_be_sent)
{
    hs_addr v4 = at("127.0.0.1:9"), v6 = at("[::1]:9");
    udp_begin(r);
    end_bind(&ends[0], "127.0.0.1:0");
    hs_udp_sock *s = ends[0].s;
    cr_assert_eq(hs_udp_send(s, NULL, HS_SPAN("x")).code, HS_E_USAGE);
    cr_assert_eq(hs_udp_send(s, &v6, HS_SPAN("x")).code, HS_E_USAGE);
    hs_udp_out out = {.data = HS_SPAN("x"), .to = &v4, .from = &v6};
    cr_assert_eq(hs_udp_send_out(s, &out).code, HS_E_USAGE);
    out = (hs_udp_out){.data = HS_SPAN("x"), .to = &v4, .ecn = 4};
    cr_assert_eq(hs_udp_send_out(s, &out).code, HS_E_USAGE);
    out = (hs_udp_out){.to = &v4, .borrowed = true};
    cr_assert_eq(hs_udp_send_out(s, &out).code, HS_E_USAGE);
    hs_udp_close(s);
    cr_assert_eq(hs_udp_send(s, &v4, HS_SPAN("x")).code, HS_E_CLOSED);
    hs_udp_close(s);
    udp_finish(r);
    cr_assert_eq(ends[0].closes, 1);
}

REAL_TEST(net_udp, several_sockets_on_one_port)
{
    hs_addr addr = at("127.0.0.1:0"), taken;
    udp_begin(r);
    cr_assert(hs_ok(hs_udp_check(&addr)));
    cr_assert_neq(hs_addr_port(&addr), 0);
    for (int i = 0; i < 3; i++)
        end_open(&ends[i], (hs_udp_options){.bind = &addr, .reuse_port = true});
    taken = addr;
    cr_assert_eq(hs_udp_check(&taken).code, -EADDRINUSE);
    hs_addr path = at("unix:@x");
    cr_assert_eq(hs_udp_check(&path).code, HS_E_USAGE);
    for (uint32_t n = 1; n <= 60; n++) { /* from as many ports */
        end_bind(&ends[3], "127.0.0.1:0");
        say(&ends[3], &ends[0], "x");
        REAL_UNTIL(r, ends[0].heard_len + ends[1].heard_len + ends[2].heard_len == n);
        hs_udp_close(ends[3].s);
        REAL_UNTIL(r, !ends[3].s);
    }
    for (int i = 0; i < 3; i++)
        cr_assert_gt(ends[i].heard_len, 0);
    udp_finish(r);
}

/* ---- addresses of this machine ---- */

REAL_TEST(net_udp, where_it_was_sent_and_from_where_to_answer)
{
    hs_addr any = at("0.0.0.0:0"), one = at("127.0.0.2:0"), two = at("127.0.0.3:0");
    udp_begin(r);
    end_open(&ends[0], (hs_udp_options){.bind = &any, .want_local = true, .want_tos = true});
    end_bind(&ends[1], "127.0.0.1:0");
    uint16_t port = hs_addr_port(hs_udp_addr(ends[0].s));
    hs_addr_set_port(&one, port);
    hs_addr_set_port(&two, port);
    hs_udp_out out = {.data = HS_SPAN("one"), .to = &one, .ecn = 2};
    cr_assert(hs_ok(hs_udp_send_out(ends[1].s, &out)));
    out = (hs_udp_out){.data = HS_SPAN("two"), .to = &two, .ecn = 3};
    cr_assert(hs_ok(hs_udp_send_out(ends[1].s, &out)));
    REAL_UNTIL(r, ends[0].heard_len == 2);
    const heard *h = ends[0].heard;
    cr_assert(h[0].has_to && hs_addr_eq(&h[0].to, &one));
    cr_assert(h[1].has_to && hs_addr_eq(&h[1].to, &two));
    cr_assert(h[0].tos == 2 && h[1].tos == 3);
    cr_assert_neq(h[0].ifindex, 0);
    for (int i = 0; i < 2; i++) {
        out = (hs_udp_out){.data = HS_SPAN("answer"), .to = &h[i].from, .from = &h[i].to};
        cr_assert(hs_ok(hs_udp_send_out(ends[0].s, &out)));
    }
    REAL_UNTIL(r, ends[1].heard_len == 2);
    cr_assert(hs_addr_eq(&ends[1].heard[0].from, &one));
    cr_assert(hs_addr_eq(&ends[1].heard[1].from, &two));
    udp_finish(r);
}

REAL_TEST(net_udp, the_same_of_ipv6)
{
    hs_addr any = at("[::]:0"), to = at("[::1]:0");
    if (!hs_ok(hs_udp_check(&to)))
        return;
    udp_begin(r);
    end_open(&ends[0], (hs_udp_options){.bind = &any, .want_local = true, .want_tos = true});
    end_open(&ends[1], (hs_udp_options){.bind = &(hs_addr){.sa = to.sa, .len = to.len}, .tos = 0});
    hs_addr_set_port(&to, hs_addr_port(hs_udp_addr(ends[0].s)));
    hs_udp_out out = {.data = HS_SPAN("x"), .to = &to, .ecn = 1};
    cr_assert(hs_ok(hs_udp_send_out(ends[1].s, &out)));
    REAL_UNTIL(r, ends[0].heard_len == 1);
    const heard *h = ends[0].heard;
    cr_assert(h->has_to && hs_addr_eq(&h->to, &to) && h->tos == 1 && h->ifindex != 0);
    out = (hs_udp_out){.data = HS_SPAN("answer"), .to = &h->from, .from = &h->to};
    cr_assert(hs_ok(hs_udp_send_out(ends[0].s, &out)));
    REAL_UNTIL(r, ends[1].heard_len == 1);
    cr_assert(hs_addr_eq(&ends[1].heard[0].from, &to));
    udp_finish(r);
}

/* ---- groups ---- */

REAL_TEST(net_udp, groups_are_joined_and_left)
{
    hs_addr group = at("239.255.71.13:0"), any = at("0.0.0.0:0"), v6 = at("[ff02::1]:0");
    uint32_t lo = 1; /* the loopback's number on any Linux */
    udp_begin(r);
    end_open(&ends[0], (hs_udp_options){.bind = &any});
    end_open(&ends[1], (hs_udp_options){.bind = &any, .multicast_ifindex = lo});
    hs_udp_sock *s = ends[0].s;
    cr_assert_eq(hs_udp_join(s, &v6, lo).code, HS_E_USAGE);
    cr_assert_eq(hs_udp_leave(s, &group, lo).code, -EADDRNOTAVAIL);
    cr_assert(hs_ok(hs_udp_join(s, &group, lo)));
    cr_assert_eq(hs_udp_join(s, &group, lo).code, -EADDRINUSE);
    hs_addr_set_port(&group, hs_addr_port(hs_udp_addr(s)));
    cr_assert(hs_ok(hs_udp_send(ends[1].s, &group, HS_SPAN("to all"))));
    REAL_UNTIL(r, ends[0].heard_len + ends[1].errors > 0);
    cr_assert_eq(ends[0].heard_len, 1);
    cr_assert(hs_ok(hs_udp_leave(s, &group, lo)));
    cr_assert(hs_ok(hs_udp_send(ends[1].s, &group, HS_SPAN("to none"))));
    udp_finish(r);
}

REAL_TEST(net_udp, broadcast_has_to_be_allowed)
{
    hs_addr any = at("0.0.0.0:0"), all = at("127.255.255.255:0");
    udp_begin(r);
    end_open(&ends[0], (hs_udp_options){.bind = &any});
    end_open(&ends[1], (hs_udp_options){.bind = &any, .broadcast = true});
    hs_addr_set_port(&all, hs_addr_port(hs_udp_addr(ends[0].s)));
    cr_assert(hs_ok(hs_udp_send(ends[0].s, &all, HS_SPAN("no"))));
    REAL_UNTIL(r, ends[0].errors == 1);
    cr_assert_eq(ends[0].error.code, -EACCES);
    cr_assert(ends[0].error_has_to && hs_addr_eq(&ends[0].error_to, &all));
    cr_assert(hs_ok(hs_udp_send(ends[1].s, &all, HS_SPAN("yes"))));
    REAL_UNTIL(r, ends[0].heard_len == 1);
    cr_assert_eq(ends[0].heard[0].len, 3);
    udp_finish(r);
}

/* Close it, and let the system see that: a ring's close is carried out in the next turn. */
static void close_now(real *r, end *e)
{
    hs_udp_close(e->s);
    REAL_UNTIL(r, !e->s);
    real_idle(r, 3);
}

/* ---- what the network tells ---- */

REAL_TEST(net_udp, nobody_at_the_peer_is_told_and_the_socket_goes_on)
{
    udp_begin(r);
    end_bind(&ends[0], "127.0.0.1:0");
    end_connect(&ends[1], &ends[0]);
    hs_addr addr = *hs_udp_addr(ends[0].s);
    close_now(r, &ends[0]);
    say(&ends[1], NULL, "anybody?");
    REAL_UNTIL(r, ends[1].errors == 1);
    cr_assert_eq(ends[1].error.code, -ECONNREFUSED);
    cr_assert(!ends[1].error_has_to);
    for (int i = 0; i < 10; i++) /* each send may meet the answer to the one before */
        say(&ends[1], NULL, "hello?");
    REAL_UNTIL(r, hs_udp_unsent(ends[1].s) == 0);
    end_open(&ends[0], (hs_udp_options){.bind = &addr});
    real_idle(r, 5); /* what is left of the answers */
    say(&ends[1], NULL, "there you are");
    REAL_UNTIL(r, ends[0].heard_len == 1);
    cr_assert_eq(ends[0].heard[0].len, 13);
    udp_finish(r);
}

REAL_TEST(net_udp, too_large_for_the_path)
{
    hs_addr to = at("[::1]:0");
    if (!hs_ok(hs_udp_check(&to)))
        return;
    udp_begin(r);
    hs_addr any = at("[::1]:0");
    end_open(&ends[0], (hs_udp_options){.bind = &any, .dont_fragment = true});
    /* The loopback's packets hold 65,536 bytes, with 48 of headers. */
    cr_assert(hs_ok(say_bytes(&ends[0], &to, 'x', 65500)));
    cr_assert_eq(say_bytes(&ends[0], &to, 'x', 65528).code, -EMSGSIZE);
    REAL_UNTIL(r, ends[0].errors == 1);
    cr_assert_eq(ends[0].error.code, -EMSGSIZE);
    cr_assert(ends[0].error_has_to && hs_addr_eq(&ends[0].error_to, &to));
    udp_finish(r);
}

REAL_TEST(net_udp, a_peer_that_cannot_be_connected_to)
{
    hs_addr nobody = at("unix:@hs-udp-nobody");
    udp_begin(r);
    end_open(&ends[0], (hs_udp_options){.connect = &nobody});
    say(&ends[0], NULL, "never sent");
    REAL_UNTIL(r, ends[0].closes == 1);
    cr_assert_eq(ends[0].why.code, -ECONNREFUSED);
    cr_assert_eq(ends[0].errors, 0);
    udp_finish(r);
}

/* ---- ends ---- */

static void close_it(end *e)
{
    hs_udp_close(e->s);
}

REAL_TEST(net_udp, what_was_sent_before_the_close_goes_out)
{
    udp_begin(r);
    end_bind(&ends[0], "127.0.0.1:0");
    end_bind(&ends[1], "127.0.0.1:0");
    for (int i = 0; i < 100; i++)
        say(&ends[1], &ends[0], "last words");
    hs_udp_close(ends[1].s);
    cr_assert_eq(ends[1].closes, 0); /* not from inside */
    REAL_UNTIL(r, ends[0].heard_len == 100);
    REAL_UNTIL(r, ends[1].closes == 1);
    udp_finish(r);
}

REAL_TEST(net_udp, closing_from_each_event)
{
    udp_begin(r);
    end_bind(&ends[0], "127.0.0.1:0");
    end_bind(&ends[1], "127.0.0.1:0");
    ends[0].on_in = close_it;
    for (int i = 0; i < 200; i++)
        say(&ends[1], &ends[0], "x");
    REAL_UNTIL(r, ends[0].closes == 1);
    cr_assert_eq(ends[0].events_in, 1); /* nothing is told after it */
    end_connect(&ends[2], &ends[1]);
    ends[2].on_error = close_it;
    close_now(r, &ends[1]);
    for (int i = 0; i < 50; i++)
        say(&ends[2], NULL, "x");
    REAL_UNTIL(r, ends[2].closes == 1);
    cr_assert_eq(ends[2].errors, 1);
    udp_finish(r);
}

REAL_TEST(net_udp, closing_at_once)
{
    hs_addr addr = at("127.0.0.1:0");
    udp_begin(r);
    end_bind(&ends[0], "127.0.0.1:0");
    end_connect(&ends[1], &ends[0]); /* while it connects */
    say(&ends[1], NULL, "dropped");
    hs_udp_close(ends[1].s);
    end_open(&ends[2], (hs_udp_options){.bind = &addr});
    hs_udp_pause(ends[2].s);
    hs_udp_close(ends[2].s);
    end_open(&ends[3], (hs_udp_options){.bind = &addr});
    hs_udp_close(ends[3].s);
    hs_udp_resume(ends[3].s);
    REAL_UNTIL(r, ends_open() == 1);
    udp_finish(r);
}

Test(net_udp, no_socket_may_be_open_at_the_end, .signal = SIGABRT)
{
    real_init(&real_one, real_make_uring);
    udp_begin(&real_one);
    end_bind(&ends[0], "127.0.0.1:0");
    hs_udp_destroy(udp);
}

/* ---- memory ---- */

/* A scene in which take `n` fails. Returns whether one did. */
static bool scene(real *r, uint64_t n, bool fail_on)
{
    hs_addr addr = at("127.0.0.1:0");
    memset(ends, 0, sizeof ends);
    uint64_t fails = r->mem.fails;
    r->mem.fail_at = r->mem.takes + n;
    r->mem.fail_on = fail_on;
    hs_err err = hs_udp_create(r->shard, &udp);
    if (hs_ok(err)) {
        err = end_open_err(&ends[0], (hs_udp_options){.bind = &addr});
        if (hs_ok(err))
            err = end_open_err(&ends[1], (hs_udp_options){.connect = hs_udp_addr(ends[0].s)});
        if (hs_ok(err))
            err = hs_udp_send(ends[1].s, NULL, HS_SPAN("x"));
        real_idle(r, 5);
        if (r->mem.fails > fails)
            r->mem.fail_at = 0; /* it is over: what waits for memory goes on */
        if (hs_ok(err))
            REAL_UNTIL(r, ends[0].heard_len == 1);
        r->mem.fail_at = 0;
        udp_finish(r);
    }
    bool failed = r->mem.fails > fails;
    r->mem.fail_at = 0;
    cr_assert(hs_ok(err) || (failed && err.code == -ENOMEM), "%s", hs_err_name(err));
    return failed;
}

REAL_TEST(net_udp, memory_fails)
{
    for (int on = 0; on < 2; on++) {
        uint64_t n = 1;
        while (scene(r, n, on))
            n++;
        cr_assert_gt(n, 5);
    }
}
