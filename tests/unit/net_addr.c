/* Addresses: what is one, what is not, and the way back to text. */
#include <criterion/criterion.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "hs_addr.h"

static hs_err parse(const char *text, hs_addr *addr)
{
    memset(addr, 0xa5, sizeof *addr);
    return hs_addr_parse(addr, hs_span_str(text));
}

static const struct {
    const char *text, *formatted;
} good[] = {
    {"1.2.3.4:80", "1.2.3.4:80"},
    {"0.0.0.0:0", "0.0.0.0:0"},
    {"255.255.255.255:65535", "255.255.255.255:65535"},
    {":8080", "0.0.0.0:8080"},
    {"[::]:80", "[::]:80"},
    {"[::1]:65535", "[::1]:65535"},
    {"[2001:DB8::0001]:1", "[2001:db8::1]:1"},
    {"[fe80::1%2]:80", "[fe80::1%2]:80"},
    {"[fe80::1%lo]:80", "[fe80::1%1]:80"}, /* Linux gives it the first index */
    {"[fe80::1%4294967295]:80", "[fe80::1%4294967295]:80"},
    {"[::ffff:1.2.3.4]:80", "[::ffff:1.2.3.4]:80"},
    {"unix:/run/x.sock", "unix:/run/x.sock"},
    {"unix:x", "unix:x"},
    {"unix:../a b:80", "unix:../a b:80"},
    {"unix:@x", "unix:@x"},
    {"unix:@@", "unix:@@"},
    {"unix:@/run/x.sock", "unix:@/run/x.sock"},
};

Test(net_addr, good_ones_are_formatted_as_they_were_parsed)
{
    for (size_t i = 0; i < HS_ARRAY_LEN(good); i++) {
        hs_addr addr, again;
        char out[HS_ADDR_TEXT_BYTES];
        cr_assert(hs_ok(parse(good[i].text, &addr)), "%s", good[i].text);
        cr_assert_str_eq(hs_addr_format(&addr, out), good[i].formatted);
        cr_assert(hs_ok(parse(out, &again)), "%s", out);
        cr_assert_eq(again.len, addr.len);
        cr_assert_eq(memcmp(&again.sa, &addr.sa, addr.len), 0, "%s", good[i].text);
    }
}

static const char *const bad[] = {
    "",
    ":",
    "80",
    "1.2.3.4",
    "1.2.3.4:",
    "1.2.3.4:65536",
    "1.2.3.4:-1",
    "1.2.3.4:+1",
    "1.2.3.4: 1",
    "1.2.3.4:1 ",
    "1.2.3.4:0x50",
    "1.2.3:80",
    "1.2.3.4.5:80",
    "256.1.1.1:80",
    "localhost:80",
    "::1:80",
    "[::1]",
    "[::1]80",
    "[::1:80",
    "::1]:80",
    "[]:80",
    "[:::1]:80",
    "[1.2.3.4]:80",
    "[::1]]:80",
    "[[::1]]:80",
    "[fe80::1%]:80",
    "[fe80::1%no-such-interface]:80",
    "[fe80::1%no-such]:80",
    "[fe80::1%99999999999]:80",
    "[fe80::1%4294967296]:80",
    "[fe80::1%1%2]:80",
    "[::1] :80",
    " 1.2.3.4:80",
    "[1:2:3:4:5:6:7:8:9]:80",
    "[::g]:80",
    "1111111111111111111111111111.1.1.1:80",
    "[1111:1111:1111:1111:1111:1111:1111:1111:1111:1111:1111:1111:1111:1111]:80",
    "1.2.3.4:99999999999999999999",
    /* Just too long for a buffer of the system's size. */
    "1111.1111.1111.1:80",
    "[1111:1111:1111:1111:1111:1111:1111:1111:1111:1]:80",
    "unix:",
    "unix:@",
    "unix",
    "Unix:/x",
    " unix:/x",
};

Test(net_addr, bad_ones_are_refused)
{
    for (size_t i = 0; i < HS_ARRAY_LEN(bad); i++) {
        hs_addr addr;
        cr_assert_eq(parse(bad[i], &addr).code, HS_E_USAGE, "%s", bad[i]);
    }
}

