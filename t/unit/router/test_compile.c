/* test_compile.c - what is found when routes are loaded, at which place; the order of precedence; what a router holds.
 * SPDX-License-Identifier: MIT */
#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "router/router.h"
#include "../run.h"

/* ---- findings --------------------------------------------------------------------------------------------------------------------------- */

/* Up to four routes as they stand in a file, one line each from line 1 on; their findings as diags_format prints the first lines of them,
 * with "r.yaml:" left out. */
struct finding { struct route routes[4]; const char *expect[6]; };
#define AT(n) .place = { "r.yaml", n, 1, 1 }, .path_place = { "r.yaml", n, 10, 1 }
#define P(n, p) { .path = p, .methods = M_ANY, AT(n) }
#define W(n, p, ...) { .path = p, .methods = M_ANY, .when = __VA_ARGS__, AT(n) }
static const char *x_name[] = { "x" }, *x_any[] = { "*" }, *x_one[] = { "1" };
#define X_ANY { x_name, x_any, 1 }
#define X_ONE { x_name, x_one, 1 }
#define PM(n, p, m) { .path = p, .methods = m, AT(n) }
static const struct finding findings[] = {
        { { P(1, "/a"), P(2, "/b") }, { NULL } },
        { { P(1, "/a"), P(2, "/a") },
          { "2:10: error: this route can never win: another one has the same path and selectors, and every method too", "1:10: note: the other one is here" } },
        { { PM(1, "/a", M_GET | M_POST), PM(2, "/a", M_POST | M_PUT) },
          { "2:10: error: this route can never win: another one has the same path and selectors, and POST too", "1:10: note: the other one is here" } },
        { { PM(1, "/a", M_GET), PM(2, "/a", M_POST) }, { NULL } },
        { { PM(1, "/a", M_GET), PM(2, "/a", M_HEAD) }, { NULL } }, /* the second takes HEAD away from the first, on purpose */
        { { P(1, "/{a:int}/x"), P(2, "/{b:int}/x") }, { "2:10: error: this route can never win", "1:10: note:" } }, /* names do not make a pattern */
        { { P(1, "/{a:re(x+)}"), P(2, "/{b:re(x+)}") }, { "2:10: error: this route can never win", "1:10: note:" } },
        { { P(1, "/{a:re(x+)}"), P(2, "/{b:re(y+)}") }, { NULL } },
        { { P(1, "/{a:int}"), P(2, "/{a:float}"), P(3, "/{a}"), P(4, "/{a:path}") }, { NULL } },
        { { P(1, "~^/x$"), P(2, "~^/x$") }, { "2:10: error: this route can never win", "1:10: note:" } },
        { { P(1, "/caf%C3%A9"), P(2, "/caf\xc3\xa9") }, { "2:10: error: this route can never win", "1:10: note:" } },
        { { P(1, "/a"), { .path = "/a", .methods = M_ANY, .host = "x.example", AT(2) } }, { NULL } },
        { { { .path = "/a", .methods = M_ANY, .host = "X.example", AT(1) }, { .path = "/a", .methods = M_ANY, .on = ":::x.Example", AT(2) } },
          { "2:10: error: this route can never win", "1:10: note:" } },
        { { P(1, "/{r:path}"), { .path = "/{s:path}", .methods = M_ANY, .fallback = true, AT(2) } }, { NULL } },
        { { { .path = "/{r:path}", .methods = M_ANY, .fallback = true, AT(1) }, { .path = "/{s:path}", .methods = M_ANY, .fallback = true, AT(2) } },
          { "2:10: error: this route can never win", "1:10: note:" } },
        /* regexes behind a template that takes it all */
        { { P(1, "/x/{r:path}"), P(2, "~^/x/(?<n>\\d+)$") },
          { "2:10: warning: this route can never win: regexes come after templates, and one of those takes every such path", "1:10: note: it is here" } },
        { { P(1, "/{r:path}"), P(2, "~.*") }, { "2:10: warning:", "1:10: note:" } },
        { { PM(1, "/{r:path}", M_GET), PM(2, "~.*", M_POST) }, { NULL } },
        { { P(1, "/{r:path}"), { .path = "~.*", .methods = M_ANY, .first = true, AT(2) } },
          { "1:10: warning: this route can never win: a regex before it takes every such path", "2:10: note: it is here" } },
        { { P(1, "/x/{r}"), P(2, "/y"), { .path = "~^/x/(?<all>.*)$", .methods = M_ANY, .first = true, AT(3) } },
          { "1:10: warning: this route can never win: a regex before it takes every such path", "3:10: note: it is here" } },
        { { P(1, "~^/x/.*$"), P(2, "~^/x/(?<n>\\d+)$"), P(3, "~^/y$"), P(4, "~^/x") },
          { "2:10: warning: this route can never win: a regex before it takes every such path", "1:10: note: it is here" } },
        { { P(1, "~^/x$"), { .path = "~^/x$", .methods = M_ANY, .first = true, AT(2) } },
          { "1:10: warning: this route can never win: the same regex stands before every template", "2:10: note: it is here" } },
        { { PM(1, "~^/x/.*$", M_GET), P(2, "~^/x/y$") }, { NULL } },
        /* templates behind templates that take all that they do */
        { { P(1, "/{a:re([a-z]+)}"), P(2, "/{b:re([a-f]+)}") },
          { "2:10: warning: this route can never win: a stronger one takes every such path", "1:10: note: it is here" } },
        { { P(1, "/{a:re([a-f]+)}"), P(2, "/{b:re([a-z]+)}") }, { NULL } },
        { { P(1, "/{a:re([\\w-]+)}/x"), P(2, "/{b:slug}/x"), P(3, "/{b:slug}/y") },
          { "2:10: warning: this route can never win: a stronger one takes every such path", "1:10: note: it is here" } },
        { { P(1, "/{a:re([\\w-]+)}/{rest:path}"), P(2, "/{b:slug}/{x:int}/y") },
          { "2:10: warning: this route can never win: a stronger one takes every such path", "1:10: note: it is here" } },
        { { P(1, "/f-{a:re(.+)}.js"), P(2, "/f-{b}.js"), P(3, "/f-{b}.css"), P(4, "/f-{b:int}.js") },
          { "2:10: warning: this route can never win: a stronger one takes every such path", "1:10: note: it is here" } },
        { { PM(1, "/{a:re([a-z]+)}", M_GET), P(2, "/{b:re([a-f]+)}") }, { NULL } },
        /* conditions */
        { { W(1, "/a", { .scheme = WHEN_HTTPS }), W(2, "/a", { .scheme = WHEN_HTTPS }) },
          { "2:10: error: this route can never win: another one has the same path and selectors and conditions, and every method too", "1:10: note:" } },
        { { W(1, "/a", { .scheme = WHEN_HTTPS }), W(2, "/a", { .scheme = WHEN_HTTP }), P(3, "/a") }, { NULL } },
        { { W(1, "/a", { .headers = X_ANY }), W(2, "/a", { .headers = X_ONE }) },
          { "2:10: warning: this route can never win: whenever its conditions hold, so do those of one before it", "1:10: note:" } },
        { { W(1, "/a", { .headers = X_ONE }), W(2, "/a", { .headers = X_ANY }) }, { NULL } },
        { { W(1, "/{a:re([a-z]+)}", { .headers = X_ONE }), P(2, "/{b:re([a-f]+)}") }, { NULL } },
        { { W(1, "/{a:re([a-z]+)}", { .headers = X_ANY }), W(2, "/{b:re([a-f]+)}", { .headers = X_ONE }) },
          { "2:10: warning: this route can never win: a stronger one takes every such path", "1:10: note: it is here" } },
        { { W(1, "/{r:path}", { .scheme = WHEN_HTTPS }), P(2, "~.*") }, { NULL } },
        /* regexes that explode */
        { { P(1, "~^/(?:a|aa)+$") }, { "1:11: warning: this regex explodes: on \"/a" } },
        { { P(1, "~^/x/(\\w+\\s?)*$") }, { "1:11: warning: this regex explodes: on \"/x/" } },
        { { P(1, "/s/{x:re((a|aa)+)}") }, { "1:19: warning: this regex explodes" } },
        { { P(1, "~^/(?:a|aa)++$"), P(2, "~^/([a-z]+)/([0-9]+)$"), P(3, "/s/{x:re((a|b)+)}") }, { NULL } },
        { { P(1, "/xy/{r:path}"), P(2, "~^/x") }, { NULL } },
        { { { .path = "/{r:path}", .methods = M_ANY, .fallback = true, AT(1) }, P(2, "~.*") }, { NULL } },
        { { { .path = "/a", .methods = M_ANY, .first = true, AT(1) } }, { "1:10: warning: `first` is for regexes" } },
        /* patterns and regexes, all told in one go */
        { { P(1, "/{a:itn}"), P(2, "/{"), P(3, "~^/(") }, { "1:14: error: unknown type \"itn\"", "2:11: error: this \"{\" is never closed", "3:14: error: the regex is refused" } },
        { { P(1, "/x/{a:re(ab[)}") }, { "1:18: error: this parenthesis is never closed" } },
        { { P(1, "/x/{a:re(ab{2,1})}") }, { "1:25: error: the regex is refused: numbers out of order" } },
        { { P(1, "/x/{a}-{b:re((?z))}") }, { "1:25: error: the regex is refused" } },
        { { P(1, "~^/\\C") }, { "1:15: error: the regex is refused" } },
        { { P(1, "~(?<a>x)(?<b>x)(?<c>x)(?<d>x)(?<e>x)(?<f>x)(?<g>x)(?<h>x)(?<i>x)(?<j>x)(?<k>x)(?<l>x)(?<m>x)(?<n>x)(?<o>x)(?<p>x)(?<q>x)") },
          { "1:11: error: the regex is refused: more than 16 named groups" } },
        { { P(1, "~(?J)(?<a>x)|(?<a>y)") }, { "1:11: error: the regex is refused: the named group \"a\" is there twice" } },
        /* redirects */
        { { { .path = "/old/{slug}", .methods = M_ANY, .action = ROUTE_REDIRECT, .redirect = { "/new/{slug}", 308, { 0 } }, AT(1) } }, { NULL } },
        { { { .path = "/old/{slug}", .methods = M_ANY, .action = ROUTE_REDIRECT, .redirect = { "/new/{slgu}/{x}", 308, { 0 } }, AT(1) } },
          { "1:15: warning: the parameter \"slug\" is captured, but redirect.to does not use it", "1:1: note: redirect.to is here" } },
        { { { .path = "~^/(?<y>\\d+)/(?<zz>.*)$", .methods = M_ANY, .action = ROUTE_REDIRECT, .redirect = { "/{y}", 308, { 0 } }, AT(1) } },
          { "1:25: warning: the parameter \"zz\" is captured, but redirect.to does not use it", "1:1: note: redirect.to is here" } },
        { { { .path = "~^/(?<y>\\d+)$", .methods = M_ANY, .action = ROUTE_REDIRECT, .redirect = { "/{y}", 308, { 0 } }, AT(1) } }, { NULL } },
        /* selectors */
        { { { .path = "/a", .methods = M_ANY, .on = "8080", AT(1) } }, { "1:1: error: on \"8080\": the \"::\" between listener and host is missing" } },
        { { { .path = "/a", .methods = M_ANY, .on = "127.0.0.1:8080", AT(1) } }, { "1:1: error: on \"127.0.0.1:8080\": the \"::\"" } },
        { { { .path = "/a", .methods = M_ANY, .on = "127.0.0.300::", AT(1) } }, { "1:1: error: on \"127.0.0.300::\": this is no IP address" } },
        { { { .path = "/a", .methods = M_ANY, .on = "example.com::", AT(1) } }, { "1:1: error: on \"example.com::\": this is no IP address" } },
        { { { .path = "/a", .methods = M_ANY, .on = "[::1::", AT(1) } }, { "1:1: error: on \"[::1::\"" } },
        { { { .path = "/a", .methods = M_ANY, .on = "0.0.0.0::", AT(1) } }, { "1:1: error: on \"0.0.0.0::\": no connection" } },
        { { { .path = "/a", .methods = M_ANY, .on = "[::]::", AT(1) } }, { "1:1: error: on \"[::]::\": no connection" } },
        { { { .path = "/a", .methods = M_ANY, .on = ":99999::", AT(1) } }, { "1:1: error: on \":99999::\": a port" } },
        { { { .path = "/a", .methods = M_ANY, .on = ":0::", AT(1) } }, { "1:1: error: on \":0::\": a port" } },
        { { { .path = "/a", .methods = M_ANY, .on = ":8o::", AT(1) } }, { "1:1: error: on \":8o::\": a port" } },
        { { { .path = "/a", .methods = M_ANY, .on = "::a..*", AT(1) } }, { "1:1: error: on \"::a..*\"" } },
        { { { .path = "/a", .methods = M_ANY, .host = "a.*", AT(1) } }, { "1:1: error: host \"a.*\"" } },
        { { { .path = "/a", .methods = M_ANY, .host = "a:80", AT(1) } }, { "1:1: error: host \"a:80\": a host is named without a port" } },
        { { { .path = "/a", .methods = M_ANY, .host = "*.", AT(1) } }, { "1:1: error: host \"*.\"" } },
        { { { .path = "/a", .methods = M_ANY, .host = "a.", AT(1) } }, { "1:1: error: host \"a.\"" } },
        { { { .path = "/a", .methods = M_ANY, .host = "", AT(1) } }, { "1:1: error: host \"\"" } },
        { { { .path = "/a", .methods = M_ANY, .on = "::a", .host = "a", AT(1) } }, { "1:1: error: the host is given twice" } },
        { { { .path = ":::a:/x", .methods = M_ANY, .on = "::a", AT(1) } }, { "1:10: error: the selector is given twice" } },
        { { { .path = "1.2.3.400::/x", .methods = M_ANY, AT(1) } }, { "1:10: error: this is no IP address" } },
        { { { .path = "1.2.3.4::/{x:itn}", .methods = M_ANY, AT(1) } }, { "1:23: error: unknown type \"itn\"" } },
        { { { .path = "1.2.3.4::", .methods = M_ANY, .host = NULL, AT(1) } }, { "1:10: error: a path begins with" } },
};

