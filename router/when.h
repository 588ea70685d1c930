/* when.h - conditions beside path, selector and method: do they hold, and how do two sets of them compare?
 * SPDX-License-Identifier: MIT
 * Pure but for the questions that the caller's struct router_facts answers. Private to router/. */
#ifndef HEART_WHEN_H
#define HEART_WHEN_H

#include "router.h"

/* Do all of them hold? The cheap ones are looked at first, and nothing is asked that the answer does not depend on. */
bool when_holds(const struct route_when *w, const struct router_query *q);
/* The same conditions, in whatever order they were written? */
bool when_same(const struct route_when *a, const struct route_when *b);
/* Whenever `b` holds, does `a`? Conservative: false when in doubt. */
bool when_covers(const struct route_when *a, const struct route_when *b);

#endif
