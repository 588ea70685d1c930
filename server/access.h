/* access.h - who may come: networks of `access: {allow, deny}`.
 * SPDX-License-Identifier: MIT
 * The smallest network that holds the client's address decides; in none of them, it may come unless there is an allow list. Refused: 403.
 * Immutable, in the generation's arena; asked by every loop. The owning loop's thread for the gate. */
#ifndef HEART_ACCESS_H
#define HEART_ACCESS_H

#include "gates.h"

struct access;

/* See policy.h. */
int access_build(struct generation *g, const struct route *route, struct diags *d, const struct access **ret);
/* client all zero: it came through a unix socket; NULL: nobody knows who it is, and it is in no network. */
bool access_allows(const struct access *a, const struct in6_addr *client);
enum gate_verdict access_gate(struct request *r);

#endif
