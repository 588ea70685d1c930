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

#include "lane.h"
#include "outgoing.h"
#include "request.h"
#include "static.h"

#define LOCATION_MAX 16384

struct action {
        bool has_reply;
        struct reply reply;         /* ROUTE_RESPOND */
        struct static_root *root;   /* ROUTE_STATIC */
        const char *file;           /* ROUTE_STATIC with a root that is a file: its name in the folder that `root` is open on */
};

/* ---- building --------------------------------------------------------------------------------------------------------- */

static int
build_static(const struct route *route, struct arena *arena, struct action *a)
{
        const char *path = route->static_files.root, *slash;
        struct stat st;

        if (stat(path, &st) < 0)
                return -errno;
        if (S_ISREG(st.st_mode) && (slash = strrchr(path, '/')) != NULL) {
                path = arena_strndup(arena, path, slash == path ? 1 : (size_t)(slash - path));
                a->file = arena_strdup(arena, slash + 1);
                if (path == NULL || a->file == NULL)
                        return -ENOMEM;
        }
        return static_root_open(path, route->static_files.index.list, route->static_files.index.count, route->static_files.cache_ms, &a->root);
}

static int
build_action(struct generation *g, const struct route *route, struct diags *d, struct action *a)
{
        struct span body = span_of(route->respond.body != NULL ? route->respond.body : "");
        int e;

        switch (route->action) {
        case ROUTE_RESPOND:
                e = reply_build(route->respond.status, route->respond.type, body, &a->reply);
                a->has_reply = e == 0;
                return e;
        case ROUTE_STATIC:
                e = build_static(route, g->arena, a);
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

/* To `target` with what `m` matched, and the query that came unless the target has its own. */
static void
send_elsewhere(struct request *r, unsigned status, const char *target, const struct router_match *m)
{
        const char *base = request_bytes(r);
        struct outgoing h;
        char to[LOCATION_MAX];
        long n = router_expand(target, m, to, sizeof(to));

        if (n < 0) {
                request_fail(r, 414, false);
                return;
        }
        if (r->head.query_len > 0 && strchr(target, '?') == NULL) {
                if ((size_t)n + 1 + r->head.query_len > sizeof(to)) {
                        request_fail(r, 414, false);
                        return;
                }
                to[n++] = '?';
                memcpy(to + n, base + r->head.query_off, r->head.query_len);
                n += (long)r->head.query_len;
        }
        outgoing_begin(&h, r, status);
        outgoing_field(&h, IPC_H_LOCATION, SPAN_LIT("Location"), (struct span){ to, (size_t)n });
        outgoing_whole(&h, NULL, 0);
}

/* Made of the decoded path: what was spelled with dot segments or odd escapes comes to its one spelling at once, and "//host/%2e%2e/x" leads to no host.
 * A path that begins with "//" would be taken for a host: "/.//" is the same path and no host (RFC 3986, 4.2). */
void
dispatch_slash(struct request *r)
{
        struct router_match m = { .param_count = 1, .params = { { .name = SPAN_LIT("path"), .type = RT_PATH } } };
        char *path = (char *)(uintptr_t)r->path.ptr; /* ours: path_small or path_buf, both with room for one byte more (take_path) */
        size_t len = r->path.len;
        bool hosts = len > 1 && path[1] == '/';

        if (path[len - 1] == '/')
                len--;
        else
                path[len++] = '/';
        m.params[0].value = hosts ? (struct span){ path, len } : (struct span){ path + 1, len - 1 };
        send_elsewhere(r, 308, hosts ? "/.{path}" : "/{path}", &m);
}

/* ---- the others ------------------------------------------------------------------------------------------------------------ */

static void
dispatch_static(struct request *r, const struct action *a)
{
        struct span path = { "", 0 };

        if (a->file != NULL)
                path = span_of(a->file);
        else if (r->match.param_count > 0)
                path = r->match.params[r->match.param_count - 1].value;
        serve_file(r, a->root, path, a->file == NULL);
}

static void
dispatch_respond(struct request *r, const struct action *a)
{
        struct span body = { a->reply.body, a->reply.body_len };
        struct outgoing h;

        if (r->policy->plain && r->lines_len == 0) {
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
dispatch_redirect(struct request *r)
{
        send_elsewhere(r, r->route->redirect.status, r->route->redirect.to, &r->match);
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
        uint32_t pool = r->lg->g->bundle.apps[r->route->app_index].pool_id;
        struct lane *lane = pool != 0 ? lane_find(r->conn->loop, pool) : NULL;
        int e = lane != NULL ? lane_submit(lane, r) : -EAGAIN;

        if (e == 0)
                return;
        if (lane != NULL)
                board_add(r->conn->loop->board, C_python_queue_full, 1);
        if (e == -EMSGSIZE)
                request_fail(r, 431, true);
        else
                request_busy(r);
}

void
dispatch(struct request *r)
{
        const struct action *a = &r->lg->g->actions[r->match.route];

        switch (r->route->action) {
        case ROUTE_RESPOND:
                dispatch_respond(r, a);
                break;
        case ROUTE_STATIC:
                dispatch_static(r, a);
                break;
        case ROUTE_REDIRECT:
                dispatch_redirect(r);
                break;
        case ROUTE_PYTHON:
        case ROUTE_APP:
                if (request_gathers(r))
                        r->body = BODY_STATE_BUFFERING;
                else
                        dispatch_python(r);
                break;
        case ROUTE_NONE:
                assert(!"a route without an action");
        }
}
