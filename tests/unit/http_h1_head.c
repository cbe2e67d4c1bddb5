/* The head parser: every case with each line loop, in one piece, in every pair of pieces and byte
 * by byte; all must agree. */
#include <criterion/criterion.h>

#include "http_ways.h"

static const h1_limits usual = {
    .head_bytes_max = 16384, .target_bytes_max = 8192, .fields_max = 100};

static h1_result one(h1_head *head, const char *bytes, size_t len, bool trailers,
                     const h1_limits *limits)
{
    ways_init(head, trailers);
    return ways_step(head, (const uint8_t *)bytes, len, limits);
}

/* Parse in all ways; the verdict of the portable loop in one piece is left in `head`. */
static h1_result all_ways(h1_head *head, const char *text, size_t len, bool trailers,
                          const h1_limits *limits)
{
    static h1_head other;
    const uint8_t *bytes = (const uint8_t *)text;
    ways_loop loops[WAYS_LOOPS_MAX];
    size_t loops_len = ways_loops(loops);
    h1_head_use_lines(h1_lines_portable);
    h1_result first = one(head, text, len, trailers, limits);
    size_t step = len > 1000 ? 97 : 1; /* long ones: not at each byte, that would be quadratic */
    for (size_t i = 0; i < loops_len; i++) {
        h1_head_use_lines(loops[i].fn);
        for (size_t cut = 0; cut < len; cut += step) {
            h1_result r = ways_split(&other, bytes, len, trailers, limits, &cut, 1);
            cr_assert(ways_same(first, head, r, &other),
                      "%s, cut at %zu: %d %u %s, in one piece %d %u %s: %.*s", loops[i].name, cut,
                      r, other.status, r == H1_BAD ? other.fault : "", first, head->status,
                      first == H1_BAD ? head->fault : "", (int)len, text);
        }
        ways_init(&other, trailers);
        h1_result r = H1_MORE;
        size_t have = 0;
        while (r == H1_MORE && have < len) {
            have += HS_MIN(step, len - have);
            r = ways_step(&other, bytes, have, limits);
        }
        cr_assert(ways_same(first, head, r, &other), "%s, in steps: %.*s", loops[i].name, (int)len,
                  text);
    }
    h1_head_use_lines(NULL);
    return first;
}

#define PARSE(head, text) all_ways(head, text, sizeof(text) - 1, false, &usual)

static void expect_span(const char *base, uint16_t at, uint16_t len, const char *want)
{
    cr_assert_eq(len, strlen(want), "\"%.*s\" instead of \"%s\"", len, base + at, want);
    cr_assert(memcmp(base + at, want, len) == 0, "\"%.*s\" instead of \"%s\"", len, base + at,
              want);
}

typedef struct bad_case {
    uint16_t status; /* 0: accepted; 1: more is wanted */
    const char *text;
    size_t len;
} bad_case;

#define CASE(status, text)                                                                         \
    {                                                                                              \
        status, text, sizeof(text) - 1                                                             \
    }

static void check_cases(const bad_case *cases, size_t len)
{
    static h1_head head;
    for (size_t i = 0; i < len; i++) {
        h1_result r = all_ways(&head, cases[i].text, cases[i].len, false, &usual);
        uint16_t status = r == H1_BAD ? head.status : r == H1_MORE ? 1 : 0;
        cr_assert_eq(status, cases[i].status, "%u instead of %u (%s): %s", status, cases[i].status,
                     r == H1_BAD ? head.fault : "no fault", cases[i].text);
    }
}

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
    for (size_t name_len = 1; name_len < 140; name_len++) {
        for (size_t value_len = 0; value_len < 140; value_len += 1 + name_len % 7) {
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
            ok = in_set(byte, "-._~!$&'()*+,;=:@/?[]", false);
            cr_assert_eq(one(&head, target, sizeof(target) - 1, false, &usual),
                         ok ? H1_DONE : H1_BAD, "%s: byte %02x in a target at %zu",
                         loops[i / 256].name, byte, at);
            target[5 + at] = 'p';
        }
    }
    h1_head_use_lines(NULL);
}

