/* Lookups: what a name means, who is asked, and who hears of it.
 *
 * Owns: the order of sources (numbers, localhost, hosts file, cache, servers), the search domains,
 * the bounds on what is asked at a time, and the waiting of several for one question. Must not
 * know: c-ares (dns_ares.c), promises (dns_lookup.c), when files are read (dns_reload.c).
 * Tested by: tests/unit/net_dns.c on a wire of its own, tests/plain/dns.c.
 *
 * A lookup has one part for each family. For each candidate of the name both are asked side by
 * side. The first address found settles the candidate: what the other part comes to belongs to the
 * same name then. While there is none, a part's "none" is held back, as the next candidate may have
 * one. */
#include "resolver.h"

#include "hs_assert.h"

typedef enum part_state {
    PART_OFF,  /* that family was not asked for, or its answer is told */
    PART_WAIT, /* this candidate's answer is to come */
    PART_NONE  /* this candidate has none, or that is not known: `err` */
} part_state;

typedef struct dns_lookup dns_lookup;

typedef struct dns_part {
    hs_list link; /* waiters of `entry` */
    dns_lookup *lookup;
    dns_entry *entry; /* what it waits for, or NULL */
    hs_err err;
    int family;
    uint8_t state; /* part_state */
} dns_part;

struct dns_lookup {
    hs_list link;
    resolver *r;
    hs_dns_op *op; /* NULL: cancelled while it was told something */
    dns_part parts[2];
    hs_timer timeout;
    hs_microtask first;
    uint32_t candidate; /* the next one */
    bool found;         /* an address, so there will be no next one */
    bool failed;        /* a candidate: whether it has an address is not known */
    bool telling;
    bool is_name; /* `name` holds one; otherwise `numeric` */
    dns_name name;
    hs_addr numeric;
};

static resolver *resolver_of(hs_dns *dns)
{
    return HS_CONTAINER_OF(dns, resolver, dns);
}

static void count(const resolver *r, uint32_t id)
{
    hs_count(hs_shard_counters(r->dns.shard), id, 1);
}

/* ---- questions ---- */

static void queue_leave(resolver *r, dns_entry *e)
{
    HS_ASSERT(e->state == DNS_QUEUED);
    HS_ASSERT(r->queue_len > 0);
    hs_list_remove(&e->link);
    e->state = DNS_NEW;
    r->queue_len--;
}

/* Ask the wire; where that fails, the entry is known to have failed. */
static void ask(resolver *r, dns_entry *e)
{
    char name[DNS_NAME_MAX + 2];
    size_t len = (size_t)e->key_len - 1;
    memcpy(name, dns_entry_name(e), len);
    name[len] = '.';
    name[len + 1] = '\0';
    HS_ASSERT(e->state == DNS_NEW);
    HS_ASSERT(r->asked < r->o.queries_max);
    count(r, r->count_queries);
    hs_err err = r->wire->ops->ask(r->wire, name, e->family, e);
    e->state = hs_ok(err) ? DNS_ASKED : DNS_KNOWN;
    e->err = err;
    if (!hs_ok(err))
        return;
    hs_list_push_back(&r->questions, &e->link);
    r->asked++;
}

static void question_leave(resolver *r, dns_entry *e)
{
    HS_ASSERT(e->state == DNS_ASKED);
    HS_ASSERT(r->asked > 0);
    hs_list_remove(&e->link);
    e->state = DNS_NEW;
    r->asked--;
}

/* Nobody waits for what is under way. It is forgotten, so that who asks the same again gets an
 * answer and not the end of this question. */
static void drop_questions(resolver *r)
{
    r->wire->ops->drop_all(r->wire);
    hs_list_each_safe (node, &r->questions) {
        dns_entry *e = HS_CONTAINER_OF(node, dns_entry, link);
        question_leave(r, e);
        dns_cache_drop(&r->cache, e);
    }
}

