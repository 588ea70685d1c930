/* file_send.c - a file, or parts of it, go out as the socket takes them. Contract in file_send.h.
 * SPDX-License-Identifier: MIT
 * From: serve_file.c begins, request.c steps.   To: conn_io.c (sendfile); blocking.c where the disk would be waited for.   Runs in: the owning loop.
 * sendfile waits for the disk when a page is not in memory, and with it every connection of the loop would. So before a run is handed to it, the pages are asked for with
 * RWF_NOWAIT, one byte in 64 KiB (the kernel reads ahead in windows of at least that); what is missing is read by a blocking thread first. */
#include "file_send.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/uio.h>
#include <unistd.h>

#include "blocking.h"
#include "log.h"
#include "outgoing.h"
#include "request.h"
#include "worker.h"

#define RUN_MAX (1u << 20)      /* a call of sendfile, so that one fast client does not hold the loop */
#define PACKET (64u << 10)      /* a write: as much as loopback and segmentation offload take at once. 100 kB in one write cost a third more, all of it in the kernel */
#define PROBE_EVERY (64u << 10)
#define WARM_BYTES (1u << 20)   /* read at once by a blocking thread */
#define WARM_MS 1000            /* a file that was all in memory is taken to be for this long */
#define FEED_PIECE (32u << 10)
#define FEED_HIGH (64u << 10)   /* bytes waiting in conn->out past which no more is fed */
#define FEED_TURN (256u << 10)  /* bytes of the file fed in one turn of the loop: of blanks, megabytes make no more than FEED_HIGH */

/* ---- parts ------------------------------------------------------------------------------------------------------------------------ */

struct file_parts {
        struct ranges ranges;
        size_t next;             /* part whose head comes next; count: the end */
        uint64_t size;           /* of the whole file */
        char type[64], boundary[24];
        size_t part_type_len;
        char part_type[];
};

void
file_parts_free(struct file_parts *p)
{
        free(p);
}

/* What stands before part i, or behind the last one. */
static size_t
part_head(const struct file_parts *p, size_t i, char *out, size_t room)
{
        const struct range *one = &p->ranges.list[i];
        int n;

        if (i == p->ranges.count)
                n = snprintf(out, room, "\r\n--%s--\r\n", p->boundary);
        else
                n = snprintf(out, room, "%s--%s\r\nContent-Type: %.*s\r\nContent-Range: bytes %llu-%llu/%llu\r\n\r\n", i > 0 ? "\r\n" : "", p->boundary, (int)p->part_type_len,
                             p->part_type, (unsigned long long)one->offset, (unsigned long long)(one->offset + one->length - 1), (unsigned long long)p->size);
        return (size_t)n;
}

#define PART_HEAD_MAX 2048 /* a type that an app gave is the one thing in it without a small bound of its own: file_parts_new cuts it */

struct file_parts *
file_parts_new(const struct open_file *f, const struct ranges *ranges, uint64_t seed, struct span type)
{
        size_t len = type.len < 1024 ? type.len : 0;
        struct file_parts *p = calloc(1, sizeof(*p) + len + 1);

        if (p == NULL)
                return NULL;
        p->ranges = *ranges;
        p->size = f->size;
        if (len > 0)
                memcpy(p->part_type, type.ptr, len);
        p->part_type_len = len;
        seed = (seed ^ seed >> 31) * UINT64_C(0x9e3779b97f4a7c15) ^ f->hash; /* not to be met in the file by accident */
        snprintf(p->boundary, sizeof p->boundary, "heart-%016llx", (unsigned long long)seed);
        snprintf(p->type, sizeof p->type, "multipart/byteranges; boundary=%s", p->boundary);
        return p;
}

struct span
file_parts_type(const struct file_parts *p)
{
        return span_of(p->type);
}

uint64_t
file_parts_length(const struct file_parts *p)
{
        uint64_t length = 0;
        char head[PART_HEAD_MAX];

        for (size_t i = 0; i <= p->ranges.count; i++)
                length += part_head(p, i, head, sizeof head) + (i < p->ranges.count ? p->ranges.list[i].length : 0);
        return length;
}

void
file_parts_all(struct request *r, struct file_parts *p, const struct open_file *f)
{
        char head[PART_HEAD_MAX];

        assert(f->fd < 0);
        for (size_t i = 0; i <= p->ranges.count; i++) {
                outgoing_body(r, (struct span){ head, part_head(p, i, head, sizeof head) });
                if (i < p->ranges.count)
                        outgoing_body(r, (struct span){ f->ready.body + p->ranges.list[i].offset, (size_t)p->ranges.list[i].length });
        }
}

