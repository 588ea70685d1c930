/* header_edits.h - `headers:` and `request_headers:`: fields that are set, added and removed.
 * SPDX-License-Identifier: MIT
 * Compiled with the policy they belong to, in the generation's arena; constant, shared by loops. Edits without variables are one block of lines, copied as it is. */
#ifndef HEART_HEADER_EDITS_H
#define HEART_HEADER_EDITS_H

#include "generation.h"
#include "response.h"

struct header_edits;
struct request;

/* policy.h: of the answer; and of the request on its way to Python. */
int header_edits_build(const struct generation *g, const struct route *route, struct diags *d, const struct header_edits **ret);
int request_edits_build(const struct generation *g, const struct route *route, struct diags *d, const struct header_edits **ret);

bool header_edits_drop(const struct header_edits *e, struct span name); /* a field of the answer with this name goes */
bool header_edits_drop_server(const struct header_edits *e);            /* the Server line too */
/* The lines to add when they are the same for every request; false: variables are in them. */
bool header_edits_fixed(const struct header_edits *e, struct span *ret_lines);
/* All lines, at the end of o. */
void header_edits_add(const struct header_edits *e, struct request *r, unsigned status, struct out *o);
/* Tells the request what Python is to see (request_to_app). 0 or -ENOMEM. */
int request_edits_apply(const struct header_edits *e, struct request *r);

#endif
