/* test_ctl.c - what a line on the control socket means, and which lines mean nothing.
 * SPDX-License-Identifier: MIT */
#include "server/ctl.h"

#include <check.h>
#include <errno.h>
#include <stdlib.h>

#include "t/unit/run.h"

static const struct { const char *line; int r; const char *command; size_t arg_count; const char *arg; bool json; } lines[] = {
        { "{\"command\":\"reload\"}", 0, "reload", 0, NULL, false },
        { "{\"command\":\"status\",\"args\":[],\"json\":true}", 0, "status", 0, NULL, true },
        { "{\"command\":\"restart\",\"args\":[\"shop\"],\"json\":false}", 0, "restart", 1, "shop", false },
        { "{\"command\":\"stop\",\"args\":[\"--now\"]}", 0, "stop", 1, "--now", false },
        { "{\"command\":\"x\",\"args\":[\"1\",\"\",\"\",\"\",\"\",\"\",\"\",\"\",\"\",\"\",\"\",\"\",\"\",\"\",\"\",\"\",\"\",\"\",\"\",\"\""
          ",\"\",\"\",\"\",\"\",\"\",\"\",\"\",\"\",\"\",\"\",\"\",\"\",\"\",\"\",\"\",\"\",\"\",\"\",\"\",\"\"]}", 0, "x", 40, "1", false },
        { "{\"command\":\"x\",\"args\":[\"1\",\"\",\"\",\"\",\"\",\"\",\"\",\"\",\"\",\"\",\"\",\"\",\"\",\"\",\"\",\"\",\"\",\"\",\"\",\"\",\"\""
          ",\"\",\"\",\"\",\"\",\"\",\"\",\"\",\"\",\"\",\"\",\"\",\"\",\"\",\"\",\"\",\"\",\"\",\"\",\"\",\"\"]}", -EINVAL, NULL, 0, NULL, false },
        { "", -EINVAL, NULL, 0, NULL, false },
        { "reload", -EINVAL, NULL, 0, NULL, false },
        { "[]", -EINVAL, NULL, 0, NULL, false },
        { "{}", -EINVAL, NULL, 0, NULL, false },
        { "{\"command\":7}", -EINVAL, NULL, 0, NULL, false },
        { "{\"command\":\"a\\u0000b\"}", -EINVAL, NULL, 0, NULL, false },
        { "{\"command\":\"restart\",\"args\":\"shop\"}", -EINVAL, NULL, 0, NULL, false },
        { "{\"command\":\"restart\",\"args\":[1]}", -EINVAL, NULL, 0, NULL, false },
        { "{\"command\":\"restart\",\"args\":[\"a\\u0000b\"]}", -EINVAL, NULL, 0, NULL, false },
        { "{\"command\":\"status\",\"json\":1}", -EINVAL, NULL, 0, NULL, false },
        { "{\"command\":\"status\",\"jsn\":true}", -EINVAL, NULL, 0, NULL, false },
        { "{\"command\":\"status\"} x", -EINVAL, NULL, 0, NULL, false },
};

START_TEST(a_line_is_understood_or_refused_with_a_reason)
{
        struct arena *a = arena_new();
        struct ctl_request q = { .command = "untouched" };
        char why[128] = "";

        ck_assert_int_eq(ctl_request_parse(lines[_i].line, strlen(lines[_i].line), a, &q, why, sizeof why), lines[_i].r);
        if (lines[_i].r < 0) {
                ck_assert_str_ne(why, "");
                ck_assert_str_eq(q.command, "untouched");
        } else {
                ck_assert_str_eq(q.command, lines[_i].command);
                ck_assert_uint_eq(q.arg_count, lines[_i].arg_count);
                if (lines[_i].arg)
                        ck_assert_str_eq(q.args[0], lines[_i].arg);
                ck_assert(q.json == lines[_i].json);
        }
        arena_free(a);
}
END_TEST

int
main(void)
{
        Suite *s = suite_create("ctl");
        TCase *c = tcase_create("ctl");

        LOOP(c, a_line_is_understood_or_refused_with_a_reason, lines);
        suite_add_tcase(s, c);
        return run_suite(s);
}
