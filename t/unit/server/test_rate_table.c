/* test_rate_table.c - sliding windows in shared memory: the arithmetic, full buckets, races, many processes, and processes that die.
 * SPDX-License-Identifier: MIT */
#include "server/rate_table.h"

#include <check.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "t/unit/run.h"

#define NOW (1000000ull * 60000) /* the begin of a window of a minute */

static uint64_t
hash_of(const struct rate_table *t, uint64_t key)
{
        return siphash(&t->key, &key, sizeof(key));
}

static bool
admits(struct rate_table *t, uint64_t key, uint32_t limit, uint32_t window_s, uint64_t now_ms)
{
        return rate_table_check(t, hash_of(t, key), &(struct rate_rule){ limit, window_s }, now_ms).admitted;
}

static unsigned
admitted_of(struct rate_table *t, uint64_t key, uint32_t limit, uint64_t now_ms, unsigned tries)
{
        unsigned n = 0;

        while (tries-- > 0)
                n += admits(t, key, limit, 60, now_ms);
        return n;
}

/* ---- arithmetic ---------------------------------------------------------------------------------------------------------- */

/* `first` requests at the begin of a window, then as many as get through at `at` ms after it. Limit 100 a minute. */
static const struct { unsigned first; uint64_t at; unsigned then; } windows[] = {
        { 0,       0, 100 },
        { 100,     0,   0 },
        { 60,  30000,  40 },
        { 100, 59999,   0 },
        { 100, 60000,   0 },  /* the next window begins: all of the last one still counts */
        { 100, 60600,   1 },  /* a hundredth of it is over */
        { 100, 90000,  50 },
        { 50,  60000,  50 },
        { 50,  90000,  75 },
        { 100, 119999, 99 },
        { 100, 120000, 100 }, /* two windows later nothing is left */
        { 100, 6000000, 100 },
};

START_TEST(the_window_slides)
{
        struct rate_table *t = rate_table_new(1 << 16);

        ck_assert_uint_eq(admitted_of(t, 1, 100, NOW, windows[_i].first), windows[_i].first);
        ck_assert_uint_eq(admitted_of(t, 1, 100, NOW + windows[_i].at, 1000), windows[_i].then);
        rate_table_free(t);
}
END_TEST

START_TEST(a_refused_request_does_not_count)
{
        struct rate_table *t = rate_table_new(1 << 16);

        ck_assert_uint_eq(admitted_of(t, 1, 10, NOW, 100000), 10);
        ck_assert_uint_eq(admitted_of(t, 1, 10, NOW + 90000, 100), 5); /* as if the others had not come */
        rate_table_free(t);
}
END_TEST

START_TEST(a_request_taken_back_did_not_come)
{
        struct rate_table *t = rate_table_new(1 << 16);
        struct rate_rule rule = { 10, 60 };

        ck_assert_uint_eq(admitted_of(t, 1, 10, NOW, 10), 10);
        rate_table_take_back(t, hash_of(t, 1), &rule, NOW);
        rate_table_take_back(t, hash_of(t, 2), &rule, NOW); /* never came: nothing to take */
        ck_assert_uint_eq(admitted_of(t, 1, 10, NOW, 10), 1);
        rate_table_take_back(t, hash_of(t, 1), &rule, NOW + 60000); /* of the window before */
        ck_assert_uint_eq(admitted_of(t, 1, 10, NOW + 60000, 10), 1);
        rate_table_free(t);
}
END_TEST

START_TEST(a_clock_read_before_another_processes_still_counts_on)
{
        struct rate_table *t = rate_table_new(1 << 16);

        ck_assert_uint_eq(admitted_of(t, 1, 10, NOW + 60000, 6), 6);
        ck_assert_uint_eq(admitted_of(t, 1, 10, NOW + 59999, 10), 4); /* a loop whose turn began a moment ago */
        ck_assert_uint_eq(admitted_of(t, 1, 10, NOW + 60001, 10), 0);
        rate_table_free(t);
}
END_TEST

