/* The resolver against a real name server: what answers come to, that the shard goes on while a
 * server does not answer, and that nothing is left at any end.
 *
 * A plain program, so that it runs under ThreadSanitizer too. Each scenario is one shard with one
 * resolver, whose lookups follow each other. c-ares takes its memory from here, where each piece
 * can fail. */
#include <ares.h>
#include <dirent.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "check.h"
#include "dns_server.h"
#include "hs_dns.h"
#include "hs_group.h"

/* LATE: any, and the server may be held up for longer than it is waited for: then once more. */
enum { ANY = -1, LATE = -2, ERR_ANY = 1000 };

/* One lookup, and what it must come to. */
typedef struct step {
    const char *name;
    int32_t err[2]; /* IPv6, IPv4; ERR_ANY: any error */
    uint32_t len[2];
    int asked; /* how many questions reach the server for it; ANY; LATE */
} step;

/* What runs now. Only its shard touches it while that is there. */
static struct {
    const char *name;
    hs_dns_options options;
    void (*begin)(void); /* NULL: the steps */
    void (*told)(void);  /* a lookup of `begin` has ended */
    const step *steps, *at;
    hs_shard *shard;
    hs_dns *dns;
    hs_dns_op op;
    int32_t create_err;
    hs_err err[2];
    uint32_t len[2], asked_before;
    bool ended;
    uint32_t ticks, ticks_until;
    hs_timer timer;
    int done[2]; /* a pipe: the scenario is over */
} run;

static dns_server *server;
static char resolv_path[] = "/tmp/hs_resolv_XXXXXX";

/* ---- memory that is counted, and fails ---- */

static struct {
    long takes, fail_at, out;
    long made_takes; /* what a resolver that is made takes */
} heap;              /* c-ares', used by one thread at a time */

static void *heap_take(size_t bytes)
{
    heap.takes++;
    if (heap.fail_at && heap.takes == heap.fail_at)
        return NULL;
    void *ptr = malloc(bytes ? bytes : 1);
    heap.out += ptr != NULL;
    return ptr;
}

static void heap_give(void *ptr)
{
    heap.out -= ptr != NULL;
    free(ptr);
}

static void *heap_again(void *ptr, size_t bytes)
{
    if (!ptr)
        return heap_take(bytes);
    heap.takes++;
    if (heap.fail_at && heap.takes == heap.fail_at)
        return NULL;
    return realloc(ptr, bytes);
}

static struct {
    hs_mem mem;
    long takes, fail_at, out;
    bool on; /* the scenario has begun: before, others take memory as well */
} own;

static void *own_take(void *ctx, size_t bytes, size_t align)
{
    (void)ctx;
    if (own.on && ++own.takes == own.fail_at)
        return NULL;
    own.out += own.on;
    return hs_mem_take(hs_mem_system(), bytes, align);
}

static void own_give(void *ctx, void *ptr, size_t bytes, size_t align)
{
    (void)ctx;
    hs_mem_give(hs_mem_system(), ptr, bytes, align);
}

static uint32_t open_files(void)
{
    uint32_t n = 0;
    DIR *dir = opendir("/proc/self/fd");
    CHECK(dir);
    while (readdir(dir))
        n++;
    closedir(dir);
    return n;
}

/* ---- one scenario ---- */

static void over(void)
{
    CHECK(write(run.done[1], "x", 1) == 1);
}

static void next_step(void);

static void check_step(const step *s)
{
    for (int i = 0; i < 2; i++) {
        bool fine = s->err[i] == ERR_ANY ? !hs_ok(run.err[i]) : run.err[i].code == s->err[i];
        if (!fine || run.len[i] != s->len[i])
            fprintf(stderr, "%s, IPv%d: %s, %u\n", s->name, i ? 4 : 6, hs_err_name(run.err[i]),
                    run.len[i]);
        CHECK(fine);
        CHECK(run.len[i] == s->len[i]);
    }
    uint32_t asked = dns_server_asked(server) - run.asked_before;
    if (s->asked >= 0 && asked != (uint32_t)s->asked)
        fprintf(stderr, "%s: %u questions\n", s->name, asked);
    CHECK(s->asked < 0 || asked == (uint32_t)s->asked);
}

