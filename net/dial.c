/* Dialling: see hs_dial.h.
 *
 * Owns: a dial from its start to its promise, the looking up (RFC 8305 section 3), the timeouts of
 * both phases, and a TCP module's resolver. Must not know: how addresses are found (hs_dns.h) or
 * raced (race.h). Tested by: tests/unit/net_dial.c, tests/plain/dial.c.
 *
 * A dial ends once, when its promise is settled. What it had started is taken back then, and it is
 * freed when the last of that is gone. */
#include "dial.h"

#include "dns.h"
#include "hs_assert.h"
#include "race.h"

#define RESOLVE_MS 5000
#define CONNECT_MS 10000
/* RFC 8305 section 8: the recommended values, and the smallest delay that is allowed. */
#define ATTEMPT_MS 250
#define ATTEMPT_MS_MIN 10
#define RESOLUTION_MS 50

struct dialler {
    hs_tcp *tcp;
    hs_pool dials, attempts;
    hs_dns *dns; /* NULL: not needed yet */
    hs_trim trim;
};

typedef struct dial {
    race race;
    hs_tcp *tcp;
    hs_promise *promise; /* NULL: settled */
    hs_cancel *cancel;
    hs_cancel_hook hook;
    hs_dns *dns;
    hs_dns_op lookup;
    hs_timer phase; /* the end of resolve_ms or connect_ms */
    hs_timer wait;  /* the end of resolution_ms; in the race, of resolve_ms */
    hs_microtask gone;
    hs_err name_err;         /* why no address was found, as far as is known */
    uint64_t resolve_end_ns; /* after it no address is waited for */
    uint32_t connect_ms, resolution_ms;
    int first_family; /* the one that is preferred */
    uint16_t port;
    bool pending[2]; /* the preferred family's answer is to come, the other's */
    bool racing;
} dial;

static dial *dial_of(race *r)
{
    return HS_CONTAINER_OF(r, dial, race);
}

static hs_shard *shard_of(const dial *d)
{
    return d->tcp->shard;
}

/* ---- a stream that nobody has taken yet ---- */

static void nobody_data(hs_stream *s, hs_span bytes)
{
    (void)bytes;
    HS_ASSERT(s->events != NULL && !"a dialled stream is resumed before its events are set");
}

static void nobody_end(hs_stream *s)
{
    nobody_data(s, hs_span_of(NULL, 0));
}

static void nobody_drained(hs_stream *s)
{
    (void)s;
}

static void nobody_closed(hs_stream *s, hs_err why)
{
    (void)s, (void)why;
}

static const hs_stream_events nobody = {nobody_data, nobody_end, nobody_drained, nobody_closed};

static void drop_stream(void *value)
{
    hs_stream_abort(value);
}

/* ---- the end ---- */

static void dial_free(dial *d)
{
    hs_shard *shard = shard_of(d);
    HS_ASSERT(d->promise == NULL);
    HS_ASSERT(d->lookup.fn == NULL);
    race_fini(&d->race);
    hs_pool_give(&d->tcp->dialler->dials, d);
    hs_shard_release_as(shard, "dial");
}

static void on_gone(hs_microtask *task)
{
    dial_free(HS_CONTAINER_OF(task, dial, gone));
}

static void on_idle(race *r)
{
    dial_free(dial_of(r));
}

/* Settle the promise, and take back all that is under way. */
static void end(dial *d, hs_outcome outcome)
{
    hs_shard *shard = shard_of(d);
    hs_promise *promise = d->promise;
    HS_ASSERT(promise != NULL);
    d->promise = NULL;
    hs_timer_cancel(shard, &d->phase);
    hs_timer_cancel(shard, &d->wait);
    hs_cancel_remove(&d->hook);
    hs_cancel_unref(d->cancel);
    if (d->dns)
        hs_dns_cancel(d->dns, &d->lookup);
    /* Whoever calls us may look at the dial again. */
    if (race_stop(&d->race))
        hs_microtask_post(shard, &d->gone, on_gone);
    hs_promise_settle(promise, outcome);
}

void hs_dial_error_free(void *error)
{
    hs_dial_error *e = error;
    if (e)
        hs_mem_give(hs_shard_mem(e->shard), e, sizeof *e, 16);
}

