/* The inside of `httpshard fetch`: fetch_args.c reads the command line, fetch_run.c fetches,
 * fetch_print.c says what came, fetch_proxies.c whom it comes through, fetch_routes.c reads
 * --resolve and --connect-to. */
#pragma once

#include "hs_fetch.h"

#define FETCH_FIELDS_MAX 64
#define FETCH_ROUTES_MAX 64

typedef struct fetch_args {
    char **urls; /* of argv */
    uint32_t urls_len;
    const char **outs; /* the nth file is for the nth URL; NULL: standard output */
    uint32_t outs_len;
    hs_fetch_options options;
    hs_fetch_field fields[FETCH_FIELDS_MAX];
    const char *data;                        /* of -d */
    const char *upload;                      /* of -T */
    hs_fetch_route routes[FETCH_ROUTES_MAX]; /* of --resolve and --connect-to */
    uint32_t routes_len;
    const char *cacert, *cert, *key;
    const char *unix_socket;
    const char *proxy;    /* of --proxy; NULL: what the environment says */
    const char *no_proxy; /* of --noproxy, the same */
    uint32_t parallel;
    bool insecure, verbose, json, fail;
} fetch_args;

/* The main function of `httpshard fetch`: returns the exit status. */
int fetch_main(int argc, char **argv);

/* Read the command line. *leave: nothing is to be fetched, and the result is the exit status.
 * `args->urls` and `args->outs` have room for argc pointers each. */
int fetch_args_read(fetch_args *args, int argc, char **argv, bool *leave);

/* Read "HOST:PORT:ADDRESS", whose host "*" is every one, and an address of IPv6 in brackets. False:
 * it is something else. `value` is borrowed. */
bool fetch_route_resolve(hs_fetch_route *out, const char *value);

/* Read "HOST:PORT:TO_HOST:TO_PORT", of which each may be empty. The same. */
bool fetch_route_connect_to(hs_fetch_route *out, const char *value);

/* What the client is told of proxies. */
typedef struct fetch_proxies {
    const char **env;
    size_t bytes;
} fetch_proxies;

/* The environment, and what `args` puts before it, which is borrowed. Errors: -ENOMEM. */
HS_NODISCARD hs_err fetch_proxies_make(fetch_proxies *out, const fetch_args *args);
void fetch_proxies_free(fetch_proxies *p);

/* Fetch all; returns the exit status. */
int fetch_urls(const fetch_args *args);

/* What is asked for, and what came, to standard error. */
void fetch_print_request(const hs_fetch_options *o, const char *url);
void fetch_print_secure(const hs_secure_info *info);
void fetch_print_head(const hs_fetch_res *res);

/* One line of JSON about a fetch, to standard output. */
void fetch_print_json(const hs_fetch_res *res, uint64_t bytes);
void fetch_print_json_error(const char *url, hs_err err, const hs_fetch_error *detail);

/* A line about a fetch that failed, to standard error. `detail` may be NULL. */
void fetch_print_error(const char *url, hs_err err, const hs_fetch_error *detail);
