/* naive.h - a matcher that is too simple to be wrong: it tries every route, one after the other, and sorts those that match.
 * SPDX-License-Identifier: MIT
 * Made from router/README.md alone; it shares no line and no idea with router/. test_match.c compares the two, t/bench shows what the trie saves.
 * Small inputs only: recursive, allocates nothing, PCRE2 without JIT for every re(...) and every ~regex. */
#ifndef HEART_NAIVE_H
#define HEART_NAIVE_H

#define PCRE2_CODE_UNIT_WIDTH 8
#include <errno.h>
#include <pcre2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "router/router.h"

enum { NAIVE_SEGMENTS = 24, NAIVE_PIECES = 9 };
enum naive_class { N_LITERAL, N_MIXED, N_TYPED, N_STR, N_PATH };

struct naive_piece { bool is_param; const char *text; size_t len; int type; pcre2_code *code; };
struct naive_segment {
        struct naive_piece pieces[NAIVE_PIECES];
        int count;
        enum naive_class class;
        const char *text; /* with its parameters' names: not comparable */
        char shape[128];  /* without them */
        size_t prefix, others; /* literal bytes before the first parameter, and behind it */
};
struct naive_route {
        const struct route *route;
        struct naive_segment segments[NAIVE_SEGMENTS];
        int count;
        pcre2_code *regex;
        /* selector, written by the test */
        int has_addr, has_port;
        int host_kind; /* 0 any, 1 *.x, 2 exact */
        size_t host_len;
};

struct naive_values { struct span list[ROUTER_PARAMS_MAX]; int count; };

static pcre2_code *
naive_regex(const char *p, size_t len)
{
        int e;
        PCRE2_SIZE at;

        return pcre2_compile((PCRE2_SPTR)p, len, PCRE2_UTF | PCRE2_ANCHORED | PCRE2_ENDANCHORED, &e, &at, NULL);
}

static int
naive_type(const char *p, size_t len)
{
        static const char *const words[] = { "int", "float", "bool", "uuid", "slug", "path" };
        static const int types[] = { RT_INT, RT_FLOAT, RT_BOOL, RT_UUID, RT_SLUG, RT_PATH };

        for (int i = 0; i < 6; i++)
                if (strlen(words[i]) == len && memcmp(words[i], p, len) == 0)
                        return types[i];
        return len >= 3 && memcmp(p, "re(", 3) == 0 ? RT_RE : RT_STR;
}

/* p stands at '/' of a segment; returns where the next one begins, NULL at the end. */
static const char *
naive_segment(const char *p, struct naive_segment *s)
{
        const char *start = ++p;
        size_t n = 0;

        memset(s, 0, sizeof(*s));
        s->text = start;
        while (*p != '\0' && *p != '/') {
                struct naive_piece *x = &s->pieces[s->count++];

                if (*p == '{') {
                        const char *colon = p, *end = p;
                        int depth = 0;

                        for (; depth > 0 || *end != '}'; end++)
                                depth += (*end == '(') - (*end == ')');
                        for (; colon < end && *colon != ':'; colon++)
                                ;
                        x->is_param = true;
                        x->type = colon < end ? naive_type(colon + 1, (size_t)(end - colon) - 1) : RT_STR;
                        if (x->type == RT_RE)
                                x->code = naive_regex(colon + 4, (size_t)(end - colon) - 5);
                        n += (size_t)snprintf(s->shape + n, sizeof(s->shape) - n, "{%.*s}", (int)(end - colon), colon);
                        p = end + 1;
                } else {
                        x->text = p;
                        while (*p != '\0' && *p != '/' && *p != '{')
                                p++;
                        x->len = (size_t)(p - x->text);
                        n += (size_t)snprintf(s->shape + n, sizeof(s->shape) - n, "%.*s", (int)x->len, x->text);
                        *(x == s->pieces ? &s->prefix : &s->others) += x->len;
                }
        }
        if (s->count == 0 || (s->count == 1 && !s->pieces[0].is_param))
                s->class = N_LITERAL;
        else if (s->count > 1)
                s->class = N_MIXED;
        else
                s->class = s->pieces[0].type == RT_STR ? N_STR : s->pieces[0].type == RT_PATH ? N_PATH : N_TYPED;
        return *p == '/' ? p : NULL;
}