START_TEST(finding_is_told)
{
        const struct finding *f = &findings[_i];
        struct diags d;
        struct router *r = NULL;
        size_t count = 0, expected = 0;
        bool error = false;
        int e;

        while (count < 4 && f->routes[count].path != NULL)
                count++;
        diags_init(&d);
        e = router_compile(f->routes, count, NULL, &d, &r);
        for (; expected < 6 && f->expect[expected] != NULL; expected++) {
                char line[500];

                ck_assert_msg(expected < d.count, "missing: %s", f->expect[expected]);
                snprintf(line, sizeof(line), "%u:%u: %s: %s", d.list[expected].place.line, d.list[expected].place.col,
                         d.list[expected].level == DIAG_ERROR ? "error" : d.list[expected].level == DIAG_WARNING ? "warning" : "note", d.list[expected].text);
                ck_assert_msg(strncmp(line, f->expect[expected], strlen(f->expect[expected])) == 0, "found    %s\nexpected %s", line, f->expect[expected]);
                error |= d.list[expected].level == DIAG_ERROR;
        }
        ck_assert_msg(d.count == expected, "%zu findings, %zu expected; the next: %s", d.count, expected, d.count > expected ? d.list[expected].text : "");
        ck_assert_int_eq(e, error ? -EINVAL : 0);
        ck_assert_int_eq(r == NULL, error); /* a failed call leaves ret untouched */
        router_free(r);
        diags_fini(&d);
}
END_TEST

