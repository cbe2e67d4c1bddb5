/* Counters. */
#include "core_help.h"

#include <signal.h>
#include <string.h>

#include "hs_counters.h"

Test(core_counters, registered_once_counted_apart)
{
    static hs_counters c;
    uint32_t a, b, again;
    memset(&c, 0xee, sizeof(c));
    hs_counters_init(&c);
    cr_assert(hs_ok(hs_counters_register(&c, "requests", &a)));
    cr_assert(hs_ok(hs_counters_register(&c, "bytes", &b)));
    char name[] = "requests"; /* the name counts, not its address */
    cr_assert(hs_ok(hs_counters_register(&c, name, &again)));
    cr_assert_eq(a, again);
    cr_assert_neq(a, b);
    cr_assert_eq(c.len, 2);
    hs_count(&c, a, 1);
    hs_count(&c, a, 2);
    hs_count(&c, b, 1000);
    cr_assert_eq(hs_counters_value(&c, a), 3);
    cr_assert_eq(hs_counters_value(&c, b), 1000);
    cr_assert_eq(hs_counters_find(&c, "bytes"), 1000);
    cr_assert_eq(hs_counters_find(&c, "byte"), 0);
    hs_count(&c, b, UINT64_MAX); /* wraps around as unsigned numbers do */
    cr_assert_eq(hs_counters_value(&c, b), 999);
}

Test(core_counters, the_table_is_bounded)
{
    static hs_counters c;
    static char names[HS_COUNTERS_MAX + 1][8];
    uint32_t id = 7;
    hs_counters_init(&c);
    for (uint32_t i = 0; i < HS_COUNTERS_MAX; i++) {
        snprintf(names[i], sizeof(names[i]), "c%" PRIu32, i);
        cr_assert(hs_ok(hs_counters_register(&c, names[i], &id)));
        cr_assert_eq(id, i);
    }
    cr_assert_eq(hs_counters_register(&c, "one more", &id).code, HS_E_LIMIT);
    cr_assert_eq(id, HS_COUNTERS_MAX - 1);
    cr_assert(hs_ok(hs_counters_register(&c, "c5", &id)));
    cr_assert_eq(id, 5);
    hs_count(&c, HS_COUNTERS_MAX - 1, 4);
    cr_assert_eq(hs_counters_find(&c, "c63"), 4);
    cr_assert_eq(hs_counters_find(&c, "one more"), 0);
}

Test(core_counters, never_registered, .signal = SIGABRT)
{
    static hs_counters c;
    hs_counters_init(&c);
    hs_count(&c, 0, 1);
}
