/* What a handler holds of a request: a number that never comes to name another request.
 *
 * `hs_req *` and `hs_res *` are such numbers, not addresses. Each thread has a table with an entry
 * for each session; the entry has the handle of the request that the session serves now. A handle
 * of a request that is over, or of another thread, is in no entry: its call is dropped, and
 * reported once for each route. Owns: the table, the handles. Must not know: requests.
 * Tested by: tests/unit/http_handle.c. */
#pragma once

#include "hs_http_server.h"

typedef struct h1_session h1_session;

/* From the top: the table's id (never 0), the entry, and how often the entry was used. */
#define HANDLE_ENTRY_BITS 18
#define HANDLE_USE_BITS 30
#define HANDLE_ENTRIES_MAX (1u << HANDLE_ENTRY_BITS)
#define HANDLE_BLOCK 256 /* entries that are allocated together: an entry stays where it is */
#define HANDLE_USES_MAX (1u << HANDLE_USE_BITS)

typedef struct handle_entry {
    uint64_t handle;     /* of the request now; of a free entry, the next */
    h1_session *session; /* NULL: the entry is free */
    const char *label;   /* of the request before */
    struct handle_entry *free_next;
} handle_entry;

typedef struct handle_table {
    handle_entry *blocks[HANDLE_ENTRIES_MAX / HANDLE_BLOCK];
    uint32_t len; /* entries that were ever used */
    handle_entry *free;
    uint32_t servers; /* that use it */
    uint16_t id;
    uint8_t reported_len;
    const char *reported[16]; /* routes */
    const hs_mem *mem;
} handle_table;

extern __thread handle_table *handle_here __attribute__((tls_model("initial-exec")));

/* The request that was handed to a handler last: most calls are about that one. */
typedef struct handle_recent {
    uint64_t handle; /* 0: it is over */
    h1_session *session;
} handle_recent;

extern __thread handle_recent handle_last __attribute__((tls_model("initial-exec")));

/* A server of this thread comes or goes. Errors: -ENOMEM. */
HS_NODISCARD hs_err handle_open(const hs_mem *mem);
void handle_close(void);

/* An entry for a session that was made. NULL: no memory. */
handle_entry *handle_acquire(h1_session *session);
/* The session is gone. */
void handle_release(handle_entry *entry);
/* The entry is used up: another one for its session, or NULL. */
handle_entry *handle_replace(handle_entry *entry);

/* A call that the request's state does not allow, such as a second answer: report it, once for each
 * route. */
void handle_report(const char *label, const char *what);

/* The request is about to be handed to its handler. */
static inline void handle_hand_out(const handle_entry *entry)
{
    handle_last = (handle_recent){entry->handle, entry->session};
}

/* The request of `label` (NULL: it had none) is over, and its handle is in no entry any more.
 * Returns the entry of the session's next request; NULL: there is none. */
static inline handle_entry *handle_renew(handle_entry *entry, const char *label)
{
    handle_last.handle = 0;
    entry->label = label;
    entry->handle++;
    if (HS_UNLIKELY((entry->handle & (HANDLE_USES_MAX - 1)) == 0))
        return handle_replace(entry);
    return entry;
}

/* Looked up in the table. */
h1_session *handle_find(uint64_t handle);

/* The session that serves the request now; NULL: it is over, and that was reported. */
static inline h1_session *handle_session(uint64_t handle)
{
    if (HS_LIKELY(handle == handle_last.handle))
        return handle_last.session;
    return handle_find(handle);
}
