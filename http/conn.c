/* A server's connection: from bytes to requests, and back to rest.
 *
 * Owns: the input loop. Requests of one input are handled one after the other and their answers go
 * out in one send. Input that has to wait for an answer is kept in the session's stash, and the
 * peer is slowed down by pausing the stream. A session is given back when the connection rests or
 * is gone, never inside a call of the handler. Tested by: tests/wire, tests/sim. */
#include "hs_fiber.h"
#include "session.h"

static void conn_take_session(h1_conn *c)
{
    HS_ASSERT(!c->session);
    HS_ASSERT(c->phase == CONN_IDLE);
    hs_http_server *server = c->server;
    h1_session *x = server->spare;
    if (HS_UNLIKELY(!x)) {
        x = session_make(server);
        if (!x)
            return;
    }
    server->spare = NULL;
    memset(&x->conn, 0, offsetof(h1_session, head) - offsetof(h1_session, conn));
    x->conn = c;
    hs_arena_init(&x->arena, conn_chunks(c), session_arena_bytes(server->options.body_bytes_max));
    h1_head_init(&x->head);
    c->session = x;
}

/* Another request follows in the same session. */
static void session_next(h1_session *x)
{
    session_clear(x);
    memset(&x->req, 0, sizeof x->req);
    memset(&x->res, 0, sizeof x->res);
    h1_head_init(&x->head);
}

static void conn_give_session(h1_conn *c)
{
    h1_session *x = c->session;
    HS_ASSERT(x->conn == c);
    if (HS_UNLIKELY(turn_resumes(x)))
        hs_list_remove(&x->resume_link);
    c->session = NULL;
    if (HS_UNLIKELY(x->orphaned) && orphan_keep(x))
        return;
    session_clear(x);
    session_give(x);
}

/* ---- requests ---- */

hs_err conn_keep_head(h1_session *x)
{
    hs_span kept;
    HS_ASSERT(x->req.base != NULL);
    HS_ASSERT(x->head.bytes > 0);
    if (x->req.kept)
        return HS_OK;
    HS_TRY(hs_arena_copy(&x->arena, hs_span_of(x->req.base, x->head.bytes), &kept));
    x->req.base = kept.ptr;
    x->req.kept = true;
    return HS_OK;
}

/* What the server itself refuses, before a handler sees it. Returns a status, or 0. */
static uint32_t refusal(const h1_head *head)
{
    /* No tunnels, and no echo of what may hold credentials (RFC 9110 sections 9.3.6 and 9.3.8). */
    if (head->method == HS_METHOD_CONNECT || head->method == HS_METHOD_TRACE)
        return 501;
    /* HTTP/1.0 has a body with these methods, and only its length can frame it. */
    if (head->minor == 0 && head->body == H1_BODY_NONE && !head->known[HS_FIELD_CONTENT_LENGTH] &&
        (head->method == HS_METHOD_POST || head->method == HS_METHOD_PUT))
        return 411;
    return 0;
}

static void run_handler(h1_session *x)
{
    h1_conn *c = x->conn;
    hs_http_server *server = c->server;
    HS_ASSERT(!x->req.running);
    HS_ASSERT(x->res.state == RES_OPEN);
    x->req.running = true;
    handle_hand_out(x->handle);
    server->handler(req_of(x), res_of(x), server->ctx);
    x->req.running = false;
    /* A request never starts inside another's callback: there was no label before. */
    label_leave(server, NULL);
    if (HS_LIKELY(x->res.state == RES_DONE) || c->phase == CONN_OVER)
        return;
    if (x->res.state == RES_OPEN && !x->req.deferred) {
        hs_log_write(hs_shard_log(server->shard), HS_LOG_ERROR,
                     "the handler of %.*s returned without an answer and without hs_req_defer",
                     HS_MIN(x->head.path_len, 200), (const char *)x->req.base + x->head.path_at);
        conn_fail(c, 500, "no answer");
        return;
    }
    /* It goes on later: the head must outlive this input. */
    if (!hs_ok(conn_keep_head(x)))
        conn_abort(c);
    else
        body_tell_end(x);
}

