/* serve_file.c - a file goes out as the answer. Contract in serve_file.h.
 * SPDX-License-Identifier: MIT
 * From: dispatch.c (a route with `static:`), handover.c (an app says which file).   To: open_files.c knows what was served lately, static.c opens the rest; conditional.c and
 * ranges.c say what of it is wanted; file_send.c sends what is large.
 * Runs in: the owning loop; what is not in the kernel's caches is opened, read and listed on a blocking thread (blocking.c).
 * The usual answer, a whole file that was asked for lately, is three memcpys of what open_files.c keeps ready. */
#include "serve_file.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "blocking.h"
#include "compress.h"
#include "conditional.h"
#include "handover.h"
#include "listing.h"
#include "log.h"
#include "outgoing.h"
#include "worker.h"

#define COPY_MAX (8u << 10) /* copied behind its head into conn->out; what is longer is not worth the copy */

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

static void
fail(struct request *r, int error)
{
        if (error != -ENOENT)
                log_warning("request %llu: a file cannot be served: %s", (unsigned long long)r->id, strerror(-error));
        request_fail(r, error == -ENOENT ? 404 : error == -EMFILE || error == -ENFILE || error == -ENOMEM || error == -EBUSY ? 503 : 500, false);
}

/* ---- the answer ------------------------------------------------------------------------------------------------------------------------ */

static struct span
type_of(const struct request *r, const struct open_file *f)
{
        return r->handover != NULL && handover_says(r, IPC_H_CONTENT_TYPE) ? handover_type(r) : span_of(f->type);
}

/* Would this client get it compressed on the way? That has the same date. */
static bool
has_coded_twin(const struct request *r, const struct open_file *f)
{
        return r->policy->compress != NULL && f->coding == CODING_IDENTITY && http_head_field(&r->head, IPC_H_ACCEPT_ENCODING) != NULL &&
               compress_fits(r->policy->compress, 200, type_of(r, f), f->size);
}

/* RFC 9110, 13.2.2. 200, 206 (with ranges), 304, 412 or 416. */
static unsigned
plan(const struct request *r, const struct open_file *f, struct ranges *ret)
{
        struct validators v = { span_of(f->etag), f->modified, r->conn->loop->date.second };
        const struct http_head *h = &r->head;
        const char *base = request_bytes(r);
        unsigned status;
        uint32_t fields = 0;

        if (!conditional_any(h) || (r->handover != NULL && !handover_is_plain(r)))
                return 200;
        status = conditional_status(&v, h, base);
        if (status != 0)
                return status;
        if (has_coded_twin(r, f))
                v.now = v.modified; /* so that no date in If-Range is a strong validator: it may be of the other */
        if (h->method != M_GET || http_head_field(h, IPC_H_RANGE) == NULL || !conditional_range(&v, h, base))
                return 200;
        for (uint32_t i = 0; i < h->field_count; i++)
                fields += h->fields[i].id == IPC_H_RANGE;
        if (fields != 1) /* several fields are nobody's grammar: ignored (14.2) */
                return 200;
        status = ranges_parse(http_head_get(h, base, IPC_H_RANGE), f->size, ret);
        /* Content-Encoding of a multipart would say that the multipart is coded, and there is no place in the parts to say it of them. */
        return status == 206 && ret->count > 1 && f->coding != CODING_IDENTITY ? 200 : status;
}

static struct span
content_range(const struct open_file *f, const struct range *one, char *room, size_t len)
{
        int n = one == NULL ? snprintf(room, len, "bytes */%llu", (unsigned long long)f->size)
                            : snprintf(room, len, "bytes %llu-%llu/%llu", (unsigned long long)one->offset, (unsigned long long)(one->offset + one->length - 1),
                                       (unsigned long long)f->size);

        return (struct span){ room, (size_t)n };
}