Test(net_addr, a_nul_inside_ends_nothing)
{
    hs_addr addr;
    cr_assert_eq(hs_addr_parse(&addr, HS_SPAN("1.2.3.4\0x:80")).code, HS_E_USAGE);
    cr_assert_eq(hs_addr_parse(&addr, HS_SPAN("[::1\0]:80")).code, HS_E_USAGE);
    cr_assert_eq(hs_addr_parse(&addr, HS_SPAN("1.2.3.4:80\0")).code, HS_E_USAGE);
    cr_assert_eq(hs_addr_parse(&addr, HS_SPAN("unix:/x\0y")).code, HS_E_USAGE);
    cr_assert_eq(hs_addr_parse(&addr, HS_SPAN("unix:@x\0")).code, HS_E_USAGE);
    cr_assert_eq(hs_addr_parse(&addr, hs_span_of(NULL, 0)).code, HS_E_USAGE);
}

/* Cut anywhere, each address is another one or none; nothing is read beyond its end. */
Test(net_addr, every_cut)
{
    for (size_t i = 0; i < HS_ARRAY_LEN(good); i++) {
        size_t len = strlen(good[i].text);
        for (size_t cut = 0; cut <= len; cut++) {
            char *copy = malloc(cut + 1);
            cr_assert_not_null(copy);
            memcpy(copy + 1, good[i].text, cut);
            hs_addr addr;
            hs_err err = hs_addr_parse(&addr, hs_span_of(copy + 1, cut));
            cr_assert(hs_ok(err) || err.code == HS_E_USAGE);
            cr_assert(cut < len || hs_ok(err));
            free(copy);
        }
    }
}

Test(net_addr, the_parts_are_the_systems)
{
    hs_addr addr;
    cr_assert(hs_ok(parse("1.2.3.4:8080", &addr)));
    cr_assert_eq(addr.sa.any.sa_family, AF_INET);
    cr_assert_eq(addr.len, sizeof(struct sockaddr_in));
    cr_assert_eq(addr.sa.v4.sin_addr.s_addr, htonl(0x01020304));
    cr_assert_eq(addr.sa.v4.sin_port, htons(8080));
    cr_assert(hs_ok(parse("[fe80::1%7]:443", &addr)));
    cr_assert_eq(addr.sa.any.sa_family, AF_INET6);
    cr_assert_eq(addr.len, sizeof(struct sockaddr_in6));
    cr_assert_eq(addr.sa.v6.sin6_scope_id, 7);
    cr_assert_eq(addr.sa.v6.sin6_port, htons(443));
    cr_assert_eq(addr.sa.v6.sin6_addr.s6_addr[0], 0xfe);
    cr_assert_eq(addr.sa.v6.sin6_addr.s6_addr[15], 1);
}

Test(net_addr, the_port_is_set_alone)
{
    static const char *const texts[] = {"1.2.3.4:1", "[fe80::1%2]:1"};
    for (size_t i = 0; i < HS_ARRAY_LEN(texts); i++) {
        hs_addr addr, before;
        cr_assert(hs_ok(parse(texts[i], &addr)));
        before = addr;
        cr_assert_eq(hs_addr_port(&addr), 1);
        hs_addr_set_port(&addr, 0xabcd);
        cr_assert_eq(hs_addr_port(&addr), 0xabcd);
        hs_addr_set_port(&addr, 1);
        cr_assert_eq(memcmp(&addr.sa, &before.sa, addr.len), 0);
    }
}

Test(net_addr, the_longest_text_fits)
{
    hs_addr addr;
    char out[HS_ADDR_TEXT_BYTES];
    const char *longest = "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff%4294967295]:65535";
    cr_assert(hs_ok(parse(longest, &addr)));
    cr_assert_str_eq(hs_addr_format(&addr, out), longest);
}

/* "unix:", then '@' where `abstract`, then `len` letters. */
static const char *unix_text(bool abstract, size_t len)
{
    static char text[200];
    snprintf(text, sizeof text, "unix:%s%0*d", abstract ? "@" : "", (int)len, 0);
    return text;
}

