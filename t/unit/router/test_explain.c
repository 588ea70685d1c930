/* test_explain.c - explain.c: what is said about a request and the routes around it. SPDX-License-Identifier: MIT */
#include <check.h>
#include <stdlib.h>

#include "router/router.h"
#include "../run.h"

#define R(p, m, ...) { .path = p, .methods = m, .place = { "r.yaml", __COUNTER__ + 1, 1, 1 }, __VA_ARGS__ }

static const char *api_names[] = { "x-api" }, *api_values[] = { "2" }, *beta_names[] = { "beta" }, *beta_values[] = { "*" };
static const char *nets_text[] = { "10.0.0.0/8" };
static const struct route_net nets[] = { { { { { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 0, 0, 0 } } }, 104 } };

static const struct route routes[] = {
        R("/users/new", M_ANY),                                                                                     /* 1 */
        R("/users/{id:int}", M_GET | M_HEAD),                                                                       /* 2 */
        R("/users/{id:int}", M_POST),                                                                               /* 3 */
        R("/users/{name}", M_GET | M_HEAD),                                                                         /* 4 */
        R("/users/{name}/f-{n:int}.json", M_ANY),                                                                   /* 5 */
        R("/folder/", M_ANY),                                                                                       /* 6 */
        R("~^/re/(?<x>[a-z]+)/y$", M_ANY),                                                                          /* 7 */
        R("/host", M_ANY, .host = "example.com"),                                                                   /* 8 */
        R("127.0.0.1:80::/here", M_ANY),                                                                            /* 9 */
        R("/api", M_ANY, .when = { .headers = { api_names, api_values, 1 } }),                                      /* 10 */
        R("/net", M_ANY, .when = { .source = { nets_text, NULL, 1 }, .nets = nets, .net_count = 1 }),               /* 11 */
        R("/secure", M_ANY, .when = { .scheme = WHEN_HTTPS, .cookies = { beta_names, beta_values, 1 } }),           /* 12 */
        R("/files/{rest:path}", M_ANY),                                                                             /* 13 */
        R("/files/{a}/{b:bool}", M_ANY),                                                                            /* 14 */
        R("/wild", M_ANY, .host = "*.example.com"),                                                                 /* 15 */
};
enum { ROUTES = sizeof(routes) / sizeof(*routes) };

static struct router *router;
static struct router_scratch *scratch;

static void
setup(void)
{
        struct diags d;
        char *text;
        int e;

        diags_init(&d);
        e = router_compile(routes, ROUTES, NULL, &d, &router);
        text = diags_format(&d);
        ck_assert_msg(e == 0, "%s", text);
        free(text);
        diags_fini(&d);
        scratch = router_scratch_new();
}

static void
teardown(void)
{
        router_free(router);
        router_scratch_free(scratch);
}

static char *
said(uint32_t method, const char *path, const char *host, bool json)
{
        struct router_query q = { .path = span_of(path), .host = span_of(host), .method = method, .local = { .port = 8080 } };
        char *text;

        q.source.s6_addr[15] = 1;
        text = router_explain(router, scratch, &q, json);
        ck_assert_ptr_nonnull(text);
        return text;
}

/* Each must be in what is said; one that begins with '!' must not. */
static const struct { uint32_t method; const char *path, *host; const char *words[5]; } cases[] = {
        { M_GET, "/users/7", "", { "goes to GET, HEAD /users/{id:int}  (r.yaml:2)\n", "    id (int) = \"7\"\n",
                                   "before GET, HEAD /users/{name}  (r.yaml:4): in segment 2 int goes before str\n",
                                   "/users/new  (r.yaml:1)\n        segment 2: \"7\" is not new\n", "POST /users/{id:int}  (r.yaml:3)\n        the method: it takes POST\n" } },
        { M_GET, "/users/new", "", { "goes to /users/new", "before GET, HEAD /users/{name}  (r.yaml:4): in segment 2 a literal goes before str\n", "\"new\" is no int" } },
        { M_PUT, "/users/7", "", { "405: the path is known, the method is not; Allow: GET, HEAD, POST, OPTIONS\n", "the method: it takes GET, HEAD\n" } },
        { M_OPTIONS, "/users/7", "", { "204: the answer to OPTIONS; Allow: GET, HEAD, POST, OPTIONS\n" } },
        { M_GET, "/users", "", { "404: no route takes it\n", "/users/new  (r.yaml:1)\n        segment 2: it wants new, the path ends before it\n" } },
        { M_GET, "/users/bob/f-x.json", "", { "404", "/users/{name}/f-{n:int}.json  (r.yaml:5)\n        segment 3: \"f-x.json\" is not f-{n:int}.json\n", "an end: it has 2 segments, the path 3" } },
        { M_GET, "/users/a.b/f-12.json", "", { "goes to /users/{name}/f-{n:int}.json", "name (str) = \"a.b\"", "n (int) = \"12\"" } },
        { M_GET, "/folder", "", { "404", "/folder/  (r.yaml:6)\n        a slash at the path's end\n" } },
        { M_GET, "/users/7/", "", { "404", "the path without the slash at its end" } },
        { M_GET, "/re/x1/y", "", { "404", "~^/re/(?<x>[a-z]+)/y$  (r.yaml:7)\n        its regex does not take the whole path\n" } },
        { M_GET, "/re/x/y", "", { "goes to ~^/re/(?<x>[a-z]+)/y$", "x (str) = \"x\"" } },
        { M_GET, "/host", "www.example.com", { "404", "[:::example.com] /host  (r.yaml:8)\n        the host: it is for example.com\n" } },
        { M_GET, "/wild", "example.com", { "404", "the host: it is for *.example.com\n" } },
        { M_GET, "/here", "", { "404", "[127.0.0.1:80::] /here  (r.yaml:9)\n        the listener: it is for address 127.0.0.1; the listener: it is for port 80\n" } },
        { M_GET, "/files/x/maybe", "", { "goes to /files/{rest:path}", "!before", "/files/{a}/{b:bool}  (r.yaml:14)\n        segment 3: \"maybe\" is no bool\n" } },
        { M_GET, "/files/x/true", "", { "goes to /files/{a}/{b:bool}", "before /files/{rest:path}  (r.yaml:13): in segment 2 str goes before path\n" } },
        { M_GET, "/nothing/at/all", "", { "404", "!nearest" } },
        { M_GET, "/user/7", "", { "404", "segment 1: \"user\" is not users" } },
        { M_GET, "/", "", { "404" } },
        { M_GET, "/users//", "", { "404" } },
};