/* Find the entry of a question, or make it and ask. Errors: the question cannot be asked. */
static hs_err entry_for(resolver *r, const dns_name *name, int family, dns_entry **out)
{
    dns_entry *e = dns_cache_find(&r->cache, name, family, hs_shard_now_ns(r->dns.shard));
    *out = e;
    if (e) {
        if (e->kept)
            count(r, r->count_hits);
        return HS_OK;
    }
    HS_ENSURE(!r->ended, -ECANCELED);
    bool room = r->asked < r->o.queries_max;
    HS_ENSURE(room || r->queue_len < HS_DNS_QUEUE_MAX, HS_E_LIMIT);
    HS_TRY(dns_cache_add(&r->cache, name, family, &e));
    if (!room) {
        e->state = DNS_QUEUED;
        hs_list_push_back(&r->queue, &e->link);
        r->queue_len++;
    } else {
        ask(r, e);
        if (e->state == DNS_KNOWN) {
            hs_err err = e->err;
            dns_cache_drop(&r->cache, e);
            return err;
        }
    }
    *out = e;
    return HS_OK;
}

/* ---- the end of a lookup ---- */

/* A question that is not asked yet and that nobody waits for is not asked at all. */
static void leave(resolver *r, dns_part *p)
{
    dns_entry *e = p->entry;
    hs_list_remove(&p->link);
    p->entry = NULL;
    p->state = PART_OFF;
    if (e && e->state == DNS_QUEUED && hs_list_empty(&e->waiters)) {
        queue_leave(r, e);
        dns_cache_drop(&r->cache, e);
    }
}

static void lookup_free(dns_lookup *l)
{
    resolver *r = l->r;
    hs_shard *shard = r->dns.shard;
    for (int i = 0; i < 2; i++)
        leave(r, &l->parts[i]);
    hs_timer_cancel(shard, &l->timeout);
    hs_microtask_cancel(&l->first);
    hs_list_remove(&l->link);
    hs_pool_give(&r->lookups, l);
    if (r->lookups.slots_used == 0 && r->asked > 0)
        drop_questions(r);
    hs_shard_release_as(shard, "name lookup");
}

/* Tell what one part came to. False where the lookup is gone then. */
static bool tell(dns_lookup *l, dns_part *p, hs_err err, const hs_addr *addrs, uint32_t len)
{
    HS_ASSERT(hs_ok(err) == (len > 0));
    HS_ASSERT(l->op && !l->telling);
    HS_ASSERT(p->state != PART_OFF);
    leave(l->r, p);
    const dns_part *other = &l->parts[p == &l->parts[0]];
    hs_dns_answer answer = {.addrs = addrs,
                            .len = len,
                            .err = err,
                            .family = p->family,
                            .more = other->state != PART_OFF};
    hs_dns_op *op = l->op;
    hs_dns_fn *fn = op->fn;
    if (!answer.more) {
        /* The op may be started anew, or be gone, when its function returns. */
        op->fn = NULL;
        lookup_free(l);
        fn(op, &answer);
        return false;
    }
    l->telling = true;
    fn(op, &answer);
    l->telling = false;
    if (l->op)
        return true;
    lookup_free(l);
    return false;
}

static void tell_all(dns_lookup *l, hs_err err)
{
    count(l->r, l->r->count_failed);
    for (int i = 0; i < 2; i++)
        if (l->parts[i].state != PART_OFF && !tell(l, &l->parts[i], err, NULL, 0))
            return;
}

static void on_timeout(hs_timer *timer)
{
    tell_all(HS_CONTAINER_OF(timer, dns_lookup, timeout), hs_err_of(HS_E_NAME_TIMEOUT));
}

/* ---- the parts of a lookup ---- */

static void next_candidate(dns_lookup *l);

/* A part has its answer. False where the lookup is gone then. */
static bool part_answered(dns_part *p, hs_err err, const dns_entry *e)
{
    hs_addr addrs[HS_DNS_ADDRS_MAX];
    HS_ASSERT(p->state == PART_WAIT);
    if (!hs_ok(err)) {
        p->state = PART_NONE;
        p->err = err;
        return true;
    }
    HS_ASSERT(e->len > 0 && e->len <= HS_DNS_ADDRS_MAX);
    for (uint32_t i = 0; i < e->len; i++)
        dns_ip_addr(&e->ips[i], e->family, &addrs[i]);
    p->lookup->found = true;
    return tell(p->lookup, p, HS_OK, addrs, e->len);
}

