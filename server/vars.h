/* vars.h - texts of routes.yaml with variables in them: "/new/{slug}", "{$scheme}://{$host}{$uri}".
 * SPDX-License-Identifier: MIT
 * {name} is a parameter of the route's path, {$name} one of heart's own (the table in vars.c): the $ keeps them apart, so that no parameter can ever take the place of one. "{{" is a brace.
 * A text is compiled once, with the place it goes to; there is no way to expand it for another one. What a client sent is escaped for exactly the spot it lands on, so that it can neither
 * end a header line, lead to another host than the text says, nor become markup. vars_expand does not allocate and writes no more than it is given room for.
 * A struct vars lives in the arena given to vars_compile and is constant afterwards: any thread. */
#ifndef HEART_VARS_H
#define HEART_VARS_H

#include "../router/router.h"
#include "http1.h"

enum vars_place {
        VARS_URL,     /* redirect.to: a path or a whole URL. The client's query is added unless the text has one */
        VARS_PATH,    /* rewrite: a path, perhaps with a query */
        VARS_HEADER,  /* a header's value */
        VARS_COOKIE,  /* the value of Set-Cookie */
        VARS_TEXT,    /* a body that no program takes for anything but text */
        VARS_MARKUP,  /* a body of HTML or XML: in its text and in quoted attributes */
        VARS_JSON,    /* a body of JSON or JavaScript: within strings */
};
enum vars_place vars_place_of_type(const char *type); /* of a body, by its Content-Type */

struct vars;
struct vars_names { const struct span *list; const enum router_type *types; /* NULL: not known */ size_t count; bool open; /* others than these may be there too, and are empty then: routes of a mounted app */ };
struct vars_error { size_t at, len; char text[160], hint[96]; /* empty: none */ };

/* 0 and *ret; -EINVAL with *reterr_ (the place within the text); -ENOMEM. The text must live as long as the arena. */
int vars_compile(struct arena *a, struct span text, enum vars_place place, const struct vars_names *names, const struct vars **ret, struct vars_error *reterr_);
/* No variable in it: this is what it expands to, always. False where the client's query is added. */
bool vars_is_constant(const struct vars *v, struct span *ret);
bool vars_has_query(const struct vars *v); /* VARS_PATH: the text brings a query of its own */

/* What variables stand for in one request. Everything is borrowed; nothing is looked up before it is asked for. */
struct vars_source {
        const struct router_match *match;   /* NULL: no parameters */
        struct span path;                   /* decoded, as the router has it */
        struct span query;                  /* raw, without '?' */
        struct span target;                 /* raw path and query as the client sent them */
        struct span host, method;
        struct span user;                   /* who logged in; .len 0: nobody */
        bool https;
        struct in6_addr client;             /* v4-mapped; all zero: none */
        bool client_hidden;                 /* ... and nobody knows who it is */
        uint16_t port;                      /* of the listener */
        uint64_t request_id;
        unsigned status;                    /* 0: none yet */
        const struct http_head *head;       /* NULL: no header fields, no cookies */
        const char *bytes;                  /* what head's offsets count from */
};

/* The length; -ENOSPC: it needs more room; -EINVAL: the request has nothing that could stand here (no Host where a URL wants one). */
long vars_expand(const struct vars *v, const struct vars_source *s, char *out, size_t room);

#endif
