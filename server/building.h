/* building.h - a generation in the making, beside the master's loop: a thread builds, the loop goes on accepting.
 * SPDX-License-Identifier: MIT
 * The master's thread only. While one is in the making no worker may be forked: the child would inherit whatever locks the thread holds (workers_settle waits; the exec of a
 * pyworker allocates nothing and may go on). */
#ifndef HEART_BUILDING_H
#define HEART_BUILDING_H

#include "master.h"

struct building;

/* e: as generation_build; g: the caller's, NULL after an error. Called from the master's loop, never from within building_start. */
typedef void (*building_fn)(struct master *m, int e, struct generation *g);
/* Takes the bundle's contents. d is the thread's until fn was called or building_cancel returned. 0 or -errno: then fn is not called. */
int building_start(struct master *m, struct bundle *b, struct diags *d, building_fn fn, struct building **ret);
/* Waits until the thread is done, a tenth of a second at ten thousand routes, and drops what it made. fn is not called. NULL is fine. */
void building_cancel(struct building *b);

#endif
