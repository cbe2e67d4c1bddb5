/* Who is at the other end of a Unix socket: see hs_unix.h. */
#include "tcp.h"

hs_err hs_unix_peer_of(hs_stream *s, hs_unix_peer *out)
{
    HS_ASSERT(out != NULL);
    int fd = tcp_conn_fd(s), family;
    HS_ENSURE(fd >= 0, HS_E_USAGE);
    hs_io *io = hs_shard_io(s->shard);
    socklen_t len = sizeof family;
    HS_TRY(hs_err_of(hs_io_sockopt_get(io, fd, SOL_SOCKET, SO_DOMAIN, &family, &len)));
    HS_ENSURE(family == AF_UNIX, HS_E_USAGE);
    struct ucred cred;
    len = sizeof cred;
    HS_TRY(hs_err_of(hs_io_sockopt_get(io, fd, SOL_SOCKET, SO_PEERCRED, &cred, &len)));
    *out = (hs_unix_peer){.pid = cred.pid, .uid = cred.uid, .gid = cred.gid};
    return HS_OK;
}
