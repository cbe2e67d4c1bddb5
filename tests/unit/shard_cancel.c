/* Cancel tokens: what AbortSignal promises, in C. */
#include "bench.h"
#include "hs_cancel.h"

static bench b;
static char order[64];

static void note(char c)
{
    size_t len = strlen(order);
    cr_assert_lt(len + 1, sizeof(order));
    order[len] = c;
}

/* A listener that writes its letter down. */
typedef struct ear {
    hs_cancel_hook hook;
    char c;
    int32_t why;
    hs_cancel *seen, *fires, *drops; /* what it looks at, fires, unrefs */
    struct ear *removes, *adds;
    hs_cancel *adds_to;
    int32_t add_err;
} ear;

static void heard(hs_cancel_hook *hook, hs_err why)
{
    ear *e = HS_CONTAINER_OF(hook, ear, hook);
    cr_assert_null(hook->link.next);
    note(e->c);
    e->why = why.code;
    if (e->seen)
        cr_assert_eq(hs_cancel_why(e->seen).code, why.code);
    if (e->removes)
        hs_cancel_remove(&e->removes->hook);
    if (e->adds)
        e->add_err = hs_cancel_add(e->adds_to, &e->adds->hook, heard).code;
    if (e->fires)
        hs_cancel_fire(e->fires, hs_err_of(HS_E_CLOSED));
    hs_cancel_unref(e->drops);
}

static ear ears[8];

static void listen_to(hs_cancel *c, char letter)
{
    ear *e = &ears[letter - 'a'];
    e->c = letter;
    cr_assert(hs_ok(hs_cancel_add(c, &e->hook, heard)));
}

static hs_cancel *make(void)
{
    hs_cancel *c = hs_cancel_create(b.shard);
    cr_assert_not_null(c);
    return c;
}

static hs_cancel *any2(hs_cancel *x, hs_cancel *y)
{
    hs_cancel *c = hs_cancel_any(b.shard, (hs_cancel *[]){x, y}, 2);
    cr_assert_not_null(c);
    return c;
}

static const hs_err stop = {-EPIPE};

/* ---- one token ---- */

Test(shard_cancel, hooks_are_called_once_in_the_order_of_adding_before_fire_returns)
{
    bench_init(&b, NULL);
    hs_cancel *c = make();
    cr_assert(hs_ok(hs_cancel_why(c)));
    for (char l = 'a'; l <= 'c'; l++)
        listen_to(c, l);
    hs_cancel_fire(c, stop);
    cr_assert_str_eq(order, "abc");
    cr_assert_eq(ears[1].why, -EPIPE);
    hs_cancel_fire(c, hs_err_of(HS_E_CLOSED));
    cr_assert_str_eq(order, "abc");
    cr_assert_eq(hs_cancel_why(c).code, -EPIPE); /* the first reason stays */
    cr_assert_eq(hs_cancel_add(c, &ears[0].hook, heard).code, -EPIPE);
    cr_assert_null(ears[0].hook.link.next);
    hs_cancel_unref(c);
    bench_fini(&b);
}

Test(shard_cancel, a_removed_hook_is_not_called)
{
    bench_init(&b, NULL);
    hs_cancel *c = make();
    hs_cancel_remove(&ears[0].hook); /* was never added */
    for (char l = 'a'; l <= 'c'; l++)
        listen_to(c, l);
    hs_cancel_remove(&ears[0].hook);
    hs_cancel_remove(&ears[0].hook);
    hs_cancel_remove(&ears[2].hook);
    listen_to(c, 'a'); /* behind the others now */
    hs_cancel_fire(c, stop);
    cr_assert_str_eq(order, "ba");
    hs_cancel_unref(c);
    bench_fini(&b);
}

