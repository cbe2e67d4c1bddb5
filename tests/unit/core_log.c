/* Log lines: their form to the byte, what is cut, what is escaped, what is dropped. */
#include "core_help.h"

#include <errno.h>
#include <locale.h>
#include <signal.h>
#include <string.h>

#include "hs_log.h"
#include "hs_span.h"

static uint64_t clock_of_test(void *ctx)
{
    return *(uint64_t *)ctx;
}

static uint64_t now_ns = UINT64_C(1795222923456789012); /* 2026-11-21T01:02:03.456789012Z */

static hs_log *log_of(uint32_t lines, uint32_t shard)
{
    static hs_log log;
    cr_assert(hs_ok(hs_log_init(&log, hs_mem_system(), lines, shard, clock_of_test, &now_ns)));
    return &log;
}

/* Whether the next line is `expected` and a newline. */
static void says(hs_log *log, const char *expected)
{
    hs_log_line line;
    cr_assert(hs_log_read(log, &line));
    cr_assert_leq(line.len, HS_LOG_LINE_BYTES);
    cr_assert_eq(line.text[line.len - 1], '\n');
    hs_span text = hs_span_of(line.text, line.len - 1u);
    cr_assert(hs_span_eq(text, hs_span_str(expected)), "%.*s\nnot %s", (int)text.len, line.text,
              expected);
}

Test(core_log, a_line)
{
    hs_log_line line;
    hs_log *log = log_of(4, 0);
    cr_assert_not(hs_log_read(log, &line));
    hs_log_write(log, HS_LOG_INFO, "port %d in use by %s", 80, "them");
    says(log, "2026-11-21T01:02:03.456Z info shard=0 port 80 in use by them");
    hs_log_write(log, HS_LOG_ERROR, "%s", "");
    says(log, "2026-11-21T01:02:03.456Z error shard=0 ");
    log->shard = 255;
    hs_log_write(log, HS_LOG_WARN, "x");
    says(log, "2026-11-21T01:02:03.456Z warn shard=255 x");
    log->shard = UINT32_MAX;
    hs_log_write(log, HS_LOG_WARN, "x");
    says(log, "2026-11-21T01:02:03.456Z warn shard=main x");
    cr_assert_not(hs_log_read(log, &line));
    hs_log_fini(log);
}

Test(core_log, every_day_of_five_centuries)
{
    hs_log *log = log_of(4, 0);
    for (uint64_t day = 0; day < 213503; day++) { /* as many as 64 bits of nanoseconds hold */
        hs_log_line line;
        char expected[64];
        now_ns = day * 86400 * HS_SEC_NS + 1;
        time_t seconds = (time_t)(now_ns / HS_SEC_NS);
        struct tm tm;
        cr_assert_not_null(gmtime_r(&seconds, &tm));
        strftime(expected, sizeof(expected), "%Y-%m-%dT%H:%M:%S.000Z", &tm);
        hs_log_write(log, HS_LOG_INFO, "x");
        cr_assert(hs_log_read(log, &line));
        if (memcmp(line.text, expected, strlen(expected)) != 0)
            cr_assert_fail("%.24s is not %s", line.text, expected);
    }
    hs_log_fini(log);
}

Test(core_log, ends_of_days)
{
    hs_log *log = log_of(4, 0);
    now_ns = 86400 * HS_SEC_NS - 1;
    hs_log_write(log, HS_LOG_INFO, "x");
    says(log, "1970-01-01T23:59:59.999Z info shard=0 x");
    now_ns = UINT64_MAX;
    hs_log_write(log, HS_LOG_INFO, "x");
    says(log, "2554-07-21T23:34:33.709Z info shard=0 x");
    hs_log_fini(log);
}

Test(core_log, levels)
{
    hs_log_line line;
    hs_log *log = log_of(8, 0);
    hs_log_write(log, HS_LOG_DEBUG, "x"); /* info is where it starts */
    cr_assert_not(hs_log_read(log, &line));
    log->level = HS_LOG_ERROR;
    hs_log_write(log, HS_LOG_WARN, "x");
    cr_assert_not(hs_log_read(log, &line));
    hs_log_write(log, HS_LOG_ERROR, "x");
    cr_assert(hs_log_read(log, &line));
    log->level = HS_LOG_DEBUG;
    hs_log_write(log, HS_LOG_DEBUG, "x");
    says(log, "2026-11-21T01:02:03.456Z debug shard=0 x");
    hs_log_write(NULL, HS_LOG_ERROR, "x");
    hs_log_fini(log);
}

Test(core_log, level_names)
{
    static const char *const names[] = {"error", "warn", "info", "debug"};
    hs_log_level level = HS_LOG_DEBUG;
    for (int i = 0; i < 4; i++) {
        cr_assert(hs_log_level_parse(names[i], &level));
        cr_assert_eq(level, (hs_log_level)i);
    }
    static const char *const others[] = {"", "INFO", "infos", "inf", "trace"};
    for (size_t i = 0; i < HS_ARRAY_LEN(others); i++)
        cr_assert_not(hs_log_level_parse(others[i], &level));
    cr_assert_eq(level, HS_LOG_DEBUG);
}

