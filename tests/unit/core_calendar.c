/* The calendar: each day of its ten thousand years against the C library's, random seconds, and
 * each kind of date that does not exist. */
#include <criterion/criterion.h>
#include <stdint.h>
#include <time.h>

#include "hs_calendar.h"

static void check_same(int64_t seconds)
{
    time_t at = (time_t)seconds;
    struct tm want;
    hs_civil got;
    int64_t back;
    cr_assert_not_null(gmtime_r(&at, &want));
    hs_civil_of(seconds, &got);
    bool same = (int)got.year == want.tm_year + 1900 && (int)got.month == want.tm_mon + 1 &&
                (int)got.day == want.tm_mday && (int)got.hour == want.tm_hour &&
                (int)got.minute == want.tm_min && (int)got.second == want.tm_sec &&
                (int)got.weekday == want.tm_wday;
    if (!same)
        cr_assert_fail("%lld is %04u-%02u-%02u %02u:%02u:%02u, a %u", (long long)seconds, got.year,
                       got.month, got.day, got.hour, got.minute, got.second, got.weekday);
    if (!hs_civil_seconds(&got, &back) || back != seconds)
        cr_assert_fail("%lld comes back as %lld", (long long)seconds, (long long)back);
}

Test(core_calendar, each_day)
{
    for (int64_t at = HS_CIVIL_SECONDS_MIN; at <= HS_CIVIL_SECONDS_MAX; at += 86400) {
        check_same(at);
        check_same(at + 86399);
    }
}

Test(core_calendar, any_second)
{
    uint64_t seed = 1;
    uint64_t range = (uint64_t)(HS_CIVIL_SECONDS_MAX - HS_CIVIL_SECONDS_MIN + 1);
    for (int i = 0; i < 200000; i++) {
        seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        check_same(HS_CIVIL_SECONDS_MIN + (int64_t)((seed >> 8) % range));
    }
}

Test(core_calendar, beyond_its_years)
{
    hs_civil first, last, got;
    hs_civil_of(HS_CIVIL_SECONDS_MIN, &first);
    hs_civil_of(HS_CIVIL_SECONDS_MAX, &last);
    hs_civil_of(INT64_MIN, &got);
    cr_assert_eq(memcmp(&got, &first, sizeof got), 0);
    hs_civil_of(HS_CIVIL_SECONDS_MAX + 1, &got);
    cr_assert_eq(memcmp(&got, &last, sizeof got), 0);
    hs_civil_of(INT64_MAX, &got);
    cr_assert_eq(memcmp(&got, &last, sizeof got), 0);
    cr_assert_eq(last.year, 9999);
}

/* Every combination of small numbers, and of large ones: what comes back is what went in, or there
 * is no such date, as timegm sees it, which moves it to another. */
Test(core_calendar, dates_that_are_none)
{
    static const uint32_t years[] = {0,    1,    4,    100,  400,   1900,      1970,
                                     2000, 2023, 2024, 9999, 10000, UINT32_MAX};
    for (size_t y = 0; y < HS_ARRAY_LEN(years); y++)
        for (uint32_t month = 0; month < 15; month++)
            for (uint32_t day = 0; day < 35; day++) {
                hs_civil c = {.year = years[y], .month = month, .day = day}, back;
                struct tm tm = {
                    .tm_year = (int)years[y] - 1900, .tm_mon = (int)month - 1, .tm_mday = (int)day};
                int64_t got = 77;
                bool there = years[y] <= 9999;
                time_t want = there ? timegm(&tm) : 0;
                there = there && tm.tm_mon + 1 == (int)month && tm.tm_mday == (int)day;
                cr_assert_eq(hs_civil_seconds(&c, &got), there, "%u-%u-%u", c.year, month, day);
                cr_assert_eq(got, there ? (int64_t)want : 77);
                if (there) {
                    hs_civil_of(got, &back);
                    cr_assert(back.year == c.year && back.month == month && back.day == day);
                }
            }
}

Test(core_calendar, times_that_are_none)
{
    static const hs_civil bad[] = {
        {.hour = 24},         {.hour = 99},           {.minute = 60},         {.second = 61},
        {.hour = UINT32_MAX}, {.minute = UINT32_MAX}, {.second = UINT32_MAX},
    };
    int64_t got;
    hs_civil c = {.year = 2016, .month = 12, .day = 31, .hour = 23, .minute = 59, .second = 60};
    cr_assert(hs_civil_seconds(&c, &got));
    cr_assert_eq(got, 1483228800); /* a leap second: the first of the next year */
    for (size_t i = 0; i < HS_ARRAY_LEN(bad); i++) {
        c = bad[i];
        c.year = 2024;
        c.month = c.day = 1;
        cr_assert_not(hs_civil_seconds(&c, &got), "%zu", i);
    }
}
