/* What errors are called and what a caller can do about them.
 *
 * Owns: the class of each code, and the texts of our own codes; the system's come from the C
 * library. Must not know: where an error came from. Tested by: tests/unit/core_err.c. */
#include "hs_err.h"

#include <errno.h>
#include <string.h>

#include "hs_assert.h"

typedef struct own_code {
    const char *name, *text;
    hs_err_kind kind;
} own_code;

static const own_code own_codes[HS_E_MAX_] = {
    [0] = {"OK", "no error", HS_ERR_NONE},
    [HS_E_BLOCKED] = {"HS_E_BLOCKED", "not ready now, try again later", HS_ERR_BLOCKED},
    [HS_E_CLOSED] = {"HS_E_CLOSED", "closed", HS_ERR_CLOSED},
    [HS_E_PROTOCOL] = {"HS_E_PROTOCOL", "the peer broke the protocol", HS_ERR_PROTOCOL},
    [HS_E_LIMIT] = {"HS_E_LIMIT", "a configured limit is reached", HS_ERR_LIMIT},
    [HS_E_USAGE] = {"HS_E_USAGE", "called against the rules of the interface", HS_ERR_USAGE},
    [HS_E_INTERNAL] = {"HS_E_INTERNAL", "a fault inside httpshard", HS_ERR_INTERNAL},
    [HS_E_AGGREGATE] = {"HS_E_AGGREGATE", "every one of several failed", HS_ERR_IO},
    [HS_E_NAME_NONE] = {"HS_E_NAME_NONE", "no host has this name", HS_ERR_IO},
    [HS_E_NAME_FAILED] = {"HS_E_NAME_FAILED", "the name servers gave no answer", HS_ERR_IO},
    [HS_E_NAME_TIMEOUT] = {"HS_E_NAME_TIMEOUT", "no name server answered in time", HS_ERR_IO},
    [HS_E_LAGGED] = {"HS_E_LAGGED", "too slow: some messages were missed", HS_ERR_LIMIT},
    [HS_E_END] = {"HS_E_END", "the peer has ended", HS_ERR_CLOSED},
    [HS_E_TRUNCATED] = {"HS_E_TRUNCATED", "the peer ended in the middle", HS_ERR_PROTOCOL},
    [HS_E_TLS] = {"HS_E_TLS", "TLS: refused by one side", HS_ERR_PROTOCOL},
    [HS_E_CERT] = {"HS_E_CERT", "certificate: not accepted", HS_ERR_PROTOCOL},
    [HS_E_CERT_UNKNOWN] = {"HS_E_CERT_UNKNOWN", "certificate: no trusted root", HS_ERR_PROTOCOL},
    [HS_E_CERT_HOST] = {"HS_E_CERT_HOST", "certificate: of another host", HS_ERR_PROTOCOL},
    [HS_E_CERT_TIME] = {"HS_E_CERT_TIME", "certificate: expired, or too early", HS_ERR_PROTOCOL},
    [HS_E_CERT_USAGE] = {"HS_E_CERT_USAGE", "certificate: not for this use", HS_ERR_PROTOCOL},
    [HS_E_CERT_REVOKED] = {"HS_E_CERT_REVOKED", "certificate: revoked", HS_ERR_PROTOCOL},
    [HS_E_CERT_STATUS] = {"HS_E_CERT_STATUS", "certificate: no good OCSP response",
                          HS_ERR_PROTOCOL},
    [HS_E_FORBIDDEN] = {"HS_E_FORBIDDEN", "not allowed by the caller", HS_ERR_USAGE},
    [HS_E_REDIRECT] = {"HS_E_REDIRECT", "redirected, or too often", HS_ERR_PROTOCOL},
    [HS_E_CODING] = {"HS_E_CODING", "a broken or unwanted content coding", HS_ERR_PROTOCOL},
    [HS_E_JSON] = {"HS_E_JSON", "a text that is no JSON", HS_ERR_PROTOCOL},
};

static hs_err_kind class_of_errno(int errno_value)
{
    switch (errno_value) {
    case EAGAIN:
        return HS_ERR_BLOCKED;
    case EPIPE:
    case ECONNRESET:
    case ECANCELED:
    case ESHUTDOWN:
        return HS_ERR_CLOSED;
    case ENOMEM:
    case ENOBUFS:
    case EMFILE:
    case ENFILE:
        return HS_ERR_LIMIT;
    case EINVAL:
    case EBADF:
        return HS_ERR_USAGE;
    default:
        return HS_ERR_IO;
    }
}

/* The entry of one of our codes, or NULL where `code` is none of them. */
static const own_code *own_code_of(int32_t code)
{
    if (code < 0 || code >= HS_E_MAX_)
        return NULL;
    const own_code *own = &own_codes[code];
    HS_ASSERT(own->name && own->text); /* a code without a row was added */
    return own;
}

hs_err_kind hs_err_class(hs_err e)
{
    if (e.code < 0 && e.code != INT32_MIN)
        return class_of_errno(-e.code);
    const own_code *own = own_code_of(e.code);
    return own ? own->kind : HS_ERR_INTERNAL;
}

const char *hs_err_name(hs_err e)
{
    const own_code *own = own_code_of(e.code);
    if (own)
        return own->name;
    const char *name = e.code < 0 && e.code != INT32_MIN ? strerrorname_np(-e.code) : NULL;
    return name ? name : "UNKNOWN";
}

const char *hs_err_text(hs_err e)
{
    const own_code *own = own_code_of(e.code);
    if (own)
        return own->text;
    /* The untranslated text: log lines are read by programs, too. */
    const char *text = e.code < 0 && e.code != INT32_MIN ? strerrordesc_np(-e.code) : NULL;
    return text ? text : "unknown error";
}
