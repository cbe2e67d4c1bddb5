/* Channels between shards: many senders to one receiver, one message to one receiver, one sender to
 * many subscribers.
 *
 * Owns: messages from the moment they are sent until they are received or dropped. Must not know:
 * what they are. They stand on the mail of mail.c: memory is handed over with a message from shard
 * to shard, and no lock and no word is written by two of them. Where in doubt they behave as the
 * channels of tokio (Rust) do; what differs is said. Tested by: tests/unit/shard_channel*.c,
 * shard_oneshot.c and shard_broadcast.c on the simulated backend, tests/plain/channels.c under
 * TSan.
 *
 * Messages are pointers, or numbers that are cast. A channel is made with a drop function (may be
 * NULL) for those that nobody receives: it is called exactly once for each of them, on the shard
 * that has it then, so it must be able to run on either.
 *
 * Handles. A receiver, and the sender of a broadcast, belong to the shard that made the channel;
 * any other sender, and a subscriber, may be handed to another shard (as the argument or the value
 * of an hs_call, as a message) as long as it is fresh: from the moment that something was done with
 * it, it belongs to the shard that did. Each handle is dropped once; the functions ..._drop take a
 * void pointer, so that they can be the drop function of what carries the handle.
 *
 * The end. At a stop channels work until nothing goes on any more in any shard but waiting
 * (hs_call.h). Then they close: messages are dropped, promises rejected with HS_E_CLOSED. Handles
 * that are left may still be dropped from hs_group_options.end, or are freed after it, but for
 * fresh ones, which belong to no shard. */
#pragma once

#include "hs_promise.h"

HS_BEGIN_DECLS

/* ---- many senders, one receiver ---- */

typedef struct hs_sender hs_sender;
typedef struct hs_receiver hs_receiver;

/* Make a channel whose receiver is here. `capacity` (from 1 to HS_CHANNEL_CAPACITY_MAX) is how many
 * messages of one sender may be on their way: each sender has a queue of its own (in tokio all
 * share one), so that one that floods the channel keeps no other from sending. Errors: -ENOMEM,
 * HS_E_CLOSED (the group ends). Shard: the receiver's. */
HS_API HS_NODISCARD hs_err hs_channel_create(hs_shard *shard, uint32_t capacity, hs_drop_fn *drop,
                                             hs_sender **sender, hs_receiver **receiver);

/* One more sender, fresh, with a queue of its own. Errors: -ENOMEM, HS_E_CLOSED (the group ends).
 * Shard: the sender's. */
HS_API HS_NODISCARD hs_err hs_sender_clone(hs_sender *sender, hs_sender **out);

/* Send `message` if there is room. Messages of one sender arrive in order. Errors, where it stays
 * the caller's: HS_E_BLOCKED (full, or others wait), HS_E_CLOSED (the receiver is gone; this is
 * learned from its answers, so what was sent before may have been dropped). Shard: the sender's. */
HS_API HS_NODISCARD hs_err hs_sender_try_send(hs_sender *sender, void *message);

/* Send `message`, which is the channel's from here on in any case. Returns a promise, fulfilled
 * with NULL when the message is in the queue; in the order of the calls. Rejections, where the
 * message was dropped: HS_E_CLOSED, HS_E_LIMIT (HS_CHANNEL_WAIT_MAX sends of this shard wait),
 * -ENOMEM, the reason of `cancel` (may be NULL), which ends the waiting. Shard: the sender's. */
HS_API hs_promise *hs_sender_send_at(hs_sender *sender, void *message, hs_cancel *cancel,
                                     const char *where);
#define hs_sender_send(sender, message, cancel) hs_sender_send_at(sender, message, cancel, HS_HERE)

/* A promise, fulfilled with NULL when the receiver is gone; rejected with -ECANCELED when the
 * sender is dropped first, HS_E_CLOSED at the end, -ENOMEM. Shard: the sender's. */
HS_API hs_promise *hs_sender_closed(hs_sender *sender);

/* Give the handle up. What it sent arrives, also what waits. Shard: the sender's. */
HS_API void hs_sender_drop(void *sender);

/* Receive the next message, which is the caller's then; senders take turns. Errors: HS_E_BLOCKED
 * (none is here now), HS_E_CLOSED (and none will come: every sender is gone, or this is closed).
 * Shard: the receiver's. */
HS_API HS_NODISCARD hs_err hs_receiver_try_recv(hs_receiver *receiver, void **message);

/* A promise of the next message. One at a time: another while it is pending is rejected with
 * HS_E_USAGE. Rejections besides: HS_E_CLOSED as above, -ENOMEM, the reason of `cancel` (may be
 * NULL). None of them loses a message; a promise that was fulfilled and whose value nobody takes
 * drops it. Shard: the receiver's. */
HS_API hs_promise *hs_receiver_recv_at(hs_receiver *receiver, hs_cancel *cancel, const char *where);
#define hs_receiver_recv(receiver, cancel) hs_receiver_recv_at(receiver, cancel, HS_HERE)

/* Take nothing more from the senders, who learn it; what has arrived can still be received, what is
 * on its way is dropped (in tokio it is received). Shard: the receiver's. */
HS_API void hs_receiver_close(hs_receiver *receiver);

