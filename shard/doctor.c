/* What this machine lets a server do: see hs_doctor.h. */
#include "hs_doctor.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/utsname.h>

#include "backend.h"
#include "cgroup.h"
#include "hs_caps.h"
#include "hs_limits.h"
#include "hs_topology.h"
#include "stack.h"

/* The kernel that io_uring is wanted of. */
#define KERNEL_MAJOR 6
#define KERNEL_MINOR 1
/* Files of the process itself, for each shard, and the connections without which nobody is served;
 * as the program reckons before it starts. */
#define FILES_OWN 32
#define FILES_PER_SHARD 8
#define FILES_CONNS_MIN 64
/* Fewer connections than this is a limit that somebody forgot to raise. */
#define FILES_FEW 4096
/* Threads beside the shards: the main one, the logger, a few that look names up or block. */
#define THREADS_OWN 16

typedef struct doctor {
    hs_doctor_fn *tell;
    void *ctx;
    hs_doctor_grade worst;
    uint32_t shards; /* that a server would have */
} doctor;

__attribute__((format(printf, 5, 6))) static void say(doctor *d, hs_doctor_grade grade,
                                                      const char *topic, const char *remedy,
                                                      const char *format, ...)
{
    char text[256];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    d->worst = HS_MAX(d->worst, grade);
    d->tell(&(hs_doctor_line){grade, topic, text, remedy}, d->ctx);
}

/* ---- the kernel, and what it has ---- */

static void look_kernel(doctor *d)
{
    struct utsname u;
    unsigned major = 0, minor = 0;
    int rc = uname(&u);
    HS_ASSERT(rc == 0);
    bool read = sscanf(u.release, "%u.%u", &major, &minor) == 2;
    bool old = read && (major < KERNEL_MAJOR || (major == KERNEL_MAJOR && minor < KERNEL_MINOR));
    if (old)
        say(d, HS_DOCTOR_WARN, "kernel", "Linux 6.1 or newer",
            "%s %s on %s: older than 6.1, so io_uring is not used", u.sysname, u.release,
            u.machine);
    else
        say(d, HS_DOCTOR_FINE, "kernel", NULL, "%s %s on %s", u.sysname, u.release, u.machine);
}

/* A feature that has a fallback: `with` is what it brings, `without` what happens otherwise. */
static void look_feature(doctor *d, const char *name, bool found, const char *with,
                         const char *without)
{
    if (found)
        say(d, HS_DOCTOR_FINE, name, NULL, "works: %s", with);
    else if (hs_caps_off(name))
        say(d, HS_DOCTOR_WARN, name, "take it out of HS_CAPS_DISABLE", "switched off: %s", without);
    else
        say(d, HS_DOCTOR_FINE, name, NULL, "missing: %s", without);
}

static void look_uring(doctor *d)
{
    uring_caps caps;
    uring_why why;
    if (hs_ok(uring_probe(d->shards, &caps, &why))) {
        say(d, HS_DOCTOR_FINE, "io_uring", NULL, "works: a ring, and a multishot receive on it");
        look_feature(d, "msg_ring", caps.msg_ring, "shards wake each other from ring to ring",
                     "shards wake each other by eventfd");
        look_feature(d, "ring_fd", caps.ring_fd, "the ring's file is looked up once",
                     "each io_uring_enter looks the ring's file up");
    } else {
        say(d, HS_DOCTOR_WARN, "io_uring", why.remedy, "%s", why.cause);
    }
    look_feature(d, "guard_madv", stack_light_guards(),
                 "the stacks of fibers share mappings (vm.max_map_count)",
                 "each fiber's stack takes mappings of its own (vm.max_map_count)");
}

static void look_policy(doctor *d)
{
    long disabled, group;
    say(d, HS_DOCTOR_FINE, "seccomp", NULL, "%s",
        uring_seccomp() ? "a filter watches this process" : "no filter");
    if (!uring_sysctl("io_uring_disabled", &disabled))
        say(d, HS_DOCTOR_FINE, "sysctl", NULL, "kernel.io_uring_disabled does not exist here");
    else if (disabled == 1 && uring_sysctl("io_uring_group", &group))
        say(d, HS_DOCTOR_FINE, "sysctl", NULL,
            "kernel.io_uring_disabled=1: io_uring is for CAP_SYS_ADMIN and group %ld alone", group);
    else
        say(d, HS_DOCTOR_FINE, "sysctl", NULL, "kernel.io_uring_disabled=%ld", disabled);
}

/* ---- limits ---- */

static const char *amount(uint64_t bytes, char *text, size_t text_bytes)
{
    if (bytes == UINT64_MAX)
        snprintf(text, text_bytes, "no limit");
    else if (bytes < 10 << 20)
        snprintf(text, text_bytes, "%llu KiB", (unsigned long long)(bytes >> 10));
    else
        snprintf(text, text_bytes, "%llu MiB", (unsigned long long)(bytes >> 20));
    return text;
}

static uint64_t limit_of(rlim_t limit)
{
    return limit == RLIM_INFINITY ? UINT64_MAX : limit;
}

