/* Requests that wait: cancel tokens, promises, and handlers on fibers.
 *
 * Owns: what ties a request to promises and fibers: a token that fires when nobody wants the answer
 * any more, the body and the room to write as promises, and a handler that reads top to bottom.
 * Must not know: routes. A request that does not ask for any of it pays for none of it. Everything
 * belongs to the owner shard. Tested by: tests/unit/http_async*.c, tests/e2e/async.py.
 *
 * How long things live. From here on the head is kept: all spans of the request, its arena, and
 * `req` and `res` themselves stay as they are over every await, until the answer is complete (as
 * hs_res.h has it) or the handler awaits after the token has fired, which it does without waiting.
 * So a handler on a fiber that is told -ECANCELED may still look at the request on its way out; it
 * cannot answer any more. Having answered, a handler may go on, and await, without touching the
 * request again. */
#pragma once

#include "hs_fiber.h"
#include "hs_req.h"
#include "hs_res.h"

HS_BEGIN_DECLS

/* The token of this request: it fires with -ECANCELED when the connection ends before the answer is
 * complete (the client reset it or broke the protocol, or the time of a drain is over), before the
 * request is gone. A client that only closed its own side may still read, and is not gone yet.
 * After a complete answer it never fires. Pass it to what the answer waits for. On the fiber of
 * hs_http_run_async it is hs_fiber_cancel(). Borrowed; NULL without memory. */
HS_API hs_cancel *hs_req_cancel(hs_req *req);

/* What comes of a promise, for a request that still waits for it: the value is the callee's. */
typedef void hs_req_when_fn(hs_req *req, hs_res *res, hs_outcome outcome, void *ctx);

/* Call fn(req, res, outcome, ctx) once `promise` is settled, unless the request is over by then:
 * the end of a chain of promises, of which no other link may touch `req` or `res`, since a link may
 * run when they are gone. Defers. Consumes the promise's handle in any case. Errors: -ENOMEM (`fn`
 * is never called; answer now), HS_E_USAGE (the answer is complete). */
HS_API HS_NODISCARD hs_err hs_req_when(hs_req *req, hs_promise *promise, hs_req_when_fn *fn,
                                       void *ctx);

/* The next piece of the body: fulfilled with a hs_span *, or with NULL when there is no more. It
 * stays until the next call, or the request's end. There is no limit on the body's length, and the
 * peer is slowed down while nobody asks. Not with hs_req_body or hs_req_collect. Asked again before
 * it has come: the same promise. Errors: -ECANCELED (as the token), -ENOMEM, HS_E_USAGE (the answer
 * is complete, or the body is heard in another way). */
HS_API hs_promise *hs_req_next(hs_req *req);

/* All of the body: fulfilled with a hs_span *, which stays until the request's end. One above
 * `bytes_max` (0: the option body_bytes_max) is answered with 413. Once; not after hs_req_next.
 * Errors: as hs_req_next, HS_E_LIMIT (413 is the answer already; a fiber hears -ECANCELED). */
HS_API hs_promise *hs_req_whole(hs_req *req, uint64_t bytes_max);

/* Fulfilled with NULL when more can be written: at once, unless hs_res_full. Errors: -ECANCELED (as
 * the token), -ENOMEM, HS_E_USAGE (the answer is complete). */
HS_API hs_promise *hs_res_drained(hs_res *res);

/* A handler that runs on a fiber: it may hs_await, and returns when it is done. */
typedef hs_err hs_http_async_fn(hs_req *req, hs_res *res, void *ctx);

/* Run handler(req, res, ctx) on a fiber called `name` (borrowed until its end: a route), whose
 * token is the request's; called by a plain handler as the last thing that it does. What the client
 * gets when it returns:
 *   an answer is complete       nothing is added
 *   HS_OK, one was begun        its end (hs_res_end)
 *   HS_OK, and no answer        500, and a log line
 *   an error, one was begun     the connection is cut off
 *   an error, and no answer     504 for -ETIMEDOUT; 503 where it is blocked or a limit is reached
 *                               (hs_err_class: also -ENOMEM, -EMFILE); 500 for any other
 * An error other than that of its token is logged with `name`. Where there is no memory for a
 * fiber, or too many, 503 is the answer and `handler` is not called. */
HS_API void hs_http_run_async(hs_req *req, hs_res *res, const char *name, hs_http_async_fn *handler,
                              void *ctx);

HS_END_DECLS
