/* request_body.c - a request's body as it comes in: decoded, limited, gathered or dropped.
 * SPDX-License-Identifier: MIT
 * From: request.c and lane_body.c ask for more.   To: http1.h decodes chunks; conn.c reads.   Runs in: the owning loop.
 * Bounds: limits.body (413), body_min_rate (408), body_buffer (what is gathered before Python sees the request: the first 60k in memory, what is longer on
 * disk, spool.c), what is read only to be dropped.
 * Whoever wants a whole body holds no pyworker while a slow client sends it. A body that waits for its 100 is not gathered: that is owed when the handler reads. */
#include "request.h"

#include <errno.h>

#include "decompress.h"
#include "in_flight.h"
#include "lane.h"
#include "spool.h"

#define DISCARD_MAX (256u << 10)   /* an unwanted body is read to its end up to here, to keep the connection; past it: close */
#define GATHER_MAX (60u << 10)     /* of a gathered body in memory: with its head it fits a chunk. What is longer goes to disk in pieces of this */
#define GATHER_SCARCE (8u << 10)   /* the same while a loop holds more than this for all its requests: thousands of slow uploads wait on disk, not in memory */
#define GATHER_PLENTY (32u << 20)
#define RATE_WINDOW_MS 5000        /* body_min_rate is looked at over this long */

static void
restart_rate(struct request *r)
{
        r->rate_ms = r->conn->loop->now_ms;
        r->rate_bytes = r->body_wire;
        r->conn->deadline_ms = r->rate_ms + RATE_WINDOW_MS;
}

/* The client's turn again, after the disk or the handler was slower: its pace counts from now on. */
void
request_body_resume(struct request *r)
{
        if (!r->body_paused)
                return;
        r->body_paused = false;
        if (!r->body_ended)
                restart_rate(r);
}

void
request_body_begin(struct request *r)
{
        if (r->head.chunked) {
                http_chunked_init(&r->chunked);
        } else if (r->head.content_length > 0) {
                r->body_left = (uint64_t)r->head.content_length;
        } else {
                r->body_ended = true;
                return;
        }
        r->body = BODY_STATE_DISCARDING; /* until somebody wants it */
        r->expect_continue = r->head.expect_continue;
        if (r->expect_continue)
                r->keep_alive = false; /* until the body is on its way: who is answered before may send it or not (RFC 9110, 10.1.1) */
        restart_rate(r);
}

/* What the framing of the message holds next, at most `room` bytes: 1, 0 none now (perhaps the end), -status. */
static int
pull_framed(struct request *r, size_t room, const char **ret_bytes, size_t *ret_len)
{
        struct conn *c = r->conn;
        char *at = c->in + c->in_start + r->raw_pos;
        size_t len = c->in_end - c->in_start - r->raw_pos, used, n;
        int e;

        if (r->body_ended || len == 0)
                return 0;
        if (r->expect_continue)
                request_expected(r); /* the client did not wait */
        do {
                size_t most = len < room ? len : room;
                if (r->head.chunked) {
                        e = http_chunked_decode(&r->chunked, at, most, r->limits->header, &used, &n);
                        if (e < 0)
                                return e;
                        r->body_ended = e == 1;
                } else {
                        used = n = most < r->body_left ? most : (size_t)r->body_left;
                        r->body_left -= n;
                        r->body_ended = r->body_left == 0;
                }
                r->raw_pos += (uint32_t)used;
                *ret_bytes = at;
                at += used;
                len -= used;
        } while (n == 0 && len > 0 && !r->body_ended); /* nothing but sizes and extensions: what follows them may be here already */
        *ret_len = n;
        r->body_wire += n;
        return n > 0 ? 1 : 0;
}

/* The one place that every byte of a body passes. A content coding is undone between the framing and the limits. */
int
request_pull(struct request *r, size_t room, const char **ret_bytes, size_t *ret_len)
{
        int e;

        if (r->inflater != NULL && r->body == BODY_STATE_DISCARDING)
                decompress_end(r);
        e = r->inflater != NULL ? decompress_pull(r, pull_framed, room, ret_bytes, ret_len) : pull_framed(r, room, ret_bytes, ret_len);
        if (e > 0)
                r->body_bytes += *ret_len;
        /* A chunk's size alone may be over the limit already. */
        if (e >= 0 && (r->body_bytes > r->body_limit || r->body_wire + r->chunked.left > r->body_limit) && r->body != BODY_STATE_DISCARDING)
                return -413;
        return e;
}

/* Reads more of the body into the input buffer, whose consumed part behind the head is used again. 1, 0 nothing now, -1 the client broke off. */
int
request_read_more(struct request *r)
{
        struct conn *c = r->conn;

        if (c->in_start + r->raw_pos == c->in_end) {
                c->in_end = c->in_start + r->head_len;
                r->raw_pos = r->head_len;
        }
        if (c->eof || c->hup)
                return -1;
        if (!c->readable)
                return 0;
        switch (conn_fill(c)) {
        case 1:
                return c->eof ? -1 : 1;
        case 0:
                return 0;
        default:
                return -1;
        }
}

/* ---- gathering ----------------------------------------------------------------------------------------------------------- */

static uint64_t
buffer_limit(const struct request *r)
{
        return r->route->body_buffer != UINT64_MAX ? r->route->body_buffer : r->limits->body_buffer;
}

