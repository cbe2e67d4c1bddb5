/* Fuzzes the readers of DER: a certificate, and what an OCSP response says of it.
 *
 * The input is the certificate's length in two bytes, the certificate, and the response, each in
 * memory of its own. Checked: no byte outside is read, what is found lies inside of what was given,
 * and a response that is good is good until later than now. */
#include <stdlib.h>

#include "tls.h"

#define NOW_S 1800000000 /* in the middle of the corpus' responses */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_inside(hs_span part, hs_span whole)
{
    HS_ASSERT(part.len == 0 ||
              (part.ptr >= whole.ptr && part.ptr + part.len <= whole.ptr + whole.len));
}

static void check_cert(const tls_der *der, hs_span cert)
{
    char text[32];
    uint64_t from_s;
    const hs_span parts[] = {der->serial,    der->issuer,  der->subject,  der->not_before,
                             der->not_after, der->key_oid, der->alt_names};
    for (size_t i = 0; i < HS_ARRAY_LEN(parts); i++)
        check_inside(parts[i], cert);
    check_inside(tls_der_common_name(der), der->subject);
    if (tls_der_time(der->not_before, text))
        HS_ASSERT(memchr(text, 0, sizeof text) != NULL);
    if (tls_der_seconds(der->not_before, &from_s))
        HS_ASSERT(tls_der_time(der->not_before, text));
    hs_span names = der->alt_names, name;
    uint8_t tag;
    while (tls_der_next(&names, &tag, &name))
        check_inside(name, der->alt_names);
}

static hs_span copy_of(const uint8_t *data, size_t len)
{
    uint8_t *copy = malloc(len);
    HS_ASSERT(copy != NULL || len == 0);
    if (len > 0)
        memcpy(copy, data, len);
    return hs_span_of(copy, len);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    tls_der der;
    uint64_t until_s = 0;
    if (size < 2)
        return 0;
    size_t cert_len = (size_t)data[0] << 8 | data[1];
    cert_len = HS_MIN(cert_len, size - 2);
    hs_span cert = copy_of(data + 2, cert_len);
    hs_span response = copy_of(data + 2 + cert_len, size - 2 - cert_len);
    if (tls_der_cert(cert, &der)) {
        check_cert(&der, cert);
        if (der.serial.len > 0 && der.issuer.len > 0 &&
            !tls_ocsp_read(response, &der, NOW_S, &until_s))
            HS_ASSERT(until_s > NOW_S);
    }
    free((void *)(uintptr_t)cert.ptr);
    free((void *)(uintptr_t)response.ptr);
    return 0;
}
