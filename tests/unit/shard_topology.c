/* Placing shards: on synthetic machines and made-up cgroup files. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cgroup.h"
#include "topology.h"

/* ---- the order, on machines that hwloc makes up ---- */

static hs_topology order_of(const char *machine_text, const topology_mask *mask)
{
    hwloc_topology_t machine;
    cr_assert(eq(int, hwloc_topology_init(&machine), 0));
    cr_assert(eq(int, hwloc_topology_set_synthetic(machine, machine_text), 0));
    cr_assert(eq(int, hwloc_topology_load(machine), 0));
    hs_topology out = {.cpus_len = 0};
    topology_order(machine, mask, &out);
    hwloc_topology_destroy(machine);
    return out;
}

static topology_mask mask_of_first(uint32_t cpus)
{
    topology_mask mask = {{0}};
    for (uint32_t i = 0; i < cpus; i++)
        topology_mask_add(&mask, i);
    return mask;
}

static void expect_cpus(const hs_topology *got, const uint32_t *cpus, uint32_t len)
{
    cr_assert(eq(u32, got->cpus_len, len));
    for (uint32_t i = 0; i < len; i++)
        cr_expect(eq(u32, got->cpus[i], cpus[i]), "at place %u", i);
}

#define EXPECT_CPUS(got, ...)                                                                      \
    do {                                                                                           \
        const uint32_t want[] = {__VA_ARGS__};                                                     \
        expect_cpus(got, want, HS_ARRAY_LEN(want));                                                \
    } while (0)

Test(topology_order, physical_cores_come_before_their_siblings)
{
    topology_mask mask = mask_of_first(8);
    hs_topology got = order_of("core:4 pu:2", &mask);
    EXPECT_CPUS(&got, 0, 2, 4, 6, 1, 3, 5, 7);
    cr_expect(eq(u32, got.cores, 4));
    cr_expect(eq(u32, got.numa_nodes, 1));
}

Test(topology_order, kernel_numbers_are_what_counts)
{
    /* As Linux numbers most machines: the siblings follow after all cores. */
    topology_mask mask = mask_of_first(8);
    hs_topology got = order_of("core:4 pu:2(indexes=0,4,1,5,2,6,3,7)", &mask);
    EXPECT_CPUS(&got, 0, 1, 2, 3, 4, 5, 6, 7);
    cr_expect(eq(u32, got.cores, 4));
}

Test(topology_order, cores_spread_over_memory_nodes)
{
    topology_mask mask = mask_of_first(8);
    hs_topology got = order_of("pack:2 [numa] core:2 pu:2", &mask);
    EXPECT_CPUS(&got, 0, 4, 2, 6, 1, 5, 3, 7);
    const uint32_t nodes[] = {0, 1, 0, 1, 0, 1, 0, 1};
    for (uint32_t i = 0; i < HS_ARRAY_LEN(nodes); i++)
        cr_expect(eq(u32, got.nodes[i], nodes[i]), "at place %u", i);
    cr_expect(eq(u32, got.numa_nodes, 2));
    cr_expect(eq(u32, got.cores, 4));
}

Test(topology_order, the_affinity_mask_is_respected)
{
    topology_mask mask = {{0}};
    topology_mask_add(&mask, 1); /* the second thread of core 0, alone: a core of its own */
    topology_mask_add(&mask, 4);
    topology_mask_add(&mask, 5);
    topology_mask_add(&mask, 7);
    hs_topology got = order_of("pack:2 [numa] core:2 pu:2", &mask);
    EXPECT_CPUS(&got, 1, 4, 7, 5);
    cr_expect(eq(u32, got.cores, 3));
    cr_expect(eq(u32, got.numa_nodes, 2));
}

Test(topology_order, uneven_nodes_are_taken_to_the_end)
{
    topology_mask mask = {{0}};
    for (uint32_t cpu = 0; cpu < 6; cpu++)
        if (cpu != 1 && cpu != 2)
            topology_mask_add(&mask, cpu);
    hs_topology got = order_of("pack:2 [numa] core:3 pu:1", &mask);
    EXPECT_CPUS(&got, 0, 3, 4, 5);
}

Test(topology_order, processors_unknown_to_the_machine_are_kept)
{
    topology_mask mask = mask_of_first(2);
    topology_mask_add(&mask, 77);
    hs_topology got = order_of("core:2 pu:1", &mask);
    EXPECT_CPUS(&got, 0, 1, 77);
    cr_expect(eq(u32, got.cores, 3));
}

