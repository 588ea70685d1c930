/* test_generation.c - generation.c, bundle.c, mount.c, show.c: from files to what serves. SPDX-License-Identifier: MIT */
#include "../../../server/generation.h"

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "t/unit/run.h"

static char dir[64], main_file[96];
static struct diags diags;
static struct bundle bundle;
static struct generation *generation;

static void
file(const char *name, const char *text)
{
        char path[160];
        FILE *f;

        snprintf(path, sizeof(path), "%s/%s", dir, name);
        f = fopen(path, "w");
        ck_assert_ptr_nonnull(f);
        fputs(text, f);
        fclose(f);
}

static void
setup(void)
{
        strcpy(dir, "/tmp/heart-generation-XXXXXX");
        ck_assert_ptr_nonnull(mkdtemp(dir));
        snprintf(main_file, sizeof(main_file), "%s/routes.yaml", dir);
        diags_init(&diags);
        bundle_init(&bundle);
        generation = NULL;
}

static void
teardown(void)
{
        char command[96];

        generation_free(generation);
        bundle_fini(&bundle);
        diags_fini(&diags);
        snprintf(command, sizeof(command), "rm -rf %s", dir);
        ck_assert_int_eq(system(command), 0);
}

static int
read_text(const char *text)
{
        file("routes.yaml", text);
        return bundle_read_files(&bundle, main_file, &diags);
}

static void
reported(size_t app, const char *report)
{
        ck_assert_uint_lt(app, bundle.app_count);
        bundle.apps[app].pool_id = (uint32_t)app + 1;
        bundle.apps[app].report = report != NULL ? strdup(report) : NULL;
        bundle.apps[app].report_len = report != NULL ? strlen(report) : 0;
}

static void
builds(void)
{
        int r = generation_build(&bundle, true, &diags, &generation);
        char *said = diags_format(&diags);

        ck_assert_msg(r == 0, "%d %s", r, said);
        free(said);
}

static const struct route *
route_at(const char *path)
{
        for (size_t i = 0; i < generation->route_count; i++)
                if (strcmp(generation->routes[i].path, path) == 0)
                        return &generation->routes[i];
        return NULL;
}

/* ---- bundles ------------------------------------------------------------------------------------------------------------------------ */

static const char tls_text[] = "mime: {file: list.types}\n"
        "include: [more.inc]\nlisten: [8080, {address: 8443, tls: {certificates: [{cert: a.pem, key: a.key}]}}]\n"
                               "apps: {shop: {wsgi: \"a:b\"}}\nroutes: [{path: /, app: shop}]\n";

static void
make_tls_files(void)
{
        file("a.pem", "certificate");
        file("a.key", "");
        file("more.inc", "queue: {size: 5}\n");
        file("list.types", "text/x-shop shop\n");
}

START_TEST(a_bundle_holds_all_files)
{
        char path[160];

        make_tls_files();
        ck_assert_int_eq(read_text(tls_text), 0);
        ck_assert_str_eq(bundle.base_file, main_file);
        ck_assert_uint_eq(bundle.sources.count, 2);
        ck_assert(bundle.sources.complete);
        ck_assert_uint_eq(bundle.file_count, 3);
        snprintf(path, sizeof(path), "%s/a.pem", dir);
        ck_assert_str_eq(bundle_find_file(&bundle, path)->bytes, "certificate");
        ck_assert_uint_eq(bundle.listener_count, 2);
        ck_assert_uint_eq(bundle.app_count, 1);
        ck_assert_str_eq(bundle.apps[0].name, "shop");
        ck_assert_uint_eq(bundle.apps[0].pool_id, 0);
}
END_TEST

START_TEST(a_bundle_comes_out_as_it_went_in)
{
        struct bundle out;
        int fd = -1;

        make_tls_files();
        ck_assert_int_eq(read_text(tls_text), 0);
        bundle.number = 1ull << 40;
        bundle.listener_ids[1] = 42;
        reported(0, "{\"routes\": []}");
        ck_assert_int_eq(bundle_write(&bundle, &fd), 0);
        ck_assert_int_lt(write(fd, "x", 1), 0); /* sealed */
        ck_assert_int_lt(ftruncate(fd, 0), 0);
        ck_assert_ptr_eq(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0), MAP_FAILED);
        bundle_init(&out);
        for (unsigned twice = 0; twice < 2; twice++) { /* every worker reads the same descriptor */
                bundle_fini(&out);
                ck_assert_int_eq(bundle_read(&out, fd), 0);
                ck_assert_uint_eq(out.number, 1ull << 40);
                ck_assert_str_eq(out.base_file, main_file);
                ck_assert_uint_eq(out.sources.count, 2);
                ck_assert(out.sources.complete);
                ck_assert_str_eq(out.sources.list[0].bytes, tls_text);
                ck_assert_str_eq(out.sources.list[1].path, bundle.sources.list[1].path);
                ck_assert_uint_eq(out.file_count, 3);
                ck_assert_uint_eq(out.files[1].len, 0);
                ck_assert_uint_eq(out.apps[0].pool_id, 1);
                ck_assert_str_eq(out.apps[0].report, "{\"routes\": []}");
                ck_assert_uint_eq(out.apps[0].report_len, 14);
                ck_assert_uint_eq(out.listener_count, 2);
                ck_assert_uint_eq(out.listener_ids[1], 42);
        }
        bundle_fini(&out);
        close(fd);
}
END_TEST

