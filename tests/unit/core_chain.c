/* Chains: rule by rule, then against a model (the plain bytes), then with memory that fails. */
#include "core_help.h"

#include <errno.h>
#include <signal.h>
#include <string.h>

#include "hs_chain.h"

static hs_pool pool_of(const hs_mem *mem, uint32_t chunks)
{
    hs_pool pool;
    cr_assert(hs_ok(hs_pool_init(&pool, mem, HS_CHUNK_BYTES, chunks)));
    return pool;
}

/* Whether the chain says exactly `expected`. */
static void says(const hs_chain *c, hs_span expected)
{
    struct iovec iov[64];
    size_t bytes = 0, count = hs_chain_iov(c, iov, HS_ARRAY_LEN(iov), &bytes);
    hs_chain_validate(c);
    cr_assert_eq(c->len, expected.len);
    cr_assert_eq(bytes, expected.len);
    for (size_t i = 0; i < count; i++) {
        cr_assert_gt(iov[i].iov_len, 0);
        hs_span part = hs_span_of(iov[i].iov_base, iov[i].iov_len);
        cr_assert(hs_span_starts(expected, part));
        expected = hs_span_from(expected, part.len);
    }
    cr_assert_eq(expected.len, 0);
}

static void write_text(hs_chain *c, hs_pool *pool, const char *text)
{
    uint8_t *at = hs_chain_reserve(c, pool, strlen(text));
    cr_assert_not_null(at);
    memcpy(at, text, strlen(text));
    hs_chain_commit(c, strlen(text));
}

Test(core_chain, reserve_and_commit)
{
    hs_pool pool = pool_of(hs_mem_system(), 10);
    hs_chain c = {0};
    hs_chain_validate(&c);
    write_text(&c, &pool, "Hello, ");
    write_text(&c, &pool, "World!");
    says(&c, HS_SPAN("Hello, World!"));
    cr_assert_eq(pool.slots_used, 1);
    hs_chain_consume(&c, &pool, 7);
    says(&c, HS_SPAN("World!"));
    hs_chain_consume(&c, &pool, 6);
    says(&c, HS_SPAN(""));
    cr_assert_eq(pool.slots_used, 0);
    hs_pool_fini(&pool);
}

Test(core_chain, a_whole_chunk_can_be_reserved_and_no_more_fits)
{
    hs_pool pool = pool_of(hs_mem_system(), 2);
    hs_chain c;
    hs_chain_init(&c);
    uint8_t *first = hs_chain_reserve(&c, &pool, HS_CHUNK_ROOM);
    memset(first, 'a', HS_CHUNK_ROOM);
    hs_chain_commit(&c, HS_CHUNK_ROOM - 1);
    cr_assert_eq(hs_chain_reserve(&c, &pool, 1), first + HS_CHUNK_ROOM - 1);
    hs_chain_commit(&c, 1);
    cr_assert_eq(pool.slots_used, 1);
    cr_assert_not_null(hs_chain_reserve(&c, &pool, 1));
    cr_assert_eq(pool.slots_used, 2);
    hs_chain_commit(&c, 1);
    cr_assert_null(hs_chain_reserve(&c, &pool, HS_CHUNK_ROOM));
    hs_chain_validate(&c);
    cr_assert_eq(c.len, HS_CHUNK_ROOM + 1);
    hs_chain_clear(&c, &pool);
    hs_pool_fini(&pool);
}

Test(core_chain, a_reserved_place_that_stays_empty)
{
    hs_pool pool = pool_of(hs_mem_system(), 4);
    hs_chain c, other;
    hs_chain_init(&c);
    hs_chain_init(&other);
    cr_assert_not_null(hs_chain_reserve(&c, &pool, 10));
    says(&c, HS_SPAN(""));
    hs_chain_consume(&c, &pool, 0); /* an empty chain holds no chunk */
    cr_assert_eq(pool.slots_used, 0);
    cr_assert_not_null(hs_chain_reserve(&c, &pool, 10));
    write_text(&other, &pool, "x");
    hs_chain_join(&c, &other);
    says(&c, HS_SPAN("x"));
    cr_assert_not_null(hs_chain_reserve(&other, &pool, 10));
    hs_chain_join(&c, &other); /* nothing to send, but a chunk to give back */
    says(&c, HS_SPAN("x"));
    hs_chain_consume(&c, &pool, 1);
    cr_assert_eq(pool.slots_used, 0);
    hs_pool_fini(&pool);
}

static void count_up(void *ctx)
{
    *(int *)ctx += 1;
}

