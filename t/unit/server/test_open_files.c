/* test_open_files.c - files that were served lately: what is kept, for how long, and that one answer is of one state of a file.
 * SPDX-License-Identifier: MIT
 * The clock is the test's own: now_ms is what it says. */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "server/open_files.h"
#include "t/unit/run.h"

#define MTIME 1795176000 /* Fri, 20 Nov 2026 12:00:00 GMT */

static char base[64];
static struct arena *arena;
static struct static_root *root;
static struct open_files *cache;
static const struct static_wish nothing;

static const char *
at(const char *name)
{
        static char path[512];

        snprintf(path, sizeof path, "%s/%s", base, name);
        return path;
}

static void
put_bytes(const char *name, char fill, size_t len, time_t mtime)
{
        struct timespec times[2] = { { mtime, 0 }, { mtime, 5 } };
        FILE *f = fopen(at(name), "w");

        ck_assert_ptr_nonnull(f);
        for (size_t i = 0; i < len; i++)
                putc(fill, f);
        fclose(f);
        ck_assert_int_eq(utimensat(AT_FDCWD, at(name), times, 0), 0);
}

static int
fd_count(void)
{
        int n = 0;

        for (int fd = 0; fd < 256; fd++)
                n += fcntl(fd, F_GETFD) >= 0;
        return n;
}