static int
sealed(const char *bytes, size_t len)
{
        int fd = memfd_create("test", MFD_ALLOW_SEALING);

        ck_assert_int_eq(write(fd, bytes, len), (ssize_t)len);
        ck_assert_int_eq(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW), 0);
        return fd;
}

/* Every cut and every changed byte gives a bundle or an error, never a crash (the sanitizers watch). */
START_TEST(broken_bundles_are_refused)
{
        char *bytes, *copy;
        struct bundle out;
        int fd = -1, bad;
        off_t len;

        make_tls_files();
        ck_assert_int_eq(read_text(tls_text), 0);
        reported(0, "{}");
        ck_assert_int_eq(bundle_write(&bundle, &fd), 0);
        len = lseek(fd, 0, SEEK_END);
        bytes = malloc((size_t)len + 1);
        copy = malloc((size_t)len + 1);
        ck_assert_int_eq(pread(fd, bytes, (size_t)len, 0), len);
        close(fd);
        bundle_init(&out);
        for (off_t cut = 0; cut < len; cut++) {
                uint64_t total = (uint64_t)cut;

                memcpy(copy, bytes, (size_t)len);
                memcpy(copy + 16, &total, sizeof(total)); /* a length that fits, so that the inner checks are what refuses */
                bad = sealed(copy, (size_t)cut);
                ck_assert_int_eq(bundle_read(&out, bad), -EPROTO);
                ck_assert_ptr_null(out.apps);
                close(bad);
        }
        for (off_t at = 0; at < len; at++) {
                memcpy(copy, bytes, (size_t)len);
                copy[at] = (char)0xff;
                bad = sealed(copy, (size_t)len);
                (void)bundle_read(&out, bad);
                bundle_fini(&out);
                close(bad);
        }
        copy[len] = 0;
        memcpy(copy, bytes, (size_t)len);
        memcpy(copy + 16, &(uint64_t){ (uint64_t)len + 1 }, 8);
        bad = sealed(copy, (size_t)len + 1); /* a byte too many */
        ck_assert_int_eq(bundle_read(&out, bad), -EPROTO);
        close(bad);
        free(bytes);
        free(copy);
}
END_TEST

START_TEST(what_could_change_is_no_bundle)
{
        int fd = memfd_create("test", MFD_ALLOW_SEALING);

        ck_assert_int_eq(write(fd, "HEARTBDL", 8), 8);
        ck_assert_int_eq(bundle_read(&bundle, fd), -EPROTO);
        close(fd);
        fd = open("/dev/null", O_RDONLY);
        ck_assert_int_eq(bundle_read(&bundle, fd), -EPROTO);
        close(fd);
}
END_TEST

START_TEST(missing_files_are_findings_at_their_place)
{
        file("more.inc", "");
        ck_assert_int_eq(read_text(tls_text), -EINVAL);
        ck_assert_uint_eq(diags.error_count, 3);
        ck_assert_uint_eq(diags.list[0].place.line, 3);
        ck_assert_ptr_nonnull(strstr(diags.list[1].text, "a.key"));
        ck_assert_ptr_nonnull(strstr(diags.list[2].text, "list.types"));
        ck_assert_uint_eq(diags.list[2].place.line, 1);
}
END_TEST

START_TEST(all_findings_come_in_one_go)
{
        char *said;

        ck_assert_int_eq(read_text("listen: {address: 8443, tls: {certificates: [{cert: no.pem, key: no.key}]}}\nlimits: {body: 1x}\n"
                                   "routes: [{path: no-slash, respond: {}}, {path: \"/{a:int}{b:int}\", respond: {}}, {path: /x}]\n"), -EINVAL);
        said = diags_format(&diags);
        ck_assert_ptr_nonnull(strstr(said, "no.pem"));
        ck_assert_ptr_nonnull(strstr(said, "1x"));
        ck_assert_ptr_nonnull(strstr(said, "no-slash"));
        ck_assert_ptr_nonnull(strstr(said, "routes.yaml:3:57")); /* the router's own finding about the second pattern */
        ck_assert_ptr_nonnull(strstr(said, "does nothing"));
        free(said);
}
END_TEST

