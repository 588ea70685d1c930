/* trie.c - the tree becomes flat arrays.
 * SPDX-License-Identifier: MIT
 * From: compile.c, once all routes are in the tree.   To: walk.c walks what trie_pack made.   Runs in: the loader's thread. */
#include "trie.h"

#include <errno.h>
#include <stdlib.h>

#include "simple.h"

/* ---- arrays ------------------------------------------------------------------------------------------------------------------ */

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

static int
add_text(struct trie *t, struct span s, uint32_t *ret_off)
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

/* ---- leaves ------------------------------------------------------------------------------------------------------------------- */

static int
add_candidates(struct trie *t, const struct build_leaf *b, bool fallback, struct trie_leaf *l)
{
        int r = GROW(t, candidate, candidates, b->count);

        if (r < 0)
                return r;
        l->candidate = t->candidate_count;
        for (uint32_t i = 0; i < b->count; i++)
                if (b->routes[i].fallback == fallback)
                        t->candidates[t->candidate_count++] = (struct trie_candidate){ b->routes[i].route, b->routes[i].methods };
        if (t->candidate_count - l->candidate > UINT16_MAX)
                return -E2BIG;
        l->candidate_count = (uint16_t)(t->candidate_count - l->candidate);
        return 0;
}

/* route[m] is the route of each method: as indices of the few different ones, or all of them beside. */
static int
pack_methods(struct trie *t, const uint32_t *route, struct trie_leaf *l)
{
        uint32_t count = 0;
        int r;

        for (unsigned m = 0; m < TRIE_METHODS; m++) {
                uint32_t k = 0;

                while (k < count && l->route[k] != route[m])
                        k++;
                if (route[m] == TRIE_NONE)
                        k = LEAF_NONE;
                else if (k == TRIE_LEAF_ROUTES)
                        k = LEAF_MORE;
                else if (k == count)
                        l->route[count++] = route[m];
                l->which |= k << (4 * m);
                l->allow |= (uint8_t)(route[m] != TRIE_NONE ? 1u << m : 0);
                if (k != LEAF_MORE || l->candidate != 0)
                        continue;
                if (t->more_count == 0 && (r = GROW(t, more, more, 1)) < 0) /* so that 0 says: none yet */
                        return r;
                t->more_count += t->more_count == 0;
                if ((r = GROW(t, more, more, TRIE_METHODS)) < 0)
                        return r;
                l->candidate = t->more_count;
                memcpy(t->more + t->more_count, route, TRIE_METHODS * sizeof(*route));
                t->more_count += TRIE_METHODS;
        }
        return 0;
}

/* The routes of a leaf that are fallbacks, or those that are none. */
static int
add_leaf_half(struct trie *t, const struct build_leaf *b, bool fallback, uint32_t *ret_index)
{
        struct trie_leaf l = { .fallback = TRIE_NONE, .param_first = TRIE_NONE };
        uint32_t route[TRIE_METHODS];
        int r = GROW(t, leaf, leaves, 1);

        if (r < 0)
                return r;
        for (unsigned m = 0; m < TRIE_METHODS; m++)
                route[m] = TRIE_NONE;
        for (uint32_t i = 0; i < b->count && !b->has_conditions; i++)
                for (unsigned m = 0; m < TRIE_METHODS; m++)
                        if (b->routes[i].fallback == fallback && b->routes[i].methods & 1u << m && route[m] == TRIE_NONE)
                                route[m] = b->routes[i].route;
        /* HEAD follows GET unless a route asked for it */
        if (route[__builtin_ctz(M_HEAD)] == TRIE_NONE)
                route[__builtin_ctz(M_HEAD)] = route[__builtin_ctz(M_GET)];
        if ((r = pack_methods(t, route, &l)) < 0 || (b->has_conditions && (r = add_candidates(t, b, fallback, &l)) < 0))
                return r;
        *ret_index = t->leaf_count;
        t->leaves[t->leaf_count++] = l;
        return 0;
}

