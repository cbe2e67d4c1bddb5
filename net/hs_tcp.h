/* TCP and Unix streams: listeners, and the streams that come from them.
 *
 * Owns: a shard's listening sockets (TCP: one for each shard and address, SO_REUSEPORT; Unix: one
 * that shards share), its connections' slots, their send queues and closing order. Must not know:
 * what the bytes mean. Tested by: tests/unit/net_tcp.c and net_listener.c on the sim backend,
 * tests/unit/net_unix.c on the system's. */
#pragma once

#include "hs_addr.h"
#include "hs_stream.h"
#include "hs_unix.h"

HS_BEGIN_DECLS

typedef struct hs_tcp hs_tcp;
typedef struct hs_listener hs_listener;

typedef struct hs_tcp_options {
    uint32_t owner_bytes; /* of memory for the user beside each stream */
    uint32_t conns_max;   /* at most HS_CONNS_MAX; 0: that */
    /* A connection was accepted. The callee sets s->events before it returns; data comes later.
     * NULL where nothing listens. */
    void (*accepted)(hs_stream *s, hs_listener *listener, void *ctx);
    void *ctx;
    /* Of the resolver that is made at the first name that is dialled: borrowed until then, with its
     * texts. NULL: all defaults. */
    const struct hs_dns_options *dns;
} hs_tcp_options;

/* The TCP streams of one shard. Owned by the caller until hs_tcp_destroy. Shard: owner only.
 * Errors: -ENOMEM. */
HS_API HS_NODISCARD hs_err hs_tcp_create(hs_shard *shard, const hs_tcp_options *options,
                                         hs_tcp **out);

/* Free it. Every listener and stream must be gone (asserted). Shard: owner only. */
HS_API void hs_tcp_destroy(hs_tcp *tcp);

/* Listen on `addr` (port 0: the system chooses; see hs_listener_addr) and accept. With `reuse_port`
 * several shards may listen on one address, and the system spreads connections over them; a Unix
 * socket cannot be shared in this way: see hs_listener_open_unix. *out stays valid until
 * hs_listener_close. Shard: owner only. Errors: those of bind(2) and listen(2), such as -EADDRINUSE
 * and -EACCES, or of hs_unix_open; -ENOMEM. */
HS_API HS_NODISCARD hs_err hs_listener_open(hs_tcp *tcp, const hs_addr *addr, bool reuse_port,
                                            hs_listener **out);

/* Accept from the Unix socket `u`, which several shards may do, each with one listener: connections
 * come to them in turn. The listener refers to `u` until it is closed. They should all close
 * together: a connection that arrives just while one of them closes may be waiting until the next
 * one comes. Shard: owner only. Errors: -ENOMEM, or why the socket cannot be used. */
HS_API HS_NODISCARD hs_err hs_listener_open_unix(hs_tcp *tcp, hs_unix *u, hs_listener **out);

/* Whether somebody else listens on the TCP address `addr`, which SO_REUSEPORT alone would not tell;
 * and for port 0 choose one, which is written to `addr`, so that several shards can listen on the
 * same. Thread: any, before the shards listen. Errors: those of bind(2), such as -EADDRINUSE,
 * -EACCES. */
HS_API HS_NODISCARD hs_err hs_listen_check(hs_addr *addr);

/* Keep other servers of the same user, in the same network namespace, from starting on TCP port
 * `port`: from before hs_listen_check until all shards listen, since two that check at once would
 * both find the port free, and share it. Waits up to `wait_ms` milliseconds for another one's
 * start; where several ports are locked, in the order of their numbers. *lock is owned by the
 * caller until hs_start_unlock; -1 on an error. Thread: any that may wait, not a shard's. Errors:
 * -EADDRINUSE (the wait is over), those of socket(2). */
HS_API HS_NODISCARD hs_err hs_start_lock(uint16_t port, uint32_t wait_ms, int *lock);

/* Let others start. -1: nothing. Thread: any. */
HS_API void hs_start_unlock(int lock);

/* Where it listens. Shard: owner only. */
HS_API const hs_addr *hs_listener_addr(const hs_listener *listener);

/* Stop accepting; `listener` is gone some turns later. Until then connections that the system has
 * accepted already may still be handed over. Connections that were accepted go on.
 * Shard: owner only. */
HS_API void hs_listener_close(hs_listener *listener);

/* How many connections are open, closing ones included. Shard: owner only. */
HS_API uint32_t hs_tcp_conns(const hs_tcp *tcp);

/* How many dials are under way; one that was cancelled still is, until its sockets are closed.
 * hs_tcp_destroy wants none. Shard: owner only. */
HS_API uint32_t hs_tcp_dials(const hs_tcp *tcp);

HS_END_DECLS
