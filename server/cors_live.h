/* cors_live.h - what apps said with app.cors() while they run.
 * SPDX-License-Identifier: MIT
 * The master keeps each app's last word (pool.h) and tells every worker, those that start later too. In a worker each loop has a copy of its own, with the lane to the app's pool.
 * It holds until the app says something else or a reload is committed: then the file and what the app said when it was imported count again. */
#ifndef HEART_CORS_LIVE_H
#define HEART_CORS_LIVE_H

#include "cors.h"

struct cors_live { struct arena *arena; const struct cors *cors; /* NULL: off */ };

/* The message `cors` as the pyworker said it. 0; -EINVAL: it makes no sense; -ENOMEM. */
int cors_live_new(const char *json, size_t len, struct cors_live **ret);
void cors_live_free(struct cors_live *c); /* NULL is fine */
/* True: the app of r's route said something; *ret NULL: off. The owning loop's thread only. */
bool cors_live_find(const struct request *r, const struct cors **ret);

#endif
