/* explain_words.c - what is lacking, and which of two routes goes first, in words.
 * SPDX-License-Identifier: MIT
 * From: explain.c.   To: text or JSON strings on the caller's stream. */
#include "explain_priv.h"

#include <stdlib.h>

enum {
        VALUE_SHOWN = 60,
};

/* ---- words --------------------------------------------------------------------------------------------------------------------------- */

void
explain_put_text(FILE *out, struct span s, bool json)
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
        explain_put_text(out, (struct span){ s.ptr, n }, json);
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
                        explain_put_text(out, piece->text, json);
                        continue;
                }
                fputc('{', out);
                explain_put_text(out, piece->name, json);
                if (piece->type != RT_STR)
                        fprintf(out, ":%s", explain_type_names[piece->type]);
                if (piece->type == RT_RE) {
                        fputc('(', out);
                        explain_put_text(out, piece->text, json);
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
        FILE *out = fit == FIT_WHOLE ? NULL : explain_lack(l);

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
                put_quoted(out, explain_part(e, g, at), e->json);
                if (seg->count == 0) {
                        fputs(" stands where this route has nothing", out);
                } else if (seg->count == 1 && seg->pieces[0]->is_param) {
                        fprintf(out, " is %s", explain_type_words[seg->pieces[0]->type]);
                } else {
                        fputs(" is not ", out);
                        put_segment(out, seg, e->json);
                }
        }
        if (fit != FIT_WHOLE)
                explain_lack_end(l);
}

void
explain_all_lacks(struct lacks *l, const struct reading *g, enum path_fit fit, uint32_t at)
{
        const struct route *route = &l->e->r->given[g->route];
        bool ignores = fit == FIT_SLASH && route->trailing_slash == SLASH_IGNORE;

        if (!ignores)
                lacks_path(l, g, fit, at);
        explain_lacks_method(l, route);
        explain_lacks_selector(l, &g->select);
        explain_lacks_conditions(l, &route->when);
        if (ignores && l->count == 0)
                explain_lack_words(l, "the path as it is: it ignores a slash at the end, but a route that needs not goes first");
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
        snprintf(out, 32, "%s", explain_type_names[seg->pieces[0]->type]);
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
void
explain_put_reason(const struct explaining *e, const struct reading *a, const struct reading *b)
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
