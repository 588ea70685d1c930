/* test_yaml.c - SPDX-License-Identifier: MIT */
#include "../../../router/yaml.h"

#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include "../run.h"

static struct arena *arena;
static struct diags diags;

static void
setup(void)
{
        arena = arena_new();
        diags_init(&diags);
}

static void
teardown(void)
{
        diags_fini(&diags);
        arena_free(arena);
}

static int
parse(const char *text, struct yaml_node **ret)
{
        return yaml_parse("f", text, strlen(text), arena, &diags, ret);
}

/* A tree as one line: {a: 'quoted', b: [1, ~]} */
static void
print(FILE *out, const struct yaml_node *n)
{
        switch (n->kind) {
        case YAML_NULL:
                fputc('~', out);
                break;
        case YAML_SCALAR:
                fprintf(out, n->quoted ? "'%s'" : "%s", n->scalar.ptr);
                ck_assert_uint_eq(n->scalar.ptr[n->scalar.len], 0);
                break;
        case YAML_SEQ:
                fputc('[', out);
                for (size_t i = 0; i < n->count; i++) {
                        fputs(i > 0 ? ", " : "", out);
                        print(out, n->items[i]);
                }
                fputc(']', out);
                break;
        case YAML_MAP:
                fputc('{', out);
                for (size_t i = 0; i < n->count; i++) {
                        ck_assert_int_eq(n->pairs[i].key->kind, YAML_SCALAR);
                        fprintf(out, "%s%s: ", i > 0 ? ", " : "", n->pairs[i].key->scalar.ptr);
                        print(out, n->pairs[i].value);
                }
                fputc('}', out);
                break;
        }
}

static const struct { const char *text, *tree; } trees[] = {
        { "a: 1", "{a: 1}" },
        { "", "~" },
        { "# only a comment\n", "~" },
        { "- a\n- [b, c]\n- {d: e}\n", "[a, [b, c], {d: e}]" },
        { "a: null\nb: ~\nc:\nd: ''\ne: 'null'\nf: NULL\n", "{a: ~, b: ~, c: ~, d: '', e: 'null', f: ~}" },
        { "a: |\n  x\n  y\n", "{a: 'x\ny\n'}" },
        { "{\"routes\": [{\"handler\": 0, \"path\": \"/a\"}]}", "{routes: [{handler: 0, path: '/a'}]}" }, /* JSON is YAML */
        { "a: &x [1, 2]\nb: *x\n", "{a: [1, 2], b: [1, 2]}" },
        { "a: &x 1\nb: &x 2\nc: *x\n", "{a: 1, b: 2, c: 2}" }, /* the nearest anchor before it */
        { "&k a: 1\nb: *k\n", "{a: 1, b: a}" },
        { "base: &b {x: 1, y: 2}\nc: {<<: *b, y: 3}\n", "{base: {x: 1, y: 2}, c: {y: 3, x: 1}}" },
        { "c: {y: 3, <<: {x: 1, y: 2}, z: 4}\n", "{c: {y: 3, z: 4, x: 1}}" },
        { "c: {<<: [{x: 1}, {x: 2, y: 2}]}\n", "{c: {x: 1, y: 2}}" }, /* the earlier map wins */
        { "'<<': 1\n", "{<<: 1}" },
        { "a: !!str 1\nb: !!int 2\nc: ! x\nd: !!map {}\n", "{a: '1', b: 2, c: 'x', d: {}}" },
        { "null: 1\n", "{null: 1}" },
        { "\xef\xbb\xbf" "a: 1\n", "{a: 1}" }, /* a byte order mark */
        { "---\na: 1\n...\n", "{a: 1}" },
        { "a: \"\\u00e4\\x41\"\n", "{a: '\xc3\xa4" "A'}" },
};

START_TEST(text_becomes_a_tree)
{
        struct yaml_node *root = NULL;
        char *text = NULL;
        size_t len;
        FILE *out;

        ck_assert_int_eq(parse(trees[_i].text, &root), 0);
        out = open_memstream(&text, &len);
        print(out, root);
        fclose(out);
        ck_assert_str_eq(text, trees[_i].tree);
        ck_assert_uint_eq(diags.count, 0);
        free(text);
}
END_TEST

