/* What both sides of the seam in hs_secure.h need. */
#include "hs_secure.h"

void hs_secure_error_free(void *error)
{
    hs_secure_error *e = error;
    if (e)
        hs_mem_give(hs_shard_mem(e->shard), e, sizeof *e, 16);
}
