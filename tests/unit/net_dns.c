/* Lookups on a wire that the test is: who is asked for what and when, who hears of it, what is
 * kept; search domains, bounds, cancelling at every step, memory that fails. */
#include <unistd.h>

#include "bench.h"
#include "dns.h"

#define ASKS_MAX 400

typedef struct ask {
    void *question; /* NULL: answered */
    int family;
    char name[260];
} ask_made;

typedef struct fake {
    dns_wire wire;
    ask_made asks[ASKS_MAX];
    uint32_t len;
    uint32_t cancels;
    bool inside; /* a call into the resolver is under way: nothing may be heard */
    hs_microtask end_all;
    hs_err ask_err; /* what asking comes to */
} fake;

/* What one lookup heard. */
typedef struct heard {
    hs_dns_op op;
    uint32_t answers;
    hs_err err[2]; /* IPv6, IPv4 */
    uint32_t len[2];
    hs_addr first[2];
    bool told[2], ended;
    int families;
    hs_dns *cancel_in_answer; /* cancel the op in its first answer */
    struct heard *again;      /* start this lookup in the last answer */
} heard;

static bench b;
static fake f;
static hs_dns *dns;

static hs_err fake_ask(dns_wire *wire, const char *name, int family, void *question)
{
    cr_assert_eq(wire, &f.wire);
    cr_assert_lt(f.len, ASKS_MAX);
    if (!hs_ok(f.ask_err))
        return f.ask_err;
    ask_made *a = &f.asks[f.len++];
    a->question = question;
    a->family = family;
    snprintf(a->name, sizeof a->name, "%s", name);
    return HS_OK;
}

static void answer(uint32_t i, int32_t err, uint32_t ttl_s, uint32_t len)
{
    dns_reply r = {.err = hs_err_of(err), .ttl_s = ttl_s, .len = len};
    cr_assert_lt(i, f.len);
    cr_assert_not_null(f.asks[i].question);
    for (uint32_t k = 0; k < len; k++)
        r.ips[k].bytes[f.asks[i].family == AF_INET ? 3 : 15] = (uint8_t)(k + 1);
    void *question = f.asks[i].question;
    f.asks[i].question = NULL;
    f.wire.replied(f.wire.ctx, question, &r);
}

static void end_all(hs_microtask *task)
{
    cr_assert_eq(task, &f.end_all);
    for (uint32_t i = 0; i < f.len; i++)
        if (f.asks[i].question)
            answer(i, -ECANCELED, 0, 0);
    hs_shard_release(b.shard);
}

static void fake_cancel_all(dns_wire *wire)
{
    cr_assert_eq(wire, &f.wire);
    f.cancels++;
    if (f.end_all.fn)
        return;
    hs_shard_hold(b.shard);
    hs_microtask_post(b.shard, &f.end_all, end_all);
}

static void fake_destroy(dns_wire *wire)
{
    cr_assert_eq(wire, &f.wire);
    for (uint32_t i = 0; i < f.len; i++)
        cr_assert_null(f.asks[i].question);
}

static const dns_wire_ops fake_ops = {fake_ask, fake_cancel_all, fake_destroy};

static void open_dns(const hs_dns_options *o, const char *resolv, const char *hosts)
{
    char resolv_path[] = "/tmp/hs_resolv_XXXXXX", hosts_path[] = "/tmp/hs_hosts_XXXXXX";
    int fds[2] = {mkstemp(resolv_path), mkstemp(hosts_path)};
    cr_assert(fds[0] >= 0 && fds[1] >= 0);
    cr_assert_geq(write(fds[0], resolv, strlen(resolv)), 0);
    cr_assert_geq(write(fds[1], hosts, strlen(hosts)), 0);
    hs_dns_options own = o ? *o : (hs_dns_options){0};
    own.resolv_path = resolv_path;
    own.hosts_path = hosts_path;
    bench_init(&b, NULL);
    memset(&f, 0, sizeof f);
    f.wire.ops = &fake_ops;
    cr_assert(hs_ok(dns_create_on(b.shard, &own, &f.wire, &dns)));
    for (int i = 0; i < 2; i++)
        close(fds[i]);
    unlink(resolv_path);
    unlink(hosts_path);
}

static void close_dns(void)
{
    bench_run(&b, 1);
    hs_dns_destroy(dns);
    bench_fini(&b);
}

static void start_family(heard *h, const char *name, int family);