static int
add_leaf(struct trie *t, struct build_leaf *b, uint32_t *ret_index)
{
        uint32_t index, fallback;
        int r;

        if ((r = add_leaf_half(t, b, false, &index)) < 0)
                return r;
        for (uint32_t i = 0; i < b->count; i++) {
                if (!b->routes[i].fallback)
                        continue;
                if ((r = add_leaf_half(t, b, true, &fallback)) < 0)
                        return r;
                t->leaves[index].fallback = fallback;
                break;
        }
        *ret_index = b->packed = index;
        return 0;
}

/* ---- slots -------------------------------------------------------------------------------------------------------------------- */

/* bytes_key wants eight readable bytes. */
static struct bytes_key
key_of(struct span s)
{
        char room[8] = { 0 };

        if (s.len >= 8)
                return bytes_key(s.ptr, s.len, 0, s.len);
        if (s.len > 0)
                memcpy(room, s.ptr, s.len);
        return bytes_key(room, 8, 0, s.len);
}

/* Children, and prefixes of edges: there are never more of those than edges. */
static uint32_t
count_prefixes(const struct build_node *n)
{
        uint32_t count = n->edge_count + n->kid_count;

        for (uint32_t i = 0; i < n->kid_count; i++)
                count += count_prefixes(n->kids[i]);
        for (uint32_t i = 0; i < n->edge_count; i++)
                count += count_prefixes(n->edges[i]->target);
        return count;
}

uint32_t
trie_slots_wanted(const struct build_node *root)
{
        return root != NULL ? count_prefixes(root) : 0;
}

int
trie_make_slots(struct trie *t, uint32_t count)
{
        uint32_t size = 4;

        while (size < count + count / 2 + 1)
                size *= 2;
        if ((t->slots = aligned_alloc(64, (size_t)size * sizeof(*t->slots))) == NULL)
                return -ENOMEM;
        memset(t->slots, 0, (size_t)size * sizeof(*t->slots));
        for (uint32_t i = 0; i < size; i++)
                t->slots[i].place = t->slots[i].target = TRIE_NONE;
        t->slot_mask = size - 1;
        t->slot_shift = 64 - (unsigned)__builtin_ctz(size);
        return 0;
}

/* A text that is longer than its two words is kept beside. */
static int
keep_text(struct trie *t, struct span s, uint32_t *ret_off)
{
        *ret_off = 0;
        return s.len > 16 ? add_text(t, s, ret_off) : 0;
}

static int
add_slot(struct trie *t, uint32_t place, struct span s, uint32_t target)
{
        struct bytes_key k = key_of(s);
        uint32_t i = (uint32_t)(bytes_hash(k, s.ptr, s.len, place) >> t->slot_shift), text;
        int r = keep_text(t, s, &text);

        if (r < 0)
                return r;
        assert(t->slot_count < t->slot_mask); /* trie_find ends at a free one */
        while (t->slots[i].target != TRIE_NONE)
                i = (i + 1) & t->slot_mask;
        t->slots[i] = (struct trie_slot){ k.a, k.b, place, (uint32_t)s.len, target, text };
        t->slot_count++;
        return 0;
}

/* ---- edges -------------------------------------------------------------------------------------------------------------------- */

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
        default: /* RT_PATH is no edge when packed */
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
                struct trie_piece piece = { .is_param = true };
                bool inner = i + 2 < b->piece_count;
                struct span literal = inner ? b->pieces[i + 1].text : (struct span){ NULL, 0 };

                if ((r = GROW(t, piece, pieces, 1)) < 0 || (r = piece_kind(t, &b->pieces[i], &piece.kind, &piece.data)) < 0 ||
                    (r = add_text(t, literal, &piece.literal)) < 0)
                        return r;
                piece.literal_len = (uint16_t)literal.len;
                t->pieces[t->piece_count++] = piece;
        }
        return 0;
}

/* ---- nodes -------------------------------------------------------------------------------------------------------------------- */

static int fill_node(struct trie *t, uint32_t index, struct build_node *b);

