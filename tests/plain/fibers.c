/* Many fibers on one shard: what they cost, where the system's limits end them, and what a switch
 * must keep.
 *
 * A plain program, so that it runs under the sanitizers too. ThreadSanitizer takes each fiber for a
 * thread, of which it knows 8,128 at a time, with 0.8 MB for each: there 4,000 come at a time, and
 * 20,000 in all only with HS_TEST_LONG. Its shadow memory, and AddressSanitizer's, leave no room
 * for the tests of the system's limits. */
#include <errno.h>
#include <fcntl.h>
#include <fenv.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "child.h"
#include "fiber_rig.h"
#include "sanitize.h"

#define FIBERS 20000u
#ifdef HS_TSAN
#define WAVE 4000u
#else
#define WAVE FIBERS
#endif

static uint64_t proc_number(const char *path, int skip)
{
    char text[256] = "";
    FILE *f = fopen(path, "re");
    CHECK(f != NULL);
    CHECK(fgets(text, sizeof text, f) != NULL);
    (void)fclose(f);
    char *at = text;
    for (; skip > 0; skip--)
        (void)strtoull(at, &at, 10);
    return strtoull(at, NULL, 10);
}

static size_t resident_bytes(void)
{
    return proc_number("/proc/self/statm", 1) * (size_t)sysconf(_SC_PAGESIZE);
}

/* ---- many ---- */

typedef struct crowd {
    hs_promise *gate;
    hs_promise *ends[FIBERS];
    uint32_t started, ended;
} crowd;

static crowd all;

static hs_err waits_at_the_gate(void *arg)
{
    crowd *c = arg;
    c->started++;
    hs_err err = hs_await(hs_promise_ref(c->gate), NULL);
    c->ended++;
    return err;
}

static hs_err many(void *arg)
{
    crowd *c = arg;
    hs_shard *s = hs_shard_self();
    size_t before = resident_bytes();
    c->gate = hs_promise_create(s);
    hs_promise_ref(c->gate);
    c->started = c->ended = 0;
    for (uint32_t i = 0; i < WAVE; i++)
        c->ends[i] = hs_fiber_start(s, "many", waits_at_the_gate, c, NULL);
    CHECK(c->started == WAVE && c->ended == 0);
    CHECK(hs_fibers(s) == WAVE + 1);
    size_t each = (resident_bytes() - before) / WAVE;
    printf("fibers: %u await on one shard, %zu bytes of memory each\n", WAVE, each);
#if !defined(HS_TSAN) && !defined(HS_ASAN)
    /* A page of stack (or two, where a page is small), and what describes it. */
    CHECK(each < (size_t)sysconf(_SC_PAGESIZE) + 512);
#endif
    hs_promise_settle(c->gate, hs_value(NULL));
    hs_promise_drop(c->gate);
    for (uint32_t i = 0; i < WAVE; i++)
        HS_TRY(hs_await(c->ends[i], NULL));
    CHECK(c->ended == WAVE);
    CHECK(hs_fibers(s) == 1);
    return HS_OK;
}

static void test_many(void)
{
    hs_group_options o = rig_options();
    const char *all_waves = getenv("HS_TEST_LONG");
    uint32_t fibers = all_waves ? FIBERS : WAVE;
    for (uint32_t done = 0; done < fibers; done += WAVE)
        rig_run(&o, many, &all);
}

/* ---- what a switch keeps ---- */

#define KEEPERS 64

typedef struct keeper {
    int rounding;
    uint32_t seed;
    uint64_t sum;
} keeper;

/* More values than there are registers, of both kinds, all needed after each switch. */
static uint64_t mix(const keeper *k, bool away)
{
    uint64_t a = k->seed, b = a * 3, c = a * 5, d = a * 7, e = a * 11, f = a * 13, g = a * 17;
    double x = k->seed, y = x / 3, z = x / 7, u = x / 11, v = x / 13;
    for (int i = 0; i < 50; i++) {
        if (away)
            CHECK(hs_ok(hs_yield()));
        CHECK(fegetround() == k->rounding);
        a += b, b ^= c, c += d, d ^= e, e += f, f ^= g, g += a;
        x += y / 3, y += z / 3, z += u / 3, u += v / 3, v += 0.1;
    }
    return a ^ b ^ c ^ d ^ e ^ f ^ g ^ (uint64_t)((x + y + z + u + v) * 1e6);
}

static hs_err keeps(void *arg)
{
    keeper *k = arg;
    CHECK(fesetround(k->rounding) == 0);
    k->sum = mix(k, true);
    return HS_OK;
}

static hs_err all_keep(void *arg)
{
    (void)arg;
    static keeper keepers[KEEPERS];
    static const int roundings[] = {FE_TONEAREST, FE_UPWARD, FE_DOWNWARD, FE_TOWARDZERO};
    hs_promise *ends[KEEPERS];
    for (uint32_t i = 0; i < KEEPERS; i++) {
        keepers[i] = (keeper){.rounding = roundings[i % 4], .seed = i + 1};
        ends[i] = hs_fiber_start(hs_shard_self(), "keeps", keeps, &keepers[i], NULL);
        CHECK(fegetround() == FE_TONEAREST);
    }
    for (uint32_t i = 0; i < KEEPERS; i++)
        HS_TRY(hs_await(ends[i], NULL));
    for (uint32_t i = 0; i < KEEPERS; i++) {
        CHECK(fesetround(keepers[i].rounding) == 0);
        CHECK(mix(&keepers[i], false) == keepers[i].sum);
    }
    CHECK(fesetround(FE_TONEAREST) == 0);
    return HS_OK;
}

