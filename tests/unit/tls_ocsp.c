/* OCSP: what a response says, what a server staples and until when, and what a client makes of it.
 */
#include "tls_rig.h"

#include <fcntl.h>

#include "tls.h"

#define DAY_S 86400ull
#define IN_2026 1790000000ull

typedef struct file {
    uint8_t bytes[4096];
    size_t len;
} file;

static file read_file(const char *path)
{
    file f;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    cr_assert_geq(fd, 0, "%s", path);
    ssize_t n = read(fd, f.bytes, sizeof f.bytes);
    cr_assert(n > 0 && n < (ssize_t)sizeof f.bytes);
    f.len = (size_t)n;
    close(fd);
    return f;
}

/* The certificate of the server, in DER. */
static file server_cert(void)
{
    file pem = read_file(cert_path("server", ".pem")), der;
    int n = wc_CertPemToDer(pem.bytes, (int)pem.len, der.bytes, sizeof der.bytes, CERT_TYPE);
    cr_assert_gt(n, 0);
    der.len = (size_t)n;
    return der;
}

static const char *says_at(const char *name, uint64_t now_s, uint64_t *until_s)
{
    file f = read_file(cert_path(name, ".ocsp")), cert = server_cert();
    tls_der der;
    cr_assert(tls_der_cert(hs_span_of(cert.bytes, cert.len), &der));
    return tls_ocsp_read(hs_span_of(f.bytes, f.len), &der, now_s, until_s);
}

static void says(const char *name, const char *words)
{
    uint64_t until_s;
    const char *fault = says_at(name, IN_2026, &until_s);
    cr_assert_not_null(fault, "%s", name);
    cr_assert_not_null(strstr(fault, words), "%s: %s", name, fault);
}

Test(tls_ocsp, why_a_response_cannot_be_stapled)
{
    says("revoked", "says that the certificate is revoked");
    says("unknown", "says that the certificate is not known");
    says("stale", "is out of date");
    says("early", "of the future");
    says("endless", "does not say until when");
    says("second", "is the status of another certificate");
}

Test(tls_ocsp, a_response_is_good_until_its_next_update)
{
    uint64_t until_s = 0, begin_s = 1577836800; /* 2020-01-01 */
    cr_assert_null(says_at("good", IN_2026, &until_s));
    cr_assert_eq(until_s, 4039372800ull); /* 2098-01-01 */
    cr_assert_null(says_at("good", until_s - 1, &until_s));
    cr_assert_not_null(says_at("good", until_s, &until_s));
    cr_assert_null(says_at("good", begin_s, &until_s));
    cr_assert_null(says_at("good", begin_s - TLS_OCSP_SKEW_S, &until_s));
    cr_assert_not_null(says_at("good", begin_s - TLS_OCSP_SKEW_S - 1, &until_s));
    cr_assert_null(says_at("usual", (uint64_t)time(NULL), &until_s));
    cr_assert_gt(until_s, (uint64_t)time(NULL) + DAY_S);
}

Test(tls_ocsp, a_response_cut_short_or_changed_is_never_read_past_its_end)
{
    file f = read_file(cert_path("good", ".ocsp")), cert = server_cert();
    uint64_t until_s;
    tls_der der;
    cr_assert(tls_der_cert(hs_span_of(cert.bytes, cert.len), &der));
    for (size_t len = 0; len < f.len; len++) {
        uint8_t *copy = malloc(len + 1); /* its end is watched by a sanitizer */
        memcpy(copy, f.bytes, len);
        cr_assert_not_null(tls_ocsp_read(hs_span_of(copy, len), &der, IN_2026, &until_s));
        free(copy);
    }
    for (size_t at = 0; at < f.len; at++) {
        f.bytes[at] ^= 0x81;
        (void)tls_ocsp_read(hs_span_of(f.bytes, f.len), &der, IN_2026, &until_s);
        f.bytes[at] ^= 0x81;
    }
    f.bytes[f.len++] = 0; /* and nothing may follow it */
    cr_assert_not_null(tls_ocsp_read(hs_span_of(f.bytes, f.len), &der, IN_2026, &until_s));
}

