/* The client over real TLS: what may be repeated there. A server of the rig's answers. */
#include "fake_dns.h"
#include "hs_fetch.h"

#include "tls_rig.h"

#define URL HS_SPAN("https://server.test/x")
#define ANSWER "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"

typedef struct result {
    uint32_t values, errors;
    hs_err err;
} result;

static const fake_row rows[] = {{"server.test", "127.0.0.1", 0, 0, AF_INET},
                                {"server.test", NULL, HS_E_NAME_NONE, 0, AF_INET6},
                                {NULL, NULL, 0, 0, 0}};
static fake_dns dns;
static hs_client *fetcher;

static void answer(end *e)
{
    if (!strstr(e->in, "\r\n\r\nx"))
        return;
    say(e, ANSWER);
    e->in_len = 0;
    memset(e->in, 0, sizeof e->in);
}

static hs_outcome on_response(void *ctx, void *value)
{
    ((result *)ctx)->values++;
    hs_fetch_res_free(value);
    return hs_value(NULL);
}

static hs_outcome on_error(void *ctx, hs_err err, void *detail)
{
    ((result *)ctx)->errors++;
    ((result *)ctx)->err = err;
    hs_fetch_error_free(detail);
    return hs_value(NULL);
}

static void post(result *o)
{
    *o = (result){0};
    hs_promise *p = hs_post(fetcher, URL, HS_SPAN("text/plain"), HS_SPAN("x"));
    hs_promise_drop(hs_then_catch(p, on_response, on_error, o));
}

static void setup(const sim_faults *faults)
{
    rig_options o = {.faults = faults};
    rig_init(&o);
    r.on_server_data = answer;
    fake_dns_init(&dns, &r.b, rows);
    hs_client_options options = {.tcp = r.tcp, .dns = &dns.dns, .secure = r.secure};
    cr_assert(hs_ok(hs_client_create(r.b.shard, &options, &fetcher)));
}

static void teardown(void)
{
    hs_client_destroy(fetcher);
    bench_run(&r.b, HS_LINGER_MS + 1000);
    rig_fini(NULL, 0);
}

/* RFC 9110 section 9.2.2: what has not been sent may be sent again, whatever its method. */
Test(tls_fetch, a_post_that_never_left_is_repeated)
{
    result o;
    sim_faults f;
    sim_faults_none(&f);
    f.done_late = 1000;
    f.late_us_max = 20000;
    setup(&f);
    post(&o);
    bench_run(&r.b, 1000);
    cr_assert_eq(o.values, 1, "%s", hs_err_name(o.err));
    for (int i = 0; i < 20; i++) {
        /* The connection that would be used again is reset, and the client may not know yet. */
        end *last = &r.server[r.servers - 1];
        if (last->s)
            hs_stream_abort(last->s);
        bench_run(&r.b, 5);
        post(&o);
        bench_run(&r.b, 1000);
        cr_assert_eq(o.values, 1, "%s", hs_err_name(o.err));
    }
    cr_assert_gt(bench_count(&r.b, "fetch_repeated"), 0);
    teardown();
}

static void abort_it(end *e)
{
    hs_stream_abort(e->s);
}

Test(tls_fetch, a_post_that_was_sent_is_not_repeated)
{
    result o;
    setup(NULL);
    post(&o);
    bench_run(&r.b, 100);
    cr_assert_eq(o.values, 1, "%s", hs_err_name(o.err));
    r.server[0].on_data = abort_it;
    post(&o);
    bench_run(&r.b, 100);
    cr_assert_eq(o.errors, 1);
    cr_assert_eq(bench_count(&r.b, "fetch_repeated"), 0);
    teardown();
}
