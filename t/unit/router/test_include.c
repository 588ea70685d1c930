/* test_include.c - include.c and source.c, over real files in a folder of their own. SPDX-License-Identifier: MIT */
#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../../../router/yaml.h"
#include "../run.h"

static char dir[] = "/tmp/heart-include-XXXXXX", start[4096];
static struct arena *arena;
static struct diags diags;
static struct sources sources;

static void
setup(void)
{
        ck_assert_ptr_nonnull(getcwd(start, sizeof(start)));
        strcpy(dir, "/tmp/heart-include-XXXXXX");
        ck_assert_ptr_nonnull(mkdtemp(dir));
        ck_assert_int_eq(chdir(dir), 0);
        ck_assert_int_eq(mkdir("d", 0755), 0);
        arena = arena_new();
        diags_init(&diags);
        sources_init(&sources);
}

static void
teardown(void)
{
        char command[64];

        sources_fini(&sources);
        diags_fini(&diags);
        arena_free(arena);
        ck_assert_int_eq(chdir(start), 0);
        snprintf(command, sizeof(command), "rm -rf %s", dir);
        ck_assert_int_eq(system(command), 0);
}

static void
file(const char *name, const char *text)
{
        FILE *f = fopen(name, "w");

        ck_assert_ptr_nonnull(f);
        fputs(text, f);
        fclose(f);
}

static int
load(struct yaml_node **ret)
{
        ck_assert_int_eq(sources_read(&sources, "main.yaml", &diags), 0);
        return yaml_load(&sources, arena, &diags, ret);
}

START_TEST(lists_are_appended_and_maps_are_merged)
{
        const struct yaml_node *routes;
        struct yaml_node *root = NULL;

        file("main.yaml", "include: [d/*.yaml]\nroutes: [m]\nlimits: {a: 1}\n");
        file("d/2.yaml", "routes: [two]\nlimits: {c: 3}\nqueue: {x: 1}\n");
        file("d/1.yaml", "limits: {b: 2}\nroutes: [one, uno]\n");
        file("d/3.yaml", "# nothing\n");
        ck_assert_int_eq(load(&root), 0);
        ck_assert_ptr_null(yaml_get(root, "include"));
        routes = yaml_get(root, "routes");
        ck_assert_uint_eq(routes->count, 4);
        ck_assert_str_eq(routes->items[0]->scalar.ptr, "m");
        ck_assert_str_eq(routes->items[1]->scalar.ptr, "one"); /* sorted by name, whatever the folder's order */
        ck_assert_str_eq(routes->items[3]->scalar.ptr, "two");
        ck_assert_str_eq(routes->items[3]->place.file, "d/2.yaml");
        ck_assert_uint_eq(yaml_get(root, "limits")->count, 3);
        ck_assert_str_eq(yaml_get(yaml_get(root, "queue"), "x")->scalar.ptr, "1");
        ck_assert_uint_eq(sources.count, 4);
}
END_TEST

START_TEST(a_bundle_needs_no_disk)
{
        struct yaml_node *root = NULL;

        ck_assert_int_eq(sources_add(&sources, "gone/main.yaml", "include: x.yaml\nroutes: [a]\n", 28), 0);
        ck_assert_int_eq(sources_add(&sources, "gone/x.yaml", "routes: [b]\n", 12), 0);
        sources.complete = true;
        ck_assert_int_eq(yaml_load(&sources, arena, &diags, &root), 0);
        ck_assert_uint_eq(yaml_get(root, "routes")->count, 2);
        ck_assert_uint_eq(sources.count, 2);
}
END_TEST

static const struct { const char *include, *one, *text; unsigned count; } bad[] = {
        { "d/1.yaml", "listen: 1\n", "\"listen\" is given in two files", 1 },
        { "d/1.yaml", "limits: {a: 2}\n", "\"a\" is given in two files", 1 },
        { "d/1.yaml", "limits: [a]\n", "\"limits\" is given in two files", 1 },
        { "d/1.yaml", "include: x\n", "an included file cannot include others", 1 },
        { "d/1.yaml", "[a, b]\n", "an included file is a map of settings, like the main one", 1 },
        { "d/1.yaml", "a: [\n", "not valid YAML: did not find expected node content", 1 },
        { "d/none.yaml", "", "include: no file \"d/none.yaml\"", 1 },
        { "[[x]]", "", "\"include\" wants a list of files, such as [routes.d/*.yaml]", 1 },
        { "{a: b}", "", "\"include\" wants a list of files, such as [routes.d/*.yaml]", 1 },
        { "d", "", "cannot read: Is a directory", 1 },
};

START_TEST(what_cannot_be_joined_is_said)
{
        struct yaml_node *root = NULL;
        char text[256];

        snprintf(text, sizeof(text), "include: %s\nlisten: 8080\nlimits: {a: 1}\n", bad[_i].include);
        file("main.yaml", text);
        file("d/1.yaml", bad[_i].one);
        ck_assert_int_eq(load(&root), -EINVAL);
        ck_assert_uint_eq(diags.error_count, bad[_i].count);
        ck_assert_str_eq(diags.list[0].text, bad[_i].text);
}
END_TEST

