/* Channels at random: see actor.h.
 *
 * An actor holds ends of channels in slots, whichever they are: made here, or arrived from another
 * shard in a call. Messages are values of the ledger, so what is received goes on as any value. */
#include "actor.h"

typedef struct end_kind {
    hs_drop_fn *drop;
    hs_call_fn *arrives; /* of those that travel while they are fresh */
} end_kind;

static hs_outcome sender_arrives(void *arg);
static hs_outcome answer_arrives(void *arg);
static hs_outcome subscriber_arrives(void *arg);

static const end_kind kinds[ACTOR_END_KINDS] = {
    [ACTOR_SENDER] = {hs_sender_drop, sender_arrives},
    [ACTOR_RECEIVER] = {hs_receiver_drop, NULL},
    [ACTOR_ONE_SENDER] = {hs_oneshot_sender_drop, answer_arrives},
    [ACTOR_ONE_RECEIVER] = {hs_oneshot_receiver_drop, NULL},
    [ACTOR_BROADCAST] = {hs_broadcast_drop, NULL},
    [ACTOR_SUBSCRIBER] = {hs_subscriber_drop, subscriber_arrives},
};

/* ---- slots ---- */

static void put(actor *a, actor_end_kind kind, void *handle)
{
    actor_held *e = &a->ends[actor_below(a, ACTOR_ENDS)];
    if (a->roots_left == 0) { /* nobody would let go of it */
        kinds[kind].drop(handle);
        return;
    }
    actor_held old = *e;
    *e = (actor_held){kind, handle};
    if (old.handle)
        kinds[old.kind].drop(old.handle);
}

/* One of a kind, or NULL. */
static void *any_of(actor *a, actor_end_kind kind)
{
    uint32_t from = actor_below(a, ACTOR_ENDS);
    for (uint32_t i = 0; i < ACTOR_ENDS; i++) {
        actor_held *e = &a->ends[(from + i) % ACTOR_ENDS];
        if (e->handle && e->kind == kind)
            return e->handle;
    }
    return NULL;
}

/* Its owner gives it up by what he does with it. */
static void *take_any(actor *a, actor_end_kind kind)
{
    void *handle = any_of(a, kind);
    for (uint32_t i = 0; handle && i < ACTOR_ENDS; i++)
        if (a->ends[i].handle == handle)
            a->ends[i].handle = NULL;
    return handle;
}

void actor_channels_close(actor *a)
{
    for (uint32_t i = 0; i < ACTOR_ENDS; i++) {
        actor_held e = a->ends[i];
        a->ends[i].handle = NULL;
        if (e.handle)
            kinds[e.kind].drop(e.handle);
    }
}

void actor_channels_end(actor *a)
{
    /* What cannot be fresh may be left to the shard. */
    for (uint32_t i = 0; i < ACTOR_ENDS; i++)
        if (!kinds[a->ends[i].kind].arrives && actor_below(a, 2))
            a->ends[i].handle = NULL;
    actor_channels_close(a);
}

/* ---- on their way ---- */

static void send_away(actor *a, actor_end_kind kind, void *handle)
{
    hs_shard *target = hs_shard_peer(a->shard, actor_below(a, a->rt->actors_len));
    hs_cancel *cancel = actor_below(a, 4) ? NULL : actor_token_any(a);
    HS_ASSERT(kinds[kind].arrives != NULL);
    hs_promise_ignore(hs_call_with(target, kinds[kind].arrives, handle, kinds[kind].drop, cancel));
}

static hs_outcome sender_arrives(void *arg)
{
    put(actor_self(), ACTOR_SENDER, arg);
    return hs_value(NULL);
}

static hs_outcome subscriber_arrives(void *arg)
{
    put(actor_self(), ACTOR_SUBSCRIBER, arg);
    return hs_value(NULL);
}

static void send_answer(hs_oneshot_sender *sender)
{
    void *message = actor_value_new();
    hs_err err = hs_oneshot_send(sender, message);
    if (!hs_ok(err)) {
        HS_ASSERT(err.code == HS_E_CLOSED);
        actor_free_value(message);
    }
}

/* Now or later. */
static hs_outcome answer_arrives(void *arg)
{
    if (actor_below(actor_self(), 2))
        send_answer(arg);
    else
        put(actor_self(), ACTOR_ONE_SENDER, arg);
    return hs_value(NULL);
}

/* ---- making ---- */

static uint32_t capacity_any(actor *a)
{
    return 1 + actor_below(a, actor_below(a, 2) ? 3 : 60);
}

static void make_channel(actor *a)
{
    hs_sender *sender;
    hs_receiver *receiver;
    if (!hs_ok(hs_channel_create(a->shard, capacity_any(a), actor_free_value, &sender, &receiver)))
        return;
    put(a, ACTOR_RECEIVER, receiver);
    send_away(a, ACTOR_SENDER, sender);
}

static void make_oneshot(actor *a)
{
    hs_oneshot_sender *sender;
    hs_oneshot_receiver *receiver;
    if (!hs_ok(hs_oneshot_create(a->shard, actor_free_value, &sender, &receiver)))
        return;
    put(a, ACTOR_ONE_RECEIVER, receiver);
    send_away(a, ACTOR_ONE_SENDER, sender);
}

