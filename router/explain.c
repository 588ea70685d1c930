/* explain.c - why a path goes where it goes, for people.
 * SPDX-License-Identifier: MIT
 * From: server/show.c, for `heartctl match`.   To: text or JSON.
 * Runs in: the caller's thread. It allocates, and looks at every route: milliseconds where there are thousands.
 * What wins is router_match's word. Why the others did not is found anew, route by route, from their texts: the trie itself knows only the way that it went.
 * Only here are routes looked at one by one; types are asked of a small router of their own, so that there is one idea of what an int is. */
#include "explain_priv.h"

#include <stdlib.h>

#include "memstream.h"

enum {
        NEAR_MAX = 8,      /* other routes that are shown */
        NEXT_MAX = 3,      /* of those that would have taken the request too */
};

/* How far a route is from the request: the path first, then what else it lacks. */
enum { NEAR_TAKES = 0, NEAR_LACKS = 1, NEAR_SLASH = 100, NEAR_SEGMENT = 200, NEAR_LENGTH = 300, NEAR_BEGINS = 400, NEAR_NOT = 10000 };

struct near { uint32_t route, at /* segment, from 0 */, distance; size_t order; enum path_fit fit; };

/* ---- the nearest others ----------------------------------------------------------------------------------------------------------------- */

/* Of two short paths that differ in their first word: could one have been meant for the other? */
static bool
first_looks_alike(struct explaining *e, const struct reading *g)
{
        const struct segment *seg = &g->segments[0];
        struct span part = explain_part(e, g, 0);
        char word[64];
        const char *words[1] = { word };

        if (seg->count == 0 || seg->pieces[0]->is_param)
                return seg->count > 0;
        snprintf(word, sizeof(word), "%.*s", (int)(seg->pieces[0]->text.len < 63 ? seg->pieces[0]->text.len : 63), seg->pieces[0]->text.ptr);
        return diag_nearest(part, words, 1) != NULL;
}

static uint32_t
distance_of(struct explaining *e, const struct reading *g, enum path_fit fit, uint32_t at)
{
        static const uint32_t bases[] = { [FIT_WHOLE] = NEAR_TAKES, [FIT_SLASH] = NEAR_SLASH, [FIT_SEGMENT] = NEAR_SEGMENT, [FIT_LONGER] = NEAR_LENGTH,
                                          [FIT_SHORTER] = NEAR_LENGTH, [FIT_REGEX] = NEAR_LENGTH };
        struct lacks l = { .e = e, .quiet = true };
        uint32_t gap;

        if (fit == FIT_NOT)
                return at > 0 ? NEAR_BEGINS + 50 - (at < 50 ? at : 50) : NEAR_NOT;
        if (fit == FIT_LONGER || fit == FIT_SHORTER) {
                gap = g->segment_count > e->part_count ? g->segment_count - e->part_count : e->part_count - g->segment_count;
                if (at < 2 && gap > 1) /* "/" is the beginning of everything */
                        return NEAR_NOT;
                return bases[fit] + (gap < 90 ? gap : 90);
        }
        if (fit == FIT_SEGMENT && at == 0 && (g->segment_count < 3 || g->rest) && !first_looks_alike(e, g))
                return NEAR_NOT;
        explain_all_lacks(&l, g, FIT_WHOLE, 0);
        /* a parameter that wants another text is nearer than another word */
        if (fit == FIT_SEGMENT && (g->segments[at].count == 0 || (g->segments[at].count == 1 && !g->segments[at].pieces[0]->is_param)))
                l.count += 10;
        return (fit == FIT_SLASH && e->r->given[g->route].trailing_slash == SLASH_IGNORE ? NEAR_LACKS : bases[fit]) + l.count;
}

/* Keeps the nearest, in order; the order of precedence decides between equals. */
static void
keep_near(struct near list[NEAR_MAX], size_t *count, struct near n)
{
        size_t at = *count;

        while (at > 0 && list[at - 1].distance > n.distance)
                at--;
        if (at == NEAR_MAX)
                return;
        if (*count < NEAR_MAX)
                ++*count;
        memmove(&list[at + 1], &list[at], (*count - 1 - at) * sizeof(*list));
        list[at] = n;
}

static int
find_near(struct explaining *e, uint32_t winner, uint32_t reach, struct near next[NEXT_MAX], size_t *ret_next, struct near near[NEAR_MAX], size_t *ret_near)
{
        *ret_next = *ret_near = 0;
        for (size_t i = 0; i < e->r->route_count; i++) {
                struct arena *a;
                struct reading g;
                struct near n = { .route = e->r->order[i], .order = i };
                bool fine;

                if (n.route == winner)
                        continue;
                if ((a = arena_new()) == NULL)
                        return -1;
                if ((fine = explain_read(e->r, n.route, a, &g) == 0)) {
                        n.fit = explain_path(e, &g, a, &n.at);
                        n.distance = distance_of(e, &g, n.fit, n.at);
                }
                arena_free(a);
                if (!fine)
                        return -1;
                if (n.distance == NEAR_TAKES && *ret_next < NEXT_MAX)
                        next[(*ret_next)++] = n;
                else if (n.distance != NEAR_TAKES && n.distance < reach)
                        keep_near(near, ret_near, n);
        }
        return 0;
}

