/* keys.c - a YAML map is read along a table of keys into a C struct.
 * SPDX-License-Identifier: MIT
 * From: yaml.c's tree.   To: conf.c (the whole file) and route.c (one route).   The same tables feed keys_doc.c.
 * Runs in: the caller's thread; no globals.   A value that is wrong is a finding, its field keeps the default, and the reading goes on. */
#include "keys.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "keys_priv.h"
#include "memstream.h"

enum {
        FINDINGS_ENOUGH = 1000, /* as many as diag.c keeps: past it no time goes into words */
        KEYS_IN_TABLE = 64,     /* bits of the `set` mask */
        ORIGIN_SHOWN = 200,     /* bytes of a list or map that `show` prints */
};

void
keys_error(struct keys_reader *r, const struct yaml_node *at, const char *hint, const char *fmt, ...)
{
        struct span line = { NULL, 0 };
        char *text = NULL;
        va_list ap;

        if (r->diags->count < FINDINGS_ENOUGH) {
                line = sources_line(r->sources, at->place.file, at->place.line);
                va_start(ap, fmt);
                if (vasprintf(&text, fmt, ap) < 0)
                        text = NULL;
                va_end(ap);
        }
        diag_add(r->diags, DIAG_ERROR, at->place, line, hint, "%s", text != NULL ? text : "out of memory while describing a finding");
        free(text);
}

/* What stands at a node, in words, for "found ...". */
static const char *
found(const struct yaml_node *n, char out[96])
{
        switch (n->kind) {
        case YAML_NULL:
                return "nothing";
        case YAML_SEQ:
                return "a list";
        case YAML_MAP:
                return "a map";
        case YAML_SCALAR:
                snprintf(out, 96, "\"%.*s\"%s", n->scalar.len < 60 ? (int)n->scalar.len : 60, n->scalar.ptr, n->scalar.len < 60 ? "" : "...");
                return out;
        }
        return "something else";
}

static int
wrong(struct keys_reader *r, const struct key *k, const struct yaml_node *n, const char *hint, const char *wanted)
{
        char buf[96];

        keys_error(r, n, hint, "\"%s\" wants %s, found %s", k->name, wanted, found(n, buf));
        return -EINVAL;
}

/* ---- show: every value and where it came from -------------------------------------------------------------------------------- */

static void
put_node(FILE *out, const struct yaml_node *n)
{
        const char *before = n->kind == YAML_MAP ? "{" : "[", *after = n->kind == YAML_MAP ? "}" : "]";

        if (n->kind == YAML_NULL || ftell(out) > ORIGIN_SHOWN)
                return;
        if (n->kind == YAML_SCALAR) {
                fprintf(out, "%.*s", n->scalar.len < ORIGIN_SHOWN ? (int)n->scalar.len : ORIGIN_SHOWN, n->scalar.ptr);
                return;
        }
        fputs(before, out);
        for (size_t i = 0; i < n->count && ftell(out) <= ORIGIN_SHOWN; i++) {
                if (i > 0)
                        fputs(", ", out);
                if (n->kind == YAML_MAP)
                        fprintf(out, "%s: ", n->pairs[i].key->scalar.ptr);
                put_node(out, n->kind == YAML_MAP ? n->pairs[i].value : n->items[i]);
        }
        fputs(ftell(out) > ORIGIN_SHOWN ? "..." : after, out);
}

/* The value as text in the arena, on one line; NULL without memory. */
static const char *
node_text(struct arena *a, const struct yaml_node *n)
{
        char *text = NULL, *kept;
        size_t len;
        FILE *out;

        if (n->kind == YAML_SCALAR && n->scalar.len < ORIGIN_SHOWN)
                return n->scalar.ptr;
        out = open_memstream(&text, &len);
        if (out == NULL)
                return NULL;
        put_node(out, n);
        text = memstream_close(out, &text);
        if (text == NULL)
                return NULL;
        kept = arena_strndup(a, text, len);
        free(text);
        return kept;
}

static int
origin_add(struct keys_reader *r, const struct key *k, const struct yaml_node *n, const char *path)
{
        struct key_origins *o = r->origins;
        const char *value = n != NULL ? node_text(r->arena, n) : k->dflt != NULL ? k->dflt : "";
        const char *kept = arena_strdup(r->arena, path);

        if (value == NULL || kept == NULL)
                return -ENOMEM;
        if (o->count == o->_room) {
                size_t room = o->_room != 0 ? o->_room * 2 : 128;
                struct key_origin *list = realloc(o->list, room * sizeof(*list));

                if (list == NULL)
                        return -ENOMEM;
                o->list = list;
                o->_room = room;
        }
        o->list[o->count] = (struct key_origin){ kept, value, { NULL, 0, 0, 0 } };
        if (n != NULL)
                o->list[o->count].place = n->place;
        o->count++;
        return 0;
}

