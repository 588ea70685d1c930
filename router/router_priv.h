/* router_priv.h - what a struct router is made of; compile.c and pack.c build it, match.c and walk.c read it.
 * SPDX-License-Identifier: MIT
 * Everything is constant after router_compile, but for struct router_scratch, which belongs to one thread. */
#ifndef HEART_ROUTER_PRIV_H
#define HEART_ROUTER_PRIV_H

#include "select.h"
#include "trie.h"

#define ROUTER_PREFIX_MAX 63 /* bytes of a regex's literal prefix that it is found by: a bit for each length fits into a word */

/* All routes with one selector. Classes lie in the order of their selectors, most specific first. */
struct router_class {
        struct selector select;
        struct trie_prefixes first;   /* regexes that go before the templates */
        uint32_t trie;                /* root of the templates, or TRIE_NONE */
        struct trie_prefixes regexes; /* the other regexes */
};

struct router_param_def { struct span name; enum router_type type; };

struct router_route {
        uint32_t param_first; /* in router.params */
        uint32_t param_count;
        const char *class_name;
};

struct router {
        const struct route *given; /* what router_compile got; borrowed */
        struct arena *arena; /* names, hosts */
        struct trie trie;
        struct router_class *classes;
        uint32_t class_count;
        uint32_t *class_slots; /* open addressing by selector; TRIE_NONE: free */
        uint32_t class_mask;
        uint8_t listener_hosts[4]; /* by listener kind (addr * 2 + port): bit 1 << host_kind where there is such a class */
        bool only_any;             /* one class, and it selects nothing */
        uint32_t straight;         /* only_any, and no regex goes first: the root of the templates. Else TRIE_NONE */
        bool has_slashes;          /* some route is not strict about the slash at the end */
        struct router_route *routes;
        struct router_param_def *params;
        uint32_t *order;
        size_t route_count, param_count;
        struct router_stats stats;
};

uint32_t router_selector_hash(const struct in6_addr *addr, uint16_t port, enum host_kind kind, struct span host);

#endif
