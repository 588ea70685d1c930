/* test_http1.c - request heads: what is understood, what is refused and with which status. A row a rule.
 * SPDX-License-Identifier: MIT
 * Every row is parsed whole, cut in two at every place, and byte by byte, each time out of memory that ends where the bytes end (ASan sees a look beyond). All of it
 * once for each way of scanning that this processor has; test_http1_scans.c compares them with each other. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "router/route.h"
#include "server/http1.h"
#include "t/unit/run.h"

static const struct http_limits roomy = { 8192, 16384, 100 };

/* What a head came to, as text: "METHOD path [?query] [@host] flags". Lives until the next call. */
static const char *
describe(const struct http_head *h, const char *buf, int r, int expected_len)
{
        static char text[4096];
        size_t n;

        if (r < 0)
                snprintf(text, sizeof text, "%d", -r);
        else if (r == 0)
                snprintf(text, sizeof text, "more");
        if (r <= 0)
                return text;
        n = (size_t)snprintf(text, sizeof text, "%.*s %.*s", (int)h->method_len, buf + h->method_off, (int)h->path_len, buf + h->path_off);
        if (h->query_len > 0)
                n += (size_t)snprintf(text + n, sizeof text - n, " ?%.*s", (int)h->query_len, buf + h->query_off);
        if (h->host_len > 0)
                n += (size_t)snprintf(text + n, sizeof text - n, " @%.*s", (int)h->host_len, buf + h->host_off);
        if (h->minor == 0)
                n += (size_t)snprintf(text + n, sizeof text - n, " 1.0");
        if (h->minor != h->keep_alive)
                n += (size_t)snprintf(text + n, sizeof text - n, h->keep_alive ? " keep-alive" : " close");
        if (h->content_length >= 0)
                n += (size_t)snprintf(text + n, sizeof text - n, " length=%lld", (long long)h->content_length);
        if (h->chunked)
                n += (size_t)snprintf(text + n, sizeof text - n, " chunked");
        if (h->expect_continue)
                n += (size_t)snprintf(text + n, sizeof text - n, " expect");
        if (h->absolute)
                n += (size_t)snprintf(text + n, sizeof text - n, " absolute");
        if (r != expected_len)
                snprintf(text + n, sizeof text - n, " but %d bytes of %d", r, expected_len);
        return text;
}

/* Parses the first len bytes out of a block of exactly that size. */
static int
parse_exact(struct http_head *h, const char *bytes, size_t len, const struct http_limits *lim)
{
        char *copy = malloc(len > 0 ? len : 1);
        int r;

        memcpy(copy, bytes, len);
        r = http_head_parse(h, copy, (uint32_t)len, lim);
        free(copy);
        return r;
}

static void
check_every_way(const char *bytes, size_t len, int head_len, const struct http_limits *lim, const char *expected)
{
        struct http_head h;
        int r;

        http_head_init(&h);
        r = parse_exact(&h, bytes, len, lim);
        ck_assert_str_eq(describe(&h, bytes, r, head_len), expected);
        for (size_t cut = 0; cut <= len; cut++) {
                http_head_init(&h);
                r = parse_exact(&h, bytes, cut, lim);
                if (r == 0)
                        r = parse_exact(&h, bytes, len, lim);
                ck_assert_msg(strcmp(describe(&h, bytes, r, head_len), expected) == 0, "cut at %zu: %s, expected %s", cut, describe(&h, bytes, r, head_len), expected);
        }
        http_head_init(&h);
        r = 0;
        for (size_t have = 0; have <= len && r == 0; have++)
                r = parse_exact(&h, bytes, have, lim);
        ck_assert_msg(strcmp(describe(&h, bytes, r, head_len), expected) == 0, "byte by byte: %s, expected %s", describe(&h, bytes, r, head_len), expected);
}

#define HOST "Host: a.example\r\n"
#define ROW(text, expected) { text, sizeof(text) - 1, expected }
#define GET(fields, expected) ROW("GET / HTTP/1.1\r\n" HOST fields "\r\n", expected)
#define POST(fields, expected) ROW("POST / HTTP/1.1\r\n" HOST fields "\r\n", expected)
#define TARGET(target, expected) ROW("GET " target " HTTP/1.1\r\n" HOST "\r\n", expected)
#define WITH_HOST(host, expected) ROW("GET / HTTP/1.1\r\nHost: " host "\r\n\r\n", expected)
#define LETTERS_32 "abcdefghijklmnopqrstuvwxyzABCDEF"

