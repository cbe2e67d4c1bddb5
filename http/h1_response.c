/* Reading a response's head: see h1_response.h. */
#include "h1_response.h"

#include <errno.h>

#include "class.h"
#include "field.h"
#include "hs_assert.h"
#include "hs_headers.h"

#define EMPTY_LINES_MAX 2 /* before the status line */
#define BLANKS_MAX 16     /* in it, before the status */

enum {
    STATE_START,
    STATE_LINES,
    STATE_SCANNED,
    STATE_TRAILERS,
    STATE_TRAILERS_SCANNED,
    STATE_ENDED
};

/* What the fields that frame the body say, until all of them are read. */
typedef struct framing {
    bool has_length, has_coding;
    bool chunked;
    bool doubtful; /* readers may differ on where the next response begins */
    bool close, keep_alive;
} framing;

static bool is_blank(uint8_t byte)
{
    return byte == ' ' || byte == '\t';
}

static bool is_digit(uint8_t byte)
{
    return byte >= '0' && byte <= '9';
}

void h1_response_init(h1_response *h, hs_method method)
{
    *h = (h1_response){.state = STATE_START, .method = (uint8_t)method};
}

void h1_response_init_trailers(h1_response *h)
{
    *h = (h1_response){.state = STATE_TRAILERS};
}

static h1_result bad(h1_response *h, int32_t err, const char *fault)
{
    HS_ASSERT(h->state != STATE_ENDED);
    h->state = STATE_ENDED;
    h->err = hs_err_of(err);
    h->fault = fault;
    return H1_BAD;
}

static h1_result refuse(h1_response *h, const char *fault)
{
    return bad(h, HS_E_PROTOCOL, fault);
}

/* ---- the section's end ---- */

/* Skip the empty lines before the status line. */
static h1_result skip_empty_lines(h1_response *h, const uint8_t *base, size_t len)
{
    while (h->start < len && (base[h->start] == '\r' || base[h->start] == '\n')) {
        uint32_t bytes = base[h->start] == '\r' ? 2 : 1;
        if (h->start + bytes > len)
            return H1_MORE;
        if (base[h->start + bytes - 1] != '\n' || h->lines == EMPTY_LINES_MAX)
            return refuse(h, "no status line");
        h->lines++;
        h->start += bytes;
    }
    return h->start < len ? H1_DONE : H1_MORE;
}

/* "HTTP/1.d", in small letters, too. *at is moved behind it. */
static h1_result scan_version(h1_response *h, const uint8_t **at, const uint8_t *end)
{
    static const char pattern[] = "http/1.0"; /* '0': any digit */
    const uint8_t *p = *at;
    for (size_t i = 0; i < sizeof(pattern) - 1; i++, p++) {
        if (p == end)
            return H1_MORE;
        uint8_t byte = i < 4 ? *p | 0x20 : *p;
        if (pattern[i] == '0' ? !is_digit(byte) : byte != (uint8_t)pattern[i])
            return refuse(h,
                          i == 5 && is_digit(byte) ? "not a response of HTTP/1" : "no status line");
    }
    h->minor = p[-1] == '0' ? 0 : 1; /* a higher minor is read as ours: RFC 9110 section 2.5 */
    *at = p;
    return H1_DONE;
}

/* " ddd", and that the number ends there. */
static h1_result scan_status(h1_response *h, const uint8_t *p, const uint8_t *end)
{
    const uint8_t *start = p;
    uint32_t status = 0;
    while (p < end && is_blank(*p))
        if (++p - start > BLANKS_MAX)
            return refuse(h, "no status line");
    if (p == end)
        return H1_MORE;
    for (int i = 0; i < 3 && p < end; i++, p++) {
        if (!is_digit(*p) || p == start)
            return refuse(h, "no status of three digits");
        status = status * 10 + *p - '0';
    }
    if (p == end)
        return H1_MORE;
    if (!is_blank(*p) && *p != '\r' && *p != '\n')
        return refuse(h, "no status of three digits");
    if (status < 100)
        return refuse(h, "status below 100");
    h->status = (uint16_t)status;
    return H1_DONE;
}

/* The begin of the status line, as far as it is there. It is short: with each call it is looked at
 * from its first byte on. */
static h1_result scan_start(h1_response *h, const uint8_t *base, size_t len)
{
    h1_result r = skip_empty_lines(h, base, len);
    const uint8_t *p = base + h->start;
    if (r == H1_DONE)
        r = scan_version(h, &p, base + len);
    if (r == H1_DONE)
        r = scan_status(h, p, base + len);
    if (r != H1_DONE)
        return r;
    h->at = h->seen = h->start;
    h->lines = 0;
    h->state = STATE_LINES;
    return H1_DONE;
}

