/* outgoing.c - an answer's head and body on their way out. Contract in outgoing.h.
 * SPDX-License-Identifier: MIT
 * From: dispatch.c, serve_file.c, request.c (failures), answer.c (Python).   To: response.c writes bytes into conn->out.   Runs in: the owning loop. */
#include "outgoing_priv.h"

#include <assert.h>

#include "compress.h"
#include "cors.h"
#include "header_edits.h"
#include "open_files.h"

void
outgoing_begin(struct outgoing *h, struct request *r, unsigned status)
{
        *h = (struct outgoing){ .r = r, .policy = r->policy, .status = status, .cors = cors_of(r) };
        h->plain = h->policy->plain && h->cors == NULL;
        if (h->policy->headers != NULL && header_edits_drop_server(h->policy->headers))
                response_begin_unnamed(&r->conn->out, status, &r->conn->loop->date);
        else
                response_begin(&r->conn->out, status, r->head.minor, &r->conn->loop->date);
}

void
outgoing_field(struct outgoing *h, enum ipc_header_id id, struct span name, struct span value)
{
        if (h->plain || (fields_admit(h, id, name, value) && (h->policy->compress == NULL || !coding_holds(h, id, name, value))))
                response_header(&h->r->conn->out, name, value);
}

void
outgoing_lines(struct outgoing *h, struct span lines)
{
        out_add_span(&h->r->conn->out, lines);
}

/* The rest of the head. */
static void
end_head(struct outgoing *h, enum body_kind kind, uint64_t length)
{
        struct request *r = h->r;

        if (kind == BODY_UNTIL_CLOSE)
                r->keep_alive = false;
        if (!h->plain)
                fields_end(h);
        if (r->lines_len > 0)
                out_add(&r->conn->out, r->lines, r->lines_len);
        response_end(&r->conn->out, r->head.minor, r->keep_alive, kind, length);
        request_answer_started(r, h->status, kind, length);
}

void
outgoing_end(struct outgoing *h, enum body_kind kind, uint64_t length)
{
        enum coding coding = CODING_IDENTITY;
        struct request *r = h->r;
        bool promised = kind == BODY_LENGTH;

        if (h->policy->compress != NULL) {
                coding = coding_choose(h, promised ? length : UINT64_MAX);
                if (coding != CODING_IDENTITY && !r->head_only && !coding_open(h, coding, promised ? length : UINT64_MAX))
                        coding = CODING_IDENTITY;
                coding_lines(h, coding);
        }
        if (coding != CODING_IDENTITY && r->head_only && promised && length <= COMPRESS_ONE_RECORD)
                kind = BODY_NONE; /* a GET would say how long it becomes, and only that would tell (RFC 9110, 9.3.2: it may be left out) */
        else if (coding != CODING_IDENTITY)
                kind = r->head.minor == 0 ? BODY_UNTIL_CLOSE : BODY_CHUNKED; /* how long it becomes is not known */
        end_head(h, kind, length);
        r->promised = promised;
}

/* of: the file that the parts are of; NULL: none. */
static void
send_whole(struct outgoing *h, const struct span *parts, size_t count, struct open_file *of)
{
        enum body_kind kind = response_has_body(h->status) ? BODY_LENGTH : BODY_NONE;
        enum coding coding = CODING_IDENTITY;
        struct request *r = h->r;
        struct span coded = { NULL, 0 };
        uint64_t length = 0;

        for (size_t i = 0; i < count; i++)
                length += parts[i].len;
        if (h->policy->compress != NULL) {
                coding = kind == BODY_LENGTH ? coding_choose(h, length) : CODING_IDENTITY;
                if (coding != CODING_IDENTITY && length <= COMPRESS_WHOLE_MAX)
                        coded = of != NULL ? coding_file(h, coding, of) : coding_whole(h, coding, parts, count, length);
                if (coded.ptr != NULL)
                        parts = &coded, count = 1, length = coded.len;
                coding_lines(h, coded.ptr != NULL ? coding : CODING_IDENTITY);
        }
        end_head(h, kind, length);
        for (size_t i = 0; i < count && !r->head_only && r->framing == BODY_LENGTH; i++)
                outgoing_body(r, parts[i]);
        request_answer_complete(r);
}

void
outgoing_whole(struct outgoing *h, const struct span *parts, size_t count)
{
        send_whole(h, parts, count, NULL);
}

void
outgoing_file(struct outgoing *h, struct open_file *f)
{
        struct span body = { f->ready.body, (size_t)f->size };

        assert(f->fd < 0);
        send_whole(h, &body, 1, f);
}

/* Bytes as they go over the wire but for their frame. */
static void
put(struct request *r, struct span bytes)
{
        struct out *o = r->out;

        if (r->framing == BODY_CHUNKED)
                response_chunk(o, bytes);
        else
                out_add_span(o, bytes);
        r->answer_bytes += bytes.len;
}

void
outgoing_body(struct request *r, struct span bytes)
{
        assert(r->answer == ANSWER_STARTED && !r->head_only && r->framing != BODY_NONE);
        if (r->promised) {
                assert(bytes.len <= r->answer_left);
                r->answer_left -= bytes.len;
        }
        put(r, r->encoder != NULL ? coding_add(r, bytes, ENCODER_MORE) : bytes);
}

void
outgoing_flush(struct request *r)
{
        if (r->encoder != NULL && r->unflushed)
                put(r, coding_add(r, SPAN_LIT(""), ENCODER_FLUSH));
}

void
outgoing_finish(struct request *r)
{
        if (r->encoder != NULL)
                put(r, coding_add(r, SPAN_LIT(""), ENCODER_END));
        if (r->framing == BODY_CHUNKED && !r->head_only)
                response_last_chunk(r->out);
        request_answer_complete(r);
}
