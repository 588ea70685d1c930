/* findings.c - what is said about routes when they are loaded: clashes, routes that can never win, redirects, patterns that branch too much.
 * SPDX-License-Identifier: MIT
 * From: compile.c.   To: the caller's struct diags; nothing is printed.   Runs in: the loader's thread. */
#include <stdarg.h>
#include <stdio.h>

#include "compile_priv.h"
#include "simple.h"
#include "when.h"

/* ---- places ------------------------------------------------------------------------------------------------------------------------ */

static struct span
line_at(const struct compiler *c, struct place at)
{
        if (c->sources == NULL || at.file == NULL || at.line == 0)
                return (struct span){ NULL, 0 };
        return sources_line(c->sources, at.file, at.line);
}

void
find(struct compiler *c, enum diag_level level, struct place at, const char *hint, const char *fmt, ...)
{
        char text[400];
        va_list ap;

        va_start(ap, fmt);
        vsnprintf(text, sizeof(text), fmt, ap);
        va_end(ap);
        diag_add(c->d, level, at, line_at(c, at), hint, "%s", text);
}

struct place
place_in_value(const struct compiler *c, const struct route *route, struct place at, uint32_t off, uint32_t len)
{
        struct span line = line_at(c, at);

        if (at.line == 0)
                return route->place;
        if (line.ptr != NULL && at.col >= 1 && at.col <= line.len && (line.ptr[at.col - 1] == '"' || line.ptr[at.col - 1] == '\''))
                at.col++;
        at.col += off;
        at.len = len;
        return at;
}

struct place
place_in_path(const struct compiler *c, const struct route *route, uint32_t off, uint32_t len)
{
        uint32_t before = route->path_before;

        /* what stands before a decorator's path was never written there */
        if (off < before) {
                len = off + len > before ? off + len - before : 1;
                off = before;
        }
        return place_in_value(c, route, route->path_place, off - before, len);
}

struct place
place_of_path(const struct compiler *c, size_t i)
{
        return place_in_path(c, &c->routes[i], c->src[i].path_at, (uint32_t)c->src[i].path.len);
}

/* ---- one leaf ---------------------------------------------------------------------------------------------------------------------- */

void
check_clash(struct compiler *c, size_t i)
{
        const struct route *route = &c->routes[i];
        const struct build_leaf *l = c->src[i].leaf;

        for (uint32_t k = 0; k < l->count; k++) {
                const struct route *other = &c->routes[l->routes[k].route];
                uint32_t shared = route->methods & other->methods;
                char text[80];

                if (shared == 0 || route->fallback != other->fallback)
                        continue;
                if (when_same(&route->when, &other->when)) {
                        router_methods_text(shared, text, sizeof(text));
                        find(c, DIAG_ERROR, place_of_path(c, i), NULL, "this route can never win: another one has the same path and selectors%s, and %s too",
                             route_when_count(&route->when) > 0 ? " and conditions" : "", shared == M_ANY ? "every method" : text);
                } else if (shared == route->methods && route_when_count(&route->when) == route_when_count(&other->when) &&
                           when_covers(&other->when, &route->when)) {
                        find(c, DIAG_WARNING, place_of_path(c, i), NULL, "this route can never win: whenever its conditions hold, so do those of one before it");
                } else {
                        continue;
                }
                find(c, DIAG_NOTE, place_of_path(c, l->routes[k].route), NULL, "the other one is here");
        }
}

/* ---- redirects --------------------------------------------------------------------------------------------------------------------- */

static bool
names(const char *to, struct span name)
{
        for (const char *open = strchr(to, '{'); open != NULL; open = strchr(open + 1, '{'))
                if (strncmp(open + 1, name.ptr, name.len) == 0 && open[1 + name.len] == '}')
                        return true;
        return false;
}

/* Where a parameter stands in the path, with its braces or as a named group. */
static struct place
place_of_param(struct compiler *c, size_t i, const struct pattern_param *p)
{
        const struct source_route *s = &c->src[i];
        uint32_t off = s->path_at + p->at, len = (uint32_t)p->name.len + 1;
        const char *text = c->routes[i].path;

        if (s->pattern.is_regex)
                for (const char *at = strchr(text, '<'); at != NULL; at = strchr(at + 1, '<'))
                        if (strncmp(at + 1, p->name.ptr, p->name.len) == 0 && at[1 + p->name.len] == '>') {
                                off = (uint32_t)(at - text);
                                len++;
                                break;
                        }
        return place_in_path(c, &c->routes[i], off, len);
}

static void
check_unused(struct compiler *c, size_t i)
{
        const struct route *route = &c->routes[i];
        const struct pattern *p = &c->src[i].pattern;

        for (uint32_t k = 0; k < p->param_count; k++) {
                if (names(route->redirect.to, p->params[k].name))
                        continue;
                find(c, DIAG_WARNING, place_of_param(c, i, &p->params[k]), NULL, "the parameter \"%.*s\" is captured, but redirect.to does not use it",
                     (int)p->params[k].name.len, p->params[k].name.ptr);
                find(c, DIAG_NOTE, place_in_value(c, route, route->redirect.to_place, 0, (uint32_t)strlen(route->redirect.to)), NULL, "redirect.to is here");
        }
}

/* What redirect.to names and the path lacks is told by server/vars.c, which knows all that may stand there. */
void
check_redirect(struct compiler *c, size_t i)
{
        if (c->routes[i].action == ROUTE_REDIRECT && c->routes[i].redirect.to != NULL)
                check_unused(c, i);
}

/* ---- bounds ------------------------------------------------------------------------------------------------------------------------ */

/* A route to point at when a class as a whole is at fault: its first one with parameters. */
static struct place
place_in_class(struct compiler *c, uint32_t class)
{
        for (size_t i = 0; i < c->count; i++)
                if (c->src[i].usable && c->src[i].class == class && !c->src[i].pattern.is_regex && c->src[i].pattern.step_count > 1)
                        return place_of_path(c, i);
        return (struct place){ 0 };
}

void
check_bounds(struct compiler *c)
{
        for (uint32_t k = 0; k < c->r->class_count; k++) {
                struct build_node *const roots[] = { c->classes[k].first, c->classes[k].trie, c->classes[k].regexes };

                if (roots[1] != NULL && build_depth(roots[1]) > TRIE_DEPTH_MAX) {
                        find(c, DIAG_ERROR, place_in_class(c, k), NULL, "this route or one beside it has more than %u segments", TRIE_DEPTH_MAX - 1);
                        continue;
                }
                for (unsigned n = 0; n < 3; n++)
                        if (roots[n] != NULL)
                                build_sort(roots[n]);
                if (roots[1] != NULL && build_ways(roots[1]) > TRIE_WAYS_MAX)
                        find(c, DIAG_ERROR, place_in_class(c, k), NULL,
                             "this route and those beside it branch too much: one path could fit more than %u of them up to the same segment", TRIE_WAYS_MAX);
        }
}
