/* auth_basic.h - basic_auth: a name and a password, or 401 (RFC 7617).
 * SPDX-License-Identifier: MIT
 * The settings of a route are made with its generation and immutable. The gate runs in the owning loop; passwords are hashed on blocking threads. */
#ifndef HEART_AUTH_BASIC_H
#define HEART_AUTH_BASIC_H

#include "auth_cache.h"
#include "gates.h"

struct auth_basic; /* a part of struct policy */

int auth_basic_build(struct generation *g, const struct route *route, struct diags *d, const struct auth_basic **ret);
enum gate_verdict auth_basic_gate(struct request *r);

/* The loop's own cache, made when first asked for; NULL without memory or random bytes: then nothing is remembered. */
struct auth_cache *auth_cache_of(struct loop *l);

#endif
