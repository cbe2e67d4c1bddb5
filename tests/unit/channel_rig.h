/* What the tests of channels share: one, its two ends, and what a few promises came to. */
#pragma once

#include "cluster_rig.h"
#include "hs_call.h"
#include "hs_channel.h"

static hs_sender *tx;
static hs_receiver *rx;
static seen s1, s2, s3;

static inline void make_channel(uint32_t capacity)
{
    cr_assert(hs_ok(hs_channel_create(hs_shard_self(), capacity, thing_drop, &tx, &rx)));
}
