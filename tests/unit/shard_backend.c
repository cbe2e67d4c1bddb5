/* The choice of a backend. */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "backend.h"

static hs_io_choice chosen(hs_io_choice wanted, const char *said)
{
    backend b;
    cr_assert_eq(said ? setenv("HS_IO", said, 1) : unsetenv("HS_IO"), 0);
    cr_assert(hs_ok(backend_choose(wanted, 1, &b)));
    return b.kind;
}

static bool have_uring(void)
{
    backend b;
    return hs_ok(backend_choose(HS_IO_URING, 1, &b));
}

Test(shard_backend, the_option_comes_first_then_the_environment_then_what_works)
{
    hs_io_choice best = have_uring() ? HS_IO_URING : HS_IO_EPOLL;
    cr_assert_eq(chosen(HS_IO_AUTO, NULL), best);
    cr_assert_eq(chosen(HS_IO_AUTO, "auto"), best);
    cr_assert_eq(chosen(HS_IO_AUTO, "epoll"), HS_IO_EPOLL);
    cr_assert_eq(chosen(HS_IO_EPOLL, "uring"), HS_IO_EPOLL);
    cr_assert_eq(chosen(HS_IO_EPOLL, "nonsense"), HS_IO_EPOLL);
    if (best == HS_IO_URING) {
        cr_assert_eq(chosen(HS_IO_AUTO, "uring"), HS_IO_URING);
        cr_assert_eq(chosen(HS_IO_URING, "epoll"), HS_IO_URING);
    }
    cr_assert_eq(setenv("HS_IO", "nonsense", 1), 0);
    backend b;
    cr_assert_eq(backend_choose(HS_IO_AUTO, 1, &b).code, HS_E_USAGE);
}

Test(shard_backend, choices_are_told_by_their_words)
{
    hs_io_choice c = HS_IO_AUTO;
    cr_assert(hs_io_choice_parse("epoll", &c));
    cr_assert_eq(c, HS_IO_EPOLL);
    cr_assert(hs_io_choice_parse("uring", &c));
    cr_assert_eq(c, HS_IO_URING);
    cr_assert(hs_io_choice_parse("auto", &c));
    cr_assert_eq(c, HS_IO_AUTO);
    c = HS_IO_EPOLL;
    cr_assert_not(hs_io_choice_parse("", &c));
    cr_assert_not(hs_io_choice_parse("Epoll", &c));
    cr_assert_not(hs_io_choice_parse("epoll ", &c));
    cr_assert_eq(c, HS_IO_EPOLL);
}

Test(shard_backend, without_io_uring_auto_falls_back_and_uring_fails)
{
    backend b;
    char text[96];
    cr_assert_eq(setenv("HS_CAPS_DISABLE", "io_uring", 1), 0);
    cr_assert(hs_ok(backend_choose(HS_IO_AUTO, 1, &b)));
    cr_assert_eq(b.kind, HS_IO_EPOLL);
    cr_assert(b.fallback);
    cr_assert_str_eq(b.why.cause, "io_uring_setup: EOPNOTSUPP (io_uring in HS_CAPS_DISABLE)");
    cr_assert_str_eq(b.why.remedy, "take it out of HS_CAPS_DISABLE");
    backend_text(&b, text, sizeof text);
    cr_assert_str_eq(text, "epoll");
    cr_assert_eq(backend_choose(HS_IO_URING, 1, &b).code, -EOPNOTSUPP);
    cr_assert(hs_ok(backend_choose(HS_IO_EPOLL, 1, &b)));
    cr_assert_not(b.fallback); /* it is what was asked for */
}

Test(shard_backend, features_are_told)
{
    backend b = {.kind = HS_IO_URING, .uring = {.msg_ring = true}};
    char text[96];
    backend_text(&b, text, sizeof text);
    cr_assert_str_eq(text, "uring msg_ring=yes ring_fd=no");
    b.uring = (uring_caps){.ring_fd = true};
    backend_text(&b, text, sizeof text);
    cr_assert_str_eq(text, "uring msg_ring=no (eventfd) ring_fd=yes");
}
