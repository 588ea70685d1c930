/* match.c - a path finds its route.
 * SPDX-License-Identifier: MIT
 * From: dispatch.c, with the path that router_decode made.   To: nobody; the answer is in struct router_match.
 * Runs in: any thread with a scratch of its own. No allocation, no lock, no I/O.
 *
 * The walk goes down the trie and keeps a stack of places where it may come back to. It is a tree, so a node is reached in one way only and
 * at one place of the path only: no node is visited twice, and the stack is as high as the trie is deep at most (trie_pack's caller saw to
 * TRIE_DEPTH_MAX). That is the whole bound; README.md, "Cost", says what it means. A route whose method does not fit does not end the walk:
 * its methods go into `allow`, and a weaker route may still take the request. */
#include <assert.h>
#include <stdlib.h>

#include "router_priv.h"

struct value { uint32_t off, len; };
struct choice { uint32_t node, pos, edge, value_count; };

struct router_scratch {
        struct regex_scratch *regex;
        struct value values[ROUTER_PARAMS_MAX];
        struct choice stack[TRIE_DEPTH_MAX];
        struct { const struct trie_regex_route *next, *end; } lists[ROUTER_PREFIX_MAX + 1];
        uint16_t ends[ROUTER_PARAMS_MAX][ROUTER_SEGMENT_MAX + 2]; /* split_segment's */
};

/* One router_match call. */
struct walk {
        const struct router *r;
        const struct trie *t;
        struct router_scratch *s;
        const char *path;
        uint32_t len;
        uint32_t method;   /* number of the bit */
        bool collect;      /* OPTIONS: go on for the sake of `allow` */
        bool found;        /* a route that is no fallback is in ret */
        bool has_fallback; /* a fallback is in ret, until something is found */
        uint32_t allow, fallback_allow;
        struct router_match *ret;
};

enum step { STEP_ON, STEP_FOUND, STEP_FAILED };