Test(net_addr, the_longest_name_of_a_unix_socket)
{
    for (int abstract = 0; abstract < 2; abstract++) {
        hs_addr addr;
        char out[HS_ADDR_TEXT_BYTES];
        const char *longest = unix_text(abstract, HS_UNIX_NAME_MAX);
        cr_assert(hs_ok(parse(longest, &addr)));
        cr_assert_eq(addr.len, sizeof(struct sockaddr_un));
        cr_assert_str_eq(hs_addr_format(&addr, out), longest);
        cr_assert_eq(parse(unix_text(abstract, HS_UNIX_NAME_MAX + 1), &addr).code, HS_E_LIMIT);
    }
}

Test(net_addr, a_path_and_an_abstract_name_are_the_systems)
{
    size_t at = offsetof(struct sockaddr_un, sun_path);
    hs_addr addr;
    cr_assert(hs_ok(parse("unix:/x", &addr)));
    cr_assert(hs_addr_is_unix(&addr));
    cr_assert_eq(addr.len, at + 3); /* with its NUL */
    cr_assert_str_eq(addr.sa.un.sun_path, "/x");
    cr_assert(hs_span_eq(hs_addr_path(&addr), HS_SPAN("/x")));
    cr_assert_eq(hs_addr_port(&addr), 0);
    cr_assert(hs_ok(parse("unix:@xy", &addr)));
    cr_assert_eq(addr.len, at + 3); /* a NUL first, none last */
    cr_assert_eq(memcmp(addr.sa.un.sun_path, "\0xy", 3), 0);
    cr_assert_eq(hs_addr_path(&addr).len, 0);
    cr_assert(hs_ok(parse("1.2.3.4:80", &addr)));
    cr_assert_not(hs_addr_is_unix(&addr));
    cr_assert_eq(hs_addr_path(&addr).len, 0);
}

/* What the system may hand out: no name, no NUL at the end, NULs inside. */
Test(net_addr, names_that_no_text_gives)
{
    size_t at = offsetof(struct sockaddr_un, sun_path);
    char out[HS_ADDR_TEXT_BYTES];
    hs_addr addr = {.sa.un.sun_family = AF_UNIX, .len = sizeof(sa_family_t)};
    cr_assert_str_eq(hs_addr_format(&addr, out), "unix:");
    cr_assert_eq(hs_addr_path(&addr).len, 0);
    memset(addr.sa.un.sun_path, 'p', sizeof addr.sa.un.sun_path);
    addr.len = (socklen_t)(at + sizeof addr.sa.un.sun_path);
    cr_assert_eq(strlen(hs_addr_format(&addr, out)), 5 + sizeof addr.sa.un.sun_path);
    cr_assert_eq(hs_addr_path(&addr).len, sizeof addr.sa.un.sun_path);
    addr.len += 1; /* as recvmsg tells of one that it had to cut */
    cr_assert_eq(strlen(hs_addr_format(&addr, out)), 5 + sizeof addr.sa.un.sun_path);
    memcpy(addr.sa.un.sun_path, "\0a\0b", 4);
    addr.len = (socklen_t)(at + 4);
    cr_assert_str_eq(hs_addr_format(&addr, out), "unix:@a@b");
}

Test(net_addr, equal_and_not)
{
    static const char *const texts[] = {
        "1.2.3.4:1",     "1.2.3.4:2", "1.2.3.5:1", "[::1]:1", "[::1]:2",  "[::2]:1",  "[fe80::1]:1",
        "[fe80::1%2]:1", "unix:/x",   "unix:/xy",  "unix:@x", "unix:@/x", "0.0.0.0:1"};
    for (size_t i = 0; i < HS_ARRAY_LEN(texts); i++)
        for (size_t k = 0; k < HS_ARRAY_LEN(texts); k++) {
            hs_addr a, b;
            cr_assert(hs_ok(parse(texts[i], &a)));
            memset(&b, 0, sizeof b); /* what lies beyond the address does not count */
            cr_assert(hs_ok(hs_addr_parse(&b, hs_span_str(texts[k]))));
            cr_assert_eq(hs_addr_eq(&a, &b), i == k, "%s %s", texts[i], texts[k]);
        }
}

Test(net_addr, a_unix_socket_has_no_port_to_set, .signal = SIGABRT)
{
    hs_addr addr;
    cr_assert(hs_ok(parse("unix:/x", &addr)));
    hs_addr_set_port(&addr, 1);
}
