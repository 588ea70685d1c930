/* static.c - a path under a root becomes an open file. Contract in static.h.
 * SPDX-License-Identifier: MIT
 * From: open_files.c, for paths that it does not know or not any more.   To: the kernel.
 * Thread: static_find anywhere (a loop with cached, a blocking thread without); a root is constant after static_root_open.
 * The kernel does the walking, so there is no moment between checking a path and opening it. What this file adds is the rule on dots, which also takes care of
 * "." and "..", and the rule that a directory's existence shows only where it has an index. */
#include "static.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef RESOLVE_CACHED
#define RESOLVE_CACHED 0x20 /* Linux 5.12 */
#endif
#define RETRIES 8 /* a rename elsewhere in the tree can make openat2 say EAGAIN without RESOLVE_CACHED; more than a few in a row do not happen */

struct static_root {
        int fd;                  /* O_PATH */
        char **index;
        size_t index_count;
        char *fallback;
        char cache_control[48];  /* "max-age=3600, immutable", or empty */
        bool dotfiles, listing;
        uint32_t symlinks;
        enum coding codings[STATIC_CODINGS_MAX];
        size_t coding_count;
        const struct mime_types *types;
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
        free(r->fallback);
        free(r);
}

static int
copy_names(struct static_root *r, const struct static_options *o)
{
        r->index = calloc(o->index_count + 1, sizeof *r->index);
        if (r->index == NULL)
                return -ENOMEM;
        for (; r->index_count < o->index_count; r->index_count++) {
                r->index[r->index_count] = strdup(o->index[r->index_count]);
                if (r->index[r->index_count] == NULL)
                        return -ENOMEM;
        }
        if (o->fallback != NULL && (r->fallback = strdup(o->fallback)) == NULL)
                return -ENOMEM;
        return 0;
}

int
static_root_open(const char *path, const struct static_options *o, struct static_root **ret)
{
        struct static_root *r = calloc(1, sizeof *r);
        int e;

        if (r == NULL)
                return -ENOMEM;
        assert(o->coding_count <= STATIC_CODINGS_MAX && o->types != NULL);
        r->fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
        e = r->fd < 0 ? -errno : copy_names(r, o);
        if (e < 0) {
                static_root_free(r);
                return e;
        }
        if (o->cache_ms > 0)
                snprintf(r->cache_control, sizeof r->cache_control, "max-age=%llu%s", (unsigned long long)(o->cache_ms / 1000), o->immutable ? ", immutable" : "");
        r->dotfiles = o->dotfiles;
        r->listing = o->listing;
        r->symlinks = o->symlinks;
        memcpy(r->codings, o->codings, sizeof r->codings);
        r->coding_count = o->coding_count;
        r->types = o->types;
        *ret = r;
        return 0;
}

struct span
static_root_cache_control(const struct static_root *r)
{
        return span_of(r->cache_control);
}

bool
static_root_has_codings(const struct static_root *r)
{
        return r->coding_count > 0;
}

/* ---- what a client takes ------------------------------------------------------------------------------------------------------ */

void
static_wish_of(const struct static_root *r, const struct http_head *h, const char *buf, struct static_wish *ret)
{
        enum coding left[STATIC_CODINGS_MAX], best;
        struct accept_encoding accept;
        size_t count = r->coding_count;

        *ret = (struct static_wish){ .code = 0 };
        if (count == 0 || http_head_field(h, IPC_H_ACCEPT_ENCODING) == NULL)
                return;
        accept_encoding_of(h, buf, &accept);
        memcpy(left, r->codings, sizeof left);
        while (count > 0 && (best = accept_encoding_choose(&accept, left, count)) != CODING_IDENTITY) {
                size_t at = 0;

                while (left[at] != best)
                        at++;
                memmove(left + at, left + at + 1, (count - at - 1) * sizeof *left);
                count--;
                ret->list[ret->count++] = best;
                ret->code = (uint8_t)(ret->code * CODING_COUNT + best); /* 4 * 4 * 4 at most */
        }
}

/* ---- stamps ---------------------------------------------------------------------------------------------------------------------- */

struct static_stamp
static_stamp_of(const struct stat *st)
{
        return (struct static_stamp){ st->st_dev, st->st_ino, (uint64_t)st->st_size, st->st_mtim, st->st_ctim };
}

