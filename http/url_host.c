/* The host parser of the URL Standard, section 3.5: domains, IPv4, IPv6, opaque hosts.
 *
 * Owns: what a host may be. Names with other letters than ASCII go through libidn2 (UTS #46,
 * non-transitional). Must not know: the rest of a URL. Tested by: tests/unit/http_url.c. */
#include <errno.h>
#include <idn2.h>
#include <stdio.h>

#include "url.h"

/* ---- IPv4 (section 3.5, the IPv4 parser) ---- */

/* A part of an IPv4 address: decimal, 0x hexadecimal or 0 octal. Above 2^32 is told as 2^32. */
static bool ipv4_number(hs_span s, uint64_t *out)
{
    uint32_t radix = 10;
    if (s.len == 0)
        return false;
    if (s.len >= 2 && s.ptr[0] == '0' && (s.ptr[1] | 0x20) == 'x') {
        radix = 16;
        s = hs_span_from(s, 2);
    } else if (s.len >= 2 && s.ptr[0] == '0') {
        radix = 8;
        s = hs_span_from(s, 1);
    }
    uint64_t value = 0;
    for (size_t i = 0; i < s.len; i++) {
        uint8_t digit = url_hex(s.ptr[i]);
        if (digit >= radix)
            return false;
        value = HS_MIN(value * radix + digit, UINT64_C(1) << 32);
    }
    *out = value;
    return true;
}

/* The last part of a domain, without the dot at its end. */
static hs_span last_part(hs_span host)
{
    size_t end = host.len, from;
    if (end > 1 && host.ptr[end - 1] == '.')
        end--;
    for (from = end; from > 0 && host.ptr[from - 1] != '.'; from--)
        continue;
    return hs_span_of(host.ptr + from, end - from);
}

static bool ends_in_number(hs_span host)
{
    hs_span last = last_part(host);
    if (last.len == 0)
        return false;
    uint64_t value;
    bool digits = true;
    for (size_t i = 0; i < last.len; i++)
        digits &= url_is_digit(last.ptr[i]);
    return digits || ipv4_number(last, &value);
}

static bool ipv4_parse(hs_span host, uint8_t addr[4])
{
    uint64_t numbers[4];
    uint32_t len = 0;
    if (host.ptr[host.len - 1] == '.')
        host.len--;
    for (size_t from = 0;; from++) {
        size_t end = from;
        while (end < host.len && host.ptr[end] != '.')
            end++;
        if (len == 4 || !ipv4_number(hs_span_of(host.ptr + from, end - from), &numbers[len]))
            return false;
        len++;
        from = end;
        if (end == host.len)
            break;
    }
    uint64_t value = numbers[len - 1];
    if (value >= UINT64_C(1) << (8 * (5 - len)))
        return false;
    for (uint32_t i = 0; i + 1 < len; i++) {
        if (numbers[i] > 255)
            return false;
        value |= numbers[i] << (8 * (3 - i));
    }
    for (uint32_t i = 0; i < 4; i++)
        addr[i] = (uint8_t)(value >> (8 * (3 - i)));
    return true;
}

/* ---- IPv6 (the IPv6 parser, and RFC 5952 for its text) ---- */

typedef struct ipv6 {
    uint16_t pieces[8];
    uint32_t len;
    int32_t compress; /* where "::" stands; -1: nowhere */
} ipv6;

/* The dotted end of an address: its last two pieces. */
static bool ipv6_dotted(ipv6 *a, hs_span s)
{
    if (a->len > 6)
        return false;
    uint32_t bytes[4], seen = 0;
    size_t i = 0;
    for (; seen < 4; seen++) {
        if (seen > 0 && (i >= s.len || s.ptr[i++] != '.'))
            return false;
        size_t from = i;
        bytes[seen] = 0;
        for (; i < s.len && url_is_digit(s.ptr[i]) && i - from < 3; i++)
            bytes[seen] = bytes[seen] * 10 + (s.ptr[i] - '0');
        bool leading_zero = i - from > 1 && s.ptr[from] == '0';
        if (i == from || leading_zero || bytes[seen] > 255)
            return false;
    }
    a->pieces[a->len++] = (uint16_t)(bytes[0] << 8 | bytes[1]);
    a->pieces[a->len++] = (uint16_t)(bytes[2] << 8 | bytes[3]);
    return i == s.len;
}

