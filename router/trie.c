/* trie.c - patterns become a tree, and the tree flat arrays.
 * SPDX-License-Identifier: MIT
 * From: compile.c adds patterns.   To: match.c walks what trie_pack made.   Runs in: the loader's thread.
 * The two orders that precedence rests on are made here: literal children are found before any edge is tried because match.c looks at them
 * first, and edge_compare puts the edges of one node in order. */
#include "trie.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

/* ---- builder --------------------------------------------------------------------------------------------------------------- */

struct build_node *
build_node_new(struct arena *a)
{
        struct build_node *n = arena_alloc(a, sizeof(*n));

        if (n != NULL)
                n->regexes_end = &n->regexes;
        return n;
}

void
build_leaf_init(struct build_leaf *l)
{
        for (unsigned m = 0; m < TRIE_METHODS; m++)
                l->route[m] = l->fallback[m] = TRIE_NONE;
        l->packed = TRIE_NONE;
}

/* Room for one more pointer in a list that lives in the arena. */
static bool
list_grow(void **list, uint32_t count, uint32_t *room, struct arena *a)
{
        void *grown;

        if (count < *room)
                return true;
        if ((grown = arena_alloc(a, (*room > 0 ? 2 * *room : 2) * sizeof(void *))) == NULL)
                return false;
        if (count > 0)
                memcpy(grown, *list, count * sizeof(void *));
        *list = grown;
        *room = *room > 0 ? 2 * *room : 2;
        return true;
}

/* Where a child with this first byte is or would be. */
static uint32_t
kid_index(const struct build_node *n, unsigned char first)
{
        uint32_t lo = 0, hi = n->kid_count;

        while (lo < hi) {
                uint32_t mid = (lo + hi) / 2;

                if ((unsigned char)n->kids[mid]->literal.ptr[0] < first)
                        lo = mid + 1;
                else
                        hi = mid;
        }
        return lo;
}

/* Makes a node that stands between n and its child kids[i], behind the first `keep` bytes of that child's literal. */
static struct build_node *
kid_split(struct build_node *n, uint32_t i, size_t keep, struct arena *a)
{
        struct build_node *old = n->kids[i], *mid = build_node_new(a);

        if (mid == NULL || !list_grow((void **)&mid->kids, 0, &mid->kid_room, a))
                return NULL;
        mid->literal = (struct span){ old->literal.ptr, keep };
        old->literal = (struct span){ old->literal.ptr + keep, old->literal.len - keep };
        mid->kids[mid->kid_count++] = old;
        n->kids[i] = mid;
        return mid;
}

struct build_node *
build_literal(struct build_node *n, struct span s, struct arena *a)
{
        while (s.len > 0) {
                uint32_t i = kid_index(n, (unsigned char)s.ptr[0]);
                struct build_node *kid;
                size_t same = 0;

                if (i == n->kid_count || n->kids[i]->literal.ptr[0] != s.ptr[0]) {
                        if (!list_grow((void **)&n->kids, n->kid_count, &n->kid_room, a) || (kid = build_node_new(a)) == NULL)
                                return NULL;
                        memmove(&n->kids[i + 1], &n->kids[i], (n->kid_count - i) * sizeof(struct build_node *));
                        kid->literal = s;
                        n->kids[i] = kid;
                        n->kid_count++;
                        return kid;
                }
                kid = n->kids[i];
                while (same < s.len && same < kid->literal.len && s.ptr[same] == kid->literal.ptr[same])
                        same++;
                if (same < kid->literal.len && (kid = kid_split(n, i, same, a)) == NULL)
                        return NULL;
                n = kid;
                s = (struct span){ s.ptr + same, s.len - same };
        }
        return n;
}

