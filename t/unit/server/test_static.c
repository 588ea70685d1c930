/* test_static.c - files under a root: what may be opened, with which type, and what conditionals and ranges make of it.
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
static struct response_date date;
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

static void
setup(void)
{
        static const char *const index[] = { "index.html", "index.htm" };
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
        link_to(at("secret.txt"), "root/link-absolute.txt");
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
        response_date_update(&date, MTIME + 60);
        ck_assert_int_eq(static_root_open(at("root"), index, 2, 3600000, &root), 0);
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

/* Contents by way of static_open, with the rules of `paths`. */
static const char *
contents(struct span path, bool cached)
{
        static char text[256];
        struct static_file f;
        int r = static_open(root, path, cached, &f);
        ssize_t n;

        if (r == -ENOENT)
                return NULL;
        ck_assert_msg(r == 0, "%d (%s)", r, strerror(-r));
        if (f.redirect) {
                ck_assert_int_eq(f.fd, -1);
                return "->";
        }
        n = read(f.fd, text, sizeof text - 1);
        ck_assert_int_eq(n, (ssize_t)f.size);
        text[n] = '\0';
        ck_assert_int_eq(close(f.fd), 0);
        return text;
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
        struct static_file f;
        const char *got;

        contents(paths[_i].path, false);
        if (static_open(root, paths[_i].path, true, &f) == -EAGAIN)
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
        struct static_file f;

        ck_assert_int_eq(chmod(at("root/forbidden.txt"), 0), 0);
        ck_assert_int_eq(chmod(base, 0755), 0);
        if (geteuid() == 0) /* who may read everything: become nobody, but stay able to clean up */
                ck_assert_int_eq(seteuid(65534), 0);
        ck_assert_int_eq(static_open(root, SPAN_LIT("hello.txt"), false, &f), 0);
        close(f.fd);
        ck_assert_int_eq(static_open(root, SPAN_LIT("forbidden.txt"), false, &f), -ENOENT);
        if (getuid() == 0)
                ck_assert_int_eq(seteuid(0), 0);
}
END_TEST

START_TEST(file_is_described)
{
        struct static_file f;
        struct stat st;
        char etag[64];

        ck_assert_int_eq(static_open(root, SPAN_LIT("dir/"), false, &f), 0);
        ck_assert_str_eq(f.type, "text/html; charset=utf-8"); /* the index's name counts */
        close(f.fd);
        ck_assert_int_eq(static_open(root, SPAN_LIT("hello.txt"), false, &f), 0);
        ck_assert_int_eq(fstat(f.fd, &st), 0);
        ck_assert_str_eq(f.type, "text/plain; charset=utf-8");
        ck_assert_int_eq(f.mtime, MTIME);
        snprintf(etag, sizeof etag, "\"%llx-d-%llx\"", MTIME * 1000000000ULL + 5, (unsigned long long)st.st_ino);
        ck_assert_str_eq(f.etag, etag);
        ck_assert(fcntl(f.fd, F_GETFD) & FD_CLOEXEC);
        close(f.fd);
}
END_TEST

START_TEST(root_must_be_a_folder)
{
        struct static_root *r = NULL;

        ck_assert_int_eq(static_root_open(at("secret.txt"), NULL, 0, 0, &r), -ENOTDIR);
        ck_assert_int_eq(static_root_open(at("nowhere"), NULL, 0, 0, &r), -ENOENT);
        ck_assert_ptr_null(r);
        ck_assert_int_eq(static_root_open(at("root/link-dir"), NULL, 0, 0, &r), 0); /* the root itself may be a link */
        static_root_free(r);
}
END_TEST

/* ---- types ------------------------------------------------------------------------------------------------------------------------- */

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
        ck_assert_str_eq(static_mime(span_of(types[_i].name)), types[_i].type);
}
END_TEST

/* ---- conditionals and ranges --------------------------------------------------------------------------------------------------------- */

