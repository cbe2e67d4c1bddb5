/* What must happen exactly once: see ledger.h. */
#include "ledger.h"

#include <string.h>

#define ENTRIES_MAX (1u << 17)

static const char *const names[LEDGER_KINDS] = {"value", "reaction", "fiber",
                                                "call",  "hook",     "promise"};

static struct {
    sim_world *w;
    uint32_t len, open[LEDGER_KINDS];
    uint8_t kinds[ENTRIES_MAX];
    bool ended[ENTRIES_MAX];
} book;

void ledger_reset(sim_world *w)
{
    book.w = w;
    book.len = 0;
    memset(book.open, 0, sizeof book.open);
}

uint32_t ledger_begin(ledger_kind kind)
{
    HS_ASSERT(book.len < ENTRIES_MAX);
    uint32_t at = book.len++;
    book.kinds[at] = (uint8_t)kind;
    book.ended[at] = false;
    book.open[kind]++;
    return at + 1;
}

void ledger_end(uint32_t number, ledger_kind kind)
{
    HS_ASSERT(number >= 1 && number <= book.len);
    uint32_t at = number - 1;
    HS_ASSERT(book.kinds[at] == kind);
    HS_ASSERT(!book.ended[at]); /* twice */
    HS_ASSERT(book.open[kind] > 0);
    book.ended[at] = true;
    book.open[kind]--;
    sim_note(book.w, names[kind], number, book.open[kind], 0);
}

uint32_t ledger_open(ledger_kind kind)
{
    return book.open[kind];
}

uint32_t ledger_open_all(void)
{
    uint32_t open = 0;
    for (uint32_t i = 0; i < LEDGER_KINDS; i++)
        open += book.open[i];
    return open;
}

uint32_t ledger_made(void)
{
    return book.len;
}

const char *ledger_name(ledger_kind kind)
{
    return names[kind];
}
