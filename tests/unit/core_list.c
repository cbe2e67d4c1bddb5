/* The intrusive list. */
#include <criterion/criterion.h>
#include <signal.h>

#include "hs_list.h"

typedef struct thing {
    int number;
    hs_list link;
} thing;

static int first_of(hs_list *head)
{
    hs_list *node = hs_list_pop_front(head);
    return node ? HS_CONTAINER_OF(node, thing, link)->number : -1;
}

static void fill(hs_list *head, thing *things, int count)
{
    hs_list_init(head);
    for (int i = 0; i < count; i++) {
        things[i].number = i;
        hs_list_init(&things[i].link);
        hs_list_push_back(head, &things[i].link);
        hs_list_validate(head);
    }
}

Test(core_list, comes_out_in_order)
{
    hs_list head;
    thing things[3];
    fill(&head, things, 3);
    cr_assert_not(hs_list_empty(&head));
    cr_assert_eq(first_of(&head), 0);
    cr_assert(hs_list_empty(&things[0].link));
    cr_assert_eq(first_of(&head), 1);
    cr_assert_eq(first_of(&head), 2);
    cr_assert_eq(first_of(&head), -1);
    cr_assert(hs_list_empty(&head));
}

Test(core_list, remove_from_anywhere_and_twice)
{
    hs_list head;
    thing things[4];
    fill(&head, things, 4);
    hs_list_remove(&things[1].link);
    hs_list_remove(&things[1].link);
    hs_list_remove(&things[3].link);
    hs_list_validate(&head);
    cr_assert_eq(first_of(&head), 0);
    hs_list_push_back(&head, &things[1].link);
    cr_assert_eq(first_of(&head), 2);
    cr_assert_eq(first_of(&head), 1);
    cr_assert(hs_list_empty(&head));
}

Test(core_list, append_keeps_both_orders)
{
    hs_list head, from;
    thing things[2], more[3];
    fill(&head, things, 2);
    fill(&from, more, 3);
    hs_list_append(&head, &from);
    hs_list_validate(&head);
    cr_assert(hs_list_empty(&from));
    hs_list_append(&head, &from); /* nothing */
    hs_list_append(&from, &head); /* onto an empty one */
    hs_list_validate(&from);
    cr_assert(hs_list_empty(&head));
    static const int expected[] = {0, 1, 0, 1, 2, -1};
    for (size_t i = 0; i < HS_ARRAY_LEN(expected); i++)
        cr_assert_eq(first_of(&from), expected[i]);
}

Test(core_list, each)
{
    hs_list head;
    thing things[5];
    int sum = 0;
    fill(&head, things, 5);
    hs_list_each (node, &head)
        sum += HS_CONTAINER_OF(node, thing, link)->number;
    cr_assert_eq(sum, 10);
    hs_list_each_safe (node, &head) {
        if (HS_CONTAINER_OF(node, thing, link)->number % 2)
            hs_list_remove(node);
    }
    cr_assert_eq(first_of(&head), 0);
    cr_assert_eq(first_of(&head), 2);
    cr_assert_eq(first_of(&head), 4);
    hs_list_each (node, &head)
        cr_assert_fail("empty");
}

Test(core_list, in_two_lists_at_once, .signal = SIGABRT)
{
    hs_list head, other;
    thing things[2];
    fill(&head, things, 2);
    hs_list_init(&other);
    hs_list_push_back(&other, &things[0].link);
}

Test(core_list, validate_sees_a_broken_link, .signal = SIGABRT)
{
    hs_list head;
    thing things[3];
    fill(&head, things, 3);
    things[1].link.prev = &head;
    hs_list_validate(&head);
}
