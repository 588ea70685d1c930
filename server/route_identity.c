/* route_identity.c - what makes a route the same over reloads. Contract in route_identity.h.
 * SPDX-License-Identifier: MIT
 * From: conf_rules.c for each row of `routes:`.   To: rate_limit.c and in_flight.c, whose counts lie in memory that outlives generations. */
#include "route_identity.h"

#include "siphash.h"

static const struct siphash_key PLAIN = { { 0, 0 } }; /* what stands in routes.yaml aims at nothing */

uint64_t
identity_mix(uint64_t h, const void *bytes, size_t len)
{
        uint64_t words[2] = { h, siphash(&PLAIN, bytes, len) };

        return siphash(&PLAIN, words, sizeof(words));
}

uint64_t
identity_text(uint64_t h, const char *s)
{
        return s != NULL ? identity_mix(h, s, strlen(s) + 1) : identity_mix(h, "", 0);
}

static uint64_t
add_map(uint64_t h, const struct key_map *map)
{
        for (size_t i = 0; i < map->count; i++)
                h = identity_text(identity_text(h, map->keys[i]), map->values[i]);
        return identity_mix(h, &map->count, sizeof(map->count));
}

uint64_t
route_identity(const struct route *route)
{
        const struct route_when *w = &route->when;
        uint64_t h = identity_text(0, route->path);

        h = identity_text(identity_text(h, route->host), route->on);
        h = identity_mix(h, &route->methods, sizeof(route->methods));
        h = identity_mix(h, &w->scheme, sizeof(w->scheme));
        for (size_t i = 0; i < w->source.count; i++)
                h = identity_text(h, w->source.list[i]);
        h = add_map(add_map(add_map(h, &w->headers), &w->query), &w->cookies);
        return h != 0 ? h : 1;
}
