/* test_match.c - which route wins, with what, and what the others say. Tables first; then the trie against naive.h, by the hundred thousand.
 * SPDX-License-Identifier: MIT */
#include <arpa/inet.h>
#include <check.h>
#include <stdio.h>

#include "naive.h"
#include "../run.h"

static struct router *
compile(const struct route *routes, size_t count)
{
        struct diags d;
        struct router *r = NULL;
        char *text;
        int e;

        diags_init(&d);
        e = router_compile(routes, count, NULL, &d, &r);
        text = diags_format(&d);
        ck_assert_msg(e == 0, "%s", text);
        free(text);
        diags_fini(&d);
        return r;
}

/* "NAME" of the route that wins, "404", "405 GET, HEAD" or "500"; then its parameters. */
static const char *
answer(const struct router *r, const struct route *routes, const char *path, const struct router_query *rest, char *out, size_t room)
{
        struct router_scratch *s = router_scratch_new();
        struct router_query q = *rest;
        struct router_match m;
        size_t n;
        char methods[80];

        q.path = span_of(path);
        switch (router_match(r, s, &q, &m)) {
        case ROUTER_FOUND:
                n = (size_t)snprintf(out, room, "%s", routes[m.route].python);
                for (uint32_t i = 0; i < m.param_count; i++)
                        n += (size_t)snprintf(out + n, room - n, " %.*s=%.*s", (int)m.params[i].name.len, m.params[i].name.ptr, (int)m.params[i].value.len,
                                              m.params[i].value.ptr);
                break;
        case ROUTER_NOT_FOUND:
                snprintf(out, room, "404");
                break;
        case ROUTER_METHOD:
                router_methods_text(m.allow, methods, sizeof(methods));
                snprintf(out, room, "405 %s", methods);
                break;
        case ROUTER_SLASH:
                snprintf(out, room, "308 %s", routes[m.route].python);
                break;
        case ROUTER_FAILED:
                snprintf(out, room, "500");
                break;
        }
        router_scratch_free(s);
        return out;
}

/* ---- precedence ------------------------------------------------------------------------------------------------------------------ */

#define R(name, p) { .path = p, .methods = M_ANY, .python = name }
static const struct route site[] = {
        R("root", "/"),
        R("new", "/users/new"),
        R("user-json", "/users/{name}.json"),
        R("user-id", "/users/{id:int}"),
        R("user-uuid", "/users/{id:uuid}"),
        R("user-slug", "/users/{id:slug}"),
        R("user", "/users/{name}"),
        R("user-rest", "/users/{rest:path}"),
        R("user-edit", "/users/{id:int}/edit"),
        R("assets", "/assets/{file:path}"),
        R("file-int", "/f/file-{id:int}.json"),
        R("file-any", "/f/file-{id}.json"),
        R("file-tail", "/f/file-{id}"),
        R("f-pre", "/f/fil{x}"),
        R("num", "/n/{x:int}"),
        R("float", "/n/{x:float}"),
        R("bool", "/n/{x:bool}"),
        R("hex", "/h/{x:re([0-9a-f]{4})}"),
        R("words", "/h/{x:re((?:foo|bar)+)}"),
        R("any-h", "/h/{x}"),
        R("range", "/r/{from:int}-{to:int}"),
        R("range-any", "/r/{a}-{b}"),
        R("three", "/t/{a}.{b}.{c:int}"),
        R("mix-re", "/m/{a}-{b:re(\\d+|zz)}-{c}"),
        R("double", "/d//x"),
        R("back-1", "/b/{x}/c/d"),
        R("back-2", "/b/y/{z}/e"),
        R("cafe", "/caf\xc3\xa9"),
        R("space", "/a%20b"),
        R("slash", "/a%2fb"),
        R("empty-tail", "/e/"),
        R("long", "/a-literal-that-does-not-fit-into-one-node/of/the/trie/{x}/and-goes-on-behind-it-for-long"),
        R("v", "~^/v(?<major>\\d+)/(?<rest>.*)$"),
        R("v-any", "~/v.*"),
        R("dup-re", "~^/(a|b)/(?<opt>x)?y$"),
        { .path = "~^/n/13$", .methods = M_ANY, .python = "first", .first = true },
};

