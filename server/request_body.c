/* request_body.c - a request's body as it comes in: decoded, limited, gathered or dropped.
 * SPDX-License-Identifier: MIT
 * From: request.c and lane_body.c ask for more.   To: http1.h decodes chunks; conn.c reads.   Runs in: the owning loop.
 * Bounds: limits.body (413), body_min_rate (408), what is gathered before Python sees the request, what is read only to be dropped. */
#include "request.h"

#include "lane.h"

#define DISCARD_MAX (256u << 10)   /* an unwanted body is read to its end up to here, to keep the connection; past it: close */
#define GATHER_MAX (60u << 10)     /* a body gathered before Python sees the request: with its head it fits a chunk */
#define RATE_WINDOW_MS 5000        /* body_min_rate is looked at over this long */
#define TRAILERS_MAX 8192

static void
restart_rate(struct request *r)
{
        r->rate_ms = r->conn->loop->now_ms;
        r->rate_bytes = r->body_bytes;
        r->conn->deadline_ms = r->rate_ms + RATE_WINDOW_MS;
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
        restart_rate(r);
}

/* The next decoded bytes, at most `room`; they must be used at once. 1 with bytes, 0 none now (perhaps the end: body_ended), -status. */
int
request_pull(struct request *r, size_t room, const char **ret_bytes, size_t *ret_len)
{
        struct conn *c = r->conn;
        char *at = c->in + c->in_start + r->raw_pos;
        size_t len = c->in_end - c->in_start - r->raw_pos, used, n;
        int e;

        if (r->body_ended || len == 0)
                return 0;
        r->expect_continue = false; /* the client did not wait */
        if (len > room)
                len = room;
        if (r->head.chunked) {
                e = http_chunked_decode(&r->chunked, at, len, TRAILERS_MAX, &used, &n);
                if (e < 0)
                        return e;
                r->body_ended = e == 1;
        } else {
                used = n = len < r->body_left ? len : (size_t)r->body_left;
                r->body_left -= n;
                r->body_ended = r->body_left == 0;
        }
        r->raw_pos += (uint32_t)used;
        r->body_bytes += n;
        if (r->body_bytes > r->body_limit && r->body != BODY_STATE_DISCARDING)
                return -413;
        *ret_bytes = at;
        *ret_len = n;
        return n > 0 ? 1 : 0;
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

/* Gather the body; hand the request over when it is whole, or too large to gather. */
void
request_gather(struct request *r)
{
        const char *p;
        size_t n;
        int e;

        for (;;) {
                size_t room = GATHER_MAX - out_len(&r->gathered);
                e = room > 0 ? request_pull(r, room, &p, &n) : 0;
                if (e < 0) {
                        request_fail(r, (unsigned)-e, true);
                        return;
                }
                if (e > 0)
                        out_add(&r->gathered, p, n);
                if (r->body_ended || out_len(&r->gathered) >= GATHER_MAX) {
                        dispatch_python(r);
                        return;
                }
                if (e > 0)
                        continue;
                e = request_read_more(r);
                if (e < 0)
                        r->broken = true;
                if (e <= 0)
                        return;
        }
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

/* Does the body wait for the client (and not for the handler)? */
static bool
waits_for_client(const struct request *r)
{
        if (r->body_ended || r->body == BODY_STATE_NONE || r->expect_continue)
                return false;
        return r->body != BODY_STATE_STREAMING || !r->body_paused;
}

void
request_body_late(struct request *r)
{
        uint64_t rate = r->limits->body_min_rate, ms = r->conn->loop->now_ms - r->rate_ms;

        if (r->body_ended || r->body == BODY_STATE_NONE)
                return;
        if (waits_for_client(r) && (r->body_bytes - r->rate_bytes) * 1000 < rate * ms) {
                if (r->answer == ANSWER_COMPLETE) {
                        r->keep_alive = false;
                        r->body = BODY_STATE_NONE;
                } else {
                        request_fail(r, 408, true);
                }
                return;
        }
        restart_rate(r);
}
