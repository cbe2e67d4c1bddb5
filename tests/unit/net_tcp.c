/* TCP streams on the simulated backend: closing orders, limits of the linger, pauses, the send
 * queue. Listeners, and memory that fails, are in net_listener.c. */
#include "net_rig.h"

/* ---- ends ---- */

static void answer(side *sd)
{
    say(sd, "answer");
}

Test(net_tcp, bytes_go_both_ways_and_both_ends_end)
{
    client c;
    rig_init(NULL, 0);
    side *sd = pair_up(&c);
    sd->on_data = answer;
    client_say(&c, "question");
    bench_run(&r.b, 10);
    cr_assert_eq(sd->in_len, 8);
    cr_assert_str_eq(c.in, "answer");
    cr_assert_eq(hs_stream_sent(sd->s), 6);
    cr_assert_eq(hs_stream_unsent(sd->s), 0);
    cr_assert_eq(sd->drains, 1);
    sim_peer_finish(c.peer);
    bench_run(&r.b, 10);
    cr_assert_eq(sd->ends, 1);
    cr_assert_eq(sd->closes, 0);
    say(sd, ", and more after your end");
    shut(sd);
    bench_run(&r.b, 10);
    cr_assert_str_eq(c.in, "answer, and more after your end");
    cr_assert_eq(c.told & (SIM_PEER_EOF | SIM_PEER_RESET), SIM_PEER_EOF);
    cr_assert_eq(sd->closes, 1);
    cr_assert(hs_ok(sd->why));
    cr_assert_eq(sim_world_fds(r.b.w), 1);
    cr_assert_eq(bench_count(&r.b, "tcp_accepted"), 1);
    cr_assert_eq(bench_count(&r.b, "tcp_closed"), 1);
    cr_assert_eq(bench_count(&r.b, "tcp_bytes_in"), 8);
    cr_assert_eq(bench_count(&r.b, "tcp_bytes_out"), 31);
    client_fini(&c);
    rig_fini();
}

Test(net_tcp, the_end_comes_after_all_that_was_queued)
{
    client c;
    rig_init(NULL, 0);
    side *sd = pair_up(&c);
    client_read(&c, false);
    write_pattern(sd, 0, 400000);
    shut(sd);
    shut(sd); /* again: nothing */
    cr_assert_null(hs_stream_out(sd->s));
    cr_assert_eq(hs_stream_write(sd->s, HS_SPAN("late")).code, HS_E_CLOSED);
    bench_run(&r.b, 20000);
    cr_assert_eq(sd->closes, 0); /* the queue waits for its reader: that is no linger */
    cr_assert_eq(c.told & SIM_PEER_EOF, 0);
    client_read(&c, true);
    bench_run(&r.b, 1000);
    assert_pattern(&c, 400000);
    cr_assert_eq(c.told & (SIM_PEER_EOF | SIM_PEER_RESET), SIM_PEER_EOF);
    cr_assert_eq(sd->closes, 0); /* the client's end has not come */
    client_close(&c, false);
    bench_run(&r.b, 100);
    cr_assert_eq(sd->closes, 1);
    cr_assert(hs_ok(sd->why));
    client_fini(&c);
    rig_fini();
}

Test(net_tcp, the_linger_has_a_limit_in_time)
{
    client c;
    rig_init(NULL, 0);
    side *sd = pair_up(&c);
    say(sd, "bye");
    shut(sd);
    bench_run(&r.b, HS_LINGER_MS - 10);
    cr_assert_eq(c.told & (SIM_PEER_EOF | SIM_PEER_RESET), SIM_PEER_EOF);
    cr_assert_eq(sd->closes, 0);
    bench_run(&r.b, 20);
    cr_assert_eq(sd->closes, 1);
    cr_assert(hs_ok(sd->why));
    client_fini(&c);
    rig_fini();
}

Test(net_tcp, the_linger_has_a_limit_in_bytes)
{
    client c;
    rig_init(NULL, 0);
    side *sd = pair_up(&c);
    const char *much = make_pattern(2 * HS_LINGER_BYTES_MAX);

    shut(sd);
    bench_run(&r.b, 10);
    client_send(&c, much, HS_LINGER_BYTES_MAX / 2);
    bench_run(&r.b, 500);
    cr_assert_eq(c.out_len, 0);
    cr_assert_eq(sd->closes, 0);
    client_send(&c, much, 2 * HS_LINGER_BYTES_MAX);
    bench_run(&r.b, HS_LINGER_MS - 600);
    cr_assert_eq(sd->closes, 1);
    cr_assert_eq(sd->data_calls, 0);
    cr_assert(c.told & SIM_PEER_RESET);
    client_fini(&c);
    free((void *)(uintptr_t)much);
    rig_fini();
}

