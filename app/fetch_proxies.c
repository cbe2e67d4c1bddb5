/* The proxies of `httpshard fetch`: what the environment says, and what flags put before it.
 * Tested by: tests/e2e/fetch_proxy.py. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "fetch.h"
#include "hs_mem.h"

/* What the library takes from the environment; the first of two that are the same counts. */
static const char *const of_proxy[] = {"http_proxy",  "HTTP_PROXY", "https_proxy",
                                       "HTTPS_PROXY", "all_proxy",  "ALL_PROXY"};
static const char *const of_none[] = {"no_proxy", "NO_PROXY"};
#define ADDED_MAX (HS_ARRAY_LEN(of_proxy) + HS_ARRAY_LEN(of_none))

/* Where the next string and its pointer go. */
typedef struct put {
    const char **to;
    char *text;
} put;

static size_t bytes_of(const char *const *names, size_t len, const char *value)
{
    size_t bytes = 0;
    for (size_t i = 0; value && i < len; i++)
        bytes += strlen(names[i]) + strlen(value) + 2;
    return bytes;
}

static void add(put *p, const char *const *names, size_t len, const char *value)
{
    for (size_t i = 0; value && i < len; i++) {
        *p->to++ = p->text;
        size_t bytes = strlen(names[i]) + strlen(value) + 2;
        int put_len = snprintf(p->text, bytes, "%s=%s", names[i], value);
        HS_ASSERT(put_len >= 0 && (size_t)put_len + 1 == bytes);
        p->text += bytes;
    }
}

hs_err fetch_proxies_make(fetch_proxies *out, const fetch_args *args)
{
    size_t count = 0;
    while (environ[count])
        count++;
    size_t pointers = (ADDED_MAX + count + 1) * sizeof(char *);
    out->bytes = pointers + bytes_of(of_proxy, HS_ARRAY_LEN(of_proxy), args->proxy) +
                 bytes_of(of_none, HS_ARRAY_LEN(of_none), args->no_proxy);
    out->env = hs_mem_take_zero(hs_mem_system(), out->bytes, 16);
    HS_ENSURE(out->env, -ENOMEM);
    put p = {out->env, (char *)out->env + pointers};
    add(&p, of_proxy, HS_ARRAY_LEN(of_proxy), args->proxy);
    add(&p, of_none, HS_ARRAY_LEN(of_none), args->no_proxy);
    HS_ASSERT(p.text == (char *)out->env + out->bytes);
    memcpy(p.to, environ, count * sizeof(char *));
    return HS_OK;
}

void fetch_proxies_free(fetch_proxies *p)
{
    hs_mem_give(hs_mem_system(), p->env, p->bytes, 16);
}
