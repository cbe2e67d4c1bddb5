/* The client's handshakes: what each failure is called, and that nothing is left at any end. */
#include "tls_rig.h"

#include "tls.h"

/* Dial a server with this certificate: what it comes to. */
static void fails_with(const char *cert, const char *host, int32_t err, const char *words)
{
    for (int v = HS_TLS_1_2; v <= HS_TLS_1_3; v++) {
        end c = {0};
        rig_options o = {.certs = {cert}, .server = {.version_max = (hs_tls_version)v}};
        rig_init(&o);
        dial(&c, host);
        bench_run(&r.b, 100);
        cr_assert_eq(c.opens, 0);
        cr_assert_eq(c.errors, 1);
        cr_assert_eq(c.err.code, err, "%s for %s: %s: %s", cert, host, hs_err_name(c.err), c.text);
        cr_assert_not_null(strstr(c.text, words), "%s", c.text);
        bench_run(&r.b, 100);
        cr_assert_eq(r.servers, 0);
        cr_assert_eq(bench_count(&r.b, "tls_handshakes_failed"), 1);
        rig_fini(&c, 1);
    }
}

Test(tls_secure, each_bad_certificate_has_its_own_error)
{
    fails_with("expired", "server.test", HS_E_CERT_TIME,
               "certificate expired: CN=expired.test, until 2020-02-01 00:00:00 UTC");
    fails_with("future", "server.test", HS_E_CERT_TIME,
               "certificate not valid yet: CN=future.test, from 2099-01-01 00:00:00 UTC");
    fails_with("self", "server.test", HS_E_CERT_UNKNOWN, "CN=self.test");
    fails_with("usage", "server.test", HS_E_CERT_USAGE, "made for another use: CN=usage.test");
    fails_with("server", "elsewhere.test", HS_E_CERT_HOST,
               "certificate is not for elsewhere.test, but for server.test *.wild.test");
    fails_with("no_names", "no_names.test", HS_E_CERT_HOST, "but for no name");
    fails_with("server", "127.0.0.2", HS_E_CERT_HOST, "not for 127.0.0.2");
    fails_with("server", "a.b.wild.test", HS_E_CERT_HOST, "not for a.b.wild.test");
    fails_with("server", "wild.test", HS_E_CERT_HOST, "not for wild.test");
}

Test(tls_secure, a_root_that_is_not_trusted)
{
    end c = {0};
    rig_options o = {.client = {.ca_file = cert_path("ca_other", ".pem")}};
    rig_init(&o);
    dial(&c, "server.test");
    bench_run(&r.b, 100);
    cr_assert_eq(c.err.code, HS_E_CERT_UNKNOWN, "%s", c.text);
    cr_assert_not_null(strstr(c.text, "signed by nobody who is trusted"), "%s", c.text);
    rig_fini(&c, 1);
}

Test(tls_secure, hosts_that_the_certificate_names)
{
    const char *hosts[] = {"server.test", "SERVER.test",    "server.test.", "a.wild.test",
                           "localhost",   "upper.test",     "127.0.0.1",    "::1",
                           "[::1]",       "0:0:0:0:0:0:0:1"};
    rig_init(NULL);
    end c[HS_ARRAY_LEN(hosts)] = {0};
    for (size_t i = 0; i < HS_ARRAY_LEN(hosts); i++) {
        dial(&c[i], hosts[i]);
        bench_run(&r.b, 100);
        cr_assert_eq(c[i].opens, 1, "%s: %s", hosts[i], c[i].text);
    }
    cr_assert_str_eq(r.server[1].sni, "SERVER.test");
    cr_assert_str_eq(r.server[2].sni, "server.test");
    cr_assert_str_eq(r.server[6].sni, ""); /* no address is sent */
    rig_fini(c, HS_ARRAY_LEN(hosts));
}

Test(tls_secure, anything_goes_unverified)
{
    const char *certs[] = {"expired", "self", "usage", "no_names"};
    for (size_t i = 0; i < HS_ARRAY_LEN(certs); i++) {
        end c = {.secure = {.unverified = true}};
        rig_options o = {.certs = {certs[i]}};
        rig_init(&o);
        dial(&c, "elsewhere.test");
        bench_run(&r.b, 100);
        cr_assert_eq(c.opens, 1, "%s: %s", certs[i], c.text);
        rig_fini(&c, 1);
    }
}

