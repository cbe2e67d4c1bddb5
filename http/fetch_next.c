/* What a response, or a failure, leads to instead of to the caller: a redirection or a repetition.
 *
 * Owns: the rules of fetch (section 4.4 of the Fetch Standard, "HTTP-redirect fetch") for the next
 * request, and which requests may be repeated, and when. Must not know: connections.
 * Tested by: tests/unit/http_fetch_next.c. */
#include "client.h"

#define PAUSE_MS_MAX (30u * 1000)

/* ---- repetitions ---- */

/* RFC 9110 section 9.2.2. */
static bool idempotent(const fetch *f)
{
    switch ((hs_method)f->method) {
    case HS_METHOD_GET:
    case HS_METHOD_HEAD:
    case HS_METHOD_PUT:
    case HS_METHOD_DELETE:
    case HS_METHOD_OPTIONS:
        return true;
    default:
        return false;
    }
}

bool fetch_next_has_body(const fetch *f)
{
    return !f->sink.asked || f->sink.ours;
}

bool fetch_next_repeatable(const fetch *f)
{
    return idempotent(f) && fetch_next_has_body(f);
}

/* What another attempt may not meet again. */
static bool passing(hs_err err)
{
    switch (err.code) {
    case -ECONNREFUSED:
    case -ECONNRESET:
    case -EPIPE:
    case -ENETUNREACH:
    case -EHOSTUNREACH:
    case -ETIMEDOUT:
    case HS_E_NAME_FAILED:
    case HS_E_NAME_TIMEOUT:
    case HS_E_TRUNCATED:
        return true;
    default:
        return false;
    }
}

/* Twice as long each time, and a random part of that, so that those who failed together do not come
 * back together. */
static uint64_t backoff_ns(fetch *f)
{
    uint32_t ms = f->retry_ms;
    f->retry_ms = ms < PAUSE_MS_MAX / 2 ? 2 * ms : PAUSE_MS_MAX;
    return hs_shard_random(f->client->shard) % (ms * HS_MSEC_NS + 1);
}

bool fetch_next_repeats(fetch *f, hs_err err)
{
    if (f->retries_left == 0 || !fetch_next_repeatable(f) || !passing(err))
        return false;
    f->retries_left--;
    f->pause_ns = backoff_ns(f);
    return true;
}

static bool is_number(hs_span s)
{
    for (size_t i = 0; i < s.len; i++)
        if (s.ptr[i] < '0' || s.ptr[i] > '9')
            return false;
    return s.len > 0;
}

/* How long the server wants us to wait (RFC 9110 section 10.2.3), at most for 136 years. False:
 * it does not say. */
static bool retry_after_ns(const fetch *f, uint64_t *out)
{
    const uint64_t most = UINT32_MAX; /* its nanoseconds have room, and nobody waits for longer */
    hs_span value = hs_fetch_header(&f->res, HS_SPAN("Retry-After"));
    int64_t at, now = (int64_t)hs_shard_wall_s(f->client->shard);
    uint64_t s = most;
    if (is_number(value)) {
        (void)hs_span_u64(value, most, &s);
    } else {
        if (!value.ptr || !hs_http_date_parse(value, now, &at))
            return false;
        s = at > now ? HS_MIN((uint64_t)(at - now), most) : 0;
    }
    *out = s * HS_SEC_NS;
    return true;
}

static bool repeats_status(fetch *f)
{
    uint16_t status = f->res.status;
    if (f->retries_left == 0 || !fetch_next_repeatable(f) ||
        (status != 408 && status != 429 && status != 502 && status != 503 && status != 504))
        return false;
    if (!retry_after_ns(f, &f->pause_ns))
        f->pause_ns = backoff_ns(f);
    else if (f->pause_ns > f->retry_after_ms_max * HS_MSEC_NS)
        return false;
    f->retries_left--;
    return true;
}

/* A server that gives up an idle connection may say so by a 408, just when a request is on its way
 * to it. It has not seen that, so any method may be sent once more, on a new connection (RFC 9110
 * section 15.5.9); browsers do so. */
static bool crosses_idle_end(fetch *f)
{
    if (f->res.status != 408 || !f->res.reused || f->stale_once || !fetch_next_has_body(f))
        return false;
    f->stale_once = true;
    f->pause_ns = 0;
    return true;
}

/* ---- redirections ---- */

