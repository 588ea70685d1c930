/* reach.c - routes that can never win, because a stronger one takes everything that they could.
 * SPDX-License-Identifier: MIT
 * From: compile.c, once all trees are complete and sorted.   To: findings.c.   Runs in: the loader's thread.
 * All of this is sure: where containment of two patterns cannot be seen from their texts, nothing is said. */
#include <stdio.h>

#include "compile_priv.h"
#include "simple.h"
#include "when.h"

enum { EDGES_MAX = 64 }; /* a node with more is left alone: the check would be quadratic */

/* Which of a route's methods does this leaf take from it? Its routes' conditions hold whenever the route's do. */
static uint32_t
methods_left(const struct compiler *c, size_t i, const struct build_leaf *l, uint32_t methods, uint32_t *ret_by)
{
        for (uint32_t k = 0; l != NULL && k < l->count; k++) {
                const struct route *other = &c->routes[l->routes[k].route];

                if (l->routes[k].route == i || (other->fallback && !c->routes[i].fallback) || (methods & other->methods) == 0 ||
                    !when_covers(&other->when, &c->routes[i].when))
                        continue;
                methods &= ~other->methods;
                *ret_by = l->routes[k].route;
        }
        return methods;
}

static void
tell(struct compiler *c, size_t i, uint32_t by, const char *hint, const char *why)
{
        find(c, DIAG_WARNING, place_of_path(c, i), hint, "this route can never win: %s", why);
        find(c, DIAG_NOTE, place_of_path(c, by), NULL, "it is here");
}

/* ---- regexes that take all -------------------------------------------------------------------------------------------------------- */

/* A regex of this tree that takes every path that begins with the route's prefix. before: only those that stand before it in the file. */
static bool
taken_by_regex(struct compiler *c, size_t i, const struct build_node *root, struct span prefix, size_t before, uint32_t *ret_by)
{
        uint32_t methods = c->routes[i].methods;

        if (root == NULL)
                return false;
        for (size_t n = 0; n <= prefix.len && n <= ROUTER_PREFIX_MAX; n++) {
                const struct build_node *kid = build_find(&c->b, root, (struct span){ prefix.ptr, n });

                for (const struct build_regex *x = kid != NULL ? kid->regexes : NULL; x != NULL; x = x->next)
                        if (x->takes_all && x->order < before && (methods = methods_left(c, i, &x->leaf, methods, ret_by)) == 0)
                                return true;
        }
        return false;
}

/* The same text in the tree of those that are `first`. */
static bool
taken_by_itself(struct compiler *c, size_t i, uint32_t *ret_by)
{
        const struct build_node *root = c->classes[c->src[i].class].first, *kid = root != NULL ? build_find(&c->b, root, c->src[i].prefix) : NULL;

        for (const struct build_regex *x = kid != NULL ? kid->regexes : NULL; x != NULL; x = x->next)
                if (span_is(x->text, c->src[i].pattern.regex))
                        return methods_left(c, i, &x->leaf, c->routes[i].methods, ret_by) == 0;
        return false;
}

/* A template that ends in a path parameter takes all that a regex with a prefix behind it could match. */
static bool
taken_by_rest(struct compiler *c, size_t i, struct span prefix, uint32_t *ret_by)
{
        const struct build_node *n = c->classes[c->src[i].class].trie;
        uint32_t methods = c->routes[i].methods;

        if (prefix.len == 0) /* every path begins with a slash, whatever the regex says */
                prefix = SPAN_LIT("/");
        while (n != NULL && prefix.len > 0 && prefix.ptr[0] == '/') {
                const char *slash = memchr(prefix.ptr + 1, '/', prefix.len - 1);

                if (n->edge_count > 0 && build_edge_class(n->edges[n->edge_count - 1]) == 3)
                        methods = methods_left(c, i, n->edges[n->edge_count - 1]->target->leaf, methods, ret_by);
                if (methods == 0)
                        return true;
                if (slash == NULL)
                        return false;
                n = build_find(&c->b, n, (struct span){ prefix.ptr + 1, (size_t)(slash - prefix.ptr) - 1 });
                prefix = (struct span){ slash, prefix.len - (size_t)(slash - prefix.ptr) };
        }
        return false;
}

/* ---- templates beside templates ----------------------------------------------------------------------------------------------------- */

static struct span
suffix_of(const struct build_edge *e)
{
        const struct pattern_piece *last = &e->pieces[e->piece_count - 1];

        return last->is_param ? (struct span){ "", 0 } : last->text;
}

static bool
class_of(const struct pattern_piece *p, struct byte_map *ret)
{
        if (p->type == RT_RE)
                return pattern_simple_class(p->text, ret);
        return p->type == RT_SLUG && pattern_simple_class(SPAN_LIT("[A-Za-z0-9_-]+"), ret);
}