static void start_request(h1_session *x, const uint8_t *base)
{
    HS_ASSERT(base != NULL);
    h1_conn *c = x->conn;
    hs_http_server *server = c->server;
    HS_ASSERT(c->phase == CONN_IDLE || c->phase == CONN_HEAD);
    timeout_phase(c, CONN_BUSY);
    c->fresh = false;
    server->active++;
    hs_count(hs_shard_counters(server->shard), server->count_requests, 1);
    x->req.base = base;
    x->req.kept = base == x->in;
    x->res.close = !x->head.keep_alive || server->draining;
    body_start(x);
    uint32_t status = refusal(&x->head);
    if (HS_UNLIKELY(!x->handle))
        conn_abort(c); /* no memory for one */
    else if (HS_UNLIKELY(status))
        conn_fail(c, status, "refused by the server");
    else
        run_handler(x);
}

/* ---- input ---- */

/* Room for the next bytes of a head that comes in pieces. */
static bool grow_in(h1_session *x, size_t more)
{
    hs_http_server *server = x->conn->server;
    if (x->in_len + more <= x->in_cap)
        return true;
    bool small = x->in_cap == 0 && more <= IN_SMALL_BYTES;
    if (x->in_cap > IN_SMALL_BYTES)
        return true; /* it is the large one: the rest waits, or is too much anyway */
    uint8_t *in = hs_pool_take(small ? &server->in_small : &server->in_large);
    if (!in)
        return false;
    uint32_t len = x->in_len;
    if (len > 0)
        memcpy(in, x->in, len);
    session_give_in(x);
    x->in = in;
    x->in_len = len;
    x->in_cap = small ? IN_SMALL_BYTES : server->limits.head_bytes_max + 1;
    return true;
}

/* Add to the kept part of a head. Returns how many bytes were taken; 0 without memory. */
static size_t add_in(h1_session *x, hs_span in)
{
    HS_ASSERT(in.len > 0);
    if (!grow_in(x, in.len))
        return 0;
    size_t n = HS_MIN(in.len, (size_t)(x->in_cap - x->in_len));
    HS_ASSERT(x->in_len + n <= x->in_cap);
    memcpy(x->in + x->in_len, in.ptr, n);
    x->in_len += (uint32_t)n;
    return n;
}

/* Whether the next request may begin in this turn. */
static bool may_begin(h1_conn *c)
{
    if (c->since_ns != hs_shard_now_ns(c->server->shard)) {
        c->turn_requests = c->turn_granted = 0;
        return true;
    }
    if (c->turn_granted > 0) {
        c->turn_granted--;
        return true;
    }
    return turn_budget_allows(c);
}

/* Read a head. Returns how many bytes of `in` were consumed; 0 where it has to wait for the next
 * turn. */
static size_t head_input(h1_session *x, hs_span in)
{
    h1_conn *c = x->conn;
    if (c->phase == CONN_IDLE && !may_begin(c)) {
        turn_resume_next(x);
        return 0;
    }
    if (x->req.base)
        session_next(x);
    size_t before = x->in_len, n = in.len;
    const uint8_t *base = in.ptr;
    if (before > 0) {
        n = add_in(x, in);
        base = x->in;
    }
    h1_result r = h1_head_parse(&x->head, base, before + n, &c->server->limits);
    if (HS_LIKELY(r == H1_DONE)) {
        HS_ASSERT(x->head.bytes > before);
        start_request(x, base);
        return x->head.bytes - before;
    }
    if (r == H1_BAD) {
        conn_fail(c, x->head.status, x->head.fault);
        return in.len;
    }
    if (before == 0) {
        n = add_in(x, in);
        timeout_phase(c, CONN_HEAD);
        timeout_within(c, c->server->options.head_ms_max);
    }
    if (n == 0)
        conn_abort(c);
    return n;
}

