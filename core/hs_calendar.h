/* Civil dates: seconds since 1970 as year, month, day and time in UTC, and back.
 *
 * Owns: the proleptic Gregorian calendar from year 0 to 9999, the only one in the project: log
 * lines, HTTP's dates, cookies' and certificates'. Must not know: clocks, text, time zones,
 * locales. Tested by: tests/unit/core_calendar.c against timegm and gmtime_r, each day. */
#pragma once

#include "hs_base.h"

HS_BEGIN_DECLS

typedef struct hs_civil {
    uint32_t year;  /* 0 to 9999 */
    uint32_t month; /* 1 to 12 */
    uint32_t day;   /* 1 to the month's last */
    uint32_t hour;  /* 0 to 23 */
    uint32_t minute;
    uint32_t second;  /* 0 to 59; 60 is a leap second, the same as the next minute's first */
    uint32_t weekday; /* 0: Sunday. Set by hs_civil_of, and not looked at by hs_civil_seconds */
} hs_civil;

#define HS_CIVIL_SECONDS_MIN INT64_C(-62167219200) /* 0000-01-01 00:00:00 */
#define HS_CIVIL_SECONDS_MAX INT64_C(253402300799) /* 9999-12-31 23:59:59 */

/* Seconds since 1970 as a date. What lies outside of HS_CIVIL_SECONDS_MIN to _MAX is taken as the
 * nearer of the two. Shard: any. */
HS_API void hs_civil_of(int64_t seconds, hs_civil *out);

/* A date as seconds since 1970. False: there is no such date or time, such as 30 February, a day 0
 * or an hour 24; *out is left alone. Shard: any. */
HS_API HS_NODISCARD bool hs_civil_seconds(const hs_civil *c, int64_t *out);

HS_END_DECLS
