/* The machine, as far as placing shards needs it.
 *
 * Owns: the list of processors that this process may use, best first. Must not know: shards.
 * Tested by: tests/unit/shard_topology.c (on synthetic machines and made-up cgroup files). */
#pragma once

#include "hs_err.h"

HS_BEGIN_DECLS

#define HS_TOPOLOGY_CPUS_MAX 1024

typedef struct hs_topology {
    uint32_t cpus_len;   /* processors in the affinity mask */
    uint32_t cores;      /* physical cores among them */
    uint32_t numa_nodes; /* memory nodes among them */
    uint32_t quota_cpus; /* of cgroup cpu.max, rounded up; 0: no limit */
    uint64_t memory_bytes; /* of the machine, or of cgroup memory.max where that is less */
    uint32_t usable;     /* how many shards to start: min(cpus_len, quota_cpus), at least 1 */
    /* Processors (kernel numbers), in the order in which shards should take them: one of each
     * physical core first, spread evenly over the memory nodes, then their siblings. */
    uint32_t cpus[HS_TOPOLOGY_CPUS_MAX];
    uint32_t nodes[HS_TOPOLOGY_CPUS_MAX]; /* the memory node of each */
} hs_topology;

/* Look at the machine: affinity mask, cores and memory nodes (hwloc), and the CPU limit of the
 * process's cgroup and its ancestors (version 2, and version 1's cpu.cfs_quota_us).
 * Thread: any, before threads are pinned. Errors: -ENOMEM; where the machine tells nothing the
 * affinity mask alone decides, and that is no error. */
HS_API HS_NODISCARD hs_err hs_topology_read(hs_topology *out);

HS_END_DECLS
