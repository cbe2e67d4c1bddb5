/* What the receiver of a response does with it: its fields, and its body in one of three ways.
 *
 * Owns: the three ways' beginnings. Must not know: where the bytes come from.
 * Tested by: tests/unit/http_fetch_body.c. */
#include "client.h"

hs_span hs_fetch_header(const hs_fetch_res *res, hs_span name)
{
    for (uint32_t i = 0; i < res->fields_len; i++)
        if (hs_span_eq_nocase(res->fields[i].name, name))
            return res->fields[i].value;
    return hs_span_of(NULL, 0);
}

bool hs_fetch_trailer(const hs_fetch_res *res, uint32_t i, hs_fetch_field *out)
{
    const fetch *f = fetch_of(res);
    const h1_response *t = f->reply.trailers;
    if (f->phase != HS_FETCH_DONE || !hs_ok(f->err) || !t || i >= t->fields_len)
        return false;
    *out = (hs_fetch_field){.name = t->fields[i].name, .value = t->fields[i].value};
    return true;
}

const hs_fetch_error *hs_fetch_why(const hs_fetch_res *res)
{
    const fetch *f = fetch_of(res);
    return hs_ok(f->err) ? NULL : &f->error;
}

hs_err hs_fetch_read(hs_fetch_res *res, const hs_fetch_reader *reader)
{
    fetch *f = fetch_of(res);
    HS_ASSERT(reader->data && reader->end);
    HS_ENSURE(f->mode == BODY_KEPT, HS_E_USAGE);
    f->mode = BODY_READ;
    f->reader = *reader;
    fetch_body_soon(f);
    return HS_OK;
}

void hs_fetch_pause(hs_fetch_res *res)
{
    fetch_of(res)->paused = true;
}

void hs_fetch_resume(hs_fetch_res *res)
{
    fetch *f = fetch_of(res);
    HS_ASSERT(f->client->shard == hs_shard_self());
    f->paused = false;
    fetch_body_soon(f);
}

static hs_promise *refuse(const fetch *f, int32_t code)
{
    return hs_promise_settled(f->client->shard, hs_error(hs_err_of(code)));
}

static hs_promise *collect(hs_fetch_res *res, uint64_t bytes_max, const hs_fetch_maker *maker)
{
    fetch *f = fetch_of(res);
    HS_ASSERT(bytes_max < SIZE_MAX / 4);
    if (f->mode != BODY_KEPT)
        return refuse(f, HS_E_USAGE);
    hs_promise *promise = hs_promise_create(f->client->shard);
    if (!promise)
        return refuse(f, -ENOMEM);
    f->mode = BODY_WHOLE;
    f->whole_max = bytes_max ? bytes_max : f->client->options.body_bytes_max;
    f->wanted = promise;
    f->maker = *maker;
    fetch_body_soon(f);
    return promise;
}

static const hs_fetch_maker as_it_is;

hs_promise *hs_fetch_bytes(hs_fetch_res *res, uint64_t bytes_max)
{
    return collect(res, bytes_max, &as_it_is);
}

hs_promise *hs_fetch_text(hs_fetch_res *res, uint64_t bytes_max)
{
    return collect(res, bytes_max, &as_it_is); /* all have the NUL */
}

hs_promise *hs_fetch_make(hs_fetch_res *res, uint64_t bytes_max, const hs_fetch_maker *maker)
{
    HS_ASSERT(maker->make != NULL);
    return collect(res, bytes_max, maker);
}

hs_promise *hs_fetch_next(hs_fetch_res *res)
{
    fetch *f = fetch_of(res);
    HS_ASSERT(f->client->shard == hs_shard_self());
    if (f->mode == BODY_KEPT)
        f->mode = BODY_PIECES;
    if (f->mode != BODY_PIECES || f->wanted)
        return refuse(f, HS_E_USAGE);
    fetch_body_taken(f, f->piece.len);
    f->piece = hs_span_of(NULL, 0);
    f->wanted = hs_promise_create(f->client->shard);
    if (!f->wanted)
        return refuse(f, -ENOMEM);
    hs_promise *promise = f->wanted;
    fetch_body_soon(f);
    return promise;
}