static const struct { const char *path, *expect; } precedence[] = {
        { "/", "root" },
        { "/users/new", "new" },                       /* a literal beats everything */
        { "/users/new.json", "user-json name=new" },   /* literal with a parameter before typed ones */
        { "/users/7.json", "user-json name=7" },
        { "/users/7", "user-id id=7" },
        { "/users/-7", "user-id id=-7" },
        { "/users/123e4567-e89b-12d3-a456-426614174000", "user-uuid id=123e4567-e89b-12d3-a456-426614174000" },
        { "/users/bob-x", "user-slug id=bob-x" },
        { "/users/b\xc3\xb6" "b", "user name=b\xc3\xb6" "b" },
        { "/users/", "user-rest rest=" },              /* an empty segment matches no parameter; a path parameter takes the empty rest */
        { "/users", "404" },
        { "/users/7/edit", "user-edit id=7" },
        { "/users/x/edit", "user-rest rest=x/edit" },
        { "/users/7/edit/", "user-rest rest=7/edit/" },
        { "/users/9223372036854775807", "user-id id=9223372036854775807" },
        { "/users/9223372036854775808", "user-slug id=9223372036854775808" }, /* an int fits into 64 bits */
        { "/users/-9223372036854775808", "user-id id=-9223372036854775808" },
        { "/users/00000000000000000001", "user-slug id=00000000000000000001" },
        { "/assets/", "assets file=" },
        { "/assets", "404" },
        { "/assets/a//b/", "assets file=a//b/" },
        { "/f/file-1.json", "file-int id=1" },
        { "/f/file-x.json", "file-any id=x" },
        { "/f/file-.json", "file-tail id=.json" },
        { "/f/file-", "f-pre x=e-" },
        { "/f/fil", "404" },
        { "/n/1", "num x=1" },
        { "/n/1.5", "float x=1.5" },
        { "/n/-0.25", "float x=-0.25" },
        { "/n/1.", "404" },
        { "/n/.5", "404" },
        { "/n/-", "404" },
        { "/n/true", "bool x=true" },
        { "/n/True", "404" },
        { "/n/13", "first" },                          /* first: true goes before every template */
        { "/h/00ff", "hex x=00ff" },
        { "/h/foobar", "words x=foobar" },
        { "/h/foobaz", "any-h x=foobaz" },
        { "/r/1-2", "range from=1 to=2" },
        { "/r/1--2", "range from=1 to=-2" },
        { "/r/a-b-c", "range-any a=a b=b-c" },         /* the shortest text that lets the rest match */
        { "/r/-", "404" },
        { "/t/a.b.c.7", "three a=a b=b.c c=7" },
        { "/t/a.b.c", "404" },
        { "/m/a-b-22-c", "mix-re a=a-b b=22 c=c" },
        { "/m/a-22-", "404" },
        { "/d//x", "double" },
        { "/d/x", "404" },
        { "/b/y/c/d", "back-1 x=y" },                  /* the literal "y" fails two segments later: back to {x} */
        { "/b/y/c/e", "back-2 z=c" },
        { "/b/y/c/f", "404" },
        { "/caf\xc3\xa9", "cafe" },
        { "/a b", "space" },
        { "/a%2Fb", "slash" },
        { "/a/b", "404" },
        { "/e/", "empty-tail" },
        { "/e", "404" },
        { "/a-literal-that-does-not-fit-into-one-node/of/the/trie/1/and-goes-on-behind-it-for-long", "long x=1" },
        { "/a-literal-that-does-not-fit-into-one-node/of/the/trie/1/and-goes-on-behind-it-for-lone", "404" },
        { "/v2/abc/d", "v major=2 rest=abc/d" },
        { "/vx/abc", "v-any" },
        { "/b/y", "dup-re opt=" },                     /* a group that took no part is empty */
        { "/a/xy", "dup-re opt=x" },
};

START_TEST(path_finds_its_route)
{
        struct router *r = compile(site, sizeof(site) / sizeof(site[0]));
        struct router_query q = { .method = M_GET };
        char got[300];

        ck_assert_str_eq(answer(r, site, precedence[_i].path, &q, got, sizeof(got)), precedence[_i].expect);
        router_free(r);
}
END_TEST

/* ---- methods ----------------------------------------------------------------------------------------------------------------------- */

static const struct route methods_site[] = {
        { .path = "/a", .methods = M_GET, .python = "a-get" },
        { .path = "/a", .methods = M_POST, .python = "a-post" },
        { .path = "/a", .methods = M_HEAD, .host = "head.example", .python = "a-head-host" },
        { .path = "/h", .methods = M_GET, .python = "h-get" },
        { .path = "/h", .methods = M_HEAD, .python = "h-head" },
        { .path = "/x/new", .methods = M_GET, .python = "new" },
        { .path = "/x/{id}", .methods = M_POST, .python = "id" },
        { .path = "~^/x/.*$", .methods = M_DELETE, .python = "re" },
        { .path = "/o", .methods = M_GET | M_OPTIONS, .python = "o" },
        { .path = "/any", .methods = M_ANY, .python = "any" },
        { .path = "/app/list", .methods = M_GET, .python = "list" },
        { .path = "/app/{rest:path}", .methods = M_ANY, .python = "mount", .fallback = true },
        { .path = "/shop/{rest:path}", .methods = M_GET, .python = "shop-mount", .fallback = true },
        { .path = "/shop/{p}", .methods = M_GET, .host = "a.example", .python = "shop-a" },
};
static const struct { uint32_t method; const char *path, *expect; } methods[] = {
        { M_GET, "/a", "a-get" },
        { M_POST, "/a", "a-post" },
        { M_HEAD, "/a", "a-get" },                     /* HEAD follows GET */
        { M_HEAD, "/h", "h-head" },                    /* unless a route asked for it */
        { M_PUT, "/a", "405 GET, HEAD, POST, OPTIONS" },
        { M_OTHER, "/a", "405 GET, HEAD, POST, OPTIONS" },
        { M_OPTIONS, "/a", "405 GET, HEAD, POST, OPTIONS" },
        { M_GET, "/x/new", "new" },
        { M_POST, "/x/new", "id id=new" },             /* a weaker route that takes the method wins over 405 */
        { M_DELETE, "/x/new", "re" },
        { M_PUT, "/x/new", "405 GET, HEAD, POST, DELETE, OPTIONS" },
        { M_PUT, "/x/y", "405 POST, DELETE, OPTIONS" },
        { M_OPTIONS, "/o", "o" },
        { M_OPTIONS, "/any", "any" },
        { M_OTHER, "/any", "any" },
        { M_GET, "/app/list", "list" },
        { M_POST, "/app/list", "405 GET, HEAD, OPTIONS" }, /* a mount never hides a 405 */
        { M_POST, "/app/other", "mount rest=other" },
        { M_OPTIONS, "/app/other", "mount rest=other" },
        { M_POST, "/shop/x", "405 GET, HEAD, OPTIONS" },   /* the mount's own methods */
        { M_GET, "/nowhere", "404" },
        { M_OPTIONS, "/nowhere", "404" },
};

