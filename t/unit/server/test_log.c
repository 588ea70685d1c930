/* test_log.c - a log line is whole, one line, never blocks and is never lost in silence.
 * SPDX-License-Identifier: MIT */
#include "server/log.h"

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "t/unit/run.h"

static char path[64], text[1 << 20];

static void
setup(void)
{
        int fd;

        snprintf(path, sizeof(path), "/tmp/heart-test-log-XXXXXX");
        fd = mkstemp(path);
        ck_assert_int_ge(fd, 0);
        close(fd);
        signal(SIGPIPE, SIG_IGN);
        log_role("master");
        ck_assert_int_eq(log_open(path, LOG_LEVEL_INFO), 0);
}

static void
teardown(void)
{
        unlink(path);
}

static const char *
written(void)
{
        int fd = open(path, O_RDONLY);
        ssize_t n = read(fd, text, sizeof(text) - 1);

        close(fd);
        text[n > 0 ? n : 0] = '\0';
        return text;
}

/* The text of the last line, behind "who[pid]: ". */
static const char *
said(void)
{
        char *colon;

        written();
        colon = strstr(text, "]: ");
        ck_assert_ptr_nonnull(colon);
        ck_assert_int_eq(text[strlen(text) - 1], '\n');
        text[strlen(text) - 1] = '\0';
        return colon + 3;
}

START_TEST(a_line_says_when_how_bad_who_and_what)
{
        int y, mo, d, h, mi, s, ms, pid, used = 0;

        log_error("conn %d: %s", 41, "closing");
        ck_assert_int_eq(sscanf(written(), "%4d-%2d-%2dT%2d:%2d:%2d.%3dZ error master[%d]: conn 41: closing\n%n", &y, &mo, &d, &h, &mi, &s, &ms, &pid, &used), 8);
        ck_assert_int_eq(pid, getpid());
        ck_assert_uint_eq(strlen(text), (size_t)used);
}
END_TEST

START_TEST(below_its_level_nothing_is_written)
{
        log_debug("no");
        ck_assert_str_eq(written(), "");
        log_level_set(LOG_LEVEL_OFF);
        log_alert("no");
        ck_assert_str_eq(written(), "");
        ck_assert(!log_enabled(LOG_LEVEL_ALERT));
        log_level_set(LOG_LEVEL_DEBUG);
        log_debug("yes");
        ck_assert_str_eq(said(), "yes");
}
END_TEST

static const struct { const char *in, *out; } shown[] = {
        { "tab\tstays", "tab\tstays" },
        { "two\nlines", "two\\x0alines" },
        { "\x1b[31mred", "\\x1b[31mred" },
        { "gr\xc3\xbc\xc3\x9f", "gr\xc3\xbc\xc3\x9f" },   /* UTF-8 stays */
        { "\xe2\x82\xac \xf0\x9f\x92\x93", "\xe2\x82\xac \xf0\x9f\x92\x93" },
        { "cut \xe2\x82", "cut \\xe2\\x82" },
        { "\xc0\xaf", "\\xc0\\xaf" },                     /* overlong */
        { "\xed\xa0\x80", "\\xed\\xa0\\x80" },            /* a surrogate */
        { "\xc2\x9b", "\\xc2\\x9b" },                     /* C1: a terminal's CSI */
        { "\xe2\x80\xae", "\\xe2\\x80\\xae" },            /* right-to-left override */
        { "\x7f\xff", "\\x7f\\xff" },
        { "back\\slash", "back\\slash" },
};
START_TEST(text_stays_one_harmless_line)
{
        log_info("%s", shown[_i].in);
        ck_assert_str_eq(said(), shown[_i].out);
}
END_TEST

START_TEST(a_long_line_is_cut_to_what_a_pipe_takes_whole)
{
        char *big = malloc(10001);

        memset(big, 'a', 10000);
        big[10000] = '\0';
        log_info("%s", big);
        written();
        ck_assert_uint_le(strlen(text), 4096);
        ck_assert_int_eq(text[strlen(text) - 1], '\n');
        free(big);
}
END_TEST