struct router_scratch *
router_scratch_new(void)
{
        struct router_scratch *s = malloc(sizeof(*s)); /* no need for zeroes, and `ends` is large */

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

/* ---- bytes ------------------------------------------------------------------------------------------------------------------ */

/* The first '/' at or behind pos, or len. */
static inline uint32_t
segment_end(const char *path, uint32_t pos, uint32_t len)
{
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
        for (; pos + 8 <= len; pos += 8) {
                uint64_t w, x;

                memcpy(&w, path + pos, 8);
                x = w ^ UINT64_C(0x2f2f2f2f2f2f2f2f);
                x = (x - UINT64_C(0x0101010101010101)) & ~x & UINT64_C(0x8080808080808080);
                if (x != 0) /* the lowest bit is exact, whatever borrowed above it */
                        return pos + (uint32_t)__builtin_ctzll(x) / 8;
        }
#endif
        while (pos < len && path[pos] != '/')
                pos++;
        return pos;
}

/* Are the n bytes at p the node's literal? No byte outside the two is read. */
static inline bool
literal_equal(const char *p, const char *q, uint32_t n)
{
        if (n >= 8) {
                uint64_t a, b;
                uint32_t c, d;

                memcpy(&a, p, 8);
                memcpy(&b, q, 8);
                memcpy(&c, p + n - 4, 4);
                memcpy(&d, q + n - 4, 4);
                return ((a ^ b) | (c ^ d)) == 0;
        }
        if (n >= 4) {
                uint32_t a, b, c, d;

                memcpy(&a, p, 4);
                memcpy(&b, q, 4);
                memcpy(&c, p + n - 4, 4);
                memcpy(&d, q + n - 4, 4);
                return ((a ^ b) | (c ^ d)) == 0;
        }
        if (n == 0)
                return true;
        return p[0] == q[0] && p[n / 2] == q[n / 2] && p[n - 1] == q[n - 1];
}
static_assert(TRIE_LITERAL == 12, "literal_equal looks at the first 8 and the last 4 bytes");

/* Which of n keys is c? n when none is. Keys are padded with 0, and a path may hold no 0. */
static inline uint32_t
find_key(const char *keys, uint32_t n, char c)
{
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
        uint64_t wanted = UINT64_C(0x0101010101010101) * (unsigned char)c;

        for (uint32_t i = 0; i < n; i += 8) {
                uint64_t x;

                memcpy(&x, keys + i, 8);
                x ^= wanted;
                x = (x - UINT64_C(0x0101010101010101)) & ~x & UINT64_C(0x8080808080808080);
                if (x != 0) {
                        i += (uint32_t)__builtin_ctzll(x) / 8;
                        return i < n ? i : n;
                }
        }
        return n;
#else
        const char *p = memchr(keys, c, n);

        return p != NULL ? (uint32_t)(p - keys) : n;
#endif
}

/* The literal child whose text begins with c; child_count when none does. */
static inline uint32_t
find_kid(const struct trie *t, const struct trie_node *n, char c)
{
        if (n->child_count <= 1)
                return n->child_count == 1 && t->nodes[n->child].literal[0] != c;
        return find_key(t->keys + n->keys, n->child_count, c);
}

static inline bool
is_digit(char c)
{
        return (unsigned char)(c - '0') < 10;
}

static inline bool
map_has(const struct byte_map *m, char ch)
{
        unsigned char c = (unsigned char)ch;

        return (m->bits[c / 64] >> (c % 64)) & 1;
}

/* ---- what the types take ----------------------------------------------------------------------------------------------------- */

enum { INT_DIGITS = 19, FLOAT_DIGITS = 32, UUID_LEN = 36 }; /* 19: of 2^63 - 1 */

/* 19 digits: do they fit into a signed 64-bit number? */
static bool
int_fits(const char *digits, bool negative)
{
        return memcmp(digits, negative ? "9223372036854775808" : "9223372036854775807", INT_DIGITS) <= 0;
}

static inline bool
is_int(const char *p, uint32_t n)
{
        bool negative = n > 0 && p[0] == '-';

        p += negative;
        n -= negative;
        if (n - 1 >= INT_DIGITS) /* 0 as well */
                return false;
        for (uint32_t i = 0; i < n; i++)
                if (!is_digit(p[i]))
                        return false;
        return n < INT_DIGITS || int_fits(p, negative);
}

static uint32_t
digits(const char *p, uint32_t n)
{
        uint32_t i = 0;

        while (i < n && is_digit(p[i]))
                i++;
        return i;
}

static bool
is_float(const char *p, uint32_t n)
{
        uint32_t i = n > 0 && p[0] == '-', d = digits(p + i, n - i), f;

        if (d == 0 || d > FLOAT_DIGITS)
                return false;
        i += d;
        if (i == n)
                return true;
        if (p[i] != '.')
                return false;
        f = digits(p + i + 1, n - i - 1);
        return f > 0 && f <= FLOAT_DIGITS && i + 1 + f == n;
}

static bool
is_uuid(const char *p)
{
        for (unsigned i = 0; i < UUID_LEN; i++) {
                bool dash = i == 8 || i == 13 || i == 18 || i == 23;

                if (dash ? p[i] != '-' : !is_digit(p[i]) && (unsigned char)((p[i] | 32) - 'a') >= 6)
                        return false;
        }
        return true;
}

static bool
is_mapped(const struct byte_map *m, const char *p, uint32_t n)
{
        if (n < m->min || n > m->max)
                return false;
        for (uint32_t i = 0; i < n; i++)
                if (!map_has(m, p[i]))
                        return false;
        return true;
}

static bool
is_bool(const char *p, uint32_t n)
{
        return (n == 4 && memcmp(p, "true", 4) == 0) || (n == 5 && memcmp(p, "false", 5) == 0);
}

/* ---- several parameters in one segment ---------------------------------------------------------------------------------------- */

enum { NO_END = UINT16_MAX };
static_assert(ROUTER_SEGMENT_MAX + 1 < NO_END, "ends are 16-bit");

/* Where a value of this kind that begins at `from` may end at the earliest, NO_END for nowhere. ends[i]: the first possible end at or
 * behind i. run: where the bytes from `from` on leave the piece's byte map (MAP alone). */
static uint32_t
piece_end(const struct trie *t, const struct trie_piece *piece, const char *p, uint32_t from, uint32_t len, const uint16_t *ends, uint32_t run)
{
        const struct byte_map *m;
        uint32_t e, i, d;

        switch (piece->kind) {
        case EDGE_STR:
                return from < len ? ends[from + 1] : NO_END;
        case EDGE_INT:
                i = from + (from < len && p[from] == '-');
                if (i >= len || (e = ends[i + 1]) == NO_END || e - i > INT_DIGITS || digits(p + i, e - i) < e - i ||
                    (e - i == INT_DIGITS && !int_fits(p + i, i > from)))
                        return NO_END;
                return e;
        case EDGE_FLOAT:
                i = from + (from < len && p[from] == '-');
                d = i < len ? digits(p + i, len - i < FLOAT_DIGITS ? len - i : FLOAT_DIGITS) : 0;
                if (d == 0)
                        return NO_END;
                if ((e = ends[i + 1]) <= i + d)
                        return e;
                i += d;
                if (i + 1 >= len || p[i] != '.')
                        return NO_END;
                d = digits(p + i + 1, len - i - 1 < FLOAT_DIGITS ? len - i - 1 : FLOAT_DIGITS);
                return d > 0 && (e = ends[i + 2]) <= i + 1 + d ? e : NO_END;
        case EDGE_BOOL:
                if (from + 4 <= len && ends[from + 4] == from + 4 && is_bool(p + from, 4))
                        return from + 4;
                return from + 5 <= len && ends[from + 5] == from + 5 && is_bool(p + from, 5) ? from + 5 : NO_END;
        case EDGE_UUID:
                return from + UUID_LEN <= len && ends[from + UUID_LEN] == from + UUID_LEN && is_uuid(p + from) ? from + UUID_LEN : NO_END;
        default:
                assert(piece->kind == EDGE_MAP);
                m = &t->maps[piece->data];
                if (from + m->min > len || (e = ends[from + m->min]) > run || (uint64_t)e - from > m->max)
                        return NO_END;
                return e;
        }
}

static uint32_t
map_run(const struct trie *t, const struct trie_piece *piece, const char *p, uint32_t from, uint32_t len)
{
        if (piece->kind == EDGE_MAP)
                while (from < len && map_has(&t->maps[piece->data], p[from]))
                        from++;
        return from;
}

/* Splits p[0..len) among the pieces so that each takes the shortest text that lets those behind it match. From the right to the left, one
 * pass per piece: O(pieces x len). false: no way. */
static bool
split_segment(const struct trie *t, struct router_scratch *s, const struct trie_piece *pieces, uint32_t count, const char *p, uint32_t len,
              uint32_t base, struct value *ret)
{
        uint32_t at = 0;

        for (uint32_t i = 0; i <= len + 1; i++)
                s->ends[count - 1][i] = (uint16_t)(i <= len ? len : NO_END);
        for (uint32_t k = count - 1; k-- > 0;) {
                const struct trie_piece *behind = &pieces[k + 1];
                const char *literal = t->text + pieces[k].literal;
                uint32_t n = pieces[k].literal_len, run = len;
                uint16_t *ends = s->ends[k];

                for (uint32_t i = len + 2; i-- > 0;) {
                        ends[i] = i <= len ? ends[i + 1] : NO_END;
                        if (i + n > len)
                                continue;
                        if (behind->kind == EDGE_MAP && (i + n == len || !map_has(&t->maps[behind->data], p[i + n])))
                                run = i + n;
                        if (p[i] == literal[0] && memcmp(p + i, literal, n) == 0 &&
                            piece_end(t, behind, p, i + n, len, s->ends[k + 1], run) != NO_END)
                                ends[i] = (uint16_t)i;
                }
        }
        for (uint32_t k = 0; k < count; k++) {
                uint32_t end = piece_end(t, &pieces[k], p, at, len, s->ends[k], map_run(t, &pieces[k], p, at, len));

                if (end == NO_END)
                        return false;
                ret[k] = (struct value){ base + at, end - at };
                at = end + pieces[k].literal_len;
        }
        return true;
}

static enum step
match_multi(struct walk *w, const struct trie_edge *e, uint32_t pos, uint32_t len, struct value *ret)
{
        if (len > ROUTER_SEGMENT_MAX)
                return STEP_FAILED;
        return split_segment(w->t, w->s, &w->t->pieces[e->data], e->count, w->path + pos, len, pos, ret) ? STEP_FOUND : STEP_ON;
}

static enum step
match_regex(struct walk *w, const struct trie_edge *e, uint32_t pos, uint32_t len, struct value *ret)
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
                ret[0] = (struct value){ pos, len };
                return STEP_FOUND;
        }
        for (uint32_t i = 0; i < e->count; i++) {
                regex_param(x, w->s->regex, i, &ret[i].off, &ret[i].len);
                if (ret[i].len == 0) /* a parameter never matches nothing */
                        return STEP_ON;
                ret[i].off += pos;
        }
        return STEP_FOUND;
}

