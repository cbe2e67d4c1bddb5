/* The jar: see hs_cookies.h. Step numbers are those of RFC 6265bis section 5.7. */
#include "hs_cookies.h"

#include <errno.h>
#include <libpsl.h>

#include "cookie.h"
#include "hs_assert.h"
#include "hs_list.h"

#define DOMAIN_BYTES_MAX 253 /* of a name in DNS */

typedef struct entry {
    hs_list link; /* hs_cookies.used */
    hs_cookie cookie;
    uint64_t created; /* counts cookies */
    size_t bytes;     /* of this piece */
    uint8_t text[];
} entry;

struct hs_cookies {
    const hs_mem *mem;
    hs_list used; /* the least recently used first */
    uint32_t len;
    uint64_t created;
};

/* ---- entries ---- */

static entry *entry_of(hs_list *link)
{
    return HS_CONTAINER_OF(link, entry, link);
}

static void drop(hs_cookies *jar, entry *e)
{
    HS_ASSERT(jar->len > 0);
    hs_list_remove(&e->link);
    jar->len--;
    hs_mem_give(jar->mem, e, e->bytes, _Alignof(entry));
}

static hs_span put(uint8_t **at, hs_span s)
{
    hs_span copy = hs_span_of(*at, s.len);
    if (s.len > 0)
        memcpy(*at, s.ptr, s.len);
    *at += s.len;
    return copy;
}

static entry *make(const hs_cookies *jar, const hs_cookie *c)
{
    size_t bytes = sizeof(entry) + c->name.len + c->value.len + c->domain.len + c->path.len;
    entry *e = hs_mem_take(jar->mem, bytes, _Alignof(entry));
    if (!e)
        return NULL;
    uint8_t *at = e->text;
    *e = (entry){.cookie = *c, .bytes = bytes};
    hs_list_init(&e->link);
    e->cookie.name = put(&at, c->name);
    e->cookie.value = put(&at, c->value);
    e->cookie.domain = put(&at, c->domain);
    for (size_t i = 0; i < c->domain.len; i++) {
        uint8_t *letter = e->text + c->name.len + c->value.len + i;
        *letter |= *letter >= 'A' && *letter <= 'Z' ? 0x20 : 0;
    }
    e->cookie.path = put(&at, c->path);
    HS_ASSERT((size_t)(at - (uint8_t *)e) == bytes);
    return e;
}

hs_err hs_cookies_create(hs_cookies **out, const hs_mem *mem)
{
    hs_cookies *jar = hs_mem_take_zero(mem, sizeof *jar, _Alignof(hs_cookies));
    *out = jar;
    HS_ENSURE(jar, -ENOMEM);
    jar->mem = mem;
    hs_list_init(&jar->used);
    return HS_OK;
}

void hs_cookies_clear(hs_cookies *jar)
{
    while (!hs_list_empty(&jar->used))
        drop(jar, entry_of(jar->used.next));
    HS_ASSERT(jar->len == 0);
}

void hs_cookies_destroy(hs_cookies *jar)
{
    if (!jar)
        return;
    hs_cookies_clear(jar);
    hs_mem_give(jar->mem, jar, sizeof *jar, _Alignof(hs_cookies));
}

uint32_t hs_cookies_len(const hs_cookies *jar)
{
    HS_ASSERT(jar->len <= HS_COOKIES_MAX);
    return jar->len;
}

/* ---- matching (sections 5.1.3 and 5.1.4) ---- */

static bool domain_matches(hs_span host, hs_span domain, bool is_name)
{
    if (hs_span_eq_nocase(host, domain))
        return true;
    if (!is_name || host.len <= domain.len)
        return false;
    size_t at = host.len - domain.len;
    return host.ptr[at - 1] == '.' && hs_span_eq_nocase(hs_span_from(host, at), domain);
}

static bool path_matches(hs_span path, hs_span cookie_path)
{
    if (!hs_span_starts(path, cookie_path))
        return false;
    return path.len == cookie_path.len || cookie_path.ptr[cookie_path.len - 1] == '/' ||
           path.ptr[cookie_path.len] == '/';
}

