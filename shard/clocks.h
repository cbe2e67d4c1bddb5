/* The clocks of the backends on the kernel, as the seam tells the time.
 *
 * Owns: which clocks they are. Must not know: anything else. Tested by: all tests of backends. */
#pragma once

#include <time.h>

#include "hs_io.h"

static inline uint64_t clock_ns(clockid_t id)
{
    struct timespec ts;
    int rc = clock_gettime(id, &ts);
    HS_ASSERT(rc == 0);
    return (uint64_t)ts.tv_sec * HS_SEC_NS + (uint64_t)ts.tv_nsec;
}

/* hs_io_now_ns. */
static inline uint64_t clock_now_ns(hs_io *io)
{
    (void)io;
    return clock_ns(CLOCK_MONOTONIC);
}

/* hs_io_wall_ns. */
static inline uint64_t clock_wall_ns(hs_io *io)
{
    (void)io;
    return clock_ns(CLOCK_REALTIME);
}
