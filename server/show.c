/* show.c - a generation as text for heartctl: every setting with the line it came from, every route in order of precedence.
 * SPDX-License-Identifier: MIT
 * From: ctl.c and heartctl check.   Runs in: the master or heartctl. Pure but for malloc. */
#include "generation.h"

#include <stdio.h>
#include <stdlib.h>

#include "../router/memstream.h"
#include "json.h"

enum { COLUMN_MAX = 48 }; /* where the place begins, for most settings */

/* ---- show ------------------------------------------------------------------------------------------------------------------------------ */

static int
origin_compare(const void *a, const void *b)
{
        return strverscmp(((const struct key_origin *)a)->path, ((const struct key_origin *)b)->path);
}

/* Text from the file on one line of a terminal. */
static void
put_value(FILE *out, const char *s)
{
        if (*s == '\0')
                fputs("\"\"", out);
        for (; *s != '\0'; s++) {
                if ((unsigned char)*s >= 0x20 && *s != 0x7f)
                        fputc(*s, out);
                else if (*s == '\n')
                        fputs("\\n", out);
                else
                        fprintf(out, "\\x%02x", (unsigned char)*s);
        }
}

static void
put_origin(FILE *out, const struct key_origin *o)
{
        long start = ftell(out), width;

        fprintf(out, "%s = ", o->path);
        put_value(out, o->value);
        width = ftell(out) - start;
        fprintf(out, "%*s", width < COLUMN_MAX ? (int)(COLUMN_MAX - width) : 2, "");
        if (o->place.line > 0)
                fprintf(out, "%s:%u\n", o->place.file, (unsigned)o->place.line);
        else
                fputs("(default)\n", out);
}

static void
put_origin_json(struct json *j, const struct key_origin *o)
{
        json_begin(j, '{');
        json_key(j, "key");
        json_str(j, o->path);
        json_key(j, "value");
        json_str(j, o->value);
        json_key(j, "file");
        json_str(j, o->place.line > 0 ? o->place.file : NULL);
        json_key(j, "line");
        json_uint(j, o->place.line);
        json_end(j, '}');
}

char *
generation_show(const struct generation *g, bool json)
{
        struct key_origin *list = calloc(g->origins.count + 1, sizeof(*list));
        char *text = NULL;
        size_t len;
        FILE *out = list != NULL ? open_memstream(&text, &len) : NULL;
        struct json j = { .out = out };

        if (out == NULL) {
                free(list);
                return NULL;
        }
        if (g->origins.count > 0)
                memcpy(list, g->origins.list, g->origins.count * sizeof(*list));
        qsort(list, g->origins.count, sizeof(*list), origin_compare);
        if (json)
                json_begin(&j, '[');
        for (size_t i = 0; i < g->origins.count; i++) {
                if (json)
                        put_origin_json(&j, &list[i]);
                else
                        put_origin(out, &list[i]);
        }
        if (json)
                json_end(&j, ']');
        free(list);
        return memstream_close(out, &text);
}

/* ---- routes ---------------------------------------------------------------------------------------------------------------------------- */

enum { COL_ORDER, COL_SELECTOR, COL_METHODS, COL_PATTERN, COL_CLASS, COL_CONDITIONS, COL_ACTION, COL_PLACE, COL_COUNT };
static const char *const COLUMNS[COL_COUNT] = { "#", "selector", "methods", "pattern", "class", "conditions", "action", "file:line" };

struct row { char *cells[COL_COUNT]; };

char *
route_action_text(const struct generation *g, const struct route *r)
{
        char *text = NULL;
        int n = -1;

        switch (r->action) {
        case ROUTE_RESPOND:
                n = asprintf(&text, "respond %u", (unsigned)r->respond.status);
                break;
        case ROUTE_STATIC:
                n = asprintf(&text, "static %s", r->static_files.root);
                break;
        case ROUTE_REDIRECT:
                n = asprintf(&text, "redirect %u %s", (unsigned)r->redirect.status, r->redirect.to);
                break;
        case ROUTE_REWRITE:
                n = asprintf(&text, "rewrite %s", r->rewrite);
                break;
        case ROUTE_PYTHON:
                n = asprintf(&text, "python %s", r->python);
                break;
        case ROUTE_APP:
                if (r->app_index < g->bundle.app_count && g->bundle.apps[r->app_index].pool_id == 0)
                        n = asprintf(&text, "app %s (not running)", r->app);
                else if (r->fallback)
                        n = asprintf(&text, "app %s (the rest)", r->app);
                else
                        n = asprintf(&text, "app %s", r->app);
                break;
        case ROUTE_NONE:
                n = asprintf(&text, "nothing");
                break;
        }
        return n >= 0 ? text : NULL;
}

static void
put_facts(FILE *out, const char *what, const struct key_map *map)
{
        for (size_t i = 0; i < map->count; i++)
                if (strcmp(map->values[i], "*") == 0)
                        fprintf(out, "%s%s %s", ftell(out) > 0 ? ", " : "", what, map->keys[i]);
                else
                        fprintf(out, "%s%s %s: %s", ftell(out) > 0 ? ", " : "", what, map->keys[i], map->values[i]);
}

