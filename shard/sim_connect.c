/* How a simulated connection begins.
 *
 * Owns: who answers at a port (a listener's backlog, or a script's door), what an address comes to,
 * and what goes wrong before there is a connection. Must not know: ops, and what happens on a
 * connection later. Tested by: tests/unit/shard_sim_connect.c. */
#include <errno.h>
#include <netinet/in.h>
#include <string.h>

#include "sim_inside.h"

/* ---- doors ---- */

static sim_door *door_find(sim_world *w, uint16_t port)
{
    for (hs_list *link = w->doors.next; link != &w->doors; link = link->next) {
        sim_door *door = HS_CONTAINER_OF(link, sim_door, link);
        if (door->port == port)
            return door;
    }
    return NULL;
}

static void door_free(sim_door *door)
{
    hs_list_remove(&door->link);
    hs_mem_give(sim_mem(), door, sizeof(*door), _Alignof(sim_door));
}

void sim_peer_listen(sim_world *w, uint16_t port, bool spared, sim_peer_fn *fn, void *ctx)
{
    HS_ASSERT(fn != NULL);
    HS_ASSERT(door_find(w, port) == NULL);
    sim_door *door = hs_mem_take_zero(sim_mem(), sizeof(*door), _Alignof(sim_door));
    HS_ASSERT(door != NULL);
    *door = (sim_door){.port = port, .spared = spared, .fn = fn, .ctx = ctx};
    hs_list_init(&door->link);
    hs_list_push_back(&w->doors, &door->link);
}

void sim_peer_unlisten(sim_world *w, uint16_t port)
{
    sim_door *door = door_find(w, port);
    HS_ASSERT(door != NULL);
    door_free(door);
}

void sim_doors_free(sim_world *w)
{
    while (!hs_list_empty(&w->doors))
        door_free(HS_CONTAINER_OF(w->doors.next, sim_door, link));
}

/* ---- addresses ---- */

/* Whether they are one address, their ports aside. */
static bool same_host(const struct sockaddr *a, const struct sockaddr *b)
{
    if (a->sa_family != b->sa_family)
        return false;
    if (a->sa_family == AF_INET)
        return ((const struct sockaddr_in *)(const void *)a)->sin_addr.s_addr ==
               ((const struct sockaddr_in *)(const void *)b)->sin_addr.s_addr;
    return memcmp(&((const struct sockaddr_in6 *)(const void *)a)->sin6_addr,
                  &((const struct sockaddr_in6 *)(const void *)b)->sin6_addr,
                  sizeof(struct in6_addr)) == 0;
}

static int port_of(const struct sockaddr *addr)
{
    return sim_port_of(addr, sizeof(struct sockaddr_in6));
}

void sim_address_set(sim_world *w, const struct sockaddr *addr, sim_reach reach, uint64_t after_ns)
{
    bool v6 = addr->sa_family == AF_INET6;
    HS_ASSERT(v6 || addr->sa_family == AF_INET);
    uint32_t i = 0;
    for (; i < w->addresses_len; i++) {
        const struct sockaddr *known = (const struct sockaddr *)&w->addresses[i].addr;
        if (same_host(known, addr) && port_of(known) == port_of(addr))
            break;
    }
    HS_ASSERT(i < SIM_ADDRESSES_MAX);
    sim_address *a = &w->addresses[i];
    memcpy(&a->addr, addr, v6 ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in));
    a->reach = reach;
    a->after_ns = after_ns;
    w->addresses_len = HS_MAX(w->addresses_len, i + 1);
}

static const sim_address *address_find(const sim_world *w, const struct sockaddr *addr)
{
    for (uint32_t i = 0; i < w->addresses_len; i++) {
        const struct sockaddr *known = (const struct sockaddr *)&w->addresses[i].addr;
        int port = port_of(known);
        if (same_host(known, addr) && (port == 0 || port == port_of(addr)))
            return &w->addresses[i];
    }
    return NULL;
}

/* ---- the other side answers, or not ---- */

static void fail(sim_wire *wire, int error)
{
    wire->error = error;
    wire->callee.stage = SIM_CLOSED;
    sim_note(wire->w, "connect failed", wire->number, error, 0);
    if (wire->caller.fd >= 0)
        wire->w->kick(wire->w, wire->caller.fd);
    sim_end_tell(&wire->caller, SIM_PEER_REFUSED);
}

