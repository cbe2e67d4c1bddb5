/* What each part of the command line needs: to say what is wrong, and to take an address.
 *
 * Owns: how a refusal reads. Must not know: which flags there are.
 * Tested by: tests/e2e/life.py, tests/e2e/unix.py. */
#include "command.h"

#include <netdb.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

int bad_usage(const command *cmd, const char *flag, const char *why)
{
    fprintf(stderr, "%s: %s: %s (see %s --help)\n", cmd->name, flag, why, cmd->name);
    return EXIT_USAGE;
}

/* Whether it is a name and a port: no other spelling of an address, which getaddrinfo(3) has many
 * of. */
static bool is_named(const char *value, size_t host_len, const char *port)
{
    uint64_t number;
    bool letter = false;
    for (size_t i = 0; i < host_len; i++) {
        char byte = value[i];
        bool is_letter = (byte | 0x20) >= 'a' && (byte | 0x20) <= 'z';
        if (!is_letter && !strchr("0123456789-._", byte))
            return false;
        letter |= is_letter;
    }
    return letter && hs_span_u64(hs_span_str(port), UINT16_MAX, &number);
}

/* Each address of a name with a port: "localhost:8080". There are no shards yet, so that it may
 * wait for a name server. */
static int add_named(command *cmd, const char *value)
{
    char host[256];
    const char *colon = strrchr(value, ':');
    size_t len = colon ? (size_t)(colon - value) : 0;
    if (len >= sizeof host || !colon || !is_named(value, len, colon + 1))
        return bad_usage(cmd, "--listen",
                         "wants an address, such as 127.0.0.1:8080, [::1]:8080, localhost:8080 or "
                         "unix:/run/x.sock");
    memcpy(host, value, len);
    host[len] = '\0';
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM,
                                   .ai_flags = AI_PASSIVE | AI_ADDRCONFIG};
    struct addrinfo *found;
    int rc = getaddrinfo(host, colon + 1, &hints, &found);
    if (rc != 0)
        return bad_usage(cmd, "--listen", gai_strerror(rc));
    int status = EXIT_FINE;
    for (const struct addrinfo *at = found; at && status == EXIT_FINE; at = at->ai_next) {
        hs_addr addr = {.len = at->ai_addrlen};
        HS_ASSERT(at->ai_addrlen <= sizeof addr.sa);
        memcpy(&addr.sa, at->ai_addr, at->ai_addrlen);
        if (cmd->options.listen_len == HS_APP_LISTEN_MAX)
            status = bad_usage(cmd, "--listen", "given too often");
        else
            cmd->listen[cmd->options.listen_len++] = addr;
    }
    freeaddrinfo(found);
    return status;
}

int add_listen(command *cmd, const char *value)
{
    if (cmd->options.listen_len == HS_APP_LISTEN_MAX)
        return bad_usage(cmd, "--listen", "given too often");
    hs_err err = hs_addr_parse(&cmd->listen[cmd->options.listen_len], hs_span_str(value));
    if (err.code == HS_E_LIMIT)
        return bad_usage(cmd, "--listen", "the name of a Unix socket has at most 107 bytes");
    if (!hs_ok(err))
        return add_named(cmd, value);
    cmd->options.listen_len++;
    return EXIT_FINE;
}
