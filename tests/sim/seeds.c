/* The command line of a simulation: see seeds.h. */
#include "seeds.h"

#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static const seeds_program *program;
static uint64_t seed_now; /* for the handler of a failed assertion */

/* From a signal handler: no printf. */
static void tell_replay(int sig)
{
    char line[120], digits[20];
    size_t len = 0;
    const char *const words[] = {"replay: ", program->name, " --seed "};
    for (int i = 0; i < 3; i++)
        for (const char *p = words[i]; *p && len < 80; p++)
            line[len++] = *p;
    size_t n = 0;
    for (uint64_t v = seed_now; n == 0 || v > 0; v /= 10)
        digits[n++] = (char)('0' + v % 10);
    while (n > 0)
        line[len++] = digits[--n];
    line[len++] = '\n';
    ssize_t ignored = write(STDERR_FILENO, line, len);
    (void)ignored;
    (void)signal(sig, SIG_DFL);
    (void)raise(sig);
}

void seeds_fail(const char *fault, uint64_t detail)
{
    fprintf(stderr, "seed %" PRIu64 ": %s (%" PRIu64 ")\nreplay: %s --seed %" PRIu64 "\n", seed_now,
            fault, detail, program->name, seed_now);
    exit(1);
}

static double seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static int usage(void)
{
    fprintf(stderr, "usage: %s --seeds FROM-TO [--seconds S] | --seed N | --twice FROM-TO\n",
            program->name);
    return 2;
}

static uint64_t run_seed(uint64_t seed, FILE *trace)
{
    seed_now = seed;
    return program->run(seed, trace);
}

static int run_range(uint64_t from, uint64_t to, double seconds_max, bool twice)
{
    uint64_t hash_all = 0, seeds = 0;
    double start = seconds();
    for (uint64_t seed = from; seed <= to; seed++) {
        if (seconds_max > 0 && seconds() - start > seconds_max)
            break;
        uint64_t hash = run_seed(seed, NULL);
        if (twice && hash != run_seed(seed, NULL)) {
            fprintf(stderr, "seed %" PRIu64 " did not run the same twice\n", seed);
            return 1;
        }
        seeds++;
        hash_all = hash_all * 31 + hash;
    }
    double spent = seconds() - start;
    printf("%s: %" PRIu64 " seeds in %.1f s (%.1f ms each): ", program->name, seeds, spent,
           spent * 1e3 / (double)seeds);
    program->print_totals();
    printf("; hash %016" PRIx64 "\n", hash_all);
    return 0;
}

int seeds_main(const seeds_program *p, int argc, char **argv)
{
    uint64_t from = 0, to = 0;
    double seconds_max = 0;
    const char *mode = NULL;
    program = p;
    (void)signal(SIGABRT, tell_replay);
    for (int i = 1; i + 1 < argc; i += 2) {
        char *end;
        if (strcmp(argv[i], "--seconds") == 0) {
            seconds_max = strtod(argv[i + 1], NULL);
            continue;
        }
        mode = argv[i];
        from = to = strtoull(argv[i + 1], &end, 10);
        if (*end == '-')
            to = strtoull(end + 1, &end, 10);
        if (*end != '\0' || to < from)
            return usage();
    }
    if (!mode || argc % 2 == 0)
        return usage();
    if (strcmp(mode, "--seeds") == 0)
        return run_range(from, to, seconds_max, false);
    if (strcmp(mode, "--twice") == 0)
        return run_range(from, to, seconds_max, true);
    if (strcmp(mode, "--seed") != 0)
        return usage();
    printf("seed %" PRIu64 ": fine, hash %016" PRIx64 "\n", from, run_seed(from, stderr));
    return 0;
}
