/* listing.c - a directory as a page. Contract in listing.h.
 * SPDX-License-Identifier: MIT
 * From: serve_file.c, on a blocking thread.   Folders first, then by name; what the root would not serve is not named either.
 * Names are bytes: in links every byte but the plainest is percent-encoded, in text HTML's own characters are escaped and what is no UTF-8 becomes U+FFFD. */
#include "listing.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <unistd.h>

#include "../router/utf8.h"

struct entry { char *name; bool folder; uint64_t size; time_t modified; };
struct entries { struct entry *list; size_t count, room; bool more; };

/* ---- reading ------------------------------------------------------------------------------------------------------------------ */

static void
entries_fini(struct entries *e)
{
        for (size_t i = 0; i < e->count; i++)
                free(e->list[i].name);
        free(e->list);
}

static int
entries_add(struct entries *e, const char *name, const struct stat *st)
{
        struct entry *one;

        if (e->count == e->room) {
                size_t room = e->room != 0 ? e->room * 2 : 64;
                struct entry *list = realloc(e->list, room * sizeof(*list));

                if (list == NULL)
                        return -ENOMEM;
                e->list = list;
                e->room = room;
        }
        one = &e->list[e->count];
        *one = (struct entry){ .name = strdup(name), .folder = S_ISDIR(st->st_mode), .size = (uint64_t)st->st_size, .modified = st->st_mtim.tv_sec };
        if (one->name == NULL)
                return -ENOMEM;
        e->count++;
        return 0;
}

/* dir is given. */
static int
entries_read(const struct static_root *root, int dir, struct entries *ret)
{
        DIR *d = fdopendir(dir);
        struct dirent *found;
        int e = 0;

        if (d == NULL) {
                e = -errno;
                close(dir);
                return e;
        }
        while (e == 0 && (errno = 0, found = readdir(d)) != NULL) {
                struct stat st;

                if (!static_root_shows(root, dir, found->d_name, &st))
                        continue;
                ret->more = ret->count == LISTING_MAX;
                if (ret->more)
                        break;
                e = entries_add(ret, found->d_name, &st);
        }
        if (e == 0 && found == NULL && errno != 0)
                e = -errno;
        closedir(d);
        return e;
}

static int
compare(const void *a, const void *b)
{
        const struct entry *x = a, *y = b;
        int by_case = strcasecmp(x->name, y->name);

        if (x->folder != y->folder)
                return x->folder ? -1 : 1;
        return by_case != 0 ? by_case : strcmp(x->name, y->name);
}

/* ---- writing ------------------------------------------------------------------------------------------------------------------- */

#define ADD(o, text) out_add_span((o), SPAN_LIT(text))

static void
add_link(struct out *o, struct span name)
{
        for (size_t i = 0; i < name.len; i++) {
                unsigned char ch = (unsigned char)name.ptr[i];
                char hex[4];

                if ((ch >= 'a' && ch <= 'z') || (ch >= 'A' && ch <= 'Z') || (ch >= '0' && ch <= '9') || ch == '-' || ch == '.' || ch == '_' || ch == '~')
                        out_add(o, (const char *)&ch, 1);
                else
                        out_add(o, hex, (size_t)snprintf(hex, sizeof hex, "%%%02X", ch));
        }
}

static struct span
escape_of(unsigned char ch, bool json, char room[8])
{
        if (json && (ch == '"' || ch == '\\'))
                return (struct span){ room, (size_t)snprintf(room, 8, "\\%c", ch) };
        if (json && ch < 0x20)
                return (struct span){ room, (size_t)snprintf(room, 8, "\\u%04x", ch) };
        if (!json && (ch == '<' || ch == '>' || ch == '&' || ch == '"' || ch == '\''))
                return (struct span){ room, (size_t)snprintf(room, 8, "&#%u;", ch) };
        if (!json && (ch < 0x20 || ch == 0x7f))
                return SPAN_LIT("\xef\xbf\xbd");
        room[0] = (char)ch;
        return (struct span){ room, 1 };
}

static void
add_text(struct out *o, struct span name, bool json)
{
        for (size_t i = 0; i < name.len;) {
                uint32_t character;
                unsigned n = utf8_decode(name.ptr + i, name.len - i, &character);
                char room[8];

                if (n == 0) {
                        ADD(o, "\xef\xbf\xbd");
                        i++;
                } else if (n > 1) {
                        out_add(o, name.ptr + i, n);
                        i += n;
                } else {
                        out_add_span(o, escape_of((unsigned char)name.ptr[i++], json, room));
                }
        }
}

/* For people: 812 B, 4.2 kB, 17 MB. */
static void
add_size(struct out *o, uint64_t size)
{
        static const char *const units[] = { "kB", "MB", "GB", "TB", "PB" };
        double n = (double)size / 1000;
        size_t unit = 0;
        char text[32];

        if (size < 1000) {
                out_add(o, text, (size_t)snprintf(text, sizeof text, "%u B", (unsigned)size));
                return;
        }
        for (; n >= 999.95 && unit < 4; n /= 1000)
                unit++;
        out_add(o, text, (size_t)snprintf(text, sizeof text, n < 10 ? "%.1f %s" : "%.0f %s", n, units[unit]));
}