/* The file's own fields, and the app's where it handed the file over; where both say something, the app knows better. type: "" leaves Content-Type to the caller. */
static void
add_fields(struct outgoing *h, const struct open_file *f, bool with_content, bool with_type)
{
        struct open_file_field fields[OPEN_FILE_FIELDS_MAX];
        size_t n = open_file_fields(f, with_content, fields);

        for (size_t i = 0; i < n; i++) {
                if (fields[i].id == IPC_H_CONTENT_TYPE && !with_type)
                        continue;
                if (h->r->handover == NULL || !handover_says(h->r, fields[i].id))
                        outgoing_field(h, fields[i].id, fields[i].name, fields[i].value);
        }
        if (h->r->handover != NULL)
                handover_fields(h, with_content && with_type);
}

static void
answer_parts(struct request *r, struct open_file *f, const struct ranges *ranges)
{
        struct file_parts *parts = file_parts_new(f, ranges, r->id ^ r->arrived_us << 20, type_of(r, f));
        struct outgoing h;

        if (parts == NULL) {
                request_fail(r, 503, false);
                return;
        }
        outgoing_begin(&h, r, 206);
        add_fields(&h, f, true, false);
        outgoing_field(&h, IPC_H_CONTENT_TYPE, SPAN_LIT("Content-Type"), file_parts_type(parts));
        outgoing_end(&h, BODY_LENGTH, file_parts_length(parts));
        if (f->fd >= 0) {
                file_parts_begin(r, parts, f);
                return;
        }
        file_parts_all(r, parts, f);
        file_parts_free(parts);
        outgoing_finish(r);
}

static void
answer_body_of(struct request *r, struct open_file *f, const struct range *run)
{
        if (r->head_only || run->length == 0) {
                outgoing_finish(r);
        } else if (f->fd >= 0 || run->length > COPY_MAX) {
                file_send_begin(r, f, run->offset, run->length);
        } else {
                outgoing_body(r, (struct span){ f->ready.body + run->offset, (size_t)run->length });
                outgoing_finish(r);
        }
}

static void
answer_run(struct request *r, struct open_file *f, unsigned status, const struct range *run)
{
        struct outgoing h;
        char text[80];

        outgoing_begin(&h, r, status);
        add_fields(&h, f, true, true);
        if (status == 206)
                outgoing_field(&h, IPC_H_CONTENT_RANGE, SPAN_LIT("Content-Range"), content_range(f, run, text, sizeof text));
        if (r->policy->compress != NULL && f->fd < 0 && status != 206) { /* all of it is there: then its length is known even when it is compressed */
                outgoing_file(&h, f);
                return;
        }
        outgoing_end(&h, BODY_LENGTH, run->length);
        answer_body_of(r, f, run);
}

/* Nothing but the file itself, as it is. */
static void
answer_ready(struct request *r, struct open_file *f)
{
        bool with_body = !r->head_only && f->size <= COPY_MAX;

        reply_add(&r->conn->out, &f->ready, r->head.minor, r->keep_alive, !with_body, &r->conn->loop->date);
        request_answer_started(r, 200, BODY_LENGTH, r->head_only ? 0 : f->size);
        if (!with_body && !r->head_only) {
                file_send_begin(r, f, 0, f->size);
                return;
        }
        r->answer_left = 0;
        r->answer_bytes += with_body ? f->size : 0;
        request_answer_complete(r);
}

static void
answer_file(struct request *r, struct open_file *f)
{
        struct range whole = { 0, f->size };
        struct ranges ranges;
        unsigned status = plan(r, f, &ranges);
        char line[120], text[80];
        struct span value;
        struct outgoing h;

        switch (status) {
        case 200:
                if (r->policy->plain && r->lines_len == 0 && r->handover == NULL)
                        answer_ready(r, f);
                else
                        answer_run(r, f, r->handover != NULL ? handover_status(r) : 200, &whole);
                break;
        case 206:
                if (ranges.count == 1)
                        answer_run(r, f, 206, &ranges.list[0]);
                else
                        answer_parts(r, f, &ranges);
                break;
        case 304:
                outgoing_begin(&h, r, 304);
                add_fields(&h, f, false, false);
                outgoing_end(&h, BODY_NONE, 0);
                outgoing_finish(r);
                break;
        case 416:
                value = content_range(f, NULL, text, sizeof text);
                request_fail_with(r, 416, false, (struct span){ line, (size_t)snprintf(line, sizeof line, "Content-Range: %.*s\r\n", (int)value.len, value.ptr) });
                break;
        default:
                request_fail(r, status, false);
        }
}

