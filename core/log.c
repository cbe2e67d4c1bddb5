/* Logging: the making of a line.
 *
 * Owns: the form of a line, and the ring that it waits in. Must not know: files, threads, clocks.
 * Time zones and locales play no part: dates are hs_calendar's, in UTC.
 * Tested by: tests/unit/core_log.c. */
#include "hs_log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "hs_assert.h"
#include "hs_calendar.h"
#include "hs_span.h"

HS_STATIC_ASSERT(HS_LOG_LINE_BYTES <= UINT16_MAX, "a line's length fits its field");
HS_STATIC_ASSERT(HS_LOG_LINE_BYTES >= 256, "the longest start of a line fits, with room for text");

static const char *const level_names[] = {"error", "warn", "info", "debug"};

hs_err hs_log_init(hs_log *log, const hs_mem *mem, uint32_t lines, uint32_t shard,
                   uint64_t (*wall_ns)(void *ctx), void *ctx)
{
    HS_ASSERT(log && mem);
    HS_ASSERT(wall_ns);
    memset(log, 0, sizeof(*log));
    log->level = HS_LOG_INFO;
    log->shard = shard;
    log->wall_ns = wall_ns;
    log->ctx = ctx;
    return hs_spsc_init(&log->lines, mem, lines, sizeof(hs_log_line));
}

void hs_log_fini(hs_log *log)
{
    HS_ASSERT(log);
    hs_spsc_fini(&log->lines);
}

/* `value` in exactly `width` digits, with zeros in front. */
static void put_digits(hs_log_line *line, uint64_t value, uint32_t width)
{
    HS_ASSERT(line->len + width <= HS_LOG_LINE_BYTES);
    for (uint32_t i = width; i > 0; i--) {
        line->text[line->len + i - 1] = (char)('0' + value % 10);
        value /= 10;
    }
    HS_ASSERT(value == 0);
    line->len = (uint16_t)(line->len + width);
}

static void put_text(hs_log_line *line, const char *text)
{
    size_t len = strlen(text);
    HS_ASSERT(line->len + len <= HS_LOG_LINE_BYTES);
    memcpy(line->text + line->len, text, len);
    line->len = (uint16_t)(line->len + len);
}

static void put_u64(hs_log_line *line, uint64_t value)
{
    HS_ASSERT(line->len + 20u <= HS_LOG_LINE_BYTES);
    line->len = (uint16_t)(line->len + hs_fmt_u64(line->text + line->len, value));
}

/* "-12", with the sign that is given. */
static void put_part(hs_log_line *line, const char *sign, uint32_t value)
{
    put_text(line, sign);
    put_digits(line, value, 2);
}

static void put_time(hs_log_line *line, uint64_t wall_ns)
{
    uint64_t msec = wall_ns / HS_MSEC_NS;
    hs_civil c;
    hs_civil_of((int64_t)(msec / 1000), &c);
    put_digits(line, c.year, 4);
    put_part(line, "-", c.month);
    put_part(line, "-", c.day);
    put_part(line, "T", c.hour);
    put_part(line, ":", c.minute);
    put_part(line, ":", c.second);
    put_text(line, ".");
    put_digits(line, msec % 1000, 3);
    put_text(line, "Z");
}

/* Add `text`, escaped, and the end of the line. Where it does not fit, or was `cut` before, the
 * line ends in "..."; an escape is never cut in two. */
static void put_escaped(hs_log_line *line, const char *text, bool cut)
{
    static const char hex[] = "0123456789abcdef";
    size_t room = HS_LOG_LINE_BYTES - 1; /* for the newline */
    size_t at = line->len, whole = at;   /* `whole`: up to there "..." still fits */
    for (; *text; text++) {
        uint8_t byte = (uint8_t)*text;
        bool plain = byte >= 0x20 && byte < 0x7f;
        size_t need = plain ? 1 : 4;
        if (at + need > room) {
            cut = true;
            break;
        }
        if (plain) {
            line->text[at] = (char)byte;
        } else {
            char escape[] = {'\\', 'x', hex[byte >> 4], hex[byte & 15]};
            memcpy(line->text + at, escape, sizeof(escape));
        }
        at += need;
        if (at + 3 <= room)
            whole = at;
    }
    if (cut) {
        HS_ASSERT(whole + 3 <= room);
        memcpy(line->text + whole, "...", 3);
        at = whole + 3;
    }
    HS_ASSERT(at <= room);
    line->text[at] = '\n';
    line->len = (uint16_t)(at + 1);
}

/* `time level shard=N `, and how many lines are missing before this one. */
static void put_start(hs_log_line *line, const hs_log *log, hs_log_level level)
{
    put_time(line, log->wall_ns(log->ctx));
    put_text(line, " ");
    put_text(line, level_names[level]);
    put_text(line, " shard=");
    if (log->shard == UINT32_MAX)
        put_text(line, "main");
    else
        put_u64(line, log->shard);
    put_text(line, " ");
    if (log->dropped > 0) {
        put_text(line, "(");
        put_u64(line, log->dropped);
        put_text(line, " lines missing) ");
    }
}

void hs_log_write(hs_log *log, hs_log_level level, const char *format, ...)
{
    HS_ASSERT(format);
    HS_ASSERT((size_t)level < HS_ARRAY_LEN(level_names));
    if (!log || level > log->level)
        return;
    int errno_before = errno; /* a line about an error must not change it */
    char text[HS_LOG_LINE_BYTES];
    va_list args;
    va_start(args, format);
    int len = vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    const char *body = len < 0 ? "(a text that could not be formatted)" : text;
    hs_log_line line;
    line.len = 0;
    put_start(&line, log, level);
    put_escaped(&line, body, len >= (int)sizeof(text));
    if (hs_spsc_push(&log->lines, &line)) {
        log->dropped = 0;
        if (log->ready)
            log->ready(log->ctx);
    } else {
        log->dropped++;
        log->dropped_total++;
    }
    errno = errno_before;
}

bool hs_log_read(hs_log *log, hs_log_line *line)
{
    HS_ASSERT(log && line);
    return hs_spsc_pop(&log->lines, line, 1) == 1;
}

bool hs_log_level_parse(const char *name, hs_log_level *out)
{
    HS_ASSERT(name && out);
    for (size_t i = 0; i < HS_ARRAY_LEN(level_names); i++) {
        if (strcmp(name, level_names[i]) == 0) {
            *out = (hs_log_level)i;
            return true;
        }
    }
    return false;
}
