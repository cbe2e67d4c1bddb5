/* The queue, the log and the counters between two real threads, also under TSan: what one thread
 * wrote before it pushed is what the other reads after it popped, in order, and nothing is lost. */
#include <inttypes.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>

#include "hs_assert.h"
#include "hs_counters.h"
#include "hs_log.h"
#include "hs_span.h"

typedef struct message {
    uint64_t number;
    uint64_t *shared; /* plain memory that travels with the message */
    uint64_t check;
} message;

enum { SHARED = 1024 };

typedef struct run {
    hs_spsc queue;
    uint64_t messages;
    uint32_t batch;
    uint64_t shared[SHARED];
} run;

static uint64_t mix(uint64_t n)
{
    return n * UINT64_C(0x9e3779b97f4a7c15) ^ n >> 7;
}

static void *produce(void *arg)
{
    run *r = arg;
    for (uint64_t n = 0; n < r->messages; n++) {
        message m = {n, &r->shared[n % SHARED], mix(n)};
        /* Not atomic: the queue alone orders this with what the consumer does to it. A queue of at
         * most SHARED / 2 has handed this one's last message over long ago. */
        *m.shared = n;
        while (!hs_spsc_push(&r->queue, &m))
            sched_yield();
    }
    return NULL;
}

static void *consume(void *arg)
{
    run *r = arg;
    message items[64];
    uint64_t next = 0;
    while (next < r->messages) {
        uint32_t n = hs_spsc_pop(&r->queue, items, r->batch);
        HS_ASSERT(n <= r->batch);
        for (uint32_t i = 0; i < n; i++, next++) {
            HS_ASSERT(items[i].number == next);
            HS_ASSERT(items[i].check == mix(next));
        }
        if (n == 0)
            sched_yield();
    }
    HS_ASSERT(hs_spsc_empty(&r->queue));
    return NULL;
}

/* The same, one by one, looking at the memory that the message points to before the next pop. */
static void *consume_shared(void *arg)
{
    run *r = arg;
    message m;
    for (uint64_t next = 0; next < r->messages; next++) {
        while (hs_spsc_empty(&r->queue))
            sched_yield();
        uint32_t n = hs_spsc_pop(&r->queue, &m, 1);
        HS_ASSERT(n == 1);
        HS_ASSERT(m.number == next);
        HS_ASSERT(*m.shared == next);
    }
    return NULL;
}

static void both(void *(*one)(void *), void *(*other)(void *), void *arg)
{
    pthread_t threads[2];
    void *(*sides[2])(void *) = {one, other};
    for (int i = 0; i < 2; i++) {
        int failed = pthread_create(&threads[i], NULL, sides[i], arg);
        HS_ASSERT(!failed);
    }
    for (int i = 0; i < 2; i++) {
        int failed = pthread_join(threads[i], NULL);
        HS_ASSERT(!failed);
    }
}

static void queue_run(uint32_t capacity, uint32_t batch, uint64_t messages)
{
    static run r;
    r.messages = messages;
    r.batch = batch;
    hs_err e = hs_spsc_init(&r.queue, hs_mem_system(), capacity, sizeof(message));
    HS_ASSERT(hs_ok(e));
    both(produce, batch == 1 ? consume_shared : consume, &r);
    hs_spsc_fini(&r.queue);
    printf("queue of %" PRIu32 ", batches of %" PRIu32 ": %" PRIu64 " messages in order\n",
           capacity, batch, messages);
}

enum { LINES = 20000 };

typedef struct log_run {
    hs_log log;
    hs_counters counters;
    uint32_t id;
    _Atomic(bool) ended;
} log_run;

static uint64_t clock_zero(void *ctx)
{
    (void)ctx;
    return 0;
}

static void *log_lines(void *arg)
{
    log_run *r = arg;
    for (uint32_t i = 0; i < LINES; i++) {
        hs_log_write(&r->log, HS_LOG_INFO, "%u", i);
        hs_count(&r->counters, r->id, 1);
        if (i % 64 == 0)
            sched_yield();
    }
    atomic_store_explicit(&r->ended, true, memory_order_release);
    return NULL;
}

/* Read all lines: their numbers rise, and each gap is as wide as the line behind it says. */
static void *read_lines(void *arg)
{
    log_run *r = arg;
    uint64_t next = 0, missing_in_all = 0, counted = 0;
    bool ended = false;
    for (;;) {
        uint64_t now = hs_counters_value(&r->counters, r->id);
        HS_ASSERT(now >= counted); /* a counter never goes back */
        counted = now;
        hs_log_line line;
        if (!hs_log_read(&r->log, &line)) {
            if (ended)
                break;
            ended = atomic_load_explicit(&r->ended, memory_order_acquire);
            continue;
        }
        line.text[line.len - 1] = '\0';
        const char *text = strstr(line.text, "shard=0 ");
        HS_ASSERT(text);
        uint64_t missing = 0, number = 0;
        bool found =
            sscanf(text, "shard=0 (%" SCNu64 " lines missing) %" SCNu64, &missing, &number) == 2 ||
            sscanf(text, "shard=0 %" SCNu64, &number) == 1;
        HS_ASSERT(found);
        HS_ASSERT(number == next + missing);
        missing_in_all += missing;
        next = number + 1;
    }
    HS_ASSERT(counted == LINES);
    HS_ASSERT(next + r->log.dropped == LINES); /* the writer has ended: its side may be read */
    HS_ASSERT(missing_in_all + r->log.dropped == r->log.dropped_total);
    printf("log: %d lines, %" PRIu64 " dropped, all accounted for\n", (int)LINES,
           r->log.dropped_total);
    return NULL;
}

static void log_both(void)
{
    static log_run r;
    hs_err e = hs_log_init(&r.log, hs_mem_system(), 64, 0, clock_zero, NULL);
    HS_ASSERT(hs_ok(e));
    hs_counters_init(&r.counters);
    e = hs_counters_register(&r.counters, "lines", &r.id);
    HS_ASSERT(hs_ok(e));
    both(log_lines, read_lines, &r);
    hs_log_fini(&r.log);
}

int main(void)
{
    queue_run(2, 64, 50000);
    queue_run(64, 7, 300000);
    queue_run(512, 64, 300000);
    queue_run(16, 1, 50000);
    queue_run(512, 1, 200000);
    log_both();
    return EXIT_SUCCESS;
}
