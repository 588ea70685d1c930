/* outgoing_priv.h - what outgoing.c has from outgoing_fields.c and outgoing_coding.c.
 * SPDX-License-Identifier: MIT
 * Only for answers that are not plain, and of outgoing_coding.c whose policy has `compress`. The owning loop's thread. */
#ifndef HEART_OUTGOING_PRIV_H
#define HEART_OUTGOING_PRIV_H

#include "outgoing.h"

/* ---- outgoing_fields.c ---- */
/* A field is to go out. False: it does not, or not now. */
bool fields_admit(struct outgoing *h, enum ipc_header_id id, struct span name, struct span value);
/* What CORS and the policy's header edits add, and Vary. */
void fields_end(struct outgoing *h);

/* ---- outgoing_coding.c ---- */
/* A field is to go out. True: it is held back until it is known whether the body will be coded. */
bool coding_holds(struct outgoing *h, enum ipc_header_id id, struct span name, struct span value);
/* What this client gets of a body of `length` bytes, UINT64_MAX: not known. */
enum coding coding_choose(struct outgoing *h, uint64_t length);
/* The fields that were held back, as they are to be, and what the coding adds. */
void coding_lines(struct outgoing *h, enum coding coding);
/* The whole body, coded, in the loop's scratch; .ptr NULL: it is as well sent as it is. */
struct span coding_whole(struct outgoing *h, enum coding coding, const struct span *parts, size_t count, uint64_t length);
/* The same of a file's bytes, which may be kept coded already. */
struct span coding_file(struct outgoing *h, enum coding coding, struct open_file *f);
/* A stream for the body that follows. False: none is to be had. */
bool coding_open(struct outgoing *h, enum coding coding, uint64_t length);
/* More of the body, .ptr NULL: none, through r->encoder; the coded bytes, perhaps none, are in the scratch until the next call. */
struct span coding_add(struct request *r, struct span bytes, enum encoder_end end);

#endif
