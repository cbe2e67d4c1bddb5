/* Why io_uring cannot be used, for people.
 *
 * Owns: the texts. The cause names the call, the error and what is behind it ("io_uring_setup:
 * EPERM (kernel.io_uring_disabled=2)"); the remedy is what to do about it. Both go into one log
 * line. Must not know: rings. Thread: any. Tested by: tests/unit/shard_uring_why.c,
 * tests/e2e/backends.py. */
#pragma once

#include "hs_err.h"

typedef struct uring_why {
    char cause[160];
    char remedy[160];
} uring_why;

/* `call` failed with the negated errno `rc`. */
void uring_explain(uring_why *why, const char *call, int rc);

/* The value of kernel.<name>, such as io_uring_disabled. False: this kernel has no such switch, and
 * *value is 0. */
bool uring_sysctl(const char *name, long *value);

/* Whether a seccomp filter watches the calling thread's system calls. */
bool uring_seccomp(void);
