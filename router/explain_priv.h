/* explain_priv.h - what the explain*.c files share: a route taken to pieces, and what it lacks for a request.
 * SPDX-License-Identifier: MIT
 * Nothing else includes this. Everything lives for one call of router_explain, in its thread. */
#ifndef HEART_EXPLAIN_PRIV_H
#define HEART_EXPLAIN_PRIV_H

#include <stdio.h>

#include "regex.h"
#include "router_priv.h"

enum { EXPLAIN_TYPE_PATHS = 6 };

/* One segment of a template: pieces in a row; none: an empty segment. */
struct segment { const struct pattern_piece **pieces; uint32_t count; };

/* One route, read. Lives in an arena of its own. */
struct reading {
        uint32_t route;
        struct selector select;
        struct pattern pattern;
        struct segment *segments;
        uint32_t segment_count;
        bool rest;               /* the last segment takes slashes too */
};

enum path_fit { FIT_WHOLE, FIT_SLASH, FIT_SEGMENT, FIT_LONGER, FIT_SHORTER, FIT_REGEX, FIT_NOT };

struct explaining {
        const struct router *r;
        struct router_scratch *s;
        const struct router_query *q;
        struct router *types;    /* "/int/{x:int}" and so on: what the types take */
        struct regex_scratch *regex;
        struct span *parts;      /* the path's segments */
        uint32_t part_count;
        size_t steps;
        FILE *out;
        bool json;
};

/* What is lacking is counted, and written unless quiet. */
struct lacks { struct explaining *e; uint32_t count; bool quiet; };

extern const char *const explain_type_names[]; /* by enum router_type: "int" */
extern const char *const explain_type_words[]; /* what a segment is that is none: "no int" */

/* explain_fit.c */
struct router *explain_types_new(struct route routes[EXPLAIN_TYPE_PATHS]); /* what the types take, as a router of its own: there is one idea of what an int is */
int explain_read(const struct router *r, uint32_t index, struct arena *a, struct reading *ret); /* a route taken to pieces. 0, -ENOMEM */
struct span explain_part(const struct explaining *e, const struct reading *g, uint32_t k); /* the part of the path that stands where the route's k-th segment does */
enum path_fit explain_path(struct explaining *e, const struct reading *g, struct arena *a, uint32_t *ret_at); /* how far the path is the route's; *ret_at: the segment where they part */

/* explain_lacks.c */
FILE *explain_lack(struct lacks *l); /* begins one thing that is lacking, in words or as a JSON string */
void explain_lack_end(const struct lacks *l);
void explain_lack_words(struct lacks *l, const char *words);
void explain_put_addr(FILE *out, const struct in6_addr *addr);
void explain_lacks_selector(struct lacks *l, const struct selector *s); /* each says what is lacking of its kind */
void explain_lacks_conditions(struct lacks *l, const struct route_when *w);
void explain_lacks_method(struct lacks *l, const struct route *route);

/* explain_words.c */
void explain_put_text(FILE *out, struct span s, bool json); /* bytes from outside, quoted */
void explain_all_lacks(struct lacks *l, const struct reading *g, enum path_fit fit, uint32_t at); /* everything that the route lacks */
void explain_put_reason(const struct explaining *e, const struct reading *a, const struct reading *b); /* why a goes before b */

#endif