/* A text that is the same for two edges exactly when they take the same values. Literals hold no byte below 0x20. */
static struct span
edge_shape(const struct pattern_step *step, struct arena *a)
{
        size_t len = 0, n = 0;
        char *out;

        for (uint32_t i = 0; i < step->piece_count; i++)
                len += step->pieces[i].text.len + 32;
        if ((out = arena_alloc(a, len)) == NULL)
                return (struct span){ NULL, 0 };
        for (uint32_t i = 0; i < step->piece_count; i++) {
                const struct pattern_piece *p = &step->pieces[i];

                if (p->is_param)
                        n += (size_t)snprintf(out + n, len - n, "\1%d:%zu:", (int)p->type, p->type == RT_RE ? p->text.len : 0);
                if (!p->is_param || p->type == RT_RE) {
                        memcpy(out + n, p->text.ptr, p->text.len);
                        n += p->text.len;
                }
        }
        return (struct span){ out, n };
}

static bool
needs_regex(const struct pattern_piece *p)
{
        struct byte_map map;

        return p->is_param && p->type == RT_RE && !pattern_simple_class(p->text, &map);
}

static int
compile_piece(const struct pattern_piece *p, struct regex *ret, struct build_error *err)
{
        struct regex_error x;
        int r = regex_compile(p->text, ret, NULL, &x);

        if (r == -EINVAL) {
                err->at = p->at + (uint32_t)x.at;
                snprintf(err->text, sizeof(err->text), "%s", x.text);
        }
        return r;
}

/* What a typed parameter takes, as a regex that prefers the shortest text. */
static const char *
type_regex(enum router_type type)
{
        switch (type) {
        case RT_INT:
                return "-?[0-9]{1,18}?";
        case RT_FLOAT:
                return "-?[0-9]{1,32}?(?:\\.[0-9]{1,32}?)?";
        case RT_BOOL:
                return "true|false";
        case RT_UUID:
                return "[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}";
        case RT_SLUG:
                return "[A-Za-z0-9_-]+?";
        default:
                return ".+?";
        }
}

/* Several parameters and at least one re(...) in one segment: one regex for the segment, "heart_0" and so on for the parameters. */
static int
compile_segment(const struct build_edge *e, struct arena *a, struct regex *ret, struct build_error *err)
{
        size_t room = 1, n = 0;
        uint32_t params = 0, wanted = 0;
        struct regex_names names;
        struct regex_error x;
        char *text;
        int r;

        for (uint32_t i = 0; i < e->piece_count; i++) {
                struct regex alone;

                room += 2 * e->pieces[i].text.len + 80;
                if (!needs_regex(&e->pieces[i]))
                        continue;
                if ((r = compile_piece(&e->pieces[i], &alone, err)) < 0) /* on its own first: the caret then points into it */
                        return r;
                regex_fini(&alone);
        }
        if ((text = arena_alloc(a, room)) == NULL)
                return -ENOMEM;
        for (uint32_t i = 0; i < e->piece_count; i++) {
                const struct pattern_piece *p = &e->pieces[i];

                if (p->is_param) {
                        struct span body = p->type == RT_RE ? p->text : span_of(type_regex(p->type));

                        n += (size_t)snprintf(text + n, room - n, "(?<heart_%u>%.*s)", params++, (int)body.len, body.ptr);
                } else if (i + 1 < e->piece_count) { /* the last literal is the edge's suffix */
                        for (size_t k = 0; k < p->text.len; k++) {
                                if (strchr("\\^$.[]|()?*+{}-#", p->text.ptr[k]) != NULL)
                                        text[n++] = '\\';
                                text[n++] = p->text.ptr[k];
                        }
                }
        }
        if ((r = regex_compile((struct span){ text, n }, ret, &names, &x)) < 0) {
                err->at = e->pieces[0].at;
                snprintf(err->text, sizeof(err->text), "the segment as one regex: %.160s", x.text);
                return r;
        }
        /* groups that the user named inside are no parameters */
        for (uint32_t i = 0; i < names.count; i++) {
                char name[24];

                snprintf(name, sizeof(name), "heart_%u", wanted);
                if (strcmp(names.list[i].name, name) == 0)
                        ret->group[wanted++] = (uint8_t)names.list[i].group;
        }
        ret->group_count = wanted;
        assert(wanted == params);
        return 0;
}