/* "https, from 10.0.0.0/8, header x-api: 2" or "-". */
static char *
conditions_text(const struct route_when *w)
{
        char *text = NULL;
        size_t len;
        FILE *out = open_memstream(&text, &len);

        if (out == NULL)
                return NULL;
        if (w->scheme != WHEN_ANY)
                fputs(w->scheme == WHEN_HTTPS ? "https" : "http", out);
        for (size_t i = 0; i < w->source.count; i++)
                fprintf(out, "%s%s", i > 0 ? " or " : ftell(out) > 0 ? ", from " : "from ", w->source.list[i]);
        put_facts(out, "header", &w->headers);
        put_facts(out, "query", &w->query);
        put_facts(out, "cookie", &w->cookies);
        if (ftell(out) == 0)
                fputc('-', out);
        return memstream_close(out, &text);
}

static char *
methods_text(uint32_t mask)
{
        char text[128] = "";

        if (mask == M_ANY)
                return strdup("*");
        router_methods_text(mask, text, sizeof(text));
        return strdup(text);
}

static void
row_fini(struct row *row)
{
        for (size_t i = 0; i < COL_COUNT; i++)
                free(row->cells[i]);
}

static bool
row_fill(const struct generation *g, size_t order, uint32_t index, struct row *row)
{
        const struct route *r = &g->routes[index];
        bool whole = true;
        int n;

        memset(row, 0, sizeof(*row));
        n = asprintf(&row->cells[COL_ORDER], "%zu", order + 1);
        row->cells[COL_ORDER] = n < 0 ? NULL : row->cells[COL_ORDER];
        row->cells[COL_SELECTOR] = router_selector_text(g->router, index);
        row->cells[COL_METHODS] = methods_text(r->methods);
        row->cells[COL_PATTERN] = strdup(router_pattern_text(g->router, index));
        row->cells[COL_CLASS] = strdup(router_class(g->router, index));
        row->cells[COL_CONDITIONS] = conditions_text(&r->when);
        row->cells[COL_ACTION] = route_action_text(g, r);
        n = asprintf(&row->cells[COL_PLACE], "%s:%u", r->place.file != NULL ? r->place.file : "", (unsigned)r->place.line);
        row->cells[COL_PLACE] = n < 0 ? NULL : row->cells[COL_PLACE];
        for (size_t i = 0; i < COL_COUNT; i++)
                whole &= row->cells[i] != NULL;
        return whole;
}

/* Columns as people count them: UTF-8 continuation bytes take none. */
static size_t
width_of(const char *s)
{
        size_t n = 0;

        for (; *s != '\0'; s++)
                n += ((unsigned char)*s & 0xc0) != 0x80;
        return n;
}

static void
put_table(FILE *out, const struct row *rows, size_t count)
{
        size_t width[COL_COUNT];

        for (size_t k = 0; k < COL_COUNT; k++) {
                width[k] = strlen(COLUMNS[k]);
                for (size_t i = 0; i < count; i++)
                        if (width_of(rows[i].cells[k]) > width[k])
                                width[k] = width_of(rows[i].cells[k]);
        }
        for (size_t i = 0; i <= count; i++)
                for (size_t k = 0; k < COL_COUNT; k++) {
                        const char *cell = i == 0 ? COLUMNS[k] : rows[i - 1].cells[k];

                        for (const char *p = cell; *p != '\0'; p++)
                                fputc((unsigned char)*p < 0x20 || *p == 0x7f ? '?' : *p, out);
                        if (k + 1 == COL_COUNT)
                                fputc('\n', out);
                        else
                                fprintf(out, "%*s", (int)(width[k] - width_of(cell) + 2), "");
                }
}

static void
put_route_json(struct json *j, const struct generation *g, uint32_t index, const struct row *row)
{
        const struct route *r = &g->routes[index];

        json_begin(j, '{');
        json_key(j, "order");
        json_raw(j, row->cells[COL_ORDER]);
        for (size_t k = COL_SELECTOR; k <= COL_ACTION; k++) {
                json_key(j, COLUMNS[k]);
                json_str(j, row->cells[k]);
        }
        json_key(j, "app");
        json_str(j, r->app);
        json_key(j, "file");
        json_str(j, r->place.file);
        json_key(j, "line");
        json_uint(j, r->place.line);
        json_end(j, '}');
}

char *
generation_routes(const struct generation *g, bool json)
{
        uint32_t *order = calloc(g->route_count + 1, sizeof(*order));
        struct row *rows = calloc(g->route_count + 1, sizeof(*rows));
        size_t count = 0, filled = 0, len;
        char *text = NULL;
        FILE *out = order != NULL && rows != NULL ? open_memstream(&text, &len) : NULL;
        struct json j = { .out = out };
        bool whole = out != NULL;

        if (whole && g->router != NULL)
                count = router_order(g->router, order, g->route_count);
        while (whole && filled < count) {
                whole = row_fill(g, filled, order[filled], &rows[filled]);
                filled++;
        }
        if (whole && json) {
                json_begin(&j, '[');
                for (size_t i = 0; i < count; i++)
                        put_route_json(&j, g, order[i], &rows[i]);
                json_end(&j, ']');
        } else if (whole) {
                put_table(out, rows, count);
        }
        for (size_t i = 0; i < filled; i++)
                row_fini(&rows[i]);
        free(rows);
        free(order);
        if (out == NULL)
                return NULL;
        text = memstream_close(out, &text);
        if (whole)
                return text;
        free(text);
        return NULL;
}
