/* Switching off what the kernel can do: see hs_caps.h. */
#include "hs_caps.h"

#include <stdlib.h>
#include <string.h>

#include "hs_assert.h"

bool hs_caps_off(const char *cap)
{
    HS_ASSERT(cap[0] != '\0');
    const char *at = getenv("HS_CAPS_DISABLE");
    size_t len = strlen(cap);
    while (at) {
        if (strncmp(at, cap, len) == 0 && (at[len] == '\0' || at[len] == ','))
            return true;
        const char *comma = strchr(at, ',');
        at = comma ? comma + 1 : NULL;
    }
    return false;
}
