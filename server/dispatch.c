/* dispatch.c - what the matched route means.
 * SPDX-License-Identifier: MIT
 * From: gates.c, once a request has passed them.   To: outgoing.c for what heart answers itself, serve_file.c for files, lane.c for Python.
 * Runs in: the owning loop; actions_build in whoever builds a generation. */
#include "dispatch.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "header_edits.h"
#include "decompress.h"
#include "lane.h"
#include "log.h"
#include "outgoing.h"
#include "request.h"
#include "serve_file.h"
#include "static.h"
#include "vars_findings.h"
#include "vars_request.h"

#define LOCATION_MAX 16384
#define RESPOND_MAX 65536 /* of a body with variables in it */

struct action {
        bool has_reply;
        struct reply reply;         /* ROUTE_RESPOND */
        struct static_root *root;   /* ROUTE_STATIC */
        const struct vars *to;      /* ROUTE_REDIRECT, ROUTE_REWRITE */
        const struct vars *body;    /* ROUTE_RESPOND with variables; else NULL, and the reply has it */
        const char *file;           /* ROUTE_STATIC with a root that is a file: its name in the folder that `root` is open on */
};

/* ---- building --------------------------------------------------------------------------------------------------------- */

static int
build_static(const struct route *route, struct arena *arena, const struct mime_types *types, struct action *a)
{
        const struct route_static *s = &route->static_files;
        struct static_options o = { .index = s->index.list, .index_count = s->index.count, .cache_ms = s->cache_ms, .immutable = s->immutable, .dotfiles = s->dotfiles,
                                    .listing = s->listing, .symlinks = s->symlinks, .fallback = s->fallback, .types = types };
        const char *path = s->root, *slash;
        struct stat st;

        for (; o.coding_count < s->precompressed.count && o.coding_count < STATIC_CODINGS_MAX; o.coding_count++)
                if (!coding_of(span_of(s->precompressed.list[o.coding_count]), &o.codings[o.coding_count]))
                        return -EINVAL;

        if (stat(path, &st) < 0)
                return -errno;
        if (S_ISREG(st.st_mode) && (slash = strrchr(path, '/')) != NULL) {
                path = arena_strndup(arena, path, slash == path ? 1 : (size_t)(slash - path));
                a->file = arena_strdup(arena, slash + 1);
                if (path == NULL || a->file == NULL)
                        return -ENOMEM;
        }
        return static_root_open(path, &o, &a->root);
}

/* Edits that are the same each time are in the reply already. */
static int
build_respond(struct generation *g, const struct route *route, struct diags *d, struct action *a)
{
        const struct policy *p = g->policies[route - g->routes];
        const struct header_edits *edits = p->baked ? p->headers : NULL;
        const char *text = route->respond.body != NULL ? route->respond.body : "", *type = route->respond.type;
        struct span body = SPAN_LIT(""), lines = SPAN_LIT("");
        int e = vars_compile_value(g, route, d, text, route->respond.body_place, vars_place_of_type(type), "respond.body", &a->body);

        if (e < 0)
                return e;
        if (vars_is_constant(a->body, &body))
                a->body = NULL;
        if (edits != NULL)
                (void)header_edits_fixed(edits, &lines);
        if (edits != NULL && header_edits_drop(edits, SPAN_LIT("content-type")))
                type = NULL;
        e = reply_build_with(route->respond.status, type, body, lines, edits == NULL || !header_edits_drop_server(edits), &a->reply);
        a->has_reply = e == 0;
        return e;
}

static int
build_action(struct generation *g, const struct route *route, struct diags *d, struct action *a)
{
        int e;

        switch (route->action) {
        case ROUTE_RESPOND:
                return build_respond(g, route, d, a);
        case ROUTE_REDIRECT:
                return vars_compile_value(g, route, d, route->redirect.to, route->redirect.to_place, VARS_URL, "redirect.to", &a->to);
        case ROUTE_REWRITE:
                return vars_compile_value(g, route, d, route->rewrite, route->rewrite_place, VARS_PATH, "rewrite", &a->to);
        case ROUTE_STATIC:
                e = build_static(route, g->arena, g->types, a);
                if (e == 0 || e == -ENOMEM)
                        return e;
                diag_add(d, DIAG_ERROR, route->place, sources_line(&g->bundle.sources, route->place.file, route->place.line), NULL,
                         "static root \"%s\" cannot be opened: %s", route->static_files.root, strerror(-e));
                return -EINVAL;
        default:
                return 0;
        }
}

int
actions_build(struct generation *g, struct diags *d)
{
        int r = 0;

        g->actions = calloc(g->route_count > 0 ? g->route_count : 1, sizeof(*g->actions));
        if (g->actions == NULL)
                return -ENOMEM;
        for (size_t i = 0; i < g->route_count && r != -ENOMEM; i++) {
                int e = build_action(g, &g->routes[i], d, &g->actions[i]);
                if (e < 0)
                        r = e;
        }
        if (r < 0)
                actions_free(g);
        return r;
}