/* ---- places in a real file ------------------------------------------------------------------------------------------------------------- */

START_TEST(caret_stands_under_the_fault)
{
        static const char text[] = "routes:\n"
                                   "  - {path: \"/a/{b:itn}\", host: \"bad host\"}\n"
                                   "  - path: /old/{x}\n"
                                   "    redirect: {to: /new/{y}}\n";
        static const struct route routes[] = {
                { .path = "/a/{b:itn}", .methods = M_ANY, .host = "bad host", .host_place = { "r.yaml", 2, 32, 10 }, .place = { "r.yaml", 2, 5, 1 }, .path_place = { "r.yaml", 2, 12, 12 } },
                { .path = "/old/{x}", .methods = M_ANY, .action = ROUTE_REDIRECT, .redirect = { "/new/{y}", 308, { "r.yaml", 4, 20, 8 } }, .place = { "r.yaml", 3, 5, 1 },
                  .path_place = { "r.yaml", 3, 11, 8 } },
        };
        struct sources s;
        struct diags d;
        struct router *r = NULL;

        sources_init(&s);
        ck_assert_int_eq(sources_add(&s, "r.yaml", text, sizeof(text) - 1), 0);
        diags_init(&d);
        ck_assert_int_eq(router_compile(routes, 2, &s, &d, &r), -EINVAL);
        ck_assert_uint_eq(d.count, 4); /* with the note that points at the other place */
        ck_assert_uint_eq(d.list[0].place.line, 2); /* host, in a quoted scalar */
        ck_assert_uint_eq(d.list[0].place.col, 36);
        ck_assert_uint_eq(d.list[1].place.col, 19); /* itn */
        ck_assert_uint_eq(d.list[1].place.len, 3);
        ck_assert_str_eq(d.list[1].hint, "did you mean \"int\"?");
        ck_assert_uint_eq(d.list[2].place.line, 3); /* {x}, captured and not used */
        ck_assert_uint_eq(d.list[2].place.col, 16);
        ck_assert_uint_eq(d.list[3].place.line, 4); /* the value, a line further down */
        ck_assert_uint_eq(d.list[3].place.col, 20);
        ck_assert_str_eq(d.list[3].source, "    redirect: {to: /new/{y}}");
        diags_fini(&d);
        sources_fini(&s);
}
END_TEST

