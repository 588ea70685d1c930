/* netset.c - thousands of networks as intervals of addresses. Contract in netset.h.
 * SPDX-License-Identifier: MIT
 * From: access.c and client.c build and ask.   Runs in: whoever builds a generation; then every loop. */
#include "netset.h"

#include <errno.h>
#include <stdlib.h>

#include "../router/nets.h"

typedef unsigned __int128 u128;

/* From `first` on, up to the next border. */
struct border { u128 first; int value; };
struct family { const struct border *borders; size_t count; };
struct netset { struct family v4, v6; int unix_value; /* of clients without an address (nets.h) */ };

static u128
number_of(const struct in6_addr *addr)
{
        u128 n = 0;

        for (int i = 0; i < 16; i++)
                n = n << 8 | addr->s6_addr[i];
        return n;
}

static u128
last_of(const struct route_net *net)
{
        return net->bits == 0 ? ~(u128)0 : number_of(&net->addr) | (((u128)1 << (128 - net->bits)) - 1);
}

static bool
is_v4(const struct route_net *net)
{
        return net->bits >= 96 && IN6_IS_ADDR_V4MAPPED(&net->addr);
}

/* IPv4 first; in each family by address, of those that begin together the larger first: a network always stands before those within it. */
static int
by_place(const void *a, const void *b)
{
        const struct netset_item *x = a, *y = b;
        int d = (int)is_v4(&y->net) - (int)is_v4(&x->net);

        if (d == 0)
                d = memcmp(&x->net.addr, &y->net.addr, sizeof(x->net.addr));
        return d != 0 ? d : (int)x->net.bits - (int)y->net.bits;
}

/* A border at the same address replaces the one before: what begins there is the smaller network, or what goes on behind one that ends. */
static void
put(struct border *to, size_t *count, u128 first, int value)
{
        if (*count > 0 && to[*count - 1].first == first)
                --*count;
        if (*count > 0 && to[*count - 1].value == value)
                return;
        to[(*count)++] = (struct border){ first, value };
}

/* One family. `to` has room for two borders an item. */
static size_t
cut(const struct netset_item *items, size_t n, struct border *to)
{
        struct { u128 last; int value; } open[130]; /* networks around the place where we are: at most one for each length */
        size_t count = 0, depth = 0;

        for (size_t i = 0; i <= n; i++) {
                while (depth > 0 && (i == n || open[depth - 1].last < number_of(&items[i].net.addr))) {
                        u128 last = open[--depth].last;
                        if (last != ~(u128)0)
                                put(to, &count, last + 1, depth > 0 ? open[depth - 1].value : NETSET_NONE);
                }
                if (i == n)
                        break;
                if (i + 1 < n && by_place(&items[i], &items[i + 1]) == 0)
                        continue; /* the last of equals counts */
                put(to, &count, number_of(&items[i].net.addr), items[i].value);
                open[depth].last = last_of(&items[i].net);
                open[depth++].value = items[i].value;
        }
        return count;
}

int
netset_build(struct arena *a, struct netset_item *items, size_t count, const struct netset **ret)
{
        struct netset *s = arena_alloc(a, sizeof(*s));
        struct border *borders = arena_alloc(a, (count * 2 + 1) * sizeof(*borders) + _Alignof(struct border));
        size_t v4 = 0;
        int unix_value = NETSET_NONE;

        if (s == NULL || borders == NULL)
                return -ENOMEM;
        borders = (struct border *)(void *)(((uintptr_t)borders + _Alignof(struct border) - 1) & ~(uintptr_t)(_Alignof(struct border) - 1));
        qsort(items, count, sizeof(*items), by_place);
        while (v4 < count && is_v4(&items[v4].net))
                v4++;
        for (size_t i = v4; i < count && IN6_IS_ADDR_UNSPECIFIED(&items[i].net.addr); i++)
                if (net_is_unix(&items[i].net))
                        unix_value = items[i].value;
        s->unix_value = unix_value;
        s->v4 = (struct family){ borders, cut(items, v4, borders) };
        s->v6 = (struct family){ borders + s->v4.count, cut(items + v4, count - v4, borders + s->v4.count) };
        *ret = s;
        return 0;
}

int
netset_find(const struct netset *s, const struct in6_addr *addr)
{
        const struct family *f = IN6_IS_ADDR_V4MAPPED(addr) ? &s->v4 : &s->v6;
        u128 n = number_of(addr);
        size_t low = 0, high = n != 0 ? f->count : 0; /* borders before low begin at n or below, those from high on above */

        while (low < high) {
                size_t mid = low + (high - low) / 2;

                if (f->borders[mid].first <= n)
                        low = mid + 1;
                else
                        high = mid;
        }
        if (n == 0)
                return s->unix_value;
        return low > 0 ? f->borders[low - 1].value : NETSET_NONE;
}
