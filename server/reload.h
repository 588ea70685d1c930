/* reload.h - what master.c needs of reload.c beyond master.h. The master's thread only.
 * SPDX-License-Identifier: MIT */
#ifndef HEART_RELOAD_H
#define HEART_RELOAD_H

#include "master.h"

bool reload_running(const struct master *m);  /* a PREPARE is under way */
void reload_stop(struct master *m);           /* the server is leaving: what runs is undone, what waits is refused */
void reload_free(struct master *m);           /* at exit */

#endif