/* ---- order ------------------------------------------------------------------------------------------------------------------------------ */

/* Written in the order of precedence; compiled from several shuffles of it. Nothing in it depends on the order of the file. */
static const struct { const char *path, *on, *class; bool first, fallback; } ordered[] = {
        { "/z", "127.0.0.1:80::", "literal", false, false },
        { "/z", "127.0.0.1::", "literal", false, false },
        { "/z", ":80::www.example.com", "literal", false, false },
        { "/z", ":80::", "literal", false, false },
        { "/z", "::www.example.com", "literal", false, false },
        { "/z", "::*.example.com", "literal", false, false },
        { "/z", "::*.com", "literal", false, false },
        { "~^/first$", NULL, "regex, first", true, false },
        { "/a", NULL, "literal", false, false },
        { "/a/b", NULL, "literal", false, false },
        { "/a/file-{n}.txt", NULL, "literal with a parameter", false, false },
        { "/a/file-{n:int}", NULL, "literal with a parameter", false, false },
        { "/a/file-{n}", NULL, "literal with a parameter", false, false },
        { "/a/{n}.txt", NULL, "literal with a parameter", false, false },
        { "/a/{n:int}", NULL, "typed", false, false },
        { "/a/{n:float}", NULL, "typed", false, false },
        { "/a/{n:bool}", NULL, "typed", false, false },
        { "/a/{n:uuid}", NULL, "typed", false, false },
        { "/a/{n:re([a-f]+)}", NULL, "typed", false, false },
        { "/a/{n:slug}", NULL, "typed", false, false },
        { "/a/{n}", NULL, "str", false, false },
        { "/a/{n:path}", NULL, "path", false, false },
        { "~^/last$", NULL, "regex", false, false },
        { "/{mount:path}", NULL, "path", false, true },
};
enum { ORDERED = sizeof(ordered) / sizeof(ordered[0]) };

