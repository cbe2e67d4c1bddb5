/* Every code has a class, a name and a text, and no code is without. */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "hs_err.h"

typedef struct row {
    int32_t code;
    hs_err_kind kind;
    const char *name;
} row;

static const row rows[] = {
    {0, HS_ERR_NONE, "OK"},
    {HS_E_BLOCKED, HS_ERR_BLOCKED, "HS_E_BLOCKED"},
    {HS_E_CLOSED, HS_ERR_CLOSED, "HS_E_CLOSED"},
    {HS_E_PROTOCOL, HS_ERR_PROTOCOL, "HS_E_PROTOCOL"},
    {HS_E_LIMIT, HS_ERR_LIMIT, "HS_E_LIMIT"},
    {HS_E_USAGE, HS_ERR_USAGE, "HS_E_USAGE"},
    {HS_E_INTERNAL, HS_ERR_INTERNAL, "HS_E_INTERNAL"},
    {HS_E_AGGREGATE, HS_ERR_IO, "HS_E_AGGREGATE"},
    {HS_E_NAME_NONE, HS_ERR_IO, "HS_E_NAME_NONE"},
    {HS_E_NAME_FAILED, HS_ERR_IO, "HS_E_NAME_FAILED"},
    {HS_E_NAME_TIMEOUT, HS_ERR_IO, "HS_E_NAME_TIMEOUT"},
    {HS_E_LAGGED, HS_ERR_LIMIT, "HS_E_LAGGED"},
    {HS_E_END, HS_ERR_CLOSED, "HS_E_END"},
    {HS_E_TRUNCATED, HS_ERR_PROTOCOL, "HS_E_TRUNCATED"},
    {HS_E_TLS, HS_ERR_PROTOCOL, "HS_E_TLS"},
    {HS_E_CERT, HS_ERR_PROTOCOL, "HS_E_CERT"},
    {HS_E_CERT_UNKNOWN, HS_ERR_PROTOCOL, "HS_E_CERT_UNKNOWN"},
    {HS_E_CERT_HOST, HS_ERR_PROTOCOL, "HS_E_CERT_HOST"},
    {HS_E_CERT_TIME, HS_ERR_PROTOCOL, "HS_E_CERT_TIME"},
    {HS_E_CERT_USAGE, HS_ERR_PROTOCOL, "HS_E_CERT_USAGE"},
    {HS_E_CERT_REVOKED, HS_ERR_PROTOCOL, "HS_E_CERT_REVOKED"},
    {HS_E_CERT_STATUS, HS_ERR_PROTOCOL, "HS_E_CERT_STATUS"},
    {HS_E_FORBIDDEN, HS_ERR_USAGE, "HS_E_FORBIDDEN"},
    {HS_E_REDIRECT, HS_ERR_PROTOCOL, "HS_E_REDIRECT"},
    {HS_E_CODING, HS_ERR_PROTOCOL, "HS_E_CODING"},
    {HS_E_MAX_, HS_ERR_INTERNAL, "UNKNOWN"},
    {INT32_MAX, HS_ERR_INTERNAL, "UNKNOWN"},
    {INT32_MIN, HS_ERR_INTERNAL, "UNKNOWN"},
    {-100000, HS_ERR_IO, "UNKNOWN"},
    {-EAGAIN, HS_ERR_BLOCKED, "EAGAIN"},
    {-EPIPE, HS_ERR_CLOSED, "EPIPE"},
    {-ECONNRESET, HS_ERR_CLOSED, "ECONNRESET"},
    {-ECANCELED, HS_ERR_CLOSED, "ECANCELED"},
    {-ESHUTDOWN, HS_ERR_CLOSED, "ESHUTDOWN"},
    {-ENOMEM, HS_ERR_LIMIT, "ENOMEM"},
    {-ENOBUFS, HS_ERR_LIMIT, "ENOBUFS"},
    {-EMFILE, HS_ERR_LIMIT, "EMFILE"},
    {-ENFILE, HS_ERR_LIMIT, "ENFILE"},
    {-EINVAL, HS_ERR_USAGE, "EINVAL"},
    {-EBADF, HS_ERR_USAGE, "EBADF"},
    {-EIO, HS_ERR_IO, "EIO"},
    {-EADDRINUSE, HS_ERR_IO, "EADDRINUSE"},
    {-ECONNREFUSED, HS_ERR_IO, "ECONNREFUSED"},
    {-ETIMEDOUT, HS_ERR_IO, "ETIMEDOUT"},
};

Test(core_err, classes_and_names)
{
    for (size_t i = 0; i < HS_ARRAY_LEN(rows); i++) {
        hs_err e = hs_err_of(rows[i].code);
        cr_expect_eq(hs_err_class(e), rows[i].kind, "class of %d", rows[i].code);
        cr_expect_str_eq(hs_err_name(e), rows[i].name);
        cr_expect_eq(hs_ok(e), rows[i].code == 0);
    }
}

Test(core_err, every_code_has_a_text)
{
    for (int32_t code = -200; code <= HS_E_MAX_ + 3; code++) {
        const char *text = hs_err_text(hs_err_of(code));
        cr_assert_gt(strlen(text), 3);
        cr_assert_neq(text[strlen(text) - 1], '.', "%s", text);
        cr_assert_gt(strlen(hs_err_name(hs_err_of(code))), 1);
    }
    cr_assert_str_eq(hs_err_text(hs_err_of(INT32_MIN)), "unknown error");
    cr_assert_str_eq(hs_err_text(hs_err_errno(ENOENT)), "No such file or directory");
}

static hs_err tried(hs_err first, int *reached)
{
    HS_TRY(first);
    *reached += 1;
    return HS_OK;
}

static hs_err ensured(bool cond, int *reached)
{
    HS_ENSURE(cond, HS_E_LIMIT);
    *reached += 1;
    return HS_OK;
}

Test(core_err, try_and_ensure_return_the_error)
{
    int reached = 0;
    cr_assert(hs_ok(tried(HS_OK, &reached)));
    cr_assert_eq(reached, 1);
    cr_assert_eq(tried(hs_err_errno(EIO), &reached).code, -EIO);
    cr_assert_eq(tried(hs_err_of(HS_E_CLOSED), &reached).code, HS_E_CLOSED);
    cr_assert_eq(reached, 1);
    cr_assert(hs_ok(ensured(true, &reached)));
    cr_assert_eq(ensured(false, &reached).code, HS_E_LIMIT);
    cr_assert_eq(reached, 2);
}
