/* Buffered reading and writing over a stream, for code that reads from top to bottom.
 *
 * Owns: the bytes that came and were not read yet, one read and one flush that wait, and their
 * limits. Must not know: what carries the stream, or what the bytes mean. Everything belongs to the
 * owner shard. Tested by: tests/unit/net_bufio*.c, tests/plain/dial.c.
 *
 * Reads. Each is a promise, so a fiber awaits it: fulfilled with a const hs_span *, which is
 * borrowed, with its bytes, until the next read or hs_bufio_close. One at a time: another while one
 * waits comes to HS_E_USAGE. What came and was not asked for waits here; past `bytes_max` the peer
 * is held up. A read ends with
 *   HS_E_END        the peer has ended, and all that it sent was read: a clean end;
 *   HS_E_TRUNCATED  it has ended in the middle of what was asked for; hs_bufio_read gets the rest;
 *   HS_E_LIMIT      what was asked for is longer than it may be; nothing was read;
 *   HS_E_CLOSED     hs_bufio_close, or the stream was closed;
 *   -ECONNRESET and so on, when the stream has failed; -ENOMEM: when it was given up because there
 *                   was no memory for what came;
 *   the reason of the cancel token: nothing was read, and one may go on with another token. */
#pragma once

#include "hs_promise.h"
#include "hs_stream.h"

HS_BEGIN_DECLS

typedef struct hs_bufio hs_bufio;

/* Zeroed: all defaults. */
typedef struct hs_bufio_options {
    size_t bytes_max;  /* bytes that wait to be read; no read gives more. 0: HS_BUFIO_BYTES */
    hs_cancel *cancel; /* see hs_bufio_cancel_by. May be NULL */
} hs_bufio_options;

/* Take over `s`, a stream that nobody listens to yet, such as one just accepted or dialled: its
 * events are set, and it hears. `options` may be NULL. The caller ends it by hs_bufio_close or
 * hs_bufio_abort, also after it has failed. Shard: owner only, as everything here. Errors: -ENOMEM;
 * `s` is still the caller's then. */
HS_API HS_NODISCARD hs_err hs_bufio_create(hs_stream *s, const hs_bufio_options *options,
                                           hs_bufio **out);

/* Send what was written, then end the stream (see hs_stream_close). A read or flush that waits
 * comes to HS_E_CLOSED; `b` must not be used any more. */
HS_API void hs_bufio_close(hs_bufio *b);

/* The same at once: what is unsent is dropped, and the peer sees a reset. */
HS_API void hs_bufio_abort(hs_bufio *b);

/* Reads and flushes, from now on and what waits now, end as soon as `cancel` (NULL: never) fires,
 * with its reason. It refers to the token until the next call, or the end: so each step can have
 * its own timeout (hs_cancel_after). */
HS_API void hs_bufio_cancel_by(hs_bufio *b, hs_cancel *cancel);

/* ---- reading ---- */

/* At least 1 byte and at most `max` (0: all that is there). */
HS_API hs_promise *hs_bufio_read(hs_bufio *b, size_t max);

/* Exactly `bytes`, which may be 0. HS_E_LIMIT: more than bytes_max. */
HS_API hs_promise *hs_bufio_exact(hs_bufio *b, size_t bytes);

/* What stands before the next `delimiter` (1 to HS_BUFIO_DELIMITER_MAX bytes, copied), which is
 * taken with it. HS_E_LIMIT: more than `max` bytes (0: as many as there can be) and none came. */
HS_API hs_promise *hs_bufio_until(hs_bufio *b, hs_span delimiter, size_t max);

/* A line without its end, which is LF or CRLF. `max` as in hs_bufio_until. */
HS_API hs_promise *hs_bufio_line(hs_bufio *b, size_t max);

/* All that is there, once that is at least `bytes` (> 0): the next read gives it again.
 * HS_E_LIMIT: more than bytes_max. */
HS_API hs_promise *hs_bufio_peek(hs_bufio *b, size_t bytes);

/* How many bytes came and were not read: the next read would have to wait for more. */
HS_API size_t hs_bufio_unread(const hs_bufio *b);

/* ---- writing ---- */

/* Copy `data` behind what was written before. It goes out with the next flush, or once
 * HS_BUFIO_GATHER_BYTES are gathered. Errors: HS_E_BLOCKED (HS_SEND_HIGH_BYTES wait: await a flush,
 * then write again), -ENOMEM; HS_E_CLOSED, or why the stream has failed. All or nothing. */
HS_API HS_NODISCARD hs_err hs_bufio_write(hs_bufio *b, hs_span data);

/* Send what was written. Fulfilled with NULL as soon as fewer than HS_SEND_LOW_BYTES wait, so that
 * a slow reader holds up the writer. One at a time, as with reads. Errors: why the stream has
 * failed, HS_E_CLOSED, HS_E_USAGE, the reason of the token. */
HS_API hs_promise *hs_bufio_flush(hs_bufio *b);

HS_END_DECLS
