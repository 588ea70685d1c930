/* generation.c - a bundle becomes what serves: conf, routes, trie, TLS contexts, actions.
 * SPDX-License-Identifier: MIT
 * From: bundle.c.   To: reload.c in the master (is it sound?), worker.c (publish it to the loops), heartctl check.
 * Runs in: the master, or the main thread of a worker, off the loops. What it makes is never changed again. */
#include "generation.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "aside.h"
#include "client.h"
#include "dispatch.h"
#include "generation_priv.h"
#include "handover.h"
#include "mime.h"
#include "policy.h"
#include "tls.h"

void
generation_free(struct generation *g)
{
        if (g == NULL)
                return;
        if (g->actions != NULL)
                actions_free(g);
        handover_free(g);
        policies_free(g);
        for (size_t i = 0; g->tls != NULL && i < g->conf.listeners.count; i++)
                tls_contexts_free(g->tls[i]);
        free(g->tls);
        router_free(g->router);
        free(g->origins.list);
        free(g->quoted.list);
        sources_fini(&g->decorators);
        bundle_fini(&g->bundle);
        arena_free(g->arena);
        free(g);
}

const struct conf_limits *
generation_limits(const struct generation *g, uint32_t listener_id)
{
        for (size_t i = 0; i < g->bundle.listener_count; i++)
                if (g->bundle.listener_ids[i] == listener_id)
                        return &conf_listener_at(&g->conf, i)->limits;
        return &g->conf.limits;
}

/* ---- python: module:function --------------------------------------------------------------------------------------------------------- */

static uint32_t
hash_of(const char *s)
{
        uint32_t h = 2166136261u; /* FNV-1a */

        for (; *s != '\0'; s++)
                h = (h ^ (unsigned char)*s) * 16777619u;
        return h;
}

/* The i-th of all targets there may be: those of `python:` routes, those that the routes' `auth:` asks, the one that `auth:` asks for all. NULL: it is not given. */
static const char *
target_at(const struct conf *c, size_t i)
{
        size_t count = c->routes.count;

        return i < count ? conf_route_at(c, i)->python : i < 2 * count ? conf_route_at(c, i - count)->auth.target : c->auth.target;
}

size_t
python_targets_number(const struct conf *c, const char **ret_targets, size_t room, uint32_t *ret_numbers)
{
        size_t size = 64, count = 0, at, places = 2 * c->routes.count + 1;
        struct slot { const char *target; uint32_t number; } *table;

        while (size < places * 2)
                size *= 2;
        table = calloc(size, sizeof(*table));
        for (size_t i = 0; table != NULL && i < places; i++) {
                const char *target = target_at(c, i);

                if (ret_numbers != NULL)
                        ret_numbers[i] = UINT32_MAX;
                if (target == NULL)
                        continue;
                for (at = hash_of(target) & (size - 1); table[at].target != NULL && strcmp(table[at].target, target) != 0;)
                        at = (at + 1) & (size - 1);
                if (table[at].target == NULL) {
                        if (count < room)
                                ret_targets[count] = target;
                        table[at] = (struct slot){ target, (uint32_t)count++ };
                }
                if (ret_numbers != NULL)
                        ret_numbers[i] = table[at].number;
        }
        free(table);
        return count;
}

size_t
generation_python_targets(const struct conf *c, const char **ret_targets, size_t room)
{
        return python_targets_number(c, ret_targets, room, NULL);
}

/* ---- building ------------------------------------------------------------------------------------------------------------------------ */

void
routes_check(const struct conf *c, const struct sources *s, struct diags *d)
{
        struct route *sound = c->routes.count > 0 ? calloc(c->routes.count, sizeof(*sound)) : NULL;
        struct router *router = NULL;
        size_t count = 0;

        for (size_t i = 0; sound != NULL && i < c->routes.count; i++)
                if (conf_route_at(c, i)->path != NULL && conf_route_at(c, i)->action != ROUTE_NONE)
                        sound[count++] = *conf_route_at(c, i);
        if (count > 0 && router_compile(sound, count, s, d, &router) == 0)
                router_free(router);
        free(sound);
}