/* After an answer: tell what was held back, or go on to the next candidate. */
static void look_at_parts(dns_lookup *l)
{
    hs_err err = hs_err_of(HS_E_NAME_NONE);
    for (int i = 0; i < 2; i++) {
        dns_part *p = &l->parts[i];
        if (p->state == PART_WAIT && !l->found)
            return;
        if (p->state != PART_NONE)
            continue;
        if (p->err.code != HS_E_NAME_NONE)
            err = p->err;
        if (l->found && !tell(l, p, p->err, NULL, 0))
            return;
    }
    if (l->found)
        return;
    /* A server that cannot answer for one domain may well answer for the next, and the C library
     * goes on, too. Without an answer (or memory) it would be the same there. */
    if (err.code == HS_E_NAME_FAILED)
        l->failed = true;
    if (err.code == HS_E_NAME_NONE || err.code == HS_E_NAME_FAILED)
        next_candidate(l);
    else
        tell_all(l, err);
}

/* Put a part's question. False where the lookup is gone then. */
static bool part_ask(dns_part *p, const dns_name *name)
{
    dns_entry *e;
    p->state = PART_WAIT;
    hs_err err = entry_for(p->lookup->r, name, p->family, &e);
    if (!hs_ok(err))
        return part_answered(p, err, NULL);
    /* Whoever hears of it cannot make the entry go: what is started from there begins later. */
    if (e->state == DNS_KNOWN)
        return part_answered(p, e->err, e);
    p->entry = e;
    hs_list_push_back(&e->waiters, &p->link);
    return true;
}

static void next_candidate(dns_lookup *l)
{
    dns_name name;
    bool skip, asked[2];
    do {
        if (!dns_candidate(&l->r->resolv, &l->name, l->candidate, &name, &skip)) {
            tell_all(l, hs_err_of(l->failed ? HS_E_NAME_FAILED : HS_E_NAME_NONE));
            return;
        }
        l->candidate++;
    } while (skip);
    for (int i = 0; i < 2; i++) {
        asked[i] = l->parts[i].state != PART_OFF;
        if (asked[i])
            l->parts[i].state = PART_WAIT;
    }
    for (int i = 0; i < 2; i++)
        if (asked[i] && !part_ask(&l->parts[i], &name))
            return;
    look_at_parts(l);
}

/* An entry is known: tell all that wait for it, then keep it or not. */
static void entry_end(resolver *r, dns_entry *e, uint64_t keep_s)
{
    HS_ASSERT(e->state == DNS_KNOWN && !e->kept);
    for (hs_list *node; (node = hs_list_pop_front(&e->waiters)) != NULL;) {
        dns_part *p = HS_CONTAINER_OF(node, dns_part, link);
        dns_lookup *l = p->lookup;
        p->entry = NULL;
        if (part_answered(p, e->err, e))
            look_at_parts(l);
    }
    if (keep_s > 0)
        dns_cache_keep(&r->cache, e, hs_shard_now_ns(r->dns.shard) + keep_s * HS_SEC_NS);
    else
        dns_cache_drop(&r->cache, e);
}

/* Ask what waits, as far as the bound allows. */
static void pump(resolver *r)
{
    while (!r->ended && r->asked < r->o.queries_max && r->queue_len > 0) {
        dns_entry *e = HS_CONTAINER_OF(r->queue.next, dns_entry, link);
        queue_leave(r, e);
        ask(r, e);
        if (e->state == DNS_KNOWN)
            entry_end(r, e, 0);
    }
}

static uint64_t keep_s(const resolver *r, const dns_reply *reply, hs_err err)
{
    if (r->o.cache_off)
        return 0;
    if (hs_ok(err))
        return HS_MAX(HS_MIN(reply->ttl_s, r->o.ttl_s_max), r->o.ttl_s_min);
    return err.code == HS_E_NAME_NONE ? r->o.none_s : 0;
}

static void on_reply(void *ctx, void *question, const dns_reply *reply)
{
    resolver *r = ctx;
    dns_entry *e = question;
    HS_ASSERT(!hs_ok(reply->err) || (reply->len > 0 && reply->len <= HS_DNS_ADDRS_MAX));
    question_leave(r, e);
    e->state = DNS_KNOWN;
    e->err = reply->err;
    if (hs_ok(e->err)) {
        size_t bytes = reply->len * sizeof *e->ips;
        e->ips = hs_mem_take(r->cache.mem, bytes, 16);
        if (e->ips) {
            memcpy(e->ips, reply->ips, bytes);
            e->len = reply->len;
        } else {
            e->err = hs_err_of(-ENOMEM);
        }
    }
    r->inside = true;
    entry_end(r, e, keep_s(r, reply, e->err));
    pump(r);
    r->inside = false;
}

