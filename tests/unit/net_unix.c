/* Names of Unix sockets: who may connect, what is in the way, and whose file is removed. Streams on
 * them are in net_unix_stream.c. */
#include <pthread.h>
#include <stdio.h>

#include "core_help.h"
#include "unix_rig.h"

TestSuite(net_unix, .init = folder_make, .fini = folder_end);

static hs_err open_with(const char *text, uint32_t mode, bool datagram, hs_unix **out)
{
    hs_addr addr = addr_of(text);
    hs_unix_options o = {.mode = mode, .datagram = datagram};
    return hs_unix_open(hs_mem_system(), &addr, &o, out);
}

static hs_unix *open_at(const char *text)
{
    hs_unix *u = NULL;
    hs_err err = open_with(text, 0, false, &u);
    cr_assert(hs_ok(err), "%s: %s", text, hs_err_name(err));
    return u;
}

static int32_t refused(const char *text)
{
    hs_unix *u;
    return open_with(text, 0, false, &u).code;
}

/* ---- who may connect ---- */

static mode_t seen_at_bind;

int __wrap_bind(int fd, const struct sockaddr *addr, socklen_t len);
int __real_bind(int fd, const struct sockaddr *addr, socklen_t len);

/* What is there at the first moment that the name is. */
int __wrap_bind(int fd, const struct sockaddr *addr, socklen_t len)
{
    struct stat st;
    int rc = __real_bind(fd, addr, len);
    const char *path = ((const struct sockaddr_un *)(const void *)addr)->sun_path;
    seen_at_bind = path[0] && lstat(path, &st) == 0 ? st.st_mode : 0;
    return rc;
}

Test(net_unix, the_mode_is_right_whatever_the_umask_and_never_wider)
{
    static const mode_t masks[] = {0, 022, 077, 0777};
    static const uint32_t modes[] = {0600, 0660, 0666, 0777, 0622};
    for (size_t i = 0; i < HS_ARRAY_LEN(masks); i++)
        for (size_t k = 0; k < HS_ARRAY_LEN(modes); k++) {
            hs_unix *u;
            umask(masks[i]);
            cr_assert(hs_ok(open_with("unix:s", modes[k], false, &u)));
            cr_assert_eq(umask(masks[i]), masks[i]);
            cr_assert(S_ISSOCK(seen_at_bind));
            cr_assert_eq(seen_at_bind & 0777 & ~modes[k], 0, "%o at first", seen_at_bind);
            cr_assert_eq(mode_of("s") & 0777, modes[k]);
            hs_unix_unref(u);
        }
}

Test(net_unix, without_a_mode_only_we_may_connect)
{
    hs_addr addr = addr_of("unix:s");
    hs_unix *u;
    cr_assert(hs_ok(hs_unix_open(hs_mem_system(), &addr, NULL, &u)));
    cr_assert_eq(mode_of("s") & 0777, 0600);
    hs_unix_unref(u);
}

/* ---- what is in the way ---- */

Test(net_unix, a_socket_that_nobody_has_is_replaced)
{
    struct stat before, after;
    close(plain_bound("unix:s", SOCK_STREAM, 5));
    cr_assert_eq(lstat("s", &before), 0);
    hs_unix *u = open_at("unix:s");
    cr_assert_eq(lstat("s", &after), 0);
    cr_assert(before.st_ino != after.st_ino || before.st_ctim.tv_nsec != after.st_ctim.tv_nsec);
    close(plain_connect("unix:s", SOCK_STREAM));
    hs_unix_unref(u);
    cr_assert_eq(access("s", F_OK), -1);
    close(plain_bound("unix:s", SOCK_DGRAM, -1)); /* whatever it was */
    hs_unix_unref(open_at("unix:s"));
}

Test(net_unix, a_socket_that_somebody_has_is_left_alone)
{
    static const struct {
        int type, backlog;
    } owners[] = {{SOCK_STREAM, 5}, {SOCK_SEQPACKET, 5}, {SOCK_DGRAM, -1}};
    for (size_t i = 0; i < HS_ARRAY_LEN(owners); i++)
        for (int datagram = 0; datagram < 2; datagram++) {
            hs_unix *u;
            int fd = plain_bound("unix:s", owners[i].type, owners[i].backlog);
            cr_assert_eq(open_with("unix:s", 0, datagram, &u).code, -EADDRINUSE);
            int client = plain_connect("unix:s", owners[i].type);
            cr_assert_geq(client, 0);
            close(client);
            close(fd);
            cr_assert_eq(unlink("s"), 0);
        }
}

Test(net_unix, a_full_queue_is_no_absence)
{
    int fd = plain_bound("unix:s", SOCK_STREAM, 0), clients[16];
    hs_addr addr = addr_of("unix:s");
    uint32_t n = 0;
    for (int rc = 0; rc == 0; n++) {
        cr_assert_lt(n, HS_ARRAY_LEN(clients));
        clients[n] = plain_socket(SOCK_STREAM | SOCK_NONBLOCK);
        rc = connect(clients[n], &addr.sa.any, addr.len);
        cr_assert(rc == 0 || errno == EAGAIN);
    }
    cr_assert_eq(refused("unix:s"), -EADDRINUSE);
    while (n > 0)
        close(clients[--n]);
    close(fd);
    unlink("s");
}

