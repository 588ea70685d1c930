/* client.c - who sent a request. Contract in client.h.
 * SPDX-License-Identifier: MIT
 * From: request.c.   To: matching, logs, limits and Python, which all ask the request and not its connection.   Runs in: the owning loop. */
#include "client.h"

#include <stdio.h>

void
client_resolve(struct request *r)
{
        const struct conn *c = r->conn;

        conn_peer_addr(c, &r->client);
        r->client_port = conn_peer_port(c);
        r->client_known = c->peer.ss_family == AF_INET || c->peer.ss_family == AF_INET6;
        r->https = c->tls != NULL;
}

void
client_text(const struct request *r, char *out, size_t room)
{
        if (r->client_known)
                address_text(&r->client, out, room);
        else
                snprintf(out, room, "unix:");
}
