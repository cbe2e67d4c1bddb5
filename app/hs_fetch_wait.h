/* One fetch for who has no shard: a script, a test, a tool. It waits until all is there.
 *
 * Owns: a group of one shard on a thread of its own, for as long as the call takes. Must not know:
 * how a fetch is done (hs_fetch.h). Tested by: tests/plain/fetch_wait.c.
 *
 *     hs_fetch_answer *answer;
 *     if (hs_ok(hs_fetch_wait(HS_SPAN("http://127.0.0.1:8080/json"), NULL, &answer)))
 *         fwrite(answer->body.ptr, 1, answer->body.len, stdout);
 *     else
 *         fprintf(stderr, "%s\n", answer ? answer->text : "no memory");
 *     hs_fetch_answer_free(answer);
 *
 * Each call makes threads and a client and reads the roots, which http: may be redirected to need;
 * who fetches often, or many at a time, has a shard. */
#pragma once

#include "hs_fetch.h"

HS_BEGIN_DECLS

/* Zeroed: all defaults. All of it is borrowed until the return. */
typedef struct hs_fetch_wait_options {
    /* No `cancel`, which would be another shard's: times.total_ms bounds the call. A `source` is
     * called on the private thread. */
    hs_fetch_options fetch;
    hs_client_options client; /* no tcp, dns, secure and cookies, which are a shard's */
    const char *ca_file;      /* the roots for https:, PEM. NULL: the system's */
} hs_fetch_wait_options;

/* What came of it. */
typedef struct hs_fetch_answer {
    hs_err err;           /* HS_OK: all came; else `phase` and `text` say more, and that is all */
    hs_fetch_phase phase; /* where it failed */
    char text[300];       /* why, in words, with a NUL */
    uint16_t status;
    bool redirected;
    hs_span reason;
    hs_span url;  /* the final one */
    hs_span body; /* with a NUL behind it, which the span does not count */
    const hs_fetch_field *fields;
    uint32_t fields_len;
    hs_fetch_timing timing;
    size_t bytes; /* of all of this in memory */
} hs_fetch_answer;

/* Fetch `url` and wait for the whole response. `options` may be NULL. *out is set, also where it
 * failed; NULL: there was no memory for it. Belongs to the caller: hs_fetch_answer_free.
 * Thread: any but a shard's, which must not wait: HS_E_USAGE there. Errors: as hs_fetch and
 * hs_fetch_bytes, hs_group_start and hs_client_create; HS_E_CERT of ca_file; HS_E_USAGE (a thing of
 * another shard in the options). */
HS_API HS_NODISCARD hs_err hs_fetch_wait(hs_span url, const hs_fetch_wait_options *options,
                                         hs_fetch_answer **out);

/* Free it; NULL: nothing. Thread: any. */
HS_API void hs_fetch_answer_free(hs_fetch_answer *answer);

HS_END_DECLS