/* The head of the next part is put out and its run is what is left; false: that was the end of them. */
static bool
next_part(struct request *r)
{
        struct file_send *s = &r->file;
        struct file_parts *p = s->parts;
        char head[PART_HEAD_MAX];

        if (p == NULL || p->next > p->ranges.count)
                return false;
        outgoing_body(r, (struct span){ head, part_head(p, p->next, head, sizeof head) });
        if (p->next < p->ranges.count) {
                s->offset = p->ranges.list[p->next].offset;
                s->left = p->ranges.list[p->next].length;
                s->warm = 0;
        }
        r->conn->more = p->next < p->ranges.count && !s->fed;
        p->next++;
        return true;
}

void
file_parts_begin(struct request *r, struct file_parts *p, struct open_file *f)
{
        file_send_begin(r, f, 0, 0);
        r->file.parts = p;
}

/* ---- begin and end ------------------------------------------------------------------------------------------------------------------ */

void
file_send_begin(struct request *r, struct open_file *f, uint64_t offset, uint64_t length)
{
        assert(r->file.file == NULL);
        open_file_ref(f);
        r->file = (struct file_send){ .file = f, .offset = offset, .left = length, .fed = r->encoder != NULL };
        r->conn->more = !r->file.fed && f->fd >= 0;
}

void
file_send_end(struct request *r)
{
        if (r->file.file == NULL)
                return;
        open_file_unref(r->file.file);
        file_parts_free(r->file.parts);
        r->file = (struct file_send){ .file = NULL };
        r->conn->more = false;
}

/* ---- what is not in memory ---------------------------------------------------------------------------------------------------------- */

struct warm_job {
        struct job job;
        struct conn *conn;
        struct loop_generation *lg; /* the file's root is of it */
        struct open_file *file;
        uint64_t offset, length;
        int error;
};

static void
warm_work(struct job *j)
{
        struct warm_job *w = (struct warm_job *)(void *)j;
        char *piece = malloc(PROBE_EVERY);
        uint64_t at = 0;
        ssize_t n = 1;

        if (piece == NULL) {
                w->error = -ENOMEM;
                return;
        }
        while (at < w->length && n > 0) {
                n = pread(w->file->fd, piece, PROBE_EVERY, (off_t)(w->offset + at));
                if (n < 0)
                        w->error = -errno;
                else
                        at += (uint64_t)n; /* 0: cut short; sendfile will find out */
        }
        free(piece);
}

static void
warm_done(struct loop *l, struct post *p)
{
        struct warm_job *w = (struct warm_job *)(void *)p;
        struct conn *c = w->conn;

        c->refs--;
        if (c->state == CONN_CLOSED) {
                conn_collect(c);
        } else {
                struct request *r = c->request;

                r->pending = false;
                if (w->error < 0) {
                        log_error("request %llu: a file cannot be read: %s; closing", (unsigned long long)r->id, strerror(-w->error));
                        request_answer_abort(r);
                }
                r->file.warm = w->offset + w->length;
                loop_ready(l, c);
        }
        open_file_unref(w->file);
        loop_generation_unpin(l, w->lg);
        free(w);
}

/* The next bytes are read by a thread; the request goes on when they are there. */
static void
warm_elsewhere(struct request *r)
{
        struct warm_job *w = malloc(sizeof(*w));

        if (w != NULL) {
                *w = (struct warm_job){ .conn = r->conn, .lg = r->lg, .file = r->file.file, .offset = r->file.offset,
                                        .length = r->file.left < WARM_BYTES ? r->file.left : WARM_BYTES };
                w->job.loop = r->conn->loop;
                w->job.work = warm_work;
                w->job.post.fn = warm_done;
        }
        if (w == NULL || blocking_run(r->conn->loop->worker->blocking, &w->job) < 0) {
                free(w);
                log_warning("request %llu: the threads for the disk have too much to do: the file is broken off", (unsigned long long)r->id);
                request_answer_abort(r);
                return;
        }
        open_file_ref(r->file.file);
        loop_generation_pin(r->lg);
        r->conn->refs++;
        r->pending = true;
}

static bool
byte_is_there(int fd, uint64_t at)
{
        char byte;
        struct iovec v = { &byte, 1 };

        return preadv2(fd, &v, 1, (off_t)at, RWF_NOWAIT) >= 0; /* 0: the end of the file, for which nobody waits */
}

