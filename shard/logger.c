/* The thread that writes log lines out. See logger.h.
 *
 * It sleeps on a semaphore that a log posts when the first line comes after a pause; a post never
 * blocks. When the reader of `fd` is slow, lines wait in the rings; when those are full they are
 * dropped and counted (hs_log.h). */
#include "logger.h"

#include <errno.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "hs_assert.h"

#define LOG_LINES 256 /* that wait for each shard: 128 KiB, touched only where used */

struct logger {
    const hs_mem *mem;
    uint32_t logs_len;
    int fd;
    pthread_t thread;
    sem_t wake;
    atomic_bool told; /* a post is under way or was made, and not yet waited for */
    atomic_bool ending;
    hs_log logs[];
};

/* Beside those of the shards. */
#define LOGS_OWN 2

static size_t logger_bytes(uint32_t shards)
{
    return sizeof(logger) + (shards + LOGS_OWN) * sizeof(hs_log);
}

static uint64_t wall_ns(void *ctx)
{
    (void)ctx;
    struct timespec ts;
    int rc = clock_gettime(CLOCK_REALTIME, &ts);
    HS_ASSERT(rc == 0);
    return (uint64_t)ts.tv_sec * HS_SEC_NS + (uint64_t)ts.tv_nsec;
}

static void tell(void *ctx)
{
    logger *l = ctx;
    if (!atomic_exchange(&l->told, true))
        sem_post(&l->wake);
}

static void write_all(int fd, const char *text, size_t len)
{
    while (len > 0) {
        ssize_t n = write(fd, text, len);
        if (n < 0 && errno == EINTR)
            continue;
        /* Nobody can be told that the log cannot be written. */
        if (n <= 0)
            return;
        text += n;
        len -= (size_t)n;
    }
}

static void drain(logger *l)
{
    hs_log_line line;
    for (uint32_t i = 0; i < l->logs_len; i++)
        while (hs_log_read(&l->logs[i], &line))
            if (l->fd >= 0)
                write_all(l->fd, line.text, line.len);
}

static void *logger_main(void *arg)
{
    logger *l = arg;
    while (!atomic_load(&l->ending)) {
        while (sem_wait(&l->wake) != 0)
            HS_ASSERT(errno == EINTR);
        atomic_store(&l->told, false);
        drain(l);
    }
    drain(l);
    return NULL;
}

static void free_logger(logger *l, uint32_t shards)
{
    for (uint32_t i = 0; i < l->logs_len; i++)
        hs_log_fini(&l->logs[i]);
    (void)sem_destroy(&l->wake);
    hs_mem_give(l->mem, l, logger_bytes(shards), HS_CACHE_PAIR);
}

static hs_err init_log(logger *l, uint32_t shards, hs_log_level level)
{
    uint32_t i = l->logs_len;
    uint32_t named = i < shards ? i : UINT32_MAX;
    HS_TRY(hs_log_init(&l->logs[i], l->mem, LOG_LINES, named, wall_ns, l));
    l->logs[i].level = level;
    l->logs[i].ready = tell;
    l->logs_len++;
    return HS_OK;
}

hs_err logger_start(const hs_mem *mem, uint32_t shards, int fd, hs_log_level level, logger **out)
{
    logger *l = hs_mem_take_zero(mem, logger_bytes(shards), HS_CACHE_PAIR);
    HS_ENSURE(l, -ENOMEM);
    l->mem = mem;
    l->fd = fd;
    int rc = sem_init(&l->wake, 0, 0);
    HS_ASSERT(rc == 0);
    hs_err err = HS_OK;
    while (l->logs_len < shards + LOGS_OWN && hs_ok(err))
        err = init_log(l, shards, level);
    if (hs_ok(err)) {
        err = hs_err_errno(pthread_create(&l->thread, NULL, logger_main, l));
        if (!hs_ok(err) && fd >= 0)
            (void)dprintf(fd, THREAD_REFUSED "\n", hs_err_name(err));
    }
    if (!hs_ok(err)) {
        free_logger(l, shards);
        return err;
    }
    *out = l;
    return HS_OK;
}

hs_log *logger_log(logger *l, uint32_t id)
{
    HS_ASSERT(id < l->logs_len);
    return &l->logs[id];
}

void logger_flush(logger *l)
{
    atomic_store(&l->ending, true);
    sem_post(&l->wake);
    int rc = pthread_join(l->thread, NULL);
    HS_ASSERT(rc == 0);
    /* Lines that were dropped after the last one that fitted must not go untold. */
    for (uint32_t i = 0; i < l->logs_len; i++)
        if (l->logs[i].dropped > 0)
            hs_log_write(&l->logs[i], HS_LOG_ERROR, "the log ends here");
    drain(l);
}

void logger_stop(logger *l)
{
    logger_flush(l);
    free_logger(l, l->logs_len - LOGS_OWN);
}
