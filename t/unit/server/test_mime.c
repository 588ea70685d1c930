/* test_mime.c - a file's name says its type.
 * SPDX-License-Identifier: MIT */
#include <check.h>
#include <stdio.h>

#include "server/mime.h"
#include "t/unit/run.h"

static struct arena *arena;

static void
setup(void)
{
        arena = arena_new();
        ck_assert_ptr_nonnull(arena);
}

static void
teardown(void)
{
        arena_free(arena);
}

static const struct mime_types *
built(const char *file, const struct key_map *added, const char *charset)
{
        const struct mime_types *m = NULL;

        ck_assert_int_eq(mime_types_build(arena, span_of(file), added, charset, &m), 0);
        return m;
}

static const struct { const char *name, *type; } types[] = {
        { "a.html", "text/html; charset=utf-8" }, { "a.HTML", "text/html; charset=utf-8" }, { "dir.css/a.js", "text/javascript; charset=utf-8" },
        { "a.tar.gz", "application/gzip" }, { "a.svg", "image/svg+xml" }, { "a.woff2", "font/woff2" }, { "a.3gp", "video/3gpp" }, { "a.zst", "application/zstd" },
        { "a", "application/octet-stream" }, { "dir.css/a", "application/octet-stream" }, { "a.", "application/octet-stream" }, { ".html", "application/octet-stream" },
        { "a.unheardof", "application/octet-stream" }, { "a.averyverylongsuffix", "application/octet-stream" }, { "", "application/octet-stream" },
        { "a.json", "application/json" }, { "a.wasm", "application/wasm" }, { "a.mjs", "text/javascript; charset=utf-8" }, { "a.txt", "text/plain; charset=utf-8" },
        { "a.png", "image/png" }, { "a.jpeg", "image/jpeg" }, { "a.webp", "image/webp" }, { "a.pdf", "application/pdf" }, { "a.mp4", "video/mp4" },
        { "a.webmanifest", "application/manifest+json" }, { "a.7z", "application/x-7z-compressed" }, { "a.ico", "image/x-icon" }, { "a.xml", "text/xml; charset=utf-8" },
};

START_TEST(name_says_the_type)
{
        ck_assert_str_eq(mime_type(built("", NULL, "utf-8"), span_of(types[_i].name)), types[_i].type);
}
END_TEST

static const char list[] =
        "# a comment\n"
        "\n"
        "application/x-thing\t\tthing THNG\n"
        "text/x-mine mine # not this\n"
        "application/nothing\n"
        "text/css\tcss\r\n"
        "not a type at all\n"
        "image/png png pn/g ../png .dotted\n"
        "text/first twice\n"
        "text/second twice\n"
        "bad\x01/type bad\n"
        "application/javascript js"; /* without a newline */

static const struct { const char *name, *type; } listed[] = {
        { "a.thing", "application/x-thing" }, { "a.thng", "application/x-thing" }, { "a.ThNg", "application/x-thing" }, { "a.mine", "text/x-mine; charset=utf-8" },
        { "a.not", "application/octet-stream" }, { "a.type", "application/octet-stream" }, { "a.css", "text/css; charset=utf-8" }, { "a.dotted", "image/png" },
        { "a.twice", "text/first; charset=utf-8" }, { "a.bad", "application/octet-stream" },
        { "a.js", "application/javascript" },      /* the system's list goes before what is built in */
        { "a.woff2", "font/woff2" },               /* which is there for the rest */
};

START_TEST(list_goes_before_the_built_in)
{
        ck_assert_str_eq(mime_type(built(list, NULL, "utf-8"), span_of(listed[_i].name)), listed[_i].type);
}
END_TEST

START_TEST(own_types_go_before_all)
{
        const char *keys[] = { "css", ".thing", "XYZ", "odd" }, *values[] = { "text/x-own", "text/plain; charset=latin1", "application/xyz", "text/odd ;x=1" };
        struct key_map map = { keys, values, 4 };
        const struct mime_types *m = built(list, &map, "koi8-r");

        ck_assert_str_eq(mime_type(m, SPAN_LIT("a.css")), "text/x-own; charset=koi8-r");
        ck_assert_str_eq(mime_type(m, SPAN_LIT("a.thing")), "text/plain; charset=latin1");
        ck_assert_str_eq(mime_type(m, SPAN_LIT("a.xyz")), "application/xyz");
        ck_assert_str_eq(mime_type(m, SPAN_LIT("a.odd")), "text/odd ;x=1");
        ck_assert_str_eq(mime_type(m, SPAN_LIT("a.html")), "text/html; charset=koi8-r");
        ck_assert_str_eq(mime_type(built(list, &map, ""), SPAN_LIT("a.html")), "text/html");
        ck_assert_str_eq(mime_type(built(list, &map, NULL), SPAN_LIT("a.css")), "text/x-own");
}
END_TEST

/* More suffixes than the first table has room for. */
START_TEST(long_lists_fit)
{
        static char text[200000];
        size_t len = 0;
        const struct mime_types *m;

        for (int i = 0; i < 5000; i++)
                len += (size_t)snprintf(text + len, sizeof text - len, "x/t%d s%d\n", i, i);
        m = built(text, NULL, "utf-8");
        for (int i = 0; i < 5000; i++) {
                char name[32], type[32];

                snprintf(name, sizeof name, "f.s%d", i);
                snprintf(type, sizeof type, "x/t%d", i);
                ck_assert_str_eq(mime_type(m, span_of(name)), type);
        }
}
END_TEST

static const struct { const char *text; bool type, suffix; } words[] = {
        { "text/css", true, false }, { "text/css; a=b", true, false }, { "text/", false, false }, { "/css", false, false }, { "text", false, true }, { ".css", false, true },
        { "css", false, true }, { "", false, false }, { ".", false, false }, { "tar.gz", false, false }, { "text/c\ns", false, false }, { "text/css\r\nX: y", false, false },
        { "a b", false, false }, { "abcdefghijklmnopqrstuvwxyz", false, false }, { "x/\"y", false, false },
};

START_TEST(words_are_checked)
{
        ck_assert_int_eq(mime_is_type(span_of(words[_i].text)), words[_i].type);
        ck_assert_int_eq(mime_is_suffix(span_of(words[_i].text)), words[_i].suffix);
}
END_TEST

int
main(void)
{
        Suite *s = suite_create("mime");
        TCase *t = tcase_create("types");

        tcase_add_checked_fixture(t, setup, teardown);
        LOOP(t, name_says_the_type, types);
        LOOP(t, list_goes_before_the_built_in, listed);
        tcase_add_test(t, own_types_go_before_all);
        tcase_add_test(t, long_lists_fit);
        LOOP(t, words_are_checked, words);
        suite_add_tcase(s, t);
        return run_suite(s);
}