/* How many of the next bytes may be asked for without waiting for the disk. 0: none. */
static uint64_t
bytes_there(struct request *r)
{
        struct file_send *s = &r->file;
        uint64_t most = s->left < RUN_MAX ? s->left : RUN_MAX, now = r->conn->loop->now_ms;
        bool small = s->file->size <= WARM_BYTES; /* of these, one look does for a while */

        if (small && s->file->warm_ms != 0 && now - s->file->warm_ms < WARM_MS)
                return most;
        if (s->offset < s->warm)
                return most < s->warm - s->offset ? most : s->warm - s->offset;
        for (uint64_t at = 0; at < most; at += PROBE_EVERY)
                if (!byte_is_there(s->file->fd, s->offset + at))
                        return at;
        if (!byte_is_there(s->file->fd, s->offset + most - 1))
                return most > PROBE_EVERY ? most - PROBE_EVERY : 0;
        if (small && s->offset == 0 && most == s->file->size)
                s->file->warm_ms = now;
        return most;
}

/* ---- on its way ------------------------------------------------------------------------------------------------------------------------ */

/* Through outgoing_body, which changes it. 1: on; 0: not now. */
static int
feed(struct request *r, uint64_t len)
{
        struct file_send *s = &r->file;
        char piece[FEED_PIECE];
        ssize_t n;

        if (out_len(&r->conn->out) > FEED_HIGH)
                return 0;
        if (s->turn_us != r->conn->loop->now_us) {
                s->turn_us = r->conn->loop->now_us;
                s->turned = 0;
        }
        if (s->turned >= FEED_TURN) {
                loop_ready(r->conn->loop, r->conn); /* others first */
                return 0;
        }
        len = len < sizeof piece ? len : sizeof piece;
        if (s->file->fd < 0) {
                outgoing_body(r, (struct span){ s->file->ready.body + s->offset, (size_t)len });
                n = (ssize_t)len;
        } else {
                n = pread(s->file->fd, piece, len, (off_t)s->offset);
                if (n <= 0) { /* 0: the file was cut short */
                        request_answer_abort(r);
                        return 0;
                }
                outgoing_body(r, (struct span){ piece, (size_t)n });
        }
        s->offset += (uint64_t)n;
        s->left -= (uint64_t)n;
        s->turned += (uint32_t)n;
        return 1;
}

/* What is kept in memory, with the head that waits before it: one call, and no copy but the kernel's. */
static int
send_memory(struct request *r)
{
        struct file_send *s = &r->file;
        struct conn *c = r->conn;
        size_t head = out_len(&c->out), room = head < PACKET ? PACKET - head : PACKET, body = s->left < room ? (size_t)s->left : room, taken;
        ssize_t n;

        if (!c->writable)
                return 0;
        n = conn_write_two(c, (struct span){ c->out.buf + c->out.start, head }, (struct span){ s->file->ready.body + s->offset, body });
        if (n < 0) {
                if (n != -EAGAIN)
                        request_answer_abort(r);
                return 0;
        }
        taken = (size_t)n < head ? (size_t)n : head;
        c->out.start += (uint32_t)taken;
        if (taken == head)
                c->out.start = c->out.end = 0;
        s->offset += (size_t)n - taken;
        s->left -= (size_t)n - taken;
        r->answer_bytes += (size_t)n - taken;
        r->answer_left -= (size_t)n - taken;
        return 1;
}

static int
send_run(struct request *r, uint64_t len)
{
        struct file_send *s = &r->file;
        struct conn *c = r->conn;
        ssize_t n;

        if (out_len(&c->out) > 0 || !c->writable)
                return 0;
        n = conn_send_file(c, s->file->fd, s->offset, len);
        if (n == -EAGAIN)
                return 0;
        if (n <= 0) { /* 0: the file was cut short after its length was promised */
                request_answer_abort(r);
                return 0;
        }
        s->offset += (uint64_t)n;
        s->left -= (uint64_t)n;
        r->answer_bytes += (uint64_t)n;
        r->answer_left -= (uint64_t)n;
        if (n == RUN_MAX && s->left > 0) {
                loop_ready(c->loop, c); /* others first */
                return 0;
        }
        return 1;
}

bool
file_send_step(struct request *r)
{
        struct file_send *s = &r->file;
        uint64_t there;

        for (;;) {
                while (s->left > 0 && s->file->fd < 0)
                        if ((s->fed ? feed(r, s->left) : send_memory(r)) == 0)
                                return false;
                while (s->left > 0) {
                        if (!s->fed && (out_len(&r->conn->out) > 0 || !r->conn->writable))
                                return false;
                        there = bytes_there(r);
                        if (there == 0) {
                                warm_elsewhere(r);
                                return false;
                        }
                        if ((s->fed ? feed(r, there) : send_run(r, there)) == 0)
                                return false;
                }
                if (!next_part(r))
                        break;
        }
        if (s->fed)
                outgoing_finish(r);
        file_send_end(r);
        return true;
}
