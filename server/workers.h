/* workers.h - what listen.c and master.c need of workers.c beside master.h.
 * SPDX-License-Identifier: MIT
 * Owner: the master, its thread only. */
#ifndef HEART_WORKERS_H
#define HEART_WORKERS_H

#include "master.h"

int workers_new(struct workers **ret);
void workers_free(struct workers *w);       /* after all of them were reaped, or at the very end; NULL is fine */
void workers_hand_out(struct master *m);    /* as many waiting sockets as loops can take; refuses those that waited too long */
void workers_drain(struct master *m, uint64_t ms); /* MSG_DRAIN to all; no more restarts */
void workers_kill(struct master *m);        /* SIGKILL to all */
bool workers_gone(const struct master *m);  /* all were reaped */
/* Opens the logs that a configuration names, tells workers. 0, or -errno with the failure logged; what could not be opened stays as it was. */
int workers_logs(struct master *m, const struct conf *c);

#endif
