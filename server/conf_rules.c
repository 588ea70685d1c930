/* conf_rules.c - what no single key of routes.yaml can say: rules between keys, one small function each.
 * SPDX-License-Identifier: MIT
 * From: conf.c, after every key was read.   To: generation.c.   Runs in: whoever builds a generation.
 * Values that were wrong by themselves are NULL or zero here and were reported: the rules step over them in silence. */
#include "conf_priv.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "route_identity.h"
#include "cors.h"
#include "vars_findings.h"

static const char PYTHON_APP[] = "python"; /* the app that serves `python:` routes */

/* ---- listeners ------------------------------------------------------------------------------------------------------------------- */

static void
check_listeners_differ(struct keys_reader *r, const struct conf *c)
{
        for (size_t i = 1; i < c->listeners.count; i++)
                for (size_t k = 0; k < i; k++) {
                        const struct conf_listener *a = conf_listener_at(c, k), *b = conf_listener_at(c, i);

                        if (!address_overlaps(a, b))
                                continue;
                        if (strcmp(a->name, b->name) == 0)
                                conf_finding(r, DIAG_ERROR, b->place, NULL, "duplicate listener \"%s\"", b->name);
                        else
                                conf_finding(r, DIAG_ERROR, b->place, NULL, "listener \"%s\" overlaps \"%s\": both cannot be bound", b->name, a->name);
                        conf_finding(r, DIAG_NOTE, a->place, NULL, "the other one is here");
                        break;
                }
}

static bool
find_host(const struct conf_tls *tls, size_t before, const char *host, struct place *ret)
{
        const struct conf_certificate *list = tls->certificates.list;

        for (size_t i = 0; i < before; i++)
                for (size_t k = 0; k < list[i].hosts.count; k++)
                        if (strcmp(list[i].hosts.list[k], host) == 0) {
                                *ret = list[i].hosts.places[k];
                                return true;
                        }
        return false;
}

/* Each certificate can be chosen, and by each name only one. */
static void
check_certificates(struct keys_reader *r, const struct conf_tls *tls)
{
        const struct conf_certificate *list = tls->certificates.list;
        struct place other;

        for (size_t i = 1; i < tls->certificates.count; i++) {
                if (list[i].hosts.count == 0)
                        conf_finding(r, DIAG_ERROR, list[i].place, "add hosts: [example.com]", "this certificate is never used: it has no \"hosts\" and is not the first");
                for (size_t k = 0; k < list[i].hosts.count; k++)
                        if (find_host(tls, i, list[i].hosts.list[k], &other)) {
                                conf_finding(r, DIAG_ERROR, list[i].hosts.places[k], NULL, "host \"%s\" has a certificate already", list[i].hosts.list[k]);
                                conf_finding(r, DIAG_NOTE, other, NULL, "the other one is here");
                        }
        }
}

/* ---- apps ---------------------------------------------------------------------------------------------------------------------------- */

static bool
app_name_is_valid(const char *s)
{
        size_t len = strlen(s);

        for (size_t i = 0; i < len; i++)
                if (!((s[i] >= 'a' && s[i] <= 'z') || (s[i] >= 'A' && s[i] <= 'Z') || (s[i] >= '0' && s[i] <= '9') || (i > 0 && strchr("._-", s[i]) != NULL)))
                        return false;
        return len > 0 && len <= 64;
}

static void
check_app(struct keys_reader *r, const struct conf_app *app)
{
        bool wsgi = keys_is_set(&app_keys, app->set, "wsgi"), heart = keys_is_set(&app_keys, app->set, "heart");

        if (app->queue.size == 0)
                return; /* its value was no map, which was said */
        if (!app_name_is_valid(app->name))
                conf_finding(r, DIAG_ERROR, app->place, NULL, "\"%s\" is no name for an app: letters, digits, '.', '_' and '-', at most 64", app->name);
        if (wsgi && heart)
                conf_finding(r, DIAG_ERROR, app->place, NULL, "app \"%s\" has both \"wsgi\" and \"heart\": it can be only one of them", app->name);
        if (!wsgi && !heart && strcmp(app->name, PYTHON_APP) != 0)
                conf_finding(r, DIAG_ERROR, app->place, "add wsgi: \"module:callable\" or heart: \"module:app\"", "app \"%s\" does not say what to run", app->name);
}

