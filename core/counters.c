/* Counters.
 *
 * Owns: the table. One shard writes, so a count is a load and a store, not a locked addition; both
 * are relaxed, since a reader wants a number and no order. Must not know: what is counted.
 * Tested by: tests/unit/core_counters.c. */
#include "hs_counters.h"

#include <string.h>

#include "hs_assert.h"

void hs_counters_init(hs_counters *c)
{
    HS_ASSERT(c);
    memset(c, 0, sizeof(*c));
}

/* How many counters there are; the names of these may be read. */
static uint32_t counters_len(const hs_counters *c)
{
    uint32_t len = atomic_load_explicit(&c->len, memory_order_acquire);
    HS_ASSERT(len <= HS_COUNTERS_MAX);
    return len;
}

/* The number of the counter `name`, or `len` where there is none. */
static uint32_t counter_find(const hs_counters *c, uint32_t len, const char *name)
{
    uint32_t id = 0;
    while (id < len && strcmp(c->names[id], name) != 0)
        id++;
    return id;
}

hs_err hs_counters_register(hs_counters *c, const char *name, uint32_t *id)
{
    HS_ASSERT(name && id);
    uint32_t len = counters_len(c), found = counter_find(c, len, name);
    if (found == len) {
        HS_ENSURE(len < HS_COUNTERS_MAX, HS_E_LIMIT);
        c->names[len] = name;
        atomic_store_explicit(&c->len, len + 1, memory_order_release);
    }
    *id = found;
    return HS_OK;
}

void hs_count(hs_counters *c, uint32_t id, uint64_t n)
{
    HS_ASSERT(id < atomic_load_explicit(&c->len, memory_order_relaxed));
    uint64_t value = atomic_load_explicit(&c->values[id], memory_order_relaxed);
    atomic_store_explicit(&c->values[id], value + n, memory_order_relaxed);
}

uint64_t hs_counters_value(const hs_counters *c, uint32_t id)
{
    HS_ASSERT(id < atomic_load_explicit(&c->len, memory_order_relaxed));
    return atomic_load_explicit(&c->values[id], memory_order_relaxed);
}

uint64_t hs_counters_find(const hs_counters *c, const char *name)
{
    HS_ASSERT(name);
    uint32_t len = counters_len(c), id = counter_find(c, len, name);
    return id < len ? hs_counters_value(c, id) : 0;
}
