/* The guard: each special block at its first and last address and just beside it, what is inside of
 * IPv6 addresses, and the exceptions of a policy. */
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <stdio.h>

#include "hs_guard.h"

static hs_addr addr_of(const char *host, uint16_t port)
{
    char text[80];
    hs_addr addr;
    snprintf(text, sizeof text, strchr(host, ':') ? "[%s]:%u" : "%s:%u", host, port);
    cr_assert(hs_ok(hs_addr_parse(&addr, hs_span_str(text))), "%s", text);
    return addr;
}

static bool is_public(const char *host)
{
    hs_addr addr = addr_of(host, 443);
    hs_err err = hs_guard_addr(&addr);
    cr_assert(hs_ok(err) || err.code == HS_E_FORBIDDEN);
    hs_err same = hs_guard_check(&addr, NULL);
    cr_assert_eq(same.code, err.code);
    return hs_ok(err);
}

/* A block from `first` to `last`; before and behind it are the addresses next to it, with whether
 * those are public. NULL: there is none. */
static const struct {
    const char *first, *last, *before, *behind;
    bool before_public, behind_public;
} blocks[] = {
    {"0.0.0.0", "0.255.255.255", NULL, "1.0.0.0", false, true},
    {"10.0.0.0", "10.255.255.255", "9.255.255.255", "11.0.0.0", true, true},
    {"100.64.0.0", "100.127.255.255", "100.63.255.255", "100.128.0.0", true, true},
    {"127.0.0.0", "127.255.255.255", "126.255.255.255", "128.0.0.0", true, true},
    {"168.63.129.16", "168.63.129.16", "168.63.129.15", "168.63.129.17", true, true},
    {"169.254.0.0", "169.254.255.255", "169.253.255.255", "169.255.0.0", true, true},
    {"172.16.0.0", "172.31.255.255", "172.15.255.255", "172.32.0.0", true, true},
    {"192.0.0.0", "192.0.0.255", "191.255.255.255", "192.0.1.0", true, true},
    {"192.0.2.0", "192.0.2.255", "192.0.1.255", "192.0.3.0", true, true},
    {"192.88.99.0", "192.88.99.255", "192.88.98.255", "192.88.100.0", true, true},
    {"192.168.0.0", "192.168.255.255", "192.167.255.255", "192.169.0.0", true, true},
    {"198.18.0.0", "198.19.255.255", "198.17.255.255", "198.20.0.0", true, true},
    {"198.51.100.0", "198.51.100.255", "198.51.99.255", "198.51.101.0", true, true},
    {"203.0.113.0", "203.0.113.255", "203.0.112.255", "203.0.114.0", true, true},
    {"224.0.0.0", "239.255.255.255", "223.255.255.255", "240.0.0.0", true, false},
    {"240.0.0.0", "255.255.255.255", "239.255.255.255", NULL, false, false},
    {"::", "::", NULL, "::1", false, false},
    {"::1", "::1", "::", "::2", false, false},
    {"100::", "1fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", NULL, "2000::", false, true},
    {"2001::", "2001:1ff:ffff:ffff:ffff:ffff:ffff:ffff", "2000:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
     "2001:200::", true, true},
    {"2001:db8::", "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff",
     "2001:db7:ffff:ffff:ffff:ffff:ffff:ffff", "2001:db9::", true, true},
    {"2002::", "2002:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "2001:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
     "2003::", true, true},
    {"3fff::", "3fff:fff:ffff:ffff:ffff:ffff:ffff:ffff", "3ffe:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
     "3fff:1000::", true, true},
    {"4000::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "3fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
     NULL, true, false},
    {"64:ff9b:1::", "64:ff9b:1:ffff:ffff:ffff:ffff:ffff", NULL, NULL, false, false},
};

Test(net_guard, each_special_block_ends_where_it_ends)
{
    for (size_t i = 0; i < HS_ARRAY_LEN(blocks); i++) {
        cr_assert_not(is_public(blocks[i].first), "%s", blocks[i].first);
        cr_assert_not(is_public(blocks[i].last), "%s", blocks[i].last);
        if (blocks[i].before)
            cr_assert_eq(is_public(blocks[i].before), blocks[i].before_public, "%s",
                         blocks[i].before);
        if (blocks[i].behind)
            cr_assert_eq(is_public(blocks[i].behind), blocks[i].behind_public, "%s",
                         blocks[i].behind);
    }
}

