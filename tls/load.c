/* Files of certificates and keys, and why one cannot be used.
 *
 * Owns: reading them whole, within a limit, and the finding of the system's roots. Must not know:
 * what contexts do with them. Tested by: tests/unit/tls_ctx.c. */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tls.h"

/* The roots of a whole system are a quarter of a megabyte. */
#define FILE_BYTES_MAX (8u * 1024 * 1024)

hs_err tls_say(hs_tls_why *why, hs_err err, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int n = vsnprintf(why->text, sizeof why->text, format, args);
    va_end(args);
    HS_ASSERT(n > 0);
    return err;
}

static hs_err say_errno(hs_tls_why *why, const char *file, int err)
{
    return tls_say(why, hs_err_errno(err), "%s: %s", file, hs_err_text(hs_err_errno(err)));
}

/* Read `len` bytes to `out`. A file may end early: it has changed meanwhile. */
static hs_err read_whole(int fd, uint8_t *out, size_t len)
{
    size_t have = 0;
    while (have < len) {
        ssize_t n = read(fd, out + have, len - have);
        if (n < 0 && errno == EINTR)
            continue;
        HS_ENSURE(n >= 0, -errno);
        HS_ENSURE(n > 0, -EIO);
        have += (size_t)n;
    }
    return HS_OK;
}

static hs_err load_open(const hs_mem *mem, int fd, const char *file, uint8_t **out, size_t *len,
                        hs_tls_why *why)
{
    struct stat st;
    if (fstat(fd, &st) != 0)
        return say_errno(why, file, errno);
    if (!S_ISREG(st.st_mode))
        return tls_say(why, hs_err_of(HS_E_CERT), "%s: is no file", file);
    if (st.st_size == 0 || st.st_size > FILE_BYTES_MAX)
        return tls_say(why, hs_err_of(HS_E_CERT), "%s: %s", file,
                       st.st_size == 0 ? "is empty" : "is too large (8 MiB at most)");
    *len = (size_t)st.st_size;
    *out = hs_mem_take(mem, *len + 1, 16);
    if (!*out)
        return tls_say(why, hs_err_of(-ENOMEM), "%s: no memory", file);
    (*out)[*len] = '\0';
    hs_err err = read_whole(fd, *out, *len);
    if (hs_ok(err))
        return HS_OK;
    hs_mem_give(mem, *out, *len + 1, 16);
    return say_errno(why, file, -err.code);
}

hs_err tls_load(const hs_mem *mem, const char *file, uint8_t **out, size_t *len, hs_tls_why *why)
{
    /* A pipe would wait for somebody who writes. */
    int fd = open(file, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return say_errno(why, file, errno);
    hs_err err = load_open(mem, fd, file, out, len, why);
    (void)close(fd);
    return err;
}

/* Where distributions keep all roots in one file. */
static const char *const root_files[] = {
    "/etc/ssl/certs/ca-certificates.crt",                /* Debian, Alpine, Arch */
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem", /* Fedora, RHEL */
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem", /* openSUSE */
    "/etc/ssl/cert.pem",
};

static const char *system_roots(void)
{
    for (size_t i = 0; i < HS_ARRAY_LEN(root_files); i++)
        if (access(root_files[i], R_OK) == 0)
            return root_files[i];
    return NULL;
}

hs_err tls_load_roots(const hs_mem *mem, WOLFSSL_CTX *wolf, const char *file, hs_tls_why *why)
{
    /* Of many roots one may be out of date, or of a kind that is not known: the others count. */
    unsigned flags = file ? WOLFSSL_LOAD_FLAG_NONE
                          : WOLFSSL_LOAD_FLAG_IGNORE_ERR | WOLFSSL_LOAD_FLAG_DATE_ERR_OKAY;
    uint8_t *pem;
    size_t len;
    if (!file)
        file = system_roots();
    if (!file)
        return tls_say(why, hs_err_of(-ENOENT),
                       "the system has no roots where they are looked for, such as %s: install "
                       "its package ca-certificates, or name a file",
                       root_files[0]);
    HS_TRY(tls_load(mem, file, &pem, &len, why));
    int rc =
        wolfSSL_CTX_load_verify_buffer_ex(wolf, pem, (long)len, WOLFSSL_FILETYPE_PEM, 0, flags);
    hs_mem_give(mem, pem, len + 1, 16);
    if (rc == WOLFSSL_SUCCESS)
        return HS_OK;
    if (rc == MEMORY_E)
        return tls_say(why, hs_err_of(-ENOMEM), "%s: no memory", file);
    return tls_say(why, hs_err_of(HS_E_CERT), "%s: holds no certificates of an authority (%s)",
                   file, wolfSSL_ERR_reason_error_string((unsigned long)(long)rc));
}
