/* then, catch, finally: what reaches whom, and who frees a value. */
#include "promise_rig.h"

static char out[64];

static void print(char c)
{
    size_t len = strlen(out);
    cr_assert_lt(len + 1, sizeof(out));
    out[len] = c;
}

/* ---- functions that are given ---- */

/* What a function does, and what it was given. */
typedef struct step {
    char c;             /* printed when it is called */
    hs_outcome returns; /* what it returns */
    bool passes;        /* or what it was given, owned as it came */
    uint32_t calls;
    intptr_t number;
    hs_err err;
} step;

static hs_outcome stepped(step *s, void *ptr, hs_err err)
{
    s->calls++;
    s->err = err;
    if (s->c)
        print(s->c);
    if (s->passes)
        return hs_value_owned(ptr, value_drop);
    if (ptr)
        s->number = value_take(ptr);
    return s->returns;
}

static hs_outcome on_value(void *ctx, void *ptr)
{
    return stepped(ctx, ptr, HS_OK);
}

static hs_outcome on_error(void *ctx, hs_err err, void *detail)
{
    return stepped(ctx, detail, err);
}

static hs_outcome on_end(void *ctx)
{
    return stepped(ctx, NULL, HS_OK);
}

static hs_promise *owned(intptr_t number)
{
    return hs_promise_settled(b.shard, value_made(number));
}

static hs_promise *refused(int32_t code, intptr_t number)
{
    return hs_promise_settled(b.shard, error_made(code, number));
}

/* What `p` comes to. */
static seen comes_to(hs_promise *p)
{
    static seen s;
    memset(&s, 0, sizeof s);
    see(&s, p);
    settle_all();
    cr_assert_eq(s.calls, 1);
    return s;
}

/* ---- then and catch ---- */

Test(shard_promise_then, never_runs_before_it_returns)
{
    rig_init();
    step s = {0};
    hs_promise *p = hs_then(owned(1), on_value, &s);
    cr_assert_eq(s.calls, 0);
    cr_assert_eq(hs_promise_state_of(p), HS_PROMISE_PENDING);
    settle_all();
    cr_assert_eq(s.calls, 1);
    hs_promise_drop(p);
    rig_fini();
}

Test(shard_promise_then, what_it_returns_settles_what_it_made)
{
    rig_init();
    step s = {.returns = value_made(2)};
    seen r = comes_to(hs_then(owned(1), on_value, &s));
    cr_assert_eq(s.number, 1);
    cr_assert_eq(r.number, 2);
    s.returns = error_made(-EIO, 3);
    r = comes_to(hs_then(owned(1), on_value, &s));
    cr_assert_eq(r.o.err.code, -EIO);
    cr_assert_eq(r.number, 3);
    s.returns = hs_adopt(owned(4));
    r = comes_to(hs_then(owned(1), on_value, &s));
    cr_assert_eq(r.number, 4);
    s.returns = hs_adopt(refused(-EIO, 5));
    r = comes_to(hs_then(owned(1), on_value, &s));
    cr_assert_eq(r.o.err.code, -EIO);
    cr_assert_eq(r.number, 5);
    cr_assert_eq(values_dropped, 0);
    rig_fini();
}

Test(shard_promise_then, a_rejection_passes_then_and_a_value_passes_catch)
{
    rig_init();
    step s = {0};
    hs_promise *p = refused(-EPIPE, 7);
    for (int i = 0; i < 3; i++)
        p = hs_then(p, on_value, &s);
    seen r = comes_to(p);
    cr_assert_eq(r.o.err.code, -EPIPE);
    cr_assert_eq(r.number, 7);
    p = owned(8);
    for (int i = 0; i < 3; i++)
        p = hs_catch(p, on_error, &s);
    r = comes_to(p);
    cr_assert(hs_ok(r.o.err));
    cr_assert_eq(r.number, 8);
    cr_assert_eq(s.calls, 0);
    cr_assert_eq(values_dropped, 0);
    rig_fini();
}

Test(shard_promise_then, an_error_passes_along_until_it_is_caught)
{
    rig_init();
    step skipped = {.c = 'x'}, thrown = {.c = 'a', .returns = error_made(-EIO, 9)};
    step caught = {.c = 'b', .returns = value_made(10)}, after = {.c = 'c', .passes = true};
    hs_promise *p = hs_then(owned(1), on_value, &thrown);
    p = hs_then(p, on_value, &skipped);
    p = hs_catch(p, on_error, &caught);
    p = hs_catch(p, on_error, &skipped);
    p = hs_then(p, on_value, &after);
    seen r = comes_to(p);
    cr_assert_str_eq(out, "abc");
    cr_assert_eq(caught.err.code, -EIO);
    cr_assert_eq(caught.number, 9);
    cr_assert_eq(r.number, 10);
    rig_fini();
}

