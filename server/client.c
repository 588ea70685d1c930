/* client.c - who sent a request. Contract in client.h.
 * SPDX-License-Identifier: MIT
 * From: request.c.   To: matching, logs, limits and Python, which all ask the request and not its connection.   Runs in: the owning loop.
 * The peer is the client unless it is one of trusted_proxies; then its word counts, hop by hop, as far as trusted proxies go. What anybody else writes into such fields
 * is a header like any other. */
#include "client.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "forwarded.h"
#include "http1_priv.h"
#include "netset.h"

int
client_build(struct generation *g)
{
        const struct conf_trusted *t = &g->conf.trusted;
        struct netset_item *items;
        int e;

        if (t->proxies.count == 0)
                return 0;
        items = malloc(t->proxies.count * sizeof(*items));
        if (items == NULL)
                return -ENOMEM;
        for (size_t i = 0; i < t->proxies.count; i++)
                items[i] = (struct netset_item){ t->nets[i], 1 };
        e = netset_build(g->arena, items, t->proxies.count, &g->trusted);
        free(items);
        return e;
}

bool
client_is_trusted(const struct generation *g, const struct in6_addr *addr)
{
        return g->trusted != NULL && netset_find(g->trusted, addr) != NETSET_NONE;
}

static bool
trusted(void *ctx, const struct in6_addr *addr)
{
        return client_is_trusted(ctx, addr);
}

/* ---- fields ------------------------------------------------------------------------------------------------------------------ */

static bool
has_field(const struct request *r, enum ipc_header_id id)
{
        return http_head_field(&r->head, id) != NULL;
}

/* The next line of a known field from index *at on. */
static bool
next_line(const struct request *r, enum ipc_header_id id, uint32_t *at, struct span *ret)
{
        for (; *at < r->head.field_count; ++*at) {
                const struct http_field *f = &r->head.fields[*at];

                if (f->id != id)
                        continue;
                *ret = (struct span){ request_bytes(r) + f->value_off, f->value_len };
                ++*at;
                return true;
        }
        return false;
}

static uint32_t
first_line(const struct request *r, enum ipc_header_id id)
{
        return has_field(r, id) ? r->head.known[id] : r->head.field_count;
}

static struct span
x_value(const struct request *r, enum ipc_header_id id, size_t total, size_t from_right)
{
        struct x_list list = { .count = 0 };
        struct span line;

        for (uint32_t at = first_line(r, id); next_line(r, id, &at, &line);)
                x_list_add(&list, line);
        return x_list_get(&list, total, from_right);
}

/* ---- what is believed ---------------------------------------------------------------------------------------------------------- */

/* A host goes into redirects and to Python: it is one, or the request is refused. */
static int
believe_host(struct request *r, struct span written)
{
        size_t len;

        if (!quoted_text(written, r->forwarded_host, sizeof(r->forwarded_host), &len) || !http1_host_ok((struct span){ r->forwarded_host, len }))
                return -EINVAL;
        r->forwarded_host_len = (uint16_t)len;
        return 0;
}

static int
believe(struct request *r, const struct hop *hop)
{
        if (hop->proto != HOP_PROTO_NONE)
                r->https = hop->proto == HOP_PROTO_HTTPS;
        return hop->host.ptr != NULL ? believe_host(r, hop->host) : 0;
}

static void
believe_address(struct request *r, const struct hop *hop)
{
        r->client_known = hop->known && !IN6_IS_ADDR_UNSPECIFIED(&hop->from);
        r->client_hidden = !r->client_known;
        memset(&r->client, 0, sizeof(r->client));
        if (r->client_known)
                r->client = hop->from;
        r->client_port = r->client_known ? hop->port : 0;
}

static int
resolve_x(struct request *r)
{
        struct forwarded f = { .count = 0 };
        struct hop hop = { .known = false };
        size_t believed;
        struct span line;

        for (uint32_t at = first_line(r, IPC_H_X_FORWARDED_FOR); next_line(r, IPC_H_X_FORWARDED_FOR, &at, &line);)
                forwarded_add_x_for(&f, line);
        believed = forwarded_client(&f, trusted, r->lg->g, &hop);
        if (believed > 0)
                believe_address(r, &hop);
        hop.proto = hop_proto_of(x_value(r, IPC_H_X_FORWARDED_PROTO, f.total, believed > 0 ? believed - 1 : 0));
        hop.host = x_value(r, IPC_H_X_FORWARDED_HOST, f.total, believed > 0 ? believed - 1 : 0);
        return believe(r, &hop);
}

static int
resolve_forwarded(struct request *r)
{
        struct forwarded f = { .count = 0 };
        struct hop hop;
        struct span line;

        for (uint32_t at = first_line(r, IPC_H_FORWARDED); next_line(r, IPC_H_FORWARDED, &at, &line);)
                if (forwarded_add(&f, line) < 0)
                        return -EINVAL;
        if (forwarded_client(&f, trusted, r->lg->g, &hop) == 0)
                return 0;
        believe_address(r, &hop);
        return believe(r, &hop);
}

int
client_resolve(struct request *r)
{
        const struct conn *c = r->conn;
        uint32_t header = request_conf(r)->proxy_header;
        int e = 0;

        conn_peer_addr(c, &r->client);
        r->client_port = conn_peer_port(c);
        r->client_known = !IN6_IS_ADDR_UNSPECIFIED(&r->client);
        r->https = c->tls != NULL;
        if (r->lg->g->trusted == NULL || r->head_len == 0 || c->peer_unknown || !client_is_trusted(r->lg->g, &r->client))
                return 0;
        /* Proxies that write X-Forwarded-For mostly let a Forwarded of their clients through as it came, so where both are there it is the former that counts. */
        if (header == PROXY_HEADER_X || (header == PROXY_HEADER_ANY && (has_field(r, IPC_H_X_FORWARDED_FOR) || !has_field(r, IPC_H_FORWARDED))))
                e = resolve_x(r);
        else if (has_field(r, IPC_H_FORWARDED))
                e = resolve_forwarded(r);
        if (e == 0 && r->forwarded_host_len > 0) /* so that Python, too, finds the site that the client asked for */
                e = request_to_app(r, SPAN_LIT("Host"), (struct span){ r->forwarded_host, r->forwarded_host_len });
        return e;
}

void
client_text(const struct request *r, char *out, size_t room)
{
        if (r->client_known)
                address_text(&r->client, out, room);
        else
                snprintf(out, room, r->client_hidden ? "unknown" : "unix:"); /* RFC 7239, 6.2: a proxy would not or could not say */
}
