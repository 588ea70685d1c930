/* leaf.c - the path ends at a leaf: which of its routes takes the request?
 * SPDX-License-Identifier: MIT
 * From: walk.c, whenever the leaf's table alone does not say.   To: when.c for conditions.   Runs in: any thread with a scratch of its own. */
#include "walk.h"
#include "when.h"

/* What one half of a leaf says: its route for the method, and the methods of all that are there. */
struct verdict { uint32_t route, allow; };

/* In the other spelling a strict route is as if it were not there; one that redirects takes its own methods and tells of none. */
static bool
is_there(const struct walk *w, uint32_t route, bool *ret_tells)
{
        uint32_t slash = w->r->given[route].trailing_slash;

        *ret_tells = !w->slash || slash == SLASH_IGNORE;
        return !w->slash || slash != SLASH_STRICT;
}

/* All different methods have their route, and nothing has conditions. */
static struct verdict
ask_table(const struct walk *w, const struct trie_leaf *l)
{
        struct verdict v = { TRIE_NONE, 0 };

        if (!w->slash)
                return (struct verdict){ trie_leaf_route(w->t, l, w->method), l->allow };
        for (unsigned m = 0; m < TRIE_METHODS; m++) {
                uint32_t route = trie_leaf_route(w->t, l, m);
                bool tells;

                if (route == TRIE_NONE || !is_there(w, route, &tells))
                        continue;
                v.allow |= tells ? 1u << m : 0;
                if (m == w->method)
                        v.route = route;
        }
        return v;
}

/* Strongest first: the first one whose conditions hold and that names the method. HEAD follows GET, but among routes with as many conditions
 * one that names HEAD goes first. */
static struct verdict
ask_candidates(const struct walk *w, const struct trie_leaf *l)
{
        const struct trie_candidate *c = &w->t->candidates[l->candidate];
        struct verdict v = { TRIE_NONE, 0 };
        uint32_t bit = 1u << w->method;
        size_t had = 0;
        bool sure = false;

        for (uint32_t i = 0; i < l->candidate_count && !(sure && !w->collect); i++) {
                const struct route_when *when = &w->r->given[c[i].route].when;
                bool tells, follows = bit == M_HEAD && (c[i].methods & M_GET) != 0;

                if (!is_there(w, c[i].route, &tells) || !when_holds(when, w->q))
                        continue;
                v.allow |= tells ? c[i].methods : 0;
                if (sure || (!follows && (c[i].methods & bit) == 0))
                        continue;
                if (v.route == TRIE_NONE) {
                        v.route = c[i].route;
                        had = route_when_count(when);
                        sure = (c[i].methods & bit) != 0;
                } else if (route_when_count(when) < had) {
                        sure = true;
                } else if (c[i].methods & bit) {
                        v.route = c[i].route;
                        sure = true;
                }
        }
        return v;
}

static struct verdict
ask(const struct walk *w, const struct trie_leaf *l)
{
        return l->candidate_count > 0 ? ask_candidates(w, l) : ask_table(w, l);
}

/* The walk goes on and will overwrite ret. */
static void
keep(struct walk *w)
{
        struct router_match *k = &w->s->kept;

        k->route = w->ret->route;
        k->param_count = w->ret->param_count;
        memcpy(k->params, w->ret->params, w->ret->param_count * sizeof(k->params[0]));
}

enum step
leaf_take(struct walk *w, const struct trie_leaf *l)
{
        struct verdict v = ask(w, l);

        w->allow |= v.allow;
        if (v.route != TRIE_NONE && !w->found) {
                walk_fill(w->r, l, v.route, w->ret);
                w->found = true;
                if (!w->collect)
                        return STEP_FOUND;
                keep(w);
        }
        if (l->fallback == TRIE_NONE || w->slash)
                return STEP_ON;
        l = &w->t->leaves[l->fallback];
        v = ask(w, l);
        w->fallback_allow |= v.allow;
        if (v.route != TRIE_NONE && !w->found && !w->has_fallback) {
                walk_fill(w->r, l, v.route, w->ret);
                w->has_fallback = true;
                keep(w);
        }
        return STEP_ON;
}
