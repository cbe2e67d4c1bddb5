/* The server's handshakes: limits, choices, and peers that do not mean well. */
#include "tls_rig.h"

static client peers[32];

static client *begin_peer(uint32_t i, const char *bytes, size_t len)
{
    client_open(&peers[i], &r.b, PORT);
    bench_run(&r.b, 5);
    cr_assert(peers[i].told & SIM_PEER_OPEN);
    if (len > 0)
        client_send(&peers[i], bytes, len);
    bench_run(&r.b, 5);
    return &peers[i];
}

static bool gone(const client *c)
{
    return (c->told & (SIM_PEER_EOF | SIM_PEER_RESET)) != 0;
}

Test(tls_accept, one_that_says_nothing_is_given_up_in_time)
{
    rig_options o = {.shard = {.handshake_ms = 1000}};
    rig_init(&o);
    client *quiet = begin_peer(0, NULL, 0), *half = begin_peer(1, "\x16\x03\x01\x01\x00\x01", 6);
    cr_assert_eq(hs_tls_handshakes(r.tls), 2);
    bench_run(&r.b, 900);
    cr_assert_not(gone(quiet) || gone(half));
    bench_run(&r.b, 200);
    cr_assert(gone(quiet) && gone(half));
    cr_assert_eq(hs_tls_handshakes(r.tls), 0);
    cr_assert_eq(bench_count(&r.b, "tls_handshakes_failed"), 2);
    client_fini(quiet);
    client_fini(half);
    rig_fini(NULL, 0);
}

/* Many who say nothing push each other out, and do not keep out who speaks. */
Test(tls_accept, the_oldest_makes_room)
{
    end c = {0};
    rig_options o = {.shard = {.handshakes_max = 2}};
    rig_init(&o);
    for (uint32_t i = 0; i < 20; i++)
        begin_peer(i, NULL, 0);
    cr_assert_eq(hs_tls_handshakes(r.tls), 8);
    for (uint32_t i = 0; i < 20; i++)
        cr_assert_eq(gone(&peers[i]), i < 12, "%u", i);
    cr_assert_eq(bench_count(&r.b, "tls_handshakes_given_up"), 12);
    (void)connect_ends(&c);
    for (uint32_t i = 0; i < 20; i++)
        client_fini(&peers[i]);
    rig_fini(&c, 1);
}

static void shows_alert(const char *bytes, size_t len, uint8_t alert)
{
    rig_init(NULL);
    client *p = begin_peer(0, bytes, len);
    bench_run(&r.b, 20);
    cr_assert(gone(p));
    cr_assert_geq(p->in_len, 7);
    cr_assert_eq((uint8_t)p->in[0], 21);
    cr_assert_eq((uint8_t)p->in[6], alert, "%u", (uint8_t)p->in[6]);
    client_fini(p);
    rig_fini(NULL, 0);
}

Test(tls_accept, what_is_no_hello_gets_an_alert)
{
    shows_alert("\x80\x2e\x01", 3, 50);
    shows_alert("\x16\x03\x01\x00\x00", 5, 50);
    shows_alert("\x16\x03\x01\xff\xff", 5, 50);
    shows_alert("\x16\x03\x01\x00\x04\x02\x00\x00\x00", 9, 50);
    shows_alert("\x16\x03\x01\x00\x04\x01\xff\xff\xff", 9, 80);
    shows_alert("GET / HTTP/1.1\r\n\r\n", 18, 10);
}

Test(tls_accept, letters_get_an_answer_in_letters)
{
    rig_options o = {.shard = {.plain_answer = HS_SPAN("speak TLS\r\n")}};
    rig_init(&o);
    client *p = begin_peer(0, "GET / HTTP/1.1\r\n\r\n", 18);
    bench_run(&r.b, 20);
    cr_assert_str_eq(p->in, "speak TLS\r\n");
    client_fini(p);
    rig_fini(NULL, 0);
}

Test(tls_accept, everything_comes_in_single_bytes)
{
    sim_faults f;
    sim_faults_none(&f);
    f.pipe_bytes_max = 1;
    end c = {0};
    rig_options o = {.faults = &f};
    rig_init(&o);
    dial(&c, "server.test");
    bench_run(&r.b, 5000);
    cr_assert_eq(c.opens, 1, "%s", c.text);
    say(&c, "question");
    bench_run(&r.b, 500);
    cr_assert_str_eq(r.server[0].in, "question");
    rig_fini(&c, 1);
}

