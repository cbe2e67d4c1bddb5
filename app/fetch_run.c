/* `httpshard fetch`: one shard, one fiber that takes the responses in the order of their URLs.
 *
 * Owns: the order. Responses whose turn has not come wait with their bodies unread, so that their
 * peers are slowed down and the memory stays flat, whatever they send. Must not know: how a fetch
 * is done. Tested by: tests/e2e/fetch.py. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "alone.h"
#include "fetch.h"
#include "hs_blocking.h"
#include "hs_fiber.h"

typedef struct run {
    const fetch_args *args;
    hs_client *client;
    hs_fetch_options options;
    hs_promise **promises; /* one for each URL */
    uint32_t started;
    hs_addr unix_addr;
    fetch_proxies proxies;
    hs_fetch_file file; /* the body */
    bool failed;        /* one did not come */
    hs_err out_fail;    /* what the last output came to */
} run;

/* ---- output, which may block: on a thread of the pool ---- */

typedef struct piece {
    int fd;
    hs_span bytes;
} piece;

static hs_outcome write_all(void *arg)
{
    const piece *p = arg;
    hs_span left = p->bytes;
    while (left.len > 0) {
        ssize_t n = write(p->fd, left.ptr, left.len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return hs_error(hs_err_errno(errno));
        left = hs_span_from(left, (size_t)n);
    }
    return hs_value(NULL);
}

/* Where the body of URL `i` goes; -1: nowhere, or (*err) the file cannot be made. */
static int open_out(const fetch_args *args, uint32_t i, hs_err *err)
{
    *err = HS_OK;
    if (i >= args->outs_len)
        return args->json ? -1 : STDOUT_FILENO;
    int fd = open(args->outs[i], O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (fd < 0)
        *err = hs_err_errno(errno);
    return fd;
}

/* ---- one URL ---- */

static void say_failed(run *r, uint32_t i, hs_err err, const hs_fetch_error *detail)
{
    const char *url = r->args->urls[i];
    r->failed = true;
    if (r->args->json)
        fetch_print_json_error(url, err, detail);
    else
        fetch_print_error(url, err, detail);
}

/* Copy the body to `fd`, or over it. Returns false where that failed, having said so. */
static bool copy_body(run *r, uint32_t i, hs_fetch_res *res, int fd, uint64_t *bytes)
{
    for (;;) {
        hs_outcome o = hs_await_outcome(hs_fetch_next(res));
        if (!hs_ok(o.err)) {
            say_failed(r, i, o.err, o.value);
            if (o.drop)
                o.drop(o.value);
            return false;
        }
        const hs_span *span = o.value;
        if (!span)
            return true;
        *bytes += span->len;
        piece p = {fd, *span};
        hs_err err = fd < 0 ? HS_OK : hs_await(hs_blocking(hs_shard_self(), write_all, &p), NULL);
        if (!hs_ok(err)) {
            r->out_fail = err;
            say_failed(r, i, err, NULL);
            return false;
        }
    }
}

static void take_response(run *r, uint32_t i, hs_fetch_res *res)
{
    uint64_t bytes = 0;
    hs_err err;
    if (r->args->verbose) {
        fetch_print_secure(&res->secure);
        fetch_print_head(res);
    }
    if (r->args->fail && res->status >= 400) {
        fprintf(stderr, "httpshard fetch: %s: status %u\n", r->args->urls[i], res->status);
        r->failed = true;
    }
    int fd = open_out(r->args, i, &err);
    if (!hs_ok(err)) {
        fprintf(stderr, "httpshard fetch: %s: %s\n", r->args->outs[i], hs_err_text(err));
        r->failed = true;
        return;
    }
    if (copy_body(r, i, res, fd, &bytes) && r->args->json)
        fetch_print_json(res, bytes);
    if (fd > STDERR_FILENO && close(fd) != 0)
        say_failed(r, i, hs_err_errno(errno), NULL);
}

/* ---- URLs as people write them ---- */

/* Whether there is a scheme before what ends an authority: "h:80/?u=http://x" has none. */
static bool has_scheme(const char *url)
{
    const char *slashes = strstr(url, "://");
    return slashes && strcspn(url, "/?#") == (size_t)(slashes - url) + 1;
}

/* A fetch of the URL, which is http:// where it does not say. */
static hs_promise *fetch_url(const run *r, const char *url)
{
    if (has_scheme(url))
        return hs_fetch(r->client, hs_span_str(url), &r->options);
    const hs_mem *mem = hs_mem_system();
    size_t len = strlen(url) + 7;
    char *text = hs_mem_take(mem, len + 1, 16);
    if (!text)
        return hs_promise_settled(hs_shard_self(), hs_error(hs_err_of(-ENOMEM)));
    int written = snprintf(text, len + 1, "http://%s", url);
    HS_ASSERT(written >= 0 && (size_t)written == len);
    hs_promise *promise = hs_fetch(r->client, hs_span_of(text, len), &r->options);
    hs_mem_give(mem, text, len + 1, 16);
    return promise;
}

/* ---- all of them ---- */

static void start_some(run *r, uint32_t until)
{
    const fetch_args *args = r->args;
    for (; r->started < HS_MIN(until, args->urls_len); r->started++) {
        const char *url = args->urls[r->started];
        if (args->verbose)
            fetch_print_request(&r->options, url);
        r->promises[r->started] = fetch_url(r, url);
    }
}

static void fetch_all(hs_client *client, void *ctx)
{
    run *r = ctx;
    uint32_t i = 0;
    r->client = client;
    for (; i < r->args->urls_len && hs_ok(r->out_fail); i++) {
        start_some(r, i + r->args->parallel);
        hs_outcome o = hs_await_outcome(r->promises[i]);
        if (hs_ok(o.err))
            take_response(r, i, o.value);
        else
            say_failed(r, i, o.err, o.value);
        if (o.drop)
            o.drop(o.value);
    }
    for (; i < r->started; i++)
        hs_promise_ignore(r->promises[i]);
}

static int say(const char *what, const char *why)
{
    fprintf(stderr, "httpshard fetch: %s: %s\n", what, why);
    return 1;
}

/* ---- what -d and -T stand for ---- */

/* The body is what the file holds, for every URL; it stays open until the process ends. */
static bool open_body(run *r, const char *path)
{
    struct stat st;
    r->file = (hs_fetch_file){.fd = open(path, O_RDONLY | O_CLOEXEC), .length = HS_FETCH_REST};
    if (r->file.fd < 0 || fstat(r->file.fd, &st) != 0)
        return say(path, hs_err_text(hs_err_errno(errno))) == 0;
    if (!S_ISREG(st.st_mode))
        return say(path, "is no regular file") == 0;
    r->options.file = &r->file;
    return true;
}

static bool make_body(run *r)
{
    const char *data = r->args->data;
    if (r->args->upload)
        return open_body(r, r->args->upload);
    if (data && data[0] == '@')
        return open_body(r, data + 1);
    if (data)
        r->options.body = hs_span_str(data);
    return true;
}

/* --unix-socket, "@name" for one in the abstract space. */
static bool make_unix(run *r, const char *path)
{
    char text[sizeof "unix:" + HS_UNIX_NAME_MAX + 1];
    if (!path)
        return true;
    int len = snprintf(text, sizeof text, "unix:%s", path);
    hs_err err = hs_err_of(HS_E_LIMIT);
    if (len > 0 && (size_t)len < sizeof text)
        err = hs_addr_parse(&r->unix_addr, hs_span_of(text, (size_t)len));
    return hs_ok(err) || say(path, "is no name that a Unix socket can have") == 0;
}

static hs_err run_all(run *r, hs_tls_why *why)
{
    alone a = {.name = "fetch",
               .ca_file = r->args->cacert,
               .cert = {.cert_file = r->args->cert,
                        .key_file = r->args->key ? r->args->key : r->args->cert},
               .client = {.connect_to = r->args->unix_socket ? &r->unix_addr : NULL,
                          .proxy_env = r->proxies.env,
                          .routes = r->args->routes,
                          .routes_len = r->args->routes_len,
                          .unverified = r->args->insecure,
                          .conns_per_origin = r->args->parallel},
               .job = fetch_all,
               .ctx = r};
    return alone_run(&a, why);
}

int fetch_urls(const fetch_args *args)
{
    run r = {.args = args, .options = args->options};
    const hs_mem *mem = hs_mem_system();
    size_t bytes = args->urls_len * sizeof(hs_promise *);
    hs_tls_why why = {0};
    if (!make_unix(&r, args->unix_socket) || !make_body(&r))
        return 1;
    r.promises = hs_mem_take_zero(mem, bytes, 16);
    hs_err err = r.promises ? fetch_proxies_make(&r.proxies, args) : hs_err_of(-ENOMEM);
    if (hs_ok(err))
        err = run_all(&r, &why);
    fetch_proxies_free(&r.proxies);
    hs_mem_give(mem, r.promises, bytes, 16);
    if (!hs_ok(err))
        return why.text[0] ? say("TLS", why.text) : say("cannot start", hs_err_text(err));
    return r.failed ? 1 : 0;
}
