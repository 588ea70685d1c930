/* include.c - several files become one tree: `include: [more.yaml]`, globs too.
 * SPDX-License-Identifier: MIT
 * From: source.c's texts, parsed one by one by yaml.c.   To: keys.c by way of conf_load.
 * Joining, per top-level key: lists are appended, maps are merged entry by entry, anything given twice is a finding with both places.
 * Runs in: the caller's thread.   Limits: one level (an included file includes nothing), 1000 files, one node budget for all of them. */
#include "yaml.h"

#include <errno.h>
#include <glob.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "yaml_priv.h"

enum { INCLUDES_MAX = 1000 };

struct joiner {
        struct sources *sources;
        struct arena *arena;
        struct diags *diags;
        size_t nodes;
        bool bad; /* a finding was added that does not end the loading */
};

static void finding(struct joiner *j, enum diag_level level, const struct yaml_node *at, const char *hint, const char *fmt, ...)
        __attribute__((format(printf, 5, 6)));

static void
finding(struct joiner *j, enum diag_level level, const struct yaml_node *at, const char *hint, const char *fmt, ...)
{
        struct span line = sources_line(j->sources, at->place.file, at->place.line);
        char text[512];
        va_list ap;

        va_start(ap, fmt);
        vsnprintf(text, sizeof(text), fmt, ap);
        va_end(ap);
        diag_add(j->diags, level, at->place, line, hint, "%s", text);
        if (level == DIAG_ERROR)
                j->bad = true;
}

/* ---- which files ------------------------------------------------------------------------------------------------------------ */

static bool
is_known(const struct joiner *j, const char *path)
{
        for (size_t i = 0; i < j->sources->count; i++)
                if (strcmp(j->sources->list[i].path, path) == 0)
                        return true; /* named twice, or a glob that finds the main file itself: once is enough */
        return false;
}

/* A folder that is not there holds no match; one that may not be read is an error. */
static int
is_fatal(const char *path, int error)
{
        (void)path;
        return error != ENOENT && error != ENOTDIR;
}

static int
read_glob(struct joiner *j, const struct yaml_node *at)
{
        const char *main_path = j->sources->list[0].path, *slash = strrchr(main_path, '/');
        int dir_len = slash != NULL && at->scalar.ptr[0] != '/' ? (int)(slash - main_path) + 1 : 0;
        char *pattern = arena_printf(j->arena, "%.*s%s", dir_len, main_path, at->scalar.ptr);
        glob_t found = { 0 };
        int r = 0;

        if (pattern == NULL)
                return -ENOMEM;
        r = glob(pattern, 0, is_fatal, &found); /* sorted by glob itself */
        if (r == GLOB_NOSPACE)
                return -ENOMEM;
        if (r == GLOB_ABORTED) {
                finding(j, DIAG_ERROR, at, NULL, "include: cannot read a folder of \"%s\"", at->scalar.ptr);
        } else if (r == GLOB_NOMATCH && strpbrk(pattern, "*?[") == NULL) {
                finding(j, DIAG_ERROR, at, NULL, "include: no file \"%s\"", pattern);
        }
        for (size_t i = 0; r == 0 && i < found.gl_pathc; i++) {
                if (is_known(j, found.gl_pathv[i]))
                        continue;
                if (j->sources->count > INCLUDES_MAX) {
                        finding(j, DIAG_ERROR, at, NULL, "include: more than %d files", INCLUDES_MAX);
                        break;
                }
                if (sources_read(j->sources, found.gl_pathv[i], j->diags) < 0)
                        j->bad = true;
        }
        globfree(&found);
        return 0;
}

static int
read_includes(struct joiner *j, const struct yaml_node *include)
{
        const struct yaml_node *one[1] = { include };
        size_t count = include->kind == YAML_SEQ ? include->count : 1;
        int r;

        for (size_t i = 0; i < count; i++) {
                const struct yaml_node *n = include->kind == YAML_SEQ ? include->items[i] : one[0];

                if (n->kind != YAML_SCALAR || n->scalar.len == 0 || strlen(n->scalar.ptr) != n->scalar.len) {
                        finding(j, DIAG_ERROR, n, NULL, "\"include\" wants a list of files, such as [routes.d/*.yaml]");
                        continue;
                }
                r = read_glob(j, n);
                if (r < 0)
                        return r;
        }
        return 0;
}

/* ---- joining ---------------------------------------------------------------------------------------------------------------- */

static void
given_twice(struct joiner *j, const struct yaml_pair *first, const struct yaml_pair *second)
{
        finding(j, DIAG_ERROR, second->key, NULL, "\"%s\" is given in two files", second->key->scalar.ptr);
        finding(j, DIAG_NOTE, first->key, NULL, "the other \"%s\" is here", first->key->scalar.ptr);
}

static struct yaml_pair *
find_pair(const struct yaml_node *map, struct span key)
{
        for (size_t i = 0; i < map->count; i++)
                if (span_is(map->pairs[i].key->scalar, key))
                        return &map->pairs[i];
        return NULL;
}