static void
answer_listing(struct request *r, struct span body, bool json)
{
        struct outgoing h;

        outgoing_begin(&h, r, 200);
        outgoing_field(&h, IPC_H_CONTENT_TYPE, SPAN_LIT("Content-Type"), json ? SPAN_LIT("application/json") : SPAN_LIT("text/html; charset=utf-8"));
        outgoing_field(&h, IPC_H_VARY, SPAN_LIT("Vary"), SPAN_LIT("Accept"));
        outgoing_field(&h, IPC_H_CACHE_CONTROL, SPAN_LIT("Cache-Control"), SPAN_LIT("no-cache")); /* it has no validator */
        outgoing_whole(&h, &body, 1);
}

/* f is answered with, kept for the next one, or neither. A request of a generation that was replaced leaves no trace in the cache, which is of the current one. */
static void
answer_made(struct request *r, struct open_file *f)
{
        struct loop *l = r->conn->loop;

        if (f->kind == STATIC_REDIRECT) {
                if (r->handover != NULL)
                        fail(r, -ENOENT);
                else
                        dispatch_slash(r); /* to the folder */
                open_file_free(f);
                return;
        }
        if (r->lg == l->generations)
                open_files_put(l->open_files, f, l->now_ms);
        open_file_ref(f);
        answer_file(r, f);
        open_file_unref(f);
}

/* ---- elsewhere ----------------------------------------------------------------------------------------------------------------------------- */

/* A look that may have to wait for the disk. The connection may die meanwhile; the generation, and with it the root, may not. */
struct file_job {
        struct job job;
        struct conn *conn;
        struct loop_generation *lg;
        const struct static_root *root;
        struct static_wish wish;
        time_t now;
        bool json;             /* how a listing is wanted */
        struct open_file *file;
        struct out listing;
        int error;
        size_t path_len, url_len;
        char text[];           /* the path, then the URL's */
};

static void
file_job_work(struct job *j)
{
        struct file_job *fj = (struct file_job *)(void *)j;
        struct span path = { fj->text, fj->path_len };
        struct static_found found;

        fj->error = static_find(fj->root, path, &fj->wish, false, &found);
        if (fj->error < 0)
                return;
        if (found.kind == STATIC_LISTING)
                fj->error = listing_make(fj->root, found.fd, (struct span){ fj->text + fj->path_len, fj->url_len }, fj->json, &fj->listing);
        else
                fj->error = open_file_make(fj->root, path, &fj->wish, &found, true, fj->now, &fj->file);
}

static void
file_job_done(struct loop *l, struct post *p)
{
        struct file_job *fj = (struct file_job *)(void *)p;
        struct conn *c = fj->conn;
        struct request *r = c->request;

        c->refs--;
        if (c->state != CONN_CLOSED) {
                r->pending = false;
                if (r->answer != ANSWER_WAITING) {
                        /* it was answered 408 meanwhile */
                } else if (fj->error < 0) {
                        fail(r, fj->error);
                } else if (fj->file != NULL) {
                        answer_made(r, fj->file);
                        fj->file = NULL;
                } else if (r->handover != NULL) {
                        fail(r, -ENOENT);
                } else {
                        answer_listing(r, (struct span){ fj->listing.buf, fj->listing.end }, fj->json);
                }
                loop_ready(l, c);
        }
        open_file_free(fj->file);
        out_fini(&fj->listing);
        if (c->state == CONN_CLOSED)
                conn_collect(c);
        loop_generation_unpin(l, fj->lg);
        free(fj);
}

