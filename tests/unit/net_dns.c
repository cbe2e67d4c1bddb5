/* Lookups on a wire that the test is: who is asked for what and when, who hears of it; search
 * domains, bounds, cancelling at every step, memory that fails. */
#include "dns_rig.h"

/* ---- sources ---- */

Test(net_dns, each_family_is_told_as_soon_as_it_is_known)
{
    heard h = {0};
    open_dns(NULL, "", "");
    start(&h, "Both.test");
    cr_assert_eq(f.len, 2);
    assert_asked(0, "both.test.", AF_INET6);
    assert_asked(1, "both.test.", AF_INET);
    cr_assert_eq(h.answers, 0);
    answer(1, 0, 60, 2);
    cr_assert_eq(h.answers, 1);
    cr_assert_eq(h.len[v4], 2);
    assert_first(&h, AF_INET, "0.0.0.1:0");
    cr_assert(!h.ended);
    answer(0, 0, 60, 1);
    cr_assert(h.ended);
    assert_first(&h, AF_INET6, "[::1]:0");
    close_dns();
}

Test(net_dns, one_family_alone)
{
    heard h = {0};
    open_dns(NULL, "", "");
    start_family(&h, "four.test", AF_INET);
    bench_run(&b, 1);
    cr_assert_eq(f.len, 1);
    assert_asked(0, "four.test.", AF_INET);
    answer(0, 0, 60, 1);
    cr_assert(h.ended);
    close_dns();
}

Test(net_dns, numbers_localhost_and_hosts_are_known_here)
{
    static const struct {
        const char *name, *v6, *v4; /* NULL: none */
    } rows[] = {
        {"192.0.2.7", NULL, "192.0.2.7:0"},      {"[2001:db8::7]", "[2001:db8::7]:0", NULL},
        {"localhost", "[::1]:0", "127.0.0.1:0"}, {"x.localhost.", "[::1]:0", "127.0.0.1:0"},
        {"FILE.test", NULL, "192.0.2.1:0"},      {"six.test.", "[2001:db8::1]:0", NULL},
    };
    open_dns(NULL, "search one.test\n",
             "192.0.2.1 file.test\n2001:db8::1 six.test\n192.0.2.3 localhost\n");
    for (size_t i = 0; i < HS_ARRAY_LEN(rows); i++) {
        heard h = {0};
        start(&h, rows[i].name);
        cr_assert(h.ended, "%s", rows[i].name);
        cr_assert_eq(h.err[v6].code, rows[i].v6 ? 0 : HS_E_NAME_NONE);
        cr_assert_eq(h.err[v4].code, rows[i].v4 ? 0 : HS_E_NAME_NONE);
        if (rows[i].v6)
            assert_first(&h, AF_INET6, rows[i].v6);
        if (rows[i].v4)
            assert_first(&h, AF_INET, rows[i].v4);
    }
    cr_assert_eq(f.len, 0);
    close_dns();
}

Test(net_dns, what_is_no_name_is_refused_at_once)
{
    heard h = {0};
    open_dns(NULL, "", "");
    cr_assert_eq(hs_dns_start(dns, &h.op, HS_SPAN("a..b"), AF_UNSPEC, on_heard).code,
                 HS_E_NAME_NONE);
    cr_assert_eq(hs_dns_start(dns, &h.op, HS_SPAN("127.1"), AF_INET, on_heard).code,
                 HS_E_NAME_NONE);
    cr_assert_null(h.op.fn);
    hs_dns_cancel(dns, &h.op); /* idle: nothing */
    bench_run(&b, 10);
    cr_assert_eq(h.answers, 0);
    close_dns();
}

/* ---- search ---- */

