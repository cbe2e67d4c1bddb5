/* Contexts: certificates, keys, roots and choices, read once and never changed.
 *
 * Owns: one context of wolfSSL for each certificate, with the names that it is for. Must not know:
 * connections. Tested by: tests/unit/tls_ctx.c. */
#include <stdatomic.h>

#include "tls.h"

/* wolfSSL's names. All with an ephemeral exchange of keys and authenticated encryption: what
 * remains of TLS 1.2 once RFC 9325 section 4.2 is applied. */
#define CIPHERS                                                                                    \
    "TLS13-AES128-GCM-SHA256:TLS13-AES256-GCM-SHA384:TLS13-CHACHA20-POLY1305-SHA256:"              \
    "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:"                                   \
    "ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:"                                   \
    "ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305"
#define RSA_BITS_MIN 2048
/* A ticket is good for as long as the key that made it is surely kept. */
#define TICKET_S ((TLS_TICKET_KEYS - 1) * HS_TLS_TICKET_S)

static hs_err say_wolf(hs_tls_why *why, int rc, const char *file, const char *what)
{
    if (rc == MEMORY_E || rc == MEMORY_ERROR)
        return tls_say(why, hs_err_of(-ENOMEM), "%s: no memory", file);
    return tls_say(why, hs_err_of(HS_E_CERT), "%s: %s (%s)", file, what,
                   wolfSSL_ERR_reason_error_string((unsigned long)(long)rc));
}

/* ---- a certificate's names and kind ---- */

typedef struct names_walk {
    const hs_mem *mem;
    tls_slot *slot;
    hs_err err;
} names_walk;

static bool add_name(hs_span name, void *ctx)
{
    names_walk *w = ctx;
    tls_slot *slot = w->slot;
    bool wildcard = name.len > 2 && name.ptr[0] == '*' && name.ptr[1] == '.';
    if (wildcard)
        name = hs_span_from(name, 1);
    if (!tls_name_ok(wildcard ? hs_span_from(name, 1) : name))
        return true;
    HS_ASSERT(slot->names_len < slot->names_max);
    uint8_t *copy = hs_mem_take(w->mem, name.len, 16);
    if (!copy) {
        w->err = hs_err_of(-ENOMEM);
        return false;
    }
    for (size_t i = 0; i < name.len; i++)
        copy[i] = name.ptr[i] >= 'A' && name.ptr[i] <= 'Z' ? name.ptr[i] | 0x20 : name.ptr[i];
    slot->names[slot->names_len++] =
        (tls_name){.ptr = copy, .len = (uint16_t)name.len, .wildcard = wildcard};
    return true;
}

static uint32_t kind_of(hs_span oid)
{
    static const uint8_t rsa[] = {0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01};
    static const uint8_t ec[] = {0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01};
    static const uint8_t ed25519[] = {0x2b, 0x65, 0x70};
    if (hs_span_eq(oid, hs_span_of(rsa, sizeof rsa)))
        return TLS_KEY_RSA;
    if (hs_span_eq(oid, hs_span_of(ec, sizeof ec)))
        return TLS_KEY_ECDSA;
    return hs_span_eq(oid, hs_span_of(ed25519, sizeof ed25519)) ? TLS_KEY_ED25519 : 0;
}

/* What the first certificate of `pem` says of itself. `der` has room for as much as `pem`. */
static hs_err describe(const hs_mem *mem, tls_slot *slot, hs_span pem, uint8_t *der,
                       const hs_tls_cert *cert, hs_tls_why *why)
{
    tls_der parts;
    const char *file = cert->cert_file;
    int len = wc_CertPemToDer(pem.ptr, (int)pem.len, der, (int)pem.len, CERT_TYPE);
    if (len <= 0)
        return say_wolf(why, len, file, "holds no certificate");
    if (!tls_der_cert(hs_span_of(der, (size_t)len), &parts))
        return tls_say(why, hs_err_of(HS_E_CERT), "%s: its certificate is broken", file);
    slot->kind = kind_of(parts.key_oid);
    if (slot->kind == 0)
        return tls_say(why, hs_err_of(HS_E_CERT), "%s: its key is not RSA, ECDSA or Ed25519", file);
    slot->names_max = tls_names_count(&parts);
    if (slot->names_max > TLS_NAMES_MAX)
        return tls_say(why, hs_err_of(HS_E_CERT), "%s: its certificate has %u names, %d at most",
                       file, slot->names_max, TLS_NAMES_MAX);
    hs_err err = tls_names_identity(mem, &parts, hs_span_of(der, (size_t)len), slot->identity);
    if (!hs_ok(err))
        return tls_say(why, hs_err_of(-ENOMEM), "%s: no memory", file);
    if (slot->names_max == 0)
        slot->names_max = 1;
    slot->names = hs_mem_take_zero(mem, slot->names_max * sizeof *slot->names, 16);
    names_walk walk = {mem, slot, {slot->names ? 0 : -ENOMEM}};
    if (slot->names)
        (void)tls_names_each(&parts, add_name, &walk);
    if (!hs_ok(walk.err))
        return tls_say(why, walk.err, "%s: no memory", file);
    return cert->ocsp_file ? tls_staple_load(mem, slot, &parts, cert->ocsp_file, why) : HS_OK;
}