h1_result h1_response_scan(h1_response *h, const uint8_t *base, size_t len, const h1_limits *limits)
{
    HS_ASSERT(h->state == STATE_START || h->state == STATE_LINES || h->state == STATE_TRAILERS);
    HS_ASSERT(limits->head_bytes_max <= H1_RESPONSE_BYTES_MAX);
    /* What lies behind the limit is not looked at, so it cannot change the verdict. */
    size_t within = HS_MIN(len, (size_t)limits->head_bytes_max);
    h1_result r = h->state == STATE_START ? scan_start(h, base, within) : H1_DONE;
    while (r == H1_DONE && h->seen < within) {
        const uint8_t *lf = memchr(base + h->seen, '\n', within - h->seen);
        h->seen = lf ? (uint32_t)(lf + 1 - base) : (uint32_t)within;
        if (!lf)
            break;
        uint32_t line_bytes = h->seen - h->at;
        if (line_bytes == 1 || (line_bytes == 2 && base[h->at] == '\r')) {
            h->bytes = h->seen;
            h->state = h->state == STATE_LINES ? STATE_SCANNED : STATE_TRAILERS_SCANNED;
            return H1_DONE;
        }
        h->lines++;
        h->at = h->seen;
    }
    if (r == H1_BAD)
        return H1_BAD;
    if (within == limits->head_bytes_max)
        return bad(h, HS_E_LIMIT,
                   h->state == STATE_TRAILERS ? "trailers too long" : "head too long");
    return H1_MORE;
}

/* ---- framing ---- */

/* Cut the next element that is not empty off a list (RFC 9110 section 5.6.1.2). */
static bool list_next(hs_span *list, hs_span *element)
{
    while (list->len > 0) {
        const uint8_t *comma = memchr(list->ptr, ',', list->len);
        size_t len = comma ? (size_t)(comma - list->ptr) : list->len;
        *element = hs_span_trim(hs_span_of(list->ptr, len));
        *list = hs_span_from(*list, comma ? len + 1 : len);
        if (element->len > 0)
            return true;
    }
    return false;
}

static void read_connection(framing *f, hs_span value)
{
    hs_span option;
    while (list_next(&value, &option)) {
        f->close |= hs_span_eq_nocase(option, HS_SPAN("close"));
        f->keep_alive |= hs_span_eq_nocase(option, HS_SPAN("keep-alive"));
    }
}

/* Repeated lengths that are all the same are one (RFC 9110 section 8.6). */
static h1_result read_content_length(h1_response *h, framing *f, hs_span value)
{
    hs_span element;
    uint64_t length;
    bool any = false;
    while (list_next(&value, &element)) {
        if (!hs_span_u64(element, INT64_MAX, &length))
            return refuse(h, "Content-Length is no number, or too large a one");
        if (f->has_length && length != h->content_length)
            return refuse(h, "Content-Length twice, and not the same");
        h->content_length = length;
        f->has_length = any = true;
    }
    return any ? H1_DONE : refuse(h, "empty Content-Length");
}

/* We ask for no transfer coding (TE), so a server may use none but chunked. */
static h1_result read_transfer_encoding(h1_response *h, framing *f, hs_span value)
{
    hs_span coding;
    f->has_coding = true;
    while (list_next(&value, &coding)) {
        bool chunked = hs_span_eq_nocase(coding, HS_SPAN("chunked"));
        bool identity = hs_span_eq_nocase(coding, HS_SPAN("identity"));
        if (!chunked && !identity)
            return refuse(h, "a transfer coding that was not asked for");
        if (identity && f->chunked)
            return refuse(h, "a transfer coding behind chunked");
        f->doubtful |= identity || f->chunked;
        f->chunked |= chunked;
    }
    return H1_DONE;
}

static h1_result read_framing(h1_response *h, framing *f, const h1_response_field *field)
{
    switch (field_id(field->name.ptr, field->name.len)) {
    case HS_FIELD_CONNECTION:
        read_connection(f, field->value);
        return H1_DONE;
    case HS_FIELD_CONTENT_LENGTH:
        return read_content_length(h, f, field->value);
    case HS_FIELD_TRANSFER_ENCODING:
        return read_transfer_encoding(h, f, field->value);
    default:
        return H1_DONE;
    }
}

/* Of lengths that are one, one is left; and none that a transfer coding overrides: who passes the
 * fields on must not pass it on with them (section 6.1). */
static void tidy_lengths(h1_response *h, const framing *f)
{
    bool found = f->chunked;
    uint16_t kept = 0;
    for (uint16_t i = 0; i < h->fields_len; i++) {
        h1_response_field field = h->fields[i];
        if (field_id(field.name.ptr, field.name.len) == HS_FIELD_CONTENT_LENGTH) {
            hs_span list = field.value;
            if (found || !list_next(&list, &field.value))
                continue;
            found = true;
        }
        h->fields[kept++] = field;
    }
    h->fields_len = kept;
}