/* ---- values --------------------------------------------------------------------------------------------------------------------- */

static bool
is_text(const struct yaml_node *n)
{
        return n->kind == YAML_SCALAR;
}

static int
read_bool(struct keys_reader *r, const struct key *k, const struct yaml_node *n, bool *ret)
{
        static const struct { const char *word; bool value; } words[] = { { "true", true }, { "yes", true }, { "on", true }, { "false", false }, { "no", false }, { "off", false } };

        for (size_t i = 0; is_text(n) && !n->quoted && i < sizeof(words) / sizeof(*words); i++)
                if (strcasecmp(n->scalar.ptr, words[i].word) == 0 && strlen(n->scalar.ptr) == n->scalar.len) {
                        *ret = words[i].value;
                        return 0;
                }
        return wrong(r, k, n, NULL, "true or false");
}

static int
check_range(struct keys_reader *r, const struct key *k, const struct yaml_node *n, uint64_t value)
{
        char low[32], high[32];

        if (value >= k->min && value <= k->max)
                return 0;
        keys_format_number(k->type, k->min, low, sizeof(low));
        keys_format_number(k->type, k->max, high, sizeof(high));
        keys_error(r, n, NULL, "\"%s\" is %s, but must be %s to %s", k->name, n->scalar.ptr, low, high);
        return -EINVAL;
}

static int
read_uint(struct keys_reader *r, const struct key *k, const struct yaml_node *n, uint32_t *ret)
{
        const char *wanted = k->type == KEY_AUTO ? "a whole number or auto" : "a whole number";
        uint64_t value = 0;
        size_t used = 0;
        int err = -EINVAL;

        if (k->type == KEY_AUTO && is_text(n) && span_is(n->scalar, SPAN_LIT("auto"))) {
                *ret = 0;
                return 0;
        }
        if (is_text(n) && !n->quoted)
                err = keys_parse_digits(n->scalar, &used, &value);
        if (err == -ERANGE) {
                value = UINT64_MAX; /* past any range: said as such */
                used = n->scalar.len;
                err = 0;
        }
        if (err < 0 || used != n->scalar.len)
                return wrong(r, k, n, is_text(n) && n->quoted ? "without the quotes" : NULL, wanted);
        err = check_range(r, k, n, value);
        if (err == 0)
                *ret = (uint32_t)value;
        return err;
}

/* What a number without its unit, or with another's, may have meant: 30 -> "30s" or "30ms", 10MB -> "10m". Empty: no idea. */
static const char *
unit_hint(const struct key *k, const struct yaml_node *n, char out[96])
{
        uint64_t value = 0;
        size_t used = 0;
        struct span unit;

        *out = '\0';
        if (!is_text(n) || keys_parse_digits(n->scalar, &used, &value) < 0)
                return NULL;
        unit = (struct span){ n->scalar.ptr + used, n->scalar.len - used };
        if (k->type == KEY_DURATION && unit.len == 0)
                snprintf(out, 96, "which unit? \"%.20ss\" or \"%.20sms\"", n->scalar.ptr, n->scalar.ptr);
        else if (k->type == KEY_SIZE && unit.len <= 4 && strchr("kKmMgG", *unit.ptr) != NULL && unit.ptr[strcspn(unit.ptr, "bB")] != '\0')
                snprintf(out, 96, "did you mean \"%.*s%c\"?", used < 20 ? (int)used : 20, n->scalar.ptr, *unit.ptr | 0x20);
        return *out != '\0' ? out : NULL;
}

static int
read_number_with_unit(struct keys_reader *r, const struct key *k, const struct yaml_node *n, uint64_t *ret)
{
        bool is_duration = k->type == KEY_DURATION;
        uint64_t value = 0;
        char hint[96];
        int err = -EINVAL;

        if (is_text(n))
                err = is_duration ? keys_parse_duration(n->scalar, &value) : keys_parse_size(n->scalar, &value);
        if (err == -ERANGE) {
                value = UINT64_MAX;
                err = 0;
        }
        if (err < 0)
                return wrong(r, k, n, unit_hint(k, n, hint), is_duration ? "a duration (500ms, 2s, 10m, 1h, 1d)" : "a size (512, 16k, 4m, 1g)");
        err = check_range(r, k, n, value);
        if (err == 0)
                *ret = value;
        return err;
}

