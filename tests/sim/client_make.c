/* What a scripted client asks, and how: drawn from the world's seed. */
#include "client_make.h"

#include <stdio.h>
#include <string.h>

#include "hs_base.h"
#include "hs_assert.h"

static const char *const bad_requests[] = {
    "GET / HTTP/1.1\nHost: sim\n\n",
    "GET / HTTP/1.1\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    "GET / HTTP/1.1\r\nHost : sim\r\n\r\n",
    "GET / HTTP/3.0\r\nHost: sim\r\n\r\n",
    "GET /\x01 HTTP/1.1\r\nHost: sim\r\n\r\n",
    ("POST /collect/1/0/0 HTTP/1.1\r\nHost: sim\r\nContent-Length: 3\r\n"
     "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    "POST /collect/1/0/0 HTTP/1.1\r\nHost: sim\r\nContent-Length: +3\r\n\r\nabc",
    "POST /collect/1/0/0 HTTP/1.1\r\nHost: sim\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    "POST /collect/1/0/0 HTTP/1.1\r\nHost: sim\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nab\r\n",
    "NONSENSE\r\n\r\n",
};

/* `heavy`: bodies are long enough to fill the send queue, and wait there. */
static void draw_request(sim_world *w, request *r, uint32_t id, bool heavy)
{
    *r = (request){.id = id};
    r->kind = (script_kind)sim_below(w, SCRIPT_KINDS);
    r->len = (uint32_t)sim_spread(w, heavy ? 600000 : 20000);
    r->ms = (uint32_t)sim_spread(w, 2000);
    r->has_body = r->kind == SCRIPT_ECHO || r->kind == SCRIPT_COLLECT || r->kind == SCRIPT_IGNORE;
    if (r->has_body) {
        bool long_one = heavy && r->kind == SCRIPT_ECHO;
        r->body_len = (uint32_t)sim_spread(w, long_one ? 600000 : 40000);
        r->chunked = sim_below(w, 2);
        r->expect = sim_below(w, 6) == 0 && r->body_len > 0;
    } else {
        r->head = sim_below(w, 8) == 0;
    }
    r->old = !r->chunked && !r->expect && sim_below(w, 24) == 0;
    r->close = r->old || sim_below(w, 24) == 0;
}

void client_draw(sim_world *w, client *c)
{
    bool heavy = sim_below(w, 12) == 0;
    c->requests_len = 1 + (uint32_t)sim_below(w, CLIENT_REQUESTS_MAX);
    for (uint32_t i = 0; i < c->requests_len; i++)
        draw_request(w, &c->requests[i], c->number * 100 + i, heavy);
    if (sim_below(w, 8) == 0)
        c->requests[c->requests_len - 1].bad =
            bad_requests[sim_below(w, HS_ARRAY_LEN(bad_requests))];
    c->depth = sim_below(w, 2) ? 1 : 1 + (uint32_t)sim_below(w, 8);
    c->piece_max = sim_below(w, 2) ? 1u << 20 : 1 + (uint32_t)sim_spread(w, 3000);
    c->delay_us_max = sim_below(w, 2) ? 0 : (uint32_t)sim_spread(w, 3000);
    c->read_max = sim_below(w, 2) ? 1u << 20 : 100 + (uint32_t)sim_spread(w, 3000);
    c->read_us_max = sim_below(w, 2) ? 0 : (uint32_t)sim_spread(w, 20000);
    c->ending = (client_ending)sim_below(w, CLIENT_ENDINGS);
    if (sim_below(w, 2))
        c->ending = CLIENT_CLOSES;
    if (heavy) { /* long bodies in small pieces, or read slowly, would take all day */
        c->piece_max = HS_MAX(c->piece_max, 1000);
        c->read_max = 1u << 20;
    }
}

/* ---- bytes ---- */

static void out_add(client *c, const void *bytes, size_t len)
{
    if (c->out_len + len > c->out_room) {
        size_t room = HS_MAX(c->out_len + len, 2 * c->out_room);
        uint8_t *out = hs_mem_take(hs_mem_system(), room, 16);
        HS_ASSERT(out != NULL);
        if (c->out_len > 0)
            memcpy(out, c->out, c->out_len);
        hs_mem_give(hs_mem_system(), c->out, c->out_room, 16);
        c->out = out;
        c->out_room = room;
    }
    memcpy(c->out + c->out_len, bytes, len);
    c->out_len += len;
}

static void out_text(client *c, const char *text)
{
    out_add(c, text, strlen(text));
}

static void out_body(client *c, const request *r, uint32_t from, uint32_t len)
{
    uint8_t piece[256];
    for (uint32_t at = 0; at < len; at += sizeof(piece)) {
        uint32_t n = HS_MIN(len - at, (uint32_t)sizeof(piece));
        for (uint32_t i = 0; i < n; i++)
            piece[i] = script_byte(r->id, from + at + i);
        out_add(c, piece, n);
    }
}

static void out_chunks(sim_world *w, client *c, const request *r)
{
    char line[64];
    for (uint32_t at = 0; at < r->body_len;) {
        uint32_t n = 1 + (uint32_t)sim_spread(w, 4000);
        n = HS_MIN(n, r->body_len - at);
        const char *before = sim_below(w, 8) ? "" : "0";
        const char *after = sim_below(w, 8) ? "" : ";ext=1";
        snprintf(line, sizeof(line), "%s%x%s\r\n", before, n, after);
        out_text(c, line);
        out_body(c, r, at, n);
        out_text(c, "\r\n");
        at += n;
    }
    out_text(c, sim_below(w, 4) ? "0\r\n\r\n" : "0\r\nX-Sum: 1\r\n\r\n");
}

void client_make(sim_world *w, client *c, const request *r)
{
    HS_ASSERT(c->out_at == c->out_len);
    c->out_at = c->out_len = 0;
    c->hold_at = SIZE_MAX;
    if (r->bad) {
        out_text(c, r->bad);
        return;
    }
    char line[160];
    snprintf(line, sizeof(line), "%s /%s/%u/%u/%u HTTP/1.%d\r\nHost: sim\r\n",
             r->has_body ? "POST"
             : r->head   ? "HEAD"
                         : "GET",
             script_name(r->kind), r->id, r->len, r->ms, r->old ? 0 : 1);
    out_text(c, line);
    if (r->close && !r->old)
        out_text(c, "Connection: close\r\n");
    for (uint64_t i = sim_spread(w, 20); i > 0; i--) {
        snprintf(line, sizeof(line), "X-Pad-%u: %.*s\r\n", (unsigned)i, (int)sim_below(w, 60),
                 "................................................................");
        out_text(c, line);
    }
    if (r->has_body && r->chunked)
        out_text(c, "Transfer-Encoding: chunked\r\n");
    if (r->has_body && !r->chunked) {
        snprintf(line, sizeof(line), "Content-Length: %u\r\n", r->body_len);
        out_text(c, line);
    }
    if (r->expect)
        out_text(c, "Expect: 100-continue\r\n");
    out_text(c, "\r\n");
    if (r->expect)
        c->hold_at = c->out_len;
    if (r->has_body && r->chunked)
        out_chunks(w, c, r);
    else if (r->has_body)
        out_body(c, r, 0, r->body_len);
}
