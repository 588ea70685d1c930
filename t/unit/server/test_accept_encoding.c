/* test_accept_encoding.c - the weights of each coding, and what a client gets of what is on offer. RFC 9110, 12.5.3 and 12.4.2.
 * SPDX-License-Identifier: MIT */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/accept_encoding.h"
#include "t/unit/run.h"

/* weights: identity gzip br zstd */
static const struct { const char *value; int identity, gzip, br, zstd; } weights[] = {
        { "", 1, 0, 0, 0 },                                       /* 12.5.3: an empty field wants no coding */
        { "gzip", 1, 1000, 0, 0 },
        { "gzip, br, zstd", 1, 1000, 1000, 1000 },
        { "GZip,BR", 1, 1000, 1000, 0 },                          /* 8.4.1: codings are case-insensitive */
        { "x-gzip", 1, 1000, 0, 0 },                              /* 8.4.1.3 */
        { "gzip;q=0.5, br;q=1.0, zstd;q=0.333", 1, 500, 1000, 333 },
        { "gzip;q=0", 1, 0, 0, 0 },                               /* 12.4.2: 0 is "not acceptable" */
        { "gzip;q=0.000", 1, 0, 0, 0 },
        { "gzip;q=0.001", 1, 1, 0, 0 },
        { "gzip;q=1.000", 1, 1000, 0, 0 },
        { "gzip;q=1.", 1, 1000, 0, 0 },                           /* 12.4.2: up to three digits, so none will do */
        { "gzip;q=0.", 1, 0, 0, 0 },
        { "gzip;Q=0.7", 1, 700, 0, 0 },                           /* RFC 5234: literals in ABNF are case-insensitive */
        { "gzip ; q=0.7", 1, 700, 0, 0 },                         /* OWS ";" OWS */
        { "gzip\t;\tq=0.7\t", 1, 700, 0, 0 },
        { "*", 1000, 1000, 1000, 1000 },                          /* the asterisk is all that is not named */
        { "*;q=0.3, gzip", 300, 1000, 300, 300 },
        { "gzip;q=0, *", 1000, 0, 1000, 1000 },
        { "*;q=0", 0, 0, 0, 0 },                                  /* identity is excluded as well */
        { "identity;q=0.2, *;q=0", 200, 0, 0, 0 },                /* ... unless it is named */
        { "identity;q=0, gzip", 0, 1000, 0, 0 },
        { "identity;q=0.5, gzip;q=0.3", 500, 300, 0, 0 },
        { "deflate, compress, dcb, sdch", 1, 0, 0, 0 },           /* not ours */
        { "gzip;q=0.3, gzip;q=0.9", 1, 300, 0, 0 },               /* named twice: the lower */
        { "gzip, x-gzip;q=0", 1, 0, 0, 0 },
        { ",, gzip ,,\t, br,", 1, 1000, 1000, 0 },                /* 5.6.1.2: empty members are ignored */
        /* malformed: refused, the neighbours count */
        { "gzip;q=1.001, br", 1, 0, 1000, 0 },
        { "gzip;q=2, br", 1, 0, 1000, 0 },
        { "gzip;q=0.1234, br", 1, 0, 1000, 0 },
        { "gzip;q=-1, br", 1, 0, 1000, 0 },
        { "gzip;q=.5, br", 1, 0, 1000, 0 },
        { "gzip;q=, br", 1, 0, 1000, 0 },
        { "gzip;q, br", 1, 0, 1000, 0 },
        { "gzip;, br", 1, 0, 1000, 0 },
        { "gzip;q =1, br", 1, 0, 1000, 0 },
        { "gzip;q= 1, br", 1, 0, 1000, 0 },
        { "gzip;q=0.5x, br", 1, 0, 1000, 0 },
        { "gzip;q=05, br", 1, 0, 1000, 0 },
        { "gzip;level=9;q=1, br", 1, 0, 1000, 0 },                /* a coding has a weight and no other parameter */
        { "gzip zstd, br", 1, 0, 1000, 0 },
        { "*;q=x, br", 0, 0, 1000, 0 },
        { ";q=1, br", 1, 0, 1000, 0 },
        { "gzipp, gzi, b, zstdd, xgzip", 1, 0, 0, 0 },
};

static struct accept_encoding
parse(const char *value)
{
        struct accept_encoding a;
        size_t len = strlen(value);
        char *copy = malloc(len + 1); /* no NUL behind it that one could lean on */

        ck_assert_ptr_nonnull(copy);
        memcpy(copy, value, len);
        copy[len] = '1';
        accept_encoding_begin(&a);
        accept_encoding_add(&a, (struct span){ copy, len });
        accept_encoding_end(&a);
        free(copy);
        return a;
}