START_TEST(a_file_that_is_not_there)
{
        ck_assert_int_eq(bundle_read_files(&bundle, "/tmp/heart/no/such.yaml", &diags), -EINVAL);
        ck_assert_uint_eq(diags.error_count, 1);
}
END_TEST

/* ---- generations ---------------------------------------------------------------------------------------------------------------------- */

START_TEST(a_generation_is_built_without_the_disk)
{
        char command[160];

        file("more.inc", "routes: [{path: /inc, respond: {body: ok}}]\n");
        ck_assert_int_eq(read_text("include: more.inc\nlisten: 8080\nroutes: [{path: /, respond: {body: ok}}]\n"), 0);
        snprintf(command, sizeof(command), "rm %s/*", dir);
        ck_assert_int_eq(system(command), 0);
        bundle.number = 7;
        builds();
        ck_assert_uint_eq(generation->number, 7);
        ck_assert_uint_eq(generation->route_count, 2);
        ck_assert_str_eq(generation->conf.file, main_file);
        ck_assert_ptr_nonnull(generation->router);
        ck_assert_ptr_nonnull(generation->actions);
        ck_assert_ptr_null(generation->tls[0]);
        ck_assert_ptr_null(bundle.sources.list); /* moved in */
}
END_TEST

START_TEST(the_first_look_needs_no_router)
{
        ck_assert_int_eq(read_text("listen: 8080\napps: {api: {heart: \"a:b\"}}\n"), 0);
        ck_assert_int_eq(generation_build(&bundle, false, &diags, &generation), 0);
        ck_assert_ptr_null(generation->router);
        ck_assert_uint_eq(generation->conf.apps.count, 1);
}
END_TEST

START_TEST(a_bundle_of_another_configuration_is_refused)
{
        ck_assert_int_eq(read_text("listen: 8080\napps: {api: {heart: \"a:b\"}}\n"), 0);
        free(bundle.apps[0].name);
        bundle.app_count = 0;
        ck_assert_int_eq(generation_build(&bundle, true, &diags, &generation), -EPROTO);
}
END_TEST

START_TEST(python_targets_are_numbered_in_order)
{
        const char *targets[4] = { NULL, NULL, NULL, NULL };

        ck_assert_int_eq(read_text("listen: 8080\nroutes: [{path: /a, python: \"m:a\"}, {path: /r, respond: {}}, {path: /b, python: \"m:b\"}, {path: /c, python: \"m:a\"}]\n"), 0);
        builds();
        ck_assert_uint_eq(generation_python_targets(&generation->conf, targets, 4), 2);
        ck_assert_str_eq(targets[0], "m:a");
        ck_assert_str_eq(targets[1], "m:b");
        ck_assert_uint_eq(route_at("/a")->handler, 0);
        ck_assert_uint_eq(route_at("/b")->handler, 1);
        ck_assert_uint_eq(route_at("/c")->handler, 0);
        ck_assert_uint_eq(route_at("/r")->handler, UINT32_MAX);
        ck_assert_str_eq(route_at("/a")->root_path, "");
        targets[1] = NULL;
        ck_assert_uint_eq(generation_python_targets(&generation->conf, targets, 1), 2); /* says how many there are */
        ck_assert_ptr_null(targets[1]);
}
END_TEST

/* ---- mounts ----------------------------------------------------------------------------------------------------------------------------- */

#define USERS "{\"handler\": 3, \"path\": \"/users/{id:int}\", \"methods\": [\"GET\"], \"name\": \"show\", \"file\": \"/srv/api.py\", \"line\": 12}"

START_TEST(reported_routes_take_the_place_of_the_mount)
{
        const struct route *r;

        ck_assert_int_eq(read_text("listen: 8080\napps: {api: {heart: \"a:b\"}}\n"
                                   "routes: [{path: \"/api/{rest:path}\", app: api, host: x.example, timeout: 5s, body: 1k}]\n"), 0);
        reported(0, "{\"routes\": [" USERS ", {\"handler\": 0, \"path\": \"/\", \"methods\": [], \"file\": \"/srv/api.py\", \"line\": 3}], \"errors\": [404]}");
        builds();
        ck_assert_uint_eq(generation->route_count, 3);
        r = route_at("/api/users/{id:int}");
        ck_assert_uint_eq(r->handler, 3);
        ck_assert_uint_eq(r->methods, M_GET | M_HEAD);
        ck_assert_str_eq(r->host, "x.example");
        ck_assert_uint_eq(r->timeout_ms, 5000);
        ck_assert_uint_eq(r->body, 1024);
        ck_assert_int_eq(r->action, ROUTE_APP);
        ck_assert_uint_eq(r->app_index, 0);
        ck_assert_str_eq(r->place.file, "/srv/api.py");
        ck_assert_uint_eq(r->place.line, 12);
        ck_assert_str_eq(r->root_path, "/api");
        ck_assert(!r->fallback);
        ck_assert_uint_eq(route_at("/api/")->methods, M_ANY);
        r = route_at("/api/{rest:path}");
        ck_assert(r->fallback);
        ck_assert_uint_eq(r->handler, UINT32_MAX);
        ck_assert_str_eq(r->root_path, "/api");
}
END_TEST

