/* Fuzzes what a server reads of a ClientHello before anything is made for the connection.
 *
 * The bytes come as they would from a socket: no more than what was asked for, in memory of their
 * own. Checked: no byte outside is read; what is asked for grows, and is never more than a hello
 * may have; what comes of it is the same as where all bytes were there at once. */
#include <stdlib.h>

#include "tls.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint8_t scratch[TLS_HELLO_BYTES_MAX], scratch_whole[TLS_HELLO_BYTES_MAX];

/* Look at the first `len` bytes, and at no other. */
static tls_hello_result look(const uint8_t *data, size_t len, tls_hello *hello, uint32_t *need)
{
    uint8_t *copy = malloc(len);
    HS_ASSERT(copy != NULL);
    memcpy(copy, data, len);
    tls_hello_result result = tls_hello_read(copy, len, scratch, hello, need);
    free(copy);
    return result;
}

/* It refers to the scratch, as the message is put together there. */
static void check_hello(const tls_hello *hello)
{
    hs_span list = hello->alpn, one;
    HS_ASSERT(hello->sni.len <= 255);
    while (tls_alpn_next(&list, &one))
        HS_ASSERT(one.len > 0 && one.ptr + one.len <= scratch + TLS_HELLO_BYTES_MAX);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    tls_hello hello, whole;
    uint32_t need = 1, need_whole;
    size_t len = 0;
    tls_hello_result result = TLS_HELLO_MORE;
    if (size == 0)
        return 0;
    while (result == TLS_HELLO_MORE && need <= size) {
        HS_ASSERT(need > len && need <= TLS_HELLO_BYTES_MAX);
        len = need;
        result = look(data, len, &hello, &need);
    }
    if (result == TLS_HELLO_DONE)
        check_hello(&hello);
    tls_hello_result at_once = tls_hello_read(data, size, scratch_whole, &whole, &need_whole);
    /* With bytes beyond those that were asked for it may already see that they are wrong. */
    HS_ASSERT(at_once == result || result == TLS_HELLO_MORE);
    if (result == TLS_HELLO_DONE)
        HS_ASSERT(hello.keys == whole.keys && hs_span_eq(hello.sni, whole.sni) &&
                  hs_span_eq(hello.alpn, whole.alpn));
    return 0;
}
