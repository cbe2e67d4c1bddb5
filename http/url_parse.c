/* The URL parser: the states of section 4.4 of the URL Standard, each a function that goes on to
 * the next. Must not know: what a host is (url_host.c), what a URL is for.
 * Tested by: tests/unit/http_url.c and url_list.py, and fuzzed. */
#include <errno.h>

#include "url.h"

typedef struct parser {
    hs_url *url;
    const hs_url *base; /* or NULL */
    hs_arena *arena;
    const uint8_t *p, *end; /* what is left of the cleaned text */
    uint8_t *at, *limit;    /* where output goes */
    uint8_t *path;          /* where the path's output begins */
} parser;

/* ---- the text, cleaned ---- */

/* The length of the valid UTF-8 sequence at `p`; 0 where there is none, and then *skip is how many
 * bytes one U+FFFD stands for (the Encoding Standard's decoder, section 8.1.1). */
static size_t utf8_len(const uint8_t *p, const uint8_t *end, size_t *skip)
{
    uint8_t c = p[0], low = 0x80, high = 0xbf;
    size_t need = c < 0x80 ? 0 : c >= 0xc2 && c <= 0xdf ? 1 : c >= 0xe0 && c <= 0xef ? 2 : 3;
    *skip = 1;
    if (need == 3 && (c < 0xf0 || c > 0xf4))
        return 0;
    low = c == 0xe0 ? 0xa0 : c == 0xf0 ? 0x90 : low;
    high = c == 0xed ? 0x9f : c == 0xf4 ? 0x8f : high;
    for (size_t i = 1; i <= need; i++) {
        if (p + i == end || p[i] < low || p[i] > high)
            return 0;
        low = 0x80;
        high = 0xbf;
        *skip = i + 1;
    }
    return need + 1;
}

/* Without control bytes and spaces at both ends, without tabs and line ends, as valid UTF-8. */
static size_t clean(hs_span text, uint8_t *out)
{
    const uint8_t *p = text.ptr, *end = text.ptr + text.len;
    uint8_t *at = out;
    while (p < end && *p <= ' ')
        p++;
    while (p < end && end[-1] <= ' ')
        end--;
    while (p < end) {
        size_t skip, len = utf8_len(p, end, &skip);
        if (len == 0) {
            memcpy(at, "\xef\xbf\xbd", 3);
            at += 3;
            p += skip;
            continue;
        }
        if (*p != '\t' && *p != '\n' && *p != '\r') {
            memcpy(at, p, len);
            at += len;
        }
        p += len;
    }
    return (size_t)(at - out);
}

/* ---- helpers ---- */

static bool looking_at(const parser *ps, const char *text)
{
    size_t len = strlen(text);
    return (size_t)(ps->end - ps->p) >= len && memcmp(ps->p, text, len) == 0;
}

static bool is_slash(const parser *ps, uint8_t c)
{
    return c == '/' || (ps->url->special && c == '\\');
}

static bool at_slash(const parser *ps)
{
    return ps->p < ps->end && is_slash(ps, *ps->p);
}

/* Where the part that begins at ps->p ends: at a slash, '?' or '#'. */
static const uint8_t *part_end(const parser *ps)
{
    const uint8_t *q = ps->p;
    while (q < ps->end && !is_slash(ps, *q) && *q != '?' && *q != '#')
        q++;
    return q;
}

static bool is_file(const parser *ps)
{
    return hs_span_eq(ps->url->scheme, HS_SPAN("file"));
}

static bool base_is_file(const parser *ps)
{
    return ps->base && hs_span_eq(ps->base->scheme, HS_SPAN("file"));
}

/* "C:" or "C|". */
static bool is_drive(const uint8_t *p, size_t len)
{
    return len == 2 && url_is_alpha(p[0]) && (p[1] == ':' || p[1] == '|');
}

/* Whether the rest begins with a drive letter (section 4.2). */
static bool starts_with_drive(const parser *ps)
{
    if (ps->end - ps->p < 2 || !is_drive(ps->p, 2))
        return false;
    return ps->end - ps->p == 2 || strchr("/\\?#", ps->p[2]) != NULL;
}

static void put(parser *ps, const uint8_t *p, size_t len, uint32_t set)
{
    HS_ASSERT((size_t)(ps->limit - ps->at) >= 3 * len);
    for (size_t i = 0; i < len; i++)
        ps->at = url_encode(ps->at, p[i], set);
}

/* What was put since `from`. */
static hs_span taken(const parser *ps, const uint8_t *from)
{
    return hs_span_of(from, (size_t)(ps->at - from));
}

