/* A client of one's own, for a thread that has no shard: a group of one shard for as long as one
 * job takes, which runs there on a fiber while the caller waits.
 *
 * Owns: the group, the client and its TLS. Must not know: what is fetched. Tested by:
 * tests/plain/fetch_wait.c, tests/e2e/fetch.py. */
#pragma once

#include "hs_fetch.h"
#include "hs_tls.h"

typedef struct alone {
    const char *name;         /* of the fiber */
    const char *ca_file;      /* the roots for https, PEM. NULL: the system's, read when a host is
                               * verified for the first time */
    hs_tls_cert cert;         /* for servers that ask for one; cert_file NULL: none */
    hs_client_options client; /* its `secure` is made here */
    void (*job)(hs_client *client, void *ctx);
    void *ctx;
} alone;

/* Run the job and wait for its end. Where it cannot be run: why, in *why also in words ("" where
 * the error says all). Errors: of hs_tls_client_ctx, hs_client_create and hs_group_start. */
HS_NODISCARD hs_err alone_run(const alone *a, hs_tls_why *why);
