/* Unix datagram sockets: names, receivers that are full or gone, what is too long, files that a
 * hostile peer sends along. */
#include "udp_rig.h"
#include "unix_rig.h"

TestSuite(net_udp_unix, .init = folder_make, .fini = folder_end);

static void bind_name(end *e, const char *text)
{
    hs_addr addr = addr_of(text);
    end_open(e, (hs_udp_options){.bind = &addr});
    cr_assert(hs_addr_eq(hs_udp_addr(e->s), &addr));
}

REAL_TEST(net_udp_unix, names_are_sent_to_and_answered)
{
    udp_begin(r);
    bind_name(&ends[0], "unix:a");
    bind_name(&ends[1], own_name());
    cr_assert_eq(mode_of("a") & 0777, 0600);
    say(&ends[1], &ends[0], "hello");
    REAL_UNTIL(r, ends[0].heard_len == 1);
    cr_assert(hs_addr_eq(&ends[0].heard[0].from, hs_udp_addr(ends[1].s)));
    cr_assert(hs_ok(hs_udp_send(ends[0].s, &ends[0].heard[0].from, HS_SPAN("answer"))));
    say(&ends[0], &ends[1], "");
    REAL_UNTIL(r, ends[1].heard_len == 2);
    cr_assert_eq(ends[1].heard[0].len, 6);
    cr_assert_eq(ends[1].heard[1].len, 0);
    hs_udp_close(ends[0].s);
    REAL_UNTIL(r, !ends[0].s);
    cr_assert_eq(access("a", F_OK), -1);
    udp_finish(r);
}

REAL_TEST(net_udp_unix, one_without_a_name_is_heard)
{
    hs_addr a = addr_of("unix:a");
    char text[HS_ADDR_TEXT_BYTES];
    udp_begin(r);
    bind_name(&ends[0], "unix:a");
    end_open(&ends[1], (hs_udp_options){.connect = &a});
    say(&ends[1], NULL, "hello");
    REAL_UNTIL(r, ends[0].heard_len == 1);
    cr_assert_str_eq(hs_addr_format(&ends[0].heard[0].from, text), "unix:");
    udp_finish(r);
}

REAL_TEST(net_udp_unix, modes_and_files_in_the_way)
{
    hs_addr a = addr_of("unix:a");
    udp_begin(r);
    close(plain_bound("unix:a", SOCK_DGRAM, -1)); /* abandoned */
    end_open(&ends[0], (hs_udp_options){.bind = &a, .unix_mode = 0622});
    cr_assert_eq(mode_of("a") & 0777, 0622);
    cr_assert_eq(end_open_err(&ends[1], (hs_udp_options){.bind = &a}).code, -EADDRINUSE);
    udp_finish(r);
}

REAL_TEST(net_udp_unix, a_receiver_that_is_full_is_told)
{
    udp_begin(r);
    bind_name(&ends[0], "unix:a");
    bind_name(&ends[1], "unix:b");
    hs_udp_pause(ends[0].s);
    real_idle(r, 3);
    for (int i = 0; i < 2000; i++)
        say(&ends[1], &ends[0], "x");
    REAL_UNTIL(r, hs_udp_unsent(ends[1].s) == 0);
    uint32_t told = ends[1].errors;
    cr_assert_gt(told, 0);
    cr_assert_eq(ends[1].error.code, HS_E_BLOCKED);
    cr_assert(ends[1].error_has_to && hs_addr_eq(&ends[1].error_to, hs_udp_addr(ends[0].s)));
    hs_udp_resume(ends[0].s);
    REAL_UNTIL(r, ends[0].heard_len == 2000 - told); /* each was told or heard */
    real_idle(r, 5);
    cr_assert_eq(ends[0].heard_len, 2000 - told);
    udp_finish(r);
}

