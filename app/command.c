/* What each part of the command line needs: to say what is wrong, and to take an address.
 *
 * Owns: how a refusal reads. Must not know: which flags there are.
 * Tested by: tests/e2e/life.py, tests/e2e/unix.py. */
#include "command.h"

#include <stdio.h>

int bad_usage(const command *cmd, const char *flag, const char *why)
{
    fprintf(stderr, "%s: %s: %s (see %s --help)\n", cmd->name, flag, why, cmd->name);
    return EXIT_USAGE;
}

int add_listen(command *cmd, const char *value)
{
    if (cmd->options.listen_len == HS_APP_LISTEN_MAX)
        return bad_usage(cmd, "--listen", "given too often");
    hs_err err = hs_addr_parse(&cmd->listen[cmd->options.listen_len], hs_span_str(value));
    if (err.code == HS_E_LIMIT)
        return bad_usage(cmd, "--listen", "the name of a Unix socket has at most 107 bytes");
    if (!hs_ok(err))
        return bad_usage(
            cmd, "--listen",
            "wants an address, such as 127.0.0.1:8080, [::1]:8080 or unix:/run/x.sock");
    cmd->options.listen_len++;
    return EXIT_FINE;
}
