/* client.h - who sent a request, and how it came to the first server that we believe.
 * SPDX-License-Identifier: MIT
 * The owning loop's thread only. */
#ifndef HEART_CLIENT_H
#define HEART_CLIENT_H

#include "request.h"

/* Fills r->client, client_port, client_known, https and forwarded_host. The generation is pinned; without a whole head the peer is the client. 0, -ENOMEM, or -EINVAL: a
 * trusted proxy's word is malformed, and guessing would mean believing its client: 400. */
int client_resolve(struct request *r);
/* trusted_proxies, made ready in g->trusted. 0 or -ENOMEM. */
int client_build(struct generation *g);
bool client_is_trusted(const struct generation *g, const struct in6_addr *addr); /* all zero: who comes through a unix socket */
/* The address as text: "192.0.2.1", "2001:db8::1", "unix:", "unknown" (a proxy does not say). */
void client_text(const struct request *r, char *out, size_t room);

#endif