/* ---- the answer -------------------------------------------------------------------------------------------------------------------------- */

static void
put_route(const struct explaining *e, uint32_t index)
{
        const struct route *route = &e->r->given[index];
        char methods[96], *selector;

        router_methods_text(route->methods, methods, sizeof(methods));
        if (e->json) {
                fprintf(e->out, "\"route\":%u,\"pattern\":\"", (unsigned)index);
                explain_put_text(e->out, span_of(router_pattern_text(e->r, index)), true);
                fprintf(e->out, "\",\"methods\":\"%s\",\"class\":\"%s\",\"file\":\"", route->methods == M_ANY ? "*" : methods, router_class(e->r, index));
                explain_put_text(e->out, span_of(route->place.file), true);
                fprintf(e->out, "\",\"line\":%u", (unsigned)route->place.line);
                return;
        }
        if (route->methods != M_ANY)
                fprintf(e->out, "%s ", methods);
        if ((selector = router_selector_text(e->r, index)) != NULL && strcmp(selector, "*") != 0)
                fprintf(e->out, "[%s] ", selector);
        free(selector);
        explain_put_text(e->out, span_of(router_pattern_text(e->r, index)), false);
        if (route->place.file != NULL)
                fprintf(e->out, "  (%s:%u)", route->place.file, (unsigned)route->place.line);
}

static void
put_params(const struct explaining *e, const struct router_match *m)
{
        if (e->json)
                fputs(",\"params\":[", e->out);
        for (uint32_t i = 0; i < m->param_count; i++) {
                const struct router_param *p = &m->params[i];

                fprintf(e->out, e->json ? "%s{\"name\":\"" : "%s    ", e->json && i > 0 ? "," : "");
                explain_put_text(e->out, p->name, e->json);
                fprintf(e->out, e->json ? "\",\"type\":\"%s\",\"value\":\"" : " (%s) = \"", explain_type_names[p->type]);
                explain_put_text(e->out, p->value, e->json);
                fputs(e->json ? "\"}" : "\"\n", e->out);
        }
        if (e->json)
                fputc(']', e->out);
}

static void
put_verdict(const struct explaining *e, enum router_verdict verdict, const struct router_match *m)
{
        static const struct { const char *name; unsigned status; const char *words; } verdicts[] = {
                [ROUTER_FOUND] = { "found", 0, "goes to " },
                [ROUTER_NOT_FOUND] = { "not_found", 404, "404: no route takes it\n" },
                [ROUTER_METHOD] = { "method", 405, "405: the path is known, the method is not; Allow: " },
                [ROUTER_SLASH] = { "slash", 308, "308 to the path with the slash at its end that this route has, or without: " },
                [ROUTER_FAILED] = { "failed", 500, "500: a regex hit its match limit; see \"Cost\" in router/README.md\n" },
        };
        bool options = verdict == ROUTER_METHOD && e->q->method == M_OPTIONS;
        char allow[96];

        router_methods_text(m->allow, allow, sizeof(allow));
        if (e->json)
                fprintf(e->out, "{\"verdict\":\"%s\"", verdicts[verdict].name);
        else
                fputs(options ? "204: the answer to OPTIONS; Allow: " : verdicts[verdict].words, e->out);
        if (e->json && verdict != ROUTER_FOUND)
                fprintf(e->out, ",\"status\":%u", options ? 204 : verdicts[verdict].status);
        if (verdict == ROUTER_METHOD)
                fprintf(e->out, e->json ? ",\"allow\":\"%s\"" : "%s\n", allow);
        if (verdict != ROUTER_FOUND && verdict != ROUTER_SLASH)
                return;
        fputs(e->json ? ",\"winner\":{" : "", e->out);
        put_route(e, m->route);
        fputs(e->json ? "" : "\n", e->out);
        put_params(e, m);
        fputs(e->json ? "}" : "", e->out);
}

static int
put_next(const struct explaining *e, uint32_t winner, const struct near *next, size_t count)
{
        struct arena *a = arena_new();
        struct reading first, second;
        int r = a != NULL && (count == 0 || explain_read(e->r, winner, a, &first) == 0) ? 0 : -1;

        if (e->json)
                fputs(",\"before\":[", e->out);
        for (size_t i = 0; r == 0 && i < count; i++) {
                if ((r = explain_read(e->r, next[i].route, a, &second)) < 0)
                        break;
                fputs(!e->json ? "  before " : i > 0 ? ",{" : "{", e->out);
                put_route(e, next[i].route);
                fputs(e->json ? ",\"why\":\"" : ": ", e->out);
                explain_put_reason(e, &first, &second);
                fputs(e->json ? "\"}" : "\n", e->out);
        }
        if (e->json)
                fputc(']', e->out);
        arena_free(a);
        return r;
}

