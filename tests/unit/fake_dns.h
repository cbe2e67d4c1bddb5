/* A resolver for tests: each answer is written down before, with the virtual time that it takes. */
#pragma once

#include "bench.h"
#include "hs_dns.h"

#define FAKE_ROWS_MAX 16
#define FAKE_ADDRS_MAX 40

/* What one family of a name comes to. */
typedef struct fake_row {
    const char *name;
    const char *addrs; /* with a space between; NULL: `err` */
    int32_t err;
    uint32_t after_ms; /* UINT32_MAX: never */
    int family;
} fake_row;

typedef struct fake_part {
    hs_timer timer;
    hs_dns_op *op; /* NULL: not under way */
    const fake_row *row;
    struct fake_part *other; /* still to be told */
} fake_part;

typedef struct fake_dns {
    hs_dns dns;
    const fake_row *rows; /* up to one without a name */
    fake_part parts[2 * FAKE_ROWS_MAX];
    uint32_t starts, cancels, active;
    hs_err start_err;
} fake_dns;

static inline void fake_told(hs_timer *timer)
{
    fake_part *p = HS_CONTAINER_OF(timer, fake_part, timer);
    hs_addr addrs[FAKE_ADDRS_MAX];
    hs_dns_answer a = {.addrs = addrs, .err = hs_err_of(p->row->err), .family = p->row->family};
    for (const char *at = p->row->addrs; at; at = strchr(at, ' ')) {
        char text[80];
        at += *at == ' ';
        size_t len = strcspn(at, " ");
        snprintf(text, sizeof text,
                 strchr(at, ':') && p->row->family == AF_INET6 ? "[%.*s]:0" : "%.*s:0", (int)len,
                 at);
        cr_assert(hs_ok(hs_addr_parse(&addrs[a.len++], hs_span_str(text))), "%s", text);
    }
    hs_dns_op *op = p->op;
    fake_dns *f = op->state;
    a.more = p->other != NULL;
    p->op = NULL;
    if (p->other)
        p->other->other = NULL;
    f->active--;
    hs_shard_release(f->dns.shard);
    hs_dns_fn *fn = op->fn;
    if (!a.more)
        op->fn = NULL;
    fn(op, &a);
}

static inline const fake_row *fake_find(const fake_dns *f, hs_span name, int family)
{
    for (const fake_row *r = f->rows; r->name; r++)
        if (r->family == family && hs_span_eq(hs_span_str(r->name), name))
            return r;
    return NULL;
}

static inline hs_err fake_start(hs_dns *dns, hs_dns_op *op, hs_span name, int family)
{
    fake_dns *f = HS_CONTAINER_OF(dns, fake_dns, dns);
    static const int families[] = {AF_INET6, AF_INET};
    fake_part *made[2] = {NULL, NULL};
    f->starts++;
    if (!hs_ok(f->start_err))
        return f->start_err;
    for (int i = 0; i < 2; i++) {
        if (family != AF_UNSPEC && family != families[i])
            continue;
        const fake_row *row = fake_find(f, name, families[i]);
        cr_assert_not_null(row, "no row for %.*s", (int)name.len, (const char *)name.ptr);
        fake_part *p = f->parts;
        while (p->op)
            p++;
        cr_assert_lt(p, f->parts + HS_ARRAY_LEN(f->parts));
        *p = (fake_part){.op = op, .row = row};
        made[i] = p;
        f->active++;
        hs_shard_hold(dns->shard);
        uint64_t ms = row->after_ms == UINT32_MAX ? FAR_MS : row->after_ms;
        cr_assert(hs_ok(hs_timer_after(dns->shard, &p->timer, ms, fake_told)));
    }
    if (made[0] && made[1]) {
        made[0]->other = made[1];
        made[1]->other = made[0];
    }
    op->state = f;
    return HS_OK;
}

static inline void fake_cancel(hs_dns *dns, hs_dns_op *op)
{
    fake_dns *f = HS_CONTAINER_OF(dns, fake_dns, dns);
    f->cancels++;
    for (size_t i = 0; i < HS_ARRAY_LEN(f->parts); i++) {
        fake_part *p = &f->parts[i];
        if (p->op != op)
            continue;
        hs_timer_cancel(dns->shard, &p->timer);
        p->op = NULL;
        f->active--;
        hs_shard_release(dns->shard);
    }
}

static inline void fake_destroy(hs_dns *dns)
{
    (void)dns;
}

static inline void fake_dns_init(fake_dns *f, bench *b, const fake_row *rows)
{
    static const hs_dns_ops ops = {fake_start, fake_cancel, fake_destroy};
    memset(f, 0, sizeof *f);
    f->dns.ops = &ops;
    f->dns.shard = b->shard;
    f->rows = rows;
}
