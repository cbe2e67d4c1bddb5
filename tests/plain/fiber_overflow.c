/* A fiber that overflows its stack ends its process with a line that names it, and a signal that
 * leaves a core; other faults go where they would go without us.
 *
 * Each case is a child whose standard error is read. A sanitizer's handler is there before ours, so
 * under one a fault that is nobody's ends in its report and not in a signal. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "child.h"
#include "fiber_rig.h"
#include "sanitize.h"

static volatile uint32_t bottom; /* so that no recursion is a loop */

__attribute__((noinline)) static uint32_t dig(uint32_t depth)
{
    volatile char frame[512];
    frame[0] = (char)depth;
    if (depth > 0)
        bottom += dig(depth - 1);
    return bottom + (uint32_t)frame[0];
}

static hs_err digs_for_ever(void *arg)
{
    (void)arg;
    return hs_err_of((int32_t)dig(UINT32_MAX) & 0);
}

/* One array far beyond the end of the stack, written from its far end. */
static hs_err takes_a_large_array(void *arg)
{
    (void)arg;
    volatile char array[96 * 1024];
    array[0] = 1;
    return hs_err_of(array[0] - 1);
}

static hs_err digs_on_an_inner_fiber(void *arg)
{
    return hs_await(hs_fiber_start(hs_shard_self(), "GET /inner", digs_for_ever, arg, NULL), NULL);
}

static hs_err digs_within_its_stack(void *arg)
{
    (void)arg;
    (void)dig(40);
    return HS_OK;
}

/* ---- other faults ---- */

static volatile uintptr_t nowhere = 16;

static hs_err touches_nothing(void *arg)
{
    (void)arg;
    *(volatile uint32_t *)nowhere = 1;
    return HS_OK;
}

/* Stacks lie next to each other, each with its guard below; this one runs above its starter's. */
static hs_err touches_below(void *arg)
{
    (void)arg;
    volatile uint8_t here = 1;
    volatile uintptr_t at = (uintptr_t)&here;
#ifdef HS_ASAN /* where locals lie elsewhere */
    at = (uintptr_t)__builtin_frame_address(0);
#endif
    at -= HS_FIBER_STACK_BYTES + HS_FIBER_GUARD_BYTES + HS_FIBER_STACK_BYTES;
    *(volatile uint8_t *)at = here;
    return HS_OK;
}

static hs_err touches_another_guard(void *arg)
{
    return hs_await(hs_fiber_start(hs_shard_self(), "inner", touches_below, arg, NULL), NULL);
}

static void handler_before(int sig, siginfo_t *info, void *context)
{
    (void)info, (void)context;
    static const char text[] = "the handler that was there before\n";
    ssize_t n = write(STDERR_FILENO, text, sizeof text - 1);
    (void)n;
    _exit(sig);
}

static void handler_plain(int sig)
{
    handler_before(sig, NULL, NULL);
}

static void set_handler(bool plain)
{
    struct sigaction act = {.sa_flags = SA_ONSTACK};
    if (plain) {
        act.sa_handler = handler_plain;
    } else {
        act.sa_sigaction = handler_before;
        act.sa_flags |= SA_SIGINFO;
    }
    CHECK(sigaction(SIGSEGV, &act, NULL) == 0);
}

/* ---- cases ---- */

typedef enum before { NOTHING, PLAIN, INFO } before;

typedef struct case_ {
    const char *name;
    hs_fiber_fn *scene;
    const char *line; /* that is to be found, or NULL: none of ours */
    size_t stack_bytes;
    before before;
    int status;   /* a signal, or an exit code as its negative */
    bool no_madv; /* guards as mappings */
} case_;

#define OURS(name, bytes)                                                                          \
    "fiber '" name "' (shard 0) overflowed its stack of " #bytes " bytes; raise "                  \
    "fiber_stack_bytes\n"
#define THEIRS "the handler that was there before\n"

static const case_ cases[] = {
    {"recursion", digs_for_ever, OURS("scene", 65536), 0, NOTHING, SIGSEGV, false},
    {"recursion, guards are mappings", digs_for_ever, OURS("scene", 65536), 0, NOTHING, SIGSEGV,
     true},
    {"a stack of another size", digs_for_ever, OURS("scene", 131072), 131072, NOTHING, SIGSEGV,
     false},
    {"an inner fiber", digs_on_an_inner_fiber, OURS("GET /inner", 65536), 0, NOTHING, SIGSEGV,
     false},
    {"ours come first", digs_for_ever, OURS("scene", 65536), 0, INFO, SIGSEGV, false},
    {"a large array", takes_a_large_array, OURS("scene", 65536), 0, NOTHING, SIGSEGV, false},
    {"no overflow", digs_within_its_stack, NULL, 0, NOTHING, 0, false},
    {"another fault", touches_nothing, NULL, 0, NOTHING, SIGSEGV, false},
    {"another fault, a handler", touches_nothing, THEIRS, 0, PLAIN, -SIGSEGV, false},
    {"another fault, a handler with more", touches_nothing, THEIRS, 0, INFO, -SIGSEGV, false},
    {"another stack's guard", touches_another_guard, THEIRS, 0, INFO, -SIGSEGV, false},
};

static void child(const void *arg)
{
    const case_ *c = arg;
    struct rlimit no_core = {0, 0};
    CHECK(setrlimit(RLIMIT_CORE, &no_core) == 0);
    if (c->no_madv)
        CHECK(setenv("HS_CAPS_DISABLE", "guard_madv", 1) == 0);
    if (c->before != NOTHING)
        set_handler(c->before == PLAIN);
    hs_group_options o = rig_options();
    o.fiber_stack_bytes = c->stack_bytes;
    struct sigaction was, now; /* a sanitizer's own handler, where there is one */
    CHECK(sigaction(SIGSEGV, NULL, &was) == 0);
    rig_run(&o, c->scene, NULL);
    /* All is as it was. */
    CHECK(sigaction(SIGSEGV, NULL, &now) == 0);
    CHECK(now.sa_handler == was.sa_handler);
}

static void run(const case_ *c)
{
    char text[4096];
    int status = child_run(child, c, text, sizeof text);
    int got = WIFSIGNALED(status) ? WTERMSIG(status) : -WEXITSTATUS(status);
#if defined(HS_ASAN) || defined(HS_TSAN)
    if (c->before == NOTHING && !c->line && c->status == SIGSEGV)
        got = got < 0 ? SIGSEGV : got;
#endif
    bool told = c->line ? strcmp(text, c->line) == 0 : strstr(text, "overflowed") == NULL;
    if (got != c->status || !told) {
        fprintf(stderr, "%s: status %d instead of %d, standard error: %s\n", c->name, got,
                c->status, text);
        exit(1);
    }
}

int main(void)
{
    for (size_t i = 0; i < HS_ARRAY_LEN(cases); i++)
        run(&cases[i]);
    printf("fiber_overflow: %zu cases are fine\n", HS_ARRAY_LEN(cases));
    return 0;
}
