/* straight.c - the usual way of a path, with everything in registers.
 * SPDX-License-Identifier: MIT
 * From: match.c, before anything else.   To: nobody.   Runs in: any thread; no allocation, no scratch.
 * Most lookups go straight down through literals and parameters, and never have to come back. This file knows that way alone. It never guesses:
 * whatever it takes is what walk_trie would take first, and where that might not be the end of it, it says so and walk_trie begins anew. */
#include "walk.h"

#define LIKELY(x) __builtin_expect(!!(x), 1)

/* A segment of more than two words. Rare, and kept out of the way of the others. */
static __attribute__((noinline)) uint32_t
long_child(const struct trie *t, const struct trie_node *n, const char *p, uint32_t len, struct bytes_key k)
{
        const struct trie_slot *s;

        if (!n->has_slots)
                return k.a == n->a && k.b == n->b && len == n->kid_len && memcmp(t->text + n->kid_text, p, len) == 0 ? n->kid : TRIE_NONE;
        s = trie_find(t, (uint32_t)(n - t->nodes), k, p, len);
        return s != NULL ? s->target : TRIE_NONE;
}

/* bytes_key of path[pos..end), of a path of at least eight bytes. But for the first segment there are eight bytes before its end: one load and one
 * shift make the key of a short one. */
static inline struct bytes_key
segment_key(const char *path, uint32_t len, uint32_t pos, uint32_t end)
{
        uint32_t n = end - pos;

        if (LIKELY(end >= 8 && n > 0)) {
                uint64_t last = bytes_word(path + end - 8);

                if (n <= 8)
                        return (struct bytes_key){ last >> (64 - 8 * n), 0 };
                return (struct bytes_key){ bytes_word(path + pos), last };
        }
        return bytes_key(path, len, pos, end);
}

static inline uint32_t
child(const struct trie *t, const struct trie_node *n, const char *path, uint32_t len, uint32_t pos, uint32_t end)
{
        struct bytes_key k = segment_key(path, len, pos, end);
        uint32_t seg = end - pos, place = (uint32_t)(n - t->nodes);

        if (__builtin_expect(seg > 16, 0))
                return long_child(t, n, path + pos, seg, k);
        if (!n->has_slots)
                return ((k.a ^ n->a) | (k.b ^ n->b) | (seg ^ n->kid_len)) == 0 ? n->kid : TRIE_NONE;
        for (uint32_t i = (uint32_t)(bytes_hash(k, NULL, 0, place) >> t->slot_shift);; i = (i + 1) & t->slot_mask) {
                const struct trie_slot *s = &t->slots[i];

                if (((s->a ^ k.a) | (s->b ^ k.b) | (s->place ^ place) | (s->len ^ seg)) == 0 || s->target == TRIE_NONE)
                        return s->target;
        }
}

/* One edge, of one parameter with or without literals around it, and no PCRE2. *ret_value: what it takes. TRIE_NONE: it does not. */
static inline uint32_t
edge(const struct trie *t, const struct trie_edge *e, const char *p, uint32_t len, struct span *ret_value)
{
        uint32_t around = (uint32_t)e->prefix_len + e->suffix_len;

        if (len <= around)
                return TRIE_NONE;
        if (around > 0 && ((e->prefix_len > 0 && memcmp(p, t->text + e->prefix, e->prefix_len) != 0) ||
                           (e->suffix_len > 0 && memcmp(p + len - e->suffix_len, t->text + e->suffix, e->suffix_len) != 0)))
                return TRIE_NONE;
        *ret_value = (struct span){ p + e->prefix_len, len - around };
        return type_takes(t, e->kind, e->data, ret_value->ptr, (uint32_t)ret_value->len) ? e->target : TRIE_NONE;
}

/* The strongest way on by a parameter; TRIE_NONE: there is none, or more than this function knows. *ret_end: where its value's segment ends. */
static inline uint32_t
parameter(const struct trie *t, const struct trie_node *n, const char *path, uint32_t len, uint32_t pos, uint32_t *end, struct span *ret_value)
{
        uint32_t next;

        if (n->edge_count > 0) {
                const struct trie_edge *e = &t->edges[n->edge];

                if (n->edge_count > 1 || e->kind > EDGE_MAP)
                        return TRIE_NONE;
                if ((next = edge(t, e, path + pos, *end - pos, ret_value)) != TRIE_NONE)
                        return next;
        }
        if (n->str != TRIE_NONE && *end > pos) {
                *ret_value = (struct span){ path + pos, *end - pos };
                return n->str;
        }
        if (n->rest == TRIE_NONE)
                return TRIE_NONE;
        *ret_value = (struct span){ path + pos, len - pos };
        *end = len;
        return n->rest | TRIE_LEAF;
}

static inline __attribute__((always_inline)) uint32_t
go(const struct trie *t, uint32_t root, const char *path, const char *words, uint32_t len, uint64_t ends, struct router_param *params)
{
        const struct trie_node *n = &t->nodes[root];
        uint32_t pos = 1, next, end;

        for (;;) {
                next = TRIE_NONE;
                ends &= ends - 1; /* the slash before pos */
                end = (uint32_t)__builtin_ctzll(ends);
                if (n->has_literals)
                        next = child(t, n, words, len < 8 ? 8 : len, pos, end);
                if (next == TRIE_NONE) {
                        if ((next = parameter(t, n, path, len, pos, &end, &params->value)) == TRIE_NONE)
                                return TRIE_NONE;
                        params++;
                }
                if (end == len)
                        return trie_leaf_at(t, next);
                if (next & TRIE_LEAF)
                        return TRIE_NONE;
                n = &t->nodes[next];
                pos = end + 1;
        }
}

/* One word is the whole path. */
static __attribute__((noinline)) uint32_t
go_short(const struct trie *t, uint32_t root, const char *path, uint32_t len, struct router_param *params)
{
        uint64_t word = bytes_short(path, len);
        char words[8];

#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
        word = __builtin_bswap64(word);
#endif
        memcpy(words, &word, 8);
        return go(t, root, path, words, len, bytes_word_slashes(bytes_word(words)) | UINT64_C(1) << len, params);
}

uint32_t
straight(const struct trie *t, uint32_t root, const char *path, uint32_t len, struct router_param *params)
{
        if (__builtin_expect(len < 8, 0))
                return go_short(t, root, path, len, params);
        return go(t, root, path, path, len, bytes_slashes(path, len) | UINT64_C(1) << len, params);
}
