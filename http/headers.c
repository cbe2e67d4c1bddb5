/* A list of fields: see hs_headers.h. */
#include "hs_headers.h"

#include <errno.h>

#include "hs_assert.h"

/* A name and the three bytes around a value, ": " and CRLF. */
#define LINE_BYTES 4

#define WORD(text)                                                                                 \
    {                                                                                              \
        (const uint8_t *)(text), sizeof(text) - 1                                                  \
    }

static const hs_span forbidden[] = {
    WORD("connection"),
    WORD("content-length"),
    WORD("expect"),
    WORD("host"),
    WORD("http2-settings"),
    WORD("keep-alive"),
    WORD("proxy-connection"),
    WORD("te"),
    WORD("proxy-authorization"),
    WORD("trailer"),
    WORD("upgrade"),
    WORD("transfer-encoding"),
};

bool hs_headers_is_forbidden(hs_span name)
{
    for (size_t i = 0; i < HS_ARRAY_LEN(forbidden); i++) {
        if (hs_span_eq_nocase(name, forbidden[i]))
            return true;
    }
    return false;
}

/* FNV-1a of the name in lower case: most names of a list are told apart by it. Nothing is placed by
 * it, so nobody gains by names that share one. */
static uint32_t name_hash(hs_span name)
{
    uint32_t hash = 2166136261u;
    for (size_t i = 0; i < name.len; i++) {
        uint8_t c = name.ptr[i];
        hash = (hash ^ (c >= 'A' && c <= 'Z' ? c | 0x20u : c)) * 16777619u;
    }
    return hash;
}

void hs_headers_init(hs_headers *h, hs_arena *arena, hs_headers_guard guard)
{
    HS_ASSERT(arena != NULL);
    HS_ASSERT(guard == HS_HEADERS_OWN || guard == HS_HEADERS_REQUEST);
    *h = (hs_headers){.arena = arena,
                      .len_max = HS_HEADERS_MAX,
                      .bytes_max = HS_HEADERS_BYTES_MAX,
                      .guard = (uint8_t)guard};
}

static hs_header *find(hs_header *from, hs_span name, uint32_t hash)
{
    for (hs_header *f = from; f; f = f->next) {
        if (f->hash == hash && hs_span_eq_nocase(f->name, name))
            return f;
    }
    return NULL;
}

/* "Normalize" of the Fetch Standard, section 2.2: HTTP's white space around the value goes. */
static hs_span normalise(hs_span value)
{
    while (value.len > 0 && memchr(" \t\r\n", value.ptr[0], 4))
        value = hs_span_from(value, 1);
    while (value.len > 0 && memchr(" \t\r\n", value.ptr[value.len - 1], 4))
        value.len--;
    return value;
}

/* What is asked of a field before the list is looked at; *value is normalised. */
static hs_err check(const hs_headers *h, hs_span name, hs_span *value)
{
    HS_ASSERT(h->arena != NULL);
    *value = normalise(*value);
    HS_ENSURE(hs_http_is_token(name) && hs_http_is_field_value(*value), HS_E_USAGE);
    HS_ENSURE(h->guard != HS_HEADERS_REQUEST || !hs_headers_is_forbidden(name), HS_E_FORBIDDEN);
    return HS_OK;
}

/* Whether a list without `less` of its bytes has room for one more line. */
static bool fits(const hs_headers *h, uint32_t less, hs_span name, hs_span value)
{
    HS_ASSERT(less <= h->bytes);
    size_t room = h->bytes_max >= h->bytes - less ? h->bytes_max - (h->bytes - less) : 0;
    return room >= LINE_BYTES && name.len <= room - LINE_BYTES &&
           value.len <= room - LINE_BYTES - name.len;
}

static uint32_t line_bytes(const hs_header *f)
{
    return (uint32_t)(f->name.len + f->value.len + LINE_BYTES);
}

/* An empty value needs no memory, and its pointer is not NULL, by which hs_headers_get says that
 * there is none. */
static hs_err copy(hs_arena *arena, hs_span from, hs_span *out)
{
    *out = HS_SPAN("");
    return from.len > 0 ? hs_arena_copy(arena, from, out) : HS_OK;
}

/* Behind all others. `like`: a field of the same name, or NULL. */
static hs_err put_last(hs_headers *h, hs_span name, uint32_t hash, hs_span value,
                       const hs_header *like)
{
    HS_ENSURE(h->len < h->len_max && fits(h, 0, name, value), HS_E_LIMIT);
    hs_header *f = hs_arena_take(h->arena, sizeof *f);
    HS_ENSURE(f, -ENOMEM);
    *f = (hs_header){.hash = hash};
    if (like)
        f->name = like->name;
    else
        HS_TRY(copy(h->arena, name, &f->name));
    HS_TRY(copy(h->arena, value, &f->value));
    if (h->last)
        h->last->next = f;
    else
        h->first = f;
    h->last = f;
    h->len++;
    h->bytes += line_bytes(f);
    return HS_OK;
}

