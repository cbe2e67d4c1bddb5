/* The stall detector without threads: what it takes for a stall, and what it says in the log. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "beat.h"
#include "hs_log.h"
#include "stall_judge.h"
#include "stall_tell.h"

#define MS HS_MSEC_NS
#define LIMIT (10 * MS)
#define START (1000 * MS)

/* ---- the judge ---- */

typedef struct watch {
    stall_judge judge;
    stall_reading r;
    stall_held held;
} watch;

static watch watch_of(void)
{
    watch w = {.r = {.now_ns = START, .beat = BEAT_RESTS}};
    stall_judge_init(&w.judge, LIMIT);
    w.r.after_ns = w.r.now_ns;
    cr_assert_eq(stall_judge_look(&w.judge, &w.r, &w.held), STALL_NONE);
    return w;
}

/* `ms` pass, in which the thread runs but for `without_ms`; then a look. */
static stall_verdict look_after(watch *w, uint64_t ms, uint64_t without_ms)
{
    cr_assert_leq(without_ms, ms);
    w->r.now_ns += ms * MS;
    w->r.after_ns = w->r.now_ns;
    w->r.cpu_ns += (ms - without_ms) * MS;
    w->r.asleep = false;
    return stall_judge_look(&w->judge, &w->r, &w->held);
}

/* `ms` pass, and it is seen asleep. */
static stall_verdict asleep_after(watch *w, uint64_t ms)
{
    w->r.now_ns += ms * MS;
    w->r.after_ns = w->r.now_ns;
    w->r.asleep = true;
    return stall_judge_look(&w->judge, &w->r, &w->held);
}

static void next_callback(watch *w)
{
    w->r.beat += 2 - (w->r.beat & BEAT_RESTS);
}

static void rest(watch *w)
{
    w->r.beat |= BEAT_RESTS;
}

Test(stall_judge, a_callback_over_the_limit_is_told_once_when_it_ends)
{
    watch w = watch_of();
    next_callback(&w);
    cr_assert_eq(look_after(&w, 5, 0), STALL_NONE);
    cr_assert_eq(look_after(&w, 5, 0), STALL_NONE);
    cr_assert_eq(look_after(&w, 5, 0), STALL_ASK);
    cr_assert_eq(look_after(&w, 1, 0), STALL_NONE);
    cr_assert_eq(look_after(&w, 1, 0), STALL_NONE);
    rest(&w);
    cr_assert_eq(look_after(&w, 1, 0), STALL_OVER);
    cr_assert_eq(w.held.held_ns, 13 * MS); /* since it was first seen */
    cr_assert_eq(w.held.waited_ns, 0);
    cr_assert_eq(look_after(&w, 5, 0), STALL_NONE);
}

Test(stall_judge, the_start_of_its_turn_tells_more_than_a_look)
{
    for (int i = 0; i < 3; i++) {
        watch w = watch_of();
        next_callback(&w);
        /* Within the gap between two looks; before it, because the turn ran others first; and after
         * it, which cannot be. */
        static const uint64_t turns_ms[] = {2, 0, 9}, held_ms[] = {14, 16, 11};
        w.r.turn_ns = START + turns_ms[i] * MS - (i == 1 ? 7 * MS : 0);
        (void)look_after(&w, 5, 0);
        (void)look_after(&w, 5, 0);
        cr_assert_eq(look_after(&w, 5, 0), STALL_ASK);
        next_callback(&w);
        cr_assert_eq(look_after(&w, 1, 0), STALL_OVER);
        cr_assert_eq(w.held.held_ns, held_ms[i] * MS, "%d: %llu", i,
                     (unsigned long long)w.held.held_ns);
    }
}

Test(stall_judge, many_short_callbacks_are_no_stall)
{
    watch w = watch_of();
    for (int i = 0; i < 1000; i++) {
        next_callback(&w);
        cr_assert_eq(look_after(&w, 5, 0), STALL_NONE);
    }
}

Test(stall_judge, one_below_the_limit_is_none)
{
    watch w = watch_of();
    for (int i = 0; i < 100; i++) {
        next_callback(&w);
        cr_assert_eq(look_after(&w, 5, 0), STALL_NONE);
        cr_assert_eq(look_after(&w, 4, 0), STALL_NONE);
    }
}

Test(stall_judge, a_loop_that_rests_is_none)
{
    watch w = watch_of();
    for (int i = 0; i < 1000; i++)
        cr_assert_eq(look_after(&w, 5, 0), STALL_NONE);
    w.r.beat += 2; /* it was busy in between */
    cr_assert_eq(look_after(&w, 500, 0), STALL_NONE);
    cr_assert_eq(look_after(&w, 500, 0), STALL_NONE);
}

