/* test_listen.c - listening sockets: bound, kept over reloads, accepted from, and calm when descriptors run out.
 * SPDX-License-Identifier: MIT */
#include "server/listen.h"

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "master_fake.h"
#include "server/sockq.h"
#include "server/workers.h"
#include "t/unit/run.h"

static unsigned handed_out; /* calls */
static char name[4][64];
static struct conf_listener list[4];
static uint32_t ids[4];

/* Stands in for workers.c: nobody takes sockets, so they stay in the queue for the test to see. */
void
workers_hand_out(struct master *m)
{
        (void)m;
        handed_out++;
}

static void
setup(void)
{
        fake_setup();
        for (int i = 0; i < 3; i++) {
                snprintf(name[i], sizeof(name[i]), "127.0.0.1:%u", fake_free_port());
                list[i] = fake_listener(name[i]);
        }
        snprintf(name[3], sizeof(name[3]), "unix:/tmp/heart-test-listen-%d.sock", (int)getpid());
        list[3] = fake_listener(name[3]);
}

static int
prepare(size_t from, size_t count)
{
        struct conf c = fake_conf(list + from, count);
        struct sources s;
        int r;

        sources_init(&s);
        r = listeners_prepare(&fake, &c, ids, &fake_findings, &s);
        sources_fini(&s);
        return r;
}

static void
serve(size_t from, size_t count)
{
        ck_assert_int_eq(prepare(from, count), 0);
        listeners_commit(&fake);
}

/* How many clients of three to each of the four names get through to the queue. */
static uint32_t
queued_after(void)
{
        fake_turn_for(30);
        return sockq_count(fake.sockq);
}

START_TEST(a_socket_waits_in_the_queue_with_its_listener_and_peer)
{
        struct sockq_item item;
        uint64_t before = now_us();
        int fd;

        serve(0, 2);
        ck_assert_int_ge(fd = fake_connect(name[1]), 0);
        ck_assert_uint_eq(queued_after(), 1);
        ck_assert(sockq_take(fake.sockq, &item));
        ck_assert_uint_eq(item.socket.listener_id, ids[1]);
        ck_assert_uint_ne(ids[0], ids[1]);
        ck_assert_uint_eq(item.socket.flags, 0);
        ck_assert_int_eq(item.socket.peer.ss_family, AF_INET);
        ck_assert(item.socket.accepted_us >= before && item.socket.accepted_us <= now_us());
        ck_assert_int_eq(fcntl(item.fd, F_GETFD), FD_CLOEXEC);
        ck_assert_int_ne(fcntl(item.fd, F_GETFL) & O_NONBLOCK, 0);
        ck_assert_uint_gt(handed_out, 0);
        close(item.fd);
        close(fd);
}
END_TEST

START_TEST(a_socket_says_whether_its_listener_speaks_tls)
{
        struct sockq_item item;

        list[0].has_tls = true;
        serve(0, 1);
        ck_assert_int_ge(fake_connect(name[0]), 0);
        ck_assert_uint_eq(queued_after(), 1);
        ck_assert(sockq_take(fake.sockq, &item));
        ck_assert_uint_eq(item.socket.flags, MSG_SOCKET_TLS);
        ck_assert(item.tls);
}
END_TEST

START_TEST(any_serves_ipv4_and_ipv6)
{
        char star[32], v4[32], v6[32];
        unsigned port = fake_free_port();
        int a, b;

        snprintf(star, sizeof(star), "*:%u", port);
        snprintf(v4, sizeof(v4), "127.0.0.1:%u", port);
        snprintf(v6, sizeof(v6), "[::1]:%u", port);
        list[0] = fake_listener(star);
        serve(0, 1);
        ck_assert_int_ge(a = fake_connect(v4), 0);
        ck_assert_int_ge(b = fake_connect(v6), 0);
        ck_assert_uint_eq(queued_after(), 2);
}
END_TEST

START_TEST(ipv6_alone_leaves_ipv4_to_others)
{
        char v6[32], v4[32];
        unsigned port = fake_free_port();

        snprintf(v6, sizeof(v6), "[::1]:%u", port);
        snprintf(v4, sizeof(v4), "127.0.0.1:%u", port);
        list[0] = fake_listener(v6);
        list[1] = fake_listener(v4);
        serve(0, 2);
        ck_assert_int_ge(fake_connect(v6), 0);
        ck_assert_int_ge(fake_connect(v4), 0);
        ck_assert_uint_eq(queued_after(), 2);
}
END_TEST

START_TEST(before_commit_nobody_is_accepted_but_nobody_is_turned_away)
{
        int fd;

        ck_assert_int_eq(prepare(0, 1), 0);
        ck_assert_int_ge(fd = fake_connect(name[0]), 0);
        ck_assert_uint_eq(queued_after(), 0);
        listeners_commit(&fake);
        ck_assert_uint_eq(queued_after(), 1);
        close(fd);
}
END_TEST

