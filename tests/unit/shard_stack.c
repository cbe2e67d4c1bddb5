/* The pool of stacks: guards, reuse, what goes back to the system, and a kernel that refuses. */
#include <criterion/criterion.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "core_help.h"
#include "hs_limits.h"
#include "stack.h"

#ifndef MADV_GUARD_INSTALL
#define MADV_GUARD_INSTALL 102
#endif

/* ---- between the pool and the kernel ---- */

void *__real_mmap(void *addr, size_t bytes, int prot, int flags, int fd, off_t offset);
int __real_munmap(void *addr, size_t bytes);
int __real_mprotect(void *addr, size_t bytes, int prot);
int __real_madvise(void *addr, size_t bytes, int advice);

static struct {
    bool no_map, no_unmap, no_protect, no_mark, no_drop;
    uint32_t maps, unmaps, protects, marks, drops;
} kernel;

void *__wrap_mmap(void *addr, size_t bytes, int prot, int flags, int fd, off_t offset)
{
    if (flags & MAP_STACK) {
        if (kernel.no_map) {
            errno = ENOMEM;
            return MAP_FAILED;
        }
        kernel.maps++;
    }
    return __real_mmap(addr, bytes, prot, flags, fd, offset);
}

int __wrap_munmap(void *addr, size_t bytes)
{
    if (kernel.no_unmap) {
        errno = ENOMEM;
        return -1;
    }
    kernel.unmaps++;
    return __real_munmap(addr, bytes);
}

int __wrap_mprotect(void *addr, size_t bytes, int prot)
{
    if (kernel.no_protect) {
        errno = ENOMEM;
        return -1;
    }
    kernel.protects++;
    return __real_mprotect(addr, bytes, prot);
}

int __wrap_madvise(void *addr, size_t bytes, int advice)
{
    if (advice == MADV_GUARD_INSTALL && kernel.no_mark) {
        errno = EINVAL;
        return -1;
    }
    if (advice == MADV_DONTNEED && kernel.no_drop) {
        errno = EINVAL;
        return -1;
    }
    kernel.marks += advice == MADV_GUARD_INSTALL;
    kernel.drops += advice == MADV_DONTNEED;
    return __real_madvise(addr, bytes, advice);
}

/* Whether the kernel could read a byte there, without touching it ourselves. */
static bool readable(const uint8_t *at)
{
    int pipes[2];
    cr_assert_eq(pipe(pipes), 0);
    bool yes = write(pipes[1], at, 1) == 1;
    cr_assert(yes || errno == EFAULT);
    close(pipes[0]);
    close(pipes[1]);
    return yes;
}

/* Without pages of files: those of the program come and go as the system likes. */
static size_t resident_bytes(void)
{
    FILE *f = fopen("/proc/self/statm", "re");
    unsigned long size, resident, of_files;
    cr_assert(f && fscanf(f, "%lu %lu %lu", &size, &resident, &of_files) == 3);
    fclose(f);
    return (resident - of_files) * (size_t)sysconf(_SC_PAGESIZE);
}

static uint32_t mappings(void)
{
    FILE *f = fopen("/proc/self/maps", "re");
    uint32_t n = 0;
    cr_assert_not_null(f);
    for (int c; (c = fgetc(f)) != EOF;)
        n += c == '\n';
    fclose(f);
    return n;
}

static stack_pool pool;

/* How many pages of a stack have memory; the process's own figure includes a sanitizer's shadow. */
static size_t pages_of(const stack *st)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE), pages = pool.bytes / page, present = 0;
    unsigned char *state = malloc(pages);
    cr_assert_not_null(state);
    cr_assert_eq(mincore(st->low, pool.bytes, state), 0);
    for (size_t i = 0; i < pages; i++)
        present += state[i] & 1;
    free(state);
    return present;
}

static stack *take(void)
{
    stack *st;
    cr_assert(hs_ok(stack_take(&pool, &st)));
    return st;
}