#define TAG "\"abc-d-1\""
#define BEFORE "Fri, 20 Nov 2026 11:59:59 GMT"
#define SAME "Fri, 20 Nov 2026 12:00:00 GMT"
#define AFTER "Fri, 20 Nov 2026 12:00:01 GMT"
static const struct { const char *fields; unsigned status; uint64_t offset, length; } plans[] = { /* a file of 100 bytes */
        { "", 200, 0, 100 },
        /* RFC 9110, 13.1.1 to 13.1.4 */
        { "If-None-Match: " TAG "\r\n", 304, 0, 0 },
        { "If-None-Match: W/" TAG "\r\n", 304, 0, 0 }, /* compared weakly */
        { "If-None-Match: *\r\n", 304, 0, 0 },
        { "If-None-Match: \"x\", \"y,z\" ,W/\"\", " TAG "\r\n", 304, 0, 0 },
        { "If-None-Match: \"x\"\r\nIf-None-Match: " TAG "\r\n", 304, 0, 0 },
        { "If-None-Match: \"x\"\r\n", 200, 0, 100 },
        { "If-None-Match: abc-d-1\r\n", 200, 0, 100 },
        { "If-None-Match: \"abc-d-1\r\n", 200, 0, 100 },
        { "If-None-Match: \"abc\r\n", 200, 0, 100 },
        { "If-None-Match:\r\n", 200, 0, 100 },
        { "If-Modified-Since: " SAME "\r\n", 304, 0, 0 },
        { "If-Modified-Since: " AFTER "\r\n", 304, 0, 0 },
        { "If-Modified-Since: " BEFORE "\r\n", 200, 0, 100 },
        { "If-Modified-Since: yesterday\r\n", 200, 0, 100 },
        { "If-Match: " TAG "\r\n", 200, 0, 100 },
        { "If-Match: *\r\n", 200, 0, 100 },
        { "If-Match: W/" TAG "\r\n", 412, 0, 0 }, /* compared strongly */
        { "If-Match: \"x\"\r\n", 412, 0, 0 },
        { "If-Unmodified-Since: " SAME "\r\n", 200, 0, 100 },
        { "If-Unmodified-Since: " BEFORE "\r\n", 412, 0, 0 },
        { "If-Unmodified-Since: yesterday\r\n", 200, 0, 100 },
        /* 13.2.2: which goes first */
        { "If-None-Match: \"x\"\r\nIf-Modified-Since: " AFTER "\r\n", 200, 0, 100 },
        { "If-Match: " TAG "\r\nIf-Unmodified-Since: " BEFORE "\r\n", 200, 0, 100 },
        { "If-Match: \"x\"\r\nIf-None-Match: " TAG "\r\n", 412, 0, 0 },
        { "If-None-Match: " TAG "\r\nIf-Match: " TAG "\r\n", 304, 0, 0 },
        { "If-None-Match: " TAG "\r\nRange: bytes=0-1\r\n", 304, 0, 0 },
        { "If-Match: \"x\"\r\nRange: bytes=200-\r\n", 412, 0, 0 },
        /* 14.1.2: one range */
        { "Range: bytes=0-0\r\n", 206, 0, 1 },
        { "Range: bytes=10-19\r\n", 206, 10, 10 },
        { "Range: bytes=10-\r\n", 206, 10, 90 },
        { "Range: bytes=99-\r\n", 206, 99, 1 },
        { "Range: bytes=0-99\r\n", 206, 0, 100 },
        { "Range: bytes=0-1000\r\n", 206, 0, 100 },
        { "Range: bytes=50-18446744073709551615\r\n", 206, 50, 50 },
        { "Range: bytes=50-99999999999999999999999999\r\n", 206, 50, 50 },
        { "Range: bytes=-1\r\n", 206, 99, 1 },
        { "Range: bytes=-100\r\n", 206, 0, 100 },
        { "Range: bytes=-101\r\n", 206, 0, 100 },
        { "Range: bytes=-99999999999999999999999999\r\n", 206, 0, 100 },
        { "Range: BYTES=1-2\r\n", 206, 1, 2 },
        { "Range: bytes=100-\r\n", 416, 0, 0 },
        { "Range: bytes=100-200\r\n", 416, 0, 0 },
        { "Range: bytes=99999999999999999999999999-\r\n", 416, 0, 0 },
        { "Range: bytes=18446744073709551617-\r\n", 416, 0, 0 }, /* 2^64 + 1 is not 1 */
        { "Range: bytes=-0\r\n", 416, 0, 0 },
        /* 14.2: what is not well-formed, not ours or more than one is answered whole */
        { "Range: bytes=\r\n", 200, 0, 100 },
        { "Range: bytes=-\r\n", 200, 0, 100 },
        { "Range: bytes=2-1\r\n", 200, 0, 100 },
        { "Range: bytes=a-b\r\n", 200, 0, 100 },
        { "Range: bytes=1\r\n", 200, 0, 100 },
        { "Range: bytes=1-2x\r\n", 200, 0, 100 },
        { "Range: bytes=1 -2\r\n", 200, 0, 100 },
        { "Range: bytes=--1\r\n", 200, 0, 100 },
        { "Range: bytes=+1-2\r\n", 200, 0, 100 },
        { "Range: bytes 1-2\r\n", 200, 0, 100 },
        { "Range: lines=1-2\r\n", 200, 0, 100 },
        { "Range: bytes=0-1,3-4\r\n", 200, 0, 100 },
        { "Range: bytes=0-1\r\nRange: bytes=0-1\r\n", 200, 0, 100 },
        { "Range:\r\n", 200, 0, 100 },
        /* 13.1.5 */
        { "Range: bytes=1-2\r\nIf-Range: " TAG "\r\n", 206, 1, 2 },
        { "Range: bytes=1-2\r\nIf-Range: W/" TAG "\r\n", 200, 0, 100 },
        { "Range: bytes=1-2\r\nIf-Range: \"x\"\r\n", 200, 0, 100 },
        { "Range: bytes=1-2\r\nIf-Range: " SAME "\r\n", 206, 1, 2 },
        { "Range: bytes=1-2\r\nIf-Range: " AFTER "\r\n", 200, 0, 100 },
        { "Range: bytes=1-2\r\nIf-Range: x\r\n", 200, 0, 100 },
        { "Range: bytes=200-\r\nIf-Range: \"x\"\r\n", 200, 0, 100 },
        { "If-Range: " TAG "\r\n", 200, 0, 100 },
};