/* ---- loading ---- */

static hs_err use_cert(const hs_mem *mem, tls_slot *slot, const hs_tls_cert *cert, hs_tls_why *why)
{
    const char *file = cert->cert_file;
    uint8_t *pem;
    size_t len;
    HS_TRY(tls_load(mem, file, &pem, &len, why));
    hs_err err = HS_OK;
    uint8_t *der = hs_mem_take(mem, len, 16);
    if (!der)
        err = tls_say(why, hs_err_of(-ENOMEM), "%s: no memory", file);
    if (hs_ok(err))
        err = describe(mem, slot, hs_span_of(pem, len), der, cert, why);
    if (hs_ok(err)) {
        int rc = wolfSSL_CTX_use_certificate_chain_buffer(slot->wolf, pem, (long)len);
        if (rc != WOLFSSL_SUCCESS)
            err = say_wolf(why, rc, file, "its certificates cannot be used");
    }
    hs_mem_give(mem, der, len, 16);
    hs_mem_give(mem, pem, len + 1, 16);
    return err;
}

static hs_err use_key(const hs_mem *mem, tls_slot *slot, const hs_tls_cert *cert, hs_tls_why *why)
{
    uint8_t *pem;
    size_t len;
    HS_TRY(tls_load(mem, cert->key_file, &pem, &len, why));
    int rc = wolfSSL_CTX_use_PrivateKey_buffer(slot->wolf, pem, (long)len, WOLFSSL_FILETYPE_PEM);
    tls_forget(pem, len);
    hs_mem_give(mem, pem, len + 1, 16);
    if (rc != WOLFSSL_SUCCESS)
        return say_wolf(why, rc, cert->key_file, "holds no key that can be used");
    rc = wolfSSL_CTX_check_private_key(slot->wolf);
    if (rc == MEMORY_E || rc == MEMORY_ERROR)
        return say_wolf(why, rc, cert->key_file, "");
    if (rc != WOLFSSL_SUCCESS)
        return tls_say(why, hs_err_of(HS_E_CERT), "%s: is not the key of %s", cert->key_file,
                       cert->cert_file);
    return HS_OK;
}

static WOLFSSL_METHOD *method_of(const hs_tls_options *o, bool client)
{
    if (o->version_max == HS_TLS_1_2)
        return client ? wolfTLSv1_2_client_method() : wolfTLSv1_2_server_method();
    return client ? wolfTLS_client_method() : wolfTLS_server_method();
}

/* What all contexts have in common. */
static hs_err set_up(WOLFSSL_CTX *wolf, const hs_tls_options *o, hs_tls_why *why)
{
    int version = o->version_min == HS_TLS_1_3 ? WOLFSSL_TLSV1_3 : WOLFSSL_TLSV1_2;
    const char *ciphers = o->ciphers ? o->ciphers : CIPHERS;
    if (wolfSSL_CTX_SetMinVersion(wolf, version) != WOLFSSL_SUCCESS)
        return tls_say(why, hs_err_of(HS_E_INTERNAL), "wolfSSL refuses the least version");
    if (wolfSSL_CTX_set_cipher_list(wolf, ciphers) != WOLFSSL_SUCCESS)
        return tls_say(why, hs_err_of(o->ciphers ? HS_E_USAGE : -ENOMEM),
                       "none of the ciphers '%.200s' is known", ciphers);
    /* Sessions are resumed by tickets alone: a cache would be shared between the shards. */
    (void)wolfSSL_CTX_set_session_cache_mode(wolf, WOLFSSL_SESS_CACHE_OFF);
    (void)wolfSSL_CTX_set_max_early_data(wolf, 0);
    (void)wolfSSL_CTX_SetMinRsaKey_Sz(wolf, RSA_BITS_MIN);
    wolfSSL_CTX_SetIORecv(wolf, tls_io_recv);
    wolfSSL_CTX_SetIOSend(wolf, tls_io_send);
    return HS_OK;
}