START_TEST(abort_leaves_nothing_of_it)
{
        size_t fds;

        serve(0, 1);
        fds = fake_open_fds();
        ck_assert_int_eq(prepare(0, 4), 0);
        listeners_abort(&fake);
        ck_assert_uint_eq(fake_open_fds(), fds);
        ck_assert_int_eq(fake_connect(name[1]), -ECONNREFUSED);
        ck_assert_int_eq(access(name[3] + 5, F_OK), -1);
        ck_assert_int_ge(fake_connect(name[0]), 0);
        ck_assert_uint_eq(queued_after(), 1);
}
END_TEST

START_TEST(a_kept_listener_keeps_its_socket_and_id)
{
        uint32_t id;

        serve(0, 2);
        id = ids[1];
        ck_assert_int_ge(fake_connect(name[1]), 0);  /* in the backlog while the reload goes on */
        ck_assert_int_eq(prepare(1, 2), 0);
        ck_assert_uint_eq(ids[0], id);
        ck_assert_uint_ne(ids[1], id);
        listeners_commit(&fake);
        ck_assert_uint_eq(queued_after(), 1);
}
END_TEST

START_TEST(preparing_twice_binds_once)
{
        uint32_t id;

        ck_assert_int_eq(prepare(0, 1), 0);
        id = ids[0];
        ck_assert_int_eq(prepare(0, 1), 0);
        ck_assert_uint_eq(ids[0], id);
        listeners_commit(&fake);
        ck_assert_int_ge(fake_connect(name[0]), 0);
        ck_assert_uint_eq(queued_after(), 1);
}
END_TEST

START_TEST(a_vanished_listener_takes_in_who_was_there_and_closes)
{
        serve(0, 2);
        ck_assert_int_ge(fake_connect(name[0]), 0);
        serve(1, 1);
        ck_assert_uint_eq(sockq_count(fake.sockq), 1);
        ck_assert_int_eq(fake_connect(name[0]), -ECONNREFUSED);
}
END_TEST

START_TEST(a_port_in_use_is_a_finding_with_its_line)
{
        int fd = listener_bind(&list[1]);

        ck_assert_int_ge(fd, 0);
        serve(2, 1);
        ck_assert_int_eq(prepare(0, 2), -EINVAL);
        ck_assert_uint_eq(fake_findings.error_count, 1);
        ck_assert_uint_eq(fake_findings.list[0].place.line, 3);
        ck_assert_ptr_nonnull(strstr(fake_findings.list[0].text, name[1]));
        ck_assert_ptr_nonnull(strstr(fake_findings.list[0].text, "in use"));
        ck_assert_int_eq(fake_connect(name[0]), -ECONNREFUSED);
        ck_assert_int_ge(fake_connect(name[2]), 0);
        close(fd);
}
END_TEST

START_TEST(a_unix_socket_is_for_everybody_and_removed_at_the_end)
{
        struct sockq_item item;
        struct stat st;

        serve(3, 1);
        ck_assert_int_eq(stat(name[3] + 5, &st), 0);
        ck_assert_uint_eq(st.st_mode & 07777, 0666);
        ck_assert_int_ge(fake_connect(name[3]), 0);
        ck_assert_uint_eq(queued_after(), 1);
        ck_assert(sockq_take(fake.sockq, &item));
        ck_assert_int_eq(item.socket.peer.ss_family, AF_UNIX);
        close(item.fd);
        listeners_pause(&fake);
        ck_assert_int_eq(access(name[3] + 5, F_OK), -1);
}
END_TEST

START_TEST(a_stale_unix_socket_is_replaced_a_live_one_not)
{
        int fd = listener_bind(&list[3]);

        ck_assert_int_ge(fd, 0);
        ck_assert_int_eq(listener_bind(&list[3]), -EADDRINUSE);
        close(fd); /* as if killed: the file stays */
        ck_assert_int_eq(access(name[3] + 5, F_OK), 0);
        fd = listener_bind(&list[3]);
        ck_assert_int_ge(fd, 0);
        close(fd);
        unlink(name[3] + 5);
}
END_TEST

START_TEST(a_file_in_the_way_is_never_removed)
{
        int fd = open(name[3] + 5, O_CREAT | O_WRONLY, 0600);

        close(fd);
        ck_assert_int_eq(listener_bind(&list[3]), -EEXIST);
        ck_assert_int_eq(access(name[3] + 5, F_OK), 0);
        unlink(name[3] + 5);
}
END_TEST

START_TEST(somebody_elses_socket_file_is_left_alone_at_the_end)
{
        int fd;

        serve(3, 1);
        unlink(name[3] + 5);
        fd = listener_bind(&list[3]); /* another server took the place */
        listeners_pause(&fake);
        ck_assert_int_eq(access(name[3] + 5, F_OK), 0);
        close(fd);
        unlink(name[3] + 5);
}
END_TEST

START_TEST(a_full_queue_refuses_with_503)
{
        char answer[512];
        ssize_t n;
        int fd = -1;

        serve(0, 1);
        for (int i = 0; i < 9; i++) /* the queue holds 8 */
                ck_assert_int_ge(fd = fake_connect(name[0]), 0);
        ck_assert_uint_eq(queued_after(), 8);
        n = recv(fd, answer, sizeof(answer) - 1, MSG_DONTWAIT);
        ck_assert_int_gt(n, 0);
        answer[n] = '\0';
        ck_assert_int_eq(strncmp(answer, "HTTP/1.1 503 ", 13), 0);
        ck_assert_ptr_nonnull(strstr(answer, "\r\nRetry-After: 1\r\n"));
        ck_assert_uint_eq(board_sum(fake.board, C_connections_refused), 1);
}
END_TEST