static void copy_authority(parser *ps)
{
    hs_url *u = ps->url;
    const hs_url *b = ps->base;
    u->username = b->username;
    u->password = b->password;
    u->host = b->host;
    u->host_kind = b->host_kind;
    memcpy(u->addr, b->addr, sizeof u->addr);
    u->port = b->port;
}

static void copy_query(parser *ps)
{
    ps->url->query = ps->base->query;
    ps->url->has_query = ps->base->has_query;
}

/* ---- fragment, query ---- */

static hs_err parse_fragment(parser *ps)
{
    const uint8_t *from = ps->at;
    HS_ASSERT(ps->p < ps->end && *ps->p == '#');
    ps->p++;
    put(ps, ps->p, (size_t)(ps->end - ps->p), URL_SET_FRAGMENT);
    ps->url->fragment = taken(ps, from);
    ps->url->has_fragment = true;
    return HS_OK;
}

static hs_err parse_query(parser *ps)
{
    const uint8_t *from = ps->at;
    HS_ASSERT(ps->p < ps->end && *ps->p == '?');
    const uint8_t *q = ++ps->p;
    while (q < ps->end && *q != '#')
        q++;
    put(ps, ps->p, (size_t)(q - ps->p),
        ps->url->special ? URL_SET_QUERY | URL_SET_SPECIAL_QUERY : URL_SET_QUERY);
    ps->url->query = taken(ps, from);
    ps->url->has_query = true;
    ps->p = q;
    return q < ps->end ? parse_fragment(ps) : HS_OK;
}

static hs_err parse_rest(parser *ps)
{
    if (ps->p == ps->end)
        return HS_OK;
    return *ps->p == '?' ? parse_query(ps) : parse_fragment(ps);
}

/* ---- path ---- */

/* "..", or ".": either dot may be written as %2e. Returns how many dots. */
static uint32_t dots(hs_span s)
{
    uint32_t n = 0;
    size_t i = 0;
    while (i < s.len && n < 3) {
        if (s.ptr[i] == '.')
            i++;
        else if (s.len - i >= 3 && hs_span_eq_nocase(hs_span_of(s.ptr + i, 3), HS_SPAN("%2e")))
            i += 3;
        else
            return 0;
        n++;
    }
    return n;
}

/* Take the last segment away, unless it is a file's drive letter. */
static void shorten(parser *ps)
{
    hs_span path = taken(ps, ps->path);
    if (is_file(ps) && path.len == 3 && is_drive(path.ptr + 1, 2) && path.ptr[2] == ':')
        return;
    while (ps->at > ps->path && *--ps->at != '/')
        continue;
}

static void end_path(parser *ps)
{
    ps->url->path = taken(ps, ps->path);
}

/* The path state: ps->p is behind a slash. What ps->path holds already is gone on with. */
static hs_err parse_path(parser *ps)
{
    for (;;) {
        const uint8_t *q = part_end(ps);
        bool slash = q < ps->end && is_slash(ps, *q);
        uint8_t *segment = ps->at;
        *ps->at++ = '/';
        put(ps, ps->p, (size_t)(q - ps->p), URL_SET_PATH);
        uint32_t n = dots(taken(ps, segment + 1));
        if (n == 1 || n == 2) {
            ps->at = segment;
            if (n == 2)
                shorten(ps);
            if (!slash)
                *ps->at++ = '/';
        } else if (is_file(ps) && segment == ps->path &&
                   is_drive(segment + 1, (size_t)(ps->at - segment - 1))) {
            segment[2] = ':';
        }
        ps->p = q;
        if (!slash)
            break;
        ps->p++;
    }
    end_path(ps);
    return parse_rest(ps);
}

static hs_err parse_path_start(parser *ps)
{
    ps->path = ps->at;
    if (at_slash(ps))
        ps->p++;
    else if (!ps->url->special && (ps->p == ps->end || *ps->p == '?' || *ps->p == '#'))
        return parse_rest(ps);
    return parse_path(ps);
}

static hs_err parse_opaque_path(parser *ps)
{
    ps->path = ps->at;
    ps->url->opaque = true;
    for (; ps->p < ps->end && *ps->p != '?' && *ps->p != '#'; ps->p++) {
        /* A space at the path's end would be lost when it is parsed again. */
        bool last_space =
            *ps->p == ' ' && ps->p + 1 < ps->end && (ps->p[1] == '?' || ps->p[1] == '#');
        put(ps, ps->p, 1, last_space ? URL_SET_PATH : URL_SET_C0);
    }
    end_path(ps);
    return parse_rest(ps);
}

