/* trie.h - the trie: how routes lie in memory, and how they are put there.
 * SPDX-License-Identifier: MIT
 * Two forms. The builder is an ordinary tree of pointers in an arena; compile.c adds patterns to it. trie_pack then lays it out as
 * flat arrays with 32-bit indices, which match.c walks; the builder dies with its arena. Private to router/.
 * Builder: one thread. Packed: immutable, any number of threads. */
#ifndef HEART_TRIE_H
#define HEART_TRIE_H

#include <assert.h>

#include "pattern.h"
#include "regex.h"

#define TRIE_NONE UINT32_MAX
#define TRIE_DEPTH_MAX 1024 /* places where one lookup may have to come back to; a scratch has room for them */
#define TRIE_LITERAL 12     /* bytes of literal in one node: what fills the half cache line */
#define TRIE_METHODS 8      /* bits of a method mask */

/* ---- packed ---------------------------------------------------------------------------------------------------------------- */

/* A node stands at a place in a path, behind its own literal. Two to a cache line. */
struct trie_node {
        uint32_t child; /* first literal child; they are neighbours, in the order of their keys */
        uint32_t keys;  /* child_count > 1: offset in `keys` of their first bytes, padded with 0 to a multiple of 8 */
        uint32_t edge;  /* first edge; they are neighbours, strongest first */
        uint32_t leaf;  /* or TRIE_NONE: no route ends here. In a tree of regexes: index of its list */
        uint16_t edge_count;
        uint8_t child_count;
        uint8_t literal_len;
        char literal[TRIE_LITERAL];
};
static_assert(sizeof(struct trie_node) == 32, "two nodes to a cache line");

/* What an edge does with the rest of the segment. */
enum trie_edge_kind { EDGE_STR, EDGE_INT, EDGE_FLOAT, EDGE_BOOL, EDGE_UUID, EDGE_MAP, EDGE_REGEX, EDGE_MULTI, EDGE_MULTI_REGEX, EDGE_PATH };

struct trie_edge {
        uint32_t target;  /* node behind it */
        uint32_t data;    /* MAP: in maps; REGEX, MULTI_REGEX: in regexes; MULTI: first of its pieces */
        uint32_t suffix;  /* in text: literal that ends the segment */
        uint16_t suffix_len;
        uint8_t kind;
        uint8_t count;    /* MULTI: pieces; how many parameters an edge takes follows from them. MULTI_REGEX: parameters */
};
static_assert(sizeof(struct trie_edge) == 16, "four edges to a cache line");

/* MULTI: a parameter and the literal behind it (none behind the last one: that is the edge's suffix). */
struct trie_piece {
        uint32_t literal;
        uint16_t literal_len;
        uint8_t kind; /* one of STR..MAP */
        uint8_t _pad;
        uint32_t data;
};

/* Who answers which method on one pattern; indexed by the number of the method's bit. HEAD is filled in from GET. */
struct trie_leaf {
        uint32_t route[TRIE_METHODS];
        uint32_t fallback; /* another leaf, of `fallback` routes; or TRIE_NONE */
        uint32_t allow;    /* mask of the routes above */
};

struct trie_list { uint32_t first, count; };               /* of regex_routes, in the order of the file */
struct trie_regex_route { uint32_t regex, leaf, order; };

struct trie {
        struct trie_node *nodes;
        struct trie_edge *edges;
        struct trie_leaf *leaves;
        struct trie_piece *pieces;
        struct byte_map *maps;
        struct regex *regexes;
        struct trie_list *lists;
        struct trie_regex_route *regex_routes;
        char *keys;
        char *text;
        uint32_t node_count, edge_count, leaf_count, piece_count, map_count, regex_count, list_count, regex_route_count, keys_len, text_len;
        uint32_t _node_room, _edge_room, _leaf_room, _piece_room, _map_room, _regex_room, _list_room, _regex_route_room, _keys_room, _text_room;
};

void trie_fini(struct trie *t);
size_t trie_bytes(const struct trie *t);

/* ---- builder --------------------------------------------------------------------------------------------------------------- */

struct build_leaf {
        uint32_t route[TRIE_METHODS], fallback[TRIE_METHODS]; /* TRIE_NONE: nobody. As written: HEAD only where it was named */
        uint32_t packed;                                      /* its index in trie.leaves, once trie_pack has been */
};

struct build_edge {
        const struct pattern_piece *pieces;
        uint32_t piece_count;
        bool has_prefix;
        uint32_t order;    /* of arrival, the last tie-break */
        uint32_t regex;    /* in trie.regexes; TRIE_NONE: it needs none */
        struct span shape; /* two edges of a node with the same shape are one */
        struct build_node *target;
};

struct build_regex {
        struct span text;
        uint32_t regex; /* in trie.regexes */
        uint32_t order;
        struct build_leaf leaf;
        struct build_regex *next; /* of the same node, in order of arrival */
};

struct build_node {
        struct span literal;
        struct build_node **kids;   /* by first byte of their literals */
        struct build_edge **edges;
        uint32_t kid_count, kid_room, edge_count, edge_room;
        struct build_leaf *leaf;
        struct build_regex *regexes, **regexes_end;
};

/* What PCRE2 said of a regex inside a pattern, and where in the pattern. */
struct build_error { uint32_t at; char text[200]; };

struct build_node *build_node_new(struct arena *a);
/* Goes along the steps from root, making what is missing; compiles the regexes of new edges into t. 0, -EINVAL with *reterr_, -ENOMEM. */
int build_add(struct trie *t, struct build_node *root, const struct pattern *p, struct arena *a, struct build_node **ret, struct build_error *reterr_);
/* Goes along literal bytes alone. NULL: no memory. */
struct build_node *build_literal(struct build_node *root, struct span literal, struct arena *a);
void build_leaf_init(struct build_leaf *l);

/* How many places a walk of this tree may have to come back to, at most. */
uint32_t build_depth(const struct build_node *n);

/* Lays the tree out in t, behind what is there; sorts the tree's edges. *ret_root is its node. 0, -ENOMEM, -E2BIG (a node with too many
 * edges); on failure t holds what it holds and trie_fini frees it. */
int trie_pack(struct trie *t, struct build_node *root, uint32_t *ret_root);
/* Gives the arrays back what they did not need. */
void trie_trim(struct trie *t);
/* Copies bytes into t->text. */
int trie_add_text(struct trie *t, struct span s, uint32_t *ret_off);
/* t owns x from here on, even on failure. */
int trie_add_regex(struct trie *t, struct regex x, uint32_t *ret_index);
/* The order of precedence of one packed tree: leaves, strongest first. `visit` is called with each. */
void trie_each_leaf(const struct trie *t, uint32_t root, void (*visit)(void *arg, uint32_t leaf), void *arg);

#endif
