/* Fuzzes the chunked decoder: two bytes of choices, then a chunked body.
 *
 * Checked: one piece, byte by byte and pieces that the input chooses give the same verdict, the
 * same body and the same end; no byte past the end is read; an accepted body is what a slow decoder
 * that sees all of it at once reads. */
#include <stdlib.h>
#include <string.h>

#include "h1_chunk.h"
#include "hs_assert.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { CHOICES = 2, INPUT_MAX = 4096 };

typedef struct outcome {
    h1_chunk_result result;
    size_t used; /* in all */
    size_t body_len;
    uint8_t body[INPUT_MAX];
} outcome;

static bool feed(h1_chunk *c, outcome *o, const uint8_t *bytes, size_t len)
{
    uint8_t *copy = malloc(len > 0 ? len : 1);
    if (copy == NULL)
        abort();
    memcpy(copy, bytes, len);
    hs_span in = hs_span_of(copy, len);
    do {
        size_t used = SIZE_MAX;
        hs_span data;
        o->result = h1_chunk_feed(c, in, &used, &data);
        HS_ASSERT(used <= in.len);
        HS_ASSERT((o->result == H1_CHUNK_DATA) == (data.len > 0));
        if (o->result == H1_CHUNK_DATA) {
            HS_ASSERT(data.ptr >= in.ptr);
            HS_ASSERT(data.ptr + data.len == in.ptr + used);
            memcpy(o->body + o->body_len, data.ptr, data.len);
            o->body_len += data.len;
        }
        if (o->result == H1_CHUNK_MORE)
            HS_ASSERT(used == in.len);
        HS_ASSERT((o->result == H1_CHUNK_BAD) == (c->fault != NULL));
        o->used += used;
        in = hs_span_from(in, used);
    } while (o->result == H1_CHUNK_DATA);
    free(copy);
    return o->result == H1_CHUNK_MORE;
}

/* Pieces of 1 to `most` bytes; SIZE_MAX: one piece. */
static void decode(outcome *o, const uint8_t *bytes, size_t len, size_t most, uint32_t seed)
{
    h1_chunk c;
    h1_chunk_init(&c);
    *o = (outcome){.result = H1_CHUNK_MORE};
    size_t at = 0;
    while (at < len) {
        seed = seed * 1664525u + 1013904223u;
        size_t piece = most == SIZE_MAX ? len : 1 + (seed >> 16) % most;
        piece = HS_MIN(piece, len - at);
        if (!feed(&c, o, bytes + at, piece))
            return;
        at += piece;
    }
}

static int digit(uint8_t byte)
{
    static const char digits[] = "0123456789abcdef0123456789ABCDEF";
    const char *at = byte == 0 ? NULL : strchr(digits, byte);
    return at == NULL ? -1 : (int)(at - digits) % 16;
}

/* Read `bytes` as a whole chunked body, leniently; the strict decoder took it. */
static void check_accepted(const outcome *o, const uint8_t *bytes)
{
    size_t at = 0;
    size_t body = 0;
    for (;;) {
        uint64_t size = 0;
        HS_ASSERT(digit(bytes[at]) >= 0);
        while (digit(bytes[at]) >= 0)
            size = size * 16 + (uint64_t)digit(bytes[at++]);
        while (bytes[at] == ' ' || bytes[at] == '\t')
            at++;
        HS_ASSERT(bytes[at] == '\r' || bytes[at] == ';');
        while (bytes[at] != '\r') {
            HS_ASSERT(bytes[at] >= ' ' || bytes[at] == '\t');
            at++;
        }
        HS_ASSERT(bytes[at + 1] == '\n');
        at += 2;
        if (size == 0)
            break;
        HS_ASSERT(memcmp(o->body + body, bytes + at, size) == 0);
        body += size;
        at += size;
        HS_ASSERT(bytes[at] == '\r' && bytes[at + 1] == '\n');
        at += 2;
    }
    HS_ASSERT(at == o->used);
    HS_ASSERT(body == o->body_len);
}

static void check_same(const outcome *a, const outcome *b)
{
    HS_ASSERT(a->result == b->result);
    HS_ASSERT(a->used == b->used);
    HS_ASSERT(a->body_len == b->body_len);
    HS_ASSERT(memcmp(a->body, b->body, a->body_len) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static outcome whole;
    static outcome pieces;
    if (size < CHOICES || size - CHOICES > INPUT_MAX)
        return 0;
    const uint8_t *bytes = data + CHOICES;
    size_t len = size - CHOICES;
    decode(&whole, bytes, len, SIZE_MAX, 0);
    if (whole.result == H1_CHUNK_TRAILERS)
        check_accepted(&whole, bytes);
    decode(&pieces, bytes, len, 1, 0);
    check_same(&whole, &pieces);
    decode(&pieces, bytes, len, 1u + data[0] % 64u, data[1]);
    check_same(&whole, &pieces);
    return 0;
}
