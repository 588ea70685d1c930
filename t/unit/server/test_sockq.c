/* test_sockq.c - the queue of accepted sockets: no network in it, so descriptors are plain numbers here.
 * SPDX-License-Identifier: MIT */
#include "server/sockq.h"

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "t/unit/run.h"

static struct sockq_item
item(int fd, uint64_t accepted_us)
{
        return (struct sockq_item){ .fd = fd, .socket = { .accepted_us = accepted_us } };
}

static int
put(struct sockq *q, int fd)
{
        struct sockq_item i = item(fd, (uint64_t)fd);

        return sockq_put(q, &i);
}

static int
take(struct sockq *q)
{
        struct sockq_item i;

        return sockq_take(q, &i) ? i.fd : -1;
}

static void
empty_and_free(struct sockq *q)
{
        while (take(q) >= 0)
                ; /* the numbers are no descriptors: sockq_free must not close them */
        sockq_free(q);
}

START_TEST(first_in_is_first_out)
{
        struct sockq *q = sockq_new(8);

        for (int fd = 100; fd < 105; fd++)
                ck_assert_int_eq(put(q, fd), 0);
        ck_assert_uint_eq(sockq_count(q), 5);
        for (int fd = 100; fd < 105; fd++)
                ck_assert_int_eq(take(q), fd);
        ck_assert_int_eq(take(q), -1);
        sockq_free(q);
}
END_TEST

static const uint32_t sizes[] = { 0, 1, 63, 64, 65, 1000 };
START_TEST(full_is_exactly_its_size)
{
        struct sockq *q = sockq_new(sizes[_i]);

        for (uint32_t n = 0; n < sizes[_i]; n++)
                ck_assert_int_eq(put(q, (int)n), 0);
        ck_assert_int_eq(put(q, 9999), -EAGAIN);
        if (sizes[_i] > 0) {
                ck_assert_int_eq(take(q), 0);
                ck_assert_int_eq(put(q, 9999), 0);
        }
        empty_and_free(q);
}
END_TEST

START_TEST(order_survives_growing_while_wrapped)
{
        struct sockq *q = sockq_new(4096);
        int in = 0, out = 0;

        for (int round = 0; round < 200; round++) { /* seven in, five out: the ring wraps and grows in all positions */
                for (int i = 0; i < 7; i++)
                        ck_assert_int_eq(put(q, in++), 0);
                for (int i = 0; i < 5; i++)
                        ck_assert_int_eq(take(q), out++);
        }
        while (out < in)
                ck_assert_int_eq(take(q), out++);
        sockq_free(q);
}
END_TEST

START_TEST(what_is_given_back_is_the_next_to_be_taken)
{
        struct sockq *q = sockq_new(64);
        struct sockq_item a, b;

        for (int fd = 0; fd < 64; fd++)
                put(q, fd);
        ck_assert(sockq_take(q, &a) && sockq_take(q, &b));
        sockq_give_back(q, &b);
        sockq_give_back(q, &a);
        ck_assert_uint_eq(sockq_count(q), 64);
        ck_assert_int_eq(take(q), 0);
        ck_assert_int_eq(take(q), 1);
        ck_assert_int_eq(take(q), 2);
        empty_and_free(q);
}
END_TEST

static const struct { uint64_t accepted, now, timeout; bool late; } ages[] = {
        { 1000, 1999, 1000, false },
        { 1000, 2000, 1000, true },   /* as long as the timeout is too long */
        { 1000, 5000, 1000, true },
        { 1000,  999, 1000, false },  /* a clock read a moment earlier */
        { 1000, 1000,    0, true },
};
START_TEST(who_waited_too_long_is_late)
{
        struct sockq *q = sockq_new(4);
        struct sockq_item i = item(7, ages[_i].accepted), late;

        sockq_put(q, &i);
        ck_assert_int_eq(sockq_take_late(q, ages[_i].now, ages[_i].timeout, &late), ages[_i].late);
        ck_assert_uint_eq(sockq_count(q), ages[_i].late ? 0 : 1);
        empty_and_free(q);
}
END_TEST

START_TEST(an_empty_queue_has_no_oldest)
{
        struct sockq *q = sockq_new(4);
        struct sockq_item i;
        uint64_t when = 77;

        ck_assert(!sockq_oldest(q, &when) && when == 77);
        ck_assert(!sockq_take_late(q, UINT64_MAX, 0, &i));
        sockq_free(q);
        sockq_free(NULL);
}
END_TEST

START_TEST(a_smaller_size_throws_nobody_out)
{
        struct sockq *q = sockq_new(10);

        for (int fd = 0; fd < 10; fd++)
                put(q, fd);
        sockq_resize(q, 3);
        ck_assert_uint_eq(sockq_count(q), 10);
        ck_assert_int_eq(put(q, 99), -EAGAIN);
        for (int fd = 0; fd < 8; fd++)
                ck_assert_int_eq(take(q), fd);
        ck_assert_int_eq(put(q, 99), 0);
        empty_and_free(q);
}
END_TEST

START_TEST(freeing_closes_what_waits)
{
        struct sockq *q = sockq_new(4);
        int fd = open("/dev/null", O_RDONLY);

        put(q, fd);
        sockq_free(q);
        ck_assert_int_eq(fcntl(fd, F_GETFD), -1);
}
END_TEST

int
main(void)
{
        Suite *s = suite_create("sockq");
        TCase *t = tcase_create("sockq");

        tcase_add_test(t, first_in_is_first_out);
        LOOP(t, full_is_exactly_its_size, sizes);
        tcase_add_test(t, order_survives_growing_while_wrapped);
        tcase_add_test(t, what_is_given_back_is_the_next_to_be_taken);
        LOOP(t, who_waited_too_long_is_late, ages);
        tcase_add_test(t, an_empty_queue_has_no_oldest);
        tcase_add_test(t, a_smaller_size_throws_nobody_out);
        tcase_add_test(t, freeing_closes_what_waits);
        suite_add_tcase(s, t);
        return run_suite(s);
}
