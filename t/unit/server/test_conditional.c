/* test_conditional.c - what If-Match and its kin make of a request. The section of RFC 9110 stands with each row.
 * SPDX-License-Identifier: MIT */
#include <check.h>
#include <stdio.h>

#include "server/conditional.h"
#include "t/unit/run.h"

#define MTIME 1795176000 /* Fri, 20 Nov 2026 12:00:00 GMT */
#define TAG "\"abc-d-1\""
#define BEFORE "Fri, 20 Nov 2026 11:59:59 GMT"
#define SAME "Fri, 20 Nov 2026 12:00:00 GMT"
#define AFTER "Fri, 20 Nov 2026 12:00:01 GMT"

static const struct { const char *section, *fields; unsigned get, post; } rows[] = { /* status: 0 goes on */
        { "13.2.1", "", 0, 0 },
        { "13.1.2", "If-None-Match: " TAG "\r\n", 304, 412 },
        { "13.1.2", "If-None-Match: W/" TAG "\r\n", 304, 412 }, /* compared weakly */
        { "13.1.2", "If-None-Match: *\r\n", 304, 412 },
        { "13.1.2", "If-None-Match: \"x\", \"y,z\" ,W/\"\", " TAG "\r\n", 304, 412 },
        { "13.1.2", "If-None-Match: \"x\"\r\nIf-None-Match: " TAG "\r\n", 304, 412 },
        { "13.1.2", "If-None-Match: \"x\"\r\n", 0, 0 },
        { "13.1.2", "If-None-Match: abc-d-1\r\n", 0, 0 },
        { "13.1.2", "If-None-Match: \"abc-d-1\r\n", 0, 0 },
        { "13.1.2", "If-None-Match: \"abc\r\n", 0, 0 },
        { "13.1.2", "If-None-Match:\r\n", 0, 0 },
        { "13.1.3", "If-Modified-Since: " SAME "\r\n", 304, 0 },
        { "13.1.3", "If-Modified-Since: " AFTER "\r\n", 304, 0 },
        { "13.1.3", "If-Modified-Since: " BEFORE "\r\n", 0, 0 },
        { "13.1.3", "If-Modified-Since: yesterday\r\n", 0, 0 },
        { "13.1.1", "If-Match: " TAG "\r\n", 0, 0 },
        { "13.1.1", "If-Match: *\r\n", 0, 0 },
        { "13.1.1", "If-Match: W/" TAG "\r\n", 412, 412 }, /* compared strongly */
        { "13.1.1", "If-Match: \"x\"\r\n", 412, 412 },
        { "13.1.4", "If-Unmodified-Since: " SAME "\r\n", 0, 0 },
        { "13.1.4", "If-Unmodified-Since: " BEFORE "\r\n", 412, 412 },
        { "13.1.4", "If-Unmodified-Since: yesterday\r\n", 0, 0 },
        { "13.2.2", "If-None-Match: \"x\"\r\nIf-Modified-Since: " AFTER "\r\n", 0, 0 },
        { "13.2.2", "If-Match: " TAG "\r\nIf-Unmodified-Since: " BEFORE "\r\n", 0, 0 },
        { "13.2.2", "If-Match: \"x\"\r\nIf-None-Match: " TAG "\r\n", 412, 412 },
        { "13.2.2", "If-None-Match: " TAG "\r\nIf-Match: " TAG "\r\n", 304, 412 },
};

static void
read_head(const char *method, const char *fields, struct http_head *h, char *text, size_t room)
{
        static const struct http_limits lim = { 8192, 16384, 100 };
        int len = snprintf(text, room, "%s / HTTP/1.1\r\nHost: a\r\n%s\r\n", method, fields);

        http_head_init(h);
        ck_assert_int_eq(http_head_parse(h, text, (uint32_t)len, &lim), len);
}

static unsigned
status_of(const char *method, const char *fields)
{
        struct validators v = { SPAN_LIT(TAG), MTIME, MTIME + 60 };
        struct http_head h;
        char text[1024];

        read_head(method, fields, &h, text, sizeof text);
        return conditional_status(&v, &h, text);
}

START_TEST(request_gets_its_status)
{
        ck_assert_msg(status_of("GET", rows[_i].fields) == rows[_i].get, "RFC 9110, %s: GET %s: %u", rows[_i].section, rows[_i].fields, status_of("GET", rows[_i].fields));
        ck_assert_msg(status_of("HEAD", rows[_i].fields) == rows[_i].get, "RFC 9110, %s: HEAD %s", rows[_i].section, rows[_i].fields);
        ck_assert_msg(status_of("POST", rows[_i].fields) == rows[_i].post, "RFC 9110, %s: POST %s: %u", rows[_i].section, rows[_i].fields, status_of("POST", rows[_i].fields));
}
END_TEST

/* 13.1.5, and 8.8.2.2 for dates: strong only when the second of the change is over. */
static const struct { const char *field; time_t now; bool holds; } if_ranges[] = {
        { "", MTIME + 60, true },
        { "If-Range: " TAG "\r\n", MTIME, true },
        { "If-Range: W/" TAG "\r\n", MTIME + 60, false },
        { "If-Range: \"x\"\r\n", MTIME + 60, false },
        { "If-Range: " TAG ", \"x\"\r\n", MTIME + 60, false },
        { "If-Range: *\r\n", MTIME + 60, false },
        { "If-Range: " SAME "\r\n", MTIME + 1, true },
        { "If-Range: " SAME "\r\n", MTIME, false },
        { "If-Range: " AFTER "\r\n", MTIME + 60, false },
        { "If-Range: " BEFORE "\r\n", MTIME + 60, false },
        { "If-Range: x\r\n", MTIME + 60, false },
        { "If-Range:\r\n", MTIME + 60, false },
};

START_TEST(if_range_holds_or_not)
{
        struct validators v = { SPAN_LIT(TAG), MTIME, if_ranges[_i].now };
        struct http_head h;
        char text[1024];

        read_head("GET", if_ranges[_i].field, &h, text, sizeof text);
        ck_assert_msg(conditional_range(&v, &h, text) == if_ranges[_i].holds, "%s", if_ranges[_i].field);
}
END_TEST

static const struct { const char *field; bool any; } seen[] = {
        { "", false }, { "Accept: */*\r\nX-If-Match: 1\r\nAccept-Ranges: bytes\r\n", false }, { "If-Match: *\r\n", true }, { "If-None-Match: *\r\n", true },
        { "If-Modified-Since: x\r\n", true }, { "If-Unmodified-Since: x\r\n", true }, { "Range: x\r\n", true }, { "If-Range: x\r\n", true },
};

START_TEST(conditions_are_seen)
{
        struct http_head h;
        char text[1024];

        read_head("GET", seen[_i].field, &h, text, sizeof text);
        ck_assert_int_eq(conditional_any(&h), seen[_i].any);
}
END_TEST

int
main(void)
{
        Suite *s = suite_create("conditional");
        TCase *t = tcase_create("rfc 9110, 13");

        LOOP(t, request_gets_its_status, rows);
        LOOP(t, if_range_holds_or_not, if_ranges);
        LOOP(t, conditions_are_seen, seen);
        suite_add_tcase(s, t);
        return run_suite(s);
}
