/* What is due on a shard: tasks, and timers.
 *
 * Owns: both queues, and how much of them one turn runs. Must not know: what else a turn does
 * (loop.c), so that whatever the loop calls may use them. Tested by: tests/unit/shard_loop.c. */
#include "inside.h"

/* ---- tasks ---- */

static void post(task_queue *queue, hs_task *task, hs_task_fn *fn)
{
    HS_ASSERT(fn != NULL);
    HS_ASSERT(task->fn == NULL);
    task->fn = fn;
    task->next = NULL;
    if (queue->last)
        queue->last->next = task;
    else
        queue->first = task;
    queue->last = task;
}

void hs_task_post(hs_shard *s, hs_task *task, hs_task_fn *fn)
{
    HS_ASSERT(s == hs_shard_self());
    post(&s->tasks, task, fn);
}

void hs_task_post_next_turn(hs_shard *s, hs_task *task, hs_task_fn *fn)
{
    HS_ASSERT(s == hs_shard_self());
    post(&s->tasks_next, task, fn);
}

static bool withdraw(task_queue *queue, hs_task *task)
{
    hs_task *before = NULL;
    for (hs_task **at = &queue->first; *at; before = *at, at = &before->next) {
        if (*at != task)
            continue;
        *at = task->next;
        if (queue->last == task)
            queue->last = before;
        task->next = NULL;
        task->fn = NULL;
        return true;
    }
    return false;
}

void hs_task_cancel(hs_shard *s, hs_task *task)
{
    HS_ASSERT(s == hs_shard_self());
    if (task->fn && !withdraw(&s->tasks, task))
        withdraw(&s->tasks_next, task);
}

void due_tasks_next(hs_shard *s)
{
    HS_ASSERT(s->tasks_next.first);
    if (s->tasks.last)
        s->tasks.last->next = s->tasks_next.first;
    else
        s->tasks.first = s->tasks_next.first;
    s->tasks.last = s->tasks_next.last;
    s->tasks_next = (task_queue){0};
}

/* Run what is ready, and what that makes ready, up to the turn's bound. */
void due_tasks_run(hs_shard *s)
{
    for (uint32_t n = 0; s->tasks.first && n < HS_TURN_TASKS_MAX; n++) {
        hs_task *task = s->tasks.first;
        hs_task_fn *fn = task->fn;
        s->tasks.first = task->next;
        if (!s->tasks.first)
            s->tasks.last = NULL;
        task->next = NULL;
        task->fn = NULL;
        fn(task);
        callback_over(s);
    }
}

/* ---- timers ---- */

hs_err hs_timer_set(hs_shard *s, hs_timer *timer, uint64_t deadline_ns, hs_timer_fn *fn)
{
    HS_ASSERT(s == hs_shard_self());
    HS_ASSERT(fn != NULL);
    timer->fn = fn;
    if (!hs_heap_has(&timer->node))
        return hs_heap_add(&s->timers, &timer->node, deadline_ns);
    hs_heap_move(&s->timers, &timer->node, deadline_ns);
    return HS_OK;
}

hs_err hs_timer_after(hs_shard *s, hs_timer *timer, uint64_t after_ms, hs_timer_fn *fn)
{
    uint64_t room_ms = (UINT64_MAX - s->now_ns) / HS_MSEC_NS;
    return hs_timer_set(s, timer, s->now_ns + HS_MIN(after_ms, room_ms) * HS_MSEC_NS, fn);
}

void hs_timer_cancel(hs_shard *s, hs_timer *timer)
{
    HS_ASSERT(s == hs_shard_self());
    hs_heap_cancel(&s->timers, &timer->node);
}

void due_timers_run(hs_shard *s)
{
    for (uint32_t n = 0; n < HS_TURN_TIMERS_MAX; n++) {
        hs_heap_node *node = hs_heap_pop(&s->timers, s->now_ns);
        if (!node)
            return;
        hs_timer *timer = HS_CONTAINER_OF(node, hs_timer, node);
        timer->fn(timer);
        callback_over(s);
    }
}
