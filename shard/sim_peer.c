/* The scripts at the ends of simulated connections: what a test holds of them.
 *
 * Owns: the calls of sim.h by which a script connects, reads, writes and closes. Must not know: who
 * has the other end. Tested by: tests/unit/shard_io_sim.c. */
#include "sim_inside.h"

sim_peer *sim_peer_connect(sim_world *w, uint16_t port, bool spared, sim_peer_fn *fn, void *ctx)
{
    HS_ASSERT(fn != NULL);
    sim_wire *wire = sim_wire_create(w);
    wire->port = port;
    wire->spared = spared;
    wire->caller.fn = fn;
    wire->caller.ctx = ctx;
    sim_connect_script(wire);
    return &wire->caller;
}

void *sim_peer_ctx(const sim_peer *peer)
{
    return peer->ctx;
}

void sim_peer_set_ctx(sim_peer *peer, void *ctx)
{
    peer->ctx = ctx;
}

sim_world *sim_peer_world(const sim_peer *peer)
{
    return peer->wire->w;
}

bool sim_peer_harmed(const sim_peer *peer)
{
    return peer->wire->harmed;
}

size_t sim_peer_unread(const sim_peer *peer)
{
    return (size_t)sim_pipe_unread(&peer->in);
}

size_t sim_peer_write(sim_peer *peer, const void *bytes, size_t len)
{
    if (peer->reset)
        return 0;
    uint32_t n = sim_end_write(peer, bytes, (uint32_t)HS_MIN(len, UINT32_MAX));
    peer->wants_room = n < len;
    sim_note(peer->wire->w, "peer write", peer->wire->number, n, 0);
    return n;
}

size_t sim_peer_read(sim_peer *peer, void *out, size_t max)
{
    HS_ASSERT(peer->stage != SIM_CLOSED);
    uint32_t n = (uint32_t)HS_MIN(max, sim_pipe_unread(&peer->in));
    sim_end_read(peer, out, n);
    if (n > 0)
        sim_note(peer->wire->w, "peer read", peer->wire->number, n, sim_sum(0, out, n));
    return n;
}

void sim_peer_finish(sim_peer *peer)
{
    HS_ASSERT(peer->stage == SIM_OPEN);
    if (sim_end_finished(peer) || peer->reset)
        return;
    sim_note(peer->wire->w, "peer finish", peer->wire->number, 0, 0);
    sim_end_finish(peer);
}

void sim_peer_close(sim_peer *peer, bool reset)
{
    sim_wire *wire = peer->wire;
    sim_note(wire->w, "peer close", wire->number, reset, sim_pipe_unread(&peer->in));
    /* It ends as it is closed here. */
    sim_event_cancel(wire->w, &wire->fate);
    sim_end_close(peer, reset);
}
