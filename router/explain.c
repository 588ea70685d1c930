/* explain.c - why a path goes where it goes, for people.
 * SPDX-License-Identifier: MIT
 * From: server/show.c, for `heartctl match`.   To: text or JSON.
 * Runs in: the caller's thread. It allocates, and looks at every route: milliseconds where there are thousands.
 * What wins is router_match's word. Why the others did not is found anew, route by route, from their texts: the trie itself knows only the way that it went.
 * Only here are routes looked at one by one; types are asked of a small router of their own, so that there is one idea of what an int is. */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>

#include "memstream.h"
#include "regex.h"
#include "router_priv.h"

enum {
        NEAR_MAX = 8,      /* other routes that are shown */
        NEXT_MAX = 3,      /* of those that would have taken the request too */
        STEPS_MAX = 20000, /* ways to split one segment that are tried */
        VALUE_SHOWN = 60,
};

/* How far a route is from the request: the path first, then what else it lacks. */
enum { NEAR_TAKES = 0, NEAR_LACKS = 1, NEAR_SLASH = 100, NEAR_SEGMENT = 200, NEAR_LENGTH = 300, NEAR_BEGINS = 400, NEAR_NOT = 10000 };

/* One segment of a template: pieces in a row; none: an empty segment. */
struct segment { const struct pattern_piece **pieces; uint32_t count; };

/* One route, read. Lives in an arena of its own. */
struct reading {
        uint32_t route;
        struct selector select;
        struct pattern pattern;
        struct segment *segments;
        uint32_t segment_count;
        bool rest;               /* the last segment takes slashes too */
};

enum path_fit { FIT_WHOLE, FIT_SLASH, FIT_SEGMENT, FIT_LONGER, FIT_SHORTER, FIT_REGEX, FIT_NOT };

struct near { uint32_t route, at /* segment, from 0 */, distance; size_t order; enum path_fit fit; };

struct explaining {
        const struct router *r;
        struct router_scratch *s;
        const struct router_query *q;
        struct router *types;    /* "/int/{x:int}" and so on: what the types take */
        struct regex_scratch *regex;
        struct span *parts;      /* the path's segments */
        uint32_t part_count;
        size_t steps;
        FILE *out;
        bool json;
};

/* ---- types --------------------------------------------------------------------------------------------------------------------- */

static const char *const type_names[] = {
        [RT_STR] = "str", [RT_INT] = "int", [RT_FLOAT] = "float", [RT_BOOL] = "bool", [RT_UUID] = "uuid", [RT_SLUG] = "slug", [RT_PATH] = "path", [RT_RE] = "re",
};
static const char *const type_words[] = {
        [RT_STR] = "empty", [RT_INT] = "no int", [RT_FLOAT] = "no float", [RT_BOOL] = "no bool", [RT_UUID] = "no uuid", [RT_SLUG] = "no slug", [RT_PATH] = "no path",
        [RT_RE] = "not what the regex takes",
};
static const char *const type_paths[] = {
        "/str/{x}", "/int/{x:int}", "/float/{x:float}", "/bool/{x:bool}", "/uuid/{x:uuid}", "/slug/{x:slug}",
};
enum { TYPE_PATHS = sizeof(type_paths) / sizeof(*type_paths) };

