/* DNS: from a host's name to its addresses, without holding the shard.
 *
 * Owns: what a resolver is, as an interface, and the one that asks name servers: its hosts file,
 * search domains, cache and limits. Must not know: what the addresses are for. Everything belongs
 * to the owner shard.
 * Tested by: tests/unit/net_dns*.c, tests/plain/dns.c against a name server of its own.
 *
 * What is asked of whom: a numeric address and "localhost" with all below it (RFC 6761 section 6.3)
 * are answered at once; then comes the hosts file; then the cache; then the name servers. A name
 * without a dot at its end is tried with the search domains too, as resolv.conf(5) has it; both
 * families are asked for side by side, and a domain is left when neither has an address there, so
 * that an answer never mixes two hosts. */
#pragma once

#include "hs_addr.h"
#include "hs_promise.h"

HS_BEGIN_DECLS

typedef struct hs_dns hs_dns;
typedef struct hs_dns_op hs_dns_op;

/* ---- lookups ---- */

/* Addresses of one name, those to try first at the front; their ports are 0. */
typedef struct hs_dns_addrs {
    hs_shard *shard;
    uint32_t len; /* 1 or more */
    hs_addr at[];
} hs_dns_addrs;

/* Free what hs_dns_lookup gave. Shard: owner only. */
HS_API void hs_dns_addrs_free(void *addrs);

/* Look `name` up. `family` is AF_INET, AF_INET6 or AF_UNSPEC for both, which come in turn then, the
 * first of them IPv6. Fulfilled with hs_dns_addrs, which belong to the receiver. `name` is borrowed
 * until the return, `cancel` may be NULL. Shard: owner only.
 * Errors: HS_E_NAME_NONE (no such host, no address of that family, or no name of a host at all),
 * HS_E_NAME_FAILED, HS_E_NAME_TIMEOUT, HS_E_LIMIT (too many lookups wait), -ENOMEM, and why it was
 * cancelled. */
HS_API hs_promise *hs_dns_lookup(hs_dns *dns, hs_span name, int family, hs_cancel *cancel);

/* ---- the same without promises, and for those who are in a hurry ---- */

/* What was found for one family. */
typedef struct hs_dns_answer {
    const hs_addr *addrs; /* borrowed until the callback returns */
    uint32_t len;
    hs_err err; /* HS_OK: there is at least one address */
    int family; /* AF_INET or AF_INET6 */
    bool more;  /* the other family's answer is still to come */
} hs_dns_answer;

typedef void hs_dns_fn(hs_dns_op *op, const hs_dns_answer *answer);

/* The caller owns the storage; zeroed storage is idle. */
struct hs_dns_op {
    hs_dns_fn *fn; /* NULL: idle */
    void *state;   /* the resolver's */
};

/* Start a lookup. fn(op, answer) is called once for each family that was asked for, never before
 * this returns; AF_UNSPEC thus gives two answers, each as soon as it is known. The op is idle when
 * the last of them is told. `name` is borrowed until the return. Shard: owner only.
 * Errors: HS_E_NAME_NONE (no name of a host), HS_E_LIMIT, -ENOMEM; `fn` is never called then. */
HS_API HS_NODISCARD hs_err hs_dns_start(hs_dns *dns, hs_dns_op *op, hs_span name, int family,
                                        hs_dns_fn *fn);

/* Hear no more of it. The op is idle at once. Idle: nothing, and `dns` is not looked at. Shard:
 * owner only. */
HS_API void hs_dns_cancel(hs_dns *dns, hs_dns_op *op);

/* ---- resolvers ---- */

/* What a resolver is: tests and simulations bring their own. `start` and `cancel` are as above; op
 * and arguments were checked, and op->fn is set. */
typedef struct hs_dns_ops {
    hs_err (*start)(hs_dns *dns, hs_dns_op *op, hs_span name, int family);
    void (*cancel)(hs_dns *dns, hs_dns_op *op);
    void (*destroy)(hs_dns *dns);
} hs_dns_ops;

/* The head of each resolver. */
struct hs_dns {
    const hs_dns_ops *ops;
    hs_shard *shard;
};

/* Zeroed: all defaults. Texts are borrowed until hs_dns_create returns. */
typedef struct hs_dns_options {
    const char *servers;     /* "192.0.2.1:53,[2001:db8::1]:53"; NULL: those of resolv.conf */
    const char *hosts_path;  /* NULL: /etc/hosts; "": none */
    const char *resolv_path; /* NULL: /etc/resolv.conf */
    uint32_t try_ms;         /* for a server's first answer; doubles with each round. 0: 2000 */
    uint32_t tries;          /* rounds through the servers. 0: 3 */
    uint32_t lookup_ms;      /* for a lookup, search domains and all. 0: 15000 */
    uint32_t queries_max;    /* under way at a time, others wait. 0: HS_DNS_QUERIES_MAX */
    uint32_t cache_max;      /* answers kept. 0: HS_DNS_CACHE_MAX */
    bool cache_off;          /* keep none */
    uint32_t ttl_s_min;      /* an answer is kept this long although its TTL is shorter. 0: no */
    uint32_t ttl_s_max;      /* and no longer than this. 0: 3600 */
    uint32_t none_s;         /* how long "there is none" is kept. 0: 5; see cache_off */
} hs_dns_options;

/* Make a resolver that asks name servers. The hosts file and resolv.conf are read now, and again at
 * the first lookup after they have changed: that is looked at once a second, and is a few reads of
 * local files. With resolv.conf the answers that were kept go, and what is under way is asked of
 * the new servers (unless options->servers are given). Owned by the caller until hs_dns_destroy.
 * `options` may be NULL. Shard: owner only. Errors: -ENOMEM, HS_E_USAGE (options->servers is no
 * list of addresses). */
HS_API HS_NODISCARD hs_err hs_dns_create(hs_shard *shard, const hs_dns_options *options,
                                         hs_dns **out);

/* Every resolver reads its files again at its next lookup, whether they have changed or not.
 * Thread: any. */
HS_API void hs_dns_reload(void);

/* Free it. Lookups that are under way end with -ECANCELED, each told once and later (each holds the
 * shard, so that none is left when that has ended); lookups can be cancelled until then, and
 * started no more. NULL: nothing. May be called from inside of an answer. Shard: owner only. */
HS_API void hs_dns_destroy(hs_dns *dns);

HS_END_DECLS
