/* Methods, status codes, field names, byte classes and dates. */
#include <criterion/criterion.h>
#include <ctype.h>
#include <stdio.h>
#include <time.h>

#include "class.h"
#include "field.h"

Test(http_words, methods)
{
    for (hs_method m = HS_METHOD_OTHER + 1; m < HS_METHOD_COUNT; m++) {
        hs_span name = hs_method_name(m);
        cr_assert_gt(name.len, 0);
        cr_assert_eq(hs_method_parse(name), m);
        cr_assert_eq(hs_method_parse(hs_span_of(name.ptr, name.len - 1)), HS_METHOD_OTHER);
    }
    static const char *const others[] = {"",      "G",      "GE",   "get",  "GETS",  "GEX",
                                         "PXST",  "PRI",    "BREW", "Post", "PATCX", "DELETES",
                                         "TRACK", "OPTION", "POUT", "PUTS", "HEAP",  "CONNEC"};
    for (size_t i = 0; i < HS_ARRAY_LEN(others); i++)
        cr_assert_eq(hs_method_parse(hs_span_str(others[i])), HS_METHOD_OTHER, "%s", others[i]);
    cr_assert_eq(hs_method_name(HS_METHOD_OTHER).len, 0);
    cr_assert(hs_span_eq(hs_method_name(HS_METHOD_PATCH), HS_SPAN("PATCH")));
}

Test(http_words, reasons)
{
    static const struct {
        uint32_t status;
        const char *reason;
    } cases[] = {{100, "Continue"},
                 {101, "Switching Protocols"},
                 {103, "Early Hints"},
                 {199, "Continue"},
                 {200, "OK"},
                 {204, "No Content"},
                 {206, "Partial Content"},
                 {208, "Already Reported"},
                 {226, "IM Used"},
                 {301, "Moved Permanently"},
                 {304, "Not Modified"},
                 {305, "Use Proxy"},
                 {306, "Multiple Choices"},
                 {307, "Temporary Redirect"},
                 {308, "Permanent Redirect"},
                 {309, "Multiple Choices"},
                 {400, "Bad Request"},
                 {404, "Not Found"},
                 {405, "Method Not Allowed"},
                 {408, "Request Timeout"},
                 {411, "Length Required"},
                 {413, "Content Too Large"},
                 {414, "URI Too Long"},
                 {417, "Expectation Failed"},
                 {418, "Bad Request"},
                 {421, "Misdirected Request"},
                 {422, "Unprocessable Content"},
                 {426, "Upgrade Required"},
                 {428, "Precondition Required"},
                 {429, "Too Many Requests"},
                 {431, "Request Header Fields Too Large"},
                 {451, "Unavailable For Legal Reasons"},
                 {499, "Bad Request"},
                 {500, "Internal Server Error"},
                 {501, "Not Implemented"},
                 {503, "Service Unavailable"},
                 {505, "HTTP Version Not Supported"},
                 {507, "Insufficient Storage"},
                 {511, "Network Authentication Required"},
                 {599, "Internal Server Error"}};
    for (size_t i = 0; i < HS_ARRAY_LEN(cases); i++)
        cr_assert(hs_span_eq(hs_status_reason(cases[i].status), hs_span_str(cases[i].reason)),
                  "%u: %.*s", cases[i].status, (int)hs_status_reason(cases[i].status).len,
                  (const char *)hs_status_reason(cases[i].status).ptr);
    for (uint32_t status = 100; status < 600; status++)
        cr_assert_gt(hs_status_reason(status).len, 0);
}

