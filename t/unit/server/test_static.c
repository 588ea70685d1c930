/* test_static.c - files under a root: what may be opened, and which of its siblings is.
 * SPDX-License-Identifier: MIT
 * Each test has a tree of its own in a temporary folder, with a secret beside the root that nothing may reach. */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "server/static.h"
#include "t/unit/run.h"

static char base[64];
static struct static_root *root;
static struct arena *arena;
static const struct mime_types *types;
static const struct static_wish nothing;
#define MTIME 1795176000 /* Fri, 20 Nov 2026 12:00:00 GMT */

static const char *
at(const char *name)
{
        static char path[512];

        snprintf(path, sizeof path, "%s/%s", base, name);
        return path;
}

static void
put_file(const char *name, const char *text)
{
        FILE *f = fopen(at(name), "w");
        struct timespec times[2] = { { MTIME, 0 }, { MTIME, 5 } };

        ck_assert_ptr_nonnull(f);
        fputs(text, f);
        fclose(f);
        ck_assert_int_eq(utimensat(AT_FDCWD, at(name), times, 0), 0);
}

static void
link_to(const char *target, const char *name)
{
        ck_assert_int_eq(symlink(target, at(name)), 0);
}

static struct static_root *
opened(struct static_options o)
{
        static const char *const index[] = { "index.html", "index.htm" };
        struct static_root *r = NULL;

        o.index = index;
        o.index_count = 2;
        o.types = types;
        ck_assert_int_eq(static_root_open(at("root"), &o, &r), 0);
        return r;
}

