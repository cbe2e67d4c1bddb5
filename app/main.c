/* The main function of a server program: command line, limits of the process, signals.
 *
 * Owns: the flags and their texts. What goes wrong is told in one line with its remedy.
 * Tested by: tests/e2e. */
#include "command.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "hs_limits.h"

/* Files that a process needs beside its connections, and for each shard. */
#define FILES_OWN 32
#define FILES_PER_SHARD 8
/* With fewer connections than this nobody can be served well. */
#define FILES_CONNS_MIN 64
#define STALL_MS_MAX 60000

const char *hs_version(void)
{
    return HS_VERSION_TEXT;
}

static void print_help(const command *cmd)
{
    printf(
        "usage: %s [--cores N] [--listen ADDRESS ...] [--io HOW] [--drain SECONDS]\n"
        "\n"
        "  --cores N           shards, each on a core of its own (default: as many as this "
        "process\n"
        "                      may use by its affinity and its cgroup's cpu.max)\n"
        "  --listen ADDRESS    where to listen; 127.0.0.1:8080, [::1]:8080, localhost:8080 (each of\n"
        "                      a name's addresses), :8080 (any IPv4\n"
        "                      address); port 0: the system chooses; unix:/run/x.sock or "
        "unix:@name\n"
        "                      (abstract) for a Unix socket; up to %d times\n"
        "                      (default: 127.0.0.1:8080)\n"
        "  --unix-mode MODE    who may connect to Unix sockets, in octal (default: 0600)\n"
        "  --io HOW            uring, epoll, or auto: io_uring, and epoll where that is denied\n"
        "                      (default: auto)\n"
        "  --drain SECONDS     how long requests under way may take after SIGTERM (default: 30)\n"
        "  --timeout SECONDS   how long a client may keep us waiting, for whatever it is\n"
        "                      (default: 10 for a TLS handshake, for a head and for more of a "
        "body,\n"
        "                      30 to take more of an answer, 60 between requests)\n"
        "  --half-close        answer clients that end their side while a request waits; "
        "otherwise\n"
        "                      that cancels it\n"
        "  --log-level LEVEL   error, warn, info or debug (default: info)\n"
        "  --stall-ms MS       name handlers that hold their shard longer; 0: do not (default: "
        "%d)\n"
        "  --fiber-stack KIB   stack of each handler that may wait (default: 64)\n"
        "  --blocking-threads N\n"
        "                      threads for work that blocks, made as needed (default: 4)\n"
        "  --help, --version   print this, or the version\n",
        cmd->name, HS_APP_LISTEN_MAX, HS_STALL_MS);
    tls_help();
    printf(
        "\n"
        "SIGTERM and SIGINT stop the server: it accepts no more, answers what is under way with\n"
        "Connection: close, and leaves with status 0. A second signal ends it at once. SIGHUP\n"
        "reads certificates, keys, resolv.conf and the hosts file again; a server that has no\n"
        "certificate and fetches nothing stops.\n");
}

/* Octal digits alone, up to 0777, and at least one bit. */
static bool unix_mode(const char *text, uint32_t *out)
{
    uint32_t mode = 0;
    size_t i = 0;
    for (; text[i] >= '0' && text[i] <= '7' && i < 5; i++)
        mode = mode * 8 + (uint32_t)(text[i] - '0');
    if (text[i] != '\0' || mode == 0 || mode > 0777)
        return false;
    *out = mode;
    return true;
}

/* ---- flags ---- */

/* A flag whose value is a number: field = value * scale. */
typedef struct number_flag {
    const char *name;
    uint64_t min, max;
    uint32_t scale;
    size_t field; /* where in command; a uint32_t */
    const char *wants;
} number_flag;

