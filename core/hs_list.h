/* An intrusive doubly linked list: a circle through a head that holds no value.
 *
 * Owns: the links. The caller owns the nodes. All O(1). Single shard.
 * Tested by: tests/unit/core_list.c. */
#pragma once

#include "hs_assert.h"

HS_BEGIN_DECLS

typedef struct hs_list {
    struct hs_list *next, *prev;
} hs_list;

/* Make `l` an empty head, or an unlinked node. */
static inline void hs_list_init(hs_list *l)
{
    l->next = l->prev = l;
}

/* Whether a head has no node, or a node is in no list. */
static inline bool hs_list_empty(const hs_list *l)
{
    return l->next == l;
}

/* Put the unlinked `node` last. */
static inline void hs_list_push_back(hs_list *head, hs_list *node)
{
    HS_ASSERT(hs_list_empty(node));
    node->prev = head->prev;
    node->next = head;
    head->prev->next = node;
    head->prev = node;
}

/* Take `node` out of its list, if it is in one. */
static inline void hs_list_remove(hs_list *node)
{
    node->prev->next = node->next;
    node->next->prev = node->prev;
    hs_list_init(node);
}

/* Take out and return the first node, or NULL. */
static inline hs_list *hs_list_pop_front(hs_list *head)
{
    hs_list *node = head->next;
    if (node == head)
        return NULL;
    hs_list_remove(node);
    return node;
}

/* Move all nodes of `from` behind those of `head`, in their order; `from` is empty then. */
static inline void hs_list_append(hs_list *head, hs_list *from)
{
    if (hs_list_empty(from))
        return;
    from->next->prev = head->prev;
    head->prev->next = from->next;
    from->prev->next = head;
    head->prev = from->prev;
    hs_list_init(from);
}

/* Check every link of the circle; asserts on a fault. O(n). */
static inline void hs_list_validate(const hs_list *head)
{
    const hs_list *n = head;
    do {
        HS_ASSERT(n->next->prev == n);
        n = n->next;
    } while (n != head);
}

HS_END_DECLS

#define hs_list_each(node, head)                                                                   \
    for (hs_list *node = (head)->next; node != (head); node = node->next)
/* The same where the body may remove `node`. */
#define hs_list_each_safe(node, head)                                                              \
    for (hs_list *node = (head)->next, *hs_next_ = node->next; node != (head);                     \
         node = hs_next_, hs_next_ = node->next)
