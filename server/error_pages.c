/* error_pages.c - what is said in place of heart's own page for an error. Contract in error_pages.h.
 * SPDX-License-Identifier: MIT
 * From: policy.c (settings), request.c (a request that fails), answer.c (an app's page).   To: outgoing.c, lane_submit.c.   Runs in: the owning loop. */
#include "error_pages.h"

#include <errno.h>
#include <stdio.h>
#include <strings.h>

#include "lane.h"
#include "static.h"
#include "vars_findings.h"
#include "vars_request.h"

#define TEXT_MAX 16384 /* of a body with variables in it */

struct page_set { const struct error_page *list; size_t count; };
struct page_host { struct span name; struct page_set pages; };

struct error_pages {
        struct page_set route, all;
        const struct page_host *hosts; /* exact names first, then the longest first */
        size_t host_count;
};

/* ---- building ------------------------------------------------------------------------------------------------------------------------- */

static int
make_page(struct generation *g, const struct route *route, const struct route_error_page *from, struct diags *d, struct error_page *ret)
{
        const struct bundle_file *file;
        char key[32];
        int e;

        *ret = (struct error_page){ .status = from->status, .app_index = from->app != NULL ? from->app_index : UINT32_MAX };
        if (from->body != NULL) {
                snprintf(key, sizeof(key), "errors.%u%s.body", (unsigned)from->status, from->status < 10 ? "xx" : "");
                ret->type = span_of(from->type);
                e = vars_compile_value(g, route, d, from->body, from->body_place, vars_place_of_type(from->type), key, &ret->text);
                if (e < 0)
                        return e;
                if (vars_is_constant(ret->text, &ret->body))
                        ret->text = NULL;
        } else if (from->file != NULL) {
                file = bundle_find_file(&g->bundle, from->file);
                if (file == NULL) {
                        diag_add(d, DIAG_ERROR, from->file_place, sources_line(&g->bundle.sources, from->file_place.file, from->file_place.line), NULL,
                                 "cannot read \"%s\": it was not given along", from->file);
                        return -EINVAL;
                }
                ret->type = span_of(mime_type(g->types, span_of(from->file)));
                ret->body = (struct span){ file->bytes, file->len }; /* the bundle lives as long as its generation */
        }
        return 0;
}

static int
make_set(struct generation *g, const struct route *route, const struct key_list *from, struct diags *d, struct page_set *ret)
{
        const struct route_error_page *pages = from->list;
        struct error_page *list = arena_alloc(g->arena, (from->count + 1) * sizeof(*list));
        int e = 0, one;

        if (list == NULL)
                return -ENOMEM;
        for (size_t i = 0; i < from->count; i++) {
                one = make_page(g, route, &pages[i], d, &list[i]);
                if (one == -ENOMEM)
                        return one;
                e = one < 0 ? one : e;
        }
        *ret = (struct page_set){ list, from->count };
        return e;
}

/* Does a go before b? */
static bool
goes_first(struct span a, struct span b)
{
        bool wild_a = a.ptr[0] == '*', wild_b = b.ptr[0] == '*';

        return wild_a != wild_b ? wild_b : a.len > b.len;
}

static int
make_hosts(struct generation *g, const struct key_list *from, struct diags *d, struct error_pages *ret)
{
        const struct route_error_host *hosts = from->list;
        struct page_host *list = arena_alloc(g->arena, (from->count + 1) * sizeof(*list));
        int e = 0, one;

        if (list == NULL)
                return -ENOMEM;
        for (size_t i = 0; i < from->count; i++) {
                struct page_host made = { .name = span_of(hosts[i].host) };
                size_t at = i;

                one = make_set(g, NULL, &hosts[i].pages, d, &made.pages);
                if (one == -ENOMEM)
                        return one;
                e = one < 0 ? one : e;
                for (; at > 0 && goes_first(made.name, list[at - 1].name); at--)
                        list[at] = list[at - 1];
                list[at] = made;
        }
        ret->hosts = list;
        ret->host_count = from->count;
        return e;
}

int
error_pages_build(struct generation *g, const struct route *route, struct diags *d, const struct error_pages **ret)
{
        const struct route_errors *from = route != NULL ? &route->errors : &g->conf.errors;
        struct error_pages *p;
        int e, hosts;

        if (from->place.line == 0)
                return 0;
        p = arena_alloc(g->arena, sizeof(*p));
        if (p == NULL)
                return -ENOMEM;
        if (*ret != NULL)
                *p = **ret;
        e = make_set(g, route, &from->pages, d, route != NULL ? &p->route : &p->all);
        if (e != -ENOMEM && route == NULL) {
                hosts = make_hosts(g, &from->hosts, d, p);
                e = hosts < 0 ? hosts : e;
        }
        *ret = p;
        return e;
}

