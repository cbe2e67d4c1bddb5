/* Microtasks: what runs as soon as the callback under way has returned.
 *
 * Owns: their queue, and the bound on how many a turn runs. Must not know: promises. The loop looks
 * at the queue after each callback; they never run inside one another, so the stack stays short.
 * Tested by: tests/unit/shard_micro.c. */
#include "inside.h"

void hs_microtask_post(hs_shard *s, hs_microtask *task, hs_microtask_fn *fn)
{
    HS_ASSERT(s == hs_shard_self());
    HS_ASSERT(fn != NULL);
    HS_ASSERT(task->fn == NULL);
    task->fn = fn;
    hs_list_init(&task->link);
    hs_list_push_back(&s->microtasks, &task->link);
}

void hs_microtask_cancel(hs_microtask *task)
{
    if (!task->fn)
        return;
    task->fn = NULL;
    hs_list_remove(&task->link);
}

/* Tell the log, once a second at most. */
static HS_COLD void tell_too_many(hs_shard *s)
{
    if (s->micro_warned_ns && s->now_ns - s->micro_warned_ns < HS_SEC_NS)
        return;
    s->micro_warned_ns = s->now_ns;
    hs_log_write(s->log, HS_LOG_WARN,
                 "more than %u microtasks in one turn: the rest waits for the next; a chain of "
                 "promises that never ends?",
                 HS_TURN_MICROTASKS_MAX);
}

void microtasks_run(hs_shard *s)
{
    while (!hs_list_empty(&s->microtasks)) {
        if (HS_UNLIKELY(s->micro_left == 0)) {
            tell_too_many(s);
            return;
        }
        s->micro_left--;
        hs_list *first = s->microtasks.next;
        hs_microtask *task = HS_CONTAINER_OF(first, hs_microtask, link);
        hs_microtask_fn *fn = task->fn;
        HS_ASSERT(fn != NULL);
        task->fn = NULL;
        hs_list_remove(first);
        fn(task);
        beat_step(&s->beat);
    }
}
