/* reported.c - one decorated route, as a pyworker reported it, becomes a struct route below a mount.
 * SPDX-License-Identifier: MIT
 * From: mount.c, with the report parsed.   To: router_compile, by way of g->routes.   Runs in: whoever builds a generation.
 * What a decorator says under `when` goes through the same table of keys as routes.yaml: one meaning, one set of findings.
 * Where the mount has conditions too, both hold. */
#include "reported.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "../router/memstream.h"

#define LINES_MAX (4u << 20) /* of all files that are quoted from, together: a line costs a byte even where nothing was reported */

struct reported {
        struct arena *a;
        const struct sources *quoted;
        struct diags *d;
        const struct route *mount;
        struct place place;      /* of the decorator's path */
};

__attribute__((format(printf, 3, 4))) static int
refuse(const struct reported *p, struct place at, const char *fmt, ...)
{
        char text[512];
        va_list ap;

        va_start(ap, fmt);
        vsnprintf(text, sizeof(text), fmt, ap);
        va_end(ap);
        diag_add(p->d, DIAG_ERROR, at, sources_line(p->quoted, at.file, at.line), NULL, "%s", text);
        return -EINVAL;
}

static bool
number_within(const struct json_value *v, double max)
{
        return v != NULL && v->kind == JSON_NUMBER && v->number >= 0 && v->number <= max && v->number == (double)(uint64_t)v->number;
}

static uint32_t
number_or(const struct json_value *v, uint32_t otherwise)
{
        return number_within(v, UINT32_MAX - 1) ? (uint32_t)v->number : otherwise;
}

/* A mask of the methods that a decorator named; 0: they make no sense. */
static uint32_t
report_methods(const struct json_value *methods)
{
        uint32_t mask = 0;

        if (methods == NULL || methods->kind != JSON_ARRAY)
                return 0;
        for (const struct json_value *v = methods->first; v != NULL; v = v->next) {
                if (v->kind != JSON_STRING || v->string.len == 0)
                        return 0;
                mask |= router_method_bit(v->string);
        }
        if (mask & M_GET)
                mask |= M_HEAD;
        return methods->count > 0 ? mask : M_ANY;
}

/* ---- when ------------------------------------------------------------------------------------------------------------------------ */

/* JSON as the YAML that it is, all of it at the decorator's place. NULL without memory. */
static struct yaml_node *
yaml_of(const struct reported *p, const struct json_value *v)
{
        struct yaml_node *n = arena_alloc(p->a, sizeof(*n));
        size_t i = 0;

        if (n == NULL)
                return NULL;
        n->place = p->place;
        n->quoted = true;
        switch (v->kind) {
        case JSON_STRING:
                n->kind = YAML_SCALAR;
                n->scalar = v->string;
                return n;
        case JSON_ARRAY:
                n->kind = YAML_SEQ;
                if ((n->items = arena_alloc(p->a, (v->count + 1) * sizeof(*n->items))) == NULL)
                        return NULL;
                break;
        case JSON_OBJECT:
                n->kind = YAML_MAP;
                if ((n->pairs = arena_alloc(p->a, (v->count + 1) * sizeof(*n->pairs))) == NULL)
                        return NULL;
                break;
        default: /* the package reports strings only: anything else is refused, as a list would be */
                n->kind = YAML_SEQ;
                return n;
        }
        n->count = v->count;
        for (const struct json_value *child = v->first; child != NULL; child = child->next, i++) {
                struct json_value key = { .kind = JSON_STRING, .string = child->key };
                struct yaml_node *value = yaml_of(p, child), *name = v->kind == JSON_OBJECT ? yaml_of(p, &key) : NULL;

                if (value == NULL || (v->kind == JSON_OBJECT && name == NULL))
                        return NULL;
                if (v->kind == JSON_ARRAY)
                        n->items[i] = value;
                else
                        n->pairs[i] = (struct yaml_pair){ name, value };
        }
        return n;
}

static int
read_when(const struct reported *p, const struct json_value *v, struct route *ret)
{
        struct keys_reader r = { .sources = p->quoted, .arena = p->a, .diags = p->d };
        const struct yaml_node *n = yaml_of(p, v);

        if (n == NULL)
                return -ENOMEM;
        for (size_t i = 0; i < route_keys.count; i++)
                if (strcmp(route_keys.keys[i].name, "when") == 0)
                        return keys_read_one(&r, &route_keys.keys[i], n, "when", ret);
        return -EINVAL;
}