/* ---- other servers ---- */

static void wire_set(resolver *r, dns_wire *wire)
{
    wire->replied = on_reply;
    wire->ctx = r;
    r->wire = wire;
}

void dns_wire_replace(resolver *r, dns_wire *wire)
{
    r->wire->ops->destroy(r->wire);
    wire_set(r, wire);
    while (!hs_list_empty(&r->questions)) {
        dns_entry *e = HS_CONTAINER_OF(r->questions.next, dns_entry, link);
        question_leave(r, e);
        e->state = DNS_QUEUED;
        hs_list_push_back(&r->queue, &e->link);
        r->queue_len++;
    }
    r->inside = true;
    pump(r);
    r->inside = false;
}

/* ---- the start of a lookup ---- */

/* What is known here of a name, without a server. False where it has to be asked for. */
static bool known_here(const dns_lookup *l, int family, hs_addr *out, uint32_t *len)
{
    bool known = true;
    if (!l->is_name) {
        *len = l->numeric.sa.any.sa_family == family;
        out[0] = l->numeric;
    } else if (dns_is_localhost(&l->name)) {
        *len = 1;
        dns_loopback(family, &out[0]);
    } else {
        *len = dns_hosts_find(&l->r->hosts, &l->name, family, out, &known);
    }
    return known;
}

static void lookup_begin(hs_microtask *task)
{
    dns_lookup *l = HS_CONTAINER_OF(task, dns_lookup, first);
    hs_addr addrs[HS_DNS_ADDRS_MAX];
    uint32_t len;
    for (int i = 0; i < 2; i++) {
        dns_part *p = &l->parts[i];
        if (p->state == PART_OFF)
            continue;
        if (!known_here(l, p->family, addrs, &len)) {
            next_candidate(l);
            return;
        }
        if (!tell(l, p, hs_err_of(len ? 0 : HS_E_NAME_NONE), addrs, len))
            return;
    }
}

static hs_err lookup_start(hs_dns *dns, hs_dns_op *op, hs_span text, int family)
{
    resolver *r = resolver_of(dns);
    dns_name name;
    hs_addr numeric;
    bool is_name = !dns_numeric(text, &numeric);
    HS_ENSURE(!r->ended, -ECANCELED);
    HS_ENSURE(!is_name || dns_name_parse(&name, text), HS_E_NAME_NONE);
    HS_ENSURE(r->lookups.slots_used < HS_DNS_LOOKUPS_MAX, HS_E_LIMIT);
    dns_lookup *l = hs_pool_take(&r->lookups);
    HS_ENSURE(l, -ENOMEM);
    *l = (dns_lookup){.r = r, .op = op, .is_name = is_name};
    if (is_name)
        l->name = name;
    else
        l->numeric = numeric;
    for (int i = 0; i < 2; i++) {
        dns_part *p = &l->parts[i];
        p->lookup = l;
        p->family = i == 0 ? AF_INET6 : AF_INET;
        p->state = family == AF_UNSPEC || family == p->family ? PART_WAIT : PART_OFF;
        hs_list_init(&p->link);
    }
    hs_err err = hs_timer_after(dns->shard, &l->timeout, r->o.lookup_ms, on_timeout);
    if (!hs_ok(err)) {
        hs_pool_give(&r->lookups, l);
        return err;
    }
    op->state = l;
    if (is_name)
        dns_look_at_files(r);
    hs_list_init(&l->link);
    hs_list_push_back(&r->running, &l->link);
    count(r, r->count_lookups);
    hs_shard_hold_as(dns->shard, "name lookup");
    hs_microtask_post(dns->shard, &l->first, lookup_begin);
    return HS_OK;
}

static void lookup_cancel(hs_dns *dns, hs_dns_op *op)
{
    dns_lookup *l = op->state;
    HS_ASSERT(l->r == resolver_of(dns));
    HS_ASSERT(l->op == op);
    l->op = NULL;
    if (!l->telling)
        lookup_free(l);
}

/* ---- making ---- */

static bool trim_resolver(hs_trim *trim)
{
    resolver *r = HS_CONTAINER_OF(trim, resolver, trim);
    dns_cache_expire(&r->cache, hs_shard_now_ns(r->dns.shard));
    return hs_shard_trim_pool(&r->lookups);
}

