/* In steady state a request takes nothing from the system's heap: counted on a whole server.
 *
 * One shard on io_uring serves FLOWS connections, each of which sends a batch of requests of every
 * kind (pipelined, bodies both ways, deferred, a head that comes in two pieces) in each round. A
 * gate holds the shard in a handler until all batches are written, so that each round needs the
 * most at once, whatever the scheduler does. Counted on the shard's thread, over several seconds
 * and thus over several trims: what hs_mem gave, and calls of the C heap and of mmap by anybody,
 * for which this program puts its own functions in front of the C library's. Not built under a
 * sanitizer, which does the same. */
#include <errno.h>
#include <poll.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "check.h"
#include "hs_app.h"
#include "hs_mem.h"

#define FLOWS 40
#define PIPELINED 16
#define BODY 700
#define WARM_ROUNDS 20
#define ROUNDS_MIN 60
#define STEADY_NS (UINT64_C(3500) * 1000000)
/* A round that comes so late lets the shard rest, and give memory back: not a steady state. */
#define GAP_NS_MAX (UINT64_C(600) * 1000000)
#define PATIENCE_MS (300 * 1000)
#define PATIENCE_NS ((uint64_t)PATIENCE_MS * 1000000)

/* ---- every call of the heap, by thread ---- */

static _Thread_local uint64_t heap_calls __attribute__((tls_model("initial-exec")));

void *__libc_malloc(size_t bytes);
void *__libc_calloc(size_t n, size_t bytes);
void *__libc_realloc(void *ptr, size_t bytes);
void *__libc_memalign(size_t align, size_t bytes);

void *malloc(size_t bytes)
{
    heap_calls++;
    return __libc_malloc(bytes);
}

void *calloc(size_t n, size_t bytes)
{
    heap_calls++;
    return __libc_calloc(n, bytes);
}

void *realloc(void *ptr, size_t bytes)
{
    heap_calls++;
    return __libc_realloc(ptr, bytes);
}

void *aligned_alloc(size_t align, size_t bytes)
{
    heap_calls++;
    return __libc_memalign(align, bytes);
}

int posix_memalign(void **out, size_t align, size_t bytes)
{
    heap_calls++;
    void *ptr = __libc_memalign(align, bytes);
    if (!ptr)
        return ENOMEM;
    *out = ptr;
    return 0;
}

void *mmap(void *addr, size_t len, int prot, int flags, int fd, off_t offset)
{
    heap_calls++;
    return (void *)syscall(SYS_mmap, addr, len, prot, flags, fd, offset);
}

/* ---- the server ---- */

/* Written by the shard before `gate_entered`, read by the client after it. */
/* Atomic, because the answer that hands them over travels through the kernel, unseen by TSan. */
static _Atomic(uint64_t) seen_takes, seen_calls;
static sem_t gate_entered, gate_open;

static void sem_take(sem_t *sem)
{
    while (sem_wait(sem) != 0)
        CHECK(errno == EINTR);
}

static void gate(hs_req *req, hs_res *res, void *ctx)
{
    (void)req;
    (void)ctx;
    seen_takes = hs_mem_system_takes();
    seen_calls = heap_calls;
    sem_post(&gate_entered);
    sem_take(&gate_open);
    hs_res_text(res, 200, HS_SPAN("open"));
}

static void plain(hs_req *req, hs_res *res, void *ctx)
{
    (void)req;
    (void)ctx;
    hs_res_text(res, 200, HS_SPAN("Hello, World!"));
}

static void echo_piece(hs_req *req, hs_span piece, bool last, void *ctx)
{
    (void)req;
    CHECK(hs_ok(hs_res_write(ctx, piece)));
    if (last)
        hs_res_end(ctx);
}

static void echo(hs_req *req, hs_res *res, void *ctx)
{
    uint64_t length;
    (void)ctx;
    if (!hs_req_content_length(req, &length))
        length = HS_LENGTH_UNKNOWN;
    CHECK(hs_ok(hs_req_body(req, echo_piece, res)));
    CHECK(hs_ok(hs_res_begin(res, 200, length)));
}

static void collected(hs_req *req, hs_span body, void *ctx)
{
    (void)req;
    hs_res_text(ctx, 200, body);
}

static void collect(hs_req *req, hs_res *res, void *ctx)
{
    (void)ctx;
    CHECK(hs_ok(hs_req_collect(req, 0, collected, res)));
}

