/* Unix sockets under a name: see hs_unix.h.
 *
 * The mode: a new socket's own mode is what bind(2) gives to the file, less the umask, so fchmod
 * before the bind leaves no moment in which too many may connect. What the umask took away is added
 * afterwards. Setting the umask instead would be seen by every thread of the process. */
#include "hs_unix.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "hs_spsc.h"

#define BACKLOG 4096 /* the system lowers it to net.core.somaxconn */
#define LOCK_TRIES 16
#define ASK_TRIES 4
#define ASK_MS 200
#define LOCK_SUFFIX ".lock"

struct hs_unix {
    const hs_mem *mem;
    hs_addr addr;
    hs_unix_options options;
    int fd;
    bool named;     /* there is a file that is ours */
    dev_t file_dev; /* and which */
    ino_t file_ino;
    HS_ATOMIC_U32 refs;
};

static int last_error(int rc)
{
    return rc < 0 ? -errno : 0;
}

static bool same_file(const struct stat *a, const struct stat *b)
{
    return a->st_dev == b->st_dev && a->st_ino == b->st_ino;
}

/* ---- the lock file ---- */

typedef struct name_lock {
    int fd;
    char path[HS_UNIX_NAME_MAX + sizeof LOCK_SUFFIX];
} name_lock;

/* Take the lock of the file as it is now: whoever held it before us has removed it. */
static int lock_try(name_lock *l)
{
    struct stat held, there;
    l->fd = open(l->path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (l->fd < 0)
        return -errno;
    int res = last_error(flock(l->fd, LOCK_EX | LOCK_NB));
    if (res == 0)
        res = last_error(fstat(l->fd, &held));
    if (res == 0 && (lstat(l->path, &there) != 0 || !same_file(&held, &there)))
        res = -EAGAIN;
    else if (res == 0)
        return 0;
    else if (res == -EWOULDBLOCK)
        res = -EADDRINUSE;
    (void)close(l->fd);
    return res;
}

static int lock_take(name_lock *l, hs_span path)
{
    HS_ASSERT(path.len <= HS_UNIX_NAME_MAX);
    memcpy(l->path, path.ptr, path.len);
    memcpy(l->path + path.len, LOCK_SUFFIX, sizeof LOCK_SUFFIX);
    int res = -EAGAIN;
    for (int i = 0; i < LOCK_TRIES && res == -EAGAIN; i++)
        res = lock_try(l);
    return res == -EAGAIN ? -EADDRINUSE : res;
}

static void lock_give(name_lock *l)
{
    (void)unlink(l->path);
    (void)close(l->fd);
}

/* ---- what is there already ---- */

static int make_socket(const hs_unix *u, int flags)
{
    int type = u->options.datagram ? SOCK_DGRAM : SOCK_STREAM;
    int fd = socket(AF_UNIX, type | SOCK_CLOEXEC | flags, 0);
    return fd < 0 ? -errno : fd;
}

/* Ask once: 0 where nobody has the socket, -EAGAIN where that is not clear yet, or why not. */
static int ask_once(const hs_unix *u)
{
    int fd = make_socket(u, SOCK_NONBLOCK);
    if (fd < 0)
        return fd;
    int res = last_error(connect(fd, &u->addr.sa.any, u->addr.len));
    struct pollfd ended = {.fd = fd, .events = POLLIN};
    switch (res) {
    case -ECONNREFUSED: /* nobody has it */
    case -ENOENT:       /* or it is gone */
        res = 0;
        break;
    case 0:
    case -EAGAIN: /* its queue is full */
        /* A stream of one that lives lasts; of others no end is told. */
        res = poll(&ended, 1, ASK_MS) == 0 && !u->options.datagram && res == 0 ? -EADDRINUSE
                                                                               : -EAGAIN;
        break;
    case -EPROTOTYPE: /* it is of another type */
        res = -EADDRINUSE;
        break;
    default:
        break;
    }
    (void)close(fd);
    return res;
}

/* Whether somebody has the socket: 0 where nobody does, or a negated errno. The system may hold on
 * to the socket of a process that died a moment ago: a ring's accept refers to it until a kernel
 * thread has ended the ring. A server that is started again at once would find its own ghost. */
static int ask_owner(const hs_unix *u)
{
    int res = -EAGAIN;
    for (int i = 0; i < ASK_TRIES && res == -EAGAIN; i++)
        res = ask_once(u);
    return res == -EAGAIN ? -EADDRINUSE : res;
}

/* Make way for a new socket. */
static int clear_path(const hs_unix *u, const char *path)
{
    struct stat before, now;
    if (lstat(path, &before) != 0)
        return errno == ENOENT ? 0 : -errno;
    if (!S_ISSOCK(before.st_mode))
        return -EEXIST;
    int res = ask_owner(u);
    if (res != 0)
        return res;
    /* One that does not know our lock may have put its own there. */
    if (lstat(path, &now) != 0)
        return errno == ENOENT ? 0 : -errno;
    if (!same_file(&before, &now))
        return -EADDRINUSE;
    return unlink(path) == 0 || errno == ENOENT ? 0 : -errno;
}

/* ---- making it ---- */

static int bind_path(hs_unix *u, const char *path)
{
    struct stat st;
    mode_t mode = (mode_t)u->options.mode;
    int res = last_error(fchmod(u->fd, mode));
    if (res == 0)
        res = last_error(bind(u->fd, &u->addr.sa.any, u->addr.len));
    if (res == 0)
        res = last_error(lstat(path, &st));
    if (res != 0)
        return res;
    u->named = true;
    u->file_dev = st.st_dev;
    u->file_ino = st.st_ino;
    if ((st.st_mode & 0777) == mode)
        return 0;
    return last_error(fchmodat(AT_FDCWD, path, mode, AT_SYMLINK_NOFOLLOW));
}

static int start_listening(const hs_unix *u)
{
    return u->options.datagram ? 0 : last_error(listen(u->fd, BACKLOG));
}

/* Under the lock until it listens: another that starts would take it for abandoned before. */
static int open_path(hs_unix *u, hs_span path)
{
    name_lock lock;
    const char *text = (const char *)path.ptr;
    int res = lock_take(&lock, path);
    if (res != 0)
        return res;
    res = clear_path(u, text);
    if (res == 0)
        res = bind_path(u, text);
    if (res == 0)
        res = start_listening(u);
    lock_give(&lock);
    return res;
}

static int open_abstract(hs_unix *u)
{
    int res = last_error(bind(u->fd, &u->addr.sa.any, u->addr.len));
    return res == 0 ? start_listening(u) : res;
}

hs_err hs_unix_open(const hs_mem *mem, const hs_addr *addr, const hs_unix_options *options,
                    hs_unix **out)
{
    HS_ASSERT(addr != NULL && out != NULL);
    hs_unix_options o = options ? *options : (hs_unix_options){0};
    HS_ENSURE(hs_addr_is_unix(addr) && addr->len > sizeof(sa_family_t), HS_E_USAGE);
    HS_ENSURE(hs_addr_path(addr).len <= HS_UNIX_NAME_MAX, HS_E_LIMIT);
    HS_ENSURE((o.mode & ~0777u) == 0, HS_E_USAGE);
    hs_unix *u = hs_mem_take_zero(mem, sizeof *u, HS_CACHE_LINE);
    HS_ENSURE(u, -ENOMEM);
    u->mem = mem;
    u->addr = *addr;
    u->options = o;
    if (u->options.mode == 0)
        u->options.mode = HS_UNIX_MODE;
    atomic_store(&u->refs, 1);
    int res = u->fd = make_socket(u, 0);
    if (res >= 0) {
        hs_span path = hs_addr_path(&u->addr);
        res = path.len > 0 ? open_path(u, path) : open_abstract(u);
    }
    if (res < 0) {
        hs_unix_unref(u);
        return hs_err_of(res);
    }
    *out = u;
    return HS_OK;
}

/* ---- the end ---- */

hs_unix *hs_unix_ref(hs_unix *u)
{
    uint32_t before = atomic_fetch_add(&u->refs, 1);
    HS_ASSERT(before > 0);
    return u;
}

void hs_unix_unref(hs_unix *u)
{
    uint32_t before = atomic_fetch_sub(&u->refs, 1);
    HS_ASSERT(before > 0);
    if (before > 1)
        return;
    struct stat st;
    const char *path = u->addr.sa.un.sun_path;
    /* First the file, then the socket: as long as it listens nobody takes the file for abandoned
     * and puts another in its place. */
    if (u->named && lstat(path, &st) == 0 && st.st_dev == u->file_dev && st.st_ino == u->file_ino)
        (void)unlink(path);
    if (u->fd >= 0)
        (void)close(u->fd);
    hs_mem_give(u->mem, u, sizeof *u, HS_CACHE_LINE);
}

int hs_unix_fd(const hs_unix *u)
{
    return u->fd;
}

const hs_addr *hs_unix_addr(const hs_unix *u)
{
    return &u->addr;
}
