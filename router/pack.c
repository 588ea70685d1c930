/* pack.c - a router as it is matched against: flat trees, names, classes by hash, the order for people.
 * SPDX-License-Identifier: MIT
 * From: compile.c, once there is nothing to complain about.   To: match.c.   Runs in: the loader's thread. */
#include <errno.h>
#include <stdlib.h>
#include <time.h>

#include "compile_priv.h"

static int
pack_classes(struct compiler *c)
{
        struct trie *t = &c->r->trie;
        uint32_t slots = 0;
        int r;

        for (uint32_t k = 0; k < c->r->class_count; k++)
                slots += trie_slots_wanted(c->classes[k].first) + trie_slots_wanted(c->classes[k].trie) + trie_slots_wanted(c->classes[k].regexes);
        if ((r = trie_make_slots(t, slots)) < 0)
                return r;
        for (uint32_t k = 0; k < c->r->class_count; k++) {
                struct build_class *b = &c->classes[k];
                struct router_class *out = &c->r->classes[k];

                if ((b->first != NULL && (r = trie_pack_prefixes(t, b->first, &out->first)) < 0) ||
                    (b->trie != NULL && (r = trie_pack(t, b->trie, &out->trie)) < 0) ||
                    (b->regexes != NULL && (r = trie_pack_prefixes(t, b->regexes, &out->regexes)) < 0))
                        return r == -E2BIG ? -ENOMEM : r;
        }
        return 0;
}

/* ---- names ---------------------------------------------------------------------------------------------------------------------------- */

static uint64_t
hash_params(const struct pattern *p)
{
        uint64_t h = UINT64_C(0xcbf29ce484222325);

        for (uint32_t k = 0; k < p->param_count; k++) {
                for (size_t i = 0; i < p->params[k].name.len; i++)
                        h = (h ^ (unsigned char)p->params[k].name.ptr[i]) * UINT64_C(0x100000001b3);
                h = (h ^ ((uint64_t)p->params[k].type << 8)) * UINT64_C(0x100000001b3);
        }
        return h ^ h >> 32;
}

static bool
same_params(const struct router_param_def *defs, const struct pattern *p)
{
        for (uint32_t k = 0; k < p->param_count; k++)
                if (defs[k].type != p->params[k].type || !span_is(defs[k].name, p->params[k].name))
                        return false;
        return true;
}

static int
add_params(struct router *r, const struct pattern *p, uint32_t *ret_first)
{
        *ret_first = (uint32_t)r->param_count;
        for (uint32_t k = 0; k < p->param_count; k++) {
                char *name = arena_strndup(r->arena, p->params[k].name.ptr, p->params[k].name.len);

                if (name == NULL)
                        return -ENOMEM;
                r->params[r->param_count++] = (struct router_param_def){ { name, p->params[k].name.len }, p->params[k].type };
        }
        return 0;
}

/* Routes that call their parameters the same share one list of names: few are in use, and those stay in the cache. */
static int
find_params(struct compiler *c, struct source_route **table, uint32_t mask, struct source_route *s, uint32_t *ret_first)
{
        struct router *r = c->r;
        uint32_t i = (uint32_t)hash_params(&s->pattern) & mask;

        *ret_first = 0;
        if (s->pattern.param_count == 0)
                return 0;
        for (; table[i] != NULL; i = (i + 1) & mask) {
                *ret_first = r->routes[table[i] - c->src].param_first;
                if (table[i]->pattern.param_count == s->pattern.param_count && same_params(r->params + *ret_first, &s->pattern))
                        return 0;
        }
        table[i] = s;
        return add_params(r, &s->pattern, ret_first);
}

/* What the leaf says of its parameters, unless its routes differ in it. */
static void
leaf_params(struct trie *t, const struct source_route *s, uint32_t first, bool fallback, bool is_first)
{
        struct trie_leaf *l = &t->leaves[s->leaf->packed];

        if (fallback)
                l = &t->leaves[l->fallback];
        l->param_count = (uint8_t)s->pattern.param_count;
        l->param_first = is_first || l->param_first == first ? first : TRIE_NONE;
}

