/* What goes wrong in a simulated world, drawn from its seed.
 *
 * Owns: the plan: how likely each fault is in one run. About half of the kinds are left out of each
 * run, so that what one fault hides another run shows. Must not know: how a fault is made.
 * Tested by: tests/unit/shard_io_sim.c. */
#include <string.h>

#include "sim_inside.h"

void sim_faults_none(sim_faults *f)
{
    memset(f, 0, sizeof(*f));
    f->latency_us_max = 100;
    f->late_us_max = 100;
    f->stall_ms_max = 1;
    f->jump_ms_max = 1;
    f->pipe_bytes_max = 65536;
    f->rbufs = HS_RBUFS_MIN;
    f->fds_max = SIM_FDS_MAX;
}

/* The plan has its own stream of numbers, so that a new kind of fault changes no old one's place in
 * the world's stream. */
static uint64_t next(uint64_t *state)
{
    uint64_t z = (*state += UINT64_C(0x9e3779b97f4a7c15));
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

/* 0 in half of all cases, else 1 to `max`. */
static uint32_t sometimes(uint64_t *state, uint32_t max)
{
    uint64_t r = next(state);
    return r & 1 ? 1 + (uint32_t)((r >> 1) % max) : 0;
}

static uint32_t between(uint64_t *state, uint32_t from, uint32_t to)
{
    return from + (uint32_t)(next(state) % (to - from + 1));
}

void sim_faults_draw(sim_faults *f, uint64_t seed)
{
    uint64_t state = seed ^ UINT64_C(0x66617578206b6572);
    f->send_short = sometimes(&state, 800);
    f->send_again = sometimes(&state, 300);
    f->recv_short = sometimes(&state, 900);
    f->op_late = sometimes(&state, 400);
    f->done_late = sometimes(&state, 400);
    f->done_few = sometimes(&state, 500);
    f->cancel_late = sometimes(&state, 500);
    f->cancel_natural = sometimes(&state, 500);
    f->enobufs = sometimes(&state, 400);
    f->accept_error = sometimes(&state, 200);
    f->wake_late = sometimes(&state, 500);
    f->reset = sometimes(&state, 400);
    f->stall = sometimes(&state, 20);
    f->clock_jump = sometimes(&state, 3);
    f->reorder = sometimes(&state, 1024);
    f->reset_drops = sometimes(&state, 1024);
    f->latency_us_max = 1u << between(&state, 3, 15);
    f->late_us_max = 1u << between(&state, 3, 14);
    f->stall_ms_max = 1u << between(&state, 6, 15);
    f->jump_ms_max = 1u << between(&state, 0, 17);
    f->pipe_bytes_max = 1u << between(&state, 9, 17);
    f->rbufs = 1u << between(&state, 0, 5);
    f->fds_max = next(&state) % 4 ? SIM_FDS_MAX : between(&state, 4, 16);
    f->connect_refused = sometimes(&state, 200);
    f->connect_unreachable = sometimes(&state, 200);
    f->connect_silent = sometimes(&state, 200);
    f->connect_stall = sometimes(&state, 200);
    f->connect_reset = sometimes(&state, 200);
}