hs_err hs_headers_append(hs_headers *h, hs_span name, hs_span value)
{
    HS_TRY(check(h, name, &value));
    uint32_t hash = name_hash(name);
    return put_last(h, name, hash, value, find(h->first, name, hash));
}

/* Take out all fields of this name from behind `after` on (NULL: from the first on). */
static uint32_t remove_after(hs_headers *h, hs_header *after, hs_span name, uint32_t hash)
{
    uint32_t removed = 0;
    hs_header *before = after, **link = after ? &after->next : &h->first;
    while (*link) {
        hs_header *f = *link;
        if (f->hash != hash || !hs_span_eq_nocase(f->name, name)) {
            before = f;
            link = &f->next;
            continue;
        }
        HS_ASSERT(h->len > 0 && h->bytes >= line_bytes(f));
        *link = f->next;
        h->len--;
        h->bytes -= line_bytes(f);
        removed++;
    }
    h->last = before;
    return removed;
}

hs_err hs_headers_set(hs_headers *h, hs_span name, hs_span value)
{
    HS_TRY(check(h, name, &value));
    uint32_t hash = name_hash(name), less = 0;
    hs_header *f = find(h->first, name, hash);
    if (!f)
        return put_last(h, name, hash, value, NULL);
    for (hs_header *same = f; same; same = find(same->next, name, hash))
        less += line_bytes(same);
    HS_ENSURE(fits(h, less, name, value), HS_E_LIMIT);
    hs_span copied;
    HS_TRY(copy(h->arena, value, &copied));
    remove_after(h, f, name, hash);
    h->bytes -= line_bytes(f);
    f->value = copied;
    h->bytes += line_bytes(f);
    return HS_OK;
}

hs_err hs_headers_default(hs_headers *h, hs_span name, hs_span value)
{
    return hs_headers_has(h, name) ? HS_OK : hs_headers_append(h, name, value);
}

hs_err hs_headers_append_all(hs_headers *h, const hs_headers *from)
{
    HS_ASSERT(h != from);
    for (const hs_header *f = from->first; f; f = f->next)
        HS_TRY(hs_headers_append(h, f->name, f->value));
    return HS_OK;
}

hs_err hs_headers_get(const hs_headers *h, hs_span name, hs_span *out)
{
    uint32_t hash = name_hash(name);
    const hs_header *first = find(h->first, name, hash);
    *out = first ? first->value : hs_span_of(NULL, 0);
    if (!first || !find(first->next, name, hash))
        return HS_OK;
    size_t bytes = 0;
    for (const hs_header *f = first; f; f = find(f->next, name, hash))
        bytes += f->value.len + 2;
    uint8_t *text = hs_arena_take(h->arena, bytes), *at = text;
    HS_ENSURE(text, -ENOMEM);
    for (const hs_header *f = first; f; f = find(f->next, name, hash)) {
        if (f != first) {
            *at++ = ',';
            *at++ = ' ';
        }
        memcpy(at, f->value.ptr, f->value.len);
        at += f->value.len;
    }
    HS_ASSERT((size_t)(at - text) + 2 == bytes);
    *out = hs_span_of(text, (size_t)(at - text));
    return HS_OK;
}

const hs_header *hs_headers_find(const hs_headers *h, hs_span name, const hs_header *after)
{
    HS_ASSERT(h->arena != NULL);
    return find(after ? after->next : h->first, name, name_hash(name));
}

bool hs_headers_has(const hs_headers *h, hs_span name)
{
    return hs_headers_find(h, name, NULL) != NULL;
}

uint32_t hs_headers_delete(hs_headers *h, hs_span name)
{
    HS_ASSERT(h->arena != NULL);
    return remove_after(h, NULL, name, name_hash(name));
}

void hs_headers_validate(const hs_headers *h)
{
    const hs_header *last = NULL;
    uint32_t len = 0, bytes = 0;
    for (const hs_header *f = h->first; f; last = f, f = f->next) {
        HS_ASSERT(hs_http_is_token(f->name));
        HS_ASSERT(hs_http_is_field_value(f->value));
        HS_ASSERT(f->hash == name_hash(f->name));
        len++;
        bytes += line_bytes(f);
    }
    HS_ASSERT(h->last == last);
    HS_ASSERT(h->len == len && h->bytes == bytes);
}
