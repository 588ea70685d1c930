/* test_header_edits.c - which fields a policy drops and adds: a route's edits joined with those for all; and the globs of https_redirect.
 * SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "../run.h"
#include "server/header_edits.h"
#include "server/https_redirect.h"
#include "server/policy.h"

static char path[64];
static struct generation *generation;
static struct diags diags;

static void
load(const char *text)
{
        struct bundle b;
        FILE *f;
        int fd;

        strcpy(path, "/tmp/heart-edits-XXXXXX");
        fd = mkstemp(path);
        ck_assert_int_ge(fd, 0);
        f = fdopen(fd, "w");
        fputs(text, f);
        fclose(f);
        diags_init(&diags);
        bundle_init(&b);
        ck_assert_int_eq(bundle_read_files(&b, path, &diags), 0);
        ck_assert_int_eq(generation_build(&b, true, &diags, &generation), 0);
        bundle_fini(&b);
        unlink(path);
}

static void
teardown(void)
{
        generation_free(generation);
        generation = NULL;
        diags_fini(&diags);
}

static const struct policy *
policy_of(const char *route)
{
        for (size_t i = 0; i < generation->route_count; i++)
                if (strcmp(generation->routes[i].path, route) == 0)
                        return generation->policies[i];
        return NULL;
}

static const char global_text[] =
        "listen: 8080\n"
        "headers: {set: {X-Frame-Options: DENY, X-All: all}, add: {Link: '</a>'}, remove: [X-Powered-By, Server]}\n"
        "routes:\n"
        "  - {path: /silent, respond: {body: a}}\n"
        "  - {path: /own, respond: {body: a}, headers: {set: {x-all: mine, X-Powered-By: me}, remove: [x-frame-options], add: {Link: '</b>', Server: me}}}\n"
        "  - {path: '/vars/{x}', respond: {body: a}, headers: {set: {X-Name: '{x}'}}}\n"
        "  - {path: /request, respond: {body: a}, request_headers: {set: {X-A: b}, remove: [Cookie]}}\n";

static const struct { const char *route, *name; bool dropped; } drops[] = {
        { "/silent", "x-frame-options", true }, { "/silent", "X-ALL", true }, { "/silent", "Link", false }, { "/silent", "x-powered-by", true }, { "/silent", "X-Al", false },
        { "/silent", "X-Other", false },
        { "/own", "X-Frame-Options", true },   /* removed: not set any more, and the app's goes */
        { "/own", "x-powered-by", true }, { "/own", "X-All", true }, { "/own", "Link", false },
        { "/own", "Server", false },           /* what the route adds, the default's removal leaves */
        { "/vars/{x}", "x-name", true }, { "/vars/{x}", "X-All", true },
};

START_TEST(fields_that_go)
{
        load(global_text);
        ck_assert_int_eq(header_edits_drop(policy_of(drops[_i].route)->headers, span_of(drops[_i].name)), drops[_i].dropped);
}
END_TEST

START_TEST(lines_that_come)
{
        struct span lines;

        load(global_text);
        ck_assert_ptr_eq(policy_of("/silent"), generation->policy_default); /* says nothing: shares it */
        ck_assert(header_edits_fixed(policy_of("/silent")->headers, &lines));
        ck_assert(span_is(lines, SPAN_LIT("X-Frame-Options: DENY\r\nX-All: all\r\nLink: </a>\r\n")));
        ck_assert(header_edits_fixed(policy_of("/own")->headers, &lines));
        ck_assert_msg(span_is(lines, SPAN_LIT("Link: </a>\r\nx-all: mine\r\nX-Powered-By: me\r\nLink: </b>\r\nServer: me\r\n")), "%.*s", (int)lines.len, lines.ptr);
        ck_assert(!header_edits_fixed(policy_of("/vars/{x}")->headers, &lines));
        ck_assert(span_is(lines, SPAN_LIT("X-Frame-Options: DENY\r\nX-All: all\r\nLink: </a>\r\n"))); /* of those without variables */
        ck_assert(header_edits_drop_server(policy_of("/silent")->headers));
        ck_assert(!header_edits_drop_server(policy_of("/own")->headers));
        ck_assert_ptr_nonnull(policy_of("/request")->request_headers);
        ck_assert_ptr_null(policy_of("/own")->request_headers);
}
END_TEST

START_TEST(edits_without_variables_are_baked)
{
        load(global_text);
        ck_assert(policy_of("/silent")->baked && !policy_of("/silent")->plain);
        ck_assert(policy_of("/own")->baked);
        ck_assert(!policy_of("/vars/{x}")->baked);
}
END_TEST

START_TEST(nothing_said_is_plain)
{
        load("listen: 8080\nroutes: [{path: /, respond: {body: a}}]\n");
        ck_assert(policy_of("/")->plain && policy_of("/")->baked);
        ck_assert_ptr_null(policy_of("/")->headers);
}
END_TEST

static const struct { const char *pattern, *path; bool fits; } globs[] = {
        { "/.well-known/acme-challenge/*", "/.well-known/acme-challenge/abc", true },
        { "/.well-known/acme-challenge/*", "/.well-known/acme-challenge/", true },
        { "/.well-known/acme-challenge/*", "/.well-known/acme-challenge", false },
        { "/.well-known/acme-challenge/*", "/x/.well-known/acme-challenge/a", false },
        { "/a", "/a", true }, { "/a", "/ab", false }, { "/a", "/", false }, { "/*", "/", true }, { "/*", "/a/b", true },
        { "/*/x", "/a/b/x", true }, { "/*/x", "/a/b/y", false }, { "/a*b*c", "/abbbbc", true }, { "/a*b*c", "/acb", false }, { "/**", "/a", true }, { "/a?", "/ab", false },
        { "/*a*a*a*a*a*a*a*b", "/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", false },
};

START_TEST(glob)
{
        ck_assert_int_eq(https_redirect_glob(globs[_i].pattern, span_of(globs[_i].path)), globs[_i].fits);
}
END_TEST

int
main(void)
{
        Suite *s = suite_create("header_edits");
        TCase *tc = tcase_create("all");

        tcase_add_checked_fixture(tc, NULL, teardown);
        LOOP(tc, fields_that_go, drops);
        tcase_add_test(tc, lines_that_come);
        tcase_add_test(tc, edits_without_variables_are_baked);
        tcase_add_test(tc, nothing_said_is_plain);
        suite_add_tcase(s, tc);
        tc = tcase_create("globs");
        LOOP(tc, glob, globs);
        suite_add_tcase(s, tc);
        return run_suite(s);
}
