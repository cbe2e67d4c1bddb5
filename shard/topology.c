/* Which processors to put shards on, best first.
 *
 * Owns: the order, and the sum of affinity, cores and CPU limit. Must not know: shards; the cgroup
 * files (cgroup.c). Tested by: tests/unit/shard_topology.c. */
#include "topology.h"

#include <errno.h>
#include <sched.h>
#include <unistd.h>

#include "cgroup.h"
#include "hs_assert.h"

/* Where one processor stands: the order is that of (sibling, row, node). */
typedef struct place {
    uint32_t cpu;
    uint32_t node;
    uint32_t sibling; /* 0: the first thread of its core, 1: the second, ... */
    uint32_t row;     /* how many of its node and sibling number come before it */
} place;

typedef struct places {
    uint32_t len;
    uint32_t cores;
    place at[HS_TOPOLOGY_CPUS_MAX];
} places;

static void places_add(places *all, uint32_t cpu, uint32_t node, uint32_t sibling)
{
    if (all->len == HS_TOPOLOGY_CPUS_MAX)
        return;
    uint32_t row = 0;
    for (uint32_t i = 0; i < all->len; i++) {
        HS_ASSERT(all->at[i].cpu != cpu);
        if (all->at[i].node == node && all->at[i].sibling == sibling)
            row++;
    }
    all->at[all->len++] = (place){.cpu = cpu, .node = node, .sibling = sibling, .row = row};
    if (sibling == 0)
        all->cores++;
}

static bool place_before(const place *a, const place *b)
{
    if (a->sibling != b->sibling)
        return a->sibling < b->sibling;
    if (a->row != b->row)
        return a->row < b->row;
    return a->node < b->node;
}

/* Insertion: a thousand at most, once at start, nearly sorted on most machines; and qsort may take
 * memory from the heap. */
static void places_sort(places *all)
{
    for (uint32_t i = 1; i < all->len; i++) {
        place moved = all->at[i];
        uint32_t to = i;
        for (; to > 0 && place_before(&moved, &all->at[to - 1]); to--)
            all->at[to] = all->at[to - 1];
        all->at[to] = moved;
    }
}

static uint32_t numa_node_of(hwloc_obj_t pu)
{
    int first = pu->nodeset ? hwloc_bitmap_first(pu->nodeset) : -1;
    return first < 0 ? 0 : (uint32_t)first;
}

/* Take the processors that the machine's description knows; a core's threads are neighbours in
 * hwloc's logical order, so the sibling number counts up while the core stays the same. */
static void places_of_machine(places *all, hwloc_topology_t machine, const topology_mask *mask,
                              topology_mask *seen)
{
    hwloc_obj_t core_before = NULL;
    uint32_t siblings = 0;
    hwloc_obj_t pu = NULL;
    while ((pu = hwloc_get_next_obj_by_type(machine, HWLOC_OBJ_PU, pu)) != NULL) {
        if (!topology_mask_has(mask, pu->os_index) || topology_mask_has(seen, pu->os_index))
            continue;
        hwloc_obj_t core = hwloc_get_ancestor_obj_by_type(machine, HWLOC_OBJ_CORE, pu);
        siblings = core && core == core_before ? siblings + 1 : 0;
        core_before = core;
        topology_mask_add(seen, pu->os_index);
        places_add(all, pu->os_index, numa_node_of(pu), siblings);
    }
}

static uint32_t count_nodes(const places *all)
{
    uint32_t nodes = 0;
    for (uint32_t i = 0; i < all->len; i++) {
        uint32_t before = 0;
        while (before < i && all->at[before].node != all->at[i].node)
            before++;
        nodes += before == i;
    }
    return nodes;
}

void topology_order(hwloc_topology_t machine, const topology_mask *mask, hs_topology *out)
{
    HS_ASSERT(mask != NULL);
    HS_ASSERT(out != NULL);
    places all = {.len = 0};
    topology_mask seen = {{0}};
    if (machine)
        places_of_machine(&all, machine, mask, &seen);
    for (uint32_t cpu = 0; cpu < TOPOLOGY_MASK_BITS; cpu++)
        if (topology_mask_has(mask, cpu) && !topology_mask_has(&seen, cpu))
            places_add(&all, cpu, 0, 0);
    places_sort(&all);

    out->cpus_len = all.len;
    out->cores = all.cores;
    out->numa_nodes = count_nodes(&all);
    for (uint32_t i = 0; i < all.len; i++) {
        out->cpus[i] = all.at[i].cpu;
        out->nodes[i] = all.at[i].node;
    }
    HS_ASSERT(out->cores <= out->cpus_len);
    HS_ASSERT(out->numa_nodes <= out->cpus_len);
}

/* A description with cores, memory nodes and processors alone: caches and devices would only cost
 * time. *out is NULL where the machine cannot be described. */
static hs_err machine_load(hwloc_topology_t *out)
{
    *out = NULL;
    hwloc_topology_t machine;
    if (hwloc_topology_init(&machine) != 0)
        return hs_err_of(-ENOMEM);
    (void)hwloc_topology_set_all_types_filter(machine, HWLOC_TYPE_FILTER_KEEP_NONE);
    (void)hwloc_topology_set_type_filter(machine, HWLOC_OBJ_CORE, HWLOC_TYPE_FILTER_KEEP_ALL);
    if (hwloc_topology_load(machine) != 0) {
        int error = errno;
        hwloc_topology_destroy(machine);
        return error == ENOMEM ? hs_err_of(-ENOMEM) : HS_OK;
    }
    *out = machine;
    return HS_OK;
}

static uint64_t memory_of_machine(void)
{
    long pages = sysconf(_SC_PHYS_PAGES), page = sysconf(_SC_PAGESIZE);
    return pages > 0 && page > 0 ? (uint64_t)pages * (uint64_t)page : CGROUP_UNLIMITED;
}

hs_err hs_topology_read(hs_topology *out)
{
    HS_ASSERT(out != NULL);
    topology_mask mask = {{0}};
    bool known = sched_getaffinity(0, sizeof(mask), (cpu_set_t *)(void *)&mask) == 0;
    /* Where it is denied we have the processor we are on. */
    if (!known) {
        int cpu = sched_getcpu();
        topology_mask_add(&mask, cpu < 0 || cpu >= TOPOLOGY_MASK_BITS ? 0 : (uint32_t)cpu);
    }
    hwloc_topology_t machine = NULL;
    if (known) /* or hwloc asks for ever */
        HS_TRY(machine_load(&machine));
    *out = (hs_topology){.cpus_len = 0};
    topology_order(machine, &mask, out);
    if (machine)
        hwloc_topology_destroy(machine);
    HS_ASSERT(out->cpus_len > 0);

    out->quota_cpus = topology_quota("");
    out->memory_bytes = HS_MIN(cgroup_memory_max(""), memory_of_machine());
    out->usable = out->cpus_len;
    if (out->quota_cpus > 0)
        out->usable = HS_MIN(out->usable, out->quota_cpus);
    HS_ASSERT(out->usable >= 1 && out->usable <= out->cpus_len);
    return HS_OK;
}
