/* outgoing.c - an answer's head and body on their way out. Contract in outgoing.h.
 * SPDX-License-Identifier: MIT
 * From: dispatch.c, serve_file.c, request.c (failures), answer.c (Python).   To: response.c writes bytes into conn->out.   Runs in: the owning loop. */
#include "outgoing.h"

#include <assert.h>
#include <strings.h>

void
outgoing_begin(struct outgoing *h, struct request *r, unsigned status)
{
        *h = (struct outgoing){ .r = r, .policy = r->policy, .status = status };
        response_begin(&r->conn->out, status, r->head.minor, &r->conn->loop->date);
}

/* What compression and the like want to know about the answer. */
static void
note_field(struct outgoing *h, enum ipc_header_id id, struct span value)
{
        switch (id) {
        case IPC_H_CONTENT_TYPE:
                h->type = value;
                break;
        case IPC_H_ETAG:
                h->etag = value;
                break;
        case IPC_H_CONTENT_ENCODING:
        case IPC_H_CONTENT_RANGE:
                h->encoded = true;
                break;
        case IPC_H_CACHE_CONTROL:
                h->encoded = h->encoded || (value.len >= 12 && memmem(value.ptr, value.len, "no-transform", 12) != NULL); /* RFC 9111, 5.2.2.6 */
                break;
        default:
                break;
        }
}

void
outgoing_field(struct outgoing *h, enum ipc_header_id id, struct span name, struct span value)
{
        if (!h->policy->plain)
                note_field(h, id, value);
        response_header(&h->r->conn->out, name, value);
}

void
outgoing_lines(struct outgoing *h, struct span lines)
{
        out_add_span(&h->r->conn->out, lines);
}

void
outgoing_end(struct outgoing *h, enum body_kind kind, uint64_t length)
{
        struct request *r = h->r;

        if (kind == BODY_UNTIL_CLOSE)
                r->keep_alive = false;
        if (r->lines_len > 0)
                out_add(&r->conn->out, r->lines, r->lines_len);
        response_end(&r->conn->out, r->head.minor, r->keep_alive, kind, length);
        request_answer_started(r, h->status, kind, length);
}

void
outgoing_whole(struct outgoing *h, const struct span *parts, size_t count)
{
        struct request *r = h->r;
        uint64_t length = 0;

        for (size_t i = 0; i < count; i++)
                length += parts[i].len;
        outgoing_end(h, response_has_body(h->status) ? BODY_LENGTH : BODY_NONE, length);
        for (size_t i = 0; i < count && !r->head_only && r->framing == BODY_LENGTH; i++)
                outgoing_body(r, parts[i]);
        request_answer_complete(r);
}

void
outgoing_body(struct request *r, struct span bytes)
{
        struct out *o = &r->conn->out;

        assert(r->answer == ANSWER_STARTED && !r->head_only && r->framing != BODY_NONE);
        if (r->framing == BODY_CHUNKED)
                response_chunk(o, bytes);
        else
                out_add_span(o, bytes);
        if (r->framing == BODY_LENGTH) {
                assert(bytes.len <= r->answer_left);
                r->answer_left -= bytes.len;
        }
        r->answer_bytes += bytes.len;
}

void
outgoing_finish(struct request *r)
{
        if (r->framing == BODY_CHUNKED && !r->head_only)
                response_last_chunk(&r->conn->out);
        request_answer_complete(r);
}
