/* test_blocking.c - blocking.c: what is heavy leaves room for what waits for a disk. SPDX-License-Identifier: MIT */
#include "../../../server/blocking.h"

#include <check.h>
#include <errno.h>
#include <poll.h>
#include <semaphore.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "t/unit/run.h"

struct try {
        struct job job;
        int number;
        bool waits;        /* until it is let go */
};

static struct loop loop; /* as far as loop_post goes */
static struct blocking *b;
static sem_t begun, let_go;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static int order[4096], order_count, running_heavy, most_heavy;

static void
work(struct job *j)
{
        struct try *t = (struct try *)(void *)j;

        pthread_mutex_lock(&lock);
        order[order_count++] = t->number;
        running_heavy += j->heavy;
        if (running_heavy > most_heavy)
                most_heavy = running_heavy;
        pthread_mutex_unlock(&lock);
        sem_post(&begun);
        if (t->waits)
                while (sem_wait(&let_go) < 0)
                        ;
        pthread_mutex_lock(&lock);
        running_heavy -= j->heavy;
        pthread_mutex_unlock(&lock);
}

static struct try *
run(int number, bool heavy, bool waits, int *ret_error)
{
        struct try *t = calloc(1, sizeof(*t));

        ck_assert_ptr_nonnull(t);
        *t = (struct try){ .job = { .loop = &loop, .heavy = heavy, .work = work }, .number = number, .waits = waits };
        *ret_error = blocking_run(b, &t->job);
        if (*ret_error < 0) {
                free(t);
                return NULL;
        }
        return t;
}

static void
must_run(int number, bool heavy, bool waits)
{
        int e;

        ck_assert_ptr_nonnull(run(number, heavy, waits, &e));
}

static void
await(int count)
{
        for (int i = 0; i < count; i++)
                while (sem_wait(&begun) < 0)
                        ;
}

static void
setup(void)
{
        pthread_mutex_init(&loop.post_lock, NULL);
        loop.posts = NULL;
        loop.posts_end = &loop.posts;
        loop.wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        sem_init(&begun, 0, 0);
        sem_init(&let_go, 0, 0);
        order_count = running_heavy = most_heavy = 0;
        b = NULL;
}

/* All that was taken came back; what had not begun by now came back undone. */
static void
finish(int count)
{
        int back = 0;

        blocking_free(b);
        for (struct post *p = loop.posts, *next; p != NULL; p = next) {
                next = p->next;
                free((struct try *)(void *)p);
                back++;
        }
        ck_assert_int_eq(back, count);
        close(loop.wake_fd);
}

START_TEST(heavy_jobs_have_half_of_the_threads)
{
        ck_assert_int_eq(blocking_new(4, &b), 0);
        for (int i = 0; i < 10; i++)
                must_run(i, true, true);
        await(2);
        for (int i = 100; i < 150; i++) /* two threads are left for these, however many heavy ones wait */
                must_run(i, false, false);
        await(50);
        ck_assert_int_eq(order_count, 52);
        for (int i = 0; i < 10; i++)
                sem_post(&let_go);
        await(8);
        finish(60);
        ck_assert_int_eq(most_heavy, 2);
}
END_TEST

START_TEST(alone_they_take_turns)
{
        ck_assert_int_eq(blocking_new(1, &b), 0);
        must_run(0, true, true);
        await(1);
        for (int i = 1; i <= 3; i++)
                must_run(i, true, false);
        for (int i = 101; i <= 103; i++)
                must_run(i, false, false);
        sem_post(&let_go);
        await(6);
        finish(7);
        static const int turns[] = { 0, 101, 1, 102, 2, 103, 3 };
        for (size_t i = 0; i < sizeof(turns) / sizeof(*turns); i++)
                ck_assert_int_eq(order[i], turns[i]);
}
END_TEST

START_TEST(few_heavy_ones_may_wait)
{
        int e = 0, taken = 0;

        ck_assert_int_eq(blocking_new(2, &b), 0);
        must_run(0, true, true);
        await(1);
        while (run(1, true, true, &e) != NULL)
                taken++;
        ck_assert_int_eq(e, -EAGAIN);
        ck_assert_int_eq(taken, 64);
        must_run(2, false, false); /* the other queue is not full */
        await(1);
        for (int i = 0; i < 65; i++)
                sem_post(&let_go);
        await(64);
        finish(66);
}
END_TEST

START_TEST(who_leaves_hands_back_what_was_taken)
{
        ck_assert_int_eq(blocking_new(3, &b), 0);
        for (int i = 0; i < 60; i++)
                must_run(i, i % 2 == 0, false);
        finish(60);
        ck_assert_int_le(most_heavy, 1); /* worked or not */
        blocking_free(NULL);
}
END_TEST

int
main(void)
{
        Suite *s = suite_create("blocking");
        TCase *t = tcase_create("queues");

        tcase_add_checked_fixture(t, setup, NULL);
        tcase_add_test(t, heavy_jobs_have_half_of_the_threads);
        tcase_add_test(t, alone_they_take_turns);
        tcase_add_test(t, few_heavy_ones_may_wait);
        tcase_add_test(t, who_leaves_hands_back_what_was_taken);
        suite_add_tcase(s, t);
        return run_suite(s);
}