static int
finish_app(struct keys_reader *r, const struct conf *c, struct conf_app *app)
{
        app->kind = app->heart != NULL ? APP_HEART : app->wsgi != NULL ? APP_WSGI : APP_PYTHON;
        app->target = app->heart != NULL ? app->heart : app->wsgi;
        if (app->path == NULL)
                app->path = c->base_dir;
        if (app->threads == 0)
                app->threads = app->kind == APP_WSGI ? 1 : 4;
        if (app->python == NULL && app->venv != NULL) {
                app->python = arena_printf(r->arena, "%s/bin/python3", app->venv);
                if (app->python == NULL)
                        return -ENOMEM;
        }
        if (app->python != NULL && !r->sources->complete && access(app->python, X_OK) != 0)
                conf_finding(r, DIAG_WARNING, app->place, NULL, "app \"%s\": no Python at \"%s\": it will not start", app->name, app->python);
        return 0;
}

static struct conf_app *
find_app(const struct conf *c, const char *name)
{
        for (size_t i = 0; i < c->apps.count; i++)
                if (strcmp(conf_app_at(c, i)->name, name) == 0)
                        return conf_app_at(c, i);
        return NULL;
}

static bool
has_python_routes(const struct conf *c, struct place *ret_first)
{
        for (size_t i = 0; i < c->routes.count; i++)
                if (conf_route_at(c, i)->python != NULL || conf_route_at(c, i)->auth.python != NULL) {
                        *ret_first = conf_route_at(c, i)->place;
                        return true;
                }
        *ret_first = c->auth.place;
        return c->auth.python != NULL;
}

/* `python:` routes and what `auth:` asks are served by the app "python": the entry of that name, or one made here that has every default. */
static int
add_python_app(struct keys_reader *r, struct conf *c)
{
        struct conf_app *app = find_app(c, PYTHON_APP), *list;
        struct key_origins *origins = r->origins;
        struct place first;
        int e;

        if (!has_python_routes(c, &first)) {
                if (app == NULL || app->wsgi != NULL || app->heart != NULL)
                        return 0;
                conf_finding(r, DIAG_WARNING, app->place, NULL, "app \"%s\" is not started: no route has \"python\"", PYTHON_APP);
                memmove(app, app + 1, (size_t)(conf_app_at(c, c->apps.count) - (app + 1)) * sizeof(*app));
                c->apps.count--;
                return 0;
        }
        if (app != NULL) {
                if (app->wsgi == NULL && app->heart == NULL)
                        return 0;
                conf_finding(r, DIAG_ERROR, app->place, "give it another name", "app \"%s\" serves the \"python\" routes and cannot be another app", PYTHON_APP);
                conf_finding(r, DIAG_NOTE, first, NULL, "such a route is here");
                return -EINVAL;
        }
        list = arena_alloc(r->arena, (c->apps.count + 1) * sizeof(*list));
        if (list == NULL)
                return -ENOMEM;
        if (c->apps.count > 0)
                memcpy(list, c->apps.list, c->apps.count * sizeof(*list));
        app = &list[c->apps.count];
        r->origins = NULL; /* it stands nowhere in the file */
        e = keys_read(r, &app_keys, NULL, "apps.python", app);
        r->origins = origins;
        app->name = PYTHON_APP;
        app->place = first;
        c->apps = (struct key_list){ list, c->apps.count + 1 };
        return e;
}

static int
check_apps(struct keys_reader *r, struct conf *c)
{
        int e = add_python_app(r, c);

        for (size_t i = 0; e != -ENOMEM && i < c->apps.count; i++) {
                check_app(r, conf_app_at(c, i));
                if (finish_app(r, c, conf_app_at(c, i)) < 0)
                        e = -ENOMEM;
        }
        return e == -ENOMEM ? e : 0;
}

/* ---- routes -------------------------------------------------------------------------------------------------------------------------- */

