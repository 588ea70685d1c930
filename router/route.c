/* route.c - one row of `routes:`: the table of its keys, and the checks that one value needs.
 * SPDX-License-Identifier: MIT
 * From: keys.c, which reads along the table.   To: conf.c (rules between keys), compile.c (patterns, hosts, selectors).
 * Runs in: the caller's thread; no globals but constants. */
#include "route.h"

#include <errno.h>
#include <stdio.h>

#include "key_rows.h"
#include "route_auth.h"
#include "limit_keys.h"
#include "nets.h"
#include "route_checks.h"
#include "target.h"
#include "token.h"

/* In the order of the M_ bits; the last bit, M_OTHER, has no word: it can be matched only by naming no method. */
static const char *const METHODS[] = { "GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS" };
enum { METHOD_COUNT = sizeof(METHODS) / sizeof(*METHODS) };

#define METHOD_WORDS "{\"enum\": [\"GET\", \"HEAD\", \"POST\", \"PUT\", \"DELETE\", \"PATCH\", \"OPTIONS\"]}"
#define METHODS_SCHEMA "\"anyOf\": [" METHOD_WORDS ", {\"type\": \"array\", \"minItems\": 1, \"items\": " METHOD_WORDS "}]"

const char *const ROUTE_RETRIES[] = { "never", "idempotent", NULL };
const char *const ROUTE_SLASHES[] = { "strict", "redirect", "ignore", NULL };
static const char *const SCHEMES[] = { "any", "http", "https", NULL };

/* The struct that a field belongs to. */
static struct route *
route_of(void *field, size_t offset)
{
        return (struct route *)(void *)((char *)field - offset);
}

/* A header's value goes out as it stands: no control character may end its line. */
static int
check_header_value(struct keys_reader *r, const struct key *k, const struct yaml_node *n, void *field)
{
        const char *s = *(const char *const *)field;

        if (*s == '\0') {
                keys_error(r, n, NULL, "\"%s\" is empty", k->name);
                return -EINVAL;
        }
        for (; *s != '\0'; s++)
                if ((unsigned char)*s < 0x20 || *s == 0x7f) {
                        keys_error(r, n, NULL, "\"%s\" holds a control character", k->name);
                        return -EINVAL;
                }
        return 0;
}

/* Names within the folder, not ways out of it. */
static int
check_index(struct keys_reader *r, const struct key *k, const struct yaml_node *n, void *field)
{
        const struct key_strs *index = field;

        for (size_t i = 0; i < index->count; i++)
                if (index->list[i][0] == '\0' || index->list[i][0] == '.' || strchr(index->list[i], '/') != NULL) {
                        keys_error(r, n->kind == YAML_SEQ ? n->items[i] : n, NULL, "\"%s\" wants names of files, found \"%s\"", k->name, index->list[i]);
                        return -EINVAL;
                }
        return 0;
}

/* A name below the root, as a path of the URL would be. */
static int
check_fallback(struct keys_reader *r, const struct key *k, const struct yaml_node *n, void *field)
{
        const char *s = *(const char *const *)field;
        size_t len = strlen(s);

        if (len > 0 && s[0] != '/' && s[len - 1] != '/' && strstr(s, "..") == NULL && strstr(s, "//") == NULL)
                return 0;
        keys_error(r, n, NULL, "\"%s\" wants the name of a file below root, such as index.html, found \"%s\"", k->name, s);
        return -EINVAL;
}

static int
check_codings(struct keys_reader *r, const struct key *k, const struct yaml_node *n, void *field)
{
        const struct key_strs *codings = field;
        int err = 0;

        for (size_t i = 0; i < codings->count; i++) {
                const char *s = codings->list[i];
                const struct yaml_node *at = n->kind == YAML_SEQ ? n->items[i] : n;

                if (strcmp(s, "br") != 0 && strcmp(s, "gzip") != 0 && strcmp(s, "zstd") != 0) {
                        keys_error(r, at, strcmp(s, "gz") == 0 ? "did you mean \"gzip\"?" : strcmp(s, "zst") == 0 ? "did you mean \"zstd\"?" : strcmp(s, "brotli") == 0 ? "did you mean \"br\"?" : NULL,
                                   "\"%s\" wants br, gzip or zstd, found \"%.60s\"", k->name, s);
                        err = -EINVAL;
                }
                for (size_t j = 0; j < i; j++)
                        if (strcmp(codings->list[j], s) == 0) {
                                keys_error(r, at, NULL, "\"%s\": \"%.60s\" stands here twice", k->name, s);
                                err = -EINVAL;
                                break;
                        }
        }
        return err;
}

