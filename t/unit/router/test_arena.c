/* test_arena.c - SPDX-License-Identifier: MIT */
#include "../../../router/arena.h"

#include <check.h>
#include <stdint.h>
#include <stdlib.h>
#include "../run.h"

static const size_t sizes[] = { 0, 1, 15, 16, 17, 4096, 65536, 65537, 1 << 20 };

static bool
all_are(const unsigned char *p, size_t size, unsigned value)
{
        size_t i = 0;

        while (i < size && p[i] == value)
                i++;
        return i == size;
}

START_TEST(memory_is_zeroed_aligned_and_ours)
{
        struct arena *a = arena_new();
        unsigned char *p[64];
        size_t size = sizes[_i];

        for (unsigned i = 0; i < 64; i++) {
                p[i] = arena_alloc(a, size);
                ck_assert_ptr_nonnull(p[i]);
                ck_assert_uint_eq((uintptr_t)p[i] % 16, 0);
                ck_assert(all_are(p[i], size, 0));
                memset(p[i], (int)i + 1, size);
        }
        for (unsigned i = 0; i < 64; i++)
                ck_assert(all_are(p[i], size, i + 1)); /* nobody wrote over it */
        for (unsigned i = 1; i < 64; i++)
                ck_assert_ptr_ne(p[i], p[i - 1]);
        ck_assert_uint_ge(arena_bytes(a), 64 * size);
        arena_free(a);
}
END_TEST

START_TEST(what_cannot_be_had_is_null_and_the_arena_goes_on)
{
        struct arena *a = arena_new();

        ck_assert_ptr_null(arena_alloc(a, SIZE_MAX));
        ck_assert_ptr_null(arena_alloc(a, SIZE_MAX / 2));
        ck_assert_ptr_null(arena_strndup(a, "x", SIZE_MAX));
        ck_assert_str_eq(arena_strdup(a, "still here"), "still here");
        arena_free(a);
        arena_free(NULL);
}
END_TEST

START_TEST(texts_are_copied_and_ended)
{
        struct arena *a = arena_new();
        char from[] = "abcdef";
        char *cut = arena_strndup(a, from, 3), *whole = arena_strdup(a, from), *none = arena_strndup(a, NULL, 0);

        from[0] = 'X';
        ck_assert_str_eq(cut, "abc");
        ck_assert_str_eq(whole, "abcdef");
        ck_assert_str_eq(none, "");
        ck_assert_str_eq(arena_printf(a, "%s-%d", "n", 42), "n-42");
        arena_free(a);
}
END_TEST

START_TEST(small_things_share_blocks)
{
        struct arena *a = arena_new();

        for (unsigned i = 0; i < 100000; i++)
                ck_assert_ptr_nonnull(arena_alloc(a, 16));
        ck_assert_uint_lt(arena_bytes(a), 100000u * 16u * 2u);
        arena_free(a);
}
END_TEST

int
main(void)
{
        Suite *s = suite_create("arena");
        TCase *t = tcase_create("arena");

        suite_add_tcase(s, t);
        tcase_add_loop_test(t, memory_is_zeroed_aligned_and_ours, 0, sizeof(sizes) / sizeof(*sizes));
        tcase_add_test(t, what_cannot_be_had_is_null_and_the_arena_goes_on);
        tcase_add_test(t, texts_are_copied_and_ended);
        tcase_add_test(t, small_things_share_blocks);
        return run_suite(s);
}
