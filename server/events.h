/* events.h - the master's event loop: file descriptors and one-shot timers. master.h declares what the rest of the master calls (master_watch ...).
 * SPDX-License-Identifier: MIT
 * Owner: master_run. One thread. A callback may watch, unwatch, close, start and cancel anything, itself included. */
#ifndef HEART_EVENTS_H
#define HEART_EVENTS_H

#include "master.h"

int events_new(struct events **ret); /* 0 or -errno */
void events_free(struct events *e);  /* timers that did not fire are dropped; NULL is fine */
/* Waits for at most wait_ms (-1: until something happens), then runs what is due: timers first. 0 or -errno. */
int events_turn(struct master *m, int wait_ms);

#endif
