/* Request targets and authorities, form by form. */
#include <criterion/criterion.h>

#include "http_ways.h"

static const h1_limits limits = {16384, 8192, 100};

typedef struct target_case {
    const char *method, *target;
    uint16_t status; /* 0: accepted */
    const char *path, *query, *authority;
} target_case;

static void expect_span(const char *base, uint16_t at, uint16_t len, const char *want)
{
    cr_assert(len == strlen(want) && memcmp(base + at, want, len) == 0,
              "\"%.*s\" instead of \"%s\" in %s", len, base + at, want, base);
}

Test(h1_target, forms)
{
    static const target_case cases[] = {
        {"GET", "/", 0, "/", "", "h"},
        {"GET", "//a//b", 0, "//a//b", "", "h"},
        {"GET", "/a?", 0, "/a", "", "h"},
        {"GET", "/?a?b", 0, "/", "a?b", "h"},
        {"GET", "/a%20b?c%2Fd", 0, "/a%20b", "c%2Fd", "h"},
        {"GET", "/?id[]=1", 0, "/", "id[]=1", "h"},
        {"GET", "/?a={b}|\"<c>^`\\", 0, "/", "a={b}|\"<c>^`\\", "h"},
        {"GET", "/100%?%&%4&%zz", 0, "/100%", "%&%4&%zz", "h"},
        {"GET", "/caf\xc3\xa9?\xff", 0, "/caf\xc3\xa9", "\xff", "h"},
        {"GET", "http://b", 0, "/", "", "b"},
        {"GET", "http://b/", 0, "/", "", "b"},
        {"GET", "http://b:80/p?q", 0, "/p", "q", "b:80"},
        {"GET", "http://b?q", 0, "/", "q", "b"},
        {"GET", "HTTPS://b.c/x/y", 0, "/x/y", "", "b.c"},
        {"OPTIONS", "http://b:1", 0, "/", "", "b:1"},
        {"GET", "http://[::1]:8/", 0, "/", "", "[::1]:8"},
        {"OPTIONS", "*", 0, "*", "", "h"},
        {"OPTIONS", "/", 0, "/", "", "h"},
        {"CONNECT", "b:443", 0, "", "", "b:443"},
        {"CONNECT", "[::1]:443", 0, "", "", "[::1]:443"},
        {"GET", "*", 400, NULL, NULL, NULL},
        {"OPTIONS", "**", 400, NULL, NULL, NULL},
        {"OPTIONS", "*?a", 400, NULL, NULL, NULL},
        {"GET", "/#", 400, NULL, NULL, NULL},
        {"GET", "/?#", 400, NULL, NULL, NULL},
        {"GET", "/\x7f", 400, NULL, NULL, NULL},
        {"GET", "/\x01", 400, NULL, NULL, NULL},
        {"GET", "/?\t", 400, NULL, NULL, NULL},
        {"GET", "a", 400, NULL, NULL, NULL},
        {"GET", "b:443", 400, NULL, NULL, NULL},
        {"GET", "?a", 400, NULL, NULL, NULL},
        {"GET", "ftp://b/", 400, NULL, NULL, NULL},
        {"GET", "http:/b/", 400, NULL, NULL, NULL},
        {"GET", "http:///", 400, NULL, NULL, NULL},
        {"GET", "http://", 400, NULL, NULL, NULL},
        {"GET", "http://?q", 400, NULL, NULL, NULL},
        {"GET", "http://u@b/", 400, NULL, NULL, NULL},
        {"GET", "http://u:p@b/", 400, NULL, NULL, NULL},
        {"GET", "http://:80/", 400, NULL, NULL, NULL},
        {"GET", "http://b:x/", 400, NULL, NULL, NULL},
        {"GET", "http://b:65536/", 400, NULL, NULL, NULL},
        {"GET", "http://[b]/", 400, NULL, NULL, NULL},
        {"CONNECT", "/", 400, NULL, NULL, NULL},
        {"CONNECT", "*", 400, NULL, NULL, NULL},
        {"CONNECT", "b", 400, NULL, NULL, NULL},
        {"CONNECT", "b:", 400, NULL, NULL, NULL},
        {"CONNECT", ":443", 400, NULL, NULL, NULL},
        {"CONNECT", "b:443/", 400, NULL, NULL, NULL},
        {"CONNECT", "b1", 400, NULL, NULL, NULL},
        {"CONNECT", "http://b/", 400, NULL, NULL, NULL},
        {"CONNECT", "b:443?x", 400, NULL, NULL, NULL},
    };
    static h1_head head;
    char text[256];
    for (size_t i = 0; i < HS_ARRAY_LEN(cases); i++) {
        const target_case *c = &cases[i];
        int n =
            snprintf(text, sizeof(text), "%s %s HTTP/1.1\r\nHost: h\r\n\r\n", c->method, c->target);
        ways_init(&head, false);
        h1_result r = ways_step(&head, (const uint8_t *)text, (size_t)n, &limits);
        cr_assert_eq(r == H1_BAD ? head.status : 0, c->status, "%s (%s)", text,
                     r == H1_BAD ? head.fault : "accepted");
        if (r == H1_BAD)
            continue;
        expect_span(text, head.target_at, head.target_len, c->target);
        expect_span(text, head.path_at, head.path_len, c->path);
        expect_span(text, head.query_at, head.query_len, c->query);
        expect_span(text, head.authority_at, head.authority_len, c->authority);
        cr_assert_eq(head.absolute, strstr(c->target, "://") != NULL);
    }
}