static int
look_elsewhere(struct request *r, const struct static_root *root, struct span path, const struct static_wish *wish)
{
        struct file_job *fj = malloc(sizeof(*fj) + path.len + r->path.len);
        struct span accept = request_header(r, IPC_H_ACCEPT);
        int e;

        if (fj == NULL)
                return -ENOMEM;
        *fj = (struct file_job){ .conn = r->conn, .lg = r->lg, .root = root, .wish = *wish, .now = r->conn->loop->now_s, .path_len = path.len, .url_len = r->path.len };
        fj->json = accept.ptr != NULL && response_accepts(accept, SPAN_LIT("application/json")) > response_accepts(accept, SPAN_LIT("text/html"));
        fj->job.loop = r->conn->loop;
        fj->job.work = file_job_work;
        fj->job.post.fn = file_job_done;
        if (path.len > 0)
                memcpy(fj->text, path.ptr, path.len);
        if (r->path.len > 0)
                memcpy(fj->text + path.len, r->path.ptr, r->path.len);
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

/* ---- the look ------------------------------------------------------------------------------------------------------------------------------- */

/* Large files are sent from their descriptor: is that still the file of which the head speaks? What is small is kept as bytes, which do not change. */
static bool
is_unchanged(const struct open_file *f)
{
        struct static_stamp now;
        struct stat st;

        if (f->fd < 0)
                return true;
        if (fstat(f->fd, &st) < 0)
                return false;
        now = static_stamp_of(&st);
        now.changed = f->stamp.changed; /* a link more or less, as a rename makes, is not another text */
        return static_stamp_is(&now, &f->stamp);
}

/* Known, but not looked at for a while, or not known. */
static void
look(struct request *r, const struct static_root *root, struct span path, const struct static_wish *wish, struct open_file *known)
{
        struct loop *l = r->conn->loop;
        struct static_found found;
        struct open_file *made;
        int e = static_find(root, path, wish, true, &found);

        if (e == 0 && known != NULL && open_files_same(l->open_files, known, &found, l->now_ms)) {
                close(found.fd);
                open_file_ref(known);
                answer_file(r, known);
                open_file_unref(known);
                return;
        }
        if (e == 0)
                e = open_file_make(root, path, wish, &found, false, l->now_s, &made);
        if (e == -EMFILE || e == -ENFILE)
                open_files_clear(l->open_files); /* what is kept open is the first thing to go; the next one finds room */
        if (e == 0) {
                answer_made(r, made);
                return;
        }
        if (e == -EAGAIN && (e = look_elsewhere(r, root, path, wish)) == 0)
                return;
        if (e == -EAGAIN) {
                request_busy(r);
                return;
        }
        if (e == -ENOENT && known != NULL)
                open_files_drop(l->open_files, known);
        fail(r, e);
}

void
serve_file(struct request *r, const struct static_root *root, struct span given, bool escaped)
{
        struct loop *l = r->conn->loop;
        struct static_wish wish = { .code = 0 };
        struct open_file *known = NULL;
        struct span path = given;
        char name[4096];
        bool fresh = false;

        if (escaped && given.len > 0 && memchr(given.ptr, '%', given.len) != NULL && decode_rest(given, name, sizeof(name), &path) < 0) {
                fail(r, -ENOENT);
                return;
        }
        if (static_root_has_codings(root))
                static_wish_of(root, &r->head, request_bytes(r), &wish);
        if (r->lg == l->generations)
                known = open_files_find(l->open_files, root, path, &wish, l->now_ms, &fresh);
        if (fresh && is_unchanged(known)) {
                open_file_ref(known); /* the cache may let go of it while it is being answered with */
                answer_file(r, known);
                open_file_unref(known);
                return;
        }
        look(r, root, path, &wish, known);
}
