/* Why there is no stack: see stack_why.h. The kernel says ENOMEM to all of it. */
#include "stack_why.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

#include "hs_limits.h"
#include "hs_span.h"

/* The number that the file begins with; 0 where there is none. */
static uint64_t number_of(const char *path)
{
    char text[64];
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return 0;
    ssize_t n = read(fd, text, sizeof text);
    (void)close(fd);
    size_t digits = 0;
    while (n > 0 && digits < (size_t)n && text[digits] >= '0' && text[digits] <= '9')
        digits++;
    uint64_t value;
    return hs_span_u64(hs_span_of(text, digits), UINT64_MAX, &value) ? value : 0;
}

/* The limit on addresses, if it leaves no room for `bytes` more; else 0. */
static uint64_t full_addresses(uint64_t bytes)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_AS, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY)
        return 0;
    uint64_t pages = number_of("/proc/self/statm");
    uint64_t in_use = pages * (uint64_t)sysconf(_SC_PAGESIZE);
    return in_use + bytes > limit.rlim_cur ? limit.rlim_cur : 0;
}

void stack_why(const stack_pool *p, char *text, size_t text_bytes)
{
    uint64_t region = p->region_stacks * (uint64_t)(p->guard_bytes + p->bytes);
    uint64_t limit = p->failure == STACK_NO_MAP ? full_addresses(region) : 0;
    if (p->failure == STACK_NO_MEM)
        snprintf(text, text_bytes, "no memory to describe a stack");
    else if (limit)
        snprintf(text, text_bytes,
                 "the process may use %llu bytes of addresses: raise that (ulimit -v, LimitAS= of "
                 "the service)",
                 (unsigned long long)limit);
    else if (p->failure == STACK_NO_MAP && number_of("/proc/sys/vm/overcommit_memory") == 2)
        snprintf(text, text_bytes,
                 "vm.overcommit_memory is 2 and all memory is promised: raise "
                 "vm.overcommit_ratio, or set vm.overcommit_memory to 0");
    else
        snprintf(text, text_bytes,
                 "no mapping for %s: vm.max_map_count is %llu%s: raise it (sysctl -w "
                 "vm.max_map_count=1048576)",
                 p->failure == STACK_NO_MAP ? "more stacks" : "a stack's guard",
                 (unsigned long long)number_of("/proc/sys/vm/max_map_count"),
                 p->light ? "" : ", and each stack takes two where Linux is older than 6.13");
}
