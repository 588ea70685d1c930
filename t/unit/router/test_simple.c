/* test_simple.c - what is done for a regex without PCRE2: which regexes become programs, and that those say what PCRE2 says.
 * SPDX-License-Identifier: MIT */
#include <check.h>
#include <stdio.h>

#include "naive.h"
#include "router/simple.h"
#include "../run.h"

static const struct { const char *regex; int pieces; bool takes_all; } cases[] = { /* -1: left to PCRE2 */
        { "^/v(?<major>\\d+)/(?<rest>.*)$", 2, false },
        { "/a/b", 0, false },
        { "^/a\\.b$", 0, false },
        { "^/(?<x>[^/]+)/edit$", 1, false },
        { "^/(?P<x>[a-f0-9]{8})$", 1, false },
        { "^/(\\w+)$", 1, false },
        { "^/(?:\\d*)x$", 1, false },
        { "^/x/.*$", 1, true },
        { "^/x/(.*)$", 1, true },
        { "^/x/(?<rest>.*)", 1, true },
        { ".*", 1, true },
        { "/a\\.b/(?:.*)", 1, true },
        { "^/x/.+$", 1, false },
        { "^/(?<x>[^/]*)$", 1, false },
        { "^/(?<x>\\d+)1$", -1, false },          /* the class may end before the literal begins */
        { "^/(?<x>.*)\\.html$", -1, false },
        { "^/(?<x>\\d+)(?<y>\\w+)$", -1, false }, /* nothing between them */
        { "^/(?<x>\\d+?)$", -1, false },
        { "^/(?<x>\\d+)+$", -1, false },
        { "^/(?<x>[^/]{2})$", -1, false },         /* characters, not bytes */
        { "^/(?<x>\\d{0,3})$", -1, false },
        { "^/(?<x>[\\d-x]+)$", -1, false },
        { "^/(a|b)$", -1, false },
        { "^/a|/b$", -1, false },
        { "^/ab?$", -1, false },
        { "^/(?i)a$", -1, false },
        { "^/(?<x>(?<y>\\d+))$", -1, false },
        { "^/(?=a).*$", -1, false },
        { "^/\\bx$", -1, false },
        { "^/(?<x>\\d+)/(?<x>\\d+)$", -1, false },
        { "^/[[:alpha:]]+$", -1, false },
        { "^/x(?<=.*)", -1, false },
        { "^/a(.*)b.*$", -1, false },
        { "^/a(?#x).*$", -1, false },
};

START_TEST(regex_is_known)
{
        struct arena *a = arena_new();
        struct simple_program p;
        struct span regex = span_of(cases[_i].regex);
        bool yes = simple_program(regex, a, &p);

        ck_assert_msg(yes == (cases[_i].pieces >= 0), "%s", cases[_i].regex);
        if (yes)
                ck_assert_int_eq((int)p.count, cases[_i].pieces);
        ck_assert_msg(simple_takes_all(regex, pattern_regex_prefix(regex, a, 63).len) == cases[_i].takes_all, "%s", cases[_i].regex);
        arena_free(a);
}
END_TEST

/* ---- against PCRE2 ------------------------------------------------------------------------------------------------------------------- */

static uint64_t seed = 4711;

static uint32_t
pick(uint32_t n)
{
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        return (uint32_t)((seed >> 16) % n);
}
#define PICK(list) (list)[pick(sizeof(list) / sizeof((list)[0]))]

/* Any regex made of these, and any path of those: where there is a program, the router must say what PCRE2 alone says. */
START_TEST(programs_agree_with_pcre2)
{
        static const char *const parts[] = { "a", "/", "-", "\\.", "(?<p>\\d+)", "(?<q>\\w*)", "(?<r>[^/]+)", "(.*)", "(?<s>[a-c]{2,3})", "\\d?", "(?<t>[^/-]*)", "b", "[x-z]{2}",
                                              "(?:[0-4]+)", "\xc3\xa9" };
        static const char *const words[] = { "a", "/", "-", ".", "1", "42", "b", "abc", "xy", "_", "\xc3\xa9", "0" };
        struct router_scratch *s = router_scratch_new();
        unsigned programs = 0, yes = 0;

        for (unsigned k = 0; k < 3000; k++) {
                char regex[200] = "~^/";
                struct route route = { .path = regex, .methods = M_ANY };
                struct naive_route naive;
                struct simple_program p;
                struct arena *a = arena_new();
                struct router *r = NULL;
                struct diags d;
                size_t n = 3;

                for (unsigned i = 1 + pick(5); i-- > 0;)
                        n += (size_t)snprintf(regex + n, sizeof(regex) - n, "%s", PICK(parts));
                diags_init(&d);
                programs += simple_program(span_of(regex + 1), a, &p);
                if (simple_program(span_of(regex + 1), a, &p) && router_compile(&route, 1, NULL, &d, &r) == 0) {
                        naive_parse(&naive, &route);
                        ck_assert_msg(naive.regex != NULL, "PCRE2 refuses %s", regex);
                        for (unsigned i = 0; i < 300; i++) {
                                char path[100] = "/";
                                struct router_query q = { .method = M_GET };
                                struct router_match m;
                                struct naive_values v = { .count = 0 };
                                bool got, want;

                                n = 1;
                                for (unsigned w = pick(6); w-- > 0;)
                                        n += (size_t)snprintf(path + n, sizeof(path) - n, "%s", PICK(words));
                                q.path = (struct span){ path, n };
                                got = router_match(r, s, &q, &m) == ROUTER_FOUND;
                                want = naive_matches(&naive, q.path, &v);
                                ck_assert_msg(got == want, "%s on %s: %d, PCRE2 %d", regex, path, got, want);
                                yes += got;
                                for (uint32_t x = 0, g = 0; got && x < p.count; x++)
                                        if (p.pieces[x].name.ptr != NULL) {
                                                ck_assert(g < m.param_count);
                                                ck_assert(span_is(m.params[g].name, p.pieces[x].name));
                                                g++;
                                        }
                        }
                        naive_forget(&naive);
                }
                router_free(r);
                diags_fini(&d);
                arena_free(a);
        }
        ck_assert_uint_gt(programs, 300);
        ck_assert_uint_gt(yes, 1000);
        router_scratch_free(s);
}
END_TEST

#define COUNT(list) (int)(sizeof(list) / sizeof((list)[0]))

int
main(void)
{
        Suite *suite = suite_create("simple");
        TCase *tc = tcase_create("simple");

        (void)naive_match;
        tcase_add_loop_test(tc, regex_is_known, 0, COUNT(cases));
        tcase_add_test(tc, programs_agree_with_pcre2);
        tcase_set_timeout(tc, 60);
        suite_add_tcase(suite, tc);
        return run_suite(suite);
}
