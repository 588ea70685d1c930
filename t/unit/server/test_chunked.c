/* test_chunked.c - chunked bodies: what they decode to, what is refused.
 * SPDX-License-Identifier: MIT
 * Every row is decoded whole, cut in two at every place, and byte by byte, out of memory that ends where the bytes end. */
#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/http1.h"
#include "t/unit/run.h"

#define TRAILER_MAX 64

/* Feeds bytes[from..to) to c, appending to body. */
static int
feed(struct http_chunked *c, const char *bytes, size_t from, size_t to, char *body, size_t *body_len, size_t *used)
{
        size_t len = to - from, n = 0, got = 0;
        char *copy = malloc(len > 0 ? len : 1);
        int r;

        memcpy(copy, bytes + from, len);
        r = http_chunked_decode(c, copy, len, TRAILER_MAX, &n, &got);
        memcpy(body + *body_len, copy, got);
        *body_len += got;
        *used += n;
        if (r == 0)
                ck_assert_uint_eq(n, len);
        free(copy);
        return r;
}

/* "body|rest" once complete, "-400", "more". cut: the first part's length; step: bytes a time after that, 0: all. */
static const char *
decode(const char *bytes, size_t len, size_t cut, size_t step)
{
        static char text[16384], body[16384];
        struct http_chunked c;
        size_t body_len = 0, used = 0, at = 0;
        int r = 0;

        http_chunked_init(&c);
        for (size_t to = cut; r == 0; to = step == 0 || len - at < step ? len : at + step) {
                r = feed(&c, bytes, at, to, body, &body_len, &used);
                if (to == len && r == 0)
                        return "more";
                at = to;
        }
        if (r < 0)
                snprintf(text, sizeof text, "%d", -r);
        else
                snprintf(text, sizeof text, "%.*s|%.*s", (int)body_len, body, (int)(len - used), bytes + used);
        return text;
}

