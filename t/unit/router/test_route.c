/* test_route.c - the table of a route's keys and the checks of their values. SPDX-License-Identifier: MIT */
#include "../../../router/route.h"

#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "../../../router/target.h"
#include "../run.h"

static struct arena *arena;
static struct diags diags;
static struct sources sources;
static struct route route;

static void
setup(void)
{
        arena = arena_new();
        diags_init(&diags);
        sources_init(&sources);
}

static void
teardown(void)
{
        sources_fini(&sources);
        diags_fini(&diags);
        arena_free(arena);
}

static int
read_text(const char *text)
{
        struct keys_reader r = { .sources = &sources, .arena = arena, .diags = &diags, .base_dir = "/base" };
        struct yaml_node *root = NULL;

        ck_assert_int_eq(yaml_parse("f", text, strlen(text), arena, &diags, &root), 0);
        return keys_read(&r, &route_keys, root, "", &route);
}

START_TEST(every_key_finds_its_field)
{
        ck_assert_int_eq(read_text("{path: \"/a/{id:int}\", methods: [GET, DELETE], host: h, on: \"1.2.3.4::\", first: true, respond: {status: 201, type: a/b, body: x},"
                                   " static: {root: site, cache: 1h, index: [a, b]}, redirect: {to: /x, status: 302}, python: \"a.b:c\", app: shop, timeout: 5s, body: 1k}"), 0);
        ck_assert_str_eq(route.path, "/a/{id:int}");
        ck_assert_uint_eq(route.path_place.col, 8);
        ck_assert_uint_eq(route.methods, M_GET | M_HEAD | M_DELETE);
        ck_assert_str_eq(route.host, "h");
        ck_assert_str_eq(route.on, "1.2.3.4::");
        ck_assert(route.first);
        ck_assert_uint_eq(route.respond.status, 201);
        ck_assert_str_eq(route.respond.type, "a/b");
        ck_assert_str_eq(route.respond.body, "x");
        ck_assert_str_eq(route.static_files.root, "/base/site");
        ck_assert_uint_eq(route.static_files.cache_ms, 3600000);
        ck_assert_uint_eq(route.static_files.index.count, 2);
        ck_assert_str_eq(route.redirect.to, "/x");
        ck_assert_uint_eq(route.redirect.status, 302);
        ck_assert_str_eq(route.python, "a.b:c");
        ck_assert_str_eq(route.app, "shop");
        ck_assert_uint_gt(route.app_place.col, 1);
        ck_assert_uint_eq(route.timeout_ms, 5000);
        ck_assert_uint_eq(route.body, 1024);
        ck_assert_int_eq(__builtin_popcountll(route.set), 12);
}
END_TEST

START_TEST(defaults)
{
        ck_assert_int_eq(read_text("{path: /, respond: {}, redirect: {to: /x}, static: {root: /}}"), 0);
        ck_assert_uint_eq(route.respond.status, 200);
        ck_assert_str_eq(route.respond.type, "text/plain; charset=utf-8");
        ck_assert_str_eq(route.respond.body, "");
        ck_assert_uint_eq(route.redirect.status, 308);
        ck_assert_str_eq(route.static_files.index.list[0], "index.html");
        ck_assert_uint_eq(route.timeout_ms, 0);
}
END_TEST

static const struct { const char *text; uint32_t mask; } methods[] = {
        { "GET", M_GET | M_HEAD }, { "HEAD", M_HEAD }, { "[POST, PUT]", M_POST | M_PUT }, { "[PATCH, OPTIONS]", M_PATCH | M_OPTIONS },
        { "[]", 0 }, { "get", 0 }, { "[GET, FETCH]", 0 }, { "{a: b}", 0 }, { "[[GET]]", 0 },
};

START_TEST(methods_are_a_mask)
{
        char text[64];
        int r;

        snprintf(text, sizeof(text), "{path: /, methods: %s}", methods[_i].text);
        r = read_text(text);
        ck_assert_int_eq(r, methods[_i].mask != 0 ? 0 : -EINVAL);
        ck_assert_uint_eq(route.methods, methods[_i].mask);
        ck_assert_int_eq(diags.count != 0, r != 0);
}
END_TEST

static const struct { const char *text, *finding; } bad[] = {
        { "{respond: {}}", "\"path\" is missing" },
        { "{path: /, respond: {status: 199}}", "\"status\" is 199, but must be 200 to 599" },
        { "{path: /, respond: {type: \"a\\r\\nb\"}}", "\"type\" holds a control character" },
        { "{path: /, redirect: {to: \"\\x7f\"}}", "\"to\" holds a control character" },
        { "{path: /, redirect: {to: \"\"}}", "\"to\" is empty" },
        { "{path: /, redirect: {to: /, status: 304}}", "\"status\" is 304, but a redirect is 301, 302, 303, 307 or 308" },
        { "{path: /, static: {}}", "\"root\" is missing in \"static\"" },
        { "{path: /, static: {root: x, index: ../x}}", "\"index\" wants names of files, found \"../x\"" },
        { "{path: /, static: {root: x, index: a/x}}", "\"index\" wants names of files, found \"a/x\"" },
        { "{path: /, static: {root: x, index: .htaccess}}", "\"index\" wants names of files, found \".htaccess\"" },
        { "{path: /, python: module}", "\"python\" wants module:function, found \"module\"" },
        { "{path: /, timeout: 0}", "\"timeout\" is 0, but must be 1ms to 1d" },
};

START_TEST(bad_values_are_findings)
{
        ck_assert_int_eq(read_text(bad[_i].text), -EINVAL);
        ck_assert_uint_eq(diags.count, 1);
        ck_assert_str_eq(diags.list[0].text, bad[_i].finding);
}
END_TEST

static const struct { const char *text; int colons; } targets[] = {
        { "a:b", 1 }, { "a.b.c:d.e", 1 }, { "_a:_b1", 1 }, { "\xc3\xa4:b", 1 }, { "a", 0 }, { "a.b", 0 }, { "a:b:c", 2 }, { "", -1 }, { ":", -1 }, { "a:", -1 },
        { ":b", -1 }, { "a..b:c", -1 }, { "a b:c", -1 }, { "1a:b", -1 }, { "a:b()", -1 }, { "a/b:c", -1 }, { "a-b:c", -1 }, { ".a:b", -1 },
};

START_TEST(targets_are_dotted_names)
{
        ck_assert_int_eq(target_colons(targets[_i].text), targets[_i].colons);
}
END_TEST

int
main(void)
{
        Suite *s = suite_create("route");
        TCase *t = tcase_create("route");

        suite_add_tcase(s, t);
        tcase_add_checked_fixture(t, setup, teardown);
        tcase_add_test(t, every_key_finds_its_field);
        tcase_add_test(t, defaults);
        tcase_add_loop_test(t, methods_are_a_mask, 0, sizeof(methods) / sizeof(*methods));
        tcase_add_loop_test(t, bad_values_are_findings, 0, sizeof(bad) / sizeof(*bad));
        tcase_add_loop_test(t, targets_are_dotted_names, 0, sizeof(targets) / sizeof(*targets));
        return run_suite(s);
}
