/* What this machine lets a server do, told at length: why it runs on which backend, how many
 * connections there can be, and what to do about what is missing.
 *
 * Owns: the examination. Everything is found out by trying or by asking the system, nothing is
 * changed. Must not know: who reads it, and how it is printed. Tested by:
 * tests/unit/shard_doctor.c, tests/e2e/backends.py (the program's `doctor`). */
#pragma once

#include "hs_group.h"

HS_BEGIN_DECLS

typedef enum hs_doctor_grade {
    HS_DOCTOR_FINE,
    HS_DOCTOR_WARN, /* a server starts, and does worse than it could */
    HS_DOCTOR_BAD   /* a server does not start */
} hs_doctor_grade;

/* One finding. Texts are single lines without a full stop, valid until the callback returns. */
typedef struct hs_doctor_line {
    hs_doctor_grade grade;
    const char *topic;  /* one word: "kernel", "io_uring", "files" */
    const char *text;   /* what was found, and what follows from it */
    const char *remedy; /* what would mend it; NULL: nothing is to be done */
} hs_doctor_line;

typedef void hs_doctor_fn(const hs_doctor_line *line, void *ctx);

/* Examine the machine and this process for a server with the option `io`, and tell each finding in
 * a fixed order. Takes up to a second. Returns the worst grade. Thread: any, best before others
 * exist. Never fails. */
HS_API hs_doctor_grade hs_doctor_run(hs_io_choice io, hs_doctor_fn *tell, void *ctx);

HS_END_DECLS