/* `addr` is what the error is about; NULL: nothing was tried. */
static void fail(dial *d, hs_err err, hs_dial_phase phase, const hs_addr *addr)
{
    hs_dial_error *e = hs_mem_take_zero(hs_shard_mem(shard_of(d)), sizeof *e, 16);
    HS_ASSERT(!hs_ok(err));
    if (e) {
        e->shard = shard_of(d);
        e->err = err;
        e->phase = phase;
        e->tried = d->race.tried;
        if (addr)
            e->addr = *addr;
    }
    end(d, (hs_outcome){err, NULL, e, hs_dial_error_free});
}

/* It ends from outside, in whatever phase it is. */
static void fail_here(dial *d, hs_err err)
{
    const race *r = &d->race;
    fail(d, err, d->racing ? HS_DIAL_CONNECT : HS_DIAL_RESOLVE, r->tried ? &r->last_addr : NULL);
}

static void on_cancel(hs_cancel_hook *hook, hs_err why)
{
    fail_here(HS_CONTAINER_OF(hook, dial, hook), why);
}

/* ---- the race ---- */

static void on_won(race *r, int fd)
{
    dial *d = dial_of(r);
    tcp_conn *c;
    hs_err err = tcp_conn_open(d->tcp, fd, &c);
    if (!hs_ok(err)) {
        hs_io_close(hs_shard_io(shard_of(d)), fd);
        fail_here(d, err);
        return;
    }
    c->paused = true;
    c->s.events = &nobody;
    hs_count(hs_shard_counters(shard_of(d)), d->tcp->count_dialled, 1);
    end(d, hs_value_owned(&c->s, drop_stream));
}

static void on_lost(race *r)
{
    fail(dial_of(r), r->err, r->connected_to ? HS_DIAL_CONNECT : HS_DIAL_ALLOW, &r->err_addr);
}

static void on_phase(hs_timer *timer);

/* No more addresses will come: the race ends with those that there are. */
static void stop_lookup(dial *d)
{
    d->pending[0] = d->pending[1] = false;
    d->race.open = false;
    hs_dns_cancel(d->dns, &d->lookup);
}

static void on_resolve_end(hs_timer *timer)
{
    dial *d = HS_CONTAINER_OF(timer, dial, wait);
    stop_lookup(d);
    race_go(&d->race);
}

/* A family whose answer does not come is waited for as long as resolve_ms said, not for all the
 * time of connecting. */
static void limit_lookup(dial *d)
{
    uint64_t now = hs_shard_now_ns(shard_of(d));
    hs_timer_cancel(shard_of(d), &d->wait);
    if (!d->race.open)
        return;
    uint64_t ms = d->resolve_end_ns > now ? (d->resolve_end_ns - now) / HS_MSEC_NS : 0;
    if (ms == 0 || !hs_ok(hs_timer_after(shard_of(d), &d->wait, ms, on_resolve_end)))
        stop_lookup(d);
}

/* There is an address: from here on the other timeout counts. */
static void begin_race(dial *d)
{
    HS_ASSERT(!d->racing);
    d->racing = true;
    limit_lookup(d);
    hs_err err = hs_timer_after(shard_of(d), &d->phase, d->connect_ms, on_phase);
    if (hs_ok(err))
        race_go(&d->race);
    else
        fail_here(d, err);
}

static void on_phase(hs_timer *timer)
{
    dial *d = HS_CONTAINER_OF(timer, dial, phase);
    if (d->racing && race_failed(&d->race))
        on_lost(&d->race);
    else if (d->racing)
        fail_here(d, hs_err_of(-ETIMEDOUT));
    else if (race_waiting(&d->race, 1) > 0)
        begin_race(d);
    else
        fail_here(d, hs_err_of(HS_E_NAME_TIMEOUT));
}

/* ---- names ---- */

static void on_wait(hs_timer *timer)
{
    begin_race(HS_CONTAINER_OF(timer, dial, wait));
}

/* After an answer: begin, wait for the preferred family a little, or fail. */
static void look(dial *d)
{
    hs_shard *shard = shard_of(d);
    d->race.open = d->pending[0] || d->pending[1];
    if (d->racing) {
        race_go(&d->race);
        return;
    }
    bool first = race_waiting(&d->race, 0) > 0, other = race_waiting(&d->race, 1) > 0;
    if (first || (other && !d->pending[0]))
        begin_race(d);
    else if (!d->race.open)
        fail_here(d, d->name_err);
    else if (other && !hs_ok(hs_timer_after(shard, &d->wait, d->resolution_ms, on_wait)))
        begin_race(d);
}

