/* The yardstick: a responder on io_uring that parses nothing.
 *
 * It does what any server on this kernel must do (accept, receive, send) and nothing else, so the
 * CPU time that it takes for a request is the floor; perf/compare quotes everyone as a multiple of
 * it. One thread, one ring, one fixed answer of as many bytes as httpshard's /plaintext.
 *
 * How it counts requests without parsing: all requests of a connection are taken to be as long as
 * its first one, whose end (CR LF CR LF) is looked for once. So it is right for load generators
 * that repeat one request without a body and read their answers, and for nothing else. It must
 * never grow features: it would stop being a floor. perf/README.md tells which variants were tried.
 * Must not know: shard/ and what stands on it (it is what they are measured against).
 * Tested by: perf/compare, which checks its answers before it quotes it. */
#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <liburing.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "hs_assert.h"
#include "hs_span.h"

#define SQ_ENTRIES 1024
#define CQ_ENTRIES (4 * SQ_ENTRIES)
/* Few and small buffers stay in the cache: a buffer ring is used round and round. */
#define BUFS 256
#define BUF_BYTES 4096
#define FDS_MAX 65536
/* "GET / HTTP/1.1", its line end and the empty line: no request is shorter. */
#define REQUEST_BYTES_MIN 18
#define ANSWERS_MAX (BUF_BYTES / REQUEST_BYTES_MIN + 1)

static const char answer[] = "HTTP/1.1 200 OK\r\n"
                             "Date: Sat, 21 Nov 2026 02:00:00 GMT\r\n"
                             "Content-Type: text/plain\r\n"
                             "Content-Length: 13\r\n"
                             "\r\n"
                             "Hello, World!";
#define ANSWER_BYTES (sizeof(answer) - 1)

/* What an op was, in the low byte of its user data; the file number stands above it. */
enum { OP_ACCEPT, OP_RECV, OP_SEND };

typedef struct conn {
    uint32_t request_bytes; /* length of its first request; 0 while that has not ended */
    uint32_t pending_bytes; /* received, and not yet answered as a whole request */
    uint32_t matched;       /* bytes of CR LF CR LF seen in a row, until the first end */
} conn;

static struct io_uring ring;
static struct io_uring_buf_ring *buf_ring;
static conn conns[FDS_MAX];
static uint8_t bufs[BUFS][BUF_BYTES] __attribute__((aligned(BUF_BYTES)));
static char answers[ANSWERS_MAX * ANSWER_BYTES];

static _Noreturn void die(const char *what, int error)
{
    (void)fprintf(stderr, "bare: %s: %s\n", what, strerror(error));
    exit(1);
}

static struct io_uring_sqe *sqe_take(void)
{
    struct io_uring_sqe *sqe = io_uring_get_sqe(&ring);
    if (HS_UNLIKELY(!sqe)) {
        (void)io_uring_submit(&ring);
        sqe = io_uring_get_sqe(&ring);
    }
    HS_ASSERT(sqe != NULL);
    return sqe;
}

static uint64_t tag(int fd, unsigned op)
{
    return (uint64_t)(uint32_t)fd << 8 | op;
}

static void arm_accept(int listener)
{
    struct io_uring_sqe *sqe = sqe_take();
    io_uring_prep_multishot_accept(sqe, listener, NULL, NULL, 0);
    io_uring_sqe_set_data64(sqe, tag(listener, OP_ACCEPT));
}

static void arm_recv(int fd)
{
    struct io_uring_sqe *sqe = sqe_take();
    io_uring_prep_recv_multishot(sqe, fd, NULL, 0, 0);
    sqe->flags |= IOSQE_BUFFER_SELECT;
    sqe->buf_group = 0;
    io_uring_sqe_set_data64(sqe, tag(fd, OP_RECV));
}

/* One send for all answers. It completes at once, unless the peer does not read: then the kernel
 * waits for room (MSG_WAITALL), and only a failure makes a completion. */
static void send_answers(int fd, uint32_t count)
{
    HS_ASSERT(count <= ANSWERS_MAX);
    struct io_uring_sqe *sqe = sqe_take();
    io_uring_prep_send(sqe, fd, answers, count * ANSWER_BYTES, MSG_NOSIGNAL | MSG_WAITALL);
    sqe->flags |= IOSQE_CQE_SKIP_SUCCESS;
    io_uring_sqe_set_data64(sqe, tag(fd, OP_SEND));
}

/* Look for the end of a connection's first request, which may come in pieces; once it is found,
 * the lengths of all are known. */
static void learn(conn *c, const uint8_t *bytes, uint32_t len)
{
    static const char end[] = "\r\n\r\n";
    for (uint32_t i = 0; i < len; i++) {
        if (bytes[i] == (uint8_t)end[c->matched])
            c->matched++;
        else
            c->matched = bytes[i] == '\r';
        if (c->matched == 4) {
            c->request_bytes = HS_MAX(c->pending_bytes + i + 1, REQUEST_BYTES_MIN);
            return;
        }
    }
}

/* How many requests are whole with these bytes. */
static uint32_t requests_in(conn *c, const uint8_t *bytes, uint32_t len)
{
    if (HS_UNLIKELY(c->request_bytes == 0))
        learn(c, bytes, len);
    c->pending_bytes += len;
    if (c->request_bytes == 0)
        return 0;
    uint32_t whole = c->pending_bytes / c->request_bytes;
    c->pending_bytes -= whole * c->request_bytes;
    return whole;
}