static const struct {
        const char *key;
        enum route_action action;
} ACTIONS[] = {
        { "respond", ROUTE_RESPOND }, { "static", ROUTE_STATIC }, { "redirect", ROUTE_REDIRECT }, { "python", ROUTE_PYTHON }, { "app", ROUTE_APP },
        { "rewrite", ROUTE_REWRITE },
};
enum { ACTION_COUNT = sizeof(ACTIONS) / sizeof(*ACTIONS) };

static enum route_action
action_of(struct span key)
{
        for (size_t i = 0; i < ACTION_COUNT; i++)
                if (span_is(key, span_of(ACTIONS[i].key)))
                        return ACTIONS[i].action;
        return ROUTE_NONE;
}

/* Exactly one action. node: the route as it stands in the file. */
static void
check_action(struct keys_reader *r, const struct yaml_node *node, struct route *route)
{
        const struct yaml_node *first = NULL;

        for (size_t i = 0; i < node->count; i++) {
                const struct yaml_node *key = node->pairs[i].key;
                enum route_action action = action_of(key->scalar);

                if (action == ROUTE_NONE)
                        continue;
                if (first == NULL) {
                        first = key;
                        route->action = action;
                } else {
                        keys_error(r, key, NULL, "a route does one thing, this one has \"%s\" beside \"%s\"", key->scalar.ptr, first->scalar.ptr);
                        conf_finding(r, DIAG_NOTE, first->place, NULL, "\"%s\" is here", first->scalar.ptr);
                }
        }
        /* With an unknown key in it, that key is the likelier mistake, and was reported. */
        if (first == NULL && (size_t)__builtin_popcountll(route->set) == node->count)
                conf_finding(r, DIAG_ERROR, route->place, "add respond, static, redirect, rewrite, python or app", "route \"%s\" does nothing",
                             route->path != NULL ? route->path : "");
}

/* The index of an app that the file names at a place; UINT32_MAX and a finding: there is none of that name. */
static uint32_t
find_named_app(struct keys_reader *r, const struct conf *c, const char *name, struct place at)
{
        const char *near, *names[256];
        const struct conf_app *app = find_app(c, name);
        char hint[96];
        size_t count = c->apps.count < 256 ? c->apps.count : 256;

        if (app != NULL)
                return (uint32_t)(app - conf_app_at(c, 0));
        for (size_t i = 0; i < count; i++)
                names[i] = conf_app_at(c, i)->name;
        near = diag_nearest(span_of(name), names, count);
        if (near != NULL)
                snprintf(hint, sizeof(hint), "did you mean \"%s\"?", near);
        conf_finding(r, DIAG_ERROR, at, near != NULL ? hint : c->apps.count == 0 ? "there is no \"apps\" in the file" : NULL, "unknown app \"%s\"", name);
        return UINT32_MAX;
}

static void
find_route_app(struct keys_reader *r, const struct conf *c, struct route *route)
{
        const struct conf_app *python = route->action == ROUTE_PYTHON ? find_app(c, PYTHON_APP) : NULL;

        if (python != NULL)
                route->app_index = (uint32_t)(python - conf_app_at(c, 0));
        if (route->action == ROUTE_APP && route->app != NULL)
                route->app_index = find_named_app(r, c, route->app, route->app_place);
}

/* The app that `auth:` asks, and those that have pages for errors. */
static void
find_auth_app(const struct conf *c, struct route_auth *a)
{
        const struct conf_app *python = a->python != NULL ? find_app(c, PYTHON_APP) : NULL;

        a->app_index = python != NULL ? (uint32_t)(python - conf_app_at(c, 0)) : UINT32_MAX;
        a->handler = UINT32_MAX;
}

static void
find_page_apps(struct keys_reader *r, const struct conf *c, const struct key_list *pages)
{
        struct route_error_page *list = pages->list;

        for (size_t i = 0; i < pages->count; i++) {
                list[i].app_index = UINT32_MAX;
                if (list[i].app != NULL)
                        list[i].app_index = find_named_app(r, c, list[i].app, list[i].app_place);
                if (list[i].app_index != UINT32_MAX && conf_app_at(c, list[i].app_index)->kind == APP_PYTHON)
                        conf_finding(r, DIAG_ERROR, list[i].app_place, "name a wsgi or heart app", "app \"%s\" has functions, but no page for an error", PYTHON_APP);
        }
}

