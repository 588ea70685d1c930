/* open_files.c - files that were served lately. Contract in open_files.h.
 * SPDX-License-Identifier: MIT
 * From: serve_file.c asks before it looks at the disk, loop.c empties it with each generation and once a second of what is idle.   To: static.c's finds.
 * Why entries never change: an answer under way holds its entry, so a file that is replaced meanwhile costs nothing but a second entry. */
#include "open_files.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/uio.h>
#include <unistd.h>

#define BUCKETS_MIN 64
#define RACY_NS 50000000ull /* the kernel stamps files with a clock that ticks every 1 to 10 ms: two changes within a tick look like one */
#define TICK_MOST 256       /* entries let go in one tick, so that it stays short */

struct open_files {
        struct open_file **buckets;
        size_t mask;
        struct open_file *newest, *oldest;
        uint32_t count, descriptors;
        uint64_t bytes;
        struct open_files_limits limits;
        struct open_files_counts counts;
};

/* ---- an entry ---------------------------------------------------------------------------------------------------------------- */

static uint64_t
bytes_of(const struct open_file *f)
{
        return sizeof(*f) + f->path_len + f->ready.head_len + f->ready.body_len + f->coded_bytes + 64;
}

void
open_file_free(struct open_file *f)
{
        if (f == NULL)
                return;
        if (f->fd >= 0)
                close(f->fd);
        while (f->coded != NULL) {
                struct open_file_coded *one = f->coded;

                f->coded = one->next;
                free(one);
        }
        reply_fini(&f->ready);
        free(f);
}

struct span
open_file_coded(const struct open_file *f, enum coding coding, unsigned level)
{
        for (const struct open_file_coded *one = f->coded; one != NULL; one = one->next)
                if (one->coding == coding && one->level == level)
                        return (struct span){ one->bytes, one->len };
        return (struct span){ NULL, 0 };
}

void
open_files_keep_coded(struct open_files *c, struct open_file *f, enum coding coding, unsigned level, struct span bytes)
{
        struct open_file_coded *one;
        uint64_t cost = sizeof(*one) + bytes.len + 16;

        if (!f->listed || c->bytes + cost > c->limits.bytes)
                return;
        for (one = f->coded; one != NULL; one = one->next)
                if (one->coding == coding)
                        return;
        one = malloc(sizeof(*one) + bytes.len);
        if (one == NULL)
                return;
        *one = (struct open_file_coded){ .next = f->coded, .coding = coding, .level = level, .len = bytes.len };
        memcpy(one->bytes, bytes.ptr, bytes.len);
        f->coded = one;
        f->coded_bytes += cost;
        c->bytes += cost;
}

static void
add_field(struct open_file_field *to, size_t *n, enum ipc_header_id id, struct span name, struct span value)
{
        to[(*n)++] = (struct open_file_field){ id, name, value };
}

size_t
open_file_fields(const struct open_file *f, bool with_content, struct open_file_field *ret)
{
        struct span cache = static_root_cache_control(f->root);
        size_t n = 0;

        add_field(ret, &n, IPC_H_LAST_MODIFIED, SPAN_LIT("Last-Modified"), (struct span){ f->modified_text, 29 });
        add_field(ret, &n, IPC_H_ETAG, SPAN_LIT("ETag"), span_of(f->etag));
        if (cache.len > 0)
                add_field(ret, &n, IPC_H_CACHE_CONTROL, SPAN_LIT("Cache-Control"), cache);
        if (f->varies)
                add_field(ret, &n, IPC_H_VARY, SPAN_LIT("Vary"), SPAN_LIT("Accept-Encoding"));
        if (!with_content)
                return n;
        add_field(ret, &n, IPC_H_CONTENT_TYPE, SPAN_LIT("Content-Type"), span_of(f->type));
        if (f->coding != CODING_IDENTITY)
                add_field(ret, &n, IPC_H_CONTENT_ENCODING, SPAN_LIT("Content-Encoding"), coding_name(f->coding));
        add_field(ret, &n, IPC_H_OTHER, SPAN_LIT("Accept-Ranges"), SPAN_LIT("bytes"));
        assert(n <= OPEN_FILE_FIELDS_MAX);
        return n;
}

