/* Parses URLs that it reads and prints their parts: what url_list.py compares with the public list.
 *
 * A line in: the text in hexadecimal, and "-" or the base. A line out: "fail", or the parts (href,
 * protocol, username, password, host, hostname, port, pathname, search, hash) in hexadecimal. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hs_assert.h"
#include "hs_url.h"

static hs_pool pool;

static uint8_t value(char c)
{
    return (uint8_t)(c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10);
}

static hs_span unhex(hs_arena *arena, const char *text)
{
    size_t len = strcspn(text, " \n") / 2;
    uint8_t *out = hs_arena_take(arena, len + 1);
    HS_ASSERT(out != NULL);
    for (size_t i = 0; i < len; i++)
        out[i] = (uint8_t)(value(text[2 * i]) << 4 | value(text[2 * i + 1]));
    return hs_span_of(out, len);
}

static void print(hs_span s)
{
    for (size_t i = 0; i < s.len; i++)
        printf("%02x", s.ptr[i]);
}

/* A part with what its getter puts before it. */
static void print_part(const char *before, hs_span s)
{
    putchar(' ');
    if (s.len > 0)
        print(hs_span_str(before));
    print(s);
}

static void print_url(const hs_url *u, hs_arena *arena)
{
    char port[16] = "";
    hs_span text;
    hs_err err = hs_url_text(u, arena, true, &text);
    HS_ASSERT(hs_ok(err));
    if (u->port != HS_URL_PORT_NONE)
        snprintf(port, sizeof port, "%u", u->port);
    print(text);
    print_part("", u->scheme);
    print(HS_SPAN(":"));
    print_part("", u->username);
    print_part("", u->password);
    print_part("", u->host);
    if (port[0])
        print_part(":", hs_span_str(port));
    else
        putchar(' ');
    print_part("", u->path);
    print_part("?", u->query);
    print_part("#", u->fragment);
    putchar('\n');
}

static void parse_line(char *line)
{
    hs_arena arena;
    hs_url url, base;
    hs_arena_init(&arena, &pool, 16 << 20);
    char *second = strchr(line, ' ');
    HS_ASSERT(second != NULL);
    bool has_base = second[1] != '-';
    hs_err err = HS_OK;
    if (has_base)
        err = hs_url_parse(&base, &arena, unhex(&arena, second + 1), NULL);
    if (hs_ok(err))
        err = hs_url_parse(&url, &arena, unhex(&arena, line), has_base ? &base : NULL);
    if (hs_ok(err))
        print_url(&url, &arena);
    else
        puts(err.code == HS_E_USAGE ? "fail" : "error");
    hs_arena_reset(&arena);
}

int main(void)
{
    static char line[1 << 20];
    hs_err err = hs_pool_init(&pool, hs_mem_system(), HS_CHUNK_BYTES, 4096);
    HS_ASSERT(hs_ok(err));
    while (fgets(line, sizeof line, stdin))
        parse_line(line);
    hs_pool_fini(&pool);
    return 0;
}
