/* Reading from a buffered stream: each kind, at each boundary of bytes, limits, and memory. Ends
 * and cancels are in net_bufio_end.c. */
#include "bufio_rig.h"

/* ---- kinds ---- */

Test(net_bufio, what_is_there_is_given_at_once)
{
    begin(NULL);
    came_text("one\r\ntwo\nGET;restand more");
    READ_IS(hs_bufio_line(io, 0), "one");
    READ_IS(hs_bufio_line(io, 0), "two");
    READ_IS(hs_bufio_until(io, HS_SPAN(";"), 0), "GET");
    READ_IS(hs_bufio_peek(io, 2), "restand more");
    READ_IS(hs_bufio_peek(io, 12), "restand more");
    READ_IS(hs_bufio_exact(io, 4), "rest");
    READ_IS(hs_bufio_read(io, 3), "and");
    cr_assert_eq(hs_bufio_unread(io), 5);
    READ_IS(hs_bufio_exact(io, 0), "");
    READ_IS(hs_bufio_read(io, 0), " more");
    cr_assert_eq(hs_bufio_unread(io), 0);
    READ_IS(hs_bufio_exact(io, 0), "");
    finish();
}

Test(net_bufio, line_ends)
{
    begin(NULL);
    came_text("\n\r\n\r\r\na\rb\n\r\r\n");
    READ_IS(hs_bufio_line(io, 0), "");
    READ_IS(hs_bufio_line(io, 0), "");
    READ_IS(hs_bufio_line(io, 0), "\r");
    READ_IS(hs_bufio_line(io, 0), "a\rb");
    READ_IS(hs_bufio_line(io, 0), "\r");
    finish();
}

Test(net_bufio, delimiters_that_begin_again)
{
    begin(NULL);
    came_text("aaab");
    READ_IS(hs_bufio_until(io, HS_SPAN("aab"), 0), "a");
    came_text("x--y----boundary");
    READ_IS(hs_bufio_until(io, HS_SPAN("--boundary"), 0), "x--y--");
    came_text("0123456789abcdef!");
    READ_IS(hs_bufio_until(io, HS_SPAN("0123456789abcdef"), 0), "");
    READ_IS(hs_bufio_read(io, 0), "!");
    finish();
}

/* The same script over two cuts of the text, at every pair of places. */
static void script(const char *text, size_t first, size_t second)
{
    static const char *const results[] = {"GET / HTTP/1.1", "", "abcd", "e--f", "gh", "i"};
    got g[HS_ARRAY_LEN(results)];
    size_t len = strlen(text), cuts[] = {0, first, second, len}, next = 0;
    begin(NULL);
    for (size_t i = 0; i < HS_ARRAY_LEN(g); i++) {
        hs_promise *p = i < 2    ? hs_bufio_line(io, 20)
                        : i == 2 ? hs_bufio_exact(io, 4)
                        : i == 3 ? hs_bufio_until(io, HS_SPAN("---"), 10)
                        : i == 4 ? hs_bufio_exact(io, 2)
                                 : hs_bufio_read(io, 1);
        expect(&g[i], p);
        while (g[i].times == 0) {
            cr_assert_lt(next, 3);
            if (cuts[next + 1] > cuts[next])
                came(text + cuts[next], cuts[next + 1] - cuts[next]);
            next++;
            bench_run(&b, 0);
        }
        assert_text(&g[i], results[i]);
    }
    finish();
}

Test(net_bufio, every_two_cuts_of_a_text)
{
    static const char text[] = "GET / HTTP/1.1\r\n\nabcde--f---ghi";
    size_t len = strlen(text);
    for (size_t first = 0; first <= len; first++)
        for (size_t second = first; second <= len; second += 1 + (second > first + 2))
            script(text, first, second);
}