/* All of it or -errno; -EAGAIN: not without waiting for the disk. A file that has another length by now is -ESTALE. */
static int
read_bytes(int fd, char *to, size_t len, bool may_block)
{
        size_t have = 0;

        while (have < len) {
                struct iovec v = { to + have, len - have };
                ssize_t n = preadv2(fd, &v, 1, (off_t)have, may_block ? 0 : RWF_NOWAIT);

                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        return !may_block && (errno == EAGAIN || errno == EOPNOTSUPP) ? -EAGAIN : -errno;
                if (n == 0)
                        return -ESTALE;
                have += (size_t)n;
                if (have < len && !may_block)
                        return -EAGAIN; /* the rest is not in memory */
        }
        return 0;
}

/* The head of a 200 and, for a small file, its bytes behind an empty line: what reply_add wants. */
static int
make_ready(struct open_file *f, int fd, bool may_block)
{
        struct open_file_field fields[OPEN_FILE_FIELDS_MAX];
        size_t n = open_file_fields(f, true, fields), body = f->size <= OPEN_FILE_SMALL ? (size_t)f->size : 0;
        struct out o = { 0 };
        char length[24], *to;
        int e = 0;

        response_status_line(&o, 200);
        for (size_t i = 0; i < n; i++)
                response_header(&o, fields[i].name, fields[i].value);
        response_header(&o, SPAN_LIT("Content-Length"), (struct span){ length, (size_t)snprintf(length, sizeof length, "%llu", (unsigned long long)f->size) });
        f->ready.head_len = o.end;
        f->ready.typed = true;
        out_add_span(&o, SPAN_LIT("\r\n"));
        to = out_reserve(&o, body);
        if (o.failed || to == NULL)
                e = -ENOMEM;
        else if (f->size <= OPEN_FILE_SMALL)
                e = read_bytes(fd, to, body, may_block);
        if (e < 0) {
                out_fini(&o);
                return e;
        }
        f->ready.head = o.buf;
        f->ready.body = to;
        f->ready.body_len = (uint32_t)body;
        return 0;
}

static bool
is_racy(const struct static_stamp *s)
{
        struct timespec now;
        int64_t ns;

        clock_gettime(CLOCK_REALTIME, &now);
        ns = (int64_t)(now.tv_sec - s->changed.tv_sec) * 1000000000 + (now.tv_nsec - s->changed.tv_nsec);
        return ns < (int64_t)RACY_NS; /* a time to come counts too: nothing can be told from it */
}

static void
describe(struct open_file *f, const struct static_found *found, time_t now)
{
        const struct timespec *m = &found->stamp.modified;
        bool coded = found->coding != CODING_IDENTITY;

        f->modified = m->tv_sec;
        http_date_format(m->tv_sec < now ? m->tv_sec : now, f->modified_text); /* RFC 9110, 8.8.2.1: never later than Date */
        snprintf(f->etag, sizeof f->etag, "\"%llx-%llx-%llx%s%.*s\"", (unsigned long long)m->tv_sec * 1000000000ULL + (unsigned long long)m->tv_nsec,
                 (unsigned long long)found->stamp.size, (unsigned long long)found->stamp.ino, coded ? "-" : "", coded ? (int)coding_name(found->coding).len : 0,
                 coding_name(found->coding).ptr);
}

/* The stamp was taken before the bytes were read; one that is the same afterwards says that they belong together. */
static int
still_is(int fd, const struct static_stamp *stamp)
{
        struct static_stamp now;
        struct stat st;

        if (fstat(fd, &st) < 0)
                return -errno;
        now = static_stamp_of(&st);
        return static_stamp_is(&now, stamp) ? 0 : -ESTALE;
}

/* A found that is of this moment again: somebody writes to the file while we read it. */
static int
look_again(struct static_found *found)
{
        struct stat st;

        if (fstat(found->fd, &st) < 0)
                return -errno;
        found->stamp = static_stamp_of(&st);
        return 0;
}