Test(shard_cancel, null_never_fires)
{
    bench_init(&b, NULL);
    cr_assert(hs_ok(hs_cancel_add(NULL, &ears[0].hook, heard)));
    cr_assert_null(ears[0].hook.link.next);
    hs_cancel_remove(&ears[0].hook);
    cr_assert(hs_ok(hs_cancel_why(NULL)));
    cr_assert_null(hs_cancel_ref(NULL));
    hs_cancel_unref(NULL);
    bench_fini(&b);
}

Test(shard_cancel, hooks_may_remove_add_fire_and_let_go)
{
    bench_init(&b, NULL);
    hs_cancel *c = make(), *other = make();
    for (char l = 'a'; l <= 'e'; l++)
        listen_to(c, l);
    listen_to(other, 'f');
    ears[0].removes = &ears[1]; /* one that is still to come */
    ears[2].removes = &ears[0]; /* one that has been called */
    ears[2].adds = &ears[6], ears[2].adds_to = c;
    ears[3].fires = c;     /* nothing */
    ears[3].drops = c;     /* the last reference, while it fires */
    ears[4].fires = other; /* another, in the midst of this one */
    ears[5].drops = other;
    hs_cancel_fire(c, stop);
    cr_assert_str_eq(order, "acdef");
    cr_assert_eq(ears[2].add_err, -EPIPE);
    cr_assert_eq(ears[5].why, HS_E_CLOSED);
    bench_fini(&b);
}

Test(shard_cancel, letting_go_of_a_token_that_has_a_hook_is_an_error_of_the_programmer,
     .signal = SIGABRT)
{
    bench_init(&b, NULL);
    hs_cancel *c = make();
    listen_to(c, 'a');
    hs_cancel_unref(c);
}

Test(shard_cancel, firing_without_a_reason_is_an_error_of_the_programmer, .signal = SIGABRT)
{
    bench_init(&b, NULL);
    hs_cancel_fire(make(), HS_OK);
}

/* ---- time ---- */

Test(shard_cancel, a_time_limit_fires_with_etimedout)
{
    bench_init(&b, NULL);
    hs_cancel *c = hs_cancel_after(b.shard, 50);
    listen_to(c, 'a');
    bench_run(&b, 49);
    cr_assert(hs_ok(hs_cancel_why(c)));
    bench_run(&b, 3);
    cr_assert_eq(hs_cancel_why(c).code, -ETIMEDOUT);
    cr_assert_str_eq(order, "a");
    hs_cancel_unref(c);
    bench_fini(&b);
}

Test(shard_cancel, a_time_limit_that_is_fired_before_or_let_go_of_does_not_fire)
{
    bench_init(&b, NULL);
    hs_cancel *c = hs_cancel_after(b.shard, 50);
    hs_cancel_unref(hs_cancel_after(b.shard, 50));
    listen_to(c, 'a');
    hs_cancel_fire(c, stop);
    bench_run(&b, 100);
    cr_assert_str_eq(order, "a");
    cr_assert_eq(hs_cancel_why(c).code, -EPIPE);
    hs_cancel_unref(c);
    bench_fini(&b);
}

Test(shard_cancel, a_time_limit_keeps_nobody_waiting_at_a_stop)
{
    bench_init(&b, NULL);
    hs_cancel *c = hs_cancel_after(b.shard, 1000000);
    uint64_t start_ms = bench_ms(&b);
    shard_stop(b.shard);
    while (!shard_finished(b.shard))
        shard_turn(b.shard, true);
    cr_assert_lt(bench_ms(&b), start_ms + 1000);
    hs_cancel_unref(c);
    bench_fini(&b);
}

/* ---- any ---- */