Test(net_tcp, the_linger_begins_once_the_queue_is_out)
{
    client c;
    rig_init(NULL, 0);
    side *sd = pair_up(&c);
    const char *much = make_pattern(HS_LINGER_BYTES_MAX + 65536);
    client_read(&c, false);
    write_pattern(sd, 0, 400000);
    shut(sd);
    client_send(&c, much, HS_LINGER_BYTES_MAX + 65536);
    bench_run(&r.b, 20000);
    cr_assert_eq(c.out_len, 0); /* all of it was read, and dropped */
    cr_assert_eq(sd->closes, 0);
    client_read(&c, true);
    bench_run(&r.b, 1000);
    assert_pattern(&c, 400000);
    cr_assert_eq(c.told & (SIM_PEER_EOF | SIM_PEER_RESET), SIM_PEER_EOF);
    client_close(&c, false);
    bench_run(&r.b, 100);
    cr_assert_eq(sd->closes, 1);
    cr_assert(hs_ok(sd->why));
    client_fini(&c);
    free((void *)(uintptr_t)much);
    rig_fini();
}

Test(net_tcp, a_reset_in_the_linger_is_a_clean_end)
{
    client c;
    rig_init(NULL, 0);
    side *sd = pair_up(&c);
    shut(sd);
    bench_run(&r.b, 10);
    client_close(&c, true);
    bench_run(&r.b, 10);
    cr_assert_eq(sd->closes, 1);
    cr_assert(hs_ok(sd->why));
    client_fini(&c);
    rig_fini();
}

Test(net_tcp, an_abort_drops_what_is_queued)
{
    client c;
    rig_init(NULL, 0);
    side *sd = pair_up(&c);
    client_read(&c, false);
    write_pattern(sd, 0, 300000);
    bench_run(&r.b, 10);
    cr_assert_gt(hs_stream_unsent(sd->s), 0);
    cut(sd);
    cut(sd);
    shut(sd);
    cr_assert_eq(sd->closes, 0);
    bench_run(&r.b, 10);
    cr_assert_eq(sd->closes, 1);
    cr_assert_eq(sd->why.code, HS_E_CLOSED);
    client_fini(&c);
    rig_fini();
}

Test(net_tcp, an_abort_ends_a_close_that_waits)
{
    client c;
    rig_init(NULL, 0);
    side *sd = pair_up(&c);
    client_read(&c, false);
    write_pattern(sd, 0, 300000);
    shut(sd);
    bench_run(&r.b, 10);
    cut(sd);
    bench_run(&r.b, 10);
    cr_assert_eq(sd->closes, 1);
    client_fini(&c);
    rig_fini();
}

Test(net_tcp, a_reset_is_told_once)
{
    client c;
    rig_init(NULL, 0);
    side *sd = pair_up(&c);
    client_close(&c, true);
    bench_run(&r.b, 10);
    cr_assert_eq(sd->closes, 1);
    cr_assert_eq(sd->why.code, -ECONNRESET);
    cr_assert_eq(sd->ends, 0);
    client_fini(&c);
    rig_fini();
}

Test(net_tcp, a_reset_while_sending)
{
    client c;
    rig_init(NULL, 0);
    side *sd = pair_up(&c);
    client_read(&c, false);
    write_pattern(sd, 0, 300000);
    bench_run(&r.b, 10);
    client_close(&c, true);
    bench_run(&r.b, 10);
    cr_assert_eq(sd->closes, 1);
    cr_assert_eq(hs_err_class(sd->why), HS_ERR_CLOSED);
    cr_assert_eq(sd->drains, 0);
    client_fini(&c);
    rig_fini();
}

/* Paused, so that only the send can see it. */
Test(net_tcp, a_reset_while_sending_and_paused)
{
    client c;
    rig_init(NULL, 0);
    side *sd = pair_up(&c);
    client_read(&c, false);
    hs_stream_pause(sd->s);
    write_pattern(sd, 0, 300000);
    bench_run(&r.b, 10);
    client_close(&c, true);
    bench_run(&r.b, 10);
    cr_assert_eq(sd->closes, 1);
    cr_assert_eq(hs_err_class(sd->why), HS_ERR_CLOSED);
    client_fini(&c);
    rig_fini();
}

/* ---- a user that ends the stream in each of its events ---- */