static const number_flag number_flags[] = {
    {"--cores", 1, HS_SHARDS_MAX, 1, offsetof(command, options.cores),
     "wants a number from 1 to 256"},
    {"--drain", 0, 86400, 1000, offsetof(command, options.drain_ms),
     "wants seconds, from 0 to 86400"},
    {"--timeout", 1, 86400, 1000, offsetof(command, timeout_ms), "wants seconds, from 1 to 86400"},
    {"--stall-ms", 0, STALL_MS_MAX, 1, offsetof(command, options.stall_ms),
     "wants milliseconds, from 0 to 60000"},
    {"--fiber-stack", HS_FIBER_STACK_BYTES_MIN >> 10, HS_FIBER_STACK_BYTES_MAX >> 10, 1024,
     offsetof(command, options.fiber_stack_bytes), "wants KiB, from 16 to 1048576"},
    {"--blocking-threads", 1, HS_BLOCKING_THREADS_MAX, 1,
     offsetof(command, options.blocking_threads), "wants a number from 1 to 1024"},
};

static int take_number(command *cmd, const number_flag *flag, const char *value)
{
    uint64_t n;
    if (!hs_span_u64(hs_span_str(value), flag->max, &n) || n < flag->min)
        return bad_usage(cmd, flag->name, flag->wants);
    uint32_t field = (uint32_t)n * flag->scale;
    memcpy((uint8_t *)cmd + flag->field, &field, sizeof field);
    return EXIT_FINE;
}

static int take_unix_mode(command *cmd, const char *value)
{
    if (!unix_mode(value, &cmd->options.unix_mode))
        return bad_usage(cmd, "--unix-mode", "wants permission bits in octal, such as 0660");
    return EXIT_FINE;
}

static int take_io(command *cmd, const char *value)
{
    if (!hs_io_choice_parse(value, &cmd->options.io))
        return bad_usage(cmd, "--io", "wants auto, uring or epoll");
    return EXIT_FINE;
}

static int take_log_level(command *cmd, const char *value)
{
    if (!hs_log_level_parse(value, &cmd->options.log_level))
        return bad_usage(cmd, "--log-level", "wants error, warn, info or debug");
    return EXIT_FINE;
}

static const word_flag word_flags[] = {
    {"--listen", add_listen},
    {"--unix-mode", take_unix_mode},
    {"--io", take_io},
    {"--log-level", take_log_level},
};

/* One flag and its value; NULL: none was given. Returns the exit status. */
static int take_flag(command *cmd, const char *flag, const char *value)
{
    for (size_t i = 0; i < HS_ARRAY_LEN(number_flags); i++)
        if (strcmp(flag, number_flags[i].name) == 0)
            return value ? take_number(cmd, &number_flags[i], value)
                         : bad_usage(cmd, flag, "wants a value");
    for (size_t i = 0; i < HS_ARRAY_LEN(word_flags); i++)
        if (strcmp(flag, word_flags[i].name) == 0)
            return value ? word_flags[i].take(cmd, value) : bad_usage(cmd, flag, "wants a value");
    for (const word_flag *f = tls_flags; f->name; f++)
        if (strcmp(flag, f->name) == 0)
            return value ? f->take(cmd, value) : bad_usage(cmd, flag, "wants a value");
    return bad_usage(cmd, flag, "no such flag");
}

/* Read the command line. *leave: nothing is to be served, and the result is the exit status. */
static int parse(command *cmd, int argc, char **argv, bool *leave)
{
    *leave = true;
    for (int i = 1; i < argc; i++) {
        char flag[32];
        const char *equals = strchr(argv[i], '=');
        size_t len = equals ? (size_t)(equals - argv[i]) : strlen(argv[i]);
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
            print_help(cmd);
            return EXIT_FINE;
        }
        if (strcmp(argv[i], "--version") == 0) {
            printf("%s %s\n", cmd->name, hs_version());
            return EXIT_FINE;
        }
        if (strcmp(argv[i], "--half-close") == 0) {
            cmd->half_close = true;
            continue;
        }
        if (len >= sizeof flag)
            return bad_usage(cmd, argv[i], "no such flag");
        memcpy(flag, argv[i], len);
        flag[len] = '\0';
        const char *value = equals ? equals + 1 : i + 1 < argc ? argv[++i] : NULL;
        int status = take_flag(cmd, flag, value);
        if (status != EXIT_FINE)
            return status;
    }
    *leave = false;
    return EXIT_FINE;
}

