/* The receive buffers of a shard, against a model that keeps a place for each buffer. */
#include <criterion/criterion.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "rbuf.h"

enum { OUT, HELD, LENT };

typedef struct model {
    rbuf r;
    uint8_t place[HS_RBUFS_MAX];
    bool dirty[HS_RBUFS_MAX];
    uint32_t held, lent, peak, target;
    uint64_t random;
} model;

static uint32_t random_below(model *m, uint32_t n)
{
    m->random = m->random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (uint32_t)(m->random >> 33) % n;
}

/* A random buffer that is in `place`, or HS_RBUFS_MAX. */
static uint32_t pick(model *m, uint8_t place)
{
    uint32_t start = random_below(m, HS_RBUFS_MAX);
    for (uint32_t i = 0; i < HS_RBUFS_MAX; i++) {
        uint32_t id = (start + i) % HS_RBUFS_MAX;
        if (m->place[id] == place)
            return id;
    }
    return HS_RBUFS_MAX;
}

static void step_next(model *m)
{
    uint16_t id = UINT16_MAX;
    bool got = rbuf_next(&m->r, &id);
    cr_assert_eq(got, m->held + m->lent < m->target);
    if (!got)
        return;
    cr_assert_lt(id, HS_RBUFS_MAX);
    cr_assert_eq(m->place[id], OUT);
    m->place[id] = HELD;
    m->held++;
}

static void step_grow(model *m)
{
    cr_assert_eq(rbuf_grow(&m->r), m->target < HS_RBUFS_MAX);
    m->target = m->target * 2 > HS_RBUFS_MAX ? HS_RBUFS_MAX : m->target * 2;
}

static void step_lend(model *m)
{
    uint32_t id = pick(m, HELD);
    if (id == HS_RBUFS_MAX)
        return;
    memset(rbuf_at(&m->r, (uint16_t)id), (int)(id % 251) + 1, HS_RBUF_BYTES);
    rbuf_lend(&m->r, (uint16_t)id);
    m->place[id] = LENT;
    m->dirty[id] = true;
    m->held--;
    m->lent++;
    m->peak = m->lent > m->peak ? m->lent : m->peak;
}

static void step_give(model *m)
{
    uint32_t id = pick(m, LENT);
    if (id == HS_RBUFS_MAX)
        return;
    bool keep = m->held + m->lent <= m->target;
    cr_assert_eq(rbuf_give(&m->r, (uint16_t)id), keep);
    m->place[id] = keep ? HELD : OUT;
    m->lent--;
    m->held += keep;
}

static void step_trim(model *m)
{
    uint32_t needed = HS_RBUFS_MIN;
    while (needed < m->peak)
        needed *= 2;
    m->target = needed < m->target ? needed : m->target;
    bool all = m->peak == 0 || m->held + m->lent > m->target;
    m->peak = m->lent;
    bool left = m->target > HS_RBUFS_MIN || m->held + m->lent > m->target;
    for (uint32_t id = 0; id < HS_RBUFS_MAX; id++) {
        if (m->place[id] == OUT || (m->place[id] == HELD && all))
            m->dirty[id] = false;
        left |= m->place[id] == HELD && m->dirty[id];
    }
    cr_assert_eq(rbuf_trim(&m->r), left);
    /* What is lent keeps its contents. */
    for (uint32_t id = 0; id < HS_RBUFS_MAX; id++) {
        if (m->place[id] != LENT)
            continue;
        const uint8_t *at = rbuf_at(&m->r, (uint16_t)id);
        cr_assert_eq(at[0], id % 251 + 1);
        cr_assert_eq(at[HS_RBUF_BYTES - 1], id % 251 + 1);
    }
}

static void check(const model *m)
{
    rbuf_validate(&m->r);
    cr_assert_eq(m->r.in_use, m->held + m->lent);
    cr_assert_eq(m->r.lent, m->lent);
    cr_assert_eq(m->r.target, m->target);
}

