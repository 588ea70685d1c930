/* build.c - patterns become a tree.
 * SPDX-License-Identifier: MIT
 * From: compile.c adds patterns.   To: trie.c packs the tree.   Runs in: the loader's thread.
 * Here is the order of precedence within a node: a literal child is found before any edge is tried because walk.c looks there first, and
 * edge_compare puts the edges of one node in order. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "segment_regex.h"
#include "trie.h"

struct build_node *
build_node_new(struct build *b)
{
        struct build_node *n = arena_alloc(b->a, sizeof(*n));

        if (n == NULL)
                return NULL;
        n->id = b->node_count++;
        n->regexes_end = &n->regexes;
        return n;
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

/* ---- literal children ------------------------------------------------------------------------------------------------------------- */

/* FNV-1a; only the loader's patience is at stake. */
static uint32_t
kid_hash(uint32_t parent, struct span s)
{
        uint64_t h = UINT64_C(0xcbf29ce484222325) ^ parent;

        for (size_t i = 0; i < s.len; i++)
                h = (h ^ (unsigned char)s.ptr[i]) * UINT64_C(0x100000001b3);
        h *= UINT64_C(0x9e3779b97f4a7c15);
        return (uint32_t)(h >> 32);
}

struct build_node *
build_find(const struct build *b, const struct build_node *n, struct span literal)
{
        struct build_node *kid;

        if (b->table == NULL)
                return NULL;
        for (uint32_t i = kid_hash(n->id, literal) & b->table_mask; (kid = b->table[i]) != NULL; i = (i + 1) & b->table_mask)
                if (kid->parent == n->id && span_is(kid->literal, literal))
                        return kid;
        return NULL;
}

static void
table_put(struct build *b, struct build_node *kid)
{
        uint32_t i = kid_hash(kid->parent, kid->literal) & b->table_mask;

        while (b->table[i] != NULL)
                i = (i + 1) & b->table_mask;
        b->table[i] = kid;
}

static bool
table_grow(struct build *b)
{
        struct build_node **old = b->table;
        uint32_t had = old != NULL ? b->table_mask + 1 : 0, size = had > 0 ? 2 * had : 64;

        if (old != NULL && 2 * (b->kid_count + 1) <= had)
                return true;
        if ((b->table = arena_alloc(b->a, size * sizeof(struct build_node *))) == NULL) {
                b->table = old;
                return false;
        }
        b->table_mask = size - 1;
        for (uint32_t i = 0; i < had; i++)
                if (old[i] != NULL)
                        table_put(b, old[i]);
        return true;
}

struct build_node *
build_kid(struct build *b, struct build_node *n, struct span literal)
{
        struct build_node *kid = build_find(b, n, literal);

        if (kid != NULL)
                return kid;
        if (!table_grow(b) || !list_grow((void **)&n->kids, n->kid_count, &n->kid_room, b->a) || (kid = build_node_new(b)) == NULL)
                return NULL;
        kid->parent = n->id;
        kid->literal = literal;
        n->kids[n->kid_count++] = kid;
        b->kid_count++;
        table_put(b, kid);
        return kid;
}

/* ---- edges ------------------------------------------------------------------------------------------------------------------------ */