void
actions_free(struct generation *g)
{
        if (g->actions == NULL)
                return;
        for (size_t i = 0; i < g->route_count; i++) {
                if (g->actions[i].has_reply)
                        reply_fini(&g->actions[i].reply);
                static_root_free(g->actions[i].root);
        }
        free(g->actions);
        g->actions = NULL;
}

/* ---- elsewhere ------------------------------------------------------------------------------------------------------------- */

const struct vars *
action_target(const struct generation *g, uint32_t route)
{
        return g->actions[route].to;
}

static void
send_elsewhere(struct request *r, unsigned status, struct span to)
{
        struct outgoing h;

        outgoing_begin(&h, r, status);
        outgoing_field(&h, IPC_H_LOCATION, SPAN_LIT("Location"), to);
        outgoing_whole(&h, NULL, 0);
}

/* Made of the decoded path: what was spelled with dot segments or odd escapes comes to its one spelling at once, and "//host/%2e%2e/x" leads to no host.
 * A path that begins with "//" would be taken for a host: "/.//" is the same path and no host (RFC 3986, 4.2). */
static void
send_to_slash(struct request *r, char *path, size_t len, struct span query)
{
        struct router_match m = { .param_count = 1, .params = { { .name = SPAN_LIT("path"), .type = RT_PATH } } };
        bool hosts = len > 1 && path[1] == '/';
        char to[LOCATION_MAX];
        long n;

        if (path[len - 1] == '/')
                len--;
        else
                path[len++] = '/';
        m.params[0].value = hosts ? (struct span){ path, len } : (struct span){ path + 1, len - 1 };
        n = router_expand(hosts ? "/.{path}" : "/{path}", &m, to, sizeof(to));
        if (n < 0 || (size_t)n + 1 + query.len > sizeof(to)) {
                request_fail(r, 414, false);
                return;
        }
        if (query.len > 0) {
                to[n++] = '?';
                memcpy(to + n, query.ptr, query.len);
                n += (long)query.len;
        }
        send_elsewhere(r, 308, (struct span){ to, (size_t)n });
}

void
dispatch_slash(struct request *r)
{
        struct span raw = { request_bytes(r) + r->head.path_off, r->head.path_len }, path;
        char own[LOCATION_MAX];

        if (r->rewrites == 0) { /* the bytes are ours: path_small or path_buf, both with room for one byte more (take_path) */
                send_to_slash(r, (char *)(uintptr_t)r->path.ptr, r->path.len, request_query(r));
                return;
        }
        /* A folder behind a rewrite: the client knows nothing of that path, and is sent to its own with a slash. */
        if (raw.len + 1 > sizeof(own) || router_decode(raw, own, &path) < 0) {
                request_fail(r, 414, false);
        } else if (path.ptr[path.len - 1] == '/') {
                request_fail(r, 404, false); /* the rewrite took the slash away */
        } else {
                memmove(own, path.ptr, path.len);
                send_to_slash(r, own, path.len, (struct span){ request_bytes(r) + r->head.query_off, r->head.query_len });
        }
}

/* ---- the others ------------------------------------------------------------------------------------------------------------ */

bool
dispatch_find_root(const struct generation *g, const struct router_match *m, const struct static_root **ret_root, struct span *ret_path, bool *ret_escaped)
{
        const struct action *a = &g->actions[m->route];

        if (g->routes[m->route].action != ROUTE_STATIC)
                return false;
        *ret_root = a->root;
        *ret_escaped = a->file == NULL;
        if (a->file != NULL)
                *ret_path = span_of(a->file);
        else
                *ret_path = m->param_count > 0 ? m->params[m->param_count - 1].value : (struct span){ "", 0 };
        return true;
}

static void
dispatch_static(struct request *r)
{
        const struct static_root *root;
        struct span path;
        bool escaped;

        if (r->route->static_files.internal) {
                request_fail(r, 404, false);
                return;
        }
        (void)dispatch_find_root(r->lg->g, &r->match, &root, &path, &escaped);
        serve_file(r, root, path, escaped);
}

