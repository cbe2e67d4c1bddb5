/* What is said when a fiber overflows its stack: see overflow.h. */
#include "overflow.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "fiber.h"

/* Room for the handlers that were there before ours, too: a crash reporter's, for example. */
#define HANDLER_BYTES ((size_t)64 * 1024)

static const int faults[] = {SIGSEGV, SIGBUS};

static struct {
    pthread_mutex_t lock;
    uint32_t users;
    bool in_place[HS_ARRAY_LEN(faults)];
    struct sigaction before[HS_ARRAY_LEN(faults)];
} installed = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* ---- the message: in a handler nothing but write(2) can be trusted ---- */

typedef struct line {
    char text[512];
    size_t len;
} line;

static void add(line *l, const char *text)
{
    while (*text && l->len < sizeof l->text - 1) /* leaves room for the newline */
        l->text[l->len++] = *text++;
}

static void add_number(line *l, uint64_t n)
{
    char digits[21];
    size_t at = sizeof digits - 1;
    digits[at] = '\0';
    do {
        digits[--at] = (char)('0' + n % 10);
        n /= 10;
    } while (n > 0);
    add(l, digits + at);
}

static void tell(const hs_shard *s, const fiber_overflow *o)
{
    line l = {.len = 0};
    add(&l, "fiber '");
    add(&l, o->name);
    add(&l, "' (shard ");
    add_number(&l, hs_shard_id(s));
    add(&l, ") overflowed its stack of ");
    add_number(&l, o->stack_bytes);
    add(&l, " bytes; raise fiber_stack_bytes");
    l.text[l.len++] = '\n';
    ssize_t n = write(STDERR_FILENO, l.text, l.len);
    (void)n; /* there is nobody left to tell */
}

/* ---- the handler ---- */

/* The faulting instruction runs again after the handler, and ends the process, with a core that
 * shows the place. A signal that somebody sent does not come again by itself. */
static void by_default(int sig, const siginfo_t *info)
{
    struct sigaction plain = {.sa_handler = SIG_DFL};
    (void)sigaction(sig, &plain, NULL);
    if (info->si_code <= 0)
        (void)raise(sig);
}

static void pass_on(int sig, siginfo_t *info, void *context)
{
    const struct sigaction *before = &installed.before[sig == faults[0] ? 0 : 1];
    if (before->sa_flags & SA_SIGINFO)
        before->sa_sigaction(sig, info, context);
    else if (before->sa_handler != SIG_DFL && before->sa_handler != SIG_IGN)
        before->sa_handler(sig);
    else if (before->sa_handler == SIG_DFL || info->si_code > 0)
        by_default(sig, info); /* a fault cannot be ignored */
}

static void on_fault(int sig, siginfo_t *info, void *context)
{
    int kept = errno;
    const hs_shard *s = hs_shard_self();
    fiber_overflow o;
    /* Above 0: the kernel saw a fault, and knows its address. */
    if (info->si_code > 0 && s && fiber_overflowed(s, (uintptr_t)info->si_addr, &o)) {
        tell(s, &o);
        by_default(sig, info);
    } else {
        pass_on(sig, info, context);
    }
    errno = kept;
}

static void put_in_place(size_t i)
{
    struct sigaction ours = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | SA_ONSTACK};
    sigemptyset(&ours.sa_mask);
    /* The one before is known before ours can run. Where a filter denies either, an overflow ends
     * the process without a line that names the fiber. */
    installed.in_place[i] = sigaction(faults[i], NULL, &installed.before[i]) == 0 &&
                            sigaction(faults[i], &ours, NULL) == 0;
}

/* Somebody who came later, and passes on to ours, is left alone; so is ours then. */
static void take_away(size_t i)
{
    struct sigaction now;
    if (!installed.in_place[i] || sigaction(faults[i], NULL, &now) != 0)
        return;
    if (!(now.sa_flags & SA_SIGINFO) || now.sa_sigaction != on_fault)
        return;
    installed.in_place[i] = sigaction(faults[i], &installed.before[i], NULL) != 0;
}

void overflow_install(void)
{
    pthread_mutex_lock(&installed.lock);
    installed.users++;
    for (size_t i = 0; i < HS_ARRAY_LEN(faults); i++)
        if (!installed.in_place[i])
            put_in_place(i);
    pthread_mutex_unlock(&installed.lock);
}

void overflow_uninstall(void)
{
    pthread_mutex_lock(&installed.lock);
    HS_ASSERT(installed.users > 0);
    if (--installed.users == 0)
        for (size_t i = 0; i < HS_ARRAY_LEN(faults); i++)
            take_away(i);
    pthread_mutex_unlock(&installed.lock);
}

/* ---- the handlers' stack ---- */

hs_err overflow_thread_init(overflow_stack *st, const hs_mem *mem)
{
    *st = (overflow_stack){0};
    stack_t now;
    if (sigaltstack(NULL, &now) != 0)
        return HS_OK; /* denied: an overflow is not named then */
    if (!(now.ss_flags & SS_DISABLE))
        return HS_OK; /* a sanitizer's, for example */
    /* What the kernel saves grows with the processor's registers. */
    long least = sysconf(_SC_MINSIGSTKSZ);
    size_t bytes = HANDLER_BYTES + (least > 0 ? (size_t)least : 0);
    void *memory = hs_mem_take(mem, bytes, HS_CACHE_LINE);
    HS_ENSURE(memory, -ENOMEM);
    stack_t own = {.ss_sp = memory, .ss_size = bytes};
    if (sigaltstack(&own, NULL) == 0)
        *st = (overflow_stack){memory, bytes};
    else
        hs_mem_give(mem, memory, bytes, HS_CACHE_LINE);
    return HS_OK;
}

void overflow_thread_fini(overflow_stack *st, const hs_mem *mem)
{
    if (!st->memory)
        return;
    stack_t none = {.ss_flags = SS_DISABLE};
    int rc = sigaltstack(&none, NULL);
    HS_ASSERT(rc == 0);
    hs_mem_give(mem, st->memory, st->bytes, HS_CACHE_LINE);
    st->memory = NULL;
}