Test(shard_promise_then, of_both_functions_one_is_called_and_an_error_of_one_is_not_the_other_s)
{
    rig_init();
    step yes = {.returns = error_made(-EIO, 1)}, no = {0};
    seen r = comes_to(hs_then_catch(owned(1), on_value, on_error, &yes));
    cr_assert_eq(yes.calls, 1);
    cr_assert_eq(r.o.err.code, -EIO);
    r = comes_to(hs_then_catch(refused(-EPIPE, 2), on_value, on_error, &no));
    cr_assert_eq(no.calls, 1);
    cr_assert_eq(no.err.code, -EPIPE);
    cr_assert_eq(no.number, 2);
    cr_assert(hs_ok(r.o.err));
    rig_fini();
}

Test(shard_promise_then, runs_though_nobody_wants_what_it_returns)
{
    rig_init();
    step s = {.returns = value_made(2)};
    hs_promise *p = make();
    hs_promise_drop(hs_then(p, on_value, &s));
    hs_promise_settle(p, value_made(1));
    settle_all();
    cr_assert_eq(s.number, 1);
    cr_assert_eq(values_dropped, 1); /* what it returned */
    rig_fini();
}

static hs_promise *itself;

static hs_outcome return_itself(void *ctx, void *ptr)
{
    (void)ctx, (void)ptr;
    return hs_adopt(itself);
}

Test(shard_promise_then, that_returns_what_it_made_is_rejected)
{
    rig_init();
    hs_promise *p = hs_then(fulfilled(0), return_itself, NULL);
    itself = hs_promise_ref(p);
    seen r = comes_to(p);
    cr_assert_eq(r.o.err.code, HS_E_USAGE);
    rig_fini();
}

static hs_outcome grow(void *ctx, void *ptr)
{
    intptr_t left = (intptr_t)ptr;
    step *s = ctx;
    s->calls++;
    if (left == 0)
        return value_made(77);
    return hs_adopt(hs_then(fulfilled(left - 1), grow, ctx));
}

Test(shard_promise_then, a_loop_of_promises_that_return_promises_needs_no_stack)
{
    rig_init();
    step s = {0};
    hs_promise *p = hs_then(fulfilled(100000), grow, &s);
    seen r = {0};
    see(&r, p);
    bench_run(&b, 100);
    cr_assert_eq(r.number, 77);
    cr_assert_eq(s.calls, 100001);
    (void)bench_logged(&b, "");
    rig_fini();
}

/* ---- finally ---- */

Test(shard_promise_then, finally_is_called_either_way_and_the_outcome_goes_on)
{
    rig_init();
    step s = {0};
    seen r = comes_to(hs_finally(owned(1), on_end, &s));
    cr_assert_eq(r.number, 1);
    r = comes_to(hs_finally(refused(-EPIPE, 2), on_end, &s));
    cr_assert_eq(r.o.err.code, -EPIPE);
    cr_assert_eq(r.number, 2);
    cr_assert_eq(s.calls, 2);
    cr_assert_eq(values_dropped, 0);
    rig_fini();
}

Test(shard_promise_then, the_value_of_finally_is_dropped)
{
    rig_init();
    step s = {.returns = value_made(5)};
    seen r = comes_to(hs_finally(owned(1), on_end, &s));
    cr_assert_eq(r.number, 1);
    cr_assert_eq(values_dropped, 1);
    s.returns = hs_adopt(owned(5));
    r = comes_to(hs_finally(refused(-EPIPE, 2), on_end, &s));
    cr_assert_eq(r.number, 2);
    cr_assert_eq(values_dropped, 2);
    rig_fini();
}

Test(shard_promise_then, a_finally_that_fails_takes_the_place_of_the_outcome)
{
    rig_init();
    step s = {.returns = error_made(-EIO, 6)};
    seen r = comes_to(hs_finally(owned(1), on_end, &s));
    cr_assert_eq(r.o.err.code, -EIO);
    cr_assert_eq(r.number, 6);
    cr_assert_eq(values_dropped, 1);
    s.returns = error_made(-EIO, 6);
    r = comes_to(hs_finally(refused(-EPIPE, 2), on_end, &s));
    cr_assert_eq(r.o.err.code, -EIO);
    cr_assert_eq(r.number, 6);
    cr_assert_eq(values_dropped, 2);
    s.returns = hs_adopt(refused(-EIO, 7));
    r = comes_to(hs_finally(owned(1), on_end, &s));
    cr_assert_eq(r.o.err.code, -EIO);
    cr_assert_eq(r.number, 7);
    cr_assert_eq(values_dropped, 3);
    rig_fini();
}

