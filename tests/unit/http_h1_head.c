/* The head parser: lines, bytes, limits. See http_h1_cases.h for how each case is parsed. */
#include "http_h1_cases.h"

Test(h1_head, a_request_is_taken_apart)
{
    static const char text[] =
        "GET /a/b?x=1&y=?2 HTTP/1.1\r\nHost: example.org:8080\r\n"
        "User-Agent:\t curl/8 (x)  \t\r\nX-Empty:\r\nX-Blank: \t \r\n\r\nrest";
    static h1_head head;
    cr_assert_eq(PARSE(&head, text), H1_DONE);
    cr_assert_eq(head.bytes, sizeof(text) - 1 - 4);
    cr_assert_eq(head.method, HS_METHOD_GET);
    cr_assert_eq(head.minor, 1);
    cr_assert_eq(head.body, H1_BODY_NONE);
    cr_assert(head.keep_alive);
    cr_assert_not(head.absolute);
    cr_assert_not(head.expect_continue);
    expect_span(text, head.method_at, head.method_len, "GET");
    expect_span(text, head.target_at, head.target_len, "/a/b?x=1&y=?2");
    expect_span(text, head.path_at, head.path_len, "/a/b");
    expect_span(text, head.query_at, head.query_len, "x=1&y=?2");
    expect_span(text, head.authority_at, head.authority_len, "example.org:8080");
    cr_assert_eq(head.fields_len, 4);
    expect_span(text, head.fields[1].name, head.fields[1].name_len, "User-Agent");
    expect_span(text, head.fields[1].value, head.fields[1].value_len, "curl/8 (x)");
    expect_span(text, head.fields[2].value, head.fields[2].value_len, "");
    expect_span(text, head.fields[3].value, head.fields[3].value_len, "");
    cr_assert_eq(head.known[HS_FIELD_HOST], 1);
    cr_assert_eq(head.known[HS_FIELD_USER_AGENT], 2);
    cr_assert_eq(head.known[HS_FIELD_COOKIE], 0);
}

Test(h1_head, lines_of_every_length)
{
    /* Names and values that end before, on and behind the edges of every window. */
    static h1_head head;
    static char text[1024];
    for (size_t name_len = 1; name_len < 72; name_len++) {
        for (size_t value_len = 0; value_len < 72; value_len += 1 + name_len % 7) {
            size_t n = (size_t)snprintf(text, sizeof(text), "GET / HTTP/1.1\r\nHost: a\r\n");
            memset(text + n, 'n', name_len);
            n += name_len;
            text[n++] = ':';
            memset(text + n, 'v', value_len);
            n += value_len;
            memcpy(text + n, "\r\n\r\n", 4);
            n += 4;
            ways_loop loops[WAYS_LOOPS_MAX];
            for (size_t i = 0, len = ways_loops(loops); i < len; i++) {
                h1_head_use_lines(loops[i].fn);
                cr_assert_eq(one(&head, text, n, false, &usual), H1_DONE);
                cr_assert_eq(head.bytes, n);
                cr_assert_eq(head.fields[1].name_len, name_len);
                cr_assert_eq(head.fields[1].value_len, value_len);
                for (size_t cut = n - value_len - name_len - 5; cut < n; cut++)
                    cr_assert_eq(one(&head, text, cut, false, &usual), H1_MORE);
            }
        }
    }
    h1_head_use_lines(NULL);
}

/* What the grammar allows at a place in a head, for one byte. */
static bool in_set(uint8_t byte, const char *others, bool high)
{
    bool alnum = (byte >= '0' && byte <= '9') || (byte >= 'a' && byte <= 'z') ||
                 (byte >= 'A' && byte <= 'Z');
    return alnum || (byte != 0 && strchr(others, byte) != NULL) || (high && byte >= 0x80);
}