Test(net_dns, a_domain_is_left_when_neither_family_is_there)
{
    heard h = {0};
    open_dns(NULL, "search one.test two.test\n", "");
    start(&h, "a");
    assert_asked(0, "a.one.test.", AF_INET6);
    assert_asked(1, "a.one.test.", AF_INET);
    answer(0, HS_E_NAME_NONE, 0, 0);
    cr_assert_eq(f.len, 2); /* the other may still be there */
    cr_assert_eq(h.answers, 0);
    answer(1, HS_E_NAME_NONE, 0, 0);
    cr_assert_eq(f.len, 4);
    assert_asked(2, "a.two.test.", AF_INET6);
    answer(3, 0, 60, 1);
    cr_assert_eq(h.answers, 1);
    answer(2, HS_E_NAME_NONE, 0, 0);
    cr_assert(h.ended);
    cr_assert_eq(h.err[v6].code, HS_E_NAME_NONE);
    cr_assert_eq(h.len[v4], 1);
    cr_assert_eq(f.len, 4);
    close_dns();
}

Test(net_dns, none_of_one_family_is_told_with_the_others_address)
{
    heard h = {0};
    open_dns(NULL, "", "");
    start(&h, "a.test");
    answer(0, HS_E_NAME_NONE, 0, 0);
    cr_assert_eq(h.answers, 0); /* there could be another candidate */
    answer(1, 0, 60, 1);
    cr_assert(h.ended);
    cr_assert_eq(h.err[v6].code, HS_E_NAME_NONE);
    cr_assert_eq(h.len[v4], 1);
    close_dns();
}

Test(net_dns, after_the_last_candidate_there_is_none)
{
    heard h = {0};
    open_dns(NULL, "search one.test\n", "");
    start(&h, "a");
    for (uint32_t i = 0; i < 4; i++)
        answer(i, HS_E_NAME_NONE, 0, 0);
    assert_asked(2, "a.", AF_INET6);
    cr_assert(h.ended);
    cr_assert_eq(h.err[v6].code, HS_E_NAME_NONE);
    cr_assert_eq(h.err[v4].code, HS_E_NAME_NONE);
    close_dns();
}

/* As glibc does it: a server that cannot answer for one domain may answer for the next. */
Test(net_dns, a_failure_in_one_domain_goes_on_to_the_next)
{
    for (int found = 0; found < 2; found++) {
        heard h = {0};
        open_dns(NULL, "search one.test two.test\n", "");
        start(&h, "a");
        answer(0, HS_E_NAME_FAILED, 0, 0);
        cr_assert_eq(f.len, 2);
        answer(1, found ? HS_E_NAME_NONE : HS_E_NAME_FAILED, 0, 0);
        assert_asked(2, "a.two.test.", AF_INET6);
        cr_assert_eq(h.answers, 0);
        answer(2, HS_E_NAME_NONE, 0, 0);
        answer(3, found ? HS_OK.code : HS_E_NAME_NONE, 60, (uint32_t)found);
        if (!found) { /* and as it is */
            assert_asked(4, "a.", AF_INET6);
            answer(4, HS_E_NAME_NONE, 0, 0);
            answer(5, HS_E_NAME_NONE, 0, 0);
        }
        cr_assert(h.ended);
        cr_assert_eq(h.len[v4], (uint32_t)found);
        /* Where none has an address, it is not known whether there is one. */
        cr_assert_eq(h.err[v6].code, found ? HS_E_NAME_NONE : HS_E_NAME_FAILED);
        close_dns();
    }
}

Test(net_dns, silence_and_lack_of_memory_end_the_search)
{
    static const int32_t errs[] = {HS_E_NAME_TIMEOUT, -ENOMEM};
    for (size_t i = 0; i < HS_ARRAY_LEN(errs); i++) {
        heard h = {0};
        open_dns(NULL, "search one.test\n", "");
        start(&h, "a");
        answer(0, errs[i], 0, 0);
        answer(1, HS_E_NAME_NONE, 0, 0);
        cr_assert(h.ended);
        cr_assert_eq(h.err[v6].code, errs[i]);
        cr_assert_eq(f.len, 2);
        close_dns();
    }
}

Test(net_dns, a_failure_of_one_family_does_not_hide_the_other)
{
    heard h = {0};
    open_dns(NULL, "", "");
    start(&h, "a.test");
    answer(1, 0, 60, 1);
    answer(0, HS_E_NAME_TIMEOUT, 0, 0);
    cr_assert(h.ended);
    cr_assert_eq(h.err[v6].code, HS_E_NAME_TIMEOUT);
    cr_assert_eq(h.len[v4], 1);
    close_dns();
}

