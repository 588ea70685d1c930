/* yaml.c - libyaml's events become a tree that remembers where everything stood.
 * SPDX-License-Identifier: MIT
 * From: source.c's texts, and what pyworkers report.   To: include.c (which joins files) and keys.c (which reads the tree along a table).
 * Runs in: the caller's thread; no globals.
 * Limits: depth 64, a million nodes with aliases followed, 4096 anchors. A node behind an alias is shared, not copied, but counts in full each
 * time, so that an alias bomb ends at the budget and whoever walks the tree has a bounded walk. */
#include "yaml.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <yaml.h>

#include "lines.h"
#include "utf8.h"
#include "yaml_priv.h"

enum { DEPTH_MAX = 64, NODES_MAX = 1000000, ANCHORS_MAX = 4096, LINEAR_MAX = 12 };

struct anchor {
        const char *name; /* in the arena */
        struct yaml_node *node;
        size_t nodes;     /* of the whole subtree, aliases followed */
        unsigned height;
};

/* One text being read. On the stack of yaml_read. */
struct reader {
        yaml_parser_t parser;
        struct arena *arena;
        struct diags *diags;
        const char *name, *bytes;
        size_t len;
        bool ascii;               /* columns are bytes */
        uint32_t line_last;       /* number of the last line, from 1 */
        const char **lines;       /* starts of lines, only for texts that are not ASCII */
        size_t line_count;
        size_t nodes;             /* so far, aliases followed */
        bool bad;                 /* a finding was added that does not end the reading */
        struct anchor *anchors;
        size_t anchor_count, anchor_room;
        struct yaml_node **stack; /* children that wait for their parent's end */
        size_t top, room;
};

static int read_node(struct reader *rd, const yaml_event_t *ev, unsigned depth, struct yaml_node **ret, unsigned *ret_height);

/* ---- places ------------------------------------------------------------------------------------------------------------ */

static int
lines_index(struct reader *rd)
{
        size_t count = 1, at, n;

        for (at = 0; at < rd->len; at += n > 0 ? n : 1)
                count += (n = line_break(rd->bytes + at, rd->len - at)) > 0;
        rd->lines = malloc(count * sizeof(*rd->lines));
        if (rd->lines == NULL)
                return -ENOMEM;
        rd->lines[rd->line_count++] = rd->bytes;
        for (at = 0; at < rd->len; at += n > 0 ? n : 1)
                if ((n = line_break(rd->bytes + at, rd->len - at)) > 0)
                        rd->lines[rd->line_count++] = rd->bytes + at + n;
        assert(rd->line_count == count);
        return 0;
}

/* libyaml counts characters; places count bytes. */
static size_t
byte_column(const struct reader *rd, const yaml_mark_t *m)
{
        const char *p, *end = rd->bytes + rd->len;
        uint32_t c;

        if (rd->ascii || m->line >= rd->line_count)
                return m->column;
        p = rd->lines[m->line];
        for (size_t i = 0; i < m->column && p < end; i++) {
                unsigned n = utf8_decode(p, (size_t)(end - p), &c);

                p += n > 0 ? n : 1;
        }
        return (size_t)(p - rd->lines[m->line]);
}

static struct place
place_at(const struct reader *rd, const yaml_mark_t *from, const yaml_mark_t *to)
{
        size_t col, end;

        if (from->line >= rd->line_last) /* libyaml adds a line when the last one has no end */
                return (struct place){ rd->name, rd->line_last, (uint32_t)line_of(rd->bytes, rd->len, rd->line_last).len + 1, 1 };
        col = byte_column(rd, from);
        end = to != NULL && to->line == from->line ? byte_column(rd, to) : col + 1;
        return (struct place){ rd->name, (uint32_t)from->line + 1, (uint32_t)col + 1, end > col ? (uint32_t)(end - col) : 1 };
}

static struct span
line_at(const struct reader *rd, const struct place *p)
{
        return line_of(rd->bytes, rd->len, p->line);
}

#define FINDING(rd, level, place, hint, ...) diag_add((rd)->diags, (level), (place), line_at((rd), &(place)), (hint), __VA_ARGS__)

/* ---- what libyaml dislikes ------------------------------------------------------------------------------------------------ */

