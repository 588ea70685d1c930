/* serve_file.c - a file goes out as the answer.
 * SPDX-License-Identifier: MIT
 * From: dispatch.c.   To: static.c opens and judges, request.c sends what is large.   Runs in: the owning loop; a file that is not in the kernel's caches is opened on a
 * blocking thread (blocking.c). */
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "blocking.h"
#include "log.h"
#include "request.h"
#include "static.h"
#include "worker.h"

#define SMALL_FILE (32u << 10) /* read into the answer, so that head and file are one write; larger ones go by sendfile */

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

void
serve_file(struct request *r, const struct static_root *root, struct span given, bool escaped)
{
        char name[4096];
        struct span path = given;
        struct static_file f;
        int e = escaped ? decode_rest(given, name, sizeof(name), &path) : 0;

        if (e == 0)
                e = static_open(root, path, true, &f);
        if (e == -EAGAIN) {
                e = open_elsewhere(r, root, path);
                if (e == 0)
                        return;
                request_busy(r);
                return;
        }
        answer_file(r, root, e, &f);
}