static int
edge_compile(struct trie *t, struct build_edge *e, struct arena *a, struct build_error *err)
{
        struct regex x;
        bool any = false;
        int r;

        for (uint32_t i = 0; i < e->piece_count; i++)
                any |= needs_regex(&e->pieces[i]);
        e->regex = TRIE_NONE;
        if (!any)
                return 0;
        r = e->piece_count <= 2 ? compile_piece(&e->pieces[0], &x, err) : compile_segment(e, a, &x, err);
        return r < 0 ? r : trie_add_regex(t, x, &e->regex);
}

static int
edge_add(struct trie *t, struct build_node *n, const struct pattern_step *step, struct arena *a, struct build_node **ret, struct build_error *err)
{
        struct span shape = edge_shape(step, a);
        struct build_edge *e;
        int r;

        if (shape.ptr == NULL)
                return -ENOMEM;
        for (uint32_t i = 0; i < n->edge_count; i++)
                if (span_is(n->edges[i]->shape, shape)) {
                        *ret = n->edges[i]->target;
                        return 0;
                }
        if (!list_grow((void **)&n->edges, n->edge_count, &n->edge_room, a) || (e = arena_alloc(a, sizeof(*e))) == NULL ||
            (e->target = build_node_new(a)) == NULL)
                return -ENOMEM;
        e->pieces = step->pieces;
        e->piece_count = step->piece_count;
        e->has_prefix = step->has_prefix;
        e->order = n->edge_count;
        e->shape = shape;
        if ((r = edge_compile(t, e, a, err)) < 0)
                return r;
        n->edges[n->edge_count++] = e;
        *ret = e->target;
        return 0;
}

int
build_add(struct trie *t, struct build_node *root, const struct pattern *p, struct arena *a, struct build_node **ret, struct build_error *reterr_)
{
        struct build_node *n = root;
        int r;

        for (uint32_t i = 0; i < p->step_count; i++) {
                const struct pattern_step *step = &p->steps[i];

                if (step->kind == STEP_LITERAL) {
                        if ((n = build_literal(n, step->literal, a)) == NULL)
                                return -ENOMEM;
                } else if ((r = edge_add(t, n, step, a, &n, reterr_)) < 0) {
                        return r;
                }
        }
        *ret = n;
        return 0;
}

uint32_t
build_depth(const struct build_node *n)
{
        uint32_t deepest = 0, d;

        for (uint32_t i = 0; i < n->kid_count; i++)
                if ((d = build_depth(n->kids[i])) > deepest)
                        deepest = d;
        for (uint32_t i = 0; i < n->edge_count; i++)
                if ((d = build_depth(n->edges[i]->target)) > deepest)
                        deepest = d;
        return deepest + (n->edge_count > 0);
}

/* ---- the order of edges ----------------------------------------------------------------------------------------------------- */

static int
type_rank(enum router_type type)
{
        static const int ranks[] = { [RT_INT] = 0, [RT_FLOAT] = 1, [RT_BOOL] = 2, [RT_UUID] = 3, [RT_RE] = 4, [RT_SLUG] = 5, [RT_STR] = 6, [RT_PATH] = 7 };

        return ranks[type];
}

/* 0 literal with a parameter, 1 typed, 2 str, 3 path. */
static int
edge_class(const struct build_edge *e)
{
        if (e->has_prefix || e->piece_count > 1)
                return 0;
        return e->pieces[0].type == RT_STR ? 2 : e->pieces[0].type == RT_PATH ? 3 : 1;
}

