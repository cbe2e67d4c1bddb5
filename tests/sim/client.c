/* A scripted client: see client.h. It writes its requests in pieces, reads answers at its own pace,
 * and checks each byte of them. */
#include "client.h"

#include <string.h>

#include "client_make.h"
#include "hs_assert.h"

/* ---- judging ---- */

static void fault(client *c, const char *why)
{
    sim_note(c->run->w, why, c->number, c->answered, c->body_at);
    if (c->run->fault)
        return;
    c->run->fault = why;
    c->run->fault_client = c->number;
}

/* Whether something happened that excuses an early end. */
static bool excused(const client *c)
{
    const client_run *run = c->run;
    return run->unsure || run->aborting || sim_world_harmed(run->w) || sim_peer_harmed(c->peer);
}

static void over(client *c, bool reset)
{
    HS_ASSERT(!c->over);
    c->over = true;
    sim_event *events[] = {&c->write, &c->read, &c->doom, &c->patience};
    for (size_t i = 0; i < HS_ARRAY_LEN(events); i++)
        sim_event_cancel(c->run->w, events[i]);
    sim_peer_close(c->peer, reset);
    c->run->left--;
}

static const request *current(const client *c)
{
    return &c->requests[c->answered];
}

static uint64_t expected_len(const request *r)
{
    return r->kind == SCRIPT_ECHO || r->kind == SCRIPT_COLLECT ? r->body_len : r->len;
}

static bool too_large(const request *r)
{
    return r->kind == SCRIPT_COLLECT && r->body_len > SCRIPT_BODY_MAX;
}

/* Whether an answer of this status may come to the current request. */
static bool status_fits(const client *c, uint32_t status)
{
    const request *r = current(c);
    if (c->run->unsure && (status == 500 || status == 503))
        return true;
    if (c->silent && status == 408)
        return true;
    if (status == 408)
        return excused(c);
    if (r->bad)
        return status == 400 || status == 505;
    return status == (too_large(r) ? 413 : 200);
}

/* What is asked after a drain has begun is not answered, or by the last answer. */
static bool drain_forgot(const client *c)
{
    const client_run *run = c->run;
    return run->draining && current(c)->asked_ns > run->drain_ns + HS_SEC_NS && !c->answer.close &&
           !excused(c);
}

static void answer_complete(client *c)
{
    const request *r = current(c);
    const answer *a = &c->answer;
    if (drain_forgot(c))
        fault(c, "an answer of a drain that does not close");
    sim_note(c->run->w, "answer", c->number, a->status, c->body_at);
    if (!status_fits(c, a->status))
        fault(c, "wrong status");
    if (a->status == 200) {
        if (a->id != r->id)
            fault(c, "answer to another request");
        if (c->body_at != (r->head ? 0 : expected_len(r)))
            fault(c, "wrong length of body");
        if (a->chunked && !r->head && r->kind == SCRIPT_CHUNKED && !a->trailer_end &&
            !c->run->unsure)
            fault(c, "no trailer");
    }
    c->answered++;
    c->all_ns = sim_world_now_ns(c->run->w);
    c->run->answers++;
    c->interims = 0;
    c->server_closes |= a->close || a->status >= 400;
    c->may_close |= r->close || a->status >= 400 || (r->kind == SCRIPT_IGNORE && r->has_body);
    if (a->close && !c->may_close && !c->run->draining && !excused(c))
        fault(c, "closed without need");
    answer_init(&c->answer);
    c->body_at = 0;
}

