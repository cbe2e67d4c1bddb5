/* What cgroups grant this process: see cgroup.h, and topology_quota in topology.h.
 *
 * No heap: lines are read into a buffer on the stack, and what is longer than it is skipped. The
 * layout is told by Linux Documentation/admin-guide/cgroup-v2.rst, cgroup-v1/memory.rst, pids.rst
 * and Documentation/scheduler/sched-bwc.rst; mountinfo by proc(5). */
#include "cgroup.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <unistd.h>

#include "hs_assert.h"
#include "hs_span.h"
#include "topology.h"

#define LINE_BYTES_MAX 4096

typedef struct line_reader {
    int fd;
    bool ended;
    bool skipping; /* inside a line that is longer than buf */
    size_t len;    /* bytes in buf */
    size_t pos;    /* where the next line begins */
    uint8_t buf[LINE_BYTES_MAX];
} line_reader;

/* Read on behind what is kept of the buffer. Returns false at the end of the file. */
static bool lines_fill(line_reader *r)
{
    HS_ASSERT(r->pos <= r->len);
    memmove(r->buf, r->buf + r->pos, r->len - r->pos);
    r->len -= r->pos;
    r->pos = 0;
    if (r->len == sizeof(r->buf)) {
        r->skipping = true;
        r->len = 0;
    }
    ssize_t got;
    do
        got = read(r->fd, r->buf + r->len, sizeof(r->buf) - r->len);
    while (got < 0 && errno == EINTR);
    if (got <= 0) {
        r->ended = true;
        return false;
    }
    r->len += (size_t)got;
    return true;
}

/* The next line without its end, valid until the next call; false when there is none. */
static bool lines_next(line_reader *r, hs_span *line)
{
    for (;;) {
        uint8_t *from = r->buf + r->pos;
        uint8_t *end = memchr(from, '\n', r->len - r->pos);
        if (end) {
            *line = hs_span_of(from, (size_t)(end - from));
            r->pos += line->len + 1;
            if (!r->skipping)
                return true;
            r->skipping = false;
        } else if (r->ended || !lines_fill(r)) {
            *line = hs_span_of(r->buf + r->pos, r->len - r->pos);
            r->pos = r->len;
            return line->len > 0 && !r->skipping;
        }
    }
}

static bool lines_open(line_reader *r, const char *path)
{
    r->ended = false;
    r->skipping = false;
    r->len = 0;
    r->pos = 0;
    r->fd = open(path, O_RDONLY | O_CLOEXEC);
    return r->fd >= 0;
}

/* Cut the part of *rest up to `separator` (or the end) off its front. */
static hs_span cut(hs_span *rest, char separator)
{
    const uint8_t *end = rest->len > 0 ? memchr(rest->ptr, separator, rest->len) : NULL;
    size_t len = end ? (size_t)(end - rest->ptr) : rest->len;
    hs_span part = hs_span_of(rest->ptr, len);
    *rest = hs_span_from(*rest, end ? len + 1 : len);
    return part;
}

static bool has_word(hs_span list, char separator, const char *word)
{
    while (list.len > 0)
        if (hs_span_eq(cut(&list, separator), hs_span_str(word)))
            return true;
    return false;
}

/* The first line of the file `name` in `folder`, copied to `text` (LINE_BYTES_MAX). */
static bool first_line(const char *folder, const char *name, uint8_t *text, hs_span *line)
{
    char path[2 * PATH_MAX];
    line_reader r;
    int len = snprintf(path, sizeof(path), "%s/%s", folder, name);
    if (len < 0 || (size_t)len >= sizeof(path) || !lines_open(&r, path))
        return false;
    hs_span read_line;
    bool found = lines_next(&r, &read_line);
    (void)close(r.fd);
    if (!found)
        return false;
    HS_ASSERT(read_line.len <= LINE_BYTES_MAX);
    memcpy(text, read_line.ptr, read_line.len);
    *line = hs_span_of(text, read_line.len);
    return true;
}

