/* handover.c - an app's answer that names a file: heart sends it. Contract in handover.h.
 * SPDX-License-Identifier: MIT
 * From: answer.c, which finds one of the two fields in a pyworker's head.   To: serve_file.c.   Runs in: the owning loop; handover_build in whoever builds a generation.
 * What the app said is copied out of the shared ring before it is looked at, and kept until the file's head is made of it. No loop is possible: only static routes are looked at,
 * and those answer with files. The name is never trusted: it is resolved beneath an open folder by the kernel, as every path of a client is. */
#include "handover.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <strings.h>

#include "answer.h"
#include "dispatch.h"
#include "facts.h"
#include "lane.h"
#include "log.h"
#include "serve_file.h"

struct folder { struct static_root *root; const char *path, *real; /* as configured, and without symlinks; no slash at the end */ };
struct app_folders { struct folder *list; size_t count; const char *home; /* relative names count from here */ };
struct handover_roots { size_t app_count; struct app_folders apps[]; };

struct handover {
        struct ipc_answer answer; /* points into payload */
        bool by_route;
        size_t path_len;
        char *path;               /* decoded, with room for a NUL; in the block, behind payload */
        uint8_t payload[];
};

/* ---- folders ------------------------------------------------------------------------------------------------------------------------ */

static const char *
without_slash(struct arena *a, const char *path)
{
        size_t len = strlen(path);

        while (len > 1 && path[len - 1] == '/')
                len--;
        return arena_strndup(a, path, len);
}

/* 0, or -errno of the folder. */
static int
open_folder(struct generation *g, const char *path, struct folder *ret)
{
        struct static_options o = { .symlinks = SYMLINKS_INSIDE, .types = g->types };
        char real[PATH_MAX];
        int e = static_root_open(path, &o, &ret->root);

        if (e < 0)
                return e;
        ret->path = without_slash(g->arena, path);
        ret->real = realpath(path, real) != NULL ? arena_strdup(g->arena, real) : ret->path;
        return ret->path != NULL && ret->real != NULL ? 0 : -ENOMEM;
}

static int
build_app(struct generation *g, const struct conf_app *app, struct diags *d, struct app_folders *ret)
{
        const char *home = app->path != NULL ? app->path : g->conf.base_dir;
        size_t most = app->files.count > 0 ? app->files.count : 1;
        char real[PATH_MAX];
        int result = 0, e;

        ret->home = realpath(home, real) != NULL ? arena_strdup(g->arena, real) : without_slash(g->arena, home);
        ret->list = arena_alloc(g->arena, most * sizeof(*ret->list));
        if (ret->list == NULL || ret->home == NULL)
                return -ENOMEM;
        if (app->files.list == NULL) { /* not said, which is not the same as an empty list. A folder that the worker may not enter is no mistake unless somebody asked for it */
                ret->count = 1;
                e = open_folder(g, home, &ret->list[0]);
                if (e < 0)
                        ret->count = 0;
                return e == -ENOMEM ? e : 0;
        }
        for (size_t i = 0; i < app->files.count; i++) {
                const char *name = app->files.list[i];
                struct place at = app->files.places[i];
                char *path = name[0] == '/' ? arena_strdup(g->arena, name) : arena_printf(g->arena, "%s/%s", g->conf.base_dir, name);

                e = path != NULL ? open_folder(g, path, &ret->list[ret->count]) : -ENOMEM;
                if (e == -ENOMEM)
                        return e;
                if (e == 0) {
                        ret->count++;
                        continue;
                }
                diag_add(d, DIAG_ERROR, at, sources_line(&g->bundle.sources, at.file, at.line), NULL, "folder \"%s\" cannot be opened: %s", path, strerror(-e));
                result = -EINVAL;
        }
        return result;
}

int
handover_build(struct generation *g, struct diags *d)
{
        size_t count = g->conf.apps.count;
        int result = 0;

        g->handover_roots = calloc(1, sizeof(*g->handover_roots) + count * sizeof(struct app_folders));
        if (g->handover_roots == NULL)
                return -ENOMEM;
        g->handover_roots->app_count = count;
        for (size_t i = 0; i < count && result != -ENOMEM; i++) {
                int e = build_app(g, conf_app_at(&g->conf, i), d, &g->handover_roots->apps[i]);
                result = e < 0 ? e : result;
        }
        return result;
}

void
handover_free(struct generation *g)
{
        if (g->handover_roots == NULL)
                return;
        for (size_t i = 0; i < g->handover_roots->app_count; i++)
                for (size_t k = 0; g->handover_roots->apps[i].list != NULL && k < g->handover_roots->apps[i].count; k++)
                        static_root_free(g->handover_roots->apps[i].list[k].root);
        free(g->handover_roots);
        g->handover_roots = NULL;
}

/* ---- what the app said ---------------------------------------------------------------------------------------------------------------- */

static int
hex_of(char ch)
{
        return ch >= '0' && ch <= '9' ? ch - '0' : (ch | 0x20) >= 'a' && (ch | 0x20) <= 'f' ? (ch | 0x20) - 'a' + 10 : -1;
}

