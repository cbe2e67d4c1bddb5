/* The switch between stacks: what a function call keeps is kept, and nothing lies above a start. */
#include <criterion/criterion.h>
#include <execinfo.h>
#include <fenv.h>
#include <stdint.h>
#include <string.h>

#include "sanitize.h"
#include "switch.h"

#define STACK_BYTES ((size_t)64 * 1024)

typedef struct side {
    _Alignas(64) uint8_t stack[STACK_BYTES];
    san_stack san, outer_san;
    void *sp, *outer_sp;
    void (*fn)(struct side *side);
    int rounds;
    double sum;
    int rounding;
    void *arg;
} side;

static void leave(side *s, bool last)
{
    san_leave(&s->san, &s->outer_san, last);
    switch_stack(&s->sp, s->outer_sp);
    san_arrive(&s->san, &s->outer_san);
}

static void side_body(void *arg)
{
    side *s = arg;
    san_arrive(&s->san, &s->outer_san);
    s->fn(s);
    leave(s, true);
    cr_assert_fail("nobody comes back");
}

static void side_init(side *s, void (*fn)(side *side))
{
    memset(&s->san, 0, sizeof *s - offsetof(side, san));
    s->fn = fn;
    san_make(&s->san, s->stack, STACK_BYTES);
    s->sp = switch_frame(s->stack + STACK_BYTES, side_body, s);
}

static void side_go(side *s)
{
    san_leave(&s->outer_san, &s->san, false);
    switch_stack(&s->outer_sp, s->sp);
    san_arrive(&s->outer_san, &s->san);
}

/* ---- a start ---- */

static void look_at_start(side *s)
{
    _Alignas(16) volatile char here[16];
    uintptr_t at = (uintptr_t)here;
    here[0] = 1;
#ifndef HS_ASAN /* there locals may lie elsewhere */
    cr_assert(at > (uintptr_t)s->stack && at < (uintptr_t)s->stack + STACK_BYTES);
#endif
    cr_assert_eq(at % 16, 0);
    s->rounds = 1;
}

Test(shard_switch, a_stack_begins_in_its_function)
{
    static side s;
    side_init(&s, look_at_start);
    cr_assert_eq(s.rounds, 0);
    side_go(&s);
    cr_assert_eq(s.rounds, 1);
    san_unmake(&s.san);
}

/* ---- registers ---- */

/* More values than there are registers that a call keeps, all of them needed after it. */
static uint64_t churn(uint64_t seed, void (*away)(void *arg), void *arg)
{
    uint64_t a = seed * 3, b = seed * 5, c = seed * 7, d = seed * 11, e = seed * 13;
    uint64_t f = seed * 17, g = seed * 19;
    double x = (double)seed * 0.5, y = (double)seed * 0.25, z = (double)seed * 0.125;
    for (int i = 0; i < 10; i++) {
        away(arg);
        a += b, b ^= c, c += d, d ^= e, e += f, f ^= g, g += a;
        x += y, y += z, z += 0.5;
    }
    return a ^ b ^ c ^ d ^ e ^ f ^ g ^ (uint64_t)(x + y + z);
}

static void nowhere(void *arg)
{
    (void)arg;
}

static void away_inside(void *arg)
{
    leave(arg, false);
}

static void away_outside(void *arg)
{
    side_go(arg);
}

static void churn_inside(side *s)
{
    s->sum = (double)(churn(23, away_inside, s) == churn(23, nowhere, NULL));
}

Test(shard_switch, what_belongs_to_the_caller_is_kept_on_both_sides)
{
    static side s;
    side_init(&s, churn_inside);
    cr_assert_eq(churn(42, away_outside, &s), churn(42, nowhere, NULL));
    side_go(&s); /* ten times it went away, and an eleventh ends it */
    cr_assert_eq(s.sum, 1.0);
    san_unmake(&s.san);
}

/* ---- floating point ---- */

static void round_upwards(side *s)
{
    s->rounding = fegetround();
    fesetround(FE_UPWARD);
    leave(s, false);
    s->rounds = fegetround();
}

Test(shard_switch, each_stack_has_its_own_rounding)
{
    static side s;
    side_init(&s, round_upwards);
    side_go(&s);
    cr_assert_eq(s.rounding, FE_TONEAREST);
    cr_assert_eq(fegetround(), FE_TONEAREST);
    volatile double one = 1.0, three = 3.0;
    double nearest = one / three;
    fesetround(FE_DOWNWARD);
    side_go(&s);
    cr_assert_eq(s.rounds, FE_UPWARD);
    cr_assert_eq(fegetround(), FE_DOWNWARD);
    fesetround(FE_TONEAREST);
    cr_assert_eq(one / three, nearest);
    san_unmake(&s.san);
}

static void see_rounding(side *s)
{
    s->rounding = fegetround();
#if defined(__x86_64__)
    uint16_t x87;
    __asm__ volatile("fnstcw %0" : "=m"(x87));
    s->rounds = (x87 >> 10) & 3; /* 2: up */
#else
    s->rounds = 2;
#endif
}

Test(shard_switch, a_new_stack_has_the_rounding_of_who_made_it)
{
    static side s;
    fesetround(FE_UPWARD);
    side_init(&s, see_rounding);
    fesetround(FE_TONEAREST);
    side_go(&s);
    cr_assert_eq(s.rounding, FE_UPWARD);
    cr_assert_eq(s.rounds, 2);
    cr_assert_eq(fegetround(), FE_TONEAREST);
    san_unmake(&s.san);
}

/* ---- backtraces ---- */

static void trace(side *s)
{
    void *frames[64];
    s->rounds = backtrace(frames, 64);
}

static void trace_deeper(side *s)
{
    leave(s, false);
    trace(s);
    __asm__ volatile(""); /* no tail call */
}

Test(shard_switch, a_backtrace_ends_where_the_stack_begins)
{
    static side s;
    void *frames[64];
    cr_assert_gt(backtrace(frames, 64), 0); /* it loads what it needs on our own stack */
    side_init(&s, trace_deeper);
    side_go(&s);
    side_go(&s);
    /* trace, trace_deeper, side_body, the entry; what inlining leaves of them, and not more */
    cr_assert_geq(s.rounds, 2, "%d frames", s.rounds);
    cr_assert_leq(s.rounds, 8, "%d frames", s.rounds);
    san_unmake(&s.san);
}

static void walk(side *s)
{
    uintptr_t *frame = __builtin_frame_address(0);
    for (s->rounds = 0; frame && s->rounds < 64; s->rounds++)
        frame = (uintptr_t *)frame[0];
}

Test(shard_switch, frame_pointers_end_there_too)
{
    static side s;
    side_init(&s, walk);
    side_go(&s);
    cr_assert_geq(s.rounds, 1);
    cr_assert_leq(s.rounds, 8, "%d frames", s.rounds);
    san_unmake(&s.san);
}
