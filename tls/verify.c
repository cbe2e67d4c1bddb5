/* Whether a peer's certificate is accepted, and why not.
 *
 * Owns: the host's comparison with what the certificate names, and the words for each failure.
 * wolfSSL checks signatures, dates, constraints and usages before. Must not know: what follows from
 * it. Tested by: tests/unit/tls_secure.c, tests/e2e/tls.py. */
#include <stdio.h>

#include "tls.h"
hs_err tls_cert_err(int wolf_err)
{
    switch (wolf_err) {
    case ASN_NO_SIGNER_E:
    case ASN_SELF_SIGNED_E:
        return hs_err_of(HS_E_CERT_UNKNOWN);
    case ASN_BEFORE_DATE_E:
    case ASN_AFTER_DATE_E:
        return hs_err_of(HS_E_CERT_TIME);
    case DOMAIN_NAME_MISMATCH:
    case IPADDR_MISMATCH:
        return hs_err_of(HS_E_CERT_HOST);
    case KEYUSE_SIGNATURE_E:
    case KEYUSE_ENCIPHER_E:
    case EXTKEYUSE_AUTH_E:
        return hs_err_of(HS_E_CERT_USAGE);
    case CRL_CERT_REVOKED:
    case OCSP_CERT_REVOKED:
        return hs_err_of(HS_E_CERT_REVOKED);
    case ASN_PARSE_E:
    case ASN_SIG_CONFIRM_E:
    case ASN_SIG_HASH_E:
    case ASN_SIG_KEY_E:
    case ASN_CRIT_EXT_E:
    case ASN_PATHLEN_INV_E:
    case ASN_PATHLEN_SIZE_E:
    case ASN_NAME_INVALID_E:
    case ASN_ALT_NAME_E:
    case HANDSHAKE_SIZE_ERROR:
    case NOT_CA_ERROR:
    case MAX_CHAIN_ERROR:
    case RSA_KEY_SIZE_E:
    case ECC_KEY_SIZE_E:
    case NO_PEER_CERT:
    case VERIFY_CERT_ERROR:
        return hs_err_of(HS_E_CERT);
    case BAD_CERTIFICATE_STATUS_ERROR:
    case OCSP_CERT_UNKNOWN:
    case OCSP_LOOKUP_FAIL:
        return hs_err_of(HS_E_CERT_STATUS);
    default:
        return HS_OK;
    }
}

/* ---- words ---- */

typedef struct words {
    char *out;
    size_t len, room;
} words;

static void add(words *w, hs_span text)
{
    for (size_t i = 0; i < text.len && w->len + 1 < w->room; i++) {
        uint8_t c = text.ptr[i];
        w->out[w->len++] = c >= 0x20 && c < 0x7f ? (char)c : '?';
    }
    w->out[w->len] = '\0';
}

static void add_text(words *w, const char *text)
{
    add(w, hs_span_str(text));
}

static void add_subject(words *w, const tls_der *der)
{
    hs_span name = tls_der_common_name(der);
    add_text(w, "CN=");
    if (name.len > 0)
        add(w, name);
    else
        add_text(w, "(none)");
}

static bool add_alt_name(hs_span name, void *ctx)
{
    words *w = ctx;
    /* Enough to see whose it is. */
    if (w->len + name.len + 20 > w->room) {
        add_text(w, " ...");
        return false;
    }
    add_text(w, " ");
    add(w, name);
    return true;
}

static void write_time(words *w, const tls_der *der, int wolf_err)
{
    char when[32];
    bool early = wolf_err == ASN_BEFORE_DATE_E;
    add_text(w, early ? "certificate not valid yet: " : "certificate expired: ");
    add_subject(w, der);
    if (tls_der_time(early ? der->not_before : der->not_after, when)) {
        add_text(w, early ? ", from " : ", until ");
        add_text(w, when);
    }
}

static void write_host(words *w, const tls_der *der, hs_span host)
{
    add_text(w, "certificate is not for ");
    add(w, host);
    add_text(w, ", but for");
    size_t before = w->len;
    (void)tls_names_each(der, add_alt_name, w);
    if (w->len == before)
        add_text(w, " no name");
}

static void write_other(words *w, const tls_der *der, hs_err err, int wolf_err)
{
    const char *what = "certificate not accepted: ";
    if (err.code == HS_E_CERT_UNKNOWN)
        what = wolf_err == ASN_SELF_SIGNED_E ? "certificate signed by itself, and not trusted: "
                                             : "certificate signed by nobody who is trusted: ";
    else if (err.code == HS_E_CERT_USAGE)
        what = "certificate made for another use: ";
    else if (err.code == HS_E_CERT_REVOKED)
        what = "certificate revoked: ";
    add_text(w, what);
    add_subject(w, der);
    if (wolf_err == ASN_ALT_NAME_E && tls_names_count(der) > TLS_NAMES_MAX) {
        add_text(w, " (more than 1024 names)");
    } else if (err.code == HS_E_CERT) {
        add_text(w, " (");
        add_text(w, wolfSSL_ERR_reason_error_string((unsigned long)(long)wolf_err));
        add_text(w, ")");
    }
}

