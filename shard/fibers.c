/* The fibers of a shard: see fibers.h. */
#include "fibers.h"

#include <stdio.h>

#include "inside.h"
#include "stack_why.h"

static bool trim_stacks(hs_trim *trim)
{
    return stack_pool_trim(&HS_CONTAINER_OF(trim, fiber_set, trim)->stacks);
}

void fibers_init(fiber_set *set, const hs_mem *mem, size_t stack_bytes)
{
    *set = (fiber_set){.len_max = HS_FIBERS_MAX, .trim.fn = trim_stacks};
    hs_list_init(&set->all);
    hs_list_init(&set->yielded);
    stack_pool_init(&set->stacks, mem, stack_bytes ? stack_bytes : HS_FIBER_STACK_BYTES);
}

void fibers_fini(fiber_set *set)
{
    HS_ASSERT(set->running == NULL);
    HS_ASSERT(set->len == 0);
    HS_ASSERT(hs_list_empty(&set->yielded));
    stack_pool_fini(&set->stacks);
}

HS_COLD void fibers_tell(hs_shard *s, const char *name, hs_err err)
{
    fiber_set *set = &s->fibers;
    set->untold++;
    if (set->told_ns && s->now_ns - set->told_ns < HS_SEC_NS)
        return;
    char why[256];
    if (err.code == HS_E_LIMIT)
        snprintf(why, sizeof why, "%u fibers are under way, as many as a shard may have", set->len);
    else
        stack_why(&set->stacks, why, sizeof why);
    hs_log_write(s->log, HS_LOG_ERROR, "fiber '%s' not started (%u such): %s: %s", name,
                 set->untold, hs_err_name(err), why);
    set->told_ns = HS_MAX(s->now_ns, 1);
    set->untold = 0;
}