static int
edge_compare(const void *pa, const void *pb)
{
        const struct build_edge *a = *(struct build_edge *const *)pa, *b = *(struct build_edge *const *)pb;
        size_t la = 0, lb = 0;

        if (edge_class(a) != edge_class(b))
                return edge_class(a) - edge_class(b);
        for (uint32_t i = 0; i < a->piece_count; i++)
                la += a->pieces[i].is_param ? 0 : a->pieces[i].text.len;
        for (uint32_t i = 0; i < b->piece_count; i++)
                lb += b->pieces[i].is_param ? 0 : b->pieces[i].text.len;
        if (la != lb)
                return la > lb ? -1 : 1;
        for (uint32_t i = 0; i < a->piece_count && i < b->piece_count; i += 2)
                if (a->pieces[i].type != b->pieces[i].type)
                        return type_rank(a->pieces[i].type) - type_rank(b->pieces[i].type);
        return a->order < b->order ? -1 : 1;
}

/* ---- packed ---------------------------------------------------------------------------------------------------------------- */

/* Room for `more` items behind `count`; new memory is zeroed so that padding never differs between two builds. */
static int
array_grow(void **array, uint32_t count, uint32_t more, uint32_t *room, size_t size)
{
        size_t need = (size_t)count + more, wanted = *room > 0 ? *room : 16;
        void *grown;

        if (need <= *room)
                return 0;
        while (wanted < need)
                wanted *= 2;
        if (wanted >= TRIE_NONE || (grown = realloc(*array, wanted * size)) == NULL)
                return -ENOMEM;
        memset((char *)grown + count * size, 0, (wanted - count) * size);
        *array = grown;
        *room = (uint32_t)wanted;
        return 0;
}

#define GROW(t, name, array, more) array_grow((void **)&(t)->array, (t)->name##_count, (more), &(t)->_##name##_room, sizeof(*(t)->array))

int
trie_add_regex(struct trie *t, struct regex x, uint32_t *ret_index)
{
        int r = GROW(t, regex, regexes, 1);

        if (r < 0) {
                regex_fini(&x);
                return r;
        }
        *ret_index = t->regex_count;
        t->regexes[t->regex_count++] = x;
        return 0;
}

int
trie_add_text(struct trie *t, struct span s, uint32_t *ret_off)
{
        int r = array_grow((void **)&t->text, t->text_len, (uint32_t)s.len, &t->_text_room, 1);

        if (r < 0)
                return r;
        if (s.len > 0)
                memcpy(t->text + t->text_len, s.ptr, s.len);
        *ret_off = t->text_len;
        t->text_len += (uint32_t)s.len;
        return 0;
}

/* Equal maps are one; there are few different ones. */
static int
add_map(struct trie *t, const struct byte_map *m, uint32_t *ret_index)
{
        int r;

        for (uint32_t i = 0; i < t->map_count && i < 64; i++)
                if (memcmp(&t->maps[i], m, sizeof(*m)) == 0) {
                        *ret_index = i;
                        return 0;
                }
        if ((r = GROW(t, map, maps, 1)) < 0)
                return r;
        *ret_index = t->map_count;
        t->maps[t->map_count++] = *m;
        return 0;
}

static int
add_leaf_half(struct trie *t, const uint32_t *routes, uint32_t *ret_index)
{
        struct trie_leaf *l;
        int r = GROW(t, leaf, leaves, 1);

        if (r < 0)
                return r;
        l = &t->leaves[t->leaf_count];
        l->fallback = TRIE_NONE;
        for (unsigned m = 0; m < TRIE_METHODS; m++) {
                l->route[m] = routes[m];
                /* HEAD follows GET unless a route asked for it */
                if ((1u << m) == M_HEAD && routes[m] == TRIE_NONE)
                        l->route[m] = routes[__builtin_ctz(M_GET)];
                if (l->route[m] != TRIE_NONE)
                        l->allow |= 1u << m;
        }
        *ret_index = t->leaf_count++;
        return 0;
}

