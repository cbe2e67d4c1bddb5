/* The end of a failed assertion.
 *
 * Owns: the text and the abort. Must not know: who asserted. It takes no memory and no lock, since
 * the process may be in any state. Tested by: tests/unit/core_assert.c. */
#include "hs_assert.h"

#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

static struct iovec vec_of(const char *text, size_t len)
{
    /* writev only reads: the cast drops a const that struct iovec has no room for. */
    return (struct iovec){.iov_base = (void *)(uintptr_t)text, .iov_len = len};
}

/* The number's digits at the end of `digits`. Not hs_fmt_u64, which asserts itself. */
static struct iovec vec_of_number(char digits[20], uint64_t value)
{
    size_t at = 20;
    do {
        digits[--at] = (char)('0' + value % 10);
        value /= 10;
    } while (value > 0);
    return vec_of(digits + at, 20 - at);
}

void hs_assert_failed(const char *file, int line, const char *text)
{
    static const char says[] = ": assertion failed: ";
    char digits[20];
    struct iovec vec[] = {
        vec_of(file, strlen(file)),
        vec_of(":", 1),
        vec_of_number(digits, line > 0 ? (uint64_t)line : 0),
        vec_of(says, sizeof(says) - 1),
        vec_of(text, strlen(text)),
        vec_of("\n", 1),
    };
    /* Nobody is left to hear that this failed. */
    ssize_t written = writev(STDERR_FILENO, vec, HS_ARRAY_LEN(vec));
    (void)written;
    abort();
}
