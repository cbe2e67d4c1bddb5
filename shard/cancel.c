/* Cancel tokens.
 *
 * Owns: their slots and references, and the order in which they fire: as AbortSignal does (DOM
 * Standard, "signal abort"), a token and all that depend on it are marked first, and then called in
 * turn, so whoever is called sees all of them fired. Lists, not recursion: tokens may depend on
 * each other in a chain of any length. Must not know: what is cancelled.
 * Tested by: tests/unit/shard_cancel.c. */
#include "inside.h"

/* A token that another one depends on. */
typedef struct cancel_source {
    hs_list link; /* in from->dependents */
    hs_cancel *from, *self;
} cancel_source;

#define SOURCES_OWN 2 /* a request's token and a time limit: no memory but the slot */

struct hs_cancel {
    hs_list hooks;
    hs_list dependents;
    hs_cancel *next; /* among those that fire together, or are freed together */
    uint32_t refs;
    hs_err why; /* HS_OK: not fired */
    uint32_t sources_len;
    cancel_source *sources; /* NULL: it depends on none */
    union {
        hs_timer timer; /* where it depends on none */
        cancel_source own[SOURCES_OWN];
    };
};

static bool trim_cancels(hs_trim *trim)
{
    return hs_shard_trim_pool(&HS_CONTAINER_OF(trim, cancel_state, trim)->pool);
}

static HS_COLD hs_cancel *take_slow(hs_shard *s)
{
    cancel_state *cs = &s->cancels;
    if (cs->pool.slabs || cs->ending)
        return NULL;
    if (!hs_ok(hs_pool_init(&cs->pool, s->mem, sizeof(hs_cancel), HS_CANCELS_MAX)))
        return NULL;
    cs->trim.fn = trim_cancels;
    hs_shard_trim_add(s, &cs->trim);
    return hs_pool_take(&cs->pool);
}

hs_cancel *hs_cancel_create(hs_shard *s)
{
    HS_ASSERT(s == hs_shard_self());
    hs_cancel *c = hs_pool_take(&s->cancels.pool);
    if (HS_UNLIKELY(!c)) {
        c = take_slow(s);
        if (!c)
            return NULL;
    }
    hs_list_init(&c->hooks);
    hs_list_init(&c->dependents);
    c->next = NULL;
    c->refs = 1;
    c->why = HS_OK;
    c->sources_len = 0;
    c->sources = NULL;
    c->timer = (hs_timer){0};
    return c;
}

hs_cancel *hs_cancel_ref(hs_cancel *c)
{
    if (c) {
        HS_ASSERT(c->refs > 0 && c->refs < UINT32_MAX);
        c->refs++;
    }
    return c;
}

hs_err hs_cancel_why(const hs_cancel *c)
{
    return c ? c->why : HS_OK;
}

/* ---- what a token depends on ---- */

static size_t sources_bytes(uint32_t len)
{
    return len * sizeof(cancel_source);
}

/* Depend on nothing any more. Tokens that have no reference then are put before `dead`; returns the
 * first of all. */
static hs_cancel *detach(hs_shard *s, hs_cancel *c, hs_cancel *dead)
{
    if (!c->sources) {
        hs_timer_cancel(s, &c->timer);
        return dead;
    }
    for (uint32_t i = 0; i < c->sources_len; i++) {
        cancel_source *source = &c->sources[i];
        hs_list_remove(&source->link);
        HS_ASSERT(source->from->refs > 0);
        if (--source->from->refs > 0)
            continue;
        source->from->next = dead;
        dead = source->from;
    }
    if (c->sources != c->own)
        block_give(s, c->sources, sources_bytes(c->sources_len));
    c->sources = NULL;
    c->sources_len = 0;
    c->timer = (hs_timer){0};
    return dead;
}

static void free_all(hs_shard *s, hs_cancel *dead)
{
    while (dead) {
        hs_cancel *c = dead;
        HS_ASSERT(c->refs == 0);
        HS_ASSERT(hs_list_empty(&c->hooks));
        HS_ASSERT(hs_list_empty(&c->dependents));
        dead = detach(s, c, c->next);
        hs_pool_give(&s->cancels.pool, c);
    }
}

void hs_cancel_unref(hs_cancel *c)
{
    if (!c)
        return;
    HS_ASSERT(c->refs > 0);
    if (--c->refs > 0)
        return;
    c->next = NULL;
    free_all(hs_shard_self(), c);
}

/* ---- firing ---- */

static void mark(hs_shard *s, hs_cancel *c, hs_err why)
{
    HS_ASSERT(hs_ok(c->why)); /* who has fired depends on nothing */
    c->refs++;
    c->why = why;
    c->next = NULL;
    /* What only `c` referred to goes now: it may depend on a token that is marked next. */
    free_all(s, detach(s, c, NULL));
}

