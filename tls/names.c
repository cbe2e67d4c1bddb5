/* Whom a certificate names, and whether that is who was meant (RFC 9525).
 *
 * Owns: the comparison of names. Only subjectAltName counts, never the subject's common name; a
 * wildcard is a whole first label and stands for one label; addresses are compared as bytes.
 * Tested by: tests/unit/tls_names.c. */
#include <arpa/inet.h>
#include <stdlib.h>

#include "tls.h"

#include <wolfssl/wolfcrypt/sha256.h>

enum { ALT_DNS = 0x82, ALT_ADDRESS = 0x87 };

static bool name_byte(uint8_t c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '_';
}

bool tls_name_ok(hs_span name)
{
    size_t label = 0;
    if (name.len == 0 || name.len > 255)
        return false;
    for (size_t i = 0; i < name.len; i++) {
        if (name.ptr[i] == '.' && label == 0)
            return false;
        if (name.ptr[i] != '.' && !name_byte(name.ptr[i]))
            return false;
        label = name.ptr[i] == '.' ? 0 : label + 1;
        if (label > 63)
            return false;
    }
    return true;
}

bool tls_is_address(hs_span host, uint8_t out[16], size_t *len)
{
    char text[INET6_ADDRSTRLEN];
    if (host.len >= 2 && host.ptr[0] == '[' && host.ptr[host.len - 1] == ']')
        host = hs_span_of(host.ptr + 1, host.len - 2);
    if (host.len == 0 || host.len >= sizeof text)
        return false;
    memcpy(text, host.ptr, host.len);
    text[host.len] = '\0';
    *len = 4;
    if (inet_pton(AF_INET, text, out) == 1)
        return true;
    *len = 16;
    return inet_pton(AF_INET6, text, out) == 1;
}

/* A trailing dot says that the name is whole, and is no part of it. */
static hs_span without_dot(hs_span name)
{
    if (name.len > 1 && name.ptr[name.len - 1] == '.')
        name.len--;
    return name;
}

/* Both without a dot at the end. */
static bool matches(hs_span pattern, hs_span host)
{
    if (pattern.len < 2 || pattern.ptr[0] != '*' || pattern.ptr[1] != '.')
        return tls_name_ok(pattern) && hs_span_eq_nocase(pattern, host);
    hs_span suffix = hs_span_from(pattern, 1);
    const uint8_t *dot = memchr(host.ptr, '.', host.len);
    /* "*.com" names nobody: there must be a dot in what follows the wildcard's own. */
    if (!dot || dot == host.ptr || !tls_name_ok(hs_span_from(suffix, 1)) ||
        !memchr(suffix.ptr + 1, '.', suffix.len - 1))
        return false;
    return hs_span_eq_nocase(suffix, hs_span_from(host, (size_t)(dot - host.ptr)));
}

bool tls_names_host(const tls_der *der, hs_span host)
{
    uint8_t address[16], tag;
    size_t len = 0;
    bool is_address = tls_is_address(host, address, &len);
    hs_span list = der->alt_names, name;
    host = without_dot(host);
    if (!is_address && !tls_name_ok(host))
        return false;
    while (tls_der_next(&list, &tag, &name)) {
        if (is_address && tag == ALT_ADDRESS && hs_span_eq(name, hs_span_of(address, len)))
            return true;
        if (!is_address && tag == ALT_DNS && matches(without_dot(name), host))
            return true;
    }
    return false;
}

uint32_t tls_names_count(const tls_der *der)
{
    hs_span list = der->alt_names, name;
    uint32_t n = 0;
    uint8_t tag;
    while (tls_der_next(&list, &tag, &name))
        n++;
    return n;
}

static int compare_names(const void *a, const void *b)
{
    const hs_span *x = a, *y = b;
    int order = memcmp(x->ptr, y->ptr, HS_MIN(x->len, y->len));
    if (order == 0)
        order = (x->len > y->len) - (x->len < y->len);
    return order;
}

/* Each with its tag and length, as it is in the certificate. */
static int hash_names(const tls_der *der, hs_span *names, uint8_t out[TLS_IDENTITY_BYTES])
{
    hs_span list = der->alt_names, name;
    uint32_t n = 0;
    uint8_t tag;
    wc_Sha256 sha;
    for (hs_span from = list; tls_der_next(&list, &tag, &name); from = list)
        names[n++] = hs_span_of(from.ptr, from.len - list.len);
    qsort(names, n, sizeof *names, compare_names);
    int rc = wc_InitSha256(&sha);
    if (rc != 0)
        return rc;
    for (uint32_t i = 0; i < n && rc == 0; i++)
        rc = wc_Sha256Update(&sha, names[i].ptr, (word32)names[i].len);
    if (rc == 0)
        rc = wc_Sha256Final(&sha, out);
    wc_Sha256Free(&sha);
    return rc;
}

hs_err tls_names_identity(const hs_mem *mem, const tls_der *der, hs_span cert,
                          uint8_t out[TLS_IDENTITY_BYTES])
{
    uint32_t n = tls_names_count(der);
    size_t bytes = n * sizeof(hs_span);
    int rc;
    if (n == 0) {
        rc = wc_Sha256Hash(cert.ptr, (word32)cert.len, out);
    } else {
        hs_span *names = hs_mem_take(mem, bytes, 16);
        HS_ENSURE(names, -ENOMEM);
        rc = hash_names(der, names, out);
        hs_mem_give(mem, names, bytes, 16);
    }
    HS_ENSURE(rc == 0, -ENOMEM);
    return HS_OK;
}

bool tls_names_each(const tls_der *der, bool (*fn)(hs_span name, void *ctx), void *ctx)
{
    hs_span list = der->alt_names, name;
    uint8_t tag;
    bool more = true;
    while (more && tls_der_next(&list, &tag, &name))
        if (tag == ALT_DNS)
            more = fn(without_dot(name), ctx);
    return more;
}