Test(h1_head, every_byte_at_every_place)
{
    static h1_head head;
    char name[] = "GET / HTTP/1.1\r\nHost: a\r\nxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx: v\r\n\r\n";
    char value[] = "GET / HTTP/1.1\r\nHost: a\r\nx: vvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvv\r\n\r\n";
    char target[] = "GET /pppppppppppppppppppppppppppppppppppppppppp HTTP/1.1\r\nHost: a\r\n\r\n";
    ways_loop loops[WAYS_LOOPS_MAX];
    size_t loops_len = ways_loops(loops);
    for (uint32_t i = 0; i < 256 * loops_len; i++) {
        uint8_t byte = (uint8_t)(i % 256);
        h1_head_use_lines(loops[i / 256].fn);
        for (size_t at = 0; at < 36; at++) {
            char keep = name[26 + at];
            name[26 + at] = (char)byte;
            bool ok = in_set(byte, ":!#$%&'*+-.^_`|~", false); /* a colon: a shorter name */
            cr_assert_eq(one(&head, name, sizeof(name) - 1, false, &usual), ok ? H1_DONE : H1_BAD,
                         "%s: byte %02x in a name at %zu", loops[i / 256].name, byte, at);
            name[26 + at] = keep;

            value[29 + at] = (char)byte;
            ok = in_set(byte, " \t!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~", true);
            cr_assert_eq(one(&head, value, sizeof(value) - 1, false, &usual), ok ? H1_DONE : H1_BAD,
                         "%s: byte %02x in a value at %zu", loops[i / 256].name, byte, at);
            value[29 + at] = 'v';

            target[5 + at] = (char)byte;
            ok = byte > ' ' && byte != 0x7f && byte != '#';
            cr_assert_eq(one(&head, target, sizeof(target) - 1, false, &usual),
                         ok ? H1_DONE : H1_BAD, "%s: byte %02x in a target at %zu",
                         loops[i / 256].name, byte, at);
            target[5 + at] = 'p';
        }
    }
    h1_head_use_lines(NULL);
}

