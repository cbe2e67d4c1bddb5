/* `httpshard doctor`: prints what this machine lets a server do, and what to do about the rest.
 *
 * Owns: the layout and the exit status. Must not know: how anything is found out.
 * Tested by: tests/e2e/backends.py. */
#include "doctor.h"

#include <stdio.h>
#include <string.h>

#include "hs_doctor.h"

static void print_help(void)
{
    printf("usage: httpshard doctor [--io HOW]\n"
           "\n"
           "Tells what this machine lets a server do, and what to do about the rest, as warnings:\n"
           "which backend it would run on (with --io or HS_IO: auto, uring or epoll) and why,\n"
           "features of the kernel, seccomp, limits of files, memory and processors.\n"
           "\n"
           "Exits with 0 where a server would start (on io_uring, or on epoll with a warning),\n"
           "1 where it would not, 2 for a bad command line.\n");
}

static void print_line(const hs_doctor_line *line, void *ctx)
{
    static const char *const grades[] = {
        [HS_DOCTOR_FINE] = "ok", [HS_DOCTOR_WARN] = "warn", [HS_DOCTOR_BAD] = "bad"};
    (void)ctx;
    printf("%-5s %-11s %s\n", grades[line->grade], line->topic, line->text);
    if (line->remedy)
        printf("%-5s %-11s -> %s\n", "", "", line->remedy);
}

static int bad_usage(const char *what)
{
    fprintf(stderr, "httpshard doctor: %s (see httpshard doctor --help)\n", what);
    return 2;
}

int doctor_main(int argc, char **argv)
{
    hs_io_choice io = HS_IO_AUTO;
    for (int i = 1; i < argc; i++) {
        const char *value = NULL;
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
            print_help();
            return 0;
        }
        if (strncmp(argv[i], "--io=", 5) == 0)
            value = argv[i] + 5;
        else if (strcmp(argv[i], "--io") == 0)
            value = i + 1 < argc ? argv[++i] : "";
        if (!value)
            return bad_usage("no such flag");
        if (!hs_io_choice_parse(value, &io))
            return bad_usage("--io: wants auto, uring or epoll");
    }
    return hs_doctor_run(io, print_line, NULL) == HS_DOCTOR_BAD ? 1 : 0;
}
