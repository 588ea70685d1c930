/* dispatch.c - what the matched route means.
 * SPDX-License-Identifier: MIT
 * From: request.c with a match.   To: response.c for what heart answers itself, static.c and blocking.c for files, lane.c for Python.
 * Runs in: the owning loop; actions_build in whoever builds a generation. */
#include "dispatch.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "blocking.h"
#include "lane.h"
#include "log.h"
#include "request.h"
#include "static.h"

#define SMALL_FILE (32u << 10) /* read into the answer, so that head and file are one write; larger ones go by sendfile */
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
        struct out *o = &r->conn->out;
        char to[LOCATION_MAX];
        long n = router_expand(target, m, to, sizeof(to));

        if (n < 0) {
                request_fail(r, 414, false);
                return;
        }
        response_begin(o, status, r->head.minor, &r->conn->loop->date);
        out_add_span(o, SPAN_LIT("Location: "));
        out_add(o, to, (size_t)n);
        if (r->head.query_len > 0 && strchr(target, '?') == NULL) {
                out_add_span(o, SPAN_LIT("?"));
                out_add(o, base + r->head.query_off, r->head.query_len);
        }
        out_add_span(o, SPAN_LIT("\r\n"));
        response_end(o, r->head.minor, r->keep_alive, BODY_LENGTH, 0);
        request_answer_started(r, status, BODY_LENGTH, 0);
        request_answer_complete(r);
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

/* ---- static files ---------------------------------------------------------------------------------------------------------- */

/* The rest of the escapes (router_decode keeps those of reserved characters) are decoded: a file may be called "a#b". An encoded slash or NUL names no file. */
static int
decode_rest(struct span in, char *out, size_t room, struct span *ret)
{
        size_t n = 0;

        for (size_t i = 0; i < in.len; i++) {
                char ch = in.ptr[i];
                if (ch == '%' && i + 2 < in.len) {
                        char hex[3] = { in.ptr[i + 1], in.ptr[i + 2], '\0' };
                        ch = (char)strtoul(hex, NULL, 16);
                        if (ch == '/' || ch == '\0')
                                return -ENOENT;
                        i += 2;
                }
                if (n == room)
                        return -ENOENT;
                out[n++] = ch;
        }
        *ret = (struct span){ out, n };
        return 0;
}

/* The file is open (f->fd is ours) or there was an error. */
static void
answer_file(struct request *r, const struct static_root *root, int error, struct static_file *f)
{
        struct conn *c = r->conn;
        struct static_plan plan;
        char *room;

        if (error == 0 && f->redirect) {
                dispatch_slash(r); /* to the folder */
                return;
        }
        if (error < 0) {
                if (error != -ENOENT)
                        log_warning("request %llu: a file cannot be opened: %s", (unsigned long long)r->id, strerror(-error));
                request_fail(r, error == -ENOENT ? 404 : error == -EMFILE || error == -ENFILE || error == -ENOMEM ? 503 : 500, false);
                return;
        }
        plan = static_plan(f, &r->head, request_bytes(r));
        static_head(&c->out, f, &plan, root, r->head.minor, r->keep_alive, &c->loop->date);
        request_answer_started(r, plan.status, BODY_LENGTH, plan.length);
        if (r->head_only || plan.length == 0 || plan.status >= 300) {
                close(f->fd);
        } else if (plan.length <= SMALL_FILE && (room = out_reserve(&c->out, plan.length)) != NULL) {
                ssize_t n = pread(f->fd, room, plan.length, (off_t)plan.offset);
                close(f->fd);
                if (n < 0 || (uint64_t)n != plan.length) {
                        request_answer_abort(r); /* the file shrank after its length was promised */
                        return;
                }
                c->out.end += (uint32_t)n;
                r->answer_bytes += (uint64_t)n;
        } else {
                request_answered_file(r, f->fd, plan.offset, plan.length);
                return;
        }
        request_answer_complete(r);
}

/* A file that is not in the kernel's caches is opened on a blocking thread. The connection may die meanwhile; the generation, and with it the root, may not. */
struct file_job {
        struct job job;
        struct conn *conn;
        struct loop_generation *lg;
        const struct static_root *root;
        struct static_file file;
        int error;
        size_t path_len;
        char path[];
};

