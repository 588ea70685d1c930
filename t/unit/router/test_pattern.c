/* test_pattern.c - which patterns are refused, where, and what is read from those that are not.
 * SPDX-License-Identifier: MIT */
#include <check.h>
#include <errno.h>
#include <stdio.h>

#include "router/pattern.h"
#include "../run.h"

/* ---- refused ------------------------------------------------------------------------------------------------------------------------- */

static const struct { const char *text; unsigned at, len; const char *word; } refused[] = {
        { "", 0, 1, "begins with" },
        { "users", 0, 1, "begins with" },
        { "~", 0, 1, "empty" },
        { "/{a}{b}", 4, 3, "literal between" },
        { "/{a:int}{b:int}", 8, 7, "literal between" },
        { "/x/{a", 3, 2, "never closed" },
        { "/x/{a/b}", 3, 2, "never closed" },
        { "/{}", 1, 2, "no name" },
        { "/{:int}", 1, 2, "no name" },
        { "/{1a}", 2, 1, "name" },
        { "/{a-b}", 3, 1, "name" },
        { "/{a b}", 3, 1, "name" },
        { "/{\xc3\xa9}", 2, 1, "name" },
        { "/{a:}", 4, 1, "unknown type" },
        { "/{a:integer}", 4, 7, "unknown type" },
        { "/{a:re}", 4, 2, "parentheses" },
        { "/{a:re()}", 6, 2, "empty" },
        { "/{a:re(x}", 6, 1, "never closed" },
        { "/{a:re([)]}", 6, 1, "never closed" },
        { "/{a:re(x)y}", 1, 1, "never closed" },
        { "/{a}/{b}/{a}", 10, 1, "there already" },
        { "/{a:path}/x", 1, 8, "last" },
        { "/{a:path}/", 1, 8, "last" },
        { "/x{a:path}", 2, 8, "must follow" },
        { "/{b}-{a:path}", 5, 8, "must follow" },
        { "/a}b", 2, 1, "without" },
        { "/a?b", 2, 1, "can never win" },
        { "/a#b", 2, 1, "can never win" },
        { "/a/../b", 3, 2, "can never win" },
        { "/a/.", 3, 1, "can never win" },
        { "/%2e%2E/b", 1, 6, "can never win" },
        { "/a%", 2, 1, "hex digits" },
        { "/a%0g", 2, 1, "hex digits" },
        { "/a%00", 2, 1, "control" },
        { "/a\tb", 2, 1, "control" },
        { "/\xff", 0, 2, "UTF-8" },
        { "/%FF", 0, 4, "UTF-8" },
        { "/{a}\xff", 4, 1, "UTF-8" },
        { "/{a}/{b}/{c}/{d}/{e}/{f}/{g}/{h}/{i}/{j}/{k}/{l}/{m}/{n}/{o}/{p}/{q}", 65, 3, "more than 16" },
};

START_TEST(pattern_is_refused)
{
        struct arena *a = arena_new();
        struct pattern p = { .class_name = "untouched" };
        struct pattern_error err = { 0 };

        ck_assert_int_eq(pattern_parse(span_of(refused[_i].text), a, &p, &err), -EINVAL);
        ck_assert_msg(strstr(err.text, refused[_i].word) != NULL, "%s: %s", refused[_i].text, err.text);
        ck_assert_msg(err.at == refused[_i].at && err.len == refused[_i].len, "%s: %u+%u, expected %u+%u", refused[_i].text, err.at, err.len, refused[_i].at,
                      refused[_i].len);
        ck_assert_str_eq(p.class_name, "untouched");
        arena_free(a);
}
END_TEST

/* ---- read ---------------------------------------------------------------------------------------------------------------------------- */