static const struct { const char *text; size_t len; const char *expected; } rows[] = {
        /* the plain case */
        GET("", "GET / @a.example"),
        ROW("GET /a/b?x=1&y=2 HTTP/1.1\r\nHost: example.com:8080\r\nAccept: */*\r\n\r\n", "GET /a/b ?x=1&y=2 @example.com:8080"),
        ROW("PROPFIND /dav HTTP/1.1\r\n" HOST "\r\n", "PROPFIND /dav @a.example"),
        ROW("GET / HTTP/1.0\r\n\r\n", "GET / 1.0"),

        /* RFC 9112, 2.2: one empty line before is skipped, more are not; a CR or LF alone never ends a line */
        ROW("\r\nGET / HTTP/1.1\r\n" HOST "\r\n", "GET / @a.example"),
        ROW("\r\n\r\nGET / HTTP/1.1\r\n" HOST "\r\n", "400"),
        ROW("\nGET / HTTP/1.1\r\n" HOST "\r\n", "400"),
        ROW("\rGET / HTTP/1.1\r\n" HOST "\r\n", "400"),
        ROW(" GET / HTTP/1.1\r\n" HOST "\r\n", "400"),
        ROW("GET / HTTP/1.1\n" HOST "\r\n", "400"),
        ROW("GET / HTTP/1.1\r" HOST "\r\n", "400"),
        ROW("GET / HTTP/1.1\r\nHost: a.example\n\r\n", "400"),
        ROW("GET / HTTP/1.1\r\n" HOST "\n", "400"),
        ROW("GET / HTTP/1.1\r\n" HOST "\rX", "400"),
        GET("A: b\rc\r\n", "400"),
        GET("A: b\nC: d\r\n", "400"),

        /* RFC 9112, 3: the request line is three words with one blank between */
        ROW("GET  / HTTP/1.1\r\n" HOST "\r\n", "400"),
        ROW("GET /  HTTP/1.1\r\n" HOST "\r\n", "400"),
        ROW("GET / HTTP/1.1 \r\n" HOST "\r\n", "400"),
        ROW(" / HTTP/1.1\r\n" HOST "\r\n", "400"),
        ROW("GET\t/\tHTTP/1.1\r\n" HOST "\r\n", "400"),
        ROW("GET /\r\n" HOST "\r\n", "400"),
        ROW("GET\r\n\r\n", "400"),
        ROW("GE(T / HTTP/1.1\r\n" HOST "\r\n", "400"),
        ROW("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", "400"), /* a TLS hello */
        ROW("\0", "400"),
        ROW(LETTERS_32 " / HTTP/1.1\r\n" HOST "\r\n", LETTERS_32 " / @a.example"),
        ROW(LETTERS_32 "x / HTTP/1.1\r\n" HOST "\r\n", "501"),
        ROW("CONNECT a.example:443 HTTP/1.1\r\n" HOST "\r\n", "501"),
        ROW("TRACE / HTTP/1.1\r\n" HOST "\r\n", "405"),
        ROW("get / HTTP/1.1\r\n" HOST "\r\n", "get / @a.example"), /* another method than GET: RFC 9110, 9.1 */

        /* RFC 9112, 2.3: versions */
        ROW("GET / HTTP/2.0\r\n" HOST "\r\n", "505"),
        ROW("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "505"),
        ROW("GET / HTTP/0.9\r\n" HOST "\r\n", "505"),
        ROW("GET / HTTP/1.2\r\n" HOST "\r\n", "GET / @a.example"),
        ROW("GET / HTTP/1.10\r\n" HOST "\r\n", "400"),
        ROW("GET / HTTP/1\r\n" HOST "\r\n", "400"),
        ROW("GET / HTTP/1,1\r\n" HOST "\r\n", "400"),
        ROW("GET / http/1.1\r\n" HOST "\r\n", "400"),
        ROW("GET / HTTP/+1.1\r\n" HOST "\r\n", "400"),
        ROW("GET / ICAP/1.1\r\n" HOST "\r\n", "400"),

        /* RFC 9112, 3.2: targets */
        TARGET("/%2e%2e/%00", "GET /%2e%2e/%00 @a.example"), /* decoding is the router's */
        TARGET("//x", "GET //x @a.example"),
        TARGET("/?", "GET / @a.example"),
        TARGET("/?a?b", "GET / ?a?b @a.example"),
        TARGET("/x{y}|^`\"<>\\", "GET /x{y}|^`\"<>\\ @a.example"), /* browsers send such queries */
        TARGET("/a-long-path-that-takes-more-than-one-stride-of-sixteen-bytes?q=and+so+does+the+query+behind+it", "GET /a-long-path-that-takes-more-than-one-stride-of-sixteen-bytes ?q=and+so+does+the+query+behind+it @a.example"),
        TARGET("/#part", "400"),
        TARGET("/a-long-path-that-takes-more-than-one-stride#part", "400"),
        TARGET("/\x7f", "400"),
        TARGET("/\x80", "400"),
        TARGET("/\xc3\xbc", "400"),
        TARGET("/a\0b", "400"),
        TARGET("/a\x01", "400"),
        TARGET("x", "400"),
        TARGET("?x", "400"),
        TARGET("*", "400"),
        ROW("OPTIONS * HTTP/1.1\r\n" HOST "\r\n", "OPTIONS * @a.example"),
        ROW("OPTIONS ** HTTP/1.1\r\n" HOST "\r\n", "400"),
        ROW("OPTIONS *?a HTTP/1.1\r\n" HOST "\r\n", "400"),
        TARGET("http://a.example/x?y", "GET /x ?y @a.example absolute"),
        TARGET("HTTP://A.Example/x", "GET /x @A.Example absolute"),
        TARGET("http://a.example", "GET / @a.example absolute"),
        TARGET("http://a.example?q", "GET / ?q @a.example absolute"),
        TARGET("http://a.example:80/", "GET / @a.example:80 absolute"),
        TARGET("https://a.example:443/", "GET / @a.example:443 absolute"),
        TARGET("http://a.example:/", "GET / @a.example: absolute"),
        TARGET("http://a.example:443/", "400"), /* contradicts Host */
        TARGET("https://a.example:80/", "400"),
        TARGET("http://b.example/", "400"),
        TARGET("http://a.example.com/", "400"),
        TARGET("http:///x", "400"),
        TARGET("http://", "400"),
        TARGET("http://u:p@a.example/", "400"), /* RFC 9110, 4.2.4 */
        TARGET("http://a.example:99999/", "400"),
        TARGET("ftp://a.example/", "400"),
        TARGET("http:/a.example/", "400"),
        ROW("GET http://a.example/ HTTP/1.0\r\n\r\n", "GET / @a.example 1.0 absolute"),
        ROW("GET http://u:p@a.example/ HTTP/1.0\r\n\r\n", "400"), /* no Host to contradict: wrong in themselves */
        ROW("GET http://a.example:99999/ HTTP/1.0\r\n\r\n", "400"),
        ROW("GET http:///x HTTP/1.0\r\n\r\n", "400"),
        ROW("GET http://a.example/ HTTP/1.1\r\n\r\n", "400"), /* 1.1 needs Host all the same */

        /* RFC 9112, 3.2: Host: one, and a valid one */
        ROW("GET / HTTP/1.1\r\n\r\n", "400"),
        ROW("GET / HTTP/1.1\r\nAccept: */*\r\n\r\n", "400"),
        GET("Host: a.example\r\n", "400"),
        GET("Host: b.example\r\n", "400"),
        ROW("GET / HTTP/1.0\r\nHost: a\r\nHost: a\r\n\r\n", "400"),
        WITH_HOST("", "400"),
        WITH_HOST(":80", "400"),
        WITH_HOST("a b", "400"),
        WITH_HOST("a,b", "400"),
        WITH_HOST("a/b", "400"),
        WITH_HOST("u@a", "400"),
        WITH_HOST("a..b", "400"),
        WITH_HOST(".a", "400"),
        WITH_HOST("a%20b", "400"),
        WITH_HOST("a:b", "400"),
        WITH_HOST("a:80:80", "400"),
        WITH_HOST("a:65536", "400"),
        WITH_HOST("a:+1", "400"),
        WITH_HOST("\xc3\xbc", "400"),
        WITH_HOST("::1", "400"),
        WITH_HOST("[::1", "400"),
        WITH_HOST("[]", "400"),
        WITH_HOST("[::1]x", "400"),
        WITH_HOST("[1:2]", "400"),
        WITH_HOST("[v1.x]", "400"),
        WITH_HOST("[::1:2:3:4:5:6:7:8:9:0:1:2:3:4:5:6:7:8:9:0:1:2:3:4]", "400"),
        WITH_HOST("[::1]:8080", "GET / @[::1]:8080"),
        WITH_HOST("[::ffff:127.0.0.1]", "GET / @[::ffff:127.0.0.1]"),
        WITH_HOST("127.0.0.1:1", "GET / @127.0.0.1:1"),
        WITH_HOST("a.example.", "GET / @a.example."),
        WITH_HOST("a_b-c.example:", "GET / @a_b-c.example:"),
        WITH_HOST("a:65535", "GET / @a:65535"),

        /* RFC 9112, 5: field lines */
        GET("A : b\r\n", "400"),
        GET("A\t: b\r\n", "400"),
        GET(": b\r\n", "400"),
        GET("A\r\n", "400"),
        GET("A b: c\r\n", "400"),
        GET("A(: b\r\n", "400"),
        GET("\xc3\xbc: b\r\n", "400"),
        GET("A\0B: c\r\n", "400"),
        GET(" A: b\r\n", "400"),
        GET("A: b\r\n c\r\n", "400"), /* obs-fold: 5.2 */
        GET("A: b\r\n\tc\r\n", "400"),
        GET("A: b\r\n \r\n", "400"),
        GET("A: b\0c\r\n", "400"),
        GET("A: b\x1f\r\n", "400"),
        GET("A: \x7f\r\n", "400"),
        GET("A: the control is behind the first stride of sixteen: \x01\r\n", "400"),
        GET("A: the control is behind the first stride of sixteen: \x7f\r\n", "400"),
        GET("A:\r\n", "GET / @a.example"),
        GET("A:b\r\n", "GET / @a.example"),
        GET("A: \t b\tc \t\r\n", "GET / @a.example"),
        GET("A: \xc3\xbc\x80\xff and more than sixteen of them \xff\r\n", "GET / @a.example"),
        GET("!#$%&'*+-.^_`|~09azAZ: b\r\n", "GET / @a.example"),

        /* RFC 9112, 6.2: Content-Length is digits, once */
        POST("Content-Length: 0\r\n", "POST / @a.example length=0"),
        POST("content-LENGTH:42\r\n", "POST / @a.example length=42"),
        POST("Content-Length: 007\r\n", "POST / @a.example length=7"),
        POST("Content-Length: 9223372036854775807\r\n", "POST / @a.example length=9223372036854775807"),
        POST("Content-Length: 9223372036854775808\r\n", "400"),
        POST("Content-Length: 18446744073709551616\r\n", "400"),
        POST("Content-Length: 99999999999999999999999\r\n", "400"),
        POST("Content-Length: +1\r\n", "400"),
        POST("Content-Length: -1\r\n", "400"),
        POST("Content-Length: 0x10\r\n", "400"),
        POST("Content-Length: 1 2\r\n", "400"),
        POST("Content-Length: 1,1\r\n", "400"),
        POST("Content-Length: 1.0\r\n", "400"),
        POST("Content-Length: \r\n", "400"),
        POST("Content-Length: 5\r\nContent-Length: 5\r\n", "400"),
        POST("Content-Length: 5\r\nContent-Length: 6\r\n", "400"),

        /* RFC 9112, 6.1 and 6.3: Transfer-Encoding */
        POST("Transfer-Encoding: chunked\r\n", "POST / @a.example chunked"),
        POST("Transfer-Encoding: CHUNKED\r\n", "POST / @a.example chunked"),
        POST("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", "400"),
        POST("Content-Length: 0\r\nTransfer-Encoding: chunked\r\n", "400"),
        POST("Transfer-Encoding: chunked, chunked\r\n", "400"),
        POST("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", "400"),
        POST("Transfer-Encoding: gzip\r\n", "400"),
        POST("Transfer-Encoding: identity\r\n", "400"),
        POST("Transfer-Encoding: chunked, gzip\r\n", "400"),
        POST("Transfer-Encoding: chunked, identity\r\n", "400"),
        POST("Transfer-Encoding: gzip, chunked\r\n", "501"),
        POST("Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n", "501"),
        POST("Transfer-Encoding: identity, chunked\r\n", "501"),
        POST("Transfer-Encoding: xchunked\r\n", "400"),
        POST("Transfer-Encoding: chunkedx\r\n", "400"),
        POST("Transfer-Encoding: chunked;q=1\r\n", "400"),
        POST("Transfer-Encoding: \"chunked\"\r\n", "400"),
        POST("Transfer-Encoding: chunked,\r\n", "400"),
        POST("Transfer-Encoding: , chunked\r\n", "400"),
        POST("Transfer-Encoding:\r\n", "400"),
        POST("Transfer-Encoding: chunked \t\r\n", "POST / @a.example chunked"),
        ROW("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", "400"),
        ROW("POST / HTTP/1.0\r\nContent-Length: 1\r\nTransfer-Encoding: x\r\n\r\n", "400"),
        POST("Transfer_Encoding: chunked\r\nContent-Length: 3\r\n", "POST / @a.example length=3"), /* another name */

        /* RFC 9112, 9.3 and 9.6: Connection */
        GET("Connection: close\r\n", "GET / @a.example close"),
        GET("Connection: Keep-Alive, CLOSE\r\n", "GET / @a.example close"),
        GET("Connection: close\r\nConnection: keep-alive\r\n", "GET / @a.example close"),
        GET("Connection: keep-alive\r\nA: b\r\nConnection: x,,close\r\n", "GET / @a.example close"),
        GET("Connection: closed, xclose\r\n", "GET / @a.example"),
        GET("Connection:\r\n", "GET / @a.example"),
        ROW("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", "GET / 1.0 keep-alive"),
        ROW("GET / HTTP/1.0\r\nConnection: keep-alive, close\r\n\r\n", "GET / 1.0"),

        /* RFC 9110, 10.1.1: Expect */
        POST("Content-Length: 1\r\nExpect: 100-Continue\r\n", "POST / @a.example length=1 expect"),
        POST("Expect: 100-continue\r\nTransfer-Encoding: chunked\r\n", "POST / @a.example chunked expect"),
        POST("Expect: 100-continue\r\n", "POST / @a.example"),
        POST("Expect: 100-continue\r\nContent-Length: 0\r\n", "POST / @a.example length=0"),
        POST("Expect: 200-maybe\r\n", "417"),
        POST("Expect: 100-continue, x\r\n", "417"),
        POST("Expect:\r\n", "417"),
        ROW("POST / HTTP/1.0\r\nContent-Length: 1\r\nExpect: 100-continue\r\n\r\n", "POST / 1.0 length=1"),
};

START_TEST(head_is_understood_or_refused)
{
        check_every_way(rows[_i].text, rows[_i].len, (int)rows[_i].len, &roomy, rows[_i].expected);
}
END_TEST

START_TEST(body_bytes_are_not_the_heads)
{
        static const char text[] = "POST / HTTP/1.1\r\n" HOST "Content-Length: 6\r\n\r\n\r\nbody";

        check_every_way(text, sizeof text - 1, (int)sizeof text - 1 - 6, &roomy, "POST / @a.example length=6");
}
END_TEST

START_TEST(unfinished_heads_want_more)
{
        static const char text[] = "GET /path?query HTTP/1.1\r\n" HOST "Cookie: a=b\r\n\r\n";

        for (size_t len = 0; len < sizeof text - 1; len++) {
                struct http_head h;

                http_head_init(&h);
                ck_assert_int_eq(parse_exact(&h, text, len, &roomy), 0);
        }
}
END_TEST

/* ---- limits ------------------------------------------------------------------------------------------------------------------- */

static const struct { const char *text; struct http_limits limits; const char *expected; } limit_rows[] = {
        /* "GET /abc HTTP/1.1" is 17 bytes; CRLF does not count */
        { "GET /abc HTTP/1.1\r\n" HOST "\r\n", { 17, 100, 10 }, "GET /abc @a.example" },
        { "GET /abc HTTP/1.1\r\n" HOST "\r\n", { 16, 100, 10 }, "414" },
        { "GET /abc HTTP/1.1\r\n" HOST "\r\n", { 8, 100, 10 }, "414" },
        { "GET /abc HTTP/1.1\r\n" HOST "\r\n", { 3, 100, 10 }, "414" },
        { "GET /abc HTTP/1.1\r\n" HOST "\r\n", { 0, 100, 10 }, "414" },
        { "\r\nGET /abc HTTP/1.1\r\n" HOST "\r\n", { 17, 100, 10 }, "GET /abc @a.example" },
        { "GET /abcdefghijklmnopqrstuvwxyz", { 20, 100, 10 }, "414" }, /* said before the line has ended */
        { "GET /abcdefghijklmno", { 20, 100, 10 }, "414" },            /* 20 bytes and no end in sight */
        { "GET /a\x01" "bcdefghijklmnopqrstuvwxyz", { 20, 100, 10 }, "400" },
        { "GET /abcdefghijklmnopqrstuvwxyz\x01", { 20, 100, 10 }, "414" },
        /* HOST is 17 bytes with its CRLF; the empty line does not count */
        { "GET / HTTP/1.1\r\n" HOST "\r\n", { 100, 17, 10 }, "GET / @a.example" },
        { "GET / HTTP/1.1\r\n" HOST "\r\n", { 100, 16, 10 }, "431" },
        { "GET / HTTP/1.1\r\n" HOST "\r\n", { 100, 15, 10 }, "431" },
        { "GET / HTTP/1.1\r\n" HOST "\r\n", { 100, 4, 10 }, "431" },
        { "GET / HTTP/1.1\r\n" HOST "\r\n", { 100, 0, 10 }, "431" },
        { "GET / HTTP/1.1\r\n" HOST "A: b\r\n\r\n", { 100, 23, 10 }, "GET / @a.example" },
        { "GET / HTTP/1.1\r\n" HOST "A: b\r\n\r\n", { 100, 22, 10 }, "431" },
        { "GET / HTTP/1.1\r\n" HOST "A: b\r\n\r\n", { 100, 17, 10 }, "431" },
        { "GET / HTTP/1.1\r\n" HOST "A: bbbbbbbbbbbbbbb", { 100, 30, 10 }, "431" }, /* before the line has ended */
        { "GET / HTTP/1.1\r\n" HOST "A\x01: bbbbbbbbbbbbbbb", { 100, 30, 10 }, "400" },
        { "GET / HTTP/1.1\r\n" HOST "AAAAAAAAAAAAAAAAAAAAAAAAAAAA", { 100, 30, 10 }, "431" },
        { "GET / HTTP/1.1\r\n" HOST "A: b\r\nC: d\r\n\r\n", { 100, 100, 3 }, "GET / @a.example" },
        { "GET / HTTP/1.1\r\n" HOST "A: b\r\nC: d\r\n\r\n", { 100, 100, 2 }, "431" },
        { "GET / HTTP/1.1\r\n" HOST "\r\n", { 100, 100, 0 }, "431" },
        { "GET / HTTP/1.0\r\n\r\n", { 100, 0, 0 }, "GET / 1.0" },
        { "GET / HTTP/1.1\r\n" HOST "\r\n", { UINT32_MAX, UINT32_MAX, UINT32_MAX }, "GET / @a.example" },
};

START_TEST(limits_are_places)
{
        size_t len = strlen(limit_rows[_i].text);

        check_every_way(limit_rows[_i].text, len, (int)len, &limit_rows[_i].limits, limit_rows[_i].expected);
}
END_TEST

/* A reload may lower the limits between two packets of a head: 414 or 431 then, or success when nothing was over; never a look beyond the bytes. */
START_TEST(limits_may_shrink_meanwhile)
{
        static const char text[] = "GET /some/path HTTP/1.1\r\n" HOST "Cookie: abc\r\n\r\n";
        static const struct http_limits none = { 0, 0, 0 };

        for (size_t cut = 0; cut < sizeof text - 1; cut++)
                for (size_t more = 0; more < 3; more++) {
                        struct http_head h;
                        size_t len = cut + more < sizeof text - 1 ? cut + more : sizeof text - 1;
                        int r;

                        http_head_init(&h);
                        ck_assert_int_eq(parse_exact(&h, text, cut, &roomy), 0);
                        r = parse_exact(&h, text, len, &none);
                        ck_assert_msg(r == 0 || r == -414 || r == -431 || r == (int)sizeof text - 1, "cut at %zu: %d", cut, r);
                }
}
END_TEST

START_TEST(fields_stop_at_what_the_struct_holds)
{
        static char text[32768];
        const struct http_limits lim = { 100, 30000, 100000 };
        struct http_head h;

        for (int count = HTTP_HEADERS_MAX; count <= HTTP_HEADERS_MAX + 1; count++) {
                size_t n = (size_t)snprintf(text, sizeof text, "GET / HTTP/1.1\r\n" HOST);

                for (int i = 1; i < count; i++)
                        n += (size_t)snprintf(text + n, sizeof text - n, "X-%d: y\r\n", i);
                n += (size_t)snprintf(text + n, sizeof text - n, "\r\n");
                http_head_init(&h);
                ck_assert_int_eq(http_head_parse(&h, text, (uint32_t)n, &lim), count <= HTTP_HEADERS_MAX ? (int)n : -431);
        }
}
END_TEST

START_TEST(name_beyond_64k_is_431)
{
        const struct http_limits lim = { 100, 200000, 100 };
        size_t start = sizeof "GET / HTTP/1.1\r\n" - 1, len = start + 70000;
        char *text = malloc(len);
        struct http_head h;

        memcpy(text, "GET / HTTP/1.1\r\n", start);
        memset(text + start, 'a', 70000);
        http_head_init(&h);
        ck_assert_int_eq(http_head_parse(&h, text, (uint32_t)len, &lim), -431);
        http_head_init(&h);
        ck_assert_int_eq(http_head_parse(&h, text, (uint32_t)start + 65535, &lim), 0);
        text[start + 65535] = ':';
        text[start + 65540] = '\x01'; /* the name of 65535 bytes is fine, this byte is not */
        ck_assert_int_eq(http_head_parse(&h, text, (uint32_t)start + 65540, &lim), 0);
        ck_assert_int_eq(http_head_parse(&h, text, (uint32_t)start + 65541, &lim), -400);
        free(text);
}
END_TEST

/* ---- fields and methods ---------------------------------------------------------------------------------------------------------- */

START_TEST(known_fields_are_found)
{
        static const char text[] = "GET / HTTP/1.1\r\nhOST: a\r\nX-Thing: 1\r\nCookie: first\r\nAccept:  text/html \r\nCookie: second\r\nEtag:\r\n\r\n";
        struct http_head h;
        struct span v;

        memset(&h, 0xa5, sizeof h); /* nothing that init leaves alone may count */
        http_head_init(&h);
        ck_assert_int_eq(http_head_parse(&h, text, sizeof text - 1, &roomy), (int)sizeof text - 1);
        ck_assert_uint_eq(h.field_count, 6);
        v = http_head_get(&h, text, IPC_H_COOKIE);
        ck_assert(span_is(v, SPAN_LIT("first")));
        ck_assert(span_is(http_head_get(&h, text, IPC_H_ACCEPT), SPAN_LIT("text/html")));
        v = http_head_get(&h, text, IPC_H_ETAG);
        ck_assert(v.ptr != NULL && v.len == 0);
        ck_assert_ptr_null(http_head_get(&h, text, IPC_H_REFERER).ptr);
        ck_assert_ptr_null(http_head_field(&h, IPC_H_RANGE));
        ck_assert_uint_eq(h.fields[1].id, IPC_H_OTHER);
        ck_assert(span_is((struct span){ text + h.fields[1].name_off, h.fields[1].name_len }, SPAN_LIT("X-Thing")));
        ck_assert_uint_eq(h.fields[0].id, IPC_H_HOST);
}
END_TEST

START_TEST(a_new_head_forgets_the_last)
{
        static const char first[] = "POST http://a/ HTTP/1.1\r\nHost: a\r\nCookie: x\r\nTransfer-Encoding: chunked\r\nExpect: 100-continue\r\nConnection: close\r\n\r\n";
        static const char second[] = "GET / HTTP/1.1\r\nHost: b\r\n\r\n";
        struct http_head h;

        http_head_init(&h);
        ck_assert_int_gt(http_head_parse(&h, first, sizeof first - 1, &roomy), 0);
        http_head_init(&h);
        ck_assert_int_gt(http_head_parse(&h, second, sizeof second - 1, &roomy), 0);
        ck_assert_str_eq(describe(&h, second, 1, 1), "GET / @b");
        ck_assert_ptr_null(http_head_field(&h, IPC_H_COOKIE));
}
END_TEST

static const struct { const char *name; uint32_t bit; } methods[] = {
        { "GET", M_GET }, { "HEAD", M_HEAD }, { "POST", M_POST }, { "PUT", M_PUT }, { "DELETE", M_DELETE }, { "PATCH", M_PATCH },
        { "OPTIONS", M_OPTIONS }, { "PROPFIND", M_OTHER }, { "GETX", M_OTHER }, { "Get", M_OTHER }, { "G", M_OTHER },
};

START_TEST(method_has_its_bit)
{
        struct http_head h;
        char text[64];
        int len = snprintf(text, sizeof text, "%s / HTTP/1.0\r\n\r\n", methods[_i].name);

        http_head_init(&h);
        ck_assert_int_eq(http_head_parse(&h, text, (uint32_t)len, &roomy), len);
        ck_assert_uint_eq(h.method, methods[_i].bit);
}
END_TEST

static bool
accepts(const char *before, int pad, char c, const char *after)
{
        char text[200], filler[41];
        struct http_head h;
        int len;

        memset(filler, 'f', sizeof filler);
        len = snprintf(text, sizeof text, "%s%.*s@fff%s\r\n\r\n", before, pad, filler, after);
        *strchr(text, '@') = c;
        http_head_init(&h);
        return parse_exact(&h, text, (size_t)len, &roomy) == len;
}

/* Every byte in every kind of place, at every place of a stride of 16, of 8 and of what is left, against rules written down once more, differently. */
START_TEST(every_byte_is_judged)
{
        const char *tchars = "!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

        for (int c = 0; c < 256; c++)
                for (int pad = 0; pad < 40; pad++) {
                        bool token = c != 0 && strchr(tchars, c) != NULL, target = c > 0x20 && c < 0x7f && c != '#', value = c == '\t' || (c >= 0x20 && c != 0x7f);

                        ck_assert_msg(accepts("GET /", pad, (char)c, " HTTP/1.0") == target, "target, byte %d behind %d", c, pad);
                        ck_assert_msg(accepts("GET / HTTP/1.0\r\nA: ", pad, (char)c, "") == value, "value, byte %d behind %d", c, pad);
                        ck_assert_msg(accepts("GET / HTTP/1.0\r\nA", pad, (char)c, ": x") == (token || c == ':'), "name, byte %d behind %d", c, pad);
                }
}
END_TEST

/* Byte by byte costs what the bytes cost: twice as long a head must not take four times as long. Counted, not timed: a parse of a prefix
 * never begins before the place where the one before it stopped. */
START_TEST(parsing_goes_on_where_it_stopped)
{
        static char text[16000];
        const struct http_limits lim = { 8192, 16384, 100 };
        struct http_head h;
        size_t n = (size_t)snprintf(text, sizeof text, "GET / HTTP/1.1\r\n" HOST "Cookie: ");
        int r = 0;

        memset(text + n, 'c', 8000);
        n += 8000;
        n += (size_t)snprintf(text + n, sizeof text - n, "\r\n\r\n");
        http_head_init(&h);
        for (size_t have = 0; have <= n && r == 0; have++) {
                char saved[64];
                size_t behind = h._pos > 64 ? h._pos - 64 : 0, wiped = h._pos - behind;

                /* What lies more than a field's start behind is not looked at again: spoil it, and put it back before the field is judged. */
                memcpy(saved, text + behind, wiped);
                if (have < n - 4 && behind > 60)
                        memset(text + behind, '\x01', wiped);
                r = http_head_parse(&h, text, (uint32_t)have, &lim);
                memcpy(text + behind, saved, wiped);
        }
        ck_assert_int_eq(r, (int)n);
}
END_TEST

static const struct { const char *host, *name; } hosts[] = {
        { "Example.COM:8080", "example.com" }, { "example.com", "example.com" }, { "[::1]:80", "[::1]" }, { "[FE80::A]", "[fe80::a]" },
        { "example.com.", "example.com" }, { "example.com.:80", "example.com" }, { "", "" }, { "a:", "a" },
        { "this.name.is.too.long.for.the.room", "" },
};

START_TEST(host_name_is_lower_case_without_port)
{
        char out[20];
        struct span got = http_host_name(span_of(hosts[_i].host), out, sizeof out);

        ck_assert_msg(span_is(got, span_of(hosts[_i].name)), "%.*s", (int)got.len, got.ptr);
}
END_TEST

/* Best first. */
static void use_avx2(void) { ck_assert(http_scan_use("avx2")); }
static void use_sse42(void) { ck_assert(http_scan_use("sse4.2")); }
static void use_neon(void) { ck_assert(http_scan_use("neon")); }
static void use_portable(void) { ck_assert(http_scan_use("portable")); }
static const struct { const char *name; void (*use)(void); } scans[] = { { "avx2", use_avx2 }, { "sse4.2", use_sse42 }, { "neon", use_neon }, { "portable", use_portable } };
#define SCANS (sizeof scans / sizeof *scans)

static const char *at_start;

START_TEST(the_best_scan_is_in_use)
{
        size_t i = 0;

        while (!http_scan_use(scans[i].name))
                i++;
        ck_assert_str_eq(at_start, scans[i].name);
        ck_assert_str_eq(http_scan_name(), scans[i].name);
        ck_assert(!http_scan_use("mmx"));
        ck_assert(http_scan_use("portable"));
}
END_TEST

static TCase *
heads_with(const char *name, void (*use)(void))
{
        TCase *t = tcase_create(name);

        tcase_add_checked_fixture(t, use, NULL);
        LOOP(t, head_is_understood_or_refused, rows);
        tcase_add_test(t, body_bytes_are_not_the_heads);
        tcase_add_test(t, unfinished_heads_want_more);
        LOOP(t, limits_are_places, limit_rows);
        tcase_add_test(t, limits_may_shrink_meanwhile);
        tcase_add_test(t, fields_stop_at_what_the_struct_holds);
        tcase_add_test(t, name_beyond_64k_is_431);
        tcase_add_test(t, known_fields_are_found);
        tcase_add_test(t, a_new_head_forgets_the_last);
        LOOP(t, method_has_its_bit, methods);
        tcase_add_test(t, every_byte_is_judged);
        tcase_add_test(t, parsing_goes_on_where_it_stopped);
        LOOP(t, host_name_is_lower_case_without_port, hosts);
        return t;
}

int
main(void)
{
        Suite *s = suite_create("http1");
        TCase *t = tcase_create("choice");

        at_start = http_scan_name();
        tcase_add_test(t, the_best_scan_is_in_use);
        suite_add_tcase(s, t);
        for (size_t i = 0; i < SCANS; i++)
                if (http_scan_use(scans[i].name))
                        suite_add_tcase(s, heads_with(scans[i].name, scans[i].use));
        return run_suite(s);
}