static void on_answer(hs_dns_op *op, const hs_dns_answer *a)
{
    CHECK(op == &run.op && !run.ended);
    int i = a->family == AF_INET;
    run.err[i] = a->err;
    run.len[i] = a->len;
    for (uint32_t k = 0; k < a->len; k++)
        CHECK(a->addrs[k].sa.any.sa_family == a->family && hs_addr_port(&a->addrs[k]) == 0);
    if (a->more)
        return;
    run.ended = true;
    if (run.told)
        run.told();
    else
        next_step();
}

static void look_up(const char *name)
{
    run.ended = false;
    run.asked_before = dns_server_asked(server);
    hs_err err = hs_dns_start(run.dns, &run.op, hs_span_str(name), AF_UNSPEC, on_answer);
    if (hs_ok(err))
        return;
    CHECK(err.code == -ENOMEM);
    run.err[0] = run.err[1] = err;
    run.ended = true;
    if (run.told)
        run.told();
}

static bool none_came(void)
{
    return run.err[0].code == HS_E_NAME_TIMEOUT || run.err[1].code == HS_E_NAME_TIMEOUT;
}

static void next_step(void)
{
    if (run.at && run.at->asked == LATE && none_came() && ++run.ticks < 2000) {
        look_up(run.at->name);
        return;
    }
    if (run.at) {
        check_step(run.at);
        run.at++;
    } else {
        run.at = run.steps;
    }
    if (run.at->name)
        look_up(run.at->name);
    else
        over();
}

static hs_err on_start(hs_shard *shard, void *ctx)
{
    (void)ctx;
    run.shard = shard;
    own.on = true;
    hs_err err = hs_dns_create(shard, &run.options, &run.dns);
    heap.made_takes = heap.takes;
    if (!hs_ok(err)) {
        CHECK(err.code == -ENOMEM || err.code == run.create_err);
        run.dns = NULL;
        over();
    } else if (run.begin) {
        run.begin();
    } else {
        next_step();
    }
    return HS_OK;
}

static void on_stop(hs_shard *shard, void *ctx)
{
    (void)shard, (void)ctx;
    hs_timer_cancel(run.shard, &run.timer);
    if (run.dns)
        hs_dns_cancel(run.dns, &run.op);
}

static void on_end(hs_shard *shard, void *ctx)
{
    (void)shard, (void)ctx;
    hs_dns_destroy(run.dns);
    own.on = false;
}

static void run_scenario(const char *name)
{
    char byte;
    hs_group *group;
    hs_group_options o;
    uint32_t files = open_files();
    run.name = name;
    run.at = NULL;
    run.ticks = 0;
    memset(&run.op, 0, sizeof run.op);
    own.takes = heap.takes = 0;
    run.options.servers = run.options.servers ? run.options.servers : dns_server_addr(server);
    run.options.resolv_path = resolv_path;
    run.options.hosts_path = "";
    CHECK(pipe(run.done) == 0);
    hs_group_options_init(&o);
    o.shards = 1;
    o.pin_off = true;
    o.log_level = HS_LOG_WARN;
    o.mem = &own.mem;
    o.start = on_start;
    o.stop = on_stop;
    o.end = on_end;
    CHECK(hs_ok(hs_group_start(&o, &group)));
    CHECK(read(run.done[0], &byte, 1) == 1);
    hs_group_stop(group);
    hs_group_join(group);
    close(run.done[0]);
    close(run.done[1]);
    CHECK(open_files() == files);
    CHECK(heap.out == 0);
    run.options = (hs_dns_options){0};
    run.begin = run.told = NULL;
}

/* ---- what answers come to ---- */

#define NONE HS_E_NAME_NONE
#define FAILED HS_E_NAME_FAILED

