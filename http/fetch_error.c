/* What is told of a fetch that failed.
 *
 * Owns: the words. Must not know: what is done about it. Tested by: tests/unit/http_fetch_bad.c. */
#include <stdio.h>

#include "client.h"

static const char *const names[] = {"start", "queue", "resolve", "connect", "tls", "send",
                                    "wait",  "head",  "body",    "pause",   "done"};
HS_STATIC_ASSERT(HS_ARRAY_LEN(names) == HS_FETCH_DONE + 1, "each phase has a name");

/* What took too long. */
static const char *const waits[] = {
    "the start",           "a connection of the pool", "the name",   "a connection",
    "the TLS handshake",   "the request to be taken",  "a response", "the response's head",
    "the response's body", "the next attempt",         "nothing"};

const char *hs_fetch_phase_name(hs_fetch_phase phase)
{
    HS_ASSERT(phase <= HS_FETCH_DONE);
    return names[phase];
}

void fetch_error_set(fetch *f, hs_err err, const char *text)
{
    hs_fetch_error *e = &f->error;
    HS_ASSERT(!hs_ok(err));
    e->shard = f->client->shard;
    e->err = err;
    e->phase = (hs_fetch_phase)f->phase;
    int host_len = (int)HS_MIN(f->url.host.len, (size_t)100);
    const char *host = host_len > 0 ? (const char *)f->url.host.ptr : "";
    const char *sep = host_len > 0 ? ": " : "";
    if (!text && (err.code == -ETIMEDOUT || err.code == HS_E_NAME_TIMEOUT))
        snprintf(e->text, sizeof e->text, "%.*s%stimed out waiting for %s", host_len, host, sep,
                 waits[f->phase]);
    else
        snprintf(e->text, sizeof e->text, "%.*s%s%s", host_len, host, sep,
                 text ? text : hs_err_text(err));
}

void hs_fetch_error_free(void *error)
{
    hs_fetch_error *e = error;
    if (e)
        hs_mem_give(hs_shard_mem(e->shard), e, sizeof *e, 16);
}

hs_outcome fetch_error_outcome(const fetch *f)
{
    hs_fetch_error *e = hs_mem_take(hs_shard_mem(f->client->shard), sizeof *e, 16);
    HS_ASSERT(!hs_ok(f->error.err));
    if (e)
        *e = f->error;
    return (hs_outcome){f->error.err, NULL, e, hs_fetch_error_free};
}