/* A rewrite is over before any of its settings could count: what matters is where it leads. */
static void
check_rewrite_alone(struct keys_reader *r, const struct yaml_node *node)
{
        static const char *const fine[] = { "path", "methods", "host", "on", "when", "trailing_slash", "first", "rewrite" };

        for (size_t i = 0; i < node->count; i++) {
                const struct yaml_node *key = node->pairs[i].key;
                size_t k = 0;

                while (k < sizeof(fine) / sizeof(*fine) && !span_is(key->scalar, span_of(fine[k])))
                        k++;
                if (k == sizeof(fine) / sizeof(*fine) && action_of(key->scalar) == ROUTE_NONE)
                        keys_error(r, key, "give it to the route that takes the new path", "\"%s\" has no meaning beside \"rewrite\"", key->scalar.ptr);
        }
}

static void
check_errors_apps(struct keys_reader *r, const struct conf *c)
{
        const struct route_error_host *hosts = c->errors.hosts.list;

        find_page_apps(r, c, &c->errors.pages);
        for (size_t i = 0; i < c->errors.hosts.count; i++)
                find_page_apps(r, c, &hosts[i].pages);
}

static void
check_route(struct keys_reader *r, const struct yaml_node *node, const struct conf *c, struct route *route)
{
        const struct yaml_node *when = yaml_get(node, "when"), *access = yaml_get(node, "access");

        route->app_index = route->handler = UINT32_MAX;
        find_auth_app(c, &route->auth);
        find_page_apps(r, c, &route->errors.pages);
        if (!keys_is_set(&route_keys, route->set, "trailing_slash"))
                route->trailing_slash = c->trailing_slash;
        if (when != NULL && when->kind == YAML_NULL) /* elsewhere a map with nothing under it is as good as none; here that would open the route to everybody */
                conf_finding(r, DIAG_ERROR, when->place, "leave it away for a route without conditions", "\"when\" holds no condition");
        if (access != NULL && access->kind == YAML_NULL)
                conf_finding(r, DIAG_ERROR, access->place, "to let everybody in write deny: []", "\"access\" holds neither \"allow\" nor \"deny\"");
        if (route->methods == 0)
                route->methods = M_ANY;
        if (!keys_is_set(&route_keys, route->set, "body"))
                route->body = UINT64_MAX;
        if (!keys_is_set(&route_keys, route->set, "body_buffer"))
                route->body_buffer = UINT64_MAX;
        if (!keys_is_set(&route_keys, route->set, "body_min_rate"))
                route->body_min_rate = UINT64_MAX;
        if (node->kind != YAML_MAP)
                return;
        check_action(r, node, route);
        route->identity = route_identity(route);
        if (route->action == ROUTE_REWRITE)
                check_rewrite_alone(r, node);
        if (route->action == ROUTE_STATIC && route->methods == M_ANY)
                route->methods = M_GET | M_HEAD; /* a file is read: what would change it gets 405 */
        if (route->action == ROUTE_APP || route->action == ROUTE_PYTHON)
                find_route_app(r, c, route);
}

static void
check_routes(struct keys_reader *r, const struct yaml_node *routes, const struct conf *c)
{
        bool native = false;

        if (routes != NULL && routes->kind == YAML_SEQ && routes->count == c->routes.count)
                for (size_t i = 0; i < c->routes.count; i++)
                        check_route(r, routes->items[i], c, conf_route_at(c, i));
        for (size_t i = 0; i < c->apps.count; i++)
                native |= conf_app_at(c, i)->heart != NULL;
        if ((routes == NULL || (routes->kind == YAML_SEQ && routes->count == 0)) && !native && r->diags->error_count == 0)
                conf_finding(r, DIAG_ERROR, (struct place){ r->sources->list[0].path, 0, 0, 0 }, "add routes: or an app with heart:", "there is nothing to serve");
}

