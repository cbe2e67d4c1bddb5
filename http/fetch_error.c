/* What is told of a fetch that failed.
 *
 * Owns: the words. Must not know: what is done about it. Tested by: tests/unit/http_fetch_bad.c. */
#include <stdio.h>

#include "client.h"

static const char *const names[] = {"start", "queue", "resolve", "connect", "tunnel", "tls",
                                    "send",  "wait",  "head",    "body",    "pause",  "done"};
HS_STATIC_ASSERT(HS_ARRAY_LEN(names) == HS_FETCH_DONE + 1, "each phase has a name");

/* What took too long. */
static const char *const waits[] = {"the start",
                                    "a connection of the pool",
                                    "the name",
                                    "a connection",
                                    "a tunnel",
                                    "the TLS handshake",
                                    "the request to be taken",
                                    "a response",
                                    "the response's head",
                                    "the response's body",
                                    "the next attempt",
                                    "nothing"};

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
    char who[140] = "";
    if (f->at_proxy)
        snprintf(who, sizeof who, "the proxy %.*s:%u: ", (int)HS_MIN(f->via->host.len, (size_t)100),
                 (const char *)f->via->host.ptr, f->via->port);
    bool waited = !text && (err.code == -ETIMEDOUT || err.code == HS_E_NAME_TIMEOUT);
    const char *why = waited ? waits[f->phase] : text ? text : hs_err_text(err);
    snprintf(e->text, sizeof e->text, "%.*s%s%s%s%s", host_len, host, sep, who,
             waited ? "timed out waiting for " : "", why);
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
