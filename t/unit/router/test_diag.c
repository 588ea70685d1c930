/* test_diag.c - SPDX-License-Identifier: MIT */
#include "../../../router/diag.h"

#include <check.h>
#include <stdlib.h>
#include "../run.h"

static struct diags d;

static void
setup(void)
{
        diags_init(&d);
}

static void
teardown(void)
{
        diags_fini(&d);
        diags_fini(&d); /* twice is fine */
        diags_fini(NULL);
}

/* Adds one finding and returns the whole text; the caller frees it. */
static char *
shown(struct place at, const char *line, const char *hint)
{
        diag_add(&d, DIAG_ERROR, at, span_of(line), hint, "%s", "bad");
        return diags_format(&d);
}

static const struct { struct place at; const char *line, *hint, *expected; } places[] = {
        { { "f", 14, 9, 6 }, "        timout: 5s", "did you mean \"timeout\"?",
          "f:14:9: error: bad\n   14 |         timout: 5s\n      |         ^~~~~~ did you mean \"timeout\"?\n" },
        { { "f", 1, 1, 1 }, "x", NULL, "f:1:1: error: bad\n    1 | x\n      | ^\n" },
        { { "f", 100000, 2, 0 }, "ab", NULL, "f:100000:2: error: bad\n100000 | ab\n      |  ^\n" }, /* nothing to underline: the caret alone */
        { { "f", 1, 3, 100 }, "abcd", NULL, "f:1:3: error: bad\n    1 | abcd\n      |   ^~\n" },   /* never past the line */
        { { "f", 1, 99, 1 }, "abcd", NULL, "f:1:99: error: bad\n    1 | abcd\n      |     ^\n" },
        { { "f", 0, 0, 0 }, NULL, "do so", "f: error: bad\n      = do so\n" },                      /* the whole file */
        { { "f", 3, 2, 1 }, NULL, NULL, "f:3:2: error: bad\n" },
        { { NULL, 0, 0, 0 }, NULL, NULL, "error: bad\n" },
        { { "f", 1, 3, 1 }, "\xc3\xa4" "b", NULL, "f:1:3: error: bad\n    1 | \xc3\xa4" "b\n      |  ^\n" }, /* col counts bytes, carets count characters */
        { { "f", 1, 2, 1 }, "\tb", NULL, "f:1:2: error: bad\n    1 | \\tb\n      |   ^\n" },
        { { "f", 1, 2, 2 }, "a\xff\x1b[0m", NULL, "f:1:2: error: bad\n    1 | a\\xff\\x1b[0m\n      |  ^~~~~~~~\n" }, /* a terminal gets no escape */
        { { "f", 1, 1, 3 }, "\xe2\x80\xae" "x", NULL, "f:1:1: error: bad\n    1 | \\xe2\\x80\\xaex\n      | ^~~~~~~~~~~~\n" },    /* nor a change of direction */
};

START_TEST(a_finding_shows_where_it_is)
{
        char *text = shown(places[_i].at, places[_i].line, places[_i].hint);

        ck_assert_str_eq(text, places[_i].expected);
        free(text);
}
END_TEST

START_TEST(a_long_line_is_cut_around_the_caret)
{
        char line[5001], *text;

        memset(line, 'x', 5000);
        line[5000] = '\0';
        memcpy(line + 2500, "HERE", 4);
        text = shown((struct place){ "f", 1, 2501, 4 }, line, NULL);
        ck_assert_uint_lt(strlen(text), 500);
        ck_assert_ptr_nonnull(strstr(text, "HERE"));
        ck_assert_ptr_nonnull(strstr(text, "..."));
        free(text);
}
END_TEST

START_TEST(a_long_line_that_is_no_text_is_cut_too)
{
        char line[301], *text;

        memset(line, 0x80, 300); /* continuation bytes of no character */
        line[300] = '\0';
        for (unsigned col = 1; col < 302; col++) {
                text = shown((struct place){ "f", 1, col, 2 }, line, NULL);
                ck_assert_ptr_nonnull(text);
                free(text);
                diags_fini(&d);
        }
}
END_TEST

START_TEST(findings_come_in_the_order_of_the_file_with_their_notes)
{
        const struct span none = { NULL, 0 };
        char *text;

        diag_add(&d, DIAG_ERROR, (struct place){ "a", 9, 1, 1 }, none, NULL, "late");
        diag_add(&d, DIAG_NOTE, (struct place){ "a", 1, 1, 1 }, none, NULL, "its note");
        diag_add(&d, DIAG_WARNING, (struct place){ "b", 1, 1, 1 }, none, NULL, "other file");
        diag_add(&d, DIAG_ERROR, (struct place){ "a", 3, 7, 1 }, none, NULL, "right");
        diag_add(&d, DIAG_ERROR, (struct place){ "a", 3, 2, 1 }, none, NULL, "left");
        text = diags_format(&d);
        ck_assert_str_eq(text, "a:3:2: error: left\na:3:7: error: right\na:9:1: error: late\na:1:1: note: its note\nb:1:1: warning: other file\n");
        ck_assert_uint_eq(d.error_count, 3);
        ck_assert_uint_eq(d.warning_count, 1);
        free(text);
}
END_TEST

