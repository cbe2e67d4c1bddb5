/* libcurl as perf/client measures it: the same work as client_load.c by the multi interface, with
 * epoll and curl_multi_socket_action, which is its way for many connections.
 *
 *     client_curl URL CONNECTIONS
 *
 * Built by perf/client where libcurl's headers are installed.
 * Tested by: perf/client, which fails where a batch does. */
#include <curl/curl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <time.h>

#define LANES_MAX 1024
#define BODY_BYTES 13
#define SILENCE_MS 10000
#define NS_PER_S 1000000000ll

static CURLM *multi;
static CURL *lanes[LANES_MAX];
static size_t received[LANES_MAX];
static long timeout_ms = -1;
static int poll_fd;

static _Noreturn void die(const char *what)
{
    (void)fprintf(stderr, "client_curl: %s\n", what);
    exit(1);
}

static int64_t clock_ns(clockid_t clock)
{
    struct timespec ts = {0};
    (void)clock_gettime(clock, &ts);
    return ts.tv_sec * NS_PER_S + ts.tv_nsec;
}

static int on_socket(CURL *easy, curl_socket_t fd, int what, void *ctx, void *known)
{
    struct epoll_event event = {.data.fd = fd};
    (void)easy, (void)ctx;
    if (what == CURL_POLL_REMOVE) {
        (void)epoll_ctl(poll_fd, EPOLL_CTL_DEL, fd, NULL);
        return 0;
    }
    event.events =
        ((what & CURL_POLL_IN) != 0 ? EPOLLIN : 0u) | ((what & CURL_POLL_OUT) != 0 ? EPOLLOUT : 0u);
    if (epoll_ctl(poll_fd, known ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, fd, &event) != 0)
        die("epoll_ctl failed");
    (void)curl_multi_assign(multi, fd, multi); /* anything: it is known from now on */
    return 0;
}

static int on_timer(CURLM *m, long ms, void *ctx)
{
    (void)m, (void)ctx;
    timeout_ms = ms;
    return 0;
}

static size_t on_body(char *data, size_t size, size_t count, void *ctx)
{
    size_t *sum = ctx;
    (void)data;
    *sum += size * count;
    return size * count;
}

/* Looks at the transfers that have ended, and begins others on their handles. */
static void take_ended(size_t *done, size_t *asked, size_t requests)
{
    CURLMsg *message;
    int left;
    while ((message = curl_multi_info_read(multi, &left))) {
        CURL *easy = message->easy_handle;
        CURLcode result = message->data.result; /* gone with the handle's removal */
        long status = 0;
        size_t *sum;
        (void)curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
        (void)curl_easy_getinfo(easy, CURLINFO_PRIVATE, (char **)&sum);
        (void)curl_multi_remove_handle(multi, easy);
        if (result != CURLE_OK || status != 200 || *sum != BODY_BYTES)
            die("a transfer failed, or another answer came");
        *sum = 0;
        (*done)++;
        if (*asked < requests) {
            (*asked)++;
            (void)curl_multi_add_handle(multi, easy);
        }
    }
}

static void batch(size_t count, size_t requests)
{
    struct epoll_event events[LANES_MAX];
    size_t asked = 0, done = 0;
    int running;
    while (asked < count && asked < requests)
        (void)curl_multi_add_handle(multi, lanes[asked++]);
    while (done < requests) {
        long wait = timeout_ms >= 0 && timeout_ms < SILENCE_MS ? timeout_ms : SILENCE_MS;
        int n = epoll_wait(poll_fd, events, LANES_MAX, (int)wait);
        if (n <= 0) {
            if (wait == SILENCE_MS)
                die("nothing came for ten seconds");
            timeout_ms = -1;
            (void)curl_multi_socket_action(multi, CURL_SOCKET_TIMEOUT, 0, &running);
        }
        for (int i = 0; i < n; i++) {
            int what = ((events[i].events & (EPOLLIN | EPOLLHUP)) ? CURL_CSELECT_IN : 0) |
                       ((events[i].events & EPOLLOUT) ? CURL_CSELECT_OUT : 0);
            (void)curl_multi_socket_action(multi, events[i].data.fd, what, &running);
        }
        take_ended(&done, &asked, requests);
    }
}

int main(int argc, char **argv)
{
    unsigned long count = argc == 3 ? strtoul(argv[2], NULL, 10) : 0;
    if (count == 0 || count > LANES_MAX)
        die("usage: client_curl URL CONNECTIONS");
    poll_fd = epoll_create1(EPOLL_CLOEXEC);
    (void)curl_global_init(CURL_GLOBAL_DEFAULT);
    multi = curl_multi_init();
    (void)curl_multi_setopt(multi, CURLMOPT_SOCKETFUNCTION, on_socket);
    (void)curl_multi_setopt(multi, CURLMOPT_TIMERFUNCTION, on_timer);
    (void)curl_multi_setopt(multi, CURLMOPT_MAXCONNECTS, (long)count);
    for (size_t i = 0; i < count; i++) {
        lanes[i] = curl_easy_init();
        (void)curl_easy_setopt(lanes[i], CURLOPT_URL, argv[1]);
        (void)curl_easy_setopt(lanes[i], CURLOPT_WRITEFUNCTION, on_body);
        (void)curl_easy_setopt(lanes[i], CURLOPT_WRITEDATA, &received[i]);
        (void)curl_easy_setopt(lanes[i], CURLOPT_PRIVATE, &received[i]);
    }
    char line[32];
    while (fgets(line, sizeof line, stdin)) {
        size_t requests = strtoul(line, NULL, 10);
        int64_t cpu = clock_ns(CLOCK_PROCESS_CPUTIME_ID), wall = clock_ns(CLOCK_MONOTONIC);
        batch(count, requests);
        cpu = clock_ns(CLOCK_PROCESS_CPUTIME_ID) - cpu;
        wall = clock_ns(CLOCK_MONOTONIC) - wall;
        (void)printf("%zu %lld %lld\n", requests, (long long)cpu, (long long)wall);
        (void)fflush(stdout);
    }
    return 0;
}