static void look_memlock(doctor *d)
{
    struct rlimit limit;
    char soft[32], hard[32];
    if (getrlimit(RLIMIT_MEMLOCK, &limit) != 0)
        return;
    uint64_t now = limit_of(limit.rlim_cur);
    static const char remedy[] = "ulimit -l, or LimitMEMLOCK= of the service";
    bool short_of = now < d->shards * uring_locked_bytes(false);
    bool too_few = now < d->shards * uring_locked_bytes(true);
    /* CAP_IPC_LOCK lifts it, so this is a warning, and the trial of io_uring the verdict. */
    say(d, short_of ? HS_DOCTOR_WARN : HS_DOCTOR_FINE, "memlock", short_of ? remedy : NULL,
        "%s, hard limit %s; the rings of %u shards count %llu KiB%s",
        amount(now, soft, sizeof soft), amount(limit_of(limit.rlim_max), hard, sizeof hard),
        d->shards, (unsigned long long)(d->shards * uring_locked_bytes(false) >> 10),
        too_few    ? ": too little even for small ones, epoll is used without CAP_IPC_LOCK"
        : short_of ? ": smaller ones are made without CAP_IPC_LOCK"
                   : "");
}

static void look_files(doctor *d)
{
    static const char remedy[] = "ulimit -n, or LimitNOFILE= of the service";
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return;
    if (limit.rlim_max == RLIM_INFINITY) {
        say(d, HS_DOCTOR_FINE, "files", NULL, "no limit");
        return;
    }
    unsigned long long hard = limit.rlim_max, own = FILES_OWN + d->shards * FILES_PER_SHARD;
    if (hard < own + FILES_CONNS_MIN)
        say(d, HS_DOCTOR_BAD, "files", remedy, "%llu may be open, %llu are needed to start", hard,
            own + FILES_CONNS_MIN);
    else
        say(d, hard < FILES_FEW ? HS_DOCTOR_WARN : HS_DOCTOR_FINE, "files",
            hard < FILES_FEW ? remedy : NULL,
            "%llu now, raised to %llu at the start: about %llu connections",
            (unsigned long long)limit.rlim_cur, hard, hard - own);
}

static void look_cgroup(doctor *d, const hs_topology *t)
{
    char text[32];
    if (t->quota_cpus)
        say(d, HS_DOCTOR_FINE, "cpu.max", NULL, "the time of %u processors", t->quota_cpus);
    else
        say(d, HS_DOCTOR_FINE, "cpu.max", NULL, "no limit");
    say(d, HS_DOCTOR_FINE, "memory.max", NULL, "%s",
        amount(cgroup_memory_max(""), text, sizeof text));
    uint64_t pids = cgroup_pids_max(""), need = d->shards + THREADS_OWN;
    if (pids == CGROUP_UNLIMITED)
        say(d, HS_DOCTOR_FINE, "pids.max", NULL, "no limit");
    else if (pids < need)
        say(d, HS_DOCTOR_WARN, "pids.max", "raise pids.max (--pids-limit, TasksMax=)",
            "%llu threads and processes, %llu may be needed", (unsigned long long)pids,
            (unsigned long long)need);
    else
        say(d, HS_DOCTOR_FINE, "pids.max", NULL, "%llu threads and processes",
            (unsigned long long)pids);
}

static void look_processors(doctor *d, const hs_topology *t)
{
    say(d, HS_DOCTOR_FINE, "processors", NULL,
        "%u may be used, on %u cores of %u NUMA nodes: %u shards without --cores", t->cpus_len,
        t->cores, t->numa_nodes, d->shards);
}

/* ---- the verdict ---- */

static void look_backend(doctor *d, hs_io_choice io)
{
    backend b;
    char text[96];
    hs_err err = backend_choose(io, d->shards, &b);
    if (err.code == HS_E_USAGE) {
        say(d, HS_DOCTOR_BAD, "backend", "HS_IO=auto, or none", "HS_IO names no backend");
        return;
    }
    if (!hs_ok(err)) {
        say(d, HS_DOCTOR_BAD, "backend", b.why.remedy, "none: io_uring is asked for: %s",
            b.why.cause);
        return;
    }
    backend_text(&b, text, sizeof text);
    if (b.fallback)
        say(d, HS_DOCTOR_WARN, "backend", b.why.remedy, "%s, for want of io_uring: %s", text,
            b.why.cause);
    else
        say(d, HS_DOCTOR_FINE, "backend", NULL, "%s%s", text,
            b.kind == HS_IO_EPOLL ? ", as it is asked for" : "");
}

hs_doctor_grade hs_doctor_run(hs_io_choice io, hs_doctor_fn *tell, void *ctx)
{
    HS_ASSERT(tell != NULL);
    doctor d = {.tell = tell, .ctx = ctx, .shards = 1};
    hs_topology topology;
    bool known = hs_ok(hs_topology_read(&topology));
    if (known)
        d.shards = HS_MIN(topology.usable, HS_SHARDS_MAX);
    look_kernel(&d);
    look_uring(&d);
    look_policy(&d);
    look_memlock(&d);
    look_files(&d);
    if (known) {
        look_cgroup(&d, &topology);
        look_processors(&d, &topology);
    }
    look_backend(&d, io);
    return d.worst;
}
