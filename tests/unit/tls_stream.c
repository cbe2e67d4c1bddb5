/* TLS streams after their handshake, both ends on one simulated shard. */
#include "tls_rig.h"

#include "tls.h"

Test(tls_stream, bytes_go_both_ways_and_end_in_order)
{
    end c = {0};
    rig_init(NULL);
    end *s = connect_ends(&c);
    cr_assert_eq(s->info.version, HS_TLS_1_3);
    cr_assert_str_eq(s->sni, "server.test");
    say(&c, "question");
    bench_run(&r.b, 10);
    cr_assert_str_eq(s->in, "question");
    say(s, "answer");
    bench_run(&r.b, 10);
    cr_assert_str_eq(c.in, "answer");
    hs_stream_close(c.s);
    bench_run(&r.b, 10);
    cr_assert_eq(s->ends, 1);
    cr_assert_eq(c.closes, 0); /* it waits for the peer's end */
    hs_stream_close(s->s);
    bench_run(&r.b, 10);
    cr_assert_eq(s->closes, 1);
    cr_assert(hs_ok(s->why), "%s", hs_err_name(s->why));
    cr_assert(hs_ok(c.why), "%s", hs_err_name(c.why));
    rig_fini(&c, 1);
}

/* ---- much ---- */

#define MUCH (600u * 1024)

static size_t sent_by_server;

/* As much as there is room for. */
static void feed(end *e)
{
    while (e->s && sent_by_server < MUCH && !hs_stream_full(e->s)) {
        size_t n = HS_MIN((size_t)7777, MUCH - sent_by_server);
        write_pattern(e, sent_by_server, n);
        sent_by_server += n;
    }
    if (e->s && sent_by_server == MUCH)
        hs_stream_close(e->s);
}

static void close_own(end *e)
{
    hs_stream_close(e->s);
}

static void much(const rig_options *o)
{
    end c = {.on_end = close_own};
    rig_init(o);
    sent_by_server = 0;
    end *s = connect_ends(&c);
    s->on_drained = feed;
    feed(s);
    cr_assert_gt(sent_by_server, 0);
    cr_assert_lt(sent_by_server, MUCH);
    bench_run(&r.b, 60000);
    cr_assert_eq(c.in_len, MUCH);
    cr_assert_eq(c.sum, pattern_sum(MUCH));
    cr_assert_eq(c.ends, 1);
    cr_assert(hs_ok(c.why) && hs_ok(s->why));
    cr_assert_eq(s->closes, 1);
    rig_fini(&c, 1);
}

Test(tls_stream, much_goes_through_with_backpressure)
{
    much(NULL);
}

Test(tls_stream, much_goes_through_with_tls_1_2)
{
    rig_options o = {.server = {.version_max = HS_TLS_1_2}};
    much(&o);
}

Test(tls_stream, much_goes_through_in_short_pieces)
{
    sim_faults f;
    sim_faults_none(&f);
    f.send_short = f.recv_short = f.send_again = f.enobufs = 300;
    f.done_late = f.op_late = f.done_few = 100;
    f.pipe_bytes_max = 16384;
    f.late_us_max = 100;
    rig_options o = {.faults = &f};
    much(&o);
}

/* ---- records ---- */

/* Small writes are gathered: one record for all that was queued before a flush. */
Test(tls_stream, what_is_queued_goes_out_in_one_record)
{
    end c = {0};
    rig_init(NULL);
    end *s = connect_ends(&c);
    for (int i = 0; i < 50; i++) {
        hs_chain *out = hs_stream_out(s->s);
        cr_assert_not_null(out);
        cr_assert(hs_ok(
            hs_chain_borrow(out, hs_shard_chunks(r.b.shard), HS_SPAN("0123456789"), NULL, NULL)));
    }
    uint64_t before = bench_count(&r.b, "tcp_bytes_out");
    hs_stream_flush(s->s);
    bench_run(&r.b, 10);
    cr_assert_eq(c.in_len, 500);
    cr_assert_eq(bench_count(&r.b, "tcp_bytes_out") - before, 500 + 22);
    rig_fini(&c, 1);
}

/* A record's head is 5 bytes, its type 1, its tag 16. */
Test(tls_stream, records_are_small_at_first_and_large_later)
{
    end c = {0};
    rig_init(NULL);
    end *s = connect_ends(&c);
    uint64_t before = bench_count(&r.b, "tcp_bytes_out");
    write_pattern(s, 0, 1300 * 13 + 16384 * 2);
    bench_run(&r.b, 100);
    cr_assert_eq(bench_count(&r.b, "tcp_bytes_out") - before, 1300 * 13 + 16384 * 2 + 15 * 22);
    /* After a pause it begins again. */
    bench_run(&r.b, 1500);
    before = bench_count(&r.b, "tcp_bytes_out");
    write_pattern(s, 0, 2600);
    bench_run(&r.b, 100);
    cr_assert_eq(bench_count(&r.b, "tcp_bytes_out") - before, 2600 + 2 * 22);
    rig_fini(&c, 1);
}