Test(net_bufio, byte_by_byte)
{
    static const char text[] = "a line\r\nhead--body";
    got g[3];
    size_t i = 0;
    begin(NULL);
    expect(&g[0], hs_bufio_line(io, 0));
    for (; g[0].times == 0; i++, bench_run(&b, 0))
        came(text + i, 1);
    cr_assert_eq(i, 8);
    assert_text(&g[0], "a line");
    expect(&g[1], hs_bufio_until(io, HS_SPAN("--"), 0));
    for (; g[1].times == 0; i++, bench_run(&b, 0))
        came(text + i, 1);
    cr_assert_eq(i, 14);
    assert_text(&g[1], "head");
    expect(&g[2], hs_bufio_exact(io, 4));
    for (; g[2].times == 0; i++, bench_run(&b, 0))
        came(text + i, 1);
    assert_text(&g[2], "body");
    finish();
}

/* ---- what a result points to ---- */

Test(net_bufio, a_result_stays_while_more_comes)
{
    static uint8_t more[3000];
    got g;
    memset(more, 'm', sizeof more);
    begin(NULL);
    came_text("first\nsecond\n");
    expect(&g, hs_bufio_line(io, 0));
    assert_text(&g, "first");
    for (int i = 0; i < 10; i++) {
        came(more, sizeof more);
        assert_text(&g, "first");
    }
    READ_IS(hs_bufio_line(io, 0), "second");
    expect(&g, hs_bufio_exact(io, 30000));
    cr_assert_eq(g.span->len, 30000);
    for (size_t i = 0; i < 30000; i++)
        cr_assert_eq(g.span->ptr[i], 'm');
    READ_IS(hs_bufio_exact(io, 0), "");
    finish();
}

/* There is room in front of what is unread; but not while somebody looks at it. */
Test(net_bufio, a_result_stays_where_room_is_before_it)
{
    static uint8_t much[4000];
    got g;
    begin(NULL);
    came(much, 3000);
    came_text("stays");
    came(much, 900);
    expect(&g, hs_bufio_exact(io, 3000));
    expect(&g, hs_bufio_exact(io, 5));
    assert_text(&g, "stays");
    came(much, 500);
    came(much, 2000); /* over the place where it was */
    assert_text(&g, "stays");
    expect(&g, hs_bufio_exact(io, 3400));
    cr_assert(g.times == 1 && g.span->len == 3400);
    finish();
}

Test(net_bufio, one_read_at_a_time)
{
    got first, second;
    begin(NULL);
    expect(&first, hs_bufio_line(io, 0));
    came_text("li");
    expect(&second, hs_bufio_read(io, 1));
    assert_error(&second, HS_E_USAGE);
    expect(&second, hs_bufio_exact(io, 0));
    assert_error(&second, HS_E_USAGE);
    assert_waits(&first);
    came_text("ne\n");
    assert_text(&first, "line");
    finish();
}

/* ---- limits ---- */

Test(net_bufio, a_line_that_is_too_long)
{
    static const char *const ends[] = {"\n", "\r\n"};
    for (size_t e = 0; e < 2; e++) {
        begin(NULL);
        came_text("12345");
        came_text(ends[e]);
        READ_IS(hs_bufio_line(io, 5), "12345");
        came_text("123456");
        came_text(ends[e]);
        READ_FAILS(hs_bufio_line(io, 5), HS_E_LIMIT);
        READ_IS(hs_bufio_line(io, 6), "123456"); /* nothing was taken */
        finish();
    }
}

/* It does not take the end of the line to know. */
Test(net_bufio, a_line_without_an_end_is_too_long_in_time)
{
    got g;
    begin(NULL);
    expect(&g, hs_bufio_line(io, 5));
    came_text("12345");
    assert_waits(&g);
    came_text("\r");
    assert_waits(&g);
    came_text("x");
    assert_error(&g, HS_E_LIMIT);
    READ_IS(hs_bufio_read(io, 0), "12345\rx");
    expect(&g, hs_bufio_until(io, HS_SPAN("ab"), 3));
    came_text("123a");
    assert_waits(&g);
    came_text("c");
    assert_error(&g, HS_E_LIMIT);
    finish();
}

