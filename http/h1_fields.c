/* What the fields that frame and route mean (RFC 9112 sections 3.2, 6 and 9.3, RFC
 * 9110 sections 6.5 and 10.1.1).
 *
 * Owns: the framing decision, and which fields a trailer section may not hold. Must not know: how
 * lines are found. Tested by: tests/unit/http_h1_fields.c; fuzzed by tests/fuzz/fuzz_h1_head.c. */
#include "class.h"
#include "field.h"
#include "h1_parse.h"
#include "hs_assert.h"

#define CONTENT_LENGTH_MAX INT64_MAX

static bool is_space(uint8_t byte)
{
    return byte == ' ' || byte == '\t';
}

/* Cut the next element off a comma-separated list; empty ones are given too. False: there is none.
 */
static bool list_next(hs_span *list, hs_span *element)
{
    if (list->ptr == NULL)
        return false;
    const uint8_t *comma = list->len > 0 ? memchr(list->ptr, ',', list->len) : NULL;
    if (comma == NULL) {
        *element = *list;
        *list = hs_span_of(NULL, 0);
    } else {
        *element = hs_span_of(list->ptr, (size_t)(comma - list->ptr));
        *list = hs_span_from(*list, element->len + 1);
    }
    while (element->len > 0 && is_space(element->ptr[element->len - 1]))
        element->len--;
    while (element->len > 0 && is_space(element->ptr[0]))
        *element = hs_span_from(*element, 1);
    return true;
}

static h1_result act_host(h1_head *head, const h1_field *field, hs_span value, bool plain)
{
    HS_ASSERT(!plain || value.len > 0);
    if (!plain && value.len > 0 && !h1_authority_valid(value))
        return h1_bad(head, 400, "Host is not host[:port]");
    bool from_target = head->absolute || head->method == HS_METHOD_CONNECT;
    if (from_target)
        return H1_DONE; /* the target's authority takes its place (RFC 9112 section 3.2.2) */
    head->authority_at = field->value;
    head->authority_len = field->value_len;
    return H1_DONE;
}

/* Exact: no byte but a letter's other case turns into one of these by setting bit 5, apart from CR
 * into '-', and a field value has none. */
static bool is_keep_alive(hs_span value)
{
    const uint64_t lower = UINT64_C(0x2020202020202020);
    return value.len == 10 && (field_load8(value.ptr) | lower) == field_load8("keep-ali") &&
           (field_load2(value.ptr + 8) | 0x2020) == field_load2("ve");
}

/* #connection-option: tokens. Empty elements are passed over (RFC 9110 section 5.6.1.2). */
static h1_result act_connection(h1_head *head, hs_span value)
{
    hs_span option;
    if (is_keep_alive(value)) { /* what most who send it send; the list below says the same */
        head->flags |= H1_FLAG_KEEP_ALIVE;
        return H1_DONE;
    }
    while (list_next(&value, &option)) {
        if (option.len == 0)
            continue;
        if (!hs_http_is_token(option))
            return h1_bad(head, 400, "Connection is not a list of tokens");
        if (hs_span_eq_nocase(option, HS_SPAN("close")))
            head->flags |= H1_FLAG_CLOSE;
        else if (hs_span_eq_nocase(option, HS_SPAN("keep-alive")))
            head->flags |= H1_FLAG_KEEP_ALIVE;
    }
    return H1_DONE;
}

static h1_result act_content_length(h1_head *head, hs_span value)
{
    uint64_t length = 0;
    for (size_t i = 0; i < value.len; i++) {
        uint8_t byte = value.ptr[i];
        if (byte < '0' || byte > '9')
            return h1_bad(head, 400, "Content-Length is not a number");
        if (length > (CONTENT_LENGTH_MAX - (uint64_t)(byte - '0')) / 10)
            return h1_bad(head, 400, "Content-Length out of range");
        length = length * 10 + (uint64_t)(byte - '0');
    }
    if (value.len == 0)
        return h1_bad(head, 400, "empty Content-Length");
    HS_ASSERT(length <= CONTENT_LENGTH_MAX);
    head->content_length = length;
    head->body = H1_BODY_LENGTH;
    return H1_DONE;
}

/* Several lines are one list (RFC 9110 section 5.3). Stricter than a list elsewhere: nothing empty,
 * and nothing behind "chunked". Another coding is well formed but not ours: 501 in h1_finish. */
