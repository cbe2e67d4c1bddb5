/* Writing to a buffered stream: see hs_bufio.h. Tested by: tests/unit/net_bufio_write.c. */
#include "bufio.h"

hs_err hs_bufio_write(hs_bufio *b, hs_span data)
{
    HS_ASSERT(b->shard == hs_shard_self());
    HS_TRY(bufio_gone(b));
    HS_ENSURE(!hs_stream_full(b->s), HS_E_BLOCKED);
    if (data.len == 0)
        return HS_OK;
    hs_chain *out = hs_stream_out(b->s);
    HS_ENSURE(out, hs_stream_writable(b->s) ? -ENOMEM : HS_E_CLOSED);
    hs_err err = hs_chain_append(out, hs_shard_chunks(b->shard), data);
    if (hs_ok(err))
        b->gathered += data.len;
    /* After an error as well: a stream that holds nothing gives back what it sends with. */
    if (!hs_ok(err) || b->gathered >= HS_BUFIO_GATHER_BYTES) {
        b->gathered = 0;
        hs_stream_flush(b->s);
    }
    return err;
}

hs_promise *hs_bufio_flush(hs_bufio *b)
{
    HS_ASSERT(b->shard == hs_shard_self());
    HS_ASSERT(!b->closing);
    hs_err err = b->flushing ? hs_err_of(HS_E_USAGE) : bufio_gone(b);
    if (!hs_ok(err))
        return hs_promise_settled(b->shard, hs_error(err));
    b->gathered = 0;
    hs_stream_flush(b->s);
    if (hs_stream_low(b->s))
        return hs_promise_settled(b->shard, hs_error(hs_cancel_why(b->cancel)));
    hs_promise *promise = hs_promise_create(b->shard);
    if (!promise)
        return hs_promise_settled(b->shard, hs_error(hs_err_of(-ENOMEM)));
    b->flushing = promise;
    err = bufio_hook_add(b);
    if (!hs_ok(err))
        bufio_settle(b, &b->flushing, hs_error(err));
    return promise;
}
