/* The inside of a simulated world, for the files sim_*.c.
 *
 * Owns: the structs, and the order of the files, each of which calls only those before it:
 * sim_fault.c what goes wrong, sim_co.c the stacks, sim_clock.c time and chance, sim_cq.c the
 * completions, sim_turn.c the threads, sim_net.c the wires, sim_sock.c the files, sim_op.c the ops,
 * sim_io.c the seam, sim_world.c the whole. What happens on a wire goes up through two functions
 * that the world keeps. */
#pragma once

#include "hs_limits.h"
#include "hs_list.h"
#include "rbuf.h"
#include "sim.h"
#include "sim_co.h"

#define SIM_FD_FIRST 1000 /* far from the files of the process, so that a mix-up shows */
#define SIM_FDS_MAX 512
#define SIM_SEGMENTS_MAX 32
#define SIM_BACKLOG_MAX 64
#define SIM_CQ_MAX 1024

typedef struct sim_io sim_io;
typedef struct sim_op sim_op;

/* ---- wires ---- */

/* Bytes on their way: all up to `upto` arrive `at`. */
typedef struct sim_segment {
    uint64_t at, upto;
    bool fin;
} sim_segment;

/* One direction of a connection. Positions count from its start: read <= arrived <= sent. */
typedef struct sim_pipe {
    uint8_t *bytes; /* a ring */
    uint32_t cap;
    uint64_t sent, arrived, read;
    bool fin_sent, fin_arrived;
    sim_segment segments[SIM_SEGMENTS_MAX];
    uint32_t segment_first, segments_len;
    sim_event arrive;
} sim_pipe;

typedef enum sim_stage {
    SIM_CONNECTING,
    SIM_QUEUED, /* in a listener's backlog */
    SIM_OPEN,   /* has a file */
    SIM_CLOSED  /* the server closed it, or never took it */
} sim_stage;

struct sim_peer {
    sim_world *w;
    hs_list link;
    uint32_t number;
    uint16_t port;
    sim_stage stage; /* of the server's side */
    int fd;
    bool spared, harmed;
    bool shut_rd, shut_wr;         /* by the server */
    bool reset_on_close;           /* by the server: its close is a reset */
    bool server_reset, reset_told; /* the server's side was reset; and got the error */
    bool peer_reset;               /* the peer's side was reset */
    bool peer_gone;                /* the peer closed */
    bool wants_room;
    sim_pipe up, down; /* to the server, from the server */
    sim_event connect, room, fate, reset_up, reset_down;
    sim_peer_fn *fn;
    void *ctx;
};

/* ---- files ---- */

typedef enum sim_fd_kind {
    SIM_FD_FREE,
    SIM_FD_LISTENER,
    SIM_FD_STREAM,
    SIM_FD_CLOSING
} sim_fd_kind;

typedef struct sim_fd {
    sim_fd_kind kind;
    sim_op *ops; /* under way on it */
    sim_peer *peer;
    /* Listeners. */
    uint16_t port, family;
    bool reuse_port;
    uint32_t backlog_max, backlog_len;
    sim_peer *backlog[SIM_BACKLOG_MAX];
} sim_fd;

/* ---- ops and completions ---- */

typedef enum sim_op_state {
    SIM_OP_STARTED, /* not yet seen by the kernel */
    SIM_OP_ARMED,
    SIM_OP_STARVED, /* waits for a receive buffer */
    SIM_OP_ENDED    /* its last completion is queued */
} sim_op_state;

/* What the kernel knows of an op. */
struct sim_op {
    sim_op *next;    /* all of its backend */
    sim_op *next_fd; /* all on its file */
    sim_io *io;
    hs_op *op;
    hs_op_done *done; /* copies, to see that the caller's stay as they are */
    int fd;
    uint8_t kind;
    sim_op_state state;
    bool cancel_asked, cancel_seen;
    uint64_t sum;     /* of a send's memory */
    uint64_t last_at; /* when its last completion so far comes */
    sim_event attempt, cancel;
};

typedef struct sim_cqe {
    sim_op *op;
    uint64_t at;
    int32_t res;
    uint16_t buf;
    bool has_buf, more;
} sim_cqe;

struct sim_io {
    hs_io io; /* first */
    sim_world *w;
    uint32_t number;
    sim_op *ops;
    sim_cqe cq[SIM_CQ_MAX];
    uint32_t cq_len;
    sim_event due; /* the first completion comes */
    bool woken;
    sim_event wake;
    rbuf rbuf;
    uint16_t ring[HS_RBUFS_MAX]; /* buffers that the kernel may fill, in order */
    uint32_t ring_first, ring_len, ring_cap;
    int closing[SIM_FDS_MAX]; /* closed, the number not yet free */
    uint32_t closing_len;
    /* Its thread. */
    sim_co *co;
    void (*body)(void *ctx);
    void (*resumed)(void *ctx);
    void *ctx;
    uint64_t deadline; /* where its turn waits */
};

