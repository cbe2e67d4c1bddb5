/* Handshakes of both sides, from the first byte to the stream.
 *
 * Owns: driving wolfSSL until it is done. Must not know: who waits for it, and what it came to.
 * Tested by: tests/unit/tls_accept.c, tests/unit/tls_secure.c. */
#include "tls.h"

static void over(tls_conn *c)
{
    tls_conn_open(c);
    if (c->hs->ask)
        tls_secure_over(c);
    else
        tls_accept_over(c);
}

/* What wolfSSL refuses without a word, such as a public key, is refused with an alert all the same
 * (RFC 8446 section 6.2), in plain text: there are no keys yet, or the peer's are wrong. */
static void refuse_aloud(tls_conn *c, int why)
{
    enum { ILLEGAL_PARAMETER = 47, INTERNAL_ERROR = 80 };
    WOLFSSL_ALERT_HISTORY alerts = {0};
    bool ours = why == MEMORY_E || why == RNG_FAILURE_E;
    uint8_t alert[7] = {21, 3, 3, 0, 2, 2, ours ? INTERNAL_ERROR : ILLEGAL_PARAMETER};
    if (wolfSSL_get_alert_history(c->ssl, &alerts) != WOLFSSL_SUCCESS || !c->plain)
        return;
    if (alerts.last_tx.level == alert_fatal || alerts.last_rx.level == alert_fatal)
        return;
    /* Without memory for it the end alone must do. */
    hs_err err = hs_stream_write(c->plain, hs_span_of(alert, sizeof alert));
    (void)err;
}

void tls_shake(tls_conn *c)
{
    HS_ASSERT(c->state == TLS_HANDSHAKE);
    HS_ASSERT(c->hs != NULL);
    int rc = c->hs->ask ? wolfSSL_connect(c->ssl) : wolfSSL_accept(c->ssl);
    if (rc == WOLFSSL_SUCCESS) {
        hs_stream_flush(c->plain);
        over(c);
        tls_conn_input(c);
        return;
    }
    int why = wolfSSL_get_error(c->ssl, rc);
    if (why == WOLFSSL_ERROR_WANT_READ) {
        /* It has looked at all that there is. */
        HS_ASSERT(c->in.len == 0 && c->held.len == 0);
        hs_stream_flush(c->plain);
        return;
    }
    c->hs->wolf_err = why;
    refuse_aloud(c, why);
    tls_conn_fail(c, tls_err_of(c, why));
}

/* Whether a server speaks TLS at all: its first byte is a record's type (RFC 8446 section 5.1).
 * What it says instead is kept for the error's text: "record layer length error" tells nobody that
 * the port is one for plain HTTP. */
static bool begins_as_tls(tls_hs *hs, hs_span bytes)
{
    enum { CHANGE_CIPHER_SPEC = 20, APPLICATION_DATA = 23 };
    HS_ASSERT(bytes.len > 0);
    bool tls = bytes.ptr[0] >= CHANGE_CIPHER_SPEC && bytes.ptr[0] <= APPLICATION_DATA;
    if (hs->begun || tls) {
        hs->begun = true;
        return true;
    }
    hs->plain_len = (uint8_t)HS_MIN(bytes.len, sizeof hs->plain);
    memcpy(hs->plain, bytes.ptr, hs->plain_len);
    return false;
}

/* The next step, with what is in c->held and `bytes` behind it. */
static void step(tls_conn *c, hs_span bytes)
{
    hs_tls *tls = c->tls;
    if (c->state == TLS_HELLO) {
        tls_accept_hello(c, bytes);
    } else {
        c->in = bytes;
        tls_shake(c);
    }
    tls_turn_count(tls);
}

void tls_shake_resume(tls_conn *c)
{
    HS_ASSERT(c->state < TLS_OPEN);
    step(c, hs_span_of(NULL, 0));
}

void tls_shake_data(tls_conn *c, hs_span bytes)
{
    if (c->hs->ask && !begins_as_tls(c->hs, bytes))
        tls_conn_fail(c, hs_err_of(HS_E_TLS));
    else if (tls_turn_waits(c))
        (void)tls_conn_hold(c, bytes);
    else
        step(c, bytes);
}

void tls_shake_ended(tls_conn *c, hs_err why)
{
    HS_ASSERT(c->hs != NULL);
    HS_ASSERT(!hs_ok(why));
    c->orphan = true;
    if (c->hs->ask)
        tls_secure_ended(c, why);
    else
        tls_accept_ended(c);
}
