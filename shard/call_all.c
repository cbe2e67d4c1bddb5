/* One function on every shard of the group.
 *
 * Owns: how as many calls as there are shards become one promise. What each comes to is written
 * down by promises that are gathered before the first call is made: so where there is no memory for
 * the outcomes, nothing has run. Must not know: how a call travels. Tested by:
 * tests/unit/shard_call_all.c. */
#include "inside.h"

typedef struct call_all {
    hs_call_fn *fn;
    void *arg;         /* for all of them, */
    void *const *args; /* or of each; may be NULL */
    hs_drop_fn *drop;
    hs_cancel *cancel;
    const char *where;
} call_all;

static void *arg_of(const call_all *all, uint32_t i)
{
    return all->args ? all->args[i] : all->arg;
}

/* A promise for each shard, handle and settler's hold. */
static hs_err parts_make(hs_shard *s, hs_promise **parts, uint32_t len, const char *where)
{
    for (uint32_t i = 0; i < len; i++) {
        parts[i] = hs_promise_create_at(s, where);
        if (HS_LIKELY(parts[i]))
            continue;
        while (i-- > 0) {
            hs_promise_settle(parts[i], hs_value(NULL));
            hs_promise_drop(parts[i]);
        }
        return hs_err_errno(ENOMEM);
    }
    return HS_OK;
}

static hs_err start(hs_shard *s, const call_all *all, hs_promise **out)
{
    hs_promise *parts[HS_SHARDS_MAX];
    uint32_t len = hs_shard_count(s);
    HS_ASSERT(len <= HS_ARRAY_LEN(parts));
    HS_ENSURE(!shard_over(s), HS_E_CLOSED);
    HS_TRY(hs_cancel_why(all->cancel));
    HS_TRY(parts_make(s, parts, len, all->where));
    /* The gathering takes the handles, also where it fails; what settles a part is ours. */
    hs_promise *p = hs_all_settled_at(s, parts, len, all->where);
    bool failed = hs_promise_state_of(p) == HS_PROMISE_REJECTED;
    for (uint32_t i = 0; i < len; i++) {
        hs_outcome o = hs_value(NULL);
        if (!failed)
            o = hs_adopt(hs_call_at(hs_shard_peer(s, i), all->fn, arg_of(all, i), all->drop,
                                    all->cancel, all->where));
        hs_promise_settle(parts[i], o);
    }
    if (!failed) {
        *out = p;
        return HS_OK;
    }
    hs_promise_ignore(p);
    return hs_err_errno(ENOMEM);
}

hs_promise *hs_call_all_at(hs_call_fn *fn, void *arg, void *const *args, hs_drop_fn *drop,
                           hs_cancel *cancel, const char *where)
{
    hs_shard *s = hs_shard_self();
    HS_ASSERT(s != NULL);
    HS_ASSERT(fn != NULL);
    HS_ASSERT(!args || !arg);
    HS_ASSERT(!drop || args); /* what is given to all belongs to none of them */
    call_all all = {fn, arg, args, drop, cancel, where};
    hs_promise *p;
    hs_err err = start(s, &all, &p);
    if (hs_ok(err))
        return p;
    for (uint32_t i = 0; drop && i < hs_shard_count(s); i++)
        drop(args[i]);
    return hs_promise_settled_at(s, hs_error(err), where);
}
