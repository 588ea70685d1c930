/* route.h - one row of `routes:`, parsed: what to match and what to do. router/ matches, server/ does.
 * SPDX-License-Identifier: MIT
 * Filled through route_keys.def; lives in the arena of its generation; constant after loading. */
#ifndef HEART_ROUTE_H
#define HEART_ROUTE_H

#include <netinet/in.h>

#include "keys.h"
#include "route_coding.h"

enum route_action { ROUTE_NONE, ROUTE_RESPOND, ROUTE_STATIC, ROUTE_REDIRECT, ROUTE_PYTHON, ROUTE_APP, ROUTE_REWRITE };

/* Bits of a method mask. M_OTHER: a well-formed method that is none of these. */
enum { M_GET = 1, M_HEAD = 2, M_POST = 4, M_PUT = 8, M_DELETE = 16, M_PATCH = 32, M_OPTIONS = 64, M_OTHER = 128, M_ANY = 255 };

struct route_respond  { uint32_t status; const char *type; const char *body; struct place body_place; };
struct route_static {
        const char *root;
        uint64_t cache_ms;
        bool immutable, dotfiles, listing, internal;
        uint32_t symlinks;           /* 0 none, 1 inside the root, 2 anywhere */
        const char *fallback;        /* below root; NULL: none */
        struct key_strs index, precompressed;
};
struct route_redirect { const char *to; uint32_t status; struct place to_place; };

/* Changes to the fields of an answer, or of a request on its way to Python (without `add`). Values may hold variables (server/vars.h). */
struct route_headers {
        struct key_map set, add;
        struct key_strs remove;
        struct place *set_places, *add_places; /* of the values */
};

struct route_cors {
        bool given;                  /* there is such a key */
        struct place place;
        struct key_strs origins, methods, headers, expose;
        bool credentials, private_network;
        uint64_t max_age_ms;
};

#define ROUTE_VALUE_MAX 1024 /* bytes of a value in `when` */

/* Who may pass. place line 0: nothing was said; off: said, and it is "off": not even what holds for all. */
struct route_basic_auth {
        struct place place;
        bool off;
        const char *realm, *users;   /* users: absolute path of the password file */
        struct place users_place;
        uint64_t cache_ms;
};
struct route_auth {
        struct place place;
        bool off;
        const char *python;          /* module:function */
        const char *target;          /* the same as pyworkers are told it: "auth module:function" */
        uint64_t cache_ms, timeout_ms /* 0: limits.handler_timeout */;
        struct key_strs by, pass;    /* pass: in lower case */
        uint32_t app_index, handler; /* set by server/ */
};

/* What to say in place of heart's own page for a status. Exactly one of file, body and app is not NULL. */
struct route_error_page {
        struct place place;
        uint32_t status;             /* 404; or 4, 5: all that begin with it */
        const char *file, *body, *type, *app;
        struct place file_place, body_place, app_place;
        uint32_t app_index;          /* set by server/ */
};
struct route_error_host { const char *host /* lower case; *.name: every name below it */; struct place place; struct key_list pages; };
struct route_errors {
        struct place place;
        struct key_list pages;       /* of route_error_page */
        struct key_list hosts;       /* of route_error_host; only where it holds for all routes */
};

enum route_scheme { WHEN_ANY, WHEN_HTTP, WHEN_HTTPS };            /* in the order of the words of `when.scheme` */
enum route_retry { RETRY_NEVER, RETRY_IDEMPOTENT };                /* in the order of the words of `retry` */
enum route_slash { SLASH_STRICT, SLASH_REDIRECT, SLASH_IGNORE };  /* in the order of the words of `trailing_slash` */

struct route_net { struct in6_addr addr; uint32_t bits; };        /* IPv4 is v4-mapped, its bits count from 96; what lies past the bits is zero */

/* Who may come. unix in a list is a network of its own (nets.h). */
struct route_access {
        struct place place;          /* of the map; line 0: no `access` */
        struct key_strs allow, deny;
        const struct route_net *allow_nets, *deny_nets; /* as many as texts */
};

