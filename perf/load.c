/* The load of perf/compare: a batch of requests over open connections, and the CPU time that the
 * server took for it.
 *
 * A batch lasts some hundredths of a second, so that most of them fall between two disturbances of
 * a shared machine; the clock is read by the same process right before and right after, since a
 * script would be late. It knows answers of one length only: what it asks for is a constant.
 *
 *     load PORT PATH CONNECTIONS DEPTH PID...
 *
 * Each line "N" on standard input is a batch of N requests (rounded up to DEPTH), answered by
 * "REQUESTS CPU_NS WALL_NS". Any wrong answer, error or silence of ten seconds ends it with a
 * message. Must not know: which server that is.
 * Tested by: perf/compare, which fails where a batch does. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "hs_assert.h"

#define CONNS_MAX 1024
#define PIDS_MAX 64
#define DEPTH_MAX 64
#define ANSWER_MAX 4096
#define REQUEST_MAX 512
#define SILENCE_MS 10000
#define NS_PER_S 1000000000ll

static const char status[] = "HTTP/1.1 200";

typedef struct conn {
    int fd;
    size_t got; /* bytes of the answers under way */
} conn;

static conn conns[CONNS_MAX];
static clockid_t clocks[PIDS_MAX];
static char requests[DEPTH_MAX * REQUEST_MAX];
static size_t conn_count, clock_count, depth, requests_len, answer_len;

__attribute__((format(printf, 1, 2))) static _Noreturn void die(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    (void)fputs("load: ", stderr);
    (void)vfprintf(stderr, format, args);
    (void)fputc('\n', stderr);
    va_end(args);
    exit(1);
}

static unsigned long number_of(const char *text, unsigned long max)
{
    char *end;
    errno = 0;
    unsigned long n = strtoul(text, &end, 10);
    if (end == text || (*end != 0 && *end != '\n') || n == 0 || n > max || errno != 0)
        die("'%s' is no number up to %lu", text, max);
    return n;
}

static int64_t read_clock(clockid_t clock)
{
    struct timespec ts;
    if (clock_gettime(clock, &ts) != 0)
        die("a process of the server has ended");
    return ts.tv_sec * NS_PER_S + ts.tv_nsec;
}

static int64_t server_cpu(void)
{
    int64_t sum = 0;
    for (size_t i = 0; i < clock_count; i++)
        sum += read_clock(clocks[i]);
    return sum;
}

static int dial(uint16_t port)
{
    struct sockaddr_in to = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr = {htonl(INADDR_LOOPBACK)}};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || connect(fd, (const struct sockaddr *)&to, sizeof to) != 0)
        die("connect: %s", strerror(errno));
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
    return fd;
}

/* The requests are small, and the server reads them: a full send buffer would be its silence. */
static void ask(const conn *c, size_t len)
{
    if (send(c->fd, requests, len, MSG_NOSIGNAL) != (ssize_t)len)
        die("send: %s", strerror(errno));
}

/* The length of one answer: what is there once a first request has its head and a body. */
static void learn_answer(const conn *c)
{
    char answer[ANSWER_MAX + 1];
    size_t got = 0;
    ask(c, requests_len / depth);
    for (;;) {
        ssize_t n = recv(c->fd, answer + got, ANSWER_MAX - got, 0);
        if (n <= 0)
            die("recv: %s", n == 0 ? "closed, or longer than it may be" : strerror(errno));
        got += (size_t)n;
        answer[got] = 0;
        const char *body = strstr(answer, "\r\n\r\n");
        const char *field = strcasestr(answer, "\r\ncontent-length:");
        if (!body)
            continue;
        if (!field || field > body)
            die("the answer has no Content-Length");
        answer_len = (size_t)(body + 4 - answer) + strtoul(field + 17, NULL, 10);
        if (got >= answer_len)
            break;
    }
    if (got != answer_len || answer_len > ANSWER_MAX)
        die("an answer of %zu bytes, where %zu came", answer_len, got);
}

/* Read what is there of a group of answers. True: the group is whole, and another may be asked. */
static bool take(conn *c)
{
    static char in[DEPTH_MAX * ANSWER_MAX];
    ssize_t n = recv(c->fd, in, sizeof in, MSG_DONTWAIT);
    if (n < 0 && errno == EAGAIN)
        return false;
    if (n <= 0)
        die("recv: %s", n == 0 ? "closed" : strerror(errno));
    /* Each answer that begins in here is looked at. */
    size_t at = (answer_len - c->got % answer_len) % answer_len;
    for (; at + sizeof status - 1 <= (size_t)n; at += answer_len) {
        if (memcmp(in + at, status, sizeof status - 1) != 0)
            die("another answer than 200, or of another length: %.40s", in + at);
    }
    c->got += (size_t)n;
    if (c->got > depth * answer_len)
        die("more was answered than asked");
    if (c->got < depth * answer_len)
        return false;
    c->got = 0;
    return true;
}

static void run_batch(int epoll, size_t groups)
{
    struct epoll_event events[CONNS_MAX];
    size_t asked = 0, answered = 0;
    while (asked < conn_count && asked < groups)
        ask(&conns[asked++], requests_len);
    while (answered < groups) {
        int n = epoll_wait(epoll, events, CONNS_MAX, SILENCE_MS);
        if (n == 0)
            die("nothing came for %d ms", SILENCE_MS);
        for (int i = 0; i < n; i++) {
            conn *c = events[i].data.ptr;
            if (!take(c))
                continue;
            answered++;
            if (asked < groups) {
                ask(c, requests_len);
                asked++;
            }
        }
    }
}

static void prepare(char **args)
{
    uint16_t port = (uint16_t)number_of(args[0], UINT16_MAX);
    conn_count = number_of(args[2], CONNS_MAX);
    depth = number_of(args[3], DEPTH_MAX);
    for (size_t i = 0; i < depth; i++) {
        int len = snprintf(requests + requests_len, REQUEST_MAX,
                           "GET %s HTTP/1.1\r\nHost: 127.0.0.1:%u\r\n\r\n", args[1], port);
        if (len >= REQUEST_MAX)
            die("the path is too long");
        requests_len += (size_t)len;
    }
    for (size_t i = 0; i < conn_count; i++)
        conns[i].fd = dial(port);
    for (char **pid = args + 4; *pid; pid++) {
        HS_ASSERT(clock_count < PIDS_MAX);
        if (clock_getcpuclockid((pid_t)number_of(*pid, INT32_MAX), &clocks[clock_count++]) != 0)
            die("no process %s", *pid);
    }
}

int main(int argc, char **argv)
{
    if (argc < 6 || argc > 5 + PIDS_MAX)
        die("usage: load PORT PATH CONNECTIONS DEPTH PID...");
    prepare(argv + 1);
    learn_answer(&conns[0]);
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    for (size_t i = 0; i < conn_count; i++) {
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = &conns[i]};
        if (epoll_ctl(epoll, EPOLL_CTL_ADD, conns[i].fd, &event) != 0)
            die("epoll_ctl: %s", strerror(errno));
    }
    char line[32];
    while (fgets(line, sizeof line, stdin)) {
        size_t groups = (number_of(line, 1000000000) + depth - 1) / depth;
        int64_t cpu = server_cpu(), wall = read_clock(CLOCK_MONOTONIC);
        run_batch(epoll, groups);
        wall = read_clock(CLOCK_MONOTONIC) - wall;
        printf("%zu %lld %lld\n", groups * depth, (long long)(server_cpu() - cpu), (long long)wall);
        (void)fflush(stdout);
    }
    return 0;
}
