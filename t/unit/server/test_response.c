/* test_response.c - answers as bytes: heads, pages, fixed replies, chunks, dates, and the buffer they are written to.
 * SPDX-License-Identifier: MIT */
#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "server/response.h"
#include "t/unit/run.h"

static struct response_date date; /* 2026-11-20T12:00:00Z */
static struct out out;
#define DATE "Date: Fri, 20 Nov 2026 12:00:00 GMT\r\n"

static void
setup(void)
{
        memset(&date, 0, sizeof date);
        memset(&out, 0, sizeof out);
        response_date_update(&date, 1795176000);
}

static void
teardown(void)
{
        out_fini(&out);
        out_fini(&out); /* twice is fine */
}

/* What stands in out, as a string; empties it. */
static const char *
written(void)
{
        static char text[16384];
        size_t len = out_len(&out);

        ck_assert(!out.failed && len < sizeof text);
        memcpy(text, out.buf + out.start, len);
        text[len] = '\0';
        out.start = out.end = 0;
        return text;
}

START_TEST(head_says_what_it_must)
{
        response_begin(&out, 200, 1, &date);
        response_header(&out, SPAN_LIT("Content-Type"), SPAN_LIT("text/plain"));
        response_header(&out, SPAN_LIT("X-Empty"), SPAN_LIT(""));
        response_end(&out, 1, true, BODY_LENGTH, 18446744073709551615ULL);
        ck_assert_str_eq(written(), "HTTP/1.1 200 OK\r\nServer: heart\r\n" DATE "Content-Type: text/plain\r\nX-Empty: \r\nContent-Length: 18446744073709551615\r\n\r\n");
}
END_TEST

#define HEAD "HTTP/1.1 200 OK\r\nServer: heart\r\n" DATE
static const struct { unsigned minor; bool keep_alive; enum body_kind kind; const char *text; } ends[] = {
        { 1, true, BODY_LENGTH, HEAD "Content-Length: 0\r\n\r\n" },
        { 1, false, BODY_LENGTH, HEAD "Content-Length: 0\r\nConnection: close\r\n\r\n" },
        { 0, true, BODY_LENGTH, HEAD "Content-Length: 0\r\nConnection: keep-alive\r\n\r\n" },
        { 0, false, BODY_LENGTH, HEAD "Content-Length: 0\r\nConnection: close\r\n\r\n" },
        { 1, true, BODY_CHUNKED, HEAD "Transfer-Encoding: chunked\r\n\r\n" },
        { 1, true, BODY_NONE, HEAD "\r\n" },
        { 0, false, BODY_UNTIL_CLOSE, HEAD "Connection: close\r\n\r\n" },
};

START_TEST(framing_follows_the_kind)
{
        response_begin(&out, 200, ends[_i].minor, &date);
        response_end(&out, ends[_i].minor, ends[_i].keep_alive, ends[_i].kind, 0);
        ck_assert_str_eq(written(), ends[_i].text);
}
END_TEST

START_TEST(status_without_a_row_is_still_a_status)
{
        ck_assert_str_eq(http_reason(404), "Not Found");
        ck_assert_str_eq(http_reason(299), "Unknown");
        ck_assert_str_eq(http_reason(0), "Unknown");
        ck_assert_str_eq(http_reason(1000), "Unknown");
        response_begin(&out, 299, 1, &date);
        ck_assert_str_eq(written(), "HTTP/1.1 299 Unknown\r\nServer: heart\r\n" DATE);
}
END_TEST

START_TEST(chunks_have_their_size)
{
        char big[4097];

        response_chunk(&out, SPAN_LIT("hello"));
        response_chunk(&out, SPAN_LIT("")); /* writes nothing: it would end the body */
        response_chunk(&out, SPAN_LIT("0123456789abcdef"));
        response_last_chunk(&out);
        ck_assert_str_eq(written(), "5\r\nhello\r\n10\r\n0123456789abcdef\r\n0\r\n\r\n");
        memset(big, 'b', sizeof big);
        response_chunk(&out, (struct span){ big, sizeof big });
        ck_assert_uint_eq(out_len(&out), 4097 + 8);
        ck_assert_mem_eq(out.buf, "1001\r\nb", 7);
}
END_TEST