START_TEST(method_finds_its_route)
{
        struct router *r = compile(methods_site, sizeof(methods_site) / sizeof(methods_site[0]));
        struct router_query q = { .method = methods[_i].method };
        char got[300];

        ck_assert_str_eq(answer(r, methods_site, methods[_i].path, &q, got, sizeof(got)), methods[_i].expect);
        router_free(r);
}
END_TEST

/* ---- selectors ---------------------------------------------------------------------------------------------------------------------- */

static const struct route selectors_site[] = {
        { .path = "/p", .methods = M_GET, .python = "any" },
        { .path = "/p", .methods = M_GET, .host = "Www.Example.com", .python = "exact" },
        { .path = "/p", .methods = M_GET, .host = "*.example.com", .python = "wild" },
        { .path = "/p", .methods = M_GET, .host = "*.deep.example.com", .python = "deep" },
        { .path = "/p", .methods = M_GET, .on = ":8080::", .python = "port" },
        { .path = "/p", .methods = M_GET, .on = ":8080::www.example.com", .python = "port-host" },
        { .path = "/p", .methods = M_GET, .on = "127.0.0.1::", .python = "addr" },
        { .path = "/p", .methods = M_GET, .on = "127.0.0.1:9000::", .python = "addr-port" },
        { .path = "[::1]:8000::v6.example.com:/p", .methods = M_GET, .python = "v6" },
        { .path = ":::info.example.com:/p", .methods = M_GET, .python = "written" },
        { .path = "/only-any", .methods = M_GET, .python = "only-any" },
        { .path = "/mixed", .methods = M_POST, .host = "www.example.com", .python = "mixed-post" },
        { .path = "/mixed", .methods = M_GET, .python = "mixed-get" },
        { .path = "/{rest:path}", .methods = M_GET, .on = "127.0.0.2::", .python = "addr2-rest" },
};
static const struct { const char *addr; uint16_t port; const char *host, *path, *expect; } arrivals[] = {
        { "::ffff:10.0.0.1", 80, "", "/p", "any" },
        { "::ffff:10.0.0.1", 80, "www.example.com", "/p", "exact" },
        { "::ffff:10.0.0.1", 80, "a.example.com", "/p", "wild" },
        { "::ffff:10.0.0.1", 80, "a.b.example.com", "/p", "wild" },
        { "::ffff:10.0.0.1", 80, "a.deep.example.com", "/p", "deep" },
        { "::ffff:10.0.0.1", 80, "deep.example.com", "/p", "wild" },
        { "::ffff:10.0.0.1", 80, "example.com", "/p", "any" },        /* *.x is not x */
        { "::ffff:10.0.0.1", 80, "xexample.com", "/p", "any" },
        { "::ffff:10.0.0.1", 8080, "a.example.com", "/p", "port" },   /* port before host */
        { "::ffff:10.0.0.1", 8080, "www.example.com", "/p", "port-host" },
        { "::ffff:127.0.0.1", 8080, "www.example.com", "/p", "addr" }, /* address before port */
        { "::ffff:127.0.0.1", 9000, "", "/p", "addr-port" },
        { "::1", 8000, "v6.example.com", "/p", "v6" },
        { "::1", 8001, "v6.example.com", "/p", "wild" },
        { "::ffff:10.0.0.1", 80, "info.example.com", "/p", "written" },
        { "::ffff:127.0.0.1", 8080, "www.example.com", "/only-any", "only-any" }, /* weaker classes still count */
        { "::ffff:10.0.0.1", 80, "www.example.com", "/mixed", "mixed-get" },
        { "::ffff:127.0.0.2", 80, "www.example.com", "/p", "addr2-rest rest=p" }, /* the selector counts before the path */
        { "::", 0, "", "/p", "any" },                                  /* a unix socket */
};

START_TEST(selector_finds_its_route)
{
        struct router *r = compile(selectors_site, sizeof(selectors_site) / sizeof(selectors_site[0]));
        struct router_query q = { .method = M_GET, .host = span_of(arrivals[_i].host), .local = { .port = arrivals[_i].port } };
        char got[300];

        ck_assert_int_eq(inet_pton(AF_INET6, arrivals[_i].addr, &q.local.addr), 1);
        ck_assert_str_eq(answer(r, selectors_site, arrivals[_i].path, &q, got, sizeof(got)), arrivals[_i].expect);
        router_free(r);
}
END_TEST

/* ---- conditions --------------------------------------------------------------------------------------------------------------------- */