Test(net_guard, an_ipv4_address_inside_is_judged_as_such)
{
    static const char *const around[] = {"::ffff:", "::", "64:ff9b::"};
    static const struct {
        const char *host;
        bool is_public;
    } inside[] = {
        {"8.8.8.8", true},          {"1.0.0.0", true},          {"126.255.255.255", true},
        {"0.0.0.0", false},         {"10.1.2.3", false},        {"127.0.0.1", false},
        {"169.254.169.254", false}, {"192.168.0.1", false},     {"224.0.0.1", false},
        {"255.255.255.255", false}, {"100.100.100.200", false},
    };
    for (size_t i = 0; i < HS_ARRAY_LEN(inside); i++) {
        cr_assert_eq(is_public(inside[i].host), inside[i].is_public, "%s", inside[i].host);
        for (size_t j = 0; j < HS_ARRAY_LEN(around); j++) {
            char host[64];
            snprintf(host, sizeof host, "%s%s", around[j], inside[i].host);
            cr_assert_eq(is_public(host), inside[i].is_public, "%s", host);
        }
    }
}

Test(net_guard, addresses_with_a_name_of_their_own)
{
    static const char *const bad[] = {
        "169.254.169.254",
        "fd00:ec2::254",
        "100.100.100.200",
        "192.0.0.192",
        "fe80::1%1",
        "fec0::1",
        "ff02::1",
        "fc00::1",
        "fdff::1",
        "2001::1",
        "2001:10::1",
        "2001:20::1",
        "2001:2::1",
        "2002:808:808::1",
        "100::1",
        "5f00::1",
        "::ffff:0:8.8.8.8",
        "64:ff9b:1::8.8.8.8",
        "64:ff9b::1:8.8.8.8",
        "64:ff9c::8.8.8.8",
        "::1:8.8.8.8",
    };
    static const char *const good[] = {
        "1.1.1.1",
        "9.9.9.9",
        "2606:4700:4700::1111",
        "2a00:1450:4001::1",
        "2001:4860:4860::8888",
        "2620:fe::fe",
    };
    for (size_t i = 0; i < HS_ARRAY_LEN(bad); i++)
        cr_assert_not(is_public(bad[i]), "%s", bad[i]);
    for (size_t i = 0; i < HS_ARRAY_LEN(good); i++)
        cr_assert(is_public(good[i]), "%s", good[i]);
}

Test(net_guard, what_is_neither_ipv4_nor_ipv6_is_refused)
{
    hs_addr addr;
    cr_assert(hs_ok(hs_addr_parse(&addr, HS_SPAN("unix:/run/x.sock"))));
    cr_assert_eq(hs_guard_addr(&addr).code, HS_E_FORBIDDEN);
    addr.sa.any.sa_family = AF_UNSPEC;
    cr_assert_eq(hs_guard_addr(&addr).code, HS_E_FORBIDDEN);
    addr.sa.any.sa_family = AF_PACKET;
    cr_assert_eq(hs_guard_addr(&addr).code, HS_E_FORBIDDEN);
}

/* ---- networks ---- */

static const struct {
    const char *text, *addr;
    uint8_t bits;
} nets[] = {
    {"10.0.0.0/8", "10.0.0.0", 8},
    {"10.1.2.3/8", "10.0.0.0", 8},
    {"10.255.255.255/9", "10.128.0.0", 9},
    {"1.2.3.4", "1.2.3.4", 32},
    {"1.2.3.4/32", "1.2.3.4", 32},
    {"1.2.3.4/31", "1.2.3.4", 31},
    {"1.2.3.5/31", "1.2.3.4", 31},
    {"255.255.255.255/0", "0.0.0.0", 0},
    {"fd00::/8", "fd00::", 8},
    {"fdff:1::1/7", "fc00::", 7},
    {"::1", "::1", 128},
    {"::1/127", "::", 127},
    {"ffff::ffff/0", "::", 0},
    {"::ffff:1.2.3.4/128", "::ffff:1.2.3.4", 128},
};

