/* A client's sessions, for later handshakes with the same server (RFC 8446 section 4.6.1).
 *
 * Owns: what servers' tickets stand for, by host and port, in one shard and of one context: so what
 * was checked before was checked by the same roots. Who takes any certificate neither gives nor
 * gets one. A session is used for one handshake, as RFC 8446 appendix C.4 has it; the server sends
 * another one then. Past the limits the oldest goes. Must not know: who dials. Tested by:
 * tests/unit/tls_resume.c, tests/e2e/tls_ocsp.py.
 *
 * Of TLS 1.3 alone: wolfSSL's client takes it for granted that a server of TLS 1.2 opens a ticket,
 * and fails where it does not. */
#include "tls.h"

struct tls_session {
    hs_list link;          /* in tls->sessions, the newest first */
    WOLFSSL_SESSION *wolf; /* NULL: no session, but the name of a connection's server */
    uint16_t port;
    uint8_t host_len;
    uint8_t host[];
};

static size_t bytes_of(size_t host_len)
{
    return sizeof(tls_session) + host_len;
}

static tls_session *make(hs_tls *tls, const uint8_t *host, size_t len, uint16_t port)
{
    HS_ASSERT(len <= UINT8_MAX);
    tls_session *s = hs_mem_take_zero(hs_shard_mem(tls->shard), bytes_of(len), 16);
    if (!s)
        return NULL;
    hs_list_init(&s->link);
    s->port = port;
    s->host_len = (uint8_t)len;
    if (len > 0)
        memcpy(s->host, host, len);
    return s;
}

void tls_session_free(hs_tls *tls, tls_session *s)
{
    if (!s)
        return;
    if (!hs_list_empty(&s->link)) {
        HS_ASSERT(tls->sessions_len > 0);
        tls->sessions_len--;
        hs_list_remove(&s->link);
    }
    if (s->wolf)
        wolfSSL_SESSION_free(s->wolf);
    hs_mem_give(hs_shard_mem(tls->shard), s, bytes_of(s->host_len), 16);
}

void tls_sessions_clear(hs_tls *tls)
{
    while (!hs_list_empty(&tls->sessions))
        tls_session_free(tls, HS_CONTAINER_OF(tls->sessions.next, tls_session, link));
    HS_ASSERT(tls->sessions_len == 0);
}

static bool same_server(const tls_session *a, const tls_session *b)
{
    return a->port == b->port &&
           hs_span_eq_nocase(hs_span_of(a->host, a->host_len), hs_span_of(b->host, b->host_len));
}

/* wolfSSL tells of a ticket, which it has not read to its end yet. */
static int on_ticket(WOLFSSL *ssl, const unsigned char *ticket, int len, void *ctx)
{
    tls_conn *c = ctx;
    (void)ssl, (void)ticket, (void)len;
    HS_ASSERT(c->server != NULL);
    c->ticket_new = true;
    return 0;
}

/* The newest session for this server; NULL: none. */
static tls_session *find(hs_tls *tls, const tls_session *server)
{
    hs_list_each (node, &tls->sessions) {
        tls_session *s = HS_CONTAINER_OF(node, tls_session, link);
        if (same_server(s, server))
            return s;
    }
    return NULL;
}

hs_err tls_session_offer(tls_conn *c, hs_span host, uint16_t port)
{
    hs_tls *tls = c->tls;
    HS_ASSERT(c->server == NULL && c->ssl != NULL);
    c->server = make(tls, host.ptr, host.len, port);
    HS_ENSURE(c->server, -ENOMEM);
    (void)wolfSSL_set_SessionTicket_cb(c->ssl, on_ticket, c);
    tls_session *s = find(tls, c->server);
    if (!s)
        return HS_OK;
    /* Where it is too old, or there is no memory for it, the handshake is a whole one. */
    (void)wolfSSL_set_session(c->ssl, s->wolf);
    tls_session_free(tls, s);
    return HS_OK;
}

/* Room for one more of this server. */
static void make_room(hs_tls *tls, const tls_session *server)
{
    uint32_t same = 0;
    tls_session *oldest = NULL;
    hs_list_each (node, &tls->sessions) {
        tls_session *s = HS_CONTAINER_OF(node, tls_session, link);
        if (!same_server(s, server))
            continue;
        oldest = s;
        same++;
    }
    HS_ASSERT(same <= HS_TLS_SESSIONS_HOST_MAX);
    HS_ASSERT(tls->sessions_len <= HS_TLS_SESSIONS_MAX);
    if (same == HS_TLS_SESSIONS_HOST_MAX)
        tls_session_free(tls, oldest);
    else if (tls->sessions_len == HS_TLS_SESSIONS_MAX)
        tls_session_free(tls, HS_CONTAINER_OF(tls->sessions.prev, tls_session, link));
}

void tls_session_keep(tls_conn *c)
{
    hs_tls *tls = c->tls;
    HS_ASSERT(c->ssl != NULL);
    if (!c->server || !c->ticket_new)
        return;
    c->ticket_new = false;
    if (wolfSSL_version(c->ssl) != TLS1_3_VERSION)
        return;
    make_room(tls, c->server);
    /* A copy: its connection goes on to change its own. */
    tls_session *s = make(tls, c->server->host, c->server->host_len, c->server->port);
    if (!s)
        return;
    WOLFSSL_SESSION *own = wolfSSL_get1_session(c->ssl);
    s->wolf = wolfSSL_SESSION_dup(own);
    wolfSSL_SESSION_free(own);
    if (!s->wolf) {
        tls_session_free(tls, s);
        return;
    }
    /* The newest first. */
    hs_list_push_back(tls->sessions.next, &s->link);
    tls->sessions_len++;
}
