/* Stacks of simulated threads: see sim_co.h. */
#include "sim_co.h"

#include "hs_assert.h"
#include "sanitize.h"
#include "switch.h"

#define STACK_BYTES ((size_t)256 * 1024)

struct sim_co {
    const hs_mem *mem;
    void (*body)(void *ctx);
    void *ctx;
    uint8_t *stack;
    void *inside, *outside; /* where each stands while the other runs */
    bool running, ended;
    san_stack san_inside, san_outside;
};

static void arrived_inside(sim_co *co)
{
    san_arrive(&co->san_inside, &co->san_outside);
    co->running = true;
}

/* `last`: the stack is left for good. */
static void leave_inside(sim_co *co, bool last)
{
    co->running = false;
    san_leave(&co->san_inside, &co->san_outside, last);
    switch_stack(&co->inside, co->outside);
}

static void entry(void *arg)
{
    sim_co *co = arg;
    arrived_inside(co);
    co->body(co->ctx);
    co->ended = true;
    leave_inside(co, true);
}

sim_co *sim_co_create(const hs_mem *mem, void (*body)(void *ctx), void *ctx)
{
    HS_ASSERT(body != NULL);
    sim_co *co = hs_mem_take_zero(mem, sizeof(*co), _Alignof(sim_co));
    if (!co)
        return NULL;
    co->mem = mem;
    co->body = body;
    co->ctx = ctx;
    co->stack = hs_mem_take(mem, STACK_BYTES, 4096);
    if (!co->stack) {
        hs_mem_give(mem, co, sizeof(*co), _Alignof(sim_co));
        return NULL;
    }
    co->inside = switch_frame(co->stack + STACK_BYTES, entry, co);
    san_make(&co->san_inside, co->stack, STACK_BYTES);
    return co;
}

void sim_co_destroy(sim_co *co)
{
    HS_ASSERT(!co->running);
    san_unmake(&co->san_inside);
    hs_mem_give(co->mem, co->stack, STACK_BYTES, 4096);
    hs_mem_give(co->mem, co, sizeof(*co), _Alignof(sim_co));
}

void sim_co_resume(sim_co *co)
{
    HS_ASSERT(!co->running && !co->ended);
    san_leave(&co->san_outside, &co->san_inside, false);
    switch_stack(&co->outside, co->inside);
    san_arrive(&co->san_outside, &co->san_inside);
    HS_ASSERT(!co->running);
}

void sim_co_yield(sim_co *co)
{
    HS_ASSERT(co->running);
    leave_inside(co, false);
    arrived_inside(co);
}

bool sim_co_ended(const sim_co *co)
{
    return co->ended;
}