bool
request_gathers(const struct request *r)
{
        return !r->body_ended && !r->expect_continue && buffer_limit(r) > 0 && (r->head.chunked || r->body_left <= buffer_limit(r));
}

/* What is gathered in memory goes to disk. 0, -EAGAIN: not yet, -1: it cannot, and was answered. */
static int
spill(struct request *r)
{
        int e = 0;

        if (r->spool == NULL)
                e = spool_new(r, SPOOL_BODY, r->head.chunked || r->decompressed ? 0 : (uint64_t)r->head.content_length, &r->spool);
        if (e == 0)
                e = spool_write(r->spool, &r->gathered);
        if (e == 0 || e == -EAGAIN)
                return e;
        request_busy(r);
        return -1;
}

static bool
is_scarce(const struct request *r)
{
        return r->conn->loop->gathered_room > GATHER_PLENTY;
}

/* How much of the loop's memory the request holds now. */
static void
account(struct request *r)
{
        struct loop *l = r->conn->loop;

        l->gathered_room -= r->gathered_room;
        r->gathered_room = (uint32_t)(r->gathered.room + (r->spool != NULL ? spool_memory(r->spool) : 0));
        l->gathered_room += r->gathered_room;
}

/* Gathered as far as it goes: the request is handed over as soon as the disk has what it was given. */
static void
hand_over(struct request *r)
{
        int e = r->spool != NULL ? spool_settled(r->spool) : 0;

        r->body_paused = e == -EAGAIN;
        if (e == 0 && !in_flight_ready(r)) {
                r->body_paused = true;
        } else if (e == 0) {
                if (r->spool != NULL)
                        spool_rest(r->spool);
                account(r);
                dispatch_python(r);
                if (r->conn->rdhup)
                        request_client_left(r); /* while the body was gathered; nobody could be told then */
        } else if (e != -EAGAIN) {
                request_busy(r);
        }
}

static void
gather(struct request *r)
{
        const char *p;
        size_t n, most = is_scarce(r) ? GATHER_SCARCE : GATHER_MAX;
        int e;

        for (;;) {
                if (r->body_ended || r->body_bytes > buffer_limit(r)) {
                        hand_over(r);
                        return;
                }
                if (out_len(&r->gathered) >= most) {
                        e = spill(r);
                        r->body_paused = e == -EAGAIN;
                        if (e < 0)
                                return;
                }
                e = request_pull(r, most - out_len(&r->gathered), &p, &n);
                if (e < 0) {
                        request_fail(r, (unsigned)-e, true);
                        return;
                }
                if (e > 0) {
                        out_add(&r->gathered, p, n);
                        if (r->gathered.failed) {
                                request_fail(r, 503, true);
                                return;
                        }
                        continue;
                }
                if (r->body_ended)
                        continue;
                e = request_read_more(r);
                if (e < 0)
                        r->broken = true;
                if (e <= 0)
                        return;
        }
}

/* Gather the body; hand the request over when it is whole, or longer than body_buffer (one in chunks, of which nobody knew): then the rest streams. */
void
request_gather(struct request *r)
{
        request_body_resume(r);
        if (r->spool != NULL && is_scarce(r))
                spool_rest(r->spool); /* what is on its way to the disk stays; what has been there goes */
        gather(r);
        account(r);
}

void
request_discard(struct request *r)
{
        const char *p;
        size_t n;
        int e;

        for (;;) {
                e = request_pull(r, SIZE_MAX, &p, &n);
                if (r->body_ended) {
                        r->body = BODY_STATE_NONE;
                        return;
                }
                if (e < 0 || r->body_bytes > DISCARD_MAX || (!r->head.chunked && r->body_left > DISCARD_MAX)) {
                        r->keep_alive = false; /* framing is lost, or reading on costs more than a new connection */
                        r->body = BODY_STATE_NONE;
                        return;
                }
                if (e > 0)
                        continue;
                e = request_read_more(r);
                if (e < 0) {
                        r->keep_alive = false;
                        r->body = BODY_STATE_NONE;
                        return;
                }
                if (e == 0)
                        return;
        }
}

/* Does the body wait for the client (and not for the handler or the disk)? */
static bool
waits_for_client(const struct request *r)
{
        if (r->body_ended || r->body == BODY_STATE_NONE || r->expect_continue)
                return false;
        if (r->body == BODY_STATE_DISCARDING)
                return r->answer != ANSWER_WAITING; /* until it is answered nobody reads */
        return !r->body_paused;
}

void
request_body_late(struct request *r)
{
        bool own = r->route != NULL && r->route->body_min_rate != UINT64_MAX;
        uint64_t rate = own ? r->route->body_min_rate : r->limits->body_min_rate, ms = r->conn->loop->now_ms - r->rate_ms;

        if (r->body_ended || r->body == BODY_STATE_NONE)
                return;
        if (waits_for_client(r) && (r->body_wire - r->rate_bytes) * 1000 < rate * ms) {
                if (r->body == BODY_STATE_DISCARDING) { /* nobody is waiting for it: its answer goes on, the connection ends behind it */
                        r->keep_alive = false;
                        r->body = BODY_STATE_NONE;
                } else {
                        request_fail(r, 408, true);
                }
                return;
        }
        restart_rate(r);
}