START_TEST(words)
{
        char *text = said(cases[_i].method, cases[_i].path, cases[_i].host, false);

        for (size_t k = 0; k < 5 && cases[_i].words[k] != NULL; k++) {
                const char *word = cases[_i].words[k];

                if (*word == '!')
                        ck_assert_msg(strstr(text, word + 1) == NULL, "\"%s\" is in:\n%s", word + 1, text);
                else
                        ck_assert_msg(strstr(text, word) != NULL, "\"%s\" is not in:\n%s", word, text);
        }
        free(text);
}
END_TEST

static const struct { const char *path, *words; } conditions[] = {
        { "/api", "header x-api: 2 (it is not there)\n" },
        { "/net", "the client's address: it is for 10.0.0.0/8\n" },
        { "/secure", "the scheme: it is for https; cookie beta (it is not there)\n" },
};

START_TEST(conditions_that_fail)
{
        char *text = said(M_GET, conditions[_i].path, "", false);

        ck_assert_msg(strncmp(text, "404", 3) == 0 && strstr(text, conditions[_i].words) != NULL, "%s", text);
        free(text);
}
END_TEST

/* Whatever is asked, the JSON is JSON: YAML's reader takes it. */
START_TEST(json_is_json)
{
        char *text = said(cases[_i].method, cases[_i].path, cases[_i].host, true);
        struct arena *a = arena_new();
        struct yaml_node *root = NULL;
        struct diags d;

        diags_init(&d);
        ck_assert_msg(yaml_parse("explanation", text, strlen(text), a, &d, &root) == 0, "%s", text);
        ck_assert_ptr_nonnull(yaml_get(root, "verdict"));
        ck_assert_ptr_nonnull(yaml_get(root, "others"));
        ck_assert_ptr_nonnull(yaml_get(root, "before"));
        diags_fini(&d);
        arena_free(a);
        free(text);
}
END_TEST

START_TEST(odd_paths_are_shown_escaped)
{
        char *text = said(M_GET, "/users/a\"b\\c/f-\x01.json", "", true);
        char *plain = said(M_GET, "/users/a/f-\x1b.json", "", false);

        ck_assert_msg(strstr(text, "\\\"f-\\u0001.json\\\"") != NULL, "%s", text);
        ck_assert_msg(strchr(plain, 0x1b) == NULL && strstr(plain, "\\x1b") != NULL, "%s", plain);
        free(text);
        free(plain);
}
END_TEST

START_TEST(selectors_and_patterns)
{
        static const char *const texts[ROUTES] = { [7] = ":::example.com", [8] = "127.0.0.1:80::", [14] = ":::*.example.com" };
        struct span on, path;

        for (uint32_t i = 0; i < ROUTES; i++) {
                char *text = router_selector_text(router, i);

                ck_assert_str_eq(text, texts[i] != NULL ? texts[i] : "*");
                free(text);
        }
        ck_assert_str_eq(router_pattern_text(router, 8), "/here");
        router_split("[::1]:8000::/v1/{slug:str}", &on, &path);
        ck_assert(span_is(on, SPAN_LIT("[::1]:8000::")) && span_is(path, SPAN_LIT("/v1/{slug:str}")));
        router_split(":::example.com:/info", &on, &path);
        ck_assert(span_is(on, SPAN_LIT(":::example.com")) && span_is(path, SPAN_LIT("/info")));
        router_split("/a::b", &on, &path);
        ck_assert(on.len == 0 && span_is(path, SPAN_LIT("/a::b")));
        router_split("a/b", &on, &path);
        ck_assert(on.len == 0 && span_is(path, SPAN_LIT("a/b")));
}
END_TEST

int
main(void)
{
        Suite *s = suite_create("explain");
        TCase *tc = tcase_create("all");
        int count = (int)(sizeof(cases) / sizeof(*cases));

        tcase_add_checked_fixture(tc, setup, teardown);
        tcase_add_loop_test(tc, words, 0, count);
        tcase_add_loop_test(tc, conditions_that_fail, 0, (int)(sizeof(conditions) / sizeof(*conditions)));
        tcase_add_loop_test(tc, json_is_json, 0, count);
        tcase_add_test(tc, odd_paths_are_shown_escaped);
        tcase_add_test(tc, selectors_and_patterns);
        suite_add_tcase(s, tc);
        return run_suite(s);
}