Test(shard_cancel, any_fires_with_the_first_of_its_tokens_and_its_reason)
{
    for (uint32_t len = 1; len <= 200; len = len * 2 + 1) {
        memset(order, 0, sizeof(order));
        bench_init(&b, NULL);
        hs_cancel *tokens[200];
        for (uint32_t i = 0; i < len; i++)
            tokens[i] = i % 3 == 1 ? NULL : make();
        hs_cancel *c = hs_cancel_any(b.shard, tokens, len);
        listen_to(c, 'a');
        hs_cancel_fire(tokens[len - 1] ? tokens[len - 1] : tokens[0], stop);
        cr_assert_str_eq(order, "a");
        cr_assert_eq(hs_cancel_why(c).code, -EPIPE);
        for (uint32_t i = 0; i < len; i++) {
            if (tokens[i])
                hs_cancel_fire(tokens[i], hs_err_of(HS_E_CLOSED));
            hs_cancel_unref(tokens[i]);
        }
        cr_assert_str_eq(order, "a");
        hs_cancel_unref(c);
        bench_fini(&b);
    }
}

Test(shard_cancel, any_of_a_fired_one_is_fired_from_the_start)
{
    bench_init(&b, NULL);
    hs_cancel *live = make(), *first = make(), *second = make();
    hs_cancel_fire(first, stop);
    hs_cancel_fire(second, hs_err_of(HS_E_CLOSED));
    hs_cancel *c = hs_cancel_any(b.shard, (hs_cancel *[]){live, first, NULL, second}, 4);
    cr_assert_eq(hs_cancel_why(c).code, -EPIPE);
    cr_assert_eq(hs_cancel_add(c, &ears[0].hook, heard).code, -EPIPE);
    hs_cancel_fire(live, stop);
    hs_cancel *all[] = {live, first, second, c};
    for (uint32_t i = 0; i < 4; i++)
        hs_cancel_unref(all[i]);
    bench_fini(&b);
}

Test(shard_cancel, any_of_none_never_fires_by_itself)
{
    bench_init(&b, NULL);
    hs_cancel *none = hs_cancel_any(b.shard, NULL, 0), *nulls = any2(NULL, NULL);
    cr_assert(hs_ok(hs_cancel_why(none)) && hs_ok(hs_cancel_why(nulls)));
    listen_to(nulls, 'a');
    hs_cancel_fire(nulls, stop);
    cr_assert_str_eq(order, "a");
    hs_cancel_unref(none);
    hs_cancel_unref(nulls);
    bench_fini(&b);
}

Test(shard_cancel, firing_any_fires_none_of_its_tokens)
{
    bench_init(&b, NULL);
    hs_cancel *x = make(), *y = make(), *c = any2(x, y);
    listen_to(x, 'a');
    listen_to(c, 'c');
    hs_cancel_fire(c, stop);
    cr_assert_str_eq(order, "c");
    cr_assert(hs_ok(hs_cancel_why(x)));
    hs_cancel_fire(x, stop);
    cr_assert_str_eq(order, "ca");
    hs_cancel_unref(x), hs_cancel_unref(y), hs_cancel_unref(c);
    bench_fini(&b);
}

Test(shard_cancel, any_refers_to_its_tokens)
{
    bench_init(&b, NULL);
    hs_cancel *limit = hs_cancel_after(b.shard, 50), *c = any2(limit, NULL);
    hs_cancel_unref(limit);
    listen_to(c, 'a');
    bench_run(&b, 60);
    cr_assert_str_eq(order, "a");
    cr_assert_eq(hs_cancel_why(c).code, -ETIMEDOUT);
    hs_cancel_unref(c);
    bench_fini(&b);
}

/* DOM Standard, "signal abort": dependents are marked before anybody is called, and called after
 * the token's own listeners. */
Test(shard_cancel, all_that_depend_are_marked_before_a_hook_runs_and_called_after_it)
{
    bench_init(&b, NULL);
    hs_cancel *root = make();
    hs_cancel *one = any2(root, NULL), *two = any2(one, root), *three = any2(two, one);
    listen_to(three, 'd');
    listen_to(two, 'c');
    listen_to(one, 'b');
    listen_to(root, 'a');
    ears[0].seen = three;
    hs_cancel_fire(root, stop);
    cr_assert_str_eq(order, "abcd");
    hs_cancel_unref(root), hs_cancel_unref(one), hs_cancel_unref(two), hs_cancel_unref(three);
    bench_fini(&b);
}