static void
setup(void)
{
        struct sockaddr_un un = { .sun_family = AF_UNIX };
        int fd;

        strcpy(base, "/tmp/heart-static-XXXXXX");
        ck_assert_ptr_nonnull(mkdtemp(base));
        mkdir(at("root"), 0755);
        mkdir(at("root/dir"), 0755);
        mkdir(at("root/empty"), 0755);
        mkdir(at("root/second"), 0755);
        mkdir(at("root/deep"), 0755);
        mkdir(at("root/deep/index.html"), 0755); /* a folder that is called like an index */
        mkdir(at("root/.git"), 0755);
        put_file("secret.txt", "secret");
        put_file("root/hello.txt", "hello, world\n");
        put_file("root/index.html", "<p>top");
        put_file("root/dir/index.html", "<p>dir");
        put_file("root/dir/inner.css", "p {}");
        put_file("root/second/index.htm", "<p>second");
        put_file("root/.hidden", "hidden");
        put_file("root/.git/config", "hidden");
        put_file("root/zero.bin", "");
        put_file("root/%2e%2e", "a name is a name");
        put_file("root/a%2Fb", "a name is a name");
        put_file("root/forbidden.txt", "no");
        link_to("hello.txt", "root/link-inside.txt");
        link_to("../secret.txt", "root/link-outside.txt");
        link_to(strdupa(at("secret.txt")), "root/link-absolute.txt");
        link_to("/etc/passwd", "root/passwd");
        link_to("/etc", "root/etc");
        link_to("..", "root/up");
        link_to("dir", "root/link-dir");
        link_to("loop", "root/loop");
        link_to("/proc/self/fd/0", "root/magic");
        ck_assert_int_eq(mkfifo(at("root/fifo"), 0644), 0);
        fd = socket(AF_UNIX, SOCK_STREAM, 0);
        snprintf(un.sun_path, sizeof un.sun_path, "%s/root/socket", base);
        ck_assert_int_eq(bind(fd, (struct sockaddr *)&un, sizeof un), 0);
        close(fd);
        arena = arena_new();
        ck_assert_int_eq(mime_types_build(arena, SPAN_LIT(""), NULL, "utf-8", &types), 0);
        root = opened((struct static_options){ .cache_ms = 3600000 });
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
        static_root_free(root);
        static_root_free(NULL);
        arena_free(arena);
        nftw(base, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

/* ---- opening ------------------------------------------------------------------------------------------------------------------- */

#define PATH(text, expected) { { text, sizeof(text) - 1 }, expected }
static const struct { struct span path; const char *expected; /* contents; "->": redirect; NULL: -ENOENT */ } paths[] = {
        PATH("hello.txt", "hello, world\n"),
        PATH("/hello.txt", "hello, world\n"),
        PATH("///hello.txt", "hello, world\n"),
        PATH("dir/inner.css", "p {}"),
        PATH("dir//inner.css", "p {}"),
        PATH("", "<p>top"),
        PATH("/", "<p>top"),
        PATH("dir/", "<p>dir"),
        PATH("dir", "->"),
        PATH("second/", "<p>second"),
        PATH("second", "->"),
        PATH("zero.bin", ""),
        PATH("%2e%2e", "a name is a name"),
        PATH("a%2Fb", "a name is a name"),
        /* nothing here */
        PATH("nothing", NULL),
        PATH("hello.txt/", NULL),
        PATH("hello.txt/x", NULL),
        PATH("empty/", NULL),
        PATH("empty", NULL), /* a redirect would say that it exists */
        PATH("deep/", NULL),
        PATH("dir%2Finner.css", NULL),
        /* ways out */
        PATH("..", NULL),
        PATH("../secret.txt", NULL),
        PATH("/../secret.txt", NULL),
        PATH("dir/../../secret.txt", NULL),
        PATH("dir/..", NULL),
        PATH("dir/../hello.txt", NULL), /* inside, yet nobody who was decoded comes here with dots */
        PATH("./hello.txt", NULL),
        PATH("%2e%2e/secret.txt", NULL),
        PATH("..%2Fsecret.txt", NULL),
        PATH("....//secret.txt", NULL),
        PATH("\\..\\secret.txt", NULL),
        PATH("hello.txt\0.png", NULL),
        PATH("\0", NULL),
        /* dots */
        PATH(".hidden", NULL),
        PATH(".git/config", NULL),
        PATH(".git/", NULL),
        PATH("dir/.hidden", NULL),
        /* links */
        PATH("link-inside.txt", NULL),
        PATH("link-outside.txt", NULL),
        PATH("link-absolute.txt", NULL),
        PATH("passwd", NULL),
        PATH("etc/passwd", NULL),
        PATH("up/secret.txt", NULL),
        PATH("up/", NULL),
        PATH("link-dir/inner.css", NULL),
        PATH("link-dir/", NULL),
        PATH("loop", NULL),
        PATH("magic", NULL),
        /* what is no file */
        PATH("fifo", NULL),
        PATH("socket", NULL),
};

/* Contents by way of static_find, with the rules of `paths`. */
static const char *
contents_of(const struct static_root *r_, struct span path, bool cached)
{
        static char text[256];
        struct static_found f;
        int r = static_find(r_, path, &nothing, cached, &f);
        ssize_t n;

        if (r == -ENOENT)
                return NULL;
        ck_assert_msg(r == 0, "%d (%s)", r, strerror(-r));
        if (f.kind == STATIC_REDIRECT) {
                ck_assert_int_eq(f.fd, -1);
                return "->";
        }
        if (f.kind == STATIC_LISTING) {
                ck_assert_int_eq(close(f.fd), 0);
                return "[]";
        }
        n = read(f.fd, text, sizeof text - 1);
        ck_assert_int_eq(n, (ssize_t)f.stamp.size);
        text[n] = '\0';
        ck_assert_int_eq(close(f.fd), 0);
        return text;
}

static const char *
contents(struct span path, bool cached)
{
        return contents_of(root, path, cached);
}

static int
fd_count(void)
{
        int n = 0;

        for (int fd = 0; fd < 256; fd++)
                n += fcntl(fd, F_GETFD) >= 0;
        return n;
}

START_TEST(path_opens_what_it_may)
{
        int fds = fd_count();
        const char *got = contents(paths[_i].path, false), *expected = paths[_i].expected;

        ck_assert_msg((got == NULL) == (expected == NULL) && (got == NULL || strcmp(got, expected) == 0), "\"%s\": got %s, expected %s", paths[_i].path.ptr,
                      got != NULL ? got : "nothing", expected != NULL ? expected : "nothing");
        ck_assert_int_eq(fd_count(), fds);
}
END_TEST

/* The same with cached, once the kernel knows the way; where it cannot know (RESOLVE_CACHED missing) it must say -EAGAIN and nothing else. */
START_TEST(cached_agrees_or_asks_for_a_thread)
{
        struct static_found f;
        const char *got;

        contents(paths[_i].path, false);
        if (static_find(root, paths[_i].path, &nothing, true, &f) == -EAGAIN)
                return;
        got = contents(paths[_i].path, true);
        ck_assert_msg((got == NULL) == (paths[_i].expected == NULL) && (got == NULL || strcmp(got, paths[_i].expected) == 0), "\"%s\"", paths[_i].path.ptr);
}
END_TEST

START_TEST(long_paths_are_nothing)
{
        static char path[10000];

        memset(path, 'a', sizeof path);
        ck_assert_ptr_null(contents((struct span){ path, sizeof path }, false));
        ck_assert_ptr_null(contents((struct span){ path, 300 }, false));
        ck_assert_ptr_null(contents((struct span){ path, 4096 }, false));
        memset(path, '/', sizeof path);
        ck_assert_str_eq(contents((struct span){ path, sizeof path }, false), "<p>top");
}
END_TEST

START_TEST(unreadable_is_nothing)
{
        struct static_found f;

        ck_assert_int_eq(chmod(at("root/forbidden.txt"), 0), 0);
        ck_assert_int_eq(chmod(base, 0755), 0);
        if (geteuid() == 0) /* who may read everything: become nobody, but stay able to clean up */
                ck_assert_int_eq(seteuid(65534), 0);
        ck_assert_int_eq(static_find(root, SPAN_LIT("hello.txt"), &nothing, false, &f), 0);
        close(f.fd);
        ck_assert_int_eq(static_find(root, SPAN_LIT("forbidden.txt"), &nothing, false, &f), -ENOENT);
        if (getuid() == 0)
                ck_assert_int_eq(seteuid(0), 0);
}
END_TEST

START_TEST(file_is_described)
{
        struct static_found f;
        struct stat st;

        ck_assert_int_eq(static_find(root, SPAN_LIT("dir/"), &nothing, false, &f), 0);
        ck_assert_str_eq(f.type, "text/html; charset=utf-8"); /* the index's name counts */
        close(f.fd);
        ck_assert_int_eq(static_find(root, SPAN_LIT("hello.txt"), &nothing, false, &f), 0);
        ck_assert_int_eq(fstat(f.fd, &st), 0);
        ck_assert_str_eq(f.type, "text/plain; charset=utf-8");
        ck_assert_int_eq(f.stamp.modified.tv_sec, MTIME);
        ck_assert_uint_eq(f.stamp.ino, st.st_ino);
        ck_assert_uint_eq(f.stamp.size, 13);
        ck_assert_int_eq(f.coding, CODING_IDENTITY);
        ck_assert(!f.varies);
        ck_assert(fcntl(f.fd, F_GETFD) & FD_CLOEXEC);
        close(f.fd);
}
END_TEST

START_TEST(root_must_be_a_folder)
{
        const struct static_options o = { .types = types };
        struct static_root *r = NULL;

        ck_assert_int_eq(static_root_open(at("secret.txt"), &o, &r), -ENOTDIR);
        ck_assert_int_eq(static_root_open(at("nowhere"), &o, &r), -ENOENT);
        ck_assert_ptr_null(r);
        ck_assert_int_eq(static_root_open(at("root/link-dir"), &o, &r), 0); /* the root itself may be a link */
        static_root_free(r);
}
END_TEST

/* ---- what the owner allows ------------------------------------------------------------------------------------------------------- */

static const struct { struct span path; const char *inside, *anywhere; } links[] = {
        { SPAN_LIT("link-inside.txt"), "hello, world\n", "hello, world\n" }, { SPAN_LIT("link-dir/inner.css"), "p {}", "p {}" }, { SPAN_LIT("link-dir/"), "<p>dir", "<p>dir" },
        { SPAN_LIT("link-outside.txt"), NULL, "secret" }, { SPAN_LIT("link-absolute.txt"), NULL, "secret" }, { SPAN_LIT("up/secret.txt"), NULL, "secret" },
        { SPAN_LIT("loop"), NULL, NULL }, { SPAN_LIT("magic"), NULL, NULL }, { SPAN_LIT("up/../secret.txt"), NULL, NULL }, { SPAN_LIT("../secret.txt"), NULL, NULL },
};

START_TEST(links_lead_where_they_may)
{
        const char *const expected[] = { NULL, links[_i].inside, links[_i].anywhere };

        for (uint32_t how = SYMLINKS_NONE; how <= SYMLINKS_ANYWHERE; how++) {
                struct static_root *r = opened((struct static_options){ .symlinks = how });
                const char *got = contents_of(r, links[_i].path, false);

                ck_assert_msg((got == NULL) == (expected[how] == NULL) && (got == NULL || strcmp(got, expected[how]) == 0), "\"%s\" with %u: %s", links[_i].path.ptr, how,
                              got != NULL ? got : "nothing");
                static_root_free(r);
        }
}
END_TEST

START_TEST(dots_show_when_they_may)
{
        struct static_root *r = opened((struct static_options){ .dotfiles = true });

        ck_assert_str_eq(contents_of(r, SPAN_LIT(".hidden"), false), "hidden");
        ck_assert_str_eq(contents_of(r, SPAN_LIT(".git/config"), false), "hidden");
        ck_assert_ptr_null(contents_of(r, SPAN_LIT(".."), false));
        ck_assert_ptr_null(contents_of(r, SPAN_LIT("../secret.txt"), false));
        ck_assert_ptr_null(contents_of(r, SPAN_LIT("dir/../hello.txt"), false));
        ck_assert_ptr_null(contents_of(r, SPAN_LIT("./hello.txt"), false));
        ck_assert_ptr_null(contents_of(r, SPAN_LIT("dir/."), false));
        static_root_free(r);
}
END_TEST

/* A path that is not there and whose last part has no dot is a page of the application; a name with a dot is a file that is missing. */
static const struct { struct span path; const char *expected; } pages[] = {
        { SPAN_LIT("users/7"), "<p>top" }, { SPAN_LIT("users/"), "<p>top" }, { SPAN_LIT("a.b/c"), "<p>top" }, { SPAN_LIT("empty/"), "<p>top" }, { SPAN_LIT("empty"), "<p>top" },
        { SPAN_LIT("fifo"), "<p>top" }, { SPAN_LIT("hello.txt"), "hello, world\n" }, { SPAN_LIT("dir/"), "<p>dir" }, { SPAN_LIT("dir"), "->" },
        { SPAN_LIT("app.js"), NULL }, { SPAN_LIT("users/7.json"), NULL }, { SPAN_LIT("../x"), NULL }, { SPAN_LIT(".git/x"), NULL }, { SPAN_LIT("link-outside.txt"), NULL },
};

START_TEST(fallback_stands_for_pages)
{
        struct static_root *r = opened((struct static_options){ .fallback = "index.html" }), *none = opened((struct static_options){ .fallback = "gone.html" });
        const char *got = contents_of(r, pages[_i].path, false);
        int fds = fd_count();

        ck_assert_msg((got == NULL) == (pages[_i].expected == NULL) && (got == NULL || strcmp(got, pages[_i].expected) == 0), "\"%s\": %s", pages[_i].path.ptr,
                      got != NULL ? got : "nothing");
        ck_assert_ptr_null(contents_of(none, SPAN_LIT("users/7"), false));
        ck_assert_int_eq(fd_count(), fds);
        static_root_free(r);
        static_root_free(none);
}
END_TEST

START_TEST(listings_are_opened_by_threads)
{
        struct static_root *r = opened((struct static_options){ .listing = true });
        struct static_found f;
        int fds = fd_count();

        ck_assert_str_eq(contents_of(r, SPAN_LIT("empty/"), false), "[]");
        ck_assert_str_eq(contents_of(r, SPAN_LIT("empty"), false), "->");
        ck_assert_str_eq(contents_of(r, SPAN_LIT("dir/"), false), "<p>dir");
        ck_assert_ptr_null(contents_of(r, SPAN_LIT(".git/"), false));
        ck_assert_int_eq(static_find(r, SPAN_LIT("empty/"), &nothing, true, &f), -EAGAIN);
        ck_assert_int_eq(fd_count(), fds);
        static_root_free(r);
}
END_TEST

/* ---- precompressed siblings ------------------------------------------------------------------------------------------------------- */

#define ENTRY(accept, coding) { accept, CODING_##coding }
static const struct { const char *accept; enum coding expected; } siblings[] = {
        ENTRY("gzip", GZIP), ENTRY("br", BR), ENTRY("gzip, br", BR), ENTRY("br;q=0.5, gzip", GZIP), ENTRY("gzip, deflate, br, zstd", BR), ENTRY("*", BR), ENTRY("zstd", IDENTITY),
        ENTRY("identity", IDENTITY), ENTRY("gzip;q=0", IDENTITY), ENTRY("br;q=0, *;q=0.1, identity;q=0", GZIP), ENTRY("", IDENTITY), ENTRY("deflate", IDENTITY),
};

static void
wish_for(const struct static_root *r, const char *accept, struct static_wish *ret)
{
        static const struct http_limits lim = { 8192, 16384, 100 };
        struct http_head h;
        char text[512];
        int len = snprintf(text, sizeof text, "GET / HTTP/1.1\r\nHost: a\r\nAccept-Encoding: %s\r\n\r\n", accept);

        http_head_init(&h);
        ck_assert_int_eq(http_head_parse(&h, text, (uint32_t)len, &lim), len);
        static_wish_of(r, &h, text, ret);
}

START_TEST(sibling_is_the_clients_choice)
{
        struct static_root *r = opened((struct static_options){ .codings = { CODING_BR, CODING_GZIP, CODING_ZSTD }, .coding_count = 3 });
        struct static_wish wish;
        struct static_found f;
        int fds = fd_count();

        put_file("root/hello.txt.br", "as br");
        put_file("root/hello.txt.gz", "as gz");
        wish_for(r, siblings[_i].accept, &wish);
        ck_assert_int_eq(static_find(r, SPAN_LIT("hello.txt"), &wish, false, &f), 0);
        ck_assert_msg(f.coding == siblings[_i].expected, "\"%s\": %d", siblings[_i].accept, f.coding);
        ck_assert(f.varies); /* whoever asks */
        ck_assert_str_eq(f.type, "text/plain; charset=utf-8");
        ck_assert_uint_eq(f.stamp.size, f.coding == CODING_IDENTITY ? 13 : 5);
        close(f.fd);
        ck_assert_int_eq(static_find(r, SPAN_LIT("dir/inner.css"), &wish, false, &f), 0);
        ck_assert(f.coding == CODING_IDENTITY && !f.varies);
        close(f.fd);
        ck_assert_int_eq(fd_count(), fds);
        static_root_free(r);
}
END_TEST

START_TEST(old_siblings_are_not_used)
{
        struct static_root *r = opened((struct static_options){ .codings = { CODING_GZIP }, .coding_count = 1 });
        struct timespec older[2] = { { MTIME, 0 }, { MTIME, 4 } };
        struct static_wish wish;
        struct static_found f;

        wish_for(r, "gzip", &wish);
        put_file("root/hello.txt.gz", "as gz");
        ck_assert_int_eq(utimensat(AT_FDCWD, at("root/hello.txt.gz"), older, 0), 0);
        ck_assert_int_eq(static_find(r, SPAN_LIT("hello.txt"), &wish, false, &f), 0);
        ck_assert(f.coding == CODING_IDENTITY && !f.varies);
        close(f.fd);
        ck_assert_int_eq(mkdir(at("root/zero.bin.gz"), 0755), 0); /* nor is what is no file */
        ck_assert_int_eq(static_find(r, SPAN_LIT("zero.bin"), &wish, false, &f), 0);
        ck_assert(f.coding == CODING_IDENTITY && !f.varies);
        close(f.fd);
        put_file("root/dir/index.html.gz", "as gz"); /* an index has siblings, too */
        ck_assert_int_eq(static_find(r, SPAN_LIT("dir/"), &wish, false, &f), 0);
        ck_assert(f.coding == CODING_GZIP && f.varies);
        close(f.fd);
        static_root_free(r);
}
END_TEST

int
main(void)
{
        Suite *s = suite_create("static");
        TCase *t = tcase_create("files");

        tcase_add_checked_fixture(t, setup, teardown);
        LOOP(t, path_opens_what_it_may, paths);
        LOOP(t, cached_agrees_or_asks_for_a_thread, paths);
        tcase_add_test(t, long_paths_are_nothing);
        tcase_add_test(t, unreadable_is_nothing);
        tcase_add_test(t, file_is_described);
        tcase_add_test(t, root_must_be_a_folder);
        LOOP(t, links_lead_where_they_may, links);
        tcase_add_test(t, dots_show_when_they_may);
        LOOP(t, fallback_stands_for_pages, pages);
        tcase_add_test(t, listings_are_opened_by_threads);
        LOOP(t, sibling_is_the_clients_choice, siblings);
        tcase_add_test(t, old_siblings_are_not_used);
        suite_add_tcase(s, t);
        return run_suite(s);
}