Test(net_guard, networks_are_parsed)
{
    for (size_t i = 0; i < HS_ARRAY_LEN(nets); i++) {
        hs_net net;
        uint8_t want[16] = {0};
        bool v6 = strchr(nets[i].text, ':') != NULL;
        cr_assert_eq(inet_pton(v6 ? AF_INET6 : AF_INET, nets[i].addr, want), 1);
        cr_assert(hs_ok(hs_net_parse(&net, hs_span_str(nets[i].text))), "%s", nets[i].text);
        cr_assert_eq(net.bits, nets[i].bits, "%s", nets[i].text);
        cr_assert_eq(net.v6, v6, "%s", nets[i].text);
        cr_assert_arr_eq(net.addr, want, 16, "%s", nets[i].text);
    }
}

Test(net_guard, other_texts_are_no_networks)
{
    static const char *const bad[] = {
        "",
        "/",
        "/8",
        "10.0.0.0/",
        "10.0.0.0/33",
        "::/129",
        "10.0.0.0/-1",
        "10.0/8",
        "10/8",
        "10.0.0.0/8 ",
        " 10.0.0.0/8",
        "10.0.0.0/8/8",
        "[::1]/128",
        "localhost",
        "1.2.3.4:80",
        "::1%1",
        "10.0.0.0/+8",
        "*",
        "1.2.3.4.5",
        "0x7f.0.0.1",
        "0000:0000:0000:0000:0000:0000:0000:0000:0000:0000/128",
    };
    hs_net net;
    for (size_t i = 0; i < HS_ARRAY_LEN(bad); i++)
        cr_assert_eq(hs_net_parse(&net, hs_span_str(bad[i])).code, HS_E_USAGE, "%s", bad[i]);
    cr_assert_eq(hs_net_parse(&net, hs_span_of("1.2.3.4\0", 8)).code, HS_E_USAGE);
}

static bool net_has(const char *net_text, const char *host)
{
    hs_net net;
    hs_addr addr = addr_of(host, 1);
    cr_assert(hs_ok(hs_net_parse(&net, hs_span_str(net_text))));
    return hs_net_has(&net, &addr);
}

Test(net_guard, a_network_has_its_own_addresses)
{
    cr_assert(net_has("10.0.0.0/8", "10.255.0.1"));
    cr_assert_not(net_has("10.0.0.0/8", "11.0.0.1"));
    cr_assert(net_has("172.16.0.0/12", "172.31.255.255"));
    cr_assert_not(net_has("172.16.0.0/12", "172.32.0.0"));
    cr_assert(net_has("0.0.0.0/0", "8.8.8.8"));
    cr_assert_not(net_has("0.0.0.0/0", "2606::1"));
    cr_assert(net_has("::/0", "2606::1"));
    cr_assert_not(net_has("::/0", "8.8.8.8"));
    cr_assert(net_has("10.0.0.0/8", "::ffff:10.0.0.1"));
    cr_assert(net_has("10.0.0.0/8", "64:ff9b::10.0.0.1"));
    cr_assert(net_has("64:ff9b::/96", "64:ff9b::10.0.0.1"));
    cr_assert(net_has("::1", "::1"));
    cr_assert_not(net_has("::1", "::2"));
    hs_net all = {.bits = 0};
    hs_addr un;
    cr_assert(hs_ok(hs_addr_parse(&un, HS_SPAN("unix:x"))));
    cr_assert_not(hs_net_has(&all, &un));
}

/* ---- the policy ---- */

static int judge(hs_guard *guard, const char *host, uint16_t port)
{
    hs_addr addr = addr_of(host, port);
    return hs_guard_check(&addr, guard).code;
}