static int
add_leaf(struct trie *t, struct build_leaf *b, uint32_t *ret_index)
{
        uint32_t index, fallback;
        int r;

        if ((r = add_leaf_half(t, b->route, &index)) < 0)
                return r;
        for (unsigned m = 0; m < TRIE_METHODS; m++) {
                if (b->fallback[m] == TRIE_NONE)
                        continue;
                if ((r = add_leaf_half(t, b->fallback, &fallback)) < 0)
                        return r;
                t->leaves[index].fallback = fallback;
                break;
        }
        *ret_index = b->packed = index;
        return 0;
}

static int
add_list(struct trie *t, struct build_node *b, uint32_t *ret_index)
{
        uint32_t first = t->regex_route_count;
        int r;

        for (struct build_regex *x = b->regexes; x != NULL; x = x->next) {
                uint32_t leaf;

                if ((r = add_leaf(t, &x->leaf, &leaf)) < 0 || (r = GROW(t, regex_route, regex_routes, 1)) < 0)
                        return r;
                t->regex_routes[t->regex_route_count++] = (struct trie_regex_route){ x->regex, leaf, x->order };
        }
        if ((r = GROW(t, list, lists, 1)) < 0)
                return r;
        t->lists[t->list_count] = (struct trie_list){ first, t->regex_route_count - first };
        *ret_index = t->list_count++;
        return 0;
}

/* How one parameter's value is judged; for re(...) that is a byte map, *ret_data is its map. */
static int
piece_kind(struct trie *t, const struct pattern_piece *p, uint8_t *ret_kind, uint32_t *ret_data)
{
        struct byte_map map = { .min = 1, .max = UINT32_MAX };

        *ret_data = 0;
        switch (p->type) {
        case RT_INT:
                *ret_kind = EDGE_INT;
                return 0;
        case RT_FLOAT:
                *ret_kind = EDGE_FLOAT;
                return 0;
        case RT_BOOL:
                *ret_kind = EDGE_BOOL;
                return 0;
        case RT_UUID:
                *ret_kind = EDGE_UUID;
                return 0;
        case RT_PATH:
                *ret_kind = EDGE_PATH;
                return 0;
        case RT_SLUG:
                for (unsigned char c = 1; c < 128; c++)
                        if ((c >= '0' && c <= '9') || ((c | 32) >= 'a' && (c | 32) <= 'z') || c == '_' || c == '-')
                                map.bits[c / 64] |= UINT64_C(1) << (c % 64);
                break;
        case RT_RE:
                if (!pattern_simple_class(p->text, &map)) {
                        *ret_kind = EDGE_REGEX;
                        return 0;
                }
                break;
        case RT_STR:
                *ret_kind = EDGE_STR;
                return 0;
        }
        *ret_kind = EDGE_MAP;
        return add_map(t, &map, ret_data);
}

/* Three pieces and more: parameter, literal, parameter, ... */
static int
fill_multi(struct trie *t, const struct build_edge *b, struct trie_edge *out)
{
        uint32_t params = 0;
        int r;

        for (uint32_t i = 0; i < b->piece_count; i++)
                params += b->pieces[i].is_param;
        out->count = (uint8_t)params;
        out->kind = b->regex != TRIE_NONE ? EDGE_MULTI_REGEX : EDGE_MULTI;
        out->data = b->regex != TRIE_NONE ? b->regex : t->piece_count;
        if (out->kind == EDGE_MULTI_REGEX)
                return 0;
        for (uint32_t i = 0; i < b->piece_count; i += 2) {
                struct trie_piece piece = { 0 };
                bool inner = i + 2 < b->piece_count;
                struct span literal = inner ? b->pieces[i + 1].text : (struct span){ NULL, 0 };

                if ((r = GROW(t, piece, pieces, 1)) < 0 || (r = piece_kind(t, &b->pieces[i], &piece.kind, &piece.data)) < 0 ||
                    (r = trie_add_text(t, literal, &piece.literal)) < 0)
                        return r;
                piece.literal_len = (uint16_t)literal.len;
                t->pieces[t->piece_count++] = piece;
        }
        return 0;
}