/* ---- several at once ---- */

Test(net_dns, equal_questions_are_asked_once)
{
    heard h[3];
    memset(h, 0, sizeof h);
    open_dns(NULL, "", "");
    start(&h[0], "a.test");
    start(&h[1], "A.TEST.");
    start_family(&h[2], "a.test", AF_INET);
    bench_run(&b, 1);
    cr_assert_eq(f.len, 2);
    hs_dns_cancel(dns, &h[0].op);
    answer(1, 0, 0, 1); /* TTL 0: those that wait hear it all the same */
    answer(0, HS_E_NAME_NONE, 0, 0);
    cr_assert_eq(h[0].answers, 0);
    cr_assert(h[1].ended);
    cr_assert(h[2].ended);
    cr_assert_eq(f.len, 2);
    close_dns();
}

Test(net_dns, questions_past_the_bound_wait_in_order)
{
    hs_dns_options o = {.queries_max = 2};
    heard h[5];
    memset(h, 0, sizeof h);
    static const char *const names[] = {"a.test", "b.test", "c.test", "d.test", "c.test"};
    open_dns(&o, "", "");
    for (int i = 0; i < 5; i++)
        start_family(&h[i], names[i], AF_INET);
    bench_run(&b, 1);
    cr_assert_eq(f.len, 2);
    answer(1, HS_E_NAME_NONE, 0, 0);
    cr_assert_eq(f.len, 3);
    assert_asked(2, "c.test.", AF_INET);
    /* One that nobody waits for any more is not asked. */
    hs_dns_cancel(dns, &h[3].op);
    answer(2, 0, 0, 1);
    cr_assert(h[2].ended && h[4].ended);
    cr_assert_eq(f.len, 3);
    answer(0, 0, 0, 1);
    cr_assert_eq(f.len, 3);
    close_dns();
}

Test(net_dns, past_the_queue_there_is_a_clear_error)
{
    hs_dns_options o = {.queries_max = 1};
    static heard h[HS_DNS_QUEUE_MAX + 2];
    memset(h, 0, sizeof h);
    open_dns(&o, "", "");
    for (uint32_t i = 0; i < HS_ARRAY_LEN(h); i++) {
        char name[20];
        snprintf(name, sizeof name, "n%u.test", i);
        start_family(&h[i], name, AF_INET);
    }
    bench_run(&b, 1);
    cr_assert_eq(f.len, 1);
    cr_assert(h[HS_DNS_QUEUE_MAX + 1].ended);
    cr_assert_eq(h[HS_DNS_QUEUE_MAX + 1].err[v4].code, HS_E_LIMIT);
    cr_assert(!h[HS_DNS_QUEUE_MAX].ended);
    for (uint32_t i = 0; i < HS_ARRAY_LEN(h); i++)
        hs_dns_cancel(dns, &h[i].op);
    bench_run(&b, 1);
    cr_assert_eq(f.len, 1);
    cr_assert_eq(f.cancels, 1);
    close_dns();
}

/* ---- ends ---- */

Test(net_dns, a_lookup_ends_in_time)
{
    hs_dns_options o = {.lookup_ms = 3000};
    heard h = {0}, half = {0};
    open_dns(&o, "", "");
    start(&h, "a.test");
    start(&half, "b.test");
    answer(3, 0, 60, 1);
    bench_run(&b, 2900);
    cr_assert_eq(h.answers, 0);
    bench_run(&b, 200);
    cr_assert(h.ended);
    cr_assert_eq(h.err[v6].code, HS_E_NAME_TIMEOUT);
    cr_assert_eq(h.err[v4].code, HS_E_NAME_TIMEOUT);
    cr_assert(half.ended);
    cr_assert_eq(half.err[v6].code, HS_E_NAME_TIMEOUT);
    cr_assert_eq(half.len[v4], 1);
    /* Nobody waits any more, so nothing is under way. */
    bench_run(&b, 1);
    cr_assert_eq(f.cancels, 1);
    close_dns();
}

