/* The switch from one stack to another, written by hand for each processor.
 *
 * Owns: what a function call must keep by the platform's calling convention, and nothing more:
 * registers that belong to the caller of a function, and the floating-point control words (the
 * rounding mode and so on). Not the signal mask, not errno. Must not know: fibers, sanitizers.
 * In switch_x86_64.S and switch_aarch64.S. Tested by: tests/unit/shard_switch.c,
 * tests/plain/fibers.c. */
#pragma once

/* Leave the stack under the caller's feet, put where it stands to *from, and go on at `to`, which
 * such a call or switch_frame gave. Returns when somebody goes on at *from. Thread: one for both
 * stacks; no shadow stack (which the absence of our mark in the binary tells the system). */
void switch_stack(void **from, void *to);

/* Prepare an unused stack that ends below `top`: what is returned is where body(arg) begins, with
 * the caller's floating-point control words. `body` never returns. A backtrace ends above it. */
void *switch_frame(void *top, void (*body)(void *arg), void *arg);
