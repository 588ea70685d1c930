/* app_conf.c - a conf_app on its own: copied so that it outlives its generation, and compared field by field.
 * SPDX-License-Identifier: MIT
 * One table says which fields a conf_app has; copy and comparison both walk it. A new key in conf_keys.def is a new row here: the static_assert reminds. */
#include "app_conf.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

enum field_kind { F_STR, F_U32, F_U64, F_MAP };

static const struct field { const char *name; enum field_kind kind; size_t offset; } fields[] = {
        { "name",          F_STR, offsetof(struct conf_app, name) },
        { "wsgi",          F_STR, offsetof(struct conf_app, wsgi) },
        { "heart",         F_STR, offsetof(struct conf_app, heart) },
        { "kind",          F_U32, offsetof(struct conf_app, kind) },
        { "target",        F_STR, offsetof(struct conf_app, target) },
        { "path",          F_STR, offsetof(struct conf_app, path) },
        { "venv",          F_STR, offsetof(struct conf_app, venv) },
        { "python",        F_STR, offsetof(struct conf_app, python) },
        { "user",          F_STR, offsetof(struct conf_app, user) },
        { "root_path",     F_STR, offsetof(struct conf_app, root_path) },
        { "env",           F_MAP, offsetof(struct conf_app, env) },
        { "processes",     F_U32, offsetof(struct conf_app, processes) },
        { "threads",       F_U32, offsetof(struct conf_app, threads) },
        { "timeout_kill",  F_U64, offsetof(struct conf_app, timeout_kill_ms) },
        { "start_timeout", F_U64, offsetof(struct conf_app, start_timeout_ms) },
        { "queue.size",    F_U32, offsetof(struct conf_app, queue.size) },
        { "queue.timeout", F_U64, offsetof(struct conf_app, queue.timeout_ms) },
};
#define FIELD_COUNT (sizeof fields / sizeof *fields)
static_assert(sizeof(enum app_kind) == 4, "F_U32 reads it");
static_assert(sizeof(struct conf_app) == offsetof(struct conf_app, queue) + sizeof(struct conf_queue), "a field was added: it needs a row above");

static const void *
field_at(const struct conf_app *app, const struct field *f)
{
        return (const char *)app + f->offset;
}

static int
copy_str(const char *from, struct arena *a, const char **ret)
{
        *ret = from ? arena_strdup(a, from) : NULL;
        return from && !*ret ? -ENOMEM : 0;
}

static int
copy_map(const struct key_map *from, struct arena *a, struct key_map *ret)
{
        const char **keys = arena_alloc(a, (from->count + 1) * sizeof *keys);
        const char **values = arena_alloc(a, (from->count + 1) * sizeof *values);

        if (!keys || !values)
                return -ENOMEM;
        for (size_t i = 0; i < from->count; i++)
                if (copy_str(from->keys[i], a, &keys[i]) < 0 || copy_str(from->values[i], a, &values[i]) < 0)
                        return -ENOMEM;
        *ret = (struct key_map){ keys, values, from->count };
        return 0;
}

int
app_conf_copy(const struct conf_app *from, struct arena *a, struct conf_app *ret)
{
        struct conf_app copy = *from;

        copy.place = (struct place){ 0 };
        for (size_t i = 0; i < FIELD_COUNT; i++) {
                const struct field *f = &fields[i];
                void *to = (char *)&copy + f->offset;
                int e = 0;

                if (f->kind == F_STR)
                        e = copy_str(*(const char *const *)field_at(from, f), a, to);
                else if (f->kind == F_MAP)
                        e = copy_map(field_at(from, f), a, to);
                if (e < 0)
                        return e;
        }
        *ret = copy;
        return 0;
}

static bool
str_same(const char *a, const char *b)
{
        return a == b || (a && b && strcmp(a, b) == 0);
}

/* The order of an environment's variables does not matter. */
static bool
map_same(const struct key_map *a, const struct key_map *b)
{
        if (a->count != b->count)
                return false;
        for (size_t i = 0; i < a->count; i++) {
                size_t k = 0;

                while (k < b->count && strcmp(a->keys[i], b->keys[k]) != 0)
                        k++;
                if (k == b->count || !str_same(a->values[i], b->values[k]))
                        return false;
        }
        return true;
}

static bool
field_same(const struct field *f, const void *a, const void *b)
{
        switch (f->kind) {
        case F_STR: return str_same(*(const char *const *)a, *(const char *const *)b);
        case F_U32: return *(const uint32_t *)a == *(const uint32_t *)b;
        case F_U64: return *(const uint64_t *)a == *(const uint64_t *)b;
        case F_MAP: return map_same(a, b);
        }
        return false;
}

const char *
app_conf_differs(const struct conf_app *a, const struct conf_app *b)
{
        for (size_t i = 0; i < FIELD_COUNT; i++)
                if (!field_same(&fields[i], field_at(a, &fields[i]), field_at(b, &fields[i])))
                        return fields[i].name;
        return NULL;
}

bool
app_targets_same(const char *const *a, size_t a_count, const char *const *b, size_t b_count)
{
        if (a_count != b_count)
                return false;
        for (size_t i = 0; i < a_count; i++)
                if (strcmp(a[i], b[i]) != 0)
                        return false;
        return true;
}
