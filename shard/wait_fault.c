/* A backend that cannot wait: the kernel, or a filter, refuses the call that each turn makes.
 *
 * Owns: what is said of it, and the pause that keeps the shard from taking a processor for nothing.
 * The loop goes on, so that a stop is seen, and the shard serves again once the call does.
 * Must not know: backends. Tested by: tests/e2e/backends.py. */
#include <poll.h>

#include "inside.h"

#define PAUSE_MS 10

static const char *remedy(int32_t code)
{
    switch (code) {
    case -EPERM:
    case -EACCES:
    case -ENOSYS:
        return "a seccomp profile or policy that allows it";
    case -ENOMEM:
    case -EAGAIN:
        return "more memory";
    default:
        return "see its manual page";
    }
}

void wait_fault(hs_shard *s)
{
    int32_t code = s->io->wait_error;
    s->io->wait_error = 0;
    if (s->now_ns >= s->wait_warn_ns) {
        s->wait_warn_ns = s->now_ns + HS_SEC_NS;
        hs_log_write(
            s->log, HS_LOG_ERROR,
            "%s: %s: the shard cannot wait for its connections, and tries again; to mend: %s",
            s->io->wait_call, hs_err_name(hs_err_of(code)), remedy(code));
    }
    (void)poll(NULL, 0, PAUSE_MS);
}