#define MOUNT "listen: 8080\napps: {api: {heart: \"a:b\"}}\nroutes: [{path: \"/api/{rest:path}\", app: api"
#define DECORATED(path, more) "{\"handler\": 0, \"path\": \"" path "\", \"methods\": [\"GET\"], \"file\": \"/srv/api.py\", \"line\": 12" more "}"

START_TEST(a_decorator_has_selector_and_conditions)
{
        const struct route *r;

        ck_assert_int_eq(read_text(MOUNT ", when: {source: [10.0.0.0/8, \"fd00::/8\"], headers: {x-a: \"*\", x-b: 1}}}]\n"), 0);
        reported(0, "{\"routes\": [" DECORATED("127.0.0.1::/debug", ", \"column\": 11, \"length\": 17, \"text\": \"@app.get(\\\"127.0.0.1::/debug\\\")\"") ", "
                    DECORATED(":::example.com:/info", ", \"when\": {\"source\": [\"10.1.0.0/16\", \"192.0.2.0/24\"], \"headers\": {\"X-A\": \"2\", \"X-C\": \"3\"}, \"scheme\": \"https\"}") "]}");
        builds();
        r = route_at("/api/debug");
        ck_assert_str_eq(r->on, "127.0.0.1::");
        ck_assert_uint_eq(r->on_place.col, 11);
        ck_assert_uint_eq(r->path_place.col, 22);
        ck_assert_uint_eq(r->path_before, 4);
        ck_assert_uint_eq(r->when.net_count, 2);
        ck_assert_uint_eq(route_when_count(&r->when), 3);
        r = route_at("/api/info");
        ck_assert_str_eq(r->on, ":::example.com");
        ck_assert_uint_eq(r->when.net_count, 1); /* what lies in both */
        ck_assert_uint_eq(r->when.nets[0].bits, 96 + 16);
        ck_assert_str_eq(r->when.source.list[0], "10.1.0.0/16");
        ck_assert_uint_eq(r->when.scheme, WHEN_HTTPS);
        ck_assert_uint_eq(r->when.headers.count, 3);
        ck_assert_str_eq(r->when.headers.values[0], "2");
}
END_TEST

static const struct { const char *mount, *report, *words; } nonsense[] = {
        { "", DECORATED("/x", ", \"when\": {\"sorce\": [\"10.0.0.0/8\"]}"), "/srv/api.py:12:1: error: unknown key \"sorce\" in \"when\"" },
        { "", DECORATED("/x", ", \"when\": {}"), "\"when\" holds no condition" },
        { "", DECORATED("/x", ", \"when\": {\"source\": [\"10.0.0.1/8\"]}"), "has bits set past its 8" },
        { "", DECORATED("/x", ", \"when\": {\"headers\": {\"x\": 1}}"), "error: " },
        { "", DECORATED("/x", ", \"when\": [1]"), "reported a route that makes no sense" },
        { ", when: {scheme: http}", DECORATED("/x", ", \"when\": {\"scheme\": \"https\"}"), "this route can never match: it is for https" },
        { ", when: {query: {a: 1}}", DECORATED("/x", ", \"when\": {\"query\": {\"a\": \"2\"}}"), "this route can never match: query \"a\" is to be \"2\" here and \"1\"" },
        { ", when: {source: 10.0.0.0/8}", DECORATED("/x", ", \"when\": {\"source\": [\"fd00::/8\"]}"), "none of its sources" },
        { ", on: \":8080::\"", DECORATED("127.0.0.1::/x", ""), "the app is mounted for one listener or host already" },
        { "", DECORATED("127.0.0.1::", ""), "reported a route that makes no sense" },
        { "", DECORATED("127.0.0.1:8080:/x", ""), "reported a route that makes no sense" },
        { "", DECORATED(":::a.example:~^/x$", ""), "a regular expression cannot stand below" },
        { "", DECORATED("/x", ", \"column\": 4, \"length\": 2, \"text\": \"a(\\\"/x\\\")\"") ", " DECORATED("/x", ", \"column\": 4, \"length\": 2"),
          "/srv/api.py:12:4: error: this route can never win" },
        { "", DECORATED("/x", ", \"column\": 4, \"length\": 2, \"text\": \"a(\\\"/x\\\")\"") ", " DECORATED("/x", ", \"column\": 4, \"length\": 2"), "   12 | a(\"/x\")\n      |    ^~\n" },
};