static int
make(const struct static_root *root, struct span path, const struct static_wish *wish, const struct static_found *found, bool may_block, time_t now, struct open_file **ret)
{
        struct open_file *f = calloc(1, sizeof(*f) + path.len);
        int e = 0;

        if (f == NULL)
                return -ENOMEM;
        f->root = root;
        f->kind = found->kind;
        f->stamp = found->stamp;
        f->fd = -1;
        f->size = found->stamp.size;
        f->type = found->type;
        f->coding = found->coding;
        f->varies = found->varies;
        f->wish = wish->code;
        f->path_len = (uint32_t)path.len;
        if (path.len > 0)
                memcpy(f->path, path.ptr, path.len);
        if (found->kind == STATIC_FILE) {
                describe(f, found, now);
                f->racy = is_racy(&found->stamp);
                e = make_ready(f, found->fd, may_block);
                if (e == 0 && f->size <= OPEN_FILE_SMALL)
                        e = still_is(found->fd, &found->stamp);
        }
        if (e < 0) {
                open_file_free(f);
                return e;
        }
        *ret = f;
        return 0;
}

int
open_file_make(const struct static_root *root, struct span path, const struct static_wish *wish, const struct static_found *found, bool may_block, time_t now,
               struct open_file **ret)
{
        struct static_found current = *found;
        int e = -ESTALE;

        for (int i = 0; i < 8 && e == -ESTALE; i++) {
                e = i > 0 ? look_again(&current) : 0;
                if (e == 0)
                        e = make(root, path, wish, &current, may_block, now, ret);
        }
        if (e == 0 && (current.kind != STATIC_FILE || (*ret)->size > OPEN_FILE_SMALL))
                (*ret)->fd = current.fd;
        else if (current.fd >= 0)
                close(current.fd);
        return e == -ESTALE ? -EBUSY : e;
}

void
open_file_ref(struct open_file *f)
{
        f->refs++;
}

void
open_file_unref(struct open_file *f)
{
        assert(f->refs > 0);
        if (--f->refs == 0 && !f->listed)
                open_file_free(f);
}

/* ---- the cache ----------------------------------------------------------------------------------------------------------------- */

int
open_files_new(struct open_files **ret)
{
        struct open_files *c = calloc(1, sizeof(*c));

        if (c == NULL)
                return -ENOMEM;
        c->buckets = calloc(BUCKETS_MIN, sizeof(struct open_file *));
        c->mask = BUCKETS_MIN - 1;
        if (c->buckets == NULL) {
                free(c);
                return -ENOMEM;
        }
        *ret = c;
        return 0;
}

static uint64_t
hash_of(const struct static_root *root, struct span path, uint8_t wish)
{
        uint64_t h = ((uint64_t)(uintptr_t)root ^ wish) * UINT64_C(0x9e3779b97f4a7c15), w;
        size_t i = 0;

        /* Eight bytes at a time. Nobody gains by collisions: entries are files that exist, and there are at most a few thousand of them. */
        for (; i + 8 <= path.len; i += 8) {
                memcpy(&w, path.ptr + i, 8);
                h = (h ^ w) * UINT64_C(0x9fb21c651e98df25);
                h ^= h >> 32;
        }
        w = path.len;
        for (; i < path.len; i++)
                w = w << 8 | (unsigned char)path.ptr[i];
        h = (h ^ w) * UINT64_C(0x9fb21c651e98df25);
        return h ^ h >> 29;
}

static void
use_unlink(struct open_files *c, struct open_file *f)
{
        *(f->newer != NULL ? &f->newer->older : &c->newest) = f->older;
        *(f->older != NULL ? &f->older->newer : &c->oldest) = f->newer;
        f->newer = f->older = NULL;
}

static void
use_link(struct open_files *c, struct open_file *f)
{
        f->older = c->newest;
        f->newer = NULL;
        *(c->newest != NULL ? &c->newest->newer : &c->oldest) = f;
        c->newest = f;
}

void
open_files_drop(struct open_files *c, struct open_file *f)
{
        struct open_file **at = &c->buckets[f->hash & c->mask];

        assert(f->listed);
        while (*at != f)
                at = &(*at)->chain;
        *at = f->chain;
        use_unlink(c, f);
        f->listed = false;
        c->count--;
        c->bytes -= bytes_of(f);
        c->counts.closed += f->fd >= 0;
        c->descriptors -= f->fd >= 0;
        if (f->refs == 0)
                open_file_free(f);
}

void
open_files_clear(struct open_files *c)
{
        while (c->oldest != NULL)
                open_files_drop(c, c->oldest);
}

void
open_files_free(struct open_files *c)
{
        if (c == NULL)
                return;
        open_files_clear(c);
        free(c->buckets);
        free(c);
}

