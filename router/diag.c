/* diag.c - findings: collected in any order, shown in the order of the file.
 * SPDX-License-Identifier: MIT
 * From: yaml.c, keys.c, compile.c, conf.c, tls.c and every reader of what a person wrote.   To: heartctl and heartd, which print.
 * Runs in: the caller's thread.   Limits: DIAGS_MAX findings keep their text, the rest is counted. */
#include "diag.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdlib.h>

#include "memstream.h"
#include "utf8.h"

enum {
        DIAGS_MAX = 1000,  /* nobody reads more, and a file of garbage must not cost its square */
        LINE_SHOWN = 160,  /* bytes of a source line that are shown around the caret */
        WORD_MAX = 48,     /* longer words are not guessed at */
};

static const char *const LEVEL_NAMES[] = { "error", "warning", "note" };

void
diags_init(struct diags *d)
{
        memset(d, 0, sizeof(*d));
}

void
diags_fini(struct diags *d)
{
        if (d == NULL)
                return;
        for (size_t i = 0; i < d->count; i++) {
                free((char *)d->list[i].place.file);
                free(d->list[i].text);
                free(d->list[i].hint);
                free(d->list[i].source);
        }
        free(d->list);
        diags_init(d);
}

static struct diag *
diag_slot(struct diags *d)
{
        struct diag *list;
        size_t room;

        if (d->count >= DIAGS_MAX)
                return NULL;
        if (d->count == d->_room) {
                room = d->_room != 0 ? d->_room * 2 : 8;
                list = realloc(d->list, room * sizeof(*list));
                if (list == NULL)
                        return NULL;
                d->list = list;
                d->_room = room;
        }
        memset(&d->list[d->count], 0, sizeof(*d->list));
        return &d->list[d->count];
}

size_t
diag_add(struct diags *d, enum diag_level level, struct place at, struct span source_line, const char *hint, const char *fmt, ...)
{
        struct diag *g;
        va_list ap;

        if (level == DIAG_ERROR)
                d->error_count++;
        else if (level == DIAG_WARNING)
                d->warning_count++;
        g = diag_slot(d);
        if (g == NULL)
                return d->count > 0 ? d->count - 1 : 0;
        g->level = level;
        g->place = at;
        g->place.file = at.file != NULL ? strdup(at.file) : NULL;
        g->hint = hint != NULL ? strdup(hint) : NULL;
        g->source = source_line.ptr != NULL ? strndup(source_line.ptr, source_line.len) : NULL;
        va_start(ap, fmt);
        if (vasprintf(&g->text, fmt, ap) < 0)
                g->text = NULL;
        va_end(ap);
        return d->count++;
}

/* ---- text ------------------------------------------------------------------------------------------------------------- */

/* Characters that would move the cursor, or turn the direction of what follows, are as good as unprintable. */
static bool
is_printable(uint32_t c)
{
        return c >= 0x20 && !(c >= 0x7f && c < 0xa0) && !(c >= 0x2028 && c <= 0x202e) && !(c >= 0x2066 && c <= 0x2069) && c != 0xfeff;
}

/* Writes bytes with what is not printable escaped; returns the columns taken. out NULL: only counts. */
static size_t
put_printable(FILE *out, const char *p, size_t len)
{
        size_t columns = 0;

        while (len > 0) {
                uint32_t c = 0;
                unsigned n = utf8_decode(p, len, &c);

                if (n > 0 && is_printable(c)) {
                        if (out != NULL)
                                fwrite(p, 1, n, out);
                        columns++;
                } else if (n == 1 && c == '\t') {
                        if (out != NULL)
                                fputs("\\t", out);
                        columns += 2;
                } else {
                        n = n > 0 ? n : 1;
                        for (unsigned i = 0; i < n && out != NULL; i++)
                                fprintf(out, "\\x%02x", (unsigned char)p[i]);
                        columns += (size_t)4 * n;
                }
                p += n;
                len -= n;
        }
        return columns;
}

/* Back to where a character begins: at most three bytes, since what is no UTF-8 has no beginning to find. */
static size_t
char_start(const char *line, size_t at)
{
        for (unsigned i = 0; i < 3 && at > 0 && ((unsigned char)line[at] & 0xc0) == 0x80; i++)
                at--;
        return at;
}