static void end_in_events(side_fn *fn)
{
    client c[4];
    rig_init(NULL, 0);
    r.on_accept = fn;
    side *a = pair_up(&c[0]);
    bench_run(&r.b, HS_LINGER_MS + 100);
    cr_assert_eq(a->closes, 1);
    r.on_accept = NULL;
    side *d = pair_up(&c[1]);
    d->on_data = fn;
    client_say(&c[1], "data");
    side *e = pair_up(&c[2]);
    e->on_end = fn;
    sim_peer_finish(c[2].peer);
    side *w = pair_up(&c[3]);
    w->on_drained = fn;
    say(w, "something");
    bench_run(&r.b, HS_LINGER_MS + 100);
    cr_assert_eq(d->closes, 1);
    cr_assert_eq(d->data_calls, 1);
    cr_assert_eq(e->closes, 1);
    cr_assert_eq(w->closes, 1);
    cr_assert_eq(hs_tcp_conns(r.tcp), 0);
    for (int i = 0; i < 4; i++)
        client_fini(&c[i]);
    rig_fini();
}

Test(net_tcp, close_in_each_event)
{
    end_in_events(shut);
}

Test(net_tcp, abort_in_each_event)
{
    end_in_events(cut);
}

static void shut_and_cut(side *sd)
{
    shut(sd);
    cut(sd);
}

Test(net_tcp, close_and_abort_in_each_event)
{
    end_in_events(shut_and_cut);
}

static void pause_and_cut(side *sd)
{
    hs_stream_pause(sd->s);
    cut(sd);
}

Test(net_tcp, pause_and_abort_in_each_event)
{
    end_in_events(pause_and_cut);
}

static void pause_and_shut(side *sd)
{
    hs_stream_pause(sd->s);
    shut(sd);
}

Test(net_tcp, pause_and_close_in_each_event)
{
    end_in_events(pause_and_shut);
}

static void go_and_shut(side *sd)
{
    hs_stream_resume(sd->s);
    shut(sd);
}

Test(net_tcp, resume_and_close_in_each_event)
{
    end_in_events(go_and_shut);
}

/* ---- pause and resume ---- */

static void hold(side *sd)
{
    hs_stream_pause(sd->s);
}

static void hold_and_go(side *sd)
{
    hs_stream_pause(sd->s);
    hs_stream_resume(sd->s);
}

Test(net_tcp, a_paused_stream_hears_nothing)
{
    client c;
    rig_init(NULL, 0);
    side *sd = pair_up(&c);
    const char *pattern = make_pattern(200000);
    sd->on_data = hold;
    client_send(&c, pattern, 200000);
    bench_run(&r.b, 100);
    uint32_t calls = sd->data_calls;
    cr_assert_leq(calls, 2); /* some was handed over already */
    bench_run(&r.b, 5000);
    cr_assert_eq(sd->data_calls, calls);
    cr_assert_gt(c.out_len, 0); /* the client is held up */
    sd->on_data = NULL;
    hs_stream_resume(sd->s);
    bench_run(&r.b, 1000);
    assert_received(sd, 200000);
    client_fini(&c);
    free((void *)(uintptr_t)pattern);
    rig_fini();
}

Test(net_tcp, a_resume_before_the_cancel_is_done)
{
    client c;
    rig_init(NULL, 0);
    side *sd = pair_up(&c);
    const char *pattern = make_pattern(200000);
    sd->on_data = hold_and_go;
    client_send(&c, pattern, 200000);
    bench_run(&r.b, 1000);
    assert_received(sd, 200000);
    sim_peer_finish(c.peer);
    bench_run(&r.b, 10);
    cr_assert_eq(sd->ends, 1);
    hold_and_go(sd); /* after the end there is nothing to hear */
    bench_run(&r.b, 10);
    cr_assert_eq(sd->ends, 1);
    client_fini(&c);
    free((void *)(uintptr_t)pattern);
    rig_fini();
}

Test(net_tcp, pauses_over_a_slow_cancel)
{
    sim_faults f;
    sim_faults_none(&f);
    f.cancel_late = 800;
    f.cancel_natural = 500;
    f.done_late = 500;
    f.late_us_max = 3000;
    f.recv_short = 500;
    client c;
    rig_init(&f, 0);
    side *sd = pair_up(&c);
    const char *pattern = make_pattern(100000);
    client_send(&c, pattern, 100000);
    for (int i = 0; i < 400; i++) {
        hs_stream_pause(sd->s);
        bench_run(&r.b, 1 + i % 3);
        hs_stream_resume(sd->s);
        if (i % 2)
            bench_run(&r.b, 1);
    }
    bench_run(&r.b, 5000);
    assert_received(sd, 100000);
    client_fini(&c);
    free((void *)(uintptr_t)pattern);
    rig_fini();
}

