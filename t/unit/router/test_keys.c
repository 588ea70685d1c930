/* test_keys.c - keys.c and keys_doc.c with a table of their own, one key of each type. SPDX-License-Identifier: MIT */
#include "../../../router/keys.h"

#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "../../../router/key_rows.h"
#include "../run.h"

struct item { const char *name; struct place place; uint64_t set; uint32_t n; };
struct inner { uint64_t wait_ms; bool on; };
struct outer {
        bool flag;
        uint32_t count, procs, color;
        uint64_t wait_ms, bytes;
        const char *text, *file;
        struct key_strs names;
        struct key_map env;
        struct inner inner;
        struct key_list items, named;
        uint32_t custom;
        struct place place;
        uint64_t set;
};
static const char *const COLORS[] = { "red", "green", "blue", NULL };

static int
read_custom(struct keys_reader *r, const struct key *k, const struct yaml_node *n, void *field)
{
        (void)r;
        (void)k;
        *(uint32_t *)field = (uint32_t)n->scalar.len;
        return 0;
}

static int
refuse_bad(struct keys_reader *r, const struct key *k, const struct yaml_node *n, void *field)
{
        if (strcmp(*(const char **)field, "bad") != 0)
                return 0;
        keys_error(r, n, "hint", "\"%s\" is bad", k->name);
        return -EINVAL;
}

TABLE(item_keys)
UINT(struct item, n, "n", "!", 0, 9, NULL, RELOAD, "a digit")
END(item_keys, "items", struct item, AT(struct item, place), AT(struct item, set))

TABLE(inner_keys)
DURATION(struct inner, wait_ms, "wait", "1s", 0, DAY, RELOAD, "how long")
BOOL(struct inner, on, "on", "true", RELOAD, "is it on")
END(inner_keys, "inner", struct inner, NOWHERE, NOWHERE)

TABLE(outer_keys)
BOOL(struct outer, flag, "flag", "no", RELOAD, "a flag")
UINT(struct outer, count, "count", "7", 1, 100, NULL, RELOAD, "how many")
AUTO(struct outer, procs, "procs", "auto", 1, 8, RELOAD, "processes")
ENUM(struct outer, color, "color", "green", COLORS, RESTART, "a colour")
DURATION(struct outer, wait_ms, "wait", "2s", 1, DAY, RELOAD, "a wait")
SIZE(struct outer, bytes, "bytes", "8k", 0, BIG, RELOAD, "a \"size\"")
STR(struct outer, text, "text", NULL, refuse_bad, RELOAD, ".starts with a dot and has a \\ in it")
PATH(struct outer, file, "file", "run/x", NULL, RELOAD, "a file")
STRS(struct outer, names, "names", "one", 3, NULL, RELOAD, "names")
MAP(struct outer, env, "env", 3, NULL, RELOAD, "pairs")
STRUCT(struct outer, inner, struct inner, "inner", inner_keys, NULL, RELOAD, "a part")
LIST(struct outer, items, "items", NULL, 0, 3, item_keys, NULL, RELOAD, "a list")
NAMED(struct outer, named, "named", 3, item_keys, NULL, RELOAD, "a map")
CUSTOM(struct outer, custom, uint32_t, "custom", "four", read_custom, NULL, "\"type\": \"string\"", RELOAD, "its length")
END(outer_keys, "outer", struct outer, AT(struct outer, place), AT(struct outer, set))

static struct arena *arena;
static struct diags diags;
static struct sources sources;
static struct key_origins origins;
static struct outer got;

static void
setup(void)
{
        arena = arena_new();
        diags_init(&diags);
        sources_init(&sources);
        memset(&origins, 0, sizeof(origins));
        memset(&got, 0xff, sizeof(got));
}

static void
teardown(void)
{
        free(origins.list);
        sources_fini(&sources);
        diags_fini(&diags);
        arena_free(arena);
}

static int
read_text(const char *text)
{
        struct keys_reader r = { .sources = &sources, .arena = arena, .diags = &diags, .base_dir = "/base", .origins = &origins };
        struct yaml_node *root = NULL;

        ck_assert_int_eq(sources_add(&sources, "f", text, strlen(text)), 0);
        ck_assert_int_eq(yaml_load(&sources, arena, &diags, &root), 0);
        return keys_read(&r, &outer_keys, root, "", &got);
}

