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

/* The number of the counter `name`, or `len` where there is none. */
static uint32_t counter_find(const hs_counters *c, const char *name)
{
    HS_ASSERT(c->len <= HS_COUNTERS_MAX);
    uint32_t id = 0;
    while (id < c->len && strcmp(c->names[id], name) != 0)
        id++;
    return id;
}

hs_err hs_counters_register(hs_counters *c, const char *name, uint32_t *id)
{
    HS_ASSERT(name && id);
    uint32_t found = counter_find(c, name);
    if (found == c->len) {
        HS_ENSURE(c->len < HS_COUNTERS_MAX, HS_E_LIMIT);
        c->names[c->len] = name;
        c->len++;
    }
    *id = found;
    return HS_OK;
}

void hs_count(hs_counters *c, uint32_t id, uint64_t n)
{
    HS_ASSERT(id < c->len);
    uint64_t value = atomic_load_explicit(&c->values[id], memory_order_relaxed);
    atomic_store_explicit(&c->values[id], value + n, memory_order_relaxed);
}

uint64_t hs_counters_value(const hs_counters *c, uint32_t id)
{
    HS_ASSERT(id < c->len);
    return atomic_load_explicit(&c->values[id], memory_order_relaxed);
}

uint64_t hs_counters_find(const hs_counters *c, const char *name)
{
    HS_ASSERT(name);
    uint32_t id = counter_find(c, name);
    return id < c->len ? hs_counters_value(c, id) : 0;
}
