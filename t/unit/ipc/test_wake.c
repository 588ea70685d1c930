/* test_wake.c - ipc/wake.c: no wake-up is lost, and none is sent to who is awake.
 * SPDX-License-Identifier: MIT */
#include "lanes.h"

#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "t/unit/run.h"

static struct pair p;
static void setup(void) { pair_open(&p, &small_geometry); }
static void teardown(void) { pair_close(&p); }

START_TEST(nobody_sleeps_at_first)
{
        ck_assert_int_eq(ipc_bell_pick(p.bell), -1);
        ck_assert_uint_eq(ipc_bell_mask(p.bell), 0);
}
END_TEST

START_TEST(each_sleeper_is_picked_once)
{
        ipc_bell_idle(p.bell, 63);
        ipc_bell_idle(p.bell, 0);
        ipc_bell_idle(p.bell, 7);
        ck_assert_uint_eq(ipc_bell_mask(p.bell), 1ull << 63 | 1 << 7 | 1);
        ck_assert_int_eq(ipc_bell_pick(p.bell), 0);
        ck_assert_int_eq(ipc_bell_pick(p.bell), 7);
        ck_assert_int_eq(ipc_bell_pick(p.bell), 63);
        ck_assert_int_eq(ipc_bell_pick(p.bell), -1);
}
END_TEST

START_TEST(a_sleeper_learns_that_it_was_claimed)
{
        ipc_bell_idle(p.bell, 5);
        ck_assert(ipc_bell_busy(p.bell, 5));
        ipc_bell_idle(p.bell, 5);
        ck_assert_int_eq(ipc_bell_pick(p.bell), 5);
        ck_assert(!ipc_bell_busy(p.bell, 5)); /* a wake is on its way */
}
END_TEST

START_TEST(an_owner_says_its_place)
{
        for (unsigned start = 0; start < 5000; start += 7) {
                ck_assert_uint_eq(ipc_owner_place(ipc_owner_make((unsigned)_i, start)), (unsigned)_i);
                ck_assert_uint_ne(ipc_owner_make((unsigned)_i, start), 0);
                ck_assert_uint_ne(ipc_owner_make((unsigned)_i, start), ipc_owner_make((unsigned)_i, start + 1));
        }
}
END_TEST

/* Requests go out one by one while the takers fall asleep again and again; each is waited for by a bell and an eventfd, without any timeout:
 * one lost wake-up and this hangs. */
enum { TAKERS = 3, ROUNDS = 20000 };
static int wake_fds[TAKERS];
static atomic_uint got;
static atomic_bool leaving;

static void *
sleeper(void *arg)
{
        unsigned place = (unsigned)(uintptr_t)arg;
        uint32_t slot, generation;

        while (!atomic_load(&leaving)) {
                uint64_t n;
                int r = ipc_take(p.py, ipc_owner_make(place, 0), &slot, &generation);
                if (r < 0) {
                        ipc_bell_idle(p.bell, place);
                        r = ipc_take(p.py, ipc_owner_make(place, 0), &slot, &generation);
                        if (r < 0)
                                ck_assert_int_eq(read(wake_fds[place], &n, sizeof(n)), sizeof(n));
                        ipc_bell_busy(p.bell, place);
                }
                if (r == 0) {
                        atomic_fetch_add(&got, 1); /* before DONE: the publisher counts on it */
                        ck_assert_int_eq(ipc_done(p.py, ipc_owner_make(place, 0), slot, generation), 0);
                }
        }
        return NULL;
}

static void
wake(int place)
{
        uint64_t one = 1;

        ck_assert_int_eq(write(wake_fds[place], &one, sizeof(one)), sizeof(one));
}

