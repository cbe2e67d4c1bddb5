/* A response, as a handler makes it.
 *
 * Owns: status, fields, and the body's way out. Framing (Content-Length, Transfer-Encoding,
 * Connection) and Date are the server's. Must not know: the version's wire format.
 * A response is complete after one of the whole-answer functions, or after hs_res_end; then `req`
 * and `res` are gone. What is called on them later, again, or on another thread does nothing, and
 * is HS_E_USAGE where there is a result; the log names the route, once. Everything belongs to the
 * owner shard. Tested by: tests/unit/http_handle.c, tests/wire, tests/sim. */
#pragma once

#include "hs_http.h"
#include "hs_req.h"

HS_BEGIN_DECLS

typedef struct hs_res hs_res;

#define HS_LENGTH_UNKNOWN UINT64_MAX

/* Add a field before the answer begins; a Content-Type takes the place of that of hs_res_text and
 * hs_res_json. `name` is a token, `value` has no control bytes and no
 * space around it: so no field can be smuggled in. All fields have HS_RES_FIELDS_BYTES_MAX (64 KiB)
 * in sum. Errors: HS_E_LIMIT (more than that), HS_E_USAGE (not so, or the name is the
 * server's, or the answer has begun), HS_E_CLOSED (the connection has ended), -ENOMEM. */
HS_API HS_NODISCARD hs_err hs_res_header(hs_res *res, hs_span name, hs_span value);

/* Answer with `status` (200 to 599; any other is answered with 500, and logged) and all of `body`;
 * it is copied. Completes the answer. Never fails: without memory the connection ends. */
HS_API void hs_res_send(hs_res *res, uint32_t status, hs_span body);

/* The same with `Content-Type: text/plain`. */
HS_API void hs_res_text(hs_res *res, uint32_t status, hs_span body);

/* The same with `Content-Type: application/json`; `body` is JSON already. */
HS_API void hs_res_json(hs_res *res, uint32_t status, hs_span body);

/* Begin an answer whose body follows in pieces: of `length` bytes in all, or HS_LENGTH_UNKNOWN
 * (chunked in HTTP/1.1, to the connection's end in 1.0); defers.
 * Errors: HS_E_USAGE (begun already; or no such status: 500 was the answer), HS_E_CLOSED (the
 * connection has ended), -ENOMEM (the connection ends; the abort function is called). */
HS_API HS_NODISCARD hs_err hs_res_begin(hs_res *res, uint32_t status, uint64_t length);

/* A piece of the body; copied. An answer to HEAD, and a 204 or 304, drop it.
 * Errors: HS_E_USAGE (not begun, or more than the length), HS_E_CLOSED (the connection has ended),
 * -ENOMEM (the connection ends later; stop). Mind hs_res_full. */
HS_API HS_NODISCARD hs_err hs_res_write(hs_res *res, hs_span piece);

/* The same without a copy: `piece` must stay valid and the same for ever (constant data). */
HS_API HS_NODISCARD hs_err hs_res_write_static(hs_res *res, hs_span piece);

/* Whether so much waits that the handler should write no more until the drain function is called.
 */
HS_API bool hs_res_full(const hs_res *res);

/* Call `fn(res, ctx)` whenever more can be written after hs_res_full was true. */
HS_API void hs_res_on_drain(hs_res *res, void (*fn)(hs_res *res, void *ctx), void *ctx);

/* Add a trailer field, sent after a chunked body and dropped otherwise. Errors: as hs_res_header.
 */
HS_API HS_NODISCARD hs_err hs_res_trailer(hs_res *res, hs_span name, hs_span value);

/* The body is over. Fewer bytes than the length told end the connection, so that the peer notices.
 */
HS_API void hs_res_end(hs_res *res);

HS_END_DECLS
