/* The command line's part about TLS.
 *
 * Owns: the --tls flags and --listen-plain, and which of them belong together. Must not know: what
 * is in the files. Tested by: tests/e2e/tls.py. */
#include <stdio.h>
#include <string.h>

#include "command.h"

void tls_help(void)
{
    printf("\n"
           "HTTPS on all TCP addresses of --listen (Unix sockets stay plain):\n"
           "  --tls-cert FILE     certificate and what leads to its root, PEM; with a key each, up "
           "to %d\n"
           "                      times: the client's host name (SNI) chooses, else the first is "
           "taken\n"
           "  --tls-key FILE      the key of the certificate at the same place\n"
           "  --tls-ocsp FILE     what an OCSP responder says of the certificate before it, DER: "
           "clients\n"
           "                      that ask get it until it is out of date\n"
           "  --listen-plain ADDRESS\n"
           "                      an address without TLS beside the others\n"
           "  --tls-min VERSION   1.2 or 1.3 (default: 1.2)\n"
           "  --tls-ciphers LIST  wolfSSL's names, with colons between (default: AES-GCM and "
           "ChaCha20\n"
           "                      with an ephemeral key exchange)\n"
           "  --tls-client-ca FILE\n"
           "                      ask clients for certificates that one of these has signed\n"
           "  --tls-client-auth HOW\n"
           "                      required, or optional (default: required)\n",
           HS_TLS_CERTS_MAX);
}

static int add_cert(command *cmd, const char *value)
{
    if (cmd->tls.certs_len == HS_TLS_CERTS_MAX)
        return bad_usage(cmd, "--tls-cert", "given too often");
    cmd->certs[cmd->tls.certs_len++].cert_file = value;
    return EXIT_FINE;
}

static int add_key(command *cmd, const char *value)
{
    if (cmd->keys_len == HS_TLS_CERTS_MAX)
        return bad_usage(cmd, "--tls-key", "given too often");
    cmd->certs[cmd->keys_len++].key_file = value;
    return EXIT_FINE;
}

static int add_ocsp(command *cmd, const char *value)
{
    uint32_t len = cmd->tls.certs_len;
    if (len == 0 || cmd->certs[len - 1].ocsp_file)
        return bad_usage(cmd, "--tls-ocsp", "comes after its --tls-cert, once for each");
    cmd->certs[len - 1].ocsp_file = value;
    return EXIT_FINE;
}

static int listen_plain(command *cmd, const char *value)
{
    uint32_t first = cmd->options.listen_len;
    int status = add_listen(cmd, value);
    for (uint32_t i = first; i < cmd->options.listen_len; i++) /* a name may have several */
        cmd->options.listen_plain |= 1u << i;
    return status;
}

static int take_min(command *cmd, const char *value)
{
    if (strcmp(value, "1.2") != 0 && strcmp(value, "1.3") != 0)
        return bad_usage(cmd, "--tls-min", "wants 1.2 or 1.3");
    cmd->tls.version_min = value[2] == '2' ? HS_TLS_1_2 : HS_TLS_1_3;
    return EXIT_FINE;
}

static int take_ciphers(command *cmd, const char *value)
{
    cmd->tls.ciphers = value;
    return EXIT_FINE;
}

static int take_client_ca(command *cmd, const char *value)
{
    cmd->tls.ca_file = value;
    return EXIT_FINE;
}

static int take_client_auth(command *cmd, const char *value)
{
    if (strcmp(value, "required") == 0)
        cmd->tls.client = HS_TLS_CLIENT_REQUIRED;
    else if (strcmp(value, "optional") == 0)
        cmd->tls.client = HS_TLS_CLIENT_OPTIONAL;
    else
        return bad_usage(cmd, "--tls-client-auth", "wants required or optional");
    return EXIT_FINE;
}

const word_flag tls_flags[] = {
    {"--tls-cert", add_cert},
    {"--tls-key", add_key},
    {"--tls-ocsp", add_ocsp},
    {"--listen-plain", listen_plain},
    {"--tls-min", take_min},
    {"--tls-ciphers", take_ciphers},
    {"--tls-client-ca", take_client_ca},
    {"--tls-client-auth", take_client_auth},
    {NULL, NULL},
};

int tls_flags_end(command *cmd)
{
    hs_tls_options *tls = &cmd->tls;
    if (tls->certs_len != cmd->keys_len)
        return bad_usage(cmd, tls->certs_len > cmd->keys_len ? "--tls-cert" : "--tls-key",
                         "a certificate and its key come together");
    if (tls->client != HS_TLS_CLIENT_OFF && !tls->ca_file)
        return bad_usage(cmd, "--tls-client-auth", "wants --tls-client-ca");
    if (tls->ca_file && tls->client == HS_TLS_CLIENT_OFF)
        tls->client = HS_TLS_CLIENT_REQUIRED;
    if (tls->certs_len == 0) {
        if (tls->ca_file || tls->ciphers || tls->version_min || cmd->options.listen_plain)
            return bad_usage(cmd, "--tls-cert", "is missing, and without it there is no TLS");
        return EXIT_FINE;
    }
    tls->certs = cmd->certs;
    cmd->options.tls = tls;
    return EXIT_FINE;
}
