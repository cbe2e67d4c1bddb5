/* The log writer's thread, for real: a reader that does not read holds up nobody, and every line is
 * either written or counted as missing.
 * A plain program, so that it runs under ThreadSanitizer too. */
#include "check.h"
#include "logger.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SHARDS 2
#define LINES 20000

static char text[(SHARDS + 1) * (LINES + 1) * 160];

/* Reads all there is, until the writer's end is closed. */
static void *read_all(void *arg)
{
    size_t len = 0;
    ssize_t n;
    while ((n = read(*(int *)arg, text + len, sizeof text - 1 - len)) > 0)
        len += (size_t)n;
    CHECK(n == 0);
    text[len] = '\0';
    return NULL;
}

/* Lines of `shard` that were written, and those that the next one counts as missing; they come in
 * order. */
static uint64_t count_lines(const char *shard, uint64_t *missing)
{
    uint64_t written = 0, next = 0;
    *missing = 0;
    for (const char *line = text; *line; line = strchr(line, '\n') + 1) {
        const char *at = strstr(line, shard);
        if (!at || at > strchr(line, '\n'))
            continue;
        at += strlen(shard);
        if (*at == '(') {
            uint64_t gap = strtoull(at + 1, NULL, 10);
            CHECK(gap > 0);
            *missing += gap;
            next += gap;
            at = strchr(at, ')') + 2;
        }
        CHECK(*at == 't' || strtoull(at, NULL, 10) == next);
        next++;
        written++;
    }
    return written;
}

int main(void)
{
    int fds[2];
    logger *l;
    pthread_t reader;
    CHECK(pipe2(fds, O_CLOEXEC) == 0);
    CHECK(fcntl(fds[1], F_SETPIPE_SZ, 4096) >= 4096);
    CHECK(hs_ok(logger_start(hs_mem_system(), SHARDS, fds[1], HS_LOG_INFO, &l)));

    /* Nobody reads: the pipe fills, then the ring, then lines are dropped. None of it waits. */
    for (unsigned i = 0; i < LINES; i++)
        hs_log_write(logger_log(l, 0), HS_LOG_INFO, "%u", i);
    uint64_t dropped = logger_log(l, 0)->dropped_total;
    CHECK(dropped > 0 && dropped < LINES);
    hs_log_write(logger_log(l, 1), HS_LOG_DEBUG, "0"); /* above the level: no line */
    hs_log_write(logger_log(l, 1), HS_LOG_WARN, "0");
    hs_log_write(logger_log(l, SHARDS), HS_LOG_ERROR, "0");

    /* A stop writes what is still there. */
    CHECK(pthread_create(&reader, NULL, read_all, &fds[0]) == 0);
    logger_stop(l);
    CHECK(close(fds[1]) == 0);
    CHECK(pthread_join(reader, NULL) == 0);
    CHECK(close(fds[0]) == 0);

    uint64_t missing;
    uint64_t written = count_lines(" shard=0 ", &missing);
    CHECK(written + dropped == LINES + 1); /* the last line tells what was dropped before it */
    CHECK(missing == dropped);
    CHECK(count_lines(" warn shard=1 ", &missing) == 1 && missing == 0);
    CHECK(count_lines(" error shard=main ", &missing) == 1 && missing == 0);
    printf("logger: %llu lines written, %llu dropped, nobody waited\n", (unsigned long long)written,
           (unsigned long long)dropped);
    return 0;
}
