/* The doctor: what it tells of limits and of a backend that cannot be, and the form of all of it.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "hs_doctor.h"

static struct {
    size_t lines;
    hs_doctor_grade worst;
    char topics[32][32];
    hs_doctor_grade grades[32];
    char texts[32][256];
} found;

static void keep(const hs_doctor_line *line, void *ctx)
{
    cr_assert_eq(ctx, &found);
    cr_assert_lt(found.lines, 32);
    cr_assert_null(strchr(line->text, '\n'));
    cr_assert_neq(line->text[0], '\0');
    /* Whoever is told that something is wrong is told what to do about it. */
    cr_assert_eq(line->remedy != NULL, line->grade != HS_DOCTOR_FINE, "%s", line->topic);
    size_t at = found.lines++;
    found.worst = line->grade > found.worst ? line->grade : found.worst;
    found.grades[at] = line->grade;
    snprintf(found.topics[at], sizeof found.topics[at], "%s", line->topic);
    snprintf(found.texts[at], sizeof found.texts[at], "%s", line->text);
}

static hs_doctor_grade examine(hs_io_choice io)
{
    memset(&found, 0, sizeof found);
    hs_doctor_grade worst = hs_doctor_run(io, keep, &found);
    cr_assert_eq(worst, found.worst);
    return worst;
}

static size_t line_of(const char *topic)
{
    for (size_t i = 0; i < found.lines; i++)
        if (strcmp(found.topics[i], topic) == 0)
            return i;
    cr_assert(false, "nothing is told of %s", topic);
    return 0;
}

static void set_files(rlim_t soft, rlim_t hard)
{
    struct rlimit limit = {soft, hard};
    cr_assert_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
}

Test(shard_doctor, each_topic_is_told_once_and_the_verdict_last)
{
    unsetenv("HS_IO");
    examine(HS_IO_AUTO);
    for (size_t i = 0; i < found.lines; i++)
        cr_assert_eq(line_of(found.topics[i]), i);
    cr_assert_str_eq(found.topics[0], "kernel");
    cr_assert_str_eq(found.topics[found.lines - 1], "backend");
}

Test(shard_doctor, epoll_can_always_be_had)
{
    unsetenv("HS_IO");
    examine(HS_IO_EPOLL);
    cr_assert_eq(found.grades[line_of("backend")], HS_DOCTOR_FINE);
    cr_assert_eq(strncmp(found.texts[line_of("backend")], "epoll", 5), 0);
}

Test(shard_doctor, io_uring_that_is_switched_off_is_a_warning_and_asked_for_a_failure)
{
    unsetenv("HS_IO");
    setenv("HS_CAPS_DISABLE", "io_uring", 1);
    cr_assert_eq(examine(HS_IO_AUTO), HS_DOCTOR_WARN);
    cr_assert_eq(found.grades[line_of("io_uring")], HS_DOCTOR_WARN);
    cr_assert_eq(found.grades[line_of("backend")], HS_DOCTOR_WARN);
    cr_assert_eq(examine(HS_IO_URING), HS_DOCTOR_BAD);
    cr_assert_eq(found.grades[line_of("backend")], HS_DOCTOR_BAD);
}

Test(shard_doctor, an_environment_that_names_no_backend)
{
    setenv("HS_IO", "kqueue", 1);
    cr_assert_eq(examine(HS_IO_AUTO), HS_DOCTOR_BAD);
    cr_assert_eq(found.grades[line_of("backend")], HS_DOCTOR_BAD);
}

Test(shard_doctor, files_are_enough_or_few_or_too_few)
{
    unsetenv("HS_IO");
    set_files(1000, 8000);
    examine(HS_IO_EPOLL);
    cr_assert_eq(found.grades[line_of("files")], HS_DOCTOR_FINE, "it is raised to the hard limit");
    set_files(1000, 1000);
    examine(HS_IO_EPOLL);
    cr_assert_eq(found.grades[line_of("files")], HS_DOCTOR_WARN);
    set_files(64, 64);
    cr_assert_eq(examine(HS_IO_EPOLL), HS_DOCTOR_BAD);
    cr_assert_eq(found.grades[line_of("files")], HS_DOCTOR_BAD);
}