/* The longest that can be asked for is found before the peer is held up for good. */
Test(net_bufio, the_longest_of_each_kind)
{
    uint8_t bytes[100];
    got g;
    memset(bytes, 'x', sizeof bytes);
    begin(&(hs_bufio_options){.bytes_max = 80});
    expect(&g, hs_bufio_line(io, 0));
    came(bytes, 78);
    assert_waits(&g);
    cr_assert(!f.paused);
    came_text("\r");
    assert_waits(&g);
    came_text("\n");
    bench_run(&b, 0);
    cr_assert_eq(g.span->len, 78);
    expect(&g, hs_bufio_line(io, 1000)); /* no longer than the buffer */
    came(bytes, 80);
    assert_error(&g, HS_E_LIMIT);
    expect(&g, hs_bufio_exact(io, 80));
    cr_assert_eq(g.span->len, 80);
    READ_FAILS(hs_bufio_exact(io, 81), HS_E_LIMIT);
    READ_FAILS(hs_bufio_peek(io, 81), HS_E_LIMIT);
    expect(&g, hs_bufio_until(io, HS_SPAN("--"), 0));
    came(bytes, 79);
    assert_waits(&g);
    cr_assert(!f.paused);
    came(bytes, 1);
    assert_error(&g, HS_E_LIMIT);
    finish();
}

Test(net_bufio, a_peer_that_is_faster_is_held_up)
{
    uint8_t bytes[100] = {0};
    begin(&(hs_bufio_options){.bytes_max = 100});
    came(bytes, 99);
    cr_assert(!f.paused);
    came(bytes, 1);
    cr_assert(f.paused);
    came(bytes, 100); /* what the system had handed over */
    cr_assert_eq(f.pauses, 1);
    cr_assert_eq(hs_bufio_unread(io), 200);
    got g;
    expect(&g, hs_bufio_exact(io, 100));
    cr_assert(f.paused);
    expect(&g, hs_bufio_exact(io, 49));
    cr_assert(f.paused);
    expect(&g, hs_bufio_exact(io, 1)); /* half is free */
    cr_assert(!f.paused);
    expect(&g, hs_bufio_exact(io, 50));
    came(bytes, 100);
    cr_assert(f.paused);
    expect(&g, hs_bufio_exact(io, 30));
    cr_assert(f.paused);
    expect(&g, hs_bufio_exact(io, 71)); /* it waits for what the peer has */
    assert_waits(&g);
    cr_assert(!f.paused);
    finish();
}

/* ---- memory ---- */

Test(net_bufio, an_idle_one_holds_no_buffer)
{
    got g;
    begin(NULL);
    hs_pool *chunks = hs_shard_chunks(b.shard);
    uint32_t before = chunks->slots_used;
    came_text("line\n");
    READ_IS(hs_bufio_line(io, 0), "line");
    cr_assert_eq(chunks->slots_used, before + 1);
    expect(&g, hs_bufio_line(io, 0));
    cr_assert_eq(chunks->slots_used, before);
    came_text("next\n");
    assert_text(&g, "next");
    finish();
}

/* Short lines in a steady flow take nothing from the system. */
Test(net_bufio, a_steady_flow_takes_no_memory)
{
    got g;
    begin(NULL);
    uint64_t takes_before = 0;
    for (int i = 0; i < 1000; i++) {
        if (i == 100)
            takes_before = b.takes;
        came_text("some of the text\nand ");
        expect(&g, hs_bufio_line(io, 100));
        cr_assert_eq(g.times, 1);
    }
    cr_assert_leq(b.takes - takes_before, 6); /* of which the queue's growth */
    finish();
}