static int fill_node(struct trie *t, uint32_t index, struct build_node *b, size_t from);

static int
new_nodes(struct trie *t, uint32_t count, uint32_t *ret_first)
{
        int r = GROW(t, node, nodes, count);

        if (r < 0)
                return r;
        *ret_first = t->node_count;
        t->node_count += count;
        return 0;
}

static int
fill_edge(struct trie *t, uint32_t index, const struct build_edge *b)
{
        struct trie_edge e = { .count = 1 };
        const struct pattern_piece *last = &b->pieces[b->piece_count - 1];
        int r;

        if (b->piece_count > 2) {
                if ((r = fill_multi(t, b, &e)) < 0)
                        return r;
        } else {
                if ((r = piece_kind(t, &b->pieces[0], &e.kind, &e.data)) < 0)
                        return r;
                if (e.kind == EDGE_REGEX)
                        e.data = b->regex;
        }
        if (!last->is_param) {
                if ((r = trie_add_text(t, last->text, &e.suffix)) < 0)
                        return r;
                e.suffix_len = (uint16_t)last->text.len;
        }
        if ((r = new_nodes(t, 1, &e.target)) < 0)
                return r;
        t->edges[index] = e;
        return fill_node(t, e.target, b->target, 0);
}

static int
fill_kids(struct trie *t, uint32_t index, struct build_node *b)
{
        uint32_t first, keys = 0;
        int r;

        if (b->kid_count == 0)
                return 0;
        assert(b->kid_count <= UINT8_MAX); /* bytes below 0x20 are in no literal */
        if ((r = new_nodes(t, b->kid_count, &first)) < 0)
                return r;
        if (b->kid_count > 1) {
                uint32_t padded = (b->kid_count + 7) & ~7u;

                if ((r = array_grow((void **)&t->keys, t->keys_len, padded, &t->_keys_room, 1)) < 0)
                        return r;
                keys = t->keys_len;
                t->keys_len += padded;
                for (uint32_t i = 0; i < b->kid_count; i++)
                        t->keys[keys + i] = b->kids[i]->literal.ptr[0];
        }
        t->nodes[index].child = first;
        t->nodes[index].keys = keys;
        t->nodes[index].child_count = (uint8_t)b->kid_count;
        for (uint32_t i = 0; i < b->kid_count; i++)
                if ((r = fill_node(t, first + i, b->kids[i], 0)) < 0)
                        return r;
        return 0;
}

static int
fill_edges(struct trie *t, uint32_t index, struct build_node *b)
{
        uint32_t first = t->edge_count;
        int r;

        if (b->edge_count == 0)
                return 0;
        if (b->edge_count > UINT16_MAX)
                return -E2BIG;
        if ((r = GROW(t, edge, edges, b->edge_count)) < 0)
                return r;
        t->edge_count += b->edge_count;
        qsort(b->edges, b->edge_count, sizeof(struct build_edge *), edge_compare);
        t->nodes[index].edge = first;
        t->nodes[index].edge_count = (uint16_t)b->edge_count;
        for (uint32_t i = 0; i < b->edge_count; i++)
                if ((r = fill_edge(t, first + i, b->edges[i])) < 0)
                        return r;
        return 0;
}

/* nodes[index] gets b's literal from `from` on, in a chain of nodes when it is long, and behind it all that hangs on b. */
static int
fill_node(struct trie *t, uint32_t index, struct build_node *b, size_t from)
{
        size_t left = b->literal.len - from, len = left < TRIE_LITERAL ? left : TRIE_LITERAL;
        struct trie_node *n = &t->nodes[index];
        uint32_t next, leaf = TRIE_NONE;
        int r;

        n->leaf = TRIE_NONE;
        n->literal_len = (uint8_t)len;
        if (len > 0)
                memcpy(n->literal, b->literal.ptr + from, len);
        if (left > TRIE_LITERAL) {
                n->child_count = 1;
                if ((r = new_nodes(t, 1, &next)) < 0)
                        return r;
                t->nodes[index].child = next;
                return fill_node(t, next, b, from + TRIE_LITERAL);
        }
        if (b->leaf != NULL && (r = add_leaf(t, b->leaf, &leaf)) < 0)
                return r;
        if (b->regexes != NULL && (r = add_list(t, b, &leaf)) < 0)
                return r;
        t->nodes[index].leaf = leaf;
        if ((r = fill_kids(t, index, b)) < 0)
                return r;
        return fill_edges(t, index, b);
}

