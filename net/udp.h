/* The inside of the datagram sockets: udp.c makes them, udp_opts.c sets their options, udp_recv.c
 * receives, udp_send.c sends what udp_queue.c keeps, udp_end.c ends them. */
#pragma once

#include <errno.h>
#include <netinet/in.h>
#include <netinet/udp.h>

#include "hs_limits.h"
#include "hs_udp.h"
#include "hs_unix.h"

/* One that waits to be sent; its bytes stand in the socket's chain, in the same order. */
typedef struct udp_out {
    struct udp_out *next;
    uint32_t len;
    uint32_t from_ifindex;
    union {
        struct in_addr v4;
        struct in6_addr v6;
    } from;
    bool has_from;
    uint8_t ecn;
    hs_addr to; /* of length 0: the connected peer */
} udp_out;

/* UDP_SEGMENT, the source address and the type of service; cmsg(3) wants the alignment. */
#define UDP_CONTROL_BYTES 128
typedef union udp_control {
    struct cmsghdr align;
    uint8_t bytes[UDP_CONTROL_BYTES];
} udp_control;

/* Vectors of one system call: each datagram has one, or a few where it is long. */
#define UDP_IOV_MAX 256

/* What a call of sendmmsg(2) is made of. */
typedef struct udp_batch {
    struct mmsghdr msgs[HS_UDP_BATCH];
    uint32_t counts[HS_UDP_BATCH]; /* of datagrams in each */
    udp_control controls[HS_UDP_BATCH];
    struct iovec iov[UDP_IOV_MAX];
} udp_batch;

/* A buffer for each datagram of a call. The spare line moves the beginnings apart: at one place of
 * all pages, they would share a few lines of the processor's cache. */
#define UDP_BUF_BYTES (HS_UDP_BYTES_MAX + 1 + HS_CACHE_LINE)
/* Datagrams of one event. */
#define UDP_LIST_MAX 64

/* What a call of recvmmsg(2) is made of. One for all sockets of a shard, and only while data comes:
 * of the buffers nothing but touched pages costs memory. */
typedef struct udp_rx {
    struct mmsghdr msgs[HS_UDP_BATCH];
    struct iovec iov[HS_UDP_BATCH];
    hs_addr from[HS_UDP_BATCH], to[HS_UDP_BATCH];
    udp_control controls[HS_UDP_BATCH];
    hs_datagram list[UDP_LIST_MAX];
    uint32_t list_len;
    uint8_t bufs[HS_UDP_BATCH][UDP_BUF_BYTES] __attribute__((aligned(HS_CACHE_LINE)));
} udp_rx;

struct hs_udp {
    hs_shard *shard;
    hs_pool socks, outs;
    udp_rx *rx;   /* NULL while nothing comes */
    bool rx_used; /* since the last look of `trim` */
    bool gso, gro;
    hs_trim trim;
    uint32_t count_in, count_out, count_bytes_in, count_bytes_out;
    uint32_t count_calls_in, count_calls_out, count_errors;
    udp_batch batch;
};

typedef enum udp_state {
    UDP_OPEN,
    UDP_CLOSING, /* the task will send what can be sent */
    UDP_SWEPT    /* gone with the last completion */
} udp_state;

struct hs_udp_sock {
    hs_udp *udp;
    const hs_udp_events *events;
    void *ctx;
    hs_op in, out;
    hs_op_connect connect;
    hs_task flush;
    hs_timer again; /* there was no memory to receive into: try again when it is due */
    hs_chain chain; /* the bytes of all that wait */
    udp_out *first, *last;
    uint32_t waiting; /* datagrams */
    uint32_t queue_bytes_max;
    hs_unix *name; /* whose socket `fd` is; NULL: ours */
    hs_addr local, peer;
    int32_t fd;
    int32_t why; /* of `closed` */
    uint16_t family;
    uint16_t gso_max; /* the longest segment that the kernel may be given to cut; 0: none */
    uint8_t state;    /* udp_state */
    uint8_t tos;
    bool connected : 1;  /* or about to be: there is a peer */
    bool connecting : 1; /* sends wait */
    bool paused : 1;
    bool blocked : 1;  /* the user was told to wait for `drained` */
    bool flushing : 1; /* sending: nothing else has to start it */
    bool retried : 1;  /* the first datagram met an error that may be another's */
};

/* udp_opts.c: set what `o` wants before the bind. */
HS_NODISCARD int udp_options_apply(hs_io *io, int fd, int family, const hs_udp_options *o);

/* udp_queue.c: add one. Errors: as hs_udp_send_out. */
HS_NODISCARD hs_err udp_queue_add(hs_udp_sock *s, const hs_udp_out *out);
/* Drop the first `count`; returns their bytes. Functions of the user's may run: hs_chain_consume.
 */
size_t udp_queue_drop(hs_udp_sock *s, uint32_t count);

/* udp_end.c: after a completion of a socket that closes: was it the last? */
void udp_maybe_finish(hs_udp_sock *s);

/* udp_recv.c: wait for data, unless it is paused or closing. */
void udp_recv_start(hs_udp_sock *s);
/* Give back the memory that is received into, if it is not needed. True: the next look may. */
bool udp_recv_trim(hs_udp *udp);

/* udp_send.c: send soon what waits. */
void udp_send_soon(hs_udp_sock *s);
/* Of a socket that closes: send what can be sent, soon, drop the rest, and finish. */
void udp_send_last(hs_udp_sock *s);
