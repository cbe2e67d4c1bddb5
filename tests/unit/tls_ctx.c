/* Contexts: what they refuse and why, memory that ends, and what a box publishes. */
#include "tls_rig.h"

#include "tls.h"

static hs_err make(hs_tls_options *o, hs_tls_why *why)
{
    hs_tls_ctx *ctx = NULL;
    hs_err err = hs_tls_server_ctx(o, &ctx, why);
    cr_assert_eq(hs_ok(err), ctx != NULL);
    cr_assert_eq(hs_ok(err), why->text[0] == '\0');
    hs_tls_ctx_unref(ctx);
    return err;
}

static void refuses(const char *cert, const char *key, int32_t err, const char *words)
{
    hs_tls_cert c = {.cert_file = cert, .key_file = key};
    hs_tls_options o = {.certs = &c, .certs_len = 1};
    hs_tls_why why;
    cr_assert_eq(make(&o, &why).code, err, "%s", why.text);
    cr_assert_not_null(strstr(why.text, words), "%s", why.text);
}

Test(tls_ctx, what_is_wrong_with_a_file_is_told)
{
    const char *good = cert_path("server", ".pem"), *key = cert_path("server", ".key");
    refuses("/nonexistent", key, -ENOENT, "/nonexistent: ");
    refuses(good, "/nonexistent", -ENOENT, "/nonexistent: ");
    refuses("/", key, HS_E_CERT, "/: is no file");
    refuses("/dev/null", key, HS_E_CERT, "/dev/null: is no file");
    refuses(key, key, HS_E_CERT, "server.key: holds no certificate");
    refuses(good, good, HS_E_CERT, "server.pem: holds no key");
    refuses(good, cert_path("other", ".key"), HS_E_CERT, "other.key: is not the key of");
    refuses(cert_path("too_many_names", ".pem"), cert_path("too_many_names", ".key"), HS_E_CERT,
            "too_many_names.pem: its certificate has 1025 names, 1024 at most");
}

Test(tls_ctx, options_that_contradict_each_other)
{
    hs_tls_cert cert = cert_of("server");
    hs_span comma = HS_SPAN("a,b"), empty = HS_SPAN("");
    hs_tls_options bad[] = {
        {0},
        {.certs = &cert, .certs_len = 1, .client = HS_TLS_CLIENT_REQUIRED},
        {.certs = &cert, .certs_len = 1, .version_min = HS_TLS_1_3, .version_max = HS_TLS_1_2},
        {.certs = &cert, .certs_len = 1, .alpn = &comma, .alpn_len = 1},
        {.certs = &cert, .certs_len = 1, .alpn = &empty, .alpn_len = 1},
        {.certs = &cert, .certs_len = 1, .ciphers = "NONSENSE"},
        {.certs = &cert, .certs_len = HS_TLS_CERTS_MAX + 1},
    };
    for (size_t i = 0; i < HS_ARRAY_LEN(bad); i++) {
        hs_tls_why why;
        cr_assert_eq(make(&bad[i], &why).code, HS_E_USAGE, "%zu: %s", i, why.text);
    }
}

Test(tls_ctx, each_piece_of_memory_may_be_refused)
{
    hs_tls_cert cert = cert_of("server");
    bool fine = false;
    uint64_t n = 1;
    for (; !fine; n++) {
        tight t = {.fail_at = n};
        t.mem = (hs_mem){tight_take, tight_give, &t};
        hs_tls_options o = {.certs = &cert, .certs_len = 1, .mem = &t.mem};
        hs_tls_why why;
        fine = hs_ok(make(&o, &why)) && t.takes < n;
        cr_assert_eq(t.out, 0, "%lu", n);
    }
    cr_assert_gt(n, 20);
}

Test(tls_ctx, the_systems_roots_are_found)
{
    hs_tls_options o = {0};
    hs_tls_ctx *ctx;
    hs_tls_why why;
    hs_err err = hs_tls_client_ctx(&o, &ctx, &why);
    if (err.code == -ENOENT)
        cr_skip("SKIP: this system has no roots");
    cr_assert(hs_ok(err), "%s", why.text);
    hs_tls_ctx_unref(ctx);
}

/* ---- boxes ---- */

Test(tls_ctx, keys_of_tickets_change_with_time)
{
    hs_tls_cert cert = cert_of("server");
    hs_tls_options o = {.certs = &cert, .certs_len = 1};
    hs_tls_ctx *ctx;
    hs_tls_why why;
    cr_assert(hs_ok(hs_tls_server_ctx(&o, &ctx, &why)));
    hs_tls_box *box = hs_tls_box_create(NULL, ctx);
    uint32_t generation = 0;
    tls_ticket_keys first, keys;
    cr_assert(tls_box_changed(box, generation, 1000));
    cr_assert_eq(tls_box_get(box, &generation, &first), ctx);
    hs_tls_ctx_unref(ctx);
    cr_assert_eq(first.len, 1);
    cr_assert_not(tls_box_changed(box, generation, 1000 + HS_TLS_TICKET_S - 1));
    for (uint32_t i = 1; i <= 4; i++) {
        cr_assert(tls_box_changed(box, generation, 1000 + i * HS_TLS_TICKET_S));
        hs_tls_ctx_unref(tls_box_get(box, &generation, &keys));
        cr_assert_eq(keys.len, HS_MIN(i + 1, (uint32_t)TLS_TICKET_KEYS));
        bool kept = false;
        for (uint32_t k = 0; k < keys.len; k++)
            kept |= memcmp(&keys.keys[k], &first.keys[0], sizeof first.keys[0]) == 0;
        cr_assert_eq(kept, i < TLS_TICKET_KEYS);
        cr_assert_neq(memcmp(&keys.keys[0], &keys.keys[1], sizeof keys.keys[0]), 0);
    }
    /* A reload keeps them. */
    tls_ticket_keys after;
    hs_tls_box_publish(box, ctx);
    cr_assert(tls_box_changed(box, generation, 1000 + 4 * HS_TLS_TICKET_S + 1));
    hs_tls_ctx_unref(tls_box_get(box, &generation, &after));
    cr_assert_eq(memcmp(&after, &keys, sizeof keys), 0);
    hs_tls_ctx_unref(ctx);
    hs_tls_box_destroy(box);
}

Test(tls_ctx, keys_of_tickets_change_though_the_clock_was_set_back)
{
    hs_tls_cert cert = cert_of("server");
    hs_tls_options o = {.certs = &cert, .certs_len = 1};
    hs_tls_ctx *ctx;
    hs_tls_why why;
    cr_assert(hs_ok(hs_tls_server_ctx(&o, &ctx, &why)));
    hs_tls_box *box = hs_tls_box_create(NULL, ctx);
    uint32_t generation = 0;
    tls_ticket_keys keys;
    uint64_t now = 100 * HS_TLS_TICKET_S;
    cr_assert(tls_box_changed(box, generation, now));
    hs_tls_ctx_unref(tls_box_get(box, &generation, &keys));
    cr_assert_not(tls_box_changed(box, generation, now - HS_TLS_TICKET_S / 4), "a small step");
    uint64_t back = now - 50 * HS_TLS_TICKET_S;
    cr_assert(tls_box_changed(box, generation, back));
    hs_tls_ctx_unref(tls_box_get(box, &generation, &keys));
    cr_assert_eq(keys.len, 2);
    cr_assert_not(tls_box_changed(box, generation, back + HS_TLS_TICKET_S - 1));
    cr_assert(tls_box_changed(box, generation, back + HS_TLS_TICKET_S));
    hs_tls_ctx_unref(ctx);
    hs_tls_box_destroy(box);
}
