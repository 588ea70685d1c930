/* run.h - how every unit test program ends: its suite is run, and the exit status says how it went. Also: one test for each row of a table.
 * SPDX-License-Identifier: MIT
 * Only <check.h>; what a test needs of its floor is its own affair. CK_VERBOSITY and CK_FORK count as Check documents them. */
#ifndef HEART_UNIT_RUN_H
#define HEART_UNIT_RUN_H

#include <check.h>

#define LOOP(tcase, test, rows) tcase_add_loop_test(tcase, test, 0, (int)(sizeof(rows) / sizeof((rows)[0])))

static inline int
run_suite(Suite *s)
{
        SRunner *sr = srunner_create(s);

        srunner_run_all(sr, CK_ENV);
        int failed = srunner_ntests_failed(sr);
        srunner_free(sr);
        return failed != 0;
}

#endif