START_TEST(windows_of_one_second_and_of_a_day)
{
        struct rate_table *t = rate_table_new(1 << 16);

        ck_assert(admits(t, 1, 1, 1, NOW));
        ck_assert(!admits(t, 1, 1, 1, NOW + 999));
        ck_assert(!admits(t, 1, 1, 1, NOW + 1999)); /* one a second: a full second must lie between */
        ck_assert(admits(t, 1, 1, 1, NOW + 2000));
        unsigned n = 0;
        for (unsigned i = 0; i < RATE_LIMIT_MAX; i++)
                n += admits(t, 2, RATE_LIMIT_MAX, RATE_WINDOW_MAX_S, NOW);
        ck_assert_uint_eq(n, RATE_LIMIT_MAX);
        ck_assert(!admits(t, 2, RATE_LIMIT_MAX, RATE_WINDOW_MAX_S, NOW + 1));
        rate_table_free(t);
}
END_TEST

START_TEST(a_lower_limit_after_a_reload_counts_what_came)
{
        struct rate_table *t = rate_table_new(1 << 16);

        ck_assert_uint_eq(admitted_of(t, 1, 100, NOW, 60), 60);
        ck_assert_uint_eq(admitted_of(t, 1, 50, NOW, 10), 0);
        ck_assert_uint_eq(admitted_of(t, 1, 70, NOW, 100), 10);
        rate_table_free(t);
}
END_TEST

/* Limit 100 a minute: left and the waits for one request, and for one more than now. */
static const struct { uint32_t previous, current, elapsed_ms; uint32_t left; uint64_t wait_one_ms, wait_more_ms; } told[] = {
        { 0,     0,     0, 100,     0,     0 },
        { 0,     1,     0,  99,     0, 120000 }, /* all 100 at once: when that one has left the window */
        { 0,   100,     0,   0, 60600, 60600 },  /* the next window, and a hundredth of it */
        { 0,   100, 30000,   0, 30600, 30600 },
        { 100,   0, 30000,  50,     0,   600 },
        { 100,   0,     0,   0,   600,   600 },
        { 100,  50, 30000,   0,   600,   600 },
        { 50,   50, 15000,  12,     0,   600 },  /* 37.5 + 50 are used; 13 are free once 37 are left: 15.6 s in */
};

START_TEST(clients_are_told_what_is_left_and_how_long_to_wait)
{
        struct rate_rule rule = { 100, 60 };
        struct rate_verdict v = { .previous = told[_i].previous, .current = told[_i].current, .elapsed_ms = told[_i].elapsed_ms };
        uint32_t left = rate_left(&v, &rule);

        ck_assert_uint_eq(left, told[_i].left);
        ck_assert_uint_eq(rate_wait_ms(&v, &rule, 1), told[_i].wait_one_ms);
        ck_assert_uint_eq(rate_wait_ms(&v, &rule, left < 100 ? left + 1 : 100), told[_i].wait_more_ms);
}
END_TEST

START_TEST(who_waits_as_told_is_served_and_a_moment_earlier_not)
{
        struct rate_table *t = rate_table_new(1 << 16);
        struct rate_rule rule = { 7, 13 };

        srandom(7);
        for (uint64_t key = 0; key < 2000; key++) {
                uint64_t now = NOW + (uint64_t)random() % 100000;
                struct rate_verdict v = { .admitted = true };

                for (int i = 0; i < 40 && v.admitted; i++, now += (uint64_t)random() % 2500)
                        v = rate_table_check(t, hash_of(t, key), &rule, now);
                if (v.admitted)
                        continue;
                v = rate_table_check(t, hash_of(t, key), &rule, now);
                if (v.admitted)
                        continue;
                uint64_t wait = rate_wait_ms(&v, &rule, 1);
                ck_assert_uint_gt(wait, 0);
                ck_assert(!rate_table_check(t, hash_of(t, key), &rule, now + wait - 1).admitted);
                ck_assert(rate_table_check(t, hash_of(t, key), &rule, now + wait).admitted);
        }
        rate_table_free(t);
}
END_TEST