static struct router *
types_new(struct route routes[TYPE_PATHS])
{
        struct router *r = NULL;
        struct diags d;

        diags_init(&d);
        for (size_t i = 0; i < TYPE_PATHS; i++)
                routes[i] = (struct route){ .path = type_paths[i], .methods = M_ANY };
        if (router_compile(routes, TYPE_PATHS, NULL, &d, &r) < 0)
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
        n = snprintf(path, sizeof(path), "/%s/%.*s", type_names[piece->type], (int)(text.len < 2000 ? text.len : 2000), text.ptr);
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
static int
read_route(const struct router *r, uint32_t index, struct arena *a, struct reading *ret)
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
static struct span
part_for(const struct explaining *e, const struct reading *g, uint32_t k)
{
        const char *end = e->q->path.ptr + e->q->path.len;

        return g->rest && k + 1 == g->segment_count ? (struct span){ e->parts[k].ptr, (size_t)(end - e->parts[k].ptr) } : e->parts[k];
}

static bool
segment_takes(struct explaining *e, const struct reading *g, uint32_t k)
{
        return k < e->part_count && pieces_take(e, g->segments[k].pieces, g->segments[k].count, part_for(e, g, k));
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

static enum path_fit
path_fit(struct explaining *e, const struct reading *g, struct arena *a, uint32_t *ret_at)
{
        *ret_at = 0;
        e->steps = 0;
        return g->pattern.is_regex ? regex_fit(e, g, a) : template_fit(e, g, ret_at);
}

/* ---- what else a route lacks ------------------------------------------------------------------------------------------------------ */

/* Where findings about one route go: a list of sentences, or only their number. */
struct lacks { struct explaining *e; uint32_t count; bool quiet; };

static void put_text(FILE *out, struct span s, bool json);

/* A JSON string is opened here and closed by lack_end. */
static FILE *
lack(struct lacks *l)
{
        if (l->count++ > 0 && !l->quiet)
                fputs(l->e->json ? "," : "; ", l->e->out);
        if (!l->quiet && l->e->json)
                fputc('"', l->e->out);
        return l->quiet ? NULL : l->e->out;
}

static void
lack_end(const struct lacks *l)
{
        if (!l->quiet && l->e->json)
                fputc('"', l->e->out);
}

static void
lack_words(struct lacks *l, const char *words)
{
        FILE *out = lack(l);

        if (out != NULL)
                fputs(words, out);
        lack_end(l);
}

static bool
host_fits(const struct selector *s, struct span host)
{
        if (s->host_kind == HOST_ANY)
                return true;
        if (s->host_kind == HOST_EXACT)
                return span_is(s->host, host);
        return host.len > s->host.len && memcmp(host.ptr + host.len - s->host.len, s->host.ptr, s->host.len) == 0;
}

static void
put_addr(FILE *out, const struct in6_addr *addr)
{
        char text[INET6_ADDRSTRLEN] = "";

        if (IN6_IS_ADDR_V4MAPPED(addr))
                inet_ntop(AF_INET, &addr->s6_addr[12], text, sizeof(text));
        else
                inet_ntop(AF_INET6, addr, text, sizeof(text));
        fputs(text, out);
}

static void
lacks_selector(struct lacks *l, const struct selector *s)
{
        const struct router_query *q = l->e->q;
        FILE *out;

        if (s->has_addr && memcmp(&s->addr, &q->local.addr, sizeof(s->addr)) != 0) {
                if ((out = lack(l)) != NULL) {
                        fputs("the listener: it is for address ", out);
                        put_addr(out, &s->addr);
                }
                lack_end(l);
        }
        if (s->port != 0 && s->port != q->local.port) {
                if ((out = lack(l)) != NULL)
                        fprintf(out, "the listener: it is for port %u", (unsigned)s->port);
                lack_end(l);
        }
        if (!host_fits(s, q->host)) {
                if ((out = lack(l)) != NULL) {
                        fprintf(out, "the host: it is for %s", s->host_kind == HOST_WILD ? "*" : "");
                        put_text(out, s->host, l->e->json);
                }
                lack_end(l);
        }
}

static void
lacks_fact(struct lacks *l, const char *what, struct span (*ask)(void *, struct span), const struct key_map *map)
{
        const struct router_facts *facts = l->e->q->facts;
        FILE *out;

        for (size_t i = 0; i < map->count; i++) {
                struct span wanted = span_of(map->values[i]), found = ask != NULL ? ask(facts->ctx, span_of(map->keys[i])) : (struct span){ NULL, 0 };

                if (found.ptr != NULL && (span_is(wanted, SPAN_LIT("*")) || span_is(wanted, found)))
                        continue;
                if ((out = lack(l)) != NULL) {
                        fprintf(out, "%s ", what);
                        put_text(out, span_of(map->keys[i]), l->e->json);
                        if (!span_is(wanted, SPAN_LIT("*"))) {
                                fputs(": ", out);
                                put_text(out, wanted, l->e->json);
                        }
                        fputs(found.ptr == NULL ? " (it is not there)" : " (it is \'", out);
                        if (found.ptr != NULL) {
                                put_text(out, found, l->e->json);
                                fputs("\')", out);
                        }
                }
                lack_end(l);
        }
}

static bool
net_has(const struct route_net *net, const struct in6_addr *addr)
{
        uint32_t whole = net->bits / 8, left = net->bits % 8;

        if (memcmp(net->addr.s6_addr, addr->s6_addr, whole) != 0)
                return false;
        return left == 0 || (net->addr.s6_addr[whole] ^ addr->s6_addr[whole]) >> (8 - left) == 0;
}

static void
lacks_conditions(struct lacks *l, const struct route_when *w)
{
        const struct router_query *q = l->e->q;
        bool near = w->net_count == 0;
        FILE *out;

        if (w->scheme != WHEN_ANY && (w->scheme == WHEN_HTTPS) != q->tls)
                lack_words(l, w->scheme == WHEN_HTTPS ? "the scheme: it is for https" : "the scheme: it is for http");
        for (size_t i = 0; i < w->net_count && !IN6_IS_ADDR_UNSPECIFIED(&q->source); i++)
                near |= net_has(&w->nets[i], &q->source);
        if (!near) {
                if ((out = lack(l)) != NULL) {
                        fputs("the client's address: it is for", out);
                        for (size_t i = 0; i < w->source.count; i++) {
                                fputs(i > 0 ? ", " : " ", out);
                                put_text(out, span_of(w->source.list[i]), l->e->json);
                        }
                }
                lack_end(l);
        }
        lacks_fact(l, "header", q->facts != NULL ? q->facts->header : NULL, &w->headers);
        lacks_fact(l, "query", q->facts != NULL ? q->facts->query : NULL, &w->query);
        lacks_fact(l, "cookie", q->facts != NULL ? q->facts->cookie : NULL, &w->cookies);
}

static void
lacks_method(struct lacks *l, const struct route *route)
{
        char text[96];
        FILE *out;

        if (route->methods & l->e->q->method)
                return;
        router_methods_text(route->methods, text, sizeof(text));
        if ((out = lack(l)) != NULL)
                fprintf(out, "the method: it takes %s", text);
        lack_end(l);
}

/* ---- words --------------------------------------------------------------------------------------------------------------------------- */

static void
put_text(FILE *out, struct span s, bool json)
{
        for (size_t i = 0; i < s.len; i++) {
                unsigned char c = (unsigned char)s.ptr[i];

                if (json && (c == '"' || c == '\\'))
                        fprintf(out, "\\%c", c);
                else if (c < 0x20 || c == 0x7f)
                        fprintf(out, json ? "\\u%04x" : "\\x%02x", c);
                else
                        fputc(c, out);
        }
}

/* Quoted and not too long: never in the middle of a character. */
static void
put_quoted(FILE *out, struct span s, bool json)
{
        size_t n = s.len;

        if (n > VALUE_SHOWN)
                for (n = VALUE_SHOWN; n > 0 && ((unsigned char)s.ptr[n] & 0xc0) == 0x80;)
                        n--;
        fputs(json ? "\\\"" : "\"", out);
        put_text(out, (struct span){ s.ptr, n }, json);
        fputs(n < s.len ? "..." : "", out);
        fputs(json ? "\\\"" : "\"", out);
}

/* "users", "f-{n}.txt", "{id:int}" */
static void
put_segment(FILE *out, const struct segment *seg, bool json)
{
        for (uint32_t i = 0; i < seg->count; i++) {
                const struct pattern_piece *piece = seg->pieces[i];

                if (!piece->is_param) {
                        put_text(out, piece->text, json);
                        continue;
                }
                fputc('{', out);
                put_text(out, piece->name, json);
                if (piece->type != RT_STR)
                        fprintf(out, ":%s", type_names[piece->type]);
                if (piece->type == RT_RE) {
                        fputc('(', out);
                        put_text(out, piece->text, json);
                        fputc(')', out);
                }
                fputc('}', out);
        }
}

static void
lacks_path(struct lacks *l, const struct reading *g, enum path_fit fit, uint32_t at)
{
        struct explaining *e = l->e;
        bool slash = e->q->path.ptr[e->q->path.len - 1] == '/';
        FILE *out = fit == FIT_WHOLE ? NULL : lack(l);

        if (out != NULL && fit == FIT_SLASH) {
                fputs(slash ? "the path without the slash at its end" : "a slash at the path's end", out);
        } else if (out != NULL && (fit == FIT_REGEX || g->pattern.is_regex)) {
                fputs("its regex does not take the whole path", out);
        } else if (out != NULL && fit == FIT_SHORTER) {
                fprintf(out, "an end: it has %u segments, the path %u", (unsigned)g->segment_count, (unsigned)e->part_count);
        } else if (out != NULL && fit == FIT_LONGER) {
                fprintf(out, "segment %u: it wants ", (unsigned)at + 1);
                if (g->segments[at].count == 0)
                        fputs("a slash", out);
                put_segment(out, &g->segments[at], e->json);
                fputs(", the path ends before it", out);
        } else if (out != NULL) {
                const struct segment *seg = &g->segments[at];

                fprintf(out, "segment %u: ", (unsigned)at + 1);
                put_quoted(out, part_for(e, g, at), e->json);
                if (seg->count == 0) {
                        fputs(" stands where this route has nothing", out);
                } else if (seg->count == 1 && seg->pieces[0]->is_param) {
                        fprintf(out, " is %s", type_words[seg->pieces[0]->type]);
                } else {
                        fputs(" is not ", out);
                        put_segment(out, seg, e->json);
                }
        }
        if (fit != FIT_WHOLE)
                lack_end(l);
}

static void
all_lacks(struct lacks *l, const struct reading *g, enum path_fit fit, uint32_t at)
{
        const struct route *route = &l->e->r->given[g->route];
        bool ignores = fit == FIT_SLASH && route->trailing_slash == SLASH_IGNORE;

        if (!ignores)
                lacks_path(l, g, fit, at);
        lacks_method(l, route);
        lacks_selector(l, &g->select);
        lacks_conditions(l, &route->when);
        if (ignores && l->count == 0)
                lack_words(l, "the path as it is: it ignores a slash at the end, but a route that needs not goes first");
}

/* ---- precedence ------------------------------------------------------------------------------------------------------------------------ */

static const char *
selector_reason(const struct selector *a, const struct selector *b)
{
        if (a->has_addr != b->has_addr)
                return "a listener's address goes before any address";
        if ((a->port != 0) != (b->port != 0))
                return "a port goes before any port";
        if (a->host_kind != b->host_kind)
                return a->host_kind == HOST_EXACT ? "an exact host goes before others" : "a host goes before any host";
        return "the longer host goes first";
}

/* What a segment is, in the words of README.md. */
static const char *
segment_kind(const struct segment *seg, char out[32])
{
        if (seg->count == 0 || (seg->count == 1 && !seg->pieces[0]->is_param))
                return "a literal";
        if (seg->count > 1)
                return "a literal with a parameter in it";
        snprintf(out, 32, "%s", type_names[seg->pieces[0]->type]);
        return out;
}

/* The first segment in which two templates are of different kinds: 0 and the words, or -1. */
static int
segment_reason(const struct reading *a, const struct reading *b, char *out, size_t room)
{
        for (uint32_t k = 0; k < a->segment_count && k < b->segment_count; k++) {
                char one[32], two[32];
                const char *first = segment_kind(&a->segments[k], one), *second = segment_kind(&b->segments[k], two);

                if (strcmp(first, second) != 0) {
                        snprintf(out, room, "in segment %u %s goes before %s", (unsigned)k + 1, first, second);
                        return 0;
                }
        }
        return -1;
}

/* Why a goes before b, both taking the request. */
static void
put_reason(const struct explaining *e, const struct reading *a, const struct reading *b)
{
        const struct route *one = &e->r->given[a->route], *two = &e->r->given[b->route];
        char words[160];

        if (select_compare(&a->select, &b->select) != 0)
                fputs(selector_reason(&a->select, &b->select), e->out);
        else if (two->fallback && !one->fallback)
                fputs("the other is the rest of a mounted app, which comes last", e->out);
        else if (a->pattern.is_regex && one->first && !(b->pattern.is_regex && two->first))
                fputs("it is a regex with first: true", e->out);
        else if (b->pattern.is_regex && !a->pattern.is_regex)
                fputs("templates go before regexes", e->out);
        else if (!a->pattern.is_regex && segment_reason(a, b, words, sizeof(words)) == 0)
                fputs(words, e->out);
        else if (route_when_count(&one->when) > route_when_count(&two->when))
                fputs("it has more conditions", e->out);
        else
                fputs(a->pattern.is_regex ? "it stands first in the file" : "its literal text is longer, or it stands first in the file", e->out);
}

/* ---- the nearest others ----------------------------------------------------------------------------------------------------------------- */

/* Of two short paths that differ in their first word: could one have been meant for the other? */
static bool
first_looks_alike(struct explaining *e, const struct reading *g)
{
        const struct segment *seg = &g->segments[0];
        struct span part = part_for(e, g, 0);
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
        all_lacks(&l, g, FIT_WHOLE, 0);
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
                if ((fine = read_route(e->r, n.route, a, &g) == 0)) {
                        n.fit = path_fit(e, &g, a, &n.at);
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
                put_text(e->out, span_of(router_pattern_text(e->r, index)), true);
                fprintf(e->out, "\",\"methods\":\"%s\",\"class\":\"%s\",\"file\":\"", route->methods == M_ANY ? "*" : methods, router_class(e->r, index));
                put_text(e->out, span_of(route->place.file), true);
                fprintf(e->out, "\",\"line\":%u", (unsigned)route->place.line);
                return;
        }
        if (route->methods != M_ANY)
                fprintf(e->out, "%s ", methods);
        if ((selector = router_selector_text(e->r, index)) != NULL && strcmp(selector, "*") != 0)
                fprintf(e->out, "[%s] ", selector);
        free(selector);
        put_text(e->out, span_of(router_pattern_text(e->r, index)), false);
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
                put_text(e->out, p->name, e->json);
                fprintf(e->out, e->json ? "\",\"type\":\"%s\",\"value\":\"" : " (%s) = \"", type_names[p->type]);
                put_text(e->out, p->value, e->json);
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
        int r = a != NULL && (count == 0 || read_route(e->r, winner, a, &first) == 0) ? 0 : -1;

        if (e->json)
                fputs(",\"before\":[", e->out);
        for (size_t i = 0; r == 0 && i < count; i++) {
                if ((r = read_route(e->r, next[i].route, a, &second)) < 0)
                        break;
                fputs(!e->json ? "  before " : i > 0 ? ",{" : "{", e->out);
                put_route(e, next[i].route);
                fputs(e->json ? ",\"why\":\"" : ": ", e->out);
                put_reason(e, &first, &second);
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

                if ((r = a != NULL ? read_route(e->r, near[i].route, a, &g) : -1) == 0) {
                        fputs(!e->json ? "    " : i > 0 ? ",{" : "{", e->out);
                        put_route(e, near[i].route);
                        fputs(e->json ? ",\"lacks\":[" : "\n        ", e->out);
                        e->steps = 0;
                        all_lacks(&l, &g, near[i].fit, near[i].at);
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
                put_addr(out, &s->addr);
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
        FILE *out = a != NULL && read_route(r, route, a, &g) == 0 ? open_memstream(&text, &len) : NULL;

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
        struct route type_routes[TYPE_PATHS];
        struct explaining e = { .r = r, .s = s, .q = q, .json = json };
        char *text = NULL, *whole = NULL;
        size_t len;
        int failed = -1;

        e.types = types_new(type_routes);
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
