/* See dns_server.h. The words of a message are those of RFC 1035 section 4. */
#include "dns_server.h"

#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "hs_base.h"

#define CHECK(cond)                                                                                \
    do {                                                                                           \
        if (!(cond)) {                                                                             \
            fprintf(stderr, "%s:%d: %s (errno %d)\n", __FILE__, __LINE__, #cond, errno);           \
            exit(1);                                                                               \
        }                                                                                          \
    } while (0)

#define MESSAGE_MAX 4096
#define HELD_MAX 16

enum { TYPE_A = 1, TYPE_CNAME = 5, TYPE_OPT = 41, TYPE_AAAA = 28 };
/* BADVERS is 16, of which the header has the lower four bits: 0 (RFC 6891 section 6.1.3). */
enum { RCODE_OK, RCODE_FORMAT, RCODE_SERVFAIL, RCODE_NONE, RCODE_NOTIMP, RCODE_REFUSED };

typedef struct row {
    const char *name;
    int rcode;
    uint32_t ttl;
    int v4, v6;        /* how many addresses */
    const char *cname; /* an alias of this, whose records are in the answer too */
    bool silent;
    bool garbage;
    bool wrong_id; /* an answer to another question comes first */
    bool cut;      /* by UDP: truncated */
    bool here;     /* its addresses are the loopback's */
    bool held_v6;  /* that question waits for dns_server_release */
    bool mute;     /* by TCP it is silent */
    bool no_edns;  /* a question with EDNS is answered with `rcode`, or not at all */
} row;

static const row table[] = {
    {.name = "both.test", .ttl = 60, .v4 = 2, .v6 = 1},
    {.name = "four.test", .ttl = 60, .v4 = 1},
    {.name = "six.test", .ttl = 60, .v6 = 1},
    {.name = "one.search.test", .ttl = 60, .v4 = 1},
    {.name = "zero.test", .ttl = 0, .v4 = 1},
    {.name = "alias.test", .ttl = 60, .cname = "middle.test"},
    {.name = "middle.test", .ttl = 0, .cname = "four.test"},
    {.name = "dangling.test", .ttl = 60, .cname = "none.test"},
    {.name = "many.test", .ttl = 60, .v4 = 50, .v6 = 50, .cut = true},
    {.name = "servfail.test", .rcode = RCODE_SERVFAIL},
    {.name = "refused.test", .rcode = RCODE_REFUSED},
    {.name = "silent.test", .silent = true},
    {.name = "garbage.test", .garbage = true},
    {.name = "spoofed.test", .ttl = 60, .v4 = 1, .wrong_id = true},
    {.name = "a.later.test", .ttl = 60, .v4 = 1, .v6 = 1},
    {.name = "here.test", .ttl = 60, .v4 = 1, .v6 = 1, .here = true},
    {.name = "mute.test", .ttl = 60, .v4 = 1, .cut = true, .mute = true},
    {.name = "edns-format.test", .ttl = 60, .v4 = 1, .no_edns = true, .rcode = RCODE_FORMAT},
    {.name = "edns-notimp.test", .ttl = 60, .v4 = 1, .no_edns = true, .rcode = RCODE_NOTIMP},
    {.name = "edns-badvers.test", .ttl = 60, .v4 = 1, .no_edns = true},
    {.name = "edns-dropped.test", .ttl = 60, .v4 = 1, .no_edns = true, .silent = true},
    {.name = "servfail.search.test", .rcode = RCODE_SERVFAIL},
    {.name = "servfail.second.test", .ttl = 60, .v4 = 1},
    {.name = "slow.test", .ttl = 60, .v4 = 1, .v6 = 1, .here = true, .held_v6 = true},
};

typedef struct held {
    uint8_t query[MESSAGE_MAX];
    size_t len;
    struct sockaddr_in from;
} held;

struct dns_server {
    pthread_t thread;
    int udp, tcp, stop[2];
    char addr[32];
    atomic_uint asked, asked_tcp;
    held held[HELD_MAX];
    uint32_t held_len;
};

/* ---- messages ---- */

typedef struct out {
    uint8_t bytes[MESSAGE_MAX];
    size_t len;
} out;

static void put8(out *o, unsigned v)
{
    CHECK(o->len < sizeof o->bytes);
    o->bytes[o->len++] = (uint8_t)v;
}

static void put16(out *o, unsigned v)
{
    put8(o, v >> 8);
    put8(o, v & 0xff);
}

static void put_name(out *o, const char *name)
{
    while (*name) {
        size_t len = strcspn(name, ".");
        put8(o, (unsigned)len);
        for (size_t i = 0; i < len; i++)
            put8(o, (uint8_t)name[i]);
        name += len + (name[len] == '.');
    }
    put8(o, 0);
}

/* Up to the length of the data. */
static void put_record(out *o, const char *name, unsigned type, uint32_t ttl)
{
    put_name(o, name);
    put16(o, type);
    put16(o, 1);
    put16(o, ttl >> 16);
    put16(o, ttl & 0xffff);
}

static void put_address(out *o, const char *name, unsigned type, const row *r, int number)
{
    /* 192.0.2.N, or 2001:db8::N */
    static const uint8_t v4[2][3] = {{192, 0, 2}, {127, 0, 0}};
    static const uint8_t v6[2][4] = {{0x20, 0x01, 0x0d, 0xb8}, {0}};
    size_t len = type == TYPE_A ? 4 : 16;
    put_record(o, name, type, r->ttl);
    put16(o, (unsigned)len);
    for (size_t i = 0; i + 1 < len; i++)
        put8(o, type == TYPE_A ? v4[r->here][i] : i < 4 ? v6[r->here][i] : 0);
    put8(o, (unsigned)number);
}

/* The question's name in lower case, and where its type stands. Ends the program on what no
 * resolver of ours sends. */
static size_t parse_question(const uint8_t *q, size_t len, char *name, size_t room)
{
    size_t at = 12, n = 0;
    CHECK(len > 16 && q[4] == 0 && q[5] == 1);
    while (q[at]) {
        size_t label = q[at++];
        CHECK(label < 64 && at + label < len && n + label + 1 < room);
        for (size_t i = 0; i < label; i++) {
            char c = (char)q[at++];
            name[n++] = c >= 'A' && c <= 'Z' ? (char)(c + 32) : c;
        }
        name[n++] = '.';
    }
    CHECK(n > 0 && at + 5 <= len);
    name[n - 1] = '\0';
    return at + 1;
}

static const row *row_of(const char *name)
{
    static const row none = {.rcode = RCODE_NONE}, silent = {.silent = true};
    if (strstr(name, ".silent.test"))
        return &silent;
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        if (strcmp(table[i].name, name) == 0)
            return &table[i];
    return &none;
}

static void patch_count(out *o, size_t records)
{
    o->bytes[6] = (uint8_t)(records >> 8);
    o->bytes[7] = (uint8_t)records;
}

static void put_answers(out *o, const char *name, unsigned type)
{
    size_t records = 0;
    const row *r = row_of(name);
    for (; r->cname; name = r->cname, r = row_of(name)) {
        put_record(o, name, TYPE_CNAME, r->ttl);
        size_t at = o->len;
        put16(o, 0);
        put_name(o, r->cname);
        o->bytes[at] = (uint8_t)((o->len - at - 2) >> 8);
        o->bytes[at + 1] = (uint8_t)(o->len - at - 2);
        records++;
    }
    int count = type == TYPE_A ? r->v4 : type == TYPE_AAAA ? r->v6 : 0;
    for (int i = 0; i < count; i++, records++)
        put_address(o, name, type, r, i + 1);
    patch_count(o, records);
}

/* The answer to a question; nothing in it: be silent. */
static void answer(out *o, const uint8_t *q, size_t len, bool tcp)
{
    char name[300];
    size_t type_at = parse_question(q, len, name, sizeof name);
    unsigned type = (unsigned)q[type_at] << 8 | q[type_at + 1];
    const row *r = row_of(name);
    bool edns = q[11] > 0; /* a record behind the question */
    int rcode = r->no_edns && !edns ? RCODE_OK : r->rcode;
    o->len = 0;
    if ((r->silent && (edns || !r->no_edns)) || (r->mute && tcp))
        return;
    bool cut = r->cut && !tcp;
    put8(o, q[0]);
    put8(o, q[1]);
    put8(o, 0x80 | (q[2] & 1) | (cut ? 2 : 0)); /* an answer; as asked for; truncated */
    put8(o, 0x80 | (unsigned)rcode);
    put16(o, 1);
    put16(o, 0);
    put16(o, 0);
    put16(o, 0);
    for (size_t i = 12; i < type_at + 4; i++) /* the question */
        put8(o, q[i]);
    if (r->garbage) {
        patch_count(o, 3);
        for (unsigned i = 0; i < 40; i++)
            put8(o, 0xc0 + i * 37);
    } else if (!cut && rcode == RCODE_OK && !(edns && r->no_edns)) {
        put_answers(o, name, type);
    }
}

/* ---- sockets ---- */

static void send_to(const dns_server *s, const out *o, const struct sockaddr_in *to)
{
    if (o->len)
        (void)sendto(s->udp, o->bytes, o->len, 0, (const struct sockaddr *)to, sizeof *to);
}

static bool is_held(const uint8_t *q, size_t len)
{
    char name[300];
    size_t type_at = parse_question(q, len, name, sizeof name);
    return strstr(name, ".later.") || (row_of(name)->held_v6 && q[type_at + 1] == TYPE_AAAA);
}

static void serve_udp(dns_server *s)
{
    held h;
    socklen_t from_len = sizeof h.from;
    ssize_t n = recvfrom(s->udp, h.query, sizeof h.query, 0, (struct sockaddr *)&h.from, &from_len);
    if (n < 0)
        return;
    h.len = (size_t)n;
    atomic_fetch_add(&s->asked, 1);
    if (is_held(h.query, h.len)) {
        CHECK(s->held_len < HELD_MAX);
        s->held[s->held_len++] = h;
        return;
    }
    out o;
    answer(&o, h.query, h.len, false);
    char name[300];
    parse_question(h.query, h.len, name, sizeof name);
    if (row_of(name)->wrong_id) {
        out wrong = o;
        wrong.bytes[0] ^= 0x55;
        send_to(s, &wrong, &h.from);
    }
    send_to(s, &o, &h.from);
}

static bool read_whole(int fd, uint8_t *to, size_t len)
{
    return recv(fd, to, len, MSG_WAITALL) == (ssize_t)len;
}

/* One connection at a time, until the peer ends it: enough for one resolver. */
static void serve_tcp(dns_server *s)
{
    int fd = accept(s->tcp, NULL, NULL);
    uint8_t head[2], q[MESSAGE_MAX];
    out o;
    if (fd < 0)
        return;
    while (read_whole(fd, head, 2)) {
        size_t len = (size_t)head[0] << 8 | head[1];
        if (len > sizeof q || !read_whole(fd, q, len))
            break;
        atomic_fetch_add(&s->asked, 1);
        atomic_fetch_add(&s->asked_tcp, 1);
        answer(&o, q, len, true);
        if (!o.len)
            continue;
        head[0] = (uint8_t)(o.len >> 8);
        head[1] = (uint8_t)o.len;
        if (send(fd, head, 2, MSG_NOSIGNAL | MSG_MORE) != 2 ||
            send(fd, o.bytes, o.len, MSG_NOSIGNAL) != (ssize_t)o.len)
            break;
    }
    close(fd);
}

static void release_held(dns_server *s)
{
    for (uint32_t i = 0; i < s->held_len; i++) {
        out o;
        answer(&o, s->held[i].query, s->held[i].len, false);
        send_to(s, &o, &s->held[i].from);
    }
    s->held_len = 0;
}

static void *serve(void *arg)
{
    dns_server *s = arg;
    for (;;) {
        struct pollfd p[3] = {{s->udp, POLLIN, 0}, {s->tcp, POLLIN, 0}, {s->stop[0], POLLIN, 0}};
        char word;
        if (poll(p, 3, -1) < 0)
            continue;
        if (p[0].revents)
            serve_udp(s);
        if (p[1].revents)
            serve_tcp(s);
        if (!p[2].revents)
            continue;
        if (read(s->stop[0], &word, 1) != 1)
            return NULL;
        release_held(s);
    }
}

/* Both sockets on one port, which the system chooses. */
static bool open_both(dns_server *s)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t len = sizeof a;
    s->udp = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    s->tcp = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK(s->udp >= 0 && s->tcp >= 0);
    CHECK(bind(s->udp, (struct sockaddr *)&a, sizeof a) == 0);
    CHECK(getsockname(s->udp, (struct sockaddr *)&a, &len) == 0);
    if (bind(s->tcp, (struct sockaddr *)&a, sizeof a) == 0 && listen(s->tcp, 8) == 0) {
        snprintf(s->addr, sizeof s->addr, "127.0.0.1:%u", ntohs(a.sin_port));
        return true;
    }
    close(s->udp);
    close(s->tcp);
    return false;
}

dns_server *dns_server_start(void)
{
    dns_server *s = calloc(1, sizeof *s);
    CHECK(s);
    int tries = 0;
    while (!open_both(s))
        CHECK(++tries < 100);
    CHECK(pipe(s->stop) == 0);
    CHECK(pthread_create(&s->thread, NULL, serve, s) == 0);
    return s;
}

const char *dns_server_addr(const dns_server *s)
{
    return s->addr;
}

uint32_t dns_server_asked(const dns_server *s)
{
    return atomic_load(&s->asked);
}

uint32_t dns_server_asked_tcp(const dns_server *s)
{
    return atomic_load(&s->asked_tcp);
}

void dns_server_release(dns_server *s)
{
    CHECK(write(s->stop[1], "r", 1) == 1);
}

void dns_server_stop(dns_server *s)
{
    close(s->stop[1]);
    CHECK(pthread_join(s->thread, NULL) == 0);
    close(s->stop[0]);
    close(s->udp);
    close(s->tcp);
    free(s);
}
