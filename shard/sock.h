/* Sockets made by plain system calls, for the backends that use the kernel.
 *
 * Owns: the options that a listening socket gets. Must not know: any backend, the loop.
 * Thread: any. Tested by: tests/unit/shard_sock.c. */
#pragma once

#include <sys/socket.h>

#include "hs_base.h"

/* What hs_io_listen says. */
HS_NODISCARD int sock_listen(const struct sockaddr *addr, socklen_t addr_len, int backlog,
                             bool reuse_port);

/* What hs_io_sockname says. */
HS_NODISCARD int sock_name(int fd, struct sockaddr *addr, socklen_t *addr_len);

/* What hs_io_reset says. */
void sock_reset(int fd);
