/* compile_priv.h - what compile.c, findings.c and pack.c share while routes become a router.
 * SPDX-License-Identifier: MIT
 * Lives during one router_compile, in one thread. Private to these three. */
#ifndef HEART_COMPILE_PRIV_H
#define HEART_COMPILE_PRIV_H

#include "router_priv.h"

/* One route on its way. */
struct source_route {
        struct selector select;
        struct pattern pattern;
        uint32_t class;
        struct build_leaf *leaf;      /* where it went */
        const struct build_hop *hops; /* a template's way there */
        uint32_t hop_count;
        const struct build_regex *regex;
        struct span prefix;           /* literal bytes that every path of it begins with */
        struct span path;             /* without a selector before it */
        uint32_t path_at;             /* where that begins in route->path */
        bool usable;
};

struct build_class { struct build_node *first, *trie, *regexes; };

struct compiler {
        const struct route *routes;
        size_t count;
        const struct sources *sources;
        struct diags *d;
        struct router *r;
        struct arena *a; /* dies with the compiler */
        struct build b;
        struct source_route *src;
        struct build_class *classes;
};

/* ---- findings.c ---- */

void find(struct compiler *c, enum diag_level level, struct place at, const char *hint, const char *fmt, ...) __attribute__((format(printf, 5, 6)));
/* The place of text[off..off+len) of a value that stands at `at`, or the route's own where nobody noted that. A quoted scalar begins one byte later
 * than its place. */
struct place place_in_value(const struct compiler *c, const struct route *route, struct place at, uint32_t off, uint32_t len);
/* The same within route->path. */
struct place place_in_path(const struct compiler *c, const struct route *route, uint32_t off, uint32_t len);
/* All of the path, without the selector before it. */
struct place place_of_path(const struct compiler *c, size_t i);
/* Routes of one leaf: duplicates, and those whose conditions another one's cover. Before i joins the others. */
void check_clash(struct compiler *c, size_t i);
/* {name} in redirect.to and parameters of the path: each needs the other. */
void check_redirect(struct compiler *c, size_t i);
/* Is there a stronger route that takes all of its requests? Once every route is in its tree, and the trees are sorted. */
void check_reachable(struct compiler *c, size_t i);
/* Patterns that branch too much. */
void check_bounds(struct compiler *c);
/* Does PCRE2 hit its limit on strings made to make it? */
int check_regexes(struct compiler *c);

/* ---- pack.c ---- */

int pack_all(struct compiler *c);
void pack_stats(struct router *r, double began_ms);
double pack_now_ms(void);

#endif