static void on_answer(hs_dns_op *op, const hs_dns_answer *a)
{
    dial *d = HS_CONTAINER_OF(op, dial, lookup);
    uint32_t queue = a->family != d->first_family;
    hs_err err = a->err;
    d->pending[queue] = false;
    if (hs_ok(err))
        err = race_add(&d->race, queue, a->addrs, a->len, d->port);
    /* "There is none" of one family says less than what the other came to. */
    if (!hs_ok(err) && (hs_ok(d->name_err) || d->name_err.code == HS_E_NAME_NONE))
        d->name_err = err;
    look(d);
}

static void resolve(dial *d, hs_span host, int family, uint32_t resolve_ms)
{
    d->resolve_end_ns = hs_shard_now_ns(shard_of(d)) + resolve_ms * HS_MSEC_NS;
    hs_err err = hs_timer_after(shard_of(d), &d->phase, resolve_ms, on_phase);
    if (hs_ok(err) && !d->dns)
        err = hs_tcp_dns(d->tcp, &d->dns);
    if (hs_ok(err))
        err = hs_dns_start(d->dns, &d->lookup, host, family, on_answer);
    if (!hs_ok(err)) {
        fail_here(d, err);
        return;
    }
    d->pending[0] = family == AF_UNSPEC || family == d->first_family;
    d->pending[1] = family == AF_UNSPEC || family != d->first_family;
}

/* ---- the start ---- */

static uint32_t or_default(uint32_t ms, uint32_t none)
{
    return ms ? ms : none;
}

static dial *dial_make(hs_tcp *tcp, const hs_dial_options *o)
{
    dialler *dl = tcp->dialler;
    dial *d = hs_pool_take(&dl->dials);
    hs_promise *promise = d ? hs_promise_create(tcp->shard) : NULL;
    if (!promise) {
        if (d)
            hs_pool_give(&dl->dials, d);
        return NULL;
    }
    *d = (dial){.tcp = tcp,
                .promise = promise,
                .dns = o->dns,
                .cancel = hs_cancel_ref(o->cancel),
                .connect_ms = or_default(o->connect_ms, CONNECT_MS),
                .resolution_ms = or_default(o->resolution_ms, RESOLUTION_MS),
                .first_family = o->ipv4_first ? AF_INET : AF_INET6};
    race *r = &d->race;
    race_init(r, tcp->shard, &dl->attempts);
    r->attempt_ms = HS_MAX(or_default(o->attempt_ms, ATTEMPT_MS), ATTEMPT_MS_MIN);
    r->allow = o->allow;
    r->ctx = o->ctx;
    r->won = on_won;
    r->lost = on_lost;
    r->idle = on_idle;
    if (o->local)
        r->local = *o->local;
    hs_shard_hold_as(tcp->shard, "dial");
    return d;
}

static hs_err dialler_make(hs_tcp *tcp);

/* What the public functions share: *out is a dial that goes on, or NULL; returns its promise. */
static hs_promise *dial_start(hs_tcp *tcp, const hs_dial_options *o, dial **out)
{
    HS_ASSERT(tcp->shard == hs_shard_self());
    *out = NULL;
    hs_err err = tcp->dialler ? HS_OK : dialler_make(tcp);
    if (hs_ok(err) && tcp->dialler->dials.slots_used == HS_DIALS_MAX)
        err = hs_err_of(HS_E_LIMIT);
    dial *d = hs_ok(err) ? dial_make(tcp, o) : NULL;
    if (!d)
        return hs_promise_settled(tcp->shard, hs_error(hs_ok(err) ? hs_err_of(-ENOMEM) : err));
    hs_promise *promise = d->promise;
    err = hs_cancel_add(o->cancel, &d->hook, on_cancel);
    if (hs_ok(err))
        *out = d;
    else
        fail_here(d, err);
    return promise;
}

