/* Responses that are odd or broken, and what is made of them: by us, by curl 7.88.1, by node
 * 20.20.2 (its http client, which is llhttp 9.3.1, and its fetch, undici 6.24.1), each given just
 * these bytes, and by Chromium, as its sources have it (net/http: http_util.cc,
 * http_response_headers.cc, http_stream_parser.cc, http_chunked_decoder.cc). Where these differ we
 * follow the RFCs, and where the RFCs leave a choice, curl and browsers; what could be framed in
 * two ways is refused.
 * Used by tests/unit/http_client_reply.c. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

/* What a reader does: takes it as it stands in `body`, refuses it, or reads it another way. */
#define T "takes"
#define R "refuses"
#define O "reads otherwise"

typedef struct response_case {
    const char *reason; /* of what we do */
    const char *bytes;
    size_t len;
    const char *body; /* NULL: we refuse it */
    bool keeps;       /* the connection may carry another request */
    const char *curl, *llhttp, *undici, *chromium;
} response_case;

#define OK11 "HTTP/1.1 200 OK\r\n"
#define LENGTH5 "Content-Length: 5\r\n"
#define CHUNKED "Transfer-Encoding: chunked\r\n"
#define HELLO_CHUNKED "5\r\nhello\r\n0\r\n\r\n"
#define BYTES(text) text, sizeof(text) - 1

