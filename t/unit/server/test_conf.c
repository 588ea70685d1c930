/* test_conf.c - conf.c, conf_address.c, conf_rules.c: routes.yaml as structs. What people are told is in t/golden. SPDX-License-Identifier: MIT */
#include "../../../server/conf.h"

#include <arpa/inet.h>
#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/un.h>

#include "../../../server/conf_priv.h"
#include "../../../server/log.h"
#include "t/unit/run.h"

static struct arena *arena;
static struct diags diags;
static struct sources sources;
static struct conf conf;

static void
setup(void)
{
        arena = arena_new();
        diags_init(&diags);
        sources_init(&sources);
        memset(&conf, 0, sizeof(conf));
}

static void
teardown(void)
{
        sources_fini(&sources);
        diags_fini(&diags);
        arena_free(arena);
}

static int
load(const char *text)
{
        ck_assert_int_eq(sources_add(&sources, "/srv/site/routes.yaml", text, strlen(text)), 0);
        sources.complete = true;
        return conf_load(&sources, arena, &diags, NULL, &conf);
}

/* Loads and expects no finding. */
static void
loads(const char *text)
{
        int r = load(text);
        char *said = diags_format(&diags);

        ck_assert_msg(r == 0 && diags.count == 0, "%s", said);
        free(said);
}

#define OK_ROUTE "routes: [{path: /, respond: {body: ok}}]\n"

START_TEST(a_small_file_has_every_default)
{
        loads("listen: 8080\n" OK_ROUTE);
        ck_assert_str_eq(conf.file, "/srv/site/routes.yaml");
        ck_assert_str_eq(conf.base_dir, "/srv/site");
        ck_assert_str_eq(conf.control, "/srv/site/run/heart.sock");
        ck_assert_ptr_null(conf.user);
        ck_assert_uint_eq(conf.workers.processes, 0);
        ck_assert_uint_eq(conf.workers.loops, 1);
        ck_assert_uint_eq(conf.workers.blocking, 4);
        ck_assert_uint_eq(conf.workers.connections, 16384);
        ck_assert_uint_eq(conf.queue.size, 1024);
        ck_assert_uint_eq(conf.queue.timeout_ms, 2000);
        ck_assert_uint_eq(conf.limits.request_line, 8192);
        ck_assert_uint_eq(conf.limits.header, 16384);
        ck_assert_uint_eq(conf.limits.header_count, 100);
        ck_assert_uint_eq(conf.limits.body, 10u << 20);
        ck_assert_uint_gt(conf.limits.body_buffer, conf.limits.body); /* all that is let in */
        ck_assert_ptr_null(conf.spool.path);
        ck_assert_uint_eq(conf.spool.size, 4ull << 30);
        ck_assert_uint_eq(conf.limits.header_timeout_ms, 10000);
        ck_assert_uint_eq(conf.limits.body_min_rate, 1024);
        ck_assert_uint_eq(conf.limits.handler_timeout_ms, 30000);
        ck_assert_uint_eq(conf.limits.send_timeout_ms, 30000);
        ck_assert_uint_eq(conf.limits.keep_alive.timeout_ms, 15000);
        ck_assert_uint_eq(conf.limits.keep_alive.requests, 0);
        ck_assert_uint_eq(conf.limits.tls_handshake_timeout_ms, 5000);
        ck_assert_uint_eq(conf.drain_timeout_ms, 30000);
        ck_assert_ptr_null(conf.logs.access.path);
        ck_assert_str_eq(conf.logs.error.path, "-");
        ck_assert_uint_eq(conf.logs.error.level, LOG_LEVEL_INFO);
        ck_assert_uint_eq(conf.apps.count, 0);
        ck_assert_uint_eq(conf_route_at(&conf, 0)->methods, M_ANY);
        ck_assert_uint_eq(conf_route_at(&conf, 0)->body, UINT64_MAX);
        ck_assert_uint_eq(conf_route_at(&conf, 0)->body_buffer, UINT64_MAX);
        ck_assert_uint_eq(conf_route_at(&conf, 0)->body_min_rate, UINT64_MAX);
        ck_assert_int_eq(conf_route_at(&conf, 0)->action, ROUTE_RESPOND);
        ck_assert_uint_eq(conf_route_at(&conf, 0)->app_index, UINT32_MAX);
}
END_TEST

