/* The system's memory.
 *
 * Owns: the choice between mappings and the C heap, and the count of calls. Large pieces are
 * mapped, so that they return to the system when given back and, untouched until their shard first
 * writes them, lie on that shard's NUMA node. The only file that calls the C heap. Must not know:
 * what the memory is for. Tested by: tests/unit/core_mem.c. */
#include "hs_mem.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "hs_assert.h"
#include "poison.h"

/* From this size on memory is mapped. Under ASan only what comes from its own heap is watched for
 * leaks and overruns; but for each shard's receive buffers it would write megabytes of shadow. */
#ifdef POISON_ASAN
#define MAP_BYTES_MIN ((size_t)8 * 1024 * 1024)
#else
#define MAP_BYTES_MIN ((size_t)64 * 1024)
#endif

static _Thread_local uint64_t system_takes;

static bool is_power_of_two(size_t n)
{
    return n != 0 && (n & (n - 1)) == 0;
}

static void *map_pages(size_t bytes)
{
    void *ptr = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return ptr == MAP_FAILED ? NULL : ptr;
}

/* munmap of our own whole mapping can fail only where the arguments are wrong, or where splitting a
 * neighbour that the kernel merged with it passes the limit on mappings; then the pages stay. */
static void unmap_pages(void *ptr, size_t bytes)
{
    HS_ASSERT(bytes > 0);
    if (munmap(ptr, bytes) != 0) {
        int advised = madvise(ptr, bytes, MADV_DONTNEED);
        (void)advised;
    }
}

/* `bytes` (whole pages) aligned to `align`, which is above a page: map more and cut both ends off.
 */
static void *map_aligned(size_t bytes, size_t align)
{
    HS_ASSERT(bytes <= SIZE_MAX - align); /* so much was mapped just before */
    uint8_t *wide = map_pages(bytes + align);
    if (!wide)
        return NULL;
    size_t before = (align - ((uintptr_t)wide & (align - 1))) & (align - 1);
    uint8_t *ptr = wide + before;
    if (before > 0)
        unmap_pages(wide, before);
    unmap_pages(ptr + bytes, align - before); /* never empty: `before` is below `align` */
    HS_ASSERT(((uintptr_t)ptr & (align - 1)) == 0);
    return ptr;
}

static size_t page_round(size_t bytes, size_t page)
{
    return (bytes + page - 1) & ~(page - 1);
}

static void *map_take(size_t bytes, size_t align)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    if (bytes > SIZE_MAX - page)
        return NULL;
    bytes = page_round(bytes, page);
    /* The kernel puts a mapping below the last one, so after one aligned piece the next equal one
     * is usually aligned as it comes, and costs one call instead of three. */
    void *ptr = map_pages(bytes);
    if (!ptr || ((uintptr_t)ptr & (align - 1)) == 0)
        return ptr;
    unmap_pages(ptr, bytes);
    return map_aligned(bytes, align);
}

static void *heap_take(size_t bytes, size_t align)
{
    void *ptr = NULL;
    return posix_memalign(&ptr, HS_MAX(align, sizeof(void *)), bytes) == 0 ? ptr : NULL;
}

static void *system_take(void *ctx, size_t bytes, size_t align)
{
    (void)ctx;
    HS_ASSERT(bytes > 0);
    HS_ASSERT(is_power_of_two(align));
    system_takes++;
    return bytes >= MAP_BYTES_MIN ? map_take(bytes, align) : heap_take(bytes, align);
}

static void system_give(void *ctx, void *ptr, size_t bytes, size_t align)
{
    (void)ctx;
    HS_ASSERT(ptr && bytes > 0);
    HS_ASSERT(((uintptr_t)ptr & (align - 1)) == 0);
    if (bytes >= MAP_BYTES_MIN)
        unmap_pages(ptr, page_round(bytes, (size_t)sysconf(_SC_PAGESIZE)));
    else
        free(ptr);
}

const hs_mem *hs_mem_system(void)
{
    static const hs_mem mem = {system_take, system_give, NULL};
    return &mem;
}

void *hs_mem_take_zero(const hs_mem *mem, size_t bytes, size_t align)
{
    HS_ASSERT(mem);
    void *ptr = hs_mem_take(mem, bytes, align);
    /* A new mapping reads as zeros, and stays without pages until it is written. */
    bool mapped = mem == hs_mem_system() && bytes >= MAP_BYTES_MIN;
    if (ptr && !mapped)
        memset(ptr, 0, bytes);
    return ptr;
}

uint64_t hs_mem_system_takes(void)
{
    return system_takes;
}