Test(topology_order, without_a_machine_the_mask_alone_decides)
{
    topology_mask mask = {{0}};
    topology_mask_add(&mask, 3);
    topology_mask_add(&mask, 9);
    hs_topology got = {.cpus_len = 0};
    topology_order(NULL, &mask, &got);
    EXPECT_CPUS(&got, 3, 9);
    cr_expect(eq(u32, got.cores, 2));
    cr_expect(eq(u32, got.numa_nodes, 1));
}

Test(topology_order, a_machine_larger_than_the_table_is_cut)
{
    topology_mask mask = mask_of_first(1200);
    hs_topology got = order_of("pack:2 [numa] core:600 pu:1", &mask);
    cr_expect(eq(u32, got.cpus_len, HS_TOPOLOGY_CPUS_MAX));
    cr_expect(eq(u32, got.cpus[0], 0));
    cr_expect(eq(u32, got.cpus[1], 600));
}

/* ---- the quota, on made-up files below a temporary folder ---- */

static char root[] = "/tmp/hs-topology-XXXXXX";

static void root_make(void)
{
    cr_assert(ne(ptr, mkdtemp(root), NULL));
}

static int root_remove(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
    (void)st, (void)flag, (void)ftw;
    return remove(path);
}

static void root_drop(void)
{
    (void)nftw(root, root_remove, 8, FTW_DEPTH | FTW_PHYS);
}

/* Write `text` to the file `path` below the root, and make the folders that it needs. */
static void put(const char *path, const char *text)
{
    char full[512];
    (void)snprintf(full, sizeof(full), "%s%s", root, path);
    for (char *slash = strchr(full + strlen(root) + 1, '/'); slash;
         slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        cr_assert(mkdir(full, 0700) == 0 || errno == EEXIST);
        *slash = '/';
    }
    FILE *file = fopen(full, "w");
    cr_assert(ne(ptr, file, NULL));
    cr_assert(fputs(text, file) >= 0);
    cr_assert(eq(int, fclose(file), 0));
}

#define MOUNT_V2 "29 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n"
#define MOUNT_V1                                                                                   \
    "33 23 0:30 / /sys/fs/cgroup/cpu,cpuacct rw shared:9 - cgroup cgroup rw,cpu,cpuacct\n"
#define MOUNT_OTHER "34 23 0:31 / /sys/fs/cgroup/cpuset rw - cgroup cgroup rw,cpuset\n"

TestSuite(topology_quota, .init = root_make, .fini = root_drop);

Test(topology_quota, nothing_there_limits_nothing)
{
    cr_expect(eq(u32, topology_quota(root), 0));
    put("/proc/self/cgroup", "0::/\n");
    cr_expect(eq(u32, topology_quota(root), 0));
    put("/proc/self/mountinfo", MOUNT_V2);
    cr_expect(eq(u32, topology_quota(root), 0));
}

Test(topology_quota, version_2_rounds_up)
{
    put("/proc/self/cgroup", "0::/app\n");
    put("/proc/self/mountinfo", MOUNT_V2);
    static const struct {
        const char *text;
        uint32_t want;
    } cases[] = {
        {"max 100000\n", 0},
        {"100000 100000\n", 1},
        {"100001 100000\n", 2},
        {"150000 100000\n", 2},
        {"50000 100000\n", 1},
        {"1000 100000\n", 1},
        {"400000 50000\n", 8},
        {"200000 100000", 2},
        {"", 0},
        {"\n", 0},
        {"nonsense\n", 0},
        {"1 0\n", 0},
        {"-1 100000\n", 0},
        {"200000\n", 0},
    };
    for (size_t i = 0; i < HS_ARRAY_LEN(cases); i++) {
        put("/sys/fs/cgroup/app/cpu.max", cases[i].text);
        cr_expect(eq(u32, topology_quota(root), cases[i].want), "'%s'", cases[i].text);
    }
}

