/* A fetch that is waited for: see hs_fetch_wait.h. */
#include "hs_fetch_wait.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "hs_fiber.h"
#include "hs_group.h"
#include "hs_tls.h"

typedef struct wait {
    hs_span url;
    hs_fetch_wait_options options;
    hs_tls_ctx *tls;
    hs_secure *secure;
    hs_client *client;
    int done[2]; /* a pipe that says that all is fetched */
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

static void fetch_it(wait *w)
{
    hs_outcome o = hs_await_outcome(hs_fetch(w->client, w->url, &w->options.fetch));
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

static hs_err on_fiber(void *arg)
{
    wait *w = arg;
    fetch_it(w);
    hs_client_destroy(w->client);
    (void)!write(w->done[1], "x", 1);
    return HS_OK;
}

static hs_err on_start(hs_shard *shard, void *ctx)
{
    wait *w = ctx;
    if (w->tls)
        HS_TRY(hs_tls_secure_create(shard, w->tls, &w->secure));
    w->options.client.secure = w->secure;
    HS_TRY(hs_client_create(shard, &w->options.client, &w->client));
    hs_promise *ended = hs_fiber_start(shard, "hs_fetch_wait", on_fiber, w, NULL);
    bool failed = hs_promise_state_of(ended) == HS_PROMISE_REJECTED;
    hs_promise_drop(ended);
    if (failed)
        hs_client_destroy(w->client);
    HS_ENSURE(!failed, -ENOMEM);
    return HS_OK;
}

static void on_end(hs_shard *shard, void *ctx)
{
    wait *w = ctx;
    (void)shard;
    hs_tls_secure_destroy(w->secure);
}

/* ---- on the caller's thread ---- */

static hs_err run_group(wait *w)
{
    hs_group_options o;
    hs_group *group;
    char byte;
    hs_group_options_init(&o);
    o.shards = 1;
    o.pin_off = true;
    o.log_level = HS_LOG_ERROR;
    o.start = on_start;
    o.end = on_end;
    o.ctx = w;
    HS_TRY(hs_group_start(&o, &group));
    while (read(w->done[0], &byte, 1) < 0 && errno == EINTR)
        continue;
    hs_group_stop(group);
    hs_group_join(group);
    return w->err;
}

/* Without TLS in the build http works, and https says why it does not. */
static hs_err make_tls(wait *w)
{
    hs_tls_why why;
    hs_tls_options o = {.ca_file = w->options.ca_file};
    hs_err err = hs_tls_client_ctx(&o, &w->tls, &why);
    if (err.code == HS_E_USAGE && !o.ca_file)
        return HS_OK;
    if (!hs_ok(err))
        snprintf(w->text, sizeof w->text, "%s", why.text);
    return err;
}

static hs_err run(wait *w)
{
    const hs_client_options *c = &w->options.client;
    bool own = !c->tcp && !c->dns && !c->secure && !c->cookies && !w->options.fetch.cancel;
    snprintf(w->text, sizeof w->text,
             "hs_fetch_wait on a shard, which must not wait: use hs_fetch");
    HS_ENSURE(hs_shard_self() == NULL, HS_E_USAGE);
    snprintf(w->text, sizeof w->text, "the options have what belongs to a shard");
    HS_ENSURE(own, HS_E_USAGE);
    w->text[0] = '\0';
    HS_TRY(make_tls(w));
    hs_err err = HS_OK;
    if (pipe2(w->done, O_CLOEXEC) != 0)
        err = hs_err_errno(errno);
    if (hs_ok(err)) {
        err = run_group(w);
        close(w->done[0]);
        close(w->done[1]);
    }
    hs_tls_ctx_unref(w->tls);
    return err;
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
