/* Questions under way, and answers that are kept for as long as they say.
 *
 * Owns: one entry for each question, found by name and family, so that a question that is asked
 * already is not asked twice; and the order in which kept answers go when there are too many. Must
 * not know: how questions are asked, clocks (time is passed in).
 * Tested by: tests/unit/net_dns_cache.c. */
#include "dns.h"

#include "hs_assert.h"

static size_t entry_bytes(const dns_entry *e)
{
    return sizeof *e + e->key_len + 1;
}

static hs_span entry_key(const dns_entry *e)
{
    return hs_span_of(e->key, e->key_len);
}

void dns_cache_init(dns_cache *c, const hs_mem *mem, uint32_t kept_max, uint32_t open_max,
                    const uint64_t seed[2])
{
    *c = (dns_cache){.mem = mem, .kept_max = kept_max};
    hs_map_init(&c->entries, mem, kept_max + open_max, seed);
    hs_list_init(&c->kept);
}

void dns_cache_clear(dns_cache *c)
{
    while (!hs_list_empty(&c->kept))
        dns_cache_drop(c, HS_CONTAINER_OF(c->kept.next, dns_entry, link));
}

void dns_cache_fini(dns_cache *c)
{
    dns_cache_clear(c);
    HS_ASSERT(c->entries.len == 0);
    hs_map_fini(&c->entries);
}

static void make_key(char *out, const dns_name *name, int family)
{
    HS_ASSERT(family == AF_INET || family == AF_INET6);
    out[0] = family == AF_INET ? '4' : '6';
    memcpy(out + 1, name->text, (size_t)name->len + 1);
}

dns_entry *dns_cache_find(dns_cache *c, const dns_name *name, int family, uint64_t now_ns)
{
    char key[DNS_NAME_MAX + 2];
    make_key(key, name, family);
    dns_entry *e = hs_map_get(&c->entries, hs_span_of(key, (size_t)name->len + 1));
    if (!e || !e->kept)
        return e;
    if (e->until_ns <= now_ns) {
        dns_cache_drop(c, e);
        return NULL;
    }
    hs_list_remove(&e->link);
    hs_list_push_back(&c->kept, &e->link);
    return e;
}

hs_err dns_cache_add(dns_cache *c, const dns_name *name, int family, dns_entry **out)
{
    size_t key_len = (size_t)name->len + 1;
    HS_STATIC_ASSERT(DNS_NAME_MAX + 1 <= UINT8_MAX, "a key's length fits");
    dns_entry *e = hs_mem_take_zero(c->mem, sizeof *e + key_len + 1, 16);
    HS_ENSURE(e, -ENOMEM);
    e->key_len = (uint8_t)key_len;
    e->family = family;
    make_key(e->key, name, family);
    hs_list_init(&e->link);
    hs_list_init(&e->waiters);
    hs_err err = hs_map_set(&c->entries, entry_key(e), e, NULL);
    if (!hs_ok(err)) {
        hs_mem_give(c->mem, e, entry_bytes(e), 16);
        return err;
    }
    *out = e;
    return HS_OK;
}

void dns_cache_keep(dns_cache *c, dns_entry *e, uint64_t until_ns)
{
    HS_ASSERT(e->state == DNS_KNOWN && !e->kept);
    HS_ASSERT(hs_list_empty(&e->waiters));
    HS_ASSERT(c->kept_max > 0);
    if (c->kept_len == c->kept_max)
        dns_cache_drop(c, HS_CONTAINER_OF(c->kept.next, dns_entry, link));
    e->kept = true;
    e->until_ns = until_ns;
    hs_list_push_back(&c->kept, &e->link);
    c->kept_len++;
}

void dns_cache_drop(dns_cache *c, dns_entry *e)
{
    HS_ASSERT(hs_list_empty(&e->waiters));
    HS_ASSERT(e->state != DNS_ASKED);
    const void *was = hs_map_remove(&c->entries, entry_key(e));
    HS_ASSERT(was == e);
    hs_list_remove(&e->link);
    if (e->kept)
        c->kept_len--;
    hs_mem_give(c->mem, e->ips, e->len * sizeof *e->ips, 16);
    hs_mem_give(c->mem, e, entry_bytes(e), 16);
}

bool dns_cache_expire(dns_cache *c, uint64_t now_ns)
{
    uint32_t before = c->kept_len;
    hs_list_each_safe (node, &c->kept) {
        dns_entry *e = HS_CONTAINER_OF(node, dns_entry, link);
        if (e->until_ns <= now_ns)
            dns_cache_drop(c, e);
    }
    return c->kept_len < before;
}