static void on_heard(hs_dns_op *op, const hs_dns_answer *a)
{
    heard *h = HS_CONTAINER_OF(op, heard, op);
    int i = a->family == AF_INET;
    cr_assert(!f.inside && !h->ended && !h->told[i]);
    cr_assert(i || a->family == AF_INET6);
    h->told[i] = true;
    h->answers++;
    h->err[i] = a->err;
    h->len[i] = a->len;
    cr_assert_eq(hs_ok(a->err), a->len > 0);
    for (uint32_t k = 0; k < a->len; k++) {
        cr_assert_eq(a->addrs[k].sa.any.sa_family, a->family);
        cr_assert_eq(hs_addr_port(&a->addrs[k]), 0);
    }
    if (a->len)
        h->first[i] = a->addrs[0];
    h->ended = !a->more;
    cr_assert_eq(h->ended, (int)h->answers == h->families);
    if (h->cancel_in_answer)
        hs_dns_cancel(h->cancel_in_answer, op);
    if (h->ended && h->again)
        start_family(h->again, "again.test", AF_INET);
}

static void start_family(heard *h, const char *name, int family)
{
    h->families = family == AF_UNSPEC ? 2 : 1;
    f.inside = true;
    hs_err err = hs_dns_start(dns, &h->op, hs_span_str(name), family, on_heard);
    cr_assert(hs_ok(err), "%s: %s", name, hs_err_name(err));
    f.inside = false;
}

static void start(heard *h, const char *name)
{
    start_family(h, name, AF_UNSPEC);
    bench_run(&b, 1);
}

/* That question `i` was put, and for what. */
static void assert_asked(uint32_t i, const char *name, int family)
{
    cr_assert_lt(i, f.len);
    cr_assert_str_eq(f.asks[i].name, name);
    cr_assert_eq(f.asks[i].family, family);
}

static void assert_first(const heard *h, int family, const char *is)
{
    char text[HS_ADDR_TEXT_BYTES];
    int i = family == AF_INET;
    cr_assert(h->told[i]);
    cr_assert_str_eq(hs_addr_format(&h->first[i], text), is);
}

static const int v6 = 0, v4 = 1;

/* ---- sources ---- */

Test(net_dns, each_family_is_told_as_soon_as_it_is_known)
{
    heard h = {0};
    open_dns(NULL, "", "");
    start(&h, "Both.test");
    cr_assert_eq(f.len, 2);
    assert_asked(0, "both.test.", AF_INET6);
    assert_asked(1, "both.test.", AF_INET);
    cr_assert_eq(h.answers, 0);
    answer(1, 0, 60, 2);
    cr_assert_eq(h.answers, 1);
    cr_assert_eq(h.len[v4], 2);
    assert_first(&h, AF_INET, "0.0.0.1:0");
    cr_assert(!h.ended);
    answer(0, 0, 60, 1);
    cr_assert(h.ended);
    assert_first(&h, AF_INET6, "[::1]:0");
    close_dns();
}

Test(net_dns, one_family_alone)
{
    heard h = {0};
    open_dns(NULL, "", "");
    start_family(&h, "four.test", AF_INET);
    bench_run(&b, 1);
    cr_assert_eq(f.len, 1);
    assert_asked(0, "four.test.", AF_INET);
    answer(0, 0, 60, 1);
    cr_assert(h.ended);
    close_dns();
}

Test(net_dns, numbers_localhost_and_hosts_are_known_here)
{
    static const struct {
        const char *name, *v6, *v4; /* NULL: none */
    } rows[] = {
        {"192.0.2.7", NULL, "192.0.2.7:0"},      {"[2001:db8::7]", "[2001:db8::7]:0", NULL},
        {"localhost", "[::1]:0", "127.0.0.1:0"}, {"x.localhost.", "[::1]:0", "127.0.0.1:0"},
        {"FILE.test", NULL, "192.0.2.1:0"},      {"six.test.", "[2001:db8::1]:0", NULL},
    };
    open_dns(NULL, "search one.test\n",
             "192.0.2.1 file.test\n2001:db8::1 six.test\n192.0.2.3 localhost\n");
    for (size_t i = 0; i < HS_ARRAY_LEN(rows); i++) {
        heard h = {0};
        start(&h, rows[i].name);
        cr_assert(h.ended, "%s", rows[i].name);
        cr_assert_eq(h.err[v6].code, rows[i].v6 ? 0 : HS_E_NAME_NONE);
        cr_assert_eq(h.err[v4].code, rows[i].v4 ? 0 : HS_E_NAME_NONE);
        if (rows[i].v6)
            assert_first(&h, AF_INET6, rows[i].v6);
        if (rows[i].v4)
            assert_first(&h, AF_INET, rows[i].v4);
    }
    cr_assert_eq(f.len, 0);
    close_dns();
}

