/* Names of hosts, addresses in numbers, and the name that never leaves the machine.
 *
 * Owns: what a name of a host is. It is strict: what is not a name is never sent to a server, and
 * nothing is taken here for a name that something else might take for an address. Must not know:
 * who asks. Tested by: tests/unit/net_dns_name.c, tests/fuzz/fuzz_dns_text.c. */
#include "dns.h"

#include "hs_assert.h"

static bool is_digit(uint8_t c)
{
    return c >= '0' && c <= '9';
}

/* Underscores are in names of services, and in those of hosts that follow no rule. */
static bool is_name_byte(uint8_t c)
{
    return (c >= 'a' && c <= 'z') || is_digit(c) || c == '-' || c == '_';
}

static uint8_t lower(uint8_t c)
{
    return c >= 'A' && c <= 'Z' ? (uint8_t)(c + ('a' - 'A')) : c;
}

/* Whether the last label is a number, so that an older parser of addresses would take the whole for
 * an IPv4 address (URL Standard, "ends in a number"). No top-level domain is. */
static bool ends_in_number(const char *text, size_t len)
{
    size_t at = len;
    while (at > 0 && text[at - 1] != '.')
        at--;
    bool hex = len - at >= 2 && text[at] == '0' && text[at + 1] == 'x';
    for (size_t i = hex ? at + 2 : at; i < len; i++) {
        bool hex_digit = hex && text[i] >= 'a' && text[i] <= 'f';
        if (!is_digit((uint8_t)text[i]) && !hex_digit)
            return false;
    }
    return true;
}

bool dns_name_parse(dns_name *out, hs_span text)
{
    HS_ASSERT(out != NULL);
    *out = (dns_name){0};
    if (text.len > 0 && text.ptr[text.len - 1] == '.') {
        out->absolute = true;
        text.len--;
    }
    if (text.len == 0 || text.len > DNS_NAME_MAX)
        return false;
    size_t label = 0;
    for (size_t i = 0; i < text.len; i++) {
        uint8_t c = lower(text.ptr[i]);
        out->text[i] = (char)c;
        if (c == '.') {
            if (label == 0)
                return false;
            label = 0;
            out->dots++;
        } else if (!is_name_byte(c) || ++label > DNS_LABEL_MAX) {
            return false;
        }
    }
    out->len = (uint8_t)text.len;
    return label > 0 && !ends_in_number(out->text, text.len);
}

bool dns_numeric(hs_span text, hs_addr *out)
{
    /* As hs_addr_parse takes it: an address, which has brackets where it is one of IPv6, and a
     * port. */
    char whole[HS_ADDR_TEXT_BYTES];
    bool v6 = text.len > 0 && memchr(text.ptr, ':', text.len);
    bool bare = v6 && text.ptr[0] != '[';
    if (text.len == 0 || text.len + 4 > sizeof whole || (!v6 && !is_digit(text.ptr[0])))
        return false;
    size_t len = 0;
    if (bare)
        whole[len++] = '[';
    memcpy(whole + len, text.ptr, text.len);
    len += text.len;
    if (bare)
        whole[len++] = ']';
    whole[len++] = ':';
    whole[len++] = '0';
    return hs_ok(hs_addr_parse(out, hs_span_of(whole, len)));
}

bool dns_is_localhost(const dns_name *name)
{
    static const char word[] = "localhost";
    size_t len = sizeof word - 1;
    if (name->len < len || memcmp(name->text + name->len - len, word, len) != 0)
        return false;
    return name->len == len || name->text[name->len - len - 1] == '.';
}

void dns_loopback(int family, hs_addr *out)
{
    dns_ip ip = {{127, 0, 0, 1}};
    if (family == AF_INET6)
        ip = (dns_ip){{[15] = 1}};
    dns_ip_addr(&ip, family, out);
}

void dns_ip_addr(const dns_ip *ip, int family, hs_addr *out)
{
    HS_ASSERT(family == AF_INET || family == AF_INET6);
    memset(out, 0, sizeof *out);
    if (family == AF_INET) {
        out->sa.v4.sin_family = AF_INET;
        memcpy(&out->sa.v4.sin_addr, ip->bytes, 4);
        out->len = sizeof out->sa.v4;
    } else {
        out->sa.v6.sin6_family = AF_INET6;
        memcpy(&out->sa.v6.sin6_addr, ip->bytes, 16);
        out->len = sizeof out->sa.v6;
    }
}
