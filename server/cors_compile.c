/* cors_compile.c - `cors:` and app.cors() become a policy. Contract in cors.h.
 * SPDX-License-Identifier: MIT
 * From: policy.c by way of cors_build; pool.c's word of an app, by way of cors_of_json.   To: cors.c.   Runs in: whoever builds a generation; a worker's main thread. */
#include "cors_priv.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#include "../router/token.h"
#include "conf_priv.h"
#include "json.h"

/* ---- origins ------------------------------------------------------------------------------------------------------------------ */

static bool
is_alnum(char c)
{
        return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static uint32_t
usual_port(struct span scheme)
{
        if (scheme.len == 5 && strncasecmp(scheme.ptr, "https", 5) == 0)
                return 443;
        return scheme.len == 4 && strncasecmp(scheme.ptr, "http", 4) == 0 ? 80 : 0;
}

static bool
port_parse(struct span text, uint32_t *ret)
{
        uint32_t n = 0;

        for (size_t i = 0; i < text.len; i++) {
                if (text.ptr[i] < '0' || text.ptr[i] > '9' || n > 65535)
                        return false;
                n = n * 10 + (uint32_t)(text.ptr[i] - '0');
        }
        *ret = n;
        return text.len > 0 && n > 0 && n <= 65535;
}

bool
origin_parse(struct span text, struct origin *ret)
{
        const char *colon = memmem(text.ptr, text.len, "://", 3), *end = text.ptr + text.len, *stop;
        struct origin o = { .port = 0 };

        if (text.len > ORIGIN_MAX || colon == NULL || colon == text.ptr || !((*text.ptr | 0x20) >= 'a' && (*text.ptr | 0x20) <= 'z'))
                return false;
        o.scheme = (struct span){ text.ptr, (size_t)(colon - text.ptr) };
        for (size_t i = 0; i < o.scheme.len; i++) /* RFC 3986, 3.1 */
                if (!is_alnum(o.scheme.ptr[i]) && strchr("+-.", o.scheme.ptr[i]) == NULL)
                        return false;
        o.host.ptr = colon + 3;
        stop = o.host.ptr < end && *o.host.ptr == '[' ? memchr(o.host.ptr, ']', (size_t)(end - o.host.ptr)) : NULL;
        for (const char *p = o.host.ptr + 1; stop != NULL && p < stop; p++)
                if (*p != ':' && *p != '.' && !is_alnum(*p))
                        return false;
        stop = stop != NULL ? stop + 1 : o.host.ptr;
        while (stop < end && (is_alnum(*stop) || *stop == '.' || *stop == '-' || *stop == '_') && (stop == o.host.ptr || *o.host.ptr != '['))
                stop++;
        o.host.len = (size_t)(stop - o.host.ptr);
        if (o.host.len == 0 || (stop < end && (*stop != ':' || !port_parse((struct span){ stop + 1, (size_t)(end - stop) - 1 }, &o.port))))
                return false;
        if (o.port == usual_port(o.scheme))
                o.port = 0;
        *ret = o;
        return true;
}

size_t
origin_write(const struct origin *o, char *out, size_t room)
{
        int n = o->port != 0 ? snprintf(out, room, "%.*s://%.*s:%u", (int)o->scheme.len, o->scheme.ptr, (int)o->host.len, o->host.ptr, (unsigned)o->port)
                             : snprintf(out, room, "%.*s://%.*s", (int)o->scheme.len, o->scheme.ptr, (int)o->host.len, o->host.ptr);

        if (n < 0 || (size_t)n >= room)
                return 0;
        for (char *p = out; *p != '\0'; p++)
                if (*p >= 'A' && *p <= 'Z')
                        *p |= 0x20;
        return (size_t)n;
}

/* ---- compiling ------------------------------------------------------------------------------------------------------------------- */

struct compiling {
        struct arena *a;
        const struct route_cors *said;
        struct cors *c;
        struct origin_pattern *patterns;
        struct cors_error *err;
};

static int
refuse(struct compiling *p, const struct key_strs *list, size_t index, const char *text, const char *hint)
{
        *p->err = (struct cors_error){ list, index, text, hint };
        return -EINVAL;
}

/* An origin with a star for names below a host, or for any port. The star is taken out, then the rest is an origin like others. */
static int
add_pattern(struct compiling *p, size_t i, const char *text)
{
        const char *star = strstr(text, "://*."), *tail = text + strlen(text);
        struct origin_pattern made = { .wild = star != NULL, .any_port = tail - text > 2 && strcmp(tail - 2, ":*") == 0 };
        size_t head = star != NULL ? (size_t)(star + 3 - text) : 0;
        char *plain = arena_printf(p->a, "%.*s%.*s", (int)head, text, (int)(strlen(text) - head - (star != NULL) - 2 * made.any_port), text + head + (star != NULL));

        if (plain == NULL)
                return -ENOMEM;
        if (!origin_parse(span_of(plain), &made.is))
                return refuse(p, &p->said->origins, i, "is no origin", "scheme://host or scheme://host:port, as https://example.com or https://*.example.com; no path");
        if (made.wild && (made.is.host.len < 3 || made.is.host.ptr[0] != '.'))
                return refuse(p, &p->said->origins, i, "is no origin", "the star stands for names below one: https://*.example.com");
        p->patterns[p->c->pattern_count++] = made;
        return 0;
}

static int
add_origin(struct compiling *p, size_t i)
{
        const char *text = p->said->origins.list[i];
        struct origin o;
        char *exact;

        if (strcmp(text, "*") == 0) {
                p->c->any = true;
                return p->said->credentials ? refuse(p, &p->said->origins, i, "cannot go with credentials", "name the origins that may send them") : 0;
        }
        if (strchr(text, '*') != NULL)
                return add_pattern(p, i, text);
        if ((exact = arena_alloc(p->a, ORIGIN_MAX + 1)) == NULL)
                return -ENOMEM;
        if (strcmp(text, "null") == 0) /* pages without an origin: files, sandboxes */
                strcpy(exact, text);
        else if (!origin_parse(span_of(text), &o) || origin_write(&o, exact, ORIGIN_MAX + 1) == 0)
                return refuse(p, &p->said->origins, i, "is no origin",
                              strstr(text, "://") == NULL ? "with its scheme, as https://example.com" : "scheme://host or scheme://host:port; no path, not even a slash");
        p->c->exact[p->c->exact_count++] = exact;
        return 0;
}

/* "Name: a, b\r\n"; *ret_any: a star is among them. */
static int
add_names(struct compiling *p, const struct key_strs *list, const char *name, struct span *ret, bool *ret_any)
{
        size_t len = strlen(name) + 4;
        char *line;

        *ret_any = false;
        for (size_t i = 0; i < list->count; i++) {
                if (!token_is(span_of(list->list[i])))
                        return refuse(p, list, i, "is no name", NULL);
                *ret_any |= strcmp(list->list[i], "*") == 0;
                len += strlen(list->list[i]) + 2;
        }
        if (list->count == 0)
                return 0;
        if ((line = arena_alloc(p->a, len + 1)) == NULL)
                return -ENOMEM;
        ret->ptr = line;
        line += sprintf(line, "%s: ", name);
        for (size_t i = 0; i < list->count; i++)
                line += sprintf(line, "%s%s", i > 0 ? ", " : "", list->list[i]);
        line += sprintf(line, "\r\n");
        ret->len = (size_t)(line - ret->ptr);
        return 0;
}

static int
compare(const void *a, const void *b)
{
        return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static int
add_lines(struct compiling *p)
{
        struct cors *c = p->c;
        bool any_method, any_exposed;
        char *age;
        int e;

        if ((e = add_names(p, &p->said->methods, "Access-Control-Allow-Methods", &c->method_line, &any_method)) < 0 ||
            (e = add_names(p, &p->said->headers, "Access-Control-Allow-Headers", &c->header_line, &c->any_header)) < 0 ||
            (e = add_names(p, &p->said->expose, "Access-Control-Expose-Headers", &c->expose_line, &any_exposed)) < 0)
                return e;
        if (any_method) { /* as if nothing was said: the route knows which it takes, and "*" would not count with credentials */
                c->methods.count = 0;
                c->method_line.len = 0;
        }
        if ((age = arena_printf(p->a, "Access-Control-Max-Age: %llu\r\n", (unsigned long long)(p->said->max_age_ms / 1000))) == NULL)
                return -ENOMEM;
        if (p->said->max_age_ms != 5000) /* what browsers take when nothing is said */
                c->age_line = span_of(age);
        return 0;
}

int
cors_compile(struct arena *a, const struct route_cors *said, const struct cors **ret, struct cors_error *reterr_)
{
        struct compiling p = { .a = a, .said = said, .err = reterr_ };
        int e = 0;

        *ret = NULL;
        if (said->origins.count == 0)
                return 0;
        p.c = arena_alloc(a, sizeof(*p.c));
        p.patterns = arena_alloc(a, said->origins.count * sizeof(*p.patterns));
        if (p.c == NULL || p.patterns == NULL || (p.c->exact = arena_alloc(a, said->origins.count * sizeof(char *))) == NULL)
                return -ENOMEM;
        p.c->credentials = said->credentials;
        p.c->private_network = said->private_network;
        p.c->methods = said->methods;
        p.c->headers = said->headers;
        p.c->patterns = p.patterns;
        for (size_t i = 0; i < said->origins.count && e == 0; i++)
                e = add_origin(&p, i);
        if (e == 0)
                e = add_lines(&p);
        if (e < 0)
                return e;
        if (p.c->exact_count > 1)
                qsort(p.c->exact, p.c->exact_count, sizeof(char *), compare);
        *ret = p.c;
        return 0;
}

/* ---- what an app said -------------------------------------------------------------------------------------------------------------- */

static int
strings_of(struct arena *a, const struct json_value *v, struct key_strs *ret)
{
        if (v == NULL || v->kind == JSON_NULL)
                return 0;
        if (v->kind != JSON_ARRAY || v->count > 1000 || (ret->list = arena_alloc(a, (v->count + 1) * sizeof(char *))) == NULL)
                return -EINVAL;
        for (const struct json_value *s = v->first; s != NULL; s = s->next) {
                if (s->kind != JSON_STRING || strlen(s->string.ptr) != s->string.len)
                        return -EINVAL;
                if ((ret->list[ret->count++] = arena_strdup(a, s->string.ptr)) == NULL)
                        return -ENOMEM;
        }
        return 0;
}

static bool
truth_of(const struct json_value *v)
{
        return v != NULL && v->kind == JSON_BOOL && v->truth;
}

int
cors_of_json(struct arena *a, const struct json_value *v, const struct cors **ret)
{
        struct route_cors said = { .max_age_ms = 5000 };
        const struct json_value *age = json_get(v, "max_age");
        struct cors_error err;
        int e;

        *ret = NULL;
        if (v == NULL || v->kind == JSON_NULL)
                return 0;
        if (v->kind != JSON_OBJECT || (age != NULL && (age->kind != JSON_NUMBER || !(age->number >= 0 && age->number <= 86400))))
                return -EINVAL;
        if ((e = strings_of(a, json_get(v, "origins"), &said.origins)) < 0 || (e = strings_of(a, json_get(v, "methods"), &said.methods)) < 0 ||
            (e = strings_of(a, json_get(v, "headers"), &said.headers)) < 0 || (e = strings_of(a, json_get(v, "expose"), &said.expose)) < 0)
                return e;
        said.credentials = truth_of(json_get(v, "credentials"));
        said.private_network = truth_of(json_get(v, "private_network"));
        if (age != NULL)
                said.max_age_ms = (uint64_t)age->number * 1000;
        return cors_compile(a, &said, ret, &err);
}

/* ---- for a route ------------------------------------------------------------------------------------------------------------------------ */

int
cors_build(const struct generation *g, const struct route *route, struct diags *d, const struct cors **ret)
{
        const struct route_cors *said = route != NULL ? &route->cors : &g->conf.cors;
        const struct cors *made;
        struct cors_error err;
        int e;

        (void)d;
        if (route != NULL && route->app_index < g->conf.apps.count && g->app_cors != NULL && g->app_cors[route->app_index].said) {
                *ret = g->app_cors[route->app_index].cors; /* what the code says can change while it runs; were it less than the file, that would be in vain */
                return 0;
        }
        if (!said->given)
                return 0;
        if ((e = cors_compile(g->arena, said, &made, &err)) == 0)
                *ret = made;
        assert(e != -EINVAL); /* cors_check_conf has told */
        return e;
}

static void
check(struct keys_reader *r, const struct route_cors *said)
{
        const struct cors *made;
        struct cors_error err;

        if (said->given && cors_compile(r->arena, said, &made, &err) == -EINVAL)
                conf_finding(r, DIAG_ERROR, err.list->places[err.index], err.hint, "cors: \"%.80s\" %s", err.list->list[err.index], err.text);
}

void
cors_check_conf(struct keys_reader *r, const struct conf *c)
{
        check(r, &c->cors);
        for (size_t i = 0; i < c->routes.count; i++)
                check(r, &conf_route_at(c, i)->cors);
}
