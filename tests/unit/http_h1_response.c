/* The heads of responses: status lines and framing. See http_h1_cases.h for how each case is
 * parsed.
 */
#include "http_h1_cases.h"

#define OK11 "HTTP/1.1 200 OK\r\n"

static void parse(h1_head *head, hs_method method, const char *text)
{
    h1_result r = all_ways(head, text, strlen(text), WAYS_RESPONSE + (uint32_t)method, &usual);
    cr_assert_eq(r, H1_DONE, "%s: %s", r == H1_BAD ? head->fault : "more", text);
}

static void expect_bad(const char *text)
{
    static h1_head head;
    h1_result r =
        all_ways(&head, text, strlen(text), WAYS_RESPONSE + (uint32_t)HS_METHOD_GET, &usual);
    cr_assert_eq(r, H1_BAD, "%s", text);
}

Test(h1_response, status_lines)
{
    static h1_head head;
    parse(&head, HS_METHOD_GET, "HTTP/1.1 404 Not Found\r\nContent-Length: 3\r\n\r\n");
    cr_assert_eq(head.status, 404);
    cr_assert_eq(head.minor, 1);
    cr_assert_eq(head.fields_len, 1);
    expect_span("HTTP/1.1 404 Not Found", head.target_at, head.target_len, "Not Found");
    parse(&head, HS_METHOD_GET, "HTTP/1.0 599 \r\n\r\n");
    cr_assert_eq(head.minor, 0);
    cr_assert_eq(head.target_len, 0);
    parse(&head, HS_METHOD_GET, "HTTP/1.1 200\r\n\r\n");
    cr_assert_eq(head.target_len, 0);
    parse(&head, HS_METHOD_GET, "HTTP/1.1 200 \xe2\x98\x83\ta\r\n\r\n");
}

Test(h1_response, bad_status_lines)
{
    static const char *const lines[] = {
        "\r\nHTTP/1.1 200 OK\r\n\r\n",  "HTTP/1.1  200 OK\r\n\r\n",     "http/1.1 200 OK\r\n\r\n",
        "HTTP/2.0 200 OK\r\n\r\n",      "HTTP/1.1 20 OK\r\n\r\n",       "HTTP/1.1 2000 OK\r\n\r\n",
        "HTTP/1.1 099 OK\r\n\r\n",      "HTTP/1.1 600 OK\r\n\r\n",      "HTTP/1.1 200 OK\n\r\n",
        "HTTP/1.1 200 O\rK\r\n\r\n",    "HTTP/1.1 200\tOK\r\n\r\n",     "ICY 200 OK\r\n\r\n",
        "HTTP/1.1 200 O\x01K\r\n\r\n",  "HTTP/1.1 -20 OK\r\n\r\n",      "<html>",
        "HTTP/1.1 200 OK\r\n a: b\r\n", "HTTP/1.1 200 OK\r\na : b\r\n",
    };
    for (size_t i = 0; i < HS_ARRAY_LEN(lines); i++)
        expect_bad(lines[i]);
}

static void expect_body(hs_method method, const char *text, h1_body body, bool keep_alive)
{
    static h1_head head;
    parse(&head, method, text);
    cr_assert_eq(head.body, body, "%d: %s", head.body, text);
    cr_assert_eq(head.keep_alive, keep_alive, "%s", text);
}

/* RFC 9112 section 6.3, in its order. */
Test(h1_response, framing)
{
    static const char length[] = OK11 "Content-Length: 5\r\n\r\n";
    static const char chunked[] = OK11 "Transfer-Encoding: chunked\r\n\r\n";
    expect_body(HS_METHOD_HEAD, length, H1_BODY_NONE, true);
    expect_body(HS_METHOD_HEAD, chunked, H1_BODY_NONE, true);
    expect_body(HS_METHOD_HEAD, OK11 "\r\n", H1_BODY_NONE, true);
    expect_body(HS_METHOD_GET, "HTTP/1.1 204 x\r\nContent-Length: 5\r\n\r\n", H1_BODY_NONE, true);
    expect_body(HS_METHOD_GET, "HTTP/1.1 304 x\r\nContent-Length: 5\r\n\r\n", H1_BODY_NONE, true);
    expect_body(HS_METHOD_GET, "HTTP/1.1 100 x\r\n\r\n", H1_BODY_NONE, true);
    expect_body(HS_METHOD_GET, "HTTP/1.0 103 x\r\n\r\n", H1_BODY_NONE, true);
    expect_body(HS_METHOD_GET, "HTTP/1.1 101 x\r\nUpgrade: y\r\n\r\n", H1_BODY_NONE, false);
    expect_body(HS_METHOD_CONNECT, length, H1_BODY_TUNNEL, false);
    expect_body(HS_METHOD_CONNECT, "HTTP/1.1 502 x\r\nContent-Length: 5\r\n\r\n", H1_BODY_LENGTH,
                true);
    expect_body(HS_METHOD_GET, length, H1_BODY_LENGTH, true);
    expect_body(HS_METHOD_GET, chunked, H1_BODY_CHUNKED, true);
    expect_body(HS_METHOD_GET, OK11 "\r\n", H1_BODY_CLOSE, false);
    expect_body(HS_METHOD_GET, OK11 "Connection: close\r\nContent-Length: 0\r\n\r\n",
                H1_BODY_LENGTH, false);
    expect_body(HS_METHOD_GET, "HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n", H1_BODY_LENGTH,
                false);
    expect_body(HS_METHOD_GET,
                "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 0\r\n\r\n",
                H1_BODY_LENGTH, true);
}

Test(h1_response, framing_that_two_readers_could_read_in_two_ways_is_refused)
{
    static const char *const texts[] = {
        OK11 "Content-Length: 5\r\nContent-Length: 5\r\n\r\n",
        OK11 "Content-Length: 5\r\nContent-Length: 6\r\n\r\n",
        OK11 "Content-Length: 5, 5\r\n\r\n",
        OK11 "Content-Length: -5\r\n\r\n",
        OK11 "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
        OK11 "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n",
        OK11 "Transfer-Encoding: gzip\r\n\r\n",
        OK11 "Transfer-Encoding: gzip, chunked\r\n\r\n",
        OK11 "Transfer-Encoding: chunked, gzip\r\n\r\n",
        OK11 "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
        "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
    };
    for (size_t i = 0; i < HS_ARRAY_LEN(texts); i++)
        expect_bad(texts[i]);
}

Test(h1_response, what_only_requests_mean_is_passed_over)
{
    static h1_head head;
    parse(&head, HS_METHOD_GET, OK11 "Host: a b\r\nHost: /\r\nExpect: x\r\n\r\n");
    cr_assert_eq(head.fields_len, 3);
}

Test(h1_response, limits)
{
    static h1_head head;
    static char text[4096] = "HTTP/1.1 200 ";
    h1_limits limits = {.head_bytes_max = 1024, .target_bytes_max = 64, .fields_max = 2};
    memset(text + 13, 'x', sizeof text - 13);
    h1_result r = all_ways(&head, text, sizeof text, WAYS_RESPONSE, &limits);
    cr_assert_eq(r, H1_BAD);
    cr_assert_eq(head.status, 431);
    static const char many[] = OK11 "a: 1\r\nb: 2\r\nc: 3\r\n\r\n";
    r = all_ways(&head, many, sizeof many - 1, WAYS_RESPONSE, &limits);
    cr_assert_eq(r, H1_BAD);
    cr_assert_eq(head.status, 431);
}
