/* The system's memory: aligned, usable, counted, and gone when given back. */
#include "core_help.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

static const size_t sizes[] = {1,     15,    16,    4095,   4096,   65535,
                               65536, 65537, 70000, 131072, 200000, 3000000};

static void each_size(void (*fn)(size_t bytes, size_t align))
{
    for (size_t i = 0; i < HS_ARRAY_LEN(sizes); i++) {
        for (size_t align = 1; align <= 1u << 20; align *= 2)
            fn(sizes[i], align);
    }
}

static void usable(size_t bytes, size_t align)
{
    void *pieces[4];
    for (int i = 0; i < 4; i++) {
        pieces[i] = hs_mem_take(hs_mem_system(), bytes, align);
        cr_assert_not_null(pieces[i]);
        cr_assert_eq((uintptr_t)pieces[i] % align, 0, "%zu of %zu", align, bytes);
        memset(pieces[i], 'a' + i, bytes);
    }
    for (int i = 0; i < 4; i++) {
        const char *piece = pieces[i];
        cr_assert(piece[0] == 'a' + i && piece[bytes - 1] == 'a' + i &&
                  piece[bytes / 2] == 'a' + i);
    }
    /* In another order than they came, so that mappings are cut out of the middle. */
    for (int i = 0; i < 4; i++)
        hs_mem_give(hs_mem_system(), pieces[(i + 2) % 4], bytes, align);
}

Test(core_mem, every_size_at_every_alignment)
{
    each_size(usable);
}

static void zeroed(size_t bytes, size_t align)
{
    for (int round = 0; round < 2; round++) {
        uint8_t *piece = hs_mem_take_zero(hs_mem_system(), bytes, align);
        cr_assert_not_null(piece);
        for (size_t i = 0; i < bytes; i++) {
            if (piece[i] != 0)
                cr_assert_fail("byte %zu of %zu", i, bytes);
        }
        memset(piece, 0xff, bytes);
        hs_mem_give(hs_mem_system(), piece, bytes, align);
    }
}

Test(core_mem, take_zero_is_zero)
{
    for (size_t i = 0; i < HS_ARRAY_LEN(sizes); i++)
        zeroed(sizes[i], 64);
}

Test(core_mem, take_zero_of_other_memory)
{
    fault_mem f;
    fault_init(&f, 2, true);
    uint8_t *piece = hs_mem_take_zero(&f.mem, 100000, 16);
    cr_assert_not_null(piece);
    cr_assert(piece[0] == 0 && piece[99999] == 0);
    cr_assert_null(hs_mem_take_zero(&f.mem, 1, 1));
    hs_mem_give(&f.mem, piece, 100000, 16);
    cr_assert_eq(f.pieces_out, 0);
    cr_assert_eq(f.bytes_out, 0);
}

/* ASan's heap ends the process at sizes like these, and maps nothing for us. */
#ifndef __SANITIZE_ADDRESS__
Test(core_mem, what_there_is_not_is_null)
{
    cr_assert_null(hs_mem_take(hs_mem_system(), SIZE_MAX, 1));
    cr_assert_null(hs_mem_take(hs_mem_system(), SIZE_MAX - 4096, 1u << 20));
    cr_assert_null(hs_mem_take(hs_mem_system(), SIZE_MAX - 8191, 8192));
    cr_assert_null(hs_mem_take(hs_mem_system(), SIZE_MAX / 4, 1u << 20));
}

Test(core_mem, large_pieces_return_to_the_system)
{
    unsigned char resident[16];
    void *piece = hs_mem_take(hs_mem_system(), 65536, 65536);
    cr_assert_eq(mincore(piece, 65536, resident), 0);
    hs_mem_give(hs_mem_system(), piece, 65536, 65536);
    cr_assert_eq(mincore(piece, 65536, resident), -1);
    cr_assert_eq(errno, ENOMEM); /* nothing is mapped there any more */
}

/* Pages of address space that this process has. */
static size_t pages_mapped(void)
{
    char text[128];
    FILE *file = fopen("/proc/self/statm", "re");
    cr_assert_not_null(file);
    cr_assert_not_null(fgets(text, sizeof(text), file));
    fclose(file);
    return strtoull(text, NULL, 10);
}

