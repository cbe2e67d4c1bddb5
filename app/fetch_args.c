/* The command line of `httpshard fetch`. Flags are curl's where curl has them.
 * Tested by: tests/e2e/fetch.py. */
#include <stdio.h>
#include <string.h>

#include "fetch.h"

#define PARALLEL 16
#define PARALLEL_MAX 1024

static void print_help(void)
{
    printf(
        "usage: httpshard fetch [flags] URL...\n"
        "\n"
        "Fetches all URLs side by side and writes their bodies in the order of the URLs.\n"
        "\n"
        "  -X METHOD           the method (default: GET, POST with -d, PUT with -T)\n"
        "  -H 'NAME: VALUE'    a field of the request; may be given often. Host: a virtual\n"
        "                      host at the URL's\n"
        "  -d DATA             the body; @FILE: what the file holds\n"
        "  -T FILE             the body is what the file holds, to be put there\n"
        "  -o FILE             write the body there; the nth -o is for the nth URL\n"
        "  --unix-socket PATH  connect there, whatever the URL's host is\n"
        "  --resolve HOST:PORT:ADDRESS\n"
        "                      this is its address, whatever name servers say; *: every host\n"
        "  --connect-to HOST:PORT:TO_HOST:TO_PORT\n"
        "                      connect there instead; what is empty is any, or the same\n"
        "  --proxy URL         through this proxy (default: what http_proxy, https_proxy\n"
        "                      and all_proxy say in the environment); '': through none\n"
        "  --noproxy LIST      but not for these hosts (default: what no_proxy says)\n"
        "  --cacert FILE       roots for certificates, PEM (default: the system's)\n"
        "  --cert FILE         our certificate, PEM, for servers that ask for one\n"
        "  --key FILE          its key (default: it is in the certificate's file)\n"
        "  --insecure          take any certificate\n"
        "  -v                  show the heads, and what TLS came to\n"
        "  --json              a line of JSON for each URL with its timing, and no bodies\n"
        "  --fail              a status of 400 or above is a failure\n"
        "  --redirect HOW      follow, error or manual (default: follow)\n"
        "  --decode-ratio N    a body may decode to so many times its coded size, where that is\n"
        "                      more than 64 MiB (default: 1000; 0: without a limit)\n"
        "  --retries N         repeat what can be repeated (default: 0)\n"
        "  --max-time SECONDS  for each URL (default: no limit)\n"
        "  --connect-timeout SECONDS\n"
        "                      to find the host (default: 5), to connect, for a proxy's tunnel\n"
        "                      and for the TLS handshake (10 each)\n"
        "  --parallel N        how many at a time (default: %d)\n"
        "\n"
        "Exits with 0 where all came, 1 where one did not, 2 for a bad command line.\n",
        PARALLEL);
}

static int bad_usage(const char *flag, const char *why)
{
    fprintf(stderr, "httpshard fetch: %s: %s (see httpshard fetch --help)\n", flag, why);
    return 2;
}

static int take_host(fetch_args *a, hs_span host)
{
    if (host.len == 0 || a->options.host.len > 0)
        return bad_usage("-H", host.len == 0 ? "wants 'Host: NAME'" : "there is a Host already");
    a->options.host = host;
    return 0;
}

static int take_route(fetch_args *a, const char *flag, const char *value)
{
    bool resolve = strcmp(flag, "--resolve") == 0;
    hs_fetch_route *route = &a->routes[a->routes_len];
    if (a->routes_len == FETCH_ROUTES_MAX)
        return bad_usage(flag, "given too often");
    if (resolve ? !fetch_route_resolve(route, value) : !fetch_route_connect_to(route, value))
        return bad_usage(flag, resolve ? "wants HOST:PORT:ADDRESS, of IPv6 in brackets"
                                       : "wants HOST:PORT:TO_HOST:TO_PORT, of IPv6 in brackets");
    a->routes_len++;
    return 0;
}

static int take_field(fetch_args *a, const char *value)
{
    const char *colon = strchr(value, ':');
    if (a->options.headers_len == FETCH_FIELDS_MAX)
        return bad_usage("-H", "given too often");
    if (colon && hs_span_eq_nocase(hs_span_of(value, (size_t)(colon - value)), HS_SPAN("Host")))
        return take_host(a, hs_span_trim(hs_span_str(colon + 1)));
    if (!colon)
        return bad_usage("-H", "wants 'NAME: VALUE'");
    const char *from = colon + 1, *to = from + strlen(from);
    while (*from == ' ' || *from == '\t')
        from++;
    while (to > from && (to[-1] == ' ' || to[-1] == '\t'))
        to--;
    a->fields[a->options.headers_len++] = (hs_fetch_field){
        hs_span_of(value, (size_t)(colon - value)), hs_span_of(from, (size_t)(to - from))};
    return 0;
}

static int take_redirect(fetch_args *a, const char *value)
{
    static const char *const names[] = {
        [HS_FETCH_FOLLOW] = "follow", [HS_FETCH_ERROR] = "error", [HS_FETCH_MANUAL] = "manual"};
    for (size_t i = 0; i < HS_ARRAY_LEN(names); i++) {
        if (strcmp(value, names[i]) == 0) {
            a->options.redirect = (hs_fetch_redirect)i;
            return 0;
        }
    }
    return bad_usage("--redirect", "wants follow, error or manual");
}