START_TEST(the_same_finding_is_shown_once)
{
        char *text;

        for (unsigned i = 0; i < 3; i++) {
                diag_add(&d, DIAG_WARNING, (struct place){ "f", 1, 1, 1 }, span_of("x"), NULL, "said");
                diag_add(&d, DIAG_NOTE, (struct place){ "f", 2, 1, 1 }, span_of("y"), NULL, "note");
        }
        text = diags_format(&d);
        ck_assert_str_eq(text, "f:1:1: warning: said\n    1 | x\n      | ^\nf:2:1: note: note\n    2 | y\n      | ^\n");
        free(text);
}
END_TEST

START_TEST(past_a_thousand_findings_are_counted)
{
        char *text;

        for (unsigned i = 0; i < 1500; i++)
                diag_add(&d, DIAG_ERROR, (struct place){ "f", i + 1, 1, 1 }, span_of("x"), NULL, "n %u", i);
        ck_assert_uint_eq(d.error_count, 1500);
        ck_assert_uint_le(d.count, 1000);
        text = diags_format(&d);
        ck_assert_ptr_nonnull(strstr(text, "... and 500 more\n"));
        free(text);
}
END_TEST

START_TEST(everything_is_copied)
{
        char file[] = "file", line[] = "line", hint[] = "hint", *text;

        diag_add(&d, DIAG_ERROR, (struct place){ file, 1, 1, 1 }, span_of(line), hint, "text");
        file[0] = line[0] = hint[0] = 'X';
        text = diags_format(&d);
        ck_assert_str_eq(text, "file:1:1: error: text\n    1 | line\n      | ^ hint\n");
        free(text);
}
END_TEST

START_TEST(json_is_escaped)
{
        char *text;

        diag_add(&d, DIAG_ERROR, (struct place){ "f\"", 1, 2, 3 }, span_of("x"), NULL, "a\\b\n\xff\xc3\xa4");
        diag_add(&d, DIAG_NOTE, (struct place){ NULL, 0, 0, 0 }, span_of(NULL), "h", "n");
        text = diags_format_json(&d);
        ck_assert_str_eq(text, "[{\"level\":\"error\",\"file\":\"f\\\"\",\"line\":1,\"col\":2,\"text\":\"a\\\\b\\u000a\\ufffd\xc3\xa4\",\"hint\":null},"
                               "{\"level\":\"note\",\"file\":null,\"line\":0,\"col\":0,\"text\":\"n\",\"hint\":\"h\"}]");
        free(text);
}
END_TEST

START_TEST(nothing_found_is_an_empty_text)
{
        char *text = diags_format(&d), *json = diags_format_json(&d);

        ck_assert_str_eq(text, "");
        ck_assert_str_eq(json, "[]");
        free(text);
        free(json);
}
END_TEST

static const char *const words[] = { "timeout", "threads", "path", "body", "header", "header_count", "GET", "on", "app" };
static const struct { const char *word, *nearest; } near[] = {
        { "timout", "timeout" },   { "tiemout", "timeout" }, { "TIMEOUT", "timeout" }, { "headers", "header" }, { "header_cuont", "header_count" },
        { "get", "GET" },          { "pth", "path" },        { "apps", "app" },        { "no", "on" },          { "", NULL },
        { "zebra", NULL },         { "x", NULL },            { "completely_different_word", NULL },             { "bo", NULL },
};

START_TEST(the_word_that_was_meant)
{
        ck_assert_pstr_eq(diag_nearest(span_of(near[_i].word), words, sizeof(words) / sizeof(*words)), near[_i].nearest);
}
END_TEST

START_TEST(a_very_long_word_is_not_guessed_at)
{
        char word[1000];

        memset(word, 't', sizeof(word));
        ck_assert_ptr_null(diag_nearest((struct span){ word, sizeof(word) }, words, 3));
}
END_TEST

int
main(void)
{
        Suite *s = suite_create("diag");
        TCase *t = tcase_create("diag");

        suite_add_tcase(s, t);
        tcase_add_checked_fixture(t, setup, teardown);
        tcase_add_loop_test(t, a_finding_shows_where_it_is, 0, sizeof(places) / sizeof(*places));
        tcase_add_test(t, a_long_line_is_cut_around_the_caret);
        tcase_add_test(t, a_long_line_that_is_no_text_is_cut_too);
        tcase_add_test(t, findings_come_in_the_order_of_the_file_with_their_notes);
        tcase_add_test(t, the_same_finding_is_shown_once);
        tcase_add_test(t, past_a_thousand_findings_are_counted);
        tcase_add_test(t, everything_is_copied);
        tcase_add_test(t, json_is_escaped);
        tcase_add_test(t, nothing_found_is_an_empty_text);
        tcase_add_loop_test(t, the_word_that_was_meant, 0, sizeof(near) / sizeof(*near));
        tcase_add_test(t, a_very_long_word_is_not_guessed_at);
        return run_suite(s);
}
