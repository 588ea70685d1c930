/* facts.h - what a route's `when:` may ask of a request head: header fields, parameters of the query, cookies.
 * SPDX-License-Identifier: MIT
 * Owner: the caller, on the stack around one router_match; one thread. Borrows the head and its bytes. */
#ifndef HEART_FACTS_H
#define HEART_FACTS_H

#include "../router/router.h"
#include "http1.h"

#define FACT_MAX 2048 /* bytes of a decoded value; what goes past them is cut, and equals no text of the configuration (ROUTE_VALUE_MAX) */

struct facts {
        struct router_facts ask;      /* for router_query.facts */
        const struct http_head *head;
        const char *bytes;            /* what the head's offsets count from */
        struct span query;            /* the head's, unless the caller puts another one here */
        char value[FACT_MAX];
};

void facts_init(struct facts *f, const struct http_head *head, const char *bytes);

/* The first parameter of this name in a raw query ("a=1&b=%20x"); names and values are decoded, "+" is a space. What is no escape stands for itself. .ptr NULL: absent. */
struct span facts_query(struct span raw, struct span name, char *room, size_t room_len);
/* The first cookie of this name in one Cookie field; the quotes around a value go. .ptr NULL: absent. */
struct span facts_cookie(struct span field, struct span name);

#endif
