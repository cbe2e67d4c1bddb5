/* The text of Set-Cookie: see cookie.h. */
#include "cookie.h"
#include "hs_assert.h"

static bool has_control(hs_span s)
{
    for (size_t i = 0; i < s.len; i++) {
        if ((s.ptr[i] < 0x20 && s.ptr[i] != '\t') || s.ptr[i] == 0x7f)
            return true;
    }
    return false;
}

/* Cut off what is before the first ';', and the ';'. */
static hs_span cut(hs_span *text)
{
    const uint8_t *at = text->len > 0 ? memchr(text->ptr, ';', text->len) : NULL;
    hs_span part = hs_span_of(text->ptr, at ? (size_t)(at - text->ptr) : text->len);
    *text = hs_span_from(*text, at ? part.len + 1 : part.len);
    return part;
}

/* Split at the first '=', and trim both. False: there is none, and all of it is the name. */
static bool split(hs_span pair, hs_span *name, hs_span *value)
{
    const uint8_t *at = pair.len > 0 ? memchr(pair.ptr, '=', pair.len) : NULL;
    size_t len = at ? (size_t)(at - pair.ptr) : pair.len;
    *name = hs_span_trim(hs_span_of(pair.ptr, len));
    *value = at ? hs_span_trim(hs_span_from(pair, len + 1)) : hs_span_of(NULL, 0);
    return at != NULL;
}

typedef struct lives {
    bool has_age, has_date;
    int64_t age, date; /* when it is over */
} lives;

static void take_age(lives *l, hs_span value, int64_t now_s)
{
    uint64_t age;
    bool minus = hs_span_starts(value, HS_SPAN("-"));
    hs_span digits = minus ? hs_span_from(value, 1) : value;
    for (size_t i = 0; i < digits.len; i++) {
        if (digits.ptr[i] < '0' || digits.ptr[i] > '9')
            return;
    }
    if (digits.len == 0)
        return;
    /* Beyond that it does not matter how much. */
    const uint64_t most = (uint64_t)HS_COOKIE_DAYS_MAX * 86400;
    if (!hs_span_u64(digits, most, &age))
        age = most;
    l->has_age = true;
    l->age = minus || age == 0 ? INT64_MIN : now_s + (int64_t)age;
}

static uint8_t same_site_of(hs_span value)
{
    if (hs_span_eq_nocase(value, HS_SPAN("none")))
        return HS_SAME_SITE_NONE;
    if (hs_span_eq_nocase(value, HS_SPAN("lax")))
        return HS_SAME_SITE_LAX;
    return hs_span_eq_nocase(value, HS_SPAN("strict")) ? HS_SAME_SITE_STRICT : HS_SAME_SITE_DEFAULT;
}

/* The last one of a kind counts. */
static void take_attribute(cookie_text *c, lives *l, hs_span name, hs_span value, int64_t now_s)
{
    if (value.len > HS_COOKIE_ATTRIBUTE_BYTES_MAX)
        return;
    if (hs_span_eq_nocase(name, HS_SPAN("expires"))) {
        int64_t date;
        if (cookie_date(value, &date)) {
            l->has_date = true;
            l->date = date;
        }
    } else if (hs_span_eq_nocase(name, HS_SPAN("max-age"))) {
        take_age(l, value, now_s);
    } else if (hs_span_eq_nocase(name, HS_SPAN("domain"))) {
        c->domain = hs_span_starts(value, HS_SPAN(".")) ? hs_span_from(value, 1) : value;
    } else if (hs_span_eq_nocase(name, HS_SPAN("path"))) {
        c->path = hs_span_starts(value, HS_SPAN("/")) ? value : hs_span_of(NULL, 0);
    } else if (hs_span_eq_nocase(name, HS_SPAN("secure"))) {
        c->secure = true;
    } else if (hs_span_eq_nocase(name, HS_SPAN("httponly"))) {
        c->http_only = true;
    } else if (hs_span_eq_nocase(name, HS_SPAN("samesite"))) {
        c->same_site = same_site_of(value);
    }
}

hs_err cookie_parse(cookie_text *out, hs_span text, int64_t now_s)
{
    HS_ASSERT(now_s >= 0 && now_s < INT64_MAX / 2);
    *out = (cookie_text){.persistent = false};
    HS_ENSURE(!has_control(text), HS_E_USAGE);
    if (!split(cut(&text), &out->name, &out->value)) {
        out->value = out->name;
        out->name = hs_span_of(NULL, 0);
    }
    HS_ENSURE(out->name.len + out->value.len > 0, HS_E_USAGE);
    HS_ENSURE(out->name.len + out->value.len <= HS_COOKIE_BYTES_MAX, HS_E_USAGE);
    lives l = {.has_age = false};
    while (text.len > 0) {
        hs_span name, value;
        (void)split(cut(&text), &name, &value);
        take_attribute(out, &l, name, value, now_s);
    }
    out->persistent = l.has_age || l.has_date;
    out->expires_s = l.has_age ? l.age : l.date;
    return HS_OK;
}
