/* TLS of a client whose roots are read late: see lazy_secure.h. */
#include "lazy_secure.h"

#include <errno.h>
#include <stdio.h>

#include "hs_assert.h"
#include "hs_list.h"
#include "hs_shard.h"

typedef struct lazy_secure {
    hs_secure head;
    hs_shard *shard;
    hs_tls_options options;
    hs_secure *unverified; /* without roots */
    hs_secure *verified;   /* with the system's. NULL: not read yet */
} lazy_secure;

static hs_err open_one(const lazy_secure *l, bool roots_off, hs_secure **out, hs_tls_why *why)
{
    hs_tls_options o = l->options;
    hs_tls_ctx *ctx;
    o.roots_off = roots_off;
    HS_TRY(hs_tls_client_ctx(&o, &ctx, why));
    hs_err err = hs_tls_secure_create(l->shard, ctx, out);
    hs_tls_ctx_unref(ctx);
    return err;
}

/* There is no handshake. */
static hs_promise *refuse(const lazy_secure *l, hs_stream *plain, hs_err err, const char *text)
{
    hs_secure_error *e = hs_mem_take_zero(hs_shard_mem(l->shard), sizeof *e, 16);
    hs_stream_abort(plain);
    if (e) {
        e->shard = l->shard;
        e->err = err;
        snprintf(e->text, sizeof e->text, "%.199s", text);
    }
    hs_outcome outcome = {err, NULL, e, hs_secure_error_free};
    return hs_promise_settled(l->shard, outcome);
}

static hs_promise *start(hs_secure *self, hs_stream *plain, const hs_secure_options *options)
{
    lazy_secure *l = HS_CONTAINER_OF(self, lazy_secure, head);
    if (options->unverified)
        return l->unverified->start(l->unverified, plain, options);
    if (!l->verified) {
        hs_tls_why why = {""};
        hs_err err = open_one(l, false, &l->verified, &why);
        if (!hs_ok(err))
            return refuse(l, plain, err, why.text);
    }
    return l->verified->start(l->verified, plain, options);
}

hs_err lazy_secure_create(hs_shard *shard, const hs_tls_options *options, hs_secure **out,
                          hs_tls_why *why)
{
    HS_ASSERT(!options->ca_file && options->roots_off);
    lazy_secure *l = hs_mem_take_zero(hs_shard_mem(shard), sizeof *l, 16);
    HS_ENSURE(l, -ENOMEM);
    *l = (lazy_secure){.head = {start}, .shard = shard, .options = *options};
    hs_err err = open_one(l, true, &l->unverified, why);
    if (hs_ok(err))
        *out = &l->head;
    else
        hs_mem_give(hs_shard_mem(shard), l, sizeof *l, 16);
    return err;
}

void lazy_secure_destroy(hs_secure *secure)
{
    if (!secure)
        return;
    lazy_secure *l = HS_CONTAINER_OF(secure, lazy_secure, head);
    HS_ASSERT(l->head.start == start);
    hs_tls_secure_destroy(l->unverified);
    hs_tls_secure_destroy(l->verified);
    hs_mem_give(hs_shard_mem(l->shard), l, sizeof *l, 16);
}
