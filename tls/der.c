/* The parts of a certificate (RFC 5280 section 4.1) that its checking and its choice look at.
 *
 * Owns: finding them in DER. wolfSSL has parsed and verified what comes here, or will; yet nothing
 * is taken for granted. Must not know: what the parts mean. Tested by: tests/unit/tls_names.c,
 * tests/fuzz/fuzz_tls_der.c. */
#include <stdio.h>

#include "hs_calendar.h"
#include "tls.h"

enum {
    DER_INTEGER = 0x02,
    DER_OCTETS = 0x04,
    DER_OID = 0x06,
    DER_BOOL = 0x01,
    DER_UTC_TIME = 0x17,
    DER_TIME = 0x18,
    DER_SEQUENCE = 0x30,
    DER_SET = 0x31,
    DER_VERSION = 0xa0,
    DER_EXTENSIONS = 0xa3,
};

bool tls_der_next(hs_span *from, uint8_t *tag, hs_span *content)
{
    size_t at = 2, len;
    if (from->len < 2 || (from->ptr[0] & 0x1f) == 0x1f)
        return false;
    *tag = from->ptr[0];
    len = from->ptr[1];
    if (len >= 0x80) {
        size_t bytes = len & 0x7f;
        if (bytes == 0 || bytes > 3 || from->len < 2 + bytes)
            return false;
        for (len = 0; at < 2 + bytes; at++)
            len = len << 8 | from->ptr[at];
        if (len < 0x80 || from->ptr[2] == 0) /* DER has one way to write a length */
            return false;
    }
    if (len > from->len - at)
        return false;
    *content = hs_span_of(from->ptr + at, len);
    *from = hs_span_from(*from, at + len);
    return true;
}

/* The next element, which must be a `want`. */
static bool take(hs_span *from, uint8_t want, hs_span *content)
{
    uint8_t tag;
    return tls_der_next(from, &tag, content) && tag == want;
}

static bool read_extensions(hs_span list, tls_der *out)
{
    static const uint8_t alt_name[] = {0x55, 0x1d, 0x11}; /* 2.5.29.17 */
    hs_span extension, oid, value;
    while (list.len > 0) {
        uint8_t tag;
        if (!take(&list, DER_SEQUENCE, &extension) || !take(&extension, DER_OID, &oid) ||
            !tls_der_next(&extension, &tag, &value))
            return false;
        if (tag == DER_BOOL && !tls_der_next(&extension, &tag, &value))
            return false;
        if (tag != DER_OCTETS)
            return false;
        if (hs_span_eq(oid, hs_span_of(alt_name, sizeof alt_name)) &&
            !take(&value, DER_SEQUENCE, &out->alt_names))
            return false;
    }
    return true;
}

/* A time with its tag, which tells how its year is written. */
static bool take_time(hs_span *from, hs_span *out)
{
    hs_span whole = *from, content;
    uint8_t tag;
    if (!tls_der_next(from, &tag, &content))
        return false;
    *out = hs_span_of(whole.ptr, whole.len - from->len);
    return tag == DER_UTC_TIME || tag == DER_TIME;
}

bool tls_der_cert(hs_span cert, tls_der *out)
{
    hs_span whole, body, skipped, validity, key, algorithm, list;
    uint8_t tag;
    *out = (tls_der){0};
    if (!take(&cert, DER_SEQUENCE, &whole) || !take(&whole, DER_SEQUENCE, &body))
        return false;
    if (body.len > 0 && body.ptr[0] == DER_VERSION && !tls_der_next(&body, &tag, &skipped))
        return false;
    if (!take(&body, DER_INTEGER, &out->serial) || !take(&body, DER_SEQUENCE, &skipped))
        return false;
    out->issuer = body;
    if (!take(&body, DER_SEQUENCE, &skipped))
        return false;
    out->issuer.len -= body.len;
    if (!take(&body, DER_SEQUENCE, &validity) || !take(&body, DER_SEQUENCE, &out->subject) ||
        !take(&body, DER_SEQUENCE, &key))
        return false;
    if (!take_time(&validity, &out->not_before) || !take_time(&validity, &out->not_after) ||
        !take(&key, DER_SEQUENCE, &algorithm) || !take(&algorithm, DER_OID, &out->key_oid))
        return false;
    while (body.len > 0) {
        if (!tls_der_next(&body, &tag, &skipped))
            return false;
        if (tag == DER_EXTENSIONS &&
            (!take(&skipped, DER_SEQUENCE, &list) || !read_extensions(list, out)))
            return false;
    }
    return true;
}

hs_span tls_der_common_name(const tls_der *der)
{
    static const uint8_t common_name[] = {0x55, 0x04, 0x03}; /* 2.5.4.3 */
    hs_span list = der->subject, set, pair, oid, value, found = {0};
    uint8_t tag;
    while (take(&list, DER_SET, &set))
        while (take(&set, DER_SEQUENCE, &pair))
            if (take(&pair, DER_OID, &oid) && tls_der_next(&pair, &tag, &value) &&
                hs_span_eq(oid, hs_span_of(common_name, sizeof common_name)))
                found = value;
    return found;
}

/* The digits of a time; *year is how many of them tell the year. */
static bool open_time(hs_span time, hs_span *text, size_t *year)
{
    uint8_t tag;
    if (!tls_der_next(&time, &tag, text))
        return false;
    *year = tag == DER_TIME ? 4 : 2;
    if (text->len != *year + 11 || text->ptr[text->len - 1] != 'Z')
        return false;
    text->len--;
    for (size_t i = 0; i < text->len; i++)
        if (text->ptr[i] < '0' || text->ptr[i] > '9')
            return false;
    return true;
}

bool tls_der_time(hs_span time, char out[32])
{
    hs_span text;
    size_t year;
    if (!open_time(time, &text, &year))
        return false;
    const char *t = (const char *)text.ptr, *century = "";
    if (year == 2)
        century = t[0] < '5' ? "20" : "19"; /* RFC 5280 section 4.1.2.5.1 */
    int len = snprintf(out, 32, "%s%.*s-%.2s-%.2s %.2s:%.2s:%.2s UTC", century, (int)year, t,
                       t + year, t + year + 2, t + year + 4, t + year + 6, t + year + 8);
    HS_ASSERT(len > 0 && len < 32);
    return true;
}

bool tls_der_seconds(hs_span time, uint64_t *out)
{
    hs_span text;
    size_t at;
    hs_civil c = {0};
    uint32_t *const parts[] = {&c.month, &c.day, &c.hour, &c.minute, &c.second};
    int64_t seconds;
    if (!open_time(time, &text, &at))
        return false;
    for (size_t i = 0; i < at; i++)
        c.year = 10 * c.year + text.ptr[i] - '0';
    if (at == 2)
        c.year += c.year < 50 ? 2000 : 1900; /* RFC 5280 section 4.1.2.5.1 */
    for (size_t i = 0; i < HS_ARRAY_LEN(parts); i++, at += 2)
        *parts[i] = 10u * (text.ptr[at] - '0') + text.ptr[at + 1] - '0';
    HS_ASSERT(at == text.len);
    if (!hs_civil_seconds(&c, &seconds) || seconds < 0)
        return false;
    *out = (uint64_t)seconds;
    return true;
}
