/* static.c - a path under a root becomes an open file, and its head. Contract in static.h.
 * SPDX-License-Identifier: MIT
 * From: dispatch.c (a route with `static:`).   To: conn.c sends the head and then the file with sendfile.
 * Thread: static_open anywhere (a loop with cached, a blocking thread without); a root is constant after static_root_open.
 * The kernel does the walking, so there is no moment between checking a path and opening it. What this file adds is the rule on dots, which also takes care of
 * "." and "..", and the rule that a directory's existence shows only where it has an index. */
#include "static.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "../router/route.h" /* M_ bits */

#ifndef RESOLVE_CACHED
#define RESOLVE_CACHED 0x20 /* Linux 5.12 */
#endif
#define RETRIES 8 /* a rename elsewhere in the tree can make openat2 say EAGAIN without RESOLVE_CACHED; more than a few in a row do not happen */

struct static_root {
        int fd;                  /* O_PATH */
        char **index;
        size_t index_count;
        char cache_control[48];  /* "Cache-Control: max-age=3600\r\n", or empty */
};

/* ---- roots ---------------------------------------------------------------------------------------------------------------- */

void
static_root_free(struct static_root *r)
{
        if (r == NULL)
                return;
        if (r->fd >= 0)
                close(r->fd);
        for (size_t i = 0; i < r->index_count; i++)
                free(r->index[i]);
        free(r->index);
        free(r);
}

int
static_root_open(const char *path, const char *const *index, size_t index_count, uint64_t cache_ms, struct static_root **ret)
{
        struct static_root *r = calloc(1, sizeof *r);
        int e;

        if (r == NULL)
                return -ENOMEM;
        r->fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (r->fd < 0) {
                e = -errno;
                goto fail;
        }
        e = -ENOMEM;
        r->index = calloc(index_count + 1, sizeof *r->index);
        if (r->index == NULL)
                goto fail;
        for (; r->index_count < index_count; r->index_count++) {
                r->index[r->index_count] = strdup(index[r->index_count]);
                if (r->index[r->index_count] == NULL)
                        goto fail;
        }
        if (cache_ms > 0)
                snprintf(r->cache_control, sizeof r->cache_control, "Cache-Control: max-age=%llu\r\n", (unsigned long long)(cache_ms / 1000));
        *ret = r;
        return 0;
fail:
        static_root_free(r);
        return e;
}

/* ---- opening ---------------------------------------------------------------------------------------------------------------- */

static atomic_bool no_resolve_cached; /* this kernel does not know the flag: found out once per process, never unlearned */

/* What a client may learn of a failure: nothing, unless it is ours (memory, descriptors, disk). */
static int
hide_errno(int e)
{
        switch (e) {
        case ENOENT: case ENOTDIR: case ELOOP: case EXDEV: case EACCES: case EPERM: case ENAMETOOLONG: case ENXIO: case ENODEV: case EINVAL:
                return -ENOENT;
        default:
                return -e;
        }
}

/* O_NONBLOCK: a FIFO would otherwise wait for its writer. */
static int
open_beneath(int dir, const char *path, bool cached)
{
        struct open_how how = { .flags = O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY,
                                .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS | (cached ? RESOLVE_CACHED : 0) };

        if (cached && atomic_load_explicit(&no_resolve_cached, memory_order_relaxed))
                return -EAGAIN;
        for (int i = 0; i < RETRIES; i++) {
                long fd = syscall(SYS_openat2, dir, path, &how, sizeof how);

                if (fd >= 0)
                        return (int)fd;
                if (cached && errno == EINVAL) { /* nothing else in `how` could be invalid */
                        atomic_store_explicit(&no_resolve_cached, true, memory_order_relaxed);
                        return -EAGAIN;
                }
                if (cached && errno == EAGAIN)
                        return -EAGAIN;
                if (errno != EAGAIN && errno != EINTR)
                        return hide_errno(errno);
        }
        return -EBUSY;
}

/* Fills ret from an open regular file and takes fd over; anything else is closed and not there. */
static int
file_take(int fd, const struct stat *st, struct span name, struct static_file *ret)
{
        if (!S_ISREG(st->st_mode)) {
                close(fd);
                return -ENOENT;
        }
        *ret = (struct static_file){ .fd = fd, .size = (uint64_t)st->st_size, .mtime = st->st_mtim.tv_sec, .type = static_mime(name) };
        snprintf(ret->etag, sizeof ret->etag, "\"%llx-%llx-%llx\"", (unsigned long long)st->st_mtim.tv_sec * 1000000000ULL + (unsigned long long)st->st_mtim.tv_nsec,
                 (unsigned long long)st->st_size, (unsigned long long)st->st_ino);
        return 0;
}