/* text, place of the first finding, a word of it */
static const struct { const char *text; unsigned line, col; const char *word; } bad[] = {
        { "a: 1\na: 2\n", 2, 1, "duplicate key" },
        { "{a: 1, \"a\": 2}\n", 1, 8, "duplicate key" },
        { "a: {b: 1, c: 2, b: 3}\n", 1, 17, "duplicate key" },
        { "a: [1, 2\n", 2, 1, "not valid YAML" },
        { "a: b: c\n", 1, 5, "not valid YAML" },
        { "a: {b: 1}\n22", 2, 3, "not valid YAML" }, /* the end of a last line without an end */
        { "a:\n\tb: 1\n", 2, 1, "tab" },
        { "a: *nobody\n", 1, 4, "no anchor" },
        { "a: &a [*a]\n", 1, 8, "no anchor" }, /* it would contain itself */
        { "a: !mine 1\n", 1, 4, "unknown tag" },
        { "a: !!binary aGk=\n", 1, 4, "unknown tag" },
        { "? [a]\n: b\n", 1, 3, "a key is a word" },
        { "? {a: b}\n: c\n", 1, 3, "a key is a word" },
        { "a: 1\n---\nb: 2\n", 2, 1, "second YAML document" },
        { "a: \x01\n", 1, 4, "control" },
        { "a: \x7f\n", 1, 4, "control" },
        { "\xc3\xa4: 1\nb: \xff\n", 2, 4, "UTF-8" },
        { "a: \xc0\xaf\n", 1, 4, "UTF-8" },         /* over-long */
        { "a: \xed\xa0\x80\n", 1, 4, "UTF-8" },     /* a surrogate */
        { "a: \xf4\x90\x80\x80\n", 1, 4, "UTF-8" }, /* past the last character */
        { "a: \xc3", 1, 4, "UTF-8" },               /* cut off */
        { "c: {<<: 1}\n", 1, 9, "<<" },
        { "c: {<<: [{a: 1}, 2]}\n", 1, 9, "<<" },
        { "\xc3\xa4: 1\n\xc3\xa4: 2\n", 2, 1, "duplicate key" },
        { "{\xc3\xa4: 1, x: 1, x: 2}\n", 1, 15, "duplicate key" }, /* columns are bytes */
        { "\r\n\r\na: 1\ra: 2\n", 4, 1, "duplicate key" },         /* every kind of line end counts once */
};

START_TEST(bad_text_is_a_finding_with_its_place)
{
        struct yaml_node *root = NULL;

        ck_assert_int_eq(parse(bad[_i].text, &root), -EINVAL);
        ck_assert_ptr_null(root);
        ck_assert_uint_ge(diags.error_count, 1);
        ck_assert_msg(strstr(diags.list[0].text, bad[_i].word) != NULL, "%s", diags.list[0].text);
        ck_assert_uint_eq(diags.list[0].place.line, bad[_i].line);
        ck_assert_uint_eq(diags.list[0].place.col, bad[_i].col);
        ck_assert_str_eq(diags.list[0].place.file, "f");
}
END_TEST

START_TEST(a_nul_byte_is_a_finding)
{
        struct yaml_node *root = NULL;

        ck_assert_int_eq(yaml_parse("f", "a: \0b", 5, arena, &diags, &root), -EINVAL);
        ck_assert_uint_eq(diags.list[0].place.col, 4);
}
END_TEST

START_TEST(every_duplicate_is_reported_with_the_first)
{
        struct yaml_node *root = NULL;
        char text[4096] = "";

        for (unsigned i = 0; i < 100; i++) /* many keys: the table instead of the loop */
                snprintf(text + strlen(text), sizeof(text) - strlen(text), "k%u: 1\n", i);
        strcat(text, "k7: 2\nk99: 3\n");
        ck_assert_int_eq(parse(text, &root), -EINVAL);
        ck_assert_uint_eq(diags.error_count, 2);
        ck_assert_uint_eq(diags.count, 4);
        ck_assert_uint_eq(diags.list[0].place.line, 101);
        ck_assert_int_eq(diags.list[1].level, DIAG_NOTE);
        ck_assert_uint_eq(diags.list[1].place.line, 8);
        ck_assert_uint_eq(diags.list[2].place.line, 102);
        ck_assert_uint_eq(diags.list[3].place.line, 100);
}
END_TEST

