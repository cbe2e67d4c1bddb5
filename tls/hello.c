/* A ClientHello (RFC 8446 section 4.1.2), as far as a server's choices need it.
 *
 * Owns: putting it together from its records, and finding the host, the protocols and the
 * signatures in it. It is read before there is anything of wolfSSL for the connection: one that
 * never sends a whole hello costs next to nothing. Must not know: certificates.
 * Tested by: tests/unit/tls_hello.c, tests/fuzz/fuzz_tls_hello.c. */
#include "tls.h"

#define RECORD_HEAD 5
#define MESSAGE_HEAD 4
#define HANDSHAKE 22
#define CLIENT_HELLO 1

enum {
    EXT_SERVER_NAME = 0,
    EXT_GROUPS = 10,
    EXT_SIGNATURES = 13,
    EXT_ALPN = 16,
    EXT_KEY_SHARE = 51
};

/* ---- reading, with checks ---- */

typedef struct cursor {
    const uint8_t *at, *end;
    bool bad;
} cursor;

static uint32_t take_number(cursor *c, uint32_t bytes)
{
    uint32_t n = 0;
    if ((size_t)(c->end - c->at) < bytes) {
        c->bad = true;
        c->at = c->end;
        return 0;
    }
    while (bytes-- > 0)
        n = n << 8 | *c->at++;
    return n;
}

static hs_span take_bytes(cursor *c, size_t len)
{
    if ((size_t)(c->end - c->at) < len) {
        c->bad = true;
        len = (size_t)(c->end - c->at);
    }
    hs_span s = hs_span_of(c->at, len);
    c->at += len;
    return s;
}

/* A vector whose length comes first, in `bytes` bytes. */
static hs_span take_vector(cursor *c, uint32_t bytes)
{
    return take_bytes(c, take_number(c, bytes));
}

static cursor cursor_of(hs_span s)
{
    return (cursor){s.ptr, s.ptr + s.len, false};
}

/* ---- the message ---- */

static void read_name(hs_span data, tls_hello *hello)
{
    cursor c = cursor_of(data);
    cursor list = cursor_of(take_vector(&c, 2));
    while (list.at < list.end) {
        uint32_t type = take_number(&list, 1);
        hs_span name = take_vector(&list, 2);
        if (type == 0 && !list.bad && name.len <= 255 && tls_name_ok(name))
            hello->sni = name;
    }
}

static uint32_t key_of(uint32_t scheme)
{
    switch (scheme) {
    case 0x0401: /* rsa_pkcs1_sha256, sha384, sha512 */
    case 0x0501:
    case 0x0601:
    case 0x0804: /* rsa_pss_rsae_sha256, sha384, sha512 */
    case 0x0805:
    case 0x0806:
        return TLS_KEY_RSA;
    case 0x0403: /* ecdsa_secp256r1_sha256, secp384r1_sha384, secp521r1_sha512 */
    case 0x0503:
    case 0x0603:
        return TLS_KEY_ECDSA;
    case 0x0807:
        return TLS_KEY_ED25519;
    default:
        return 0;
    }
}

static void read_signatures(hs_span data, tls_hello *hello)
{
    cursor c = cursor_of(data);
    cursor list = cursor_of(take_vector(&c, 2));
    hello->keys = 0;
    while (list.at < list.end)
        hello->keys |= key_of(take_number(&list, 2));
}

/* secp256r1, secp384r1, secp521r1 and x25519: those that wolfSSL is built with. */
static bool group_is_ours(uint32_t group)
{
    return group == 23 || group == 24 || group == 25 || group == 29;
}

static void read_groups(hs_span data, tls_hello *hello)
{
    cursor c = cursor_of(data);
    cursor list = cursor_of(take_vector(&c, 2));
    hello->no_group = list.at < list.end;
    while (list.at < list.end)
        if (group_is_ours(take_number(&list, 2)))
            hello->no_group = false;
}

/* RFC 8446 section 4.2.8: one share for a group. wolfSSL would compute with each (CVE-2025-11936).
 */
static void read_shares(hs_span data, tls_hello *hello)
{
    cursor c = cursor_of(data);
    cursor list = cursor_of(take_vector(&c, 2));
    uint32_t seen = 0; /* bits by the group's number */
    while (list.at < list.end && !list.bad) {
        uint32_t group = take_number(&list, 2);
        (void)take_vector(&list, 2);
        if (!group_is_ours(group))
            continue;
        hello->share_twice |= (seen >> group & 1) != 0;
        seen |= UINT32_C(1) << group;
    }
}

