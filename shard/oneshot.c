/* Channels for one message.
 *
 * Owns: nothing: such a channel is one of many senders (mpsc_send.c, mpsc_recv.c) with room for one
 * message, whose only sender goes with what it sends. The types differ so that neither is taken for
 * the other. Must not know: how messages travel. Tested by: tests/unit/shard_oneshot.c. */
#include "inside.h"

static hs_sender *sender_of(hs_oneshot_sender *tx)
{
    return (hs_sender *)(void *)tx;
}

static hs_receiver *receiver_of(hs_oneshot_receiver *rx)
{
    return (hs_receiver *)(void *)rx;
}

hs_err hs_oneshot_create(hs_shard *s, hs_drop_fn *drop, hs_oneshot_sender **sender,
                         hs_oneshot_receiver **receiver)
{
    hs_sender *tx;
    hs_receiver *rx;
    HS_TRY(hs_channel_create(s, 1, drop, &tx, &rx));
    *sender = (hs_oneshot_sender *)(void *)tx;
    *receiver = (hs_oneshot_receiver *)(void *)rx;
    return HS_OK;
}

hs_err hs_oneshot_send(hs_oneshot_sender *tx, void *message)
{
    hs_err err = hs_sender_try_send(sender_of(tx), message);
    HS_ASSERT(err.code != HS_E_BLOCKED); /* there is room for the one */
    hs_sender_drop(tx);
    return err;
}

hs_promise *hs_oneshot_closed(hs_oneshot_sender *tx)
{
    return hs_sender_closed(sender_of(tx));
}

void hs_oneshot_sender_drop(void *tx)
{
    hs_sender_drop(tx);
}

hs_err hs_oneshot_try_recv(hs_oneshot_receiver *rx, void **message)
{
    return hs_receiver_try_recv(receiver_of(rx), message);
}

hs_promise *hs_oneshot_recv_at(hs_oneshot_receiver *rx, hs_cancel *cancel, const char *where)
{
    return hs_receiver_recv_at(receiver_of(rx), cancel, where);
}

void hs_oneshot_receiver_drop(void *rx)
{
    hs_receiver_drop(rx);
}
