/* The limits that cgroups set for this process.
 *
 * Owns: reading /proc/self/cgroup, /proc/self/mountinfo and the files of the controllers, of
 * version 2 and version 1 alike. The smallest limit of the process's cgroup and all its ancestors
 * counts; what is missing or makes no sense limits nothing. Must not know: processors and their
 * order. Tested by: tests/unit/shard_topology.c (on made-up files). */
#pragma once

#include <stdint.h>

#define CGROUP_UNLIMITED UINT64_MAX

/* How many bytes of memory, or CGROUP_UNLIMITED. Everything is read below the folder `root` ("" for
 * the real machine). Thread: any. Never fails. */
uint64_t cgroup_memory_max(const char *root);

/* How many processes and threads, or CGROUP_UNLIMITED. As cgroup_memory_max. */
uint64_t cgroup_pids_max(const char *root);