#define SYMLINKS_SCHEMA "\"enum\": [true, false, \"anywhere\"]"

static int
read_symlinks(struct keys_reader *r, const struct key *k, const struct yaml_node *n, void *field)
{
        static const struct { const char *word; uint32_t value; } words[] = {
                { "false", 0 }, { "no", 0 }, { "off", 0 }, { "true", 1 }, { "yes", 1 }, { "on", 1 }, { "anywhere", 2 },
        };

        for (size_t i = 0; n->kind == YAML_SCALAR && i < sizeof(words) / sizeof(*words); i++)
                if (span_is(n->scalar, span_of(words[i].word))) {
                        *(uint32_t *)field = words[i].value;
                        return 0;
                }
        keys_error(r, n, NULL, "\"%s\" wants true, false or anywhere", k->name);
        return -EINVAL;
}

static int
check_static(struct keys_reader *r, const struct key *k, const struct yaml_node *n, void *field)
{
        const struct route_static *s = field;

        (void)k;
        if (!s->immutable || s->cache_ms > 0)
                return 0;
        keys_error(r, n, "add cache: 365d", "\"immutable\" says nothing without \"cache\": for how long");
        return -EINVAL;
}

static int
note_path(struct keys_reader *r, const struct key *k, const struct yaml_node *n, void *field)
{
        (void)r;
        route_of(field, k->offset)->path_place = n->place;
        return 0;
}

static int
note_app(struct keys_reader *r, const struct key *k, const struct yaml_node *n, void *field)
{
        (void)r;
        route_of(field, k->offset)->app_place = n->place;
        return 0;
}

static int
note_host(struct keys_reader *r, const struct key *k, const struct yaml_node *n, void *field)
{
        (void)r;
        route_of(field, k->offset)->host_place = n->place;
        return 0;
}

static int
note_on(struct keys_reader *r, const struct key *k, const struct yaml_node *n, void *field)
{
        (void)r;
        route_of(field, k->offset)->on_place = n->place;
        return 0;
}

static int
check_to(struct keys_reader *r, const struct key *k, const struct yaml_node *n, void *field)
{
        ((struct route_redirect *)(void *)((char *)field - k->offset))->to_place = n->place;
        return check_header_value(r, k, n, field);
}

static int
note_body(struct keys_reader *r, const struct key *k, const struct yaml_node *n, void *field)
{
        (void)r;
        ((struct route_respond *)(void *)((char *)field - k->offset))->body_place = n->place;
        return 0;
}

/* ---- when: ------------------------------------------------------------------------------------------------------------------------ */

static int
read_nets(struct keys_reader *r, const struct key *k, const struct yaml_node *n, void *field)
{
        struct route_when *w = (struct route_when *)(void *)((char *)field - k->offset);

        if (w->source.count == 0) {
                keys_error(r, n, "leave it away to take every client", "\"%s\" is empty: the route could never match", k->name);
                return -EINVAL;
        }
        w->net_count = w->source.count;
        return nets_read(r, k, n, &w->source, false, &w->nets);
}

/* A value is asked for as a whole, within what the server keeps of one. */
static int
check_values(struct keys_reader *r, const struct key *k, const struct yaml_node *n, const struct key_map *map)
{
        int err = 0;

        for (size_t i = 0; i < map->count; i++)
                if (strlen(map->values[i]) > ROUTE_VALUE_MAX) {
                        keys_error(r, n->pairs[i].value, NULL, "\"%s\": a value of more than %d bytes", k->name, ROUTE_VALUE_MAX);
                        err = -EINVAL;
                }
        return err;
}

