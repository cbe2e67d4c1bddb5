/* What a shard keeps for its calls. */
#pragma once

#include "ending.h"
#include "hs_call.h"
#include "hs_pool.h"

typedef struct call_state {
    hs_pool pool; /* of its own calls, made at the first */
    hs_trim trim;
    hs_list served; /* calls of others, whose function returned a promise that is pending */
    shard_ending ending;
    hs_task sweep;
} call_state;

/* call.c: prepare for the calls of others. And for none: all are done. */
void calls_init(hs_shard *s);
void calls_end(hs_shard *s);
