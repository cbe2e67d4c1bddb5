/* Attempts to connect to several addresses, of which the first that succeeds is taken.
 *
 * Owns: the order and the pace of the attempts (RFC 8305 sections 4 and 5), their sockets until one
 * has won, and which of several errors tells most. Must not know: names, promises, streams. */
#pragma once

#include "hs_addr.h"
#include "hs_list.h"
#include "hs_pool.h"
#include "hs_shard.h"

typedef struct race race;

/* Addresses of one family that wait for their turn. */
typedef struct race_queue {
    hs_addr *addrs;
    uint32_t len, next;
} race_queue;

struct race {
    hs_shard *shard;
    hs_pool *attempts; /* of race_attempt_bytes() each */
    hs_list running;
    hs_timer pace;
    race_queue queues[2]; /* of the preferred family, of the other */
    hs_addr local;        /* len 0: any */
    uint32_t attempt_ms;
    uint32_t turn; /* which queue is next */
    bool open;     /* more addresses may come */
    bool started;
    bool due;  /* the next attempt's time has come, but there is no address */
    bool over; /* won, lost or stopped */
    /* What is told when it fails: */
    hs_err err;
    int rank;          /* of `err`; 0: none yet */
    bool connected_to; /* an address was tried, not just refused by `allow` */
    uint32_t tried;
    hs_addr err_addr, last_addr;
    /* Set by the owner: */
    hs_err (*allow)(const hs_addr *addr, void *ctx); /* may be NULL */
    void *ctx;
    void (*won)(race *r, int fd); /* a connected socket, which is the callee's */
    void (*lost)(race *r);        /* nothing is left to try: see `err` */
    void (*idle)(race *r);        /* it was over before; now its last attempt is gone as well */
};

size_t race_attempt_bytes(void);

/* Prepare it; `open`. The rest is the caller's to set. */
void race_init(race *r, hs_shard *shard, hs_pool *attempts);

/* Give back its addresses. No attempt may be running. */
void race_fini(race *r);

/* Copy addresses to queue 0 or 1, which is empty, with `port` where that is not 0. Errors: -ENOMEM.
 */
HS_NODISCARD hs_err race_add(race *r, uint32_t queue, const hs_addr *addrs, uint32_t len,
                             uint16_t port);

/* How many addresses wait in a queue. */
uint32_t race_waiting(const race *r, uint32_t queue);

/* Whether all that there was to try has failed, and more may come: see `err`. */
bool race_failed(const race *r);

/* Begin, or look again after race_add or a change of `open`. Any of the callbacks may be called
 * from here, but for `idle`. */
void race_go(race *r);

/* No more: attempts are cancelled. True when none is running; else `idle` tells. */
bool race_stop(race *r);
