/* The resolver that asks name servers: what dns.c (lookups) and dns_reload.c (its files) share. */
#pragma once

#include "dns.h"

typedef struct resolver {
    hs_dns dns;
    hs_dns_options o;
    dns_wire *wire;
    dns_cache cache;
    dns_hosts hosts;
    dns_resolv resolv;
    dns_watch watch;
    hs_pool lookups;
    hs_list queue;     /* entries that are not asked yet */
    hs_list questions; /* entries that the wire has */
    uint32_t queue_len, asked;
    hs_list running; /* lookups */
    hs_trim trim;
    hs_microtask gone;  /* destroyed with lookups under way, which are told */
    hs_microtask look;  /* whether files have changed */
    bool looking;       /* `look` is posted */
    bool servers_given; /* not those of resolv.conf */
    bool ended;         /* destroyed: nothing is asked any more */
    bool inside;        /* on_reply is under way */
    uint32_t count_lookups, count_hits, count_queries, count_failed;
} resolver;

/* Look, before a lookup begins and when it is time, whether a file has changed: from a microtask.
 */
void dns_look_at_files(resolver *r);
/* Do not. */
void dns_look_cancel(resolver *r);

/* Take another wire. What is under way is asked there: the old servers may be out of reach. Not
 * from inside of an answer. */
void dns_wire_replace(resolver *r, dns_wire *wire);