static void
add_time(struct out *o, time_t when, bool iso)
{
        struct tm tm = { 0 };
        char text[40];

        gmtime_r(&when, &tm);
        out_add(o, text, strftime(text, sizeof text, iso ? "%Y-%m-%dT%H:%M:%SZ" : "%Y-%m-%d %H:%M", &tm));
}

static void
write_json(struct out *o, const struct entries *e, struct span path)
{
        char number[32];

        ADD(o, "{\"path\": \"");
        add_text(o, path, true);
        out_add_span(o, e->more ? SPAN_LIT("\", \"complete\": false, \"entries\": [") : SPAN_LIT("\", \"complete\": true, \"entries\": ["));
        for (size_t i = 0; i < e->count; i++) {
                const struct entry *one = &e->list[i];

                out_add_span(o, i > 0 ? SPAN_LIT(",\n  {\"name\": \"") : SPAN_LIT("\n  {\"name\": \""));
                add_text(o, span_of(one->name), true);
                out_add_span(o, one->folder ? SPAN_LIT("\", \"type\": \"folder\", \"modified\": \"") : SPAN_LIT("\", \"type\": \"file\", \"modified\": \""));
                add_time(o, one->modified, true);
                if (one->folder)
                        ADD(o, "\"}");
                else
                        out_add(o, number, (size_t)snprintf(number, sizeof number, "\", \"size\": %llu}", (unsigned long long)one->size));
        }
        out_add_span(o, e->count > 0 ? SPAN_LIT("\n]}\n") : SPAN_LIT("]}\n"));
}

static const char page_a[] =
        "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
        "<meta name=\"color-scheme\" content=\"light dark\">\n<title>";
static const char page_b[] =
        "</title>\n<style>\n"
        "  :root { --paper: #fbfaf8; --ink: #2b2a28; --soft: #7a7671; --mark: #c8374a; --line: #e9e5df }\n"
        "  @media (prefers-color-scheme: dark) { :root { --paper: #1b1a1c; --ink: #e9e6e1; --soft: #96918b; --mark: #f0647a; --line: #2e2c2f } }\n"
        "  body { margin: 0; background: var(--paper); color: var(--ink); font: 1.05rem/1.6 system-ui, sans-serif }\n"
        "  main { margin: 0 auto; padding: 2.5rem 2rem; max-width: 52rem }\n"
        "  h1 { margin: 0 0 1.2rem; font-size: 1.35rem; font-weight: 600; overflow-wrap: anywhere }\n"
        "  table { width: 100%; border-collapse: collapse }\n"
        "  td { padding: .3rem 0; border-top: 1px solid var(--line); vertical-align: top }\n"
        "  td:first-child { overflow-wrap: anywhere }\n"
        "  td + td { padding-left: 1.5rem; color: var(--soft); white-space: nowrap; text-align: right; font-variant-numeric: tabular-nums }\n"
        "  a { color: inherit; text-decoration: none } a:hover { color: var(--mark); text-decoration: underline }\n"
        "  a.folder { color: var(--mark) }\n"
        "  p { color: var(--soft) }\n"
        "</style>\n<main><h1>";
static const char page_c[] = "</h1>\n<table>\n";

static void
write_html(struct out *o, const struct entries *e, struct span path)
{
        out_add_span(o, SPAN_LIT(page_a));
        add_text(o, path, false);
        out_add_span(o, SPAN_LIT(page_b));
        add_text(o, path, false);
        out_add_span(o, SPAN_LIT(page_c));
        if (path.len > 1)
                ADD(o, "<tr><td><a class=\"folder\" href=\"../\">..</a><td><td>\n");
        for (size_t i = 0; i < e->count; i++) {
                const struct entry *one = &e->list[i];

                out_add_span(o, one->folder ? SPAN_LIT("<tr><td><a class=\"folder\" href=\"./") : SPAN_LIT("<tr><td><a href=\"./"));
                add_link(o, span_of(one->name));
                out_add_span(o, one->folder ? SPAN_LIT("/\">") : SPAN_LIT("\">"));
                add_text(o, span_of(one->name), false);
                out_add_span(o, one->folder ? SPAN_LIT("/</a><td><td>") : SPAN_LIT("</a><td>"));
                if (!one->folder) {
                        add_size(o, one->size);
                        ADD(o, "<td>");
                }
                add_time(o, one->modified, false);
                ADD(o, "\n");
        }
        ADD(o, "</table>\n");
        if (e->count == 0)
                ADD(o, "<p>This folder is empty.</p>\n");
        if (e->more)
                ADD(o, "<p>There is more in this folder than is shown here.</p>\n");
        ADD(o, "</main>\n</html>\n");
}

int
listing_make(const struct static_root *root, int dir, struct span path, bool json, struct out *ret)
{
        struct entries entries = { 0 };
        int e = entries_read(root, dir, &entries);

        if (e == 0) {
                *ret = (struct out){ 0 };
                if (entries.count > 1)
                        qsort(entries.list, entries.count, sizeof(*entries.list), compare);
                if (json)
                        write_json(ret, &entries, path);
                else
                        write_html(ret, &entries, path);
                if (ret->failed) {
                        out_fini(ret);
                        e = -ENOMEM;
                }
        }
        entries_fini(&entries);
        return e;
}
