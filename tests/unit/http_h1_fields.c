/* What fields mean for a request, and which a trailer section may hold. See http_h1_cases.h for how
 * each case is parsed. */
#include "http_h1_cases.h"

Test(h1_fields, hosts)
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
        CASE(0, "GET http://b/ HTTP/1.1\r\nHost:\r\n\r\n"),
        CASE(400, "GET http://b/ HTTP/1.1\r\nHost: a/b\r\n\r\n"),
        CASE(0, "GET http://b/ HTTP/1.1\r\nHost: a\r\n\r\n"),
        CASE(0, "GET http://b/ HTTP/1.0\r\n\r\n"),
        CASE(0, "CONNECT a:1 HTTP/1.1\r\nHost:\r\n\r\n"),
        CASE(0, "CONNECT a:1 HTTP/1.1\r\nHost: b\r\n\r\n"),
    };
    check_cases(cases, HS_ARRAY_LEN(cases));
}

Test(h1_fields, framing)
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

Test(h1_fields, framing_is_told)
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

Test(h1_fields, connection)
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

Test(h1_fields, trailers)
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
        C(H1_DONE, "Content-Digest: sha-256=:a:\r\n\r\n"),
        C(H1_DONE, "content-type: a\r\n\r\n"),
        C(H1_DONE, "Content-Encoding: gzip\r\n\r\n"),
        C(H1_BAD, "Transfer-Encoding: chunked\r\n"),
        C(H1_BAD, "Host: a\r\n"),
        C(H1_DONE, "Connection: close\r\n\r\n"),
        C(H1_DONE, "Trailer: x\r\n\r\n"),
        C(H1_DONE, "TE: trailers\r\n\r\n"),
        C(H1_DONE, "Expect: 100-continue\r\n\r\n"),
        C(H1_DONE, "Authorization: a\r\n\r\n"),
        C(H1_DONE, "Proxy-Authorization: a\r\n\r\n"),
        C(H1_DONE, "Cookie: a\r\n\r\n"),
        C(H1_DONE, "Upgrade: a\r\n\r\n"),
        C(H1_DONE, "If-Match: a\r\n\r\n"),
        C(H1_DONE, "Range: a\r\n\r\n"),
        C(H1_DONE, "Cache-Control: a\r\n\r\n"),
        C(H1_DONE, "MAX-FORWARDS: 1\r\n\r\n"),
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
