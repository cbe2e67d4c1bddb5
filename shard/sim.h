/* The simulator: a seeded fake kernel and network with a virtual clock, for tests.
 *
 * Owns: a world of several backends (one a shard) behind the seam of hs_io.h, listeners and sockets
 * between them and scripted peers, and everything that may go wrong, drawn from one seed. The same
 * seed gives the same run, told by a hash over all that happened. Must not know: the loop, any
 * protocol. It is built for the tests alone and is no part of the library.
 *
 * It checks its caller: an op started twice or left behind, memory that changed under an op, a file
 * closed under an op or used after, a buffer given back twice: each is an assertion.
 * Tested by: tests/unit/shard_io_sim.c, and tests/sim/ runs on it. */
#pragma once

#include <stdio.h>

#include "hs_heap.h"
#include "hs_io.h"
#include "hs_mem.h"

typedef struct sim_world sim_world;
typedef struct sim_end sim_end;
typedef sim_end sim_peer; /* an end of a connection that a script has */
typedef struct sim_event sim_event;

/* ---- what may go wrong ---- */

/* Chances are in 1024; 0: never. */
typedef struct sim_faults {
    uint32_t send_short;     /* a send takes only some of the bytes */
    uint32_t send_again;     /* a send makes no progress at first */
    uint32_t recv_short;     /* a receive gives only some of what is there */
    uint32_t op_late;        /* the kernel looks at an op late */
    uint32_t done_late;      /* a completion comes late */
    uint32_t done_few;       /* a turn tells only some of what is done */
    uint32_t cancel_late;    /* a cancel takes effect late */
    uint32_t cancel_natural; /* a cancelled op does once more what it can */
    uint32_t enobufs;        /* a receive finds no buffer although there is one */
    uint32_t accept_error;   /* an accept fails */
    uint32_t wake_late;      /* a wake-up takes a while */
    uint32_t reset;          /* of a connection: reset at some moment */
    uint32_t stall;          /* of a piece of data: arrives very late */
    uint32_t clock_jump;     /* of a wait: the clock jumps forward */
    uint32_t reorder;        /* completions of different ops come in another order */
    uint32_t reset_drops;    /* a reset drops what arrived before it and was not read */
    uint32_t connect_refused;
    uint32_t connect_unreachable;
    uint32_t connect_silent; /* of a socket's connect: nobody ever answers it */
    uint32_t connect_stall;  /* it is answered very late */
    uint32_t connect_reset;  /* a connection is reset as soon as it is made */
    uint32_t latency_us_max; /* of the network */
    uint32_t late_us_max;    /* of the late things above, but for stalls */
    uint32_t stall_ms_max;
    uint32_t jump_ms_max;
    uint32_t pipe_bytes_max; /* of a connection's buffers, each way: a power of two */
    uint32_t rbufs;          /* receive buffers of a backend at first */
    uint32_t fds_max;        /* files open at a time */
} sim_faults;

/* No faults, and a fast network. */
void sim_faults_none(sim_faults *f);

/* Draw faults: each kind is left out of about half of all seeds, so that the others show alone. */
void sim_faults_draw(sim_faults *f, uint64_t seed);

/* ---- the world ---- */

typedef struct sim_options {
    uint64_t seed;
    uint32_t shards;          /* how many backends */
    const hs_mem *mem;        /* for what a backend of production would take; NULL: the system's */
    const sim_faults *faults; /* NULL: drawn from the seed */
    FILE *trace;              /* where to tell what happens; NULL: nowhere */
} sim_options;

/* Errors: -ENOMEM, when options->mem gives none for the buffers of a backend. */
HS_NODISCARD hs_err sim_world_create(const sim_options *options, sim_world **out);

/* Free the world. Assertions: no file is open, no op under way, no buffer lent, on any backend. */
void sim_world_destroy(sim_world *w);

/* Backend `i`, for hs_io_... and shard_create. */
hs_io *sim_world_io(sim_world *w, uint32_t i);

/* Run `body(ctx)` as the thread of backend `i`, on a stack of its own: where its turn waits, others
 * go on. `resumed(ctx)` (may be NULL) runs each time that it goes on after a wait. */
void sim_world_spawn(sim_world *w, uint32_t i, void (*body)(void *ctx), void (*resumed)(void *ctx),
                     void *ctx);

/* Let one thing happen: a backend's thread goes on until it waits, or something arrives, or time
 * passes. False when nothing will ever happen again. */
bool sim_world_step(sim_world *w);

/* Whether all spawned bodies have returned. */
bool sim_world_ended(const sim_world *w);

