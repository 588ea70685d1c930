/* router.h - load routes, compile them into one trie, look paths up. The one header others include.
 * SPDX-License-Identifier: MIT
 * A struct router is immutable after router_compile: any number of threads may match against it at once, each with its own
 * struct router_scratch. It borrows the routes given to it, which must outlive it.
 * Cost of a lookup: O(path length x depth), whatever the number of routes. See README.md. */
#ifndef HEART_ROUTER_H
#define HEART_ROUTER_H

#include <netinet/in.h>

#include "arena.h"
#include "diag.h"
#include "keys.h"
#include "route.h"
#include "span.h"
#include "yaml.h"

#define ROUTER_PARAMS_MAX 16 /* in one pattern; more is refused at load */

enum router_type { RT_STR, RT_INT, RT_FLOAT, RT_BOOL, RT_UUID, RT_SLUG, RT_PATH, RT_RE };

struct router;
struct router_scratch; /* PCRE2 match data and a bounded backtrack stack; one per thread */

/* Compiles routes[0..count) (README.md, "Precedence"). Every finding of every route is added: bad patterns, refused regexes, duplicates, routes that can
 * never win, parameters that a redirect leaves unused. sources serves the carets. 0, -EINVAL with findings, -ENOMEM. */
int router_compile(const struct route *routes, size_t count, const struct sources *sources, struct diags *d, struct router **ret);
void router_free(struct router *r); /* NULL is fine */

struct router_scratch *router_scratch_new(void); /* serves any router of this process */
void router_scratch_free(struct router_scratch *s);

/* Where a request came in: what `on:` selects by. addr in network order; an IPv4 address is given as v4-mapped; unix: all zero, port 0. */
struct router_local {
        struct in6_addr addr;
        uint16_t port; /* host order */
};

/* What `when:` asks about, looked up only once a candidate wants to know. A span whose ptr is NULL: not there. A span lives until the next
 * question or the end of the lookup, whichever comes first. Header names come in lower case. */
struct router_facts {
        struct span (*header)(void *ctx, struct span name);
        struct span (*query)(void *ctx, struct span name);
        struct span (*cookie)(void *ctx, struct span name);
        void *ctx;
};

struct router_query {
        struct span path;   /* decoded by router_decode, begins with '/' */
        struct span host;   /* lower case, without the port; may be empty */
        uint32_t method;    /* one M_ bit */
        struct router_local local;
        bool tls;                         /* the scheme is https */
        struct in6_addr source;           /* the client's address, IPv4 v4-mapped; all zero: none (unix), in no network */
        const struct router_facts *facts; /* NULL: every condition on a header, the query or a cookie fails */
};

enum router_verdict {
        ROUTER_FOUND,
        ROUTER_NOT_FOUND,  /* 404 */
        ROUTER_METHOD,     /* 405: the path is known; `allow` says which methods */
        ROUTER_SLASH,      /* 308: the path with a slash more or less at its end is `route`'s, and its trailing_slash says redirect */
        ROUTER_FAILED,     /* 500: a match limit was hit; never a fall-through to a weaker route */
};

struct router_param {
        struct span name;   /* borrowed from the router */
        struct span value;  /* borrowed from the query's path */
        enum router_type type;
};

struct router_match {
        uint32_t route;       /* FOUND, SLASH: index into the routes given to router_compile */
        uint32_t allow;       /* METHOD, and OPTIONS: mask over all routes that match the path (HEAD with GET, OPTIONS always) */
        uint32_t param_count;
        struct router_param params[ROUTER_PARAMS_MAX];
};

/* No allocation, no lock, no I/O. */
enum router_verdict router_match(const struct router *r, struct router_scratch *s, const struct router_query *q, struct router_match *ret);

/* Percent-decodes a request path except for reserved characters' escapes (%2F stays %2F), removes dot segments, checks UTF-8.
 * out must hold raw.len + 1 bytes. 0 and *ret (pointing into out, or at raw itself when nothing had to change), or -EINVAL: %00, a bad escape, controls: 400. */
int router_decode(struct span raw, char *out, struct span *ret);

/* Expands {name} in a redirect's target from the match; values are percent-encoded again as path text. Returns the length, or -ENOSPC. */
long router_expand(const char *to, const struct router_match *m, char *out, size_t room);

/* Says in words (or as a JSON object) which route wins, its parameters, and why it goes before the next ones; for the nearest others what
 * each lacked; or why it is 404, 405, a redirect to the other spelling. malloc'ed; NULL without memory. For people: it costs far more than a lookup. */
char *router_explain(const struct router *r, struct router_scratch *s, const struct router_query *q, bool json);

/* For `heartctl routes`: the order of precedence (indices), pattern class of a route in words, a method mask as "GET, HEAD". */
size_t router_order(const struct router *r, uint32_t *ret_indices, size_t room);
const char *router_class(const struct router *r, uint32_t route);
char *router_selector_text(const struct router *r, uint32_t route);        /* "127.0.0.1:8080::host", "*" for any; malloc'ed */
/* "127.0.0.1::/debug", ":::example.com:/info" -> "127.0.0.1::" and "/debug"; on is empty where nothing stands before the path. */
void router_split(const char *text, struct span *ret_on, struct span *ret_path);
const char *router_pattern_text(const struct router *r, uint32_t route);   /* without a selector before it; borrowed from the route */
size_t router_params(const struct router *r, uint32_t route, struct span *ret_names, enum router_type *ret_types, size_t room); /* in the order of struct router_match */
size_t router_methods_text(uint32_t mask, char *out, size_t room);
uint32_t router_method_bit(struct span name); /* M_OTHER for an unknown one */
struct router_stats { size_t nodes, bytes, regexes, routes; double build_ms; };
struct router_stats router_stats(const struct router *r);

#endif
