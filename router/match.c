/* match.c - a path finds its route: selectors, the order of the trees, and what is said when nothing fits.
 * SPDX-License-Identifier: MIT
 * From: dispatch.c, with the path that router_decode made.   To: walk.c, tree by tree; the answer is in struct router_match.
 * Runs in: any thread with a scratch of its own. No allocation, no lock, no I/O. */
#include <assert.h>
#include <stdlib.h>

#include "walk.h"

struct router_scratch *
router_scratch_new(void)
{
        struct router_scratch *s = malloc(sizeof(*s)); /* no need for zeroes, and `split` is large */

        if (s == NULL)
                return NULL;
        if ((s->regex = regex_scratch_new()) == NULL) {
                free(s);
                return NULL;
        }
        return s;
}

void
router_scratch_free(struct router_scratch *s)
{
        if (s == NULL)
                return;
        regex_scratch_free(s->regex);
        free(s);
}

/* ---- classes ------------------------------------------------------------------------------------------------------------------- */

static inline enum step
walk_class(struct walk *w, uint32_t index)
{
        const struct router_class *c = &w->r->classes[index];
        enum step step;

        if ((c->first.lengths | c->first.folders) != 0 && !w->slash && (step = walk_regexes(w, &c->first)) != STEP_ON)
                return step;
        if (c->trie != TRIE_NONE && (step = walk_trie(w, c->trie)) != STEP_ON)
                return step;
        /* a regex says itself which slashes it takes */
        return (c->regexes.lengths | c->regexes.folders) != 0 && !w->slash ? walk_regexes(w, &c->regexes) : STEP_ON;
}

/* The class with exactly this selector, if there is one. */
static enum step
walk_selector(struct walk *w, const struct in6_addr *addr, uint16_t port, enum host_kind kind, struct span host)
{
        const struct router *r = w->r;
        struct selector wanted = { .has_addr = addr != NULL, .port = port, .host_kind = kind, .host = host };

        if (addr != NULL)
                wanted.addr = *addr;
        for (uint32_t i = router_selector_hash(addr, port, kind, host) & r->class_mask;; i = (i + 1) & r->class_mask) {
                if (r->class_slots[i] == TRIE_NONE)
                        return STEP_ON;
                if (select_compare(&r->classes[r->class_slots[i]].select, &wanted) == 0)
                        return walk_class(w, r->class_slots[i]);
        }
}

/* All classes of one listener, by host: exact, longest *.x, any. */
static enum step
walk_listener(struct walk *w, const struct router_query *q, unsigned kind)
{
        const struct in6_addr *addr = kind & 2 ? &q->local.addr : NULL;
        uint16_t port = kind & 1 ? q->local.port : 0;
        unsigned hosts = w->r->listener_hosts[kind];
        enum step step = STEP_ON;

        if (hosts & 1u << HOST_EXACT && q->host.len > 0)
                step = walk_selector(w, addr, port, HOST_EXACT, q->host);
        if (hosts & 1u << HOST_WILD)
                for (size_t i = 1; i < q->host.len && step == STEP_ON; i++)
                        if (q->host.ptr[i] == '.')
                                step = walk_selector(w, addr, port, HOST_WILD, (struct span){ q->host.ptr + i, q->host.len - i });
        if (hosts & 1u << HOST_ANY && step == STEP_ON)
                step = walk_selector(w, addr, port, HOST_ANY, (struct span){ NULL, 0 });
        return step;
}

static enum step
walk_all(struct walk *w, const struct router_query *q)
{
        enum step step = STEP_ON;

        if (w->r->only_any)
                return walk_class(w, 0);
        for (unsigned kind = 4; kind-- > 0 && step == STEP_ON;) {
                if (w->r->listener_hosts[kind] == 0 || (kind & 1 && q->local.port == 0))
                        continue;
                step = walk_listener(w, q, kind);
        }
        return step;
}

/* What a mask of routes comes to for the client. */
static uint32_t
allow_text(uint32_t mask)
{
        return mask | M_OPTIONS | (mask & M_GET ? M_HEAD : 0);
}

static void
restore(struct walk *w)
{
        const struct router_match *k = &w->s->kept;

        w->ret->route = k->route;
        w->ret->param_count = k->param_count;
        memcpy(w->ret->params, k->params, k->param_count * sizeof(k->params[0]));
}

/* ---- the other spelling ---------------------------------------------------------------------------------------------------------- */

/* Values point into the copy with a slash more: they go back to where they came from. The slash itself is in none but an empty rest. */
static void
rebase(struct walk *w)
{
        for (uint32_t i = 0; i < w->ret->param_count; i++) {
                struct span *v = &w->ret->params[i].value;
                size_t off = (size_t)(v->ptr - w->path), len = w->q->path.len;

                off = off < len ? off : len;
                *v = (struct span){ w->q->path.ptr + off, v->len < len - off ? v->len : len - off };
        }
}

