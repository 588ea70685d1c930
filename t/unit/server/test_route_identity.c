/* test_route_identity.c - what makes a route the same over reloads, and what makes it another one.
 * SPDX-License-Identifier: MIT */
#include "server/route_identity.h"

#include <check.h>

#include "t/unit/run.h"

static const char *some_texts[] = { "a", "b" }, *more_texts[] = { "ab", "" };

static struct route
plain(void)
{
        return (struct route){ .path = "/users/{id:int}", .methods = M_GET | M_HEAD };
}

START_TEST(what_a_route_does_is_no_part_of_it)
{
        struct route a = plain(), b = plain();

        b.respond.body = "other";
        b.timeout_ms = 5;
        b.in_flight = 7;
        b.place.line = 99;
        ck_assert_uint_eq(route_identity(&a), route_identity(&b));
        ck_assert_uint_ne(route_identity(&a), 0);
}
END_TEST

START_TEST(what_it_matches_is)
{
        struct route all[12];
        size_t n = sizeof(all) / sizeof(*all);

        for (size_t i = 0; i < n; i++)
                all[i] = plain();
        all[1].path = "/users/{id}";
        all[2].host = "/users";
        all[3].on = "/users"; /* the same text in another place */
        all[4].methods = M_GET;
        all[5].when.scheme = WHEN_HTTPS;
        all[6].when.source = (struct key_strs){ .list = some_texts, .count = 2 };
        all[7].when.source = (struct key_strs){ .list = more_texts, .count = 2 }; /* the same letters, cut elsewhere */
        all[8].when.headers = (struct key_map){ some_texts, some_texts, 1 };
        all[9].when.query = (struct key_map){ some_texts, some_texts, 1 };
        all[10].when.cookies = (struct key_map){ some_texts, some_texts, 1 };
        all[11].when.headers = (struct key_map){ some_texts, some_texts, 2 };
        for (size_t i = 0; i < n; i++)
                for (size_t k = 0; k < i; k++)
                        ck_assert_uint_ne(route_identity(&all[i]), route_identity(&all[k]));
}
END_TEST

int
main(void)
{
        Suite *s = suite_create("route_identity");
        TCase *t = tcase_create("route_identity");

        tcase_add_test(t, what_a_route_does_is_no_part_of_it);
        tcase_add_test(t, what_it_matches_is);
        suite_add_tcase(s, t);
        return run_suite(s);
}