/* ---- the walk ------------------------------------------------------------------------------------------------------------------ */

static void
fill_match(struct walk *w, uint32_t route, const struct value *values)
{
        const struct router_route *info = &w->r->routes[route];
        const struct router_param_def *defs = w->r->params + info->param_first;
        struct router_match *ret = w->ret;

        ret->route = route;
        ret->param_count = info->param_count;
        for (uint32_t i = 0; i < info->param_count; i++)
                ret->params[i] = (struct router_param){ defs[i].name, { w->path + values[i].off, values[i].len }, defs[i].type };
}

/* The path ends at this leaf. STEP_FOUND ends the walk. */
static inline enum step
take_leaf(struct walk *w, uint32_t index, const struct value *values)
{
        const struct trie_leaf *l = &w->t->leaves[index];
        uint32_t route = l->route[w->method];

        w->allow |= l->allow;
        if (route != TRIE_NONE && !w->found) {
                fill_match(w, route, values);
                w->found = true;
                if (!w->collect)
                        return STEP_FOUND;
        }
        if (l->fallback != TRIE_NONE) {
                const struct trie_leaf *f = &w->t->leaves[l->fallback];

                w->fallback_allow |= f->allow;
                if (!w->found && !w->has_fallback && f->route[w->method] != TRIE_NONE) {
                        fill_match(w, f->route[w->method], values);
                        w->has_fallback = true;
                }
        }
        return STEP_ON;
}

