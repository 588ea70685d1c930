/* test_listing.c - a folder as a page: what is named, in which order, and that no name can write into the page.
 * SPDX-License-Identifier: MIT */
#include <check.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "server/listing.h"
#include "t/unit/run.h"

static char base[64];
static struct arena *arena;
static struct static_root *root;
static struct out page;

static const char *
at(const char *name)
{
        static char path[1024];

        snprintf(path, sizeof path, "%s/%s", base, name);
        return path;
}

static void
put_file(const char *name, size_t len)
{
        struct timespec times[2] = { { 1795176000, 0 }, { 1795176000, 0 } }; /* Fri, 20 Nov 2026 12:00:00 GMT */
        int fd = open(at(name), O_CREAT | O_WRONLY | O_CLOEXEC, 0644);

        ck_assert_int_ge(fd, 0);
        ck_assert_int_eq(ftruncate(fd, (off_t)len), 0);
        ck_assert_int_eq(futimens(fd, times), 0);
        close(fd);
}

static void
setup(void)
{
        struct static_options o = { .listing = true };

        strcpy(base, "/tmp/heart-list-XXXXXX");
        ck_assert_ptr_nonnull(mkdtemp(base));
        arena = arena_new();
        ck_assert_int_eq(mime_types_build(arena, SPAN_LIT(""), NULL, "", &o.types), 0);
        ck_assert_int_eq(static_root_open(base, &o, &root), 0);
        page = (struct out){ 0 };
}

static int
remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
        (void)st, (void)type, (void)ftw;
        return remove(path);
}