static void read_extensions(cursor *c, tls_hello *hello)
{
    cursor list = cursor_of(take_vector(c, 2));
    while (list.at < list.end && !list.bad) {
        uint32_t type = take_number(&list, 2);
        hs_span data = take_vector(&list, 2);
        if (list.bad)
            break;
        cursor inner = cursor_of(data);
        if (type == EXT_SERVER_NAME)
            read_name(data, hello);
        else if (type == EXT_GROUPS)
            read_groups(data, hello);
        else if (type == EXT_SIGNATURES)
            read_signatures(data, hello);
        else if (type == EXT_KEY_SHARE)
            read_shares(data, hello);
        else if (type == EXT_ALPN)
            hello->alpn = take_vector(&inner, 2);
    }
    c->bad |= list.bad;
}

static bool read_message(hs_span body, tls_hello *hello)
{
    cursor c = cursor_of(body);
    *hello = (tls_hello){.keys = TLS_KEY_RSA | TLS_KEY_ECDSA};
    (void)take_number(&c, 2); /* version */
    (void)take_bytes(&c, 32); /* random */
    (void)take_vector(&c, 1); /* session */
    (void)take_vector(&c, 2); /* cipher suites */
    (void)take_vector(&c, 1); /* compression */
    if (!c.bad && c.at < c.end)
        read_extensions(&c, hello);
    return !c.bad;
}

/* ---- the records ---- */

/* What no record of a handshake begins with. */
static tls_hello_result judge_start(const uint8_t *b, size_t len)
{
    bool letter = (b[0] >= 'A' && b[0] <= 'Z') || (b[0] >= 'a' && b[0] <= 'z');
    if (letter)
        return TLS_HELLO_PLAIN;
    if (b[0] != HANDSHAKE || (len > 1 && b[1] != 3))
        return TLS_HELLO_BAD;
    return TLS_HELLO_MORE;
}

tls_hello_result tls_hello_read(const uint8_t *bytes, size_t len, uint8_t *scratch,
                                tls_hello *hello, uint32_t *need)
{
    size_t at = 0, have = 0, whole = MESSAGE_HEAD;
    bool cut = false;
    HS_ASSERT(len > 0);
    for (;;) {
        if (at < len && judge_start(bytes + at, len - at) != TLS_HELLO_MORE)
            return at > 0 ? TLS_HELLO_BAD : judge_start(bytes, len);
        if (len - at < RECORD_HEAD) {
            *need = (uint32_t)at + RECORD_HEAD;
            break;
        }
        size_t n = (size_t)bytes[at + 3] << 8 | bytes[at + 4];
        if (n == 0 || n > TLS_RECORD_BYTES)
            return TLS_HELLO_BAD;
        if (at + RECORD_HEAD + n > TLS_HELLO_BYTES_MAX)
            return TLS_HELLO_LARGE;
        if (len - at - RECORD_HEAD < n) {
            *need = (uint32_t)(at + RECORD_HEAD + n);
            break;
        }
        memcpy(scratch + have, bytes + at + RECORD_HEAD, n);
        have += n;
        at += RECORD_HEAD + n;
        if (scratch[0] != CLIENT_HELLO)
            return TLS_HELLO_BAD;
        if (have >= MESSAGE_HEAD)
            whole =
                MESSAGE_HEAD + ((size_t)scratch[1] << 16 | (size_t)scratch[2] << 8 | scratch[3]);
        if (whole > TLS_HELLO_BYTES_MAX)
            return TLS_HELLO_LARGE;
        cut |= have < MESSAGE_HEAD;
        if (have >= whole && have >= MESSAGE_HEAD) {
            if (!read_message(hs_span_of(scratch + MESSAGE_HEAD, whole - MESSAGE_HEAD), hello))
                return TLS_HELLO_BAD;
            hello->cut = cut;
            hello->records_bytes = (uint32_t)at;
            hello->payload_bytes = (uint32_t)have;
            return TLS_HELLO_DONE;
        }
    }
    return *need > TLS_HELLO_BYTES_MAX ? TLS_HELLO_LARGE : TLS_HELLO_MORE;
}

bool tls_alpn_next(hs_span *list, hs_span *protocol)
{
    if (list->len == 0 || list->ptr[0] == 0 || (size_t)list->ptr[0] + 1 > list->len)
        return false;
    *protocol = hs_span_of(list->ptr + 1, list->ptr[0]);
    *list = hs_span_from(*list, (size_t)list->ptr[0] + 1);
    return true;
}