START_TEST(what_decorators_say_wrong_is_told)
{
        char text[512], report[2048], *said;

        snprintf(text, sizeof(text), MOUNT "%s}]\n", nonsense[_i].mount);
        snprintf(report, sizeof(report), "{\"routes\": [%s]}", nonsense[_i].report);
        ck_assert_int_eq(read_text(text), 0);
        reported(0, report);
        ck_assert_int_eq(generation_build(&bundle, true, &diags, &generation), -EINVAL);
        said = diags_format(&diags);
        ck_assert_msg(strstr(said, nonsense[_i].words) != NULL, "%s", said);
        free(said);
}
END_TEST

/* ---- match ------------------------------------------------------------------------------------------------------------------------------- */

static const struct { const char *args[6]; const char *words; int result; } trials[] = {
        { { "GET", "/x" }, "goes to /x ", 0 },
        { { "GET", "http://a.example/x?q=1#f" }, "goes to /x ", 0 },
        { { "GET", "http://a.example:8080" }, "GET /  (http, host a.example, listener *:8080, from 127.0.0.1)\n", 0 },
        { { "GET", "http://[::1]:8080/x" }, "listener [::1]:8080,", 0 },
        { { "GET", "http://127.0.0.1:8080/x", "-HHost: b.example" }, "host b.example, listener 127.0.0.1:8080", 0 },
        { { "GET", "https://a.example:8080/x" }, "note: the listener on this port speaks http\n", 0 },
        { { "GET", "http://a.example:81/x" }, "note: no listener has this port\n", 0 },
        { { "GET", "/far", "--from=10.9.9.9" }, "goes to GET, HEAD /far", 0 },
        { { "GET", "/far" }, "the client's address: it is for 10.0.0.0/8", 0 },
        { { "GET", "/api", "-HX-Api: 2", "-HX-B: 1" }, "goes to GET, HEAD /api", 0 },
        { { "GET", "/api", "-HX-Api: 3" }, "header x-api: 2 (it is '3')", 0 },
        { { "GET", "/%00" }, "400: the path cannot be decoded", 0 },
        { { "BREW", "/far" }, "405", 0 },
        { { "OPTIONS", "*" }, "204: OPTIONS * is about the server", 0 },
        { { "GET", "x" }, "is no URL", -EINVAL },
        { { "GET", "ftp://x/" }, "the scheme is http or https", -EINVAL },
        { { "GET", "http:///x" }, "wants a host", -EINVAL },
        { { "GET", "http://me@x/" }, "wants a host, and no user", -EINVAL },
        { { "GET", "http://x:99999/" }, "a port is a number", -EINVAL },
        { { "GET", "http://x:/" }, "a port is a number", -EINVAL },
        { { "GET", "/a b" }, "no spaces", -EINVAL },
        { { "G ET", "/x" }, "is no method", -EINVAL },
        { { "", "/x" }, "is no method", -EINVAL },
        { { "GET", "/x", "-Hno colon" }, "-H wants", -EINVAL },
        { { "GET", "/x", "-Ha: b\r\n\r\n" }, "-H wants", -EINVAL },
        { { "GET", "/x", "--from=me" }, "--from wants an IP address", -EINVAL },
        { { "GET", "/x", "--of" }, "match does not take", -EINVAL },
};

START_TEST(a_request_that_nobody_sent)
{
        char why[256] = "", *text = NULL;
        struct trial_ask ask;
        size_t count = 0;
        int e;

        ck_assert_int_eq(read_text("listen: 8080\nroutes:\n  - {path: /x, respond: {}}\n  - {path: /far, methods: GET, when: {source: 10.0.0.0/8}, respond: {}}\n"
                                   "  - {path: /far, methods: POST, respond: {}}\n  - {path: /api, methods: GET, when: {headers: {x-api: 2}}, respond: {}}\n"), 0);
        builds();
        while (count < 6 && trials[_i].args[count] != NULL)
                count++;
        e = trial_ask_parse(trials[_i].args, count, &ask, why, sizeof(why));
        if (e == 0)
                e = generation_match(generation, &ask, false, &text, why, sizeof(why));
        ck_assert_int_eq(e, trials[_i].result);
        ck_assert_msg(strstr(e == 0 ? text : why, trials[_i].words) != NULL, "%s", e == 0 ? text : why);
        free(text);
}
END_TEST

START_TEST(without_a_404_page_the_mount_is_gone)
{
        ck_assert_int_eq(read_text("listen: 8080\napps: {api: {heart: \"a:b\"}}\nroutes: [{path: \"/api/{rest:path}\", app: api}]\n"), 0);
        reported(0, "{\"routes\": [" USERS "], \"errors\": [500]}");
        builds();
        ck_assert_uint_eq(generation->route_count, 1);
        ck_assert_ptr_nonnull(route_at("/api/users/{id:int}"));
}
END_TEST