static void
naive_parse(struct naive_route *n, const struct route *route)
{
        memset(n, 0, sizeof(*n));
        n->route = route;
        if (route->path[0] == '~') {
                n->regex = naive_regex(route->path + 1, strlen(route->path) - 1);
                return;
        }
        for (const char *p = route->path; p != NULL;)
                p = naive_segment(p, &n->segments[n->count++]);
}

static void
naive_forget(struct naive_route *n)
{
        pcre2_code_free(n->regex);
        for (int i = 0; i < n->count; i++)
                for (int k = 0; k < n->segments[i].count; k++)
                        pcre2_code_free(n->segments[i].pieces[k].code);
}

static bool
naive_pcre(pcre2_code *code, const char *p, size_t len, struct naive_values *named)
{
        pcre2_match_data *data = pcre2_match_data_create(64, NULL);
        bool yes = pcre2_match(code, (PCRE2_SPTR)p, len, 0, 0, data, NULL) >= 0;

        if (yes && named != NULL) {
                const PCRE2_SIZE *v = pcre2_get_ovector_pointer(data);
                uint32_t groups = 0;

                pcre2_pattern_info(code, PCRE2_INFO_CAPTURECOUNT, &groups);
                named->count = 0;
                for (uint32_t g = 1; g <= groups; g++) /* the tests' regexes name all their groups */
                        named->list[named->count++] = v[2 * g] == PCRE2_UNSET ? (struct span){ p, 0 } : (struct span){ p + v[2 * g], v[2 * g + 1] - v[2 * g] };
        }
        pcre2_match_data_free(data);
        return yes;
}

static size_t
naive_span(const char *p, size_t len, const char *set)
{
        size_t i = 0;

        while (i < len && strchr(set, p[i]) != NULL)
                i++;
        return i;
}

#define NAIVE_DIGITS "0123456789"

