/* test_access_log.c - lines of the access log: their formats, what is escaped, and what happens when nobody takes them.
 * SPDX-License-Identifier: MIT */
#include <check.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "router/yaml.h"
#include "server/access_log.h"
#include "server/log.h"
#include "t/unit/run.h"

static int fds[2]; /* a pipe: the log writes to fds[1] */
static struct access_log *a;
static char text[1 << 20];

static void
setup(void)
{
        signal(SIGPIPE, SIG_IGN);
        ck_assert_int_eq(pipe2(fds, O_CLOEXEC), 0);
        ck_assert_int_eq(fcntl(fds[0], F_SETFL, O_NONBLOCK), 0);
        log_level_set(LOG_LEVEL_OFF);
        a = NULL;
}

static void
teardown(void)
{
        access_log_free(a);
        close(fds[0]);
        close(fds[1]);
}

static void
begin(enum access_format format)
{
        ck_assert_int_eq(fcntl(fds[1], F_SETFL, O_NONBLOCK), 0);
        ck_assert_int_eq(access_log_new(fds[1], format, &a), 0);
}

/* All that can be read from the pipe now, as a string. */
static const char *
read_all(void)
{
        size_t len = 0;
        ssize_t n;

        while ((n = read(fds[0], text + len, sizeof text - 1 - len)) > 0)
                len += (size_t)n;
        text[len] = '\0';
        return text;
}

static struct access_entry
entry(void)
{
        return (struct access_entry){
                .client = SPAN_LIT("192.0.2.7"), .method = SPAN_LIT("GET"), .target = SPAN_LIT("/a?b=1"), .host = SPAN_LIT("example.com"),
                .referer = SPAN_LIT("https://x.example/"), .user_agent = SPAN_LIT("curl/8"), .id = 42, .status = 200, .minor = 1,
                .bytes = 1234, .duration_us = 567, .time = 1795176000, .route = "/a",
        };
}

static const char *
line_of(enum access_format format, const struct access_entry *e)
{
        begin(format);
        access_log_add(a, e);
        access_log_flush(a);
        return read_all();
}

static const char *const full[] = {
        "192.0.2.7 - - [20/Nov/2026:12:00:00 +0000] \"GET /a?b=1 HTTP/1.1\" 200 1234\n",
        "192.0.2.7 - - [20/Nov/2026:12:00:00 +0000] \"GET /a?b=1 HTTP/1.1\" 200 1234 \"https://x.example/\" \"curl/8\"\n",
        ("{\"time\":\"2026-11-20T12:00:00Z\",\"id\":42,\"client\":\"192.0.2.7\",\"host\":\"example.com\",\"method\":\"GET\",\"target\":\"/a?b=1\",\"protocol\":\"HTTP/1.1\","
        "\"status\":200,\"bytes\":1234,\"duration_us\":567,\"route\":\"/a\",\"referer\":\"https://x.example/\",\"user_agent\":\"curl/8\"}\n"),
};

static const struct { enum access_format format; const char *user, *said; } users[] = {
        { ACCESS_COMMON, "J\xc3\xbcrgen \"M\"", "192.0.2.7 - J\\xc3\\xbcrgen\\x20\\\"M\\\" [" }, /* one column still */
        { ACCESS_COMMON, "", "192.0.2.7 - - [" },
        { ACCESS_JSON, "J\xc3\xbcrgen \"M\"", "\"client\":\"192.0.2.7\",\"user\":\"J\xc3\xbcrgen \\\"M\\\"\"," },
        { ACCESS_JSON, "", "\"client\":\"192.0.2.7\",\"host\"" },
};

START_TEST(who_logged_in)
{
        struct access_entry e = entry();

        e.user = span_of(users[_i].user);
        ck_assert_msg(strstr(line_of(users[_i].format, &e), users[_i].said) != NULL, "%s", text);
}
END_TEST

