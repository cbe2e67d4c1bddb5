/* A client of one's own: see alone.h. */
#include "alone.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "hs_fiber.h"
#include "hs_group.h"
#include "lazy_secure.h"

typedef struct place {
    const alone *a;
    hs_tls_options tls_options;
    hs_tls_ctx *tls;
    bool without_tls; /* in this build */
    hs_secure *secure;
    hs_client *client;
    int done[2]; /* a pipe that says that the job is done */
} place;

/* ---- on the private shard ---- */

static hs_err on_fiber(void *arg)
{
    place *p = arg;
    p->a->job(p->client, p->a->ctx);
    hs_client_destroy(p->client);
    (void)!write(p->done[1], "x", 1);
    return HS_OK;
}

static hs_err make_secure(place *p, hs_shard *shard)
{
    hs_tls_why why;
    if (p->without_tls)
        return HS_OK;
    if (p->tls_options.roots_off)
        return lazy_secure_create(shard, &p->tls_options, &p->secure, &why);
    return hs_tls_secure_create(shard, p->tls, &p->secure);
}

static hs_err on_start(hs_shard *shard, void *ctx)
{
    place *p = ctx;
    hs_client_options client = p->a->client;
    HS_TRY(make_secure(p, shard));
    client.secure = p->secure;
    HS_TRY(hs_client_create(shard, &client, &p->client));
    hs_promise *ended = hs_fiber_start(shard, p->a->name, on_fiber, p, NULL);
    bool failed = hs_promise_state_of(ended) == HS_PROMISE_REJECTED; /* the job itself never is */
    hs_promise_drop(ended);
    if (failed)
        hs_client_destroy(p->client);
    HS_ENSURE(!failed, -ENOMEM);
    return HS_OK;
}

static void on_end(hs_shard *shard, void *ctx)
{
    place *p = ctx;
    (void)shard;
    if (p->tls_options.roots_off)
        lazy_secure_destroy(p->secure);
    else
        hs_tls_secure_destroy(p->secure);
}

/* ---- on the caller's thread ---- */

static hs_err run_group(place *p)
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
    o.ctx = p;
    HS_TRY(hs_group_start(&o, &group));
    while (read(p->done[0], &byte, 1) < 0 && errno == EINTR)
        continue;
    hs_group_stop(group);
    hs_group_join(group);
    return HS_OK;
}

/* Read what files hold; of the system's roots it is done late (lazy_secure.h). Without TLS in the
 * build http works, and https says why it does not. */
static hs_err read_tls(place *p, hs_tls_why *why)
{
    const hs_tls_options *o = &p->tls_options;
    hs_err err = hs_tls_client_ctx(o, &p->tls, why);
    p->without_tls = err.code == HS_E_USAGE && !o->ca_file && o->certs_len == 0;
    if (p->without_tls)
        err = HS_OK;
    if (hs_ok(err))
        why->text[0] = '\0';
    return err;
}

hs_err alone_run(const alone *a, hs_tls_why *why)
{
    place p = {.a = a,
               .tls_options = {.ca_file = a->ca_file,
                               .certs = &a->cert,
                               .certs_len = a->cert.cert_file != NULL,
                               .roots_off = !a->ca_file}};
    HS_ASSERT(a->job != NULL && a->name != NULL);
    HS_ASSERT(a->client.secure == NULL);
    HS_ASSERT(hs_shard_self() == NULL);
    HS_TRY(read_tls(&p, why));
    hs_err err = HS_OK;
    if (pipe2(p.done, O_CLOEXEC) != 0)
        err = hs_err_errno(errno);
    if (hs_ok(err)) {
        err = run_group(&p);
        close(p.done[0]);
        close(p.done[1]);
    }
    hs_tls_ctx_unref(p.tls);
    return err;
}
