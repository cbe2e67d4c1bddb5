/* Session tickets (RFC 8446 section 4.6.1, RFC 5077): a session's secrets, encrypted for ourselves.
 *
 * Owns: the keys' making and rotation, and the encryption. The keys are the box's, so that a ticket
 * of one shard is good on all; each shard has a copy. A key makes tickets for one period and opens
 * them for two more; then it is forgotten, and with it all that it could open. A ticket is bound to
 * the names of the certificate that the client saw: one for the same names, such as a renewed one,
 * opens it too (RFC 8446 section 4.6.1 asks for no more). Must not know: who resumes, and when.
 * Tested by: tests/unit/tls_ctx.c, tests/e2e/tls.py. */
#include "tls.h"

#include <wolfssl/wolfcrypt/aes.h>
#include <wolfssl/wolfcrypt/random.h>

#define IV_BYTES 12
#define TAG_BYTES 16

HS_STATIC_ASSERT(sizeof(((tls_ticket_key *)0)->name) == WOLFSSL_TICKET_NAME_SZ, "wolfSSL's");

hs_err tls_ticket_rotate(tls_ticket_keys *keys)
{
    WC_RNG rng;
    tls_ticket_key fresh;
    HS_ENSURE(wc_InitRng(&rng) == 0, HS_E_INTERNAL);
    int rc = wc_RNG_GenerateBlock(&rng, (byte *)&fresh, sizeof fresh);
    (void)wc_FreeRng(&rng);
    HS_ENSURE(rc == 0, HS_E_INTERNAL);
    uint32_t kept = HS_MIN(keys->len, (uint32_t)TLS_TICKET_KEYS - 1);
    memmove(&keys->keys[1], &keys->keys[0], kept * sizeof fresh);
    keys->keys[0] = fresh;
    keys->len = kept + 1;
    return HS_OK;
}

/* What a ticket is bound to: its key's name, its nonce, and the certificate. */
typedef struct bound {
    uint8_t name[WOLFSSL_TICKET_NAME_SZ];
    uint8_t iv[WOLFSSL_TICKET_IV_SZ];
    uint8_t identity[TLS_IDENTITY_BYTES];
} bound;

static bound bind_to(const tls_slot *slot, const uint8_t *name, const uint8_t *iv)
{
    bound b;
    memcpy(b.name, name, sizeof b.name);
    memcpy(b.iv, iv, sizeof b.iv);
    memcpy(b.identity, slot->identity, sizeof b.identity);
    return b;
}

static int seal(hs_tls *tls, const tls_slot *slot, uint8_t *name, uint8_t *iv, uint8_t *mac,
                uint8_t *ticket, uint32_t len)
{
    const tls_ticket_key *key = &tls->keys.keys[0];
    Aes aes;
    memcpy(name, key->name, sizeof key->name);
    memset(iv, 0, WOLFSSL_TICKET_IV_SZ);
    memset(mac, 0, WOLFSSL_TICKET_MAC_SZ);
    if (wc_RNG_GenerateBlock(&tls->rng, iv, IV_BYTES) != 0)
        return WOLFSSL_TICKET_RET_FATAL;
    bound b = bind_to(slot, name, iv);
    if (wc_AesInit(&aes, NULL, INVALID_DEVID) != 0)
        return WOLFSSL_TICKET_RET_FATAL;
    int rc = wc_AesGcmSetKey(&aes, key->key, sizeof key->key);
    if (rc == 0)
        rc = wc_AesGcmEncrypt(&aes, ticket, ticket, len, iv, IV_BYTES, mac, TAG_BYTES,
                              (const byte *)&b, sizeof b);
    wc_AesFree(&aes);
    return rc == 0 ? WOLFSSL_TICKET_RET_OK : WOLFSSL_TICKET_RET_FATAL;
}

/* The key that a ticket names; NULL: none of ours, or one that is forgotten. */
static const tls_ticket_key *find(const hs_tls *tls, const uint8_t *name)
{
    for (uint32_t i = 0; i < tls->keys.len; i++)
        if (memcmp(tls->keys.keys[i].name, name, sizeof tls->keys.keys[i].name) == 0)
            return &tls->keys.keys[i];
    return NULL;
}

/* One that cannot be opened is no fault: the handshake is a whole one then. */
static int unseal(const hs_tls *tls, const tls_slot *slot, const uint8_t *name, const uint8_t *iv,
                  const uint8_t *mac, uint8_t *ticket, uint32_t len)
{
    const tls_ticket_key *key = find(tls, name);
    Aes aes;
    if (!key || wc_AesInit(&aes, NULL, INVALID_DEVID) != 0)
        return WOLFSSL_TICKET_RET_REJECT;
    bound b = bind_to(slot, name, iv);
    int rc = wc_AesGcmSetKey(&aes, key->key, sizeof key->key);
    if (rc == 0)
        rc = wc_AesGcmDecrypt(&aes, ticket, ticket, len, iv, IV_BYTES, mac, TAG_BYTES,
                              (const byte *)&b, sizeof b);
    wc_AesFree(&aes);
    if (rc != 0)
        return WOLFSSL_TICKET_RET_REJECT;
    return key == &tls->keys.keys[0] ? WOLFSSL_TICKET_RET_OK : WOLFSSL_TICKET_RET_CREATE;
}

int tls_ticket(WOLFSSL *ssl, unsigned char *name, unsigned char *iv, unsigned char *mac, int enc,
               unsigned char *ticket, int len, int *out_len, void *ctx)
{
    tls_conn *c = wolfSSL_GetIOReadCtx(ssl);
    const tls_slot *slot = ctx;
    HS_ASSERT(c != NULL && slot != NULL);
    HS_ASSERT(c->tls->keys.len > 0);
    if (len <= 0)
        return WOLFSSL_TICKET_RET_REJECT;
    *out_len = len;
    if (enc)
        return seal(c->tls, slot, name, iv, mac, ticket, (uint32_t)len);
    return unseal(c->tls, slot, name, iv, mac, ticket, (uint32_t)len);
}