static hs_span default_path(hs_span path)
{
    const uint8_t *slash = path.len > 0 ? memrchr(path.ptr, '/', path.len) : NULL;
    size_t len = slash && path.ptr[0] == '/' ? (size_t)(slash - path.ptr) : 0;
    return len > 0 ? hs_span_of(path.ptr, len) : HS_SPAN("/");
}

static bool is_secure(const hs_url *url)
{
    return hs_span_eq(url->scheme, HS_SPAN("https")) || hs_span_eq(url->scheme, HS_SPAN("wss"));
}

/* The list has no names with the dot of the root: "co.uk." is as public as "co.uk". */
static bool is_public_suffix(hs_span domain)
{
    char name[DOMAIN_BYTES_MAX + 1];
    const psl_ctx_t *list = psl_builtin();
    HS_ASSERT(domain.len > 0 && domain.len < sizeof name);
    domain.len -= domain.ptr[domain.len - 1] == '.';
    if (domain.len == 0)
        return true;
    for (size_t i = 0; i < domain.len; i++) {
        uint8_t c = domain.ptr[i];
        name[i] = (char)(c >= 'A' && c <= 'Z' ? c | 0x20 : c);
    }
    name[domain.len] = '\0';
    /* Built without a list, libpsl has none: then at least no top level. */
    return list ? psl_is_public_suffix(list, name) != 0 : !strchr(name, '.');
}

/* No name in DNS has an empty label but the root at its end (RFC 1035 section 3.1): "co.uk..",
 * which no list has, would be as public as "co.uk". */
static bool has_empty_label(hs_span domain)
{
    for (size_t i = 0; i < domain.len; i++)
        if (domain.ptr[i] == '.' && (i == 0 || domain.ptr[i - 1] == '.'))
            return true;
    return false;
}

/* ---- what may come in ---- */

/* Steps 8 to 10: whom it is for. */
static hs_err judge_domain(hs_cookie *c, const cookie_text *t, const hs_url *url)
{
    hs_span domain = t->domain;
    bool is_name = url->host_kind == HS_URL_HOST_DOMAIN;
    c->domain = url->host;
    c->host_only = true;
    if (domain.len == 0)
        return HS_OK;
    HS_ENSURE(domain.len <= DOMAIN_BYTES_MAX && !has_empty_label(domain), HS_E_FORBIDDEN);
    if (is_name && is_public_suffix(domain)) {
        HS_ENSURE(hs_span_eq_nocase(domain, url->host), HS_E_FORBIDDEN);
        return HS_OK; /* for itself alone, as everybody else under it is a stranger */
    }
    HS_ENSURE(domain_matches(url->host, domain, is_name), HS_E_FORBIDDEN);
    c->domain = domain;
    c->host_only = false;
    return HS_OK;
}

static bool has_prefix(hs_span s, hs_span prefix)
{
    return s.len >= prefix.len && hs_span_eq_nocase(hs_span_of(s.ptr, prefix.len), prefix);
}

/* Steps 18 to 21: what a name promises. */
static hs_err judge_prefix(const hs_cookie *c, const cookie_text *t)
{
    const hs_span secure = HS_SPAN("__Secure-"), host = HS_SPAN("__Host-");
    const hs_span http = HS_SPAN("__Http-"), host_http = HS_SPAN("__Host-Http-");
    if (has_prefix(c->name, secure))
        HS_ENSURE(c->secure, HS_E_FORBIDDEN);
    if (has_prefix(c->name, host))
        HS_ENSURE(c->secure && c->host_only && hs_span_eq(t->path, HS_SPAN("/")), HS_E_FORBIDDEN);
    if (has_prefix(c->name, http))
        HS_ENSURE(c->secure && c->http_only, HS_E_FORBIDDEN);
    if (has_prefix(c->name, host_http))
        HS_ENSURE(c->http_only, HS_E_FORBIDDEN); /* and what __Host- asks */
    if (c->name.len == 0)
        HS_ENSURE(!has_prefix(c->value, secure) && !has_prefix(c->value, host) &&
                      !has_prefix(c->value, http),
                  HS_E_FORBIDDEN);
    return HS_OK;
}