static void test_answers(void)
{
    static const step steps[] = {
        {"both.test", {0, 0}, {1, 2}, 2},
        {"BOTH.test.", {0, 0}, {1, 2}, 0}, /* kept */
        {"four.test", {NONE, 0}, {0, 1}, 2},
        {"four.test", {NONE, 0}, {0, 1}, 0},
        {"six.test", {0, NONE}, {1, 0}, 2},
        {"one", {NONE, 0}, {0, 1}, 2}, /* by its search domain */
        {"zero.test", {NONE, 0}, {0, 1}, 2},
        {"zero.test", {NONE, 0}, {0, 1}, 1},  /* a TTL of 0: asked again */
        {"alias.test", {NONE, 0}, {0, 1}, 2}, /* an alias of an alias */
        {"alias.test", {NONE, 0}, {0, 1}, 1}, /* whose TTL is 0 in the middle */
        {"dangling.test.", {NONE, NONE}, {0, 0}, 2},
        {"none.test", {NONE, NONE}, {0, 0}, 6}, /* as it is, and in each search domain */
        {"none.test", {NONE, NONE}, {0, 0}, 0},
        {"many.test", {0, 0}, {32, 32}, 4}, /* each by UDP, cut, and then by TCP */
        {"servfail.test", {FAILED, FAILED}, {0, 0}, ANY},
        {"servfail", {NONE, 0}, {0, 1}, ANY}, /* the first search domain fails */
        {"edns-format.test.", {NONE, 0}, {0, 1}, 2},
        {"edns-notimp.test.", {NONE, 0}, {0, 1}, 2},
        {"edns-badvers.test.", {NONE, 0}, {0, 1}, 2},
        {"edns-dropped.test.", {NONE, 0}, {0, 1}, 2},
        {"refused.test", {FAILED, FAILED}, {0, 0}, ANY},
        {"spoofed.test", {NONE, 0}, {0, 1}, 2}, /* what nobody asked for is passed over */
        {"localhost", {0, 0}, {1, 1}, 0},
        {"192.0.2.1", {NONE, 0}, {0, 1}, 0},
        {NULL, {0, 0}, {0, 0}, 0},
    };
    run.steps = steps;
    run.options.try_ms = 20000; /* nothing is asked twice on a slow machine */
    run.options.lookup_ms = 60000;
    run_scenario("answers");
    CHECK(dns_server_asked_tcp(server) == 2);
}

static void test_silence(void)
{
    static const step steps[] = {
        {"silent.test.", {HS_E_NAME_TIMEOUT, HS_E_NAME_TIMEOUT}, {0, 0}, ANY},
        {"garbage.test.", {ERR_ANY, ERR_ANY}, {0, 0}, ANY}, /* c-ares 1.34: no answer at all */
        {"four.test", {NONE, 0}, {0, 1}, LATE},
        {NULL, {0, 0}, {0, 0}, 0},
    };
    run.steps = steps;
    run.options.try_ms = 50;
    run.options.tries = 2;
    run_scenario("a server that does not answer");
    run.steps = steps;
    run.options.lookup_ms = 100;
    run_scenario("a lookup that ends before its questions");
}

/* A server that is there and says nothing, and one whose host says that it is not there: a socket
 * that is connected elsewhere takes nothing from others. */
static int other_server(bool refuses, char *addr, size_t room)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t len = sizeof a;
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    CHECK(fd >= 0 && bind(fd, (struct sockaddr *)&a, sizeof a) == 0);
    CHECK(getsockname(fd, (struct sockaddr *)&a, &len) == 0);
    snprintf(addr, room, "127.0.0.1:%u", ntohs(a.sin_port));
    CHECK(!refuses || connect(fd, (struct sockaddr *)&a, sizeof a) == 0);
    return fd;
}