START_TEST(no_wake_up_is_lost)
{
        pthread_t threads[TAKERS];

        for (uintptr_t i = 0; i < TAKERS; i++) {
                wake_fds[i] = eventfd(0, EFD_CLOEXEC);
                ck_assert_int_eq(pthread_create(&threads[i], NULL, sleeper, (void *)i), 0);
        }
        for (unsigned i = 0; i < ROUNDS; i++) {
                uint32_t slot = publish(&p, i);
                int place = ipc_bell_pick(p.bell);
                if (place >= 0)
                        wake(place);
                while (!ipc_slot_release(p.loop, slot))
                        ;
        }
        ck_assert_uint_eq(atomic_load(&got), ROUNDS);
        atomic_store(&leaving, true);
        for (int i = 0; i < TAKERS; i++) {
                wake(i);
                pthread_join(threads[i], NULL);
                close(wake_fds[i]);
        }
}
END_TEST

/* The same in the other direction: the loop sleeps, the writer wakes it by the claimed flag. */
static int loop_fd;

static void *
writer(void *arg)
{
        (void)arg;
        for (uint32_t i = 0; i < ROUNDS; i++) {
                bool wake_loop = false;
                int r;
                for (;;) {
                        uint32_t event = ipc_answers_event(p.out);
                        if ((r = put(p.out, i, 1, IPC_REC_BODY, 0, &i, sizeof(i), &wake_loop)) != -EAGAIN)
                                break;
                        ipc_answers_wait(p.out, event, -1);
                }
                ck_assert_int_eq(r, 0);
                if (wake_loop) {
                        uint64_t one = 1;
                        ck_assert_int_eq(write(loop_fd, &one, sizeof(one)), sizeof(one));
                }
        }
        return NULL;
}

START_TEST(the_loop_is_woken_for_every_answer)
{
        pthread_t thread;
        struct ipc_record rec;
        const uint8_t *payload;
        uint64_t n;

        loop_fd = eventfd(0, EFD_CLOEXEC);
        ck_assert_int_eq(pthread_create(&thread, NULL, writer, NULL), 0);
        for (uint32_t i = 0; i < ROUNDS;) {
                int r = ipc_answers_peek(p.in, &rec, &payload);
                if (r == 0) {
                        ck_assert_uint_eq(rec.slot, i++);
                        ipc_answers_pop(p.in);
                        continue;
                }
                ck_assert_int_eq(r, -EAGAIN);
                ipc_answers_sleep(p.in);
                ipc_fence();
                if (!ipc_answers_has_records(p.in))
                        ck_assert_int_eq(read(loop_fd, &n, sizeof(n)), sizeof(n));
                ipc_answers_awake(p.in);
        }
        pthread_join(thread, NULL);
        close(loop_fd);
}
END_TEST

START_TEST(an_awake_loop_is_not_woken)
{
        bool wake_loop = false;

        ck_assert_int_eq(put(p.out, 1, 1, IPC_REC_BODY, 0, "", 0, &wake_loop), 0);
        ck_assert(!wake_loop);
        ipc_answers_sleep(p.in);
        ck_assert_int_eq(put(p.out, 2, 1, IPC_REC_BODY, 0, "", 0, &wake_loop), 0);
        ck_assert(wake_loop);
        wake_loop = false;
        ck_assert_int_eq(put(p.out, 3, 1, IPC_REC_BODY, 0, "", 0, &wake_loop), 0);
        ck_assert(!wake_loop); /* the first one claimed it */
        ipc_answers_sleep(p.in);
        ipc_answers_awake(p.in);
        ck_assert_int_eq(put(p.out, 4, 1, IPC_REC_BODY, 0, "", 0, &wake_loop), 0);
        ck_assert(!wake_loop);
}
END_TEST

int
main(void)
{
        Suite *s = suite_create("wake");
        TCase *t = tcase_create("bell");

        tcase_add_checked_fixture(t, setup, teardown);
        tcase_set_timeout(t, 60);
        tcase_add_test(t, nobody_sleeps_at_first);
        tcase_add_test(t, each_sleeper_is_picked_once);
        tcase_add_test(t, a_sleeper_learns_that_it_was_claimed);
        tcase_add_loop_test(t, an_owner_says_its_place, 0, IPC_PLACES);
        tcase_add_test(t, no_wake_up_is_lost);
        tcase_add_test(t, the_loop_is_woken_for_every_answer);
        tcase_add_test(t, an_awake_loop_is_not_woken);
        suite_add_tcase(s, t);
        return run_suite(s);
}
