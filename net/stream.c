/* What every stream can do, whatever carries it. See hs_stream.h. */
#include "hs_stream.h"

#include <errno.h>

hs_err hs_stream_write(hs_stream *s, hs_span data)
{
    hs_chain *out = hs_stream_out(s);
    HS_ENSURE(out, hs_stream_writable(s) ? -ENOMEM : HS_E_CLOSED);
    HS_TRY(hs_chain_append(out, hs_shard_chunks(s->shard), data));
    hs_stream_flush(s);
    return HS_OK;
}