START_TEST(bodies_are_buffered_and_spooled_as_said)
{
        loads("listen: 8080\nlimits: {body_buffer: 0}\nspool: {path: bodies, size: 10m}\n"
              "routes: [{path: /a, respond: {body: ok}, body_buffer: 64k, body_min_rate: 0}, {path: /b, respond: {body: ok}, body_buffer: 0}]\n");
        ck_assert_uint_eq(conf.limits.body_buffer, 0);
        ck_assert_str_eq(conf.spool.path, "/srv/site/bodies");
        ck_assert_uint_eq(conf.spool.size, 10u << 20);
        ck_assert_uint_eq(conf_route_at(&conf, 0)->body_buffer, 65536);
        ck_assert_uint_eq(conf_route_at(&conf, 0)->body_min_rate, 0);
        ck_assert_uint_eq(conf_route_at(&conf, 1)->body_buffer, 0);
        ck_assert_uint_eq(conf_route_at(&conf, 1)->body_min_rate, UINT64_MAX);
}
END_TEST

START_TEST(a_listener_has_the_limits_of_all_but_for_its_own)
{
        const struct conf_limits *own, *none;

        loads("limits: {header: 4k, body: 7k, keep_alive: {timeout: 3s, requests: 9}}\n"
              "listen: [{address: 8080, limits: {header: 2k, keep_alive: {requests: 5}}}, 8081]\n" OK_ROUTE);
        own = &conf_listener_at(&conf, 0)->limits;
        none = &conf_listener_at(&conf, 1)->limits;
        ck_assert_uint_eq(own->header, 2048);
        ck_assert_uint_eq(own->body, 7168);
        ck_assert_uint_eq(own->header_count, 100);
        ck_assert_uint_eq(own->keep_alive.timeout_ms, 3000);
        ck_assert_uint_eq(own->keep_alive.requests, 5);
        ck_assert_uint_eq(none->header, 4096);
        ck_assert_uint_eq(none->keep_alive.requests, 9);
}
END_TEST

static const struct { const char *text, *name; int family; unsigned port; bool any; } addresses[] = {
        { "8080", "*:8080", AF_INET6, 8080, true },
        { "*:80", "*:80", AF_INET6, 80, true },
        { "127.0.0.1:8080", "127.0.0.1:8080", AF_INET, 8080, false },
        { "0.0.0.0:65535", "0.0.0.0:65535", AF_INET, 65535, false },
        { "[::1]:8080", "[::1]:8080", AF_INET6, 8080, false },
        { "[::]:8443", "[::]:8443", AF_INET6, 8443, false },
        { "[0:0:0::1]:1", "[::1]:1", AF_INET6, 1, false }, /* one name for one socket */
        { "unix:/run/x.sock", "unix:/run/x.sock", AF_UNIX, 0, false },
        { "unix:run/x.sock", "unix:/base/run/x.sock", AF_UNIX, 0, false },
};

START_TEST(addresses_become_sockaddrs)
{
        struct conf_listener l = { 0 };
        const char *why = NULL, *hint = NULL;

        ck_assert_int_eq(address_parse(span_of(addresses[_i].text), "/base", arena, &l, &why, &hint), 0);
        ck_assert_str_eq(l.name, addresses[_i].name);
        ck_assert_int_eq(l.addr.ss_family, addresses[_i].family);
        ck_assert_int_eq(l.any, addresses[_i].any);
        if (l.addr.ss_family == AF_INET)
                ck_assert_uint_eq(ntohs(((struct sockaddr_in *)&l.addr)->sin_port), addresses[_i].port);
        else if (l.addr.ss_family == AF_INET6)
                ck_assert_uint_eq(ntohs(((struct sockaddr_in6 *)&l.addr)->sin6_port), addresses[_i].port);
        else
                ck_assert_str_eq(((struct sockaddr_un *)&l.addr)->sun_path, addresses[_i].name + 5);
        ck_assert_uint_gt(l.addr_len, 0);
}
END_TEST

static const char *const bad_addresses[] = { "", "0", "65536", "99999999", "-1", "80a", "a", "127.0.0.1", "127.0.0.1:", "127.0.0.1:0", "256.0.0.1:80", "1.2.3:80", "::1:80",
                                             "[::1]", "[::1]80", "[::g]:80", "[127.0.0.1]:80", "localhost:80", ":80", "unix:", "[", "]:80", "[]:80", "[fe80::1%eth0]:80" };

