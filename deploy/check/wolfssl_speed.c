/* Proves that wolfSSL was built with its assembly: encrypts 16 KiB records with AES-128-GCM for
 * half a second and prints "wolfSSL VERSION: AES-128-GCM N MB/s". deploy/setup judges N, which is
 * of the fastest of many short parts: on a virtual machine whose host is busy, the time that others
 * take counts as this process's own. */
#include <wolfssl/options.h>
#include <wolfssl/version.h>
#include <wolfssl/wolfcrypt/aes.h>
#include <stdio.h>
#include <time.h>

#ifndef WOLFSSL_TLS13_MIDDLEBOX_COMPAT
#error "wolfSSL was built without WOLFSSL_TLS13_MIDDLEBOX_COMPAT"
#endif
#if !defined(HAVE_SESSION_TICKET) || !defined(WOLFSSL_EARLY_DATA) || !defined(HAVE_SNI) ||         \
    !defined(HAVE_ALPN) || !defined(HAVE_CRL) || !defined(HAVE_CERTIFICATE_STATUS_REQUEST)
#error "wolfSSL lacks tickets, early data, SNI, ALPN, CRL or OCSP stapling"
#endif
#ifdef OPENSSL_EXTRA
#error "wolfSSL was built with the OpenSSL names, which make each connection larger"
#endif

static double now_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static byte plain[16384], cipher[16384];

/* Seconds for 16 MiB; below 0: it cannot encrypt. */
static double part(Aes *aes)
{
    byte iv[12] = {2}, tag[16];
    double start = now_s();
    for (int i = 0; i < 1024; i++) {
        iv[0] = (byte)i;
        if (wc_AesGcmEncrypt(aes, cipher, plain, sizeof plain, iv, sizeof iv, tag, sizeof tag, NULL,
                             0))
            return -1;
    }
    return now_s() - start;
}

int main(void)
{
    byte key[16] = {1};
    Aes aes;
    double best = 1e9, whole = 0;

    if (wc_AesInit(&aes, NULL, INVALID_DEVID) || wc_AesGcmSetKey(&aes, key, sizeof key)) {
        fprintf(stderr, "cannot set an AES key\n");
        return 1;
    }
    while (whole < 0.5) {
        double took = part(&aes);
        if (took <= 0) {
            fprintf(stderr, "cannot encrypt\n");
            return 1;
        }
        whole += took;
        best = took < best ? took : best;
    }
    wc_AesFree(&aes);
    printf("wolfSSL %s: AES-128-GCM %.0f MB/s\n", LIBWOLFSSL_VERSION_STRING, 16 * 1.048576 / best);
    return 0;
}
