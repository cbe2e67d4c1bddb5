/* Lookups, answers, cancels, changes of files and the end of the resolver, in random order: every
 * lookup is told as often as it was promised, and nothing is left. A seed that fails replays. */
#include "dns_rig.h"

#define LOOKUPS 12

static heard lookups[LOOKUPS];
static bool cancelled[LOOKUPS];
static uint64_t state;

static uint32_t below(uint32_t n)
{
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(state >> 33) % n;
}

static void answer_one(void)
{
    static const int32_t errs[] = {0,      0, HS_E_NAME_NONE, HS_E_NAME_FAILED, HS_E_NAME_TIMEOUT,
                                   -ENOMEM};
    uint32_t at = f.len ? below(f.len) : 0;
    for (uint32_t i = 0; i < f.len; i++, at = (at + 1) % f.len) {
        if (!f.asks[at].question)
            continue;
        int32_t err = errs[below(HS_ARRAY_LEN(errs))];
        answer(at, err, below(3) * 30, err ? 0 : 1 + below(HS_DNS_ADDRS_MAX));
        return;
    }
}

static void begin_one(uint32_t i)
{
    static const char *const names[] = {"a", "b", "a.one.test.", "localhost", "192.0.2.1", "c.d"};
    static const int families[] = {AF_UNSPEC, AF_INET, AF_INET6};
    heard *h = &lookups[i];
    if (h->op.fn || (h->families && !cancelled[i] && !h->ended))
        return;
    *h = (heard){0};
    cancelled[i] = false;
    if (below(6) == 0)
        h->cancel_in_answer = dns;
    start_family(h, names[below(HS_ARRAY_LEN(names))], families[below(3)]);
}

/* Returns false once the resolver is destroyed. */
static bool step(void)
{
    uint32_t i = below(LOOKUPS);
    switch (below(10)) {
    case 0:
    case 1:
    case 2:
        begin_one(i);
        break;
    case 3:
        cancelled[i] = cancelled[i] || lookups[i].op.fn;
        hs_dns_cancel(dns, &lookups[i].op);
        break;
    case 4:
        bench_run(&b, below(3) ? 1 : below(4000));
        break;
    case 5:
        hs_dns_reload();
        break;
    case 6:
        f.ask_err = hs_err_of(below(8) ? 0 : -ENOMEM);
        f.remake_err = hs_err_of(below(4) ? 0 : -ENOMEM);
        break;
    case 7:
        if (below(20) == 0) {
            hs_dns_destroy(dns);
            return false;
        }
        break;
    default:
        answer_one();
    }
    return true;
}

Test(net_dns_random, every_lookup_is_told_as_promised, .timeout = 300)
{
    uint32_t told = 0, ended_by_us = 0;
    for (uint64_t seed = 1; seed <= 400; seed++) {
        hs_dns_options o = {
            .queries_max = 1 + (uint32_t)seed % 5, .lookup_ms = 5000, .cache_off = seed % 3 == 0};
        state = seed * 0x9e3779b97f4a7c15u;
        memset(lookups, 0, sizeof lookups);
        memset(cancelled, 0, sizeof cancelled);
        open_dns(&o, "search one.test two.test\n", "192.0.2.9 b.two.test\n");
        bool there = true;
        for (uint32_t n = 0; there && n < 300 && f.len + 8 < ASKS_MAX; n++)
            there = step();
        if (there)
            hs_dns_destroy(dns);
        bench_run(&b, 1);
        cr_assert_geq(f.destroys, 1);
        for (uint32_t i = 0; i < LOOKUPS; i++) {
            const heard *h = &lookups[i];
            bool gone = cancelled[i] || h->cancel_in_answer;
            cr_assert_null(h->op.fn, "seed %llu", (unsigned long long)seed);
            cr_assert(gone || h->ended || !h->families, "seed %llu", (unsigned long long)seed);
            told += h->answers;
            ended_by_us += h->err[0].code == -ECANCELED || h->err[1].code == -ECANCELED;
        }
        end_bench();
    }
    cr_assert_gt(told, 1000);
    cr_assert_gt(ended_by_us, 200);
}