/* ---- pauses ---- */

Test(tls_stream, a_paused_stream_hears_nothing_and_then_all)
{
    end c = {0};
    rig_init(NULL);
    end *s = connect_ends(&c);
    hs_stream_pause(c.s);
    write_pattern(s, 0, 100000);
    bench_run(&r.b, 100);
    cr_assert_eq(c.in_len, 0);
    hs_stream_resume(c.s);
    cr_assert_eq(c.in_len, 0); /* never from inside */
    bench_run(&r.b, 100);
    cr_assert_eq(c.in_len, 100000);
    cr_assert_eq(c.sum, pattern_sum(100000));
    rig_fini(&c, 1);
}

static void pause_own(end *e)
{
    hs_stream_pause(e->s);
}

/* What came with the piece that made the user pause waits, and is told after a resume. */
Test(tls_stream, a_pause_from_inside_holds_what_came_along)
{
    end c = {.on_data = pause_own};
    rig_init(NULL);
    end *s = connect_ends(&c);
    write_pattern(s, 0, 200000);
    hs_stream_close(s->s);
    for (uint32_t i = 0; i < 200 && c.ends == 0; i++) {
        uint32_t calls = c.data_calls;
        bench_run(&r.b, 10);
        cr_assert_leq(c.data_calls, calls + 1);
        hs_stream_resume(c.s);
    }
    cr_assert_eq(c.in_len, 200000);
    cr_assert_eq(c.sum, pattern_sum(200000));
    cr_assert_eq(c.ends, 1);
    rig_fini(&c, 1);
}

/* ---- ends ---- */

static void abort_own(end *e)
{
    hs_stream_abort(e->s);
}

Test(tls_stream, a_user_may_end_it_from_inside_of_data)
{
    end_fn *how[] = {close_own, abort_own};
    for (int i = 0; i < 2; i++) {
        end c = {.on_data = how[i]};
        rig_init(NULL);
        end *s = connect_ends(&c);
        write_pattern(s, 0, 100000);
        bench_run(&r.b, 100);
        cr_assert_eq(c.data_calls, 1);
        rig_fini(&c, 1);
        cr_assert_eq(s->closes, 1);
    }
}

Test(tls_stream, an_abort_is_no_clean_end)
{
    end c = {0};
    rig_init(NULL);
    end *s = connect_ends(&c);
    hs_stream_abort(c.s);
    cr_assert_eq(c.closes, 0);
    bench_run(&r.b, 100);
    cr_assert_eq(c.closes, 1);
    cr_assert_eq(c.why.code, HS_E_CLOSED);
    cr_assert_eq(s->ends, 0);
    cr_assert_eq(s->closes, 1);
    cr_assert_not(hs_ok(s->why));
    rig_fini(&c, 1);
}

Test(tls_stream, both_close_at_the_same_time)
{
    end c = {0};
    rig_init(NULL);
    end *s = connect_ends(&c);
    say(&c, "last");
    hs_stream_close(c.s);
    cr_assert_not(hs_stream_writable(c.s));
    cr_assert_null(hs_stream_out(c.s));
    hs_stream_close(s->s);
    hs_stream_close(s->s);
    bench_run(&r.b, 100);
    cr_assert(c.closes == 1 && s->closes == 1);
    cr_assert(hs_ok(c.why) && hs_ok(s->why));
    rig_fini(&c, 1);
}

/* A half-closed connection: the one that still speaks is heard to its end. */
Test(tls_stream, after_the_peers_end_it_may_still_be_answered)
{
    end c = {0};
    rig_init(NULL);
    end *s = connect_ends(&c);
    hs_stream_close(s->s);
    bench_run(&r.b, 10);
    cr_assert_eq(c.ends, 1);
    cr_assert(hs_stream_writable(c.s));
    say(&c, "still here");
    bench_run(&r.b, 10);
    hs_stream_close(c.s);
    bench_run(&r.b, 100);
    cr_assert(c.closes == 1 && s->closes == 1);
    rig_fini(&c, 1);
}

/* ---- how much was sent ---- */

Test(tls_stream, what_was_sent_is_known_to_the_end)
{
    void (*const how[])(hs_stream *) = {hs_stream_close, hs_stream_abort};
    for (size_t i = 0; i < HS_ARRAY_LEN(how); i++) {
        end c = {.on_end = close_own};
        rig_init(NULL);
        end *s = connect_ends(&c);
        uint32_t before = hs_stream_sent(c.s);
        cr_assert_gt(before, 0);
        say(&c, "question");
        bench_run(&r.b, 10);
        uint32_t after = hs_stream_sent(c.s);
        cr_assert_eq(after, before + 8 + 22);
        how[i](s->s);
        bench_run(&r.b, 100);
        cr_assert_eq(c.closes, 1);
        /* The close_notify is not the user's. */
        cr_assert_eq(c.sent, after);
        rig_fini(&c, 1);
    }
}