static uint32_t table_mask(size_t count);

static int
pack_routes(struct compiler *c)
{
        struct router *r = c->r;
        uint32_t mask = table_mask(c->count), first;
        struct source_route **table = arena_alloc(c->a, ((size_t)mask + 1) * sizeof(struct source_route *));
        size_t params = 0;
        int e;

        for (size_t i = 0; i < c->count; i++)
                params += c->src[i].pattern.param_count;
        r->routes = calloc(c->count + 1, sizeof(*r->routes));
        r->params = calloc(params + 1, sizeof(*r->params));
        if (table == NULL || r->routes == NULL || r->params == NULL)
                return -ENOMEM;
        for (size_t i = 0; i < c->count; i++) {
                struct source_route *s = &c->src[i];
                bool is_first = true;

                if ((e = find_params(c, table, mask, s, &first)) < 0)
                        return e;
                r->routes[i] = (struct router_route){ first, s->pattern.param_count, s->pattern.class_name };
                if (s->pattern.is_regex && c->routes[i].first)
                        r->routes[i].class_name = "regex, first";
                for (uint32_t k = 0; k < s->leaf->count; k++)
                        is_first &= s->leaf->routes[k].fallback != c->routes[i].fallback || s->leaf->routes[k].route >= i;
                leaf_params(&r->trie, s, first, c->routes[i].fallback, is_first);
        }
        return 0;
}

/* ---- classes ------------------------------------------------------------------------------------------------------------------------ */

static uint32_t
table_mask(size_t count)
{
        uint32_t size = 4;

        while (size < 2 * count)
                size *= 2;
        return size - 1;
}

uint32_t
router_selector_hash(const struct in6_addr *addr, uint16_t port, enum host_kind kind, struct span host)
{
        uint64_t h = (host.len + 1) * UINT64_C(0x9e3779b97f4a7c15) ^ (uint64_t)kind, w[2] = { 0, 0 };

        for (size_t i = 0; i < host.len; i++)
                h = (h ^ (unsigned char)host.ptr[i]) * UINT64_C(0x100000001b3);
        if (addr != NULL)
                memcpy(w, addr, sizeof(w));
        h = (h ^ w[0] ^ port) * UINT64_C(0xff51afd7ed558ccd);
        h = (h ^ (h >> 32) ^ w[1]) * UINT64_C(0xc4ceb9fe1a85ec53);
        return (uint32_t)(h >> 32);
}

static int
index_classes(struct router *r)
{
        r->class_mask = table_mask(r->class_count);
        if ((r->class_slots = malloc(((size_t)r->class_mask + 1) * sizeof(*r->class_slots))) == NULL)
                return -ENOMEM;
        for (uint32_t i = 0; i <= r->class_mask; i++)
                r->class_slots[i] = TRIE_NONE;
        for (uint32_t k = 0; k < r->class_count; k++) {
                const struct selector *s = &r->classes[k].select;
                uint32_t i = router_selector_hash(s->has_addr ? &s->addr : NULL, s->port, s->host_kind, s->host) & r->class_mask;

                while (r->class_slots[i] != TRIE_NONE)
                        i = (i + 1) & r->class_mask;
                r->class_slots[i] = k;
                r->listener_hosts[s->has_addr * 2 + (s->port != 0)] |= (uint8_t)(1u << s->host_kind);
        }
        r->only_any = r->class_count == 1 && r->listener_hosts[0] == 1u << HOST_ANY;
        return 0;
}

/* ---- the order of precedence, for people ------------------------------------------------------------------------------------------- */

struct ranked { uint64_t rank; uint32_t route, fewer, fallback; };
struct ranking { struct compiler *c; struct ranked *list; uint64_t next; size_t count; bool by_file; };