Test(net_dns, cancel_at_each_step)
{
    for (int step = 0; step < 5; step++) {
        hs_dns_options o = {.queries_max = step == 4 ? 1 : 0};
        heard h = {0}, other = {0};
        open_dns(&o, "search one.test\n", "");
        if (step == 4)
            start_family(&other, "other.test", AF_INET);
        start_family(&h, "a", AF_UNSPEC);
        if (step > 0)
            bench_run(&b, 1);
        if (step == 2)
            answer(0, HS_E_NAME_NONE, 0, 0);
        if (step == 3)
            answer(1, 0, 60, 1);
        uint32_t before = h.answers;
        hs_dns_cancel(dns, &h.op);
        hs_dns_cancel(dns, &h.op);
        cr_assert_null(h.op.fn);
        bench_run(&b, 100);
        if (step == 4) {
            cr_assert_eq(f.len, 1);
            answer(0, 0, 60, 1);
            cr_assert(other.ended);
        }
        cr_assert_eq(h.answers, before);
        close_dns();
    }
}

Test(net_dns, cancel_inside_an_answer)
{
    heard h = {0}, g = {0};
    open_dns(NULL, "", "");
    h.cancel_in_answer = dns;
    start(&h, "a.test");
    answer(0, 0, 60, 1);
    cr_assert_eq(h.answers, 1);
    bench_run(&b, 1);
    cr_assert_eq(f.cancels, 1);
    g.cancel_in_answer = dns; /* and where both are known at once */
    start(&g, "localhost");
    cr_assert_eq(g.answers, 1);
    close_dns();
}

/* What was asked for the one who left is not what the next one gets. */
Test(net_dns, a_lookup_right_after_the_last_was_cancelled_is_asked_anew)
{
    heard h = {0}, next = {0};
    open_dns(NULL, "", "");
    start(&h, "a.test");
    hs_dns_cancel(dns, &h.op);
    start(&next, "a.test");
    cr_assert_eq(f.cancels, 1);
    cr_assert_eq(f.len, 4);
    answer(2, 0, 60, 1);
    answer(3, 0, 60, 1);
    cr_assert(next.ended);
    cr_assert(hs_ok(next.err[v6]) && hs_ok(next.err[v4]));
    close_dns();
}

Test(net_dns, destroyed_at_each_step)
{
    for (int step = 0; step < 5; step++) {
        hs_dns_options o = {.queries_max = step == 4 ? 1 : 0};
        heard h = {0}, other = {0};
        open_dns(&o, "search one.test\n", "");
        start_family(&other, "other.test", AF_INET);
        start_family(&h, "a", AF_UNSPEC);
        if (step > 0)
            bench_run(&b, 1);
        if (step == 2)
            answer(1, HS_E_NAME_NONE, 0, 0);
        if (step == 3)
            answer(2, 0, 60, 1);
        uint32_t before = h.answers;
        cr_assert_eq(before, step == 3 ? 1u : 0u);
        f.inside = true;
        hs_dns_destroy(dns);
        f.inside = false;
        if (step == 1)
            hs_dns_cancel(dns, &other.op);
        bench_run(&b, 1);
        cr_assert_eq(f.destroys, 1);
        cr_assert(h.ended && other.ended == (step != 1));
        cr_assert_eq(h.err[v6].code, -ECANCELED);
        cr_assert(h.err[v4].code == -ECANCELED || step == 3);
        hs_dns_cancel(dns, &h.op); /* idle: the resolver is not looked at */
        end_bench();
    }
}

Test(net_dns, destroyed_inside_an_answer)
{
    for (int last = 0; last < 2; last++) {
        heard h = {0}, other = {0};
        open_dns(NULL, "", "");
        if (!last)
            start(&other, "b.test");
        start(&h, "a.test");
        uint32_t first = last ? 0 : 2;
        h.destroy_in_answer = last ? 2 : 1;
        answer(first, 0, 60, 1);
        if (last)
            answer(first + 1, 0, 60, 1);
        bench_run(&b, 1);
        cr_assert_eq(f.destroys, 1);
        cr_assert(h.ended && (last || other.ended));
        cr_assert_eq(h.err[v4].code, last ? 0 : -ECANCELED);
        end_bench();
    }
}

