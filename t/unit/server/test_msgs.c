/* test_msgs.c - datagrams with descriptors between master and workers.
 * SPDX-License-Identifier: MIT */
#include "server/msgs.h"

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "t/unit/run.h"

static int ends[2];
static struct msg got;
static char tail[4096];
static int fds[MSG_FDS_MAX];
static size_t fd_count;

static void
setup(void)
{
        ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends), 0);
        memset(&got, 0, sizeof(got));
        fd_count = 0;
}

static void
teardown(void)
{
        close(ends[0]);
        close(ends[1]);
}

static int
receive(void)
{
        return msg_recv(ends[1], &got, tail, sizeof(tail), fds, &fd_count);
}

static int
open_count(void)
{
        int n = 0;

        for (int fd = 0; fd < 1024; fd++)
                n += fcntl(fd, F_GETFD) >= 0;
        return n;
}

START_TEST(head_and_tail_arrive_as_sent)
{
        struct msg m = { .kind = MSG_REFUSED, .tail_len = 5, .generation = 1ull << 40, .value = 7, .pool_id = 3, .owner = 65 };

        ck_assert_int_eq(msg_send(ends[0], &m, "hello", NULL, 0), 0);
        ck_assert_int_eq(receive(), 1);
        ck_assert_mem_eq(&got, &m, sizeof(m));
        ck_assert_mem_eq(tail, "hello", 5);
        ck_assert_uint_eq(fd_count, 0);
}
END_TEST

static const size_t counts[] = { 1, 2, 64, MSG_FDS_MAX };
START_TEST(descriptors_arrive_in_order_and_cloexec)
{
        struct msg m = { .kind = MSG_SOCKETS };
        int sent[MSG_FDS_MAX];

        for (size_t i = 0; i < counts[_i]; i++) {
                sent[i] = eventfd(0, EFD_NONBLOCK);
                eventfd_write(sent[i], i + 1);
        }
        ck_assert_int_eq(msg_send(ends[0], &m, NULL, sent, counts[_i]), 0);
        ck_assert_int_eq(receive(), 1);
        ck_assert_uint_eq(fd_count, counts[_i]);
        for (size_t i = 0; i < fd_count; i++) {
                eventfd_t v;

                ck_assert_int_eq(eventfd_read(fds[i], &v), 0);
                ck_assert_uint_eq(v, i + 1);
                ck_assert_int_eq(fcntl(fds[i], F_GETFD), FD_CLOEXEC);
        }
}
END_TEST

START_TEST(a_full_socket_says_again_and_recovers)
{
        struct msg m = { .kind = MSG_PREPARE, .tail_len = sizeof(tail) };
        int sent = 0, r;

        while ((r = msg_send(ends[0], &m, tail, NULL, 0)) == 0)
                sent++;
        ck_assert_int_eq(r, -EAGAIN);
        for (int i = 0; i < sent; i++)
                ck_assert_int_eq(receive(), 1);
        ck_assert_int_eq(receive(), -EAGAIN);
        ck_assert_int_eq(msg_send(ends[0], &m, tail, NULL, 0), 0);
}
END_TEST

START_TEST(the_end_is_told)
{
        close(ends[0]);
        ends[0] = -1;
        ck_assert_int_eq(receive(), 0);
}
END_TEST

START_TEST(the_end_is_told_when_ours_lay_unread)
{
        struct msg m = { .kind = MSG_READY };

        ck_assert_int_eq(msg_send(ends[1], &m, NULL, NULL, 0), 0);
        close(ends[0]);
        ends[0] = -1;
        ck_assert_int_eq(receive(), 0); /* the kernel says ECONNRESET */
        ck_assert_int_eq(msg_send(ends[1], &m, NULL, NULL, 0), -EPIPE);
}
END_TEST

START_TEST(a_tail_beyond_the_room_is_refused_and_its_descriptors_closed)
{
        struct msg m = { .kind = MSG_PREPARE, .tail_len = 100 };
        int fd = eventfd(0, 0), before = open_count();
        char small[99];

        ck_assert_int_eq(msg_send(ends[0], &m, tail, &fd, 1), 0);
        ck_assert_int_eq(msg_recv(ends[1], &got, small, sizeof(small), fds, &fd_count), -EPROTO);
        ck_assert_int_eq(open_count(), before);
}
END_TEST

static const struct { size_t bytes; uint32_t tail_len; } malformed[] = {
        { 1, 0 },                     /* not even a head */
        { sizeof(struct msg) - 1, 0 },
        { sizeof(struct msg), 1 },    /* promises more than it holds */
        { sizeof(struct msg) + 2, 1 },/* holds more than it promises */
        { sizeof(struct msg) + 2, UINT32_MAX },
};
START_TEST(what_makes_no_sense_is_refused)
{
        char raw[sizeof(struct msg) + 8] = { 0 };
        struct msg m = { .kind = MSG_READY, .tail_len = malformed[_i].tail_len };

        memcpy(raw, &m, sizeof(m));
        ck_assert_int_eq(send(ends[0], raw, malformed[_i].bytes, 0), (ssize_t)malformed[_i].bytes);
        ck_assert_int_eq(receive(), -EPROTO);
}
END_TEST

int
main(void)
{
        Suite *s = suite_create("msgs");
        TCase *t = tcase_create("msgs");

        tcase_add_checked_fixture(t, setup, teardown);
        tcase_add_test(t, head_and_tail_arrive_as_sent);
        LOOP(t, descriptors_arrive_in_order_and_cloexec, counts);
        tcase_add_test(t, a_full_socket_says_again_and_recovers);
        tcase_add_test(t, the_end_is_told);
        tcase_add_test(t, the_end_is_told_when_ours_lay_unread);
        tcase_add_test(t, a_tail_beyond_the_room_is_refused_and_its_descriptors_closed);
        LOOP(t, what_makes_no_sense_is_refused, malformed);
        suite_add_tcase(s, t);
        return run_suite(s);
}