/* A text that is the same for two edges exactly when they take the same values. Literals hold no byte below 0x20. */
static struct span
edge_shape(struct span prefix, const struct pattern_step *step, struct arena *a)
{
        size_t len = prefix.len + 1, n = 0;
        char *out;

        for (uint32_t i = 0; i < step->piece_count; i++)
                len += step->pieces[i].text.len + 32;
        if ((out = arena_alloc(a, len)) == NULL)
                return (struct span){ NULL, 0 };
        if (prefix.len > 0)
                memcpy(out, prefix.ptr, prefix.len);
        n = prefix.len;
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

static int
edge_add(struct build *b, struct build_node *n, struct span prefix, const struct pattern_step *step, struct build_edge **ret, struct build_error *err)
{
        struct span shape = edge_shape(prefix, step, b->a);
        struct build_edge *e;
        int r;

        if (shape.ptr == NULL)
                return -ENOMEM;
        for (uint32_t i = 0; i < n->edge_count; i++)
                if (span_is(n->edges[i]->shape, shape)) {
                        *ret = n->edges[i];
                        return 0;
                }
        if (!list_grow((void **)&n->edges, n->edge_count, &n->edge_room, b->a) || (e = arena_alloc(b->a, sizeof(*e))) == NULL ||
            (e->target = build_node_new(b)) == NULL)
                return -ENOMEM;
        e->prefix = prefix;
        e->pieces = step->pieces;
        e->piece_count = step->piece_count;
        e->order = n->edge_count;
        e->shape = shape;
        if ((r = segment_regex(b->t, e, b->a, err)) < 0)
                return r;
        n->edges[n->edge_count++] = e;
        *ret = e;
        return 0;
}

/* Literal steps begin with a slash. Their segments become children, but for the last one when a SEGMENT step follows: it is its prefix. */
static struct build_node *
literal_add(struct build *b, struct build_node *n, struct span s, bool open, struct span *ret_prefix, struct build_hop *hops, uint32_t *hop_count)
{
        assert(s.len > 0 && s.ptr[0] == '/');
        do {
                const char *from = s.ptr + 1, *slash = memchr(from, '/', s.len - 1);
                struct span segment = { from, slash != NULL ? (size_t)(slash - from) : s.len - 1 };

                if (slash == NULL && open) {
                        *ret_prefix = segment;
                        return n;
                }
                if ((n = build_kid(b, n, segment)) == NULL)
                        return NULL;
                hops[(*hop_count)++] = (struct build_hop){ NULL, segment };
                s = (struct span){ from + segment.len, s.len - 1 - segment.len };
        } while (s.len > 0);
        return n;
}

static uint32_t
count_hops(const struct pattern *p)
{
        uint32_t hops = 0;

        for (uint32_t i = 0; i < p->step_count; i++)
                if (p->steps[i].kind == STEP_LITERAL)
                        for (size_t k = 0; k < p->steps[i].literal.len; k++)
                                hops += p->steps[i].literal.ptr[k] == '/';
        return hops;
}

int
build_add(struct build *b, struct build_node *root, const struct pattern *p, struct build_node **ret, struct build_hop **ret_hops, uint32_t *ret_hop_count,
          struct build_error *reterr_)
{
        struct build_hop *hops = arena_alloc(b->a, (count_hops(p) + 1) * sizeof(*hops)); /* every segment stands behind a slash */
        struct span prefix = { NULL, 0 };
        struct build_node *n = root;
        uint32_t count = 0;
        int r;

        if (hops == NULL)
                return -ENOMEM;
        for (uint32_t i = 0; i < p->step_count; i++) {
                const struct pattern_step *step = &p->steps[i];
                struct build_edge *e;

                if (step->kind == STEP_LITERAL) {
                        if ((n = literal_add(b, n, step->literal, i + 1 < p->step_count, &prefix, hops, &count)) == NULL)
                                return -ENOMEM;
                        continue;
                }
                if ((r = edge_add(b, n, prefix, step, &e, reterr_)) < 0)
                        return r;
                hops[count++] = (struct build_hop){ .edge = e };
                n = e->target;
        }
        *ret = n;
        *ret_hops = hops;
        *ret_hop_count = count;
        return 0;
}

/* ---- order ------------------------------------------------------------------------------------------------------------------------ */

int
build_type_rank(enum router_type type)
{
        static const int ranks[] = { [RT_INT] = 0, [RT_FLOAT] = 1, [RT_BOOL] = 2, [RT_UUID] = 3, [RT_RE] = 4, [RT_SLUG] = 5, [RT_STR] = 6, [RT_PATH] = 7 };

        return ranks[type];
}

int
build_edge_class(const struct build_edge *e)
{
        if (e->prefix.len > 0 || e->piece_count > 1)
                return 0;
        return e->pieces[0].type == RT_STR ? 2 : e->pieces[0].type == RT_PATH ? 3 : 1;
}

static size_t
literal_bytes(const struct build_edge *e)
{
        size_t n = 0;

        for (uint32_t i = 0; i < e->piece_count; i++)
                n += e->pieces[i].is_param ? 0 : e->pieces[i].text.len;
        return n;
}

static int
edge_compare(const void *pa, const void *pb)
{
        const struct build_edge *a = *(struct build_edge *const *)pa, *b = *(struct build_edge *const *)pb;
        size_t la = literal_bytes(a), lb = literal_bytes(b);
        int r;

        if (build_edge_class(a) != build_edge_class(b))
                return build_edge_class(a) - build_edge_class(b);
        if (a->prefix.len != b->prefix.len)
                return a->prefix.len > b->prefix.len ? -1 : 1;
        /* no segment has two prefixes of one length: this only makes neighbours of equal ones */
        if (a->prefix.len > 0 && (r = memcmp(a->prefix.ptr, b->prefix.ptr, a->prefix.len)) != 0)
                return r;
        if (la != lb)
                return la > lb ? -1 : 1;
        for (uint32_t i = 0; i < a->piece_count && i < b->piece_count; i += 2)
                if (a->pieces[i].type != b->pieces[i].type)
                        return build_type_rank(a->pieces[i].type) - build_type_rank(b->pieces[i].type);
        /* without this the order would go in circles: that of the file says how edges of one parameter and of two stand, types those of two */
        if ((a->piece_count + 1) / 2 != (b->piece_count + 1) / 2)
                return a->piece_count > b->piece_count ? -1 : 1;
        return a->order < b->order ? -1 : 1;
}

static int
kid_compare(const void *pa, const void *pb)
{
        struct span a = (*(struct build_node *const *)pa)->literal, b = (*(struct build_node *const *)pb)->literal;
        int r = memcmp(a.ptr, b.ptr, a.len < b.len ? a.len : b.len);

        return r != 0 ? r : (a.len > b.len) - (a.len < b.len);
}

void
build_sort(struct build_node *n)
{
        if (n->kid_count > 1)
                qsort(n->kids, n->kid_count, sizeof(struct build_node *), kid_compare);
        if (n->edge_count > 1)
                qsort(n->edges, n->edge_count, sizeof(struct build_edge *), edge_compare);
        for (uint32_t i = 0; i < n->kid_count; i++)
                build_sort(n->kids[i]);
        for (uint32_t i = 0; i < n->edge_count; i++)
                build_sort(n->edges[i]->target);
}

void
build_each_leaf(const struct build_node *n, void (*visit)(void *arg, struct build_leaf *leaf), void *arg)
{
        if (n->leaf != NULL)
                visit(arg, n->leaf);
        for (struct build_regex *x = n->regexes; x != NULL; x = x->next)
                visit(arg, &x->leaf);
        for (uint32_t i = 0; i < n->kid_count; i++)
                build_each_leaf(n->kids[i], visit, arg);
        for (uint32_t i = 0; i < n->edge_count; i++)
                build_each_leaf(n->edges[i]->target, visit, arg);
}

/* ---- bounds ----------------------------------------------------------------------------------------------------------------------- */

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
        return deepest + 1;
}

