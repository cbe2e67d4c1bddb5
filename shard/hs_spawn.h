/* Starting other programs from a service.
 *
 * A shard's thread is pinned to one processor, the process ignores SIGPIPE and blocks the signals
 * that stop it, and a child inherits all three: a program that was started from a handler with
 * posix_spawn alone does not end at SIGTERM, and has one processor.
 * Owns: what the process was like before its first group. Tested by: tests/plain/spawn.c. */
#pragma once

#include <spawn.h>
#include <sys/types.h>

#include "hs_err.h"

HS_BEGIN_DECLS

/* posix_spawnp(3) of `file`, which gets the signal mask and the processors that this process had
 * before hs_group_block_signals and hs_group_start, and SIGPIPE as it was. Files are passed on
 * unless they are close-on-exec, as all of this library are; `actions` (may be NULL) and the rest
 * are as there. *pid is the caller's to wait for: by waitid on a thread of hs_blocking, or by
 * hs_io_poll on a pidfd. The caller waits until the program has started, some hundred microseconds.
 * Thread: any. Errors: those of posix_spawn(3), such as -ENOENT, -EAGAIN, -ENOMEM. */
HS_API HS_NODISCARD hs_err hs_spawn(pid_t *pid, const char *file,
                                    const posix_spawn_file_actions_t *actions, char *const argv[],
                                    char *const envp[]);

HS_END_DECLS
