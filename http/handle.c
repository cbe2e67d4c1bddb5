/* Handles of requests. See handle.h. */
#include "handle.h"

#include <errno.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

#include "hs_log.h"

__thread handle_table *handle_here;
__thread handle_recent handle_last;

hs_err handle_open(const hs_mem *mem)
{
    static atomic_uint ids;
    if (handle_here) {
        handle_here->servers++;
        return HS_OK;
    }
    handle_table *t = hs_mem_take_zero(mem, sizeof *t, 16);
    HS_ENSURE(t, -ENOMEM);
    do
        t->id = (uint16_t)(atomic_fetch_add(&ids, 1) + 1);
    while (t->id == 0);
    t->mem = mem;
    t->servers = 1;
    handle_here = t;
    return HS_OK;
}

void handle_close(void)
{
    handle_table *t = handle_here;
    HS_ASSERT(t && t->servers > 0);
    if (--t->servers > 0)
        return;
    handle_here = NULL;
    handle_last.handle = 0;
    for (uint32_t i = 0; i < HS_ARRAY_LEN(t->blocks) && t->blocks[i]; i++)
        hs_mem_give(t->mem, t->blocks[i], HANDLE_BLOCK * sizeof(handle_entry), 16);
    hs_mem_give(t->mem, t, sizeof *t, 16);
}

/* An entry that was never used. */
static handle_entry *fresh_entry(handle_table *t)
{
    uint32_t block = t->len / HANDLE_BLOCK;
    if (t->len == HANDLE_ENTRIES_MAX)
        return NULL;
    if (!t->blocks[block])
        t->blocks[block] = hs_mem_take_zero(t->mem, HANDLE_BLOCK * sizeof(handle_entry), 16);
    if (!t->blocks[block])
        return NULL;
    handle_entry *e = &t->blocks[block][t->len % HANDLE_BLOCK];
    e->handle = (uint64_t)t->id << (HANDLE_ENTRY_BITS + HANDLE_USE_BITS) |
                (uint64_t)t->len << HANDLE_USE_BITS | 1;
    t->len++;
    return e;
}

handle_entry *handle_acquire(h1_session *session)
{
    handle_table *t = handle_here;
    HS_ASSERT(t != NULL && session != NULL);
    handle_entry *e = t->free;
    if (e)
        t->free = e->free_next;
    else
        e = fresh_entry(t);
    if (e) {
        e->session = session;
        e->label = NULL;
    }
    return e;
}

/* Its handle goes on from where it is. */
void handle_release(handle_entry *entry)
{
    handle_table *t = handle_here;
    HS_ASSERT(t != NULL && entry->session != NULL);
    entry->session = NULL;
    entry->free_next = t->free;
    t->free = entry;
}

/* After 2^30 requests: 32 bytes stay out of use, so that no handle ever comes again. */
handle_entry *handle_replace(handle_entry *entry)
{
    h1_session *session = entry->session;
    entry->session = NULL;
    entry->handle = 0;
    return handle_acquire(session);
}

void handle_report(const char *label, const char *what)
{
    handle_table *t = handle_here;
    label = label ? label : "a request";
    for (uint32_t i = 0; i < t->reported_len; i++)
        if (strcmp(t->reported[i], label) == 0)
            return;
    if (t->reported_len == HS_ARRAY_LEN(t->reported))
        return;
    t->reported[t->reported_len++] = label;
    hs_shard *shard = hs_shard_self();
    hs_log_write(shard ? hs_shard_log(shard) : NULL, HS_LOG_ERROR,
                 "%s: %s; the call was dropped (reported once for each route)", label, what);
}

/* Such a thread has no log of its own. */
static void report_foreign(void)
{
    static atomic_flag reported = ATOMIC_FLAG_INIT;
    static const char line[] = "httpshard: a request or response was used on a thread that does "
                               "not serve it; the call was dropped (hs_call brings work to its "
                               "shard)\n";
    if (atomic_flag_test_and_set(&reported))
        return;
    ssize_t n = write(STDERR_FILENO, line, sizeof line - 1);
    (void)n;
}

static uint16_t table_of(uint64_t handle)
{
    return (uint16_t)(handle >> (HANDLE_ENTRY_BITS + HANDLE_USE_BITS));
}

h1_session *handle_find(uint64_t handle)
{
    const handle_table *t = handle_here;
    if (!t || table_of(handle) != t->id) {
        report_foreign();
        return NULL;
    }
    uint32_t at = (uint32_t)(handle >> HANDLE_USE_BITS) & (HANDLE_ENTRIES_MAX - 1);
    const handle_entry *e = at < t->len ? &t->blocks[at / HANDLE_BLOCK][at % HANDLE_BLOCK] : NULL;
    if (e && e->session && e->handle == handle)
        return e->session;
    handle_report(e && e->session && e->handle == handle + 1 ? e->label : NULL,
                  "a request or response was used after its end");
    return NULL;
}
