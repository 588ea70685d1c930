/* test_wheel.c - timers fire once, never early, at most a tick late, whatever was set, moved and cancelled meanwhile.
 * SPDX-License-Identifier: MIT */
#include <check.h>
#include <stdlib.h>

#include "../../../server/wheel.h"
#include "t/unit/run.h"

struct probe {
        struct wheel_timer timer;
        unsigned fired;
        uint64_t at_ms;
        struct wheel_timer *cancel_when_fired;
        uint64_t again_ms;
};

static struct wheel wheel;
static uint64_t now;

static void
on_fire(struct wheel_timer *t)
{
        struct probe *p = (struct probe *)(void *)t;

        p->fired++;
        p->at_ms = now;
        if (p->cancel_when_fired != NULL)
                wheel_cancel(&wheel, p->cancel_when_fired);
        if (p->again_ms != 0)
                wheel_set(&wheel, t, now + p->again_ms);
}

static void
start(uint64_t at_ms)
{
        now = at_ms;
        wheel_init(&wheel, now);
}

static void
run_until(uint64_t end_ms, uint64_t step_ms)
{
        while (now < end_ms) {
                now = now + step_ms < end_ms ? now + step_ms : end_ms;
                wheel_run(&wheel, now);
        }
}

static const uint64_t delays[] = { 0, 1, 15, 16, 17, 100, 1000, 15999, 16384, 16385, 40000, 3600000 };

START_TEST(a_timer_fires_once_and_not_early)
{
        struct probe p = { .timer.fn = on_fire };
        uint64_t due;

        start(1234567);
        due = now + delays[_i];
        wheel_set(&wheel, &p.timer, due);
        ck_assert(wheel_is_set(&p.timer));
        run_until(due + 3 * WHEEL_TICK_MS, 5);
        ck_assert_uint_eq(p.fired, 1);
        ck_assert_uint_ge(p.at_ms, due);
        ck_assert_uint_le(p.at_ms, due + 2 * WHEEL_TICK_MS + 5);
        ck_assert(!wheel_is_set(&p.timer));
        ck_assert_int_eq(wheel_timeout(&wheel, now), -1);
}
END_TEST

START_TEST(a_timer_moved_later_fires_at_its_new_time_only)
{
        struct probe p = { .timer.fn = on_fire };

        start(5000);
        wheel_set(&wheel, &p.timer, 5100);
        wheel_set(&wheel, &p.timer, 9000);
        run_until(8990, 10);
        ck_assert_uint_eq(p.fired, 0);
        run_until(9100, 10);
        ck_assert_uint_eq(p.fired, 1);
}
END_TEST

START_TEST(a_timer_moved_earlier_fires_at_its_new_time)
{
        struct probe p = { .timer.fn = on_fire };

        start(5000);
        wheel_set(&wheel, &p.timer, 60000);
        wheel_set(&wheel, &p.timer, 5200);
        run_until(5300, 10);
        ck_assert_uint_eq(p.fired, 1);
}
END_TEST

START_TEST(a_cancelled_timer_is_silent)
{
        struct probe p = { .timer.fn = on_fire };

        start(0);
        wheel_set(&wheel, &p.timer, 100);
        wheel_cancel(&wheel, &p.timer);
        wheel_cancel(&wheel, &p.timer);
        run_until(1000, 10);
        ck_assert_uint_eq(p.fired, 0);
}
END_TEST

START_TEST(a_timer_may_cancel_its_neighbour_and_set_itself_again)
{
        struct probe a = { .timer.fn = on_fire }, b = { .timer.fn = on_fire };

        start(0);
        wheel_set(&wheel, &a.timer, 100);
        wheel_set(&wheel, &b.timer, 100); /* the same slot; whichever comes first cancels the other */
        a.cancel_when_fired = &b.timer;
        b.cancel_when_fired = &a.timer;
        a.again_ms = b.again_ms = 50;
        run_until(120, 10);
        ck_assert_uint_eq(a.fired + b.fired, 1);
        run_until(200, 10);
        ck_assert_uint_eq(a.fired + b.fired, 2);
}
END_TEST

START_TEST(a_long_stop_loses_no_timer)
{
        struct probe p[64] = { 0 };

        start(1000);
        for (unsigned i = 0; i < 64; i++) {
                p[i].timer.fn = on_fire;
                wheel_set(&wheel, &p[i].timer, 1000 + i * 997);
        }
        now += 10 * 3600 * 1000;
        wheel_run(&wheel, now);
        wheel_run(&wheel, now + WHEEL_SLOTS * WHEEL_TICK_MS);
        for (unsigned i = 0; i < 64; i++)
                ck_assert_uint_eq(p[i].fired, 1);
        ck_assert_uint_eq(wheel.count, 0);
}
END_TEST

/* The loop sleeps for wheel_timeout: that must never be past the next expiry by more than a tick. */
START_TEST(the_timeout_never_oversleeps)
{
        struct probe p[32] = { 0 };

        srand(7);
        start(777);
        for (unsigned i = 0; i < 32; i++) {
                p[i].timer.fn = on_fire;
                wheel_set(&wheel, &p[i].timer, now + (unsigned)rand() % 50000);
        }
        while (wheel.count > 0) {
                int timeout = wheel_timeout(&wheel, now);
                ck_assert_int_ge(timeout, 0);
                now += timeout > 0 ? (uint64_t)timeout : 1;
                wheel_run(&wheel, now);
                for (unsigned i = 0; i < 32; i++)
                        ck_assert(p[i].fired == 1 || p[i].timer.expiry_ms + WHEEL_TICK_MS >= now);
        }
}
END_TEST

int
main(void)
{
        Suite *s = suite_create("wheel");
        TCase *tc = tcase_create("wheel");

        LOOP(tc, a_timer_fires_once_and_not_early, delays);
        tcase_add_test(tc, a_timer_moved_later_fires_at_its_new_time_only);
        tcase_add_test(tc, a_timer_moved_earlier_fires_at_its_new_time);
        tcase_add_test(tc, a_cancelled_timer_is_silent);
        tcase_add_test(tc, a_timer_may_cancel_its_neighbour_and_set_itself_again);
        tcase_add_test(tc, a_long_stop_loses_no_timer);
        tcase_add_test(tc, the_timeout_never_oversleeps);
        suite_add_tcase(s, tc);
        return run_suite(s);
}
