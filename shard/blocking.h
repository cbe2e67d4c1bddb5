/* What a shard keeps for its work that blocks. */
#pragma once

#include "blocking_pool.h"
#include "ending.h"
#include "hs_pool.h"

typedef struct blocking_state {
    blocking_pool *pool; /* the group's; NULL: work runs on the shard */
    hs_pool slots;       /* made at the first */
    hs_trim trim;
    hs_list works;         /* that have not come back */
    blocking_job *arrived; /* that have, in order */
    shard_ending ending;
    hs_timer tell;
    uint32_t tell_ms;                            /* of a stop, until the next line */
    uint32_t queued_id, running_id, rejected_id; /* counters */
} blocking_state;

/* blocking.c: prepare for work. Errors: HS_E_LIMIT (counters). And for none: all has come back. */
HS_NODISCARD hs_err blocking_init(hs_shard *s, blocking_pool *pool);
void blocking_end(hs_shard *s);
/* Receive what came back, a bounded number. */
void blocking_drain(hs_shard *s);
/* Whether something has come back. */
bool blocking_waits(const hs_shard *s);
/* A stop has begun: from now on who keeps it waiting is told. */
void blocking_stopping(hs_shard *s);