START_TEST(an_apps_long_line_goes_on_and_nothing_is_lost)
{
        char *big = malloc(10000);
        size_t a_count = 0;

        memset(big, 'a', 10000);
        log_app_line("shop", 456, true, (struct span){ big, 10000 });
        ck_assert_ptr_nonnull(strstr(written(), "warning app shop[456]: aaa"));
        ck_assert_ptr_nonnull(strstr(text, "app shop[456]: ... aaa"));
        for (const char *p = strstr(text, "aaa"); *p != '\0'; p++)
                a_count += *p == 'a' && (p[1] == 'a' || p[-1] == 'a');
        ck_assert_uint_ge(a_count, 10000);
        free(big);
}
END_TEST

START_TEST(an_apps_output_is_tagged)
{
        log_app_line("shop", 456, false, SPAN_LIT("hello"));
        ck_assert_ptr_nonnull(strstr(written(), " info app shop[456]: hello\n"));
        log_app_line("shop", 456, false, SPAN_LIT(""));
        ck_assert_ptr_nonnull(strstr(written(), " info app shop[456]: \n"));
}
END_TEST

static const struct { const char *in; size_t len, room; const char *out; } quotes[] = {
        { "GET /", 5, 64, "\"GET /\"" },
        { "a\"b\\c", 5, 64, "\"a\\\"b\\\\c\"" },
        { "a\r\n\0b", 5, 64, "\"a\\x0d\\x0a\\x00b\"" },
        { "\xc3\xbc", 2, 64, "\"\\xc3\\xbc\"" },
        { "abcdefgh", 8, 12, "\"abcdef...\"" },
        { "ab\x01gh", 5, 10, "\"ab...\"" },      /* never half an escape */
        { "", 0, 8, "\"\"" },
        { "abc", 3, 4, "" },
};
START_TEST(quoting_escapes_and_cuts_to_fit)
{
        char out[80];

        memset(out, '#', sizeof(out));
        ck_assert_str_eq(log_quote((struct span){ quotes[_i].in, quotes[_i].len }, out, quotes[_i].room), quotes[_i].out);
        ck_assert_int_eq(out[quotes[_i].room], '#');
}
END_TEST

/* Fills the pipe, logs three lines into nowhere, makes room and logs a fourth. */
static void
lose_three(int in, int out)
{
        static char fill[4096];
        ssize_t n;

        while (write(in, fill, sizeof(fill)) > 0 || (errno == EAGAIN && write(in, fill, 1) > 0))
                ;
        for (int i = 0; i < 3; i++)
                log_info("nobody reads this");
        while ((n = read(out, text, sizeof(text))) > 0)
                ;
        log_info("back again");
        n = read(out, text, sizeof(text) - 1);
        ck_assert_int_gt(n, 0);
        text[n] = '\0';
        ck_assert_ptr_nonnull(strstr(text, "log: 3 lines were lost here"));
        ck_assert_ptr_nonnull(strstr(text, "back again\n"));
        ck_assert_ptr_null(strstr(text, "nobody"));
}

START_TEST(a_full_pipe_loses_lines_and_says_how_many)
{
        int p[2];

        ck_assert_int_eq(pipe2(p, O_NONBLOCK | O_CLOEXEC), 0);
        ck_assert_int_eq(log_adopt(fcntl(p[1], F_DUPFD_CLOEXEC, 3)), 0);
        lose_three(p[1], p[0]);
}
END_TEST

START_TEST(a_full_pipe_of_somebody_else_does_not_block)
{
        int p[2], writer;
        char name[40];

        ck_assert_int_eq(pipe2(p, O_CLOEXEC), 0); /* blocking, and not ours to change */
        ck_assert_int_eq(log_adopt(fcntl(p[1], F_DUPFD_CLOEXEC, 3)), 0);
        snprintf(name, sizeof(name), "/proc/self/fd/%d", p[1]);
        writer = open(name, O_WRONLY | O_NONBLOCK | O_CLOEXEC);
        fcntl(p[0], F_SETFL, O_NONBLOCK);
        alarm(5);
        lose_three(writer, p[0]);
        ck_assert_int_eq(fcntl(p[1], F_GETFL) & O_NONBLOCK, 0);
}
END_TEST

START_TEST(a_socket_as_log_does_not_block)
{
        int p[2];

        ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, p), 0);
        ck_assert_int_eq(log_adopt(fcntl(p[1], F_DUPFD_CLOEXEC, 3)), 0);
        alarm(5);
        for (int i = 0; i < 100000; i++)
                log_info("nobody reads this");
        close(p[0]);
        log_info("nor this");
}
END_TEST

