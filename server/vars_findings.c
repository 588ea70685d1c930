/* vars_findings.c - values with variables, compiled for a route. Contract in vars_findings.h.
 * SPDX-License-Identifier: MIT
 * From: conf_rules.c, dispatch.c and header_edits.c.   To: vars.c.   Runs in: whoever builds a generation. */
#include "vars_findings.h"

#include <errno.h>
#include <strings.h>

#include "conf_priv.h"

/* Where a value stands, and what findings about it quote. */
struct text {
        const struct sources *sources;
        struct diags *d;
        const char *value, *key;
        struct place at;
};

/* Where a part of a value stands, if the value is in its line as it is: no escapes, no block of several lines. Else the value as a whole. */
static struct place
place_within(const struct text *t, size_t off, size_t len)
{
        struct span line = sources_line(t->sources, t->at.file, t->at.line);
        struct place at = t->at;
        size_t col = at.col;

        if (line.ptr == NULL || at.line == 0 || col == 0 || col > line.len)
                return at;
        if (line.ptr[col - 1] == '"' || line.ptr[col - 1] == '\'')
                col++;
        if (col - 1 + off + len > line.len || memcmp(line.ptr + col - 1, t->value, off + len) != 0)
                return at;
        at.col = (uint32_t)(col + off);
        at.len = (uint32_t)(len > 0 ? len : 1);
        return at;
}

static int
compile(struct arena *a, const struct text *t, enum vars_place place, const struct vars_names *names, const struct vars **ret, struct vars_error *err)
{
        int e = vars_compile(a, span_of(t->value), place, names, ret, err);

        if (e == -EINVAL) {
                struct place at = place_within(t, err->at, err->len);

                diag_add(t->d, DIAG_ERROR, at, sources_line(t->sources, at.file, at.line), err->hint[0] != '\0' ? err->hint : NULL, "%s: %s", t->key, err->text);
        }
        return e;
}

/* A route that an app reported stands below a mount, whose own parameters it may not have: /shop/{rest:path}. */
static bool
is_reported(const struct route *route)
{
        return route->action == ROUTE_APP && route->handler != UINT32_MAX;
}

int
vars_compile_value(const struct generation *g, const struct route *route, struct diags *d, const char *value, struct place at, enum vars_place place, const char *key,
                   const struct vars **ret)
{
        struct text t = { &g->quoted, d, value, key, at };
        struct span list[ROUTER_PARAMS_MAX];
        enum router_type types[ROUTER_PARAMS_MAX];
        struct vars_names names = { list, types, 0, false };
        struct vars_error err = { 0 };
        int e;

        if (route != NULL && g->router == NULL)
                return -EINVAL; /* the routes have findings of their own; nothing is known of their parameters */
        if (route != NULL) {
                names.count = router_params(g->router, (uint32_t)(route - g->routes), list, types, ROUTER_PARAMS_MAX);
                names.open = is_reported(route);
        }
        e = compile(g->arena, &t, place, &names, ret, &err);
        if (e == -EINVAL && route != NULL)
                diag_add(d, DIAG_NOTE, route->path_place, sources_line(&g->quoted, route->path_place.file, route->path_place.line), NULL, "the path is here");
        return e;
}

/* ---- before routes are compiled ------------------------------------------------------------------------------------------------ */

static void
check(struct keys_reader *r, const char *value, struct place at, enum vars_place place, const char *key, bool open)
{
        const struct vars_names names = { NULL, NULL, 0, open };
        const struct vars *v;
        struct vars_error err;

        if (value != NULL)
                (void)compile(r->arena, &(struct text){ r->sources, r->diags, value, key, at }, place, &names, &v, &err);
}

static void
check_headers(struct keys_reader *r, const struct route_headers *h, const char *key, bool open)
{
        for (size_t i = 0; h->set_places != NULL && i < h->set.count; i++)
                check(r, h->set.values[i], h->set_places[i], strcasecmp(h->set.keys[i], "set-cookie") == 0 ? VARS_COOKIE : VARS_HEADER, key, open);
        for (size_t i = 0; h->add_places != NULL && i < h->add.count; i++)
                check(r, h->add.values[i], h->add_places[i], strcasecmp(h->add.keys[i], "set-cookie") == 0 ? VARS_COOKIE : VARS_HEADER, key, open);
}

void
vars_check_conf(struct keys_reader *r, const struct conf *c)
{
        check_headers(r, &c->headers, "headers", false);
        check_headers(r, &c->request_headers, "request_headers", false);
        for (size_t i = 0; i < c->routes.count; i++) {
                const struct route *route = conf_route_at(c, i);

                check_headers(r, &route->headers, "headers", true);
                check_headers(r, &route->request_headers, "request_headers", true);
                if (route->action == ROUTE_REDIRECT)
                        check(r, route->redirect.to, route->redirect.to_place, VARS_URL, "redirect.to", true);
                if (route->action == ROUTE_REWRITE)
                        check(r, route->rewrite, route->rewrite_place, VARS_PATH, "rewrite", true);
                if (route->action == ROUTE_RESPOND)
                        check(r, route->respond.body, route->respond.body_place, vars_place_of_type(route->respond.type), "respond.body", true);
        }
}