static bool
pages_name_app(const struct key_list *pages, size_t index)
{
        const struct route_error_page *list = pages->list;

        for (size_t i = 0; i < pages->count; i++)
                if (list[i].app_index == index)
                        return true;
        return false;
}

/* Over a reload those of both generations are counted, and there are IN_FLIGHT_LIMITERS of them (in_flight_table.h). */
static void
check_in_flight(struct keys_reader *r, const struct conf *c)
{
        size_t count = 0;

        for (size_t i = 0; i < c->listeners.count; i++)
                count += keys_is_set(&limits_keys, conf_listener_at(c, i)->limits.set, "in_flight");
        for (size_t i = 0; i < c->routes.count; i++) {
                count += conf_route_at(c, i)->in_flight > 0;
                if (count <= IN_FLIGHT_MAX)
                        continue;
                conf_finding(r, DIAG_ERROR, conf_route_at(c, i)->place, NULL, "more than %d routes and listeners have \"in_flight\"", IN_FLIGHT_MAX);
                return;
        }
}

static void
check_apps_are_used(struct keys_reader *r, const struct conf *c)
{
        for (size_t i = 0; i < c->apps.count; i++) {
                const struct conf_app *app = conf_app_at(c, i);
                bool used = app->kind != APP_WSGI; /* a native app that no route names is mounted at / */

                for (size_t k = 0; k < c->routes.count && !used; k++)
                        used = conf_route_at(c, k)->app_index == i || pages_name_app(&conf_route_at(c, k)->errors.pages, i);
                used |= pages_name_app(&c->errors.pages, i);
                for (size_t k = 0; k < c->errors.hosts.count && !used; k++)
                        used = pages_name_app(&((const struct route_error_host *)c->errors.hosts.list)[k].pages, i);
                if (!used)
                        conf_finding(r, DIAG_WARNING, app->place, NULL, "app \"%s\" is in no route", app->name);
        }
}

int
conf_check(struct keys_reader *r, const struct yaml_node *root, struct conf *c)
{
        size_t errors = r->diags->error_count;
        const struct yaml_node *access;
        int e;

        check_listeners_differ(r, c);
        for (size_t i = 0; i < c->listeners.count; i++) {
                check_certificates(r, &conf_listener_at(c, i)->tls);
                keys_inherit(&limits_keys, &conf_listener_at(c, i)->limits, &c->limits);
        }
        https_redirect_check(r, c);
        e = check_apps(r, c);
        if (e < 0)
                return e;
        find_auth_app(c, &c->auth);
        check_errors_apps(r, c);
        access = yaml_get(root, "access");
        if (access != NULL && access->kind == YAML_NULL)
                conf_finding(r, DIAG_ERROR, access->place, "to let everybody in write deny: []", "\"access\" holds neither \"allow\" nor \"deny\"");
        for (size_t i = 0; i < c->trusted.proxies.count; i++)
                if (c->trusted.nets != NULL && (c->trusted.nets[i].bits == 0 || (c->trusted.nets[i].bits == 96 && IN6_IS_ADDR_V4MAPPED(&c->trusted.nets[i].addr))))
                        conf_finding(r, DIAG_WARNING, c->trusted.proxies.places[i], NULL, "\"trusted_proxies\" holds everybody: any client may say who it is");
        for (size_t i = 0; i < c->listeners.count; i++)
                if (conf_listener_at(c, i)->proxy_protocol && c->trusted.proxies.count == 0)
                        conf_finding(r, DIAG_ERROR, conf_listener_at(c, i)->place, "add trusted_proxies: [10.0.0.0/8]", "listener \"%s\" has \"proxy_protocol\" and nobody is trusted to speak it",
                                     conf_listener_at(c, i)->name);
        check_routes(r, yaml_get(root, "routes"), c);
        check_in_flight(r, c);
        vars_check_conf(r, c);
        cors_check_conf(r, c);
        if (r->diags->error_count == errors && errors == 0)
                check_apps_are_used(r, c);
        return r->diags->error_count > errors ? -EINVAL : 0;
}
