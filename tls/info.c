/* What a handshake came to.
 *
 * Owns: asking wolfSSL for it, and the names of it. Nothing is kept for that: whoever does not ask
 * pays nothing. Must not know: who asks. Tested by: tests/unit/tls_secure.c,
 * tests/unit/tls_ocsp.c, tests/e2e/fetch.py. */
#include "tls.h"

static bool is_1_3(const tls_conn *c)
{
    return wolfSSL_version(c->ssl) == TLS1_3_VERSION;
}

/* IANA's name of the suite. */
static const char *cipher_of(const tls_conn *c)
{
    int suite = wolfSSL_get_current_cipher_suite(c->ssl);
    HS_ASSERT(suite > 0 && suite <= UINT16_MAX);
    return wolfSSL_get_cipher_name_iana_from_suite((unsigned char)(suite >> 8),
                                                   (unsigned char)suite);
}

static hs_span alpn_of(const tls_conn *c)
{
    char *name = NULL;
    unsigned short len = 0;
    int rc = wolfSSL_ALPN_GetProtocol(c->ssl, &name, &len);
    return rc == WOLFSSL_SUCCESS && name ? hs_span_of(name, len) : hs_span_of(NULL, 0);
}

/* IANA's name of the group that wolfSSL has its own name for. */
static const char *group_of(const tls_conn *c)
{
    static const char *const names[][2] = {
        {"X25519", "x25519"},        {"SECP256R1", "secp256r1"},  {"SECP384R1", "secp384r1"},
        {"SECP521R1", "secp521r1"},  {"FFDHE_2048", "ffdhe2048"}, {"FFDHE_3072", "ffdhe3072"},
        {"FFDHE_4096", "ffdhe4096"},
    };
    const char *own = wolfSSL_get_curve_name(c->ssl);
    for (size_t i = 0; own && i < HS_ARRAY_LEN(names); i++)
        if (strcmp(own, names[i][0]) == 0)
            return names[i][1];
    return own;
}

/* wolfSSL keeps a response's date where the response was good, and nothing else of it. */
static bool is_stapled(const tls_conn *c)
{
    unsigned char date[64];
    int format;
    return wolfSSL_get_ocsp_producedDate(c->ssl, date, sizeof date, &format) == 0;
}

void tls_info_fill(const tls_conn *c, hs_tls_info *out)
{
    HS_ASSERT(c->ssl != NULL);
    *out = (hs_tls_info){
        .version = is_1_3(c) ? HS_TLS_1_3 : HS_TLS_1_2,
        .cipher = cipher_of(c),
        .alpn = alpn_of(c),
        .resumed = wolfSSL_session_reused(c->ssl) != 0,
    };
    if (c->hs)
        out->sni = hs_span_of(c->hs->sni, c->hs->sni_len);
}

void tls_info_secure(const tls_conn *c, hs_secure_info *out)
{
    HS_ASSERT(c->ssl != NULL);
    bool resumed = wolfSSL_session_reused(c->ssl) != 0;
    *out = (hs_secure_info){
        .version = is_1_3(c) ? "TLSv1.3" : "TLSv1.2",
        .cipher = cipher_of(c),
        /* Keys of a resumed session of TLS 1.2 are made of the old ones. */
        .group = resumed && !is_1_3(c) ? NULL : group_of(c),
        .alpn = alpn_of(c),
        .resumed = resumed,
        .stapled = is_stapled(c),
    };
}
