/* Stapled OCSP responses without memory for them: each piece of it is refused once, while one is
 * loaded, handed on and looked at. */
#include "tls_rig.h"

#include "tls.h"

/* ---- loading ---- */

/* A certificate and its response, with the nth piece refused. Whether all was taken without. */
static bool load(uint64_t n)
{
    tight t = {.fail_at = n};
    hs_tls_cert cert = cert_of("server");
    hs_tls_ctx *ctx;
    hs_tls_why why;
    t.mem = (hs_mem){tight_take, tight_give, &t};
    cert.ocsp_file = cert_path("good", ".ocsp");
    hs_tls_options o = {.certs = &cert, .certs_len = 1, .mem = &t.mem};
    hs_err err = hs_tls_server_ctx(&o, &ctx, &why);
    if (hs_ok(err)) {
        /* wolfSSL may do without something; nobody does without the response. */
        cr_assert_not_null(ctx->slots[0].staple, "%lu", n);
        cr_assert_gt(ctx->slots[0].staple_until_s, 0);
        hs_tls_ctx_unref(ctx);
    } else {
        /* wolfSSL does not always tell that it was memory. */
        cr_assert(err.code == -ENOMEM || err.code == HS_E_CERT, "%lu: %s: %s", n, hs_err_name(err),
                  why.text);
        cr_assert_str_neq(why.text, "");
        cr_assert_null(ctx);
    }
    cr_assert_eq(t.out, 0, "%lu", n);
    return hs_ok(err) && t.takes < n;
}

Test(tls_staple, each_piece_of_memory_may_be_refused_while_it_is_loaded)
{
    uint64_t n = 1;
    while (!load(n))
        n++;
    cr_assert_gt(n, 20);
}

/* ---- handshakes ---- */

/* What the server staples from now on, whatever it says. */
static void staple(const char *name)
{
    hs_tls_why why;
    size_t len;
    tls_slot *slot = &r.server_ctx->slots[0];
    tls_staple_free(hs_mem_system(), slot);
    hs_err err = tls_load(hs_mem_system(), cert_path(name, ".ocsp"), &slot->staple, &len, &why);
    cr_assert(hs_ok(err), "%s", why.text);
    slot->staple_len = (uint32_t)len;
}

/* Handshakes with a client that requires a response, each with another piece refused. Returns how
 * many there were in all; none opens but with a response that is good. */
static uint64_t refuse_each(const char *name, hs_tls_version version, uint64_t *opens)
{
    rig_options o = {
        .ocsp = "good", .server = {.version_max = version}, .client = {.staple_required = true}};
    *opens = 0;
    for (uint64_t at = 1;; at++) {
        end c = {0};
        rig_init(&o);
        staple(name);
        uint64_t before = r.b.takes;
        r.b.fail_at = before + at;
        dial(&c, "server.test");
        bench_run(&r.b, 100);
        bool hit = r.b.takes >= before + at;
        r.b.fail_at = 0;
        cr_assert(c.opens + c.errors <= 1);
        if (c.s)
            cr_assert(hs_secure_info_of(c.s).stapled, "%lu", at);
        *opens += c.opens;
        rig_fini(&c, 1);
        if (!hit)
            return at;
    }
}

Test(tls_staple, none_opens_with_a_revoked_certificate_for_want_of_memory)
{
    for (int v = HS_TLS_1_2; v <= HS_TLS_1_3; v++) {
        uint64_t opens;
        cr_assert_gt(refuse_each("revoked", (hs_tls_version)v, &opens), 50);
        cr_assert_eq(opens, 0);
    }
}

Test(tls_staple, each_piece_of_memory_may_be_refused_while_it_is_looked_at)
{
    for (int v = HS_TLS_1_2; v <= HS_TLS_1_3; v++) {
        uint64_t opens;
        cr_assert_gt(refuse_each("good", (hs_tls_version)v, &opens), 50);
        cr_assert_geq(opens, 1);
    }
}