Test(stall_judge, one_that_sleeps_is_one)
{
    watch w = watch_of();
    next_callback(&w);
    (void)look_after(&w, 5, 0);
    cr_assert_eq(asleep_after(&w, 5), STALL_NONE);
    cr_assert_eq(asleep_after(&w, 5), STALL_ASK);
    (void)asleep_after(&w, 1);
    next_callback(&w);
    cr_assert_eq(look_after(&w, 1, 1), STALL_OVER);
    cr_assert_eq(w.held.held_ns, 12 * MS);
    cr_assert_eq(w.held.waited_ns, 0);
}

Test(stall_judge, one_that_sleeps_and_runs_in_turn_is_one)
{
    watch w = watch_of();
    next_callback(&w);
    (void)look_after(&w, 5, 0);
    w.r.cpu_ns += 1 * MS;
    cr_assert_eq(asleep_after(&w, 5), STALL_NONE);
    w.r.cpu_ns += 1 * MS;
    cr_assert_eq(asleep_after(&w, 5), STALL_ASK);
}

Test(stall_judge, a_thread_without_a_processor_is_none)
{
    watch w = watch_of();
    next_callback(&w);
    (void)look_after(&w, 5, 0);
    for (int i = 0; i < 100; i++)
        cr_assert_eq(look_after(&w, 5, 5), STALL_NONE);
    next_callback(&w);
    cr_assert_eq(look_after(&w, 5, 5), STALL_PREEMPTED);
    cr_assert_eq(w.held.held_ns, 505 * MS);
    cr_assert_eq(w.held.waited_ns, 500 * MS);
    /* Told once. */
    next_callback(&w);
    cr_assert_eq(look_after(&w, 5, 5), STALL_NONE);
}

Test(stall_judge, one_that_waited_too_is_one_by_the_rest)
{
    watch w = watch_of();
    next_callback(&w);
    (void)look_after(&w, 5, 0);
    for (int i = 0; i < 3; i++)
        cr_assert_eq(look_after(&w, 5, 2), STALL_NONE);
    cr_assert_eq(look_after(&w, 5, 2), STALL_ASK);
    next_callback(&w);
    cr_assert_eq(look_after(&w, 5, 5), STALL_OVER);
    cr_assert_eq(w.held.held_ns, 25 * MS);
    cr_assert_eq(w.held.waited_ns, 8 * MS);
}

Test(stall_judge, a_machine_that_stood_still_is_none)
{
    watch w = watch_of();
    for (int i = 0; i < 100; i++) {
        next_callback(&w);
        cr_assert_neq(look_after(&w, 5, 0), STALL_ASK);
        /* One look, however late, is one look; whatever the thread's clock makes of the pause. */
        cr_assert_eq(look_after(&w, 60000, i % 2 ? 60000 : 0), STALL_NONE);
    }
}

Test(stall_judge, one_without_end_is_told_ever_more_rarely)
{
    watch w = watch_of();
    uint64_t told_ms[8], told = 0, ms = 0;
    next_callback(&w);
    (void)look_after(&w, 0, 0);
    while (ms < 200000) {
        uint64_t step = stall_judge_next_ns(&w.judge) / MS;
        cr_assert(step >= 1 && step <= 100);
        ms += step;
        if (asleep_after(&w, step) == STALL_GOES_ON && told < HS_ARRAY_LEN(told_ms))
            told_ms[told++] = w.held.held_ns / MS;
    }
    cr_assert_eq(told, 3);
    cr_assert(told_ms[0] >= 1000 && told_ms[0] <= 1040);
    cr_assert(told_ms[1] >= 10000 && told_ms[1] <= 10200);
    cr_assert(told_ms[2] >= 100000 && told_ms[2] <= 100200);
    rest(&w);
    cr_assert_eq(look_after(&w, 1, 1), STALL_OVER);
    cr_assert_eq(w.held.held_ns, (ms + 1) * MS);
}

/* The watchdog, too, may be without a processor: between two looks, and within one. */
Test(stall_judge, what_a_late_look_did_not_see_accuses_nobody)
{
    watch w = watch_of();
    next_callback(&w);
    (void)look_after(&w, 5, 0);
    (void)look_after(&w, 5, 0);
    next_callback(&w);
    cr_assert_eq(look_after(&w, 400, 0), STALL_NONE);

    next_callback(&w);
    w.r.now_ns += 5 * MS;
    w.r.after_ns = w.r.now_ns + 300 * MS; /* the callback may have begun at any time of these */
    cr_assert_eq(stall_judge_look(&w.judge, &w.r, &w.held), STALL_NONE);
    w.r.now_ns = w.r.after_ns;
    (void)look_after(&w, 5, 0);
    next_callback(&w);
    cr_assert_eq(look_after(&w, 1, 0), STALL_NONE);
}

