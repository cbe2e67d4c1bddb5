/* Sending many datagrams on the system's sockets: batches, segments and their fallbacks, the
 * bounded queue, borrowed bytes. */
#include <stdlib.h>

#include "udp_rig.h"

static void pair(real *r)
{
    udp_begin(r);
    memset(&wired, 0, sizeof wired);
    end_bind(&ends[0], "127.0.0.1:0");
    end_bind(&ends[1], "127.0.0.1:0");
}

/* What follows counts segmented messages, which HS_CAPS_DISABLE may have switched off. */
static bool pair_with_runs(real *r)
{
    pair(r);
    if (ends[1].s->gso_max > 0)
        return true;
    udp_finish(r);
    return false;
}

static const hs_addr *to(void)
{
    return hs_udp_addr(ends[0].s);
}

/* Send `count` of `len` bytes each: the first of 0x01, the second of 0x02... */
static void say_many(uint32_t count, size_t len)
{
    for (uint32_t i = 0; i < count; i++)
        cr_assert(hs_ok(say_bytes(&ends[1], to(), (uint8_t)(i + 1), len)));
}

static void check_heard(uint32_t from, uint32_t count, size_t len)
{
    for (uint32_t i = from; i < from + count; i++) {
        const heard *h = &ends[0].heard[i];
        cr_assert_eq(h->len, len, "%u", i);
        cr_assert(h->uniform && h->first == (uint8_t)(i - from + 1), "%u", i);
        cr_assert(hs_addr_eq(&h->from, hs_udp_addr(ends[1].s)));
    }
}

/* ---- segments ---- */

REAL_TEST(net_udp_send, equal_ones_go_as_one_and_arrive_as_many)
{
    if (!pair_with_runs(r))
        return;
    say_many(100, 500);
    cr_assert_eq(wired.send_calls, 0); /* at the end of the turn */
    REAL_UNTIL(r, ends[0].heard_len == 100);
    check_heard(0, 100, 500);
    cr_assert_eq(wired.send_calls, 1);
    cr_assert_eq(wired.send_msgs, 2); /* of 64 and 36 */
    cr_assert_eq(wired.send_runs, 2);
    cr_assert_eq(udp_count(r, "udp_out"), 100);
    cr_assert_eq(udp_count(r, "udp_in"), 100);
    cr_assert_eq(udp_count(r, "udp_bytes_out"), 50000);
    udp_finish(r);
}

REAL_TEST(net_udp_send, a_run_is_no_longer_than_a_packet)
{
    if (!pair_with_runs(r))
        return;
    say_many(20, 9000); /* 7 of them are 63,000 bytes */
    REAL_UNTIL(r, ends[0].heard_len == 20);
    check_heard(0, 20, 9000);
    cr_assert_eq(wired.send_msgs, 3);
    udp_finish(r);
}

REAL_TEST(net_udp_send, what_breaks_a_run)
{
    static const size_t lens[] = {100, 100, 50, 100, 100, 101, 0, 0, 7, 7};
    /* 100 100 50 | 100 100 | 101 | 0 | 0 | 7 7 */
    if (!pair_with_runs(r))
        return;
    for (size_t i = 0; i < HS_ARRAY_LEN(lens); i++)
        cr_assert(hs_ok(say_bytes(&ends[1], to(), (uint8_t)i, lens[i])));
    REAL_UNTIL(r, ends[0].heard_len == HS_ARRAY_LEN(lens));
    for (size_t i = 0; i < HS_ARRAY_LEN(lens); i++) {
        cr_assert_eq(ends[0].heard[i].len, lens[i]);
        cr_assert(lens[i] == 0 || (ends[0].heard[i].uniform && ends[0].heard[i].first == i));
    }
    cr_assert_eq(wired.send_msgs, 6);
    cr_assert_eq(wired.send_runs, 3);
    udp_finish(r);
}

REAL_TEST(net_udp_send, each_way_is_a_run_of_its_own)
{
    hs_addr one = at("127.0.0.2:0"), two = at("127.0.0.3:0");
    if (!pair_with_runs(r))
        return;
    end_bind(&ends[2], "127.0.0.1:0");
    for (int i = 0; i < 12; i++) {
        hs_udp_out out = {.data = HS_SPAN("same"), .to = to()};
        out.to = i / 2 == 0 ? hs_udp_addr(ends[2].s) : to();
        out.ecn = i / 2 == 2 ? 1 : 0;
        out.from = i / 2 == 3 ? &one : i / 2 == 4 ? &two : NULL;
        cr_assert(hs_ok(hs_udp_send_out(ends[1].s, &out)));
    }
    /* A socket that is bound to an address cannot send from another. */
    REAL_UNTIL(r, ends[0].heard_len + ends[1].errors == 10 || ends[0].heard_len == 10);
    REAL_UNTIL(r, ends[2].heard_len == 2);
    cr_assert_geq(wired.send_runs, 4);
    cr_assert_eq(wired.send_runs, wired.send_msgs);
    udp_finish(r);
}

