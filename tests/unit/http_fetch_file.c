/* Files as the bodies of requests: whole, in part, and those that change or cannot be read. */
#include <dirent.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "fetch_rig.h"

#define BYTES 150000u

static char byte_at(size_t at)
{
    return (char)('a' + (at * 31 + (at >> 8) * 7) % 26);
}

/* A file of that many bytes. */
static int make_file(size_t bytes)
{
    static char all[BYTES];
    int fd = memfd_create("body", MFD_CLOEXEC);
    cr_assert(fd >= 0 && bytes <= sizeof all);
    for (size_t i = 0; i < bytes; i++)
        all[i] = byte_at(i);
    cr_assert_eq(write(fd, all, bytes), (ssize_t)bytes);
    return fd;
}

static uint32_t open_files(void)
{
    uint32_t n = 0;
    DIR *dir = opendir("/proc/self/fd");
    cr_assert_not_null(dir);
    while (readdir(dir))
        n++;
    closedir(dir);
    return n;
}

static void post(got *g, int fd, uint64_t offset, uint64_t length, hs_cancel *cancel)
{
    hs_fetch_file file = {fd, offset, length};
    begin(g, URL, &(hs_fetch_options){.file = &file, .cancel = cancel});
}

/* The last request of a connection has these bytes of the file behind its head. */
static void expect_sent_on(uint32_t number, size_t offset, size_t len)
{
    const conn *c = conn_at(number);
    const char *end = strstr(c->last, "\r\n\r\n");
    char field[64];
    cr_assert_not_null(end);
    size_t head = (size_t)(end + 4 - c->last);
    snprintf(field, sizeof field, "\r\nContent-Length: %zu\r\n", len);
    cr_assert(strstr(c->last, field), "%s", c->last);
    cr_assert_eq(c->last_len, head + len);
    uint64_t sum = 0;
    for (size_t i = 0; i < c->last_len; i++)
        sum += (i + 1) * (uint8_t)(i < head ? c->last[i] : byte_at(offset + i - head));
    cr_assert_eq(c->last_sum, sum);
}

static void expect_sent(size_t offset, size_t len)
{
    expect_sent_on(0, offset, len);
}

Test(http_fetch_file, whole_or_in_part)
{
    static const struct {
        size_t bytes;
        uint64_t offset, length;
        size_t sent;
    } rows[] = {{BYTES, 0, HS_FETCH_REST, BYTES}, {BYTES, 77, HS_FETCH_REST, BYTES - 77},
                {BYTES, 65536, 65536, 65536},     {10, 3, 4, 4},
                {10, 10, HS_FETCH_REST, 0},       {0, 0, HS_FETCH_REST, 0}};
    for (size_t i = 0; i < HS_ARRAY_LEN(rows); i++) {
        got g;
        uint32_t before = open_files();
        int fd = make_file(rows[i].bytes);
        rig_init();
        post(&g, fd, rows[i].offset, rows[i].length, NULL);
        close(fd);
        bench_run(&r.b, 500);
        expect_hello(&g);
        cr_assert(strncmp(conn_at(0)->last, "POST /x ", 8) == 0);
        expect_sent(rows[i].offset, rows[i].sent);
        rig_fini();
        cr_assert_eq(open_files(), before);
    }
}

static int changing;

static void read_on(sim_world *w, sim_event *event)
{
    (void)w, (void)event;
    conn *c = conn_at(0);
    c->lazy = false;
    conn_read(c);
}

static void stop_reading(conn *c)
{
    c->lazy = true;
}

/* Only as much is sent as there was at the call. */
Test(http_fetch_file, one_that_grows)
{
    got g;
    int fd = make_file(1000);
    rig_init();
    post(&g, fd, 0, HS_FETCH_REST, NULL);
    cr_assert_eq(pwrite(fd, "zzzz", 4, 1000), 4);
    bench_run(&r.b, 50);
    expect_hello(&g);
    expect_sent(0, 1000);
    close(fd);
    rig_fini();
}

/* The first pieces are on their way, and the rest is gone. */
Test(http_fetch_file, one_that_shrinks)
{
    for (int early = 0; early < 2; early++) {
        got g;
        sim_event event = {0};
        static const size_t big = BYTES;
        changing = memfd_create("body", MFD_CLOEXEC);
        cr_assert_eq(ftruncate(changing, 100 * (off_t)big), 0);
        rig_prepare(NULL, NULL);
        r.on_open = stop_reading;
        cr_assert(hs_ok(rig_make()));
        post(&g, changing, 0, HS_FETCH_REST, NULL);
        if (!early)
            bench_run(&r.b, 50);
        cr_assert_eq(ftruncate(changing, 10), 0);
        sim_event_set(r.b.w, &event, 10 * HS_MSEC_NS, read_on);
        bench_run(&r.b, 500);
        expect_error(&g, HS_E_TRUNCATED, HS_FETCH_SEND, "became shorter");
        cr_assert_eq(r.requests, 0);
        cr_assert_eq(hs_client_conns(r.client), 0);
        close(changing);
        rig_fini();
    }
}

