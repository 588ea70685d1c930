/* policy.c - the settings of a route beside its action, made ready at load. Contract in policy.h.
 * SPDX-License-Identifier: MIT
 * From: generation.c.   To: gates.c asks before the action, outgoing.c while the answer goes out.   Runs in: whoever builds a generation. */
#include "policy.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "access.h"
#include "auth.h"
#include "auth_basic.h"
#include "compress.h"
#include "cors.h"
#include "decompress.h"
#include "error_pages.h"
#include "gates.h"
#include "in_flight.h"
#include "rate_limit.h"
#include "header_edits.h"

/* Of two outcomes the one that counts: want of memory, else a finding. */
static int
worse(int a, int b)
{
        return b == 0 || a == -ENOMEM ? a : b;
}

/* route NULL: the global settings alone. ret holds the default's parts on entry. Each part is built although another failed, so that all findings come in one go. */
static int
build_parts(struct generation *g, const struct route *route, struct diags *d, struct policy *ret)
{
        struct span lines;
        int e = 0;

        e = worse(e, auth_basic_build(g, route, d, &ret->auth_basic));
        e = worse(e, header_edits_build(g, route, d, &ret->headers));
        e = worse(e, request_edits_build(g, route, d, &ret->request_headers));
        e = worse(e, cors_build(g, route, d, &ret->cors));
        e = worse(e, compress_build(g, route, d, &ret->compress));
        e = worse(e, decompress_build(g, route, d, &ret->decompress));
        e = worse(e, access_build(g, route, d, &ret->access));
        e = worse(e, in_flight_build(g, route, d, &ret->in_flight));
        e = worse(e, rate_limit_build(g, route, d, &ret->rate));
        e = worse(e, auth_build(g, route, d, &ret->auth));
        e = worse(e, error_pages_build(g, route, d, &ret->errors));
        ret->gates = gates_of(ret);
        ret->baked = !compress_fits_reply(ret->compress, route) && ret->cors == NULL && (ret->headers == NULL || header_edits_fixed(ret->headers, &lines));
        ret->plain = ret->baked && ret->headers == NULL && ret->compress == NULL;
        return e;
}

/* A route that says nothing of its own shares the default. */
static int
build_one(struct generation *g, const struct route *route, struct diags *d, const struct policy **ret)
{
        struct policy made = *g->policy_default, *kept;
        int e = build_parts(g, route, d, &made);

        *ret = g->policy_default;
        if (e < 0 || memcmp(&made, g->policy_default, sizeof(made)) == 0)
                return e;
        kept = arena_alloc(g->arena, sizeof(*kept));
        if (kept == NULL)
                return -ENOMEM;
        *kept = made;
        *ret = kept;
        return 0;
}

int
policies_build(struct generation *g, struct diags *d)
{
        struct policy *all = arena_alloc(g->arena, sizeof(*all));
        int e;

        g->policies = calloc(g->route_count + 1, sizeof(*g->policies));
        if (all == NULL || g->policies == NULL)
                return -ENOMEM;
        memset(all, 0, sizeof(*all));
        g->policy_default = all;
        e = build_parts(g, NULL, d, all);
        for (size_t i = 0; i < g->route_count && e != -ENOMEM; i++)
                e = worse(e, build_one(g, &g->routes[i], d, &g->policies[i]));
        return e;
}

void
policies_free(struct generation *g)
{
        free(g->policies);
        g->policies = NULL;
}
