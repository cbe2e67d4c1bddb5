/* The log's line about a stall.
 *
 * Owns: its words, and how often: one line a second for each label, which also says how many more
 * there were since the last. Must not know: threads, clocks. Tested by:
 * tests/unit/shard_stall.c. */
#pragma once

#include "hs_log.h"

#define STALL_FRAMES_MAX 32
#define STALL_LABELS_MAX 16 /* that stall within one second; more share the last one's place */

/* Stalls of one label that no line has told. */
typedef struct stall_quiet {
    const char *label; /* NULL: of what has none */
    bool used;
    uint64_t until_ns; /* no line before */
    uint64_t more, more_ns;
} stall_quiet;

typedef struct stall_tell {
    hs_log *log;
    uint32_t limit_ms;
    stall_quiet quiet[STALL_LABELS_MAX];
} stall_tell;

/* One stall. */
typedef struct stall_report {
    uint32_t shard;
    bool goes_on;      /* it has not ended */
    const char *label; /* NULL: none */
    uint64_t held_ns, waited_ns;
    uint32_t frames_len; /* 0: not known */
    void *const *frames; /* the innermost first */
} stall_report;

void stall_tell_init(stall_tell *t, hs_log *log, uint32_t limit_ms);

/* Tell one, or count it where its label had a line in the last second. */
void stall_tell_one(stall_tell *t, uint64_t now_ns, const stall_report *report);

/* Tell how many were counted and not told, of each label whose second is over; of all when `all`.
 * Returns when it has to be called again; UINT64_MAX: nothing is left to tell. */
uint64_t stall_tell_rest(stall_tell *t, uint64_t now_ns, bool all);