START_TEST(stderr_keeps_its_flags)
{
        int p[2];

        ck_assert_int_eq(pipe2(p, O_CLOEXEC), 0);
        dup2(p[1], STDERR_FILENO);
        ck_assert_int_eq(log_open("-", LOG_LEVEL_INFO), 0);
        ck_assert_int_ne(log_fd(), STDERR_FILENO);
        ck_assert_int_eq(fcntl(STDERR_FILENO, F_GETFL) & O_NONBLOCK, 0);
        log_info("hello");
        ck_assert_int_gt(read(p[0], text, sizeof(text)), 0);
}
END_TEST

START_TEST(reopening_follows_a_renamed_file)
{
        char moved[80];
        int before = log_fd();

        log_info("one");
        snprintf(moved, sizeof(moved), "%s.1", path);
        ck_assert_int_eq(rename(path, moved), 0);
        log_info("two");
        ck_assert_int_eq(log_open(path, LOG_LEVEL_INFO), 0);
        ck_assert_int_eq(log_fd(), before); /* threads that are about to write never meet a closed descriptor */
        log_info("three");
        ck_assert_ptr_nonnull(strstr(written(), "three"));
        ck_assert_ptr_null(strstr(text, "two"));
        unlink(moved);
}
END_TEST

START_TEST(what_cannot_be_opened_leaves_the_old_log)
{
        ck_assert_int_eq(log_open("/nonexistent/log", LOG_LEVEL_DEBUG), -ENOENT);
        ck_assert(!log_enabled(LOG_LEVEL_DEBUG));
        log_info("still here");
        ck_assert_str_eq(said(), "still here");
}
END_TEST

static void *
chatter(void *arg)
{
        for (int i = 0; i < 500; i++)
                log_info("thread %d says %d and a little more so that a torn line would show", *(int *)arg, i);
        return NULL;
}

START_TEST(lines_of_many_threads_stay_whole)
{
        pthread_t t[4];
        int id[4], lines = 0;

        for (int i = 0; i < 4; i++) {
                id[i] = i;
                pthread_create(&t[i], NULL, chatter, &id[i]);
        }
        for (int i = 0; i < 4; i++)
                pthread_join(t[i], NULL);
        written();
        for (char *line = strtok(text, "\n"); line != NULL; line = strtok(NULL, "\n"), lines++)
                ck_assert(strstr(line, " info master[") != NULL && strcmp(line + strlen(line) - 5, " show") == 0);
        ck_assert_int_eq(lines, 2000);
}
END_TEST

START_TEST(errno_survives_a_log_line)
{
        errno = ENOTTY;
        log_info("x");
        ck_assert_int_eq(errno, ENOTTY);
}
END_TEST

int
main(void)
{
        Suite *s = suite_create("log");
        TCase *t = tcase_create("log");

        tcase_add_checked_fixture(t, setup, teardown);
        tcase_add_test(t, a_line_says_when_how_bad_who_and_what);
        tcase_add_test(t, below_its_level_nothing_is_written);
        LOOP(t, text_stays_one_harmless_line, shown);
        tcase_add_test(t, a_long_line_is_cut_to_what_a_pipe_takes_whole);
        tcase_add_test(t, an_apps_long_line_goes_on_and_nothing_is_lost);
        tcase_add_test(t, an_apps_output_is_tagged);
        LOOP(t, quoting_escapes_and_cuts_to_fit, quotes);
        tcase_add_test(t, a_full_pipe_loses_lines_and_says_how_many);
        tcase_add_test(t, a_full_pipe_of_somebody_else_does_not_block);
        tcase_add_test(t, a_socket_as_log_does_not_block);
        tcase_add_test(t, stderr_keeps_its_flags);
        tcase_add_test(t, reopening_follows_a_renamed_file);
        tcase_add_test(t, what_cannot_be_opened_leaves_the_old_log);
        tcase_add_test(t, lines_of_many_threads_stay_whole);
        tcase_add_test(t, errno_survives_a_log_line);
        suite_add_tcase(s, t);
        return run_suite(s);
}
