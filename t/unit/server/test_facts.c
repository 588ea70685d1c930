/* test_facts.c - facts.c: what conditions are asked of a request head. SPDX-License-Identifier: MIT */
#include "../../../server/facts.h"

#include <check.h>
#include <stdlib.h>

static const struct { const char *raw, *name, *value; } queries[] = {
        { "a=1", "a", "1" },
        { "a=1&b=2", "b", "2" },
        { "b=2&a=1&a=3", "a", "1" },             /* the first counts */
        { "a", "a", "" },
        { "a=", "a", "" },
        { "a==", "a", "=" },
        { "a=1", "A", NULL },
        { "aa=1", "a", NULL },
        { "a=1", "aa", NULL },
        { "", "a", NULL },
        { "&&&", "a", NULL },
        { "&&a=1", "a", "1" },
        { "=x", "a", NULL },
        { "%61=%31", "a", "1" },
        { "a+b=c+d", "a b", "c d" },
        { "a%20b=c%2Bd", "a b", "c+d" },
        { "a=%C3%A9", "a", "\xc3\xa9" },
        { "a=%", "a", "%" },                     /* what is no escape stands for itself */
        { "a=%4", "a", "%4" },
        { "a=%zz", "a", "%zz" },
        { "a=%2531", "a", "%31" },               /* decoded once */
        { "a%3D1", "a", NULL },
        { "a=b%26c=d", "a", "b&c=d" },
};

START_TEST(query)
{
        char room[64];
        struct span found = facts_query(span_of(queries[_i].raw), span_of(queries[_i].name), room, sizeof(room));

        if (queries[_i].value == NULL)
                ck_assert_ptr_null(found.ptr);
        else
                ck_assert_msg(found.ptr != NULL && span_is(found, span_of(queries[_i].value)), "%s: %.*s", queries[_i].raw, (int)found.len, found.ptr);
}
END_TEST

START_TEST(a_long_value_is_cut)
{
        char raw[200] = "a=", room[16];
        struct span found;

        memset(raw + 2, 'x', 100);
        found = facts_query(span_of(raw), SPAN_LIT("a"), room, sizeof(room));
        ck_assert_uint_eq(found.len, sizeof(room));
        ck_assert_int_lt(ROUTE_VALUE_MAX, FACT_MAX); /* so that no condition equals what was cut */
}
END_TEST

static const struct { const char *field, *name, *value; } cookies[] = {
        { "a=1", "a", "1" },
        { "b=2; a=1", "a", "1" },
        { "b=2;a=1;a=3", "a", "1" },
        { "a = 1 ; b=2", "a", "1" },
        { "a=\"1\"", "a", "1" },
        { "a=\"", "a", "\"" },
        { "a=\"\"", "a", "" },
        { "a=", "a", "" },
        { "a", "a", NULL },
        { "A=1", "a", NULL },
        { "aa=1", "a", NULL },
        { "", "a", NULL },
        { ";;;a=1", "a", "1" },
        { "a=1=2", "a", "1=2" },
        { "b=a=1", "a", NULL },
        { "a=%31", "a", "%31" },                 /* cookies have no escapes */
};

START_TEST(cookie)
{
        struct span found = facts_cookie(span_of(cookies[_i].field), span_of(cookies[_i].name));

        if (cookies[_i].value == NULL)
                ck_assert_ptr_null(found.ptr);
        else
                ck_assert_msg(found.ptr != NULL && span_is(found, span_of(cookies[_i].value)), "%s: %.*s", cookies[_i].field, (int)found.len, found.ptr);
}
END_TEST

START_TEST(a_head_is_asked)
{
        static const char text[] = "GET /x?q=%41 HTTP/1.1\r\nHost: a\r\nX-Api:  2 \r\nX-API: 3\r\nCookie: a=1\r\nContent-Length: 0\r\nCookie: b=2\r\nX-Empty:\r\n\r\n";
        static const struct http_limits limits = { 8192, 16384, 100 };
        struct http_head head;
        struct facts f;

        http_head_init(&head);
        ck_assert_int_gt(http_head_parse(&head, text, sizeof(text) - 1, &limits), 0);
        facts_init(&f, &head, text);
        ck_assert(span_is(f.ask.header(f.ask.ctx, SPAN_LIT("x-api")), SPAN_LIT("2")));
        ck_assert(span_is(f.ask.header(f.ask.ctx, SPAN_LIT("content-length")), SPAN_LIT("0")));
        ck_assert_ptr_nonnull(f.ask.header(f.ask.ctx, SPAN_LIT("x-empty")).ptr);
        ck_assert_uint_eq(f.ask.header(f.ask.ctx, SPAN_LIT("x-empty")).len, 0);
        ck_assert_ptr_null(f.ask.header(f.ask.ctx, SPAN_LIT("x-ap")).ptr);
        ck_assert(span_is(f.ask.query(f.ask.ctx, SPAN_LIT("q")), SPAN_LIT("A")));
        ck_assert_ptr_null(f.ask.query(f.ask.ctx, SPAN_LIT("r")).ptr);
        ck_assert(span_is(f.ask.cookie(f.ask.ctx, SPAN_LIT("a")), SPAN_LIT("1")));
        ck_assert(span_is(f.ask.cookie(f.ask.ctx, SPAN_LIT("b")), SPAN_LIT("2")));
        ck_assert_ptr_null(f.ask.cookie(f.ask.ctx, SPAN_LIT("c")).ptr);
}
END_TEST

int
main(void)
{
        Suite *s = suite_create("facts");
        TCase *tc = tcase_create("all");
        SRunner *sr;
        int failed;

        tcase_add_loop_test(tc, query, 0, (int)(sizeof(queries) / sizeof(*queries)));
        tcase_add_test(tc, a_long_value_is_cut);
        tcase_add_loop_test(tc, cookie, 0, (int)(sizeof(cookies) / sizeof(*cookies)));
        tcase_add_test(tc, a_head_is_asked);
        suite_add_tcase(s, tc);
        sr = srunner_create(s);
        srunner_run_all(sr, CK_ENV);
        failed = srunner_ntests_failed(sr);
        srunner_free(sr);
        return failed > 0;
}