Test(net_bufio, each_piece_of_memory_fails_once)
{
    static uint8_t bytes[9000];
    uint32_t whole = 0;
    for (uint64_t i = 1; whole < 2; i++) {
        got g[3] = {{0}};
        bench_init(&b, NULL);
        fake_init();
        hs_promise *first = hs_promise_create(b.shard); /* the pool's first piece */
        hs_promise_settle(first, hs_value(NULL));
        hs_promise_drop(first);
        b.fail_at = b.takes + i;
        hs_err err = hs_bufio_create(&f.s, NULL, &io);
        if (hs_ok(err)) {
            expect(&g[0], hs_bufio_line(io, 0));
            came_text("line\n");
            came(bytes, sizeof bytes);
            expect(&g[1], hs_bufio_exact(io, sizeof bytes));
            came(bytes, sizeof bytes);
            expect(&g[2], hs_bufio_read(io, 0));
        }
        whole += b.fails == 0;
        b.fail_at = 0;
        cr_assert(hs_ok(err) || err.code == -ENOMEM);
        for (size_t j = 0; j < 3; j++)
            cr_assert(hs_ok(g[j].err) || g[j].err.code == -ENOMEM);
        if (b.fails == 0)
            cr_assert(g[0].span && g[1].span && g[2].span);
        if (hs_ok(err)) {
            finish();
        } else {
            bench_run(&b, 10);
            bench_fini(&b);
        }
        cr_assert_lt(i, 40);
    }
}

/* A random text in random pieces, against the same text in one: each read gives the same. */
static void random_script(uint64_t seed)
{
    static const char letters[] = "ab-\r\n";
    char text[400];
    size_t at = 0, came_len = 0;
    uint64_t x = seed * UINT64_C(0x9e3779b97f4a7c15) + 1;
    begin(&(hs_bufio_options){.bytes_max = 64});
    for (size_t i = 0; i < sizeof text; i++, x = x * UINT64_C(6364136223846793005) + 1)
        text[i] = letters[(x >> 40) % 5];
    while (at + 140 < sizeof text) {
        size_t len, skip = 0;
        bool fits = true;
        got g;
        x = x * UINT64_C(6364136223846793005) + 1;
        uint32_t how = (uint32_t)(x >> 33) % 3, n = (uint32_t)(x >> 36) % 20;
        if (how == 0) {
            len = n;
            expect(&g, hs_bufio_exact(io, n));
        } else {
            const char *delimiter = how == 1 ? "\n" : "--";
            skip = how == 1 ? 1 : 2;
            const char *hit = memmem(text + at, sizeof text - at, delimiter, skip);
            len = hit ? (size_t)(hit - text) - at : sizeof text;
            expect(&g,
                   how == 1 ? hs_bufio_line(io, n + 1) : hs_bufio_until(io, HS_SPAN("--"), n + 1));
            size_t cr = how == 1 && len > 0 && hit && text[at + len - 1] == '\r';
            len -= cr;
            skip += cr;
            fits = len <= n + 1;
        }
        while (g.times == 0) {
            x = x * UINT64_C(6364136223846793005) + 1;
            size_t piece = HS_MIN(1 + (size_t)(x >> 50) % 9, sizeof text - came_len);
            cr_assert_gt(piece, 0);
            came(text + came_len, piece);
            came_len += piece;
            bench_run(&b, 0);
        }
        if (fits) {
            cr_assert(hs_ok(g.err), "seed %u at %zu", (unsigned)seed, at);
            cr_assert(hs_span_eq(*g.span, hs_span_of(text + at, len)));
            at += len + skip;
        } else {
            cr_assert_eq(g.err.code, HS_E_LIMIT, "seed %u at %zu", (unsigned)seed, at);
        }
    }
    finish();
}

Test(net_bufio, random_texts_in_random_pieces)
{
    uint64_t seeds = getenv("HS_TEST_LONG") ? 20000 : 300;
    for (uint64_t seed = 1; seed <= seeds; seed++)
        random_script(seed);
}
