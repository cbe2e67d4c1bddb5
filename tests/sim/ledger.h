/* What must happen exactly once, in one run of a simulation.
 *
 * Owns: an entry for each thing that was begun, until it has ended. To end one twice, or one that
 * was never begun, is an assertion; what is open at the end is for the run to judge. One run at a
 * time: functions that are given nothing but a value find it here. */
#pragma once

#include "sim.h"

typedef enum ledger_kind {
    LEDGER_VALUE,    /* made; received and freed, or dropped; messages are values */
    LEDGER_REACTION, /* given to a promise; one of its two functions was called */
    LEDGER_FIBER,    /* started; came to its end */
    LEDGER_CALL,     /* handed over; its function was called, or its argument dropped */
    LEDGER_HOOK,     /* added to a token; called or removed */
    LEDGER_PROMISE,  /* owed; settled */
    LEDGER_KINDS
} ledger_kind;

/* Begin a run. Every end is noted in `w`. */
void ledger_reset(sim_world *w);

/* Something begins. Returns its number, from 1. */
uint32_t ledger_begin(ledger_kind kind);

/* It ends. */
void ledger_end(uint32_t number, ledger_kind kind);

/* How many of a kind have not ended; and how many of all kinds were begun. */
uint32_t ledger_open(ledger_kind kind);
uint32_t ledger_open_all(void);
uint32_t ledger_made(void);
const char *ledger_name(ledger_kind kind);