/* Raise the soft limit of files to the hard one; false where even that is too low to serve. */
static bool enough_files(const command *cmd, uint32_t shards)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return true;
    limit.rlim_cur = limit.rlim_max;
    (void)setrlimit(RLIMIT_NOFILE, &limit);
    rlim_t need = FILES_OWN + FILES_CONNS_MIN + (rlim_t)shards * FILES_PER_SHARD;
    if (limit.rlim_max >= need)
        return true;
    fprintf(stderr,
            "%s: too few files: %llu may be open, %llu are needed for %u shards; raise the limit "
            "(ulimit -n, or LimitNOFILE= of the service)\n",
            cmd->name, (unsigned long long)limit.rlim_max, (unsigned long long)need, shards);
    return false;
}

static const char *remedy(hs_err err)
{
    switch (-err.code) {
    case EADDRINUSE:
        return "another process listens there; choose another port or stop it";
    case EACCES:
        return "ports below 1024 need root, CAP_NET_BIND_SERVICE, or a lower "
               "net.ipv4.ip_unprivileged_port_start";
    case EADDRNOTAVAIL:
        return "this machine has no such address";
    case EMFILE:
    case ENFILE:
        return "raise the limit of open files (ulimit -n)";
    default:
        return hs_err_text(err);
    }
}

static const char *unix_remedy(hs_err err)
{
    switch (-err.code) {
    case EADDRINUSE:
        return "another process serves it or is about to; choose another name or stop it";
    case EEXIST:
        return "what is there is no socket, so it is left alone; remove it or choose another name";
    case EACCES:
    case EPERM:
        return "this user may not make it there, or not ask the socket that is there";
    case ENOENT:
    case ENOTDIR:
        return "there is no such folder";
    default:
        return remedy(err);
    }
}

static int cannot_start(const command *cmd, const hs_app *app, hs_err err)
{
    uint32_t at = app->failed_at;
    char text[HS_ADDR_TEXT_BYTES];
    const hs_addr *addr = at > 0 ? &cmd->listen[at - 1] : NULL;
    if (app->tls_why.text[0] != '\0') {
        fprintf(stderr, "%s: cannot start: %s\n", cmd->name, app->tls_why.text);
        return EXIT_FAILED;
    }
    if (addr)
        fprintf(stderr, "%s: cannot listen on %s: %s: %s\n", cmd->name, hs_addr_format(addr, text),
                hs_err_name(err), hs_addr_is_unix(addr) ? unix_remedy(err) : remedy(err));
    else
        fprintf(stderr, "%s: cannot start: %s: %s\n", cmd->name, hs_err_name(err), remedy(err));
    return EXIT_FAILED;
}

/* What a client is given: "any address" is no address to ask. */
static void print_curl(hs_addr addr, bool tls, hs_span path)
{
    char text[HS_ADDR_TEXT_BYTES];
    if (addr.sa.any.sa_family == AF_INET && addr.sa.v4.sin_addr.s_addr == htonl(INADDR_ANY))
        addr.sa.v4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    else if (addr.sa.any.sa_family == AF_INET6 && IN6_IS_ADDR_UNSPECIFIED(&addr.sa.v6.sin6_addr))
        addr.sa.v6.sin6_addr = in6addr_loopback;
    hs_addr_format(&addr, text);
    printf("try: curl -i ");
    if (!hs_addr_is_unix(&addr))
        printf("%s%s", tls ? "--insecure 'https://" : "'http://", text);
    else if (hs_addr_path(&addr).len > 0)
        printf("--unix-socket '%s' 'http://localhost", text + strlen("unix:"));
    else
        printf("--abstract-unix-socket '%s' 'http://localhost", text + strlen("unix:@"));
    printf("%.*s'\n", (int)path.len, (const char *)path.ptr);
}

