/* fuzz_path.c - any bytes as a request path, decoded and looked up among routes of every kind.
 * SPDX-License-Identifier: MIT
 * What decoding lets through cannot climb (no dot segment is left) and holds no NUL; what a match captures lies within the path. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/conf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char ROUTES[] =
        "listen: [8080]\n"
        "routes:\n"
        "  - {path: /, respond: {body: a}}\n"
        "  - {path: /users/new, respond: {body: a}}\n"
        "  - {path: '/users/{id:int}', respond: {body: a}}\n"
        "  - {path: '/users/{name}', respond: {body: a}}\n"
        "  - {path: '/users/{name}/{rest:path}', respond: {body: a}}\n"
        "  - {path: '/file-{id:int}.json', respond: {body: a}}\n"
        "  - {path: '/f/{x:float}/{u:uuid}/{b:bool}/{s:slug}', respond: {body: a}}\n"
        "  - {path: '/re/{x:re([a-f]+[0-9]{2,3})}/end', respond: {body: a}}\n"
        "  - {path: '/assets/{file:path}', methods: [GET], respond: {body: a}}\n"
        "  - {path: '/assets/{file:path}', methods: [PUT], host: '*.example.com', respond: {body: a}}\n"
        "  - {path: '~^/v(?<major>\\d+)/(?<rest>.*)$', respond: {body: a}}\n"
        "  - {path: '~^/(a+)+b$', first: true, respond: {body: a}}\n";

static struct router *router;
static struct router_scratch *scratch;

#define must(what)                                                             \
        do {                                                                   \
                if (!(what)) {                                                 \
                        fprintf(stderr, "line %d: %s\n", __LINE__, #what);     \
                        abort();                                               \
                }                                                              \
        } while (0)

static void
router_make(void)
{
        static struct sources sources;
        static struct conf conf;
        static struct arena *arena;
        struct diags diags;

        sources_init(&sources);
        diags_init(&diags);
        arena = arena_new();
        must(arena != NULL && sources_add(&sources, "routes.yaml", ROUTES, strlen(ROUTES)) == 0);
        sources.complete = true;
        must(conf_load(&sources, arena, &diags, NULL, &conf) == 0);
        must(router_compile(conf.routes.list, conf.routes.count, &sources, &diags, &router) == 0);
        diags_fini(&diags);
        scratch = router_scratch_new();
        must(scratch != NULL);
}

static bool
has_dot_segment(struct span path)
{
        for (size_t i = 0; i < path.len;) {
                size_t end = i + 1;

                while (end < path.len && path.ptr[end] != '/')
                        end++;
                if ((end - i == 2 && memcmp(path.ptr + i, "/.", 2) == 0) || (end - i == 3 && memcmp(path.ptr + i, "/..", 3) == 0))
                        return true;
                i = end;
        }
        return false;
}

static void
check_match(const struct router_match *m, struct span path)
{
        char out[256];

        must(m->param_count <= ROUTER_PARAMS_MAX);
        for (uint32_t i = 0; i < m->param_count; i++) {
                const struct router_param *p = &m->params[i];

                must(p->value.len == 0 || (p->value.ptr >= path.ptr && p->value.ptr + p->value.len <= path.ptr + path.len));
        }
        must(router_expand("/to/{name}/{rest}", m, out, sizeof(out)) <= (long)sizeof(out));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        static const uint32_t methods[] = { M_GET, M_HEAD, M_PUT, M_OPTIONS, M_OTHER };
        char *out = malloc(size + 1);
        struct span path;

        if (router == NULL)
                router_make();
        must(out != NULL);
        if (size > 0 && data[0] == '/' && router_decode((struct span){ (const char *)data, size }, out, &path) == 0) {
                must(path.len > 0 && path.ptr[0] == '/' && path.len <= size);
                must(memchr(path.ptr, 0, path.len) == NULL && !has_dot_segment(path));
                for (size_t i = 0; i < sizeof(methods) / sizeof(methods[0]); i++) {
                        struct router_query q = { .path = path, .host = { "a.example.com", 13 }, .method = methods[i], .local = { .port = 8080 } };
                        struct router_match m = { 0 };

                        if (router_match(router, scratch, &q, &m) == ROUTER_FOUND)
                                check_match(&m, path);
                }
        }
        free(out);
        return 0;
}