/* ---- the limit of one cgroup's folder; CGROUP_UNLIMITED where it has none ---- */

typedef uint64_t folder_limit_fn(const char *folder, bool v2);

/* Processors for `quota` of each `period`, rounded up. */
static uint64_t quota_cpus(hs_span quota, hs_span period)
{
    uint64_t q, p; /* microseconds; "max" and "-1" are no numbers, and no limits */
    if (!hs_span_u64(quota, UINT32_MAX, &q) || !hs_span_u64(period, UINT32_MAX, &p) || p == 0)
        return CGROUP_UNLIMITED;
    return q == 0 ? 1 : (q + p - 1) / p;
}

static uint64_t folder_cpus(const char *folder, bool v2)
{
    uint8_t text[LINE_BYTES_MAX], text2[LINE_BYTES_MAX];
    hs_span line, period;
    if (v2) {
        if (!first_line(folder, "cpu.max", text, &line))
            return CGROUP_UNLIMITED;
        hs_span quota = cut(&line, ' ');
        return quota_cpus(quota, line);
    }
    if (!first_line(folder, "cpu.cfs_quota_us", text, &line) ||
        !first_line(folder, "cpu.cfs_period_us", text2, &period))
        return CGROUP_UNLIMITED;
    return quota_cpus(line, period);
}

static uint64_t folder_number(const char *folder, const char *name)
{
    uint8_t text[LINE_BYTES_MAX];
    hs_span line;
    uint64_t n;
    /* Version 1 writes "no limit" as the largest number of whole pages. */
    if (!first_line(folder, name, text, &line) || !hs_span_u64(line, INT64_MAX, &n) ||
        n > INT64_MAX - (1 << 20))
        return CGROUP_UNLIMITED;
    return n;
}

static uint64_t folder_memory(const char *folder, bool v2)
{
    return folder_number(folder, v2 ? "memory.max" : "memory.limit_in_bytes");
}

static uint64_t folder_pids(const char *folder, bool v2)
{
    (void)v2;
    return folder_number(folder, "pids.max");
}

/* ---- the hierarchies ---- */

/* What is looked for. */
typedef struct search {
    const char *root, *controller;
    folder_limit_fn *limit;
} search;

/* One hierarchy that can have the limit, and where this process stands in it. */
typedef struct hierarchy {
    bool v2;
    uint8_t path[PATH_MAX]; /* of the cgroup, as /proc/self/cgroup tells it */
    size_t path_len;
} hierarchy;

/* A line "ID:controllers:path"; version 2 is "0::path". */
static bool hierarchy_parse(hs_span line, const char *controller, hierarchy *out)
{
    hs_span id = cut(&line, ':');
    hs_span controllers = cut(&line, ':');
    out->v2 = hs_span_eq(id, HS_SPAN("0")) && controllers.len == 0;
    if (!out->v2 && !has_word(controllers, ',', controller))
        return false;
    if (line.len == 0 || line.ptr[0] != '/' || line.len > sizeof(out->path))
        return false;
    memcpy(out->path, line.ptr, line.len);
    out->path_len = line.len;
    return true;
}

/* A line of mountinfo: "36 35 98:0 /root /mount/point options tags... - type source options". */
static bool mount_parse(hs_span line, const char *controller, bool v2, hs_span *mount_root,
                        hs_span *mount_point)
{
    for (int skipped = 0; skipped < 3; skipped++)
        (void)cut(&line, ' ');
    *mount_root = cut(&line, ' ');
    *mount_point = cut(&line, ' ');
    while (line.len > 0 && !hs_span_eq(cut(&line, ' '), HS_SPAN("-")))
        ;
    hs_span type = cut(&line, ' ');
    (void)cut(&line, ' ');
    if (v2)
        return hs_span_eq(type, HS_SPAN("cgroup2"));
    return hs_span_eq(type, HS_SPAN("cgroup")) && has_word(line, ',', controller);
}