/* Does the edge take the segment path[pos..end)? Its values go to ret. STEP_FOUND: yes. */
static inline enum step
take_edge(struct walk *w, const struct trie_edge *e, uint32_t pos, uint32_t end, struct value *ret)
{
        const char *p = w->path + pos;
        uint32_t len = end - pos;
        bool yes;

        if (e->suffix_len > 0) {
                if (len <= e->suffix_len || memcmp(w->path + end - e->suffix_len, w->t->text + e->suffix, e->suffix_len) != 0)
                        return STEP_ON;
                len -= e->suffix_len;
        }
        if (len == 0)
                return STEP_ON;
        switch ((enum trie_edge_kind)e->kind) {
        case EDGE_STR:
                yes = true;
                break;
        case EDGE_INT:
                yes = is_int(p, len);
                break;
        case EDGE_FLOAT:
                yes = is_float(p, len);
                break;
        case EDGE_BOOL:
                yes = is_bool(p, len);
                break;
        case EDGE_UUID:
                yes = len == UUID_LEN && is_uuid(p);
                break;
        case EDGE_MAP:
                yes = is_mapped(&w->t->maps[e->data], p, len);
                break;
        case EDGE_REGEX:
        case EDGE_MULTI_REGEX:
                return match_regex(w, e, pos, len, ret);
        case EDGE_MULTI:
                return match_multi(w, e, pos, len, ret);
        default:
                yes = false;
                break;
        }
        ret[0] = (struct value){ pos, len };
        return yes ? STEP_FOUND : STEP_ON;
}

/* Goes down from n at pos through literals as far as they match; leaves and the places to come back to are seen to on the way.
 * STEP_ON with *ret_node: its edges are to be tried at *ret_pos; NULL: a dead end. */
