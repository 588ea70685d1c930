/* walk.c - the way of a path through the trie of templates.
 * SPDX-License-Identifier: MIT
 * From: match.c, class by class.   To: leaf.c, where the path ends.
 * Runs in: any thread with a scratch of its own. No allocation, no lock, no I/O.
 *
 * The walk goes down segment by segment and keeps a stack of places where it may come back to. It is a tree, so a node is reached in one way
 * only and at one place of the path only: no node is visited twice, and the stack is as high as the trie is deep at most. How many nodes of one
 * level a path can reach at all is bounded when routes are compiled (TRIE_WAYS_MAX): README.md, "Cost". A route whose method or condition does
 * not fit does not end the walk: its methods go into `allow`, and a weaker route may still take the request. */
#include "walk.h"

#include <assert.h>

#define LIKELY(x) __builtin_expect(!!(x), 1)

/* ---- the path as bits ---------------------------------------------------------------------------------------------------------- */

/* Slashes of the block of 64 bytes that begins at base, and a bit where the path ends. */
static inline void
load_block(struct walk *w, uint32_t base)
{
        uint32_t left = w->len - base;

        w->base = base;
        w->mask = bytes_slashes(w->path + base, left) | (left < 64 ? UINT64_C(1) << left : 0);
}

void
walk_begin(struct walk *w, const char *path, uint32_t len)
{
        w->path = w->words = path;
        w->len = w->room = len;
        if (len < 8) {
                memset(w->small, 0, sizeof(w->small));
                for (uint32_t i = 0; i < len; i++)
                        w->small[i] = path[i];
                w->words = w->small;
                w->room = 8;
        }
        load_block(w, 0);
}

static __attribute__((noinline)) uint32_t
segment_end_far(struct walk *w, uint32_t pos)
{
        for (uint32_t base = pos & ~63u;; pos = base += 64) {
                uint64_t m;

                load_block(w, base);
                if ((m = w->mask >> (pos - base)) != 0)
                        return pos + (uint32_t)__builtin_ctzll(m);
        }
}

/* The first '/' at or behind pos, or the end. */
static inline uint32_t
segment_end(struct walk *w, uint32_t pos)
{
        uint32_t d = pos - w->base;

        if (LIKELY(d < 64)) {
                uint64_t m = w->mask >> d;

                if (LIKELY(m != 0))
                        return pos + (uint32_t)__builtin_ctzll(m);
        }
        return segment_end_far(w, pos);
}

/* ---- children ------------------------------------------------------------------------------------------------------------------ */

static inline uint32_t
literal_child(const struct walk *w, const struct trie_node *n, uint32_t node, uint32_t pos, uint32_t end)
{
        struct bytes_key k = bytes_key(w->words, w->room, pos, end);
        uint32_t len = end - pos;

        if (n->has_slots) {
                const struct trie_slot *s = trie_find(w->t, node, k, w->path + pos, len);

                return s != NULL ? s->target : TRIE_NONE;
        }
        if (k.a == n->a && k.b == n->b && len == n->kid_len && (LIKELY(len <= 16) || memcmp(w->t->text + n->kid_text, w->path + pos, len) == 0))
                return n->kid;
        return TRIE_NONE;
}

static enum step
match_multi(struct walk *w, const struct trie_edge *e, uint32_t pos, uint32_t len, struct router_param *ret)
{
        struct value values[ROUTER_PARAMS_MAX];

        if (len > TYPES_SEGMENT_MAX)
                return STEP_FAILED;
        if (!split_segment(w->t, &w->s->split, &w->t->pieces[e->data], e->count, w->path + pos, len, pos, values))
                return STEP_ON;
        for (uint32_t i = 0; i < e->count; i++)
                ret[i].value = (struct span){ w->path + values[i].off, values[i].len };
        return STEP_FOUND;
}

