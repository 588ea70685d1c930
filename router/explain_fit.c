/* explain_fit.c - a route is taken to pieces, and the path is laid beside it.
 * SPDX-License-Identifier: MIT
 * From: explain.c, route by route.   To: the route's own text, not the trie: the trie knows only the way that it went.
 * Types are asked of a small router of their own, so that there is one idea of what an int is. */
#include "explain_priv.h"

#include <assert.h>
#include <stdlib.h>

enum {
        STEPS_MAX = 20000, /* ways to split one segment that are tried */
};

/* ---- types --------------------------------------------------------------------------------------------------------------------- */

const char *const explain_type_names[] = {
        [RT_STR] = "str", [RT_INT] = "int", [RT_FLOAT] = "float", [RT_BOOL] = "bool", [RT_UUID] = "uuid", [RT_SLUG] = "slug", [RT_PATH] = "path", [RT_RE] = "re",
};
const char *const explain_type_words[] = {
        [RT_STR] = "empty", [RT_INT] = "no int", [RT_FLOAT] = "no float", [RT_BOOL] = "no bool", [RT_UUID] = "no uuid", [RT_SLUG] = "no slug", [RT_PATH] = "no path",
        [RT_RE] = "not what the regex takes",
};
static const char *const type_paths[] = {
        "/str/{x}", "/int/{x:int}", "/float/{x:float}", "/bool/{x:bool}", "/uuid/{x:uuid}", "/slug/{x:slug}",
};
static_assert(sizeof(type_paths) / sizeof(*type_paths) == EXPLAIN_TYPE_PATHS, "");

struct router *
explain_types_new(struct route routes[EXPLAIN_TYPE_PATHS])
{
        struct router *r = NULL;
        struct diags d;

        diags_init(&d);
        for (size_t i = 0; i < EXPLAIN_TYPE_PATHS; i++)
                routes[i] = (struct route){ .path = type_paths[i], .methods = M_ANY };
        if (router_compile(routes, EXPLAIN_TYPE_PATHS, NULL, &d, &r) < 0)
                r = NULL;
        diags_fini(&d);
        return r;
}

static bool
regex_takes(struct explaining *e, struct span regex, struct span text)
{
        struct regex_error err;
        struct regex x;
        bool yes;

        if (regex_compile(regex, &x, NULL, &err) < 0)
                return false;
        yes = regex_match(&x, e->regex, text.ptr, text.len) == REGEX_YES;
        regex_fini(&x);
        return yes;
}

static bool
type_takes(struct explaining *e, const struct pattern_piece *piece, struct span text)
{
        struct router_query q = { .method = M_GET };
        struct router_match m;
        char path[1024];
        int n;

        if (piece->type == RT_PATH)
                return true;
        if (text.len == 0 || memchr(text.ptr, '/', text.len) != NULL)
                return false;
        if (piece->type == RT_STR)
                return true;
        if (piece->type == RT_RE)
                return regex_takes(e, piece->text, text);
        n = snprintf(path, sizeof(path), "/%s/%.*s", explain_type_names[piece->type], (int)(text.len < 2000 ? text.len : 2000), text.ptr);
        if (n >= (int)sizeof(path))
                return piece->type == RT_SLUG; /* longer than any of the others can be */
        q.path = (struct span){ path, (size_t)n };
        return router_match(e->types, e->s, &q, &m) == ROUTER_FOUND;
}

/* ---- reading a route ------------------------------------------------------------------------------------------------------------ */

/* The steps of a template, cut at the slashes. */
static int
read_segments(struct reading *g, struct arena *a)
{
        const struct pattern *p = &g->pattern;
        size_t slashes = 0, pieces = 0;
        struct segment *seg = NULL;

        for (uint32_t i = 0; i < p->step_count; i++) {
                pieces += p->steps[i].kind == STEP_SEGMENT ? p->steps[i].piece_count : 0;
                for (size_t k = 0; p->steps[i].kind == STEP_LITERAL && k < p->steps[i].literal.len; k++)
                        slashes += p->steps[i].literal.ptr[k] == '/';
        }
        if ((g->segments = arena_alloc(a, (slashes + 1) * sizeof(*g->segments))) == NULL)
                return -1;
        for (uint32_t i = 0; i < p->step_count; i++) {
                const struct pattern_step *step = &p->steps[i];
                const char *at = step->literal.ptr, *end = at != NULL ? at + step->literal.len : NULL;

                for (uint32_t k = 0; step->kind == STEP_SEGMENT && seg != NULL && k < step->piece_count; k++) {
                        seg->pieces[seg->count++] = &step->pieces[k];
                        g->rest |= step->pieces[k].is_param && step->pieces[k].type == RT_PATH;
                }
                while (step->kind == STEP_LITERAL && at < end) {
                        const char *slash = memchr(at, '/', (size_t)(end - at)), *stop = slash == at ? NULL : slash != NULL ? slash : end;
                        struct pattern_piece *piece;

                        if (slash == at) {
                                seg = &g->segments[g->segment_count++];
                                if ((seg->pieces = arena_alloc(a, (pieces + 2) * sizeof(*seg->pieces))) == NULL)
                                        return -1;
                                at++;
                                continue;
                        }
                        if (seg == NULL || (piece = arena_alloc(a, sizeof(*piece))) == NULL)
                                return -1;
                        piece->text = (struct span){ at, (size_t)(stop - at) };
                        seg->pieces[seg->count++] = piece;
                        at = stop;
                }
        }
        return 0;
}