static bool
naive_takes(const struct naive_piece *x, const char *p, size_t len)
{
        size_t minus = len > 0 && p[0] == '-', d;
        char text[40];

        if (len == 0)
                return false;
        switch (x->type) {
        case RT_INT:
                d = len - minus;
                if (d < 1 || d > 19 || naive_span(p + minus, d, NAIVE_DIGITS) != d)
                        return false;
                snprintf(text, sizeof(text), "%.*s", (int)len, p);
                errno = 0;
                (void)strtoll(text, NULL, 10);
                return errno == 0;
        case RT_FLOAT:
                p += minus;
                len -= minus;
                d = naive_span(p, len, NAIVE_DIGITS);
                if (d == 0 || d > 32)
                        return false;
                if (d == len)
                        return true;
                return p[d] == '.' && len - d - 1 >= 1 && len - d - 1 <= 32 && naive_span(p + d + 1, len - d - 1, NAIVE_DIGITS) == len - d - 1;
        case RT_BOOL:
                return (len == 4 && memcmp(p, "true", 4) == 0) || (len == 5 && memcmp(p, "false", 5) == 0);
        case RT_UUID:
                if (len != 36)
                        return false;
                for (size_t i = 0; i < 36; i++)
                        if (i == 8 || i == 13 || i == 18 || i == 23 ? p[i] != '-' : strchr(NAIVE_DIGITS "abcdefABCDEF", p[i]) == NULL)
                                return false;
                return true;
        case RT_SLUG:
                return naive_span(p, len, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_-" NAIVE_DIGITS) == len;
        case RT_RE:
                return naive_pcre(x->code, p, len, NULL);
        default:
                return true;
        }
}

/* Shortest texts first, everything tried. */
static bool
naive_split(const struct naive_piece *x, int count, const char *p, size_t len, struct naive_values *v)
{
        if (count == 0)
                return len == 0;
        if (!x->is_param)
                return len >= x->len && memcmp(p, x->text, x->len) == 0 && naive_split(x + 1, count - 1, p + x->len, len - x->len, v);
        for (size_t n = 1; n <= len; n++) {
                int had = v->count;

                if (naive_takes(x, p, n)) {
                        v->list[v->count++] = (struct span){ p, n };
                        if (naive_split(x + 1, count - 1, p + n, len - n, v))
                                return true;
                        v->count = had;
                }
        }
        return false;
}

static bool
naive_matches(const struct naive_route *r, struct span path, struct naive_values *v)
{
        const char *p = path.ptr, *end = path.ptr + path.len;

        v->count = 0;
        if (r->regex != NULL)
                return naive_pcre(r->regex, path.ptr, path.len, v);
        for (int i = 0; i < r->count; i++) {
                const char *slash;

                if (p == end || *p != '/')
                        return false;
                p++;
                if (r->segments[i].class == N_PATH) {
                        v->list[v->count++] = (struct span){ p, (size_t)(end - p) };
                        return true;
                }
                slash = memchr(p, '/', (size_t)(end - p));
                if (slash == NULL)
                        slash = end;
                if (!naive_split(r->segments[i].pieces, r->segments[i].count, p, (size_t)(slash - p), v))
                        return false;
                p = slash;
        }
        return p == end;
}

static bool
naive_same_selector(const struct naive_route *a, const struct naive_route *b)
{
        const char *ha = a->route->host != NULL ? a->route->host : "", *hb = b->route->host != NULL ? b->route->host : "";
        const char *oa = a->route->on != NULL ? a->route->on : "", *ob = b->route->on != NULL ? b->route->on : "";

        return strcmp(ha, hb) == 0 && strcmp(oa, ob) == 0;
}

/* The first route that has the same segments up to and with `upto`. */
static size_t
naive_arrival(const struct naive_route *all, size_t i, int upto)
{
        for (size_t k = 0; k < i; k++) {
                int s = 0;

                if (all[k].regex != NULL || all[k].count <= upto || !naive_same_selector(&all[k], &all[i]))
                        continue;
                while (s <= upto && strcmp(all[k].segments[s].shape, all[i].segments[s].shape) == 0)
                        s++;
                if (s > upto)
                        return k;
        }
        return i;
}

static int
naive_order(int a, int b)
{
        return (a > b) - (a < b);
}

static int
naive_params(const struct naive_segment *s)
{
        int n = 0;

        for (int i = 0; i < s->count; i++)
                n += s->pieces[i].is_param;
        return n;
}

/* The first route with the same regex, where such routes stand all together. */
static size_t
naive_first_of_regex(const struct naive_route *all, size_t i)
{
        for (size_t k = 0; k < i; k++)
                if (strcmp(all[k].route->path, all[i].route->path) == 0 && naive_same_selector(&all[k], &all[i]) && all[k].route->first == all[i].route->first &&
                    all[k].route->fallback == all[i].route->fallback)
                        return k;
        return i;
}

/* Templates of one selector that both match one path: < 0, a is the stronger. 0: the same pattern. */
static int
naive_templates(const struct naive_route *all, size_t a, size_t b)
{
        static const int ranks[] = { [RT_INT] = 0, [RT_FLOAT] = 1, [RT_BOOL] = 2, [RT_UUID] = 3, [RT_RE] = 4, [RT_SLUG] = 5, [RT_STR] = 6, [RT_PATH] = 7 };

        for (int i = 0; i < all[a].count && i < all[b].count; i++) {
                const struct naive_segment *x = &all[a].segments[i], *y = &all[b].segments[i];

                if (strcmp(x->shape, y->shape) == 0)
                        continue;
                if (x->class != y->class)
                        return (int)x->class - (int)y->class;
                if (x->class == N_MIXED) {
                        int nx = x->prefix > 0, ny = y->prefix > 0;

                        if (x->prefix != y->prefix)
                                return x->prefix > y->prefix ? -1 : 1;
                        if (x->others != y->others)
                                return x->others > y->others ? -1 : 1;
                        for (; nx < x->count && ny < y->count; nx += 2, ny += 2)
                                if (x->pieces[nx].type != y->pieces[ny].type)
                                        return ranks[x->pieces[nx].type] - ranks[y->pieces[ny].type];
                        if (naive_params(x) != naive_params(y))
                                return naive_params(y) - naive_params(x);
                }
                if (x->class == N_TYPED && x->pieces[0].type != y->pieces[0].type)
                        return ranks[x->pieces[0].type] - ranks[y->pieces[0].type];
                return naive_arrival(all, a, i) < naive_arrival(all, b, i) ? -1 : 1;
        }
        return 0;
}

static int
naive_compare(const struct naive_route *all, size_t a, size_t b)
{
        const struct naive_route *x = &all[a], *y = &all[b];
        int r;

        if ((r = naive_order(y->has_addr, x->has_addr)) != 0 || (r = naive_order(y->has_port, x->has_port)) != 0 ||
            (r = naive_order(y->host_kind, x->host_kind)) != 0 || (r = naive_order((int)y->host_len, (int)x->host_len)) != 0)
                return r;
        if (x->regex != NULL || y->regex != NULL) {
                int place_x = x->regex == NULL ? 1 : x->route->first ? 0 : 2, place_y = y->regex == NULL ? 1 : y->route->first ? 0 : 2;

                if (place_x != place_y)
                        return place_x - place_y;
                return naive_order((int)naive_first_of_regex(all, a), (int)naive_first_of_regex(all, b));
        }
        return naive_templates(all, a, b);
}

/* 2: the route names the method; 1: HEAD by way of GET; 0: no. */
static int
naive_method(const struct route *r, uint32_t method)
{
        if (r->methods & method)
                return 2;
        return method == M_HEAD && (r->methods & M_GET) != 0;
}

/* The routes that take one spelling of the path. other: it is not the one that was asked for, so only what its trailing_slash lets count does. */
struct naive_best { size_t best[2]; uint32_t allow[2]; }; /* [1]: of fallbacks */

static struct naive_best
naive_run(const struct naive_route *all, size_t count, const bool *selected, struct span path, uint32_t method, bool other)
{
        struct naive_best b = { { SIZE_MAX, SIZE_MAX }, { 0, 0 } };
        struct naive_values v;

        for (size_t i = 0; i < count; i++) {
                const struct route *r = all[i].route;
                int f = r->fallback, how, c, more;

                if ((selected != NULL && !selected[i]) || (other && (r->trailing_slash == SLASH_STRICT || f || all[i].regex != NULL)) ||
                    !naive_matches(&all[i], path, &v))
                        continue;
                if (!other || r->trailing_slash == SLASH_IGNORE)
                        b.allow[f] |= r->methods | (r->methods & M_GET ? M_HEAD : 0) | M_OPTIONS;
                if ((how = naive_method(r, method)) == 0)
                        continue;
                c = b.best[f] == SIZE_MAX ? -1 : naive_compare(all, i, b.best[f]);
                if (c == 0) { /* the same pattern: conditions, then who names HEAD itself, then the file */
                        const struct route *had = all[b.best[f]].route;

                        more = (int)route_when_count(&r->when) - (int)route_when_count(&had->when);
                        c = more != 0 ? -more : naive_method(had, method) - how;
                }
                if (c < 0)
                        b.best[f] = i;
        }
        return b;
}

/* With a slash more or less at its end; room holds one byte more. false: there is no other spelling. */
static bool
naive_toggle(struct span path, char *room, struct span *ret)
{
        if (path.len == 1)
                return false;
        memcpy(room, path.ptr, path.len);
        room[path.len] = '/';
        *ret = (struct span){ room, path.ptr[path.len - 1] == '/' ? path.len - 1 : path.len + 1 };
        return true;
}

/* selected: which routes' selectors and conditions take the query (NULL: all). Fills ret as router_match would. */
static enum router_verdict
naive_match(const struct naive_route *all, size_t count, const bool *selected, struct span path, uint32_t method, size_t *ret_route, uint32_t *ret_allow,
            struct naive_values *ret_values)
{
        static char room[1024];
        struct naive_best b = naive_run(all, count, selected, path, method, false);
        struct span toggled;
        int which;

        if (b.allow[0] == 0 && path.len < sizeof(room) && naive_toggle(path, room, &toggled)) {
                struct naive_best o = naive_run(all, count, selected, toggled, method, true);

                if (o.best[0] != SIZE_MAX) {
                        *ret_route = o.best[0];
                        *ret_allow = o.allow[0];
                        naive_matches(&all[o.best[0]], toggled, ret_values);
                        return all[o.best[0]].route->trailing_slash == SLASH_REDIRECT ? ROUTER_SLASH : ROUTER_FOUND;
                }
                if (o.allow[0] != 0) {
                        *ret_allow = o.allow[0];
                        return ROUTER_METHOD;
                }
        }
        which = b.best[0] == SIZE_MAX && b.allow[0] == 0 && b.allow[1] != 0;
        *ret_allow = b.allow[which];
        if (b.best[which] != SIZE_MAX) {
                *ret_route = b.best[which];
                naive_matches(&all[b.best[which]], path, ret_values);
                return ROUTER_FOUND;
        }
        return b.allow[which] != 0 ? ROUTER_METHOD : ROUTER_NOT_FOUND;
}

#endif
