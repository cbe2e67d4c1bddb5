/* Dialling: from a name, or an address, to a connected stream.
 *
 * Owns: the looking up, the race of the addresses (happy eyeballs, RFC 8305), its timeouts, and
 * what is told when it fails. Must not know: what is said on the stream. Everything belongs to the
 * owner shard.
 * Tested by: tests/unit/net_dial.c on the sim backend, tests/plain/dial.c on the system's.
 *
 * Both families are looked up side by side, and the first attempt starts as soon as there is an
 * address of the preferred one, or 50 ms after one of the other. Attempts take the families in
 * turn; each begins when the one before has failed, or 250 ms after it. The first that connects is
 * taken, and the others are cancelled and closed. */
#pragma once

#include "hs_dns.h"
#include "hs_tcp.h"

HS_BEGIN_DECLS

/* Zeroed: all defaults. Everything but `dns` and what `allow` needs is borrowed until the call
 * returns. */
typedef struct hs_dial_options {
    hs_cancel *cancel;      /* ends it with the token's reason. May be NULL */
    uint32_t resolve_ms;    /* until there is an address, and as long as the other family may still
                             * bring one where all have failed. 0: 5000 */
    uint32_t connect_ms;    /* from the first attempt until one connects. 0: 10000 */
    uint32_t attempt_ms;    /* from one attempt to the next; at least 10. 0: 250 */
    uint32_t resolution_ms; /* how long the preferred family is waited for. 0: 50 */
    int family;             /* AF_INET or AF_INET6: that one alone. 0: both */
    bool ipv4_first;        /* prefer IPv4. false: IPv6 */
    const hs_addr *local; /* connect from there; port 0: the system chooses. NULL: from anywhere */
    hs_dns *dns;          /* NULL: the tcp's own; see hs_tcp_dns. It must outlive the dial */
    /* Whether an address may be connected to: HS_OK, or an error, with which it counts as tried and
     * failed. Asked of each address, just before it is tried, and nothing else is connected to. May
     * fire `cancel`. NULL: all may. */
    hs_err (*allow)(const hs_addr *addr, void *ctx);
    void *ctx;
} hs_dial_options;

typedef enum hs_dial_phase {
    HS_DIAL_RESOLVE, /* no address was found */
    HS_DIAL_ALLOW,   /* every address was refused by `allow` */
    HS_DIAL_CONNECT  /* addresses were tried */
} hs_dial_phase;

/* What more is known of a dial that failed: the detail of its promise's rejection, NULL where there
 * was no memory for it. Belongs to the receiver: hs_dial_error_free. */
typedef struct hs_dial_error {
    hs_shard *shard;
    hs_err err; /* of the rejection */
    hs_dial_phase phase;
    uint32_t tried; /* addresses that were tried, or refused by `allow` */
    hs_addr addr;   /* the one that `err` is about, or else the last that was tried; len 0: none */
} hs_dial_error;

/* Free it; NULL: nothing. Shard: owner only. */
HS_API void hs_dial_error_free(void *error);

/* Connect to `port` of `host`, a name or an address in numbers (which brackets may surround).
 * `host` is borrowed until the return; `options` may be NULL.
 *
 * Fulfilled with a hs_stream *, which belongs to the receiver and hears nothing yet: not even that
 * the peer is gone. The receiver sets s->events (and fills s->owner, as for an accepted stream; it
 * may write at once), then calls hs_stream_resume: from there on it hears. A stream that nobody
 * receives is aborted. It has a slot of `tcp`, and holds the shard, like an accepted one.
 *
 * Errors, with hs_dial_error as detail: HS_E_NAME_NONE, HS_E_NAME_FAILED, HS_E_NAME_TIMEOUT (also
 * of resolve_ms), -ECONNREFUSED, -ENETUNREACH, -EHOSTUNREACH and so on (of several, the first that
 * came from a host), -ETIMEDOUT (connect_ms, while one was tried), what `allow` said, why it was
 * cancelled, HS_E_LIMIT (no slot, or too many dials or lookups), HS_E_USAGE (options->local is not
 * of the family), -ENOMEM. At every end all is taken back: lookups, attempts, sockets. Shard: owner
 * only. */
HS_API hs_promise *hs_dial(hs_tcp *tcp, hs_span host, uint16_t port,
                           const hs_dial_options *options);

/* The same for one address, with its port; of a Unix socket as well. */
HS_API hs_promise *hs_dial_addr(hs_tcp *tcp, const hs_addr *addr, const hs_dial_options *options);

/* The resolver of `tcp`, which is made at the first call, or at the first dial to a name, with
 * hs_tcp_options.dns. It belongs to `tcp`. Shard: owner only. Errors: as hs_dns_create. */
HS_API HS_NODISCARD hs_err hs_tcp_dns(hs_tcp *tcp, hs_dns **out);

HS_END_DECLS