/* The connection has ended, in order or not. Is that right? */
static void judge_end(client *c, bool reset)
{
    bool draining = c->run->draining;
    bool to_end = !reset && answer_end(&c->answer);
    if (to_end && (!excused(c) || c->body_at == expected_len(current(c))))
        answer_complete(c);
    bool all = c->answered == c->requests_len;
    c->run->unharmed += all;
    uint64_t rest_ns = HS_MAX(c->all_ns, c->run->drain_ns);
    if (all && draining && !c->run->unsure && !sim_peer_harmed(c->peer) && c->read_us_max == 0 &&
        !sim_world_harmed(c->run->w) && sim_world_now_ns(c->run->w) > rest_ns + 5 * HS_SEC_NS)
        fault(c, "a drain that left an idle connection open");
    if (excused(c) || c->silent)
        return;
    if (c->answer.begun && !(reset && c->read_us_max > 0))
        fault(c, "an answer was cut off");
    if (!all && !c->server_closes && !draining && !c->may_close)
        fault(c, "closed with requests unanswered");
    if (all && c->ending == CLIENT_CLOSES && !draining && !c->server_closes && !c->may_close)
        fault(c, "closed an idle connection too soon");
}

/* ---- reading ---- */

static void write_soon(client *c);

static void interim(client *c)
{
    if (c->answer.status != 100 || !current(c)->expect)
        fault(c, "an interim answer that nobody asked for");
    if (++c->interims > 1)
        fault(c, "more than one 100");
    answer_init(&c->answer);
    c->hold_at = SIZE_MAX;
    write_soon(c);
}

static void read_byte(client *c, uint8_t byte)
{
    if (c->answered >= c->written && !(c->silent && c->answered < c->requests_len)) {
        fault(c, "bytes that nobody asked for");
        return;
    }
    const request *r = current(c);
    switch (answer_byte(&c->answer, byte, r->head && !r->bad)) {
    case ANSWER_BODY_BYTE:
        if (c->answer.status == 200 && byte != script_byte(r->id, c->body_at))
            fault(c, "wrong byte in a body");
        c->body_at++;
        if (c->answer.state == ANSWER_BODY && c->answer.left == 0)
            answer_complete(c);
        break;
    case ANSWER_COMPLETE:
        answer_complete(c);
        break;
    case ANSWER_INTERIM:
        interim(c);
        break;
    case ANSWER_BROKEN:
        fault(c, c->answer.why);
        break;
    case ANSWER_GOES_ON:
        break;
    }
}

static void after_answers(client *c)
{
    bool all = c->answered == c->requests_len;
    if (all && !c->server_closes && c->ending == CLIENT_CLOSES) {
        c->run->unharmed++;
        over(c, false);
    } else {
        write_soon(c);
    }
}

static void read_some(client *c, size_t max)
{
    uint8_t bytes[2048];
    uint32_t before = c->answered;
    while (max > 0 && !c->run->fault) {
        size_t n = sim_peer_read(c->peer, bytes, HS_MIN(max, sizeof(bytes)));
        if (n == 0)
            break;
        max -= n;
        for (size_t i = 0; i < n && !c->run->fault; i++)
            read_byte(c, bytes[i]);
    }
    if (c->answered > before)
        after_answers(c);
}

static void read_due(sim_world *w, sim_event *event)
{
    client *c = HS_CONTAINER_OF(event, client, read);
    if (c->deaf)
        return;
    read_some(c, c->read_max);
    if (!c->over && sim_peer_unread(c->peer) > 0)
        sim_event_set(w, &c->read, sim_spread(w, c->read_us_max) * 1000, read_due);
}

/* ---- writing ---- */

static void silence(sim_world *w, sim_event *event)
{
    (void)w;
    client *c = HS_CONTAINER_OF(event, client, doom);
    c->silent = true;
    c->deaf = c->ending == CLIENT_DEAFENS;
}

static void doom(sim_world *w, sim_event *event)
{
    (void)w;
    over(HS_CONTAINER_OF(event, client, doom), true);
}

static void patience_ends(sim_world *w, sim_event *event)
{
    (void)w;
    client *c = HS_CONTAINER_OF(event, client, patience);
    c->hold_at = SIZE_MAX;
    write_soon(c);
}

