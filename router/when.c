/* when.c - conditions beside path, selector and method.
 * SPDX-License-Identifier: MIT
 * From: leaf.c asks at a leaf; findings.c compares.   To: the facts of one request, through struct router_facts.
 * Runs in: any thread. No allocation. */
#include "when.h"

static bool
net_has(const struct route_net *net, const struct in6_addr *addr)
{
        uint32_t bytes = net->bits / 8, rest = net->bits % 8;

        if (memcmp(&net->addr, addr, bytes) != 0)
                return false;
        return rest == 0 || ((net->addr.s6_addr[bytes] ^ addr->s6_addr[bytes]) >> (8 - rest)) == 0;
}

static bool
source_holds(const struct route_when *w, const struct in6_addr *source)
{
        if (IN6_IS_ADDR_UNSPECIFIED(source)) /* a unix socket: in no network */
                return false;
        for (size_t i = 0; i < w->net_count; i++)
                if (net_has(&w->nets[i], source))
                        return true;
        return false;
}

static bool
is_any(const char *value)
{
        return value[0] == '*' && value[1] == '\0';
}

static bool
map_holds(const struct key_map *map, struct span (*ask)(void *ctx, struct span name), void *ctx)
{
        for (size_t i = 0; i < map->count; i++) {
                struct span have;

                if (ask == NULL || (have = ask(ctx, span_of(map->keys[i]))).ptr == NULL)
                        return false;
                if (!is_any(map->values[i]) && !span_is(have, span_of(map->values[i])))
                        return false;
        }
        return true;
}

bool
when_holds(const struct route_when *w, const struct router_query *q)
{
        static const struct router_facts nothing = { NULL, NULL, NULL, NULL };
        const struct router_facts *f = q->facts != NULL ? q->facts : &nothing;

        if (w->scheme != WHEN_ANY && (w->scheme == WHEN_HTTPS) != q->tls)
                return false;
        if (w->net_count > 0 && !source_holds(w, &q->source))
                return false;
        return map_holds(&w->headers, f->header, f->ctx) && map_holds(&w->query, f->query, f->ctx) && map_holds(&w->cookies, f->cookie, f->ctx);
}

/* Is every condition of `a` one of `b` as well, or weaker than one of it? */
static bool
map_covers(const struct key_map *a, const struct key_map *b)
{
        for (size_t i = 0; i < a->count; i++) {
                size_t k;

                for (k = 0; k < b->count; k++)
                        if (strcmp(a->keys[i], b->keys[k]) == 0 && (is_any(a->values[i]) || strcmp(a->values[i], b->values[k]) == 0))
                                break;
                if (k == b->count)
                        return false;
        }
        return true;
}

static bool
nets_cover(const struct route_when *a, const struct route_when *b)
{
        if (a->net_count == 0)
                return true;
        if (b->net_count == 0)
                return false;
        for (size_t k = 0; k < b->net_count; k++) {
                size_t i;

                for (i = 0; i < a->net_count; i++)
                        if (a->nets[i].bits <= b->nets[k].bits && net_has(&a->nets[i], &b->nets[k].addr))
                                break;
                if (i == a->net_count)
                        return false;
        }
        return true;
}

bool
when_covers(const struct route_when *a, const struct route_when *b)
{
        return (a->scheme == WHEN_ANY || a->scheme == b->scheme) && nets_cover(a, b) && map_covers(&a->headers, &b->headers) &&
               map_covers(&a->query, &b->query) && map_covers(&a->cookies, &b->cookies);
}

bool
when_same(const struct route_when *a, const struct route_when *b)
{
        return when_covers(a, b) && when_covers(b, a);
}
