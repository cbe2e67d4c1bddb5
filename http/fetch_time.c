/* Deadlines of a fetch: of each phase, between two bytes, and of the whole.
 *
 * Owns: when the timer looks next. It is not moved at each byte: it looks when it comes due whether
 * there was progress since. Must not know: what is done when a deadline has passed.
 * Tested by: tests/unit/http_fetch_time.c. */
#include "client.h"

/* How often, in the time that a request may make no progress, its progress is looked at. A fourth
 * of that time is the error. */
#define SEND_LOOKS 4

static uint64_t after(uint64_t from_ns, uint32_t ms)
{
    return ms == HS_FETCH_NEVER ? UINT64_MAX : from_ns + ms * HS_MSEC_NS;
}

static uint64_t phase_due(const fetch *f)
{
    const hs_fetch_times *t = &f->times;
    uint64_t idle = after(f->last_ns, t->idle_ms);
    switch ((hs_fetch_phase)f->phase) {
    case HS_FETCH_QUEUE:
        return after(f->since_ns, t->queue_ms);
    case HS_FETCH_TUNNEL:
        return after(f->since_ns, t->tunnel_ms);
    case HS_FETCH_TLS:
        return after(f->since_ns, t->tls_ms);
    case HS_FETCH_SEND:
        /* A source may take its time. */
        return f->sent_all || f->sink.full || !f->has_source ? idle : UINT64_MAX;
    case HS_FETCH_WAIT:
        return after(f->since_ns, t->first_byte_ms);
    case HS_FETCH_HEAD:
        return HS_MIN(idle, after(f->since_ns, t->first_byte_ms));
    case HS_FETCH_BODY:
        return f->held ? UINT64_MAX : idle;
    case HS_FETCH_PAUSE:
        return f->since_ns + f->pause_ns;
    default:
        return UINT64_MAX; /* the dialler's own */
    }
}

uint64_t fetch_time_due(const fetch *f)
{
    return HS_MIN(phase_due(f), after(f->start_ns, f->times.total_ms));
}

static void on_timer(hs_timer *timer)
{
    fetch *f = HS_CONTAINER_OF(timer, fetch, timer);
    f->client->events->due(f);
}

hs_err fetch_time_look(fetch *f)
{
    /* Far enough for ever, and no overflow of what is added to it. */
    uint64_t now = client_now(f->client);
    uint64_t due = HS_MIN(fetch_time_due(f), now + (UINT64_C(1) << 60));
    /* Nobody tells that bytes of the request went out: they are looked for. */
    if (f->phase == HS_FETCH_SEND && f->times.idle_ms != HS_FETCH_NEVER)
        due = HS_MIN(due, now + f->times.idle_ms * HS_MSEC_NS / SEND_LOOKS);
    if (hs_timer_active(&f->timer) && f->due_ns <= due)
        return HS_OK;
    f->due_ns = due;
    return hs_timer_set(f->client->shard, &f->timer, due, on_timer);
}

void fetch_time_phase(fetch *f, hs_fetch_phase phase)
{
    f->phase = (uint8_t)phase;
    f->since_ns = f->last_ns = client_now(f->client);
    if (!hs_timer_active(&f->timer))
        return; /* the end, or it looks just now and is set after that */
    hs_err err = fetch_time_look(f);
    HS_ASSERT(hs_ok(err));
}
