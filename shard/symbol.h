/* Names for addresses of code.
 *
 * Owns: the reading of symbol tables: what the dynamic linker knows, and the table in the file for
 * functions that are not exported, as most handlers are. A stripped program's addresses stay
 * "module+0x1234", which addr2line understands. Slow: it maps a file; never on a shard. Must not
 * know: who asks. Tested by: tests/unit/shard_symbol.c. */
#pragma once

#include "hs_span.h"

#define SYMBOL_BYTES 96

/* Write "function+0x12", "module+0x1234" or the number to `out` (cut to `bytes`). `caller`: the
 * address is one to return to, so the call stands before it. Thread: any; not a shard's. */
void symbol_name(const void *address, bool caller, char *out, size_t bytes);

typedef struct symbol {
    const char *name; /* in the file */
    uint64_t start;
} symbol;

/* Find the function around `at`, an address as the ELF file `file` has it (8-byte aligned).
 * Whatever is in the file, nothing outside it is read. */
bool symbol_find(hs_span file, uint64_t at, symbol *out);
