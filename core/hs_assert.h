/* Assertions: for programmers' errors alone, kept on in release.
 *
 * The world's errors (a peer's bytes, a failed system call, no memory) are never asserted: they
 * are hs_err values. An assertion has no side effect, so that the code reads the same without it.
 * Tested by: tests/unit/core_assert.c (a failing one ends the process with its text). */
#pragma once

#include "hs_base.h"

HS_BEGIN_DECLS

/* Write `file:line: assertion failed: text` to standard error and abort. Never returns.
 * Shard: any. */
HS_API HS_COLD void hs_assert_failed(const char *file, int line, const char *text)
    __attribute__((noreturn));

HS_END_DECLS

#define HS_ASSERT(cond)                                                                            \
    do {                                                                                           \
        if (HS_UNLIKELY(!(cond)))                                                                  \
            hs_assert_failed(__FILE__, __LINE__, #cond);                                           \
    } while (0)