static const char *c_names[] = { "x-api" }, *c_two[] = { "2" }, *c_any[] = { "*" }, *c_debug[] = { "debug" }, *c_beta[] = { "beta" };
static const struct route_net c_nets[] = { { { .s6_addr = { [10] = 0xff, [11] = 0xff, [12] = 10 } }, 104 }, { { .s6_addr = { 0xfd } }, 8 } };
static const struct route conditions_site[] = {
        { .path = "/a", .methods = M_GET, .python = "plain" },
        { .path = "/a", .methods = M_GET, .python = "api-any", .when = { .headers = { c_names, c_any, 1 } } },
        { .path = "/a", .methods = M_GET, .python = "api-2-tls", .when = { .scheme = WHEN_HTTPS, .headers = { c_names, c_two, 1 } } },
        { .path = "/a", .methods = M_POST, .python = "post-tls", .when = { .scheme = WHEN_HTTPS } },
        { .path = "/n", .methods = M_GET, .python = "inside", .when = { .nets = c_nets, .net_count = 2 } },
        { .path = "/{x}", .methods = M_GET, .python = "any" },
        { .path = "/q/{x}", .methods = M_GET, .python = "debug", .when = { .query = { c_debug, c_any, 1 } } },
        { .path = "/q/{x:path}", .methods = M_GET, .python = "rest", .when = { .cookies = { c_beta, c_any, 1 } } },
        { .path = "~^/r/(a|b)+$", .methods = M_GET, .python = "re-tls", .when = { .scheme = WHEN_HTTPS } },
        { .path = "~^/r/(a|b)+$", .methods = M_GET, .python = "re" },
};
static const struct { uint32_t method; const char *path; bool tls; const char *source, *x, *d, *c, *expect; } moments[] = {
        { M_GET, "/a", false, "::", NULL, NULL, NULL, "plain" },
        { M_GET, "/a", false, "::", "7", NULL, NULL, "api-any" },
        { M_GET, "/a", false, "::", "", NULL, NULL, "api-any" },          /* there, and empty */
        { M_GET, "/a", false, "::", "2", NULL, NULL, "api-any" },
        { M_GET, "/a", true, "::", "2", NULL, NULL, "api-2-tls" },        /* more conditions go first */
        { M_GET, "/a", true, "::", NULL, NULL, NULL, "plain" },
        { M_HEAD, "/a", true, "::", "2", NULL, NULL, "api-2-tls" },
        { M_POST, "/a", true, "::", NULL, NULL, NULL, "post-tls" },
        { M_POST, "/a", false, "::", NULL, NULL, NULL, "405 GET, HEAD, OPTIONS" }, /* what is not there does not count for 405 */
        { M_PUT, "/a", true, "::", NULL, NULL, NULL, "405 GET, HEAD, POST, OPTIONS" },
        { M_GET, "/n", false, "::ffff:10.9.9.9", NULL, NULL, NULL, "inside" },
        { M_GET, "/n", false, "::ffff:11.9.9.9", NULL, NULL, NULL, "any x=n" },  /* a weaker pattern, when the conditions fail */
        { M_GET, "/n", false, "fdff::1", NULL, NULL, NULL, "inside" },
        { M_GET, "/n", false, "::", NULL, NULL, NULL, "any x=n" },        /* a unix socket is in no network */
        { M_GET, "/q/1", false, "::", NULL, "", NULL, "debug x=1" },
        { M_GET, "/q/1", false, "::", NULL, NULL, "on", "rest x=1" },
        { M_GET, "/q/1", false, "::", NULL, NULL, NULL, "404" },
        { M_GET, "/r/ab", true, "::", NULL, NULL, NULL, "re-tls" },
        { M_GET, "/r/ab", false, "::", NULL, NULL, NULL, "re" },
};

struct moment { const char *x, *d, *c; unsigned asked; };

static struct span
moment_fact(void *ctx, struct span name)
{
        struct moment *m = ctx;

        m->asked++;
        return span_of(name.ptr[0] == 'x' ? m->x : name.ptr[0] == 'd' ? m->d : m->c);
}

START_TEST(conditions_choose)
{
        struct router *r = compile(conditions_site, sizeof(conditions_site) / sizeof(conditions_site[0]));
        struct moment now = { moments[_i].x, moments[_i].d, moments[_i].c, 0 };
        struct router_facts facts = { moment_fact, moment_fact, moment_fact, &now };
        struct router_query q = { .method = moments[_i].method, .tls = moments[_i].tls, .facts = &facts };
        char got[300];

        ck_assert_int_eq(inet_pton(AF_INET6, moments[_i].source, &q.source), 1);
        ck_assert_str_eq(answer(r, conditions_site, moments[_i].path, &q, got, sizeof(got)), moments[_i].expect);
        /* facts are asked for only by candidates that have such conditions */
        ck_assert(moments[_i].path[1] == 'a' || moments[_i].path[1] == 'q' || now.asked == 0);
        q.facts = NULL; /* every such condition fails */
        answer(r, conditions_site, moments[_i].path, &q, got, sizeof(got));
        ck_assert(strstr(got, "api") == NULL && strstr(got, "debug") == NULL && strstr(got, "rest") == NULL);
        router_free(r);
}
END_TEST

/* ---- a slash more or less ------------------------------------------------------------------------------------------------------------ */