REAL_TEST(net_udp_send, long_ones_lie_over_several_chunks)
{
    pair(r);
    for (uint32_t i = 0; i < 30; i++)
        cr_assert(hs_ok(say_bytes(&ends[1], to(), (uint8_t)(i + 1), 10000 + i)));
    REAL_UNTIL(r, ends[0].heard_len == 30);
    for (uint32_t i = 0; i < 30; i++)
        cr_assert(ends[0].heard[i].len == 10000 + i && ends[0].heard[i].uniform &&
                  ends[0].heard[i].first == i + 1);
    udp_finish(r);
}

/* More vectors than a call has: 17 for each of these. */
REAL_TEST(net_udp_send, the_longest_one_after_another)
{
    pair(r);
    for (uint32_t n = 0; n < 3; n++) {
        for (uint32_t i = 0; i < 15; i++) {
            hs_err err = say_bytes(&ends[1], to(), (uint8_t)(i + 1), 65000 + i);
            cr_assert(hs_ok(err));
            if (i % 3 == 2) /* what the receiver has room for */
                REAL_UNTIL(r, ends[0].heard_len == 15 * n + i + 1);
        }
    }
    for (uint32_t i = 0; i < 45; i++)
        cr_assert(ends[0].heard[i].uniform && ends[0].heard[i].len == 65000 + i % 15);
    udp_finish(r);
}

/* ---- fallbacks ---- */

static void check_without_segments(real *r)
{
    memset(&wired, 0, sizeof wired);
    say_many(100, 500);
    REAL_UNTIL(r, ends[0].heard_len == 100);
    check_heard(0, 100, 500);
    cr_assert_eq(wired.send_runs, 0);
    cr_assert_eq(wired.send_msgs, 100);
    cr_assert_eq(wired.send_calls, (100 + HS_UDP_BATCH - 1) / HS_UDP_BATCH);
}

Test(net_udp_send, segments_can_be_switched_off)
{
    cr_assert_eq(setenv("HS_CAPS_DISABLE", "udp_gso,udp_gro", 1), 0);
    real *r = &real_one;
    real_init(r, real_make_uring);
    pair(r);
    cr_assert_eq(ends[1].s->gso_max, 0);
    int value = -1;
    socklen_t len = sizeof value;
    cr_assert_eq(getsockopt(ends[1].s->fd, SOL_UDP, UDP_GRO, &value, &len), 0);
    cr_assert_eq(value, 0);
    check_without_segments(r);
    udp_finish(r);
    real_fini(r);
}

REAL_TEST(net_udp_send, a_device_that_cannot_is_remembered)
{
    pair(r);
    wired.run_errno = EIO;
    say_many(10, 500);
    REAL_UNTIL(r, ends[0].heard_len == 10);
    check_heard(0, 10, 500);
    cr_assert_eq(ends[1].errors, 0);
    cr_assert_eq(ends[1].s->gso_max, 0);
    ends[0].heard_len = 0;
    check_without_segments(r);
    udp_finish(r);
}

REAL_TEST(net_udp_send, a_path_that_takes_short_ones_alone)
{
    static const int errors[] = {EINVAL, EMSGSIZE};
    for (size_t i = 0; i < HS_ARRAY_LEN(errors); i++) {
        if (!pair_with_runs(r))
            return;
        wired.run_errno = errors[i];
        wired.run_max = 1000;
        say_many(10, 1200);
        REAL_UNTIL(r, ends[0].heard_len == 10);
        check_heard(0, 10, 1200);
        cr_assert_eq(wired.send_runs, 0);
        say_many(10, 1000);
        REAL_UNTIL(r, ends[0].heard_len == 20);
        check_heard(10, 10, 1000);
        cr_assert_eq(wired.send_runs, 1);
        uint32_t calls = wired.send_calls;
        say_many(10, 1200);
        REAL_UNTIL(r, ends[0].heard_len == 30);
        cr_assert_eq(wired.send_calls, calls + 1); /* it was not tried again */
        cr_assert_eq(ends[1].errors, 0);
        udp_finish(r);
    }
}