/* Close it, drop what has arrived, reject a promise that is pending, and give the handle up. Shard:
 * the receiver's. */
HS_API void hs_receiver_drop(void *receiver);

/* ---- one message ---- */

typedef struct hs_oneshot_sender hs_oneshot_sender;
typedef struct hs_oneshot_receiver hs_oneshot_receiver;

/* Make a channel for one message, whose receiver is here: an answer that comes another way than the
 * question went. Errors: -ENOMEM, HS_E_CLOSED (the group ends). Shard: the receiver's. */
HS_API HS_NODISCARD hs_err hs_oneshot_create(hs_shard *shard, hs_drop_fn *drop,
                                             hs_oneshot_sender **sender,
                                             hs_oneshot_receiver **receiver);

/* Send `message` and give the handle up. Error, where the message stays the caller's and the handle
 * is gone all the same: HS_E_CLOSED, as of hs_sender_try_send. Shard: the sender's. */
HS_API HS_NODISCARD hs_err hs_oneshot_send(hs_oneshot_sender *sender, void *message);

/* A promise of the receiver's going, as hs_sender_closed. Shard: the sender's. */
HS_API hs_promise *hs_oneshot_closed(hs_oneshot_sender *sender);

/* Give the handle up: the receiver gets HS_E_CLOSED. Shard: the sender's. */
HS_API void hs_oneshot_sender_drop(void *sender);

/* Receive the message, which is the caller's then. Errors: HS_E_BLOCKED (it is not here yet),
 * HS_E_CLOSED (it was received, or none will come). Shard: the receiver's. */
HS_API HS_NODISCARD hs_err hs_oneshot_try_recv(hs_oneshot_receiver *receiver, void **message);

/* A promise of the message, with the rejections of hs_receiver_recv; after any of them but
 * HS_E_CLOSED it can be asked for again. Shard: the receiver's. */
HS_API hs_promise *hs_oneshot_recv_at(hs_oneshot_receiver *receiver, hs_cancel *cancel,
                                      const char *where);
#define hs_oneshot_recv(receiver, cancel) hs_oneshot_recv_at(receiver, cancel, HS_HERE)

/* Give the handle up: the sender learns it, a message that has arrived is dropped. Shard: the
 * receiver's. */
HS_API void hs_oneshot_receiver_drop(void *receiver);

/* ---- one sender, many subscribers ---- */

typedef struct hs_broadcast hs_broadcast;
typedef struct hs_subscriber hs_subscriber;

/* Another message like `message`, for one more subscriber; NULL where there is no memory. */
typedef void *hs_copy_fn(void *message);

/* Make a channel from here to whoever subscribes. Each subscriber gets a message of its own, by
 * `copy` on the sender's shard (the last of them the original). With a NULL `copy` all get the
 * same: a number, or something that nobody changes as long as anybody reads it; `drop` is NULL
 * then. `capacity` (from 1 to HS_CHANNEL_CAPACITY_MAX): messages that wait for each subscriber with
 * the sender; as many may lie with the subscriber besides. Errors: -ENOMEM, HS_E_CLOSED (the group
 * ends). Shard: the sender's. */
HS_API HS_NODISCARD hs_err hs_broadcast_create(hs_shard *shard, uint32_t capacity, hs_copy_fn *copy,
                                               hs_drop_fn *drop, hs_broadcast **broadcast);

/* One more subscriber, fresh: it gets whatever is sent from now on, also before it has come where
 * it will be read. Errors: -ENOMEM, HS_E_CLOSED (the group ends). Shard: the sender's. */
HS_API HS_NODISCARD hs_err hs_broadcast_subscribe(hs_broadcast *broadcast,
                                                  hs_subscriber **subscriber);

/* Send `message`, which is the channel's from here on, to all subscribers. Never waits: one for
 * whom there is no room misses the oldest. Returns how many subscribers there are; of those that
 * were dropped lately some may be among them. 0: it was dropped. Shard: the sender's. */
HS_API uint32_t hs_broadcast_send(hs_broadcast *broadcast, void *message);

/* Give the handle up. Subscribers get what was sent, then HS_E_CLOSED. Shard: the sender's. */
HS_API void hs_broadcast_drop(void *broadcast);

/* Receive the next message, which is the caller's then, in the order of sending. Errors:
 * HS_E_BLOCKED (none is here now; the first use of a fresh subscriber asks for some), HS_E_LAGGED
 * (some were missed before the next one: *message is how many, cast), HS_E_CLOSED (and none will
 * come). Shard: the subscriber's. */
HS_API HS_NODISCARD hs_err hs_subscriber_try_recv(hs_subscriber *subscriber, void **message);

/* A promise of the next message; one at a time, as hs_receiver_recv. Rejections: those of that, and
 * HS_E_LAGGED, whose detail is how many were missed, cast. Shard: the subscriber's. */
HS_API hs_promise *hs_subscriber_recv_at(hs_subscriber *subscriber, hs_cancel *cancel,
                                         const char *where);
#define hs_subscriber_recv(subscriber, cancel) hs_subscriber_recv_at(subscriber, cancel, HS_HERE)

/* Unsubscribe: drop what is left, reject a promise that is pending, and give the handle up. Shard:
 * the subscriber's. */
HS_API void hs_subscriber_drop(void *subscriber);

HS_END_DECLS
