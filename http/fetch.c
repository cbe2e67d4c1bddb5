/* The call of a fetch: what was asked for is looked at, copied, and set going.
 *
 * Owns: the rules for requests, so that nothing can be smuggled into one. Must not know: how it
 * goes on. Tested by: tests/unit/http_fetch.c, tests/unit/http_fetch_file.c. */
#include "client.h"
#include "hs_base64.h"

#define METHOD_BYTES_MAX 32

static const char *const forbidden[] = {"CONNECT", "TRACE", "TRACK"};

static bool is_one_of(hs_span name, const char *const *list, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (hs_span_eq_nocase(name, hs_span_str(list[i])))
            return true;
    return false;
}

/* The methods whose case does not matter (section 2.2.1 of the Fetch Standard). */
static hs_span normal_method(hs_span name)
{
    static const hs_method folded[] = {HS_METHOD_DELETE,  HS_METHOD_GET,  HS_METHOD_HEAD,
                                       HS_METHOD_OPTIONS, HS_METHOD_POST, HS_METHOD_PUT};
    for (size_t i = 0; i < HS_ARRAY_LEN(folded); i++)
        if (hs_span_eq_nocase(name, hs_method_name(folded[i])))
            return hs_method_name(folded[i]);
    return name;
}

static hs_err set_method(fetch *f, hs_span name, bool has_body, const char **text)
{
    if (name.len == 0)
        name = has_body ? HS_SPAN("POST") : HS_SPAN("GET");
    *text = "the method is no token";
    HS_ENSURE(name.len <= METHOD_BYTES_MAX && hs_http_is_token(name), HS_E_USAGE);
    name = normal_method(name);
    f->method = (uint8_t)hs_method_parse(name);
    *text = "a method that is not fetched with";
    HS_ENSURE(!is_one_of(name, forbidden, HS_ARRAY_LEN(forbidden)), HS_E_USAGE);
    *text = "GET and HEAD have no body";
    bool bare = f->method == HS_METHOD_GET || f->method == HS_METHOD_HEAD;
    HS_ENSURE(!bare || !has_body, HS_E_USAGE);
    return hs_arena_copy(&f->arena, name, &f->method_name);
}

static hs_err set_url(fetch *f, hs_span text_of_url, const char **text)
{
    hs_span kept;
    *text = "not a URL";
    HS_ENSURE(text_of_url.len > 0, HS_E_USAGE);
    HS_TRY(hs_arena_copy(&f->arena, text_of_url, &kept));
    *text = "the zone of the URL's address is no interface of this host";
    HS_TRY(fetch_zone_cut(f, &kept));
    *text = "not a URL";
    hs_err err = hs_url_parse(&f->url, &f->arena, kept, NULL);
    if (!hs_ok(err)) {
        f->url = (hs_url){0};
        return err;
    }
    bool secure = hs_span_eq(f->url.scheme, HS_SPAN("https"));
    *text = "a URL of neither http nor https";
    HS_ENSURE(secure || hs_span_eq(f->url.scheme, HS_SPAN("http")), HS_E_USAGE);
    *text = "https, and the client was made without TLS";
    HS_ENSURE(!secure || f->client->options.secure, HS_E_USAGE);
    *text = "the URL's host is longer than a name can be";
    HS_ENSURE(f->url.host.len > 0 && f->url.host.len <= HOST_BYTES_MAX, HS_E_USAGE);
    return HS_OK;
}

static hs_err add_field(fetch *f, hs_span name, hs_span value, const char **text)
{
    hs_fetch_field *copy = &f->headers[f->headers_len];
    *text = "a field's name is no token";
    HS_ENSURE(hs_http_is_token(name), HS_E_USAGE);
    *text = "a field's value has bytes that no field may have";
    HS_ENSURE(hs_http_is_field_value(value), HS_E_USAGE);
    *text = "a field that is the client's to set";
    HS_ENSURE(!hs_headers_is_forbidden(name), HS_E_USAGE);
    *copy = (hs_fetch_field){.value = HS_SPAN("")};
    HS_TRY(hs_arena_copy(&f->arena, name, &copy->name));
    if (value.len > 0)
        HS_TRY(hs_arena_copy(&f->arena, value, &copy->value));
    f->headers_len++;
    return HS_OK;
}

