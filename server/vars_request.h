/* vars_request.h - what variables stand for in a request that is being answered.
 * SPDX-License-Identifier: MIT
 * The owning loop's thread only. */
#ifndef HEART_VARS_REQUEST_H
#define HEART_VARS_REQUEST_H

#include "request.h"
#include "vars.h"

/* Borrows from the request: until its input buffer moves. status 0: there is none yet. */
void vars_of_request(struct request *r, unsigned status, struct vars_source *ret);
/* The raw path and query as the client sent them, with bytes escaped that no URL has. The length; >= room: it does not fit. */
size_t request_target_copy(const struct request *r, char *out, size_t room);

#endif
