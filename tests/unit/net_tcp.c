/* TCP streams and listeners on the simulated backend: closing orders, limits, backpressure, and
 * memory that fails. */
#include "bench.h"

#include "hs_tcp.h"

#define SIDES_MAX 64

typedef struct side side;
typedef void side_fn(side *sd);

/* The server's side of one connection, by the order of acceptance. What it hears is written down
 * here, as the stream's own memory is gone after `closed`. */
struct side {
    hs_stream *s; /* NULL: closed */
    uint32_t data_calls, ends, drains, closes;
    hs_err why;
    size_t in_len;
    uint64_t sum; /* of all bytes that came, by their places */
    side_fn *on_data, *on_end, *on_drained;
};

typedef struct rig {
    bench b;
    hs_tcp *tcp;
    hs_listener *listener;
    side sides[SIDES_MAX];
    uint32_t sides_len;
    bool calling; /* the test is inside a call on a stream: nothing may be heard */
    side_fn *on_accept;
} rig;

static rig r;

static uint8_t byte_at(size_t at)
{
    return (uint8_t)(at * 31 + (at >> 8) * 7);
}

static void on_data(hs_stream *s, hs_span bytes)
{
    side *sd = *(side **)s->owner;
    cr_assert_eq(sd->s, s);
    cr_assert(!r.calling && sd->closes == 0 && sd->ends == 0);
    cr_assert_gt(bytes.len, 0);
    sd->data_calls++;
    for (size_t i = 0; i < bytes.len; i++)
        sd->sum += (sd->in_len + i + 1) * bytes.ptr[i];
    sd->in_len += bytes.len;
    if (sd->on_data)
        sd->on_data(sd);
}

static void on_end(hs_stream *s)
{
    side *sd = *(side **)s->owner;
    cr_assert(!r.calling && sd->closes == 0);
    sd->ends++;
    if (sd->on_end)
        sd->on_end(sd);
}

static void on_drained(hs_stream *s)
{
    side *sd = *(side **)s->owner;
    cr_assert(!r.calling && sd->closes == 0);
    sd->drains++;
    if (sd->on_drained)
        sd->on_drained(sd);
}

static void on_closed(hs_stream *s, hs_err why)
{
    side *sd = *(side **)s->owner;
    cr_assert(!r.calling);
    cr_assert_eq(sd->s, s);
    sd->closes++;
    sd->why = why;
    sd->s = NULL;
}

static const hs_stream_events events = {on_data, on_end, on_drained, on_closed};

static void accepted(hs_stream *s, hs_listener *listener, void *ctx)
{
    cr_assert_eq(ctx, &r);
    cr_assert_not_null(listener);
    cr_assert_lt(r.sides_len, SIDES_MAX);
    side *sd = &r.sides[r.sides_len++];
    for (size_t i = 0; i < 100; i++)
        cr_assert_eq(((uint8_t *)s->owner)[i], 0); /* zeroed, and ours */
    *(side **)s->owner = sd;
    sd->s = s;
    s->events = &events;
    if (r.on_accept)
        r.on_accept(sd);
}

static hs_err open_at(const char *text, hs_listener **out)
{
    hs_addr addr;
    cr_assert(hs_ok(hs_addr_parse(&addr, hs_span_str(text))));
    return hs_listener_open(r.tcp, &addr, false, out);
}

static void rig_init(const sim_faults *faults, uint32_t conns_max)
{
    memset(&r, 0, sizeof r);
    bench_init(&r.b, faults);
    hs_tcp_options o = {
        .owner_bytes = 100, .conns_max = conns_max, .accepted = accepted, .ctx = &r};
    cr_assert(hs_ok(hs_tcp_create(r.b.shard, &o, &r.tcp)));
    cr_assert(hs_ok(open_at("127.0.0.1:80", &r.listener)));
}

