/* The simulated network: connections of two byte pipes, and the peers at their far ends.
 *
 * Owns: what is on its way, when it arrives, how much fits, and how a connection ends: in order
 * (FIN) or not (reset). It behaves as TCP of Linux does where a server could tell: data that
 * arrives at a closed socket, or is unread when it is closed, is answered by a reset, which drops
 * what is still on its way. Must not know: the files, listeners and ops at the server's end, which
 * the world tells for it. Tested by: tests/unit/shard_io_sim.c. */
#include <errno.h>
#include <string.h>

#include "sim_inside.h"

#define PIPE_BYTES_MIN 256

/* ---- pipes ---- */

uint32_t sim_pipe_room(const sim_pipe *p)
{
    HS_ASSERT(p->read <= p->arrived && p->arrived <= p->sent);
    HS_ASSERT(p->sent - p->read <= p->cap);
    return p->cap - (uint32_t)(p->sent - p->read);
}

uint64_t sim_pipe_unread(const sim_pipe *p)
{
    return p->arrived - p->read;
}

static void pipe_init(sim_world *w, sim_pipe *p)
{
    p->cap = PIPE_BYTES_MIN;
    uint64_t want = sim_spread(w, w->faults.pipe_bytes_max);
    while (p->cap < want && p->cap < w->faults.pipe_bytes_max)
        p->cap *= 2;
    p->bytes = hs_mem_take(sim_mem(), p->cap, 16);
    HS_ASSERT(p->bytes != NULL);
}

static void pipe_free(sim_world *w, sim_pipe *p)
{
    sim_event_cancel(w, &p->arrive);
    hs_mem_give(sim_mem(), p->bytes, p->cap, 16);
    p->bytes = NULL;
}

static void pipe_put(sim_pipe *p, const uint8_t *bytes, uint32_t len)
{
    HS_ASSERT(len <= sim_pipe_room(p));
    uint32_t at = (uint32_t)(p->sent & (p->cap - 1));
    uint32_t first = HS_MIN(len, p->cap - at);
    memcpy(p->bytes + at, bytes, first);
    memcpy(p->bytes, bytes + first, len - first);
    p->sent += len;
}

static void pipe_get(sim_pipe *p, uint8_t *out, uint32_t len)
{
    HS_ASSERT(len <= sim_pipe_unread(p));
    uint32_t at = (uint32_t)(p->read & (p->cap - 1));
    uint32_t first = HS_MIN(len, p->cap - at);
    memcpy(out, p->bytes + at, first);
    memcpy(out + first, p->bytes, len - first);
    p->read += len;
}

static sim_segment *segment_at(sim_pipe *p, uint32_t i)
{
    return &p->segments[(p->segment_first + i) % SIM_SEGMENTS_MAX];
}

static void pipe_arrive_next(sim_world *w, sim_pipe *p, sim_event_fn *fn)
{
    if (p->segments_len > 0)
        sim_event_set(w, &p->arrive, HS_MAX(segment_at(p, 0)->at, w->now) - w->now, fn);
}

void sim_harm(sim_peer *peer, const char *why)
{
    HS_ASSERT(!peer->spared);
    peer->harmed = true;
    sim_note(peer->w, why, peer->number, peer->fd, 0);
}

/* Put what was sent, or the end, on its way: it arrives in order. */
static void pipe_send(sim_peer *peer, sim_pipe *p, bool fin, sim_event_fn *fn)
{
    sim_world *w = peer->w;
    uint64_t at = w->now + sim_spread(w, (uint64_t)w->faults.latency_us_max * 1000);
    if (!peer->spared && sim_chance(w, w->faults.stall)) {
        at += sim_spread(w, w->faults.stall_ms_max) * HS_MSEC_NS;
        sim_harm(peer, "stall");
    }
    if (p->segments_len > 0)
        at = HS_MAX(at, segment_at(p, p->segments_len - 1)->at);
    if (p->segments_len < SIM_SEGMENTS_MAX)
        p->segments_len++;
    sim_segment *last = segment_at(p, p->segments_len - 1);
    *last = (sim_segment){.at = at, .upto = p->sent, .fin = fin};
    pipe_arrive_next(w, p, fn);
}

/* The first segment arrives. */
static void pipe_arrived(sim_world *w, sim_pipe *p, sim_event_fn *fn)
{
    HS_ASSERT(p->segments_len > 0);
    const sim_segment *s = segment_at(p, 0);
    p->arrived = s->upto;
    p->fin_arrived = s->fin;
    p->segment_first = (p->segment_first + 1) % SIM_SEGMENTS_MAX;
    p->segments_len--;
    pipe_arrive_next(w, p, fn);
}

/* What is on its way is lost, and, with `all`, what arrived and was not read. */
static void pipe_drop(sim_world *w, sim_pipe *p, bool all)
{
    p->segments_len = 0;
    sim_event_cancel(w, &p->arrive);
    if (all)
        p->read = p->arrived;
    p->sent = p->arrived;
}

/* ---- telling the peer ---- */

static void tell(sim_peer *peer, uint32_t what)
{
    if (peer->peer_gone)
        return;
    sim_note(peer->w, "peer told", peer->number, what, sim_pipe_unread(&peer->down));
    peer->fn(peer, what);
}

