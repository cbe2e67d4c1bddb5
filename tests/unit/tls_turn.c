/* What many handshakes at once take from the others: a bounded part of each turn. */
#include "tls_rig.h"

#define MANY 60
#define STEP_NS HS_MSEC_NS

static struct {
    uint64_t turn_ns;
    uint32_t steps, steps_max, order[ENDS_MAX], len;
} turn;

/* The last step of a handshake takes a millisecond. */
static void count_step(end *e)
{
    uint64_t now = hs_shard_now_ns(r.b.shard);
    turn.steps = turn.turn_ns == now ? turn.steps + 1 : 1;
    turn.turn_ns = now;
    turn.steps_max = HS_MAX(turn.steps_max, turn.steps);
    sim_world_spend(r.b.w, STEP_NS);
    (void)e;
}

static void echo(end *e)
{
    if (e->s && e->in[0] == 'p')
        say(e, "pong");
}

static uint64_t answered_ms;

static void note_time(end *e)
{
    (void)e;
    answered_ms = bench_ms(&r.b);
}

Test(tls_turn, handshakes_share_a_turn)
{
    static end c[MANY + 1];
    memset(c, 0, sizeof c);
    memset(&turn, 0, sizeof turn);
    answered_ms = 0;
    rig_init(NULL);
    r.on_server_data = echo;
    end *s = connect_ends(&c[0]);
    c[0].on_data = note_time;
    r.on_accept = count_step;
    for (int i = 1; i <= MANY; i++)
        dial(&c[i], "server.test");
    /* In the midst of them the one that is connected asks something. */
    while (r.servers < 10)
        bench_run(&r.b, 1);
    uint64_t asked_ms = bench_ms(&r.b);
    say(&c[0], "ping");
    bench_run(&r.b, 1000);
    cr_assert_eq(r.servers, MANY + 1);
    cr_assert_leq(turn.steps_max, 3); /* of a millisecond each */
    cr_assert_str_eq(s->in, "ping");
    cr_assert_gt(answered_ms, 0);
    cr_assert_lt(answered_ms - asked_ms, 20);
    rig_fini(c, MANY + 1);
}

/* Those that wait may be ended, by their peers, by cancels and by the drain. */
Test(tls_turn, what_waits_may_end)
{
    static end c[MANY];
    memset(c, 0, sizeof c);
    memset(&turn, 0, sizeof turn);
    rig_init(NULL);
    r.on_accept = count_step;
    for (int i = 0; i < MANY; i++)
        dial(&c[i], "server.test");
    while (r.servers < 5)
        bench_run(&r.b, 1);
    cr_assert_lt(r.servers, MANY);
    hs_tls_abort_handshakes(r.tls);
    cr_assert_eq(hs_tls_handshakes(r.tls), 0);
    bench_run(&r.b, 1000);
    cr_assert_lt(r.servers, MANY);
    rig_fini(c, MANY);
}
