/* What is a name of a host, what is an address, and what stays here. */
#include <criterion/criterion.h>
#include <stdio.h>

#include "dns.h"

static bool parses(const char *text)
{
    dns_name name;
    return dns_name_parse(&name, hs_span_str(text));
}

Test(net_dns_name, names_are_lowered_and_lose_their_dot)
{
    dns_name n;
    cr_assert(dns_name_parse(&n, HS_SPAN("Www.EXAMPLE.com.")));
    cr_assert_str_eq(n.text, "www.example.com");
    cr_assert_eq(n.len, 15);
    cr_assert_eq(n.dots, 2);
    cr_assert(n.absolute);
    cr_assert(dns_name_parse(&n, HS_SPAN("a_b-1")));
    cr_assert(!n.absolute);
    cr_assert_eq(n.dots, 0);
}

Test(net_dns_name, what_is_no_name)
{
    static const char *const bad[] = {
        "",    ".",   "..",    "a..b", ".a",     "a b",  "a\\.b", "a/b",    "\xc3\xa4.de",
        "a@b", "a:b", "1.2.3", "1",    "a.0x7f", "a.0x", "a.127", "0x7f.1", "256.0.0.1",
        "a..", "[a]", "a%1",   "a\n"};
    for (size_t i = 0; i < HS_ARRAY_LEN(bad); i++)
        cr_assert(!parses(bad[i]), "'%s'", bad[i]);
    dns_name n;
    cr_assert(!dns_name_parse(&n, HS_SPAN("a\0b")));
    static const char *const good[] = {"a",      "a.b",        "3com.com", "a.1b",
                                       "a.b0x1", "xn--4ca.de", "0x7g"};
    for (size_t i = 0; i < HS_ARRAY_LEN(good); i++)
        cr_assert(parses(good[i]), "'%s'", good[i]);
}

Test(net_dns_name, labels_and_names_have_a_length)
{
    char text[300];
    memset(text, 'a', sizeof text);
    dns_name n;
    cr_assert(dns_name_parse(&n, hs_span_of(text, 63)));
    cr_assert(!dns_name_parse(&n, hs_span_of(text, 64)));
    for (size_t i = 50; i < sizeof text; i += 51)
        text[i] = '.';
    cr_assert(dns_name_parse(&n, hs_span_of(text, 253)));
    cr_assert_eq(n.len, 253);
    cr_assert(!dns_name_parse(&n, hs_span_of(text, 254)));
    text[253] = '.';
    cr_assert(dns_name_parse(&n, hs_span_of(text, 254)));
    cr_assert(n.absolute);
}

Test(net_dns_name, addresses_in_numbers)
{
    static const struct {
        const char *text, *is; /* NULL: no address */
    } rows[] = {
        {"192.0.2.1", "192.0.2.1:0"},
        {"::1", "[::1]:0"},
        {"[::1]", "[::1]:0"},
        {"2001:DB8::7", "[2001:db8::7]:0"},
        {"fe80::1%2", "[fe80::1%2]:0"},
        {"::ffff:192.0.2.1", "[::ffff:192.0.2.1]:0"},
        {"", NULL},
        {"1.2.3", NULL},
        {"1.2.3.4.5", NULL},
        {"1.2.3.4:80", NULL},
        {"01.2.3.4", NULL},
        {"[::1", NULL},
        {"::1]", NULL},
        {"[]", NULL},
        {"[1.2.3.4]", NULL},
        {"unix:/x", NULL},
        {":", NULL},
        {"[::1]:80", NULL},
        {"a.b", NULL},
        {"1.2.3.4 ", NULL},
        {"fe80::1%no-such", NULL},
    };
    for (size_t i = 0; i < HS_ARRAY_LEN(rows); i++) {
        hs_addr a;
        char text[HS_ADDR_TEXT_BYTES];
        bool is = dns_numeric(hs_span_str(rows[i].text), &a);
        cr_assert_eq(is, rows[i].is != NULL, "'%s'", rows[i].text);
        if (is)
            cr_assert_str_eq(hs_addr_format(&a, text), rows[i].is);
    }
    char much[200];
    hs_addr a;
    memset(much, '1', sizeof much);
    cr_assert(!dns_numeric(hs_span_of(much, sizeof much), &a));
}