static enum step
match_regex(struct walk *w, const struct trie_edge *e, uint32_t pos, uint32_t len, struct router_param *ret)
{
        const struct regex *x = &w->t->regexes[e->data];

        switch (regex_match(x, w->s->regex, w->path + pos, len)) {
        case REGEX_NO:
                return STEP_ON;
        case REGEX_LIMIT:
                return STEP_FAILED;
        case REGEX_YES:
                break;
        }
        if (e->kind == EDGE_REGEX) {
                ret[0].value = (struct span){ w->path + pos, len };
                return STEP_FOUND;
        }
        for (uint32_t i = 0; i < e->count; i++) {
                uint32_t off, n;

                regex_param(x, w->s->regex, i, &off, &n);
                if (n == 0) /* a parameter never matches nothing */
                        return STEP_ON;
                ret[i].value = (struct span){ w->path + pos + off, n };
        }
        return STEP_FOUND;
}

/* Does the edge take the segment path[pos..end)? Its values go to ret. STEP_FOUND: yes. */
static enum step
take_edge(struct walk *w, const struct trie_edge *e, uint32_t pos, uint32_t end, struct router_param *ret)
{
        uint32_t len = end - pos;

        if (len <= (uint32_t)e->prefix_len + e->suffix_len)
                return STEP_ON;
        if (e->prefix_len > 0 && memcmp(w->path + pos, w->t->text + e->prefix, e->prefix_len) != 0)
                return STEP_ON;
        if (e->suffix_len > 0 && memcmp(w->path + end - e->suffix_len, w->t->text + e->suffix, e->suffix_len) != 0)
                return STEP_ON;
        pos += e->prefix_len;
        len -= (uint32_t)e->prefix_len + e->suffix_len;
        if (e->kind == EDGE_MULTI)
                return match_multi(w, e, pos, len, ret);
        if (e->kind == EDGE_REGEX || e->kind == EDGE_MULTI_REGEX)
                return match_regex(w, e, pos, len, ret);
        ret[0].value = (struct span){ w->path + pos, len };
        return type_takes(w->t, e->kind, e->data, w->path + pos, len) ? STEP_FOUND : STEP_ON;
}

/* Indexed nodes: the first edge of the longest prefix that the segment begins with and that is shorter than `below`. None: n->plain. */
static uint32_t
next_prefix(const struct walk *w, const struct trie_node *n, uint32_t pos, uint32_t len, uint32_t below)
{
        uint64_t lengths = n->prefixes;
        uint32_t node = (uint32_t)(n - w->t->nodes), most = below < len ? below : len;

        if (most < 64)
                lengths &= (UINT64_C(1) << most) - 1;
        while (lengths != 0) {
                uint32_t k = 63 - (uint32_t)__builtin_clzll(lengths);
                const struct trie_slot *s = trie_find(w->t, node | TRIE_PREFIX, bytes_key(w->words, w->room, pos, pos + k), w->path + pos, k);

                if (s != NULL)
                        return s->target;
                lengths &= ~(UINT64_C(1) << k);
        }
        return n->plain;
}

/* The strongest edge from *stage on that takes the segment; *stage goes behind it. NULL: none, or a limit was hit (*ret_step). */
static const struct trie_edge *
take_edges(struct walk *w, const struct trie_node *n, uint32_t pos, uint32_t end, uint32_t *stage, struct router_param *ret, enum step *ret_step)
{
        const struct trie_edge *edges = &w->t->edges[n->edge];

        for (uint32_t i = *stage;; i++) {
                if (n->indexed && i <= n->plain && (i == 0 || edges[i - 1].last))
                        i = next_prefix(w, n, pos, end - pos, i == 0 ? 64 : edges[i - 1].prefix_len);
                if (i >= n->edge_count)
                        break;
                *ret_step = take_edge(w, &edges[i], pos, end, ret);
                if (*ret_step == STEP_ON)
                        continue;
                *stage = i + 1;
                return *ret_step == STEP_FOUND ? &edges[i] : NULL;
        }
        *stage = n->edge_count;
        *ret_step = STEP_ON;
        return NULL;
}