/* A string that C can hold. */
static int
read_str(struct keys_reader *r, const struct key *k, const struct yaml_node *n, const char **ret)
{
        if (!is_text(n))
                return wrong(r, k, n, NULL, "text");
        if (memchr(n->scalar.ptr, '\0', n->scalar.len) != NULL) {
                keys_error(r, n, NULL, "\"%s\" holds a NUL character", k->name);
                return -EINVAL;
        }
        *ret = n->scalar.ptr;
        return 0;
}

static int
read_path(struct keys_reader *r, const struct key *k, const struct yaml_node *n, const char **ret)
{
        const char *path = NULL;
        int err = read_str(r, k, n, &path);

        if (err < 0)
                return err;
        if (*path == '\0') {
                keys_error(r, n, NULL, "\"%s\" is empty", k->name);
                return -EINVAL;
        }
        if (*path != '/' && strcmp(path, "-") != 0 && r->base_dir != NULL) {
                while (path[0] == '.' && path[1] == '/')
                        path += 2;
                if (strcmp(path, ".") == 0)
                        path = "";
                path = arena_printf(r->arena, "%s%s%s", r->base_dir, *path == '\0' || strcmp(r->base_dir, "/") == 0 ? "" : "/", path);
                if (path == NULL)
                        return -ENOMEM;
        }
        *ret = path;
        return 0;
}

static int
read_enum(struct keys_reader *r, const struct key *k, const struct yaml_node *n, uint32_t *ret)
{
        char wanted[256] = "", hint[96] = "";
        const char *near;
        size_t count, at = 0;

        for (count = 0; k->words[count] != NULL; count++)
                if (is_text(n) && span_is(n->scalar, span_of(k->words[count]))) {
                        *ret = (uint32_t)count;
                        return 0;
                }
        for (size_t i = 0; i < count && at < sizeof(wanted); i++)
                at += (size_t)snprintf(wanted + at, sizeof(wanted) - at, "%s%s", i == 0 ? "" : i + 1 == count ? " or " : ", ", k->words[i]);
        near = is_text(n) ? diag_nearest(n->scalar, k->words, count) : NULL;
        if (near != NULL)
                snprintf(hint, sizeof(hint), "did you mean \"%s\"?", near);
        return wrong(r, k, n, near != NULL ? hint : NULL, wanted);
}

static int
check_count(struct keys_reader *r, const struct key *k, const struct yaml_node *n)
{
        if (n->count < k->min) {
                keys_error(r, n, NULL, "\"%s\" wants at least %zu", k->name, (size_t)k->min);
                return -EINVAL;
        }
        if (k->max != 0 && n->count > k->max) {
                keys_error(r, n, NULL, "\"%s\" holds %zu, but at most %zu are possible", k->name, n->count, (size_t)k->max);
                return -EINVAL;
        }
        return 0;
}

static int
read_strs(struct keys_reader *r, const struct key *k, const struct yaml_node *n, struct key_strs *ret)
{
        size_t count = n->kind == YAML_SEQ ? n->count : 1;
        struct key_strs s = { arena_alloc(r->arena, count * sizeof(char *)), arena_alloc(r->arena, count * sizeof(struct place)), 0 };
        int err = 0, one;

        if (s.list == NULL || s.places == NULL)
                return -ENOMEM;
        if (n->kind != YAML_SEQ && n->kind != YAML_SCALAR)
                return wrong(r, k, n, NULL, "a list of texts");
        if (n->kind == YAML_SEQ && (err = check_count(r, k, n)) < 0)
                return err;
        for (size_t i = 0; i < count; i++) {
                const struct yaml_node *item = n->kind == YAML_SEQ ? n->items[i] : n;

                one = read_str(r, k, item, &s.list[s.count]);
                if (one < 0)
                        err = one;
                else
                        s.places[s.count++] = item->place;
        }
        *ret = s;
        return err;
}