Test(topology_quota, the_smallest_ancestor_counts)
{
    put("/proc/self/cgroup", "0::/pods/pod7/app\n");
    put("/proc/self/mountinfo", MOUNT_OTHER MOUNT_V2);
    put("/sys/fs/cgroup/pods/pod7/app/cpu.max", "800000 100000\n");
    cr_expect(eq(u32, topology_quota(root), 8));
    put("/sys/fs/cgroup/pods/cpu.max", "300000 100000\n");
    cr_expect(eq(u32, topology_quota(root), 3), "a grandparent");
    put("/sys/fs/cgroup/pods/pod7/cpu.max", "max 100000\n");
    cr_expect(eq(u32, topology_quota(root), 3), "a parent without a limit");
    put("/sys/fs/cgroup/cpu.max", "120000 100000\n");
    cr_expect(eq(u32, topology_quota(root), 2), "the top, as a cgroup namespace shows it");
    put("/sys/fs/cgroup/pods/pod8/cpu.max", "1 100000\n");
    cr_expect(eq(u32, topology_quota(root), 2), "a neighbour's limit is not ours");
}

Test(topology_quota, version_1_is_read_too)
{
    put("/proc/self/cgroup", "9:name=systemd:/x\n3:cpuset:/\n1:cpu,cpuacct:/docker/app\n0::/\n");
    put("/proc/self/mountinfo", MOUNT_OTHER MOUNT_V1);
    put("/sys/fs/cgroup/cpu,cpuacct/docker/app/cpu.cfs_quota_us", "-1\n");
    put("/sys/fs/cgroup/cpu,cpuacct/docker/app/cpu.cfs_period_us", "100000\n");
    cr_expect(eq(u32, topology_quota(root), 0));
    put("/sys/fs/cgroup/cpu,cpuacct/docker/app/cpu.cfs_quota_us", "250000\n");
    cr_expect(eq(u32, topology_quota(root), 3));
    put("/sys/fs/cgroup/cpu,cpuacct/docker/cpu.cfs_quota_us", "20000\n");
    put("/sys/fs/cgroup/cpu,cpuacct/docker/cpu.cfs_period_us", "10000\n");
    cr_expect(eq(u32, topology_quota(root), 2), "the parent's");
    put("/sys/fs/cgroup/cpu,cpuacct/x/cpu.cfs_quota_us", "10000\n");
    put("/sys/fs/cgroup/cpu,cpuacct/x/cpu.cfs_period_us", "10000\n");
    cr_expect(eq(u32, topology_quota(root), 2), "another controller's path");
}

Test(topology_quota, a_container_sees_its_own_part_alone)
{
    /* The host's cgroup namespace, but only the container's part is mounted. */
    put("/proc/self/cgroup", "1:cpu:/docker/abc/app\n");
    put("/proc/self/mountinfo",
        "33 23 0:30 /docker/abc /sys/fs/cgroup/cpu ro - cgroup cgroup rw,cpu\n");
    put("/sys/fs/cgroup/cpu/app/cpu.cfs_quota_us", "500000\n");
    put("/sys/fs/cgroup/cpu/app/cpu.cfs_period_us", "100000\n");
    cr_expect(eq(u32, topology_quota(root), 5));
    put("/sys/fs/cgroup/cpu/cpu.cfs_quota_us", "400000\n");
    put("/sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n");
    cr_expect(eq(u32, topology_quota(root), 4));
    /* A path that only shares its first letters with the mount's root, or lies above it. */
    put("/proc/self/cgroup", "1:cpu:/docker/abcdef\n");
    put("/sys/fs/cgroup/cpudef/cpu.cfs_quota_us", "100000\n");
    put("/sys/fs/cgroup/cpudef/cpu.cfs_period_us", "100000\n");
    cr_expect(eq(u32, topology_quota(root), 4), "the top is what can be seen");
    put("/proc/self/cgroup", "0::/\n1:cpu:/../..\n");
    cr_expect(eq(u32, topology_quota(root), 4));
}

Test(topology_quota, a_line_longer_than_the_buffer_is_skipped)
{
    static char mounts[3 * 4096 + 512];
    size_t len = 0;
    len += (size_t)snprintf(mounts, sizeof(mounts),
                            "25 23 0:24 / / rw - overlay overlay rw,lowerdir=");
    memset(mounts + len, 'x', 9000);
    len += 9000;
    /* Its tail looks like a mount with a limit, and is none. */
    len += (size_t)snprintf(mounts + len, sizeof(mounts) - len,
                            " 1 2 3 / /trap rw - cgroup2 cgroup2 rw\n" MOUNT_V2);
    put("/proc/self/mountinfo", mounts);
    put("/proc/self/cgroup", "0::/app\n");
    put("/trap/app/cpu.max", "100000 100000\n");
    put("/sys/fs/cgroup/app/cpu.max", "600000 100000\n");
    cr_expect(eq(u32, topology_quota(root), 6));
}

