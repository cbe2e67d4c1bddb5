/* Asks a TLS server one thing, by net/hs_secure.h as the library's clients do, and says what came
 * of it: `tls_ask PORT HOST CA-FILE [TEXT]` connects to 127.0.0.1, checks that the certificate is
 * for HOST, sends TEXT and a newline, prints what it hears up to the end, and then in a line of its
 * own how that was: "end: NAME". Where the handshake fails: "failed: NAME: why". For
 * tests/e2e/tls.py. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hs_dial.h"
#include "hs_group.h"
#include "hs_tls.h"

/* The other side may be held up: what ends this is the test. */
#define PATIENCE_MS (300 * 1000)

static struct {
    hs_tcp *tcp;
    hs_tls_ctx *ctx;
    hs_secure *secure;
    const char *host, *text;
    hs_addr addr;
} ask;

static void on_data(hs_stream *s, hs_span bytes)
{
    (void)s;
    (void)fwrite(bytes.ptr, 1, bytes.len, stdout);
}

static void on_end(hs_stream *s)
{
    hs_stream_close(s);
}

static void on_drained(hs_stream *s)
{
    (void)s;
}

static void on_closed(hs_stream *s, hs_err why)
{
    (void)s;
    printf("\nend: %s\n", hs_err_name(why));
}

static const hs_stream_events events = {on_data, on_end, on_drained, on_closed};

static hs_outcome on_secured(void *ctx, void *value)
{
    hs_stream *s = value;
    (void)ctx;
    s->events = &events;
    if (ask.text) {
        hs_err err = hs_stream_write(s, hs_span_str(ask.text));
        if (hs_ok(err))
            err = hs_stream_write(s, HS_SPAN("\n"));
        if (!hs_ok(err))
            hs_stream_abort(s);
    }
    hs_stream_resume(s);
    return hs_value(NULL);
}

static hs_outcome on_failed(void *ctx, hs_err err, void *detail)
{
    const hs_secure_error *e = detail;
    (void)ctx;
    printf("failed: %s: %s\n", hs_err_name(err), e ? e->text : "");
    hs_secure_error_free(detail);
    return hs_value(NULL);
}

static hs_outcome on_dialled(void *ctx, void *value)
{
    hs_secure_options o = {.host = hs_span_str(ask.host), .handshake_ms = PATIENCE_MS};
    (void)ctx;
    hs_promise *stream = ask.secure->start(ask.secure, value, &o);
    hs_promise_drop(hs_then_catch(stream, on_secured, on_failed, NULL));
    return hs_value(NULL);
}

static hs_err start(hs_shard *shard, void *ctx)
{
    hs_tcp_options o = {0};
    (void)ctx;
    HS_TRY(hs_tcp_create(shard, &o, &ask.tcp));
    HS_TRY(hs_tls_secure_create(shard, ask.ctx, &ask.secure));
    hs_promise_drop(hs_then(hs_dial_addr(ask.tcp, &ask.addr, NULL), on_dialled, NULL));
    return HS_OK;
}

static void end(hs_shard *shard, void *ctx)
{
    (void)shard, (void)ctx;
    hs_tls_secure_destroy(ask.secure);
    hs_tcp_destroy(ask.tcp);
}

int main(int argc, char **argv)
{
    char text[64];
    hs_tls_why why;
    hs_group *group;
    hs_group_options o;
    if (argc < 4)
        return 2;
    snprintf(text, sizeof text, "127.0.0.1:%s", argv[1]);
    ask.host = argv[2];
    ask.text = argc > 4 ? argv[4] : NULL;
    hs_tls_options tls = {.ca_file = argv[3]};
    hs_err err = hs_tls_client_ctx(&tls, &ask.ctx, &why);
    if (!hs_ok(err) || !hs_ok(hs_addr_parse(&ask.addr, hs_span_str(text)))) {
        fprintf(stderr, "%s\n", why.text);
        return 2;
    }
    hs_group_options_init(&o);
    o.shards = 1;
    o.log_level = HS_LOG_ERROR;
    o.start = start;
    o.end = end;
    err = hs_group_start(&o, &group);
    if (!hs_ok(err))
        return 1;
    /* It ends when the connection has. */
    hs_group_stop(group);
    hs_group_join(group);
    hs_tls_ctx_unref(ask.ctx);
    return 0;
}