static const struct route slashes_site[] = {
        { .path = "/strict", .methods = M_GET, .python = "strict" },
        { .path = "/r", .methods = M_GET, .python = "r", .trailing_slash = SLASH_REDIRECT },
        { .path = "/r/{x}/", .methods = M_GET, .python = "rx", .trailing_slash = SLASH_REDIRECT },
        { .path = "/i", .methods = M_GET, .python = "i", .trailing_slash = SLASH_IGNORE },
        { .path = "/i/{x}/", .methods = M_GET, .python = "ix", .trailing_slash = SLASH_IGNORE },
        { .path = "/d/{x:path}", .methods = M_GET, .python = "d", .trailing_slash = SLASH_IGNORE },
        { .path = "/both", .methods = M_GET, .python = "file", .trailing_slash = SLASH_REDIRECT },
        { .path = "/both/", .methods = M_POST, .python = "folder" },
        { .path = "~^/re$", .methods = M_GET, .python = "re", .trailing_slash = SLASH_IGNORE },
        { .path = "/app/x", .methods = M_GET, .python = "app-x", .trailing_slash = SLASH_REDIRECT },
        { .path = "/app/{rest:path}", .methods = M_ANY, .python = "mount", .fallback = true },
};
static const struct { uint32_t method; const char *path, *expect; } spellings[] = {
        { M_GET, "/strict/", "404" },
        { M_GET, "/r/", "308 r" },
        { M_HEAD, "/r/", "308 r" },
        { M_POST, "/r/", "404" },                      /* a redirect to a 405 helps nobody */
        { M_GET, "/r/1/", "rx x=1" },
        { M_GET, "/r/1", "308 rx" },
        { M_GET, "/i/", "i" },
        { M_POST, "/i/", "405 GET, HEAD, OPTIONS" },
        { M_OPTIONS, "/i/", "405 GET, HEAD, OPTIONS" },
        { M_GET, "/i/1", "ix x=1" },
        { M_GET, "/i//", "404" },                      /* one slash, not any number */
        { M_GET, "/d", "d x=" },
        { M_GET, "/d/", "d x=" },
        { M_GET, "/both/", "405 POST, OPTIONS" },      /* the path is known as it is */
        { M_POST, "/both/", "folder" },
        { M_GET, "/re/", "404" },                      /* a regex says itself what it takes */
        { M_GET, "/app/x/", "308 app-x" },             /* before the mount, which would only say 404 */
        { M_GET, "/app/y/", "mount rest=y/" },
        { M_GET, "/", "404" },
};

START_TEST(slash_at_the_end)
{
        struct router *r = compile(slashes_site, sizeof(slashes_site) / sizeof(slashes_site[0]));
        struct router_query q = { .method = spellings[_i].method };
        char got[300];

        ck_assert_str_eq(answer(r, slashes_site, spellings[_i].path, &q, got, sizeof(got)), spellings[_i].expect);
        router_free(r);
}
END_TEST

/* Values of the other spelling point into the path that was asked for. */
START_TEST(values_lie_in_the_path_that_was_asked_for)
{
        struct router *r = compile(slashes_site, sizeof(slashes_site) / sizeof(slashes_site[0]));
        struct router_scratch *s = router_scratch_new();
        struct router_query q = { .path = SPAN_LIT("/i/abc"), .method = M_GET };
        struct router_match m;

        ck_assert_int_eq(router_match(r, s, &q, &m), ROUTER_FOUND);
        ck_assert_ptr_eq(m.params[0].value.ptr, q.path.ptr + 3);
        q.path = SPAN_LIT("/d");
        ck_assert_int_eq(router_match(r, s, &q, &m), ROUTER_FOUND);
        ck_assert_ptr_eq(m.params[0].value.ptr, q.path.ptr + 2);
        ck_assert_uint_eq(m.params[0].value.len, 0);
        router_scratch_free(s);
        router_free(r);
}
END_TEST

/* ---- limits ------------------------------------------------------------------------------------------------------------------------- */

START_TEST(exploding_regex_fails_and_falls_through_to_nobody)
{
        static const struct route routes[] = {
                R("bomb", "~^/(?:a|aa)+$"), R("weaker", "~^/.*$"), R("bomb-in-segment", "/s/{x:re((a|aa)+)}"), R("str", "/s/{x}"),
                { .path = "/{rest:path}", .methods = M_ANY, .python = "mount", .fallback = true }, { .path = "~^/aa.*$", .methods = M_ANY, .python = "first", .first = true, .host = "h" },
        };
        struct router *r = compile(routes, 6);
        struct router_query q = { .method = M_GET };
        char path[4000], got[300];

        memset(path, 'a', sizeof(path));
        path[0] = '/';
        path[2999] = 'x';
        path[3000] = '\0';
        ck_assert_str_eq(answer(r, routes, path, &q, got, sizeof(got)), "500");
        /* OPTIONS goes on behind the route that it found, for the sake of `allow`; the bomb there takes nothing from it */
        q = (struct router_query){ .method = M_OPTIONS, .host = SPAN_LIT("h") };
        ck_assert_str_eq(answer(r, routes, path, &q, got, sizeof(got)), "first");
        q = (struct router_query){ .method = M_GET };
        memcpy(path, "/s/", 3);
        ck_assert_str_eq(answer(r, routes, path, &q, got, sizeof(got)), "500");
        ck_assert_str_eq(answer(r, routes, "/aaa", &q, got, sizeof(got)), "bomb");
        router_free(r);
}
END_TEST

START_TEST(long_segment_with_many_parameters_ends_soon)
{
        static const struct route routes[] = { R("many", "/{a}-{b:slug}-{c}-{d:int}-{e:slug}-{f}-{g:int}x") };
        struct router *r = compile(routes, 1);
        struct router_query q = { .method = M_GET };
        char path[6000], got[300];

        for (size_t i = 1; i < sizeof(path); i++)
                path[i] = i % 2 ? '-' : '1';
        path[0] = '/';
        path[4000] = '\0';
        ck_assert_str_eq(answer(r, routes, path, &q, got, sizeof(got)), "404");
        path[4000] = '-';
        path[5500] = 'x'; /* the literal at the end fits, so that the segment would have to be split */
        path[5501] = '\0';
        ck_assert_str_eq(answer(r, routes, path, &q, got, sizeof(got)), "500"); /* longer than ROUTER_SEGMENT_MAX */
        router_free(r);
}
END_TEST

