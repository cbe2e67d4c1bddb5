/* A client's sessions: with whom they are resumed, with whom not, and how many there are. */
#include "tls_rig.h"

#include "tls.h"

static end ends[ENDS_MAX];
static uint32_t ends_len;

/* A connection that hears what its server says right after the handshake, and ends. Whether it has
 * resumed a session. */
static bool ask(const char *host, uint16_t port, bool unverified)
{
    end *c = &ends[ends_len++];
    cr_assert_leq(ends_len, ENDS_MAX);
    c->secure.port = port;
    c->secure.unverified = unverified;
    uint32_t before = r.servers;
    dial(c, host);
    bench_run(&r.b, 100);
    cr_assert_eq(c->opens, 1, "%s: %s", hs_err_name(c->err), c->text);
    cr_assert_eq(r.servers, before + 1);
    say(&r.server[before], "x");
    bench_run(&r.b, 100);
    cr_assert_eq(c->in_len, 1);
    hs_stream_close(c->s);
    hs_stream_close(r.server[before].s);
    bench_run(&r.b, 100);
    return r.server[before].info.resumed;
}

static void begin(const rig_options *o)
{
    ends_len = 0;
    memset(ends, 0, sizeof ends);
    rig_init(o);
}

static void finish(void)
{
    rig_fini(ends, ends_len);
}

Test(tls_resume, the_second_handshake_resumes)
{
    begin(NULL);
    cr_assert_not(ask("server.test", 443, false));
    for (int i = 0; i < 3; i++)
        cr_assert(ask("server.test", 443, false), "%d", i);
    cr_assert(ask("SERVER.test", 443, false));
    finish();
}

Test(tls_resume, none_of_tls_1_2)
{
    rig_options o = {.server = {.version_max = HS_TLS_1_2}};
    begin(&o);
    for (int i = 0; i < 3; i++)
        cr_assert_not(ask("server.test", 443, false));
    finish();
}

Test(tls_resume, each_host_and_port_has_its_own)
{
    begin(NULL);
    cr_assert_not(ask("server.test", 443, false));
    cr_assert_not(ask("a.wild.test", 443, false));
    cr_assert_not(ask("server.test", 444, false));
    cr_assert(ask("a.wild.test", 443, false));
    cr_assert(ask("server.test", 444, false));
    cr_assert(ask("server.test", 443, false));
    finish();
}

Test(tls_resume, who_takes_any_certificate_shares_nothing)
{
    begin(NULL);
    cr_assert_not(ask("server.test", 443, true));
    cr_assert_not(ask("server.test", 443, true));
    cr_assert_not(ask("server.test", 443, false), "no session that was never checked");
    cr_assert_not(ask("server.test", 443, true), "nor one that was, for who asks no questions");
    cr_assert(ask("server.test", 443, false));
    finish();
}

static void publish(const rig_options *o)
{
    hs_tls_ctx *ctx = server_ctx_of(o);
    hs_tls_box_publish(r.box, ctx);
    hs_tls_ctx_unref(ctx);
}

Test(tls_resume, a_ticket_that_is_not_taken_is_no_fault)
{
    rig_options other = {.certs = {"many_names"}};
    begin(NULL);
    cr_assert_not(ask("server.test", 443, false));
    publish(&other); /* a ticket is bound to all names of the certificate */
    cr_assert_not(ask("server.test", 443, false));
    cr_assert(ask("server.test", 443, false));
    finish();
}

/* Another key, the same names: as after a renewal. */
Test(tls_resume, a_renewed_certificate_keeps_its_sessions)
{
    rig_options renewed = {.certs = {"second"}};
    begin(NULL);
    cr_assert_not(ask("server.test", 443, false));
    publish(&renewed);
    cr_assert(ask("server.test", 443, false));
    cr_assert(ask("server.test", 443, false));
    finish();
}

Test(tls_resume, a_server_that_no_longer_speaks_the_sessions_version)
{
    rig_options old = {.server = {.version_max = HS_TLS_1_2}}, now = {0};
    begin(NULL);
    cr_assert_not(ask("server.test", 443, false));
    publish(&old);
    for (int i = 0; i < 2; i++)
        cr_assert_not(ask("server.test", 443, false), "a full handshake");
    cr_assert_eq(r.server[1].info.version, HS_TLS_1_2);
    publish(&now);
    cr_assert_not(ask("server.test", 443, false));
    cr_assert(ask("server.test", 443, false));
    cr_assert_eq(r.server[4].info.version, HS_TLS_1_3);
    finish();
}

Test(tls_resume, a_session_is_used_by_one_handshake_at_a_time)
{
    end *c;
    begin(NULL);
    cr_assert_not(ask("server.test", 443, false));
    uint32_t resumed = 0;
    for (int i = 0; i < 3; i++) {
        c = &ends[ends_len++];
        c->secure.port = 443;
        dial(c, "server.test");
    }
    bench_run(&r.b, 100);
    for (int i = 1; i < 4; i++) {
        cr_assert_eq(ends[i].opens, 1, "%s", ends[i].text);
        resumed += r.server[i].info.resumed;
    }
    cr_assert_eq(resumed, 1);
    finish();
}

Test(tls_resume, as_many_as_may_be_kept)
{
    begin(NULL);
    for (uint32_t i = 0; i < HS_TLS_SESSIONS_HOST_MAX + 2; i++) {
        end *c = &ends[ends_len++];
        c->secure.port = 443;
        dial(c, "server.test");
    }
    bench_run(&r.b, 100);
    for (uint32_t i = 0; i < ends_len; i++)
        say(&r.server[i], "x");
    bench_run(&r.b, 100);
    cr_assert_eq(ends[0].in_len, 1);
    tls_conn *c = HS_CONTAINER_OF(ends[0].s, tls_conn, s);
    cr_assert_eq(c->tls->sessions_len, HS_TLS_SESSIONS_HOST_MAX);
    hs_list_validate(&c->tls->sessions);
    finish();
}

Test(tls_resume, memory_that_fails_costs_the_session_at_most)
{
    for (uint64_t at = 1;; at++) {
        begin(NULL);
        cr_assert_not(ask("server.test", 443, false));
        end *c = &ends[ends_len++];
        c->secure.port = 443;
        uint64_t before = r.b.takes;
        r.b.fail_at = before + at;
        dial(c, "server.test");
        bench_run(&r.b, 100);
        bool hit = r.b.takes >= before + at;
        r.b.fail_at = 0;
        cr_assert(c->opens + c->errors <= 1);
        finish();
        if (!hit)
            break;
    }
}
