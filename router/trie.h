/* trie.h - the trie: how routes lie in memory, and how they are put there.
 * SPDX-License-Identifier: MIT
 * Two forms. The builder is an ordinary tree of pointers in an arena; compile.c adds patterns to it (build.c). trie_pack then lays it out as
 * flat arrays with 32-bit indices, which walk.c walks; the builder dies with its arena. Private to router/.
 * Builder: one thread. Packed: immutable, any number of threads.
 * A level of the tree is a segment of the path: what stands between two slashes. */
#ifndef HEART_TRIE_H
#define HEART_TRIE_H

#include <assert.h>

#include "bytes.h"
#include "pattern.h"
#include "regex.h"

#define TRIE_NONE UINT32_MAX
#define TRIE_DEPTH_MAX 1024 /* segments of a pattern: as many places may a lookup have to come back to; a scratch has room for them */
#define TRIE_WAYS_MAX 1024  /* nodes at one level that one path may reach: the bound of a lookup's cost, README.md, "Cost" */
#define TRIE_METHODS 8      /* bits of a method mask */
#define TRIE_INDEXED 8      /* a node with as many edges with prefixes finds them by hash instead of looking at each */

/* ---- packed ---------------------------------------------------------------------------------------------------------------- */

/* A node stands behind a '/', where a segment begins: one cache line. An only literal child is in the node itself, several are in `slots`. */
struct trie_node {
        uint64_t a, b;         /* bytes_key of the only literal child's segment */
        uint64_t prefixes;     /* indexed: bit n where an edge has a prefix of n bytes */
        uint32_t kid, kid_len; /* the only literal child, length of its segment; kid TRIE_NONE: none, or several */
        uint32_t kid_text;     /* in text; looked at when the segment is longer than two words */
        uint32_t leaf;         /* of the pattern that ends with the segment before; TRIE_NONE: none */
        uint32_t str;          /* node behind {x}, or TRIE_NONE */
        uint32_t rest;         /* leaf of {x:path}, or TRIE_NONE */
        uint32_t edge;         /* first of all other edges; they are neighbours, strongest first */
        uint16_t edge_count;
        uint16_t plain;        /* edges from this one on have no prefix */
        bool has_literals;     /* literal children */
        bool has_slots;        /* several of them */
        bool has_others;       /* edges, str or rest */
        bool indexed;
};
static_assert(sizeof(struct trie_node) == 64, "a node is a cache line");

/* What an edge does with the rest of the segment. */
enum trie_edge_kind { EDGE_STR, EDGE_INT, EDGE_FLOAT, EDGE_BOOL, EDGE_UUID, EDGE_MAP, EDGE_REGEX, EDGE_MULTI, EDGE_MULTI_REGEX };

struct trie_edge {
        uint32_t target;         /* node behind it */
        uint32_t data;           /* MAP: in maps; REGEX, MULTI_REGEX: in regexes; MULTI: first of its pieces */
        uint32_t prefix, suffix; /* in text: literals that begin and end the segment */
        uint16_t prefix_len, suffix_len;
        uint8_t kind;
        uint8_t count;           /* parameters */
        bool last;               /* the next edge has another prefix */
};

/* MULTI: a parameter and the literal behind it (none behind the last one: that is the edge's suffix). Also of programs. */
struct trie_piece {
        uint32_t literal;
        uint16_t literal_len;
        uint8_t kind;  /* one of STR..MAP; in a program MAP, or STR for a last piece that takes anything */
        bool is_param; /* in a program; elsewhere always */
        uint32_t data;
};

/* Open addressing, never full: a text at a place. Literal children of nodes, prefixes of edges, prefixes of regexes. */
struct trie_slot {
        uint64_t a, b;   /* bytes_key */
        uint32_t place;  /* node; with TRIE_PREFIX: prefixes of its edges */
        uint32_t len;
        uint32_t target; /* node; edge; list. TRIE_NONE: this slot is free */
        uint32_t text;
};
static_assert(sizeof(struct trie_slot) == 32, "two slots to a cache line");
#define TRIE_PREFIX UINT32_C(0x80000000)
/* In the place of a node behind which nothing comes but a leaf: that leaf. */
#define TRIE_LEAF UINT32_C(0x80000000)

/* One route at a leaf that has conditions, or where others have. */
struct trie_candidate { uint32_t route, methods; };

