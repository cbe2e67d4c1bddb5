/* What the tests of Unix sockets share: a folder of the test's own to work in, and plain sockets.
 */
#pragma once

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "hs_unix.h"

static char unix_folder[64];

/* Each test is a process: it may change its folder. */
static inline void folder_make(void)
{
    snprintf(unix_folder, sizeof unix_folder, "/tmp/hs-unix-XXXXXX");
    cr_assert_not_null(mkdtemp(unix_folder));
    cr_assert_eq(chdir(unix_folder), 0);
    umask(022);
}

/* The test left nothing behind, but for what it names. */
static inline void folder_end(void)
{
    cr_assert_eq(chdir("/"), 0);
    cr_assert_eq(rmdir(unix_folder), 0, "the folder is not empty");
}

/* An abstract name of this process: other tests run at the same time, and these names are all of
 * the machine's. */
static inline const char *own_name(void)
{
    static char text[32];
    snprintf(text, sizeof text, "unix:@hs-test-%d", (int)getpid());
    return text;
}

static inline hs_addr addr_of(const char *text)
{
    hs_addr addr;
    cr_assert(hs_ok(hs_addr_parse(&addr, hs_span_str(text))), "%s", text);
    return addr;
}

static inline int plain_socket(int type)
{
    int fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);
    cr_assert_geq(fd, 0);
    return fd;
}

/* A socket that somebody else has there; -1 as `backlog`: it does not listen. */
static inline int plain_bound(const char *text, int type, int backlog)
{
    hs_addr addr = addr_of(text);
    int fd = plain_socket(type);
    cr_assert_eq(bind(fd, &addr.sa.any, addr.len), 0);
    if (backlog >= 0)
        cr_assert_eq(listen(fd, backlog), 0);
    return fd;
}

/* Connects; -1 with errno where it cannot. */
static inline int plain_connect(const char *text, int type)
{
    hs_addr addr = addr_of(text);
    int fd = plain_socket(type);
    if (connect(fd, &addr.sa.any, addr.len) == 0)
        return fd;
    int why = errno;
    close(fd);
    errno = why;
    return -1;
}

static inline mode_t mode_of(const char *path)
{
    struct stat st;
    cr_assert_eq(lstat(path, &st), 0);
    return st.st_mode;
}