/* ---- errors ---- */

REAL_TEST(net_udp_send, one_that_fails_is_told_and_the_others_go)
{
    static const int errors[] = {EPERM, ENETUNREACH, ENOBUFS, ECONNREFUSED};
    for (size_t i = 0; i < HS_ARRAY_LEN(errors); i++) {
        pair(r);
        wired.send_errno = errors[i];
        wired.send_errors = 2;
        for (size_t len = 1; len <= 5; len++) /* no run */
            cr_assert(hs_ok(say_bytes(&ends[1], to(), 'x', len)));
        REAL_UNTIL(r, ends[0].heard_len == 3);
        cr_assert_eq(ends[1].errors, 2);
        cr_assert_eq(ends[1].error.code, -errors[i]);
        cr_assert(ends[1].error_has_to && hs_addr_eq(&ends[1].error_to, to()));
        cr_assert_eq(ends[0].heard[0].len, 3);
        cr_assert_eq(udp_count(r, "udp_errors"), 2 * (i + 1));
        udp_finish(r);
    }
}

/* What no kernel should answer, and a sandbox in its place may. */
REAL_TEST(net_udp_send, odd_counts_of_the_kernel_are_an_error)
{
    static const int odd[] = {0, HS_UDP_BATCH + 1};
    for (size_t i = 0; i < HS_ARRAY_LEN(odd); i++) {
        pair(r);
        wired.send_odd = odd[i];
        wired.send_errors = 1;
        for (size_t len = 1; len <= 3; len++) /* no run */
            cr_assert(hs_ok(say_bytes(&ends[1], to(), 'x', len)));
        REAL_UNTIL(r, ends[0].heard_len == 2);
        cr_assert_eq(ends[1].errors, 1);
        cr_assert_eq(ends[1].error.code, -EIO);
        udp_finish(r);
    }
}

/* Of a connected socket the error may be of an earlier datagram: this one is tried again, once. */
REAL_TEST(net_udp_send, an_earlier_ones_error_costs_no_datagram)
{
    pair(r);
    end_connect(&ends[2], &ends[0]);
    real_idle(r, 3);
    wired.send_errno = ECONNREFUSED;
    wired.send_errors = 1;
    say(&ends[2], NULL, "x");
    REAL_UNTIL(r, ends[0].heard_len == 1);
    cr_assert(ends[2].errors == 1 && !ends[2].error_has_to);
    wired.send_errors = 2;
    say(&ends[2], NULL, "x");
    say(&ends[2], NULL, "yy");
    REAL_UNTIL(r, ends[0].heard_len == 2);
    cr_assert_eq(ends[2].errors, 3);
    cr_assert_eq(ends[0].heard[1].len, 2);
    udp_finish(r);
}

/* ---- the queue ---- */

REAL_TEST(net_udp_send, a_full_queue_pushes_back_and_drains)
{
    hs_addr addr = at("127.0.0.1:0");
    pair(r);
    end_open(&ends[2], (hs_udp_options){.bind = &addr, .queue_bytes_max = 10000});
    wired.send_errno = EAGAIN;
    wired.send_errors = 3;
    uint32_t n = 0;
    hs_err err;
    while (hs_ok(err = say_bytes(&ends[2], to(), 'x', 100 + n)))
        n++;
    cr_assert_eq(err.code, HS_E_BLOCKED);
    cr_assert(hs_udp_unsent(ends[2].s) <= 10000 && hs_udp_unsent(ends[2].s) > 9000);
    cr_assert_eq(ends[2].drains, 0);
    REAL_UNTIL(r, ends[2].drains == 1);
    cr_assert_eq(wired.send_errors, 0); /* poll told each time when to go on */
    REAL_UNTIL(r, ends[0].heard_len == n);
    for (uint32_t i = 0; i < n; i++)
        cr_assert_eq(ends[0].heard[i].len, 100 + i);
    real_idle(r, 5);
    cr_assert_eq(ends[2].drains, 1);
    /* One that is longer than the queue goes alone. */
    cr_assert(hs_ok(say_bytes(&ends[2], to(), 'x', 20000)));
    cr_assert_eq(say_bytes(&ends[2], to(), 'x', 1).code, HS_E_BLOCKED);
    REAL_UNTIL(r, ends[2].drains == 2);
    udp_finish(r);
}

