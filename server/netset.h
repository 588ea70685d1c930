/* netset.h - thousands of networks, each with a value; which is the smallest that an address lies in?
 * SPDX-License-Identifier: MIT
 * Built once into an arena, never changed; any thread may ask. An IPv4 address lies in IPv4 networks only, so ::/0 is every IPv6 address and nothing else.
 * A client without an address (all zero: a unix socket) lies in the network "unix" alone (nets.h).
 * Networks nest or are disjoint, so they cut the addresses into intervals with one answer each, which are searched by halves: about 13 comparisons among 4000. */
#ifndef HEART_NETSET_H
#define HEART_NETSET_H

#include "../router/route.h"
#include "../router/arena.h"

#define NETSET_NONE (-1)

struct netset_item { struct route_net net; int value; /* not NETSET_NONE */ };
struct netset;

/* items is sorted in place. Of equal networks the last given counts. 0 or -ENOMEM. */
int netset_build(struct arena *a, struct netset_item *items, size_t count, const struct netset **ret);
int netset_find(const struct netset *s, const struct in6_addr *addr); /* the value of the smallest network, or NETSET_NONE */

#endif
