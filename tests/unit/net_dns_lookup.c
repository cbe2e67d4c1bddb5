/* hs_dns_lookup: what the promise comes to, and that nothing is left at any end. */
#include "fake_dns.h"

static bench b;
static fake_dns f;

static const fake_row rows[] = {
    {"both", "::1 ::2 ::3", 0, 20, AF_INET6},
    {"both", "192.0.2.1", 0, 10, AF_INET},
    {"four", NULL, HS_E_NAME_NONE, 5, AF_INET6},
    {"four", "192.0.2.1 192.0.2.2", 0, 10, AF_INET},
    {"none", NULL, HS_E_NAME_NONE, 5, AF_INET6},
    {"none", NULL, HS_E_NAME_NONE, 5, AF_INET},
    {"half", NULL, HS_E_NAME_NONE, 5, AF_INET6},
    {"half", NULL, HS_E_NAME_TIMEOUT, 10, AF_INET},
    {"flah", NULL, HS_E_NAME_FAILED, 5, AF_INET6},
    {"flah", NULL, HS_E_NAME_NONE, 10, AF_INET},
    {NULL, NULL, 0, 0, 0},
};

/* What a promise came to. */
typedef struct end {
    uint32_t values, errors;
    hs_err err;
    char text[200];
} end;

static hs_outcome on_value(void *ctx, void *value)
{
    end *e = ctx;
    hs_dns_addrs *a = value;
    char one[HS_ADDR_TEXT_BYTES];
    size_t len = 0;
    for (uint32_t i = 0; i < a->len; i++)
        len += (size_t)snprintf(e->text + len, sizeof e->text - len, "%s%s", i ? " " : "",
                                hs_addr_format(&a->at[i], one));
    e->values++;
    hs_dns_addrs_free(a);
    return hs_value(NULL);
}

static hs_outcome on_error(void *ctx, hs_err err, void *detail)
{
    end *e = ctx;
    cr_assert_null(detail);
    e->errors++;
    e->err = err;
    return hs_value(NULL);
}

static void begin(end *e, const char *name, int family, hs_cancel *cancel)
{
    memset(e, 0, sizeof *e);
    hs_promise *p = hs_dns_lookup(&f.dns, hs_span_str(name), family, cancel);
    hs_promise_drop(hs_then_catch(p, on_value, on_error, e));
}

static void setup(void)
{
    bench_init(&b, NULL);
    fake_dns_init(&f, &b, rows);
}

static void finish(void)
{
    cr_assert_eq(f.active, 0);
    bench_fini(&b);
}

static void look_up(const char *name, int family, const char *text, int32_t err)
{
    end e;
    begin(&e, name, family, NULL);
    bench_run(&b, 100);
    cr_assert_eq(e.values + e.errors, 1);
    cr_assert_eq(e.err.code, err, "%s: %d", name, e.err.code);
    cr_assert_str_eq(e.text, text);
}

Test(net_dns_lookup, what_a_lookup_comes_to)
{
    setup();
    look_up("both", AF_UNSPEC, "[::1]:0 192.0.2.1:0 [::2]:0 [::3]:0", 0);
    look_up("both", AF_INET, "192.0.2.1:0", 0);
    look_up("both", AF_INET6, "[::1]:0 [::2]:0 [::3]:0", 0);
    look_up("four", AF_UNSPEC, "192.0.2.1:0 192.0.2.2:0", 0);
    look_up("none", AF_UNSPEC, "", HS_E_NAME_NONE);
    look_up("half", AF_UNSPEC, "", HS_E_NAME_TIMEOUT);
    look_up("flah", AF_UNSPEC, "", HS_E_NAME_FAILED);
    f.start_err = hs_err_of(HS_E_LIMIT);
    look_up("both", AF_UNSPEC, "", HS_E_LIMIT);
    finish();
}

Test(net_dns_lookup, an_answer_that_nobody_takes_is_freed)
{
    setup();
    hs_promise_drop(hs_dns_lookup(&f.dns, HS_SPAN("both"), AF_UNSPEC, NULL));
    bench_run(&b, 100);
    finish();
}

Test(net_dns_lookup, cancel_at_each_step)
{
    for (uint64_t ms = 0; ms <= 28; ms += 7) {
        end e;
        setup();
        hs_cancel *cancel = hs_cancel_create(b.shard);
        begin(&e, "both", AF_UNSPEC, cancel);
        if (ms > 0)
            bench_run(&b, ms);
        hs_cancel_fire(cancel, hs_err_of(-ECANCELED));
        cr_assert_eq(f.active, 0);
        bench_run(&b, 50);
        cr_assert_eq(e.values + e.errors, 1);
        cr_assert_eq(e.values, ms > 20);
        if (ms <= 20)
            cr_assert_eq(e.err.code, -ECANCELED);
        /* One that has fired starts nothing. */
        uint32_t starts = f.starts;
        begin(&e, "both", AF_UNSPEC, cancel);
        bench_run(&b, 50);
        cr_assert_eq(e.err.code, -ECANCELED);
        cr_assert_eq(f.starts, starts);
        hs_cancel_unref(cancel);
        finish();
    }
}

Test(net_dns_lookup, each_piece_of_memory_fails_once)
{
    uint32_t whole = 0;
    for (uint64_t i = 1; whole < 2; i++) {
        end e;
        setup();
        hs_cancel *cancel = hs_cancel_create(b.shard);
        b.fail_at = b.takes + i;
        begin(&e, "both", AF_UNSPEC, cancel);
        bench_run(&b, 100);
        whole += b.fails == 0;
        /* Without memory for the reaction nobody hears of it, but the answer is freed. */
        cr_assert_leq(e.values + e.errors, 1);
        if (e.errors)
            cr_assert_eq(e.err.code, -ENOMEM);
        b.fail_at = 0;
        hs_cancel_unref(cancel);
        finish();
        cr_assert_lt(i, 50);
    }
}