static int
syntax_error(struct reader *rd)
{
        const yaml_parser_t *p = &rd->parser;
        const char *problem = p->problem != NULL ? p->problem : "the text ends or breaks off here";
        struct place at = place_at(rd, &p->problem_mark, NULL);
        struct span line = line_at(rd, &at);
        struct place opened;

        if (p->error == YAML_MEMORY_ERROR)
                return -ENOMEM;
        if (line.ptr != NULL && at.col <= line.len && line.ptr[at.col - 1] == '\t' &&
            strspn(line.ptr, " \t") + 1 >= at.col) {
                FINDING(rd, DIAG_ERROR, at, "use spaces", "a tab cannot indent YAML");
                return -EINVAL;
        }
        FINDING(rd, DIAG_ERROR, at, NULL, "not valid YAML: %s", problem);
        if (p->context != NULL && p->context_mark.line != p->problem_mark.line) {
                opened = place_at(rd, &p->context_mark, NULL);
                FINDING(rd, DIAG_NOTE, opened, NULL, "%s that begins here", p->context);
        }
        return -EINVAL;
}

/* The next event, the caller's to delete. */
static int
next_event(struct reader *rd, yaml_event_t *ev)
{
        return yaml_parser_parse(&rd->parser, ev) ? 0 : syntax_error(rd);
}

/* Checks every byte before libyaml sees it: it names no place that a person could use. */
static int
check_text(struct reader *rd)
{
        size_t at = 0, line_start = 0, n;
        struct place p = { rd->name, 1, 1, 1 };
        const char *what = NULL;

        rd->ascii = true;
        while (at < rd->len && what == NULL) {
                unsigned char b = (unsigned char)rd->bytes[at];
                uint32_t c = b;
                unsigned bytes = 1;

                if (b >= 0x80) {
                        rd->ascii = false;
                        bytes = utf8_decode(rd->bytes + at, rd->len - at, &c);
                        if (bytes == 0)
                                what = "this byte is not UTF-8; save the file as UTF-8";
                        else if ((c < 0xa0 && c != 0x85) || (c >= 0xfffe && c <= 0xffff) || (c == 0xfeff && at > 0))
                                what = "control characters are not allowed";
                } else if ((b < 0x20 && b != '\t' && b != '\n' && b != '\r') || b == 0x7f) {
                        what = b == 0 ? "NUL bytes are not allowed" : "control characters are not allowed";
                }
                if (what != NULL)
                        break;
                n = line_break(rd->bytes + at, rd->len - at);
                if (n > 0) {
                        p.line++;
                        line_start = at + n;
                }
                at += n > 0 ? n : bytes;
        }
        rd->line_last = p.line;
        if (what == NULL)
                return 0;
        p.col = (uint32_t)(at - line_start) + 1;
        FINDING(rd, DIAG_ERROR, p, NULL, "%s", what);
        return -EINVAL;
}

/* ---- nodes ------------------------------------------------------------------------------------------------------------------ */

static int
count_nodes(struct reader *rd, size_t more, struct place at)
{
        if (more <= NODES_MAX - rd->nodes) {
                rd->nodes += more;
                return 0;
        }
        FINDING(rd, DIAG_ERROR, at, NULL, "more than %d values, with aliases followed", NODES_MAX);
        return -EINVAL;
}

static int
push(struct reader *rd, struct yaml_node *n)
{
        if (rd->top == rd->room) {
                size_t room = rd->room != 0 ? rd->room * 2 : 256;
                struct yaml_node **stack = realloc(rd->stack, room * sizeof(*stack));

                if (stack == NULL)
                        return -ENOMEM;
                rd->stack = stack;
                rd->room = room;
        }
        rd->stack[rd->top++] = n;
        return 0;
}

static bool
is_null_word(struct span s)
{
        return s.len == 0 || span_is(s, SPAN_LIT("~")) || span_is(s, SPAN_LIT("null")) || span_is(s, SPAN_LIT("Null")) || span_is(s, SPAN_LIT("NULL"));
}

