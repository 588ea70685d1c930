/* test_events.c - the master's event loop: descriptors and one-shot timers.
 * SPDX-License-Identifier: MIT */
#include "server/events.h"

#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "t/unit/run.h"

static struct master m;
static char said[4096];

static void
setup(void)
{
        memset(&m, 0, sizeof(m));
        ck_assert_int_eq(events_new(&m._events), 0);
        said[0] = '\0';
}

static void
teardown(void)
{
        events_free(m._events);
}

static void
say(const char *word)
{
        strcat(said, word);
}

static void
on_time(struct master *master, void *arg)
{
        ck_assert_ptr_eq(master, &m);
        say(arg);
}

static void
on_event(struct master *master, int fd, uint32_t epoll_events, void *arg)
{
        eventfd_t v;

        ck_assert_ptr_eq(master, &m);
        ck_assert_uint_eq(epoll_events, EPOLLIN);
        eventfd_read(fd, &v);
        say(arg);
}

static int
ringing(void)
{
        return eventfd(1, EFD_NONBLOCK);
}

/* Turns until the words were said or nothing happened for a while. */
static void
turn_until(const char *words)
{
        for (int i = 0; i < 200 && strcmp(said, words) != 0; i++)
                events_turn(&m, 10);
        ck_assert_str_eq(said, words);
}

START_TEST(a_ready_descriptor_is_told)
{
        int fd = ringing();

        ck_assert_int_eq(master_watch(&m, fd, EPOLLIN, on_event, "a"), 0);
        turn_until("a");
        events_turn(&m, 0);
        ck_assert_str_eq(said, "a");
}
END_TEST

START_TEST(what_nobody_watches_is_not_told)
{
        int fd = ringing();

        ck_assert_int_eq(master_watch(&m, fd, EPOLLIN, on_event, "a"), 0);
        master_unwatch(&m, fd);
        master_unwatch(&m, fd);
        master_unwatch(&m, -1);
        master_unwatch(&m, 100000);
        events_turn(&m, 0);
        ck_assert_str_eq(said, "");
}
END_TEST

START_TEST(watching_again_changes_it)
{
        int fd = ringing();

        ck_assert_int_eq(master_watch(&m, fd, EPOLLIN, on_event, "a"), 0);
        ck_assert_int_eq(master_watch(&m, fd, 0, on_event, "b"), 0);
        events_turn(&m, 0);
        ck_assert_str_eq(said, "");
        ck_assert_int_eq(master_watch(&m, fd, EPOLLIN, on_event, "c"), 0);
        turn_until("c");
}
END_TEST

START_TEST(a_high_descriptor_fits)
{
        int fd = ringing(), high = dup2(fd, 700);

        ck_assert_int_eq(master_watch(&m, high, EPOLLIN, on_event, "a"), 0);
        turn_until("a");
}
END_TEST

START_TEST(a_closed_descriptor_is_an_error)
{
        int fd = ringing();

        close(fd);
        ck_assert_int_eq(master_watch(&m, fd, EPOLLIN, on_event, "a"), -EBADF);
}
END_TEST

static int pair[2];

/* Both are ready in one turn: whoever is called first closes both and opens another that gets a number of theirs. */
static void
close_both(struct master *master, int fd, uint32_t epoll_events, void *arg)
{
        int fresh;

        (void)fd;
        (void)epoll_events;
        (void)arg;
        say("x");
        for (int i = 0; i < 2; i++) {
                master_unwatch(master, pair[i]);
                close(pair[i]);
        }
        fresh = eventfd(0, EFD_NONBLOCK);
        ck_assert(fresh == pair[0] || fresh == pair[1]);
        ck_assert_int_eq(master_watch(master, fresh, EPOLLIN, on_event, "stale"), 0);
        fresh = eventfd(0, EFD_NONBLOCK);
        ck_assert_int_eq(master_watch(master, fresh, EPOLLIN, on_event, "stale"), 0);
}

START_TEST(an_event_of_an_earlier_watch_is_dropped)
{
        for (int i = 0; i < 2; i++) {
                pair[i] = ringing();
                ck_assert_int_eq(master_watch(&m, pair[i], EPOLLIN, close_both, NULL), 0);
        }
        events_turn(&m, 0);
        events_turn(&m, 0);
        ck_assert_str_eq(said, "x");
}
END_TEST