Test(h1_target, the_target_overrides_a_host_that_comes_later)
{
    static const char text[] = "GET http://b/ HTTP/1.1\r\nX: y\r\nHost: a\r\n\r\n";
    static h1_head head;
    ways_init(&head, false);
    cr_assert_eq(ways_step(&head, (const uint8_t *)text, sizeof(text) - 1, &limits), H1_DONE);
    expect_span(text, head.authority_at, head.authority_len, "b");
}

static bool authority_valid(const char *text)
{
    size_t len = strlen(text);
    uint8_t *copy = ways_copy((const uint8_t *)text, len);
    bool valid = h1_authority_valid(hs_span_of(copy, len));
    free(copy);
    return valid;
}

static const char *const good_authorities[] = {
    "a",
    "a.b.c",
    "a-b_c~d",
    "A:80",
    "a:",
    "a:0",
    "a:65535",
    "a:9",
    "[::2:3:4:5:6:1.2.3.4]",
    "[::9.9.9.9]:9",
    "a:00080",
    "127.0.0.1",
    "999.1.1.1", /* a name that looks like an address is a name: RFC 3986 section 3.2.2 */
    "a!$&'()*+,;=b",
    "%41%2e",
    "[::]",
    "[::1]",
    "[1::]",
    "[1:2:3:4:5:6:7:8]:443",
    "[::1.2.3.4]",
    "[1:2:3:4:5:6:1.2.3.4]",
    "[1::2]",
    "[fe80::abcd:EF01]",
    "[1:2:3:4:5:6:7::]",
    "[::2:3:4:5:6:7:8]",
    "[1:2:3::5:6:7:8]",
    "[::ffff:255.255.255.255]",
};

static const char *const bad_authorities[] = {
    "",
    ":",
    ":80",
    "a b",
    "a/b",
    "a@b",
    "a#",
    "a?",
    "a:b",
    "a:-1",
    "a:+1",
    "a:8 0",
    "a:65536",
    "a:99999999999999999999",
    "a::",
    "a:1:2",
    "%",
    "%4",
    "%zz",
    "a%2",
    "[]",
    "[",
    "]",
    "[::1",
    "::1",
    "[:]",
    "[:::]",
    "[1]",
    "[1:2]",
    "[1:2:3:4:5:6:7]",
    "[1:2:3:4:5:6:7:8:9]",
    "[12345::]",
    "[g::]",
    "[::1]x",
    "[::1]80",
    "[1::2::3]",
    "[::1:]",
    "[:1::]",
    "[1:2:3:4:5:6:7::8]",
    "[1:2:3:4:5:6:7:8::]",
    "[::1.2.3]",
    "[::1.2.3.4.5]",
    "[::256.1.1.1]",
    "[::01.1.1.1]",
    "[::1.2.3.4:1]",
    "[::1:2:3:4:5:6:1.2.3.4]",
    "[1:2:3:4:5:6:7:1.2.3.4]",
    "[::%25eth0]",
    "[v1.x]",
    "[::1. 2.3.4]",
    "[1.2.3.4]",
    "[::.1.1.1]",
    "a\\b",
    "a\"",
    "a<",
    "a\xc3\xa9",
    "a^",
    "a`",
    "a{",
    "a|",
};

Test(h1_target, authorities)
{
    for (size_t i = 0; i < HS_ARRAY_LEN(good_authorities); i++)
        cr_assert(authority_valid(good_authorities[i]), "%s", good_authorities[i]);
    for (size_t i = 0; i < HS_ARRAY_LEN(bad_authorities); i++)
        cr_assert_not(authority_valid(bad_authorities[i]), "%s", bad_authorities[i]);
}
