/* The inside of a simulated world, for the files sim_*.c.
 *
 * Owns: the structs, and the order of the files, each of which calls only those before it:
 * sim_fault.c what goes wrong, sim_co.c the stacks, sim_clock.c time and chance, sim_cq.c the
 * completions, sim_turn.c the threads, sim_net.c the wires, sim_sock.c the files, sim_connect.c how
 * a connection begins, sim_peer.c the scripts, sim_op.c the ops, sim_io.c the seam, sim_world.c the
 * whole. What happens on a wire goes up to the ops through a function that the world keeps. */
#pragma once

#include "hs_limits.h"
#include "hs_list.h"
#include "rbuf.h"
#include "sim.h"
#include "sim_co.h"

#define SIM_FD_FIRST 1000 /* far from the files of the process, so that a mix-up shows */
#define SIM_FDS_MAX 1536
#define SIM_SEGMENTS_MAX 32
#define SIM_BACKLOG_MAX 64
#define SIM_CQ_MAX 1024
#define SIM_PORT_FIRST 40000 /* of those that the kernel chooses */
#define SIM_ADDRESSES_MAX 32
#define SIM_CONNECT_NS (127 * HS_SEC_NS) /* as Linux, with six repeats of the first packet */

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
    SIM_OPEN,   /* a file or a script has it */
    SIM_CLOSED  /* it was closed, or nobody ever took it */
} sim_stage;

typedef struct sim_wire sim_wire;

/* One side of a connection. It belongs to a file or to a script. */
struct sim_end {
    sim_wire *wire;
    sim_end *other;
    sim_stage stage;
    int fd;          /* the file that has it, or -1 */
    sim_peer_fn *fn; /* the script that has it, or NULL */
    void *ctx;       /* the script's */
    bool shut_rd;    /* its file reads no more */
    bool reset_on_close;
    bool reset;         /* it is no more */
    bool reset_told;    /* its file got the error of that */
    bool wants_room;    /* its script waits for room to write */
    sim_pipe in;        /* what comes to it */
    sim_event reset_in; /* a reset comes to it */
    sim_event room;
};

/* A connection. */
struct sim_wire {
    sim_world *w;
    hs_list link;
    uint32_t number;
    uint16_t port;
    uint16_t family; /* AF_UNSPEC: any listener's */
    bool spared, harmed;
    int error;              /* why it is never made, or 0 */
    uint64_t give_up;       /* when nobody knocks any more */
    sim_end caller, callee; /* who connected, and who accepts */
    sim_event connect, fate;
};

/* A script that accepts on a port. */
typedef struct sim_door {
    hs_list link;
    uint16_t port;
    bool spared;
    sim_peer_fn *fn;
    void *ctx;
} sim_door;

/* What a test said about an address. */
typedef struct sim_address {
    struct sockaddr_storage addr;
    sim_reach reach;
    uint64_t after_ns;
} sim_address;

/* ---- files ---- */

typedef enum sim_fd_kind {
    SIM_FD_FREE,
    SIM_FD_LISTENER,
    SIM_FD_SOCKET, /* not connected yet, or in vain */
    SIM_FD_STREAM,
    SIM_FD_CLOSING
} sim_fd_kind;

