/* spool.c - request bodies and answers on disk. Contract in spool.h.
 * SPDX-License-Identifier: MIT
 * From: request_body.c writes what the client sends, lane_body.c reads it back for the taker; answer_keep.c does both.   To: blocking.c's threads touch the disk.
 * Runs in: the owning loop, but for work_*, which runs on a blocking thread and has fd, piece, ahead, at and error to itself while `busy`.
 * A file has no name from the first moment on (O_TMPFILE), so nothing is left behind by whatever dies. */
#include "spool.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "log.h"
#include "request.h"
#include "worker.h"

#define READ_PIECE (64u << 10)
#define PATH_ROOM 4096

struct spool {
        struct job job;              /* first: its post is what comes back */
        struct request *request;     /* NULL: it has let go */
        struct loop *loop;           /* the three below stay good until the struct goes: the generation is pinned */
        struct loop_generation *lg;
        const char *folder;
        int fd;                      /* -1 until the first piece opens it */
        int error;                   /* of the file: nothing of it is of use any more */
        bool busy;                   /* a blocking thread is at it */
        uint64_t reserved;           /* bytes that count against spool.size */
        uint64_t written, read;      /* bytes in the file, bytes given back */
        uint64_t at;                 /* where the piece under way goes or comes from */
        struct out piece;            /* the bytes that go to the file */
        struct out ahead;            /* what a thread has read and nobody was given yet */
        enum spool_kind kind;
};

/* ---- on a blocking thread ------------------------------------------------------------------------------------------------ */

/* For file systems without O_TMPFILE. */
static int
open_named(const char *folder)
{
        char path[PATH_ROOM];
        int fd;

        if (snprintf(path, sizeof(path), "%s/heart-XXXXXX", folder) >= (int)sizeof(path))
                return -ENAMETOOLONG;
        fd = mkostemp(path, O_CLOEXEC);
        if (fd < 0)
                return -errno;
        (void)unlink(path);
        return fd;
}

static int
open_file(const char *folder)
{
        int fd = open(folder, O_TMPFILE | O_RDWR | O_CLOEXEC | O_EXCL, 0600);

        if (fd < 0 && errno == ENOENT && (mkdir(folder, 0700) == 0 || errno == EEXIST)) /* another thread may have made it meanwhile */
                fd = open(folder, O_TMPFILE | O_RDWR | O_CLOEXEC | O_EXCL, 0600);
        if (fd >= 0)
                return fd;
        return errno == EOPNOTSUPP || errno == EISDIR || errno == EINVAL ? open_named(folder) : -errno;
}

static void
work_write(struct job *j)
{
        struct spool *s = (struct spool *)(void *)j;
        const char *from = s->piece.buf + s->piece.start;
        size_t left = out_len(&s->piece);
        off_t at = (off_t)s->at;

        if (s->fd < 0) {
                s->fd = open_file(s->folder);
                if (s->fd < 0) {
                        s->error = s->fd;
                        return;
                }
        }
        while (left > 0) {
                ssize_t n = pwrite(s->fd, from, left, at);
                if (n < 0 && errno == EINTR)
                        continue;
                if (n <= 0) {
                        s->error = n < 0 ? -errno : -ENOSPC;
                        return;
                }
                from += n;
                at += n;
                left -= (size_t)n;
        }
}

static void
work_read(struct job *j)
{
        struct spool *s = (struct spool *)(void *)j;
        ssize_t n;

        do
                n = pread(s->fd, s->ahead.buf, s->ahead.room, (off_t)s->at);
        while (n < 0 && errno == EINTR);
        if (n <= 0)
                s->error = n < 0 ? -errno : -EIO; /* the file is ours alone: it cannot have become shorter */
        else
                s->ahead.end = (uint32_t)n;
}

/* ---- in the loop ------------------------------------------------------------------------------------------------------------ */

static void
give_back(struct spool *s)
{
        if (s->fd >= 0)
                close(s->fd); /* the last name of these pages: freeing them needs no disk */
        atomic_fetch_sub_explicit(&s->loop->worker->spool_bytes, s->reserved, memory_order_relaxed);
        atomic_fetch_sub_explicit(&s->loop->worker->spool_count, 1, memory_order_relaxed);
        board_add(s->loop->board, C_spool_closed, 1);
        out_fini(&s->piece);
        out_fini(&s->ahead);
        loop_generation_unpin(s->loop, s->lg);
        free(s);
}

static int
reserve(struct spool *s, uint64_t bytes)
{
        _Atomic uint64_t *sum = &s->loop->worker->spool_bytes;
        uint64_t before = atomic_fetch_add_explicit(sum, bytes, memory_order_relaxed), most = s->lg->g->conf.spool.size;

        if (before + bytes > (s->kind == SPOOL_ANSWER ? most / 2 : most)) {
                atomic_fetch_sub_explicit(sum, bytes, memory_order_relaxed);
                board_add(s->loop->board, C_spool_full, 1);
                return -ENOSPC;
        }
        s->reserved += bytes;
        return 0;
}

/* One more file, or -ENOSPC. */
static int
take_file(struct loop *l)
{
        _Atomic uint32_t *count = &l->worker->spool_count;

        if (atomic_fetch_add_explicit(count, 1, memory_order_relaxed) < l->worker->spool_count_max)
                return 0;
        atomic_fetch_sub_explicit(count, 1, memory_order_relaxed);
        board_add(l->board, C_spool_full, 1);
        return -ENOSPC;
}