static void down_arrived(sim_world *w, sim_event *event)
{
    sim_peer *peer = HS_CONTAINER_OF(event, sim_peer, down.arrive);
    uint64_t before = peer->down.arrived;
    pipe_arrived(w, &peer->down, down_arrived);
    uint32_t what = peer->down.arrived > before ? SIM_PEER_READ : 0;
    what |= peer->down.fin_arrived ? SIM_PEER_EOF : 0;
    if (peer->peer_gone && peer->down.arrived > before)
        sim_event_set(w, &peer->reset_up, 1000, peer->reset_up.fn);
    else if (what)
        tell(peer, what);
}

static void reset_down_arrived(sim_world *w, sim_event *event)
{
    sim_peer *peer = HS_CONTAINER_OF(event, sim_peer, reset_down);
    if (peer->peer_reset)
        return;
    peer->peer_reset = true;
    pipe_drop(w, &peer->down, sim_chance(w, w->faults.reset_drops));
    pipe_drop(w, &peer->up, true);
    sim_note(w, "peer reset", peer->number, peer->fd, 0);
    tell(peer, SIM_PEER_RESET);
}

void sim_reset_peer(sim_peer *peer)
{
    sim_world *w = peer->w;
    uint64_t after = sim_spread(w, (uint64_t)w->faults.latency_us_max * 1000);
    /* What has left by now arrives before the reset or never. */
    sim_event_set(w, &peer->reset_down, after, reset_down_arrived);
}

static void room_arrived(sim_world *w, sim_event *event)
{
    (void)w;
    sim_peer *peer = HS_CONTAINER_OF(event, sim_peer, room);
    if (peer->wants_room && !peer->peer_reset && sim_pipe_room(&peer->up) > 0) {
        peer->wants_room = false;
        tell(peer, SIM_PEER_WRITE);
    }
}

/* ---- the server's side ---- */

static void server_reset(sim_peer *peer)
{
    if (peer->server_reset)
        return;
    peer->server_reset = true;
    pipe_drop(peer->w, &peer->up, sim_chance(peer->w, peer->w->faults.reset_drops));
    pipe_drop(peer->w, &peer->down, false);
    sim_note(peer->w, "server reset", peer->number, peer->fd, 0);
    if (peer->stage == SIM_OPEN)
        peer->w->kick(peer->w, peer->fd);
}

static void reset_up_arrived(sim_world *w, sim_event *event)
{
    (void)w;
    server_reset(HS_CONTAINER_OF(event, sim_peer, reset_up));
}

static void up_arrived(sim_world *w, sim_event *event)
{
    sim_peer *peer = HS_CONTAINER_OF(event, sim_peer, up.arrive);
    uint64_t before = peer->up.arrived;
    pipe_arrived(w, &peer->up, up_arrived);
    if (peer->stage == SIM_OPEN)
        w->kick(w, peer->fd);
    else if (peer->stage == SIM_CLOSED && peer->up.arrived > before)
        sim_reset_peer(peer);
}

uint32_t sim_down_write(sim_peer *peer, const void *bytes, uint32_t len)
{
    uint32_t n = HS_MIN(len, sim_pipe_room(&peer->down));
    if (n > 0) {
        pipe_put(&peer->down, bytes, n);
        pipe_send(peer, &peer->down, false, down_arrived);
    }
    return n;
}

void sim_down_finish(sim_peer *peer)
{
    HS_ASSERT(!peer->down.fin_sent);
    peer->down.fin_sent = true;
    pipe_send(peer, &peer->down, true, down_arrived);
}

void sim_up_read(sim_peer *peer, void *out, uint32_t len)
{
    sim_world *w = peer->w;
    pipe_get(&peer->up, out, len);
    if (peer->wants_room && !hs_heap_has(&peer->room.node))
        sim_event_set(w, &peer->room, sim_spread(w, (uint64_t)w->faults.latency_us_max * 1000),
                      room_arrived);
}

/* ---- connecting ---- */

/* Both sides are reset, as by a box in the middle. */
static void fate(sim_world *w, sim_event *event)
{
    sim_peer *peer = HS_CONTAINER_OF(event, sim_peer, fate);
    sim_harm(peer, "fate");
    if (sim_below(w, 2))
        server_reset(peer);
    else
        sim_event_set(w, &peer->reset_up, sim_late(w, 512), reset_up_arrived);
    sim_reset_peer(peer);
}

void sim_peer_opened(sim_peer *peer)
{
    sim_world *w = peer->w;
    if (!peer->spared && sim_chance(w, w->faults.reset))
        sim_event_set(w, &peer->fate, sim_spread(w, 4000) * HS_MSEC_NS / 2, fate);
}