/* Everything ends: connections that are left are ended by force. */
static void rig_fini(void)
{
    if (r.listener)
        hs_listener_close(r.listener);
    bench_run(&r.b, 100);
    for (uint32_t i = 0; i < r.sides_len; i++)
        if (r.sides[i].s)
            hs_stream_abort(r.sides[i].s);
    bench_run(&r.b, HS_LINGER_MS + 1000);
    cr_assert_eq(hs_tcp_conns(r.tcp), 0);
    for (uint32_t i = 0; i < r.sides_len; i++)
        cr_assert_eq(r.sides[i].closes, 1);
    hs_tcp_destroy(r.tcp);
    bench_fini(&r.b);
}

/* A connected client, and the server's side of it. */
static side *pair_up(client *c)
{
    uint32_t before = r.sides_len;
    client_open(c, &r.b, 80);
    bench_run(&r.b, 5);
    cr_assert_eq(r.sides_len, before + 1);
    cr_assert(c->told & SIM_PEER_OPEN);
    return &r.sides[before];
}

static void say(side *sd, const char *text)
{
    r.calling = true;
    cr_assert(hs_ok(hs_stream_write(sd->s, hs_span_str(text))));
    r.calling = false;
}

static void shut(side *sd)
{
    r.calling = true;
    hs_stream_close(sd->s);
    r.calling = false;
}

static void cut(side *sd)
{
    r.calling = true;
    hs_stream_abort(sd->s);
    r.calling = false;
}

/* Queue `len` bytes of the pattern, and flush. */
static void write_pattern(side *sd, size_t from, size_t len)
{
    uint8_t piece[1000];
    r.calling = true;
    for (size_t at = 0; at < len;) {
        size_t n = HS_MIN(sizeof piece, len - at);
        for (size_t i = 0; i < n; i++)
            piece[i] = byte_at(from + at + i);
        hs_chain *out = hs_stream_out(sd->s);
        cr_assert_not_null(out);
        cr_assert(hs_ok(hs_chain_append(out, hs_shard_chunks(r.b.shard), hs_span_of(piece, n))));
        at += n;
    }
    hs_stream_flush(sd->s);
    r.calling = false;
}

static void assert_pattern(const client *c, size_t len)
{
    cr_assert_eq(c->in_len, len);
    for (size_t i = 0; i < len; i++)
        cr_assert_eq((uint8_t)c->in[i], byte_at(i), "byte %zu", i);
}

static const char *make_pattern(size_t len)
{
    char *p = malloc(len);
    cr_assert_not_null(p);
    for (size_t i = 0; i < len; i++)
        p[i] = (char)byte_at(i);
    return p;
}

static void assert_received(const side *sd, size_t len)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < len; i++)
        sum += (i + 1) * byte_at(i);
    cr_assert_eq(sd->in_len, len);
    cr_assert_eq(sd->sum, sum);
}

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

/* ---- listeners ---- */

Test(net_tcp, without_files_accepting_waits_and_goes_on)
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

Test(net_tcp, accept_errors_end_no_service)
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

Test(net_tcp, the_limit_of_slots_refuses_and_counts)
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

Test(net_tcp, a_listener_closes_with_connections_on_the_way)
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
    cr_assert_eq(r.sides_len, 0); /* what came after the close is not served */
    uint32_t open = 0;
    for (int i = 0; i < 10; i++) /* each was refused or ended */
        open += !(c[i].told & (SIM_PEER_EOF | SIM_PEER_RESET | SIM_PEER_REFUSED));
    cr_assert_eq(open, r.sides_len);
    cr_assert_eq(hs_tcp_conns(r.tcp), r.sides_len);
    cr_assert_eq(sim_world_fds(r.b.w), r.sides_len);
    for (int i = 0; i < 10; i++)
        client_fini(&c[i]);
    rig_fini();
}

Test(net_tcp, a_listener_closes_while_it_waits_to_try_again)
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

Test(net_tcp, a_listener_closes_while_it_accepts)
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

Test(net_tcp, listening_where_somebody_does)
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
    if (!hs_ok(hs_stream_write(sd->s, HS_SPAN("echo"))))
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

Test(net_tcp, memory_fails, .timeout = 60)
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

Test(net_tcp, a_user_sets_its_events, .signal = SIGABRT)
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

Test(net_tcp, nothing_may_be_open_at_the_end, .signal = SIGABRT)
{
    rig_init(NULL, 0);
    hs_tcp_destroy(r.tcp);
}
