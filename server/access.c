/* access.c - who may come. Contract in access.h.
 * SPDX-License-Identifier: MIT
 * From: policy.c builds; gates.c asks first of all.   To: netset.c searches.   Runs in: whoever builds a generation; then the owning loop. */
#include "access.h"

#include <errno.h>
#include <stdlib.h>

#include "../router/nets.h"
#include "netset.h"

struct access {
        const struct netset *nets; /* value 1: allowed, 0: not */
        bool others;               /* those in none of them */
};

/* A network in one of the lists. */
struct listed { struct route_net net; size_t at; };

static int
by_net(const void *a, const void *b)
{
        const struct listed *x = a, *y = b;
        int d = memcmp(&x->net.addr, &y->net.addr, sizeof(x->net.addr));

        return d != 0 ? d : (int)x->net.bits - (int)y->net.bits;
}

/* The same network in both lists says nothing that could be done. */
static int
check_contradictions(const struct generation *g, const struct route_access *s, struct diags *d)
{
        struct listed *allowed = malloc((s->allow.count + 1) * sizeof(*allowed));
        int e = 0;

        if (allowed == NULL)
                return -ENOMEM;
        for (size_t i = 0; i < s->allow.count; i++)
                allowed[i] = (struct listed){ s->allow_nets[i], i };
        qsort(allowed, s->allow.count, sizeof(*allowed), by_net);
        for (size_t i = 0; i < s->deny.count; i++) {
                struct listed denied = { s->deny_nets[i], i };
                const struct listed *same = bsearch(&denied, allowed, s->allow.count, sizeof(*allowed), by_net);
                struct place at = s->deny.places[i], other;

                if (same == NULL)
                        continue;
                other = s->allow.places[same->at];
                diag_add(d, DIAG_ERROR, at, sources_line(&g->bundle.sources, at.file, at.line), NULL, "\"%s\" is both allowed and denied", s->deny.list[i]);
                diag_add(d, DIAG_NOTE, other, sources_line(&g->bundle.sources, other.file, other.line), NULL, "it is allowed here");
                e = -EINVAL;
        }
        free(allowed);
        return e;
}

static int
build(struct generation *g, const struct route_access *s, struct diags *d, const struct access **ret)
{
        size_t count = s->allow.count + s->deny.count;
        struct access *a = arena_alloc(g->arena, sizeof(*a));
        struct netset_item *items = malloc((count + 1) * sizeof(*items));
        int e = a == NULL || items == NULL ? -ENOMEM : check_contradictions(g, s, d);

        if (e == 0) {
                for (size_t i = 0; i < s->allow.count; i++)
                        items[i] = (struct netset_item){ s->allow_nets[i], 1 };
                for (size_t i = 0; i < s->deny.count; i++)
                        items[s->allow.count + i] = (struct netset_item){ s->deny_nets[i], 0 };
                a->others = s->allow.count == 0;
                e = netset_build(g->arena, items, count, &a->nets);
        }
        free(items);
        if (e == 0)
                *ret = a;
        return e;
}

int
access_build(struct generation *g, const struct route *route, struct diags *d, const struct access **ret)
{
        const struct route_access *s = route != NULL ? &route->access : &g->conf.access;

        if (s->place.line == 0)
                return 0;
        if (s->allow.count + s->deny.count == 0) { /* deny: [] opens a route where there is a list for all */
                *ret = NULL;
                return 0;
        }
        return build(g, s, d, ret);
}

bool
access_allows(const struct access *a, const struct in6_addr *client)
{
        int value = client != NULL ? netset_find(a->nets, client) : NETSET_NONE;

        return value == NETSET_NONE ? a->others : value == 1;
}

enum gate_verdict
access_gate(struct request *r)
{
        if (access_allows(r->policy->access, r->client_hidden ? NULL : &r->client))
                return GATE_PASS;
        board_add(r->conn->loop->board, C_access_refused, 1);
        request_fail(r, 403, false);
        return GATE_ANSWERED;
}