START_TEST(line_has_its_format)
{
        struct access_entry e = entry();

        ck_assert_str_eq(line_of((enum access_format)_i, &e), full[_i]);
}
END_TEST

static const char *const bare[] = {
        "- - - [01/Jan/1970:00:00:00 +0000] \"-\" 400 0\n",
        "- - - [01/Jan/1970:00:00:00 +0000] \"-\" 400 0 \"-\" \"-\"\n",
        "{\"time\":\"1970-01-01T00:00:00Z\",\"id\":0,\"status\":400,\"bytes\":0,\"duration_us\":0}\n",
};

START_TEST(line_without_a_request)
{
        struct access_entry e = { .status = 400 };

        ck_assert_str_eq(line_of((enum access_format)_i, &e), bare[_i]);
}
END_TEST

START_TEST(text_from_outside_is_escaped)
{
        struct access_entry e = entry();

        e.user_agent = SPAN_LIT("a\"b\\c\td\r\n\x7f\xc3\xbc\xff\xed\xa0\x80z");
        ck_assert_ptr_nonnull(strstr(line_of(ACCESS_COMBINED, &e), " \"a\\\"b\\\\c\\x09d\\x0d\\x0a\\x7f\\xc3\\xbc\\xff\\xed\\xa0\\x80z\"\n"));
        access_log_set(a, -2, ACCESS_JSON);
        access_log_add(a, &e);
        access_log_flush(a);
        ck_assert_ptr_nonnull(strstr(read_all(), "\"user_agent\":\"a\\\"b\\\\c\\u0009d\\u000d\\u000a\\u007f\xc3\xbc\\u00ff\\u00ed\\u00a0\\u0080z\"}\n"));
}
END_TEST

/* The worst that can come: everything endless, everything to be escaped. Still a line, still JSON, still whole in a pipe. */
START_TEST(endless_text_is_cut)
{
        static char big[70000];
        struct access_entry e = entry();
        const char *line;

        memset(big, '\x01', sizeof big);
        e.client = e.method = e.target = e.host = e.referer = e.user_agent = (struct span){ big, sizeof big };
        e.id = e.bytes = e.duration_us = UINT64_MAX;
        big[sizeof big - 1] = '\0';
        e.route = big;
        line = line_of((enum access_format)_i, &e);
        ck_assert_uint_le(strlen(line), 4096);
        ck_assert_ptr_eq(strchr(line, '\n'), line + strlen(line) - 1);
        ck_assert_ptr_nonnull(strstr(line, "..."));
        if (_i == ACCESS_JSON) {
                struct arena *arena = arena_new();
                struct yaml_node *root;
                struct diags d;

                diags_init(&d);
                ck_assert_int_eq(yaml_parse("line", line, strlen(line), arena, &d, &root), 0);
                ck_assert_ptr_nonnull(yaml_get(root, "user_agent"));
                diags_fini(&d);
                arena_free(arena);
        }
}
END_TEST

START_TEST(text_that_just_fits_is_not_cut)
{
        struct access_entry e = entry();
        char agent[600];

        memset(agent, 'u', sizeof agent);
        e.user_agent = (struct span){ agent, 480 };
        ck_assert_ptr_null(strstr(line_of(ACCESS_COMBINED, &e), "..."));
}
END_TEST

START_TEST(lines_wait_for_a_flush)
{
        struct access_entry e = entry();

        begin(ACCESS_COMMON);
        access_log_add(a, &e);
        ck_assert_str_eq(read_all(), "");
        access_log_flush(a);
        ck_assert_str_eq(read_all(), full[0]);
        access_log_add(a, &e);
        access_log_free(a);
        a = NULL;
        ck_assert_str_eq(read_all(), full[0]); /* free flushes */
}
END_TEST

