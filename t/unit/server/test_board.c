/* test_board.c - the words that master and loops share.
 * SPDX-License-Identifier: MIT */
#include "server/board.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "t/unit/run.h"

START_TEST(a_new_board_belongs_to_nobody)
{
        struct board *b = board_new();

        ck_assert_ptr_nonnull(b);
        ck_assert_uint_eq(atomic_load(&b->committed_generation), 0);
        for (size_t i = 0; i < WORKERS_MAX * LOOPS_MAX; i++)
                ck_assert_uint_eq(atomic_load(&b->loops[i].pid), 0);
        for (unsigned c = 0; c < C_COUNT; c++)
                ck_assert_uint_eq(board_sum(b, (enum counter)c), 0);
}
END_TEST

START_TEST(the_sum_is_over_all_rows_and_what_the_dead_counted)
{
        struct board *b = board_new();

        board_add(&b->master, C_requests, 1);
        board_add(&b->loops[0], C_requests, 10);
        board_add(&b->loops[WORKERS_MAX * LOOPS_MAX - 1], C_requests, 100);
        b->loops[5].base[C_requests] = 1000;
        board_add(&b->loops[5], C_bytes_in, 7);
        ck_assert_uint_eq(board_sum(b, C_requests), 1111);
        ck_assert_uint_eq(board_sum(b, C_bytes_in), 7);
        ck_assert_uint_eq(board_sum(b, C_bytes_out), 0);
}
END_TEST

START_TEST(a_child_counts_on_the_parents_board)
{
        struct board *b = board_new();
        pid_t pid = fork();
        int status;

        if (pid == 0) {
                board_add(&b->loops[3], C_connections_closed, 42);
                _exit(0);
        }
        ck_assert_int_eq(waitpid(pid, &status, 0), pid);
        ck_assert_uint_eq(board_sum(b, C_connections_closed), 42);
}
END_TEST

START_TEST(every_counter_has_its_name_and_help)
{
        ck_assert_str_eq(counter_name(C_connections_accepted), "connections_accepted");
        ck_assert_str_eq(counter_name(C_generations), "generations");
        for (unsigned c = 0; c < C_COUNT; c++) {
                ck_assert_uint_gt(strlen(counter_help((enum counter)c)), 0);
                for (unsigned other = 0; other < c; other++)
                        ck_assert_str_ne(counter_name((enum counter)c), counter_name((enum counter)other));
        }
}
END_TEST

int
main(void)
{
        Suite *s = suite_create("board");
        TCase *t = tcase_create("board");

        tcase_add_test(t, a_new_board_belongs_to_nobody);
        tcase_add_test(t, the_sum_is_over_all_rows_and_what_the_dead_counted);
        tcase_add_test(t, a_child_counts_on_the_parents_board);
        tcase_add_test(t, every_counter_has_its_name_and_help);
        suite_add_tcase(s, t);
        return run_suite(s);
}