START_TEST(both_places_are_named)
{
        struct yaml_node *root = NULL;

        file("main.yaml", "include: d/1.yaml\nlisten: 8080\n");
        file("d/1.yaml", "# a line\nlisten: 8081\n");
        ck_assert_int_eq(load(&root), -EINVAL);
        ck_assert_str_eq(diags.list[0].place.file, "d/1.yaml");
        ck_assert_uint_eq(diags.list[0].place.line, 2);
        ck_assert_str_eq(diags.list[1].place.file, "main.yaml");
        ck_assert_uint_eq(diags.list[1].place.line, 2);
        ck_assert_str_eq(diags.list[1].source, "listen: 8080");
}
END_TEST

START_TEST(a_file_is_read_once)
{
        struct yaml_node *root = NULL;

        file("main.yaml", "include: [\"*.yaml\", d/1.yaml, d/*.yaml]\nroutes: [m]\n"); /* finds main.yaml too */
        file("d/1.yaml", "routes: [a]\n");
        ck_assert_int_eq(load(&root), 0);
        ck_assert_uint_eq(yaml_get(root, "routes")->count, 2);
}
END_TEST

START_TEST(a_glob_that_finds_nothing_is_fine)
{
        struct yaml_node *root = NULL;

        file("main.yaml", "include: nothing.d/*.yaml\nlisten: 1\n");
        ck_assert_int_eq(load(&root), 0);
        ck_assert_uint_eq(root->count, 1);
}
END_TEST

START_TEST(the_node_budget_is_one_for_all_files)
{
        struct yaml_node *root = NULL;
        char *text = malloc(2000000), *p = text;

        p += sprintf(p, "%s", "a: [");
        for (unsigned i = 0; i < 600000; i++)
                p += sprintf(p, "x,");
        sprintf(p, "%s", "]\n");
        file("main.yaml", "include: d/*.yaml\n");
        file("d/1.yaml", text);
        file("d/2.yaml", text);
        free(text);
        ck_assert_int_eq(load(&root), -EINVAL);
        ck_assert_str_eq(diags.list[0].place.file, "d/2.yaml");
        ck_assert_ptr_nonnull(strstr(diags.list[0].text, "1000000"));
}
END_TEST

static const struct { const char *path, *why; int r; } unreadable[] = {
        { "none.yaml", "cannot read: No such file or directory", -ENOENT },
        { "d", "cannot read: Is a directory", -EISDIR },
        { "fifo", "cannot read: not a regular file", -ENOTSUP }, /* and does not wait for a writer */
        { "huge", "cannot read: larger than 16 MiB", -EFBIG },
};

START_TEST(what_cannot_be_read_is_said)
{
        ck_assert_int_eq(mkfifo("fifo", 0600), 0);
        file("huge", "");
        ck_assert_int_eq(truncate("huge", (16 << 20) + 1), 0);
        ck_assert_int_eq(sources_read(&sources, unreadable[_i].path, &diags), unreadable[_i].r);
        ck_assert_str_eq(diags.list[0].text, unreadable[_i].why);
        ck_assert_str_eq(diags.list[0].place.file, unreadable[_i].path);
        ck_assert_uint_eq(sources.count, 0);
}
END_TEST

static const struct { const char *text; unsigned line; const char *expected; } lines[] = {
        { "a\nb\nc", 2, "b" }, { "a\nb\nc", 3, "c" }, { "a\nb\n", 3, "" }, { "a\nb\n", 4, NULL }, { "a\r\nb", 2, "b" }, { "a\rb\rc", 3, "c" },
        { "a\xe2\x80\xa8" "b", 2, "b" }, { "a\xc2\x85" "b", 2, "b" }, { "", 1, "" }, { "a", 0, NULL },
};

START_TEST(lines_are_found)
{
        struct span got;

        ck_assert_int_eq(sources_add(&sources, "f", lines[_i].text, strlen(lines[_i].text)), 0);
        got = sources_line(&sources, "f", lines[_i].line);
        ck_assert_int_eq(got.ptr == NULL, lines[_i].expected == NULL);
        if (lines[_i].expected != NULL)
                ck_assert(span_is(got, span_of(lines[_i].expected)));
        ck_assert_ptr_null(sources_line(&sources, "g", 1).ptr);
        ck_assert_ptr_null(sources_line(&sources, NULL, 1).ptr);
}
END_TEST

int
main(void)
{
        Suite *s = suite_create("include");
        TCase *t = tcase_create("include");

        suite_add_tcase(s, t);
        tcase_add_checked_fixture(t, setup, teardown);
        tcase_add_test(t, lists_are_appended_and_maps_are_merged);
        tcase_add_test(t, a_bundle_needs_no_disk);
        tcase_add_loop_test(t, what_cannot_be_joined_is_said, 0, sizeof(bad) / sizeof(*bad));
        tcase_add_test(t, both_places_are_named);
        tcase_add_test(t, a_file_is_read_once);
        tcase_add_test(t, a_glob_that_finds_nothing_is_fine);
        tcase_add_test(t, the_node_budget_is_one_for_all_files);
        tcase_add_loop_test(t, what_cannot_be_read_is_said, 0, sizeof(unreadable) / sizeof(*unreadable));
        tcase_add_loop_test(t, lines_are_found, 0, sizeof(lines) / sizeof(*lines));
        return run_suite(s);
}
