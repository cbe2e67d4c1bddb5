/* Errors: one small must-use value.
 *
 * Owns: the error type, its classes and texts. A code is 0 (fine), negative (an errno, negated) or
 * positive (one of ours, below). It is a struct so that it cannot be mistaken for a byte count;
 * counts leave through out-parameters. Must not know: where an error came from.
 * Tested by: tests/unit/core_err.c. */
#pragma once

#include "hs_base.h"

HS_BEGIN_DECLS

typedef struct hs_err {
    int32_t code;
} hs_err;

/* Our own codes. The order is part of the interface: new ones go last. */
enum {
    HS_E_BLOCKED = 1,  /* full or not ready now: try again after the event that says so */
    HS_E_CLOSED,       /* the other side, or this object, is closed */
    HS_E_PROTOCOL,     /* the peer broke the protocol */
    HS_E_LIMIT,        /* a configured limit would be passed */
    HS_E_USAGE,        /* the caller broke a rule that is written at the prototype */
    HS_E_INTERNAL,     /* a fault of ours */
    HS_E_AGGREGATE,    /* every one of several failed */
    HS_E_NAME_NONE,    /* no host has this name, or it has no address of the kind asked for */
    HS_E_NAME_FAILED,  /* no name server gave an answer that tells: it may later */
    HS_E_NAME_TIMEOUT, /* no name server answered in time */
    HS_E_LAGGED,       /* some messages were missed: the next ones can be received */
    HS_E_END,          /* the peer has ended, and all that it sent was read */
    HS_E_TRUNCATED,    /* the peer has ended in the middle of something */
    HS_E_TLS,          /* the handshake or a record was refused, by us or by the peer */
    HS_E_CERT,         /* the peer's certificate is not accepted, for none of the reasons below */
    HS_E_CERT_UNKNOWN, /* no root that is trusted has signed it */
    HS_E_CERT_HOST,    /* it names another host */
    HS_E_CERT_TIME,    /* expired, or not valid yet */
    HS_E_CERT_USAGE,   /* it was not made for this use */
    HS_E_CERT_REVOKED, /* its issuer has taken it back */
    HS_E_CERT_STATUS,  /* what shall show that it is not revoked (OCSP) is missing or no good */
    HS_E_FORBIDDEN,    /* an address or a target that the caller did not allow */
    HS_E_REDIRECT,     /* redirected, where that is an error, or too often */
    HS_E_CODING,       /* a content coding that is broken, or that nobody asked for */
    HS_E_JSON,         /* a text that is no JSON */
    HS_E_MAX_
};

/* What a caller can do about an error. */
typedef enum hs_err_kind {
    HS_ERR_NONE,     /* nothing: it is not an error */
    HS_ERR_BLOCKED,  /* wait, then try again */
    HS_ERR_CLOSED,   /* let go of the object */
    HS_ERR_IO,       /* the system refused: report, maybe retry elsewhere */
    HS_ERR_PROTOCOL, /* the peer is at fault: end the connection */
    HS_ERR_LIMIT,    /* shed load, or raise the limit */
    HS_ERR_USAGE,    /* mend the calling code */
    HS_ERR_INTERNAL  /* report a bug */
} hs_err_kind;

#ifdef __cplusplus
#define HS_OK (hs_err{0})
#else
#define HS_OK ((hs_err){0})
#endif

/* Whether `e` is no error. */
static inline bool hs_ok(hs_err e)
{
    return e.code == 0;
}

/* One of our codes (HS_E_...) as an error. */
static inline hs_err hs_err_of(int32_t code)
{
    hs_err e = {code};
    return e;
}

/* A positive errno value as an error. */
static inline hs_err hs_err_errno(int errno_value)
{
    hs_err e = {-errno_value};
    return e;
}

/* What the caller can do about `e`. EAGAIN is BLOCKED; EPIPE, ECONNRESET, ECANCELED, ESHUTDOWN are
 * CLOSED; ENOMEM, ENOBUFS, EMFILE, ENFILE are LIMIT; EINVAL, EBADF are USAGE; any other errno is
 * IO. Shard: any. Never fails. */
HS_API hs_err_kind hs_err_class(hs_err e);

/* The symbolic name ("ECONNRESET", "HS_E_LIMIT", "OK"; "E<number>" is never returned: an unknown
 * code is "UNKNOWN"). Static storage. Shard: any. */
HS_API const char *hs_err_name(hs_err e);

/* A sentence without a full stop for a log line. Static storage. Shard: any. */
HS_API const char *hs_err_text(hs_err e);

HS_END_DECLS

/* Return the error of `expr` to the caller, if it is one. Hidden control flow: one of three. */
#define HS_TRY(expr)                                                                               \
    do {                                                                                           \
        hs_err hs_try_err_ = (expr);                                                               \
        if (HS_UNLIKELY(!hs_ok(hs_try_err_)))                                                      \
            return hs_try_err_;                                                                    \
    } while (0)

/* Return the error `code` (one of ours, or a negated errno) unless `cond` holds. */
#define HS_ENSURE(cond, code)                                                                      \
    do {                                                                                           \
        if (HS_UNLIKELY(!(cond)))                                                                  \
            return hs_err_of(code);                                                                \
    } while (0)