static void
setup(void)
{
        struct static_options o = { .cache_ms = 60000 };
        const struct open_files_limits limits = { 4, 4, 1 << 20, 1000, 60000 };

        strcpy(base, "/tmp/heart-open-XXXXXX");
        ck_assert_ptr_nonnull(mkdtemp(base));
        arena = arena_new();
        ck_assert_int_eq(mime_types_build(arena, SPAN_LIT(""), NULL, "utf-8", &o.types), 0);
        ck_assert_int_eq(static_root_open(base, &o, &root), 0);
        ck_assert_int_eq(open_files_new(&cache), 0);
        open_files_limit(cache, &limits);
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
        open_files_free(cache);
        open_files_free(NULL);
        static_root_free(root);
        arena_free(arena);
        nftw(base, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

static struct open_file *
made(const char *name)
{
        struct static_found found;
        struct open_file *f = NULL;

        ck_assert_int_eq(static_find(root, span_of(name), &nothing, false, &found), 0);
        ck_assert_int_eq(open_file_make(root, span_of(name), &nothing, &found, true, MTIME + 60, &f), 0);
        return f;
}

static struct open_file *
find(const char *name, uint64_t now_ms, bool *ret_fresh)
{
        return open_files_find(cache, root, span_of(name), &nothing, now_ms, ret_fresh);
}

static const struct { size_t size; bool held; } sizes[] = { { 0, false }, { 1, false }, { 1000, false }, { OPEN_FILE_SMALL, false }, { OPEN_FILE_SMALL + 1, true }, { 1 << 20, true } };

START_TEST(small_files_are_bytes_large_ones_descriptors)
{
        int fds = fd_count();
        struct open_file *f;
        char length[64];

        put_bytes("a.txt", 'a', sizes[_i].size, MTIME);
        f = made("a.txt");
        ck_assert_int_eq(fd_count(), fds + sizes[_i].held);
        ck_assert_int_eq(f->fd >= 0, sizes[_i].held);
        ck_assert_uint_eq(f->size, sizes[_i].size);
        ck_assert_uint_eq(f->ready.body_len, sizes[_i].held ? 0 : sizes[_i].size);
        for (size_t i = 0; i < f->ready.body_len; i++)
                ck_assert_int_eq(f->ready.body[i], 'a');
        snprintf(length, sizeof length, "Content-Length: %zu\r\n", sizes[_i].size);
        ck_assert_ptr_nonnull(memmem(f->ready.head, f->ready.head_len, length, strlen(length)));
        open_file_free(f);
        ck_assert_int_eq(fd_count(), fds);
}
END_TEST

START_TEST(head_says_all)
{
        struct response_date date = { 0 };
        struct out o = { 0 };
        struct open_file *f;
        char expected[512];

        put_bytes("a.css", 'p', 3, MTIME);
        f = made("a.css");
        response_date_update(&date, MTIME + 60);
        reply_add(&o, &f->ready, 1, true, false, &date);
        out_add(&o, "", 1);
        snprintf(expected, sizeof expected,
                 "HTTP/1.1 200 OK\r\nServer: heart\r\nLast-Modified: Fri, 20 Nov 2026 12:00:00 GMT\r\nETag: \"%llx-3-%llx\"\r\nCache-Control: max-age=60\r\n"
                 "Content-Type: text/css; charset=utf-8\r\nAccept-Ranges: bytes\r\nContent-Length: 3\r\nDate: Fri, 20 Nov 2026 12:01:00 GMT\r\n\r\nppp",
                 MTIME * 1000000000ULL + 5, (unsigned long long)f->stamp.ino);
        ck_assert_str_eq(o.buf, expected);
        out_fini(&o);
        open_file_free(f);
}
END_TEST

/* RFC 9110, 8.8.2.1 */
START_TEST(last_modified_is_never_ahead_of_date)
{
        struct open_file *f;

        put_bytes("a.css", 'p', 3, MTIME + 3600);
        f = made("a.css");
        ck_assert_str_eq(f->modified_text, "Fri, 20 Nov 2026 12:01:00 GMT");
        open_file_free(f);
}
END_TEST

START_TEST(entry_is_fresh_for_a_while)
{
        struct open_file *f;
        bool fresh = false;

        put_bytes("a.txt", 'a', 10, MTIME);
        ck_assert_ptr_null(find("a.txt", 5000, &fresh));
        f = made("a.txt");
        f->racy = false;
        open_files_put(cache, f, 5000);
        ck_assert_ptr_eq(find("a.txt", 5999, &fresh), f);
        ck_assert(fresh);
        ck_assert_ptr_eq(find("a.txt", 6000, &fresh), f);
        ck_assert(!fresh);
        ck_assert_ptr_null(find("a.tx", 5999, &fresh));
        ck_assert_ptr_null(find("a.txt/", 5999, &fresh));
        ck_assert_uint_eq(open_files_counts(cache).hits, 1);
}
END_TEST

static struct static_found
look(const char *name)
{
        struct static_found found;

        ck_assert_int_eq(static_find(root, span_of(name), &nothing, false, &found), 0);
        close(found.fd);
        return found;
}

/* Whatever was done to the file, the entry is not taken for it; and what it holds stays what it was. */
static const struct { const char *how; bool same; } changes[] = { { "nothing", true }, { "rewritten", false }, { "replaced", false }, { "truncated", false }, { "grown", false }, { "touched", false } };

START_TEST(changes_are_seen)
{
        const char *how = changes[_i].how;
        struct static_found found;
        struct open_file *f;
        bool fresh;

        put_bytes("a.txt", 'a', 10, MTIME);
        f = made("a.txt");
        f->racy = false;
        open_files_put(cache, f, 0);
        if (strcmp(how, "rewritten") == 0) {
                put_bytes("a.txt", 'b', 10, MTIME); /* the same length and time: the change time tells */
        } else if (strcmp(how, "replaced") == 0) {
                put_bytes("b.txt", 'b', 10, MTIME);
                ck_assert_int_eq(rename(at("b.txt"), strdupa(at("a.txt"))), 0);
        } else if (strcmp(how, "truncated") == 0) {
                ck_assert_int_eq(truncate(at("a.txt"), 3), 0);
        } else if (strcmp(how, "grown") == 0) {
                ck_assert_int_eq(truncate(at("a.txt"), 30), 0);
        } else if (strcmp(how, "touched") == 0) {
                struct timespec times[2] = { { MTIME, 0 }, { MTIME + 1, 0 } };
                ck_assert_int_eq(utimensat(AT_FDCWD, at("a.txt"), times, 0), 0);
        }
        found = look("a.txt");
        ck_assert_msg(open_files_same(cache, f, &found, 2000) == changes[_i].same, "%s", how);
        ck_assert_ptr_eq(find("a.txt", 2000, &fresh), f);
        ck_assert_int_eq(fresh, changes[_i].same);
        ck_assert_int_eq(memcmp(f->ready.body, "aaaaaaaaaa", 10), 0);
}
END_TEST

/* Two changes within a tick of the kernel's clock look like one, so what was read right after a change is read again. */
START_TEST(fresh_changes_are_not_trusted)
{
        struct static_found found;
        struct open_file *f;

        put_bytes("a.txt", 'a', 10, MTIME);
        f = made("a.txt");
        ck_assert(f->racy); /* its change time is now */
        open_files_put(cache, f, 0);
        found = look("a.txt");
        ck_assert(!open_files_same(cache, f, &found, 2000));
        usleep(60000);
        f = made("a.txt");
        ck_assert(!f->racy);
        open_file_free(f);
}
END_TEST

START_TEST(another_takes_its_place_and_the_old_one_lives_on)
{
        struct open_file *old, *new;
        bool fresh;

        put_bytes("a.txt", 'a', 10, MTIME);
        old = made("a.txt");
        open_files_put(cache, old, 0);
        open_file_ref(old); /* an answer is under way */
        put_bytes("a.txt", 'b', 20, MTIME);
        new = made("a.txt");
        open_files_put(cache, new, 10);
        ck_assert_ptr_eq(find("a.txt", 11, &fresh), new);
        ck_assert(!old->listed);
        ck_assert_int_eq(memcmp(old->ready.body, "aaaaaaaaaa", 10), 0);
        open_file_unref(old);
}
END_TEST

static void
put_named(char name, size_t size)
{
        char text[8] = { name, '\0' };

        put_bytes(text, name, size, MTIME);
        open_files_put(cache, made(text), (uint64_t)name);
}

static bool
knows(char name)
{
        char text[8] = { name, '\0' };
        bool fresh;

        return find(text, 200, &fresh) != NULL;
}

START_TEST(the_one_used_longest_ago_goes)
{
        for (char c = 'a'; c <= 'd'; c++)
                put_named(c, 10);
        ck_assert(knows('a')); /* which makes b the oldest */
        put_named('e', 10);
        ck_assert(knows('a') && !knows('b') && knows('c') && knows('d') && knows('e'));
}
END_TEST

START_TEST(bytes_are_bounded)
{
        const struct open_files_limits limits = { 100, 100, 300000, 1000, 60000 }, none = { 0, 100, 300000, 1000, 60000 };

        open_files_limit(cache, &limits);
        put_named('a', 100000);
        put_named('b', 100000);
        ck_assert(knows('a') && knows('b'));
        put_named('c', 100000);
        ck_assert(!knows('a') && knows('b') && knows('c'));
        open_files_limit(cache, &none);
        ck_assert(!knows('b') && !knows('c'));
        put_bytes("d", 'd', 10, MTIME);
        struct open_file *f = made("d");
        open_file_ref(f);
        open_files_put(cache, f, 0);
        ck_assert(!f->listed && !knows('d'));
        open_file_unref(f);
}
END_TEST

START_TEST(coded_bytes_are_kept_within_the_bytes)
{
        const struct open_files_limits limits = { 4, 4, 5200, 1000, 60000 };
        struct open_file *f, *alone;
        static char bytes[4000];

        open_files_limit(cache, &limits);
        put_bytes("a.txt", 'a', 1000, MTIME);
        put_bytes("b.txt", 'b', 4000, MTIME);
        f = made("a.txt");
        alone = made("a.txt"); /* of which the cache knows nothing */
        open_files_put(cache, f, 0);
        open_files_keep_coded(cache, f, CODING_GZIP, 3, (struct span){ "gzip", 4 });
        open_files_keep_coded(cache, f, CODING_BR, 5, (struct span){ "br", 2 });
        open_files_keep_coded(cache, f, CODING_GZIP, 4, (struct span){ "other", 5 });  /* one for each coding: its level is the route's, and that is one */
        open_files_keep_coded(cache, f, CODING_ZSTD, 1, (struct span){ bytes, sizeof bytes }); /* there is no room for that */
        open_files_keep_coded(cache, alone, CODING_GZIP, 3, (struct span){ "gzip", 4 });
        ck_assert(span_is(open_file_coded(f, CODING_GZIP, 3), SPAN_LIT("gzip")));
        ck_assert(span_is(open_file_coded(f, CODING_BR, 5), SPAN_LIT("br")));
        ck_assert_ptr_null(open_file_coded(f, CODING_GZIP, 4).ptr);
        ck_assert_ptr_null(open_file_coded(f, CODING_ZSTD, 1).ptr);
        ck_assert_ptr_null(open_file_coded(alone, CODING_GZIP, 3).ptr);
        open_file_free(alone);
        open_files_put(cache, made("b.txt"), 0); /* the two are more than there is room for: a.txt goes, and all that it took with it */
        ck_assert_ptr_null(find("a.txt", 0, &(bool){ false }));
        f = find("b.txt", 0, &(bool){ false });
        ck_assert_ptr_nonnull(f);
        open_files_keep_coded(cache, f, CODING_GZIP, 3, (struct span){ bytes, 100 });
        ck_assert_uint_eq(open_file_coded(f, CODING_GZIP, 3).len, 100);
}
END_TEST

START_TEST(descriptors_are_bounded_and_counted)
{
        int fds = fd_count();

        for (char c = 'a'; c <= 'z'; c++)
                put_named(c, OPEN_FILE_SMALL + 1);
        ck_assert_int_eq(fd_count(), fds + 4);
        ck_assert_uint_eq(open_files_counts(cache).opened - open_files_counts(cache).closed, 4);
        open_files_clear(cache);
        ck_assert_int_eq(fd_count(), fds);
        ck_assert_uint_eq(open_files_counts(cache).opened, open_files_counts(cache).closed);
}
END_TEST

/* Fewer than entries: small files stay, the descriptor used longest ago goes. */
START_TEST(descriptors_have_a_bound_of_their_own)
{
        const struct open_files_limits limits = { 100, 2, 1 << 30, 1000, 60000 }, none = { 100, 0, 1 << 30, 1000, 60000 };
        int fds = fd_count();

        open_files_limit(cache, &limits);
        put_named('a', OPEN_FILE_SMALL + 1);
        put_named('b', 10);
        put_named('c', OPEN_FILE_SMALL + 1);
        put_named('d', 10);
        put_named('e', OPEN_FILE_SMALL + 1);
        ck_assert(!knows('a') && knows('b') && knows('c') && knows('d') && knows('e'));
        ck_assert_int_eq(fd_count(), fds + 2);
        open_files_limit(cache, &none);
        ck_assert(knows('b') && !knows('c') && knows('d') && !knows('e'));
        ck_assert_int_eq(fd_count(), fds);
        put_bytes("f", 'f', OPEN_FILE_SMALL + 1, MTIME);
        struct open_file *f = made("f");
        open_file_ref(f);
        open_files_put(cache, f, 0);
        ck_assert(!f->listed);
        open_file_unref(f);
        ck_assert_int_eq(fd_count(), fds);
}
END_TEST

START_TEST(idle_ones_go)
{
        put_named('a', 10);
        put_named('b', 10);
        ck_assert(knows('a')); /* at 200 ms */
        open_files_tick(cache, 'b' + 60000 - 1);
        ck_assert(knows('b')); /* at 200 ms, too */
        open_files_tick(cache, 200 + 60000 - 1);
        ck_assert(knows('a') && knows('b'));
        open_files_tick(cache, 200 + 60000);
        ck_assert(!knows('a') && !knows('b'));
}
END_TEST

/* More entries than buckets: all are found. */
START_TEST(many_are_found)
{
        const struct open_files_limits limits = { 2000, 2000, 1 << 30, 1000, 60000 };
        bool fresh;

        open_files_limit(cache, &limits);
        for (int i = 0; i < 500; i++) {
                char name[16];

                snprintf(name, sizeof name, "f%d", i);
                put_bytes(name, 'x', (size_t)i, MTIME);
                open_files_put(cache, made(name), 0);
        }
        for (int i = 0; i < 500; i++) {
                char name[16];
                struct open_file *f;

                snprintf(name, sizeof name, "f%d", i);
                f = find(name, 1, &fresh);
                ck_assert_ptr_nonnull(f);
                ck_assert_uint_eq(f->size, (uint64_t)i);
        }
}
END_TEST

int
main(void)
{
        Suite *s = suite_create("open_files");
        TCase *t = tcase_create("cache");

        tcase_add_checked_fixture(t, setup, teardown);
        tcase_set_timeout(t, 60);
        LOOP(t, small_files_are_bytes_large_ones_descriptors, sizes);
        tcase_add_test(t, head_says_all);
        tcase_add_test(t, last_modified_is_never_ahead_of_date);
        tcase_add_test(t, entry_is_fresh_for_a_while);
        LOOP(t, changes_are_seen, changes);
        tcase_add_test(t, fresh_changes_are_not_trusted);
        tcase_add_test(t, another_takes_its_place_and_the_old_one_lives_on);
        tcase_add_test(t, the_one_used_longest_ago_goes);
        tcase_add_test(t, bytes_are_bounded);
        tcase_add_test(t, coded_bytes_are_kept_within_the_bytes);
        tcase_add_test(t, descriptors_are_bounded_and_counted);
        tcase_add_test(t, descriptors_have_a_bound_of_their_own);
        tcase_add_test(t, idle_ones_go);
        tcase_add_test(t, many_are_found);
        suite_add_tcase(s, t);
        return run_suite(s);
}
