/* test_app_conf.c - a copy of an app's configuration equals it and outlives it; every single key that changes is noticed and named.
 * SPDX-License-Identifier: MIT */
#include "server/app_conf.h"

#include <check.h>
#include <stdlib.h>

#include "t/unit/run.h"

static const char *keys[] = { "A", "B" }, *values[] = { "1", "2" }, *swapped_keys[] = { "B", "A" }, *swapped_values[] = { "2", "1" },
                  *other_values[] = { "1", "3" };

static struct conf_app
shop(void)
{
        return (struct conf_app){ .name = "shop", .wsgi = "shop:app", .kind = APP_WSGI, .target = "shop:app", .path = "/srv/shop", .user = "www",
                                  .root_path = "/shop", .env = { keys, values, 2 }, .processes = 4, .threads = 8, .timeout_kill_ms = 5000,
                                  .start_timeout_ms = 30000, .queue = { 256, 2000 } };
}

static void to_path(struct conf_app *a) { a->path = "/srv/other"; }
static void to_venv(struct conf_app *a) { a->venv = "/srv/shop/.venv"; }
static void to_nobody(struct conf_app *a) { a->user = NULL; }
static void to_env(struct conf_app *a) { a->env.values = other_values; }
static void to_less_env(struct conf_app *a) { a->env.count = 1; }
static void to_processes(struct conf_app *a) { a->processes = 5; }
static void to_kill(struct conf_app *a) { a->timeout_kill_ms++; }
static void to_queue(struct conf_app *a) { a->queue.timeout_ms += UINT64_C(1) << 32; }
static void to_heart(struct conf_app *a) { a->heart = a->wsgi, a->wsgi = NULL, a->kind = APP_HEART; }
static void to_place(struct conf_app *a) { a->place.line = 99, a->set = 7; }
static void to_order(struct conf_app *a) { a->env.keys = swapped_keys, a->env.values = swapped_values; }

static const struct { void (*change)(struct conf_app *a); const char *key; } changes[] = {
        { to_path, "path" }, { to_venv, "venv" }, { to_nobody, "user" }, { to_env, "env" }, { to_less_env, "env" }, { to_processes, "processes" },
        { to_kill, "timeout_kill" }, { to_queue, "queue.timeout" }, { to_heart, "wsgi" }, { to_place, NULL }, { to_order, NULL },
};

START_TEST(a_change_is_named)
{
        struct conf_app a = shop(), b = shop();

        ck_assert_pstr_eq(app_conf_differs(&a, &b), NULL);
        changes[_i].change(&b);
        ck_assert_pstr_eq(app_conf_differs(&a, &b), changes[_i].key);
        ck_assert_pstr_eq(app_conf_differs(&b, &a), changes[_i].key);
}
END_TEST

START_TEST(a_copy_equals_and_outlives)
{
        struct arena *first = arena_new(), *second = arena_new();
        struct conf_app a, b, origin = shop();

        ck_assert_int_eq(app_conf_copy(&origin, first, &a), 0);
        ck_assert_int_eq(app_conf_copy(&a, second, &b), 0);
        arena_free(first); /* under a sanitizer a pointer that was not copied shows now */
        ck_assert_pstr_eq(app_conf_differs(&origin, &b), NULL);
        ck_assert_ptr_ne(b.name, origin.name);
        arena_free(second);
}
END_TEST

START_TEST(targets_are_compared_in_order)
{
        static const char *const one[] = { "users:show", "users:list" }, *const two[] = { "users:list", "users:show" };

        ck_assert(app_targets_same(one, 2, one, 2));
        ck_assert(!app_targets_same(one, 2, two, 2)); /* a handler's number is its place in the list */
        ck_assert(!app_targets_same(one, 2, one, 1));
        ck_assert(app_targets_same(NULL, 0, NULL, 0));
}
END_TEST

int
main(void)
{
        Suite *s = suite_create("app_conf");
        TCase *c = tcase_create("app_conf");

        LOOP(c, a_change_is_named, changes);
        tcase_add_test(c, a_copy_equals_and_outlives);
        tcase_add_test(c, targets_are_compared_in_order);
        suite_add_tcase(s, c);
        return run_suite(s);
}