static void on_accept(int listener, const struct io_uring_cqe *cqe)
{
    if (cqe->res >= FDS_MAX) {
        (void)close(cqe->res);
    } else if (cqe->res >= 0) {
        conns[cqe->res] = (conn){.request_bytes = 0};
        arm_recv(cqe->res);
    }
    if (!(cqe->flags & IORING_CQE_F_MORE))
        arm_accept(listener);
}

/* Returns how many buffers it put back. */
static int on_recv(int fd, const struct io_uring_cqe *cqe, int returned)
{
    if (HS_UNLIKELY(cqe->res <= 0)) {
        if (cqe->res == -ENOBUFS)
            arm_recv(fd);
        else
            (void)close(fd);
        return 0;
    }
    unsigned id = cqe->flags >> IORING_CQE_BUFFER_SHIFT;
    uint32_t count = requests_in(&conns[fd], bufs[id], (uint32_t)cqe->res);
    io_uring_buf_ring_add(buf_ring, bufs[id], BUF_BYTES, (unsigned short)id, BUFS - 1, returned);
    if (HS_LIKELY(count > 0))
        send_answers(fd, count);
    if (HS_UNLIKELY(!(cqe->flags & IORING_CQE_F_MORE)))
        arm_recv(fd);
    return 1;
}

static void turn(void)
{
    int result = io_uring_submit_and_wait(&ring, 1);
    if (result < 0 && result != -EINTR && result != -EBUSY)
        die("io_uring_enter", -result);
    struct io_uring_cqe *cqe;
    unsigned head, seen = 0;
    int returned = 0;
    io_uring_for_each_cqe(&ring, head, cqe)
    {
        int fd = (int)(cqe->user_data >> 8);
        seen++;
        switch (cqe->user_data & 0xff) {
        case OP_RECV:
            returned += on_recv(fd, cqe, returned);
            break;
        case OP_ACCEPT:
            on_accept(fd, cqe);
            break;
        default: /* a send failed: the receive of this connection ends, and closes it */
            (void)shutdown(fd, SHUT_RDWR);
        }
    }
    if (returned > 0)
        io_uring_buf_ring_advance(buf_ring, returned);
    io_uring_cq_advance(&ring, seen);
}

static void ring_open(void)
{
    struct io_uring_params params = {
        .flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_SUBMIT_ALL |
                 IORING_SETUP_CQSIZE,
        .cq_entries = CQ_ENTRIES,
    };
    int result = io_uring_queue_init_params(SQ_ENTRIES, &ring, &params);
    if (result < 0)
        die("io_uring_setup", -result);
    result = io_uring_register_ring_fd(&ring);
    if (result < 0)
        die("registering the ring", -result);
    buf_ring = io_uring_setup_buf_ring(&ring, BUFS, 0, 0, &result);
    if (!buf_ring)
        die("registering the buffers", -result);
    for (int i = 0; i < BUFS; i++)
        io_uring_buf_ring_add(buf_ring, bufs[i], BUF_BYTES, (unsigned short)i, BUFS - 1, i);
    io_uring_buf_ring_advance(buf_ring, BUFS);
    for (size_t i = 0; i < ANSWERS_MAX; i++)
        memcpy(answers + i * ANSWER_BYTES, answer, ANSWER_BYTES);
}

/* Options that accepted sockets inherit are set on the listener. */
static int listener_open(uint16_t port)
{
    int one = 1;
    struct sockaddr_in address = {
        .sin_family = AF_INET,
        .sin_port = htons(port),
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
    };
    socklen_t len = sizeof(address);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) != 0 ||
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)) != 0 ||
        bind(fd, (struct sockaddr *)&address, sizeof(address)) != 0 || listen(fd, 4096) != 0 ||
        getsockname(fd, (struct sockaddr *)&address, &len) != 0)
        die("listening", errno);
    (void)fprintf(stderr, "listening on http://127.0.0.1:%u\n", ntohs(address.sin_port));
    return fd;
}

static uint64_t number(const char *text, uint64_t max)
{
    uint64_t value;
    if (!hs_span_u64(hs_span_str(text), max, &value)) {
        (void)fprintf(stderr, "bare: '%s' is no number up to %llu\n", text,
                      (unsigned long long)max);
        exit(2);
    }
    return value;
}

int main(int argc, char **argv)
{
    static const struct option options[] = {{"port", required_argument, NULL, 'p'},
                                            {"cpu", required_argument, NULL, 'c'},
                                            {NULL, 0, NULL, 0}};
    uint16_t port = 0;
    cpu_set_t cpus;
    for (int o; (o = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        switch (o) {
        case 'p':
            port = (uint16_t)number(optarg, UINT16_MAX);
            break;
        case 'c':
            CPU_ZERO(&cpus);
            CPU_SET(number(optarg, CPU_SETSIZE - 1), &cpus);
            if (sched_setaffinity(0, sizeof(cpus), &cpus) != 0)
                die("--cpu", errno);
            break;
        default:
            (void)fprintf(stderr, "usage: bare [--port N] [--cpu N]\n");
            return 2;
        }
    }
    ring_open();
    arm_accept(listener_open(port));
    for (;;)
        turn();
}
