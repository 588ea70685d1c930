/* outgoing_coding.c - an answer is compressed on its way out: its fields and its bytes. Contract in outgoing_priv.h.
 * SPDX-License-Identifier: MIT
 * From: outgoing.c.   To: compress.c says whether, accept_encoding.c with what, encoder.c does it.   Runs in: the owning loop.
 * ETag and Accept-Ranges (and Vary, outgoing_fields.c) are written only when the head ends, since a coded body is another representation: its tag is weak (RFC 9110, 8.8.1), what it is varies by
 * Accept-Encoding (12.5.5), and parts of it are not to be had. */
#include <strings.h>

#include "compress.h"
#include "open_files.h"
#include "outgoing_priv.h"

static bool
is_accept_ranges(enum ipc_header_id id, struct span name)
{
        return id == IPC_H_OTHER && name.len == 13 && strncasecmp(name.ptr, "accept-ranges", 13) == 0;
}

bool
coding_holds(struct outgoing *h, enum ipc_header_id id, struct span name, struct span value)
{
        if (id == IPC_H_CONTENT_TYPE) {
                h->type = value;
                return false;
        }
        if (id == IPC_H_ETAG && h->etag.ptr == NULL) {
                h->etag = value;
                return true;
        }
        if (is_accept_ranges(id, name) && h->ranges.ptr == NULL) {
                h->ranges = value;
                return true;
        }
        if (id != IPC_H_CONTENT_RANGE || h->status != 206) /* parts are never compressed, but Vary is said of them */
                h->encoded = h->encoded || compress_forbidden_by(id, name, value);
        return false;
}

enum coding
coding_choose(struct outgoing *h, uint64_t length)
{
        const struct compress *c = h->policy->compress;
        struct request *r = h->r;
        struct accept_encoding accepts;

        h->varies = !h->encoded && compress_fits(c, h->status, h->type, length);
        if (!h->varies || r->head_len == 0 || http_head_field(&r->head, IPC_H_ACCEPT_ENCODING) == NULL) /* head_len 0: what made no sense as a head asks for nothing */
                return CODING_IDENTITY;
        accept_encoding_of(&r->head, request_bytes(r), &accepts);
        return accept_encoding_choose(&accepts, c->offered, c->offered_count);
}

/* ---- fields ----------------------------------------------------------------------------------------------------------------------- */

/* Does a 304 confirm the weak twin of this tag? Then the client holds a coded body, and the tag is to say so. */
static bool
confirms_weak(const struct outgoing *h)
{
        struct span had;
        const char *at;

        if (h->status != 304 || h->r->head_len == 0 || h->etag.len == 0)
                return false;
        had = request_header(h->r, IPC_H_IF_NONE_MATCH);
        at = had.ptr != NULL ? memmem(had.ptr, had.len, h->etag.ptr, h->etag.len) : NULL;
        return at != NULL && at - had.ptr >= 2 && at[-2] == 'W' && at[-1] == '/';
}

static void
add_etag(struct outgoing *h, bool coded)
{
        bool strong = h->etag.len > 0 && h->etag.ptr[0] == '"';

        if (h->etag.ptr == NULL)
                return;
        out_add_span(&h->r->conn->out, strong && (coded || confirms_weak(h)) ? SPAN_LIT("ETag: W/") : SPAN_LIT("ETag: "));
        out_add_span(&h->r->conn->out, h->etag);
        out_add_span(&h->r->conn->out, SPAN_LIT("\r\n"));
}

void
coding_lines(struct outgoing *h, enum coding coding)
{
        struct out *o = &h->r->conn->out;
        bool coded = coding != CODING_IDENTITY;

        if ((h->status == 304 || h->status == 206) && !h->encoded) /* what a 200 would have said (RFC 9110, 15.3.7 and 15.4.5); its type is not known here */
                h->varies = true;
        add_etag(h, coded);
        if (h->varies)
                outgoing_vary(h, SPAN_LIT("Accept-Encoding"));
        if (coded)
                response_header(o, SPAN_LIT("Content-Encoding"), coding_name(coding));
        else if (h->ranges.ptr != NULL)
                response_header(o, SPAN_LIT("Accept-Ranges"), h->ranges);
}

/* ---- bytes ------------------------------------------------------------------------------------------------------------------------ */

struct span
coding_whole(struct outgoing *h, enum coding coding, const struct span *parts, size_t count, uint64_t length)
{
        struct loop *l = h->r->conn->loop;
        struct out *coded = encoders_scratch(&l->encoders);
        struct encoder *e = encoder_take(&l->encoders, coding, h->policy->compress->level[coding], length, true);
        int failed = e == NULL;

        for (size_t i = 0; i < count && !failed; i++)
                failed = encoder_add(e, parts[i], i + 1 == count ? ENCODER_END : ENCODER_MORE, coded) < 0;
        encoder_give(&l->encoders, e);
        if (failed || out_len(coded) >= length)
                return (struct span){ NULL, 0 };
        board_add(l->board, C_answers_compressed, 1);
        return (struct span){ coded->buf + coded->start, out_len(coded) };
}

struct span
coding_file(struct outgoing *h, enum coding coding, struct open_file *f)
{
        struct span plain = { f->ready.body, (size_t)f->size }, coded = open_file_coded(f, coding, h->policy->compress->level[coding]);
        struct loop *l = h->r->conn->loop;

        if (coded.ptr != NULL) {
                board_add(l->board, C_answers_compressed, 1);
                return coded;
        }
        coded = coding_whole(h, coding, &plain, 1, plain.len);
        if (coded.ptr != NULL)
                open_files_keep_coded(l->open_files, f, coding, h->policy->compress->level[coding], coded);
        return coded;
}

bool
coding_open(struct outgoing *h, enum coding coding, uint64_t length)
{
        struct loop *l = h->r->conn->loop;

        h->r->encoder = encoder_take(&l->encoders, coding, h->policy->compress->level[coding], length, false);
        if (h->r->encoder == NULL) {
                board_add(l->board, C_encoders_missed, 1);
                return false;
        }
        board_add(l->board, C_answers_compressed, 1);
        board_add(l->board, C_encoders_taken, 1);
        return true;
}

struct span
coding_add(struct request *r, struct span bytes, enum encoder_end end)
{
        struct out *coded = encoders_scratch(&r->conn->loop->encoders);

        if (encoder_add(r->encoder, bytes, end, coded) < 0)
                r->conn->out.failed = true;
        r->unflushed = end == ENCODER_MORE;
        if (end == ENCODER_END)
                outgoing_encoder_done(r);
        return (struct span){ coded->buf + coded->start, out_len(coded) };
}

void
outgoing_encoder_done(struct request *r)
{
        if (r->encoder == NULL)
                return;
        encoder_give(&r->conn->loop->encoders, r->encoder);
        r->encoder = NULL;
        board_add(r->conn->loop->board, C_encoders_given, 1);
}