/* ---- which page ------------------------------------------------------------------------------------------------------------------------- */

static const struct error_page *
find_in(const struct page_set *s, unsigned status)
{
        const struct error_page *found = NULL;

        for (size_t i = 0; i < s->count; i++) {
                if (s->list[i].status == status)
                        return &s->list[i];
                if (s->list[i].status == status / 100)
                        found = &s->list[i];
        }
        return found;
}

static bool
is_host(struct span name, struct span host)
{
        if (name.ptr[0] != '*')
                return span_is(name, host);
        return host.len > name.len - 1 && memcmp(host.ptr + host.len - (name.len - 1), name.ptr + 1, name.len - 1) == 0;
}

const struct error_page *
error_pages_find(const struct error_pages *p, struct span host, unsigned status)
{
        const struct error_page *found = find_in(&p->route, status);

        for (size_t i = 0; found == NULL && host.len > 0 && i < p->host_count; i++)
                if (is_host(p->hosts[i].name, host))
                        found = find_in(&p->hosts[i].pages, status);
        return found != NULL ? found : find_in(&p->all, status);
}

/* ---- saying it ----------------------------------------------------------------------------------------------------------------------------- */

/* An app that failed this request is not asked what to say about it; nor is any app when the head could not be read. */
static bool
may_ask(const struct request *r, const struct error_page *page, unsigned status, struct span lines)
{
        bool failed_itself = status >= 500 && r->route != NULL && r->route->app_index == page->app_index;

        return r->head_len > 0 && r->path.len > 0 && !failed_itself && lines.len <= sizeof(r->error_lines);
}

/* False: it cannot be asked now. */
static bool
ask_app(struct request *r, uint32_t app_index, unsigned status, struct span lines)
{
        const struct lane_call call = { .app_index = app_index, .handler = IPC_HANDLER_ERROR + status, .timeout_ms = r->limits->handler_timeout_ms,
                                        .head_alone = true, .page = true };
        struct lane *lane = lane_of(r, app_index);

        if (lane == NULL || lane_submit(lane, r, &call) < 0)
                return false;
        r->asking = ASK_ERROR_PAGE;
        r->asked_well = false;
        r->error_status = (uint16_t)status;
        r->error_lines_len = (uint16_t)lines.len;
        if (lines.len > 0)
                memcpy(r->error_lines, lines.ptr, lines.len);
        return true;
}

/* False: with what this request brings it would be longer than a page may be. */
static bool
say_text(struct request *r, const struct error_page *page, unsigned status, struct span lines)
{
        struct span body = page->body;
        struct vars_source source;
        struct outgoing h;
        char room[TEXT_MAX];
        long n;

        if (page->text != NULL) {
                vars_of_request(r, status, &source);
                n = vars_expand(page->text, &source, room, sizeof(room));
                if (n < 0)
                        return false;
                body = (struct span){ room, (size_t)n };
        }
        outgoing_begin(&h, r, status);
        outgoing_field(&h, IPC_H_CONTENT_TYPE, SPAN_LIT("Content-Type"), page->type);
        outgoing_lines(&h, lines);
        outgoing_whole(&h, &body, 1);
        return true;
}

bool
error_pages_answer(struct request *r, unsigned *status, struct span *lines)
{
        const struct error_page *page;

        if (r->asking == ASK_ERROR_PAGE) { /* the page of an earlier error did not come: that error is what the client hears of */
                r->asking = ASK_ACTION;
                *status = r->error_status;
                *lines = error_pages_lines(r);
                return false;
        }
        r->asking = ASK_ACTION;
        page = r->policy->errors != NULL ? error_pages_find(r->policy->errors, r->host, *status) : NULL;
        if (page == NULL)
                return false;
        if (page->app_index != UINT32_MAX)
                return may_ask(r, page, *status, *lines) && ask_app(r, page->app_index, *status, *lines);
        return say_text(r, page, *status, *lines);
}

bool
error_pages_take(struct request *r, struct ipc_answer answer)
{
        struct ipc_field f;

        r->asked_well = answer.status < 500 || answer.status == r->error_status; /* a native app's page carries the status that it is for */
        while (r->asked_well && ipc_answer_field(&answer, &f)) /* a file has an answer of its own, with a status of its own: no page for an error */
                r->asked_well = f.id != IPC_H_X_ACCEL_REDIRECT && f.id != IPC_H_X_SENDFILE;
        return r->asked_well;
}

bool
error_pages_has(const struct request *r, struct span name)
{
        const char *at = r->error_lines, *end = at + r->error_lines_len, *newline;

        for (; at < end && (newline = memchr(at, '\n', (size_t)(end - at))) != NULL; at = newline + 1)
                if ((size_t)(newline - at) > name.len && at[name.len] == ':' && strncasecmp(at, name.ptr, name.len) == 0)
                        return true;
        return false;
}