/* No route takes the path as it is: does one take it with a slash more or less at its end, and would have it so? */
static enum router_verdict
match_slash(struct walk *w)
{
        const struct router_query *q = w->q;
        size_t len = q->path.len;
        bool more = q->path.ptr[len - 1] != '/';
        enum step step;

        if (len == 1 || len > WALK_SLASH_MAX)
                return ROUTER_NOT_FOUND;
        w->slash = w->slow = true;
        if (more) {
                memcpy(w->s->path, q->path.ptr, len);
                w->s->path[len] = '/';
                walk_begin(w, w->s->path, (uint32_t)len + 1);
        } else {
                walk_begin(w, q->path.ptr, (uint32_t)len - 1);
        }
        step = walk_all(w, q);
        if (step == STEP_FAILED && !w->found)
                return ROUTER_FAILED;
        if (!w->found)
                return w->allow != 0 ? ROUTER_METHOD : ROUTER_NOT_FOUND;
        if (w->collect)
                restore(w);
        if (more)
                rebase(w);
        return w->r->given[w->ret->route].trailing_slash == SLASH_REDIRECT ? ROUTER_SLASH : ROUTER_FOUND;
}

/* ---- all of it --------------------------------------------------------------------------------------------------------------------- */

/* What is said once the walk has not simply ended at a route. */
static __attribute__((noinline)) enum router_verdict
settle(struct walk *w, enum step step)
{
        struct router_match *ret = w->ret;
        enum router_verdict verdict;
        uint32_t mount;

        /* a limit that is hit while only `allow` is collected takes nothing from the route that was found before it */
        if (step == STEP_FAILED && !w->found) {
                ret->param_count = 0;
                return ROUTER_FAILED;
        }
        if (w->found) {
                if (w->collect) {
                        restore(w);
                        ret->allow = allow_text(w->allow);
                }
                return ROUTER_FOUND;
        }
        mount = w->fallback_allow;
        if (w->allow == 0 && w->r->has_slashes) {
                bool has_fallback = w->has_fallback;

                verdict = match_slash(w); /* takes no fallbacks: they come after it, in the spelling that was asked for */
                if (verdict == ROUTER_FOUND && w->collect)
                        ret->allow = allow_text(w->allow);
                if (verdict == ROUTER_FOUND || verdict == ROUTER_SLASH)
                        return verdict;
                if (verdict == ROUTER_FAILED) {
                        ret->param_count = 0;
                        return verdict;
                }
                w->has_fallback = has_fallback;
        }
        if (w->allow == 0 && w->has_fallback) {
                restore(w);
                if (w->collect)
                        ret->allow = allow_text(mount);
                return ROUTER_FOUND;
        }
        ret->param_count = 0;
        if (w->allow == 0 && mount == 0)
                return ROUTER_NOT_FOUND;
        ret->allow = allow_text(w->allow != 0 ? w->allow : mount);
        return ROUTER_METHOD;
}

static __attribute__((noinline)) enum router_verdict
match_any(const struct router *r, struct router_scratch *s, const struct router_query *q, struct router_match *ret)
{
        struct walk w;
        enum step step;

        w.r = r;
        w.t = &r->trie;
        w.s = s;
        w.q = q;
        w.ret = ret;
        w.method = (uint32_t)__builtin_ctz(q->method);
        w.allow = w.fallback_allow = 0;
        w.slow = w.collect = q->method == M_OPTIONS;
        w.slash = w.found = w.has_fallback = false;
        walk_begin(&w, q->path.ptr, (uint32_t)q->path.len);
        step = walk_all(&w, q);
        return step == STEP_FOUND ? ROUTER_FOUND : settle(&w, step);
}

enum router_verdict
router_match(const struct router *r, struct router_scratch *s, const struct router_query *q, struct router_match *ret)
{
        size_t len = q->path.len;

        assert(q->method != 0 && (q->method & (q->method - 1)) == 0 && q->method <= M_OTHER);
        assert(len > 0 && len < UINT32_MAX && q->path.ptr[0] == '/');
        ret->param_count = 0;
        ret->allow = 0;
        if (r->straight != TRIE_NONE && len < 64 && q->method != M_OPTIONS) {
                uint32_t index = straight(&r->trie, r->straight, q->path.ptr, (uint32_t)len, ret->params), route;

                if (index != TRIE_NONE) {
                        const struct trie_leaf *l = &r->trie.leaves[index];

                        if ((route = trie_leaf_route(&r->trie, l, (uint32_t)__builtin_ctz(q->method))) != TRIE_NONE) {
                                walk_fill(r, l, route, ret);
                                return ROUTER_FOUND;
                        }
                }
        }
        return match_any(r, s, q, ret);
}
