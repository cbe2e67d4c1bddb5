/* The command line of a simulation: which seeds to run, how often, and how to run one again.
 *
 *   PROGRAM --seeds 1-1000 [--seconds 60]   run seeds; stop early when the time is up
 *   PROGRAM --seed 7                        run one again, telling all that happens
 *   PROGRAM --twice 1-20                    run each twice: the same must happen
 *
 * Owns: the flags, the loop over the seeds, the line that says how to replay one that failed. Must
 * not know: what a seed runs. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

typedef struct seeds_program {
    const char *name;
    /* Run one seed and return the hash over all that happened. `trace`: where to tell it, or NULL.
     */
    uint64_t (*run)(uint64_t seed, FILE *trace);
    /* Print what the runs came to, in a few words without a line's end. */
    void (*print_totals)(void);
} seeds_program;

/* The whole of main. */
int seeds_main(const seeds_program *program, int argc, char **argv);

/* The seed under way went wrong: say so and leave. */
_Noreturn void seeds_fail(const char *fault, uint64_t detail);