#define ROW(text, expected) { text, sizeof(text) - 1, expected }
#define END "0\r\n\r\n"
#define E16 "eeeeeeeeeeeeeeee"
#define E256 E16 E16 E16 E16 E16 E16 E16 E16 E16 E16 E16 E16 E16 E16 E16 E16
static const struct { const char *text; size_t len; const char *expected; } rows[] = {
        ROW(END, "|"),
        ROW("5\r\nhello\r\n" END, "hello|"),
        ROW("5\r\nhello\r\n7\r\n, world\r\n" END, "hello, world|"),
        ROW("3\r\na\r\n\r\n" END, "a\r\n|"), /* data is data, whatever it looks like */
        ROW("0A\r\n0123456789\r\n" END, "0123456789|"),
        ROW("a\r\n0123456789\r\n00\r\n\r\n", "0123456789|"),
        ROW("1\r\nx\r\n" END "GET / HTTP/1.1\r\n", "x|GET / HTTP/1.1\r\n"), /* the next request stays */
        ROW("", "more"),
        ROW("5", "more"),
        ROW("5\r\nhel", "more"),
        ROW("5\r\nhello\r\n", "more"),
        ROW("0\r\n", "more"),
        ROW("0\r\n\r", "more"),

        /* RFC 9112, 7.1: chunk-size is hex digits */
        ROW("+5\r\nhello\r\n" END, "400"),
        ROW("-1\r\nhello\r\n" END, "400"),
        ROW("0x5\r\nhello\r\n" END, "400"),
        ROW(" 5\r\nhello\r\n" END, "400"),
        ROW("5 \r\nhello\r\n" END, "400"),
        ROW("5\t\r\nhello\r\n" END, "400"),
        ROW("5 ;a\r\nhello\r\n" END, "400"),
        ROW("\r\nhello\r\n" END, "400"),
        ROW(";a\r\n", "400"),
        ROW("g\r\n", "400"),
        ROW("5_\r\n", "400"),
        ROW("5,5\r\n", "400"),
        ROW("5\0\r\n", "400"),
        ROW("\xef\xbc\x95\r\nhello\r\n" END, "400"), /* a full-width five */
        ROW("7fffffffffffffff\r\nx", "more"),
        ROW("8000000000000000\r\nx", "400"),
        ROW("ffffffffffffffff\r\nx", "400"),
        ROW("10000000000000000\r\nx", "400"),
        ROW("0000000000000005\r\nhello\r\n" END, "hello|"),
        ROW("00000000000000005\r\nhello\r\n" END, "400"),

        /* lines and data end in CRLF */
        ROW("5\nhello\r\n" END, "400"),
        ROW("5\rhello\r\n" END, "400"),
        ROW("5\r\r\nhello\r\n" END, "400"),
        ROW("5\r\nhello\n" END, "400"),
        ROW("5\r\nhello" END, "400"),
        ROW("5\r\nhello\rx" END, "400"),
        ROW("5\r\nhellox\n" END, "400"),
        ROW("5\r\nhello6\r\n" END, "400"),
        ROW("4\r\nhello\r\n" END, "400"),
        ROW("0\n\r\n", "400"),
        ROW("0\r\n\n", "400"),
        ROW("0\r\n\rx", "400"),

        /* RFC 9112, 7.1.1: extensions, tolerated when well-formed and short */
        ROW("5;a\r\nhello\r\n" END, "hello|"),
        ROW("5;a=b;c=\"d;\\\" \te\"\r\nhello\r\n0;x\r\n\r\n", "hello|"),
        ROW("5; a = b ;\tc\r\nhello\r\n" END, "400"), /* a blank behind a value */
        ROW("5; a = b;\tc = \"\"\r\nhello\r\n" END, "hello|"),
        ROW("5;a \r\nhello\r\n" END, "400"),
        ROW("5;\r\nhello\r\n" END, "400"),
        ROW("5;a;\r\nhello\r\n" END, "400"),
        ROW("5;a=\r\nhello\r\n" END, "400"),
        ROW("5;=a\r\nhello\r\n" END, "400"),
        ROW("5;a=b=c\r\nhello\r\n" END, "400"),
        ROW("5;a=\"b\r\nhello\r\n" END, "400"),
        ROW("5;a=\"b\nc\"\r\nhello\r\n" END, "400"),
        ROW("5;a=\"b\"c\r\nhello\r\n" END, "400"),
        ROW("5;a=\"\\\r\"\r\nhello\r\n" END, "400"),
        ROW("5;a\nb\r\nhello\r\n" END, "400"), /* the LF that some take for a line's end: a way to smuggle */
        ROW("5;a\rb\r\nhello\r\n" END, "400"),
        ROW("5;a\0\r\nhello\r\n" END, "400"),
        ROW("1;" E256 E256 E256 "\r\nx\r\n" END, "x|"),
        ROW("1;" E256 E256 E256 E256 "\r\nx\r\n" END, "x|"),
        ROW("1;" E256 E256 E256 E256 "e\r\nx\r\n" END, "400"),
        ROW("1;" E256 E256 E256 "\r\nx\r\n1;" E256 "ee\r\ny\r\n" END, "400"), /* together too long */
        ROW("1;" E256 E256 E256 "\r\nx\r\n100\r\n" E256 "\r\n100\r\n" E256 "\r\n1;" E256 E256 "\r\ny\r\n" END, "x" E256 E256 "y|"), /* paid for by data */

        /* RFC 9112, 7.1.2: trailers, checked and dropped */
        ROW("0\r\nA: b\r\n\r\nnext", "|next"),
        ROW("0\r\nA: b\r\nC:\r\n\r\n", "|"),
        ROW("0\r\nA: \xff\t b\r\n\r\n", "|"),
        ROW("0\r\nA b\r\n\r\n", "400"),
        ROW("0\r\nA : b\r\n\r\n", "400"),
        ROW("0\r\n: b\r\n\r\n", "400"),
        ROW("0\r\n A: b\r\n\r\n", "400"),
        ROW("0\r\nA: b\r\n c\r\n\r\n", "400"),
        ROW("0\r\nA: b\n\r\n", "400"),
        ROW("0\r\nA: b\rc\r\n\r\n", "400"),
        ROW("0\r\nA: \x01\r\n\r\n", "400"),
        ROW("0\r\nA: \0\r\n\r\n", "400"),
        ROW("0\r\nA\r\n\r\n", "400"),
        ROW("0\r\nGET / HTTP/1.1\r\n", "400"),
        /* 64 bytes of trailers with their CRLF are the most: "A: " and 59 more and CRLF */
        ROW("0\r\nA: " E16 E16 E16 "eeeeeeeeeee\r\n\r\n", "|"),
        ROW("0\r\nA: " E16 E16 E16 "eeeeeeeeeeee\r\n\r\n", "431"),
        ROW("0\r\nA: " E256, "431"),
};

