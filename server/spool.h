/* spool.h - bytes on disk: a request's body until the client has sent all of it, an answer until the client has taken it (answer_keep.c).
 * SPDX-License-Identifier: MIT
 * An unlinked file in spool.path, written and read by blocking threads in pieces, a piece at a time; the loop never waits for the disk.
 * Owner: the request. spool_free may be called at any moment, with a piece under way too: the struct then goes when that piece is done.
 * The owning loop's thread only. Bounds: one piece in memory beside what the caller gathers; spool.size bytes on disk for all requests of a worker. */
#ifndef HEART_SPOOL_H
#define HEART_SPOOL_H

#include "response.h"

struct request;
struct spool;
enum spool_kind { SPOOL_BODY, SPOOL_ANSWER /* all of them together get half of spool.size: slow readers leave room for uploads */ };

/* bytes: how many they will be, 0 when nobody knows. 0; -ENOSPC: spool.size is taken up, or the descriptors are; -ENOMEM. */
int spool_new(struct request *r, enum spool_kind kind, uint64_t bytes, struct spool **ret);
void spool_free(struct spool *s); /* NULL is fine */

/* Takes what is in `from`, which is empty afterwards. 0; -EAGAIN: the piece before is still under way, ask again when the connection is stepped;
 * -ENOSPC: spool.size is taken up, nothing was taken; anything else: the bytes cannot be kept. */
int spool_write(struct spool *s, struct out *from);
/* 0: all that was written is in the file; -EAGAIN: not yet; anything else: it never will be. */
int spool_settled(const struct spool *s);
/* The next bytes of the file, at most `room`. 0: that was all; -EAGAIN: they are on their way, ask again when the connection is stepped; -errno. */
long spool_read(struct spool *s, char *to, size_t room);
bool spool_has_more(const struct spool *s);
void spool_rest(struct spool *s); /* nothing will be written for a while: gives back the memory for it */
size_t spool_memory(const struct spool *s); /* bytes that it holds now */

#endif
