/* answer.c - a pyworker's answer becomes the client's bytes: framing is settled here and nowhere else.
 * SPDX-License-Identifier: MIT
 * From: lane.c, record by record.   To: conn->out, bounded by the window that lane_ack opens as the client reads (ipc.h, IPC_WINDOW).   Runs in: the owning loop. */
#include "answer.h"

#include <assert.h>
#include <errno.h>

#include "auth.h"
#include "error_pages.h"
#include "handover.h"
#include "lane.h"
#include "log.h"
#include "outgoing.h"

/* Of one connection (RFC 9110, 7.6.1), or ours to say. */
bool
answer_is_ours(uint8_t id)
{
        switch (id) {
        case IPC_H_CONNECTION:
        case IPC_H_KEEP_ALIVE:
        case IPC_H_PROXY_CONNECTION:
        case IPC_H_TRANSFER_ENCODING:
        case IPC_H_TE:
        case IPC_H_TRAILER:
        case IPC_H_UPGRADE:
        case IPC_H_DATE:
        case IPC_H_SERVER:
                return true;
        default:
                return false;
        }
}

/* Digits only, below 2^63. -1: something else. */
static int64_t
parse_length(struct ipc_span v)
{
        int64_t n = 0;

        if (v.len == 0 || v.len > 18)
                return -1;
        for (size_t i = 0; i < v.len; i++) {
                if (v.ptr[i] < '0' || v.ptr[i] > '9')
                        return -1;
                n = n * 10 + (v.ptr[i] - '0');
        }
        return n;
}

static enum body_kind
framing_of(const struct request *r, unsigned status, int64_t length)
{
        if (status == 204 || status == 304)
                return BODY_NONE;
        if (length >= 0)
                return BODY_LENGTH;
        return r->head.minor == 0 ? BODY_UNTIL_CLOSE : BODY_CHUNKED;
}

/* The head names a file: nothing of it goes out as it is. The pyworker may say more; the file's turn comes in answer_end. */
static int
hand_over(struct request *r, const uint8_t *payload, size_t len, size_t body_len, size_t before)
{
        int e = handover_begin(r, payload, len);

        r->conn->out.end = r->conn->out.start + (uint32_t)before;
        if (e == -ENOMEM) {
                request_fail(r, 503, false);
                return 0;
        }
        if (e == 0 && body_len > 0)
                lane_ack(r, (uint32_t)body_len);
        return e;
}

/* Is the body of an answer that came in one record all there? One for HEAD may come without it: then its length is what a GET would have. */
static bool
is_whole(const struct request *r, const struct ipc_answer *a, int64_t length)
{
        return (length < 0 || length == (int64_t)a->body.len) && (a->body.len > 0 || !r->head_only);
}

int
answer_head(struct request *r, const uint8_t *payload, size_t len, bool end)
{
        struct outgoing h;
        struct ipc_answer a;
        struct ipc_field f;
        enum body_kind kind;
        int64_t length;
        size_t before;

        if (r->handover != NULL || r->answer != ANSWER_WAITING)
                return -EPROTO;
        if (r->asking == ASK_AUTH) {
                int e = auth_answer_head(r, payload, len);

                if (e <= 0)
                        return e;
        }
        if (ipc_answer_decode(payload, len, &a) < 0 || a.status < 200 || a.status > 999)
                return -EPROTO;
        if (r->asking == ASK_AUTH)
                r->asking = ASK_ACTION; /* refused: from here on this is the client's answer, and what comes of it is no verdict */
        if (r->asking == ASK_ERROR_PAGE && !error_pages_take(r, a)) {
                lane_ack(r, (uint32_t)a.body.len);
                return 0;
        }
        if (r->asking == ASK_ERROR_PAGE)
                a.status = r->error_status;
        length = a.content_length;
        before = out_len(&r->conn->out);
        outgoing_begin(&h, r, a.status);
        while (ipc_answer_field(&a, &f)) {
                if (f.id == IPC_H_CONTENT_LENGTH) {
                        if (length < 0)
                                length = parse_length(f.value);
                } else if (f.id == IPC_H_X_ACCEL_REDIRECT || f.id == IPC_H_X_SENDFILE) {
                        if (response_has_body(a.status) && a.status != 205) /* 304 beside a file's name is a 304 still */
                                return hand_over(r, payload, len, a.body.len, before);
                } else if (!answer_is_ours(f.id) && !(r->asking == ASK_ERROR_PAGE && error_pages_has(r, (struct span){ f.name.ptr, f.name.len }))) {
                        outgoing_field(&h, f.id, (struct span){ f.name.ptr, f.name.len }, (struct span){ f.value.ptr, f.value.len });
                }
        }
        if (r->asking == ASK_ERROR_PAGE)
                outgoing_lines(&h, error_pages_lines(r));
        if (end && length < 0 && !r->head_only)
                length = (int64_t)a.body.len;
        if (end && r->policy->compress != NULL && is_whole(r, &a, length)) { /* its length is known also when it is compressed */
                struct span body = { a.body.ptr, a.body.len };

                outgoing_whole(&h, &body, 1);
                return 0;
        }
        kind = framing_of(r, a.status, length);
        outgoing_end(&h, kind, length >= 0 ? (uint64_t)length : 0);
        return answer_body(r, (struct span){ a.body.ptr, a.body.len });
}

int
answer_body(struct request *r, struct span bytes)
{
        struct span all = bytes;

        if (r->handover != NULL && r->answer == ANSWER_WAITING) { /* beside the file there is no body */
                lane_ack(r, (uint32_t)bytes.len);
                return 0;
        }
        if (r->asking == ASK_AUTH)
                return auth_answer_body(r, bytes.len);
        if (r->asking == ASK_ERROR_PAGE && !r->asked_well) {
                lane_ack(r, (uint32_t)bytes.len);
                return 0;
        }
        if (r->answer != ANSWER_STARTED)
                return -EPROTO;
        if (bytes.len == 0)
                return 0;
        if (r->head_only || r->framing == BODY_NONE) {
                lane_ack(r, (uint32_t)all.len);
                return 0;
        }
        if (r->promised && bytes.len > r->answer_left) {
                log_warning("request %llu: the app sent more than its Content-Length; the rest was dropped", (unsigned long long)r->id);
                bytes.len = (size_t)r->answer_left;
        }
        outgoing_body(r, bytes);
        r->unacked += (uint32_t)all.len;
        return 0;
}

void
answer_end(struct request *r)
{
        if (r->asking == ASK_AUTH) {
                auth_answer_end(r);
                return;
        }
        if (r->answer == ANSWER_COMPLETE)
                return;
        if (r->handover != NULL && r->answer == ANSWER_WAITING) {
                handover_go(r);
                return;
        }
        if (r->answer != ANSWER_STARTED) {
                request_fail(r, 500, false);
                return;
        }
        if (r->promised && r->answer_left > 0 && !r->head_only) {
                log_error("request %llu: the app sent %llu bytes less than its Content-Length; closing", (unsigned long long)r->id,
                          (unsigned long long)r->answer_left);
                request_answer_abort(r);
                return;
        }
        outgoing_finish(r);
}

void
answer_aborted(struct request *r, uint32_t status)
{
        assert(r->lane == NULL);
        if (r->answer == ANSWER_WAITING)
                request_fail(r, status >= 400 && status <= 599 ? status : 500, false);
        else
                request_answer_abort(r);
}
