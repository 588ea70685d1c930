/* rate_limit.h - the rules of `rate_limit:`, made ready, and their gate.
 * SPDX-License-Identifier: MIT
 * A rule counts requests by a key - address, route, a header, a cookie, or a combination - in the table that all workers share (rate_table.h). Counts belong to what
 * the rule says and where it stands, not to a generation: a reload that keeps route, key and window keeps them, whatever the limit becomes.
 * All rules of a route must admit a request; what one refuses counts in none of them: 429 with Retry-After.
 * Immutable, in the generation's arena; the owning loop's thread for the gate. */
#ifndef HEART_RATE_LIMIT_H
#define HEART_RATE_LIMIT_H

#include "gates.h"

struct rate_limit;

/* See policy.h. */
int rate_limit_build(struct generation *g, const struct route *route, struct diags *d, const struct rate_limit **ret);
enum gate_verdict rate_limit_gate(struct request *r);

#endif