Test(net_dns, what_is_no_name_is_refused_at_once)
{
    heard h = {0};
    open_dns(NULL, "", "");
    cr_assert_eq(hs_dns_start(dns, &h.op, HS_SPAN("a..b"), AF_UNSPEC, on_heard).code,
                 HS_E_NAME_NONE);
    cr_assert_eq(hs_dns_start(dns, &h.op, HS_SPAN("127.1"), AF_INET, on_heard).code,
                 HS_E_NAME_NONE);
    cr_assert_null(h.op.fn);
    hs_dns_cancel(dns, &h.op); /* idle: nothing */
    bench_run(&b, 10);
    cr_assert_eq(h.answers, 0);
    close_dns();
}

/* ---- search ---- */

Test(net_dns, a_domain_is_left_when_neither_family_is_there)
{
    heard h = {0};
    open_dns(NULL, "search one.test two.test\n", "");
    start(&h, "a");
    assert_asked(0, "a.one.test.", AF_INET6);
    assert_asked(1, "a.one.test.", AF_INET);
    answer(0, HS_E_NAME_NONE, 0, 0);
    cr_assert_eq(f.len, 2); /* the other may still be there */
    cr_assert_eq(h.answers, 0);
    answer(1, HS_E_NAME_NONE, 0, 0);
    cr_assert_eq(f.len, 4);
    assert_asked(2, "a.two.test.", AF_INET6);
    answer(3, 0, 60, 1);
    cr_assert_eq(h.answers, 1);
    answer(2, HS_E_NAME_NONE, 0, 0);
    cr_assert(h.ended);
    cr_assert_eq(h.err[v6].code, HS_E_NAME_NONE);
    cr_assert_eq(h.len[v4], 1);
    cr_assert_eq(f.len, 4);
    close_dns();
}

Test(net_dns, none_of_one_family_is_told_with_the_others_address)
{
    heard h = {0};
    open_dns(NULL, "", "");
    start(&h, "a.test");
    answer(0, HS_E_NAME_NONE, 0, 0);
    cr_assert_eq(h.answers, 0); /* there could be another candidate */
    answer(1, 0, 60, 1);
    cr_assert(h.ended);
    cr_assert_eq(h.err[v6].code, HS_E_NAME_NONE);
    cr_assert_eq(h.len[v4], 1);
    close_dns();
}

Test(net_dns, after_the_last_candidate_there_is_none)
{
    heard h = {0};
    open_dns(NULL, "search one.test\n", "");
    start(&h, "a");
    for (uint32_t i = 0; i < 4; i++)
        answer(i, HS_E_NAME_NONE, 0, 0);
    assert_asked(2, "a.", AF_INET6);
    cr_assert(h.ended);
    cr_assert_eq(h.err[v6].code, HS_E_NAME_NONE);
    cr_assert_eq(h.err[v4].code, HS_E_NAME_NONE);
    close_dns();
}

Test(net_dns, a_failure_ends_the_search)
{
    heard h = {0};
    open_dns(NULL, "search one.test\n", "");
    start(&h, "a");
    answer(0, HS_E_NAME_FAILED, 0, 0);
    cr_assert_eq(h.answers, 0);
    answer(1, HS_E_NAME_NONE, 0, 0);
    cr_assert(h.ended);
    cr_assert_eq(h.err[v6].code, HS_E_NAME_FAILED);
    cr_assert_eq(h.err[v4].code, HS_E_NAME_FAILED);
    cr_assert_eq(f.len, 2);
    close_dns();
}

Test(net_dns, a_failure_of_one_family_does_not_hide_the_other)
{
    heard h = {0};
    open_dns(NULL, "", "");
    start(&h, "a.test");
    answer(1, 0, 60, 1);
    answer(0, HS_E_NAME_TIMEOUT, 0, 0);
    cr_assert(h.ended);
    cr_assert_eq(h.err[v6].code, HS_E_NAME_TIMEOUT);
    cr_assert_eq(h.len[v4], 1);
    close_dns();
}

/* ---- the cache ---- */

Test(net_dns, an_answer_is_kept_for_its_ttl)
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

Test(net_dns, how_long_what_is_kept)
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

