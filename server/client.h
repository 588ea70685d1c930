/* client.h - who sent a request, and how it came to the first server that we believe.
 * SPDX-License-Identifier: MIT
 * The owning loop's thread only. */
#ifndef HEART_CLIENT_H
#define HEART_CLIENT_H

#include "request.h"

/* Fills r->client, client_port, https and forwarded_host. The head is complete, the generation pinned. */
void client_resolve(struct request *r);
/* The address as text: "192.0.2.1", "2001:db8::1", "unix:". */
void client_text(const struct request *r, char *out, size_t room);

#endif