static void test_keeping(void)
{
    hs_group_options o = rig_options();
    rig_run(&o, all_keep, NULL);
}

/* ---- the size of stacks ---- */

__attribute__((noinline)) static uint32_t descend(uint32_t depth)
{
    volatile char frame[1024];
    memset((char *)frame, (int)depth, sizeof frame);
    uint32_t below = depth > 0 ? descend(depth - 1) : 0;
    if (depth == 0)
        CHECK(hs_ok(hs_yield()));
    CHECK(frame[17] == (char)depth);
    return below + 1;
}

static hs_err goes_deep(void *arg)
{
    return hs_err_of(descend(*(uint32_t *)arg) == *(uint32_t *)arg + 1 ? 0 : HS_E_INTERNAL);
}

static void test_stack_size(void)
{
    hs_group_options o = rig_options();
    hs_group *group;
    o.fiber_stack_bytes = HS_FIBER_STACK_BYTES_MIN - 1;
    CHECK(hs_group_start(&o, &group).code == HS_E_USAGE);
    o.fiber_stack_bytes = HS_FIBER_STACK_BYTES_MAX + 1;
    CHECK(hs_group_start(&o, &group).code == HS_E_USAGE);
    uint32_t depth = 24;
    o.fiber_stack_bytes = 0;
    rig_run(&o, goes_deep, &depth);
    depth = 700;
    o.fiber_stack_bytes = (size_t)2 << 20;
    rig_run(&o, goes_deep, &depth);
}

/* ---- where the system's limits end it ---- */

/* Start fibers until one is refused, or `want` of them are there; then all come to their end. */
typedef struct flood {
    uint32_t want, got;
    hs_err refused;
    hs_promise *gate;
} flood;

static hs_err floods_until_full(void *arg)
{
    flood *f = arg;
    hs_shard *s = hs_shard_self();
    f->gate = hs_promise_create(s);
    hs_promise_ref(f->gate);
    crowd *c = &all;
    *c = (crowd){.gate = f->gate};
    f->refused = HS_OK;
    for (f->got = 0; f->got < f->want && hs_ok(f->refused);) {
        hs_promise *end = hs_fiber_start(s, "flood", waits_at_the_gate, c, NULL);
        if (hs_promise_state_of(end) == HS_PROMISE_PENDING) {
            f->got++;
            hs_promise_drop(end);
        } else {
            f->refused = hs_await(end, NULL);
        }
    }
    hs_promise_settle(f->gate, hs_value(NULL));
    hs_promise_drop(f->gate);
    while (hs_fibers(s) > 1)
        HS_TRY(hs_yield());
    CHECK(c->started == f->got && c->ended == f->got);
    /* There is room again. */
    *c = (crowd){.gate = hs_promise_settled(s, hs_value(NULL))};
    return hs_await(hs_fiber_start(s, "after", waits_at_the_gate, c, NULL), NULL);
}

typedef struct limit_case {
    const char *name;
    uint32_t want;
    bool no_madv;
    uint64_t addresses; /* RLIMIT_AS above what is in use; 0: none */
    const char *line;   /* that is to be found; NULL: nothing is refused */
} limit_case;

static void limit_child(const void *arg)
{
    const limit_case *c = arg;
    if (c->no_madv)
        CHECK(setenv("HS_CAPS_DISABLE", "guard_madv", 1) == 0);
    if (c->addresses) {
        uint64_t now = proc_number("/proc/self/statm", 0) * (uint64_t)sysconf(_SC_PAGESIZE);
        struct rlimit limit = {now + c->addresses, now + c->addresses};
        CHECK(setrlimit(RLIMIT_AS, &limit) == 0);
    }
    flood f = {.want = c->want};
    hs_group_options o = rig_options();
    rig_run(&o, floods_until_full, &f);
    printf("fibers: %s: %u fibers, then %s\n", c->name, f.got, hs_err_name(f.refused));
    CHECK(f.refused.code == (c->line ? -ENOMEM : 0));
}

static void test_limit(const limit_case *c)
{
    char text[8192];
    int status = child_run(limit_child, c, text, sizeof text);
    bool told = c->line ? strstr(text, c->line) != NULL : text[0] == '\0';
    if (status != 0 || !told) {
        fprintf(stderr, "fibers: %s: status %d, standard error: %s\n", c->name, status, text);
        exit(1);
    }
}

/* A sanitizer's own memory is beyond any limit. */
#if defined(HS_TSAN) || defined(HS_ASAN)
#define SANITIZED true
#else
#define SANITIZED false
#endif

static void test_limits(void)
{
    limit_case cases[] = {
        {"guards that are mappings", FIBERS, true, 0, NULL},
        {"few addresses", FIBERS, false, (uint64_t)1 << 30, "ulimit -v"},
        {"few addresses, guards that are mappings", FIBERS, true, (uint64_t)1 << 30, "ulimit -v"},
        {"few mappings", 0, true, 0, "sysctl -w vm.max_map_count="},
    };
    for (size_t i = 0; i < HS_ARRAY_LEN(cases) && !SANITIZED; i++) {
        if (cases[i].want == 0) {
            uint64_t maps = proc_number("/proc/sys/vm/max_map_count", 0);
            cases[i].want = (uint32_t)HS_MIN(maps / 2 + 100, HS_FIBERS_MAX);
            if (maps > 200000) {
                printf("fibers: %s: left out, vm.max_map_count is %llu here\n", cases[i].name,
                       (unsigned long long)maps);
                continue;
            }
        }
        test_limit(&cases[i]);
    }
}

int main(void)
{
    test_keeping();
    test_stack_size();
    test_many();
    test_limits();
    printf("fibers: fine\n");
    return 0;
}
