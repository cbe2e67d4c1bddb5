/* A failed assertion says where and what, and ends the process by SIGABRT. */
#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "hs_assert.h"

/* Run `fn` in a process of its own; what it wrote to standard error goes to `text`. */
static int status_of(void (*fn)(void), char *text, size_t text_bytes)
{
    int fds[2];
    cr_assert_eq(pipe(fds), 0);
    pid_t pid = fork();
    cr_assert_geq(pid, 0);
    if (pid == 0) {
        dup2(fds[1], STDERR_FILENO);
        signal(SIGABRT, SIG_DFL);
        fn();
        _exit(0);
    }
    close(fds[1]);
    size_t len = 0;
    ssize_t n;
    while ((n = read(fds[0], text + len, text_bytes - 1 - len)) > 0)
        len += (size_t)n;
    text[len] = '\0';
    close(fds[0]);
    int status = 0;
    cr_assert_eq(waitpid(pid, &status, 0), pid);
    return status;
}

enum { LINE_FAILS = __LINE__ + 3 };
static void fails(void)
{
    HS_ASSERT(1 + 1 == 3);
}

static void holds(void)
{
    HS_ASSERT(1 + 1 == 2);
}

static void fails_without_line(void)
{
    hs_assert_failed("some.c", -1, "text");
}

Test(core_assert, failing_says_where_and_aborts)
{
    char text[512], expected[512];
    int status = status_of(fails, text, sizeof(text));
    cr_assert(WIFSIGNALED(status));
    cr_assert_eq(WTERMSIG(status), SIGABRT);
    snprintf(expected, sizeof(expected), "%s:%d: assertion failed: 1 + 1 == 3\n", __FILE__,
             LINE_FAILS);
    cr_assert_str_eq(text, expected);
}

Test(core_assert, a_line_that_is_no_number_is_zero)
{
    char text[512];
    int status = status_of(fails_without_line, text, sizeof(text));
    cr_assert(WIFSIGNALED(status));
    cr_assert_str_eq(text, "some.c:0: assertion failed: text\n");
}

Test(core_assert, holding_says_nothing)
{
    char text[512];
    cr_assert_eq(status_of(holds, text, sizeof(text)), 0);
    cr_assert_str_eq(text, "");
}

Test(core_assert, looks_once)
{
    int looked = 0;
    HS_ASSERT(++looked == 1); /* the one place where a side effect is the point */
    cr_assert_eq(looked, 1);
}