Test(tls_stream, what_still_waits_when_it_closes_counts_as_sent)
{
    end c = {0};
    rig_init(NULL);
    end *s = connect_ends(&c);
    uint32_t before = hs_stream_sent(c.s);
    say(&c, "last");
    s->on_end = close_own;
    hs_stream_close(c.s);
    bench_run(&r.b, 100);
    cr_assert_str_eq(s->in, "last");
    cr_assert_gt(c.sent, before);
    rig_fini(&c, 1);
}

/* ---- replies ---- */

static tls_conn *inside(end *e)
{
    return HS_CONTAINER_OF(e->s, tls_conn, s);
}

static uint32_t replied;

/* As if wolfSSL sent them by itself, as it does for a KeyUpdate that asks for one. */
static void reply_much(end *e)
{
    for (int i = 0; i < 20; i++)
        cr_assert_eq(wolfSSL_write(inside(e)->ssl, "r", 1), 1);
    replied += 20;
}

#define REPLY_ROUNDS 4000

/* `from` makes `to` reply, and does not read: what waits stays bounded, and so does what is read;
 * all comes right once it reads. */
static void replies_wait(end *from, end *to)
{
    to->on_data = reply_much;
    replied = 0;
    hs_stream_pause(from->s);
    size_t said = 0, most = 0;
    for (int i = 0; i < REPLY_ROUNDS; i++) {
        if (!hs_stream_full(from->s)) {
            write_pattern(from, said, 1);
            said++;
        }
        if (i % 20 == 0)
            bench_run(&r.b, 1);
        most = HS_MAX(most, hs_stream_unsent(to->s));
    }
    cr_assert_gt(most, 0);
    cr_assert_lt(most, 2 * TLS_REPLIES_MAX);
    cr_assert_lt(to->in_len, said);
    /* Its user may read on or not: nothing comes before the queue has drained. */
    size_t before = to->in_len;
    hs_stream_pause(to->s);
    hs_stream_resume(to->s);
    bench_run(&r.b, 100);
    cr_assert_eq(to->in_len, before);
    hs_stream_resume(from->s);
    bench_run(&r.b, 5000);
    cr_assert_eq(to->in_len, said);
    cr_assert_eq(to->sum, pattern_sum(said));
    cr_assert_eq(from->in_len, replied);
}

static void replies_of(bool server)
{
    sim_faults f;
    sim_faults_none(&f);
    f.pipe_bytes_max = 4096;
    rig_options o = {.faults = &f};
    end c = {0};
    rig_init(&o);
    end *s = connect_ends(&c);
    if (server)
        replies_wait(&c, s);
    else
        replies_wait(s, &c);
    rig_fini(&c, 1);
}

Test(tls_stream, a_server_reads_no_more_while_its_replies_wait)
{
    replies_of(true);
}

Test(tls_stream, a_client_reads_no_more_while_its_replies_wait)
{
    replies_of(false);
}

/* What the user has queued is no reason not to read: an early response must be seen. */
Test(tls_stream, a_full_queue_does_not_stop_the_reading)
{
    end c = {0};
    rig_init(NULL);
    end *s = connect_ends(&c);
    hs_stream_pause(s->s);
    write_pattern(&c, 0, 2 * HS_SEND_HIGH_BYTES);
    bench_run(&r.b, 100);
    cr_assert(hs_stream_full(c.s));
    say(s, "no");
    bench_run(&r.b, 100);
    cr_assert_str_eq(c.in, "no");
    rig_fini(&c, 1);
}

/* ---- memory ---- */

/* A connection with an exchange, in which the nth piece of memory is refused, and all later ones
 * where `on`. Whatever happens, everything is told and given back. */
static bool exchange_without(uint64_t nth, bool on)
{
    end c = {.on_end = close_own};
    rig_init(NULL);
    r.on_server_data = close_own;
    r.b.takes = 0;
    r.b.fail_on = on;
    r.b.fail_at = nth;
    c.on_open = NULL;
    dial(&c, "server.test");
    bench_run(&r.b, 500);
    if (c.s) {
        hs_chain *out = hs_stream_out(c.s);
        if (out && hs_ok(hs_chain_append(out, hs_shard_chunks(r.b.shard), HS_SPAN("hello"))))
            hs_stream_flush(c.s);
    }
    bench_run(&r.b, 500);
    bool failed = r.b.fails > 0;
    rig_fini(&c, 1);
    return failed;
}

Test(tls_stream, each_piece_of_memory_may_be_refused)
{
    uint64_t n = 1;
    while (exchange_without(n, false))
        n++;
    cr_assert_gt(n, 50);
}

Test(tls_stream, memory_may_end_at_any_moment)
{
    for (uint64_t n = 1; exchange_without(n, true); n += 7)
        continue;
}
