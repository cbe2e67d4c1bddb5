/* TLS 1.2 and 1.3 (RFC 5246, RFC 8446): streams that are encrypted over streams that are not.
 *
 * Owns: contexts (certificates, keys, roots and choices), handshakes, records, and the checking of
 * peers. Must not know: what is said on a stream, nor what carries it.
 * Tested by: tests/unit/tls_*.c on the sim backend, tests/e2e/tls.py with other programs' ends.
 *
 * A context is an immutable generation that all shards share, counted by references. To change
 * something, as a new certificate, another one is made and published (hs_tls_box): what comes from
 * then on uses the new one, and each connection keeps the one that it began with. */
#pragma once

#include "hs_secure.h"
#include "hs_span.h"
#include "hs_stream.h"

HS_BEGIN_DECLS

typedef struct hs_tls_ctx hs_tls_ctx;
typedef struct hs_tls_box hs_tls_box;
typedef struct hs_tls hs_tls;

/* ---- contexts ---- */

/* Zero stands for the default. */
typedef enum hs_tls_version { HS_TLS_DEFAULT, HS_TLS_1_2, HS_TLS_1_3 } hs_tls_version;

/* What clients are asked for. */
typedef enum hs_tls_client_auth {
    HS_TLS_CLIENT_OFF,
    HS_TLS_CLIENT_OPTIONAL, /* one that is shown must be valid */
    HS_TLS_CLIENT_REQUIRED
} hs_tls_client_auth;

/* One certificate of a server, or of a client that is asked for one. Files are PEM. */
typedef struct hs_tls_cert {
    const char *cert_file; /* the certificate, then those that lead to its root */
    const char *key_file;  /* its key; RSA, ECDSA or Ed25519 */
    /* Of a server: what an OCSP responder says of it (RFC 6960), DER as `openssl ocsp -respout`
     * writes it: clients that ask get it until its time is over. It must be about this certificate,
     * call it good and be in time. NULL: none */
    const char *ocsp_file;
} hs_tls_cert;

/* Zeroed: all defaults. All that is pointed to is borrowed until the call returns. */
typedef struct hs_tls_options {
    /* A server needs at least one. Clients get the one that names the host that they ask for (SNI,
     * RFC 6066): exactly, else with a wildcard; the first in the list where none does. Of several
     * for one name, such as ECDSA and RSA, the first whose signatures the client understands. */
    const hs_tls_cert *certs;
    uint32_t certs_len;         /* at most HS_TLS_CERTS_MAX */
    const hs_span *alpn;        /* protocols, the best first (RFC 7301); none: it is not used */
    uint32_t alpn_len;          /* at most HS_TLS_ALPN_MAX, of 1 to 64 bytes, without a comma */
    const char *ca_file;        /* roots for the peers' certificates. NULL: the system's */
    bool roots_off;             /* of a client, without a ca_file: no roots are read, and only
                                 * handshakes that are `unverified` come to something */
    hs_tls_client_auth client;  /* of a server; with one, ca_file must be set */
    bool staple_required;       /* of a client: servers must staple an OCSP response; without this,
                                 * one that is stapled must be good, but none need be */
    hs_tls_version version_min; /* HS_TLS_1_2 */
    hs_tls_version version_max; /* HS_TLS_1_3 */
    const char *ciphers;        /* wolfSSL's names with colons between. NULL: AES-GCM and ChaCha20
                                 * with an ephemeral exchange of keys */
    const hs_mem *mem;          /* NULL: the system's. Must give to any thread */
} hs_tls_options;

#define HS_TLS_CERTS_MAX 64
#define HS_TLS_ALPN_MAX 8
/* The protocol's length in bytes, with a margin for the answer. */
#define HS_TLS_ALPN_BYTES_MAX 64

/* Why a context cannot be made, in words, with the file that is at fault. */
typedef struct hs_tls_why {
    char text[300];
} hs_tls_why;

/* Make the context of a server. *out is a reference. Reads files, so at a start or on a thread that
 * may wait. Thread: any. Errors, with *why: -ENOMEM, HS_E_USAGE (options that contradict each
 * other; built without TLS), HS_E_CERT (what a file holds), HS_E_CERT_STATUS (what an OCSP response
 * does), or why a file cannot be read. */
HS_API HS_NODISCARD hs_err hs_tls_server_ctx(const hs_tls_options *options, hs_tls_ctx **out,
                                             hs_tls_why *why);

/* The same for clients: `certs` holds at most one, for servers that ask for it. */
HS_API HS_NODISCARD hs_err hs_tls_client_ctx(const hs_tls_options *options, hs_tls_ctx **out,
                                             hs_tls_why *why);

