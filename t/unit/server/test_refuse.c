/* test_refuse.c - a refused client can read its 503 whatever it was saying, and costs little.
 * SPDX-License-Identifier: MIT */
#include "server/refuse.h"

#include "master_fake.h"
#include "t/unit/run.h"

void
workers_hand_out(struct master *m) /* listen.c, which the fake master has, would call it */
{
        (void)m;
}

static int ends[2]; /* 0: the client's */

static void
setup(void)
{
        struct conf_listener l;
        char name[32];
        int listening;

        fake_setup();
        snprintf(name, sizeof(name), "127.0.0.1:%u", fake_free_port());
        l = fake_listener(name);
        listening = listener_bind(&l);
        ck_assert_int_ge(ends[0] = fake_connect(name), 0);
        ck_assert_int_ge(ends[1] = accept4(listening, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC), 0);
        close(listening);
}

static void
refuse_it(bool tls, uint64_t retry_after_ms)
{
        struct sockq_item item = { .fd = ends[1], .tls = tls };

        refuse(&fake, &item, retry_after_ms);
}

static char answer[1024];

/* Everything up to the end; false when the connection was reset. */
static bool
read_all(void)
{
        size_t len = 0;
        ssize_t n;

        while ((n = recv(ends[0], answer + len, sizeof(answer) - 1 - len, MSG_DONTWAIT)) > 0)
                len += (size_t)n;
        answer[len] = '\0';
        return n == 0;
}

static const struct { uint64_t ms; const char *seconds; } retries[] = { { 0, "1" }, { 1, "1" }, { 1000, "1" }, { 1001, "2" }, { 60000, "60" } };
START_TEST(the_answer_is_whole_and_says_when_to_try_again)
{
        char line[64];

        refuse_it(false, retries[_i].ms);
        ck_assert(read_all());
        ck_assert_int_eq(strncmp(answer, "HTTP/1.1 503 Service Unavailable\r\n", 34), 0);
        snprintf(line, sizeof(line), "\r\nRetry-After: %s\r\n", retries[_i].seconds);
        ck_assert_ptr_nonnull(strstr(answer, line));
        ck_assert_ptr_nonnull(strstr(answer, "\r\nConnection: close\r\n"));
        ck_assert_ptr_nonnull(strstr(answer, "\r\nContent-Length: 20\r\n"));
        ck_assert_str_eq(strstr(answer, "\r\n\r\n"), "\r\n\r\nService Unavailable\n");
        ck_assert_uint_eq(board_sum(fake.board, C_connections_refused), 1);
}
END_TEST

START_TEST(a_client_that_was_speaking_is_not_reset)
{
        char request[8192] = { 'P' };

        ck_assert_int_eq(send(ends[0], request, sizeof(request), 0), sizeof(request)); /* unread on the server's side */
        refuse_it(false, 1000);
        ck_assert_int_eq(send(ends[0], request, sizeof(request), 0), sizeof(request)); /* and it goes on */
        fake_turn_for(50);
        ck_assert_int_eq(send(ends[0], request, sizeof(request), 0), sizeof(request));
        fake_turn_for(50);
        ck_assert(read_all());
        ck_assert_int_eq(strncmp(answer, "HTTP/1.1 503 ", 13), 0);
}
END_TEST

START_TEST(it_closes_when_the_client_does)
{
        size_t fds = fake_open_fds();

        refuse_it(false, 1000);
        ck_assert_uint_eq(fake_open_fds(), fds);
        close(ends[0]);
        fake_turn_for(50);
        ck_assert_uint_eq(fake_open_fds(), fds - 2);
}
END_TEST

START_TEST(it_closes_after_two_seconds_at_the_latest)
{
        size_t fds = fake_open_fds();
        uint64_t begin = master_now_ms();

        refuse_it(false, 1000);
        while (fake_open_fds() == fds)
                fake_turn_for(10); /* within the test's time */
        ck_assert_uint_ge(master_now_ms() - begin, 2000);
}
END_TEST

START_TEST(a_client_that_does_not_stop_talking_is_cut_off)
{
        char talk[16384] = { 0 };
        size_t fds = fake_open_fds();

        refuse_it(false, 1000);
        for (int i = 0; i < 40; i++) {
                send(ends[0], talk, sizeof(talk), MSG_DONTWAIT | MSG_NOSIGNAL);
                fake_turn_for(1);
        }
        ck_assert_uint_eq(fake_open_fds(), fds - 1);
}
END_TEST

START_TEST(tls_cannot_be_told_in_plain_text)
{
        size_t fds = fake_open_fds();

        refuse_it(true, 1000);
        ck_assert_uint_eq(fake_open_fds(), fds - 1);
        ck_assert(read_all());
        ck_assert_str_eq(answer, "");
        ck_assert_uint_eq(board_sum(fake.board, C_connections_refused), 1);
}
END_TEST

START_TEST(a_flood_lingers_within_bounds)
{
        size_t fds = fake_open_fds();

        for (int i = 0; i < 1400; i++) {
                int pair[2];
                struct sockq_item item = { 0 };

                ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
                item.fd = pair[1];
                if (i % 2 == 0)
                        close(pair[0]); /* before it could be told */
                refuse(&fake, &item, 1000);
                if (i % 2 == 1)
                        close(pair[0]);
        }
        ck_assert_uint_le(fake_open_fds(), fds + 512);
        fake_turn_for(50);
        ck_assert_uint_le(fake_open_fds(), fds); /* all had left */
        ck_assert_uint_eq(board_sum(fake.board, C_connections_refused), 1400);
}
END_TEST

int
main(void)
{
        Suite *s = suite_create("refuse");
        TCase *t = tcase_create("refuse");

        tcase_set_timeout(t, 10);
        tcase_add_checked_fixture(t, setup, fake_teardown);
        LOOP(t, the_answer_is_whole_and_says_when_to_try_again, retries);
        tcase_add_test(t, a_client_that_was_speaking_is_not_reset);
        tcase_add_test(t, it_closes_when_the_client_does);
        tcase_add_test(t, it_closes_after_two_seconds_at_the_latest);
        tcase_add_test(t, a_client_that_does_not_stop_talking_is_cut_off);
        tcase_add_test(t, tls_cannot_be_told_in_plain_text);
        tcase_add_test(t, a_flood_lingers_within_bounds);
        suite_add_tcase(s, t);
        return run_suite(s);
}