/* Steps as text: "literal" in quotes, [pieces] with parameters as name:type. */
static const struct { const char *text, *steps, *class; } read[] = {
        { "/", "'/'", "literal" },
        { "/a/b", "'/a/b'", "literal" },
        { "/a//b/", "'/a//b/'", "literal" },
        { "/a%20b%2fc%25", "'/a b%2Fc%25'", "literal" },
        { "/caf%C3%A9", "'/caf\xc3\xa9'", "literal" },
        { "/.../.a", "'/.../.a'", "literal" },
        { "/{a}", "'/' [a:0]", "str" },
        { "/{a:str}/x", "'/' [a:0] '/x'", "str" },
        { "/u/{id:int}", "'/u/' [id:1]", "typed" },
        { "/u/{id:uuid}/{n}", "'/u/' [id:4] '/' [n:0]", "str" },
        { "/f-{id:int}.json", "'/f-' [id:1 '.json']", "literal with a parameter" },
        { "/{a}.{b:slug}-x%2f", "'/' [a:0 '.' b:5 '-x%2F']", "literal with a parameter" },
        { "/a/{rest:path}", "'/a/' [rest:6]", "path" },
        { "/{x:re([0-9]{2}/?)}", "'/' [x:7([0-9]{2}/?)]", "typed" },
        { "/{x:re(a(b|[)(])\\)c)}", "'/' [x:7(a(b|[)(])\\)c)]", "typed" },
        { "/{x:re([]})]+)}", "'/' [x:7([]})]+)]", "typed" },
};

START_TEST(pattern_is_read)
{
        struct arena *a = arena_new();
        struct pattern p;
        struct pattern_error err = { 0 };
        char got[300];
        size_t n = 0;

        ck_assert_msg(pattern_parse(span_of(read[_i].text), a, &p, &err) == 0, "%s: %s", read[_i].text, err.text);
        for (uint32_t i = 0; i < p.step_count; i++) {
                const struct pattern_step *s = &p.steps[i];

                n += (size_t)snprintf(got + n, sizeof(got) - n, "%s", i > 0 ? " " : "");
                if (s->kind == STEP_LITERAL) {
                        n += (size_t)snprintf(got + n, sizeof(got) - n, "'%.*s'", (int)s->literal.len, s->literal.ptr);
                        continue;
                }
                for (uint32_t k = 0; k < s->piece_count; k++) {
                        const struct pattern_piece *x = &s->pieces[k];

                        n += (size_t)snprintf(got + n, sizeof(got) - n, "%c", k > 0 ? ' ' : '[');
                        if (!x->is_param)
                                n += (size_t)snprintf(got + n, sizeof(got) - n, "'%.*s'", (int)x->text.len, x->text.ptr);
                        else
                                n += (size_t)snprintf(got + n, sizeof(got) - n, "%.*s:%d", (int)x->name.len, x->name.ptr, (int)x->type);
                        if (x->is_param && x->type == RT_RE)
                                n += (size_t)snprintf(got + n, sizeof(got) - n, "(%.*s)", (int)x->text.len, x->text.ptr);
                }
                n += (size_t)snprintf(got + n, sizeof(got) - n, "]");
        }
        ck_assert_str_eq(got, read[_i].steps);
        ck_assert_str_eq(p.class_name, read[_i].class);
        arena_free(a);
}
END_TEST

START_TEST(a_long_pattern_is_refused)
{
        static char text[PATTERN_BYTES_MAX + 2];
        struct arena *a = arena_new();
        struct pattern p;
        struct pattern_error err;

        memset(text, '/', sizeof(text) - 1);
        ck_assert_int_eq(pattern_parse(span_of(text), a, &p, &err), -EINVAL);
        text[PATTERN_BYTES_MAX] = '\0';
        ck_assert_int_eq(pattern_parse(span_of(text), a, &p, &err), 0);
        arena_free(a);
}
END_TEST

/* ---- literal prefixes of regexes ------------------------------------------------------------------------------------------------------ */

static const struct { const char *regex, *prefix; } prefixes[] = {
        { "^/v(?<major>\\d+)/(?<rest>.*)$", "/v" },
        { "/plain", "/plain" },
        { "^/a\\.b\\-c\\/d$", "/a.b-c/d" },
        { "^/ab?c", "/a" },          /* what a quantifier stands behind may be absent */
        { "^/ab*", "/a" },
        { "^/ab{0,2}", "/a" },
        { "^/ab+", "/a" },
        { "^/caf\xc3\xa9?", "/caf" }, /* a whole character */
        { "^/caf\xc3\xa9", "/caf\xc3\xa9" },
        { "^/a|/b", "" },            /* an alternative outside all groups */
        { "^/a(?:b|c)d", "/a" },
        { "^/a[|]b", "/a" },
        { "^/a\\|b", "/a|b" },
        { "(?i)^/a", "" },
        { "^/a(?i)b", "" },          /* options: left alone altogether */
        { "^/a(?#c|d)b", "" },
        { "^/a\\Qb|c\\E", "" },
        { "^/a\\d", "/a" },
        { "^/a\\x41", "/a" },
        { "^/a.b", "/a" },
        { "^/a$", "/a" },
        { ".*", "" },
        { "^", "" },
        { "^/0123456789012345678901234567890123456789", "/01234567890123456789012345678" },
};