START_TEST(order_of_precedence)
{
        struct route routes[ORDERED] = { 0 };
        uint32_t back[ORDERED], order[ORDERED];
        struct diags d;
        struct router *r;

        for (unsigned i = 0; i < ORDERED; i++) {
                unsigned to = (i * 7 + (unsigned)_i * 5) % ORDERED; /* 7 and 24 have no common factor */

                ck_assert_ptr_null(routes[to].path);
                routes[to] = (struct route){ .path = ordered[i].path, .on = ordered[i].on, .methods = M_ANY, .first = ordered[i].first, .fallback = ordered[i].fallback };
                back[to] = i;
        }
        diags_init(&d);
        ck_assert_int_eq(router_compile(routes, ORDERED, NULL, &d, &r), 0);
        ck_assert_uint_eq(router_order(r, order, ORDERED), ORDERED);
        for (unsigned i = 0; i < ORDERED; i++) {
                ck_assert_msg(back[order[i]] == i, "place %u: %s instead of %s", i, routes[order[i]].path, ordered[i].path);
                ck_assert_str_eq(router_class(r, order[i]), ordered[i].class);
        }
        ck_assert_uint_eq(router_order(r, order, 3), 3);
        router_free(r);
        diags_fini(&d);
}
END_TEST

/* ---- size ------------------------------------------------------------------------------------------------------------------------------- */