int
trie_pack(struct trie *t, struct build_node *root, uint32_t *ret_root)
{
        uint32_t index;
        int r;

        if ((r = new_nodes(t, 1, &index)) < 0 || (r = fill_node(t, index, root, 0)) < 0)
                return r;
        *ret_root = index;
        return 0;
}

static void
array_trim(void **array, uint32_t count, uint32_t *room, size_t size)
{
        void *less;

        if (count > 0 && count < *room && (less = realloc(*array, count * size)) != NULL) {
                *array = less;
                *room = count;
        }
}

#define TRIM(t, name, array) array_trim((void **)&(t)->array, (t)->name##_count, &(t)->_##name##_room, sizeof(*(t)->array))

void
trie_trim(struct trie *t)
{
        struct trie_node *aligned;
        size_t bytes = (size_t)t->node_count * sizeof(*t->nodes);

        /* so that no node straddles two cache lines */
        if (bytes > 0 && (aligned = aligned_alloc(64, (bytes + 63) & ~(size_t)63)) != NULL) {
                memcpy(aligned, t->nodes, bytes);
                free(t->nodes);
                t->nodes = aligned;
                t->_node_room = t->node_count;
        }
        TRIM(t, edge, edges);
        TRIM(t, leaf, leaves);
        TRIM(t, piece, pieces);
        TRIM(t, map, maps);
        TRIM(t, regex, regexes);
        TRIM(t, list, lists);
        TRIM(t, regex_route, regex_routes);
        array_trim((void **)&t->keys, t->keys_len, &t->_keys_room, 1);
        array_trim((void **)&t->text, t->text_len, &t->_text_room, 1);
}

void
trie_fini(struct trie *t)
{
        for (uint32_t i = 0; i < t->regex_count; i++)
                regex_fini(&t->regexes[i]);
        free(t->nodes);
        free(t->edges);
        free(t->leaves);
        free(t->pieces);
        free(t->maps);
        free(t->regexes);
        free(t->lists);
        free(t->regex_routes);
        free(t->keys);
        free(t->text);
        memset(t, 0, sizeof(*t));
}

size_t
trie_bytes(const struct trie *t)
{
        size_t bytes = t->_node_room * sizeof(*t->nodes) + t->_edge_room * sizeof(*t->edges) + t->_leaf_room * sizeof(*t->leaves) +
                       t->_piece_room * sizeof(*t->pieces) + t->_map_room * sizeof(*t->maps) + t->_regex_room * sizeof(*t->regexes) +
                       t->_list_room * sizeof(*t->lists) + t->_regex_route_room * sizeof(*t->regex_routes) + t->_keys_room + t->_text_room;

        for (uint32_t i = 0; i < t->regex_count; i++)
                bytes += regex_bytes(&t->regexes[i]);
        return bytes;
}

void
trie_each_leaf(const struct trie *t, uint32_t root, void (*visit)(void *arg, uint32_t leaf), void *arg)
{
        const struct trie_node *n = &t->nodes[root];

        if (n->leaf != TRIE_NONE)
                visit(arg, n->leaf);
        for (uint32_t i = 0; i < n->child_count; i++)
                trie_each_leaf(t, n->child + i, visit, arg);
        for (uint32_t i = 0; i < n->edge_count; i++)
                trie_each_leaf(t, t->edges[n->edge + i].target, visit, arg);
}