static int
open_index(const struct static_root *r, int dir, bool cached, struct static_file *ret)
{
        for (size_t i = 0; i < r->index_count; i++) {
                struct stat st;
                int fd = open_beneath(dir, r->index[i], cached), e;

                if (fd == -ENOENT)
                        continue;
                if (fd < 0)
                        return fd;
                e = fstat(fd, &st) < 0 ? -errno : 0;
                if (e < 0) {
                        close(fd);
                        return e;
                }
                if (file_take(fd, &st, span_of(r->index[i]), ret) == 0)
                        return 0;
        }
        return -ENOENT;
}

/* A copy with a NUL, without leading slashes, "." when nothing is left. -ENOENT: a part begins with a dot, there is a NUL inside, or it is too long. */
static int
path_copy(struct span path, char out[PATH_MAX])
{
        while (path.len > 0 && path.ptr[0] == '/')
                path.ptr++, path.len--;
        if (path.len >= PATH_MAX || memchr(path.ptr, '\0', path.len) != NULL)
                return -ENOENT;
        for (size_t i = 0; i < path.len; i++)
                if (path.ptr[i] == '.' && (i == 0 || path.ptr[i - 1] == '/'))
                        return -ENOENT;
        memcpy(out, path.ptr, path.len);
        out[path.len] = '\0';
        if (path.len == 0)
                memcpy(out, ".", 2);
        return 0;
}

int
static_open(const struct static_root *r, struct span path, bool cached, struct static_file *ret)
{
        char copy[PATH_MAX];
        struct stat st;
        bool slash = path.len == 0 || path.ptr[path.len - 1] == '/';
        int e = path.len == 0 ? path_copy(SPAN_LIT(""), copy) : path_copy(path, copy), fd;

        if (e < 0)
                return e;
        fd = open_beneath(r->fd, copy, cached);
        if (fd < 0)
                return fd;
        if (fstat(fd, &st) < 0) {
                e = -errno;
                close(fd);
                return e;
        }
        if (!S_ISDIR(st.st_mode))
                return file_take(fd, &st, path, ret);
        e = open_index(r, fd, cached, ret);
        close(fd);
        if (e == 0 && !slash) {
                close(ret->fd);
                *ret = (struct static_file){ .fd = -1, .redirect = true };
        }
        return e;
}

/* ---- conditionals and ranges ---------------------------------------------------------------------------------------------------- */

/* Walks the entity-tags of a list (RFC 9110, 8.8.3). false at its end or where it stops making sense. */
static bool
etag_next(const char **p, const char *end, struct span *ret_tag, bool *ret_weak)
{
        const char *close_quote;

        while (*p < end && (**p == ' ' || **p == '\t' || **p == ','))
                ++*p;
        *ret_weak = end - *p > 2 && (*p)[0] == 'W' && (*p)[1] == '/';
        if (*ret_weak)
                *p += 2;
        if (*p == end || **p != '"')
                return false;
        close_quote = memchr(*p + 1, '"', (size_t)(end - *p - 1));
        if (close_quote == NULL)
                return false;
        *ret_tag = (struct span){ *p, (size_t)(close_quote + 1 - *p) };
        *p = close_quote + 1;
        return true;
}

/* Does any field with this id hold "*" or our tag? strong: a weak tag never matches (RFC 9110, 8.8.3.2). */
static bool
etag_listed(const struct http_head *h, const char *buf, enum ipc_header_id id, const char *etag, bool strong)
{
        for (uint32_t i = h->known[id]; i < h->field_count; i++) {
                const char *p = buf + h->fields[i].value_off, *end = p + h->fields[i].value_len;
                struct span tag;
                bool weak;

                if (h->fields[i].id != id)
                        continue;
                if (end - p == 1 && *p == '*')
                        return true;
                while (etag_next(&p, end, &tag, &weak))
                        if (!(strong && weak) && span_is(tag, span_of(etag)))
                                return true;
        }
        return false;
}

/* RFC 9110, 13.2.2, steps 1 to 4. 0: go on; else the status. */
static unsigned
precondition(const struct static_file *f, const struct http_head *h, const char *buf)
{
        bool safe = (h->method & (M_GET | M_HEAD)) != 0;
        time_t when;

        if (http_head_field(h, IPC_H_IF_MATCH) != NULL) {
                if (!etag_listed(h, buf, IPC_H_IF_MATCH, f->etag, true))
                        return 412;
        } else if (http_head_field(h, IPC_H_IF_UNMODIFIED_SINCE) != NULL) {
                if (http_date_parse(http_head_get(h, buf, IPC_H_IF_UNMODIFIED_SINCE), &when) == 0 && f->mtime > when)
                        return 412;
        }
        if (http_head_field(h, IPC_H_IF_NONE_MATCH) != NULL) {
                if (etag_listed(h, buf, IPC_H_IF_NONE_MATCH, f->etag, false))
                        return safe ? 304 : 412;
        } else if (safe && http_head_field(h, IPC_H_IF_MODIFIED_SINCE) != NULL) {
                if (http_date_parse(http_head_get(h, buf, IPC_H_IF_MODIFIED_SINCE), &when) == 0 && f->mtime <= when)
                        return 304;
        }
        return 0;
}