Test(tls_secure, keys_of_each_kind)
{
    const char *certs[] = {"server_rsa", "server_ed"}, *hosts[] = {"server.test", "ed.test"};
    for (size_t i = 0; i < HS_ARRAY_LEN(certs); i++) {
        end c = {0};
        rig_options o = {.certs = {certs[i]}};
        rig_init(&o);
        dial(&c, hosts[i]);
        bench_run(&r.b, 100);
        cr_assert_eq(c.opens, 1, "%s: %s", certs[i], c.text);
        rig_fini(&c, 1);
    }
}

/* ---- versions, protocols ---- */

/* A connection that hears what its server says right after the handshake. Both ends know the same
 * of it, but for the OCSP response, which is for the client. */
static hs_secure_info negotiated(end *c, bool stapled)
{
    static const hs_span alpn = {(const uint8_t *)"http/1.1", 8};
    c->secure.alpn = &alpn;
    c->secure.alpn_len = 1;
    end *s = connect_ends(c);
    say(s, "x");
    bench_run(&r.b, 10);
    hs_secure_info ours = hs_secure_info_of(c->s), theirs = hs_secure_info_of(s->s);
    cr_assert_str_eq(ours.version, theirs.version);
    cr_assert_str_eq(ours.cipher, theirs.cipher);
    cr_assert_eq(ours.group, theirs.group);
    cr_assert(hs_span_eq(ours.alpn, alpn) && hs_span_eq(theirs.alpn, alpn));
    cr_assert_eq(ours.resumed, theirs.resumed);
    cr_assert_eq(ours.stapled, stapled);
    cr_assert_not(theirs.stapled);
    return ours;
}

Test(tls_secure, a_stream_tells_what_was_negotiated)
{
    static const hs_span ours[] = {HS_SPAN("h2"), HS_SPAN("http/1.1")};
    const char *versions[] = {[HS_TLS_1_2] = "TLSv1.2", [HS_TLS_1_3] = "TLSv1.3"};
    const char *ciphers[] = {[HS_TLS_1_2] = "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
                             [HS_TLS_1_3] = "TLS_AES_128_GCM_SHA256"};
    for (int v = HS_TLS_1_2; v <= HS_TLS_1_3; v++)
        for (int stapled = 0; stapled <= 1; stapled++) {
            end c[2] = {0};
            rig_options o = {
                .ocsp = stapled ? "good" : NULL,
                .server = {.alpn = ours, .alpn_len = 2, .version_max = (hs_tls_version)v}};
            rig_init(&o);
            hs_secure_info info = negotiated(&c[0], stapled);
            cr_assert_str_eq(info.version, versions[v]);
            cr_assert_str_eq(info.cipher, ciphers[v]);
            cr_assert_str_eq(info.group, "secp256r1");
            cr_assert_not(info.resumed);
            /* A resumed session shows no certificate, and no response. */
            info = negotiated(&c[1], stapled && v == HS_TLS_1_2);
            cr_assert_eq(info.resumed, v == HS_TLS_1_3);
            rig_fini(c, 2);
        }
}

Test(tls_secure, a_stream_that_is_not_secure_says_so)
{
    end c = {.secure = {.unverified = true}};
    rig_options o = {.ocsp = "good"};
    rig_init(&o);
    (void)connect_ends(&c);
    tls_conn *conn = HS_CONTAINER_OF(c.s, tls_conn, s);
    cr_assert_null(hs_secure_info_of(conn->plain).version);
    cr_assert_not(hs_secure_info_of(c.s).stapled, "nobody has looked at it");
    cr_assert_str_eq(hs_secure_info_of(c.s).version, "TLSv1.3");
    hs_stream_close(c.s);
    cr_assert_null(hs_secure_info_of(c.s).version);
    rig_fini(&c, 1);
}

Test(tls_secure, versions_that_do_not_meet)
{
    end c = {0};
    rig_options o = {.server = {.version_max = HS_TLS_1_2}, .client = {.version_min = HS_TLS_1_3}};
    rig_init(&o);
    dial(&c, "server.test");
    bench_run(&r.b, 100);
    cr_assert_eq(c.err.code, HS_E_TLS, "%s", c.text);
    cr_assert_str_neq(c.text, "");
    rig_fini(&c, 1);
}

