/* Receiving datagrams on the system's sockets: many at once, floods, pauses, memory that is there
 * only while data comes. */
#include "inside.h"
#include "udp_queue.h"
#include "udp_rig.h"

static int plain; /* sends without the code under test */

static void begin(real *r)
{
    udp_begin(r);
    plain = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    cr_assert_geq(plain, 0);
    end_bind(&ends[0], "127.0.0.1:0");
    end_bind(&ends[1], "127.0.0.1:0");
}

static void finish(real *r)
{
    close(plain);
    udp_finish(r);
}

static void throw_at(const end *e, const void *bytes, size_t len)
{
    const hs_addr *addr = hs_udp_addr(e->s);
    cr_assert_eq(sendto(plain, bytes, len, 0, &addr->sa.any, addr->len), (ssize_t)len);
}

static void flood(const end *e, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        throw_at(e, &i, sizeof i);
}

/* The same, and all of it waits to be read. */
static void flood_in(const end *e, uint32_t count)
{
    int fd = e->s->fd;
    cr_assert_eq(queued_bytes(fd), 0);
    flood(e, 1);
    uint32_t each = until_queued_over(fd, 0);
    for (uint32_t i = 1; i < count; i++)
        throw_at(e, &i, sizeof i);
    until_queued(fd, count * each);
}

REAL_TEST(net_udp_recv, a_call_takes_many)
{
    begin(r);
    flood_in(&ends[0], 100);
    REAL_UNTIL(r, ends[0].heard_len == 100);
    cr_assert_eq(ends[0].list_max, HS_UDP_BATCH);
    cr_assert_eq(udp_count(r, "udp_calls_in"), 4);
    for (uint32_t i = 0; i < 100; i++)
        cr_assert(ends[0].heard[i].len == 4 && ends[0].heard[i].first == i);
    finish(r);
}

static uint32_t heard_at_tick[3], ticks;

static void tick(hs_timer *timer)
{
    if (ticks < HS_ARRAY_LEN(heard_at_tick))
        heard_at_tick[ticks++] = ends[0].heard_len;
    cr_assert(hs_ok(hs_timer_after(real_one.shard, timer, 0, tick)));
}

/* The next datagram is there before the last was heard, for ever. */
static void throw_more(end *e)
{
    if (e->heard_len < 2000)
        flood(e, HS_UDP_BATCH);
}

REAL_TEST(net_udp_recv, a_flood_stops_neither_timers_nor_others)
{
    hs_timer timer = {0};
    begin(r);
    ends[0].on_in = throw_more;
    flood(&ends[0], 3 * HS_UDP_BATCH);
    cr_assert(hs_ok(hs_timer_after(r->shard, &timer, 0, tick)));
    REAL_UNTIL(r, ends[0].heard_len > 0);
    throw_at(&ends[1], "me too", 6);
    (void)until_queued_over(ends[1].s->fd, 0);
    uint32_t before = ends[0].heard_len;
    REAL_UNTIL(r, ends[1].heard_len == 1);
    cr_assert_leq(ends[0].heard_len, before + 2 * HS_UDP_BATCH);
    REAL_UNTIL(r, ends[0].heard_len >= 2000);
    cr_assert_eq(ticks, 3);
    cr_assert_leq(heard_at_tick[1], heard_at_tick[0] + HS_UDP_BATCH);
    cr_assert_leq(heard_at_tick[2], heard_at_tick[1] + HS_UDP_BATCH);
    hs_timer_cancel(r->shard, &timer);
    finish(r);
}

/* What the sender's kernel put together is told apart again. */
static void segments(real *r, uint16_t segment, size_t len)
{
    static uint8_t bytes[60000];
    uint32_t count = (uint32_t)((len + segment - 1) / segment);
    for (size_t i = 0; i < len; i++)
        bytes[i] = (uint8_t)(1 + i / segment);
    begin(r);
    const hs_addr *addr = hs_udp_addr(ends[0].s);
    cr_assert_eq(connect(plain, &addr->sa.any, addr->len), 0);
    int value = segment;
    if (setsockopt(plain, SOL_UDP, UDP_SEGMENT, &value, sizeof value) != 0) {
        finish(r);
        return; /* not here */
    }
    cr_assert_eq(send(plain, bytes, len, 0), (ssize_t)len);
    REAL_UNTIL(r, ends[0].heard_len == count);
    for (uint32_t i = 0; i < count; i++) {
        const heard *h = &ends[0].heard[i];
        cr_assert_eq(h->len, i + 1 < count ? segment : len - (size_t)segment * (count - 1));
        cr_assert(h->uniform && h->first == (uint8_t)(i + 1));
    }
    cr_assert_eq(udp_count(r, "udp_in"), count);
    cr_assert_eq(udp_count(r, "udp_bytes_in"), len);
    if (ends[0].s->udp->gro) /* one message */
        cr_assert_eq(udp_count(r, "udp_calls_in"), 1);
    finish(r);
}

REAL_TEST(net_udp_recv, segments_are_told_apart)
{
    segments(r, 1000, 10500);
}

REAL_TEST(net_udp_recv, as_many_as_there_can_be)
{
    segments(r, 7, 64 * 7);
}