static int
read_map(struct keys_reader *r, const struct key *k, const struct yaml_node *n, struct key_map *ret)
{
        struct key_map m = { NULL, NULL, 0 };
        int err = 0, one;

        if (n->kind != YAML_MAP)
                return wrong(r, k, n, NULL, "a map of names and texts");
        if ((err = check_count(r, k, n)) < 0)
                return err;
        m.keys = arena_alloc(r->arena, n->count * sizeof(char *));
        m.values = arena_alloc(r->arena, n->count * sizeof(char *));
        if (m.keys == NULL || m.values == NULL)
                return -ENOMEM;
        for (size_t i = 0; i < n->count; i++) {
                one = read_str(r, k, n->pairs[i].key, &m.keys[m.count]);
                m.values[m.count] = "";
                if (one == 0 && n->pairs[i].value->kind != YAML_NULL)
                        one = read_str(r, k, n->pairs[i].value, &m.values[m.count]);
                if (one < 0)
                        err = one;
                else
                        m.count++;
        }
        *ret = m;
        return err;
}

/* ---- structs in structs ----------------------------------------------------------------------------------------------------------- */

static int
read_list(struct keys_reader *r, const struct key *k, const struct yaml_node *n, const char *path, struct key_list *ret)
{
        bool was_in_list = r->_in_list;
        char *items;
        int err = 0, one;

        if (n->kind != YAML_SEQ)
                return wrong(r, k, n, NULL, "a list");
        if ((err = check_count(r, k, n)) < 0 && err != -EINVAL)
                return err;
        items = arena_alloc(r->arena, n->count * k->sub->size);
        if (items == NULL)
                return -ENOMEM;
        r->_in_list = true;
        for (size_t i = 0; i < n->count; i++) {
                char item_path[160] = "";

                if (r->origins != NULL || r->diags->count < FINDINGS_ENOUGH)
                        snprintf(item_path, sizeof(item_path), "%s[%zu]", path, i);
                if (n->items[i]->kind == YAML_NULL)
                        one = wrong(r, k, n->items[i], NULL, "a map at each place of the list");
                else
                        one = keys_read(r, k->sub, n->items[i], item_path, items + i * k->sub->size);
                if (one == -ENOMEM)
                        return one;
                if (one < 0)
                        err = one;
        }
        r->_in_list = was_in_list;
        *ret = (struct key_list){ items, n->count };
        return err;
}

static int
read_named(struct keys_reader *r, const struct key *k, const struct yaml_node *n, const char *path, struct key_list *ret)
{
        char *items;
        int err = 0, one;

        if (n->kind != YAML_MAP)
                return wrong(r, k, n, NULL, "a map of names");
        if ((err = check_count(r, k, n)) < 0 && err != -EINVAL)
                return err;
        items = arena_alloc(r->arena, n->count * k->sub->size);
        if (items == NULL)
                return -ENOMEM;
        for (size_t i = 0; i < n->count; i++) {
                const struct yaml_pair *p = &n->pairs[i];
                const char *name = "";
                char item_path[160];

                one = read_str(r, k, p->key, &name);
                snprintf(item_path, sizeof(item_path), "%s.%s", path, name);
                if (one == 0 && p->value->kind == YAML_NULL) {
                        keys_error(r, p->key, NULL, "\"%s\" says nothing about \"%s\"", k->name, name);
                        one = -EINVAL;
                } else if (one == 0) {
                        one = keys_read(r, k->sub, p->value, item_path, items + i * k->sub->size);
                }
                if (one == -ENOMEM)
                        return one;
                if (one < 0)
                        err = one;
                *(const char **)(void *)(items + i * k->sub->size) = name;
                if (k->sub->place_offset != SIZE_MAX) /* the name is what a person looks for */
                        *(struct place *)(void *)(items + i * k->sub->size + k->sub->place_offset) = p->key->place;
        }
        *ret = (struct key_list){ items, n->count };
        return err;
}

/* ---- one key ------------------------------------------------------------------------------------------------------------------------ */

static int
store(struct keys_reader *r, const struct key *k, const struct yaml_node *n, const char *path, void *field)
{
        switch (k->type) {
        case KEY_BOOL:
                return read_bool(r, k, n, field);
        case KEY_UINT:
        case KEY_AUTO:
                return read_uint(r, k, n, field);
        case KEY_DURATION:
        case KEY_SIZE:
                return read_number_with_unit(r, k, n, field);
        case KEY_STR:
                return read_str(r, k, n, field);
        case KEY_PATH:
                return read_path(r, k, n, field);
        case KEY_ENUM:
                return read_enum(r, k, n, field);
        case KEY_STRS:
                return read_strs(r, k, n, field);
        case KEY_MAP:
                return read_map(r, k, n, field);
        case KEY_STRUCT:
                return keys_read(r, k->sub, n, path, field);
        case KEY_LIST:
                return read_list(r, k, n, path, field);
        case KEY_NAMED:
                return read_named(r, k, n, path, field);
        case KEY_CUSTOM:
                return 0; /* k->read does it */
        }
        return -EINVAL;
}