/* RFC 9110, 13.1.5: the range is wanted only while the file is still the one that the client has a part of: our strong tag, or our date to the second. */
static bool
if_range_holds(const struct static_file *f, const struct http_head *h, const char *buf)
{
        struct span v = http_head_get(h, buf, IPC_H_IF_RANGE);
        time_t when;

        if (v.ptr == NULL)
                return true;
        if (v.len > 0 && (v.ptr[0] == '"' || v.ptr[0] == 'W'))
                return span_is(v, span_of(f->etag));
        return http_date_parse(v, &when) == 0 && when == f->mtime;
}

/* Digits at *p, saturating; false: none. */
static bool
get_number(const char **p, const char *end, uint64_t *ret)
{
        const char *start = *p;
        uint64_t n = 0;

        for (; *p < end && **p >= '0' && **p <= '9'; ++*p) {
                unsigned digit = (unsigned)(**p - '0');

                n = n > (UINT64_MAX - digit) / 10 ? UINT64_MAX : n * 10 + digit;
        }
        *ret = n;
        return *p > start;
}

/* bytes=first-last, bytes=first-, bytes=-suffix (RFC 9110, 14.1.2). 206 with ret, 416, or 200: not ours, not one, or not well-formed, all of which are ignored (14.2). */
static unsigned
range_parse(struct span v, uint64_t size, struct static_plan *ret)
{
        const char *p = v.ptr + 6, *end = v.ptr + v.len;
        uint64_t first, last = UINT64_MAX, suffix;

        if (v.len < 6 || strncasecmp(v.ptr, "bytes=", 6) != 0)
                return 200;
        if (p < end && *p == '-') {
                p++;
                if (!get_number(&p, end, &suffix) || p != end)
                        return 200;
                if (suffix == 0)
                        return 416;
                if (size == 0)
                        return 200; /* satisfiable, yet there is no byte to name in Content-Range */
                first = suffix < size ? size - suffix : 0;
        } else {
                if (!get_number(&p, end, &first) || p == end || *p++ != '-')
                        return 200;
                if (p != end && (!get_number(&p, end, &last) || p != end || last < first))
                        return 200;
                if (first >= size)
                        return 416;
        }
        ret->offset = first;
        ret->length = (last < size ? last + 1 : size) - first;
        return 206;
}

struct static_plan
static_plan(const struct static_file *f, const struct http_head *h, const char *buf)
{
        struct static_plan plan = { 200, 0, f->size };
        unsigned status = precondition(f, h, buf);
        uint32_t ranges = 0;

        if (status == 0 && h->method == M_GET && http_head_field(h, IPC_H_RANGE) != NULL && if_range_holds(f, h, buf)) {
                for (uint32_t i = 0; i < h->field_count; i++)
                        ranges += h->fields[i].id == IPC_H_RANGE;
                if (ranges == 1)
                        status = range_parse(http_head_get(h, buf, IPC_H_RANGE), f->size, &plan);
        }
        if (status != 0)
                plan.status = status;
        if (plan.status != 200 && plan.status != 206)
                plan.length = 0;
        return plan;
}

/* ---- the head ----------------------------------------------------------------------------------------------------------------------- */

static void
add_content_range(struct out *o, const struct static_file *f, const struct static_plan *p)
{
        char line[96];
        int len;

        if (p->status == 416)
                len = snprintf(line, sizeof line, "Content-Range: bytes */%llu\r\n", (unsigned long long)f->size);
        else
                len = snprintf(line, sizeof line, "Content-Range: bytes %llu-%llu/%llu\r\n", (unsigned long long)p->offset,
                               (unsigned long long)(p->offset + p->length - 1), (unsigned long long)f->size);
        out_add(o, line, (size_t)len);
}

void
static_head(struct out *o, const struct static_file *f, const struct static_plan *p, const struct static_root *r, unsigned minor, bool keep_alive,
            const struct response_date *d)
{
        response_begin(o, p->status, minor, d);
        if (p->status == 200 || p->status == 206 || p->status == 304) {
                char modified[30];

                /* RFC 9110, 8.8.2.1: never later than Date */
                http_date_format(f->mtime < d->second ? f->mtime : d->second, modified);
                response_header(o, SPAN_LIT("Last-Modified"), (struct span){ modified, 29 });
                response_header(o, SPAN_LIT("ETag"), span_of(f->etag));
                out_add_span(o, span_of(r->cache_control));
        }
        if (p->status == 200 || p->status == 206) {
                response_header(o, SPAN_LIT("Content-Type"), span_of(f->type));
                out_add_span(o, SPAN_LIT("Accept-Ranges: bytes\r\n"));
        }
        if (p->status == 206 || p->status == 416)
                add_content_range(o, f, p);
        response_end(o, minor, keep_alive, p->status == 304 ? BODY_NONE : BODY_LENGTH, p->length);
}