/* Every name of both; one that has two different values cannot be had. */
static int
join_maps(const struct reported *p, const char *what, const struct key_map *one, struct key_map *two)
{
        struct key_map all = { arena_alloc(p->a, (one->count + two->count + 1) * sizeof(char *)), arena_alloc(p->a, (one->count + two->count + 1) * sizeof(char *)),
                               two->count };

        if (all.keys == NULL || all.values == NULL)
                return -ENOMEM;
        for (size_t i = 0; i < two->count; i++) {
                all.keys[i] = two->keys[i];
                all.values[i] = two->values[i];
        }
        for (size_t i = 0; i < one->count; i++) {
                size_t k = 0;

                while (k < two->count && strcmp(two->keys[k], one->keys[i]) != 0)
                        k++;
                if (k == two->count) {
                        all.keys[all.count] = one->keys[i];
                        all.values[all.count++] = one->values[i];
                } else if (strcmp(all.values[k], "*") == 0) {
                        all.values[k] = one->values[i];
                } else if (strcmp(one->values[i], "*") != 0 && strcmp(one->values[i], all.values[k]) != 0) {
                        return refuse(p, p->place, "this route can never match: %s \"%s\" is to be \"%s\" here and \"%s\" where the app is mounted", what, one->keys[i],
                                      all.values[k], one->values[i]);
                }
        }
        *two = all;
        return 0;
}

static bool
net_holds(const struct route_net *wide, const struct route_net *narrow)
{
        if (wide->bits > narrow->bits || memcmp(wide->addr.s6_addr, narrow->addr.s6_addr, wide->bits / 8) != 0)
                return false;
        return wide->bits % 8 == 0 || (wide->addr.s6_addr[wide->bits / 8] ^ narrow->addr.s6_addr[wide->bits / 8]) >> (8 - wide->bits % 8) == 0;
}

/* The networks that lie in both lists: of two that overlap one holds the other. */
static int
join_sources(const struct reported *p, const struct route_when *one, struct route_when *two)
{
        size_t room = one->net_count * two->net_count + 1, n = 0;
        struct route_net *nets;
        const char **list;

        if (one->net_count == 0)
                return 0;
        if (two->net_count == 0) {
                two->source = one->source;
                two->nets = one->nets;
                two->net_count = one->net_count;
                return 0;
        }
        nets = arena_alloc(p->a, room * sizeof(*nets));
        list = arena_alloc(p->a, room * sizeof(*list));
        if (nets == NULL || list == NULL)
                return -ENOMEM;
        for (size_t i = 0; i < one->net_count; i++)
                for (size_t k = 0; k < two->net_count; k++) {
                        bool first = net_holds(&two->nets[k], &one->nets[i]);

                        if (!first && !net_holds(&one->nets[i], &two->nets[k]))
                                continue;
                        nets[n] = first ? one->nets[i] : two->nets[k];
                        list[n++] = first ? one->source.list[i] : two->source.list[k];
                }
        if (n == 0)
                return refuse(p, p->place, "this route can never match: none of its sources is one of those where the app is mounted");
        two->nets = nets;
        two->net_count = n;
        two->source = (struct key_strs){ list, NULL, n };
        return 0;
}

/* What the mount asks for, and what the decorator does. */
static int
join_when(const struct reported *p, struct route_when *w)
{
        const struct route_when *mount = &p->mount->when;
        int e;

        if (w->scheme != WHEN_ANY && mount->scheme != WHEN_ANY && w->scheme != mount->scheme)
                return refuse(p, p->place, "this route can never match: it is for %s, and where the app is mounted only %s goes", w->scheme == WHEN_HTTPS ? "https" : "http",
                              mount->scheme == WHEN_HTTPS ? "https" : "http");
        if (w->scheme == WHEN_ANY)
                w->scheme = mount->scheme;
        if ((e = join_sources(p, mount, w)) < 0 || (e = join_maps(p, "header", &mount->headers, &w->headers)) < 0 ||
            (e = join_maps(p, "query", &mount->query, &w->query)) < 0)
                return e;
        return join_maps(p, "cookie", &mount->cookies, &w->cookies);
}

/* ---- path and selector ------------------------------------------------------------------------------------------------------------- */

/* "127.0.0.1::/debug" -> on and path; the mount's own listener or host stays beside what it does not contradict. */
static int
take_path(const struct reported *p, const char *prefix, const char *said, struct route *ret)
{
        struct span on, path;

        router_split(said, &on, &path);
        if (path.len == 0 || (*path.ptr != '/' && *path.ptr != '~'))
                return refuse(p, p->place, "app \"%s\" reported a route that makes no sense: %s", p->mount->app, said);
        if (*path.ptr == '~' && *prefix != '\0')
                return refuse(p, p->place, "route \"%s\" of app \"%s\": a regular expression cannot stand below \"%s\"", said, p->mount->app, prefix);
        if (on.len > 0 && ((p->mount->on != NULL && !span_is(on, span_of(p->mount->on))) || (*prefix != '\0' && *prefix != '/')))
                return refuse(p, p->place, "route \"%s\" of app \"%s\": the app is mounted for one listener or host already", said, p->mount->app);
        if (on.len > 0) {
                ret->on = arena_strndup(p->a, on.ptr, on.len);
                ret->on_place = p->place;
                ret->on_place.len = (uint32_t)on.len;
        }
        ret->path = arena_printf(p->a, "%s%s", *path.ptr == '~' ? "" : prefix, path.ptr);
        if (ret->path == NULL || (on.len > 0 && ret->on == NULL))
                return -ENOMEM;
        ret->path_place = p->place;
        ret->path_before = *path.ptr == '~' ? 0 : (uint32_t)strlen(prefix);
        if (p->place.len == strlen(said)) { /* it stands there as it is */
                ret->path_place.col += (uint32_t)(path.ptr - said);
                ret->path_place.len = (uint32_t)path.len;
        }
        return 0;
}