Test(core_mem, alignment_leaves_no_margin_mapped)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE), before = pages_mapped();
    before = pages_mapped(); /* the first reading may have made stdio take a buffer */
    for (size_t align = 65536; align <= 1u << 30; align *= 4) {
        uint8_t *piece = hs_mem_take(hs_mem_system(), 100000, align);
        cr_assert_not_null(piece);
        cr_assert_eq(pages_mapped() - before, (100000 + page - 1) / page);
        hs_mem_give(hs_mem_system(), piece, 100000, align);
        cr_assert_eq(pages_mapped(), before);
    }
}

/* This process gets no more address space than it has and `bytes`. */
static void limit_space(size_t bytes)
{
    rlim_t most = pages_mapped() * (size_t)sysconf(_SC_PAGESIZE) + bytes;
    struct rlimit limit = {most, most};
    cr_assert_eq(setrlimit(RLIMIT_AS, &limit), 0);
}

Test(core_mem, no_room_to_align_is_null)
{
    limit_space(64u << 20);
    size_t before = pages_mapped();
    cr_assert_null(hs_mem_take(hs_mem_system(), 65536, (size_t)1 << 40));
    cr_assert_eq(pages_mapped(), before);
}

Test(core_mem, an_exhausted_heap_is_null)
{
    enum { COUNT = 4096 };
    static void *pieces[COUNT];
    limit_space(8u << 20);
    int count = 0;
    while (count < COUNT && (pieces[count] = hs_mem_take(hs_mem_system(), 60000, 16)))
        count++;
    cr_assert(count > 0 && count < COUNT);
    while (count > 0)
        hs_mem_give(hs_mem_system(), pieces[--count], 60000, 16);
    void *again = hs_mem_take(hs_mem_system(), 60000, 16);
    cr_assert_not_null(again);
    hs_mem_give(hs_mem_system(), again, 60000, 16);
}

/* Cut an area into mappings of one page until the process may have no more. False: it may always.
 */
static bool use_up_mappings(void)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE), pages = 200000;
    uint8_t *area =
        mmap(NULL, pages * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    cr_assert_neq(area, MAP_FAILED);
    for (size_t i = 1; i < pages; i += 2) {
        if (mprotect(area + i * page, page, PROT_READ) != 0)
            return true;
    }
    return false;
}

Test(core_mem, pages_go_back_even_where_the_mapping_cannot)
{
    size_t bytes = 3 * 65536;
    uint8_t *pieces = hs_mem_take(hs_mem_system(), bytes, 4096);
    memset(pieces, 'x', bytes);
    if (!use_up_mappings())
        cr_skip_test("this system's limit on mappings is too high to reach");
    /* Given back from the middle of its mapping, which would have to be cut in two. */
    hs_mem_give(hs_mem_system(), pieces + 65536, 65536, 4096);
    cr_assert(pieces[65535] == 'x' && pieces[2 * 65536] == 'x');
    cr_assert(pieces[65536] == 0 && pieces[2 * 65536 - 1] == 0);
}
#endif

Test(core_mem, null_may_be_given)
{
    hs_mem_give(hs_mem_system(), NULL, 1, 1);
}

static void *takes_of_another(void *arg)
{
    hs_mem_give(hs_mem_system(), hs_mem_take(hs_mem_system(), 10, 1), 10, 1);
    *(uint64_t *)arg = hs_mem_system_takes();
    return NULL;
}

Test(core_mem, takes_are_counted_for_each_thread)
{
    uint64_t before = hs_mem_system_takes(), other = 0;
    for (size_t i = 0; i < HS_ARRAY_LEN(sizes); i++)
        usable(sizes[i], 16);
    cr_assert_eq(hs_mem_system_takes() - before, 4 * HS_ARRAY_LEN(sizes));
    pthread_t thread;
    cr_assert_eq(pthread_create(&thread, NULL, takes_of_another, &other), 0);
    pthread_join(thread, NULL);
    cr_assert_eq(other, 1);
    cr_assert_eq(hs_mem_system_takes() - before, 4 * HS_ARRAY_LEN(sizes));
}

Test(core_mem, nothing_is_no_size, .signal = SIGABRT)
{
    hs_mem_take(hs_mem_system(), 0, 1);
}

Test(core_mem, three_is_no_alignment, .signal = SIGABRT)
{
    hs_mem_take(hs_mem_system(), 10, 3);
}
