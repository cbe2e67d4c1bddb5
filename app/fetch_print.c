/* What `httpshard fetch` says: heads as they are on the wire, and one line of JSON for each URL.
 * Tested by: tests/e2e/fetch.py. */
#include <inttypes.h>
#include <stdio.h>

#include "fetch.h"

/* What a server sent may have control bytes, and the reader may be a terminal. */
static void print_text(FILE *to, hs_span text)
{
    for (size_t i = 0; i < text.len; i++) {
        uint8_t byte = text.ptr[i];
        (void)fputc((byte < 0x20 && byte != '\t') || byte == 0x7f ? '?' : byte, to);
    }
}

static void print_field(FILE *to, const char *before, const hs_fetch_field *f)
{
    fprintf(to, "%s%.*s: ", before, (int)f->name.len, (const char *)f->name.ptr);
    print_text(to, f->value);
    (void)fputc('\n', to);
}

void fetch_print_request(const hs_fetch_options *o, const char *url)
{
    hs_span method = o->method;
    if (method.len == 0)
        method = o->body.ptr || o->file ? HS_SPAN("POST") : HS_SPAN("GET");
    fprintf(stderr, "> %.*s %s\n", (int)method.len, (const char *)method.ptr, url);
    if (o->host.len > 0)
        print_field(stderr, "> ", &(hs_fetch_field){HS_SPAN("Host"), o->host});
    for (uint32_t i = 0; i < o->headers_len; i++)
        print_field(stderr, "> ", &o->headers[i]);
}

/* As curl has it. */
void fetch_print_secure(const hs_secure_info *info)
{
    if (!info->version)
        return;
    fprintf(stderr, "* SSL connection using %s / %s%s%s\n", info->version, info->cipher,
            info->group ? " / " : "", info->group ? info->group : "");
    if (info->alpn.len > 0)
        fprintf(stderr, "* ALPN: %.*s\n", (int)info->alpn.len, (const char *)info->alpn.ptr);
    if (info->resumed)
        fprintf(stderr, "* the session was resumed\n");
    if (info->stapled)
        fprintf(stderr, "* OCSP: the stapled response was checked, and is good\n");
}

void fetch_print_head(const hs_fetch_res *res)
{
    fprintf(stderr, "< HTTP/1.%u %u ", res->minor, res->status);
    print_text(stderr, res->reason);
    (void)fputc('\n', stderr);
    for (uint32_t i = 0; i < res->fields_len; i++)
        print_field(stderr, "< ", &res->fields[i]);
}

/* A string of JSON (RFC 8259 section 7). Bytes that are no ASCII go out as they are: what a URL or
 * a message has is UTF-8. */
static void json_text(hs_span text)
{
    (void)putchar('"');
    for (size_t i = 0; i < text.len; i++) {
        uint8_t byte = text.ptr[i];
        if (byte == '"' || byte == '\\')
            printf("\\%c", byte);
        else if (byte < 0x20 || byte == 0x7f)
            printf("\\u%04x", byte);
        else
            (void)putchar(byte);
    }
    (void)putchar('"');
}

static void json_name(const char *name, hs_span text)
{
    printf("\"%s\":", name);
    if (text.len > 0)
        json_text(text);
    else
        printf("null");
    (void)putchar(',');
}

static void json_tls(const hs_secure_info *info)
{
    if (!info->version) {
        printf("\"tls\":null,");
        return;
    }
    printf("\"tls\":{");
    json_name("version", hs_span_str(info->version));
    json_name("cipher", hs_span_str(info->cipher));
    json_name("group", info->group ? hs_span_str(info->group) : hs_span_of(NULL, 0));
    json_name("alpn", info->alpn);
    printf("\"resumed\":%s,\"stapled\":%s},", info->resumed ? "true" : "false",
           info->stapled ? "true" : "false");
}

static void json_ms(const char *name, uint64_t ns, const char *after)
{
    printf("\"%s\":%.3f%s", name, (double)ns / (double)HS_MSEC_NS, after);
}

void fetch_print_json(const hs_fetch_res *res, uint64_t bytes)
{
    const hs_fetch_timing *t = &res->timing;
    printf("{\"url\":");
    json_text(res->url);
    printf(",\"status\":%u,\"bytes\":%" PRIu64 ",\"redirected\":%s,\"reused\":%s,", res->status,
           bytes, res->redirected ? "true" : "false", res->reused ? "true" : "false");
    json_tls(&res->secure);
    printf("\"timing_ms\":{");
    json_ms("queue", t->queue_ns, ",");
    json_ms("resolve", t->resolve_ns, ",");
    json_ms("connect", t->connect_ns, ",");
    json_ms("tunnel", t->tunnel_ns, ",");
    json_ms("tls", t->tls_ns, ",");
    json_ms("first_byte", t->first_byte_ns, ",");
    json_ms("total", t->total_ns, "}}\n");
    (void)fflush(stdout);
}

static const char *words(hs_err err, const hs_fetch_error *detail)
{
    return detail ? detail->text : hs_err_text(err);
}

void fetch_print_json_error(const char *url, hs_err err, const hs_fetch_error *detail)
{
    printf("{\"url\":");
    json_text(hs_span_str(url));
    printf(",\"error\":\"%s\"", hs_err_name(err));
    if (detail)
        printf(",\"phase\":\"%s\"", hs_fetch_phase_name(detail->phase));
    printf(",\"text\":");
    json_text(hs_span_str(words(err, detail)));
    printf("}\n");
    (void)fflush(stdout);
}

void fetch_print_error(const char *url, hs_err err, const hs_fetch_error *detail)
{
    fprintf(stderr, "httpshard fetch: %s: %s\n", url, words(err, detail));
}
