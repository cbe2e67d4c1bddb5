/* The simulated network: connections of two byte pipes between two ends.
 *
 * Owns: what is on its way, when it arrives, how much fits, and how a connection ends: in order
 * (FIN) or not (reset). It behaves as TCP of Linux does where an end could tell: data that arrives
 * at a closed socket, or is unread when it is closed, is answered by a reset, which drops what is
 * still on its way. An end belongs to a file or to a script, and both are served alike. Must not
 * know: files, ops, how a connection begins. Tested by: tests/unit/shard_io_sim.c. */
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

void sim_harm(sim_wire *wire, const char *why)
{
    HS_ASSERT(!wire->spared);
    wire->harmed = true;
    sim_note(wire->w, why, wire->number, wire->callee.fd, 0);
}

static uint64_t latency(sim_world *w)
{
    return sim_spread(w, (uint64_t)w->faults.latency_us_max * 1000);
}

/* The first segment arrives. */
static void pipe_arrived(sim_pipe *p)
{
    HS_ASSERT(p->segments_len > 0);
    const sim_segment *s = segment_at(p, 0);
    p->arrived = s->upto;
    p->fin_arrived = s->fin;
    p->segment_first = (p->segment_first + 1) % SIM_SEGMENTS_MAX;
    p->segments_len--;
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

/* ---- what comes to an end ---- */

/* Something changed for who has it. */
static void stir(sim_end *end)
{
    if (end->stage == SIM_OPEN && end->fd >= 0)
        end->wire->w->kick(end->wire->w, end->fd);
}

void sim_end_tell(sim_end *end, uint32_t what)
{
    if (end->stage == SIM_CLOSED || !end->fn)
        return;
    sim_note(end->wire->w, "peer told", end->wire->number, what, sim_pipe_unread(&end->in));
    end->fn(end, what);
}

static void reset_arrived(sim_world *w, sim_event *event)
{
    sim_end *end = HS_CONTAINER_OF(event, sim_end, reset_in);
    if (end->reset)
        return;
    end->reset = true;
    pipe_drop(w, &end->in, sim_chance(w, w->faults.reset_drops));
    pipe_drop(w, &end->other->in, false);
    sim_note(w, "reset", end->wire->number, end->fd, 0);
    stir(end);
    sim_end_tell(end, SIM_PEER_RESET);
}

void sim_end_reset_soon(sim_end *end)
{
    /* What has left by now arrives before the reset or never. */
    if (!end->reset)
        sim_event_set(end->wire->w, &end->reset_in, latency(end->wire->w), reset_arrived);
}

static void arrived(sim_world *w, sim_event *event)
{
    sim_end *end = HS_CONTAINER_OF(event, sim_end, in.arrive);
    uint64_t before = end->in.arrived;
    pipe_arrived(&end->in);
    bool bytes = end->in.arrived > before;
    if (end->in.segments_len > 0)
        sim_event_set(w, event, HS_MAX(segment_at(&end->in, 0)->at, w->now) - w->now, arrived);
    if (bytes && (end->stage == SIM_CLOSED || end->reset)) {
        sim_end_reset_soon(end->other);
        return;
    }
    stir(end);
    uint32_t what = (bytes ? SIM_PEER_READ : 0) | (end->in.fin_arrived ? SIM_PEER_EOF : 0);
    if (what)
        sim_end_tell(end, what);
}

/* Put what was sent to an end, or the end of it, on its way: it arrives in order. */
static void pipe_send(sim_end *to, bool fin)
{
    sim_wire *wire = to->wire;
    sim_world *w = wire->w;
    sim_pipe *p = &to->in;
    uint64_t at = w->now + latency(w);
    if (!wire->spared && sim_chance(w, w->faults.stall)) {
        at += sim_spread(w, w->faults.stall_ms_max) * HS_MSEC_NS;
        sim_harm(wire, "stall");
    }
    if (p->segments_len > 0)
        at = HS_MAX(at, segment_at(p, p->segments_len - 1)->at);
    if (p->segments_len < SIM_SEGMENTS_MAX)
        p->segments_len++;
    sim_segment *last = segment_at(p, p->segments_len - 1);
    *last = (sim_segment){.at = at, .upto = p->sent, .fin = fin};
    sim_event_set(w, &p->arrive, HS_MAX(segment_at(p, 0)->at, w->now) - w->now, arrived);
}

/* ---- what an end does ---- */

uint32_t sim_end_write(sim_end *end, const void *bytes, uint32_t len)
{
    HS_ASSERT(end->stage == SIM_OPEN && !sim_end_finished(end));
    sim_pipe *out = &end->other->in;
    uint32_t n = end->reset ? 0 : HS_MIN(len, sim_pipe_room(out));
    if (n > 0) {
        pipe_put(out, bytes, n);
        pipe_send(end->other, false);
    }
    return n;
}

void sim_end_finish(sim_end *end)
{
    HS_ASSERT(!sim_end_finished(end));
    end->other->in.fin_sent = true;
    if (!end->reset)
        pipe_send(end->other, true);
}

bool sim_end_finished(const sim_end *end)
{
    return end->other->in.fin_sent;
}

static void room_arrived(sim_world *w, sim_event *event)
{
    (void)w;
    sim_end *end = HS_CONTAINER_OF(event, sim_end, room);
    if (end->wants_room && !end->reset && sim_pipe_room(&end->other->in) > 0) {
        end->wants_room = false;
        sim_end_tell(end, SIM_PEER_WRITE);
    }
}

void sim_end_read(sim_end *end, void *out, uint32_t len)
{
    sim_world *w = end->wire->w;
    sim_end *writer = end->other;
    if (len == 0)
        return;
    bool was_full = sim_pipe_room(&end->in) == 0;
    pipe_get(&end->in, out, len);
    if (was_full)
        stir(writer);
    if (writer->wants_room && !hs_heap_has(&writer->room.node))
        sim_event_set(w, &writer->room, latency(w), room_arrived);
}

void sim_end_close(sim_end *end, bool reset)
{
    HS_ASSERT(end->stage != SIM_CLOSED);
    if (end->stage == SIM_CONNECTING) {
        sim_event_cancel(end->wire->w, &end->wire->connect);
        end->other->stage = SIM_CLOSED;
    }
    end->stage = SIM_CLOSED;
    if (end->reset || end->other->stage == SIM_CLOSED)
        return;
    if (reset || sim_pipe_unread(&end->in) > 0)
        sim_end_reset_soon(end->other);
    else if (!sim_end_finished(end))
        sim_end_finish(end);
    end->in.read = end->in.arrived;
}

/* ---- connections ---- */

static void end_init(sim_wire *wire, sim_end *end, sim_end *other)
{
    end->wire = wire;
    end->other = other;
    end->fd = -1;
    pipe_init(wire->w, &end->in);
}

sim_wire *sim_wire_create(sim_world *w)
{
    sim_wire *wire = hs_mem_take_zero(sim_mem(), sizeof(*wire), _Alignof(sim_wire));
    HS_ASSERT(wire != NULL);
    wire->w = w;
    hs_list_init(&wire->link);
    hs_list_push_back(&w->wires, &wire->link);
    wire->number = ++w->wires_made;
    end_init(wire, &wire->callee, &wire->caller);
    end_init(wire, &wire->caller, &wire->callee);
    return wire;
}

/* Both ends are reset, as by a box in the middle. */
static void fate(sim_world *w, sim_event *event)
{
    sim_wire *wire = HS_CONTAINER_OF(event, sim_wire, fate);
    sim_harm(wire, "fate");
    if (sim_below(w, 2))
        reset_arrived(w, &wire->callee.reset_in);
    else if (!wire->callee.reset)
        sim_event_set(w, &wire->callee.reset_in, sim_late(w, 512), reset_arrived);
    sim_end_reset_soon(&wire->caller);
}

void sim_wire_opened(sim_wire *wire)
{
    sim_world *w = wire->w;
    if (!wire->spared && sim_chance(w, w->faults.connect_reset))
        sim_event_set(w, &wire->fate, 0, fate);
    else if (!wire->spared && sim_chance(w, w->faults.reset))
        sim_event_set(w, &wire->fate, sim_spread(w, 4000) * HS_MSEC_NS / 2, fate);
}

static void end_fini(sim_end *end)
{
    sim_event_cancel(end->wire->w, &end->reset_in);
    sim_event_cancel(end->wire->w, &end->room);
    pipe_free(end->wire->w, &end->in);
}

void sim_wire_free(sim_wire *wire)
{
    sim_event_cancel(wire->w, &wire->connect);
    sim_event_cancel(wire->w, &wire->fate);
    hs_list_remove(&wire->link);
    end_fini(&wire->caller);
    end_fini(&wire->callee);
    hs_mem_give(sim_mem(), wire, sizeof(*wire), _Alignof(sim_wire));
}