Test(h1_head, request_lines)
{
    static const bad_case cases[] = {
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
        CASE(400, "GET /% HTTP/1.1\r\n"),
        CASE(400, "GET /%4 HTTP/1.1\r\n"),
        CASE(400, "GET /%4g HTTP/1.1\r\n"),
        CASE(400, "GET /%g"),
        CASE(400, "GET /%4g"),
        CASE(400, "GET /?%zz HTTP/1.1\r\n"),
        CASE(400, "GET /#a HTTP/1.1\r\n"),
        CASE(400, "GET /a\\b HTTP/1.1\r\n"),
        CASE(400, "GET /\x80 HTTP/1.1\r\n"),
        CASE(400, "GET /\x7f HTTP/1.1\r\n"),
        CASE(400, "GET /\0 HTTP/1.1\r\n"),
        CASE(1, "ABCDEFGHIJKLMNOPQRSTUVWXYZABCDEF"),
        CASE(501, "ABCDEFGHIJKLMNOPQRSTUVWXYZABCDEFG"),
        CASE(501, "ABCDEFGHIJKLMNOPQRSTUVWXYZABCDEFG / HTTP/1.1\r\n\r\n"),
    };
    check_cases(cases, HS_ARRAY_LEN(cases));
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

Test(h1_head, hosts)
{
#define HOST(value) "GET / HTTP/1.1\r\nHost:" value "\r\n\r\n"
    static const bad_case cases[] = {
        CASE(400, "GET / HTTP/1.1\r\n\r\n"),
        CASE(400, "GET / HTTP/1.1\r\nHosts: a\r\n\r\n"),
        CASE(0, "GET / HTTP/1.0\r\n\r\n"),
        CASE(400, "GET / HTTP/1.0\r\nHost: a b\r\n\r\n"),
        CASE(400, "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n"),
        CASE(400, "GET / HTTP/1.1\r\nHost: a\r\nhOsT: b\r\n"),
        CASE(400, "GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n"),
        CASE(0, HOST("")),
        CASE(0, HOST(" ")),
        CASE(0, HOST(" a:")),
        CASE(400, HOST(" a,b c")),
        CASE(400, HOST(" a/b")),
        CASE(400, HOST(" a/1")),
        CASE(400, HOST(" /1")),
        CASE(400, HOST(" a:1x")),
        CASE(400, HOST(" a:65536")),
        CASE(0, HOST(" a:65535")),
        CASE(0, HOST(" [::1]:1")),
        CASE(0, HOST(" a!b:1")),
        CASE(400, HOST(" u@a")),
        CASE(400, HOST(" a:b")),
        CASE(400, HOST(" http://a")),
        CASE(400, "GET http://b/ HTTP/1.1\r\n\r\n"),
        CASE(400, "GET http://b/ HTTP/1.1\r\nHost:\r\n\r\n"),
        CASE(400, "GET http://b/ HTTP/1.1\r\nHost: a/b\r\n\r\n"),
        CASE(0, "GET http://b/ HTTP/1.1\r\nHost: a\r\n\r\n"),
        CASE(0, "GET http://b/ HTTP/1.0\r\n\r\n"),
        CASE(400, "CONNECT a:1 HTTP/1.1\r\nHost:\r\n\r\n"),
        CASE(0, "CONNECT a:1 HTTP/1.1\r\nHost: b\r\n\r\n"),
    };
    check_cases(cases, HS_ARRAY_LEN(cases));
}

Test(h1_head, framing)
{
#define POST11(fields) "POST / HTTP/1.1\r\nHost: a\r\n" fields "\r\n"
#define POST10(fields) "POST / HTTP/1.0\r\n" fields "\r\n"
#define CL "Content-Length: "
#define TE "Transfer-Encoding: "
    static const bad_case cases[] = {
        CASE(0, POST11(CL "0\r\n")),
        CASE(0, POST11(CL "00042\r\n")),
        CASE(0, POST11(CL "9223372036854775807\r\n")),
        CASE(400, POST11(CL "9223372036854775808\r\n")),
        CASE(400, POST11(CL "18446744073709551621\r\n")),
        CASE(400, POST11(CL "99999999999999999999999999999999\r\n")),
        CASE(400, POST11(CL "\r\n")),
        CASE(400, POST11(CL "+5\r\n")),
        CASE(400, POST11(CL "-5\r\n")),
        CASE(400, POST11(CL "5 5\r\n")),
        CASE(400, POST11(CL "5,5\r\n")),
        CASE(400, POST11(CL "5, 5\r\n")),
        CASE(400, POST11(CL "0x5\r\n")),
        CASE(400, POST11(CL "5.0\r\n")),
        CASE(400, POST11(CL "5;\r\n")),
        CASE(400, POST11(CL "5\r\n" CL "5\r\n")),
        CASE(400, POST11(CL "5\r\ncontent-length: 6\r\n")),
        CASE(400, POST11(CL "5\r\n" TE "chunked\r\n")),
        CASE(400, POST11(TE "chunked\r\n" CL "5\r\n")),
        CASE(400, POST11(TE "gzip, chunked\r\n" CL "5\r\n")),
        CASE(0, POST11(TE "chunked\r\n")),
        CASE(0, POST11("tRANSFER-eNCODING:ChUnKeD \t\r\n")),
        CASE(400, POST11(TE "\r\n")),
        CASE(400, POST11(TE ",\r\n")),
        CASE(400, POST11(TE "chunked,\r\n")),
        CASE(400, POST11(TE ", chunked\r\n")),
        CASE(400, POST11(TE "chunked, chunked\r\n")),
        CASE(400, POST11(TE "chunked\r\n" TE "chunked\r\n")),
        CASE(400, POST11(TE "chunked, gzip\r\n")),
        CASE(400, POST11(TE "chunked\r\n" TE "identity\r\n")),
        CASE(400, POST11(TE "chunked\r\n" TE "\r\n")),
        CASE(400, POST11(TE "\"chunked\"\r\n")),
        CASE(400, POST11(TE "chunked;a=b\r\n")),
        CASE(400, POST11(TE "chunked ;a=b\r\n")),
        CASE(400, POST11(TE "chunked foo\r\n")),
        CASE(400, POST11(TE "gzip@, chunked\r\n")),
        CASE(501, POST11(TE "gzip, chunked\r\n")),
        CASE(501, POST11(TE "gzip\r\n" TE "chunked\r\n")),
        CASE(501, POST11(TE "gzip;level=\"9\", chunked\r\n")),
        CASE(501, POST11(TE "identity\r\n")),
        CASE(501, POST11(TE "xchunked\r\n")),
        CASE(501, POST11(TE "chunkedx\r\n")),
        CASE(400, POST11(TE "\x0b"
                            "chunked\r\n")),
        CASE(501, POST11(TE "chunke\r\n")),
        CASE(400, POST11("Transfer-Encoding : chunked\r\n")),
        CASE(400, POST10(TE "chunked\r\n")),
        CASE(0, POST10(CL "5\r\n")),
        CASE(0, POST11("TransferXEncoding: x\r\n")),
        CASE(0, POST11("Transfer_Encoding: x\r\n")),
        CASE(0, POST11("Content_Length: x\r\n")),
        CASE(417, POST11("Expect: 200-ok\r\n")),
        CASE(417, POST11("Expect:\r\n")),
        CASE(417, POST11("Expect: 100-continue, x\r\n")),
        CASE(0, POST10("Expect: 200-ok\r\n")),
    };
    check_cases(cases, HS_ARRAY_LEN(cases));
}

Test(h1_head, framing_is_told)
{
    static h1_head head;
    cr_assert_eq(PARSE(&head, POST11(CL "9223372036854775807\r\n")), H1_DONE);
    cr_assert_eq(head.body, H1_BODY_LENGTH);
    cr_assert_eq(head.content_length, (uint64_t)INT64_MAX);
    cr_assert_eq(PARSE(&head, POST11(CL "00042\r\n")), H1_DONE);
    cr_assert_eq(head.content_length, 42);
    cr_assert_eq(PARSE(&head, POST11(TE "chunked\r\nExpect: 100-Continue\r\n")), H1_DONE);
    cr_assert_eq(head.body, H1_BODY_CHUNKED);
    cr_assert(head.expect_continue);
    cr_assert_eq(head.known[HS_FIELD_TRANSFER_ENCODING], 2);
    cr_assert_eq(PARSE(&head, POST10("Expect: 100-continue\r\n")), H1_DONE);
    cr_assert_eq(head.body, H1_BODY_NONE);
    cr_assert_not(head.expect_continue);
    cr_assert_eq(head.minor, 0);
}

Test(h1_head, connection)
{
    static const struct {
        bool keep_alive;
        const char *text;
        size_t len;
    } cases[] = {
#define C(keep_alive, text) {keep_alive, text, sizeof(text) - 1}
        C(true, POST11("")),
        C(false, POST10("")),
        C(false, POST11("Connection: close\r\n")),
        C(false, POST11("connection:CLOSE\r\n")),
        C(true, POST11("Connection: keep-alive\r\n")),
        C(true, POST10("Connection: Keep-Alive\r\n")),
        C(false, POST10("Connection: keep-alive, close\r\n")),
        C(false, POST11("Connection: close, keep-alive\r\n")),
        C(false, POST11("Connection: keep-alive\r\nConnection: close\r\n")),
        C(false, POST11("Connection: close\r\nConnection: keep-alive\r\n")),
        C(false, POST11("Connection: foo ,\tclose\t, , bar\r\n")),
        C(true, POST11("Connection: closed, xclose, clos\r\n")),
        C(true, POST11("Connection:\r\n")),
        C(true, POST11("Connection: ,\r\n")),
        C(true, POST11("Connection: upgrade\r\n")),
        C(true, POST11("XConnection: close\r\n")),
        C(false, POST10("Connection: reep-alive\r\n")),
        C(false, POST10("Connection: keep-alivx\r\n")),
        C(false, POST10("Connection: keep-alike\r\n")),
        C(false, POST10("Connection: keep_alive\r\n")),
        C(true, POST10("Connection: x, KEEP-alive\r\n")),
#undef C
    };
    static h1_head head;
    for (size_t i = 0; i < HS_ARRAY_LEN(cases); i++) {
        cr_assert_eq(all_ways(&head, cases[i].text, cases[i].len, false, &usual), H1_DONE, "%s",
                     cases[i].text);
        cr_assert_eq(head.keep_alive, cases[i].keep_alive, "%s", cases[i].text);
    }
    static const bad_case bad[] = {
        CASE(400, POST11("Connection: clo se\r\n")),
        CASE(400, POST11("Connection: \"close\"\r\n")),
        CASE(400, POST11("Connection: close;q=1\r\n")),
        CASE(400, POST11("Connection: a, b c, d\r\n")),
    };
    check_cases(bad, HS_ARRAY_LEN(bad));
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

Test(h1_head, trailers)
{
    static h1_head head;
    static const struct {
        h1_result result;
        const char *text;
        size_t len;
    } cases[] = {
#define C(result, text) {result, text, sizeof(text) - 1}
        C(H1_DONE, "\r\n"),
        C(H1_DONE, "\r\nGET / HTTP/1.1\r\n"),
        C(H1_DONE, "X-Sum: 1\r\nDigest: a\r\n\r\n"),
        C(H1_DONE, "Server-Timing: 1\r\nX-Content-Sum: a\r\nUser-Agent: a\r\n\r\n"),
        C(H1_MORE, ""),
        C(H1_MORE, "\r"),
        C(H1_MORE, "X: y\r\n"),
        C(H1_BAD, "\n"),
        C(H1_BAD, "\rX"),
        C(H1_BAD, "X: y\n"),
        C(H1_BAD, " X: y\r\n"),
        C(H1_BAD, "X : y\r\n"),
        C(H1_BAD, "X: \0\r\n"),
        C(H1_BAD, "GET / HTTP/1.1\r\n"),
        C(H1_BAD, "Content-Length: 5\r\n"),
        C(H1_BAD, "content-type: a\r\n"),
        C(H1_BAD, "Content-Encoding: gzip\r\n"),
        C(H1_BAD, "Transfer-Encoding: chunked\r\n"),
        C(H1_BAD, "Host: a\r\n"),
        C(H1_BAD, "Connection: close\r\n"),
        C(H1_BAD, "Trailer: x\r\n"),
        C(H1_BAD, "TE: trailers\r\n"),
        C(H1_BAD, "Expect: 100-continue\r\n"),
        C(H1_BAD, "Authorization: a\r\n"),
        C(H1_BAD, "Proxy-Authorization: a\r\n"),
        C(H1_BAD, "Cookie: a\r\n"),
        C(H1_BAD, "Upgrade: a\r\n"),
        C(H1_BAD, "If-Match: a\r\n"),
        C(H1_BAD, "Range: a\r\n"),
        C(H1_BAD, "Cache-Control: a\r\n"),
        C(H1_BAD, "MAX-FORWARDS: 1\r\n"),
#undef C
    };
    for (size_t i = 0; i < HS_ARRAY_LEN(cases); i++) {
        h1_result r = all_ways(&head, cases[i].text, cases[i].len, true, &usual);
        cr_assert_eq(r, cases[i].result, "%s", cases[i].text);
        if (r == H1_BAD)
            cr_assert_eq(head.status, 400, "%s", cases[i].text);
    }
    cr_assert_eq(all_ways(&head, "\r\nGET", 5, true, &usual), H1_DONE);
    cr_assert_eq(head.bytes, 2);
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
