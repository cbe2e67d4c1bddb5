/* What the epoll backend knows of the files it watches: a small hash table by file number.
 *
 * Owns: the slots. A shard has a part of the process's files only, so an array by number would hold
 * mostly other shards' places: with 64 shards a kilobyte for each connection. Here a file takes 18
 * to 21 bytes once there are many. Must not know: epoll, what the flags mean. Single shard.
 * Tested by: tests/unit/shard_fd_table.c (model-based, with failing memory). */
#pragma once

#include "hs_io.h"
#include "hs_mem.h"

/* A file. Slots move when another file is added or removed. */
typedef struct fd_slot {
    hs_op *waiting; /* ops that wait for the file, linked by op->next */
    int32_t fd;
    uint8_t flags; /* the user's */
    bool used;
} fd_slot;

HS_STATIC_ASSERT(sizeof(fd_slot) == 16, "what an idle connection costs");

typedef struct fd_table {
    const hs_mem *mem;
    fd_slot *slots;
    uint32_t cap, len;
    uint32_t len_peak; /* of this period */
} fd_table;

/* An empty table, which has taken nothing yet. `mem` is borrowed. */
void fd_table_init(fd_table *t, const hs_mem *mem);

/* Give the slots back, used or not. */
void fd_table_fini(fd_table *t);

/* The slot of `fd`, or NULL. */
fd_slot *fd_table_find(const fd_table *t, int32_t fd);

/* The slot of `fd`; where there was none, a new one that is zero but for the number. NULL: no
 * memory, and nothing changed. */
fd_slot *fd_table_add(fd_table *t, int32_t fd);

/* Forget `fd`, if it is there. */
void fd_table_remove(fd_table *t, int32_t fd);

/* A period passed (about a second): return memory that it did not need. True: a quiet period would
 * return more. */
bool fd_table_trim(fd_table *t);

/* Check that every file is found where it is; asserts on a fault. O(cap). */
void fd_table_validate(const fd_table *t);