/* RFC 9112 section 6.3, in its order. */
static void finish_framing(h1_response *h, const framing *f)
{
    bool bodiless = h->status < 200 || h->status == 204 || h->status == 304;
    if (h->method == HS_METHOD_CONNECT && h->status / 100 == 2)
        h->body = H1_BODY_TUNNEL;
    else if (bodiless || h->method == HS_METHOD_HEAD)
        h->body = H1_BODY_NONE;
    else if (f->chunked)
        h->body = H1_BODY_CHUNKED;
    else
        h->body = f->has_length ? H1_BODY_LENGTH : H1_BODY_CLOSE;
    h->keep_alive = !f->close && (h->minor == 1 || f->keep_alive);
    if (h->body == H1_BODY_CLOSE || h->body == H1_BODY_TUNNEL || h->status == 101)
        h->keep_alive = false;
    if (f->has_length)
        tidy_lengths(h, f);
    /* Section 6.1: what was in doubt must not reach into the next response. */
    if (f->has_coding && (f->doubtful || !f->chunked || f->has_length || h->minor == 0))
        h->keep_alive = false;
}

/* ---- lines ---- */

/* The line at *at, without its end; *at is moved behind it. `last` is the empty line that ends the
 * section. */
static hs_span next_line(uint8_t **at, const uint8_t *last)
{
    uint8_t *start = *at;
    uint8_t *lf = memchr(start, '\n', (size_t)(last - start));
    HS_ASSERT(lf != NULL);
    *at = lf + 1;
    return hs_span_of(start, (size_t)(lf - start) - (lf > start && lf[-1] == '\r'));
}

/* The same, with the lines that continue it: what is between them becomes spaces (section 5.2). */
static hs_span next_unfolded(uint8_t **at, const uint8_t *last)
{
    hs_span line = next_line(at, last);
    while (*at < last && is_blank(**at)) {
        uint8_t *fold = *at;
        hs_span more = next_line(at, last);
        size_t len = (size_t)(fold - line.ptr);
        memset(fold - (len - line.len), ' ', len - line.len);
        line.len = len + more.len;
    }
    return line;
}

/* The line as a field. False: it is none, and is ignored. */
static bool split_line(hs_span line, h1_response_field *out)
{
    const uint8_t *p = line.ptr, *end = p + line.len;
    while (p < end && class_is(*p, CLASS_TOKEN))
        p++;
    size_t name_len = (size_t)(p - line.ptr);
    while (p < end && is_blank(*p))
        p++;
    if (p == end || *p != ':' || name_len == 0)
        return false;
    p++;
    while (p < end && is_blank(*p))
        p++;
    while (end > p && is_blank(end[-1]))
        end--;
    out->name = hs_span_of(line.ptr, name_len);
    out->value = hs_span_of(p, (size_t)(end - p));
    return true;
}

static void read_status_line(h1_response *h, hs_span line)
{
    size_t at = sizeof("HTTP/1.1") - 1;
    while (is_blank(line.ptr[at]))
        at++;
    h->reason = hs_span_trim(hs_span_from(line, at + 3));
}

/* One line. */
static h1_result read_line(h1_response *h, framing *f, hs_span line, const h1_limits *limits)
{
    bool trailers = h->state == STATE_TRAILERS_SCANNED;
    h1_response_field field;
    if (line.len > 0 && memchr(line.ptr, '\r', line.len))
        return refuse(h, "bare CR in a field");
    if (!split_line(line, &field) || (trailers && hs_headers_is_forbidden(field.name)))
        return H1_DONE;
    if (h->fields_len == limits->fields_max)
        return bad(h, HS_E_LIMIT, "too many fields");
    h->fields[h->fields_len++] = field;
    return trailers ? H1_DONE : read_framing(h, f, &field);
}

h1_result h1_response_read(h1_response *h, uint8_t *base, hs_arena *arena, const h1_limits *limits)
{
    bool trailers = h->state == STATE_TRAILERS_SCANNED;
    framing f = {.close = false};
    uint8_t *at = base + h->start;
    const uint8_t *last = base + h->at;
    HS_ASSERT(trailers || h->state == STATE_SCANNED);
    HS_ASSERT(limits->fields_max <= H1_RESPONSE_FIELDS_MAX);
    if (memchr(base, '\0', h->bytes))
        return refuse(h, "NUL in a field");
    uint32_t fields_max = HS_MIN(h->lines, limits->fields_max);
    if (fields_max > 0)
        h->fields = hs_arena_take(arena, fields_max * sizeof *h->fields);
    if (fields_max > 0 && !h->fields)
        return bad(h, -ENOMEM, "no memory for the head");
    if (!trailers) {
        /* Nothing continues it: such a line is ignored (section 2.2). */
        hs_span line = next_line(&at, last);
        if (memchr(line.ptr, '\r', line.len))
            return refuse(h, "bare CR in the status line");
        read_status_line(h, line);
    }
    while (at < last)
        if (read_line(h, &f, next_unfolded(&at, last), limits) == H1_BAD)
            return H1_BAD;
    finish_framing(h, &f);
    h->state = STATE_ENDED;
    return H1_DONE;
}