/* Step 13: over plain http nobody hides a secure cookie. */
static bool hides_secure(hs_cookies *jar, const hs_cookie *c, bool is_name)
{
    hs_list_each (link, &jar->used) {
        const hs_cookie *old = &entry_of(link)->cookie;
        if (old->secure && hs_span_eq(old->name, c->name) && path_matches(c->path, old->path) &&
            (domain_matches(old->domain, c->domain, is_name) ||
             domain_matches(c->domain, old->domain, is_name)))
            return true;
    }
    return false;
}

static hs_err judge(hs_cookies *jar, hs_cookie *c, const cookie_text *t, const hs_url *url)
{
    bool secure = is_secure(url);
    HS_TRY(judge_domain(c, t, url));
    HS_ENSURE(secure || !c->secure, HS_E_FORBIDDEN);
    HS_ENSURE(c->same_site != HS_SAME_SITE_NONE || c->secure, HS_E_FORBIDDEN);
    HS_TRY(judge_prefix(c, t));
    bool is_name = url->host_kind == HS_URL_HOST_DOMAIN;
    HS_ENSURE(secure || !hides_secure(jar, c, is_name), HS_E_FORBIDDEN);
    return HS_OK;
}

/* ---- keeping ---- */

/* The cookie that `c` takes the place of. */
static entry *older_self(hs_cookies *jar, const hs_cookie *c)
{
    hs_list_each (link, &jar->used) {
        const hs_cookie *old = &entry_of(link)->cookie;
        if (hs_span_eq(old->name, c->name) && hs_span_eq_nocase(old->domain, c->domain) &&
            hs_span_eq(old->path, c->path) && old->host_only == c->host_only)
            return entry_of(link);
    }
    return NULL;
}

static void drop_expired(hs_cookies *jar, int64_t now_s)
{
    hs_list_each_safe (link, &jar->used) {
        if (entry_of(link)->cookie.expires_s <= now_s)
            drop(jar, entry_of(link));
    }
}

/* Make room for one more of this domain: of a full one, the least recently used goes that is not
 * secure, or else the least recently used. */
static void make_room(hs_cookies *jar, hs_span domain, int64_t now_s)
{
    uint32_t same = 0;
    entry *oldest = NULL, *open = NULL;
    drop_expired(jar, now_s);
    hs_list_each (link, &jar->used) {
        entry *e = entry_of(link);
        if (!hs_span_eq_nocase(e->cookie.domain, domain))
            continue;
        same++;
        oldest = oldest ? oldest : e;
        open = open || e->cookie.secure ? open : e;
    }
    if (same >= HS_COOKIES_DOMAIN_MAX)
        drop(jar, open ? open : oldest);
    if (jar->len >= HS_COOKIES_MAX)
        drop(jar, entry_of(jar->used.next));
    HS_ASSERT(jar->len < HS_COOKIES_MAX);
}

hs_err hs_cookies_set(hs_cookies *jar, const hs_url *url, hs_span set_cookie, int64_t now_s)
{
    cookie_text t;
    HS_ASSERT(jar != NULL);
    HS_ENSURE(url->host.len > 0, HS_E_USAGE);
    HS_TRY(cookie_parse(&t, set_cookie, now_s));
    const int64_t latest = now_s + (int64_t)HS_COOKIE_DAYS_MAX * 86400;
    hs_cookie c = {.name = t.name,
                   .value = t.value,
                   .path = t.path.len > 0 ? t.path : default_path(url->path),
                   .expires_s = t.persistent ? HS_MIN(t.expires_s, latest) : INT64_MAX,
                   .secure = t.secure,
                   .http_only = t.http_only,
                   .same_site = t.same_site};
    HS_TRY(judge(jar, &c, &t, url));
    entry *old = older_self(jar, &c);
    if (c.expires_s <= now_s) {
        if (old)
            drop(jar, old);
        return HS_OK;
    }
    entry *e = make(jar, &c);
    HS_ENSURE(e, -ENOMEM);
    e->created = old ? old->created : ++jar->created;
    if (old)
        drop(jar, old);
    make_room(jar, e->cookie.domain, now_s);
    hs_list_push_back(&jar->used, &e->link);
    jar->len++;
    return HS_OK;
}

/* ---- what goes back ---- */

