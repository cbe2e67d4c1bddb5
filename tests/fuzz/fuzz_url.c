/* Fuzzes the URL parser: text, or text LF base.
 *
 * Checked: no byte outside is read; what a URL says of itself is true (ASCII, no forbidden byte in
 * the host, the kind of host); its text parses to the same text again, so nobody reads it another
 * way than we do. */
#include "hs_assert.h"
#include "hs_url.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static hs_pool pool;

static void check_ascii(hs_span s)
{
    for (size_t i = 0; i < s.len; i++)
        HS_ASSERT(s.ptr[i] >= ' ' && s.ptr[i] < 0x7f);
}

static void check_parts(const hs_url *u)
{
    check_ascii(u->username);
    check_ascii(u->password);
    check_ascii(u->host);
    check_ascii(u->path);
    check_ascii(u->query);
    check_ascii(u->fragment);
    HS_ASSERT(u->scheme.len > 0);
    HS_ASSERT(u->port == HS_URL_PORT_NONE || u->port <= 65535);
    HS_ASSERT(u->has_query || u->query.len == 0);
    HS_ASSERT(u->has_fragment || u->fragment.len == 0);
    HS_ASSERT(!u->special || !u->opaque);
    HS_ASSERT(!u->special || (u->path.len > 0 && u->path.ptr[0] == '/'));
    bool named = u->host_kind > HS_URL_HOST_EMPTY;
    HS_ASSERT(named == (u->host.len > 0));
    for (size_t i = 0; i < u->host.len; i++)
        HS_ASSERT(memchr("/?#@\\<> ", u->host.ptr[i], 8) == NULL);
}

static void check_same(const hs_url *u, hs_arena *arena)
{
    hs_span text, again;
    hs_url second;
    hs_err err = hs_url_text(u, arena, true, &text);
    HS_ASSERT(hs_ok(err));
    err = hs_url_parse(&second, arena, text, NULL);
    /* Encoding may have made it longer than what we take. */
    if (err.code == HS_E_LIMIT)
        return;
    HS_ASSERT(hs_ok(err));
    err = hs_url_text(&second, arena, true, &again);
    HS_ASSERT(hs_ok(err));
    HS_ASSERT(hs_span_eq(text, again));
    HS_ASSERT(second.host_kind == u->host_kind);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (!pool.mem) {
        hs_err err = hs_pool_init(&pool, hs_mem_system(), HS_CHUNK_BYTES, 1024);
        HS_ASSERT(hs_ok(err));
    }
    hs_arena arena;
    hs_arena_init(&arena, &pool, 64 << 20);
    const uint8_t *line = size ? memchr(data, '\n', size) : NULL;
    size_t len = line ? (size_t)(line - data) : size;
    hs_url base, url;
    bool has_base =
        line && hs_ok(hs_url_parse(&base, &arena, hs_span_of(line + 1, size - len - 1), NULL));
    hs_err err = hs_url_parse(&url, &arena, hs_span_of(data, len), has_base ? &base : NULL);
    HS_ASSERT(hs_ok(err) || err.code == HS_E_USAGE || err.code == HS_E_LIMIT);
    if (hs_ok(err)) {
        check_parts(&url);
        check_same(&url, &arena);
    }
    hs_arena_reset(&arena);
    return 0;
}