/* After each step of the loop: has the request come to its end? */
static void settle(h1_conn *c)
{
    h1_session *x = c->session;
    if (c->phase != CONN_BUSY || x->res.state != RES_DONE)
        return;
    if (x->res.close) {
        conn_close(c);
    } else if (HS_LIKELY(x->req.body == BODY_OVER)) {
        timeout_phase(c, CONN_IDLE);
        c->stalled = hs_stream_full(c->stream);
    } else if (x->req.body != BODY_DISCARD) {
        x->req.body = BODY_DISCARD;
        x->req.body_paused = false;
    }
}

/* Handle as much of `in` as can be handled now. Returns how many bytes of it are done with. */
static size_t input_run(h1_conn *c, hs_span in)
{
    HS_ASSERT(c->in_input);
    HS_ASSERT(c->session);
    size_t done = 0;
    while (done < in.len && c->phase != CONN_OVER && !c->stalled) {
        hs_span rest = hs_span_from(in, done);
        size_t n =
            c->phase == CONN_BUSY ? body_input(c->session, rest) : head_input(c->session, rest);
        done += n;
        settle(c);
        if (n == 0)
            break;
    }
    return c->phase == CONN_OVER ? in.len : done;
}

/* Does the handler of a request without any answer yet hear of its end? */
static bool is_told_of_end(const h1_session *x)
{
    if (x->res.state != RES_OPEN || x->req.body != BODY_OVER)
        return false;
    return x->req.abort_fn || (x->req.async && async_is_told(x));
}

/* The peer sends no more. What came before that is still answered, unless a handler waits that can
 * be told: most who end their side have left (RFC 9112 section 9.6 lets them half-close). */
static void look_at_end(h1_conn *c)
{
    HS_ASSERT(c->ended);
    h1_session *x = c->session;
    if (c->phase == CONN_HEAD)
        conn_fail(c, 400, "the connection ended inside a head");
    else if (c->phase == CONN_IDLE)
        conn_close(c);
    else if (c->phase == CONN_BUSY && x->req.body != BODY_OVER && !x->req.body_paused)
        conn_fail(c, 400, "the connection ended inside a body");
    else if (c->phase == CONN_BUSY && !c->server->options.half_close && is_told_of_end(x))
        conn_close(c); /* what is queued goes out */
}

/* After an input: flush, slow the peer down or not, rest if there is nothing to do. */
static void input_over(h1_conn *c)
{
    h1_session *x = c->session;
    bool waits = x && x->stash.len > 0;
    if (c->ended && !waits && c->phase != CONN_OVER && !c->stalled)
        look_at_end(c);
    if (c->phase == CONN_OVER)
        return;
    if (waits != c->paused) {
        c->paused = waits;
        if (waits)
            hs_stream_pause(c->stream);
        else
            hs_stream_resume(c->stream);
    }
    if (HS_LIKELY(c->phase == CONN_IDLE && !waits)) {
        if (x)
            conn_give_session(c);
        if (c->server->draining && !c->stalled)
            conn_close(c);
    } else if (c->phase == CONN_BUSY) {
        timeout_within(c, c->server->options.body_ms_window);
    }
}

static __attribute__((noinline)) void go_on(h1_conn *c)
{
    if (HS_UNLIKELY(hs_on_fiber())) {
        /* The next request's handler is not to run on this one's fiber, which may go on with it. */
        turn_resume_next(c->session);
        return;
    }
    c->in_input = true;
    if (c->phase == CONN_BUSY)
        body_tell_end(c->session);
    settle(c);
    while (c->session && c->session->stash.len > 0 && c->phase != CONN_OVER) {
        h1_session *x = c->session;
        const hs_chunk *chunk = x->stash.head;
        size_t n = input_run(c, hs_span_of(chunk->data, chunk->len));
        hs_chain_consume(&x->stash, conn_chunks(c), n);
        if (n == 0)
            break;
    }
    c->in_input = false;
    if (c->phase != CONN_OVER)
        hs_stream_flush(c->stream);
    input_over(c);
}