static void run(uint64_t seed)
{
    model *m = calloc(1, sizeof(*m));
    cr_assert(m && hs_ok(rbuf_init(&m->r, hs_mem_system())));
    m->target = HS_RBUFS_MIN;
    m->random = seed;
    for (int i = 0; i < 4000; i++) {
        uint32_t what = random_below(m, 100);
        /* Long phases of load and of quiet, so that the target goes both ways. */
        bool busy = i / 500 % 2 == 0;
        if (what < 45)
            step_next(m);
        else if (what < (busy ? 75u : 55u))
            step_lend(m);
        else if (what < 97)
            step_give(m);
        else if (what < (busy ? 99u : 98u))
            step_grow(m);
        else
            step_trim(m);
        check(m);
    }
    while (m->lent > 0)
        step_give(m);
    check(m);
    rbuf_fini(&m->r);
    free(m);
}

Test(shard_rbuf, behaves_as_the_model)
{
    for (uint64_t seed = 1; seed <= 10; seed++)
        run(seed);
}

static uint32_t pages_resident(const rbuf *r)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    size_t bytes = (size_t)HS_RBUFS_MAX * HS_RBUF_BYTES;
    unsigned char *map = calloc(bytes / page, 1);
    cr_assert_eq(mincore(r->base, bytes, map), 0);
    uint32_t count = 0;
    for (size_t i = 0; i < bytes / page; i++)
        count += map[i] & 1;
    free(map);
    return count;
}

/* Lend and give back every buffer that the backend holds, as a burst does. */
static void burst(rbuf *r, uint16_t *ids, uint32_t len, uint32_t *kept)
{
    for (uint32_t i = 0; i < len; i++) {
        memset(rbuf_at(r, ids[i]), 1, HS_RBUF_BYTES);
        rbuf_lend(r, ids[i]);
    }
    *kept = 0;
    for (uint32_t i = 0; i < len; i++) {
        if (rbuf_give(r, ids[i]))
            ids[(*kept)++] = ids[i];
    }
}

Test(shard_rbuf, memory_returns_after_a_burst)
{
    static rbuf r;
    static uint16_t ids[HS_RBUFS_MAX];
    uint32_t len = 0, kept = 0;
    cr_assert(hs_ok(rbuf_init(&r, hs_mem_system())));
    uint32_t at_start = pages_resident(&r);
    while (rbuf_grow(&r))
        continue;
    while (rbuf_next(&r, &ids[len]))
        len++;
    cr_assert_eq(len, HS_RBUFS_MAX);
    burst(&r, ids, len, &kept);
    cr_assert_eq(kept, HS_RBUFS_MAX);
    cr_assert_gt(pages_resident(&r), at_start + 1000);

    cr_assert(rbuf_trim(&r)); /* this period needed them all */
    cr_assert_eq(r.target, HS_RBUFS_MAX);
    cr_assert(rbuf_trim(&r)); /* this one none: the backend holds more than it should */
    cr_assert_eq(r.target, HS_RBUFS_MIN);
    /* Fewer than at the start under ASan, which writes to the first page of what it hands out. */
    cr_assert_leq(pages_resident(&r), at_start);

    burst(&r, ids, len, &kept); /* they leave the backend as they are used */
    cr_assert_eq(kept, HS_RBUFS_MIN);
    r.lent_peak = HS_RBUFS_MIN; /* as few were enough */
    cr_assert(rbuf_trim(&r));
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    uint32_t few = HS_RBUFS_MIN * HS_RBUF_BYTES / (uint32_t)page;
    cr_assert_leq(pages_resident(&r), at_start + few);
    cr_assert_geq(pages_resident(&r), few); /* what was used in the period is kept */
    cr_assert_not(rbuf_trim(&r));           /* and given back after a quiet one */
    cr_assert_leq(pages_resident(&r), at_start);
    rbuf_fini(&r);
}

static void *take_none(void *ctx, size_t bytes, size_t align)
{
    (void)ctx, (void)bytes, (void)align;
    return NULL;
}

Test(shard_rbuf, no_memory_is_told)
{
    static rbuf r;
    hs_mem none = {take_none, NULL, NULL};
    cr_assert_eq(rbuf_init(&r, &none).code, -ENOMEM);
}

Test(shard_rbuf, giving_back_twice_is_an_error_of_the_programmer, .signal = SIGABRT)
{
    static rbuf r;
    uint16_t id = 0;
    cr_assert(hs_ok(rbuf_init(&r, hs_mem_system())));
    cr_assert(rbuf_next(&r, &id));
    rbuf_lend(&r, id);
    cr_assert(rbuf_give(&r, id));
    cr_assert(rbuf_give(&r, id));
}