/* What was seen as late counts for its length all the same, if it is a stall. */
Test(stall_judge, a_stall_that_was_seen_late_is_told_as_long_as_it_was)
{
    watch w = watch_of();
    next_callback(&w);
    (void)look_after(&w, 5, 0);
    cr_assert_eq(look_after(&w, 200, 0), STALL_NONE);
    cr_assert_eq(look_after(&w, 5, 0), STALL_ASK);
    next_callback(&w);
    cr_assert_eq(look_after(&w, 300, 0), STALL_OVER);
    cr_assert_eq(w.held.held_ns, 210 * MS); /* after that nobody looked in time */
    cr_assert_eq(w.held.waited_ns, 0);
}

Test(stall_judge, its_length_is_known_to_a_part_of_it)
{
    watch w = watch_of();
    cr_assert_eq(stall_judge_next_ns(&w.judge), LIMIT / 2);
    next_callback(&w);
    (void)look_after(&w, 5, 0);
    (void)look_after(&w, 5, 0);
    cr_assert_eq(stall_judge_next_ns(&w.judge), LIMIT / 2);
    cr_assert_eq(look_after(&w, 5, 0), STALL_ASK);
    cr_assert_eq(stall_judge_next_ns(&w.judge), MS);
    (void)look_after(&w, 640, 0);
    cr_assert_eq(stall_judge_next_ns(&w.judge), (650 * MS) / 64);
}

Test(stall_judge, a_limit_of_one_millisecond_is_one)
{
    watch w = watch_of();
    stall_judge_init(&w.judge, 1);
    cr_assert_eq(stall_judge_next_ns(&w.judge), 1);
    stall_judge_init(&w.judge, MS);
    (void)look_after(&w, 1, 0);
    next_callback(&w);
    (void)look_after(&w, 1, 0);
    (void)look_after(&w, 1, 0);
    cr_assert_eq(look_after(&w, 1, 0), STALL_ASK);
}

/* ---- the line ---- */

typedef struct teller {
    hs_log log;
    stall_tell tell;
    char line[HS_LOG_LINE_BYTES + 1];
} teller;

static uint64_t no_time(void *ctx)
{
    (void)ctx;
    return 0;
}

static void teller_init(teller *t)
{
    cr_assert(hs_ok(hs_log_init(&t->log, hs_mem_system(), 64, 0, no_time, NULL)));
    stall_tell_init(&t->tell, &t->log, 10);
}

/* The next line behind its date, or NULL. */
static const char *next_line(teller *t)
{
    hs_log_line line;
    if (!hs_log_read(&t->log, &line))
        return NULL;
    cr_assert_eq(line.text[line.len - 1], '\n');
    memcpy(t->line, line.text, line.len - 1u);
    t->line[line.len - 1] = '\0';
    const char *text = strchr(t->line, ' ');
    cr_assert_not_null(text);
    return text + 1;
}

static void tell(teller *t, uint64_t at_ms, const char *label, uint64_t held_ms)
{
    stall_report report = {.shard = 3, .label = label, .held_ns = held_ms * MS};
    stall_tell_one(&t->tell, at_ms * MS, &report);
}

Test(stall_tell, a_line_says_what_where_and_how_long)
{
    teller t;
    teller_init(&t);
    tell(&t, 0, "/slow", 213);
    cr_assert_str_eq(next_line(&t), "warn shard=3 stall: /slow held its shard for 213 ms (limit 10 "
                                    "ms); stack: not known");
    void *frames[] = {(char *)(uintptr_t)&hs_log_read + 4, (void *)16};
    stall_report report = {.shard = 0,
                           .goes_on = true,
                           .held_ns = 1000 * MS + 1,
                           .waited_ns = 17 * MS,
                           .frames_len = 2,
                           .frames = frames};
    stall_tell_one(&t.tell, 0, &report);
    cr_assert_str_eq(
        next_line(&t),
        "warn shard=0 stall: (no route) still holds its shard for 1000 ms, 17 ms of it "
        "without a processor (limit 10 ms); stack: hs_log_read+0x4 < 0x10");
    cr_assert_null(next_line(&t));
    hs_log_fini(&t.log);
}