/* ---- full buckets --------------------------------------------------------------------------------------------------------- */

/* Keys that share bucket 0 of the table. */
static void
keys_of_a_bucket(const struct rate_table *t, uint64_t *keys, size_t count)
{
        for (uint64_t k = 0; count > 0; k++)
                if ((hash_of(t, k) & t->mask) == 0) {
                        *keys++ = k;
                        count--;
                }
}

START_TEST(a_full_bucket_gives_up_the_lowest_count)
{
        struct rate_table *t = rate_table_new(0);
        uint64_t keys[RATE_WAYS + 2];
        struct rate_verdict v;

        keys_of_a_bucket(t, keys, RATE_WAYS + 2);
        for (unsigned i = 0; i < RATE_WAYS; i++)
                ck_assert_uint_eq(admitted_of(t, keys[i], 100, NOW, i == 3 ? 1 : 10), i == 3 ? 1 : 10);
        v = rate_table_check(t, hash_of(t, keys[RATE_WAYS]), &(struct rate_rule){ 100, 60 }, NOW);
        ck_assert(v.admitted && v.evicted);
        for (unsigned i = 0; i < RATE_WAYS; i++)
                if (i != 3)
                        ck_assert_uint_eq(admitted_of(t, keys[i], 10, NOW, 5), 0); /* those who came often stay limited */
        ck_assert_uint_eq(admitted_of(t, keys[3], 1, NOW, 5), 1); /* forgotten: and the newcomer, with one request, had to go for it */
        ck_assert_uint_eq(admitted_of(t, keys[RATE_WAYS], 1, NOW, 5), 1);
        rate_table_free(t);
}
END_TEST

START_TEST(a_window_that_is_over_makes_room_before_any_count)
{
        struct rate_table *t = rate_table_new(0);
        uint64_t keys[RATE_WAYS + 1];
        struct rate_verdict v;

        keys_of_a_bucket(t, keys, RATE_WAYS + 1);
        for (unsigned i = 0; i < RATE_WAYS; i++) /* the fifth counts by the second, and much */
                for (unsigned n = 0; n < (i == 5 ? 50 : 1); n++)
                        ck_assert(admits(t, keys[i], 100, i == 5 ? 1 : 60, NOW));
        v = rate_table_check(t, hash_of(t, keys[RATE_WAYS]), &(struct rate_rule){ 100, 60 }, NOW + 2000);
        ck_assert(v.admitted && !v.evicted);
        for (unsigned i = 0; i < RATE_WAYS; i++)
                if (i != 5)
                        ck_assert(!admits(t, keys[i], 1, 60, NOW + 2000));
        rate_table_free(t);
}
END_TEST

START_TEST(the_smallest_table_still_limits_who_comes_most)
{
        struct rate_table *t = rate_table_new(1);
        unsigned n = 0;

        for (uint64_t i = 0; i < 100000; i++) { /* a flood of keys that come once, and one that insists */
                admits(t, 1000 + i, 5, 60, NOW);
                n += admits(t, 1, 5, 60, NOW);
        }
        ck_assert_uint_le(n, 20); /* it may be forgotten while its count is as low as theirs, not after */
        rate_table_free(t);
}
END_TEST

/* ---- races, by hand -------------------------------------------------------------------------------------------------------- */

/* What two processes leave that insert one key at once in different places of a full bucket. */
START_TEST(a_key_in_two_places_is_brought_together)
{
        struct rate_table *t = rate_table_new(0);
        struct rate_place *p = t->buckets[0].places;
        uint64_t key, tag, state;

        keys_of_a_bucket(t, &key, 1);
        ck_assert_uint_eq(admitted_of(t, key, 100, NOW, 30), 30);
        tag = atomic_load(&p[0].tag);
        state = atomic_load(&p[0].state);
        atomic_store(&p[5].tag, tag);               /* 30 counted in the higher place ... */
        atomic_store(&p[5].state, state);
        atomic_store(&p[0].tag, 0);
        atomic_store(&p[2].tag, tag);               /* ... when somebody takes a lower one, and is killed right then */
        atomic_store(&p[2].state, state | 0xfffff);
        ck_assert_uint_eq(admitted_of(t, key, 100, NOW, 200), 70);
        ck_assert_uint_eq(atomic_load(&p[2].tag), tag);
        ck_assert_uint_eq(atomic_load(&p[5].tag), 0);
        rate_table_free(t);
}
END_TEST

