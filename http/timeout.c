/* What a connection's timer finds when it comes due, and what happens then.
 *
 * Owns: the rules of hs_http_options' times. Tested by: tests/sim, tests/e2e. */
#include "session.h"

static void count_timeout(h1_conn *c)
{
    hs_count(hs_shard_counters(c->server->shard), c->server->count_timeouts, 1);
}

/* Whether `ms_max` has passed since the phase began; looks again when it will have, if not. And
 * sooner, where an answer that begins and ends in the meantime could be stuck by then: so an answer
 * need not set the timer. */
static bool is_due(h1_conn *c, uint64_t ms_max)
{
    uint64_t passed_ms = (hs_shard_now_ns(c->server->shard) - c->since_ns) / HS_MSEC_NS;
    if (passed_ms >= ms_max)
        return true;
    uint64_t left_ms = ms_max - passed_ms + 1;
    timeout_within(c, (uint32_t)HS_MIN(left_ms, c->server->options.send_ms_max));
    return false;
}

/* Whether an answer waits to go out and its reader took none of it for as long as it may. */
static bool send_is_stuck(h1_conn *c)
{
    uint64_t now = hs_shard_now_ns(c->server->shard);
    uint32_t sent = hs_stream_sent(c->stream);
    if (hs_stream_unsent(c->stream) == 0 || sent != c->sent) {
        c->sent = sent;
        c->since_ns = now;
        return false;
    }
    return now - c->since_ns >= c->server->options.send_ms_max * HS_MSEC_NS;
}

/* Whether a body that we are ready to read came slower than it must, over a whole window. */
static bool body_is_slow(h1_conn *c)
{
    const hs_http_options *o = &c->server->options;
    h1_req *req = &c->session->req;
    uint64_t now = hs_shard_now_ns(c->server->shard);
    bool reading =
        (req->body == BODY_HEARD || req->body == BODY_DISCARD) && !req->body_paused && !c->paused;
    uint64_t window_ms = (now - req->window_ns) / HS_MSEC_NS;
    if (reading && window_ms < o->body_ms_window)
        return false;
    uint64_t came = req->body_seen - req->window_seen;
    req->window_ns = now;
    req->window_seen = req->body_seen;
    return reading && came < o->body_rate_min * window_ms / 1000;
}

/* Whether the handler deferred its answer, has all that it needs, and has not begun for too long.
 */
static bool is_overdue(const h1_conn *c)
{
    const h1_session *x = c->session;
    uint64_t limit_ns = c->server->options.overdue_ms * HS_MSEC_NS;
    return limit_ns > 0 && x->res.state == RES_OPEN && x->req.body == BODY_OVER &&
           hs_shard_now_ns(c->server->shard) - x->req.since_ns >= limit_ns;
}

static void look_at_busy(h1_conn *c)
{
    const hs_http_options *o = &c->server->options;
    if (is_overdue(c))
        overdue_report(c->session);
    if (send_is_stuck(c)) {
        count_timeout(c);
        conn_abort(c);
    } else if (body_is_slow(c)) {
        count_timeout(c);
        conn_fail(c, 408, "the body comes too slowly");
    } else {
        timeout_within(c, HS_MIN(o->body_ms_window, o->send_ms_max));
    }
}

/* The answer is complete, or the connection over, and not all of it is out. */
static void look_at_rest(h1_conn *c)
{
    if (send_is_stuck(c)) {
        count_timeout(c);
        hs_stream_abort(c->stream);
    } else {
        timeout_within(c, c->server->options.send_ms_max);
    }
}

/* How long a connection may wait for a request. */
static uint64_t idle_ms_max(const h1_conn *c)
{
    const hs_http_options *o = &c->server->options;
    if (!c->fresh)
        return o->idle_ms_max;
    return c->server->draining ? HS_MIN(o->head_ms_max, HS_DRAIN_FIRST_MS) : o->head_ms_max;
}

void timeout_look(hs_timer *timer)
{
    h1_conn *c = HS_CONTAINER_OF(timer, h1_conn, timer);
    const hs_http_options *o = &c->server->options;
    switch ((conn_phase)c->phase) {
    case CONN_IDLE:
        if (hs_stream_unsent(c->stream) > 0) {
            look_at_rest(c);
        } else if (is_due(c, idle_ms_max(c))) {
            count_timeout(c);
            timeout_phase(c, CONN_OVER);
            timeout_within(c, o->send_ms_max);
            hs_stream_close(c->stream);
        }
        break;
    case CONN_HEAD:
        if (is_due(c, o->head_ms_max)) {
            count_timeout(c);
            conn_fail(c, 408, "the head comes too slowly");
        }
        break;
    case CONN_BUSY:
        look_at_busy(c);
        break;
    case CONN_OVER:
        look_at_rest(c);
        break;
    }
}