/* Every level may be the literal or the parameter, and only one combination exists: the walk must come back from all the others. */
START_TEST(backtracking_finds_the_only_way)
{
        static const struct route routes[] = {
                R("1", "/a/a/a/a/a/x"), R("2", "/a/a/a/a/{p}/y"), R("3", "/a/a/a/{p}/a/z"), R("4", "/a/a/{p}/a/a/w"), R("5", "/a/{p}/a/a/a/v"), R("6", "/{p}/a/a/a/a/u"),
        };
        struct router *r = compile(routes, 6);
        struct router_query q = { .method = M_GET };
        char got[300];

        ck_assert_str_eq(answer(r, routes, "/a/a/a/a/a/u", &q, got, sizeof(got)), "6 p=a");
        ck_assert_str_eq(answer(r, routes, "/a/a/a/a/a/w", &q, got, sizeof(got)), "4 p=a");
        ck_assert_str_eq(answer(r, routes, "/a/a/a/a/a/q", &q, got, sizeof(got)), "404");
        router_free(r);
}
END_TEST

START_TEST(no_route_at_all)
{
        struct router *r = compile(NULL, 0);
        struct router_query q = { .method = M_GET };
        char got[300];

        ck_assert_str_eq(answer(r, NULL, "/", &q, got, sizeof(got)), "404");
        router_free(r);
}
END_TEST

START_TEST(many_regexes_keep_the_order_of_the_file)
{
        static const struct route routes[] = { R("0", "~^/ab(?<x>c)?d$"), R("1", "~^/a.*$"), R("2", "~^/abcd$"), R("3", "~^/(?<y>.*)$"), R("4", "~^/zz?$") };
        struct router *r = compile(routes, 5);
        struct router_query q = { .method = M_GET };
        char got[300];

        ck_assert_str_eq(answer(r, routes, "/abcd", &q, got, sizeof(got)), "0 x=c");
        ck_assert_str_eq(answer(r, routes, "/abd", &q, got, sizeof(got)), "0 x=");
        ck_assert_str_eq(answer(r, routes, "/abx", &q, got, sizeof(got)), "1");
        ck_assert_str_eq(answer(r, routes, "/z", &q, got, sizeof(got)), "3 y=z");
        router_free(r);
}
END_TEST

/* ---- the trie against the naive matcher ------------------------------------------------------------------------------------------------ */

static uint64_t seed;

static uint32_t
pick(uint32_t n)
{
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        return (uint32_t)((seed >> 16) % n);
}

/* A small vocabulary, so that routes and paths meet often. */
static const char *const words[] = { "a", "b", "ab", "abc", "a-b", "1", "12", "-1", "1.5", "true", "x.y", "new", "file-1", "file-ab.json", "0a0b", "", "a%2Fb" };
static const char *const segments[] = {
        "{%c}", "{%c}", "{%c:int}", "{%c:float}", "{%c:bool}", "{%c:slug}", "{%c:re(\\d+)}", "{%c:re([0-9a-f]{4})}", "{%c:re(a|ab|1)}", "{%c:re([a-c]+)}",
        "a{%c}", "ab{%c}", "{%c}b", "{%c}.json", "file-{%c}", "file-{%c:int}", "file-{%c}.json", "a-{%c:slug}", "-{%c:int}", "{%c:int}.5",
};
static const char *const doubles[] = { "{%c}-{%c}", "{%c:int}.{%c:int}", "{%c}-{%c:re(\\d+)}", "a{%c}b{%c:slug}c", "{%c:slug}-{%c}", "{%c:float}-{%c:float}", "{%c:re(a|1.)}-{%c}" };
static const char *const regexes[] = { "~^/(?<q>a|b)+$", "~^/(?<q>ab|abc)(?<s>/|-).*$", "~^/(?:a|1)\\d?(?:/.*)?$", "~^/[ab]+(?=/|$).*$", "~^/(?<q>a)\\1?$", "~^/(?i)A(?<q>.?)$", "~^/(?<s>.)(?<q>.).*$",
        "~^/(?<q>.+)/.+/.+$", "~^/(?:.|..)$", "~^/a(?<q>.*)$", "~^/(?<q>[^/]+)/b$", "~^/ab?$", "~.*/12", "~^/a/(?<q>\\d+)/(?<s>.*)$", "~^/file-(?<q>.*)$", "~^/ab|/b$" };
#define PICK(list) (list)[pick(sizeof(list) / sizeof((list)[0]))]

/* Many edges with prefixes at one node, and prefixes of prefixes among them. */
static const char *const prefixes[] = { "a", "ab", "aba", "abab", "b", "ba", "bab", "abc", "abb", "bb", "baa", "aa", "abababababababababa" };
static const char *const tails[] = { "{p}", "{p:int}", "{p}.js", "{p}b", "{p:slug}", "" }, *const ends[] = { "1", "a", "b", "1.js", "ab", "a.js", "" };
static bool dense;