/* Every escape; one that is none stands for itself, as Python's unquote has it. */
static size_t
decode(struct span in, char *out)
{
        size_t n = 0;

        for (size_t i = 0; i < in.len; i++) {
                bool escape = in.ptr[i] == '%' && i + 2 < in.len && hex_of(in.ptr[i + 1]) >= 0 && hex_of(in.ptr[i + 2]) >= 0;

                out[n++] = escape ? (char)(hex_of(in.ptr[i + 1]) << 4 | hex_of(in.ptr[i + 2])) : in.ptr[i];
                i += escape ? 2 : 0;
        }
        return n;
}

static bool
leads_up(struct span path)
{
        for (size_t i = 0; i + 1 < path.len; i++)
                if (path.ptr[i] == '.' && path.ptr[i + 1] == '.' && (i == 0 || path.ptr[i - 1] == '/') && (i + 2 == path.len || path.ptr[i + 2] == '/'))
                        return true;
        return false;
}

/* X-Accel-Redirect is a path of the route table, read as a client's would be, without its query; X-Sendfile a name of the disk. ".." is undone in neither: where an
 * app adds a stranger's words to a path, it would lead out of where the app meant it to end. */
static int
take_path(struct handover *h, struct span value)
{
        const char *query = memchr(value.ptr, '?', value.len);
        struct span path;

        if (!h->by_route) {
                h->path_len = decode(value, h->path);
                return h->path_len > 0 ? 0 : -ENOENT;
        }
        if (query != NULL)
                value.len = (size_t)(query - value.ptr);
        if (value.len == 0 || value.ptr[0] != '/' || leads_up((struct span){ h->path, decode(value, h->path) }) || router_decode(value, h->path, &path) < 0)
                return -ENOENT;
        memmove(h->path, path.ptr, path.len);
        h->path_len = path.len;
        return 0;
}

int
handover_begin(struct request *r, const uint8_t *payload, size_t len)
{
        struct handover *h = malloc(sizeof(*h) + len + len + 1);
        struct span value = { NULL, 0 };
        struct ipc_answer walk;
        struct ipc_field f;

        if (h == NULL)
                return -ENOMEM;
        memcpy(h->payload, payload, len);
        h->path = (char *)h->payload + len;
        h->path_len = 0;
        free(r->handover);
        r->handover = h;
        if (ipc_answer_decode(h->payload, len, &h->answer) < 0)
                return -EPROTO; /* it was well-formed a moment ago */
        if (h->answer.status == 206)
                h->answer.status = 200; /* frameworks cut before they hand over; which part it is to be is looked at here, and their Content-Range goes */
        for (walk = h->answer; value.ptr == NULL && ipc_answer_field(&walk, &f);) {
                if (f.id != IPC_H_X_ACCEL_REDIRECT && f.id != IPC_H_X_SENDFILE)
                        continue;
                value = (struct span){ f.value.ptr, f.value.len };
                h->by_route = f.id == IPC_H_X_ACCEL_REDIRECT;
        }
        if (value.ptr == NULL)
                return -EPROTO;
        if (value.len == 0 || take_path(h, value) < 0)
                h->path_len = 0; /* names nothing: 404 when its turn comes */
        h->path[h->path_len] = '\0';
        return 0;
}

static bool
find(const struct request *r, enum ipc_header_id id, struct span *ret)
{
        struct ipc_answer walk = r->handover->answer;
        struct ipc_field f;

        while (ipc_answer_field(&walk, &f))
                if (f.id == id) {
                        *ret = (struct span){ f.value.ptr, f.value.len };
                        return true;
                }
        return false;
}

bool
handover_is_plain(const struct request *r)
{
        return r->handover->answer.status == 200 && (r->head.method & (M_GET | M_HEAD)) != 0;
}

unsigned
handover_status(const struct request *r)
{
        return r->handover->answer.status;
}

bool
handover_says(const struct request *r, enum ipc_header_id id)
{
        struct span value;

        return (id == IPC_H_CONTENT_TYPE || id == IPC_H_CACHE_CONTROL) && find(r, id, &value);
}

struct span
handover_type(const struct request *r)
{
        struct span value = { "", 0 };

        (void)find(r, IPC_H_CONTENT_TYPE, &value);
        return value;
}

/* The file says these better, and the two that brought us here are nobody else's affair. */
static bool
is_the_files(const struct ipc_field *f, bool with_type)
{
        switch (f->id) {
        case IPC_H_CONTENT_LENGTH:
        case IPC_H_CONTENT_RANGE:
        case IPC_H_CONTENT_ENCODING:
        case IPC_H_ETAG:
        case IPC_H_LAST_MODIFIED:
        case IPC_H_X_ACCEL_REDIRECT:
        case IPC_H_X_SENDFILE:
                return true;
        case IPC_H_CONTENT_TYPE:
                return !with_type;
        case IPC_H_OTHER:
                return f->name.len == 13 && strncasecmp(f->name.ptr, "accept-ranges", 13) == 0;
        default:
                return answer_is_ours(f->id);
        }
}

