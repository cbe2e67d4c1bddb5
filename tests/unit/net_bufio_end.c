/* How reads of a buffered stream end: clean ends and others, failures, cancels, closing. */
#include "bufio_rig.h"

Test(net_bufio_end, a_clean_end_is_told_from_one_in_the_middle)
{
    got g;
    begin(NULL);
    came_text("line\npart");
    peer_ended();
    READ_IS(hs_bufio_line(io, 0), "line");
    READ_FAILS(hs_bufio_line(io, 0), HS_E_TRUNCATED);
    READ_FAILS(hs_bufio_until(io, HS_SPAN(";"), 0), HS_E_TRUNCATED);
    READ_FAILS(hs_bufio_exact(io, 5), HS_E_TRUNCATED);
    READ_FAILS(hs_bufio_peek(io, 5), HS_E_TRUNCATED);
    READ_IS(hs_bufio_read(io, 0), "part");
    READ_FAILS(hs_bufio_read(io, 0), HS_E_END);
    READ_FAILS(hs_bufio_line(io, 0), HS_E_END);
    READ_FAILS(hs_bufio_peek(io, 1), HS_E_END);
    READ_IS(hs_bufio_exact(io, 0), "");
    finish();
    begin(NULL);
    expect(&g, hs_bufio_exact(io, 4));
    peer_ended();
    assert_error(&g, HS_E_END);
    finish();
    begin(NULL);
    expect(&g, hs_bufio_exact(io, 4));
    came_text("123");
    assert_waits(&g);
    peer_ended();
    assert_error(&g, HS_E_TRUNCATED);
    /* The peer reads on, if it likes. */
    cr_assert(hs_ok(hs_bufio_write(io, HS_SPAN("short"))));
    finish();
}

Test(net_bufio_end, what_came_before_a_failure_is_read)
{
    got g;
    begin(NULL);
    came_text("line\npart");
    gone(-ECONNRESET);
    READ_IS(hs_bufio_line(io, 0), "line");
    READ_FAILS(hs_bufio_line(io, 0), -ECONNRESET);
    READ_IS(hs_bufio_read(io, 0), "part");
    READ_FAILS(hs_bufio_read(io, 0), -ECONNRESET);
    cr_assert_eq(hs_bufio_write(io, HS_SPAN("x")).code, -ECONNRESET);
    READ_FAILS(hs_bufio_flush(io), -ECONNRESET);
    finish();
    begin(NULL);
    expect(&g, hs_bufio_line(io, 0));
    gone(-ETIMEDOUT);
    assert_error(&g, -ETIMEDOUT);
    finish();
    begin(NULL);
    expect(&g, hs_bufio_line(io, 0));
    gone(0);
    assert_error(&g, HS_E_CLOSED);
    finish();
    begin(NULL); /* all that it had to say was said */
    peer_ended();
    gone(-ECONNRESET);
    READ_FAILS(hs_bufio_line(io, 0), HS_E_END);
    finish();
}

Test(net_bufio_end, closing_while_something_waits)
{
    got g;
    begin(NULL);
    expect(&g, hs_bufio_line(io, 0));
    cr_assert(hs_ok(hs_bufio_write(io, HS_SPAN("bye"))));
    hs_bufio_close(io);
    assert_error(&g, HS_E_CLOSED);
    cr_assert_eq(f.closes, 1);
    cr_assert_eq(f.flushed, 3);
    came_text("too late");
    peer_ended();
    takes(3);
    gone(0);
    bench_run(&b, 1);
    bench_fini(&b);
    begin(NULL);
    came_text("unread");
    expect(&g, hs_bufio_exact(io, 100));
    hs_bufio_abort(io);
    assert_error(&g, HS_E_CLOSED);
    cr_assert_eq(f.aborts, 1);
    gone(HS_E_CLOSED);
    bench_run(&b, 1);
    bench_fini(&b);
}

/* A read that waits, from inside of which all is closed. */
static hs_outcome close_it(void *ctx, void *value)
{
    (void)ctx, (void)value;
    hs_bufio_close(io);
    return hs_value(NULL);
}

Test(net_bufio_end, closing_from_a_reaction)
{
    begin(NULL);
    hs_promise_drop(hs_then(hs_bufio_line(io, 0), close_it, NULL));
    came_text("line\nmore\n");
    bench_run(&b, 0);
    cr_assert_eq(f.closes, 1);
    gone(0);
    bench_fini(&b);
}

Test(net_bufio_end, a_cancelled_read_takes_nothing)
{
    got g;
    begin(NULL);
    hs_cancel *token = hs_cancel_create(b.shard);
    hs_bufio_cancel_by(io, token);
    expect(&g, hs_bufio_line(io, 0));
    came_text("li");
    hs_cancel_fire(token, hs_err_of(-ETIMEDOUT));
    assert_error(&g, -ETIMEDOUT);
    came_text("ne\n");
    READ_FAILS(hs_bufio_line(io, 0), -ETIMEDOUT); /* a token that has fired stays so */
    READ_FAILS(hs_bufio_flush(io), -ETIMEDOUT);
    hs_bufio_cancel_by(io, NULL);
    hs_cancel_unref(token);
    READ_IS(hs_bufio_line(io, 0), "line");
    finish();
}

Test(net_bufio_end, tokens_change_while_a_read_waits)
{
    got g;
    begin(NULL);
    hs_cancel *a = hs_cancel_create(b.shard), *z = hs_cancel_create(b.shard);
    hs_bufio_cancel_by(io, a);
    expect(&g, hs_bufio_line(io, 0));
    hs_bufio_cancel_by(io, z);
    hs_cancel_fire(a, hs_err_of(-ECANCELED));
    assert_waits(&g);
    hs_bufio_cancel_by(io, a); /* it has fired already */
    assert_error(&g, -ECANCELED);
    hs_bufio_cancel_by(io, z);
    expect(&g, hs_bufio_line(io, 0));
    hs_cancel_unref(a);
    hs_cancel_unref(z); /* the reader has its own reference */
    came_text("line\n");
    assert_text(&g, "line");
    finish();
}

Test(net_bufio_end, a_timeout_of_its_own)
{
    got g;
    bench_init(&b, NULL);
    fake_init();
    hs_cancel *token = hs_cancel_after(b.shard, 500);
    cr_assert(hs_ok(hs_bufio_create(&f.s, &(hs_bufio_options){.cancel = token}, &io)));
    hs_cancel_unref(token);
    expect(&g, hs_bufio_line(io, 0));
    bench_run(&b, 490);
    assert_waits(&g);
    bench_run(&b, 20);
    assert_error(&g, -ETIMEDOUT);
    finish();
}

/* Bytes without a place to go: the stream is given up, once. */
Test(net_bufio_end, without_memory_for_what_came)
{
    static uint8_t bytes[HS_CHUNK_BYTES * 2];
    got g;
    begin(NULL);
    expect(&g, hs_bufio_exact(io, 50000));
    b.fail_at = b.takes + 1;
    b.fail_on = true;
    came(bytes, sizeof bytes);
    came(bytes, sizeof bytes);
    b.fail_at = 0;
    assert_error(&g, -ENOMEM);
    cr_assert_eq(f.aborts, 1);
    came(bytes, 1);
    READ_FAILS(hs_bufio_read(io, 0), -ENOMEM);
    gone(HS_E_CLOSED);
    READ_FAILS(hs_bufio_read(io, 0), -ENOMEM);
    finish();
}
