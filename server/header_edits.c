/* header_edits.c - fields of answers, and of requests on their way to Python, that the file changes. Contract in header_edits.h.
 * SPDX-License-Identifier: MIT
 * From: policy.c builds, outgoing.c and dispatch.c apply.   To: vars.c for values with variables.   Runs in: whoever builds a generation; the owning loop.
 * A route's edits are joined with those for all: its `set` and `remove` win over the others of the same name, `add` comes on top. */
#include "header_edits.h"

#include <errno.h>
#include <strings.h>

#include "log.h"
#include "request.h"
#include "vars_findings.h"
#include "vars_request.h"

#define VALUE_MAX 8192

enum edit_kind { EDIT_REMOVE, EDIT_SET, EDIT_ADD };

struct edit {
        enum edit_kind kind;
        struct span name;
        const struct vars *value; /* NULL: REMOVE */
};

struct header_edits {
        uint32_t count;
        bool server;        /* one of them is about Server */
        bool fixed;         /* no variable in any */
        struct span lines;  /* of those without variables */
        struct edit edits[];
};

/* ---- building ---------------------------------------------------------------------------------------------------------------- */

struct building {
        const struct generation *g;
        const struct route *route;
        struct diags *d;
        const char *key;     /* "headers" */
        struct edit list[512];
        uint32_t count;
        bool bad;
};

static bool
same_name(struct span a, const char *b)
{
        return strlen(b) == a.len && strncasecmp(a.ptr, b, a.len) == 0;
}

static int
add_values(struct building *b, enum edit_kind kind, const struct key_map *map, const struct place *places)
{
        for (size_t i = 0; i < map->count && b->count < sizeof(b->list) / sizeof(*b->list); i++) {
                struct edit e = { kind, span_of(map->keys[i]), NULL };
                enum vars_place place = same_name(e.name, "set-cookie") ? VARS_COOKIE : VARS_HEADER;
                int r = vars_compile_value(b->g, b->route, b->d, map->values[i], places[i], place, b->key, &e.value);

                if (r == -ENOMEM)
                        return r;
                b->bad |= r < 0;
                if (r == 0)
                        b->list[b->count++] = e;
        }
        return 0;
}

static bool
listed(const struct key_map *map, struct span name)
{
        for (size_t i = 0; i < map->count; i++)
                if (same_name(name, map->keys[i]))
                        return true;
        return false;
}

/* Does the route say something else about this field of the default's? */
static bool
overruled(const struct route_headers *own, const struct edit *e)
{
        if (listed(&own->set, e->name))
                return true;
        for (size_t i = 0; i < own->remove.count; i++)
                if (same_name(e->name, own->remove.list[i]))
                        return true;
        return e->kind == EDIT_REMOVE && listed(&own->add, e->name);
}

/* The lines of a value that is always the same. */
static char *
put_line(char *to, struct span name, struct span value)
{
        memcpy(to, name.ptr, name.len);
        memcpy(to + name.len, ": ", 2);
        memcpy(to + name.len + 2, value.ptr, value.len);
        memcpy(to + name.len + 2 + value.len, "\r\n", 2);
        return to + name.len + value.len + 4;
}

static int
finish(struct building *b, const struct header_edits **ret)
{
        struct header_edits *made = arena_alloc(b->g->arena, sizeof(*made) + b->count * sizeof(*made->edits));
        struct span value;
        size_t len = 0;
        char *lines, *at;

        for (uint32_t i = 0; i < b->count; i++)
                if (b->list[i].value != NULL && vars_is_constant(b->list[i].value, &value))
                        len += b->list[i].name.len + value.len + 4;
        lines = at = arena_alloc(b->g->arena, len + 1);
        if (made == NULL || lines == NULL)
                return -ENOMEM;
        *made = (struct header_edits){ .count = b->count, .fixed = true, .lines = { lines, len } };
        for (uint32_t i = 0; i < b->count; i++) {
                made->edits[i] = b->list[i];
                made->server |= b->list[i].kind != EDIT_ADD && same_name(b->list[i].name, "server");
                if (b->list[i].value == NULL)
                        continue;
                if (vars_is_constant(b->list[i].value, &value))
                        at = put_line(at, b->list[i].name, value);
                else
                        made->fixed = false;
        }
        *ret = made;
        return 0;
}

