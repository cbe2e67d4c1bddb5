/* The zone of an IPv6 address in a URL (RFC 6874): http://[fe80::1%25eth0]/. The URL Standard knows
 * none, and it says something to this host alone: it is cut off before the URL is parsed, and no
 * server is told.
 *
 * Owns: finding it, and its number. Must not know: what a URL is otherwise.
 * Tested by: tests/unit/http_fetch_route.c. */
#include <net/if.h>

#include "client.h"

/* The zone's bytes with what introduces them ("%25", or "%" alone as people write it) in `text`;
 * empty: there is none. */
static hs_span find(hs_span text)
{
    const hs_span none = hs_span_of(NULL, 0);
    const uint8_t *start = memmem(text.ptr, text.len, "://", 3);
    if (!start)
        return none;
    size_t from = (size_t)(start - text.ptr) + 3, end = from;
    while (end < text.len && !memchr("/?#\\", text.ptr[end], 4))
        end++;
    hs_span authority = hs_span_of(text.ptr + from, end - from);
    const uint8_t *at = authority.len ? memrchr(authority.ptr, '@', authority.len) : NULL;
    if (at)
        authority = hs_span_from(authority, (size_t)(at - authority.ptr) + 1);
    const uint8_t *close = authority.len ? memchr(authority.ptr, ']', authority.len) : NULL;
    if (!close || authority.ptr[0] != '[')
        return none;
    const uint8_t *percent = memchr(authority.ptr, '%', (size_t)(close - authority.ptr));
    return percent ? hs_span_of(percent, (size_t)(close - percent)) : none;
}

/* The number of an interface by its number or name (RFC 4007 section 11); 0: there is none. */
static uint32_t number_of(hs_span zone)
{
    char name[IF_NAMESIZE];
    uint64_t number;
    if (hs_span_u64(zone, UINT32_MAX, &number))
        return (uint32_t)number;
    if (zone.len == 0 || zone.len >= sizeof name)
        return 0;
    for (size_t i = 0; i < zone.len; i++)
        if (zone.ptr[i] <= 0x20 || zone.ptr[i] >= 0x7f || zone.ptr[i] == '%')
            return 0;
    memcpy(name, zone.ptr, zone.len);
    name[zone.len] = '\0';
    return if_nametoindex(name);
}

hs_err fetch_zone_cut(fetch *f, hs_span *text)
{
    hs_span found = find(*text);
    f->zone = 0;
    if (found.len == 0)
        return HS_OK;
    f->zone = number_of(hs_span_from(found, hs_span_starts(found, HS_SPAN("%25")) ? 3 : 1));
    HS_ENSURE(f->zone > 0, HS_E_USAGE);
    size_t before = (size_t)(found.ptr - text->ptr), behind = text->len - before - found.len;
    uint8_t *cut = hs_arena_take(&f->arena, before + behind);
    HS_ENSURE(cut, -ENOMEM);
    memcpy(cut, text->ptr, before);
    memcpy(cut + before, found.ptr + found.len, behind);
    *text = hs_span_of(cut, before + behind);
    return HS_OK;
}

hs_err fetch_zone_host(fetch *f, hs_span *host)
{
    HS_ASSERT(f->zone > 0 && host->len > 2 && host->ptr[host->len - 1] == ']');
    uint8_t *text = hs_arena_take(&f->arena, host->len + 24);
    HS_ENSURE(text, -ENOMEM);
    memcpy(text, host->ptr, host->len - 1);
    size_t len = host->len - 1;
    text[len++] = '%';
    len += hs_fmt_u64((char *)text + len, f->zone);
    text[len++] = ']';
    *host = hs_span_of(text, len);
    return HS_OK;
}