static void test_other_servers(void)
{
    static const step fine[] = {{"both.test", {0, 0}, {1, 2}, LATE}, {NULL, {0, 0}, {0, 0}, 0}};
    static const step sure[] = {{"both.test", {0, 0}, {1, 2}, ANY}, {NULL, {0, 0}, {0, 0}, 0}};
    static const step gone[] = {{"both.test", {FAILED, FAILED}, {0, 0}, ANY},
                                {NULL, {0, 0}, {0, 0}, 0}};
    char addr[32], both[80];
    for (int refuses = 0; refuses < 2; refuses++) {
        int fd = other_server(refuses, addr, sizeof addr);
        snprintf(both, sizeof both, "%s,%s", addr, dns_server_addr(server));
        run.steps = refuses ? sure : fine;
        run.options.servers = both;
        /* A refusal is noticed: a time limit ends the lookup first. */
        run.options.try_ms = refuses ? 300000 : 100;
        run.options.lookup_ms = refuses ? 200000 : 0;
        run_scenario("the second server answers");
        if (refuses) {
            run.steps = gone;
            run.options.servers = addr;
            run.options.try_ms = 300000;
            run.options.lookup_ms = 200000;
            run_scenario("nobody is there");
        }
        close(fd);
    }
}

/* ---- the shard goes on ---- */

static void on_tick(hs_timer *timer)
{
    CHECK(timer == &run.timer);
    if (++run.ticks == run.ticks_until) {
        CHECK(!run.ended);
        dns_server_release(server);
        return;
    }
    CHECK(hs_ok(hs_timer_after(run.shard, &run.timer, 1, on_tick)));
}

static void begin_late(void)
{
    look_up("a.later.test");
    CHECK(hs_ok(hs_timer_after(run.shard, &run.timer, 1, on_tick)));
}

static void told_late(void)
{
    CHECK(run.ticks == run.ticks_until);
    CHECK(hs_ok(run.err[0]) && hs_ok(run.err[1]));
    over();
}

static void test_timers_fire_meanwhile(void)
{
    run.begin = begin_late;
    run.told = told_late;
    run.ticks_until = 50;
    run.options.try_ms = 60000;
    run.options.lookup_ms = 120000;
    run_scenario("timers fire while a server does not answer");
}

static void cancel_tick(hs_timer *timer)
{
    /* At each of several moments, so that a socket is there or is not. */
    hs_dns_cancel(run.dns, &run.op);
    if (++run.ticks == 8) {
        over();
        return;
    }
    look_up("silent.test.");
    CHECK(hs_ok(hs_timer_after(run.shard, timer, run.ticks, cancel_tick)));
}

static void begin_cancels(void)
{
    cancel_tick(&run.timer);
}

static void begin_silent(void)
{
    look_up("silent.test.");
    over(); /* and the stop cancels it */
}

static void told_never(void)
{
    CHECK(!"an answer that was cancelled");
}

static void test_cancel(void)
{
    run.begin = begin_cancels;
    run.told = told_never;
    run.options.try_ms = run.options.lookup_ms = 300000;
    run_scenario("cancel");
    run.begin = begin_silent;
    run.told = told_never;
    run.options.try_ms = run.options.lookup_ms = 300000;
    run_scenario("a stop while a server does not answer");
}

/* ---- many at once ---- */

#define CROWD 300

static struct crowd {
    hs_dns_op op;
    uint32_t answers;
} crowd[CROWD];
static uint32_t crowd_left;

static void crowd_answer(hs_dns_op *op, const hs_dns_answer *a)
{
    struct crowd *c = HS_CONTAINER_OF(op, struct crowd, op);
    CHECK(a->err.code == (c == &crowd[0] ? 0 : HS_E_NAME_NONE));
    c->answers++;
    CHECK(a->more == (c->answers < 2));
    if (!a->more && --crowd_left == 0)
        over();
}

static void begin_crowd(void)
{
    memset(crowd, 0, sizeof crowd);
    crowd_left = CROWD;
    for (uint32_t i = 0; i < CROWD; i++) {
        char name[32];
        snprintf(name, sizeof name, i ? "n%u.test." : "both.test.", i);
        CHECK(
            hs_ok(hs_dns_start(run.dns, &crowd[i].op, hs_span_str(name), AF_UNSPEC, crowd_answer)));
    }
}