/* Templates rank as they are met; regexes of one tree by their place in the file. Those of one leaf, by their conditions. */
static void
rank_leaf(void *arg, struct build_leaf *leaf)
{
        struct ranking *k = arg;
        uint64_t rank = k->next;

        if (k->by_file) {
                uint32_t least = TRIE_NONE;

                for (uint32_t i = 0; i < leaf->count; i++)
                        least = leaf->routes[i].route < least ? leaf->routes[i].route : least;
                rank += least;
        } else {
                k->next++;
        }
        for (uint32_t i = 0; i < leaf->count; i++)
                k->list[k->count++] = (struct ranked){ rank, leaf->routes[i].route, i, leaf->routes[i].fallback };
}

static int
compare_ranked(const void *pa, const void *pb)
{
        const struct ranked *a = pa, *b = pb;

        if (a->fallback != b->fallback)
                return a->fallback ? 1 : -1;
        if (a->rank != b->rank)
                return a->rank < b->rank ? -1 : 1;
        return (a->fewer > b->fewer) - (a->fewer < b->fewer);
}

static int
rank_routes(struct compiler *c)
{
        struct router *r = c->r;
        struct ranking k = { .c = c, .list = arena_alloc(c->a, (c->count + 1) * sizeof(*k.list)) };

        r->order = malloc((c->count + 1) * sizeof(*r->order));
        if (k.list == NULL || r->order == NULL)
                return -ENOMEM;
        for (uint32_t i = 0; i < r->class_count; i++) {
                struct build_node *const roots[] = { c->classes[i].first, c->classes[i].trie, c->classes[i].regexes };

                for (unsigned n = 0; n < 3; n++) {
                        k.by_file = n != 1;
                        if (roots[n] != NULL)
                                build_each_leaf(roots[n], rank_leaf, &k);
                        k.next += c->count;
                }
        }
        assert(k.count == c->count);
        qsort(k.list, c->count, sizeof(*k.list), compare_ranked);
        for (size_t i = 0; i < c->count; i++)
                r->order[i] = k.list[i].route;
        return 0;
}

size_t
router_order(const struct router *r, uint32_t *ret_indices, size_t room)
{
        size_t n = r->route_count < room ? r->route_count : room;

        memcpy(ret_indices, r->order, n * sizeof(*ret_indices));
        return n;
}

const char *
router_class(const struct router *r, uint32_t route)
{
        assert(route < r->route_count);
        return r->routes[route].class_name;
}

struct router_stats
router_stats(const struct router *r)
{
        return r->stats;
}

/* ---- all of it ---------------------------------------------------------------------------------------------------------------------- */

double
pack_now_ms(void)
{
        struct timespec t;

        clock_gettime(CLOCK_MONOTONIC, &t);
        return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

void
pack_stats(struct router *r, double began_ms)
{
        r->stats = (struct router_stats){
                .nodes = r->trie.node_count,
                .bytes = sizeof(*r) + trie_bytes(&r->trie) + arena_bytes(r->arena) + r->class_count * sizeof(*r->classes) +
                         ((size_t)r->class_mask + 1) * sizeof(*r->class_slots) + r->route_count * (sizeof(*r->routes) + sizeof(*r->order)) +
                         r->param_count * sizeof(*r->params),
                .regexes = r->trie.regex_count,
                .routes = r->route_count,
                .build_ms = pack_now_ms() - began_ms,
        };
}

int
pack_all(struct compiler *c)
{
        int r;

        if ((r = pack_classes(c)) < 0 || (r = pack_routes(c)) < 0 || (r = rank_routes(c)) < 0 || (r = index_classes(c->r)) < 0)
                return r;
        c->r->straight = c->r->only_any && (c->r->classes[0].first.lengths | c->r->classes[0].first.folders) == 0 ? c->r->classes[0].trie : TRIE_NONE;
        return trie_seal(&c->r->trie);
}
