/* The order in which reactions run: job by job that of ECMA-262, as Node.js 20 prints it.
 *
 * Each case makes one promise, and its reaction prints 'f' or 'r'. Beside it runs a clock, a chain
 * of nine thens that print '1' to '9', each a job later than the one before; started before the
 * case in the first run, and after it in the second. The strings below were printed by:
 *
 *   let out;
 *   const later = (ticks, make) => {       // settled by job number `ticks`
 *     let res, rej;
 *     const q = new Promise((a, b) => { res = a; rej = b; });
 *     let c = Promise.resolve();
 *     for (let i = 1; i < ticks; i++) c = c.then(() => {});
 *     c.then(() => make(res, rej));
 *     return q;
 *   };
 *   const ok = Promise.resolve(), no = Promise.reject('e'); no.catch(() => {});
 *   const mid = () => later(3, r => r()), midno = () => later(3, (_, r) => r('e'));
 *   const clock = () => {
 *     let c = Promise.resolve();
 *     for (let i = 1; i <= 9; i++) c = c.then(() => { out += i; });
 *   };
 *   async function run(make) {             // `make` is the text of the case
 *     for (const first of [true, false]) {
 *       out = '';
 *       if (first) clock();
 *       make().then(() => { out += 'f'; }, () => { out += 'r'; });
 *       if (!first) clock();
 *       await new Promise(r => setTimeout(r, 0));
 *       console.log(out);
 *     }
 *   } */
#include "promise_rig.h"

static char out[32];

static void print(char c)
{
    size_t len = strlen(out);
    cr_assert_lt(len + 1, sizeof(out));
    out[len] = c;
}

/* ---- small functions ---- */

static hs_outcome nothing(void *ctx, void *value)
{
    (void)ctx, (void)value;
    return hs_value(NULL);
}

static hs_outcome throws(void *ctx, void *value)
{
    (void)ctx, (void)value;
    return hs_error(hs_err_of(HS_E_INTERNAL));
}

static hs_outcome caught(void *ctx, hs_err err, void *detail)
{
    (void)ctx, (void)err, (void)detail;
    return hs_value(NULL);
}

static hs_promise *ok(void)
{
    return fulfilled(0);
}

static hs_promise *no(void)
{
    return rejected(HS_E_INTERNAL);
}

typedef struct later {
    hs_promise *promise;
    hs_outcome o;
} later;

static later laters[8];
static uint32_t laters_len;

static hs_outcome later_settle(void *ctx, void *value)
{
    (void)value;
    later *l = ctx;
    hs_promise_settle(l->promise, l->o);
    return hs_value(NULL);
}

static hs_promise *later_of(uint32_t ticks, hs_outcome o)
{
    cr_assert_lt(laters_len, HS_ARRAY_LEN(laters));
    later *l = &laters[laters_len++];
    *l = (later){make(), o};
    hs_promise *c = ok();
    for (uint32_t i = 1; i < ticks; i++)
        c = hs_then(c, nothing, NULL);
    hs_promise_drop(hs_then(c, later_settle, l));
    return l->promise;
}

static hs_promise *mid(void)
{
    return later_of(3, hs_value(NULL));
}

static hs_promise *midno(void)
{
    return later_of(3, hs_error(hs_err_of(HS_E_INTERNAL)));
}

/* Functions that return the promise that another function makes. */
typedef hs_promise *maker(void);

static maker *const makes_ok[] = {ok}, *const makes_no[] = {no}, *const makes_mid[] = {mid},
                    *const makes_midno[] = {midno};

static hs_outcome returns(void *ctx, void *value)
{
    (void)value;
    return hs_adopt((*(maker *const *)ctx)());
}

static hs_outcome returns_caught(void *ctx, hs_err err, void *detail)
{
    (void)err, (void)detail;
    return hs_adopt((*(maker *const *)ctx)());
}

static hs_outcome returns_finally(void *ctx)
{
    return ctx ? hs_adopt((*(maker *const *)ctx)()) : hs_value(NULL);
}

static hs_outcome throws_finally(void *ctx)
{
    (void)ctx;
    return hs_error(hs_err_of(HS_E_INTERNAL));
}

static hs_promise *derived(void)
{
    return hs_then(ok(), nothing, NULL);
}

static maker *const makes_derived[] = {derived};

static hs_promise *derived_derived(void)
{
    return hs_then(ok(), returns, (void *)makes_derived);
}

static maker *const makes_derived_derived[] = {derived_derived};

static hs_promise *then_of(hs_promise *p, maker *const *makes)
{
    return hs_then(p, returns, (void *)makes);
}

static hs_promise *finally_of(hs_promise *p, maker *const *makes)
{
    return hs_finally(p, returns_finally, (void *)makes);
}

static hs_promise *resolved_with(hs_promise *p)
{
    hs_promise *outer = make();
    hs_promise_settle(outer, hs_adopt(p));
    return outer;
}

