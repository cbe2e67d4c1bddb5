/* Channels when the shards stop: what waits is rejected, what lies there is dropped, and handles
 * may be dropped after the loops have ended. */
#include "channel_rig.h"

static hs_outcome stuck_there(void *arg)
{
    (void)arg;
    cr_assert(hs_ok(hs_sender_try_send(tx, thing_make(1))));
    see(&s2, hs_sender_send(tx, thing_make(2), NULL), NULL);
    see(&s3, hs_sender_closed(tx), NULL);
    return hs_value(NULL);
}

static hs_receiver *empty_rx;
static hs_sender *empty_tx;

static void stuck(void)
{
    make_channel(1);
    hs_promise_drop(hs_call(peer(1), stuck_there, NULL));
    cr_assert(hs_ok(hs_channel_create(hs_shard_self(), 1, NULL, &empty_tx, &empty_rx)));
    see(&s1, hs_receiver_recv(empty_rx, NULL), NULL);
    hs_promise_ignore(hs_sender_closed(empty_tx)); /* it is of this shard now */
    stop_all();
}

/* Neither handle of the first is ever dropped: it goes with the shards. */
Test(shard_channel_stop, at_a_stop_what_waits_is_rejected_and_what_lies_there_dropped)
{
    for (uint64_t seed = 0; seed < 30; seed++) {
        things_none();
        run_scene(stuck, 2, seed);
        cr_assert(s1.calls == 1 && s1.err.code == HS_E_CLOSED);
        cr_assert(s2.calls == 1 && s2.err.code == HS_E_CLOSED);
        cr_assert(s3.calls == 1);
        cr_assert_eq(things_out, 0);
        cr_assert_eq(things_dropped, 2);
    }
}

static void drop_handles(hs_shard *s, void *ctx)
{
    (void)ctx;
    if (hs_shard_id(s) == 0) {
        void *message;
        cr_assert_eq(hs_receiver_try_recv(rx, &message).code, HS_E_CLOSED);
        hs_sender *clone;
        cr_assert_eq(hs_channel_create(s, 1, NULL, &clone, &empty_rx).code, HS_E_CLOSED);
        cr_assert_eq(hs_sender_clone(empty_tx, &clone).code, HS_E_CLOSED);
        hs_sender_drop(empty_tx);
        hs_receiver_drop(rx);
    } else {
        cr_assert_eq(hs_sender_try_send(tx, NULL).code, HS_E_CLOSED);
        hs_sender_drop(tx);
    }
}

Test(shard_channel_stop, handles_may_be_dropped_when_all_loops_have_ended)
{
    things_none();
    run_ending(stuck, drop_handles, 2, 3);
    cr_assert_eq(things_out, 0);
    cr_assert_eq(things_dropped, 2);
}

static void fresh_is_left(void)
{
    make_channel(1);
    hs_receiver_drop(rx);
    stop_all();
}

static void drop_fresh(hs_shard *s, void *ctx)
{
    (void)ctx;
    if (hs_shard_id(s) == 1)
        hs_sender_drop(tx);
}

Test(shard_channel_stop, a_receiver_that_was_dropped_goes_though_a_sender_is_still_fresh_at_the_end)
{
    for (uint64_t seed = 0; seed < 10; seed++)
        run_ending(fresh_is_left, drop_fresh, 2, seed);
}
