/* What the TCP module knows of its dialler, which is made at the first dial. */
#pragma once

#include "hs_dial.h"
#include "tcp.h"

/* Free it and the resolver that it made. No dial may be under way. */
void dialler_destroy(dialler *dl);
