/* Stacks of simulated threads: see sim_co.h. */
#include "sim_co.h"

#include <ucontext.h>

#include "hs_assert.h"

#if defined(__SANITIZE_ADDRESS__)
#define CO_ASAN 1
#elif defined(__SANITIZE_THREAD__)
#define CO_TSAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define CO_ASAN 1
#elif __has_feature(thread_sanitizer)
#define CO_TSAN 1
#endif
#endif

#ifdef CO_ASAN
#include <sanitizer/common_interface_defs.h>
#endif
#ifdef CO_TSAN
#include <sanitizer/tsan_interface.h>
#endif

#define STACK_BYTES ((size_t)256 * 1024)

struct sim_co {
    const hs_mem *mem;
    void (*body)(void *ctx);
    void *ctx;
    uint8_t *stack;
    ucontext_t inside, outside;
    bool running, ended;
    /* What the sanitizers keep for each side. */
    void *fake_inside, *fake_outside;
    const void *outside_stack;
    size_t outside_bytes;
    void *fiber_inside, *fiber_outside;
};

static void arrived_inside(sim_co *co)
{
#ifdef CO_ASAN
    __sanitizer_finish_switch_fiber(co->fake_inside, &co->outside_stack, &co->outside_bytes);
#endif
    co->running = true;
}

/* `last`: the stack is left for good. */
static void leave_inside(sim_co *co, bool last)
{
    co->running = false;
#ifdef CO_ASAN
    __sanitizer_start_switch_fiber(last ? NULL : &co->fake_inside, co->outside_stack,
                                   co->outside_bytes);
#else
    (void)last;
#endif
#ifdef CO_TSAN
    __tsan_switch_to_fiber(co->fiber_outside, 0);
#endif
    swapcontext(&co->inside, &co->outside);
}

/* makecontext passes ints: a pointer comes in two halves. */
static void entry(unsigned high, unsigned low)
{
    sim_co *co = (sim_co *)(((uintptr_t)high << 32) | low);
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
    if (!co->stack || getcontext(&co->inside) != 0) {
        sim_co_destroy(co);
        return NULL;
    }
    co->inside.uc_stack.ss_sp = co->stack;
    co->inside.uc_stack.ss_size = STACK_BYTES;
    co->inside.uc_link = NULL;
    uintptr_t self = (uintptr_t)co;
    makecontext(&co->inside, (void (*)(void))entry, 2, (unsigned)(self >> 32), (unsigned)self);
#ifdef CO_TSAN
    co->fiber_inside = __tsan_create_fiber(0);
#endif
    return co;
}

void sim_co_destroy(sim_co *co)
{
    HS_ASSERT(!co->running);
#ifdef CO_TSAN
    if (co->fiber_inside)
        __tsan_destroy_fiber(co->fiber_inside);
#endif
    hs_mem_give(co->mem, co->stack, STACK_BYTES, 4096);
    hs_mem_give(co->mem, co, sizeof(*co), _Alignof(sim_co));
}

void sim_co_resume(sim_co *co)
{
    HS_ASSERT(!co->running && !co->ended);
#ifdef CO_ASAN
    __sanitizer_start_switch_fiber(&co->fake_outside, co->stack, STACK_BYTES);
#endif
#ifdef CO_TSAN
    co->fiber_outside = __tsan_get_current_fiber();
    __tsan_switch_to_fiber(co->fiber_inside, 0);
#endif
    swapcontext(&co->outside, &co->inside);
#ifdef CO_ASAN
    __sanitizer_finish_switch_fiber(co->fake_outside, NULL, NULL);
#endif
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