static int
put_near(struct explaining *e, const struct near *near, size_t count)
{
        int r = 0;

        fputs(e->json ? ",\"others\":[" : count > 0 ? "the nearest others, and what the request lacks for each:\n" : "", e->out);
        for (size_t i = 0; r == 0 && i < count; i++) {
                struct lacks l = { .e = e };
                struct arena *a = arena_new();
                struct reading g;

                if ((r = a != NULL ? explain_read(e->r, near[i].route, a, &g) : -1) == 0) {
                        fputs(!e->json ? "    " : i > 0 ? ",{" : "{", e->out);
                        put_route(e, near[i].route);
                        fputs(e->json ? ",\"lacks\":[" : "\n        ", e->out);
                        e->steps = 0;
                        explain_all_lacks(&l, &g, near[i].fit, near[i].at);
                        fputs(e->json ? "]}" : "\n", e->out);
                }
                arena_free(a);
        }
        if (e->json)
                fputs("]}\n", e->out);
        return r;
}

/* The path's segments; "/a//b" has an empty one. */
static int
cut_path(struct explaining *e)
{
        struct span path = e->q->path;
        size_t count = 0;

        for (size_t i = 0; i < path.len; i++)
                count += path.ptr[i] == '/';
        if ((e->parts = calloc(count + 1, sizeof(*e->parts))) == NULL)
                return -1;
        for (size_t i = 0; i < path.len; i++)
                if (path.ptr[i] == '/')
                        e->parts[e->part_count++].ptr = path.ptr + i + 1;
                else if (e->part_count > 0)
                        e->parts[e->part_count - 1].len++;
        return 0;
}

static int
explain(struct explaining *e)
{
        struct near next[NEXT_MAX], near[NEAR_MAX + 1];
        size_t next_count, near_count;
        struct router_match m = { .route = UINT32_MAX };
        enum router_verdict verdict = router_match(e->r, e->s, e->q, &m);
        uint32_t winner = verdict == ROUTER_FOUND || verdict == ROUTER_SLASH ? m.route : UINT32_MAX;
        int r;

        /* where something was found, what differs in length is no near miss */
        if (find_near(e, winner, verdict == ROUTER_FOUND ? NEAR_LENGTH : NEAR_NOT, next, &next_count, near, &near_count) < 0)
                return -1;
        put_verdict(e, verdict, &m);
        r = put_next(e, winner, next, verdict == ROUTER_FOUND ? next_count : 0);
        return r < 0 ? r : put_near(e, near, near_count);
}

/* ---- for `heartctl routes` ------------------------------------------------------------------------------------------------------------ */

static void
put_selector(FILE *out, const struct selector *s)
{
        bool v6 = s->has_addr && !IN6_IS_ADDR_V4MAPPED(&s->addr);

        if (!s->has_addr && s->port == 0 && s->host_kind == HOST_ANY) {
                fputc('*', out);
                return;
        }
        fputs(v6 ? "[" : "", out);
        if (s->has_addr)
                explain_put_addr(out, &s->addr);
        fputs(v6 ? "]" : "", out);
        if (s->port != 0)
                fprintf(out, ":%u", (unsigned)s->port);
        else if (!s->has_addr)
                fputc(':', out);
        fprintf(out, "::%s%.*s", s->host_kind == HOST_WILD ? "*" : "", (int)s->host.len, s->host.len > 0 ? s->host.ptr : "");
}

char *
router_selector_text(const struct router *r, uint32_t route)
{
        struct arena *a = arena_new();
        char *text = NULL;
        struct reading g;
        size_t len;
        FILE *out = a != NULL && explain_read(r, route, a, &g) == 0 ? open_memstream(&text, &len) : NULL;

        if (out != NULL) {
                put_selector(out, &g.select);
                text = memstream_close(out, &text);
        }
        arena_free(a);
        return text;
}

void
router_split(const char *text, struct span *ret_on, struct span *ret_path)
{
        select_split(span_of(text), ret_on, ret_path);
        if (memmem(ret_on->ptr, ret_on->len, "::", 2) != NULL)
                return;
        *ret_on = (struct span){ text, 0 };
        *ret_path = span_of(text);
}

const char *
router_pattern_text(const struct router *r, uint32_t route)
{
        struct span on, path;

        router_split(r->given[route].path, &on, &path);
        return path.ptr;
}

char *
router_explain(const struct router *r, struct router_scratch *s, const struct router_query *q, bool json)
{
        struct route type_routes[EXPLAIN_TYPE_PATHS];
        struct explaining e = { .r = r, .s = s, .q = q, .json = json };
        char *text = NULL, *whole = NULL;
        size_t len;
        int failed = -1;

        e.types = explain_types_new(type_routes);
        e.regex = regex_scratch_new();
        if (e.types != NULL && e.regex != NULL && cut_path(&e) == 0 && (e.out = open_memstream(&text, &len)) != NULL) {
                failed = explain(&e);
                whole = memstream_close(e.out, &text);
        }
        if (failed != 0) {
                free(whole);
                whole = NULL;
        }
        router_free(e.types);
        regex_scratch_free(e.regex);
        free(e.parts);
        return whole;
}