static void init(void)
{
    stack_pool_init(&pool, hs_mem_system(), HS_FIBER_STACK_BYTES);
}

/* ---- stacks and guards ---- */

Test(shard_stack, a_stack_is_writable_and_a_guard_lies_below)
{
    init();
    for (int i = 0; i < 3; i++) {
        stack *st = take();
        memset(st->low, 0x5a, pool.bytes);
        cr_assert(readable(st->low));
        cr_assert_not(readable(st->low - 1));
        cr_assert_not(readable(st->low - pool.guard_bytes));
        cr_assert(stack_guards(&pool, st, (uintptr_t)st->low - 1));
        cr_assert(stack_guards(&pool, st, (uintptr_t)st->low - pool.guard_bytes));
        cr_assert_not(stack_guards(&pool, st, (uintptr_t)st->low));
        cr_assert_not(stack_guards(&pool, st, (uintptr_t)st->low - pool.guard_bytes - 1));
        hs_list_remove(&st->link);
    }
    cr_assert_eq(pool.used, 3);
}

Test(shard_stack, guards_are_marks_where_the_kernel_has_them)
{
    init();
    bool light = stack_light_guards();
    stack *st = take();
    cr_assert_eq(pool.light, light);
    cr_assert_eq(kernel.protects, light ? 0 : 1);
    stack_give(&pool, st);
    stack_pool_fini(&pool);
}

Test(shard_stack, guards_that_are_switched_off_are_mappings)
{
    setenv("HS_CAPS_DISABLE", "guard_madv", 1);
    init();
    stack *st = take();
    cr_assert_not(pool.light);
    cr_assert_eq(kernel.protects, 1);
    cr_assert_eq(kernel.marks, 0);
    cr_assert_not(readable(st->low - 1));
    stack_give(&pool, st);
    stack_pool_fini(&pool);
}

Test(shard_stack, a_mark_that_is_refused_later_becomes_a_mapping)
{
    if (!stack_light_guards())
        cr_skip("this kernel marks no guards");
    init();
    stack *first = take();
    kernel.no_mark = true;
    stack *second = take();
    cr_assert(pool.light);
    cr_assert_eq(kernel.protects, 1);
    cr_assert_not(readable(second->low - 1));
    stack_give(&pool, first);
    stack_give(&pool, second);
    stack_pool_fini(&pool);
}

Test(shard_stack, sizes_are_rounded_up_to_pages)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    stack_pool_init(&pool, hs_mem_system(), HS_FIBER_STACK_BYTES_MIN + 1);
    cr_assert_eq(pool.bytes % page, 0);
    cr_assert_gt(pool.bytes, HS_FIBER_STACK_BYTES_MIN);
    cr_assert_eq(pool.guard_bytes % page, 0);
    cr_assert_gt(pool.guard_bytes, 0);
    stack *st = take();
    memset(st->low, 1, pool.bytes);
    stack_give(&pool, st);
    stack_pool_fini(&pool);
    /* Large stacks: a few of them in a mapping, not one alone. */
    stack_pool_init(&pool, hs_mem_system(), (size_t)64 << 20);
    cr_assert_geq(pool.region_stacks, 4);
    stack *large = take();
    large->low[pool.bytes / 2] = 1; /* and no huge page behind it */
    cr_assert_eq(pages_of(large), 1);
    stack_give(&pool, large);
    stack_pool_fini(&pool);
}

Test(shard_stack, a_stack_below_the_least_is_an_error_of_the_programmer, .signal = SIGABRT)
{
    stack_pool_init(&pool, hs_mem_system(), HS_FIBER_STACK_BYTES_MIN - 1);
}

Test(shard_stack, ending_with_a_stack_in_use_is_an_error_of_the_programmer, .signal = SIGABRT)
{
    init();
    (void)take();
    stack_pool_fini(&pool);
}

/* ---- many ---- */

#define MANY 2000

static stack *many[MANY];

static void take_many(void)
{
    for (uint32_t i = 0; i < MANY; i++)
        many[i] = take();
    cr_assert_eq(pool.used, MANY);
}

