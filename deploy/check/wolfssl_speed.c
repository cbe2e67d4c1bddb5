/* Proves that wolfSSL was built with its assembly: encrypts 16 KiB records with AES-128-GCM for
 * half a second and prints "wolfSSL VERSION: AES-128-GCM N MB/s". deploy/setup judges N. */
#include <wolfssl/options.h>
#include <wolfssl/version.h>
#include <wolfssl/wolfcrypt/aes.h>
#include <stdio.h>
#include <time.h>

#ifndef WOLFSSL_TLS13_MIDDLEBOX_COMPAT
#error "wolfSSL was built without WOLFSSL_TLS13_MIDDLEBOX_COMPAT"
#endif
#if !defined(HAVE_SESSION_TICKET) || !defined(WOLFSSL_EARLY_DATA) || !defined(HAVE_SNI) || \
    !defined(HAVE_ALPN) || !defined(HAVE_CRL) || !defined(HAVE_CERTIFICATE_STATUS_REQUEST)
#error "wolfSSL lacks tickets, early data, SNI, ALPN, CRL or OCSP stapling"
#endif
#ifdef OPENSSL_EXTRA
#error "wolfSSL was built with the OpenSSL names, which make each connection larger"
#endif

/* Of the processor, not of the clock on the wall: a busy machine must not look like slow code. */
static double now_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

int main(void)
{
    static byte plain[16384], cipher[16384];
    byte key[16] = {1}, iv[12] = {2}, tag[16];
    Aes aes;
    double bytes = 0, start, elapsed;

    if (wc_AesInit(&aes, NULL, INVALID_DEVID) || wc_AesGcmSetKey(&aes, key, sizeof key)) {
        fprintf(stderr, "cannot set an AES key\n");
        return 1;
    }
    start = now_s();
    do {
        for (int i = 0; i < 64; i++) {
            iv[0] = (byte)i;
            if (wc_AesGcmEncrypt(&aes, cipher, plain, sizeof plain, iv, sizeof iv, tag, sizeof tag,
                                 NULL, 0)) {
                fprintf(stderr, "cannot encrypt\n");
                return 1;
            }
            bytes += sizeof plain;
        }
        elapsed = now_s() - start;
    } while (elapsed < 0.5);
    wc_AesFree(&aes);
    printf("wolfSSL %s: AES-128-GCM %.0f MB/s\n", LIBWOLFSSL_VERSION_STRING, bytes / elapsed / 1e6);
    return 0;
}
