/* IMF-fixdate (RFC 9110 section 5.6.7): "Sun, 06 Nov 1994 08:49:37 GMT".
 *
 * Owns: the conversion from seconds to the proleptic Gregorian calendar. Must not know: clocks.
 * Tested by: tests/unit/http_words.c, against gmtime_r and strftime. */
#include "hs_assert.h"
#include "hs_http.h"

#define DAY_S 86400u

static void two_digits(char *out, uint32_t value)
{
    HS_ASSERT(value < 100);
    out[0] = (char)('0' + value / 10);
    out[1] = (char)('0' + value % 10);
}

/* Days since 1970 to a date. Years are counted from March, so that the leap day is the last of its
 * year; an era is 400 years, after which the calendar repeats. */
static void civil(uint64_t days, uint32_t *year, uint32_t *month, uint32_t *day)
{
    uint64_t z = days + 719468; /* since 0000-03-01 */
    uint32_t in_era = (uint32_t)(z % 146097);
    uint32_t year_of_era = (in_era - in_era / 1460 + in_era / 36524 - in_era / 146096) / 365;
    uint32_t in_year = in_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    uint32_t from_march = (5 * in_year + 2) / 153;
    *day = in_year - (153 * from_march + 2) / 5 + 1;
    *month = from_march < 10 ? from_march + 2 : from_march - 10; /* 0: January */
    *year = year_of_era + (uint32_t)(z / 146097) * 400 + (*month <= 1 ? 1 : 0);
    HS_ASSERT(*day >= 1 && *day <= 31);
    HS_ASSERT(*month <= 11);
}

void hs_http_date(char *out, uint64_t wall_s)
{
    static const char weekdays[] = "ThuFriSatSunMonTueWed"; /* the epoch was a Thursday */
    static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    uint64_t days = wall_s / DAY_S;
    uint32_t second = (uint32_t)(wall_s % DAY_S);
    uint32_t year;
    uint32_t month;
    uint32_t day;

    civil(days, &year, &month, &day);
    HS_ASSERT(year <= 9999); /* the format ends there */
    memcpy(out, weekdays + 3 * (days % 7), 3);
    memcpy(out + 3, ", ", 2);
    two_digits(out + 5, day);
    out[7] = ' ';
    memcpy(out + 8, months + 3 * month, 3);
    out[11] = ' ';
    two_digits(out + 12, year / 100);
    two_digits(out + 14, year % 100);
    out[16] = ' ';
    two_digits(out + 17, second / 3600);
    out[19] = ':';
    two_digits(out + 20, second / 60 % 60);
    out[22] = ':';
    two_digits(out + 23, second % 60);
    memcpy(out + 25, " GMT", 4);
}
