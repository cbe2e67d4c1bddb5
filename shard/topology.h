/* The pure parts of reading the machine, apart so that tests can feed them made-up input.
 *
 * Owns: the set of processors in the kernel's layout, and the two questions asked of the machine:
 * in which order to take them, and how much time the cgroups grant. Must not know: shards, threads.
 * Tested by: tests/unit/shard_topology.c. */
#pragma once

#include <hwloc.h>

#include "hs_topology.h"

/* The kernel refuses an affinity buffer smaller than its own mask; distributions build for up to
 * 8192 processors. */
#define TOPOLOGY_MASK_BITS 8192

typedef struct topology_mask {
    uint64_t words[TOPOLOGY_MASK_BITS / 64];
} topology_mask;

/* Whether processor `cpu` is in the mask. Thread: any. */
static inline bool topology_mask_has(const topology_mask *mask, uint32_t cpu)
{
    return cpu < TOPOLOGY_MASK_BITS && ((mask->words[cpu / 64] >> (cpu % 64)) & 1) != 0;
}

/* Put processor `cpu` (below TOPOLOGY_MASK_BITS) into the mask. Thread: any. */
static inline void topology_mask_add(topology_mask *mask, uint32_t cpu)
{
    mask->words[cpu / 64] |= UINT64_C(1) << (cpu % 64);
}

/* Fill cpus, nodes, cpus_len, cores and numa_nodes of *out with the processors of `mask`, in the
 * order that hs_topology describes. `machine` may be NULL (nothing is known of the machine), and
 * may miss processors of the mask: each of those counts as a core of its own on node 0. Beyond
 * HS_TOPOLOGY_CPUS_MAX processors the rest is left out. Thread: any. Never fails. */
void topology_order(hwloc_topology_t machine, const topology_mask *mask, hs_topology *out);

/* How many processors' time the cgroups of the calling process grant, rounded up; 0: no limit.
 * The smallest grant of its cgroup and all ancestors counts, version 2 (cpu.max) and version 1
 * (cpu.cfs_quota_us) alike. Everything is read below the folder `root` ("" for the real machine):
 * <root>/proc/self/cgroup, <root>/proc/self/mountinfo and the mount points named there. What is
 * missing or makes no sense limits nothing. Thread: any. Never fails. */
uint32_t topology_quota(const char *root);
