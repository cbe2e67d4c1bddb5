/* The table of files, against a model that is an array by number. */
#include <errno.h>

#include "core_help.h"
#include "fd_table.h"

#define FILES 30000

static bool there[FILES];
static uint8_t flags[FILES];
static uint32_t there_len;

static void check_file(const fd_table *t, int32_t fd)
{
    const fd_slot *slot = fd_table_find(t, fd);
    cr_assert_eq(slot != NULL, there[fd], "file %d", fd);
    if (slot) {
        cr_assert_eq(slot->fd, fd);
        cr_assert_eq(slot->flags, flags[fd]);
        cr_assert_null(slot->waiting);
    }
}

static void check_all(const fd_table *t)
{
    fd_table_validate(t);
    cr_assert_eq(t->len, there_len);
    for (int32_t fd = 0; fd < FILES; fd++)
        check_file(t, fd);
}

static void put(fd_table *t, rng *r, int32_t fd)
{
    fd_slot *slot = fd_table_add(t, fd);
    cr_assert_not_null(slot);
    if (!there[fd]) {
        cr_assert_eq(slot->flags, 0);
        there[fd] = true;
        there_len++;
        flags[fd] = slot->flags = (uint8_t)rng_below(r, 256);
    }
    check_file(t, fd);
}

static void drop(fd_table *t, int32_t fd)
{
    fd_table_remove(t, fd);
    there_len -= there[fd];
    there[fd] = false;
    check_file(t, fd);
}

Test(shard_fd_table, holds_what_an_array_would)
{
    rng r = rng_seeded("fd_table");
    fd_table t;
    fd_table_init(&t, hs_mem_system());
    cr_assert_null(fd_table_find(&t, 3));
    fd_table_remove(&t, 3);
    for (uint32_t round = 0; round < 12; round++) {
        /* Numbers are taken from a range, in order or not: dense, or every so many. */
        uint32_t stride = 1 + rng_below(&r, 8), range = 1 + rng_below(&r, FILES / stride);
        for (uint32_t i = 0; i < range; i++) {
            uint32_t at = rng_one_in(&r, 4) ? rng_below(&r, range) : i;
            put(&t, &r, (int32_t)(at * stride));
        }
        check_all(&t);
        uint32_t drops = rng_below(&r, 2 * FILES);
        for (uint32_t i = 0; i < drops; i++)
            drop(&t, (int32_t)rng_below(&r, FILES));
        check_all(&t);
        if (rng_one_in(&r, 3))
            fd_table_trim(&t);
        check_all(&t);
    }
    fd_table_fini(&t);
    cr_assert_null(fd_table_find(&t, 0));
}

Test(shard_fd_table, a_file_takes_little_and_a_burst_gives_back)
{
    fd_table t;
    fd_table_init(&t, hs_mem_system());
    for (int32_t fd = 0; fd < 1000000; fd++) {
        cr_assert_not_null(fd_table_add(&t, fd));
        if (fd > 10000)
            cr_assert_leq(t.cap * sizeof(fd_slot), 20.8 * (fd + 1), "at %d", fd);
    }
    fd_table_validate(&t);
    uint32_t full = t.cap;
    for (int32_t fd = 800000; fd < 1000000; fd++)
        fd_table_remove(&t, fd);
    fd_table_trim(&t);
    fd_table_trim(&t);
    cr_assert_eq(t.cap, full); /* a load that varies a little changes nothing */
    for (int32_t fd = 800000; fd < 1000000; fd++)
        cr_assert_not_null(fd_table_add(&t, fd));
    for (int32_t fd = 999999; fd >= 100; fd--)
        fd_table_remove(&t, fd);
    cr_assert(fd_table_trim(&t)); /* this period needed them */
    cr_assert_eq(t.cap, full);
    cr_assert_not(fd_table_trim(&t));
    cr_assert_leq(t.cap, 256);
    cr_assert_not(fd_table_trim(&t));
    fd_table_validate(&t);
    for (int32_t fd = 0; fd < 100; fd++)
        cr_assert_not_null(fd_table_find(&t, fd));
    fd_table_fini(&t);
}

static hs_err scene(const hs_mem *mem)
{
    hs_err err = HS_OK;
    fd_table t;
    fd_table_init(&t, mem);
    for (int32_t fd = 0; fd < 15000; fd += 3) {
        uint32_t before = t.len;
        bool added = fd_table_add(&t, fd);
        cr_assert_eq(t.len, before + added);
        cr_assert_eq(fd_table_find(&t, fd) != NULL, added);
        if (!added) {
            err = hs_err_of(-ENOMEM);
            fd_table_validate(&t);
        }
    }
    for (int32_t fd = 0; fd < 14900; fd++)
        fd_table_remove(&t, fd);
    (void)fd_table_trim(&t);
    (void)fd_table_trim(&t); /* where there is no memory to shrink into, it stays as it is */
    fd_table_validate(&t);
    fd_table_fini(&t);
    return err;
}

Test(shard_fd_table, memory_fails)
{
    cr_assert_geq(fault_each(scene, true), 6);
}