/* "!" and the core tags may stand; what they say about a scalar is only whether it is text. */
static void
check_tag(struct reader *rd, const yaml_char_t *tag, struct place at, struct yaml_node *n)
{
        static const char *const core[] = { "!", "tag:yaml.org,2002:str", "tag:yaml.org,2002:int", "tag:yaml.org,2002:float",
                                            "tag:yaml.org,2002:bool", "tag:yaml.org,2002:null", "tag:yaml.org,2002:seq", "tag:yaml.org,2002:map" };
        const char *name = (const char *)tag;

        if (name == NULL)
                return;
        for (size_t i = 0; i < sizeof(core) / sizeof(*core); i++)
                if (strcmp(core[i], name) == 0) {
                        if (i < 2 && n->kind == YAML_NULL)
                                n->kind = YAML_SCALAR;
                        if (i < 2)
                                n->quoted = true;
                        return;
                }
        FINDING(rd, DIAG_ERROR, at, "take it away", "unknown tag \"%s\"", name);
        rd->bad = true;
}

static int
read_scalar(struct reader *rd, const yaml_event_t *ev, struct yaml_node *n)
{
        const char *value = (const char *)ev->data.scalar.value;

        n->scalar.len = ev->data.scalar.length;
        n->scalar.ptr = arena_strndup(rd->arena, value, n->scalar.len);
        if (n->scalar.ptr == NULL)
                return -ENOMEM;
        n->quoted = ev->data.scalar.style != YAML_PLAIN_SCALAR_STYLE;
        n->kind = !n->quoted && is_null_word(n->scalar) ? YAML_NULL : YAML_SCALAR;
        check_tag(rd, ev->data.scalar.tag, n->place, n);
        return 0;
}

static int
read_seq(struct reader *rd, unsigned depth, struct yaml_node *n, unsigned *height)
{
        size_t base = rd->top;
        yaml_event_t ev;
        int r;

        n->kind = YAML_SEQ;
        while ((r = next_event(rd, &ev)) == 0 && ev.type != YAML_SEQUENCE_END_EVENT) {
                struct yaml_node *item = NULL;
                unsigned h = 0;

                r = read_node(rd, &ev, depth + 1, &item, &h);
                yaml_event_delete(&ev);
                if (r == 0)
                        r = push(rd, item);
                if (r < 0)
                        return r;
                if (h > *height)
                        *height = h;
        }
        if (r < 0)
                return r;
        yaml_event_delete(&ev);
        n->count = rd->top - base;
        n->items = arena_alloc(rd->arena, n->count * sizeof(struct yaml_node *));
        if (n->items == NULL)
                return -ENOMEM;
        if (n->count > 0)
                memcpy(n->items, rd->stack + base, n->count * sizeof(struct yaml_node *));
        rd->top = base;
        return 0;
}

static uint32_t
hash_of(struct span s)
{
        uint32_t h = 2166136261u; /* FNV-1a */

        for (size_t i = 0; i < s.len; i++)
                h = (h ^ (unsigned char)s.ptr[i]) * 16777619u;
        return h;
}

/* Drops pairs whose key stood before; each is a finding with both places. table (of table_size, a power of two, zeroed; 1 + index) may be NULL for small maps. */
static void
drop_duplicates(struct reader *rd, struct yaml_node *map, uint32_t *table, size_t table_size)
{
        size_t kept = 0;

        for (size_t i = 0; i < map->count; i++) {
                struct span key = map->pairs[i].key->scalar;
                size_t other = kept;

                if (table == NULL) {
                        for (other = 0; other < kept && !span_is(map->pairs[other].key->scalar, key);)
                                other++;
                } else {
                        size_t at = hash_of(key) & (table_size - 1);

                        while (table[at] != 0 && !span_is(map->pairs[table[at] - 1].key->scalar, key))
                                at = (at + 1) & (table_size - 1);
                        if (table[at] != 0)
                                other = table[at] - 1;
                        else
                                table[at] = (uint32_t)kept + 1;
                }
                if (other < kept) {
                        FINDING(rd, DIAG_ERROR, map->pairs[i].key->place, NULL, "duplicate key \"%s\"", key.ptr);
                        FINDING(rd, DIAG_NOTE, map->pairs[other].key->place, NULL, "the first \"%s\" is here", key.ptr);
                        rd->bad = true;
                } else {
                        map->pairs[kept++] = map->pairs[i];
                }
        }
        map->count = kept;
}

