/* Fuzzes the head parser: three bytes of choices, then what a client sends.
 *
 * Checked: every line loop gives the same verdict, in one piece, byte by byte and in pieces that
 * the input chooses; no byte past the end is read (each piece is memory of its exact size); what is
 * told of an accepted head is true of its bytes. */
#include "hs_assert.h"
#include "http_ways.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { CHOICES = 3, CUTS = 8, STEPPED_MAX = 192 };

static hs_span field_name(const uint8_t *base, const h1_field *f)
{
    return h1_span(base, f->name, f->name_len);
}

/* Each field is `name ":" OWS value OWS CRLF` at its place, and nothing lies between two. */
static void check_fields(const h1_head *head, const uint8_t *base, const h1_limits *limits)
{
    uint8_t known[HS_FIELD_COUNT] = {0};
    HS_ASSERT(head->fields_len <= limits->fields_max);
    for (uint32_t i = 0; i < head->fields_len; i++) {
        const h1_field *f = &head->fields[i];
        hs_span name = field_name(base, f);
        hs_span value = h1_span(base, f->value, f->value_len);
        HS_ASSERT(hs_http_is_token(name));
        HS_ASSERT(hs_http_is_field_value(value));
        HS_ASSERT(f->name == 0 || (base[f->name - 2] == '\r' && base[f->name - 1] == '\n'));
        HS_ASSERT(base[f->name + f->name_len] == ':');
        size_t at = (size_t)f->name + f->name_len + 1;
        for (; at < f->value; at++)
            HS_ASSERT(base[at] == ' ' || base[at] == '\t');
        at += f->value_len;
        while (base[at] == ' ' || base[at] == '\t')
            at++;
        HS_ASSERT(base[at] == '\r' && base[at + 1] == '\n');
        size_t next = i + 1u < head->fields_len ? head->fields[i + 1].name : head->bytes - 2;
        HS_ASSERT(at + 2 == next);
        hs_field_id id = hs_field_parse(name);
        if (known[id] == 0)
            known[id] = (uint8_t)(i + 1);
    }
    HS_ASSERT(memcmp(known, head->known, sizeof(known)) == 0);
}

static bool inside(const h1_head *head, uint16_t at, uint16_t len)
{
    return (size_t)at + len <= head->bytes;
}

static uint32_t count(const h1_head *head, const uint8_t *base, hs_field_id id)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < head->fields_len; i++)
        n += hs_field_parse(field_name(base, &head->fields[i])) == id;
    return n;
}

static void check_framing(const h1_head *head, const uint8_t *base)
{
    uint32_t lengths = count(head, base, HS_FIELD_CONTENT_LENGTH);
    uint32_t codings = count(head, base, HS_FIELD_TRANSFER_ENCODING);
    HS_ASSERT(lengths + codings <= 1);
    HS_ASSERT(head->body == (lengths == 1   ? H1_BODY_LENGTH
                             : codings == 1 ? H1_BODY_CHUNKED
                                            : H1_BODY_NONE));
    if (lengths == 1) {
        const h1_field *f = &head->fields[head->known[HS_FIELD_CONTENT_LENGTH] - 1];
        uint64_t length;
        HS_ASSERT(hs_span_u64(h1_span(base, f->value, f->value_len), INT64_MAX, &length));
        HS_ASSERT(length == head->content_length);
    }
    if (codings == 1) {
        const h1_field *f = &head->fields[head->known[HS_FIELD_TRANSFER_ENCODING] - 1];
        HS_ASSERT(hs_span_eq_nocase(h1_span(base, f->value, f->value_len), HS_SPAN("chunked")));
        HS_ASSERT(head->minor == 1);
    }
    uint32_t hosts = count(head, base, HS_FIELD_HOST);
    HS_ASSERT(hosts <= 1);
    HS_ASSERT(head->minor == 0 || hosts == 1);
}