Test(net_dns, what_was_not_used_for_longest_goes_first)
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

Test(net_dns, memory_of_what_is_over_returns)
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

/* ---- several at once ---- */

Test(net_dns, equal_questions_are_asked_once)
{
    heard h[3];
    memset(h, 0, sizeof h);
    open_dns(NULL, "", "");
    start(&h[0], "a.test");
    start(&h[1], "A.TEST.");
    start_family(&h[2], "a.test", AF_INET);
    bench_run(&b, 1);
    cr_assert_eq(f.len, 2);
    hs_dns_cancel(dns, &h[0].op);
    answer(1, 0, 0, 1); /* TTL 0: those that wait hear it all the same */
    answer(0, HS_E_NAME_NONE, 0, 0);
    cr_assert_eq(h[0].answers, 0);
    cr_assert(h[1].ended);
    cr_assert(h[2].ended);
    cr_assert_eq(f.len, 2);
    close_dns();
}

Test(net_dns, questions_past_the_bound_wait_in_order)
{
    hs_dns_options o = {.queries_max = 2};
    heard h[5];
    memset(h, 0, sizeof h);
    static const char *const names[] = {"a.test", "b.test", "c.test", "d.test", "c.test"};
    open_dns(&o, "", "");
    for (int i = 0; i < 5; i++)
        start_family(&h[i], names[i], AF_INET);
    bench_run(&b, 1);
    cr_assert_eq(f.len, 2);
    answer(1, HS_E_NAME_NONE, 0, 0);
    cr_assert_eq(f.len, 3);
    assert_asked(2, "c.test.", AF_INET);
    /* One that nobody waits for any more is not asked. */
    hs_dns_cancel(dns, &h[3].op);
    answer(2, 0, 0, 1);
    cr_assert(h[2].ended && h[4].ended);
    cr_assert_eq(f.len, 3);
    answer(0, 0, 0, 1);
    cr_assert_eq(f.len, 3);
    close_dns();
}

Test(net_dns, past_the_queue_there_is_a_clear_error)
{
    hs_dns_options o = {.queries_max = 1};
    static heard h[HS_DNS_QUEUE_MAX + 2];
    memset(h, 0, sizeof h);
    open_dns(&o, "", "");
    for (uint32_t i = 0; i < HS_ARRAY_LEN(h); i++) {
        char name[20];
        snprintf(name, sizeof name, "n%u.test", i);
        start_family(&h[i], name, AF_INET);
    }
    bench_run(&b, 1);
    cr_assert_eq(f.len, 1);
    cr_assert(h[HS_DNS_QUEUE_MAX + 1].ended);
    cr_assert_eq(h[HS_DNS_QUEUE_MAX + 1].err[v4].code, HS_E_LIMIT);
    cr_assert(!h[HS_DNS_QUEUE_MAX].ended);
    for (uint32_t i = 0; i < HS_ARRAY_LEN(h); i++)
        hs_dns_cancel(dns, &h[i].op);
    bench_run(&b, 1);
    cr_assert_eq(f.len, 1);
    cr_assert_eq(f.cancels, 1);
    close_dns();
}

/* ---- ends ---- */

Test(net_dns, a_lookup_ends_in_time)
{
    hs_dns_options o = {.lookup_ms = 3000};
    heard h = {0}, half = {0};
    open_dns(&o, "", "");
    start(&h, "a.test");
    start(&half, "b.test");
    answer(3, 0, 60, 1);
    bench_run(&b, 2900);
    cr_assert_eq(h.answers, 0);
    bench_run(&b, 200);
    cr_assert(h.ended);
    cr_assert_eq(h.err[v6].code, HS_E_NAME_TIMEOUT);
    cr_assert_eq(h.err[v4].code, HS_E_NAME_TIMEOUT);
    cr_assert(half.ended);
    cr_assert_eq(half.err[v6].code, HS_E_NAME_TIMEOUT);
    cr_assert_eq(half.len[v4], 1);
    /* Nobody waits any more, so nothing is under way. */
    bench_run(&b, 1);
    cr_assert_eq(f.cancels, 1);
    close_dns();
}