static int
join(const struct generation *g, const struct route *route, struct diags *d, const char *key, const struct route_headers *own, const struct header_edits **ret)
{
        struct building b = { .g = g, .route = route, .d = d, .key = key };
        int e;

        for (uint32_t i = 0; *ret != NULL && i < (*ret)->count; i++)
                if (!overruled(own, &(*ret)->edits[i]))
                        b.list[b.count++] = (*ret)->edits[i];
        for (size_t i = 0; i < own->remove.count; i++)
                if (!listed(&own->set, span_of(own->remove.list[i])))
                        b.list[b.count++] = (struct edit){ EDIT_REMOVE, span_of(own->remove.list[i]), NULL };
        if ((e = add_values(&b, EDIT_SET, &own->set, own->set_places)) < 0 || (e = add_values(&b, EDIT_ADD, &own->add, own->add_places)) < 0)
                return e;
        return b.bad ? -EINVAL : finish(&b, ret);
}

static int
build(const struct generation *g, const struct route *route, struct diags *d, const char *key, const struct route_headers *own, const struct header_edits **ret)
{
        if (own->set.count + own->add.count + own->remove.count == 0)
                return 0; /* the default's, or none */
        return join(g, route, d, key, own, ret);
}

int
header_edits_build(const struct generation *g, const struct route *route, struct diags *d, const struct header_edits **ret)
{
        return build(g, route, d, "headers", route != NULL ? &route->headers : &g->conf.headers, ret);
}

int
request_edits_build(const struct generation *g, const struct route *route, struct diags *d, const struct header_edits **ret)
{
        return build(g, route, d, "request_headers", route != NULL ? &route->request_headers : &g->conf.request_headers, ret);
}

/* ---- applying ------------------------------------------------------------------------------------------------------------------ */

bool
header_edits_drop(const struct header_edits *e, struct span name)
{
        for (uint32_t i = 0; i < e->count; i++)
                if (e->edits[i].kind != EDIT_ADD && e->edits[i].name.len == name.len && strncasecmp(e->edits[i].name.ptr, name.ptr, name.len) == 0)
                        return true;
        return false;
}

bool
header_edits_drop_server(const struct header_edits *e)
{
        return e->server;
}

bool
header_edits_fixed(const struct header_edits *e, struct span *ret_lines)
{
        *ret_lines = e->lines;
        return e->fixed;
}

/* A value with variables in it. .len 0: nothing came of them, and the field is left away. */
static struct span
value_of(const struct edit *e, const struct request *r, const struct vars_source *s, char *room, size_t room_len)
{
        struct span constant;
        long n;

        if (vars_is_constant(e->value, &constant))
                return constant;
        n = vars_expand(e->value, s, room, room_len);
        if (n < 0)
                log_warning("request %llu: header %.*s is left away: its value would be longer than %zu bytes", (unsigned long long)r->id, (int)e->name.len, e->name.ptr, room_len);
        return (struct span){ room, n > 0 ? (size_t)n : 0 };
}

void
header_edits_add(const struct header_edits *e, struct request *r, unsigned status, struct out *o)
{
        struct vars_source s;
        char room[VALUE_MAX];
        struct span constant;

        out_add_span(o, e->lines);
        if (e->fixed)
                return;
        vars_of_request(r, status, &s);
        for (uint32_t i = 0; i < e->count; i++) {
                struct span value;

                if (e->edits[i].value == NULL || vars_is_constant(e->edits[i].value, &constant))
                        continue;
                value = value_of(&e->edits[i], r, &s, room, sizeof(room));
                if (value.len > 0)
                        response_header(o, e->edits[i].name, value);
        }
}

int
request_edits_apply(const struct header_edits *e, struct request *r)
{
        struct vars_source s;
        char room[VALUE_MAX];
        int err = 0;

        vars_of_request(r, 0, &s);
        for (uint32_t i = 0; i < e->count && err == 0; i++) {
                struct span value = e->edits[i].value != NULL ? value_of(&e->edits[i], r, &s, room, sizeof(room)) : (struct span){ NULL, 0 };

                err = request_to_app(r, e->edits[i].name, value.len > 0 ? value : (struct span){ NULL, 0 });
        }
        return err;
}
