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
    tls_conn_fail(c, tls_err_of(c, why));
}

void tls_shake_data(tls_conn *c, hs_span bytes)
{
    if (c->state == TLS_HELLO) {
        tls_accept_hello(c, bytes);
        return;
    }
    c->in = bytes;
    tls_shake(c);
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