Test(stall_tell, one_line_a_second_for_each_label)
{
    teller t;
    teller_init(&t);
    char same[] = "/slow"; /* labels are compared as texts */
    tell(&t, 5000, "/slow", 20);
    tell(&t, 5100, same, 30);
    tell(&t, 5999, "/slow", 31);
    cr_assert_not_null(next_line(&t));
    cr_assert_null(next_line(&t));
    tell(&t, 5999, "/other", 20);
    tell(&t, 5999, NULL, 20);
    cr_assert_not_null(strstr(next_line(&t), "/other"));
    cr_assert_not_null(strstr(next_line(&t), "(no route)"));
    tell(&t, 6000, "/slow", 44);
    cr_assert_str_eq(next_line(&t),
                     "warn shard=3 stall: /slow held its shard for 44 ms (limit 10 ms) (and 2 more "
                     "since the last line, 61 ms); stack: not known");
    cr_assert_eq(stall_tell_rest(&t.tell, 6001 * MS, false), UINT64_MAX);
    cr_assert_null(next_line(&t));
    hs_log_fini(&t.log);
}

Test(stall_tell, what_was_only_counted_is_told_when_its_second_is_over)
{
    teller t;
    teller_init(&t);
    tell(&t, 1000, "/slow", 20);
    tell(&t, 1500, "/quick", 20);
    for (uint64_t i = 1; i <= 7; i++)
        tell(&t, 1500, "/slow", 20);
    tell(&t, 1600, "/quick", 15);
    cr_assert_not_null(next_line(&t));
    cr_assert_not_null(next_line(&t));
    cr_assert_eq(stall_tell_rest(&t.tell, 1600 * MS, false), 2000 * MS);
    cr_assert_null(next_line(&t));
    cr_assert_eq(stall_tell_rest(&t.tell, 2000 * MS, false), 2500 * MS);
    cr_assert_str_eq(next_line(&t), "warn shard=main stall: /slow held its shard 7 more times, 140 "
                                    "ms together");
    /* That was its line of this second. */
    tell(&t, 2999, "/slow", 20);
    cr_assert_null(next_line(&t));
    cr_assert_eq(stall_tell_rest(&t.tell, 2999 * MS, true), UINT64_MAX);
    cr_assert_not_null(strstr(next_line(&t), "/slow held its shard 1 more times"));
    cr_assert_not_null(strstr(next_line(&t), "/quick held its shard 1 more times"));
    cr_assert_null(next_line(&t));
    hs_log_fini(&t.log);
}

Test(stall_tell, more_labels_than_there_is_room_for_are_counted_together)
{
    static char labels[3 * STALL_LABELS_MAX][16];
    teller t;
    teller_init(&t);
    uint32_t lines = 0;
    for (size_t i = 0; i < HS_ARRAY_LEN(labels); i++) {
        snprintf(labels[i], sizeof labels[i], "/%zu", i);
        tell(&t, 1000, labels[i], 20);
        tell(&t, 1000, labels[i], 20);
        lines += next_line(&t) != NULL;
    }
    cr_assert_eq(lines, STALL_LABELS_MAX);
    (void)stall_tell_rest(&t.tell, 2000 * MS, false);
    uint64_t more = 0;
    for (const char *line; (line = next_line(&t)) != NULL;) {
        const char *at = strstr(line, "its shard ");
        cr_assert_not_null(at);
        more += strtoull(at + strlen("its shard "), NULL, 10);
        lines++;
    }
    cr_assert_eq(lines, 2 * STALL_LABELS_MAX);
    cr_assert_eq(more + STALL_LABELS_MAX, 2 * HS_ARRAY_LEN(labels)); /* none is lost */
    /* And their places are free again. */
    tell(&t, 3000, "/new", 20);
    cr_assert_not_null(next_line(&t));
    hs_log_fini(&t.log);
}

Test(stall_tell, a_stack_is_cut_between_frames)
{
    void *frames[STALL_FRAMES_MAX];
    for (size_t i = 0; i < STALL_FRAMES_MAX; i++)
        frames[i] = (char *)(uintptr_t)&stall_tell_rest + i;
    teller t;
    teller_init(&t);
    stall_report report = {.held_ns = 20 * MS, .frames_len = STALL_FRAMES_MAX, .frames = frames};
    stall_tell_one(&t.tell, 0, &report);
    const char *line = next_line(&t);
    cr_assert_not_null(line);
    cr_assert_not_null(strstr(line, "stall_tell_rest+0x0 < "), "%s", line);
    cr_assert_leq(strlen(line), HS_LOG_LINE_BYTES);
    hs_log_fini(&t.log);
}

Test(stall_tell, without_a_log_nothing_happens)
{
    stall_tell tell_none;
    stall_tell_init(&tell_none, NULL, 10);
    stall_report report = {.held_ns = 20 * MS};
    stall_tell_one(&tell_none, 0, &report);
    stall_tell_one(&tell_none, 0, &report);
    cr_assert_eq(stall_tell_rest(&tell_none, 0, true), UINT64_MAX);
}
