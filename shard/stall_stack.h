/* The stack of a shard's thread, for another thread.
 *
 * Owns: a signal (SIGURG: nobody sends it unasked, and by default it does nothing), its handler and
 * the hand-over of what the handler saw. A thread that blocks is seen too: its call is interrupted
 * for the moment of the look, and goes on (SA_RESTART) where the kernel can take it up again;
 * calls that wait with a time limit (nanosleep, poll) return EINTR instead, as on any signal.
 * Must not know: why somebody asks. Tested by: tests/plain/stall.c (also under TSan). */
#pragma once

#include <pthread.h>

#include "hs_shard.h"
#include "stall_tell.h"

/* Written by the thread that is looked at, from its signal handler; read by the one who asked, once
 * `seen` says so. */
typedef struct stall_stack {
    const hs_shard *shard;
    HS_ATOMIC_U32 wanted; /* the beat of the callback in question, which is even; 1: none */
    HS_ATOMIC_U32 seen;   /* the beat that the rest belongs to; 1: none */
    const char *label;
    uint64_t turn_ns; /* when the turn began */
    uint32_t frames_len;
    void *frames[STALL_FRAMES_MAX];
} stall_stack;

/* Take the signal for this process, at the first of several calls. False where the program has a
 * handler of its own for it: then it stays as it is, and no stack is ever known. Thread: any. */
bool stall_stack_open(void);

/* Undo one stall_stack_open that returned true; the last gives the signal back. */
void stall_stack_close(void);

/* The calling thread, which runs `shard`, can be looked at from here on. */
void stall_stack_enter(stall_stack *st, const hs_shard *shard);

/* No longer; what was seen stays. The calling thread is the one that entered. */
void stall_stack_leave(void);

/* Ask `thread`, which is in the callback of `beat`, for its stack. It must not be joined yet. */
void stall_stack_ask(stall_stack *st, pthread_t thread, uint32_t beat);

/* Whether the stack of that callback is there. */
bool stall_stack_seen(const stall_stack *st, uint32_t beat);