/* ---- pages ------------------------------------------------------------------------------------------------------------------ */

static const struct { const char *accept, *type; } accepts[] = {
        { "", "text/plain; charset=utf-8" },
        { "*/*", "text/plain; charset=utf-8" },
        { "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", "text/html; charset=utf-8" },
        { "TEXT/HTML", "text/html; charset=utf-8" },
        { "text/html;q=0", "text/plain; charset=utf-8" },
        { "text/html;q=0.000, */*", "text/plain; charset=utf-8" },
        { "text/html-not", "text/plain; charset=utf-8" },
        { "application/json", "application/json" },
        { "application/json, text/plain, */*", "application/json" },
        { "application/json ; q=0.9, text/html;level=1;q=0.8", "application/json" },
        { "application/json;q=0.8, text/html;q=0.9", "text/html; charset=utf-8" },
        { "application/json, text/html", "text/html; charset=utf-8" },
        { "text/html; Q=0.5 , application/json;q=0.51", "application/json" },
        { "text/html;q=.5;,,;q, application/json;q=x", "text/plain; charset=utf-8" }, /* ".5" and "x" are no weights */
        { "\"text/html", "text/plain; charset=utf-8" },
};

static struct page page;

/* The page's body, as a string. */
static const char *
body_of(unsigned status, const char *accept)
{
        response_page(&page, status, span_of(accept));
        for (size_t i = 0; i < page.count; i++)
                out_add_span(&out, page.parts[i]);
        return written();
}

START_TEST(page_is_of_the_type_that_was_asked_for)
{
        body_of(404, accepts[_i].accept);
        ck_assert(span_is(page.type, span_of(accepts[_i].type)));
}
END_TEST

START_TEST(page_is_there_where_a_status_has_a_body)
{
        static const char *const all[] = { "text/html", "application/json", "*/*" };

        for (unsigned status = 200; status < 600; status++)
                for (size_t i = 0; i < 3; i++) {
                        size_t len = strlen(body_of(status, all[i]));

                        ck_assert_int_eq(len > 0, response_has_body(status));
                        ck_assert_int_eq(page.count > 0, response_has_body(status));
                }
}
END_TEST

START_TEST(pages_read_well)
{
        const char *text;

        ck_assert_str_eq(body_of(503, "application/json"), "{\"status\": 503, \"error\": \"Service Unavailable\"}\n");
        ck_assert_str_eq(body_of(404, "*/*"), "404 Not Found\n");
        text = body_of(404, "text/html");
        ck_assert_ptr_nonnull(strstr(text, "<h1>Not Found</h1><p>There is nothing at this address.</p>"));
        ck_assert_ptr_nonnull(strstr(text, "prefers-color-scheme: dark"));
        ck_assert_ptr_nonnull(strstr(text, "</html>\n"));
}
END_TEST

/* ---- fixed replies -------------------------------------------------------------------------------------------------------------- */

#define OK_HEAD "HTTP/1.1 200 OK\r\nServer: heart\r\nContent-Type: text/plain\r\nContent-Length: 3\r\n" DATE
static const struct { unsigned minor; bool keep_alive, head_only; const char *text; } replies[] = {
        { 1, true, false, OK_HEAD "\r\nok\n" },
        { 1, true, true, OK_HEAD "\r\n" },
        { 1, false, false, OK_HEAD "Connection: close\r\n\r\nok\n" },
        { 0, false, false, OK_HEAD "Connection: close\r\n\r\nok\n" },
        { 0, true, true, OK_HEAD "Connection: keep-alive\r\n\r\n" },
};

START_TEST(reply_is_ready_but_for_date_and_connection)
{
        struct reply r;

        ck_assert_int_eq(reply_build(200, "text/plain", SPAN_LIT("ok\n"), &r), 0);
        ck_assert_uint_eq(r.body_len, 3);
        ck_assert_mem_eq(r.body, "ok\n", 3);
        reply_add(&out, &r, replies[_i].minor, replies[_i].keep_alive, replies[_i].head_only, &date);
        ck_assert_str_eq(written(), replies[_i].text);
        reply_fini(&r);
        reply_fini(&r);
}
END_TEST

