/* test_error_pages.c - error_pages.c: which page an error gets. SPDX-License-Identifier: MIT */
#include "../../../server/error_pages.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "t/unit/run.h"

static const char conf[] =
        "listen: 8080\n"
        "apps: {pages: {wsgi: \"pages:app\"}}\n"
        "errors:\n"
        "  404: page.html\n"
        "  4xx: {body: all4}\n"
        "  503: {app: pages}\n"
        "  hosts:\n"
        "    \"*.example\": {404: {body: wild}}\n"
        "    shop.example: {404: {body: shop}, 5xx: {body: shop5}}\n"
        "    \"*.shop.example\": {404: {body: below}, 403: {body: below3}}\n"
        "routes:\n"
        "  - {path: /a, respond: {body: x}}\n"
        "  - {path: /b, errors: {404: {body: own}, 5xx: {body: own5}}, respond: {body: x}}\n"
        "  - {path: /c, errors: {4xx: {body: own4}}, respond: {body: x}}\n"
        "  - {path: /d, errors: {}, respond: {body: x}}\n";

/* route -1: none took the request. said NULL: heart's own page; "app": an app is asked. */
static const struct { int route; const char *host; unsigned status; const char *said; } cases[] = {
        { -1, "", 404, "<p>file" },
        { -1, "", 400, "all4" },
        { -1, "", 500, NULL },
        { -1, "", 503, "app" },
        { -1, "else.where", 404, "<p>file" },
        { -1, "x.example", 404, "wild" },
        { -1, "example", 404, "<p>file" },           /* "*.example" is below it */
        { -1, "shop.example", 404, "shop" },         /* exact before "*" */
        { -1, "a.shop.example", 404, "below" },      /* the longest "*" */
        { -1, "a.b.shop.example", 404, "below" },
        { -1, "myshop.example", 404, "wild" },
        { -1, "a.shop.example", 403, "below3" },
        { -1, "a.shop.example", 410, "all4" },       /* nothing there: what holds for all */
        { -1, "shop.example", 503, "shop5" },        /* the host's class before everybody's status */
        { 0, "", 404, "<p>file" },
        { 0, "shop.example", 404, "shop" },
        { 1, "", 404, "own" },
        { 1, "shop.example", 404, "own" },
        { 1, "", 503, "own5" },
        { 1, "", 403, "all4" },
        { 1, "a.shop.example", 403, "below3" },
        { 2, "shop.example", 404, "own4" },          /* the route's class before the host's status */
        { 2, "shop.example", 500, "shop5" },
        { 3, "", 404, "<p>file" },
};

static struct generation *g;
static char dir[64];

static void
file(const char *name, const char *text)
{
        char path[160];
        FILE *f;

        snprintf(path, sizeof(path), "%s/%s", dir, name);
        f = fopen(path, "w");
        ck_assert_ptr_nonnull(f);
        fputs(text, f);
        fclose(f);
}

static void
setup(void)
{
        char main_file[96];
        struct bundle b;
        struct diags d;

        strcpy(dir, "/tmp/heart-errors-XXXXXX");
        ck_assert_ptr_nonnull(mkdtemp(dir));
        file("routes.yaml", conf);
        file("page.html", "<p>file");
        snprintf(main_file, sizeof(main_file), "%s/routes.yaml", dir);
        bundle_init(&b);
        diags_init(&d);
        ck_assert_int_eq(bundle_read_files(&b, main_file, &d), 0);
        ck_assert_int_eq(generation_build(&b, true, &d, &g), 0);
        bundle_fini(&b);
        diags_fini(&d);
}

static void
teardown(void)
{
        char command[96];

        generation_free(g);
        snprintf(command, sizeof(command), "rm -rf %s", dir);
        ck_assert_int_eq(system(command), 0);
}

START_TEST(the_most_specific_page_counts)
{
        const struct policy *p = cases[_i].route < 0 ? g->policy_default : g->policies[cases[_i].route];
        const struct error_page *page = error_pages_find(p->errors, span_of(cases[_i].host), cases[_i].status);

        if (cases[_i].said == NULL) {
                ck_assert_ptr_null(page);
                return;
        }
        ck_assert_ptr_nonnull(page);
        if (strcmp(cases[_i].said, "app") == 0) {
                ck_assert_uint_eq(page->app_index, 0);
                return;
        }
        ck_assert_uint_eq(page->app_index, UINT32_MAX);
        ck_assert_msg(span_is(page->body, span_of(cases[_i].said)), "%.*s", (int)page->body.len, page->body.ptr);
        ck_assert_str_eq(page->type.ptr, "text/html; charset=utf-8");
}
END_TEST

int
main(void)
{
        Suite *s = suite_create("error_pages");
        TCase *t = tcase_create("find");

        tcase_add_checked_fixture(t, setup, teardown);
        LOOP(t, the_most_specific_page_counts, cases);
        suite_add_tcase(s, t);
        return run_suite(s);
}
