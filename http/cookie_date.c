/* The dates of cookies: see cookie.h. */
#include "cookie.h"
#include "hs_assert.h"

typedef struct date {
    uint32_t hour, minute, second, day, month, year; /* month: from 1 */
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
    d->hour = h;
    d->minute = m;
    d->second = s;
    return true;
}

static bool take_month(date *d, hs_span t)
{
    static const char names[] = "janfebmaraprmayjunjulaugsepoctnovdec";
    if (t.len < 3)
        return false;
    for (uint32_t i = 0; i < 12; i++) {
        if (hs_span_eq_nocase(hs_span_of(t.ptr, 3), hs_span_of(names + 3 * i, 3))) {
            d->month = i + 1;
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
    else if (!d->has_day && number(&day, 1, 2, &d->day))
        d->has_day = true;
    else if (!d->has_month && take_month(d, t))
        d->has_month = true;
    else if (!d->has_year && number(&year, 2, 4, &d->year))
        d->has_year = true;
}

static uint32_t days_in(uint32_t month, uint32_t year)
{
    static const uint8_t days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    HS_ASSERT(month >= 1 && month <= 12);
    return month == 2 && leap ? 29 : days[month - 1];
}

/* Days from 1970-01-01 on: whole years, then the months of this one. */
static int64_t days_since_1970(uint32_t year, uint32_t month, uint32_t day)
{
    int64_t before = (int64_t)year - 1;
    int64_t days = before * 365 + before / 4 - before / 100 + before / 400 - 719162;
    for (uint32_t m = 1; m < month; m++)
        days += days_in(m, year);
    return days + day - 1;
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
    if (d.year < 100)
        d.year += d.year >= 70 ? 1900 : 2000;
    if (d.year < 1601 || d.day < 1 || d.day > days_in(d.month, d.year) || d.hour > 23 ||
        d.minute > 59 || d.second > 59)
        return false;
    *out = days_since_1970(d.year, d.month, d.day) * 86400 + (int64_t)d.hour * 3600 +
           (int64_t)d.minute * 60 + (int64_t)d.second;
    return true;
}