static h1_result act_transfer_encoding(h1_head *head, hs_span value)
{
    hs_span coding;
    while (list_next(&value, &coding)) {
        if ((head->flags & H1_FLAG_CHUNKED) != 0)
            return h1_bad(head, 400, "a transfer coding behind chunked");
        size_t name_len = 0;
        while (name_len < coding.len && class_is(coding.ptr[name_len], CLASS_TOKEN))
            name_len++;
        bool chunked = hs_span_eq_nocase(hs_span_of(coding.ptr, name_len), HS_SPAN("chunked"));
        bool parameters = name_len < coding.len;
        if (name_len == 0 || (chunked && parameters))
            return h1_bad(head, 400, "Transfer-Encoding is not a list of codings");
        if (parameters && coding.ptr[name_len] != ';' && !is_space(coding.ptr[name_len]))
            return h1_bad(head, 400, "Transfer-Encoding is not a list of codings");
        head->flags |= chunked ? H1_FLAG_CHUNKED : H1_FLAG_CODING;
    }
    return H1_DONE;
}

static h1_result act_expect(h1_head *head, hs_span value)
{
    if (head->minor == 0) /* RFC 9110 section 10.1.1 */
        return H1_DONE;
    if (!hs_span_eq_nocase(value, HS_SPAN("100-continue")))
        return h1_bad(head, 417, "unknown expectation");
    head->expect_continue = true;
    return H1_DONE;
}

/* Trailers are kept apart from the fields before the content, and never merged with them (RFC 9110
 * section 6.5.1), so their names do no harm: RFC 9530 puts digests there. But what frames and
 * routes came too late, and somebody who merges them would read another message. */
static h1_result act_trailer(h1_head *head, uint8_t id)
{
    bool frames = id == HS_FIELD_HOST || id == HS_FIELD_CONTENT_LENGTH ||
                  id == HS_FIELD_TRANSFER_ENCODING;
    return frames ? h1_bad(head, 400, "field not allowed in a trailer section") : H1_DONE;
}

h1_result h1_field_act(h1_head *head, const uint8_t *base, uint8_t id, bool plain_host)
{
    HS_ASSERT(head->fields_len > 0);
    HS_ASSERT(id < HS_FIELD_COUNT);
    const h1_field *field = &head->fields[head->fields_len - 1];
    hs_span value = h1_span(base, field->value, field->value_len);
    bool repeated = head->known[id] != head->fields_len;
    if (head->state == H1_STATE_TRAILERS)
        return act_trailer(head, id);
    switch (id) {
    case HS_FIELD_HOST:
        return repeated ? h1_bad(head, 400, "more than one Host")
                        : act_host(head, field, value, plain_host);
    case HS_FIELD_CONNECTION:
        return act_connection(head, value);
    case HS_FIELD_CONTENT_LENGTH:
        return repeated ? h1_bad(head, 400, "more than one Content-Length")
                        : act_content_length(head, value);
    case HS_FIELD_TRANSFER_ENCODING:
        return act_transfer_encoding(head, value);
    case HS_FIELD_EXPECT:
        return act_expect(head, value);
    default:
        HS_ASSERT(!"a field of H1_FIELDS_ACTED without its action");
        return H1_DONE;
    }
}

/* RFC 9112 section 6.3, without the cases that this server refuses. */
static h1_result finish_codings(h1_head *head)
{
    if (head->minor == 0)
        return h1_bad(head, 400, "Transfer-Encoding in HTTP/1.0");
    if (head->known[HS_FIELD_CONTENT_LENGTH] != 0)
        return h1_bad(head, 400, "both Content-Length and Transfer-Encoding");
    if ((head->flags & H1_FLAG_CODING) != 0)
        return h1_bad(head, 501, "transfer coding that is not chunked alone");
    HS_ASSERT((head->flags & H1_FLAG_CHUNKED) != 0);
    head->body = H1_BODY_CHUNKED;
    return H1_DONE;
}

h1_result h1_finish(h1_head *head, const uint8_t *base, size_t bytes)
{
    (void)base;
    HS_ASSERT(bytes > head->at);
    if (HS_LIKELY(head->state == H1_STATE_FIELDS)) {
        if (HS_UNLIKELY(head->known[HS_FIELD_HOST] == 0 && head->minor == 1))
            return h1_bad(head, 400, "no Host");
        if (HS_UNLIKELY(head->known[HS_FIELD_TRANSFER_ENCODING] != 0) &&
            finish_codings(head) == H1_BAD)
            return H1_BAD;
        head->keep_alive = (head->flags & H1_FLAG_CLOSE) == 0 &&
                           (head->minor == 1 || (head->flags & H1_FLAG_KEEP_ALIVE) != 0);
    }
    head->bytes = (uint32_t)bytes;
    head->at = (uint32_t)bytes;
    head->state = H1_STATE_ENDED;
    return H1_DONE;
}
