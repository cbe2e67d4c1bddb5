/* Fuzzes the readers of dates: eight bytes of the time that it is, then a text.
 *
 * Checked: what HTTP's reader takes is a second of the calendar's years, and comes back the same
 * when it is written; the reader of cookies' dates, which takes nearly anything, says the same of a
 * date with a year of four digits, and stays within the calendar, too. */
#include <string.h>

#include "cookie.h"
#include "hs_assert.h"
#include "hs_calendar.h"
#include "hs_http.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_range(int64_t seconds)
{
    hs_civil c;
    int64_t back;
    HS_ASSERT(seconds >= HS_CIVIL_SECONDS_MIN && seconds <= HS_CIVIL_SECONDS_MAX + 1);
    hs_civil_of(seconds, &c);
    HS_ASSERT(hs_civil_seconds(&c, &back));
    HS_ASSERT(back == seconds || seconds > HS_CIVIL_SECONDS_MAX);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    int64_t now, seconds, again, cookie;
    if (size < sizeof now)
        return 0;
    memcpy(&now, data, sizeof now);
    hs_span text = hs_span_of(data + sizeof now, size - sizeof now);
    bool is_cookie = cookie_date(text, &cookie);
    if (is_cookie)
        check_range(cookie);
    if (!hs_http_date_parse(text, now, &seconds))
        return 0;
    check_range(seconds);
    hs_civil c;
    hs_civil_of(seconds, &c);
    bool four_digits = text.len == HS_HTTP_DATE_LEN || text.len == 24;
    if (four_digits && is_cookie &&
        c.year >= 100) /* below: cookies' is of this or the last century */
        HS_ASSERT(cookie == seconds);
    if (seconds >= 0 && seconds <= HS_CIVIL_SECONDS_MAX) {
        char out[HS_HTTP_DATE_LEN];
        hs_http_date(out, (uint64_t)seconds);
        HS_ASSERT(hs_http_date_parse(hs_span_of(out, sizeof out), now, &again));
        HS_ASSERT(again == seconds);
        HS_ASSERT(cookie_date(hs_span_of(out, sizeof out), &cookie) && cookie == seconds);
    }
    return 0;
}