static void resolver_free(resolver *r)
{
    dns_cache_fini(&r->cache);
    dns_hosts_fini(&r->hosts);
    dns_watch_fini(&r->watch, hs_shard_mem(r->dns.shard));
    hs_pool_fini(&r->lookups);
    hs_mem_give(hs_shard_mem(r->dns.shard), r, sizeof *r, 16);
}

/* No lookup is left: what may still be under way is dropped. */
static void resolver_end(resolver *r)
{
    HS_ASSERT(r->lookups.slots_used == 0 && r->queue_len == 0);
    HS_ASSERT(!r->inside);
    if (r->asked > 0)
        drop_questions(r);
    dns_look_cancel(r);
    r->wire->ops->destroy(r->wire);
    resolver_free(r);
}

static void on_gone(hs_microtask *task)
{
    resolver *r = HS_CONTAINER_OF(task, resolver, gone);
    hs_shard *shard = r->dns.shard;
    while (!hs_list_empty(&r->running))
        tell_all(HS_CONTAINER_OF(r->running.next, dns_lookup, link), hs_err_of(-ECANCELED));
    resolver_end(r);
    hs_shard_release_as(shard, "name lookup");
}

/* Lookups that are under way are told from a microtask, as we may be inside of one's answer. */
static void resolver_destroy(hs_dns *dns)
{
    resolver *r = resolver_of(dns);
    HS_ASSERT(!r->ended);
    r->ended = true;
    hs_shard_trim_remove(&r->trim);
    if (r->lookups.slots_used == 0 && !r->inside) {
        resolver_end(r);
        return;
    }
    hs_shard_hold_as(dns->shard, "name lookup");
    hs_microtask_post(dns->shard, &r->gone, on_gone);
}

static const hs_dns_ops resolver_ops = {
    .start = lookup_start,
    .cancel = lookup_cancel,
    .destroy = resolver_destroy,
};

static hs_err resolver_init(resolver *r)
{
    hs_shard *shard = r->dns.shard;
    hs_counters *c = hs_shard_counters(shard);
    HS_TRY(hs_counters_register(c, "dns_lookups", &r->count_lookups));
    HS_TRY(hs_counters_register(c, "dns_hits", &r->count_hits));
    HS_TRY(hs_counters_register(c, "dns_queries", &r->count_queries));
    HS_TRY(hs_counters_register(c, "dns_failed", &r->count_failed));
    HS_TRY(hs_pool_init(&r->lookups, hs_shard_mem(shard), sizeof(dns_lookup), HS_DNS_LOOKUPS_MAX));
    HS_TRY(dns_watch_init(&r->watch, shard, r->o.resolv_path, r->o.hosts_path));
    HS_TRY(dns_hosts_read(&r->hosts, shard, r->o.hosts_path));
    return dns_resolv_read(&r->resolv, shard, r->o.resolv_path);
}

hs_err dns_create_on(hs_shard *shard, const hs_dns_options *options, dns_wire *wire, hs_dns **out)
{
    const hs_mem *mem = hs_shard_mem(shard);
    const uint64_t seed[2] = {hs_shard_random(shard), hs_shard_random(shard)};
    resolver *r = hs_mem_take_zero(mem, sizeof *r, 16);
    HS_ENSURE(r, -ENOMEM);
    r->dns.ops = &resolver_ops;
    r->dns.shard = shard;
    r->o = dns_options_set(options);
    hs_list_init(&r->queue);
    hs_list_init(&r->questions);
    hs_list_init(&r->running);
    /* What is asked and what waits is bounded on the way in. */
    dns_cache_init(&r->cache, mem, r->o.cache_max, r->o.queries_max + HS_DNS_QUEUE_MAX, seed);
    hs_err err = resolver_init(r);
    if (!hs_ok(err)) {
        resolver_free(r);
        return err;
    }
    /* Nothing of the caller's is kept. */
    r->servers_given = r->o.servers != NULL;
    r->o.servers = r->o.hosts_path = r->o.resolv_path = NULL;
    wire_set(r, wire);
    r->trim.fn = trim_resolver;
    hs_shard_trim_add(shard, &r->trim);
    *out = &r->dns;
    return HS_OK;
}
