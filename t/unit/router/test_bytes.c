/* test_bytes.c - slashes as bits, texts as words: the fast way against the plain one, on every length, at the very edge of its memory.
 * SPDX-License-Identifier: MIT */
#include <check.h>
#include <stdlib.h>

#include "router/bytes.h"
#include "../run.h"

static uint64_t seed = 88172645463325252u;

static uint32_t
pick(uint32_t n)
{
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        return (uint32_t)((seed >> 16) % n);
}

/* Slashes and their neighbours in the code, so that a borrow would show. */
static void
fill(char *p, size_t n)
{
        static const char alphabet[] = "/././0/ab\xaf\x2e\x30\x7f\x80";

        for (size_t i = 0; i < n; i++)
                p[i] = alphabet[pick(sizeof(alphabet) - 1)];
}

START_TEST(slashes_are_found)
{
        size_t n = (size_t)_i;

        for (unsigned k = 0; k < 300; k++) {
                char *p = malloc(n + (n == 0)); /* exact sizes, for the address sanitizer */
                uint64_t want = 0;

                fill(p, n);
                for (size_t i = 0; i < n && i < 64; i++)
                        want |= (uint64_t)(p[i] == '/') << i;
                ck_assert_uint_eq(bytes_slashes(p, n), want);
                ck_assert_uint_eq(bytes_slashes_portable(p, n), want);
                free(p);
        }
}
END_TEST

START_TEST(keys_are_the_text)
{
        size_t n = (size_t)_i;

        for (unsigned k = 0; k < 40 && n >= 8; k++) {
                char *p = malloc(n);

                for (size_t i = 0; i < n; i++)
                        p[i] = (char)(1 + pick(255));
                for (size_t from = 0; from <= n; from++)
                        for (size_t end = from; end <= n; end++) {
                                struct bytes_key got = bytes_key(p, n, from, end), want = { 0, 0 };

                                for (size_t i = from; i < end && i < from + 8; i++)
                                        want.a |= (uint64_t)(unsigned char)p[i] << (8 * (i - from));
                                for (size_t i = end - 8; end - from > 8 && i < end; i++)
                                        want.b |= (uint64_t)(unsigned char)p[i] << (8 * (i - (end - 8)));
                                ck_assert_uint_eq(got.a, want.a);
                                ck_assert_uint_eq(got.b, want.b);
                        }
                free(p);
        }
        for (unsigned k = 0; k < 500 && n < 8; k++) {
                char *p = malloc(n + (n == 0));
                uint64_t want = 0;

                fill(p, n);
                for (size_t i = 0; i < n; i++)
                        want |= (uint64_t)(unsigned char)p[i] << (8 * i);
                ck_assert_uint_eq(bytes_short(p, n), want);
                free(p);
        }
}
END_TEST

/* Every byte counts: texts that differ in one byte alone fall into different places, but for a few. */
START_TEST(hashes_spread)
{
        char text[40];
        unsigned hits[1024] = { 0 }, most = 0;

        memset(text, 'a', sizeof(text));
        for (unsigned i = 0; i < 1024; i++) {
                size_t n = 4 + (size_t)_i;
                char *digits = text + (_i % 3 == 0 ? 0 : _i % 3 == 1 ? n - 4 : (n - 4) / 2);
                char save[4];

                memcpy(save, digits, 4);
                for (unsigned d = i, k = 4; k-- > 0; d /= 10)
                        digits[k] = (char)('0' + d % 10);
                hits[bytes_hash(bytes_key(text, sizeof(text), 0, n), text, n, 7) >> 54]++;
                memcpy(digits, save, 4);
        }
        for (unsigned i = 0; i < 1024; i++)
                most = hits[i] > most ? hits[i] : most;
        ck_assert_msg(most <= 16, "%u of 1,024 texts of %d bytes in one place", most, _i + 4);
}
END_TEST

int
main(void)
{
        Suite *suite = suite_create("bytes");
        TCase *tc = tcase_create("bytes");

        tcase_add_loop_test(tc, slashes_are_found, 0, 132);
        tcase_add_loop_test(tc, keys_are_the_text, 0, 28);
        tcase_add_loop_test(tc, hashes_spread, 0, 33);
        suite_add_tcase(suite, tc);
        return run_suite(suite);
}