/* The line and the caret below it. A long line is cut to the part around the caret. */
static void
put_source(FILE *out, const struct diag *g)
{
        size_t len = strlen(g->source), col = g->place.col > 0 ? g->place.col - 1 : 0, from = 0, to, under, columns;

        if (col > len)
                col = len;
        if (col > LINE_SHOWN / 2 && len > LINE_SHOWN)
                from = char_start(g->source, col - LINE_SHOWN / 2);
        to = len - from > LINE_SHOWN ? char_start(g->source, from + LINE_SHOWN) : len;
        fprintf(out, "%5u | %s", (unsigned)g->place.line, from > 0 ? "..." : "");
        columns = put_printable(out, g->source + from, col - from) + (from > 0 ? 3 : 0);
        put_printable(out, g->source + col, to - col);
        fprintf(out, "%s\n      | %*s^", to < len ? "..." : "", (int)columns, "");
        under = g->place.len < to - col ? g->place.len : to - col;
        under = put_printable(NULL, g->source + col, under);
        for (size_t i = 1; i < under; i++)
                fputc('~', out);
        if (g->hint != NULL) {
                fputc(' ', out);
                put_printable(out, g->hint, strlen(g->hint));
        }
        fputc('\n', out);
}

static void
put_diag(FILE *out, const struct diag *g)
{
        const char *text = g->text != NULL ? g->text : "out of memory while describing a finding";

        if (g->place.file != NULL) {
                put_printable(out, g->place.file, strlen(g->place.file));
                if (g->place.line > 0)
                        fprintf(out, ":%u", (unsigned)g->place.line);
                if (g->place.line > 0 && g->place.col > 0)
                        fprintf(out, ":%u", (unsigned)g->place.col);
                fputs(": ", out);
        }
        fprintf(out, "%s: ", LEVEL_NAMES[g->level]);
        put_printable(out, text, strlen(text));
        fputc('\n', out);
        if (g->source != NULL && g->place.line > 0) {
                put_source(out, g);
        } else if (g->hint != NULL) {
                fputs("      = ", out);
                put_printable(out, g->hint, strlen(g->hint));
                fputc('\n', out);
        }
}

/* ---- order: by file as files were met, then by place; a finding keeps its notes behind it ------------------------------- */

struct group {
        const struct diag *first;
        size_t count, file_rank, index;
};

static bool
text_is(const char *a, const char *b)
{
        return a == b || (a != NULL && b != NULL && strcmp(a, b) == 0);
}

static int
group_compare(const void *pa, const void *pb)
{
        const struct group *a = pa, *b = pb;

        if (a->file_rank != b->file_rank)
                return a->file_rank < b->file_rank ? -1 : 1;
        if (a->first->place.line != b->first->place.line)
                return a->first->place.line < b->first->place.line ? -1 : 1;
        if (a->first->place.col != b->first->place.col)
                return a->first->place.col < b->first->place.col ? -1 : 1;
        return a->index < b->index ? -1 : 1;
}

static size_t
file_rank(const struct group *groups, size_t count, const char *file)
{
        for (size_t i = 0; i < count; i++)
                if (text_is(groups[i].first->place.file, file))
                        return groups[i].file_rank;
        return count;
}

/* malloc'ed groups in the order to show; a configuration that is read twice reports the same finding once. */
static struct group *
groups_sorted(const struct diags *d, size_t *ret_count)
{
        struct group *g = calloc(d->count + 1, sizeof(*g));
        size_t n = 0, kept = 0;

        if (g == NULL)
                return NULL;
        for (size_t i = 0; i < d->count; i++) {
                if (d->list[i].level == DIAG_NOTE && n > 0) {
                        g[n - 1].count++;
                        continue;
                }
                g[n] = (struct group){ &d->list[i], 1, 0, i };
                g[n].file_rank = file_rank(g, n, d->list[i].place.file);
                n++;
        }
        qsort(g, n, sizeof(*g), group_compare);
        for (size_t i = 0; i < n; i++) {
                const struct diag *now = g[i].first, *last = kept > 0 ? g[kept - 1].first : NULL;

                if (last != NULL && last->level == now->level && last->place.line == now->place.line &&
                    last->place.col == now->place.col && text_is(last->place.file, now->place.file) && text_is(last->text, now->text))
                        continue;
                g[kept++] = g[i];
        }
        *ret_count = kept;
        return g;
}

static size_t
lost_count(const struct diags *d)
{
        size_t kept = 0;

        for (size_t i = 0; i < d->count; i++)
                kept += d->list[i].level != DIAG_NOTE;
        return d->error_count + d->warning_count - kept;
}

char *
diags_format(const struct diags *d)
{
        size_t count, len, lost = lost_count(d);
        struct group *groups = groups_sorted(d, &count);
        char *text = NULL;
        FILE *out;

        if (groups == NULL)
                return NULL;
        out = open_memstream(&text, &len);
        if (out == NULL) {
                free(groups);
                return NULL;
        }
        for (size_t i = 0; i < count; i++)
                for (size_t k = 0; k < groups[i].count; k++)
                        put_diag(out, groups[i].first + k);
        if (lost > 0)
                fprintf(out, "... and %zu more\n", lost);
        free(groups);
        return memstream_close(out, &text);
}

