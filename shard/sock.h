/* What the seam does by plain system calls, which never wait: for the backends on the kernel.
 *
 * Owns: the options that sockets get. `io->sock_flags` tells whether the backend's sockets block.
 * Must not know: any backend, the loop. Thread: any. Tested by: tests/unit/shard_sock.c. */
#pragma once

#include "hs_io.h"

/* Each is what the function of hs_io.h with the same name says. */
HS_NODISCARD int sock_listen(hs_io *io, const struct sockaddr *addr, socklen_t addr_len,
                             int backlog, bool reuse_port);
HS_NODISCARD int sock_name(hs_io *io, int fd, struct sockaddr *addr, socklen_t *addr_len);
HS_NODISCARD int sock_make(hs_io *io, int family, int type, int protocol);
HS_NODISCARD int sock_bind(hs_io *io, int fd, const struct sockaddr *addr, socklen_t addr_len);
HS_NODISCARD int sock_option(hs_io *io, int fd, int level, int name, const void *value,
                             socklen_t bytes);
HS_NODISCARD int sock_option_get(hs_io *io, int fd, int level, int name, void *value,
                                 socklen_t *bytes);
HS_NODISCARD int sock_adopt(hs_io *io, int fd);
HS_NODISCARD int sock_send_msgs(hs_io *io, int fd, struct mmsghdr *msgs, uint32_t len);
HS_NODISCARD int sock_recv_msgs(hs_io *io, int fd, struct mmsghdr *msgs, uint32_t len);
void sock_reset(hs_io *io, int fd);
void sock_shutdown(hs_io *io, int fd, int how);
