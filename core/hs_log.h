/* Logging: one line an event, and never a wait.
 *
 * Owns: levels, formatting, and a bounded ring of lines for each thread that logs. A line is
 * `2026-11-21T01:02:03.456Z info shard=0 text` with control bytes escaped as \xNN, so that a peer
 * cannot forge a line. The ring has one producer and one consumer; when it is full the line is
 * dropped and counted, and the next line that fits says how many are missing. Must not know: files
 * and threads (shard/ owns the thread that writes the lines out) and the clock (time is passed in).
 * Tested by: tests/unit/core_log.c. */
#pragma once

#include "hs_spsc.h"

HS_BEGIN_DECLS

typedef enum hs_log_level {
    HS_LOG_ERROR,
    HS_LOG_WARN,
    HS_LOG_INFO,
    HS_LOG_DEBUG,
} hs_log_level;

#define HS_LOG_LINE_BYTES 512 /* a longer line is cut, and ends in "..." */

typedef struct hs_log {
    hs_spsc lines;
    hs_log_level level; /* lines above it are not made */
    uint32_t shard;     /* named in each line; UINT32_MAX: "main" */
    uint64_t dropped;   /* since the last line that fitted */
    uint64_t dropped_total;
    uint64_t (*wall_ns)(void *ctx); /* nanoseconds since 1970, UTC */
    void (*ready)(void *ctx);       /* a line was added; must not block; may be NULL */
    void *ctx;
} hs_log;

typedef struct hs_log_line {
    uint16_t len;
    char text[HS_LOG_LINE_BYTES]; /* ends in a newline, no NUL */
} hs_log_line;

/* Prepare a log of at most `lines` (a power of two) waiting lines. `wall_ns` and `ctx` are
 * borrowed. Errors: -ENOMEM. Thread: before either side starts. */
HS_API HS_NODISCARD hs_err hs_log_init(hs_log *log, const hs_mem *mem, uint32_t lines,
                                       uint32_t shard, uint64_t (*wall_ns)(void *ctx), void *ctx);

/* Give the memory back. Thread: after both sides ended. */
HS_API void hs_log_fini(hs_log *log);

/* Add one line. Never blocks, never fails: a full ring counts the line as dropped.
 * `log` may be NULL: then nothing happens. Thread: the producer. */
HS_API void hs_log_write(hs_log *log, hs_log_level level, const char *format, ...) HS_PRINTF(3, 4);

/* Take the oldest line. False when there is none. Thread: the consumer. */
HS_API HS_NODISCARD bool hs_log_read(hs_log *log, hs_log_line *line);

/* The level that `name` ("error", "warn", "info", "debug") means. False where it is none of them.
 * Thread: any. */
HS_API HS_NODISCARD bool hs_log_level_parse(const char *name, hs_log_level *out);

HS_END_DECLS