static hs_promise *mid5(void)
{
    return later_of(5, hs_value(NULL));
}

typedef hs_promise *gatherer(hs_shard *shard, hs_promise *const *list, uint32_t len,
                             const char *where);

static hs_promise *none(gatherer *gather)
{
    return gather(b.shard, NULL, 0, HS_HERE);
}

static hs_promise *two(gatherer *gather, maker *first, maker *second)
{
    hs_promise *list[2];
    list[0] = first();
    list[1] = second();
    return gather(b.shard, list, 2, HS_HERE);
}

/* ---- cases ---- */

#define CASES(X)                                                                                   \
    X("ok.then(() => {})", hs_then(ok(), nothing, NULL), "12f3456789", "1f23456789")               \
    X("mid().then(() => {})", hs_then(mid(), nothing, NULL), "12345f6789", "1234f56789")           \
    X("ok.catch(() => {})", hs_catch(ok(), caught, NULL), "12f3456789", "1f23456789")              \
    X("no.catch(() => {})", hs_catch(no(), caught, NULL), "12f3456789", "1f23456789")              \
    X("no.then(() => {})", hs_then(no(), nothing, NULL), "12r3456789", "1r23456789")               \
    X("ok.then(() => { throw 1; })", hs_then(ok(), throws, NULL), "12r3456789", "1r23456789")      \
    X("ok.then(() => ok)", then_of(ok(), makes_ok), "1234f56789", "123f456789")                    \
    X("ok.then(() => no)", then_of(ok(), makes_no), "1234r56789", "123r456789")                    \
    X("ok.then(() => mid())", then_of(ok(), makes_mid), "123456f789", "12345f6789")                \
    X("ok.then(() => midno())", then_of(ok(), makes_midno), "123456r789", "12345r6789")            \
    X("ok.then(() => ok.then(() => {}))", then_of(ok(), makes_derived), "1234f56789",              \
      "123f456789")                                                                                \
    X("ok.then(() => ok.then(() => ok.then(() => {})))", then_of(ok(), makes_derived_derived),     \
      "123456f789", "12345f6789")                                                                  \
    X("no.catch(() => ok)", hs_catch(no(), returns_caught, (void *)makes_ok), "1234f56789",        \
      "123f456789")                                                                                \
    X("ok.finally(() => {})", finally_of(ok(), NULL), "1234f56789", "123f456789")                  \
    X("no.finally(() => {})", finally_of(no(), NULL), "1234r56789", "123r456789")                  \
    X("mid().finally(() => {})", finally_of(mid(), NULL), "1234567f89", "123456f789")              \
    X("ok.finally(() => ok)", finally_of(ok(), makes_ok), "1234f56789", "123f456789")              \
    X("ok.finally(() => no)", finally_of(ok(), makes_no), "1234r56789", "123r456789")              \
    X("ok.finally(() => mid())", finally_of(ok(), makes_mid), "1234567f89", "123456f789")          \
    X("ok.finally(() => midno())", finally_of(ok(), makes_midno), "1234567r89", "123456r789")      \
    X("no.finally(() => mid())", finally_of(no(), makes_mid), "1234567r89", "123456r789")          \
    X("ok.finally(() => { throw 1; })", hs_finally(ok(), throws_finally, NULL), "12r3456789",      \
      "1r23456789")                                                                                \
    X("no.finally(() => { throw 1; })", hs_finally(no(), throws_finally, NULL), "12r3456789",      \
      "1r23456789")                                                                                \
    X("ok.finally(() => ok.then(() => {}))", finally_of(ok(), makes_derived), "12345f6789",        \
      "1234f56789")                                                                                \
    X("new Promise(r => r(ok))", resolved_with(ok()), "123f456789", "12f3456789")                  \
    X("new Promise(r => r(no))", resolved_with(no()), "123r456789", "12r3456789")                  \
    X("new Promise(r => r(mid()))", resolved_with(mid()), "12345f6789", "1234f56789")              \
    X("new Promise(r => r(new Promise(q => q(ok))))", resolved_with(resolved_with(ok())),          \
      "1234f56789", "123f456789")                                                                  \
    X("Promise.resolve(ok)", hs_promise_settled(b.shard, hs_adopt(ok())), "1f23456789",            \
      "f123456789")                                                                                \
    X("Promise.all([])", none(hs_all_at), "1f23456789", "f123456789")                              \
    X("Promise.all([ok, ok])", two(hs_all_at, ok, ok), "12f3456789", "1f23456789")                 \
    X("Promise.all([mid(), no])", two(hs_all_at, mid, no), "12r3456789", "1r23456789")             \
    X("Promise.all([mid(), ok])", two(hs_all_at, mid, ok), "12345f6789", "1234f56789")             \
    X("Promise.all([ok, midno()])", two(hs_all_at, ok, midno), "12345r6789", "1234r56789")         \
    X("Promise.allSettled([])", none(hs_all_settled_at), "1f23456789", "f123456789")               \
    X("Promise.allSettled([mid(), no])", two(hs_all_settled_at, mid, no), "12345f6789",            \
      "1234f56789")                                                                                \
    X("Promise.any([])", none(hs_any_at), "1r23456789", "r123456789")                              \
    X("Promise.any([no, no])", two(hs_any_at, no, no), "12r3456789", "1r23456789")                 \
    X("Promise.any([no, ok])", two(hs_any_at, no, ok), "12f3456789", "1f23456789")                 \
    X("Promise.any([no, mid()])", two(hs_any_at, no, mid), "12345f6789", "1234f56789")             \
    X("Promise.race([mid(), ok])", two(hs_race_at, mid, ok), "12f3456789", "1f23456789")           \
    X("Promise.race([mid(), no])", two(hs_race_at, mid, no), "12r3456789", "1r23456789")           \
    X("Promise.race([mid(), later(5, r => r())])", two(hs_race_at, mid, mid5), "12345f6789",       \
      "1234f56789")

