/* Cookies of a client that has a jar.
 *
 * Owns: when the jar is asked and told. Must not know: what a cookie is good for.
 * Tested by: tests/unit/http_fetch_jar.c. */
#include "client.h"
#include "hs_cookies.h"

/* Of one field: what servers take on the whole. */
#define COOKIE_FIELD_BYTES_MAX 8192

hs_err fetch_cookie_get(fetch *f, hs_span *value)
{
    const hs_client *client = f->client;
    *value = (hs_span){0};
    if (!client->options.cookies)
        return HS_OK;
    return hs_cookies_get(client->options.cookies, &f->url, (int64_t)hs_shard_wall_s(client->shard),
                          COOKIE_FIELD_BYTES_MAX, &f->arena, value);
}

void fetch_cookie_take(const fetch *f)
{
    const hs_client *client = f->client;
    if (!client->options.cookies)
        return;
    int64_t now_s = (int64_t)hs_shard_wall_s(client->shard);
    for (uint32_t i = 0; i < f->res.fields_len; i++) {
        const hs_fetch_field *field = &f->res.fields[i];
        /* One that is not kept, for whatever reason, is no failure of the response. */
        if (hs_span_eq_nocase(field->name, HS_SPAN("Set-Cookie")))
            (void)!hs_ok(hs_cookies_set(client->options.cookies, &f->url, field->value, now_s));
    }
}