static hs_err set_up_side(hs_tls_ctx *ctx, tls_slot *slot, const hs_tls_options *o, hs_tls_why *why)
{
    WOLFSSL_CTX *wolf = slot->wolf;
    if (ctx->client) {
        wolfSSL_CTX_set_verify(wolf, WOLFSSL_VERIFY_PEER, tls_verify);
        if (wolfSSL_CTX_EnableOCSPStapling(wolf) != WOLFSSL_SUCCESS ||
            (o->staple_required && wolfSSL_CTX_EnableOCSPMustStaple(wolf) != WOLFSSL_SUCCESS))
            return tls_say(why, hs_err_of(-ENOMEM), "no memory");
        return o->roots_off ? HS_OK : tls_load_roots(ctx->mem, wolf, o->ca_file, why);
    }
    if (o->client == HS_TLS_CLIENT_OFF) {
        wolfSSL_CTX_set_verify(wolf, WOLFSSL_VERIFY_NONE, NULL);
        (void)wolfSSL_CTX_set_TicketEncCb(wolf, tls_ticket);
        (void)wolfSSL_CTX_set_TicketEncCtx(wolf, slot);
        (void)wolfSSL_CTX_set_TicketHint(wolf, TICKET_S);
        /* How old a ticket may be; wolfSSL's own limit is 500 s, whatever the hint says. */
        (void)wolfSSL_CTX_set_timeout(wolf, TICKET_S);
        return HS_OK;
    }
    /* A resumed session shows no certificate, and may be older than a change of the roots. */
    (void)wolfSSL_CTX_NoTicketTLSv12(wolf);
    (void)wolfSSL_CTX_no_ticket_TLSv13(wolf);
    int mode = WOLFSSL_VERIFY_PEER;
    if (o->client == HS_TLS_CLIENT_REQUIRED)
        mode |= WOLFSSL_VERIFY_FAIL_IF_NO_PEER_CERT;
    wolfSSL_CTX_set_verify(wolf, mode, NULL);
    return tls_load_roots(ctx->mem, wolf, o->ca_file, why);
}

static hs_err add_slot(hs_tls_ctx *ctx, const hs_tls_options *o, const hs_tls_cert *cert,
                       hs_tls_why *why)
{
    tls_slot *slot = &ctx->slots[ctx->slots_len++];
    slot->wolf = wolfSSL_CTX_new(method_of(o, ctx->client));
    if (!slot->wolf)
        return tls_say(why, hs_err_of(-ENOMEM), "no memory");
    HS_TRY(set_up(slot->wolf, o, why));
    HS_TRY(set_up_side(ctx, slot, o, why));
    if (!cert)
        return HS_OK;
    HS_TRY(use_cert(ctx->mem, slot, cert, why));
    tls_staple_use(slot);
    return use_key(ctx->mem, slot, cert, why);
}

/* ---- the whole ---- */

static hs_err check(const hs_tls_options *o, bool client, hs_tls_why *why)
{
    hs_err usage = hs_err_of(HS_E_USAGE);
    if (!client && o->certs_len == 0)
        return tls_say(why, usage, "a server needs a certificate");
    if (o->certs_len > (client ? 1 : HS_TLS_CERTS_MAX))
        return tls_say(why, usage, "too many certificates (%u)", o->certs_len);
    for (uint32_t i = 0; i < o->certs_len; i++)
        if (!o->certs[i].cert_file || !o->certs[i].key_file)
            return tls_say(why, usage, "a certificate and its key come together");
    if (client && o->certs_len > 0 && o->certs[0].ocsp_file)
        return tls_say(why, usage, "a client staples nothing");
    if (!client && o->staple_required)
        return tls_say(why, usage, "a stapled response is required of servers alone");
    if (o->client != HS_TLS_CLIENT_OFF && (client || !o->ca_file))
        return tls_say(why, usage, "certificates of clients need a file of roots to trust");
    if (o->roots_off && (!client || o->ca_file))
        return tls_say(why, usage, "a client without roots has no file of them");
    if (o->version_min == HS_TLS_1_3 && o->version_max == HS_TLS_1_2)
        return tls_say(why, usage, "the least version is above the highest");
    if (o->alpn_len > HS_TLS_ALPN_MAX)
        return tls_say(why, usage, "too many protocols (%u)", o->alpn_len);
    for (uint32_t i = 0; i < o->alpn_len; i++)
        if (o->alpn[i].len == 0 || o->alpn[i].len > HS_TLS_ALPN_BYTES_MAX ||
            memchr(o->alpn[i].ptr, ',', o->alpn[i].len))
            return tls_say(why, usage, "a protocol has 1 to 64 bytes, and no comma");
    return HS_OK;
}

