/* What core's tests share: random numbers from a seed that is printed, and memory that fails on
 * purpose and knows what is still out. */
#pragma once

#include <criterion/criterion.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "hs_err.h"
#include "hs_mem.h"

/* splitmix64 (Steele, Lea, Flood: "Fast splittable pseudorandom number generators", 2014). */
typedef struct rng {
    uint64_t state;
} rng;

static inline uint64_t rng_next(rng *r)
{
    r->state += UINT64_C(0x9e3779b97f4a7c15);
    uint64_t z = r->state;
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

/* A number below `n` (> 0). */
static inline uint32_t rng_below(rng *r, uint32_t n)
{
    return (uint32_t)((rng_next(r) >> 32) * n >> 32);
}

static inline bool rng_one_in(rng *r, uint32_t n)
{
    return rng_below(r, n) == 0;
}

/* A new seed for each run, printed; HS_TEST_SEED=0x... runs an old one again. */
static inline rng rng_seeded(const char *what)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    rng r = {(uint64_t)now.tv_sec * HS_SEC_NS + (uint64_t)now.tv_nsec};
    r.state = rng_next(&r);
    const char *again = getenv("HS_TEST_SEED");
    if (again)
        r.state = strtoull(again, NULL, 0);
    fprintf(stderr, "%s: HS_TEST_SEED=0x%016" PRIx64 "\n", what, r.state);
    return r;
}

/* Memory from the system, full of junk, that fails at the `fail_at`th take (counted from 1; 0:
 * never), and at all later ones where `fail_on` is set. */
typedef struct fault_mem {
    hs_mem mem;
    uint64_t takes, fails, fail_at;
    bool fail_on;
    size_t pieces_out, bytes_out;
} fault_mem;

static inline void *fault_take(void *ctx, size_t bytes, size_t align)
{
    fault_mem *f = ctx;
    f->takes++;
    if (f->fail_at && (f->takes == f->fail_at || (f->fail_on && f->takes > f->fail_at))) {
        f->fails++;
        return NULL;
    }
    void *ptr = hs_mem_take(hs_mem_system(), bytes, align);
    cr_assert_not_null(ptr);
    memset(ptr, 0xa5, bytes);
    f->pieces_out++;
    f->bytes_out += bytes;
    return ptr;
}

static inline void fault_give(void *ctx, void *ptr, size_t bytes, size_t align)
{
    fault_mem *f = ctx;
    cr_assert(f->pieces_out > 0 && f->bytes_out >= bytes);
    f->pieces_out--;
    f->bytes_out -= bytes;
    hs_mem_give(hs_mem_system(), ptr, bytes, align);
}

static inline void fault_init(fault_mem *f, uint64_t fail_at, bool fail_on)
{
    *f = (fault_mem){.fail_at = fail_at, .fail_on = fail_on};
    f->mem = (hs_mem){fault_take, fault_give, f};
}

/* Run `scene` with the first, the second ... the nth take failing, alone and with all later ones,
 * until it runs without meeting a fault. The scene returns the first error that it met, having
 * given everything back; it must have met -ENOMEM where a take failed, unless `may_hide`. Returns
 * n. */
static inline uint64_t fault_each(hs_err (*scene)(const hs_mem *mem), bool may_hide)
{
    for (uint64_t n = 1;; n++) {
        bool met = false;
        for (int on = 0; on < 2; on++) {
            fault_mem f;
            fault_init(&f, n, on);
            hs_err e = scene(&f.mem);
            cr_assert_eq(f.pieces_out, 0, "take %" PRIu64 " failed: pieces are out", n);
            cr_assert_eq(f.bytes_out, 0, "take %" PRIu64 " failed: bytes are out", n);
            if (f.fails > 0) {
                met = true;
                cr_assert(may_hide || !hs_ok(e), "take %" PRIu64 " failed unseen", n);
                cr_assert(hs_ok(e) || hs_err_class(e) == HS_ERR_LIMIT);
            } else {
                cr_assert(hs_ok(e), "no take failed, yet: %s", hs_err_name(e));
            }
        }
        if (!met)
            return n;
    }
}