static inline enum step
descend(struct walk *w, const struct trie_node **ret_node, uint32_t *ret_pos, uint32_t value_count, uint32_t *height)
{
        const struct trie_node *nodes = w->t->nodes, *n = *ret_node;
        uint32_t pos = *ret_pos;

        for (;;) {
                uint32_t kid;

                if (w->len - pos < n->literal_len || !literal_equal(w->path + pos, n->literal, n->literal_len)) {
                        *ret_node = NULL;
                        return STEP_ON;
                }
                pos += n->literal_len;
                if (pos == w->len) {
                        if (n->leaf != TRIE_NONE && take_leaf(w, n->leaf, w->s->values) == STEP_FOUND)
                                return STEP_FOUND;
                        break; /* a path parameter may still take the empty rest */
                }
                if ((kid = find_kid(w->t, n, w->path[pos])) == n->child_count)
                        break;
                if (n->edge_count > 0)
                        w->s->stack[(*height)++] = (struct choice){ (uint32_t)(n - nodes), pos, 0, value_count };
                n = &nodes[n->child + kid];
        }
        *ret_node = n->edge_count > 0 ? n : NULL;
        *ret_pos = pos;
        return STEP_ON;
}

static enum step
walk_trie(struct walk *w, uint32_t root)
{
        const struct trie *t = w->t;
        struct value *values = w->s->values;
        const struct trie_node *n = &t->nodes[root];
        uint32_t pos = 0, height = 0, count = 0, i = 0;

        for (;;) {
                const struct trie_edge *e;
                uint32_t end;
                enum step step = descend(w, &n, &pos, count, &height);

                if (step == STEP_FOUND)
                        return step;
                i = 0;
        edges:
                if (n == NULL) {
                        if (height == 0)
                                return STEP_ON;
                        height--;
                        n = &t->nodes[w->s->stack[height].node];
                        pos = w->s->stack[height].pos;
                        i = w->s->stack[height].edge;
                        count = w->s->stack[height].value_count;
                }
                end = segment_end(w->path, pos, w->len);
                for (;; i++) {
                        if (i == n->edge_count) {
                                n = NULL;
                                goto edges;
                        }
                        e = &t->edges[n->edge + i];
                        if (e->kind == EDGE_PATH) { /* always the last edge, and nothing comes behind it */
                                values[count] = (struct value){ pos, w->len - pos };
                                if (take_leaf(w, t->nodes[e->target].leaf, values) == STEP_FOUND)
                                        return STEP_FOUND;
                                continue;
                        }
                        step = take_edge(w, e, pos, end, &values[count]);
                        if (step == STEP_FAILED)
                                return step;
                        if (step == STEP_FOUND)
                                break;
                }
                if (i + 1u < n->edge_count) {
                        assert(height < TRIE_DEPTH_MAX);
                        w->s->stack[height++] = (struct choice){ (uint32_t)(n - t->nodes), pos, i + 1, count };
                }
                n = &t->nodes[e->target];
                count += e->count;
                pos = end;
        }
}

/* One regex and, when it matches, its leaf. */
static enum step
try_regex(struct walk *w, const struct trie_regex_route *x)
{
        const struct regex *regex = &w->t->regexes[x->regex];
        struct value values[ROUTER_PARAMS_MAX];

        switch (regex_match(regex, w->s->regex, w->path, w->len)) {
        case REGEX_NO:
                return STEP_ON;
        case REGEX_LIMIT:
                return STEP_FAILED;
        case REGEX_YES:
                break;
        }
        for (uint32_t i = 0; i < regex->group_count; i++)
                regex_param(regex, w->s->regex, i, &values[i].off, &values[i].len);
        return take_leaf(w, x->leaf, values);
}