START_TEST(a_place_that_was_taken_and_left_is_nothing_a_window_later)
{
        struct rate_table *t = rate_table_new(0);
        struct rate_place *p = t->buckets[0].places;
        uint64_t key;

        keys_of_a_bucket(t, &key, 1);
        ck_assert_uint_eq(admitted_of(t, key, 100, NOW, 1), 1);
        for (unsigned window = 0; window < 4; window++) {
                atomic_store(&p[0].state, atomic_load(&p[0].state) | 0xfffff);
                ck_assert_uint_eq(admitted_of(t, key, 100, NOW + window * 60000, 200), 100);
                atomic_store(&p[0].state, atomic_load(&p[0].state) & ~0xffffffffffull);
        }
        rate_table_free(t);
}
END_TEST

/* ---- many processes --------------------------------------------------------------------------------------------------------- */

enum { PROCESSES = 8, CHECKS = 100000, KEYS = 1000, ROUNDS = 12 };

struct tally { _Atomic uint32_t arrived[ROUNDS]; _Atomic uint32_t admitted[ROUNDS][KEYS]; };

static struct tally *
tally_new(void)
{
        struct tally *y = mmap(NULL, sizeof(*y), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

        ck_assert_ptr_ne(y, MAP_FAILED);
        return y;
}

/* All processes at once: CHECKS each over `keys` keys, in ROUNDS windows. Each round begins together: else, with few processors, one would often be through before the
 * next had its turn. */
static void
hammer(struct rate_table *t, struct tally *y, unsigned keys, uint32_t limit, uint64_t now_ms)
{
        static const unsigned step[PROCESSES] = { 1, 3, 7, 9, 11, 13, 17, 19 }; /* each visits all of 1000, or 50, equally often */
        pid_t pids[PROCESSES];
        int status;

        for (unsigned p = 0; p < PROCESSES; p++) {
                pids[p] = fork();
                ck_assert_int_ge(pids[p], 0);
                if (pids[p] != 0)
                        continue;
                for (unsigned round = 0; round < ROUNDS; round++) {
                        atomic_fetch_add(&y->arrived[round], 1);
                        while (atomic_load(&y->arrived[round]) < PROCESSES)
                                sched_yield();
                        for (unsigned i = 0; i < CHECKS; i++) {
                                unsigned key = (i * step[p] + p) % keys;
                                if (admits(t, key, limit, 60, now_ms + round * 120000ull + i % 60000))
                                        atomic_fetch_add(&y->admitted[round][key], 1);
                        }
                }
                _exit(0);
        }
        for (unsigned p = 0; p < PROCESSES; p++)
                ck_assert(waitpid(pids[p], &status, 0) == pids[p] && status == 0);
}

static void
each_was_admitted(const struct tally *y, unsigned keys, uint32_t limit)
{
        for (unsigned round = 0; round < ROUNDS; round++)
                for (unsigned k = 0; k < keys; k++)
                        if (atomic_load(&y->admitted[round][k]) != limit)
                                ck_abort_msg("round %u, key %u: %u admitted, not %u", round, k, (unsigned)atomic_load(&y->admitted[round][k]), (unsigned)limit);
}

START_TEST(eight_processes_on_one_key_admit_exactly_the_limit)
{
        struct rate_table *t = rate_table_new(4 << 20);
        struct tally *y = tally_new();

        hammer(t, y, 1, 700000, NOW);
        each_was_admitted(y, 1, 700000);
        munmap(y, sizeof(*y));
        rate_table_free(t);
}
END_TEST

START_TEST(eight_processes_on_a_thousand_keys_admit_exactly_the_limit_of_each)
{
        struct rate_table *t = rate_table_new(4 << 20);
        struct tally *y = tally_new();

        hammer(t, y, KEYS, 750, NOW);
        each_was_admitted(y, KEYS, 750);
        munmap(y, sizeof(*y));
        rate_table_free(t);
}
END_TEST

/* The first moment of a key: all processes meet new keys in the same order, and each is admitted once. In a table of thirteen times as many places no bucket overflows;
 * its places are full of windows that are over, so that each insertion chooses one to take. */
START_TEST(eight_processes_that_bring_the_same_new_keys_admit_each_once)
{
        enum { NEW_KEYS = 20000, PLACES = 262144 };
        struct rate_table *t = rate_table_new(4 << 20);
        struct { _Atomic uint32_t arrived; _Atomic uint8_t admitted[NEW_KEYS]; } *y = mmap(NULL, sizeof(*y), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        pid_t pids[PROCESSES];
        unsigned wrong = 0;
        int status;

        ck_assert_ptr_ne(y, MAP_FAILED);
        for (uint64_t k = 0; k < PLACES * 2; k++)
                (void)admits(t, 1000000 + k, 1, 1 + k % 3, NOW);
        for (unsigned p = 0; p < PROCESSES; p++) {
                if ((pids[p] = fork()) != 0)
                        continue;
                atomic_fetch_add(&y->arrived, 1);
                while (atomic_load(&y->arrived) < PROCESSES)
                        sched_yield();
                for (unsigned k = 0; k < NEW_KEYS; k++)
                        if (admits(t, k, 1, 60, NOW + 60000))
                                atomic_fetch_add(&y->admitted[k], 1);
                _exit(0);
        }
        for (unsigned p = 0; p < PROCESSES; p++)
                ck_assert(waitpid(pids[p], &status, 0) == pids[p] && status == 0);
        for (unsigned k = 0; k < NEW_KEYS; k++)
                wrong += atomic_load(&y->admitted[k]) != 1;
        ck_assert_uint_eq(wrong, 0);
        munmap(y, sizeof(*y));
        rate_table_free(t);
}
END_TEST

/* Four times as many keys as places and windows that end all the time: insertions, evictions and merges at every check. */
static void
storm(struct rate_table *t, unsigned seed)
{
        for (;;) {
                uint64_t now = NOW + seed % 5000;
                seed = seed * 1103515245u + 12345u;
                admits(t, seed >> 16 & 2047, 5, 1 + (seed >> 8 & 1), now);
        }
}

START_TEST(killed_at_any_instruction_they_leave_a_table_like_any_other)
{
        struct rate_table *t = rate_table_new(0);
        struct timespec wait = { 0, 1000000 };
        pid_t pids[PROCESSES];
        int status;

        for (unsigned p = 0; p < PROCESSES; p++)
                if ((pids[p] = fork()) == 0)
                        storm(t, p);
        for (unsigned i = 0; i < 400; i++) {
                unsigned p = i % PROCESSES;

                wait.tv_nsec = (long)(i * 7919 % 3000000);
                nanosleep(&wait, NULL);
                ck_assert_int_eq(kill(pids[p], SIGKILL), 0);
                ck_assert_int_eq(waitpid(pids[p], &status, 0), pids[p]);
                if ((pids[p] = fork()) == 0)
                        storm(t, i + 100);
        }
        for (unsigned p = 0; p < PROCESSES; p++) {
                ck_assert_int_eq(kill(pids[p], SIGKILL), 0);
                ck_assert_int_eq(waitpid(pids[p], &status, 0), pids[p]);
        }
        /* At once, without any repair: as many keys as fit for certain are limited exactly, whatever they find in their places. */
        for (uint64_t k = 0; k < 64; k++)
                ck_assert_uint_eq(admitted_of(t, 5000 + k, 20, NOW + 600000, 100), 20);
        for (uint64_t k = 0; k < 2048; k++)
                ck_assert_uint_eq(admitted_of(t, k, 20, NOW + 1200000, 21), 20);
        rate_table_free(t);
}
END_TEST

START_TEST(after_a_storm_many_processes_still_admit_exactly)
{
        struct rate_table *t = rate_table_new(0);
        struct tally *y = tally_new();
        struct timespec wait = { 0, 200000000 };
        pid_t pids[PROCESSES];
        int status;

        for (unsigned p = 0; p < PROCESSES; p++)
                if ((pids[p] = fork()) == 0)
                        storm(t, p);
        nanosleep(&wait, NULL);
        for (unsigned p = 0; p < PROCESSES; p++) {
                ck_assert_int_eq(kill(pids[p], SIGKILL), 0);
                ck_assert_int_eq(waitpid(pids[p], &status, 0), pids[p]);
        }
        for (unsigned i = 0; i < 64 * RATE_WAYS; i++) /* the storm's windows are long over: every place is taken, by nobody who counts */
                ck_assert_uint_ne(atomic_load(&t->buckets[i / RATE_WAYS].places[i % RATE_WAYS].tag), 0);
        hammer(t, y, 50, 9000, NOW + 600000); /* that many find room in any case */
        each_was_admitted(y, 50, 9000);
        munmap(y, sizeof(*y));
        rate_table_free(t);
}
END_TEST

START_TEST(the_table_is_as_large_as_asked_and_never_larger)
{
        for (size_t bytes = 1 << 14; bytes <= 1u << 26; bytes = bytes * 5 / 3) {
                struct rate_table *t = rate_table_new(bytes);

                ck_assert_uint_le(t->bytes, bytes + sizeof(*t));
                ck_assert_uint_gt((t->mask + 1) * sizeof(struct rate_bucket) * 2, bytes);
                ck_assert_uint_eq((uintptr_t)t->buckets % 128, 0);
                rate_table_free(t);
        }
        rate_table_free(NULL);
}
END_TEST

int
main(void)
{
        Suite *s = suite_create("rate_table");
        TCase *t = tcase_create("arithmetic"), *full = tcase_create("full buckets"), *races = tcase_create("races"), *many = tcase_create("many processes");

        tcase_set_timeout(t, 60);
        tcase_set_timeout(full, 60);
        LOOP(t, the_window_slides, windows);
        tcase_add_test(t, a_refused_request_does_not_count);
        tcase_add_test(t, a_request_taken_back_did_not_come);
        tcase_add_test(t, a_clock_read_before_another_processes_still_counts_on);
        tcase_add_test(t, windows_of_one_second_and_of_a_day);
        tcase_add_test(t, a_lower_limit_after_a_reload_counts_what_came);
        LOOP(t, clients_are_told_what_is_left_and_how_long_to_wait, told);
        tcase_add_test(t, who_waits_as_told_is_served_and_a_moment_earlier_not);
        suite_add_tcase(s, t);
        tcase_add_test(full, a_full_bucket_gives_up_the_lowest_count);
        tcase_add_test(full, a_window_that_is_over_makes_room_before_any_count);
        tcase_add_test(full, the_smallest_table_still_limits_who_comes_most);
        tcase_add_test(full, the_table_is_as_large_as_asked_and_never_larger);
        suite_add_tcase(s, full);
        tcase_add_test(races, a_key_in_two_places_is_brought_together);
        tcase_add_test(races, a_place_that_was_taken_and_left_is_nothing_a_window_later);
        suite_add_tcase(s, races);
        tcase_set_timeout(many, 120);
        tcase_add_test(many, eight_processes_on_one_key_admit_exactly_the_limit);
        tcase_add_test(many, eight_processes_on_a_thousand_keys_admit_exactly_the_limit_of_each);
        tcase_add_test(many, eight_processes_that_bring_the_same_new_keys_admit_each_once);
        tcase_add_test(many, killed_at_any_instruction_they_leave_a_table_like_any_other);
        tcase_add_test(many, after_a_storm_many_processes_still_admit_exactly);
        suite_add_tcase(s, many);
        return run_suite(s);
}
