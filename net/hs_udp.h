/* Datagrams: UDP sockets, and Unix datagram sockets in the same way.
 *
 * Owns: a shard's datagram sockets, the memory that they receive into (one for all, taken while
 * data comes) and their send queues. Many datagrams go in one system call, and where the kernel has
 * it many go as one that it cuts up (UDP_SEGMENT) or puts together (UDP_GRO); HS_CAPS_DISABLE names
 * them udp_gso and udp_gro. Must not know: what datagrams mean. Everything belongs to the owner
 * shard. Tested by: tests/unit/net_udp*.c on the system's sockets, with each backend, and
 * tests/plain/udp_shards.c.
 *
 * A socket's life: it is open, and sends and hears, until hs_udp_close; `closed` comes last, once.
 * Events come from the loop, never from inside a function here; an event may call anything on its
 * own socket. What a datagram socket promises is little: datagrams may be lost, doubled and
 * reordered on the way, also by this system when nobody takes them in time. A Unix socket loses
 * none; where its receiver has no room, that is told as HS_E_BLOCKED. */
#pragma once

#include "hs_addr.h"
#include "hs_chain.h"
#include "hs_shard.h"

HS_BEGIN_DECLS

typedef struct hs_udp hs_udp;
typedef struct hs_udp_sock hs_udp_sock;

/* One that arrived. All of it is borrowed until the event returns. */
typedef struct hs_datagram {
    hs_span data;        /* may be empty */
    const hs_addr *from; /* of a Unix socket without a name: "unix:", which cannot be answered */
    const hs_addr *to;   /* where it was sent, with `want_local`; NULL otherwise */
    uint32_t ifindex;    /* the interface that it came by, with `want_local`; 0 otherwise */
    uint8_t tos;         /* with `want_tos`: the lowest two bits are ECN (RFC 3168) */
    bool truncated;      /* `data` is only the beginning: see HS_UDP_BYTES_MAX */
} hs_datagram;

typedef struct hs_udp_events {
    /* Some arrived, in the order in which the system gives them. */
    void (*datagrams)(hs_udp_sock *s, const hs_datagram *list, uint32_t len);
    /* Something went wrong; the socket goes on. `to` is where the datagram was to go that was not
     * sent (borrowed; NULL: to the peer of a connected socket), or NULL for what the network told
     * of earlier ones: -ECONNREFUSED, nobody receives at the peer. HS_E_BLOCKED: the receiving
     * Unix socket's queue is full. -EMSGSIZE: too large for the path. */
    void (*error)(hs_udp_sock *s, hs_err err, const hs_addr *to);
    /* After HS_E_BLOCKED from a send: half of the queue is free again. */
    void (*drained)(hs_udp_sock *s);
    /* The socket is gone. `why` is no error after hs_udp_close, or why it could not be connected.
     * The last call. */
    void (*closed)(hs_udp_sock *s, hs_err why);
} hs_udp_events;

/* Everything is optional but `events`, and one of `bind` and `connect`. */
typedef struct hs_udp_options {
    const hs_udp_events *events; /* borrowed for the socket's life */
    void *ctx;                   /* for hs_udp_ctx */
    const hs_addr *bind;         /* port 0: the system chooses. A Unix name: as hs_unix_open */
    const hs_addr *connect;      /* one peer: no other is heard, and it is where NULL sends to */
    uint32_t queue_bytes_max;    /* of what waits to be sent; 0: HS_UDP_QUEUE_BYTES */
    uint32_t recv_bytes;         /* the system's buffer (SO_RCVBUF); 0: its default */
    uint32_t send_bytes;         /* the same for sending (SO_SNDBUF) */
    uint32_t unix_mode;          /* who may send to `bind`: as hs_unix_options */
    uint32_t multicast_ifindex;  /* the interface for sending to groups; 0: the system chooses */
    uint8_t ttl;                 /* hops; 0: the system's default */
    uint8_t multicast_ttl;       /* hops of what goes to groups; 0: 1 */
    uint8_t tos;                 /* type of service, or traffic class */
    bool multicast_loop_off;     /* do not hear what this machine sends to groups */
    bool broadcast;              /* allow sending to broadcast addresses */
    bool reuse_port;             /* one socket for each shard on one address, spread by sender */
    bool reuse_addr;             /* share the address with others: for receivers of a group */
    bool dont_fragment;          /* IP does not cut datagrams: too large is an error */
    bool want_local;             /* fill `to` and `ifindex` */
    bool want_tos;               /* fill `tos` */
} hs_udp_options;