/* The default is read as if it stood in the file, so that there is one way to say a value. A table's default that does not fit is our mistake. */
static int
store_default(struct keys_reader *r, const struct key *k, const char *path, void *field)
{
        struct yaml_node n = { .kind = YAML_SCALAR };
        int err;

        if (k->type == KEY_STRUCT)
                return keys_read(r, k->sub, NULL, path, field);
        if (k->dflt != NULL && strcmp(k->dflt, "!") != 0) {
                n.scalar = span_of(k->dflt);
                err = k->type == KEY_CUSTOM ? k->read(r, k, &n, field) : store(r, k, &n, path, field);
                assert(err != -EINVAL);
                if (err < 0)
                        return err;
        }
        if (r->origins != NULL && !r->_in_list && k->sub == NULL && !(k->dflt != NULL && strcmp(k->dflt, "!") == 0))
                return origin_add(r, k, NULL, path);
        return 0;
}

int
keys_read_one(struct keys_reader *r, const struct key *k, const struct yaml_node *value, const char *path, void *ret_struct)
{
        void *field = (char *)ret_struct + k->offset;
        bool has_parts = k->type == KEY_STRUCT || k->type == KEY_LIST || k->type == KEY_NAMED || k->sub != NULL;
        int err;

        if (value->kind == YAML_NULL) {
                keys_error(r, value, NULL, "\"%s\" has no value", k->name);
                return -EINVAL;
        }
        err = store(r, k, value, path, field);
        r->path = path;
        if (err == 0 && k->read != NULL)
                err = k->read(r, k, value, field);
        if (err == 0 && r->origins != NULL && !has_parts)
                err = origin_add(r, k, value, path);
        return err;
}

/* ---- a table -------------------------------------------------------------------------------------------------------------------------- */

static size_t
find_key(const struct key_table *t, struct span name)
{
        size_t i;

        for (i = 0; i < t->count; i++)
                if (strncmp(t->keys[i].name, name.ptr, name.len) == 0 && t->keys[i].name[name.len] == '\0')
                        break;
        return i;
}

/* Where we are, for findings: a path without places in lists, else the table's name. */
static const char *
where(const struct key_table *t, const char *path)
{
        return *path != '\0' && strchr(path, '[') == NULL ? path : t->name;
}

/* The same behind a finding: ' in "limits"'; nothing at the top of the file. */
static const char *
in_where(const struct key_table *t, const char *path, char out[300])
{
        *out = '\0';
        if (*path != '\0')
                snprintf(out, 300, " in \"%s\"", where(t, path));
        return out;
}

static void
unknown_key(struct keys_reader *r, const struct key_table *t, const struct yaml_node *key, const char *path)
{
        const char *names[KEYS_IN_TABLE], *near = NULL;
        char hint[96], place[300];

        for (size_t i = 0; i < t->count; i++)
                names[i] = t->keys[i].name;
        if (r->diags->count < FINDINGS_ENOUGH)
                near = diag_nearest(key->scalar, names, t->count);
        if (near != NULL)
                snprintf(hint, sizeof(hint), "did you mean \"%s\"?", near);
        keys_error(r, key, near != NULL ? hint : NULL, "unknown key \"%.60s\"%s", key->scalar.ptr, in_where(t, path, place));
}

static const char *
join_path(const char *path, const char *name, char out[256])
{
        snprintf(out, 256, "%s%s%s", path, *path != '\0' ? "." : "", name);
        return out;
}

static bool
is_required(const struct key *k)
{
        return k->dflt != NULL && strcmp(k->dflt, "!") == 0;
}

/* May "queue:" stand with nothing under it, all of it commented out? Not where something must be said: "tls:" alone is not the same as no TLS. */
static bool
may_be_empty(const struct key *k)
{
        if (is_required(k))
                return false;
        for (size_t i = 0; k->type == KEY_STRUCT && i < k->sub->count; i++)
                if (is_required(&k->sub->keys[i]))
                        return false;
        return k->type == KEY_STRUCT || k->type == KEY_LIST || k->type == KEY_NAMED || k->type == KEY_MAP;
}

