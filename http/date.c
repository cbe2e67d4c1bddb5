/* The dates of HTTP (RFC 9110 section 5.6.7): "Sun, 06 Nov 1994 08:49:37 GMT" is written, and it
 * and the two older forms are read.
 *
 * Owns: their text. Must not know: clocks, the calendar's arithmetic.
 * Tested by: tests/unit/http_words.c, against gmtime_r and strftime; fuzzed by
 * tests/fuzz/fuzz_date.c. */
#include "hs_assert.h"
#include "hs_calendar.h"
#include "hs_http.h"

static const char month_names[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
static const char day_names[] = "SunMonTueWedThuFriSat";

static void put_digits(char *out, uint32_t value)
{
    HS_ASSERT(value < 100);
    out[0] = (char)('0' + value / 10);
    out[1] = (char)('0' + value % 10);
}

void hs_http_date(char *out, uint64_t wall_s)
{
    hs_civil c;
    hs_civil_of((int64_t)HS_MIN(wall_s, (uint64_t)HS_CIVIL_SECONDS_MAX), &c);
    memcpy(out, "???, ?? ??? ???? ??:??:?? GMT", HS_HTTP_DATE_LEN);
    memcpy(out, day_names + 3 * (size_t)c.weekday, 3);
    put_digits(out + 5, c.day);
    memcpy(out + 8, month_names + 3 * (size_t)(c.month - 1), 3);
    put_digits(out + 12, c.year / 100);
    put_digits(out + 14, c.year % 100);
    put_digits(out + 17, c.hour);
    put_digits(out + 20, c.minute);
    put_digits(out + 23, c.second);
}

/* ---- reading ---- */

/* Which of the names of three letters it is, from 0; `count` for none. */
static uint32_t name_index(const uint8_t *text, const char *names, uint32_t count)
{
    uint32_t i = 0;
    while (i < count && memcmp(text, names + 3 * (size_t)i, 3) != 0)
        i++;
    return i;
}

/* Match `s` against a pattern, a byte for a byte: 'd', 'h', 'm', 's' and 'y' are digits of the day,
 * the time and the year, '_' is one of the day or a blank, "Nnn" a month's name, "Www" a day's. */
static bool match(hs_span s, const char *pattern, hs_civil *c)
{
    if (s.len != strlen(pattern))
        return false;
    for (size_t i = 0; i < s.len; i++) {
        uint8_t byte = s.ptr[i], digit = (uint8_t)(byte - '0');
        char want = pattern[i];
        uint32_t *to = want == 'd' || want == '_' ? &c->day
                       : want == 'h'              ? &c->hour
                       : want == 'm'              ? &c->minute
                       : want == 's'              ? &c->second
                       : want == 'y'              ? &c->year
                                                  : NULL;
        if (want == 'N' || want == 'W') {
            bool month = want == 'N';
            uint32_t count = month ? 12 : 7;
            uint32_t index = name_index(s.ptr + i, month ? month_names : day_names, count);
            if (index == count)
                return false;
            if (month)
                c->month = index + 1;
            i += 2;
        } else if (want == '_' && byte == ' ') {
            continue;
        } else if (!to) {
            if (byte != (uint8_t)want)
                return false;
        } else {
            if (digit > 9)
                return false;
            *to = *to * 10 + digit;
        }
    }
    return true;
}

/* "Sunday, 06-Nov-94 08:49:37 GMT". A year that seems to be more than 50 years ahead is the last
 * one with these digits. */
static bool match_rfc850(hs_span s, int64_t now_s, hs_civil *c)
{
    static const char *const days[] = {"Sunday",   "Monday", "Tuesday", "Wednesday",
                                       "Thursday", "Friday", "Saturday"};
    size_t name = 0;
    while (name < HS_ARRAY_LEN(days) && !hs_span_starts(s, hs_span_str(days[name])))
        name++;
    if (name == HS_ARRAY_LEN(days) ||
        !match(hs_span_from(s, strlen(days[name])), ", dd-Nnn-yy hh:mm:ss GMT", c))
        return false;
    hs_civil now;
    hs_civil_of(now_s, &now);
    c->year += now.year / 100 * 100;
    if (c->year > now.year + 50 && c->year >= 100)
        c->year -= 100;
    else if (c->year + 50 <= now.year)
        c->year += 100;
    return true;
}

bool hs_http_date_parse(hs_span text, int64_t now_s, int64_t *out)
{
    hs_civil fixed = {0}, rfc850 = {0}, asctime = {0};
    if (match(text, "Www, dd Nnn yyyy hh:mm:ss GMT", &fixed))
        return hs_civil_seconds(&fixed, out);
    if (match_rfc850(text, now_s, &rfc850))
        return hs_civil_seconds(&rfc850, out);
    return match(text, "Www Nnn _d hh:mm:ss yyyy", &asctime) && hs_civil_seconds(&asctime, out);
}