START_TEST(an_app_that_did_not_start_keeps_its_mount)
{
        ck_assert_int_eq(read_text("listen: 8080\napps: {api: {heart: \"a:b\"}, web: {heart: \"c:d\"}}\nroutes: [{path: \"/api/{rest:path}\", app: api}]\n"), 0);
        builds();
        ck_assert_uint_eq(generation->route_count, 2);
        ck_assert_uint_eq(route_at("/api/{rest:path}")->handler, UINT32_MAX);
        ck_assert_uint_eq(route_at("/{path:path}")->app_index, 1); /* no route names it */
}
END_TEST

START_TEST(a_native_app_that_no_route_names_is_at_the_root)
{
        ck_assert_int_eq(read_text("listen: 8080\napps: {api: {heart: \"a:b\"}}\nroutes: [{path: /x, respond: {}}]\n"), 0);
        reported(0, "{\"routes\": [" USERS "], \"errors\": [404]}");
        builds();
        ck_assert_uint_eq(generation->route_count, 3);
        ck_assert_uint_eq(route_at("/users/{id:int}")->handler, 3);
        ck_assert_str_eq(route_at("/users/{id:int}")->root_path, "");
        ck_assert(route_at("/{path:path}")->fallback);
}
END_TEST

START_TEST(at_the_root_the_catch_all_of_the_file_stays)
{
        ck_assert_int_eq(read_text("listen: 8080\napps: {api: {heart: \"a:b\"}}\nroutes: [{path: \"/{f:path}\", static: {root: .}}]\n"), 0);
        reported(0, "{\"routes\": [" USERS "], \"errors\": [404]}");
        builds();
        ck_assert_uint_eq(generation->route_count, 2);
        ck_assert_int_eq(route_at("/{f:path}")->action, ROUTE_STATIC);
}
END_TEST

START_TEST(methods_of_mount_and_route_are_both_kept)
{
        ck_assert_int_eq(read_text("listen: 8080\napps: {api: {heart: \"a:b\"}}\nroutes: [{path: \"/{rest:path}\", app: api, methods: [GET]}]\n"), 0);
        reported(0, "{\"routes\": [{\"handler\": 0, \"path\": \"/a\", \"methods\": [\"GET\", \"POST\"]}, {\"handler\": 1, \"path\": \"/b\", \"methods\": [\"POST\"], \"file\": \"\", \"line\": 0}], \"errors\": []}");
        builds();
        ck_assert_uint_eq(route_at("/a")->place.line, 3); /* no file: the mount's place */
        ck_assert_uint_eq(generation->route_count, 1);
        ck_assert_uint_eq(route_at("/a")->methods, M_GET | M_HEAD);
}
END_TEST

static const struct { const char *root_path, *path, *expected; } roots[] = {
        { NULL, "/a/b/{x:path}", "/a/b" }, { "/said", "/a/{x:path}", "/said" }, { NULL, "/{x:path}", "" }, { NULL, "127.0.0.1::/a/{x:path}", "/a" },
};

START_TEST(the_root_path_is_the_prefix_unless_said)
{
        char text[300];

        snprintf(text, sizeof(text), "listen: 8080\napps: {api: {heart: \"a:b\", root_path: \"%s\"}}\nroutes: [{path: \"%s\", app: api}]\n",
                 roots[_i].root_path != NULL ? roots[_i].root_path : "/x", roots[_i].path);
        if (roots[_i].root_path == NULL)
                memset(strstr(text, ", root_path: \"/x\""), ' ', 17);
        ck_assert_int_eq(read_text(text), 0);
        builds();
        ck_assert_str_eq(generation->routes[0].root_path, roots[_i].expected);
}
END_TEST

START_TEST(a_wsgi_app_is_one_route)
{
        ck_assert_int_eq(read_text("listen: 8080\napps: {w: {wsgi: \"a:b\", root_path: /w}, v: {wsgi: \"a:b\"}}\nroutes: [{path: \"/w/{rest:path}\", app: w}, {path: \"/v/{rest:path}\", app: v}]\n"), 0);
        reported(0, "{\"routes\": [], \"errors\": []}");
        builds();
        ck_assert_uint_eq(generation->route_count, 2);
        ck_assert_str_eq(route_at("/w/{rest:path}")->root_path, "/w");
        ck_assert_str_eq(route_at("/v/{rest:path}")->root_path, "");
        ck_assert(!route_at("/w/{rest:path}")->fallback);
        ck_assert_uint_eq(route_at("/w/{rest:path}")->handler, UINT32_MAX);
}
END_TEST

