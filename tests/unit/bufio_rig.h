/* What the tests of buffered streams share: a stream made of nothing, which hears what the test
 * says byte by byte and takes what is sent when the test wants; and what a read came to. */
#pragma once

#include "bench.h"
#include "hs_bufio.h"

typedef struct fake_stream {
    hs_stream s;
    hs_chain out;   /* appended */
    size_t flushed; /* of it */
    uint32_t flushes, pauses, resumes, closes, aborts;
    bool paused, closing, dead, full;
} fake_stream;

static bench b;
static fake_stream f;
static hs_bufio *io;

/* ---- the stream ---- */

static inline hs_chain *fake_out(hs_stream *s)
{
    (void)s;
    return f.closing ? NULL : &f.out;
}

static inline void fake_flush(hs_stream *s)
{
    (void)s;
    f.flushes++;
    f.flushed = f.out.len;
    f.full |= f.out.len >= HS_SEND_HIGH_BYTES;
}

static inline void fake_pause(hs_stream *s)
{
    (void)s;
    cr_assert(!f.dead);
    f.pauses++;
    f.paused = true;
}

static inline void fake_resume(hs_stream *s)
{
    (void)s;
    cr_assert(!f.dead);
    f.resumes++;
    f.paused = false;
}

static inline void fake_close(hs_stream *s)
{
    fake_flush(s);
    f.closes++;
    f.closing = true;
}

static inline void fake_abort(hs_stream *s)
{
    (void)s;
    f.aborts++;
    f.closing = true;
}

static inline size_t fake_unsent(const hs_stream *s)
{
    (void)s;
    return f.out.len;
}

static inline uint32_t fake_sent(const hs_stream *s)
{
    (void)s;
    return 0;
}

static inline bool fake_writable(const hs_stream *s)
{
    (void)s;
    return !f.closing;
}

static const hs_stream_ops fake_ops = {
    .out = fake_out,
    .flush = fake_flush,
    .pause = fake_pause,
    .resume = fake_resume,
    .close = fake_close,
    .abort = fake_abort,
    .unsent = fake_unsent,
    .sent = fake_sent,
    .writable = fake_writable,
};

/* The stream is gone. */
static inline void gone(int32_t why)
{
    f.dead = true;
    f.s.events->closed(&f.s, hs_err_of(why));
}

/* `bytes` came; the piece is freed behind it, so that whoever keeps a pointer is found out. */
static inline void came(const void *bytes, size_t len)
{
    uint8_t *piece = malloc(len);
    cr_assert_not_null(piece);
    memcpy(piece, bytes, len);
    f.s.events->data(&f.s, hs_span_of(piece, len));
    memset(piece, 0x5a, len);
    free(piece);
}

static inline void came_text(const char *text)
{
    came(text, strlen(text));
}

static inline void peer_ended(void)
{
    f.s.events->end(&f.s);
}

/* The first `bytes` of what was flushed are sent. */
static inline void takes(size_t bytes)
{
    cr_assert_leq(bytes, f.flushed);
    hs_chain_consume(&f.out, hs_shard_chunks(b.shard), bytes);
    f.flushed -= bytes;
    if (f.out.len == 0 || (f.full && f.out.len < HS_SEND_LOW_BYTES)) {
        f.full = false;
        f.s.events->drained(&f.s);
    }
}

/* ---- around each test ---- */

static inline void fake_init(void)
{
    memset(&f, 0, sizeof f);
    f.s.ops = &fake_ops;
    f.s.shard = b.shard;
}

static inline void begin(const hs_bufio_options *options)
{
    bench_init(&b, NULL);
    fake_init();
    cr_assert(hs_ok(hs_bufio_create(&f.s, options, &io)));
    cr_assert_eq(f.resumes, 1);
}

static inline void finish(void)
{
    hs_bufio_close(io);
    if (!f.dead)
        gone(0);
    hs_chain_clear(&f.out, hs_shard_chunks(b.shard));
    bench_run(&b, 10);
    cr_assert_eq(bench_logged(&b, "nobody handled"), 0);
    bench_fini(&b);
}

/* ---- what something came to ---- */

typedef struct got {
    uint32_t times;
    hs_err err;
    const hs_span *span; /* NULL: an error, or of a flush */
} got;

static inline hs_outcome got_value(void *ctx, void *value)
{
    got *g = ctx;
    g->times++;
    g->span = value;
    return hs_value(NULL);
}

static inline hs_outcome got_error(void *ctx, hs_err err, void *detail)
{
    got *g = ctx;
    cr_assert_null(detail);
    g->times++;
    g->err = err;
    return hs_value(NULL);
}

/* What comes of it is written down, now or later. */
static inline void expect(got *g, hs_promise *p)
{
    *g = (got){0};
    hs_promise_drop(hs_then_catch(p, got_value, got_error, g));
    bench_run(&b, 0);
}

static inline void assert_text(got *g, const char *text)
{
    bench_run(&b, 0);
    cr_assert_eq(g->times, 1, "\"%s\" is waited for", text);
    cr_assert(hs_ok(g->err), "%s instead of \"%s\"", hs_err_name(g->err), text);
    cr_assert_not_null(g->span);
    cr_assert(hs_span_eq(*g->span, hs_span_str(text)), "\"%.*s\" instead of \"%s\"",
              (int)g->span->len, (const char *)g->span->ptr, text);
}

static inline void assert_error(got *g, int32_t code)
{
    bench_run(&b, 0);
    cr_assert_eq(g->times, 1);
    cr_assert_eq(g->err.code, code, "%s", hs_err_name(g->err));
    cr_assert_null(g->span);
}

static inline void assert_waits(got *g)
{
    bench_run(&b, 0);
    cr_assert_eq(g->times, 0);
}

/* Of reads that need not wait. */
#define READ_IS(promise, text)                                                                     \
    do {                                                                                           \
        got read_is_;                                                                              \
        expect(&read_is_, promise);                                                                \
        assert_text(&read_is_, text);                                                              \
    } while (0)

#define READ_FAILS(promise, code)                                                                  \
    do {                                                                                           \
        got read_fails_;                                                                           \
        expect(&read_fails_, promise);                                                             \
        assert_error(&read_fails_, code);                                                          \
    } while (0)