static int
check_duplicates(struct reader *rd, struct yaml_node *map)
{
        size_t size = 32;
        uint32_t *table;

        if (map->count <= LINEAR_MAX) {
                drop_duplicates(rd, map, NULL, 0);
                return 0;
        }
        while (size < map->count * 2)
                size *= 2;
        table = calloc(size, sizeof(*table));
        if (table == NULL)
                return -ENOMEM;
        drop_duplicates(rd, map, table, size);
        free(table);
        return 0;
}

/* ---- merge keys: `<<: *base` ------------------------------------------------------------------------------------------------- */

static bool
is_merge(const struct yaml_pair *p)
{
        return !p->key->quoted && span_is(p->key->scalar, SPAN_LIT("<<"));
}

/* Counts the pairs that a merge would bring, or -EINVAL with a finding. */
static long
merge_size(struct reader *rd, const struct yaml_node *value)
{
        size_t count = 0;

        if (value->kind == YAML_MAP)
                return (long)value->count;
        for (size_t i = 0; value->kind == YAML_SEQ && i < value->count; i++) {
                if (value->items[i]->kind != YAML_MAP)
                        goto bad;
                count += value->items[i]->count;
        }
        if (value->kind == YAML_SEQ)
                return (long)count;
bad:
        FINDING(rd, DIAG_ERROR, value->place, NULL, "\"<<\" wants a map, or a list of maps");
        return -EINVAL;
}

static void
merge_pairs(struct yaml_node *map, const struct yaml_node *from)
{
        for (size_t i = 0; i < from->count; i++)
                if (yaml_get(map, from->pairs[i].key->scalar.ptr) == NULL)
                        map->pairs[map->count++] = from->pairs[i];
}

/* Replaces the pair `<<` by the pairs it names; what the map says itself wins, then the earlier of the maps named. */
static int
merge(struct reader *rd, struct yaml_node *map)
{
        struct yaml_node *value = NULL;
        struct yaml_pair *pairs;
        size_t at;
        long more;

        for (at = 0; at < map->count && value == NULL; at++)
                if (is_merge(&map->pairs[at]))
                        value = map->pairs[at].value;
        if (value == NULL)
                return 0;
        at--;
        more = merge_size(rd, value);
        if (more < 0) {
                rd->bad = true;
                more = 0;
        }
        /* Comparing costs the product: the budget covers it like nodes. */
        if (count_nodes(rd, (size_t)more * (1 + map->count / 64), value->place) < 0)
                return -EINVAL;
        pairs = arena_alloc(rd->arena, (map->count + (size_t)more) * sizeof(*pairs));
        if (pairs == NULL)
                return -ENOMEM;
        memcpy(pairs, map->pairs, at * sizeof(*pairs));
        memcpy(pairs + at, map->pairs + at + 1, (map->count - at - 1) * sizeof(*pairs));
        map->pairs = pairs;
        map->count--;
        if (value->kind == YAML_MAP && more > 0)
                merge_pairs(map, value);
        for (size_t i = 0; value->kind == YAML_SEQ && more > 0 && i < value->count; i++)
                merge_pairs(map, value->items[i]);
        return 0;
}

static int
read_map(struct reader *rd, unsigned depth, struct yaml_node *n, unsigned *height)
{
        size_t base = rd->top;
        yaml_event_t ev;
        int r;

        n->kind = YAML_MAP;
        while ((r = next_event(rd, &ev)) == 0 && ev.type != YAML_MAPPING_END_EVENT) {
                struct yaml_node *part = NULL;
                unsigned h = 0;
                bool is_key = (rd->top - base) % 2 == 0;

                r = read_node(rd, &ev, depth + 1, &part, &h);
                yaml_event_delete(&ev);
                if (r == 0 && is_key && part->kind != YAML_SCALAR && part->kind != YAML_NULL) {
                        FINDING(rd, DIAG_ERROR, part->place, NULL, "a key is a word, not a %s", part->kind == YAML_MAP ? "map" : "list");
                        r = -EINVAL;
                }
                if (r == 0)
                        r = push(rd, part);
                if (r < 0)
                        return r;
                if (h > *height)
                        *height = h;
        }
        if (r < 0)
                return r;
        yaml_event_delete(&ev);
        n->count = (rd->top - base) / 2;
        n->pairs = arena_alloc(rd->arena, n->count * sizeof(struct yaml_pair));
        if (n->pairs == NULL)
                return -ENOMEM;
        for (size_t i = 0; i < n->count; i++) {
                struct yaml_node *key = rd->stack[base + i * 2];

                key->kind = YAML_SCALAR; /* a key `null` or `~` is that word */
                n->pairs[i] = (struct yaml_pair){ key, rd->stack[base + i * 2 + 1] };
        }
        rd->top = base;
        r = check_duplicates(rd, n);
        return r < 0 ? r : merge(rd, n);
}