static void *let_go(void *arg)
{
    int *fd = arg, served = accept(*fd, NULL, NULL); /* whoever starts has asked */
    cr_assert_geq(served, 0);
    close(*fd);
    close(served);
    return NULL;
}

Test(net_unix, who_lets_go_while_we_ask_is_gone)
{
    hs_unix *u = NULL;
    for (int tries = 0; !u; tries++) {
        pthread_t thread;
        int fd = plain_bound("unix:s", SOCK_STREAM, 5);
        cr_assert_eq(pthread_create(&thread, NULL, let_go, &fd), 0);
        hs_err err = open_with("unix:s", 0, false, &u);
        pthread_join(thread, NULL);
        /* Who does not let go for as long as we wait is there; a machine may hold him up. */
        cr_assert(hs_ok(err) || (err.code == -EADDRINUSE && tries < 10), "%s", hs_err_name(err));
        if (hs_ok(err))
            break;
        u = NULL;
        cr_assert_eq(unlink("s"), 0);
    }
    hs_unix_unref(u);
}

Test(net_unix, what_is_no_socket_is_never_removed)
{
    int file = open("s", O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    cr_assert_eq(write(file, "data", 4), 4);
    close(file);
    cr_assert_eq(refused("unix:s"), -EEXIST);
    cr_assert(S_ISREG(mode_of("s")));
    unlink("s");
    cr_assert_eq(mkdir("s", 0700), 0);
    cr_assert_eq(refused("unix:s"), -EEXIST);
    cr_assert_eq(rmdir("s"), 0);
    cr_assert_eq(mkfifo("s", 0600), 0);
    cr_assert_eq(refused("unix:s"), -EEXIST);
    cr_assert(S_ISFIFO(mode_of("s")));
    unlink("s");
    /* Not even a link to a socket that nobody has, or to nothing. */
    close(plain_bound("unix:dead", SOCK_STREAM, 5));
    cr_assert_eq(symlink("dead", "s"), 0);
    cr_assert_eq(refused("unix:s"), -EEXIST);
    cr_assert(S_ISLNK(mode_of("s")));
    unlink("dead");
    cr_assert_eq(refused("unix:s"), -EEXIST);
    unlink("s");
}

Test(net_unix, where_it_cannot_be_made)
{
    cr_assert_eq(refused("unix:none/s"), -ENOENT);
    close(open("file", O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
    cr_assert_eq(refused("unix:file/s"), -ENOTDIR);
    unlink("file");
    hs_unix *u;
    cr_assert_eq(open_with("unix:s", 01777, false, &u).code, HS_E_USAGE);
    cr_assert_eq(refused("127.0.0.1:0"), HS_E_USAGE);
    hs_addr addr = {.sa.un.sun_family = AF_UNIX, .len = sizeof(sa_family_t)};
    cr_assert_eq(hs_unix_open(hs_mem_system(), &addr, NULL, &u).code, HS_E_USAGE);
    memset(addr.sa.un.sun_path, 's', sizeof addr.sa.un.sun_path);
    addr.len = sizeof addr.sa.un;
    cr_assert_eq(hs_unix_open(hs_mem_system(), &addr, NULL, &u).code, HS_E_LIMIT);
}

Test(net_unix, a_folder_that_is_not_ours)
{
    if (geteuid() == 0)
        cr_skip_test("root may write everywhere");
    cr_assert_eq(mkdir("d", 0500), 0);
    cr_assert_eq(refused("unix:d/s"), -EACCES);
    cr_assert_eq(rmdir("d"), 0);
}

Test(net_unix, the_longest_path_works)
{
    char text[200];
    snprintf(text, sizeof text, "unix:%0*d", (int)HS_UNIX_NAME_MAX, 0);
    hs_unix *u = open_at(text);
    close(plain_connect(text, SOCK_STREAM));
    cr_assert(hs_addr_eq(hs_unix_addr(u), &(hs_addr){.sa = addr_of(text).sa, .len = 110}));
    hs_unix_unref(u);
}

/* ---- two that start at once ---- */

Test(net_unix, who_starts_holds_a_lock)
{
    int lock = open("s.lock", O_CREAT | O_RDWR | O_CLOEXEC, 0600);
    cr_assert_eq(flock(lock, LOCK_EX | LOCK_NB), 0);
    close(plain_bound("unix:s", SOCK_STREAM, 5));
    cr_assert_eq(refused("unix:s"), -EADDRINUSE);
    cr_assert_eq(access("s", F_OK), 0); /* not even the abandoned one was touched */
    close(lock);                        /* the other has died: its file is there, its lock is not */
    hs_unix *u = open_at("unix:s");
    cr_assert_eq(access("s.lock", F_OK), -1);
    hs_unix_unref(u);
}

Test(net_unix, a_lock_that_is_no_file)
{
    cr_assert_eq(symlink("elsewhere", "s.lock"), 0);
    cr_assert_eq(refused("unix:s"), -ELOOP);
    cr_assert_eq(access("elsewhere", F_OK), -1);
    unlink("s.lock");
}

#define STARTERS 6

static pthread_barrier_t together;
static hs_unix *won[STARTERS];

static void *starter(void *arg)
{
    hs_unix **u = arg;
    pthread_barrier_wait(&together);
    hs_err err = open_with("unix:s", 0, false, u);
    if (!hs_ok(err)) {
        *u = NULL;
        return err.code == -EADDRINUSE ? NULL : u;
    }
    return NULL;
}

Test(net_unix, of_many_that_start_at_once_one_wins)
{
    cr_assert_eq(pthread_barrier_init(&together, NULL, STARTERS), 0);
    for (int round = 0; round < 8; round++) {
        pthread_t threads[STARTERS];
        hs_unix *winner = NULL;
        close(plain_bound("unix:s", SOCK_STREAM, 5));
        for (int i = 0; i < STARTERS; i++)
            cr_assert_eq(pthread_create(&threads[i], NULL, starter, &won[i]), 0);
        for (int i = 0; i < STARTERS; i++) {
            void *odd;
            cr_assert_eq(pthread_join(threads[i], &odd), 0);
            cr_assert_null(odd);
            cr_assert(!won[i] || !winner, "two have won");
            winner = won[i] ? won[i] : winner;
        }
        cr_assert_not_null(winner);
        int client = plain_connect("unix:s", SOCK_STREAM);
        cr_assert_geq(client, 0);
        int served = accept(hs_unix_fd(winner), NULL, NULL); /* it is the winner's */
        cr_assert_geq(served, 0);
        close(served);
        close(client);
        hs_unix_unref(winner);
        cr_assert_eq(access("s", F_OK), -1);
        cr_assert_eq(access("s.lock", F_OK), -1);
    }
    pthread_barrier_destroy(&together);
}

/* ---- the end ---- */

Test(net_unix, the_last_reference_removes_the_file)
{
    hs_unix *u = open_at("unix:s");
    cr_assert_eq(hs_unix_ref(u), u);
    hs_unix_unref(u);
    close(plain_connect("unix:s", SOCK_STREAM));
    hs_unix_unref(u);
    cr_assert_eq(access("s", F_OK), -1);
}

Test(net_unix, anothers_file_is_not_removed)
{
    hs_unix *u = open_at("unix:s");
    cr_assert_eq(unlink("s"), 0);
    int other = plain_bound("unix:s", SOCK_STREAM, 5);
    hs_unix_unref(u);
    close(plain_connect("unix:s", SOCK_STREAM));
    close(other);
    cr_assert_eq(unlink("s"), 0);
    u = open_at("unix:s");
    cr_assert_eq(unlink("s"), 0);
    hs_unix_unref(u); /* none is there */
}

Test(net_unix, a_failed_start_leaves_nothing)
{
    int other = plain_bound(own_name(), SOCK_STREAM, 5);
    cr_assert_eq(refused(own_name()), -EADDRINUSE);
    close(other);
    cr_assert_eq(mkdir("s", 0700), 0);
    cr_assert_eq(refused("unix:s"), -EEXIST);
    cr_assert_eq(access("s.lock", F_OK), -1);
    rmdir("s");
}

Test(net_unix, an_abstract_name_is_gone_with_its_socket)
{
    const char *text = own_name();
    hs_unix *u = open_at(text);
    close(plain_connect(text, SOCK_STREAM));
    cr_assert_eq(refused(text), -EADDRINUSE);
    hs_unix_unref(u);
    cr_assert_eq(plain_connect(text, SOCK_STREAM), -1);
    cr_assert_eq(errno, ECONNREFUSED);
    hs_unix_unref(open_at(text));
}

Test(net_unix, datagram_sockets_have_names_too)
{
    hs_unix *u;
    char byte = 0;
    cr_assert(hs_ok(open_with("unix:s", 0620, true, &u)));
    cr_assert_eq(mode_of("s") & 0777, 0620);
    int client = plain_connect("unix:s", SOCK_DGRAM);
    cr_assert_eq(send(client, "x", 1, 0), 1);
    cr_assert_eq(recv(hs_unix_fd(u), &byte, 1, 0), 1);
    cr_assert_eq(byte, 'x');
    close(client);
    hs_unix_unref(u);
    cr_assert_eq(access("s", F_OK), -1);
}

static hs_err memory_scene(const hs_mem *mem)
{
    hs_unix *u;
    hs_addr addr = addr_of("unix:s");
    HS_TRY(hs_unix_open(mem, &addr, NULL, &u));
    hs_unix_unref(u);
    return HS_OK;
}

Test(net_unix, memory_fails)
{
    cr_assert_eq(fault_each(memory_scene, false), 2);
    cr_assert_eq(access("s", F_OK), -1);
}
