/* fuzz_router.c - any text as routes, any bytes as paths: compile, decode, match, expand.
 * SPDX-License-Identifier: MIT
 * Input: one route per line (a path, with a selector before it if you like), an empty line, then one raw path per line.
 * A line's first bytes may say more: '!' makes a route `first`, '<' a fallback, '=' gives it GET alone, '+' redirects to the other spelling, '-'
 * ignores it, '@' wants https, '&' a header. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "router/router.h"

enum { ROUTES = 64, PATHS = 64, INPUT_MAX = 4096 };

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);

/* Cuts the next line off *text; NUL bytes end it as well. */
static char *
next_line(char **text)
{
        char *line = *text, *end;

        if (line == NULL)
                return NULL;
        if ((end = strchr(line, '\n')) == NULL) {
                *text = NULL;
        } else {
                *end = '\0';
                *text = end + 1;
        }
        return line;
}

static bool
lies_in(struct span inner, struct span outer)
{
        return inner.ptr >= outer.ptr && inner.ptr + inner.len <= outer.ptr + outer.len;
}

static struct span
ask(void *ctx, struct span name)
{
        (void)ctx;
        return name;
}

static void
check_match(const struct router *r, struct router_scratch *s, const struct route *routes, size_t count, struct span path, uint32_t method)
{
        struct router_query q = { .path = path, .host = SPAN_LIT("www.example.com"), .method = method, .local = { .port = 8080 } };
        static const struct router_facts facts = { ask, ask, ask, NULL };
        struct router_match m;
        char target[256];

        q.local.addr.s6_addr[15] = 1;
        q.tls = path.len % 2;
        q.facts = method & (M_GET | M_PUT) ? &facts : NULL;
        switch (router_match(r, s, &q, &m)) {
        case ROUTER_FOUND:
                assert(m.route < count);
                assert((routes[m.route].methods & method) != 0 || (method == M_HEAD && (routes[m.route].methods & M_GET)));
                assert(m.param_count <= ROUTER_PARAMS_MAX);
                for (uint32_t i = 0; i < m.param_count; i++) {
                        assert(m.params[i].name.len > 0);
                        assert(lies_in(m.params[i].value, path));
                }
                assert(router_expand("/x/{a}/{b}?{id}", &m, target, sizeof(target)) != 0);
                break;
        case ROUTER_SLASH:
                assert(m.route < count && routes[m.route].trailing_slash == SLASH_REDIRECT && !routes[m.route].fallback);
                for (uint32_t i = 0; i < m.param_count; i++)
                        assert(lies_in(m.params[i].value, path));
                break;
        case ROUTER_METHOD:
                assert((m.allow & method) == 0 || method == M_OPTIONS);
                assert(m.allow & M_OPTIONS);
                break;
        default:
                assert(m.param_count == 0);
                break;
        }
}

static void
check_paths(const struct router *r, const struct route *routes, size_t count, char *text)
{
        struct router_scratch *s = router_scratch_new();
        char *line;

        if (s == NULL)
                return;
        for (unsigned i = 0; i < PATHS && (line = next_line(&text)) != NULL; i++) {
                size_t len = strlen(line);
                char *raw = malloc(len + 1), *out = malloc(len + 1); /* exact sizes, for the address sanitizer */
                struct span path;

                if (raw != NULL && out != NULL) {
                        memcpy(raw, line, len);
                        if (router_decode((struct span){ raw, len }, out, &path) == 0)
                                for (uint32_t method = 1; method <= M_OTHER; method *= 2)
                                        check_match(r, s, routes, count, path, method);
                }
                free(raw);
                free(out);
        }
        router_scratch_free(s);
}

static void
flag(struct route *route, char c)
{
        static const char *name[] = { "x" }, *any[] = { "*" };

        switch (c) {
        case '!':
                route->first = true;
                break;
        case '<':
                route->fallback = true;
                break;
        case '=':
                route->methods = M_GET;
                break;
        case '+':
                route->trailing_slash = SLASH_REDIRECT;
                break;
        case '-':
                route->trailing_slash = SLASH_IGNORE;
                break;
        case '@':
                route->when.scheme = WHEN_HTTPS;
                break;
        default:
                route->when.headers = (struct key_map){ name, any, 1 };
                break;
        }
}

int
LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
        static struct route routes[ROUTES];
        char *text = malloc(size + 1), *rest = text, *line;
        struct router *r = NULL;
        struct diags d;
        size_t count = 0;
        uint32_t order[ROUTES];

        if (text == NULL || size > INPUT_MAX) {
                free(text);
                return 0;
        }
        memcpy(text, data, size);
        text[size] = '\0';
        while (count < ROUTES && (line = next_line(&rest)) != NULL && *line != '\0') {
                struct route *route = &routes[count++];

                *route = (struct route){ .methods = M_ANY, .place = { "fuzz", (uint32_t)count, 1, 1 }, .path_place = { "fuzz", (uint32_t)count, 1, 1 } };
                for (; *line != '\0' && strchr("!<=+-@&", *line) != NULL; line++)
                        flag(route, *line);
                route->path = line;
        }
        diags_init(&d);
        if (router_compile(routes, count, NULL, &d, &r) == 0) {
                assert(d.error_count == 0);
                assert(router_order(r, order, ROUTES) == count);
                check_paths(r, routes, count, rest);
                router_free(r);
        } else {
                assert(d.error_count > 0);
        }
        diags_fini(&d);
        free(text);
        return 0;
}
