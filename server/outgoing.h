/* outgoing.h - every answer on its way out: heart's own and Python's pass here, so that what a route's policy says of answers holds for all of them.
 * SPDX-License-Identifier: MIT
 * A struct outgoing is the head in the making, on the stack of who makes it; values given to outgoing_field must live until outgoing_end or outgoing_whole.
 * The owning loop's thread only. Without memory conn->out has failed, and the connection is closed. */
#ifndef HEART_OUTGOING_H
#define HEART_OUTGOING_H

#include "policy.h"
#include "request.h"

struct open_file;

#define OUTGOING_VARY_MAX 8

struct outgoing {
        struct request *r;
        const struct policy *policy;
        unsigned status;
        struct span type, etag;  /* as they passed; .ptr NULL: not there */
        bool encoded;            /* Content-Encoding, Content-Range or no-transform: the body must stay as it is */
        /* outgoing_fields.c's: */
        bool plain;              /* nobody looks at the fields */
        const struct cors *cors; /* NULL: none */
        uint8_t vary_count;
        struct span vary[OUTGOING_VARY_MAX]; /* what the answer depends on: held back, so that it goes out as one field */
        /* outgoing_coding.c's: */
        bool varies;             /* another client may get the body compressed, or not */
        struct span ranges;      /* Accept-Ranges: held back as etag is */
};

/* Status line, Server and Date. */
void outgoing_begin(struct outgoing *h, struct request *r, unsigned status);
/* One field. Connection, Transfer-Encoding and Content-Length are outgoing_end's. */
void outgoing_field(struct outgoing *h, enum ipc_header_id id, struct span name, struct span value);
/* The answer depends on these fields of the request: "Origin". Lives until the head is complete. */
void outgoing_vary(struct outgoing *h, struct span names);
/* Lines of heart's own, each with CRLF, that no policy changes. */
void outgoing_lines(struct outgoing *h, struct span lines);
/* The head is complete; the body, `length` bytes of it for BODY_LENGTH, follows by outgoing_body. The request's answer has started. */
void outgoing_end(struct outgoing *h, enum body_kind kind, uint64_t length);
/* The head is complete and this is the body, whole: the answer is complete. HEAD sends none of it; 204 and 304 have none. */
void outgoing_whole(struct outgoing *h, const struct span *parts, size_t count);

/* The same, of a small file that open_files.c knows: what was compressed once is not compressed again. */
void outgoing_file(struct outgoing *h, struct open_file *f);

/* More of the body, framed. Bytes past the length that was promised are the caller's to cut (r->answer_left). */
void outgoing_body(struct request *r, struct span bytes);
/* What was given and waits within the compressor goes out, so that the client sees it now. */
void outgoing_flush(struct request *r);
/* The body will get no further: what compressed it is free for others. */
void outgoing_encoder_done(struct request *r);
/* All of the body was given: its end. The caller has seen to it that nothing is owed. */
void outgoing_finish(struct request *r);

#endif