static void answer(sim_wire *wire, const sim_door *door)
{
    if (door) {
        wire->callee.stage = SIM_OPEN;
        wire->callee.fn = door->fn;
        wire->callee.ctx = door->ctx;
    }
    wire->caller.stage = SIM_OPEN;
    sim_note(wire->w, "connected", wire->number, wire->caller.fd, wire->port);
    if (wire->caller.fd >= 0)
        wire->w->kick(wire->w, wire->caller.fd);
    sim_wire_opened(wire);
    sim_end_tell(&wire->callee, SIM_PEER_OPEN);
    sim_end_tell(&wire->caller, SIM_PEER_OPEN);
}

static void knock(sim_world *w, sim_event *event)
{
    sim_wire *wire = HS_CONTAINER_OF(event, sim_wire, connect);
    const sim_door *door = door_find(w, wire->port);
    int fd = door ? 0 : sim_listener_queue(wire);
    if (fd == -EAGAIN && w->now < wire->give_up) {
        /* No room in the backlog: the first packet is sent again. */
        sim_event_set(w, &wire->connect, HS_SEC_NS, knock);
        return;
    }
    if (fd < 0) {
        fail(wire, fd == -EAGAIN ? -ETIMEDOUT : fd);
        return;
    }
    if (!door) {
        wire->callee.stage = SIM_QUEUED;
        w->kick(w, fd);
    }
    answer(wire, door);
}

static void in_vain(sim_world *w, sim_event *event)
{
    (void)w;
    sim_wire *wire = HS_CONTAINER_OF(event, sim_wire, connect);
    fail(wire, wire->error);
}

/* ---- beginning ---- */

static uint64_t latency(sim_world *w)
{
    return sim_spread(w, (uint64_t)w->faults.latency_us_max * 1000);
}

void sim_connect_script(sim_wire *wire)
{
    wire->family = AF_UNSPEC;
    wire->give_up = UINT64_MAX;
    sim_event_set(wire->w, &wire->connect, latency(wire->w), knock);
}

static int error_of(sim_reach reach)
{
    static const int errors[] = {[SIM_REACH_REFUSED] = -ECONNREFUSED,
                                 [SIM_REACH_UNREACHABLE] = -ENETUNREACH,
                                 [SIM_REACH_SILENT] = -ETIMEDOUT};
    return errors[reach];
}

/* What the faults make of a connect. */
static sim_reach reach_draw(sim_world *w)
{
    if (sim_chance(w, w->faults.connect_refused))
        return SIM_REACH_REFUSED;
    if (sim_chance(w, w->faults.connect_unreachable))
        return SIM_REACH_UNREACHABLE;
    return sim_chance(w, w->faults.connect_silent) ? SIM_REACH_SILENT : SIM_REACH_OPEN;
}

/* Decide what it comes to; returns when. */
static uint64_t plan(sim_wire *wire, const struct sockaddr *addr)
{
    sim_world *w = wire->w;
    const sim_address *known = address_find(w, addr);
    sim_reach reach = known ? known->reach : SIM_REACH_OPEN;
    uint64_t after = known ? known->after_ns : latency(w);
    if (!known && !wire->spared) {
        reach = reach_draw(w);
        bool late = sim_chance(w, w->faults.connect_stall);
        after += late ? sim_spread(w, w->faults.stall_ms_max) * HS_MSEC_NS : 0;
        if (late || reach != SIM_REACH_OPEN)
            sim_harm(wire, "connect harmed");
    }
    wire->error = error_of(reach);
    return reach == SIM_REACH_SILENT ? SIM_CONNECT_NS : after;
}

int sim_connect_begin(sim_world *w, int fd, const struct sockaddr *addr, socklen_t addr_len)
{
    sim_fd *f = sim_fd_at(w, fd);
    HS_ASSERT(f->kind == SIM_FD_SOCKET && f->end == NULL);
    int port = sim_port_of(addr, addr_len);
    if (port < 0 || addr->sa_family != f->family)
        return -EAFNOSUPPORT;
    sim_wire *wire = sim_wire_create(w);
    const sim_door *door = door_find(w, (uint16_t)port);
    wire->port = (uint16_t)port;
    wire->family = f->family;
    wire->spared = door && door->spared;
    wire->give_up = w->now + SIM_CONNECT_NS;
    wire->caller.fd = fd;
    f->end = &wire->caller;
    if (f->port == 0)
        f->port = sim_port_choose(w);
    uint64_t after = plan(wire, addr);
    sim_event_set(w, &wire->connect, after, wire->error ? in_vain : knock);
    return 0;
}
