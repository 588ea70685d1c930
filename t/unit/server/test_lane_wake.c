/* test_lane_wake.c - how many sleeping pyworkers a loop wakes at the end of a turn.
 * SPDX-License-Identifier: MIT
 * The pyworkers are played by their bits in the bell and their eventfds; the shared memory is real. */
#include "server/lane_priv.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include "t/unit/run.h"

#define SLEEPERS_MAX 3

static struct board_loop row;
static struct worker_pool pool = { .id = 5 };
static struct loop loop = { .board = &row };
static struct lane *lane;
static struct ipc_bell *bell;
static int wake_fds[SLEEPERS_MAX];

static void
setup(void)
{
        struct ipc_geometry geometry = IPC_GEOMETRY_DEFAULT;
        int words, requests, bell_fd, answers;
        struct peer *p;

        ck_assert_int_eq(ipc_lane_create(&geometry, 1, &words, &requests), 0);
        ck_assert_int_eq(ipc_bell_create(&bell_fd), 0);
        ck_assert_int_eq(ipc_bell_open(bell_fd, &bell), 0);
        ck_assert_int_eq(lane_new(&pool, 8, bell_fd, words, requests, &lane), 0);
        lane->loop = &loop; /* as lane_add does, which is for a loop's own thread */
        loop.lanes = lane;
        for (unsigned i = 0; i < SLEEPERS_MAX; i++) {
                wake_fds[i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
                ck_assert_int_eq(ipc_answers_create(&geometry, &answers), 0);
                ck_assert_int_eq(peer_new(ipc_owner_make(i, 0), wake_fds[i], answers, &p), 0);
                lane_attach(&loop, pool.id, p);
                eventfd_t n;
                ck_assert_int_eq(eventfd_read(wake_fds[i], &n), 0); /* one that is new is woken in any case */
                close(answers);
        }
        close(words);
        close(requests);
        close(bell_fd);
}

static void
teardown(void)
{
        lane_free(lane);
        ipc_bell_free(bell);
        for (unsigned i = 0; i < SLEEPERS_MAX; i++)
                close(wake_fds[i]);
}

static void
publish(unsigned count)
{
        for (unsigned i = 0; i < count; i++) {
                uint32_t slot, generation;

                ck_assert_int_eq(ipc_slot_claim(lane->ipc, &slot, &generation), 0);
                ipc_slot_publish(lane->ipc, slot, UINT32_MAX);
                lane->in_use++;
        }
}

static unsigned
woken(void)
{
        unsigned count = 0;
        eventfd_t n;

        for (unsigned i = 0; i < SLEEPERS_MAX; i++)
                count += eventfd_read(wake_fds[i], &n) == 0;
        return count;
}

static const struct { unsigned waiting, published, asleep, returned, woken; } turns[] = {
        { 0, 1, 3, 0, 1 },  /* one for each request */
        { 0, 3, 2, 0, 2 },  /* as far as there are sleepers */
        { 0, 2, 0, 0, 0 },
        { 1, 0, 1, 0, 0 },  /* who was woken for it is on the way */
        { 1, 0, 1, 1, 1 },  /* that one found another request, and says so */
        { 2, 0, 3, 2, 2 },  /* two did so in one turn */
        { 1, 1, 2, 1, 2 },  /* what is published in the same turn has its own wake-up */
        { 1, 0, 0, 1, 0 },
        { 0, 0, 2, 1, 0 },  /* nothing waits */
};

START_TEST(a_turn_wakes_as_many_as_it_must)
{
        publish(turns[_i].waiting + turns[_i].published);
        lane->published = turns[_i].published;
        for (unsigned i = 0; i < turns[_i].asleep; i++)
                ipc_bell_idle(bell, i);
        for (unsigned i = 0; i < turns[_i].returned; i++)
                ipc_bell_return(bell);
        loop.poked = true; /* for an answer, if for nothing else */
        lanes_wake(&loop);
        ck_assert_uint_eq(woken(), turns[_i].woken);
        ck_assert_uint_eq(row.counters[C_wakeups_sent], turns[_i].woken);
        loop.poked = true;
        lanes_wake(&loop);
        ck_assert_uint_eq(woken(), 0); /* a turn later nothing is left to do */
}
END_TEST

int
main(void)
{
        Suite *s = suite_create("lane_wake");
        TCase *t = tcase_create("wake");

        tcase_add_checked_fixture(t, setup, teardown);
        LOOP(t, a_turn_wakes_as_many_as_it_must, turns);
        suite_add_tcase(s, t);
        return run_suite(s);
}