static void test_crowd(void)
{
    /* A server that nobody has asked yet: what was cancelled before may still be on its way. */
    dns_server_stop(server);
    server = dns_server_start();
    run.begin = begin_crowd;
    run.options.queries_max = 8;
    run.options.try_ms = 20000;
    run.options.lookup_ms = 60000;
    run_scenario("a crowd");
    CHECK(dns_server_asked(server) == 2 * CROWD);
}

/* ---- failures ---- */

static void begin_both(void)
{
    look_up("both.test.");
}

static void told_anything(void)
{
    for (int i = 0; i < 2; i++)
        CHECK(hs_ok(run.err[i]) || run.err[i].code == -ENOMEM || run.err[i].code == FAILED ||
              run.err[i].code == HS_E_NAME_TIMEOUT);
    over();
}

static long scenario_without_memory(long *fail_at, long at)
{
    *fail_at = at;
    run.begin = begin_both;
    run.told = told_anything;
    run.options.try_ms = 50;
    run.options.tries = 2;
    run_scenario("memory that fails");
    *fail_at = 0;
    return at;
}

static void test_memory(void)
{
    scenario_without_memory(&own.fail_at, 0);
    long takes = own.takes, first = heap.made_takes, last = heap.takes;
    CHECK(takes > 3 && first > 3 && last > first + 3);
    for (long i = 1; i <= takes; i++)
        scenario_without_memory(&own.fail_at, i);
    /* c-ares 1.34 itself loses a list when later steps of its making fail. */
    scenario_without_memory(&heap.fail_at, 1);
    for (long i = first + 1; i <= last; i++)
        scenario_without_memory(&heap.fail_at, i);
}

static struct rlimit files_were;

static void begin_without_files(void)
{
    /* c-ares gets the last free number; there is none for us. */
    int next = dup(0);
    struct rlimit few = files_were;
    CHECK(next >= 0);
    close(next);
    few.rlim_cur = (rlim_t)next + 1;
    CHECK(setrlimit(RLIMIT_NOFILE, &few) == 0);
    look_up("both.test.");
}

static void told_without_files(void)
{
    CHECK(setrlimit(RLIMIT_NOFILE, &files_were) == 0);
    CHECK(run.err[0].code == -EMFILE || run.err[0].code == FAILED);
    over();
}

static void test_files(void)
{
    CHECK(getrlimit(RLIMIT_NOFILE, &files_were) == 0);
    run.begin = begin_without_files;
    run.told = told_without_files;
    run_scenario("no files left");
}

static void test_bad_servers(void)
{
    static const char *const bad[] = {"nonsense", "192.0.2.1:x", "192.0.2.1,example.com"};
    for (size_t i = 0; i < HS_ARRAY_LEN(bad); i++) {
        run.create_err = HS_E_USAGE;
        run.begin = told_never;
        run.options.servers = bad[i];
        run_scenario("bad servers");
    }
}

int main(void)
{
    static const char resolv[] = "search search.test second.test\noptions ndots:1\n";
    int fd = mkstemp(resolv_path);
    CHECK(fd >= 0 && write(fd, resolv, sizeof resolv - 1) == (ssize_t)sizeof resolv - 1);
    close(fd);
    own.mem = (hs_mem){own_take, own_give, NULL};
    CHECK(ares_library_init_mem(ARES_LIB_INIT_ALL, heap_take, heap_give, heap_again) == 0);
    server = dns_server_start();
    test_answers();
    test_silence();
    test_other_servers();
    test_timers_fire_meanwhile();
    test_cancel();
    test_crowd();
    test_memory();
    test_files();
    test_bad_servers();
    dns_server_stop(server);
    unlink(resolv_path);
    printf("dns: answers, silence, cancels, failures are fine (c-ares %s)\n", ares_version(NULL));
    return 0;
}
