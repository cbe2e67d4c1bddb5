/* What spawn_env.c keeps for children: the inside. */
#pragma once

#include <signal.h>

#include "hs_spawn.h"

/* Before the first change: keep the process's signal mask, processors and SIGPIPE. Again: nothing.
 * Thread: the one that starts groups. */
void spawn_remember(void);

/* The signals that stop a group, and SIGHUP. */
void spawn_stop_signals(sigset_t *set);