START_TEST(replies_add_up)
{
        struct reply r;
        size_t one;

        ck_assert_int_eq(reply_build(200, NULL, SPAN_LIT("x"), &r), 0);
        reply_add(&out, &r, 1, true, false, &date);
        one = out_len(&out);
        for (int i = 1; i < 100; i++)
                reply_add(&out, &r, 1, true, false, &date);
        ck_assert_uint_eq(out_len(&out), one * 100);
        ck_assert_mem_eq(out.buf + one * 99, out.buf, one);
        reply_fini(&r);
}
END_TEST

START_TEST(reply_refuses_what_would_break_a_head)
{
        struct reply r;

        ck_assert_int_eq(reply_build(200, "text/plain\r\nX: y", SPAN_LIT(""), &r), -EINVAL);
        ck_assert_int_eq(reply_build(199, "text/plain", SPAN_LIT(""), &r), -EINVAL);
        ck_assert_int_eq(reply_build(600, "text/plain", SPAN_LIT(""), &r), -EINVAL);
        ck_assert_int_eq(reply_build(205, NULL, SPAN_LIT("body"), &r), 0);
        reply_add(&out, &r, 1, true, false, &date);
        ck_assert_str_eq(written(), "HTTP/1.1 205 Reset Content\r\nServer: heart\r\nContent-Length: 0\r\n" DATE "\r\n");
        reply_fini(&r);
        ck_assert_int_eq(reply_build(204, "text/plain", SPAN_LIT("body"), &r), 0);
        reply_add(&out, &r, 1, true, false, &date);
        ck_assert_str_eq(written(), "HTTP/1.1 204 No Content\r\nServer: heart\r\n" DATE "\r\n");
        reply_fini(&r);
}
END_TEST

/* ---- the buffer -------------------------------------------------------------------------------------------------------------------- */

START_TEST(out_grows_and_uses_what_was_written)
{
        char block[1000];

        for (size_t i = 0; i < sizeof block; i++)
                block[i] = (char)i;
        for (int i = 0; i < 50; i++)
                out_add(&out, block, sizeof block);
        ck_assert_uint_eq(out_len(&out), 50000);
        out.start = 49500; /* as conn.c does after a write */
        out_add(&out, block, sizeof block);
        ck_assert_uint_eq(out_len(&out), 1500);
        ck_assert_mem_eq(out.buf + out.start, block + 500, 500);
        ck_assert_mem_eq(out.buf + out.start + 500, block, 1000);
        for (int i = 0; i < 100; i++) { /* moves down instead of growing */
                out.start += 1000;
                out_add(&out, block, sizeof block);
        }
        ck_assert_uint_eq(out_len(&out), 1500);
        ck_assert_uint_le(out.room, 65536);
        ck_assert_mem_eq(out.buf + out.start + 500, block, 1000);
}
END_TEST

START_TEST(out_without_memory_says_so_and_stays_harmless)
{
        ck_assert_ptr_null(out_reserve(&out, (size_t)UINT32_MAX + 1));
        ck_assert(out.failed);
        out_add(&out, "x", 1);
        response_begin(&out, 200, 1, &date);
        response_chunk(&out, SPAN_LIT("x"));
        ck_assert_uint_eq(out_len(&out), 0);
}
END_TEST

START_TEST(out_takes_nothing)
{
        out_add_span(&out, (struct span){ NULL, 0 });
        ck_assert_uint_eq(out_len(&out), 0);
        ck_assert_ptr_nonnull(out_reserve(&out, 0));
        ck_assert(!out.failed);
}
END_TEST

/* ---- dates --------------------------------------------------------------------------------------------------------------------------- */