/* Every certificate and key that the conf names came along. */
static int
check_files(const struct generation *g, struct diags *d)
{
        int e = 0;

        for (size_t i = 0; i < g->conf.listeners.count; i++) {
                const struct key_list *list = &conf_listener_at(&g->conf, i)->tls.certificates;
                const struct conf_certificate *certificates = list->list;

                for (size_t k = 0; k < list->count; k++) {
                        const struct conf_certificate *cert = &certificates[k];
                        bool cert_missing = bundle_find_file(&g->bundle, cert->cert) == NULL;
                        struct place at = cert_missing ? cert->cert_place : cert->key_place;

                        if (!cert_missing && bundle_find_file(&g->bundle, cert->key) != NULL)
                                continue;
                        diag_add(d, DIAG_ERROR, at, sources_line(&g->bundle.sources, at.file, at.line), NULL, "cannot read \"%s\": it was not given along",
                                 cert_missing ? cert->cert : cert->key);
                        e = -EINVAL;
                }
        }
        return e;
}

static int
build_tls(struct generation *g, struct diags *d)
{
        int e = 0, one;

        g->tls = calloc(g->conf.listeners.count + 1, sizeof(struct tls_contexts *));
        if (g->tls == NULL)
                return -ENOMEM;
        for (size_t i = 0; i < g->conf.listeners.count; i++) {
                const struct conf_listener *l = conf_listener_at(&g->conf, i);

                if (!l->has_tls)
                        continue;
                one = tls_contexts_build(&l->tls, &g->bundle, &g->bundle.sources, d, &g->tls[i]);
                if (one == -ENOMEM)
                        return one;
                e = one < 0 ? one : e;
        }
        return e;
}

static int
build_types(struct generation *g, struct diags *d)
{
        const struct bundle_file *f = g->conf.mime.file != NULL ? bundle_find_file(&g->bundle, g->conf.mime.file) : NULL;
        struct span text = f != NULL ? (struct span){ f->bytes, f->len } : (struct span){ "", 0 };

        (void)d;
        return mime_types_build(g->arena, text, &g->conf.mime.types, g->conf.mime.charset, &g->types);
}

/* Each part is built although another failed, so that all findings come in one go. */
static int
build_parts(struct generation *g, struct diags *d)
{
        int (*const parts[])(struct generation *, struct diags *) = { build_tls, build_types, policies_build, actions_build, handover_build };
        int e = mounts_expand(g, d), one;

        if (e != -ENOMEM && client_build(g) < 0)
                e = -ENOMEM;

        if (e == -ENOMEM)
                return e;
        for (size_t i = 0; i < g->route_count; i++)
                g->methods |= g->routes[i].methods;
        one = router_compile(g->routes, g->route_count, &g->quoted, d, &g->router);
        for (size_t i = 0; one != -ENOMEM && i < sizeof(parts) / sizeof(*parts); i++) {
                e = one < 0 ? one : e;
                one = parts[i](g, d);
        }
        return one < 0 ? one : e;
}

int
generation_build(struct bundle *b, bool with_router, struct diags *d, struct generation **ret)
{
        struct generation *g = calloc(1, sizeof(*g));
        int e = -ENOMEM;

        if (g == NULL)
                return -ENOMEM;
        g->bundle = *b;
        bundle_init(b);
        g->number = g->bundle.number;
        g->arena = arena_new();
        if (g->arena == NULL)
                goto fail;
        assert(g->bundle.sources.count > 0);
        e = conf_load_at(g->bundle.base_file != NULL ? g->bundle.base_file : g->bundle.sources.list[0].path, &g->bundle.sources, g->arena, d, &g->origins, &g->conf);
        if (e == -EINVAL && with_router)
                routes_check(&g->conf, &g->bundle.sources, d);
        if (e < 0)
                goto fail;
        e = check_files(g, d);
        if (e == 0 && g->bundle.app_count != g->conf.apps.count)
                e = -EPROTO; /* the bundle is of another configuration */
        if (e == 0 && with_router)
                e = build_parts(g, d);
        if (e < 0)
                goto fail;
        *ret = g;
        return 0;
fail:
        generation_free(g);
        return e;
}

struct building { struct bundle *b; bool with_router; struct diags *d; struct generation **ret; int e; };

static void
build_here(void *arg)
{
        struct building *b = arg;

        b->e = generation_build(b->b, b->with_router, b->d, b->ret);
}

int
generation_build_aside(struct bundle *b, bool with_router, struct diags *d, struct generation **ret)
{
        struct building building = { b, with_router, d, ret, -ENOMEM };

        aside_run(build_here, &building);
        return building.e;
}
