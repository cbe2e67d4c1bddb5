/* The dates of cookies: see cookie.h. */
#include "cookie.h"
#include "hs_calendar.h"

typedef struct date {
    hs_civil at;
    bool has_time, has_day, has_month, has_year;
} date;

static bool is_delimiter(uint8_t c)
{
    return c == 0x09 || (c >= 0x20 && c <= 0x2f) || (c >= 0x3b && c <= 0x40) ||
           (c >= 0x5b && c <= 0x60) || (c >= 0x7b && c <= 0x7e);
}

static bool is_digit(uint8_t c)
{
    return c >= '0' && c <= '9';
}

/* A number of `least` to `most` digits at the front, with none behind; *token is moved past it. */
static bool number(hs_span *token, size_t least, size_t most, uint32_t *out)
{
    size_t n = 0;
    uint32_t value = 0;
    for (; n < token->len && is_digit(token->ptr[n]); n++) {
        if (n == most)
            return false;
        value = value * 10 + token->ptr[n] - '0';
    }
    if (n < least)
        return false;
    *token = hs_span_from(*token, n);
    *out = value;
    return true;
}

static bool colon(hs_span *token)
{
    if (!hs_span_starts(*token, HS_SPAN(":")))
        return false;
    *token = hs_span_from(*token, 1);
    return true;
}

static bool take_time(date *d, hs_span t)
{
    uint32_t h, m, s;
    if (!number(&t, 1, 2, &h) || !colon(&t) || !number(&t, 1, 2, &m) || !colon(&t) ||
        !number(&t, 1, 2, &s))
        return false;
    d->at.hour = h;
    d->at.minute = m;
    d->at.second = s;
    return true;
}

static bool take_month(date *d, hs_span t)
{
    static const char names[] = "janfebmaraprmayjunjulaugsepoctnovdec";
    if (t.len < 3)
        return false;
    for (uint32_t i = 0; i < 12; i++) {
        if (hs_span_eq_nocase(hs_span_of(t.ptr, 3), hs_span_of(names + 3 * i, 3))) {
            d->at.month = i + 1;
            return true;
        }
    }
    return false;
}

/* A token is the first of these that is not there yet. */
static void take(date *d, hs_span t)
{
    hs_span day = t, year = t;
    if (!d->has_time && take_time(d, t))
        d->has_time = true;
    else if (!d->has_day && number(&day, 1, 2, &d->at.day))
        d->has_day = true;
    else if (!d->has_month && take_month(d, t))
        d->has_month = true;
    else if (!d->has_year && number(&year, 2, 4, &d->at.year))
        d->has_year = true;
}

bool cookie_date(hs_span text, int64_t *out)
{
    date d = {.has_time = false};
    while (text.len > 0) {
        size_t len = 0;
        while (len < text.len && !is_delimiter(text.ptr[len]))
            len++;
        if (len > 0)
            take(&d, hs_span_of(text.ptr, len));
        text = hs_span_from(text, HS_MIN(len + 1, text.len));
    }
    if (!d.has_time || !d.has_day || !d.has_month || !d.has_year)
        return false;
    if (d.at.year < 100)
        d.at.year += d.at.year >= 70 ? 1900 : 2000;
    return d.at.year >= 1601 && d.at.second <= 59 && hs_civil_seconds(&d.at, out);
}