bool
static_stamp_is(const struct static_stamp *a, const struct static_stamp *b)
{
        return a->ino == b->ino && a->dev == b->dev && a->size == b->size && a->modified.tv_nsec == b->modified.tv_nsec && a->modified.tv_sec == b->modified.tv_sec &&
               a->changed.tv_nsec == b->changed.tv_nsec && a->changed.tv_sec == b->changed.tv_sec;
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

static uint64_t
resolve_flags(const struct static_root *r)
{
        switch ((enum static_symlinks)r->symlinks) {
        case SYMLINKS_ANYWHERE:
                return RESOLVE_NO_MAGICLINKS;
        case SYMLINKS_INSIDE:
                return RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS;
        case SYMLINKS_NONE:
                break;
        }
        return RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS;
}

/* O_NONBLOCK: a FIFO would otherwise wait for its writer. */
static int
open_beneath(const struct static_root *r, int dir, const char *path, bool cached, uint64_t flags)
{
        struct open_how how = { .flags = flags | O_CLOEXEC, .resolve = resolve_flags(r) | (cached ? RESOLVE_CACHED : 0) };

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

/* Opens and looks: the descriptor, or -errno. */
static int
open_and_stat(const struct static_root *r, int dir, const char *path, bool cached, struct stat *st)
{
        int fd = open_beneath(r, dir, path, cached, O_RDONLY | O_NONBLOCK | O_NOCTTY), e;

        if (fd < 0 || fstat(fd, st) == 0)
                return fd;
        e = -errno;
        close(fd);
        return e;
}

static bool
is_older(const struct timespec *a, const struct timespec *b)
{
        return a->tv_sec < b->tv_sec || (a->tv_sec == b->tv_sec && a->tv_nsec < b->tv_nsec);
}

static const char *
suffix_of(enum coding c)
{
        switch (c) {
        case CODING_BR:
                return ".br";
        case CODING_GZIP:
                return ".gz";
        case CODING_ZSTD:
                return ".zst";
        default:
                assert(!"no file holds this coding");
                return "";
        }
}

/* How much the client wants it: 0 is most. */
static size_t
rank_of(const struct static_wish *wish, enum coding c)
{
        size_t i = 0;

        while (i < wish->count && wish->list[i] != c)
                i++;
        return i;
}

/* Looks at every sibling that the root may have, since the answer varies if there is one, whatever this client takes. Exchanges *ret for the best. */
static int
take_sibling(const struct static_root *r, int dir, const char *path, const struct static_wish *wish, bool cached, struct static_found *ret)
{
        struct static_stamp original = ret->stamp;
        size_t best = wish->count;

        for (size_t i = 0; i < r->coding_count; i++) {
                char name[PATH_MAX + 8];
                struct stat st;
                size_t rank = rank_of(wish, r->codings[i]);
                int fd;

                snprintf(name, sizeof name, "%s%s", path, suffix_of(r->codings[i]));
                fd = open_and_stat(r, dir, name, cached, &st);
                if (fd == -ENOENT)
                        continue;
                if (fd < 0)
                        return fd;
                if (!S_ISREG(st.st_mode) || is_older(&st.st_mtim, &original.modified)) { /* of an earlier text */
                        close(fd);
                        continue;
                }
                ret->varies = true;
                if (rank >= best) {
                        close(fd);
                        continue;
                }
                close(ret->fd);
                ret->fd = fd;
                ret->stamp = static_stamp_of(&st);
                ret->coding = r->codings[i];
                best = rank;
        }
        return 0;
}

/* Makes ret of an open regular file and takes fd over; anything else is closed and not there. */
static int
file_take(const struct static_root *r, int fd, const struct stat *st, int dir, const char *path, const struct static_wish *wish, bool cached, struct static_found *ret)
{
        int e = 0;

        if (!S_ISREG(st->st_mode)) {
                close(fd);
                return -ENOENT;
        }
        *ret = (struct static_found){ .kind = STATIC_FILE, .fd = fd, .stamp = static_stamp_of(st), .type = mime_type(r->types, span_of(path)), .coding = CODING_IDENTITY };
        if (r->coding_count > 0)
                e = take_sibling(r, dir, path, wish, cached, ret);
        if (e < 0)
                close(ret->fd);
        return e;
}

static int
open_index(const struct static_root *r, int dir, const struct static_wish *wish, bool cached, struct static_found *ret)
{
        for (size_t i = 0; i < r->index_count; i++) {
                struct stat st;
                int fd = open_and_stat(r, dir, r->index[i], cached, &st), e;

                if (fd == -ENOENT)
                        continue;
                if (fd < 0)
                        return fd;
                e = file_take(r, fd, &st, dir, r->index[i], wish, cached, ret);
                if (e != -ENOENT)
                        return e;
        }
        return -ENOENT;
}

/* dir is ours to close, or to give. */
static int
open_directory(const struct static_root *r, int dir, bool slash, const struct static_wish *wish, bool cached, struct static_found *ret)
{
        int e = open_index(r, dir, wish, cached, ret);

        if (e == -ENOENT && r->listing) {
                *ret = (struct static_found){ .kind = STATIC_LISTING, .fd = dir };
                if (slash && !cached)
                        return 0; /* dir is given */
                e = cached ? -EAGAIN : 0;
                ret->fd = -1;
        }
        close(dir);
        if (e == 0 && !slash) {
                if (ret->fd >= 0)
                        close(ret->fd);
                *ret = (struct static_found){ .kind = STATIC_REDIRECT, .fd = -1 };
        }
        return e;
}

/* A copy with a NUL, without leading slashes, "." when nothing is left. -ENOENT: a part is "." or "..", or begins with a dot where that hides it, there is a NUL inside, or it
 * is too long. */
static int
path_copy(const struct static_root *r, struct span path, char out[PATH_MAX])
{
        while (path.len > 0 && path.ptr[0] == '/')
                path.ptr++, path.len--;
        if (path.len >= PATH_MAX || (path.len > 0 && memchr(path.ptr, '\0', path.len) != NULL))
                return -ENOENT;
        for (size_t i = 0; i < path.len; i++) {
                size_t left = path.len - i;
                const char *p = path.ptr + i;

                if (*p != '.' || (i > 0 && p[-1] != '/'))
                        continue;
                if (!r->dotfiles || left == 1 || p[1] == '/' || (p[1] == '.' && (left == 2 || p[2] == '/')))
                        return -ENOENT;
        }
        if (path.len > 0)
                memcpy(out, path.ptr, path.len);
        out[path.len] = '\0';
        if (path.len == 0)
                memcpy(out, ".", 2);
        return 0;
}

static bool
falls_back(const struct static_root *r, const char *path)
{
        const char *slash = strrchr(path, '/'), *last = slash != NULL ? slash + 1 : path;

        return r->fallback != NULL && (strchr(last, '.') == NULL || strcmp(path, ".") == 0);
}

int
static_find(const struct static_root *r, struct span path, const struct static_wish *wish, bool cached, struct static_found *ret)
{
        char copy[PATH_MAX];
        struct stat st;
        bool slash = path.len == 0 || path.ptr[path.len - 1] == '/';
        int e = path_copy(r, path, copy), fd;

        if (e < 0)
                return e;
        e = fd = open_and_stat(r, r->fd, copy, cached, &st);
        if (fd >= 0)
                e = S_ISDIR(st.st_mode) ? open_directory(r, fd, slash, wish, cached, ret) : file_take(r, fd, &st, r->fd, copy, wish, cached, ret);
        if (e != -ENOENT || !falls_back(r, copy))
                return e;
        fd = open_and_stat(r, r->fd, r->fallback, cached, &st);
        return fd < 0 ? fd : file_take(r, fd, &st, r->fd, r->fallback, wish, cached, ret);
}

/* May we read the file, or go into the folder? The kernel is asked by doing it. */
static bool
may_use(const struct static_root *r, int fd, int dir, const char *name, bool folder)
{
        int tried = folder ? openat(fd, ".", O_PATH | O_DIRECTORY | O_CLOEXEC) : open_beneath(r, dir, name, false, O_RDONLY | O_NONBLOCK | O_NOCTTY);

        if (tried >= 0)
                close(tried);
        return tried >= 0;
}

bool
static_root_shows(const struct static_root *r, int dir, const char *name, struct stat *ret)
{
        int fd;
        bool good;

        if (name[0] == '.' && (!r->dotfiles || name[1] == '\0' || (name[1] == '.' && name[2] == '\0')))
                return false;
        fd = open_beneath(r, dir, name, false, O_PATH); /* what it leads to, if it may be followed */
        if (fd < 0)
                return false;
        good = fstat(fd, ret) == 0 && (S_ISREG(ret->st_mode) || S_ISDIR(ret->st_mode)) && may_use(r, fd, dir, name, S_ISDIR(ret->st_mode));
        close(fd);
        return good;
}
