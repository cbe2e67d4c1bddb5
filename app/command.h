/* The command line of a server program: main.c takes it apart, main_tls.c its part about TLS, and
 * both need command.c. */
#pragma once

#include "app.h"

enum { EXIT_FINE, EXIT_FAILED, EXIT_USAGE, EXIT_CUT_OFF };

typedef struct command {
    const char *name; /* of the program, without its folder */
    hs_app_options options;
    hs_addr listen[HS_APP_LISTEN_MAX];
    hs_tls_options tls;
    hs_tls_cert certs[HS_TLS_CERTS_MAX];
    uint32_t timeout_ms; /* 0: what the application has set */
    bool half_close;     /* false: what the application has set */
    uint32_t keys_len;   /* of --tls-key so far; tls.certs_len counts --tls-cert */
} command;

typedef struct word_flag {
    const char *name;
    int (*take)(command *cmd, const char *value);
} word_flag;

/* command.c */

/* Say what is wrong with a flag. Returns the exit status. */
int bad_usage(const command *cmd, const char *flag, const char *why);
/* --listen, and the address's place among them; its exit status. */
int add_listen(command *cmd, const char *value);

/* main_tls.c */

/* The flags about TLS; the last one's name is NULL. */
extern const word_flag tls_flags[];
/* After all flags: do they fit together? Fills cmd->options. Returns the exit status. */
int tls_flags_end(command *cmd);
void tls_help(void);
