/* Endings: what has to end without what it waits for.
 *
 * Owns: the hook that the parts of a shard leave for its stop (shard_ending_add in inside.h, which
 * says when). Must not know: who waits. */
#pragma once

#include "hs_list.h"

/* Something that waits for what only another can bring, and has to end without: see stop.c. The
 * owner holds the storage. */
typedef struct shard_ending shard_ending;
struct shard_ending {
    hs_list link;
    void (*fn)(shard_ending *ending); /* called once; may remove others */
};