START_TEST(places_point_at_values)
{
        struct yaml_node *root = NULL;
        const struct yaml_node *n;

        ck_assert_int_eq(parse("a: 1\nlonger:\n  - x\n  - \"quoted text\"\n", &root), 0);
        n = yaml_get(root, "longer")->items[1];
        ck_assert_uint_eq(n->place.line, 4);
        ck_assert_uint_eq(n->place.col, 5);
        ck_assert_uint_eq(n->place.len, 13);
        ck_assert_ptr_null(yaml_get(root, "none"));
        ck_assert_ptr_null(yaml_get(NULL, "a"));
        ck_assert_ptr_null(yaml_get(n, "a"));
}
END_TEST

START_TEST(depth_is_64)
{
        char text[200] = "";
        struct yaml_node *root = NULL;

        memset(text, '[', 63);
        strcat(text, "x");
        memset(text + strlen(text), ']', 63);
        ck_assert_int_eq(parse(text, &root), 0);
        memset(text, 0, sizeof(text));
        memset(text, '[', 64);
        strcat(text, "x");
        memset(text + strlen(text), ']', 64);
        ck_assert_int_eq(parse(text, &root), -EINVAL);
        ck_assert_ptr_nonnull(strstr(diags.list[0].text, "deeper than 64"));
}
END_TEST

START_TEST(aliases_do_not_hide_depth)
{
        char text[400] = "a: &a ";
        struct yaml_node *root = NULL;

        memset(text + strlen(text), '[', 40);
        memset(text + strlen(text), ']', 40);
        strcat(text, "\nb: ");
        memset(text + strlen(text), '[', 40);
        strcat(text, "*a");
        memset(text + strlen(text), ']', 40);
        ck_assert_int_eq(parse(text, &root), -EINVAL);
        ck_assert_ptr_nonnull(strstr(diags.list[0].text, "deeper than 64"));
}
END_TEST

START_TEST(an_alias_bomb_ends_at_the_budget)
{
        char text[4096] = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n";
        struct yaml_node *root = NULL;

        for (unsigned i = 1; i < 9; i++)
                snprintf(text + strlen(text), sizeof(text) - strlen(text), "a%u: &a%u [*a%u, *a%u, *a%u, *a%u, *a%u, *a%u, *a%u, *a%u, *a%u, *a%u]\n", i, i, i - 1, i - 1, i - 1,
                         i - 1, i - 1, i - 1, i - 1, i - 1, i - 1, i - 1);
        ck_assert_int_eq(parse(text, &root), -EINVAL);
        ck_assert_ptr_nonnull(strstr(diags.list[0].text, "1000000"));
        ck_assert_uint_lt(arena_bytes(arena), 1u << 20); /* shared, never copied */
}
END_TEST

/* Bytes of any kind give an answer, never a crash; libFuzzer goes on where this ends. */
START_TEST(any_bytes_survive)
{
        static const char alphabet[] = "{}[]:,&*!|>'\"#%@`-? \n\t~<ab0\xc3\xa4\xff";
        struct yaml_node *root = NULL;
        unsigned seed = (unsigned)_i * 7919u + 1;
        char text[300];

        for (unsigned n = 0; n < 500; n++) {
                size_t len = seed % sizeof(text);

                for (size_t i = 0; i < len; i++) {
                        seed = seed * 1103515245u + 12345u;
                        text[i] = alphabet[(seed >> 16) % (sizeof(alphabet) - 1)];
                }
                (void)yaml_parse("f", text, len, arena, &diags, &root);
                seed++;
        }
}
END_TEST

int
main(void)
{
        Suite *s = suite_create("yaml");
        TCase *t = tcase_create("yaml");

        suite_add_tcase(s, t);
        tcase_add_checked_fixture(t, setup, teardown);
        tcase_add_loop_test(t, text_becomes_a_tree, 0, sizeof(trees) / sizeof(*trees));
        tcase_add_loop_test(t, bad_text_is_a_finding_with_its_place, 0, sizeof(bad) / sizeof(*bad));
        tcase_add_test(t, a_nul_byte_is_a_finding);
        tcase_add_test(t, every_duplicate_is_reported_with_the_first);
        tcase_add_test(t, places_point_at_values);
        tcase_add_test(t, depth_is_64);
        tcase_add_test(t, aliases_do_not_hide_depth);
        tcase_add_test(t, an_alias_bomb_ends_at_the_budget);
        tcase_add_loop_test(t, any_bytes_survive, 0, 20);
        return run_suite(s);
}
