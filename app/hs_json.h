/* JSON: a text, and the body of a response, as a document to read.
 *
 * Owns: the way from bytes to a document of yyjson, whose own functions read it; the limits, and
 * what is told of a bad text. Must not know: where a text comes from.
 * Tested by: tests/unit/app_json.c, tests/unit/app_fetch_json.c, tests/fuzz/fuzz_json.c.
 *
 *     #include <httpshard/hs_json.h>
 *     #include <httpshard/yyjson.h>
 *
 *     yyjson_doc *doc;
 *     HS_TRY(hs_await(hs_fetch_json(res, NULL), &doc));
 *     const char *name = yyjson_get_str(yyjson_obj_get(yyjson_doc_get_root(doc), "name"));
 *     ...
 *     yyjson_doc_free(doc);
 *
 * What is taken is JSON as RFC 8259 has it, in UTF-8, and nothing else: no comments, no trailing
 * commas, no NaN; a byte order mark in front is left out (section 8.1). Bytes that are no UTF-8,
 * halves of surrogate pairs and numbers past a double's range are errors. An object has all its
 * members, those of the same name too: yyjson_obj_get finds the first. Parsing is not recursive. */
#pragma once

#include "hs_fetch.h"

HS_BEGIN_DECLS

/* yyjson.h has it, and what reads it. */
typedef struct yyjson_doc yyjson_doc;

/* Zeroed: all defaults. */
typedef struct hs_json_limits {
    /* Of the text. 0: HS_JSON_BYTES_MAX; of a response, the client's body_bytes_max. The worst of
     * texts makes a document of ten times its length, which takes sixteen times while it is made.
     */
    uint64_t bytes_max;
    uint32_t depth_max; /* of arrays and objects in each other: 1 of []. 0: HS_JSON_DEPTH_MAX */
} hs_json_limits;

/* What is wrong with a text. */
typedef struct hs_json_error {
    size_t offset;       /* in bytes, from 0 */
    size_t line, column; /* from 1; a column is a byte */
    const char *text;    /* why, in words; static storage */
} hs_json_error;

/* Parse all of `text`. `limits` may be NULL, as may `error`, which is set where this fails. *out is
 * the caller's: yyjson_doc_free. It has a copy of the text, and memory of `mem` alone, which must
 * outlive it. Errors: HS_E_JSON, HS_E_LIMIT, -ENOMEM. Shard: that of `mem`. */
HS_API HS_NODISCARD hs_err hs_json_parse(const hs_mem *mem, hs_span text,
                                         const hs_json_limits *limits, yyjson_doc **out,
                                         hs_json_error *error);

/* The body of a response, parsed: fulfilled with a yyjson_doc *, which is the receiver's
 * (yyjson_doc_free) and outlives the response, but not the shard. The status and the Content-Type
 * are not looked at, as with json() of the Fetch Standard: they are the caller's to judge.
 * It is parsed in one go, on the shard, which others wait for: keep bytes_max small. Errors: as
 * hs_fetch_bytes and hs_json_parse; a hs_fetch_error says at which line and column. Shard: owner
 * only. */
HS_API hs_promise *hs_fetch_json(hs_fetch_res *res, const hs_json_limits *limits);

HS_END_DECLS
