/* What an OCSP response (RFC 6960 section 4.2.1) says of one certificate.
 *
 * Owns: finding that in DER, and whether a server may hand it to clients. The signature is theirs
 * to check: a server that fetched a wrong one has only itself to blame, and its clients notice.
 * Must not know: where the response comes from, and who asks for it. Tested by:
 * tests/unit/tls_ocsp.c, tests/fuzz/fuzz_tls_der.c. */
#include "tls.h"

#include <wolfssl/wolfcrypt/sha.h>
#include <wolfssl/wolfcrypt/sha256.h>

enum {
    DER_INTEGER = 0x02,
    DER_OCTETS = 0x04,
    DER_OID = 0x06,
    DER_ENUM = 0x0a,
    DER_TIME = 0x18,
    DER_SEQUENCE = 0x30,
    TAG_GOOD = 0x80, /* certStatus */
    TAG_REVOKED = 0xa1,
    TAG_BY_NAME = 0xa1, /* responderID */
    TAG_BY_KEY = 0xa2,
    TAG_0 = 0xa0, /* what is explicit: the bytes, a version, the next update */
};

/* What a single response is about, and what it says. */
typedef struct single {
    hs_span hash, issuer_name, serial; /* contents */
    hs_span from, until;               /* times with their tags; `until` empty: none */
    uint8_t status;                    /* its tag */
} single;

static bool take(hs_span *from, uint8_t want, hs_span *content)
{
    uint8_t tag;
    return tls_der_next(from, &tag, content) && tag == want;
}

static bool take_whole(hs_span *from, hs_span *out)
{
    hs_span whole = *from, content;
    uint8_t tag;
    if (!tls_der_next(from, &tag, &content))
        return false;
    *out = hs_span_of(whole.ptr, whole.len - from->len);
    return tag == DER_TIME;
}

/* ---- the way to the single responses ---- */

static bool read_single(hs_span *list, single *out)
{
    hs_span one, id, algorithm, key, next;
    *out = (single){0};
    if (!take(list, DER_SEQUENCE, &one) || !take(&one, DER_SEQUENCE, &id) ||
        !take(&id, DER_SEQUENCE, &algorithm) || !take(&algorithm, DER_OID, &out->hash) ||
        !take(&id, DER_OCTETS, &out->issuer_name) || !take(&id, DER_OCTETS, &key) ||
        !take(&id, DER_INTEGER, &out->serial))
        return false;
    hs_span skipped;
    if (!tls_der_next(&one, &out->status, &skipped) || !take_whole(&one, &out->from))
        return false;
    if (one.len > 0 && one.ptr[0] == TAG_0)
        return take(&one, TAG_0, &next) && take_whole(&next, &out->until);
    return true;
}

/* The list of single responses inside of a basic response. */
static bool find_singles(hs_span basic, hs_span *list)
{
    hs_span body, data, skipped;
    uint8_t tag;
    if (!take(&basic, DER_SEQUENCE, &body) || !take(&body, DER_SEQUENCE, &data))
        return false;
    if (data.len > 0 && data.ptr[0] == TAG_0 && !take(&data, TAG_0, &skipped))
        return false;
    return tls_der_next(&data, &tag, &skipped) && (tag == TAG_BY_NAME || tag == TAG_BY_KEY) &&
           take(&data, DER_TIME, &skipped) && take(&data, DER_SEQUENCE, list);
}

/* NULL: *basic is there. Else why not, in words. */
static const char *open_response(hs_span file, hs_span *basic)
{
    static const uint8_t oid_basic[] = {0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x30, 0x01, 0x01};
    hs_span whole, status, outer, bytes, type;
    if (!take(&file, DER_SEQUENCE, &whole) || file.len > 0 || !take(&whole, DER_ENUM, &status) ||
        status.len != 1)
        return "is no OCSP response in DER";
    if (status.ptr[0] != 0)
        return "is the refusal of a responder, not the status of a certificate";
    if (!take(&whole, TAG_0, &outer) || !take(&outer, DER_SEQUENCE, &bytes) ||
        !take(&bytes, DER_OID, &type) || !take(&bytes, DER_OCTETS, basic))
        return "is a broken OCSP response";
    if (!hs_span_eq(type, hs_span_of(oid_basic, sizeof oid_basic)))
        return "is an OCSP response of a kind that is not known";
    return NULL;
}

/* ---- whether it is about the certificate ---- */

/* Whether the name of the certificate's issuer has this hash. */
static bool same_issuer(const single *s, const tls_der *cert)
{
    static const uint8_t sha1[] = {0x2b, 0x0e, 0x03, 0x02, 0x1a};
    static const uint8_t sha256[] = {0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01};
    uint8_t hash[WC_SHA256_DIGEST_SIZE];
    uint32_t len = 0;
    HS_ASSERT(cert->issuer.len > 0 && cert->issuer.len <= UINT32_MAX);
    if (hs_span_eq(s->hash, hs_span_of(sha1, sizeof sha1)) &&
        wc_ShaHash(cert->issuer.ptr, (word32)cert->issuer.len, hash) == 0)
        len = WC_SHA_DIGEST_SIZE;
    else if (hs_span_eq(s->hash, hs_span_of(sha256, sizeof sha256)) &&
             wc_Sha256Hash(cert->issuer.ptr, (word32)cert->issuer.len, hash) == 0)
        len = WC_SHA256_DIGEST_SIZE;
    return len > 0 && hs_span_eq(s->issuer_name, hs_span_of(hash, len));
}

static const char *judge(const single *s, uint64_t now_s, uint64_t *until_s)
{
    uint64_t from_s;
    if (s->status != TAG_GOOD)
        return s->status == TAG_REVOKED ? "says that the certificate is revoked"
                                        : "says that the certificate is not known";
    if (!tls_der_seconds(s->from, &from_s))
        return "is a broken OCSP response";
    if (s->until.len == 0)
        return "does not say until when it is good (nextUpdate)";
    if (!tls_der_seconds(s->until, until_s))
        return "is a broken OCSP response";
    if (from_s > now_s + TLS_OCSP_SKEW_S)
        return "is an OCSP response of the future";
    return now_s < *until_s ? NULL : "is out of date";
}

const char *tls_ocsp_read(hs_span file, const tls_der *cert, uint64_t now_s, uint64_t *until_s)
{
    hs_span basic, list;
    single s;
    HS_ASSERT(cert->serial.len > 0);
    const char *fault = open_response(file, &basic);
    if (fault)
        return fault;
    if (!find_singles(basic, &list))
        return "is a broken OCSP response";
    while (list.len > 0) {
        if (!read_single(&list, &s))
            return "is a broken OCSP response";
        if (hs_span_eq(s.serial, cert->serial) && same_issuer(&s, cert))
            return judge(&s, now_s, until_s);
    }
    return "is the status of another certificate";
}