/* ---- choices ---- */

static const char *common_name_of(const char *host, const char *certs[4])
{
    static char name[200];
    rig_options o = {.client = {.ca_file = cert_path("ca_other", ".pem")}};
    memcpy(o.certs, certs, sizeof o.certs);
    end c = {0};
    rig_init(&o);
    dial(&c, host);
    bench_run(&r.b, 100);
    snprintf(name, sizeof name, "%s", strstr(c.text, "CN=") ? strstr(c.text, "CN=") + 3 : c.text);
    rig_fini(&c, 1);
    return name;
}

Test(tls_accept, the_host_chooses_the_certificate)
{
    const char *certs[4] = {"server", "other", "server_ed"};
    /* The top of the chain is what is not trusted; so the leaf is asked for by its own name. */
    cr_assert_str_neq(common_name_of("server.test", certs), "");
    end c[3] = {0};
    rig_options o = {.certs = {"server", "other", "server_ed"}};
    const char *hosts[] = {"other.test", "exact.wild.test", "ed.test"};
    rig_init(&o);
    for (int i = 0; i < 3; i++) {
        dial(&c[i], hosts[i]);
        bench_run(&r.b, 100);
        cr_assert_eq(c[i].opens, 1, "%s: %s", hosts[i], c[i].text);
    }
    rig_fini(c, 3);
}

/* ---- generations ---- */

Test(tls_accept, a_published_context_is_for_new_connections)
{
    end c[2] = {0};
    rig_options o = {.certs = {"other"}};
    rig_init(NULL);
    end *s = connect_ends(&c[0]);
    hs_tls_ctx *next = server_ctx_of(&o);
    hs_tls_box_publish(r.box, next);
    hs_tls_ctx_unref(next);
    hs_tls_ctx_unref(r.server_ctx);
    r.server_ctx = NULL;
    dial(&c[1], "other.test");
    bench_run(&r.b, 100);
    cr_assert_eq(c[1].opens, 1, "%s", c[1].text);
    say(&c[0], "goes on");
    bench_run(&r.b, 10);
    cr_assert_str_eq(s->in, "goes on");
    rig_fini(c, 2);
}

/* ---- the user ends it in `ready` ---- */

static void close_it(end *e)
{
    hs_stream_close(e->s);
}

static void abort_it(end *e)
{
    hs_stream_abort(e->s);
}

Test(tls_accept, a_user_ends_it_at_once)
{
    end_fn *how[] = {close_it, abort_it};
    for (int i = 0; i < 2; i++) {
        end c = {0};
        rig_init(NULL);
        r.on_accept = how[i];
        dial(&c, "server.test");
        bench_run(&r.b, 100);
        cr_assert_eq(r.servers, 1);
        cr_assert_eq(i == 0 ? c.ends : c.closes, 1);
        rig_fini(&c, 1);
        cr_assert_eq(r.server[0].closes, 1);
    }
}

Test(tls_accept, handshakes_are_ended_for_a_drain)
{
    rig_init(NULL);
    client *quiet = begin_peer(0, NULL, 0);
    hs_tls_abort_handshakes(r.tls);
    bench_run(&r.b, 10);
    cr_assert(gone(quiet));
    cr_assert_eq(hs_tls_conns(r.tls), 0);
    client_fini(quiet);
    rig_fini(NULL, 0);
}

/* No slot is left: the connection is refused, and the others go on. */
Test(tls_accept, more_than_there_may_be_are_refused)
{
    end c[3] = {0};
    rig_options o = {.shard = {.conns_max = 2}};
    rig_init(&o);
    (void)connect_ends(&c[0]);
    (void)connect_ends(&c[1]);
    dial(&c[2], "server.test");
    bench_run(&r.b, 100);
    cr_assert_eq(c[2].errors, 1);
    say(&c[0], "still");
    bench_run(&r.b, 10);
    cr_assert_str_eq(r.server[0].in, "still");
    rig_fini(c, 3);
}
