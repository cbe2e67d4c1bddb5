/* What hs_tls.h is in a build without TLS: contexts cannot be made, and so nothing else can be
 * reached. Tested by: tests/e2e/tls.py. */
#include <stdio.h>

#include "hs_assert.h"
#include "hs_tls.h"

static hs_err refuse(hs_tls_ctx **out, hs_tls_why *why)
{
    *out = NULL;
    int n = snprintf(why->text, sizeof why->text,
                     "this build is without TLS (HTTPSHARD_TLS=OFF): build it with TLS");
    HS_ASSERT(n > 0);
    return hs_err_of(HS_E_USAGE);
}

hs_err hs_tls_server_ctx(const hs_tls_options *options, hs_tls_ctx **out, hs_tls_why *why)
{
    (void)options;
    return refuse(out, why);
}

hs_err hs_tls_client_ctx(const hs_tls_options *options, hs_tls_ctx **out, hs_tls_why *why)
{
    (void)options;
    return refuse(out, why);
}

hs_tls_ctx *hs_tls_ctx_ref(hs_tls_ctx *ctx)
{
    return ctx;
}

void hs_tls_ctx_unref(hs_tls_ctx *ctx)
{
    HS_ASSERT(ctx == NULL);
}

hs_tls_box *hs_tls_box_create(const hs_mem *mem, hs_tls_ctx *ctx)
{
    (void)mem;
    HS_ASSERT(ctx == NULL);
    return NULL;
}

void hs_tls_box_destroy(hs_tls_box *box)
{
    HS_ASSERT(box == NULL);
}

void hs_tls_box_publish(hs_tls_box *box, hs_tls_ctx *ctx)
{
    (void)ctx;
    HS_ASSERT(box != NULL);
}

hs_err hs_tls_create(hs_shard *shard, hs_tls_box *box, const hs_tls_shard_options *options,
                     hs_tls **out)
{
    (void)shard, (void)box, (void)options, (void)out;
    return hs_err_of(HS_E_USAGE);
}

void hs_tls_destroy(hs_tls *tls)
{
    HS_ASSERT(tls == NULL);
}

void hs_tls_accept(hs_tls *tls, hs_stream *plain)
{
    (void)plain;
    HS_ASSERT(tls != NULL);
}

uint32_t hs_tls_conns(const hs_tls *tls)
{
    (void)tls;
    return 0;
}

uint32_t hs_tls_handshakes(const hs_tls *tls)
{
    (void)tls;
    return 0;
}

void hs_tls_abort_handshakes(hs_tls *tls)
{
    (void)tls;
}

hs_err hs_tls_secure_create(hs_shard *shard, hs_tls_ctx *ctx, hs_secure **out)
{
    (void)shard, (void)ctx, (void)out;
    return hs_err_of(HS_E_USAGE);
}

void hs_tls_secure_destroy(hs_secure *secure)
{
    HS_ASSERT(secure == NULL);
}