void
handover_fields(struct outgoing *h, bool with_type)
{
        struct ipc_answer walk = h->r->handover->answer;
        struct ipc_field f;

        while (ipc_answer_field(&walk, &f))
                if (!is_the_files(&f, with_type))
                        outgoing_field(h, f.id, (struct span){ f.name.ptr, f.name.len }, (struct span){ f.value.ptr, f.value.len });
}

/* ---- going ------------------------------------------------------------------------------------------------------------------------------- */

static void
refuse(struct request *r, const char *why)
{
        log_error("request %llu: the app hands over \"%s\": %s: 404", (unsigned long long)r->id, r->handover->path, why);
        request_fail(r, 404, false);
}

static void
go_by_route(struct request *r)
{
        struct router_query q = { .path = { r->handover->path, r->handover->path_len }, .host = r->host, .method = M_GET, .local = *conn_local(r->conn), .tls = r->https,
                                  .source = r->client };
        const struct static_root *root;
        struct router_match m;
        struct facts facts;
        struct span path;
        bool escaped;

        facts_init(&facts, &r->head, request_bytes(r));
        q.facts = &facts.ask;
        if (router_match(r->lg->g->router, r->conn->loop->scratch, &q, &m) != ROUTER_FOUND || !dispatch_find_root(r->lg->g, &m, &root, &path, &escaped)) {
                refuse(r, "no static route takes this path");
                return;
        }
        serve_file(r, root, path, escaped);
}

/* The name below the folder; .ptr NULL: it is not in there. */
static struct span
below(const char *folder, struct span path)
{
        size_t len = strlen(folder);

        if (len == 1) /* "/" */
                len = 0;
        if (path.len <= len || memcmp(path.ptr, folder, len) != 0 || path.ptr[len] != '/')
                return (struct span){ NULL, 0 };
        return (struct span){ path.ptr + len + 1, path.len - len - 1 };
}

/* Slashes and dots that say nothing go. -EINVAL: "..", or a NUL. */
static int
tidy(struct span in, char *out, struct span *ret)
{
        size_t n = 0;

        for (size_t i = 0; i < in.len;) {
                const char *part, *stop;
                size_t len;

                while (i < in.len && in.ptr[i] == '/')
                        i++;
                part = in.ptr + i;
                stop = i < in.len ? memchr(part, '/', in.len - i) : NULL;
                len = stop != NULL ? (size_t)(stop - part) : in.len - i;
                i += len;
                if (len == 0 || (len == 1 && part[0] == '.'))
                        continue;
                if ((len == 2 && part[0] == '.' && part[1] == '.') || memchr(part, '\0', len) != NULL)
                        return -EINVAL;
                out[n++] = '/';
                memmove(out + n, part, len);
                n += len;
        }
        *ret = (struct span){ out, n };
        return 0;
}

/* The innermost folder that has `path`, by either of its names; *ret_rest is the name below it. */
static const struct folder *
folder_of(const struct app_folders *folders, struct span path, struct span *ret_rest)
{
        const struct folder *best = NULL;

        for (size_t i = 0; i < folders->count; i++) {
                struct span one = below(folders->list[i].path, path);

                if (one.ptr == NULL)
                        one = below(folders->list[i].real, path);
                if (one.ptr == NULL || (best != NULL && one.len >= ret_rest->len))
                        continue;
                best = &folders->list[i];
                *ret_rest = one;
        }
        return best;
}

/* Folders are met as they were written, where ".." may stand: what a Python file knows of its own place says the same. Behind them it may not. */
static void
go_by_name(struct request *r)
{
        const struct app_folders *folders = r->asked_app < r->lg->g->handover_roots->app_count ? &r->lg->g->handover_roots->apps[r->asked_app] : NULL;
        char full[PATH_MAX], text[PATH_MAX + 1];
        const struct folder *folder;
        struct span path, rest;
        int n = -1;

        if (folders != NULL && strlen(r->handover->path) == r->handover->path_len)
                n = r->handover->path[0] == '/' ? snprintf(full, sizeof full, "%s", r->handover->path)
                                                : snprintf(full, sizeof full, "%s/%s", folders->home, r->handover->path);
        if (n <= 0 || (size_t)n >= sizeof full) {
                refuse(r, "not a name of a file");
                return;
        }
        path = (struct span){ full, (size_t)n };
        folder = folder_of(folders, path, &rest);
        if (folder == NULL && tidy(path, text, &path) == 0)
                folder = folder_of(folders, path, &rest);
        if (folder == NULL)
                refuse(r, "not in a folder of apps.NAME.files");
        else if (tidy(rest, text, &rest) < 0)
                refuse(r, "not a name of a file");
        else
                serve_file(r, folder->root, rest, false);
}

void
handover_go(struct request *r)
{
        if (r->body == BODY_STATE_STREAMING) /* who read it has said all: the rest is nobody's, and a slow client is no reason to cut the file off */
                r->body = r->body_ended ? BODY_STATE_NONE : BODY_STATE_DISCARDING;
        if (r->handover->path_len == 0)
                refuse(r, "not a path");
        else if (r->handover->by_route)
                go_by_route(r);
        else
                go_by_name(r);
}