Test(net_tcp, a_paused_stream_can_be_closed)
{
    client c;
    rig_init(NULL, 0);
    side *sd = pair_up(&c);
    hs_stream_pause(sd->s);
    client_say(&c, "unheard");
    bench_run(&r.b, 10);
    write_pattern(sd, 0, 100000);
    shut(sd);
    bench_run(&r.b, 100);
    assert_pattern(&c, 100000);
    /* What was not heard is read and dropped, so that no reset takes the answer back. */
    cr_assert_eq(c.told & (SIM_PEER_EOF | SIM_PEER_RESET), SIM_PEER_EOF);
    cr_assert_eq(sd->data_calls, 0);
    sim_peer_finish(c.peer);
    bench_run(&r.b, 10);
    cr_assert_eq(sd->closes, 1);
    client_fini(&c);
    rig_fini();
}

/* The cancel of the pause is still under way when the stream is closed. */
Test(net_tcp, a_stream_paused_just_now_can_be_closed)
{
    client c;
    rig_init(NULL, 0);
    side *sd = pair_up(&c);
    hs_stream_pause(sd->s);
    shut(sd);
    bench_run(&r.b, 10);
    cr_assert_eq(sd->closes, 0);
    sim_peer_finish(c.peer);
    bench_run(&r.b, 10);
    cr_assert_eq(sd->closes, 1); /* it heard the end, and did not wait for the linger's */
    client_fini(&c);
    rig_fini();
}

/* ---- sending ---- */

Test(net_tcp, a_close_flushes)
{
    client c;
    rig_init(NULL, 0);
    side *sd = pair_up(&c);
    hs_chain *out = hs_stream_out(sd->s);
    cr_assert_not_null(out);
    cr_assert(hs_ok(hs_chain_append(out, hs_shard_chunks(r.b.shard), HS_SPAN("last words"))));
    shut(sd);
    bench_run(&r.b, 10);
    cr_assert_str_eq(c.in, "last words");
    cr_assert_eq(c.told & (SIM_PEER_EOF | SIM_PEER_RESET), SIM_PEER_EOF);
    client_fini(&c);
    rig_fini();
}

Test(net_tcp, the_marks_of_the_send_queue)
{
    client c;
    rig_init(NULL, 0);
    side *sd = pair_up(&c);
    client_read(&c, false);
    write_pattern(sd, 0, HS_SEND_HIGH_BYTES - 1);
    cr_assert_not(hs_stream_full(sd->s));
    write_pattern(sd, HS_SEND_HIGH_BYTES - 1, 2 * 65536);
    cr_assert(hs_stream_full(sd->s));
    bench_run(&r.b, 1000);
    cr_assert_eq(sd->drains, 0);
    while (sd->drains == 0) {
        size_t unsent = hs_stream_unsent(sd->s);
        cr_assert_geq(unsent, HS_SEND_LOW_BYTES);
        client_work(&c); /* still lazy */
        c.lazy = false;
        client_work(&c);
        c.lazy = true;
        bench_run(&r.b, 1);
    }
    cr_assert_lt(hs_stream_unsent(sd->s), HS_SEND_LOW_BYTES);
    client_read(&c, true);
    bench_run(&r.b, 100);
    cr_assert_leq(sd->drains, 2); /* and again when it is empty */
    assert_pattern(&c, HS_SEND_HIGH_BYTES - 1 + 2 * 65536);
    cr_assert_eq(hs_stream_unsent(sd->s), 0);
    client_fini(&c);
    rig_fini();
}

static size_t refilled;

static void refill(side *sd)
{
    while (refilled < 1500000 && !hs_stream_full(sd->s)) {
        write_pattern(sd, refilled, 5000);
        refilled += 5000;
    }
}

Test(net_tcp, short_sends_lose_nothing)
{
    sim_faults f;
    sim_faults_none(&f);
    f.send_short = 600;
    f.send_again = 300;
    f.op_late = f.done_late = 300;
    client c;
    rig_init(&f, 0);
    side *sd = pair_up(&c);
    refilled = 0;
    sd->on_drained = refill;
    refill(sd);
    for (int i = 0; i < 600 && c.in_len < 1500000; i++)
        bench_run(&r.b, 100);
    assert_pattern(&c, 1500000);
    cr_assert_eq(hs_stream_sent(sd->s), 1500000);
    client_fini(&c);
    rig_fini();
}

Test(net_tcp, flushing_nothing_holds_nothing)
{
    client c;
    rig_init(NULL, 0);
    side *sd = pair_up(&c);
    hs_stream_flush(sd->s);
    cr_assert_not_null(hs_stream_out(sd->s));
    hs_stream_flush(sd->s);
    cr_assert(hs_ok(hs_stream_write(sd->s, hs_span_of(NULL, 0))));
    bench_run(&r.b, 10);
    cr_assert_eq(c.in_len, 0);
    cr_assert_eq(sd->drains, 0);
    cr_assert_eq(hs_stream_unsent(sd->s), 0);
    client_fini(&c);
    rig_fini();
}