typedef struct later_job {
    hs_timer timer;
    hs_res *res;
} later_job;

static void later_due(hs_timer *timer)
{
    hs_res_text(HS_CONTAINER_OF(timer, later_job, timer)->res, 200, HS_SPAN("later"));
}

static void later(hs_req *req, hs_res *res, void *ctx)
{
    (void)ctx;
    later_job *job = hs_arena_take(hs_req_arena(req), sizeof *job);
    CHECK(job);
    *job = (later_job){.res = res};
    CHECK(hs_ok(hs_req_defer(req)));
    CHECK(hs_ok(hs_timer_after(hs_req_shard(req), &job->timer, 1, later_due)));
}

/* ---- the client ---- */

typedef struct text {
    char bytes[16 * 1024];
    size_t len;
} text;

static text batch, answers, tail;
static int flows[FLOWS], control;

static void add(text *t, const char *s)
{
    size_t len = strlen(s);
    CHECK(t->len + len < sizeof t->bytes);
    memcpy(t->bytes + t->len, s, len);
    t->len += len;
}

/* An answer's bytes; its date is masked in what comes, too. */
static void add_answer(text *t, const char *fields, const char *body)
{
    add(t, "HTTP/1.1 200 OK\r\nDate: #############################\r\n");
    add(t, fields);
    add(t, "\r\n");
    add(t, body);
}

static void make_texts(void)
{
    char body[BODY + 1], head[128], fields[128];
    memset(body, 'b', BODY);
    body[BODY] = '\0';
    for (int i = 0; i < PIPELINED; i++) {
        add(&batch, "GET /plain HTTP/1.1\r\nHost: a\r\n\r\n");
        add_answer(&answers, "Content-Type: text/plain\r\nContent-Length: 13\r\n", "Hello, World!");
    }
    snprintf(head, sizeof head, "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n",
             BODY);
    snprintf(fields, sizeof fields, "Content-Length: %d\r\n", BODY);
    add(&batch, head);
    add(&batch, body);
    add_answer(&answers, fields, body);
    add(&batch, "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
                "5\r\nfirst\r\n6\r\nsecond\r\n0\r\n\r\n");
    add_answer(&answers, "Transfer-Encoding: chunked\r\n",
               "5\r\nfirst\r\n6\r\nsecond\r\n0\r\n\r\n");
    snprintf(head, sizeof head, "POST /collect HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n",
             BODY);
    snprintf(fields, sizeof fields, "Content-Type: text/plain\r\nContent-Length: %d\r\n", BODY);
    add(&batch, head);
    add(&batch, body);
    add_answer(&answers, fields, body);
    add(&batch, "GET /later HTTP/1.1\r\nHost: a\r\n\r\nGET /plain HTTP/1.1\r\nHo");
    add_answer(&answers, "Content-Type: text/plain\r\nContent-Length: 5\r\n", "later");
    add(&tail, "st: a\r\n\r\n");
}

static void write_all(int fd, const char *bytes, size_t len)
{
    for (size_t at = 0; at < len;) {
        ssize_t n = send(fd, bytes + at, len - at, MSG_NOSIGNAL);
        CHECK(n > 0);
        at += (size_t)n;
    }
}

/* Mask the dates: they stand at places that are known from what is expected. */
static void expect(int fd, const char *expected, size_t len)
{
    static char in[sizeof answers.bytes];
    for (size_t at = 0; at < len;) {
        struct pollfd p = {.fd = fd, .events = POLLIN};
        CHECK(poll(&p, 1, PATIENCE_MS) == 1);
        ssize_t n = recv(fd, in + at, len - at, 0);
        CHECK(n > 0);
        at += (size_t)n;
    }
    for (size_t i = 0; i < len; i++)
        CHECK(expected[i] == '#' || in[i] == expected[i]);
}