static int take_number(const char *flag, const char *value, uint64_t min, uint64_t max,
                       uint32_t scale, uint32_t *out)
{
    uint64_t n;
    if (!hs_span_u64(hs_span_str(value), max, &n) || n < min)
        return bad_usage(flag, "wants a number, and not too large a one");
    *out = (uint32_t)n * scale;
    return 0;
}

/* curl's has one time for all of this together. */
static int take_connect_timeout(fetch_args *a, const char *flag, const char *value)
{
    hs_fetch_times *t = &a->options.times;
    int status = take_number(flag, value, 1, 86400, 1000, &t->connect_ms);
    t->resolve_ms = t->tunnel_ms = t->tls_ms = t->connect_ms;
    return status;
}

static int take_decode_ratio(fetch_args *a, const char *flag, const char *value)
{
    uint32_t *ratio = &a->options.decoded_ratio_max;
    int status = take_number(flag, value, 0, UINT32_MAX, 1, ratio);
    *ratio = *ratio ? *ratio : UINT32_MAX;
    return status;
}

/* A flag with a value. Returns the exit status. */
static int take_value(fetch_args *a, const char *flag, const char *value)
{
    if (strcmp(flag, "-H") == 0)
        return take_field(a, value);
    if (strcmp(flag, "--resolve") == 0 || strcmp(flag, "--connect-to") == 0)
        return take_route(a, flag, value);
    if (strcmp(flag, "--redirect") == 0)
        return take_redirect(a, value);
    if (strcmp(flag, "--retries") == 0)
        return take_number(flag, value, 0, 100, 1, &a->options.retries);
    if (strcmp(flag, "--decode-ratio") == 0)
        return take_decode_ratio(a, flag, value);
    if (strcmp(flag, "--max-time") == 0)
        return take_number(flag, value, 1, 86400, 1000, &a->options.times.total_ms);
    if (strcmp(flag, "--connect-timeout") == 0)
        return take_connect_timeout(a, flag, value);
    if (strcmp(flag, "--parallel") == 0)
        return take_number(flag, value, 1, PARALLEL_MAX, 1, &a->parallel);
    if (strcmp(flag, "-X") == 0)
        a->options.method = hs_span_str(value);
    else if (strcmp(flag, "-d") == 0)
        a->data = value;
    else if (strcmp(flag, "-T") == 0)
        a->upload = value;
    else if (strcmp(flag, "-o") == 0)
        a->outs[a->outs_len++] = value;
    else if (strcmp(flag, "--cacert") == 0)
        a->cacert = value;
    else if (strcmp(flag, "--cert") == 0)
        a->cert = value;
    else if (strcmp(flag, "--key") == 0)
        a->key = value;
    else if (strcmp(flag, "--unix-socket") == 0)
        a->unix_socket = value;
    else if (strcmp(flag, "--proxy") == 0)
        a->proxy = value;
    else if (strcmp(flag, "--noproxy") == 0)
        a->no_proxy = value;
    else
        return bad_usage(flag, "no such flag");
    return 0;
}

static bool take_switch(fetch_args *a, const char *flag)
{
    const struct {
        const char *name;
        bool *to;
    } switches[] = {{"--insecure", &a->insecure},
                    {"-v", &a->verbose},
                    {"--json", &a->json},
                    {"--fail", &a->fail}};
    for (size_t i = 0; i < HS_ARRAY_LEN(switches); i++) {
        if (strcmp(flag, switches[i].name) == 0) {
            *switches[i].to = true;
            return true;
        }
    }
    return false;
}

int fetch_main(int argc, char **argv)
{
    fetch_args args = {0};
    const hs_mem *mem = hs_mem_system();
    size_t bytes = 2 * (size_t)argc * sizeof(char *);
    bool leave;
    args.urls = hs_mem_take_zero(mem, bytes, 16);
    if (!args.urls) {
        fprintf(stderr, "httpshard fetch: no memory\n");
        return 1;
    }
    args.outs = (const char **)args.urls + argc;
    int status = fetch_args_read(&args, argc, argv, &leave);
    if (!leave)
        status = fetch_urls(&args);
    hs_mem_give(mem, args.urls, bytes, 16);
    return status;
}

int fetch_args_read(fetch_args *a, int argc, char **argv, bool *leave)
{
    *leave = true;
    a->parallel = PARALLEL;
    a->options.headers = a->fields;
    for (int i = 1; i < argc; i++) {
        const char *flag = argv[i];
        if (strcmp(flag, "--help") == 0 || strcmp(flag, "-h") == 0) {
            print_help();
            return 0;
        }
        if (flag[0] != '-' || flag[1] == '\0') {
            a->urls[a->urls_len++] = argv[i];
            continue;
        }
        if (take_switch(a, flag))
            continue;
        int status = i + 1 < argc ? take_value(a, flag, argv[++i])
                                  : bad_usage(flag, "no such flag, or its value is missing");
        if (status != 0)
            return status;
    }
    if (a->urls_len == 0)
        return bad_usage("URL", "none was given");
    if (a->data && a->upload)
        return bad_usage("-T", "there is a body by -d already");
    if (a->key && !a->cert)
        return bad_usage("--key", "there is no --cert");
    if (a->upload && a->options.method.len == 0)
        a->options.method = HS_SPAN("PUT");
    if (a->outs_len > a->urls_len)
        return bad_usage("-o", "given more often than there are URLs");
    *leave = false;
    return 0;
}