Test(core_log, every_byte)
{
    hs_log *log = log_of(4, 0);
    for (int byte = 1; byte < 256; byte++) {
        char expected[100];
        int n = snprintf(expected, sizeof(expected), "2026-11-21T01:02:03.456Z info shard=0 <");
        bool plain = byte >= ' ' && byte <= '~';
        snprintf(expected + n, sizeof(expected) - (size_t)n, plain ? "%c>" : "\\x%02x>", byte);
        hs_log_write(log, HS_LOG_INFO, "<%c>", byte);
        says(log, expected);
    }
    hs_log_fini(log);
}

/* For every length around the limit, and every mix of plain bytes and escapes: the line fits, is
 * cut only where it must be, says so, and never in the middle of an escape. */
static void cut_right(hs_log *log, size_t len, size_t escapes)
{
    static const char start[] = "2026-11-21T01:02:03.456Z info shard=0 ";
    char text[600], whole[599 * 4 + 1];
    size_t at = 0;
    for (size_t i = 0; i < len; i++) {
        bool escape = i >= len - escapes;
        text[i] = escape ? '\n' : 'a';
        at += (size_t)snprintf(whole + at, sizeof(whole) - at, "%s", escape ? "\\x0a" : "a");
    }
    hs_log_line line;
    hs_log_write(log, HS_LOG_INFO, "%.*s", (int)len, text);
    cr_assert(hs_log_read(log, &line));
    cr_assert_leq(line.len, HS_LOG_LINE_BYTES);
    cr_assert_eq(line.text[line.len - 1], '\n');
    hs_span body = hs_span_from(hs_span_of(line.text, line.len - 1u), strlen(start));
    if (strlen(start) + at + 1 <= HS_LOG_LINE_BYTES) {
        cr_assert(hs_span_eq(body, hs_span_of(whole, at)));
        return;
    }
    cr_assert_geq(line.len, HS_LOG_LINE_BYTES - 3); /* less than an escape is left unused */
    cr_assert(hs_span_eq(hs_span_from(body, body.len - 3), HS_SPAN("...")));
    body.len -= 3;
    cr_assert(hs_span_starts(hs_span_of(whole, at), body));
    size_t plain = len - escapes;
    cr_assert(body.len <= plain || (body.len - plain) % 4 == 0);
}

Test(core_log, cut)
{
    hs_log *log = log_of(4, 0);
    for (size_t escapes = 0; escapes <= 130; escapes++) {
        /* Around the length where the line is just full: 473 bytes after its start. */
        size_t full = escapes * 4 < 473 ? 473 - escapes * 4 : 0;
        for (size_t plain = full > 8 ? full - 8 : 0; plain < full + 8; plain++)
            cut_right(log, plain + escapes, escapes);
    }
    cut_right(log, 0, 0);
    cut_right(log, 599, 0);
    cut_right(log, 599, 599);
    hs_log_fini(log);
}

Test(core_log, a_full_ring_drops_and_counts)
{
    hs_log_line line;
    hs_log *log = log_of(2, 0);
    for (int i = 0; i < 5; i++)
        hs_log_write(log, HS_LOG_INFO, "%d", i);
    cr_assert_eq(log->dropped, 3);
    says(log, "2026-11-21T01:02:03.456Z info shard=0 0");
    hs_log_write(log, HS_LOG_INFO, "5");
    hs_log_write(log, HS_LOG_INFO, "6");
    cr_assert_eq(log->dropped, 1);
    says(log, "2026-11-21T01:02:03.456Z info shard=0 1");
    says(log, "2026-11-21T01:02:03.456Z info shard=0 (3 lines missing) 5");
    hs_log_write(log, HS_LOG_INFO, "7");
    says(log, "2026-11-21T01:02:03.456Z info shard=0 (1 lines missing) 7");
    cr_assert_not(hs_log_read(log, &line));
    cr_assert_eq(log->dropped, 0);
    cr_assert_eq(log->dropped_total, 4);
    hs_log_fini(log);
}

Test(core_log, errno_stays)
{
    hs_log *log = log_of(2, 0);
    errno = ECONNRESET;
    hs_log_write(log, HS_LOG_INFO, "%m");
    cr_assert_eq(errno, ECONNRESET);
    says(log, "2026-11-21T01:02:03.456Z info shard=0 Connection reset by peer");
    hs_log_fini(log);
}

Test(core_log, a_character_that_cannot_be_printed)
{
    hs_log *log = log_of(2, 0);
    cr_assert_not_null(setlocale(LC_ALL, "C"));
    hs_log_write(log, HS_LOG_INFO, "%lc", (wint_t)0x20ac);
    says(log, "2026-11-21T01:02:03.456Z info shard=0 (a text that could not be formatted)");
    hs_log_fini(log);
}

Test(core_log, memory_fails)
{
    fault_mem f;
    fault_init(&f, 1, true);
    hs_log log;
    cr_assert_eq(hs_log_init(&log, &f.mem, 16, 0, clock_of_test, &now_ns).code, -ENOMEM);
    hs_log_fini(&log);
}

Test(core_log, no_such_level, .signal = SIGABRT)
{
    hs_log_write(NULL, (hs_log_level)4, "x");
}
