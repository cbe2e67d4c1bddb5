/* A stop that something held by the program would put off for ever: the log names it, and
 * hs_app_main returns 3. And what only has to be waited for is waited for. */
#include "hs_app.h"
#include "hs_blocking.h"
#include "hs_udp.h"

#include <pthread.h>
#include <sched.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"

/* Threads that do not return are what this is about. */
const char *__tsan_default_options(void);

const char *__tsan_default_options(void)
{
    return "report_thread_leaks=0";
}

typedef struct held {
    const char *name;
    void (*hold)(hs_shard *shard);
    const char *logged;
    bool never_returns;
} held;

static void hold_shard(hs_shard *shard)
{
    hs_shard_hold(shard);
}

static void on_ready(hs_op *op, const hs_io_event *ev)
{
    (void)op, (void)ev;
}

static void arm_poll(hs_shard *shard)
{
    static hs_op op;
    int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    CHECK(fd >= 0 && hs_io_adopt(hs_shard_io(shard), fd) == 0);
    hs_io_poll(hs_shard_io(shard), &op, fd, 1, on_ready);
}

static void on_datagrams(hs_udp_sock *s, const hs_datagram *list, uint32_t len)
{
    (void)s, (void)list, (void)len;
}

static void open_socket(hs_shard *shard)
{
    static const hs_udp_events events = {.datagrams = on_datagrams};
    hs_udp *udp;
    hs_udp_sock *sock;
    hs_addr addr;
    CHECK(hs_ok(hs_addr_parse(&addr, HS_SPAN("127.0.0.1:0"))));
    CHECK(hs_ok(hs_udp_create(shard, &udp)));
    hs_udp_options o = {.events = &events, .bind = &addr};
    CHECK(hs_ok(hs_udp_open(udp, &o, &sock)));
}

static hs_outcome wait_for_ever(void *arg)
{
    (void)arg;
    while (pause() < 0) /* whatever a signal does */
        continue;
    return hs_value(NULL);
}

static void block(hs_shard *shard)
{
    hs_promise_ignore(hs_blocking(shard, wait_for_ever, NULL));
}

static void spin(hs_shard *shard)
{
    (void)shard;
    for (;;)
        pause();
}

static const held all[] = {
    {"hold", hold_shard, "hs_shard_hold (1)", false},
    {"poll", arm_poll, "I/O operations under way (1)", false},
    {"socket", open_socket, "datagram socket (1)", false},
    {"blocking", block, "blocking work (1)", false},
    {"spin", spin, "has not returned from /held", true},
};

static void *stop(void *app)
{
    hs_app_stop(app);
    hs_app_abort(app);
    return NULL;
}

static void handle(hs_req *req, hs_res *res, void *ctx)
{
    const held *h = ctx;
    pthread_t thread;
    hs_shard *shard = hs_req_shard(req);
    void *app = hs_req_server_ctx(req);
    hs_res_text(res, 200, HS_SPAN("held"));
    if (!h->never_returns)
        h->hold(shard);
    CHECK(pthread_create(&thread, NULL, stop, app) == 0);
    CHECK(pthread_detach(thread) == 0);
    if (h->never_returns)
        h->hold(shard);
}

static void *ask(void *arg)
{
    static const char request[] = "GET /held HTTP/1.1\r\nHost: test\r\n\r\n";
    const struct sockaddr_un *addr = arg;
    socklen_t len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 +
                                strlen(addr->sun_path + 1));
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK(fd >= 0);
    /* It is about to listen: there is no other sign of it. */
    while (connect(fd, (const struct sockaddr *)addr, len) != 0)
        CHECK(errno == ECONNREFUSED && sched_yield() == 0);
    CHECK(send(fd, request, strlen(request), MSG_NOSIGNAL) == (ssize_t)strlen(request));
    return NULL;
}

/* In a process of its own, which holds something on one of its two shards. */
static int serve(const held *h)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    char address[64];
    pthread_t thread;
    snprintf(addr.sun_path + 1, 60, "hs-held-%s-%d", h->name, (int)getpid());
    snprintf(address, sizeof address, "unix:@%.40s", addr.sun_path + 1);
    char *argv[] = {(char[]){"app_held"}, (char[]){"--cores"}, (char[]){"2"},
                    (char[]){"--listen"}, address,             (char[]){"--drain"},
                    (char[]){"600"}};
    hs_app *app = hs_app_create();
    CHECK(app);
    hs_app_get(app, "/held", handle, (void *)(uintptr_t)h);
    CHECK(pthread_create(&thread, NULL, ask, &addr) == 0);
    int status = hs_app_main(app, (int)(sizeof argv / sizeof argv[0]), argv);
    hs_app_destroy(app);
    CHECK(pthread_join(thread, NULL) == 0);
    return status;
}

int main(void)
{
    enum { CASES = sizeof all / sizeof all[0] };
    pid_t pids[CASES];
    FILE *logs[CASES];
    for (int i = 0; i < CASES; i++) {
        CHECK((logs[i] = tmpfile()) != NULL);
        pids[i] = fork();
        CHECK(pids[i] >= 0);
        if (pids[i] == 0) {
            CHECK(dup2(fileno(logs[i]), STDERR_FILENO) == STDERR_FILENO);
            return serve(&all[i]);
        }
    }
    for (int i = 0; i < CASES; i++) {
        static char text[65536];
        int status;
        CHECK(waitpid(pids[i], &status, 0) == pids[i]);
        ssize_t n = pread(fileno(logs[i]), text, sizeof text - 1, 0);
        text[n > 0 ? n : 0] = '\0';
        fprintf(stderr, "%s: status %x\n%s", all[i].name, (unsigned)status, text);
        CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 3);
        CHECK(strstr(text, all[i].logged) != NULL);
        fclose(logs[i]);
    }
    return 0;
}