static void *copy_value(void *value)
{
    HS_ASSERT(value != NULL);
    return actor_below(actor_self(), 20) ? actor_value_new() : NULL;
}

static void make_broadcast(actor *a)
{
    hs_broadcast *b;
    if (hs_ok(hs_broadcast_create(a->shard, capacity_any(a), copy_value, actor_free_value, &b)))
        put(a, ACTOR_BROADCAST, b);
}

static void multiply(actor *a)
{
    hs_sender *sender = any_of(a, ACTOR_SENDER), *clone;
    hs_broadcast *b = any_of(a, ACTOR_BROADCAST);
    hs_subscriber *sub;
    if (sender && hs_ok(hs_sender_clone(sender, &clone)))
        send_away(a, ACTOR_SENDER, clone);
    if (b && hs_ok(hs_broadcast_subscribe(b, &sub)))
        send_away(a, ACTOR_SUBSCRIBER, sub);
}

/* ---- messages ---- */

static void send_some(actor *a)
{
    hs_sender *sender = any_of(a, ACTOR_SENDER);
    hs_broadcast *b = any_of(a, ACTOR_BROADCAST);
    hs_oneshot_sender *one = actor_below(a, 4) ? NULL : take_any(a, ACTOR_ONE_SENDER);
    for (uint32_t n = actor_below(a, 40); n > 0; n--) {
        if (b)
            a->rt->messages_sent += hs_broadcast_send(b, actor_value_new());
        void *message = sender ? actor_value_new() : NULL;
        if (!sender)
            continue;
        if (hs_ok(hs_sender_try_send(sender, message)))
            a->rt->messages_sent++;
        else
            actor_free_value(message);
    }
    if (one)
        send_answer(one);
}

static void received(actor *a, hs_err err, void *const *message)
{
    HS_ASSERT(hs_ok(err) || err.code == HS_E_BLOCKED || err.code == HS_E_CLOSED ||
              err.code == HS_E_LAGGED);
    if (!hs_ok(err))
        return;
    a->rt->messages_received++;
    actor_free_value(*message);
}

static void receive_some(actor *a)
{
    hs_receiver *receiver = any_of(a, ACTOR_RECEIVER);
    hs_subscriber *sub = any_of(a, ACTOR_SUBSCRIBER);
    hs_oneshot_receiver *one = any_of(a, ACTOR_ONE_RECEIVER);
    void *message = NULL;
    for (uint32_t n = actor_below(a, 80); n > 0; n--) {
        if (receiver)
            received(a, hs_receiver_try_recv(receiver, &message), &message);
        if (sub)
            received(a, hs_subscriber_try_recv(sub, &message), &message);
    }
    if (one)
        received(a, hs_oneshot_try_recv(one, &message), &message);
}

/* ---- what actors do ---- */

static void let_go(actor *a)
{
    actor_held *e = &a->ends[actor_below(a, ACTOR_ENDS)];
    actor_held old = *e;
    if (!old.handle)
        return;
    if (old.kind == ACTOR_RECEIVER && actor_below(a, 2)) {
        hs_receiver_close(old.handle);
        return;
    }
    e->handle = NULL;
    kinds[old.kind].drop(old.handle);
}

void actor_channel_work(actor *a)
{
    static void (*const work[])(actor * a) = {make_channel, make_oneshot, make_broadcast, multiply,
                                              multiply,     send_some,    send_some,      send_some,
                                              receive_some, receive_some, let_go};
    work[actor_below(a, HS_ARRAY_LEN(work))](a);
}

static hs_promise *wait_for(actor *a, hs_cancel *cancel)
{
    void *end;
    switch (actor_below(a, 5)) {
    case 0:
        end = any_of(a, ACTOR_SENDER);
        return end ? hs_sender_send(end, actor_value_new(), cancel) : NULL;
    case 1:
        end = any_of(a, ACTOR_RECEIVER);
        return end ? hs_receiver_recv(end, cancel) : NULL;
    case 2:
        end = any_of(a, ACTOR_ONE_RECEIVER);
        return end ? hs_oneshot_recv(end, cancel) : NULL;
    case 3:
        end = any_of(a, ACTOR_SUBSCRIBER);
        return end ? hs_subscriber_recv(end, cancel) : NULL;
    default:
        end = any_of(a, ACTOR_SENDER);
        if (end && !a->rt->whole) /* no token ends this one */
            return hs_sender_closed(end);
        return NULL;
    }
}

hs_promise *actor_channel_wait(actor *a, uint32_t depth)
{
    (void)depth;
    bool times_out = a->rt->whole || actor_below(a, 4) > 0;
    hs_cancel *cancel = times_out ? hs_cancel_after(a->shard, actor_below(a, a->rt->sleep_ms_max))
                                  : hs_cancel_ref(actor_token_any(a));
    hs_promise *p = wait_for(a, cancel);
    hs_cancel_unref(cancel);
    return p ? p : hs_promise_settled(a->shard, hs_error(hs_err_of(HS_E_BLOCKED)));
}