static const struct { const char *text; long long t; } dates[] = { /* t -1: refused */
        { "Sun, 06 Nov 1994 08:49:37 GMT", 784111777 },   /* RFC 9110, 5.6.7 has these three */
        { "Sunday, 06-Nov-94 08:49:37 GMT", 784111777 },
        { "Sun Nov  6 08:49:37 1994", 784111777 },
        { "Thu, 01 Jan 1970 00:00:00 GMT", 0 },
        { "Thu, 29 Feb 2024 23:59:59 GMT", 1709251199 },
        { "Tue, 31 Dec 9999 23:59:59 GMT", 253402300799 },
        { "Sat, 31 Dec 2016 23:59:60 GMT", 1483228800 },  /* a leap second */
        { "Tue Feb 29 12:00:00 2000", 951825600 },
        { "Tuesday, 01-Jan-30 00:00:00 GMT", 1893456000 },
        { "Friday, 01-Jan-99 00:00:00 GMT", 915148800 },  /* 2099 is more than 50 years ahead */
        { "Wed, 29 Feb 2023 00:00:00 GMT", -1 },
        { "Thu, 29 Feb 1900 00:00:00 GMT", -1 },
        { "Sun, 31 Nov 1994 08:49:37 GMT", -1 },
        { "Sun, 00 Nov 1994 08:49:37 GMT", -1 },
        { "Sun, 06 Nov 1994 24:00:00 GMT", -1 },
        { "Sun, 06 Nov 1994 08:60:37 GMT", -1 },
        { "Sun, 06 Nov 1994 08:49:61 GMT", -1 },
        { "Sun, 06 Nov 1994 08:49:37 UTC", -1 },
        { "Sun, 06 Nov 1994 08:49:37", -1 },
        { "Sun, 6 Nov 1994 08:49:37 GMT", -1 },
        { "Sun, 06 nov 1994 08:49:37 GMT", -1 },
        { "Xxx, 06 Nov 1994 08:49:37 GMT", -1 },
        { "Sun, 06 Nov 1994 08:49:37 GMT ", -1 },
        { "Sunday, 06-Nov-1994 08:49:37 GMT", -1 },
        { "", -1 },
        { "784111777", -1 },
};

START_TEST(date_is_read)
{
        time_t t = 42;
        int r = http_date_parse(span_of(dates[_i].text), &t);

        ck_assert_int_eq(r, dates[_i].t < 0 ? -EINVAL : 0);
        ck_assert_int_eq(t, dates[_i].t < 0 ? 42 : dates[_i].t);
}
END_TEST

/* Against the C library, over eight thousand years. */
START_TEST(date_is_written_and_read_back)
{
        char text[30], expected[40];

        for (time_t t = -30000000000; t < 253402300799; t += 86399 * 37 + 11) {
                struct tm tm;
                time_t back;

                gmtime_r(&t, &tm);
                strftime(expected, sizeof expected, "%a, %d %b %Y %H:%M:%S GMT", &tm);
                http_date_format(t, text);
                ck_assert_str_eq(text, expected);
                ck_assert_int_eq(http_date_parse(span_of(text), &back), 0);
                ck_assert_int_eq(back, t);
        }
}
END_TEST

START_TEST(date_line_changes_with_the_second)
{
        response_date_update(&date, 1795176001);
        ck_assert_str_eq(date.line, "Date: Fri, 20 Nov 2026 12:00:01 GMT\r\n");
        memset(&date, 0, sizeof date);
        response_date_update(&date, 0); /* a fresh struct at second 0 is no hit */
        ck_assert_str_eq(date.line, "Date: Thu, 01 Jan 1970 00:00:00 GMT\r\n");
}
END_TEST

int
main(void)
{
        Suite *s = suite_create("response");
        TCase *t = tcase_create("answers");

        tcase_add_checked_fixture(t, setup, teardown);
        tcase_add_test(t, head_says_what_it_must);
        LOOP(t, framing_follows_the_kind, ends);
        tcase_add_test(t, status_without_a_row_is_still_a_status);
        tcase_add_test(t, chunks_have_their_size);
        LOOP(t, page_is_of_the_type_that_was_asked_for, accepts);
        tcase_add_test(t, page_is_there_where_a_status_has_a_body);
        tcase_add_test(t, pages_read_well);
        LOOP(t, reply_is_ready_but_for_date_and_connection, replies);
        tcase_add_test(t, replies_add_up);
        tcase_add_test(t, reply_refuses_what_would_break_a_head);
        tcase_add_test(t, out_grows_and_uses_what_was_written);
        tcase_add_test(t, out_without_memory_says_so_and_stays_harmless);
        tcase_add_test(t, out_takes_nothing);
        LOOP(t, date_is_read, dates);
        tcase_add_test(t, date_is_written_and_read_back);
        tcase_add_test(t, date_line_changes_with_the_second);
        suite_add_tcase(s, t);
        return run_suite(s);
}