START_TEST(what_is_not_given_has_its_default)
{
        struct keys_reader r = { .sources = &sources, .arena = arena, .diags = &diags, .base_dir = "/base" };

        ck_assert_int_eq(keys_read(&r, &outer_keys, NULL, "", &got), 0);
        ck_assert(!got.flag);
        ck_assert_uint_eq(got.count, 7);
        ck_assert_uint_eq(got.procs, 0);
        ck_assert_uint_eq(got.color, 1);
        ck_assert_uint_eq(got.wait_ms, 2000);
        ck_assert_uint_eq(got.bytes, 8192);
        ck_assert_ptr_null(got.text);
        ck_assert_str_eq(got.file, "/base/run/x");
        ck_assert_uint_eq(got.names.count, 1);
        ck_assert_str_eq(got.names.list[0], "one");
        ck_assert_uint_eq(got.env.count, 0);
        ck_assert_uint_eq(got.inner.wait_ms, 1000);
        ck_assert(got.inner.on);
        ck_assert_uint_eq(got.items.count, 0);
        ck_assert_uint_eq(got.custom, 4);
        ck_assert_uint_eq(got.set, 0);
        ck_assert_uint_eq(diags.count, 0);
}
END_TEST

START_TEST(what_is_given_is_stored)
{
        const struct item *items;

        ck_assert_int_eq(read_text("flag: On\ncount: 100\nprocs: 3\ncolor: blue\nwait: 1d\nbytes: 1g\ntext: 12\nfile: ./a/b\n"
                                   "names: [x, y]\nenv: {TZ: UTC, N: 1, E: }\ninner: {wait: 0, on: no}\nitems: [{n: 1}, {n: 2}]\n"
                                   "named: {b: {n: 3}, a: {n: 4}}\ncustom: hello\n"), 0);
        ck_assert(got.flag);
        ck_assert_uint_eq(got.count, 100);
        ck_assert_uint_eq(got.procs, 3);
        ck_assert_uint_eq(got.color, 2);
        ck_assert_uint_eq(got.wait_ms, 86400000);
        ck_assert_uint_eq(got.bytes, 1u << 30);
        ck_assert_str_eq(got.text, "12");
        ck_assert_str_eq(got.file, "/base/a/b");
        ck_assert_uint_eq(got.names.count, 2);
        ck_assert_uint_eq(got.names.places[1].col, 12);
        ck_assert_uint_eq(got.env.count, 3);
        ck_assert_str_eq(got.env.keys[2], "E");
        ck_assert_str_eq(got.env.values[2], "");
        ck_assert_uint_eq(got.inner.wait_ms, 0);
        ck_assert(!got.inner.on);
        items = got.items.list;
        ck_assert_uint_eq(got.items.count, 2);
        ck_assert_uint_eq(items[1].n, 2);
        ck_assert_uint_eq(items[1].place.line, 12);
        ck_assert_uint_eq(items[1].set, 1);
        items = got.named.list;
        ck_assert_str_eq(items[0].name, "b"); /* in the order of the file */
        ck_assert_uint_eq(items[1].n, 4);
        ck_assert_uint_eq(items[1].place.col, 20); /* the name's place */
        ck_assert_uint_eq(got.custom, 5);
        ck_assert_uint_eq(got.set, (1u << 14) - 1);
        ck_assert(keys_is_set(&outer_keys, got.set, "custom"));
}
END_TEST