#define TRIE_LEAF_ROUTES 3
enum { LEAF_MORE = 14, LEAF_NONE = 15 };

/* Who answers which method on one pattern. HEAD is filled in from GET. With candidates, no method has a route: they are asked in their order. */
struct trie_leaf {
        uint32_t which;           /* four bits for each method, by the number of its bit: index in route[], LEAF_MORE or LEAF_NONE */
        uint32_t route[TRIE_LEAF_ROUTES];
        uint32_t param_first;     /* in router.params; TRIE_NONE: the routes call their parameters differently, see router.routes */
        uint32_t fallback;        /* another leaf, of `fallback` routes; or TRIE_NONE */
        uint32_t candidate;       /* LEAF_MORE: of `more` instead, TRIE_METHODS of them */
        uint16_t candidate_count;
        uint8_t allow;            /* mask of the routes above */
        uint8_t param_count;
};
static_assert(sizeof(struct trie_leaf) == 32, "two leaves to a cache line");

struct trie_list { uint32_t first, count; }; /* of regex_routes, in the order of the file */
/* Whole-path regex: of PCRE2, or a program (regex is TRIE_NONE): pieces behind the literal. The first of `together` neighbours has `any`, a regex
 * that says which of them is the first to match. */
struct trie_regex_route { uint32_t regex, leaf, order, piece, literal, literal_len, piece_count, any, together; };
#define TRIE_TOGETHER_MIN 3
#define TRIE_TOGETHER_MAX 64 /* PCRE2 limits the size of one compiled regex */

/* Regexes by their literal prefixes: a list for each. */
struct trie_prefixes {
        uint64_t lengths; /* bit n: there is a prefix of n bytes */
        uint64_t folders; /* the same, of prefixes that end in a slash: looked at only where the path has one */
        uint32_t place;
};

struct trie {
        struct trie_node *nodes;
        struct trie_edge *edges;
        struct trie_leaf *leaves;
        struct trie_candidate *candidates;
        uint32_t *more; /* routes of leaves with many different ones */
        struct trie_piece *pieces;
        struct byte_map *maps;
        struct regex *regexes;
        struct trie_list *lists;
        struct trie_regex_route *regex_routes;
        struct trie_slot *slots;
        char *text;
        void *block;      /* trie_seal: where all of the above but regexes and more lie */
        size_t block_bytes;
        unsigned slot_shift; /* 64 - log2 of the number of slots */
        uint32_t slot_mask, slot_count;
        uint32_t node_count, edge_count, leaf_count, candidate_count, more_count, piece_count, map_count, regex_count, list_count, regex_route_count, text_len;
        uint32_t _node_room, _edge_room, _leaf_room, _candidate_room, _more_room, _piece_room, _map_room, _regex_room, _list_room, _regex_route_room, _text_room;
};

void trie_fini(struct trie *t);
size_t trie_bytes(const struct trie *t);

/* ---- builder --------------------------------------------------------------------------------------------------------------- */

struct build_route { uint32_t route, methods; bool fallback; };

struct build_leaf {
        struct build_route *routes; /* strongest first: by number of conditions, then in the order of the file */
        uint32_t count, room;
        bool has_conditions;
        uint32_t packed;            /* its index in trie.leaves, once trie_pack has been */
};

struct build_edge {
        struct span prefix;
        const struct pattern_piece *pieces;
        uint32_t piece_count;
        uint32_t order;    /* of arrival, the last tie-break */
        uint32_t regex;    /* in trie.regexes; TRIE_NONE: it needs none */
        struct span shape; /* two edges of a node with the same shape are one */
        struct build_node *target;
};

struct build_regex {
        struct span text;
        uint32_t regex; /* in trie.regexes; TRIE_NONE: program */
        const struct simple_program *program;
        uint32_t order;
        bool takes_all; /* every path that begins with the prefix */
        struct build_leaf leaf;
        struct build_regex *next; /* of the same node, in order of arrival */
};

struct build_node {
        uint32_t id, parent;
        struct span literal;        /* the segment that leads here from its parent */
        struct build_node **kids;
        struct build_edge **edges;  /* build_sort puts them in order */
        uint32_t kid_count, kid_room, edge_count, edge_room;
        struct build_leaf *leaf;
        struct build_regex *regexes, **regexes_end;
};

