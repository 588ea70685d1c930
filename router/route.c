/* route.c - one row of `routes:`: the table of its keys, and the checks that one value needs.
 * SPDX-License-Identifier: MIT
 * From: keys.c, which reads along the table.   To: conf.c (rules between keys), compile.c (patterns, hosts, selectors).
 * Runs in: the caller's thread; no globals but constants. */
#include "route.h"

#include <errno.h>
#include <stdio.h>

#include "key_rows.h"
#include "target.h"

/* In the order of the M_ bits; the last bit, M_OTHER, has no word: it can be matched only by naming no method. */
static const char *const METHODS[] = { "GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS" };
enum { METHOD_COUNT = sizeof(METHODS) / sizeof(*METHODS) };

#define METHOD_WORDS "{\"enum\": [\"GET\", \"HEAD\", \"POST\", \"PUT\", \"DELETE\", \"PATCH\", \"OPTIONS\"]}"
#define METHODS_SCHEMA "\"anyOf\": [" METHOD_WORDS ", {\"type\": \"array\", \"minItems\": 1, \"items\": " METHOD_WORDS "}]"

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

static int
check_redirect_status(struct keys_reader *r, const struct key *k, const struct yaml_node *n, void *field)
{
        uint32_t status = *(const uint32_t *)field;

        if (status == 301 || status == 302 || status == 303 || status == 307 || status == 308)
                return 0;
        keys_error(r, n, NULL, "\"%s\" is %u, but a redirect is 301, 302, 303, 307 or 308", k->name, (unsigned)status);
        return -EINVAL;
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
