/* The calendar: see hs_calendar.h.
 *
 * Years are counted from March here, so that the leap day is a year's last, and in eras of 400
 * years, which all have 146,097 days: everything is a matter of division then. */
#include "hs_calendar.h"

#include "hs_assert.h"

#define DAY_S INT64_C(86400)
#define ERA_DAYS 146097u
#define DAYS_TO_1970 719468 /* from 0000-03-01 */
#define YEAR_MAX 9999u

static uint32_t days_in(uint32_t year, uint32_t month)
{
    static const uint8_t days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    HS_ASSERT(month >= 1 && month <= 12);
    return days[month - 1] + (month == 2 && leap ? 1 : 0);
}

void hs_civil_of(int64_t seconds, hs_civil *out)
{
    /* Counted from 0000-01-01, nothing is negative; March of the year before is an era earlier. */
    int64_t at = HS_MIN(HS_MAX(seconds, HS_CIVIL_SECONDS_MIN), HS_CIVIL_SECONDS_MAX);
    uint64_t since = (uint64_t)(at + (DAYS_TO_1970 + (int64_t)ERA_DAYS) * DAY_S);
    uint64_t days = since / (uint64_t)DAY_S;
    uint32_t second = (uint32_t)(since % (uint64_t)DAY_S);
    uint32_t era = (uint32_t)(days / ERA_DAYS), in_era = (uint32_t)(days % ERA_DAYS);
    uint32_t year = (in_era - in_era / 1460 + in_era / 36524 - in_era / 146096) / 365;
    uint32_t in_year = in_era - (365 * year + year / 4 - year / 100);
    uint32_t from_march = (5 * in_year + 2) / 153; /* months: 31 30 31 30 31 31 30 ... */
    out->day = in_year - (153 * from_march + 2) / 5 + 1;
    out->month = from_march < 10 ? from_march + 3 : from_march - 9;
    out->year = era * 400 + year + (out->month <= 2 ? 1 : 0) - 400;
    out->hour = second / 3600;
    out->minute = second / 60 % 60;
    out->second = second % 60;
    out->weekday = (uint32_t)((days + 3) % 7); /* the first of March of -400 was a Wednesday */
    HS_ASSERT(out->year <= YEAR_MAX);
    HS_ASSERT(out->day >= 1 && out->day <= days_in(out->year, out->month));
}

bool hs_civil_seconds(const hs_civil *c, int64_t *out)
{
    if (c->year > YEAR_MAX || c->month < 1 || c->month > 12 || c->day < 1 ||
        c->day > days_in(c->year, c->month) || c->hour > 23 || c->minute > 59 || c->second > 60)
        return false;
    int64_t year = (int64_t)c->year - (c->month <= 2 ? 1 : 0) + 400; /* as above */
    int64_t from_march = (c->month + 9) % 12;
    int64_t days = 365 * year + year / 4 - year / 100 + year / 400 + (153 * from_march + 2) / 5 +
                   c->day - 1 - ERA_DAYS - DAYS_TO_1970;
    *out = days * DAY_S + c->hour * INT64_C(3600) + c->minute * INT64_C(60) + c->second;
    return true;
}
