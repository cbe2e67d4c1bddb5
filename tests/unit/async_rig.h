/* What the tests of handlers on fibers share: a server whose handler runs on one, and how many of
 * them began and returned. */
#pragma once

#include "http_rig.h"

#include "hs_http_async.h"
#include "inside.h"

static hs_http_async_fn *on_fiber;
static uint32_t begun, returned; /* how many handlers */
static hs_err last;              /* what the last one heard */

static inline hs_err counted(hs_req *req, hs_res *res, void *ctx)
{
    begun++;
    hs_err err = on_fiber(req, res, ctx);
    returned++;
    return err;
}

/* Requests for /plain are answered at once, off any fiber. */
static inline void handle_async(hs_req *req, hs_res *res, void *ctx)
{
    cr_assert_not(hs_on_fiber());
    if (hs_span_eq(hs_req_path(req), HS_SPAN("/plain")))
        hs_res_text(res, 200, HS_SPAN("plain"));
    else
        hs_http_run_async(req, res, "/async", counted, ctx);
}

static inline void async_start(hs_http_async_fn *fn, client *c)
{
    on_fiber = fn;
    begun = returned = 0;
    last = HS_OK;
    rig_start(handle_async);
    connect_client(c);
}

static inline void async_fini(client *c)
{
    client_fini(c);
    rig_fini();
    cr_assert_eq(returned, begun);
}

/* Wait, and keep what came of it. */
static inline hs_err nap(uint64_t ms)
{
    last = hs_await(hs_sleep(r.b.shard, ms, NULL), NULL);
    return last;
}

#define PLAIN OK_5 "\r\nplain"
#define GET_PLAIN "GET /plain HTTP/1.1\r\nHost: a\r\n\r\n"
#define GET_LATER "GET /later HTTP/1.1\r\nHost: a\r\n\r\n"
