/* forwarded.h - what proxies say of the way a request came: Forwarded (RFC 7239), X-Forwarded-For, -Proto and -Host.
 * SPDX-License-Identifier: MIT
 * Pure: text becomes hops, and hops and a question - is this address trusted? - become a client. Whether the peer is to be believed at all is the caller's affair.
 * Owner: the caller, on the stack; borrows the texts. No allocation. */
#ifndef HEART_FORWARDED_H
#define HEART_FORWARDED_H

#include <netinet/in.h>
#include <stdbool.h>

#include "../router/span.h"

#define HOPS_MAX 16 /* the nearest; nobody has as many trusted proxies in a row */

enum hop_proto { HOP_PROTO_NONE, HOP_PROTO_HTTP, HOP_PROTO_HTTPS };

/* One proxy's word: who came to it, and how. */
struct hop {
        struct in6_addr from;   /* IPv4 v4-mapped */
        uint16_t port;          /* 0: not said */
        bool known;             /* `from` is an address; else it is hidden, or was not said */
        enum hop_proto proto;
        struct span host;       /* as written, between the quotes if it had them; .ptr NULL: not said */
};

struct forwarded {
        struct hop hops[HOPS_MAX]; /* the nearest proxy's last */
        size_t count;
        size_t total;              /* with those that were dropped */
};

/* One line's value. Lines are added in the order in which they came. */
int forwarded_add(struct forwarded *f, struct span value);        /* Forwarded: 0, or -EINVAL: malformed */
void forwarded_add_x_for(struct forwarded *f, struct span value); /* X-Forwarded-For; what is no address is a hidden one */

/* A list of X-Forwarded-Proto or -Host: the element at `from_right` (0: the last) in a list of as many as there are addresses (`total`), else the last. .ptr NULL: none. */
struct x_list { struct span last[HOPS_MAX]; size_t count, total; };
void x_list_add(struct x_list *l, struct span value);
struct span x_list_get(const struct x_list *l, size_t total, size_t from_right);
enum hop_proto hop_proto_of(struct span text);

/* From the nearest hop on: who comes to a trusted proxy, as long as these are trusted proxies too. ret: that client, and how it came to the outermost proxy that is
 * believed (what that one does not say, the next nearer one's word). Returns how many hops were believed; 0: there are none, ret is untouched. */
size_t forwarded_client(const struct forwarded *f, bool (*trusted)(void *ctx, const struct in6_addr *addr), void *ctx, struct hop *ret);

/* A node of RFC 7239, 6, and what others write: "192.0.2.1", "192.0.2.1:80", "2001:db8::1", "[2001:db8::1]", "[2001:db8::1]:80". False: no address. */
bool node_parse(struct span text, struct in6_addr *ret_addr, uint16_t *ret_port);
/* A quoted-string's inside without its backslashes, into out. False: does not fit. */
bool quoted_text(struct span inside, char *out, size_t room, size_t *ret_len);

#endif