static bool is_for(const hs_cookie *c, const hs_url *url, int64_t now_s)
{
    bool is_name = url->host_kind == HS_URL_HOST_DOMAIN;
    bool host = c->host_only ? hs_span_eq(c->domain, url->host)
                             : domain_matches(url->host, c->domain, is_name);
    return host && path_matches(url->path, c->path) && (!c->secure || is_secure(url)) &&
           c->expires_s > now_s;
}

/* Whether `a` goes before `b`: longer paths first, then what came first. */
static bool is_before(const entry *a, const entry *b)
{
    if (a->cookie.path.len != b->cookie.path.len)
        return a->cookie.path.len > b->cookie.path.len;
    return a->created < b->created;
}

/* Gather the cookies for a URL in order; they become the most recently used ones, in this order. */
static uint32_t gather(hs_cookies *jar, const hs_url *url, int64_t now_s, entry **sorted)
{
    uint32_t len = 0;
    hs_list_each (link, &jar->used) {
        entry *e = entry_of(link);
        if (!is_for(&e->cookie, url, now_s))
            continue;
        uint32_t at = len++;
        for (; at > 0 && is_before(e, sorted[at - 1]); at--)
            sorted[at] = sorted[at - 1];
        sorted[at] = e;
    }
    for (uint32_t i = 0; i < len; i++) {
        hs_list_remove(&sorted[i]->link);
        hs_list_push_back(&jar->used, &sorted[i]->link);
    }
    return len;
}

static size_t pair_bytes(const hs_cookie *c)
{
    return c->name.len + (c->name.len > 0) + c->value.len;
}

hs_err hs_cookies_get(hs_cookies *jar, const hs_url *url, int64_t now_s, size_t bytes_max,
                      hs_arena *arena, hs_span *out)
{
    *out = hs_span_of(NULL, 0);
    if (jar->len == 0)
        return HS_OK;
    entry **sorted = hs_arena_take(arena, jar->len * sizeof(entry *));
    HS_ENSURE(sorted, -ENOMEM);
    uint32_t len = gather(jar, url, now_s, sorted);
    size_t bytes = 0;
    for (uint32_t i = 0; i < len; i++) {
        size_t more = pair_bytes(&sorted[i]->cookie) + (bytes > 0 ? 2 : 0);
        if (more > bytes_max - bytes)
            sorted[i] = NULL;
        else
            bytes += more;
    }
    if (bytes == 0)
        return HS_OK;
    uint8_t *text = hs_arena_take(arena, bytes), *at = text;
    HS_ENSURE(text, -ENOMEM);
    for (uint32_t i = 0; i < len; i++) {
        if (!sorted[i])
            continue;
        if (at != text)
            put(&at, HS_SPAN("; "));
        put(&at, sorted[i]->cookie.name);
        if (sorted[i]->cookie.name.len > 0)
            *at++ = '=';
        put(&at, sorted[i]->cookie.value);
    }
    HS_ASSERT((size_t)(at - text) == bytes);
    *out = hs_span_of(text, bytes);
    return HS_OK;
}

void hs_cookies_each(const hs_cookies *jar, int64_t now_s,
                     void (*fn)(const hs_cookie *cookie, void *ctx), void *ctx)
{
    for (const hs_list *link = jar->used.next; link != &jar->used; link = link->next) {
        const hs_cookie *c = &HS_CONTAINER_OF(link, entry, link)->cookie;
        if (c->expires_s > now_s)
            fn(c, ctx);
    }
}

void hs_cookies_validate(const hs_cookies *jar)
{
    uint32_t len = 0;
    hs_list_validate(&jar->used);
    for (const hs_list *link = jar->used.next; link != &jar->used; link = link->next) {
        const entry *e = HS_CONTAINER_OF(link, entry, link);
        HS_ASSERT(e->created > 0 && e->created <= jar->created);
        HS_ASSERT(pair_bytes(&e->cookie) > 0 && e->cookie.domain.len > 0);
        HS_ASSERT(e->cookie.path.len > 0 && e->cookie.path.ptr[0] == '/');
        len++;
    }
    HS_ASSERT(jar->len == len && len <= HS_COOKIES_MAX);
}
