/* The inside of the resolver, for the files that make it up: dns_name.c (names), dns_file.c (hosts
 * file and resolv.conf), dns_cache.c (answers, and questions under way), dns_ares.c (the wire),
 * dns.c (lookups), dns_reload.c (files that change), dns_op.c (what every resolver can do). */
#pragma once

#include <errno.h>

#include "hs_dns.h"
#include "hs_limits.h"
#include "hs_map.h"

/* ---- names ---- */

/* RFC 1035 section 2.3.4: 255 bytes on the wire are 253 of text; a label has 63. */
#define DNS_NAME_MAX 253
#define DNS_LABEL_MAX 63

/* A host's name in lower case, without the dot at its end. */
typedef struct dns_name {
    uint8_t len, dots;
    bool absolute; /* it had that dot */
    char text[DNS_NAME_MAX + 1];
} dns_name;

/* Parse a host's name: letters, digits, '-' and '_' in labels. Whether it is one; "1.2.3" and
 * "0x7f.1", which others might take for an address, are none. */
bool dns_name_parse(dns_name *out, hs_span text);

/* The address that `text` writes in numbers: "192.0.2.1", "2001:db8::1", "[fe80::1%2]". Its port is
 * 0. False where it is none. */
bool dns_numeric(hs_span text, hs_addr *out);

/* Whether it is "localhost" or below it (RFC 6761 section 6.3). */
bool dns_is_localhost(const dns_name *name);

/* The loopback address of a family, with port 0. */
void dns_loopback(int family, hs_addr *out);

/* ---- files ---- */

typedef struct dns_ip {
    uint8_t bytes[16]; /* IPv4: the first four */
} dns_ip;

/* `ip` as an address of AF_INET or AF_INET6 with port 0. */
void dns_ip_addr(const dns_ip *ip, int family, hs_addr *out);

typedef struct dns_hosts_line dns_hosts_line;

/* A hosts file, read once. */
typedef struct dns_hosts {
    const hs_mem *mem;
    hs_map names; /* to the first line of each */
    dns_hosts_line *lines;
    char *text;
    size_t lines_len, text_bytes;
} dns_hosts;

/* Read the file at `path`; NULL or one that cannot be read: nothing is in it. Errors: -ENOMEM. */
HS_NODISCARD hs_err dns_hosts_read(dns_hosts *hosts, hs_shard *shard, const char *path);
/* The same for `len` bytes of text in memory of `bytes_taken` from `mem`, which is the callee's. */
HS_NODISCARD hs_err dns_hosts_parse(dns_hosts *hosts, const hs_mem *mem, const uint64_t seed[2],
                                    char *bytes, size_t len, size_t bytes_taken);
void dns_hosts_fini(dns_hosts *hosts);

/* The addresses of `name` that have `family`, at most HS_DNS_ADDRS_MAX. Returns how many; *known
 * tells whether the name has one of any family. */
uint32_t dns_hosts_find(const dns_hosts *hosts, const dns_name *name, int family, hs_addr *out,
                        bool *known);

/* What we take from resolv.conf(5): how names are completed. The servers are the wire's business.
 */
typedef struct dns_resolv {
    uint32_t ndots;
    uint32_t domains_len;
    dns_name domains[HS_DNS_SEARCH_MAX];
} dns_resolv;

/* The same for resolv.conf: defaults where it cannot be read. Errors: -ENOMEM. */
HS_NODISCARD hs_err dns_resolv_read(dns_resolv *resolv, hs_shard *shard, const char *path);
void dns_resolv_parse(dns_resolv *resolv, hs_span text);

/* ---- changes of files ---- */

typedef struct dns_file_state {
    uint64_t numbers[5];
} dns_file_state;

typedef struct dns_file {
    char *path;
    dns_file_state state; /* when it was read */
} dns_file;

typedef struct dns_watch {
    dns_file resolv, hosts;
    uint64_t next_ns;
    unsigned reloads; /* of hs_dns_reload, as seen */
    bool forced;      /* read them again though they look the same */
} dns_watch;

/* Note the state of both files: before they are read, so that a change meanwhile is seen later.
 * Errors: -ENOMEM. */
HS_NODISCARD hs_err dns_watch_init(dns_watch *w, hs_shard *shard, const char *resolv,
                                   const char *hosts);
void dns_watch_fini(dns_watch *w, const hs_mem *mem);

/* Candidate number `i` (from 0) for `name`, in the order in which they are tried. False when there
 * is none; *skip where the domain makes it too long. */
