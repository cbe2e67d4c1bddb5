/* The line loop of the head parser: a template, compiled once for each instruction set, so that the
 * scanners are inlined and no call through a pointer happens inside a head.
 *
 * The includer defines H1_LINES (the function's name) and, static inline:
 *   scan_target(p, end, base)  the first byte in [p, end) that is not CLASS_TARGET, or end
 *   scan_host(p, end, base)    the first that is not CLASS_HOST, or one before it, or end
 *   scan_value(p, end, base)   the first that is CLASS_CTL, or end
 *   scan_begin(&scan, p, end, base)   what scan_line remembers from line to line, made ready for
 * `p` scan_line(&scan, p, end, base, &name_end, &value_end)   the first byte that is not
 * CLASS_TOKEN, and the first from there that is CLASS_CTL, or end They may read anywhere in [base,
 * end), and nowhere else. Private to http. */
#pragma once

#include "class.h"
#include "field.h"
#include "h1_parse.h"
#include "hs_assert.h"

/* A path or a query to the space behind it. `*query` is behind the first '?', or NULL. What the
 * bytes decide alone: is each of them allowed, is it too long? A '%' need not begin an escape: what
 * it means is for whoever decodes the path. */
static inline h1_result lines_target(h1_head *head, const uint8_t *base, const uint8_t *start,
                                     const uint8_t *end, const h1_limits *limits,
                                     const uint8_t **past, const uint8_t **query)
{
    size_t most = limits->target_bytes_max;
    const uint8_t *stop = (size_t)(end - start) > most ? start + most + 1 : end;
    const uint8_t *p = start;
    *query = NULL;
    *past = start;
    for (;;) {
        p = scan_target(p, stop, base);
        if (p == stop)
            break;
        if (HS_LIKELY(*p == ' ')) {
            *past = p;
            return p == start ? h1_bad(head, 400, "empty target") : H1_DONE;
        }
        if (*p != '?')
            return h1_bad(head, 400, "byte not allowed in the target");
        p++;
        if (*query == NULL)
            *query = p;
    }
    return (size_t)(stop - start) > most ? h1_bad(head, 414, "target too long") : H1_MORE;
}

static inline h1_result lines_request(h1_head *head, const uint8_t *base, const uint8_t **at,
                                      const uint8_t *end, const h1_limits *limits)
{
    const uint8_t *p = *at;
    const uint8_t *past;
    const uint8_t *query;
    h1_result r;

    while (p < end && HS_UNLIKELY(*p == '\r' || *p == '\n')) {
        r = h1_empty_line(head, base, p, end, &p);
        if (r != H1_DONE)
            return r;
        head->at = (uint32_t)(p - base);
    }
    if (HS_LIKELY(end - p >= 4 && memcmp(p, "GET ", 4) == 0)) {
        head->method = HS_METHOD_GET;
        head->method_at = (uint16_t)(p - base);
        head->method_len = 3;
        p += 4;
    } else {
        r = h1_method(head, base, p, end, &p);
        if (r != H1_DONE)
            return r;
    }
    r = lines_target(head, base, p, end, limits, &past, &query);
    if (r != H1_DONE)
        return r;
    head->target_at = (uint16_t)(p - base);
    head->target_len = (uint16_t)(past - p);
    const uint8_t *version = past + 1;
    if (HS_LIKELY(end - version >= 10 && memcmp(version, "HTTP/1.1\r\n", 10) == 0)) {
        head->minor = 1;
        *at = version + 10;
    } else {
        r = h1_version(head, version, end, at);
        if (r != H1_DONE)
            return r;
    }
    head->path_at = head->target_at;
    head->path_len = head->target_len;
    if (query != NULL) {
        head->path_len = (uint16_t)(query - 1 - p);
        head->query_at = (uint16_t)(query - base);
        head->query_len = (uint16_t)(past - query);
    }
    head->state = H1_STATE_FIELDS;
    head->at = (uint32_t)(*at - base);
    if (HS_LIKELY(*p == '/' && head->method != HS_METHOD_CONNECT))
        return H1_DONE;
    return h1_target_form(head, base);
}

static inline bool lines_is_space(uint8_t byte)
{
    return byte == ' ' || byte == '\t';
}

/* Whether `host` to `end` is a plain name or IPv4 address, with or without a port: what nearly
 * every Host is. Anything else needs h1_authority_valid. */
static inline bool lines_plain_host(const uint8_t *host, const uint8_t *end, const uint8_t *base,
                                    const uint8_t *input_end)
{
    const uint8_t *p = scan_host(host, input_end, base);
    if (p == host || p >= end)
        return p == end && p > host;
    if (*p != ':' || end - p > 6)
        return false;
    uint32_t port = 0;
    while (++p < end) {
        uint32_t digit = (uint32_t)*p - '0';
        if (digit > 9)
            return false;
        port = port * 10 + digit;
    }
    return port <= UINT16_MAX;
}