/* ---- authority ---- */

static hs_err parse_port(parser *ps, const uint8_t *end)
{
    uint64_t port;
    bool special;
    if (ps->p == end)
        return HS_OK;
    hs_span digits = hs_span_of(ps->p, (size_t)(end - ps->p));
    while (digits.len > 1 && digits.ptr[0] == '0')
        digits = hs_span_from(digits, 1);
    HS_ENSURE(hs_span_u64(digits, 65535, &port), HS_E_USAGE);
    uint32_t usual = url_scheme_port(ps->url->scheme, &special);
    if (!special || port != usual || usual == 0)
        ps->url->port = (uint32_t)port;
    return HS_OK;
}

/* Host and port, up to `end`. */
static hs_err parse_host(parser *ps, const uint8_t *end)
{
    bool brackets = false;
    const uint8_t *q = ps->p;
    for (; q < end && (*q != ':' || brackets); q++)
        brackets = *q == '[' || (brackets && *q != ']');
    hs_span host = hs_span_of(ps->p, (size_t)(q - ps->p));
    HS_ENSURE(host.len > 0 || (q == end && !ps->url->special), HS_E_USAGE);
    HS_TRY(url_host_parse(ps->url, ps->arena, host));
    ps->p = q < end ? q + 1 : q;
    HS_TRY(parse_port(ps, end));
    ps->p = end;
    return parse_path_start(ps);
}

static hs_err parse_authority(parser *ps)
{
    const uint8_t *end = part_end(ps), *at = NULL, *colon = NULL;
    for (const uint8_t *q = ps->p; q < end; q++)
        if (*q == '@')
            at = q;
    if (at) {
        HS_ENSURE(at + 1 < end, HS_E_USAGE);
        colon = memchr(ps->p, ':', (size_t)(at - ps->p));
        const uint8_t *name_end = colon ? colon : at, *from = ps->at;
        put(ps, ps->p, (size_t)(name_end - ps->p), URL_SET_USERINFO | URL_SET_PATH);
        ps->url->username = taken(ps, from);
        from = ps->at;
        if (colon)
            put(ps, colon + 1, (size_t)(at - colon - 1), URL_SET_USERINFO | URL_SET_PATH);
        ps->url->password = taken(ps, from);
        ps->p = at + 1;
    }
    return parse_host(ps, end);
}

/* A special scheme's authority follows, whatever slashes there are. */
static hs_err parse_special_authority(parser *ps)
{
    while (ps->p < ps->end && (*ps->p == '/' || *ps->p == '\\'))
        ps->p++;
    return parse_authority(ps);
}

/* ---- files ---- */

static hs_err parse_file_host(parser *ps)
{
    const uint8_t *end = part_end(ps);
    size_t len = (size_t)(end - ps->p);
    if (is_drive(ps->p, len)) {
        ps->path = ps->at;
        return parse_path(ps);
    }
    if (len > 0) {
        HS_TRY(url_host_parse(ps->url, ps->arena, hs_span_of(ps->p, len)));
        if (hs_span_eq(ps->url->host, HS_SPAN("localhost"))) {
            ps->url->host = hs_span_of(NULL, 0);
            ps->url->host_kind = HS_URL_HOST_EMPTY;
        }
    }
    ps->p = end;
    return parse_path_start(ps);
}

static hs_err parse_file_slash(parser *ps)
{
    if (at_slash(ps)) {
        ps->p++;
        return parse_file_host(ps);
    }
    ps->path = ps->at;
    if (base_is_file(ps)) {
        ps->url->host = ps->base->host;
        ps->url->host_kind = ps->base->host_kind;
        memcpy(ps->url->addr, ps->base->addr, sizeof ps->url->addr);
        hs_span path = ps->base->path;
        bool drive = path.len >= 3 && is_drive(path.ptr + 1, 2) && path.ptr[2] == ':' &&
                     (path.len == 3 || path.ptr[3] == '/');
        if (drive && !starts_with_drive(ps)) {
            memcpy(ps->at, path.ptr, 3);
            ps->at += 3;
        }
    }
    return parse_path(ps);
}

