/* Making a stream secure: the seam between those who dial and what encrypts.
 *
 * Owns: one function that tls/ provides and app/ hands to whoever dials, such as the HTTP client,
 * and what can be asked of a stream that came of it.
 * Must not know: either. Tested by: tests/unit/tls_*.c and the client's tests. */
#pragma once

#include "hs_promise.h"
#include "hs_span.h"
#include "hs_stream.h"

HS_BEGIN_DECLS

/* All that is pointed to is borrowed until the call returns, but `cancel`, which is held. */
typedef struct hs_secure_options {
    hs_span host;          /* whom the certificate must name: a name (sent as SNI, RFC 6066) or an
                            * address in numbers; RFC 9525 */
    uint16_t port;         /* tells servers of one host apart, whose sessions are kept for later
                            * handshakes (RFC 8446 section 2.2); 0 is one, too */
    uint32_t owner_bytes;  /* of memory for the user beside the secure stream */
    uint32_t handshake_ms; /* 0: 10000 */
    const hs_span *alpn;   /* the protocols to offer, the best first; NULL: none (RFC 7301) */
    uint32_t alpn_len;
    bool unverified;   /* take any certificate */
    hs_cancel *cancel; /* ends the handshake with the token's reason. May be NULL */
} hs_secure_options;

/* What more is known of a handshake that failed: the detail of its promise's rejection, NULL where
 * there was no memory for it. Belongs to the receiver: hs_secure_error_free. */
typedef struct hs_secure_error {
    hs_shard *shard;
    hs_err err;     /* of the rejection */
    char text[200]; /* why, in words, with a NUL: "certificate expired: CN=x, until ..." */
} hs_secure_error;

/* Free it; NULL: nothing. Shard: owner only. */
HS_API void hs_secure_error_free(void *error);

typedef struct hs_secure hs_secure;

/* The head of what makes streams secure, of one shard. hs_tls_secure_create (hs_tls.h) makes one
 * for a shard, from a context that all shards share; app/ hands it to whoever dials there, and
 * frees it after them. */
struct hs_secure {
    /* Run the handshake on `plain`, which is connected and hears nothing yet, as hs_dial gives it.
     * From here on `plain` belongs to the callee, whatever happens.
     *
     * Fulfilled with a hs_stream * that hears nothing until hs_stream_resume, like a dialled one,
     * and belongs to the receiver; one that nobody receives is aborted. The stream's `closed` says
     * HS_E_TRUNCATED where the peer ended the connection without a close_notify.
     *
     * Errors, with hs_secure_error as detail: HS_E_CERT_..., HS_E_TLS, -ETIMEDOUT (handshake_ms),
     * why it was cancelled, what `plain` ended with, HS_E_LIMIT, -ENOMEM. Shard: owner only. */
    hs_promise *(*start)(hs_secure *self, hs_stream *plain, const hs_secure_options *options);
};

/* What was negotiated on a stream. Zeroed: it is not secure. */
typedef struct hs_secure_info {
    const char *version; /* "TLSv1.2" or "TLSv1.3"; NULL: the stream is not secure */
    const char *cipher;  /* the suite, as IANA writes it */
    const char *group;   /* that keys were exchanged in, as IANA writes it, such as "x25519"; NULL:
                          * none, as where a session of TLS 1.2 was resumed */
    hs_span alpn;        /* the protocol that was agreed on; empty: none (RFC 7301) */
    bool resumed;        /* a session from before: no certificate was shown this time */
    bool stapled;        /* the server has stapled an OCSP response, and it was checked and says
                          * that the certificate is good (RFC 6066 section 8) */
} hs_secure_info;

/* What was negotiated on `s`, of either side, from the end of the handshake until it is closed,
 * aborted or `closed` was told: from then on it may be zeroed. Strings are in static storage;
 * `alpn` is borrowed from the stream. Shard: owner only. */
static inline hs_secure_info hs_secure_info_of(const hs_stream *s)
{
    hs_secure_info info = {NULL, NULL, NULL, hs_span_of(NULL, 0), false, false};
    if (s->ops->secured)
        s->ops->secured(s, &info);
    return info;
}

HS_END_DECLS