Test(net_dns, nothing_starts_on_one_that_is_destroyed)
{
    heard h = {0}, again = {0};
    open_dns(NULL, "", "");
    h.again = &again;
    again.refused = true;
    start(&h, "a.test");
    hs_dns_destroy(dns);
    bench_run(&b, 1);
    cr_assert(h.ended);
    cr_assert_null(again.op.fn);
    cr_assert_eq(f.len, 2);
    end_bench();
}

Test(net_dns, another_lookup_from_the_last_answer)
{
    heard h = {0}, again = {0};
    open_dns(NULL, "", "");
    h.again = &again;
    start(&h, "a.test");
    answer(0, 0, 60, 1);
    answer(1, 0, 60, 1);
    cr_assert(h.ended);
    bench_run(&b, 1);
    assert_asked(2, "again.test.", AF_INET);
    answer(2, 0, 60, 1);
    cr_assert(again.ended);
    close_dns();
}

Test(net_dns, a_wire_that_cannot_ask)
{
    heard h = {0}, queued = {0}, first = {0};
    hs_dns_options o = {.queries_max = 1};
    open_dns(&o, "search one.test\n", "");
    f.ask_err = hs_err_of(-ENOMEM);
    start(&h, "a");
    cr_assert(h.ended);
    cr_assert_eq(h.err[v6].code, -ENOMEM);
    cr_assert_eq(h.err[v4].code, -ENOMEM);
    f.ask_err = HS_OK;
    start_family(&first, "b.test", AF_INET);
    start_family(&queued, "c.test", AF_INET);
    bench_run(&b, 1);
    f.ask_err = hs_err_of(-ENOMEM);
    answer(0, 0, 60, 1);
    cr_assert(queued.ended);
    cr_assert_eq(queued.err[v4].code, -ENOMEM);
    close_dns();
}

Test(net_dns, each_piece_of_memory_fails_once)
{
    uint32_t whole = 0;
    for (uint64_t i = 1; whole < 3; i++) {
        heard h = {0};
        open_dns(NULL, "", "");
        b.fail_at = b.takes + i;
        h.families = 2;
        hs_err err = hs_dns_start(dns, &h.op, HS_SPAN("a.test"), AF_UNSPEC, on_heard);
        if (hs_ok(err)) {
            bench_run(&b, 1);
            for (uint32_t k = 0; k < f.len; k++)
                if (f.asks[k].question)
                    answer(k, 0, 60, 5);
            cr_assert(h.ended);
            for (int k = 0; k < 2; k++)
                cr_assert(hs_ok(h.err[k]) || h.err[k].code == -ENOMEM);
        } else {
            cr_assert_eq(err.code, -ENOMEM);
        }
        whole += b.fails == 0;
        b.fail_at = 0;
        close_dns();
        cr_assert_lt(i, 100);
    }
}

Test(net_dns, making_one_with_memory_that_fails)
{
    bench_init(&b, NULL);
    memset(&f, 0, sizeof f);
    f.wire.ops = &fake_ops;
    hs_dns_options o = {.hosts_path = "/etc/hosts"};
    hs_err err;
    uint64_t i = 0;
    do {
        size_t before = b.pieces_out;
        b.fail_at = b.takes + ++i;
        err = dns_create_on(b.shard, &o, &f.wire, &dns);
        if (!hs_ok(err)) {
            cr_assert_eq(err.code, -ENOMEM);
            cr_assert_eq(b.pieces_out, before);
        }
        cr_assert_lt(i, 100);
    } while (!hs_ok(err));
    cr_assert_gt(i, 2);
    b.fail_at = 0;
    hs_dns_destroy(dns);
    hs_dns_destroy(NULL);
    bench_fini(&b);
}