static const bad_case request_line_cases[] = {
    CASE(0, "GET / HTTP/1.1\r\nHost: a\r\n\r\n"),
    CASE(0, "GET / HTTP/1.0\r\n\r\n"),
    CASE(0, "GET / HTTP/1.9\r\nHost: a\r\n\r\n"),
    CASE(0, "\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n"),
    CASE(0, "\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n"),
    CASE(0, "BREW / HTTP/1.1\r\nHost: a\r\n\r\n"),
    CASE(0, "get / HTTP/1.1\r\nHost: a\r\n\r\n"),
    CASE(0, "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n"),
    CASE(1, ""),
    CASE(1, "\r"),
    CASE(1, "\r\n\r\n"),
    CASE(1, "G"),
    CASE(1, "GET"),
    CASE(1, "GET "),
    CASE(1, "GET /%"),
    CASE(1, "GET /%4"),
    CASE(1, "GET / HTTP/1.1"),
    CASE(1, "GET / HTTP/1.1\r"),
    CASE(1, "GET / HTTP/1.1\r\n"),
    CASE(1, "GET / HTTP/1.1\r\nHost: a\r\n\r"),
    CASE(400, "\r\n\r\n\r\n"),
    CASE(400, "\nGET / HTTP/1.1\r\n"),
    CASE(400, "\rG"),
    CASE(400, " "),
    CASE(400, "\x16\x03\x01\x02"),
    CASE(400, "\x00"),
    CASE(400, "\x80\x2e\x01"),
    CASE(400, "GET\t/"),
    CASE(400, "GET\r\n"),
    CASE(400, "GET\n"),
    CASE(400, "GET: x"),
    CASE(400, "GET  / HTTP/1.1\r\n"),
    CASE(400, "GET /  HTTP/1.1\r\n"),
    CASE(400, "GET / HTTP/1.1 \r\n"),
    CASE(400, "GET /\tHTTP/1.1\r\n"),
    CASE(400, "GET /\r\n"),
    CASE(400, "GET \r\n"),
    CASE(400, "GET / \r\n"),
    CASE(400, "GET /\n"),
    CASE(400, "GET / HTTP/1.1\n"),
    CASE(400, "GET / HTTP/1.1\rX"),
    CASE(400, "GET / http/1.1\r\n"),
    CASE(400, "GET / HTTP/1.\r\n"),
    CASE(400, "GET / HTTP/11.1\r\n"),
    CASE(400, "GET / HTTP/1.10\r\n"),
    CASE(400, "GET / HTTP/1,1\r\n"),
    CASE(400, "GET / HTTP /1.1\r\n"),
    CASE(400, "GET / HTTP/1.a\r\n"),
    CASE(400, "GET / HTTPS/1.1\r\n"),
    CASE(400, "GET / XTTP/1.1\r\n"),
    CASE(400, "GET /a b HTTP/1.1\r\n"),
    CASE(505, "GET / HTTP/0.9\r\n"),
    CASE(505, "GET / HTTP/2.0\r\n"),
    CASE(505, "GET / HTTP/9.9\r\n"),
    CASE(505, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    CASE(1, "GET /% HTTP/1.1\r\n"),
    CASE(1, "GET /%4g HTTP/1.1\r\n"),
    CASE(400, "GET /#"),
    CASE(400, "GET /?#"),
    CASE(400, "GET /\t"),
    CASE(1, "GET /?%zz HTTP/1.1\r\n"),
    CASE(400, "GET /#a HTTP/1.1\r\n"),
    CASE(1, "GET /a\\b HTTP/1.1\r\n"),
    CASE(1, "GET /\x80 HTTP/1.1\r\n"),
    CASE(400, "GET /\x7f HTTP/1.1\r\n"),
    CASE(400, "GET /\0 HTTP/1.1\r\n"),
    CASE(1, "ABCDEFGHIJKLMNOPQRSTUVWXYZABCDEF"),
    CASE(501, "ABCDEFGHIJKLMNOPQRSTUVWXYZABCDEFG"),
    CASE(501, "ABCDEFGHIJKLMNOPQRSTUVWXYZABCDEFG / HTTP/1.1\r\n\r\n"),
};

Test(h1_head, request_lines)
{
    check_cases(request_line_cases, HS_ARRAY_LEN(request_line_cases));
}

Test(h1_head, field_lines)
{
#define HEAD "GET / HTTP/1.1\r\nHost: a\r\n"
    static const bad_case cases[] = {
        CASE(0, HEAD "A: b\r\n\r\n"),
        CASE(0, HEAD "A:b\r\nA:c\r\n\r\n"),
        CASE(0, HEAD "A: \x80\xff\t\"\r\n\r\n"),
        CASE(0, HEAD "!#$%&'*+-.^_`|~: b\r\n\r\n"),
        CASE(400, HEAD "A : b\r\n"),
        CASE(400, HEAD "A\t: b\r\n"),
        CASE(400, HEAD ": b\r\n"),
        CASE(400, HEAD "A\r\n"),
        CASE(400, HEAD "A b\r\n"),
        CASE(400, HEAD "A\r\n\r\n"),
        CASE(400, HEAD " A: b\r\n"),
        CASE(400, HEAD "\tA: b\r\n"),
        CASE(400, HEAD "A: b\r\n c\r\n"),
        CASE(400, HEAD "A: b\r\n\tc\r\n"),
        CASE(400, HEAD " \r\n"),
        CASE(400, HEAD "A: b\n"),
        CASE(400, HEAD "A: b\rc"),
        CASE(400, HEAD "A: b\r\r\n"),
        CASE(400, HEAD "A: b\r\n\n"),
        CASE(400, HEAD "A: b\r\n\rX"),
        CASE(400, HEAD "\n"),
        CASE(400, HEAD "A: \0\r\n"),
        CASE(400, HEAD "A: b\x01\r\n"),
        CASE(400, HEAD "A: b\x7f\r\n"),
        CASE(400, HEAD "A\0: b\r\n"),
        CASE(400, HEAD "A\x80: b\r\n"),
        CASE(400, HEAD "A(x): b\r\n"),
        CASE(400, HEAD "\"A\": b\r\n"),
        CASE(400, HEAD "{A}: b\r\n"),
        CASE(400, "GET / HTTP/1.1\r\n Host: a\r\n"),
        CASE(400, "GET / HTTP/1.1\r\nHost\r\n: a\r\n"),
    };
    check_cases(cases, HS_ARRAY_LEN(cases));
}

Test(h1_head, the_head_has_a_limit)
{
    static const char text[] = "GET / HTTP/1.1\r\nHost: a\r\n\r\nbody that does not count";
    static h1_head head;
    size_t bytes = sizeof(text) - 1 - strlen("body that does not count");
    for (uint32_t max = 1; max <= bytes + 2; max++) {
        h1_limits limits = usual;
        limits.head_bytes_max = max;
        h1_result r = all_ways(&head, text, sizeof(text) - 1, false, &limits);
        cr_assert_eq(r, max >= bytes ? H1_DONE : H1_BAD, "%u", max);
        if (r == H1_BAD)
            cr_assert_eq(head.status, 431);
        /* As soon as it is known, and not before. */
        for (size_t len = 0; len < bytes; len++)
            cr_assert_eq(one(&head, text, len, false, &limits), len < max ? H1_MORE : H1_BAD);
    }
}

Test(h1_head, a_target_has_a_limit)
{
    static h1_head head;
    h1_limits limits = usual;
    limits.target_bytes_max = 8;
    static const char fits[] = "GET /1234567 HTTP/1.1\r\nHost: a\r\n\r\n";
    static const char wide[] = "GET /12345678 HTTP/1.1\r\nHost: a\r\n\r\n";
    static const char cut_percent[] = "GET /123456%41 HTTP/1.1\r\nHost: a\r\n\r\n";
    cr_assert_eq(all_ways(&head, fits, sizeof(fits) - 1, false, &limits), H1_DONE);
    cr_assert_eq(all_ways(&head, fits, 12, false, &limits), H1_MORE);
    cr_assert_eq(all_ways(&head, wide, sizeof(wide) - 1, false, &limits), H1_BAD);
    cr_assert_eq(head.status, 414);
    cr_assert_eq(all_ways(&head, wide, 13, false, &limits), H1_BAD);
    cr_assert_eq(head.status, 414);
    cr_assert_eq(all_ways(&head, cut_percent, sizeof(cut_percent) - 1, false, &limits), H1_BAD);
    cr_assert_eq(head.status, 414);
    static char many[9000] = "GET ";
    memset(many + 4, '/', sizeof(many) - 4);
    cr_assert_eq(all_ways(&head, many, sizeof(many), false, &usual), H1_BAD);
    cr_assert_eq(head.status, 414);
    cr_assert_eq(all_ways(&head, many, 4 + 8192, false, &usual), H1_MORE);
}

Test(h1_head, fields_have_a_limit)
{
    static h1_head head;
    static char text[4096];
    size_t n = (size_t)snprintf(text, sizeof(text), "GET / HTTP/1.1\r\nHost: a\r\n");
    for (int i = 1; i < 100; i++)
        n += (size_t)snprintf(text + n, sizeof(text) - n, "A%d: %d\r\n", i, i);
    memcpy(text + n, "\r\n", 2);
    cr_assert_eq(all_ways(&head, text, n + 2, false, &usual), H1_DONE);
    cr_assert_eq(head.fields_len, 100);
    expect_span(text, head.fields[99].name, head.fields[99].name_len, "A99");
    text[n] = 'B';
    cr_assert_eq(all_ways(&head, text, n + 1, false, &usual), H1_BAD);
    cr_assert_eq(head.status, 431);
}

Test(h1_head, the_largest_head)
{
    static h1_head head;
    static char text[H1_HEAD_BYTES_MAX];
    h1_limits limits = {H1_HEAD_BYTES_MAX, 8192, 100};
    memset(text, 'v', sizeof(text));
    memcpy(text, "GET / HTTP/1.1\r\nHost: a\r\nX: ", 28);
    memcpy(text + sizeof(text) - 4, "\r\n\r\n", 4);
    ways_loop loops[WAYS_LOOPS_MAX];
    for (size_t i = 0, len = ways_loops(loops); i < len; i++) {
        h1_head_use_lines(loops[i].fn);
        cr_assert_eq(one(&head, text, sizeof(text), false, &limits), H1_DONE);
        cr_assert_eq(head.bytes, sizeof(text));
        cr_assert_eq(head.fields[1].value_len, sizeof(text) - 4 - 28);
    }
    h1_head_use_lines(NULL);
}

Test(h1_head, simd_can_be_switched)
{
    cr_assert_not(h1_head_use_simd(false));
    bool on = h1_head_use_simd(true);
#if defined(__x86_64__) || defined(__aarch64__)
    cr_assert(on);
#else
    cr_assert_not(on);
#endif
}