Test(net_dns_name, localhost_and_all_below_it)
{
    static const char *const here[] = {"localhost", "LocalHost.", "a.localhost", "b.a.localhost."};
    static const char *const there[] = {"localhost.com", "xlocalhost", "a.xlocalhost", "local"};
    dns_name n;
    for (size_t i = 0; i < HS_ARRAY_LEN(here); i++) {
        cr_assert(dns_name_parse(&n, hs_span_str(here[i])));
        cr_assert(dns_is_localhost(&n), "%s", here[i]);
    }
    for (size_t i = 0; i < HS_ARRAY_LEN(there); i++) {
        cr_assert(dns_name_parse(&n, hs_span_str(there[i])));
        cr_assert(!dns_is_localhost(&n), "%s", there[i]);
    }
    hs_addr a;
    char text[HS_ADDR_TEXT_BYTES];
    dns_loopback(AF_INET, &a);
    cr_assert_str_eq(hs_addr_format(&a, text), "127.0.0.1:0");
    dns_loopback(AF_INET6, &a);
    cr_assert_str_eq(hs_addr_format(&a, text), "[::1]:0");
}

/* ---- search domains ---- */

/* All candidates of `name`, with a space between. */
static const char *candidates(const dns_resolv *r, const char *name)
{
    static char all[2000];
    dns_name n, c;
    bool skip;
    all[0] = '\0';
    size_t len = 0;
    cr_assert(dns_name_parse(&n, hs_span_str(name)));
    for (uint32_t i = 0; dns_candidate(r, &n, i, &c, &skip); i++) {
        cr_assert_lt(i, 100);
        if (!skip)
            cr_assert_eq(c.len, strlen(c.text));
        len += (size_t)snprintf(all + len, sizeof all - len, "%s%s", i ? " " : "",
                                skip ? "-" : c.text);
    }
    return all;
}

Test(net_dns_name, search_domains_and_dots)
{
    dns_resolv r;
    dns_resolv_parse(&r, HS_SPAN("search One.test two.test.\noptions ndots:2 rotate\n"));
    cr_assert_str_eq(candidates(&r, "a"), "a.one.test a.two.test a");
    cr_assert_str_eq(candidates(&r, "a.b"), "a.b.one.test a.b.two.test a.b");
    cr_assert_str_eq(candidates(&r, "a.b.c"), "a.b.c a.b.c.one.test a.b.c.two.test");
    cr_assert_str_eq(candidates(&r, "a."), "a");
    dns_resolv_parse(&r, HS_SPAN(""));
    cr_assert_str_eq(candidates(&r, "a"), "a");
    cr_assert_eq(r.ndots, 1);
}

Test(net_dns_name, a_domain_that_makes_a_name_too_long_is_left_out)
{
    dns_resolv r;
    char name[254];
    dns_resolv_parse(&r, HS_SPAN("search one.test b\n"));
    memset(name, 'a', sizeof name);
    for (size_t i = 50; i < sizeof name; i += 51)
        name[i] = '.';
    name[251] = '\0';
    const char *all = candidates(&r, name);
    const char *second = strchr(all, ' ');
    cr_assert_not_null(second);
    cr_assert_eq(strncmp(second, " - ", 3), 0);
    cr_assert_eq(strlen(second + 3), 253);
}

Test(net_dns_name, resolv_conf_as_it_is_found)
{
    dns_resolv r;
    dns_resolv_parse(&r, HS_SPAN("# a comment\n; another\nnameserver 192.0.2.1\n"
                                 "domain gone.test\n\tsearch\ta.test # b.test\n"
                                 "options ndots:99\r\noptions ndots:x attempts:1"));
    cr_assert_eq(r.domains_len, 1);
    cr_assert_str_eq(r.domains[0].text, "a.test");
    cr_assert_eq(r.ndots, 15);
    dns_resolv_parse(&r, HS_SPAN("options ndots:0\nsearch . a..b c\n"));
    cr_assert_eq(r.ndots, 0);
    cr_assert_eq(r.domains_len, 1);
    cr_assert_str_eq(r.domains[0].text, "c");
    dns_resolv_parse(&r, HS_SPAN("search a b c d e f g h i j k l m n o p q r s"));
    cr_assert_eq(r.domains_len, HS_DNS_SEARCH_MAX);
}