/* Takes all descriptors but `spare` away. Returns the highest count of them. */
static struct rlimit limit_before;
static void
starve(void)
{
        struct rlimit l;
        int fd = dup(0);

        getrlimit(RLIMIT_NOFILE, &limit_before);
        l = limit_before;
        l.rlim_cur = (rlim_t)fd;
        close(fd);
        ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &l), 0);
}

START_TEST(without_descriptors_it_rests_and_recovers)
{
        uint64_t failed;
        int fds[3];

        serve(0, 1);
        for (int i = 0; i < 3; i++)
                ck_assert_int_ge(fds[i] = fake_connect(name[0]), 0);
        starve();
        fake_generation.conf.queue.timeout_ms = 60000; /* nobody is refused, however slow the machine */
        fake_turn_for(200); /* tries after 0, 50 and 150 ms */
        failed = board_sum(fake.board, C_accept_failed);
        ck_assert(failed >= 1 && failed <= 4);
        setrlimit(RLIMIT_NOFILE, &limit_before);
        for (int i = 0; i < 30 && sockq_count(fake.sockq) < 3; i++)
                fake_turn_for(100);
        ck_assert_uint_eq(sockq_count(fake.sockq), 3);
        ck_assert_uint_eq(board_sum(fake.board, C_connections_refused), 0);
        for (int i = 0; i < 3; i++)
                close(fds[i]);
}
END_TEST

START_TEST(who_starves_too_long_is_refused_by_the_spare_descriptor)
{
        char answer[64];
        int fd;

        serve(0, 1);
        ck_assert_int_ge(fd = fake_connect(name[0]), 0);
        starve();
        for (int i = 0; i < 40 && board_sum(fake.board, C_connections_refused) == 0; i++) /* queue.timeout is 300 ms */
                fake_turn_for(100);
        ck_assert_uint_eq(board_sum(fake.board, C_connections_refused), 1);
        ck_assert_int_gt(recv(fd, answer, sizeof(answer), MSG_DONTWAIT), 0);
        ck_assert_int_eq(strncmp(answer, "HTTP/1.1 503 ", 13), 0);
        setrlimit(RLIMIT_NOFILE, &limit_before);
        ck_assert_int_ge(fd = fake_connect(name[0]), 0);
        for (int i = 0; i < 40 && sockq_count(fake.sockq) == 0; i++)
                fake_turn_for(100);
        ck_assert_uint_eq(sockq_count(fake.sockq), 1);
}
END_TEST

START_TEST(pausing_takes_in_who_was_there_and_closes_all)
{
        serve(0, 2);
        ck_assert_int_ge(fake_connect(name[0]), 0);
        listeners_pause(&fake);
        ck_assert_uint_eq(sockq_count(fake.sockq), 1);
        ck_assert_int_eq(fake_connect(name[0]), -ECONNREFUSED);
        ck_assert_int_eq(fake_connect(name[1]), -ECONNREFUSED);
}
END_TEST

int
main(void)
{
        Suite *s = suite_create("listen");
        TCase *t = tcase_create("listen");

        tcase_add_checked_fixture(t, setup, fake_teardown);
        tcase_add_test(t, a_socket_waits_in_the_queue_with_its_listener_and_peer);
        tcase_add_test(t, a_socket_says_whether_its_listener_speaks_tls);
        tcase_add_test(t, any_serves_ipv4_and_ipv6);
        tcase_add_test(t, ipv6_alone_leaves_ipv4_to_others);
        tcase_add_test(t, before_commit_nobody_is_accepted_but_nobody_is_turned_away);
        tcase_add_test(t, abort_leaves_nothing_of_it);
        tcase_add_test(t, a_kept_listener_keeps_its_socket_and_id);
        tcase_add_test(t, preparing_twice_binds_once);
        tcase_add_test(t, a_vanished_listener_takes_in_who_was_there_and_closes);
        tcase_add_test(t, a_port_in_use_is_a_finding_with_its_line);
        tcase_add_test(t, a_unix_socket_is_for_everybody_and_removed_at_the_end);
        tcase_add_test(t, a_stale_unix_socket_is_replaced_a_live_one_not);
        tcase_add_test(t, a_file_in_the_way_is_never_removed);
        tcase_add_test(t, somebody_elses_socket_file_is_left_alone_at_the_end);
        tcase_add_test(t, a_full_queue_refuses_with_503);
        tcase_add_test(t, without_descriptors_it_rests_and_recovers);
        tcase_add_test(t, who_starves_too_long_is_refused_by_the_spare_descriptor);
        tcase_add_test(t, pausing_takes_in_who_was_there_and_closes_all);
        suite_add_tcase(s, t);
        return run_suite(s);
}
