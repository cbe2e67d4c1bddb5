/* The reasons why io_uring cannot be used, as people are told. */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "uring.h"

Test(shard_uring_why, each_reason_has_a_cause_and_a_remedy)
{
    static const int errors[] = {EPERM, EACCES, ENOSYS, EINVAL, ENOMEM, EMFILE, ENFILE, EBUSY};
    for (size_t i = 0; i < HS_ARRAY_LEN(errors); i++) {
        uring_why why;
        const char *name = hs_err_name(hs_err_errno(errors[i]));
        uring_explain(&why, "io_uring_enter", -errors[i]);
        cr_assert_eq(strncmp(why.cause, "io_uring_enter: ", 16), 0);
        cr_assert_eq(strncmp(why.cause + 16, name, strlen(name)), 0, "%s", why.cause);
        cr_assert_gt(strlen(why.remedy), 5);
        cr_assert_lt(strlen(why.remedy), sizeof why.remedy - 1, "cut off");
        cr_assert_null(strchr(why.cause, '\n'));
    }
}

Test(shard_uring_why, what_is_switched_off_is_not_tried)
{
    uring_caps caps;
    uring_why why;
    cr_assert_eq(setenv("HS_CAPS_DISABLE", "io_uring", 1), 0);
    cr_assert_eq(uring_probe(1, &caps, &why).code, -EOPNOTSUPP);
    cr_assert_str_eq(why.cause, "io_uring_setup: EOPNOTSUPP (io_uring in HS_CAPS_DISABLE)");
    cr_assert_str_eq(why.remedy, "take it out of HS_CAPS_DISABLE");
    cr_assert_not(caps.msg_ring || caps.ring_fd);
}
