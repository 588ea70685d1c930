/* keys.h - one table of keys: from it come parsing, ranges, "did you mean", show, the JSON schema and the manual.
 * SPDX-License-Identifier: MIT
 * A table describes the fields of one C struct. keys_read walks a YAML map along a table and fills the struct (whose strings and lists
 * live in the arena); every finding of a map is reported, not only the first. Constant data; any thread. */
#ifndef HEART_KEYS_H
#define HEART_KEYS_H

#include <stddef.h>
#include <stdint.h>

#include "yaml.h"

enum key_type {
        KEY_BOOL,      /* bool: true false yes no on off                                                   */
        KEY_UINT,      /* uint32_t within min..max                                                         */
        KEY_AUTO,      /* uint32_t; "auto" is stored as 0                                                  */
        KEY_DURATION,  /* uint64_t milliseconds: 500ms 2s 10m 1h 1d; "0" alone is fine; a bare number else is a finding */
        KEY_SIZE,      /* uint64_t bytes: 512 16k 4m 1g                                                     */
        KEY_STR,       /* const char *                                                                     */
        KEY_PATH,      /* const char *: a relative one is made absolute against the folder of the main file */
        KEY_ENUM,      /* uint32_t: index in `words`                                                       */
        KEY_STRS,      /* struct key_strs: a list of strings (one string alone is a list of one)           */
        KEY_MAP,       /* struct key_map: string -> string                                                 */
        KEY_STRUCT,    /* a nested struct described by `sub`                                               */
        KEY_LIST,      /* struct key_list of `sub` structs                                                 */
        KEY_NAMED,     /* struct key_list of `sub` structs from a map name -> struct; the name goes to the sub-struct's first field, const char *name */
        KEY_CUSTOM,    /* `read` does it all: for the few keys with more than one shape (listen: 8080 | {...}) */
};
enum key_applies { KEY_RELOAD, KEY_RESTART };

struct key_strs { const char **list; struct place *places; size_t count; };
struct key_map  { const char **keys, **values; size_t count; };
struct key_list { void *list; size_t count; };

struct key;
struct key_table {
        const char *name;       /* "routes": for findings (unknown key "timout" in "routes") */
        const struct key *keys; /* count of them */
        size_t count;
        size_t size;            /* sizeof the struct */
        size_t place_offset;    /* offset of a `struct place place` in the struct, or SIZE_MAX */
        size_t set_offset;      /* offset of a `uint64_t set` mask (bit i: key i was given in the file), or SIZE_MAX */
};

struct keys_reader;
typedef int (*key_read_fn)(struct keys_reader *r, const struct key *k, const struct yaml_node *value, void *ret_field);

struct key {
        const char *name;
        enum key_type type;
        size_t offset;              /* of the field in the struct */
        const char *dflt;           /* as it would stand in the file; NULL: zero; "!" : the key must be given */
        uint64_t min, max;          /* for numbers, sizes, durations, counts */
        enum key_applies applies;
        const char *const *words;   /* ENUM: NULL-terminated */
        const struct key_table *sub;
        key_read_fn read;           /* CUSTOM; also a check that runs after any other type was stored */
        const char *schema;         /* CUSTOM: its JSON schema as text */
        const char *help;           /* one sentence */
};

/* What one reading needs. Made by the caller on the stack. */
struct keys_reader {
        const struct sources *sources;
        struct arena *arena;
        struct diags *diags;
        const char *base_dir;       /* for KEY_PATH */
        struct key_origins *origins; /* may be NULL */
        const char *path;           /* while a key's `read` runs: where the key stands, such as routes[3].compress */
        bool _in_list;              /* of keys.c and readers of many alike: defaults within lists are not shown */
};

/* For `heartctl show`: every value and where it came from. */
struct key_origin { const char *path; /* limits.body */ const char *value; struct place place; /* line 0: the default */ };
struct key_origins { struct key_origin *list; size_t count, _room; };

/* node may be NULL (everything default). 0, or -EINVAL with findings in r->diags, or -ENOMEM. ret_struct is filled either way. */
int keys_read(struct keys_reader *r, const struct key_table *t, const struct yaml_node *node, const char *path, void *ret_struct);
int keys_read_one(struct keys_reader *r, const struct key *k, const struct yaml_node *value, const char *path, void *ret_struct);
/* Was this key given? name must be one of the table's; set is what the table's set_offset field holds. */
bool keys_is_set(const struct key_table *t, uint64_t set, const char *name);
/* Keys that were not given here (set) become what they are in base, nested structs (which must keep a set of their own) likewise. */
void keys_inherit(const struct key_table *t, void *own, const void *base);
/* One finding at a node, with its source line and caret. */
void keys_error(struct keys_reader *r, const struct yaml_node *at, const char *hint, const char *fmt, ...)
        __attribute__((format(printf, 4, 5)));

/* Numbers with units, on their own for tests and fuzzers: 0 or -EINVAL or -ERANGE. */
int keys_parse_duration(struct span text, uint64_t *ret_ms);
int keys_parse_size(struct span text, uint64_t *ret_bytes);

/* The JSON schema (draft 2020-12) of a table, and the table as a man page's .TP list. malloc'ed. */
char *keys_schema(const struct key_table *root, const char *title);
char *keys_manual(const struct key_table *root);

#endif