START_TEST(full_pipe_loses_lines_and_counts_them)
{
        struct access_entry e = entry();
        size_t len = strlen(full[0]), got;
        unsigned added = 5000;

        if (_i == 0)
                begin(ACCESS_COMMON); /* O_NONBLOCK */
        else
                ck_assert_int_eq(access_log_new(fds[1], ACCESS_COMMON, &a), 0); /* a pipe that would block: must not */
        ck_assert_int_eq(fcntl(fds[1], F_SETPIPE_SZ, 16384), 16384); /* full in the middle of a flush */
        alarm(20);
        for (unsigned i = 0; i < added; i++)
                access_log_add(a, &e);
        access_log_flush(a);
        ck_assert_uint_gt(access_log_lost(a), 0);
        got = 0;
        for (int i = 0; i < 12; i++) {
                const char *lines = read_all();

                ck_assert_uint_eq(strlen(lines) % len, 0); /* no line is torn */
                got += strlen(lines) / len;
                access_log_flush(a);
        }
        ck_assert_uint_eq(got + access_log_lost(a), added);
}
END_TEST

START_TEST(reader_that_left_costs_lines_only)
{
        struct access_entry e = entry();

        begin(ACCESS_COMMON);
        close(fds[0]);
        access_log_add(a, &e);
        access_log_add(a, &e);
        access_log_flush(a);
        ck_assert_uint_eq(access_log_lost(a), 2);
        access_log_add(a, &e);
        access_log_flush(a);
        ck_assert_uint_eq(access_log_lost(a), 3);
}
END_TEST

START_TEST(off_takes_nothing_and_loses_nothing)
{
        struct access_entry e = entry();

        ck_assert_int_eq(access_log_new(-1, ACCESS_COMMON, &a), 0);
        for (int i = 0; i < 5000; i++)
                access_log_add(a, &e);
        access_log_flush(a);
        ck_assert_uint_eq(access_log_lost(a), 0);
        access_log_set(a, fds[1], ACCESS_COMBINED); /* and on again */
        access_log_add(a, &e);
        access_log_set(a, -1, ACCESS_COMMON);
        ck_assert_str_eq(read_all(), full[1]); /* what was buffered went to the old one */
}
END_TEST

START_TEST(files_and_sockets_take_lines)
{
        struct access_entry e = entry();
        int pair[2];
        FILE *f = tmpfile();
        ssize_t n;

        ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
        ck_assert_int_eq(access_log_new(pair[0], ACCESS_COMMON, &a), 0);
        access_log_add(a, &e);
        access_log_set(a, fileno(f), ACCESS_COMMON);
        n = recv(pair[1], text, sizeof text - 1, MSG_DONTWAIT);
        ck_assert_int_eq(n, (ssize_t)strlen(full[0]));
        for (int i = 0; i < 2000; i++)
                access_log_add(a, &e);
        access_log_flush(a);
        ck_assert_int_eq(lseek(fileno(f), 0, SEEK_END), (off_t)(2000 * strlen(full[0])));
        ck_assert_uint_eq(access_log_lost(a), 0);
        fclose(f);
        access_log_set(a, -1, ACCESS_COMMON);
        close(pair[0]);
        close(pair[1]);
}
END_TEST

int
main(void)
{
        Suite *s = suite_create("access_log");
        TCase *t = tcase_create("lines");

        tcase_add_checked_fixture(t, setup, teardown);
        tcase_add_loop_test(t, line_has_its_format, 0, 3);
        tcase_add_loop_test(t, line_without_a_request, 0, 3);
        LOOP(t, who_logged_in, users);
        tcase_add_test(t, text_from_outside_is_escaped);
        tcase_add_loop_test(t, endless_text_is_cut, 0, 3);
        tcase_add_test(t, text_that_just_fits_is_not_cut);
        tcase_add_test(t, lines_wait_for_a_flush);
        tcase_add_loop_test(t, full_pipe_loses_lines_and_counts_them, 0, 2);
        tcase_add_test(t, reader_that_left_costs_lines_only);
        tcase_add_test(t, off_takes_nothing_and_loses_nothing);
        tcase_add_test(t, files_and_sockets_take_lines);
        suite_add_tcase(s, t);
        return run_suite(s);
}