static void
teardown(void)
{
        out_fini(&page);
        static_root_free(root);
        arena_free(arena);
        nftw(base, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

static const char *
listed(const char *path, bool json)
{
        int dir = open(base, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

        ck_assert_int_eq(listing_make(root, dir, span_of(path), json, &page), 0);
        ck_assert_int_lt(fcntl(dir, F_GETFD), 0); /* given, and closed */
        out_add(&page, "", 1);
        return page.buf;
}

START_TEST(json_is_whole)
{
        mkdir(at("sub"), 0755);
        put_file("b.txt", 1500);
        put_file("A\"\\\n.txt", 0);
        put_file("\xff.txt", 1);
        put_file(".hidden", 1);
        ck_assert_int_eq(symlink("b.txt", at("link")), 0);
        ck_assert_int_eq(mkfifo(at("fifo"), 0644), 0);
        const char *text = listed("/x\"/", true), *sub = strstr(text, "\"sub\"");
        ck_assert_ptr_nonnull(sub);
        ck_assert_int_eq(strncmp(text, "{\"path\": \"/x\\\"/\", \"complete\": true, \"entries\": [\n  {\"name\": \"sub\", \"type\": \"folder\", \"modified\": \"", 88), 0);
        ck_assert_str_eq(strchr(sub, '}'), "},\n"
                                           "  {\"name\": \"A\\\"\\\\\\u000a.txt\", \"type\": \"file\", \"modified\": \"2026-11-20T12:00:00Z\", \"size\": 0},\n"
                                           "  {\"name\": \"b.txt\", \"type\": \"file\", \"modified\": \"2026-11-20T12:00:00Z\", \"size\": 1500},\n"
                                           "  {\"name\": \"\xef\xbf\xbd.txt\", \"type\": \"file\", \"modified\": \"2026-11-20T12:00:00Z\", \"size\": 1}\n"
                                           "]}\n");
}
END_TEST

START_TEST(what_cannot_be_read_is_not_named)
{
        const char *text;
        bool as_root = geteuid() == 0;

        put_file("open.txt", 1);
        put_file("shut.txt", 1);
        ck_assert_int_eq(mkdir(at("in"), 0755), 0);
        ck_assert_int_eq(mkdir(at("out"), 0755), 0);
        ck_assert_int_eq(chmod(at("shut.txt"), 0), 0);
        ck_assert_int_eq(chmod(at("out"), 0), 0);
        ck_assert_int_eq(chmod(base, 0755), 0);
        if (as_root)
                ck_assert_int_eq(seteuid(65534), 0); /* nobody, with root's capabilities out of effect */
        text = listed("/", true);
        if (as_root)
                ck_assert_int_eq(seteuid(0), 0);
        ck_assert_int_eq(chmod(at("out"), 0755), 0);
        ck_assert_ptr_nonnull(strstr(text, "\"open.txt\""));
        ck_assert_ptr_nonnull(strstr(text, "\"in\""));
        ck_assert_ptr_null(strstr(text, "\"shut.txt\""));
        ck_assert_ptr_null(strstr(text, "\"out\""));
}
END_TEST

START_TEST(names_are_text_in_html)
{
        put_file("<script>&'\".txt", 1);
        put_file("a b#?%.txt", 1);
        put_file("\xff", 1);
        const char *text = listed("/<x>/", false);

        ck_assert_ptr_null(strstr(text, "<script>"));
        ck_assert_ptr_null(strstr(text, "<x>"));
        ck_assert_ptr_nonnull(strstr(text, "<title>/&#60;x&#62;/</title>"));
        ck_assert_ptr_nonnull(strstr(text, "<a href=\"./%3Cscript%3E%26%27%22.txt\">&#60;script&#62;&#38;&#39;&#34;.txt</a><td>1 B<td>2026-11-20 12:00\n"));
        ck_assert_ptr_nonnull(strstr(text, "<a href=\"./a%20b%23%3F%25.txt\">a b#?%.txt</a>"));
        ck_assert_ptr_nonnull(strstr(text, "<a href=\"./%FF\">\xef\xbf\xbd</a>"));
        ck_assert_ptr_nonnull(strstr(text, "href=\"../\""));
}
END_TEST

static const struct { size_t size; const char *text; } sizes[] = {
        { 0, "<td>0 B<" }, { 999, "<td>999 B<" }, { 1000, "<td>1.0 kB<" }, { 9949, "<td>9.9 kB<" }, { 12345, "<td>12 kB<" }, { 999949, "<td>1000 kB<" }, { 1000000, "<td>1.0 MB<" },
        { 4200000000, "<td>4.2 GB<" },
};

START_TEST(sizes_are_for_people)
{
        put_file("f", sizes[_i].size);
        ck_assert_ptr_nonnull(strstr(listed("/", false), sizes[_i].text));
        ck_assert_ptr_null(strstr(page.buf, "href=\"../\"")); /* the top has no way up */
}
END_TEST

START_TEST(empty_and_endless_folders)
{
        ck_assert_ptr_nonnull(strstr(listed("/", false), "This folder is empty."));
        out_fini(&page);
        ck_assert_str_eq(listed("/", true), "{\"path\": \"/\", \"complete\": true, \"entries\": []}\n");
        out_fini(&page);
        for (int i = 0; i <= LISTING_MAX; i++) {
                char name[16];

                snprintf(name, sizeof name, "f%d", i);
                put_file(name, 0);
        }
        ck_assert_ptr_nonnull(strstr(listed("/", false), "There is more in this folder"));
        out_fini(&page);
        ck_assert_ptr_nonnull(strstr(listed("/", true), "\"complete\": false"));
        int names = 0;
        for (const char *p = page.buf; (p = strstr(p, "\"name\"")) != NULL; p++)
                names++;
        ck_assert_int_eq(names, LISTING_MAX);
}
END_TEST

int
main(void)
{
        Suite *s = suite_create("listing");
        TCase *t = tcase_create("pages");

        tcase_add_checked_fixture(t, setup, teardown);
        tcase_set_timeout(t, 60);
        tcase_add_test(t, json_is_whole);
        tcase_add_test(t, what_cannot_be_read_is_not_named);
        tcase_add_test(t, names_are_text_in_html);
        LOOP(t, sizes_are_for_people, sizes);
        tcase_add_test(t, empty_and_endless_folders);
        suite_add_tcase(s, t);
        return run_suite(s);
}
