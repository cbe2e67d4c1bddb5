/* The epoll backend: what is known of each file, and who waits for it.
 *
 * Owns: the files' slots and their places in the epoll set, which is edge-triggered: an edge moves
 * the ops that waited for it to the ready queue, and each of them makes its system call until that
 * says EAGAIN. Must not know: those calls. Tested by: tests/unit/shard_io_kernel*.c. */
#include "epoll.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#define ENDS (EPOLLHUP | EPOLLERR)
#define READS (EPOLLIN | EPOLLRDHUP | EPOLLPRI)

void epoll_file_new(epoll *e, int fd, bool tcp)
{
    if (!tcp) {
        fd_table_remove(&e->files, fd);
        return;
    }
    /* Without memory it is treated as a file that is not ours. */
    fd_slot *slot = fd_table_add(&e->files, fd);
    if (!slot)
        return;
    HS_ASSERT(slot->waiting == NULL);
    slot->flags = FILE_TCP;
}

void epoll_file_gone(epoll *e, int fd)
{
    const fd_slot *slot = fd_table_find(&e->files, fd);
    HS_ASSERT(!slot || slot->waiting == NULL); /* an op is active on a file that is closed */
    fd_table_remove(&e->files, fd);
}

uint32_t epoll_file_flags(const epoll *e, int fd)
{
    const fd_slot *slot = fd_table_find(&e->files, fd);
    return slot ? slot->flags : 0;
}

void epoll_file_set(epoll *e, int fd, uint32_t set, uint32_t clear)
{
    fd_slot *slot = fd_table_find(&e->files, fd);
    if (slot && (slot->flags & FILE_TCP))
        slot->flags = (uint8_t)((slot->flags & ~clear) | set);
}

/* ---- the set ---- */

/* What an op waits for. */
static uint32_t wants(const hs_op *op)
{
    switch (op->kind) {
    case HS_OP_ACCEPT:
    case HS_OP_RECV:
        return READS | ENDS;
    case HS_OP_SEND:
    case HS_OP_CONNECT:
        return EPOLLOUT | ENDS;
    default:
        HS_ASSERT(op->kind == HS_OP_POLL);
        return op->events | ENDS;
    }
}

static bool out_wanted(const fd_slot *slot)
{
    for (const hs_op *op = slot->waiting; op; op = op->next)
        if (wants(op) & EPOLLOUT)
            return true;
    return false;
}

/* Have the kernel look at the file, and tell what is true of it now, and each change from then on.
 * Whether it is in the set is not always known: another may have closed it. */
static int arm(epoll *e, fd_slot *slot)
{
    bool out = (slot->flags & FILE_TCP) || out_wanted(slot);
    struct epoll_event ev = {.events = READS | EPOLLET | (out ? (uint32_t)EPOLLOUT : 0),
                             .data.u64 = (uint64_t)slot->fd};
    int how = slot->flags & FILE_ARMED ? EPOLL_CTL_MOD : EPOLL_CTL_ADD;
    int rc = epoll_ctl(e->epfd, how, slot->fd, &ev);
    if (rc != 0 && errno == (how == EPOLL_CTL_MOD ? ENOENT : EEXIST))
        rc =
            epoll_ctl(e->epfd, how == EPOLL_CTL_MOD ? EPOLL_CTL_ADD : EPOLL_CTL_MOD, slot->fd, &ev);
    if (rc != 0)
        return -errno;
    slot->flags &= (uint8_t)~FILE_OUT;
    slot->flags |= FILE_ARMED | (out ? FILE_OUT : 0);
    return 0;
}

static void disarm(epoll *e, fd_slot *slot)
{
    if (!(slot->flags & FILE_ARMED))
        return;
    (void)epoll_ctl(e->epfd, EPOLL_CTL_DEL, slot->fd, NULL);
    slot->flags &= (uint8_t) ~(FILE_ARMED | FILE_OUT);
}

void epoll_file_disarm(epoll *e, int fd)
{
    fd_slot *slot = fd_table_find(&e->files, fd);
    if (slot)
        disarm(e, slot);
}