static hs_promise *make_case(uint32_t number)
{
    uint32_t at = 0;
#define MAKE(text, expr, first, second)                                                            \
    if (number == at++)                                                                            \
        return expr;
    CASES(MAKE)
#undef MAKE
    return NULL;
}

static const char *const texts[][3] = {
#define TEXT(text, expr, first, second) {text, first, second},
    CASES(TEXT)
#undef TEXT
};

/* ---- the clock ---- */

static hs_outcome tick(void *ctx, void *value)
{
    (void)value;
    print((char)(intptr_t)ctx);
    return hs_value(NULL);
}

static void start_clock(void)
{
    hs_promise *c = ok();
    for (char digit = '1'; digit <= '9'; digit++)
        c = hs_then(c, tick, (void *)(intptr_t)digit);
    hs_promise_drop(c);
}

static void printed(hs_reaction *reaction, hs_outcome o)
{
    (void)reaction;
    print(hs_ok(o.err) ? 'f' : 'r');
    if (o.drop)
        o.drop(o.value);
}

static void run_case(uint32_t number, bool clock_first)
{
    rig_init();
    memset(out, 0, sizeof(out));
    laters_len = 0;
    if (clock_first)
        start_clock();
    hs_reaction reaction = {0};
    hs_react(make_case(number), &reaction, printed);
    if (!clock_first)
        start_clock();
    settle_all();
    const char *expected = texts[number][clock_first ? 1 : 2];
    cr_assert_str_eq(out, expected, "%s printed %s, not %s, with the clock started %s",
                     texts[number][0], out, expected, clock_first ? "first" : "second");
    rig_fini();
}

Test(shard_promise_order, is_that_of_ecma_262)
{
    for (uint32_t i = 0; i < HS_ARRAY_LEN(texts); i++) {
        run_case(i, true);
        run_case(i, false);
    }
}

/* Promise.resolve().then(() => { print('0'); return Promise.resolve(); }).then(() => print('4'));
 * let p = Promise.resolve();
 * for (const c of '123567') p = p.then(() => print(c)); */
static hs_outcome zero(void *ctx, void *value)
{
    (void)ctx, (void)value;
    print('0');
    return hs_adopt(ok());
}

Test(shard_promise_order, of_a_well_known_riddle)
{
    rig_init();
    hs_promise *p = hs_then(ok(), zero, NULL);
    hs_promise_drop(hs_then(p, tick, (void *)(intptr_t)'4'));
    p = ok();
    for (const char *c = "123567"; *c; c++)
        p = hs_then(p, tick, (void *)(intptr_t)*c);
    hs_promise_drop(p);
    settle_all();
    cr_assert_str_eq(out, "01234567");
    rig_fini();
}

/* const p = Promise.resolve();
 * p.then(() => print('a')).then(() => print('d'));
 * p.then(() => { print('b'); p.then(() => print('f')); }).then(() => print('e'));
 * p.then(() => print('c'));
 * print('s'); */
static hs_promise *again_of;

static hs_outcome again(void *ctx, void *value)
{
    (void)value;
    print((char)(intptr_t)ctx);
    hs_promise_drop(hs_then(again_of, tick, (void *)(intptr_t)'f'));
    return hs_value(NULL);
}

Test(shard_promise_order, of_several_reactions_to_one_promise)
{
    rig_init();
    hs_promise *p = ok();
    again_of = hs_promise_ref(p);
    hs_promise *a = hs_then(hs_promise_ref(p), tick, (void *)(intptr_t)'a');
    hs_promise_drop(hs_then(a, tick, (void *)(intptr_t)'d'));
    hs_promise *c = hs_then(hs_promise_ref(p), again, (void *)(intptr_t)'b');
    hs_promise_drop(hs_then(c, tick, (void *)(intptr_t)'e'));
    hs_promise_drop(hs_then(p, tick, (void *)(intptr_t)'c'));
    print('s');
    settle_all();
    cr_assert_str_eq(out, "sabcdfe");
    rig_fini();
}
