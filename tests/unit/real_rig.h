/* What the tests of real sockets share: one shard on a backend of the system, driven turn by turn
 * from the test, with memory that is counted and fails on purpose. The test is the shard's thread.
 * A wait ends by what it waits for, or fails after a long time without it. */
#pragma once

#include "core_help.h"

#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <unistd.h>

#include "epoll.h"
#include "hs_limits.h"
#include "shard.h"
#include "uring.h"

/* Far longer than a machine with others on it stands still. */
#define REAL_PATIENCE_MS UINT64_C(300000)

typedef struct real {
    fault_mem mem;
    shard_mail mail;
    hs_io *io;
    hs_shard *shard;
    hs_timer guard, nap;
    bool late, rested;
    uint32_t files; /* open before */
} real;

static real real_one; /* most tests need one */

static inline uint32_t real_files(void)
{
    uint32_t n = 0;
    DIR *d = opendir("/proc/self/fd");
    cr_assert_not_null(d);
    while (readdir(d))
        n++;
    closedir(d);
    return n;
}

static inline hs_err real_make_uring(const hs_mem *mem, hs_io **io)
{
    uring_caps caps;
    uring_why why;
    hs_err err = uring_probe(1, &caps, &why);
    if (!hs_ok(err))
        cr_skip_test("%s", why.cause);
    return uring_create(mem, &caps, io);
}

static inline hs_err real_make_epoll(const hs_mem *mem, hs_io **io)
{
    return epoll_io_create(mem, io);
}

/* Without the wake-up this turn would go on to wait for whatever comes next. */
static inline void real_late(hs_timer *timer)
{
    real *r = HS_CONTAINER_OF(timer, real, guard);
    r->late = true;
    hs_io_wake_any(r->io);
}

static inline void real_rested(hs_timer *timer)
{
    real *r = HS_CONTAINER_OF(timer, real, nap);
    r->rested = true;
    hs_io_wake_any(r->io);
}

static inline void real_init(real *r, hs_err (*make)(const hs_mem *mem, hs_io **io))
{
    memset(r, 0, sizeof *r);
    r->files = real_files();
    fault_init(&r->mem, 0, false);
    cr_assert(hs_ok(make(&r->mem.mem, &r->io)));
    cr_assert(hs_ok(shard_mail_init(&r->mail, &r->mem.mem, 1)));
    shard_options o = {.mail = &r->mail, .mem = &r->mem.mem, .io = r->io, .seed = 7};
    cr_assert(hs_ok(shard_create(&o, &r->shard)));
    shard_enter(r->shard);
    /* Set once, so that moving them never needs memory. */
    cr_assert(hs_ok(hs_timer_after(r->shard, &r->guard, REAL_PATIENCE_MS, real_late)));
    cr_assert(hs_ok(hs_timer_after(r->shard, &r->nap, REAL_PATIENCE_MS, real_rested)));
}

static inline void real_wait_begin(real *r)
{
    r->late = false;
    cr_assert(hs_ok(hs_timer_after(r->shard, &r->guard, REAL_PATIENCE_MS, real_late)));
}

static inline void real_turn(real *r)
{
    shard_turn(r->shard, true);
    shard_enter(r->shard);
    cr_assert(!r->late, "waited in vain");
}

/* Turn until `cond`. */
#define REAL_UNTIL(r, cond)                                                                        \
    do {                                                                                           \
        real_wait_begin(r);                                                                        \
        while (!(cond))                                                                            \
            real_turn(r);                                                                          \
    } while (0)

/* Turn `n` times without waiting: for what must not happen. */
static inline void real_idle(real *r, int n)
{
    for (int i = 0; i < n; i++)
        shard_turn(r->shard, false);
    shard_enter(r->shard);
}

/* Let `ms` pass. */
static inline void real_rest(real *r, uint64_t ms)
{
    r->rested = false;
    cr_assert(hs_ok(hs_timer_after(r->shard, &r->nap, ms, real_rested)));
    REAL_UNTIL(r, r->rested);
    cr_assert(hs_ok(hs_timer_after(r->shard, &r->nap, 2 * REAL_PATIENCE_MS, real_rested)));
}

/* All is gone: no op, no memory, no file. */
static inline void real_fini(real *r)
{
    hs_timer_cancel(r->shard, &r->guard);
    hs_timer_cancel(r->shard, &r->nap);
    shard_destroy(r->shard);
    shard_mail_fini(&r->mail);
    shard_enter(NULL);
    r->io->ops->destroy(r->io);
    cr_assert_eq(r->mem.pieces_out, 0);
    cr_assert_eq(r->mem.bytes_out, 0);
    cr_assert_eq(real_files(), r->files);
}

#define REAL_TEST_ON(suite, name, backend)                                                         \
    Test(suite, name##_on_##backend, .timeout = 600)                                               \
    {                                                                                              \
        real_init(&real_one, real_make_##backend);                                                 \
        name(&real_one);                                                                           \
        real_fini(&real_one);                                                                      \
    }

/* A test on each backend: its body gets the rig, which is made before and ended after it. */
#define REAL_TEST(suite, name)                                                                     \
    static void name(real *r);                                                                     \
    REAL_TEST_ON(suite, name, uring)                                                               \
    REAL_TEST_ON(suite, name, epoll)                                                               \
    static void name(real *r)
