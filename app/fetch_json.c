/* A response's body becomes a document: see hs_json.h.
 *
 * Owns: what is told of a body that is no JSON. Must not know: how bodies come.
 * Tested by: tests/unit/app_fetch_json.c. */
#include <yyjson.h>

#include <stdio.h>

#include "hs_json.h"
#include "hs_shard.h"

static void drop(void *doc)
{
    yyjson_doc_free(doc);
}

/* `ctx` is how deep it may go; how long it may be was seen to on its way. */
static hs_err make(hs_span body, char *text, void **out, void *ctx)
{
    hs_json_limits limits = {.bytes_max = UINT64_MAX, .depth_max = (uint32_t)(uintptr_t)ctx};
    hs_json_error e;
    yyjson_doc *doc;
    hs_err err = hs_json_parse(hs_shard_mem(hs_shard_self()), body, &limits, &doc, &e);
    if (hs_ok(err))
        *out = doc;
    else if (err.code == HS_E_JSON || err.code == HS_E_LIMIT)
        snprintf(text, HS_FETCH_WHY_BYTES, "JSON, line %zu, column %zu: %s", e.line, e.column,
                 e.text);
    return err;
}

hs_promise *hs_fetch_json(hs_fetch_res *res, const hs_json_limits *limits)
{
    uint32_t depth = limits ? limits->depth_max : 0;
    hs_fetch_maker maker = {make, drop, (void *)(uintptr_t)depth};
    return hs_fetch_make(res, limits ? limits->bytes_max : 0, &maker);
}
