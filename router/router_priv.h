/* router_priv.h - what a struct router is made of; compile.c builds it, match.c reads it.
 * SPDX-License-Identifier: MIT
 * Everything is constant after router_compile, but for struct router_scratch, which belongs to one thread. */
#ifndef HEART_ROUTER_PRIV_H
#define HEART_ROUTER_PRIV_H

#include "select.h"
#include "trie.h"

#define ROUTER_PREFIX_MAX  64   /* bytes of a regex's literal prefix that go into the tree of prefixes */
#define ROUTER_SEGMENT_MAX 4096 /* a longer segment fails where a pattern has several parameters in one segment */

/* All routes with one selector. Classes lie in the order of their selectors, most specific first. */
struct router_class {
        struct selector select;
        uint32_t first;   /* root of the tree of regexes that go before the templates, or TRIE_NONE */
        uint32_t trie;    /* root of the templates */
        uint32_t regexes; /* root of the other regexes */
        bool has_exact;   /* some templates are literals alone: router.exact knows them */
};

struct router_param_def { struct span name; enum router_type type; };

struct router_route {
        uint32_t param_first; /* in router.params */
        uint32_t param_count;
        const char *class_name;
};

/* Whole paths without parameters, open addressing, at most half full. */
struct router_exact { uint32_t hash, path, path_len, leaf; };

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
        struct router_exact *exact;
        uint32_t exact_mask;
        struct router_route *routes;
        struct router_param_def *params;
        uint32_t *order;
        size_t route_count, param_count;
        struct router_stats stats;
};

uint32_t router_selector_hash(const struct in6_addr *addr, uint16_t port, enum host_kind kind, struct span host);

/* Of a whole path, in one class. Every byte counts: paths that differ in one place only must not meet. */
static inline uint32_t
router_path_hash(const char *p, size_t len, uint32_t class)
{
        uint64_t h = (len + 1) * UINT64_C(0x9e3779b97f4a7c15) ^ class, w;

        for (; len >= 8; p += 8, len -= 8) {
                memcpy(&w, p, 8);
                h = (h ^ w) * UINT64_C(0xff51afd7ed558ccd);
                h ^= h >> 32;
        }
        w = 0;
        if (len >= 4) {
                uint32_t a, b;

                memcpy(&a, p, 4);
                memcpy(&b, p + len - 4, 4);
                w = (uint64_t)a << 32 | b;
        } else if (len > 0) {
                w = (uint64_t)(unsigned char)p[0] << 16 | (uint64_t)(unsigned char)p[len / 2] << 8 | (unsigned char)p[len - 1];
        }
        h = (h ^ w) * UINT64_C(0xc4ceb9fe1a85ec53);
        return (uint32_t)(h >> 32);
}

#endif