/* Full-path regexes: only those whose literal prefix the path begins with, in the order of the file. */
static enum step
walk_regexes(struct walk *w, uint32_t root)
{
        const struct trie *t = w->t;
        const struct trie_node *n = &t->nodes[root];
        uint32_t pos = 0, count = 0;

        for (;;) {
                uint32_t kid;

                if (w->len - pos < n->literal_len || !literal_equal(w->path + pos, n->literal, n->literal_len))
                        break;
                pos += n->literal_len;
                if (n->leaf != TRIE_NONE) {
                        const struct trie_list *list = &t->lists[n->leaf];

                        assert(count <= ROUTER_PREFIX_MAX);
                        w->s->lists[count].next = &t->regex_routes[list->first];
                        w->s->lists[count++].end = &t->regex_routes[list->first + list->count];
                }
                if (pos == w->len || n->child_count == 0)
                        break;
                if ((kid = find_kid(t, n, w->path[pos])) == n->child_count)
                        break;
                n = &t->nodes[n->child + kid];
        }
        while (count > 0) {
                uint32_t best = 0;
                enum step step;

                for (uint32_t i = 1; i < count; i++)
                        if (w->s->lists[i].next->order < w->s->lists[best].next->order)
                                best = i;
                step = try_regex(w, w->s->lists[best].next);
                if (step != STEP_ON)
                        return step;
                if (++w->s->lists[best].next == w->s->lists[best].end)
                        w->s->lists[best] = w->s->lists[--count];
        }
        return STEP_ON;
}

/* Paths without parameters: nothing in their class is stronger but a regex that is `first`. */
static inline enum step
walk_exact(struct walk *w, uint32_t class)
{
        const struct router *r = w->r;
        uint32_t hash = router_path_hash(w->path, w->len, class);

        for (uint32_t i = hash & r->exact_mask;; i = (i + 1) & r->exact_mask) {
                const struct router_exact *x = &r->exact[i];

                if (x->leaf == TRIE_NONE)
                        return STEP_ON;
                if (x->hash == hash && x->path_len == w->len && memcmp(w->t->text + x->path, w->path, w->len) == 0) {
                        const struct trie_leaf *l = &w->t->leaves[x->leaf];

                        if (l->route[w->method] == TRIE_NONE || w->collect)
                                return STEP_ON; /* the walk comes by here again, with `allow` in mind */
                        return take_leaf(w, x->leaf, w->s->values);
                }
        }
}

static enum step
walk_class(struct walk *w, uint32_t index)
{
        const struct router_class *c = &w->r->classes[index];
        enum step step;

        if (c->first != TRIE_NONE && (step = walk_regexes(w, c->first)) != STEP_ON)
                return step;
        if (c->has_exact && (step = walk_exact(w, index)) != STEP_ON)
                return step;
        if (c->trie != TRIE_NONE && (step = walk_trie(w, c->trie)) != STEP_ON)
                return step;
        return c->regexes != TRIE_NONE ? walk_regexes(w, c->regexes) : STEP_ON;
}

/* ---- classes ------------------------------------------------------------------------------------------------------------------- */

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

enum router_verdict
router_match(const struct router *r, struct router_scratch *s, const struct router_query *q, struct router_match *ret)
{
        struct walk w = {
                .r = r, .t = &r->trie, .s = s, .path = q->path.ptr, .len = (uint32_t)q->path.len, .method = (uint32_t)__builtin_ctz(q->method),
                .collect = q->method == M_OPTIONS, .ret = ret,
        };

        assert(q->method != 0 && (q->method & (q->method - 1)) == 0 && q->method <= M_OTHER);
        assert(q->path.len < UINT32_MAX);
        ret->param_count = 0;
        ret->allow = 0;
        /* a limit that is hit while only `allow` is collected takes nothing from the route that was found before it */
        if (walk_all(&w, q) == STEP_FAILED && !w.found) {
                ret->param_count = 0;
                return ROUTER_FAILED;
        }
        if (w.found) {
                if (w.collect)
                        ret->allow = allow_text(w.allow);
                return ROUTER_FOUND;
        }
        if (w.allow == 0 && w.has_fallback) {
                if (w.collect)
                        ret->allow = allow_text(w.fallback_allow);
                return ROUTER_FOUND;
        }
        ret->param_count = 0;
        if (w.allow == 0 && w.fallback_allow == 0)
                return ROUTER_NOT_FOUND;
        ret->allow = allow_text(w.allow != 0 ? w.allow : w.fallback_allow);
        return ROUTER_METHOD;
}