Test(net_guard, a_policy_allows_networks)
{
    hs_guard guard = {0};
    cr_assert_eq(judge(&guard, "10.0.0.1", 80), HS_E_FORBIDDEN);
    cr_assert_eq(judge(&guard, "1.1.1.1", 80), 0);
    cr_assert(hs_ok(hs_guard_allow_nets(&guard, HS_SPAN(" 10.1.0.0/16, ::1\t192.168.1.2,,"))));
    cr_assert_eq(guard.nets_len, 3);
    cr_assert_eq(judge(&guard, "10.1.9.9", 80), 0);
    cr_assert_eq(judge(&guard, "10.2.0.0", 80), HS_E_FORBIDDEN);
    cr_assert_eq(judge(&guard, "::ffff:10.1.0.1", 80), 0);
    cr_assert_eq(judge(&guard, "::1", 80), 0);
    cr_assert_eq(judge(&guard, "127.0.0.1", 80), HS_E_FORBIDDEN);
    cr_assert_eq(judge(&guard, "192.168.1.2", 80), 0);
    cr_assert_eq(judge(&guard, "192.168.1.3", 80), HS_E_FORBIDDEN);
    cr_assert_eq(judge(&guard, "1.1.1.1", 80), 0);
}

Test(net_guard, a_policy_may_keep_to_some_ports)
{
    hs_guard guard = {0};
    cr_assert(hs_ok(hs_guard_allow_nets(&guard, HS_SPAN("10.0.0.0/8"))));
    cr_assert(hs_ok(hs_guard_allow_ports(&guard, HS_SPAN("80, 443"))));
    cr_assert_eq(judge(&guard, "1.1.1.1", 80), 0);
    cr_assert_eq(judge(&guard, "1.1.1.1", 443), 0);
    cr_assert_eq(judge(&guard, "1.1.1.1", 22), HS_E_FORBIDDEN);
    cr_assert_eq(judge(&guard, "10.0.0.1", 443), 0);
    cr_assert_eq(judge(&guard, "10.0.0.1", 6379), HS_E_FORBIDDEN);
    cr_assert_eq(judge(&guard, "127.0.0.1", 443), HS_E_FORBIDDEN);
}

Test(net_guard, a_policy_may_allow_unix_sockets)
{
    hs_guard guard = {.ports = {80}, .ports_len = 1};
    hs_addr addr;
    cr_assert(hs_ok(hs_addr_parse(&addr, HS_SPAN("unix:/run/x.sock"))));
    cr_assert_eq(hs_guard_check(&addr, &guard).code, HS_E_FORBIDDEN);
    guard.unix_sockets = true;
    cr_assert(hs_ok(hs_guard_check(&addr, &guard)));
}

Test(net_guard, a_wrong_list_adds_nothing)
{
    hs_guard guard = {0};
    cr_assert_eq(hs_guard_allow_nets(&guard, HS_SPAN("10.0.0.0/8, 10.0.0.0/40")).code, HS_E_USAGE);
    cr_assert_eq(guard.nets_len, 0);
    cr_assert_eq(hs_guard_allow_ports(&guard, HS_SPAN("80, 0")).code, HS_E_USAGE);
    cr_assert_eq(hs_guard_allow_ports(&guard, HS_SPAN("80, 65536")).code, HS_E_USAGE);
    cr_assert_eq(hs_guard_allow_ports(&guard, HS_SPAN("80-90")).code, HS_E_USAGE);
    cr_assert_eq(guard.ports_len, 0);
    cr_assert(hs_ok(hs_guard_allow_nets(&guard, HS_SPAN(" , "))));
    cr_assert_eq(guard.nets_len, 0);
}

Test(net_guard, a_policy_is_limited)
{
    hs_guard guard = {0};
    for (int i = 0; i < HS_GUARD_NETS_MAX; i++)
        cr_assert(hs_ok(hs_guard_allow_nets(&guard, HS_SPAN("10.0.0.0/8"))));
    cr_assert_eq(hs_guard_allow_nets(&guard, HS_SPAN("10.0.0.0/8")).code, HS_E_LIMIT);
    for (int i = 0; i < HS_GUARD_PORTS_MAX; i++)
        cr_assert(hs_ok(hs_guard_allow_ports(&guard, HS_SPAN("1"))));
    cr_assert_eq(hs_guard_allow_ports(&guard, HS_SPAN("1")).code, HS_E_LIMIT);
}