/* Names go in lower case, as the facts are asked for. */
static int
check_header_names(struct keys_reader *r, const struct key *k, const struct yaml_node *n, void *field)
{
        const struct key_map *map = field;
        int err = check_values(r, k, n, map);

        for (size_t i = 0; i < map->count; i++) {
                char *low = arena_strdup(r->arena, map->keys[i]);

                if (low == NULL)
                        return -ENOMEM;
                for (char *p = low; *p != '\0'; p++)
                        if (*p >= 'A' && *p <= 'Z')
                                *p |= 0x20;
                map->keys[i] = low;
                if (!token_is(span_of(low))) {
                        keys_error(r, n->pairs[i].key, NULL, "\"%s\": \"%.60s\" is no name of a header", k->name, low);
                        err = -EINVAL;
                }
                for (size_t j = 0; j < i; j++)
                        if (strcmp(map->keys[j], low) == 0) {
                                keys_error(r, n->pairs[i].key, NULL, "\"%s\": \"%.60s\" stands here twice; upper and lower case are the same", k->name, low);
                                err = -EINVAL;
                        }
        }
        return err;
}

static int
check_fact_names(struct keys_reader *r, const struct key *k, const struct yaml_node *n, void *field)
{
        const struct key_map *map = field;
        bool cookies = strcmp(k->name, "cookies") == 0;
        int err = check_values(r, k, n, map);

        for (size_t i = 0; i < map->count; i++)
                if (cookies ? !token_is(span_of(map->keys[i])) : map->keys[i][0] == '\0') {
                        keys_error(r, n->pairs[i].key, NULL, "\"%s\": \"%.60s\" is no name of a %s", k->name, map->keys[i], cookies ? "cookie" : "parameter");
                        err = -EINVAL;
                }
        return err;
}

/* Conditions that came to nothing would make the route stand for everybody: that is never what was meant. */
static int
check_when(struct keys_reader *r, const struct key *k, const struct yaml_node *n, void *field)
{
        const struct route_when *w = field;

        if (route_when_count(w) > 0)
                return 0;
        keys_error(r, n, "leave it away for a route without conditions", "\"%s\" holds no condition", k->name);
        return -EINVAL;
}

static int
check_target(struct keys_reader *r, const struct key *k, const struct yaml_node *n, void *field)
{
        if (target_colons(*(const char *const *)field) == 1)
                return 0;
        keys_error(r, n, "such as \"users:show\"", "\"%s\" wants module:function, found \"%s\"", k->name, n->scalar.ptr);
        return -EINVAL;
}

static int
read_method(struct keys_reader *r, const struct yaml_node *n, uint32_t *mask)
{
        char hint[64];
        const char *near;

        if (n->kind != YAML_SCALAR) {
                keys_error(r, n, NULL, "\"methods\" wants a list of methods, such as [GET, POST]");
                return -EINVAL;
        }
        for (uint32_t i = 0; i < METHOD_COUNT; i++)
                if (span_is(n->scalar, span_of(METHODS[i]))) {
                        *mask |= 1u << i;
                        if (1u << i == M_GET)
                                *mask |= M_HEAD;
                        return 0;
                }
        near = diag_nearest(n->scalar, METHODS, METHOD_COUNT);
        if (near != NULL)
                snprintf(hint, sizeof(hint), "did you mean \"%s\"?", near);
        keys_error(r, n, near != NULL ? hint : NULL, "unknown method \"%.40s\"", n->scalar.ptr);
        return -EINVAL;
}

static int
read_methods(struct keys_reader *r, const struct key *k, const struct yaml_node *n, void *field)
{
        size_t count = n->kind == YAML_SEQ ? n->count : 1;
        uint32_t mask = 0;
        int err = 0;

        for (size_t i = 0; i < count; i++)
                if (read_method(r, n->kind == YAML_SEQ ? n->items[i] : n, &mask) < 0)
                        err = -EINVAL;
        if (count == 0) {
                keys_error(r, n, "leave it away to match every method", "\"%s\" is empty: the route could never match", k->name);
                err = -EINVAL;
        }
        if (err == 0)
                *(uint32_t *)field = mask;
        return err;
}

#include "route_keys.def"