static bool is_redirect(uint16_t status)
{
    return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

/* Where the response leads: *out is empty where it does not say, as browsers and curl read an empty
 * field. Errors: HS_E_REDIRECT (more than one place: of the two, one may be an attacker's). */
static hs_err location_of(const hs_fetch_res *res, hs_span *out)
{
    *out = hs_span_of(NULL, 0);
    for (uint32_t i = 0; i < res->fields_len; i++) {
        hs_span value = res->fields[i].value;
        if (value.len == 0 || !hs_span_eq_nocase(res->fields[i].name, HS_SPAN("Location")))
            continue;
        HS_ENSURE(out->len == 0 || hs_span_eq(*out, value), HS_E_REDIRECT);
        *out = value;
    }
    return HS_OK;
}

/* Bytes that are no ASCII go on as they came, percent-encoded, whatever they are in: browsers do
 * so, and the URL's parser would take what is no UTF-8 for U+FFFD. */
static hs_err escape_bytes(hs_arena *arena, hs_span text, hs_span *out)
{
    static const char hex[] = "0123456789ABCDEF";
    HS_ASSERT(text.len > 0);
    uint8_t *bytes = hs_arena_take(arena, 3 * text.len), *at = bytes;
    HS_ENSURE(bytes, -ENOMEM);
    for (size_t i = 0; i < text.len; i++) {
        uint8_t byte = text.ptr[i];
        if (byte < 0x80) {
            *at++ = byte;
            continue;
        }
        *at++ = '%';
        *at++ = (uint8_t)hex[byte >> 4];
        *at++ = (uint8_t)hex[byte & 15];
    }
    *out = hs_span_of(bytes, (size_t)(at - bytes));
    return HS_OK;
}

hs_err fetch_next_look(fetch *f, const char **text)
{
    f->then = THEN_TELL;
    if (crosses_idle_end(f) || repeats_status(f)) {
        f->then = THEN_REPEAT;
        return HS_OK;
    }
    if (f->redirect == HS_FETCH_MANUAL || !is_redirect(f->res.status))
        return HS_OK;
    hs_span location;
    *text = "a redirection to several places";
    HS_TRY(location_of(&f->res, &location));
    *text = NULL;
    if (location.len == 0)
        return HS_OK;
    *text = "a redirection, which was not to be followed";
    HS_ENSURE(f->redirect == HS_FETCH_FOLLOW, HS_E_REDIRECT);
    *text = "too many redirections";
    HS_ENSURE(f->redirects_left > 0, HS_E_REDIRECT);
    f->then = THEN_REDIRECT;
    return HS_OK;
}

/* Take out the fields that have one of these names. */
static void drop_fields(fetch *f, const hs_span *names, size_t len)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < f->headers_len; i++) {
        bool drop = false;
        for (size_t k = 0; k < len; k++)
            drop |= hs_span_eq_nocase(f->headers[i].name, names[k]);
        if (!drop)
            f->headers[kept++] = f->headers[i];
    }
    f->headers_len = kept;
}

/* The body is not sent again, nor what describes it. */
static void become_get(fetch *f)
{
    static const hs_span names[] = {{(const uint8_t *)"Content-Encoding", 16},
                                    {(const uint8_t *)"Content-Language", 16},
                                    {(const uint8_t *)"Content-Location", 16},
                                    {(const uint8_t *)"Content-Type", 12}};
    f->method = HS_METHOD_GET;
    f->method_name = HS_SPAN("GET");
    f->body = hs_span_of(NULL, 0);
    f->has_source = false;
    drop_fields(f, names, HS_ARRAY_LEN(names));
}

/* What another server must not see. */
static void forget_credentials(fetch *f)
{
    static const hs_span names[] = {{(const uint8_t *)"Authorization", 13},
                                    {(const uint8_t *)"Cookie", 6},
                                    {(const uint8_t *)"Proxy-Authorization", 19}};
    drop_fields(f, names, HS_ARRAY_LEN(names));
}

hs_err fetch_next_redirect(fetch *f, const char **text)
{
    hs_url url;
    uint16_t status = f->res.status;
    hs_span location;
    HS_ASSERT(f->redirects_left > 0);
    f->redirects_left--;
    HS_TRY(location_of(&f->res, &location));
    HS_TRY(escape_bytes(&f->arena, location, &location));
    hs_err err = hs_url_parse(&url, &f->arena, location, &f->url);
    if (err.code == -ENOMEM)
        return err;
    *text = "a redirection to what is no URL";
    HS_ENSURE(hs_ok(err), HS_E_REDIRECT);
    *text = "a redirection to neither http nor https";
    bool secure = hs_span_eq(url.scheme, HS_SPAN("https"));
    HS_ENSURE(secure || hs_span_eq(url.scheme, HS_SPAN("http")), HS_E_REDIRECT);
    HS_ENSURE(url.host.len > 0 && url.host.len <= HOST_BYTES_MAX, HS_E_REDIRECT);
    *text = "a redirection to https, and there is no TLS";
    HS_ENSURE(!secure || f->client->options.secure, HS_E_REDIRECT);
    *text = "a redirection of a request whose body cannot be sent again";
    HS_ENSURE(status == 303 || !f->has_source || f->sink.ours, HS_E_REDIRECT);
    *text = "a redirection to a URL with a password";
    HS_ENSURE(url.username.len + url.password.len == 0, HS_E_REDIRECT);
    bool post = f->method == HS_METHOD_POST;
    bool plain = f->method == HS_METHOD_GET || f->method == HS_METHOD_HEAD;
    if (((status == 301 || status == 302) && post) || (status == 303 && !plain))
        become_get(f);
    if (!hs_url_same_origin(&url, &f->url)) {
        forget_credentials(f);
        f->host = hs_span_of(NULL, 0);
    }
    if (!hs_span_eq(url.host, f->url.host))
        f->zone = 0;
    f->url = url;
    f->res.redirected = true;
    return HS_OK;
}
