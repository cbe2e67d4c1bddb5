/* What parsing a request's head costs: nanoseconds and instructions, with each line loop in turn.
 *
 * Owns: a few heads as real clients send them. The figure is the least of many short rounds,
 * rotated over the loops so that a noisy moment hits all alike; instructions are counted where the
 * kernel lets an unprivileged process do it. Usage: h1_head_bench [ROUNDS]. Tested by: being run.
 */
#include <linux/perf_event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "h1_parse.h"

#define PARSES 2000 /* well within a time slice, so that the least is undisturbed */

static const struct {
    const char *name, *head;
} heads[] = {
    {"wrk", "GET /plaintext HTTP/1.1\r\nHost: 127.0.0.1:8080\r\n\r\n"},
    {"curl", "GET /plaintext HTTP/1.1\r\nHost: 127.0.0.1:8080\r\nUser-Agent: curl/8.5.0\r\n"
             "Accept: */*\r\n\r\n"},
    {"browser",
     "GET /search?q=io_uring&lang=en HTTP/1.1\r\nHost: www.example.com\r\n"
     "User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0\r\n"
     "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\r\n"
     "Accept-Language: en-US,en;q=0.5\r\nAccept-Encoding: gzip, deflate, br, zstd\r\n"
     "Connection: keep-alive\r\nCookie: session=0123456789abcdef0123456789abcdef\r\n"
     "Upgrade-Insecure-Requests: 1\r\n\r\n"},
};

static const struct {
    const char *name;
    h1_lines_fn *fn;
} loops[] = {
    {"portable", h1_lines_portable},
#if defined(__x86_64__)
    {"sse2", h1_lines_sse2},
    {"avx2", h1_lines_avx2},
#elif defined(__aarch64__)
    {"neon", h1_lines_neon},
#endif
};

static bool known_to_cpu(const char *loop)
{
#if defined(__x86_64__)
    if (strcmp(loop, "avx2") == 0)
        return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi");
#endif
    return loop[0] != '\0';
}

static uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * HS_SEC_NS + (uint64_t)t.tv_nsec;
}

/* A counter of this thread's instructions in user mode, or -1. */
static int open_counter(void)
{
    struct perf_event_attr attr = {.type = PERF_TYPE_HARDWARE,
                                   .size = sizeof(attr),
                                   .config = PERF_COUNT_HW_INSTRUCTIONS,
                                   .exclude_kernel = 1,
                                   .exclude_hv = 1};
    return (int)syscall(SYS_perf_event_open, &attr, 0, -1, -1, 0);
}

static uint64_t read_counter(int fd)
{
    uint64_t value = 0;
    if (fd < 0 || read(fd, &value, sizeof(value)) != (ssize_t)sizeof(value))
        return 0;
    return value;
}

typedef struct figure {
    double ns, instructions;
} figure;

static figure measure(h1_lines_fn *fn, const char *text, int counter)
{
    static const h1_limits limits = {16384, 8192, 100};
    static h1_head head;
    const uint8_t *base = (const uint8_t *)text;
    size_t len = strlen(text);
    h1_head_use_lines(fn);
    uint64_t instructions = read_counter(counter);
    uint64_t start = now_ns();
    for (int i = 0; i < PARSES; i++) {
        h1_head_init(&head);
        h1_result r = h1_head_parse(&head, base, len, &limits);
        if (r != H1_DONE || head.bytes != len) {
            fprintf(stderr, "h1_head_bench: a head was not accepted: %s\n", text);
            exit(1);
        }
        __asm__ volatile("" ::: "memory");
    }
    figure f = {(double)(now_ns() - start) / PARSES,
                (double)(read_counter(counter) - instructions) / PARSES};
    return f;
}

int main(int argc, char **argv)
{
    int rounds = argc > 1 ? (int)strtol(argv[1], NULL, 10) : 1000;
    int counter = open_counter();
    if (argc > 2 || rounds < 1) {
        fprintf(stderr, "usage: h1_head_bench [ROUNDS]\n");
        return 2;
    }
    figure best[HS_ARRAY_LEN(heads)][HS_ARRAY_LEN(loops)];
    for (int round = 0; round < rounds; round++) {
        for (size_t h = 0; h < HS_ARRAY_LEN(heads); h++) {
            for (size_t l = 0; l < HS_ARRAY_LEN(loops); l++) {
                if (!known_to_cpu(loops[l].name))
                    continue;
                figure f = measure(loops[l].fn, heads[h].head, counter);
                if (round == 0 || f.ns < best[h][l].ns)
                    best[h][l] = f;
            }
        }
    }
    printf("%-8s %6s  %-9s %8s %13s\n", "head", "bytes", "loop", "ns", "instructions");
    for (size_t h = 0; h < HS_ARRAY_LEN(heads); h++) {
        for (size_t l = 0; l < HS_ARRAY_LEN(loops); l++) {
            if (!known_to_cpu(loops[l].name))
                continue;
            printf("%-8s %6zu  %-9s %8.1f ", heads[h].name, strlen(heads[h].head), loops[l].name,
                   best[h][l].ns);
            if (counter < 0)
                printf("%13s\n", "not counted");
            else
                printf("%13.0f\n", best[h][l].instructions);
        }
    }
    return 0;
}