/* Does the one parameter take all that the other does? */
static bool
type_covers(const struct pattern_piece *a, const struct pattern_piece *b)
{
        struct byte_map x, y;

        if (a->type == b->type && a->type != RT_RE)
                return true;
        if (a->type == RT_RE && (span_is(a->text, SPAN_LIT(".+")) || span_is(a->text, SPAN_LIT(".*")) || span_is(a->text, SPAN_LIT("[^/]+")) ||
                                 span_is(a->text, SPAN_LIT("[^/]*"))))
                return b->type != RT_PATH;
        if (!class_of(a, &x) || !class_of(b, &y))
                return false;
        for (unsigned i = 0; i < 4; i++)
                if (y.bits[i] & ~x.bits[i])
                        return false;
        return x.min <= y.min && x.max >= y.max;
}

static bool
edge_covers(const struct build_edge *a, const struct build_edge *b)
{
        return a == b || (a->piece_count <= 2 && b->piece_count <= 2 && span_is(a->prefix, b->prefix) && span_is(suffix_of(a), suffix_of(b)) &&
                          type_covers(&a->pieces[0], &b->pieces[0]));
}

/* Below n, which is on no weaker way than the route's own: is there a leaf for all that its hops take? */
static uint32_t
taken_below(struct compiler *c, size_t i, const struct build_node *n, uint32_t k, uint32_t methods, uint32_t *ret_by)
{
        const struct source_route *s = &c->src[i];
        const struct build_hop *hop = &s->hops[k];

        if (k == s->hop_count)
                return methods_left(c, i, n->leaf, methods, ret_by);
        if (hop->edge == NULL) {
                const struct build_node *kid = build_find(&c->b, n, hop->literal);

                if (kid != NULL)
                        methods = taken_below(c, i, kid, k + 1, methods, ret_by);
        }
        for (uint32_t e = 0; e < n->edge_count && n->edge_count <= EDGES_MAX && methods != 0; e++) {
                const struct build_edge *edge = n->edges[e];

                if (build_edge_class(edge) == 3)
                        methods = methods_left(c, i, edge->target->leaf, methods, ret_by);
                else if (hop->edge != NULL && edge_covers(edge, hop->edge))
                        methods = taken_below(c, i, edge->target, k + 1, methods, ret_by);
                else if (hop->edge == NULL && hop->literal.len > 0 && build_edge_class(edge) == 2)
                        methods = taken_below(c, i, edge->target, k + 1, methods, ret_by);
        }
        return methods;
}

/* At each level of the route's own way: does an edge before its own take what it takes, and lead to all that its own leads to? */
static bool
taken_by_sibling(struct compiler *c, size_t i, uint32_t *ret_by)
{
        const struct source_route *s = &c->src[i];
        const struct build_node *n = c->classes[s->class].trie;
        uint32_t methods = c->routes[i].methods;

        for (uint32_t k = 0; k < s->hop_count && n != NULL; k++) {
                const struct build_edge *own = s->hops[k].edge;

                for (uint32_t e = 0; own != NULL && e < n->edge_count && n->edge_count <= EDGES_MAX && n->edges[e] != own; e++)
                        if (edge_covers(n->edges[e], own) && (methods = taken_below(c, i, n->edges[e]->target, k + 1, methods, ret_by)) == 0)
                                return true;
                n = own != NULL ? own->target : build_find(&c->b, n, s->hops[k].literal);
        }
        return false;
}

void
check_reachable(struct compiler *c, size_t i)
{
        const struct source_route *s = &c->src[i];
        const struct build_class *class;
        uint32_t by = TRIE_NONE;

        if (!s->usable)
                return;
        class = &c->classes[s->class];
        if (taken_by_regex(c, i, class->first, s->prefix, s->pattern.is_regex && c->routes[i].first ? i : TRIE_NONE, &by))
                tell(c, i, by, NULL, "a regex before it takes every such path");
        else if (!s->pattern.is_regex && taken_by_sibling(c, i, &by))
                tell(c, i, by, NULL, "a stronger one takes every such path");
        else if (!s->pattern.is_regex || c->routes[i].first)
                return;
        else if (taken_by_itself(c, i, &by))
                tell(c, i, by, NULL, "the same regex stands before every template");
        else if (taken_by_rest(c, i, s->prefix, &by))
                tell(c, i, by, "first: true puts it before every template", "regexes come after templates, and one of those takes every such path");
        else if (taken_by_regex(c, i, class->regexes, s->prefix, i, &by))
                tell(c, i, by, NULL, "a regex before it takes every such path");
}
