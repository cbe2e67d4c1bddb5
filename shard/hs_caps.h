/* Switching off what the kernel can do, so that tests force each fallback.
 *
 * Owns: the reading of HS_CAPS_DISABLE, a list of names with commas between them. Must not know:
 * what a name stands for; each is written beside the probe that it switches off.
 * Tested by: tests/unit/shard_caps.c. */
#pragma once

#include "hs_base.h"

HS_BEGIN_DECLS

/* Whether HS_CAPS_DISABLE names `cap`. Thread: any, while none changes the environment. */
HS_API bool hs_caps_off(const char *cap);

HS_END_DECLS