static struct static_plan
plan_for(const char *method, const char *fields, uint64_t size)
{
        static const struct http_limits lim = { 8192, 16384, 100 };
        struct static_file f = { .fd = -1, .size = size, .mtime = MTIME, .etag = TAG, .type = "text/plain" };
        struct http_head h;
        char text[1024];
        int len = snprintf(text, sizeof text, "%s / HTTP/1.1\r\nHost: a\r\n%s\r\n", method, fields);

        http_head_init(&h);
        ck_assert_int_eq(http_head_parse(&h, text, (uint32_t)len, &lim), len);
        return static_plan(&f, &h, text);
}

START_TEST(request_gets_its_plan)
{
        struct static_plan p = plan_for("GET", plans[_i].fields, 100);

        ck_assert_msg(p.status == plans[_i].status && p.length == plans[_i].length && (p.length == 0 || p.offset == plans[_i].offset), "%s: %u %llu+%llu", plans[_i].fields,
                      p.status, (unsigned long long)p.offset, (unsigned long long)p.length);
}
END_TEST

START_TEST(head_knows_no_ranges)
{
        struct static_plan p = plan_for("HEAD", "Range: bytes=1-2\r\n", 100);

        ck_assert_uint_eq(p.status, 200);
        ck_assert_uint_eq(p.length, 100);
        ck_assert_uint_eq(plan_for("HEAD", "If-None-Match: " TAG "\r\n", 100).status, 304);
        ck_assert_uint_eq(plan_for("POST", "If-None-Match: " TAG "\r\n", 100).status, 412);
        ck_assert_uint_eq(plan_for("POST", "If-Modified-Since: " SAME "\r\n", 100).status, 200);
}
END_TEST

