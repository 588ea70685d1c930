/* spool.h - a request's body on disk: what is too long to be held in memory until the client has sent all of it.
 * SPDX-License-Identifier: MIT
 * An unlinked file in spool.path, written and read by blocking threads in pieces, a piece at a time; the loop never waits for the disk.
 * Owner: the request. spool_free may be called at any moment, with a piece under way too: the struct then goes when that piece is done.
 * The owning loop's thread only. Bounds: one piece in memory beside what the caller gathers; spool.size bytes on disk for all requests of a worker. */
#ifndef HEART_SPOOL_H
#define HEART_SPOOL_H

#include "response.h"

struct request;
struct spool;

/* bytes: how long the body will be, 0 when nobody knows. 0; -ENOSPC: spool.size is taken up; -ENOMEM. */
int spool_new(struct request *r, uint64_t bytes, struct spool **ret);
void spool_free(struct spool *s); /* NULL is fine */

/* Takes what is in `from`, which is empty afterwards. 0; -EAGAIN: the piece before is still under way, ask again when the connection is stepped;
 * anything else: the body cannot be kept. */
int spool_write(struct spool *s, struct out *from);
/* 0: all that was written is in the file; -EAGAIN: not yet; anything else: it never will be. */
int spool_settled(const struct spool *s);
/* The next bytes of the file, at most `room`. 0: that was all; -EAGAIN: they are on their way, ask again when the connection is stepped; -errno. */
long spool_read(struct spool *s, char *to, size_t room);
bool spool_has_more(const struct spool *s);

#endif
