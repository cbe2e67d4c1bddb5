/* What the tests of lookups share: a wire that the test is, which keeps what it is asked and
 * answers when told to, and what each lookup heard. */
#pragma once

#include <unistd.h>

#include "bench.h"
#include "dns.h"

#define ASKS_MAX 400

typedef struct ask {
    void *question; /* NULL: answered */
    int family;
    char name[260];
} ask_made;

typedef struct fake {
    dns_wire wire;
    ask_made asks[ASKS_MAX];
    uint32_t len;
    uint32_t cancels, destroys, remakes;
    hs_err remake_err;
    bool inside;    /* a call into the resolver is under way: nothing may be heard */
    hs_err ask_err; /* what asking comes to */
} fake;

/* What one lookup heard. */
typedef struct heard {
    hs_dns_op op;
    uint32_t answers;
    hs_err err[2]; /* IPv6, IPv4 */
    uint32_t len[2];
    hs_addr first[2];
    bool told[2], ended;
    int families;
    hs_dns *cancel_in_answer;   /* cancel the op in its first answer */
    uint32_t destroy_in_answer; /* destroy the resolver in that answer (from 1) */
    bool refused;               /* its start is refused, as the resolver is destroyed */
    struct heard *again;        /* start this lookup in the last answer */
} heard;

static bench b;
static fake f;
static hs_dns *dns;
static char resolv_path[32], hosts_path[32];

static inline hs_err fake_ask(dns_wire *wire, const char *name, int family, void *question)
{
    cr_assert_eq(wire, &f.wire);
    cr_assert_lt(f.len, ASKS_MAX);
    if (!hs_ok(f.ask_err))
        return f.ask_err;
    ask_made *a = &f.asks[f.len++];
    a->question = question;
    a->family = family;
    snprintf(a->name, sizeof a->name, "%s", name);
    return HS_OK;
}

static inline void answer(uint32_t i, int32_t err, uint32_t ttl_s, uint32_t len)
{
    dns_reply r = {.err = hs_err_of(err), .ttl_s = ttl_s, .len = len};
    cr_assert_lt(i, f.len);
    cr_assert_not_null(f.asks[i].question);
    for (uint32_t k = 0; k < len; k++)
        r.ips[k].bytes[f.asks[i].family == AF_INET ? 3 : 15] = (uint8_t)(k + 1);
    void *question = f.asks[i].question;
    f.asks[i].question = NULL;
    f.wire.replied(f.wire.ctx, question, &r);
}

static inline void fake_drop_all(dns_wire *wire)
{
    cr_assert_eq(wire, &f.wire);
    f.cancels++;
    for (uint32_t i = 0; i < f.len; i++)
        f.asks[i].question = NULL;
}

static inline void fake_destroy(dns_wire *wire)
{
    cr_assert_eq(wire, &f.wire);
    f.destroys++;
    for (uint32_t i = 0; i < f.len; i++)
        f.asks[i].question = NULL;
}

static inline hs_err fake_remake(hs_shard *shard, const hs_dns_options *o, dns_wire **out);

static const dns_wire_ops fake_ops = {fake_ask, fake_drop_all, fake_remake, fake_destroy};

/* The same one again: its `destroy` as the old one comes after this. */
static inline hs_err fake_remake(hs_shard *shard, const hs_dns_options *o, dns_wire **out)
{
    cr_assert_eq(shard, b.shard);
    cr_assert_str_eq(o->resolv_path, resolv_path);
    f.remakes++;
    *out = &f.wire;
    return f.remake_err;
}

static inline void open_dns(const hs_dns_options *o, const char *resolv, const char *hosts)
{
    snprintf(resolv_path, sizeof resolv_path, "/tmp/hs_resolv_XXXXXX");
    snprintf(hosts_path, sizeof hosts_path, "/tmp/hs_hosts_XXXXXX");
    int fds[2] = {mkstemp(resolv_path), mkstemp(hosts_path)};
    cr_assert(fds[0] >= 0 && fds[1] >= 0);
    cr_assert_geq(write(fds[0], resolv, strlen(resolv)), 0);
    cr_assert_geq(write(fds[1], hosts, strlen(hosts)), 0);
    hs_dns_options own = o ? *o : (hs_dns_options){0};
    own.resolv_path = resolv_path;
    own.hosts_path = hosts_path;
    bench_init(&b, NULL);
    memset(&f, 0, sizeof f);
    f.wire.ops = &fake_ops;
    cr_assert(hs_ok(dns_create_on(b.shard, &own, &f.wire, &dns)));
    for (int i = 0; i < 2; i++)
        close(fds[i]);
}

/* After the resolver was destroyed. */
static inline void end_bench(void)
{
    bench_fini(&b);
    unlink(resolv_path);
    unlink(hosts_path);
}

static inline void close_dns(void)
{
    bench_run(&b, 1);
    hs_dns_destroy(dns);
    end_bench();
}

static inline void start_family(heard *h, const char *name, int family);

static inline void on_heard(hs_dns_op *op, const hs_dns_answer *a)
{
    heard *h = HS_CONTAINER_OF(op, heard, op);
    int i = a->family == AF_INET;
    cr_assert(!f.inside && !h->ended && !h->told[i]);
    cr_assert(i || a->family == AF_INET6);
    h->told[i] = true;
    h->answers++;
    h->err[i] = a->err;
    h->len[i] = a->len;
    cr_assert_eq(hs_ok(a->err), a->len > 0);
    for (uint32_t k = 0; k < a->len; k++) {
        cr_assert_eq(a->addrs[k].sa.any.sa_family, a->family);
        cr_assert_eq(hs_addr_port(&a->addrs[k]), 0);
    }
    if (a->len)
        h->first[i] = a->addrs[0];
    h->ended = !a->more;
    cr_assert_eq(h->ended, (int)h->answers == h->families);
    if (h->cancel_in_answer)
        hs_dns_cancel(h->cancel_in_answer, op);
    if (h->destroy_in_answer == h->answers)
        hs_dns_destroy(dns);
    if (h->ended && h->again)
        start_family(h->again, "again.test", AF_INET);
}

static inline void start_family(heard *h, const char *name, int family)
{
    h->families = family == AF_UNSPEC ? 2 : 1;
    f.inside = true;
    hs_err err = hs_dns_start(dns, &h->op, hs_span_str(name), family, on_heard);
    cr_assert_eq(err.code, h->refused ? -ECANCELED : 0, "%s: %s", name, hs_err_name(err));
    f.inside = false;
}

static inline void start(heard *h, const char *name)
{
    start_family(h, name, AF_UNSPEC);
    bench_run(&b, 1);
}

/* That question `i` was put, and for what. */
static inline void assert_asked(uint32_t i, const char *name, int family)
{
    cr_assert_lt(i, f.len);
    cr_assert_str_eq(f.asks[i].name, name);
    cr_assert_eq(f.asks[i].family, family);
}

static inline void assert_first(const heard *h, int family, const char *is)
{
    char text[HS_ADDR_TEXT_BYTES];
    int i = family == AF_INET;
    cr_assert(h->told[i]);
    cr_assert_str_eq(hs_addr_format(&h->first[i], text), is);
}

enum { v6, v4 }; /* of told, err, len, first */
