/* The inside of the TCP module, for tcp.c (its making and its connections' slots), listener.c and
 * conn.c (one connection's life).
 *
 * A parked connection is one slot: no receive buffer, no send queue. What sending and closing need
 * (tcp_tx) is taken from a pool at the first byte to send and given back when the last is out. */
#pragma once

#include <errno.h>

#include "hs_limits.h"
#include "hs_list.h"
#include "hs_tcp.h"

typedef struct tcp_tx {
    hs_op_send send;
    hs_chain chain; /* what is under way, then what waits */
    hs_timer linger;
    struct tcp_conn *conn;
    struct iovec iov[HS_SEND_IOV_MAX];
} tcp_tx;

typedef enum tcp_state {
    TCP_OPEN,
    TCP_CLOSING, /* the user closed; the rest of the queue goes out */
    TCP_LINGER,  /* our side has ended; what comes is dropped until the peer ends */
    TCP_DYING    /* ops are cancelled; gone with the last completion */
} tcp_state;

typedef struct tcp_conn {
    hs_stream s;
    union {
        hs_op recv;
        hs_task gone; /* of a dying connection whose receive is over */
    };
    tcp_tx *tx; /* NULL while there is nothing to send */
    hs_tcp *tcp;
    int32_t fd;
    uint32_t dropped; /* bytes that came in the linger */
    uint32_t sent;    /* modulo 2^32 */
    uint8_t state;    /* tcp_state */
    bool paused : 1;
    bool ended : 1;    /* the peer sends no more */
    bool was_full : 1; /* the user was told that the queue is full */
    bool posted : 1;   /* `gone` is posted */
    int16_t why;       /* of `closed`: a negated errno or HS_E_..., 0: clean */
    uint8_t owner[] __attribute__((aligned(16)));
} tcp_conn;

struct hs_listener {
    hs_list link;
    hs_tcp *tcp;
    hs_op accept;
    hs_timer again; /* accepting failed: try again when it is due */
    hs_addr addr;
    hs_unix *shared; /* whose socket `fd` is; NULL: ours */
    int fd;
    bool closing;
    bool telling; /* the user is being told of a connection */
};

typedef struct dialler dialler;

struct hs_tcp {
    hs_shard *shard;
    hs_tcp_options options;
    hs_pool conns, txs;
    hs_list listeners;
    dialler *dialler; /* NULL: nothing was dialled yet */
    hs_trim trim;
    uint32_t count_accepted, count_refused, count_dialled, count_closed;
    uint32_t count_bytes_in, count_bytes_out;
    uint64_t warn_next_ns; /* accept errors are logged once a second */
};

/* Take over the connected socket `fd`. Errors: HS_E_LIMIT (no slot); `fd` is still the caller's. */
HS_NODISCARD hs_err tcp_conn_open(hs_tcp *tcp, int fd, tcp_conn **out);

/* Start to receive: after the user set its events. */
void tcp_conn_start(tcp_conn *c);

/* The socket of a stream of ours, or -1 where something else carries it. */
int tcp_conn_fd(const hs_stream *s);