Test(core_chain, borrowed_bytes_are_done_once)
{
    static const char text[] = "borrowed";
    hs_pool pool = pool_of(hs_mem_system(), 4);
    hs_chain c = {0};
    int done = 0;
    write_text(&c, &pool, "<");
    cr_assert(hs_ok(hs_chain_borrow(&c, &pool, hs_span_of(text, 8), count_up, &done)));
    cr_assert(hs_ok(hs_chain_borrow(&c, &pool, HS_SPAN("constant"), NULL, NULL)));
    write_text(&c, &pool, ">");
    says(&c, HS_SPAN("<borrowedconstant>"));
    struct iovec iov[2];
    size_t bytes = 0;
    cr_assert_eq(hs_chain_iov(&c, iov, 2, &bytes), 2);
    cr_assert_eq(bytes, 9);
    cr_assert_eq(iov[1].iov_base, text); /* not copied */
    cr_assert_eq(hs_chain_iov(&c, NULL, 0, &bytes), 0);
    cr_assert_eq(bytes, 0);
    hs_chain_consume(&c, &pool, 8);
    cr_assert_eq(done, 0);
    hs_chain_consume(&c, &pool, 1);
    cr_assert_eq(done, 1);
    hs_chain_clear(&c, &pool);
    cr_assert_eq(done, 1);
    hs_pool_fini(&pool);
}

typedef struct again {
    hs_chain *chain;
    hs_pool *pool;
    int times;
} again;

static void append_again(void *ctx)
{
    again *a = ctx;
    a->times++;
    cr_assert(hs_ok(hs_chain_append(a->chain, a->pool, HS_SPAN("new"))));
}

Test(core_chain, done_may_append)
{
    hs_pool pool = pool_of(hs_mem_system(), 4);
    hs_chain c = {0};
    again a = {&c, &pool, 0};
    cr_assert(hs_ok(hs_chain_borrow(&c, &pool, HS_SPAN("old"), append_again, &a)));
    hs_chain_consume(&c, &pool, 3);
    says(&c, HS_SPAN("new"));
    cr_assert(hs_ok(hs_chain_borrow(&c, &pool, HS_SPAN("old"), append_again, &a)));
    hs_chain_clear(&c, &pool);
    says(&c, HS_SPAN("new"));
    cr_assert_eq(a.times, 2);
    hs_chain_clear(&c, &pool);
    hs_pool_fini(&pool);
}

Test(core_chain, append_is_all_or_nothing)
{
    static uint8_t big[4 * HS_CHUNK_BYTES];
    for (size_t i = 0; i < sizeof(big); i++)
        big[i] = (uint8_t)(i * 7 + i / 256);
    hs_pool pool = pool_of(hs_mem_system(), 3);
    hs_chain c = {0};
    write_text(&c, &pool, "start");
    hs_err e = hs_chain_append(&c, &pool, hs_span_of(big, 3 * HS_CHUNK_ROOM - 4));
    cr_assert_eq(e.code, -ENOMEM);
    says(&c, HS_SPAN("start"));
    cr_assert_eq(pool.slots_used, 1);
    cr_assert(hs_ok(hs_chain_append(&c, &pool, hs_span_of(big, 3 * HS_CHUNK_ROOM - 5))));
    cr_assert(hs_ok(hs_chain_append(&c, &pool, HS_SPAN("")))); /* nothing needs no room */
    hs_chain_consume(&c, &pool, 5);
    says(&c, hs_span_of(big, 3 * HS_CHUNK_ROOM - 5));
    hs_chain_clear(&c, &pool);
    hs_pool_fini(&pool);
}

/* The model: bytes that are still to be sent, in one piece, and how many borrowed pieces lie there.
 */
enum { MODEL_BYTES = 400000, MODEL_DONE = 4000 };
typedef struct model {
    uint8_t bytes[MODEL_BYTES];
    size_t len, from;
    int borrowed, done;
} model;

static uint8_t model_source[3 * HS_CHUNK_BYTES];

static void model_expect(model *m, hs_span data)
{
    memcpy(m->bytes + m->len, data.ptr, data.len);
    m->len += data.len;
}

static hs_span model_data(rng *r, size_t len_max)
{
    size_t len = rng_below(r, (uint32_t)len_max + 1);
    return hs_span_of(model_source + rng_below(r, (uint32_t)(sizeof(model_source) - len)), len);
}

static void model_add(model *m, rng *r, hs_chain *c, hs_pool *pool)
{
    hs_span data;
    uint8_t *at;
    switch (rng_below(r, 4)) {
    case 0:
        data = model_data(r, rng_one_in(r, 3) ? HS_CHUNK_ROOM : 100);
        at = hs_chain_reserve(c, pool, data.len);
        cr_assert_not_null(at);
        memcpy(at, data.ptr, data.len);
        hs_chain_commit(c, data.len);
        break;
    case 1:
        data = model_data(r, sizeof(model_source) - 1);
        cr_assert(hs_ok(hs_chain_append(c, pool, data)));
        break;
    case 2:
        data = model_data(r, 2000);
        data.len = HS_MAX(data.len, (size_t)1);
        cr_assert(hs_ok(hs_chain_borrow(c, pool, data, count_up, &m->done)));
        m->borrowed++;
        break;
    default: {
        hs_chain other = {0};
        data = model_data(r, 5000);
        cr_assert(hs_ok(hs_chain_append(&other, pool, data)));
        hs_chain_join(c, &other);
        cr_assert_eq(other.len, 0);
        break;
    }
    }
    model_expect(m, data);
}