uint64_t sim_world_now_ns(const sim_world *w);
/* The code under way takes so long: time passes, and the world around its backend goes on. */
void sim_world_spend(sim_world *w, uint64_t ns);
const sim_faults *sim_world_faults(const sim_world *w);

/* Over everything that happened so far. */
uint64_t sim_world_hash(const sim_world *w);

/* How many files are open. */
uint32_t sim_world_fds(const sim_world *w);

/* Whether something happened that may end any connection: a jump of the clock. */
bool sim_world_harmed(const sim_world *w);

/* Note that something happened: it goes into the hash and the trace. `what` is static storage. */
void sim_note(sim_world *w, const char *what, int64_t a, int64_t b, uint64_t c);

/* ---- random numbers, of the seed ---- */

uint64_t sim_random(sim_world *w);
/* Below `n` (> 0). */
uint64_t sim_below(sim_world *w, uint64_t n);
/* From 0 to `max`, small ones as often as large ones: even over the logarithm. */
uint64_t sim_spread(sim_world *w, uint64_t max);
/* True in `chance` of 1024 cases. Draws nothing where it is 0. */
bool sim_chance(sim_world *w, uint32_t chance);

/* ---- something that happens at a time ---- */

typedef void sim_event_fn(sim_world *w, sim_event *event);

/* Zeroed storage is one that is not set. */
struct sim_event {
    hs_heap_node node;
    sim_event_fn *fn;
};

/* Run `fn` once, `after_ns` from now. One that is set moves. */
void sim_event_set(sim_world *w, sim_event *event, uint64_t after_ns, sim_event_fn *fn);
void sim_event_cancel(sim_world *w, sim_event *event);

/* ---- addresses ---- */

typedef enum sim_reach {
    SIM_REACH_OPEN, /* as ever: whoever listens there answers */
    SIM_REACH_REFUSED,
    SIM_REACH_UNREACHABLE,
    SIM_REACH_SILENT /* nobody ever answers */
} sim_reach;

/* What a socket's connect to `addr` comes to, `after_ns` from its start, instead of what the faults
 * would make of it; port 0: to any port of that address. Every address of the world that is not
 * named is this one host. A second time for the same address: what is said last. */
void sim_address_set(sim_world *w, const struct sockaddr *addr, sim_reach reach, uint64_t after_ns);

/* ---- scripted peers ---- */

/* What a peer is told; several at a time. */
enum {
    SIM_PEER_OPEN = 1,    /* connected: it may write */
    SIM_PEER_READ = 2,    /* more bytes arrived */
    SIM_PEER_WRITE = 4,   /* room again, after a write that took less than it was given */
    SIM_PEER_EOF = 8,     /* the other side has finished; bytes may still wait to be read */
    SIM_PEER_RESET = 16,  /* the connection is gone */
    SIM_PEER_REFUSED = 32 /* nobody listens there */
};

typedef void sim_peer_fn(sim_peer *peer, uint32_t what);

/* Connect to `port`. `spared`: no fault that could end the connection happens to it, nor a stall.
 * The world owns the peer; it stays valid until sim_peer_close. */
sim_peer *sim_peer_connect(sim_world *w, uint16_t port, bool spared, sim_peer_fn *fn, void *ctx);

/* Accept on `port`, of either family, as a script: `fn` is told SIM_PEER_OPEN for each new peer,
 * with `ctx` until it sets another. To a port with a listener and a script: the script's.
 * `spared`: as with sim_peer_connect. */
void sim_peer_listen(sim_world *w, uint16_t port, bool spared, sim_peer_fn *fn, void *ctx);

/* Accept no more on `port`: what comes is refused. */
void sim_peer_unlisten(sim_world *w, uint16_t port);

void *sim_peer_ctx(const sim_peer *peer);
void sim_peer_set_ctx(sim_peer *peer, void *ctx);
sim_world *sim_peer_world(const sim_peer *peer);

/* Write what there is room for; returns how many bytes were taken. */
size_t sim_peer_write(sim_peer *peer, const void *bytes, size_t len);

/* Read what arrived, at most `max`; returns how many bytes. */
size_t sim_peer_read(sim_peer *peer, void *out, size_t max);

/* How many bytes arrived and were not read. */
size_t sim_peer_unread(const sim_peer *peer);

/* No more writes: the other side sees the end after all that was written. */
void sim_peer_finish(sim_peer *peer);

/* Close it; the peer is gone, and its function is not called again. With unread bytes, or with
 * `reset`, the other side sees a reset. */
void sim_peer_close(sim_peer *peer, bool reset);

/* Whether the network did something to it that may end it: a reset, a stall, a failed accept. */
bool sim_peer_harmed(const sim_peer *peer);
/* The same, of the connection that the open file `fd` has. */
bool sim_fd_harmed(sim_world *w, int fd);
