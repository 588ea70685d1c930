/* test_urlencoded.c - application/x-www-form-urlencoded (URL standard, 5.1): pairs, escapes, bounds.
 * SPDX-License-Identifier: MIT
 * Every row is read whole, cut in two at every byte, and byte by byte, out of memory that ends where the bytes end. */
#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "t/unit/run.h"
#include "workers/heart/urlencoded.h"

#define PAIRS_MAX 5
#define TEXT_MAX 40

/* name<value; for each pair, or the error. */
static const char *
outcome_of(const char *text, size_t len, size_t cut, size_t step)
{
        static char out[4096];
        struct urlencoded u;
        size_t at = 0, n = 0;
        int e = 0;

        urlencoded_init(&u, PAIRS_MAX, TEXT_MAX);
        for (size_t to = cut; e == 0; to = step == 0 || len - at < step ? len : at + step) {
                char *copy = malloc(to - at > 0 ? to - at : 1);
                memcpy(copy, text + at, to - at);
                e = urlencoded_feed(&u, copy, to - at);
                free(copy);
                at = to;
                if (at == len)
                        break;
        }
        if (e == 0)
                e = urlencoded_end(&u);
        out[0] = '\0';
        for (uint32_t i = 0; i < u.pair_count && e == 0; i++)
                n += (size_t)sprintf(out + n, "%.*s<%.*s;", (int)u.pairs[i].name_len, u.text + u.pairs[i].name, (int)u.pairs[i].value_len, u.text + u.pairs[i].value);
        if (e < 0)
                sprintf(out, "%s", e == -E2BIG ? "!pairs" : e == -EFBIG ? "!text" : "!");
        urlencoded_fini(&u);
        return out;
}

static const struct { const char *text, *expected; } rows[] = {
        { "", "" },
        { "a=1", "a<1;" },
        { "a=1&b=2&a=3", "a<1;b<2;a<3;" },
        { "a", "a<;" },
        { "a=", "a<;" },
        { "=a", "<a;" },
        { "=", "<;" },
        { "&", "" },
        { "&&a=1&&b&", "a<1;b<;" },
        { "a=1=2", "a<1=2;" },
        { "a;b=1", "a;b<1;" },                 /* a semicolon is no separator */
        { "a+b=c+d%2B", "a b<c d+;" },
        { "%61%3d%26=%3D%26", "a=&<=&;" },
        { "caf%C3%A9=%e2%82%ac", "caf\xc3\xa9<\xe2\x82\xac;" },
        { "caf\xc3\xa9=\xff", "caf\xc3\xa9<\xff;" },
        { "a=%", "a<%;" },                      /* what is no escape stays */
        { "a=%4", "a<%4;" },
        { "a=%4&b=%", "a<%4;b<%;" },
        { "a=%zz%4g%%41", "a<%zz%4g%A;" },
        { "a%=1%", "a%<1%;" },
        { "a%4=1", "a%4<1;" },
        { "%=%", "%<%;" },
        { "a=%+b", "a<% b;" },
        { "1&2&3&4&5", "1<;2<;3<;4<;5<;" },
        { "1&2&3&4&5&6", "!pairs" },
        { "1&2&3&4&5&&&", "1<;2<;3<;4<;5<;" },
        { "a=012345678901234567890123456789012345678", "a<012345678901234567890123456789012345678;" },
        { "a=0123456789012345678901234567890123456789", "!text" },
        { "a=%30%31%32%33%34%35%36%37%38%39%30%31%32%33", "a<01234567890123;" }, /* bytes are counted as they come out */
};

START_TEST(a_text_becomes_its_pairs)
{
        size_t len = strlen(rows[_i].text);

        for (size_t cut = 0; cut <= len; cut++)
                ck_assert_str_eq(outcome_of(rows[_i].text, len, cut, 0), rows[_i].expected);
        for (size_t step = 1; step < 5; step++)
                ck_assert_str_eq(outcome_of(rows[_i].text, len, step < len ? step : len, step), rows[_i].expected);
}
END_TEST

START_TEST(a_zero_byte_is_a_byte)
{
        struct urlencoded u;

        urlencoded_init(&u, 10, 10);
        ck_assert_int_eq(urlencoded_feed(&u, "a=%00\0", 6), 0);
        ck_assert_int_eq(urlencoded_end(&u), 0);
        ck_assert_uint_eq(u.pair_count, 1);
        ck_assert_uint_eq(u.pairs[0].value_len, 2);
        ck_assert_mem_eq(u.text + u.pairs[0].value, "\0\0", 2);
        urlencoded_fini(&u);
}
END_TEST

int
main(void)
{
        Suite *s = suite_create("urlencoded");
        TCase *t = tcase_create("urlencoded");

        LOOP(t, a_text_becomes_its_pairs, rows);
        tcase_add_test(t, a_zero_byte_is_a_byte);
        suite_add_tcase(s, t);
        return run_suite(s);
}