/* The body is made for this request. */
static void
dispatch_respond_vars(struct request *r, const struct action *a)
{
        const struct route_respond *respond = &r->route->respond;
        char room[RESPOND_MAX];
        struct vars_source source;
        struct outgoing h;
        struct span body;
        long n;

        vars_of_request(r, respond->status, &source);
        n = vars_expand(a->body, &source, room, sizeof(room));
        if (n < 0) {
                log_error("request %llu: respond.body would be longer than %d bytes with this request's values", (unsigned long long)r->id, RESPOND_MAX);
                request_fail(r, 500, false);
                return;
        }
        body = (struct span){ room, respond->status == 205 ? 0 : (size_t)n };
        outgoing_begin(&h, r, respond->status);
        if (a->reply.typed)
                outgoing_field(&h, IPC_H_CONTENT_TYPE, SPAN_LIT("Content-Type"), span_of(respond->type));
        outgoing_whole(&h, &body, 1);
}

static void
dispatch_respond(struct request *r, const struct action *a)
{
        struct span body = { a->reply.body, a->reply.body_len };
        struct outgoing h;

        if (a->body != NULL) {
                dispatch_respond_vars(r, a);
                return;
        }
        if (r->policy->baked && r->lines_len == 0) {
                reply_add(&r->conn->out, &a->reply, r->head.minor, r->keep_alive, r->head_only, &r->conn->loop->date);
                request_answer_started(r, r->route->respond.status, BODY_LENGTH, 0);
                r->answer_bytes += r->head_only ? 0 : a->reply.body_len;
                request_answer_complete(r);
                return;
        }
        outgoing_begin(&h, r, r->route->respond.status);
        if (a->reply.typed)
                outgoing_field(&h, IPC_H_CONTENT_TYPE, SPAN_LIT("Content-Type"), span_of(r->route->respond.type));
        outgoing_whole(&h, &body, 1);
}

static void
dispatch_redirect(struct request *r, const struct action *a)
{
        struct vars_source source;
        char to[LOCATION_MAX];
        long n;

        vars_of_request(r, 0, &source);
        n = vars_expand(a->to, &source, to, sizeof(to));
        if (n < 0)
                request_fail(r, n == -ENOSPC ? 414 : 400, false);
        else
                send_elsewhere(r, r->route->redirect.status, (struct span){ to, (size_t)n });
}

void
dispatch_method(struct request *r)
{
        struct outgoing h;
        char allow[128], line[160];
        size_t n = router_methods_text(r->match.allow, allow, sizeof(allow));

        if (r->head.method != M_OPTIONS) {
                int len = snprintf(line, sizeof(line), "Allow: %.*s\r\n", (int)n, allow);
                request_fail_with(r, 405, false, (struct span){ line, (size_t)len });
                return;
        }
        outgoing_begin(&h, r, 204);
        outgoing_field(&h, IPC_H_OTHER, SPAN_LIT("Allow"), (struct span){ allow, n });
        outgoing_whole(&h, NULL, 0);
}

void
dispatch_python(struct request *r)
{
        const struct lane_call call = { .app_index = r->route->app_index, .handler = r->route->handler, .root_path = r->route->root_path,
                                        .timeout_ms = r->route->timeout_ms != 0 ? r->route->timeout_ms : r->limits->handler_timeout_ms };

        if (r->policy->request_headers != NULL && !r->retried && request_edits_apply(r->policy->request_headers, r) < 0)
                request_busy(r);
        else
                (void)lane_hand_over(r, &call);
}

/* RFC 9110, 9.2.2: only what means the same twice as once, and only what the next one gets as whole as the first. */
bool
dispatch_again(struct request *r)
{
        if (r->route == NULL || r->route->retry != RETRY_IDEMPOTENT || r->asking != ASK_ACTION || r->answer != ANSWER_WAITING || r->retried || r->streamed ||
            r->policy->gates >> r->gate != 0 || /* it was never handed to the action: a gate of its had refused it */
            (r->head.method & (M_GET | M_HEAD | M_OPTIONS | M_PUT | M_DELETE)) == 0)
                return false;
        r->retried = true;
        free(r->handover); /* what the first one had begun to say */
        r->handover = NULL;
        board_add(r->conn->loop->board, C_python_retried, 1);
        log_info("request %llu: its pyworker died: given to another", (unsigned long long)r->id);
        dispatch_python(r);
        return true;
}

void
dispatch(struct request *r)
{
        const struct action *a = &r->lg->g->actions[r->match.route];

        assert(r->policy->gates >> r->gate == 0); /* every gate was passed */
        switch (r->route->action) {
        case ROUTE_RESPOND:
                dispatch_respond(r, a);
                break;
        case ROUTE_STATIC:
                dispatch_static(r);
                break;
        case ROUTE_REDIRECT:
                dispatch_redirect(r, a);
                break;
        case ROUTE_PYTHON:
        case ROUTE_APP:
                if (!decompress_begin(r))
                        return;
                if (request_gathers(r))
                        r->body = BODY_STATE_BUFFERING;
                else
                        dispatch_python(r);
                break;
        case ROUTE_REWRITE:
        case ROUTE_NONE:
                assert(!"a route without an action");
        }
}
