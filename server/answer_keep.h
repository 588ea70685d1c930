/* answer_keep.h - an answer that is ready sooner than its client takes it waits on disk, so that neither a pyworker nor memory waits with it.
 * SPDX-License-Identifier: MIT
 * Owner: the request, whose `kept` is NULL while its bytes go straight to conn->out. The owning loop's thread only.
 * Bounds: limits.answer_buffer on disk for one answer, half of spool.size for all; in memory one buffer on its way to the client and what fits IPC_WINDOW on its way
 * to the disk. Past the bounds, or when the disk has no more room, the pyworker waits as it would without. */
#ifndef HEART_ANSWER_KEEP_H
#define HEART_ANSWER_KEEP_H

#include "request.h"

/* Moves what can be moved. True: nothing waits on disk, nor should it: what is left is in conn->out. */
bool answer_keep(struct request *r);
void answer_keep_free(struct request *r); /* with what is kept; NULL is fine */

#endif