Test(http_words, field_names)
{
    static const char *const names[HS_FIELD_COUNT] = {
        [HS_FIELD_HOST] = "Host",
        [HS_FIELD_CONNECTION] = "Connection",
        [HS_FIELD_CONTENT_LENGTH] = "Content-Length",
        [HS_FIELD_CONTENT_TYPE] = "Content-Type",
        [HS_FIELD_TRANSFER_ENCODING] = "Transfer-Encoding",
        [HS_FIELD_EXPECT] = "Expect",
        [HS_FIELD_UPGRADE] = "Upgrade",
        [HS_FIELD_TE] = "TE",
        [HS_FIELD_TRAILER] = "Trailer",
        [HS_FIELD_ACCEPT_ENCODING] = "Accept-Encoding",
        [HS_FIELD_COOKIE] = "Cookie",
        [HS_FIELD_AUTHORIZATION] = "Authorization",
        [HS_FIELD_USER_AGENT] = "User-Agent",
    };
    char text[32];
    for (uint32_t id = 1; id < HS_FIELD_COUNT; id++) {
        size_t len = strlen(names[id]);
        for (int way = 0; way < 3; way++) {
            for (size_t i = 0; i < len; i++)
                text[i] = (char)(way == 0   ? names[id][i]
                                 : way == 1 ? tolower(names[id][i])
                                            : toupper(names[id][i]));
            cr_assert_eq(hs_field_parse(hs_span_of(text, len)), id, "%s", names[id]);
        }
        /* One byte changed, to any other: another name, unless it is the letter's other case. */
        for (size_t at = 0; at < len; at++) {
            for (int byte = 0; byte < 256; byte++) {
                memcpy(text, names[id], len);
                text[at] = (char)byte;
                bool same = tolower(byte) == tolower(names[id][at]);
                cr_assert_eq(hs_field_parse(hs_span_of(text, len)), same ? id : HS_FIELD_OTHER,
                             "%s: %02x at %zu", names[id], byte, at);
            }
        }
        cr_assert_eq(hs_field_parse(hs_span_of(names[id], len - 1)), HS_FIELD_OTHER);
    }
    for (size_t i = 0; i < HS_ARRAY_LEN(field_words); i++)
        cr_assert(field_words[i].len == 0 ||
                  (field_words[i].len + (uint8_t)field_words[i].name[0]) % 32 == i);
    cr_assert_eq(hs_field_parse(hs_span_of(NULL, 0)), HS_FIELD_OTHER);
}

Test(http_words, classes)
{
    for (int byte = 0; byte < 256; byte++) {
        bool alnum = byte < 128 && isalnum(byte);
        bool nul = byte == 0;
        uint8_t want = 0;
        if (alnum || (!nul && strchr("!#$%&'*+-.^_`|~", byte)))
            want |= CLASS_TOKEN;
        if (byte > ' ' && byte != 127 && byte != '#' && byte != '?')
            want |= CLASS_TARGET;
        if (alnum || (!nul && strchr("-._~!$&'()*+,;=", byte)))
            want |= CLASS_HOST;
        if (byte < 128 && isxdigit(byte))
            want |= CLASS_HEX;
        if ((byte < 32 && byte != '\t') || byte == 127)
            want |= CLASS_CTL;
        cr_assert_eq(class_table[byte], want, "%02x", byte);
    }
}

Test(http_words, tokens_and_values)
{
    cr_assert(hs_http_is_token(HS_SPAN("a!#$%&'*+-.^_`|~Z9")));
    cr_assert_not(hs_http_is_token(HS_SPAN("")));
    cr_assert_not(hs_http_is_token(HS_SPAN("a b")));
    cr_assert_not(hs_http_is_token(HS_SPAN("a:")));
    cr_assert_not(hs_http_is_token(HS_SPAN("\x80")));
    cr_assert(hs_http_is_field_value(HS_SPAN("")));
    cr_assert(hs_http_is_field_value(HS_SPAN("a b\tc\x80\xff")));
    cr_assert_not(hs_http_is_field_value(HS_SPAN(" a")));
    cr_assert_not(hs_http_is_field_value(HS_SPAN("a ")));
    cr_assert_not(hs_http_is_field_value(HS_SPAN("\ta")));
    cr_assert_not(hs_http_is_field_value(HS_SPAN("a\t")));
    cr_assert_not(hs_http_is_field_value(HS_SPAN("a\r\nb: c")));
    cr_assert_not(hs_http_is_field_value(HS_SPAN("a\nb")));
    cr_assert_not(hs_http_is_field_value(HS_SPAN("a\0b")));
    cr_assert_not(hs_http_is_field_value(HS_SPAN("a\x7f")));
}

static void expect_date(time_t at)
{
    char want[64];
    char got[HS_HTTP_DATE_LEN + 1];
    struct tm tm;
    gmtime_r(&at, &tm);
    cr_assert_eq(strftime(want, sizeof(want), "%a, %d %b %Y %H:%M:%S GMT", &tm), HS_HTTP_DATE_LEN);
    got[HS_HTTP_DATE_LEN] = '#';
    hs_http_date(got, (uint64_t)at);
    cr_assert_eq(got[HS_HTTP_DATE_LEN], '#', "wrote too far");
    cr_assert(memcmp(got, want, HS_HTTP_DATE_LEN) == 0, "%.29s instead of %s", got, want);
}

static void expect_parsed(const char *text, int64_t now_s, int64_t want)
{
    int64_t got = 0;
    cr_assert(hs_http_date_parse(hs_span_str(text), now_s, &got), "%s", text);
    cr_assert_eq(got, want, "%s: %lld", text, (long long)got);
}

