/* file_send.h - a file, or parts of it, go out as the socket takes them.
 * SPDX-License-Identifier: MIT
 * Lives in its request; the owning loop's thread only. It holds its open_file, so the descriptor stays open and the state of the file is one from the first byte to the last. */
#ifndef HEART_FILE_SEND_H
#define HEART_FILE_SEND_H

#include <stdbool.h>

#include "open_files.h"
#include "ranges.h"

struct request;
struct file_parts; /* multipart/byteranges: what is still to come */

struct file_send {
        struct open_file *file;   /* NULL: nothing to send */
        uint64_t offset, left;    /* of the run of bytes being sent */
        uint64_t warm;            /* the bytes up to here were in memory when we looked last */
        struct file_parts *parts; /* NULL: one run and no more */
        uint64_t turn_us;         /* fed: loop clock of this turn, */
        uint32_t turned;          /* and the bytes of the file that went in it */
        bool fed;                 /* the body is being changed on its way: it goes through outgoing_body, not by sendfile */
};

/* The head is in conn->out, its body is still to come: this run of f. */
void file_send_begin(struct request *r, struct open_file *f, uint64_t offset, uint64_t length);
/* On: true when the last byte was given away. False: not now (conn->out is not empty, the socket is full, a blocking thread reads), or the answer broke off (r->broken). */
bool file_send_step(struct request *r);
void file_send_end(struct request *r); /* lets go of it; more than once is fine */

/* Several ranges (RFC 9110, 14.6). The head says parts_type and parts_length; then either all at once or as file_send_begin. */
struct file_parts *file_parts_new(const struct open_file *f, const struct ranges *ranges, uint64_t seed, struct span type); /* NULL without memory; type: of each part */
void file_parts_free(struct file_parts *p);
struct span file_parts_type(const struct file_parts *p);       /* "multipart/byteranges; boundary=..." */
uint64_t file_parts_length(const struct file_parts *p);        /* of the whole body */
void file_parts_all(struct request *r, struct file_parts *p, const struct open_file *f);   /* from memory */
void file_parts_begin(struct request *r, struct file_parts *p, struct open_file *f); /* p is given */

#endif