/* All trees of one router. */
struct build {
        struct arena *a;
        struct trie *t;
        struct build_node **table; /* children by parent and literal */
        uint32_t table_mask, node_count, kid_count;
};

/* One level of a route's way: by an edge, or by a literal child. */
struct build_hop { struct build_edge *edge; struct span literal; };

/* What PCRE2 said of a regex inside a pattern, and where in the pattern. */
struct build_error { uint32_t at; char text[200]; };

struct build_node *build_node_new(struct build *b);
/* Goes along the steps from root, making what is missing; compiles the regexes of new edges. *ret_hops says the way, in the arena.
 * 0, -EINVAL with *reterr_, -ENOMEM. */
int build_add(struct build *b, struct build_node *root, const struct pattern *p, struct build_node **ret, struct build_hop **ret_hops, uint32_t *ret_hop_count,
              struct build_error *reterr_);
/* The literal child; NULL: none. */
struct build_node *build_find(const struct build *b, const struct build_node *n, struct span literal);
/* The same, made when it is missing; NULL: no memory. */
struct build_node *build_kid(struct build *b, struct build_node *n, struct span literal);
/* Puts children and edges of the whole tree in the order of precedence. */
void build_sort(struct build_node *n);
/* How a typed parameter ranks, strongest first. */
int build_type_rank(enum router_type type);
/* 0 literal with a parameter, 1 typed, 2 str, 3 path. */
int build_edge_class(const struct build_edge *e);
/* How many levels the tree has. */
uint32_t build_depth(const struct build_node *n);
/* How many nodes at one level one path may reach, at most. The tree is at most TRIE_DEPTH_MAX deep. */
uint32_t build_ways(const struct build_node *n);
/* The order of precedence: leaves, strongest first. */
void build_each_leaf(const struct build_node *n, void (*visit)(void *arg, struct build_leaf *leaf), void *arg);

/* ---- from one to the other ---------------------------------------------------------------------------------------------------- */

/* How many slots a tree may take. */
uint32_t trie_slots_wanted(const struct build_node *root);
/* Room for so many; before the first trie_pack. */
int trie_make_slots(struct trie *t, uint32_t count);
/* Lays the sorted tree out in t, behind what is there. *ret_root is its node. 0, -ENOMEM, -E2BIG; on failure t holds what it holds and
 * trie_fini frees it. */
int trie_pack(struct trie *t, struct build_node *root, uint32_t *ret_root);
/* The same for regexes: the root's children are prefixes, and regexes hang on them. */
int trie_pack_prefixes(struct trie *t, struct build_node *root, struct trie_prefixes *ret);
/* The last step: everything that a lookup reads moves into one block. 0, -ENOMEM. */
int trie_seal(struct trie *t);
/* t owns x from here on, even on failure. */
int trie_add_regex(struct trie *t, struct regex x, uint32_t *ret_index);

static inline uint32_t
trie_leaf_route(const struct trie *t, const struct trie_leaf *l, uint32_t method)
{
        uint32_t k = l->which >> (4 * method) & 15;

        if (__builtin_expect(k < TRIE_LEAF_ROUTES, 1))
                return l->route[k];
        return k == LEAF_NONE ? TRIE_NONE : t->more[l->candidate + method];
}

/* The leaf of a path that ends at this target; TRIE_NONE: there is none. */
static inline uint32_t
trie_leaf_at(const struct trie *t, uint32_t target)
{
        return target & TRIE_LEAF ? target & ~TRIE_LEAF : t->nodes[target].leaf;
}

/* The slot of a text at a place, NULL when there is none. The key is bytes_key's of the n bytes at p. */
static inline const struct trie_slot *
trie_find(const struct trie *t, uint32_t place, struct bytes_key k, const char *p, uint32_t n)
{
        uint32_t i = (uint32_t)(bytes_hash(k, p, n, place) >> t->slot_shift);

        for (;; i = (i + 1) & t->slot_mask) {
                const struct trie_slot *s = &t->slots[i];

                if (s->a == k.a && s->b == k.b && s->place == place && s->len == n && (n <= 16 || memcmp(t->text + s->text, p, n) == 0))
                        return s;
                if (s->target == TRIE_NONE)
                        return NULL;
        }
}

#endif