Test(http_fetch_file, those_that_cannot_be_read)
{
    got g;
    int ends[2], fd = make_file(10);
    char path[64];
    uint32_t before = open_files();
    rig_init();
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    int deaf = open(path, O_WRONLY | O_CLOEXEC);
    cr_assert_geq(deaf, 0);
    post(&g, deaf, 0, HS_FETCH_REST, NULL);
    bench_run(&r.b, 50);
    expect_error(&g, -EBADF, HS_FETCH_SEND, "the file of the request's body cannot be read");
    close(deaf);
    post(&g, deaf, 0, HS_FETCH_REST, NULL);
    bench_run(&r.b, 10);
    expect_error(&g, -EBADF, HS_FETCH_START, "descriptor");
    cr_assert_eq(pipe2(ends, O_CLOEXEC), 0);
    post(&g, ends[0], 0, HS_FETCH_REST, NULL);
    bench_run(&r.b, 10);
    expect_error(&g, HS_E_USAGE, HS_FETCH_START, "no regular file");
    close(ends[0]);
    close(ends[1]);
    post(&g, fd, 11, HS_FETCH_REST, NULL);
    bench_run(&r.b, 10);
    expect_error(&g, HS_E_USAGE, HS_FETCH_START, "no part of its file");
    post(&g, fd, 5, 6, NULL);
    bench_run(&r.b, 10);
    expect_error(&g, HS_E_USAGE, HS_FETCH_START, "no part of its file");
    /* Where it never comes to reading. */
    reach("192.0.2.1:0", SIM_REACH_REFUSED, 1);
    post(&g, fd, 0, HS_FETCH_REST, NULL);
    bench_run(&r.b, 50);
    expect_error(&g, -ECONNREFUSED, HS_FETCH_CONNECT, "");
    cr_assert_eq(open_files(), before);
    close(fd);
    rig_fini();
}

/* Whoever gives up at each step, while a piece is read as well. */
Test(http_fetch_file, given_up_at_each_step)
{
    uint32_t before = open_files();
    for (uint64_t turns = 0; turns < 48; turns++) {
        got g;
        int fd = make_file(70000);
        rig_init();
        hs_cancel *cancel = hs_cancel_create(r.b.shard);
        post(&g, fd, 0, HS_FETCH_REST, cancel);
        close(fd);
        for (uint64_t i = 0; i < turns / 2; i++)
            shard_turn(r.b.shard, true);
        if (turns & 1)
            hs_cancel_fire(cancel, hs_err_of(HS_E_BLOCKED));
        else
            hs_client_destroy(r.client);
        if (!(turns & 1))
            r.client = NULL;
        hs_cancel_unref(cancel);
        bench_run(&r.b, 10);
        int32_t why = g.errors ? g.err.code : g.body_err.code;
        cr_assert(g.bodies || why == (turns & 1 ? HS_E_BLOCKED : HS_E_CLOSED), "%u: %s",
                  (unsigned)turns, hs_err_name(hs_err_of(why)));
        if (g.res)
            let_go(&g);
        rig_fini();
        cr_assert_eq(open_files(), before);
    }
}

Test(http_fetch_file, each_piece_of_memory_fails_once)
{
    uint32_t before = open_files();
    for (uint64_t at = 1, met = true; met; at++) {
        got g;
        int fd = make_file(70000);
        rig_init();
        r.b.fail_at = r.b.takes + at;
        post(&g, fd, 0, HS_FETCH_REST, NULL);
        bench_run(&r.b, 50);
        met = r.b.fails > 0;
        cr_assert(met || g.bodies == 1);
        hs_err any = g.errors ? g.err : g.body_err;
        cr_assert(hs_ok(any) || hs_err_class(any) == HS_ERR_LIMIT, "%s", hs_err_name(any));
        r.b.fail_at = 0;
        if (g.res)
            let_go(&g);
        close(fd);
        rig_fini();
        cr_assert_eq(open_files(), before);
    }
}

/* ---- requests that are sent once more ---- */

static void end_the_second(conn *c)
{
    if (c->number == 0 && c->requests == 2)
        conn_end(c, false);
    else
        say(c, HELLO);
}