/* Dial the one address `addr`; `family` 0 or what it must be. */
static void dial_one(dial *d, const hs_addr *addr, int family)
{
    const hs_addr *local = &d->race.local;
    hs_err err = HS_OK;
    if (family != AF_UNSPEC && family != addr->sa.any.sa_family)
        err = hs_err_of(HS_E_NAME_NONE);
    else if (local->len > 0 && local->sa.any.sa_family != addr->sa.any.sa_family)
        err = hs_err_of(HS_E_USAGE);
    else
        err = race_add(&d->race, 0, addr, 1, 0);
    if (!hs_ok(err)) {
        fail_here(d, err);
        return;
    }
    d->race.open = false;
    begin_race(d);
}

hs_promise *hs_dial_addr(hs_tcp *tcp, const hs_addr *addr, const hs_dial_options *options)
{
    const hs_dial_options o = options ? *options : (hs_dial_options){0};
    dial *d;
    HS_ASSERT(addr->len > 0);
    hs_promise *promise = dial_start(tcp, &o, &d);
    if (d)
        dial_one(d, addr, AF_UNSPEC);
    return promise;
}

hs_promise *hs_dial(hs_tcp *tcp, hs_span host, uint16_t port, const hs_dial_options *options)
{
    const hs_dial_options o = options ? *options : (hs_dial_options){0};
    dial *d;
    hs_addr numeric;
    HS_ASSERT(o.family == AF_UNSPEC || o.family == AF_INET || o.family == AF_INET6);
    hs_promise *promise = dial_start(tcp, &o, &d);
    if (!d)
        return promise;
    d->port = port;
    if (dns_numeric(host, &numeric)) {
        hs_addr_set_port(&numeric, port);
        dial_one(d, &numeric, o.family);
        return promise;
    }
    int family = o.local ? o.local->sa.any.sa_family : o.family;
    if ((family != AF_UNSPEC && family != AF_INET && family != AF_INET6) ||
        (o.family != AF_UNSPEC && family != o.family))
        fail_here(d, hs_err_of(HS_E_USAGE));
    else
        resolve(d, host, family, or_default(o.resolve_ms, RESOLVE_MS));
    return promise;
}

/* ---- the dialler of a TCP module ---- */

static bool trim_dialler(hs_trim *trim)
{
    dialler *dl = HS_CONTAINER_OF(trim, dialler, trim);
    bool dials = hs_shard_trim_pool(&dl->dials);
    bool attempts = hs_shard_trim_pool(&dl->attempts);
    return dials || attempts;
}

static void dialler_free(dialler *dl)
{
    hs_pool_fini(&dl->dials);
    hs_pool_fini(&dl->attempts);
    hs_mem_give(hs_shard_mem(dl->tcp->shard), dl, sizeof *dl, 16);
}

static hs_err dialler_make(hs_tcp *tcp)
{
    const hs_mem *mem = hs_shard_mem(tcp->shard);
    dialler *dl = hs_mem_take_zero(mem, sizeof *dl, 16);
    HS_ENSURE(dl, -ENOMEM);
    dl->tcp = tcp;
    hs_err err = hs_pool_init(&dl->dials, mem, sizeof(dial), HS_DIALS_MAX);
    if (hs_ok(err))
        err = hs_pool_init(&dl->attempts, mem, race_attempt_bytes(), HS_DIAL_ATTEMPTS_MAX);
    if (!hs_ok(err)) {
        dialler_free(dl);
        return err;
    }
    dl->trim.fn = trim_dialler;
    hs_shard_trim_add(tcp->shard, &dl->trim);
    tcp->dialler = dl;
    return HS_OK;
}

void dialler_destroy(dialler *dl)
{
    HS_ASSERT(dl->dials.slots_used == 0);
    HS_ASSERT(dl->attempts.slots_used == 0);
    hs_dns_destroy(dl->dns);
    hs_shard_trim_remove(&dl->trim);
    dialler_free(dl);
}

uint32_t hs_tcp_dials(const hs_tcp *tcp)
{
    return tcp->dialler ? tcp->dialler->dials.slots_used : 0;
}

hs_err hs_tcp_dns(hs_tcp *tcp, hs_dns **out)
{
    HS_ASSERT(tcp->shard == hs_shard_self());
    if (!tcp->dialler)
        HS_TRY(dialler_make(tcp));
    if (!tcp->dialler->dns)
        HS_TRY(hs_dns_create(tcp->shard, tcp->options.dns, &tcp->dialler->dns));
    *out = tcp->dialler->dns;
    return HS_OK;
}
