/* The inside of cancel tokens.
 *
 * Owns: what a shard keeps for them. Must not know: promises. */
#pragma once

#include "hs_cancel.h"
#include "hs_pool.h"

/* The tokens of a shard. */
typedef struct cancel_state {
    hs_pool pool; /* made at the first token */
    hs_trim trim;
    bool ending; /* no token is made any more */
} cancel_state;

/* Free the tokens that callers left, without a call to anybody. */
void cancels_end(hs_shard *s);
