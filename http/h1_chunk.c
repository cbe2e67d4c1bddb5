/* The chunked decoder: a state for each place where the input may be cut.
 *
 * Owns: the grammar of RFC 9112 section 7.1 but the trailer section. Blanks are taken where it has
 * BWS, which a recipient must parse (RFC 9110 section 5.6.3), and at the line's end: some servers
 * pad sizes with them, and all readers agree on what they mean. Extensions are checked and
 * forgotten. Tested by: tests/unit/http_h1_chunk.c; fuzzed by
 * tests/fuzz/fuzz_h1_chunk.c. */
#include "h1_chunk.h"

#include "class.h"
#include "hs_assert.h"

enum {
    ST_SIZE_FIRST, /* at least one digit */
    ST_SIZE,
    ST_SIZE_END,       /* blanks behind the size: ';' or the line's end must follow */
    ST_EXT_NAME_FIRST, /* behind ';' */
    ST_EXT_NAME,
    ST_EXT_NAME_END, /* blanks behind a name: '=', ';' or the line's end must follow */
    ST_EXT_VALUE_FIRST,
    ST_EXT_VALUE,
    ST_EXT_QUOTED,
    ST_EXT_ESCAPED, /* behind '\' in a quoted string */
    ST_EXT_END,     /* behind a quoted string */
    ST_EXT_SPACE,   /* blanks behind a value: ';' or the line's end must follow */
    ST_LINE_LF,
    ST_DATA,
    ST_DATA_CR,
    ST_DATA_LF,
    ST_ENDED
};

void h1_chunk_init(h1_chunk *c)
{
    *c = (h1_chunk){.state = ST_SIZE_FIRST};
}

static bool is_space(uint8_t byte)
{
    return byte == ' ' || byte == '\t';
}

static bool is_token(uint8_t byte)
{
    return class_is(byte, CLASS_TOKEN);
}

static uint64_t hex_value(uint8_t byte)
{
    HS_ASSERT(class_is(byte, CLASS_HEX));
    return byte <= '9' ? byte - '0' : (byte | 0x20) - 'a' + 10;
}

/* One byte of the size. Returns the next state; ST_ENDED: broken. */
static uint8_t step_size(h1_chunk *c, uint8_t byte)
{
    if (c->state != ST_SIZE_END && class_is(byte, CLASS_HEX)) {
        if (c->left > (uint64_t)INT64_MAX >> 4) {
            c->fault = "chunk size out of range";
            return ST_ENDED;
        }
        c->left = c->left << 4 | hex_value(byte);
        return ST_SIZE;
    }
    if (c->state != ST_SIZE_FIRST && byte == '\r')
        return ST_LINE_LF;
    if (c->state != ST_SIZE_FIRST && byte == ';')
        return ST_EXT_NAME_FIRST;
    if (c->state != ST_SIZE_FIRST && is_space(byte))
        return ST_SIZE_END;
    c->fault = "chunk size is not a hexadecimal number";
    return ST_ENDED;
}

static uint8_t step_ext_name(uint8_t state, uint8_t byte)
{
    if (state != ST_EXT_NAME_END && is_token(byte))
        return ST_EXT_NAME;
    if (state == ST_EXT_NAME_FIRST)
        return is_space(byte) ? ST_EXT_NAME_FIRST : ST_ENDED;
    if (byte == '=')
        return ST_EXT_VALUE_FIRST;
    if (byte == ';')
        return ST_EXT_NAME_FIRST;
    if (is_space(byte))
        return ST_EXT_NAME_END;
    return byte == '\r' ? ST_LINE_LF : ST_ENDED;
}

static uint8_t step_ext_value(uint8_t state, uint8_t byte)
{
    if (state == ST_EXT_VALUE_FIRST && byte == '"')
        return ST_EXT_QUOTED;
    if ((state == ST_EXT_VALUE_FIRST || state == ST_EXT_VALUE) && is_token(byte))
        return ST_EXT_VALUE;
    if (state == ST_EXT_VALUE_FIRST)
        return is_space(byte) ? ST_EXT_VALUE_FIRST : ST_ENDED;
    if (byte == ';')
        return ST_EXT_NAME_FIRST;
    if (is_space(byte))
        return ST_EXT_SPACE;
    return byte == '\r' ? ST_LINE_LF : ST_ENDED;
}

static uint8_t step_ext_quoted(uint8_t state, uint8_t byte)
{
    if (class_is(byte, CLASS_CTL))
        return ST_ENDED;
    if (state == ST_EXT_ESCAPED)
        return ST_EXT_QUOTED;
    if (byte == '"')
        return ST_EXT_END;
    return byte == '\\' ? ST_EXT_ESCAPED : ST_EXT_QUOTED;
}

/* One byte that is not data. Returns the next state; ST_ENDED: broken. */
static uint8_t step(h1_chunk *c, uint8_t byte)
{
    if (c->state < ST_DATA && ++c->line_bytes > H1_CHUNK_LINE_BYTES_MAX) {
        c->fault = "chunk line too long";
        return ST_ENDED;
    }
    switch (c->state) {
    case ST_SIZE_FIRST:
    case ST_SIZE:
    case ST_SIZE_END:
        return step_size(c, byte);
    case ST_EXT_NAME_FIRST:
    case ST_EXT_NAME:
    case ST_EXT_NAME_END:
        return step_ext_name(c->state, byte);
    case ST_EXT_VALUE_FIRST:
    case ST_EXT_VALUE:
    case ST_EXT_END:
    case ST_EXT_SPACE:
        return step_ext_value(c->state, byte);
    case ST_EXT_QUOTED:
    case ST_EXT_ESCAPED:
        return step_ext_quoted(c->state, byte);
    case ST_LINE_LF:
        return byte == '\n' ? ST_DATA : ST_ENDED;
    case ST_DATA_CR:
        return byte == '\r' ? ST_DATA_LF : ST_ENDED;
    case ST_DATA_LF:
        return byte == '\n' ? ST_SIZE_FIRST : ST_ENDED;
    default:
        HS_ASSERT(!"a chunk state without a step");
        return ST_ENDED;
    }
}

static h1_chunk_result bad(h1_chunk *c)
{
    c->state = ST_ENDED;
    if (c->fault == NULL)
        c->fault = "chunk framing broken";
    return H1_CHUNK_BAD;
}

h1_chunk_result h1_chunk_feed(h1_chunk *c, hs_span in, size_t *used, hs_span *data)
{
    HS_ASSERT(c->state != ST_ENDED);
    size_t at = 0;
    *data = hs_span_of(NULL, 0);
    while (at < in.len) {
        if (c->state == ST_DATA) {
            HS_ASSERT(c->left > 0);
            size_t len = (size_t)HS_MIN(c->left, (uint64_t)(in.len - at));
            *data = hs_span_of(in.ptr + at, len);
            *used = at + len;
            c->left -= len;
            if (c->left == 0)
                c->state = ST_DATA_CR;
            return H1_CHUNK_DATA;
        }
        uint8_t next = step(c, in.ptr[at++]);
        *used = at;
        if (next == ST_ENDED)
            return bad(c);
        c->state = next;
        if (next == ST_DATA) {
            c->line_bytes = 0;
            if (c->left == 0) {
                c->state = ST_ENDED;
                return H1_CHUNK_TRAILERS;
            }
        }
    }
    *used = at;
    return H1_CHUNK_MORE;
}
