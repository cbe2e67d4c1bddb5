/* TLS of a client whose roots are read when they are first needed: no http: URL and no peer that is
 * not verified waits for them, or fails where the system has none.
 *
 * Owns: the contexts of one shard's clients with and without roots. Must not know: what is fetched.
 * Tested by: tests/e2e/fetch.py, tests/e2e/proxy.py, with a system that has no roots. */
#pragma once

#include "hs_secure.h"
#include "hs_tls.h"

/* Make one for a shard. `options` are of hs_tls_client_ctx, without a ca_file and with roots_off;
 * what they point to must outlive it. All but the roots is read now. Errors, with *why: those of
 * hs_tls_client_ctx and hs_tls_secure_create.
 *
 * The first handshake that verifies its peer reads the system's roots, on the shard: for that long
 * (some 30 ms) nothing else runs there. Where there are none it fails with -ENOENT, and says so;
 * the next one looks again. */
HS_NODISCARD hs_err lazy_secure_create(hs_shard *shard, const hs_tls_options *options,
                                       hs_secure **out, hs_tls_why *why);

/* Free it, when nothing uses it. NULL: nothing. */
void lazy_secure_destroy(hs_secure *secure);