static const struct { const char *yaml, *text, *hint; } bad[] = {
        { "flag: maybe", "\"flag\" wants true or false, found \"maybe\"", NULL },
        { "flag: 'true'", "\"flag\" wants true or false, found \"true\"", NULL },
        { "count: 0", "\"count\" is 0, but must be 1 to 100", NULL },
        { "count: 101", "\"count\" is 101, but must be 1 to 100", NULL },
        { "count: 4294967297", "\"count\" is 4294967297, but must be 1 to 100", NULL }, /* not 1 by wrapping */
        { "count: 99999999999999999999999", "\"count\" is 99999999999999999999999, but must be 1 to 100", NULL },
        { "count: 1x", "\"count\" wants a whole number, found \"1x\"", NULL },
        { "count: -1", "\"count\" wants a whole number, found \"-1\"", NULL },
        { "count: '5'", "\"count\" wants a whole number, found \"5\"", "without the quotes" },
        { "count: auto", "\"count\" wants a whole number, found \"auto\"", NULL },
        { "count: [1]", "\"count\" wants a whole number, found a list", NULL },
        { "procs: 0", "\"procs\" is 0, but must be 1 to 8", NULL },
        { "procs: many", "\"procs\" wants a whole number or auto, found \"many\"", NULL },
        { "color: rde", "\"color\" wants red, green or blue, found \"rde\"", "did you mean \"red\"?" },
        { "color: {}", "\"color\" wants red, green or blue, found a map", NULL },
        { "wait: 30", "\"wait\" wants a duration (500ms, 2s, 10m, 1h, 1d), found \"30\"", "which unit? \"30s\" or \"30ms\"" },
        { "wait: 0", "\"wait\" is 0, but must be 1ms to 1d", NULL },
        { "wait: 2d", "\"wait\" is 2d, but must be 1ms to 1d", NULL },
        { "bytes: 10MB", "\"bytes\" wants a size (512, 16k, 4m, 1g), found \"10MB\"", "did you mean \"10m\"?" },
        { "bytes: 2048g", "\"bytes\" is 2048g, but must be 0 to 1024g", NULL },
        { "text: [a]", "\"text\" wants text, found a list", NULL },
        { "text: bad", "\"text\" is bad", "hint" },
        { "text: \"a\\0b\"", "\"text\" holds a NUL character", NULL },
        { "file: ''", "\"file\" is empty", NULL },
        { "names: {a: b}", "\"names\" wants a list of texts, found a map", NULL },
        { "names: [a, [b]]", "\"names\" wants text, found a list", NULL },
        { "names: [a, b, c, d]", "\"names\" holds 4, but at most 3 are possible", NULL },
        { "env: [a]", "\"env\" wants a map of names and texts, found a list", NULL },
        { "env: {a: [b]}", "\"env\" wants text, found a list", NULL },
        { "inner: 1", "\"inner\" wants a map of settings, found \"1\"", NULL },
        { "inner: {wiat: 1s}", "unknown key \"wiat\" in \"inner\"", "did you mean \"wait\"?" },
        { "items: {n: 1}", "\"items\" wants a list, found a map", NULL },
        { "items: [{}]", "\"n\" is missing in \"items\"", NULL },
        { "items: [1]", "\"items\" wants a map of settings, found \"1\"", NULL },
        { "items: [{n: 1, m: 2}]", "unknown key \"m\" in \"items\"", NULL },
        { "named: {x: {}}", "\"n\" is missing in \"named.x\"", NULL },
        { "named: {x: }", "\"named\" says nothing about \"x\"", NULL },
        { "named: [x]", "\"named\" wants a map of names, found a list", NULL },
        { "count: ", "\"count\" has no value", NULL },
        { "cuont: 5", "unknown key \"cuont\"", "did you mean \"count\"?" },
        { "flag2zzzz: 5", "unknown key \"flag2zzzz\"", NULL },
};

START_TEST(what_is_wrong_is_said)
{
        ck_assert_int_eq(read_text(bad[_i].yaml), -EINVAL);
        ck_assert_uint_eq(diags.count, 1);
        ck_assert_str_eq(diags.list[0].text, bad[_i].text);
        ck_assert_pstr_eq(diags.list[0].hint, bad[_i].hint);
        ck_assert_uint_eq(diags.list[0].place.line, 1);
        ck_assert_str_eq(diags.list[0].source, bad[_i].yaml);
        ck_assert_uint_eq(got.count, 7); /* what is wrong leaves the default */
}
END_TEST

START_TEST(every_finding_is_reported_at_once)
{
        ck_assert_int_eq(read_text("flag: x\ncount: 0\nitems: [{n: x}, {n: 1}, {m: 1}]\ninner: {on: 1, wait: 1}\nwait: 5s\n"), -EINVAL);
        ck_assert_uint_eq(diags.error_count, 7);
        ck_assert_uint_eq(got.wait_ms, 5000); /* what is right is stored all the same */
        ck_assert_uint_eq(((struct item *)got.items.list)[1].n, 1);
}
END_TEST

static const struct { const char *path, *file; } paths[] = {
        { "a", "/base/a" }, { "/a", "/a" }, { ".", "/base" }, { "./a", "/base/a" }, { "././a", "/base/a" }, { "../a", "/base/../a" }, { "'-'", "-" },
};

START_TEST(relative_paths_begin_at_the_file)
{
        char text[64];

        snprintf(text, sizeof(text), "file: %s", paths[_i].path);
        ck_assert_int_eq(read_text(text), 0);
        ck_assert_str_eq(got.file, paths[_i].file);
}
END_TEST

