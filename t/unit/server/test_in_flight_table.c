/* test_in_flight_table.c - requests at once over many processes: never more than the limit, none left over, nothing kept of the dead.
 * SPDX-License-Identifier: MIT */
#include "server/in_flight_table.h"

#include <check.h>
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "t/unit/run.h"

static struct in_flight_table *
table(uint32_t workers, uint32_t loops)
{
        struct in_flight_table *t = in_flight_table_new();

        ck_assert_ptr_nonnull(t);
        for (uint32_t w = 0; w < workers; w++)
                in_flight_expect(t, w, loops);
        return t;
}

START_TEST(places_are_taken_and_given_back)
{
        struct in_flight_table *t = table(3, 2);

        ck_assert(in_flight_take(t, 1, 0, 0, 3));
        ck_assert(in_flight_take(t, 1, 2, 1, 3));
        ck_assert(in_flight_take(t, 1, 1, 0, 3));
        ck_assert(!in_flight_take(t, 1, 1, 1, 3));
        ck_assert(in_flight_take(t, 2, 1, 1, 3)); /* another limiter */
        ck_assert(in_flight_take(t, 1, 1, 1, 4)); /* a reload raised it */
        in_flight_give(t, 1, 0, 0);
        ck_assert(!in_flight_take(t, 1, 0, 0, 3)); /* and lowered it */
        in_flight_give(t, 1, 1, 1);
        ck_assert(in_flight_take(t, 1, 0, 0, 3));
        ck_assert_uint_eq(in_flight_sum(t, 1), 3);
        in_flight_table_free(t);
        in_flight_table_free(NULL);
}
END_TEST

START_TEST(what_a_dead_worker_held_is_free)
{
        struct in_flight_table *t = table(2, 2);
        uint64_t id = 7;

        ck_assert_int_eq(in_flight_assign(t, 1, &id, 1), 0);
        ck_assert(in_flight_take(t, 1, 0, 0, 9) && in_flight_take(t, 1, 0, 1, 9) && in_flight_take(t, 1, 1, 0, 9));
        ck_assert(in_flight_take(t, IN_FLIGHT_WAITING, 0, 0, 9));
        in_flight_forget(t, 0);
        ck_assert_uint_eq(in_flight_sum(t, 1), 1);
        ck_assert_uint_eq(in_flight_sum(t, IN_FLIGHT_WAITING), 0);
        in_flight_table_free(t);
}
END_TEST

START_TEST(a_limiter_is_kept_over_generations)
{
        struct in_flight_table *t = table(1, 1);
        uint64_t first[] = { 10, 20, 30 }, second[] = { 5, 30, 10 };

        ck_assert_int_eq(in_flight_assign(t, 1, first, 3), 0);
        uint32_t ten = in_flight_find(t, 10), thirty = in_flight_find(t, 30);
        ck_assert(ten != 0 && thirty != 0 && ten != thirty && in_flight_find(t, 5) == 0);
        ck_assert_int_eq(in_flight_assign(t, 2, second, 3), 0);
        ck_assert_uint_eq(in_flight_find(t, 10), ten);
        ck_assert_uint_eq(in_flight_find(t, 30), thirty);
        ck_assert_uint_ne(in_flight_find(t, 5), 0);
        in_flight_table_free(t);
}
END_TEST

START_TEST(limiters_that_nobody_needs_are_given_away_last)
{
        struct in_flight_table *t = table(1, 1);
        uint64_t all[IN_FLIGHT_LIMITERS], one = 9999;

        for (uint64_t i = 0; i < IN_FLIGHT_LIMITERS; i++)
                all[i] = i + 1;
        ck_assert_int_eq(in_flight_assign(t, 1, all, IN_FLIGHT_LIMITERS), -ENOSPC); /* one too many: the first place is for those that wait */
        ck_assert_int_eq(in_flight_assign(t, 2, all, IN_FLIGHT_LIMITERS - 1), 0);
        ck_assert_int_eq(in_flight_assign(t, 3, &one, 1), -ENOSPC); /* the generation before may still be served */
        ck_assert(in_flight_take(t, 1, 0, 0, 1));
        ck_assert_int_eq(in_flight_assign(t, 4, &one, 1), 0);
        ck_assert_uint_eq(in_flight_find(t, one), 2); /* somebody is in the first */
        in_flight_table_free(t);
}
END_TEST

