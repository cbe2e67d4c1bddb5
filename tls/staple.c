/* A server's stapled OCSP responses (RFC 6066 section 8, RFC 8446 section 4.4.2.1).
 *
 * Owns: the response of a certificate, read from its file with the context, and handed to clients
 * that ask for as long as it is good. From then on nothing is stapled: an old response is worse
 * than none. Must not know: who fetches the file anew. Tested by: tests/unit/tls_ocsp.c,
 * tests/unit/tls_staple.c, tests/e2e/tls_ocsp.py.
 *
 * wolfSSL would ask a responder from inside of the handshake; deploy/wolfssl.patch lets it take
 * what is here instead. */
#include "tls.h"

#include <wolfssl/wolfcrypt/asn_public.h>

#ifndef WOLFSSL_HTTPSHARD
#error "this wolfSSL is without deploy/wolfssl.patch: run deploy/setup again"
#endif

hs_err tls_staple_load(const hs_mem *mem, tls_slot *slot, const tls_der *cert, const char *file,
                       hs_tls_why *why)
{
    uint8_t *bytes;
    size_t len;
    HS_ASSERT(slot->staple == NULL);
    HS_TRY(tls_load(mem, file, &bytes, &len, why));
    const char *fault = "is too large for an OCSP response (16 KiB at most)";
    /* A context has no shard; this is the clock that wolfSSL judges certificates by. */
    if (len <= TLS_OCSP_BYTES_MAX)
        fault = tls_ocsp_read(hs_span_of(bytes, len), cert, (uint64_t)wc_Time(NULL),
                              &slot->staple_until_s);
    if (fault) {
        hs_mem_give(mem, bytes, len + 1, 16);
        return tls_say(why, hs_err_of(HS_E_CERT_STATUS), "%s: %s", file, fault);
    }
    slot->staple = bytes;
    slot->staple_len = (uint32_t)len;
    return HS_OK;
}

void tls_staple_free(const hs_mem *mem, tls_slot *slot)
{
    if (slot->staple)
        hs_mem_give(mem, slot->staple, (size_t)slot->staple_len + 1, 16);
    slot->staple = NULL;
}

/* wolfSSL's question, when a client has asked; `arg` is the slot. */
static void on_staple(WOLFSSL *ssl, void *arg, const unsigned char **response, unsigned int *len)
{
    const tls_slot *slot = arg;
    tls_conn *c = wolfSSL_GetIOReadCtx(ssl);
    HS_ASSERT(c != NULL && !c->ctx->client);
    HS_ASSERT(slot->staple != NULL && slot->staple_len <= TLS_OCSP_BYTES_MAX);
    *response = slot->staple;
    *len = hs_shard_wall_s(c->s.shard) < slot->staple_until_s ? slot->staple_len : 0;
}

void tls_staple_use(tls_slot *slot)
{
    HS_ASSERT(slot->wolf != NULL);
    if (slot->staple)
        wolfSSL_CTX_set_staple_cb(slot->wolf, on_staple, slot);
}
