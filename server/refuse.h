/* refuse.h - how a connection that nobody can serve now is told so.
 * SPDX-License-Identifier: MIT
 * Owner: the master, its thread only. Never blocks: what does not fit into the socket at once is not said. */
#ifndef HEART_REFUSE_H
#define HEART_REFUSE_H

#include "master.h"
#include "sockq.h"

int refusals_new(struct refusals **ret);
void refusals_free(struct refusals *r); /* closes what lingers; NULL is fine */
/* Answers 503 with Retry-After and closes, lingering so that the client can read it. Takes item->fd. Counts connections_refused. */
void refuse(struct master *m, const struct sockq_item *item, uint64_t retry_after_ms);
void refuse_all(struct master *m, uint64_t retry_after_ms); /* all that waits in the queue: the master leaves */

#endif