START_TEST(prefix_is_lifted)
{
        struct arena *a = arena_new();
        struct span got = pattern_regex_prefix(span_of(prefixes[_i].regex), a, 30);

        ck_assert_msg(span_is(got, span_of(prefixes[_i].prefix)), "%s: \"%.*s\"", prefixes[_i].regex, (int)got.len, got.ptr);
        arena_free(a);
}
END_TEST

/* ---- regexes that need no PCRE2 --------------------------------------------------------------------------------------------------------- */

static const struct { const char *regex; bool simple; uint32_t min, max; const char *in, *out; } classes[] = {
        { "\\d+", true, 1, UINT32_MAX, "0189", "a-/" },
        { "^\\d+$", true, 1, UINT32_MAX, "0", "a" },
        { "\\w*", true, 1, UINT32_MAX, "aZ0_", "-." },
        { "[a-f0-9]{8}", true, 8, 8, "af09", "gAF-" },
        { "[A-Za-z0-9_-]+", true, 1, UINT32_MAX, "aZ9_-", ".~" },
        { "[-a]{2,}", true, 2, UINT32_MAX, "-a", "b" },
        { "[\\d.]{0,3}", true, 1, 3, "0.", "-" },
        { "[x]", true, 1, 1, "x", "y" },
        { "\\d?", true, 1, 1, "5", "x" },
        { "a+", false, 0, 0, "", "" },
        { "[^a]+", false, 0, 0, "", "" },
        { "[[:alpha:]]+", false, 0, 0, "", "" },
        { "\\d+a", false, 0, 0, "", "" },
        { "\\d+?", false, 0, 0, "", "" },
        { "\\s+", false, 0, 0, "", "" },
        { "[\\n]", false, 0, 0, "", "" },
        { "[b-a]", false, 0, 0, "", "" },
        { "[\xc3\xa9]", false, 0, 0, "", "" },
        { "[\\d-x]", false, 0, 0, "", "" },
        { "\\d{3,1}", false, 0, 0, "", "" },
        { "\\d{,3}", false, 0, 0, "", "" },
        { "[a", false, 0, 0, "", "" },
        { "\\", false, 0, 0, "", "" },
        { "", false, 0, 0, "", "" },
};

START_TEST(simple_class_is_seen)
{
        struct byte_map m;

        ck_assert_int_eq(pattern_simple_class(span_of(classes[_i].regex), &m), classes[_i].simple);
        if (!classes[_i].simple)
                return;
        ck_assert_uint_eq(m.min, classes[_i].min);
        ck_assert_uint_eq(m.max, classes[_i].max);
        for (const char *c = classes[_i].in; *c != '\0'; c++)
                ck_assert_msg((m.bits[*c / 64] >> (*c % 64)) & 1, "%s lacks %c", classes[_i].regex, *c);
        for (const char *c = classes[_i].out; *c != '\0'; c++)
                ck_assert_msg(!((m.bits[*c / 64] >> (*c % 64)) & 1), "%s has %c", classes[_i].regex, *c);
}
END_TEST

#define COUNT(list) (int)(sizeof(list) / sizeof((list)[0]))

int
main(void)
{
        Suite *suite = suite_create("pattern");
        TCase *tc = tcase_create("pattern");

        tcase_add_loop_test(tc, pattern_is_refused, 0, COUNT(refused));
        tcase_add_loop_test(tc, pattern_is_read, 0, COUNT(read));
        tcase_add_test(tc, a_long_pattern_is_refused);
        tcase_add_loop_test(tc, prefix_is_lifted, 0, COUNT(prefixes));
        tcase_add_loop_test(tc, simple_class_is_seen, 0, COUNT(classes));
        suite_add_tcase(suite, tc);
        return run_suite(suite);
}