Test(tls_secure, protocols_are_agreed_on)
{
    const hs_span ours[] = {HS_SPAN("h2"), HS_SPAN("http/1.1")};
    const hs_span both[] = {HS_SPAN("http/1.1"), HS_SPAN("h2")}, none[] = {HS_SPAN("x")};
    rig_options o = {.server = {.alpn = ours, .alpn_len = 2}};
    end c[3] = {
        {.secure = {.alpn = both, .alpn_len = 2}}, {.secure = {.alpn = none, .alpn_len = 1}}, {0}};
    rig_init(&o);
    for (int i = 0; i < 3; i++) {
        dial(&c[i], "server.test");
        bench_run(&r.b, 100);
    }
    cr_assert_str_eq(r.server[0].alpn, "h2"); /* the server's order counts */
    cr_assert_eq(c[1].err.code, HS_E_TLS);
    cr_assert_not_null(strstr(c[1].text, "no_application_protocol"), "%s", c[1].text);
    cr_assert_eq(c[2].opens, 1);
    cr_assert_str_eq(r.server[1].alpn, "");
    rig_fini(c, 3);
}

Test(tls_secure, a_server_asks_for_a_certificate)
{
    const char *shown[] = {"client", NULL, "self"};
    for (int how = HS_TLS_CLIENT_OPTIONAL; how <= HS_TLS_CLIENT_REQUIRED; how++)
        for (int v = HS_TLS_1_2; v <= HS_TLS_1_3; v++)
            for (int i = 0; i < 3; i++) {
                end c = {0};
                rig_options o = {.client_cert = shown[i],
                                 .server = {.client = (hs_tls_client_auth)how,
                                            .version_max = (hs_tls_version)v,
                                            .ca_file = cert_path("ca", ".pem")}};
                bool fine = i == 0 || (i == 1 && how == HS_TLS_CLIENT_OPTIONAL);
                rig_init(&o);
                dial(&c, "server.test");
                bench_run(&r.b, 100);
                cr_assert_eq(r.servers, fine);
                /* In 1.3 a client may hear of its failure after its own end of the handshake. */
                cr_assert(fine ? c.opens == 1 : c.errors == 1 || c.closes == 1, "%d %d %d", how, v,
                          i);
                rig_fini(&c, 1);
            }
}

/* ---- ends ---- */

static void nobody_answers(sim_peer *peer, uint32_t what)
{
    if (what & (SIM_PEER_EOF | SIM_PEER_RESET))
        sim_peer_close(peer, false);
}

Test(tls_secure, a_server_that_is_silent)
{
    end c = {.secure = {.handshake_ms = 500}};
    rig_init(NULL);
    hs_listener_close(r.listener);
    bench_run(&r.b, 10);
    sim_peer_listen(r.b.w, PORT, true, nobody_answers, NULL);
    dial(&c, "server.test");
    bench_run(&r.b, 400);
    cr_assert_eq(c.errors, 0);
    bench_run(&r.b, 200);
    cr_assert_eq(c.err.code, -ETIMEDOUT);
    cr_assert_str_eq(c.text, "the handshake took too long");
    sim_peer_unlisten(r.b.w, PORT);
    hs_addr addr;
    cr_assert(hs_ok(hs_addr_parse(&addr, HS_SPAN("127.0.0.1:443"))));
    cr_assert(hs_ok(hs_listener_open(r.tcp, &addr, false, &r.listener)));
    rig_fini(&c, 1);
}

static void answers_with_text(sim_peer *peer, uint32_t what)
{
    if (what & SIM_PEER_OPEN)
        (void)sim_peer_write(peer, "HTTP/1.1 400 Bad Request\r\n\r\n", 28);
    nobody_answers(peer, what);
}

static void ends_at_once(sim_peer *peer, uint32_t what)
{
    if (what & SIM_PEER_OPEN)
        sim_peer_finish(peer);
    nobody_answers(peer, what);
}

Test(tls_secure, a_server_that_does_not_speak_tls)
{
    sim_peer_fn *how[] = {answers_with_text, ends_at_once};
    int32_t errs[] = {HS_E_TLS, HS_E_TRUNCATED};
    for (int i = 0; i < 2; i++) {
        end c = {0};
        hs_addr addr;
        rig_init(NULL);
        hs_listener_close(r.listener);
        bench_run(&r.b, 10);
        sim_peer_listen(r.b.w, PORT, true, how[i], NULL);
        dial(&c, "server.test");
        bench_run(&r.b, 100);
        cr_assert_eq(c.err.code, errs[i], "%s: %s", hs_err_name(c.err), c.text);
        cr_assert_str_neq(c.text, "");
        if (i == 0)
            cr_assert_str_eq(c.text, "the server does not speak TLS on this port: "
                                     "it said 'HTTP/1.1 400 Bad Request'");
        sim_peer_unlisten(r.b.w, PORT);
        cr_assert(hs_ok(hs_addr_parse(&addr, HS_SPAN("127.0.0.1:443"))));
        cr_assert(hs_ok(hs_listener_open(r.tcp, &addr, false, &r.listener)));
        rig_fini(&c, 1);
    }
}