static void give_many(void)
{
    for (uint32_t i = 0; i < MANY; i++)
        stack_give(&pool, many[i]);
    cr_assert_eq(pool.used, 0);
}

Test(shard_stack, stacks_lie_apart)
{
    init();
    take_many();
    for (uint32_t i = 0; i < MANY; i++)
        memcpy(many[i]->low, &i, sizeof i), memcpy(many[i]->low + pool.bytes - 4, &i, sizeof i);
    for (uint32_t i = 0; i < MANY; i++) {
        cr_assert_eq(memcmp(many[i]->low, &i, sizeof i), 0);
        cr_assert_eq(memcmp(many[i]->low + pool.bytes - 4, &i, sizeof i), 0);
    }
    give_many();
    stack_pool_fini(&pool);
    cr_assert_eq(kernel.unmaps, kernel.maps);
}

Test(shard_stack, what_is_not_touched_costs_nothing)
{
    init();
    take_many();
    for (uint32_t i = 0; i < MANY; i++)
        cr_assert_eq(pages_of(many[i]), 0);
    for (uint32_t i = 0; i < MANY; i++)
        many[i]->low[pool.bytes - 1] = 1;
    for (uint32_t i = 0; i < MANY; i++)
        cr_assert_eq(pages_of(many[i]), 1);
    give_many();
    stack_pool_fini(&pool);
}

Test(shard_stack, marked_guards_split_no_mapping)
{
    if (!stack_light_guards())
        cr_skip("this kernel marks no guards");
    init();
    uint32_t before = mappings();
    take_many();
    for (uint32_t i = 0; i < MANY; i++)
        many[i]->low[pool.bytes - 1] = 1;
    cr_assert_leq(mappings() - before, kernel.maps + 8);
    give_many();
    stack_pool_fini(&pool);
}

/* ---- reuse, and what goes back ---- */

Test(shard_stack, the_stack_given_back_last_is_taken_first)
{
    init();
    stack *a = take(), *b = take(), *c = take();
    stack_give(&pool, b);
    stack_give(&pool, a);
    stack_give(&pool, c);
    cr_assert_eq(take(), c);
    cr_assert_eq(take(), a);
    cr_assert_eq(take(), b);
    cr_assert_neq(take(), c);
}

Test(shard_stack, a_quiet_second_gives_everything_back_but_a_few)
{
    init();
    take_many();
    for (uint32_t i = 0; i < MANY; i++)
        memset(many[i]->low, 1, pool.bytes / 2);
    size_t full = resident_bytes();
    give_many();
    cr_assert(stack_pool_trim(&pool)); /* they were in use in the second that ends here */
    cr_assert_eq(pool.idle, MANY);
    cr_assert_eq(kernel.drops + kernel.unmaps, 1); /* the probe's */
    uint32_t rounds = 1;
    while (stack_pool_trim(&pool))
        rounds++;
    cr_assert_eq(rounds, (MANY - HS_FIBER_STACKS_KEEP) / HS_FIBER_STACKS_TRIM + 1);
    cr_assert_eq(pool.idle, HS_FIBER_STACKS_KEEP);
    cr_assert_leq(pool.mapped, 2);
    cr_assert_leq(resident_bytes() + MANY * (pool.bytes / 2) / 10 * 9, full);
    cr_assert_not(stack_pool_trim(&pool));
    take_many();
    give_many();
    stack_pool_fini(&pool);
}

Test(shard_stack, what_a_second_needed_is_kept)
{
    init();
    take_many();
    give_many();
    cr_assert(stack_pool_trim(&pool));
    for (uint32_t i = 0; i < MANY - 100; i++)
        many[i] = take();
    for (uint32_t i = 0; i < MANY - 100; i++)
        stack_give(&pool, many[i]);
    cr_assert(stack_pool_trim(&pool));
    cr_assert_eq(pool.idle, MANY - 100);
    cr_assert(stack_pool_trim(&pool)); /* the third second was quiet */
    cr_assert_eq(pool.idle, MANY - 100 - HS_FIBER_STACKS_TRIM);
    stack_pool_fini(&pool);
}

