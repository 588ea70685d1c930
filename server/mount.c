/* mount.c - what native apps reported joins the routes of the file.
 * SPDX-License-Identifier: MIT
 * From: conf.routes and the report of each app (JSON, "The report" in workers/README.md).   To: router_compile, by way of g->routes.
 * Runs in: whoever builds a generation.
 * A MOUNT is a route whose path ends in /{x:path} and whose app is native: the app's own routes take its place, each below its prefix, with its host, listener and limits.
 * What is left of the mount is a fallback for the app's own 404 page; without such a page it goes, and the answer is a plain 404. While an app has no report (it did not
 * start) its mount stands for all of it and is answered with 503. A native app that no route names is mounted at /. */
#include "generation_priv.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "cors.h"
#include "reported.h"

struct mounting {
        struct generation *g;
        struct diags *diags;
        struct route *list; /* in the making, malloc'ed */
        size_t count, room;
        bool bad;
        const struct json_value **reports; /* by app; NULL: none */
        uint32_t *numbers;  /* of the `python:` target of each route of the file */
};

static void finding(struct mounting *m, enum diag_level level, struct place at, const char *fmt, ...) __attribute__((format(printf, 4, 5)));

static void
finding(struct mounting *m, enum diag_level level, struct place at, const char *fmt, ...)
{
        char text[512];
        va_list ap;

        va_start(ap, fmt);
        vsnprintf(text, sizeof(text), fmt, ap);
        va_end(ap);
        diag_add(m->diags, level, at, sources_line(&m->g->quoted, at.file, at.line), NULL, "%s", text);
        if (level == DIAG_ERROR)
                m->bad = true;
}

static int
add(struct mounting *m, const struct route *route)
{
        if (m->count == m->room) {
                size_t room = m->room != 0 ? m->room * 2 : 64;
                struct route *list = realloc(m->list, room * sizeof(*list));

                if (list == NULL)
                        return -ENOMEM;
                m->list = list;
                m->room = room;
        }
        m->list[m->count++] = *route;
        return 0;
}

/* ---- prefixes -------------------------------------------------------------------------------------------------------------------------- */

/* "/shop/{rest:path}" -> 5, the length of "/shop"; SIZE_MAX: no mount. */
static size_t
prefix_len(const char *path)
{
        static const char tail[] = ":path}";
        const char *brace = strrchr(path, '{');
        size_t len = strlen(path);

        if (*path == '~' || brace == NULL || brace == path || brace[-1] != '/' || len < sizeof(tail) || strcmp(path + len - (sizeof(tail) - 1), tail) != 0)
                return SIZE_MAX;
        return (size_t)(brace - path) - 1;
}

/* The part of a prefix that a client sends: a selector may stand before it, as in 127.0.0.1::/shop */
static const char *
root_of(const char *prefix)
{
        const char *colon = *prefix != '/' ? strstr(prefix, ":/") : NULL;

        return colon != NULL ? colon + 1 : *prefix == '/' ? prefix : "";
}

/* ---- the report ------------------------------------------------------------------------------------------------------------------------- */

/* One decorated route below the mount. */
static int
add_reported(struct mounting *m, const struct route *mount, const char *prefix, const struct json_value *v)
{
        struct route route;
        int e = reported_route(m->g->arena, &m->g->quoted, m->diags, mount, prefix, v, &route);

        m->bad |= e == -EINVAL;
        return e < 0 || route.methods == 0 ? e : add(m, &route);
}

static bool
has_error_page(const struct json_value *report, double status)
{
        const struct json_value *errors = json_get(report, "errors");

        for (const struct json_value *v = errors != NULL && errors->kind == JSON_ARRAY ? errors->first : NULL; v != NULL; v = v->next)
                if (v->kind == JSON_NUMBER && v->number == status)
                        return true;
        return false;
}

/* *ret NULL: there is none. */
static int
parse_report(struct mounting *m, size_t index, const struct json_value **ret)
{
        const struct bundle_app *app = &m->g->bundle.apps[index];
        const struct conf_app *conf = conf_app_at(&m->g->conf, index);
        struct json_value *report = NULL;
        int e;

        *ret = NULL;
        if (conf->kind != APP_HEART || app->pool_id == 0 || app->report == NULL)
                return 0;
        e = json_parse(app->report, app->report_len, m->g->arena, &report);
        if (e == -EINVAL || (e == 0 && (report->kind != JSON_OBJECT || json_get(report, "routes") == NULL || json_get(report, "routes")->kind != JSON_ARRAY))) {
                finding(m, DIAG_ERROR, conf->place, "app \"%s\" reported something that is no list of routes", conf->name);
                return 0;
        }
        *ret = e == 0 ? report : NULL;
        return e;
}

