/* Writing to a buffered stream: gathering, flushing, backpressure. */
#include "bufio_rig.h"

static uint8_t bytes[HS_SEND_HIGH_BYTES + 100];

Test(net_bufio_write, what_is_written_goes_out_together)
{
    got g;
    begin(NULL);
    for (int i = 0; i < 10; i++)
        cr_assert(hs_ok(hs_bufio_write(io, HS_SPAN("word "))));
    cr_assert(hs_ok(hs_bufio_write(io, hs_span_of(NULL, 0))));
    cr_assert_eq(f.flushes, 0);
    expect(&g, hs_bufio_flush(io));
    cr_assert(g.times == 1 && hs_ok(g.err));
    cr_assert_eq(f.flushes, 1);
    cr_assert_eq(f.flushed, 50);
    takes(50);
    finish();
}

Test(net_bufio_write, much_goes_out_without_a_flush)
{
    begin(NULL);
    cr_assert(hs_ok(hs_bufio_write(io, hs_span_of(bytes, HS_BUFIO_GATHER_BYTES - 1))));
    cr_assert_eq(f.flushes, 0);
    cr_assert(hs_ok(hs_bufio_write(io, HS_SPAN("x"))));
    cr_assert_eq(f.flushes, 1);
    cr_assert(hs_ok(hs_bufio_write(io, HS_SPAN("x"))));
    cr_assert_eq(f.flushes, 1);
    finish();
}

Test(net_bufio_write, a_slow_reader_holds_up_the_writer)
{
    got g, other;
    begin(NULL);
    cr_assert(hs_ok(hs_bufio_write(io, hs_span_of(bytes, HS_SEND_HIGH_BYTES - 1))));
    cr_assert(hs_ok(hs_bufio_write(io, HS_SPAN("xyz")))); /* it was not full yet */
    cr_assert_eq(hs_bufio_write(io, HS_SPAN("x")).code, HS_E_BLOCKED);
    expect(&g, hs_bufio_flush(io));
    assert_waits(&g);
    expect(&other, hs_bufio_flush(io));
    assert_error(&other, HS_E_USAGE);
    takes(HS_SEND_HIGH_BYTES - HS_SEND_LOW_BYTES);
    assert_waits(&g);
    cr_assert(hs_ok(hs_bufio_write(io, HS_SPAN("x"))));
    takes(4);
    bench_run(&b, 0);
    cr_assert(g.times == 1 && hs_ok(g.err));
    finish();
}

/* More than the low mark waits, but it never was full: only its end tells. */
Test(net_bufio_write, a_flush_between_the_marks)
{
    got g;
    begin(NULL);
    cr_assert(hs_ok(hs_bufio_write(io, hs_span_of(bytes, HS_SEND_LOW_BYTES))));
    expect(&g, hs_bufio_flush(io));
    assert_waits(&g);
    takes(HS_SEND_LOW_BYTES);
    bench_run(&b, 0);
    cr_assert(g.times == 1 && hs_ok(g.err));
    finish();
}

Test(net_bufio_write, a_flush_ends_with_the_stream_the_token_or_the_close)
{
    static const int32_t codes[] = {-EPIPE, -ECANCELED, HS_E_CLOSED};
    for (int how = 0; how < 3; how++) {
        got g, line;
        begin(NULL);
        hs_cancel *token = hs_cancel_create(b.shard);
        hs_bufio_cancel_by(io, token);
        cr_assert(hs_ok(hs_bufio_write(io, hs_span_of(bytes, HS_SEND_HIGH_BYTES))));
        expect(&g, hs_bufio_flush(io));
        expect(&line, hs_bufio_line(io, 0)); /* both may wait */
        if (how == 0) {
            gone(-EPIPE);
        } else if (how == 1) {
            hs_cancel_fire(token, hs_err_of(-ECANCELED));
        } else {
            hs_bufio_abort(io);
            gone(0);
        }
        assert_error(&g, codes[how]);
        assert_error(&line, codes[how]);
        hs_cancel_unref(token);
        if (how < 2) {
            finish();
        } else {
            hs_chain_clear(&f.out, hs_shard_chunks(b.shard));
            bench_fini(&b);
        }
    }
}

Test(net_bufio_write, without_memory_nothing_is_written)
{
    begin(NULL);
    uint32_t fails = 0;
    for (uint64_t i = 1; i < 20; i++) {
        size_t before = f.out.len;
        b.fail_at = b.takes + i;
        uint64_t failed = b.fails;
        hs_err err = hs_bufio_write(io, hs_span_of(bytes, 9000));
        b.fail_at = 0;
        cr_assert_eq(hs_ok(err), b.fails == failed);
        cr_assert_eq(f.out.len, before + (hs_ok(err) ? 9000 : 0));
        fails += b.fails > failed;
    }
    cr_assert_gt(fails, 0);
    b.fail_at = b.takes + 1;
    b.fail_on = true;
    got g;
    hs_promise *p = hs_bufio_flush(io);
    b.fail_at = 0;
    expect(&g, p);
    cr_assert(g.times == 1 || f.out.len >= HS_SEND_LOW_BYTES);
    finish();
}
