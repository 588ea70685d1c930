/* in_flight.h - how many requests may be answered at once: limits.in_flight, of a listener or for all, and in_flight of a route.
 * SPDX-License-Identifier: MIT
 * A request that finds no place waits, first come first served within its loop: as many as queue.size over all workers, queue.timeout at most, then 503 with Retry-After.
 * A place that is given back goes to the next of the same loop at once; those of other loops look every WHEEL_TICK_MS.
 * A request whose body is gathered first takes its place when it is whole, so that a slow client has none.
 * A route's limit counts beside the one for all; in_flight: 0 at a route exempts it from both. The owning loop's thread only. */
#ifndef HEART_IN_FLIGHT_H
#define HEART_IN_FLIGHT_H

#include "gates.h"

struct in_flight;

/* See policy.h. */
int in_flight_build(struct generation *g, const struct route *route, struct diags *d, const struct in_flight **ret);
enum gate_verdict in_flight_gate(struct request *r);

/* request_body.c: the body is gathered; may the request go to its app? False: it waits, or was refused. */
bool in_flight_ready(struct request *r);
/* request.c: a request that waits here has its turn to look again. False: it still waits. */
bool in_flight_again(struct request *r);
/* request.c: the request is over, or dies while it waits. */
void in_flight_leave(struct request *r);

void in_flight_loop_free(struct loop *l);

#endif