/* The copy may be changed: nodes that were read may be shared through aliases. room: pairs or items that will be added. */
static struct yaml_node *
copy_with_room(struct joiner *j, const struct yaml_node *n, size_t room)
{
        struct yaml_node *copy = arena_alloc(j->arena, sizeof(*copy));

        if (copy == NULL)
                return NULL;
        *copy = *n;
        copy->items = n->kind == YAML_SEQ ? arena_alloc(j->arena, (n->count + room) * sizeof(struct yaml_node *)) : NULL;
        copy->pairs = n->kind == YAML_MAP ? arena_alloc(j->arena, (n->count + room) * sizeof(struct yaml_pair)) : NULL;
        if (copy->items == NULL && copy->pairs == NULL)
                return NULL;
        if (n->kind == YAML_SEQ && n->count > 0)
                memcpy(copy->items, n->items, n->count * sizeof(struct yaml_node *));
        if (n->kind == YAML_MAP && n->count > 0)
                memcpy(copy->pairs, n->pairs, n->count * sizeof(struct yaml_pair));
        return copy;
}

static int
join_value(struct joiner *j, struct yaml_pair *into, const struct yaml_pair *from)
{
        const struct yaml_node *more = from->value;
        struct yaml_node *joined;

        if (into->value->kind != more->kind || (more->kind != YAML_SEQ && more->kind != YAML_MAP)) {
                given_twice(j, into, from);
                return 0;
        }
        joined = copy_with_room(j, into->value, more->count);
        if (joined == NULL)
                return -ENOMEM;
        for (size_t i = 0; i < more->count; i++) {
                if (more->kind == YAML_SEQ) {
                        joined->items[joined->count++] = more->items[i];
                } else {
                        const struct yaml_pair *old = find_pair(into->value, more->pairs[i].key->scalar);

                        if (old != NULL)
                                given_twice(j, old, &more->pairs[i]);
                        else
                                joined->pairs[joined->count++] = more->pairs[i];
                }
        }
        into->value = joined;
        return 0;
}

/* root has room for what every file may add: see yaml_load. */
static int
join_file(struct joiner *j, struct yaml_node *root, const struct yaml_node *file)
{
        int r;

        if (file->kind == YAML_NULL)
                return 0; /* an empty file includes nothing, and says nothing */
        if (file->kind != YAML_MAP) {
                finding(j, DIAG_ERROR, file, NULL, "an included file is a map of settings, like the main one");
                return 0;
        }
        for (size_t i = 0; i < file->count; i++) {
                struct yaml_pair *old = find_pair(root, file->pairs[i].key->scalar);

                if (span_is(file->pairs[i].key->scalar, SPAN_LIT("include"))) {
                        finding(j, DIAG_ERROR, file->pairs[i].key, NULL, "an included file cannot include others");
                } else if (old == NULL) {
                        root->pairs[root->count++] = file->pairs[i];
                } else if ((r = join_value(j, old, &file->pairs[i])) < 0) {
                        return r;
                }
        }
        return 0;
}

static int
parse_source(struct joiner *j, size_t i, struct yaml_node **ret)
{
        const struct source *s = &j->sources->list[i];
        int r = yaml_read(s->path, s->bytes, s->len, &j->nodes, j->arena, j->diags, ret);

        if (r == -EINVAL)
                j->bad = true;
        return r == -ENOMEM ? r : 0;
}

static int
join_all(struct joiner *j, struct yaml_node *main_root, struct yaml_node **ret_root)
{
        struct yaml_pair *include = find_pair(main_root, SPAN_LIT("include"));
        struct yaml_node **files, *root;
        size_t room = 0;
        int r = 0;

        if (include != NULL && !j->sources->complete)
                r = read_includes(j, include->value);
        files = arena_alloc(j->arena, j->sources->count * sizeof(struct yaml_node *));
        if (r < 0 || files == NULL)
                return -ENOMEM;
        for (size_t i = 1; i < j->sources->count; i++) {
                r = parse_source(j, i, &files[i]);
                if (r < 0)
                        return r;
                room += files[i] != NULL ? files[i]->count : 0;
        }
        root = copy_with_room(j, main_root, room);
        if (root == NULL)
                return -ENOMEM;
        if (include != NULL) {
                size_t at = (size_t)(include - main_root->pairs);

                memmove(root->pairs + at, root->pairs + at + 1, (root->count - at - 1) * sizeof(*root->pairs));
                root->count--;
        }
        for (size_t i = 1; r == 0 && i < j->sources->count; i++)
                if (files[i] != NULL)
                        r = join_file(j, root, files[i]);
        *ret_root = root;
        return r;
}

int
yaml_load(struct sources *s, struct arena *a, struct diags *d, struct yaml_node **ret_root)
{
        struct joiner j = { .sources = s, .arena = a, .diags = d };
        struct yaml_node *root = NULL;
        int r = parse_source(&j, 0, &root);

        if (r < 0)
                return r;
        if (root != NULL && root->kind != YAML_MAP && root->kind != YAML_NULL) {
                finding(&j, DIAG_ERROR, root, NULL, "the file is a map of settings, such as \"listen: 8080\"");
                root = NULL;
        }
        if (root != NULL && root->kind == YAML_MAP)
                r = join_all(&j, root, &root);
        if (r < 0)
                return r;
        if (root != NULL)
                *ret_root = root; /* also beside findings: the caller may look for more */
        return j.bad ? -EINVAL : 0;
}
