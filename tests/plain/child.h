/* A case in a process of its own, whose standard error is read. */
#pragma once

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"

/* Call fn(arg) in a child, which may exit itself, and else does with 0. What it writes to standard
 * error is at `text` then, of `text_bytes` bytes (more fails). Returns what waitpid tells. */
static inline int child_run(void (*fn)(const void *arg), const void *arg, char *text,
                            size_t text_bytes)
{
    int pipes[2], status;
    size_t len = 0;
    (void)fflush(stdout);
    CHECK(pipe2(pipes, O_CLOEXEC) == 0);
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        CHECK(dup2(pipes[1], STDERR_FILENO) == STDERR_FILENO);
        fn(arg);
        exit(0);
    }
    close(pipes[1]);
    for (ssize_t n; (n = read(pipes[0], text + len, text_bytes - 1 - len)) != 0;) {
        CHECK(n > 0 || errno == EINTR);
        len += n > 0 ? (size_t)n : 0;
    }
    CHECK(len < text_bytes - 1);
    text[len] = '\0';
    close(pipes[0]);
    CHECK(waitpid(pid, &status, 0) == pid);
    return status;
}