static bool ipv6_pieces(ipv6 *a, hs_span s)
{
    size_t i = 0;
    if (s.len > 0 && s.ptr[0] == ':') {
        if (s.len < 2 || s.ptr[1] != ':')
            return false;
        i = 2;
        a->compress = 0;
    }
    while (i < s.len) {
        if (a->len == 8)
            return false;
        if (s.ptr[i] == ':') {
            if (a->compress >= 0)
                return false;
            a->compress = (int32_t)a->len;
            i++;
            continue;
        }
        size_t from = i;
        uint32_t value = 0;
        for (; i < s.len && i - from < 4 && url_hex(s.ptr[i]) < 16; i++)
            value = value << 4 | url_hex(s.ptr[i]);
        if (i < s.len && s.ptr[i] == '.')
            return i > from && ipv6_dotted(a, hs_span_from(s, from));
        bool last = i == s.len;
        if (!last && s.ptr[i] != ':')
            return false;
        if (!last && ++i == s.len)
            return false;
        a->pieces[a->len++] = (uint16_t)value;
    }
    return true;
}

static bool ipv6_parse(hs_span s, uint8_t addr[16])
{
    ipv6 a = {.compress = -1};
    if (!ipv6_pieces(&a, s) || (a.compress < 0 && a.len != 8))
        return false;
    if (a.compress >= 0 && a.len == 8)
        return false;
    uint32_t at = 0;
    for (uint32_t i = 0; i < a.len; i++, at++) {
        if ((int32_t)i == a.compress)
            at += 8 - a.len;
        addr[2 * at] = (uint8_t)(a.pieces[i] >> 8);
        addr[2 * at + 1] = (uint8_t)a.pieces[i];
    }
    return true;
}

/* The longest run of pieces that are zero, the first of equals; its length is at least 2, or 0. */
static uint32_t zero_run(const uint8_t addr[16], uint32_t *at)
{
    uint32_t best = 1, run = 0;
    for (uint32_t i = 0; i < 8; i++) {
        run = addr[2 * i] == 0 && addr[2 * i + 1] == 0 ? run + 1 : 0;
        if (run > best) {
            best = run;
            *at = i + 1 - run;
        }
    }
    return best > 1 ? best : 0;
}

static size_t ipv6_text(const uint8_t addr[16], char *out, size_t out_bytes)
{
    uint32_t run_at = 8, run = zero_run(addr, &run_at);
    size_t n = 0;
    out[n++] = '[';
    for (uint32_t i = 0; i < 8; i++) {
        if (run > 0 && i == run_at) {
            out[n++] = ':';
            if (i == 0)
                out[n++] = ':';
            i += run - 1;
            continue;
        }
        int len = snprintf(out + n, out_bytes - n, "%x%s",
                           (unsigned)(addr[2 * i] << 8 | addr[2 * i + 1]), i < 7 ? ":" : "");
        HS_ASSERT(len > 0);
        n += (size_t)len;
    }
    HS_ASSERT(n + 1 < out_bytes);
    out[n++] = ']';
    return n;
}

/* ---- domains ---- */

/* Forbidden host code points; in a domain also '%' and what is not printable. */
static bool forbidden(uint8_t c, bool domain)
{
    if (domain && (c <= 0x1f || c == '%' || c == 0x7f))
        return true;
    return c == '\0' || (c != 0 && strchr("\t\n\r #/:<>?@[\\]^|", c) != NULL);
}

static bool any_forbidden(hs_span s, bool domain)
{
    for (size_t i = 0; i < s.len; i++)
        if (forbidden(s.ptr[i], domain))
            return true;
    return false;
}

/* Whether a domain is ASCII and none of its labels is an A-label: then it stays as it is. */
static bool plain_domain(hs_span s)
{
    for (size_t i = 0; i < s.len; i++) {
        if (s.ptr[i] >= 0x80)
            return false;
        bool label = i == 0 || s.ptr[i - 1] == '.';
        if (label && s.len - i >= 4 && hs_span_eq_nocase(hs_span_of(s.ptr + i, 4), HS_SPAN("xn--")))
            return false;
    }
    return true;
}

/* The letters that the two kinds of UTS #46 processing treat differently: sharp s, final sigma, the
 * two joiners. */
static bool has_deviation(const char *text)
{
    static const char *const letters[] = {"\xc3\x9f", "\xe1\xba\x9e", "\xcf\x82", "\xe2\x80\x8c",
                                          "\xe2\x80\x8d"};
    for (size_t i = 0; i < HS_ARRAY_LEN(letters); i++)
        if (strstr(text, letters[i]))
            return true;
    return false;
}