/* clang-format off: a row of peers is a row */
static const response_case response_table[] = {

    /* ---- folded lines (RFC 9112 section 5.2: a user agent replaces them by spaces) ---- */
    {"in any field",
     BYTES(OK11 LENGTH5 "X: a\r\n b\r\n\tc\r\n"
                        "\r\n"
                        "hello"),
     "hello", true, T, R, T, T},
    {"in one that frames: it is read once it is replaced",
     BYTES(OK11 "Content-Length:\r\n 5\r\n"
                "\r\n"
                "hello"),
     "hello", true, R, R, T, T},
    {"in one that frames: it is read once it is replaced",
     BYTES(OK11 "Transfer-Encoding:\r\n chunked\r\n"
                "\r\n" HELLO_CHUNKED),
     "hello", true, O, R, T, T},
    {"of nothing",
     BYTES(OK11 LENGTH5 "X: a\r\n \r\n"
                        "\r\n"
                        "hello"),
     "hello", true, T, R, T, T},
    {"of the status line: section 2.2 has it refused or ignored",
     BYTES(OK11 " X: y\r\n" LENGTH5 "\r\nhello"), "hello", true, R, R, R, T},

    /* ---- Content-Length (RFC 9110 section 8.6: equal ones are one) ---- */
    {"twice",
     BYTES(OK11 LENGTH5 LENGTH5 "\r\n"
                                "hello"),
     "hello", true, T, R, R, T},
    {"as a list",
     BYTES(OK11 "Content-Length: 5, 5\r\n"
                "\r\n"
                "hello"),
     "hello", true, T, R, R, T},
    {"the same number",
     BYTES(OK11 "Content-Length: 5, 05\r\n"
                "\r\n"
                "hello"),
     "hello", true, T, R, R, R},
    {"an empty element counts for nothing (section 5.6.1.2)",
     BYTES(OK11 "Content-Length: 5,,5\r\n"
                "\r\n"
                "hello"),
     "hello", true, T, R, R, R},
    {"two lengths are two readings",
     BYTES(OK11 "Content-Length: 5\r\nContent-Length: 6\r\n"
                "\r\n"
                "hello"),
     NULL, false, R, R, R, R},
    {"two lengths are two readings",
     BYTES(OK11 "Content-Length: 5, 6\r\n"
                "\r\n"
                "hello"),
     NULL, false, T, R, R, R},
    {"no number: section 6.3 has it refused",
     BYTES(OK11 "Content-Length: +5\r\n"
                "\r\n"
                "hello"),
     NULL, false, T, R, R, O},
    {"no number: section 6.3 has it refused",
     BYTES(OK11 "Content-Length: -5\r\n"
                "\r\n"
                "hello"),
     NULL, false, R, R, R, O},
    {"no number: section 6.3 has it refused",
     BYTES(OK11 "Content-Length: 5x\r\n"
                "\r\n"
                "hello"),
     NULL, false, T, R, R, O},
    {"no number: section 6.3 has it refused",
     BYTES(OK11 "Content-Length: 0x5\r\n"
                "\r\n"
                "hello"),
     NULL, false, O, R, R, O},
    {"no number: section 6.3 has it refused",
     BYTES(OK11 "Content-Length: \r\n"
                "\r\n"
                "hello"),
     NULL, false, R, R, R, O},
    {"no length that anything could have",
     BYTES(OK11 "Content-Length: 99999999999999999999\r\n"
                "\r\n"
                "hello"),
     NULL, false, T, R, R, O},

    /* ---- Transfer-Encoding (RFC 9112 sections 6.1 and 6.3) ---- */
    {"identity is none (RFC 2616); nothing follows, as section 6.1 wants for what is odd",
     BYTES(OK11 "Transfer-Encoding: identity\r\n" LENGTH5 "\r\n"
                "hello"),
     "hello", false, T, R, R, T},
    {"and then the body goes to the end",
     BYTES(OK11 "Transfer-Encoding: identity\r\n"
                "\r\n"
                "hello"),
     "hello", false, T, T, T, T},
    {"and then the body goes to the end",
     BYTES(OK11 "Transfer-Encoding: identity, chunked\r\n"
                "\r\n" HELLO_CHUNKED),
     "hello", false, T, T, T, T},
    {"an empty list is none",
     BYTES(OK11 "Transfer-Encoding:\r\n" LENGTH5 "\r\n"
                "hello"),
     "hello", false, T, T, T, T},
    {"an empty list is none",
     BYTES(OK11 "Transfer-Encoding: Chunked\r\n"
                "\r\n" HELLO_CHUNKED),
     "hello", true, T, T, T, T},
    {"HTTP/1.0: the framing counts, and the connection ends",
     BYTES("HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n" CHUNKED "\r\n" HELLO_CHUNKED), "hello",
     false, T, T, T, O},
    {"and where it is none after all, it is an error",
     BYTES("HTTP/1.0 200 OK\r\n" CHUNKED "\r\nhello"), NULL, false, R, R, R, O},
    {"it overrides Content-Length (section 6.3), and the connection ends",
     BYTES(OK11 CHUNKED LENGTH5 "\r\n" HELLO_CHUNKED), "hello", false, T, R, R, T},
    {"it overrides Content-Length (section 6.3), and the connection ends",
     BYTES(OK11 LENGTH5 CHUNKED "\r\n" HELLO_CHUNKED), "hello", false, T, R, R, T},
    {"twice: the body ends at the same byte, however often it was applied",
     BYTES(OK11 CHUNKED CHUNKED "\r\n" HELLO_CHUNKED), "hello", false, T, T, T, T},
    {"twice: the body ends at the same byte, however often it was applied",
     BYTES(OK11 "Transfer-Encoding: chunked, chunked\r\n"
                "\r\n" HELLO_CHUNKED),
     "hello", false, T, T, T, T},
    {"where chunked is not the last, nothing says where the body ends",
     BYTES(OK11 "Transfer-Encoding: chunked, identity\r\n"
                "\r\n" HELLO_CHUNKED),
     NULL, false, T, O, O, T},
    {"not asked for (TE)",
     BYTES(OK11 "Transfer-Encoding: gzip\r\n\r\n"
                "hello"),
     NULL, false, R, T, T, T},
    {"not asked for (TE)", BYTES(OK11 "Transfer-Encoding: gzip, chunked\r\n\r\n" HELLO_CHUNKED),
     NULL, false, R, T, T, T},
    {"no coding that we know",
     BYTES(OK11 "Transfer-Encoding: foo\r\n\r\n"
                "hello"),
     NULL, false, R, T, T, T},
    {"no coding that we know", BYTES(OK11 "Transfer-Encoding: chunked;x=y\r\n\r\n" HELLO_CHUNKED),
     NULL, false, R, O, O, O},
    {"no coding that we know", BYTES(OK11 "Transfer-Encoding: \"chunked\"\r\n\r\n" HELLO_CHUNKED),
     NULL, false, R, O, O, O},
    {"no coding that we know", BYTES(OK11 "Transfer-Encoding: xchunked\r\n\r\n" HELLO_CHUNKED),
     NULL, false, R, O, O, O},

    /* ---- chunks (RFC 9112 section 7.1) ---- */
    {"blanks before an extension, or where one could be (RFC 9110 section 5.6.3)",
     BYTES(OK11 CHUNKED "\r\n5 \r\nhello\r\n0\r\n\r\n"), "hello", true, T, R, R, T},
    {"blanks before an extension, or where one could be (RFC 9110 section 5.6.3)",
     BYTES(OK11 CHUNKED "\r\n5    \r\nhello\r\n0  \r\n\r\n"), "hello", true, T, R, R, T},
    {"blanks before an extension, or where one could be (RFC 9110 section 5.6.3)",
     BYTES(OK11 CHUNKED "\r\n5\t\r\nhello\r\n0\r\n\r\n"), "hello", true, T, R, R, R},
    {"blanks before an extension, or where one could be (RFC 9110 section 5.6.3)",
     BYTES(OK11 CHUNKED "\r\n5 ;x\r\nhello\r\n0\r\n\r\n"), "hello", true, T, R, R, T},
    {"blanks before an extension, or where one could be (RFC 9110 section 5.6.3)",
     BYTES(OK11 CHUNKED "\r\n0005\r\nhello\r\n000\r\n\r\n"), "hello", true, T, T, T, T},
    {"no size by the grammar, and readers differ on it",
     BYTES(OK11 CHUNKED "\r\n 5\r\nhello\r\n0\r\n\r\n"), NULL, false, R, R, R, R},
    {"no size by the grammar, and readers differ on it",
     BYTES(OK11 CHUNKED "\r\n0x5\r\nhello\r\n0\r\n\r\n"), NULL, false, R, R, R, R},
    {"no size by the grammar, and readers differ on it",
     BYTES(OK11 CHUNKED "\r\n5x\r\nhello\r\n0\r\n\r\n"), NULL, false, T, R, R, R},
    {"no size by the grammar, and readers differ on it",
     BYTES(OK11 CHUNKED "\r\n+5\r\nhello\r\n0\r\n\r\n"), NULL, false, R, R, R, R},
    {"no extension by the grammar", BYTES(OK11 CHUNKED "\r\n5;\r\nhello\r\n0\r\n\r\n"), NULL, false,
     T, R, R, T},
    {"a bare LF may end a field's line (section 2.2), not a chunk's",
     BYTES(OK11 CHUNKED "\r\n5\nhello\n0\n\n"), NULL, false, T, R, R, T},
    {"a bare LF may end a field's line (section 2.2), not a chunk's",
     BYTES(OK11 CHUNKED "\r\n5\nhello\r\n0\r\n\r\n"), NULL, false, T, R, R, T},
    {"the end is missing: not whole (section 8)", BYTES(OK11 CHUNKED "\r\n5\r\nhello\r\n"), NULL,
     false, R, R, T, R},
    {"the end is missing: not whole (section 8)", BYTES(OK11 CHUNKED "\r\n5\r\nhello\r\n0\r\n"),
     NULL, false, R, R, T, R},

    /* ---- trailers (RFC 9110 section 6.5.1: what came too late is ignored) ---- */
    {"trailers", BYTES(OK11 CHUNKED "\r\n5\r\nhello\r\n0\r\nContent-Length: 5\r\n\r\n"), "hello",
     true, T, R, T, T},
    {"trailers", BYTES(OK11 CHUNKED "\r\n5\r\nhello\r\n0\r\nA B: 5\r\n\r\n"), "hello", true, T, R,
     T, T},

    /* ---- status lines (RFC 9112 section 4) ---- */
    {"above 599 is like 5xx (RFC 9110 section 15)", BYTES("HTTP/1.1 600 x\r\n" LENGTH5 "\r\nhello"),
     "hello", true, T, T, T, T},
    {"some sites say so to robots", BYTES("HTTP/1.1 999 x\r\n" LENGTH5 "\r\nhello"), "hello", true,
     T, T, T, T},
    {"an unknown interim response is skipped",
     BYTES("HTTP/1.1 199 x\r\n\r\n" OK11 LENGTH5 "\r\nhello"), "hello", true, T, T, T, T},
    {"without its reason, and the blank before it", BYTES("HTTP/1.1 200\r\n" LENGTH5 "\r\nhello"),
     "hello", true, T, T, T, T},
    {"blanks are one (section 4 allows it)", BYTES("HTTP/1.1  200 OK\r\n" LENGTH5 "\r\nhello"),
     "hello", true, T, R, R, T},
    {"blanks are one (section 4 allows it)", BYTES("HTTP/1.1\t200\tOK\r\n" LENGTH5 "\r\nhello"),
     "hello", true, R, R, R, T},
    {"nobody else speaks so", BYTES("http/1.1 200 OK\r\n" LENGTH5 "\r\nhello"), "hello", true, T, R,
     R, T},
    {"a higher minor version is ours (RFC 9110 section 2.5)",
     BYTES("HTTP/1.2 200 OK\r\n" LENGTH5 "\r\nhello"), "hello", true, R, R, R, T},
    {"a reason is for people: anything but NUL, CR and LF",
     BYTES("HTTP/1.1 200 O\x01K\r\n" LENGTH5 "\r\nhello"), "hello", true, T, T, T, T},
    {"a reason is for people: anything but NUL, CR and LF",
     BYTES("HTTP/1.1 200 O\351K\r\n" LENGTH5 "\r\nhello"), "hello", true, T, T, T, T},
    {"two empty lines before it, left over from what was before",
     BYTES("\r\n\r\n" OK11 LENGTH5 "\r\nhello"), "hello", true, R, T, T, T},
    {"not more", BYTES("\r\n\r\n\r\n" OK11 LENGTH5 "\r\nhello"), NULL, false, R, T, T, R},
    {"no status: 0 is what callers use for none", BYTES("HTTP/1.1 000 x\r\n" LENGTH5 "\r\nhello"),
     NULL, false, R, T, R, T},
    {"no status: 0 is what callers use for none", BYTES("HTTP/1.1 099 x\r\n" LENGTH5 "\r\nhello"),
     NULL, false, R, T, R, T},
    {"three digits", BYTES("HTTP/1.1 20 x\r\n" LENGTH5 "\r\nhello"), NULL, false, R, R, R, T},
    {"three digits", BYTES("HTTP/1.1 2000 x\r\n" LENGTH5 "\r\nhello"), NULL, false, R, R, R, T},
    {"three digits", BYTES("HTTP/1.1 200OK\r\n" LENGTH5 "\r\nhello"), NULL, false, T, R, R, T},
    {"three digits", BYTES("HTTP/1.1\r\n" LENGTH5 "\r\nhello"), NULL, false, R, R, R, T},
    {"not HTTP/1.d", BYTES("HTTP/1.10 200 OK\r\n" LENGTH5 "\r\nhello"), NULL, false, R, R, R, T},
    {"another protocol", BYTES("HTTP/2 200 OK\r\n" LENGTH5 "\r\nhello"), NULL, false, T, R, R, T},
    {"another protocol", BYTES("HTTP/2.0 200 OK\r\n" LENGTH5 "\r\nhello"), NULL, false, T, T, T, T},
    {"another protocol", BYTES("HTTP/3.0 200 OK\r\n" LENGTH5 "\r\nhello"), NULL, false, R, R, R, T},
    {"another protocol", BYTES("HTTP/0.9 200 OK\r\n" LENGTH5 "\r\nhello"), NULL, false, R, T, T, T},
    {"another protocol", BYTES("ICY 200 OK\r\n" LENGTH5 "\r\nhello"), NULL, false, R, R, R, T},
    {"HTTP/0.9", BYTES("hello"), NULL, false, R, R, R, R},
    {"HTTP/0.9", BYTES("HTTP/1.1 200 O\0K\r\n" LENGTH5 "\r\nhello"), NULL, false, R, T, T, R},
    {"HTTP/0.9", BYTES(" " OK11 LENGTH5 "\r\nhello"), NULL, false, R, R, R, T},

    /* ---- line ends (RFC 9112 section 2.2) ---- */
    {"a bare LF may end any line of the head", BYTES("HTTP/1.1 200 OK\nContent-Length: 5\n\nhello"),
     "hello", true, T, R, R, T},
    {"a bare LF may end any line of the head",
     BYTES(OK11 LENGTH5 "X: y\n"
                        "\r\n"
                        "hello"),
     "hello", true, T, R, R, T},
    {"a bare LF may end any line of the head", BYTES(OK11 LENGTH5 "\nhello"), "hello", true, T, R,
     T, T},
    {"a bare CR is a line's end to some, and a byte to others",
     BYTES(OK11 LENGTH5 "X: a\rb\r\n"
                        "\r\n"
                        "hello"),
     NULL, false, T, R, R, T},
    {"a bare CR is a line's end to some, and a byte to others",
     BYTES(OK11 LENGTH5 "X: a\r\r\n"
                        "\r\n"
                        "hello"),
     NULL, false, T, R, R, T},
    {"a bare CR is a line's end to some, and a byte to others",
     BYTES("HTTP/1.1 200 OK\rContent-Length: 5\r\rhello"), NULL, false, R, R, R, R},

    /* ---- field lines (RFC 9112 section 5, RFC 9110 section 5.5) ---- */
    {"control bytes in a value stay; section 5.5 allows it",
     BYTES(OK11 LENGTH5 "X: a\x01\x7f"
                        "b\r\n"
                        "\r\n"
                        "hello"),
     "hello", true, T, R, R, T},
    {"control bytes in a value stay; section 5.5 allows it",
     BYTES(OK11 LENGTH5 "X: \351\377\r\n"
                        "\r\n"
                        "hello"),
     "hello", true, T, T, T, T},
    {"NUL never",
     BYTES(OK11 LENGTH5 "X: a\0b\r\n"
                        "\r\n"
                        "hello"),
     NULL, false, R, R, R, R},
    {"NUL never",
     BYTES(OK11 LENGTH5 "X\0: ab\r\n"
                        "\r\n"
                        "hello"),
     NULL, false, R, R, R, R},
    {"a blank before the colon is dropped, as section 5.1 has proxies do",
     BYTES(OK11 LENGTH5 "X : b\r\n"
                        "\r\n"
                        "hello"),
     "hello", true, T, R, T, T},
    {"also where it frames (Firefox ignores such a line)",
     BYTES(OK11 "Content-Length : 5\r\n"
                "\r\n"
                "hello"),
     "hello", true, O, R, R, T},
    {"also where it frames (Firefox ignores such a line)",
     BYTES(OK11 "Transfer-Encoding : chunked\r\n"
                "\r\n" HELLO_CHUNKED),
     "hello", true, O, R, R, T},
    {"no field: the line is ignored",
     BYTES(OK11 LENGTH5 "Bad Name: b\r\n"
                        "\r\n"
                        "hello"),
     "hello", true, T, R, T, T},
    {"no field: the line is ignored",
     BYTES(OK11 LENGTH5 "Bad(Name): b\r\n"
                        "\r\n"
                        "hello"),
     "hello", true, T, R, R, T},
    {"no field: the line is ignored",
     BYTES(OK11 LENGTH5 "Caf\351: b\r\n"
                        "\r\n"
                        "hello"),
     "hello", true, T, R, R, T},
    {"no field: the line is ignored",
     BYTES(OK11 LENGTH5 "nocolon\r\n"
                        "\r\n"
                        "hello"),
     "hello", true, R, R, R, T},
    {"no field: the line is ignored",
     BYTES(OK11 LENGTH5 ": b\r\n"
                        "\r\n"
                        "hello"),
     "hello", true, T, R, T, T},
    {"no field: the line is ignored",
     BYTES(OK11 LENGTH5 "<html>\r\n"
                        "\r\n"
                        "hello"),
     "hello", true, R, R, R, T},
    {"no field: the line is ignored",
     BYTES(OK11 LENGTH5 "X:\r\n"
                        "\r\n"
                        "hello"),
     "hello", true, T, T, T, T},
    {"no field: the line is ignored",
     BYTES(OK11 LENGTH5 "Connection: close, @@\r\n"
                        "\r\n"
                        "hello"),
     "hello", false, T, T, T, T},

    /* ---- what is not whole, and what is more ---- */
    {"what is not whole, and what is more",
     BYTES(OK11 "Content-Length: 10\r\n"
                "\r\n"
                "hello"),
     NULL, false, R, R, R, R},
    {"what is behind the body is not part of it, and the connection is not used again",
     BYTES(OK11 "Content-Length: 3\r\n"
                "\r\n"
                "hello"),
     "hel", true, T, R, T, T},
    {"what is behind the body is not part of it, and the connection is not used again",
     BYTES(OK11 LENGTH5), NULL, false, R, R, R, R},
};
/* clang-format on */

#undef T
#undef R
#undef O
