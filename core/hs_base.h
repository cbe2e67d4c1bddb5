/* The few macros that every other header leans on.
 *
 * Owns: visibility, attributes, small arithmetic. Must not know: anything else of httpshard.
 * Tested by: every file that includes it. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
#define HS_BEGIN_DECLS extern "C" {
#define HS_END_DECLS }
#else
#define HS_BEGIN_DECLS
#define HS_END_DECLS
#endif

/* Exported from libhttpshard; everything else is built hidden. */
#define HS_API __attribute__((visibility("default")))
/* The result must be looked at. */
#define HS_NODISCARD __attribute__((warn_unused_result))
#define HS_PRINTF(format_index, first_index)                                                       \
    __attribute__((format(printf, format_index, first_index)))
#define HS_COLD __attribute__((cold, noinline))
#define HS_LIKELY(x) __builtin_expect(!!(x), 1)
#define HS_UNLIKELY(x) __builtin_expect(!!(x), 0)

#define HS_MIN(a, b) ((a) < (b) ? (a) : (b))
#define HS_MAX(a, b) ((a) > (b) ? (a) : (b))
#define HS_ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))

/* Two cores never write to one line of this size; 64 on every machine that we build for, but
 * x86 fetches lines in pairs. */
#define HS_CACHE_LINE 64
#define HS_CACHE_PAIR 128

#ifdef __cplusplus
#define HS_STATIC_ASSERT(cond, text) static_assert(cond, text)
#else
#define HS_STATIC_ASSERT(cond, text) _Static_assert(cond, text)
#endif

/* From a pointer to a member to the struct that holds it. */
#define HS_CONTAINER_OF(ptr, type, member) ((type *)((char *)(ptr) - offsetof(type, member)))

#define HS_MSEC_NS UINT64_C(1000000)
#define HS_SEC_NS UINT64_C(1000000000)
