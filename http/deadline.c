/* A connection's timer.
 *
 * Owns: one timer a connection, which is looked at when it comes due and not moved at each request:
 * a phase only writes down when it began. What it finds then is timeout.c's.
 * Tested by: tests/sim, tests/e2e. */
#include "session.h"

void timeout_phase(h1_conn *c, conn_phase phase)
{
    c->phase = (uint8_t)phase;
    c->since_ns = hs_shard_now_ns(c->server->shard);
}

void timeout_within(h1_conn *c, uint32_t ms)
{
    HS_ASSERT(ms > 0);
    hs_shard *shard = c->server->shard;
    uint64_t due = hs_shard_now_ns(shard) + ms * HS_MSEC_NS;
    if (hs_timer_active(&c->timer) && c->due_ns <= due)
        return;
    c->due_ns = due;
    if (!hs_ok(hs_timer_set(shard, &c->timer, due, c->server->on_timer)))
        hs_stream_abort(c->stream);
}