static void
file_job_work(struct job *j)
{
        struct file_job *fj = (struct file_job *)(void *)j;

        fj->error = static_open(fj->root, (struct span){ fj->path, fj->path_len }, false, &fj->file);
}

static void
file_job_done(struct loop *l, struct post *p)
{
        struct file_job *fj = (struct file_job *)(void *)p;
        struct conn *c = fj->conn;

        c->refs--;
        if (c->state == CONN_CLOSED) {
                if (fj->error == 0 && fj->file.fd >= 0)
                        close(fj->file.fd);
                conn_collect(c);
        } else {
                c->request->pending = false;
                if (c->request->answer == ANSWER_WAITING)
                        answer_file(c->request, fj->root, fj->error, &fj->file);
                else if (fj->error == 0 && fj->file.fd >= 0)
                        close(fj->file.fd); /* it was answered 408 meanwhile */
                loop_ready(l, c);
        }
        loop_generation_unpin(l, fj->lg);
        free(fj);
}

static int
open_elsewhere(struct request *r, const struct static_root *root, struct span path)
{
        struct file_job *fj = malloc(sizeof(*fj) + path.len);
        int e;

        if (fj == NULL)
                return -ENOMEM;
        *fj = (struct file_job){ .conn = r->conn, .lg = r->lg, .root = root, .path_len = path.len };
        fj->job.loop = r->conn->loop;
        fj->job.work = file_job_work;
        fj->job.post.fn = file_job_done;
        memcpy(fj->path, path.ptr, path.len);
        e = blocking_run(r->conn->loop->worker->blocking, &fj->job);
        if (e < 0) {
                free(fj);
                return e;
        }
        loop_generation_pin(r->lg);
        r->conn->refs++;
        r->pending = true;
        return 0;
}

static void
dispatch_static(struct request *r, const struct action *a)
{
        char name[4096];
        struct span path = { "", 0 };
        struct static_file f;
        int e = 0;

        if (a->file != NULL)
                path = span_of(a->file);
        else if (r->match.param_count > 0)
                e = decode_rest(r->match.params[r->match.param_count - 1].value, name, sizeof(name), &path);
        if (e == 0)
                e = static_open(a->root, path, true, &f);
        if (e == -EAGAIN) {
                e = open_elsewhere(r, a->root, path);
                if (e == 0)
                        return;
                request_busy(r);
                return;
        }
        answer_file(r, a->root, e, &f);
}

/* ---- the others ------------------------------------------------------------------------------------------------------------ */

static void
dispatch_respond(struct request *r, const struct action *a)
{
        reply_add(&r->conn->out, &a->reply, r->head.minor, r->keep_alive, r->head_only, &r->conn->loop->date);
        request_answer_started(r, r->route->respond.status, BODY_LENGTH, 0);
        r->answer_bytes += r->head_only ? 0 : a->reply.body_len;
        request_answer_complete(r);
}

static void
dispatch_redirect(struct request *r)
{
        send_elsewhere(r, r->route->redirect.status, r->route->redirect.to, &r->match);
}

void
dispatch_method(struct request *r)
{
        struct out *o = &r->conn->out;
        char allow[128], line[160];
        size_t n = router_methods_text(r->match.allow, allow, sizeof(allow));

        if (r->head.method != M_OPTIONS) {
                int len = snprintf(line, sizeof(line), "Allow: %.*s\r\n", (int)n, allow);
                request_fail_with(r, 405, false, (struct span){ line, (size_t)len });
                return;
        }
        response_begin(o, 204, r->head.minor, &r->conn->loop->date);
        response_header(o, SPAN_LIT("Allow"), (struct span){ allow, n });
        response_end(o, r->head.minor, r->keep_alive, BODY_NONE, 0);
        request_answer_started(r, 204, BODY_NONE, 0);
        request_answer_complete(r);
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
                /* A client that waits for its 100 is told when the handler first reads; a small body is gathered first, so that no pyworker waits for the network. */
                if (r->body_ended || r->expect_continue)
                        dispatch_python(r);
                else
                        r->body = BODY_STATE_BUFFERING;
                break;
        case ROUTE_NONE:
                assert(!"a route without an action");
        }
}