/* The three forms of RFC 9110 section 5.6.7. */
Test(http_words, dates_are_read)
{
    const int64_t now = 1785542400; /* 2026 */
    for (time_t day = 0; day < 200000; day += 7) {
        time_t at = day * 86400 + day * 7919 % 86400;
        char text[HS_HTTP_DATE_LEN + 1] = "", old[64];
        struct tm tm;
        hs_http_date(text, (uint64_t)at);
        expect_parsed(text, 0, at);
        gmtime_r(&at, &tm);
        cr_assert_gt(strftime(old, sizeof old, "%a %b %e %H:%M:%S %Y", &tm), 0);
        expect_parsed(old, 0, at);
        if (tm.tm_year + 1900 > 2026 - 50 && tm.tm_year + 1900 <= 2026 + 50) {
            static const char *const days[] = {"Sun",   "Mon", "Tues", "Wednes",
                                               "Thurs", "Fri", "Satur"};
            snprintf(old, sizeof old, "%sday, %.2s-%.3s-%.2s %.8s GMT", days[tm.tm_wday], text + 5,
                     text + 8, text + 14, text + 17);
            expect_parsed(old, now, at);
        }
    }
    expect_parsed("Sun, 06 Nov 1994 08:49:37 GMT", 0, 784111777);
    expect_parsed("Sunday, 06-Nov-94 08:49:37 GMT", 784111777, 784111777);
    expect_parsed("Sunday, 06-Nov-94 08:49:37 GMT", now, 784111777);
    expect_parsed("Sunday, 06-Nov-94 08:49:37 GMT", 0, 784111777);
    expect_parsed("Saturday, 22-Jun-11 00:00:00 GMT", 0, 1308700800);
    expect_parsed("Sun Nov  6 08:49:37 1994", 0, 784111777);
    expect_parsed("Sat, 22 Jun 2611 00:00:00 GMT", 0, INT64_C(20242828800));
    expect_parsed("Sat, 31 Dec 2016 23:59:60 GMT", 0, 1483228800);
    expect_parsed("Wed, 31 Dec 1969 23:59:59 GMT", 0, -1);
}

Test(http_words, dates_that_are_none)
{
    static const char *const bad[] = {
        "",
        "Sun, 06 Nov 1994 08:49:37",
        "Sun, 06 Nov 1994 08:49:37 UTC",
        "Sun, 06 Nov 1994 99:49:37 GMT",
        "Sun, 06 Nov 1994 24:00:00 GMT",
        "Sun, 06 Nov 1994 08:60:37 GMT",
        "Sun, 06 Nov 1994 08:49:61 GMT",
        "Sun, 00 Nov 1994 08:49:37 GMT",
        "Sun, 31 Nov 1994 08:49:37 GMT",
        "Wed, 29 Feb 2023 08:49:37 GMT",
        "Sun, 99 Nov 1994 08:49:37 GMT",
        "Sun, 06 nov 1994 08:49:37 GMT",
        "Sun, 06 Nix 1994 08:49:37 GMT",
        "Fun, 06 Nov 1994 08:49:37 GMT",
        "Sun, 6 Nov 1994 08:49:37 GMT",
        "Sun, +6 Nov 1994 08:49:37 GMT",
        "Sun, 06 Nov 1994 08.49.37 GMT",
        " Sun, 06 Nov 1994 08:49:37 GMT",
        "Sunday, 06-Nov-1994 08:49:37 GMT",
        "Sunday, 32-Nov-94 08:49:37 GMT",
        "Sun Nov 32 08:49:37 1994",
        "Sun Nov  0 08:49:37 1994",
        "Sun Nov    08:49:37 1994",
        "Sun Nov  6 08:49:37 GMT 1994",
    };
    for (size_t i = 0; i < HS_ARRAY_LEN(bad); i++) {
        int64_t got = 77;
        cr_assert_not(hs_http_date_parse(hs_span_str(bad[i]), 0, &got), "%s", bad[i]);
        cr_assert_eq(got, 77);
    }
}

Test(http_words, dates)
{
    char last[HS_HTTP_DATE_LEN];
    hs_http_date(last, UINT64_MAX); /* a clock that is off ends nothing */
    cr_assert_eq(memcmp(last, "Fri, 31 Dec 9999 23:59:59 GMT", sizeof last), 0);
    expect_date(0);
    expect_date(784111777);
    expect_date(951782400 + 86399); /* 29 February 2000 */
    expect_date(4107542400);        /* 1 March 2100, after no 29 February */
    expect_date(253402300799);      /* the last second of 9999 */
    for (time_t day = 0; day < 200000; day += 1)
        expect_date(day * 86400 + day * 7919 % 86400);
}
