/* answer_keep.c - an answer waits on disk for a slow client. Contract in answer_keep.h.
 * SPDX-License-Identifier: MIT
 * From: request.c at every step of a request that is being answered.   To: spool.c (the file), conn->out (what goes out next), lane_ack (the pyworker may go on).
 *
 *   outgoing.c ──▶ r->out: tail ──▶ file ──▶ conn->out ──▶ wire          kept: in this order, each byte once
 *   outgoing.c ──▶ r->out: conn->out ──────────────────────▶ wire          not kept
 *
 * It begins when KEEP_FROM bytes have waited for STALL_MS without one of them going out, and ends when the client has caught up with the file.
 * Runs in: the owning loop; blocking threads touch the disk. */
#include "answer_keep.h"

#include <errno.h>
#include <stdlib.h>

#include "lane.h"
#include "spool.h"

#define KEEP_FROM (64u << 10)  /* less is not worth a file */
#define STALL_MS 30            /* a fast client is never this long without taking something */
#define FRONT_BYTES LOOP_BUFFER_BYTES
#define TURN_BYTES (1u << 20)  /* from the file in one turn of the loop: others have their turn as well */

struct kept {
        struct spool *file;
        struct out tail;          /* what the answer's maker adds */
        uint32_t to_ack;          /* of the pyworker's bytes in the piece that goes to the disk */
        uint64_t bytes;           /* given to the file */
        uint64_t turn_us, turned; /* loop clock of this turn, and what came from the file in it */
};

static int
begin(struct request *r)
{
        struct kept *k = calloc(1, sizeof(*k));
        struct conn *c = r->conn;
        int e = k != NULL ? spool_new(r, SPOOL_ANSWER, 0, &k->file) : -ENOMEM;

        if (e < 0) {
                free(k);
                return e;
        }
        k->tail = c->out;
        c->out = (struct out){ 0 };
        r->kept = k;
        r->out = &k->tail;
        return 0;
}

/* The file is read to its end: what it never saw goes behind what waits already. */
static void
end(struct request *r)
{
        struct kept *k = r->kept;
        struct conn *c = r->conn;

        if (out_len(&c->out) == 0) {
                out_fini(&c->out);
                c->out = k->tail;
                k->tail = (struct out){ 0 };
        } else {
                out_add(&c->out, k->tail.buf + k->tail.start, out_len(&k->tail));
                c->out.failed |= k->tail.failed;
        }
        answer_keep_free(r);
}

void
answer_keep_free(struct request *r)
{
        struct kept *k = r->kept;

        if (k == NULL)
                return;
        spool_free(k->file);
        out_fini(&k->tail);
        free(k);
        r->kept = NULL;
        r->out = &r->conn->out;
}

/* The next bytes of the file, once the last ones are out. 0; -EAGAIN; anything else: they are lost. */
static int
fill_front(struct request *r)
{
        struct kept *k = r->kept;
        struct conn *c = r->conn;
        char *room;
        long n;

        if (out_len(&c->out) > 0 || !spool_has_more(k->file))
                return 0;
        if (k->turn_us != c->loop->now_us) {
                k->turn_us = c->loop->now_us;
                k->turned = 0;
        }
        if (k->turned >= TURN_BYTES) {
                loop_ready(c->loop, c);
                return -EAGAIN;
        }
        room = out_reserve(&c->out, FRONT_BYTES);
        n = room != NULL ? spool_read(k->file, room, FRONT_BYTES) : -ENOMEM;
        if (n < 0)
                return (int)n;
        c->out.end += (uint32_t)n;
        k->turned += (uint64_t)n;
        return 0;
}

/* The tail goes to the file when it is worth a write, or all there is. 0: nothing (more) to give; -EAGAIN: under way; -ENOSPC: there is no room now; else failed. */
static int
write_tail(struct request *r)
{
        struct kept *k = r->kept;
        size_t len = out_len(&k->tail);
        int e;

        if (len == 0 || (len < KEEP_FROM && r->answer != ANSWER_COMPLETE))
                return 0;
        if (k->bytes + len > r->limits->answer_buffer)
                return -ENOSPC;
        e = spool_write(k->file, &k->tail);
        if (e < 0)
                return e;
        k->bytes += len;
        k->to_ack = r->unacked;
        r->unacked = 0;
        return -EAGAIN;
}

/* The piece that was under way is in the file: its writer may go on. 0, -EAGAIN, or what went wrong. */
static int
settle(struct request *r)
{
        struct kept *k = r->kept;
        int e = spool_settled(k->file);

        if (e < 0)
                return e == -EAGAIN ? e : -EIO; /* bytes are lost: a full disk too is not -ENOSPC here, for which one waits */
        if (k->to_ack > 0 && r->lane != NULL)
                lane_ack(r, k->to_ack);
        k->to_ack = 0;
        if (r->answer == ANSWER_COMPLETE && out_len(&k->tail) == 0) { /* from here on one buffer is all it needs */
                spool_rest(k->file);
                out_fini(&k->tail);
        }
        return 0;
}

static void
go_on(struct request *r)
{
        struct kept *k = r->kept;
        int e = k->tail.failed ? -ENOMEM : settle(r);

        if (e == 0)
                e = fill_front(r);
        if (e == 0)
                e = write_tail(r);
        if (e == 0 || e == -ENOSPC) {
                if (!spool_has_more(k->file))
                        end(r);
        } else if (e != -EAGAIN) {
                request_answer_abort(r); /* what the client has is half of it */
        }
}

/* Has so much waited for so long that it should wait on disk? Asks again by itself while that is not settled. */
static bool
is_stalled(struct request *r, bool *ret_wait)
{
        struct conn *c = r->conn;
        uint64_t due = c->progress_ms + STALL_MS;

        *ret_wait = false;
        if (r->answer == ANSWER_WAITING || out_len(&c->out) < KEEP_FROM || r->limits->answer_buffer == 0 || r->file.file != NULL)
                return false;
        *ret_wait = true;
        if (!c->writable && c->loop->now_ms >= due)
                return true;
        wheel_set(&c->loop->wheel, &r->timer, c->loop->now_ms < due ? due : c->loop->now_ms + STALL_MS);
        return false;
}

bool
answer_keep(struct request *r)
{
        bool wait;

        if (r->kept == NULL && (!is_stalled(r, &wait) || begin(r) < 0))
                return !wait;
        go_on(r);
        return r->kept == NULL && !r->broken;
}
