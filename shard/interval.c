/* Intervals. See hs_interval.h.
 *
 * The timer is set again before the function is called: so the function may clear the interval, and
 * the place in the heap that the timer has just left is still there, so that nothing can fail. */
#include "hs_interval.h"

#include "hs_assert.h"

static uint64_t plus(uint64_t at_ns, uint64_t period_ns)
{
    return period_ns > UINT64_MAX - at_ns ? UINT64_MAX : at_ns + period_ns;
}

static void fire(hs_timer *timer)
{
    hs_interval *interval = HS_CONTAINER_OF(timer, hs_interval, timer);
    hs_shard *s = hs_shard_self();
    HS_ASSERT(hs_shard_now_ns(s) >= interval->due_ns);
    uint64_t missed = (hs_shard_now_ns(s) - interval->due_ns) / interval->period_ns;
    uint64_t last_ns = interval->due_ns + missed * interval->period_ns;
    interval->due_ns = plus(last_ns, interval->period_ns);
    hs_err err = hs_timer_set(s, timer, interval->due_ns, fire);
    HS_ASSERT(hs_ok(err));
    interval->fn(interval, missed);
}

hs_err hs_interval_set(hs_shard *s, hs_interval *interval, uint64_t period_ms, hs_interval_fn *fn)
{
    HS_ASSERT(period_ms > 0);
    HS_ASSERT(fn != NULL);
    interval->fn = fn;
    interval->period_ns = HS_MIN(period_ms, UINT64_MAX / HS_MSEC_NS) * HS_MSEC_NS;
    interval->due_ns = plus(hs_shard_now_ns(s), interval->period_ns);
    return hs_timer_set(s, &interval->timer, interval->due_ns, fire);
}

void hs_interval_clear(hs_shard *s, hs_interval *interval)
{
    hs_timer_cancel(s, &interval->timer);
}