static const char *const bad_reports[] = {
        "", "{", "[]", "{}", "{\"routes\": {}}", "{\"routes\": [1]}", "{\"routes\": [{}]}", "{\"routes\": [{\"handler\": 0, \"methods\": [\"GET\"]}]}",
        "{\"routes\": [{\"handler\": -1, \"path\": \"/\", \"methods\": []}]}", "{\"routes\": [{\"handler\": 1.5, \"path\": \"/\", \"methods\": []}]}",
        "{\"routes\": [{\"handler\": 4294967295, \"path\": \"/\", \"methods\": []}]}", "{\"routes\": [{\"handler\": 0, \"path\": \"x\", \"methods\": []}]}",
        "{\"routes\": [{\"handler\": 0, \"path\": \"/\", \"methods\": [1]}]}", "{\"routes\": [{\"handler\": 0, \"path\": \"/\", \"methods\": \"GET\"}]}",
        "{\"routes\": [{\"handler\": 0, \"path\": \"/\", \"methods\": [\"\"]}]}", "{\"routes\": [{\"handler\": 0, \"path\": \"/a\", \"methods\": [], \"line\": -4}]}",
        "{\"routes\": [{\"handler\": 0, \"path\": \"~^/x$\", \"methods\": []}]}", /* a regex below a prefix */
        "{\"routes\": [{\"handler\": 0, \"path\": \"/{x\", \"methods\": []}]}",   /* the router says it */
};

START_TEST(a_report_that_makes_no_sense_is_refused)
{
        ck_assert_int_eq(read_text("listen: 8080\napps: {api: {heart: \"a:b\"}}\nroutes: [{path: \"/api/{rest:path}\", app: api}]\n"), 0);
        reported(0, bad_reports[_i]);
        ck_assert_int_eq(generation_build(&bundle, true, &diags, &generation), -EINVAL);
        ck_assert_ptr_null(generation);
        ck_assert_uint_ge(diags.error_count, 1);
}
END_TEST

START_TEST(decorated_routes_clash_at_load)
{
        char *said;

        ck_assert_int_eq(read_text("listen: 8080\napps: {a: {heart: \"a:b\"}, b: {heart: \"a:b\"}}\n"), 0);
        reported(0, "{\"routes\": [{\"handler\": 0, \"path\": \"/x\", \"methods\": [\"GET\"], \"file\": \"/a.py\", \"line\": 4}], \"errors\": []}");
        reported(1, "{\"routes\": [{\"handler\": 0, \"path\": \"/x\", \"methods\": [\"GET\"], \"file\": \"/b.py\", \"line\": 9}], \"errors\": []}");
        ck_assert_int_eq(generation_build(&bundle, true, &diags, &generation), -EINVAL);
        said = diags_format(&diags);
        ck_assert_ptr_nonnull(strstr(said, "/a.py:4"));
        ck_assert_ptr_nonnull(strstr(said, "/b.py:9"));
        free(said);
}
END_TEST

START_TEST(a_native_mount_has_no_parameter_before_it)
{
        ck_assert_int_eq(read_text("listen: 8080\napps: {api: {heart: \"a:b\"}}\nroutes: [{path: \"/{t}/{rest:path}\", app: api}]\n"), 0);
        ck_assert_int_eq(generation_build(&bundle, true, &diags, &generation), -EINVAL);
        ck_assert_uint_eq(diags.list[0].place.line, 3);
}
END_TEST

/* ---- show ------------------------------------------------------------------------------------------------------------------------------- */

START_TEST(show_tells_value_and_place)
{
        char *text, *json, expected[200];

        ck_assert_int_eq(read_text("listen: [8080]\nlimits:\n  body: 20m\napps: {s: {wsgi: \"a:b\"}}\nroutes:\n  - {path: \"/\", app: s}\n"), 0);
        builds();
        text = generation_show(generation, false);
        snprintf(expected, sizeof(expected), "%s:3\n", main_file);
        ck_assert_ptr_nonnull(strstr(text, "limits.body = 20m"));
        ck_assert_ptr_nonnull(strstr(text, expected));
        ck_assert_ptr_nonnull(strstr(text, "limits.header = 16k"));
        ck_assert_ptr_nonnull(strstr(text, "(default)"));
        ck_assert_ptr_nonnull(strstr(text, "apps.s.queue.size = 256"));
        ck_assert_ptr_nonnull(strstr(text, "listen[0] = 8080"));
        ck_assert_ptr_nonnull(strstr(text, "routes[0].path = /"));
        ck_assert(strstr(text, "apps.s.env") < strstr(text, "limits.body")); /* by name */
        ck_assert(strstr(text, "limits.body") < strstr(text, "limits.header"));
        json = generation_show(generation, true);
        snprintf(expected, sizeof(expected), "{\"key\":\"limits.body\",\"value\":\"20m\",\"file\":\"%s\",\"line\":3}", main_file);
        ck_assert_msg(strstr(json, expected) != NULL, "%s", json);
        free(text);
        free(json);
}
END_TEST