static void model_run(rng *r, model *m, hs_pool *pool)
{
    hs_chain c = {0};
    for (int step = 0; step < 400; step++) {
        if (m->len < MODEL_BYTES - sizeof(model_source) && !rng_one_in(r, 3)) {
            model_add(m, r, &c, pool);
        } else {
            size_t n = rng_below(r, (uint32_t)(m->len - m->from) + 1);
            hs_chain_consume(&c, pool, n);
            m->from += n;
        }
        cr_assert_leq(m->done, m->borrowed);
        size_t bytes = 0;
        struct iovec iov[64];
        size_t count = hs_chain_iov(&c, iov, 1 + rng_below(r, 64), &bytes);
        hs_span expected = hs_span_of(m->bytes + m->from, m->len - m->from);
        cr_assert_eq(c.len, expected.len);
        for (size_t i = 0; i < count; i++) {
            hs_span part = hs_span_of(iov[i].iov_base, iov[i].iov_len);
            cr_assert(hs_span_starts(expected, part));
            expected = hs_span_from(expected, part.len);
        }
        hs_chain_validate(&c);
    }
    if (rng_one_in(r, 2))
        hs_chain_clear(&c, pool);
    else
        hs_chain_consume(&c, pool, c.len);
    cr_assert_null(c.head);
    cr_assert_eq(m->done, m->borrowed);
    cr_assert_eq(pool->slots_used, 0);
}

Test(core_chain, model)
{
    static model m;
    rng r = rng_seeded("chain");
    for (size_t i = 0; i < sizeof(model_source); i++)
        model_source[i] = (uint8_t)rng_next(&r);
    hs_pool pool = pool_of(hs_mem_system(), 10000);
    for (int round = 0; round < 50; round++) {
        memset(&m, 0, sizeof(m));
        model_run(&r, &m, &pool);
    }
    hs_pool_fini(&pool);
}

static hs_err scene_steps(hs_chain *c, hs_pool *pool, int *done)
{
    static uint8_t big[40 * HS_CHUNK_BYTES];
    for (int i = 0; i < 3; i++) {
        size_t before = c->len;
        hs_err e = hs_chain_append(c, pool, hs_span_of(big, sizeof(big)));
        cr_assert(hs_ok(e) || c->len == before);
        HS_TRY(e);
        *done -= 1;
        e = hs_chain_borrow(c, pool, HS_SPAN("text"), count_up, done);
        if (!hs_ok(e))
            *done += 1; /* and it is never called */
        HS_TRY(e);
        HS_ENSURE(hs_chain_reserve(c, pool, HS_CHUNK_ROOM), HS_E_LIMIT);
    }
    return HS_OK;
}

static hs_err scene(const hs_mem *mem)
{
    hs_pool pool;
    HS_TRY(hs_pool_init(&pool, mem, HS_CHUNK_BYTES, 1000));
    hs_chain c = {0};
    int done = 0;
    hs_err e = scene_steps(&c, &pool, &done);
    hs_chain_validate(&c);
    hs_chain_clear(&c, &pool);
    cr_assert_eq(done, 0);
    hs_pool_fini(&pool);
    return e;
}

Test(core_chain, memory_fails)
{
    cr_assert_gt(fault_each(scene, false), 8);
}

static hs_err scene_limit(uint32_t chunks)
{
    hs_pool pool = pool_of(hs_mem_system(), chunks);
    hs_chain c = {0};
    int done = 0;
    hs_err e = scene_steps(&c, &pool, &done);
    hs_chain_clear(&c, &pool);
    cr_assert_eq(done, 0);
    hs_pool_fini(&pool);
    return e;
}

Test(core_chain, every_limit_of_the_pool)
{
    uint32_t chunks = 1;
    while (!hs_ok(scene_limit(chunks)))
        chunks++;
    cr_assert_geq(chunks, 120);
}

Test(core_chain, commit_past_the_room, .signal = SIGABRT)
{
    hs_pool pool = pool_of(hs_mem_system(), 4);
    hs_chain c = {0};
    cr_assert_not_null(hs_chain_reserve(&c, &pool, 1));
    hs_chain_commit(&c, HS_CHUNK_ROOM + 1);
}

Test(core_chain, commit_after_a_borrowed_one, .signal = SIGABRT)
{
    hs_pool pool = pool_of(hs_mem_system(), 4);
    hs_chain c = {0};
    cr_assert(hs_ok(hs_chain_borrow(&c, &pool, HS_SPAN("x"), NULL, NULL)));
    hs_chain_commit(&c, 1);
}

Test(core_chain, consume_more_than_there_is, .signal = SIGABRT)
{
    hs_pool pool = pool_of(hs_mem_system(), 4);
    hs_chain c = {0};
    write_text(&c, &pool, "abc");
    hs_chain_consume(&c, &pool, 4);
}