START_TEST(bad_addresses_are_refused)
{
        struct conf_listener l = { 0 };
        const char *why = NULL, *hint = NULL;

        ck_assert_int_eq(address_parse(span_of(bad_addresses[_i]), "/base", arena, &l, &why, &hint), -EINVAL);
        ck_assert_ptr_nonnull(why);
        ck_assert_ptr_null(l.name); /* untouched */
}
END_TEST

static const struct { const char *a, *b; bool overlap; } pairs[] = {
        { "8080", "8080", true },           { "8080", "*:8080", true },             { "8080", "127.0.0.1:8080", true }, { "8080", "[::1]:8080", true },
        { "8080", "8081", false },          { "127.0.0.1:80", "127.0.0.2:80", false }, { "0.0.0.0:80", "127.0.0.1:80", true },
        { "0.0.0.0:80", "[::1]:80", false }, { "0.0.0.0:80", "[::]:80", false },    { "[::]:80", "[::1]:80", true },    { "unix:/a", "unix:/a", true },
        { "unix:/a", "unix:/b", false },    { "unix:/a", "80", false },
};

START_TEST(listeners_that_cannot_both_be_bound_are_known)
{
        struct conf_listener a = { 0 }, b = { 0 };
        const char *why, *hint;

        ck_assert_int_eq(address_parse(span_of(pairs[_i].a), "/", arena, &a, &why, &hint), 0);
        ck_assert_int_eq(address_parse(span_of(pairs[_i].b), "/", arena, &b, &why, &hint), 0);
        ck_assert_int_eq(address_overlaps(&a, &b), pairs[_i].overlap);
        ck_assert_int_eq(address_overlaps(&b, &a), pairs[_i].overlap);
}
END_TEST

START_TEST(listen_has_several_shapes)
{
        const struct conf_certificate *c;

        loads("listen:\n  - 8080\n  - address: \"[::]:8443\"\n    tls: {certificates: [{hosts: [Example.COM, \"*.example.com\"], cert: tls/a.pem, key: /k.pem}]}\n" OK_ROUTE);
        ck_assert_uint_eq(conf.listeners.count, 2);
        ck_assert(!conf_listener_at(&conf, 0)->has_tls);
        ck_assert(conf_listener_at(&conf, 1)->has_tls);
        ck_assert_uint_eq(conf_listener_at(&conf, 1)->place.line, 3);
        c = conf_listener_at(&conf, 1)->tls.certificates.list;
        ck_assert_str_eq(c->hosts.list[0], "example.com"); /* lower case */
        ck_assert_str_eq(c->cert, "/srv/site/tls/a.pem");
        ck_assert_str_eq(c->key, "/k.pem");
        ck_assert_uint_eq(c->cert_place.line, 4);
        ck_assert_uint_gt(c->key_place.col, c->cert_place.col);
}
END_TEST

START_TEST(apps_are_finished)
{
        const struct conf_app *a;

        loads("listen: 8080\nuser: nobody\napps:\n  shop: {wsgi: shop.wsgi, venv: venv, env: {TZ: UTC}}\n  api: {heart: \"api:app\", path: code, threads: 9, python: /opt/py}\n"
              "routes: [{path: /, app: shop}]\n");
        a = conf_app_at(&conf, 0);
        ck_assert_str_eq(a->name, "shop");
        ck_assert_int_eq(a->kind, APP_WSGI);
        ck_assert_str_eq(a->target, "shop.wsgi:application");
        ck_assert_str_eq(a->path, "/srv/site");
        ck_assert_str_eq(a->venv, "/srv/site/venv");
        ck_assert_str_eq(a->python, "/srv/site/venv/bin/python3");
        ck_assert_uint_eq(a->threads, 1);
        ck_assert_uint_eq(a->processes, 0);
        ck_assert_uint_eq(a->timeout_kill_ms, 5000);
        ck_assert_uint_eq(a->start_timeout_ms, 30000);
        ck_assert_uint_eq(a->queue.size, 256);
        ck_assert_uint_eq(a->queue.timeout_ms, 2000);
        ck_assert_str_eq(a->env.keys[0], "TZ");
        a = conf_app_at(&conf, 1);
        ck_assert_int_eq(a->kind, APP_HEART);
        ck_assert_str_eq(a->path, "/srv/site/code");
        ck_assert_str_eq(a->python, "/opt/py");
        ck_assert_uint_eq(a->threads, 9);
        ck_assert_uint_eq(conf_route_at(&conf, 0)->app_index, 0);
}
END_TEST