static void check_request(const h1_head *head, const uint8_t *base, const h1_limits *limits)
{
    hs_span method = h1_span(base, head->method_at, head->method_len);
    hs_span target = h1_span(base, head->target_at, head->target_len);
    HS_ASSERT(hs_http_is_token(method));
    HS_ASSERT(head->method == hs_method_parse(method));
    HS_ASSERT(target.len > 0 && target.len <= limits->target_bytes_max);
    HS_ASSERT(head->method_at % 2 == 0 && head->method_at <= 2 * H1_EMPTY_LINES_MAX);
    HS_ASSERT(head->target_at == head->method_at + head->method_len + 1);
    HS_ASSERT(inside(head, head->path_at, head->path_len));
    HS_ASSERT(inside(head, head->query_at, head->query_len));
    HS_ASSERT(inside(head, head->authority_at, head->authority_len));
    for (size_t i = 0; i < target.len; i++)
        HS_ASSERT(target.ptr[i] > ' ' && target.ptr[i] != 0x7f && target.ptr[i] != '#');
    if (head->authority_len > 0)
        HS_ASSERT(h1_authority_valid(h1_span(base, head->authority_at, head->authority_len)));
    if (head->absolute || head->method == HS_METHOD_CONNECT)
        HS_ASSERT(head->authority_len > 0);
    check_framing(head, base);
}

static void check_done(const h1_head *head, const uint8_t *base, size_t len, uint32_t kind,
                       const h1_limits *limits)
{
    static h1_head shorter;
    HS_ASSERT(head->bytes <= len);
    HS_ASSERT(head->bytes <= limits->head_bytes_max);
    HS_ASSERT(head->bytes >= 2);
    HS_ASSERT(base[head->bytes - 2] == '\r' && base[head->bytes - 1] == '\n');
    check_fields(head, base, limits);
    if (kind == WAYS_REQUEST)
        check_request(head, base, limits);
    ways_init(&shorter, kind);
    HS_ASSERT(ways_step(&shorter, base, head->bytes - 1, limits) == H1_MORE);
}

static void check_bad(const h1_head *head)
{
    HS_ASSERT(head->fault != NULL);
    HS_ASSERT(head->status == 400 || head->status == 414 || head->status == 417 ||
              head->status == 431 || head->status == 501 || head->status == 505);
}

/* Where the input wants its pieces to end, in order. */
static void choose_cuts(size_t *cuts, uint32_t seed, size_t len)
{
    size_t at = 0;
    for (size_t i = 0; i < CUTS; i++) {
        seed = seed * 1664525u + 1013904223u;
        at += 1 + (seed >> 16) % (len / CUTS + 2);
        cuts[i] = at;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static h1_head first;
    static h1_head other;
    static size_t steps[STEPPED_MAX];
    if (size < CHOICES || size > H1_HEAD_BYTES_MAX)
        return 0;
    uint32_t kind = (data[0] & 1) != 0 ? WAYS_TRAILERS : WAYS_REQUEST;
    h1_limits limits = {16384, 8192, 100};
    if ((data[0] & 2) != 0)
        limits = (h1_limits){(uint32_t)data[1] + 1, data[2], data[1] % 8u};
    uint8_t *bytes = ways_copy(data + CHOICES, size - CHOICES);
    size_t len = size - CHOICES;
    size_t cuts[CUTS];
    choose_cuts(cuts, data[1] * 256u + data[2], len);
    for (size_t i = 0; i < STEPPED_MAX; i++)
        steps[i] = i;

    h1_head_use_lines(h1_lines_portable);
    ways_init(&first, kind);
    h1_result verdict = ways_step(&first, bytes, len, &limits);
    if (verdict == H1_DONE)
        check_done(&first, bytes, len, kind, &limits);
    if (verdict == H1_BAD)
        check_bad(&first);
    ways_loop loops[WAYS_LOOPS_MAX];
    size_t loops_len = ways_loops(loops);
    for (size_t i = 0; i < loops_len; i++) {
        h1_head_use_lines(loops[i].fn);
        h1_result r = ways_split(&other, bytes, len, kind, &limits, NULL, 0);
        HS_ASSERT(ways_same(verdict, &first, r, &other));
        r = ways_split(&other, bytes, len, kind, &limits, cuts, CUTS);
        HS_ASSERT(ways_same(verdict, &first, r, &other));
        if (len <= STEPPED_MAX) {
            r = ways_split(&other, bytes, len, kind, &limits, steps, STEPPED_MAX);
            HS_ASSERT(ways_same(verdict, &first, r, &other));
        }
    }
    free(bytes);
    return 0;
}
