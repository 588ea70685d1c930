/* lane_body.c - a request body that does not fit its slot goes to the taker in chunks, as many as it has credits for.
 * SPDX-License-Identifier: MIT
 * From: request.c whenever the client sent more, lane_answers.c when the taker has consumed, spool.c when the disk has.   Runs in: the owning loop.
 * In order: what lies on disk (spool.c), what was gathered in memory, what the client still sends.
 * Full: without a credit or a chunk the body pauses, and so does the client (TCP). Nothing goes before the taker asks: chunks are few, and a request that
 * waits in the queue with four of them could starve the one that the only pyworker is busy with. */
#include <errno.h>

#include "lane_priv.h"
#include "spool.h"

/* Puts the next bytes into the chunk that is being filled. 1 some, 0 none now, -EAGAIN: the disk is at it, -status. */
static int
fill_chunk(struct request *r)
{
        char *to = (char *)ipc_chunk_buffer(r->lane->ipc, (uint32_t)r->chunk) + r->chunk_len;
        size_t room = ipc_lane_geometry(r->lane->ipc)->chunk_bytes - r->chunk_len, n = out_len(&r->gathered);
        const char *from;
        int e;

        if (r->spool != NULL && spool_has_more(r->spool)) {
                long got = spool_read(r->spool, to, room);
                if (got > 0)
                        r->chunk_len += (uint32_t)got;
                return got > 0 ? 1 : got == -EAGAIN ? -EAGAIN : -503;
        }
        if (n > 0) {
                n = n < room ? n : room;
                memcpy(to, r->gathered.buf + r->gathered.start, n);
                r->gathered.start += (uint32_t)n;
                r->chunk_len += (uint32_t)n;
                return 1;
        }
        e = request_pull(r, room, &from, &n);
        if (e > 0) {
                memcpy(to, from, n);
                r->chunk_len += (uint32_t)n;
        }
        return e;
}

/* Tells the taker about the filled chunk. 0, or -EAGAIN: it has enough for now. */
static int
push_chunk(struct request *r, bool last)
{
        struct lane *l = r->lane;
        int e = ipc_body_push(l->ipc, r->slot, r->chunk_len > 0 ? (uint32_t)r->chunk : UINT32_MAX, r->chunk_len, last);

        if (e < 0)
                return e;
        if (r->chunk_len > 0) {
                l->slots[r->slot].outstanding++;
        } else if (r->chunk != NO_CHUNK) {
                ipc_chunk_unclaim(l->ipc, (uint32_t)r->chunk);
        }
        r->chunk = NO_CHUNK;
        r->chunk_len = 0;
        r->last_pushed = last;
        return 0;
}

void
lane_body(struct request *r)
{
        struct lane *l = r->lane;
        uint32_t chunk_bytes, chunk;
        bool all;
        int e;

        if (!r->body_wanted) {
                r->body_paused = true;
                return;
        }
        request_body_resume(r);
        while (l != NULL && !r->last_pushed) {
                if (r->expect_continue && r->raw_pos == r->conn->in_end - r->conn->in_start)
                        return; /* until the handler wants it */
                if (r->chunk == NO_CHUNK) {
                        if (ipc_chunk_claim(l->ipc, &chunk) < 0) {
                                l->starved = r->body_paused = true;
                                return;
                        }
                        r->chunk = (int32_t)chunk;
                        r->chunk_len = 0;
                }
                chunk_bytes = ipc_lane_geometry(l->ipc)->chunk_bytes;
                e = r->chunk_len < chunk_bytes ? fill_chunk(r) : 0;
                if (e == -EAGAIN) {
                        r->body_paused = true;
                        return;
                }
                if (e < 0) {
                        request_fail(r, (unsigned)-e, true);
                        return;
                }
                all = r->body_ended && out_len(&r->gathered) == 0 && (r->spool == NULL || !spool_has_more(r->spool));
                if (e > 0 && r->chunk_len < chunk_bytes && !all)
                        continue;
                if (r->chunk_len == chunk_bytes || all) {
                        if (push_chunk(r, all) < 0) {
                                r->body_paused = true;
                                return;
                        }
                        continue;
                }
                e = request_read_more(r);
                if (e < 0) {
                        ipc_body_abort(l->ipc, r->slot);
                        r->broken = true;
                        return;
                }
                if (e == 0) {
                        /* Nothing more for now: a taker that has read all it got need not wait for a full chunk. */
                        if (r->chunk_len > 0 && l->slots[r->slot].outstanding == 0)
                                (void)push_chunk(r, false);
                        return;
                }
        }
        if (r->last_pushed)
                r->body = BODY_STATE_NONE;
}

void
lane_ack(struct request *r, uint32_t bytes)
{
        ipc_slot_ack(r->lane->ipc, r->slot, bytes);
}