/* Most answers are made inside the input loop. */
void conn_go_on(h1_conn *c)
{
    if (!c->in_input)
        go_on(c);
}

void session_resume(h1_session *x)
{
    h1_conn *c = x->conn;
    if (c == &c->server->nowhere) {
        orphan_release(x);
        return;
    }
    c->turn_requests = c->turn_granted = 0;
    conn_go_on(c);
}

static void on_data(hs_stream *s, hs_span bytes)
{
    h1_conn *c = s->owner;
    HS_ASSERT(!c->in_input);
    HS_ASSERT(c->stream == s);
    HS_ASSERT(bytes.len > 0);
    if (c->phase == CONN_OVER)
        return;
    if (!c->session)
        conn_take_session(c);
    h1_session *x = c->session;
    if (HS_UNLIKELY(!x)) {
        conn_abort(c);
        return;
    }
    size_t n = 0;
    if (HS_LIKELY(x->stash.len == 0)) {
        c->in_input = true;
        n = input_run(c, bytes);
        c->in_input = false;
    }
    if (n < bytes.len &&
        !hs_ok(hs_chain_append(&x->stash, conn_chunks(c), hs_span_from(bytes, n)))) {
        conn_abort(c);
        return;
    }
    if (c->phase != CONN_OVER)
        hs_stream_flush(c->stream);
    input_over(c);
}

static void on_end(hs_stream *s)
{
    h1_conn *c = s->owner;
    HS_ASSERT(!c->ended);
    c->ended = true;
    input_over(c);
}

/* Whoever makes an answer may go on with it. */
static __attribute__((noinline)) void tell_drained(h1_session *x)
{
    if (x->req.async)
        async_drained(x);
    if (x->res.state == RES_BEGUN && x->res.drain_fn) {
        const hs_http_server *server = x->conn->server;
        const char *label = label_enter(x);
        x->res.drain_fn(res_of(x), x->res.drain_ctx);
        label_leave(server, label);
    }
}

/* Mostly there is nothing to do. */
static void on_drained(hs_stream *s)
{
    h1_conn *c = s->owner;
    if (c->phase == CONN_OVER)
        return;
    if (HS_UNLIKELY(c->phase == CONN_BUSY))
        tell_drained(c->session);
    if (c->stalled) {
        c->stalled = false;
        conn_go_on(c);
    }
}

static void on_closed(hs_stream *s, hs_err why)
{
    h1_conn *c = s->owner;
    (void)why;
    if (c->phase != CONN_OVER)
        conn_over(c);
    hs_timer_cancel(c->server->shard, &c->timer);
    if (c->session)
        conn_give_session(c);
    hs_list_remove(&c->link);
}

static const hs_stream_events events = {
    .data = on_data,
    .end = on_end,
    .drained = on_drained,
    .closed = on_closed,
};

size_t hs_http_conn_bytes(void)
{
    return sizeof(h1_conn);
}

void hs_http_serve(hs_http_server *server, hs_stream *stream)
{
    h1_conn *c = stream->owner;
    HS_ASSERT(stream->shard == server->shard);
    c->server = server;
    c->stream = stream;
    c->fresh = true;
    stream->events = &events;
    hs_list_init(&c->link);
    hs_list_push_back(&server->conns_all, &c->link);
    timeout_phase(c, CONN_IDLE);
    timeout_within(c, server->draining ? HS_DRAIN_FIRST_MS : server->options.head_ms_max);
}

void conn_drain(h1_conn *c)
{
    if (c->phase == CONN_IDLE && c->fresh)
        timeout_within(c, 1); /* it finds how long the first request may still take */
    else if (c->phase == CONN_IDLE && !c->session)
        conn_close(c);
    else if (c->phase == CONN_BUSY && c->session->res.state == RES_OPEN)
        c->session->res.close = true;
}
