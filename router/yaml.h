/* yaml.h - YAML text as a tree that remembers where everything stood.
 * SPDX-License-Identifier: MIT
 * libyaml's events become nodes in an arena. Duplicate keys, alias bombs (node budget), a depth over 64, several documents and
 * text that is not UTF-8 are findings with a place. Tags other than the core ones are findings. No globals, any thread, one tree per call. */
#ifndef HEART_YAML_H
#define HEART_YAML_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "arena.h"
#include "diag.h"

/* The texts that one configuration is made of: routes.yaml first, then what its `include:` named, in order.
 * On disk: yaml_load reads included files and adds them here. From a bundle: they are all here already and the disk is not touched. */
struct source {
        char *path;  /* as it is named in findings */
        char *bytes; /* NUL-terminated */
        size_t len;
};
struct sources {
        struct source *list;
        size_t count, _room;
        bool complete; /* true: never read the disk, the list is all there is */
};
void sources_init(struct sources *s);
void sources_fini(struct sources *s);
/* Copies path and bytes. 0 or -ENOMEM. */
int sources_add(struct sources *s, const char *path, const char *bytes, size_t len);
/* Reads a file into the list (at most 16 MiB, regular files only). 0 or -errno; on failure a finding is added too. */
int sources_read(struct sources *s, const char *path, struct diags *d);
/* The text of line `line` (from 1) of the source named `file`; .ptr NULL when there is none. */
struct span sources_line(const struct sources *s, const char *file, uint32_t line);

enum yaml_kind { YAML_NULL, YAML_SCALAR, YAML_SEQ, YAML_MAP };
struct yaml_pair;
struct yaml_node {
        enum yaml_kind kind;
        struct place place;  /* .file is borrowed from the sources */
        struct span scalar;  /* SCALAR: the text, NUL-terminated in the arena */
        bool quoted;         /* SCALAR: 'x' or "x" or a block: always a string */
        struct yaml_node **items; /* SEQ */
        struct yaml_pair *pairs;  /* MAP, in file order, keys unique */
        size_t count;             /* of items or pairs */
};
struct yaml_pair {
        struct yaml_node *key; /* always SCALAR */
        struct yaml_node *value;
};

/* Parses s->list[0]; follows the top-level key `include: [glob, ...]` (relative to that file; sorted per glob; included files may hold
 * the same top-level keys: lists are appended, maps are merged, a scalar given twice is a finding with both places; no nesting of include).
 * The result has no `include` key. Returns 0 with *ret_root, or -EINVAL after adding findings, or -ENOMEM. */
int yaml_load(struct sources *s, struct arena *a, struct diags *d, struct yaml_node **ret_root);
/* Parses one text (JSON is fine: YAML holds it) under the name `name`. Used for what pyworkers report. */
int yaml_parse(const char *name, const char *bytes, size_t len, struct arena *a, struct diags *d, struct yaml_node **ret_root);

/* Borrow the value of a key of a MAP, NULL when absent or node is NULL or no map. */
const struct yaml_node *yaml_get(const struct yaml_node *map, const char *key);

#endif