static hs_err set_fields(fetch *f, const hs_fetch_options *o, const char **text)
{
    HS_ASSERT(o->headers || o->headers_len == 0);
    *text = "too many fields";
    uint32_t more = o->fields ? o->fields->len : 0;
    HS_ENSURE(o->headers_len <= H1_FIELDS_MAX && more <= H1_FIELDS_MAX - o->headers_len,
              HS_E_USAGE);
    /* One more, for what the URL has of a password. */
    f->headers = hs_arena_take(&f->arena, (o->headers_len + more + 1) * sizeof *f->headers);
    HS_ENSURE(f->headers, -ENOMEM);
    for (uint32_t i = 0; i < o->headers_len; i++)
        HS_TRY(add_field(f, o->headers[i].name, o->headers[i].value, text));
    for (const hs_header *h = o->fields ? o->fields->first : NULL; h; h = h->next)
        HS_TRY(add_field(f, h->name, h->value, text));
    HS_ASSERT(f->headers_len == o->headers_len + more);
    return HS_OK;
}

/* The value of Host: what a URL may have of a host and a port, without what would end it there. */
static hs_err set_host(fetch *f, hs_span host, const char **text)
{
    *text = "what is to be Host is no host";
    for (size_t i = 0; i < host.len; i++)
        HS_ENSURE(host.ptr[i] > 0x20 && host.ptr[i] < 0x7f &&
                      !memchr("/?#@\\\"<>^`{|},", host.ptr[i], 15),
                  HS_E_USAGE);
    return host.len > 0 ? hs_arena_copy(&f->arena, host, &f->host) : HS_OK;
}

static hs_err set_body(fetch *f, const hs_fetch_options *o, const char **text)
{
    HS_ASSERT(!o->source || o->source->more);
    HS_ASSERT((o->source != NULL) + (o->file != NULL) + (o->body.ptr != NULL) <= 1);
    if (o->file)
        return fetch_file_open(f, o->file, text);
    if (o->source) {
        f->has_source = true;
        f->sink.source = *o->source;
    } else if (o->body.len > 0) {
        HS_TRY(hs_arena_copy(&f->arena, o->body, &f->body));
    } else if (o->body.ptr) {
        f->body = HS_SPAN("");
    }
    return HS_OK;
}

static bool has_field(const fetch *f, hs_span name)
{
    for (uint32_t i = 0; i < f->headers_len; i++)
        if (hs_span_eq_nocase(f->headers[i].name, name))
            return true;
    return false;
}

/* What the URL has of a name and a password becomes a field, unless there is one. */
static hs_err set_credentials(fetch *f, const char **text)
{
    hs_span name, password;
    hs_fetch_field *field = &f->headers[f->headers_len];
    if (f->url.username.len + f->url.password.len == 0)
        return HS_OK;
    *text = "the URL's name or password cannot be sent";
    HS_TRY(hs_percent_decode(&f->arena, f->url.username, &name));
    HS_TRY(hs_percent_decode(&f->arena, f->url.password, &password));
    f->url.username = f->url.password = hs_span_of(NULL, 0);
    if (has_field(f, HS_SPAN("Authorization")))
        return HS_OK;
    HS_TRY(hs_basic_auth(&f->arena, name, password, &field->value));
    field->name = HS_SPAN("Authorization");
    f->headers_len++;
    return HS_OK;
}

static uint32_t or_else(uint32_t value, uint32_t none)
{
    return value ? value : none;
}

static void set_times(fetch *f, const hs_fetch_times *t)
{
    const hs_fetch_times *c = &f->client->options.times;
    f->times = (hs_fetch_times){.queue_ms = or_else(t->queue_ms, c->queue_ms),
                                .resolve_ms = or_else(t->resolve_ms, c->resolve_ms),
                                .connect_ms = or_else(t->connect_ms, c->connect_ms),
                                .tunnel_ms = or_else(t->tunnel_ms, c->tunnel_ms),
                                .tls_ms = or_else(t->tls_ms, c->tls_ms),
                                .first_byte_ms = or_else(t->first_byte_ms, c->first_byte_ms),
                                .idle_ms = or_else(t->idle_ms, c->idle_ms),
                                .total_ms = or_else(t->total_ms, c->total_ms)};
}