static int dial(const hs_addr *addr)
{
    int fd = socket(addr->sa.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK(fd >= 0);
    CHECK(connect(fd, &addr->sa.any, addr->len) == 0);
    return fd;
}

static uint64_t now_ns(void)
{
    struct timespec ts;
    CHECK(clock_gettime(CLOCK_MONOTONIC, &ts) == 0);
    return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

static void round_trip(void)
{
    static text open_answer, tail_answer;
    if (open_answer.len == 0) {
        add_answer(&open_answer, "Content-Type: text/plain\r\nContent-Length: 4\r\n", "open");
        add_answer(&tail_answer, "Content-Type: text/plain\r\nContent-Length: 13\r\n",
                   "Hello, World!");
    }
    static const char gate_text[] = "GET /gate HTTP/1.1\r\nHost: a\r\n\r\n";
    write_all(control, gate_text, sizeof gate_text - 1);
    sem_take(&gate_entered);
    for (int i = 0; i < FLOWS; i++)
        write_all(flows[i], batch.bytes, batch.len);
    sem_post(&gate_open);
    expect(control, open_answer.bytes, open_answer.len);
    for (int i = 0; i < FLOWS; i++)
        expect(flows[i], answers.bytes, answers.len);
    for (int i = 0; i < FLOWS; i++)
        write_all(flows[i], tail.bytes, tail.len);
    for (int i = 0; i < FLOWS; i++)
        expect(flows[i], tail_answer.bytes, tail_answer.len);
}

/* What was taken, in how many rounds and how much time. */
typedef struct taken {
    uint64_t takes, calls, ns;
    uint32_t rounds;
} taken;

/* Rounds that come close together, until one comes late or there is enough of them. The shard has
 * rested in a late one, and what it gave back it takes again: neither it nor the first few rounds
 * behind it count. */
static void add_stretch(taken *all)
{
    for (int i = 0; i < WARM_ROUNDS; i++)
        round_trip();
    uint64_t start = now_ns(), last = start, now;
    uint64_t takes = seen_takes, calls = seen_calls;
    taken here = {0};
    while (all->ns + here.ns < STEADY_NS || all->rounds + here.rounds < ROUNDS_MIN) {
        round_trip();
        now = now_ns();
        if (now - last > GAP_NS_MAX)
            break;
        last = now;
        here = (taken){seen_takes - takes, seen_calls - calls, now - start, here.rounds + 1};
    }
    all->takes += here.takes;
    all->calls += here.calls;
    all->ns += here.ns;
    all->rounds += here.rounds;
}

/* That the counters count at all is seen in what the first round took. */
static void measure(void)
{
    round_trip();
    CHECK(seen_takes > 0);
    CHECK(seen_calls > 0);
    taken all = {0};
    uint64_t end = now_ns() + PATIENCE_NS;
    while (all.ns < STEADY_NS || all.rounds < ROUNDS_MIN) {
        add_stretch(&all);
        if (now_ns() > end) {
            printf("SKIP: this machine is too busy: %u rounds close together in five minutes\n",
                   all.rounds);
            exit(77);
        }
    }
    printf("%u requests on %d connections: %llu from hs_mem, %llu from the C heap\n",
           all.rounds * FLOWS * (PIPELINED + 5), FLOWS, (unsigned long long)all.takes,
           (unsigned long long)all.calls);
    CHECK(all.takes == 0);
    CHECK(all.calls == 0);
}

int main(void)
{
    make_texts();
    CHECK(sem_init(&gate_entered, 0, 0) == 0);
    CHECK(sem_init(&gate_open, 0, 0) == 0);
    hs_app *app = hs_app_create();
    CHECK(app);
    hs_app_get(app, "/gate", gate, NULL);
    hs_app_get(app, "/plain", plain, NULL);
    hs_app_post(app, "/echo", echo, NULL);
    hs_app_post(app, "/collect", collect, NULL);
    hs_app_get(app, "/later", later, NULL);
    hs_addr addr;
    CHECK(hs_ok(hs_addr_parse(&addr, HS_SPAN("127.0.0.1:0"))));
    hs_app_options options;
    hs_http_options *http = hs_app_http_options(app);
    http->head_ms_max = http->body_ms_window = PATIENCE_MS; /* we may be held up */
    hs_app_options_init(&options);
    options.cores = 1;
    options.listen = &addr;
    options.listen_len = 1;
    options.log_level = HS_LOG_WARN;
    hs_group_block_signals();
    CHECK(hs_ok(hs_app_start(app, &options)));
    control = dial(hs_app_listen_addr(app, 0));
    for (int i = 0; i < FLOWS; i++)
        flows[i] = dial(hs_app_listen_addr(app, 0));
    measure();
    (void)close(control);
    for (int i = 0; i < FLOWS; i++)
        (void)close(flows[i]);
    hs_app_stop(app);
    CHECK(hs_app_join(app) == 0);
    hs_app_destroy(app);
    return 0;
}