/* ---- the walk ------------------------------------------------------------------------------------------------------------------ */

static inline void
push(struct walk *w, uint32_t *height, uint32_t node, uint32_t pos, uint32_t stage, uint32_t count)
{
        assert(*height < TRIE_DEPTH_MAX);
        w->s->stack[(*height)++] = (struct frame){ node, pos, stage, count };
}

enum step
walk_trie(struct walk *w, uint32_t root)
{
        const struct trie_node *nodes = w->t->nodes, *n = &nodes[root];
        struct router_param *params = w->ret->params;
        uint32_t pos = 1, count = 0, height = 0, stage = 0, end = segment_end(w, pos), next;

        for (;;) {
                next = TRIE_NONE;
                /* stage 0 comes by here once, and not again by way of a frame: that has `stage` for what is left */
                if (n->has_literals && stage == 0 && (next = literal_child(w, n, (uint32_t)(n - nodes), pos, end)) != TRIE_NONE) {
                        if (n->has_others)
                                push(w, &height, (uint32_t)(n - nodes), pos, 1, count);
                        goto found;
                }
        others:
                if (n->edge_count > 0 && stage <= n->edge_count) {
                        uint32_t at = stage > 0 ? stage - 1 : 0;
                        enum step step;
                        const struct trie_edge *e = take_edges(w, n, pos, end, &at, &params[count], &step);

                        if (step == STEP_FAILED)
                                return step;
                        stage = at + 1;
                        if (e != NULL) {
                                if (at < n->edge_count || n->str != TRIE_NONE || n->rest != TRIE_NONE)
                                        push(w, &height, (uint32_t)(n - nodes), pos, stage, count);
                                count += e->count;
                                next = e->target;
                                goto found;
                        }
                }
                if (n->str != TRIE_NONE && end > pos && stage <= n->edge_count + 1u) {
                        params[count].value = (struct span){ w->path + pos, end - pos };
                        if (n->rest != TRIE_NONE)
                                push(w, &height, (uint32_t)(n - nodes), pos, n->edge_count + 2u, count);
                        count++;
                        next = n->str;
                        goto found;
                }
                if (n->rest != TRIE_NONE) {
                        params[count].value = (struct span){ w->path + pos, w->len - pos };
                        if (walk_leaf(w, n->rest) == STEP_FOUND)
                                return STEP_FOUND;
                }
        back:
                if (height == 0)
                        return STEP_ON;
                height--;
                n = &nodes[w->s->stack[height].node];
                pos = w->s->stack[height].pos;
                stage = w->s->stack[height].stage;
                count = w->s->stack[height].count;
                end = segment_end(w, pos);
                goto others;
        found:
                if (end == w->len) {
                        next = trie_leaf_at(w->t, next);
                        if (next != TRIE_NONE && walk_leaf(w, next) == STEP_FOUND)
                                return STEP_FOUND;
                        goto back;
                }
                if (next & TRIE_LEAF)
                        goto back;
                n = &nodes[next];
                pos = end + 1;
                end = segment_end(w, pos);
                stage = 0;
        }
}

/* ---- regexes for whole paths ----------------------------------------------------------------------------------------------------- */