/* Mark `c` and all that depend on it, each with a reference more, linked in the order in which
 * their hooks are to be called. */
static void mark_all(hs_shard *s, hs_cancel *c, hs_err why)
{
    mark(s, c, why);
    hs_cancel *last = c;
    for (hs_cancel *at = c; at; at = at->next) {
        while (!hs_list_empty(&at->dependents)) {
            hs_list *first = at->dependents.next;
            hs_cancel *other = HS_CONTAINER_OF(first, cancel_source, link)->self;
            mark(s, other, why);
            last->next = other;
            last = other;
        }
    }
}

static void call_hooks(hs_cancel *c)
{
    hs_list *link;
    while ((link = hs_list_pop_front(&c->hooks))) {
        hs_cancel_hook *hook = HS_CONTAINER_OF(link, hs_cancel_hook, link);
        link->next = NULL;
        hook->fn(hook, c->why);
    }
}

void hs_cancel_fire(hs_cancel *c, hs_err why)
{
    HS_ASSERT(!hs_ok(why));
    HS_ASSERT(c->refs > 0);
    if (!hs_ok(c->why))
        return;
    mark_all(hs_shard_self(), c, why);
    while (c) {
        call_hooks(c);
        hs_cancel *next = c->next;
        hs_cancel_unref(c);
        c = next;
    }
}

hs_err hs_cancel_add(hs_cancel *c, hs_cancel_hook *hook,
                     void (*fn)(hs_cancel_hook *hook, hs_err why))
{
    HS_ASSERT(fn != NULL);
    HS_ASSERT(hook->link.next == NULL);
    if (!c)
        return HS_OK;
    HS_TRY(c->why);
    hook->fn = fn;
    hs_list_init(&hook->link);
    hs_list_push_back(&c->hooks, &hook->link);
    return HS_OK;
}

void hs_cancel_remove(hs_cancel_hook *hook)
{
    if (!hook->link.next)
        return;
    hs_list_remove(&hook->link);
    hook->link.next = NULL;
}

/* ---- tokens that fire by themselves ---- */

static void time_is_up(hs_timer *timer)
{
    hs_cancel_fire(HS_CONTAINER_OF(timer, hs_cancel, timer), hs_err_errno(ETIMEDOUT));
}

hs_cancel *hs_cancel_after(hs_shard *s, uint64_t after_ms)
{
    hs_cancel *c = hs_cancel_create(s);
    if (!c)
        return NULL;
    if (!hs_ok(hs_timer_after(s, &c->timer, after_ms, time_is_up))) {
        hs_cancel_unref(c);
        return NULL;
    }
    return c;
}

/* Let `c` depend on the `len` tokens that are not NULL. False without memory. */
static bool attach(hs_shard *s, hs_cancel *c, hs_cancel *const *tokens, uint32_t len)
{
    cancel_source *sources = c->own;
    if (len > SOURCES_OWN)
        sources = block_take(s, sources_bytes(len));
    if (!sources)
        return false;
    c->sources = sources;
    c->sources_len = len;
    for (uint32_t i = 0, at = 0; at < len; i++) {
        if (!tokens[i])
            continue;
        cancel_source *source = &sources[at++];
        source->from = hs_cancel_ref(tokens[i]);
        source->self = c;
        hs_list_init(&source->link);
        hs_list_push_back(&tokens[i]->dependents, &source->link);
    }
    return true;
}

hs_cancel *hs_cancel_any(hs_shard *s, hs_cancel *const *tokens, uint32_t len)
{
    HS_ASSERT(tokens != NULL || len == 0);
    hs_cancel *c = hs_cancel_create(s);
    if (!c)
        return NULL;
    uint32_t some = 0;
    for (uint32_t i = 0; i < len && hs_ok(c->why); i++) {
        c->why = hs_cancel_why(tokens[i]);
        some += tokens[i] != NULL;
    }
    if (some == 0 || !hs_ok(c->why))
        return c;
    if (!attach(s, c, tokens, some)) {
        hs_cancel_unref(c);
        return NULL;
    }
    return c;
}

/* ---- the end ---- */

static void leave(void *slot, void *ctx)
{
    hs_shard *s = ctx;
    hs_cancel *c = slot;
    if (!c->sources)
        hs_timer_cancel(s, &c->timer);
    else if (c->sources != c->own)
        block_give(s, c->sources, sources_bytes(c->sources_len));
    hs_pool_give(&s->cancels.pool, c);
}

void cancels_end(hs_shard *s)
{
    cancel_state *cs = &s->cancels;
    cs->ending = true;
    if (!cs->pool.slabs)
        return;
    hs_pool_each(&cs->pool, leave, s);
    hs_shard_trim_remove(&cs->trim);
    hs_pool_fini(&cs->pool);
}