/* Whether there is a byte to write now; makes the next request's where it is time. */
static bool has_bytes(client *c)
{
    if (c->silent || c->finished || c->server_closes || !c->open)
        return false;
    if (c->out_at == c->out_len) {
        if (c->written == c->requests_len || c->written - c->answered >= c->depth)
            return false;
        const request *last = c->written > 0 ? &c->requests[c->written - 1] : NULL;
        if (last && (last->close || last->bad))
            return false;
        request *r = &c->requests[c->written++];
        r->asked_ns = sim_world_now_ns(c->run->w);
        sim_note(c->run->w, r->bad ? "ask badly" : script_name(r->kind), c->number, r->len,
                 r->body_len | (uint64_t)r->chunked << 32 | (uint64_t)r->expect << 36 |
                     (uint64_t)r->close << 40 | (uint64_t)r->head << 44);
        client_make(c->run->w, c, r);
    }
    if (c->out_at < c->hold_at)
        return true;
    if (!hs_heap_has(&c->patience.node))
        sim_event_set(c->run->w, &c->patience, HS_SEC_NS, patience_ends);
    return false;
}

static void write_due(sim_world *w, sim_event *event)
{
    client *c = HS_CONTAINER_OF(event, client, write);
    while (has_bytes(c)) {
        size_t len = 1 + sim_spread(w, c->piece_max - 1);
        len = HS_MIN(len, HS_MIN(c->out_len, c->hold_at) - c->out_at);
        size_t n = sim_peer_write(c->peer, c->out + c->out_at, len);
        c->out_at += n;
        if (n < len)
            return; /* told when there is room */
        if (c->delay_us_max > 0) {
            sim_event_set(w, &c->write, sim_spread(w, c->delay_us_max) * 1000, write_due);
            return;
        }
    }
    bool all = c->written == c->requests_len && c->out_at == c->out_len;
    if (all && c->ending == CLIENT_FINISHES && !c->finished) {
        c->finished = true;
        sim_peer_finish(c->peer);
    }
}

static void write_soon(client *c)
{
    if (!c->over && !hs_heap_has(&c->write.node))
        sim_event_set(c->run->w, &c->write, 0, write_due);
}

/* ---- the connection ---- */

static void ended(client *c, bool reset)
{
    if (sim_peer_unread(c->peer) > 0)
        read_some(c, SIZE_MAX);
    if (c->over)
        return;
    judge_end(c, reset);
    over(c, false);
}

static void told(sim_peer *peer, uint32_t what)
{
    client *c = sim_peer_ctx(peer);
    sim_world *w = c->run->w;
    if (what & SIM_PEER_OPEN)
        c->open = true;
    if (what & (SIM_PEER_OPEN | SIM_PEER_WRITE))
        write_soon(c);
    if (what & SIM_PEER_REFUSED) {
        if (!c->run->draining && !c->run->unsure)
            fault(c, "refused");
        over(c, false);
    } else if (what & SIM_PEER_RESET) {
        ended(c, true);
    } else if (what & SIM_PEER_EOF) {
        ended(c, false);
    } else if ((what & SIM_PEER_READ) && !c->deaf) {
        if (c->read_us_max == 0)
            read_some(c, SIZE_MAX);
        else if (!hs_heap_has(&c->read.node))
            sim_event_set(w, &c->read, sim_spread(w, c->read_us_max) * 1000, read_due);
    }
}

void client_start(client_run *run, client *c, uint32_t number)
{
    sim_world *w = run->w;
    memset(c, 0, sizeof(*c));
    c->run = run;
    c->number = number;
    c->hold_at = SIZE_MAX;
    answer_init(&c->answer);
    client_draw(w, c);
    c->peer = sim_peer_connect(w, SCRIPT_PORT, sim_below(w, 4) > 0, told, c);
    if (c->ending == CLIENT_RESETS)
        sim_event_set(w, &c->doom, sim_spread(w, 3000) * HS_MSEC_NS, doom);
    if (c->ending == CLIENT_STALLS || c->ending == CLIENT_DEAFENS)
        sim_event_set(w, &c->doom, sim_spread(w, 3000) * HS_MSEC_NS, silence);
    run->left++;
}

void client_fini(client *c)
{
    hs_mem_give(hs_mem_system(), c->out, c->out_room, 16);
}