/* Class, literal, class, literal...: each class ends where the literal behind it begins, so there is nothing to come back to. */
static bool
run_program(struct walk *w, const struct trie_regex_route *x)
{
        const struct trie *t = w->t;
        const char *p = w->path;
        uint32_t pos = x->literal_len, count = 0;

        if (w->len < pos || memcmp(p, t->text + x->literal, pos) != 0)
                return false;
        for (uint32_t i = 0; i < x->piece_count; i++) {
                const struct trie_piece *piece = &t->pieces[x->piece + i];
                const struct byte_map *map = &t->maps[piece->data];
                uint32_t from = pos;

                if (piece->kind == EDGE_STR)
                        pos = w->len;
                while (pos < w->len && pos - from < map->max && map_has(map, p[pos]))
                        pos++;
                if (pos - from < map->min)
                        return false;
                if (piece->is_param)
                        w->ret->params[count++].value = (struct span){ p + from, pos - from };
                if (w->len - pos < piece->literal_len || memcmp(p + pos, t->text + piece->literal, piece->literal_len) != 0)
                        return false;
                pos += piece->literal_len;
        }
        return pos == w->len;
}

/* One regex and, when it matches, its leaf. */
static enum step
try_regex(struct walk *w, const struct trie_regex_route *x)
{
        const struct regex *regex;

        if (x->regex == TRIE_NONE)
                return run_program(w, x) ? walk_leaf(w, x->leaf) : STEP_ON;
        regex = &w->t->regexes[x->regex];
        switch (regex_match(regex, w->s->regex, w->path, w->len)) {
        case REGEX_NO:
                return STEP_ON;
        case REGEX_LIMIT:
                return STEP_FAILED;
        case REGEX_YES:
                break;
        }
        for (uint32_t i = 0; i < regex->group_count; i++) {
                uint32_t off, n;

                regex_param(regex, w->s->regex, i, &off, &n);
                w->ret->params[i].value = (struct span){ w->path + off, n };
        }
        return walk_leaf(w, x->leaf);
}

/* Goes to the first of the neighbours that matches, or behind them all; false: the list is at its end. A limit that they hit together says
 * nothing of one alone: then each is asked. */
static bool
skip_together(struct walk *w, struct regex_cursor *c)
{
        const struct trie_regex_route *x = c->next;

        switch (regex_match(&w->t->regexes[x->any], w->s->regex, w->path, w->len)) {
        case REGEX_NO:
                c->next += x->together;
                break;
        case REGEX_LIMIT:
                c->asked = x;
                break;
        case REGEX_YES:
                c->asked = x;
                c->next += regex_first(w->s->regex);
                break;
        }
        return c->next < c->end;
}

enum step
walk_regexes(struct walk *w, const struct trie_prefixes *p)
{
        const struct trie *t = w->t;
        uint64_t slashes = w->base == 0 ? w->mask : bytes_slashes(w->path, w->len);
        uint32_t count = 0;

        /* bit n of mask << 1: path[n - 1] is a slash */
        for (uint64_t lengths = p->lengths | (p->folders & slashes << 1); lengths != 0; lengths &= lengths - 1) {
                uint32_t n = (uint32_t)__builtin_ctzll(lengths);
                const struct trie_slot *s;

                if (n > w->len)
                        break;
                if ((s = trie_find(t, p->place, bytes_key(w->words, w->room, 0, n), w->path, n)) == NULL)
                        continue;
                w->s->lists[count].next = &t->regex_routes[t->lists[s->target].first];
                w->s->lists[count].end = w->s->lists[count].next + t->lists[s->target].count;
                w->s->lists[count].asked = NULL;
                count++;
        }
        while (count > 0) {
                uint32_t best = 0;
                enum step step;

                for (uint32_t i = 1; i < count; i++)
                        if (w->s->lists[i].next->order < w->s->lists[best].next->order)
                                best = i;
                if (w->s->lists[best].next->together > 0 && w->s->lists[best].next != w->s->lists[best].asked) {
                        if (!skip_together(w, &w->s->lists[best]))
                                w->s->lists[best] = w->s->lists[--count];
                        continue; /* another list may come before that now */
                }
                step = try_regex(w, w->s->lists[best].next);
                if (step != STEP_ON)
                        return step;
                if (++w->s->lists[best].next == w->s->lists[best].end)
                        w->s->lists[best] = w->s->lists[--count];
        }
        return STEP_ON;
}