/* One field line at `p`. H1_DONE: it is head's last field now, and *past is behind its CRLF. */
static inline h1_result lines_field(h1_head *head, scan *s, const uint8_t *base, const uint8_t *p,
                                    const uint8_t *end, uint32_t acted, const uint8_t **past)
{
    const uint8_t *colon;
    const uint8_t *line_end;
    scan_line(s, p, end, base, &colon, &line_end);
    if (HS_UNLIKELY(colon == end))
        return H1_MORE;
    if (HS_UNLIKELY(*colon != ':' || colon == p))
        return h1_bad(head, 400, "field name is not a token with a colon behind it");
    if (HS_UNLIKELY(line_end == end)) {
        head->seen = (uint32_t)(end - base);
        return H1_MORE;
    }
    if (HS_UNLIKELY(*line_end != '\r'))
        return h1_bad(head, 400, "control byte in a field value");
    if (HS_UNLIKELY(end - line_end < 2))
        return H1_MORE;
    if (HS_UNLIKELY(line_end[1] != '\n'))
        return h1_bad(head, 400, "bare CR in a field value");
    *past = line_end + 2;
    /* The CR stops the first loop, the colon the second. */
    const uint8_t *value = colon + 1;
    while (lines_is_space(*value))
        value++;
    while (line_end > value && lines_is_space(line_end[-1]))
        line_end--;
    uint32_t place = head->fields_len;
    head->fields[place] = (h1_field){.name = (uint16_t)(p - base),
                                     .name_len = (uint16_t)(colon - p),
                                     .value = (uint16_t)(value - base),
                                     .value_len = (uint16_t)(line_end - value)};
    place++;
    head->fields_len = (uint16_t)place;
    uint8_t id = field_id(p, (size_t)(colon - p));
    uint8_t first = head->known[id];
    head->known[id] = first != 0 ? first : (uint8_t)place;
    if (HS_LIKELY((acted >> id & 1) == 0))
        return H1_DONE;
    const uint8_t *target = base + head->target_at;
    bool plain = id == HS_FIELD_HOST && lines_plain_host(value, line_end, base, end);
    /* The one Host of a request whose target has no authority: nothing is left to decide. */
    if (HS_LIKELY(plain && first == 0 && *target == '/' && acted == H1_FIELDS_ACTED)) {
        head->authority_at = (uint16_t)(value - base);
        head->authority_len = (uint16_t)(line_end - value);
        return H1_DONE;
    }
    return h1_field_act(head, base, id, plain);
}

static inline h1_result lines_fields(h1_head *head, scan *s, const uint8_t *base, const uint8_t *p,
                                     const uint8_t *end, const h1_limits *limits)
{
    uint32_t acted = head->state == H1_STATE_FIELDS ? H1_FIELDS_ACTED : H1_FIELDS_ALL;
    uint32_t fields_max = limits->fields_max;
    while (p < end) {
        if (*p == '\r') {
            if (end - p < 2)
                break;
            if (HS_UNLIKELY(p[1] != '\n'))
                return h1_bad(head, 400, "bare CR");
            return h1_finish(head, base, (size_t)(p + 2 - base));
        }
        if (HS_UNLIKELY(head->fields_len >= fields_max))
            return h1_bad(head, 431, "too many fields");
        h1_result r = lines_field(head, s, base, p, end, acted, &p);
        if (HS_UNLIKELY(r != H1_DONE)) {
            if (r == H1_BAD)
                return r;
            break;
        }
        head->at = (uint32_t)(p - base);
    }
    return H1_MORE;
}

h1_result H1_LINES(h1_head *head, const uint8_t *base, size_t len, const h1_limits *limits)
{
    const uint8_t *end = base + len;
    const uint8_t *p = base + head->at;
    HS_ASSERT(head->at <= len);
    HS_ASSERT(len <= H1_HEAD_BYTES_MAX);
    scan s;
    scan_begin(&s, p, end, base);
    if (head->state == H1_STATE_REQUEST) {
        h1_result r = lines_request(head, base, &p, end, limits);
        if (r != H1_DONE)
            return r;
    } else if (head->seen > head->at) {
        /* In the middle of a value: only a control byte can end or spoil it. */
        HS_ASSERT(head->seen <= len);
        if (scan_value(base + head->seen, end, base) == end) {
            head->seen = (uint32_t)len;
            return H1_MORE;
        }
    }
    return lines_fields(head, &s, base, p, end, limits);
}