static void
generate_path(char *out, size_t room, bool pattern)
{
        unsigned depth = 1 + pick(4), name = 'p';
        size_t n = 0;

        if (dense && pick(8) != 0) {
                snprintf(out, room, "/%s%s%s", PICK(prefixes), pattern ? PICK(tails) : PICK(ends), pick(3) ? "" : pattern && pick(2) ? "/{q}" : "/1");
                return;
        }

        if (pattern && pick(12) == 0) {
                snprintf(out, room, "%s", PICK(regexes));
                return;
        }
        for (unsigned i = 0; i < depth; i++) {
                out[n++] = '/';
                if (pattern && pick(2) == 0) {
                        bool two = pick(5) == 0, last = i + 1 == depth && pick(5) == 0;
                        const char *form = last ? "{%c:path}" : two ? PICK(doubles) : PICK(segments);

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
                        n += (size_t)snprintf(out + n, room - n, form, name, name + 1);
#pragma GCC diagnostic pop
                        name += 1 + two;
                } else {
                        n += (size_t)snprintf(out + n, room - n, "%s%s", PICK(words), !pattern && pick(3) == 0 ? PICK(words) : "");
                }
        }
        out[n] = '\0';
}

static const char *const hosts[] = { NULL, NULL, NULL, "www.example.com", "*.example.com", "*.com" };
static const char *const ons[] = { NULL, NULL, NULL, ":8080::", "127.0.0.1::", "127.0.0.1:8080::" };
enum { SET_ROUTES = 40 };
struct set { struct route routes[SET_ROUTES]; struct naive_route naive[SET_ROUTES]; char text[SET_ROUTES][200]; size_t count; struct router *router; };

/* ---- conditions and what they are asked about ---- */

struct world { const char *x, *d, *c; bool tls, ten; }; /* header x, query d, cookie c; NULL: not there. ten: the client is in 10.0.0.0/8 */

static struct span
world_header(void *ctx, struct span name)
{
        const struct world *w = ctx;

        return span_is(name, SPAN_LIT("x")) ? span_of(w->x) : (struct span){ NULL, 0 };
}

static struct span
world_query(void *ctx, struct span name)
{
        const struct world *w = ctx;

        return span_is(name, SPAN_LIT("d")) ? span_of(w->d) : (struct span){ NULL, 0 };
}

static struct span
world_cookie(void *ctx, struct span name)
{
        const struct world *w = ctx;

        return span_is(name, SPAN_LIT("c")) ? span_of(w->c) : (struct span){ NULL, 0 };
}

static const char *name_x[] = { "x" }, *name_d[] = { "d" }, *name_c[] = { "c" }, *value_one[] = { "1" }, *value_any[] = { "*" };
static const struct route_net net_ten = { { .s6_addr = { [10] = 0xff, [11] = 0xff, [12] = 10 } }, 104 };

static void
when_pick(struct route_when *w)
{
        if (pick(3) == 0)
                w->scheme = pick(2) ? WHEN_HTTP : WHEN_HTTPS;
        if (pick(4) == 0) {
                w->nets = &net_ten;
                w->net_count = 1;
        }
        if (pick(3) == 0)
                w->headers = (struct key_map){ name_x, pick(2) ? value_one : value_any, 1 };
        if (pick(4) == 0)
                w->query = (struct key_map){ name_d, pick(2) ? value_one : value_any, 1 };
        if (pick(4) == 0)
                w->cookies = (struct key_map){ name_c, pick(2) ? value_one : value_any, 1 };
}

static bool
one_holds(const struct key_map *m, const char *have)
{
        return m->count == 0 || (have != NULL && (m->values[0][0] == '*' || strcmp(m->values[0], have) == 0));
}

static bool
all_hold(const struct route_when *w, const struct world *now)
{
        return (w->scheme == WHEN_ANY || (w->scheme == WHEN_HTTPS) == now->tls) && (w->net_count == 0 || now->ten) && one_holds(&w->headers, now->x) &&
               one_holds(&w->query, now->d) && one_holds(&w->cookies, now->c);
}

/* Adds a route unless it clashes with those before it. */
static bool
set_try(struct set *s, bool selectors)
{
        struct route *r = &s->routes[s->count];
        struct naive_route *n = &s->naive[s->count];
        struct diags d;
        struct router *test;
        int e;

        memset(r, 0, sizeof(*r));
        generate_path(s->text[s->count], sizeof(s->text[0]), true);
        r->path = s->text[s->count];
        r->methods = pick(2) ? M_ANY : 1 + pick(127);
        r->first = r->path[0] == '~' && pick(4) == 0;
        r->fallback = pick(10) == 0;
        if (pick(3) == 0)
                r->trailing_slash = pick(3);
        if (selectors && pick(3) == 0)
                when_pick(&r->when);
        if (s->count > 0 && selectors && pick(6) == 0) { /* the same pattern, and other conditions */
                memcpy(s->text[s->count], s->text[pick((uint32_t)s->count)], sizeof(s->text[0]));
                when_pick(&r->when);
        }
        if (selectors) {
                r->host = PICK(hosts);
                r->on = PICK(ons);
        }
        diags_init(&d);
        e = router_compile(s->routes, s->count + 1, NULL, &d, &test);
        diags_fini(&d);
        if (e < 0)
                return false;
        router_free(test);
        naive_parse(n, r);
        n->has_addr = r->on != NULL && r->on[0] != ':';
        n->has_port = r->on != NULL && strstr(r->on, ":8080") != NULL;
        n->host_kind = r->host == NULL ? 0 : r->host[0] == '*' ? 1 : 2;
        n->host_len = r->host != NULL ? strlen(r->host) : 0;
        s->count++;
        return true;
}

static bool
takes_host(const char *rule, const char *host)
{
        size_t n, h = strlen(host);

        if (rule == NULL)
                return true;
        if (rule[0] != '*')
                return strcmp(rule, host) == 0;
        n = strlen(rule + 1);
        return h > n && strcmp(host + h - n, rule + 1) == 0;
}