/* app.cors() at import. What the package reports it has checked; a report of somebody else's making may say anything. */
static int
take_cors(struct mounting *m, size_t index)
{
        const struct json_value *said = json_get(m->reports[index], "cors");
        struct app_cors *c = &m->g->app_cors[index];
        int e;

        if (said == NULL)
                return 0;
        c->said = true;
        e = cors_of_json(m->g->arena, said, &c->cors);
        if (e == -EINVAL)
                finding(m, DIAG_ERROR, conf_app_at(&m->g->conf, index)->place, "app \"%s\" reported a cors that makes no sense", conf_app_at(&m->g->conf, index)->name);
        return e == -EINVAL ? 0 : e;
}

/* All reports, and the lines that findings quote: those of the file and those of the decorators. */
static int
read_reports(struct mounting *m)
{
        struct generation *g = m->g;
        int e = 0;

        m->reports = calloc(g->conf.apps.count + 1, sizeof(*m->reports));
        g->app_cors = arena_alloc(g->arena, (g->conf.apps.count + 1) * sizeof(*g->app_cors));
        if (m->reports == NULL || g->app_cors == NULL)
                return -ENOMEM;
        for (size_t i = 0; e == 0 && i < g->conf.apps.count; i++) {
                e = parse_report(m, i, &m->reports[i]);
                if (e == 0 && m->reports[i] != NULL)
                        e = take_cors(m, i);
        }
        if (e == 0)
                e = reported_lines(m->reports, g->conf.apps.count, &g->decorators);
        if (e == 0 && (g->quoted.list = calloc(g->bundle.sources.count + g->decorators.count + 1, sizeof(*g->quoted.list))) == NULL)
                e = -ENOMEM;
        if (e < 0)
                return e;
        for (size_t i = 0; i < g->bundle.sources.count; i++)
                g->quoted.list[g->quoted.count++] = g->bundle.sources.list[i];
        for (size_t i = 0; i < g->decorators.count; i++)
                g->quoted.list[g->quoted.count++] = g->decorators.list[i];
        return 0;
}

/* ---- mounts ------------------------------------------------------------------------------------------------------------------------------ */

static bool
is_mount(const struct mounting *m, const struct route *route)
{
        return route->action == ROUTE_APP && route->app_index < m->g->conf.apps.count && conf_app_at(&m->g->conf, route->app_index)->kind == APP_HEART &&
               prefix_len(route->path) != SIZE_MAX;
}

/* The mount itself, as what catches the rest; or nothing. */
static int
add_fallback(struct mounting *m, struct route *mount, bool wanted)
{
        mount->fallback = true;
        mount->handler = UINT32_MAX;
        return wanted ? add(m, mount) : 0;
}

static int
set_root_path(struct mounting *m, struct route *route)
{
        const char *said = conf_app_at(&m->g->conf, route->app_index)->root_path;
        const char *prefix = is_mount(m, route) ? arena_strndup(m->g->arena, route->path, prefix_len(route->path)) : "";

        if (prefix == NULL)
                return -ENOMEM;
        route->root_path = said != NULL ? said : root_of(prefix);
        return 0;
}

/* What the app reported, each route below the mount's prefix. */
static int
add_app_routes(struct mounting *m, const struct route *mount)
{
        char *prefix = arena_strndup(m->g->arena, mount->path, prefix_len(mount->path));
        const struct json_value *report = m->reports[mount->app_index];
        int e = 0;

        if (prefix == NULL)
                return -ENOMEM;
        for (const struct json_value *v = report != NULL ? json_get(report, "routes")->first : NULL; v != NULL && e != -ENOMEM; v = v->next)
                e = add_reported(m, mount, prefix, v);
        return e == -ENOMEM ? e : 0;
}