START_TEST(python_routes_bring_their_app)
{
        loads("listen: 8080\napps: {shop: {wsgi: \"a:b\"}}\nroutes: [{path: /, app: shop}, {path: /p, python: \"m:f\"}]\n");
        ck_assert_uint_eq(conf.apps.count, 2);
        ck_assert_str_eq(conf_app_at(&conf, 1)->name, "python");
        ck_assert_int_eq(conf_app_at(&conf, 1)->kind, APP_PYTHON);
        ck_assert_ptr_null(conf_app_at(&conf, 1)->target);
        ck_assert_uint_eq(conf_app_at(&conf, 1)->threads, 4);
        ck_assert_uint_eq(conf_app_at(&conf, 1)->queue.size, 256);
        ck_assert_uint_eq(conf_route_at(&conf, 0)->app_index, 0);
        ck_assert_uint_eq(conf_route_at(&conf, 1)->app_index, 1);
}
END_TEST

START_TEST(an_entry_named_python_sets_its_options)
{
        loads("listen: 8080\napps: {python: {processes: 3}}\nroutes: [{path: /p, python: \"m:f\"}]\n");
        ck_assert_uint_eq(conf.apps.count, 1);
        ck_assert_int_eq(conf_app_at(&conf, 0)->kind, APP_PYTHON);
        ck_assert_uint_eq(conf_app_at(&conf, 0)->processes, 3);
}
END_TEST

START_TEST(an_entry_named_python_that_nobody_needs_is_not_started)
{
        ck_assert_int_eq(load("listen: 8080\napps: {a: {heart: \"a:a\"}, python: {processes: 3}, z: {heart: \"z:z\"}}\n"), 0);
        ck_assert_uint_eq(diags.warning_count, 1);
        ck_assert_uint_eq(conf.apps.count, 2);
        ck_assert_str_eq(conf_app_at(&conf, 1)->name, "z");
}
END_TEST

START_TEST(a_native_app_needs_no_routes)
{
        loads("listen: 8080\napps: {api: {heart: \"api:app\"}}\n");
        ck_assert_uint_eq(conf.routes.count, 0);
}
END_TEST

static const struct { const char *text, *finding; } bad[] = {
        { "listen: 8080\n", "there is nothing to serve" },
        { "listen: 8080\nroutes: []\n", "there is nothing to serve" },
        { OK_ROUTE, "\"listen\" is missing" },
        { "listen: []\n" OK_ROUTE, "\"listen\" is empty: there is nowhere to listen" },
        { "listen: 8080\nrouets: []\n" OK_ROUTE, "unknown key \"rouets\"" },
        { "listen: [8080, 8080]\n" OK_ROUTE, "duplicate listener \"*:8080\"" },
        { "listen: [8080, \"127.0.0.1:8080\"]\n" OK_ROUTE, "listener \"127.0.0.1:8080\" overlaps \"*:8080\": both cannot be bound" },
        { "listen: 8080\nroutes: [{path: /, app: nobody}]\n", "unknown app \"nobody\"" },
        { "listen: 8080\nroutes: [{path: /}]\n", "route \"/\" does nothing" },
        { "listen: 8080\nroutes: [{path: /, respond: {}, python: \"a:b\"}]\n", "a route does one thing, this one has \"python\" beside \"respond\"" },
        { "listen: 8080\napps: {python: {wsgi: \"a:b\"}}\nroutes: [{path: /, python: \"a:b\"}]\n", "app \"python\" serves the \"python\" routes and cannot be another app" },
        { "listen: 8080\napps: {a: {}}\n" OK_ROUTE, "app \"a\" does not say what to run" },
        { "listen: 8080\napps: {a: {wsgi: \"a:b\", heart: \"a:b\"}}\n" OK_ROUTE, "app \"a\" has both \"wsgi\" and \"heart\": it can be only one of them" },
        { "listen: 8080\napps: {a/b: {wsgi: \"a:b\"}}\n" OK_ROUTE, "\"a/b\" is no name for an app: letters, digits, '.', '_' and '-', at most 64" },
        { "listen: 8080\napps: {a: {wsgi: \"a:b\", root_path: a}}\n" OK_ROUTE, "\"root_path\" wants a plain path such as /shop, without a slash at its end, found \"a\"" },
        { "listen: 8080\napps: {a: {wsgi: \"a:b\", root_path: /}}\n" OK_ROUTE, "\"root_path\" wants a plain path such as /shop, without a slash at its end, found \"/\"" },
        { "listen: 8080\napps: {a: {wsgi: \"a:b\", env: {HEART_CONTROL_FD: 3}}}\n" OK_ROUTE, "\"env\" cannot set \"HEART_CONTROL_FD\"" },
        { "listen: 8080\nasgi: x\n" OK_ROUTE, "unknown key \"asgi\"" },
};