/* The datagram sockets of one shard. Owned by the caller until hs_udp_destroy. Errors: -ENOMEM,
 * HS_E_LIMIT (counters). */
HS_API HS_NODISCARD hs_err hs_udp_create(hs_shard *shard, hs_udp **out);

/* Free it. Every socket must be gone (asserted). */
HS_API void hs_udp_destroy(hs_udp *udp);

/* Whether somebody else has the UDP address `addr`, which SO_REUSEPORT alone would not tell; and
 * for port 0 choose one, which is written to `addr`, so that several shards can bind the same.
 * Thread: any, before the shards bind. Errors: those of bind(2), such as -EADDRINUSE; HS_E_USAGE
 * (a Unix socket). */
HS_API HS_NODISCARD hs_err hs_udp_check(hs_addr *addr);

/* Make a socket and receive. It may be sent to at once; with `connect` what is sent waits until
 * that is done, some turns later. *out stays valid until `closed`. Errors: those of bind(2) and
 * setsockopt(2), such as -EADDRINUSE and -EACCES; those of hs_unix_open; HS_E_LIMIT (sockets of a
 * shard); HS_E_USAGE (neither `bind` nor `connect`, or of different families; `multicast_...` of a
 * Unix socket); -ENOMEM. */
HS_API HS_NODISCARD hs_err hs_udp_open(hs_udp *udp, const hs_udp_options *options,
                                       hs_udp_sock **out);

/* What was given in the options. */
HS_API void *hs_udp_ctx(const hs_udp_sock *s);

/* Where it is bound, with the port that the system chose. Borrowed for the socket's life. */
HS_API const hs_addr *hs_udp_addr(const hs_udp_sock *s);

/* Its shard. */
HS_API hs_shard *hs_udp_shard(const hs_udp_sock *s);

/* What is to be sent. */
typedef struct hs_udp_out {
    hs_span data;
    const hs_addr *to;   /* NULL: the connected peer */
    const hs_addr *from; /* the address to send from, such as the `to` of a datagram that is
                            answered (its port does not matter); NULL: the system chooses */
    uint8_t ecn;         /* RFC 3168, beside the socket's `tos` */
    bool borrowed;       /* `data` (not empty) is not copied: it must stay valid until done(ctx)
                            runs, which is once, when it was sent or dropped; without: for ever */
    hs_chunk_done *done; /* may be NULL */
    void *ctx;
} hs_udp_out;

/* Send a datagram. It goes out at the end of the turn, with all others of it. Errors: HS_E_BLOCKED
 * (the queue is full: `drained` will come), -EMSGSIZE (larger than any datagram can be), HS_E_USAGE
 * (no destination, or of another family), HS_E_CLOSED (after hs_udp_close), HS_E_LIMIT or -ENOMEM
 * (no memory for it); then nothing is kept, and `done` never runs. What goes wrong later is an
 * `error` event. */
HS_API HS_NODISCARD hs_err hs_udp_send_out(hs_udp_sock *s, const hs_udp_out *out);

/* Copy `data` and send it to `to` (NULL: the connected peer). Errors: as hs_udp_send_out. */
HS_API HS_NODISCARD hs_err hs_udp_send(hs_udp_sock *s, const hs_addr *to, hs_span data);

/* Bytes that wait to be sent. */
HS_API size_t hs_udp_unsent(const hs_udp_sock *s);

/* Receive no more for now; what the system's buffer has no room for is lost. Some that it has
 * handed over already may still come. */
HS_API void hs_udp_pause(hs_udp_sock *s);

/* Receive again. */
HS_API void hs_udp_resume(hs_udp_sock *s);

/* Hear what is sent to the multicast group `group` (its port does not matter) by the interface
 * `ifindex` (0: the system chooses). Errors: those of setsockopt(2) for MCAST_JOIN_GROUP (ip(7)),
 * such as -ENODEV and -EADDRINUSE (joined before); HS_E_USAGE (another family). */
HS_API HS_NODISCARD hs_err hs_udp_join(hs_udp_sock *s, const hs_addr *group, uint32_t ifindex);

/* Leave it. Errors: -EADDRNOTAVAIL (not joined), as hs_udp_join. */
HS_API HS_NODISCARD hs_err hs_udp_leave(hs_udp_sock *s, const hs_addr *group, uint32_t ifindex);

/* What can be sent goes out now, the rest is dropped, and the socket is closed; `closed` follows.
 * No other event comes. Again: nothing. */
HS_API void hs_udp_close(hs_udp_sock *s);

HS_END_DECLS
