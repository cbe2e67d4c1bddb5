/* Fuzzes a client's reader: three bytes of choices, then what a server sends until it closes.
 *
 * Checked: one piece, byte by byte and pieces that the input chooses come to the same head, body
 * and end; no byte past the end is read; a whole response has no more body than its length says;
 * fields have nothing in them that would frame anything. */
#include <stdlib.h>
#include <string.h>

#include "client_reply.h"
#include "hs_assert.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { CHOICES = 3, INPUT_MAX = 8192 };

typedef struct outcome {
    reply_event result;
    int32_t err;
    uint16_t status;
    bool head, keeps;
    size_t used, body_len;
    uint8_t body[INPUT_MAX];
} outcome;

static hs_pool chunks;
static hs_arena arena;

/* Fields can be handed on: nothing in them ends a line, and no two lengths are left. */
static void check_fields(const h1_response *h)
{
    uint32_t lengths = 0;
    for (uint32_t i = 0; i < h->fields_len; i++) {
        hs_span value = h->fields[i].value;
        HS_ASSERT(hs_http_is_token(h->fields[i].name));
        for (size_t k = 0; k < value.len; k++)
            HS_ASSERT(value.ptr[k] != '\0' && value.ptr[k] != '\r' && value.ptr[k] != '\n');
        lengths += hs_field_parse(h->fields[i].name) == HS_FIELD_CONTENT_LENGTH;
    }
    HS_ASSERT(lengths <= (h->body == H1_BODY_CHUNKED ? 0 : 1));
}

/* Feed a copy of exactly `len` bytes. False: it is over. */
static bool feed(reply *r, outcome *o, const uint8_t *bytes, size_t len)
{
    uint8_t *copy = malloc(len > 0 ? len : 1);
    if (copy == NULL)
        abort();
    memcpy(copy, bytes, len);
    hs_span in = hs_span_of(copy, len);
    do {
        size_t used = SIZE_MAX;
        hs_span piece;
        o->result = reply_feed(r, in, &used, &piece);
        HS_ASSERT(used <= in.len);
        HS_ASSERT((o->result == REPLY_DATA) == (piece.len > 0));
        if (o->result == REPLY_DATA) {
            HS_ASSERT(o->head && o->body_len + piece.len <= INPUT_MAX);
            memcpy(o->body + o->body_len, piece.ptr, piece.len);
            o->body_len += piece.len;
        }
        if (o->result == REPLY_HEAD) {
            HS_ASSERT(!o->head && r->head.status >= 200 && r->head.status <= 999);
            check_fields(&r->head);
            o->head = true;
            o->status = r->head.status;
        }
        o->used += used;
        in = hs_span_from(in, used);
    } while (o->result == REPLY_DATA || o->result == REPLY_HEAD);
    free(copy);
    HS_ASSERT(o->result != REPLY_MORE || in.len == 0);
    return o->result == REPLY_MORE;
}

/* Pieces of 1 to `most` bytes; SIZE_MAX: one piece. */
static void read_all(outcome *o, hs_method method, const uint8_t *bytes, size_t len, size_t most,
                     uint32_t seed)
{
    static reply r;
    h1_limits limits = {.head_bytes_max = 2048, .target_bytes_max = 1, .fields_max = 20};
    memset(o, 0, offsetof(outcome, body));
    o->result = REPLY_MORE;
    reply_init(&r, &arena, method, &limits);
    size_t at = 0;
    bool on = true;
    while (on && at < len) {
        seed = seed * 1664525u + 1013904223u;
        size_t piece = most == SIZE_MAX ? len : 1 + (seed >> 16) % most;
        piece = HS_MIN(piece, len - at);
        on = feed(&r, o, bytes + at, piece);
        at += piece;
    }
    if (on)
        o->result = reply_close(&r);
    HS_ASSERT((o->result == REPLY_BAD) == (r.fault != NULL));
    o->err = o->result == REPLY_BAD ? r.err.code : 0;
    o->keeps = o->result == REPLY_END && reply_keeps(&r);
    if (o->result == REPLY_END && r.head.body == H1_BODY_LENGTH)
        HS_ASSERT(o->body_len == r.head.content_length);
    if (o->result == REPLY_END && r.head.body == H1_BODY_NONE)
        HS_ASSERT(o->body_len == 0);
    hs_arena_reset(&arena);
}

static void check_same(const outcome *a, const outcome *b)
{
    HS_ASSERT(a->result == b->result);
    HS_ASSERT(a->err == b->err);
    HS_ASSERT(a->head == b->head && a->status == b->status);
    HS_ASSERT(a->keeps == b->keeps);
    HS_ASSERT(a->result != REPLY_END || a->used == b->used);
    HS_ASSERT(a->body_len == b->body_len);
    HS_ASSERT(memcmp(a->body, b->body, a->body_len) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static outcome whole, pieces;
    if (size < CHOICES || size - CHOICES > INPUT_MAX)
        return 0;
    if (chunks.mem == NULL) {
        if (!hs_ok(hs_pool_init(&chunks, hs_mem_system(), HS_CHUNK_BYTES, 1024)))
            abort();
        hs_arena_init(&arena, &chunks, 1u << 24);
    }
    hs_method method = (hs_method)(data[2] % HS_METHOD_COUNT);
    const uint8_t *bytes = data + CHOICES;
    size_t len = size - CHOICES;
    read_all(&whole, method, bytes, len, SIZE_MAX, 0);
    read_all(&pieces, method, bytes, len, 1, 0);
    check_same(&whole, &pieces);
    read_all(&pieces, method, bytes, len, 1u + data[0] % 64u, data[1]);
    check_same(&whole, &pieces);
    return 0;
}