static void note(tls_ask *ask, const tls_der *der, int wolf_err)
{
    words w = {ask->text, 0, sizeof ask->text};
    hs_err err = tls_cert_err(wolf_err);
    if (!hs_ok(ask->err))
        return;
    ask->err = hs_ok(err) ? hs_err_of(HS_E_CERT) : err;
    if (err.code == HS_E_CERT_TIME)
        write_time(&w, der, wolf_err);
    else if (err.code == HS_E_CERT_HOST)
        write_host(&w, der, hs_span_of(ask->host, ask->host_len));
    else
        write_other(&w, der, ask->err, wolf_err);
}

int tls_verify(int ok, WOLFSSL_X509_STORE_CTX *store)
{
    tls_conn *c = store->userCtx;
    HS_ASSERT(c && c->hs && c->hs->ask);
    tls_ask *ask = c->hs->ask;
    tls_der der = {0};
    bool parsed = false;
    if (ask->unverified)
        return 1;
    int depth = store->error_depth;
    if (depth >= 0 && depth < store->totalCerts)
        parsed =
            tls_der_cert(hs_span_of(store->certs[depth].buffer, store->certs[depth].length), &der);
    if (!ok && store->error == MEMORY_E)
        return 0;
    if (!ok || !parsed) {
        note(ask, &der, ok ? ASN_PARSE_E : store->error);
        return 0;
    }
    if (depth > 0 || tls_names_host(&der, hs_span_of(ask->host, ask->host_len)))
        return 1;
    note(ask, &der, DOMAIN_NAME_MISMATCH);
    return 0;
}

/* RFC 8446 section 6.2; those that are seen. */
static const char *alert_name(int code)
{
    static const struct {
        int code;
        const char *name;
    } names[] = {
        {10, "unexpected_message"},
        {20, "bad_record_mac"},
        {22, "record_overflow"},
        {40, "handshake_failure"},
        {42, "bad_certificate"},
        {43, "unsupported_certificate"},
        {44, "certificate_revoked"},
        {45, "certificate_expired"},
        {46, "certificate_unknown"},
        {47, "illegal_parameter"},
        {48, "unknown_ca"},
        {49, "access_denied"},
        {50, "decode_error"},
        {51, "decrypt_error"},
        {70, "protocol_version"},
        {71, "insufficient_security"},
        {80, "internal_error"},
        {86, "inappropriate_fallback"},
        {90, "user_canceled"},
        {109, "missing_extension"},
        {112, "unrecognized_name"},
        {116, "certificate_required"},
        {120, "no_application_protocol"},
    };
    for (size_t i = 0; i < HS_ARRAY_LEN(names); i++)
        if (names[i].code == code)
            return names[i].name;
    return "unknown";
}

/* The first line of what a server said that does not speak TLS. */
static void write_plain(words *w, hs_span said)
{
    size_t line = 0;
    while (line < said.len && said.ptr[line] >= 0x20 && said.ptr[line] < 0x7f)
        line++;
    add_text(w, "the server does not speak TLS on this port");
    if (line < 4)
        return;
    add_text(w, ": it said '");
    add(w, hs_span_of(said.ptr, line));
    add_text(w, line == said.len ? "...'" : "'");
}

void tls_why_text(const tls_conn *c, hs_err err, char *out, size_t room)
{
    words w = {out, 0, room};
    WOLFSSL_ALERT_HISTORY alerts = {0};
    const tls_hs *hs = c->hs;
    out[0] = '\0';
    if (hs->ask && err.code == hs->ask->err.code) {
        add_text(&w, hs->ask->text);
        return;
    }
    if (hs->plain_len > 0) {
        write_plain(&w, hs_span_of(hs->plain, hs->plain_len));
        return;
    }
    if (c->ssl)
        (void)wolfSSL_get_alert_history(c->ssl, &alerts);
    if (err.code == HS_E_TRUNCATED)
        add_text(&w, "the peer ended the connection during the handshake");
    else if (err.code == -ETIMEDOUT)
        add_text(&w, "the handshake took too long");
    else if (err.code == HS_E_CERT_REVOKED)
        add_text(&w, "certificate revoked: so says the OCSP response that the server has stapled");
    else if (err.code == HS_E_CERT_STATUS)
        add_text(&w, hs->wolf_err == BAD_CERTIFICATE_STATUS_ERROR
                         ? "the OCSP response that the server has stapled is no good: forged, out "
                           "of date, or not for its certificate"
                         : "the server has stapled no OCSP response, and one is required");
    else if (err.code != HS_E_TLS && hs_ok(tls_cert_err(hs->wolf_err)))
        add_text(&w, hs_err_text(err));
    else if (alerts.last_rx.level == alert_fatal) {
        add_text(&w, "the peer refused the handshake: alert ");
        add_text(&w, alert_name(alerts.last_rx.code));
    } else
        add_text(&w, wolfSSL_ERR_reason_error_string((unsigned long)(long)hs->wolf_err));
}