static void
put_json_text(FILE *out, const char *s)
{
        size_t len = s != NULL ? strlen(s) : 0;

        if (s == NULL) {
                fputs("null", out);
                return;
        }
        fputc('"', out);
        while (len > 0) {
                uint32_t c = 0;
                unsigned n = utf8_decode(s, len, &c);

                if (n == 0) {
                        fputs("\\ufffd", out);
                        n = 1;
                } else if (c == '"' || c == '\\') {
                        fprintf(out, "\\%c", (char)c);
                } else if (c < 0x20 || c == 0x7f) {
                        fprintf(out, "\\u%04x", (unsigned)c);
                } else {
                        fwrite(s, 1, n, out);
                }
                s += n;
                len -= n;
        }
        fputc('"', out);
}

static void
put_diag_json(FILE *out, const struct diag *g)
{
        fprintf(out, "{\"level\":\"%s\",\"file\":", LEVEL_NAMES[g->level]);
        put_json_text(out, g->place.file);
        fprintf(out, ",\"line\":%u,\"col\":%u,\"text\":", (unsigned)g->place.line, (unsigned)g->place.col);
        put_json_text(out, g->text != NULL ? g->text : "out of memory while describing a finding");
        fputs(",\"hint\":", out);
        put_json_text(out, g->hint);
        fputc('}', out);
}

char *
diags_format_json(const struct diags *d)
{
        size_t count, len;
        struct group *groups = groups_sorted(d, &count);
        char *text = NULL;
        FILE *out;

        if (groups == NULL)
                return NULL;
        out = open_memstream(&text, &len);
        if (out == NULL) {
                free(groups);
                return NULL;
        }
        fputc('[', out);
        for (size_t i = 0; i < count; i++)
                for (size_t k = 0; k < groups[i].count; k++) {
                        if (i + k > 0)
                                fputc(',', out);
                        put_diag_json(out, groups[i].first + k);
                }
        fputc(']', out);
        free(groups);
        return memstream_close(out, &text);
}

void
diags_print(const struct diags *d, FILE *out)
{
        char *text = diags_format(d);

        fputs(text != NULL ? text : "error: out of memory while printing findings\n", out);
        free(text);
}

/* ---- did you mean --------------------------------------------------------------------------------------------------------- */

static unsigned
least_of(unsigned a, unsigned b, unsigned c)
{
        return a < b ? (a < c ? a : c) : (b < c ? b : c);
}

/* Edit distance in which swapping two neighbours is one step; case does not count. Both at most WORD_MAX long. */
static unsigned
distance(struct span a, struct span b)
{
        unsigned rows[3][WORD_MAX + 1], *older = rows[0], *old = rows[1], *row = rows[2], *spare;

        for (size_t j = 0; j <= b.len; j++)
                old[j] = (unsigned)j;
        for (size_t i = 1; i <= a.len; i++) {
                int ca = tolower((unsigned char)a.ptr[i - 1]);

                row[0] = (unsigned)i;
                for (size_t j = 1; j <= b.len; j++) {
                        int cb = tolower((unsigned char)b.ptr[j - 1]);

                        row[j] = least_of(old[j] + 1, row[j - 1] + 1, old[j - 1] + (ca != cb));
                        if (i > 1 && j > 1 && ca == tolower((unsigned char)b.ptr[j - 2]) && cb == tolower((unsigned char)a.ptr[i - 2]) &&
                            older[j - 2] + 1 < row[j])
                                row[j] = older[j - 2] + 1;
                }
                spare = older;
                older = old;
                old = row;
                row = spare;
        }
        return old[b.len];
}

const char *
diag_nearest(struct span word, const char *const *words, size_t count)
{
        const char *best = NULL;
        unsigned best_distance = 0, d, near_enough;

        if (word.len == 0 || word.len > WORD_MAX)
                return NULL;
        for (size_t i = 0; i < count; i++) {
                struct span w = span_of(words[i]);

                if (w.len == 0 || w.len > WORD_MAX)
                        continue;
                near_enough = (unsigned)(w.len > word.len ? w.len : word.len) / 3;
                if (near_enough == 0)
                        near_enough = 1;
                d = distance(word, w);
                if (d > near_enough || d >= w.len || (d >= word.len && d > 1) || (best != NULL && d >= best_distance))
                        continue;
                best = words[i];
                best_distance = d;
        }
        return best;
}