/* A listening socket that several shards share: an edge wakes one of those that wait, the first in
 * the kernel's queue, and whoever asks anew goes to its end. So nobody may stay in the set who does
 * not ask: it would be woken in the place of another. */
static int arm_shared(epoll *e, fd_slot *slot)
{
    disarm(e, slot);
    struct epoll_event ev = {.events = EPOLLIN | EPOLLET | EPOLLEXCLUSIVE,
                             .data.u64 = (uint64_t)slot->fd};
    if (epoll_ctl(e->epfd, EPOLL_CTL_ADD, slot->fd, &ev) != 0)
        return -errno;
    slot->flags |= FILE_ARMED;
    return 0;
}

/* ---- waiting ---- */

static void waiting_push(fd_slot *slot, hs_op *op)
{
    HS_ASSERT(op->list == OP_LIST_NONE);
    op->list = EPOLL_LIST_WAITING;
    op->next = slot->waiting;
    slot->waiting = op;
}

/* Linear: a file has one op of each kind, and a few polls at most. */
static void waiting_remove(fd_slot *slot, hs_op *op)
{
    HS_ASSERT(op->list == EPOLL_LIST_WAITING);
    hs_op **at = &slot->waiting;
    while (*at != op)
        at = &(*at)->next;
    *at = op->next;
    op->next = NULL;
    op->list = OP_LIST_NONE;
}

int epoll_wait_first(epoll *e, hs_op *op)
{
    fd_slot *slot = fd_table_add(&e->files, op->fd);
    if (!slot)
        return -ENOMEM;
    waiting_push(slot, op);
    /* A poll asks what is true now, which the flags do not tell exactly. */
    if ((slot->flags & FILE_TCP) && (slot->flags & FILE_ARMED) && op->kind != HS_OP_POLL)
        return 0;
    int rc = epoll_accepts_one(op) ? arm_shared(e, slot) : arm(e, slot);
    if (rc != 0)
        waiting_remove(slot, op);
    return rc;
}

void epoll_wait_again(epoll *e, hs_op *op)
{
    HS_ASSERT(op->kind == HS_OP_RECV || op->kind == HS_OP_ACCEPT);
    fd_slot *slot = fd_table_find(&e->files, op->fd);
    HS_ASSERT(slot != NULL);
    waiting_push(slot, op); /* the set tells of each change to what can be read, always */
}

void epoll_wait_end(epoll *e, hs_op *op)
{
    fd_slot *slot = fd_table_find(&e->files, op->fd);
    HS_ASSERT(slot != NULL);
    waiting_remove(slot, op);
}

static void flags_update(fd_slot *slot, uint32_t events)
{
    uint32_t flags = slot->flags;
    if (events & (READS | ENDS))
        flags |= FILE_IN;
    /* The end comes after the last bytes, and urgent data cuts a read short. */
    if (events & (EPOLLRDHUP | EPOLLPRI | ENDS))
        flags |= FILE_EAGER;
    if (events & (EPOLLOUT | ENDS))
        flags &= ~(uint32_t)FILE_FULL;
    slot->flags = (uint8_t)flags;
}

void epoll_file_ready(epoll *e, int fd, uint32_t events)
{
    fd_slot *slot = fd_table_find(&e->files, fd);
    if (HS_UNLIKELY(!slot))
        return; /* nobody has asked since it was closed by another */
    if (slot->flags & FILE_TCP)
        flags_update(slot, events);
    bool moved = false;
    for (hs_op **at = &slot->waiting; *at;) {
        hs_op *op = *at;
        uint32_t met = events & wants(op);
        if (!met) {
            at = &op->next;
            continue;
        }
        *at = op->next;
        op->list = OP_LIST_NONE;
        op_list_push(&e->ready, op);
        if (op->kind == HS_OP_POLL)
            op->events = (uint16_t)met;
        moved = true;
    }
    if (!moved && (slot->flags & (FILE_TCP | FILE_OUT)) == FILE_OUT && !out_wanted(slot))
        (void)arm(e, slot); /* it stays as it is where that fails: woken for nothing at worst */
}
