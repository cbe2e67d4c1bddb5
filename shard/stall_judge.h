/* Is this a stall? What the watchdog makes of what it reads of one shard.
 *
 * Owns: how long the same callback was seen, and how much of that was its own doing: what it used
 * of its thread's processor clock, and what it slept. The rest is not: a loop that rests in its
 * backend (its beat is odd), a thread that is ready to run and gets no processor, a host that takes
 * the processor away, and a machine that stood still (the watchdog stood still with it, so a look
 * that comes late counts no more than one that came in time). Must not know: threads, clocks.
 * Tested by: tests/unit/shard_stall.c. */
#pragma once

#include "hs_base.h"

/* What is read of a shard at one look, in this order. The watchdog may lose its own processor in
 * between, so it takes the time twice. */
typedef struct stall_reading {
    uint64_t now_ns;
    uint32_t beat;
    uint64_t turn_ns; /* when the callback's turn began; 0: not known */
    uint64_t cpu_ns;  /* what its thread has used of processors */
    bool asleep;      /* its thread sleeps or waits in the kernel; read from the second look on */
    uint64_t after_ns;
} stall_reading;

typedef enum stall_verdict {
    STALL_NONE,
    STALL_ASK,      /* it has held the shard as long as the limit: ask for its stack */
    STALL_GOES_ON,  /* for very long: tell it although it is not over */
    STALL_OVER,     /* it was a stall, and is over: tell it */
    STALL_PREEMPTED /* it took as long, and was none */
} stall_verdict;

typedef struct stall_judge {
    uint64_t limit_ns, period_ns;  /* between looks */
    uint64_t last_ns, last_end_ns; /* of the last look: before it, and after */
    uint64_t before_ns;            /* the callback had not begun then */
    uint64_t since_ns;             /* it ran then: of the first look that saw it */
    uint64_t cpu_ns;               /* at the last look */
    bool asleep;                   /* at the last look */
    uint64_t busy_ns;              /* its own doing, as far as it was seen */
    uint64_t counted_ns;           /* the same, as far as looks came in time */
    uint64_t tell_ns;              /* of it, until the next STALL_GOES_ON */
    uint32_t beat;
    bool asked;
} stall_judge;

/* How long it was, when it is told. */
typedef struct stall_held {
    uint64_t held_ns;
    uint64_t waited_ns; /* of it, for a processor */
} stall_held;

void stall_judge_init(stall_judge *j, uint64_t limit_ns);

/* One look. *held is set unless the verdict is STALL_NONE or STALL_ASK. */
stall_verdict stall_judge_look(stall_judge *j, const stall_reading *r, stall_held *held);

/* How long until the next look: short while a stall goes on, so that its length is known well. */
uint64_t stall_judge_next_ns(const stall_judge *j);