/* The node of b, or its leaf when that is all. */
static int
add_target(struct trie *t, struct build_node *b, uint32_t *ret)
{
        uint32_t index;
        int r;

        if (b->kid_count + b->edge_count > 0 || b->leaf == NULL) {
                if ((r = GROW(t, node, nodes, 1)) < 0)
                        return r;
                *ret = index = t->node_count++;
                return fill_node(t, index, b);
        }
        if ((r = add_leaf(t, b->leaf, &index)) == 0)
                *ret = index | TRIE_LEAF;
        return r;
}

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
                if ((r = add_text(t, last->text, &e.suffix)) < 0)
                        return r;
                e.suffix_len = (uint16_t)last->text.len;
        }
        if ((r = add_text(t, b->prefix, &e.prefix)) < 0 || (r = add_target(t, b->target, &e.target)) < 0)
                return r;
        e.prefix_len = (uint16_t)b->prefix.len;
        t->edges[index] = e;
        return 0;
}

static int
fill_kids(struct trie *t, uint32_t index, struct build_node *b)
{
        struct bytes_key k;
        uint32_t target, text;
        int r;

        t->nodes[index].has_literals = b->kid_count > 0;
        t->nodes[index].has_slots = b->kid_count > 1;
        for (uint32_t i = 0; i < b->kid_count; i++)
                if ((r = add_target(t, b->kids[i], &target)) < 0 || (b->kid_count > 1 && (r = add_slot(t, index, b->kids[i]->literal, target)) < 0))
                        return r;
        if (b->kid_count != 1)
                return 0;
        if ((r = keep_text(t, b->kids[0]->literal, &text)) < 0)
                return r;
        k = key_of(b->kids[0]->literal);
        t->nodes[index].a = k.a;
        t->nodes[index].b = k.b;
        t->nodes[index].kid = target;
        t->nodes[index].kid_len = (uint32_t)b->kids[0]->literal.len;
        t->nodes[index].kid_text = text;
        return 0;
}

/* {x} and {x:path} stand in the node itself: they come after all others. */
static int
fill_weak(struct trie *t, uint32_t index, struct build_edge *b)
{
        uint32_t target = TRIE_NONE, leaf = TRIE_NONE;
        int r;

        if (build_edge_class(b) == 3) {
                if (b->target->leaf != NULL && (r = add_leaf(t, b->target->leaf, &leaf)) < 0)
                        return r;
                t->nodes[index].rest = leaf;
                return 0;
        }
        if ((r = add_target(t, b->target, &target)) == 0)
                t->nodes[index].str = target;
        return r;
}

/* Where many edges have prefixes, each prefix leads to its edges. */
static int
index_prefixes(struct trie *t, uint32_t index, const struct build_node *b, uint32_t count)
{
        const struct trie_node *n = &t->nodes[index];
        uint64_t lengths = 0;
        int r;

        for (uint32_t i = 0; i < count; i++) {
                if (b->edges[i]->prefix.len >= 64)
                        return 0; /* looked at one by one */
                lengths |= UINT64_C(1) << b->edges[i]->prefix.len;
        }
        for (uint32_t i = 0; i < count; i++)
                if (i == 0 || t->edges[n->edge + i - 1].last)
                        if ((r = add_slot(t, index | TRIE_PREFIX, b->edges[i]->prefix, i)) < 0)
                                return r;
        t->nodes[index].prefixes = lengths;
        t->nodes[index].indexed = true;
        return 0;
}

static int
fill_edges(struct trie *t, uint32_t index, struct build_node *b)
{
        uint32_t first = t->edge_count, count = 0, plain = 0;
        int r;

        while (count < b->edge_count && build_edge_class(b->edges[count]) < 2)
                count++;
        while (plain < count && b->edges[plain]->prefix.len > 0)
                plain++;
        if (count > UINT16_MAX)
                return -E2BIG;
        if ((r = GROW(t, edge, edges, count)) < 0)
                return r;
        t->edge_count += count;
        t->nodes[index].edge = first;
        t->nodes[index].edge_count = (uint16_t)count;
        t->nodes[index].plain = (uint16_t)plain;
        t->nodes[index].has_others = b->edge_count > 0;
        for (uint32_t i = 0; i < b->edge_count; i++)
                if ((r = i < count ? fill_edge(t, first + i, b->edges[i]) : fill_weak(t, index, b->edges[i])) < 0)
                        return r;
        for (uint32_t i = 0; i < count; i++)
                t->edges[first + i].last = i + 1 == count || !span_is(b->edges[i]->prefix, b->edges[i + 1]->prefix);
        return plain >= TRIE_INDEXED ? index_prefixes(t, index, b, plain) : 0;
}