/* A line to try it with: the first address and the first path that GET can be asked for. */
static void say_try(const hs_app *app)
{
    for (uint32_t i = 0; i < app->routes_len; i++) {
        const route *r = &app->routes[i];
        if (r->prefix || !(r->methods & HS_METHODS(HS_METHOD_GET)))
            continue;
        print_curl(*hs_app_listen_addr(app, 0), hs_app_listen_tls(app, 0), r->path);
        return;
    }
}

static void say_where(const command *cmd, const hs_app *app)
{
    char text[HS_ADDR_TEXT_BYTES];
    for (uint32_t i = 0; i < cmd->options.listen_len; i++) {
        const hs_addr *addr = hs_app_listen_addr(app, i);
        const char *scheme = hs_app_listen_tls(app, i) ? "https://" : "http://";
        printf("listening on %s%s\n", hs_addr_is_unix(addr) ? "" : scheme,
               hs_addr_format(addr, text));
    }
    say_try(app);
    (void)fflush(stdout);
}

static void end_at_once(void *ctx)
{
    hs_app_abort(ctx);
}

static void reload(void *ctx)
{
    hs_err err = hs_app_reload(ctx);
    (void)err; /* it is in the log, and the server goes on */
}

static void set_http(hs_app *app, command *cmd)
{
    hs_http_options *o = hs_app_http_options(app);
    o->half_close |= cmd->half_close;
    uint32_t ms = cmd->timeout_ms;
    if (ms == 0)
        return;
    o->head_ms_max = o->idle_ms_max = o->body_ms_window = o->send_ms_max = ms;
    cmd->options.handshake_ms = ms;
}

static int serve(hs_app *app, command *cmd)
{
    uint32_t shards = cmd->options.cores;
    hs_err err = shards ? HS_OK : hs_group_default_shards(&shards);
    if (hs_ok(err) && !enough_files(cmd, shards))
        return EXIT_FAILED;
    set_http(app, cmd);
    hs_group_block_signals();
    if (hs_ok(err))
        err = hs_app_start(app, &cmd->options);
    if (!hs_ok(err))
        return cannot_start(cmd, app, err);
    say_where(cmd, app);
    hs_group_wait_signals_hup(hs_app_group(app), end_at_once, hs_app_reloads(app) ? reload : NULL,
                              app);
    uint64_t cut_off = hs_app_join(app);
    if (cut_off == 0)
        return EXIT_FINE;
    if (cut_off == UINT64_MAX) {
        fprintf(stderr, "%s: stopped without what still held its shards: see the log\n", cmd->name);
        return EXIT_CUT_OFF;
    }
    fprintf(stderr, "%s: %llu requests were cut off\n", cmd->name, (unsigned long long)cut_off);
    return EXIT_CUT_OFF;
}

/* The last application that was served: programs mostly end without freeing theirs, and what can be
 * reached is no leak to those who look for leaks. */
static hs_app *volatile served;

int hs_app_main(hs_app *app, int argc, char **argv)
{
    command cmd = {.name = "httpshard"};
    bool leave;
    if (argc > 0 && argv[0]) {
        const char *slash = strrchr(argv[0], '/');
        cmd.name = slash ? slash + 1 : argv[0];
    }
    if (!app) {
        fprintf(stderr, "%s: no memory\n", cmd.name);
        return EXIT_FAILED;
    }
    served = app;
    hs_app_options_init(&cmd.options);
    cmd.options.listen = cmd.listen;
    int status = parse(&cmd, argc, argv, &leave);
    if (!leave) {
        if (cmd.options.listen_len == 0)
            status = add_listen(&cmd, "127.0.0.1:8080");
        if (status == EXIT_FINE)
            status = tls_flags_end(&cmd);
        if (status == EXIT_FINE)
            status = serve(app, &cmd);
    }
    return status;
}