/* The cgroup's path as seen below a mount whose root is `mount_root`. A container that shares the
 * host's cgroup namespace mounts only its own part: that part's root is where the mount begins.
 * A path outside of the mount leaves its top, which is the best that can be seen. */
static hs_span path_below(const hierarchy *h, hs_span mount_root)
{
    hs_span path = hs_span_of(h->path, h->path_len);
    if (hs_span_starts(path, HS_SPAN("/..")))
        return hs_span_of(path.ptr, 0);
    if (hs_span_eq(mount_root, HS_SPAN("/")))
        return path;
    if (!hs_span_starts(path, mount_root))
        return hs_span_of(path.ptr, 0);
    hs_span rest = hs_span_from(path, mount_root.len);
    return rest.len == 0 || rest.ptr[0] == '/' ? rest : hs_span_of(path.ptr, 0);
}

/* The smallest limit of the cgroup and its ancestors, up to the mount point. */
static uint64_t walk_up(const search *what, hs_span mount_point, hs_span path, bool v2)
{
    char folder[2 * PATH_MAX];
    size_t root_len = strlen(what->root);
    size_t top = root_len + mount_point.len;
    if (top + path.len >= sizeof(folder))
        return CGROUP_UNLIMITED;
    memcpy(folder, what->root, root_len);
    memcpy(folder + root_len, mount_point.ptr, mount_point.len);
    memcpy(folder + top, path.ptr, path.len);
    size_t len = top + path.len;
    uint64_t limit = CGROUP_UNLIMITED;
    for (;;) {
        while (len > top && folder[len - 1] == '/')
            len--;
        folder[len] = '\0';
        uint64_t own = what->limit(folder, v2);
        limit = HS_MIN(limit, own);
        if (len == top)
            return limit;
        while (len > top && folder[len - 1] != '/')
            len--;
    }
}

/* The limit in one hierarchy: look for its mount, then walk. */
static uint64_t hierarchy_limit(const search *what, const hierarchy *h)
{
    char path[PATH_MAX];
    line_reader mounts;
    int len = snprintf(path, sizeof(path), "%s/proc/self/mountinfo", what->root);
    if (len < 0 || (size_t)len >= sizeof(path) || !lines_open(&mounts, path))
        return CGROUP_UNLIMITED;
    uint64_t limit = CGROUP_UNLIMITED;
    hs_span line, mount_root, mount_point;
    while (lines_next(&mounts, &line)) {
        if (!mount_parse(line, what->controller, h->v2, &mount_root, &mount_point))
            continue;
        limit = walk_up(what, mount_point, path_below(h, mount_root), h->v2);
        break;
    }
    (void)close(mounts.fd);
    return limit;
}

static uint64_t find_limit(const char *root, const char *controller, folder_limit_fn *limit_fn)
{
    HS_ASSERT(root != NULL);
    char path[PATH_MAX];
    line_reader groups;
    int len = snprintf(path, sizeof(path), "%s/proc/self/cgroup", root);
    if (len < 0 || (size_t)len >= sizeof(path) || !lines_open(&groups, path))
        return CGROUP_UNLIMITED;
    search what = {root, controller, limit_fn};
    uint64_t limit = CGROUP_UNLIMITED;
    hs_span line;
    hierarchy h;
    while (lines_next(&groups, &line)) {
        if (!hierarchy_parse(line, controller, &h))
            continue;
        uint64_t own = hierarchy_limit(&what, &h);
        limit = HS_MIN(limit, own);
    }
    (void)close(groups.fd);
    return limit;
}

uint32_t topology_quota(const char *root)
{
    uint64_t cpus = find_limit(root, "cpu", folder_cpus);
    return cpus == CGROUP_UNLIMITED ? 0 : (uint32_t)HS_MIN(cpus, UINT32_MAX);
}

uint64_t cgroup_memory_max(const char *root)
{
    return find_limit(root, "memory", folder_memory);
}

uint64_t cgroup_pids_max(const char *root)
{
    return find_limit(root, "pids", folder_pids);
}
