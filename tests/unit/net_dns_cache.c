/* What lookups keep: for how long, how much of it, and what goes first. */
#include "dns_rig.h"

Test(net_dns_cache, an_answer_is_kept_for_its_ttl)
{
    open_dns(NULL, "", "");
    heard h = {0}, again = {0}, late = {0};
    start_family(&h, "a.test", AF_INET);
    bench_run(&b, 1);
    answer(0, 0, 10, 3);
    bench_run(&b, 9900);
    start_family(&again, "A.test.", AF_INET);
    bench_run(&b, 1);
    cr_assert(again.ended);
    cr_assert_eq(again.len[v4], 3);
    cr_assert_eq(f.len, 1);
    bench_run(&b, 200);
    start_family(&late, "a.test", AF_INET);
    bench_run(&b, 1);
    cr_assert_eq(f.len, 2);
    answer(1, 0, 10, 1);
    cr_assert_eq(bench_count(&b, "dns_lookups"), 3);
    cr_assert_eq(bench_count(&b, "dns_queries"), 2);
    cr_assert_eq(bench_count(&b, "dns_hits"), 1);
    close_dns();
}

/* Whether a second lookup, `after_ms` after the answer, is answered without a question. */
static bool is_kept(const hs_dns_options *o, int32_t err, uint32_t ttl_s, uint64_t after_ms)
{
    heard h = {0}, again = {0};
    open_dns(o, "", "");
    start_family(&h, "a.test", AF_INET6);
    bench_run(&b, 1);
    answer(0, err, ttl_s, err ? 0 : 1);
    cr_assert(h.ended);
    if (after_ms)
        bench_run(&b, after_ms);
    start_family(&again, "a.test", AF_INET6);
    bench_run(&b, 1);
    bool kept = f.len == 1;
    if (!kept)
        answer(1, err, ttl_s, err ? 0 : 1);
    cr_assert_eq(again.err[v6].code, err);
    close_dns();
    return kept;
}

Test(net_dns_cache, how_long_what_is_kept)
{
    hs_dns_options off = {.cache_off = true};
    hs_dns_options bounds = {.ttl_s_min = 5, .ttl_s_max = 20, .none_s = 2};
    cr_assert(!is_kept(NULL, 0, 0, 0)); /* a TTL of 0: this once */
    cr_assert(is_kept(NULL, 0, 1, 500));
    cr_assert(!is_kept(NULL, 0, 1, 1500));
    cr_assert(is_kept(&bounds, 0, 0, 4000));
    cr_assert(!is_kept(&bounds, 0, 0, 6000));
    cr_assert(is_kept(&bounds, 0, 1000, 19000));
    cr_assert(!is_kept(&bounds, 0, 1000, 21000));
    cr_assert(is_kept(NULL, HS_E_NAME_NONE, 0, 4000));
    cr_assert(!is_kept(NULL, HS_E_NAME_NONE, 0, 6000));
    cr_assert(!is_kept(&bounds, HS_E_NAME_NONE, 0, 3000));
    cr_assert(!is_kept(NULL, HS_E_NAME_FAILED, 60, 0));
    cr_assert(!is_kept(NULL, HS_E_NAME_TIMEOUT, 60, 0));
    cr_assert(!is_kept(&off, 0, 60, 10));
    cr_assert(!is_kept(&off, HS_E_NAME_NONE, 60, 10));
}

/* Look `name` up and answer what is asked for. Returns whether anything was. */
static bool asks(const char *name)
{
    heard h = {0};
    uint32_t before = f.len;
    start_family(&h, name, AF_INET);
    bench_run(&b, 1);
    bool asked = f.len > before;
    if (asked)
        answer(f.len - 1, 0, 600, 1);
    cr_assert(h.ended);
    return asked;
}

Test(net_dns_cache, what_was_not_used_for_longest_goes_first)
{
    hs_dns_options o = {.cache_max = 2};
    open_dns(&o, "", "");
    cr_assert(asks("a.test"));
    cr_assert(asks("b.test"));
    cr_assert(!asks("a.test"));
    cr_assert(asks("c.test")); /* b goes */
    cr_assert(!asks("a.test"));
    cr_assert(asks("b.test")); /* c goes */
    cr_assert(asks("c.test"));
    close_dns();
}

Test(net_dns_cache, memory_of_what_is_over_returns)
{
    open_dns(NULL, "", "");
    size_t before = b.pieces_out;
    heard h = {0};
    start_family(&h, "a.test", AF_INET);
    bench_run(&b, 1);
    answer(0, 0, 1, 1);
    size_t with = b.pieces_out;
    cr_assert_gt(with, before);
    bench_run(&b, 1000);
    bench_stir(&b);
    bench_run(&b, 1500);
    cr_assert_eq(b.pieces_out, with - 2); /* the entry, and its addresses */
    close_dns();
}
