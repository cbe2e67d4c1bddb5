/* Fuzzes the cookie jar: lines, each a digit that chooses a URL and a Set-Cookie.
 *
 * Checked: no byte outside is read, the jar is whole after each line, and what it sends to a URL
 * can stand in a field; nobody sets a cookie for a public suffix. */
#include "hs_assert.h"
#include "hs_cookies.h"
#include "hs_http.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *const texts[] = {
    "https://a.example.com/x/y",   "http://example.com/",
    "https://b.a.example.com/x",   "http://1.2.3.4/",
    "https://example.co.uk/a/b/c", "https://[::1]/",
    "http://a.example.com/",       "https://com/",
};
#define URLS HS_ARRAY_LEN(texts)

static hs_pool pool;
static hs_arena fixed;
static hs_url urls[URLS];

static void setup(void)
{
    hs_err err = hs_pool_init(&pool, hs_mem_system(), HS_CHUNK_BYTES, 4096);
    HS_ASSERT(hs_ok(err));
    hs_arena_init(&fixed, &pool, 1 << 20);
    for (size_t i = 0; i < URLS; i++) {
        err = hs_url_parse(&urls[i], &fixed, hs_span_str(texts[i]), NULL);
        HS_ASSERT(hs_ok(err));
    }
}

static void check_cookie(const hs_cookie *c, void *ctx)
{
    (void)ctx;
    HS_ASSERT(c->path.len > 0 && c->name.len + c->value.len > 0);
    HS_ASSERT(c->domain.len > 0 && !hs_span_eq(c->domain, HS_SPAN("co.uk")));
    HS_ASSERT(c->host_only || !hs_span_eq(c->domain, HS_SPAN("com")));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    hs_arena arena;
    hs_cookies *jar;
    hs_span rest = hs_span_of(data, size);
    if (!pool.mem)
        setup();
    hs_arena_init(&arena, &pool, 16 << 20);
    hs_err err = hs_cookies_create(&jar, hs_mem_system());
    HS_ASSERT(hs_ok(err));
    for (int64_t now = 1000; rest.len > 0; now += 60) {
        const uint8_t *end = memchr(rest.ptr, '\n', rest.len);
        hs_span line = hs_span_of(rest.ptr, end ? (size_t)(end - rest.ptr) : rest.len);
        rest = hs_span_from(rest, HS_MIN(line.len + 1, rest.len));
        if (line.len == 0)
            continue;
        const hs_url *url = &urls[line.ptr[0] % URLS];
        err = hs_cookies_set(jar, url, hs_span_from(line, 1), now);
        HS_ASSERT(hs_ok(err) || err.code == HS_E_USAGE || err.code == HS_E_FORBIDDEN);
        hs_cookies_validate(jar);
        hs_cookies_each(jar, now, check_cookie, NULL);
    }
    for (size_t i = 0; i < URLS; i++) {
        hs_span out;
        err = hs_cookies_get(jar, &urls[i], 2000, 8192, &arena, &out);
        HS_ASSERT(hs_ok(err) && out.len <= 8192);
        HS_ASSERT(hs_http_is_field_value(out));
        hs_cookies_validate(jar);
    }
    hs_cookies_destroy(jar);
    hs_arena_reset(&arena);
    return 0;
}