Test(http_fetch_file, is_sent_again_where_a_pooled_connection_was_closed)
{
    for (int safe = 0; safe < 2; safe++) {
        got g;
        int fd = make_file(70000);
        hs_fetch_file file = {fd, 5, HS_FETCH_REST};
        rig_init();
        r.on_request = end_the_second;
        post(&g, fd, 0, HS_FETCH_REST, NULL);
        bench_run(&r.b, 500);
        expect_hello(&g);
        begin(&g, URL,
              &(hs_fetch_options){.file = &file, .method = hs_span_str(safe ? "PUT" : "POST")});
        bench_run(&r.b, 500);
        cr_assert_eq(r.accepted, 1u + (uint32_t)safe);
        if (safe) {
            expect_hello(&g);
            expect_sent_on(1, 5, 69995);
        } else {
            expect_error(&g, HS_E_TRUNCATED, HS_FETCH_WAIT, "");
        }
        close(fd);
        rig_fini();
    }
}

static const char *first_says;

static void say_it_first(conn *c)
{
    say(c, r.requests == 1 ? first_says : HELLO);
}

Test(http_fetch_file, is_sent_again_where_the_server_asks_for_it)
{
    static const struct {
        const char *says, *method, *head;
    } rows[] = {
        {"HTTP/1.1 307 x\r\nLocation: /y\r\nContent-Length: 0\r\n\r\n", "POST", "POST /y "},
        {"HTTP/1.1 308 x\r\nLocation: /y\r\nContent-Length: 0\r\n\r\n", "PUT", "PUT /y "},
        {"HTTP/1.1 503 x\r\nRetry-After: 1\r\nContent-Length: 0\r\n\r\n", "PUT", "PUT /x "},
    };
    for (size_t i = 0; i < HS_ARRAY_LEN(rows); i++) {
        got g;
        int fd = make_file(70000);
        hs_fetch_file file = {fd, 0, HS_FETCH_REST};
        hs_fetch_options o = {.file = &file, .retries = 1, .method = hs_span_str(rows[i].method)};
        rig_init();
        first_says = rows[i].says;
        r.on_request = say_it_first;
        begin(&g, URL, &o);
        close(fd);
        bench_run(&r.b, 5000);
        expect_hello(&g);
        cr_assert_eq(r.requests, 2);
        cr_assert(strncmp(conn_at(0)->last, rows[i].head, strlen(rows[i].head)) == 0);
        expect_sent(0, 70000);
        rig_fini();
    }
}

/* At each step of the first sending, while a piece is read as well; or to a server that reads
 * nothing of it. */
Test(http_fetch_file, is_sent_again_from_its_start_whatever_was_sent)
{
    uint32_t before = open_files(), redirected = 0;
    for (uint64_t step = 0; step < 24; step++) {
        got g;
        bool lazy = step % 2;
        int fd = make_file(BYTES);
        rig_init();
        r.on_open = lazy ? stop_reading : NULL;
        post(&g, fd, 0, HS_FETCH_REST, NULL);
        close(fd);
        if (lazy)
            bench_run(&r.b, step);
        for (uint64_t i = 0; !lazy && i < step; i++)
            shard_turn(r.b.shard, true);
        r.on_open = NULL;
        bool redirect = r.accepted == 1 && r.requests == 0;
        redirected += redirect;
        if (redirect)
            say(conn_at(0), "HTTP/1.1 307 x\r\nLocation: /y\r\nContent-Length: 0\r\n\r\n");
        bench_run(&r.b, 5000);
        expect_hello(&g);
        expect_sent_on(redirect, 0, BYTES);
        rig_fini();
        cr_assert_eq(open_files(), before);
    }
    cr_assert_gt(redirected, 15);
}

/* ---- a redirection while the body is made still ---- */

static hs_fetch_sink *kept;
static uint32_t overs;

static void keep_sink(hs_fetch_sink *sink, void *ctx)
{
    (void)ctx;
    kept = sink;
    cr_assert(hs_ok(hs_fetch_write(sink, HS_SPAN("some"))));
}

static void on_over(hs_err why, void *ctx)
{
    (void)why, (void)ctx;
    overs++;
}

Test(http_fetch_file, nothing_may_be_written_after_a_redirection)
{
    got g;
    hs_fetch_source source = {HS_FETCH_CHUNKED, keep_sink, on_over, NULL};
    overs = 0;
    rig_init();
    r.answer = NULL;
    begin(&g, URL, &(hs_fetch_options){.source = &source});
    bench_run(&r.b, 20);
    say(conn_at(0), "HTTP/1.1 303 x\r\nLocation: /slow\r\nContent-Length: 0\r\n\r\n");
    bench_run(&r.b, 20);
    cr_assert_eq(r.requests, 1);
    cr_assert(strncmp(conn_at(1)->last, "GET /slow ", 10) == 0);
    cr_assert_eq(hs_fetch_write(kept, HS_SPAN("more")).code, HS_E_CLOSED);
    hs_fetch_end(kept, HS_OK);
    cr_assert_eq(overs, 0);
    say(conn_at(1), HELLO);
    bench_run(&r.b, 20);
    expect_hello(&g);
    cr_assert_eq(overs, 1);
    rig_fini();
}
