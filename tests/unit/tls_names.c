/* Whom a certificate names (RFC 9525), and what is in it. */
#include <criterion/criterion.h>

#include "tls.h"

/* subjectAltName with DNS names, a space between. */
static tls_der names(const char *list)
{
    static uint8_t out[1024];
    size_t len = 0;
    while (*list) {
        size_t n = strcspn(list, " ");
        out[len++] = 0x82;
        out[len++] = (uint8_t)n;
        memcpy(out + len, list, n);
        len += n;
        list += n + (list[n] == ' ');
    }
    return (tls_der){.alt_names = hs_span_of(out, len)};
}

static bool is_for(const char *list, const char *host)
{
    tls_der der = names(list);
    return tls_names_host(&der, hs_span_str(host));
}

Test(tls_names, names_are_compared_without_case_and_as_a_whole)
{
    cr_assert(is_for("a.test b.test", "b.test"));
    cr_assert(is_for("A.Test", "a.tEST"));
    cr_assert(is_for("a.test", "a.test."));
    cr_assert(is_for("a.test.", "a.test"));
    cr_assert(is_for("A.test.", "a.test."));
    cr_assert(is_for("xn--bcher-kva.test", "XN--BCHER-KVA.TEST."));
    cr_assert(is_for("*.TEST.xn--p1ai.", "b.test.xn--p1ai"));
    cr_assert_not(is_for("a.test", "a.test.."));
    cr_assert_not(is_for("a.test..", "a.test."));
    cr_assert_not(is_for("a..test", "a..test"));
    cr_assert_not(is_for("*..test", "a..test"));
    cr_assert_not(is_for("*.b.test", ".b.test."));
    cr_assert_not(is_for("*.test.", "a.test.")); /* the root's dot makes no second label */
    cr_assert_not(is_for(".", "."));
    cr_assert_not(is_for("a.test", "."));
    cr_assert_not(is_for("a.test", "aa.test"));
    cr_assert_not(is_for("a.test", "x.a.test"));
    cr_assert_not(is_for("a.test", ""));
    cr_assert_not(is_for("", "a.test"));
}

Test(tls_names, a_wildcard_is_one_whole_label_on_the_left)
{
    cr_assert(is_for("*.b.test", "a.b.test"));
    cr_assert(is_for("*.B.test", "a.b.TEST."));
    cr_assert_not(is_for("*.b.test", "b.test"));
    cr_assert_not(is_for("*.b.test", ".b.test"));
    cr_assert_not(is_for("*.b.test", "x.a.b.test"));
    cr_assert_not(is_for("*.test", "b.test")); /* of all that is below a root */
    cr_assert_not(is_for("*", "test"));
    cr_assert_not(is_for("a*.b.test", "ax.b.test"));
    cr_assert_not(is_for("a.*.test", "a.b.test"));
    cr_assert_not(is_for("*.*.test", "a.b.test"));
    cr_assert_not(is_for("*.b.test", "*.b.test"));
}

Test(tls_names, addresses_are_compared_as_bytes)
{
    static const uint8_t list[] = {0x87, 4, 127, 0,   0,   1,   0x87, 16,  0,   0,   0,  0,
                                   0,    0, 0,   0,   0,   0,   0,    0,   0,   0,   0,  1,
                                   0x82, 9, '1', '0', '.', '0', '.',  '0', '.', '1', ' '};
    tls_der der = {.alt_names = hs_span_of(list, sizeof list)};
    cr_assert(tls_names_host(&der, HS_SPAN("127.0.0.1")));
    cr_assert(tls_names_host(&der, HS_SPAN("::1")));
    cr_assert(tls_names_host(&der, HS_SPAN("[0:0::0:1]")));
    cr_assert_not(tls_names_host(&der, HS_SPAN("127.0.0.2")));
    cr_assert_not(tls_names_host(&der, HS_SPAN("::ffff:127.0.0.1")));
    tls_der dns = names("10.0.0.1");
    cr_assert_not(tls_names_host(&dns, HS_SPAN("10.0.0.1"))); /* as a name it is no address */
}

Test(tls_names, times_are_told)
{
    char out[32];
    cr_assert(tls_der_time(HS_SPAN("\x17\x0d"
                                   "261121010203Z"),
                           out));
    cr_assert_str_eq(out, "2026-11-21 01:02:03 UTC");
    cr_assert(tls_der_time(HS_SPAN("\x17\x0d"
                                   "991231235959Z"),
                           out));
    cr_assert_str_eq(out, "1999-12-31 23:59:59 UTC");
    cr_assert(tls_der_time(HS_SPAN("\x18\x0f"
                                   "20990101000000Z"),
                           out));
    cr_assert_str_eq(out, "2099-01-01 00:00:00 UTC");
    cr_assert_not(tls_der_time(HS_SPAN("\x17\x0d"
                                       "26112101020xZ"),
                               out));
    cr_assert_not(tls_der_time(HS_SPAN("\x17\x03"
                                       "26Z"),
                               out));
    cr_assert_not(tls_der_time(HS_SPAN(""), out));
}

Test(tls_names, broken_certificates_are_no_certificates)
{
    static const uint8_t some[] = {0x30, 0x20, 0x30, 0x1e, 0xa0, 0x03, 0x02, 0x01,
                                   0x02, 0x02, 0x01, 0x01, 0x30, 0x00, 0x30, 0x00,
                                   0x30, 0x00, 0x30, 0x00, 0x30, 0x00};
    for (size_t len = 0; len <= sizeof some; len++) {
        uint8_t *copy = malloc(len + 1);
        tls_der der;
        memcpy(copy, some, len);
        cr_assert_not(tls_der_cert(hs_span_of(copy, len), &der));
        free(copy);
    }
}