/* Nodes that one path may reach so many levels below; what lies deeper than LEVELS counts with the last one, by its largest level. */
enum { LEVELS = 24 };
struct ways { uint32_t at[LEVELS]; };

static void
ways_max(struct ways *w, const struct ways *other)
{
        for (unsigned i = 0; i < LEVELS; i++)
                if (other->at[i] > w->at[i])
                        w->at[i] = other->at[i];
}

static void
ways_add(struct ways *w, const struct ways *other)
{
        for (unsigned i = 0; i < LEVELS; i++) {
                uint64_t sum = (uint64_t)w->at[i] + other->at[i];

                w->at[i] = sum < TRIE_NONE ? (uint32_t)sum : TRIE_NONE;
        }
}

static struct ways count_ways(const struct build_node *n);

/* The same, seen from the level above. */
static struct ways
ways_below(const struct build_node *n)
{
        struct ways below = count_ways(n), out;

        for (unsigned i = 1; i < LEVELS; i++)
                out.at[i] = below.at[i - 1];
        if (below.at[LEVELS - 1] > out.at[LEVELS - 1])
                out.at[LEVELS - 1] = below.at[LEVELS - 1];
        out.at[0] = 0;
        return out;
}

/* A path goes to one literal child at most; to the edges of one prefix at most for each length of prefix; and to all edges without. */
static struct ways
count_ways(const struct build_node *n)
{
        struct ways all = { { 0 } }, literal = { { 0 } }, length = { { 0 } };

        for (uint32_t i = 0; i < n->kid_count; i++) {
                struct ways below = ways_below(n->kids[i]);

                ways_max(&literal, &below);
        }
        for (uint32_t i = 0; i < n->edge_count;) {
                const struct build_edge *first = n->edges[i];
                struct ways group = { { 0 } };

                for (; i < n->edge_count && span_is(n->edges[i]->prefix, first->prefix); i++) {
                        struct ways below = ways_below(n->edges[i]->target);

                        ways_add(&group, &below);
                }
                ways_max(&length, &group);
                if (i == n->edge_count || n->edges[i]->prefix.len != first->prefix.len) {
                        ways_add(&all, &length);
                        length = (struct ways){ { 0 } };
                }
        }
        ways_add(&all, &literal);
        all.at[0] = 1;
        return all;
}

uint32_t
build_ways(const struct build_node *n)
{
        struct ways w = count_ways(n);
        uint32_t most = 0;

        for (unsigned i = 0; i < LEVELS; i++)
                if (w.at[i] > most)
                        most = w.at[i];
        return most;
}