static void
keep_within(struct open_files *c, uint32_t entries, uint64_t bytes)
{
        while (c->oldest != NULL && (c->count > entries || c->bytes > bytes))
                open_files_drop(c, c->oldest);
}

/* The descriptor used longest ago goes; small files, which have none, stay. */
static void
keep_descriptors(struct open_files *c, uint32_t most)
{
        struct open_file *f = c->oldest, *newer;

        for (; f != NULL && c->descriptors > most; f = newer) {
                newer = f->newer;
                if (f->fd >= 0)
                        open_files_drop(c, f);
        }
}

void
open_files_limit(struct open_files *c, const struct open_files_limits *limits)
{
        c->limits = *limits;
        keep_within(c, limits->entries, limits->bytes);
        keep_descriptors(c, limits->descriptors);
}

static struct open_file *
lookup(const struct open_files *c, uint64_t hash, const struct static_root *root, struct span path, uint8_t wish)
{
        struct open_file *f = c->buckets[hash & c->mask];

        while (f != NULL && !(f->hash == hash && f->root == root && f->wish == wish && span_is((struct span){ f->path, f->path_len }, path)))
                f = f->chain;
        return f;
}

struct open_file *
open_files_find(struct open_files *c, const struct static_root *root, struct span path, const struct static_wish *wish, uint64_t now_ms, bool *ret_fresh)
{
        struct open_file *f = lookup(c, hash_of(root, path, wish->code), root, path, wish->code);

        if (f == NULL)
                return NULL;
        *ret_fresh = now_ms - f->checked_ms < c->limits.valid_ms;
        c->counts.hits += *ret_fresh;
        f->used_ms = now_ms;
        if (f != c->newest) {
                use_unlink(c, f);
                use_link(c, f);
        }
        return f;
}

bool
open_files_same(struct open_files *c, struct open_file *f, const struct static_found *found, uint64_t now_ms)
{
        (void)c;
        if (found->kind != STATIC_FILE || f->racy || f->varies != found->varies || f->coding != found->coding || !static_stamp_is(&f->stamp, &found->stamp))
                return false;
        f->checked_ms = now_ms;
        return true;
}

static void
grow(struct open_files *c)
{
        size_t size = (c->mask + 1) * 2;
        struct open_file **buckets = calloc(size, sizeof(*buckets));

        if (buckets == NULL)
                return; /* longer chains, that is all */
        for (struct open_file *f = c->newest; f != NULL; f = f->older) {
                f->chain = buckets[f->hash & (size - 1)];
                buckets[f->hash & (size - 1)] = f;
        }
        free(c->buckets);
        c->buckets = buckets;
        c->mask = size - 1;
}

void
open_files_put(struct open_files *c, struct open_file *f, uint64_t now_ms)
{
        struct span path = { f->path, f->path_len };
        struct open_file *old;

        assert(f->kind == STATIC_FILE && !f->listed);
        if (c->limits.entries == 0 || bytes_of(f) > c->limits.bytes || (f->fd >= 0 && c->limits.descriptors == 0))
                return;
        f->hash = hash_of(f->root, path, f->wish);
        old = lookup(c, f->hash, f->root, path, f->wish);
        if (old != NULL)
                open_files_drop(c, old);
        keep_within(c, c->limits.entries - 1, c->limits.bytes - bytes_of(f));
        if (f->fd >= 0)
                keep_descriptors(c, c->limits.descriptors - 1);
        if (c->count > c->mask)
                grow(c);
        f->chain = c->buckets[f->hash & c->mask];
        c->buckets[f->hash & c->mask] = f;
        f->listed = true;
        f->checked_ms = f->used_ms = now_ms;
        use_link(c, f);
        c->count++;
        c->bytes += bytes_of(f);
        c->counts.opened += f->fd >= 0;
        c->descriptors += f->fd >= 0;
}

void
open_files_tick(struct open_files *c, uint64_t now_ms)
{
        for (int i = 0; i < TICK_MOST && c->oldest != NULL && now_ms - c->oldest->used_ms >= c->limits.idle_ms; i++)
                open_files_drop(c, c->oldest);
}

struct open_files_counts
open_files_counts(const struct open_files *c)
{
        return c->counts;
}
