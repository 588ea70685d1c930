/* fuzz_explain.c - any routes and any path: the explanation is whole, its JSON is JSON, and it says what router_match says.
 * SPDX-License-Identifier: MIT
 * Input: lines. The first is the path as it came in, the others are paths of routes. */
#include <stdlib.h>

#include "router/router.h"
#include "server/json.h"

enum { ROUTES = 16 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *const names[] = { [ROUTER_FOUND] = "found", [ROUTER_NOT_FOUND] = "not_found", [ROUTER_METHOD] = "method", [ROUTER_SLASH] = "slash", [ROUTER_FAILED] = "failed" };

static void
explain(const struct router *r, struct router_scratch *s, const struct router_query *q)
{
        struct arena *a = arena_new();
        struct router_match m;
        struct json_value *v;
        enum router_verdict verdict = router_match(r, s, q, &m);
        char *text = router_explain(r, s, q, false), *json = router_explain(r, s, q, true);

        if (a == NULL || text == NULL || json == NULL || json_parse(json, strlen(json), a, &v) != 0)
                abort();
        if (strcmp(json_get_str(v, "verdict"), names[verdict]) != 0)
                abort();
        if (verdict == ROUTER_FOUND && json_get(json_get(v, "winner"), "route")->number != m.route)
                abort();
        free(text);
        free(json);
        arena_free(a);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        struct arena *a = arena_new();
        struct router_scratch *s = router_scratch_new();
        struct route routes[ROUTES];
        struct router_query q = { .method = M_GET };
        struct router *r = NULL;
        char *text = a != NULL ? arena_strndup(a, (const char *)data, size) : NULL, *line, *rest, *room;
        struct diags d;
        uint32_t n = 0;

        if (s == NULL || text == NULL)
                abort();
        diags_init(&d);
        rest = text;
        line = strsep(&rest, "\n");
        room = arena_alloc(a, strlen(line) + 1);
        if (room == NULL)
                abort();
        if (router_decode(span_of(line), room, &q.path) == 0) {
                while ((line = strsep(&rest, "\n")) != NULL && n < ROUTES) {
                        routes[n] = (struct route){ .path = line, .place = { "fuzz", n + 1, 1, 1 }, .methods = n % 3 == 2 ? M_POST : M_ANY, .trailing_slash = n % 3 };
                        n++;
                }
                if (router_compile(routes, n, NULL, &d, &r) == 0)
                        explain(r, s, &q);
        }
        router_free(r);
        diags_fini(&d);
        router_scratch_free(s);
        arena_free(a);
        return 0;
}
