/* select.h - which listener and host a route is for: `on: "ip:port::host"`, `host:`, and "ip:port::host:/path".
 * SPDX-License-Identifier: MIT
 * Plain values, any thread. Private to router/. */
#ifndef HEART_SELECT_H
#define HEART_SELECT_H

#include "router.h"

enum host_kind { HOST_ANY, HOST_WILD, HOST_EXACT }; /* the greater the more specific */

struct selector {
        bool has_addr;
        struct in6_addr addr; /* an IPv4 one is v4-mapped; zero without has_addr */
        uint16_t port;        /* 0: any */
        enum host_kind host_kind;
        struct span host;     /* lower case; of *.x: ".x"; lives in the arena */
};

struct select_error { uint32_t at, len; const char *hint; char text[120]; };

/* `on:` in whole; "127.0.0.1::", ":8080::", "[::1]:8000::example.com", ":::example.com". 0, -EINVAL with *reterr_, -ENOMEM. */
int select_parse_on(struct span text, struct arena *a, struct selector *ret, struct select_error *reterr_);
/* `host:`: exact or *.x. Only the host fields of *ret are written. */
int select_parse_host(struct span text, struct arena *a, struct selector *ret, struct select_error *reterr_);
/* Splits "127.0.0.1::/debug" or ":::example.com:/info" before the path. *ret_on is empty when text is a plain path. */
void select_split(struct span text, struct span *ret_on, struct span *ret_path);
/* < 0 when a is more specific than b, 0 when they are the same selector. A total order. */
int select_compare(const struct selector *a, const struct selector *b);

#endif
