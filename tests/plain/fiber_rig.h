/* A group of one shard whose work is a fiber: what the plain tests of fibers share. */
#pragma once

#include <string.h>

#include "check.h"
#include "hs_fiber.h"
#include "hs_group.h"
#include "hs_limits.h"
#include "shard.h"

static hs_fiber_fn *rig_scene;
static hs_reaction rig_end;

static void rig_ended(hs_reaction *reaction, hs_outcome outcome)
{
    CHECK(reaction == &rig_end);
    CHECK(hs_ok(outcome.err));
    shard_stop(hs_shard_self());
}

static hs_err rig_start(hs_shard *s, void *ctx)
{
    hs_react(hs_fiber_start(s, "scene", rig_scene, ctx, NULL), &rig_end, rig_ended);
    return HS_OK;
}

/* Options of one shard that logs warnings and errors alone, and no stalls: a machine that stands
 * still must add no line to what a test reads. */
static inline hs_group_options rig_options(void)
{
    hs_group_options o;
    hs_group_options_init(&o);
    o.shards = 1;
    o.pin_off = true;
    o.log_level = HS_LOG_WARN;
    o.stall_ms = 0;
    return o;
}

/* Run scene(arg) on a fiber of a shard of its own, to the end of both. */
static inline void rig_run(const hs_group_options *options, hs_fiber_fn *scene, void *arg)
{
    hs_group_options o = *options;
    o.start = rig_start;
    o.ctx = arg;
    rig_scene = scene;
    hs_group *group;
    CHECK(hs_ok(hs_group_start(&o, &group)));
    hs_group_join(group);
}
