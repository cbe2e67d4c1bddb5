/* Cancel tokens, in the manner of AbortSignal: one says stop, all that listen hear it.
 *
 * Owns: whether and why something was cancelled, and who wants to know. A token is counted by
 * references: hs_cancel_create gives one, hs_cancel_ref another, hs_cancel_unref gives one back.
 * What takes a token as an argument (a sleep, a dial, a fiber) refers to it for as long as it needs
 * it. NULL is a token that never fires, wherever one is taken. Must not know: what is cancelled.
 * Everything belongs to the owner shard. Tested by: tests/unit/shard_cancel.c. */
#pragma once

#include "hs_shard.h"

HS_BEGIN_DECLS

typedef struct hs_cancel hs_cancel;
typedef struct hs_cancel_hook hs_cancel_hook;

/* Who wants to hear of it. The caller owns the storage; zeroed storage is not added. */
struct hs_cancel_hook {
    hs_list link; /* link.next is NULL when it is not added */
    void (*fn)(hs_cancel_hook *hook, hs_err why);
};

/* Make a token. NULL without memory. Shard: owner only, as everything here. */
HS_API hs_cancel *hs_cancel_create(hs_shard *shard);

/* Make one that fires by itself with -ETIMEDOUT, `after_ms` from the turn's time, unless it was
 * fired before. NULL without memory. Its timer keeps nobody waiting at a stop. */
HS_API hs_cancel *hs_cancel_after(hs_shard *shard, uint64_t after_ms);

/* Make one that fires as soon as one of the `len` tokens does, with its reason; at once, where one
 * has. It refers to them; entries may be NULL. NULL without memory. */
HS_API hs_cancel *hs_cancel_any(hs_shard *shard, hs_cancel *const *tokens, uint32_t len);

/* One more reference. Returns `cancel`, which may be NULL. */
HS_API hs_cancel *hs_cancel_ref(hs_cancel *cancel);

/* One reference less; the last frees it (no hook may be added then: asserted). NULL: nothing. */
HS_API void hs_cancel_unref(hs_cancel *cancel);

/* Fire: every hook is called once with `why` (not HS_OK), in the order in which they were added,
 * before this returns; then none is added any more. A second time: nothing. */
HS_API void hs_cancel_fire(hs_cancel *cancel, hs_err why);

/* Why it fired; HS_OK where it has not, and for NULL. */
HS_API HS_NODISCARD hs_err hs_cancel_why(const hs_cancel *cancel);

/* Call fn(hook, why) when `cancel` fires. For NULL, HS_OK and nothing is added. Errors: why it has
 * fired already; then nothing is added, and `fn` is not called. */
HS_API HS_NODISCARD hs_err hs_cancel_add(hs_cancel *cancel, hs_cancel_hook *hook,
                                         void (*fn)(hs_cancel_hook *hook, hs_err why));

/* Do not call it any more. One that is not added: nothing. */
HS_API void hs_cancel_remove(hs_cancel_hook *hook);

HS_END_DECLS