/* ---- anchors and aliases -------------------------------------------------------------------------------------------------------- */

static int
anchor_add(struct reader *rd, const yaml_char_t *name, struct yaml_node *n, size_t nodes, unsigned height)
{
        struct anchor *a = NULL;

        if (name == NULL)
                return 0;
        for (size_t i = 0; i < rd->anchor_count && a == NULL; i++)
                if (strcmp(rd->anchors[i].name, (const char *)name) == 0)
                        a = &rd->anchors[i]; /* YAML lets an anchor be set again */
        if (a == NULL) {
                if (rd->anchor_count == ANCHORS_MAX) {
                        FINDING(rd, DIAG_ERROR, n->place, NULL, "more than %d anchors", ANCHORS_MAX);
                        return -EINVAL;
                }
                if (rd->anchor_count == rd->anchor_room) {
                        size_t room = rd->anchor_room != 0 ? rd->anchor_room * 2 : 16;
                        struct anchor *list = realloc(rd->anchors, room * sizeof(*list));

                        if (list == NULL)
                                return -ENOMEM;
                        rd->anchors = list;
                        rd->anchor_room = room;
                }
                a = &rd->anchors[rd->anchor_count];
                a->name = arena_strdup(rd->arena, (const char *)name);
                if (a->name == NULL)
                        return -ENOMEM;
                rd->anchor_count++;
        }
        a->node = n;
        a->nodes = nodes;
        a->height = height;
        return 0;
}

/* A node of its own that shares what lies below, so that a finding points at the alias and not at the anchor. */
static int
read_alias(struct reader *rd, const yaml_event_t *ev, unsigned depth, struct yaml_node *n, unsigned *height)
{
        const char *name = (const char *)ev->data.alias.anchor;
        struct place at = n->place;

        for (size_t i = 0; i < rd->anchor_count; i++) {
                const struct anchor *a = &rd->anchors[i];

                if (strcmp(a->name, name) != 0)
                        continue;
                if (count_nodes(rd, a->nodes, at) < 0)
                        return -EINVAL;
                if (depth + a->height > DEPTH_MAX) {
                        FINDING(rd, DIAG_ERROR, at, NULL, "nested deeper than %d levels", DEPTH_MAX);
                        return -EINVAL;
                }
                *n = *a->node;
                n->place = at;
                *height = a->height;
                return 0;
        }
        FINDING(rd, DIAG_ERROR, at, NULL, "no anchor \"&%s\" stands before this alias", name);
        return -EINVAL;
}

/* Turns the event and all that belongs to it into a node. The event stays the caller's. *ret_height: levels below and with it. */
static int
read_node(struct reader *rd, const yaml_event_t *ev, unsigned depth, struct yaml_node **ret, unsigned *ret_height)
{
        struct yaml_node *n = arena_alloc(rd->arena, sizeof(*n));
        const yaml_char_t *anchor = NULL;
        size_t before = rd->nodes;
        unsigned height = 0;
        int r;

        if (n == NULL)
                return -ENOMEM;
        n->place = place_at(rd, &ev->start_mark, &ev->end_mark);
        r = count_nodes(rd, 1, n->place);
        if (r == 0 && depth > DEPTH_MAX) {
                FINDING(rd, DIAG_ERROR, n->place, NULL, "nested deeper than %d levels", DEPTH_MAX);
                r = -EINVAL;
        }
        if (r < 0)
                return r;
        switch (ev->type) {
        case YAML_SCALAR_EVENT:
                anchor = ev->data.scalar.anchor;
                r = read_scalar(rd, ev, n);
                break;
        case YAML_SEQUENCE_START_EVENT:
                anchor = ev->data.sequence_start.anchor;
                n->place.len = 1;
                check_tag(rd, ev->data.sequence_start.tag, n->place, n);
                r = read_seq(rd, depth, n, &height);
                break;
        case YAML_MAPPING_START_EVENT:
                anchor = ev->data.mapping_start.anchor;
                n->place.len = 1;
                check_tag(rd, ev->data.mapping_start.tag, n->place, n);
                r = read_map(rd, depth, n, &height);
                break;
        case YAML_ALIAS_EVENT:
                r = read_alias(rd, ev, depth, n, &height);
                break;
        default:
                assert(!"libyaml promised a node");
                r = -EINVAL;
        }
        if (r < 0)
                return r;
        if (ev->type != YAML_ALIAS_EVENT)
                height++;
        r = anchor_add(rd, anchor, n, rd->nodes - before, height);
        if (r < 0)
                return r;
        *ret = n;
        *ret_height = height;
        return 0;
}