static const struct key_origin *
origin_of(const char *path)
{
        for (size_t i = 0; i < origins.count; i++)
                if (strcmp(origins.list[i].path, path) == 0)
                        return &origins.list[i];
        return NULL;
}

START_TEST(origins_tell_where_each_value_came_from)
{
        ck_assert_int_eq(read_text("count: 5\ninner:\n  wait: 3s\nnames: [a, b]\nitems: [{n: 4}]\nnamed: {x: {n: 1}}\n"), 0);
        ck_assert_str_eq(origin_of("count")->value, "5");
        ck_assert_uint_eq(origin_of("count")->place.line, 1);
        ck_assert_uint_eq(origin_of("inner.wait")->place.line, 3);
        ck_assert_str_eq(origin_of("inner.on")->value, "true");
        ck_assert_uint_eq(origin_of("inner.on")->place.line, 0);
        ck_assert_str_eq(origin_of("names")->value, "[a, b]");
        ck_assert_str_eq(origin_of("items[0].n")->value, "4");
        ck_assert_str_eq(origin_of("named.x.n")->value, "1");
        ck_assert_str_eq(origin_of("bytes")->value, "8k");
        ck_assert_str_eq(origin_of("custom")->value, "four");
        for (size_t i = 0; i < origins.count; i++)
                for (size_t k = 0; k < i; k++)
                        ck_assert_str_ne(origins.list[i].path, origins.list[k].path);
}
END_TEST

START_TEST(an_empty_section_is_as_good_as_none)
{
        ck_assert_int_eq(read_text("inner:\nitems:\nnamed:\nenv:\n"), 0);
        ck_assert_uint_eq(got.inner.wait_ms, 1000);
        ck_assert_uint_eq(got.set, 0);
        ck_assert_str_eq(origin_of("inner.wait")->value, "1s");
}
END_TEST

START_TEST(the_schema_has_every_key)
{
        char *schema = keys_schema(&outer_keys, "a \"title\"");

        ck_assert_ptr_nonnull(strstr(schema, "\"title\": \"a \\\"title\\\"\""));
        for (size_t i = 0; i < outer_keys.count; i++) {
                char quoted[64];

                snprintf(quoted, sizeof(quoted), "\"%s\": {\"description\"", outer_keys.keys[i].name);
                ck_assert_msg(strstr(schema, quoted) != NULL, "%s", quoted);
        }
        ck_assert_ptr_nonnull(strstr(schema, "\"required\": [\"n\"]"));
        ck_assert_ptr_nonnull(strstr(schema, "\"enum\": [\"red\", \"green\", \"blue\"]"));
        ck_assert_ptr_nonnull(strstr(schema, "\"minimum\": 1, \"maximum\": 100"));
        free(schema);
}
END_TEST

START_TEST(the_manual_has_every_key)
{
        char *manual = keys_manual(&outer_keys);

        ck_assert_ptr_nonnull(strstr(manual, ".TP\n.B count\nhow many.\n(number, 1 to 100; default \\fB7\\fR)\n"));
        ck_assert_ptr_nonnull(strstr(manual, ".B inner.wait\n"));
        ck_assert_ptr_nonnull(strstr(manual, ".B items[].n\na digit.\n(number, 0 to 9; must be given)\n"));
        ck_assert_ptr_nonnull(strstr(manual, ".B named.NAME.n\n"));
        ck_assert_ptr_nonnull(strstr(manual, "applies after a restart"));
        ck_assert_ptr_nonnull(strstr(manual, "\\&.starts with a dot and has a \\e in it"));
        free(manual);
}
END_TEST

int
main(void)
{
        Suite *s = suite_create("keys");
        TCase *t = tcase_create("keys");

        suite_add_tcase(s, t);
        tcase_add_checked_fixture(t, setup, teardown);
        tcase_add_test(t, what_is_not_given_has_its_default);
        tcase_add_test(t, what_is_given_is_stored);
        tcase_add_loop_test(t, what_is_wrong_is_said, 0, sizeof(bad) / sizeof(*bad));
        tcase_add_test(t, every_finding_is_reported_at_once);
        tcase_add_loop_test(t, relative_paths_begin_at_the_file, 0, sizeof(paths) / sizeof(*paths));
        tcase_add_test(t, origins_tell_where_each_value_came_from);
        tcase_add_test(t, an_empty_section_is_as_good_as_none);
        tcase_add_test(t, the_schema_has_every_key);
        tcase_add_test(t, the_manual_has_every_key);
        return run_suite(s);
}