/* ---- memory and processes ---- */

TestSuite(cgroup_limits, .init = root_make, .fini = root_drop);

Test(cgroup_limits, nothing_there_limits_nothing)
{
    cr_expect(eq(u64, cgroup_memory_max(root), CGROUP_UNLIMITED));
    cr_expect(eq(u64, cgroup_pids_max(root), CGROUP_UNLIMITED));
    put("/proc/self/cgroup", "0::/app\n");
    put("/proc/self/mountinfo", MOUNT_V2);
    cr_expect(eq(u64, cgroup_memory_max(root), CGROUP_UNLIMITED));
    put("/sys/fs/cgroup/app/memory.max", "max\n");
    put("/sys/fs/cgroup/app/pids.max", "max\n");
    cr_expect(eq(u64, cgroup_memory_max(root), CGROUP_UNLIMITED));
    cr_expect(eq(u64, cgroup_pids_max(root), CGROUP_UNLIMITED));
}

Test(cgroup_limits, version_2_and_its_ancestors)
{
    put("/proc/self/cgroup", "0::/pods/app\n");
    put("/proc/self/mountinfo", MOUNT_V2);
    put("/sys/fs/cgroup/pods/app/memory.max", "536870912\n");
    put("/sys/fs/cgroup/pods/app/pids.max", "64\n");
    cr_expect(eq(u64, cgroup_memory_max(root), 536870912));
    cr_expect(eq(u64, cgroup_pids_max(root), 64));
    put("/sys/fs/cgroup/pods/memory.max", "268435456\n");
    put("/sys/fs/cgroup/pods/pids.max", "100\n");
    cr_expect(eq(u64, cgroup_memory_max(root), 268435456));
    cr_expect(eq(u64, cgroup_pids_max(root), 64));
}

Test(cgroup_limits, version_1_in_hierarchies_of_their_own)
{
    put("/proc/self/cgroup", "5:pids:/p\n4:memory:/m\n1:cpu:/c\n");
    put("/proc/self/mountinfo",
        "33 23 0:30 / /sys/fs/cgroup/memory rw shared:9 - cgroup cgroup rw,memory\n"
        "34 23 0:31 / /sys/fs/cgroup/pids rw shared:9 - cgroup cgroup rw,pids\n");
    put("/sys/fs/cgroup/memory/m/memory.limit_in_bytes", "9223372036854771712\n"); /* none */
    cr_expect(eq(u64, cgroup_memory_max(root), CGROUP_UNLIMITED));
    put("/sys/fs/cgroup/memory/m/memory.limit_in_bytes", "1048576\n");
    put("/sys/fs/cgroup/pids/p/pids.max", "33\n");
    cr_expect(eq(u64, cgroup_memory_max(root), 1048576));
    cr_expect(eq(u64, cgroup_pids_max(root), 33));
    cr_expect(eq(u32, topology_quota(root), 0));
}

/* ---- this machine ---- */

Test(topology_read, gives_processors_that_we_may_run_on)
{
    hs_topology got;
    cr_assert(hs_ok(hs_topology_read(&got)));
    cpu_set_t mask;
    cr_assert(eq(int, sched_getaffinity(0, sizeof(mask), &mask), 0));
    cr_expect(eq(u32, got.cpus_len, (uint32_t)CPU_COUNT(&mask)));
    cr_assert(got.usable >= 1 && got.usable <= got.cpus_len);
    for (uint32_t i = 0; i < got.cpus_len; i++)
        cr_expect(ne(int, CPU_ISSET(got.cpus[i], &mask), 0), "processor %u", got.cpus[i]);
}

Test(topology_read, follows_a_narrowed_affinity)
{
    hs_topology before, after;
    cr_assert(hs_ok(hs_topology_read(&before)));
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(before.cpus[before.cpus_len - 1], &one);
    cr_assert(eq(int, sched_setaffinity(0, sizeof(one), &one), 0));
    cr_assert(hs_ok(hs_topology_read(&after)));
    cr_expect(eq(u32, after.cpus_len, 1));
    cr_expect(eq(u32, after.usable, 1));
    cr_expect(eq(u32, after.cpus[0], before.cpus[before.cpus_len - 1]));
}