struct sim_world {
    uint64_t seed, random, hash, now;
    uint64_t notes;
    sim_faults faults;
    hs_heap events;
    FILE *trace;
    bool harmed;
    uint32_t peers_made;
    uint16_t port_next;
    hs_list peers;
    sim_io **ios;
    uint32_t ios_len;
    sim_io *running; /* whose thread runs, or NULL */
    uint32_t fds_open;
    sim_fd fds[SIM_FDS_MAX];
    /* What the wires and the files tell those above them; set once, by sim_world_create. */
    int (*knock)(sim_peer *peer);       /* a connection comes: see sim_listener_queue */
    void (*kick)(sim_world *w, int fd); /* something changed for a file: see sim_kick */
};

/* ---- sim_clock.c; also the random numbers, events and notes of sim.h ---- */
const hs_mem *sim_mem(void);
/* The clock moves a little: code ran. */
void sim_spend(sim_world *w);
/* A delay of a late thing in ns. */
uint64_t sim_late(sim_world *w, uint32_t chance);
/* Run the first event that is due. False: none is. */
bool sim_event_run(sim_world *w);
/* A checksum of bytes, going on from `sum`. */
uint64_t sim_sum(uint64_t sum, const uint8_t *p, size_t len);

/* ---- sim_cq.c ---- */
/* Queue a completion. */
void sim_post(sim_op *o, int32_t res, bool more, bool has_buf, uint16_t buf);
/* Whether one may be told now. */
bool sim_cq_ready(const sim_io *io);
/* The next one to tell, or cq_len. */
uint32_t sim_cq_pick(sim_io *io);
/* The world stops at the moment when the next one may be told. */
void sim_cq_set_due(sim_io *io);

/* ---- sim_turn.c; also the threads and steps of sim.h ---- */
/* The calling turn waits until its backend has something, or `deadline`. False: it never will. */
bool sim_wait(sim_io *io, uint64_t deadline);

/* ---- sim_net.c ---- */
uint32_t sim_pipe_room(const sim_pipe *p);
uint64_t sim_pipe_unread(const sim_pipe *p);
/* Send on behalf of the server; returns how many of `len` bytes were taken. */
uint32_t sim_down_write(sim_peer *peer, const void *bytes, uint32_t len);
void sim_down_finish(sim_peer *peer);
/* Take `len` bytes that arrived for the server. */
void sim_up_read(sim_peer *peer, void *out, uint32_t len);
/* The server's side is no more: the peer sees a reset after a while. */
void sim_reset_peer(sim_peer *peer);
void sim_harm(sim_peer *peer, const char *why);
/* The connection is established; whether it can be reset by fate is drawn here. */
void sim_peer_opened(sim_peer *peer);
void sim_peer_free(sim_peer *peer);
/* Whether neither side is there any more. */
bool sim_peer_dead(const sim_peer *peer);

/* ---- sim_sock.c ---- */
sim_fd *sim_fd_at(sim_world *w, int fd);
/* The lowest free number, or a negated errno. */
int sim_fd_take(sim_world *w, sim_fd_kind kind);
void sim_fd_release(sim_world *w, int fd);
/* Put a connection into the backlog of a listener of its port: the listener's number, -EAGAIN where
 * there is no room, or -ECONNREFUSED. */
int sim_listener_queue(sim_peer *peer);
int sim_listen(hs_io *io, const struct sockaddr *addr, socklen_t addr_len, int backlog,
               bool reuse_port);
int sim_sockname(hs_io *io, int fd, struct sockaddr *addr, socklen_t *addr_len);
void sim_reset_on_close(hs_io *io, int fd);
void sim_shutdown(hs_io *io, int fd, int how);
void sim_close(hs_io *io, int fd);
/* What poll(2) would say. */
uint16_t sim_readiness(sim_world *w, int fd);

/* ---- sim_op.c: what the kernel does for an op ---- */
/* The kernel looks at an op `after_ns` from now. */
void sim_op_look(sim_op *o, uint64_t after_ns);
void sim_op_cancel_look(sim_op *o, uint64_t after_ns);
/* Something changed for `fd`: its ops are looked at again. */
void sim_kick(sim_world *w, int fd);
/* A checksum of all memory that a send names. */
uint64_t sim_send_sum(const hs_op_send *send);
/* Hand buffers of the policy to the kernel. */
void sim_provide(sim_io *io);
/* A buffer is there again. */
void sim_provide_one(sim_io *io, uint16_t buf);

/* ---- sim_io.c ---- */
extern const hs_io_ops sim_io_ops;
HS_NODISCARD hs_err sim_io_create(sim_world *w, uint32_t number, const hs_mem *mem, sim_io **out);
void sim_io_free(sim_io *io);
