/* A fetch that is waited for: see hs_fetch_wait.h. */
#include "hs_fetch_wait.h"

#include <errno.h>
#include <stdio.h>

#include "alone.h"
#include "hs_fiber.h"

typedef struct wait {
    hs_span url;
    hs_fetch_wait_options options;
    hs_err err;
    hs_fetch_phase phase;
    char text[300];
    hs_fetch_answer *answer; /* of what came */
} wait;

/* ---- on the private shard ---- */

static void take_failure(wait *w, hs_outcome o)
{
    const hs_fetch_error *e = o.value;
    HS_ASSERT(!hs_ok(o.err));
    w->err = o.err;
    w->phase = e ? e->phase : HS_FETCH_START;
    snprintf(w->text, sizeof w->text, "%s", e ? e->text : hs_err_text(o.err));
    if (o.drop)
        o.drop(o.value);
}

static size_t bytes_of(const hs_fetch_res *res, hs_span body)
{
    size_t bytes = sizeof(hs_fetch_answer) + res->fields_len * sizeof(hs_fetch_field);
    for (uint32_t i = 0; i < res->fields_len; i++)
        bytes += res->fields[i].name.len + res->fields[i].value.len;
    return bytes + res->reason.len + res->url.len + body.len + 1;
}

static hs_span put(uint8_t **at, hs_span from)
{
    hs_span out = hs_span_of(*at, from.len);
    if (from.len > 0)
        memcpy(*at, from.ptr, from.len);
    *at += from.len;
    return out;
}

/* One piece of memory that has nothing of the shard's. */
static hs_err copy(wait *w, const hs_fetch_res *res, hs_span body)
{
    size_t bytes = bytes_of(res, body);
    hs_fetch_answer *a = hs_mem_take_zero(hs_mem_system(), bytes, 16);
    HS_ENSURE(a, -ENOMEM);
    hs_fetch_field *fields = (hs_fetch_field *)(a + 1);
    uint8_t *at = (uint8_t *)(fields + res->fields_len);
    a->bytes = bytes;
    a->status = res->status;
    a->redirected = res->redirected;
    a->timing = res->timing;
    a->fields = fields;
    a->fields_len = res->fields_len;
    for (uint32_t i = 0; i < res->fields_len; i++) {
        fields[i].name = put(&at, res->fields[i].name);
        fields[i].value = put(&at, res->fields[i].value);
    }
    a->reason = put(&at, res->reason);
    a->url = put(&at, res->url);
    a->body = put(&at, body);
    HS_ASSERT((size_t)(at - (uint8_t *)a) + 1 == bytes);
    w->answer = a;
    return HS_OK;
}

static void fetch_it(hs_client *client, void *ctx)
{
    wait *w = ctx;
    hs_outcome o = hs_await_outcome(hs_fetch(client, w->url, &w->options.fetch));
    if (!hs_ok(o.err)) {
        take_failure(w, o);
        return;
    }
    hs_fetch_res *res = o.value;
    o = hs_await_outcome(hs_fetch_bytes(res, 0));
    if (hs_ok(o.err))
        w->err = copy(w, res, *(const hs_span *)o.value);
    else
        take_failure(w, o);
    hs_fetch_res_free(res);
}

/* ---- on the caller's thread ---- */

static hs_err run(wait *w)
{
    const hs_client_options *c = &w->options.client;
    bool own = !c->tcp && !c->dns && !c->secure && !c->cookies && !w->options.fetch.cancel;
    snprintf(w->text, sizeof w->text,
             "hs_fetch_wait on a shard, which must not wait: use hs_fetch");
    HS_ENSURE(hs_shard_self() == NULL, HS_E_USAGE);
    snprintf(w->text, sizeof w->text, "the options have what belongs to a shard");
    HS_ENSURE(own, HS_E_USAGE);
    alone a = {.name = "hs_fetch_wait",
               .ca_file = w->options.ca_file,
               .client = w->options.client,
               .job = fetch_it,
               .ctx = w};
    hs_tls_why why;
    hs_err err = alone_run(&a, &why);
    if (!hs_ok(err))
        snprintf(w->text, sizeof w->text, "%s", why.text);
    return hs_ok(err) ? w->err : err;
}

hs_err hs_fetch_wait(hs_span url, const hs_fetch_wait_options *options, hs_fetch_answer **out)
{
    wait w = {.url = url, .phase = HS_FETCH_START};
    HS_ASSERT(out != NULL);
    if (options)
        w.options = *options;
    hs_err err = run(&w);
    HS_ASSERT(hs_ok(err) == (w.answer != NULL));
    *out = w.answer;
    if (hs_ok(err))
        return err;
    hs_fetch_answer *a = hs_mem_take_zero(hs_mem_system(), sizeof *a, 16);
    if (!a)
        return err;
    a->bytes = sizeof *a;
    a->err = err;
    a->phase = w.phase;
    snprintf(a->text, sizeof a->text, "%s", w.text[0] ? w.text : hs_err_text(err));
    *out = a;
    return err;
}

void hs_fetch_answer_free(hs_fetch_answer *answer)
{
    if (answer)
        hs_mem_give(hs_mem_system(), answer, answer->bytes, 16);
}