static int
read_pairs(struct keys_reader *r, const struct key_table *t, const struct yaml_node *node, const char *path, void *ret_struct, uint64_t *set)
{
        char key_path[256];
        int err = 0, one;

        for (size_t i = 0; i < node->count; i++) {
                const struct yaml_pair *p = &node->pairs[i];
                size_t k = find_key(t, p->key->scalar);

                if (k == t->count) {
                        unknown_key(r, t, p->key, path);
                        err = -EINVAL;
                        continue;
                }
                if (p->value->kind == YAML_NULL && may_be_empty(&t->keys[k]))
                        continue; /* as if it were not there */
                *set |= 1ull << k;
                if (p->value->kind == YAML_NULL) { /* the key is a better place to point at than where the value is not */
                        keys_error(r, p->key, NULL, "\"%s\" has no value", t->keys[k].name);
                        err = -EINVAL;
                        continue;
                }
                one = keys_read_one(r, &t->keys[k], p->value, join_path(path, t->keys[k].name, key_path), ret_struct);
                if (one == -ENOMEM)
                        return one;
                if (one < 0)
                        err = one;
        }
        return err;
}

int
keys_read(struct keys_reader *r, const struct key_table *t, const struct yaml_node *node, const char *path, void *ret_struct)
{
        char key_path[256], buf[96], in[300];
        uint64_t set = 0;
        int err = 0, one;

        assert(t->count <= KEYS_IN_TABLE);
        memset(ret_struct, 0, t->size);
        if (node != NULL && t->place_offset != SIZE_MAX)
                *(struct place *)(void *)((char *)ret_struct + t->place_offset) = node->place;
        if (node != NULL && node->kind != YAML_MAP) {
                keys_error(r, node, NULL, "\"%s\" wants a map of settings, found %s", where(t, path), found(node, buf));
                err = -EINVAL;
                node = NULL;
        }
        /* Defaults first: what the file says, and says rightly, goes over them. */
        for (size_t i = 0; i < t->count; i++) {
                const struct yaml_node *value = yaml_get(node, t->keys[i].name);
                bool given = value != NULL && !(value->kind == YAML_NULL && may_be_empty(&t->keys[i]));
                struct key_origins *origins = r->origins;

                if (given)
                        r->origins = NULL;
                one = store_default(r, &t->keys[i], origins != NULL ? join_path(path, t->keys[i].name, key_path) : "", (char *)ret_struct + t->keys[i].offset);
                r->origins = origins;
                if (one < 0)
                        return one;
                if (!given && node != NULL && is_required(&t->keys[i])) {
                        keys_error(r, node, NULL, "\"%s\" is missing%s", t->keys[i].name, in_where(t, path, in));
                        err = -EINVAL;
                }
        }
        if (node != NULL) {
                one = read_pairs(r, t, node, path, ret_struct, &set);
                if (one < 0)
                        err = one;
        }
        if (t->set_offset != SIZE_MAX)
                memcpy((char *)ret_struct + t->set_offset, &set, sizeof(set));
        return err;
}

/* Bytes of the field of a key that has one plain value. */
static size_t
field_size(const struct key *k)
{
        switch (k->type) {
        case KEY_BOOL:
                return sizeof(bool);
        case KEY_UINT:
        case KEY_AUTO:
        case KEY_ENUM:
                return sizeof(uint32_t);
        case KEY_DURATION:
        case KEY_SIZE:
                return sizeof(uint64_t);
        case KEY_STR:
        case KEY_PATH:
                return sizeof(const char *);
        case KEY_STRS:
                return sizeof(struct key_strs);
        case KEY_MAP:
                return sizeof(struct key_map);
        case KEY_LIST:
        case KEY_NAMED:
                return sizeof(struct key_list);
        case KEY_STRUCT:
        case KEY_CUSTOM:
                break;
        }
        assert(!"a key whose size is not known");
        return 0;
}

void
keys_inherit(const struct key_table *t, void *own, const void *base)
{
        uint64_t set;

        assert(t->set_offset != SIZE_MAX);
        memcpy(&set, (const char *)own + t->set_offset, sizeof(set));
        for (size_t i = 0; i < t->count; i++) {
                const struct key *k = &t->keys[i];
                char *to = (char *)own + k->offset;
                const char *from = (const char *)base + k->offset;

                if (k->type == KEY_STRUCT)
                        keys_inherit(k->sub, to, from);
                else if ((set >> i & 1) == 0)
                        memcpy(to, from, field_size(k));
        }
}

bool
keys_is_set(const struct key_table *t, uint64_t set, const char *name)
{
        size_t i = find_key(t, span_of(name));

        assert(i < t->count);
        return (set >> i & 1) != 0;
}