static void
compare(struct set *s, struct router_scratch *scratch, const char *path, bool selectors)
{
        static const char *const asked[] = { "", "www.example.com", "a.b.example.com", "x.com", "com" };
        const char *host = selectors ? PICK(asked) : "";
        struct router_query q = { .path = span_of(path), .host = span_of(host), .method = 1u << pick(8), .local = { .port = selectors && pick(2) ? 8080 : 80 } };
        bool local = selectors && pick(2), selected[SET_ROUTES];
        static const char *const there[] = { NULL, "1", "2", "" };
        struct world now = { PICK(there), PICK(there), PICK(there), pick(2), pick(2) };
        struct router_facts facts = { world_header, world_query, world_cookie, &now };
        struct router_match m;
        struct naive_values values = { .count = 0 };
        enum router_verdict got, want;
        size_t route = 0;
        uint32_t allow = 0;

        q.tls = now.tls;
        q.facts = &facts;
        inet_pton(AF_INET6, now.ten ? "::ffff:10.1.2.3" : "::ffff:11.0.0.1", &q.source);
        inet_pton(AF_INET6, local ? "::ffff:127.0.0.1" : "::ffff:10.0.0.1", &q.local.addr);
        for (size_t i = 0; i < s->count; i++)
                selected[i] = all_hold(&s->routes[i].when, &now) && takes_host(s->routes[i].host, host) && (!s->naive[i].has_addr || local) && (!s->naive[i].has_port || q.local.port == 8080);
        got = router_match(s->router, scratch, &q, &m);
        want = naive_match(s->naive, s->count, selected, q.path, q.method, &route, &allow, &values);
        ck_assert_msg(got == want, "%s method %u host %s: verdict %d, naive %d (%s)", path, q.method, host, (int)got, (int)want,
                      want == ROUTER_FOUND ? s->routes[route].path : got == ROUTER_FOUND ? s->routes[m.route].path : "");
        if (got == ROUTER_METHOD || (got == ROUTER_FOUND && q.method == M_OPTIONS))
                ck_assert_msg(m.allow == allow, "%s method %u: allow %x, naive %x", path, q.method, m.allow, allow);
        if (got != ROUTER_FOUND && got != ROUTER_SLASH)
                return;
        ck_assert_msg(m.route == route, "%s method %u: %s, naive %s", path, q.method, s->routes[m.route].path, s->routes[route].path);
        ck_assert_int_eq(m.param_count, (uint32_t)values.count);
        for (int i = 0; i < values.count; i++)
                ck_assert_msg(span_is(m.params[i].value, values.list[i]), "%s by %s: parameter %d is \"%.*s\", naive \"%.*s\"", path, s->routes[route].path, i,
                              (int)m.params[i].value.len, m.params[i].value.ptr, (int)values.list[i].len, values.list[i].ptr);
}

enum { SETS = 1250, PATHS = 800, PARTS = 5 }; /* a million pairs */

START_TEST(trie_agrees_with_naive)
{
        struct router_scratch *scratch = router_scratch_new();
        struct set *s = calloc(1, sizeof(*s));
        const char *given = getenv("HEART_TEST_SEED");

        seed = UINT64_C(0x9e3779b97f4a7c15) * (uint64_t)(_i + 1) + (given != NULL ? strtoull(given, NULL, 10) : 0);
        for (unsigned k = 0; k < SETS / PARTS; k++) {
                bool selectors = pick(2);
                unsigned wanted = 1 + pick(SET_ROUTES);

                dense = pick(5) == 0;
                s->count = 0;
                for (unsigned i = 0; i < wanted; i++)
                        set_try(s, selectors);
                s->router = compile(s->routes, s->count);
                for (unsigned i = 0; i < PATHS; i++) {
                        char path[200];

                        generate_path(path, sizeof(path), false);
                        compare(s, scratch, path, selectors);
                }
                router_free(s->router);
                for (size_t i = 0; i < s->count; i++)
                        naive_forget(&s->naive[i]);
        }
        free(s);
        router_scratch_free(scratch);
}
END_TEST

#define COUNT(list) (int)(sizeof(list) / sizeof((list)[0]))

int
main(void)
{
        Suite *suite = suite_create("match");
        TCase *tables = tcase_create("tables"), *limits = tcase_create("limits"), *random = tcase_create("random");

        tcase_add_loop_test(tables, path_finds_its_route, 0, COUNT(precedence));
        tcase_add_loop_test(tables, method_finds_its_route, 0, COUNT(methods));
        tcase_add_loop_test(tables, selector_finds_its_route, 0, COUNT(arrivals));
        tcase_add_loop_test(tables, conditions_choose, 0, COUNT(moments));
        tcase_add_loop_test(tables, slash_at_the_end, 0, COUNT(spellings));
        tcase_add_test(tables, values_lie_in_the_path_that_was_asked_for);
        tcase_add_test(tables, no_route_at_all);
        tcase_add_test(tables, many_regexes_keep_the_order_of_the_file);
        tcase_add_test(limits, exploding_regex_fails_and_falls_through_to_nobody);
        tcase_add_test(limits, long_segment_with_many_parameters_ends_soon);
        tcase_add_test(limits, backtracking_finds_the_only_way);
        tcase_add_loop_test(random, trie_agrees_with_naive, 0, PARTS);
        tcase_set_timeout(random, 120);
        suite_add_tcase(suite, tables);
        suite_add_tcase(suite, limits);
        suite_add_tcase(suite, random);
        return run_suite(suite);
}
