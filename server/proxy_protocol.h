/* proxy_protocol.h - the header by which a TCP proxy says whose connection it passes on: PROXY protocol, versions 1 and 2.
 * SPDX-License-Identifier: MIT
 * Comes before everything else, TLS included, once a connection; only on listeners with proxy_protocol: true, only from trusted_proxies (client.h): everybody else is
 * closed there. The parser is pure; proxy_protocol_read belongs to the owning loop's thread. */
#ifndef HEART_PROXY_PROTOCOL_H
#define HEART_PROXY_PROTOCOL_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>

#define PROXY_HEADER_MAX 4096 /* of version 2, TLVs included: some hold a client's certificate. Version 1 has 107 bytes at most */

struct conn;

struct proxy_header {
        bool proxied;                 /* the address below is the client's; else the proxy speaks for itself (LOCAL: a health check) or does not know */
        bool unknown;                 /* ... the latter (UNKNOWN, unspecified) */
        struct sockaddr_storage from; /* AF_INET, AF_INET6, AF_UNIX without a path */
};

/* Looks at what has come. > 0: the header's length in bytes. 0: more is wanted. -EPROTO: it is none, or malformed, or too long. What is wrong is said as early as it is certain. */
int proxy_header_parse(const char *buf, size_t len, struct proxy_header *ret);

/* Reads the header off the connection, and not a byte more: what follows may be TLS's. 1: it is there, and the connection's peer is who it names; 0: not yet; -errno: close. */
int proxy_protocol_read(struct conn *c);

#endif
