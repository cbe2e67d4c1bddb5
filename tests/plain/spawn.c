/* A program that a handler starts has the signals and the processors that the process began with.
 */
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"
#include "hs_group.h"
#include "hs_spawn.h"

extern char **environ;

static char status_text[4096];

/* What a child says of itself: its lines of /proc/self/status. */
static void read_child(hs_shard *shard)
{
    static char shell[] = "sh", flag[] = "-c", command[] = "cat /proc/self/status";
    static char none[] = "no-such-program";
    char *const argv[] = {shell, flag, command, NULL};
    char *const missing[] = {none, NULL};
    posix_spawn_file_actions_t actions;
    int pipes[2];
    pid_t pid;
    (void)shard;
    CHECK(pipe(pipes) == 0);
    CHECK(posix_spawn_file_actions_init(&actions) == 0);
    CHECK(posix_spawn_file_actions_adddup2(&actions, pipes[1], STDOUT_FILENO) == 0);
    CHECK(hs_ok(hs_spawn(&pid, "sh", &actions, argv, environ)));
    CHECK(hs_spawn(&pid, none, &actions, missing, environ).code == -ENOENT);
    CHECK(posix_spawn_file_actions_destroy(&actions) == 0);
    close(pipes[1]);
    size_t len = 0;
    for (ssize_t n; (n = read(pipes[0], status_text + len, sizeof status_text - 1 - len)) > 0;)
        len += (size_t)n;
    status_text[len] = '\0';
    close(pipes[0]);
}

static hs_err start(hs_shard *shard, void *ctx)
{
    cpu_set_t before, after;
    (void)ctx;
    if (hs_shard_id(shard) != 0)
        return HS_OK;
    CHECK(sched_getaffinity(0, sizeof before, &before) == 0);
    read_child(shard);
    CHECK(sched_getaffinity(0, sizeof after, &after) == 0);
    CHECK(CPU_EQUAL(&before, &after)); /* the shard is where it was */
    return HS_OK;
}

/* The value of a line of it, as hexadecimal: of a signal set. */
static unsigned long long value_of(const char *name)
{
    const char *line = strstr(status_text, name);
    CHECK(line != NULL);
    return strtoull(line + strlen(name), NULL, 16);
}

int main(void)
{
    cpu_set_t cpus;
    char expected[32];
    hs_group_options o;
    hs_group *group;
    CHECK(sched_getaffinity(0, sizeof cpus, &cpus) == 0);
    hs_group_block_signals();
    hs_group_options_init(&o);
    o.shards = 2;
    o.log_fd = -1;
    o.start = start;
    CHECK(hs_ok(hs_group_start(&o, &group)));
    hs_group_stop(group);
    CHECK(hs_group_join(group));
    CHECK(value_of("\nSigBlk:\t") == 0);
    CHECK((value_of("\nSigIgn:\t") >> (SIGPIPE - 1) & 1) == 0);
    const char *allowed = strstr(status_text, "\nCpus_allowed:\t");
    CHECK(allowed != NULL);
    uint32_t bits = 0;
    for (const char *at = allowed + strlen("\nCpus_allowed:\t"); *at != '\n'; at++) {
        snprintf(expected, sizeof expected, "%.1s", *at == ',' ? "0" : at);
        bits += (uint32_t)__builtin_popcountl(strtoul(expected, NULL, 16));
    }
    CHECK(bits == (uint32_t)CPU_COUNT(&cpus));
    return 0;
}