static void connect_arrived(sim_world *w, sim_event *event)
{
    sim_peer *peer = HS_CONTAINER_OF(event, sim_peer, connect);
    int fd = w->knock(peer);
    if (fd == -EAGAIN) { /* no room in the backlog: the first packet is sent again */
        sim_event_set(w, &peer->connect, HS_SEC_NS, connect_arrived);
        return;
    }
    if (fd < 0) {
        peer->stage = SIM_CLOSED;
        tell(peer, SIM_PEER_REFUSED);
        return;
    }
    peer->stage = SIM_QUEUED;
    peer->fd = fd;
    sim_note(w, "connected", peer->number, fd, 0);
    w->kick(w, fd);
    sim_peer_opened(peer);
    tell(peer, SIM_PEER_OPEN);
}

sim_peer *sim_peer_connect(sim_world *w, uint16_t port, bool spared, sim_peer_fn *fn, void *ctx)
{
    HS_ASSERT(fn != NULL);
    sim_peer *peer = hs_mem_take_zero(sim_mem(), sizeof(*peer), _Alignof(sim_peer));
    HS_ASSERT(peer != NULL);
    peer->w = w;
    hs_list_init(&peer->link);
    hs_list_push_back(&w->peers, &peer->link);
    peer->number = ++w->peers_made;
    peer->port = port;
    peer->fd = -1;
    peer->spared = spared;
    peer->fn = fn;
    peer->ctx = ctx;
    peer->reset_up.fn = reset_up_arrived;
    pipe_init(w, &peer->up);
    pipe_init(w, &peer->down);
    sim_event_set(w, &peer->connect, sim_spread(w, (uint64_t)w->faults.latency_us_max * 1000),
                  connect_arrived);
    return peer;
}

bool sim_peer_dead(const sim_peer *peer)
{
    return peer->peer_gone && peer->stage == SIM_CLOSED;
}

void sim_peer_free(sim_peer *peer)
{
    sim_world *w = peer->w;
    sim_event *events[] = {&peer->connect, &peer->room, &peer->fate, &peer->reset_up,
                           &peer->reset_down};
    for (size_t i = 0; i < HS_ARRAY_LEN(events); i++)
        sim_event_cancel(w, events[i]);
    hs_list_remove(&peer->link);
    pipe_free(w, &peer->up);
    pipe_free(w, &peer->down);
    hs_mem_give(sim_mem(), peer, sizeof(*peer), _Alignof(sim_peer));
}

/* ---- the peer's side ---- */

void *sim_peer_ctx(const sim_peer *peer)
{
    return peer->ctx;
}

sim_world *sim_peer_world(const sim_peer *peer)
{
    return peer->w;
}

bool sim_peer_harmed(const sim_peer *peer)
{
    return peer->harmed;
}

size_t sim_peer_unread(const sim_peer *peer)
{
    return (size_t)sim_pipe_unread(&peer->down);
}

size_t sim_peer_write(sim_peer *peer, const void *bytes, size_t len)
{
    HS_ASSERT(!peer->peer_gone && !peer->up.fin_sent);
    if (peer->peer_reset)
        return 0;
    uint32_t n = (uint32_t)HS_MIN(len, sim_pipe_room(&peer->up));
    if (n > 0) {
        pipe_put(&peer->up, bytes, n);
        pipe_send(peer, &peer->up, false, up_arrived);
    }
    peer->wants_room = n < len;
    sim_note(peer->w, "peer write", peer->number, n, 0);
    return n;
}

size_t sim_peer_read(sim_peer *peer, void *out, size_t max)
{
    HS_ASSERT(!peer->peer_gone);
    bool was_full = sim_pipe_room(&peer->down) == 0;
    uint32_t n = (uint32_t)HS_MIN(max, sim_pipe_unread(&peer->down));
    pipe_get(&peer->down, out, n);
    if (n > 0)
        sim_note(peer->w, "peer read", peer->number, n, sim_sum(0, out, n));
    if (n > 0 && was_full && peer->stage == SIM_OPEN)
        peer->w->kick(peer->w, peer->fd);
    return n;
}

void sim_peer_finish(sim_peer *peer)
{
    HS_ASSERT(!peer->peer_gone);
    if (peer->up.fin_sent || peer->peer_reset)
        return;
    peer->up.fin_sent = true;
    sim_note(peer->w, "peer finish", peer->number, 0, 0);
    pipe_send(peer, &peer->up, true, up_arrived);
}

void sim_peer_close(sim_peer *peer, bool reset)
{
    HS_ASSERT(!peer->peer_gone);
    sim_world *w = peer->w;
    sim_note(w, "peer close", peer->number, reset, sim_pipe_unread(&peer->down));
    peer->peer_gone = true;
    sim_event_cancel(w, &peer->fate);
    if (peer->stage == SIM_CONNECTING) {
        sim_event_cancel(w, &peer->connect);
        peer->stage = SIM_CLOSED;
    } else if (!peer->peer_reset && (reset || sim_pipe_unread(&peer->down) > 0)) {
        uint64_t after = sim_spread(w, (uint64_t)w->faults.latency_us_max * 1000);
        sim_event_set(w, &peer->reset_up, after, reset_up_arrived);
    } else if (!peer->peer_reset && !peer->up.fin_sent) {
        peer->up.fin_sent = true;
        pipe_send(peer, &peer->up, true, up_arrived);
    }
    if (!peer->peer_reset)
        peer->down.read = peer->down.arrived;
}
