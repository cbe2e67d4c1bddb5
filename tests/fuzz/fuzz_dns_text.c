/* Fuzzes what the resolver reads as text: names, addresses in numbers, hosts files, resolv.conf.
 *
 * Checked: a name that is taken has its lengths and only bytes that names have, and is taken again
 * as it was written down; no name is an address as well; each candidate is a name; what a hosts
 * file gives is found under a name, within its bound. */
#include <stdlib.h>

#include "dns.h"
#include "hs_assert.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_name(const dns_name *n)
{
    dns_name again;
    hs_addr addr;
    HS_ASSERT(n->len > 0 && n->len <= DNS_NAME_MAX);
    HS_ASSERT(strlen(n->text) == n->len);
    for (size_t i = 0; i < n->len; i++)
        HS_ASSERT(strchr("abcdefghijklmnopqrstuvwxyz0123456789-_.", n->text[i]));
    HS_ASSERT(dns_name_parse(&again, hs_span_str(n->text)));
    HS_ASSERT(strcmp(again.text, n->text) == 0 && again.dots == n->dots && !again.absolute);
    HS_ASSERT(!dns_numeric(hs_span_str(n->text), &addr));
}

static void check_candidates(const dns_resolv *r, const dns_name *n)
{
    dns_name c;
    bool skip;
    uint32_t i = 0;
    for (; dns_candidate(r, n, i, &c, &skip); i++) {
        HS_ASSERT(i <= r->domains_len);
        HS_ASSERT(skip || (strlen(c.text) == c.len && c.len <= DNS_NAME_MAX));
    }
    HS_ASSERT(i >= 1);
}

static void check_hosts(hs_span text, const dns_name *name)
{
    static const uint64_t seed[2] = {1, 2};
    dns_hosts h;
    hs_addr addrs[HS_DNS_ADDRS_MAX];
    bool known;
    size_t bytes = text.len + 1;
    char *copy = hs_mem_take(hs_mem_system(), bytes, 1);
    HS_ASSERT(copy != NULL);
    memcpy(copy, text.ptr, text.len);
    hs_err err = dns_hosts_parse(&h, hs_mem_system(), seed, copy, text.len, bytes);
    HS_ASSERT(hs_ok(err));
    uint32_t n = 0;
    for (int i = 0; i < 2; i++)
        n += dns_hosts_find(&h, name, i ? AF_INET : AF_INET6, addrs, &known);
    HS_ASSERT(known == (n > 0));
    HS_ASSERT(n <= 2 * HS_DNS_ADDRS_MAX);
    dns_hosts_fini(&h);
}

/* The first line is a name, the rest a file. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const uint8_t *newline = size ? memchr(data, '\n', size) : NULL;
    size_t len = newline ? (size_t)(newline - data) : size;
    hs_span first = hs_span_of(data, len);
    hs_span rest = hs_span_of(data + len, size - len);
    dns_name name;
    dns_resolv resolv;
    hs_addr addr;
    bool numeric = dns_numeric(first, &addr);
    dns_resolv_parse(&resolv, rest);
    HS_ASSERT(resolv.domains_len <= HS_DNS_SEARCH_MAX && resolv.ndots <= 15);
    for (uint32_t i = 0; i < resolv.domains_len; i++)
        check_name(&resolv.domains[i]);
    if (!dns_name_parse(&name, first))
        return 0;
    HS_ASSERT(!numeric);
    check_name(&name);
    check_candidates(&resolv, &name);
    if (rest.len > 0)
        check_hosts(rest, &name);
    return 0;
}