static size_t ctx_bytes(uint32_t slots)
{
    return sizeof(hs_tls_ctx) + slots * sizeof(tls_slot);
}

static void free_slot(const hs_mem *mem, tls_slot *slot)
{
    for (uint32_t i = 0; i < slot->names_len; i++)
        hs_mem_give(mem, slot->names[i].ptr, slot->names[i].len, 16);
    hs_mem_give(mem, slot->names, slot->names_max * sizeof *slot->names, 16);
    tls_staple_free(mem, slot);
    if (slot->wolf)
        wolfSSL_CTX_free(slot->wolf);
}

static void ctx_free(hs_tls_ctx *ctx)
{
    for (uint32_t i = 0; i < ctx->slots_len; i++)
        free_slot(ctx->mem, &ctx->slots[i]);
    hs_mem_give(ctx->mem, ctx, ctx_bytes(ctx->slots_max), 16);
}

static hs_err fill(hs_tls_ctx *ctx, const hs_tls_options *o, hs_tls_why *why)
{
    for (uint32_t i = 0; i < o->alpn_len; i++) {
        ctx->alpn[i].len = (uint8_t)o->alpn[i].len;
        memcpy(ctx->alpn[i].text, o->alpn[i].ptr, o->alpn[i].len);
    }
    ctx->alpn_len = o->alpn_len;
    for (uint32_t i = 0; i < ctx->slots_max; i++)
        HS_TRY(add_slot(ctx, o, i < o->certs_len ? &o->certs[i] : NULL, why));
    return HS_OK;
}

static hs_err make(const hs_tls_options *o, bool client, hs_tls_ctx **out, hs_tls_why *why)
{
    const hs_mem *mem = o->mem ? o->mem : hs_mem_system();
    *out = NULL;
    why->text[0] = '\0';
    HS_TRY(check(o, client, why));
    hs_err err = tls_library();
    if (!hs_ok(err))
        return tls_say(why, err, "wolfSSL does not start");
    uint32_t slots = HS_MAX(o->certs_len, 1);
    hs_tls_ctx *ctx = hs_mem_take_zero(mem, ctx_bytes(slots), 16);
    if (!ctx)
        return tls_say(why, hs_err_of(-ENOMEM), "no memory");
    ctx->mem = mem;
    atomic_init(&ctx->refs, 1);
    ctx->client = client;
    ctx->client_auth = o->client;
    ctx->slots_max = slots;
    const hs_mem *before = tls_mem_set(mem);
    err = fill(ctx, o, why);
    if (!hs_ok(err))
        ctx_free(ctx);
    tls_mem_set(before);
    if (hs_ok(err))
        *out = ctx;
    return err;
}

hs_err hs_tls_server_ctx(const hs_tls_options *options, hs_tls_ctx **out, hs_tls_why *why)
{
    return make(options, false, out, why);
}

hs_err hs_tls_client_ctx(const hs_tls_options *options, hs_tls_ctx **out, hs_tls_why *why)
{
    return make(options, true, out, why);
}

hs_tls_ctx *hs_tls_ctx_ref(hs_tls_ctx *ctx)
{
    uint32_t before = atomic_fetch_add_explicit(&ctx->refs, 1, memory_order_relaxed);
    HS_ASSERT(before > 0);
    return ctx;
}

void hs_tls_ctx_unref(hs_tls_ctx *ctx)
{
    if (!ctx)
        return;
    uint32_t before = atomic_fetch_sub_explicit(&ctx->refs, 1, memory_order_acq_rel);
    HS_ASSERT(before > 0);
    if (before == 1)
        ctx_free(ctx);
}
