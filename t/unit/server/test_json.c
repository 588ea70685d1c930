/* test_json.c - the writer escapes what must be escaped; the reader takes JSON and nothing but JSON.
 * SPDX-License-Identifier: MIT */
#include "server/json.h"

#include <check.h>
#include <errno.h>
#include <stdlib.h>

#include "t/unit/run.h"

/* ---- writing ---- */
static char *text;
static size_t text_len;
static struct json j;

static void
begin(void)
{
        j = (struct json){ .out = open_memstream(&text, &text_len) };
}

static const char *
end(void)
{
        fclose(j.out);
        return text;
}

static const struct { const char *in; size_t len; const char *out; } strings[] = {
        { "plain", 5, "\"plain\"" },
        { "", 0, "\"\"" },
        { "a\"b\\c", 5, "\"a\\\"b\\\\c\"" },
        { "line\nnext\t", 10, "\"line\\nnext\\u0009\"" },
        { "\0", 1, "\"\\u0000\"" },
        { "\x7f", 1, "\"\\u007f\"" },
        { "\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80", 9, "\"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\"" },
        { "\xff", 1, "\"\\ufffd\"" },
        { "\xc3", 1, "\"\\ufffd\"" },                             /* cut short */
        { "\xc0\x80", 2, "\"\\ufffd\\ufffd\"" },                   /* overlong */
        { "\xed\xa0\x80", 3, "\"\\ufffd\\ufffd\\ufffd\"" },        /* a surrogate */
        { "\xf4\x90\x80\x80", 4, "\"\\ufffd\\ufffd\\ufffd\\ufffd\"" }, /* beyond U+10FFFF */
};

START_TEST(a_string_is_escaped)
{
        begin();
        json_strn(&j, strings[_i].in, strings[_i].len);
        ck_assert_str_eq(end(), strings[_i].out);
        free(text);
}
END_TEST

START_TEST(commas_stand_between_values_only)
{
        begin();
        json_begin(&j, '{');
        json_key(&j, "a"), json_uint(&j, 18446744073709551615u);
        json_key(&j, "b"), json_begin(&j, '[');
        json_str(&j, NULL);
        json_bool(&j, true);
        json_begin(&j, '{');
        json_end(&j, '}');
        json_end(&j, ']');
        json_key(&j, "c"), json_raw(&j, "[1,2]");
        json_end(&j, '}');
        ck_assert_str_eq(end(), "{\"a\":18446744073709551615,\"b\":[null,true,{}],\"c\":[1,2]}");
        free(text);
}
END_TEST

/* ---- reading ---- */
static const struct { const char *in; int r; } texts[] = {
        { "{}", 0 }, { " [ ] ", 0 }, { "null", 0 }, { "-0", 0 }, { "1.5e+3", 0 }, { "\"\\u00e9\\ud83d\\ude00\"", 0 }, { "[true,false]", 0 },
        { "{\"a\":[{\"b\":1}]}", 0 }, { "\"\\\"\"", 0 }, { "[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]", 0 },
        { "", -EINVAL }, { "{", -EINVAL }, { "[1,]", -EINVAL }, { "{\"a\":1,}", -EINVAL }, { "{a:1}", -EINVAL }, { "'a'", -EINVAL }, { "01", -EINVAL },
        { "1.", -EINVAL }, { ".5", -EINVAL }, { "+1", -EINVAL }, { "1e", -EINVAL }, { "nul", -EINVAL }, { "nulll", -EINVAL }, { "1 2", -EINVAL },
        { "\"a", -EINVAL }, { "\"\\", -EINVAL }, { "\"\\\"", -EINVAL }, { "\"\\x\"", -EINVAL }, { "\"\\u12\"", -EINVAL }, { "\"\\u12", -EINVAL },
        { "\"\\ud800\"", -EINVAL }, { "\"\\udc00\"", -EINVAL }, { "\"\\ud800\\u0041\"", -EINVAL }, { "\"\n\"", -EINVAL }, { "\"\xff\"", -EINVAL },
        { "{\"a\":1,\"a\":2}", -EINVAL }, { "{\"a\"}", -EINVAL }, { "[1 2]", -EINVAL }, { "NaN", -EINVAL }, { "//\n1", -EINVAL },
        { "[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]", -EINVAL }, { "1111111111111111111111111111111111111111111111111111111111111111111", -EINVAL },
};

START_TEST(only_json_is_read)
{
        struct arena *a = arena_new();
        struct json_value *v = NULL;
        size_t len = strlen(texts[_i].in);
        char *exact = malloc(len + 1); /* so that a sanitizer sees a byte too far */

        memcpy(exact, texts[_i].in, len);
        exact = realloc(exact, len ? len : 1);
        ck_assert_msg(json_parse(exact, len, a, &v) == texts[_i].r, "%s", texts[_i].in);
        ck_assert((v != NULL) == (texts[_i].r == 0));
        free(exact);
        arena_free(a);
}
END_TEST

START_TEST(members_are_found)
{
        static const char in[] = "{\"op\":\"say\",\"n\":-2.5,\"nul\":\"a\\u0000b\",\"list\":[\"x\",\"\\u20ac\\ud83d\\ude00\\n\"]}";
        struct arena *a = arena_new();
        struct json_value *v = NULL;

        ck_assert_int_eq(json_parse(in, sizeof in - 1, a, &v), 0);
        ck_assert_str_eq(json_get_str(v, "op"), "say");
        ck_assert(json_get(v, "n")->kind == JSON_NUMBER && json_get(v, "n")->number == -2.5);
        ck_assert_ptr_null(json_get(v, "absent"));
        ck_assert_ptr_null(json_get_str(v, "n"));
        ck_assert_ptr_null(json_get_str(v, "nul")); /* holds a NUL: not a C string */
        ck_assert_uint_eq(json_get(v, "nul")->string.len, 3);
        const struct json_value *list = json_get(v, "list");
        ck_assert_uint_eq(list->count, 2);
        ck_assert_str_eq(list->first->next->string.ptr, "\xe2\x82\xac\xf0\x9f\x98\x80\n");
        arena_free(a);
}
END_TEST

int
main(void)
{
        Suite *s = suite_create("json");
        TCase *c = tcase_create("json");

        LOOP(c, a_string_is_escaped, strings);
        tcase_add_test(c, commas_stand_between_values_only);
        LOOP(c, only_json_is_read, texts);
        tcase_add_test(c, members_are_found);
        suite_add_tcase(s, c);
        return run_suite(s);
}