START_TEST(routes_come_in_order_of_precedence)
{
        char *text, *json;
        const char *literal, *param;

        ck_assert_int_eq(read_text("listen: 8080\nroutes:\n  - {path: \"/u/{id:int}\", methods: [GET], python: \"m:f\"}\n  - {path: /u/new, host: x.example, respond: {status: 204}}\n"
                                   "  - {path: \"/o/{s}\", redirect: {to: \"/n/{s}\"}}\n"), 0);
        builds();
        text = generation_routes(generation, false);
        literal = strstr(text, "/u/new");
        param = strstr(text, "/u/{id:int}");
        ck_assert_ptr_nonnull(literal);
        ck_assert_ptr_nonnull(param);
        ck_assert(literal < param);
        ck_assert_ptr_nonnull(strstr(text, "respond 204"));
        ck_assert_ptr_nonnull(strstr(text, "python m:f"));
        ck_assert_ptr_nonnull(strstr(text, "redirect 308 /n/{s}"));
        ck_assert_ptr_nonnull(strstr(text, "x.example"));
        ck_assert_ptr_nonnull(strstr(text, "routes.yaml:3\n"));
        json = generation_routes(generation, true);
        ck_assert_ptr_nonnull(strstr(json, "\"pattern\":\"/u/{id:int}\""));
        ck_assert_ptr_nonnull(strstr(json, "\"methods\":\"GET, HEAD"));
        free(text);
        free(json);
}
END_TEST

START_TEST(ten_thousand_routes)
{
        char path[160];
        FILE *f;

        snprintf(path, sizeof(path), "%s/routes.yaml", dir);
        f = fopen(path, "w");
        fputs("listen: 8080\nroutes:\n", f);
        for (unsigned i = 0; i < 10000; i++)
                fprintf(f, "  - {path: \"/r%u/{id:int}\", python: \"m:f%u\"}\n", i, i);
        fclose(f);
        ck_assert_int_eq(bundle_read_files(&bundle, path, &diags), 0);
        builds();
        ck_assert_uint_eq(generation->route_count, 10000);
        ck_assert_uint_eq(generation->routes[9999].handler, 9999);
}
END_TEST

int
main(void)
{
        Suite *s = suite_create("generation");
        TCase *t = tcase_create("generation");

        suite_add_tcase(s, t);
        tcase_add_checked_fixture(t, setup, teardown);
        tcase_set_timeout(t, 60); /* sanitizers are slow */
        tcase_add_test(t, a_bundle_holds_all_files);
        tcase_add_test(t, a_bundle_comes_out_as_it_went_in);
        tcase_add_test(t, broken_bundles_are_refused);
        tcase_add_test(t, what_could_change_is_no_bundle);
        tcase_add_test(t, missing_files_are_findings_at_their_place);
        tcase_add_test(t, all_findings_come_in_one_go);
        tcase_add_test(t, a_file_that_is_not_there);
        tcase_add_test(t, a_generation_is_built_without_the_disk);
        tcase_add_test(t, the_first_look_needs_no_router);
        tcase_add_test(t, a_bundle_of_another_configuration_is_refused);
        tcase_add_test(t, python_targets_are_numbered_in_order);
        tcase_add_test(t, reported_routes_take_the_place_of_the_mount);
        tcase_add_test(t, a_decorator_has_selector_and_conditions);
        tcase_add_loop_test(t, what_decorators_say_wrong_is_told, 0, (int)(sizeof(nonsense) / sizeof(*nonsense)));
        tcase_add_loop_test(t, a_request_that_nobody_sent, 0, (int)(sizeof(trials) / sizeof(*trials)));
        tcase_add_test(t, without_a_404_page_the_mount_is_gone);
        tcase_add_test(t, an_app_that_did_not_start_keeps_its_mount);
        tcase_add_test(t, a_native_app_that_no_route_names_is_at_the_root);
        tcase_add_test(t, at_the_root_the_catch_all_of_the_file_stays);
        tcase_add_test(t, methods_of_mount_and_route_are_both_kept);
        LOOP(t, the_root_path_is_the_prefix_unless_said, roots);
        tcase_add_test(t, a_wsgi_app_is_one_route);
        LOOP(t, a_report_that_makes_no_sense_is_refused, bad_reports);
        tcase_add_test(t, decorated_routes_clash_at_load);
        tcase_add_test(t, a_native_mount_has_no_parameter_before_it);
        tcase_add_test(t, show_tells_value_and_place);
        tcase_add_test(t, routes_come_in_order_of_precedence);
        tcase_add_test(t, ten_thousand_routes);
        return run_suite(s);
}