START_TEST(rules_between_keys)
{
        bool found = false;

        ck_assert_int_eq(load(bad[_i].text), -EINVAL);
        for (size_t i = 0; i < diags.count; i++)
                found |= diags.list[i].level == DIAG_ERROR && strcmp(diags.list[i].text, bad[_i].finding) == 0;
        ck_assert_msg(found, "%s", diags.list[0].text);
        ck_assert_uint_eq(diags.error_count, 1); /* one mistake, one finding */
}
END_TEST

static const struct { const char *host; bool valid; } hosts[] = {
        { "example.com", true }, { "*.example.com", true }, { "a", true }, { "xn--bcher-kva.example", true }, { "192.0.2.1", true }, { "a-b.c", true },
        { "*", false }, { "*.", false }, { "", false }, { ".a", false }, { "a.", false }, { "a..b", false }, { "-a.b", false }, { "a-.b", false }, { "a b", false },
        { "a:80", false }, { "x.*.y", false }, { "http://a", false },
};

START_TEST(hosts_of_certificates_are_names)
{
        char text[256];

        snprintf(text, sizeof(text), "listen: {address: 1, tls: {certificates: [{hosts: \"%s\", cert: a, key: b}]}}\n" OK_ROUTE, hosts[_i].host);
        ck_assert_int_eq(load(text), hosts[_i].valid ? 0 : -EINVAL);
}
END_TEST

START_TEST(a_long_control_path_is_a_finding)
{
        char text[300] = "listen: 8080\n" OK_ROUTE "control: /";

        memset(text + strlen(text), 'x', 120);
        ck_assert_int_eq(load(text), -EINVAL);
        ck_assert_ptr_nonnull(strstr(diags.list[0].text, "107 bytes"));
}
END_TEST

START_TEST(schema_and_manual_are_made)
{
        char *schema = conf_schema(), *manual = conf_manual();

        ck_assert_ptr_nonnull(strstr(schema, "\"handler_timeout\""));
        ck_assert_ptr_nonnull(strstr(manual, ".B limits.keep_alive.requests\n"));
        ck_assert_ptr_null(strstr(schema, "%s"));
        free(schema);
        free(manual);
}
END_TEST

int
main(void)
{
        Suite *s = suite_create("conf");
        TCase *t = tcase_create("conf");

        suite_add_tcase(s, t);
        tcase_add_checked_fixture(t, setup, teardown);
        tcase_add_test(t, a_small_file_has_every_default);
        tcase_add_test(t, bodies_are_buffered_and_spooled_as_said);
        tcase_add_test(t, a_listener_has_the_limits_of_all_but_for_its_own);
        LOOP(t, addresses_become_sockaddrs, addresses);
        LOOP(t, bad_addresses_are_refused, bad_addresses);
        LOOP(t, listeners_that_cannot_both_be_bound_are_known, pairs);
        tcase_add_test(t, listen_has_several_shapes);
        tcase_add_test(t, apps_are_finished);
        tcase_add_test(t, python_routes_bring_their_app);
        tcase_add_test(t, an_entry_named_python_sets_its_options);
        tcase_add_test(t, an_entry_named_python_that_nobody_needs_is_not_started);
        tcase_add_test(t, a_native_app_needs_no_routes);
        LOOP(t, rules_between_keys, bad);
        LOOP(t, hosts_of_certificates_are_names, hosts);
        tcase_add_test(t, a_long_control_path_is_a_finding);
        tcase_add_test(t, schema_and_manual_are_made);
        return run_suite(s);
}