Test(tls_ocsp, times_in_seconds)
{
    static const struct {
        const char *text;
        uint64_t seconds;
    } good[] = {
        {"\x18\x0f"
         "19700101000000Z",
         0},
        {"\x18\x0f"
         "20000229123456Z",
         951827696},
        {"\x18\x0f"
         "20000301000000Z",
         951868800},
        {"\x18\x0f"
         "99991231235959Z",
         253402300799},
        {"\x17\x0d"
         "700101000001Z",
         1},
        {"\x17\x0d"
         "491231235959Z",
         2524607999},
    };
    static const char *const bad[] = {
        "\x18\x0f"
        "19691231235959Z",
        "\x18\x0f"
        "20001301000000Z",
        "\x18\x0f"
        "20000001000000Z",
        "\x18\x0f"
        "20000100000000Z",
        "\x18\x0f"
        "20000101240000Z",
        "\x18\x0f"
        "2000010100000xZ",
        "\x18\x0f"
        "200001010000000",
        "\x18\x0e"
        "2000010100000Z",
        "\x17\x0d"
        "500101000000Z",
    };
    uint64_t seconds;
    for (size_t i = 0; i < HS_ARRAY_LEN(good); i++) {
        cr_assert(tls_der_seconds(hs_span_str(good[i].text), &seconds), "%zu", i);
        cr_assert_eq(seconds, good[i].seconds, "%zu: %lu", i, (unsigned long)seconds);
    }
    for (size_t i = 0; i < HS_ARRAY_LEN(bad); i++)
        cr_assert_not(tls_der_seconds(hs_span_str(bad[i]), &seconds), "%zu", i);
}

/* ---- contexts ---- */

static void refused(hs_tls_cert cert, bool dials, int32_t code, const char *words)
{
    hs_tls_options o = {.certs = &cert, .certs_len = 1, .ca_file = cert_path("ca", ".pem")};
    hs_tls_ctx *ctx;
    hs_tls_why why;
    hs_err err = dials ? hs_tls_client_ctx(&o, &ctx, &why) : hs_tls_server_ctx(&o, &ctx, &why);
    cr_assert_eq(err.code, code, "%s: %s", hs_err_name(err), why.text);
    cr_assert_not_null(strstr(why.text, words), "%s", why.text);
    cr_assert_null(ctx);
}

Test(tls_ocsp, a_server_refuses_what_it_could_not_staple)
{
    hs_tls_cert cert = cert_of("server");
    cert.ocsp_file = cert_path("revoked", ".ocsp");
    refused(cert, false, HS_E_CERT_STATUS, "revoked.ocsp: says that the certificate is revoked");
    cert.ocsp_file = cert_path("stale", ".ocsp");
    refused(cert, false, HS_E_CERT_STATUS, "stale.ocsp: is out of date");
    cert.ocsp_file = cert_path("ca", ".pem");
    refused(cert, false, HS_E_CERT_STATUS, "ca.pem: is no OCSP response");
    cert.ocsp_file = cert_path("none", ".ocsp");
    refused(cert, false, -ENOENT, "none.ocsp");
    cert.ocsp_file = cert_path("good", ".ocsp");
    refused(cert, true, HS_E_USAGE, "a client staples nothing");
}

/* ---- handshakes ---- */

enum { NOT_REQUIRED, REQUIRED };

/* A handshake of each version, before which the test may change what is stapled. */
static void comes_to(const char *name, bool required, int32_t code, const char *words,
                     void (*before)(tls_slot *slot))
{
    for (int v = HS_TLS_1_2; v <= HS_TLS_1_3; v++) {
        end c = {0};
        rig_options o = {.ocsp = name,
                         .server = {.version_max = (hs_tls_version)v},
                         .client = {.staple_required = required}};
        rig_init(&o);
        if (before)
            before(&r.server_ctx->slots[0]);
        dial(&c, "server.test");
        bench_run(&r.b, 100);
        cr_assert_eq(c.err.code, code, "1.%d: %s: %s", v, hs_err_name(c.err), c.text);
        cr_assert_eq(c.opens, code == 0);
        cr_assert_not_null(strstr(c.text, words), "%s", c.text);
        rig_fini(&c, 1);
    }
}

