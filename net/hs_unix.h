/* Unix sockets that others can reach: names, who may connect, and the end of a name.
 *
 * Owns: the making of a socket under a name, in the file system or in Linux's abstract space, and
 * the file's removal. Several shards share one listening socket (there is no SO_REUSEPORT here):
 * it is opened once, on any thread, and each shard takes it to hs_listener_open_unix. Must not
 * know: what is done with the socket. Tested by: tests/unit/net_unix.c, tests/plain/unix_shards.c,
 * tests/e2e/unix.py.
 *
 * A file that is in the way is looked at, not just removed:
 * - a socket on which nobody answers is left from a process that is gone: it is replaced;
 * - a socket on which somebody does is in use: -EADDRINUSE, after up to 0.8 s of doubt;
 * - anything else is not ours: -EEXIST.
 * Who looks holds a lock file beside it ("<path>.lock", gone afterwards), so that of two that start
 * at once one wins and neither takes the other's socket away. The file has its mode from the moment
 * that it is there. At the end it is removed if it is still the same file.
 *
 * There is no reset on a Unix socket: after hs_stream_abort the peer sees a plain end. */
#pragma once

#include "hs_addr.h"
#include "hs_stream.h"

HS_BEGIN_DECLS

typedef struct hs_unix hs_unix;

typedef struct hs_unix_options {
    /* Who may connect: permission bits of the file, of which write permission is what counts
     * (unix(7)); 0: HS_UNIX_MODE. An abstract name has none: any local process may connect. */
    uint32_t mode;
    bool datagram; /* a datagram socket, which does not listen */
} hs_unix_options;

/* Only our own user, and root. */
#define HS_UNIX_MODE 0600u

/* Make a socket under the name `addr` and listen on it. A relative path is looked at again at the
 * end, so the working directory must not change. `options` may be NULL. *out is one reference,
 * owned by the caller until hs_unix_unref. Thread: any, and it may wait for the disk: at a start,
 * not while serving. Errors: HS_E_USAGE (not the name of a Unix socket, or not permission bits),
 * HS_E_LIMIT (a path without room for its NUL), -EADDRINUSE (somebody serves it, or is about to),
 * -EEXIST (a file that is no socket is there), -ENOENT, -ENOTDIR, -EACCES, -EROFS (of its folder;
 * -EACCES also where a socket is there that we may not connect to), -ENOMEM. */
HS_API HS_NODISCARD hs_err hs_unix_open(const hs_mem *mem, const hs_addr *addr,
                                        const hs_unix_options *options, hs_unix **out);

/* One more reference. Returns `u`. Thread: any. */
HS_API hs_unix *hs_unix_ref(hs_unix *u);

/* One reference less. The last removes the file, if it is still ours, and closes the socket.
 * Thread: any. */
HS_API void hs_unix_unref(hs_unix *u);

/* The socket: borrowed, open until the last reference goes. Thread: any. */
HS_API int hs_unix_fd(const hs_unix *u);

/* Its name. Borrowed. Thread: any. */
HS_API const hs_addr *hs_unix_addr(const hs_unix *u);

/* Who is at the other end of a stream: the process that connected (or listened), as it was then. */
typedef struct hs_unix_peer {
    int32_t pid; /* may be another process by now */
    uint32_t uid, gid;
} hs_unix_peer;

/* Ask the system who the peer of `s` is (SO_PEERCRED, unix(7)). Shard: owner of the stream. Errors:
 * HS_E_USAGE (`s` is no Unix socket), or why the system does not tell. */
HS_API HS_NODISCARD hs_err hs_unix_peer_of(hs_stream *s, hs_unix_peer *out);

HS_END_DECLS