static int
fill_node(struct trie *t, uint32_t index, struct build_node *b)
{
        struct trie_node *n = &t->nodes[index];
        uint32_t leaf = TRIE_NONE;
        int r;

        n->leaf = n->kid = n->str = n->rest = TRIE_NONE;
        if (b->leaf != NULL && (r = add_leaf(t, b->leaf, &leaf)) < 0)
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

        if ((r = new_nodes(t, 1, &index)) < 0 || (r = fill_node(t, index, root)) < 0)
                return r;
        *ret_root = index;
        return 0;
}

/* ---- regexes for whole paths ---------------------------------------------------------------------------------------------------- */

/* Whatever the bytes are, and however many. */
static bool
takes_any(const struct byte_map *m)
{
        return m->min == 0 && m->max == UINT32_MAX && (m->bits[0] & m->bits[1] & m->bits[2] & m->bits[3]) == UINT64_MAX;
}

/* The literal before a program's first piece, the pieces and the literals behind them. */
static int
add_program(struct trie *t, const struct simple_program *p, struct trie_regex_route *x)
{
        int r;

        x->piece = t->piece_count;
        x->piece_count = p->count;
        x->literal_len = (uint32_t)p->literal.len;
        if ((r = add_text(t, p->literal, &x->literal)) < 0)
                return r;
        for (uint32_t i = 0; i < p->count; i++) {
                const struct simple_piece *from = &p->pieces[i];
                struct trie_piece piece = { .kind = EDGE_MAP, .is_param = from->name.ptr != NULL, .literal_len = (uint16_t)from->literal.len };

                if (takes_any(&from->map))
                        piece.kind = EDGE_STR;
                if ((r = GROW(t, piece, pieces, 1)) < 0 || (r = add_map(t, &from->map, &piece.data)) < 0 || (r = add_text(t, from->literal, &piece.literal)) < 0)
                        return r;
                t->pieces[t->piece_count++] = piece;
        }
        return 0;
}

/* Neighbours that PCRE2 matches one by one are asked about together first. Where that cannot be, it is not. */
static int
put_together(struct trie *t, const struct build_regex *x, uint32_t at)
{
        struct span texts[TRIE_TOGETHER_MAX];
        uint32_t count = 0, index;
        struct regex any;
        int r;

        for (; x != NULL && x->regex != TRIE_NONE && count < TRIE_TOGETHER_MAX; x = x->next)
                texts[count++] = x->text;
        if (count < TRIE_TOGETHER_MIN || (r = regex_compile_any(texts, count, &any)) == -EINVAL)
                return 0;
        if (r < 0 || (r = trie_add_regex(t, any, &index)) < 0)
                return r;
        t->regex_routes[at].any = index;
        t->regex_routes[at].together = count;
        return 0;
}

static int
add_list(struct trie *t, struct build_node *b, uint32_t *ret_index)
{
        uint32_t first = t->regex_route_count, together_end = 0;
        int r;

        for (struct build_regex *x = b->regexes; x != NULL; x = x->next) {
                struct trie_regex_route out = { .regex = x->regex, .order = x->order };

                if ((r = add_leaf(t, &x->leaf, &out.leaf)) < 0 || (r = GROW(t, regex_route, regex_routes, 1)) < 0 ||
                    (x->program != NULL && (r = add_program(t, x->program, &out)) < 0))
                        return r;
                t->regex_routes[t->regex_route_count] = out;
                if (t->regex_route_count++ < together_end)
                        continue;
                if ((r = put_together(t, x, t->regex_route_count - 1)) < 0)
                        return r;
                together_end = t->regex_route_count - 1 + t->regex_routes[t->regex_route_count - 1].together;
        }
        if ((r = GROW(t, list, lists, 1)) < 0)
                return r;
        t->lists[t->list_count] = (struct trie_list){ first, t->regex_route_count - first };
        *ret_index = t->list_count++;
        return 0;
}

