/* What a server reads of a ClientHello before anything is made for it. */
#include <criterion/criterion.h>

#include "tls.h"

static uint8_t scratch[TLS_HELLO_BYTES_MAX];

/* A hello with a host, two protocols and two signatures, in records of `piece` bytes. */
static size_t make(uint8_t *out, size_t piece)
{
    static const uint8_t body[] = "\x03\x03"
                                  "0123456789abcdef0123456789abcdef"
                                  "\x00"
                                  "\x00\x02\x13\x01"
                                  "\x01\x00"
                                  "\x00\x37"
                                  "\x00\x00\x00\x10\x00\x0e\x00\x00\x0bserver.test"
                                  "\x00\x0d\x00\x06\x00\x04\x04\x03\x08\x07"
                                  "\x00\x10\x00\x0e\x00\x0c\x02h2\x08http/1.1"
                                  "\x00\x2b\x00\x03\x02\x03\x04";
    uint8_t message[4 + sizeof body - 1] = {1, 0, 0, sizeof body - 1};
    size_t len = 0;
    memcpy(message + 4, body, sizeof body - 1);
    for (size_t at = 0; at < sizeof message; at += piece) {
        size_t n = HS_MIN(piece, sizeof message - at);
        uint8_t head[5] = {22, 3, 1, (uint8_t)(n >> 8), (uint8_t)n};
        memcpy(out + len, head, 5);
        memcpy(out + len + 5, message + at, n);
        len += 5 + n;
    }
    return len;
}

Test(tls_hello, its_parts_are_found_however_it_is_cut)
{
    for (size_t piece = 1; piece < 120; piece++) {
        uint8_t bytes[1200];
        tls_hello hello;
        uint32_t need;
        size_t len = make(bytes, piece);
        cr_assert_eq(tls_hello_read(bytes, len, scratch, &hello, &need), TLS_HELLO_DONE);
        cr_assert(hs_span_eq(hello.sni, HS_SPAN("server.test")));
        cr_assert_eq(hello.keys, TLS_KEY_ECDSA | TLS_KEY_ED25519);
        hs_span one;
        cr_assert(tls_alpn_next(&hello.alpn, &one) && hs_span_eq(one, HS_SPAN("h2")));
        cr_assert(tls_alpn_next(&hello.alpn, &one) && hs_span_eq(one, HS_SPAN("http/1.1")));
        cr_assert_not(tls_alpn_next(&hello.alpn, &one));
    }
}

/* Of every beginning it says how much it needs at least, and never too much. */
Test(tls_hello, a_part_asks_for_more)
{
    uint8_t bytes[1200];
    for (size_t piece = 1; piece < 120; piece += 13) {
        size_t len = make(bytes, piece);
        for (size_t part = 1; part < len; part++) {
            tls_hello hello;
            uint32_t need = 0;
            cr_assert_eq(tls_hello_read(bytes, part, scratch, &hello, &need), TLS_HELLO_MORE);
            cr_assert(need > part && need <= len, "%u of %zu at %zu", need, len, part);
        }
    }
}

/* Whatever byte is broken: no read outside, and an answer. */
Test(tls_hello, any_byte_may_be_anything)
{
    uint8_t bytes[1200];
    size_t len = make(bytes, 4000);
    for (size_t at = 0; at < len; at++)
        for (int value = 0; value < 256; value++) {
            uint8_t *copy = malloc(len); /* of its own, so that a sanitizer sees its end */
            tls_hello hello;
            uint32_t need;
            memcpy(copy, bytes, len);
            copy[at] = (uint8_t)value;
            tls_hello_result result = tls_hello_read(copy, len, scratch, &hello, &need);
            if (result == TLS_HELLO_DONE)
                cr_assert_leq(hello.sni.len, 255);
            free(copy);
        }
}

Test(tls_hello, what_is_none)
{
    static const struct {
        const char *bytes;
        size_t len;
        tls_hello_result result;
    } cases[] = {
        {"GET / HTTP/1.1", 14, TLS_HELLO_PLAIN},
        {"\x80\x2e\x01", 3, TLS_HELLO_BAD},
        {"\x16\x02", 2, TLS_HELLO_BAD},
        {"\x16\x03\x01\x00\x00", 5, TLS_HELLO_BAD},
        {"\x16\x03\x01\x40\x01", 5, TLS_HELLO_BAD},
        {"\x16\x03\x01\x00\x01\x02", 6, TLS_HELLO_BAD},
        {"\x16\x03\x01\x00\x04\x01\x00\x50\x00", 9, TLS_HELLO_LARGE},
        {"\x16\x03\x01\x00\x04\x01\x00\x4f\xfc", 9, TLS_HELLO_MORE},
        {"\x16\x03\x01\x00\x04\x01\x00\x80\x00", 9, TLS_HELLO_LARGE},
        {"\x16\x03\x01\x00\x01\x01GET /", 11, TLS_HELLO_BAD},
        {"\x16", 1, TLS_HELLO_MORE},
    };
    for (size_t i = 0; i < HS_ARRAY_LEN(cases); i++) {
        tls_hello hello;
        uint32_t need;
        cr_assert_eq(
            tls_hello_read((const uint8_t *)cases[i].bytes, cases[i].len, scratch, &hello, &need),
            cases[i].result, "%zu", i);
    }
}
