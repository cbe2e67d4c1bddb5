/* hs_dns_lookup: a lookup of any resolver as a promise.
 *
 * Owns: the collecting of both families' answers, and the mixing of them. Must not know: how the
 * resolver works. Tested by: tests/unit/net_dns_lookup.c. */
#include "hs_dns.h"

#include <errno.h>

#include "hs_assert.h"

typedef struct collector {
    hs_dns_op op;
    hs_cancel_hook hook;
    hs_cancel *cancel;
    hs_dns *dns;
    hs_promise *promise;
    hs_dns_addrs *found[2]; /* IPv6, IPv4 */
    hs_err err;             /* why there is none; the more telling one of two */
} collector;

static size_t addrs_bytes(uint32_t len)
{
    return sizeof(hs_dns_addrs) + len * sizeof(hs_addr);
}

static hs_dns_addrs *addrs_make(hs_shard *shard, uint32_t len)
{
    hs_dns_addrs *a = hs_mem_take(hs_shard_mem(shard), addrs_bytes(len), 16);
    if (a) {
        a->shard = shard;
        a->len = len;
    }
    return a;
}

void hs_dns_addrs_free(void *addrs)
{
    hs_dns_addrs *a = addrs;
    if (a)
        hs_mem_give(hs_shard_mem(a->shard), a, addrs_bytes(a->len), 16);
}

/* Both families in turn, IPv6 first; what one has more of comes at the end. */
static hs_dns_addrs *mix(hs_shard *shard, const hs_dns_addrs *a, const hs_dns_addrs *b)
{
    hs_dns_addrs *m = addrs_make(shard, a->len + b->len);
    if (!m)
        return NULL;
    for (uint32_t i = 0, n = 0; n < m->len; i++) {
        if (i < a->len)
            m->at[n++] = a->at[i];
        if (i < b->len)
            m->at[n++] = b->at[i];
    }
    return m;
}

/* Settle the promise with what came, or with `err`, and be gone. */
static void finish(collector *c, hs_err err)
{
    hs_shard *shard = c->dns->shard;
    hs_dns_addrs *a = c->found[0], *b = c->found[1], *value = a ? a : b;
    HS_ASSERT(c->op.fn == NULL);
    HS_ASSERT(!hs_ok(err) || value);
    if (a && b) {
        value = hs_ok(err) ? mix(shard, a, b) : NULL;
        err = value || !hs_ok(err) ? err : hs_err_of(-ENOMEM);
        hs_dns_addrs_free(a);
        hs_dns_addrs_free(b);
    }
    if (!hs_ok(err)) {
        if (!(a && b))
            hs_dns_addrs_free(value);
        value = NULL;
    }
    hs_promise *promise = c->promise;
    hs_cancel_remove(&c->hook);
    hs_cancel_unref(c->cancel);
    hs_mem_give(hs_shard_mem(shard), c, sizeof *c, 16);
    hs_promise_settle(promise, value ? hs_value_owned(value, hs_dns_addrs_free) : hs_error(err));
}

static void on_answer(hs_dns_op *op, const hs_dns_answer *answer)
{
    collector *c = HS_CONTAINER_OF(op, collector, op);
    hs_dns_addrs **found = &c->found[answer->family == AF_INET];
    HS_ASSERT(!*found);
    hs_err err = answer->err;
    if (hs_ok(err)) {
        *found = addrs_make(c->dns->shard, answer->len);
        if (*found)
            memcpy((*found)->at, answer->addrs, answer->len * sizeof *answer->addrs);
        else
            err = hs_err_of(-ENOMEM);
    }
    /* "There is none" of one family says less than a failure of the other. */
    if (hs_ok(c->err) || c->err.code == HS_E_NAME_NONE)
        c->err = err;
    if (!answer->more)
        finish(c, c->found[0] || c->found[1] ? HS_OK : c->err);
}

static void on_cancel(hs_cancel_hook *hook, hs_err why)
{
    collector *c = HS_CONTAINER_OF(hook, collector, hook);
    hs_dns_cancel(c->dns, &c->op);
    finish(c, why);
}

static hs_err start(collector *c, hs_span name, int family)
{
    HS_TRY(hs_cancel_add(c->cancel, &c->hook, on_cancel));
    return hs_dns_start(c->dns, &c->op, name, family, on_answer);
}

hs_promise *hs_dns_lookup(hs_dns *dns, hs_span name, int family, hs_cancel *cancel)
{
    HS_ASSERT(dns->shard == hs_shard_self());
    const hs_mem *mem = hs_shard_mem(dns->shard);
    collector *c = hs_mem_take_zero(mem, sizeof *c, 16);
    hs_promise *promise = c ? hs_promise_create(dns->shard) : NULL;
    if (!promise) {
        hs_mem_give(mem, c, sizeof *c, 16);
        return hs_promise_settled(dns->shard, hs_error(hs_err_of(-ENOMEM)));
    }
    c->dns = dns;
    c->promise = promise;
    c->cancel = hs_cancel_ref(cancel);
    hs_err err = start(c, name, family);
    if (!hs_ok(err))
        finish(c, err);
    return promise;
}
