/* The hosts file and resolv.conf, read again when they have changed.
 *
 * Owns: when that is looked at (once a second while names are looked up, and after hs_dns_reload),
 * what a file's state is, and what is replaced. Must not know: what is in them, lookups.
 * Tested by: tests/unit/net_dns_reload.c, tests/plain/dns_ends.c. */
#include <stdatomic.h>
#include <sys/stat.h>

#include "resolver.h"

static atomic_uint reloads; /* calls of hs_dns_reload */

void hs_dns_reload(void)
{
    atomic_fetch_add(&reloads, 1);
}

/* A file that cannot be looked at is in a state of its own. */
static void state_of(const char *path, dns_file_state *out)
{
    struct stat st;
    memset(out, 0, sizeof *out);
    if (stat(path, &st) != 0)
        return;
    out->numbers[0] = (uint64_t)st.st_dev;
    out->numbers[1] = (uint64_t)st.st_ino;
    out->numbers[2] = (uint64_t)st.st_size;
    out->numbers[3] = (uint64_t)st.st_mtim.tv_sec * HS_SEC_NS + (uint64_t)st.st_mtim.tv_nsec;
    out->numbers[4] = (uint64_t)st.st_ctim.tv_sec * HS_SEC_NS + (uint64_t)st.st_ctim.tv_nsec;
}

static void dns_file_note(dns_file *f)
{
    state_of(f->path, &f->state);
}

static bool dns_file_changed(const dns_file *f)
{
    dns_file_state now;
    state_of(f->path, &now);
    return memcmp(&now, &f->state, sizeof now) != 0;
}

static hs_err copy_path(const hs_mem *mem, const char *path, char **out)
{
    size_t bytes = strlen(path) + 1;
    *out = hs_mem_take(mem, bytes, 1);
    HS_ENSURE(*out, -ENOMEM);
    memcpy(*out, path, bytes);
    return HS_OK;
}

hs_err dns_watch_init(dns_watch *w, hs_shard *shard, const char *resolv, const char *hosts)
{
    const hs_mem *mem = hs_shard_mem(shard);
    HS_TRY(copy_path(mem, resolv, &w->resolv.path));
    HS_TRY(copy_path(mem, hosts, &w->hosts.path));
    w->reloads = atomic_load(&reloads);
    w->next_ns = hs_shard_now_ns(shard) + HS_DNS_WATCH_MS * HS_MSEC_NS;
    dns_file_note(&w->resolv);
    dns_file_note(&w->hosts);
    return HS_OK;
}

void dns_watch_fini(dns_watch *w, const hs_mem *mem)
{
    char *paths[] = {w->resolv.path, w->hosts.path};
    for (size_t i = 0; i < HS_ARRAY_LEN(paths); i++)
        if (paths[i])
            hs_mem_give(mem, paths[i], strlen(paths[i]) + 1, 1);
}

static bool dns_watch_due(dns_watch *w, uint64_t now_ns)
{
    unsigned now = atomic_load_explicit(&reloads, memory_order_relaxed);
    w->forced = w->forced || now != w->reloads;
    if (now_ns < w->next_ns && !w->forced)
        return false;
    w->reloads = now;
    w->next_ns = now_ns + HS_DNS_WATCH_MS * HS_MSEC_NS;
    return true;
}

/* ---- reading again ---- */

static hs_err resolv_again(resolver *r)
{
    hs_dns_options o = r->o;
    dns_resolv resolv;
    dns_wire *wire = NULL;
    o.resolv_path = r->watch.resolv.path;
    HS_TRY(dns_resolv_read(&resolv, r->dns.shard, o.resolv_path));
    if (!r->servers_given && r->wire->ops->remake)
        HS_TRY(r->wire->ops->remake(r->dns.shard, &o, &wire));
    r->resolv = resolv;
    /* Other servers may know other answers. */
    dns_cache_clear(&r->cache);
    if (wire)
        dns_wire_replace(r, wire);
    return HS_OK;
}

static hs_err hosts_again(resolver *r)
{
    dns_hosts hosts;
    HS_TRY(dns_hosts_read(&hosts, r->dns.shard, r->watch.hosts.path));
    dns_hosts_fini(&r->hosts);
    r->hosts = hosts;
    return HS_OK;
}

/* Read a file that has changed; where that fails what was read stays, and it is tried again. */
static void file_again(resolver *r, dns_file *f, hs_err (*again)(resolver *r))
{
    const dns_file was = *f;
    if (!r->watch.forced && !dns_file_changed(f))
        return;
    dns_file_note(f);
    hs_err err = again(r);
    hs_log *log = hs_shard_log(r->dns.shard);
    if (hs_ok(err)) {
        hs_log_write(log, HS_LOG_INFO, "%s is read again", f->path);
        return;
    }
    *f = was;
    hs_log_write(log, HS_LOG_WARN, "%s has changed and cannot be read: %s", f->path,
                 hs_err_text(err));
}

static void on_look(hs_microtask *task)
{
    resolver *r = HS_CONTAINER_OF(task, resolver, look);
    hs_shard *shard = r->dns.shard;
    r->looking = false;
    if (!r->ended) {
        file_again(r, &r->watch.hosts, hosts_again);
        file_again(r, &r->watch.resolv, resolv_again);
        r->watch.forced = false;
    }
    hs_shard_release_as(shard, "name lookup");
}

/* Before a lookup begins. */
void dns_look_at_files(resolver *r)
{
    if (r->looking || !dns_watch_due(&r->watch, hs_shard_now_ns(r->dns.shard)))
        return;
    r->looking = true;
    hs_shard_hold_as(r->dns.shard, "name lookup");
    hs_microtask_post(r->dns.shard, &r->look, on_look);
}

void dns_look_cancel(resolver *r)
{
    if (!r->looking)
        return;
    r->looking = false;
    hs_microtask_cancel(&r->look);
    hs_shard_release_as(r->dns.shard, "name lookup");
}