START_TEST(empty_files_have_no_ranges)
{
        ck_assert_uint_eq(plan_for("GET", "Range: bytes=0-\r\n", 0).status, 416);
        ck_assert_uint_eq(plan_for("GET", "Range: bytes=-5\r\n", 0).status, 200);
        ck_assert_uint_eq(plan_for("GET", "Range: bytes=-0\r\n", 0).status, 416);
}
END_TEST

/* ---- heads ------------------------------------------------------------------------------------------------------------------------------ */

#define START(line) "HTTP/1.1 " line "\r\nServer: heart\r\nDate: Fri, 20 Nov 2026 12:01:00 GMT\r\n"
#define VALIDATORS "Last-Modified: Fri, 20 Nov 2026 12:00:00 GMT\r\nETag: " TAG "\r\nCache-Control: max-age=3600\r\n"
#define CONTENT "Content-Type: text/plain; charset=utf-8\r\nAccept-Ranges: bytes\r\n"
static const struct { struct static_plan plan; const char *text; } heads[] = {
        { { 200, 0, 100 }, START("200 OK") VALIDATORS CONTENT "Content-Length: 100\r\n\r\n" },
        { { 206, 10, 20 }, START("206 Partial Content") VALIDATORS CONTENT "Content-Range: bytes 10-29/100\r\nContent-Length: 20\r\n\r\n" },
        { { 304, 0, 0 }, START("304 Not Modified") VALIDATORS "\r\n" },
        { { 412, 0, 0 }, START("412 Precondition Failed") "Content-Length: 0\r\n\r\n" },
        { { 416, 0, 0 }, START("416 Range Not Satisfiable") "Content-Range: bytes */100\r\nContent-Length: 0\r\n\r\n" },
};

START_TEST(plan_has_its_head)
{
        struct static_file f = { .fd = -1, .size = 100, .mtime = MTIME, .etag = TAG, .type = "text/plain; charset=utf-8" };
        struct out o = { 0 };

        static_head(&o, &f, &heads[_i].plan, root, 1, true, &date);
        out_add(&o, "", 1);
        ck_assert_str_eq(o.buf, heads[_i].text);
        out_fini(&o);
}
END_TEST

START_TEST(last_modified_is_never_ahead_of_date)
{
        struct static_file f = { .fd = -1, .size = 1, .mtime = MTIME + 3600, .etag = TAG, .type = "text/plain" };
        struct static_plan plan = { 200, 0, 1 };
        struct out o = { 0 };

        static_head(&o, &f, &plan, root, 0, false, &date);
        out_add(&o, "", 1);
        ck_assert_ptr_nonnull(strstr(o.buf, "Last-Modified: Fri, 20 Nov 2026 12:01:00 GMT\r\n"));
        ck_assert_ptr_nonnull(strstr(o.buf, "Connection: close\r\n"));
        out_fini(&o);
}
END_TEST

int
main(void)
{
        Suite *s = suite_create("static");
        TCase *t = tcase_create("files"), *plain = tcase_create("plans");

        tcase_add_checked_fixture(t, setup, teardown);
        LOOP(t, path_opens_what_it_may, paths);
        LOOP(t, cached_agrees_or_asks_for_a_thread, paths);
        tcase_add_test(t, long_paths_are_nothing);
        tcase_add_test(t, unreadable_is_nothing);
        tcase_add_test(t, file_is_described);
        tcase_add_test(t, root_must_be_a_folder);
        LOOP(t, plan_has_its_head, heads);
        tcase_add_test(t, last_modified_is_never_ahead_of_date);
        LOOP(plain, name_says_the_type, types);
        LOOP(plain, request_gets_its_plan, plans);
        tcase_add_test(plain, head_knows_no_ranges);
        tcase_add_test(plain, empty_files_have_no_ranges);
        suite_add_tcase(s, t);
        suite_add_tcase(s, plain);
        return run_suite(s);
}
