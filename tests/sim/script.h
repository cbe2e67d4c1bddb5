/* What the simulated clients ask and the simulated server's handlers answer: both sides compute the
 * same bytes from a request's number. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#define SCRIPT_PORT 80
#define SCRIPT_BODY_MAX 32768 /* the server's body_bytes_max */

/* How the handler goes about it. The name is the first part of the target. */
typedef enum script_kind {
    SCRIPT_NOW,     /* answered in the handler */
    SCRIPT_LATER,   /* answered by a timer */
    SCRIPT_CHUNKED, /* streamed, its length not told, with a trailer */
    SCRIPT_LENGTH,  /* streamed, its length told, a piece a tick */
    SCRIPT_CALL,    /* answered by a call to another shard */
    SCRIPT_ECHO,    /* the body streams back */
    SCRIPT_COLLECT, /* the body is collected, then sent back */
    SCRIPT_IGNORE,  /* answered at once; nobody asks for the body */
    SCRIPT_KINDS
} script_kind;

static inline const char *script_name(script_kind kind)
{
    static const char *const names[SCRIPT_KINDS] = {"now",  "later", "chunked", "length",
                                                    "call", "echo",  "collect", "ignore"};
    return names[kind];
}

/* Byte `at` of the body that belongs to request `id`, in either direction. */
static inline uint8_t script_byte(uint32_t id, uint64_t at)
{
    uint64_t x = (at + 1) * UINT64_C(0x9e3779b97f4a7c15) + id * UINT64_C(0xbf58476d1ce4e5b9);
    return (uint8_t)(x >> 56);
}
