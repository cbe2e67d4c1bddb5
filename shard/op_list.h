/* What the backends on the kernel share: queues of ops that wait, and making events.
 *
 * Owns: the link op->next and the mark op->list, which tells in which queue an op is, or that it is
 * in none. Must not know: what an op waits for. Tested by: all tests of the two backends. */
#pragma once

#include "hs_io.h"

/* In no queue; each backend numbers its own from 1. */
#define OP_LIST_NONE 0

/* A queue of ops, linked by op->next. `id` is its number. */
typedef struct op_list {
    hs_op *first, *last;
    uint8_t id;
} op_list;

/* Put an op that is in no queue last. */
static inline void op_list_push(op_list *l, hs_op *op)
{
    HS_ASSERT(op->list == OP_LIST_NONE);
    op->list = l->id & 0x7f;
    op->next = NULL;
    if (l->last)
        l->last->next = op;
    else
        l->first = op;
    l->last = op;
}

/* Take the first op, or NULL. */
static inline hs_op *op_list_pop(op_list *l)
{
    hs_op *op = l->first;
    if (!op)
        return NULL;
    HS_ASSERT(op->list == l->id);
    l->first = op->next;
    if (!l->first)
        l->last = NULL;
    op->next = NULL;
    op->list = OP_LIST_NONE;
    return op;
}

/* Take `op` out of the queue that it is in. Linear, and rare: only an op that waits and is
 * cancelled comes here. */
static inline void op_list_remove(op_list *l, hs_op *op)
{
    HS_ASSERT(op->list == l->id);
    op_list kept = {.id = l->id};
    for (hs_op *o; (o = op_list_pop(l)) != NULL;)
        if (o != op)
            op_list_push(&kept, o);
    *l = kept;
}

/* An event without data. */
static inline void op_event(hs_io_event *ev, hs_op *op, int32_t res, bool more)
{
    ev->op = op;
    ev->data = NULL;
    ev->res = res;
    ev->buf = 0;
    ev->more = more;
}