/* 0, or -1: no memory (what cannot be read is no route of a router). */
int
explain_read(const struct router *r, uint32_t index, struct arena *a, struct reading *ret)
{
        const struct route *route = &r->given[index];
        struct span on, path;
        struct select_error select_err;
        struct pattern_error err;

        memset(ret, 0, sizeof(*ret));
        ret->route = index;
        router_split(route->path, &on, &path);
        if (on.len == 0)
                on = span_of(route->on);
        if (on.len > 0 && select_parse_on(on, a, &ret->select, &select_err) < 0)
                return -1;
        if (route->host != NULL && select_parse_host(span_of(route->host), a, &ret->select, &select_err) < 0)
                return -1;
        if (pattern_parse(path, a, &ret->pattern, &err) < 0)
                return -1;
        return ret->pattern.is_regex ? 0 : read_segments(ret, a);
}

/* ---- the path ------------------------------------------------------------------------------------------------------------------- */

static bool
pieces_take(struct explaining *e, const struct pattern_piece *const *pieces, uint32_t count, struct span text)
{
        const struct pattern_piece *piece = count > 0 ? pieces[0] : NULL;

        if (piece == NULL)
                return text.len == 0;
        if (e->steps++ > STEPS_MAX)
                return false;
        if (!piece->is_param)
                return text.len >= piece->text.len && memcmp(text.ptr, piece->text.ptr, piece->text.len) == 0 &&
                       pieces_take(e, pieces + 1, count - 1, (struct span){ text.ptr + piece->text.len, text.len - piece->text.len });
        if (count == 1)
                return type_takes(e, piece, text);
        for (size_t n = 1; n < text.len; n++)
                if (pieces_take(e, pieces + 1, count - 1, (struct span){ text.ptr + n, text.len - n }) && type_takes(e, piece, (struct span){ text.ptr, n }))
                        return true;
        return false;
}

/* What a template's segment k is asked about: one segment of the path, or for the last one with a path in it all that follows. */
struct span
explain_part(const struct explaining *e, const struct reading *g, uint32_t k)
{
        const char *end = e->q->path.ptr + e->q->path.len;

        return g->rest && k + 1 == g->segment_count ? (struct span){ e->parts[k].ptr, (size_t)(end - e->parts[k].ptr) } : e->parts[k];
}

static bool
segment_takes(struct explaining *e, const struct reading *g, uint32_t k)
{
        return k < e->part_count && pieces_take(e, g->segments[k].pieces, g->segments[k].count, explain_part(e, g, k));
}

/* The path but for a slash at its end, on either side. */
static bool
slash_fits(const struct explaining *e, const struct reading *g)
{
        bool route_has = g->segment_count > 1 && g->segments[g->segment_count - 1].count == 0;
        bool path_has = e->part_count > 1 && e->parts[e->part_count - 1].len == 0;

        if (e->q->path.len == 1) /* "/" has no other spelling */
                return false;
        if (g->rest) /* the rest may be empty, but not the slash before it */
                return !path_has && g->segment_count == e->part_count + 1 && g->segments[g->segment_count - 1].count == 1;
        return path_has ? g->segment_count + 1 == e->part_count : route_has && g->segment_count == e->part_count + 1;
}

static enum path_fit
template_fit(struct explaining *e, const struct reading *g, uint32_t *ret_at)
{
        uint32_t common = g->segment_count < e->part_count ? g->segment_count : e->part_count, failed = 0, first = 0;

        for (uint32_t k = 0; k < common && failed < 2; k++)
                if (!segment_takes(e, g, k) && failed++ == 0)
                        first = k;
        *ret_at = first;
        if (failed == 0 && slash_fits(e, g))
                return FIT_SLASH;
        if (failed == 0 && (g->segment_count == e->part_count || (g->rest && g->segment_count < e->part_count)))
                return FIT_WHOLE;
        *ret_at = failed > 0 ? first : common;
        if (failed == 1 && (g->segment_count == e->part_count || g->rest))
                return FIT_SEGMENT;
        if (failed == 0)
                return g->segment_count > e->part_count ? FIT_LONGER : FIT_SHORTER;
        return FIT_NOT;
}

static enum path_fit
regex_fit(struct explaining *e, const struct reading *g, struct arena *a)
{
        struct span prefix = pattern_regex_prefix(g->pattern.regex, a, ROUTER_PREFIX_MAX), path = e->q->path;

        if (path.len < prefix.len || memcmp(path.ptr, prefix.ptr, prefix.len) != 0)
                return FIT_NOT;
        if (regex_takes(e, g->pattern.regex, path))
                return FIT_WHOLE;
        return prefix.len > 1 ? FIT_REGEX : FIT_NOT;
}

enum path_fit
explain_path(struct explaining *e, const struct reading *g, struct arena *a, uint32_t *ret_at)
{
        *ret_at = 0;
        e->steps = 0;
        return g->pattern.is_regex ? regex_fit(e, g, a) : template_fit(e, g, ret_at);
}
