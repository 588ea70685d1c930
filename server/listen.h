/* listen.h - what master.c and handout.c need of listen.c beside master.h.
 * SPDX-License-Identifier: MIT
 * Owner: the master, its thread only. */
#ifndef HEART_LISTEN_H
#define HEART_LISTEN_H

#include "master.h"

int listeners_new(struct listeners **ret);
/* Closes all; unix sockets are removed from the file system. After the last turn of the event loop. NULL is fine. */
void listeners_free(struct listeners *l);
uint64_t now_us(void); /* CLOCK_MONOTONIC: what accepted_us is made of */

/* One listening socket, for tests: binds and listens. The descriptor, or -errno. */
int listener_bind(const struct conf_listener *c);

#endif
