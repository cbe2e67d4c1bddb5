/* The log's line about a stall. See stall_tell.h. */
#include "stall_tell.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "hs_assert.h"
#include "symbol.h"

#define QUIET_NS HS_SEC_NS

void stall_tell_init(stall_tell *t, hs_log *log, uint32_t limit_ms)
{
    *t = (stall_tell){.log = log, .limit_ms = limit_ms};
}

static bool same_label(const char *a, const char *b)
{
    return a == b || (a && b && strcmp(a, b) == 0);
}

/* The label's entry. Past STALL_LABELS_MAX the last one is for whoever comes: its lines are fewer
 * then, and its counts are those of several labels; no stall goes untold. */
static stall_quiet *quiet_of(stall_tell *t, const char *label, uint64_t now_ns)
{
    stall_quiet *room = NULL;
    for (size_t i = 0; i < STALL_LABELS_MAX; i++) {
        stall_quiet *q = &t->quiet[i];
        if (q->used && same_label(q->label, label))
            return q;
        bool idle = !q->used || (q->more == 0 && now_ns >= q->until_ns);
        if (!room && idle)
            room = q;
    }
    if (!room)
        return &t->quiet[STALL_LABELS_MAX - 1];
    *room = (stall_quiet){.label = label, .used = true};
    return room;
}

/* "main+0x12 < run+0x3": as many frames as fit. */
static void put_stack(char *out, size_t bytes, const stall_report *r)
{
    size_t len = 0;
    out[0] = '\0';
    for (uint32_t i = 0; i < r->frames_len; i++) {
        char name[SYMBOL_BYTES];
        symbol_name(r->frames[i], i > 0, name, sizeof name);
        int n = snprintf(out + len, bytes - len, "%s%s", i ? " < " : "", name);
        if (n < 0 || (size_t)n >= bytes - len) {
            out[len] = '\0';
            return;
        }
        len += (size_t)n;
    }
}

static const char *label_text(const char *label)
{
    return label ? label : "(no route)";
}

void stall_tell_one(stall_tell *t, uint64_t now_ns, const stall_report *r)
{
    HS_ASSERT(r->frames_len <= STALL_FRAMES_MAX);
    HS_ASSERT(r->waited_ns <= r->held_ns);
    if (!t->log)
        return;
    stall_quiet *q = quiet_of(t, r->label, now_ns);
    if (now_ns < q->until_ns) {
        q->more++;
        q->more_ns += r->held_ns;
        return;
    }
    char text[HS_LOG_LINE_BYTES], waited[64] = "", more[96] = "";
    put_stack(text, sizeof text, r);
    if (r->waited_ns >= t->limit_ms * HS_MSEC_NS)
        snprintf(waited, sizeof waited, ", %" PRIu64 " ms of it without a processor",
                 r->waited_ns / HS_MSEC_NS);
    if (q->more > 0)
        snprintf(more, sizeof more, " (and %" PRIu64 " more since the last line, %" PRIu64 " ms)",
                 q->more, q->more_ns / HS_MSEC_NS);
    t->log->shard = r->shard;
    hs_log_write(t->log, HS_LOG_WARN,
                 "stall: %.160s %s its shard for %" PRIu64 " ms%s (limit %u ms)%s; stack: %s",
                 label_text(r->label), r->goes_on ? "still holds" : "held", r->held_ns / HS_MSEC_NS,
                 waited, t->limit_ms, more, r->frames_len ? text : "not known");
    q->until_ns = now_ns + QUIET_NS;
    q->more = q->more_ns = 0;
}

uint64_t stall_tell_rest(stall_tell *t, uint64_t now_ns, bool all)
{
    uint64_t again_ns = UINT64_MAX;
    for (size_t i = 0; i < STALL_LABELS_MAX; i++) {
        stall_quiet *q = &t->quiet[i];
        if (q->more == 0)
            continue;
        if (!all && now_ns < q->until_ns) {
            again_ns = HS_MIN(again_ns, q->until_ns);
            continue;
        }
        t->log->shard = UINT32_MAX;
        hs_log_write(t->log, HS_LOG_WARN,
                     "stall: %.160s held its shard %" PRIu64 " more times, %" PRIu64 " ms together",
                     label_text(q->label), q->more, q->more_ns / HS_MSEC_NS);
        q->until_ns = now_ns + QUIET_NS;
        q->more = q->more_ns = 0;
    }
    return again_ns;
}