static hs_err domain_by_idna(hs_arena *arena, hs_span domain, hs_span *out)
{
    uint8_t *text = hs_arena_take(arena, domain.len + 1);
    HS_ENSURE(text, -ENOMEM);
    memcpy(text, domain.ptr, domain.len);
    text[domain.len] = '\0';
    HS_ENSURE(strlen((char *)text) == domain.len, HS_E_USAGE);
    char *ascii = NULL;
    /* Only as "transitional" does libidn2 take what UTS #46 allows beyond IDNA 2008, such as a
     * snowman; where there is no letter that makes a difference, that is the same. */
    int kind = has_deviation((char *)text) ? IDN2_NONTRANSITIONAL : IDN2_TRANSITIONAL;
    int rc = idn2_to_ascii_8z((char *)text, &ascii, IDN2_NFC_INPUT | kind);
    HS_ENSURE(rc != IDN2_MALLOC, -ENOMEM);
    HS_ENSURE(rc == IDN2_OK, HS_E_USAGE);
    hs_err err = hs_arena_copy(arena, hs_span_str(ascii), out);
    idn2_free(ascii);
    return err;
}

static hs_err domain_to_ascii(hs_arena *arena, hs_span domain, hs_span *out)
{
    if (!plain_domain(domain))
        return domain_by_idna(arena, domain, out);
    uint8_t *text = hs_arena_take(arena, domain.len + 1);
    HS_ENSURE(text, -ENOMEM);
    for (size_t i = 0; i < domain.len; i++)
        text[i] =
            domain.ptr[i] >= 'A' && domain.ptr[i] <= 'Z' ? domain.ptr[i] | 0x20 : domain.ptr[i];
    *out = hs_span_of(text, domain.len);
    return HS_OK;
}

/* ---- hosts ---- */

static hs_err set_text(hs_url *url, hs_arena *arena, const char *text, size_t len)
{
    return hs_arena_copy(arena, hs_span_of(text, len), &url->host);
}

static hs_err parse_ipv6(hs_url *url, hs_arena *arena, hs_span text)
{
    HS_ENSURE(text.ptr[text.len - 1] == ']', HS_E_USAGE);
    memset(url->addr, 0, sizeof url->addr);
    HS_ENSURE(ipv6_parse(hs_span_of(text.ptr + 1, text.len - 2), url->addr), HS_E_USAGE);
    char out[64];
    url->host_kind = HS_URL_HOST_IPV6;
    return set_text(url, arena, out, ipv6_text(url->addr, out, sizeof out));
}

static hs_err parse_opaque(hs_url *url, hs_arena *arena, hs_span text)
{
    HS_ENSURE(!any_forbidden(text, false), HS_E_USAGE);
    uint8_t *start = hs_arena_take(arena, 3 * text.len + 1), *at = start;
    HS_ENSURE(start, -ENOMEM);
    for (size_t i = 0; i < text.len; i++)
        at = url_encode(at, text.ptr[i], URL_SET_C0);
    url->host = hs_span_of(start, (size_t)(at - start));
    url->host_kind = text.len > 0 ? HS_URL_HOST_OPAQUE : HS_URL_HOST_EMPTY;
    return HS_OK;
}

hs_err url_host_parse(hs_url *url, hs_arena *arena, hs_span text)
{
    if (text.len > 0 && text.ptr[0] == '[')
        return parse_ipv6(url, arena, text);
    if (!url->special)
        return parse_opaque(url, arena, text);
    hs_span domain;
    HS_TRY(hs_percent_decode(arena, text, &domain));
    HS_TRY(domain_to_ascii(arena, domain, &domain));
    HS_ENSURE(domain.len > 0, HS_E_USAGE);
    HS_ENSURE(!any_forbidden(domain, true), HS_E_USAGE);
    url->host = domain;
    url->host_kind = HS_URL_HOST_DOMAIN;
    if (!ends_in_number(domain))
        return HS_OK;
    HS_ENSURE(ipv4_parse(domain, url->addr), HS_E_USAGE);
    char out[sizeof "255.255.255.255" + 20]; /* hs_fmt_u64 wants room for any number */
    size_t len = 0;
    for (size_t i = 0; i < 4; i++) {
        len += hs_fmt_u64(out + len, url->addr[i]);
        out[len++] = '.';
    }
    HS_ASSERT(len >= sizeof "0.0.0.0");
    url->host_kind = HS_URL_HOST_IPV4;
    return set_text(url, arena, out, len - 1);
}