/* A certificate of 28 KiB, and its last name counts on both sides. */
Test(tls_secure, a_certificate_with_many_names)
{
    hs_tls_version versions[] = {HS_TLS_1_2, HS_TLS_1_3};
    for (size_t i = 0; i < HS_ARRAY_LEN(versions); i++) {
        rig_options o = {.certs = {"other", "many_names"}, .server = {.version_max = versions[i]}};
        end c = {0};
        rig_init(&o);
        end *s = connect_ends(&c);
        cr_assert_eq(s->info.version, versions[i]);
        rig_fini(&c, 1);
    }
}

/* One that is cancelled after each piece of time: it ends with the token's reason, or was done. */
Test(tls_secure, it_is_cancelled_at_any_moment)
{
    uint32_t cancelled = 0, done = 0;
    sim_faults f;
    sim_faults_none(&f);
    f.latency_us_max = 2000;
    rig_options o = {.faults = &f};
    for (uint32_t ms = 0; ms < 16; ms++) {
        end c = {0};
        rig_init(&o);
        hs_cancel *token = hs_cancel_create(r.b.shard);
        cr_assert_not_null(token);
        c.secure.cancel = token;
        dial(&c, "server.test");
        bench_run(&r.b, ms);
        hs_cancel_fire(token, hs_err_of(-ECANCELED));
        bench_run(&r.b, 1000);
        cr_assert_eq(c.opens + c.errors, 1);
        if (c.errors)
            cr_assert_eq(c.err.code, -ECANCELED);
        cancelled += c.errors;
        done += c.opens;
        hs_cancel_unref(token);
        rig_fini(&c, 1);
    }
    cr_assert(cancelled > 0 && done > 0, "%u %u", cancelled, done);
}

/* A stream that is not resumed hears nothing, its end included, and may be dropped. */
Test(tls_secure, nothing_is_heard_before_a_resume)
{
    end c = {.resumed_off = true};
    rig_init(NULL);
    end *s = connect_ends(&c);
    say(s, "early");
    bench_run(&r.b, 10);
    hs_stream_close(s->s);
    bench_run(&r.b, 100);
    cr_assert(c.in_len == 0 && c.ends == 0 && c.closes == 0);
    hs_stream_resume(c.s);
    bench_run(&r.b, 100);
    cr_assert_str_eq(c.in, "early");
    cr_assert_eq(c.ends, 1);
    rig_fini(&c, 1);
}

Test(tls_secure, a_stream_dies_before_it_is_resumed)
{
    end c[3] = {{.resumed_off = true}, {.resumed_off = true}, {.resumed_off = true}};
    rig_init(NULL);
    for (int i = 0; i < 3; i++) {
        end *s = connect_ends(&c[i]);
        say(&c[i], "written before");
        bench_run(&r.b, 10);
        cr_assert_str_eq(s->in, "written before");
        hs_stream_abort(s->s);
        bench_run(&r.b, 100);
        cr_assert_eq(c[i].closes, 0);
    }
    hs_stream_resume(c[0].s);
    hs_stream_close(c[1].s);
    hs_stream_abort(c[2].s);
    cr_assert_eq(c[0].closes + c[1].closes + c[2].closes, 0);
    bench_run(&r.b, HS_LINGER_MS + 1000);
    for (int i = 0; i < 3; i++)
        cr_assert_eq(c[i].closes, 1, "%d", i);
    rig_fini(c, 3);
}

static hs_outcome drop_it(void *ctx, void *value)
{
    end *e = ctx;
    (void)value;
    return hs_adopt(r.secure->start(r.secure, value, &e->secure));
}

Test(tls_secure, a_stream_that_nobody_receives_is_aborted)
{
    end c = {.secure = {.host = HS_SPAN("server.test")}};
    hs_addr addr;
    rig_init(NULL);
    cr_assert(hs_ok(hs_addr_parse(&addr, HS_SPAN("127.0.0.1:443"))));
    hs_promise_drop(hs_then(hs_dial_addr(r.tcp, &addr, NULL), drop_it, &c));
    bench_run(&r.b, 100);
    /* The server may not have heard of the end of the handshake. */
    cr_assert_eq(hs_tls_conns(r.tls), 0);
    cr_assert_eq(bench_count(&r.b, "tls_handshakes"), 1);
    c.errors = 1; /* nothing was told, and nothing is to be */
    rig_fini(&c, 1);
}