int
reported_route(struct arena *a, const struct sources *quoted, struct diags *d, const struct route *mount, const char *prefix, const struct json_value *v,
               struct route *ret)
{
        struct reported p = { .a = a, .quoted = quoted, .d = d, .mount = mount, .place = mount->place };
        const char *path = json_get_str(v, "path"), *file = json_get_str(v, "file");
        const struct json_value *handler = json_get(v, "handler"), *line = json_get(v, "line"), *when = json_get(v, "when");
        uint32_t methods = report_methods(json_get(v, "methods"));
        struct route route = *mount;
        int e;

        if (path == NULL || *path == '\0' || !number_within(handler, UINT32_MAX - 1) || methods == 0 || (line != NULL && !number_within(line, UINT32_MAX)) ||
            (when != NULL && when->kind != JSON_OBJECT))
                return refuse(&p, mount->place, "app \"%s\" reported a route that makes no sense%s%s", mount->app, path != NULL ? ": " : "", path != NULL ? path : "");
        if (file != NULL && *file != '\0') { /* else it is where the mount is: a handler without a file was made at run time */
                p.place = (struct place){ arena_strdup(a, file), number_or(line, 0), number_or(json_get(v, "column"), 1), number_or(json_get(v, "length"), 1) };
                if (p.place.file == NULL)
                        return -ENOMEM;
                if (p.place.col == 0 || p.place.len == 0 || p.place.len > 65536)
                        p.place.col = p.place.len = 1;
        }
        route.place = p.place;
        route.path_before = 0;
        route.when = (struct route_when){ .place = mount->when.place };
        if ((e = take_path(&p, prefix, path, &route)) < 0 || (when != NULL && (e = read_when(&p, when, &route)) < 0) || (e = join_when(&p, &route.when)) < 0)
                return e;
        route.methods &= methods;
        route.handler = (uint32_t)handler->number;
        route.fallback = false;
        *ret = route;
        return 0;
}

/* ---- lines for the carets -------------------------------------------------------------------------------------------------------------- */

struct line { const char *file, *text; uint32_t number; };

static int
line_compare(const void *pa, const void *pb)
{
        const struct line *a = pa, *b = pb;
        int r = strcmp(a->file, b->file);

        return r != 0 ? r : (a->number > b->number) - (a->number < b->number);
}

/* Those of one file, as a text in which each stands on its own line. */
static int
add_file(const struct line *lines, size_t count, struct sources *s)
{
        char *text = NULL;
        size_t len;
        FILE *out = open_memstream(&text, &len);
        uint32_t at = 1;
        int e;

        if (out == NULL)
                return -ENOMEM;
        for (size_t i = 0; i < count; i++) {
                if (i > 0 && lines[i].number == lines[i - 1].number)
                        continue;
                for (; at < lines[i].number; at++)
                        fputc('\n', out);
                fputs(lines[i].text, out);
        }
        if (memstream_close(out, &text) == NULL)
                return -ENOMEM;
        e = sources_add(s, lines[0].file, text, len);
        free(text);
        return e;
}

int
reported_lines(const struct json_value *const *reports, size_t count, struct sources *s)
{
        struct line *lines;
        size_t room = 1, n = 0, first = 0, total = 0;
        int e = 0;

        for (size_t i = 0; i < count; i++)
                room += reports[i] != NULL ? json_get(reports[i], "routes")->count : 0;
        if ((lines = calloc(room, sizeof(*lines))) == NULL)
                return -ENOMEM;
        for (size_t i = 0; i < count; i++)
                for (const struct json_value *v = reports[i] != NULL ? json_get(reports[i], "routes")->first : NULL; v != NULL; v = v->next) {
                        struct line l = { json_get_str(v, "file"), json_get_str(v, "text"), number_or(json_get(v, "line"), 0) };

                        if (l.file != NULL && *l.file != '\0' && l.text != NULL && strchr(l.text, '\n') == NULL && l.number > 0)
                                lines[n++] = l;
                }
        qsort(lines, n, sizeof(*lines), line_compare);
        for (size_t i = 1; e == 0 && i <= n; i++)
                if (i == n || strcmp(lines[i].file, lines[first].file) != 0) {
                        total += lines[i - 1].number; /* the last of this file is its highest */
                        if (total <= LINES_MAX)
                                e = add_file(&lines[first], i - first, s);
                        first = i;
                }
        free(lines);
        return e;
}
