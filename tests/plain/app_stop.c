/* hs_app_stop ends hs_app_main: from handlers on every shard, from another thread, before and
 * during the start, and more than once. The application stays the caller's. */
#include "hs_app.h"

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "check.h"

#define CLIENTS 8

static char address[64]; /* unix:@NAME */
static atomic_uint handled, answered;

static void stop(hs_req *req, hs_res *res, void *ctx)
{
    (void)req;
    hs_app_stop(ctx);
    hs_app_stop(ctx);
    atomic_fetch_add(&handled, 1);
    hs_res_text(res, 200, HS_SPAN("stopping"));
}

static int connect_client(void)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    const char *name = address + strlen("unix:@");
    memcpy(addr.sun_path + 1, name, strlen(name));
    socklen_t len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + strlen(name));
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK(fd >= 0);
    /* It is about to listen: there is no other sign of it. */
    while (connect(fd, (struct sockaddr *)&addr, len) != 0)
        CHECK(errno == ECONNREFUSED && sched_yield() == 0);
    return fd;
}

/* Connects all first, so that each has its turn, and asks for the stop on each. */
static void *ask(void *arg)
{
    static const char request[] = "GET /stop HTTP/1.1\r\nHost: test\r\n\r\n";
    char answer[256];
    int fds[CLIENTS];
    (void)arg;
    for (int i = 0; i < CLIENTS; i++)
        fds[i] = connect_client();
    for (int i = 0; i < CLIENTS; i++)
        CHECK(send(fds[i], request, strlen(request), MSG_NOSIGNAL) > 0 || errno == EPIPE);
    for (int i = 0; i < CLIENTS; i++) {
        ssize_t n = recv(fds[i], answer, sizeof answer - 1, 0);
        if (n > 0 && strncmp(answer, "HTTP/1.1 200 ", 13) == 0)
            atomic_fetch_add(&answered, 1);
        close(fds[i]);
    }
    return NULL;
}

static void *stop_from_outside(void *app)
{
    hs_app_stop(app);
    hs_app_stop(app);
    return NULL;
}

/* Returns once the application has been stopped by `thread`, or by hand before the start. */
static void serve(void *(*thread)(void *), bool early)
{
    char *argv[] = {(char[]){"app_stop"}, (char[]){"--cores"}, (char[]){"2"},
                    (char[]){"--listen"}, address,             (char[]){"--log-level"},
                    (char[]){"error"},    (char[]){"--drain"}, (char[]){"600"}};
    pthread_t t;
    hs_app *app = hs_app_create();
    CHECK(app);
    hs_app_get(app, "/stop", stop, app);
    if (early)
        hs_app_stop(app);
    if (thread)
        CHECK(pthread_create(&t, NULL, thread, app) == 0);
    int status = hs_app_main(app, (int)(sizeof argv / sizeof argv[0]), argv);
    CHECK(status == 0);
    if (thread)
        CHECK(pthread_join(t, NULL) == 0);
    hs_app_destroy(app);
}

int main(void)
{
    snprintf(address, sizeof address, "unix:@hs-app-stop-%d", (int)getpid());
    for (int i = 0; i < 10; i++)
        serve(ask, false);
    CHECK(atomic_load(&handled) >= 10);
    CHECK(atomic_load(&answered) == atomic_load(&handled));
    for (int i = 0; i < 20; i++)
        serve(stop_from_outside, false);
    serve(NULL, true);
    return 0;
}
