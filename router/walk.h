/* walk.h - one lookup on its way through the trees of one router.
 * SPDX-License-Identifier: MIT
 * A struct walk lives on the stack of router_match; the scratch belongs to its thread. Private to router/. */
#ifndef HEART_WALK_H
#define HEART_WALK_H

#include "router_priv.h"
#include "types.h"

#define WALK_SLASH_MAX 16384 /* bytes of a path that is looked up a second time with a slash more */

/* A place to come back to: what stands behind stage is still to be tried. */
struct frame { uint32_t node, pos, stage, count; };

/* What is left of a list of regexes; asked: neighbours that were asked about together already. */
struct regex_cursor { const struct trie_regex_route *next, *end, *asked; };

struct router_scratch {
        struct regex_scratch *regex;
        struct frame stack[TRIE_DEPTH_MAX];
        struct regex_cursor lists[ROUTER_PREFIX_MAX + 1];
        struct router_match kept;   /* a route that was found while the walk goes on */
        struct split split;
        char path[WALK_SLASH_MAX + 1];
};

/* Captured values go straight into ret->params, where a later attempt overwrites them; names follow once a route has won. */
struct walk {
        const struct router *r;
        const struct trie *t;
        struct router_scratch *s;
        const struct router_query *q;
        struct router_match *ret;
        const char *path;
        const char *words; /* the path, or a copy of it that is eight bytes long */
        uint32_t len, room; /* of path, of words */
        uint64_t mask;     /* slashes of path[base..base + 64), and its end */
        uint32_t base;
        uint32_t method;   /* number of the bit */
        uint32_t allow, fallback_allow;
        bool slow;         /* every leaf needs leaf_take: collect, or slash */
        bool collect;      /* OPTIONS: go on for the sake of `allow` */
        bool slash;        /* this is the other spelling: strict routes are not there */
        bool found;        /* a route that is no fallback is in ret, or in s->kept */
        bool has_fallback; /* a fallback is in s->kept, until something is found */
        char small[8];
};

enum step { STEP_ON, STEP_FOUND, STEP_FAILED };

/* path begins with '/'. */
void walk_begin(struct walk *w, const char *path, uint32_t len);
/* The usual way: literals, {x} and simple types alone, straight down to a leaf; path of less than 64 bytes. TRIE_NONE: nothing is known, ask
 * walk_trie. Else the leaf, with the values in params. */
uint32_t straight(const struct trie *t, uint32_t root, const char *path, uint32_t len, struct router_param *params);
/* The templates of one class. */
enum step walk_trie(struct walk *w, uint32_t root);
/* Regexes for whole paths: those whose literal prefix the path begins with, in the order of the file. */
enum step walk_regexes(struct walk *w, const struct trie_prefixes *p);

/* The path ends at this leaf, in every case that walk_leaf does not know. STEP_FOUND ends the walk. */
enum step leaf_take(struct walk *w, const struct trie_leaf *l);

/* The route has won: what its parameters are called. */
static inline void
walk_fill(const struct router *r, const struct trie_leaf *l, uint32_t route, struct router_match *ret)
{
        const struct router_param_def *defs = r->params + (__builtin_expect(l->param_first != TRIE_NONE, 1) ? l->param_first : r->routes[route].param_first);

        ret->route = route;
        ret->param_count = l->param_count;
        for (uint32_t i = 0; i < l->param_count; i++) {
                ret->params[i].name = defs[i].name;
                ret->params[i].type = defs[i].type;
        }
}

static inline enum step
walk_leaf(struct walk *w, uint32_t index)
{
        const struct trie_leaf *l = &w->t->leaves[index];
        uint32_t route = trie_leaf_route(w->t, l, w->method);

        if (__builtin_expect(route == TRIE_NONE || w->slow, 0))
                return leaf_take(w, l);
        walk_fill(w->r, l, route, w->ret);
        w->found = true;
        return STEP_FOUND;
}

#endif
