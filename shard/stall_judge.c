/* Is this a stall? See stall_judge.h. */
#include "stall_judge.h"

#include "beat.h"
#include "hs_assert.h"

/* A stall that has not ended is told after this long, then after ten times as long, and so on. */
#define GOES_ON_NS HS_SEC_NS

void stall_judge_init(stall_judge *j, uint64_t limit_ns)
{
    HS_ASSERT(limit_ns > 0);
    *j = (stall_judge){.limit_ns = limit_ns, .period_ns = (limit_ns + 1) / 2, .beat = BEAT_RESTS};
}

/* How long the callback was seen for sure. */
static uint64_t seen_ns(const stall_judge *j)
{
    return j->last_ns > j->since_ns ? j->last_ns - j->since_ns : 0;
}

uint64_t stall_judge_next_ns(const stall_judge *j)
{
    if (!j->asked)
        return j->period_ns;
    return HS_MIN(HS_MAX(seen_ns(j) / 64, HS_MSEC_NS), 100 * HS_MSEC_NS);
}

/* What a look that comes in time is behind the last one, at most. */
static uint64_t in_time_ns(const stall_judge *j)
{
    return HS_MAX(j->period_ns, stall_judge_next_ns(j));
}

/* The same callback, once more: what of the time since the last look was its own doing? What it
 * used of a processor; and what it slept, which is seen only in that it sleeps now: all of the time
 * if it has not run since it slept at the last look, and else what can be. */
static void account(stall_judge *j, const stall_reading *r)
{
    uint64_t gap = r->now_ns > j->last_end_ns ? r->now_ns - j->last_end_ns : 0;
    uint64_t used = HS_MIN(r->cpu_ns > j->cpu_ns ? r->cpu_ns - j->cpu_ns : 0, gap), slept = 0;
    if (r->asleep)
        slept = j->asleep && used == 0 ? gap : HS_MIN(gap - used, j->period_ns);
    j->busy_ns += used + slept;
    j->counted_ns += HS_MIN(used + slept, in_time_ns(j));
}

/* For people, its length is from where its turn began, as far as that is known, to the first look
 * that did not see it, if that came in time. It may be a little less than that, so nobody is judged
 * by it. */
static void measure(const stall_judge *j, const stall_reading *r, stall_held *out)
{
    uint64_t start = j->since_ns, end = HS_MIN(r->now_ns, j->last_ns + in_time_ns(j));
    if (r->turn_ns > 0)
        start = HS_MIN(HS_MAX(r->turn_ns, j->before_ns), j->since_ns);
    out->held_ns = end > start ? end - start : 0;
    out->waited_ns = seen_ns(j) > j->busy_ns ? seen_ns(j) - j->busy_ns : 0;
}

/* Another callback, or none. */
static void begin(stall_judge *j, const stall_reading *r)
{
    j->before_ns = j->last_ns;
    j->since_ns = r->after_ns;
    j->busy_ns = j->counted_ns = 0;
    j->tell_ns = GOES_ON_NS;
    j->beat = r->beat;
    j->asked = false;
}

/* Whatever was seen is over. That it still ran at the last look is all that is sure. */
static stall_verdict judge_over(const stall_judge *j, const stall_reading *r, stall_held *held)
{
    if (!j->asked && seen_ns(j) < j->limit_ns)
        return STALL_NONE;
    measure(j, r, held);
    return j->asked ? STALL_OVER : STALL_PREEMPTED;
}

static stall_verdict judge_on(stall_judge *j, const stall_reading *r, stall_held *held)
{
    account(j, r);
    if (!j->asked) {
        j->asked = j->counted_ns >= j->limit_ns;
        return j->asked ? STALL_ASK : STALL_NONE;
    }
    if (j->counted_ns < j->tell_ns)
        return STALL_NONE;
    j->tell_ns *= 10;
    measure(j, r, held);
    return STALL_GOES_ON;
}

stall_verdict stall_judge_look(stall_judge *j, const stall_reading *r, stall_held *held)
{
    HS_ASSERT(r->now_ns >= j->last_end_ns);
    HS_ASSERT(r->after_ns >= r->now_ns);
    stall_verdict verdict;
    if (r->beat != j->beat || (r->beat & BEAT_RESTS)) {
        verdict = judge_over(j, r, held);
        begin(j, r);
    } else {
        verdict = judge_on(j, r, held);
    }
    j->last_ns = r->now_ns;
    j->last_end_ns = r->after_ns;
    j->cpu_ns = r->cpu_ns;
    j->asleep = r->asleep;
    return verdict;
}
