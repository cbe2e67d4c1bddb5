/* HS_CAPS_DISABLE: names are switched off one by one, and by their whole name alone. */
#include <criterion/criterion.h>
#include <stdlib.h>

#include "hs_caps.h"

Test(shard_caps, nothing_is_off_without_the_variable)
{
    unsetenv("HS_CAPS_DISABLE");
    cr_assert_not(hs_caps_off("msg_ring"));
    setenv("HS_CAPS_DISABLE", "", 1);
    cr_assert_not(hs_caps_off("msg_ring"));
}

Test(shard_caps, each_name_of_the_list_is_off)
{
    setenv("HS_CAPS_DISABLE", "msg_ring,ring_fd,guard_madv", 1);
    cr_assert(hs_caps_off("msg_ring"));
    cr_assert(hs_caps_off("ring_fd"));
    cr_assert(hs_caps_off("guard_madv"));
    cr_assert_not(hs_caps_off("other"));
}

Test(shard_caps, a_part_of_a_name_is_not_the_name)
{
    setenv("HS_CAPS_DISABLE", "msg_ring2,xring_fd,,guard", 1);
    cr_assert_not(hs_caps_off("msg_ring"));
    cr_assert_not(hs_caps_off("ring_fd"));
    cr_assert_not(hs_caps_off("guard_madv"));
    cr_assert(hs_caps_off("guard"));
}