/* ---- a whole text ----------------------------------------------------------------------------------------------------------------- */

static int
read_document(struct reader *rd, struct yaml_node **ret)
{
        struct yaml_node *root = NULL;
        unsigned height = 0;
        bool end = false;
        yaml_event_t ev;
        int r = 0;

        while (r == 0 && !end && (r = next_event(rd, &ev)) == 0) {
                struct place at = place_at(rd, &ev.start_mark, &ev.end_mark);

                switch (ev.type) {
                case YAML_STREAM_END_EVENT:
                        end = true;
                        break;
                case YAML_STREAM_START_EVENT:
                case YAML_DOCUMENT_END_EVENT:
                        break;
                case YAML_DOCUMENT_START_EVENT:
                        if (root == NULL)
                                break;
                        FINDING(rd, DIAG_ERROR, at, NULL, "a second YAML document begins here; one file is one document");
                        r = -EINVAL;
                        break;
                default:
                        r = read_node(rd, &ev, 1, &root, &height);
                }
                yaml_event_delete(&ev);
        }
        if (r < 0)
                return r;
        if (root == NULL) {
                root = arena_alloc(rd->arena, sizeof(*root));
                if (root == NULL)
                        return -ENOMEM;
                root->place = (struct place){ rd->name, 0, 0, 0 };
                root->scalar = SPAN_LIT("");
        }
        *ret = root;
        return 0;
}

int
yaml_read(const char *name, const char *bytes, size_t len, size_t *nodes, struct arena *a, struct diags *d, struct yaml_node **ret_root)
{
        struct reader rd = { .arena = a, .diags = d, .name = name, .bytes = bytes, .len = len, .nodes = *nodes };
        struct yaml_node *root = NULL;
        int r;

        r = check_text(&rd);
        if (r < 0)
                return r;
        if (!rd.ascii && (r = lines_index(&rd)) < 0)
                return r;
        if (!yaml_parser_initialize(&rd.parser)) {
                free(rd.lines);
                return -ENOMEM;
        }
        yaml_parser_set_input_string(&rd.parser, (const unsigned char *)bytes, len);
        yaml_parser_set_encoding(&rd.parser, YAML_UTF8_ENCODING);
        r = read_document(&rd, &root);
        yaml_parser_delete(&rd.parser);
        free(rd.lines);
        free(rd.anchors);
        free(rd.stack);
        *nodes = rd.nodes;
        if (r == 0 && root != NULL)
                *ret_root = root;
        return r < 0 ? r : rd.bad ? -EINVAL : 0;
}

int
yaml_parse(const char *name, const char *bytes, size_t len, struct arena *a, struct diags *d, struct yaml_node **ret_root)
{
        const char *kept = arena_strdup(a, name);
        struct yaml_node *root = NULL;
        size_t nodes = 0;
        int r;

        if (kept == NULL)
                return -ENOMEM;
        r = yaml_read(kept, bytes, len, &nodes, a, d, &root);
        if (r == 0)
                *ret_root = root;
        return r;
}

const struct yaml_node *
yaml_get(const struct yaml_node *map, const char *key)
{
        struct span k = span_of(key);

        for (size_t i = 0; map != NULL && map->kind == YAML_MAP && i < map->count; i++)
                if (span_is(map->pairs[i].key->scalar, k))
                        return map->pairs[i].value;
        return NULL;
}