static void set_decoded(fetch *f, const hs_fetch_options *o)
{
    const hs_client_options *c = &f->client->options;
    f->decoded.slack = o->decoded_bytes_free ? o->decoded_bytes_free : c->decoded_bytes_free;
    f->decoded.ratio_max = or_else(o->decoded_ratio_max, c->decoded_ratio_max);
}

static hs_err set_request(fetch *f, hs_span url, const hs_fetch_options *o, const char **text)
{
    HS_TRY(set_url(f, url, text));
    HS_TRY(set_method(f, o->method, o->source || o->file || o->body.ptr, text));
    HS_TRY(set_fields(f, o, text));
    HS_TRY(set_host(f, o->host, text));
    HS_TRY(set_credentials(f, text));
    HS_TRY(set_body(f, o, text));
    set_times(f, &o->times);
    f->guarded = o->guarded;
    f->decodes = !o->coded && !has_field(f, HS_SPAN("Accept-Encoding"));
    set_decoded(f, o);
    f->redirect = (uint8_t)o->redirect;
    f->redirects_left = or_else(o->redirects_max, 20);
    f->retries_left = o->retries;
    f->retry_ms = or_else(o->retry_ms, 200);
    f->retry_after_ms_max = or_else(o->retry_after_ms_max, 30 * 1000);
    return HS_OK;
}

static void on_cancel(hs_cancel_hook *hook, hs_err why)
{
    fetch *f = HS_CONTAINER_OF(hook, fetch, hook);
    fetch_enter(f);
    fetch_fail(f, why, NULL);
    fetch_leave(f);
}

/* NULL without memory. */
static fetch *make(hs_client *client)
{
    fetch *f = hs_pool_take(&client->fetch_slots);
    hs_promise *promise = f ? hs_promise_create(client->shard) : NULL;
    if (!promise) {
        if (f)
            hs_pool_give(&client->fetch_slots, f);
        return NULL;
    }
    memset(f, 0, offsetof(fetch, reply) + offsetof(reply, head));
    f->client = client;
    f->promise = promise;
    f->start_ns = f->since_ns = f->last_ns = client_now(client);
    hs_list_init(&f->link);
    hs_list_init(&f->wait);
    hs_list_push_back(&client->active, &f->link);
    /* What goes into it is bounded where it comes from. */
    hs_arena_init(&f->arena, client_chunks(client), SIZE_MAX / 2);
    return f;
}

static hs_err start(fetch *f, hs_span url, const hs_fetch_options *o, const char **text)
{
    HS_TRY(set_request(f, url, o, text));
    *text = NULL;
    HS_TRY(hs_cancel_add(o->cancel, &f->hook, on_cancel));
    f->cancel = hs_cancel_ref(o->cancel);
    return fetch_time_look(f);
}

hs_promise *hs_fetch(hs_client *client, hs_span url, const hs_fetch_options *options)
{
    static const hs_fetch_options none;
    const char *text = NULL;
    HS_ASSERT(client->shard == hs_shard_self());
    HS_ASSERT(!client->destroyed);
    fetch *f = make(client);
    if (!f)
        return hs_promise_settled(client->shard, hs_error(hs_err_of(-ENOMEM)));
    hs_promise *promise = f->promise;
    hs_count(hs_shard_counters(client->shard), client->count_started, 1);
    fetch_enter(f);
    hs_err err = start(f, url, options ? options : &none, &text);
    if (hs_ok(err))
        fetch_run(f);
    else
        fetch_fail(f, err, err.code == HS_E_USAGE ? text : NULL);
    fetch_leave(f);
    return promise;
}

hs_promise *hs_get(hs_client *client, hs_span url)
{
    return hs_fetch(client, url, NULL);
}

hs_promise *hs_post(hs_client *client, hs_span url, hs_span type, hs_span body)
{
    hs_fetch_field field = {HS_SPAN("Content-Type"), type};
    hs_fetch_options o = {.method = HS_SPAN("POST"),
                          .headers = &field,
                          .headers_len = 1,
                          .body = body.ptr ? body : HS_SPAN("")};
    return hs_fetch(client, url, &o);
}

hs_promise *hs_post_json(hs_client *client, hs_span url, hs_span json)
{
    return hs_post(client, url, HS_SPAN("application/json"), json);
}