/* A list that is full in the middle of a message goes on in the next event. */
REAL_TEST(net_udp_recv, more_segments_than_an_event_has)
{
    uint8_t bytes[400];
    int value = 10;
    begin(r);
    const hs_addr *addr = hs_udp_addr(ends[0].s);
    cr_assert_eq(connect(plain, &addr->sa.any, addr->len), 0);
    if (setsockopt(plain, SOL_UDP, UDP_SEGMENT, &value, sizeof value) == 0) {
        for (int i = 0; i < 4; i++) {
            memset(bytes, 'a' + i, sizeof bytes);
            uint32_t before = queued_bytes(ends[0].s->fd);
            cr_assert_eq(send(plain, bytes, sizeof bytes, 0), (ssize_t)sizeof bytes);
            (void)until_queued_over(ends[0].s->fd, before);
        }
        REAL_UNTIL(r, ends[0].heard_len == 160);
        if (ends[0].s->udp->gro) {
            cr_assert_eq(ends[0].list_max, UDP_LIST_MAX);
            cr_assert_eq(ends[0].events_in, 3);
        }
        for (uint32_t i = 0; i < 160; i++)
            cr_assert(ends[0].heard[i].len == 10 && ends[0].heard[i].uniform &&
                      ends[0].heard[i].first == 'a' + i / 40);
    }
    finish(r);
}

static void close_it(end *e)
{
    hs_udp_close(e->s);
}

REAL_TEST(net_udp_recv, closing_in_the_middle_of_a_message)
{
    uint8_t bytes[640];
    int value = 10;
    memset(bytes, 'x', sizeof bytes);
    begin(r);
    const hs_addr *addr = hs_udp_addr(ends[0].s);
    cr_assert_eq(connect(plain, &addr->sa.any, addr->len), 0);
    ends[0].on_in = close_it;
    bool cut = setsockopt(plain, SOL_UDP, UDP_SEGMENT, &value, sizeof value) == 0;
    for (int i = 0; i < 3; i++)
        cr_assert_eq(send(plain, bytes, sizeof bytes, 0), (ssize_t)sizeof bytes);
    REAL_UNTIL(r, ends[0].closes == 1);
    cr_assert_eq(ends[0].events_in, 1);
    cr_assert_leq(ends[0].heard_len, cut ? UDP_LIST_MAX : 3);
    finish(r);
}

REAL_TEST(net_udp_recv, a_pause_hears_nothing)
{
    begin(r);
    hs_udp_pause(ends[0].s);
    hs_udp_pause(ends[0].s);
    flood(&ends[0], 5);
    real_idle(r, 10);
    cr_assert_eq(ends[0].heard_len, 0);
    hs_udp_resume(ends[0].s);
    hs_udp_resume(ends[0].s);
    REAL_UNTIL(r, ends[0].heard_len == 5);
    hs_udp_pause(ends[0].s);
    hs_udp_resume(ends[0].s); /* while the pause is on its way */
    flood(&ends[0], 5);
    REAL_UNTIL(r, ends[0].heard_len == 10);
    finish(r);
}

/* What is not taken in time is lost, not kept: the system's buffer is the limit. */
REAL_TEST(net_udp_recv, a_slow_reader_loses_what_has_no_room)
{
    hs_addr addr = at("127.0.0.1:0");
    begin(r);
    end_open(&ends[2], (hs_udp_options){.bind = &addr, .recv_bytes = 4096});
    hs_udp_pause(ends[2].s);
    real_idle(r, 3);
    flood(&ends[2], 1000);
    hs_udp_resume(ends[2].s);
    REAL_UNTIL(r, ends[2].heard_len > 0);
    real_idle(r, 10);
    cr_assert_lt(ends[2].heard_len, 1000);
    uint32_t before = ends[2].heard_len;
    flood(&ends[2], 1);
    REAL_UNTIL(r, ends[2].heard_len == before + 1);
    finish(r);
}

REAL_TEST(net_udp_recv, memory_is_there_while_data_comes)
{
    r->shard->trimming = true; /* by the clock it could be in between */
    begin(r);
    real_idle(r, 3);
    cr_assert_null(udp->rx);
    size_t before = r->mem.bytes_out;
    flood(&ends[0], 10);
    REAL_UNTIL(r, ends[0].heard_len == 10);
    cr_assert_not_null(udp->rx);
    cr_assert_eq(r->mem.bytes_out, before + sizeof(udp_rx));
    cr_assert(udp->trim.fn(&udp->trim)); /* the first period had use for it */
    cr_assert_not_null(udp->rx);
    (void)udp->trim.fn(&udp->trim);
    cr_assert_null(udp->rx);
    cr_assert_leq(r->mem.bytes_out, before);
    flood(&ends[0], 10);
    REAL_UNTIL(r, ends[0].heard_len == 20);
    finish(r);
}

REAL_TEST(net_udp_recv, without_memory_it_tries_again)
{
    begin(r);
    real_idle(r, 2);
    r->mem.fail_at = r->mem.takes + 1;
    r->mem.fail_on = true;
    flood(&ends[0], 10);
    REAL_UNTIL(r, r->mem.fails >= 2);
    cr_assert(hs_timer_active(&ends[0].s->again)); /* and does not burn a core */
    cr_assert(!hs_op_active(&ends[0].s->in));
    r->mem.fail_at = 0;
    REAL_UNTIL(r, ends[0].heard_len == 10);
    r->mem.fail_at = r->mem.takes + 1;
    hs_mem_give(&r->mem.mem, udp->rx, sizeof *udp->rx, HS_CACHE_LINE);
    udp->rx = NULL;
    flood(&ends[0], 1);
    REAL_UNTIL(r, hs_timer_active(&ends[0].s->again));
    hs_udp_close(ends[0].s); /* while it waits */
    REAL_UNTIL(r, ends[0].closes == 1);
    r->mem.fail_at = 0;
    finish(r);
}