START_TEST(body_is_decoded_or_refused)
{
        const char *text = rows[_i].text, *expected = rows[_i].expected;
        size_t len = rows[_i].len;

        ck_assert_str_eq(decode(text, len, len, 0), expected);
        for (size_t cut = 0; cut <= len; cut++)
                ck_assert_msg(strcmp(decode(text, len, cut, 0), expected) == 0, "cut at %zu: %s", cut, decode(text, len, cut, 0));
        for (size_t step = 1; step < 5; step++)
                ck_assert_msg(strcmp(decode(text, len, 0, step), expected) == 0, "%zu bytes a time: %s", step, decode(text, len, 0, step));
}
END_TEST

START_TEST(left_says_what_a_chunk_still_lacks)
{
        struct http_chunked c;
        char buf[] = "10\r\nabc";
        size_t used, body;

        http_chunked_init(&c);
        ck_assert_int_eq(http_chunked_decode(&c, buf, 7, 0, &used, &body), 0);
        ck_assert_uint_eq(c.left, 13);
        ck_assert_uint_eq(body, 3);
        ck_assert_mem_eq(buf, "abc", 3);
}
END_TEST

START_TEST(nothing_is_taken_behind_the_end)
{
        struct http_chunked c;
        char buf[] = "0\r\n\r\n1\r\nx";
        size_t used = 77, body = 77;

        http_chunked_init(&c);
        ck_assert_int_eq(http_chunked_decode(&c, buf, sizeof buf - 1, 0, &used, &body), 1);
        ck_assert_uint_eq(used, 5);
        ck_assert_int_eq(http_chunked_decode(&c, buf + 5, sizeof buf - 6, 0, &used, &body), 1);
        ck_assert_uint_eq(used, 0);
        ck_assert_uint_eq(body, 0);
}
END_TEST

/* Chunks of every size around the strides of memmove, then taken apart at odd places. */
START_TEST(data_survives_many_chunks)
{
        static char in[200000], want[60000], body[60000];
        size_t n = 0, total = 0, body_len = 0, used = 0, at = 0;
        struct http_chunked c;
        int r = 0;

        for (unsigned size = 1; size < 300; size++) {
                n += (size_t)snprintf(in + n, sizeof in - n, "%X\r\n", size);
                for (unsigned i = 0; i < size; i++)
                        want[total + i] = in[n + i] = (char)(size * 7 + i);
                n += size;
                total += size;
                n += (size_t)snprintf(in + n, sizeof in - n, "\r\n");
        }
        n += (size_t)snprintf(in + n, sizeof in - n, "0\r\n\r\n");
        http_chunked_init(&c);
        for (size_t step = 1; r == 0; step = step % 97 + 13) {
                size_t to = n - at < step ? n : at + step;

                r = feed(&c, in, at, to, body, &body_len, &used);
                at = to;
        }
        ck_assert_int_eq(r, 1);
        ck_assert_uint_eq(body_len, total);
        ck_assert_mem_eq(body, want, total);
}
END_TEST

int
main(void)
{
        Suite *s = suite_create("chunked");
        TCase *t = tcase_create("bodies");

        LOOP(t, body_is_decoded_or_refused, rows);
        tcase_add_test(t, left_says_what_a_chunk_still_lacks);
        tcase_add_test(t, nothing_is_taken_behind_the_end);
        tcase_add_test(t, data_survives_many_chunks);
        suite_add_tcase(s, t);
        return run_suite(s);
}
