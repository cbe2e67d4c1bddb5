/* The process's signals, and how children get them back. See hs_spawn.h and hs_group.h.
 *
 * Owns: blocking what stops a group, and the state from before. Must not know: groups.
 * Tested by: tests/plain/spawn.c, tests/e2e/backends.py. */
#include "spawn_env.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>

#include "hs_group.h"

static struct {
    pthread_mutex_t lock;
    bool known, pipe_ignored, cpus_known;
    sigset_t mask;
    cpu_set_t cpus;
} before = {.lock = PTHREAD_MUTEX_INITIALIZER};

void spawn_remember(void)
{
    pthread_mutex_lock(&before.lock);
    if (!before.known) {
        struct sigaction pipe;
        before.known = true;
        if (pthread_sigmask(SIG_SETMASK, NULL, &before.mask) != 0)
            sigemptyset(&before.mask);
        before.pipe_ignored = sigaction(SIGPIPE, NULL, &pipe) == 0 && pipe.sa_handler == SIG_IGN;
        before.cpus_known = sched_getaffinity(0, sizeof before.cpus, &before.cpus) == 0;
    }
    pthread_mutex_unlock(&before.lock);
}

void spawn_stop_signals(sigset_t *set)
{
    sigemptyset(set);
    sigaddset(set, SIGINT);
    sigaddset(set, SIGTERM);
    sigaddset(set, SIGHUP);
}

/* Where a filter denies it, the signals do what they do by default, and sends say MSG_NOSIGNAL. */
void hs_group_block_signals(void)
{
    sigset_t set;
    struct sigaction ignore = {.sa_handler = SIG_IGN};
    spawn_remember();
    spawn_stop_signals(&set);
    (void)pthread_sigmask(SIG_BLOCK, &set, NULL);
    (void)sigaction(SIGPIPE, &ignore, NULL);
}

static int set_attributes(posix_spawnattr_t *attr)
{
    sigset_t defaults;
    short flags = POSIX_SPAWN_SETSIGMASK;
    sigemptyset(&defaults);
    if (!before.pipe_ignored) {
        sigaddset(&defaults, SIGPIPE);
        flags |= POSIX_SPAWN_SETSIGDEF;
    }
    int rc = posix_spawnattr_setsigmask(attr, &before.mask);
    if (rc == 0)
        rc = posix_spawnattr_setsigdefault(attr, &defaults);
    return rc == 0 ? posix_spawnattr_setflags(attr, flags) : rc;
}

/* There is no attribute for processors: the child has those of the thread that makes it. */
static int spawn_unpinned(pid_t *pid, const char *file, const posix_spawn_file_actions_t *actions,
                          const posix_spawnattr_t *attr, char *const argv[], char *const envp[])
{
    cpu_set_t pinned;
    bool moved = before.cpus_known && sched_getaffinity(0, sizeof pinned, &pinned) == 0 &&
                 sched_setaffinity(0, sizeof before.cpus, &before.cpus) == 0;
    int rc = posix_spawnp(pid, file, actions, attr, argv, envp);
    if (moved)
        (void)sched_setaffinity(0, sizeof pinned, &pinned);
    return rc;
}

hs_err hs_spawn(pid_t *pid, const char *file, const posix_spawn_file_actions_t *actions,
                char *const argv[], char *const envp[])
{
    posix_spawnattr_t attr;
    HS_ASSERT(pid != NULL && file != NULL && argv != NULL);
    spawn_remember();
    int rc = posix_spawnattr_init(&attr);
    if (rc != 0)
        return hs_err_errno(rc);
    rc = set_attributes(&attr);
    if (rc == 0)
        rc = spawn_unpinned(pid, file, actions, &attr, argv, envp);
    (void)posix_spawnattr_destroy(&attr);
    return rc == 0 ? HS_OK : hs_err_errno(rc);
}