START_TEST(ten_thousand_routes)
{
        enum { MANY = 10000 };
        struct route *routes = calloc(MANY, sizeof(*routes));
        char (*text)[40] = calloc(MANY, sizeof(*text));
        struct router_scratch *s = router_scratch_new();
        struct router_query q = { .method = M_GET };
        struct router_match m;
        struct router_stats stats;
        struct diags d;
        struct router *r;

        for (unsigned i = 0; i < MANY; i++) {
                snprintf(text[i], sizeof(text[i]), i % 2 ? "/r/%u/{id:int}" : "/host/%u", i);
                routes[i] = (struct route){ .path = text[i], .methods = M_GET };
        }
        diags_init(&d);
        ck_assert_int_eq(router_compile(routes, MANY, NULL, &d, &r), 0);
        stats = router_stats(r);
        ck_assert_uint_eq(stats.routes, MANY);
        ck_assert_msg(stats.bytes < 8u << 20, "%zu bytes", stats.bytes);
        ck_assert_uint_gt(stats.nodes, MANY / 2); /* what ends a path is a leaf, and no node */
        q.path = SPAN_LIT("/r/9999/5");
        ck_assert_int_eq(router_match(r, s, &q, &m), ROUTER_FOUND);
        ck_assert_uint_eq(m.route, 9999);
        q.path = SPAN_LIT("/host/9998");
        ck_assert_int_eq(router_match(r, s, &q, &m), ROUTER_FOUND);
        ck_assert_uint_eq(m.route, 9998);
        q.path = SPAN_LIT("/host/9999");
        ck_assert_int_eq(router_match(r, s, &q, &m), ROUTER_NOT_FOUND);
        router_free(r);
        router_scratch_free(s);
        diags_fini(&d);
        free(routes);
        free(text);
}
END_TEST

/* Every prefix of the long one has a parameter hanging on it: one segment could fit them all. */
START_TEST(too_many_branches_on_one_path)
{
        enum { DEEP = 1100 };
        struct route *routes = calloc(DEEP, sizeof(*routes));
        char (*text)[DEEP + 8] = calloc(DEEP, sizeof(*text));
        struct diags d;
        struct router *r = NULL;

        for (unsigned i = 0; i < DEEP; i++) {
                text[i][0] = '/';
                memset(text[i] + 1, 'a', i + 1);
                memcpy(text[i] + 2 + i, "{x}", 4);
                routes[i] = (struct route){ .path = text[i], .methods = M_GET, .place = { "r.yaml", i + 1, 1, 1 }, .path_place = { "r.yaml", i + 1, 1, 1 } };
        }
        diags_init(&d);
        ck_assert_int_eq(router_compile(routes, DEEP, NULL, &d, &r), -EINVAL);
        ck_assert_uint_eq(d.error_count, 1);
        ck_assert_ptr_nonnull(strstr(d.list[0].text, "branch too much"));
        diags_fini(&d);
        diags_init(&d);
        ck_assert_int_eq(router_compile(routes, 1000, NULL, &d, &r), 0);
        router_free(r);
        diags_fini(&d);
        free(routes);
        free(text);
}
END_TEST

START_TEST(free_accepts_nothing)
{
        router_free(NULL);
        router_scratch_free(NULL);
}
END_TEST

#define COUNT(list) (int)(sizeof(list) / sizeof((list)[0]))

int
main(void)
{
        Suite *suite = suite_create("compile");
        TCase *tc = tcase_create("compile");

        tcase_add_loop_test(tc, finding_is_told, 0, COUNT(findings));
        tcase_add_test(tc, caret_stands_under_the_fault);
        tcase_add_loop_test(tc, order_of_precedence, 0, 6);
        tcase_add_test(tc, ten_thousand_routes);
        tcase_add_test(tc, too_many_branches_on_one_path);
        tcase_add_test(tc, free_accepts_nothing);
        tcase_set_timeout(tc, 60);
        suite_add_tcase(suite, tc);
        return run_suite(suite);
}