enum rate_part_kind { RATE_BY_IP, RATE_BY_ROUTE, RATE_BY_HEADER, RATE_BY_COOKIE };
struct rate_part { enum rate_part_kind kind; const char *name; /* of the header, in lower case, or the cookie */ };
/* One rule of `rate_limit`. */
struct route_rate {
        struct place place;
        struct key_strs key;         /* as written; parts says the same, checked */
        const struct rate_part *parts;
        uint32_t limit;
        uint64_t window_ms;          /* whole seconds */
        uint32_t ipv4_prefix, ipv6_prefix;
        bool headers;
};

/* Conditions beside path, selector and method; all of them must hold. In the maps a value is exact text, or "*": there, with any value. */
struct route_when {
        struct place place;          /* of the map; line 0: no `when` */
        uint32_t scheme;             /* enum route_scheme */
        struct key_strs source;      /* as written; nets says the same, checked */
        const struct route_net *nets;
        size_t net_count;            /* the client's address lies in one of them; 0: anywhere */
        struct key_map headers;      /* names in lower case */
        struct key_map query, cookies;
};

/* How many conditions: of two routes that differ in nothing else, the one with more goes first. All networks are one condition. */
static inline size_t
route_when_count(const struct route_when *w)
{
        return (w->scheme != WHEN_ANY) + (w->net_count > 0) + w->headers.count + w->query.count + w->cookies.count;
}

struct route {
        struct place place;
        uint64_t set;                /* which keys were given */
        const char *path;            /* template, or ~regex */
        struct place path_place;     /* of the value, for carets */
        uint32_t path_before;        /* bytes at the beginning of path that do not stand at path_place, which is where the rest begins: a mount's prefix before a decorator's path */
        uint32_t methods;            /* mask; M_ANY when none was named. GET brings HEAD */
        const char *host;            /* NULL: any */
        struct place host_place;     /* of the value, as path_place */
        const char *on;              /* ip:port::host, NULL: any */
        struct place on_place;
        struct route_when when;
        uint32_t trailing_slash;     /* enum route_slash; the global key where the route says nothing */
        bool first;                  /* a regex that goes before every template */
        bool fallback;               /* set by server/: yields to a 405 (the mount of a native app) */
        enum route_action action;
        struct route_respond respond;
        struct route_static static_files;
        struct route_redirect redirect;
        struct route_basic_auth basic_auth;
        struct route_auth auth;
        struct route_errors errors;
        const char *rewrite;         /* the path to match instead; may hold variables */
        struct place rewrite_place;
        struct route_headers headers, request_headers;
        struct route_cors cors;
        const char *python;          /* module:function */
        const char *app;             /* name in apps: */
        struct place app_place;
        uint32_t retry;              /* enum route_retry */
        uint64_t timeout_ms;         /* 0: limits.handler_timeout */
        uint64_t body;               /* limits.body of this route; UINT64_MAX: the global one. So are the two below */
        uint64_t body_buffer, body_min_rate;
        struct route_compress compress;
        struct route_decompress decompress;
        struct route_access access;
        struct key_list rate_limit;  /* of route_rate */
        uint32_t in_flight;          /* requests of this route at once; 0 with the key given: not even those for all */
        uint64_t identity;           /* set by server/: of the row of the file, also in the routes of a native app that it mounts (route_identity.h) */
        uint32_t app_index;          /* set by server/: index in conf->apps, UINT32_MAX: none */
        uint32_t handler;            /* set by server/: a native app's own number of the decorated route or `python:` target; UINT32_MAX: none */
        const char *root_path;       /* set by server/ for APP and PYTHON: "" or the prefix that belongs to the mount, "/shop" */
};

extern const char *const ROUTE_RETRIES[]; /* the words of enum route_retry */
extern const char *const ROUTE_SLASHES[]; /* the words of enum route_slash */
extern const struct key_table route_keys; /* from route_keys.def */
extern const struct key_table basic_auth_keys, auth_keys, error_page_keys; /* of a route and of the whole file alike */
extern const struct key_table headers_keys, request_headers_keys, cors_keys; /* parts of a route that the top level of routes.yaml has too */

#endif