Test(shard_stack, stacks_in_use_keep_their_mapping_and_their_bytes)
{
    init();
    take_many();
    /* Every tenth stays in use. */
    for (uint32_t i = 0; i < MANY; i++) {
        memset(many[i]->low, (int)(i % 251), pool.bytes);
        if (i % 10)
            stack_give(&pool, many[i]);
    }
    while (stack_pool_trim(&pool))
        ;
    for (uint32_t i = 0; i < MANY; i += 10) {
        cr_assert_eq(many[i]->low[0], i % 251);
        cr_assert_eq(many[i]->low[pool.bytes - 1], i % 251);
        stack_give(&pool, many[i]);
    }
    /* The cold ones are zeros again, and as good as new. */
    for (uint32_t i = 0; i < MANY; i++) {
        many[i] = take();
        memset(many[i]->low, 1, pool.bytes);
        cr_assert_not(readable(many[i]->low - 1));
    }
    give_many();
    stack_pool_fini(&pool);
}

Test(shard_stack, random_use_loses_nothing)
{
    init();
    rng r = rng_seeded("shard_stack");
    uint32_t held = 0;
    for (uint32_t i = 0; i < 200000; i++) {
        bool growing = i / 20000 % 2 == 0;
        if (rng_one_in(&r, 1000)) {
            (void)stack_pool_trim(&pool);
        } else if (held == 0 || (held < MANY && rng_one_in(&r, 3) != growing)) {
            many[held] = take();
            many[held++]->low[0] = 1;
        } else {
            uint32_t which = rng_below(&r, held);
            stack_give(&pool, many[which]);
            many[which] = many[--held];
        }
        cr_assert_eq(pool.used, held);
    }
    while (held > 0)
        stack_give(&pool, many[--held]);
    stack_pool_fini(&pool);
}

/* ---- a kernel that refuses ---- */

Test(shard_stack, without_a_mapping_there_is_no_stack)
{
    init();
    kernel.no_map = true;
    stack *st;
    cr_assert_eq(stack_take(&pool, &st).code, -ENOMEM);
    cr_assert_eq(pool.failure, STACK_NO_MAP);
    cr_assert_eq(pool.mapped, 0);
    kernel.no_map = false;
    stack_give(&pool, take());
    stack_pool_fini(&pool);
}

Test(shard_stack, without_a_guard_there_is_no_stack)
{
    init();
    kernel.no_mark = kernel.no_protect = true;
    stack *st;
    for (int i = 0; i < 3; i++) {
        cr_assert_eq(stack_take(&pool, &st).code, -ENOMEM);
        cr_assert_eq(pool.failure, STACK_NO_GUARD);
    }
    cr_assert_eq(pool.mapped, 1);
    kernel.no_mark = kernel.no_protect = false;
    st = take();
    cr_assert_not(readable(st->low - 1));
    stack_give(&pool, st);
    stack_pool_fini(&pool);
}

Test(shard_stack, without_memory_there_is_no_stack)
{
    fault_mem fault;
    fault_init(&fault, 1, false);
    stack_pool_init(&pool, &fault.mem, HS_FIBER_STACK_BYTES);
    stack *st;
    cr_assert_eq(stack_take(&pool, &st).code, -ENOMEM);
    cr_assert_eq(pool.failure, STACK_NO_MEM);
    stack_give(&pool, take());
    stack_pool_fini(&pool);
    cr_assert_eq(fault.pieces_out, 0);
}

Test(shard_stack, pages_that_stay_are_no_fault)
{
    init();
    take_many();
    give_many();
    kernel.no_drop = kernel.no_unmap = true; /* locked memory; too many mappings */
    while (stack_pool_trim(&pool))
        ;
    take_many();
    give_many();
    kernel.no_drop = kernel.no_unmap = false;
    stack_pool_fini(&pool);
}