/* A token that only another one refers to goes while both depend on what fires. */
Test(shard_cancel, one_that_goes_while_its_tokens_fire_is_left_out)
{
    bench_init(&b, NULL);
    hs_cancel *root = make();
    hs_cancel *p = any2(root, NULL), *x = any2(p, NULL), *y = any2(x, root);
    hs_cancel_unref(x);
    listen_to(p, 'a');
    listen_to(y, 'b');
    hs_cancel_fire(root, stop);
    cr_assert_str_eq(order, "ab");
    hs_cancel_unref(root), hs_cancel_unref(p), hs_cancel_unref(y);
    bench_fini(&b);
}

#define CHAIN 200000

Test(shard_cancel, a_chain_of_any_length_needs_no_stack)
{
    bench_init(&b, NULL);
    for (int fire = 0; fire < 2; fire++) {
        hs_cancel *root = make(), *last = hs_cancel_ref(root);
        for (uint32_t i = 0; i < CHAIN; i++) {
            hs_cancel *next = any2(last, NULL);
            hs_cancel_unref(last);
            last = next;
        }
        if (fire) {
            listen_to(last, 'a');
            hs_cancel_fire(root, stop);
            cr_assert_str_eq(order, "a");
        }
        hs_cancel_unref(root);
        hs_cancel_unref(last); /* and with it all the others */
        cr_assert_eq(bench_logged(&b, ""), 0);
    }
    bench_fini(&b);
}

/* ---- memory ---- */

Test(shard_cancel, without_memory_there_is_no_token_and_nothing_leaks)
{
    for (uint64_t n = 1; n < 12; n++) {
        bench_init(&b, NULL);
        b.takes = 0;
        b.fail_at = n;
        hs_cancel *tokens[300] = {0};
        hs_cancel *limit = hs_cancel_after(b.shard, 50);
        for (uint32_t i = 0; i < HS_ARRAY_LEN(tokens); i++)
            tokens[i] = hs_cancel_create(b.shard);
        hs_cancel *some = hs_cancel_any(b.shard, tokens, 20);
        hs_cancel *all = hs_cancel_any(b.shard, tokens, HS_ARRAY_LEN(tokens));
        b.fail_at = 0;
        cr_assert(b.fails <= 1);
        hs_cancel_unref(limit), hs_cancel_unref(some), hs_cancel_unref(all);
        for (uint32_t i = 0; i < HS_ARRAY_LEN(tokens); i++)
            hs_cancel_unref(tokens[i]);
        bench_fini(&b);
    }
}

Test(shard_cancel, what_is_left_at_the_end_is_freed)
{
    bench_init(&b, NULL);
    hs_cancel *tokens[300];
    for (uint32_t i = 0; i < HS_ARRAY_LEN(tokens); i++)
        tokens[i] = hs_cancel_after(b.shard, 1000);
    cr_assert_not_null(hs_cancel_any(b.shard, tokens, 10));
    cr_assert_not_null(hs_cancel_any(b.shard, tokens, 300));
    bench_fini(&b);
}

Test(shard_cancel, memory_returns_after_a_burst)
{
    bench_init(&b, NULL);
    static hs_cancel *tokens[5000];
    size_t before = b.bytes_out;
    for (uint32_t i = 0; i < HS_ARRAY_LEN(tokens); i++)
        tokens[i] = make();
    for (uint32_t i = 0; i < HS_ARRAY_LEN(tokens); i++)
        hs_cancel_unref(tokens[i]);
    cr_assert_gt(b.bytes_out, before + 5 * (size_t)HS_POOL_SLAB_BYTES);
    bench_stir(&b);
    bench_run(&b, 5000);
    cr_assert_leq(b.bytes_out, before + HS_POOL_SLAB_BYTES + 8192 * sizeof(void *));
    bench_fini(&b);
}