bool dns_candidate(const dns_resolv *resolv, const dns_name *name, uint32_t i, dns_name *out,
                   bool *skip);

/* ---- questions and answers ---- */

typedef enum dns_state {
    DNS_NEW,
    DNS_QUEUED, /* waits until fewer queries are under way */
    DNS_ASKED,  /* the wire has it */
    DNS_KNOWN   /* answered; in the cache, or about to go */
} dns_state;

/* One question (an absolute name and a family) from when it is first asked until its answer is
 * forgotten. */
typedef struct dns_entry {
    hs_list link;    /* queued or asked: the resolver's; kept: in the cache, oldest use first */
    hs_list waiters; /* dns_part.link */
    dns_ip *ips;
    uint64_t until_ns; /* kept until then */
    uint32_t len;
    hs_err err;
    int family;
    uint8_t state; /* dns_state */
    bool kept;
    uint8_t key_len;
    char key[]; /* '4' or '6', then the name; a NUL follows */
} dns_entry;

static inline const char *dns_entry_name(const dns_entry *e)
{
    return e->key + 1;
}

typedef struct dns_cache {
    const hs_mem *mem;
    hs_map entries;
    hs_list kept;
    uint32_t kept_len, kept_max;
} dns_cache;

/* An empty cache that keeps at most `kept_max` answers; further `open_max` questions are open. */
void dns_cache_init(dns_cache *c, const hs_mem *mem, uint32_t kept_max, uint32_t open_max,
                    const uint64_t seed[2]);
/* Free it and what it keeps; no question may be open. */
void dns_cache_fini(dns_cache *c);

/* The entry of a question, open or kept; one that is kept and over at `now_ns` is dropped. NULL:
 * there is none. */
dns_entry *dns_cache_find(dns_cache *c, const dns_name *name, int family, uint64_t now_ns);

/* Make an entry of a question that has none. Errors: -ENOMEM, HS_E_LIMIT. */
HS_NODISCARD hs_err dns_cache_add(dns_cache *c, const dns_name *name, int family, dns_entry **out);

/* Keep a known entry until `until_ns`; the one that was not used for longest may go for it. */
void dns_cache_keep(dns_cache *c, dns_entry *e, uint64_t until_ns);

/* Drop all that is kept. */
void dns_cache_clear(dns_cache *c);

/* Forget an entry. */
void dns_cache_drop(dns_cache *c, dns_entry *e);

/* Drop what is over. Returns whether anything was. */
bool dns_cache_expire(dns_cache *c, uint64_t now_ns);

/* ---- the wire ---- */

typedef struct dns_reply {
    hs_err err; /* HS_OK: there is at least one address */
    uint32_t ttl_s;
    uint32_t len;
    dns_ip ips[HS_DNS_ADDRS_MAX];
} dns_reply;

typedef struct dns_wire dns_wire;

/* What asks the servers. */
typedef struct dns_wire_ops {
    /* Ask for `name`, which is absolute, or give an error: -ENOMEM. The answer goes to
     * wire->replied, never before this returns. The shard is held until then. */
    hs_err (*ask)(dns_wire *wire, const char *name, int family, void *question);
    /* Drop all questions: no reply to them comes any more. */
    void (*drop_all)(dns_wire *wire);
    /* A new wire whose servers are those that resolv.conf has now. NULL: they are always the same.
     * Errors: as hs_dns_create. */
    hs_err (*remake)(hs_shard *shard, const hs_dns_options *options, dns_wire **out);
    /* Drop all questions, and end. Not from inside of `replied`. What the kernel still has holds
     * the shard. */
    void (*destroy)(dns_wire *wire);
} dns_wire_ops;

struct dns_wire {
    const dns_wire_ops *ops;
    void (*replied)(void *ctx, void *question, const dns_reply *reply);
    void *ctx; /* it and `replied` are set by the one who asks */
};

/* The wire on c-ares. Errors: as hs_dns_create. */
HS_NODISCARD hs_err dns_ares_create(hs_shard *shard, const hs_dns_options *options, dns_wire **out);

/* `options`, or none, with all defaults set. */
hs_dns_options dns_options_set(const hs_dns_options *options);

/* hs_dns_create on any wire, which belongs to the resolver from a return without an error. */
HS_NODISCARD hs_err dns_create_on(hs_shard *shard, const hs_dns_options *options, dns_wire *wire,
                                  hs_dns **out);
