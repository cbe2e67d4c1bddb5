/* A server and a client that read from top to bottom: fibers over TCP in the simulated world, calm
 * and under faults. */
#include "bench.h"
#include "hs_bufio.h"
#include "hs_dial.h"
#include "hs_fiber.h"

#define QUESTIONS 20

static struct {
    bench b;
    hs_tcp *tcp;
    hs_listener *listener;
    hs_cancel *stop;
    uint32_t served, ends, others; /* connections: all, by a clean end, otherwise */
    uint32_t answers;
    hs_err client;
    bool client_ended;
} r;

/* ---- the server: "len\n", then so many bytes, which go back in a line ---- */

static hs_err serve_one(hs_bufio *io)
{
    const hs_span *line, *body;
    HS_TRY(hs_await(hs_bufio_line(io, 10), &line));
    size_t len = 0;
    for (size_t i = 0; i < line->len; i++)
        len = len * 10 + (size_t)(line->ptr[i] - '0');
    HS_TRY(hs_await(hs_bufio_exact(io, len), &body));
    HS_TRY(hs_bufio_write(io, *body));
    HS_TRY(hs_bufio_write(io, HS_SPAN("\r\n")));
    return hs_await(hs_bufio_flush(io), NULL);
}

static hs_err serve(void *arg)
{
    hs_bufio *io;
    hs_err err = hs_bufio_create(arg, &(hs_bufio_options){.cancel = r.stop}, &io);
    if (!hs_ok(err)) {
        hs_stream_abort(arg);
        return err;
    }
    while (hs_ok(err))
        err = serve_one(io);
    hs_bufio_close(io);
    r.served++;
    if (err.code == HS_E_END)
        r.ends++;
    else
        r.others++;
    return HS_OK;
}

static void nobody_data(hs_stream *s, hs_span bytes)
{
    (void)s, (void)bytes;
}

static void nobody(hs_stream *s)
{
    (void)s;
}

static void nobody_closed(hs_stream *s, hs_err why)
{
    (void)s, (void)why;
}

static const hs_stream_events nothing = {nobody_data, nobody, nobody, nobody_closed};

static void accepted(hs_stream *s, hs_listener *listener, void *ctx)
{
    (void)listener, (void)ctx;
    s->events = &nothing; /* if the fiber cannot be made */
    hs_promise_ignore(hs_fiber_start(r.b.shard, "serve", serve, s, NULL));
}

/* ---- the client ---- */

static hs_err ask(hs_bufio *io, uint32_t i)
{
    static uint8_t bytes[20000];
    char text[16];
    const hs_span *answer;
    size_t len = i * 997 % sizeof bytes;
    memset(bytes, 'a' + (int)(i % 26), len);
    snprintf(text, sizeof text, "%zu\r\n", len);
    HS_TRY(hs_bufio_write(io, hs_span_str(text)));
    HS_TRY(hs_bufio_write(io, hs_span_of(bytes, len)));
    HS_TRY(hs_await(hs_bufio_flush(io), NULL));
    HS_TRY(hs_await(hs_bufio_line(io, 0), &answer));
    cr_assert(hs_span_eq(*answer, hs_span_of(bytes, len)));
    r.answers++;
    return HS_OK;
}

static hs_err talk(void)
{
    hs_dial_options o = {.connect_ms = 2000};
    hs_stream *s;
    hs_bufio *io;
    HS_TRY(hs_await(hs_dial(r.tcp, HS_SPAN("127.0.0.1"), 80, &o), &s));
    hs_cancel *token = hs_cancel_after(r.b.shard, 20000);
    hs_err err = hs_bufio_create(s, &(hs_bufio_options){.cancel = token}, &io);
    hs_cancel_unref(token);
    if (!hs_ok(err)) {
        hs_stream_abort(s);
        return err;
    }
    for (uint32_t i = 0; i < QUESTIONS && hs_ok(err); i++)
        err = ask(io, i);
    hs_bufio_close(io);
    return err;
}

static hs_err ask_all(void *arg)
{
    (void)arg;
    r.client = talk();
    r.client_ended = true;
    return HS_OK;
}

static void run(const sim_faults *faults)
{
    hs_addr addr;
    memset(&r, 0, sizeof r);
    bench_init(&r.b, faults);
    r.stop = hs_cancel_create(r.b.shard);
    hs_tcp_options o = {.accepted = accepted};
    cr_assert(hs_ok(hs_tcp_create(r.b.shard, &o, &r.tcp)));
    cr_assert(hs_ok(hs_addr_parse(&addr, HS_SPAN("127.0.0.1:80"))));
    cr_assert(hs_ok(hs_listener_open(r.tcp, &addr, false, &r.listener)));
    hs_promise_ignore(hs_fiber_start(r.b.shard, "client", ask_all, NULL, NULL));
}

static void end_all(void)
{
    hs_cancel_fire(r.stop, hs_err_of(HS_E_CLOSED)); /* as a stop does */
    hs_listener_close(r.listener);
    bench_run(&r.b, 60000);
    cr_assert(r.client_ended);
    cr_assert_eq(hs_tcp_conns(r.tcp), 0);
    cr_assert_eq(hs_fibers(r.b.shard), 0);
    hs_tcp_destroy(r.tcp);
    hs_cancel_unref(r.stop);
    bench_fini(&r.b);
}

Test(net_bufio_fiber, a_talk_between_fibers)
{
    run(NULL);
    bench_run(&r.b, 10000);
    cr_assert(r.client_ended);
    cr_assert(hs_ok(r.client), "%s", hs_err_name(r.client));
    cr_assert_eq(r.answers, QUESTIONS);
    cr_assert(r.served == 1 && r.ends == 1);
    end_all();
}

Test(net_bufio_fiber, a_stop_in_the_middle)
{
    for (uint64_t ms = 0; ms < 20; ms++) {
        run(NULL);
        if (ms > 0)
            bench_run(&r.b, ms);
        end_all();
    }
}

Test(net_bufio_fiber, under_faults_every_talk_ends)
{
    uint32_t whole = 0, broken = 0;
    uint64_t seeds = getenv("HS_TEST_LONG") ? 5000 : 50;
    for (uint64_t seed = 1; seed <= seeds; seed++) {
        sim_faults faults;
        sim_faults_draw(&faults, seed);
        run(&faults);
        bench_run(&r.b, 30000);
        whole += hs_ok(r.client);
        broken += !hs_ok(r.client);
        end_all();
    }
    cr_assert_gt(whole, 8, "%u", whole);
    cr_assert_gt(broken, 5, "%u", broken);
}