/* Said once a second at most: a full disk meets everybody. */
static void
complain(const struct spool *s)
{
        _Atomic uint64_t *said = &s->loop->worker->spool_said_ms;
        uint64_t last = atomic_load_explicit(said, memory_order_relaxed), now = s->loop->now_ms;

        board_add(s->loop->board, C_spool_failed, 1);
        if ((last == 0 || now - last >= 1000) && atomic_compare_exchange_strong_explicit(said, &last, now, memory_order_relaxed, memory_order_relaxed))
                log_error("request %llu: its %s cannot be kept in %s: %s; %s", (unsigned long long)s->request->id, s->kind == SPOOL_BODY ? "body" : "answer", s->folder,
                          strerror(-s->error), s->kind == SPOOL_BODY ? "answering 503" : "breaking it off");
}

static void
piece_done(struct loop *l, struct post *p)
{
        struct spool *s = (struct spool *)(void *)p;

        assert(s->busy && s->loop == l);
        s->busy = false;
        if (s->job.work == work_write)
                s->piece.start = s->piece.end = 0;
        if (s->request == NULL) {
                give_back(s);
                return;
        }
        if (s->error < 0)
                complain(s);
        loop_ready(l, s->request->conn);
}

static int
run(struct spool *s, void (*work)(struct job *j))
{
        int e;

        s->job.work = work;
        e = blocking_run(s->loop->worker->blocking, &s->job);
        if (e < 0) {
                s->error = -EBUSY; /* as many wait for the disk as may */
                complain(s);
                return s->error;
        }
        s->busy = true;
        return 0;
}

static const char *
folder_of(const struct conf *c)
{
        const char *tmp = getenv("TMPDIR");

        return c->spool.path != NULL ? c->spool.path : tmp != NULL && tmp[0] == '/' ? tmp : "/tmp";
}

int
spool_new(struct request *r, enum spool_kind kind, uint64_t bytes, struct spool **ret)
{
        struct spool *s = calloc(1, sizeof(*s));
        int e;

        if (s == NULL)
                return -ENOMEM;
        s->request = r;
        s->kind = kind;
        s->job.loop = s->loop = r->conn->loop;
        s->job.post.fn = piece_done;
        s->lg = r->lg;
        s->folder = folder_of(&r->lg->g->conf);
        s->fd = -1;
        e = take_file(s->loop);
        if (e < 0)
                goto fail;
        e = reserve(s, bytes);
        if (e < 0)
                goto fail_file;
        loop_generation_pin(s->lg);
        board_add(s->loop->board, C_spool_opened, 1);
        *ret = s;
        return 0;
fail_file:
        atomic_fetch_sub_explicit(&s->loop->worker->spool_count, 1, memory_order_relaxed);
fail:
        free(s);
        return e;
}

void
spool_free(struct spool *s)
{
        if (s == NULL)
                return;
        s->request = NULL;
        if (!s->busy)
                give_back(s);
}

int
spool_settled(const struct spool *s)
{
        return s->busy ? -EAGAIN : s->error;
}

int
spool_write(struct spool *s, struct out *from)
{
        struct out empty = s->piece;
        uint64_t end;
        int e = spool_settled(s);

        if (e < 0)
                return e;
        s->at = s->written;
        end = s->written + out_len(from);
        if (end > s->reserved && (e = reserve(s, end - s->reserved)) < 0)
                return e;
        s->piece = *from; /* the two buffers change places: nothing is copied, nothing allocated after the second piece */
        empty.start = empty.end = 0;
        *from = empty;
        s->written = end;
        board_add(s->loop->board, C_spool_bytes, out_len(&s->piece));
        return run(s, work_write);
}

void
spool_rest(struct spool *s)
{
        if (!s->busy)
                out_fini(&s->piece);
}

size_t
spool_memory(const struct spool *s)
{
        return s->piece.room + s->ahead.room;
}

bool
spool_has_more(const struct spool *s)
{
        return s->read < s->written;
}

/* What the kernel has at hand costs no thread. -EAGAIN: it would wait for the disk, or cannot tell. */
static long
read_now(struct spool *s, char *to, size_t room)
{
        struct iovec iov = { to, room };
        ssize_t n = preadv2(s->fd, &iov, 1, (off_t)s->read, RWF_NOWAIT);

        if (n <= 0)
                return -EAGAIN;
        s->read += (uint64_t)n;
        return n;
}

long
spool_read(struct spool *s, char *to, size_t room)
{
        size_t n = out_len(&s->ahead);
        long now;
        int e = spool_settled(s);

        if (e < 0)
                return e;
        if (n > 0) { /* what a thread has read */
                n = n < room ? n : room;
                memcpy(to, s->ahead.buf + s->ahead.start, n);
                s->ahead.start += (uint32_t)n;
                s->read += n;
                return (long)n;
        }
        if (!spool_has_more(s))
                return 0;
        if (room > s->written - s->read)
                room = (size_t)(s->written - s->read);
        now = read_now(s, to, room);
        if (now > 0)
                return now;
        s->ahead.start = s->ahead.end = 0;
        s->at = s->read;
        if (out_reserve(&s->ahead, READ_PIECE) == NULL)
                return -ENOMEM;
        e = run(s, work_read);
        return e < 0 ? e : -EAGAIN;
}