enum { PROCESSES = 8, TURNS = 20000, LIMIT = 3 };
struct room { _Atomic uint32_t inside, most, entered; };

START_TEST(never_more_than_the_limit_in_eight_processes)
{
        struct in_flight_table *t = table(PROCESSES, 1);
        struct room *room = mmap(NULL, sizeof(*room), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        pid_t pids[PROCESSES];
        int status;

        for (uint32_t p = 0; p < PROCESSES; p++) {
                if ((pids[p] = fork()) != 0)
                        continue;
                for (unsigned i = 0; i < TURNS;) {
                        if (!in_flight_take(t, 1, p, 0, LIMIT)) {
                                sched_yield();
                                continue;
                        }
                        uint32_t n = atomic_fetch_add(&room->inside, 1) + 1, most = atomic_load(&room->most);
                        while (n > most && !atomic_compare_exchange_weak(&room->most, &most, n))
                                ;
                        atomic_fetch_add(&room->entered, 1);
                        atomic_fetch_sub(&room->inside, 1);
                        in_flight_give(t, 1, p, 0);
                        i++;
                }
                _exit(0);
        }
        for (unsigned p = 0; p < PROCESSES; p++)
                ck_assert(waitpid(pids[p], &status, 0) == pids[p] && status == 0);
        ck_assert_uint_le(atomic_load(&room->most), LIMIT);
        ck_assert_uint_eq(atomic_load(&room->entered), PROCESSES * TURNS);
        ck_assert_uint_eq(in_flight_sum(t, 1), 0);
        munmap(room, sizeof(*room));
        in_flight_table_free(t);
}
END_TEST

START_TEST(whoever_is_killed_keeps_no_place)
{
        struct in_flight_table *t = table(PROCESSES, 1);
        uint64_t id = 1;
        pid_t pids[PROCESSES];
        int status;

        ck_assert_int_eq(in_flight_assign(t, 1, &id, 1), 0);
        for (uint32_t p = 0; p < PROCESSES; p++)
                if ((pids[p] = fork()) == 0)
                        for (;;)
                                if (in_flight_take(t, 1, p, 0, LIMIT))
                                        in_flight_give(t, 1, p, 0);
        for (unsigned i = 0; i < 300; i++) {
                uint32_t p = i % PROCESSES;
                struct timespec wait = { 0, (long)(i * 7919 % 1000000) };

                nanosleep(&wait, NULL);
                ck_assert_int_eq(kill(pids[p], SIGKILL), 0);
                ck_assert_int_eq(waitpid(pids[p], &status, 0), pids[p]);
                in_flight_forget(t, p);
                ck_assert_uint_eq(atomic_load(&t->cells[1][0][p]), 0);
                if ((pids[p] = fork()) == 0)
                        for (;;)
                                if (in_flight_take(t, 1, p, 0, LIMIT))
                                        in_flight_give(t, 1, p, 0);
        }
        for (uint32_t p = 0; p < PROCESSES; p++) {
                ck_assert_int_eq(kill(pids[p], SIGKILL), 0);
                ck_assert_int_eq(waitpid(pids[p], &status, 0), pids[p]);
                in_flight_forget(t, p);
        }
        ck_assert_uint_eq(in_flight_sum(t, 1), 0);
        for (unsigned i = 0; i < LIMIT; i++)
                ck_assert(in_flight_take(t, 1, 0, 0, LIMIT));
        ck_assert(!in_flight_take(t, 1, 1, 0, LIMIT));
        in_flight_table_free(t);
}
END_TEST

int
main(void)
{
        Suite *s = suite_create("in_flight_table");
        TCase *t = tcase_create("in_flight_table");

        tcase_set_timeout(t, 60);
        tcase_add_test(t, places_are_taken_and_given_back);
        tcase_add_test(t, what_a_dead_worker_held_is_free);
        tcase_add_test(t, a_limiter_is_kept_over_generations);
        tcase_add_test(t, limiters_that_nobody_needs_are_given_away_last);
        tcase_add_test(t, never_more_than_the_limit_in_eight_processes);
        tcase_add_test(t, whoever_is_killed_keeps_no_place);
        suite_add_tcase(s, t);
        return run_suite(s);
}
