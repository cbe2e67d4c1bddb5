/* Intervals: a function that is called again and again.
 *
 * Owns: when the next time is. Must not know: what is done then. Tested by:
 * tests/unit/shard_interval.c in simulated time.
 *
 * Times do not drift: each is the one before plus the period, however late that was called. They do
 * not pile up either: where the shard was late by a period or more, the times that have passed are
 * left out, and the next call says how many. As a timer, an interval keeps nobody waiting at a
 * stop. */
#pragma once

#include "hs_shard.h"

HS_BEGIN_DECLS

typedef struct hs_interval hs_interval;

/* `missed`: how many times were left out since the last call; 0 where the shard keeps up. */
typedef void hs_interval_fn(hs_interval *interval, uint64_t missed);

/* The caller owns the storage; zeroed storage is an interval that is not set. */
struct hs_interval {
    hs_timer timer;
    hs_interval_fn *fn;
    uint64_t due_ns, period_ns;
};

/* Call fn(interval, missed) every `period_ms` (> 0), for the first time a period from the turn's
 * time. One that is set begins anew, and never fails then. Errors: as hs_timer_set; the interval is
 * unset then. Once it is set nothing can fail. Shard: owner only. */
HS_API HS_NODISCARD hs_err hs_interval_set(hs_shard *shard, hs_interval *interval,
                                           uint64_t period_ms, hs_interval_fn *fn);

/* Unset an interval, if it is set: also from its own function, which may free the storage then.
 * Shard: owner only. */
HS_API void hs_interval_clear(hs_shard *shard, hs_interval *interval);

/* Whether it is set. */
static inline bool hs_interval_active(const hs_interval *interval)
{
    return hs_timer_active(&interval->timer);
}

HS_END_DECLS