START_TEST(timers_fire_in_the_order_of_their_time)
{
        static const struct { unsigned ms; const char *name; } list[] = { { 30, "d" }, { 10, "b" }, { 20, "c" }, { 0, "a" }, { 30, "e" } };

        for (size_t i = 0; i < 5; i++)
                ck_assert_ptr_nonnull(master_timer(&m, list[i].ms, on_time, (void *)list[i].name));
        turn_until("abcde");
}
END_TEST

START_TEST(a_timer_waits_its_time)
{
        uint64_t start = master_now_ms();

        master_timer(&m, 50, on_time, "a");
        while (said[0] == '\0')
                events_turn(&m, -1);
        ck_assert_uint_ge(master_now_ms() - start, 50);
        ck_assert_uint_lt(master_now_ms() - start, 1000);
}
END_TEST

START_TEST(a_cancelled_timer_is_silent)
{
        struct timer *list[64];

        for (int i = 0; i < 64; i++)
                list[i] = master_timer(&m, (uint64_t)(i * 37 % 64) / 8, on_time, i % 3 == 0 ? "k" : "x");
        for (int i = 0; i < 64; i++)
                if (i % 3 != 0)
                        master_timer_cancel(&m, list[i]);
        master_timer_cancel(&m, NULL);
        turn_until("kkkkkkkkkkkkkkkkkkkkkk");
}
END_TEST

static void
again(struct master *master, void *arg)
{
        say("t");
        if (strlen(said) < 1000)
                ck_assert_ptr_nonnull(master_timer(master, 0, again, arg));
}

START_TEST(a_chain_of_timers_does_not_starve_descriptors)
{
        int fd = ringing();

        master_watch(&m, fd, EPOLLIN, on_event, "f");
        master_timer(&m, 0, again, NULL);
        events_turn(&m, 0);
        ck_assert_str_eq(said, "tf"); /* however many fit into one millisecond */
}
END_TEST

static struct timer *other;

static void
cancel_other(struct master *master, void *arg)
{
        say(arg);
        master_timer_cancel(master, other);
}

START_TEST(a_timer_may_cancel_another_that_is_due)
{
        master_timer(&m, 0, cancel_other, "a");
        other = master_timer(&m, 0, on_time, "no");
        master_timer(&m, 0, on_time, "b");
        turn_until("ab");
}
END_TEST

/* Against a plain sorted list: the heap forgets nothing and keeps the order, whatever is cancelled. */
static uint64_t fired_last, fired_count;
static void
in_order(struct master *master, void *arg)
{
        uint64_t due = *(uint64_t *)arg;

        (void)master;
        ck_assert_uint_ge(due + 1, fired_last); /* due was read a moment before the timer was made */
        fired_last = due;
        fired_count++;
}

START_TEST(a_thousand_timers_keep_their_order)
{
        static uint64_t due[1000];
        struct timer *t[1000];
        unsigned cancelled = 0;

        srand(7);
        for (int i = 0; i < 1000; i++) {
                uint64_t delay = (uint64_t)rand() % 15 * 2;

                due[i] = master_now_ms() + delay;
                t[i] = master_timer(&m, delay, in_order, &due[i]);
        }
        for (int i = 0; i < 1000; i += 1 + rand() % 5, cancelled++)
                master_timer_cancel(&m, t[i]);
        for (int i = 0; i < 100 && fired_count < 1000 - cancelled; i++)
                events_turn(&m, 10);
        ck_assert_uint_eq(fired_count, 1000 - cancelled);
}
END_TEST

int
main(void)
{
        Suite *s = suite_create("events");
        TCase *t = tcase_create("events");

        tcase_add_checked_fixture(t, setup, teardown);
        tcase_add_test(t, a_ready_descriptor_is_told);
        tcase_add_test(t, what_nobody_watches_is_not_told);
        tcase_add_test(t, watching_again_changes_it);
        tcase_add_test(t, a_high_descriptor_fits);
        tcase_add_test(t, a_closed_descriptor_is_an_error);
        tcase_add_test(t, an_event_of_an_earlier_watch_is_dropped);
        tcase_add_test(t, timers_fire_in_the_order_of_their_time);
        tcase_add_test(t, a_timer_waits_its_time);
        tcase_add_test(t, a_cancelled_timer_is_silent);
        tcase_add_test(t, a_chain_of_timers_does_not_starve_descriptors);
        tcase_add_test(t, a_timer_may_cancel_another_that_is_due);
        tcase_add_test(t, a_thousand_timers_keep_their_order);
        suite_add_tcase(s, t);
        return run_suite(s);
}