START_TEST(value_has_its_weights)
{
        struct accept_encoding a = parse(weights[_i].value);

        ck_assert_int_eq(a.weight[CODING_IDENTITY], weights[_i].identity);
        ck_assert_int_eq(a.weight[CODING_GZIP], weights[_i].gzip);
        ck_assert_int_eq(a.weight[CODING_BR], weights[_i].br);
        ck_assert_int_eq(a.weight[CODING_ZSTD], weights[_i].zstd);
}
END_TEST

/* On offer: zstd, br, gzip in this order. */
static const struct { const char *value, *all, *only_gzip; } choices[] = {
        { "gzip, deflate, br, zstd", "zstd", "gzip" },            /* ties go by the server's order */
        { "gzip, deflate, br", "br", "gzip" },
        { "gzip", "gzip", "gzip" },
        { "gzip;q=1, br;q=0.9", "gzip", "gzip" },
        { "gzip;q=0.9, br", "br", "gzip" },
        { "zstd;q=0, br;q=0, gzip;q=0.001", "gzip", "gzip" },     /* equal to identity that was not named: coded */
        { "*", "zstd", "gzip" },
        { "*;q=0.5, zstd;q=0.1", "br", "gzip" },
        { "identity, gzip", "gzip", "gzip" },
        { "identity, gzip;q=0.5", "identity", "identity" },
        { "identity;q=0.5, gzip", "gzip", "gzip" },
        { "br", "br", "identity" },
        { "br;q=0", "identity", "identity" },
        { "", "identity", "identity" },
        { "*;q=0", "identity", "identity" },                      /* nothing is acceptable: as it is, and not 406 */
        { "identity;q=0, br", "br", "identity" },
};

START_TEST(client_gets_what_it_likes_best)
{
        static const enum coding all[] = { CODING_ZSTD, CODING_BR, CODING_GZIP }, gzip[] = { CODING_GZIP };
        struct accept_encoding a = parse(choices[_i].value);

        ck_assert_str_eq(coding_name(accept_encoding_choose(&a, all, 3)).ptr, choices[_i].all);
        ck_assert_str_eq(coding_name(accept_encoding_choose(&a, gzip, 1)).ptr, choices[_i].only_gzip);
        ck_assert_int_eq(accept_encoding_choose(&a, NULL, 0), CODING_IDENTITY);
}
END_TEST

static struct accept_encoding
of_head(const char *text)
{
        static const struct http_limits limits = { 8192, 16384, 100 };
        struct accept_encoding a;
        struct http_head *h = malloc(sizeof *h);

        ck_assert_ptr_nonnull(h);
        http_head_init(h);
        ck_assert_int_gt(http_head_parse(h, text, (uint32_t)strlen(text), &limits), 0);
        accept_encoding_of(h, text, &a);
        free(h);
        return a;
}

START_TEST(head_without_the_field_takes_no_coding) /* as if it were empty */
{
        struct accept_encoding a = of_head("GET / HTTP/1.1\r\nHost: a\r\nAccept: */*\r\n\r\n");

        ck_assert_int_eq(a.weight[CODING_IDENTITY], 1);
        ck_assert_int_eq(a.weight[CODING_GZIP], 0);
}
END_TEST

START_TEST(several_lines_are_one_list) /* 5.3 */
{
        struct accept_encoding a = of_head("GET / HTTP/1.1\r\nHost: a\r\nAccept-Encoding: gzip;q=0.5\r\nAccept: */*\r\naccept-encoding:\r\nAccept-Encoding: br, *;q=0\r\n\r\n");

        ck_assert_int_eq(a.weight[CODING_IDENTITY], 0);
        ck_assert_int_eq(a.weight[CODING_GZIP], 500);
        ck_assert_int_eq(a.weight[CODING_BR], 1000);
        ck_assert_int_eq(a.weight[CODING_ZSTD], 0);
}
END_TEST

int
main(void)
{
        Suite *s = suite_create("accept_encoding");
        TCase *t = tcase_create("values");

        LOOP(t, value_has_its_weights, weights);
        LOOP(t, client_gets_what_it_likes_best, choices);
        tcase_add_test(t, head_without_the_field_takes_no_coding);
        tcase_add_test(t, several_lines_are_one_list);
        suite_add_tcase(s, t);
        return run_suite(s);
}
