/* A request, as a handler sees it.
 *
 * Owns: the view of the head and the ways to read the body. Must not know: the version's wire
 * format. All spans point into the request's own memory: they are valid until the handler returns;
 * after hs_req_defer fetch them anew, and they are valid until the answer is complete. Of a request
 * that is over all is empty: see hs_res.h. Everything belongs to the owner shard.
 * Tested by: tests/unit/http_handle.c, tests/wire, tests/sim. */
#pragma once

#include "hs_arena.h"
#include "hs_http.h"
#include "hs_shard.h"

HS_BEGIN_DECLS

typedef struct hs_req hs_req;

/* The method; HS_METHOD_OTHER for one that RFC 9110 does not know. */
HS_API hs_method hs_req_method(const hs_req *req);

/* The method's name as sent. */
HS_API hs_span hs_req_method_name(const hs_req *req);

/* The target as sent (RFC 9112 section 3.2). */
HS_API hs_span hs_req_target(const hs_req *req);

/* The target's path as sent, neither decoded nor normalised; "*" of the target "*", and "/" where
 * an absolute target has none (RFC 9110 section 4.2.3). It may hold any byte but controls, DEL,
 * space, '#' and '?': also bytes from 0x80 up and a '%' without two hex digits, since browsers and
 * curl send them. Routes are compared with these bytes. */
HS_API hs_span hs_req_path(const hs_req *req);

/* The target's query without the '?', as sent: any byte but controls, DEL, space and '#'. Empty
 * where there is none. */
HS_API hs_span hs_req_query(const hs_req *req);

/* What of the path is left for the handler: all of it, until hs_req_set_route. */
HS_API hs_span hs_req_tail(const hs_req *req);

/* For routers: hs_req_set_label, and the handler's part of the path (hs_req_tail) begins at byte
 * `tail_at` (at most the path's length). */
HS_API void hs_req_set_route(hs_req *req, const char *label, size_t tail_at);

/* For routers: name what serves the request, such as its route, for people (hs_shard_label_set).
 * Holds from here until the handler of the server returns, and again for each later callback of the
 * request: its body, its abort, its drains. `label` lives as long as the shard. */
HS_API void hs_req_set_label(hs_req *req, const char *label);

/* The host and port that the request is for: of an absolute target, else of Host. May be empty. */
HS_API hs_span hs_req_authority(const hs_req *req);

/* The minor version: 0 or 1 of HTTP/1. */
HS_API uint32_t hs_req_minor(const hs_req *req);

/* The first field of that name, without regard to case; *value is set. False where there is none.
 */
HS_API bool hs_req_header(const hs_req *req, hs_span name, hs_span *value);

/* How many fields there are. */
HS_API uint32_t hs_req_headers(const hs_req *req);

/* Field `at` (below hs_req_headers), in the order in which they came. */
HS_API void hs_req_header_at(const hs_req *req, uint32_t at, hs_span *name, hs_span *value);

/* The length that the head tells; false where the body is chunked. 0 where there is no body. */
HS_API bool hs_req_content_length(const hs_req *req, uint64_t *bytes);

/* The first trailer of that name, once the body is over. False where there is none. */
HS_API bool hs_req_trailer(const hs_req *req, hs_span name, hs_span *value);

/* Memory that lives as long as the request. NULL: it is over. */
HS_API hs_arena *hs_req_arena(hs_req *req);

/* The shard that serves it. */
HS_API hs_shard *hs_req_shard(const hs_req *req);

/* The handler will answer after it has returned. Without this (or hs_req_body, hs_req_collect, or
 * an answer that was begun) a handler that returns without an answer is answered for with 500.
 * Errors: -ENOMEM (the head could not be kept; answer now). */
HS_API HS_NODISCARD hs_err hs_req_defer(hs_req *req);

/* The handler will not answer after all: the client gets a 500, or the end of an answer that has
 * begun. `req` and its response are gone. Where the connection has ended, this (as any answer) lets
 * go of what was kept for the handler. */
HS_API void hs_req_drop(hs_req *req);

/* Call `fn(req, ctx)` if the connection ends before the answer is complete; `req` and its response
 * are gone when it returns. Set it together with whatever will answer later. NULL unsets it.
 * Without it (and without hs_req_cancel) a deferred request outlives its connection, with its
 * memory, until the handler answers or drops it: that does nothing more. */
HS_API void hs_req_on_abort(hs_req *req, void (*fn)(hs_req *req, void *ctx), void *ctx);

/* A piece of the body, borrowed until the return; `last` comes once, with the last piece or with an
 * empty one. */
typedef void hs_req_body_fn(hs_req *req, hs_span piece, bool last, void *ctx);

/* Hear the body as it comes, without a limit on its length; defers. `fn` is first called after the
 * handler has returned. Errors: -ENOMEM, HS_E_USAGE (asked twice, or the answer is complete). */
HS_API HS_NODISCARD hs_err hs_req_body(hs_req *req, hs_req_body_fn *fn, void *ctx);

/* Hear no more of the body until hs_req_body_resume: the peer is slowed down. Pieces that are here
 * already may still be heard. */
HS_API void hs_req_body_pause(hs_req *req);

/* Hear the body again, from the next turn on. */
HS_API void hs_req_body_resume(hs_req *req);

/* Hear the whole body at once, in the request's memory; defers. A body above `bytes_max` (0: the
 * option body_bytes_max) is answered with 413, and `fn` is not called.
 * Errors: as hs_req_body, and HS_E_LIMIT (too long by its Content-Length: 413 is the
 * answer, and the abort function, if one is set, has run). */
HS_API HS_NODISCARD hs_err hs_req_collect(hs_req *req, uint64_t bytes_max,
                                          void (*fn)(hs_req *req, hs_span body, void *ctx),
                                          void *ctx);

HS_END_DECLS