static int
add_conf_route(struct mounting *m, const struct route *from)
{
        const struct conf *c = &m->g->conf;
        const struct json_value *report;
        struct route route = *from;
        int e = 0;

        route.root_path = "";
        if (route.action == ROUTE_PYTHON)
                route.handler = m->numbers[from - conf_route_at(c, 0)];
        if (route.action != ROUTE_APP || route.app_index >= c->apps.count)
                return add(m, &route);
        e = set_root_path(m, &route);
        if (e < 0)
                return e;
        if (!is_mount(m, &route)) {
                if (conf_app_at(c, route.app_index)->kind == APP_HEART)
                        finding(m, DIAG_WARNING, route.path_place, "app \"%s\" is native: only a path that ends in /{name:path} takes its routes along", route.app);
                return add(m, &route);
        }
        if (memchr(route.path, '{', prefix_len(route.path)) != NULL) {
                finding(m, DIAG_ERROR, route.path_place, "native app \"%s\" is mounted below a prefix with a parameter; put the parameter into its own routes", route.app);
                return 0;
        }
        report = m->reports[route.app_index];
        return add_fallback(m, &route, report == NULL || has_error_page(report, 404));
}

/* Does a route of the file take every path already? Then a root mount needs no fallback, and would be a duplicate. */
static bool
has_catch_all(const struct conf *c)
{
        for (size_t i = 0; i < c->routes.count; i++) {
                const struct route *r = conf_route_at(c, i);

                if (r->host == NULL && r->on == NULL && r->path[0] == '/' && prefix_len(r->path) == 0)
                        return true;
        }
        return false;
}

/* A native app that no route names: all at /. */
static int
mount_at_root(struct mounting *m, uint32_t index)
{
        const struct conf_app *app = conf_app_at(&m->g->conf, index);
        struct route mount = { .place = app->place, .path_place = app->place, .path = "/{path:path}", .methods = M_ANY, .action = ROUTE_APP, .app = app->name,
                               .app_place = app->place, .body = UINT64_MAX, .body_buffer = UINT64_MAX, .body_min_rate = UINT64_MAX, .app_index = index, .handler = UINT32_MAX,
                               .trailing_slash = m->g->conf.trailing_slash, .root_path = app->root_path != NULL ? app->root_path : "" };
        const struct json_value *report = m->reports[index];
        int e = add_fallback(m, &mount, (report == NULL || has_error_page(report, 404)) && !has_catch_all(&m->g->conf));
        return e < 0 ? e : add_app_routes(m, &mount);
}

static bool
is_named(const struct conf *c, uint32_t app_index)
{
        for (size_t i = 0; i < c->routes.count; i++)
                if (conf_route_at(c, i)->app_index == app_index)
                        return true;
        return false;
}

/* The file's routes first, then what apps reported: generation.h says so. */
static int
expand(struct mounting *m)
{
        const struct conf *c = &m->g->conf;
        int e = 0;

        for (size_t i = 0; e == 0 && i < c->routes.count; i++)
                e = add_conf_route(m, conf_route_at(c, i));
        for (size_t i = 0; e == 0 && i < c->routes.count; i++) {
                struct route mount = *conf_route_at(c, i);

                if (!is_mount(m, &mount))
                        continue;
                mount.handler = UINT32_MAX;
                e = set_root_path(m, &mount);
                if (e == 0)
                        e = add_app_routes(m, &mount);
        }
        for (uint32_t i = 0; e == 0 && i < c->apps.count; i++)
                if (conf_app_at(c, i)->kind == APP_HEART && !is_named(c, i))
                        e = mount_at_root(m, i);
        return e;
}

int
mounts_expand(struct generation *g, struct diags *d)
{
        struct mounting m = { .g = g, .diags = d };
        size_t count = g->conf.routes.count;
        bool any_target = g->conf.auth.target != NULL;
        int e = -ENOMEM;

        for (size_t i = 0; i < count; i++)
                any_target |= conf_route_at(&g->conf, i)->python != NULL || conf_route_at(&g->conf, i)->auth.target != NULL;
        m.numbers = calloc(2 * count + 1, sizeof(*m.numbers));
        if (m.numbers != NULL && (python_targets_number(&g->conf, NULL, 0, m.numbers) > 0 || !any_target)) {
                for (size_t i = 0; i < count; i++)
                        conf_route_at(&g->conf, i)->auth.handler = m.numbers[count + i];
                g->conf.auth.handler = m.numbers[2 * count];
                e = read_reports(&m);
        }
        if (e == 0)
                e = expand(&m);
        free(m.numbers);
        free(m.reports);

        if (e == 0) {
                g->routes = arena_alloc(g->arena, m.count * sizeof(*m.list));
                if (g->routes == NULL)
                        e = -ENOMEM;
        }
        if (e == 0 && m.count > 0)
                memcpy(g->routes, m.list, m.count * sizeof(*m.list));
        g->route_count = e == 0 ? m.count : 0;
        free(m.list);
        return e < 0 ? e : m.bad ? -EINVAL : 0;
}