/* The base's path goes on, without its last segment, unless the rest is empty. */
static hs_err parse_relative_path(parser *ps)
{
    copy_query(ps);
    ps->path = ps->at;
    if (ps->base->path.len > 0)
        memcpy(ps->at, ps->base->path.ptr, ps->base->path.len);
    ps->at += ps->base->path.len;
    end_path(ps);
    if (ps->p == ps->end || *ps->p == '#')
        return parse_rest(ps);
    if (*ps->p == '?')
        return parse_query(ps);
    ps->url->query = hs_span_of(NULL, 0);
    ps->url->has_query = false;
    if (is_file(ps) && starts_with_drive(ps))
        ps->at = ps->path;
    else
        shorten(ps);
    return parse_path(ps);
}

static hs_err parse_file(parser *ps)
{
    ps->url->scheme = HS_SPAN("file");
    ps->url->special = true;
    ps->url->host_kind = HS_URL_HOST_EMPTY;
    if (at_slash(ps)) {
        ps->p++;
        return parse_file_slash(ps);
    }
    ps->path = ps->at;
    if (!base_is_file(ps))
        return parse_path(ps);
    ps->url->host = ps->base->host;
    ps->url->host_kind = ps->base->host_kind;
    memcpy(ps->url->addr, ps->base->addr, sizeof ps->url->addr);
    return parse_relative_path(ps);
}

/* ---- relative ---- */

static hs_err parse_relative(parser *ps)
{
    ps->url->scheme = ps->base->scheme;
    ps->url->special = ps->base->special;
    if (!at_slash(ps)) {
        copy_authority(ps);
        return parse_relative_path(ps);
    }
    ps->p++;
    if (at_slash(ps)) {
        ps->p++;
        return ps->url->special ? parse_special_authority(ps) : parse_authority(ps);
    }
    copy_authority(ps);
    ps->path = ps->at;
    return parse_path(ps);
}

/* ---- scheme ---- */

static hs_err parse_no_scheme(parser *ps)
{
    HS_ENSURE(ps->base, HS_E_USAGE);
    const hs_url *b = ps->base;
    if (b->opaque) {
        HS_ENSURE(ps->p < ps->end && *ps->p == '#', HS_E_USAGE);
        *ps->url = *b;
        return parse_fragment(ps);
    }
    return base_is_file(ps) ? parse_file(ps) : parse_relative(ps);
}

/* What follows the scheme and its colon. */
static hs_err parse_after_scheme(parser *ps)
{
    if (is_file(ps))
        return parse_file(ps);
    if (ps->url->special) {
        bool same = ps->base && hs_span_eq(ps->base->scheme, ps->url->scheme);
        if (same && !looking_at(ps, "//"))
            return parse_relative(ps);
        return parse_special_authority(ps);
    }
    if (!looking_at(ps, "/"))
        return parse_opaque_path(ps);
    ps->p++;
    if (looking_at(ps, "/")) {
        ps->p++;
        return parse_authority(ps);
    }
    ps->path = ps->at;
    return parse_path(ps);
}

static hs_err parse_start(parser *ps)
{
    const uint8_t *q = ps->p;
    while (q < ps->end && (url_is_alpha(*q) || (q > ps->p && (url_is_digit(*q) || *q == '+' ||
                                                              *q == '-' || *q == '.'))))
        q++;
    if (q == ps->p || q == ps->end || *q != ':')
        return parse_no_scheme(ps);
    const uint8_t *from = ps->at;
    for (; ps->p < q; ps->p++)
        *ps->at++ = url_is_alpha(*ps->p) ? *ps->p | 0x20 : *ps->p;
    ps->p++;
    ps->url->scheme = taken(ps, from);
    bool special;
    (void)url_scheme_port(ps->url->scheme, &special);
    ps->url->special = special;
    return parse_after_scheme(ps);
}

hs_err hs_url_parse(hs_url *url, hs_arena *arena, hs_span text, const hs_url *base)
{
    HS_ASSERT(url != base);
    HS_ENSURE(text.len <= HS_URL_BYTES_MAX, HS_E_LIMIT);
    *url = (hs_url){.port = HS_URL_PORT_NONE};
    /* A bad byte becomes three; then each becomes three again, and each segment has a slash. */
    uint8_t *cleaned = hs_arena_take(arena, 3 * text.len + 1);
    HS_ENSURE(cleaned, -ENOMEM);
    size_t len = clean(text, cleaned);
    size_t out_bytes = 4 * len + (base ? base->path.len : 0) + 16;
    parser ps = {.url = url, .base = base, .arena = arena, .p = cleaned, .end = cleaned + len};
    ps.at = hs_arena_take(arena, out_bytes);
    HS_ENSURE(ps.at, -ENOMEM);
    ps.limit = ps.at + out_bytes;
    return parse_start(&ps);
}
