/* The stack of a shard's thread, for another thread. See stall_stack.h.
 *
 * The handler does nothing that is not safe in one: it reads what its own thread owns, and walks
 * the stack. backtrace() loads its library at the first call, so that call is made before; from
 * then on it takes no lock and no memory (glibc 2.35 and libgcc 12 find the tables without one). It
 * is used and not the chain of frame pointers because the C library has none: the chain would leave
 * out whoever called a sleep or a lock, and that is the one to be found. */
#include "stall_stack.h"

#include <errno.h>
#include <execinfo.h>
#include <signal.h>
#include <ucontext.h>

#include "hs_assert.h"
#include "inside.h"

#define STACK_SIGNAL SIGURG
/* The handler, what it calls and the kernel's trampoline: above what was interrupted. */
#define OWN_FRAMES 4

static struct {
    pthread_mutex_t lock; /* of what follows; start and end of groups only */
    uint32_t users;
    struct sigaction before;
} owned = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* What this thread's handler writes to; NULL: it is no shard's. */
static __thread stall_stack *own_stack __attribute__((tls_model("initial-exec")));

/* ---- on the thread that is looked at ---- */

/* Where the thread was interrupted. */
static const void *interrupted_at(const ucontext_t *context)
{
#if defined(__x86_64__)
    return (const void *)context->uc_mcontext.gregs[REG_RIP];
#elif defined(__aarch64__)
    return (const void *)context->uc_mcontext.pc;
#else
    (void)context;
    return NULL;
#endif
}

static void look(stall_stack *st, const void *at, uint32_t beat)
{
    void *frames[STALL_FRAMES_MAX + OWN_FRAMES];
    int len = backtrace(frames, STALL_FRAMES_MAX + OWN_FRAMES), first = 1;
    /* How many frames are the handler's own is the compiler's choice (and a sanitizer's). */
    for (int i = 1; i < len && i <= OWN_FRAMES; i++)
        if (frames[i] == at)
            first = i;
    st->frames_len = 0;
    for (int i = first; i < len && st->frames_len < STALL_FRAMES_MAX; i++)
        st->frames[st->frames_len++] = frames[i];
    st->label = hs_shard_label(st->shard);
    st->turn_ns = st->shard->now_ns;
    atomic_store_explicit(&st->seen, beat, memory_order_release);
}

static void on_signal(int number, siginfo_t *info, void *context)
{
    (void)number;
    (void)info;
    stall_stack *st = own_stack;
    if (!st)
        return;
    int errno_before = errno;
    uint32_t beat = atomic_load_explicit(&st->shard->beat, memory_order_relaxed);
    /* Too late where another callback runs by now: its stack would accuse the wrong one. */
    if (atomic_load_explicit(&st->wanted, memory_order_acquire) == beat)
        look(st, interrupted_at(context), beat);
    errno = errno_before;
}

/* Where it is denied, a stall is told without the stack. */
static void unblock(void)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, STACK_SIGNAL);
    (void)pthread_sigmask(SIG_UNBLOCK, &set, NULL);
}

void stall_stack_enter(stall_stack *st, const hs_shard *shard)
{
    HS_ASSERT(own_stack == NULL);
    st->shard = shard;
    atomic_store_explicit(&st->wanted, BEAT_RESTS, memory_order_relaxed);
    atomic_store_explicit(&st->seen, BEAT_RESTS, memory_order_relaxed);
    own_stack = st;
    unblock();
}

void stall_stack_leave(void)
{
    own_stack = NULL;
}

/* ---- on the thread that asks ---- */

bool stall_stack_open(void)
{
    void *frames[2];
    struct sigaction action = {.sa_sigaction = on_signal,
                               .sa_flags = SA_SIGINFO | SA_RESTART | SA_ONSTACK};
    sigemptyset(&action.sa_mask);
    (void)backtrace(frames, 2);
    pthread_mutex_lock(&owned.lock);
    bool ours = owned.users > 0;
    if (!ours && sigaction(STACK_SIGNAL, NULL, &owned.before) == 0 &&
        !(owned.before.sa_flags & SA_SIGINFO) &&
        (owned.before.sa_handler == SIG_DFL || owned.before.sa_handler == SIG_IGN))
        ours = sigaction(STACK_SIGNAL, &action, NULL) == 0;
    if (ours)
        owned.users++;
    pthread_mutex_unlock(&owned.lock);
    return ours;
}

void stall_stack_close(void)
{
    pthread_mutex_lock(&owned.lock);
    HS_ASSERT(owned.users > 0);
    struct sigaction now;
    /* A handler that the program has set since is the program's. */
    if (--owned.users == 0 && sigaction(STACK_SIGNAL, NULL, &now) == 0 &&
        now.sa_sigaction == on_signal)
        (void)sigaction(STACK_SIGNAL, &owned.before, NULL);
    pthread_mutex_unlock(&owned.lock);
}

void stall_stack_ask(stall_stack *st, pthread_t thread, uint32_t beat)
{
    HS_ASSERT(!(beat & BEAT_RESTS));
    atomic_store_explicit(&st->seen, BEAT_RESTS, memory_order_relaxed);
    atomic_store_explicit(&st->wanted, beat, memory_order_release);
    /* An error: the thread is gone, and with it what is asked. */
    (void)pthread_kill(thread, STACK_SIGNAL);
}

bool stall_stack_seen(const stall_stack *st, uint32_t beat)
{
    return atomic_load_explicit(&st->seen, memory_order_acquire) == beat;
}