/* One more reference. Thread: any. */
HS_API hs_tls_ctx *hs_tls_ctx_ref(hs_tls_ctx *ctx);

/* One less; the last frees it. NULL: nothing. Thread: any. */
HS_API void hs_tls_ctx_unref(hs_tls_ctx *ctx);

/* ---- publishing ---- */

/* Make a box, which holds what new connections use. Takes a reference of its own to `ctx`. NULL
 * without memory. It must outlive every hs_tls that was made with it. Thread: any. */
HS_API hs_tls_box *hs_tls_box_create(const hs_mem *mem, hs_tls_ctx *ctx);

/* Free it. Thread: any, when no shard uses it. NULL: nothing. */
HS_API void hs_tls_box_destroy(hs_tls_box *box);

/* From the return on, every connection that begins on any shard uses `ctx`, to which the box takes
 * a reference of its own. Thread: any. */
HS_API void hs_tls_box_publish(hs_tls_box *box, hs_tls_ctx *ctx);

/* ---- streams ---- */

/* What a handshake came to. Borrowed until the callback returns. */
typedef struct hs_tls_info {
    hs_tls_version version;
    const char *cipher; /* its name, as IANA writes it. Static storage */
    hs_span alpn;       /* the protocol that was agreed on; empty: none */
    hs_span sni;        /* the host that the client asked for, as it wrote it; empty: none */
    bool resumed;
    bool client_cert; /* the client has shown a certificate, which is valid */
} hs_tls_info;

typedef struct hs_tls_shard_options {
    uint32_t owner_bytes;    /* of memory for the user beside each accepted stream */
    uint32_t conns_max;      /* of accepted streams; 0: HS_CONNS_MAX */
    uint32_t handshake_ms;   /* until it must be over; 0: 10000 */
    uint32_t handshakes_max; /* under way at a time; past it the oldest is given up; those that have
                              * not said anything yet are counted apart, and there may be four times
                              * as many. 0: HS_TLS_HANDSHAKES_MAX */
    /* The handshake of an accepted stream is over. The callee sets s->events before it returns;
     * data comes later. NULL where nothing is accepted. */
    void (*ready)(hs_stream *s, const hs_tls_info *info, void *ctx);
    void *ctx;
    /* What is said to a client that does not speak TLS at all but sends letters, as a line of HTTP;
     * borrowed for the life. Empty: an alert. */
    hs_span plain_answer;
} hs_tls_shard_options;

/* TLS on one shard: its accepted streams use what is in `box`. Owned by the caller until
 * hs_tls_destroy. Shard: owner only. Errors: -ENOMEM, HS_E_LIMIT (counters). */
HS_API HS_NODISCARD hs_err hs_tls_create(hs_shard *shard, hs_tls_box *box,
                                         const hs_tls_shard_options *options, hs_tls **out);

/* Free it. Every stream must be gone (asserted). Shard: owner only. */
HS_API void hs_tls_destroy(hs_tls *tls);

/* Run the handshake of a server on `plain`, from where it was accepted: its events and its owner
 * are ours from here on. `ready` tells of the stream, once; where the handshake fails nobody is
 * told, but for a counter. Shard: owner only. Never fails: what cannot be served is closed. */
HS_API void hs_tls_accept(hs_tls *tls, hs_stream *plain);

/* How many accepted streams there are, those with a handshake under way and closing ones included.
 * Shard: owner only. */
HS_API uint32_t hs_tls_conns(const hs_tls *tls);

/* How many of them have a handshake under way. Shard: owner only. */
HS_API uint32_t hs_tls_handshakes(const hs_tls *tls);

/* End every handshake under way: those who drain wait for nobody who has not asked anything yet.
 * Shard: owner only. */
HS_API void hs_tls_abort_handshakes(hs_tls *tls);

/* What the client's side of this shard is to others: see hs_secure.h. `ctx` is of hs_tls_client_ctx
 * and a reference of its own is taken. Owned by the caller until hs_tls_secure_destroy. Shard:
 * owner only. Errors: -ENOMEM, HS_E_USAGE (built without TLS). */
HS_API HS_NODISCARD hs_err hs_tls_secure_create(hs_shard *shard, hs_tls_ctx *ctx, hs_secure **out);

/* Free it; streams that it made go on, and hold what they need. NULL: nothing. Shard: owner only.
 */
HS_API void hs_tls_secure_destroy(hs_secure *secure);

HS_END_DECLS