Test(net_dns, cancel_at_each_step)
{
    for (int step = 0; step < 5; step++) {
        hs_dns_options o = {.queries_max = step == 4 ? 1 : 0};
        heard h = {0}, other = {0};
        open_dns(&o, "search one.test\n", "");
        if (step == 4)
            start_family(&other, "other.test", AF_INET);
        start_family(&h, "a", AF_UNSPEC);
        if (step > 0)
            bench_run(&b, 1);
        if (step == 2)
            answer(0, HS_E_NAME_NONE, 0, 0);
        if (step == 3)
            answer(1, 0, 60, 1);
        uint32_t before = h.answers;
        hs_dns_cancel(dns, &h.op);
        hs_dns_cancel(dns, &h.op);
        cr_assert_null(h.op.fn);
        bench_run(&b, 100);
        if (step == 4) {
            cr_assert_eq(f.len, 1);
            answer(0, 0, 60, 1);
            cr_assert(other.ended);
        }
        cr_assert_eq(h.answers, before);
        close_dns();
    }
}

Test(net_dns, cancel_inside_an_answer)
{
    heard h = {0}, g = {0};
    open_dns(NULL, "", "");
    h.cancel_in_answer = dns;
    start(&h, "a.test");
    answer(0, 0, 60, 1);
    cr_assert_eq(h.answers, 1);
    bench_run(&b, 1);
    cr_assert_eq(f.cancels, 1);
    g.cancel_in_answer = dns; /* and where both are known at once */
    start(&g, "localhost");
    cr_assert_eq(g.answers, 1);
    close_dns();
}

Test(net_dns, another_lookup_from_the_last_answer)
{
    heard h = {0}, again = {0};
    open_dns(NULL, "", "");
    h.again = &again;
    start(&h, "a.test");
    answer(0, 0, 60, 1);
    answer(1, 0, 60, 1);
    cr_assert(h.ended);
    bench_run(&b, 1);
    assert_asked(2, "again.test.", AF_INET);
    answer(2, 0, 60, 1);
    cr_assert(again.ended);
    close_dns();
}

Test(net_dns, a_wire_that_cannot_ask)
{
    heard h = {0}, queued = {0}, first = {0};
    hs_dns_options o = {.queries_max = 1};
    open_dns(&o, "search one.test\n", "");
    f.ask_err = hs_err_of(-ENOMEM);
    start(&h, "a");
    cr_assert(h.ended);
    cr_assert_eq(h.err[v6].code, -ENOMEM);
    cr_assert_eq(h.err[v4].code, -ENOMEM);
    f.ask_err = HS_OK;
    start_family(&first, "b.test", AF_INET);
    start_family(&queued, "c.test", AF_INET);
    bench_run(&b, 1);
    f.ask_err = hs_err_of(-ENOMEM);
    answer(0, 0, 60, 1);
    cr_assert(queued.ended);
    cr_assert_eq(queued.err[v4].code, -ENOMEM);
    close_dns();
}

Test(net_dns, each_piece_of_memory_fails_once)
{
    uint32_t whole = 0;
    for (uint64_t i = 1; whole < 3; i++) {
        heard h = {0};
        open_dns(NULL, "", "");
        b.fail_at = b.takes + i;
        h.families = 2;
        hs_err err = hs_dns_start(dns, &h.op, HS_SPAN("a.test"), AF_UNSPEC, on_heard);
        if (hs_ok(err)) {
            bench_run(&b, 1);
            for (uint32_t k = 0; k < f.len; k++)
                if (f.asks[k].question)
                    answer(k, 0, 60, 5);
            cr_assert(h.ended);
            for (int k = 0; k < 2; k++)
                cr_assert(hs_ok(h.err[k]) || h.err[k].code == -ENOMEM);
        } else {
            cr_assert_eq(err.code, -ENOMEM);
        }
        whole += b.fails == 0;
        b.fail_at = 0;
        close_dns();
        cr_assert_lt(i, 100);
    }
}

Test(net_dns, making_one_with_memory_that_fails)
{
    bench_init(&b, NULL);
    memset(&f, 0, sizeof f);
    f.wire.ops = &fake_ops;
    hs_dns_options o = {.hosts_path = "/etc/hosts"};
    hs_err err;
    uint64_t i = 0;
    do {
        size_t before = b.pieces_out;
        b.fail_at = b.takes + ++i;
        err = dns_create_on(b.shard, &o, &f.wire, &dns);
        if (!hs_ok(err)) {
            cr_assert_eq(err.code, -ENOMEM);
            cr_assert_eq(b.pieces_out, before);
        }
        cr_assert_lt(i, 100);
    } while (!hs_ok(err));
    cr_assert_gt(i, 2);
    b.fail_at = 0;
    hs_dns_destroy(dns);
    hs_dns_destroy(NULL);
    bench_fini(&b);
}
