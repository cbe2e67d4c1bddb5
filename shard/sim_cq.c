/* The completions of a simulated backend that are not told yet.
 *
 * Owns: when each may be told, and in which order: within one op as they came, between ops as the
 * seed has it. Must not know: what an op does, who is told. Tested by: tests/unit/shard_io_sim.c.
 */
#include "sim_inside.h"

static void due(sim_world *w, sim_event *event)
{
    (void)w, (void)event; /* time has come: sim_cq_ready sees it */
}

void sim_cq_set_due(sim_io *io)
{
    uint64_t at = UINT64_MAX;
    for (uint32_t i = 0; i < io->cq_len; i++)
        at = HS_MIN(at, io->cq[i].at);
    if (at != UINT64_MAX && at > io->w->now)
        sim_event_set(io->w, &io->due, at - io->w->now, due);
}

void sim_post(sim_op *o, int32_t res, bool more, bool has_buf, uint16_t buf)
{
    sim_io *io = o->io;
    sim_world *w = io->w;
    HS_ASSERT(o->state != SIM_OP_ENDED);
    HS_ASSERT(io->cq_len < SIM_CQ_MAX);
    uint64_t at = w->now + sim_late(w, w->faults.done_late);
    o->last_at = HS_MAX(o->last_at, at);
    io->cq[io->cq_len++] = (sim_cqe){
        .op = o, .at = o->last_at, .res = res, .buf = buf, .has_buf = has_buf, .more = more};
    if (!more) {
        o->state = SIM_OP_ENDED;
        sim_event_cancel(w, &o->attempt);
        sim_event_cancel(w, &o->cancel);
    }
    sim_note(w, "done", o->fd, res, more);
    sim_cq_set_due(io);
}

bool sim_cq_ready(const sim_io *io)
{
    for (uint32_t i = 0; i < io->cq_len; i++)
        if (io->cq[i].at <= io->w->now)
            return true;
    return false;
}

uint32_t sim_cq_pick(sim_io *io)
{
    sim_world *w = io->w;
    uint32_t from = 0;
    if (io->cq_len > 1 && sim_chance(w, w->faults.reorder))
        from = (uint32_t)sim_below(w, io->cq_len);
    uint32_t found = io->cq_len;
    for (uint32_t i = 0; i < io->cq_len && found == io->cq_len; i++)
        if (io->cq[(from + i) % io->cq_len].at <= w->now)
            found = (from + i) % io->cq_len;
    if (found == io->cq_len)
        return found;
    /* An earlier one of the same op goes first. */
    for (uint32_t i = 0; i < found; i++)
        if (io->cq[i].op == io->cq[found].op)
            return i;
    return found;
}
