/* fuzz_reported.c - any JSON as what a native app reported about its routes: each becomes a route or a finding, and what becomes a route can be compiled.
 * SPDX-License-Identifier: MIT */
#include <stdlib.h>

#include "server/reported.h"

enum { ROUTES = 32 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
build(struct arena *a, const struct json_value *report)
{
        static const char *const sources[] = { "10.0.0.0/8" };
        static const struct route_net nets[] = { { .bits = 104, .addr.s6_addr = { [10] = 0xff, [11] = 0xff, [12] = 10 } } };
        struct route mount = { .path = "/m/{x:path}", .methods = M_ANY, .app = "app", .place = { "routes.yaml", 3, 5, 1 }, .action = ROUTE_APP };
        struct route routes[ROUTES];
        struct router *r = NULL;
        struct sources quoted;
        struct diags d;
        size_t n = 0;
        char *text;

        if (json_get(report, "narrow") != NULL)
                mount.when = (struct route_when){ .scheme = WHEN_HTTP, .source = { (const char **)(uintptr_t)sources, NULL, 1 }, .nets = nets, .net_count = 1 };
        diags_init(&d);
        sources_init(&quoted);
        if (reported_lines(&report, 1, &quoted) < 0)
                abort();
        for (const struct json_value *v = json_get(report, "routes")->first; v != NULL && n < ROUTES; v = v->next)
                if (reported_route(a, &quoted, &d, &mount, json_get(report, "root") != NULL ? "" : "/m", v, &routes[n]) == 0)
                        n++;
        if (router_compile(routes, n, &quoted, &d, &r) == 0)
                for (uint32_t i = 0; i < n; i++) {
                        text = router_selector_text(r, i);
                        if (text == NULL || router_pattern_text(r, i) == NULL)
                                abort();
                        free(text);
                }
        text = diags_format(&d);
        if (text == NULL)
                abort();
        free(text);
        router_free(r);
        sources_fini(&quoted);
        diags_fini(&d);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        struct arena *a = arena_new();
        struct json_value *report;

        if (a == NULL)
                abort();
        if (json_parse((const char *)data, size, a, &report) == 0 && json_get(report, "routes") != NULL && json_get(report, "routes")->kind == JSON_ARRAY)
                build(a, report);
        arena_free(a);
        return 0;
}