REAL_TEST(net_udp_unix, a_connected_one_waits_for_its_receiver)
{
    hs_addr a = addr_of("unix:a");
    udp_begin(r);
    bind_name(&ends[0], "unix:a");
    end_open(&ends[1], (hs_udp_options){.connect = &a, .queue_bytes_max = 5000});
    hs_udp_pause(ends[0].s);
    real_idle(r, 3);
    uint32_t n = 0;
    while (hs_ok(say_bytes(&ends[1], NULL, 'x', 10)))
        n++;
    real_idle(r, 20);
    cr_assert_eq(ends[1].errors, 0);
    cr_assert_gt(hs_udp_unsent(ends[1].s), 0);
    hs_udp_resume(ends[0].s);
    REAL_UNTIL(r, ends[0].heard_len == n);
    cr_assert_eq(ends[1].errors, 0);
    cr_assert_eq(ends[1].drains, 1);
    udp_finish(r);
}

REAL_TEST(net_udp_unix, a_receiver_that_is_gone_is_told)
{
    hs_addr a = addr_of("unix:a"), none = addr_of("unix:none");
    udp_begin(r);
    bind_name(&ends[0], "unix:a");
    bind_name(&ends[1], "unix:b");
    end_open(&ends[2], (hs_udp_options){.connect = &a});
    cr_assert(hs_ok(hs_udp_send(ends[1].s, &none, HS_SPAN("x"))));
    REAL_UNTIL(r, ends[1].errors == 1);
    cr_assert_eq(ends[1].error.code, -ENOENT);
    cr_assert(hs_addr_eq(&ends[1].error_to, &none));
    REAL_UNTIL(r, !ends[2].s->connecting);
    hs_udp_close(ends[0].s);
    REAL_UNTIL(r, !ends[0].s);
    real_idle(r, 3);
    say(&ends[2], NULL, "one");
    say(&ends[2], NULL, "another");
    REAL_UNTIL(r, ends[2].errors == 2);
    udp_finish(r);
}

REAL_TEST(net_udp_unix, what_is_too_long_comes_cut_and_says_so)
{
    static uint8_t bytes[HS_UDP_BYTES_MAX + 1000];
    hs_addr a = addr_of("unix:a");
    udp_begin(r);
    bind_name(&ends[0], "unix:a");
    int fd = plain_socket(SOCK_DGRAM);
    memset(bytes, 'x', sizeof bytes);
    cr_assert_eq(sendto(fd, bytes, sizeof bytes, 0, &a.sa.any, a.len), (ssize_t)sizeof bytes);
    cr_assert_eq(sendto(fd, bytes, HS_UDP_BYTES_MAX, 0, &a.sa.any, a.len), HS_UDP_BYTES_MAX);
    REAL_UNTIL(r, ends[0].heard_len == 2);
    cr_assert(ends[0].heard[0].truncated && ends[0].heard[0].len == HS_UDP_BYTES_MAX);
    cr_assert(!ends[0].heard[1].truncated && ends[0].heard[1].len == HS_UDP_BYTES_MAX);
    close(fd);
    udp_finish(r);
}

/* real_fini sees whether a file is left open. */
REAL_TEST(net_udp_unix, files_that_come_along_are_not_taken)
{
    hs_addr a = addr_of("unix:a");
    udp_begin(r);
    bind_name(&ends[0], "unix:a");
    int fd = plain_socket(SOCK_DGRAM);
    for (int i = 0; i < 10; i++) {
        union {
            struct cmsghdr align;
            uint8_t bytes[CMSG_SPACE(sizeof fd)];
        } control = {0};
        struct iovec iov = {(void *)(uintptr_t) "x", 1};
        struct msghdr msg = {.msg_name = &a.sa,
                             .msg_namelen = a.len,
                             .msg_iov = &iov,
                             .msg_iovlen = 1,
                             .msg_control = &control,
                             .msg_controllen = sizeof control};
        control.align.cmsg_level = SOL_SOCKET;
        control.align.cmsg_type = SCM_RIGHTS;
        control.align.cmsg_len = CMSG_LEN(sizeof fd);
        memcpy(CMSG_DATA(&control.align), &fd, sizeof fd);
        cr_assert_eq(sendmsg(fd, &msg, 0), 1);
    }
    REAL_UNTIL(r, ends[0].heard_len == 10);
    close(fd);
    udp_finish(r);
}