int
trie_pack_prefixes(struct trie *t, struct build_node *root, struct trie_prefixes *ret)
{
        uint32_t place, list;
        int r;

        if ((r = new_nodes(t, 1, &place)) < 0) /* for its number alone */
                return r;
        *ret = (struct trie_prefixes){ .place = place };
        for (uint32_t i = 0; i < root->kid_count; i++) {
                struct span prefix = root->kids[i]->literal;

                assert(prefix.len < 64);
                if ((r = add_list(t, root->kids[i], &list)) < 0 || (r = add_slot(t, place, prefix, list)) < 0)
                        return r;
                *(prefix.len > 0 && prefix.ptr[prefix.len - 1] == '/' ? &ret->folders : &ret->lengths) |= UINT64_C(1) << prefix.len;
        }
        return 0;
}

/* ---- the whole ------------------------------------------------------------------------------------------------------------------- */

/* The arrays that a lookup reads, and the bytes that they need. */
struct part { void **array; size_t bytes; };
enum { PARTS = 10 };

static void
parts_of(struct trie *t, struct part *p)
{
        const struct part all[PARTS] = {
                { (void **)&t->slots, t->slots != NULL ? ((size_t)t->slot_mask + 1) * sizeof(*t->slots) : 0 },
                { (void **)&t->nodes, t->node_count * sizeof(*t->nodes) },
                { (void **)&t->leaves, t->leaf_count * sizeof(*t->leaves) },
                { (void **)&t->edges, t->edge_count * sizeof(*t->edges) },
                { (void **)&t->pieces, t->piece_count * sizeof(*t->pieces) },
                { (void **)&t->maps, t->map_count * sizeof(*t->maps) },
                { (void **)&t->lists, t->list_count * sizeof(*t->lists) },
                { (void **)&t->regex_routes, t->regex_route_count * sizeof(*t->regex_routes) },
                { (void **)&t->candidates, t->candidate_count * sizeof(*t->candidates) },
                { (void **)&t->text, t->text_len },
        };

        memcpy(p, all, sizeof(all));
}

/* Each at a cache line of its own, all in one block. */
int
trie_seal(struct trie *t)
{
        struct part parts[PARTS];
        size_t bytes = 64, at = 0;

        parts_of(t, parts);
        for (unsigned i = 0; i < PARTS; i++)
                bytes += (parts[i].bytes + 63) & ~(size_t)63;
        if ((t->block = aligned_alloc(64, bytes)) == NULL)
                return -ENOMEM;
        for (unsigned i = 0; i < PARTS; i++) {
                void *to = (char *)t->block + at;

                if (parts[i].bytes > 0)
                        memcpy(to, *parts[i].array, parts[i].bytes);
                free(*parts[i].array);
                *parts[i].array = to;
                at += (parts[i].bytes + 63) & ~(size_t)63;
        }
        t->block_bytes = bytes;
        return 0;
}

void
trie_fini(struct trie *t)
{
        struct part parts[PARTS];

        parts_of(t, parts);
        for (unsigned i = 0; i < PARTS && t->block == NULL; i++)
                free(*parts[i].array);
        for (uint32_t i = 0; i < t->regex_count; i++)
                regex_fini(&t->regexes[i]);
        free(t->block);
        free(t->regexes);
        free(t->more);
        memset(t, 0, sizeof(*t));
}

size_t
trie_bytes(const struct trie *t)
{
        size_t bytes = t->block_bytes + t->_regex_room * sizeof(*t->regexes) + t->_more_room * sizeof(*t->more);

        for (uint32_t i = 0; i < t->regex_count; i++)
                bytes += regex_bytes(&t->regexes[i]);
        return bytes;
}