static void replace(tls_slot *slot, const char *name)
{
    file f = read_file(cert_path(name, ".ocsp"));
    tls_staple_free(hs_mem_system(), slot);
    slot->staple = hs_mem_take(hs_mem_system(), f.len + 1, 16);
    cr_assert_not_null(slot->staple);
    memcpy(slot->staple, f.bytes, f.len);
    slot->staple_len = (uint32_t)f.len;
}

static void staple_revoked(tls_slot *slot)
{
    replace(slot, "revoked");
}

static void staple_unknown(tls_slot *slot)
{
    replace(slot, "unknown");
}

static void staple_second(tls_slot *slot)
{
    replace(slot, "second");
}

static void staple_stale(tls_slot *slot)
{
    replace(slot, "stale");
}

static void staple_forged(tls_slot *slot)
{
    replace(slot, "forged");
}

static void staple_nothing_more(tls_slot *slot)
{
    slot->staple_until_s = 1;
}

Test(tls_ocsp, a_good_response_is_stapled)
{
    comes_to("good", REQUIRED, 0, "", NULL);
    comes_to("usual", REQUIRED, 0, "", NULL);
}

Test(tls_ocsp, a_client_may_require_a_response)
{
    comes_to(NULL, NOT_REQUIRED, 0, "", NULL);
    comes_to(NULL, REQUIRED, HS_E_CERT_STATUS, "has stapled no OCSP response", NULL);
}

Test(tls_ocsp, nothing_is_stapled_that_is_out_of_date)
{
    comes_to("good", NOT_REQUIRED, 0, "", staple_nothing_more);
    comes_to("good", REQUIRED, HS_E_CERT_STATUS, "has stapled no OCSP response",
             staple_nothing_more);
}

Test(tls_ocsp, a_client_believes_what_is_stapled)
{
    comes_to("good", NOT_REQUIRED, HS_E_CERT_REVOKED, "certificate revoked", staple_revoked);
    comes_to("good", NOT_REQUIRED, HS_E_CERT_STATUS, "is no good", staple_unknown);
    comes_to("good", NOT_REQUIRED, HS_E_CERT_STATUS, "is no good", staple_second);
    comes_to("good", NOT_REQUIRED, HS_E_CERT_STATUS, "is no good", staple_stale);
    comes_to("good", NOT_REQUIRED, HS_E_CERT_STATUS, "is no good", staple_forged);
}

Test(tls_ocsp, who_does_not_verify_does_not_ask)
{
    end c = {.secure = {.unverified = true}};
    rig_options o = {.ocsp = "good"};
    rig_init(&o);
    staple_revoked(&r.server_ctx->slots[0]);
    dial(&c, "server.test");
    bench_run(&r.b, 100);
    cr_assert_eq(c.opens, 1, "%s", c.text);
    rig_fini(&c, 1);
}

/* ---- intermediate certificates ---- */

Test(tls_ocsp, what_one_peer_has_sent_completes_no_others_chain)
{
    const char *certs[] = {"server", "bare"};
    end c[3] = {0};
    rig_options o = {.certs = {"server"}};
    rig_init(&o);
    dial(&c[0], "server.test");
    bench_run(&r.b, 100);
    cr_assert_eq(c[0].opens, 1, "%s", c[0].text);
    for (int i = 1; i < 3; i++) {
        rig_options other = {.certs = {certs[2 - i]}};
        hs_tls_ctx *ctx = server_ctx_of(&other);
        hs_tls_box_publish(r.box, ctx);
        hs_tls_ctx_unref(ctx);
        c[i].secure.port = (uint16_t)i; /* no session is resumed */
        dial(&c[i], "server.test");
        bench_run(&r.b, 100);
        cr_assert_eq(c[i].err.code, i == 1 ? HS_E_CERT_UNKNOWN : 0, "%d: %s", i, c[i].text);
    }
    rig_fini(c, 3);
}