typedef struct sim_fd {
    sim_fd_kind kind;
    sim_op *ops;  /* under way on it */
    sim_end *end; /* of a stream, and of a socket that connects */
    uint16_t family;
    uint16_t port; /* where it is bound */
    /* Listeners. */
    bool reuse_port;
    uint32_t backlog_max, backlog_len;
    sim_end *backlog[SIM_BACKLOG_MAX];
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
    uint64_t sum;     /* of a send's or a connect's memory */
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
    uint32_t wires_made;
    uint16_t port_next;
    hs_list wires, doors;
    sim_address addresses[SIM_ADDRESSES_MAX];
    uint32_t addresses_len;
    sim_io **ios;
    uint32_t ios_len;
    sim_io *running; /* whose thread runs, or NULL */
    uint32_t fds_open;
    sim_fd fds[SIM_FDS_MAX];
    /* What the wires tell the ops: something changed for a file, see sim_kick. Set once, by
     * sim_world_create. */
    void (*kick)(sim_world *w, int fd);
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
sim_wire *sim_wire_create(sim_world *w);
void sim_wire_free(sim_wire *wire);
/* Both ends are there, and can be reset by fate, which is drawn here. */
void sim_wire_opened(sim_wire *wire);
/* The network did something that may end the connection. */
void sim_harm(sim_wire *wire, const char *why);
uint32_t sim_pipe_room(const sim_pipe *p);
uint64_t sim_pipe_unread(const sim_pipe *p);
/* Send what there is room for; returns how many of `len` bytes were taken. */
uint32_t sim_end_write(sim_end *end, const void *bytes, uint32_t len);
/* Take `len` bytes that arrived. */
void sim_end_read(sim_end *end, void *out, uint32_t len);
/* No more writes: the other end sees that after all that was written. Not twice. */
void sim_end_finish(sim_end *end);
bool sim_end_finished(const sim_end *end);
/* A reset is on its way to this end. */
void sim_end_reset_soon(sim_end *end);
/* Its owner is done with it. With unread bytes, or with `reset`, the other end sees a reset. */
void sim_end_close(sim_end *end, bool reset);
/* Tell its script, if one has it. */
void sim_end_tell(sim_end *end, uint32_t what);

/* ---- sim_sock.c ---- */
sim_fd *sim_fd_at(sim_world *w, int fd);
/* The lowest free number, or a negated errno. */
int sim_fd_take(sim_world *w, sim_fd_kind kind);
void sim_fd_release(sim_world *w, int fd);
/* The port of an address of IPv4 or IPv6, or -EAFNOSUPPORT. */
int sim_port_of(const struct sockaddr *addr, socklen_t len);
/* A port that nobody listens to, as the kernel chooses one. */
uint16_t sim_port_choose(sim_world *w);
/* Put the callee of a connection into the backlog of a listener of its port: the listener's number,
 * -EAGAIN where there is no room, or -ECONNREFUSED. */
int sim_listener_queue(sim_wire *wire);
int sim_listen(hs_io *io, const struct sockaddr *addr, socklen_t addr_len, int backlog,
               bool reuse_port);
int sim_sockname(hs_io *io, int fd, struct sockaddr *addr, socklen_t *addr_len);
int sim_socket(hs_io *io, int family, int type, int protocol);
int sim_bind(hs_io *io, int fd, const struct sockaddr *addr, socklen_t addr_len);
int sim_sockopt(hs_io *io, int fd, int level, int name, const void *value, socklen_t bytes);
void sim_reset_on_close(hs_io *io, int fd);
void sim_shutdown(hs_io *io, int fd, int how);
void sim_close(hs_io *io, int fd);
/* What poll(2) would say. */
uint16_t sim_readiness(sim_world *w, int fd);

/* ---- sim_connect.c; also the doors and addresses of sim.h ---- */
/* A socket begins to connect. Returns 0, or a negated errno: it never will. */
int sim_connect_begin(sim_world *w, int fd, const struct sockaddr *addr, socklen_t addr_len);
/* A script begins to. */
void sim_connect_script(sim_wire *wire);
void sim_doors_free(sim_world *w);

/* ---- sim_op.c: what the kernel does for an op ---- */
/* The kernel looks at an op `after_ns` from now. */
void sim_op_look(sim_op *o, uint64_t after_ns);
void sim_op_cancel_look(sim_op *o, uint64_t after_ns);
/* Something changed for `fd`: its ops are looked at again. */
void sim_kick(sim_world *w, int fd);
/* A checksum of all memory that a send names. */
uint64_t sim_send_sum(const hs_op_send *send);
/* A checksum of the address that a connect names. */
uint64_t sim_connect_sum(const hs_op_connect *connect);
/* Hand buffers of the policy to the kernel. */
void sim_provide(sim_io *io);
/* A buffer is there again. */
void sim_provide_one(sim_io *io, uint16_t buf);

/* ---- sim_io.c ---- */
extern const hs_io_ops sim_io_ops;
HS_NODISCARD hs_err sim_io_create(sim_world *w, uint32_t number, const hs_mem *mem, sim_io **out);
void sim_io_free(sim_io *io);