REAL_TEST(net_udp_send, empty_ones_fill_a_queue_too)
{
    pair(r);
    wired.send_errno = EAGAIN;
    wired.send_errors = 1;
    uint32_t n = 0;
    while (hs_ok(hs_udp_send(ends[1].s, to(), hs_span_of(NULL, 0))))
        n++;
    cr_assert_eq(n, HS_UDP_QUEUE_MAX);
    REAL_UNTIL(r, ends[1].drains == 1);
    REAL_UNTIL(r, udp_count(r, "udp_out") == n);
    udp_finish(r);
}

static uint32_t calls_at_first_tick;

static void tick(hs_timer *timer)
{
    (void)timer;
    calls_at_first_tick = wired.send_calls;
}

REAL_TEST(net_udp_send, a_long_queue_leaves_room_for_others)
{
    hs_timer timer = {0};
    pair(r);
    for (uint32_t i = 0; i < 4 * HS_UDP_TURN_MAX; i++)
        cr_assert(hs_ok(say_bytes(&ends[1], to(), 'x', 1 + i % 2 * 2 + i % 4 / 2)));
    /* 1 3 2 4 1 3 2 4: no two in a row make a run but "3 2" */
    cr_assert(hs_ok(hs_timer_after(r->shard, &timer, 0, tick)));
    REAL_UNTIL(r, hs_udp_unsent(ends[1].s) == 0);
    cr_assert_gt(calls_at_first_tick, 0);
    cr_assert_leq(calls_at_first_tick, HS_UDP_TURN_MAX / HS_UDP_BATCH);
    cr_assert_gt(wired.send_calls, 2 * calls_at_first_tick);
    udp_finish(r);
}

/* ---- borrowed bytes ---- */

static uint32_t dones;
static end *close_at_done, *send_at_done;

static void done(void *ctx)
{
    cr_assert_eq(ctx, &dones);
    dones++;
    if (close_at_done)
        hs_udp_close(close_at_done->s);
    if (send_at_done)
        say(send_at_done, &ends[0], "from done");
    close_at_done = send_at_done = NULL;
}

static hs_err lend(end *e, const void *bytes, size_t len)
{
    hs_udp_out out = {
        .data = hs_span_of(bytes, len), .to = to(), .borrowed = true, .done = done, .ctx = &dones};
    return hs_udp_send_out(e->s, &out);
}

REAL_TEST(net_udp_send, borrowed_bytes_are_given_back_once)
{
    static uint8_t bytes[40000];
    memset(bytes, 'b', sizeof bytes);
    pair(r);
    for (int i = 0; i < 4; i++)
        cr_assert(hs_ok(lend(&ends[1], bytes + 1000 * i, 1000)));
    say(&ends[1], &ends[0], "copied between");
    cr_assert(hs_ok(lend(&ends[1], bytes, sizeof bytes)));
    cr_assert_eq(dones, 0);
    REAL_UNTIL(r, ends[0].heard_len == 6);
    cr_assert_eq(dones, 5);
    cr_assert(ends[0].heard[3].uniform && ends[0].heard[3].len == 1000);
    cr_assert_eq(ends[0].heard[4].len, 14);
    cr_assert(ends[0].heard[5].uniform && ends[0].heard[5].len == sizeof bytes);
    wired.send_errno = EPERM; /* dropped */
    wired.send_errors = 1;
    cr_assert(hs_ok(lend(&ends[1], bytes, 10)));
    REAL_UNTIL(r, ends[1].errors == 1);
    cr_assert_eq(dones, 6);
    wired.send_errno = EAGAIN; /* never sent */
    wired.send_errors = 1000;
    cr_assert(hs_ok(lend(&ends[1], bytes, 10)));
    cr_assert(hs_ok(lend(&ends[1], bytes, 10)));
    hs_udp_close(ends[1].s);
    REAL_UNTIL(r, ends[1].closes == 1);
    cr_assert_eq(dones, 8);
    udp_finish(r);
}

REAL_TEST(net_udp_send, a_done_may_send_and_close)
{
    pair(r);
    send_at_done = &ends[1];
    cr_assert(hs_ok(lend(&ends[1], "x", 1)));
    REAL_UNTIL(r, ends[0].heard_len == 2);
    close_at_done = &ends[1];
    cr_assert(hs_ok(lend(&ends[1], "x", 1)));
    say(&ends[1], &ends[0], "still goes out");
    REAL_UNTIL(r, ends[0].heard_len == 4 && ends[1].closes == 1);
    cr_assert_eq(dones, 2);
    udp_finish(r);
}