Test(shard_promise_then, a_finally_that_returns_a_promise_is_waited_for)
{
    rig_init();
    hs_promise *inner = make();
    step s = {.returns = hs_adopt(inner)};
    seen r = {0};
    see(&r, hs_finally(owned(1), on_end, &s));
    bench_run(&b, 100);
    cr_assert_eq(r.calls, 0);
    hs_promise_settle(inner, value_made(2));
    settle_all();
    cr_assert_eq(r.number, 1);
    cr_assert_eq(values_dropped, 1);
    rig_fini();
}

static hs_outcome finally_itself(void *ctx)
{
    (void)ctx;
    return hs_adopt(itself);
}

Test(shard_promise_then, a_finally_that_returns_what_it_made_is_rejected)
{
    rig_init();
    hs_promise *p = hs_finally(owned(1), finally_itself, NULL);
    itself = hs_promise_ref(p);
    seen r = comes_to(p);
    cr_assert_eq(r.o.err.code, HS_E_USAGE);
    cr_assert_eq(values_dropped, 1);
    rig_fini();
}

Test(shard_promise_then, a_finally_is_not_called_at_the_end_and_what_it_keeps_is_dropped)
{
    rig_init();
    step waits = {.returns = hs_adopt(make())}, late = {0};
    hs_promise_drop(hs_finally(owned(1), on_end, &waits));
    settle_all();
    cr_assert_eq(waits.calls, 1);
    hs_promise_drop(hs_finally(owned(2), on_end, &late));
    shard_end(b.shard);
    cr_assert_eq(late.calls, 0);
    cr_assert_eq(values_dropped, 2);
    (void)bench_logged(&b, "");
    rig_fini();
}

/* ---- no memory ---- */

/* A bit of everything; what each step came to does not matter, but that nothing is lost. */
static void scene(void)
{
    step s[8] = {{.returns = value_made(2)}, {.returns = error_made(-EIO, 3)}, {.passes = true}};
    s[4].returns = hs_adopt(owned(4));
    hs_promise *p = hs_then(owned(1), on_value, &s[0]);
    p = hs_then(p, on_value, &s[1]);
    p = hs_catch(p, on_error, &s[2]);
    p = hs_finally(p, on_end, &s[3]);
    p = hs_then(p, on_value, &s[4]);
    seen r = {0};
    see(&r, p);
    bench_run(&b, 10);
    cr_assert_eq(r.calls, 1);
    /* What a function would have returned was not asked for. */
    for (uint32_t i = 0; i < 5; i++)
        if (s[i].calls == 0 && s[i].returns.drop)
            s[i].returns.drop(s[i].returns.value);
    if (s[4].calls == 0)
        hs_promise_ignore(s[4].returns.promise);
}

Test(shard_promise_then, any_allocation_may_fail_and_no_value_is_lost)
{
    for (int on = 0; on < 2; on++) {
        for (uint64_t n = 1;; n++) {
            rig_init();
            b.takes = 0, b.fail_at = n, b.fail_on = on;
            scene();
            uint64_t fails = b.fails;
            b.fail_at = 0;
            cr_assert_eq(values_out, 0);
            (void)bench_logged(&b, "");
            rig_fini();
            if (fails == 0)
                break;
        }
    }
}

/* The same with a pool that has room for 0, 1, 2 ... promises more. */
Test(shard_promise_then, any_promise_may_fail_and_no_value_is_lost)
{
    static hs_promise *fill[2048];
    for (uint32_t room = 0; room < 12; room++) {
        rig_init();
        uint32_t full = 0;
        fill[full++] = make();
        b.takes = 0, b.fail_at = 1, b.fail_on = true;
        while ((fill[full] = hs_promise_create(b.shard)))
            full++;
        cr_assert_gt(full, room);
        for (uint32_t i = 0; i < full; i++) {
            if (i >= full - room) {
                hs_promise_drop(fill[i]);
                hs_promise_settle(fill[i], hs_value(NULL));
            }
        }
        scene();
        cr_assert_eq(values_out, 0);
        for (uint32_t i = 0; i < full - room; i++) {
            hs_promise_drop(fill[i]);
            hs_promise_settle(fill[i], hs_value(NULL));
        }
        b.fail_at = 0;
        (void)bench_logged(&b, "");
        rig_fini();
    }
}
